//! Quantiles, from tails in natural logs.
//!
//! Continuous: Newton's method on `ln tail` over `w = ln x`. The distributions here have log-concave densities in `w`, so `ln tail` is
//! concave in `w`, and from the second step on the method walks to the root from one side: it always converges.
//! Discrete: bisection between powers of two of the distance from a guess.

/// `w` where a concave, strictly monotone `ln_tail(w) = target`; `at(w)` gives its value and its derivative.
pub(super) fn newton(guess: f64, target: f64, at: impl Fn(f64) -> (f64, f64)) -> f64 {
    // The error is squared with each step: after a stride of 1e-8 nothing is left to gain.
    const LAST_STRIDE: f64 = 1e-8;
    const STEPS: usize = 60;
    const STRIDE_MAX: f64 = 200.0;
    let mut w = guess;
    for _ in 0..STEPS {
        let (value, slope) = at(w);
        let stride = ((target - value) / slope).clamp(-STRIDE_MAX, STRIDE_MAX);
        if stride.is_nan() {
            break;
        }
        w += stride;
        if stride.abs() <= LAST_STRIDE {
            break;
        }
    }
    w
}

/// The smallest whole number from 0 up at which a monotone condition holds, searched from `guess`; `limit` when it holds nowhere before.
pub(super) fn smallest_whole(guess: f64, limit: f64, holds: impl Fn(f64) -> bool) -> f64 {
    // `max` first: a guess that overflowed to no number becomes 0.
    let guess = guess.floor().max(0.0).min(limit);
    // `below` fails (or is -1), `reached` holds (or is the limit).
    let (mut below, mut reached) = (-1.0, limit);
    let mut stride = 1.0;
    if holds(guess) {
        reached = guess;
        while reached - stride >= 0.0 {
            if !holds(reached - stride) {
                below = reached - stride;
                break;
            }
            reached -= stride;
            stride *= 2.0;
        }
    } else {
        below = guess;
        while below + stride < limit {
            if holds(below + stride) {
                reached = below + stride;
                break;
            }
            below += stride;
            stride *= 2.0;
        }
    }
    loop {
        let middle = (below + 0.5 * (reached - below)).floor();
        if middle <= below || middle >= reached {
            return reached;
        }
        if holds(middle) {
            reached = middle;
        } else {
            below = middle;
        }
    }
}
