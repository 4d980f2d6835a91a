//! An exact sum of doubles: what it is does not depend on the order or the grouping of its terms, to the bit.
//!
//! The sum is held in fixed point, `Σ limb[i] · 2^(32·(base + i))`, with 64-bit limbs that each hold 32 bits of a term, so that 2^29
//! terms fit before a carry has to be passed on (the small superaccumulator of Neal, "Fast exact summation using small and large
//! superaccumulators", 2015). Only limbs that a term touched are kept: four of them, inline, span 38 decimal digits.
//!
//! Holds: adding, merging and subtracting are exact; equal sums compare equal and serialise to equal bytes, however they were come by;
//! `value` is the double nearest to the sum, ties to even; no result is NaN or infinite.
//! Checked: rational arithmetic (num-bigint) in the properties below; permutations and groupings.

use num_bigint::{BigInt, BigUint, Sign};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use smallvec::SmallVec;

/// Bits of a term that one limb holds.
const LIMB_BITS: i32 = 32;
const LIMB_MASK: u64 = 0xffff_ffff;
/// Terms that a limb can take before carries are passed on; two such sums can still be merged.
const PENDING_MAX: u32 = 1 << 29;
/// So long a divisor, and a quotient of 66 bits, make a dividend of 128 bits.
const SMALL_DIVISOR_BITS: u32 = 62;
/// The exponent of the lowest bit of the smallest product of two doubles, 2^-1074 squared, rounded down to a limb.
const BASE_MIN: i16 = -68;
/// One past the highest limb that 2^64 squares of doubles, each weighing 2^64, can reach: 2^(2·1024 + 128).
const BASE_END: i16 = 70;

/// An exact accumulator of finite doubles and of their products.
#[derive(Clone, Default)]
pub struct ExactSum {
    limbs: SmallVec<[i64; 4]>,
    /// Weight of `limbs[0]` is `2^(32·base)`.
    base: i16,
    /// Upper bound of how many terms of up to 2^32 each limb holds.
    pending: u32,
}

impl ExactSum {
    /// The sum of nothing.
    pub fn new() -> ExactSum {
        ExactSum::default()
    }

    /// Adds a finite number. Infinities and NaN are refused at the door; one that slips through is ignored (and trips debug builds).
    #[inline]
    pub fn add(&mut self, x: f64) {
        debug_assert!(x.is_finite(), "only finite numbers can be summed: {x}");
        let Some((mantissa, exponent, sign)) = parts(x) else {
            return;
        };
        let (limb, shift) = (exponent >> 5, exponent & 31);
        // 53 bits moved by up to 31: three limbs. What `<<` loses, in two steps, because a shift by all 64 bits is not one.
        let low = mantissa << shift;
        let high = mantissa >> 1 >> (63 - shift);
        let limbs = self.room_for::<3>(limb as i16);
        limbs[0] += signed(low & LIMB_MASK, sign);
        limbs[1] += signed(low >> 32, sign);
        limbs[2] += signed(high, sign);
        self.count_terms(1);
    }

    /// Adds the exact product `x · y` (a measurement times its weight, a square), without rounding, overflow or underflow.
    #[inline]
    pub fn add_product(&mut self, x: f64, y: f64) {
        debug_assert!(
            x.is_finite() && y.is_finite(),
            "only finite numbers: {x}, {y}"
        );
        let (Some((m, e, s)), Some((n, f, t))) = (parts(x), parts(y)) else {
            return;
        };
        let exponent = e + f;
        self.add_wide(
            u128::from(m) * u128::from(n),
            exponent >> 5,
            exponent & 31,
            s ^ t,
        );
    }

    /// Adds `weight · x²` exactly: the square of a value that `weight` events share.
    pub fn add_weighted_square(&mut self, x: f64, weight: u64) {
        debug_assert!(x.is_finite(), "only finite numbers can be summed: {x}");
        let Some((m, e, _)) = parts(x) else { return };
        let square = u128::from(m) * u128::from(m);
        let weight = u128::from(weight);
        let (limb, shift) = ((2 * e) >> 5, (2 * e) & 31);
        // 106 bits times 64 do not fit 128: the low and the high 64 bits of the square apart, two limbs between them.
        self.add_wide((square & u128::from(u64::MAX)) * weight, limb, shift, 0);
        self.add_wide((square >> 64) * weight, limb + 2, shift, 0);
    }

