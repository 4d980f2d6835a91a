//! What a gatherer keeps of one feature of one series in an open bucket.
//!
//! Holds: merging is associative and commutative to the bit (integers, extremes, exact sums, sketches that are a function of the set
//! seen), so neither the order of events nor their spread over gatherers shows. Weights are summary counts: an event of weight `c` is
//! to a mean, a median or a variance what `c` equal events are. A sum takes a pre-summarised value as it is, for that is already the sum
//! of `c` events; extremes and distinct values do not care how often.
//! Source: functions.md 2.3.1, 2.3.3, 2.8. Checked: tests below and tests/gatherer.rs.

use super::{Ground, Spot, Spots, Statistic};
use crate::numerics::{DistinctSketch, ExactSum, QuantileSketch, TextSet, variance};
use serde::{Deserialize, Serialize};

/// What a gatherer keeps of one feature of one series in an open bucket. Merging is associative and commutative to the bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Accumulator {
    /// Events, or the sum of their summary counts. Saturates.
    Count(u64),
    /// Distinct values of a field.
    Distinct {
        /// Events that had the field.
        n: u64,
        /// Hashes of the values' texts.
        sketch: DistinctSketch,
    },
    /// Arithmetic mean.
    Mean {
        /// Weight of the values.
        n: u64,
        /// Their weighted sum.
        sum: ExactSum,
    },
    /// Sum.
    Sum {
        /// Weight of the values (they are summed without it).
        n: u64,
        /// Their sum.
        sum: ExactSum,
    },
    /// Population variance.
    Varp {
        /// Weight of the values.
        n: u64,
        /// Their weighted sum, and that of their squares.
        sums: Box<(ExactSum, ExactSum)>,
    },
    /// Smallest value; `f64::INFINITY` while there is none.
    Min {
        /// Weight of the values.
        n: u64,
        /// The smallest.
        value: f64,
    },
    /// Largest value; `f64::NEG_INFINITY` while there is none.
    Max {
        /// Weight of the values.
        n: u64,
        /// The largest.
        value: f64,
    },
    /// Median.
    Median {
        /// Weight of the values.
        n: u64,
        /// The weighted values.
        sketch: QuantileSketch,
    },
    /// Information content of a field.
    Info {
        /// Events that had the field.
        n: u64,
        /// The values' texts.
        texts: Box<TextSet>,
    },
    /// When or where.
    Spots {
        /// Events that had the feature.
        n: u64,
        /// On what.
        ground: Ground,
        /// Where on it.
        spots: Box<Spots>,
    },
}

use Accumulator as A;

impl Accumulator {
    /// One that has seen nothing.
    pub fn new(statistic: Statistic) -> Accumulator {
        match statistic {
            Statistic::Count => A::Count(0),
            Statistic::Distinct => A::Distinct {
                n: 0,
                sketch: DistinctSketch::default(),
            },
            Statistic::Info => A::Info {
                n: 0,
                texts: Box::default(),
            },
            Statistic::TimeOfDay => A::no_spots(Ground::Day),
            Statistic::TimeOfWeek => A::no_spots(Ground::Week),
            Statistic::LatLong => A::no_spots(Ground::Globe),
            Statistic::Mean => A::Mean {
                n: 0,
                sum: ExactSum::default(),
            },
            Statistic::Median => A::Median {
                n: 0,
                sketch: QuantileSketch::default(),
            },
            Statistic::Min => A::Min {
                n: 0,
                value: f64::INFINITY,
            },
            Statistic::Max => A::Max {
                n: 0,
                value: f64::NEG_INFINITY,
            },
            Statistic::Sum => A::Sum {
                n: 0,
                sum: ExactSum::default(),
            },
            Statistic::Varp => A::Varp {
                n: 0,
                sums: Box::default(),
            },
        }
    }

    fn no_spots(ground: Ground) -> Accumulator {
        A::Spots {
            n: 0,
            ground,
            spots: Box::default(),
        }
    }

