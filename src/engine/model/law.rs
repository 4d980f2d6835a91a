//! How the law of a statistic follows the number of measurements it stands on: a bucket is judged as if it had as many as usual.
//!
//! - Averages vary as `1/n`: the error of a bucket with fewer measurements than usual is shrunk by `√(usual/n)`.
//! - A variance of `n` measurements is, about its expectation, a gamma variable of a shape in proportion to `n − 1` (of normal ones `(n − 1)/2`, of heavier tails less), and the
//!   population's variance is a share `1/n` too small. By the cube root, which makes a gamma variable nearly normal (Wilson and Hilferty 1931), it becomes the one of as many
//!   measurements as usual that is as far out (of fewer than six, far below, less far: nothing is called odd for that).
//! - Members of a population are compared as if each had as many measurements as members have as a rule: who has fewer is drawn nearer ([`Law::among`]).
//! - A sum of as many parts as come has a variance in proportion to its level (compound Poisson): by day it varies more than by night, by the root of the levels. It is no other sum for that, so nothing is
//!   made comparable; its distribution ([`residual`](super::residual)) follows the level.
//! - The greatest of `n` is the greatest of more the higher the more there are: `F^n`, so of a tail that falls exponentially it moves by `β ln n` (max-stability; Coles, An Introduction to
//!   Statistical Modeling of Extreme Values, 3.1), β being `√6/π` of its deviation. What is always above 0 moves in proportion. So does the least, downwards.
//!
//! Units: those of the values. Holds: what is made comparable keeps its order, and comes back by [`Law::as_measured`]; with as many measurements as usual it is itself.
//! Checked: tests below, tests/contract, `cargo bench --bench functions`.

use super::residual::Residuals;
use serde::{Deserialize, Serialize};

/// √6/π: of a Gumbel variable with deviation 1, by how much it moves when there are e times as many.
const GUMBEL: f64 = 0.779_696_801_233_675_9;
/// More or fewer than so many times as usual count as so many: far from what was seen, the law of the few is another one.
const LN_TIMES_MAX: f64 = 2.0;
/// The least shape of a variance: of squares with very heavy tails.
const SHAPE_MIN: f64 = 0.3;

/// What the number of measurements does to a statistic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Law {
    /// Nothing that it does not mean: counts, contents.
    #[default]
    Plain,
    /// Nothing that it does not mean either, but how far it varies.
    Sum,
    /// Means and medians.
    Average,
    /// The population's variance.
    Variance,
    /// The smallest.
    Least,
    /// The largest.
    Greatest,
}

/// A bucket's measurements beside the usual number, and what is known of the statistic.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'r> {
    /// How many; at least 1.
    pub count: f64,
    /// How many as a rule.
    pub usual: f64,
    /// What is expected, of as many as usual.
    pub forecast: f64,
    /// The distribution around that.
    pub residuals: &'r Residuals,
}

/// The cube root of a gamma variable over its mean: nearly normal, with this mean and deviation.
struct CubeRoot {
    mean: f64,
    deviation: f64,
}

impl CubeRoot {
    fn of(shape: f64) -> CubeRoot {
        let share = 1.0 / (9.0 * shape);
        CubeRoot {
            mean: 1.0 - share,
            deviation: share.sqrt(),
        }
    }
}

impl Law {
    /// Whether few measurements make a skewed distribution of it, whatever they are themselves.
    pub fn is_extreme(self) -> bool {
        matches!(self, Law::Least | Law::Greatest)
    }

    /// The value as if the bucket had as many measurements as usual.
    pub fn comparable(self, x: f64, measured: &Measured<'_>) -> f64 {
        self.turned(x, measured, false)
    }

    /// The value with as many measurements as the bucket has: the reverse.
    pub fn as_measured(self, x: f64, measured: &Measured<'_>) -> f64 {
        self.turned(x, measured, true)
    }

    /// Whether it is the less sure, and varies the more, the fewer measurements it stands on.
    pub fn is_surer_of_many(self) -> bool {
        matches!(self, Law::Average | Law::Variance)
    }

