//! What a series does over hours, days and weeks: learnt so that it can be told how it may go on ([`ahead`](super::ahead)).
//!
//! The unit is a *sample*: the mean of an hour, or a bucket where buckets are longer. Of what each season leaves of the samples (and of the samples
//! themselves) four running means are kept, which remember a sample, four hours, a day and a week, with the mean square of their one-step errors: how the
//! errors grow with the memory is how a forecast errs with its horizon. From the means of days and those of the same weekdays a week before comes the slope,
//! untouched by day and week. The variance of buckets around the mean of their hour is what a single bucket adds.
//! Units: values as they come; hours since the epoch. Holds: finite whatever comes; one size, whatever was learnt; an hour is held
//! against a profile that has not seen it. Checked by: [`ahead`](super::ahead), `cargo bench --bench forecast`.

use super::profile::{HOUR_MS, HourMeans, Slot};
use super::variogram::MEANS;
use crate::time::{BucketSpan, EventTime};
use serde::{Deserialize, Serialize};

/// Hours that running means remember; the first is a sample.
const MEMORY_HOURS: [f64; MEANS] = [0.0, 4.0, 24.0, 168.0];
/// Samples, and days, over which errors and changes are forgotten: eight weeks.
const SAMPLES_MAX: f64 = 1344.0;
const DAYS_MAX: f64 = 56.0;
/// Errors beyond so many times the usual square count as so many, once so many samples were seen.
const ERROR_CLIP: f64 = 9.0;
const CLIPPED_AFTER: u32 = 30;
const WEEK_DAYS: usize = 7;
/// Larger errors, squared, count as this.
const SQUARE_MOST: f64 = 1e60;

/// Gains of the running means for this bucket span.
pub(super) fn gains(span: BucketSpan) -> [f64; MEANS] {
    let unit = unit_hours(span);
    MEMORY_HOURS.map(|hours| (unit / hours).min(1.0))
}

/// Hours of a sample.
pub(super) fn unit_hours(span: BucketSpan) -> f64 {
    (span.millis() as f64 / HOUR_MS as f64).max(1.0)
}

/// Buckets of a sample.
pub(super) fn buckets(span: BucketSpan) -> f64 {
    (HOUR_MS as f64 / span.millis() as f64).max(1.0)
}

/// Running means of a series of samples, and how they erred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Means {
    pub(super) levels: [f64; MEANS],
    /// Roots of the mean squares of their one-step errors.
    errors: [f32; MEANS],
    pub(super) samples: u32,
    /// Samples since the levels began anew.
    young: u16,
}

impl Means {
    pub(super) fn squares(&self) -> [f64; MEANS] {
        self.errors.map(|error| f64::from(error).powi(2))
    }

    /// How many samples ago, on average, the values were that the running means hold: those that began anew are plain averages of what came since.
    pub(super) fn ages(&self, gains: [f64; MEANS]) -> [f64; MEANS] {
        let plain = (f64::from(self.young) - 1.0).max(0.0) / 2.0;
        gains.map(|gain| ((1.0 - gain) / gain).min(plain))
    }

    /// Takes a sample; `trust` is the share of a squared error that is not the season's own uncertainty.
    fn learn(&mut self, x: f64, trust: f64, gains: [f64; MEANS]) {
        if self.samples > 0 {
            let gain = (1.0 / f64::from(self.samples)).max(1.0 / SAMPLES_MAX);
            for (level, error) in self.levels.iter().zip(&mut self.errors) {
                let usual = f64::from(*error).powi(2);
                let mut square = ((x - level).powi(2) * trust).min(SQUARE_MOST);
                if self.samples > CLIPPED_AFTER && usual > 0.0 {
                    square = square.min(ERROR_CLIP * usual);
                }
                *error = (usual + gain * (square - usual)).max(0.0).sqrt() as f32;
            }
        }
        let plain = 1.0 / (f64::from(self.young) + 1.0);
        for (level, gain) in self.levels.iter_mut().zip(gains) {
            *level += plain.max(gain) * (x - *level);
        }
        self.samples = self.samples.saturating_add(1);
        self.young = self.young.saturating_add(1);
    }

    /// All means are of this value now, and follow quickly.
    fn restart(&mut self, level: f64) {
        self.levels = [level; MEANS];
        self.young = 1;
    }
}

/// Means of days, and how they differ from those of a week before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Days {
    day: i32,
    sum: f64,
    samples: u16,
    /// Of the last seven days, where the bit says so.
    means: [f32; WEEK_DAYS],
    known: u8,
    /// Days that were compared, at most [`DAYS_MAX`]; the mean difference and its mean square.
    compared: u8,
    change: f64,
    square: f64,
}

impl Days {
    fn learn(&mut self, day: i32, mean: f64, samples_usual: f64) {
        if day != self.day {
            if self.samples > 0 && f64::from(self.samples) >= samples_usual / 2.0 {
                self.close();
            } else {
                self.known &= !(1 << slot(self.day));
            }
            let skipped = day.saturating_sub(self.day).saturating_sub(1);
            for at in 1..=skipped.clamp(0, WEEK_DAYS as i32) {
                self.known &= !(1 << slot(self.day.saturating_add(at)));
            }
            (self.day, self.sum, self.samples) = (day, 0.0, 0);
        }
        self.sum += mean;
        self.samples = self.samples.saturating_add(1);
    }

