//! Evidence → 0..100, and the job's own history that keeps high scores rare.
//!
//! [`of_evidence`] is one fixed curve: 3 nats (about one bucket in 5,000 shows as much by chance) are 75, 5 are 93. A [`Level`] is what a kind
//! of result (record, influencer of a field, bucket) of one job has shown so far: evidence is held down to how rare it is there.

use super::model::Room;
use super::model::calibration::Calibration;
use super::model::evidence::BLOCK_BUCKETS;
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;

/// Evidence at which a score is 75, nats.
const CRITICAL_NATS: f64 = 3.0;
const STEEPNESS: i32 = 3;

/// The score of evidence in nats: `100 f³ / (f³ + 3³/3)`, a Hill curve; 0 for none, 75 at 3 nats, never quite 100.
pub fn of_evidence(nats: f64) -> f64 {
    let f = nats.clamp(0.0, 1e6).powi(STEEPNESS);
    100.0 * f / (f + CRITICAL_NATS.powi(STEEPNESS) / 3.0)
}

/// What one kind of result has shown over a job's life.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Level {
    history: Calibration,
    highest: f64,
}

impl Level {
    /// The evidence that counts here: what is claimed, or less where this job clearly shows as much more often than the claim says.
    pub fn normalise(&self, nats: f64) -> f64 {
        let graded = self.history.graded_evidence(nats);
        nats.min(graded + self.doubt(graded))
    }

    /// By how much a grade may be too low, nats: so many blocks have shown as much, and of a number `m` of chances two standard errors are `2 √m`. At most 1.
    fn doubt(&self, graded: f64) -> f64 {
        let shown = self.history.blocks() * (-graded).exp();
        let least = 1.0 - 2.0 / shown.sqrt();
        if least > (-DOUBT_MAX_NATS).exp() {
            -least.ln()
        } else {
            DOUBT_MAX_NATS
        }
    }

    /// How rare it is here that anything of this kind shows as much, nats; 0 until enough has been shown to say. It stands beside what all that was looked at
    /// shows together, and the more of the two counts: so it is charged for the second look, ln 2.
    pub fn rank(&self, nats: f64) -> f64 {
        if self.history.blocks() < RANKS_AFTER_BLOCKS {
            return 0.0;
        }
        (nats.min(self.history.graded_evidence(nats)) - LN_2).max(0.0)
    }

    /// Takes in the highest evidence of a closed bucket; true when the highest ever has grown by more than a tenth.
    pub fn learn(&mut self, nats: f64) -> bool {
        self.history
            .learn(nats, BLOCK_BUCKETS, &mut Room::unlimited());
        let grown = nats > 1.1 * self.highest && nats > CRITICAL_NATS;
        self.highest = self.highest.max(nats);
        grown
    }
}

/// Blocks of buckets after which a job's history says how rare something is among all that the job looks at, better than their number does.
const RANKS_AFTER_BLOCKS: f64 = 12.0;
/// A single series is calibrated by its own past already: what a job has seldom shown takes no more away than beyond this.
const DOUBT_MAX_NATS: f64 = 1.0;

/// Whether a renormalised score differs enough to be written again (results.md 3.12).
pub fn is_big_change(old: f64, new: f64) -> bool {
    let band = |score: f64| (score / 25.0).floor();
    band(old) != band(new) || (old - new).abs() >= 1.5 || old.min(new) < 0.33 * old.max(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_nats_are_critical_and_scores_stay_within_bounds() {
        assert!((of_evidence(3.0) - 75.0).abs() < 1e-9);
        let scores: Vec<f64> = (0..10_000)
            .map(|i| of_evidence(f64::from(i) / 10.0))
            .collect();
        assert!(
            scores.windows(2).all(|pair| pair[0] <= pair[1])
                && scores.iter().all(|s| (0.0..=100.0).contains(s))
        );
        assert_eq!(of_evidence(f64::INFINITY).round(), 100.0);
    }

    #[test]
    fn what_a_job_shows_all_the_time_is_held_down() {
        let mut level = Level::default();
        (0..24 * 40).for_each(|_| {
            level.learn(6.0);
        });
        assert!(of_evidence(level.normalise(6.0)) < 50.0);
    }

    /// A level after so many blocks of buckets, of which each `every`th shows some 6.5 nats.
    fn after(blocks: u32, every: u32) -> Level {
        let mut level = Level::default();
        for block in 0..blocks {
            let more = f64::from(block * 7 % 100) / 100.0;
            let shows = more + if block % every == every - 1 { 6.0 } else { 0.1 };
            (0..24).for_each(|at| {
                level.learn(if at == 12 { shows } else { 0.0 });
            });
        }
        level
    }

    #[test]
    fn the_longer_a_job_has_lived_the_surer_is_its_history() {
        let usual = 40f64.ln();
        let [young, old] = [after(80, 40), after(2000, 40)].map(|level| level.normalise(6.0));
        assert!(young > usual + 0.5, "{young}: two incidents may be chance");
        assert!(
            (usual..usual + 0.9).contains(&old),
            "{old}: one block in forty, and claimed is one in four hundred"
        );
        let seldom = after(2000, 400);
        assert!(
            seldom.normalise(6.0) > 5.9,
            "it claims no more than it shows"
        );
        assert!(seldom.rank(6.0) <= 6.0 - LN_2);
    }
}
