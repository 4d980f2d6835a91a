//! The sum in fixed point with limbs for every exponent: `Σ limb[i] · 2^(32·(base + i))`.
//!
//! Each limb has 64 bits and holds 32 bits of a term, so that 2^29 terms fit before a carry has to be passed on (the small superaccumulator of
//! Neal, "Fast exact summation using small and large superaccumulators", 2015). Only limbs that a term touched are kept.
//! Checked: the properties of [`super::ExactSum`].

use super::rounding::nearest_double;
use super::{LIMB_BITS, signed};
use smallvec::SmallVec;

const LIMB_MASK: u64 = 0xffff_ffff;
/// Terms that a limb can take before carries are passed on; two such sums can still be merged.
const PENDING_MAX: u32 = 1 << 29;

/// A sum of terms of any exponent.
#[derive(Clone, Default)]
pub(super) struct Limbs {
    limbs: SmallVec<[i64; 4]>,
    /// Weight of `limbs[0]` is `2^(32·base)`.
    base: i16,
    /// Upper bound of how many terms of up to 2^32 each limb holds.
    pending: u32,
}

impl Limbs {
    /// `whole · 2^(32·base)`.
    pub(super) fn of_whole(whole: i128, base: i16) -> Limbs {
        let mut limbs = Limbs::default();
        let sign = (whole >> 127) as i64;
        limbs.add_wide(whole.unsigned_abs(), i32::from(base), 0, sign);
        limbs
    }

    /// Digits of 32 bits from the lowest up, the lowest with the weight `2^(32·base)`.
    pub(super) fn of_digits(negative: bool, base: i16, digits: &[u32]) -> Limbs {
        let sign = -i64::from(negative);
        Limbs {
            limbs: digits
                .iter()
                .map(|&digit| signed(u64::from(digit), sign))
                .collect(),
            base,
            pending: 1,
        }
    }

    /// Sign, base and digits in the one canonical form: neither the first digit nor the last is zero.
    pub(super) fn digits(&self) -> (bool, i16, SmallVec<[u32; 4]>) {
        let sum = self.canonical();
        let negative = sum.limbs.last().is_some_and(|&top| top < 0);
        let digits = sum.limbs.iter().map(|limb| limb.unsigned_abs() as u32);
        (negative, sum.base, digits.collect())
    }

    /// Whether the sum is exactly zero.
    pub(super) fn is_zero(&self) -> bool {
        self.limbs.iter().all(|&limb| limb == 0) || self.canonical().limbs.is_empty()
    }

    /// The double nearest to the sum.
    pub(super) fn value(&self) -> f64 {
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

    /// The sum as `whole · 2^(32·base)`, where 127 bits hold it: three limbs always do, and one more as long as little stands in it.
    pub(super) fn small(&self) -> Option<(i128, i16)> {
        let mut whole = 0i128;
        for &limb in self.limbs.iter().rev() {
            // Moved by a limb it has 2^126 at most, and a limb less than 2^63: no overflow.
            if whole.unsigned_abs() >> 94 != 0 {
                return None;
            }
            whole = (whole << LIMB_BITS) + i128::from(limb);
        }
        Some((whole, self.base))
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        if self.limbs.spilled() {
            self.limbs.capacity() * size_of::<i64>()
        } else {
            0
        }
    }

    /// Adds ±`mantissa · 2^(32·limb + shift)`.
    #[inline]
    pub(super) fn add_wide(&mut self, mantissa: u128, limb: i32, shift: i32, sign: i64) {
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

    /// Adds another sum, or takes it away where `sign` is -1.
    pub(super) fn combine(&mut self, other: &Limbs, sign: i64) {
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
    fn canonical(&self) -> Limbs {
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
}
