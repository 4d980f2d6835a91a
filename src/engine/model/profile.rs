//! The seasonal profile: what a series is like at each hour of the day and of the week.
//!
//! 24 + 168 slots of one hour (epoch time, UTC), each the mean of the hours seen in it, newer visits weighing at least a twentieth.
//! The day's slots exist from the first hour on, the week's once the series has lived for two days and the hours have shown something to remember
//! (a series starts small and grows on evidence: [`Evidence`]). A *band* is the
//! range of a slot and its two neighbours, so that a shape that moves by less than an hour does not surprise. An hour is learnt when it is over
//! ([`HourMeans`]), so that no value is judged by a profile which knows its own hour already. Between the middles of hours means are joined by lines, or by steps where
//! [`edges`](super::edges) has found them better; a step within an hour is where the hour's mean puts it.
//! The first weekend of a series that has known workdays only may be another kind of day ([`Profile::strangeness`]; tests/weekend.rs).
//! Source: detection-quality.md, "Views". Units: values as they come; times in milliseconds since the epoch.

use super::Room;
use super::prefetch::prefetch;
use crate::time::{BucketSpan, EventTime};
use serde::{Deserialize, Serialize};

/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;
const DAY_HOURS: usize = 24;
const WEEK_HOURS: usize = 168;
/// The least weight of a new visit to a slot.
const VISIT_GAIN_MIN: f32 = 0.05;
/// The week's slots are made no sooner than when a series is this old.
const WEEK_AFTER_HOURS: i64 = 48;
/// Distances from the slots are cut at so many of their root mean squares, once so many hours were seen.
const CLIP: f64 = 3.0;
const CLIPPED_AFTER_HOURS: u8 = 48;
/// What a day of a kind never seen may do beyond the hours of those seen: this share of the variance that hours explain. A guess, and a mild one:
/// on weekends much of what people use is at half of its weekday or at its double.
const STRANGE_SHARE: f64 = 0.5;
/// That guess counts like so many hours of such a day: what those that have come were like counts beside it.
const STRANGE_PRIOR_HOURS: f64 = 24.0;
/// Weekends begin on Friday and end on Monday at these hours (UTC), for most of mankind.
const WEEKEND_FROM: i64 = 16;
const WEEKEND_TO: i64 = 8;
/// The epoch's hour 0 is a Thursday's: the hours of that week up to Friday's 24.
const FRIDAY_HOURS: i64 = 24;
/// Visits after which a slot of the week speaks for the day's.
const WEEK_SPEAKS_AFTER: u8 = 2;

/// A closed range of values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// Lowest.
    pub low: f64,
    /// Highest.
    pub high: f64,
}

impl Band {
    /// The value of the band that is nearest to `x`.
    pub fn nearest(self, x: f64) -> f64 {
        x.clamp(self.low, self.high)
    }

    /// How far `x` is outside, signed; 0 inside.
    pub fn distance(self, x: f64) -> f64 {
        x - self.nearest(x)
    }
}

/// What a ring knows of an hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// The mean of the visits.
    pub mean: f64,
    /// How many there were, saturating.
    pub visits: u8,
}

/// A time foretold by both ways to join hours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Joints {
    /// 0 of the day, 1 of the week.
    pub season: usize,
    /// By lines between the middles of hours.
    pub line: f64,
    /// By steps.
    pub step: f64,
    /// The hour's own mean.
    pub flat: f64,
}

/// The share of an hour that a bucket takes; `None` where hours have no inside.
fn share_of_hour(span: BucketSpan) -> Option<f64> {
    let share = span.millis() as f64 / HOUR_MS as f64;
    (share < 1.0).then_some(share)
}

/// How long ago, in visits and as of the last one, what a slot holds was seen on average.
pub fn content_age(visits: u8) -> f64 {
    (2..=visits).fold(0.0, |age, visit| {
        let gain = (1.0 / f64::from(visit)).max(f64::from(VISIT_GAIN_MIN));
        (1.0 - gain) * (age + 1.0)
    })
}

/// The hours of one day: the mean of each, and how often it was visited (saturating).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct DaySlots {
    means: [f32; DAY_HOURS],
    visits: [u8; DAY_HOURS],
}

