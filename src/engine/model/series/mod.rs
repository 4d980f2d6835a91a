//! The model of a series: forecast, residual distribution, the dozen buckets, and the evidence of its own past.

mod learning;
mod look;

use self::look::Look;
use super::ahead::Ahead;
use super::alarm::{Alarm, Hold};
use super::evidence::{Claim, EvidenceModel, ln_probability_of};
use super::finer::Finer;
use super::forecast::{Believed, Forecaster};
use super::foresight::{Calmer, Foresight};
use super::law::{Law, Measured};
use super::member::{Deviation, Member};
use super::multi_bucket::MultiBucket;
use super::outliers::{LN_LEAST, LN_USUAL, Outliers};
use super::outlook::Outlook;
use super::predictors;
use super::prefetch::prefetch;
use super::pulse::Due;
use super::residual::Residuals;
use super::{Change, Kind, Model, Noticed, Room, Sample, Shape, Verdict, ongoing};
use crate::config::Side;
use crate::time::{BucketSpan, EventTime};
use serde::{Deserialize, Serialize};

/// A bucket belongs to an anomaly while its single-bucket probability is below this.
const LN_ANOMALOUS: f64 = -2.995_732_273_553_991; // ln 0.05
/// Errors beyond this many standard deviations are cut for the levels, unless they last.
const LEVEL_CLIP: f64 = 5.0;
const LASTS: u32 = 3;
const DAY_MS: i64 = 86_400_000;
/// Evidence counts by half after this many values, and ever more after.
const THIN_HISTORY: f64 = 24.0;
/// An hour is restless when it varies so many times as much as the day as a whole.
const HIGH_VARIANCE: f64 = 1.1;
/// A bucket with fewer than this share of the usual measurements is incomplete.
const INCOMPLETE: f64 = 2.0;
const MEASUREMENT_GAIN: f64 = 0.02;
/// ln 1.25: the bucket, the dozen that it ends and the evidence look at the same value; together they count as one look and a quarter,
/// which keeps their p within a factor of two on most kinds of noise (`cargo bench --bench noise`).
const LN_LOOKS: f64 = 0.223_143_551_314_209_76;
/// Values beyond this size are judged as if they were of this size: their squares stay finite in every part of the model.
const VALUE_MOST: f64 = 1e30;

/// A series that has come so often is here to stay: from then on it is learnt how it may go on.
const OUTLOOK_AFTER: u32 = 4;

/// What is normal for one feature of one series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesModel {
    forecaster: Forecaster,
    residuals: Residuals,
    finer: Finer,
    multi: MultiBucket,
    evidence: EvidenceModel,
    alarm: Alarm,
    /// Of a series that is one of several of an entity.
    member: Option<Box<Member>>,
    /// Of a series that has come more than a few times.
    outlook: Option<Box<Outlook>>,
    /// Usual number of measurements a bucket.
    measurements: f64,
    anomaly_buckets: u32,
    anomaly_error: f64,
    anomaly_nats: f32,
    /// Of a count.
    outliers: Outliers,
    /// The chance that an anomaly goes on for another bucket.
    anomaly_goes_on: f32,
}

impl SeriesModel {
    /// Asks for the parts that stand elsewhere in memory, as far as a bucket at `at` needs them.
    pub fn prefetch_parts(&self, at: EventTime) {
        if let Some(member) = self.member.as_deref() {
            prefetch(member);
        }
        if let Some(outlook) = self.outlook.as_deref() {
            prefetch(outlook);
        }
        self.forecaster.prefetch_parts(at);
        self.finer.prefetch_parts();
        self.evidence.prefetch_parts();
    }

    /// Asks for the part that a part has elsewhere: once that one has come.
    pub fn prefetch_profile(&self, at: EventTime) {
        self.evidence.prefetch_profile(at);
    }

    /// How the series may go on after what was learnt; `None` while that is too little.
    pub fn ahead<'m>(&'m self, kind: &'m Kind) -> Option<Ahead<'m>> {
        let outlook = self.outlook.as_deref()?;
        Ahead::of(
            kind,
            &self.forecaster,
            &self.residuals,
            &self.finer,
            outlook,
        )
    }

    /// The outlook begins once the series is here to stay.
    fn settle(&mut self, room: &mut Room) {
        if self.forecaster.steps() < OUTLOOK_AFTER {
            return;
        }
        if self.outlook.is_none() && room.grant(size_of::<Outlook>()) {
            self.outlook = Some(Box::default());
        }
    }

