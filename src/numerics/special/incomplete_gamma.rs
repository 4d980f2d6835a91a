//! The regularised incomplete gamma functions P(a, x) and Q(a, x) = 1 - P, in natural logs.
//!
//! Domain: `a > 0`, any `x`. Relative error of either below 1e-11 while its log is above -1e3, of the log itself 1e-13 beyond;
//! for `x < 1.5` and `a < 1` (where Q vanishes with `a`) too. Never NaN for numbers.
//! Source: DLMF 8.11.4 (series for P), 8.9.2 (continued fraction for Q), 8.12 (Temme's uniform expansion, for `a >= 12` near `x = a`),
//! 8.7.1 (series at small `a`); `x^a e^-x / Γ(a + 1)` after Loader, "Fast and accurate computation of binomial probabilities", 2000.
//! So no loop is longer than some 80 turns, whatever `a` is. Checked: tests/reference/gamma.json, poisson.json (mpmath, 50 digits).

use super::ln_gamma::{STIRLING_MIN, ln_gamma_1p, stirling_error};
use super::normal::{LN_SQRT_2PI, mills_ratio};
use super::temme;
use super::{Probabilities, Tails};
use crate::numerics::log_domain::{ln_1m_exp, ln_1p_minus};

/// Terms are added until they are below this share of the sum.
const SERIES_EPSILON: f64 = 1e-16;
/// Convergents are taken until they agree to this share.
const FRACTION_EPSILON: f64 = 1e-14;
/// Temme's expansion serves `|x - a| < 0.4 a` from this `a` up.
const UNIFORM_MIN: f64 = 12.0;

/// `ln P(a, x)` as the lower tail and `ln Q(a, x)` as the upper one.
pub(super) fn ln_tails(a: f64, x: f64) -> Tails {
    if x <= 0.0 {
        return Tails::ALL_ABOVE;
    }
    if x == f64::INFINITY {
        return Tails::ALL_BELOW;
    }
    let mu = (x - a) / a;
    if a >= UNIFORM_MIN && mu.abs() < 0.4 {
        uniform(a, mu)
    } else if a < 1.0 && x < 1.5 {
        small_shape(a, x)
    } else if x < a + 1.0 {
        Tails::from_lower(ln_by_series(a, x))
    } else {
        Tails::from_upper(ln_by_fraction(a, x))
    }
}

/// `ln P(a, x)`.
fn ln_by_series(a: f64, x: f64) -> f64 {
    ln_power(a, x) + series(a, x).ln()
}

/// `ln Q(a, x)`.
fn ln_by_fraction(a: f64, x: f64) -> f64 {
    ln_power(a, x) + a.ln() - fraction(a, x).ln()
}

/// `P(a, x)` and `Q(a, x)`.
pub(super) fn probabilities(a: f64, x: f64) -> Probabilities {
    let mu = (x - a) / a;
    if x > 0.0 && a >= UNIFORM_MIN && mu.abs() < 0.4 {
        let (ln_density, sum) = uniform_factors(a, mu);
        let tail = ln_density.exp() * sum;
        return if mu >= 0.0 {
            Probabilities::of_upper(tail)
        } else {
            Probabilities::of_lower(tail)
        };
    }
    let is_inside = x > 0.0 && x < f64::INFINITY;
    if !is_inside || a < 1.0 && x < 1.5 {
        ln_tails(a, x).probabilities()
    } else if x < a + 1.0 {
        Tails::probabilities_from_lower(ln_by_series(a, x))
    } else {
        Tails::probabilities_from_upper(ln_by_fraction(a, x))
    }
}

