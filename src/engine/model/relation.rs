//! How one series goes with another: the correlation of what their forecasts leave, and what that makes of a value.
//!
//! Input: normal deviates (the value's tail in its own distribution, as a standard normal's; dimensionless), one of each series in the same bucket. Two
//! parts, kept apart so that what finds a relation is not what it is believed for:
//! - [`Past`], a series' last [`PAST_BUCKETS`] deviates in a byte each. Two of them show at once how well the series go together, without anything
//!   being kept of the pair.
//! - [`Relation`], of a pair that looked related: fading moments of the buckets *after* it was found, and the distribution of what is left of
//!   the one given the other. Given `z2`, `z1` is expected at `m1 + c/v2 (z2 − m2)` (the conditional mean of a bivariate normal; the
//!   errors around it have the tails that the pair has shown, [`Residuals`]).
//!
//! A correlation is believed while the lower end of its interval, `atanh |r| − q/√(n − 3)` (Fisher 1921), is above [`BELIEVED`]; `q` is so far out that
//! chance shows no such pair among all that there are (Bonferroni). Holds: sums over a past are of integers, so exact in any order; judging changes nothing.

use super::residual::{Residuals, Run, Tails};
use crate::numerics::special::normal;
use serde::{Deserialize, Serialize};

/// Buckets that a series' past holds.
pub const PAST_BUCKETS: usize = 128;
/// Buckets with a value of both that a pair is found by, and believed by.
const FOUND_AFTER: u32 = 64;
const BELIEVED_AFTER: u32 = 100;
/// A correlation weaker than this explains too little to be worth following: its errors are four fifths of what they were.
const FOUND_CORRELATION: f64 = 0.6;
/// The least correlation that has to be certain, and what is enough to go on believing it; as atanh 0.5 and atanh 0.4.
const BELIEVED: f64 = 0.549_306_144_334_055;
const STILL_BELIEVED: f64 = 0.423_648_930_193_602;
/// The chance that any pair of unrelated series is taken for related.
const LN_CHANCE: f64 = -4.605_170_185_988_091; // ln 0.01
/// Buckets over which moments are forgotten.
const MEMORY: f64 = 1000.0;
/// Deviates are cut here for learning, and what is further out explains nothing: no relation has been seen so far out.
pub const REACH: f64 = 4.0;
/// Steps of a past's byte in a deviate of 1; 127 of them are [`REACH`], nearly.
const STEPS: f64 = 31.75;
/// No value in this bucket.
const ABSENT: i8 = i8::MIN;
/// What a value that the relation calls less likely than 1 in 1,000 teaches of the errors.
const OUTLIER_WEIGHT: f64 = 0.1;
const LN_OUTLIER: f64 = -6.907_755_278_982_137; // ln 1e-3
/// A variance below this is none: one of the two stands still.
const VARIANCE_MIN: f64 = 1e-3;

/// `q`: how many standard errors out no pair of `members` unrelated series is by chance.
pub fn chance_of_pairs(members: usize) -> f64 {
    let pairs = (members as f64 * (members as f64 - 1.0) / 2.0).max(1.0);
    normal::quantile_from_ln_sf(LN_CHANCE - (2.0 * pairs).ln())
}

/// A series' last deviates, by bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Past {
    steps: Box<[i8]>,
    /// Number of the last bucket that is told of.
    last: i64,
    /// Number of the last bucket with a value.
    last_present: i64,
}

/// Which place of a past is a bucket's.
fn place(bucket: i64) -> usize {
    bucket.rem_euclid(PAST_BUCKETS as i64) as usize
}

impl Past {
    /// One without a value; `bucket` is the number of the one at work.
    pub fn new(bucket: i64) -> Past {
        Past {
            steps: vec![ABSENT; PAST_BUCKETS].into_boxed_slice(),
            last: bucket,
            last_present: bucket,
        }
    }

