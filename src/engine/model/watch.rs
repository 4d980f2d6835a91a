//! What a forecaster watches for: values that stay on one side, days that begin at another hour, a season that comes or goes.
//!
//! Units: values as they come. Holds: nothing is taken from the heap but what the room grants, and what was taken is given back when a run ends.

use super::Room;
use super::change::{Change, Cusum, Noticed};
use super::profile::{HOUR_MS, Profile};
use crate::time::EventTime;
use serde::{Deserialize, Serialize};

/// How far out a value is that may belong to a new level, in root mean squares.
const SHIFT_Z: f64 = 3.0;
/// A scaling is believed rather than a shift when it leaves less than this share of the shift's squared errors.
const SCALE_ADVANTAGE: f64 = 0.5;
/// Weight of one more hour in the level of the last hours, with and without the season.
const LEVEL_GAIN: f64 = 1.0 / 8.0;
/// Weight of one more hour in what is known of their errors: two days count.
const SEASON_GAIN: f32 = 1.0 / 48.0;
/// A season is there when it leaves less than this share of what the level leaves.
const SEASON_EXPLAINS: f32 = 0.5;
/// Weight of one more hour in what the profile leaves on average: three days count.
const REST_GAIN: f64 = 1.0 / 72.0;
/// Another hour has to leave less than this share of the squared errors.
const OTHER_HOUR_LEAVES: f32 = 0.25;
/// Hours for which a season has to be there, or to be gone, before it is said.
const SEASON_HOURS: u8 = 24;

/// Consecutive values far out on one side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Run {
    above: bool,
    values: u16,
    since: EventTime,
    /// Sums of the values, of the errors, of their squares, of the squared forecasts, and of forecast times error.
    sum: f64,
    errors: f64,
    error_squares: f64,
    forecast_squares: f64,
    products: f64,
}

/// Watches for a new level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LevelWatch {
    run: Option<Box<Run>>,
}

/// A new level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// What the values were above the forecast, on average.
    pub by: f64,
    /// Their mean.
    pub level: f64,
    /// How many they were.
    pub values: u16,
    /// So many times the forecast explains them much better than so much more than it.
    pub factor: Option<f64>,
    /// The first of them.
    pub since: EventTime,
}

impl Shift {
    /// The note about it.
    pub fn noticed(&self) -> Noticed {
        let change = match self.factor {
            Some(factor) => Change::Scale(factor),
            None => Change::Level {
                from: self.level - self.by,
                to: self.level,
            },
        };
        Noticed {
            change,
            since: self.since,
        }
    }
}

impl LevelWatch {
    /// Looks at a value for which `expected` was forecast, where errors are usually of this square; `wanted` values in a row make a new level.
    pub fn see(
        &mut self,
        at: EventTime,
        x: f64,
        expected: f64,
        usual_square: f64,
        wanted: u16,
        room: &mut Room,
    ) -> Option<Shift> {
        let error = x - expected;
        if !(usual_square > 0.0 && error * error > SHIFT_Z * SHIFT_Z * usual_square) {
            self.run = None;
            return None;
        }
        let above = error > 0.0;
        if self.run.as_ref().is_none_or(|run| run.above != above) {
            let known = self.run.is_some();
            if !known && !room.grant(size_of::<Run>()) {
                return None;
            }
            self.run = Some(Box::new(Run {
                above,
                values: 0,
                since: at,
                sum: 0.0,
                errors: 0.0,
                error_squares: 0.0,
                forecast_squares: 0.0,
                products: 0.0,
            }));
        }
        let run = self.run.as_mut()?;
        run.values = run.values.saturating_add(1);
        run.sum += x;
        run.errors += error;
        run.error_squares += error * error;
        run.forecast_squares += expected * expected;
        run.products += expected * error;
        (run.values >= wanted)
            .then(|| self.run.take())
            .flatten()
            .map(|run| run.shift())
    }

    /// Whether two values or more in a row were on one side.
    pub fn is_running(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.values > 1)
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        self.run.as_ref().map_or(0, |_| size_of::<Run>())
    }
}

impl Run {
    fn shift(&self) -> Shift {
        let n = f64::from(self.values);
        let by = self.errors / n;
        Shift {
            by,
            level: self.sum / n,
            values: self.values,
            factor: self.factor(by),
            since: self.since,
        }
    }

    /// The factor of least squares, where scaling leaves much less than shifting `by` does. With x = p + e, Σ(x − rp)² = Σe² + 2(1−r)Σpe + (1−r)²Σp².
    fn factor(&self, by: f64) -> Option<f64> {
        let shifted = self.error_squares - f64::from(self.values) * by * by;
        let factor = 1.0 + self.products / self.forecast_squares;
        let rest = 1.0 - factor;
        let scaled =
            self.error_squares + 2.0 * rest * self.products + rest * rest * self.forecast_squares;
        let is_better = scaled < SCALE_ADVANTAGE * shifted;
        (is_better && factor.is_finite() && factor > 0.0).then_some(factor)
    }
}

