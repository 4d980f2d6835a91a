//! Features: what one bucket of one series is reduced to, and how parts of it merge.

use crate::config::{FieldId, Job};
use serde::{Deserialize, Serialize};

/// The statistic of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // named as the functions are
pub enum Statistic {
    Count,
    Distinct,
    Mean,
    Median,
    Min,
    Max,
    Sum,
    Varp,
}

/// One feature of a detector (`metric` has three, every other function one).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureSpec {
    /// Index into [`Job::detectors`].
    pub detector: u16,
    /// What is computed.
    pub statistic: Statistic,
    /// Of which field (none for counts).
    pub field: Option<FieldId>,
}

/// Detectors that split their events the same way share look-ups and series keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// `by_field_name`.
    pub by: Option<FieldId>,
    /// `partition_field_name`.
    pub partition: Option<FieldId>,
    /// Whether a missing by value is the value `""`.
    pub use_null: bool,
    /// Features, in detector order.
    pub features: Vec<FeatureSpec>,
    /// Influencers (indexes into [`Job::influencers`]) whose shares are gathered: those that are not by or partition field here.
    pub shared_influencers: Vec<u16>,
}

/// How a job's detectors share series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// In order of first use by a detector.
    pub groups: Vec<Group>,
}

impl Layout {
    /// The layout of a job.
    pub fn of(_job: &Job) -> Layout {
        todo!()
    }
}

/// What a gatherer keeps of one feature of one series in an open bucket. Merging is associative and commutative to the bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Accumulator {
    /// placeholder
    Count(u64),
}

impl Accumulator {
    /// Adds another part of the same bucket. Panics when the statistics differ (a bug).
    pub fn merge(&mut self, _other: &Accumulator) {
        todo!()
    }
    /// The statistic; `None` when there is no measurement (a count always has a value).
    pub fn value(&self) -> Option<f64> {
        todo!()
    }
    /// How many measurements it holds.
    pub fn measurements(&self) -> u64 {
        todo!()
    }
    /// The statistic with the events of `share` taken out (functions.md 2.8): A − B for counts and sums, the statistic recomputed for
    /// mean, median and varp; `None` where nothing would be left or removal has no meaning (min, max, distinct: use the share's own value).
    pub fn without(&self, _share: &Accumulator) -> Option<f64> {
        todo!()
    }
}
