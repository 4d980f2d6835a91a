//! What a series does over hours, days and weeks: learnt so that it can be told how it may go on ([`ahead`](super::ahead)).
//!
//! The unit is a *sample*: the mean of an hour, or a bucket where buckets are longer. Of what each season leaves of the samples (and of the samples
//! themselves) four running means are kept, which remember a sample, four hours, a day and a week, with the mean square of their one-step errors: how the
//! errors grow with the memory is how a forecast errs with its horizon. From the means of days and those of the same weekdays a week before comes the slope,
//! untouched by day and week. The variance of buckets around the mean of their hour is what a single bucket adds.
//! Units: values as they come; hours since the epoch. Holds: finite whatever comes; one size, but for the week's view, which is made when there is a week; an hour is held
//! against a profile that has not seen it. Checked by: [`ahead`](super::ahead), `cargo bench --bench forecast`.

use super::profile::{HOUR_MS, HourMean, Slot};
use super::variogram::MEANS;
use super::{Change, Room};
use crate::time::BucketSpan;
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

/// Running means of a series of samples, and how they erred. Samples are small against the steps of their numbers: they come less a season or a base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Means {
    levels: [f32; MEANS],
    /// Roots of the mean squares of their one-step errors.
    errors: [f32; MEANS],
    pub(super) samples: u32,
    /// Samples since the levels began anew.
    young: u16,
}

impl Means {
    pub(super) fn levels(&self) -> [f64; MEANS] {
        self.levels.map(f64::from)
    }

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
                let mut square = ((x - f64::from(*level)).powi(2) * trust).min(SQUARE_MOST);
                if self.samples > CLIPPED_AFTER && usual > 0.0 {
                    square = square.min(ERROR_CLIP * usual);
                }
                *error = (usual + gain * (square - usual)).max(0.0).sqrt() as f32;
            }
        }
        let plain = 1.0 / (f64::from(self.young) + 1.0);
        for (level, gain) in self.levels.iter_mut().zip(gains) {
            *level += (plain.max(gain) * (x - f64::from(*level))) as f32;
        }
        self.samples = self.samples.saturating_add(1);
        self.young = self.young.saturating_add(1);
    }

    /// All means are 0 now, and follow quickly.
    fn restart(&mut self) {
        self.levels = [0.0; MEANS];
        self.young = 1;
    }
}

/// Means of days, and how they differ from those of a week before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Days {
    sum: f64,
    samples: u16,
    /// Of the last seven days, where the bit says so.
    means: [f32; WEEK_DAYS],
    known: u8,
    /// Days that were compared, at most [`DAYS_MAX`]; the mean difference and the root of its mean square.
    compared: u8,
    change: f32,
    changed: f32,
}

impl Days {
    /// Takes a sample of `day`; the one before was of `before`.
    fn learn(&mut self, before: i32, day: i32, mean: f64, samples_usual: f64) {
        if day != before {
            if self.samples > 0 && f64::from(self.samples) >= samples_usual / 2.0 {
                self.close(before);
            } else {
                self.known &= !(1 << slot(before));
            }
            let skipped = day.saturating_sub(before).saturating_sub(1);
            for at in 1..=skipped.clamp(0, WEEK_DAYS as i32) {
                self.known &= !(1 << slot(before.saturating_add(at)));
            }
            (self.sum, self.samples) = (0.0, 0);
        }
        self.sum += mean;
        self.samples = self.samples.saturating_add(1);
    }

    fn close(&mut self, day: i32) {
        let (at, mean) = (slot(day), self.sum / f64::from(self.samples));
        if self.known & (1 << at) != 0 {
            self.compared = self.compared.saturating_add(1).min(DAYS_MAX as u8);
            let gain = 1.0 / f64::from(self.compared);
            let change = mean - f64::from(self.means[at]);
            self.change += (gain * (change - f64::from(self.change))) as f32;
            let square = f64::from(self.changed).powi(2);
            self.changed = (square + gain * (change.powi(2) - square)).max(0.0).sqrt() as f32;
        }
        self.means[at] = mean as f32;
        self.known |= 1 << at;
    }
}

fn slot(day: i32) -> usize {
    day.rem_euclid(WEEK_DAYS as i32) as usize
}

/// How a series has gone on so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    /// Of the buckets of the hour that is being filled: mean, root of the sum of squared distances from it (Welford 1962), number.
    mean: f64,
    spread: f32,
    buckets: u16,
    /// Standard deviation of buckets around the mean of their hour.
    within: f32,
    /// First and last hour that is over.
    first: i32,
    last: i32,
    /// The samples as they come, less this.
    base: f64,
    plain: Means,
    /// What the day leaves of them, and what the week leaves once there is one.
    day: Means,
    week: Option<Box<Means>>,
    days: Days,
}

