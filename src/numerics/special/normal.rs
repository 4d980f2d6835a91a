//! The standard normal distribution, its tails in natural logs.
//!
//! Input: a standardised deviation (dimensionless). Output: `ln P(Z > z)`, at most 0; finite to `|z| = 1e154`, -∞ only beyond.
//! Holds: relative error of the probability below 1e-14 (of its log far out), never grows with `z` but by rounding, never NaN for a number.
//! Source: sf = pdf · R with Mills' ratio R, `(z + 6)·R` being a polynomial in `(z - 6)/(z + 6)` on the whole half-line (after Shepherd and
//! Laframboise, "Chebyshev approximation of (1 + 2x)exp(x²)erfc x", 1981); quantiles by Wichura's algorithm AS 241 (1988).
//! Checked: tests/reference/normal.json (mpmath, 50 digits).

use crate::numerics::log_domain::ln_1m_exp;

/// `ln sqrt(2π)`.
pub(crate) const LN_SQRT_2PI: f64 = 0.918_938_533_204_672_8;

/// `ln P(Z > z)`.
pub fn ln_sf(z: f64) -> f64 {
    if z >= 0.0 {
        if z == f64::INFINITY {
            return f64::NEG_INFINITY;
        }
        mills_ratio(z).ln() - 0.5 * z * z - LN_SQRT_2PI
    } else {
        ln_1m_exp(ln_sf(-z))
    }
}

/// `ln P(Z <= z)`.
pub fn ln_cdf(z: f64) -> f64 {
    ln_sf(-z)
}

/// Log of the density at z.
pub fn ln_pdf(z: f64) -> f64 {
    -0.5 * z * z - LN_SQRT_2PI
}

/// `z` with `P(Z <= z) = p`; ∓∞ at 0 and 1 (and beyond, which no probability is).
pub fn quantile(p: f64) -> f64 {
    if p <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if p >= 1.0 {
        return f64::INFINITY;
    }
    let q = p - 0.5;
    if q.abs() <= CENTRAL {
        central_quantile(q)
    } else if q < 0.0 {
        -tail_quantile(p.ln())
    } else {
        tail_quantile((-p).ln_1p())
    }
}

/// `z` with `ln P(Z > z) = ln_p`, for any `ln_p` down to -1e300; -∞ from 0 up.
pub fn quantile_from_ln_sf(ln_p: f64) -> f64 {
    if ln_p >= 0.0 {
        return f64::NEG_INFINITY;
    }
    if ln_p == f64::NEG_INFINITY {
        return f64::INFINITY;
    }
    let q = 0.5 - ln_p.exp();
    if q.abs() <= CENTRAL {
        central_quantile(q)
    } else if q > 0.0 {
        tail_quantile(ln_p)
    } else {
        -tail_quantile(ln_1m_exp(ln_p))
    }
}

/// Mills' ratio `sf(z) / pdf(z)` for `z >= 0`: from sqrt(π/2) down as 1/z. Relative error below 2e-15.
pub(crate) fn mills_ratio(z: f64) -> f64 {
    if z > 1e17 {
        return 1.0 / z;
    }
    let t = (z - K) / (z + K);
    let s = t * t;
    // Even and odd powers apart: two short chains instead of a long one.
    let mut even = MILLS[22];
    let mut odd = MILLS[21];
    for pair in MILLS[1..21].rchunks_exact(2) {
        even = even * s + pair[1];
        odd = odd * s + pair[0];
    }
    (even * s + MILLS[0] + odd * t) / (z + K)
}

const K: f64 = 6.0;

/// `(z + K)·R(z)` in powers of `t = (z - K) / (z + K)`: tests/reference/coefficients.py; truncated at 4e-16.
const MILLS: [f64; 23] = [
    1.9485319307624096,
    -1.7571690543441083,
    1.4261935116084092,
    -1.037502431075801,
    0.6717118214993473,
    -0.38271258668215324,
    0.1884280492787981,
    -0.07766866779960255,
    0.025141031962779743,
    -0.005343142935798607,
    8.239314429257288e-05,
    0.0004546076357785811,
    -0.00016230983181152883,
    2.683709907462044e-06,
    1.703681897539653e-05,
    -4.488761774465433e-06,
    -1.0766450945374237e-06,
    7.521191482650584e-07,
    1.7164141509358077e-08,
    -9.060390085250329e-08,
    7.087974401694241e-09,
    6.7918041959365134e-09,
    -9.037209862696747e-10,
];

