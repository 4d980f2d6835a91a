//! How far a series is from itself: several views of one value, each a surprise in nats under one heavy-tailed prior.
//!
//! Views of a value x: its distance from two slow levels (1/64 and 1/512 a step) once the season is taken out, from the mean of all, and from
//! the seasonal band. A residual r is set against the root mean square of past residuals *of the same sign* in its view:
//! `s = 2.5 ln(1 + z²/4)`, a Student-t with 4 degrees of freedom (Lange, Little, Taylor 1989), and the plain mean over the views that
//! speak is calibrated once against the series' own past ([`Calibration`]). A second channel looks at the best short-range predictor and at
//! exact repeats. Two copies run, on the bucket and on means of an hour. Source: detection-quality.md, "The design".
//! Values come on the scale of [`SymLog`](super::evidence::SymLog), on which a series that varies in proportion varies evenly.
//! Holds: judging changes nothing; evidence is finite and at least 0.

use super::Room;
use super::calibration::Calibration;
use super::novelty::Novelty;
use super::profile::{Band, Profile};
use crate::config::Side;
use serde::{Deserialize, Serialize};

/// Residuals of one sign that a view needs before it speaks.
const SPEAKS_AFTER: f32 = 8.0;
/// Steps over which views forget.
const VIEW_MEMORY: f32 = 4000.0;
/// The least scale of a view, as a share of the mean absolute step.
const SCALE_FLOOR: f64 = 0.01;
/// z is cut here: beyond, nothing is told apart, and a constant's first move stays finite.
const Z_MAX: f64 = 1e6;
/// Nats for each exact repeat of a value that seldom repeats.
const REPEAT_NATS: f64 = 0.2;
/// What the short-range channel has to show more than the slow one.
const SHORT_RANGE_HANDICAP: f64 = 3.0;

/// Which deviations count, as a pair of weights would: the sign of a residual decides.
pub(super) fn counts(side: Side, residual: f64) -> bool {
    match side {
        Side::Both => true,
        Side::High => residual > 0.0,
        Side::Low => residual < 0.0,
    }
}

/// Mean squares of the residuals of one view, by sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Scale {
    square: [f32; 2],
    count: [f32; 2],
}

impl Scale {
    fn learn(&mut self, residual: f64) {
        if residual != 0.0 {
            let sign = usize::from(residual < 0.0);
            self.count[sign] += 1.0;
            let gain = (1.0 / self.count[sign]).max(1.0 / VIEW_MEMORY);
            self.square[sign] +=
                gain * ((residual * residual).min(f64::from(f32::MAX)) as f32 - self.square[sign]);
        }
    }

    /// Nats; `None` while the sign has been seen too seldom.
    fn surprise(&self, residual: f64, floor: f64, side: Side) -> Option<f64> {
        if residual == 0.0 || !counts(side, residual) {
            return (self.count[0] + self.count[1] >= SPEAKS_AFTER).then_some(0.0);
        }
        let sign = usize::from(residual < 0.0);
        (self.count[sign] >= SPEAKS_AFTER).then(|| {
            let scale = f64::from(self.square[sign])
                .sqrt()
                .max(floor)
                .max(f64::MIN_POSITIVE);
            let z = (residual.abs() / scale).min(Z_MAX);
            2.5 * (z * z / 4.0).ln_1p()
        })
    }
}

/// An exponentially weighted mean whose gain begins as a plain mean's.
fn follow(level: &mut f64, x: f64, step: u32, gain_min: f64) {
    *level += (1.0 / (f64::from(step) + 1.0)).max(gain_min) * (x - *level);
}

/// What the season explains, shared by the two copies of a series.
#[derive(Clone, Copy, Debug)]
pub struct SeasonView {
    /// The band at this time (hour of week before hour of day).
    pub band: Option<Band>,
    /// The band of this hour of the day.
    pub day: Option<Band>,
    /// The mean of this hour of the day.
    pub day_mean: Option<f64>,
}

impl SeasonView {
    /// What the profile says of this hour.
    pub fn of(profile: &Profile, hour: i64) -> SeasonView {
        SeasonView {
            band: profile.band(hour),
            day: profile.day_band(hour),
            day_mean: profile.day_slot(hour),
        }
    }
}

