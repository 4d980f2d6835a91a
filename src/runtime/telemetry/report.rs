//! What `/healthz` answers: each job in detail, for people and for `tidewatch top`.
//!
//! Times are milliseconds since the epoch, sizes bytes. The document is stable: fields are added, never renamed, while `schema` stays.
//! Holds: everything in it is of this instance (its partitions of a job, its rollups); lists are bounded. docs/operating.md explains it field by field.
//! Checked by: the tests of the parent module, and tests/kafka/operations.rs.

use crate::engine::result::Body;
use crate::engine::result::{BucketSummary, Document, MemoryStatus, Severity};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The version of the document.
pub(super) const SCHEMA: &str = "tidewatch.health/1";
/// Records shown of a job.
pub(super) const HOTTEST_MAX: usize = 10;
/// Buckets that they are of, the last one included.
pub(super) const HOTTEST_BUCKETS: i64 = 12;

/// How everybody is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Which document this is.
    pub schema: &'static str,
    /// Of the build.
    pub version: &'static str,
    /// Of the build's source.
    pub revision: &'static str,
    /// When it was asked for.
    pub timestamp_ms: i64,
    /// Whether every loop turns.
    pub live: bool,
    /// Whether every job is at work.
    pub ready: bool,
    /// Job by job.
    pub jobs: BTreeMap<String, JobReport>,
}

/// What a job is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It joins its group, or waits for partitions.
    Starting,
    /// It reads a snapshot, or again what had been read.
    Restoring,
    /// It is behind, and goes through what there is.
    CatchingUp,
    /// It has read everything, or had a moment ago.
    Live,
    /// It is not at work, and will be tried again; `error` says why.
    Failed,
}

/// One job on this instance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobReport {
    /// What it is doing.
    pub state: State,
    /// Why it failed last, until it is at work again.
    pub error: Option<String>,
    /// Why its results are less than they should be, though it is at work; `None`: they are not, as far as is known.
    pub degraded: Option<String>,
    /// As of the last bucket: values of the partition field from more than one topic partition, of a job that says that its topic is keyed.
    pub misplaced_keys: u64,
    /// Whether its loop turns.
    pub live: bool,
    /// Whether it is restored.
    pub ready: bool,
    /// Since its loop turned last.
    pub seconds_since_last_turn: f64,
    /// Its bucket span.
    pub bucket_span_ms: i64,
    /// Messages that lie ahead in all partitions; `None` where not all are known.
    pub lag_messages: Option<u64>,
    /// Event time up to which this instance's input partitions are done: the least of theirs.
    pub watermark_timestamp_ms: Option<i64>,
    /// Input and internal partitions that this instance works on.
    pub partitions: Vec<Partition>,
    /// The last final bucket that this instance published.
    pub last_bucket: Option<Bucket>,
    /// As of that bucket.
    pub memory: Memory,
    /// The last snapshot that this instance stored.
    pub last_snapshot: Option<Snapshot>,
    /// Why a snapshot of a task could not be stored here, until one of this task is again.
    pub snapshot_error: Option<String>,
    /// How long judging takes here.
    pub timing_stats: TimingStats,
    /// The strongest records of the last buckets, strongest first.
    pub hottest: Vec<Hot>,
}

/// A partition at work.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Partition {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub kafka_partition: i32,
    /// Messages that lie ahead, where known.
    pub lag_messages: Option<u64>,
    /// Of an input partition, once it has had an event.
    pub watermark_timestamp_ms: Option<i64>,
    /// Whether it is being read again, with nothing said.
    pub replaying: bool,
}

/// A published bucket.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bucket {
    /// Its start.
    pub timestamp_ms: i64,
    /// When it was published.
    pub published_timestamp_ms: i64,
    /// 0..=100.
    pub anomaly_score: f64,
    /// Events in it.
    pub event_count: u64,
    /// Records in it.
    pub records: usize,
}

