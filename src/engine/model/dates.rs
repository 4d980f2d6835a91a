//! Days of the month on which a series regularly does something else: billing on the first, payroll on the last working day. And dates that come again each year.
//!
//! [`DayWatch`] follows how far days are from what their hours say, on average; a day is far out when it is, by [`FAR`] usual errors, or when its farthest hour is [`FAR_PEAK`] times as far as those of other days. Such days are
//! logged ([`Dates`]), with what each hour was above or below the profile, and this grows on evidence: a series without far-out days has no log. When a day is far out that no known one
//! explains, each of its [names](super::month) is asked how often its days were logged, about as far out and of about the same shape (the regression of one on the other is within a half
//! of 1), and how often not. Each time that speaks for the name by as much as far-out days are rare otherwise, each missing one against it; the sum, never below 0 (Page 1954), makes it believed from
//! [`BELIEF`] nats on: as a rule after three months. From then on the median of its last logged days is part of the forecast, and no longer of the hours' means or of any level, so one odd month teaches
//! little. It is given up when it fails to come twice in a row.
//! *Years*: a date comes too seldom to be believed by itself. What was far out a year ago speaks for all such dates together when it is far out again, and against them when not; while they are believed, each logged
//! day is expected to come again a year later, with so much doubt that its failing to come is no anomaly.
//! What lasts for more than [`LASTS`] days, or springs back after such a day, is no day.
//! Units: differences from the profile; days since the epoch (UTC). Holds: finite; bounded; judging changes nothing; equal series, equal bytes.
//! Checked by: tests/dates.rs.

use super::Room;
use super::month::{CivilDay, MonthDay};
use super::profile::HOUR_MS;
use super::pulse::Due;
use crate::time::{BucketSpan, EventTime};
use serde::{Deserialize, Serialize};

const DAY_MS: i64 = 86_400_000;
const DAY_HOURS: i64 = 24;
/// A day is far out beyond so many usual errors, or where its farthest hour is so many times as far as those usually are.
const FAR: f64 = 4.0;
const FAR_PEAK: f64 = 2.5;
/// Another season leaves less than this share of the squared errors before days are measured against it.
const BETTER: f64 = 0.6;
/// Days after which it is known what is usual.
const MATURE_DAYS: u8 = 14;
/// Days over which usual errors are forgotten; errors beyond so many of them, squared, count as so many.
const MEMORY_DAYS: f64 = 56.0;
const ERROR_CLIP: f64 = 9.0;
/// The level that days are held against follows them by this, and by that where one lasts or springs back.
const LEVEL_GAIN: f64 = 0.25;
const LASTING_GAIN: f64 = 0.5;
/// Days in a row that may all be special ones.
const LASTS: i8 = 3;
/// It came again when it is so much of what is expected, give or take.
const AGAIN: f64 = 0.5;
/// A day that there is comes so often, and a date again a year later.
const COMES: f64 = 0.9;
const COMES_IN_A_YEAR: f64 = 0.5;
/// What it takes to believe in it, nats; it never has more than twice as many.
const BELIEF: f64 = 8.0;
/// Names believed in at a time.
const KNOWN_MOST: usize = 6;
/// Logged days, at the most, and for how many of them memory is taken at a time.
const LOGGED_MOST: usize = 32;
const LOGGED_STEP: usize = 8;
/// The last so many of a name say what is expected.
const TELLING: usize = 6;
/// What days of a name differ by before that is known, as a share of what they are; the same of what came once, or failed last time.
const OFF_AT_FIRST: f32 = 0.25;
const OFF_IN_DOUBT: f32 = 0.5;
/// The least weight of one more visit.
const VISIT_GAIN: f32 = 0.2;
/// Steps of a kept shape.
const SHAPE_STEPS: f32 = 127.0;
/// Larger distances count as this.
const MOST: f64 = 1e30;

/// How far days are from their hours: what every series that is here to stay remembers of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct DayWatch {
    day: i32,
    /// Of the day that is going on.
    sum: f32,
    units: u8,
    /// Days that were seen, saturating.
    days: u8,
    /// Far-out days in a row so far; negative where they are low.
    run: i8,
    /// What they are measured against: as they come, or less the day, or the week.
    season: Option<u8>,
    /// Where days are lately, and the root of the mean square of how far they are from there.
    level: f32,
    error: f32,
    /// How far the farthest hour of the day is so far, and the root of its mean square on other days.
    peak: f32,
    peaks: f32,
}

