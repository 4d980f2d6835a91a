//! From exact numbers to the nearest double, ties to even: integers, and ratios of integers, times a power of two.
//!
//! Holds: each result is rounded once, never NaN, never infinite. Checked: properties of [`super::ExactSum`].

use num_bigint::{BigInt, BigUint, Sign};

/// So long a divisor, and a quotient of 66 bits, make a dividend of 128 bits.
pub(super) const SMALL_DIVISOR_BITS: u32 = 62;

/// The double nearest to `(head + r) · 2^exponent`, ties to even, where `0 <= r < 1` and `r > 0` when `below`.
/// `head` must have 65 bits or more when `below`. Clamped to `f64::MAX`.
pub(super) fn nearest_double(head: u128, exponent: i32, below: bool) -> f64 {
    if head == 0 {
        return 0.0;
    }
    let bits = 128 - head.leading_zeros() as i32;
    // The exponent of the last place: 53 bits, fewer among the subnormals.
    let unit = (bits + exponent - 53).max(-1074);
    let drop = unit - exponent;
    let (kept, exponent) = match drop {
        ..=0 => (head as u64, exponent),
        1..=127 => {
            let rest = head & ((1 << drop) - 1);
            let half = 1 << (drop - 1);
            let kept = (head >> drop) as u64;
            let up = rest > half || rest == half && (below || kept & 1 == 1);
            (kept + u64::from(up), unit)
        }
        _ => return 0.0,
    };
    // `kept` is at most 2^53 and exact; a product with a power of two is exact too, unless it overflows.
    scaled(kept as f64, exponent).min(f64::MAX)
}

/// `x · 2^exponent` for an exponent from -1074 up, where the result is a double (or too large).
fn scaled(x: f64, exponent: i32) -> f64 {
    if exponent > 971 {
        // 2^971 · (2^53 - 1) is the largest double; more than 1023 above it nothing but zero stays finite.
        return x * power_of_two(971) * power_of_two((exponent - 971).min(1023));
    }
    x * power_of_two(exponent)
}

fn power_of_two(exponent: i32) -> f64 {
    if exponent < -1022 {
        f64::from_bits(1 << (exponent + 1074))
    } else {
        f64::from_bits(((exponent + 1023) as u64) << 52)
    }
}

/// The double nearest to `numerator / denominator · 2^exponent`, ties to even.
pub(super) fn nearest_ratio(numerator: &BigInt, denominator: &BigUint, exponent: i32) -> f64 {
    let magnitude = numerator.magnitude();
    // A quotient of 66 to 67 bits, or more where the numerator is long.
    let shift = (66 + denominator.bits() as i64 - magnitude.bits() as i64).max(0) as u32;
    let shifted = magnitude << shift;
    let mut quotient = &shifted / denominator;
    let mut below = &quotient * denominator != shifted;
    let mut exponent = exponent - shift as i32;
    let excess = (quotient.bits() as i64 - 100).max(0) as u32;
    if excess > 0 {
        below |= quotient.trailing_zeros().unwrap_or(0) < u64::from(excess);
        quotient >>= excess;
        exponent += excess as i32;
    }
    let head = u128::try_from(quotient).expect("a quotient cut to 100 bits");
    let value = nearest_double(head, exponent, below);
    if numerator.sign() == Sign::Minus {
        -value
    } else {
        value
    }
}

/// The same of numbers that machine words hold; `denominator` is above 0 and below `2^SMALL_DIVISOR_BITS`.
pub(super) fn nearest_small_ratio(numerator: u128, denominator: u64, exponent: i32) -> f64 {
    if numerator == 0 {
        return 0.0;
    }
    let bits = |leading_zeros: u32, of: u32| (of - leading_zeros) as i32;
    let shift = 66 + bits(denominator.leading_zeros(), 64) - bits(numerator.leading_zeros(), 128);
    let shift = shift.max(0);
    let (shifted, denominator) = (numerator << shift, u128::from(denominator));
    let quotient = shifted / denominator;
    let below = quotient * denominator != shifted;
    nearest_double(quotient, exponent - shift, below)
}
