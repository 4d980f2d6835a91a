//! A running mean and variance that forget exponentially.
//!
//! `weight` is the effective number of values held: each update multiplies it by `decay` (1 keeps everything) and adds the new weight.
//! Holds: the mean lies between the smallest and the largest value learned, `m2` is not negative; one step of West, "Updating mean and
//! variance estimates: an improved method", CACM 1979. Checked: the weighted sums themselves, in the tests below.

use serde::{Deserialize, Serialize};

/// Exponentially forgotten moments: 24 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Decayed {
    /// Effective number of values.
    pub weight: f64,
    /// Weighted mean; 0 while nothing was learned.
    pub mean: f64,
    /// Weighted sum of squared deviations from the mean.
    pub m2: f64,
}

impl Decayed {
    /// Forgets all but a share `decay` (0..=1) of the evidence, then learns `x` with `weight` (at least 0).
    pub fn learn(&mut self, x: f64, weight: f64, decay: f64) {
        debug_assert!(x.is_finite() && weight >= 0.0, "x {x}, weight {weight}");
        self.forget(decay);
        if weight <= 0.0 {
            return;
        }
        let total = self.weight + weight;
        let deviation = x - self.mean;
        let share = weight / total;
        self.mean += deviation * share;
        self.m2 += self.weight * deviation * deviation * share;
        self.weight = total;
    }

    /// Keeps the mean and the variance, on a share `decay` (0..=1) of the evidence.
    pub fn forget(&mut self, decay: f64) {
        debug_assert!((0.0..=1.0).contains(&decay), "decay {decay}");
        self.weight *= decay;
        self.m2 *= decay;
    }

    /// Adds the evidence of another.
    pub fn merge(&mut self, other: &Decayed) {
        let total = self.weight + other.weight;
        if other.weight <= 0.0 || total <= 0.0 {
            return;
        }
        let deviation = other.mean - self.mean;
        let share = other.weight / total;
        self.mean += deviation * share;
        self.m2 += other.m2 + self.weight * deviation * deviation * share;
        self.weight = total;
    }

    /// Population variance; 0 while nothing was learned.
    pub fn variance(&self) -> f64 {
        if self.weight > 0.0 {
            self.m2 / self.weight
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_held_is_the_weighted_sample(values in prop::collection::vec((-1e3..1e3f64, 0.0..3.0f64), 1..50), decay in 0.5..=1.0f64, cut in 0usize..50) {
            let mut all = Decayed::default();
            values.iter().for_each(|&(x, w)| all.learn(x, w, decay));
            let aged = |i: usize| values[i].1 * decay.powi((values.len() - 1 - i) as i32);
            let n = 0..values.len();
            let weight: f64 = n.clone().map(aged).sum();
            let mean = n.clone().map(|i| aged(i) * values[i].0).sum::<f64>() / weight.max(1e-300);
            let m2: f64 = n.map(|i| aged(i) * (values[i].0 - mean).powi(2)).sum();
            prop_assert!((all.weight - weight).abs() <= 1e-9 * weight);
            prop_assert!((all.mean - mean).abs() <= 1e-6, "{} {}", all.mean, mean);
            prop_assert!((all.m2 - m2).abs() <= 1e-6 * m2.max(1.0) && all.m2 >= 0.0, "{} {}", all.m2, m2);

            let cut = cut.min(values.len());
            let (mut early, mut late) = (Decayed::default(), Decayed::default());
            values[..cut].iter().for_each(|&(x, w)| early.learn(x, w, decay));
            values[cut..].iter().for_each(|&(x, w)| late.learn(x, w, decay));
            early.forget(decay.powi((values.len() - cut) as i32));
            early.merge(&late);
            prop_assert!((early.variance() - all.variance()).abs() <= 1e-6 * all.variance().max(1.0));
        }
    }
}