    /// How much wider the distribution is because the day is of a kind that the series has not seen (a variance ratio, at least 1).
    fn strangeness(&self, at: EventTime, forecast: f64) -> f64 {
        match self.forecaster.strangeness(at) {
            0.0 => 1.0,
            variance => 1.0 + variance / self.residuals.deviation(forecast).powi(2),
        }
    }

    /// The bucket's measurements beside the usual number of them.
    fn measured(&self, sample: &Sample, forecast: f64) -> Measured<'_> {
        Measured {
            count: sample.measurements as f64,
            usual: self.measurements,
            forecast,
            residuals: &self.residuals,
        }
    }

    /// Whether the distribution is much wider because the bucket holds few measurements.
    fn is_incomplete(&self, kind: &Kind, sample: &Sample) -> bool {
        let is_known = kind.law == Law::Average && sample.measurements > 0;
        is_known && self.measured(sample, 0.0).widening() > INCOMPLETE
    }

    /// The sample within the sizes that models compute with.
    fn bounded(sample: &Sample) -> Sample {
        Sample {
            value: sample.value.clamp(-VALUE_MOST, VALUE_MOST),
            ..*sample
        }
    }

    /// The value as if the bucket were as full as usual.
    fn comparable(&self, kind: &Kind, sample: &Sample, forecast: f64) -> f64 {
        let measured = self.measured(sample, forecast);
        let comparable = kind.law.comparable(sample.value, &measured);
        comparable.clamp(-VALUE_MOST, VALUE_MOST)
    }

    /// A comparable value as if its hour were as restless as the day: what varies in proportion is steadied in proportion, and stays above 0.
    fn steadied(
        &self,
        kind: &Kind,
        x: f64,
        at: EventTime,
        forecast: f64,
        foresight: &Foresight,
    ) -> f64 {
        let times = 1.0 / self.restlessness(kind, at, forecast, foresight.due());
        let steadied = stretched(x, forecast, times, self.residuals.positive());
        if kind.counting {
            steadied.round()
        } else {
            steadied
        }
    }

    /// How much more values vary at `at` than the law says: in its hour, and where something is due. A law of counts, or of what varies in proportion, gives what is
    /// large a spread of its own; told again by what is due, none of it would ever be missed.
    fn restlessness(&self, kind: &Kind, at: EventTime, forecast: f64, due: Option<Due>) -> f64 {
        let hour = self.finer.spread_at(at);
        match due {
            Some(due) => {
                let by_law = self.residuals.deviation_by_law(forecast, kind.counting);
                hour.max(due.square.sqrt() / by_law)
            }
            None => hour,
        }
    }

    fn forecast(&self, kind: &Kind, at: EventTime) -> Option<(f64, Foresight)> {
        let before = EventTime(at.millis() - kind.span.millis());
        let calmer = Calmer {
            ratio: (self.finer.spread_at(at) / self.finer.spread_at(before)).min(1.0),
            counts: kind.counting.then_some(&self.residuals),
        };
        let (mut value, mut foresight) = self.forecaster.forecast(at, kind.span, calmer)?;
        let never_below = kind.counting || self.residuals.nonnegative();
        let is_beyond = value < 0.0 && never_below;
        if is_beyond || value <= 0.0 && self.residuals.positive() {
            // A slope or a season carried on to where the series has never been, and families of positive values (or of counts) cannot be.
            value = match foresight.undated(value) {
                // What a date takes away of a larger day is more than there is of this one.
                usual if usual > 0.0 => usual * usual / (2.0 * usual - value),
                _ => {
                    // A run of zeros takes it down by a quarter each, and shows no rate of nothing for that.
                    foresight.buckets = predictors::quickest_memory();
                    self.forecaster.level()
                }
            };
        }
        let value = match kind.counting {
            true => value.max(foresight.least_count()),
            false if never_below => value.max(0.0),
            false => value,
        };
        Some((value, foresight))
    }

    /// What is said of so much evidence: the series' part in what its entity shows at `at`; `all_usual`: to their own forecasts the values of all its series are.
    pub fn said_together(
        &self,
        evidence: f64,
        all_usual: bool,
        at: EventTime,
        span: BucketSpan,
    ) -> f64 {
        let member = self.member.as_ref();
        member.map_or(evidence, |member| {
            member.said(evidence, all_usual, at, span)
        })
    }

    /// Remembers what was said of it.
    pub fn learn_said_together(
        &mut self,
        (evidence, said): (f64, f64),
        all_usual: bool,
        at: EventTime,
        span: BucketSpan,
    ) {
        if let Some(member) = &mut self.member {
            member.learn_said((evidence, said), all_usual, at, span);
        }
    }

    /// Days begin so many hours later from now on, because somebody says so.
    pub fn turn(&mut self, hours: i8) {
        self.forecaster.turn(hours);
        self.evidence.turn(hours);
    }

    /// ln p of an anomaly that lasts as long and is as large as the one that a verdict speaks of.
    pub fn ln_characteristics(&self, verdict: &Verdict) -> f64 {
        let (buckets, nats) = (verdict.anomaly_buckets, verdict.anomaly_nats);
        ongoing::ln_probability(buckets, nats, self.anomaly_goes_on)
    }

    /// The value that would have this normal deviate in the place of the sample's: the inverse of what judging makes of a value, by bisection.
    pub fn value_at(&self, kind: &Kind, sample: &Sample, deviate: f64) -> f64 {
        const STEPS: u32 = 60;
        let sample = &Self::bounded(sample);
        let Some((typical, foresight)) = self.forecast(kind, sample.at) else {
            return sample.value;
        };
        let of = |x| Self::deviate(self.tails(kind, x, sample.at, typical, &foresight));
        let mut reach = self.residuals.deviation(typical);
        while reach < VALUE_MOST && (of(typical - reach) > deviate || of(typical + reach) < deviate)
        {
            reach *= 2.0;
        }
        let (mut low, mut high) = (typical - reach, typical + reach);
        for _ in 0..STEPS {
            let middle = low + (high - low) / 2.0;
            match of(middle) < deviate {
                true => low = middle,
                false => high = middle,
            }
        }
        let strangeness = self.strangeness(sample.at, typical);
        let x = stretched(high, typical, strangeness.sqrt(), false);
        let x = kind.law.as_measured(x, &self.measured(sample, typical));
        if kind.counting || self.residuals.nonnegative() {
            x.max(0.0)
        } else {
            x
        }
    }

    fn deviation(&self, kind: &Kind, at: EventTime, x: f64) -> Deviation {
        self.member
            .as_ref()
            .map_or_else(Deviation::default, |member| {
                member.judge(x, &self.forecaster.season(at), kind.side)
            })
    }
}

