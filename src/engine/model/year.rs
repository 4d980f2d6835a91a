//! What a series does over the year: a slow wave, known by how its half-months differ.
//!
//! A series whose level has moved from where it began, by more than single values vary, keeps the means of [`SLOTS`] half-months of the year, each less the level that the year has had so far, newer years by
//! at least a third. Once a half-month comes for the second time, what it was against the one [`AHEAD`] before is foretold in two ways: by what lay between the same two a year ago, and by the mean change so far.
//! The wave is believed when it did better, prequentially (Dawid 1984; normal errors, of overlapping spans each a share of a nat), by [`BELIEF`] nats (Page 1954), and is let go at 0. So it takes a year and
//! some months; forecasts ([`ahead`](super::ahead)) are then carried along it.
//! Units: values; hours since the epoch; a year is 365.2425 days, so that half-months are the calendar's to a day. Holds: finite; one size. Checked by: tests below, tests/dates.rs.

use serde::{Deserialize, Serialize};

const SLOTS: usize = 24;
const YEAR_HOURS: f64 = 365.2425 * 24.0;
const SLOT_HOURS: f64 = YEAR_HOURS / SLOTS as f64;
/// Half-months over which a change is foretold.
const AHEAD: usize = 3;
/// The least weight of another year, and of another half-month in the level and in what is known of errors.
const YEAR_GAIN: f32 = 1.0 / 3.0;
const LEVEL_GAIN: f64 = 0.25;
const ERROR_GAIN: f64 = 1.0 / 12.0;
/// What it takes to believe in it, nats; it never has more than twice as many.
const BELIEF: f64 = 6.0;
/// One half-month tells no more than this, either way, before it is shared by those that it overlaps with.
const TELLS_MOST: f64 = 2.0;
/// A half-month is known by so many hours at least, as a share.
const KNOWN_SHARE: f64 = 0.5;

/// The wave of a series over the year.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct YearWave {
    /// Where values begin; means are less this.
    base: f64,
    /// Of the half-month that goes on: its number since the epoch, sum and hours.
    now: i32,
    hours: u16,
    sum: f64,
    /// The half-months before, the last one first; those that were not known are not a number's place: see `recent_known`.
    recent: [f32; AHEAD],
    recent_known: u8,
    /// What is known of the year, and in how many years each half-month was seen.
    slots: [f32; SLOTS],
    visits: [u8; SLOTS],
    /// The present year above the others.
    level: f64,
    /// Mean change over [`AHEAD`] half-months, and after how many.
    change: f64,
    changes: u8,
    /// Mean squares of what either foretold.
    plain: f64,
    waved: f64,
    tries: u8,
    credit: f32,
    told: bool,
}

fn number_of(hours: f64) -> f64 {
    (hours / SLOT_HOURS).floor()
}

fn slot_of(number: i64) -> usize {
    number.rem_euclid(SLOTS as i64) as usize
}

impl YearWave {
    /// Of a series that has gone from `base` to so much more in the time from the first hour to now, as by a straight line.
    pub(super) fn new(base: f64, first: i64, now: i64, moved: f64) -> YearWave {
        let [begun, number] = [first, now].map(|hour| number_of(hour as f64) as i64);
        let mut wave = YearWave {
            base,
            now: number as i32,
            ..YearWave::default()
        };
        let lived = (now - first).max(1) as f64;
        for number in begun.max(number - SLOTS as i64 + 1)..number {
            let middle = (number as f64 + 0.5) * SLOT_HOURS - first as f64;
            let mean = moved * (middle / lived).clamp(0.0, 1.0);
            wave.close(number, mean);
        }
        wave
    }

    /// Takes the mean of so many hours. Whether the wave has come to be believed, or has ceased to.
    pub(super) fn learn(&mut self, hour: i64, mean: f64, hours: f64) -> Option<bool> {
        let number = number_of(hour as f64) as i64;
        let mut turn = None;
        if number != i64::from(self.now) {
            let told = self.told;
            let (before, skipped) = (i64::from(self.now), number - i64::from(self.now) - 1);
            if f64::from(self.hours) >= KNOWN_SHARE * SLOT_HOURS {
                self.close(before, self.sum / f64::from(self.hours));
            } else {
                self.push(None);
            }
            (0..skipped.clamp(0, AHEAD as i64)).for_each(|_| self.push(None));
            (self.now, self.hours, self.sum) = (number as i32, 0, 0.0);
            turn = (told != self.told).then_some(self.told);
        }
        self.sum += hours * (mean - self.base);
        self.hours = self.hours.saturating_add(hours as u16);
        turn
    }

    fn push(&mut self, mean: Option<f64>) {
        self.recent.rotate_right(1);
        self.recent[0] = mean.unwrap_or(0.0) as f32;
        self.recent_known =
            (self.recent_known << 1 | u8::from(mean.is_some())) & ((1 << AHEAD) - 1);
    }

