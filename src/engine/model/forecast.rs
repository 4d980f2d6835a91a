//! What the next value of a series is expected to be: the best of a few simple predictors.
//!
//! Candidates: the last value, levels with gains 1/4, 1/16, 1/64 and 1/512, the mean of all since the level last shifted, a level with a slope (Holt 1957), and the hour of the
//! day and of the week, each with a level of its own for what the season leaves, its hours joined by lines or by steps ([`edges`](super::edges)), and a rhythm of its own
//! ([`rhythm`](super::rhythm)). Single buckets that regularly do something else are added to whichever speaks ([`pulse`](super::pulse)). Each keeps a fading mean square of its errors and how often it spoke; the
//! one with the least (a penalty for the restless) speaks. So a level shift is followed within a few buckets: the quick levels err less and win.
//! Units: values as they come. Holds: the forecast is finite; judging changes nothing.

use super::Room;
use super::dates::{self, Dates, HourSeen, Turn};
use super::edges::Edges;
use super::outlook::{Heard, Outlook};
use super::profile::{HOUR_MS, HourMeans, Joints, Profile, Slot, hour_of};
use super::pulse::{Due, Pulses};
use super::residual::Residuals;
use super::rhythm::{Others, Rhythm};
use super::surprise::SeasonView;
use super::watch::{ClockWatch, LevelWatch, SeasonWatch, Shift};
use super::{Change, Noticed};
use crate::time::{BucketSpan, EventTime};
use serde::{Deserialize, Serialize};

const CANDIDATES: usize = 10;
/// Buckets over which errors are forgotten.
const ERROR_MEMORY: f64 = 1000.0;
/// A challenger must err by this factor less (mean square) than any earlier in the list: the calm go first.
const CALM_ADVANTAGE: f64 = 0.6;
/// Errors beyond this many times the usual square count as this many, so that one outlier does not choose the predictor.
const ERROR_CLIP: f64 = 9.0;
const HOLT_LEVEL_GAIN: f64 = 0.2;
const HOLT_SLOPE_GAIN: f64 = 0.02;
const SEASON_LEVEL_GAIN: f64 = 1.0 / 16.0;
/// Values far out on one side in a row that make a new level rather than outliers.
const SHIFT_RUN: u16 = 6;
/// The same where the season speaks, hours: what is over within a day is an event, not a new level.
const SEASONAL_SHIFT_HOURS: u16 = 24;
/// Values after which it is known what is far out.
const PULSES_AFTER: u32 = 100;
/// Seasonal predictors come first.
const SEASONAL: usize = 3;
/// The mean of all, and the slowest level.
const MEAN: usize = 3;
const SLOWEST: usize = 4;
/// The level with a slope.
const HOLT: usize = CANDIDATES - 2;
/// The last value.
const LAST: usize = CANDIDATES - 1;
const WEEK: usize = 0;
const DAY: usize = 1;
const RHYTHM: usize = 2;
const WEEK_HOURS: i64 = 168;

/// Mean squares of the predictors' errors, and how often each spoke.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tracks {
    squares: [f32; CANDIDATES],
    counts: [u16; CANDIDATES],
}

/// A pool of predictors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Forecaster {
    steps: u32,
    last: f64,
    levels: [f64; 4],
    mean: f64,
    /// Values that the mean is of.
    mean_values: u32,
    holt: [f64; 2],
    /// What the hour of the day and of the week leave, on average lately.
    left: [f64; 2],
    tracks: Tracks,
    level_watch: LevelWatch,
    /// Once there is a week, or a pulse.
    calendar: Option<Box<Calendar>>,
    season_watch: SeasonWatch,
    /// Whether the season spoke last.
    seasonal: bool,
    filling: HourMeans,
    profile: Profile,
    rhythm: Rhythm,
}

/// What is known of the times of a day beyond the means of its hours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Calendar {
    clock: ClockWatch,
    edges: Edges,
    /// Once something was far out.
    pulses: Option<Box<Pulses>>,
    /// Once a day was far out.
    dates: Option<Box<Dates>>,
}

