//! Buckets of the day at which a series regularly does something else than its hour says: a job of five minutes at night, a report on Mondays.
//!
//! What was far out at some bucket of the day is remembered, [`PULSES`] of them at a time, with the weekdays that it came on. Each time that it comes where it was
//! expected, about as far out, speaks for it by as much as that is rare at other times, and each time that it stays away against it; from [`BELIEF`] nats on it is
//! believed (a sequential likelihood ratio: Wald 1945): part of the forecast, and no longer of the hour's mean or of any level. So where one bucket in three is
//! far out none ever is. A weekday not seen yet is expected to do as most of those that were. How much pulses differ in size is remembered too, as if the first
//! one had been off by a quarter.
//! Units: differences from the forecast without pulses. Holds: finite; a fixed size; judging changes nothing. Checked by: tests below, `cargo bench --bench streams`.

use super::profile::HOUR_MS;
use crate::time::{BucketSpan, EventTime};
use serde::{Deserialize, Serialize};

const PULSES: usize = 8;
const DAY_MS: i64 = 86_400_000;
/// Places in a day are so far apart: two bytes hold them.
const PLACE_MS: i64 = 2_000;
const PLACES: i64 = DAY_MS / PLACE_MS;
/// A value is far out beyond so many usual errors; what comes again is so beyond half as many.
const FAR: f64 = 6.0;
/// It came again when it is no more than this share of its excess away from it.
const AGAIN: f64 = 0.5;
/// A pulse is believed from so many nats on, and never has more than twice as many.
const BELIEF: f32 = 8.0;
/// A pulse that there is comes so often.
const COMES: f64 = 0.9;
/// Nothing is known to be rarer than this; buckets over which it is forgotten how rare it is.
const RARE: f64 = 1e-3;
const MEMORY: f32 = 4000.0;
/// The least weight of one more visit.
const VISIT_GAIN: f64 = 0.2;
/// What pulses differ by before it is known, as a share of their excess.
const OFF_AT_FIRST: f64 = 0.25;

/// One bucket of the day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Pulse {
    /// Where it begins, in [`PLACE_MS`] of the day.
    place: u16,
    /// Weekdays that were seen, that it came on, and that it was last missed on, a bit each.
    seen: u8,
    came: u8,
    missed: u8,
    /// 0 where there is no pulse.
    visits: u8,
    /// Nats.
    credit: f32,
    /// Beyond the forecast, on average; and the mean square of what it was off by.
    excess: f32,
    square: f32,
}

/// The pulses of a series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pulses {
    pulses: [Pulse; PULSES],
    /// The share of buckets without a pulse that are as far out as one that comes again, and how many were seen.
    far: f32,
    seen: u16,
}

/// A pulse that is expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Due {
    /// Beyond the forecast.
    pub excess: f64,
    /// The mean square of what pulses were off by.
    pub square: f64,
}

impl Due {
    /// What both add, or either.
    pub(super) fn both(one: Option<Due>, other: Option<Due>) -> Option<Due> {
        match (one, other) {
            (Some(one), Some(other)) => Some(Due {
                excess: one.excess + other.excess,
                square: one.square + other.square,
            }),
            (one, other) => one.or(other),
        }
    }

    /// Whether it may as well not come: it is as uncertain as half of itself.
    pub(super) fn is_in_doubt(&self) -> bool {
        4.0 * self.square >= self.excess * self.excess
    }

    /// Whether a value is nearer to what is expected with it than to what would be without.
    pub(super) fn came(&self, x: f64, typical: f64) -> bool {
        (x - typical).abs() < (x - typical + self.excess).abs()
    }
}

impl Pulses {
    /// Of a series that has had so many values, none of them far out.
    pub fn after(values: u32) -> Pulses {
        Pulses {
            seen: values.try_into().unwrap_or(u16::MAX),
            ..Pulses::default()
        }
    }

    /// Whether buckets of this span have pulses: an hour has a slot of its own.
    pub fn are_for(span: BucketSpan) -> bool {
        (PLACE_MS..HOUR_MS).contains(&span.millis())
    }

    /// Whether a value so far from the forecast may be one that was never seen, and whether it may be one that was: of errors of this mean square.
    pub fn is_far(rest: f64, usual_square: f64) -> [bool; 2] {
        let square = FAR * FAR * usual_square;
        [1.0, 0.25].map(|part| square > 0.0 && rest * rest > part * square)
    }

    /// Whether any is believed.
    pub fn any(&self) -> bool {
        self.pulses.iter().any(|pulse| pulse.is_believed())
    }

