//! How much a series varies around its forecast at each hour of the day, where that is not the same all day.
//!
//! Input: how far out each value was, as a normal deviate by the distribution around the forecast, before the hour was taken into account. Output: the hour's
//! spread, against a root mean square of 1 over the day. A series starts without: its deviates are watched for calm and restless times that last (the
//! correlation of the sizes of neighbours), and only where there are some the 24 hours get slots. They are believed while they foretell the size of the
//! next deviate better than one spread for all does, prequentially (Dawid 1984; densities of Laplace), by [`BELIEF`] nats.
//! Holds: the spread is within [`LEAST`] and [`MOST`]; 1 while nothing is believed.

use super::Room;
use super::profile::hour_of;
use crate::time::EventTime;
use serde::{Deserialize, Serialize};

const HOURS: usize = 24;
/// Sizes of deviates beyond this count as this: an outlier is no spread.
const SIZE_MOST: f64 = 4.0;
/// E|Z| of a standard normal deviate.
const SIZE_USUAL: f32 = 0.797_884_6;
/// Values over which neighbours are compared, and standard errors that make a correlation of it.
const MEMORY: f32 = 1000.0;
const ERRORS: f32 = 4.0;
/// Days over which a slot forgets.
const SLOT_DAYS: f32 = 20.0;
/// Days of visits before a slot speaks.
const SPEAKS_AFTER_DAYS: f32 = 2.0;
/// What it takes to believe in the slots, nats; they are let go at 0, and their credit is never more than twice this.
const BELIEF: f32 = 12.0;
/// One value tells no more than this, either way.
const TELLS_MOST: f32 = 2.0;
/// An hour's spread is no less and no more than this many times that of the day.
const LEAST: f64 = 0.1;
const MOST: f64 = 4.0;

/// Mean sizes of deviates by hour of the day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Slots {
    size: [f32; HOURS],
    /// Values seen, up to what a slot remembers.
    seen: [u16; HOURS],
    /// Root of the mean square of the sizes.
    scale: f32,
}

/// Whether there are calm and restless times that last: size of the last deviate, less the usual; mean square, and mean product with the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Neighbours {
    last: f32,
    square: f32,
    product: f32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Stage {
    Watched(Neighbours),
    Slotted {
        slots: Box<Slots>,
        /// What speaks for them, nats.
        credit: f32,
        believed: bool,
    },
}

/// What is known of the spread by hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HourSpread {
    stage: Stage,
    /// Mean size over all hours.
    size: f32,
    seen: u16,
}

impl Default for HourSpread {
    fn default() -> HourSpread {
        HourSpread {
            stage: Stage::Watched(Neighbours::default()),
            size: 0.0,
            seen: 0,
        }
    }
}

impl HourSpread {
    /// Whether the hours are believed to vary differently.
    pub fn is_believed(&self) -> bool {
        matches!(self.stage, Stage::Slotted { believed: true, .. })
    }

    /// The spread at `at`; 1 is that of the day as a whole.
    pub fn at(&self, at: EventTime) -> f64 {
        match &self.stage {
            Stage::Slotted {
                slots,
                believed: true,
                ..
            } => slots.spread(slot(at)),
            _ => 1.0,
        }
    }

