//! Result documents: plain data with public fields, in Elastic's shapes (results.md).

use crate::time::{BucketStart, EventTime, Finality};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

/// The kind of a document: `result_type`, and the name of its results topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // named as `result_type` is
pub enum DocumentKind {
    Bucket,
    BucketInfluencer,
    Influencer,
    Record,
    ModelPlot,
    ModelSizeStats,
    DataCounts,
}

impl DocumentKind {
    /// Every kind.
    pub const ALL: [DocumentKind; 7] = [
        DocumentKind::Bucket,
        DocumentKind::BucketInfluencer,
        DocumentKind::Influencer,
        DocumentKind::Record,
        DocumentKind::ModelPlot,
        DocumentKind::ModelSizeStats,
        DocumentKind::DataCounts,
    ];

    /// `result_type`.
    pub fn name(self) -> &'static str {
        match self {
            DocumentKind::Bucket => "bucket",
            DocumentKind::BucketInfluencer => "bucket_influencer",
            DocumentKind::Influencer => "influencer",
            DocumentKind::Record => "record",
            DocumentKind::ModelPlot => "model_plot",
            DocumentKind::ModelSizeStats => "model_size_stats",
            DocumentKind::DataCounts => "data_counts",
        }
    }
}

/// A result document. `Serialize` writes it as Elastic does, fields in one fixed order.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What it is.
    pub kind: DocumentKind,
    /// Its id (results.md 3.11): the key of its message; a later document of the same id replaces it.
    pub id: String,
    /// The bucket it speaks of.
    pub time: BucketStart,
    /// Whether it is the last word.
    pub finality: Finality,
    /// 0..=100 where the kind has a score.
    pub score: Option<f64>,
    /// One sentence for a person, where there is something to say.
    pub sentence: Option<String>,
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("result_type", self.kind.name())?;
        map.end()
    }
}

/// The name of a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DocumentId {
    /// What it is.
    pub kind: DocumentKind,
    /// Its id.
    pub id: String,
    /// The bucket it speaks of.
    pub time: BucketStart,
}

/// The bands of a score (results.md 3.12): half-open at 3, 25, 50, 75.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // the names say it
pub enum Severity {
    Low,
    Warning,
    Minor,
    Major,
    Critical,
}

impl Severity {
    /// Every band, the mildest first.
    pub const ALL: [Severity; 5] = [
        Severity::Low,
        Severity::Warning,
        Severity::Minor,
        Severity::Major,
        Severity::Critical,
    ];

    /// The band of a score in 0..=100.
    pub fn of(score: f64) -> Severity {
        match score {
            s if s >= 75.0 => Severity::Critical,
            s if s >= 50.0 => Severity::Major,
            s if s >= 25.0 => Severity::Minor,
            s if s >= 3.0 => Severity::Warning,
            _ => Severity::Low,
        }
    }

    /// The label in metrics and tables.
    pub fn label(self) -> &'static str {
        match self {
            Severity::Low => "low",
            Severity::Warning => "warning",
            Severity::Minor => "minor",
            Severity::Major => "major",
            Severity::Critical => "critical",
        }
    }
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
    /// Bytes of all models of the job.
    pub model_bytes: u64,
    /// Series of the job.
    pub series: u64,
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
    pub earliest_record: Option<EventTime>,
    pub latest_record: Option<EventTime>,
    /// Refused, by reason, in the order of [`Reason::ALL`](crate::engine::event::Reason::ALL).
    pub rejected: [u64; 8],
}

impl DataCounts {
    /// Adds another count; commutative and associative.
    pub fn add(&mut self, other: &DataCounts) {
        self.processed_record_count += other.processed_record_count;
        self.processed_field_count += other.processed_field_count;
        self.input_bytes += other.input_bytes;
        self.input_field_count += other.input_field_count;
        self.missing_field_count += other.missing_field_count;
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