/// A ring of slots, those of one day or of the seven of a week; one piece of memory, none until it is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Ring<Days> {
    days: Option<Box<Days>>,
}

type Day = [DaySlots; 1];
/// From a Thursday on, as the epoch begins.
type Week = [DaySlots; WEEK_HOURS / DAY_HOURS];

impl<Days: Clone + Default + AsRef<[DaySlots]> + AsMut<[DaySlots]>> Ring<Days> {
    const HEAP_BYTES: usize = size_of::<Days>();
    const SLOTS: usize = DAY_HOURS * (Self::HEAP_BYTES / size_of::<DaySlots>());

    fn new() -> Self {
        Ring {
            days: Some(Box::default()),
        }
    }

    fn is_empty(&self) -> bool {
        self.days.is_none()
    }

    /// Those there are.
    fn days(&self) -> &[DaySlots] {
        self.days.as_deref().map_or(&[], Days::as_ref)
    }

    fn days_mut(&mut self) -> &mut [DaySlots] {
        self.days.as_deref_mut().map_or(&mut [], Days::as_mut)
    }

    fn slot(hour: i64) -> usize {
        hour.rem_euclid(Self::SLOTS as i64) as usize
    }

    /// The slot of the hour before, and of the hour after.
    fn beside(slot: usize) -> [usize; 2] {
        let (before, after) = (slot.checked_sub(1), slot + 1);
        [
            before.unwrap_or(Self::SLOTS - 1),
            if after == Self::SLOTS { 0 } else { after },
        ]
    }

    /// Asks for what is known of an hour's slot and the one after it.
    fn prefetch_slot(&self, hour: i64) {
        let [here, next] = [hour, hour + 1].map(Self::slot);
        let days = self.days();
        if let (Some(day), Some(other)) = (days.get(here / DAY_HOURS), days.get(next / DAY_HOURS)) {
            prefetch(&day.means[here % DAY_HOURS]);
            prefetch(&day.visits[here % DAY_HOURS]);
            prefetch(&other.means[next % DAY_HOURS]);
        }
    }

    /// Mean of a slot, and how often it was visited; `None` while there are no slots.
    fn get(&self, slot: usize) -> Option<(f32, u8)> {
        let day = self.days().get(slot / DAY_HOURS)?;
        let at = slot % DAY_HOURS;
        Some((day.means[at], day.visits[at]))
    }

    fn get_mut(&mut self, slot: usize) -> Option<(&mut f32, &mut u8)> {
        let day = self.days_mut().get_mut(slot / DAY_HOURS)?;
        let at = slot % DAY_HOURS;
        Some((&mut day.means[at], &mut day.visits[at]))
    }

    /// Every mean, in order.
    fn means_mut(&mut self) -> impl Iterator<Item = &mut f32> {
        self.days_mut().iter_mut().flat_map(|day| &mut day.means)
    }

    /// Mean of a slot visited at least `visits_min` times.
    fn known(&self, slot: usize, visits_min: u8) -> Option<f64> {
        let (mean, visits) = self.get(slot)?;
        (visits >= visits_min).then(|| f64::from(mean))
    }

    fn what_is_known(&self, hour: i64) -> Option<Slot> {
        let (mean, visits) = self.get(Self::slot(hour))?;
        (visits >= 1).then(|| Slot {
            mean: mean.into(),
            visits,
        })
    }

    fn learn(&mut self, hour: i64, x: f64) {
        if let Some((mean, visits)) = self.get_mut(Self::slot(hour)) {
            let gain = (1.0 / (f32::from(*visits) + 1.0)).max(VISIT_GAIN_MIN);
            *mean += gain * (x as f32 - *mean);
            *visits = visits.saturating_add(1);
        }
    }

    fn band(&self, hour: i64, visits_min: u8) -> Option<Band> {
        let slot = Self::slot(hour);
        let own = self.known(slot, visits_min)?;
        let neighbours = Self::beside(slot).map(|slot| self.known(slot, 1));
        let (low, high) = neighbours
            .into_iter()
            .flatten()
            .fold((own, own), |(low, high), mean| {
                (low.min(mean), high.max(mean))
            });
        Some(Band { low, high })
    }

