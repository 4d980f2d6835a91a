//! The log-normal distribution: `ln X` is normal with mean `mu` and standard deviation `sigma`. No probability lies at or below 0.
//!
//! Domain: `mu` finite, `sigma` positive. Precision: that of `normal`. Checked: through `normal`; bounds and monotony in tests/properties.rs.

use super::normal;

fn deviation(x: f64, mu: f64, sigma: f64) -> f64 {
    debug_assert!(sigma > 0.0, "sigma {sigma}");
    if x <= 0.0 {
        f64::NEG_INFINITY
    } else {
        (x.ln() - mu) / sigma
    }
}

/// `ln P(X > x)`.
pub fn ln_sf(x: f64, mu: f64, sigma: f64) -> f64 {
    normal::ln_sf(deviation(x, mu, sigma))
}

/// `ln P(X <= x)`.
pub fn ln_cdf(x: f64, mu: f64, sigma: f64) -> f64 {
    normal::ln_cdf(deviation(x, mu, sigma))
}

/// Log of the density at x; -∞ at and below 0.
pub fn ln_pdf(x: f64, mu: f64, sigma: f64) -> f64 {
    if x <= 0.0 {
        return f64::NEG_INFINITY;
    }
    normal::ln_pdf(deviation(x, mu, sigma)) - sigma.ln() - x.ln()
}

/// `x` with `P(X <= x) = p`.
pub fn quantile(p: f64, mu: f64, sigma: f64) -> f64 {
    (mu + sigma * normal::quantile(p)).exp()
}