/// A value to be learnt.
#[derive(Clone, Copy, Debug)]
pub struct Believed {
    /// As it came.
    pub came: f64,
    /// As far as it is believed.
    pub x: f64,
    /// By the distribution around the forecast.
    pub is_unusual: bool,
}

/// By how much less values vary in a bucket than in the one before.
#[derive(Clone, Copy, Debug)]
pub struct Calmer<'r> {
    /// So many times as much, 1 at the most, as far as it has been shown.
    pub ratio: f64,
    /// Of counts: their law says it.
    pub counts: Option<&'r Residuals>,
}

impl Calmer<'_> {
    /// The same where the season goes from one mean to another.
    fn from(self, before: f64, now: f64) -> f64 {
        match self.counts {
            Some(law) if now < before => self
                .ratio
                .min(law.count_deviation(now) / law.count_deviation(before)),
            _ => self.ratio,
        }
    }
}

impl Default for Calmer<'_> {
    fn default() -> Self {
        Calmer {
            ratio: 1.0,
            counts: None,
        }
    }
}

/// What learning a value has come to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Learned {
    /// What forecasts leave is another thing than before.
    pub changed: bool,
    /// A step or a pulse is believed that was not.
    pub knows_more: bool,
    /// There is a season, and every hour of the week has been seen now: what was claimed before was claimed in ignorance.
    pub knows_week: bool,
    /// What has changed about the series.
    pub noticed: Option<Noticed>,
}

/// How a forecast was found: learning the value that came needs it again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Foresight {
    /// The means of the hour of the day and of the week.
    seasonal: [Option<f64>; 2],
    /// What its own rhythm says.
    rhythm: Option<f64>,
    /// The predictor that spoke.
    best: usize,
    /// What was expected by a predictor that follows nothing quickly.
    calm: f64,
    /// The shares of what day and week left lately that go over a step.
    kept: [f64; 2],
    /// What a pulse adds to both, and what the day of the month or of the year.
    pulse: Option<Due>,
    date: Option<Due>,
}

impl Foresight {
    /// The least that a count can be expected to be: the predictor that spoke has seen so few buckets that nothing in them shows no rate of nothing. Of Jeffreys' prior
    /// half an event is left, spread over its memory.
    pub fn least_count(&self) -> f64 {
        let gain = match self.best {
            LAST => 1.0,
            HOLT => HOLT_LEVEL_GAIN,
            level if level > SLOWEST => LEVEL_GAINS[level - SLOWEST],
            _ => return 0.0,
        };
        0.5 * gain / (2.0 - gain)
    }

    /// What was expected by a predictor that follows nothing quickly: not a mode that lasts for a while either.
    pub fn calm(&self) -> f64 {
        self.calm
    }

    /// What the views that know no dates are to be spared of a value: what its date adds, where that came, or where its absence would be one. `typical` is what
    /// was expected with it.
    pub fn of_date(&self, x: f64, typical: f64) -> f64 {
        match self.date {
            Some(date) if !date.is_in_doubt() || date.came(x, typical) => date.excess,
            _ => 0.0,
        }
    }

    /// The same of a value that is learnt: nothing, where the date's day did not come.
    pub fn of_date_that_came(&self, x: f64, typical: f64) -> f64 {
        let date = self.date.filter(|date| date.came(x, typical));
        date.map_or(0.0, |date| date.excess)
    }

    /// What would be expected without a date.
    pub fn undated(&self, expected: f64) -> f64 {
        expected - self.date.map_or(0.0, |date| date.excess)
    }

    fn of_pulse(&self) -> f64 {
        self.pulse.map_or(0.0, |pulse| pulse.excess)
    }
}

/// A value as it came, and as far as it is believed, without what was due; where that did not come there is none to take away.
fn without(due: Option<Due>, came: f64, x: f64, expected: f64) -> (f64, f64) {
    match due {
        None => (came, x),
        Some(Due { excess, .. }) if (came - excess - expected).abs() < (came - expected).abs() => {
            (came - excess, x - excess)
        }
        Some(_) => (came, came),
    }
}