    /// What a member of a population shows by fewer measurements than members have as a rule, as if it had `usual` ones: no farther from what is `typical` of them than chance
    /// brings with so many. What more measurements show is left as it is: members may differ by more than by chance. Measurements are taken for normal ones.
    pub fn among(self, x: f64, count: f64, usual: f64, typical: f64) -> f64 {
        let usual = usual.min(count * LN_TIMES_MAX.exp());
        match self {
            _ if count <= 0.0 || usual <= count => x,
            Law::Average => typical + (x - typical) * (count / usual).sqrt(),
            Law::Variance => {
                let usual = usual.max(2.0);
                variance(x, typical, (count, usual), 0.5 * (usual - 1.0), false)
            }
            _ => x,
        }
    }

    fn turned(self, x: f64, measured: &Measured<'_>, back: bool) -> f64 {
        if measured.count <= 0.0 || measured.usual <= 0.0 || measured.count == measured.usual {
            return x;
        }
        match self {
            Law::Plain | Law::Sum => x,
            Law::Average => {
                let widening = measured.widening().sqrt();
                let times = if back { widening } else { widening.recip() };
                match widening > 1.0 {
                    true => measured.forecast + (x - measured.forecast) * times,
                    false => x,
                }
            }
            Law::Variance => measured.variance(x, back),
            Law::Least => measured.moved(x, if back { -1.0 } else { 1.0 }),
            Law::Greatest => measured.moved(x, if back { 1.0 } else { -1.0 }),
        }
    }
}

impl Measured<'_> {
    /// How much more averages vary for want of measurements: a ratio of variances, at least 1.
    pub fn widening(&self) -> f64 {
        (self.usual / self.count).max(1.0)
    }

    fn variance(&self, x: f64, back: bool) -> f64 {
        let usual = self.usual.max(2.0);
        let of_usual = self.residuals.gamma_shape(self.forecast).min(usual);
        variance(x, self.forecast, (self.count, usual), of_usual, back)
    }

    /// An extreme of so many as of as many as usual, or the reverse.
    fn moved(&self, x: f64, sign: f64) -> f64 {
        let times = (self.count / self.usual).ln();
        let times = sign * GUMBEL * times.clamp(-LN_TIMES_MAX, LN_TIMES_MAX);
        if self.residuals.positive() && x > 0.0 && self.forecast > 0.0 {
            x * (times * self.residuals.log_deviation(self.forecast)).exp()
        } else {
            x + times * self.residuals.deviation(self.forecast)
        }
    }
}

