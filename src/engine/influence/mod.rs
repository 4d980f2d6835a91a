//! Who is to blame: a value's events are taken out, and the probability is taken again.
//!
//! Source: functions.md 2.8. Influence is in 0..=1: 1 − ln P(without)/ln P(all) for counts, sums, means, medians and variances,
//! ln P(alone)/ln P(all) for extremes, distinct counts and information content; below [`INFLUENCE_MIN`] it is not told.

use super::feature::{Accumulator, Statistic};
use crate::config::Side;

/// Less influence than this is not told.
pub const INFLUENCE_MIN: f64 = 0.4;
/// A value that is as likely as not needs no culprit: everybody present is told.
const LN_USUAL: f64 = -std::f64::consts::LN_2;

/// What the influence of a share is measured against.
pub struct Case<'a> {
    /// The whole bucket of the series.
    pub whole: &'a Accumulator,
    /// Its value.
    pub actual: f64,
    /// What was expected.
    pub typical: f64,
    /// Which side the detector looks at.
    pub side: Side,
    /// ln P of the whole (one-sided above for sums and counts).
    pub ln_whole: f64,
}

impl Case<'_> {
    /// Influence of one value's events, 0..=1. `ln_p(x, measurements)` is the model's ln P of another value in this bucket.
    pub fn influence(&self, share: &Accumulator, ln_p: impl Fn(f64, u64) -> f64) -> f64 {
        let statistic = self.whole.statistic();
        if self.side == Side::Low
            && matches!(
                statistic,
                Statistic::Count | Statistic::Sum | Statistic::Distinct | Statistic::Info
            )
        {
            return 0.0; // what is missing has no culprit among those present
        }
        if self.ln_whole > LN_USUAL {
            return 1.0;
        }
        let influence = match statistic {
            // Judged elsewhere: who was there and then is to blame.
            Statistic::TimeOfDay | Statistic::TimeOfWeek | Statistic::LatLong => 1.0,
            Statistic::Count | Statistic::Sum if self.actual <= self.typical => 0.0,
            Statistic::Count
            | Statistic::Sum
            | Statistic::Mean
            | Statistic::Median
            | Statistic::Varp => match self.whole.without(share) {
                Some(rest) => {
                    1.0 - ln_p(
                        rest,
                        self.whole
                            .measurements()
                            .saturating_sub(share.measurements()),
                    ) / self.ln_whole
                }
                None => 1.0, // nothing is left without it
            },
            Statistic::Distinct | Statistic::Info | Statistic::Min | Statistic::Max => {
                share.value().map_or(0.0, |alone| {
                    ln_p(alone, share.measurements()) / self.ln_whole
                })
            }
        };
        if influence.is_nan() {
            0.0
        } else {
            influence.clamp(0.0, 1.0)
        }
    }
}
