//! The beta distribution: the regularised incomplete beta function and its complement, in natural logs.
//!
//! Domain: `a, b > 0`; x outside 0..=1 counts as the nearer end. Precision: see `incomplete_beta`; x itself is taken as exact, so that near 1
//! the upper tail is as precise as `1 - x`. Checked: tests/reference/beta.json (mpmath, 50 digits).

use super::Tails;
use super::incomplete_beta::{Point, ln_tails};

fn tails(x: f64, a: f64, b: f64) -> Tails {
    debug_assert!(a > 0.0 && b > 0.0, "a {a}, b {b}");
    let y = 1.0 - x;
    ln_tails(Point {
        a,
        b,
        x,
        y,
        excess: a * y - b * x,
    })
}

/// `ln P(X <= x) = ln I_x(a, b)`.
pub fn ln_cdf(x: f64, a: f64, b: f64) -> f64 {
    tails(x, a, b).lower
}

/// `ln P(X > x) = ln I_{1-x}(b, a)`.
pub fn ln_sf(x: f64, a: f64, b: f64) -> f64 {
    tails(x, a, b).upper
}
