//! Whether a series has become too still: its values have kept nearer to the last and to what was expected of them, for a while, than they do.
//!
//! Near is what a quarter of its values are, by how far out they are for their distribution and by their distance from the value before: two levels that follow the series' own
//! ([`GAIN`]), so that neither heavy tails nor whole numbers make stillness of what is usual, and neither does a distribution that an incident has widened, nor a forecast that has come
//! to know a season. A near value speaks three to one for that three in four are near by now, another three to one against it: Page's cumulative sum (Biometrika 41, 1954), which is never below 0. Of values that are near by
//! chance it reaches `k` steps with probability `3^-k` at the most: its nats are those of an exponential variable, and they are held against the series' own past, in three numbers ([`Past`]).
//! A spread that falls to less than half is noticed some time, one that falls to a tenth within some twenty values.
//!
//! Units: nats. Holds: of a value that is not near nothing is told; what never moves, or moves seldom, is never too still.
//! Checked by: tests below, tests/stillness.rs, `cargo bench --bench noise`.

use super::evidence::BLOCK_BUCKETS;
use serde::{Deserialize, Serialize};

/// What a value tells, either way.
const STEP_NATS: f64 = 1.098_612_288_668_109_8; // ln 3
/// A quarter of normal deviates are nearer than this.
const QUARTER_OF_NORMAL: f32 = 0.318_639_36;
/// Where a quarter are nearer than this, nothing is told: the series seldom moves.
const LEAST: f32 = 0.01;
/// A level moves by this share of itself, times [`SHARE`] up or the rest of 1 down: by a tenth within a hundred values, so that after hours of more than usual the usual is no
/// stillness, and within a thousand it has followed a spread to a tenth.
const GAIN: f32 = 0.005;
const SHARE: f32 = 0.25;
/// What stillness has to show more than the views: two nats more than the tail, for there is much by which a series is calm for once, and little by which it is far out.
const HANDICAP: f64 = 6.0;
/// ln of the values of a block: less is near to certain in one.
const LN_BLOCK: f64 = 3.178_053_830_347_945_8;
/// It is heard after so many blocks.
const AFTER_BLOCKS: f32 = 32.0;
/// What a block weighs after one more.
const FADE: f32 = 0.999;
/// Strength of the prior: blocks of mean one nat, as that of [`calibration`](super::calibration).
const PRIOR: f64 = 4.0;

/// How near a value is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearness {
    /// How far out it is, as a normal deviate; infinite where nothing is to be told.
    pub deviate: f64,
    /// By how much it is beside the last, on the scale of the series.
    pub step: f64,
}

/// How still a series has been, block by block: what the most of a block has told beyond what is near to certain in one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Past {
    /// Blocks, faded by [`FADE`].
    blocks: f32,
    /// The sum of their nats, likewise.
    nats: f32,
    /// The most of any, likewise.
    most: f32,
    /// The most steps in the block that is being filled.
    open_steps: u16,
    /// Values in that block.
    values: u8,
}

impl Past {
    /// Evidence of so many nats beyond what is near to certain in a block, nats. Where blocks are honest these are exponential, of mean one; where a series has its calm hours they are so of an unknown
    /// mean; and who is calm once in a long while, but then very, is known by the calmest block: that of `n` exponential ones is `ln n` of their means. Two Lomax tails, as in
    /// [`calibration`](super::calibration): of all blocks, and beyond the calmest.
    fn evidence(&self, beyond: f64) -> f64 {
        let (blocks, nats, most) = (
            f64::from(self.blocks),
            f64::from(self.nats),
            f64::from(self.most),
        );
        let by_mean = (blocks + PRIOR) * (beyond / (nats + PRIOR)).ln_1p();
        let by_most = match beyond > most {
            true => {
                let mean = (most / (blocks + 1.0).ln()).max(1.0);
                let known = 1.0 + PRIOR;
                ((blocks + 1.0) / 1.5).ln() + known * ((beyond - most) / (known * mean)).ln_1p()
            }
            false => ((blocks + 1.0) / 2.0).ln(),
        };
        beyond.min(by_mean).min(by_most).max(0.0)
    }

