//! Student's t distribution with real degrees of freedom `nu >= 1`, its tails in natural logs.
//!
//! Domain: any t; `nu` up to ∞ (from 1e15 it is the normal distribution). Relative error of the probability below 1e-10.
//! Source: DLMF 8.17: `2·P(T > t) = I_x(nu/2, 1/2)`, `x = nu / (nu + t²)`; near the middle of many degrees of freedom the series of
//! [`near_normal`]; for three of them the elementary formula. Checked: tests/reference/student_t.json (mpmath, 50 digits).

use super::Probabilities;
use super::incomplete_beta::{LnGammas, Point, ln_lower_tail, ln_power};
use super::inverse::newton;
use super::ln_gamma::ln_gamma;
use super::normal;
use super::normal::{LN_SQRT_2PI, mills_ratio};
use crate::numerics::log_domain::ln_1m_exp;
use std::f64::consts::LN_2;
use std::sync::LazyLock;

/// Degrees of freedom from which t is the normal distribution to the last bits.
const NORMAL_MIN: f64 = 1e15;
/// Where the tail is a power of t to the last bit: `(t / FAR)^-nu`.
const FAR: f64 = 1e60;

/// So many degrees of freedom, for who asks of them more than once: what their tails and densities have in common is found once.
#[derive(Clone, Copy, Debug)]
pub struct Freedom {
    nu: f64,
    /// Of few degrees.
    ln_gammas: Option<LnGammas>,
    /// Log of the density at 0, where it was asked for beforehand.
    ln_peak: Option<f64>,
}

/// Three degrees, whose gamma functions are always the same.
static THREE: LazyLock<Freedom> = LazyLock::new(|| Freedom::of(3.0).with_peak());

impl Freedom {
    /// So many degrees, at least 1.
    pub fn of(nu: f64) -> Freedom {
        debug_assert!(nu >= 1.0, "degrees of freedom {nu}");
        Freedom {
            nu,
            ln_gammas: (nu != 3.0).then(|| LnGammas::of(0.5 * nu, 0.5)).flatten(),
            ln_peak: None,
        }
    }

    /// The same, for who asks of more than one density.
    #[must_use]
    pub fn with_peak(self) -> Freedom {
        Freedom {
            ln_peak: Some(self.ln_peak()),
            ..self
        }
    }

    /// So many degrees they are.
    pub fn degrees(&self) -> f64 {
        self.nu
    }

    /// `ln P(T > t)`.
    pub fn ln_sf(&self, t: f64) -> f64 {
        let nu = self.nu;
        if nu >= NORMAL_MIN {
            return normal::ln_sf(t);
        }
        if t < 0.0 {
            return ln_1m_exp(self.ln_sf(-t));
        }
        if t > FAR {
            return self.ln_sf(FAR) - nu * (t.ln() - FAR.ln());
        }
        if let Some((ln_scale, rest)) = near_normal(t, nu) {
            return ln_scale + rest.ln();
        }
        if nu == 3.0 {
            return of_three(t).ln();
        }
        ln_lower_tail(point(t, nu), self.ln_gammas) - LN_2
    }

    /// `P(T <= t)` and `P(T >= t)`.
    pub fn probabilities(&self, t: f64) -> Probabilities {
        let tail = match near_normal(t.abs(), self.nu) {
            Some((ln_scale, rest)) => ln_scale.exp() * rest,
            None if self.nu == 3.0 => of_three(t.abs()),
            None => self.ln_sf(t.abs()).exp(),
        };
        if t < 0.0 {
            Probabilities::of_lower(tail)
        } else {
            Probabilities::of_upper(tail)
        }
    }

    /// Log of the density: `Γ((nu + 1)/2) / (√(nu π) Γ(nu/2)) (1 + t²/nu)^-(nu + 1)/2`.
    pub fn ln_pdf(&self, t: f64) -> f64 {
        let nu = self.nu;
        self.ln_peak() - 0.5 * (nu + 1.0) * (t * t / nu).ln_1p()
    }

    fn ln_peak(&self) -> f64 {
        let nu = self.nu;
        if let Some(known) = self.ln_peak {
            return known;
        }
        if nu >= SERIES_MIN {
            return ln_gamma_step(nu) - LN_SQRT_2PI;
        }
        let (whole, half) = match self.ln_gammas {
            Some(ln_gamma) => (ln_gamma.sum, ln_gamma.a),
            None => (ln_gamma(0.5 * (nu + 1.0)), ln_gamma(0.5 * nu)),
        };
        whole - half - 0.5 * (nu * std::f64::consts::PI).ln()
    }
}

