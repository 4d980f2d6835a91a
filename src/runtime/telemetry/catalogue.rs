//! Every metric by name, kind, labels and meaning: what `/metrics` exports and `docs/metrics.md` explains come from here.
//!
//! Units are base units and stand last in a name (`_seconds`, `_bytes`); instants are `_timestamp_seconds`. Labels come from small closed
//! sets: a value of a by, over or partition field is never one.
//! Source of the manners: Prometheus, "Metric and label naming" and "Instrumentation". Checked by: the test below, which keeps the page.

use super::counted::CountedHistogram;
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    /// With the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

/// From a millisecond to half a minute: round trips and writes.
const QUICK: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// From a tenth of a second to an hour: waiting and catching up.
const SLOW: &[f64] = &[
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
];

/// The bounds that tasks count lateness by.
const LATENESS: &[f64] = &[
    0.0, 0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 86400.0,
];

macro_rules! catalogue {
    ($($constant:ident = $kind:expr, $name:literal, [$($label:literal),*], $help:literal;)*) => {
        $(pub(super) const $constant: Spec = Spec { name: $name, kind: $kind, labels: &[$($label),*], help: $help };)*
        /// All of them, in the order of the page.
        #[cfg(test)]
        const ALL: &[Spec] = &[$($constant),*];
    };
}

