//! Student's t distribution with real degrees of freedom `nu >= 1`, its tails in natural logs.
//!
//! Domain: any t; `nu` up to ∞ (from 1e15 it is the normal distribution). Relative error of the probability below 1e-10.
//! Source: DLMF 8.17: `2·P(T > t) = I_x(nu/2, 1/2)`, `x = nu / (nu + t²)`. Checked: tests/reference/student_t.json (mpmath, 50 digits).

use super::Tails;
use super::incomplete_beta::{Point, ln_power, ln_tails};
use super::inverse::newton;
use super::normal;
use crate::numerics::log_domain::ln_1m_exp;
use std::f64::consts::LN_2;

/// Degrees of freedom from which t is the normal distribution to the last bits.
const NORMAL_MIN: f64 = 1e15;
/// Where the tail is a power of t to the last bit: `(t / FAR)^-nu`.
const FAR: f64 = 1e60;

/// `ln P(T > t)`.
pub fn ln_sf(t: f64, nu: f64) -> f64 {
    debug_assert!(nu >= 1.0, "degrees of freedom {nu}");
    if nu >= NORMAL_MIN {
        return normal::ln_sf(t);
    }
    if t < 0.0 {
        return ln_1m_exp(ln_sf(-t, nu));
    }
    if t > FAR {
        return ln_sf(FAR, nu) - nu * (t.ln() - FAR.ln());
    }
    let Tails { lower, .. } = ln_tails(point(t, nu));
    lower - LN_2
}

/// `ln P(T <= t)`.
pub fn ln_cdf(t: f64, nu: f64) -> f64 {
    ln_sf(-t, nu)
}

/// `t` with `P(T <= t) = p`; ∓∞ at 0 and 1.
pub fn quantile(p: f64, nu: f64) -> f64 {
    if p <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if p >= 1.0 {
        return f64::INFINITY;
    }
    if p <= 0.5 {
        -upper_quantile(p, p.ln(), nu)
    } else {
        upper_quantile(1.0 - p, (-p).ln_1p(), nu)
    }
}

/// `t >= 0` with `P(T > t) = p`.
fn upper_quantile(p: f64, ln_p: f64, nu: f64) -> f64 {
    if p >= 0.5 {
        return 0.0;
    }
    let z = normal::quantile_from_ln_sf(ln_p);
    if nu >= NORMAL_MIN {
        return z;
    }
    // ln sf is concave in w = ln t, with slope -t·pdf(t) / sf(t) and t·pdf(t) = x^(nu/2) y^(1/2) / B.
    newton(z.ln(), ln_p, |w| {
        let t = w.exp();
        let ln_sf = ln_sf(t, nu);
        if t > FAR {
            return (ln_sf, -nu);
        }
        (ln_sf, -(ln_power(point(t, nu)) - ln_sf).exp())
    })
    .exp()
}

fn point(t: f64, nu: f64) -> Point {
    let square = t * t;
    let sum = nu + square;
    Point {
        a: 0.5 * nu,
        b: 0.5,
        x: nu / sum,
        y: square / sum,
        excess: 0.5 * nu * (square - 1.0) / sum,
    }
}
