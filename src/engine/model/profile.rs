//! The seasonal profile: what a series is like at each hour of the day and of the week.
//!
//! 24 + 168 slots of one hour (epoch time, UTC), each the mean of the values seen in it, newer visits weighing at least a twentieth.
//! The day's slots exist from the first value on, the week's once the series has lived for two days (a series starts small). A *band* is the
//! range of a slot and its two neighbours, so that a shape that moves by less than an hour does not surprise.
//! Source: detection-quality.md, "Views". Units: values as they come; times in milliseconds since the epoch.

use crate::time::EventTime;
use serde::{Deserialize, Serialize};

const HOUR_MS: i64 = 3_600_000;
const DAY_HOURS: usize = 24;
const WEEK_HOURS: usize = 168;
/// The least weight of a new visit to a slot.
const VISIT_GAIN_MIN: f32 = 0.05;
/// The week's slots are made when a series is this old.
const WEEK_AFTER_HOURS: i64 = 48;

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Slot {
    mean: f32,
    /// Values seen, saturating.
    values: u16,
}

/// A closed range of values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// Lowest.
    pub low: f64,
    /// Highest.
    pub high: f64,
}

impl Band {
    /// The value of the band that is nearest to `x`.
    pub fn nearest(self, x: f64) -> f64 {
        x.clamp(self.low, self.high)
    }

    /// How far `x` is outside, signed; 0 inside.
    pub fn distance(self, x: f64) -> f64 {
        x - self.nearest(x)
    }
}

/// Means by hour of the day and of the week.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    day: Vec<Slot>,
    week: Vec<Slot>,
    born_hour: Option<i64>,
}

impl Profile {
    /// The band of this hour of the day; `None` where nothing was seen yet.
    pub fn day_band(&self, at: EventTime) -> Option<Band> {
        band(&self.day, day_slot(at), 1)
    }

    /// The band of this hour of the week once its slot was visited twice, before that of this hour of the day.
    pub fn band(&self, at: EventTime, visit_values: u16) -> Option<Band> {
        band(&self.week, week_slot(at), visit_values.saturating_mul(2))
            .or_else(|| self.day_band(at))
    }

    /// The mean of this hour of the day once visited, between slots by straight lines.
    pub fn day_mean(&self, at: EventTime, visit_values: u16) -> Option<f64> {
        interpolate(&self.day, at, visit_values)
    }

    /// The mean of this hour of the week once visited, between slots by straight lines.
    pub fn week_mean(&self, at: EventTime, visit_values: u16) -> Option<f64> {
        interpolate(&self.week, at, visit_values)
    }

    /// Takes a value; `visit_values` is how many values one visit to a slot brings.
    pub fn learn(&mut self, at: EventTime, x: f64, visit_values: u16) {
        let hour = at.millis().div_euclid(HOUR_MS);
        let born = *self.born_hour.get_or_insert(hour);
        if self.day.is_empty() {
            self.day = vec![Slot::default(); DAY_HOURS];
        }
        if self.week.is_empty() && hour - born >= WEEK_AFTER_HOURS {
            // Two days are known only as days: the week starts from them.
            self.week = (0..WEEK_HOURS)
                .map(|slot| Slot {
                    values: 0,
                    ..self.day[(slot + 24 * 4) % DAY_HOURS]
                })
                .collect();
        }
        learn(&mut self.day[day_slot(at)], x, visit_values);
        if !self.week.is_empty() {
            learn(&mut self.week[week_slot(at)], x, visit_values);
        }
    }

    /// Moves every mean by `shift`: the level has changed, the shape has not.
    pub fn shift(&mut self, shift: f64) {
        for slot in self.day.iter_mut().chain(&mut self.week) {
            slot.mean += shift as f32;
        }
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        (self.day.len() + self.week.len()) * size_of::<Slot>()
    }
}

fn day_slot(at: EventTime) -> usize {
    at.millis().div_euclid(HOUR_MS).rem_euclid(DAY_HOURS as i64) as usize
}

fn week_slot(at: EventTime) -> usize {
    at.millis()
        .div_euclid(HOUR_MS)
        .rem_euclid(WEEK_HOURS as i64) as usize
}

fn learn(slot: &mut Slot, x: f64, visit_values: u16) {
    let gain =
        (1.0 / (f32::from(slot.values) + 1.0)).max(VISIT_GAIN_MIN / f32::from(visit_values.max(1)));
    slot.mean += gain * (x as f32 - slot.mean);
    slot.values = slot.values.saturating_add(1);
}

fn band(slots: &[Slot], at: usize, values_min: u16) -> Option<Band> {
    let own = slots
        .get(at)
        .filter(|slot| slot.values >= values_min.max(1))?;
    let n = slots.len();
    let mut band = Band {
        low: f64::from(own.mean),
        high: f64::from(own.mean),
    };
    for neighbour in [slots[(at + n - 1) % n], slots[(at + 1) % n]] {
        if neighbour.values > 0 {
            band.low = band.low.min(f64::from(neighbour.mean));
            band.high = band.high.max(f64::from(neighbour.mean));
        }
    }
    Some(band)
}

fn interpolate(slots: &[Slot], at: EventTime, values_min: u16) -> Option<f64> {
    let n = slots.len();
    if n == 0 {
        return None;
    }
    let own = at.millis().div_euclid(HOUR_MS).rem_euclid(n as i64) as usize;
    let here = slots[own];
    if here.values < values_min.max(1) {
        return None;
    }
    // The slot's mean stands at its middle.
    let offset = at.millis().rem_euclid(HOUR_MS) as f64 / HOUR_MS as f64 - 0.5;
    let other = if offset < 0.0 {
        slots[(own + n - 1) % n]
    } else {
        slots[(own + 1) % n]
    };
    let here_mean = f64::from(here.mean);
    Some(if other.values < values_min {
        here_mean
    } else {
        here_mean + offset.abs() * (f64::from(other.mean) - here_mean)
    })
}