/// A day that is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct DayOver {
    day: i32,
    /// Its mean, from the level of days.
    off: f32,
    /// Whether it is far out, or an hour of it.
    is_far: bool,
    /// Whether it may be a special one: none that lasts, or springs back.
    is_single: bool,
}

/// What an hour has told of days.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct HourSeen {
    /// The day before, where the hour is the first since, and the hour's own day, where it is its last.
    over: [Option<DayOver>; 2],
    day: i32,
    unit: usize,
    /// From the level of days.
    off: f32,
}

/// Hours (buckets, where these are longer) of a day; `None` where days are not made of whole ones.
pub(super) fn units(span: BucketSpan) -> Option<usize> {
    let unit_ms = span.millis().max(HOUR_MS);
    (DAY_MS % unit_ms == 0).then_some((DAY_MS / unit_ms) as usize)
}

fn day_and_unit(hour: i64, units: usize) -> (i32, usize) {
    let day = hour.div_euclid(DAY_HOURS);
    let unit = hour.rem_euclid(DAY_HOURS) as usize * units / DAY_HOURS as usize;
    (day.clamp(i32::MIN.into(), i32::MAX.into()) as i32, unit)
}

impl DayWatch {
    /// What days are measured against may be chosen anew when one begins.
    pub(super) fn season(
        &mut self,
        hour: i64,
        square: impl Fn(Option<usize>) -> Option<f64>,
        level: impl Fn(Option<usize>) -> f64,
    ) -> Option<usize> {
        let begins = self.units == 0 || hour.div_euclid(DAY_HOURS) != i64::from(self.day);
        if begins {
            let own = self.season.map(usize::from);
            let mut best = (own, square(own).map_or(f64::INFINITY, |own| own * BETTER));
            for season in [None, Some(0), Some(1)] {
                if let Some(square) = square(season).filter(|&square| square < best.1) {
                    best = (season, square);
                }
            }
            if best.0 != own {
                self.season = best.0.map(|season| season as u8);
                self.level = level(best.0).clamp(-MOST, MOST) as f32;
                self.days = 0;
            }
        }
        self.season.map(usize::from)
    }

    /// An hour of so many a day was so far from what its season says.
    pub(super) fn see(&mut self, hour: i64, rest: f64, units: usize) -> HourSeen {
        let (day, unit) = day_and_unit(hour, units);
        let before = if day == self.day {
            None
        } else {
            self.close(units)
        };
        if day.saturating_sub(self.day) > 1 {
            self.run = 0;
        }
        self.day = day;
        let rest = rest.clamp(-MOST, MOST);
        self.sum += rest as f32;
        self.units = self.units.saturating_add(1);
        let off = (rest - f64::from(self.level)) as f32;
        self.peak = self.peak.max(off.abs());
        let over = if unit + 1 == units {
            self.close(units)
        } else {
            None
        };
        HourSeen {
            over: [before, over],
            day,
            unit,
            off,
        }
    }