catalogue! {
    BUILD_INFO = Kind::Gauge, "tidewatch_build_info", ["version", "revision"], "1; the labels say which build runs; the revision is what TIDEWATCH_REVISION was when it was compiled.";
    MESSAGES_CONSUMED = Kind::Counter, "tidewatch_messages_consumed_total", ["topic"], "Messages read, those of internal topics and those replayed after a start included.";
    MESSAGES_SHARED = Kind::Counter, "tidewatch_messages_shared_total", ["topic"], "Of the messages read, those that a job took from what another job of this instance had fetched and decoded.";
    CONSUMED_BYTES = Kind::Counter, "tidewatch_consumed_bytes_total", ["topic"], "Bytes of their values.";
    CONSUMER_LAG = Kind::Gauge, "tidewatch_consumer_lag_messages", ["job_id", "topic", "kafka_partition"], "Messages of a partition assigned to the job that lie ahead; 0 when everything readable has been read.";
    UNREADABLE = Kind::Counter, "tidewatch_messages_unreadable_total", ["topic"], "Internal messages that no stage of this build can read; they are passed over.";
    EVENTS_REJECTED = Kind::Counter, "tidewatch_events_rejected_total", ["job_id", "reason"], "Events refused and sent to the dead letters, by reason.";
    EVENTS_FILTERED = Kind::Counter, "tidewatch_events_filtered_total", ["job_id"], "Events that the job's query does not select; they are no dead letters. Those replayed after a start included.";
    TOMBSTONES = Kind::Counter, "tidewatch_tombstones_total", ["topic"], "Messages of input topics that have no value, which say that a key is no more: they are no events, and no dead letters. Those replayed after a start included.";
    EVENTS_LATE_FOR_JUDGE = Kind::Counter, "tidewatch_events_late_for_judge_total", ["job_id"], "Events that reached a judge after it had judged their bucket and could not judge it again: their partition had been taken for idle, or the bucket has left the window of late revisions.";
    EVENTS_LATE_REVISED = Kind::Counter, "tidewatch_events_late_revised_total", ["job_id"], "Events (or summary counts) that came late and re-opened the result of their bucket (late_revision_window).";
    BUCKETS_REVISED = Kind::Counter, "tidewatch_buckets_revised_total", ["job_id"], "Times that the results of a closed bucket were said again, for events that came late.";
    EVENT_LATENESS = Kind::Histogram(LATENESS), "tidewatch_event_lateness_seconds", ["job_id"], "How far events lie behind the newest event of their partition, in event time; 0 when they are in order. Replayed ones count again.";
    WATERMARK = Kind::Gauge, "tidewatch_watermark_timestamp_seconds", ["job_id"], "Event time up to which this instance's part of the job is done: the least watermark of its input partitions.";
    BUCKET_SPAN = Kind::Gauge, "tidewatch_bucket_span_seconds", ["job_id"], "The job's bucket span, so that alerts can scale themselves.";
    ASSIGNED_PARTITIONS = Kind::Gauge, "tidewatch_assigned_partitions", ["job_id"], "Partitions, of input and internal topics, that this instance works on.";
    REBALANCES = Kind::Counter, "tidewatch_rebalances_total", ["kind"], "Changes of assignment: assigned, released (handed over) or lost (the group went on without us).";
    INPUTS_IDLE = Kind::Counter, "tidewatch_inputs_idle_total", ["job_id"], "Times that a silent input partition was no longer waited for.";
    INPUTS_PAUSED = Kind::Gauge, "tidewatch_inputs_paused", ["job_id"], "Input partitions held back because they are far ahead of the slowest in event time; none once the job is live.";
    BUCKETS_CLOSED = Kind::Counter, "tidewatch_buckets_closed_total", ["job_id", "finality"], "Buckets whose results were published: final once each, interim as often as they were said.";
    BUCKET_CLOSE_DURATION = Kind::Histogram(QUICK), "tidewatch_bucket_close_duration_seconds", ["job_id"], "How long judging a closed bucket took, learning included; once a bucket and judge.";
    RECORDS = Kind::Counter, "tidewatch_records_total", ["job_id", "detector", "severity"], "Final anomaly records published. The detector is its description; severities begin at scores of 0, 3, 25, 50 and 75.";
    DETECTION_DELAY = Kind::Histogram(SLOW), "tidewatch_detection_delay_seconds", ["job_id"], "From a bucket's end, in event time, until its final results were visible. The one number to page on; large while history is caught up with.";
    MODELS = Kind::Gauge, "tidewatch_models", ["job_id"], "Series that the job keeps a model of.";
    MODEL_MEMORY = Kind::Gauge, "tidewatch_model_memory_bytes", ["job_id"], "Memory of the job's models. As the number of models, shown by the instance that writes the job's results.";
    MODEL_MEMORY_LIMIT = Kind::Gauge, "tidewatch_model_memory_limit_bytes", ["job_id"], "The job's model_memory_limit.";
    MODEL_REFUSALS = Kind::Gauge, "tidewatch_model_refusals", ["job_id", "what"], "What the limit has refused since the job began: new series (once for each bucket that they came in), or growth of known ones.";
    MISPLACED_KEYS = Kind::Counter, "tidewatch_misplaced_keys_total", ["job_id"], "Values of the partition field that came from more than one topic partition, though the job says keyed_by_partition_field; each once, and of many values those of a sample.";
    MODELS_PRUNED = Kind::Counter, "tidewatch_models_pruned_total", ["job_id"], "Series let go because they were not seen for the prune window, or, near the memory limit, for longer than they had lived.";
    SNAPSHOTS = Kind::Counter, "tidewatch_snapshots_total", ["job_id", "outcome"], "Snapshots: stored, failed to be stored, or unusable when they were wanted.";
    SNAPSHOT_LAST = Kind::Gauge, "tidewatch_snapshot_last_success_timestamp_seconds", ["job_id"], "When a snapshot of the job was stored here last, of whichever task.";
    SNAPSHOTS_FAILING = Kind::Gauge, "tidewatch_snapshots_failing", ["job_id"], "Tasks of the job here whose snapshots cannot be stored, or not be read while they are waited for, until that succeeds.";
    SNAPSHOT_DURATION = Kind::Histogram(QUICK), "tidewatch_snapshot_duration_seconds", ["job_id"], "How long storing a snapshot took.";
    SNAPSHOT_SIZE = Kind::Gauge, "tidewatch_snapshot_size_bytes", ["job_id"], "Size of the snapshot stored last.";
    RESULTS_EXPIRED = Kind::Counter, "tidewatch_results_expired_total", ["job_id"], "Results withdrawn because they were older than the job keeps them (results_retention_days).";
    RESULTS_NOT_EXPIRED = Kind::Counter, "tidewatch_results_expiry_failures_total", ["job_id"], "Times that old results could not be withdrawn, or not all of them; tried again an hour later at the earliest.";
    TRANSACTIONS = Kind::Counter, "tidewatch_transactions_total", ["outcome"], "Transactions: committed, or aborted (what they held is sent again, or restored elsewhere).";
    TRANSACTION_DURATION = Kind::Histogram(QUICK), "tidewatch_transaction_duration_seconds", [], "How long a committed transaction took.";
    RESTORE_DURATION = Kind::Histogram(SLOW), "tidewatch_restore_duration_seconds", ["job_id"], "From the assignment of a partition until its task was live, replay included.";
    REPLAYED = Kind::Counter, "tidewatch_replayed_messages_total", ["job_id"], "Messages read again, with nothing said, to reach the committed position.";
    REPLAY_GAPS = Kind::Counter, "tidewatch_replay_gaps_total", ["job_id"], "Times that messages to be read, or read again, were gone from the log, or positions had vanished: results may differ from those of an unbroken run.";
    TOPIC_CHANGES = Kind::Counter, "tidewatch_topic_changes_total", ["job_id", "kind"], "Changes of input topics while the job was at work: gone, renewed (made anew, or shorter than what was read; by partition), partitions_added.";
    ANOMALY_SCORE = Kind::Gauge, "tidewatch_anomaly_score", ["job_id", "detector", "entity"], "With metrics.scores: the record score, 0 to 100, in the last final bucket; 0 without a record. The one family with an entity as a label, and that only with metrics.scores: entities.";
    Y = Kind::Gauge, "tidewatch_y", ["job_id", "detector", "entity"], "With metrics.scores: the value in the last final bucket that had a model plot or a record of it.";
    YHAT = Kind::Gauge, "tidewatch_yhat", ["job_id", "detector", "entity"], "The value that was expected.";
    YHAT_LOWER = Kind::Gauge, "tidewatch_yhat_lower", ["job_id", "detector", "entity"], "The lower bound of what was expected.";
    YHAT_UPPER = Kind::Gauge, "tidewatch_yhat_upper", ["job_id", "detector", "entity"], "The upper bound of what was expected.";
    SCORES_LEFT_OUT = Kind::Counter, "tidewatch_scores_left_out_total", ["job_id"], "With metrics.scores: records and plots that metrics.scores_limit kept out of the series.";
    ALERTS = Kind::Counter, "tidewatch_alerts_total", ["job_id", "event"], "Notices written to the alerts topic: an incident opened, updated or resolved, held back or not.";
    ALERTS_HELD_BACK = Kind::Counter, "tidewatch_alerts_held_back_total", ["job_id", "reason"], "Incidents that nobody was told of when they began: covered by a silence, or beyond the rate limit (those are announced together).";
    ALERT_STATES_LOST = Kind::Counter, "tidewatch_alert_states_lost_total", ["job_id"], "Times that the state of a job's alerts could not be read: the incidents that went on are forgotten.";
    NOTIFICATIONS = Kind::Counter, "tidewatch_notifications_total", ["receiver", "outcome"], "Notices of incidents by receiver: delivered, refused (passed over), stale (older than max_age, not delivered); failed counts attempts, which are repeated.";
    JOB_FILES_REFUSED = Kind::Gauge, "tidewatch_job_files_refused", [], "Job files that are refused as they are now; the jobs that they described before go on.";
    JOB_CHANGES = Kind::Counter, "tidewatch_job_changes_total", ["kind"], "Jobs started (at the start, new, or changed) and stopped, and job files refused, while this instance ran.";
    TRACE_SPANS = Kind::Counter, "tidewatch_trace_spans_total", ["outcome"], "With telemetry.otlp: spans exported to the collector, dropped because the queue was full, or failed to be delivered. Nothing else waits for them.";
    HTTP_REFUSED = Kind::Counter, "tidewatch_http_requests_refused_total", ["code"], "Requests without the credentials (401) or the client certificate (403) that http.auth and http.tls ask for.";
    LOG_UNAVAILABLE = Kind::Counter, "tidewatch_log_unavailable_total", ["job_id"], "Times that the brokers did not answer, or a job could not be worked for what they said; they are asked again.";
}

