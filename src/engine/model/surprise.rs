//! How far a series is from itself: several views of one value, each a surprise in nats under one heavy-tailed prior.
//!
//! Views of a value x: its distance from two slow levels (1/64 and 1/512 a step) once the season is taken out, from the mean of all, and from
//! the seasonal band. A residual r is set against the root mean square of past residuals *of the same sign* in its view:
//! `s = 2.5 ln(1 + z²/4)`, a Student-t with 4 degrees of freedom (Lange, Little, Taylor 1989), and the plain mean over the views that
//! speak is calibrated once against the series' own past ([`Calibration`](super::calibration::Calibration)). A second channel looks at the best short-range predictor and at
//! exact repeats; a silence of a count is worth what its law says, beside those before it. Two copies run, on the bucket and on means of an hour. Source: detection-quality.md, "The design".
//! Values come on the scale of [`SymLog`](super::evidence::SymLog), on which a series that varies in proportion varies evenly, as distances from the first one: singles, whose
//! seven digits are those of how far the series has moved, whatever its size. Holds: judging changes nothing; evidence is finite and at least 0.

use super::Room;
use super::calibration::FixedCalibration;
use super::novelty::{Keys, Novelty, Step};
use super::profile::{Band, Profile};
use crate::config::Side;
use serde::{Deserialize, Serialize};

/// Residuals of one sign that a view needs before it speaks.
const SPEAKS_AFTER: u16 = 8;
/// Steps over which views forget.
const VIEW_MEMORY: u16 = 4000;
/// The least scale of a view, as a share of the mean absolute step.
const SCALE_FLOOR: f64 = 0.01;
/// z is cut here: beyond, nothing is told apart, and a constant's first move stays finite.
const Z_MAX: f64 = 1e6;
/// Nats for each exact repeat of a value that seldom repeats.
const REPEAT_NATS: f64 = 0.2;
/// A value that repeats more often than this gives less for a repeat: exp(-[`REPEAT_NATS`]).
const OFTEN: f64 = 0.818_730_753_077_981_8;
/// What silences are worth is known beforehand like so many of one nat each...
const PRIOR_SILENCES: f64 = 4.0;
/// ...and of those before, the last that many count.
const SILENCES_MEMORY: f32 = 64.0;
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
    /// Residuals, up to the view's memory.
    count: [u16; 2],
}

impl Scale {
    fn learn(&mut self, residual: f64) {
        if residual != 0.0 {
            let sign = usize::from(residual < 0.0);
            self.count[sign] = (self.count[sign] + 1).min(VIEW_MEMORY);
            let gain = 1.0 / f32::from(self.count[sign]);
            self.square[sign] +=
                gain * ((residual * residual).min(f64::from(f32::MAX)) as f32 - self.square[sign]);
        }
    }

    /// z²/4; `None` while the sign has been seen too seldom. `floor` is the least square of the scale.
    fn quarter_square(&self, residual: f64, floor: f64, side: Side) -> Option<f64> {
        if residual == 0.0 || !counts(side, residual) {
            let seen = self.count[0] + self.count[1];
            return (seen >= SPEAKS_AFTER).then_some(0.0);
        }
        let sign = usize::from(residual < 0.0);
        (self.count[sign] >= SPEAKS_AFTER).then(|| {
            let square = f64::from(self.square[sign])
                .max(floor)
                .max(f64::MIN_POSITIVE);
            (0.25 * residual * residual / square).min(Z_MAX * Z_MAX / 4.0)
        })
    }
}

/// Moves a mean size towards one more.
fn follow_size(size: &mut f32, x: f64, gain: f64) {
    let x = x.min(f64::from(f32::MAX));
    *size += (gain * (x - f64::from(*size))) as f32;
}

/// Moves a level towards a value.
fn follow(level: &mut f32, x: f64, gain: f64) {
    let known = f64::from(*level);
    *level = (known + gain * (x - known)) as f32;
}

/// What the season explains, shared by the two copies of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
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
        let day = profile.day_band(hour);
        SeasonView {
            band: profile.week_band(hour).or(day),
            day,
            day_mean: profile.day_slot(hour),
        }
    }
}

/// One copy of the detector: on buckets, or on means of an hour.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Views {
    steps: u32,
    fast: f32,
    slow: f32,
    mean: f32,
    raw_slow: f32,
    last: f32,
    step_mean: f32,
    day_error: f32,
    slow_error: f32,
    scales: [Scale; 4],
    novelty: Novelty,
    slow_channel: FixedCalibration,
}

