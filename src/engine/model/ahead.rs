//! How a series may go on: the expected value of a bucket to come and the central 95 % interval, from what the model knows now.
//!
//! Views of a series (as it comes; less its day; less its week; less a rhythm of its own) are ordered by how far they err a day ahead, a season only where it errs less by more than chance; the first that knows the hour speaks. It adds
//! to its season the combination of running means that errs least at this distance ([`Variogram::krige`]), and the slope as far as it is shown.
//! The variance of a bucket ahead is the sum of
//! * the error of that combination at this distance, which grows as the series was seen to wander; beyond a day, at least as the weeks were seen to differ,
//! * of it, the share that the season's own means are uncertain by: 1/(visits · buckets),
//! * the variance of buckets within their hour,
//! * the uncertainty of the slope, times the squared distance.
//!
//! How sure all that is depends on how often the series has gone through such a distance: a Student-t factor. The shape is that of the residuals' likeliest family.
//! *Slope*: the mean change from week to week. Its share is 1 − c·se²/b² and 0 where that is less (the positive part of James and Stein 1961; c grows where
//! few weeks tell), for a slope that is not shown does more harm than good; and a slope that was seen for some time is carried on for twice that time at
//! most, ever more slowly (after Gardner and McKenzie 1985). What was left out of it is part of the variance.
//! Units: values; hours. Holds: changes nothing; lower <= prediction <= upper, all finite; nothing below 0 of a series that never was.
//! Checked by: tests/forecast.rs, `cargo bench --bench forecast`.

use super::Kind;
use super::finer::Finer;
use super::forecast::Forecaster;
use super::outlook::{self, Outlook, RHYTHM};
use super::profile::{HOUR_MS, content_age, hour_of};
use super::residual::Residuals;
use super::variogram::{MEANS, Seen, Variogram};
use crate::numerics::special::student_t;
use crate::time::EventTime;

/// Standard errors by which a season's errors are less before it is taken out: 95 % of one side.
const SURE: f64 = 1.644_853_626_951_472;
/// Samples before anything is said of the future.
const SAMPLES_MIN: u32 = 8;
/// The ends of the central 95 %, and the normal deviate of the upper one.
const TAIL: f64 = 0.025;
const DEVIATE: f64 = 1.959_963_984_540_054;
/// A variance is never so uncertain that less than this is known of it, degrees of freedom.
const FREEDOM_MIN: f64 = 2.0;
/// Nothing is forecast beyond this size.
const VALUE_MOST: f64 = 1e60;
const DAY_HOURS: f64 = 24.0;
const WEEK_HOURS: f64 = 168.0;
const PERIODS: [f64; 2] = [DAY_HOURS, WEEK_HOURS];
/// Days compared with those of the week before until a slope is asked for.
const SLOPE_DAYS_MIN: f64 = 3.0;
/// Rounds of slope and wandering, at the most: what is taken for wandering falls by a third in each, and they are over when the slope's share settles.
const SLOPE_ROUNDS: usize = 48;
const SETTLED: f64 = 1e-3;
/// Of a squared error, what is left whatever a slope explains of it: in the series as it comes, and in the rests of a season, where single large errors were cut.
const SQUARE_LEAST: f64 = 0.05;
const SQUARE_LEAST_OF_RESTS: f64 = 0.5;

/// What is expected of a bucket to come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prospect {
    /// Lower end of the central 95 % interval.
    pub lower: f64,
    /// The expected value.
    pub prediction: f64,
    /// Upper end.
    pub upper: f64,
}

/// Change an hour, how much of it is believed, and how uncertain it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Slope {
    per_hour: f64,
    share: f64,
    error_square: f64,
}

/// One way to look at the series.
#[derive(Clone, Debug)]
struct View {
    /// Which season is taken out.
    season: Option<usize>,
    levels: [f64; MEANS],
    /// How old the running means are, samples.
    ages: [f64; MEANS],
    variogram: Variogram,
    /// What the level drifts away beyond a day: variance a sample.
    drift: f64,
    slope: Slope,
    /// Variance of buckets around the mean of their hour.
    within: f64,
}

