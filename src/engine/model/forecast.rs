//! What the next value of a series is expected to be: the best of a few simple predictors.
//!
//! The candidates are in [`predictors`]; the hours of those that know the time of the day are joined by lines or by steps
//! ([`edges`](super::edges)). Single buckets that regularly do something else are added to whichever speaks ([`pulse`](super::pulse)), and so is what the day of the
//! month or of the year adds ([`dates`]).
//! Units: values as they come. Holds: the forecast is finite; judging changes nothing.

use super::Room;
use super::dates::{self, Dates, HourSeen, Turn};
use super::edges::Edges;
use super::foresight::{Calmer, Foresight, without};
use super::outlook::{Heard, Outlook};
use super::predictors::{self, Candidates, DAY, LAST, MEAN, Predictors, RHYTHM, SEASONAL, WEEK};
use super::prefetch::prefetch;
use super::profile::{HOUR_MS, HourMeans, Joints, Profile, Slot, hour_of};
use super::pulse::{Due, Pulses};
use super::rhythm::{Others, Rhythm};
use super::surprise::SeasonView;
use super::watch::{ClockWatch, LevelWatch, SeasonWatch, Shift};
use super::{Change, Noticed};
use crate::time::{BucketSpan, EventTime};
use serde::{Deserialize, Serialize};

/// Values far out on one side in a row that make a new level rather than outliers.
const SHIFT_RUN: u16 = 6;
/// The same where the season speaks, hours: what is over within a day is an event, not a new level.
const SEASONAL_SHIFT_HOURS: u16 = 24;
/// Values after which it is known what is far out.
const PULSES_AFTER: u32 = 100;
const WEEK_HOURS: i64 = 168;

/// What is expected of a series, by the best of its predictors and what it knows of the calendar.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Forecaster {
    predictors: Predictors,
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

impl Forecaster {
    /// As [`SeriesModel::prefetch_parts`](super::SeriesModel::prefetch_parts).
    pub fn prefetch_parts(&self, at: EventTime) {
        self.profile.prefetch_parts(hour_of(at));
        if let Some(calendar) = self.calendar.as_deref() {
            prefetch(calendar);
        }
    }

    /// Values seen.
    pub fn steps(&self) -> u32 {
        self.predictors.steps()
    }

    /// The level of the last few values: within their range.
    pub fn level(&self) -> f64 {
        self.predictors.level()
    }