    /// Adds `weight · x` exactly: a value that `weight` events share.
    pub fn add_weighted(&mut self, x: f64, weight: u64) {
        debug_assert!(x.is_finite(), "only finite numbers can be summed: {x}");
        let Some((m, e, s)) = parts(x) else { return };
        self.add_wide(u128::from(m) * u128::from(weight), e >> 5, e & 31, s);
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &ExactSum) {
        self.combine(other, 0);
    }

    /// Takes another sum away.
    pub fn subtract(&mut self, other: &ExactSum) {
        self.combine(other, -1);
    }

    /// Whether the sum is exactly zero.
    pub fn is_zero(&self) -> bool {
        self.limbs.iter().all(|&limb| limb == 0) || self.canonical().limbs.is_empty()
    }

    /// The double nearest to the sum, ties to even; ±`f64::MAX` when the sum lies beyond it.
    pub fn value(&self) -> f64 {
        if let Some(whole) = self.small() {
            let magnitude = nearest_double(whole.unsigned_abs(), self.exponent(), false);
            return if whole < 0 { -magnitude } else { magnitude };
        }
        let sum = self.canonical();
        let Some(&top) = sum.limbs.last() else {
            return 0.0;
        };
        // All limbs have one sign here. The top three hold at least 65 bits; what lies below only matters as "not zero".
        let mut head = 0u128;
        let mut limbs = sum.limbs.iter().rev();
        for limb in limbs.by_ref().take(3) {
            head = head << 32 | u128::from(limb.unsigned_abs());
        }
        let taken = sum.limbs.len().min(3) as i32;
        let below = limbs.any(|&limb| limb != 0);
        let exponent = LIMB_BITS * (i32::from(sum.base) + sum.limbs.len() as i32 - taken);
        let magnitude = nearest_double(head, exponent, below);
        if top < 0 { -magnitude } else { magnitude }
    }

    /// The double nearest to `sum / n`, rounded once; finite even where the sum itself is not a double. Zero when `n` is.
    pub fn mean(&self, n: u64) -> f64 {
        if n == 0 {
            return 0.0;
        }
        let small = self.small().filter(|_| n < 1 << SMALL_DIVISOR_BITS);
        if let Some(whole) = small {
            let magnitude = nearest_small_ratio(whole.unsigned_abs(), n, self.exponent());
            return if whole < 0 { -magnitude } else { magnitude };
        }
        let (numerator, exponent) = self.integer();
        nearest_ratio(&numerator, &BigUint::from(n), exponent)
    }

    /// The sum in units of `2^exponent()`, where 127 bits hold it: three limbs always do, and one more as long as little stands in it.
    #[inline]
    fn small(&self) -> Option<i128> {
        let mut whole = 0i128;
        for &limb in self.limbs.iter().rev() {
            // Moved by a limb it has 2^126 at most, and a limb less than 2^63: no overflow.
            if whole.unsigned_abs() >> 94 != 0 {
                return None;
            }
            whole = (whole << LIMB_BITS) + i128::from(limb);
        }
        Some(whole)
    }

    /// The exponent of the lowest limb's unit.
    #[inline]
    fn exponent(&self) -> i32 {
        LIMB_BITS * i32::from(self.base)
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        if self.limbs.spilled() {
            self.limbs.capacity() * size_of::<i64>()
        } else {
            0
        }
    }

    /// Adds ±`mantissa · 2^(32·limb + shift)`.
    #[inline]
    fn add_wide(&mut self, mantissa: u128, limb: i32, shift: i32, sign: i64) {
        if mantissa == 0 {
            return;
        }
        let low = mantissa << shift;
        let limbs = self.room_for::<5>(limb as i16);
        for (i, slot) in limbs[..4].iter_mut().enumerate() {
            *slot += signed((low >> (32 * i)) as u64 & LIMB_MASK, sign);
        }
        limbs[4] += signed((mantissa >> 1 >> (127 - shift)) as u64, sign);
        self.count_terms(1);
    }