/// Half-width in p of the central range of AS 241.
const CENTRAL: f64 = 0.425;

fn polynomial(coefficients: &[f64; 8], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c)
}

/// AS 241, PPND16: `|p - ½| <= 0.425`.
fn central_quantile(q: f64) -> f64 {
    let r = CENTRAL * CENTRAL - q * q;
    q * polynomial(&CENTRAL_OVER, r) / polynomial(&CENTRAL_UNDER, r)
}

/// AS 241 from the log of the tail, `ln_p < ln 0.075`; beyond its range (p = e^-729) Newton's method on `ln_sf`.
fn tail_quantile(ln_p: f64) -> f64 {
    let r = (-ln_p).sqrt();
    if r <= 5.0 {
        return polynomial(&NEAR_OVER, r - 1.6) / polynomial(&NEAR_UNDER, r - 1.6);
    }
    if r <= 27.0 {
        return polynomial(&FAR_OVER, r - 5.0) / polynomial(&FAR_UNDER, r - 5.0);
    }
    // sf(z) ~ pdf(z) / z, and d ln sf / dz = -1/R.
    let mut z = (-2.0 * (ln_p + LN_SQRT_2PI + (2.0f64.sqrt() * r).ln())).sqrt();
    for _ in 0..3 {
        z += (ln_sf(z) - ln_p) * mills_ratio(z);
    }
    z
}

const CENTRAL_OVER: [f64; 8] = [
    3.387_132_872_796_366_5,
    1.331_416_678_917_843_8e2,
    1.971_590_950_306_551_3e3,
    1.373_169_376_550_946e4,
    4.592_195_393_154_987e4,
    6.726_577_092_700_87e4,
    3.343_057_558_358_813e4,
    2.509_080_928_730_122_7e3,
];
const CENTRAL_UNDER: [f64; 8] = [
    1.0,
    4.231_333_070_160_091e1,
    6.871_870_074_920_579e2,
    5.394_196_021_424_751e3,
    2.121_379_430_158_659_7e4,
    3.930_789_580_009_271e4,
    2.872_908_573_572_194_3e4,
    5.226_495_278_852_854e3,
];
const NEAR_OVER: [f64; 8] = [
    1.423_437_110_749_683_5,
    4.630_337_846_156_546,
    5.769_497_221_460_691,
    3.647_848_324_763_204_5,
    1.270_458_252_452_368_4,
    2.417_807_251_774_506e-1,
    2.272_384_498_926_918_4e-2,
    7.745_450_142_783_414e-4,
];
const NEAR_UNDER: [f64; 8] = [
    1.0,
    2.053_191_626_637_759,
    1.676_384_830_183_803_8,
    6.897_673_349_851e-1,
    1.481_039_764_274_800_8e-1,
    1.519_866_656_361_645_7e-2,
    5.475_938_084_995_345e-4,
    1.050_750_071_644_416_9e-9,
];
const FAR_OVER: [f64; 8] = [
    6.657_904_643_501_103,
    5.463_784_911_164_114,
    1.784_826_539_917_291_3,
    2.965_605_718_285_048_7e-1,
    2.653_218_952_657_612_4e-2,
    1.242_660_947_388_078_4e-3,
    2.711_555_568_743_487_6e-5,
    2.010_334_399_292_288_1e-7,
];
const FAR_UNDER: [f64; 8] = [
    1.0,
    5.998_322_065_558_88e-1,
    1.369_298_809_227_358e-1,
    1.487_536_129_085_061_5e-2,
    7.868_691_311_456_133e-4,
    1.846_318_317_510_054_8e-5,
    1.421_511_758_316_446e-7,
    2.044_263_103_389_939_8e-15,
];
