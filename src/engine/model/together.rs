//! The series of one entity judged together: join first, calibrate after.
//!
//! A machine's metrics, a host's status codes: each for itself is noisy, and forty of them are forty times as often noisy. So the members'
//! deviations are joined in each view before anything is called rare: `S = √(mean z²)` over the members that have ever moved,
//! `s = 2.5 ln(1 + S²/4)` (the surprise of a Student-t with 4 degrees of freedom, as in [`surprise`](super::surprise)), their plain mean over the views, and
//! only that against the entity's own past ([`Calibration`]). A member's share of the blame is `Σ s z` over the views, against the largest.
//! Source: detection-quality.md, "Many metrics, one entity". Members come in the order of their keys, so that sums are the
//! same for any placement. Holds: evidence is finite and at least 0.

use super::Room;
use super::calibration::Calibration;
use super::evidence::{BLOCK_BUCKETS, as_one_look};
use super::member::{Deviation, VIEWS};
use serde::{Deserialize, Serialize};

/// Joint surprises remembered: those of an entity are to be ranked further down than those of one series.
const PEAKS: u8 = 128;
/// Members that a judgement takes: one alone is judged by itself.
const MEMBERS_MIN: u32 = 2;

/// What the members of an entity show together in one bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Joint {
    /// Members that have ever moved.
    pub members: u32,
    /// Evidence, nats, at least 0: about −ln of the chance that a block of 24 buckets shows as much.
    pub evidence: f64,
    /// The surprise of each view.
    surprises: [f64; VIEWS],
    /// The mean of what they would be later on, when what is large is damped less ([`Deviation::later`]): what the calibration learns, for that is when it is asked.
    taught: f64,
}

impl Joint {
    /// Whether the members are no further out than they usually are, in any view. An entity that never stirs makes much of little, such as what is left of a burst in
    /// levels that have followed it.
    pub fn is_within_usual(&self) -> bool {
        let usual = surprise_of(1.0);
        self.surprises.iter().all(|surprise| *surprise <= usual)
    }

    /// The same, and nothing to be held against anyone.
    pub fn forgiven(self) -> Joint {
        Joint {
            evidence: 0.0,
            ..self
        }
    }

    /// How much of the blame is a member's, at least 0: to be set against the largest of the entity.
    pub fn blame(&self, deviation: &Deviation) -> f64 {
        let views = self.surprises.iter().zip(deviation.z);
        views.map(|(s, z)| s * f64::from(z.unwrap_or(0.0))).sum()
    }
}

/// What the series of one entity have shown together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Together {
    calibration: Calibration,
    /// Of the most that any member shows by itself, as nats of one look: those exceed a level by one nat on average, which is what a calibration
    /// expects before it knows.
    alone: Calibration,
}

impl Default for Together {
    fn default() -> Together {
        Together {
            calibration: Calibration::with_peaks(PEAKS),
            alone: Calibration::default(),
        }
    }
}