    /// Forgets what is too long ago.
    pub fn pass(&mut self, bucket: i64) {
        let gap = bucket.saturating_sub(self.last);
        for passed in 0..gap.clamp(0, PAST_BUCKETS as i64) {
            self.put(bucket - passed, ABSENT);
        }
        self.last = self.last.max(bucket);
    }

    /// Remembers the deviate of a bucket.
    pub fn learn(&mut self, bucket: i64, deviate: f64) {
        self.pass(bucket);
        let step = (deviate.clamp(-REACH, REACH) * STEPS).round();
        self.put(bucket, step as i8);
        self.last_present = bucket;
    }

    fn put(&mut self, bucket: i64, step: i8) {
        if let Some(at) = self.steps.get_mut(place(bucket)) {
            *at = step;
        }
    }

    /// Whether no value is left of it.
    pub fn is_over(&self, bucket: i64) -> bool {
        bucket - self.last_present >= PAST_BUCKETS as i64
    }

    /// Whether there are enough values, and not all the same, to be held against others.
    pub fn tells(&self) -> bool {
        let mut present = self.steps.iter().filter(|&&step| step != ABSENT);
        let Some(first) = present.next() else {
            return false;
        };
        let (count, moves) = present.fold((1, false), |(count, moves), step| {
            (count + 1, moves || step != first)
        });
        count >= FOUND_AFTER && moves
    }

    /// The signs of the last `bits` buckets, the newest lowest; the same for a series and its mirror image. Two series of correlation r
    /// agree in one with the chance `1 − acos(r)/π`.
    pub fn signs(&self, bits: u32) -> u32 {
        let mut signs = 0;
        for ago in (0..i64::from(bits)).rev() {
            let step = self.steps.get(place(self.last - ago));
            signs = signs << 1 | u32::from(step.is_some_and(|&step| step > 0));
        }
        let mask = (1u32 << bits) - 1;
        if signs & 1 == 1 { !signs & mask } else { signs }
    }

    /// `atanh |r|` of the two pasts, if that is far beyond chance. Both have passed to the same bucket.
    pub fn correlation(&self, other: &Past, chance: f64) -> Option<f64> {
        let (mut n, mut x, mut y, mut xx, mut yy, mut xy) = (0i64, 0i64, 0i64, 0i64, 0i64, 0i64);
        for (&a, &b) in self.steps.iter().zip(&other.steps) {
            if a != ABSENT && b != ABSENT {
                let (a, b) = (i64::from(a), i64::from(b));
                n += 1;
                x += a;
                y += b;
                xx += a * a;
                yy += b * b;
                xy += a * b;
            }
        }
        if n < i64::from(FOUND_AFTER) {
            return None;
        }
        let product = n * xy - x * y;
        let squares = ((n * xx - x * x) as f64 * (n * yy - y * y) as f64).sqrt();
        if squares <= 0.0 {
            return None;
        }
        let strength = strength_of(product as f64 / squares);
        let is_found =
            strength >= FOUND_CORRELATION.atanh() && strength * ((n - 3) as f64).sqrt() >= chance;
        is_found.then_some(strength)
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        PAST_BUCKETS
    }
}

/// atanh |r|, finite.
fn strength_of(r: f64) -> f64 {
    r.abs().min(0.999_999).atanh()
}

/// What one series tells of another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relation {
    /// Buckets with a value of both, since it was found.
    buckets: u32,
    /// atanh |r| that it was found by.
    found: f64,
    /// Means and variances of both, and the covariance.
    mean: [f64; 2],
    variance: [f64; 2],
    covariance: f64,
    /// Of the errors of what is expected.
    errors: Residuals,
    believed: bool,
}

/// A value in the light of a related one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Light {
    /// The deviate expected.
    pub expected: f64,
    /// The tails of the value's deviate around it.
    pub tails: Tails,
    /// The share of the variance that is left, 0..=1.
    pub left: f64,
    /// Buckets that the relation rests on.
    pub buckets: u32,
}

