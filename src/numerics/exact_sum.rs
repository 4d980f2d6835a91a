//! An exact sum of doubles: what it is does not depend on the order or the grouping of its terms, to the bit.
//!
//! Nearly all sums are of numbers of similar size: they are one integer of 126 bits in units of `2^(32·base)` ([`Lane`]), where base is that of
//! the smallest term, and a term costs a shift and an addition. What does not fit (1e300 and 1e-300, a term too many) goes on in
//! [`Limbs`], which hold every exponent, and stays there.
//!
//! Holds: adding, merging and subtracting are exact; equal sums compare equal and serialise to equal bytes, however they were come by and in
//! whichever form they are; `value` is the double nearest to the sum, ties to even; no result is NaN or infinite.
//! Checked: rational arithmetic (num-bigint) in the properties below; permutations and groupings; the edges of the lane.

mod compact;
mod lane;
mod limbs;
mod rounding;

use lane::Lane;
use limbs::Limbs;
use num_bigint::{BigInt, BigUint, Sign};
use rounding::{SMALL_DIVISOR_BITS, nearest_double, nearest_ratio, nearest_small_ratio};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use smallvec::SmallVec;

/// Bits of a term that one limb holds; bases count in them.
const LIMB_BITS: i32 = 32;
/// The exponent of the lowest bit of the smallest product of two doubles, 2^-1074 squared, rounded down to a limb.
const BASE_MIN: i16 = -68;
/// One past the highest limb that 2^64 squares of doubles, each weighing 2^64, can reach: 2^(2·1024 + 128).
const BASE_END: i16 = 70;

/// An exact accumulator of finite doubles and of their products.
#[derive(Clone)]
pub struct ExactSum(Form);

#[derive(Clone)]
enum Form {
    Lane(Lane),
    Limbs(Box<Limbs>),
}

