//! What is true of a job: the validated configuration that everything else reads.
//!
//! Made once, by `config::raw`, from what somebody wrote; nobody checks again. Field names are interned: a [`FieldId`] indexes
//! [`Job::fields`], and events carry their values in that order.

use super::alerts::AlertWords;
use super::calendar::ScheduledEvent;
use super::categorization::Categorization;
use super::datafeed::{Datafeed, Feed};
use super::extensions::Extensions;
use super::function::{Family, Function};
use super::rules::Rule;
use crate::time::{BucketSpan, BucketStart, Lateness};
use serde::Serialize;

/// What is behind the name of a field that holds a position as an object: its latitude and its longitude.
pub(crate) const POSITION_HALVES: [&str; 2] = [".lat", ".lon"];

/// A field that the job names; index into [`Job::fields`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct FieldId(pub u16);

/// A validated anomaly detection job.
#[derive(Clone, Debug)]
pub struct Job {
    /// `job_id`.
    pub id: String,
    /// `description`, empty when none.
    pub description: String,
    /// `groups`.
    pub groups: Vec<String>,
    /// `analysis_config.bucket_span`.
    pub bucket_span: BucketSpan,
    /// `analysis_config.latency`: how much later than the newest event an event may come.
    pub lateness: Lateness,
    /// `analysis_config.detectors`, at least one.
    pub detectors: Vec<Detector>,
    /// `analysis_config.influencers`, in the order written.
    pub influencers: Vec<FieldId>,
    /// `analysis_config.summary_count_field_name`.
    pub summary_count_field: Option<FieldId>,
    /// `analysis_config.categorization_field_name` and what belongs to it.
    pub categorization: Option<Categorization>,
    /// `analysis_config.multivariate_by_fields`: whether by values that go together are judged given one another.
    pub multivariate_by_fields: bool,
    /// Every field that the analysis reads (time excluded), then those that only its feed reads; without repeats, dotted paths as
    /// written. `FieldId` indexes it.
    pub fields: Vec<String>,
    /// The events of the calendars that it is in.
    pub events: Vec<ScheduledEvent>,
    /// `data_description.time_field`.
    pub time_field: String,
    /// `data_description.time_format`.
    pub time_format: TimeFormat,
    /// `analysis_config.model_prune_window` in buckets, at least 2.
    pub prune_window_buckets: u32,
    /// `analysis_limits.model_memory_limit`, bytes.
    pub model_memory_limit_bytes: u64,
    /// `model_plot_config`, when enabled.
    pub model_plot: Option<ModelPlot>,
    /// Whether changes that models notice are noted in `annotation` documents.
    pub annotations: bool,
    /// `renormalization_window_days` as a number of buckets (default: the larger of 30 days and 100 spans; 0 = never).
    pub renormalization_window_buckets: u32,
    /// `results_retention_days` in milliseconds: older results are withdrawn; `None`: never.
    pub results_retention_ms: Option<i64>,
    /// Where the events come from.
    pub datafeed: Option<Datafeed>,
    /// What is made of an event before it is analysed.
    pub feed: Feed,
    /// `tidewatch`: placement and patience on Kafka.
    pub extensions: Extensions,
    /// `tidewatch.alerts`: when its anomalies become alerts, as far as the job says.
    pub alerts: AlertWords,
    /// What is allowed but probably not meant, a sentence each: Elastic answers these in a `Warning` header.
    pub warnings: Vec<String>,
    /// The configuration as a response would show it: defaults filled in, aliases resolved, memory limit as `"<N>mb"`.
    pub document: serde_json::Value,
    /// Hash of everything that changes results; part of every snapshot and commit. Stable between builds.
    pub fingerprint: u64,
}