impl Together {
    /// What the members' deviations are worth together; `None` when there are too few, or none has seen enough.
    pub fn judge<'d>(&self, members: impl Iterator<Item = &'d Deviation>) -> Option<Joint> {
        let (mut sums, mut counts, mut moving) = ([[0.0; 2]; VIEWS], [0u32; VIEWS], 0);
        for member in members.filter(|member| member.moves) {
            moving += 1;
            for view in 0..VIEWS {
                if let (Some(z), Some(later)) = (member.z[view], member.later[view]) {
                    sums[view][0] += f64::from(z).powi(2);
                    sums[view][1] += f64::from(later).powi(2);
                    counts[view] += 1;
                }
            }
        }
        let speaking = counts.iter().filter(|&&count| count > 0).count();
        if moving < MEMBERS_MIN || speaking == 0 {
            return None;
        }
        let [surprises, later] = [0, 1].map(|when| {
            std::array::from_fn::<f64, VIEWS, _>(|view| {
                surprise_of(sums[view][when] / f64::from(counts[view].max(1)))
            })
        });
        let mean = |of: [f64; VIEWS]| of.iter().sum::<f64>() / speaking as f64;
        let evidence = self.calibration.evidence_of_mean(mean(surprises), moving);
        Some(Joint {
            members: moving,
            evidence,
            surprises,
            taught: mean(later),
        })
    }

    /// Learns what was shown.
    pub fn learn(&mut self, joint: &Joint, room: &mut Room) {
        self.calibration.learn(joint.taught, BLOCK_BUCKETS, room);
    }

    /// How rare it is that any member shows by itself as much evidence as this, nats of a block of buckets. The history is that of the most which any
    /// showed, so their number is in it.
    pub fn rank_of_one(&self, alone: f64) -> f64 {
        self.alone.graded_evidence(as_one_look(alone))
    }

    /// Learns the most that any member showed by itself.
    pub fn learn_alone(&mut self, most: f64, room: &mut Room) {
        self.alone.learn(as_one_look(most), BLOCK_BUCKETS, room);
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        self.alone.heap_bytes() + self.calibration.heap_bytes()
    }
}

/// The surprise of deviations whose mean square is so large.
fn surprise_of(square: f64) -> f64 {
    2.5 * (square / 4.0).ln_1p()
}

#[cfg(test)]
mod tests {
    use super::super::evidence::of_one_look;
    use super::super::member::Member;
    use super::super::profile::Profile;
    use super::super::surprise::SeasonView;
    use super::*;
    use crate::config::Side;
    use std::f64::consts::TAU;

    fn members(z: &[f32]) -> Vec<Deviation> {
        let of = |&z: &f32| Deviation {
            z: [Some(z); VIEWS],
            later: [Some(z); VIEWS],
            moves: true,
        };
        z.iter().map(of).collect()
    }

    fn judge(together: &Together, members: &[Deviation]) -> Option<Joint> {
        together.judge(members.iter())
    }

    /// Six members around their usual distance of 1, for so many buckets.
    fn after(buckets: i64) -> Together {
        let mut together = Together::default();
        for bucket in 0..buckets {
            let z: Vec<f32> = (0..6)
                .map(|i| ((bucket * 7 + i * 13) % 20) as f32 / 10.0)
                .collect();
            let joint = judge(&together, &members(&z)).expect("six speak");
            together.learn(&joint, &mut Room::unlimited());
        }
        together
    }

    #[test]
    fn one_alone_or_those_that_never_moved_are_not_judged_together() {
        let together = after(500);
        assert!(judge(&together, &members(&[9.0])).is_none());
        let still = Deviation {
            moves: false,
            ..members(&[9.0])[0]
        };
        assert!(judge(&together, &[still; 10]).is_none());
    }

    #[test]
    fn evidence_grows_with_any_members_distance_and_blame_with_its_own() {
        let together = after(2_000);
        let mut last = 0.0;
        for far in [1.0, 3.0, 10.0, 100.0, 1e6] {
            let all = members(&[1.0, 1.0, far, 0.5, 1.0, 0.0]);
            let joint = judge(&together, &all).expect("six speak");
            assert!(
                joint.evidence >= last && joint.evidence.is_finite(),
                "{far}: {joint:?}"
            );
            last = joint.evidence;
            let blame: Vec<f64> = all.iter().map(|one| joint.blame(one)).collect();
            assert!(
                blame[2] >= blame[0] && blame[0] > blame[3] && blame[5] == 0.0,
                "{blame:?}"
            );
        }
        assert!(
            last > 3.0,
            "a million times the usual distance, {last} nats"
        );
    }

