//! Judging one value: the tails of its bucket's distribution, and what the views claim of it.

use super::super::evidence::{Claim, Foretold};
use super::super::foresight::Foresight;
use super::super::residual::Tails;
use super::super::{Kind, Verdict};
use super::{SeriesModel, shrunk};
use crate::config::Side;
use crate::numerics::special::normal;
use crate::time::EventTime;

/// A value beside what was expected of it.
pub(super) struct Look {
    /// The value as of a usual bucket.
    pub(super) x: f64,
    /// The same, nearer to the forecast where its day is of a kind that is not known.
    pub(super) known: f64,
    /// By how much such a day varies more: a variance ratio, at least 1.
    pub(super) strangeness: f64,
    /// The forecast, and how it was found.
    pub(super) typical: f64,
    pub(super) foresight: Foresight,
    /// ln p of the bucket by its law.
    pub(super) ln_by_law: f64,
    /// ln p of the bucket or of the dozen that it ends, whichever is less.
    pub(super) ln_tail: f64,
    /// How far the value is from the forecast, as a normal deviate.
    pub(super) deviate: f64,
}

impl SeriesModel {
    /// What the views claim of a value, and how many nats of it are heard.
    pub(super) fn claims(&self, kind: &Kind, at: EventTime, look: &Look) -> (Claim, f64) {
        let &Look {
            x,
            typical,
            foresight,
            strangeness,
            ..
        } = look;
        let of_date = foresight.of_date(x, typical);
        let foretold = Foretold {
            typical: typical - of_date,
            ln_tail: look.ln_tail,
            repeat_nats: self.repeat_nats(kind, x, typical, &foresight),
            deviate: near_or_far(kind, look.deviate),
        };
        let calm = foresight.calm().max(foresight.least_count());
        let by_law = || {
            let known = shrunk(x, calm, strangeness);
            let tails = self.law_tails(kind, known, at, calm, &foresight);
            look.ln_by_law.min(tails.ln_probability(kind.side))
        };
        let by_law: Option<&dyn Fn() -> f64> = match kind.counting {
            true => Some(&by_law),
            false => None,
        };
        let claim_of = |x: f64, foretold: &Foretold| {
            let undated = x - of_date;
            self.evidence
                .judge(at, undated, kind.side, foretold, by_law)
        };
        let claim = claim_of(x, &foretold);
        let nats = if strangeness > 1.0 && claim.nats > 0.0 {
            // A day of another kind is so in all of its buckets: that a dozen lean one way is no news.
            let of_this = Foretold {
                ln_tail: look.ln_by_law,
                ..foretold
            };
            claim.on_strange_day(&claim_of(look.known, &of_this), strangeness)
        } else {
            claim.nats
        };
        (claim, nats)
    }

    /// Whether an alarm is over that the forecast has followed: from what follows nothing quickly the value is less than half as far as the forecast is.
    pub(super) fn has_returned(&self, look: &Look) -> bool {
        let calm = look.foresight.rhythm.unwrap_or(look.foresight.calm());
        self.alarm.is_up() && 2.0 * (look.x - calm).abs() < (look.typical - calm).abs()
    }

    /// The tails at a comparable value, as the series' own outliers have shown them.
    pub(super) fn tails(
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

    pub(super) fn as_shown(&self, kind: &Kind, by_families: Tails) -> Tails {
        match kind.counting {
            true => self.outliers.tails(by_families),
            false => by_families,
        }
    }

    /// The tails at a comparable value, by the families.
    pub(super) fn law_tails(
        &self,
        kind: &Kind,
        x: f64,
        at: EventTime,
        forecast: f64,
        foresight: &Foresight,
    ) -> Tails {
        let steadied = self.steadied(kind, x, at, forecast, foresight);
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
    pub(super) fn repeat_nats(
        &self,
        kind: &Kind,
        x: f64,
        typical: f64,
        foresight: &Foresight,
    ) -> f64 {
        match kind.counting && x == 0.0 {
            true => -self.residuals.ln_none(typical, foresight.events(typical)),
            false => f64::INFINITY,
        }
    }

    /// ln p of a comparable value, either way: what is forgiven a day of a new kind is not taught for that.
    pub(super) fn ln_as_it_is(&self, kind: &Kind, x: f64, at: EventTime, verdict: &Verdict) -> f64 {
        let tails = if self.strangeness(at, verdict.typical) > 1.0 {
            self.law_tails(kind, x, at, verdict.typical, &verdict.foresight)
        } else {
            verdict.tails
        };
        tails.ln_probability(Side::Both)
    }

    /// The normal deviate that a value corresponds to, signed. Both tails of a count hold the value itself: where both are likelier
    /// than not, it is in the middle.
    pub(super) fn deviate(tails: Tails) -> f64 {
        if tails.upper < tails.lower {
            normal::quantile_from_ln_sf(tails.upper).max(0.0)
        } else {
            (-normal::quantile_from_ln_sf(tails.lower)).min(0.0)
        }
    }
}

/// How far out a value is of which it may be told that it is near. Counts have few values, and many are just what was expected.
pub(super) fn near_or_far(kind: &Kind, deviate: f64) -> f64 {
    match kind.counting {
        true => f64::INFINITY,
        false => deviate,
    }
}