/// One copy of the detector: on buckets, or on means of an hour.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Views {
    steps: u32,
    fast: f64,
    slow: f64,
    mean: f64,
    raw_slow: f64,
    last: f64,
    step_mean: f64,
    day_error: f64,
    slow_error: f64,
    scales: [Scale; 4],
    slow_channel: Calibration,
    novelty: Novelty,
    short: Option<Box<ShortRange>>,
}

/// The short-range channel: the best of several predictors, and exact repeats. Row copy only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct ShortRange {
    quick: f64,
    errors: [f32; 6],
    scales: [Scale; 6],
    calibration: Calibration,
    repeats: u32,
    repeated: u32,
}

/// What one copy says of a value: nats, and a share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Surprise {
    /// Evidence of the slow views, after calibration.
    pub slow: f64,
    /// Evidence of the short-range channel less its handicap; `-3` at the least.
    pub short: f64,
    /// Share of the value's cells never seen, 0..=1; `None` while too few values are known.
    pub novelty: Option<f64>,
    /// The plain mean of the views' surprises; `None` while none has seen enough to speak. Learning the value asks for it again.
    pooled: Option<f64>,
    /// The short-range channel's surprise likewise.
    moved: Option<f64>,
}

impl Surprise {
    /// Whether any view has seen enough to speak.
    pub fn speaks(&self) -> bool {
        self.pooled.is_some()
    }
}

struct Residuals {
    /// fast, slow, mean, season.
    views: [Option<f64>; 4],
    deseasoned: f64,
}

impl Views {
    /// A copy that has seen nothing; `short_range` adds the second channel.
    pub fn new(short_range: bool) -> Views {
        Views {
            short: short_range.then(Box::default),
            ..Views::default()
        }
    }

    /// Values seen.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// Judges a value without learning it.
    pub fn judge(&self, x: f64, season: &SeasonView, side: Side) -> Surprise {
        if self.steps == 0 {
            return Surprise {
                short: -SHORT_RANGE_HANDICAP,
                ..Surprise::default()
            };
        }
        let residuals = self.residuals(x, season);
        let pooled = self.pool(&residuals, side);
        let moved = self.short_surprise(x, &residuals, side);
        Surprise {
            slow: pooled.map_or(0.0, |c| self.slow_channel.evidence(c)),
            short: moved.map_or(0.0, |c| self.short_evidence(c)) - SHORT_RANGE_HANDICAP,
            novelty: self.novelty.share(x).map(|share| {
                if counts(side, x - self.slow) {
                    share
                } else {
                    0.0
                }
            }),
            pooled,
            moved,
        }
    }

    /// Learns a value; `block_steps` values make a block of the calibration. `judged` is what [`judge`](Self::judge) has just said of this very value,
    /// if it was asked.
    pub fn learn(
        &mut self,
        x: f64,
        season: &SeasonView,
        side: Side,
        block_steps: u32,
        judged: Option<&Surprise>,
        room: &mut Room,
    ) {
        if self.steps == 0 {
            (self.fast, self.slow, self.mean, self.raw_slow, self.last) = (x, x, x, x, x);
            if let Some(short) = &mut self.short {
                short.quick = x;
            }
        } else {
            let residuals = self.residuals(x, season);
            let (pooled, moved) = match judged {
                Some(surprise) => (surprise.pooled, surprise.moved),
                None => (
                    self.pool(&residuals, side),
                    self.short_surprise(x, &residuals, side),
                ),
            };
            if let Some(c) = pooled {
                self.slow_channel.learn(c, block_steps, room);
            }
            self.learn_short(x, &residuals, moved, block_steps, room);
            for (scale, residual) in self.scales.iter_mut().zip(residuals.views) {
                scale.learn(residual.unwrap_or(0.0));
            }
            self.learn_levels(x, &residuals, season);
        }
        self.novelty.learn(x, room);
        self.steps = self.steps.saturating_add(1);
    }

