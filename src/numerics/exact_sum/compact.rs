//! A sum in few bytes: what it is in one, its digits in another place, where they lie among digits.
//!
//! Head: bits 0 to 2 how many digits of 32 bits, bit 3 the sign, bits 4 to 7 the base of the lowest digit plus 8. `LONG` (7 digits): base and count follow
//! as numbers. Digits: all but the last as four bytes, lowest first; the last, which is not zero, as a number.
//! Holds: equal sums give equal bytes (those of [`super::Written`]); what is no such sum is refused. Checked: the tests below.

use super::lane::Lane;
use super::limbs::Limbs;
use super::{BASE_END, BASE_MIN, ExactSum, Form, LIMB_BITS};
use crate::numerics::varint::{Bytes, put};

/// Of a head: no room in it for what the sum is.
const LONG: u8 = 7;
const NEGATIVE: u8 = 1 << 3;
/// The bases that a head has room for: from -8 to 7.
const BASE_SHIFT: i16 = 8;
const BASES: i16 = 16;
/// Digits that are read without asking for memory.
const SHORT: usize = 4;

impl ExactSum {
    /// Appends the sum.
    #[inline]
    pub(crate) fn put(&self, heads: &mut Vec<u8>, digits: &mut Vec<u8>) {
        match self.single() {
            Some((negative, base, digit)) => {
                heads.push(head(negative, base + BASE_SHIFT, 1));
                put(digits, u64::from(digit));
            }
            None => self.put_any(heads, digits),
        }
    }

    /// Sign, base and digit of a sum that has but one digit, as that of a few whole numbers has.
    #[inline]
    fn single(&self) -> Option<(bool, i16, u32)> {
        let Form::Lane(lane) = &self.0 else {
            return None;
        };
        let (whole, unit) = lane.whole();
        let magnitude = whole.unsigned_abs();
        let zeros = magnitude.trailing_zeros() / LIMB_BITS as u32;
        let digit = u32::try_from(magnitude.checked_shr(LIMB_BITS as u32 * zeros)?).ok()?;
        let base = unit + zeros as i16;
        let has_room = (0..BASES).contains(&(base + BASE_SHIFT));
        has_room.then_some((whole < 0, base, digit))
    }

    fn put_any(&self, heads: &mut Vec<u8>, digits: &mut Vec<u8>) {
        let (negative, base, own) = match &self.0 {
            Form::Lane(lane) => lane.digits(),
            Form::Limbs(limbs) => limbs.digits(),
        };
        let placed = base + BASE_SHIFT;
        match own.len() < usize::from(LONG) && (0..BASES).contains(&placed) {
            true => heads.push(head(negative, placed, own.len() as u8)),
            false => {
                heads.push(head(negative, 0, LONG));
                put(heads, (base - BASE_MIN) as u64);
                put(heads, own.len() as u64);
            }
        }
        if let Some((last, lower)) = own.split_last() {
            lower
                .iter()
                .for_each(|digit| digits.extend_from_slice(&digit.to_le_bytes()));
            put(digits, u64::from(*last));
        }
    }

    /// What [`ExactSum::put`] has appended.
    #[inline]
    pub(crate) fn take(heads: &mut Bytes<'_>, digits: &mut Bytes<'_>) -> Option<ExactSum> {
        let head = heads.byte()?;
        let negative = head & NEGATIVE != 0;
        let (base, count) = match head & LONG {
            LONG => {
                let base = i16::try_from(heads.number()?).ok()?;
                (
                    base.checked_add(BASE_MIN)?,
                    usize::try_from(heads.number()?).ok()?,
                )
            }
            count => (i16::from(head >> 4) - BASE_SHIFT, usize::from(count)),
        };
        let end = i64::from(base).checked_add(i64::try_from(count).ok()?)?;
        if base < BASE_MIN || end > i64::from(BASE_END) {
            return None;
        }
        if count == 0 {
            let zero = self::head(false, BASE_SHIFT, 0);
            return (head == zero).then(ExactSum::default);
        }
        if count == 1 {
            let whole = i128::from(digit(true, digits)?);
            let lane = Lane::of_whole(if negative { -whole } else { whole }, base)?;
            return Some(ExactSum(Form::Lane(lane)));
        }
        if count > SHORT {
            return ExactSum::take_long(negative, base, count, digits);
        }
        let mut magnitude = 0u128;
        for at in 0..count {
            let digit = digit(at + 1 == count, digits)?;
            magnitude |= u128::from(digit) << (32 * at);
        }
        let whole = i128::try_from(magnitude).ok();
        let lane =
            whole.and_then(|whole| Lane::of_whole(if negative { -whole } else { whole }, base));
        Some(match lane {
            Some(lane) => ExactSum(Form::Lane(lane)),
            None => {
                let own = [0, 32, 64, 96].map(|shift| (magnitude >> shift) as u32);
                ExactSum::of_digits(negative, base, &own)
            }
        })
    }

