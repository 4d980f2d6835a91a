//! The chi-square distribution with `n` degrees of freedom (real, positive): a gamma distribution of shape n/2 and scale 2.
//!
//! Checked: tests/reference/chi_square.json (mpmath, 50 digits).

use super::gamma;

/// `ln P(X > x)`.
pub fn ln_sf(x: f64, n: f64) -> f64 {
    gamma::ln_sf(x, 0.5 * n, 2.0)
}

/// `ln P(X <= x)`.
pub fn ln_cdf(x: f64, n: f64) -> f64 {
    gamma::ln_cdf(x, 0.5 * n, 2.0)
}

/// `x` with `P(X <= x) = p`.
pub fn quantile(p: f64, n: f64) -> f64 {
    gamma::quantile(p, 0.5 * n, 2.0)
}
