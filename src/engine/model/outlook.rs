//! What a series does over hours, days and weeks: learnt so that it can be told how it may go on ([`ahead`](super::ahead)).
//!
//! The unit is a *sample*: the mean of an hour, or a bucket where buckets are longer. Of what each season leaves of the samples (and of the samples
//! themselves) four running means are kept, which remember a sample, four hours, a day and a week, with the mean square of their one-step errors: how the
//! errors grow with the memory is how a forecast errs with its horizon. From the means of days and those of the same weekdays a week before comes the slope,
//! untouched by day and week. The variance of buckets around the mean of their hour is what a single bucket adds.
//! Units: values as they come; hours since the epoch. Holds: finite whatever comes; one size, but for the week's view, which is made when there is a week; an hour is held
//! against a profile that has not seen it. Checked by: [`ahead`](super::ahead), `cargo bench --bench forecast`.

use super::dates::{self, DayWatch, HourSeen};
use super::profile::{HOUR_MS, HourMean, Slot};
use super::variogram::MEANS;
use super::year::YearWave;
use super::{Change, Room};
use crate::time::BucketSpan;
use serde::{Deserialize, Serialize};

/// Hours that running means remember; the first is a sample.
const MEMORY_HOURS: [f64; MEANS] = [0.0, 4.0, 24.0, 168.0];
/// Samples, and days, over which errors and changes are forgotten: eight weeks.
const SAMPLES_MAX: f64 = 1344.0;
const DAYS_MAX: f64 = 56.0;
/// The year is asked for after so many days, where the mean of the last week is so many deviations of single samples from where the series began.
const YEAR_AFTER_DAYS: i32 = 30;
const YEAR_MOVED: f64 = 3.0;
/// Errors beyond so many times the usual square count as so many, once so many samples were seen.
const ERROR_CLIP: f64 = 9.0;
const CLIPPED_AFTER: u32 = 30;
const WEEK_DAYS: usize = 7;
/// The number of a rhythm among the seasons: after the day and the week.
pub(super) const RHYTHM: usize = 2;
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

/// Of the buckets of the hour that is being filled: mean, root of the sum of squared distances from it (Welford 1962), number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Filling {
    mean: f64,
    spread: f32,
    buckets: u16,
}

impl Filling {
    fn count(&mut self, x: f64) {
        self.buckets = self.buckets.saturating_add(1);
        let from_mean = x - self.mean;
        self.mean += from_mean / f64::from(self.buckets);
        let square = (from_mean * (x - self.mean)).min(SQUARE_MOST);
        self.spread = (f64::from(self.spread).powi(2) + square).max(0.0).sqrt() as f32;
    }

    /// The hour is over: its variance goes into what is known of others, so many of them.
    fn close(&mut self, within: &mut f32, hours: u32) {
        if self.buckets > 1 {
            let variance = f64::from(self.spread).powi(2) / f64::from(self.buckets - 1);
            let gain = (1.0 / f64::from(hours.max(1))).max(1.0 / SAMPLES_MAX);
            let usual = f64::from(*within).powi(2);
            *within = (usual + gain * (variance - usual)).max(0.0).sqrt() as f32;
        }
        *self = Filling::default();
    }
}

/// What a rhythm leaves of buckets and samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct OfRhythm {
    filling: Filling,
    within: f32,
    means: Means,
}

/// A bucket's value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    /// As far as it is believed.
    pub(super) x: f64,
    /// What was kept back of it.
    pub(super) kept_back: f64,
    /// What the series' own rhythm says of it, if there is one.
    pub(super) of_rhythm: Option<f64>,
}

/// How a series has gone on so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    filling: Filling,
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
    day_watch: DayWatch,
    /// What was kept back of the buckets of the hour: outliers, and what the day of the month adds.
    kept_back: f32,
    /// Once the series is believed to have a rhythm of its own.
    rhythm: Option<Box<OfRhythm>>,
    /// Once the level has moved far.
    year: Option<Box<YearWave>>,
}

impl Outlook {
    /// Takes a bucket's value.
    pub(super) fn count(&mut self, heard: &Heard, room: &mut Room) {
        self.kept_back += heard.kept_back as f32;
        self.filling.count(heard.x);
        match heard.of_rhythm {
            None => self.rhythm = None,
            Some(expected) => {
                if self.rhythm.is_none() && room.grant(size_of::<OfRhythm>()) {
                    self.rhythm = Some(Box::default());
                }
                if let Some(rhythm) = &mut self.rhythm {
                    rhythm.filling.count(heard.x - expected);
                }
            }
        }
    }