const LEVEL_GAINS: [f64; 4] = [1.0 / 512.0, 1.0 / 64.0, 1.0 / 16.0, 0.25];

impl Forecaster {
    /// As [`SeriesModel::touch`](super::SeriesModel::touch).
    pub fn touch(&self) -> u64 {
        self.profile.touch()
    }

    /// Values seen.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// The level of the last few values: within their range.
    pub fn level(&self) -> f64 {
        self.levels[3]
    }

    /// The next value expected at `at`, and how it was found; `None` before the first value. `calmer`: by how much less than in the bucket before values vary now.
    pub fn forecast(
        &self,
        at: EventTime,
        span: BucketSpan,
        calmer: Calmer<'_>,
    ) -> Option<(f64, Foresight)> {
        if self.steps == 0 {
            return None;
        }
        let (seasonal, rhythm) = (self.seasonal(at, span), self.rhythm.expected(at));
        let kept = self.kept(at, span, seasonal, calmer);
        let (pulse, date) = (self.pulse(at, span), self.date(at));
        let due = [pulse, date].into_iter().flatten();
        let due: f64 = due.map(|due| due.excess).sum();
        let left = [self.left[0] * kept[0], self.left[1] * kept[1]];
        let candidates = self.candidates(seasonal, left, rhythm);
        let best = self.best(&candidates);
        let expected = candidates[best].expect("the best one speaks");
        let calm = match best {
            RHYTHM => expected,
            _ => self.calm(seasonal),
        };
        let foresight = Foresight {
            seasonal,
            rhythm,
            best,
            calm: calm + due,
            kept,
            pulse,
            date,
        };
        Some((expected + due, foresight))
    }

    /// Learns a value, as it came and as far as it is believed; `foresight` is what [`forecast`](Self::forecast) found for `at`, if it was asked. What it
    /// does over hours goes into `outlook`, against a profile that has not seen the hour.
    pub fn learn(
        &mut self,
        at: EventTime,
        Believed {
            came,
            x,
            is_unusual,
        }: Believed,
        span: BucketSpan,
        foresight: Option<Foresight>,
        outlook: Option<&mut Outlook>,
        room: &mut Room,
    ) -> Learned {
        let Some(known) = foresight.or_else(|| Some(self.forecast(at, span, Calmer::default())?.1))
        else {
            self.restart(x);
            let heard = Heard {
                x,
                kept_back: came - x,
                of_rhythm: None,
            };
            self.learn_season(at, heard, span, outlook, room);
            return Learned::default();
        };
        let Foresight {
            seasonal,
            rhythm,
            best,
            kept,
            ..
        } = known;
        self.left = [self.left[0] * kept[0], self.left[1] * kept[1]];
        let candidates = self.candidates(seasonal, self.left, rhythm);
        let expected = candidates[best].expect("the best one speaks");
        let usual = f64::from(self.tracks.squares[best]);
        let joints = self.profile.joints(at, span);
        let whole = came;
        let (came, x) = without(known.date, came, x, expected + known.of_pulse());
        let of_date = whole - came;
        let rest = self.unexplained(came, expected, &candidates, joints);
        let [is_new, is_again] = Pulses::is_far(rest, usual);
        let is_far = [is_new && is_unusual && self.steps > PULSES_AFTER, is_again];
        let mut knows_more = self.learn_pulses(at, rest, is_far, span, room);
        let (came, mut x) = without(known.pulse, came, x, expected);
        if x != came {
            // What any of them knows is no outlier, whoever spoke.
            let (reach, rest) = (
                (x - expected).abs(),
                self.unexplained(came, expected, &candidates, joints),
            );
            x = came - rest + rest.clamp(-reach, reach);
        }
        knows_more |= self.learn_edges(at, x, usual, joints) && best < RHYTHM;
        let known = (expected, usual, best);
        let shift = self.watch_level(at, came, known, seasonal, span, room);
        let moves_profile = shift.is_some_and(|shift| self.moves_profile(at, &shift, seasonal));
        let of_rhythm = self.rhythm.shape(at);
        let rhythm = self.learn_rhythm(at, x, candidates, span, room);
        self.learn_tracks(x, &candidates, usual);
        self.learn_levels(x, seasonal);
        let heard = Heard {
            x,
            kept_back: of_date + came - x,
            of_rhythm,
        };
        let noticed = self.learn_season(at, heard, span, outlook, room);
        // What the day of the month has come to explain is no new level.
        let is_dated = noticed.is_some_and(|noticed| noticed.change.is_a_date());
        let shift = shift.filter(|_| !is_dated);
        if let Some(shift) = &shift {
            match shift.factor {
                Some(factor) => {
                    if let Some(pulses) = self.pulses_mut() {
                        pulses.scale(factor);
                    }
                    if let Some(dates) = self.dates_mut() {
                        dates.scale(factor);
                    }
                    self.profile.scale(factor);
                    self.rhythm.scale(factor);
                }
                None => {
                    if moves_profile {
                        self.profile.shift(shift.by);
                    }
                    self.rhythm.shift(shift.by);
                }
            }
            self.restart_levels(shift.level);
            self.mean_values = u32::from(shift.values);
        }
        self.steps = self.steps.saturating_add(1);
        let knows_week = self.season_watch.is_there() && self.has_seen_a_week(span);
        let changed = self.seasonal != (best < SEASONAL) || knows_more;
        self.seasonal = best < SEASONAL;
        Learned {
            changed,
            knows_more,
            knows_week,
            noticed: shift.map(|shift| shift.noticed()).or(noticed).or(rhythm),
        }
    }

