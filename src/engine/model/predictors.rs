//! A few simple predictors of the next value of a series, each with what it has erred: the best of them speaks.
//!
//! In order: the hour of the week and of the day, each with a level of its own for what the season leaves; a rhythm of the series' own; the mean of all since
//! the level last shifted; levels with gains 1/512, 1/64 and 1/16; a level with a slope (Holt 1957); a level with gain 1/4; the last value. Each keeps a fading
//! mean square of its errors and how often it spoke; the one with the least speaks, and the calm, who come first, win near ties. So a level shift is followed
//! within a few buckets: the quick levels err less and win.
//! Units: values as they come. Holds: one of them always speaks once there was a value, and what it says is finite.

use serde::{Deserialize, Serialize};

/// How many there are.
const COUNT: usize = 10;
/// What each of them says.
pub(super) type Candidates = [Option<f64>; COUNT];

/// The hour of the week, and of the day.
pub(super) const WEEK: usize = 0;
pub(super) const DAY: usize = 1;
pub(super) const RHYTHM: usize = 2;
/// Seasonal predictors come first: so many.
pub(super) const SEASONAL: usize = 3;
/// The mean of all, and the slowest level.
pub(super) const MEAN: usize = 3;
const SLOWEST: usize = 4;
/// The level with a slope, and the quickest one.
const HOLT: usize = COUNT - 3;
pub(super) const QUICK: usize = COUNT - 2;
/// The last value.
pub(super) const LAST: usize = COUNT - 1;

const LEVEL_GAINS: [f64; 4] = [1.0 / 512.0, 1.0 / 64.0, 1.0 / 16.0, 0.25];
const HOLT_LEVEL_GAIN: f64 = 0.2;
const HOLT_SLOPE_GAIN: f64 = 0.02;
const SEASON_LEVEL_GAIN: f64 = 1.0 / 16.0;
/// Buckets over which errors are forgotten.
const ERROR_MEMORY: f64 = 1000.0;
/// A challenger must err by this factor less (mean square) than any earlier in the list: the calm go first.
const CALM_ADVANTAGE: f64 = 0.6;
/// Errors beyond this many times the usual square count as this many, so that one outlier does not choose the predictor.
const ERROR_CLIP: f64 = 9.0;

/// The predictors of one series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Predictors {
    steps: u32,
    last: f64,
    levels: [f64; 4],
    mean: f64,
    /// Values that the mean is of.
    mean_values: u32,
    holt: [f64; 2],
    /// What the hour of the day and of the week leave, on average lately.
    left: [f64; 2],
    tracks: Tracks,
}

/// Mean squares of the predictors' errors, and how often each spoke.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tracks {
    squares: [f32; COUNT],
    counts: [u16; COUNT],
}

/// How many buckets a level that moves by this share of each error stands on: as a mean of so many varies, so does it.
pub(super) fn memory(gain: f64) -> f64 {
    (2.0 - gain) / gain
}

/// Buckets that the quickest level stands on.
pub(super) fn quickest_memory() -> f64 {
    memory(LEVEL_GAINS[LEVEL_GAINS.len() - 1])
}

/// The same of what the season leaves.
pub(super) fn season_level_memory() -> f64 {
    memory(SEASON_LEVEL_GAIN)
}

impl Predictors {
    /// Values seen.
    pub(super) fn steps(&self) -> u32 {
        self.steps
    }

    /// The level of the last few values: within their range.
    pub(super) fn level(&self) -> f64 {
        self.levels[3]
    }

    /// How many buckets a predictor stands on that knows no time of the day.
    pub(super) fn buckets(&self, predictor: usize) -> f64 {
        let gain = match predictor {
            LAST => 1.0,
            HOLT => HOLT_LEVEL_GAIN,
            QUICK => LEVEL_GAINS[LEVEL_GAINS.len() - 1],
            MEAN => return self.mean_values.into(),
            level => LEVEL_GAINS[level - SLOWEST],
        };
        memory(gain).min(self.mean_values.into())
    }