/// How far a view errs a day ahead, and how well that is known.
#[derive(Clone, Copy, Debug)]
struct Error {
    square: f64,
    freedom: f64,
}

impl Error {
    fn of(view: &View, day: f64, doubt: f64) -> Error {
        Error {
            square: view.variogram.krige(day).variance * doubt + view.within,
            freedom: view.variogram.freedom(day),
        }
    }

    /// The logarithm of a mean square that is known with n degrees of freedom has a variance of about 2/n. Whatever wanders is a season's doing by chance:
    /// the least of several errors is less than it seems.
    fn is_surely_less_than(&self, other: &Error) -> bool {
        let doubt = (2.0 / self.freedom + 2.0 / other.freedom).sqrt();
        self.square * (SURE * doubt).exp() < other.square
    }
}

/// What a view expects of a bucket.
#[derive(Clone, Copy, Debug)]
struct Expected {
    mean: f64,
    /// The same by the level that follows nothing quickly.
    calm: f64,
    variance: f64,
    /// What of it is the level's own wandering, and the slope's.
    wandered: f64,
    /// How well the variance is known, degrees of freedom.
    freedom: f64,
}

/// How a series may go on, ready to be asked of any bucket to come.
#[derive(Clone, Debug)]
pub struct Ahead<'m> {
    kind: &'m Kind,
    forecaster: &'m Forecaster,
    residuals: &'m Residuals,
    finer: &'m Finer,
    outlook: &'m Outlook,
    /// The least erring first.
    views: Vec<View>,
}