/// `ln(x^a e^-x / Γ(a + 1))`: the Poisson probability of `a` at mean `x`, for real `a`.
pub(super) fn ln_power(a: f64, x: f64) -> f64 {
    if a < STIRLING_MIN {
        return a * x.ln() - x - ln_gamma_1p(a);
    }
    let mu = (x - a) / a;
    let deviance = if mu.abs() < 0.4 {
        a * ln_1p_minus(mu)
    } else {
        a * (x / a).ln() - (x - a)
    };
    deviance - stirling_error(a) - LN_SQRT_2PI - 0.5 * a.ln()
}

/// `Σ x^n / ((a + 1) ... (a + n))`, for `x < a + 1`.
fn series(a: f64, x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (1.0, 1.0, a);
    while term > sum * SERIES_EPSILON {
        n += 1.0;
        term *= x / n;
        sum += term;
    }
    sum
}

/// `F` with `Q = x^a e^-x / (Γ(a) F)`: `x + 1 - a - 1(1 - a) / (x + 3 - a - 2(2 - a) / ...)`, by the forward recurrence, which needs no
/// division; for `x >= a + 1`.
fn fraction(a: f64, x: f64) -> f64 {
    const LARGE: f64 = 1e150;
    let mut b = x + 1.0 - a;
    let (mut over, mut over_before) = (b, 1.0);
    let (mut under, mut under_before) = (1.0, 0.0);
    let mut n = 0.0;
    loop {
        n += 1.0;
        b += 2.0;
        let c = n * (a - n);
        (over, over_before) = (b * over + c * over_before, over);
        (under, under_before) = (b * under + c * under_before, under);
        let (left, right) = (over * under_before, over_before * under);
        if (left - right).abs() <= FRACTION_EPSILON * right.abs() || n > 1000.0 {
            return over / under;
        }
        if over.abs() > LARGE {
            let scale = 1.0 / over;
            over_before *= scale;
            under *= scale;
            under_before *= scale;
            over = 1.0;
        }
    }
}

fn uniform(a: f64, mu: f64) -> Tails {
    let (ln_density, sum) = uniform_factors(a, mu);
    if mu >= 0.0 {
        Tails::from_upper(ln_density + sum.ln())
    } else {
        Tails::from_lower(ln_density + sum.ln())
    }
}

/// Temme: with `η²/2 = μ - ln(1 + μ)` and `z = η sqrt(a)`, `Q = pdf(z)·(R(z) + S / sqrt(a))`, R being Mills' ratio. The tail on the side of
/// μ, as the log of one factor and the other.
fn uniform_factors(a: f64, mu: f64) -> (f64, f64) {
    let half_square = -ln_1p_minus(mu);
    let eta = (2.0 * half_square).sqrt().copysign(mu);
    let root = a.sqrt();
    let correction = temme::expansion(a, eta) / root;
    let ln_density = -a * half_square - LN_SQRT_2PI;
    let ratio = mills_ratio(eta.abs() * root);
    if mu >= 0.0 {
        (ln_density, ratio + correction)
    } else {
        (ln_density, ratio - correction)
    }
}

/// `a < 1`, `x < 1.5`: Q as the small difference it is.
fn small_shape(a: f64, x: f64) -> Tails {
    // P = u·(1 + a·Σ (-x)^k / (k! (a + k))) with u = x^a / Γ(a + 1).
    let ln_u = a * x.ln() - ln_gamma_1p(a);
    let (mut term, mut sum, mut k) = (1.0, 0.0, 0.0);
    loop {
        k += 1.0;
        term *= -x / k;
        let next: f64 = term / (a + k);
        sum += next;
        // `<=`: for the smallest x there are, both sides underflow.
        if next.abs() <= SERIES_EPSILON * x / (1.0 + a) {
            break;
        }
    }
    let upper = -ln_u.exp_m1() - a * sum * ln_u.exp();
    let lower = ln_u + (a * sum).ln_1p();
    if upper < 0.5 {
        Tails {
            lower,
            upper: upper.max(f64::MIN_POSITIVE).ln(),
        }
    } else {
        Tails {
            lower,
            upper: ln_1m_exp(lower),
        }
    }
}