/// Watches for days that begin an hour later, and an hour earlier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClockWatch {
    later: OtherHour,
    earlier: OtherHour,
    /// What the profile leaves on average over days, whatever the hour.
    rest: f64,
}

/// What speaks for one other hour: the sum of what the hours told, and of the squared errors that were left, and that it would have left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct OtherHour {
    told: Cusum,
    here: f32,
    there: f32,
}

impl OtherHour {
    /// Whether it is believed: for a day or more it does much better than the hour as it was, and as well as the profile usually does. A holiday begins late
    /// too, but is no usual day an hour later.
    fn see(&mut self, here: f64, other: f64, usual_square: f64) -> bool {
        // Normal errors: the logarithm of the likelihood ratio.
        let nats = (here * here - other * other) / (2.0 * usual_square);
        let believed = self.told.add(nats);
        if self.told.steps() == 0 {
            (self.here, self.there) = (0.0, 0.0);
            return false;
        }
        let square = |error: f64| (error * error).min(1e30) as f32;
        self.here += square(here);
        self.there += square(other);
        believed
            && self.told.steps() >= u16::from(SEASON_HOURS)
            && self.there < OTHER_HOUR_LEAVES * self.here
            && f64::from(self.there) < f64::from(self.told.steps()) * usual_square
    }
}

impl ClockWatch {
    /// Looks at the mean of an hour; `usual_square` is that of the profile's errors. By how many hours the
    /// days begin later, if that is believed now. Only a known week is looked at: before, every weekend begins at another hour.
    pub fn see(
        &mut self,
        hour: i64,
        mean: f64,
        profile: &Profile,
        usual_square: f64,
    ) -> Option<i8> {
        let error = |hours: i64| {
            profile
                .week_slot(hour + hours)
                .map(|slot| mean - slot - self.rest)
        };
        let ([Some(here), Some(before), Some(after)], true) =
            ([error(0), error(-1), error(1)], usual_square > 0.0)
        else {
            return None;
        };
        self.rest += REST_GAIN * here;
        let later = self.later.see(here, before, usual_square);
        let earlier = self.earlier.see(here, after, usual_square);
        if !later && !earlier {
            return None;
        }
        *self = ClockWatch {
            rest: self.rest,
            ..ClockWatch::default()
        };
        Some(if later { 1 } else { -1 })
    }
}

/// Watches whether the hour of the day or of the week says more of a series than its level does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SeasonWatch {
    /// Means of the last hours, and of what the season left of them.
    level: f64,
    rest: f64,
    /// Mean squares of the errors of both, each as of the hour before.
    level_square: f32,
    season_square: f32,
    /// Hours seen, and what was told of them.
    seen: u8,
    told: bool,
    /// Hours for which what was told has no longer been so.
    otherwise: u8,
}

impl SeasonWatch {
    /// Whether the season is there, as last told.
    pub fn is_there(&self) -> bool {
        self.told
    }

    fn explains(&self) -> bool {
        self.seen >= SEASON_HOURS && self.season_square < SEASON_EXPLAINS * self.level_square
    }

    /// Looks at the mean of an hour and at that of the season's slot; the note, when a season has come to be there, or has ceased, for a whole day.
    pub fn see(&mut self, hour: i64, mean: f64, slot: Option<f64>) -> Option<Noticed> {
        let square = |error: f64| (error * error).min(1e30) as f32;
        if let Some(rest) = slot.map(|slot| mean - slot) {
            let gain = (1.0 / (f32::from(self.seen) + 1.0)).max(SEASON_GAIN);
            self.season_square += gain * (square(rest - self.rest) - self.season_square);
            self.level_square += gain * (square(mean - self.level) - self.level_square);
            self.seen = self.seen.saturating_add(1);
            self.level += LEVEL_GAIN * (mean - self.level);
            self.rest += LEVEL_GAIN * (rest - self.rest);
        } else {
            self.level = mean;
        }
        self.otherwise = if self.explains() == self.told {
            0
        } else {
            self.otherwise + 1
        };
        if self.otherwise < SEASON_HOURS {
            return None;
        }
        (self.told, self.otherwise) = (!self.told, 0);
        let begun = hour - i64::from(SEASON_HOURS) + 1;
        Some(Noticed {
            change: Change::Season(self.told),
            since: EventTime(begun * HOUR_MS + HOUR_MS / 2),
        })
    }
}
