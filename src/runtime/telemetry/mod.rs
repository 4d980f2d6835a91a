//! What the runtime tells of itself: each [`Fact`] becomes counts and, where a person would want to know, a log line; and the health that
//! `/livez` and `/readyz` answer with.
//!
//! Times are the clock's, in seconds outside and milliseconds inside. Holds: every label value that is known beforehand is exported from the
//! start, at 0; nothing here waits. Checked by: the tests below, and tests/kafka, which scrapes a running service.

mod alerts;
mod catalogue;
mod counted;
mod health;
mod metrics;
mod report;
mod scores;
mod words;

pub use health::{Health, JobHealth};
pub use report::{Bucket, Hot, JobReport, Memory, Partition, Report, Snapshot, State, TimingStats};

use super::clock::Clock;
use super::log::{Revocation, TopicPartition};
use super::observer::{Fact, Observer};
use super::store::SnapshotKey;
use super::task::Measured;
use crate::config::Job;
use crate::config::service::Scores;
use crate::engine::result::{BucketSummary, Document, Severity};
use crate::time::Finality;
use alerts::AlertMetrics;
use catalogue as metric;
use health::Ledger;
use metrics::Metrics;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Registry, TextEncoder};
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
    metrics: Metrics,
    alerts: AlertMetrics,
    scores: Option<ScoreSeries>,
    ledger: Mutex<Ledger>,
    jobs: Mutex<BTreeMap<String, Arc<Job>>>,
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
            metrics: Metrics::new(to),
            alerts: AlertMetrics::new(to),
            scores: ScoreSeries::of(scores, to),
            ledger: Mutex::default(),
            jobs: Mutex::default(),
            registry,
            clock,
        };
        jobs.iter().for_each(|job| telemetry.know(job));
        telemetry
    }

    /// These receivers will be told of alerts.
    pub fn expect_receivers<'r>(&self, names: impl Iterator<Item = &'r str>) {
        names.for_each(|name| self.alerts.expect_receiver(name));
    }

    /// A job that is known is exported from now on, and not ready until it says so.
    fn know(&self, job: &Arc<Job>) {
        self.drop_lag(job.id.as_str());
        self.ledger().begin(job, self.clock.steady_ms());
        let before = self.jobs().insert(job.id.clone(), Arc::clone(job));
        if let (Some(scores), Some(before)) = (&self.scores, before) {
            scores.forget(&before); // its detectors may have been others
        }
        self.metrics.begin(job);
        self.alerts.begin_at_zero(job.id.as_str());
        if let Some(scores) = &self.scores {
            scores.begin_at_zero(job);
        }
    }

    /// What a job said of itself would be wrong from now on. What it counted stays.
    fn forget(&self, job_id: &str) {
        let job = self.jobs().remove(job_id);
        if let (Some(scores), Some(job)) = (&self.scores, job) {
            scores.forget(&job);
        }
        self.drop_lag(job_id);
        self.metrics.forget(job_id);
    }

    /// The lag of what was assigned to a job is said by somebody else now, or by nobody.
    fn drop_lag(&self, job_id: &str) {
        let (assigned, late) = self.ledger().end(job_id);
        if late > 0 {
            words::say_late(job_id, late);
        }
        assigned.iter().for_each(|at| self.forget_lag(job_id, at));
    }

    fn forget_lag(&self, job_id: &str, at: &TopicPartition) {
        let labels = [job_id, &*at.topic, &at.partition.to_string()];
        let _ = self.metrics.lag.remove_label_values(&labels); // none was said yet, perhaps
    }

    fn jobs(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything in Prometheus's text format.
    pub fn exposition(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_else(|error| format!("# {error}\n"))
    }

    /// A request that may not be made has been answered with this status.
    pub fn http_refused(&self, code: u16) {
        let refused = &self.metrics.http_refused;
        refused.with_label_values(&[&code.to_string()]).inc();
    }

    /// Whether everybody is at work now.
    pub fn health(&self) -> Health {
        self.ledger().health(self.clock.steady_ms())
    }

    /// How everybody is now, in detail.
    pub fn report(&self) -> Report {
        let (now_ms, steady_ms) = (self.clock.now_ms(), self.clock.steady_ms());
        self.ledger().report(now_ms, steady_ms)
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
        let late = self.ledger().breath(job_id, ready, at_end, now_ms);
        if let Some(events) = late {
            words::say_late(job_id, events);
        }
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
        self.metrics
            .consumed
            .with_label_values(&[&*at.topic])
            .inc_by(*messages);
        self.metrics
            .consumed_bytes
            .with_label_values(&[&*at.topic])
            .inc_by(*bytes);
        if let Some(lag) = lag {
            self.lies_ahead(job_id, at, *lag);
        }
    }

    fn lies_ahead(&self, job_id: &str, at: &TopicPartition, messages: u64) {
        let labels = [job_id, &*at.topic, &at.partition.to_string()];
        let lag = self.metrics.lag.with_label_values(&labels);
        lag.set(messages as f64);
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
        self.metrics
            .rebalances
            .with_label_values(&["assigned"])
            .inc();
        let assigned = self.ledger().assigned(job_id, at);
        self.show_failing_snapshots(job_id); // those that it waited for are there
        self.metrics
            .assigned
            .with_label_values(&[job_id])
            .set(assigned as f64);
        if from < live_from {
            self.ledger().restoring(job_id, at, *duration_ms);
        } else {
            let restored = self.metrics.restore_duration.with_label_values(&[job_id]);
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
        self.metrics
            .replayed
            .with_label_values(&[job_id])
            .inc_by(*messages);
        let whole_ms = self.ledger().restored(job_id, at) + duration_ms;
        self.metrics
            .restore_duration
            .with_label_values(&[job_id])
            .observe(seconds(whole_ms));
    }

    fn measured(&self, job_id: &str, measured: &Measured) {
        let metrics = &self.metrics;
        metrics.lateness.add(
            job_id,
            &measured.lateness,
            measured.lateness_ms as f64 / 1000.0,
        );
        let closed = metrics.close_duration.with_label_values(&[job_id]);
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
        metrics
            .pruned
            .with_label_values(&[job_id])
            .inc_by(measured.pruned);
    }

    fn snapshot(&self, job_id: &str, fact: &Fact<'_>) {
        let metrics = &self.metrics;
        let Fact::Snapshot {
            key,
            bytes,
            duration_ms,
        } = fact
        else {
            return;
        };
        self.ledger().snapshot(job_id, key, self.clock.now_ms());
        self.show_failing_snapshots(job_id);
        metrics
            .snapshots
            .with_label_values(&[job_id, "stored"])
            .inc();
        metrics
            .snapshot_last
            .with_label_values(&[job_id])
            .set(seconds(self.clock.now_ms()));
        metrics
            .snapshot_duration
            .with_label_values(&[job_id])
            .observe(seconds(*duration_ms));
        metrics
            .snapshot_size
            .with_label_values(&[job_id])
            .set(*bytes as f64);
    }

    /// What is not as it should be: each has a counter.
    fn trouble(&self, job_id: &str, fact: &Fact<'_>) {
        let metrics = &self.metrics;
        let job = &[job_id];
        match fact {
            Fact::Rejected { rejection, .. } => {
                metrics
                    .rejected
                    .with_label_values(&[job_id, rejection.reason.label()])
                    .inc();
            }
            Fact::Unreadable { at, .. } => {
                metrics.unreadable.with_label_values(&[&*at.topic]).inc()
            }
            Fact::PassedOver { events, .. } => {
                metrics.filtered.with_label_values(job).inc_by(*events);
            }
            Fact::Tombstones { at, messages } => {
                let topic = &[&*at.topic];
                metrics
                    .tombstones
                    .with_label_values(topic)
                    .inc_by(*messages);
            }
            Fact::Shared { at, messages } => {
                let topic = &[&*at.topic];
                metrics.shared.with_label_values(topic).inc_by(*messages);
            }
            Fact::Paused { inputs } => metrics.paused.with_label_values(job).set(*inputs as f64),
            Fact::LateForJudge { events, .. } => {
                self.ledger().late(job_id, *events);
                let late = metrics.late_for_judge.with_label_values(job);
                late.inc_by(*events);
            }
            Fact::Idle { at } => {
                metrics.idle.with_label_values(job).inc();
                self.ledger().idle(job_id, at);
                self.show_watermark(job_id);
            }
            Fact::Aborted { .. } => metrics.transactions.with_label_values(&["aborted"]).inc(),
            Fact::SnapshotFailed { key, error } => {
                let task = task_in(job_id, key);
                self.ledger().snapshot_failed(job_id, task, error);
                self.show_failing_snapshots(job_id);
                let failed = metrics.snapshots.with_label_values(&[job_id, "failed"]);
                failed.inc();
            }
            Fact::SnapshotUnusable { .. } => metrics
                .snapshots
                .with_label_values(&[job_id, "unusable"])
                .inc(),
            Fact::SnapshotsAwaited { at, error } => {
                let task = at.to_string();
                self.ledger().snapshot_failed(job_id, &task, error);
                self.show_failing_snapshots(job_id);
            }
            Fact::Gap { .. } | Fact::PositionVanished { .. } => {
                metrics.gaps.with_label_values(job).inc()
            }
            Fact::TopicGone { .. } => self.topic_changed(job_id, "gone"),
            Fact::TopicRenewed { .. } => self.topic_changed(job_id, "renewed"),
            Fact::PartitionsAdded { .. } => self.topic_changed(job_id, "partitions_added"),
            Fact::Unavailable { error } | Fact::NotAtWork { error } => {
                self.ledger().failed(job_id, error);
                metrics.unavailable.with_label_values(job).inc();
            }
            _ => {}
        }
    }

    fn topic_changed(&self, job_id: &str, kind: &str) {
        self.metrics
            .topic_changes
            .with_label_values(&[job_id, kind])
            .inc();
    }

    fn revoked(&self, job_id: &str, partitions: &[TopicPartition], how: Revocation) {
        let kind = match how {
            Revocation::Released => "released",
            Revocation::Lost => "lost",
        };
        self.metrics
            .rebalances
            .with_label_values(&[kind])
            .inc_by(partitions.len() as u64);
        let (assigned, wrote_results) = self.ledger().revoked(job_id, partitions);
        if wrote_results {
            self.forget_results(job_id);
        }
        self.show_failing_snapshots(job_id);
        self.metrics
            .assigned
            .with_label_values(&[job_id])
            .set(assigned as f64);
        // Somebody else's lag by now.
        partitions.iter().for_each(|at| self.forget_lag(job_id, at));
        self.show_watermark(job_id);
    }

    /// What the job's results say of it is shown by somebody else now, or by nobody.
    fn forget_results(&self, job_id: &str) {
        self.metrics.forget_models(job_id);
        if let (Some(scores), Some(job)) = (&self.scores, self.jobs().get(job_id)) {
            scores.forget(job);
        }
    }

    fn show_failing_snapshots(&self, job_id: &str) {
        let failing = self.ledger().failing_snapshots(job_id);
        let gauge = self.metrics.snapshots_failing.with_label_values(&[job_id]);
        gauge.set(failing as f64);
    }

    fn show_watermark(&self, job_id: &str) {
        match self.ledger().least_watermark(job_id) {
            Some(least) => self
                .metrics
                .watermark
                .with_label_values(&[job_id])
                .set(seconds(least)),
            // Somebody else's event time; left here, it would look like a job that is stuck.
            None => drop(self.metrics.watermark.remove_label_values(&[job_id])),
        }
    }

    fn bucket(&self, job_id: &str, at: &TopicPartition, summary: &BucketSummary) {
        let metrics = &self.metrics;
        metrics
            .buckets
            .with_label_values(&[job_id, label(summary.finality)])
            .inc();
        if summary.finality == Finality::Interim {
            return;
        }
        let now_ms = self.clock.now_ms();
        self.ledger().bucket(job_id, at, summary, now_ms);
        metrics
            .models
            .with_label_values(&[job_id])
            .set(summary.series as f64);
        metrics
            .model_bytes
            .with_label_values(&[job_id])
            .set(summary.model_bytes as f64);
        for (what, refused) in [
            ("series", summary.refused_series),
            ("growth", summary.refused_growth),
        ] {
            metrics
                .model_refusals
                .with_label_values(&[job_id, what])
                .set(refused as f64);
        }
        let misplaced = &summary.misplaced_keys;
        let counter = metrics.misplaced_keys.with_label_values(&[job_id]);
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
        metrics
            .delay
            .with_label_values(&[job_id])
            .observe(seconds((self.clock.now_ms() - end_ms).max(0)));
        for (detector, severity) in &summary.records {
            let detector = job
                .detectors
                .get(usize::from(*detector))
                .map_or("", |detector| detector.description.as_str());
            metrics
                .records
                .with_label_values(&[job_id, detector, severity.label()])
                .inc();
        }
        if let Some(loudest) = &summary.loudest {
            let critical = |record: &&(u16, Severity)| record.1 >= Severity::Critical;
            tracing::info!(
                job_id, bucket = %summary.start, records = summary.records.iter().filter(critical).count(),
                score = loudest.record_score.round(), sentence = loudest.sentence,
                "critical anomaly"
            );
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
                self.metrics
                    .watermark
                    .with_label_values(&[job_id])
                    .set(seconds(least));
            }
            Fact::Bucket { at, summary } => self.bucket(job_id, at, summary),
            Fact::Expired { documents, .. } => {
                let expired = self.metrics.expired.with_label_values(&[job_id]);
                expired.inc_by(*documents);
            }
            Fact::NotExpired { .. } => {
                self.metrics.not_expired.with_label_values(&[job_id]).inc();
            }
            Fact::Revised { revision } => {
                let late = self.metrics.late_revised.with_label_values(&[job_id]);
                late.inc_by(revision.events);
                self.metrics
                    .buckets_revised
                    .with_label_values(&[job_id])
                    .inc();
            }
            Fact::Assigned { at, .. } => self.assigned(job_id, at, fact),
            Fact::Replayed { at, .. } => self.replayed(job_id, at, fact),
            Fact::Revoked { partitions, how } => self.revoked(job_id, partitions, *how),
            Fact::Committed { duration_ms, .. } => {
                self.metrics
                    .transactions
                    .with_label_values(&["committed"])
                    .inc();
                let duration = self
                    .metrics
                    .transaction_duration
                    .with_label_values::<&str>(&[]);
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
                self.metrics
                    .job_changes
                    .with_label_values(&["started"])
                    .inc();
                self.know(job);
            }
            Fact::JobStopped => {
                self.metrics
                    .job_changes
                    .with_label_values(&["stopped"])
                    .inc();
                self.forget(job_id);
            }
            Fact::Spans {
                exported,
                dropped,
                failed,
                ..
            } => self.metrics.spans_counted(*exported, *dropped, *failed),
            Fact::JobFiles { refusals, refused } => {
                let new = refusals.len() as u64;
                self.metrics
                    .job_changes
                    .with_label_values(&["refused"])
                    .inc_by(new);
                let standing = self.metrics.files_refused.with_label_values::<&str>(&[]);
                standing.set(*refused as f64);
            }
            trouble => self.trouble(job_id, trouble),
        }
        words::say(job_id, fact);
    }
}

/// Which of the job's tasks a snapshot is of: `topic/partition`.
fn task_in<'k>(job_id: &str, key: &'k SnapshotKey) -> &'k str {
    let task = key.task.strip_prefix(job_id);
    let task = task.and_then(|task| task.strip_prefix('/'));
    task.unwrap_or(&key.task)
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

#[cfg(test)]
mod tests;
