//! The detector functions: what is measured, and which side of it counts.
//!
//! Source: Elastic's function reference, restated in `functions.md` 2.1. One table (`FUNCTIONS`) is the truth for names, aliases,
//! sides and needs; the parser, the validator, the results and the docs read it.

use serde::{Deserialize, Serialize};

/// What one bucket of one series is reduced to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // the variants are the function names
pub enum Family {
    Count,
    NonZeroCount,
    DistinctCount,
    InfoContent,
    Rare,
    FreqRare,
    Metric,
    Mean,
    Median,
    Min,
    Max,
    Sum,
    NonNullSum,
    Varp,
    TimeOfDay,
    TimeOfWeek,
    LatLong,
}

/// Which deviations are unusual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Side {
    /// Both unusually high and unusually low values.
    Both,
    /// Only unusually high values; all others have probability 1.
    High,
    /// Only unusually low values.
    Low,
}

/// A detector function as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Function {
    /// What is measured.
    pub family: Family,
    /// Which side of it counts.
    pub side: Side,
    /// The name as results write it (short aliases in their long form, `avg` kept).
    index: u8,
}

struct Row {
    name: &'static str,
    family: Family,
    side: Side,
    /// Stored under this name (aliases only).
    stored_as: Option<&'static str>,
}

const fn row(name: &'static str, family: Family, side: Side) -> Row {
    Row {
        name,
        family,
        side,
        stored_as: None,
    }
}

const fn alias(name: &'static str, stored_as: &'static str, family: Family, side: Side) -> Row {
    Row {
        name,
        family,
        side,
        stored_as: Some(stored_as),
    }
}

use Family as F;
use Side::{Both, High, Low};

const FUNCTIONS: &[Row] = &[
    row("count", F::Count, Both),
    row("high_count", F::Count, High),
    row("low_count", F::Count, Low),
    row("non_zero_count", F::NonZeroCount, Both),
    row("high_non_zero_count", F::NonZeroCount, High),
    row("low_non_zero_count", F::NonZeroCount, Low),
    row("distinct_count", F::DistinctCount, Both),
    row("high_distinct_count", F::DistinctCount, High),
    row("low_distinct_count", F::DistinctCount, Low),
    row("info_content", F::InfoContent, Both),
    row("high_info_content", F::InfoContent, High),
    row("low_info_content", F::InfoContent, Low),
    row("rare", F::Rare, Both),
    row("freq_rare", F::FreqRare, Both),
    row("metric", F::Metric, Both),
    row("mean", F::Mean, Both),
    row("high_mean", F::Mean, High),
    row("low_mean", F::Mean, Low),
    row("avg", F::Mean, Both),
    row("high_avg", F::Mean, High),
    row("low_avg", F::Mean, Low),
    row("median", F::Median, Both),
    row("high_median", F::Median, High),
    row("low_median", F::Median, Low),
    row("min", F::Min, Low),
    row("max", F::Max, High),
    row("sum", F::Sum, Both),
    row("high_sum", F::Sum, High),
    row("low_sum", F::Sum, Low),
    row("non_null_sum", F::NonNullSum, Both),
    row("high_non_null_sum", F::NonNullSum, High),
    row("low_non_null_sum", F::NonNullSum, Low),
    row("varp", F::Varp, Both),
    row("high_varp", F::Varp, High),
    row("low_varp", F::Varp, Low),
    row("time_of_day", F::TimeOfDay, Both),
    row("time_of_week", F::TimeOfWeek, Both),
    row("lat_long", F::LatLong, Both),
    alias("nzc", "non_zero_count", F::NonZeroCount, Both),
    alias("high_nzc", "high_non_zero_count", F::NonZeroCount, High),
    alias("low_nzc", "low_non_zero_count", F::NonZeroCount, Low),
    alias("dc", "distinct_count", F::DistinctCount, Both),
    alias("high_dc", "high_distinct_count", F::DistinctCount, High),
    alias("low_dc", "low_distinct_count", F::DistinctCount, Low),
];

impl Function {
    /// The function called `name`, an alias included; `None` when there is none.
    pub fn from_name(name: &str) -> Option<Function> {
        let at = FUNCTIONS.iter().position(|row| row.name == name)?;
        let stored = FUNCTIONS[at]
            .stored_as
            .and_then(|long| FUNCTIONS.iter().position(|row| row.name == long));
        Some(Function {
            family: FUNCTIONS[at].family,
            side: FUNCTIONS[at].side,
            index: stored.unwrap_or(at) as u8,
        })
    }

    /// Every name that `from_name` knows, aliases last.
    pub fn names() -> impl Iterator<Item = &'static str> + Clone {
        FUNCTIONS.iter().map(|row| row.name)
    }

    /// The name as results write it.
    pub fn name(self) -> &'static str {
        FUNCTIONS[self.index as usize].name
    }

    /// `function_description` of results: the family's word.
    pub fn description(self) -> &'static str {
        self.family.description()
    }
}

impl Family {
    /// `function_description` of results.
    pub fn description(self) -> &'static str {
        match self {
            F::Count | F::NonZeroCount => "count",
            F::DistinctCount => "distinct_count",
            F::InfoContent => "info_content",
            F::Rare | F::FreqRare => "rare",
            F::Metric | F::Mean => "mean",
            F::Median => "median",
            F::Min => "min",
            F::Max => "max",
            F::Sum | F::NonNullSum => "sum",
            F::Varp => "varp",
            F::TimeOfDay | F::TimeOfWeek => "time",
            F::LatLong => "lat_long",
        }
    }

    /// Whether the function needs a `field_name`.
    pub fn needs_field(self) -> bool {
        !matches!(
            self,
            F::Count | F::NonZeroCount | F::Rare | F::FreqRare | F::TimeOfDay | F::TimeOfWeek
        )
    }

    /// Whether it asks when or where: what is usual is a set of times or places, not a number with two sides.
    pub fn is_habit(self) -> bool {
        matches!(self, F::TimeOfDay | F::TimeOfWeek | F::LatLong)
    }

    /// Whether a known series without an event in a bucket has the value 0 there (otherwise it has none).
    pub fn empty_is_zero(self) -> bool {
        matches!(self, F::Count | F::Sum)
    }

    /// Whether values are whole numbers, at least 0.
    pub fn is_counting(self) -> bool {
        matches!(self, F::Count | F::NonZeroCount | F::DistinctCount)
    }

    /// Whether the bucket's value grows with the part of the bucket already seen (functions.md 2.7).
    pub fn is_additive(self) -> bool {
        matches!(
            self,
            F::Count | F::NonZeroCount | F::DistinctCount | F::InfoContent | F::Sum | F::NonNullSum
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_stored_under_their_long_name_and_avg_is_kept() {
        for (given, stored) in [
            ("nzc", "non_zero_count"),
            ("high_dc", "high_distinct_count"),
            ("high_avg", "high_avg"),
            ("min", "min"),
        ] {
            assert_eq!(Function::from_name(given).unwrap().name(), stored);
        }
        assert!(Function::from_name("hihg_mean").is_none());
    }
}