    fn learn_levels(&mut self, x: f64, residuals: &Residuals, season: &SeasonView) {
        let memory = 1.0 / f64::from(VIEW_MEMORY);
        if let Some(day) = season.day_mean {
            follow(&mut self.day_error, (x - day).powi(2), self.steps, memory);
            follow(
                &mut self.slow_error,
                (x - self.raw_slow).powi(2),
                self.steps,
                memory,
            );
        }
        let moved = (x - self.last).abs();
        follow(&mut self.step_mean, moved, self.steps - 1, memory);
        follow(&mut self.fast, residuals.deseasoned, self.steps, 1.0 / 64.0);
        follow(
            &mut self.slow,
            residuals.deseasoned,
            self.steps,
            1.0 / 512.0,
        );
        follow(&mut self.raw_slow, x, self.steps, 1.0 / 512.0);
        follow(&mut self.mean, x, self.steps, 0.0);
        self.last = x;
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        let short = self.short.as_ref().map_or(0, |short| {
            size_of::<ShortRange>() + short.calibration.heap_bytes()
        });
        self.slow_channel.heap_bytes() + self.novelty.heap_bytes() + short
    }

    /// The value without the season, as far as the season explains it.
    fn deseason(&self, x: f64, season: &SeasonView) -> f64 {
        let explained = if self.slow_error > 0.0 {
            1.0 - self.day_error / self.slow_error
        } else {
            0.0
        };
        let weight = ((explained - 0.2) / 0.8).max(0.0);
        match season.day {
            Some(day) if weight > 0.0 => x - weight.sqrt() * (day.nearest(x) - self.raw_slow),
            _ => x,
        }
    }

    fn residuals(&self, x: f64, season: &SeasonView) -> Residuals {
        let y = self.deseason(x, season);
        let views = [
            Some(y - self.fast),
            Some(y - self.slow),
            Some(x - self.mean),
            season.band.map(|band| band.distance(x)),
        ];
        Residuals {
            views,
            deseasoned: y,
        }
    }

    fn floor(&self) -> f64 {
        SCALE_FLOOR * self.step_mean
    }

    fn pool(&self, residuals: &Residuals, side: Side) -> Option<f64> {
        let (mut sum, mut speaking) = (0.0, 0u32);
        for (scale, residual) in self.scales.iter().zip(residuals.views) {
            if let Some(surprise) = residual.and_then(|r| scale.surprise(r, self.floor(), side)) {
                sum += surprise;
                speaking += 1;
            }
        }
        (speaking > 0).then(|| sum / f64::from(speaking))
    }

    fn short_residuals(&self, short: &ShortRange, x: f64, residuals: &Residuals) -> [f64; 6] {
        let view = |at: usize| residuals.views[at].unwrap_or(x - self.last);
        [
            x - self.last,
            x - short.quick,
            view(0),
            view(1),
            view(2),
            view(3),
        ]
    }

    fn short_surprise(&self, x: f64, residuals: &Residuals, side: Side) -> Option<f64> {
        let short = self.short.as_ref()?;
        let candidates = self.short_residuals(short, x, residuals);
        let best = (0..6)
            .min_by(|&a, &b| short.errors[a].total_cmp(&short.errors[b]))
            .expect("six candidates");
        let moved = short.scales[best].surprise(candidates[best], self.floor(), side);
        let flat = (side == Side::Both && x == self.last).then(|| {
            let share = f64::from(short.repeated + 1) / f64::from(self.steps + 2);
            f64::from(short.repeats + 1) * REPEAT_NATS.min(-share.ln())
        });
        match (moved, flat) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        }
    }

    fn short_evidence(&self, surprise: f64) -> f64 {
        self.short
            .as_ref()
            .map_or(0.0, |short| short.calibration.evidence(surprise))
    }

    fn learn_short(
        &mut self,
        x: f64,
        residuals: &Residuals,
        surprise: Option<f64>,
        block_steps: u32,
        room: &mut Room,
    ) {
        let Some(mut short) = self.short.take() else {
            return;
        };
        let candidates = self.short_residuals(&short, x, residuals);
        if let Some(surprise) = surprise {
            short.calibration.learn(surprise, block_steps, room);
        }
        for ((scale, error), residual) in short
            .scales
            .iter_mut()
            .zip(&mut short.errors)
            .zip(candidates)
        {
            scale.learn(residual);
            let gain = (1.0 / f64::from(self.steps)).max(1.0 / f64::from(VIEW_MEMORY));
            *error += (gain * ((residual * residual).min(f64::from(f32::MAX)) - f64::from(*error)))
                as f32;
        }
        if x == self.last {
            short.repeats += 1;
            short.repeated += 1;
        } else {
            short.repeats = 0;
        }
        follow(&mut short.quick, x, self.steps, 0.25);
        self.short = Some(short);
    }
}