impl Relation {
    /// One that was found by this correlation (atanh |r|), and has to show itself.
    pub fn found(strength: f64) -> Relation {
        Relation {
            buckets: 0,
            found: strength,
            mean: [0.0; 2],
            variance: [0.0; 2],
            covariance: 0.0,
            errors: Residuals::default(),
            believed: false,
        }
    }

    /// Whether it has shown itself.
    pub fn is_believed(&self) -> bool {
        self.believed
    }

    /// Whether it has had its time, and is not there.
    pub fn has_failed(&self) -> bool {
        !self.believed && self.buckets >= 4 * BELIEVED_AFTER
    }

    /// atanh |r|, as far as is known.
    pub fn strength(&self) -> f64 {
        match self.buckets >= BELIEVED_AFTER {
            true => strength_of(self.correlation()),
            false => self.found,
        }
    }

    fn correlation(&self) -> f64 {
        let [v1, v2] = self.variance;
        if v1 < VARIANCE_MIN || v2 < VARIANCE_MIN {
            return 0.0;
        }
        self.covariance / (v1 * v2).sqrt()
    }

    fn expected(&self, other: f64) -> f64 {
        let slope = match self.variance[1] < VARIANCE_MIN {
            true => 0.0,
            false => self.covariance / self.variance[1],
        };
        self.mean[0] + slope * (other - self.mean[1])
    }

    /// What the deviate `own` looks like beside `other`; `None` while the relation is not believed, and when the other one is itself where no relation was
    /// seen.
    pub fn judge(&self, own: f64, other: f64) -> Option<Light> {
        if !self.believed || other.abs() > REACH {
            return None;
        }
        let expected = self.expected(other);
        Some(Light {
            expected,
            tails: self.errors.tails(own, expected, None),
            left: 1.0 - self.correlation().powi(2).min(1.0),
            buckets: self.buckets,
        })
    }

    /// The deviates between which 95 % lie, around the expected one.
    pub fn interval(&self, expected: f64) -> (f64, f64) {
        let at = |p| self.errors.quantile(p, expected, false);
        (at(0.025), at(0.975))
    }