    /// A half-month is over.
    fn close(&mut self, number: i64, mean: f64) {
        let (slot, from) = (slot_of(number), slot_of(number - AHEAD as i64));
        let before = self.recent_known & (1 << (AHEAD - 1)) != 0;
        if before {
            let change = mean - f64::from(self.recent[AHEAD - 1]);
            if self.visits[slot] > 0 && self.visits[from] > 0 {
                let a_year_ago = f64::from(self.slots[slot]) - f64::from(self.slots[from]);
                self.compare(change - self.change, change - a_year_ago);
            }
            self.changes = self.changes.saturating_add(1).min(SLOTS as u8);
            self.change += (change - self.change) / f64::from(self.changes);
        }
        if self.visits[slot] > 0 {
            let rest = mean - self.level - f64::from(self.slots[slot]);
            let gain = (1.0 / (f32::from(self.visits[slot]) + 1.0)).max(YEAR_GAIN);
            self.slots[slot] += gain * rest as f32;
            self.level += LEVEL_GAIN * rest;
        } else {
            self.slots[slot] = (mean - self.level) as f32;
        }
        self.visits[slot] = self.visits[slot].saturating_add(1);
        self.push(Some(mean));
    }

    fn compare(&mut self, plain: f64, waved: f64) {
        // What few errors say of their size is uncertain: as if the wave had been once as far off as the change is.
        let tries = f64::from(self.tries);
        let doubted = (self.waved * tries + self.plain) / (tries + 1.0);
        if self.plain > 0.0 && doubted > 0.0 {
            let log_likelihood =
                |error: f64, square: f64| -0.5 * (square.ln() + error * error / square);
            let told = log_likelihood(waved, doubted) - log_likelihood(plain, self.plain);
            let told = told.clamp(-TELLS_MOST, TELLS_MOST) / AHEAD as f64;
            self.credit = (f64::from(self.credit) + told).clamp(0.0, 2.0 * BELIEF) as f32;
        }
        self.tries = self.tries.saturating_add(1);
        let gain = (1.0 / f64::from(self.tries)).max(ERROR_GAIN);
        self.plain += gain * (plain * plain - self.plain);
        self.waved += gain * (waved * waved - self.waved);
        self.told = f64::from(self.credit) > if self.told { 0.0 } else { BELIEF };
    }

    /// By how much the wave goes up between two times, where it is believed; hours since the epoch.
    pub(super) fn between(&self, from: f64, to: f64) -> f64 {
        if self.told {
            self.at(to) - self.at(from)
        } else {
            0.0
        }
    }

    /// Mean square of what it is off by after so many hours.
    pub(super) fn square(&self, hours: f64) -> f64 {
        match self.told {
            true => self.waved * (hours / (SLOT_HOURS * AHEAD as f64)).min(1.0),
            false => 0.0,
        }
    }

    /// Between the middles of half-months by straight lines; what is not known is as the last that is.
    fn at(&self, hours: f64) -> f64 {
        let place = hours / SLOT_HOURS - 0.5;
        let (before, share) = (place.floor(), place - place.floor());
        let known = |number: i64| {
            let mut back = (0..SLOTS as i64).map(|back| slot_of(number - back));
            let slot = back.find(|&slot| self.visits[slot] > 0);
            slot.map_or(0.0, |slot| f64::from(self.slots[slot]))
        };
        let [one, other] = [before as i64, before as i64 + 1].map(known);
        one + share * (other - one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without a pattern, within half of 0.
    fn noise(step: i64) -> f64 {
        let mut z = (step as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as f64 / 2f64.powi(64) - 0.5
    }

    fn wave(day: i64) -> f64 {
        (std::f64::consts::TAU * day as f64 / 365.2425).sin()
    }

    /// The first day on which it is believed.
    fn believed(days: i64, value: impl Fn(i64) -> f64) -> (Option<i64>, YearWave) {
        let mut year = YearWave::new(value(0), 0, 1, 0.0);
        let mut first = None;
        for day in 0..days {
            if year.learn(24 * day + 12, value(day), 24.0) == Some(true) {
                first = first.or(Some(day));
            }
        }
        (first, year)
    }

    #[test]
    fn a_wave_is_believed_in_its_second_year_and_carries_on() {
        let (first, year) = believed(1000, |day| 500.0 + 30.0 * wave(day) + 20.0 * noise(day));
        assert!(first.is_some_and(|day| day < 730), "{first:?}");
        for ahead in [30, 90, 180] {
            let (from, to) = (1000.0, 1000.0 + f64::from(ahead));
            let rise = year.between(24.0 * from, 24.0 * to);
            let truth = 30.0 * (wave(to as i64) - wave(from as i64));
            assert!((rise - truth).abs() < 6.0, "{ahead}: {rise} {truth}");
        }
    }

    #[test]
    fn noise_trends_and_walks_are_no_waves() {
        assert_eq!(believed(2000, noise).0, None);
        assert_eq!(believed(2000, |day| day as f64 + 20.0 * noise(day)).0, None);
        let taken = (0..40).filter(|seed| {
            let mut walk = vec![0.0];
            for day in 1..1500 {
                walk.push(walk[day as usize - 1] + noise(seed * 7919 + day));
            }
            believed(1500, |day| walk[day as usize]).0.is_some()
        });
        let taken = taken.count();
        assert!(taken <= 2, "{taken} of 40 walks");
    }
}