    /// Takes in a deviate, found as if the spread were `spread` times that of the day. True when what is believed has changed.
    pub fn learn(
        &mut self,
        at: EventTime,
        deviate: f64,
        spread: f64,
        buckets_a_day: u16,
        room: &mut Room,
    ) -> bool {
        let size = (deviate.abs().min(SIZE_MOST) * spread) as f32;
        self.seen = self.seen.saturating_add(1);
        let gain = (1.0 / f32::from(self.seen)).max(1.0 / MEMORY);
        self.size += gain * (size - self.size);
        match &mut self.stage {
            Stage::Watched(neighbours) => {
                neighbours.learn(size - SIZE_USUAL, gain);
                // Half a day at least, and slots that hold several values between them.
                let is_due = neighbours.are_alike(self.seen)
                    && self.seen > (buckets_a_day / 2).max(48)
                    && usize::from(buckets_a_day) >= HOURS;
                if is_due && room.grant(size_of::<Slots>()) {
                    self.stage = Stage::Slotted {
                        slots: Box::default(),
                        credit: 0.0,
                        believed: false,
                    };
                }
                false
            }
            Stage::Slotted {
                slots,
                credit,
                believed,
            } => {
                let slot = slot(at);
                let per_day = (f32::from(buckets_a_day) / HOURS as f32).max(1.0);
                if f32::from(slots.seen[slot]) >= SPEAKS_AFTER_DAYS * per_day {
                    let foretold = |mean: f32| -mean.max(0.05).ln() - size / mean.max(0.05);
                    let told = foretold(slots.size[slot]) - foretold(self.size);
                    *credit = (*credit + told.clamp(-TELLS_MOST, TELLS_MOST))
                        .clamp(-BELIEF, 2.0 * BELIEF);
                }
                slots.learn(slot, size, SLOT_DAYS * per_day);
                let before = *believed;
                *believed = *credit > if before { 0.0 } else { BELIEF };
                *believed != before
            }
        }
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        match self.stage {
            Stage::Watched(_) => 0,
            Stage::Slotted { .. } => size_of::<Slots>(),
        }
    }
}

impl Neighbours {
    fn learn(&mut self, off: f32, gain: f32) {
        self.square += gain * (off * off - self.square);
        self.product += gain * (off * self.last - self.product);
        self.last = off;
    }

    /// Whether the sizes of so many values go with those of their neighbours.
    fn are_alike(&self, seen: u16) -> bool {
        let known = f32::from(seen).min(MEMORY);
        self.product > self.square * ERRORS / known.sqrt()
    }
}

fn slot(at: EventTime) -> usize {
    hour_of(at).rem_euclid(HOURS as i64) as usize
}

impl Slots {
    fn spread(&self, slot: usize) -> f64 {
        if self.seen[slot] == 0 || self.scale <= 0.0 {
            return 1.0;
        }
        f64::from(self.size[slot] / self.scale).clamp(LEAST, MOST)
    }

    fn learn(&mut self, slot: usize, size: f32, memory: f32) {
        self.seen[slot] = (self.seen[slot] + 1).min(memory.min(f32::from(u16::MAX)) as u16);
        self.size[slot] += (size - self.size[slot]) / f32::from(self.seen[slot]);
        let known = self.size.iter().zip(self.seen);
        let known = known.filter(|(_, seen)| *seen > 0);
        let (squares, count) = known.fold((0.0, 0u8), |(squares, count), (size, _)| {
            (squares + size * size, count + 1)
        });
        self.scale = (squares / f32::from(count)).sqrt();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::profile::HOUR_MS;

    /// Ten days of five-minute deviates whose sizes follow the hour as told.
    fn after(size: impl Fn(i64) -> f64) -> HourSpread {
        let (mut spread, mut state) = (HourSpread::default(), 7u64);
        for bucket in 0..10 * 288 {
            let at = EventTime(bucket * HOUR_MS / 12);
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let unit = (state >> 11) as f64 / 2f64.powi(53);
            let believed = spread.at(at);
            let size = -size(hour_of(at) % 24) * unit.ln() / believed;
            spread.learn(at, size, believed, 288, &mut Room::unlimited());
        }
        spread
    }

    #[test]
    fn a_spread_that_is_the_same_all_day_gets_no_memory() {
        let spread = after(|_| 0.8);
        assert_eq!((spread.is_believed(), spread.heap_bytes()), (false, 0));
    }

    #[test]
    fn calm_nights_and_restless_days_are_told_apart() {
        let spread = after(|hour| if hour < 8 { 0.1 } else { 1.2 });
        let of = |hour: i64| spread.at(EventTime(hour * HOUR_MS));
        assert!(
            spread.is_believed() && of(3) < 0.25 && of(12) > 0.8,
            "{} and {}",
            of(3),
            of(12)
        );
    }
}