/// The short-range channel: the best of several predictors, and exact repeats. Of the copy on buckets only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShortRange {
    quick: f32,
    errors: [f32; 6],
    repeats: u32,
    repeated: u32,
    /// Of a run of nothing, what its repeats tell by their law, nats; infinite where no law speaks of what repeats.
    repeat_nats: f32,
    /// How many of those are over, older ones counting for less, and what they told together.
    silences: f32,
    silent_nats: f32,
    /// Of the predictors that the slow channel has not: the last value, a quick level, the seasonal band.
    scales: [Scale; 3],
    calibration: FixedCalibration,
}

impl ShortRange {
    /// What a silence of so many nats by its law is worth beside those before it, nats. Where events come one by one, a silence goes on for one nat on average, and more are as
    /// rare as they say. Where they stop and go, silences have told more: an exponential variable of unknown mean, as in [`calibration`](super::calibration).
    fn of_silence(&self, told: f64) -> f64 {
        let count = f64::from(self.silences) + PRIOR_SILENCES;
        let shown = f64::from(self.silent_nats) + PRIOR_SILENCES;
        told.min(count * (told / shown).ln_1p())
    }

    /// Takes in a value that repeats the last, or ends its run.
    fn learn_repeat(&mut self, repeats: bool, nats: f64) {
        if repeats {
            self.repeats = self.repeats.saturating_add(1);
            self.repeated = self.repeated.saturating_add(1);
            self.repeat_nats += nats as f32;
            return;
        }
        if self.repeat_nats.is_finite() {
            let kept = 1.0 - 1.0 / SILENCES_MEMORY;
            self.silences = kept * self.silences + 1.0;
            self.silent_nats = kept * self.silent_nats + self.repeat_nats;
        }
        self.repeats = 0;
        self.repeat_nats = if nats.is_finite() { 0.0 } else { f32::INFINITY };
    }
}