    fn learn(&mut self, steps: u16) {
        self.open_steps = self.open_steps.max(steps);
        self.values += 1;
        if u32::from(self.values) >= BLOCK_BUCKETS {
            let beyond = (f64::from(self.open_steps) * STEP_NATS - LN_BLOCK).max(0.0) as f32;
            self.blocks = self.blocks * FADE + 1.0;
            self.nats = self.nats * FADE + beyond;
            self.most = (self.most * FADE).max(beyond);
            (self.open_steps, self.values) = (0, 0);
        }
    }
}

/// How still a series has been lately, and how still it ever was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stillness {
    past: Past,
    /// The size of normal deviates that a quarter have less than.
    near_deviate: f32,
    /// The same of steps; 0 before the first.
    near_step: f32,
    /// The sum, in steps.
    steps: u16,
}

impl Default for Stillness {
    fn default() -> Stillness {
        Stillness {
            past: Past::default(),
            near_deviate: QUARTER_OF_NORMAL,
            near_step: 0.0,
            steps: 0,
        }
    }
}

impl Stillness {
    /// Evidence that the series has become still with such a value, nats.
    pub fn evidence(&self, value: Nearness) -> f64 {
        let near = self.is_near(value);
        let beyond = f64::from(self.after(near)) * STEP_NATS - LN_BLOCK;
        if near != [true; 2] || beyond <= HANDICAP || self.past.blocks < AFTER_BLOCKS {
            return 0.0;
        }
        (self.past.evidence(beyond) - HANDICAP).max(0.0)
    }

    /// Takes in a value.
    pub fn learn(&mut self, value: Nearness) {
        let near @ [by_deviate, by_step] = self.is_near(value);
        self.steps = self.after(near);
        self.past.learn(self.steps);
        self.near_deviate = follow(self.near_deviate, by_deviate).clamp(LEAST, 1.0);
        self.near_step = match self.near_step > 0.0 {
            true => follow(self.near_step, by_step).clamp(f32::MIN_POSITIVE, f32::MAX),
            false => (value.step.abs() as f32).min(f32::MAX),
        };
    }

    /// By both measures.
    fn is_near(&self, value: Nearness) -> [bool; 2] {
        [
            value.deviate.abs() < f64::from(self.near_deviate),
            value.step.abs() < f64::from(self.near_step),
        ]
    }

    fn after(&self, near: [bool; 2]) -> u16 {
        match near == [true; 2] {
            true if self.near_deviate > LEAST => self.steps.saturating_add(1),
            true => 0,
            false => self.steps.saturating_sub(1),
        }
    }
}

/// A level that a quarter of the sizes are below.
fn follow(level: f32, is_below: bool) -> f32 {
    level * (1.0 + GAIN * (SHARE - f32::from(u8::from(is_below))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    /// Roughly normal: the sum of twelve.
    fn normal(random: &mut ChaCha8Rng) -> f64 {
        let mut uniform = || (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        (0..12).map(|_| uniform()).sum::<f64>() - 6.0
    }

    fn of(deviate: f64) -> Nearness {
        Nearness {
            deviate,
            step: 7.0 * deviate,
        }
    }

    #[test]
    fn by_chance_k_steps_come_with_a_third_to_the_power_of_k() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let (mut stillness, mut reached) = (Stillness::default(), [0.0; 3]);
        for _ in 0..200_000 {
            // Heavier tails than normal, and a scale that is none.
            let u = normal(&mut random);
            stillness.learn(of(3.0 * u * u * u));
            for (count, k) in reached.iter_mut().zip([1, 3, 5]) {
                *count += f64::from(u8::from(stillness.steps >= k)) / 200_000.0;
            }
        }
        for (share, k) in reached.into_iter().zip([1, 3, 5]) {
            let expected = 3f64.powi(-k);
            assert!((0.7..1.5).contains(&(share / expected)), "{k}: {share}");
        }
    }

    #[test]
    fn a_tenth_of_the_spread_is_noticed_within_three_dozen_values_and_a_constant_never_is() {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let (mut stillness, mut constant) = (Stillness::default(), Stillness::default());
        for _ in 0..4_000 {
            stillness.learn(of(normal(&mut random)));
            constant.learn(of(0.0));
        }
        assert_eq!(constant.evidence(of(0.0)), 0.0);
        let mut most = 0.0f64;
        for _ in 0..36 {
            let u = 0.1 * normal(&mut random);
            most = most.max(stillness.evidence(of(u)));
            stillness.learn(of(u));
        }
        assert!(most > 4.0, "{most} {stillness:?}");
        assert_eq!(stillness.evidence(of(f64::INFINITY)), 0.0);
    }
}