    /// What is expected at `at` beyond what the hour says.
    pub fn due(&self, at: EventTime, span: BucketSpan) -> Option<Due> {
        let (place, day) = place(at, span);
        let is_due =
            |pulse: &&Pulse| pulse.place == place && pulse.is_believed() && pulse.is_expected(day);
        self.pulses.iter().find(is_due).map(|pulse| Due {
            excess: pulse.excess.into(),
            square: pulse.square.into(),
        })
    }

    /// Takes what the forecast without pulses left of a value, and whether that is far out. True when one is believed that was not.
    pub fn learn(
        &mut self,
        at: EventTime,
        span: BucketSpan,
        rest: f64,
        [is_new, is_again]: [bool; 2],
    ) -> bool {
        let (place, day) = place(at, span);
        let rest = rest.clamp(-1e18, 1e18);
        let of_place = |pulse: &&mut Pulse| pulse.visits > 0 && pulse.place == place;
        if let Some(pulse) = self.pulses.iter_mut().find(of_place) {
            return pulse.learn(day, rest, is_again.then_some(self.far));
        }
        self.seen = self.seen.saturating_add(1);
        let gain = (1.0 / f32::from(self.seen)).max(1.0 / MEMORY);
        self.far += gain * (f32::from(u8::from(is_again)) - self.far);
        if is_new {
            self.begin(place, day, rest);
        }
        false
    }

    /// In the place of the one that has shown least: never of one that is believed.
    fn begin(&mut self, place: u16, day: u8, rest: f64) {
        let is_taken = |pulse: &Pulse| pulse.visits > 0;
        let days_seen = |pulse: &Pulse| pulse.seen.count_ones();
        let least = self.pulses.iter_mut().min_by(|a, b| {
            let by_place = is_taken(a).cmp(&is_taken(b));
            let by_credit = by_place.then(a.credit.total_cmp(&b.credit));
            by_credit.then(days_seen(b).cmp(&days_seen(a)))
        });
        if let Some(pulse) = least.filter(|pulse| !pulse.is_believed()) {
            *pulse = Pulse {
                place,
                seen: day,
                came: day,
                missed: 0,
                visits: 1,
                credit: 0.0,
                excess: rest as f32,
                square: (OFF_AT_FIRST * rest).powi(2) as f32,
            };
        }
    }

    /// All that a series does is so many times as large.
    pub fn scale(&mut self, factor: f64) {
        for pulse in &mut self.pulses {
            pulse.excess *= factor as f32;
            pulse.square *= (factor * factor) as f32;
        }
    }

    /// Days begin so many hours later from now on: what passes midnight is the next day's.
    pub fn turn(&mut self, hours: i8) {
        for pulse in self.pulses.iter_mut().filter(|pulse| pulse.visits > 0) {
            let place = i64::from(pulse.place) + i64::from(hours) * (HOUR_MS / PLACE_MS);
            pulse.place = place.rem_euclid(PLACES) as u16;
            let days = place.div_euclid(PLACES).rem_euclid(7) as u32;
            let later = |bits: u8| (bits << days | bits >> (7 - days)) & 0x7F;
            (pulse.seen, pulse.came) = (later(pulse.seen), later(pulse.came));
            pulse.missed = later(pulse.missed);
        }
    }
}

impl Pulse {
    fn is_believed(&self) -> bool {
        self.credit >= BELIEF
    }

    fn is_expected(&self, day: u8) -> bool {
        if self.seen & day != 0 {
            self.came & day != 0
        } else {
            2 * self.came.count_ones() > self.seen.count_ones()
        }
    }

    /// `by_chance`: how often anything is so far out, if it is.
    fn learn(&mut self, day: u8, rest: f64, by_chance: Option<f32>) -> bool {
        let (believed, excess) = (self.is_believed(), f64::from(self.excess));
        let off = rest - excess;
        let (is_expected, is_known) = (self.is_expected(day), self.seen & day != 0);
        self.seen |= day;
        if let Some(far) = by_chance.filter(|_| off.abs() < AGAIN * excess.abs()) {
            if is_expected {
                let told = (COMES / f64::from(far).max(RARE)).ln() as f32;
                self.credit = (self.credit + told).min(2.0 * BELIEF);
            }
            (self.came, self.missed) = (self.came | day, self.missed & !day);
            self.visits = self.visits.saturating_add(1);
            let gain = (1.0 / f64::from(self.visits)).max(VISIT_GAIN);
            self.excess += (gain * off) as f32;
            self.square += (gain * (off * off - f64::from(self.square))) as f32;
        } else {
            if is_expected && is_known {
                self.credit += (1.0 - COMES).ln() as f32;
            }
            // One that is believed may fail to come once.
            if self.missed & day != 0 || !believed {
                (self.came, self.missed) = (self.came & !day, self.missed & !day);
            } else if self.came & day != 0 {
                self.missed |= day;
            }
            if self.came == 0 {
                *self = Pulse::default();
            }
        }
        !believed && self.is_believed()
    }
}