    fn combine(&mut self, other: &ExactSum, sign: i64) {
        if other.limbs.is_empty() {
            return;
        }
        let at = self.grow(other.base, other.limbs.len());
        for (slot, limb) in self.limbs[at..].iter_mut().zip(&other.limbs) {
            *slot += (limb ^ sign) - sign;
        }
        self.count_terms(other.pending + 1);
    }

    /// The limbs `first .. first + N`, made where they are not there yet.
    #[inline]
    fn room_for<const N: usize>(&mut self, first: i16) -> &mut [i64; N] {
        let mut at = i32::from(first) - i32::from(self.base);
        if at < 0 || at as usize + N > self.limbs.len() {
            at = self.grow(first, N) as i32;
        }
        let limbs = &mut self.limbs[at as usize..at as usize + N];
        limbs.try_into().expect("a slice of N")
    }

    /// Makes sure that the limbs `first .. first + count` exist, and says where they begin.
    #[inline(never)]
    fn grow(&mut self, first: i16, count: usize) -> usize {
        if self.limbs.is_empty() {
            self.base = first;
        }
        if first < self.base {
            let missing = (self.base - first) as usize;
            self.limbs.insert_many(0, std::iter::repeat_n(0, missing));
            self.base = first;
        }
        let at = (first - self.base) as usize;
        if self.limbs.len() < at + count {
            self.limbs.resize(at + count, 0);
        }
        at
    }

    #[inline]
    fn count_terms(&mut self, terms: u32) {
        self.pending += terms;
        if self.pending >= PENDING_MAX {
            *self = self.canonical();
        }
    }

    /// The same sum in its one canonical form: limbs of one sign, below 2^32 in magnitude, the first and the last not zero.
    fn canonical(&self) -> ExactSum {
        let mut sum = self.clone();
        let negative = sum.carry() < 0;
        if negative {
            sum.negate();
            sum.carry();
        }
        while sum.limbs.last() == Some(&0) {
            sum.limbs.pop();
        }
        let zeros = sum.limbs.iter().take_while(|&&limb| limb == 0).count();
        sum.limbs.drain(..zeros);
        sum.base = if sum.limbs.is_empty() {
            0
        } else {
            sum.base + zeros as i16
        };
        if negative {
            sum.negate();
        }
        sum.pending = u32::from(!sum.limbs.is_empty());
        sum
    }

    /// Brings every limb but the last into `0 .. 2^32`; the last has the sign of the sum. Returns it.
    fn carry(&mut self) -> i64 {
        let mut carry = 0;
        for limb in &mut self.limbs {
            let total = *limb + carry;
            *limb = total & LIMB_MASK as i64;
            carry = total >> LIMB_BITS;
        }
        if !(-1..=0).contains(&carry) {
            // At most 2^31 in magnitude: a limb cannot pass on more than 2^63 / 2^32.
            self.limbs.push(carry);
        } else if carry == -1 {
            // Not a limb of its own: -1 · 2^32 goes back into the last one, which then carries the sign.
            if let Some(last) = self.limbs.last_mut() {
                *last -= 1 << LIMB_BITS;
            }
        }
        self.limbs
            .iter()
            .rev()
            .copied()
            .find(|&limb| limb != 0)
            .unwrap_or(0)
    }

    fn negate(&mut self) {
        for limb in &mut self.limbs {
            *limb = -*limb;
        }
    }

    /// The sum as `integer · 2^exponent`.
    fn integer(&self) -> (BigInt, i32) {
        let sum = self.canonical();
        let sign = match sum.limbs.last() {
            None => return (BigInt::ZERO, 0),
            Some(&top) if top < 0 => Sign::Minus,
            Some(_) => Sign::Plus,
        };
        let digits = sum
            .limbs
            .iter()
            .map(|limb| limb.unsigned_abs() as u32)
            .collect();
        (BigInt::new(sign, digits), LIMB_BITS * i32::from(sum.base))
    }
}