/// The memory of a job's models.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Memory {
    /// Of all models of the job.
    pub model_bytes: u64,
    /// The job's limit.
    pub limit_bytes: u64,
    /// How near that is.
    pub status: MemoryStatus,
    /// Series that have a model.
    pub series: u64,
    /// New series refused for want of memory.
    pub refused_series: u64,
}

/// A stored snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    /// When.
    pub timestamp_ms: i64,
}

/// How long buckets took to be judged on this instance since the job was started here: Elastic's `timing_stats`, by the wall clock and
/// therefore in no results topic. A bucket counts once for each judge that works here; milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct TimingStats {
    /// Buckets.
    pub bucket_count: u64,
    /// The sum.
    pub total_bucket_processing_time_ms: f64,
    /// The shortest; as those below, absent without a bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_bucket_processing_time_ms: Option<f64>,
    /// The longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_bucket_processing_time_ms: Option<f64>,
    /// The mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_bucket_processing_time_ms: Option<f64>,
    /// A mean in which the newest bucket has a weight of [`TimingStats::NEWEST_RATIO`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exponential_average_bucket_processing_time_ms: Option<f64>,
}

impl TimingStats {
    /// The weight of the newest bucket in the exponential average.
    pub const NEWEST_RATIO: f64 = 0.01;

    /// One more bucket.
    pub(super) fn add(&mut self, took: Duration) {
        let ms = took.as_secs_f64() * 1000.0;
        let least = self.minimum_bucket_processing_time_ms.unwrap_or(ms);
        let most = self.maximum_bucket_processing_time_ms.unwrap_or(ms);
        let before = self.exponential_average_bucket_processing_time_ms;
        let before = before.unwrap_or(ms);
        self.bucket_count += 1;
        self.total_bucket_processing_time_ms += ms;
        self.minimum_bucket_processing_time_ms = Some(least.min(ms));
        self.maximum_bucket_processing_time_ms = Some(most.max(ms));
        let average = self.total_bucket_processing_time_ms / self.bucket_count as f64;
        self.average_bucket_processing_time_ms = Some(average);
        let smoothed = before + TimingStats::NEWEST_RATIO * (ms - before);
        self.exponential_average_bucket_processing_time_ms = Some(smoothed);
    }
}

/// A strong record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hot {
    /// Its document's id.
    pub id: String,
    /// Its bucket's start.
    pub timestamp_ms: i64,
    /// 0..=100.
    pub record_score: f64,
    /// By that score.
    pub severity: &'static str,
    /// Which detector.
    pub detector_index: u16,
    /// Its function, as Elastic describes it.
    pub function: &'static str,
    /// By and partition field with their values.
    pub entity: BTreeMap<String, String>,
    /// Who is to blame: influencer fields with their strongest value.
    pub influencers: BTreeMap<String, String>,
    /// What came.
    pub actual: Vec<f64>,
    /// What was usual.
    pub typical: Vec<f64>,
    /// One sentence.
    pub description: String,
}

impl Hot {
    /// Of a record's document.
    pub(super) fn of(document: &Document) -> Option<Hot> {
        let Body::Record(record) = &document.body else {
            return None;
        };
        let influencers = record.influencers.iter();
        Some(Hot {
            id: document.id.clone(),
            timestamp_ms: document.time.millis(),
            record_score: record.record_score,
            severity: Severity::of(record.record_score).label(),
            detector_index: record.detector_index,
            function: record.function_description,
            entity: record
                .splits()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            influencers: influencers
                .filter_map(|one| {
                    let strongest = one.influencer_field_values.first()?;
                    Some((one.influencer_field_name.clone(), strongest.clone()))
                })
                .collect(),
            actual: record.told().0.to_vec(),
            typical: record.told().1.to_vec(),
            description: record.description.clone(),
        })
    }
}

impl Bucket {
    pub(super) fn of(summary: &BucketSummary, now_ms: i64) -> Bucket {
        Bucket {
            timestamp_ms: summary.start.millis(),
            published_timestamp_ms: now_ms,
            anomaly_score: summary.anomaly_score,
            event_count: summary.event_count,
            records: summary.records.len(),
        }
    }
}
