//! Result documents: plain data with public fields, in Elastic's shapes (results.md).

mod annotation;
pub mod forecast;
pub mod id;
mod record;
pub mod sentence;
mod totals;
mod when_where;
mod write;

use super::categorize::{CategorizerStats, CategoryDefinition};
use crate::time::{BucketSpan, BucketStart, Finality};
pub use annotation::{Annotation, AnnotationEvent, Lost};
pub use forecast::{ForecastStats, ForecastStatus, ModelForecast};
pub use record::{Cause, Explanation, GeoResults, Record, RecordInfluencer};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
pub use totals::{
    BucketSummary, DataCounts, JobCounts, Loudest, MemoryStatus, MisplacedKeys, ModelSizeStats,
};

/// The kind of a document: `result_type`, and the name of its results topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // named as `result_type` is
pub enum DocumentKind {
    Bucket,
    BucketInfluencer,
    Influencer,
    Record,
    ModelPlot,
    Annotation,
    ModelSizeStats,
    DataCounts,
    CategoryDefinition,
    CategorizerStats,
    ModelForecast,
    ModelForecastRequestStats,
}

impl DocumentKind {
    /// What somebody asked to be foretold: said on request, not by a job as it goes.
    pub const FORECASTS: [DocumentKind; 2] = [
        DocumentKind::ModelForecast,
        DocumentKind::ModelForecastRequestStats,
    ];

    /// Every kind that a job says.
    pub const ALL: [DocumentKind; 10] = [
        DocumentKind::Bucket,
        DocumentKind::BucketInfluencer,
        DocumentKind::Influencer,
        DocumentKind::Record,
        DocumentKind::ModelPlot,
        DocumentKind::Annotation,
        DocumentKind::ModelSizeStats,
        DocumentKind::DataCounts,
        DocumentKind::CategoryDefinition,
        DocumentKind::CategorizerStats,
    ];

    /// `result_type`.
    pub fn name(self) -> &'static str {
        match self {
            DocumentKind::Bucket => "bucket",
            DocumentKind::BucketInfluencer => "bucket_influencer",
            DocumentKind::Influencer => "influencer",
            DocumentKind::Record => "record",
            DocumentKind::ModelPlot => "model_plot",
            DocumentKind::Annotation => "annotation",
            DocumentKind::ModelSizeStats => "model_size_stats",
            DocumentKind::DataCounts => "data_counts",
            DocumentKind::CategoryDefinition => "category_definition",
            DocumentKind::CategorizerStats => "categorizer_stats",
            DocumentKind::ModelForecast => "model_forecast",
            DocumentKind::ModelForecastRequestStats => "model_forecast_request_stats",
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
    /// The job it belongs to.
    pub job_id: Arc<str>,
    /// The bucket it speaks of.
    pub time: BucketStart,
    /// That bucket's span.
    pub span: BucketSpan,
    /// Whether it is the last word.
    pub finality: Finality,
    /// Of a closed bucket that was judged again: with what.
    pub late: Option<LateWord>,
    /// What it says.
    pub body: Body,
}

/// Why a document of a closed bucket says something else than it said at first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LateWord {
    /// Events, or summary counts, of the bucket that had come late when it was judged again: `late_event_count`. 0, and not written, of model plots, and
    /// while the shard that counts them has not spoken.
    pub event_count: u64,
    /// What was said is no longer so: the document is as it was said before, but for a score of 0 (`is_withdrawn`).
    pub is_withdrawn: bool,
    /// The score said before, 0 if nothing was; not written.
    pub score_before: f64,
}

/// What a document says.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // named as `result_type` is
pub enum Body {
    Bucket(Bucket),
    BucketInfluencer(BucketInfluencer),
    Influencer(Influencer),
    Record(Box<Record>),
    ModelPlot(ModelPlot),
    Annotation(Annotation),
    ModelSizeStats(ModelSizeStats),
    DataCounts(JobCounts),
    Category(Box<Category>),
    CategorizerStats(Partitioned),
    ModelForecast(ModelForecast),
    ForecastStats(Box<ForecastStats>),
}

impl Document {
    /// The score that the document carries, 0..=100, where its kind has one.
    pub fn score(&self) -> Option<f64> {
        match &self.body {
            Body::Bucket(bucket) => Some(bucket.anomaly_score),
            Body::BucketInfluencer(one) => Some(one.anomaly_score),
            Body::Influencer(one) => Some(one.influencer_score),
            Body::Record(record) => Some(record.record_score),
            Body::ModelPlot(_)
            | Body::Annotation(_)
            | Body::ModelSizeStats(_)
            | Body::DataCounts(_)
            | Body::Category(_)
            | Body::CategorizerStats(_)
            | Body::ModelForecast(_)
            | Body::ForecastStats(_) => None,
        }
    }
}

/// `bucket` (results.md 3.2).
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    /// 0..=100: the largest of its influencers'.
    pub anomaly_score: f64,
    /// The score when first written.
    pub initial_anomaly_score: f64,
    /// Events, or summary counts, in it.
    pub event_count: u64,
    /// Its influencers, `bucket_time` among them, highest score first.
    pub bucket_influencers: Vec<BucketInfluencer>,
    /// What the events are called that fall into it.
    pub scheduled_events: Vec<String>,
}

/// `bucket_influencer` (results.md 3.3).
#[derive(Clone, Debug, PartialEq)]
pub struct BucketInfluencer {
    /// A configured influencer, or `bucket_time`.
    pub influencer_field_name: String,
    /// 0..=100.
    pub anomaly_score: f64,
    /// The score when first written.
    pub initial_anomaly_score: f64,
    /// The evidence before normalisation, nats.
    pub raw_anomaly_score: f64,
    /// Of this or something less likely.
    pub probability: f64,
}

/// `influencer` (results.md 3.4).
#[derive(Clone, Debug, PartialEq)]
pub struct Influencer {
    /// Which field.
    pub influencer_field_name: String,
    /// Which value.
    pub influencer_field_value: String,
    /// 0..=100.
    pub influencer_score: f64,
    /// The score when first written.
    pub initial_influencer_score: f64,
    /// Of this or something less likely.
    pub probability: f64,
}

/// `model_plot` (results.md 3.8).
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // named and described in results.md 3.8
pub struct ModelPlot {
    pub detector_index: u16,
    pub by_field_name: Option<String>,
    pub by_field_value: Option<String>,
    pub partition_field_name: Option<String>,
    pub partition_field_value: Option<String>,
    pub over_field_name: Option<String>,
    pub over_field_value: Option<String>,
    pub model_feature: &'static str,
    pub model_lower: f64,
    pub model_upper: f64,
    pub model_median: f64,
    pub actual: Option<f64>,
}

/// `category_definition` (results.md 3.7).
#[derive(Clone, Debug, PartialEq)]
pub struct Category {
    /// Name and value of the partition field, with one categorizer a partition.
    pub partition: Option<(String, String)>,
    /// What it is.
    pub definition: CategoryDefinition,
}

/// `categorizer_stats` (results.md 3.7), without what only a clock knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Partitioned {
    /// Name and value of the partition field, with one categorizer a partition.
    pub partition: Option<(String, String)>,
    /// The counts.
    pub stats: CategorizerStats,
}

/// The name of a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DocumentId {
    /// What it is.
    pub kind: DocumentKind,
    /// Its id.
    pub id: String,
    /// The bucket it speaks of.
    pub time: BucketStart,
}

impl DocumentId {
    /// The name of a document.
    pub fn of(document: &Document) -> DocumentId {
        DocumentId {
            kind: document.kind,
            id: document.id.clone(),
            time: document.time,
        }
    }
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