impl Spec {
    pub(super) fn counter(&self, registry: &Registry) -> IntCounterVec {
        debug_assert_eq!(self.kind, Kind::Counter);
        self.register(
            registry,
            IntCounterVec::new(Opts::new(self.name, self.help), self.labels),
        )
    }

    pub(super) fn gauge(&self, registry: &Registry) -> GaugeVec {
        debug_assert_eq!(self.kind, Kind::Gauge);
        self.register(
            registry,
            GaugeVec::new(Opts::new(self.name, self.help), self.labels),
        )
    }

    pub(super) fn histogram(&self, registry: &Registry) -> HistogramVec {
        let Kind::Histogram(bounds) = self.kind else {
            unreachable!("{} is a {:?}", self.name, self.kind)
        };
        let options = HistogramOpts::new(self.name, self.help).buckets(bounds.to_vec());
        self.register(registry, HistogramVec::new(options, self.labels))
    }

    /// A histogram whose observations come counted.
    pub(super) fn counted(&self, registry: &Registry) -> CountedHistogram {
        let Kind::Histogram(bounds) = self.kind else {
            unreachable!("{} is a {:?}", self.name, self.kind)
        };
        let histogram = CountedHistogram::new(self.name, self.help, self.labels[0], bounds);
        self.register(registry, Ok(histogram))
    }