    /// Between the middles of slots by straight lines.
    fn interpolate(&self, at: EventTime, visits_min: u8) -> Option<f64> {
        let slot = Self::slot(hour_of(at));
        let here = self.known(slot, visits_min)?;
        let offset = at.millis().rem_euclid(HOUR_MS) as f64 / HOUR_MS as f64 - 0.5;
        let beside = Self::beside(slot)[usize::from(offset >= 0.0)];
        let other = self.known(beside, visits_min);
        Some(other.map_or(here, |other| here + offset.abs() * (other - here)))
    }

    /// How many visits what is said of `at` stands on: those of its slot, or of two where lines join them.
    fn visits_known(&self, at: EventTime, by_steps: bool) -> f64 {
        let Some((_, visits)) = self.get(Self::slot(hour_of(at))) else {
            return 1.0;
        };
        let most = 2.0 / f64::from(VISIT_GAIN_MIN) - 1.0;
        let visits = f64::from(visits).clamp(1.0, most);
        let beside = match by_steps {
            true => 0.0,
            false => at.millis().rem_euclid(HOUR_MS) as f64 / HOUR_MS as f64 - 0.5,
        };
        visits / ((1.0 - beside.abs()).powi(2) + beside.powi(2))
    }

    /// As of an hour of one level; or of two, where its mean lies between those beside it: that of the hour before, and from the moment on that
    /// the mean asks for, that of the hour after. Averaged over a bucket of this share of an hour.
    fn step(&self, at: EventTime, share: f64, visits_min: u8) -> Option<f64> {
        let slot = Self::slot(hour_of(at));
        let own = self.known(slot, visits_min)?;
        let [Some(before), Some(after)] =
            Self::beside(slot).map(|slot| self.known(slot, visits_min))
        else {
            return Some(own);
        };
        if (own - before) * (after - own) <= 0.0 {
            return Some(own);
        }
        let turns_at = (after - own) / (after - before);
        let middle = at.millis().rem_euclid(HOUR_MS) as f64 / HOUR_MS as f64;
        let of_before = ((turns_at - middle) / share + 0.5).clamp(0.0, 1.0);
        Some(after + of_before * (before - after))
    }

    /// What a visited slot says of `at` by lines, by steps and flatly.
    fn joints(&self, at: EventTime, share: f64) -> Option<[f64; 3]> {
        let flat = self.known(Self::slot(hour_of(at)), 1)?;
        Some([self.interpolate(at, 1)?, self.step(at, share, 1)?, flat])
    }

    /// What slot h knew, slot h + `hours` knows from now on.
    fn turn(&mut self, hours: i8) {
        let before = self.clone();
        for slot in 0..Self::SLOTS {
            let later = Self::slot(slot as i64 + i64::from(hours));
            if let (Some((mean, visits)), Some(known)) = (self.get_mut(later), before.get(slot)) {
                (*mean, *visits) = known;
            }
        }
    }

    fn scale(&mut self, factor: f32) {
        self.means_mut().for_each(|mean| *mean *= factor);
    }

    fn shift(&mut self, shift: f32) {
        self.means_mut().for_each(|mean| *mean += shift);
    }

    fn heap_bytes(&self) -> usize {
        if self.is_empty() { 0 } else { Self::HEAP_BYTES }
    }
}

/// What the hours so far say for a week of slots: how far they were from the mean of all, and from their own slots of the day, faded over a week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Evidence {
    /// Hours seen, up to a week of them.
    hours: u8,
    level: f32,
    /// Mean squares of the distance from the level and from the slot.
    level_square: f32,
    slot_square: f32,
    /// Mean product of neighbouring distances from the slots, and the last distance.
    slot_product: f32,
    last: f32,
    /// Hours of days of a kind that was never seen, and the mean square of their distance from the slots.
    strange_hours: u8,
    strange_square: f32,
}

impl Evidence {
    /// Takes an hour of a day of a kind that was never seen, whose slot of the day had this mean.
    fn learn_strange(&mut self, mean: f64, slot: f64) {
        self.strange_hours = self.strange_hours.saturating_add(1);
        let square = (mean - slot).powi(2).min(f64::from(f32::MAX));
        let known = f64::from(self.strange_square);
        self.strange_square = (known + (square - known) / f64::from(self.strange_hours)) as f32;
    }