    /// An hour is over, as above: what it tells of days, whatever was kept back of it. Before it is learnt.
    pub(super) fn watch_days(
        &mut self,
        over: &HourMean,
        span: BucketSpan,
        slots: [Option<Slot>; 2],
    ) -> Option<HourSeen> {
        let units = dates::units(span)?;
        const WEEK_DAYS: usize = 7;
        let known = |season: Option<usize>| {
            let is_known = season.is_none_or(|season| slots[season].is_some());
            let means = self.means(season).filter(|_| is_known);
            means.filter(|means| means.samples as usize >= WEEK_DAYS * units || season.is_none())
        };
        let mut watch = self.day_watch;
        let season = watch.season(
            over.hour,
            |season| Some(known(season)?.squares()[MEANS - 1]),
            |season| known(season).map_or(0.0, |means| means.levels()[MEANS - 1]),
        );
        let from = season.map_or(self.base, |season| {
            slots[season].map_or(over.mean, |slot| slot.mean)
        });
        let kept_back = f64::from(self.kept_back) / f64::from(self.filling.buckets.max(1));
        let seen = watch.see(over.hour, over.mean + kept_back - from, units);
        self.day_watch = watch;
        Some(seen)
    }

    pub(super) fn day_watch(&self) -> &DayWatch {
        &self.day_watch
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
        self.filling.close(&mut self.within, self.plain.samples);
        self.kept_back = 0.0;
        let gains = gains(span);
        self.plain.learn(over.mean - self.base, 1.0, gains);
        if let Some(rhythm) = &mut self.rhythm
            && rhythm.filling.buckets > 0
        {
            let rest = rhythm.filling.mean;
            rhythm
                .filling
                .close(&mut rhythm.within, rhythm.means.samples);
            rhythm.means.learn(rest, 1.0, gains);
        }
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

    /// The mean of an hour that is over goes into what is known of the year, once the level has moved as far as no sample does. Whether a wave has come to be believed, or has
    /// ceased to.
    pub(super) fn learn_year(
        &mut self,
        over: &HourMean,
        span: BucketSpan,
        room: &mut Room,
    ) -> Option<bool> {
        if self.year.is_none() {
            let (moved, usual) = (self.plain.levels[MEANS - 1], self.plain.errors[MEANS - 1]);
            let lived = self.last.saturating_sub(self.first);
            let is_far = f64::from(moved).abs() > YEAR_MOVED * f64::from(usual) && usual > 0.0;
            let asks = is_far && lived >= 24 * YEAR_AFTER_DAYS;
            if asks && room.grant(size_of::<YearWave>()) {
                let (first, last) = (self.first.into(), self.last.into());
                let year = YearWave::new(self.base, first, last, moved.into());
                self.year = Some(Box::new(year));
            }
        }
        let hours = unit_hours(span).round();
        self.year.as_mut()?.learn(over.hour, over.mean, hours)
    }

    /// What is known of the year.
    pub(super) fn year(&self) -> Option<&YearWave> {
        self.year.as_deref()
    }

    /// The running means of the samples as they come (`None`), or less a season or a rhythm; `None` of a season that is not known.
    pub(super) fn means(&self, season: Option<usize>) -> Option<&Means> {
        match season {
            None => Some(&self.plain),
            Some(RHYTHM) => self.rhythm.as_deref().map(|rhythm| &rhythm.means),
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
        let week = self.week.as_ref().map_or(0, |_| size_of::<Means>());
        let year = self.year.as_ref().map_or(0, |_| size_of::<YearWave>());
        week + year + self.rhythm.as_ref().map_or(0, |_| size_of::<OfRhythm>())
    }

    /// What the series was noticed to do.
    pub fn follow(&mut self, change: &Change) {
        match *change {
            Change::Level { to, .. } => self.shift(Some(to)),
            Change::Scale(_) => self.shift(None),
            Change::Clock(_)
            | Change::Season(_)
            | Change::Rhythm { .. }
            | Change::Month { .. }
            | Change::Year(_)
            | Change::Wave(_)
            | Change::Spread(_) => {}
        }
    }

    /// The series has moved to another level, and its seasons with it.
    pub fn shift(&mut self, level: Option<f64>) {
        self.base = level.unwrap_or(self.base + f64::from(self.plain.levels[0]));
        self.plain.restart();
        self.day.restart();
        self.day_watch.restart();
        if let Some(week) = &mut self.week {
            week.restart();
        }
        if let Some(rhythm) = &mut self.rhythm {
            rhythm.means.restart();
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
    pub(super) fn within(&self, season: Option<usize>, span: BucketSpan) -> f64 {
        let within = match (season, &self.rhythm) {
            (Some(RHYTHM), Some(rhythm)) => rhythm.within,
            _ => self.within,
        };
        f64::from(within).powi(2) * (1.0 - 1.0 / buckets(span))
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
