//! Random draws that are the same everywhere: a ChaCha12 stream and the few distributions that a feed needs.
//!
//! Nothing here is taken from a distribution library, whose algorithms (and so the values for a seed) may change with a release.
//! Sources: inversion for the exponential, Marsaglia's polar method for the normal (Marsaglia and Bray 1964).

use super::arithmetic::{exp, ln};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A seeded source of draws.
pub(super) struct Draw {
    words: ChaCha12Rng,
    /// The second normal of a pair, when it has not been used.
    spare_normal: Option<f64>,
}

impl Draw {
    /// Draws for `seed`; each `stream` of a seed is independent of the others.
    pub(super) fn new(seed: u64, stream: u64) -> Draw {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut words = ChaCha12Rng::from_seed(key);
        words.set_stream(stream);
        Draw {
            words,
            spare_normal: None,
        }
    }

    /// Uniform in [0, 1), in steps of 2^-53.
    pub(super) fn unit(&mut self) -> f64 {
        (self.words.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Exponential with mean 1.
    pub(super) fn exponential(&mut self) -> f64 {
        -ln(1.0 - self.unit())
    }

    /// Normal with mean 0 and variance 1.
    pub(super) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare_normal.take() {
            return spare;
        }
        loop {
            let (x, y) = (2.0 * self.unit() - 1.0, 2.0 * self.unit() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let scale = (-2.0 * ln(square) / square).sqrt();
                self.spare_normal = Some(y * scale);
                return x * scale;
            }
        }
    }

    /// Log-normal with this median; `sigma` is the standard deviation of its logarithm.
    pub(super) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * exp(sigma * self.normal())
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// An index drawn by weight.
    pub(super) fn pick(&mut self, weights: &Weights) -> usize {
        let at = self.unit() * weights.total();
        let index = weights.cumulative.partition_point(|&sum| sum <= at);
        index.min(weights.cumulative.len() - 1)
    }
}

/// Relative frequencies of the members of a group, at least one of them.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    cumulative: Vec<f64>,
}

impl Weights {
    /// From one positive weight a member.
    pub(super) fn new(weights: impl IntoIterator<Item = f64>) -> Weights {
        let mut sum = 0.0;
        let cumulative: Vec<f64> = weights
            .into_iter()
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        assert!(!cumulative.is_empty() && sum > 0.0, "a group has members");
        Weights { cumulative }
    }

    /// Zipf-like: the k-th of `count` members has weight `k^-exponent`.
    pub(super) fn zipf(count: usize, exponent: f64) -> Weights {
        Weights::new((1..=count).map(|k| exp(-exponent * ln(k as f64))))
    }

    /// The share of all that one member has, 0 to 1.
    pub(super) fn share(&self, index: usize) -> f64 {
        let before = if index == 0 {
            0.0
        } else {
            self.cumulative[index - 1]
        };
        (self.cumulative[index] - before) / self.total()
    }

    fn total(&self) -> f64 {
        *self.cumulative.last().expect("a group has members")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_moments_of_their_distributions() {
        let mut draw = Draw::new(1, 0);
        const DRAWS: usize = 40_000;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        // Five standard errors of each mean: a failure by chance has odds of about one in two million.
        let close = |values: Vec<f64>, expected: f64, deviation: f64| {
            let bound = 5.0 * deviation / (DRAWS as f64).sqrt();
            assert!(
                (mean(&values) - expected).abs() < bound,
                "{} != {expected}",
                mean(&values)
            );
        };
        close((0..DRAWS).map(|_| draw.unit()).collect(), 0.5, 0.289);
        close((0..DRAWS).map(|_| draw.exponential()).collect(), 1.0, 1.0);
        let normals: Vec<f64> = (0..DRAWS).map(|_| draw.normal()).collect();
        close(normals.iter().map(|z| z * z).collect(), 1.0, 1.5);
        close(normals, 0.0, 1.0);
        close(
            (0..DRAWS).map(|_| draw.log_normal(8.0, 0.5).ln()).collect(),
            8f64.ln(),
            0.5,
        );
    }

    #[test]
    fn members_are_picked_by_their_share() {
        let weights = Weights::zipf(4, 1.0);
        let mut draw = Draw::new(2, 0);
        let mut seen = [0u32; 4];
        (0..40_000).for_each(|_| seen[draw.pick(&weights)] += 1);
        for (index, seen) in seen.into_iter().enumerate() {
            let share = f64::from(seen) / 40_000.0;
            assert!(
                (share - weights.share(index)).abs() < 0.013,
                "{index}: {share}"
            );
        }
    }
}