impl<'m> Ahead<'m> {
    /// `None` while too little was seen.
    pub(super) fn of(
        kind: &'m Kind,
        forecaster: &'m Forecaster,
        residuals: &'m Residuals,
        finer: &'m Finer,
        outlook: &'m Outlook,
    ) -> Option<Ahead<'m>> {
        if outlook.means(None)?.samples < SAMPLES_MIN {
            return None;
        }
        let mut ahead = Ahead {
            kind,
            forecaster,
            residuals,
            finer,
            outlook,
            views: Vec::new(),
        };
        let day = DAY_HOURS / outlook::unit_hours(kind.span) * outlook.density(kind.span);
        let wanted = f64::from(SAMPLES_MIN).max(day);
        let slots = forecaster.slots(outlook.last());
        let mut best = ahead.view(None)?;
        let mut least = Error::of(&best, day, 1.0);
        let mut others = Vec::new();
        let mut consider = |view: View, doubt: f64| {
            let error = Error::of(&view, day, doubt);
            let is_better = match best.season {
                None => error.is_surely_less_than(&least),
                Some(_) => error.square < least.square,
            };
            if is_better {
                others.push(std::mem::replace(&mut best, view));
                least = error;
            }
        };
        for (season, slot) in slots.into_iter().enumerate() {
            let means = outlook.means(Some(season));
            let is_known = means.is_some_and(|means| f64::from(means.samples) >= wanted);
            let view = || ahead.view(Some(season));
            if let Some((slot, view)) = slot.filter(|_| is_known).zip(view()) {
                let doubt = 1.0 + 1.0 / slot.buckets(kind.span).max(1.0);
                consider(view, doubt);
            }
        }
        let rhythm = outlook.means(Some(RHYTHM));
        if rhythm.is_some_and(|means| f64::from(means.samples) >= wanted)
            && let Some(view) = ahead.view(Some(RHYTHM))
        {
            consider(view, 1.0);
        }
        ahead.views = std::iter::once(best)
            .chain(others.into_iter().rev())
            .collect();
        Some(ahead)
    }

    /// The series as it comes (`None`), or less a season. A slope makes running means lag behind, and the rests of a season that lags itself rise by half a
    /// period's slope with every visit of its slots: what that adds to their errors is no wandering. How much of it there is, is not known before the slope, nor the
    /// slope's error before that is taken out; a few rounds settle both.
    fn view(&self, season: Option<usize>) -> Option<View> {
        let (span, unit) = (self.kind.span, outlook::unit_hours(self.kind.span));
        let means = self.outlook.means(season)?;
        let base = self.outlook.base(season);
        let seen = Seen {
            gains: outlook::gains(span),
            squares: means.squares(),
            samples: f64::from(means.samples),
            values: outlook::buckets(span),
        };
        let (_, change, _) = self.weekly();
        let per_hour = change / WEEK_HOURS;
        let lagging = match season {
            None | Some(RHYTHM) => seen.gains.map(|gain| (per_hour * unit / gain).powi(2)),
            Some(season) => {
                let step = 0.5 * per_hour * PERIODS[season];
                Variogram::of_walk(&seen, step * step / PERIODS[season] * unit)
            }
        };
        let least = match season {
            None => SQUARE_LEAST,
            Some(_) => SQUARE_LEAST_OF_RESTS,
        };
        let without = |share: f64| {
            let mut left = seen;
            for (square, lagging) in left.squares.iter_mut().zip(lagging) {
                *square = (*square - share * lagging).max(least * *square);
            }
            left
        };
        let mut slope = Slope::default();
        let mut short = Variogram::fit_short(&seen);
        for _ in 0..SLOPE_ROUNDS {
            let before = slope.share;
            slope = self.slope(&short, before);
            short = Variogram::fit_short(&without(slope.share));
            if (slope.share - before).abs() < SETTLED {
                break;
            }
        }
        Some(View {
            season,
            levels: means.levels().map(|level| base + level),
            ages: means.ages(seen.gains),
            variogram: Variogram::fit(&without(slope.share)),
            drift: match season {
                // The weeks differ by the rhythm, not by a drift.
                Some(RHYTHM) => short.drift(),
                _ => self.drift(&short, slope.share),
            },
            slope,
            within: self.outlook.within(season, span),
        })
    }

    /// Change from week to week, without what the year does: over how many days it was seen, its mean, and its mean square.
    fn weekly(&self) -> (f64, f64, f64) {
        let (days, change, square) = self.outlook.weekly();
        let Some(year) = self.outlook.year().filter(|_| days > 0.0) else {
            return (days, change, square);
        };
        let last = self.outlook.last() as f64;
        let risen = year.between(last - days * DAY_HOURS, last) / days * (WEEK_HOURS / DAY_HOURS);
        let left = change - risen;
        (days, left, square - change * change + left * left)
    }

    /// The slope, as sure as the wandering of the series and the weeks themselves allow.
    fn slope(&self, variogram: &Variogram, share: f64) -> Slope {
        let (days, change, square) = self.weekly();
        if days < SLOPE_DAYS_MIN || change == 0.0 {
            return Slope::default();
        }
        let density = self.outlook.density(self.kind.span) / outlook::unit_hours(self.kind.span);
        let hours = days * DAY_HOURS;
        // The slope is the difference of the means of the last week and of the first, over what lies between.
        let apart = 2.0 * variogram.of_mean(WEEK_HOURS * density)
            + self.drift(variogram, share) * hours * density;
        let mut error_square = apart / (hours * hours);
        let weeks = days / 7.0;
        if weeks > 1.5 {
            // The noise of days is in the means of weeks already; it is no wandering of so few weeks. Beside a year's wave it stays: what is left of the wave is no slope.
            let noise = match self.outlook.year() {
                None => 2.0 * variogram.of_mean(DAY_HOURS * density),
                Some(_) => 0.0,
            };
            let variance = (square - change * change - noise).max(0.0);
            let seen = variance / (1.0 - 1.0 / weeks) / weeks;
            error_square = error_square.max(seen / (WEEK_HOURS * WEEK_HOURS));
        }
        let per_hour = change / WEEK_HOURS;
        let doubt = 1.0 + 2.0 / weeks;
        Slope {
            per_hour,
            share: (1.0 - doubt * error_square / (per_hour * per_hour)).max(0.0),
            error_square,
        }
    }

    /// What the level drifts away, variance a sample, beyond a day: as seen within days, and from week to week, each as far as it is sure. A season's means follow the
    /// level too, so that what is left of it seems to come back; the weeks do not. They bound what is seen within days: that may come back later.
    fn drift(&self, short: &Variogram, slope_share: f64) -> f64 {
        let (days, change, square) = self.weekly();
        let weeks = days / 7.0;
        let quick = short.drift();
        if weeks < 1.0 {
            return quick;
        }
        let density = self.outlook.density(self.kind.span) / outlook::unit_hours(self.kind.span);
        // A slope takes its own error out of what is left: of the noise of days nearly nothing, of what weeks wander as much as there were few of them.
        let told = (square - slope_share * change * change).max(0.0);
        let noise = 2.0 * short.of_mean(DAY_HOURS * density);
        let noise = noise * (1.0 - slope_share / (weeks * days));
        let moved = (told - noise).max(0.0) / (1.0 - slope_share / weeks.max(1.5));
        let slow = moved / (WEEK_HOURS * density);
        let sure = short.walks_seen();
        let both = (sure * quick + weeks * slow) / (sure + weeks);
        both.min(slow * variance_bound(weeks))
    }

    /// What is expected of the bucket around `at`.
    pub fn at(&self, at: EventTime) -> Prospect {
        let seasons = self.forecaster.shapes(at, self.kind.span);
        let spoken = self.views.iter().find_map(|view| match view.season {
            None => Some((view, 0.0)),
            Some(season) => Some((view, seasons[season]?)),
        });
        let (view, season) = spoken.expect("the plain view knows every hour");
        let Expected {
            mean,
            calm,
            variance,
            wandered,
            freedom,
        } = self.expect(view, season, at);
        let factor = student_t::quantile(1.0 - TAIL, freedom) / DEVIATE;
        let due = self.forecaster.due(at, self.kind.span);
        let (excess, square) = due.map_or((0.0, 0.0), |due| (due.excess, due.square));
        let widened = |variance: f64| variance * factor * factor + square;
        let prospect = self.interval(mean + excess, widened(variance));
        self.by_modes(prospect, calm + excess, widened(wandered))
    }

    fn expect(&self, view: &View, season: f64, at: EventTime) -> Expected {
        let (span, outlook) = (self.kind.span, self.outlook);
        let unit = outlook::unit_hours(span);
        let hours = at.millis() as f64 / HOUR_MS as f64 - (outlook.last() as f64 + 0.5 * unit);
        let ahead = (hours / unit * outlook.density(span)).max(1.0);
        let kriged = view.variogram.krige(ahead);
        let day = (DAY_HOURS / unit * outlook.density(span)).max(1.0);
        let drifted = match ahead > day {
            true => view.variogram.krige(day).variance + view.drift * (ahead - day),
            false => 0.0,
        };
        let level: f64 = view
            .levels
            .iter()
            .zip(kriged.shares)
            .map(|(level, share)| level * share)
            .sum();
        let lags = view.ages.map(|age| age * unit);
        let lag: f64 = lags
            .iter()
            .zip(kriged.shares)
            .map(|(lag, share)| lag * share)
            .sum();
        let (sloping, doubt) = match view.season {
            None | Some(RHYTHM) => (lag + hours, 1.0),
            Some(season) => self.since_season(season, at, lag),
        };
        let slope = view.slope;
        let most = 2.0 * outlook.lived_hours(span);
        let carried = sloping / (1.0 + (sloping / most).powi(2)).sqrt();
        let believed = slope.share * slope.per_hour;
        let left_out = believed * (sloping - carried);
        // Of two stories, a slope and none, each with its share: the variance of the one, and how far they are apart.
        let of_slope = slope.share
            * (slope.error_square + (1.0 - slope.share) * slope.per_hour * slope.per_hour);
        let now = outlook.last() as f64;
        let (by_year, of_year) = outlook.year().map_or((0.0, 0.0), |year| {
            let seen = now - if view.season.is_none() { lag } else { 0.0 };
            (year.between(seen, now + hours), year.square(hours))
        });
        let by_slope = of_slope * sloping * sloping + left_out * left_out + of_year;
        let variance = kriged.variance.max(drifted) * doubt + view.within + by_slope;
        let freedom = view.variogram.freedom(ahead).max(FREEDOM_MIN);
        Expected {
            mean: season + level + believed * carried + by_year,
            calm: season + view.levels[MEANS - 1] + believed * carried + by_year,
            variance,
            wandered: view.drift * ahead + by_slope,
            freedom,
        }
    }

    /// Where a series has two modes that come and go, what will come is within those, around the level that does not follow them, as far as that has wandered by then.
    fn by_modes(&self, prospect: Prospect, calm: f64, wandered: f64) -> Prospect {
        let least = self.residuals.least_deviation();
        let Some((low, high)) = self.finer.range(calm, least) else {
            return prospect;
        };
        let reach = |end: f64| {
            let squares = (end - calm).powi(2) + DEVIATE * DEVIATE * wandered;
            (end - calm).signum() * squares.sqrt()
        };
        let Prospect {
            lower,
            prediction,
            upper,
        } = prospect;
        let [low, high] = [low, high].map(|end| calm + reach(end));
        Prospect {
            lower: lower.max(low).min(prediction),
            prediction,
            upper: upper.min(high).max(prediction),
        }
    }

    /// How many hours of slope lie between what a season remembers of the hour of `at` and what the running means of its rests have seen, and how uncertain its
    /// mean makes the forecast (a variance ratio). With every visit that it is averaged over, a slot lags further behind a slope; the rests contain
    /// the lag of the hours just over, and another hour may lag more, or have been visited longer ago. While slots are averages of all visits the rests rise by half the
    /// slope, which running means that are `lag` hours old have not seen.
    fn since_season(&self, season: usize, at: EventTime, lag: f64) -> (f64, f64) {
        let visits = |hour: i64| self.forecaster.slots(hour)[season].map_or(1, |slot| slot.visits);
        let (hour, last, period) = (hour_of(at), self.outlook.last(), PERIODS[season]);
        let (now, then) = (visits(last), visits(hour));
        let periods = (hour.saturating_sub(last) as f64 / period).ceil().max(1.0);
        let before = content_age(now.saturating_sub(1).max(1));
        let rise = content_age(now) - before;
        let known = f64::from(then) * outlook::buckets(self.kind.span);
        let slots = period * (periods + content_age(then) - 1.0 - before);
        (slots + rise * lag, 1.0 + 1.0 / known)
    }

    /// The central interval of the likeliest family, made as wide as the variance asks for.
    fn interval(&self, mean: f64, variance: f64) -> Prospect {
        let is_bounded = self.kind.counting || self.residuals.nonnegative();
        let bounded = |value: f64| {
            let value = if value.is_nan() { mean } else { value };
            let least = if is_bounded { 0.0 } else { -VALUE_MOST };
            value.clamp(least, VALUE_MOST)
        };
        let prediction = if mean.is_finite() { bounded(mean) } else { 0.0 };
        let usual = self.residuals.deviation(prediction).powi(2);
        let least = self.residuals.deviation_floor(prediction).powi(2);
        let ratio = (variance.max(least) / usual).clamp(1e-100, 1e100);
        let end = |p: f64| {
            bounded(
                self.residuals
                    .quantile_of_ratio(p, prediction, self.kind.counting, ratio),
            )
        };
        let lower = end(TAIL).min(prediction);
        // Nothing is below no events at all: what the lower tail cannot hold, the upper one does.
        let upper_tail = match self.kind.counting && lower == 0.0 {
            true => 2.0 * TAIL,
            false => TAIL,
        };
        Prospect {
            lower,
            prediction,
            upper: end(1.0 - upper_tail).max(prediction),
        }
    }
}

/// By how much a variance may be more than the one seen with so many degrees of freedom: the upper 95 % bound (Wilson and Hilferty 1931).
fn variance_bound(freedom: f64) -> f64 {
    let spread = 2.0 / (9.0 * freedom);
    (1.0 - spread - SURE * spread.sqrt()).max(0.1).powi(-3)
}
