//! Values never seen before, at graded widths.
//!
//! The range is cut into cells of widths 2^(J−3) … 2^(J+2), where 2^J is about the range so far; a value's novelty is the share of twelve
//! keys (its cell at six widths, alone and with the previous value's cell) that were never seen. What is seen once is known for as long as cells of its width are
//! asked for: a bit a cell and a bit a pair of cells, for the range has few cells of any width (at most 13, 7, 4, 3 and then 2), so that the lower digits of a
//! cell's number say which it is. When the range doubles, the finest width makes place for one more at the other end. Source: detection-quality.md, "Novel local patterns".
//! Units: distances, which are singles. Holds: 0 <= novelty <= 1; silent for the first 24 values; one size; exact: no cell is taken for another (tests below).

use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

const WIDTHS_BELOW: i32 = 3;
const WIDTHS_ABOVE: i32 = 2;
/// Coarser cells are remembered ahead, so that a growing range finds them learnt.
const WIDTHS_AHEAD: i32 = 4;
const SILENT_VALUES: u32 = 24;
/// Widths that a value is remembered at, and those of them that make its novelty: the first.
const WIDTHS: usize = (WIDTHS_BELOW + WIDTHS_AHEAD + 1) as usize;
const WIDTHS_JUDGED: usize = (WIDTHS_BELOW + WIDTHS_ABOVE + 1) as usize;
/// Places for cells of each width, the finest first: powers of two, no fewer than the range can have.
const PLACES: [u16; WIDTHS] = [16, 8, 4, 4, 2, 2, 2, 2];
/// Where the bits of each width begin: those of cells alone, then those of pairs.
const BEGINS: [[u16; 2]; WIDTHS] = begins();
const WORDS: usize = 13;
/// Cells of each width beside those of the finest.
const UNITS: [f64; WIDTHS] = [
    1.0,
    1.0 / 2.0,
    1.0 / 4.0,
    1.0 / 8.0,
    1.0 / 16.0,
    1.0 / 32.0,
    1.0 / 64.0,
    1.0 / 128.0,
];
/// Stands for the bit of a cell outside the range, which nothing was seen in: it is in no word.
const OUTSIDE: u16 = u16::MAX;

const fn begins() -> [[u16; 2]; WIDTHS] {
    let mut begins = [[0; 2]; WIDTHS];
    let (mut width, mut next) = (0, 0);
    while width < WIDTHS {
        let places = PLACES[width];
        begins[width] = [next, next + places];
        next += places + places * places;
        width += 1;
    }
    assert!(next as usize <= 32 * WORDS);
    begins
}

/// Which values a series has had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Novelty {
    seen: [u32; WORDS],
    first: f32,
    low: f32,
    high: f32,
    /// The widest cells that values have been remembered at.
    widest: i16,
}