    /// Twenty members of Student-t noise with three degrees of freedom, which is damped the less the older they are.
    #[test]
    fn what_heavy_tails_show_together_comes_about_as_often_as_it_says() {
        const MEMBERS: usize = 20;
        const BUCKETS: u32 = 2_500;
        let mut above = [(3.0, 0u32), (5.0, 0)];
        let mut blocks = 0;
        for seed in 0..12u64 {
            let mut draw = seed;
            let mut uniform = || {
                draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                ((draw >> 11) as f64 + 0.5) / 2f64.powi(53)
            };
            let mut normal = || (-2.0 * uniform().ln()).sqrt() * (TAU * uniform()).cos();
            let mut student = || {
                let square: f64 = (0..3).map(|_| normal().powi(2)).sum();
                normal() / (square / 3.0).sqrt()
            };
            let mut members = vec![Member::default(); MEMBERS];
            let mut together = Together::default();
            let season = SeasonView::of(&Profile::default(), 0);
            let mut most = 0.0f64;
            for bucket in 1..=BUCKETS {
                let values: Vec<f64> = (0..MEMBERS).map(|_| 100.0 + student()).collect();
                let seen = members.iter().zip(&values);
                let seen = seen.map(|(member, x)| member.judge(*x, &season, Side::Both));
                let deviations: Vec<Deviation> = seen.collect();
                if let Some(joint) = together.judge(deviations.iter()) {
                    most = most.max(joint.evidence);
                    together.learn(&joint, &mut Room::unlimited());
                }
                for (member, x) in members.iter_mut().zip(&values) {
                    member.learn(*x, &season);
                }
                if bucket % BLOCK_BUCKETS == 0 {
                    blocks += 1;
                    for (nats, count) in &mut above {
                        *count += u32::from(most > *nats);
                    }
                    most = 0.0;
                }
            }
        }
        for (nats, count) in above {
            let times = f64::from(count) / f64::from(blocks) / (-nats).exp();
            assert!(times < 2.0, "{nats} nats: {times} times as often");
        }
    }

    /// The most that any of forty members shows in each of so many blocks: of each `scale` times what its model claims, one look a block.
    fn most_of_forty(scale: f64, blocks: usize, seed: u64) -> impl Iterator<Item = f64> {
        let mut draw = seed;
        let mut look = move || {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            -(((draw >> 11) as f64 + 0.5) / 2f64.powi(53)).ln()
        };
        let mut most = move || (0..40).map(|_| look()).fold(0.0, f64::max);
        (0..blocks).map(move |_| scale * of_one_look(most()))
    }

    #[test]
    fn what_one_shows_alone_comes_as_often_as_its_rank_says() {
        const BLOCKS: usize = 30;
        let mut above = [(3.0, 0u32), (5.0, 0)];
        let (mut ranked, mut far, mut far_of_loud) = (0, 0.0, 0.0f64);
        for seed in 0..400 {
            let [mut together, mut of_loud] = [Together::default(), Together::default()];
            let room = &mut Room::unlimited();
            let block = |one: &mut Together, most: f64, room: &mut Room| {
                (0..BLOCK_BUCKETS).for_each(|_| one.learn_alone(most, room));
            };
            most_of_forty(1.0, BLOCKS, seed).for_each(|most| block(&mut together, most, room));
            most_of_forty(2.0, BLOCKS, seed).for_each(|most| block(&mut of_loud, most, room));
            for most in most_of_forty(1.0, 150, seed + 1_000) {
                let rank = together.rank_of_one(most);
                ranked += 1;
                for (nats, count) in &mut above {
                    *count += u32::from(rank > *nats);
                }
            }
            far += together.rank_of_one(6.0) / 400.0;
            far_of_loud = far_of_loud.max(of_loud.rank_of_one(6.0));
        }
        for (nats, count) in above {
            let times = f64::from(count) / f64::from(ranked) / (-nats).exp();
            assert!(
                (0.5..1.3).contains(&times),
                "{nats} nats: {times} times as often"
            );
        }
        // By its chance 8.5 nats, of which so short a past can know seven; of members that show twice as much all the time it is nothing.
        assert!(far > 6.5 && far_of_loud < 3.5, "{far}, {far_of_loud}");
    }
}