/// One detector.
#[derive(Clone, Debug)]
pub struct Detector {
    /// Position in the job: `detector_index`.
    pub index: u16,
    /// What is measured.
    pub function: Function,
    /// `field_name`.
    pub field: Option<FieldId>,
    /// `by_field_name`.
    pub by: Option<FieldId>,
    /// `over_field_name`: whose members are held against one another.
    pub over: Option<FieldId>,
    /// `partition_field_name`.
    pub partition: Option<FieldId>,
    /// Whether an event without a by or over value belongs to the series `""` rather than to none.
    pub use_null: bool,
    /// Whether by values present in more than a tenth of the buckets (or used by more than a tenth of a population) are left out of the results.
    pub exclude_frequent_by: bool,
    /// Whether members of a population active in more than a tenth of the buckets are left out of the results.
    pub exclude_frequent_over: bool,
    /// `custom_rules`.
    pub rules: Vec<Rule>,
    /// `detector_description`, given or generated.
    pub description: String,
}

/// How a time text is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// Not said: epoch milliseconds, or ISO 8601 text, by what the value is.
    Auto,
    /// Seconds since the epoch, a fraction allowed.
    Epoch,
    /// Milliseconds since the epoch.
    EpochMillis,
    /// Microseconds since the epoch.
    EpochMicros,
    /// Nanoseconds since the epoch.
    EpochNanos,
    /// A java-time pattern such as `yyyy-MM-dd HH:mm:ss`; UTC when it holds no zone.
    Pattern(String),
}

/// Which series get a `model_plot` document a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelPlot {
    /// Only series whose by, over or partition value is listed; `None`: all.
    pub terms: Option<Vec<String>>,
    /// Members of populations too: one each, attribute by attribute.
    pub members: bool,
}

impl ModelPlot {
    /// Whether the series, or the member, of these by, over and partition values gets one.
    pub fn includes(&self, values: [Option<&str>; 3]) -> bool {
        if values[1].is_some() && !self.members {
            return false;
        }
        let Some(terms) = &self.terms else {
            return true;
        };
        terms
            .iter()
            .any(|term| values.contains(&Some(term.as_str())))
    }
}

impl Job {
    /// The name of a field.
    pub fn field_name(&self, id: FieldId) -> &str {
        &self.fields[id.0 as usize]
    }

    /// The events that fall into the bucket from `start`, each with its place in [`Job::events`].
    pub fn events_in(&self, start: BucketStart) -> impl Iterator<Item = (usize, &ScheduledEvent)> {
        let (from, to) = (start.time(), self.bucket_span.end_of(start).time());
        let events = self.events.iter().enumerate();
        events.filter(move |(_, event)| event.occurrences.between(from, to).next().is_some())
    }

    /// The fields that detectors read positions from; behind each, where the job reads them, those of its latitude and longitude, for positions that are objects.
    pub fn position_fields(&self) -> impl Iterator<Item = (FieldId, Option<[FieldId; 2]>)> {
        let mut fields: Vec<FieldId> = self
            .detectors
            .iter()
            .filter(|detector| detector.function.family == Family::LatLong)
            .filter_map(|detector| detector.field)
            .collect();
        fields.sort_unstable();
        fields.dedup();
        fields.into_iter().map(|field| {
            let halves = POSITION_HALVES.map(|half| format!("{}{half}", self.field_name(field)));
            let [latitude, longitude] = halves.map(|name| self.field_id(&name));
            (field, latitude.zip(longitude).map(|(lat, lon)| [lat, lon]))
        })
    }

    /// What of `model_memory_limit` is for categories of messages: a quarter, where there are any.
    pub fn categories_memory_bytes(&self) -> u64 {
        match self.categorization {
            Some(_) => self.model_memory_limit_bytes / 4,
            None => 0,
        }
    }

    /// What of `model_memory_limit` is for models. Where late events re-open results, two fifths of it: as much is for the models as they were at the
    /// beginning of that window, and half as much for what its buckets held.
    pub fn models_memory_bytes(&self) -> u64 {
        let whole = self.model_memory_limit_bytes - self.categories_memory_bytes();
        match self.late_revision_buckets() {
            0 => whole,
            _ => whole / 5 * 2,
        }
    }

    /// How many closed buckets late events may re-open; 0: none.
    pub fn late_revision_buckets(&self) -> i64 {
        self.extensions.late_revision_ms / self.bucket_span.millis()
    }

    /// The id of a field that the job names.
    pub fn field_id(&self, name: &str) -> Option<FieldId> {
        self.fields
            .iter()
            .position(|field| field == name)
            .map(|at| FieldId(at as u16))
    }
}
