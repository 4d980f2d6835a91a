//! Who of an entity's series is to blame for what they show together, and what each of them has to show more when judged by itself.
//!
//! The most blamed series carries the entity's evidence, the others their share of it. Each has an alarm of its own for it, so that one series' spike
//! does not silence its neighbour's. Holds: shares are 0..=1, and 1 for somebody when anybody is to blame.

use super::entity::Seat;
use super::partial::TogetherCharge;
use super::series::{EVIDENCE_RECORD, Judged};
use crate::engine::model::alarm::LN_USUAL;
use crate::engine::model::evidence::{ln_probability_of, of_one_look};
use crate::engine::model::together::{Joint, Together};
use crate::engine::probability::Charge;
use crate::time::{BucketSpan, EventTime};
use std::ops::Range;

/// Of what an entity's series show together, a series is told of that bears this share of the most blamed one's part.
const SHARE_RECORD: f64 = 0.02;
/// A series takes part in it when it bears this share.
const SHARE_TAKES_PART: f64 = 0.5;
/// What one series of a crowd has to show more than the crowd together, nats: of two channels, the second has e^−1.5 of the chances.
const SECOND_CHANNEL: f64 = 1.5;

/// The part of one feature.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// The evidence that it shows by itself.
    alone: f64,
    /// How rare it is that any of the entity's series shows as much, nats of a block of buckets; 0 where it is too little to be heard.
    rank: f64,
    share: f64,
    /// Its share of the entity's evidence, and what of that is said.
    pub(super) evidence: f64,
    pub(super) said: f64,
}

/// What the series of an entity show together, and the part of each.
pub(super) struct Blame {
    pub(super) joint: Joint,
    /// To their own forecasts the values of all of them are usual.
    all_usual: bool,
    /// Series that bear a good part of it.
    taking_part: u32,
    /// Of each feature judged, in order.
    parts: Vec<Part>,
    /// The most that is said of anyone.
    said: f64,
    /// The most that anyone shows by itself.
    pub(super) alone: f64,
}

impl Blame {
    /// Shares out what is joint among the features `judged`, of which each seat knows its own; `together` is what the entity has shown before.
    pub(super) fn of(
        joint: Joint,
        together: &Together,
        seats: &[Seat<'_>],
        judged: &[Judged],
        at: EventTime,
        span: BucketSpan,
    ) -> Blame {
        let is_usual = |one: &Judged| one.verdict.ln_single > LN_USUAL;
        let all_usual = judged.iter().all(is_usual);
        let joint = match all_usual && joint.is_within_usual() {
            true => joint.forgiven(),
            false => joint,
        };
        let blame = |one: &Judged| joint.blame(&one.verdict.deviation);
        let largest = judged.iter().map(blame).fold(0.0, f64::max);
        let (mut said, mut alone) = (0.0f64, 0.0f64);
        let heard_from = EVIDENCE_RECORD * crowd(joint.members);
        let mut part = |seat: &Seat<'_>, one: &Judged| {
            let share = if largest > 0.0 {
                blame(one) / largest
            } else {
                0.0
            };
            let evidence = joint.evidence * share;
            let part = Part {
                alone: one.verdict.evidence,
                rank: if one.verdict.evidence >= heard_from {
                    together.rank_of_one(one.verdict.evidence)
                } else {
                    0.0
                },
                share,
                evidence,
                said: seat
                    .series
                    .said_together(one, (evidence, all_usual), at, span),
            };
            said = said.max(part.said);
            alone = alone.max(one.verdict.evidence);
            part
        };
        let mut parts: Vec<Part> = Vec::with_capacity(judged.len());
        let mut taking_part = 0;
        for seat in seats {
            let own = judged[seat.judged.clone()].iter();
            let from = parts.len();
            parts.extend(own.map(|one| part(seat, one)));
            let takes_part = |part: &Part| part.share >= SHARE_TAKES_PART;
            taking_part += u32::from(parts[from..].iter().any(takes_part));
        }
        Blame {
            joint,
            all_usual,
            taking_part,
            parts,
            said,
            alone,
        }
    }

    /// What is held against the entity as a whole.
    pub(super) fn charge(&self) -> Charge {
        charge(self.said)
    }

    /// What concerns one seat.
    pub(super) fn of_seat(&self, seat: &Seat<'_>) -> SeatBlame<'_> {
        SeatBlame {
            series: self.joint.members,
            taking_part: self.taking_part,
            is_told: self.said >= EVIDENCE_RECORD,
            all_usual: self.all_usual,
            parts: &self.parts[seat.judged.clone()],
        }
    }
}

/// What concerns the features of one series.
#[derive(Clone, Copy)]
pub(super) struct SeatBlame<'b> {
    /// Series that were judged together.
    series: u32,
    /// Those of them that take part in what is told.
    taking_part: u32,
    /// Whether anything is said of the entity.
    is_told: bool,
    /// To their own forecasts the values of all of them are usual.
    pub(super) all_usual: bool,
    /// By feature judged.
    pub(super) parts: &'b [Part],
}

impl SeatBlame<'_> {
    /// The part of the most blamed of these features, if it is worth telling.
    pub(super) fn worst(&self, features: Range<usize>) -> Option<TogetherCharge> {
        let parts = self.parts[features].iter();
        let worst = parts.max_by(|a, b| a.said.total_cmp(&b.said))?;
        (self.is_told && worst.share >= SHARE_RECORD).then(|| TogetherCharge {
            charge: charge(worst.said),
            share: worst.share,
            series: self.taking_part,
        })
    }

    /// What these features show by themselves, when n were looked at: n chances of being far out ask for ln n more of ln p (Bonferroni); evidence is no more than
    /// what it is worth among what any of the n has shown before, which is one look as well. The more of them there are, the more their judgement together is the
    /// first channel and this one the second, which has more to show and is not heard below what makes a record. Two are no crowd.
    pub(super) fn discount(&self, ln_probability: f64, features: Range<usize>) -> Charge {
        let (n, crowd) = (f64::from(self.series), crowd(self.series));
        let most = |of: fn(&Part) -> f64| {
            let parts = self.parts[features.clone()].iter();
            parts.map(of).fold(0.0, f64::max)
        };
        let (alone, rank) = (most(|part| part.alone), most(|part| part.rank));
        let evidence = alone.min(of_one_look((rank - SECOND_CHANNEL * crowd).max(0.0)));
        Charge {
            ln_probability: (ln_probability + n.ln()).min(0.0),
            evidence: if evidence >= EVIDENCE_RECORD * crowd {
                evidence
            } else {
                0.0
            },
        }
    }
}

/// How much of a crowd so many series are, 0..=1: two are none.
fn crowd(series: u32) -> f64 {
    1.0 - 2.0 / f64::from(series.max(2))
}

/// What is held against somebody for what an entity shows, on the scale of a series: there two views look and have to agree, here one does, and one view
/// shows 3 nats ten times as often as the mean of two.
fn charge(nats: f64) -> Charge {
    Charge {
        ln_probability: ln_probability_of(nats),
        evidence: of_one_look(nats),
    }
}
