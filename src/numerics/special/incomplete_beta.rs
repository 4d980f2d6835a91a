//! The regularised incomplete beta function I_x(a, b) and its complement I_{1-x}(b, a), in natural logs.
//!
//! Domain: `a, b > 0`; x given by itself, by `y = 1 - x` and by `a·y - b·x`, since callers know all three without cancellation.
//! Relative error of either tail below 1e-10 while its log is above -1e3, of the log itself 1e-12 beyond (a tail that is the complement
//! of one close to 1 loses as much as it is smaller, which matters below `a` or `b` = 1e-4). Never NaN for numbers.
//! Source: the continued fraction of Didonato and Morris (ACM TOMS 18, 1992, algorithm 708, BFRAC; the even part of DLMF 8.17.22). Near the
//! mean of large `a` and `b`, where it is slow, Gauss-Legendre quadrature of the log-concave density of `ln(t / (1 - t))`.
//! Checked: tests/reference/beta.json, student_t.json, negative_binomial.json (mpmath, 50 digits).

use super::ln_gamma::{STIRLING_MIN, ln_gamma, stirling_error};
use super::normal::LN_SQRT_2PI;
use super::{Probabilities, Tails};
use crate::numerics::log_domain::ln_1p_minus;

/// Convergents are taken until they agree to this share.
const FRACTION_EPSILON: f64 = 1e-14;
/// From here up, within [`NEAR_DEVIATIONS`], quadrature is the faster way.
const QUADRATURE_MIN: f64 = 300.0;
const NEAR_DEVIATIONS: f64 = 4.0;
/// The integral ends where the normal density of the same curvature has fallen by `exp(-36)` (a skewed one has by `exp(-30)` at least);
/// twenty nodes see the whole of it to 1e-13.
const QUADRATURE_DECAY: f64 = 36.0;

/// Where to evaluate: `y = 1 - x`, `excess = a·y - b·x`, each as precise as the caller can give it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) a: f64,
    pub(super) b: f64,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) excess: f64,
}

impl Point {
    /// Whether the fraction is that of the lower tail: while x < (a + 1) / (a + b + 2).
    fn is_lower(self) -> bool {
        self.excess + self.y - self.x >= 0.0
    }

    /// The same point seen from the other end.
    fn mirrored(self) -> Point {
        Point {
            a: self.b,
            b: self.a,
            x: self.y,
            y: self.x,
            excess: -self.excess,
        }
    }
}

/// Logs of the gamma function at a + b, a and b, where both are small: what points of the same a and b have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct LnGammas {
    pub(super) sum: f64,
    pub(super) a: f64,
    pub(super) b: f64,
}

impl LnGammas {
    /// `None` where Stirling's formula serves.
    pub(super) fn of(a: f64, b: f64) -> Option<LnGammas> {
        (a < STIRLING_MIN && b < STIRLING_MIN).then(|| LnGammas {
            sum: ln_gamma(a + b),
            a: ln_gamma(a),
            b: ln_gamma(b),
        })
    }

    fn mirrored(self) -> LnGammas {
        LnGammas {
            a: self.b,
            b: self.a,
            ..self
        }
    }
}

/// `ln I_x(a, b)` as the lower tail, `ln I_y(b, a)` as the upper one.
pub(super) fn ln_tails(at: Point) -> Tails {
    ln_tails_with(at, LnGammas::of(at.a, at.b))
}

/// The lower of the two, with what is known of a and b: where the fraction gives it, the other is not computed.
pub(super) fn ln_lower_tail(at: Point, known: Option<LnGammas>) -> f64 {
    let is_inside = at.x > 0.0 && at.y > 0.0;
    if is_inside && at.is_lower() {
        return ln_lower(at, known).min(0.0);
    }
    ln_tails_with(at, known).lower
}

