//! What the next value of a series is expected to be: the best of a few simple predictors.
//!
//! Candidates: the last value, levels with gains 1/4, 1/16, 1/64 and 1/512, the mean of all since the level last shifted, a level with a slope (Holt 1957), and the hour of the
//! day and of the week, each with a level of its own for what the season leaves. Each keeps a fading mean square of its errors and how often it spoke; the
//! one with the least (a penalty for the restless) speaks. So a level shift is followed within a few buckets: the quick levels err less and win.
//! Units: values as they come. Holds: the forecast is finite; judging changes nothing.

use super::Room;
use super::profile::{HOUR_MS, HourMeans, Profile, hour_of};
use super::surprise::SeasonView;
use crate::time::{BucketSpan, EventTime};
use serde::{Deserialize, Serialize};

const CANDIDATES: usize = 9;
/// Buckets over which errors are forgotten.
const ERROR_MEMORY: f64 = 1000.0;
/// A challenger must err by this factor less (mean square) than any earlier in the list: the calm go first.
const CALM_ADVANTAGE: f64 = 0.6;
/// Errors beyond this many times the usual square count as this many, so that one outlier does not choose the predictor.
const ERROR_CLIP: f64 = 9.0;
const HOLT_LEVEL_GAIN: f64 = 0.2;
const HOLT_SLOPE_GAIN: f64 = 0.02;
const SEASON_LEVEL_GAIN: f64 = 1.0 / 16.0;
/// Values of one sign and far out in a row that make a level shift rather than outliers.
const SHIFT_RUN: u16 = 6;
/// The same where a season has shown itself and speaks, hours: what is over within a day is an event, not a new level.
const SEASONAL_SHIFT_HOURS: u16 = 24;
/// Seasonal predictors come first.
const SEASONAL: usize = 2;
/// How far out, in root mean squares.
const SHIFT_Z: f64 = 3.0;

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Track {
    square: f32,
    count: u16,
}

/// A pool of predictors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Forecaster {
    steps: u32,
    last: f64,
    levels: [f64; 4],
    mean: f64,
    /// Values that the mean is of.
    mean_values: u32,
    holt: [f64; 2],
    /// What the hour of the day and of the week leave, on average lately.
    left: [f64; 2],
    tracks: [Track; CANDIDATES],
    /// Consecutive values far out on one side: how many (negative: below), their sum, and that of their distances
    /// from what the predictor knew before it began to follow them.
    run: i16,
    run_sum: f64,
    run_errors: f64,
    /// Whether the season spoke last.
    seasonal: bool,
    filling: HourMeans,
    profile: Profile,
}

/// How a forecast was found: learning the value that came needs it again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Foresight {
    /// The means of the hour of the day and of the week.
    seasonal: [Option<f64>; 2],
    /// The predictor that spoke.
    best: usize,
}

const LEVEL_GAINS: [f64; 4] = [1.0 / 512.0, 1.0 / 64.0, 1.0 / 16.0, 0.25];

impl Forecaster {
    /// Values seen.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// The level of the last few values: within their range.
    pub fn level(&self) -> f64 {
        self.levels[3]
    }

    /// The next value expected at `at`, and how it was found; `None` before the first value.
    pub fn forecast(&self, at: EventTime) -> Option<(f64, Foresight)> {
        if self.steps == 0 {
            return None;
        }
        let seasonal = self.seasonal(at);
        let candidates = self.candidates(seasonal);
        let best = self.best(&candidates);
        let expected = candidates[best].expect("the best one speaks");
        Some((expected, Foresight { seasonal, best }))
    }

    /// Learns a value; `foresight` is what [`forecast`](Self::forecast) found for `at`, if it was asked. Says whether the season has come to speak, or ceased to: what forecasts leave is then another thing than before.
    pub fn learn(
        &mut self,
        at: EventTime,
        x: f64,
        span: BucketSpan,
        foresight: Option<Foresight>,
        room: &mut Room,
    ) -> bool {
        let known = foresight.or_else(|| Some(self.forecast(at)?.1));
        let Some(Foresight { seasonal, best }) = known else {
            self.restart(x);
            self.learn_season(at, x, span, room);
            return false;
        };
        let candidates = self.candidates(seasonal);
        let expected = candidates[best].expect("the best one speaks");
        let usual = f64::from(self.tracks[best].square);
        let run = if best < SEASONAL && self.profile.has_week() {
            let hours = i64::from(SEASONAL_SHIFT_HOURS);
            (hours * HOUR_MS / span.millis()).clamp(i64::from(SHIFT_RUN), 10_000) as u16
        } else {
            SHIFT_RUN
        };
        let left = [self.left[1], self.left[0]];
        let left = left.get(best).copied().unwrap_or(0.0);
        let shift = self.watch_level(x, expected, left, usual, run);
        self.learn_tracks(x, &candidates, usual);
        self.learn_levels(x, seasonal);
        self.learn_season(at, x, span, room);
        if let Some(shift) = shift {
            self.profile.shift(shift);
            let values = self.run.unsigned_abs();
            self.restart_levels(self.run_sum / f64::from(values));
            self.mean_values = u32::from(values);
            (self.run, self.run_sum, self.run_errors) = (0, 0.0, 0.0);
        }
        self.steps = self.steps.saturating_add(1);
        let changed = self.seasonal != (best < SEASONAL);
        self.seasonal = best < SEASONAL;
        changed
    }

