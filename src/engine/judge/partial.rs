//! What a judge says of one bucket: the records it found, and of everything else only what the aggregate needs.

use crate::engine::feature::Statistic;
use crate::engine::model::{Noticed, Shape};
use crate::engine::probability::{Aggregate, Charge};
use crate::engine::result::{DataCounts, MemoryStatus};
use crate::engine::wire::SeriesKey;
use crate::time::{BucketStart, Finality};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a judge says of one bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartialBucket {
    /// The bucket.
    pub start: BucketStart,
    /// Whether it may be said again.
    pub finality: Finality,
    /// Events, or summary counts, that the shard was told of.
    pub event_count: u64,
    /// Counts since the last bucket.
    pub counts: DataCounts,
    /// Every series judged, records included.
    pub judged: Aggregate,
    /// What may become records, sorted by (detector, series).
    pub records: Vec<RecordDraft>,
    /// Model plots, sorted by (detector, series).
    pub plots: Vec<PlotDraft>,
    /// What models noticed about their series, sorted by (detector, series).
    pub changes: Vec<ChangeDraft>,
    /// The shard's models.
    pub size: ShardSize,
    /// Of a keyed pair: values of the partition field that it has not announced before, sorted; nothing while interim, or elsewhere.
    pub keys: Vec<Arc<str>>,
}

impl PartialBucket {
    /// Whether nothing happened and nothing was judged: it only carries counts, and its start means nothing.
    pub fn is_counts_only(&self) -> bool {
        self.event_count == 0
            && self.judged.members() == 0
            && self.records.is_empty()
            && self.plots.is_empty()
            && self.changes.is_empty()
            && self.keys.is_empty()
    }
}

/// The size of a shard's models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardSize {
    /// Bytes of all models and keys: exact, and never more than the shard's share of the limit.
    pub model_bytes: u64,
    /// Series.
    pub series: u64,
    /// By values over all splits.
    pub by_values: u64,
    /// Members of all populations.
    pub over_values: u64,
    /// Partition values over all splits (1 for a split without a partition field).
    pub partitions: u64,
    /// Buckets in which something was refused for want of memory.
    pub allocation_failures: u64,
    /// How often: a new series that was not judged in a bucket counts once for each.
    pub refused_series: u64,
    /// Likewise a known series that learnt without what it had asked for.
    pub refused_growth: u64,
    /// How near the limit is.
    pub status: MemoryStatus,
}

impl ShardSize {
    /// Everything refused so far.
    pub fn refusals(&self) -> u64 {
        self.refused_series + self.refused_growth
    }
}

/// What may become a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordDraft {
    /// Index of the detector.
    pub detector: u16,
    /// Which series.
    pub key: SeriesKey,
    /// Which statistic was the most unusual (of `metric`; otherwise the only one).
    pub statistic: Statistic,
    /// The bucket's value.
    pub actual: f64,
    /// The expected value.
    pub typical: f64,
    /// Of a position, whose latitudes those are: the longitudes.
    pub place: Option<Place>,
    /// The central 95 % interval; of times, the usual ones around the expected.
    pub bounds: (f64, f64),
    /// ln p of the bucket alone.
    pub ln_single: f64,
    /// ln p of the last dozen buckets, when known.
    pub ln_multi: Option<f64>,
    /// What the series shows by itself.
    pub alone: Charge,
    /// What the series of its entity show together, as far as this one is to blame.
    pub together: Option<TogetherCharge>,
    /// Values the model had seen.
    pub history: u32,
    /// Whether the bucket held fewer measurements than usual.
    pub incomplete: bool,
    /// What is particular about the distribution that it was judged by.
    pub shape: Shape,
    /// Buckets since the ongoing anomaly began, and the sign of its errors' sum.
    pub anomaly: (u32, f64),
    /// ln p of an anomaly that lasts so long and is so large.
    pub ln_characteristics: f64,
    /// Whether the by value was never seen before.
    pub first_occurrence: bool,
    /// Median frequency of the by values over this one's, where rarity was judged.
    pub relative_rarity: Option<f64>,
    /// The by value given which it is unusual, where that is what makes it so: then the expected value and its interval are those given that one.
    pub correlated: Option<Arc<str>>,
    /// Of a member of a population: what it is to blame for, the least probable first.
    pub causes: Vec<CauseDraft>,
    /// Who is to blame: (influencer index, value, influence), by falling influence within an influencer.
    pub influencers: Vec<(u16, Arc<str>, f64)>,
}

/// One thing that a member of a population is to blame for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CauseDraft {
    /// The attribute: value of the by field.
    pub by: Option<Arc<str>>,
    /// Which statistic.
    pub statistic: Statistic,
    /// ln p of it alone.
    pub ln_probability: f64,
    /// The member's value.
    pub actual: f64,
    /// What is usual among the members.
    pub typical: f64,
    /// Of a position, whose latitudes those are: the longitudes.
    pub place: Option<Place>,
}

/// The longitudes of a position and of the usual one, degrees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Where something was.
    pub actual: f64,
    /// The nearest place where it was expected.
    pub typical: f64,
}

impl RecordDraft {
    /// What is held against the value, by itself or together with its like.
    pub fn charge(&self) -> Charge {
        self.together
            .map_or(self.alone, |together| self.alone.or(together.charge))
    }
}

/// A series' part in what the series of its entity show together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TogetherCharge {
    /// The charge, times the series' share of the blame.
    pub charge: Charge,
    /// The share, 0..=1: against the series that is most to blame.
    pub share: f64,
    /// Series that take part in it.
    pub series: u32,
}

/// What a model noticed about its series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeDraft {
    /// Index of the detector.
    pub detector: u16,
    /// Which series.
    pub key: SeriesKey,
    /// Which statistic.
    pub statistic: Statistic,
    /// What, and since when.
    pub noticed: Noticed,
}

/// One model plot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlotDraft {
    /// Index of the detector.
    pub detector: u16,
    /// Which series.
    pub key: SeriesKey,
    /// Which statistic.
    pub statistic: Statistic,
    /// Expected.
    pub median: f64,
    /// The central 95 % interval.
    pub bounds: (f64, f64),
    /// The bucket's value, if it had one.
    pub actual: Option<f64>,
}