    /// The fading mean square of a predictor's errors.
    pub(super) fn square(&self, predictor: usize) -> f32 {
        self.tracks.squares[predictor]
    }

    /// How often a predictor spoke.
    pub(super) fn count(&self, predictor: usize) -> u16 {
        self.tracks.counts[predictor]
    }

    /// What the hour of the day and of the week leave lately.
    pub(super) fn left(&self) -> [f64; 2] {
        self.left
    }

    /// Of that, these shares are kept.
    pub(super) fn keep(&mut self, shares: [f64; 2]) {
        self.left = self.left_of(shares);
    }

    /// What these shares of it are.
    pub(super) fn left_of(&self, shares: [f64; 2]) -> [f64; 2] {
        [self.left[0] * shares[0], self.left[1] * shares[1]]
    }

    /// What each says, given what the season and a rhythm say of the hour, and what the season leaves.
    pub(super) fn candidates(
        &self,
        [day, week]: [Option<f64>; 2],
        left: [f64; 2],
        rhythm: Option<f64>,
    ) -> Candidates {
        let day = day.map(|mean| mean + left[0]);
        let week = week.map(|mean| mean + left[1]);
        let [slowest, slow, medium, quick] = self.levels.map(Some);
        [
            week,
            day,
            rhythm,
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
    pub(super) fn best(&self, candidates: &Candidates) -> usize {
        let mut best = LAST;
        let mut least = f64::INFINITY;
        for (at, candidate) in candidates.iter().enumerate() {
            let count = self.count(at);
            // A mean square of few errors is uncertain: as if one more of a larger size had been seen.
            let square = f64::from(self.square(at)) * (1.0 + 2.0 / (f64::from(count) + 1.0));
            let has_spoken = count > 0 || self.steps < 2;
            if candidate.is_some() && has_spoken && square < least * CALM_ADVANTAGE {
                (best, least) = (at, square);
            }
        }
        match candidates[best] {
            Some(_) => best,
            None => LAST,
        }
    }

    /// The better of the mean and the slowest level: what follows nothing quickly.
    pub(super) fn calm(&self) -> f64 {
        match self.square(SLOWEST) < self.square(MEAN) * CALM_ADVANTAGE as f32 {
            true => self.levels[0],
            false => self.mean,
        }
    }

    /// Learns a value: what each has erred, whose usual error has this square; then what each says next. `seasonal`: the means of the hour of the day and week.
    pub(super) fn learn(
        &mut self,
        x: f64,
        candidates: &Candidates,
        usual_square: f64,
        seasonal: [Option<f64>; 2],
    ) {
        self.learn_tracks(x, candidates, usual_square);
        self.learn_levels(x, seasonal);
        self.steps = self.steps.saturating_add(1);
    }

    fn learn_tracks(&mut self, x: f64, candidates: &Candidates, usual_square: f64) {
        let tracks = self.tracks.squares.iter_mut().zip(&mut self.tracks.counts);
        for ((own_square, count), candidate) in tracks.zip(candidates) {
            let Some(candidate) = candidate else { continue };
            let mut square = (x - candidate).powi(2).min(f64::from(f32::MAX));
            let own = f64::from(*own_square).max(usual_square);
            if self.steps > 30 && own > 0.0 {
                square = square.min(ERROR_CLIP * own);
            }
            *count = count.saturating_add(1);
            let gain = (1.0 / f64::from(*count)).max(1.0 / ERROR_MEMORY);
            *own_square += (gain * (square - f64::from(*own_square))) as f32;
        }
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

    /// The first value.
    pub(super) fn begin(&mut self, x: f64) {
        self.begin_again(x, 1);
        self.last = x;
        self.steps = 1;
    }

    /// Another level, which so many values have shown.
    pub(super) fn begin_again(&mut self, level: f64, values: u32) {
        self.levels = [level; 4];
        self.mean = level;
        self.mean_values = values;
        self.holt = [level, 0.0];
        self.left = [0.0; 2];
    }
}