impl Default for ExactSum {
    #[inline]
    fn default() -> ExactSum {
        ExactSum(Form::Lane(Lane::default()))
    }
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
        if let Form::Lane(lane) = &mut self.0
            && lane.add(mantissa, exponent, sign)
        {
            return;
        }
        self.add_term(u128::from(mantissa), exponent, sign);
    }

    /// Adds the exact product `x · y` (a measurement times its weight, a square), without rounding, overflow or underflow.
    pub fn add_product(&mut self, x: f64, y: f64) {
        debug_assert!(
            x.is_finite() && y.is_finite(),
            "only finite numbers: {x}, {y}"
        );
        let (Some((m, e, s)), Some((n, f, t))) = (parts(x), parts(y)) else {
            return;
        };
        self.add_term(u128::from(m) * u128::from(n), e + f, s ^ t);
    }

    /// Adds `weight · x²` exactly: the square of a value that `weight` events share.
    pub fn add_weighted_square(&mut self, x: f64, weight: u64) {
        debug_assert!(x.is_finite(), "only finite numbers can be summed: {x}");
        let Some((m, e, _)) = parts(x) else { return };
        let square = u128::from(m) * u128::from(m);
        let weight = u128::from(weight);
        match square.checked_mul(weight) {
            Some(term) => self.add_term(term, 2 * e, 0),
            // 106 bits times 64 do not fit 128: the low and the high 64 bits of the square apart.
            None => {
                self.add_term((square & u128::from(u64::MAX)) * weight, 2 * e, 0);
                self.add_term((square >> 64) * weight, 2 * e + 64, 0);
            }
        }
    }

    /// Adds `weight · x` exactly: a value that `weight` events share.
    pub fn add_weighted(&mut self, x: f64, weight: u64) {
        debug_assert!(x.is_finite(), "only finite numbers can be summed: {x}");
        let Some((m, e, s)) = parts(x) else { return };
        self.add_term(u128::from(m) * u128::from(weight), e, s);
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
        match &self.0 {
            Form::Lane(lane) => lane.is_zero(),
            Form::Limbs(limbs) => limbs.is_zero(),
        }
    }

    /// The double nearest to the sum, ties to even; ±`f64::MAX` when the sum lies beyond it.
    pub fn value(&self) -> f64 {
        let limbs = match (&self.0, self.small()) {
            (Form::Limbs(limbs), None) => limbs,
            (_, small) => {
                let (whole, base) = small.unwrap_or_default();
                let magnitude = nearest_double(whole.unsigned_abs(), exponent_of(base), false);
                return if whole < 0 { -magnitude } else { magnitude };
            }
        };
        limbs.value()
    }

    /// The double nearest to `sum / n`, rounded once; finite even where the sum itself is not a double. Zero when `n` is.
    pub fn mean(&self, n: u64) -> f64 {
        if n == 0 {
            return 0.0;
        }
        let small = self.small().filter(|_| n < 1 << SMALL_DIVISOR_BITS);
        if let Some((whole, base)) = small {
            let magnitude = nearest_small_ratio(whole.unsigned_abs(), n, exponent_of(base));
            return if whole < 0 { -magnitude } else { magnitude };
        }
        let (numerator, exponent) = self.integer();
        nearest_ratio(&numerator, &BigUint::from(n), exponent)
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::Lane(_) => 0,
            Form::Limbs(limbs) => size_of::<Limbs>() + limbs.heap_bytes(),
        }
    }

    /// Adds ±`magnitude · 2^exponent`.
    fn add_term(&mut self, magnitude: u128, exponent: i32, sign: i64) {
        if magnitude == 0 {
            return;
        }
        if let Form::Lane(lane) = &mut self.0
            && lane.add_wide(magnitude, exponent, sign)
        {
            return;
        }
        let (limb, shift) = (exponent >> 5, exponent & 31);
        self.limbs().add_wide(magnitude, limb, shift, sign);
    }

    fn combine(&mut self, other: &ExactSum, sign: i64) {
        if let (Form::Lane(mine), Form::Lane(theirs)) = (&mut self.0, &other.0)
            && mine.combine(theirs, sign)
        {
            return;
        }
        match &other.0 {
            Form::Lane(lane) => {
                let (whole, base) = lane.whole();
                self.limbs().combine(&Limbs::of_whole(whole, base), sign);
            }
            Form::Limbs(limbs) => self.limbs().combine(limbs, sign),
        }
    }

    /// The sum in limbs, from here on.
    #[cold]
    fn limbs(&mut self) -> &mut Limbs {
        if let Form::Lane(lane) = &self.0 {
            let (whole, base) = lane.whole();
            self.0 = Form::Limbs(Box::new(Limbs::of_whole(whole, base)));
        }
        match &mut self.0 {
            Form::Limbs(limbs) => limbs,
            Form::Lane(_) => unreachable!("limbs have just been made"),
        }
    }

    /// The sum as `whole · 2^(32·base)`, where 127 bits hold it.
    #[inline]
    fn small(&self) -> Option<(i128, i16)> {
        match &self.0 {
            Form::Lane(lane) => Some(lane.whole()),
            Form::Limbs(limbs) => limbs.small(),
        }
    }

    /// The sum as `integer · 2^exponent`.
    fn integer(&self) -> (BigInt, i32) {
        let written = Written::from(self);
        let sign = match (written.digits.is_empty(), written.negative) {
            (true, _) => Sign::NoSign,
            (_, true) => Sign::Minus,
            (_, false) => Sign::Plus,
        };
        let digits = written.digits.to_vec();
        (BigInt::new(sign, digits), exponent_of(written.base))
    }
}

/// The exponent of a base's unit.
fn exponent_of(base: i16) -> i32 {
    LIMB_BITS * i32::from(base)
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

impl PartialEq for ExactSum {
    fn eq(&self, other: &ExactSum) -> bool {
        match (&self.0, &other.0) {
            (Form::Lane(one), Form::Lane(two)) if one.is_in_units_of(two) => {
                one.whole() == two.whole()
            }
            _ => Written::from(self) == Written::from(other),
        }
    }
}

impl Eq for ExactSum {}

impl std::fmt::Debug for ExactSum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ExactSum({:?})", self.value())
    }
}