    fn close(&mut self, units: usize) -> Option<DayOver> {
        let seen = std::mem::take(&mut self.units);
        let sum = std::mem::take(&mut self.sum);
        let peak = f64::from(std::mem::take(&mut self.peak));
        if usize::from(seen) * 2 < units || seen == 0 {
            return None;
        }
        let off = f64::from(sum) / f64::from(seen) - f64::from(self.level);
        let (square, usual) = (off * off, f64::from(self.error).powi(2));
        let usual_peak = f64::from(self.peaks).powi(2);
        let is_known = self.days >= MATURE_DAYS;
        let has_peak = units > 1 && peak * peak > FAR_PEAK * FAR_PEAK * usual_peak;
        let is_off = square > FAR * FAR * usual;
        let is_far = is_known && usual > 0.0 && (is_off || has_peak);
        let side = if off > 0.0 { 1 } else { -1 };
        let springs_back = is_far && self.run * side < 0;
        self.run = match is_far && !springs_back {
            true => self.run.saturating_add(side),
            false => 0,
        };
        let lasts = self.run.abs() > LASTS;
        let reach = (ERROR_CLIP * usual).sqrt();
        let plain = 1.0 / (f64::from(self.days) + 1.0);
        let moves = match (lasts || springs_back, is_known) {
            (true, _) => LASTING_GAIN * off,
            (false, true) => LEVEL_GAIN * off.clamp(-reach, reach),
            (false, false) => plain.max(LEVEL_GAIN) * off,
        };
        self.level = (f64::from(self.level) + moves).clamp(-MOST, MOST) as f32;
        // The first day is no distance from anything.
        if self.days > 0 {
            let gain = (1.0 / f64::from(self.days)).max(1.0 / MEMORY_DAYS);
            let follow = |usual: f64, square: f64, clip: f64| {
                let most = match is_known && usual > 0.0 {
                    true => clip * usual,
                    false => f64::INFINITY,
                };
                (usual + gain * (square.min(most) - usual)).max(0.0).sqrt() as f32
            };
            self.error = follow(usual, square, ERROR_CLIP);
            self.peaks = follow(usual_peak, peak * peak, FAR_PEAK * FAR_PEAK);
        }
        self.days = self.days.saturating_add(1);
        Some(DayOver {
            day: self.day,
            off: off as f32,
            is_far,
            is_single: !lasts && !springs_back,
        })
    }

    /// Levels have begun anew.
    pub(super) fn restart(&mut self) {
        (self.level, self.sum, self.units, self.peak) = (0.0, 0.0, 0, 0.0);
    }
}

impl HourSeen {
    /// The middle of the day that is told of.
    pub(super) fn since(&self) -> EventTime {
        let day = self
            .over
            .iter()
            .flatten()
            .next()
            .map_or(self.day, |over| over.day);
        EventTime(i64::from(day) * DAY_MS + DAY_MS / 2)
    }

    /// Whether it asks for a log.
    pub(super) fn is_far(&self) -> bool {
        let mut over = self.over.iter().flatten();
        over.any(|over| over.is_far && over.is_single)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Logged {
    day: i32,
    /// One step of its shape.
    step: f32,
}

/// A name that is believed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    name: MonthDay,
    visits: u8,
    /// How often in a row it failed to come.
    missed: u8,
    /// Mean square of what it was off by, as shares of what was expected.
    square: f32,
}

/// What has become known, or has ceased to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Turn {
    Month(MonthDay, bool),
    Year(bool),
}

/// The far-out days of a series, and what is known of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Dates {
    /// The first day from which all far-out days are logged.
    since: i32,
    /// The day that is going on, and how far each hour was.
    today: i32,
    offs: Box<[f32]>,
    log: Vec<Logged>,
    /// One after the other, so many steps an hour.
    shapes: Vec<i8>,
    known: [Option<Known>; KNOWN_MOST],
    /// What speaks for dates coming again after a year, nats, and whether that is believed.
    year: f32,
    year_told: bool,
}

impl Dates {
    /// Bytes of one that has nothing logged, and of one that has.
    pub(super) fn bytes(units: usize, logged: usize) -> usize {
        let steps = logged.next_multiple_of(LOGGED_STEP);
        size_of::<Dates>() + units * size_of::<f32>() + steps * (size_of::<Logged>() + units)
    }

