//! Accumulators in few bytes, each part with its like: weights together, sums together.
//!
//! What is counted, meant or summed takes two bytes or three a cell; all others are written as postcard writes them, and are larger than what
//! could be saved of them. Holds: equal accumulators give equal bytes; any bytes are accumulators of the statistic asked for, or refused.
//! Checked: tests below, engine/wire.rs.

use super::{Accumulator, Statistic};
use crate::numerics::ExactSum;
use crate::numerics::varint::{Bytes, put};

/// How many sections a sheet has.
pub(crate) const SECTIONS: usize = 4;

/// Accumulators on their way into bytes.
#[derive(Default)]
pub(crate) struct Sheet {
    weights: Vec<u8>,
    sums: Vec<u8>,
    digits: Vec<u8>,
    others: Vec<u8>,
}

impl Sheet {
    /// Appends one.
    #[inline]
    pub(crate) fn put(&mut self, cell: &Accumulator) {
        match cell {
            Accumulator::Count(n) => put(&mut self.weights, *n),
            Accumulator::Mean { n, sum } | Accumulator::Sum { n, sum } => {
                put(&mut self.weights, *n);
                sum.put(&mut self.sums, &mut self.digits);
            }
            other => {
                let others = std::mem::take(&mut self.others);
                self.others = postcard::to_extend(other, others)
                    .expect("accumulators hold nothing that postcard cannot write");
            }
        }
    }

    /// All of them.
    pub(crate) fn sections(&self) -> [&Vec<u8>; SECTIONS] {
        [&self.weights, &self.sums, &self.digits, &self.others]
    }
}

/// A sheet that is read from its beginning.
pub(crate) struct Cells<'b> {
    weights: Bytes<'b>,
    sums: Bytes<'b>,
    digits: Bytes<'b>,
    others: Bytes<'b>,
}

impl<'b> Cells<'b> {
    /// Of a sheet's sections.
    pub(crate) fn of([weights, sums, digits, others]: [Bytes<'b>; SECTIONS]) -> Cells<'b> {
        Cells {
            weights,
            sums,
            digits,
            others,
        }
    }

    /// The next one, which is of `statistic`.
    #[inline]
    pub(crate) fn take(&mut self, statistic: Statistic) -> Option<Accumulator> {
        Some(match statistic {
            Statistic::Count => Accumulator::Count(self.weights.number()?),
            Statistic::Mean => Accumulator::Mean {
                n: self.weights.number()?,
                sum: self.sum()?,
            },
            Statistic::Sum => Accumulator::Sum {
                n: self.weights.number()?,
                sum: self.sum()?,
            },
            _ => {
                let (cell, rest) = postcard::take_from_bytes(self.others.0).ok()?;
                self.others = Bytes(rest);
                let cell: Accumulator = cell;
                return (cell.statistic() == statistic).then_some(cell);
            }
        })
    }

    fn sum(&mut self) -> Option<ExactSum> {
        ExactSum::take(&mut self.sums, &mut self.digits)
    }

    /// Whether all have been taken.
    pub(crate) fn is_empty(&self) -> bool {
        let sections = [self.weights, self.sums, self.digits, self.others];
        sections.into_iter().all(Bytes::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Accumulators that have seen something of everything.
    fn cells(values: &[(f64, u64)]) -> Vec<Accumulator> {
        let statistics = Statistic::ALL.into_iter();
        let with = |statistic: Statistic| {
            let mut cell = Accumulator::new(statistic);
            for &(value, weight) in values {
                match statistic {
                    Statistic::Count => cell.add_event(weight),
                    Statistic::Distinct => cell.add_hash(weight, 1),
                    Statistic::Info => cell.add_text(weight, "text", 1),
                    Statistic::TimeOfDay | Statistic::TimeOfWeek | Statistic::LatLong => {}
                    _ => cell.add_number(value, weight),
                }
            }
            cell
        };
        statistics.map(with).collect()
    }

    proptest! {
        #[test]
        fn accumulators_come_back(values in prop::collection::vec((-1e9..1e9f64, 1u64..1 << 40), 0..5)) {
            let cells = cells(&values);
            let mut sheet = Sheet::default();
            cells.iter().for_each(|cell| sheet.put(cell));
            let mut read = Cells::of(sheet.sections().map(|section| Bytes(section)));
            for cell in &cells {
                let back = read.take(cell.statistic());
                prop_assert_eq!(back.as_ref(), Some(cell));
            }
            prop_assert!(read.is_empty());
        }

        #[test]
        fn any_bytes_are_accumulators_or_none(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            for statistic in Statistic::ALL {
                let mut read = Cells::of([Bytes(&bytes); SECTIONS]);
                while let Some(cell) = read.take(statistic) {
                    prop_assert_eq!(cell.statistic(), statistic);
                }
            }
        }
    }

    #[test]
    fn a_single_whole_number_takes_few_bytes() {
        let mut cell = Accumulator::new(Statistic::Mean);
        cell.add_number(9284.0, 1);
        let mut sheet = Sheet::default();
        sheet.put(&cell);
        let bytes: usize = sheet.sections().iter().map(|section| section.len()).sum();
        assert_eq!(bytes, 4);
    }
}