/// A variance of `count` measurements as one of `usual`, whose expectation and shape these are; or the reverse.
fn variance(x: f64, expected: f64, (count, usual): (f64, f64), of_usual: f64, back: bool) -> f64 {
    if x <= 0.0 || expected <= 0.0 || count < 2.0 {
        return x;
    }
    let mean = expected * (1.0 - 1.0 / count) / (1.0 - 1.0 / usual);
    let here = of_usual * (count - 1.0) / (usual - 1.0);
    let roots = [(mean, here), (expected, of_usual)];
    let [from, to] = if back { [roots[1], roots[0]] } else { roots };
    let [old, new] = [from, to].map(|(_, shape)| CubeRoot::of(shape.max(SHAPE_MIN)));
    let out = ((x / from.0).cbrt() - old.mean) / old.deviation;
    let root = new.mean + new.deviation * out;
    if root > 0.0 { to.0 * root.powi(3) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::residual::Run;
    use super::*;
    use crate::numerics::special::gamma;

    /// Residuals of values that are these, around 100.
    fn residuals(values: impl Iterator<Item = f64>) -> Residuals {
        let mut residuals = Residuals::default();
        let run = Run {
            on_one_side: false,
            day_buckets: 96,
            skewed: false,
            sums: false,
            repeats: 0.0,
            events: f64::INFINITY,
        };
        values.for_each(|x| {
            residuals.learn(x, 100.0, 1.0, false, run);
        });
        residuals
    }

    fn shares() -> impl Iterator<Item = f64> {
        (0..400).map(|i| (f64::from(i * 171 % 400) + 0.5) / 400.0)
    }

    #[test]
    fn a_variance_of_few_is_as_far_out_as_the_one_of_many_that_it_is_turned_into() {
        // Of normal measurements with variance 100·12/11: the gamma law of 11 degrees of freedom, as a population's variance.
        let of =
            |n: f64, p: f64| gamma::quantile(p, (n - 1.0) / 2.0, 2.0 * 100.0 * 12.0 / 11.0 / n);
        let residuals = residuals(shares().map(|p| of(12.0, p)));
        for count in [4.0, 6.0, 10.0, 20.0, 60.0] {
            let measured = Measured {
                count,
                usual: 12.0,
                forecast: 100.0,
                residuals: &residuals,
            };
            for p in [0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999] {
                let turned = Law::Variance.comparable(of(count, p), &measured);
                let shape = 5.5;
                let found = gamma::probabilities(turned, shape, 100.0 / shape);
                let (tail, wanted) = match p < 0.5 {
                    true => (found.lower, p),
                    false => (found.upper, 1.0 - p),
                };
                let off = tail / wanted;
                // The cube root of few is less normal far below: there too little is called odd, never too much.
                let most = if count < 6.0 && p < 0.01 { 4.0 } else { 2.0 };
                assert!((0.5..most).contains(&off), "{count} {p}: {off} times");
                let back = Law::Variance.as_measured(turned, &measured);
                assert!((back / of(count, p) - 1.0).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn the_greatest_of_more_is_no_farther_out_than_that_of_as_many_as_usual() {
        // Of exponential measurements of mean 10, above 0.
        let of = |n: f64, p: f64| -10.0 * (-(p.ln() / n).exp()).ln_1p();
        let residuals = residuals(shares().map(|p| 100.0 + of(12.0, p) - 31.0));
        let mut residuals = residuals;
        // Some are below 0: it moves by difference.
        residuals.learn(
            -1.0,
            100.0,
            0.0,
            false,
            Run {
                on_one_side: false,
                day_buckets: 96,
                skewed: false,
                sums: false,
                repeats: 0.0,
                events: f64::INFINITY,
            },
        );
        for count in [3.0, 6.0, 24.0, 60.0] {
            let measured = Measured {
                count,
                usual: 12.0,
                forecast: 100.0,
                residuals: &residuals,
            };
            for p in [0.5, 0.9, 0.99, 0.999] {
                let turned = Law::Greatest.comparable(of(count, p), &measured);
                let wanted = of(12.0, p);
                assert!(
                    (turned - wanted).abs() < 4.0,
                    "{count} {p}: {turned} for {wanted}"
                );
                let back = Law::Greatest.as_measured(turned, &measured);
                assert!((back - of(count, p)).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn a_member_of_few_measurements_is_no_farther_out_than_one_of_many_that_is_as_unlikely() {
        let of = |n: f64, p: f64| gamma::quantile(p, (n - 1.0) / 2.0, 2.0 * 100.0 / (n - 1.0));
        for p in [0.01, 0.1, 0.5, 0.9, 0.99] {
            // As a population's variance, a share smaller.
            let few = of(4.0, p) * 0.75;
            let many = of(12.0, p) * 11.0 / 12.0;
            let alike = Law::Variance.among(few, 4.0, 12.0, 100.0 * 11.0 / 12.0);
            assert!((alike / many - 1.0).abs() < 0.15, "{p}: {alike} {many}");
        }
        assert_eq!(Law::Variance.among(0.0, 12.0, 12.0, 92.0), 0.0);
        assert_eq!(Law::Variance.among(300.0, 40.0, 12.0, 92.0), 300.0);
        assert_eq!(Law::Average.among(120.0, 3.0, 12.0, 100.0), 110.0);
        assert_eq!(Law::Average.among(120.0, 48.0, 12.0, 100.0), 120.0);
        assert_eq!(Law::Plain.among(1.0, 3.0, 12.0, 5.0), 1.0);
    }

    #[test]
    fn with_as_many_measurements_as_usual_a_value_is_itself() {
        let residuals = residuals(shares().map(|p| 90.0 + 20.0 * p));
        let measured = Measured {
            count: 12.0,
            usual: 12.0,
            forecast: 100.0,
            residuals: &residuals,
        };
        for law in [
            Law::Plain,
            Law::Average,
            Law::Variance,
            Law::Least,
            Law::Greatest,
        ] {
            assert_eq!(law.comparable(93.0, &measured), 93.0);
        }
    }
}
