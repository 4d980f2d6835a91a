//! The Poisson distribution, its tails in natural logs, both inclusive.
//!
//! Domain: mean at least 0 and finite (at 0 all probability lies at 0); k any number, tails being taken at the whole number next to it.
//! Source: DLMF 8.4.10: `P(X <= k) = Q(k + 1, mean)`; Loader 2000 for single probabilities. Precision: see `incomplete_gamma`.
//! Checked: tests/reference/poisson.json (mpmath, 50 digits).

use super::incomplete_gamma::{ln_power, ln_tails};
use super::inverse::smallest_whole;
use super::normal;

/// `ln P(X = k)`; -∞ unless k is a whole number from 0 up.
pub fn ln_pmf(k: f64, mean: f64) -> f64 {
    debug_assert!(mean >= 0.0, "mean {mean}");
    if k < 0.0 || k.fract() != 0.0 || k == f64::INFINITY {
        f64::NEG_INFINITY
    } else if mean == 0.0 {
        if k == 0.0 { 0.0 } else { f64::NEG_INFINITY }
    } else if k == 0.0 {
        -mean
    } else {
        ln_power(k, mean)
    }
}

/// `ln P(X >= k)`.
pub fn ln_sf_inclusive(k: f64, mean: f64) -> f64 {
    debug_assert!(mean >= 0.0, "mean {mean}");
    let k = k.ceil();
    if k <= 0.0 {
        0.0
    } else if k == f64::INFINITY {
        f64::NEG_INFINITY
    } else {
        ln_tails(k, mean).lower
    }
}

/// `ln P(X <= k)`.
pub fn ln_cdf(k: f64, mean: f64) -> f64 {
    debug_assert!(mean >= 0.0, "mean {mean}");
    let k = k.floor();
    if k < 0.0 {
        f64::NEG_INFINITY
    } else if k == f64::INFINITY {
        0.0
    } else {
        ln_tails(k + 1.0, mean).upper
    }
}

/// The smallest k with `P(X <= k) >= p`, up to 9e15, where whole numbers stop being doubles; ∞ at `p = 1` (unless the mean is 0).
pub fn quantile(p: f64, mean: f64) -> f64 {
    if p <= 0.0 || mean == 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return f64::INFINITY;
    }
    let z = normal::quantile(p);
    let guess = mean + z * mean.sqrt() + (z * z - 1.0) / 6.0;
    reaches(
        p,
        guess,
        |k| ln_cdf(k, mean),
        |k| ln_sf_inclusive(k + 1.0, mean),
    )
}

/// The smallest whole k with `cdf(k) >= p`, asked of the smaller tail.
pub(super) fn reaches(
    p: f64,
    guess: f64,
    ln_cdf: impl Fn(f64) -> f64,
    ln_above: impl Fn(f64) -> f64,
) -> f64 {
    /// Beyond this, neighbouring whole numbers are one double.
    const LIMIT: f64 = 9e15;
    let (ln_p, ln_rest) = (p.ln(), (-p).ln_1p());
    smallest_whole(guess, LIMIT, |k| {
        if p < 0.5 {
            ln_cdf(k) >= ln_p
        } else {
            ln_above(k) <= ln_rest
        }
    })
}