    fn close(&mut self) {
        let (at, mean) = (slot(self.day), self.sum / f64::from(self.samples));
        if self.known & (1 << at) != 0 {
            self.compared = self.compared.saturating_add(1).min(DAYS_MAX as u8);
            let gain = 1.0 / f64::from(self.compared);
            let change = mean - f64::from(self.means[at]);
            self.change += gain * (change - self.change);
            self.square += gain * (change.powi(2).min(SQUARE_MOST) - self.square);
        }
        self.means[at] = mean as f32;
        self.known |= 1 << at;
    }
}

fn slot(day: i32) -> usize {
    day.rem_euclid(WEEK_DAYS as i32) as usize
}

/// How a series has gone on so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    filling: HourMeans,
    /// Of the buckets of the hour that is being filled: number, mean, sum of squared distances from it (Welford 1962).
    buckets: u32,
    mean: f64,
    spread: f64,
    /// Variance of buckets around the mean of their hour.
    within: f64,
    /// First and last hour that is over.
    first: i64,
    pub(super) last: i64,
    /// The samples as they come, and what the day and the week leave of them.
    pub(super) views: [Means; 3],
    days: Days,
}

impl Outlook {
    /// One that has seen nothing.
    pub fn new() -> Outlook {
        Outlook {
            filling: HourMeans::default(),
            buckets: 0,
            mean: 0.0,
            spread: 0.0,
            within: 0.0,
            first: 0,
            last: 0,
            views: Default::default(),
            days: Days::default(),
        }
    }

    /// Takes a bucket's value; `slots` tells what the day and the week know of an hour, which must not be this one yet.
    pub fn learn(
        &mut self,
        at: EventTime,
        x: f64,
        span: BucketSpan,
        slots: impl Fn(i64) -> [Option<Slot>; 2],
    ) {
        let [left, over] = self.filling.push(at, x, span);
        if let Some(left) = left {
            self.close(left.hour, left.mean, span, &slots);
        }
        self.buckets += 1;
        let from_mean = x - self.mean;
        self.mean += from_mean / f64::from(self.buckets);
        self.spread += (from_mean * (x - self.mean)).min(SQUARE_MOST);
        if let Some(over) = over {
            self.close(over.hour, over.mean, span, &slots);
        }
    }

    fn close(
        &mut self,
        hour: i64,
        mean: f64,
        span: BucketSpan,
        slots: &impl Fn(i64) -> [Option<Slot>; 2],
    ) {
        if self.views[0].samples == 0 {
            self.first = hour;
        }
        self.last = hour;
        if self.buckets > 1 {
            let variance = self.spread / f64::from(self.buckets - 1);
            let gain = (1.0 / f64::from(self.views[0].samples.max(1))).max(1.0 / SAMPLES_MAX);
            self.within += gain * (variance - self.within);
        }
        (self.buckets, self.mean, self.spread) = (0, 0.0, 0.0);
        let gains = gains(span);
        self.views[0].learn(mean, 1.0, gains);
        for (view, slot) in self.views[1..].iter_mut().zip(slots(hour)) {
            if let Some(slot) = slot {
                let known = slot.buckets(span);
                view.learn(mean - slot.mean, known / (known + 1.0), gains);
            }
        }
        let usual = 24.0 / unit_hours(span) * self.density(span);
        let day = hour.div_euclid(24).clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        self.days.learn(day, mean, usual);
    }

    /// The series has moved to another level, and its seasons with it.
    pub fn shift(&mut self, level: Option<f64>) {
        let [plain, day, week] = &mut self.views;
        plain.restart(level.unwrap_or(plain.levels[0]));
        day.restart(0.0);
        week.restart(0.0);
    }

    /// Hours since the first sample.
    pub(super) fn lived_hours(&self, span: BucketSpan) -> f64 {
        self.last.saturating_sub(self.first) as f64 + unit_hours(span)
    }

    /// Samples a unit of time: 1 where none is missing.
    pub(super) fn density(&self, span: BucketSpan) -> f64 {
        let most = self.lived_hours(span) / unit_hours(span);
        (f64::from(self.views[0].samples) / most).clamp(1e-6, 1.0)
    }

    /// What a bucket adds to the variance of the mean of its hour.
    pub(super) fn within(&self, span: BucketSpan) -> f64 {
        self.within * (1.0 - 1.0 / buckets(span))
    }

    /// Change from week to week: over how many days it was seen, its mean, and its mean square.
    pub(super) fn weekly(&self) -> (f64, f64, f64) {
        let days = &self.days;
        (f64::from(days.compared), days.change, days.square)
    }
}

impl Default for Outlook {
    fn default() -> Outlook {
        Outlook::new()
    }
}

impl Slot {
    /// Buckets that its mean is of.
    pub(super) fn buckets(&self, span: BucketSpan) -> f64 {
        f64::from(self.visits) * buckets(span)
    }
}
