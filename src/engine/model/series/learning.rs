//! Learning one value: what each part of a series' model takes from it.

use super::super::evidence::TailOf;
use super::super::law::Law;
use super::super::member::Member;
use super::super::residual::{Run, SpreadChange};
use super::super::{Kind, Room, Sample, Verdict, ongoing};
use super::look::near_or_far;
use super::{MEASUREMENT_GAIN, SeriesModel, buckets_a_day};
use crate::time::EventTime;

impl SeriesModel {
    /// How far the ongoing anomaly has come; of one that is over, how long it lasted.
    pub(super) fn remember_anomaly(&mut self, verdict: &Verdict) {
        if self.anomaly_buckets > 0 && verdict.anomaly_buckets == 0 {
            self.anomaly_goes_on =
                ongoing::after_the_end(self.anomaly_goes_on, self.anomaly_buckets);
        }
        (self.anomaly_buckets, self.anomaly_error) =
            (verdict.anomaly_buckets, verdict.anomaly_error);
        self.anomaly_nats = verdict.anomaly_nats as f32;
    }

    pub(super) fn learn_as_member(&mut self, at: EventTime, value: f64, room: &mut Room) {
        if self.member.is_none() && room.grant(size_of::<Member>()) {
            self.member = Some(Box::default());
        }
        if let Some(member) = &mut self.member {
            member.learn(value, &self.forecaster.season(at));
        }
    }

    /// Fits two modes beside the families, where values look like it; laws of counting have their own shapes.
    pub(super) fn learn_modes(
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
    pub(super) fn learn_residuals(
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
    pub(super) fn learn_spread(
        &mut self,
        kind: &Kind,
        at: EventTime,
        deviate: f64,
        room: &mut Room,
    ) {
        let a_day = buckets_a_day(kind.span);
        if self.finer.learn_spread(at, deviate, a_day, room) {
            self.residuals.restart();
        }
    }

    /// Follows the usual number of measurements.
    pub(super) fn learn_measurements(&mut self, n: f64) {
        let steps = self.forecaster.steps();
        self.measurements += if steps <= 1 {
            n
        } else {
            MEASUREMENT_GAIN.max(1.0 / f64::from(steps)) * (n - self.measurements)
        };
    }

    /// What the views learn: the value without what its date added to it, where that came.
    pub(super) fn learn_evidence(
        &mut self,
        kind: &Kind,
        (sample, came): (&Sample, f64),
        verdict: Option<&Verdict>,
        room: &mut Room,
    ) {
        let tail = TailOf {
            ln_p: verdict.map_or(0.0, |verdict| verdict.ln_tail()),
            deviate: verdict.map_or(f64::INFINITY, |verdict| near_or_far(kind, verdict.deviate)),
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
}