impl Outlook {
    /// As [`SeriesModel::touch`](super::SeriesModel::touch).
    pub fn touch(&self) -> u64 {
        self.mean.to_bits()
    }

    /// Takes a bucket's value.
    pub fn count(&mut self, x: f64) {
        self.buckets = self.buckets.saturating_add(1);
        let from_mean = x - self.mean;
        self.mean += from_mean / f64::from(self.buckets);
        let square = (from_mean * (x - self.mean)).min(SQUARE_MOST);
        self.spread = (f64::from(self.spread).powi(2) + square).max(0.0).sqrt() as f32;
    }

    /// An hour is over; `slots` is what the day and the week know of it, which must not be this one yet.
    pub fn close(
        &mut self,
        over: HourMean,
        span: BucketSpan,
        slots: [Option<Slot>; 2],
        room: &mut Room,
    ) {
        let hour = over.hour.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        if self.plain.samples == 0 {
            (self.first, self.last, self.base) = (hour, hour, over.mean);
        }
        let before = std::mem::replace(&mut self.last, hour);
        if self.buckets > 1 {
            let variance = f64::from(self.spread).powi(2) / f64::from(self.buckets - 1);
            let gain = (1.0 / f64::from(self.plain.samples.max(1))).max(1.0 / SAMPLES_MAX);
            let usual = f64::from(self.within).powi(2);
            self.within = (usual + gain * (variance - usual)).max(0.0).sqrt() as f32;
        }
        (self.buckets, self.mean, self.spread) = (0, 0.0, 0.0);
        let gains = gains(span);
        self.plain.learn(over.mean - self.base, 1.0, gains);
        let [day, week] = slots;
        if week.is_some() && self.week.is_none() && room.grant(size_of::<Means>()) {
            self.week = Some(Box::default());
        }
        for (view, slot) in [(Some(&mut self.day), day), (self.week.as_deref_mut(), week)] {
            if let (Some(view), Some(slot)) = (view, slot) {
                let known = slot.buckets(span);
                view.learn(over.mean - slot.mean, known / (known + 1.0), gains);
            }
        }
        let usual = 24.0 / unit_hours(span) * self.density(span);
        let [before, day] = [before, hour].map(|hour| hour.div_euclid(24));
        self.days.learn(before, day, over.mean, usual);
    }

    /// The running means of the samples as they come (`None`), or less a season; `None` of a season that is not known.
    pub(super) fn means(&self, season: Option<usize>) -> Option<&Means> {
        match season {
            None => Some(&self.plain),
            Some(0) => Some(&self.day),
            Some(_) => self.week.as_deref(),
        }
    }

    /// What the running means of a view are less of.
    pub(super) fn base(&self, season: Option<usize>) -> f64 {
        if season.is_none() { self.base } else { 0.0 }
    }

    /// The last hour that is over.
    pub(super) fn last(&self) -> i64 {
        self.last.into()
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        self.week.as_ref().map_or(0, |_| size_of::<Means>())
    }

    /// What the series was noticed to do.
    pub fn follow(&mut self, change: &Change) {
        match *change {
            Change::Level { to, .. } => self.shift(Some(to)),
            Change::Scale(_) => self.shift(None),
            Change::Clock(_) | Change::Season(_) | Change::Rhythm { .. } | Change::Spread(_) => {}
        }
    }

    /// The series has moved to another level, and its seasons with it.
    pub fn shift(&mut self, level: Option<f64>) {
        self.base = level.unwrap_or(self.base + f64::from(self.plain.levels[0]));
        self.plain.restart();
        self.day.restart();
        if let Some(week) = &mut self.week {
            week.restart();
        }
    }

    /// Hours since the first sample.
    pub(super) fn lived_hours(&self, span: BucketSpan) -> f64 {
        f64::from(self.last.saturating_sub(self.first)) + unit_hours(span)
    }

    /// Samples a unit of time: 1 where none is missing.
    pub(super) fn density(&self, span: BucketSpan) -> f64 {
        let most = self.lived_hours(span) / unit_hours(span);
        (f64::from(self.plain.samples) / most).clamp(1e-6, 1.0)
    }

    /// What a bucket adds to the variance of the mean of its hour.
    pub(super) fn within(&self, span: BucketSpan) -> f64 {
        f64::from(self.within).powi(2) * (1.0 - 1.0 / buckets(span))
    }

    /// Change from week to week: over how many days it was seen, its mean, and its mean square.
    pub(super) fn weekly(&self) -> (f64, f64, f64) {
        let days = &self.days;
        (
            f64::from(days.compared),
            days.change.into(),
            f64::from(days.changed).powi(2),
        )
    }
}

impl Slot {
    /// Buckets that its mean is of.
    pub(super) fn buckets(&self, span: BucketSpan) -> f64 {
        f64::from(self.visits) * buckets(span)
    }
}