    /// Whether this bucket was the one that made it a week since the hours of the week began to be held against values.
    fn has_seen_a_week(&self, span: BucketSpan) -> bool {
        let week = (WEEK_HOURS * HOUR_MS / span.millis()).clamp(1, i64::from(u16::MAX) - 1);
        i64::from(self.tracks.counts[WEEK]) == week
    }

    /// What a pulse, and the day of the month or of the year, add at `at`.
    pub(super) fn due(&self, at: EventTime, span: BucketSpan) -> Option<Due> {
        match (self.pulse(at, span), self.date(at)) {
            (Some(pulse), Some(date)) => Some(Due {
                excess: pulse.excess + date.excess,
                square: pulse.square + date.square,
            }),
            (pulse, date) => pulse.or(date),
        }
    }

    /// What a pulse adds at `at`.
    fn pulse(&self, at: EventTime, span: BucketSpan) -> Option<Due> {
        let calendar = self.calendar.as_deref()?;
        calendar.pulses.as_deref()?.due(at, span)
    }

    /// What the day of the month or of the year adds at `at`.
    fn date(&self, at: EventTime) -> Option<Due> {
        self.calendar.as_deref()?.dates.as_deref()?.due(at)
    }

    fn dates_mut(&mut self) -> Option<&mut Dates> {
        self.calendar.as_deref_mut()?.dates.as_deref_mut()
    }

    fn learn_dates(
        &mut self,
        seen: &HourSeen,
        outlook: &Outlook,
        span: BucketSpan,
        room: &mut Room,
    ) -> Option<Noticed> {
        let units = dates::units(span)?;
        if seen.is_far() && self.dates_mut().is_none() {
            let calendar = self.calendar(room)?;
            if room.grant(Dates::bytes(units, 0)) {
                calendar.dates = Some(Box::new(Dates::new(outlook.day_watch(), seen, units)));
            }
        }
        let turn = self.dates_mut()?.learn(seen, room)?;
        let change = match turn {
            Turn::Month(day, here) => Change::Month { day, here },
            Turn::Year(here) => Change::Year(here),
        };
        Some(Noticed {
            change,
            since: seen.since(),
        })
    }

    fn pulses_mut(&mut self) -> Option<&mut Pulses> {
        self.calendar.as_deref_mut()?.pulses.as_deref_mut()
    }

    /// The calendar, made if there is none and there is room.
    fn calendar(&mut self, room: &mut Room) -> Option<&mut Calendar> {
        if self.calendar.is_none() && room.grant(size_of::<Calendar>()) {
            self.calendar = Some(Box::default());
        }
        self.calendar.as_deref_mut()
    }