/// `ln P(T > t)`.
pub fn ln_sf(t: f64, nu: f64) -> f64 {
    Freedom::of(nu).ln_sf(t)
}

/// `P(T <= t)` and `P(T >= t)`.
pub fn probabilities(t: f64, nu: f64) -> Probabilities {
    Freedom::of(nu).probabilities(t)
}

/// Log of the density.
pub fn ln_pdf(t: f64, nu: f64) -> f64 {
    match nu {
        3.0 => THREE.ln_pdf(t),
        _ => Freedom::of(nu).ln_pdf(t),
    }
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
    let freedom = Freedom::of(nu);
    let z = normal::quantile_from_ln_sf(ln_p);
    if nu >= NORMAL_MIN {
        return z;
    }
    // ln sf is concave in w = ln t, with slope -t·pdf(t) / sf(t) and t·pdf(t) = x^(nu/2) y^(1/2) / B.
    newton(z.ln(), ln_p, |w| {
        let t = w.exp();
        let ln_sf = freedom.ln_sf(t);
        if t > FAR {
            return (ln_sf, -nu);
        }
        (ln_sf, -(ln_power(point(t, nu)) - ln_sf).exp())
    })
    .exp()
}

/// Degrees of freedom from which the two series below are good to 1e-11.
const SERIES_MIN: f64 = 30.0;
/// The largest `ln(1 + t²/nu)` for [`near_normal`].
const NEAR_MAX: f64 = 0.4;

/// `ln Γ((nu + 1)/2) - ln Γ(nu/2) - ½ ln(nu/2)`, by the difference of two Stirling series.
fn ln_gamma_step(nu: f64) -> f64 {
    let s = 1.0 / (nu * nu);
    (-1.0 / 4.0 + s * (1.0 / 24.0 + s * (-1.0 / 20.0 + s * (17.0 / 112.0)))) / nu
}

/// `P(T > t)` for `t >= 0` as the log of one factor and another, where there are many degrees of freedom and t is not far out.
///
/// With `w² = a ln(1 + t²/nu)`, `a = nu - ½`, the density becomes `exp(-w²/2) h(w²/a)` times a constant, `h(y) = sqrt((y/2) / sinh(y/2))` being an even
/// function; its Taylor series is integrated term by term: `∫ v^2n exp(-v²/2) dv` from w on is Mills' ratio and a polynomial. The change
/// of variable is that of Wallace, "Bounds on normal approximations to Student's and the chi-square distributions", 1959.
fn near_normal(t: f64, nu: f64) -> Option<(f64, f64)> {
    if nu < SERIES_MIN {
        return None;
    }
    let y = (t * t / nu).ln_1p();
    if y > NEAR_MAX {
        return None;
    }
    let a = nu - 0.5;
    let square = a * y;
    let w = square.sqrt();
    let mills = mills_ratio(w);
    // Moments of order 4, 8, 12, 16 over a^2, a^4...: each from the one two below, x_n = w^(n-1) + (n - 1) x_(n-2).
    let (mut moment, mut power, mut n, mut sum, mut shrink) = (mills, w, 1.0, mills, 1.0);
    for coefficient in NEAR {
        for _ in 0..2 {
            moment = power + n * moment;
            power *= square;
            n += 2.0;
        }
        shrink /= a * a;
        sum += coefficient * shrink * moment;
    }
    let ln_scale = ln_gamma_step(nu) - LN_SQRT_2PI - 0.5 * square;
    Some((ln_scale, sum / (a / nu).sqrt()))
}

/// Taylor coefficients of `sqrt((y/2) / sinh(y/2))` at y², y⁴, y⁶, y⁸.
const NEAR: [f64; 4] = [
    -1.0 / 48.0,
    1.0 / 2560.0,
    -61.0 / 7_741_440.0,
    1261.0 / 7_431_782_400.0,
];

/// `P(T > t)` for `t >= 0` and three degrees of freedom: `(atan c - c / (1 + c²)) / π` with `c = √3 / t`.
fn of_three(t: f64) -> f64 {
    let c = 3.0f64.sqrt() / t;
    if c > 0.1 {
        return (c.atan() - c / (1.0 + c * c)) / std::f64::consts::PI;
    }
    // Σ (-1)^k 2k/(2k + 1) c^(2k + 1), where the difference would cancel.
    let s = c * c;
    let series = (1..=7).rev().fold(0.0, |sum, k| {
        let k = 2.0 * f64::from(k);
        k / (k + 1.0) - s * sum
    });
    c * s * series / std::f64::consts::PI
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