impl Model for SeriesModel {
    fn new() -> SeriesModel {
        SeriesModel {
            forecaster: Forecaster::default(),
            residuals: Residuals::default(),
            finer: Finer::default(),
            multi: MultiBucket::default(),
            evidence: EvidenceModel::new(),
            alarm: Alarm::default(),
            member: None,
            outlook: None,
            measurements: 0.0,
            anomaly_buckets: 0,
            anomaly_error: 0.0,
            anomaly_nats: 0.0,
            outliers: Outliers::default(),
            anomaly_goes_on: ongoing::GOES_ON_BY_CHANCE,
        }
    }

    fn judge(&self, kind: &Kind, sample: &Sample) -> Option<Verdict> {
        let sample = &Self::bounded(sample);
        let (typical, foresight) = self.forecast(kind, sample.at)?;
        let x = self.comparable(kind, sample, typical);
        let strangeness = self.strangeness(sample.at, typical);
        let known = shrunk(x, typical, strangeness);
        let tails = self.law_tails(kind, known, sample.at, typical, &foresight);
        let shown = self.as_shown(kind, tails);
        let ln_by_law = shown.ln_probability(kind.side).max(LN_LEAST);
        let deviate = Self::deviate(shown);
        // What was expected leans no way, however lopsided its distribution.
        let leaning = if deviate * (known - typical) > 0.0 {
            deviate
        } else {
            0.0
        };
        let ln_multi = self.multi.ln_probability(leaning, kind.side);
        let ln_tail = ln_by_law.min(ln_multi.unwrap_or(0.0));
        let look = Look {
            x,
            known,
            strangeness,
            typical,
            foresight,
            ln_by_law,
            ln_tail,
            deviate,
        };
        let history = self.forecaster.steps();
        let thin = f64::from(history) / (f64::from(history) + THIN_HISTORY);
        // Slow views may still lean the other way: a value on the side that does not count is no evidence. A bucket without any is on the low side, though most be so.
        let is_silent = kind.side == Side::Low && kind.counting && x == 0.0;
        let counts = kind.side == Side::Both || ln_by_law < 0.0 || is_silent;
        let (claim, nats) = if counts {
            self.claims(kind, sample.at, &look)
        } else {
            (Claim::default(), 0.0)
        };
        // What n values have shown is at most that another one is the rarest of n + 1.
        let raw_evidence = if nats > 0.0 {
            thin * nats.min(f64::from(history).ln_1p())
        } else {
            0.0
        };
        let has_returned = self.has_returned(&look);
        let ln_now = claim.ln_tail_now(ln_tail, has_returned);
        let evidence = self
            .alarm
            .said(raw_evidence, ln_now, sample.at, Hold::of_series(kind.span));
        let ln_single = match kind.counting {
            true => ln_by_law,
            false => self.outliers.as_came(ln_by_law, history),
        };
        let ln_views = ln_single.min(ln_multi.unwrap_or(0.0));
        let ln_probability = (ln_views.min(ln_probability_of(evidence)) + LN_LOOKS).min(0.0);
        let anomalous = ln_by_law < LN_ANOMALOUS;
        Some(Verdict {
            ln_probability,
            ln_single,
            ln_by_law,
            ln_multi,
            evidence,
            claim,
            deviation: self.deviation(kind, sample.at, x - foresight.of_date(x, typical)),
            raw_evidence,
            has_returned,
            tails,
            deviate,
            foresight,
            typical,
            history,
            shape: Shape {
                multimodal: self.finer.knows_modes(),
                high_variance: self.finer.spread_at(sample.at) > HIGH_VARIANCE,
            },
            incomplete: self.is_incomplete(kind, sample),
            anomaly_buckets: if anomalous {
                self.anomaly_buckets + 1
            } else {
                0
            },
            anomaly_error: if anomalous {
                self.anomaly_error + sample.value - typical
            } else {
                0.0
            },
            anomaly_nats: if anomalous {
                f64::from(self.anomaly_nats) + (LN_ANOMALOUS - ln_by_law)
            } else {
                0.0
            },
        })
    }