    /// Learns a bucket with a value of both; `chance` is that of all pairs ([`chance_of_pairs`]).
    pub fn learn(&mut self, own: f64, other: f64, chance: f64) {
        let (x, y) = (own.clamp(-REACH, REACH), other.clamp(-REACH, REACH));
        if self.buckets >= FOUND_AFTER {
            let expected = self.expected(y);
            let tails = self.errors.tails(own, expected, None);
            let is_outlier = tails.lower.min(tails.upper) < LN_OUTLIER;
            let weight = if is_outlier { OUTLIER_WEIGHT } else { 1.0 };
            let run = Run {
                on_one_side: false,
                day_buckets: 1,
                skewed: false,
                sums: false,
                repeats: 0.0,
                events: f64::INFINITY,
            };
            self.errors.learn(x, expected, weight, false, run);
        }
        self.buckets = self.buckets.saturating_add(1);
        let gain = 1.0 / f64::from(self.buckets).min(MEMORY);
        let (dx, dy) = (x - self.mean[0], y - self.mean[1]);
        self.mean[0] += gain * dx;
        self.mean[1] += gain * dy;
        let kept = 1.0 - gain;
        self.variance[0] = kept * (self.variance[0] + gain * dx * dx);
        self.variance[1] = kept * (self.variance[1] + gain * dy * dy);
        self.covariance = kept * (self.covariance + gain * dx * dy);
        if self.buckets >= BELIEVED_AFTER {
            let n = f64::from(self.buckets).min(MEMORY);
            let least = strength_of(self.correlation()) - chance / (n - 3.0).sqrt();
            let wanted = match self.believed {
                true => STILL_BELIEVED,
                false => BELIEVED,
            };
            self.believed = least > wanted;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Side;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    fn normals(seed: u64) -> impl FnMut() -> f64 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        move || normal::quantile(((random.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64)
    }

    /// A relation of correlation r after so many buckets.
    fn related(r: f64, buckets: u32, draw: &mut impl FnMut() -> f64) -> Relation {
        let mut relation = Relation::found(strength_of(r));
        for _ in 0..buckets {
            let other = draw();
            let own = r * other + (1.0 - r * r).sqrt() * draw();
            relation.learn(own, other, chance_of_pairs(10));
        }
        relation
    }

    #[test]
    fn a_correlation_is_believed_when_it_has_shown_itself_and_chance_is_not() {
        let mut draw = normals(1);
        assert!(!related(0.9, 99, &mut draw).is_believed());
        assert!(related(0.9, 150, &mut draw).is_believed());
        assert!(related(-0.9, 150, &mut draw).is_believed());
        let by_chance = (0..200).filter(|_| related(0.0, 150, &mut draw).is_believed());
        assert_eq!(by_chance.count(), 0);
    }

    #[test]
    fn what_is_left_given_the_other_is_calibrated() {
        for r in [0.8, -0.8, 0.95] {
            let mut draw = normals(2);
            let mut relation = related(r, 500, &mut draw);
            let (mut below, tries) = ([0; 3], 20_000);
            for _ in 0..tries {
                let other = draw();
                let own = r * other + (1.0 - r * r).sqrt() * draw();
                if let Some(light) = relation.judge(own, other) {
                    let p = light.tails.ln_probability(Side::Both).exp();
                    for (count, level) in below.iter_mut().zip([0.1, 0.01, 0.001]) {
                        *count += usize::from(p < level);
                    }
                }
                relation.learn(own, other, chance_of_pairs(10));
            }
            for (count, level) in below.iter().zip([0.1, 0.01, 0.001]) {
                let share = *count as f64 / f64::from(tries);
                assert!(
                    share > level / 2.0 && share < level * 2.0,
                    "{r}: {share} below {level}"
                );
            }
        }
    }

    #[test]
    fn a_relation_that_ends_is_no_longer_believed() {
        let mut draw = normals(3);
        let mut relation = related(0.95, 2000, &mut draw);
        let mut lasted = 0;
        while relation.is_believed() && lasted < 2000 {
            relation.learn(draw(), draw(), chance_of_pairs(10));
            lasted += 1;
        }
        assert!(lasted < 1000, "{lasted} buckets");
    }

    #[test]
    fn pasts_show_how_well_two_series_go_together_in_the_buckets_that_both_have() {
        let mut draw = normals(4);
        let (mut a, mut b, mut mirror) = (Past::new(0), Past::new(0), Past::new(0));
        for bucket in 1..300 {
            let common = draw();
            a.learn(bucket, common);
            if bucket % 5 != 0 {
                b.learn(bucket, common + 0.3 * draw());
                mirror.learn(bucket, -common);
            }
        }
        for past in [&mut a, &mut b, &mut mirror] {
            past.pass(299);
        }
        let chance = chance_of_pairs(1000);
        let r = a.correlation(&b, chance).expect("they go together").tanh();
        assert!((r - 0.958).abs() < 0.03, "{r}");
        assert!(
            a.correlation(&mirror, chance)
                .is_some_and(|found| found > 3.0)
        );
        assert!(a.tells() && !Past::new(0).tells());
        a.pass(299 + 128);
        assert!(a.is_over(299 + 128) && !a.tells());
    }

    #[test]
    fn mirror_images_have_the_same_signs() {
        let (mut a, mut b) = (Past::new(0), Past::new(0));
        for (bucket, deviate) in [1.0, -2.0, 0.5, 0.5, -1.0, 3.0, -0.1, 0.2]
            .into_iter()
            .enumerate()
        {
            a.learn(bucket as i64, deviate);
            b.learn(bucket as i64, -deviate);
        }
        assert_eq!(a.signs(8), b.signs(8));
        assert_eq!(a.signs(0), 0);
    }
}
