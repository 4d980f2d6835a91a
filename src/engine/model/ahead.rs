//! How a series may go on: the expected value of a bucket to come and the central 95 % interval, from what the model knows now.
//!
//! Views of a series (as it comes; less its day; less its week) are ordered by how far they err a day ahead; the first that knows the hour speaks. It adds
//! to its season the combination of running means that errs least at this distance ([`Variogram::krige`]), and the slope as far as it is shown.
//! The variance of a bucket ahead is the sum of
//! * the error of that combination at this distance, which grows as the series was seen to wander,
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
use super::forecast::Forecaster;
use super::outlook::{self, Outlook};
use super::profile::{HOUR_MS, content_age, hour_of};
use super::residual::Residuals;
use super::variogram::{MEANS, Variogram};
use crate::numerics::special::student_t;
use crate::time::EventTime;

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
    variogram: Variogram,
    slope: Slope,
}

/// How a series may go on, ready to be asked of any bucket to come.
#[derive(Clone, Debug)]
pub struct Ahead<'m> {
    kind: &'m Kind,
    forecaster: &'m Forecaster,
    residuals: &'m Residuals,
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
        outlook: &'m Outlook,
    ) -> Option<Ahead<'m>> {
        if outlook.views[0].samples < SAMPLES_MIN {
            return None;
        }
        let mut ahead = Ahead {
            kind,
            forecaster,
            residuals,
            outlook,
            views: Vec::new(),
        };
        let day = DAY_HOURS / outlook::unit_hours(kind.span) * outlook.density(kind.span);
        let least = f64::from(SAMPLES_MIN).max(day);
        let slots = forecaster.slots(outlook.last);
        let mut views = vec![(ahead.plain_view(), 1.0)];
        for (season, slot) in slots.into_iter().enumerate() {
            let is_known = f64::from(outlook.views[season + 1].samples) >= least;
            if let Some(slot) = slot.filter(|_| is_known) {
                let doubt = 1.0 + 1.0 / slot.buckets(kind.span).max(1.0);
                views.push((ahead.seasonal_view(season), doubt));
            }
        }
        let error = |(view, doubt): &(View, f64)| view.variogram.krige(day).variance * doubt;
        views.sort_by(|a, b| error(a).total_cmp(&error(b)));
        ahead.views = views.into_iter().map(|(view, _)| view).collect();
        Some(ahead)
    }

    /// The series as it comes. Running means lag behind a slope: what that adds to their errors is no wandering.
    fn plain_view(&self) -> View {
        let means = &self.outlook.views[0];
        let (gains, samples) = (outlook::gains(self.kind.span), f64::from(means.samples));
        let squares = means.squares();
        let unit = outlook::unit_hours(self.kind.span);
        let without = |share: f64, per_hour: f64| {
            let mut left = squares;
            for (square, gain) in left.iter_mut().zip(gains) {
                let lag = share * per_hour * unit / gain;
                *square = (*square - lag * lag).max(0.05 * *square);
            }
            Variogram::fit(gains, left, samples)
        };
        let (_, change, _) = self.outlook.weekly();
        let supposed = without(1.0, change / WEEK_HOURS);
        let slope = self.slope(&supposed);
        View {
            season: None,
            levels: means.levels,
            variogram: without(slope.share, slope.per_hour),
            slope,
        }
    }

    fn seasonal_view(&self, season: usize) -> View {
        let means = &self.outlook.views[season + 1];
        let gains = outlook::gains(self.kind.span);
        let variogram = Variogram::fit(gains, means.squares(), f64::from(means.samples));
        View {
            season: Some(season),
            levels: means.levels,
            slope: self.slope(&variogram),
            variogram,
        }
    }

    /// The slope, as sure as the wandering of the series and the weeks themselves allow.
    fn slope(&self, variogram: &Variogram) -> Slope {
        let (days, change, variance) = self.outlook.weekly();
        if days < SLOPE_DAYS_MIN || change == 0.0 {
            return Slope::default();
        }
        let density = self.outlook.density(self.kind.span) / outlook::unit_hours(self.kind.span);
        let hours = days * DAY_HOURS;
        // The slope is the difference of the means of the last week and of the first, over what lies between.
        let apart =
            2.0 * variogram.of_mean(WEEK_HOURS * density) + variogram.drift() * hours * density;
        let mut error_square = apart / (hours * hours);
        let weeks = days / 7.0;
        if weeks > 1.5 {
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

    /// What is expected of the bucket around `at`.
    pub fn at(&self, at: EventTime) -> Prospect {
        let seasons = self.forecaster.seasonal(at);
        let spoken = self.views.iter().find_map(|view| match view.season {
            None => Some((view, 0.0)),
            Some(season) => Some((view, seasons[season]?)),
        });
        let (view, season) = spoken.expect("the plain view knows every hour");
        let (mean, variance, freedom) = self.expect(view, season, at);
        let factor = student_t::quantile(1.0 - TAIL, freedom) / DEVIATE;
        self.interval(mean, variance * factor * factor)
    }

    /// Mean and variance, and how well the variance is known.
    fn expect(&self, view: &View, season: f64, at: EventTime) -> (f64, f64, f64) {
        let (span, outlook) = (self.kind.span, self.outlook);
        let unit = outlook::unit_hours(span);
        let hours = at.millis() as f64 / HOUR_MS as f64 - (outlook.last as f64 + 0.5 * unit);
        let ahead = (hours / unit * outlook.density(span)).max(1.0);
        let kriged = view.variogram.krige(ahead);
        let level: f64 = view
            .levels
            .iter()
            .zip(kriged.shares)
            .map(|(level, share)| level * share)
            .sum();
        let (sloping, doubt) = match view.season {
            None => {
                let lags = outlook::gains(span).map(|gain| (1.0 - gain) / gain * unit);
                let lag: f64 = lags
                    .iter()
                    .zip(kriged.shares)
                    .map(|(lag, share)| lag * share)
                    .sum();
                (lag + hours, 1.0)
            }
            Some(season) => self.since_season(season, at),
        };
        let slope = view.slope;
        let most = 2.0 * outlook.lived_hours(span);
        let carried = sloping / (1.0 + (sloping / most).powi(2)).sqrt();
        let believed = slope.share * slope.per_hour;
        let left_out = believed * (sloping - carried);
        // Of two stories, a slope and none, each with its share: the variance of the one, and how far they are apart.
        let of_slope = slope.share
            * (slope.error_square + (1.0 - slope.share) * slope.per_hour * slope.per_hour);
        let variance = kriged.variance * doubt
            + outlook.within(span)
            + of_slope * sloping * sloping
            + left_out * left_out;
        let freedom = view.variogram.freedom(ahead).max(FREEDOM_MIN);
        (season + level + believed * carried, variance, freedom)
    }

    /// How many hours of slope lie between what a season remembers of the hour of `at` and what the running means of its rests have seen, and how uncertain its
    /// mean makes the forecast (a variance ratio). With every visit that it is averaged over, a slot lags further behind a slope; the rests contain
    /// the lag of the hours just over, and another hour may lag more, or have been visited longer ago.
    fn since_season(&self, season: usize, at: EventTime) -> (f64, f64) {
        let visits = |hour: i64| self.forecaster.slots(hour)[season];
        let (hour, last, period) = (hour_of(at), self.outlook.last, PERIODS[season]);
        let now = visits(last).map_or(1, |slot| slot.visits);
        let then = visits(hour);
        let periods = (hour.saturating_sub(last) as f64 / period).ceil().max(1.0);
        let age = content_age(then.map_or(1, |slot| slot.visits));
        let known = then
            .map_or(1.0, |slot| slot.buckets(self.kind.span))
            .max(1.0);
        let lag = periods + age - 1.0 - content_age(now.saturating_sub(1).max(1));
        (period * lag, 1.0 + 1.0 / known)
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
        Prospect {
            lower: end(TAIL).min(prediction),
            prediction,
            upper: end(1.0 - TAIL).max(prediction),
        }
    }
}