/// Where the bucket begins in its day, and a bit for the weekday.
fn place(at: EventTime, span: BucketSpan) -> (u16, u8) {
    let begins = at.millis().div_euclid(span.millis()) * span.millis();
    let (day, within) = (begins.div_euclid(DAY_MS), begins.rem_euclid(DAY_MS));
    ((within / PLACE_MS) as u16, 1 << day.rem_euclid(7))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE_MINUTES_MS: i64 = 300_000;

    fn span() -> BucketSpan {
        BucketSpan::from_seconds(300).expect("a span")
    }

    fn at(day: i64, bucket: i64) -> EventTime {
        EventTime(day * DAY_MS + bucket * FIVE_MINUTES_MS + FIVE_MINUTES_MS / 2)
    }

    /// Pulses that have seen so many days of what is left of values by day and bucket.
    fn after(days: i64, rest: impl Fn(i64, i64) -> f64) -> Pulses {
        let mut pulses = Pulses::default();
        for day in 0..days {
            for bucket in 0..288 {
                let rest = rest(day, bucket);
                pulses.learn(at(day, bucket), span(), rest, Pulses::is_far(rest, 1.0));
            }
        }
        pulses
    }

    fn excess(pulses: &Pulses, day: i64, bucket: i64) -> f64 {
        pulses
            .due(at(day, bucket), span())
            .map_or(0.0, |due| due.excess)
    }

    /// Without a pattern, 0..1.
    fn unit(step: i64) -> f64 {
        let mut z = (step as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as f64 / 2f64.powi(64)
    }

    #[test]
    fn a_daily_job_is_expected_from_the_fourth_day_on_and_at_no_other_minute() {
        let job = |_, bucket| if bucket == 40 { 30.0 } else { 0.0 };
        assert!(!after(2, job).any());
        let known = after(3, job);
        assert_eq!(excess(&known, 3, 40), 30.0);
        assert_eq!(excess(&known, 3, 39) + excess(&known, 3, 41), 0.0);
    }

    #[test]
    fn what_comes_on_one_weekday_or_on_all_but_two_is_expected_on_those() {
        let weekly = after(24, |day, bucket| match (day % 7, bucket) {
            (2, 100) => -9.0,
            _ => 0.0,
        });
        let expected: Vec<i64> = (28..35)
            .filter(|&day| excess(&weekly, day, 100) != 0.0)
            .collect();
        assert_eq!(expected, [30]);
        let worked = after(21, |day, bucket| match (day % 7, bucket) {
            (0..5, 100) => 50.0,
            _ => 0.0,
        });
        let expected = (21..28)
            .filter(|&day| excess(&worked, day, 100) != 0.0)
            .count();
        assert_eq!(expected, 5);
    }

    #[test]
    fn a_job_that_fails_once_is_expected_again_and_one_that_was_abolished_is_forgotten() {
        let once = after(20, |day, bucket| match (day, bucket) {
            (15, _) => 0.0,
            (_, 40) => 30.0,
            _ => 0.0,
        });
        assert_eq!(excess(&once, 22, 40), 30.0);
        let over = after(40, |day, bucket| match (day, bucket) {
            (0..20, 40) => 30.0,
            _ => 0.0,
        });
        assert!(!over.any());
    }

    #[test]
    fn outliers_at_any_time_are_no_pulses() {
        let mut believed = 0;
        for day in 1..60 {
            let pulses = after(day, |day, bucket| match unit(day * 288 + bucket) {
                far if far < 0.02 => 500.0 * far + 7.0,
                _ => 0.0,
            });
            believed += usize::from(pulses.any());
        }
        assert!(believed <= 2, "{believed} of 59 days");
    }

    #[test]
    fn pulses_turn_with_the_day_and_grow_with_the_series() {
        let mut pulses = after(10, |_, bucket| if bucket == 280 { 30.0 } else { 0.0 });
        pulses.turn(1);
        pulses.scale(2.0);
        assert_eq!(
            (excess(&pulses, 20, 4), excess(&pulses, 20, 280)),
            (60.0, 0.0)
        );
        pulses.turn(-1);
        assert_eq!(excess(&pulses, 20, 280), 60.0);
    }
}