    fn register<M: prometheus::core::Collector + Clone + 'static>(
        &self,
        registry: &Registry,
        metric: prometheus::Result<M>,
    ) -> M {
        let metric = metric.expect("the catalogue holds legal names");
        registry
            .register(Box::new(metric.clone()))
            .expect("the catalogue holds each name once");
        metric
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    fn page() -> String {
        let mut page = String::from(
            "# Metrics\n\nEverything at `/metrics`, beside the usual `process_*`. This page is generated: `UPDATE_EXPECT=1 cargo test --lib catalogue` writes it.\n\
             Labels never hold a value of a by, over or partition field, but for the opt-in series of scores. `job` belongs to Prometheus, so a job is a `job_id`.\n\n\
             The series of scores exist with `metrics.scores` only. Their names are those of vmanomaly and Prophet, after our prefix; a dashboard that knows the bare names gets them by\n\
             `metric_relabel_configs: [{source_labels: [__name__], regex: 'tidewatch_(anomaly_score|y|yhat.*)', target_label: __name__, replacement: '$1'}]`.\n\n\
             | metric | type | labels | meaning |\n|---|---|---|---|\n",
        );
        for spec in ALL {
            let kind = match spec.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            let labels = if spec.labels.is_empty() {
                "–".into()
            } else {
                spec.labels.join(", ")
            };
            writeln!(
                page,
                "| `{}` | {kind} | {labels} | {} |",
                spec.name, spec.help
            )
            .unwrap();
        }
        page
    }

    #[test]
    fn the_page_of_metrics_is_the_catalogue() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&file, page()).unwrap();
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(
            written,
            page(),
            "docs/metrics.md is stale: UPDATE_EXPECT=1 cargo test --lib catalogue"
        );
    }

    #[test]
    fn tasks_count_lateness_by_the_bounds_that_are_exported() {
        let counted = crate::runtime::task::LATENESS_BOUNDS_MS.map(|ms| ms as f64 / 1000.0);
        assert_eq!(LATENESS, counted);
    }

    #[test]
    fn names_keep_prometheus_manners() {
        for Spec {
            name,
            kind,
            labels,
            help,
        } in ALL
        {
            assert!(name.starts_with("tidewatch_"), "{name}");
            assert_eq!(
                name.ends_with("_total"),
                *kind == Kind::Counter,
                "{name}: counters, and only they, end in _total"
            );
            assert!(
                !labels.contains(&"job"),
                "{name}: job belongs to Prometheus"
            );
            assert!(help.ends_with('.'), "{name}: a sentence");
        }
    }
}
