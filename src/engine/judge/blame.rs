//! Who of an entity's series is to blame for what they show together, and what each of them has to show more when judged by itself.
//!
//! The most blamed series carries the entity's evidence, the others their share of it. Each has an alarm of its own for it, so that one series' spike
//! does not silence its neighbour's. Holds: shares are 0..=1, and 1 for somebody when anybody is to blame.

use super::entity::Seat;
use super::partial::TogetherCharge;
use super::series::{EVIDENCE_RECORD, Judged};
use crate::engine::model::evidence::ln_probability_of;
use crate::engine::model::together::Joint;
use crate::engine::probability::Charge;
use crate::time::{BucketSpan, EventTime};
use std::ops::Range;

/// Of what an entity's series show together, a series is told of that bears this share of the most blamed one's part.
const SHARE_RECORD: f64 = 0.02;
/// What evidence of a second channel has to show more than that of the first, nats.
const SECOND_CHANNEL: f64 = 3.0;

/// The part of one feature.
#[derive(Clone, Copy)]
pub(super) struct Part {
    share: f64,
    /// Its share of the entity's evidence, and what of that is said.
    pub(super) evidence: f64,
    pub(super) said: f64,
}

/// What the series of an entity show together, and the part of each.
pub(super) struct Blame {
    pub(super) joint: Joint,
    /// Of each feature judged, in order.
    parts: Vec<Part>,
    /// The most that is said of anyone.
    said: f64,
}

impl Blame {
    /// Shares out what is joint among the features `judged`, of which each seat knows its own.
    pub(super) fn of(
        joint: Joint,
        seats: &[Seat<'_>],
        judged: &[Judged],
        at: EventTime,
        span: BucketSpan,
    ) -> Blame {
        let blame = |one: &Judged| joint.blame(&one.verdict.deviation);
        let largest = judged.iter().map(blame).fold(0.0, f64::max);
        let mut said = 0.0f64;
        let mut part = |seat: &Seat<'_>, one: &Judged| {
            let share = if largest > 0.0 {
                blame(one) / largest
            } else {
                0.0
            };
            let evidence = joint.evidence * share;
            let part = Part {
                share,
                evidence,
                said: seat.series.said_together(one, evidence, at, span),
            };
            said = said.max(part.said);
            part
        };
        let mut parts = Vec::with_capacity(judged.len());
        for seat in seats {
            let own = judged[seat.judged.clone()].iter();
            parts.extend(own.map(|one| part(seat, one)));
        }
        Blame { joint, parts, said }
    }

    /// What is held against the entity as a whole.
    pub(super) fn charge(&self) -> Charge {
        charge(self.said)
    }

    /// What concerns one seat.
    pub(super) fn of_seat(&self, seat: &Seat<'_>) -> SeatBlame<'_> {
        SeatBlame {
            series: self.joint.members,
            is_told: self.said >= EVIDENCE_RECORD,
            parts: &self.parts[seat.judged.clone()],
        }
    }
}

/// What concerns the features of one series.
#[derive(Clone, Copy)]
pub(super) struct SeatBlame<'b> {
    /// Series that were judged together.
    series: u32,
    /// Whether anything is said of the entity.
    is_told: bool,
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
            series: self.series,
        })
    }

    /// What a series shows by itself, when n were looked at: n chances of being far out ask for ln n more (Bonferroni), and the more of
    /// them there are, the more their judgement together is the first channel and this one the second. Two are no crowd.
    pub(super) fn discount(&self, alone: Charge) -> Charge {
        let n = f64::from(self.series);
        let handicap = n.ln() + SECOND_CHANNEL * (1.0 - 2.0 / n);
        Charge {
            ln_probability: (alone.ln_probability + n.ln()).min(0.0),
            evidence: (alone.evidence - handicap).max(0.0),
        }
    }
}

fn charge(evidence: f64) -> Charge {
    Charge {
        ln_probability: ln_probability_of(evidence),
        evidence,
    }
}
