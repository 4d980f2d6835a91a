//! Result documents: plain data with public fields, in Elastic's shapes (results.md).

pub mod forecast;
pub mod id;
pub mod sentence;
mod when_where;
mod write;

use super::categorize::{CategorizerStats, CategoryDefinition};
use crate::time::{BucketSpan, BucketStart, EventTime, Finality};
pub use forecast::{ForecastStats, ForecastStatus, ModelForecast};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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

/// The values of one influencer field that are to blame for a record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordInfluencer {
    /// Which field.
    pub influencer_field_name: String,
    /// Its values, strongest first.
    pub influencer_field_values: Vec<String>,
}

/// `record` (results.md 3.5).
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // named and described in results.md 3.5
pub struct Record {
    pub detector_index: u16,
    pub probability: f64,
    pub record_score: f64,
    pub initial_record_score: f64,
    pub multi_bucket_impact: f64,
    pub function: &'static str,
    pub function_description: &'static str,
    pub field_name: Option<String>,
    pub by_field_name: Option<String>,
    pub by_field_value: Option<String>,
    pub correlated_by_field_value: Option<String>,
    pub over_field_name: Option<String>,
    pub over_field_value: Option<String>,
    pub partition_field_name: Option<String>,
    pub partition_field_value: Option<String>,
    pub typical: Vec<f64>,
    pub actual: Vec<f64>,
    pub geo_results: Option<GeoResults>,
    /// What a member of a population is to blame for, the least probable first. Individual records have none.
    pub causes: Vec<Cause>,
    pub influencers: Vec<RecordInfluencer>,
    pub explanation: Explanation,
    /// Whether the by value was never seen before.
    pub first_occurrence: bool,
    /// Buckets that the series' model had learnt from.
    pub history: u32,
    /// One sentence for a person.
    pub description: String,
}

impl Record {
    /// The value and what was expected, as the record says it; of a member of a population, those of its first cause.
    pub fn told(&self) -> (&[f64], &[f64]) {
        match self.causes.first() {
            Some(cause) => (&cause.actual, &cause.typical),
            None => (&self.actual, &self.typical),
        }
    }

    /// Its partition, over and by field with their values, those that it has.
    pub fn splits(&self) -> impl Iterator<Item = (&str, &str)> {
        [
            (&self.partition_field_name, &self.partition_field_value),
            (&self.over_field_name, &self.over_field_value),
            (&self.by_field_name, &self.by_field_value),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.as_deref()?, value.as_deref()?)))
    }

    /// Whether a field is the record's by, over or partition field.
    pub fn is_split_field(&self, name: &str) -> bool {
        [
            &self.by_field_name,
            &self.over_field_name,
            &self.partition_field_name,
        ]
        .into_iter()
        .any(|field| field.as_deref() == Some(name))
    }

    /// Whether it is about a member of a population.
    pub fn is_of_population(&self) -> bool {
        self.over_field_name.is_some()
    }
}

/// One of a population record's `causes` (results.md 3.5).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)] // named and described in results.md 3.5
pub struct Cause {
    pub probability: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_field_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_field_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over_field_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over_field_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_field_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_field_value: Option<String>,
    pub function: &'static str,
    pub function_description: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field_name: Option<String>,
    pub typical: Vec<f64>,
    pub actual: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub geo_results: Option<GeoResults>,
}

/// The positions of a `lat_long` record or cause, as texts that maps read.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)] // named and described in results.md 3.5
pub struct GeoResults {
    pub typical_point: String,
    pub actual_point: String,
}

impl GeoResults {
    /// Of positions as latitude and longitude, degrees.
    pub fn of(typical: (f64, f64), actual: (f64, f64)) -> GeoResults {
        let point = |(latitude, longitude): (f64, f64)| format!("{latitude:.12},{longitude:.12}");
        GeoResults {
            typical_point: point(typical),
            actual_point: point(actual),
        }
    }
}

/// `anomaly_score_explanation` (results.md 3.6); zeros and `false` are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs)] // named and described in results.md 3.6
pub struct Explanation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anomaly_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anomaly_length: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub single_bucket_impact: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multi_bucket_impact: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anomaly_characteristics_impact: Option<u32>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub lower_confidence_bound: Option<f64>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub typical_value: Option<f64>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub upper_confidence_bound: Option<f64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub high_variance_penalty: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub incomplete_bucket_penalty: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub multimodal_distribution: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub by_field_first_occurrence: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_field_relative_rarity: Option<f64>,
    /// Ours: series of the same entity that are unusual together, where that is what made the score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series_together: Option<u32>,
    /// Ours: the part of this one in it, 0..=1, against that of the most blamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series_together_share: Option<f64>,
}

/// Absent, or 0 (results.md 3.6 leaves both out).
fn is_nothing(number: &Option<f64>) -> bool {
    number.is_none_or(|number| number == 0.0)
}

/// What an annotation is about (`event`, results.md 3.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnotationEvent {
    /// A model noticed that its series has changed.
    ModelChange,
    /// The categories of messages have come to be of no use, or of use again.
    CategorizationStatusChange,
    /// Messages were gone before they could be read, or read again.
    DelayedData,
    /// Ours: a value of the partition field has come from two topic partitions, though the job says that the topic is keyed by it.
    MisplacedKey,
}

impl AnnotationEvent {
    /// `event`.
    pub fn name(self) -> &'static str {
        match self {
            AnnotationEvent::ModelChange => "model_change",
            AnnotationEvent::CategorizationStatusChange => "categorization_status_change",
            AnnotationEvent::DelayedData => "delayed_data",
            AnnotationEvent::MisplacedKey => "misplaced_key",
        }
    }
}

/// `annotation` (results.md 3.9).
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// About what.
    pub event: AnnotationEvent,
    /// One sentence.
    pub annotation: String,
    /// When it began to show; `timestamp` of the document.
    pub since: EventTime,
    /// When it was noticed.
    pub until: EventTime,
    /// Which detector, where it is about one.
    pub detector_index: Option<u16>,
    /// Which series: by and partition field with their values, where there are any.
    pub by: Option<(String, String)>,
    /// Likewise.
    pub partition: Option<(String, String)>,
    /// Which messages are missing, where any are.
    pub lost: Option<Lost>,
    /// From where a misplaced key came, `topic/3`.
    pub topic_partitions: Vec<String>,
}

/// Messages that were gone before they were read, or before they could be read again.
#[derive(Clone, Debug, PartialEq)]
pub struct Lost {
    /// Of which topic.
    pub topic: String,
    /// Which of its partitions.
    pub partition: i32,
    /// The first offset that is missed.
    pub from: i64,
    /// The first that is there; `None` when the topic itself was deleted, so that nobody knows.
    pub to: Option<i64>,
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
    pub model_feature: &'static str,
    pub model_lower: f64,
    pub model_upper: f64,
    pub model_median: f64,
    pub actual: Option<f64>,
}

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
    /// New series refused so far for want of memory, each once for a bucket.
    pub refused_series: u64,
    /// Likewise growth of known series.
    pub refused_growth: u64,
    /// How near the memory limit is.
    pub memory_status: MemoryStatus,
    /// Whether the topic is keyed as the job says.
    pub misplaced_keys: MisplacedKeys,
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
