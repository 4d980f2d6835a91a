//! The negative binomial distribution by its mean and its size r (variance mean + mean²/r), its tails in natural logs, both inclusive.
//!
//! With `r -> ∞` it becomes the Poisson distribution (and is taken for it from `r = 1e15·max(1, mean)` up).
//! Domain: mean at least 0, size positive; k any number, tails being taken at the whole number next to it.
//! Source: DLMF 8.17.24: `P(X >= k) = I_q(k, r)` with `q = mean / (r + mean)`. Precision: see `incomplete_beta`.
//! Checked: tests/reference/negative_binomial.json (mpmath, 50 digits).

use super::incomplete_beta::{self, Point, ln_power, ln_tails};
use super::{Probabilities, normal, poisson};
use crate::numerics::log_domain::ln_1m_exp;

/// `P(X >= k)` is the lower tail here, `P(X < k)` the upper one.
fn point(k: f64, mean: f64, size: f64) -> Point {
    let sum = size + mean;
    Point {
        a: k,
        b: size,
        x: mean / sum,
        y: size / sum,
        excess: size / sum * (k - mean),
    }
}

fn is_poisson(mean: f64, size: f64) -> bool {
    debug_assert!(mean >= 0.0 && size > 0.0, "mean {mean}, size {size}");
    mean == 0.0 || size > 1e15 * mean.max(1.0)
}

/// `ln P(X = 0) = r ln(r / (r + mean))`.
fn ln_none(mean: f64, size: f64) -> f64 {
    if mean < size {
        -size * (mean / size).ln_1p()
    } else {
        size * (size / (size + mean)).ln()
    }
}

/// `ln P(X = k)`; -∞ unless k is a whole number from 0 up.
pub fn ln_pmf(k: f64, mean: f64, size: f64) -> f64 {
    if is_poisson(mean, size) || k < 0.0 || k.fract() != 0.0 || k == f64::INFINITY {
        return poisson::ln_pmf(k, mean);
    }
    if k == 0.0 {
        return ln_none(mean, size);
    }
    // Γ(k + r) / (k! Γ(r)) = 1 / (k B(k, r)).
    ln_power(point(k, mean, size)) - k.ln()
}

/// `ln P(X >= k)`.
pub fn ln_sf_inclusive(k: f64, mean: f64, size: f64) -> f64 {
    let k = k.ceil();
    if is_poisson(mean, size) || k <= 0.0 || k == f64::INFINITY {
        return poisson::ln_sf_inclusive(k, mean);
    }
    if k == 1.0 {
        return ln_1m_exp(ln_none(mean, size));
    }
    ln_tails(point(k, mean, size)).lower
}

/// `ln P(X <= k)`.
pub fn ln_cdf(k: f64, mean: f64, size: f64) -> f64 {
    let k = k.floor();
    if is_poisson(mean, size) || k < 0.0 || k == f64::INFINITY {
        return poisson::ln_cdf(k, mean);
    }
    if k == 0.0 {
        return ln_none(mean, size);
    }
    ln_tails(point(k + 1.0, mean, size)).upper
}

/// `P(X <= k)` and `P(X >= k)` for a whole number k, both holding k.
pub fn probabilities(k: f64, mean: f64, size: f64) -> Probabilities {
    if is_poisson(mean, size) || k <= 1.0 || k == f64::INFINITY {
        return Probabilities {
            lower: ln_cdf(k, mean, size).exp(),
            upper: ln_sf_inclusive(k, mean, size).exp(),
        };
    }
    let (tails, power) = incomplete_beta::probabilities(point(k, mean, size));
    // The one is P(X >= k), the other P(X < k), which lacks P(X = k) = power / k.
    Probabilities {
        lower: tails.upper + power.exp() / k,
        upper: tails.lower,
    }
}

/// The smallest k with `P(X <= k) >= p`; ∞ at `p = 1` (unless the mean is 0).
pub fn quantile(p: f64, mean: f64, size: f64) -> f64 {
    if is_poisson(mean, size) || p <= 0.0 || p >= 1.0 {
        return poisson::quantile(p, mean);
    }
    let guess = mean + normal::quantile(p) * (mean + mean * mean / size).sqrt();
    poisson::reaches(
        p,
        guess,
        |k| ln_cdf(k, mean, size),
        |k| ln_sf_inclusive(k + 1.0, mean, size),
    )
}
