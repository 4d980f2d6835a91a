//! What it takes to stand out among many: members of a population, series of a partition.
//!
//! The evidence against one is the chance that a block of 24 buckets shows *any* so far out, as many chances as there are members in a
//! bucket as a rule; and so few buckets show at the most that another block of them would be the strangest. (Both give or take a nat.) So a population of ten
//! thousand is no louder than one of ten. Input: ln p, at most 0. Output: charges. Checked: `cargo bench --bench functions`, `--bench populations`.

use super::rarity::LN_BLOCK;
use super::series::LN_RECORD;
use crate::engine::model::evidence::BLOCK_BUCKETS;
use crate::engine::model::presence::Presences;
use crate::engine::probability::Charge;
use crate::time::{BucketSpan, BucketStart};

/// Causes of a record at the most (results.md 3.5).
pub(super) const CAUSES_MAX: usize = 10;
/// A cause is told when it is no more likely than this, or than the least likely one by a tenth.
pub(super) const LN_CAUSE: f64 = -2.995_732_273_553_991; // ln 0.05
pub(super) const LN_TENTH_MORE: f64 = 0.095_310_179_804_324_9; // ln 1.1
/// A member is told of when a bucket shows any so far out with less than this chance, one in e.
const LN_TOLD: f64 = -1.0;
/// What is believed of a member beyond what its like and so few buckets prove.
const SLACK_NATS: f64 = 1.0;

/// What it takes to stand out in a population.
#[derive(Clone, Copy)]
pub(super) struct Bar {
    /// ln of the members in a bucket as a rule.
    ln_members: f64,
    /// What so few buckets can show at the most: that another block of them would be the strangest, and a nat.
    nats_max: f64,
    /// Buckets that the population is known for.
    pub(super) history: u32,
}

impl Bar {
    pub(super) fn of(members: &Presences, at: BucketStart, span: BucketSpan) -> Bar {
        Bar::new(members.a_bucket(), members.buckets(at, span))
    }

    /// With so many members in a bucket as a rule, known for so many buckets.
    pub(super) fn new(a_bucket: f64, history: f64) -> Bar {
        Bar {
            ln_members: a_bucket.max(1.0).ln(),
            nats_max: (history / f64::from(BLOCK_BUCKETS)).ln_1p() + SLACK_NATS,
            history: history as u32,
        }
    }

    /// What is held against a member with this chance.
    pub(super) fn charge(self, ln_probability: f64) -> Charge {
        let evidence = SLACK_NATS - ln_probability - self.ln_members - LN_BLOCK;
        Charge {
            ln_probability,
            // Nears the most and keeps the order: who is far beyond it stands above who just reaches it.
            evidence: self.nats_max * -(-evidence.max(0.0) / self.nats_max).exp_m1(),
        }
    }

    /// Whether it is told of.
    pub(super) fn tells(self, charge: Charge) -> bool {
        charge.ln_probability + self.ln_members < LN_TOLD
    }

    /// Whether it teaches little.
    pub(super) fn suspects(self, charge: Charge) -> bool {
        charge.ln_probability + self.ln_members < LN_RECORD
    }
}