    /// What goes down a step shrinks with it: what a day of hundreds left lately is no measure of a night of three. So it does on a slope, with how far values vary.
    fn kept(
        &self,
        at: EventTime,
        span: BucketSpan,
        seasonal: [Option<f64>; 2],
        calmer: Calmer<'_>,
    ) -> [f64; 2] {
        let is_step = self.is_step(at);
        let is_slope = calmer.counts.is_some() && self.season_watch.is_there();
        if !is_step && !is_slope {
            return [calmer.ratio; 2];
        }
        let before = EventTime(at.millis() - span.millis());
        let before = self.profile.means(before, span, is_step);
        [0, 1].map(|season| match (before[season], seasonal[season]) {
            (Some(before), Some(now)) if is_step && before > 0.0 => {
                (now / before).clamp(0.0, calmer.ratio)
            }
            (Some(before), Some(now)) => calmer.from(before, now),
            _ => calmer.ratio,
        })
    }

    fn is_step(&self, at: EventTime) -> bool {
        let calendar = self.calendar.as_deref();
        calendar.is_some_and(|calendar| calendar.edges.is_step(at))
    }

    fn learn_pulses(
        &mut self,
        at: EventTime,
        rest: f64,
        is_far: [bool; 2],
        span: BucketSpan,
        room: &mut Room,
    ) -> bool {
        let steps = self.steps;
        if is_far[0] && Pulses::are_for(span) && self.pulses_mut().is_none() {
            let Some(calendar) = self.calendar(room) else {
                return false;
            };
            if room.grant(size_of::<Pulses>()) {
                calendar.pulses = Some(Box::new(Pulses::after(steps)));
            }
        }
        let pulses = self.pulses_mut();
        pulses.is_some_and(|pulses| pulses.learn(at, span, rest, is_far))
    }

    /// What is left of a value by whatever comes nearest to it: what spoke, the hours, either way to join them, a rhythm. No pulse is needed for what any of them knows.
    fn unexplained(
        &self,
        x: f64,
        expected: f64,
        candidates: &[Option<f64>; CANDIDATES],
        joints: Option<Joints>,
    ) -> f64 {
        let joined = joints.map(|joints| {
            let left = self.left[joints.season];
            [joints.line, joints.step, joints.flat].map(|mean| mean + left)
        });
        let times = candidates[..SEASONAL].iter().copied().flatten();
        times
            .chain(joined.into_iter().flatten())
            .map(|foretold| x - foretold)
            .fold(x - expected, |least, rest| {
                if rest.abs() < least.abs() {
                    rest
                } else {
                    least
                }
            })
    }

    /// Compares both ways to join hours, where they differ.
    fn learn_edges(
        &mut self,
        at: EventTime,
        x: f64,
        usual_square: f64,
        joints: Option<Joints>,
    ) -> bool {
        let (Some(calendar), Some(joints)) = (self.calendar.as_deref_mut(), joints) else {
            return false;
        };
        let rest = x - self.left[joints.season];
        let of_season = self.tracks.squares[[DAY, WEEK][joints.season]];
        let usual_square = usual_square.max(of_season.into());
        let (line, step) = (rest - joints.line, rest - joints.step);
        calendar.edges.learn(at, line, step, usual_square)
    }

    /// Whether times of the day are known that no mean of an hour knows: steps, or pulses.
    pub fn knows_times(&self) -> bool {
        self.calendar.as_deref().is_some_and(|calendar| {
            let pulses = calendar.pulses.as_deref();
            let dates = calendar.dates.as_deref();
            self.seasonal && calendar.edges.any_step()
                || pulses.is_some_and(Pulses::any)
                || dates.is_some_and(Dates::any)
        })
    }