/// What one copy says of a value: nats, and a share.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Surprise {
    /// Evidence of the slow views, after calibration.
    pub slow: f64,
    /// Evidence of the short-range channel less its handicap; `-3` at the least.
    pub short: f64,
    /// Whether what the short-range channel tells of is a run of one value, which is over with it.
    pub of_run: bool,
    /// Share of the value's cells never seen, 0..=1; `None` while too few values are known.
    pub novelty: Option<f64>,
    /// The plain mean of the views' surprises; `None` while none has seen enough to speak. Learning the value asks for it again.
    pooled: Option<f64>,
    /// The short-range channel's surprise likewise.
    moved: Option<f64>,
    /// Where the value belongs in the memory of values.
    keys: Option<Keys>,
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
    /// Values seen.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// Judges a value without learning it, with the second channel where there is one and what one more repeat can tell, nats.
    pub fn judge(
        &self,
        x: f32,
        season: &SeasonView,
        side: Side,
        short: Option<(&ShortRange, f64)>,
    ) -> Surprise {
        if self.steps == 0 {
            return Surprise {
                short: -SHORT_RANGE_HANDICAP,
                ..Surprise::default()
            };
        }
        let residuals = self.residuals(x.into(), season);
        let (pooled, told, keys) = self.look(x, &residuals, side, short);
        let moved = told.map(|(nats, _)| nats);
        let novelty = self.novelty.share(&self.step(x), keys.as_ref());
        Surprise {
            slow: pooled.map_or(0.0, |c| self.slow_channel.evidence(c)),
            short: short
                .zip(moved)
                .map_or(0.0, |((short, _), c)| short.calibration.evidence(c))
                - SHORT_RANGE_HANDICAP,
            of_run: told.is_some_and(|(_, of_run)| of_run),
            novelty: novelty.map(|share| {
                if counts(side, f64::from(x) - f64::from(self.slow)) {
                    share
                } else {
                    0.0
                }
            }),
            pooled,
            moved,
            keys,
        }
    }

    /// What judging and learning a value both need: what the slow and the short-range views say, and its cells.
    fn look(
        &self,
        x: f32,
        residuals: &Residuals,
        side: Side,
        short: Option<(&ShortRange, f64)>,
    ) -> (Option<f64>, Option<(f64, bool)>, Option<Keys>) {
        (
            self.pool(residuals, side),
            short.and_then(|short| self.short_surprise(short, x, residuals, side)),
            self.novelty.keys(&self.step(x)),
        )
    }

    /// By how much a value is beside the last.
    pub fn step_to(&self, x: f32) -> f64 {
        f64::from(x) - f64::from(self.last)
    }

    fn step(&self, x: f32) -> Step {
        Step {
            values: self.steps,
            last: if self.steps == 0 { x } else { self.last },
            x,
        }
    }

    /// Learns a value; `block_steps` values make a block of the calibration. `judged` is what [`judge`](Self::judge) has just said of this very value,
    /// if it was asked.
    pub fn learn(
        &mut self,
        x: f32,
        season: &SeasonView,
        side: Side,
        block_steps: u32,
        judged: Option<&Surprise>,
        short: Option<(&mut ShortRange, f64)>,
    ) {
        let step = self.step(x);
        if self.steps == 0 {
            (self.fast, self.slow, self.mean, self.raw_slow, self.last) = (x, x, x, x, x);
            if let Some((short, _)) = short {
                short.quick = x;
            }
            self.novelty.learn(&step, None);
        } else {
            let residuals = self.residuals(x.into(), season);
            let (pooled, moved, keys) = match judged {
                Some(surprise) => (surprise.pooled, surprise.moved, surprise.keys),
                None => {
                    let short = short.as_ref().map(|(short, nats)| (&**short, *nats));
                    let (pooled, told, keys) = self.look(x, &residuals, side, short);
                    (pooled, told.map(|(nats, _)| nats), keys)
                }
            };
            // Fixed places ask for no room.
            let room = &mut Room::of(0);
            if let Some(c) = pooled {
                self.slow_channel.learn(c, block_steps, room);
            }
            if let Some((short, repeat_nats)) = short {
                if let Some(moved) = moved {
                    short.calibration.learn(moved, block_steps, room);
                }
                self.learn_short(short, x, &residuals, repeat_nats);
            }
            for (scale, residual) in self.scales.iter_mut().zip(residuals.views) {
                scale.learn(residual.unwrap_or(0.0));
            }
            self.learn_levels(x, &residuals, season);
            self.novelty.learn(&step, keys.as_ref());
        }
        self.steps = self.steps.saturating_add(1);
    }

    /// The last value.
    pub fn last(&self) -> f32 {
        self.last
    }

    /// How far `x` is on the way from what is usual at its time to where the last value was at its own: 0 of a usual one, 1 of one as far out as the last, likewise in all views.
    pub fn on_the_way_to_last(&self, x: f32, season: &SeasonView, then: &SeasonView) -> f64 {
        let own = self.residuals(x.into(), season).views;
        let last = self.residuals(self.last.into(), then).views;
        let (mut along, mut square) = (0.0, 0.0);
        for (own, last) in own.into_iter().zip(last) {
            if let (Some(own), Some(last)) = (own, last) {
                along += own * last;
                square += last * last;
            }
        }
        if square > 0.0 { along / square } else { 1.0 }
    }

    fn learn_levels(&mut self, value: f32, residuals: &Residuals, season: &SeasonView) {
        let x = f64::from(value);
        let memory = 1.0 / f64::from(VIEW_MEMORY);
        let plain = 1.0 / (f64::from(self.steps) + 1.0);
        if let Some(day) = season.day_mean {
            let gain = plain.max(memory);
            follow_size(&mut self.day_error, (x - day).powi(2), gain);
            let error = x - f64::from(self.raw_slow);
            follow_size(&mut self.slow_error, error.powi(2), gain);
        }
        let moved = (x - f64::from(self.last)).abs();
        let gain = self.step_gain();
        follow_size(&mut self.step_mean, moved, gain);
        follow(&mut self.fast, residuals.deseasoned, plain.max(1.0 / 64.0));
        let gain = plain.max(1.0 / 512.0);
        follow(&mut self.slow, residuals.deseasoned, gain);
        follow(&mut self.raw_slow, x, gain);
        follow(&mut self.mean, x, plain);
        self.last = value;
    }

    /// The weight of one more step between values.
    fn step_gain(&self) -> f64 {
        (1.0 / f64::from(self.steps)).max(1.0 / f64::from(VIEW_MEMORY))
    }

    /// The value without the season, as far as the season explains it.
    fn deseason(&self, x: f64, season: &SeasonView) -> f64 {
        let explained = if self.slow_error > 0.0 {
            1.0 - f64::from(self.day_error) / f64::from(self.slow_error)
        } else {
            0.0
        };
        let weight = ((explained - 0.2) / 0.8).max(0.0);
        match season.day {
            Some(day) if weight > 0.0 => {
                x - weight.sqrt() * (day.nearest(x) - f64::from(self.raw_slow))
            }
            _ => x,
        }
    }

    fn residuals(&self, x: f64, season: &SeasonView) -> Residuals {
        let y = self.deseason(x, season);
        let views = [
            Some(y - f64::from(self.fast)),
            Some(y - f64::from(self.slow)),
            Some(x - f64::from(self.mean)),
            season.band.map(|band| band.distance(x)),
        ];
        Residuals {
            views,
            deseasoned: y,
        }
    }

    /// The least mean square of a scale.
    fn floor(&self) -> f64 {
        (SCALE_FLOOR * f64::from(self.step_mean)).powi(2)
    }

    /// The mean of the surprises `2.5 ln(1 + z²/4)`, by the log of one product.
    fn pool(&self, residuals: &Residuals, side: Side) -> Option<f64> {
        let (mut product, mut speaking) = (1.0, 0u32);
        for (scale, residual) in self.scales.iter().zip(residuals.views) {
            let square = residual.and_then(|r| scale.quarter_square(r, self.floor(), side));
            if let Some(square) = square {
                product *= 1.0 + square;
                speaking += 1;
            }
        }
        (speaking > 0).then(|| 2.5 * product.ln() / f64::from(speaking))
    }

    /// What each short-range predictor has left: the last value, a quick level, and the slow channel's views.
    fn short_residuals(&self, short: &ShortRange, x: f32, residuals: &Residuals) -> [f64; 6] {
        let from = |level: f32| f64::from(x) - f64::from(level);
        let moved = from(self.last);
        let [fast, slow, mean, season] = residuals.views.map(|view| view.unwrap_or(moved));
        [moved, from(short.quick), fast, slow, mean, season]
    }

    /// The short-range channel's surprise, and whether it is that of a run of one value.
    fn short_surprise(
        &self,
        (short, repeat_nats): (&ShortRange, f64),
        x: f32,
        residuals: &Residuals,
        side: Side,
    ) -> Option<(f64, bool)> {
        let candidates = self.short_residuals(short, x, residuals);
        let best = (1..6).fold(0, |best, at| {
            if short.errors[at] < short.errors[best] {
                at
            } else {
                best
            }
        });
        let scale = match best {
            0 | 1 => &short.scales[best],
            5 => &short.scales[2],
            _ => &self.scales[best - 2],
        };
        let moved = scale
            .quarter_square(candidates[best], self.floor(), side)
            .map(|square| 2.5 * square.ln_1p());
        // A silence is worth what its law says, and is a dip; what else comes again may be told apart from usual values by nothing but that.
        let told = f64::from(short.repeat_nats) + repeat_nats;
        let by_law = told.is_finite();
        let may_tell = side == Side::Both || side == Side::Low && by_law;
        let flat = (may_tell && x == self.last).then(|| {
            if by_law {
                return short.of_silence(told);
            }
            let share = f64::from(short.repeated.saturating_add(1)) / (f64::from(self.steps) + 2.0);
            let each = if share < OFTEN {
                REPEAT_NATS
            } else {
                -share.ln()
            };
            f64::from(short.repeats.saturating_add(1)) * each
        });
        match (moved, flat) {
            (Some(moved), Some(flat)) if moved > flat => Some((moved, false)),
            (_, Some(flat)) => Some((flat, true)),
            (moved, None) => moved.map(|moved| (moved, false)),
        }
    }

    fn learn_short(&self, short: &mut ShortRange, x: f32, residuals: &Residuals, repeat_nats: f64) {
        let candidates = self.short_residuals(short, x, residuals);
        let gain = self.step_gain();
        for (error, residual) in short.errors.iter_mut().zip(candidates) {
            follow_size(error, residual * residual, gain);
        }
        for (scale, at) in short.scales.iter_mut().zip([0, 1, 5]) {
            scale.learn(candidates[at]);
        }
        short.learn_repeat(x == self.last, repeat_nats);
        let plain = 1.0 / (f64::from(self.steps) + 1.0);
        follow(&mut short.quick, x.into(), plain.max(0.25));
    }
}