    /// What it computes.
    pub fn statistic(&self) -> Statistic {
        match self {
            A::Count(_) => Statistic::Count,
            A::Distinct { .. } => Statistic::Distinct,
            A::Info { .. } => Statistic::Info,
            A::Spots { ground, .. } => match ground {
                Ground::Day => Statistic::TimeOfDay,
                Ground::Week => Statistic::TimeOfWeek,
                Ground::Globe => Statistic::LatLong,
            },
            A::Mean { .. } => Statistic::Mean,
            A::Median { .. } => Statistic::Median,
            A::Min { .. } => Statistic::Min,
            A::Max { .. } => Statistic::Max,
            A::Sum { .. } => Statistic::Sum,
            A::Varp { .. } => Statistic::Varp,
        }
    }

    /// Counts an event of `weight`. Only for counts: the others are told of values.
    #[inline]
    pub(crate) fn add_event(&mut self, weight: u64) {
        match self {
            A::Count(n) => *n = n.saturating_add(weight),
            other => debug_assert!(false, "{other:?} counts values, not events"),
        }
    }

    /// Takes the hash of a value's text. Only for distinct counts.
    #[inline]
    pub(crate) fn add_hash(&mut self, hash: u64, weight: u64) {
        match self {
            A::Distinct { n, sketch } => {
                *n = n.saturating_add(weight);
                sketch.insert_hash(hash);
            }
            other => debug_assert!(false, "{other:?} does not count distinct values"),
        }
    }

    /// Takes a value's text, which has this hash. Only for information content.
    #[inline]
    pub(crate) fn add_text(&mut self, hash: u64, text: &str, weight: u64) {
        match self {
            A::Info { n, texts } => {
                *n = n.saturating_add(weight);
                texts.insert(hash, text);
            }
            other => debug_assert!(false, "{other:?} does not read texts"),
        }
    }

    /// Takes a time or a position. Only for times and positions.
    #[inline]
    pub(crate) fn add_spot(&mut self, spot: Spot, weight: u64) {
        match self {
            A::Spots { n, ground, spots } => {
                *n = n.saturating_add(weight);
                spots.insert(*ground, spot);
            }
            other => debug_assert!(false, "{other:?} is neither when nor where"),
        }
    }

    /// The times or positions; `None` of what is a number.
    pub fn spots(&self) -> Option<&Spots> {
        match self {
            A::Spots { spots, .. } => Some(spots),
            _ => None,
        }
    }

    /// Takes a finite number. Only for statistics of numbers.
    #[inline]
    pub(crate) fn add_number(&mut self, x: f64, weight: u64) {
        let x = x + 0.0; // -0 becomes 0, so that equal extremes have equal bits
        match self {
            A::Mean { n, sum } => {
                *n = n.saturating_add(weight);
                match weight {
                    1 => sum.add(x),
                    _ => sum.add_weighted(x, weight),
                }
            }
            A::Sum { n, sum } => {
                *n = n.saturating_add(weight);
                sum.add(x);
            }
            A::Min { n, value } => {
                *n = n.saturating_add(weight);
                *value = value.min(x);
            }
            A::Max { n, value } => {
                *n = n.saturating_add(weight);
                *value = value.max(x);
            }
            A::Varp { n, sums } => {
                *n = n.saturating_add(weight);
                sums.0.add_weighted(x, weight);
                sums.1.add_weighted_square(x, weight);
            }
            A::Median { n, sketch } => {
                *n = n.saturating_add(weight);
                sketch.add(x, weight);
            }
            A::Count(_) | A::Distinct { .. } | A::Info { .. } | A::Spots { .. } => {
                debug_assert!(false, "{self:?} does not take numbers")
            }
        }
    }