fn ln_tails_with(at: Point, known: Option<LnGammas>) -> Tails {
    if at.x <= 0.0 {
        return Tails::ALL_ABOVE;
    }
    if at.y <= 0.0 {
        return Tails::ALL_BELOW;
    }
    if at.is_lower() {
        Tails::from_lower(ln_lower(at, known))
    } else {
        let known = known.map(LnGammas::mirrored);
        Tails::from_upper(ln_lower(at.mirrored(), known))
    }
}

/// `I_x(a, b)` and `I_y(b, a)`, and `ln(x^a y^b / B(a, b))`, for x and y above 0.
pub(super) fn probabilities(at: Point) -> (Probabilities, f64) {
    let power = ln_power(at);
    let probabilities = if at.excess + at.y - at.x >= 0.0 {
        Probabilities::of_lower(power.exp() * over_power(at))
    } else {
        Probabilities::of_upper(power.exp() * over_power(at.mirrored()))
    };
    (probabilities, power)
}

fn ln_lower(at: Point, known: Option<LnGammas>) -> f64 {
    ln_power_with(at, known) + over_power(at).ln()
}

/// `I_x(a, b)` over `x^a y^b / B(a, b)`.
fn over_power(at: Point) -> f64 {
    let curvature = (at.a + at.b) * at.x * at.y;
    let near = at.excess * at.excess < NEAR_DEVIATIONS * NEAR_DEVIATIONS * curvature;
    if near && at.a.min(at.b) > QUADRATURE_MIN {
        quadrature(at, curvature)
    } else {
        1.0 / fraction(at)
    }
}

/// `ln(x^a y^b / B(a, b))`.
pub(super) fn ln_power(at: Point) -> f64 {
    ln_power_with(at, LnGammas::of(at.a, at.b))
}

fn ln_power_with(at: Point, known: Option<LnGammas>) -> f64 {
    let Point { a, b, x, y, excess } = at;
    let n = a + b;
    if let Some(ln_gamma) = known {
        return a * ln_part(x, y) + b * ln_part(y, x) + ln_gamma.sum - ln_gamma.a - ln_gamma.b;
    }
    if a < STIRLING_MIN {
        return half_stirling(a, b, x, y);
    }
    if b < STIRLING_MIN {
        return half_stirling(b, a, y, x);
    }
    // Deviances of a from n·x and of b from n·y (Loader 2000); what is linear in the excess cancels between the two.
    deviance(a, excess, n * x) + deviance(b, -excess, n * y) + 0.5 * (a / n * b).ln() - LN_SQRT_2PI
        + stirling_error(n)
        - stirling_error(a)
        - stirling_error(b)
}

/// `a·[ln(m / a) - (m / a - 1)]` where `m = a - excess`.
fn deviance(a: f64, excess: f64, m: f64) -> f64 {
    let u = -excess / a;
    if u.abs() < 0.4 {
        a * ln_1p_minus(u)
    } else {
        a * ((m / a).ln() - u)
    }
}

/// `ln(x^a y^b / B(a, b))` for small `a` and large `b`: Γ(a + b) / Γ(b) by Stirling's formula, its large parts cancelled by hand.
fn half_stirling(a: f64, b: f64, x: f64, y: f64) -> f64 {
    let n = a + b;
    let share = a / b;
    a * (n * x).ln() + b * ln_part(y, x) + b * ln_1p_minus(share) - 0.5 * share.ln_1p()
        + stirling_error(n)
        - stirling_error(b)
        - ln_gamma(a)
}

/// `ln x`, from `1 - x` when that is the more precise.
fn ln_part(x: f64, one_minus_x: f64) -> f64 {
    if x > 0.5 {
        (-one_minus_x).ln_1p()
    } else {
        x.ln()
    }
}