    /// Looks for a new level: against the season alone where there is one (what it leaves follows too soon), else against the forecast.
    fn watch_level(
        &mut self,
        at: EventTime,
        x: f64,
        (expected, usual, best): (f64, f64, usize),
        [day, week]: [Option<f64>; 2],
        span: BucketSpan,
        room: &mut Room,
    ) -> Option<Shift> {
        let season = week.or(day).filter(|_| self.season_watch.is_there());
        let Some(season) = season else {
            // A rhythm that is away for a while is an event too.
            let period = self.rhythm.period_buckets().filter(|_| best == RHYTHM);
            let wanted = SHIFT_RUN.max(period.unwrap_or(0));
            let shift = self.level_watch.see(at, x, expected, usual, wanted, room)?;
            return Some(Shift {
                factor: None,
                ..shift
            });
        };
        let hours = i64::from(SEASONAL_SHIFT_HOURS);
        let wanted = (hours * HOUR_MS / span.millis()).clamp(i64::from(SHIFT_RUN), 10_000) as u16;
        let usual = f64::from(self.tracks.squares[if week.is_some() { WEEK } else { DAY }]);
        self.level_watch.see(at, x, season, usual, wanted, room)
    }

    /// Whether the profile goes with a new level: unless that is what it says of this hour anyway, as of the morning of a day like the one before, or the hour is
    /// the first of its name, and may be the first morning of many.
    fn moves_profile(&self, at: EventTime, shift: &Shift, [day, week]: [Option<f64>; 2]) -> bool {
        let [of_day, _] = self.profile.slots(hour_of(at));
        let is_known = of_day.is_some_and(|slot| slot.visits > 1);
        let foretold = week.or(day).map(|season| (shift.level - season).abs());
        self.season_watch.is_there()
            || foretold.is_some_and(|off| is_known && off > (off - shift.by.abs()).abs())
    }

    /// Whether the last values stay on one side, far out: the beginning of another level, it may be.
    pub fn is_on_one_side(&self) -> bool {
        self.level_watch.is_running()
    }

    /// What the season says of the hour of `at`.
    pub fn season(&self, at: EventTime) -> SeasonView {
        SeasonView::of(&self.profile, hour_of(at))
    }

    /// What the profile knows of this hour of the day, and of the week.
    pub fn slots(&self, hour: i64) -> [Option<Slot>; 2] {
        self.profile.slots(hour)
    }

    /// Days begin so many hours later from now on.
    pub fn turn(&mut self, hours: i8) {
        self.turn_times(hours);
        // What it had begun to suspect is of the old hours.
        if let Some(calendar) = &mut self.calendar {
            calendar.clock = ClockWatch::default();
        }
    }

    fn turn_times(&mut self, hours: i8) {
        self.profile.turn(hours);
        if let Some(calendar) = &mut self.calendar {
            calendar.edges.turn(hours);
        }
        if let Some(pulses) = self.pulses_mut() {
            pulses.turn(hours);
        }
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        let calendar = self.calendar.as_ref().map_or(0, |calendar| {
            let pulses = calendar.pulses.as_ref().map_or(0, |_| size_of::<Pulses>());
            let dates = calendar.dates.as_ref();
            let dates = dates.map_or(0, |dates| size_of::<Dates>() + dates.heap_bytes());
            size_of::<Calendar>() + pulses + dates
        });
        self.profile.heap_bytes()
            + self.level_watch.heap_bytes()
            + calendar
            + self.rhythm.heap_bytes()
    }

