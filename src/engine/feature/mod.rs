//! Features: what one bucket of one series is reduced to, and how the job's detectors share series.
//!
//! A detector has one feature (`metric` has three). Detectors that split events alike form a [`Group`]: one look-up an event, one key
//! a series, one row of [`Accumulator`]s. Holds: every detector is in exactly one group; a group's features are in detector order.
//! Source: functions.md 2.1 (statistics), 2.2 (splits), 2.8 (which influencers need a share of their own).

mod accumulator;
mod cells;
mod entities;
mod reading;
mod series;
mod sheet;
mod spots;

pub use accumulator::Accumulator;
pub(crate) use cells::{Cells, Source};
pub(crate) use entities::Entities;
pub(crate) use reading::Reader;
pub(crate) use series::merge_sorted;
pub use series::{Row, SeriesBucket, SeriesKey, Share};
pub(crate) use sheet::{Cells as SheetCells, SECTIONS as SHEET_SECTIONS, Sheet};
pub use spots::{Ground, Spot, Spots};

use crate::config::{Detector, Family, FieldId, Job};
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
    Info,
    TimeOfDay,
    TimeOfWeek,
    LatLong,
}

impl Statistic {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Statistic; 12] = [
        Statistic::Count,
        Statistic::Distinct,
        Statistic::Mean,
        Statistic::Median,
        Statistic::Min,
        Statistic::Max,
        Statistic::Sum,
        Statistic::Varp,
        Statistic::Info,
        Statistic::TimeOfDay,
        Statistic::TimeOfWeek,
        Statistic::LatLong,
    ];

    /// The statistics of a function, one a feature.
    pub fn of(family: Family) -> &'static [Statistic] {
        match family {
            Family::Count | Family::NonZeroCount | Family::Rare | Family::FreqRare => {
                &[Statistic::Count]
            }
            Family::DistinctCount => &[Statistic::Distinct],
            Family::InfoContent => &[Statistic::Info],
            Family::Metric => &[Statistic::Mean, Statistic::Min, Statistic::Max],
            Family::Mean => &[Statistic::Mean],
            Family::Median => &[Statistic::Median],
            Family::Min => &[Statistic::Min],
            Family::Max => &[Statistic::Max],
            Family::Sum | Family::NonNullSum => &[Statistic::Sum],
            Family::Varp => &[Statistic::Varp],
            Family::TimeOfDay => &[Statistic::TimeOfDay],
            Family::TimeOfWeek => &[Statistic::TimeOfWeek],
            Family::LatLong => &[Statistic::LatLong],
        }
    }
}

impl Statistic {
    /// What it finds its spots on; `None` where it is a number.
    pub fn ground(self) -> Option<Ground> {
        match self {
            Statistic::TimeOfDay => Some(Ground::Day),
            Statistic::TimeOfWeek => Some(Ground::Week),
            Statistic::LatLong => Some(Ground::Globe),
            _ => None,
        }
    }
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

/// What the values of a group are held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Analysis {
    /// Each series against its own past.
    Individual,
    /// Each by value against how often the by values of its partition are there.
    Rare,
    /// Each member of a population against the other members.
    Population,
    /// Each by value against how many members of the population have it.
    RareInPopulation,
    /// When or where: each spot against the usual ones of its series; of a population, against those of all members.
    Habits,
}

impl Analysis {
    /// The analysis that a detector asks for.
    pub fn of(detector: &Detector) -> Analysis {
        let family = detector.function.family;
        if family.is_habit() {
            return Analysis::Habits;
        }
        let is_rare = matches!(family, Family::Rare | Family::FreqRare);
        match (is_rare, detector.over) {
            (false, None) => Analysis::Individual,
            (true, None) => Analysis::Rare,
            (false, Some(_)) => Analysis::Population,
            (true, Some(_)) => Analysis::RareInPopulation,
        }
    }
}

/// Detectors that split their events the same way share look-ups and series keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What its values are held against.
    pub analysis: Analysis,
    /// `by_field_name`.
    pub by: Option<FieldId>,
    /// `over_field_name`.
    pub over: Option<FieldId>,
    /// `partition_field_name`.
    pub partition: Option<FieldId>,
    /// Whether a missing by or over value is the value `""`.
    pub use_null: bool,
    /// Features, in detector order.
    pub features: Vec<FeatureSpec>,
    /// Influencers (indexes into [`Job::influencers`]) whose shares are gathered: those that are not by, over or partition field here.
    pub shared_influencers: Vec<u16>,
}

/// How a job's detectors share series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// By analysis, then in order of first use by a detector.
    pub groups: Vec<Group>,
}

impl Layout {
    /// The layout of a job.
    pub fn of(job: &Job) -> Layout {
        let mut groups: Vec<Group> = Vec::new();
        for detector in &job.detectors {
            // Without a by or over field there is nothing that `use_null` could change.
            let use_null = detector.use_null && (detector.by.is_some() || detector.over.is_some());
            let analysis = Analysis::of(detector);
            let same = |group: &Group| {
                group.analysis == analysis
                    && group.by == detector.by
                    && group.over == detector.over
                    && group.partition == detector.partition
                    && group.use_null == use_null
            };
            let at = groups.iter().position(same).unwrap_or_else(|| {
                groups.push(Group {
                    analysis,
                    by: detector.by,
                    over: detector.over,
                    partition: detector.partition,
                    use_null,
                    features: Vec::new(),
                    shared_influencers: shared_influencers(job, detector),
                });
                groups.len() - 1
            });
            let statistics = Statistic::of(detector.function.family);
            let features = statistics.iter().map(|&statistic| {
                let (statistic, field) = match (statistic, job.feed.counted_by) {
                    (Statistic::Count, None) => (statistic, None),
                    (Statistic::Count, distinct) => (Statistic::Distinct, distinct),
                    (statistic, _) => (statistic, detector.field),
                };
                FeatureSpec {
                    detector: detector.index,
                    statistic,
                    field,
                }
            });
            groups[at].features.extend(features);
        }
        groups.sort_by_key(|group| group.analysis);
        Layout { groups }
    }

    /// How many groups, the first ones, hold each series against its own past.
    pub fn individual(&self) -> usize {
        let is_individual = |group: &Group| group.analysis == Analysis::Individual;
        self.groups.partition_point(is_individual)
    }
}

fn shared_influencers(job: &Job, detector: &Detector) -> Vec<u16> {
    let splits = [detector.by, detector.over, detector.partition];
    (0u16..)
        .zip(&job.influencers)
        .filter(|&(_, &field)| !splits.contains(&Some(field)))
        .map(|(influencer, _)| influencer)
        .collect()
}