/// `F` with `I_x(a, b) = x^a y^b / (B(a, b) F)`, by the forward recurrence.
fn fraction(at: Point) -> f64 {
    const LARGE: f64 = 1e150;
    let Point { a, b, x, y, excess } = at;
    let (mut over, mut over_before) = (a * (excess + 1.0) / (a + 1.0), 1.0);
    let (mut under, mut under_before) = (1.0, 0.0);
    let mut m = 0.0;
    loop {
        m += 1.0;
        let (low, high) = (a + 2.0 * m - 1.0, a + 2.0 * m + 1.0);
        let step = m * (b - m) * x / low;
        let c = (a + m - 1.0) * (a + b + m - 1.0) * x / low * step;
        let d = m + step + (a + m) * (excess + 1.0 + m * (1.0 + y)) / high;
        (over, over_before) = (d * over + c * over_before, over);
        (under, under_before) = (d * under + c * under_before, under);
        let (left, right) = (over * under_before, over_before * under);
        if (left - right).abs() <= FRACTION_EPSILON * right.abs() || m > 2000.0 {
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

/// `I_x(a, b)` over `x^a y^b / B(a, b)`: the integral of `exp(h(v))`, where `ln(t / (1 - t))` lies `v >= 0` below that of x,
/// `h(v) = -a·v - n ln(1 + x(e^-v - 1)) = -excess·v - n·[x·v + ln(1 + x(e^-v - 1))]`.
fn quadrature(at: Point, curvature: f64) -> f64 {
    let n = at.a + at.b;
    let root = (at.excess * at.excess + 2.0 * QUADRATURE_DECAY * curvature).sqrt();
    // The positive root of excess·v + curvature·v²/2 = decay, without cancellation.
    let length = 2.0 * QUADRATURE_DECAY / (at.excess + root);
    let mut sum = 0.0;
    for (node, weight) in GAUSS {
        let v = node * length;
        // From the side where the share is small: that of 1 + x(e^-v - 1) = e^-v (1 + y(e^v - 1)) that does not cancel.
        let (share, v_signed) = if at.x < 0.5 { (at.x, -v) } else { (at.y, v) };
        let curve = exp_minus_linear(v_signed);
        let bend = share * curve + ln_1p_minus(share * (curve + v_signed));
        sum += weight * (-at.excess * v - n * bend).exp();
    }
    sum * length
}

/// `e^v - 1 - v`.
fn exp_minus_linear(v: f64) -> f64 {
    if v.abs() > 0.5 {
        return v.exp_m1() - v;
    }
    let series = EXP_STEPS.iter().fold(1.0, |sum, step| 1.0 + sum * v * step);
    0.5 * v * v * series
}

/// Ratios of neighbouring Taylor coefficients, 1/k, from the smallest.
const EXP_STEPS: [f64; 12] = [
    1.0 / 14.0,
    1.0 / 13.0,
    1.0 / 12.0,
    1.0 / 11.0,
    1.0 / 10.0,
    1.0 / 9.0,
    1.0 / 8.0,
    1.0 / 7.0,
    1.0 / 6.0,
    1.0 / 5.0,
    1.0 / 4.0,
    1.0 / 3.0,
];

/// Nodes on [0, 1] and weights: tests/reference/coefficients.py.
const GAUSS: [(f64, f64); 20] = [
    (0.0034357004074525377, 0.008807003569576059),
    (0.018014036361043106, 0.02030071490019347),
    (0.04388278587433705, 0.031336024167054534),
    (0.0804415140888906, 0.04163837078835238),
    (0.1268340467699246, 0.05096505990862022),
    (0.1819731596367425, 0.059097265980759206),
    (0.24456649902458646, 0.06584431922458832),
    (0.3131469556422902, 0.07104805465919102),
    (0.38610707442917747, 0.07458649323630187),
    (0.46173673943325133, 0.07637669356536292),
    (0.5382632605667487, 0.07637669356536292),
    (0.6138929255708225, 0.07458649323630187),
    (0.6868530443577098, 0.07104805465919102),
    (0.7554335009754135, 0.06584431922458832),
    (0.8180268403632576, 0.059097265980759206),
    (0.8731659532300754, 0.05096505990862022),
    (0.9195584859111094, 0.04163837078835238),
    (0.956117214125663, 0.031336024167054534),
    (0.9819859636389568, 0.02030071490019347),
    (0.9965642995925474, 0.008807003569576059),
];
