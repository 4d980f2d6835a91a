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
/// Widths that a value is remembered at, and those of them that make its novelty: the first.
const WIDTHS: usize = (WIDTHS_BELOW + WIDTHS_AHEAD + 1) as usize;
const WIDTHS_JUDGED: usize = (WIDTHS_BELOW + WIDTHS_ABOVE + 1) as usize;

/// Which values a series has had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Novelty {
    seen: Option<Box<[u64; WORDS]>>,
    first: f64,
    low: f64,
    high: f64,
    /// The widest cells that values have been remembered at.
    widest: i16,
}

impl Default for Novelty {
    fn default() -> Novelty {
        Novelty {
            seen: None,
            first: 0.0,
            low: 0.0,
            high: 0.0,
            widest: i16::MIN,
        }
    }
}

/// A value after another one, for judging and for learning: both ask for the same bits of the memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Values seen before.
    pub values: u32,
    /// The last of them.
    pub last: f64,
    /// The value.
    pub x: f64,
}

/// The bits of a value, by width, alone and with the value before; and the middle width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Keys {
    scale: i32,
    bits: [[u16; 2]; WIDTHS],
}

impl Novelty {
    /// As [`SeriesModel::touch`](super::SeriesModel::touch).
    pub fn touch(&self) -> u64 {
        self.seen.as_ref().map_or(0, |seen| seen[0])
    }

    /// The value's bits; `None` while there is no range to cut into cells.
    pub fn keys(&self, step: &Step) -> Option<Keys> {
        self.scale().map(|scale| self.keys_at(scale, step))
    }

    /// Share of the value's keys that are new, 0..=1; `None` while too few values are known.
    pub fn share(&self, step: &Step, keys: Option<&Keys>) -> Option<f64> {
        if step.values < SILENT_VALUES {
            return None;
        }
        let Some(keys) = keys else {
            return Some(if step.x == self.first { 0.0 } else { 1.0 });
        };
        // A range that has just burst says nothing of cells wider than any value was remembered at.
        let known = i32::from(self.widest) - (keys.scale - WIDTHS_BELOW) + 1;
        let known = known.clamp(0, WIDTHS_JUDGED as i32) as usize;
        let bits = keys.bits[..known].as_flattened().iter();
        let unseen = bits.filter(|&&bit| !self.has(bit)).count();
        Some(unseen as f64 / (2 * WIDTHS_JUDGED) as f64)
    }

    /// Remembers a value, if there is room for a memory; `keys` are its own.
    pub fn learn(&mut self, step: &Step, keys: Option<&Keys>, room: &mut Room) {
        let x = step.x;
        if step.values == 0 {
            (self.first, self.low, self.high) = (x, x, x);
        }
        match keys {
            Some(keys) => self.remember(keys, room),
            // The first move of a constant: from here on there is a scale, at which the constant is known too.
            None if x != self.first => {
                (self.low, self.high) = (self.first.min(x), self.first.max(x));
                if let Some(scale) = self.scale() {
                    let constant = Step {
                        x: self.first,
                        ..*step
                    };
                    self.remember(&self.keys_at(scale, &constant), room);
                    self.remember(&self.keys_at(scale, step), room);
                }
            }
            None => {}
        }
        self.low = self.low.min(x);
        self.high = self.high.max(x);
    }

    fn remember(&mut self, keys: &Keys, room: &mut Room) {
        if self.seen.is_none() && room.grant(WORDS * size_of::<u64>()) {
            self.seen = Some(Box::new([0; WORDS]));
        }
        if let Some(seen) = &mut self.seen {
            self.widest = self.widest.max((keys.scale + WIDTHS_AHEAD) as i16);
            for bit in keys.bits.as_flattened() {
                seen[usize::from(bit / 64) % WORDS] |= 1 << (bit % 64);
            }
        }
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        self.seen.as_ref().map_or(0, |_| WORDS * size_of::<u64>())
    }

    /// J: the binary exponent of the range so far, rounded; `None` while it is a point.
    fn scale(&self) -> Option<i32> {
        let range = self.high - self.low;
        (range > 0.0 && range.is_finite()).then(|| {
            let exponent = (range.to_bits() >> 52) as i32 - 1023;
            let fraction = range.to_bits() & ((1 << 52) - 1);
            let of_root = std::f64::consts::SQRT_2.to_bits() & ((1 << 52) - 1);
            exponent + i32::from(fraction > of_root)
        })
    }