    /// Adds another part of the same bucket. Panics when the statistics differ (a bug).
    pub fn merge(&mut self, other: &Accumulator) {
        match (self, other) {
            (A::Count(a), A::Count(b)) => *a = a.saturating_add(*b),
            (A::Distinct { n, sketch }, A::Distinct { n: m, sketch: b }) => {
                *n = n.saturating_add(*m);
                sketch.merge(b);
            }
            (
                A::Spots { n, spots, ground },
                A::Spots {
                    n: m,
                    spots: b,
                    ground: other,
                },
            ) if ground == other => {
                *n = n.saturating_add(*m);
                spots.merge(b);
            }
            (A::Info { n, texts }, A::Info { n: m, texts: b }) => {
                *n = n.saturating_add(*m);
                texts.merge(b);
            }
            (A::Mean { n, sum }, A::Mean { n: m, sum: b })
            | (A::Sum { n, sum }, A::Sum { n: m, sum: b }) => {
                *n = n.saturating_add(*m);
                sum.merge(b);
            }
            (A::Varp { n, sums }, A::Varp { n: m, sums: b }) => {
                *n = n.saturating_add(*m);
                sums.0.merge(&b.0);
                sums.1.merge(&b.1);
            }
            (A::Min { n, value }, A::Min { n: m, value: b }) => {
                *n = n.saturating_add(*m);
                *value = value.min(*b);
            }
            (A::Max { n, value }, A::Max { n: m, value: b }) => {
                *n = n.saturating_add(*m);
                *value = value.max(*b);
            }
            (A::Median { n, sketch }, A::Median { n: m, sketch: b }) => {
                *n = n.saturating_add(*m);
                sketch.merge(b);
            }
            (a, b) => panic!(
                "merging {:?} into {:?}: parts of one feature have one statistic",
                b.statistic(),
                a.statistic()
            ),
        }
    }

    /// The statistic; `None` when there is no measurement, and of times and positions, which are no number. A count always has a value. Whether a bucket without a measurement means 0
    /// (`sum`) or nothing (`non_null_sum`) is the function's affair, not the accumulator's.
    pub fn value(&self) -> Option<f64> {
        if let A::Count(n) = self {
            return Some(*n as f64);
        }
        if self.measurements() == 0 {
            return None;
        }
        match self {
            A::Count(n) => Some(*n as f64),
            A::Distinct { sketch, .. } => Some(sketch.estimate()),
            A::Info { texts, .. } => Some(texts.information()),
            A::Spots { .. } => None,
            A::Mean { n, sum } => Some(sum.mean(*n)),
            A::Sum { sum, .. } => Some(sum.value()),
            A::Varp { n, sums } => (*n >= 2).then(|| variance(*n, &sums.0, &sums.1)),
            A::Min { value, .. } | A::Max { value, .. } => Some(*value),
            A::Median { sketch, .. } => sketch.median(),
        }
    }

    /// How many measurements it holds: events, or the sum of their summary counts, that had the feature's value.
    pub fn measurements(&self) -> u64 {
        match self {
            A::Count(n)
            | A::Distinct { n, .. }
            | A::Info { n, .. }
            | A::Spots { n, .. }
            | A::Mean { n, .. }
            | A::Sum { n, .. }
            | A::Varp { n, .. }
            | A::Min { n, .. }
            | A::Max { n, .. }
            | A::Median { n, .. } => *n,
        }
    }

    /// The statistic with the events of `share` taken out (functions.md 2.8): A - B for counts and sums (0 when nothing is left), the
    /// statistic recomputed for mean, median and varp; `None` where too little would be left or removal has no meaning (min, max,
    /// distinct, information: use the share's own value).
    pub fn without(&self, share: &Accumulator) -> Option<f64> {
        let left = self.measurements().saturating_sub(share.measurements());
        match (self, share) {
            (A::Count(_), A::Count(_)) => Some(left as f64),
            (A::Sum { n, sum }, A::Sum { sum: b, .. }) => {
                (*n > 0).then(|| difference(sum, b).value())
            }
            (A::Mean { sum, .. }, A::Mean { sum: b, .. }) => {
                (left > 0).then(|| difference(sum, b).mean(left))
            }
            (A::Varp { sums, .. }, A::Varp { sums: b, .. }) => (left >= 2)
                .then(|| variance(left, &difference(&sums.0, &b.0), &difference(&sums.1, &b.1))),
            (A::Median { sketch, .. }, A::Median { sketch: b, .. }) if left > 0 => {
                let mut rest = sketch.clone();
                rest.subtract(b);
                rest.median()
            }
            _ => None,
        }
    }
}

