//! The log of the gamma function, and what is left of it when Stirling's formula is taken out.
//!
//! Domain: positive numbers. Relative error below 1e-14 (of `ln_gamma_1p` also near 0, where it vanishes).
//! Source: DLMF 5.11.1 (Stirling's series), 5.7.3 (Taylor series at 1); below 8 `lgamma` of the libm crate (after Sun's fdlibm).
//! Checked: tests/reference/ln_gamma.json (mpmath, 50 digits).

use super::normal::LN_SQRT_2PI;

/// From here up Stirling's series is good to the last bit.
pub(super) const STIRLING_MIN: f64 = 8.0;

/// `ln Γ(½)`: asked for with every tail of Student's t.
const LN_GAMMA_HALF: f64 = 0.572_364_942_924_700_1;

/// `ln Γ(x)` for `x > 0`.
pub fn ln_gamma(x: f64) -> f64 {
    if x == 0.5 {
        LN_GAMMA_HALF
    } else if x < STIRLING_MIN {
        libm::lgamma(x)
    } else if x < 1e305 {
        (x - 0.5) * x.ln() - x + LN_SQRT_2PI + stirling_error(x)
    } else {
        f64::INFINITY
    }
}

/// `ln Γ(1 + a)` for `a >= 0`, accurate relative to itself also where it vanishes, at 0.
pub(super) fn ln_gamma_1p(a: f64) -> f64 {
    if a > 0.5 {
        return ln_gamma(1.0 + a);
    }
    const ONE_MINUS_EULER: f64 = 0.422_784_335_098_467_1;
    let series = ZETA.iter().rev().fold(0.0, |sum, z| z - a * sum);
    a * (ONE_MINUS_EULER + a * series) - a.ln_1p()
}

/// `ln Γ(a) - [(a - ½) ln a - a + ½ ln 2π]` for `a >= 8`: what Stirling's formula lacks, 1/(12a) and smaller terms.
pub(super) fn stirling_error(a: f64) -> f64 {
    let s = 1.0 / (a * a);
    let mut series = STIRLING[7];
    for c in STIRLING[..7].iter().rev() {
        series = series * s + c;
    }
    series / a
}

/// `B_2k / (2k (2k - 1))`.
const STIRLING: [f64; 8] = [
    1.0 / 12.0,
    -1.0 / 360.0,
    1.0 / 1260.0,
    -1.0 / 1680.0,
    1.0 / 1188.0,
    -691.0 / 360_360.0,
    1.0 / 156.0,
    -3617.0 / 122_400.0,
];

/// `(ζ(k) - 1) / k` for k = 2, 3, ...: tests/reference/coefficients.py.
const ZETA: [f64; 26] = [
    0.3224670334241132,
    0.0673523010531981,
    0.020580808427784546,
    0.007385551028673986,
    0.0028905103307415234,
    0.001192753911703261,
    0.0005096695247430425,
    0.00022315475845357939,
    9.945751278180853e-05,
    4.492623673813314e-05,
    2.050721277567069e-05,
    9.439488275268397e-06,
    4.374866789907488e-06,
    2.039215753801366e-06,
    9.55141213040742e-07,
    4.492469198764566e-07,
    2.1207184805554665e-07,
    1.0043224823968099e-07,
    4.7698101693639804e-08,
    2.2711094608943164e-08,
    1.0838659214896955e-08,
    5.183475041970047e-09,
    2.4836745438024785e-09,
    1.1921401405860912e-09,
    5.731367241678862e-10,
    2.7595228851242334e-10,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_what_would_be_computed() {
        assert_eq!(ln_gamma(0.5).to_bits(), libm::lgamma(0.5).to_bits());
    }
}
