//! What it takes to stand out among many: members of a population, series of a partition.
//!
//! The evidence against one is the chance that a block of 24 buckets shows *any* so far out, as many chances as there are members in a
//! bucket as a rule. So a population of ten thousand is no louder than one of ten. How far that is believed: as far as
//! so many buckets show it, or as far as a tail that many members witness goes on, whichever says more. Input: ln p, at most 0. Output: charges. Checked: `cargo bench --bench functions`, `--bench populations`.

use super::rarity::LN_BLOCK;
use super::series::LN_RECORD;
use crate::engine::model::evidence::{BLOCK_BUCKETS, of_one_look};
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
/// How far a tail is believed beyond what has been seen: as if so many excesses of a mean of one nat spoke for it, as in a series' own calibration
/// (`engine::model::calibration`). Half of them after one day (or 24 buckets), and of what a part of the first would give that part: what comes with an hour that was not
/// seen yet, no number of members shows.
const EXCESSES: f64 = 4.0;
const DAY_MS: f64 = 86_400_000.0;

/// What it takes to stand out in a population.
#[derive(Clone, Copy)]
pub(super) struct Bar {
    /// ln of the members in a bucket as a rule.
    ln_members: f64,
    /// What so few buckets show at the most: that another block of them would be the strangest, and a nat.
    nats_max: f64,
    /// Excesses that speak for a tail fitted to the values of many members, which knows how many witness it (`engine::model::crowd`); 0 where there is none.
    excesses: f64,
    /// Whether chances are what they say, and so one look.
    is_one_look: bool,
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
            excesses: 0.0,
            is_one_look: false,
            history: history as u32,
        }
    }

    /// The same for chances that are what they say, with nothing that holds them back. A block shows 3 nats by chance in one of twenty; two looks, as there are at a series, agree to
    /// as much in one of two hundred ([`of_one_look`]). Chances of tails are held back by their
    /// excesses, and those of rarity, which are of whole numbers, are shy: they are not asked to agree, which would hide what they are there to find (docs/quality-functions.md).
    pub(super) fn of_one_look(self) -> Bar {
        Bar {
            is_one_look: true,
            ..self
        }
    }

    /// The same for chances that come from such a tail.
    pub(super) fn of_tails(self, span: BucketSpan) -> Bar {
        let day = (DAY_MS / span.millis() as f64).max(f64::from(BLOCK_BUCKETS));
        let days = f64::from(self.history) / day;
        Bar {
            excesses: EXCESSES * days / (days + 1.0) * days.min(1.0),
            ..self
        }
    }

    /// ln of the members in a bucket as a rule.
    pub(super) fn ln_members(self) -> f64 {
        self.ln_members
    }

    /// What is held against a member with this chance.
    pub(super) fn charge(self, ln_probability: f64) -> Charge {
        let of_block = -ln_probability - self.ln_members - LN_BLOCK;
        let claim = match of_block > 0.0 && self.is_one_look {
            true => of_one_look(of_block),
            false => of_block,
        };
        // Nears the most and keeps the order: who is far beyond it stands above who just reaches it.
        let by_share = self.nats_max * -(-(claim + SLACK_NATS).max(0.0) / self.nats_max).exp_m1();
        let by_tail = match self.excesses > 0.0 {
            true => self.excesses * (claim.max(0.0) / self.excesses).ln_1p(),
            false => 0.0,
        };
        let evidence = by_share.max(by_tail);
        Charge {
            ln_probability,
            evidence,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::score::of_evidence;

    fn hour() -> BucketSpan {
        BucketSpan::from_seconds(3_600).expect("a span")
    }

    fn score(bar: Bar, ln_probability: f64) -> f64 {
        of_evidence(bar.charge(ln_probability).evidence)
    }

    #[test]
    fn a_tail_says_more_than_a_share_of_few_buckets_and_the_more_the_more_blocks_it_has_seen() {
        for members in [3.0, 30.0, 3_000.0f64] {
            // As unlikely among all of them, whatever their number.
            let ln_p = -20.0 - members.ln();
            let scores: Vec<f64> = [0.0, 6.0, 24.0, 48.0, 500.0, 5_000.0]
                .map(|history| score(Bar::new(members, history).of_tails(hour()), ln_p))
                .to_vec();
            assert!(scores[0] < 10.0 && scores.is_sorted(), "{scores:?}");
            assert!(scores[2] >= 75.0 && scores[5] >= 95.0, "{scores:?}");
            let shares = score(Bar::new(members, 24.0), ln_p);
            assert!(shares < 50.0, "{shares}");
        }
    }

    #[test]
    fn who_is_further_out_scores_higher_and_what_a_block_shows_by_chance_scores_little() {
        let bar = Bar::new(30.0, 240.0).of_tails(hour());
        let scores: Vec<f64> = (0..60).map(|nats| score(bar, -f64::from(nats))).collect();
        assert!(scores.is_sorted());
        let by_chance = -(30.0 * f64::from(BLOCK_BUCKETS)).ln();
        assert!(score(bar, by_chance) < 10.0);
    }
}
