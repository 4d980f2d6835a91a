//! How each job is: when its loop last turned, whether it is restored, what is assigned to it.
//!
//! *Live* is about us, never about Kafka: a probe that fails while brokers are away restarts everyone in an outage. *Ready* is that every
//! job has joined its group and caught up with what was committed. Times are milliseconds, by the steady clock where they are compared.

use super::report::{
    Bucket, HOTTEST_BUCKETS, HOTTEST_MAX, Hot, JobReport, Memory, Partition, Report, SCHEMA,
    Snapshot, State, TimingStats,
};
use super::{REVISION, VERSION, task_in};
use crate::config::Job;
use crate::engine::result::{BucketSummary, MemoryStatus};
use crate::runtime::log::TopicPartition;
use crate::runtime::store::SnapshotKey;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A loop that has not turned for so long is stuck. Longer than the longest wait for a broker that has a deadline (a transaction, its abort
/// and an attempt to take the id over again).
const STUCK_AFTER_MS: i64 = 120_000;

/// A job that has had everything read so recently is live, however busy it is at this moment.
const LIVE_FOR_MS: i64 = 10_000;

/// Events that come late come by the thousand, one word after another: they are said together, so seldom at most.
const LATE_INTERVAL_MS: i64 = 10_000;

/// How everybody is.
#[derive(Clone, Debug, Serialize)]
pub struct Health {
    /// Whether every loop turns.
    pub live: bool,
    /// Whether every job is at work.
    pub ready: bool,
    /// Job by job.
    pub jobs: BTreeMap<String, JobHealth>,
}

/// How one job is.
#[derive(Clone, Debug, Serialize)]
pub struct JobHealth {
    /// Whether its loop turns.
    pub live: bool,
    /// Whether it is restored.
    pub ready: bool,
    /// Partitions that this instance works on.
    pub assigned_partitions: usize,
    /// Partitions whose tasks are still being restored.
    pub restoring_partitions: usize,
    /// Since the loop turned last.
    pub seconds_since_last_turn: f64,
}

/// What is remembered of each job.
#[derive(Default)]
pub(super) struct Ledger {
    jobs: BTreeMap<String, Entry>,
}

/// How far a partition has come.
#[derive(Clone, Copy, Debug)]
struct Watermark {
    event_time_ms: i64,
    /// Nobody waits for it.
    is_idle: bool,
}

#[derive(Default)]
struct Entry {
    turned_ms: i64,
    ready: bool,
    at_end_ms: Option<i64>,
    error: Option<String>,
    span_ms: i64,
    limit_bytes: u64,
    lags: BTreeMap<TopicPartition, u64>,
    /// The partition whose task has published the job's last bucket here.
    results_at: Option<TopicPartition>,
    last_bucket: Option<Bucket>,
    misplaced_keys: u64,
    memory: Option<Memory>,
    last_snapshot: Option<Snapshot>,
    /// Why the last snapshots of these tasks, `topic/partition`, could not be stored, or are not there yet.
    snapshot_errors: BTreeMap<String, String>,
    timing: TimingStats,
    /// Those of the last buckets, in no order.
    hot: Vec<Hot>,
    assigned: BTreeSet<TopicPartition>,
    /// With the time that restoring the snapshot took.
    restoring: BTreeMap<TopicPartition, i64>,
    watermarks: BTreeMap<TopicPartition, Watermark>,
    /// Events that reached a judge too late, since that was said last.
    late: u64,
    late_said_ms: Option<i64>,
}

impl Ledger {
    /// A job is new, or begins anew.
    pub(super) fn begin(&mut self, job: &Job, now_ms: i64) {
        let entry = Entry {
            turned_ms: now_ms,
            span_ms: job.bucket_span.millis(),
            limit_bytes: job.model_memory_limit_bytes,
            ..Entry::default()
        };
        self.jobs.insert(job.id.clone(), entry);
    }

    /// A job is no more; what was assigned to it, and how many late events were not said yet.
    pub(super) fn end(&mut self, job_id: &str) -> (BTreeSet<TopicPartition>, u64) {
        let ended = self.jobs.remove(job_id);
        ended
            .map(|entry| (entry.assigned, entry.late))
            .unwrap_or_default()
    }

    /// So many events more reached a judge after their bucket had been judged.
    pub(super) fn late(&mut self, job_id: &str, events: u64) {
        self.entry(job_id).late += events;
    }

    fn entry(&mut self, job_id: &str) -> &mut Entry {
        if !self.jobs.contains_key(job_id) {
            self.jobs.insert(job_id.to_string(), Entry::default());
        }
        self.jobs
            .get_mut(job_id)
            .expect("it was put there if it was not")
    }

    /// Notes a turn of the loop. Returns how many late events are to be said now, if any are.
    pub(super) fn breath(
        &mut self,
        job_id: &str,
        ready: bool,
        at_end: bool,
        now_ms: i64,
    ) -> Option<u64> {
        let entry = self.entry(job_id);
        (entry.turned_ms, entry.ready) = (now_ms, ready);
        if at_end {
            entry.at_end_ms = Some(now_ms);
        }
        if ready && !entry.assigned.is_empty() {
            entry.error = None;
        }
        let is_due = entry
            .late_said_ms
            .is_none_or(|said_ms| now_ms - said_ms >= LATE_INTERVAL_MS);
        if entry.late == 0 || !is_due {
            return None;
        }
        entry.late_said_ms = Some(now_ms);
        Some(std::mem::take(&mut entry.late))
    }

    /// How many are assigned now.
    pub(super) fn assigned(&mut self, job_id: &str, at: &TopicPartition) -> usize {
        let entry = self.entry(job_id);
        entry.error = None;
        entry.snapshot_errors.remove(&at.to_string());
        entry.assigned.insert(at.clone());
        entry.assigned.len()
    }

    /// How many are assigned still, and whether the one is gone that wrote the job's results.
    pub(super) fn revoked(&mut self, job_id: &str, partitions: &[TopicPartition]) -> (usize, bool) {
        let entry = self.entry(job_id);
        for at in partitions {
            entry.assigned.remove(at);
            entry.restoring.remove(at);
            entry.watermarks.remove(at);
            entry.lags.remove(at);
            entry.snapshot_errors.remove(&at.to_string());
        }
        let wrote_results = entry
            .results_at
            .take_if(|at| partitions.contains(at))
            .is_some();
        if wrote_results {
            (entry.last_bucket, entry.memory) = (None, None);
            entry.misplaced_keys = 0;
            entry.hot.clear();
        }
        (entry.assigned.len(), wrote_results)
    }

    pub(super) fn restoring(&mut self, job_id: &str, at: &TopicPartition, took_ms: i64) {
        self.entry(job_id).restoring.insert(at.clone(), took_ms);
    }

    /// How long the restoring before the replay took.
    pub(super) fn restored(&mut self, job_id: &str, at: &TopicPartition) -> i64 {
        self.entry(job_id).restoring.remove(at).unwrap_or(0)
    }

    /// The least watermark of the job's partitions here.
    pub(super) fn watermark(
        &mut self,
        job_id: &str,
        at: &TopicPartition,
        event_time_ms: i64,
    ) -> i64 {
        let entry = self.entry(job_id);
        let told = Watermark {
            event_time_ms,
            is_idle: false,
        };
        match entry.watermarks.get_mut(at) {
            Some(held) => *held = told,
            None => drop(entry.watermarks.insert(at.clone(), told)),
        }
        entry.watermark().unwrap_or(event_time_ms)
    }

    /// Nobody waits for the partition any more, until it is heard of again.
    pub(super) fn idle(&mut self, job_id: &str, at: &TopicPartition) {
        if let Some(held) = self.entry(job_id).watermarks.get_mut(at) {
            held.is_idle = true;
        }
    }

    /// The same of those that are still here.
    pub(super) fn least_watermark(&self, job_id: &str) -> Option<i64> {
        self.jobs.get(job_id)?.watermark()
    }

    /// The job is not at work.
    pub(super) fn failed(&mut self, job_id: &str, error: &str) {
        self.entry(job_id).error = Some(error.to_owned());
    }

    pub(super) fn lag(&mut self, job_id: &str, at: &TopicPartition, messages: u64) {
        let lags = &mut self.entry(job_id).lags;
        match lags.get_mut(at) {
            Some(held) => *held = messages,
            None => drop(lags.insert(at.clone(), messages)),
        }
    }

    pub(super) fn snapshot(&mut self, job_id: &str, key: &SnapshotKey, now_ms: i64) {
        let timestamp_ms = now_ms;
        let entry = self.entry(job_id);
        entry.last_snapshot = Some(Snapshot { timestamp_ms });
        entry.snapshot_errors.remove(task_in(job_id, key));
    }

    /// `task`: `topic/partition`.
    pub(super) fn snapshot_failed(&mut self, job_id: &str, task: &str, error: &str) {
        let errors = &mut self.entry(job_id).snapshot_errors;
        errors.insert(task.to_owned(), error.to_owned());
    }

    /// How many tasks of the job could not store their last snapshot.
    pub(super) fn failing_snapshots(&self, job_id: &str) -> usize {
        let entry = self.jobs.get(job_id);
        entry.map_or(0, |entry| entry.snapshot_errors.len())
    }

    /// A bucket was judged here.
    pub(super) fn judged(&mut self, job_id: &str, took: Duration) {
        self.entry(job_id).timing.add(took);
    }

    /// A final bucket is published.
    pub(super) fn bucket(
        &mut self,
        job_id: &str,
        at: &TopicPartition,
        summary: &BucketSummary,
        now_ms: i64,
    ) {
        let entry = self.entry(job_id);
        entry.results_at = Some(at.clone());
        entry.last_bucket = Some(Bucket::of(summary, now_ms));
        entry.misplaced_keys = summary.misplaced_keys.total;
        entry.memory = Some(Memory {
            model_bytes: summary.model_bytes,
            limit_bytes: entry.limit_bytes,
            status: summary.memory_status,
            series: summary.series,
            refused_series: summary.refused_series,
        });
        let since_ms = summary.start.millis() - (HOTTEST_BUCKETS - 1) * entry.span_ms;
        entry.hot.retain(|hot| hot.timestamp_ms >= since_ms);
    }

    /// A strong record; one of the same id is replaced.
    pub(super) fn hot(&mut self, job_id: &str, hot: Hot) {
        let held = &mut self.entry(job_id).hot;
        held.retain(|one| one.id != hot.id);
        held.push(hot);
        // What is hot now may be all that is left when the older ones have gone: room for the strongest of every bucket in view.
        let room = HOTTEST_MAX * HOTTEST_BUCKETS as usize;
        let weakest = (0..held.len()).min_by(|&a, &b| {
            let (a, b) = (&held[a], &held[b]);
            a.record_score.total_cmp(&b.record_score)
        });
        if let Some(weakest) = weakest.filter(|_| held.len() > room) {
            held.swap_remove(weakest);
        }
    }

    /// How everybody is at `now_ms` of the day, `steady_ms` by the clock that turns are told by.
    pub(super) fn report(&self, now_ms: i64, steady_ms: i64) -> Report {
        let Health { live, ready, .. } = self.health(steady_ms);
        let report = |(id, entry): (&String, &Entry)| (id.clone(), entry.report(steady_ms));
        Report {
            schema: SCHEMA,
            version: VERSION,
            revision: REVISION,
            timestamp_ms: now_ms,
            live,
            ready,
            jobs: self.jobs.iter().map(report).collect(),
        }
    }

    pub(super) fn health(&self, now_ms: i64) -> Health {
        let jobs: BTreeMap<String, JobHealth> = self
            .jobs
            .iter()
            .map(|(id, entry)| (id.clone(), entry.health(now_ms)))
            .collect();
        Health {
            live: jobs.values().all(|job| job.live),
            ready: jobs.values().all(|job| job.ready),
            jobs,
        }
    }
}

/// What makes a job's results less than they should be, though it is at work.
fn degraded(misplaced_keys: u64) -> Option<String> {
    let values = match misplaced_keys {
        0 => return None,
        1 => "1 value".to_owned(),
        many => format!("{many} values"),
    };
    Some(format!(
        "{values} of the partition field came from more than one topic partition, though the job says keyed_by_partition_field: each \
         partition's part is judged for itself; the annotations misplaced_key name the first"
    ))
}

impl Entry {
    /// The least watermark of the partitions that are waited for; where there are none, the furthest: of a feed that has stopped it stands still.
    fn watermark(&self) -> Option<i64> {
        let all = || self.watermarks.values();
        let awaited = all().filter(|one| !one.is_idle);
        let least = awaited.map(|one| one.event_time_ms).min();
        least.or_else(|| all().map(|one| one.event_time_ms).max())
    }

    /// Why a snapshot could not be stored: the first task that there is something to say of, and how many others.
    fn snapshot_error(&self) -> Option<String> {
        let (task, error) = self.snapshot_errors.first_key_value()?;
        let others = match self.snapshot_errors.len() - 1 {
            0 => String::new(),
            others => format!(" (and {others} more)"),
        };
        Some(format!("{task}: {error}{others}"))
    }

    fn state(&self, now_ms: i64) -> State {
        let was_at_end = self.at_end_ms.is_some_and(|at| now_ms - at <= LIVE_FOR_MS);
        match () {
            () if self.error.is_some() => State::Failed,
            () if !self.restoring.is_empty() => State::Restoring,
            () if !self.ready || self.assigned.is_empty() => State::Starting,
            () if was_at_end => State::Live,
            () => State::CatchingUp,
        }
    }

    fn report(&self, now_ms: i64) -> JobReport {
        let health = self.health(now_ms);
        let partition = |at: &TopicPartition| Partition {
            topic: at.topic.to_string(),
            kafka_partition: at.partition,
            lag_messages: self.lags.get(at).copied(),
            watermark_timestamp_ms: self.watermarks.get(at).map(|one| one.event_time_ms),
            replaying: self.restoring.contains_key(at),
        };
        let partitions: Vec<Partition> = self.assigned.iter().map(partition).collect();
        let mut hottest = self.hot.clone();
        hottest.sort_by(|a, b| {
            let by_score = b.record_score.total_cmp(&a.record_score);
            let by_time = b.timestamp_ms.cmp(&a.timestamp_ms);
            by_score.then(by_time).then_with(|| a.id.cmp(&b.id))
        });
        hottest.truncate(HOTTEST_MAX);
        JobReport {
            state: self.state(now_ms),
            error: self.error.clone(),
            degraded: degraded(self.misplaced_keys),
            misplaced_keys: self.misplaced_keys,
            live: health.live,
            ready: health.ready,
            seconds_since_last_turn: health.seconds_since_last_turn,
            bucket_span_ms: self.span_ms,
            lag_messages: partitions.iter().map(|one| one.lag_messages).sum(),
            watermark_timestamp_ms: self.watermark(),
            partitions,
            last_bucket: self.last_bucket.clone(),
            memory: self.memory.unwrap_or(Memory {
                model_bytes: 0,
                limit_bytes: self.limit_bytes,
                status: MemoryStatus::Ok,
                series: 0,
                refused_series: 0,
            }),
            last_snapshot: self.last_snapshot,
            snapshot_error: self.snapshot_error(),
            timing_stats: self.timing,
            hottest,
        }
    }

    fn health(&self, now_ms: i64) -> JobHealth {
        let since_ms = (now_ms - self.turned_ms).max(0);
        JobHealth {
            live: since_ms < STUCK_AFTER_MS,
            ready: self.ready,
            assigned_partitions: self.assigned.len(),
            restoring_partitions: self.restoring.len(),
            seconds_since_last_turn: since_ms as f64 / 1000.0,
        }
    }
}