/// Population variance of `n` numbers with this sum and this sum of squares: `(n·S₂ − S₁²) / n²`, computed exactly and rounded once.
/// Never negative: sums that no numbers can have give 0, as does `n = 0`.
pub fn variance(n: u64, sum: &ExactSum, sum_sq: &ExactSum) -> f64 {
    if n == 0 {
        return 0.0;
    }
    let (s1, e1) = sum.integer();
    let (s2, e2) = sum_sq.integer();
    let square = &s1 * &s1;
    let scaled = s2 * n;
    let exponent = (2 * e1).min(e2);
    // Both exponents are multiples of 32 and within ±4400: the shifts stay below 9000 bits.
    let difference = (scaled << (e2 - exponent) as u32) - (square << (2 * e1 - exponent) as u32);
    if difference.sign() != Sign::Plus {
        return 0.0;
    }
    nearest_ratio(&difference, &(BigUint::from(n) * n), exponent)
}

/// A finite double as `(mantissa, exponent, sign)`, so that `|x| = mantissa · 2^exponent` and sign is 0 or -1; `None` for zero.
#[inline]
fn parts(x: f64) -> Option<(u64, i32, i64)> {
    let bits = x.to_bits();
    let biased = (bits >> 52 & 0x7ff) as i32;
    let fraction = bits & ((1 << 52) - 1);
    let sign = (bits as i64) >> 63;
    match biased {
        0 if fraction == 0 => None,
        0 => Some((fraction, -1074, sign)),
        0x7ff => None,
        _ => Some((fraction | 1 << 52, biased - 1075, sign)),
    }
}

#[inline]
fn signed(digit: u64, sign: i64) -> i64 {
    (digit as i64 ^ sign) - sign
}

