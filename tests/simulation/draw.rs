//! Choices, all of them from the seed.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

pub(crate) struct Draw(ChaCha12Rng);

impl Draw {
    pub(crate) fn new(seed: u64) -> Draw {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Draw(ChaCha12Rng::from_seed(key))
    }

    /// A whole number in `from..to`.
    pub(crate) fn range(&mut self, from: u64, to: u64) -> u64 {
        from + self.0.next_u64() % (to - from)
    }

    /// True once in `n` times, on average.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.range(0, n) == 0
    }
}
