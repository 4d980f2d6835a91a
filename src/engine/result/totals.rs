//! What a job says of itself: its size, its counts, and how a bucket went (results.md 3.9).

use super::{Body, Document, Severity};
use crate::engine::categorize::CategorizerStats;
use crate::time::{BucketStart, EventTime, Finality};
use serde::{Deserialize, Serialize};

/// `model_size_stats` (results.md 3.9), without what only a clock knows.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)] // named and described in results.md 3.9
pub struct ModelSizeStats {
    pub model_bytes: u64,
    pub peak_model_bytes: u64,
    pub model_bytes_exceeded: u64,
    pub model_bytes_memory_limit: u64,
    pub total_by_field_count: u64,
    pub total_over_field_count: u64,
    pub total_partition_field_count: u64,
    pub bucket_allocation_failures_count: u64,
    pub refused_series_count: u64,
    pub refused_growth_count: u64,
    pub memory_status: MemoryStatus,
    pub categories: CategorizerStats,
}

/// `memory_status` (results.md 3.9): how near its limit a job's memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryStatus {
    /// Far.
    #[default]
    Ok,
    /// Near: series not seen for longer than they lived are forgotten.
    SoftLimit,
    /// There: new series, or the growth of known ones, are refused.
    HardLimit,
}

/// `data_counts` (results.md 3.9), without what only a clock knows.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)] // named and described in results.md 3.9
pub struct JobCounts {
    pub counts: DataCounts,
    pub bucket_count: u64,
    pub empty_bucket_count: u64,
    pub sparse_bucket_count: u64,
    pub latest_empty_bucket: Option<BucketStart>,
    pub latest_sparse_bucket: Option<BucketStart>,
    /// Events, or summary counts, that came late and re-opened a result.
    pub late_revised: u64,
}

/// What counters and progress want to know of a bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct BucketSummary {
    /// The bucket.
    pub start: BucketStart,
    /// Whether it is closed.
    pub finality: Finality,
    /// Events (or summary counts) in it.
    pub event_count: u64,
    /// 0..=100.
    pub anomaly_score: f64,
    /// Detector index and severity of each record written.
    pub records: Vec<(u16, Severity)>,
    /// The most unusual of them, where it is critical.
    pub loudest: Option<Loudest>,
    /// Bytes of all models of the job.
    pub model_bytes: u64,
    /// Series of the job.
    pub series: u64,
    /// New series refused so far for want of memory, each once for a bucket.
    pub refused_series: u64,
    /// Likewise growth of known series.
    pub refused_growth: u64,
    /// How near the memory limit is.
    pub memory_status: MemoryStatus,
    /// Whether the topic is keyed as the job says.
    pub misplaced_keys: MisplacedKeys,
}

/// The one record of a bucket that a line of a log has room for.
#[derive(Clone, Debug, PartialEq)]
pub struct Loudest {
    /// 0..=100.
    pub record_score: f64,
    /// Its description.
    pub sentence: String,
}

impl Loudest {
    /// Among the documents of a bucket.
    pub(in crate::engine) fn of(documents: &[Document]) -> Option<Loudest> {
        let records = documents
            .iter()
            .filter_map(|document| match &document.body {
                Body::Record(record) => Some(record),
                _ => None,
            });
        let critical = |score: f64| Severity::of(score) >= Severity::Critical;
        records
            .max_by(|a, b| a.record_score.total_cmp(&b.record_score))
            .filter(|record| critical(record.record_score))
            .map(|record| Loudest {
                record_score: record.record_score,
                sentence: record.description.clone(),
            })
    }
}

/// Values of the partition field that have come from several input partitions, though the job says that the topic is keyed by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MisplacedKeys {
    /// Since the job began.
    pub total: u64,
    /// Of them, those first noticed at the end of this bucket.
    pub new: u64,
    /// What there is to say of the first of those.
    pub sentence: Option<String>,
}

/// `data_counts` (results.md 3.9), additive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // named and described in results.md 3.9
pub struct DataCounts {
    pub processed_record_count: u64,
    pub processed_field_count: u64,
    pub input_bytes: u64,
    pub input_field_count: u64,
    pub missing_field_count: u64,
    /// Ours: values that were there and are not what a function needs: text where a number is asked for, a position that is none.
    pub unreadable_field_count: u64,
    pub earliest_record: Option<EventTime>,
    pub latest_record: Option<EventTime>,
    /// Refused, by reason, in the order of [`Reason::ALL`](crate::engine::event::Reason::ALL).
    pub rejected: [u64; 8],
}

impl DataCounts {
    /// So many fields that were counted as missing are not; below 0, so many are that were not.
    #[inline]
    pub fn find_fields(&mut self, fields: i64) {
        if fields == 0 {
            return;
        }
        self.missing_field_count = self.missing_field_count.saturating_add_signed(-fields);
        self.processed_field_count = self.processed_field_count.saturating_add_signed(fields);
    }

    /// Adds another count; commutative and associative.
    pub fn add(&mut self, other: &DataCounts) {
        self.processed_record_count += other.processed_record_count;
        self.processed_field_count += other.processed_field_count;
        self.input_bytes += other.input_bytes;
        self.input_field_count += other.input_field_count;
        self.missing_field_count += other.missing_field_count;
        self.unreadable_field_count += other.unreadable_field_count;
        self.earliest_record = match (self.earliest_record, other.earliest_record) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.latest_record = self.latest_record.max(other.latest_record);
        for (mine, theirs) in self.rejected.iter_mut().zip(other.rejected) {
            *mine += theirs;
        }
    }
}