fn difference(a: &ExactSum, b: &ExactSum) -> ExactSum {
    let mut rest = a.clone();
    rest.subtract(b);
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMERIC: [Statistic; 6] = [
        Statistic::Mean,
        Statistic::Median,
        Statistic::Min,
        Statistic::Max,
        Statistic::Sum,
        Statistic::Varp,
    ];

    fn of(statistic: Statistic, values: &[f64]) -> Accumulator {
        let mut accumulator = Accumulator::new(statistic);
        for &x in values {
            accumulator.add_number(x, 1);
        }
        accumulator
    }

    #[test]
    fn statistics_of_a_handful_of_values() {
        let values = [3.0, -1.0, 4.0, 2.0];
        for (statistic, expected) in NUMERIC.into_iter().zip([2.0, 2.5, -1.0, 4.0, 8.0, 3.5]) {
            let accumulator = of(statistic, &values);
            assert_eq!(accumulator.value(), Some(expected), "{statistic:?}");
            assert_eq!(accumulator.measurements(), 4);
        }
    }

    #[test]
    fn nothing_has_no_value_but_a_count_of_0_and_one_value_no_variance() {
        for statistic in NUMERIC
            .into_iter()
            .chain([Statistic::Distinct, Statistic::Info])
        {
            assert_eq!(Accumulator::new(statistic).value(), None, "{statistic:?}");
        }
        assert_eq!(Accumulator::new(Statistic::Count).value(), Some(0.0));
        assert_eq!(of(Statistic::Varp, &[5.0]).value(), None);
        assert_eq!(of(Statistic::Varp, &[5.0, 5.0]).value(), Some(0.0));
    }

    #[test]
    fn taking_a_share_out_leaves_the_statistic_of_the_rest() {
        let (all, part, rest) = ([3.0, 1e16, 4.0, 2.0], [1e16], [3.0, 4.0, 2.0]);
        for statistic in NUMERIC {
            let left = of(statistic, &all).without(&of(statistic, &part));
            let expected = match statistic {
                Statistic::Min | Statistic::Max => None,
                _ => of(statistic, &rest).value(),
            };
            assert_eq!(left, expected, "{statistic:?}");
        }
        let count = |n| Accumulator::Count(n);
        assert_eq!(count(5).without(&count(2)), Some(3.0));
        assert_eq!(count(5).without(&count(5)), Some(0.0));
    }

    #[test]
    fn what_is_left_of_everything_is_zero_for_sums_and_nothing_for_means() {
        let values = [0.1, 0.2, 0.3];
        for statistic in NUMERIC {
            let left = of(statistic, &values).without(&of(statistic, &values));
            let expected = (statistic == Statistic::Sum).then_some(0.0);
            assert_eq!(left, expected, "{statistic:?}");
        }
        // One value has no variance.
        let varp = of(Statistic::Varp, &values);
        assert_eq!(varp.without(&of(Statistic::Varp, &values[1..])), None);
    }

    #[test]
    fn a_weight_is_so_many_equal_values_but_for_a_sum() {
        for statistic in NUMERIC {
            let mut weighted = Accumulator::new(statistic);
            weighted.add_number(0.7, 3);
            weighted.add_number(-2.0, 1);
            let repeated = of(statistic, &[0.7, -2.0, 0.7, 0.7]);
            assert_eq!(weighted.measurements(), 4);
            if statistic == Statistic::Sum {
                assert_eq!(weighted.value(), Some(0.7 - 2.0));
            } else {
                assert_eq!(weighted, repeated, "{statistic:?}");
            }
        }
    }

    #[test]
    fn the_two_zeros_are_one_value() {
        for statistic in NUMERIC {
            let bytes = |values: &[f64]| postcard::to_stdvec(&of(statistic, values)).unwrap();
            assert_eq!(bytes(&[0.0, -0.0]), bytes(&[-0.0, 0.0]), "{statistic:?}");
        }
    }

    #[test]
    fn an_accumulator_is_five_words() {
        assert_eq!(size_of::<Accumulator>(), 40);
    }
}
