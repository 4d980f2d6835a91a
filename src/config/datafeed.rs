//! Where a job's events come from, and what is made of each before it is analysed: `datafeed_config`.

use super::job::FieldId;
use super::query::Query;
use serde::Serialize;

/// The part of `datafeed_config` that means something on topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Datafeed {
    /// `indices`: topic names, or patterns that begin with `^` (a regular expression, as librdkafka takes it).
    pub topics: Vec<String>,
}

/// What a datafeed makes of an event: fields computed, then asked whether the job wants it, then perhaps summed up with others.
///
/// Fields are numbered through: those that the analysis reads, those that only the feed reads ([`Job::fields`](super::Job::fields)), then
/// the presences.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Feed {
    /// How many of the job's fields, the last ones, the analysis itself does not read.
    pub own_fields: usize,
    /// `query`: which events the job sees.
    pub query: Query,
    /// Paths at or below which something must stand, for [`Query::Exists`]; behind the fields, in this order.
    pub presences: Vec<String>,
    /// `runtime_mappings`, `script_fields`, and what aggregations call by another name.
    pub computed: Vec<Computed>,
    /// Events count by distinct values of this field (a cardinality aggregation as summary count).
    pub counted_by: Option<FieldId>,
    /// Differences of counters, of an aggregation.
    pub counters: Option<Counters>,
}

impl Default for Feed {
    fn default() -> Feed {
        Feed {
            own_fields: 0,
            query: Query::All,
            presences: Vec::new(),
            computed: Vec::new(),
            counted_by: None,
            counters: None,
        }
    }
}

/// A field that is made of others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Computed {
    /// Which.
    pub field: FieldId,
    /// Of what, one after another. One field alone is copied as it is. If one of the fields is missing, so is this one.
    pub parts: Vec<Part>,
}

/// A part of a computed field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Part<F = FieldId> {
    /// This text.
    Text(String),
    /// The text of this field.
    Field(F),
    /// The number of the interval in which the event lies.
    Interval(Intervals),
}

/// Intervals of a date histogram: half-open, all of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Intervals {
    /// Their length, milliseconds, at least 1; divides the bucket span.
    pub ms: i64,
    /// Where one of them begins, seen from the epoch, milliseconds.
    pub offset_ms: i64,
}

impl Intervals {
    /// The beginning of the interval in which an instant lies, milliseconds.
    pub fn start_ms(self, time_ms: i64) -> i64 {
        time_ms - (time_ms - self.offset_ms).rem_euclid(self.ms)
    }
}

/// Differences between an interval's largest counter and that of the interval before, entity by entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// The intervals.
    pub intervals: Intervals,
    /// Whose counters they are: one entity for each combination of values. An event that lacks one of the fields is of none.
    pub entity: Vec<FieldId>,
    /// The counters.
    pub counters: Vec<Counter>,
}

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counter {
    /// What is counted.
    pub source: FieldId,
    /// Fields that get the difference.
    pub differences: Vec<FieldId>,
    /// Fields that get the difference where it is positive, else 0.
    pub rises: Vec<FieldId>,
}