    /// What the season says of the hour of `at`.
    pub fn season(&self, at: EventTime) -> SeasonView {
        SeasonView::of(&self.profile, hour_of(at))
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        self.profile.heap_bytes()
    }

    fn learn_season(&mut self, at: EventTime, x: f64, span: BucketSpan, room: &mut Room) {
        for over in self.filling.push(at, x, span).into_iter().flatten() {
            self.profile.learn(over.hour, over.mean, room);
        }
    }

    fn candidates(&self, [day, week]: [Option<f64>; 2]) -> [Option<f64>; CANDIDATES] {
        let day = day.map(|mean| mean + self.left[0]);
        let week = week.map(|mean| mean + self.left[1]);
        let [slowest, slow, medium, quick] = self.levels.map(Some);
        [
            week,
            day,
            Some(self.mean),
            slowest,
            slow,
            medium,
            Some(self.holt[0] + self.holt[1]),
            quick,
            Some(self.last),
        ]
    }

    /// The predictor with the least error; earlier (calmer) ones win near ties, those that never spoke lose.
    fn best(&self, candidates: &[Option<f64>; CANDIDATES]) -> usize {
        let mut best = CANDIDATES - 1;
        let mut least = f64::INFINITY;
        for (at, candidate) in candidates.iter().enumerate() {
            let track = self.tracks[at];
            // A mean square of few errors is uncertain: as if one more of a larger size had been seen.
            let square = f64::from(track.square) * (1.0 + 2.0 / (f64::from(track.count) + 1.0));
            if candidate.is_some()
                && (track.count > 0 || self.steps < 2)
                && square < least * CALM_ADVANTAGE
            {
                (best, least) = (at, square);
            }
        }
        if candidates[best].is_some() {
            best
        } else {
            CANDIDATES - 1
        }
    }

    fn watch_level(
        &mut self,
        x: f64,
        expected: f64,
        left: f64,
        usual_square: f64,
        wanted: u16,
    ) -> Option<f64> {
        let error = x - expected;
        let far = usual_square > 0.0 && error * error > SHIFT_Z * SHIFT_Z * usual_square;
        let side: i16 = if error > 0.0 { 1 } else { -1 };
        if !far {
            (self.run, self.run_sum, self.run_errors) = (0, 0.0, 0.0);
        } else if self.run.signum() == side {
            self.run += side;
            self.run_sum += x;
            self.run_errors += error + left;
        } else {
            (self.run, self.run_sum, self.run_errors) = (side, x, error + left);
        }
        (self.run.unsigned_abs() >= wanted)
            .then(|| self.run_errors / f64::from(self.run.unsigned_abs()))
    }

    fn learn_tracks(&mut self, x: f64, candidates: &[Option<f64>; CANDIDATES], usual_square: f64) {
        for (track, candidate) in self.tracks.iter_mut().zip(candidates) {
            let Some(candidate) = candidate else { continue };
            let mut square = (x - candidate).powi(2).min(f64::from(f32::MAX));
            let own = f64::from(track.square).max(usual_square);
            if self.steps > 30 && own > 0.0 {
                square = square.min(ERROR_CLIP * own);
            }
            track.count = track.count.saturating_add(1);
            let gain = (1.0 / f64::from(track.count)).max(1.0 / ERROR_MEMORY);
            track.square += (gain * (square - f64::from(track.square))) as f32;
        }
    }

    /// The profile's means of the day and of the week.
    fn seasonal(&self, at: EventTime) -> [Option<f64>; 2] {
        [self.profile.day_mean(at), self.profile.week_mean(at)]
    }

    fn learn_levels(&mut self, x: f64, seasonal: [Option<f64>; 2]) {
        let plain = 1.0 / (f64::from(self.steps) + 1.0);
        for (level, gain) in self.levels.iter_mut().zip(LEVEL_GAINS) {
            *level += plain.max(gain) * (x - *level);
        }
        self.mean_values = self.mean_values.saturating_add(1);
        self.mean += (x - self.mean) / f64::from(self.mean_values);
        let [level, slope] = self.holt;
        let next = level + slope + plain.max(HOLT_LEVEL_GAIN) * (x - level - slope);
        self.holt = [next, slope + HOLT_SLOPE_GAIN * (next - level - slope)];
        for (left, mean) in self.left.iter_mut().zip(seasonal) {
            if let Some(mean) = mean {
                *left += SEASON_LEVEL_GAIN * (x - mean - *left);
            }
        }
        self.last = x;
    }

    fn restart(&mut self, x: f64) {
        self.restart_levels(x);
        self.mean_values = 1;
        self.last = x;
        self.steps = 1;
    }

    fn restart_levels(&mut self, x: f64) {
        self.levels = [x; 4];
        self.mean = x;
        self.holt = [x, 0.0];
        self.left = [0.0; 2];
    }
}