    /// The variance that an hour of such a day may have beyond those seen: a guess, and what came of it so far.
    fn of_strange_day(&self) -> f64 {
        let guess = STRANGE_SHARE * self.explained();
        let hours = f64::from(self.strange_hours);
        (STRANGE_PRIOR_HOURS * guess + hours * self.shown_strange(guess))
            / (STRANGE_PRIOR_HOURS + hours)
    }

    /// The same of the day after: what was followed goes back, and that is as much as came.
    fn of_day_after(&self) -> f64 {
        let guess = STRANGE_SHARE * self.explained();
        match self.strange_hours {
            0 => guess,
            _ => self.shown_strange(guess),
        }
    }

    /// By how much the hours of such days were farther from the slots than others are, a variance; no more than was guessed.
    fn shown_strange(&self, guess: f64) -> f64 {
        f64::from(self.strange_square - self.slot_square).clamp(0.0, guess)
    }

    /// Takes an hour whose slot of the day had this mean after so many visits.
    fn learn(&mut self, mean: f64, slot: Option<Slot>) {
        const SQUARE_MOST: f64 = 1e37;
        let plain = 1.0 / (f64::from(self.hours) + 1.0);
        self.hours = (self.hours + 1).min(WEEK_HOURS as u8);
        let Some(Slot { mean: slot, visits }) = slot else {
            self.level += (plain * (mean - f64::from(self.level))) as f32;
            return;
        };
        let mut from_slot = mean - slot;
        if self.hours > CLIPPED_AFTER_HOURS {
            // A level that has just shifted is no rhythm: it has to last for longer than the forecast takes to follow it.
            let most = CLIP * f64::from(self.slot_square).sqrt();
            from_slot = from_slot.clamp(-most, most);
        }
        let from_level = slot + from_slot - f64::from(self.level);
        // The slot's own mean is as uncertain as it is young.
        from_slot *= (f64::from(visits) / (f64::from(visits) + 1.0)).sqrt();
        let gain = plain.max(1.0 / WEEK_HOURS as f64);
        let follow = |value: &mut f32, next: f64| {
            let next = next.clamp(-SQUARE_MOST, SQUARE_MOST);
            *value += (gain * (next - f64::from(*value))) as f32;
        };
        follow(&mut self.level_square, from_level * from_level);
        follow(&mut self.slot_square, from_slot * from_slot);
        follow(&mut self.slot_product, from_slot * f64::from(self.last));
        self.level += (gain * from_level) as f32;
        self.last = from_slot as f32;
    }

    /// The variance that hours of the day explain: beyond three standard errors of a share without.
    fn explained(&self) -> f64 {
        let doubt = 3.0 / f32::from(self.hours.max(1)).sqrt();
        f64::from(self.level_square * (1.0 - doubt) - self.slot_square).max(0.0)
    }

    /// Whether the day is seen to explain something, or to leave something that lasts from one hour to the next (a weekend does): four standard
    /// errors of a share, or of a correlation, of so many hours without either.
    fn speaks_for_a_week(&self) -> bool {
        let doubt = 4.0 / f32::from(self.hours.max(1)).sqrt();
        self.slot_square < self.level_square * (1.0 - doubt)
            || self.slot_product > self.slot_square * doubt
    }
}

/// Means by hour of the day and of the week.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    day: Ring<Day>,
    week: Ring<Week>,
    /// For 245,000 years around the epoch.
    born_hour: i32,
    evidence: Evidence,
}

impl Profile {
    /// As [`SeriesModel::prefetch_parts`](super::SeriesModel::prefetch_parts).
    pub fn prefetch_parts(&self, hour: i64) {
        prefetch(self.day.days());
        self.week.prefetch_slot(hour);
    }

    /// The band of this hour of the day; `None` where nothing was seen yet.
    pub fn day_band(&self, hour: i64) -> Option<Band> {
        self.day.band(hour, 1)
    }

    /// The band of this hour of the week once its slot was visited twice.
    pub fn week_band(&self, hour: i64) -> Option<Band> {
        self.week.band(hour, WEEK_SPEAKS_AFTER)
    }

    /// The mean of this hour of the day once visited.
    pub fn day_slot(&self, hour: i64) -> Option<f64> {
        self.day.known(Ring::<Day>::slot(hour), 1)
    }

