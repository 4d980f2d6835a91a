//! What the runtime tells of itself: each [`Fact`] becomes counts and, where a person would want to know, a log line; and the health that
//! `/livez` and `/readyz` answer with.
//!
//! Times are the clock's, in seconds outside and milliseconds inside. Holds: every label value that is known beforehand is exported from the
//! start, at 0; nothing here waits. Checked by: the tests below, and tests/kafka, which scrapes a running service.

mod alerts;
mod catalogue;
mod counted;
mod health;
mod report;
mod scores;

pub use health::{Health, JobHealth};
pub use report::{Bucket, Hot, JobReport, Memory, Partition, Report, Snapshot, State, TimingStats};

use super::clock::Clock;
use super::log::{Revocation, TopicPartition};
use super::observer::{Delivery, Fact, Observer};
use super::task::Measured;
use crate::config::Job;
use crate::config::service::Scores;
use crate::engine::event::Reason;
use crate::engine::result::{BucketSummary, Document, Severity};
use crate::time::Finality;
use alerts::AlertMetrics;
use catalogue as metric;
use counted::CountedHistogram;
use health::Ledger;
use prometheus::process_collector::ProcessCollector;
use prometheus::{GaugeVec, HistogramVec, IntCounterVec, Registry, TextEncoder};
use scores::ScoreSeries;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const REVISION: &str = match option_env!("TIDEWATCH_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Counts, logs and remembers how everybody is.
pub struct Telemetry {
    registry: Registry,
    clock: Arc<dyn Clock>,
    jobs: Mutex<BTreeMap<String, Arc<Job>>>,
    spans: GaugeVec,
    limits: GaugeVec,
    files_refused: GaugeVec,
    job_changes: IntCounterVec,
    ledger: Mutex<Ledger>,
    consumed: IntCounterVec,
    consumed_bytes: IntCounterVec,
    lag: GaugeVec,
    unreadable: IntCounterVec,
    rejected: IntCounterVec,
    filtered: IntCounterVec,
    shared: IntCounterVec,
    paused: GaugeVec,
    late_for_judge: IntCounterVec,
    late_revised: IntCounterVec,
    buckets_revised: IntCounterVec,
    lateness: CountedHistogram,
    watermark: GaugeVec,
    assigned: GaugeVec,
    rebalances: IntCounterVec,
    idle: IntCounterVec,
    buckets: IntCounterVec,
    close_duration: HistogramVec,
    records: IntCounterVec,
    delay: HistogramVec,
    models: GaugeVec,
    model_bytes: GaugeVec,
    model_refusals: GaugeVec,
    pruned: IntCounterVec,
    misplaced_keys: IntCounterVec,
    snapshots: IntCounterVec,
    snapshot_last: GaugeVec,
    snapshot_duration: HistogramVec,
    snapshot_size: GaugeVec,
    transactions: IntCounterVec,
    transaction_duration: HistogramVec,
    restore_duration: HistogramVec,
    replayed: IntCounterVec,
    gaps: IntCounterVec,
    topic_changes: IntCounterVec,
    unavailable: IntCounterVec,
    trace_spans: IntCounterVec,
    scores: Option<ScoreSeries>,
    alerts: AlertMetrics,
}

impl Telemetry {
    /// Telemetry of these jobs, all at nothing. Others may come, and these may go.
    pub fn new(clock: Arc<dyn Clock>, jobs: &[Arc<Job>]) -> Telemetry {
        Telemetry::with_scores(clock, jobs, Scores::Off)
    }

    /// The same, with series of what the jobs say.
    pub fn with_scores(clock: Arc<dyn Clock>, jobs: &[Arc<Job>], scores: Scores) -> Telemetry {
        let registry = Registry::new();
        let to = &registry;
        registry
            .register(Box::new(ProcessCollector::for_self()))
            .expect("no other metric is called process_*");
        metric::BUILD_INFO
            .gauge(to)
            .with_label_values(&[VERSION, REVISION])
            .set(1.0);
        let telemetry = Telemetry {
            consumed: metric::MESSAGES_CONSUMED.counter(to),
            consumed_bytes: metric::CONSUMED_BYTES.counter(to),
            lag: metric::CONSUMER_LAG.gauge(to),
            unreadable: metric::UNREADABLE.counter(to),
            rejected: metric::EVENTS_REJECTED.counter(to),
            filtered: metric::EVENTS_FILTERED.counter(to),
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
            snapshot_last: metric::SNAPSHOT_LAST.gauge(to),
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
            alerts: AlertMetrics::new(to),
            scores: ScoreSeries::of(scores, to),
            spans: metric::BUCKET_SPAN.gauge(to),
            limits: metric::MODEL_MEMORY_LIMIT.gauge(to),
            files_refused: metric::JOB_FILES_REFUSED.gauge(to),
            job_changes: metric::JOB_CHANGES.counter(to),
            ledger: Mutex::new(Ledger::default()),
            jobs: Mutex::default(),
            registry,
            clock,
        };
        telemetry.begin_at_zero();
        jobs.iter().for_each(|job| telemetry.know(job));
        telemetry
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
        for kind in ["started", "stopped", "refused"] {
            self.job_changes.with_label_values(&[kind]);
        }
    }

    /// These receivers will be told of alerts.
    pub fn expect_receivers<'r>(&self, names: impl Iterator<Item = &'r str>) {
        names.for_each(|name| self.alerts.expect_receiver(name));
    }

    fn spans_counted(&self, exported: u64, dropped: u64, failed: u64) {
        let outcomes = [
            ("exported", exported),
            ("dropped", dropped),
            ("failed", failed),
        ];
        for (outcome, spans) in outcomes {
            self.trace_spans.with_label_values(&[outcome]).inc_by(spans);
        }
    }

    /// A job that is known is exported from now on, and not ready until it says so.
    fn know(&self, job: &Arc<Job>) {
        let id = job.id.as_str();
        self.spans
            .with_label_values(&[id])
            .set(job.bucket_span.seconds() as f64);
        self.limits
            .with_label_values(&[id])
            .set(job.model_memory_limit_bytes as f64);
        self.drop_lag(job.id.as_str());
        self.ledger().begin(job, self.clock.steady_ms());
        let before = self.jobs().insert(job.id.clone(), Arc::clone(job));
        if let (Some(scores), Some(before)) = (&self.scores, before) {
            scores.forget(&before); // its detectors may have been others
        }
        self.job_at_zero(job);
    }

    /// What a job said of itself would be wrong from now on. What it counted stays.
    fn forget(&self, job_id: &str) {
        let job = self.jobs().remove(job_id);
        if let (Some(scores), Some(job)) = (&self.scores, job) {
            scores.forget(&job);
        }
        self.drop_lag(job_id);
        let gauges = [
            &self.spans,
            &self.limits,
            &self.watermark,
            &self.assigned,
            &self.paused,
            &self.models,
            &self.model_bytes,
            &self.snapshot_last,
            &self.snapshot_size,
        ];
        for gauge in gauges {
            let _ = gauge.remove_label_values(&[job_id]); // not all were ever set
        }
        for what in ["series", "growth"] {
            let _ = self.model_refusals.remove_label_values(&[job_id, what]);
        }
    }

    /// The lag of what was assigned to a job is said by somebody else now, or by nobody.
    fn drop_lag(&self, job_id: &str) {
        for at in self.ledger().end(job_id) {
            let _ = self
                .lag
                .remove_label_values(&[&*at.topic, &at.partition.to_string()]);
        }
    }

    fn jobs(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn job_at_zero(&self, job: &Job) {
        let id = job.id.as_str();
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
        self.alerts.begin_at_zero(id);
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
        if let Some(scores) = &self.scores {
            scores.begin_at_zero(job);
        }
        self.assigned.with_label_values(&[id]);
        self.paused.with_label_values(&[id]);
    }

    /// Everything in Prometheus's text format.
    pub fn exposition(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_else(|error| format!("# {error}\n"))
    }

    /// Whether everybody is at work now.
    pub fn health(&self) -> Health {
        self.ledger().health(self.clock.steady_ms())
    }

    /// How everybody is now, in detail.
    pub fn report(&self) -> Report {
        self.ledger()
            .report(self.clock.now_ms(), self.clock.steady_ms())
    }

    fn result(&self, job_id: &str, document: &Document) {
        if let Some(scores) = &self.scores
            && let Some(job) = self.jobs().get(job_id).cloned()
        {
            scores.hear(&job, document);
        }
        if let Some(strong) = Hot::of(document) {
            self.ledger().hot(job_id, strong);
        }
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn breath(&self, job_id: &str, ready: bool, at_end: bool) {
        let now_ms = self.clock.steady_ms();
        self.ledger().breath(job_id, ready, at_end, now_ms);
    }

    fn lag_of(&self, at: &TopicPartition) -> prometheus::Gauge {
        self.lag
            .with_label_values(&[&*at.topic, &at.partition.to_string()])
    }

    fn consumed(&self, job_id: &str, at: &TopicPartition, fact: &Fact<'_>) {
        let Fact::Consumed {
            messages,
            bytes,
            lag,
            ..
        } = fact
        else {
            return;
        };
        self.consumed
            .with_label_values(&[&*at.topic])
            .inc_by(*messages);
        self.consumed_bytes
            .with_label_values(&[&*at.topic])
            .inc_by(*bytes);
        if let Some(lag) = lag {
            self.lies_ahead(job_id, at, *lag);
        }
    }

    fn lies_ahead(&self, job_id: &str, at: &TopicPartition, messages: u64) {
        self.lag_of(at).set(messages as f64);
        self.ledger().lag(job_id, at, messages);
    }

    fn assigned(&self, job_id: &str, at: &TopicPartition, fact: &Fact<'_>) {
        let Fact::Assigned {
            from,
            live_from,
            duration_ms,
            ..
        } = fact
        else {
            return;
        };
        self.rebalances.with_label_values(&["assigned"]).inc();
        let assigned = self.ledger().assigned(job_id, at);
        self.assigned
            .with_label_values(&[job_id])
            .set(assigned as f64);
        if from < live_from {
            self.ledger().restoring(job_id, at, *duration_ms);
        } else {
            let restored = self.restore_duration.with_label_values(&[job_id]);
            restored.observe(seconds(*duration_ms));
        }
    }

    fn replayed(&self, job_id: &str, at: &TopicPartition, fact: &Fact<'_>) {
        let Fact::Replayed {
            messages,
            duration_ms,
            ..
        } = fact
        else {
            return;
        };
        self.replayed.with_label_values(&[job_id]).inc_by(*messages);
        let whole_ms = self.ledger().restored(job_id, at) + duration_ms;
        self.restore_duration
            .with_label_values(&[job_id])
            .observe(seconds(whole_ms));
    }

    fn measured(&self, job_id: &str, measured: &Measured) {
        self.lateness.add(
            job_id,
            &measured.lateness,
            measured.lateness_ms as f64 / 1000.0,
        );
        let closed = self.close_duration.with_label_values(&[job_id]);
        measured
            .closings
            .iter()
            .for_each(|closing| closed.observe(closing.as_secs_f64()));
        if !measured.closings.is_empty() {
            let mut ledger = self.ledger();
            measured
                .closings
                .iter()
                .for_each(|took| ledger.judged(job_id, *took));
        }
        self.pruned
            .with_label_values(&[job_id])
            .inc_by(measured.pruned);
    }

    fn snapshot(&self, job_id: &str, fact: &Fact<'_>) {
        let Fact::Snapshot {
            bytes, duration_ms, ..
        } = fact
        else {
            return;
        };
        self.ledger().snapshot(job_id, self.clock.now_ms());
        self.snapshots.with_label_values(&[job_id, "stored"]).inc();
        self.snapshot_last
            .with_label_values(&[job_id])
            .set(seconds(self.clock.now_ms()));
        self.snapshot_duration
            .with_label_values(&[job_id])
            .observe(seconds(*duration_ms));
        self.snapshot_size
            .with_label_values(&[job_id])
            .set(*bytes as f64);
    }

    /// What is not as it should be: each has a counter.
    fn trouble(&self, job_id: &str, fact: &Fact<'_>) {
        let job = &[job_id];
        match fact {
            Fact::Rejected { rejection, .. } => {
                self.rejected
                    .with_label_values(&[job_id, rejection.reason.label()])
                    .inc();
            }
            Fact::Unreadable { at, .. } => self.unreadable.with_label_values(&[&*at.topic]).inc(),
            Fact::PassedOver { events, .. } => {
                self.filtered.with_label_values(job).inc_by(*events);
            }
            Fact::Shared { at, messages } => {
                let topic = &[&*at.topic];
                self.shared.with_label_values(topic).inc_by(*messages);
            }
            Fact::Paused { inputs } => self.paused.with_label_values(job).set(*inputs as f64),
            Fact::LateForJudge { events, .. } => {
                self.late_for_judge.with_label_values(job).inc_by(*events)
            }
            Fact::Idle { .. } => self.idle.with_label_values(job).inc(),
            Fact::Aborted { .. } => self.transactions.with_label_values(&["aborted"]).inc(),
            Fact::SnapshotFailed { .. } => {
                self.snapshots.with_label_values(&[job_id, "failed"]).inc()
            }
            Fact::SnapshotUnusable { .. } => self
                .snapshots
                .with_label_values(&[job_id, "unusable"])
                .inc(),
            Fact::Gap { .. } | Fact::PositionVanished { .. } => {
                self.gaps.with_label_values(job).inc()
            }
            Fact::TopicGone { .. } => self.topic_changed(job_id, "gone"),
            Fact::TopicRenewed { .. } => self.topic_changed(job_id, "renewed"),
            Fact::PartitionsAdded { .. } => self.topic_changed(job_id, "partitions_added"),
            Fact::Unavailable { error } => {
                self.ledger().failed(job_id, error);
                self.unavailable.with_label_values(job).inc();
            }
            _ => {}
        }
    }

    fn topic_changed(&self, job_id: &str, kind: &str) {
        self.topic_changes.with_label_values(&[job_id, kind]).inc();
    }

    fn revoked(&self, job_id: &str, partitions: &[TopicPartition], how: Revocation) {
        let kind = match how {
            Revocation::Released => "released",
            Revocation::Lost => "lost",
        };
        self.rebalances
            .with_label_values(&[kind])
            .inc_by(partitions.len() as u64);
        let assigned = self.ledger().revoked(job_id, partitions);
        self.assigned
            .with_label_values(&[job_id])
            .set(assigned as f64);
        for at in partitions {
            // Somebody else's lag by now.
            let _ = self
                .lag
                .remove_label_values(&[&*at.topic, &at.partition.to_string()]);
        }
        match self.ledger().least_watermark(job_id) {
            Some(least) => self
                .watermark
                .with_label_values(&[job_id])
                .set(seconds(least)),
            // Somebody else's event time; left here, it would look like a job that is stuck.
            None => drop(self.watermark.remove_label_values(&[job_id])),
        }
    }

    fn bucket(&self, job_id: &str, summary: &BucketSummary) {
        self.buckets
            .with_label_values(&[job_id, label(summary.finality)])
            .inc();
        if summary.finality == Finality::Interim {
            return;
        }
        self.ledger().bucket(job_id, summary, self.clock.now_ms());
        self.models
            .with_label_values(&[job_id])
            .set(summary.series as f64);
        self.model_bytes
            .with_label_values(&[job_id])
            .set(summary.model_bytes as f64);
        for (what, refused) in [
            ("series", summary.refused_series),
            ("growth", summary.refused_growth),
        ] {
            self.model_refusals
                .with_label_values(&[job_id, what])
                .set(refused as f64);
        }
        let misplaced = &summary.misplaced_keys;
        let counter = self.misplaced_keys.with_label_values(&[job_id]);
        counter.inc_by(misplaced.new);
        if let Some(sentence) = &misplaced.sentence {
            tracing::error!(
                job_id,
                values = misplaced.new,
                sentence,
                "the topic is not keyed as the job says"
            );
        }
        let Some(job) = self.jobs().get(job_id).cloned() else {
            return;
        };
        if let Some(scores) = &self.scores {
            scores.bucket(&job, summary.start.millis());
        }
        let end_ms = job.bucket_span.end_of(summary.start).millis();
        self.delay
            .with_label_values(&[job_id])
            .observe(seconds((self.clock.now_ms() - end_ms).max(0)));
        for (detector, severity) in &summary.records {
            let detector = job
                .detectors
                .get(usize::from(*detector))
                .map_or("", |detector| detector.description.as_str());
            self.records
                .with_label_values(&[job_id, detector, severity.label()])
                .inc();
            if *severity >= Severity::Critical {
                tracing::info!(job_id, detector, bucket = %summary.start, score = summary.anomaly_score, "critical anomaly");
            }
        }
    }
}

impl Observer for Telemetry {
    fn observe(&self, job_id: &str, fact: &Fact<'_>) {
        match fact {
            Fact::Breath { ready, at_end } => self.breath(job_id, *ready, *at_end),
            Fact::Lag { at, messages } => self.lies_ahead(job_id, at, *messages),
            Fact::Consumed { at, .. } => self.consumed(job_id, at, fact),
            Fact::Watermark { at, event_time_ms } => {
                let least = self.ledger().watermark(job_id, at, *event_time_ms);
                self.watermark
                    .with_label_values(&[job_id])
                    .set(seconds(least));
            }
            Fact::Bucket { summary } => self.bucket(job_id, summary),
            Fact::Revised { revision } => {
                let late = self.late_revised.with_label_values(&[job_id]);
                late.inc_by(revision.events);
                self.buckets_revised.with_label_values(&[job_id]).inc();
            }
            Fact::Assigned { at, .. } => self.assigned(job_id, at, fact),
            Fact::Replayed { at, .. } => self.replayed(job_id, at, fact),
            Fact::Revoked { partitions, how } => self.revoked(job_id, partitions, *how),
            Fact::Committed { duration_ms, .. } => {
                self.transactions.with_label_values(&["committed"]).inc();
                let duration = self.transaction_duration.with_label_values::<&str>(&[]);
                duration.observe(seconds(*duration_ms));
            }
            Fact::Snapshot { .. } => self.snapshot(job_id, fact),
            Fact::Measured { measured } => self.measured(job_id, measured),
            Fact::Result { document } => self.result(job_id, document),
            Fact::LeftOut { documents } => {
                if let Some(scores) = &self.scores {
                    scores.left_out(job_id, *documents);
                }
            }
            Fact::Alert { .. }
            | Fact::AlertStateAwaited { .. }
            | Fact::AlertStateUnusable { .. }
            | Fact::Notified { .. } => self.alerts.observe(job_id, fact),
            Fact::JobStarted { job } => {
                self.job_changes.with_label_values(&["started"]).inc();
                self.know(job);
            }
            Fact::JobStopped => {
                self.job_changes.with_label_values(&["stopped"]).inc();
                self.forget(job_id);
            }
            Fact::Spans {
                exported,
                dropped,
                failed,
                ..
            } => self.spans_counted(*exported, *dropped, *failed),
            Fact::JobFiles { refusals, refused } => {
                let new = refusals.len() as u64;
                self.job_changes.with_label_values(&["refused"]).inc_by(new);
                let standing = self.files_refused.with_label_values::<&str>(&[]);
                standing.set(*refused as f64);
            }
            trouble => self.trouble(job_id, trouble),
        }
        say(job_id, fact);
    }
}

/// The facts that a person would want to read, as log lines.
fn say(job_id: &str, fact: &Fact<'_>) {
    match fact {
        Fact::Rejected {
            at,
            offset,
            rejection,
        } => {
            tracing::debug!(job_id, %at, offset, reason = rejection.reason.label(), detail = rejection.detail, "event refused");
        }
        Fact::Unreadable { at, offset, error } => {
            tracing::error!(job_id, %at, offset, error, "an internal message cannot be read by this build; passed over");
        }
        Fact::LateForJudge { at, events } => {
            tracing::warn!(job_id, %at, events, "events came after their bucket was judged: a longer idle_timeout would have waited");
        }
        Fact::Idle { at } => tracing::info!(job_id, %at, "silent; no longer waited for"),
        Fact::Aborted { error } => tracing::warn!(job_id, error, "transaction aborted"),
        Fact::Snapshot {
            key,
            bytes,
            duration_ms,
        } => {
            tracing::debug!(job_id, snapshot = %key, bytes, duration_ms, "snapshot stored");
        }
        Fact::SnapshotFailed { key, error } => {
            tracing::error!(job_id, snapshot = %key, error, "snapshot not stored; tried again in its time");
        }
        Fact::SnapshotsNotForgotten { key, error } => {
            tracing::warn!(job_id, newest = %key, error, "old snapshots not deleted; tried again with the next one");
        }
        Fact::SnapshotUnusable { key, error } => {
            tracing::warn!(job_id, snapshot = %key, error, "snapshot passed over; an older one, or the log's beginning, stands in");
        }
        Fact::Assigned {
            at,
            snapshot,
            from,
            live_from,
            ..
        } => {
            let snapshot = snapshot.map(ToString::to_string);
            tracing::info!(job_id, %at, snapshot, from, live_from, "partition assigned");
        }
        Fact::Replayed {
            at,
            messages,
            duration_ms,
        } => {
            tracing::info!(job_id, %at, messages, duration_ms, "replayed; live");
        }
        Fact::Gap { at, from, to } => {
            tracing::error!(job_id, %at, from, to, "messages to be read, or read again, are gone from the log: results may differ from those of an unbroken run");
        }
        Fact::PositionVanished { at, from } => {
            tracing::error!(job_id, %at, from, "the committed position had vanished; a snapshot stands in, and results after it may come twice");
        }
        Fact::Reconfigured { at } => {
            tracing::info!(job_id, %at, "the job was changed: it learns anew and publishes no bucket again");
        }
        Fact::JobStarted { .. } => tracing::info!(job_id, "job started"),
        Fact::JobStopped => tracing::info!(job_id, "job stopped"),
        Fact::JobFiles { refusals, .. } => {
            for mistakes in *refusals {
                tracing::error!(
                    mistakes,
                    "job file refused; what it described before goes on"
                );
            }
        }
        Fact::Unavailable { error } => {
            tracing::warn!(job_id, error, "the log does not answer; asking again")
        }
        Fact::Revoked { partitions, how } => {
            tracing::info!(job_id, ?how, partitions = %list(partitions), "partitions left");
        }
        Fact::Spans {
            news: Some(news), ..
        } => say_of_spans(*news),
        of_topics => say_of_topics(job_id, of_topics),
    }
}

/// How spans fare.
fn say_of_spans(news: Delivery<'_>) {
    match news {
        Delivery::Works => tracing::info!("spans are delivered again"),
        Delivery::Fails(error) => {
            tracing::warn!(
                error,
                "spans are not delivered, and let go; nothing else waits for them"
            );
        }
        Delivery::Overflows => tracing::warn!(
            "more spans than can be sent; the rest is let go, and counted in tidewatch_trace_spans_total"
        ),
    }
}

/// What becomes of the topics that a job reads.
fn say_of_topics(job_id: &str, fact: &Fact<'_>) {
    match fact {
        Fact::TopicGone { topic } => {
            tracing::error!(
                job_id,
                topic,
                "an input topic does not exist any more; the job goes on without it, and waits for it to be made anew"
            );
        }
        Fact::TopicRenewed { at, from, to } => {
            tracing::error!(job_id, %at, from, to, "the topic was made anew, or has lost messages: offset `from` was to be read next; reading goes on at `to`, with the models that there are");
        }
        Fact::PartitionsAdded {
            topic,
            before,
            count,
        } => {
            tracing::warn!(
                job_id,
                topic,
                before,
                count,
                "an input topic has more partitions (0 before: it is new); they are read from their beginning"
            );
        }
        _ => {}
    }
}

fn label(finality: Finality) -> &'static str {
    match finality {
        Finality::Interim => "interim",
        Finality::Final => "final",
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

fn list(partitions: &[TopicPartition]) -> String {
    let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    names.join(" ")
}

#[cfg(test)]
mod tests;