    fn take_long(
        negative: bool,
        base: i16,
        count: usize,
        digits: &mut Bytes<'_>,
    ) -> Option<ExactSum> {
        let own: Option<Vec<u32>> = (1..=count).map(|at| digit(at == count, digits)).collect();
        Some(ExactSum::of_digits(negative, base, &own?))
    }

    /// In whichever form holds these digits.
    pub(super) fn of_digits(negative: bool, base: i16, digits: &[u32]) -> ExactSum {
        let limbs = Limbs::of_digits(negative, base, digits);
        let lane = limbs
            .small()
            .and_then(|(whole, base)| Lane::of_whole(whole, base));
        ExactSum(match lane {
            Some(lane) => Form::Lane(lane),
            None => Form::Limbs(Box::new(limbs)),
        })
    }
}

/// A head; of a base that it has room for, plus [`BASE_SHIFT`].
#[inline]
fn head(negative: bool, placed: i16, count: u8) -> u8 {
    let sign = if negative { NEGATIVE } else { 0 };
    count | sign | (placed as u8) << 4
}

#[inline]
fn digit(is_last: bool, digits: &mut Bytes<'_>) -> Option<u32> {
    match is_last {
        true => u32::try_from(digits.number()?).ok(),
        false => Some(u32::from_le_bytes(digits.take(4)?.try_into().ok()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes_of(sum: &ExactSum) -> (Vec<u8>, Vec<u8>) {
        let (mut heads, mut digits) = (Vec::new(), Vec::new());
        sum.put(&mut heads, &mut digits);
        (heads, digits)
    }

    fn term() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<f64>().prop_filter("finite", |x| x.is_finite()),
            (-30_000i32..30_000).prop_map(f64::from),
            -1e3..1e3f64,
            prop::sample::select(vec![0.0, f64::MAX, f64::MIN, 5e-324, 4_294_967_296.0]),
        ]
    }

    proptest! {
        #[test]
        fn sums_come_back_and_equal_ones_have_equal_bytes(terms in prop::collection::vec(term(), 0..12)) {
            let mut sum = ExactSum::new();
            terms.iter().for_each(|&x| sum.add(x));
            let mut backwards = ExactSum::new();
            terms.iter().rev().for_each(|&x| backwards.add(x));
            let (heads, digits) = bytes_of(&sum);
            prop_assert_eq!(&(heads.clone(), digits.clone()), &bytes_of(&backwards));
            let (mut heads, mut digits) = (Bytes(&heads), Bytes(&digits));
            let back = ExactSum::take(&mut heads, &mut digits).unwrap();
            prop_assert_eq!(&back, &sum);
            prop_assert!(heads.is_empty() && digits.is_empty());
            prop_assert_eq!(back.value(), sum.value());
        }

        #[test]
        fn any_bytes_are_a_sum_or_none(
            heads in prop::collection::vec(any::<u8>(), 0..6),
            digits in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            if let Some(sum) = ExactSum::take(&mut Bytes(&heads), &mut Bytes(&digits)) {
                let (heads, digits) = bytes_of(&sum);
                let again = ExactSum::take(&mut Bytes(&heads), &mut Bytes(&digits));
                prop_assert_eq!(again, Some(sum));
            }
        }
    }

    #[test]
    fn a_whole_number_takes_a_byte_and_its_own() {
        let mut sum = ExactSum::new();
        assert_eq!(bytes_of(&sum), (vec![0x80], vec![]));
        sum.add(9284.0);
        let (heads, digits) = bytes_of(&sum);
        assert_eq!((heads.len(), digits.len()), (1, 2));
        sum.add(-1e300);
        sum.add(1e-300);
        let (mut heads, digits) = bytes_of(&sum);
        assert!(heads.len() > 1, "too long for a head");
        assert_eq!(
            ExactSum::take(&mut Bytes(&heads), &mut Bytes(&digits)),
            Some(sum)
        );
        heads[2] = 200;
        assert_eq!(
            ExactSum::take(&mut Bytes(&heads), &mut Bytes(&digits)),
            None
        );
    }
}