    /// Of a series that has not had a far-out day before this one, whose hours were not looked at.
    pub(super) fn new(watch: &DayWatch, seen: &HourSeen, units: usize) -> Dates {
        let off = seen
            .over
            .iter()
            .flatten()
            .last()
            .map_or(0.0, |over| over.off);
        Dates {
            since: watch.day.saturating_sub(watch.days.into()),
            today: seen
                .over
                .iter()
                .flatten()
                .last()
                .map_or(seen.day, |over| over.day),
            offs: vec![off; units].into_boxed_slice(),
            log: Vec::new(),
            shapes: Vec::new(),
            known: [None; KNOWN_MOST],
            year: 0.0,
            year_told: false,
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        Dates::bytes(self.offs.len(), self.log.len()) - size_of::<Dates>()
    }

    /// Whether any day is expected to be another one.
    pub(super) fn any(&self) -> bool {
        self.year_told || self.known.iter().any(Option::is_some)
    }

    /// What is expected at `at` beyond what the hour says.
    pub(super) fn due(&self, at: EventTime) -> Option<Due> {
        if !self.any() {
            return None;
        }
        let hour = at.millis().div_euclid(HOUR_MS);
        let (day, unit) = day_and_unit(hour, self.offs.len());
        let civil = CivilDay::of(day.into());
        let (excess, square) = match self.known_of(&civil) {
            Some(known) => {
                let off = match known.missed {
                    0 => known.square,
                    _ => known.square.max(OFF_IN_DOUBT * OFF_IN_DOUBT),
                };
                (self.expected(known.name, unit), off)
            }
            None => {
                let before = self.a_year_before(&civil, day)?;
                (self.value(before, unit), OFF_IN_DOUBT * OFF_IN_DOUBT)
            }
        };
        Some(Due {
            excess: excess.into(),
            square: f64::from(square) * f64::from(excess).powi(2),
        })
    }

    /// The name that speaks for a day: of several, the one that was seen most often.
    fn known_of(&self, civil: &CivilDay) -> Option<&Known> {
        let of_day = self
            .known
            .iter()
            .flatten()
            .filter(|known| civil.is(known.name));
        of_day.max_by_key(|known| (u8::MAX - known.missed, known.visits))
    }

    /// The logged day of the same date a year before, where such days are believed to come again.
    fn a_year_before(&self, civil: &CivilDay, day: i32) -> Option<usize> {
        if self.year_told {
            self.logged_a_year_before(civil, day)
        } else {
            None
        }
    }

    fn logged_a_year_before(&self, civil: &CivilDay, day: i32) -> Option<usize> {
        self.log.iter().position(|logged| {
            (365..=366).contains(&(day - logged.day)) && {
                let before = CivilDay::of(logged.day.into());
                civil.is_a_year_after(&before) && self.known_of(&before).is_none()
            }
        })
    }

    fn value(&self, logged: usize, unit: usize) -> f32 {
        let step = f32::from(self.shapes[logged * self.offs.len() + unit]);
        step * self.log[logged].step
    }

    /// The median of the last days of a name, or the mean of two.
    fn expected(&self, name: MonthDay, unit: usize) -> f32 {
        let mut values = [0.0; TELLING];
        let mut count = 0;
        for (at, logged) in self.log.iter().enumerate().rev() {
            if count < TELLING && CivilDay::of(logged.day.into()).is(name) {
                values[count] = self.value(at, unit);
                count += 1;
            }
        }
        let values = &mut values[..count];
        values.sort_by(f32::total_cmp);
        match count {
            0 => 0.0,
            _ => 0.5 * (values[(count - 1) / 2] + values[count / 2]),
        }
    }

    /// How many times what is expected a day was: the regression of the one on the other; 0 where nothing was.
    fn fit(&self, off: impl Fn(usize) -> f32, expected: impl Fn(usize) -> f32) -> f64 {
        let (mut product, mut square) = (0.0, 0.0);
        for unit in 0..self.offs.len() {
            let expected = f64::from(expected(unit));
            product += f64::from(off(unit)) * expected;
            square += expected * expected;
        }
        if square > 0.0 { product / square } else { 0.0 }
    }

    fn fit_of_today(&self, expected: impl Fn(usize) -> f32) -> f64 {
        self.fit(|unit| self.offs[unit], expected)
    }

    /// Takes an hour. Says what has become known, or has ceased to be.
    pub(super) fn learn(&mut self, seen: &HourSeen, room: &mut Room) -> Option<Turn> {
        let [before, over] = seen.over;
        let mut turn = before.and_then(|before| self.close(&before, room));
        if seen.day != self.today {
            self.begin(seen.day);
        }
        if let Some(off) = self.offs.get_mut(seen.unit) {
            *off = seen.off;
        }
        if let Some(over) = over {
            turn = self.close(&over, room).or(turn);
            self.begin(seen.day);
        }
        turn
    }

    fn begin(&mut self, day: i32) {
        self.today = day;
        self.offs.fill(0.0);
    }

    fn close(&mut self, over: &DayOver, room: &mut Room) -> Option<Turn> {
        if over.day != self.today {
            return None;
        }
        let civil = CivilDay::of(over.day.into());
        let (explained, mut turn) = self.learn_known(&civil);
        let is_far = over.is_far && over.is_single;
        if !explained {
            turn = self.learn_year(&civil, over.day, is_far).or(turn);
        }
        if is_far {
            self.log(over.day, room);
            // A day whose name is known needs no other.
            if self.known_of(&civil).is_none() {
                turn = self.look_for_name(&civil, over.day).or(turn);
            }
        }
        turn
    }

    /// Holds the day against what is known of its names; whether any of them explains it.
    fn learn_known(&mut self, civil: &CivilDay) -> (bool, Option<Turn>) {
        let (mut explained, mut turn) = (false, None);
        for at in 0..KNOWN_MOST {
            let Some(known) = self.known[at].filter(|known| civil.is(known.name)) else {
                continue;
            };
            let shape = self.shape_of(known.name);
            let off = self.fit_of_today(|unit| shape[unit]) - 1.0;
            let came = off.abs() <= AGAIN;
            explained |= came;
            let gain = (1.0 / (f32::from(known.visits) + 1.0)).max(VISIT_GAIN);
            let next = match came {
                true => Known {
                    visits: known.visits.saturating_add(1),
                    missed: 0,
                    square: known.square + gain * ((off * off) as f32 - known.square),
                    ..known
                },
                false => Known {
                    missed: known.missed + 1,
                    ..known
                },
            };
            self.known[at] = (next.missed < 2).then_some(next);
            if self.known[at].is_none() {
                turn = Some(Turn::Month(known.name, false));
            }
        }
        (explained, turn)
    }

    fn shape_of(&self, name: MonthDay) -> [f32; DAY_HOURS as usize] {
        std::array::from_fn(|unit| match unit < self.offs.len() {
            true => self.expected(name, unit),
            false => 0.0,
        })
    }

    /// Whether what was logged a year ago comes again.
    fn learn_year(&mut self, civil: &CivilDay, day: i32, is_far: bool) -> Option<Turn> {
        let before = self.logged_a_year_before(civil, day)?;
        let off = self.fit_of_today(|unit| self.value(before, unit)) - 1.0;
        let came = off.abs() <= AGAIN;
        let rarity = self.rarity(day, |_| false);
        let told = match came && is_far {
            true => (COMES_IN_A_YEAR / rarity).ln(),
            // What is no longer far out, but leans to that side, tells nothing.
            false if came => 0.0,
            false => (1.0 - COMES_IN_A_YEAR).ln(),
        };
        self.year = (f64::from(self.year) + told).clamp(0.0, 2.0 * BELIEF) as f32;
        let is_told = f64::from(self.year) > if self.year_told { 0.0 } else { BELIEF };
        let changed = is_told != self.year_told;
        self.year_told = is_told;
        changed.then_some(Turn::Year(is_told))
    }

    /// How often a day is far out that no name explains, leaving out some (rule of succession).
    fn rarity(&self, day: i32, without: impl Fn(&CivilDay) -> bool) -> f64 {
        let others = self.log.iter().filter(|logged| {
            let civil = CivilDay::of(logged.day.into());
            logged.day != day && !without(&civil) && self.known_of(&civil).is_none()
        });
        let days = f64::from(day.saturating_sub(self.since).max(1));
        ((others.count() as f64 + 1.0) / (days + 1.0)).min(1.0)
    }

    /// Asks each name of a far-out day, the last in the log, how often its days were.
    fn look_for_name(&mut self, civil: &CivilDay, day: i32) -> Option<Turn> {
        let last = self
            .log
            .len()
            .checked_sub(1)
            .filter(|&last| self.log[last].day == day)?;
        let mut best: Option<(MonthDay, f64, u8)> = None;
        for name in civil.names() {
            let (credit, visits) = self.speaks_for(name, last);
            if best.is_none_or(|(_, most, _)| credit > most) {
                best = Some((name, credit, visits));
            }
        }
        let (name, credit, visits) = best?;
        if credit < BELIEF || self.known.iter().flatten().any(|known| known.name == name) {
            return None;
        }
        self.forget_parts_of(name);
        let free = self.known.iter_mut().find(|known| known.is_none())?;
        *free = Some(Known {
            name,
            visits,
            missed: 0,
            square: OFF_AT_FIRST * OFF_AT_FIRST,
        });
        Some(Turn::Month(name, true))
    }

    /// A name whose logged days are all of another, new one was a part of it: the last day of the month, where it is the last working day.
    fn forget_parts_of(&mut self, name: MonthDay) {
        for known in &mut self.known {
            let is_part = known.is_some_and(|known| {
                let mut days = self
                    .log
                    .iter()
                    .map(|logged| CivilDay::of(logged.day.into()));
                days.all(|day| !day.is(known.name) || day.is(name))
            });
            if is_part {
                *known = None;
            }
        }
    }

    /// What speaks for a name by the log that ends with `last`, nats, and how often it came.
    fn speaks_for(&self, name: MonthDay, last: usize) -> (f64, u8) {
        let told = (COMES / self.rarity(self.log[last].day, |civil| civil.is(name))).ln();
        let missing = (1.0 - COMES).ln();
        let (mut credit, mut visits) = (0.0, 0_u8);
        let mut before: Option<CivilDay> = None;
        for (at, logged) in self.log.iter().enumerate() {
            let civil = CivilDay::of(logged.day.into());
            let fit = || self.fit(|unit| self.value(at, unit), |unit| self.value(last, unit));
            if !civil.is(name) || (fit() - 1.0).abs() > AGAIN {
                continue;
            }
            // The first one was looked for; it tells nothing.
            if let Some(before) = before {
                let missed = (civil.months_since(&before) - 1).max(0) as f64;
                credit = f64::max(credit + missed * missing, 0.0);
                credit = (credit + told).min(2.0 * BELIEF);
            }
            visits = visits.saturating_add(1);
            before = Some(civil);
        }
        (credit, visits)
    }

    /// Keeps a far-out day; in the place of the oldest, where there is none left.
    fn log(&mut self, day: i32, room: &mut Room) {
        let units = self.offs.len();
        let held = self.log.len().next_multiple_of(LOGGED_STEP);
        let is_full = self.log.len() == LOGGED_MOST
            || self.log.len() == held && !room.grant(LOGGED_STEP * (size_of::<Logged>() + units));
        if is_full {
            let Some(oldest) = self.oldest() else { return };
            if self
                .known_of(&CivilDay::of(self.log[oldest].day.into()))
                .is_none()
            {
                self.since = self.log[oldest].day.saturating_add(1);
            }
            self.log.remove(oldest);
            self.shapes.drain(oldest * units..(oldest + 1) * units);
        } else if self.log.len() == held {
            self.log.reserve_exact(LOGGED_STEP);
            self.shapes.reserve_exact(LOGGED_STEP * units);
        }
        let most = self
            .offs
            .iter()
            .fold(0.0, |most: f32, off| most.max(off.abs()));
        let step = most / SHAPE_STEPS;
        self.log.push(Logged { day, step });
        let offs = self.offs.iter();
        self.shapes.extend(offs.map(|off| match step > 0.0 {
            true => (off / step).round() as i8,
            false => 0,
        }));
    }

    /// The logged day that is needed least: of a known name the oldest that no longer says what is expected, else the oldest of all.
    fn oldest(&self) -> Option<usize> {
        let is_spare = |at: &usize| {
            let civil = CivilDay::of(self.log[*at].day.into());
            self.known_of(&civil).is_some_and(|known| {
                let newer = self.log[at + 1..].iter();
                let same = newer.filter(|newer| CivilDay::of(newer.day.into()).is(known.name));
                same.count() >= TELLING
            })
        };
        (0..self.log.len())
            .find(is_spare)
            .or((!self.log.is_empty()).then_some(0))
    }

    /// All that a series does is so many times as large.
    pub(super) fn scale(&mut self, factor: f64) {
        for logged in &mut self.log {
            logged.step *= factor as f32;
        }
    }
}