    fn learn_season(
        &mut self,
        at: EventTime,
        heard: Heard,
        span: BucketSpan,
        mut outlook: Option<&mut Outlook>,
        room: &mut Room,
    ) -> Option<Noticed> {
        let mut noticed = None;
        let [left, over] = self.filling.push(at, heard.x, span);
        for (is_left, over) in [(true, left), (false, over)] {
            if let Some(outlook) = outlook.as_deref_mut().filter(|_| !is_left) {
                outlook.count(&heard, room);
            }
            let Some(over) = over else { continue };
            if let Some(outlook) = outlook.as_deref_mut() {
                let slots = self.profile.slots(over.hour);
                let seen = outlook.watch_days(&over, span, slots);
                let dates = seen.and_then(|seen| self.learn_dates(&seen, outlook, span, room));
                noticed = dates.or(noticed);
                outlook.close(over, span, slots, room);
                let wave = outlook.learn_year(&over, span, room);
                let wave = wave.map(|here| Noticed {
                    change: Change::Wave(here),
                    since: at,
                });
                noticed = noticed.or(wave);
            }
            let usual = f64::from(self.tracks.squares[WEEK]);
            let knows_week = self.profile.has_week();
            if knows_week {
                self.calendar(room);
            }
            let clock = self
                .calendar
                .as_mut()
                .and_then(|known| known.clock.see(over.hour, over.mean, &self.profile, usual))
                .filter(|_| self.season_watch.is_there());
            if let Some(hours) = clock {
                self.turn_times(hours);
                noticed = Some(Noticed {
                    change: Change::Clock(hours),
                    since: at,
                });
            }
            let day = self.profile.day_slot(over.hour);
            let slot = self.profile.week_slot(over.hour).or(day);
            let season = self.season_watch.see(over.hour, over.mean, slot);
            noticed = season.or(noticed);
            self.profile.learn(over.hour, over.mean, room);
        }
        noticed
    }

    fn learn_rhythm(
        &mut self,
        at: EventTime,
        x: f64,
        mut candidates: [Option<f64>; CANDIDATES],
        span: BucketSpan,
        room: &mut Room,
    ) -> Option<Noticed> {
        let squares = &self.tracks.squares;
        let mut others = Others {
            steps: self.steps,
            last_square: squares[LAST],
            mean_square: squares[MEAN],
            expected: 0.0,
            square: 0.0,
        };
        if self.rhythm.is_on_trial() {
            candidates[RHYTHM] = None;
            let best = self.best(&candidates);
            others.expected = candidates[best].expect("the last value speaks");
            others.square = squares[best].into();
        }
        let before = self.rhythm.period_ms();
        if !self.rhythm.learn(at, x, span, others, room) {
            return None;
        }
        let period_ms = self.rhythm.period_ms();
        let change = Change::Rhythm {
            period_ms: period_ms.or(before)?,
            here: period_ms.is_some(),
        };
        Some(Noticed { change, since: at })
    }

    /// By how much a day of a kind that was never seen may be another (a variance); 0 on any other day.
    pub fn strangeness(&self, at: EventTime) -> f64 {
        self.profile.strangeness(at)
    }

    /// Whether the series is believed to have a rhythm of its own.
    pub fn has_rhythm(&self) -> bool {
        self.rhythm.period_ms().is_some()
    }

    fn candidates(
        &self,
        [day, week]: [Option<f64>; 2],
        left: [f64; 2],
        rhythm: Option<f64>,
    ) -> [Option<f64>; CANDIDATES] {
        let day = day.map(|mean| mean + left[0]);
        let week = week.map(|mean| mean + left[1]);
        let [slowest, slow, medium, quick] = self.levels.map(Some);
        [
            week,
            day,
            rhythm,
            Some(self.mean),
            slowest,
            slow,
            medium,
            Some(self.holt[0] + self.holt[1]),
            quick,
            Some(self.last),
        ]
    }

    /// The predictor with the least error; earlier (calmer) ones win near ties, those that never spoke lose.
    fn best(&self, candidates: &[Option<f64>; CANDIDATES]) -> usize {
        let mut best = LAST;
        let mut least = f64::INFINITY;
        for (at, candidate) in candidates.iter().enumerate() {
            let count = self.tracks.counts[at];
            // A mean square of few errors is uncertain: as if one more of a larger size had been seen.
            let square =
                f64::from(self.tracks.squares[at]) * (1.0 + 2.0 / (f64::from(count) + 1.0));
            if candidate.is_some()
                && (count > 0 || self.steps < 2)
                && square < least * CALM_ADVANTAGE
            {
                (best, least) = (at, square);
            }
        }
        if candidates[best].is_some() {
            best
        } else {
            LAST
        }
    }

