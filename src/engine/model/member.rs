//! How far a series that belongs to an entity of several is from itself: what [`Together`](super::together::Together) joins.
//!
//! Views of a value x: its distance from levels with gains 1/4, 1/16, 1/64 and 1/512 once the season is taken out, and from the band of its
//! hour. Each is set against the root mean square of all its past distances, plainly: not robust, not by sign, on the values as they come. A spike
//! is to stay as large as it is, for it is the entity's own history of joint surprises that says how rare it is.
//! z is damped to `z / √(1 + d z²/n)`, n values seen, as if d more distances of this size had been: the first move of what was constant must not
//! outrank everything (d is 30), that of what moves all the time may stand out (10).
//! Source: detection-quality.md, "Many metrics, one entity". Holds: judging changes nothing; z is finite and at least 0.

use super::alarm::{Alarm, Hold};
use super::evidence::BLOCK_BUCKETS;
use super::surprise::{SeasonView, counts};
use crate::config::Side;
use crate::time::{BucketSpan, EventTime};
use serde::{Deserialize, Serialize};

/// Views of one value.
pub const VIEWS: usize = 5;
const LEVEL_GAINS: [f64; 4] = [1.0 / 4.0, 1.0 / 16.0, 1.0 / 64.0, 1.0 / 512.0];
/// The last view: the distance from the seasonal band.
const SEASON: usize = 4;
/// Distances that a view needs before it speaks.
const SPEAKS_AFTER: u32 = 8;
/// Steps over which distances are forgotten: three weeks of minutes.
const MEMORY: f64 = 32_768.0;
/// Steps over which is followed what the season explains.
const SEASON_MEMORY: f64 = 4_096.0;
/// As if so many more distances like the present one had been seen, of a series that never moves and of one that always does.
const DAMPING_CONSTANT: f64 = 30.0;
const DAMPING_RESTLESS: f64 = 10.0;

/// What is large is damped the less the more values were seen, so that the largest distances of a past are more often of its later half than of its
/// earlier: in proportion to their age they are two thirds as old, on average, as what they are compared with.
const LATER: f64 = 1.5;

/// How far one value is from its series, view by view.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Deviation {
    /// z of each view that has seen enough to speak; at least 0.
    pub z: [Option<f32>; VIEWS],
    /// What it would be of a series of half as many values more ([`LATER`]).
    pub later: [Option<f32>; VIEWS],
    /// Whether the series has ever moved, this value included.
    pub moves: bool,
}

/// The levels of one series and how far it usually is from them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Member {
    steps: u32,
    season_steps: u32,
    levels: [f64; 4],
    /// The slowest level of the values as they come, season included.
    slow: f64,
    last: f64,
    /// How often a value differed from the last.
    moves: u32,
    squares: [f32; VIEWS],
    /// Mean squares of the distance from the hour of the day, and from the slow level.
    day_error: f32,
    slow_error: f32,
    /// What was said of its part in what the entity showed.
    alarm: Alarm,
}

impl Member {
    /// How far `x` is from the series so far.
    pub fn judge(&self, x: f64, season: &SeasonView, side: Side) -> Deviation {
        if self.steps == 0 {
            return Deviation::default();
        }
        let (distances, _) = self.distances(x, season);
        let restless = f64::from(self.moves) / f64::from(self.steps);
        let damping = DAMPING_CONSTANT + restless * (DAMPING_RESTLESS - DAMPING_CONSTANT);
        let (mut z, mut later) = ([None; VIEWS], [None; VIEWS]);
        for (view, distance) in distances.iter().enumerate() {
            let seen = self.seen(view);
            let Some(distance) = distance.filter(|_| seen >= SPEAKS_AFTER) else {
                continue;
            };
            let square = distance * distance;
            let is_none = square == 0.0 || !counts(side, distance);
            // z²/(1 + d z²/n), with z² = square/mean: no division by a mean of zero.
            let mean = f64::from(self.squares[view]);
            let damped = |values: f64| match is_none {
                true => 0.0,
                false => (square / (mean + damping * square / values)).sqrt() as f32,
            };
            z[view] = Some(damped(f64::from(seen)));
            later[view] = Some(damped(LATER * f64::from(seen)));
        }
        Deviation {
            z,
            later,
            moves: self.moves > 0 || x != self.last,
        }
    }

    /// What is said of so much evidence, its part in what the entity shows at `at`; `all_usual`: to their own forecasts the values of all its series are.
    pub fn said(&self, evidence: f64, all_usual: bool, at: EventTime, span: BucketSpan) -> f64 {
        let ln_tail = ln_tail(evidence, all_usual);
        self.alarm
            .said(evidence, ln_tail, at, Hold::of_entity(span))
    }

    /// Remembers what was said of it.
    pub fn learn_said(
        &mut self,
        (evidence, said): (f64, f64),
        all_usual: bool,
        at: EventTime,
        span: BucketSpan,
    ) {
        let (ln_tail, hold) = (ln_tail(evidence, all_usual), Hold::of_entity(span));
        self.alarm.learn(evidence, said, ln_tail, at, hold);
    }