    fn keys_at(&self, scale: i32, step: &Step) -> Keys {
        let (here, before) = (step.x - self.first, step.last - self.first);
        let mut per_unit = power_of_two(WIDTHS_BELOW - scale);
        let mut bits = [[0; 2]; WIDTHS];
        for (width, pair) in (scale - WIDTHS_BELOW..).zip(&mut bits) {
            let cell = |distance: f64| floor(distance * per_unit + 0.5);
            let alone = mix(mixed_width(width), cell(here));
            *pair = [bit(mix(alone, i64::MIN)), bit(mix(alone, cell(before)))];
            per_unit *= 0.5;
        }
        Keys { scale, bits }
    }

    fn has(&self, bit: u16) -> bool {
        let word = |seen: &[u64; WORDS]| seen[usize::from(bit / 64) % WORDS];
        let word = self.seen.as_ref().map_or(0, |seen| word(seen));
        word & (1 << (bit % 64)) != 0
    }
}

/// What widths of 2^-64 to 2^63 are mixed to.
static MIXED_WIDTHS: [u64; 128] = {
    let mut mixed = [0; 128];
    let mut at = 0;
    while at < mixed.len() {
        mixed[at] = mix(0, at as i64 - 64);
        at += 1;
    }
    mixed
};

fn mixed_width(width: i32) -> u64 {
    let known = MIXED_WIDTHS.get(width.wrapping_add(64) as usize);
    known.copied().unwrap_or_else(|| mix(0, i64::from(width)))
}

/// The largest whole number not above `x`, cut to those that there are.
fn floor(x: f64) -> i64 {
    let whole = x as i64;
    whole.saturating_sub(i64::from(whole as f64 > x))
}

/// 2 to a power, cut to those that are normal numbers.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent.clamp(-1022, 1023) + 1023) as u64) << 52)
}

/// One more part under a hash: the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
const fn mix(hash: u64, part: i64) -> u64 {
    let mut h = (hash ^ part as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

/// One of the memory's bits.
fn bit(hash: u64) -> u16 {
    (hash % (64 * WORDS as u64)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Life {
        novelty: Novelty,
        values: u32,
        last: f64,
    }

    impl Life {
        fn step(&self, x: f64) -> Step {
            Step {
                values: self.values,
                last: if self.values == 0 { x } else { self.last },
                x,
            }
        }

        fn learn(&mut self, x: f64) {
            let step = self.step(x);
            let keys = self.novelty.keys(&step);
            let room = &mut Room::unlimited();
            self.novelty.learn(&step, keys.as_ref(), room);
            (self.values, self.last) = (self.values + 1, x);
        }

        fn share(&self, x: f64) -> Option<f64> {
            let step = self.step(x);
            self.novelty.share(&step, self.novelty.keys(&step).as_ref())
        }
    }

    #[test]
    fn a_height_never_reached_is_new_once() {
        let mut life = Life::default();
        (0..500).for_each(|i| life.learn(f64::from(i % 10)));
        let usual = life.share(4.0).unwrap();
        assert!(usual < 0.3, "a usual value: {usual}");
        let strange = life.share(40.0).unwrap();
        assert!(strange > 0.8, "four times the range: {strange}");
        [40.0, 3.0, 9.0].into_iter().for_each(|x| life.learn(x));
        assert!(life.share(40.0).unwrap() < strange / 1.5);
    }

    #[test]
    fn a_constant_that_moves_is_entirely_new() {
        let mut life = Life::default();
        (0..100).for_each(|_| life.learn(7.0));
        assert_eq!((life.share(7.0), life.share(7.5)), (Some(0.0), Some(1.0)));
    }

    #[test]
    fn cells_of_any_size_are_whole_numbers() {
        let cells = [-1e300, -2.5, -2.0, -0.1, 0.0, 0.9, 1e300].map(floor);
        assert_eq!(cells, [i64::MIN, -3, -2, -1, 0, 0, i64::MAX]);
        for range in [5e-324, 1e-300, 1.0, 1e300] {
            let mut life = Life::default();
            (0..99).for_each(|i| life.learn(range * f64::from(i % 7) / 6.0));
            assert!(
                life.share(range).is_some_and(|share| share <= 1.0),
                "{range}"
            );
        }
    }
}
