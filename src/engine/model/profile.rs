//! The seasonal profile: what a series is like at each hour of the day and of the week.
//!
//! 24 + 168 slots of one hour (epoch time, UTC), each the mean of the hours seen in it, newer visits weighing at least a twentieth.
//! The day's slots exist from the first hour on, the week's once the series has lived for two days (a series starts small). A *band* is the
//! range of a slot and its two neighbours, so that a shape that moves by less than an hour does not surprise. An hour is learnt when it is over
//! ([`HourMeans`]), so that no value is judged by a profile which knows its own hour already.
//! Source: detection-quality.md, "Views". Units: values as they come; times in milliseconds since the epoch.

use super::Room;
use crate::time::{BucketSpan, EventTime};
use serde::{Deserialize, Serialize};

/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;
const DAY_HOURS: usize = 24;
const WEEK_HOURS: usize = 168;
/// The least weight of a new visit to a slot.
const VISIT_GAIN_MIN: f32 = 0.05;
/// The week's slots are made when a series is this old.
const WEEK_AFTER_HOURS: i64 = 48;
/// Visits after which a slot of the week speaks for the day's.
const WEEK_SPEAKS_AFTER: u8 = 2;

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

/// A ring of slots: means, and how often each was visited (saturating).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Ring<const SLOTS: usize> {
    means: Vec<f32>,
    visits: Vec<u8>,
}

impl<const SLOTS: usize> Ring<SLOTS> {
    const HEAP_BYTES: usize = SLOTS * (size_of::<f32>() + size_of::<u8>());

    fn new() -> Self {
        Ring {
            means: vec![0.0; SLOTS],
            visits: vec![0; SLOTS],
        }
    }

    fn is_empty(&self) -> bool {
        self.means.is_empty()
    }

    fn slot(hour: i64) -> usize {
        hour.rem_euclid(SLOTS as i64) as usize
    }

    /// Mean of a slot visited at least `visits_min` times.
    fn mean(&self, hour: i64, visits_min: u8) -> Option<f64> {
        if self.is_empty() {
            return None;
        }
        let slot = Self::slot(hour);
        (self.visits[slot] >= visits_min).then(|| f64::from(self.means[slot]))
    }

    fn learn(&mut self, hour: i64, x: f64) {
        let slot = Self::slot(hour);
        let gain = (1.0 / (f32::from(self.visits[slot]) + 1.0)).max(VISIT_GAIN_MIN);
        self.means[slot] += gain * (x as f32 - self.means[slot]);
        self.visits[slot] = self.visits[slot].saturating_add(1);
    }

    fn band(&self, hour: i64, visits_min: u8) -> Option<Band> {
        let own = self.mean(hour, visits_min)?;
        let neighbours = [hour - 1, hour + 1]
            .into_iter()
            .filter_map(|hour| self.mean(hour, 1));
        let (low, high) = neighbours.fold((own, own), |(low, high), mean| {
            (low.min(mean), high.max(mean))
        });
        Some(Band { low, high })
    }

    /// Between the middles of slots by straight lines.
    fn interpolate(&self, at: EventTime, visits_min: u8) -> Option<f64> {
        let hour = hour_of(at);
        let here = self.mean(hour, visits_min)?;
        let offset = at.millis().rem_euclid(HOUR_MS) as f64 / HOUR_MS as f64 - 0.5;
        let other = self.mean(if offset < 0.0 { hour - 1 } else { hour + 1 }, visits_min);
        Some(other.map_or(here, |other| here + offset.abs() * (other - here)))
    }

    fn heap_bytes(&self) -> usize {
        if self.is_empty() { 0 } else { Self::HEAP_BYTES }
    }
}

/// Means by hour of the day and of the week.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    day: Ring<DAY_HOURS>,
    week: Ring<WEEK_HOURS>,
    born_hour: Option<i64>,
}

impl Profile {
    /// The band of this hour of the day; `None` where nothing was seen yet.
    pub fn day_band(&self, hour: i64) -> Option<Band> {
        self.day.band(hour, 1)
    }

    /// The band of this hour of the week once its slot was visited twice.
    pub fn week_band(&self, hour: i64) -> Option<Band> {
        self.week.band(hour, WEEK_SPEAKS_AFTER)
    }

    /// The mean of this hour of the day once visited.
    pub fn day_slot(&self, hour: i64) -> Option<f64> {
        self.day.mean(hour, 1)
    }

    /// The mean of this time of the day once visited, between slots by straight lines.
    pub fn day_mean(&self, at: EventTime) -> Option<f64> {
        self.day.interpolate(at, 1)
    }

    /// The mean of this time of the week once visited, between slots by straight lines.
    pub fn week_mean(&self, at: EventTime) -> Option<f64> {
        self.week.interpolate(at, 1)
    }

    /// Takes the mean of an hour that is over. Without room for a day or a week it stays as it is.
    pub fn learn(&mut self, hour: i64, mean: f64, room: &mut Room) {
        let born = *self.born_hour.get_or_insert(hour);
        if self.day.is_empty() {
            if !room.grant(Ring::<DAY_HOURS>::HEAP_BYTES) {
                return;
            }
            self.day = Ring::new();
        }
        if self.week.is_empty()
            && hour - born >= WEEK_AFTER_HOURS
            && room.grant(Ring::<WEEK_HOURS>::HEAP_BYTES)
        {
            self.week = self.week_from_days();
        }
        self.day.learn(hour, mean);
        if !self.week.is_empty() {
            self.week.learn(hour, mean);
        }
    }

    /// Moves every mean by `shift`: the level has changed, the shape has not.
    pub fn shift(&mut self, shift: f64) {
        for mean in self.day.means.iter_mut().chain(&mut self.week.means) {
            *mean += shift as f32;
        }
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        self.day.heap_bytes() + self.week.heap_bytes()
    }

    /// Two days are known only as days: the week starts from them.
    fn week_from_days(&self) -> Ring<WEEK_HOURS> {
        let mut week = Ring::<WEEK_HOURS>::new();
        for (slot, mean) in week.means.iter_mut().enumerate() {
            *mean = self.day.means[slot % DAY_HOURS];
        }
        week
    }
}

/// The mean of the hour that is being filled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HourMeans {
    hour: i64,
    sum: f64,
    values: u32,
}

/// The mean of an hour that is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HourMean {
    /// Hours since the epoch.
    pub hour: i64,
    /// Mean of its buckets.
    pub mean: f64,
}

impl HourMeans {
    /// Counts in the bucket around `at`. Says which hours are over: one that ended without its last bucket, and the bucket's own if it is the last of it.
    pub fn push(&mut self, at: EventTime, x: f64, span: BucketSpan) -> [Option<HourMean>; 2] {
        let hour = hour_of(at);
        let left = if self.values > 0 && self.hour != hour {
            self.close()
        } else {
            None
        };
        self.hour = hour;
        self.sum += x;
        self.values += 1;
        let next = EventTime(at.millis() + span.millis());
        [
            left,
            if hour_of(next) != hour {
                self.close()
            } else {
                None
            },
        ]
    }

    fn close(&mut self) -> Option<HourMean> {
        let mean = self.sum / f64::from(self.values);
        (self.sum, self.values) = (0.0, 0);
        Some(HourMean {
            hour: self.hour,
            mean,
        })
    }
}

/// Hours since the epoch.
pub fn hour_of(at: EventTime) -> i64 {
    at.millis().div_euclid(HOUR_MS)
}