    /// The means of this time of the day and of the week once visited: between the middles of slots by straight lines, or by steps.
    pub fn means(&self, at: EventTime, span: BucketSpan, by_steps: bool) -> [Option<f64>; 2] {
        if by_steps && let Some(share) = share_of_hour(span) {
            [self.day.step(at, share, 1), self.week.step(at, share, 1)]
        } else {
            [self.day.interpolate(at, 1), self.week.interpolate(at, 1)]
        }
    }

    /// How many buckets those means stand on.
    pub fn buckets(&self, at: EventTime, span: BucketSpan, by_steps: bool) -> [f64; 2] {
        let of_hour = (HOUR_MS as f64 / span.millis() as f64).max(1.0);
        let (day, week) = (&self.day, &self.week);
        [
            of_hour * day.visits_known(at, by_steps),
            of_hour * week.visits_known(at, by_steps),
        ]
    }

    /// The mean of this time of the week, or of the day where that is not known: by lines and by steps. `None` where it is the same.
    pub fn joints(&self, at: EventTime, span: BucketSpan) -> Option<Joints> {
        let share = share_of_hour(span)?;
        let joints = match self.week.joints(at, share) {
            Some(means) => (1, means),
            None => (0, self.day.joints(at, share)?),
        };
        let (season, [line, step, flat]) = joints;
        (line != step).then_some(Joints {
            season,
            line,
            step,
            flat,
        })
    }

    /// Whether hours of the week have slots.
    pub fn has_week(&self) -> bool {
        !self.week.is_empty()
    }

    /// What is known of this hour of the day, and of this hour of the week.
    pub fn slots(&self, hour: i64) -> [Option<Slot>; 2] {
        [self.day.what_is_known(hour), self.week.what_is_known(hour)]
    }

    /// Takes the mean of an hour that is over. Without room for a day or a week it stays as it is.
    pub fn learn(&mut self, hour: i64, mean: f64, room: &mut Room) {
        if self.evidence.hours == 0 {
            self.born_hour = hour as i32;
        }
        let known = self.day.what_is_known(hour);
        if let Some(slot) = known.filter(|_| !self.has_seen_the_like(hour)) {
            self.evidence.learn_strange(mean, slot.mean);
        }
        self.evidence.learn(mean, known);
        if self.day.is_empty() {
            if !room.grant(Ring::<Day>::HEAP_BYTES) {
                return;
            }
            self.day = Ring::new();
        }
        if self.week.is_empty() && self.asks_for_week(hour) && room.grant(Ring::<Week>::HEAP_BYTES)
        {
            self.week = self.week_from_days();
        }
        self.day.learn(hour, mean);
        if !self.week.is_empty() {
            self.week.learn(hour, mean);
        }
    }

    /// Whether a week is worth its memory: after two days, if the hours say so; or unasked where most hours have no bucket, since there weeks would pass
    /// until they could.
    fn asks_for_week(&self, hour: i64) -> bool {
        let lived = hour - i64::from(self.born_hour);
        let is_sparse = i64::from(self.evidence.hours) < lived.min(WEEK_HOURS as i64) / 2;
        lived >= WEEK_AFTER_HOURS && (is_sparse || self.evidence.speaks_for_a_week())
    }

    /// Moves every mean by `shift`: the level has changed, the shape has not.
    pub fn shift(&mut self, shift: f64) {
        self.day.shift(shift as f32);
        self.week.shift(shift as f32);
        self.evidence.level += shift as f32;
    }

    /// Makes every mean so many times as large: shape and level have changed alike.
    pub fn scale(&mut self, factor: f64) {
        self.day.scale(factor as f32);
        self.week.scale(factor as f32);
        self.evidence.level *= factor as f32;
    }

    /// Days begin so many hours later from now on.
    pub fn turn(&mut self, hours: i8) {
        self.day.turn(hours);
        self.week.turn(hours);
    }

    /// By how much a day of a kind that was never seen may be another, a variance: the first weekend, the first weekday, and the day after, when what was
    /// followed of it goes back. 0 on any other day, and where hours of the day explain nothing.
    pub fn strangeness(&self, at: EventTime) -> f64 {
        let hour = hour_of(at);
        if !self.has_seen_the_like(hour) {
            self.evidence.of_strange_day()
        } else if !self.has_seen_the_like(hour - DAY_HOURS as i64) {
            self.evidence.of_day_after()
        } else {
            0.0
        }
    }

