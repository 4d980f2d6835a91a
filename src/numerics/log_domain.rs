//! Arithmetic on natural logs of non-negative numbers.
//!
//! Input and output: logs, -∞ for zero; never NaN for logs that are not (∞ is allowed nowhere but as a sum's argument).
//! Source: Mächler, "Accurately computing log(1 - exp(-|a|))", 2012; `ln(1 + u) - u` by the series of the inverse hyperbolic tangent.
//! Checked: closed cases in tests/reference.rs, and through every tail that is computed with them.

use std::f64::consts::LN_2;

/// `ln(exp(a) + exp(b))`.
pub fn ln_add_exp(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY || high == f64::INFINITY {
        return high;
    }
    high + (low - high).exp().ln_1p()
}

/// `ln(exp(a) - exp(b))`; -∞ unless `a > b`.
pub fn ln_sub_exp(a: f64, b: f64) -> f64 {
    if a > b {
        a + ln_1m_exp(b - a)
    } else {
        f64::NEG_INFINITY
    }
}

/// `ln(1 - exp(x))`: the log of the other probability. -∞ from `x = 0` up.
pub fn ln_1m_exp(x: f64) -> f64 {
    if x >= 0.0 {
        f64::NEG_INFINITY
    } else if x > -LN_2 {
        (-x.exp_m1()).ln()
    } else {
        (-x.exp()).ln_1p()
    }
}

/// `ln Σ exp(x_i)`, summed in the order given; -∞ of nothing.
pub fn ln_sum_exp(terms: &[f64]) -> f64 {
    let high = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if high.is_infinite() {
        return high;
    }
    high + terms.iter().map(|x| (x - high).exp()).sum::<f64>().ln()
}

/// `ln(1 + u) - u` for `u > -1`, where the difference would cancel: relative error below 1e-15 for `|u| < 0.4`.
pub(crate) fn ln_1p_minus(u: f64) -> f64 {
    if !(-0.4..=0.5).contains(&u) {
        return u.ln_1p() - u;
    }
    // ln(1 + u) = 2 atanh(r), r = u / (2 + u), and 2r - u = -u·r.
    let r = u / (2.0 + u);
    let s = r * r;
    let mut series = 0.0;
    for odd in ODD_RECIPROCALS {
        series = series * s + odd;
    }
    r * (2.0 * s * series - u)
}

/// 1/(2k + 3) from the smallest to the largest.
const ODD_RECIPROCALS: [f64; 12] = [
    1.0 / 25.0,
    1.0 / 23.0,
    1.0 / 21.0,
    1.0 / 19.0,
    1.0 / 17.0,
    1.0 / 15.0,
    1.0 / 13.0,
    1.0 / 11.0,
    1.0 / 9.0,
    1.0 / 7.0,
    1.0 / 5.0,
    1.0 / 3.0,
];
