//! The model of a series: forecast, residual distribution, the dozen buckets, and the evidence of its own past.

use super::ahead::Ahead;
use super::alarm::{Alarm, Hold};
use super::evidence::{Claim, EvidenceModel, Foretold, TailOf, ln_probability_of};
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
use super::residual::{Residuals, Run, SpreadChange, Tails};
use super::{Change, Kind, Model, Noticed, Room, Sample, Shape, Verdict, ongoing};
use crate::config::Side;
use crate::numerics::special::normal;
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
    fn steadied(&self, kind: &Kind, x: f64, at: EventTime, forecast: f64) -> f64 {
        let times = 1.0 / self.restlessness(kind, at, forecast);
        let steadied = stretched(x, forecast, times, self.residuals.positive());
        if kind.counting {
            steadied.round()
        } else {
            steadied
        }
    }

    /// How much more values vary at `at` than over the day as a whole: in its hour, and where a pulse is due.
    fn restlessness(&self, kind: &Kind, at: EventTime, forecast: f64) -> f64 {
        let hour = self.finer.spread_at(at);
        match self.forecaster.due(at, kind.span) {
            Some(due) => hour.max(due.square.sqrt() / self.residuals.deviation(forecast)),
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

    /// How far the ongoing anomaly has come; of one that is over, how long it lasted.
    fn remember_anomaly(&mut self, verdict: &Verdict) {
        if self.anomaly_buckets > 0 && verdict.anomaly_buckets == 0 {
            self.anomaly_goes_on =
                ongoing::after_the_end(self.anomaly_goes_on, self.anomaly_buckets);
        }
        (self.anomaly_buckets, self.anomaly_error) =
            (verdict.anomaly_buckets, verdict.anomaly_error);
        self.anomaly_nats = verdict.anomaly_nats as f32;
    }

    fn learn_as_member(&mut self, at: EventTime, value: f64, room: &mut Room) {
        if self.member.is_none() && room.grant(size_of::<Member>()) {
            self.member = Some(Box::default());
        }
        if let Some(member) = &mut self.member {
            member.learn(value, &self.forecaster.season(at));
        }
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

    /// The tails at a comparable value, as the series' own outliers have shown them.
    fn tails(
        &self,
        kind: &Kind,
        x: f64,
        at: EventTime,
        forecast: f64,
        foresight: &Foresight,
    ) -> Tails {
        let by_families = self.law_tails(kind, x, at, forecast, foresight);
        self.as_shown(kind, by_families)
    }

    fn as_shown(&self, kind: &Kind, by_families: Tails) -> Tails {
        match kind.counting {
            true => self.outliers.tails(by_families),
            false => by_families,
        }
    }

    /// The tails at a comparable value, by the families.
    fn law_tails(
        &self,
        kind: &Kind,
        x: f64,
        at: EventTime,
        forecast: f64,
        foresight: &Foresight,
    ) -> Tails {
        let steadied = self.steadied(kind, x, at, forecast);
        let counts = kind.counting.then(|| foresight.events(forecast));
        let families = self.residuals.tails(steadied, forecast, counts);
        let least = self.residuals.least_deviation();
        let two = self
            .finer
            .tails(x, foresight.calm(), kind.side, least, families);
        two.unwrap_or(families)
    }

    /// What one more bucket without any can tell, nats: that there are none where so many are expected. What comes again otherwise may tell more than its law
    /// knows: a sensor that is stuck.
    fn repeat_nats(&self, kind: &Kind, x: f64, typical: f64, foresight: &Foresight) -> f64 {
        match kind.counting && x == 0.0 {
            true => -self.residuals.ln_none(typical, foresight.events(typical)),
            false => f64::INFINITY,
        }
    }

    /// Fits two modes beside the families, where values look like it; laws of counting have their own shapes.
    fn learn_modes(
        &mut self,
        kind: &Kind,
        (x, steadied): (f64, f64),
        verdict: &Verdict,
        room: &mut Room,
    ) {
        if kind.counting {
            return;
        }
        let (calm, typical) = (verdict.foresight.calm(), verdict.typical);
        let families = &self.residuals;
        let least = families.least_deviation();
        self.finer.learn_modes(
            x,
            calm,
            families.positive(),
            least,
            || families.ln_density_of_all(steadied, typical, None),
            room,
        );
    }

    /// Teaches the families what the forecast left, and how often outliers of a count begin; says whether the spread has changed.
    fn learn_residuals(
        &mut self,
        kind: &Kind,
        at: EventTime,
        (comparable, steadied): (f64, f64),
        verdict: &Verdict,
    ) -> Option<SpreadChange> {
        let two_sided = self.ln_as_it_is(kind, comparable, at, verdict);
        let (weight, repeats) = self
            .outliers
            .learn(two_sided, self.anomaly_buckets, kind.counting);
        let run = Run {
            on_one_side: self.forecaster.is_on_one_side(),
            day_buckets: buckets_a_day(kind.span),
            skewed: kind.law.is_extreme(),
            sums: kind.law == Law::Sum,
            repeats,
            events: verdict.foresight.events(verdict.typical),
        };
        self.residuals
            .learn(steadied, verdict.typical, weight, kind.counting, run)
    }

    /// Laws of counting say themselves how much a quiet hour varies; other values have to show it.
    fn learn_spread(&mut self, kind: &Kind, at: EventTime, deviate: f64, room: &mut Room) {
        let a_day = buckets_a_day(kind.span);
        if self.finer.learn_spread(at, deviate, a_day, room) {
            self.residuals.restart();
        }
    }

    /// Follows the usual number of measurements.
    fn learn_measurements(&mut self, n: f64) {
        let steps = self.forecaster.steps();
        self.measurements += if steps <= 1 {
            n
        } else {
            MEASUREMENT_GAIN.max(1.0 / f64::from(steps)) * (n - self.measurements)
        };
    }

    fn deviation(&self, kind: &Kind, at: EventTime, x: f64) -> Deviation {
        self.member
            .as_ref()
            .map_or_else(Deviation::default, |member| {
                member.judge(x, &self.forecaster.season(at), kind.side)
            })
    }

    /// What the views learn: the value without what its date added to it, where that came.
    fn learn_evidence(
        &mut self,
        kind: &Kind,
        (sample, came): (&Sample, f64),
        verdict: Option<&Verdict>,
        room: &mut Room,
    ) {
        let tail = TailOf {
            ln_p: verdict.map_or(0.0, |verdict| verdict.ln_tail()),
            repeat_nats: verdict.map_or(f64::INFINITY, |verdict| {
                self.repeat_nats(kind, came, verdict.typical, &verdict.foresight)
            }),
            knows_more: self.finer.knows_hours()
                || self.finer.knows_modes()
                || self.forecaster.has_rhythm()
                || self.forecaster.knows_times(),
        };
        let of_date = verdict.map_or(0.0, |verdict| {
            let typical = verdict.typical;
            verdict.foresight.of_date_that_came(came, typical)
        });
        let judged_as_it_is = |verdict: &&Verdict| {
            let typical = verdict.typical;
            self.comparable(kind, sample, typical) == came
                && verdict.foresight.of_date(came, typical) == of_date
        };
        let claim = verdict
            .filter(judged_as_it_is)
            .map(|verdict| &verdict.claim);
        let undated = came - of_date;
        self.evidence
            .learn(sample.at, undated, kind, tail, claim, room);
        if kind.joined {
            self.learn_as_member(sample.at, undated, room);
        }
    }

    /// ln p of a comparable value, either way: what is forgiven a day of a new kind is not taught for that.
    fn ln_as_it_is(&self, kind: &Kind, x: f64, at: EventTime, verdict: &Verdict) -> f64 {
        let tails = if self.strangeness(at, verdict.typical) > 1.0 {
            self.law_tails(kind, x, at, verdict.typical, &verdict.foresight)
        } else {
            verdict.tails
        };
        tails.ln_probability(Side::Both)
    }

    /// The normal deviate that a value corresponds to, signed. Both tails of a count hold the value itself: where both are likelier
    /// than not, it is in the middle.
    fn deviate(tails: Tails) -> f64 {
        if tails.upper < tails.lower {
            normal::quantile_from_ln_sf(tails.upper).max(0.0)
        } else {
            (-normal::quantile_from_ln_sf(tails.lower)).min(0.0)
        }
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
        let ln_multi = self.multi.ln_probability(deviate, kind.side);
        let ln_tail = ln_by_law.min(ln_multi.unwrap_or(0.0));
        let history = self.forecaster.steps();
        let thin = f64::from(history) / (f64::from(history) + THIN_HISTORY);
        // Slow views may still lean the other way: a value on the side that does not count is no evidence.
        let counts = kind.side == Side::Both || ln_by_law < 0.0;
        let (claim, nats) = if counts {
            let of_date = foresight.of_date(x, typical);
            let typical = typical - of_date;
            let foretold = Foretold {
                typical,
                ln_tail,
                repeat_nats: self.repeat_nats(kind, x, typical + of_date, &foresight),
            };
            let calm = foresight.calm().max(foresight.least_count());
            let by_law = || {
                let known = shrunk(x, calm, strangeness);
                let tails = self.law_tails(kind, known, sample.at, calm, &foresight);
                ln_by_law.min(tails.ln_probability(kind.side))
            };
            let by_law: Option<&dyn Fn() -> f64> = match kind.counting {
                true => Some(&by_law),
                false => None,
            };
            let claim_of = |x: f64, foretold: &Foretold| {
                let undated = x - of_date;
                self.evidence
                    .judge(sample.at, undated, kind.side, foretold, by_law)
            };
            let claim = claim_of(x, &foretold);
            let nats = if strangeness > 1.0 && claim.nats > 0.0 {
                // A day of another kind is so in all of its buckets: that a dozen lean one way is no news.
                let of_this = Foretold {
                    ln_tail: ln_by_law,
                    ..foretold
                };
                claim.on_strange_day(&claim_of(known, &of_this), strangeness)
            } else {
                claim.nats
            };
            (claim, nats)
        } else {
            (Claim::default(), 0.0)
        };
        // What n values have shown is at most that another one is the rarest of n + 1.
        let raw_evidence = if nats > 0.0 {
            thin * nats.min(f64::from(history).ln_1p())
        } else {
            0.0
        };
        let evidence =
            self.alarm
                .said(raw_evidence, ln_tail, sample.at, Hold::of_series(kind.span));
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
        let spread = |p: f64| {
            let bound = self.residuals.quantile(p, typical, kind.counting);
            let restless = self.restlessness(kind, sample.at, typical);
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
        let foresight = self.forecast(kind, sample.at);
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
            let steadied = self.steadied(kind, comparable, sample.at, verdict.typical);
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
                verdict.ln_tail(),
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