impl Default for Novelty {
    fn default() -> Novelty {
        Novelty {
            seen: [0; WORDS],
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
    pub last: f32,
    /// The value.
    pub x: f32,
}

/// The bits of a value, by width, alone and with the value before; and the middle width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Keys {
    scale: i32,
    bits: [[u16; 2]; WIDTHS],
}

impl Novelty {
    /// The value's bits; `None` while there is no range to cut into cells.
    pub fn keys(&self, step: &Step) -> Option<Keys> {
        self.scale().map(|scale| self.keys_at(scale, scale, step))
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

    /// Remembers a value; `keys` are its own.
    pub fn learn(&mut self, step: &Step, keys: Option<&Keys>) {
        let x = step.x;
        if step.values == 0 {
            (self.first, self.low, self.high) = (x, x, x);
        }
        match keys {
            Some(keys) if (self.low..=self.high).contains(&x) => {
                self.remember(keys, keys.scale);
            }
            Some(keys) => {
                let scale = self.stretch(keys.scale, x);
                self.remember(&self.keys_at(scale, keys.scale, step), keys.scale);
            }
            // The first move of a constant: from here on there is a scale, at which the constant is known too.
            None if x != self.first => {
                (self.low, self.high) = (self.first.min(x), self.first.max(x));
                if let Some(scale) = self.scale() {
                    let constant = Step {
                        x: self.first,
                        ..*step
                    };
                    self.remember(&self.keys_at(scale, scale, &constant), scale);
                    self.remember(&self.keys_at(scale, scale, step), scale);
                }
            }
            None => {}
        }
    }

    /// Sets the bits of a value that was looked at when the middle width was `scale`.
    fn remember(&mut self, keys: &Keys, scale: i32) {
        self.widest = self.widest.max((scale + WIDTHS_AHEAD) as i16);
        for &bit in keys.bits.as_flattened() {
            self.set(bit);
        }
    }

    /// The range comes to hold `x`. What is known of the widths that are still asked for finds its place among theirs. The middle width from now on.
    fn stretch(&mut self, scale: i32, x: f32) -> i32 {
        let before = self.clone();
        (self.low, self.high) = (self.low.min(x), self.high.max(x));
        let now = self.scale().unwrap_or(scale);
        if now == scale {
            return scale;
        }
        self.seen = [0; WORDS];
        let gone = usize::try_from(now - scale).unwrap_or(WIDTHS);
        for (new, old) in (gone..WIDTHS).enumerate() {
            let cells = before.cells(scale + old as i32 - WIDTHS_BELOW);
            // Alone first, then with each that may have come before it.
            for cell in cells.clone() {
                if before.has(alone(old, cell)) {
                    self.set(alone(new, cell));
                }
                for last in cells.clone() {
                    if before.has(pair(old, cell, last)) {
                        self.set(pair(new, cell, last));
                    }
                }
            }
        }
        now
    }

    /// J: the binary exponent of the range so far, rounded; `None` while it is a point.
    fn scale(&self) -> Option<i32> {
        let range = f64::from(self.high) - f64::from(self.low);
        (range > 0.0 && range.is_finite()).then(|| {
            let exponent = (range.to_bits() >> 52) as i32 - 1023;
            let fraction = range.to_bits() & ((1 << 52) - 1);
            let of_root = std::f64::consts::SQRT_2.to_bits() & ((1 << 52) - 1);
            exponent + i32::from(fraction > of_root)
        })
    }

    /// The cells of the range at one width.
    fn cells(&self, width: i32) -> RangeInclusive<i64> {
        let per_unit = power_of_two(-width);
        let [low, high] = [self.low, self.high].map(|x| cell(self.above_first(x), per_unit));
        low..=high
    }

    fn above_first(&self, x: f32) -> f64 {
        f64::from(x) - f64::from(self.first)
    }

    /// The bits where the middle width is `scale`, of the widths up to those remembered where it is `known`.
    fn keys_at(&self, scale: i32, known: i32, step: &Step) -> Keys {
        // A value between others is in a cell between theirs.
        let is_inside = (self.low..=self.high).contains(&step.x);
        let (finest, most) = (scale - WIDTHS_BELOW, known + WIDTHS_AHEAD);
        let per_unit = UNITS.map(|units| power_of_two(-finest) * units);
        let [here, last] = [step.x, step.last].map(|x| {
            let from_first = self.above_first(x);
            per_unit.map(|per_unit| cell(from_first, per_unit))
        });
        let mut bits = [[OUTSIDE; 2]; WIDTHS];
        for (at, (width, bits)) in (finest..=most).zip(&mut bits).enumerate() {
            if is_inside || self.cells(width).contains(&here[at]) {
                *bits = [alone(at, here[at]), pair(at, here[at], last[at])];
            }
        }
        Keys { scale, bits }
    }

    fn set(&mut self, bit: u16) {
        if let Some(word) = self.seen.get_mut(usize::from(bit / 32)) {
            *word |= 1 << (bit % 32);
        }
    }

    fn has(&self, bit: u16) -> bool {
        let word = self.seen.get(usize::from(bit / 32));
        word.is_some_and(|word| word & (1 << (bit % 32)) != 0)
    }
}

/// The place of a cell among those of its width.
fn place(width: usize, cell: i64) -> u16 {
    (cell & i64::from(PLACES[width] - 1)) as u16
}

fn alone(width: usize, cell: i64) -> u16 {
    BEGINS[width][0] + place(width, cell)
}

fn pair(width: usize, cell: i64, last: i64) -> u16 {
    BEGINS[width][1] + PLACES[width] * place(width, cell) + place(width, last)
}

/// Which cell a value is in that is so far from the first one, which is in the middle of cell 0; there are `per_unit` cells a unit. Cells far outside any
/// range are one.
fn cell(from_first: f64, per_unit: f64) -> i64 {
    const MOST: f64 = 1_125_899_906_842_624.0; // 2^50
    // Sums with it have no room for a fraction: their last bits are those of the nearest whole number.
    const WHOLE: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
    let x = (from_first * per_unit + 0.5).clamp(-MOST, MOST);
    let sum = x + WHOLE;
    let nearest = sum.to_bits() as i64 - WHOLE.to_bits() as i64;
    nearest - i64::from(sum - WHOLE > x)
}

/// 2 to a power that a range of singles asks for.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent.clamp(-1022, 1023) + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Life {
        novelty: Novelty,
        values: u32,
        last: f32,
    }

