//! The sum as one integer, as long as its terms are of similar size: `whole · 2^(32·base)`.
//!
//! Holds: `|whole| < 2^125`, so that one more term below 2^125 never overflows; a term that would need a lower base lowers it (the integer is
//! multiplied by 2^32) if that fits. Whatever does not fit changes nothing and is answered with `false`.
//! Checked: the tests below, and the properties of [`super::ExactSum`].

use super::LIMB_BITS;
use smallvec::SmallVec;

/// The integer and each of its terms stay below two to this.
const BITS_MAX: u32 = 125;
/// A double's 53 bits may be moved up by so many.
const SHIFT_MAX: u32 = BITS_MAX - 53;

/// A sum of terms of similar size. (Two halves of an `i128`, whose alignment would make accumulators larger.)
#[derive(Clone, Default)]
pub(super) struct Lane {
    low: u64,
    high: i64,
    base: i16,
    /// Its other 255 values are where the compiler keeps which form a sum has: without it, 8 bytes more.
    _room: Room,
}

#[derive(Clone, Copy, Default)]
#[repr(u8)]
enum Room {
    #[default]
    ForTag,
}

impl Lane {
    /// `whole · 2^(32·base)`, if it fits.
    pub(super) fn of_whole(whole: i128, base: i16) -> Option<Lane> {
        let mut lane = Lane {
            base,
            ..Lane::default()
        };
        lane.set(whole).then_some(lane)
    }

    /// The integer and the base of its unit.
    #[inline]
    pub(super) fn whole(&self) -> (i128, i16) {
        let whole = i128::from(self.high) << 64 | i128::from(self.low);
        (whole, self.base)
    }

    /// Whether both are integers of the same unit.
    #[inline]
    pub(super) fn is_in_units_of(&self, other: &Lane) -> bool {
        self.base == other.base
    }

    /// Whether the sum is exactly zero.
    #[inline]
    pub(super) fn is_zero(&self) -> bool {
        (self.low, self.high) == (0, 0)
    }

    /// Adds a double in parts, which is not zero, if the base suits it.
    #[inline]
    pub(super) fn add(&mut self, mantissa: u64, exponent: i32, sign: i64) -> bool {
        let mut shift = exponent - LIMB_BITS * i32::from(self.base);
        if shift as u32 > SHIFT_MAX {
            if !self.is_zero() {
                return false;
            }
            self.base = (exponent >> 5) as i16;
            shift = exponent & 31;
        }
        self.push(i128::from(mantissa) << shift, sign)
    }

    /// Adds ±`magnitude · 2^exponent`, after lowering the base where that is what it takes; the magnitude is not zero.
    pub(super) fn add_wide(&mut self, magnitude: u128, exponent: i32, sign: i64) -> bool {
        if self.add_at(magnitude, exponent, sign) {
            return true;
        }
        // The same with fewer bits: a product of whole numbers ends in many zeros.
        let zeros = magnitude.trailing_zeros();
        self.add_at(magnitude >> zeros, exponent + zeros as i32, sign)
    }

    fn add_at(&mut self, magnitude: u128, exponent: i32, sign: i64) -> bool {
        if magnitude >> BITS_MAX != 0 || !self.reach((exponent >> 5) as i16) {
            return false;
        }
        let shift = exponent - LIMB_BITS * i32::from(self.base);
        shifted(magnitude as i128, shift as u32).is_some_and(|term| self.push(term, sign))
    }

    /// Adds another sum, or takes it away where `sign` is -1.
    pub(super) fn combine(&mut self, other: &Lane, sign: i64) -> bool {
        if other.is_zero() {
            return true;
        }
        if !self.reach(other.base) {
            return false;
        }
        let (whole, base) = other.whole();
        let shift = LIMB_BITS as u32 * u32::from(base.abs_diff(self.base));
        shifted(whole, shift).is_some_and(|term| self.push(term, sign))
    }

    /// Sign, base and digits in the one canonical form: neither the first digit nor the last is zero.
    pub(super) fn digits(&self) -> (bool, i16, SmallVec<[u32; 4]>) {
        let (whole, mut base) = self.whole();
        let mut magnitude = whole.unsigned_abs();
        let mut digits = SmallVec::new();
        if magnitude == 0 {
            return (false, 0, digits);
        }
        while magnitude as u32 == 0 {
            magnitude >>= LIMB_BITS;
            base += 1;
        }
        while magnitude != 0 {
            digits.push(magnitude as u32);
            magnitude >>= LIMB_BITS;
        }
        (whole < 0, base, digits)
    }

    /// Makes sure that the unit is at most that of `base`.
    fn reach(&mut self, base: i16) -> bool {
        let (whole, unit) = self.whole();
        if whole == 0 {
            self.base = base;
        } else if base < unit {
            let Some(whole) = shifted(whole, LIMB_BITS as u32 * u32::from(base.abs_diff(unit)))
            else {
                return false;
            };
            self.set(whole);
            self.base = base;
        }
        true
    }

    /// Adds a term below 2^125, or takes it away where `sign` is -1, if the sum stays small enough.
    #[inline]
    fn push(&mut self, term: i128, sign: i64) -> bool {
        let sign = i128::from(sign);
        self.set(self.whole().0 + ((term ^ sign) - sign))
    }

    /// Takes an integer below 2^127 as the sum, if it is small enough.
    #[inline]
    fn set(&mut self, whole: i128) -> bool {
        if whole.unsigned_abs() >> BITS_MAX != 0 {
            return false;
        }
        (self.low, self.high) = (whole as u64, (whole >> 64) as i64);
        true
    }
}

/// `whole · 2^shift`, if it stays below the limit.
fn shifted(whole: i128, shift: u32) -> Option<i128> {
    let bits = 128 - whole.unsigned_abs().leading_zeros();
    (bits + shift <= BITS_MAX).then(|| whole << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(whole: i128, base: i16) -> Lane {
        Lane::of_whole(whole, base).expect("it fits")
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let full = (1i128 << BITS_MAX) - 1;
        for sign in [0, -1] {
            let mut sum = lane(if sign == 0 { full } else { -full }, -2);
            let before = sum.whole();
            assert!(!sum.add(1, -64, sign), "a term too many");
            assert!(!sum.add_wide(1, -65, sign), "a base too low");
            assert!(!sum.add_wide(u128::MAX, -64, sign), "a term too long");
            assert!(!sum.add_wide(1, 62, sign), "a term too large");
            assert!(!sum.combine(&lane(1, 2), sign), "a base too high");
            assert!(!sum.combine(&lane(1, -3), sign), "a base too low");
            assert_eq!(sum.whole(), before);
            assert!(sum.add(1, -64, -1 - sign), "but there is room below");
        }
    }

    #[test]
    fn a_smaller_term_lowers_the_unit_and_the_digits_do_not_tell() {
        let mut sum = Lane::default();
        assert!(sum.add(3, 104, 0));
        assert_eq!(sum.whole(), (3 << 8, 3));
        assert!(sum.add_wide(1, 31, 0));
        assert_eq!(sum.whole(), ((3 << 104) + (1 << 31), 0));
        assert!(sum.add_wide(1, 31, -1));
        let (negative, base, digits) = sum.digits();
        assert_eq!((negative, base, digits.to_vec()), (false, 3, vec![3 << 8]));
    }

    #[test]
    fn zero_has_no_digits_and_takes_any_unit() {
        let mut sum = lane(0, 30);
        assert_eq!(sum.digits(), (false, 0, SmallVec::new()));
        assert!(sum.combine(&lane(-5, -68), -1));
        assert_eq!(sum.whole(), (5, -68));
    }
}