    /// Whether this hour of the day was lived on a day of its kind: the same day a week ago, or for a weekday another one.
    fn has_seen_the_like(&self, hour: i64) -> bool {
        let lived_days = (hour - i64::from(self.born_hour)).div_euclid(DAY_HOURS as i64);
        if !(1..7).contains(&lived_days) || self.evidence.hours == 0 {
            return true;
        }
        let is_workday = |days_ago| !is_weekend(hour - days_ago * DAY_HOURS as i64);
        is_workday(0) && (1..=lived_days).any(is_workday)
    }

    /// The mean of this hour of the week once it was visited twice.
    pub fn week_slot(&self, hour: i64) -> Option<f64> {
        self.week.known(Ring::<Week>::slot(hour), WEEK_SPEAKS_AFTER)
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        self.day.heap_bytes() + self.week.heap_bytes()
    }

    /// So far hours are known only as hours of the day: the week starts from them.
    fn week_from_days(&self) -> Ring<Week> {
        let mut week = Ring::<Week>::new();
        for (hour, mean) in week.means_mut().enumerate() {
            *mean = self.day.get(hour % DAY_HOURS).map_or(0.0, |known| known.0);
        }
        week
    }
}

/// The mean of the hour that is being filled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HourMeans {
    /// For 245,000 years around the epoch.
    hour: i32,
    values: u32,
    sum: f64,
}

/// The mean of an hour that is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HourMean {
    /// Hours since the epoch.
    pub hour: i64,
    /// Mean of its buckets.
    pub mean: f64,
}

impl HourMeans {
    /// Counts in the bucket around `at`. Says which hours are over: one that ended without its last bucket, and the bucket's own if it is the last of it.
    pub fn push(&mut self, at: EventTime, x: f64, span: BucketSpan) -> [Option<HourMean>; 2] {
        let hour = hour_of(at) as i32;
        let left = if self.values > 0 && self.hour != hour {
            self.close()
        } else {
            None
        };
        self.hour = hour;
        self.sum += x;
        self.values += 1;
        let next = EventTime(at.millis() + span.millis());
        [
            left,
            if hour_of(next) as i32 != hour {
                self.close()
            } else {
                None
            },
        ]
    }

    fn close(&mut self) -> Option<HourMean> {
        let mean = self.sum / f64::from(self.values);
        (self.sum, self.values) = (0.0, 0);
        Some(HourMean {
            hour: self.hour.into(),
            mean,
        })
    }
}

/// Whether an hour is of a weekend, where most people live.
fn is_weekend(hour: i64) -> bool {
    let since_friday = (hour - FRIDAY_HOURS).rem_euclid(WEEK_HOURS as i64);
    (WEEKEND_FROM..3 * DAY_HOURS as i64 + WEEKEND_TO).contains(&since_friday)
}

/// Hours since the epoch.
pub fn hour_of(at: EventTime) -> i64 {
    at.millis().div_euclid(HOUR_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_within_an_hour_is_where_its_mean_puts_it() {
        let mut profile = Profile::default();
        for hour in 0..72 {
            let mean = match hour % 24 {
                8 => 101.5,
                9..18 => 200.0,
                _ => 3.0,
            };
            profile.learn(hour, mean, &mut Room::unlimited());
        }
        let span = BucketSpan::from_seconds(900).expect("a span");
        let at = |minutes: i64| EventTime(3 * 24 * HOUR_MS + minutes * 60_000 + 30_000);
        let mean = |minutes, by_steps| profile.means(at(minutes), span, by_steps)[0].unwrap();
        let stepped = [
            7 * 60 + 52,
            8 * 60 + 22,
            8 * 60 + 37,
            17 * 60 + 52,
            18 * 60 + 7,
        ];
        let stepped = stepped.map(|minutes| mean(minutes, true).round());
        assert_eq!(stepped, [3.0, 3.0, 200.0, 200.0, 3.0]);
        assert!(
            (mean(17 * 60 + 59, false) - 101.5).abs() < 5.0,
            "half-way down"
        );
        let joints = profile.joints(at(17 * 60 + 52), span).expect("they differ");
        assert!(joints.step == 200.0 && joints.flat == 200.0 && joints.line < 140.0);
    }
}