    fn bounds(&self, kind: &Kind, sample: &Sample, typical: f64) -> (f64, f64) {
        let measured = self.measured(sample, typical);
        let strangeness = self.strangeness(sample.at, typical).sqrt();
        let foresight = self.forecast(kind, sample.at);
        let due = foresight.and_then(|(_, foresight)| foresight.due());
        let restless = self.restlessness(kind, sample.at, typical, due);
        let spread = |p: f64| {
            let bound = self.residuals.quantile(p, typical, kind.counting);
            let bound = stretched(bound, typical, restless, self.residuals.positive());
            let bound = stretched(bound, typical, strangeness, false);
            let bound = kind.law.as_measured(bound, &measured);
            let bound = if bound.is_finite() {
                bound.clamp(-VALUE_MOST * VALUE_MOST, VALUE_MOST * VALUE_MOST)
            } else {
                VALUE_MOST * VALUE_MOST
            };
            if kind.counting || self.residuals.nonnegative() {
                bound.max(0.0)
            } else {
                bound
            }
        };
        let (low, high) = (spread(0.025).min(typical), spread(0.975).max(typical));
        let least = self.residuals.least_deviation();
        let calm = foresight.map_or(typical, |(_, foresight)| foresight.calm());
        match self.finer.range(calm, least) {
            Some((lower, upper)) if self.residuals.nonnegative() => (lower.max(0.0), upper),
            Some(range) => range,
            None => (low, high),
        }
    }

    fn ln_probability(&self, kind: &Kind, sample: &Sample) -> f64 {
        let sample = &Self::bounded(sample);
        match self.forecast(kind, sample.at) {
            Some((typical, foresight)) => {
                let x = self.comparable(kind, sample, typical);
                let x = shrunk(x, typical, self.strangeness(sample.at, typical));
                self.tails(kind, x, sample.at, typical, &foresight)
                    .ln_probability(kind.side)
                    .max(LN_LEAST)
            }
            None => 0.0,
        }
    }

    fn expected(&self, kind: &Kind, at: EventTime) -> Option<f64> {
        self.forecast(kind, at).map(|(value, _)| value)
    }