    /// The next value expected at `at`, and how it was found; `None` before the first value. `calmer`: by how much less than in the bucket before values vary now.
    pub fn forecast(
        &self,
        at: EventTime,
        span: BucketSpan,
        calmer: Calmer<'_>,
    ) -> Option<(f64, Foresight)> {
        if self.steps() == 0 {
            return None;
        }
        let (seasonal, rhythm) = (self.seasonal(at, span), self.rhythm.expected(at));
        let kept = self.kept(at, span, seasonal, calmer);
        let (pulse, date) = (self.pulse(at, span), self.date(at));
        let due = [pulse, date].into_iter().flatten();
        let due: f64 = due.map(|due| due.excess).sum();
        let left = self.predictors.left_of(kept);
        let candidates = self.predictors.candidates(seasonal, left, rhythm);
        let best = self.predictors.best(&candidates);
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
            buckets: self.buckets(best, at, span, left),
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
            self.predictors.begin(x);
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
        self.predictors.keep(kept);
        let left = self.predictors.left();
        let candidates = self.predictors.candidates(seasonal, left, rhythm);
        let expected = candidates[best].expect("the best one speaks");
        let usual = f64::from(self.predictors.square(best));
        let joints = self.profile.joints(at, span);
        let whole = came;
        let (came, x) = without(known.date, came, x, expected + known.of_pulse());
        let of_date = whole - came;
        let rest = self.unexplained(came, expected, &candidates, joints);
        let [is_new, is_again] = Pulses::is_far(rest, usual);
        let is_far = [
            is_new && is_unusual && self.steps() > PULSES_AFTER,
            is_again,
        ];
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
        let moves_rhythm =
            shift.is_some_and(|shift| self.rhythm.goes_with(at, shift.level, shift.by));
        let of_rhythm = self.rhythm.shape(at);
        let rhythm = self.learn_rhythm(at, x, candidates, span, room);
        self.predictors.learn(x, &candidates, usual, seasonal);
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
            self.follow(shift, [moves_profile, moves_rhythm]);
        }
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
        i64::from(self.predictors.count(WEEK)) == week
    }

    /// Goes with a new level, or a new scale.
    fn follow(&mut self, shift: &Shift, [moves_profile, moves_rhythm]: [bool; 2]) {
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
                if moves_rhythm {
                    self.rhythm.shift(shift.by);
                }
            }
        }
        let values = u32::from(shift.values);
        self.predictors.begin_again(shift.level, values);
    }

    /// Buckets that a predictor stands on. Where the season leaves less than nothing, it is what is left that was seen in few.
    fn buckets(&self, predictor: usize, at: EventTime, span: BucketSpan, left: [f64; 2]) -> f64 {
        let season = match predictor {
            WEEK => 1,
            DAY => 0,
            RHYTHM => return f64::INFINITY,
            other => return self.predictors.buckets(other),
        };
        let seen = self.profile.buckets(at, span, self.is_step(at));
        let buckets = match (season, self.profile.slots(hour_of(at))[0]) {
            // An hour of the week that was seen empty is no emptier than the hour of the day says.
            (1, Some(day)) => seen[1].max(0.5 / day.mean.max(0.5 / seen[0])),
            _ => seen[season],
        };
        match left[season] < 0.0 {
            true => buckets.min(predictors::season_level_memory()),
            false => buckets,
        }
    }

    /// What a pulse, and the day of the month or of the year, add at `at`.
    pub(super) fn due(&self, at: EventTime, span: BucketSpan) -> Option<Due> {
        Due::both(self.pulse(at, span), self.date(at))
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
        let steps = self.steps();
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
        candidates: &Candidates,
        joints: Option<Joints>,
    ) -> f64 {
        let joined = joints.map(|joints| {
            let left = self.predictors.left()[joints.season];
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
        let rest = x - self.predictors.left()[joints.season];
        let of_season = self.predictors.square([DAY, WEEK][joints.season]);
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
        let usual = f64::from(
            self.predictors
                .square(if week.is_some() { WEEK } else { DAY }),
        );
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
            let usual = f64::from(self.predictors.square(WEEK));
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
        mut candidates: Candidates,
        span: BucketSpan,
        room: &mut Room,
    ) -> Option<Noticed> {
        let mut others = Others {
            steps: self.steps(),
            last_square: self.predictors.square(LAST),
            mean_square: self.predictors.square(MEAN),
            expected: 0.0,
            square: 0.0,
        };
        if self.rhythm.is_on_trial() {
            candidates[RHYTHM] = None;
            let best = self.predictors.best(&candidates);
            others.expected = candidates[best].expect("the last value speaks");
            others.square = self.predictors.square(best).into();
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

    /// What the season says by itself where there is one, else what follows nothing quickly.
    fn calm(&self, [day, week]: [Option<f64>; 2]) -> f64 {
        let season = week.or(day).filter(|_| self.season_watch.is_there());
        season.unwrap_or(self.predictors.calm())
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
}

#[cfg(test)]
mod tests {
    use super::super::residual::{Residuals, Run};
    use super::*;

    #[test]
    fn what_a_day_left_shrinks_into_the_night_as_far_as_counts_vary_less_there_and_does_not_grow_by_day()
     {
        let mut law = Residuals::default();
        let run = Run {
            on_one_side: false,
            day_buckets: 24,
            skewed: false,
            sums: false,
            repeats: 0.0,
            events: f64::INFINITY,
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