    /// Learns a value.
    pub fn learn(&mut self, x: f64, season: &SeasonView) {
        if self.steps == 0 {
            (self.levels, self.slow, self.last) = ([x; 4], x, x);
            self.steps = 1;
            return;
        }
        let (distances, deseasoned) = self.distances(x, season);
        for (view, distance) in distances.iter().enumerate() {
            if let Some(distance) = distance {
                let gain = gain(self.seen(view), MEMORY);
                let square = (distance * distance).min(f64::from(f32::MAX)) as f32;
                self.squares[view] += gain as f32 * (square - self.squares[view]);
            }
        }
        if let Some(day) = season.day_mean {
            let gain = gain(self.season_steps, SEASON_MEMORY) as f32;
            let square = |error: f64| (error * error).min(f64::from(f32::MAX)) as f32;
            self.day_error += gain * (square(x - day) - self.day_error);
            self.slow_error += gain * (square(x - self.slow) - self.slow_error);
            self.season_steps = self.season_steps.saturating_add(1);
        }
        let plain = 1.0 / (f64::from(self.steps) + 1.0);
        for (level, least) in self.levels.iter_mut().zip(LEVEL_GAINS) {
            *level += plain.max(least) * (deseasoned - *level);
        }
        self.slow += plain.max(LEVEL_GAINS[3]) * (x - self.slow);
        self.moves += u32::from(x != self.last);
        self.last = x;
        self.steps = self.steps.saturating_add(1);
    }

    /// Distances that a view has learnt.
    fn seen(&self, view: usize) -> u32 {
        if view == SEASON {
            self.season_steps
        } else {
            self.steps - 1
        }
    }

    /// The distances of all views, and the value without its season.
    fn distances(&self, x: f64, season: &SeasonView) -> ([Option<f64>; VIEWS], f64) {
        let y = self.deseason(x, season);
        let [quick, medium, slow, slowest] = self.levels.map(|level| Some(y - level));
        let band = season.band.map(|band| band.distance(x));
        ([quick, medium, slow, slowest, band], y)
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
            Some(day) if weight > 0.0 => x - weight.sqrt() * (day.nearest(x) - self.slow),
            _ => x,
        }
    }
}

/// What keeps an alarm about an entity up, as ln p: the evidence, until the values of all its series are what their own forecasts call usual. Levels that have
/// followed a burst make strangers of the values before it for a while, all of an entity's at once; each of them by itself knows better.
fn ln_tail(evidence: f64, all_usual: bool) -> f64 {
    match all_usual {
        true => 0.0,
        false => ln_bucket(evidence),
    }
}

/// What evidence about a block says of one bucket of it, as ln p.
fn ln_bucket(evidence: f64) -> f64 {
    -evidence - f64::from(BLOCK_BUCKETS).ln()
}

/// The weight of one more value after so many, in a mean that forgets over `memory` of them.
fn gain(seen: u32, memory: f64) -> f64 {
    (1.0 / (f64::from(seen) + 1.0)).max(1.0 / memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::profile::Profile;

    fn judge(member: &Member, x: f64) -> Deviation {
        member.judge(x, &SeasonView::of(&Profile::default(), 0), Side::Both)
    }

    fn after(values: impl IntoIterator<Item = f64>) -> Member {
        let mut member = Member::default();
        let season = SeasonView::of(&Profile::default(), 0);
        values.into_iter().for_each(|x| member.learn(x, &season));
        member
    }

    #[test]
    fn the_first_move_of_a_constant_is_finite_and_grows_with_how_long_it_was_constant() {
        let first_move = |n: usize| judge(&after(vec![5.0; n]), 6.0).z[0].unwrap();
        assert!(after(vec![5.0; 100]).moves == 0);
        let (short, long) = (first_move(31), first_move(3_001));
        assert!((short - 1.0).abs() < 0.01, "z of √(30/30), not {short}");
        assert!((long - 10.0).abs() < 0.01, "z of √(3000/30), not {long}");
    }

    #[test]
    fn a_usual_value_is_about_one_and_views_are_silent_until_they_know_something() {
        let noise = |i: u32| f64::from((i * 7919) % 101);
        assert_eq!(judge(&after((0..8).map(noise)), 50.0).z, [None; VIEWS]);
        let member = after((0..2_000).map(noise));
        let mean_square: f32 = (2_000..2_101)
            .map(|i| judge(&member, noise(i)).z[2].unwrap().powi(2))
            .sum::<f32>()
            / 101.0;
        assert!((0.7..1.3).contains(&mean_square), "{mean_square}");
    }

    #[test]
    fn the_side_that_does_not_count_is_at_no_distance() {
        let member = after((0..100).map(|i| f64::from(i % 2)));
        let season = SeasonView::of(&Profile::default(), 0);
        let z = |x: f64, side| member.judge(x, &season, side).z[1].unwrap();
        assert!(z(9.0, Side::High) > 1.0 && z(-9.0, Side::Low) > 1.0);
        assert_eq!((z(9.0, Side::Low), z(-9.0, Side::High)), (0.0, 0.0));
    }

    #[test]
    fn values_of_any_size_stay_finite() {
        for size in [1e-300, 1e-30, 1e15, 1e30] {
            let member = after((0..50).map(|i| size * f64::from(i % 3)));
            let z = judge(&member, -size).z;
            assert!(
                z.iter().flatten().all(|z| z.is_finite() && *z >= 0.0),
                "{size}: {z:?}"
            );
        }
    }
}
