//! Every metric of the service but those of alerts and of scores: made, begun at zero, and taken back with the job that it is of.
//!
//! Holds: every label value that is known beforehand is exported from the start, at 0. Names, labels and help are the catalogue's.

use super::catalogue as metric;
use super::counted::CountedHistogram;
use super::label;
use crate::config::Job;
use crate::engine::event::Reason;
use crate::engine::result::Severity;
use crate::time::Finality;
use prometheus::{GaugeVec, HistogramVec, IntCounterVec, Registry};

/// The metrics; each is described in the catalogue.
pub(super) struct Metrics {
    pub(super) spans: GaugeVec,
    pub(super) limits: GaugeVec,
    pub(super) files_refused: GaugeVec,
    pub(super) job_changes: IntCounterVec,
    pub(super) consumed: IntCounterVec,
    pub(super) consumed_bytes: IntCounterVec,
    pub(super) lag: GaugeVec,
    pub(super) unreadable: IntCounterVec,
    pub(super) rejected: IntCounterVec,
    pub(super) filtered: IntCounterVec,
    pub(super) tombstones: IntCounterVec,
    pub(super) shared: IntCounterVec,
    pub(super) paused: GaugeVec,
    pub(super) late_for_judge: IntCounterVec,
    pub(super) late_revised: IntCounterVec,
    pub(super) buckets_revised: IntCounterVec,
    pub(super) lateness: CountedHistogram,
    pub(super) watermark: GaugeVec,
    pub(super) assigned: GaugeVec,
    pub(super) rebalances: IntCounterVec,
    pub(super) idle: IntCounterVec,
    pub(super) buckets: IntCounterVec,
    pub(super) close_duration: HistogramVec,
    pub(super) records: IntCounterVec,
    pub(super) delay: HistogramVec,
    pub(super) models: GaugeVec,
    pub(super) model_bytes: GaugeVec,
    pub(super) model_refusals: GaugeVec,
    pub(super) pruned: IntCounterVec,
    pub(super) misplaced_keys: IntCounterVec,
    pub(super) snapshots: IntCounterVec,
    pub(super) expired: IntCounterVec,
    pub(super) not_expired: IntCounterVec,
    pub(super) snapshot_last: GaugeVec,
    pub(super) snapshots_failing: GaugeVec,
    pub(super) snapshot_duration: HistogramVec,
    pub(super) snapshot_size: GaugeVec,
    pub(super) transactions: IntCounterVec,
    pub(super) transaction_duration: HistogramVec,
    pub(super) restore_duration: HistogramVec,
    pub(super) replayed: IntCounterVec,
    pub(super) gaps: IntCounterVec,
    pub(super) topic_changes: IntCounterVec,
    pub(super) unavailable: IntCounterVec,
    pub(super) trace_spans: IntCounterVec,
    pub(super) http_refused: IntCounterVec,
}

impl Metrics {
    /// Registers them, at nothing.
    pub(super) fn new(to: &Registry) -> Metrics {
        let metrics = Metrics {
            consumed: metric::MESSAGES_CONSUMED.counter(to),
            consumed_bytes: metric::CONSUMED_BYTES.counter(to),
            lag: metric::CONSUMER_LAG.gauge(to),
            unreadable: metric::UNREADABLE.counter(to),
            rejected: metric::EVENTS_REJECTED.counter(to),
            filtered: metric::EVENTS_FILTERED.counter(to),
            tombstones: metric::TOMBSTONES.counter(to),
            shared: metric::MESSAGES_SHARED.counter(to),
            paused: metric::INPUTS_PAUSED.gauge(to),
            late_for_judge: metric::EVENTS_LATE_FOR_JUDGE.counter(to),
            late_revised: metric::EVENTS_LATE_REVISED.counter(to),
            buckets_revised: metric::BUCKETS_REVISED.counter(to),
            lateness: metric::EVENT_LATENESS.counted(to),
            watermark: metric::WATERMARK.gauge(to),
            assigned: metric::ASSIGNED_PARTITIONS.gauge(to),
            rebalances: metric::REBALANCES.counter(to),
            idle: metric::INPUTS_IDLE.counter(to),
            buckets: metric::BUCKETS_CLOSED.counter(to),
            close_duration: metric::BUCKET_CLOSE_DURATION.histogram(to),
            records: metric::RECORDS.counter(to),
            delay: metric::DETECTION_DELAY.histogram(to),
            models: metric::MODELS.gauge(to),
            model_bytes: metric::MODEL_MEMORY.gauge(to),
            model_refusals: metric::MODEL_REFUSALS.gauge(to),
            pruned: metric::MODELS_PRUNED.counter(to),
            misplaced_keys: metric::MISPLACED_KEYS.counter(to),
            snapshots: metric::SNAPSHOTS.counter(to),
            expired: metric::RESULTS_EXPIRED.counter(to),
            not_expired: metric::RESULTS_NOT_EXPIRED.counter(to),
            snapshot_last: metric::SNAPSHOT_LAST.gauge(to),
            snapshots_failing: metric::SNAPSHOTS_FAILING.gauge(to),
            snapshot_duration: metric::SNAPSHOT_DURATION.histogram(to),
            snapshot_size: metric::SNAPSHOT_SIZE.gauge(to),
            transactions: metric::TRANSACTIONS.counter(to),
            transaction_duration: metric::TRANSACTION_DURATION.histogram(to),
            restore_duration: metric::RESTORE_DURATION.histogram(to),
            replayed: metric::REPLAYED.counter(to),
            gaps: metric::REPLAY_GAPS.counter(to),
            topic_changes: metric::TOPIC_CHANGES.counter(to),
            unavailable: metric::LOG_UNAVAILABLE.counter(to),
            trace_spans: metric::TRACE_SPANS.counter(to),
            http_refused: metric::HTTP_REFUSED.counter(to),
            spans: metric::BUCKET_SPAN.gauge(to),
            limits: metric::MODEL_MEMORY_LIMIT.gauge(to),
            files_refused: metric::JOB_FILES_REFUSED.gauge(to),
            job_changes: metric::JOB_CHANGES.counter(to),
        };
        metrics.begin_at_zero();
        metrics
    }