/// The double nearest to `(head + r) · 2^exponent`, ties to even, where `0 <= r < 1` and `r > 0` when `below`.
/// `head` must have 65 bits or more when `below`. Clamped to `f64::MAX`.
fn nearest_double(head: u128, exponent: i32, below: bool) -> f64 {
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
fn nearest_ratio(numerator: &BigInt, denominator: &BigUint, exponent: i32) -> f64 {
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
fn nearest_small_ratio(numerator: u128, denominator: u64, exponent: i32) -> f64 {
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

impl PartialEq for ExactSum {
    fn eq(&self, other: &ExactSum) -> bool {
        let (a, b) = (self.canonical(), other.canonical());
        a.base == b.base && a.limbs == b.limbs
    }
}

impl Eq for ExactSum {}

impl std::fmt::Debug for ExactSum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ExactSum({:?})", self.value())
    }
}

/// The canonical form, as it is written: sign, exponent in limbs, digits from the lowest up.
#[derive(Serialize, Deserialize)]
struct Written {
    negative: bool,
    base: i16,
    digits: SmallVec<[u32; 4]>,
}

impl Serialize for ExactSum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sum = self.canonical();
        Written {
            negative: sum.limbs.last().is_some_and(|&top| top < 0),
            base: sum.base,
            digits: sum
                .limbs
                .iter()
                .map(|limb| limb.unsigned_abs() as u32)
                .collect(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ExactSum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ExactSum, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let end = i64::from(written.base) + written.digits.len() as i64;
        if written.base < BASE_MIN || end > i64::from(BASE_END) {
            return Err(D::Error::custom(format!(
                "an exact sum from limb {} to {end}; expected {BASE_MIN} to {BASE_END}",
                written.base
            )));
        }
        let sign = -i64::from(written.negative);
        let sum = ExactSum {
            limbs: written
                .digits
                .iter()
                .map(|&digit| signed(u64::from(digit), sign))
                .collect(),
            base: written.base,
            pending: 1,
        };
        Ok(sum.canonical())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn finite() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<f64>().prop_filter("finite", |x| x.is_finite()),
            -1e6..1e6f64,
            (-1000i32..1000).prop_map(f64::from),
            prop::sample::select(vec![0.0, -0.0, f64::MAX, f64::MIN, 5e-324, -5e-324, 1e-308]),
        ]
    }

    fn sum_of(terms: &[f64]) -> ExactSum {
        let mut sum = ExactSum::new();
        terms.iter().for_each(|&x| sum.add(x));
        sum
    }

    /// The same sum in units of 2^-1074 by integers of any length.
    fn integer_sum(terms: &[f64]) -> BigInt {
        terms
            .iter()
            .filter_map(|&x| parts(x))
            .map(|(m, e, s)| BigInt::from(signed(m, s)) << (e + 1074) as u32)
            .sum()
    }

    #[test]
    fn what_doubles_lose_is_kept() {
        assert_eq!(sum_of(&[1e308, 1.0, 1e-308, -1e308, -1.0]).value(), 1e-308);
        assert_eq!(sum_of(&[0.1; 10]).value(), 1.0);
        assert!(sum_of(&[0.1, 0.2, -0.2, -0.1]).is_zero());
        assert_eq!(sum_of(&[f64::MAX, f64::MAX]).value(), f64::MAX);
        assert_eq!(sum_of(&[f64::MAX, f64::MAX]).mean(2), f64::MAX);
    }

    #[test]
    fn ties_go_to_even_and_a_hair_above_a_tie_goes_up() {
        let ulp = 2f64.powi(-52);
        assert_eq!(sum_of(&[1.0, ulp / 2.0]).value(), 1.0);
        assert_eq!(sum_of(&[1.0, ulp / 2.0, 5e-324]).value(), 1.0 + ulp);
        assert_eq!(sum_of(&[1.0 + ulp, ulp / 2.0]).value(), 1.0 + 2.0 * ulp);
        assert_eq!(sum_of(&[-1.0, -ulp / 2.0, -5e-324]).value(), -1.0 - ulp);
    }

    #[test]
    fn carries_are_passed_on_before_a_limb_is_full() {
        let mut sum = sum_of(&[f64::from_bits(0x3fff_ffff_ffff_ffff)]);
        let once = sum.clone();
        for _ in 0..40 {
            let copy = sum.clone();
            sum.merge(&copy);
        }
        assert_eq!(sum.value(), once.value() * 2f64.powi(40));
        for _ in 0..40 {
            assert_eq!(sum.canonical(), sum);
            let mut half = ExactSum::new();
            half.add_product(sum.value(), 0.5);
            sum.subtract(&half);
        }
        assert_eq!(sum, once);
    }

    #[test]
    fn the_variance_of_numbers_far_from_zero_is_not_lost() {
        let (mut sum, mut squares) = (ExactSum::new(), ExactSum::new());
        for x in [1e15, 1e15 + 1.0, 1e15 + 2.0] {
            sum.add(x);
            squares.add_product(x, x);
        }
        assert_eq!(variance(3, &sum, &squares), 2.0 / 3.0);
        assert_eq!(variance(0, &sum, &squares), 0.0);
        assert_eq!(variance(2, &sum, &ExactSum::new()), 0.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn the_sum_is_that_of_rational_arithmetic(terms in prop::collection::vec(finite(), 0..40)) {
            let sum = sum_of(&terms);
            let exact = integer_sum(&terms);
            prop_assert_eq!(sum.integer().0 << (sum.integer().1 + 1088) as u32, &exact << 14u32);
            prop_assert_eq!(sum.value(), nearest_ratio(&exact, &BigUint::from(1u8), -1074));
            prop_assert_eq!(sum.is_zero(), exact == BigInt::ZERO);
        }

        #[test]
        fn the_mean_is_that_of_rational_arithmetic(
            terms in prop_oneof![prop::collection::vec(finite(), 0..5), prop::collection::vec(-1e6..1e6f64, 0..40)],
            n in prop_oneof![1u64..100, any::<u64>()],
        ) {
            let n = n.max(1);
            let expected = nearest_ratio(&integer_sum(&terms), &BigUint::from(n), -1074);
            prop_assert_eq!(sum_of(&terms).mean(n), expected);
        }

        #[test]
        fn the_value_is_rounded_as_the_standard_library_reads_decimals(terms in prop::collection::vec(-1e-17..1e-17f64, 0..9), tiny in 0u64..99) {
            let mut sum = sum_of(&terms);
            sum.add(f64::from_bits(tiny));
            let units: f64 = (integer_sum(&terms) + tiny).to_string().parse().unwrap();
            prop_assert_eq!(sum.value(), units * 2f64.powi(-537) * 2f64.powi(-537));
        }

        #[test]
        fn order_and_grouping_do_not_show(terms in prop::collection::vec(finite(), 0..40), cut in 0usize..40, seed: u64) {
            let whole = sum_of(&terms);
            let cut = cut.min(terms.len());
            let mut shuffled = terms.clone();
            shuffled.sort_by_key(|x| x.to_bits().wrapping_mul(seed | 1));
            let mut merged = sum_of(&shuffled[cut..]);
            merged.merge(&sum_of(&shuffled[..cut]));
            prop_assert_eq!(&merged, &whole);
            let bytes = postcard::to_stdvec(&whole).unwrap();
            prop_assert_eq!(&postcard::to_stdvec(&merged).unwrap(), &bytes);
            prop_assert_eq!(&postcard::from_bytes::<ExactSum>(&bytes).unwrap(), &whole);
            merged.subtract(&sum_of(&terms[..cut]));
            prop_assert_eq!(merged, sum_of(&terms[cut..]));
        }

        #[test]
        fn products_and_weights_are_exact(x in finite(), y in finite(), weight: u64) {
            let product = |pairs: &[(f64, f64)]| {
                let mut sum = ExactSum::new();
                pairs.iter().for_each(|&(x, y)| sum.add_product(x, y));
                sum
            };
            // (x + y)² by its four parts; the weight by its two halves, which are doubles.
            let mut weighted = ExactSum::new();
            weighted.add_weighted(x, weight);
            let (high, low) = ((weight >> 32 << 32) as f64, (weight & 0xffff_ffff) as f64);
            prop_assert_eq!(&weighted, &product(&[(x, high), (x, low)]));
            let mut square = ExactSum::new();
            square.add_weighted_square(x, 3 << 40);
            let mut thrice = product(&[(x, x), (x, x), (x, x)]);
            for _ in 0..40 {
                let copy = thrice.clone();
                thrice.merge(&copy);
            }
            prop_assert_eq!(&square, &thrice);
            prop_assert_eq!(product(&[(x, y)]).integer(), {
                let (mut a, mut b) = (BigInt::ZERO, BigInt::ZERO);
                if let (Some((m, _, s)), Some((n, _, t))) = (parts(x), parts(y)) {
                    (a, b) = (BigInt::from(signed(m, s)), BigInt::from(signed(n, t)));
                }
                let exponent = parts(x).map_or(0, |p| p.1) + parts(y).map_or(0, |p| p.1);
                let at = product(&[(x, y)]).integer().1;
                (if exponent >= at { (a * b) << (exponent - at) as u32 } else { (a * b) >> (at - exponent) as u32 }, at)
            });
        }

        #[test]
        fn the_variance_is_never_negative_and_shifting_does_not_change_it(
            values in prop::collection::vec(-1000i32..1000, 1..30), shift in -1_000_000_000i64..1_000_000_000
        ) {
            let variance_of = |shift: i64| {
                let (mut sum, mut squares) = (ExactSum::new(), ExactSum::new());
                for &v in &values {
                    let x = (i64::from(v) + shift) as f64;
                    sum.add(x);
                    squares.add_product(x, x);
                }
                variance(values.len() as u64, &sum, &squares)
            };
            prop_assert!(variance_of(0) >= 0.0);
            prop_assert_eq!(variance_of(shift), variance_of(0));
        }

        #[test]
        fn no_bytes_make_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(sum) = postcard::from_bytes::<ExactSum>(&bytes) {
                prop_assert!(sum.value().is_finite());
            }
        }
    }
}
