//! A gamma variable moved and scaled to any mean, deviation and skewness: Pearson's type III.
//!
//! With skewness γ it is `μ ± σ (G − k)/√k`, G a gamma variable of shape `k = 4/γ²`; mirrored where γ is below 0. Source: Johnson, Kotz, Balakrishnan, Continuous Univariate
//! Distributions, 17.2. Holds: tails are at most 0 as logs, and never NaN. Checked: tests below.

use super::residual::Tails;
use crate::numerics::special::{Probabilities, gamma};

/// One such law.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pearson {
    mean: f64,
    /// Of the value in one unit of the gamma variable; below 0 where it is mirrored.
    unit: f64,
    shape: f64,
}

impl Pearson {
    /// `skewness` is not 0.
    pub(super) fn of(mean: f64, deviation: f64, skewness: f64) -> Pearson {
        let shape = 4.0 / (skewness * skewness);
        Pearson {
            mean,
            unit: (deviation / shape.sqrt()).copysign(skewness),
            shape,
        }
    }

    /// The gamma variable of a value; 0 beyond the end of its range.
    fn gamma(&self, x: f64) -> f64 {
        (self.shape + (x - self.mean) / self.unit).max(0.0)
    }

    pub(super) fn probabilities(&self, x: f64) -> Probabilities {
        let found = gamma::probabilities(self.gamma(x), self.shape, 1.0);
        match self.unit > 0.0 {
            true => found,
            false => Probabilities {
                lower: found.upper,
                upper: found.lower,
            },
        }
    }

    pub(super) fn ln_tails(&self, x: f64) -> Tails {
        let at = self.gamma(x);
        let (below, above) = (
            gamma::ln_cdf(at, self.shape, 1.0),
            gamma::ln_sf(at, self.shape, 1.0),
        );
        let (lower, upper) = match self.unit > 0.0 {
            true => (below, above),
            false => (above, below),
        };
        Tails { lower, upper }
    }

    /// −∞ beyond the end of its range.
    pub(super) fn ln_pdf(&self, x: f64) -> f64 {
        match self.gamma(x) {
            at if at > 0.0 => gamma::ln_pdf(at, self.shape, 1.0) - self.unit.abs().ln(),
            _ => f64::NEG_INFINITY,
        }
    }

    pub(super) fn quantile(&self, p: f64) -> f64 {
        let p = if self.unit > 0.0 { p } else { 1.0 - p };
        self.mean + self.unit * (gamma::quantile(p, self.shape, 1.0) - self.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_mean_the_deviation_and_the_skewness_that_are_asked_for() {
        for skewness in [-2.0, -0.6, 0.1, 1.1] {
            let law = Pearson::of(50.0, 4.0, skewness);
            let n = 20_000;
            let values: Vec<f64> = (0..n)
                .map(|i| law.quantile((f64::from(i) + 0.5) / f64::from(n)))
                .collect();
            let moment = |power: i32, about: f64, unit: f64| {
                values
                    .iter()
                    .map(|x| ((x - about) / unit).powi(power))
                    .sum::<f64>()
                    / f64::from(n)
            };
            let mean = moment(1, 0.0, 1.0);
            let deviation = moment(2, mean, 1.0).sqrt();
            let found = moment(3, mean, deviation);
            assert!(
                (mean - 50.0).abs() < 0.01 && (deviation - 4.0).abs() < 0.01,
                "{skewness}: {mean} {deviation}"
            );
            assert!((found - skewness).abs() < 0.05, "{skewness}: {found}");
        }
    }

    #[test]
    fn its_tails_are_those_of_a_normal_law_where_it_is_hardly_skewed_and_no_value_is_beyond_them() {
        use crate::numerics::special::normal;
        let law = Pearson::of(0.0, 1.0, 0.001);
        for z in [-4.0, -1.0, 0.0, 2.0, 5.0] {
            assert!(
                (law.ln_tails(z).upper - normal::ln_sf(z)).abs() < 0.03,
                "{z}"
            );
        }
        let law = Pearson::of(0.0, 1.0, 2.0);
        for x in [-1e30, -1.0, 0.0, 3.0, 1e30] {
            let (tails, plain) = (law.ln_tails(x), law.probabilities(x));
            assert!(tails.lower <= 0.0 && tails.upper <= 0.0, "{x}: {tails:?}");
            assert!(
                (tails.lower.exp() - plain.lower).abs() < 1e-9
                    && (tails.upper.exp() - plain.upper).abs() < 1e-9
            );
        }
    }
}