/// The canonical form, as it is written: sign, exponent in limbs, digits from the lowest up; neither the first nor the last is zero.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    negative: bool,
    base: i16,
    digits: SmallVec<[u32; 4]>,
}

impl From<&ExactSum> for Written {
    fn from(sum: &ExactSum) -> Written {
        let (negative, base, digits) = match &sum.0 {
            Form::Lane(lane) => lane.digits(),
            Form::Limbs(limbs) => limbs.digits(),
        };
        Written {
            negative,
            base,
            digits,
        }
    }
}

impl Serialize for ExactSum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written::from(self).serialize(serializer)
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
        let Written {
            negative,
            base,
            digits,
        } = written;
        Ok(ExactSum::of_digits(negative, base, &digits))
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

    /// The same sum, made in limbs.
    fn in_limbs(sum: &ExactSum) -> ExactSum {
        let mut limbs = sum.clone();
        limbs.limbs();
        limbs
    }

    #[test]
    fn numbers_of_similar_size_stay_in_the_lane_and_others_leave_it_with_nothing_lost() {
        let stays = |sum: &ExactSum| matches!(sum.0, Form::Lane(_));
        let kinds: [&[f64]; 4] = [
            &[9284.0, 5.0, 20_695.0, 0.0, -3.0],
            &[32.6, 0.001, -1e6, 1e-4],
            &[5e-324, -1.5e-310],
            &[f64::MAX, f64::MIN, 1e300],
        ];
        for values in kinds {
            let sum = sum_of(&values.repeat(100));
            assert!(stays(&sum), "{values:?}");
        }
        for values in [&[1e300, 1e-300][..], &[5e-324, 1.0], &[f64::MAX; 2_000_000]] {
            let sum = sum_of(values);
            assert!(!stays(&sum) || values.len() > 2);
            let mut back = sum.clone();
            values.iter().for_each(|x| back.add(-x));
            assert!(back.is_zero() && back == ExactSum::new());
        }
        assert_eq!(sum_of(&[1e300, 1e-300, -1e300]).value(), 1e-300);
    }

    #[test]
    fn a_lane_that_is_full_spills_into_limbs() {
        let term = f64::from_bits(0x3fff_ffff_ffff_ffff); // 53 bits
        let mut sum = sum_of(&[2f64.powi(-40), term]);
        for doubled in 1..120 {
            let copy = sum.clone();
            sum.merge(&copy);
            let expected = (2f64.powi(-40) + term) * 2f64.powi(doubled);
            assert_eq!(sum.value(), expected, "2^{doubled}");
            assert_eq!(sum, in_limbs(&sum));
        }
        assert!(matches!(sum.0, Form::Limbs(_)));
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
        fn the_form_does_not_show(left in prop::collection::vec(finite(), 0..6), right in prop::collection::vec(finite(), 0..6), n in 1u64..100) {
            let (a, b) = (sum_of(&left), sum_of(&right));
            for (a, b) in [(in_limbs(&a), b.clone()), (a.clone(), in_limbs(&b)), (in_limbs(&a), in_limbs(&b))] {
                prop_assert_eq!(&a, &sum_of(&left));
                let (mut sum, mut difference) = (a.clone(), a);
                sum.merge(&b);
                difference.subtract(&b);
                let lanes = (sum_of(&[&left[..], &right].concat()), {
                    let mut lane = sum_of(&left);
                    right.iter().for_each(|x| lane.add(-x));
                    lane
                });
                for (one, other) in [(sum, lanes.0), (difference, lanes.1)] {
                    prop_assert_eq!(postcard::to_stdvec(&one).unwrap(), postcard::to_stdvec(&other).unwrap());
                    prop_assert_eq!(one.value(), other.value());
                    prop_assert_eq!(one.mean(n), other.mean(n));
                    prop_assert_eq!(one.is_zero(), other.is_zero());
                }
            }
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