    fn learn_tracks(&mut self, x: f64, candidates: &[Option<f64>; CANDIDATES], usual_square: f64) {
        let tracks = self.tracks.squares.iter_mut().zip(&mut self.tracks.counts);
        for ((own_square, count), candidate) in tracks.zip(candidates) {
            let Some(candidate) = candidate else { continue };
            let mut square = (x - candidate).powi(2).min(f64::from(f32::MAX));
            let own = f64::from(*own_square).max(usual_square);
            if self.steps > 30 && own > 0.0 {
                square = square.min(ERROR_CLIP * own);
            }
            *count = count.saturating_add(1);
            let gain = (1.0 / f64::from(*count)).max(1.0 / ERROR_MEMORY);
            *own_square += (gain * (square - f64::from(*own_square))) as f32;
        }
    }

    /// What the season says by itself where there is one, else the better of the mean and the slowest level.
    fn calm(&self, [day, week]: [Option<f64>; 2]) -> f64 {
        let slowest =
            self.tracks.squares[SLOWEST] < self.tracks.squares[MEAN] * CALM_ADVANTAGE as f32;
        let level = if slowest { self.levels[0] } else { self.mean };
        let season = week.or(day).filter(|_| self.season_watch.is_there());
        season.unwrap_or(level)
    }

    /// What the day, the week and a rhythm of its own say of `at`, before what they leave.
    pub(super) fn shapes(&self, at: EventTime, span: BucketSpan) -> [Option<f64>; 3] {
        let [day, week] = self.seasonal(at, span);
        [day, week, self.rhythm.shape(at)]
    }

    /// The profile's means of the day and of the week.
    fn seasonal(&self, at: EventTime, span: BucketSpan) -> [Option<f64>; 2] {
        self.profile.means(at, span, self.is_step(at))
    }

    fn learn_levels(&mut self, x: f64, seasonal: [Option<f64>; 2]) {
        let plain = 1.0 / (f64::from(self.steps) + 1.0);
        for (level, gain) in self.levels.iter_mut().zip(LEVEL_GAINS) {
            *level += plain.max(gain) * (x - *level);
        }
        self.mean_values = self.mean_values.saturating_add(1);
        self.mean += (x - self.mean) / f64::from(self.mean_values);
        let [level, slope] = self.holt;
        let next = level + slope + plain.max(HOLT_LEVEL_GAIN) * (x - level - slope);
        self.holt = [next, slope + HOLT_SLOPE_GAIN * (next - level - slope)];
        for (left, mean) in self.left.iter_mut().zip(seasonal) {
            if let Some(mean) = mean {
                *left += SEASON_LEVEL_GAIN * (x - mean - *left);
            }
        }
        self.last = x;
    }

    fn restart(&mut self, x: f64) {
        self.restart_levels(x);
        self.mean_values = 1;
        self.last = x;
        self.steps = 1;
    }

    fn restart_levels(&mut self, x: f64) {
        self.levels = [x; 4];
        self.mean = x;
        self.holt = [x, 0.0];
        self.left = [0.0; 2];
    }
}

#[cfg(test)]
mod tests {
    use super::super::residual::Run;
    use super::*;

    #[test]
    fn what_a_day_left_shrinks_into_the_night_as_far_as_counts_vary_less_there_and_does_not_grow_by_day()
     {
        let mut law = Residuals::default();
        let run = Run {
            on_one_side: false,
            day_buckets: 24,
            skewed: false,
            repeats: 0.0,
        };
        for i in 0..400 {
            let x = if i % 2 == 0 { 150.0 } else { 250.0 };
            law.learn(x, 200.0, 1.0, true, run);
        }
        let calmer = Calmer {
            ratio: 1.0,
            counts: Some(&law),
        };
        let into_the_night = calmer.from(200.0, 20.0);
        // Proportional, and a little Poisson: between a tenth and the root of it.
        assert!(
            into_the_night > 0.1 && into_the_night < 0.316,
            "{into_the_night}"
        );
        assert_eq!(calmer.from(20.0, 200.0), 1.0);
        assert_eq!(Calmer::default().from(200.0, 20.0), 1.0);
    }
}