    /// A counter that appears with its first event hides that event from `increase()`.
    fn begin_at_zero(&self) {
        for kind in ["assigned", "released", "lost"] {
            self.rebalances.with_label_values(&[kind]);
        }
        for outcome in ["committed", "aborted"] {
            self.transactions.with_label_values(&[outcome]);
        }
        self.transaction_duration.with_label_values::<&str>(&[]);
        self.files_refused.with_label_values::<&str>(&[]);
        self.spans_counted(0, 0, 0);
        for code in ["401", "403"] {
            self.http_refused.with_label_values(&[code]);
        }
        for kind in ["started", "stopped", "refused"] {
            self.job_changes.with_label_values(&[kind]);
        }
    }

    /// A job's, exported from now on.
    pub(super) fn begin(&self, job: &Job) {
        let id = job.id.as_str();
        self.spans
            .with_label_values(&[id])
            .set(job.bucket_span.seconds() as f64);
        self.limits
            .with_label_values(&[id])
            .set(job.model_memory_limit_bytes as f64);
        for reason in Reason::ALL {
            self.rejected.with_label_values(&[id, reason.label()]);
        }
        for finality in [Finality::Interim, Finality::Final] {
            self.buckets.with_label_values(&[id, label(finality)]);
        }
        for (detector, severity) in job
            .detectors
            .iter()
            .flat_map(|detector| Severity::ALL.map(|severity| (detector, severity)))
        {
            self.records
                .with_label_values(&[id, detector.description.as_str(), severity.label()]);
        }
        for outcome in ["stored", "failed", "unusable"] {
            self.snapshots.with_label_values(&[id, outcome]);
        }
        for kind in ["gone", "renewed", "partitions_added"] {
            self.topic_changes.with_label_values(&[id, kind]);
        }
        for counter in [
            &self.filtered,
            &self.late_for_judge,
            &self.late_revised,
            &self.expired,
            &self.not_expired,
            &self.buckets_revised,
            &self.idle,
            &self.pruned,
            &self.misplaced_keys,
            &self.replayed,
            &self.gaps,
            &self.unavailable,
        ] {
            counter.with_label_values(&[id]);
        }
        for histogram in [
            &self.close_duration,
            &self.delay,
            &self.snapshot_duration,
            &self.restore_duration,
        ] {
            histogram.with_label_values(&[id]);
        }
        self.lateness.begin_at_zero(id);
        self.assigned.with_label_values(&[id]);
        self.paused.with_label_values(&[id]);
        self.snapshots_failing.with_label_values(&[id]);
    }

    /// What a job said of itself would be wrong from now on. What it counted stays.
    pub(super) fn forget(&self, job_id: &str) {
        let gauges = [
            &self.spans,
            &self.limits,
            &self.watermark,
            &self.assigned,
            &self.paused,
            &self.snapshot_last,
            &self.snapshot_size,
            &self.snapshots_failing,
        ];
        for gauge in gauges {
            let _ = gauge.remove_label_values(&[job_id]); // not all were ever set
        }
        self.forget_models(job_id);
    }

    /// The job's results are written elsewhere, or nowhere, from now on.
    pub(super) fn forget_models(&self, job_id: &str) {
        for gauge in [&self.models, &self.model_bytes] {
            let _ = gauge.remove_label_values(&[job_id]); // not all were ever set
        }
        for what in ["series", "growth"] {
            let _ = self.model_refusals.remove_label_values(&[job_id, what]);
        }
    }

    /// What became of spans.
    pub(super) fn spans_counted(&self, exported: u64, dropped: u64, failed: u64) {
        let outcomes = [
            ("exported", exported),
            ("dropped", dropped),
            ("failed", failed),
        ];
        for (outcome, spans) in outcomes {
            self.trace_spans.with_label_values(&[outcome]).inc_by(spans);
        }
    }
}
