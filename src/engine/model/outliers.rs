//! Outliers: how much of one is believed, and what those of a count have shown together.
//!
//! One teaches little, until it lasts; those of a count that come again and again are part of its law (other values have a family with heavy tails, and a second mode):
//! they teach in full, and beyond what is unusual the tail is what they were themselves, a Lomax tail as in [`calibration`](super::calibration).
//! Of other values the law stays as it is, for what is new is told by it; but how likely a value *is said to be* is held against how often the like of it came
//! ([`Outliers::as_came`]): a disk that is written to in bursts has nothing of one chance in a million every hour.
//! Units: natural logs of probabilities. Holds: what is farther out is never likelier. Checked by: tests/changes.rs, `cargo bench --bench noise`.

use super::residual::Tails;
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;

/// Full weight above this probability, the least below that.
pub(super) const LN_USUAL: f64 = -6.907_755_278_982_137; // ln 1e-3
const LN_OUTLIER: f64 = -11.512_925_464_970_229; // ln 1e-5
const OUTLIER_WEIGHT: f64 = 0.01;
/// Buckets after which an anomaly that lasts is taught in full.
const LASTING_BUCKETS: f64 = 48.0;
/// Outliers of a count are part of its law once there were so many apart from each other...
const REPEATED: f64 = 6.0;
/// ...of which older ones count for less, over so many values.
const REPEATED_MEMORY: f32 = 1000.0;
/// How far they go is believed beforehand like so many of one nat each.
const PRIOR_EXCESSES: f64 = 4.0;
/// Nothing is told apart below this: the deviates of such tails are beyond any sum's use.
pub(super) const LN_LEAST: f64 = -1e6;

/// The outliers so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Outliers {
    /// How often some began, older ones counting for less; of values that are no counts, how many there were.
    begun: f32,
    /// By how much they were below what is unusual, in all.
    nats: f32,
}

impl Outliers {
    /// How far they have come again and again, 0..=1.
    fn repeats(self) -> f64 {
        (f64::from(self.begun) / REPEATED).powi(2).min(1.0)
    }

    /// A tail as they have shown it; while there are few of them, as the families say.
    fn shown(self, ln_tail: f64) -> f64 {
        let ln_p = ln_tail + LN_2;
        if self.begun < 1.0 || ln_p >= LN_USUAL {
            return ln_tail;
        }
        let (m, nats) = (f64::from(self.begun), f64::from(self.nats));
        let beyond = LN_USUAL - ln_p;
        let shown = LN_USUAL - (m + PRIOR_EXCESSES) * (beyond / (nats + PRIOR_EXCESSES)).ln_1p();
        ln_tail + self.repeats() * (shown - ln_p).max(0.0)
    }

    /// ln p of a value after so many others, as often as the like of it came: of values that are no counts. A law whose chances are right has one value in a
    /// thousand below p = .001. Where more came there, as many may come again (a posterior mean, the prior being a thousand values of which one was there), and how
    /// far beyond is the same Lomax tail as above. Holds: never below `ln_p`; what is less likely by the law never is likelier.
    pub(super) fn as_came(self, ln_p: f64, values: u32) -> f64 {
        let (m, nats) = (f64::from(self.begun), f64::from(self.nats));
        // Most values are usual: ln(1 + m) is at most m, and the rate at most (1 + m)/1000.
        if ln_p >= LN_USUAL + m {
            return ln_p;
        }
        let memory = f64::from(REPEATED_MEMORY);
        let values = memory * -(-f64::from(values) / memory).exp_m1();
        let ln_rate = ((m + 1.0) / (values + LN_USUAL.exp().recip())).ln();
        if ln_rate <= LN_USUAL || ln_p >= ln_rate {
            return ln_p;
        }
        let beyond = (LN_USUAL - ln_p).max(0.0);
        let came = ln_rate - (m + PRIOR_EXCESSES) * (beyond / (nats + PRIOR_EXCESSES)).ln_1p();
        ln_p + self.repeats() * (came - ln_p).max(0.0)
    }

    /// Both tails as the outliers of a count have shown them.
    pub(super) fn tails(self, by_families: Tails) -> Tails {
        Tails {
            lower: self.shown(by_families.lower),
            upper: self.shown(by_families.upper),
        }
    }

    /// Takes one value more, of this probability, in so many unusual buckets in a row. Says how much of it is believed, and how far such ones of a count have come
    /// again and again before.
    pub(super) fn learn(&mut self, ln_p: f64, anomaly_buckets: u32, counting: bool) -> (f64, f64) {
        self.begun *= 1.0 - 1.0 / REPEATED_MEMORY;
        self.nats *= 1.0 - 1.0 / REPEATED_MEMORY;
        let repeats = if counting { self.repeats() } else { 0.0 };
        if ln_p < LN_USUAL && (anomaly_buckets == 1 || !counting) {
            self.begun += 1.0;
            self.nats += (LN_USUAL - ln_p.max(LN_LEAST)) as f32;
        }
        (weight(ln_p, anomaly_buckets, repeats), repeats)
    }
}

/// How much of a value is believed: all of a usual one, little of an outlier, more again of what lasts, or comes again and again.
fn weight(ln_p: f64, anomaly_buckets: u32, repeats: f64) -> f64 {
    let share = ((ln_p - LN_OUTLIER) / (LN_USUAL - LN_OUTLIER)).clamp(0.0, 1.0);
    if share == 1.0 {
        return 1.0;
    }
    let alone = OUTLIER_WEIGHT.powf(1.0 - share);
    let lasts = f64::from(anomaly_buckets) / LASTING_BUCKETS;
    alone.max(lasts.powi(2).min(1.0)).max(repeats)
}
