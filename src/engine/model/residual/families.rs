//! Each family by itself: its tails, its density, and the chance that it gives a whole number.

use super::{
    COUNTS, GAMMA, HEAVY, HEAVY_FREEDOM, LIKELIHOOD_MIN, LOG_NORMAL, NORMAL, Residuals, SKEWED,
    Tails, count_mean, ln_ratio, positive,
};
use crate::numerics::special::student_t::Freedom;
use crate::numerics::special::{Probabilities, gamma, negative_binomial, student_t};

impl Residuals {
    /// The values that the upper and the lower tail begin at: integers are judged with continuity.
    pub(super) fn ends(&self, x: f64) -> (f64, f64) {
        let half = if self.integer && x.fract() == 0.0 {
            0.5
        } else {
            0.0
        };
        (x - half, x + half)
    }

    /// The tails of a family as plain numbers.
    pub(super) fn family_probabilities(
        &self,
        family: usize,
        x: f64,
        forecast: f64,
        size: f64,
        freedom: &Freedom,
    ) -> Probabilities {
        let ends = self.ends(x);
        match family {
            LOG_NORMAL => {
                let deviation = self.log_deviation(forecast);
                plain_tails(ends, |value| {
                    freedom.probabilities(ln_ratio(value, forecast) / deviation)
                })
            }
            GAMMA => {
                let shape = self.gamma_shape(forecast);
                let scale = positive(forecast) / shape;
                plain_tails(ends, |value| {
                    gamma::probabilities(value.max(0.0), shape, scale)
                })
            }
            COUNTS => {
                negative_binomial::probabilities(x.max(0.0).round(), count_mean(forecast), size)
            }
            HEAVY => {
                let scale = self.heavy_scale(forecast);
                plain_tails(ends, |value| {
                    student_t::probabilities((value - forecast) / scale, HEAVY_FREEDOM)
                })
            }
            SKEWED => {
                let pearson = self.pearson(forecast);
                plain_tails(ends, |value| pearson.probabilities(value))
            }
            _ => {
                let scale = self.deviation(forecast);
                plain_tails(ends, |value| {
                    freedom.probabilities((value - forecast) / scale)
                })
            }
        }
    }

    /// The same as logs, however far out.
    pub(super) fn family_tails(&self, family: usize, x: f64, forecast: f64, size: f64) -> Tails {
        let (high, low) = self.ends(x);
        match family {
            LOG_NORMAL => {
                let deviation = self.log_deviation(forecast);
                let z = |value: f64| ln_ratio(value, forecast) / deviation;
                student_tails(z(high), z(low), self.freedom())
            }
            GAMMA => {
                let shape = self.gamma_shape(forecast);
                let scale = positive(forecast) / shape;
                Tails {
                    lower: gamma::ln_cdf(low.max(0.0), shape, scale),
                    upper: gamma::ln_sf(high.max(0.0), shape, scale),
                }
            }
            COUNTS => {
                let mean = count_mean(forecast);
                let k = x.max(0.0).round();
                Tails {
                    lower: negative_binomial::ln_cdf(k, mean, size),
                    upper: negative_binomial::ln_sf_inclusive(k, mean, size),
                }
            }
            HEAVY => {
                let scale = self.heavy_scale(forecast);
                student_tails(
                    (high - forecast) / scale,
                    (low - forecast) / scale,
                    HEAVY_FREEDOM,
                )
            }
            SKEWED => {
                let pearson = self.pearson(forecast);
                Tails {
                    lower: pearson.ln_tails(low).lower,
                    upper: pearson.ln_tails(high).upper,
                }
            }
            _ => {
                let scale = self.deviation(forecast);
                student_tails(
                    (high - forecast) / scale,
                    (low - forecast) / scale,
                    self.freedom(),
                )
            }
        }
    }

    /// ln of the chance of a whole number by a family of any numbers: what lies within half a step of it.
    pub(super) fn ln_mass(&self, family: usize, x: f64, forecast: f64, freedom: &Freedom) -> f64 {
        let ends = self.family_probabilities(family, x, forecast, 1.0, freedom);
        (ends.lower + ends.upper - 1.0).max(0.0).ln()
    }

    pub(super) fn ln_density(
        &self,
        family: usize,
        x: f64,
        forecast: f64,
        size: f64,
        freedom: &Freedom,
    ) -> f64 {
        match family {
            LOG_NORMAL if x > 0.0 => {
                let scale = self.log_deviation(forecast);
                freedom.ln_pdf(ln_ratio(x, forecast) / scale) - scale.ln() - x.ln()
            }
            GAMMA if x > 0.0 => {
                let shape = self.gamma_shape(forecast);
                gamma::ln_pdf(x, shape, positive(forecast) / shape)
            }
            COUNTS => negative_binomial::ln_pmf(x.max(0.0).round(), count_mean(forecast), size),
            HEAVY => {
                let scale = self.heavy_scale(forecast);
                student_t::ln_pdf((x - forecast) / scale, HEAVY_FREEDOM) - scale.ln()
            }
            SKEWED => self.pearson(forecast).ln_pdf(x),
            NORMAL => {
                let scale = self.deviation(forecast);
                freedom.ln_pdf((x - forecast) / scale) - scale.ln()
            }
            _ => LIKELIHOOD_MIN,
        }
    }
}

/// The upper tail from the one value on and the lower one up to the other; where they are the same, asked for once.
fn plain_tails((high, low): (f64, f64), of: impl Fn(f64) -> Probabilities) -> Probabilities {
    let upper = of(high);
    if high == low {
        upper
    } else {
        Probabilities {
            lower: of(low).lower,
            upper: upper.upper,
        }
    }
}

fn student_tails(high: f64, low: f64, freedom: f64) -> Tails {
    Tails {
        lower: student_t::ln_sf(-low, freedom),
        upper: student_t::ln_sf(high, freedom),
    }
}
