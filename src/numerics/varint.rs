//! Whole numbers in as few bytes as they need: LEB128, the lowest seven bits first, the eighth set where more follow.
//!
//! Holds: reading never panics and never goes beyond its bytes; what does not fit 64 bits is refused. Source: DWARF 5, 7.6. Checked: tests below.

/// A number of 64 bits takes so many bytes at the most.
const BYTES_MAX: u32 = 10;

/// Appends a number.
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Bytes that are read from the front.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'b>(pub(crate) &'b [u8]);

impl<'b> Bytes<'b> {
    /// Whether all have been read.
    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// How many are left.
    pub(crate) fn len(self) -> usize {
        self.0.len()
    }

    /// The next one.
    #[inline]
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// So many.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number as [`put`] writes it.
    #[inline]
    pub(crate) fn number(&mut self) -> Option<u64> {
        let first = self.byte()?;
        match first < 0x80 {
            true => Some(u64::from(first)),
            false => self.longer(u64::from(first & 0x7f)),
        }
    }

    fn longer(&mut self, mut number: u64) -> Option<u64> {
        for at in 1..BYTES_MAX {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let placed = bits << (7 * at);
            if placed >> (7 * at) != bits {
                return None;
            }
            number |= placed;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// A number that says how much there is of something that takes a byte each at least: what is said of more is no such number.
    #[inline]
    pub(crate) fn count(&mut self) -> Option<usize> {
        let number = usize::try_from(self.number()?).ok()?;
        (number <= self.len()).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(numbers in prop::collection::vec((any::<u64>(), 0u32..64), 0..20)) {
            let numbers: Vec<u64> = numbers.iter().map(|(number, shift)| number >> shift).collect();
            let mut out = Vec::new();
            numbers.iter().for_each(|&number| put(&mut out, number));
            let mut bytes = Bytes(&out);
            for number in numbers {
                prop_assert_eq!(bytes.number(), Some(number));
            }
            prop_assert!(bytes.is_empty());
        }

        #[test]
        fn any_bytes_are_numbers_or_none(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let mut rest = Bytes(&bytes);
            while let Some(number) = rest.number() {
                let mut again = Vec::new();
                put(&mut again, number);
                prop_assert!(again.len() <= bytes.len());
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut largest = Vec::new();
        put(&mut largest, u64::MAX);
        assert_eq!(largest.len(), 10);
        assert_eq!(Bytes(&largest).number(), Some(u64::MAX));
        largest[9] = 2;
        assert_eq!(Bytes(&largest).number(), None);
        assert_eq!(Bytes(&[0x80; 11]).number(), None);
        assert_eq!(Bytes(&[5, 1, 2]).count(), None, "of five, two are there");
    }
}
