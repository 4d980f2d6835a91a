//! Values never seen before, at graded widths.
//!
//! The range is cut into cells of widths 2^(J−3) … 2^(J+2), where 2^J is about the range so far; a value's novelty is the share of twelve
//! keys (its cell at six widths, alone and with the previous value's cell) that were never seen. What is seen once is known for ever:
//! a Bloom filter (Bloom 1970) of 2,048 bits with one hash. Source: detection-quality.md, "Novel local patterns".
//! Holds: 0 <= novelty <= 1; silent for the first 24 values; bounded memory.

use super::Room;
use serde::{Deserialize, Serialize};

const WORDS: usize = 32;
const WIDTHS_BELOW: i32 = 3;
const WIDTHS_ABOVE: i32 = 2;
/// Coarser cells are remembered ahead, so that a growing range finds them learnt.
const WIDTHS_AHEAD: i32 = 4;
const SILENT_VALUES: u32 = 24;

/// Which values a series has had.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Novelty {
    seen: Vec<u64>,
    first: f64,
    low: f64,
    high: f64,
    last: f64,
    values: u32,
    /// The widest cells that values have been remembered at.
    widest: Option<i32>,
}

impl Novelty {
    /// Share of the value's keys that are new, 0..=1; `None` while too few values are known.
    pub fn share(&self, x: f64) -> Option<f64> {
        if self.values < SILENT_VALUES {
            return None;
        }
        let Some(scale) = self.scale() else {
            return Some(if x == self.first { 0.0 } else { 1.0 });
        };
        // A range that has just burst says nothing of cells wider than any value was remembered at.
        let known = self.widest.unwrap_or(i32::MIN);
        let unseen = (scale - WIDTHS_BELOW..=scale + WIDTHS_ABOVE)
            .filter(|&width| width <= known)
            .flat_map(|width| self.keys(width, x))
            .filter(|&key| !self.has(key))
            .count();
        Some(unseen as f64 / f64::from(2 * (WIDTHS_BELOW + WIDTHS_ABOVE + 1)))
    }

    /// Remembers a value, if there is room for a memory.
    pub fn learn(&mut self, x: f64, room: &mut Room) {
        if self.values == 0 {
            (self.first, self.low, self.high, self.last) = (x, x, x, x);
        }
        self.values = self.values.saturating_add(1);
        match self.scale() {
            Some(scale) => self.remember(scale, x, room),
            // The first move of a constant: from here on there is a scale, at which the constant is known too.
            None if x != self.first => {
                (self.low, self.high) = (self.first.min(x), self.first.max(x));
                if let Some(scale) = self.scale() {
                    self.remember(scale, self.first, room);
                    self.remember(scale, x, room);
                }
            }
            None => {}
        }
        self.low = self.low.min(x);
        self.high = self.high.max(x);
        self.last = x;
    }

    fn remember(&mut self, scale: i32, x: f64, room: &mut Room) {
        if self.seen.is_empty() {
            if !room.grant(WORDS * size_of::<u64>()) {
                return;
            }
            self.seen = vec![0; WORDS];
        }
        self.widest = self.widest.max(Some(scale + WIDTHS_AHEAD));
        for width in scale - WIDTHS_BELOW..=scale + WIDTHS_AHEAD {
            for key in self.keys(width, x) {
                self.seen[(key / 64) as usize] |= 1 << (key % 64);
            }
        }
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        self.seen.len() * size_of::<u64>()
    }

    /// J: the binary exponent of the range so far; `None` while it is a point.
    fn scale(&self) -> Option<i32> {
        let range = self.high - self.low;
        (range > 0.0 && range.is_finite()).then(|| range.log2().round() as i32)
    }

    fn keys(&self, width: i32, x: f64) -> [u32; 2] {
        let cell = |value: f64| ((value - self.first) / 2f64.powi(width) + 0.5).floor() as i64;
        let (here, before) = (cell(x), cell(self.last));
        [
            hash([i64::from(width), here, i64::MIN]),
            hash([i64::from(width), here, before]),
        ]
    }

    fn has(&self, key: u32) -> bool {
        self.seen
            .get((key / 64) as usize)
            .is_some_and(|word| word & (1 << (key % 64)) != 0)
    }
}

/// One of the filter's bits, by the finaliser of SplitMix64 (Steele, Lea, Flood 2014) over the parts.
fn hash(parts: [i64; 3]) -> u32 {
    let mut h = 0u64;
    for part in parts {
        h = (h ^ part as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
        h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        h ^= h >> 31;
    }
    (h % (64 * WORDS as u64)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_height_never_reached_is_new_once() {
        let mut novelty = Novelty::default();
        for i in 0..500 {
            novelty.learn(f64::from(i % 10), &mut Room::unlimited());
        }
        assert!(
            novelty.share(4.0).unwrap() < 0.3,
            "a usual value: {}",
            novelty.share(4.0).unwrap()
        );
        let strange = novelty.share(40.0).unwrap();
        assert!(strange > 0.8, "four times the range: {strange}");
        novelty.learn(40.0, &mut Room::unlimited());
        novelty.learn(3.0, &mut Room::unlimited());
        novelty.learn(9.0, &mut Room::unlimited());
        assert!(novelty.share(40.0).unwrap() < strange / 1.5);
    }

    #[test]
    fn a_constant_that_moves_is_entirely_new() {
        let mut novelty = Novelty::default();
        (0..100).for_each(|_| novelty.learn(7.0, &mut Room::unlimited()));
        assert_eq!(
            (novelty.share(7.0), novelty.share(7.5)),
            (Some(0.0), Some(1.0))
        );
    }
}