    fn learn(
        &mut self,
        kind: &Kind,
        sample: &Sample,
        verdict: Option<&Verdict>,
        room: &mut Room,
    ) -> Option<Noticed> {
        let mut spread = None;
        let sample = &Self::bounded(sample);
        self.residuals.see(sample.value);
        // Averages of few are learnt as they came: they vary, and so will others. Of the rest, what is learnt is what it would have been in a usual bucket.
        let came = match verdict {
            Some(verdict) if kind.law != Law::Average => {
                self.comparable(kind, sample, verdict.typical)
            }
            _ => sample.value,
        };
        let mut x = came;
        if verdict.is_some() && !kind.counting {
            self.finer.begin(room);
        }
        if let Some(verdict) = verdict {
            let comparable = self.comparable(kind, sample, verdict.typical);
            let (typical, foresight) = (verdict.typical, &verdict.foresight);
            let steadied = self.steadied(kind, comparable, sample.at, typical, foresight);
            let left = (comparable, steadied);
            self.multi.learn(verdict.deviate);
            self.remember_anomaly(verdict);
            self.learn_modes(kind, left, verdict, room);
            if self.anomaly_buckets < LASTS && verdict.history > THIN_HISTORY as u32 {
                let reach = LEVEL_CLIP * self.residuals.deviation(verdict.typical);
                x = verdict.typical + (x - verdict.typical).clamp(-reach, reach);
            }
            spread = self.learn_residuals(kind, sample.at, left, verdict);
            self.alarm.learn(
                verdict.raw_evidence,
                verdict.evidence,
                verdict.ln_tail_now(),
                sample.at,
                Hold::of_series(kind.span),
            );
        }
        self.learn_evidence(kind, (sample, came), verdict, room);
        if let Some(verdict) = verdict.filter(|_| !kind.counting) {
            self.learn_spread(kind, sample.at, verdict.deviate, room);
        }
        let foresight = verdict.map(|verdict| verdict.foresight);
        let is_unusual =
            verdict.is_some_and(|verdict| verdict.tails.ln_probability(Side::Both) < LN_USUAL);
        let believed = Believed {
            came,
            x,
            is_unusual,
        };
        self.settle(room);
        let outlook = self.outlook.as_deref_mut();
        let learned = self
            .forecaster
            .learn(sample.at, believed, kind.span, foresight, outlook, room);
        if learned.changed {
            self.residuals.restart();
        }
        if learned.knows_more {
            self.evidence.restart_tail();
        } else if learned.knows_week {
            self.evidence.forgive_tail();
        }
        let noticed = learned.noticed;
        if let (Some(outlook), Some(noticed)) = (&mut self.outlook, &noticed) {
            outlook.follow(&noticed.change);
        }
        if let Some(Noticed {
            change: Change::Clock(hours),
            ..
        }) = noticed
        {
            self.evidence.turn(hours);
        }
        self.learn_measurements(sample.measurements as f64);
        noticed.or(spread.map(|spread| Noticed {
            change: Change::Spread(spread.factor),
            since: EventTime(
                sample.at.millis() - (i64::from(spread.steps) - 1) * kind.span.millis(),
            ),
        }))
    }

    fn memory_bytes(&self) -> usize {
        let member = self.member.as_ref().map_or(0, |_| size_of::<Member>());
        let outlook = self
            .outlook
            .as_ref()
            .map_or(0, |outlook| size_of::<Outlook>() + outlook.heap_bytes());
        size_of::<SeriesModel>()
            + self.evidence.heap_bytes()
            + self.forecaster.heap_bytes()
            + self.finer.heap_bytes()
            + member
            + outlook
    }
}

/// Buckets of a day, one at the least.
fn buckets_a_day(span: BucketSpan) -> u16 {
    (DAY_MS / span.millis()).clamp(1, 10_000) as u16
}

/// The value with its error shrunk by a variance ratio.
fn shrunk(x: f64, forecast: f64, widening: f64) -> f64 {
    if widening > 1.0 {
        forecast + (x - forecast) / widening.sqrt()
    } else {
        x
    }
}

/// The value so many times as far from the forecast: by difference, or by ratio of what is always above 0.
fn stretched(x: f64, forecast: f64, times: f64, in_proportion: bool) -> f64 {
    if times == 1.0 {
        x
    } else if in_proportion && x > 0.0 && forecast > 0.0 {
        let y = forecast * (x / forecast).powf(times);
        if y.is_finite() { y } else { x }
    } else {
        forecast + times * (x - forecast)
    }
}