    impl Life {
        fn step(&self, x: f32) -> Step {
            Step {
                values: self.values,
                last: if self.values == 0 { x } else { self.last },
                x,
            }
        }

        fn learn(&mut self, x: f32) {
            let step = self.step(x);
            let keys = self.novelty.keys(&step);
            self.novelty.learn(&step, keys.as_ref());
            (self.values, self.last) = (self.values + 1, x);
        }

        fn share(&self, x: f32) -> Option<f64> {
            let step = self.step(x);
            self.novelty.share(&step, self.novelty.keys(&step).as_ref())
        }
    }

    #[test]
    fn a_height_never_reached_is_new_once() {
        let mut life = Life::default();
        (0..500).for_each(|i| life.learn((i % 10) as f32));
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
        let cells = [-1e300, -3.0, -2.5, -0.6, -0.5, 0.0, 0.4, 0.5, 1e300];
        let cells = cells.map(|x| cell(x, 1.0));
        assert_eq!(cells, [-1 << 50, -3, -2, -1, 0, 0, 0, 1, 1 << 50]);
        for range in [1e-45, 1e-30, 1.0, 1e38] {
            let mut life = Life::default();
            (0..99).for_each(|i| life.learn(range * (i % 7) as f32 / 6.0));
            assert!(
                life.share(range).is_some_and(|share| share <= 1.0),
                "{range}"
            );
        }
    }

    /// Cells by their numbers, as many as there are: what the places of bits have to say the same as.
    #[derive(Default)]
    struct Unbounded {
        seen: std::collections::BTreeSet<(i32, i64, Option<i64>)>,
    }

    impl Unbounded {
        fn keys(novelty: &Novelty, step: &Step) -> Vec<(i32, i64, Option<i64>)> {
            let scale = novelty.scale().expect("a range");
            let keys = ((scale - WIDTHS_BELOW)..=(scale + WIDTHS_AHEAD)).flat_map(|width| {
                let number = |x| cell(novelty.above_first(x), power_of_two(-width));
                let (here, last) = (number(step.x), number(step.last));
                [(width, here, None), (width, here, Some(last))]
            });
            keys.collect()
        }
    }

    #[test]
    fn no_cell_is_taken_for_another_however_the_range_grows() {
        for (seed, growth) in [(1u64, 1.0f32), (2, 1.003), (3, 1.02), (4, 1.2)] {
            let (mut life, mut all) = (Life::default(), Unbounded::default());
            let (mut state, mut reach) = (seed, 1.0f32);
            (0..2).for_each(|i| life.learn(i as f32));
            for x in [0.0, 1.0] {
                let step = Step {
                    values: 1,
                    last: 0.0,
                    x,
                };
                all.seen.extend(Unbounded::keys(&life.novelty, &step));
            }
            let mut share_of = [0; 2];
            for values in 0..400u32 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                reach = (reach * growth).min(1e30);
                let x = reach * ((state >> 40) as f32 / (1u64 << 24) as f32 - 0.3);
                let step = life.step(x);
                let keys = Unbounded::keys(&life.novelty, &step);
                if let Some(share) = life.share(x) {
                    // Of the widths that anything was remembered at.
                    let known = i32::from(life.novelty.widest);
                    let judged = keys[..2 * WIDTHS_JUDGED].iter();
                    let unseen = judged
                        .filter(|key| key.0 <= known && !all.seen.contains(key))
                        .count();
                    share_of[usize::from(unseen == 0)] += 1;
                    let expected = unseen as f64 / (2 * WIDTHS_JUDGED) as f64;
                    assert_eq!(share, expected, "seed {seed}, value {values}: {x}");
                }
                all.seen.extend(keys);
                life.learn(x);
            }
            assert!(share_of[0] > 20, "{share_of:?}");
        }
    }
}
