//! Several probabilities made into one, all as natural logs.
//!
//! Each input is the log of a p-value: the chance, uniform when nothing is unusual, of something at least as unlikely as what was seen.
//! Each output is one again. Inputs above 0 count as 0 (p = 1).
//! Source: Fisher's combination in its Gaussian form, `z = Φ⁻¹(1 - p/2)`, `S = Σ z²`, `P(χ²_n > S)`; with correlation ρ `S = zᵀR⁻¹z`;
//! for the smallest of n, David and Nagaraja, *Order Statistics*, 2003, §2.1.
//! Holds: total, never NaN for numbers, never grows when an input gets smaller. Checked: tests/reference/combine.json (mpmath).

use super::log_domain::ln_1m_exp;
use super::special::{chi_square, normal};
use std::f64::consts::LN_2;

/// `z >= 0` with `P(|Z| > z) = p`.
pub fn two_sided_deviation(ln_p: f64) -> f64 {
    normal::quantile_from_ln_sf(ln_p.min(0.0) - LN_2).max(0.0)
}

/// The joint p-value of independent ones; `ln 1` of none, one by itself is itself.
pub fn ln_joint(ln_p: &[f64]) -> f64 {
    ln_joint_weighted(ln_p.iter().map(|&ln_p| (ln_p, 1.0)))
}

/// The same where each `(ln p, weight)` counts as `weight` independent ones: `n = Σ w`, `S = Σ w z²`. Summed in the order given.
pub fn ln_joint_weighted(ln_p: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    let (mut n, mut squares) = (0.0, 0.0);
    let mut only = None;
    for (ln_p, weight) in ln_p {
        if weight <= 0.0 {
            continue;
        }
        let z = two_sided_deviation(ln_p);
        only = (n == 0.0).then_some(ln_p.min(0.0));
        n += weight;
        squares += weight * z * z;
    }
    match only {
        Some(ln_p) if n == 1.0 => ln_p,
        _ if n == 0.0 => 0.0,
        _ => chi_square::ln_sf(squares, n),
    }
}

/// The joint p-value of two whose deviations (taken on the same side) have correlation `rho`, 0 to just under 1.
///
/// `S = (z₁² - 2ρ z₁z₂ + z₂²) / (1 - ρ²)` for the two alone would make the pair less likely when one deviation is *smaller*: at a given z₁,
/// S is least at `z₂ = ρ z₁`, where the second says nothing that the first did not. Below that the pair is taken there, at `S = z₁²`.
/// The price: with correlation the result is too large, by a factor of up to 2 (measured at ρ = 0.5 in tests/properties.rs).
pub fn ln_joint_pair(ln_p1: f64, ln_p2: f64, rho: f64) -> f64 {
    let (z1, z2) = (two_sided_deviation(ln_p1), two_sided_deviation(ln_p2));
    let (high, low) = if z1 >= z2 { (z1, z2) } else { (z2, z1) };
    if high == f64::INFINITY {
        return f64::NEG_INFINITY;
    }
    let rho = rho.clamp(0.0, 1.0 - 1e-9);
    let beyond = (low - rho * high).max(0.0);
    let squares = high * high + beyond * beyond / ((1.0 - rho) * (1.0 + rho));
    chi_square::ln_sf(squares, 2.0)
}

/// The p-value of the smallest of `n` (real, at least 1) independent ones: `ln(1 - (1 - p)^n)`.
pub fn ln_extreme(ln_p_min: f64, n: f64) -> f64 {
    debug_assert!(n >= 1.0, "n {n}");
    let ln_p = ln_p_min.min(0.0);
    if ln_p > -600.0 {
        return ln_1m_exp(n * ln_1m_exp(ln_p));
    }
    // p itself would soon underflow; 1 - (1 - p)^n is 1 - exp(-np) to the last bit here.
    let ln_np = ln_p + n.ln();
    if ln_np < -40.0 {
        ln_np
    } else {
        ln_1m_exp(-ln_np.exp())
    }
}
