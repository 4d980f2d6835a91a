//! How many distinct things there are, from 64-bit hashes of them, in bounded space.
//!
//! Up to [`EXACT_MAX`] hashes it is the set itself, and the answer exact. Beyond that, HyperLogLog with 4096 registers (Flajolet, Fusy,
//! Gandouet and Meunier 2007) and Ertl's improved raw estimator ("New cardinality estimation algorithms for HyperLogLog sketches",
//! 2017, §3), which needs no bias tables and no switch between ranges; standard error 1.04 / sqrt(4096) = 1.6 %.
//!
//! Holds: the state is a function of the set alone: order, repetition, grouping and merging do not show in it, nor in its bytes.
//! The hashes must be spread evenly over all 64 bits. Checked: known cardinalities and splits below.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Hashes that are kept as they are.
pub const EXACT_MAX: usize = 256;

const PRECISION: u32 = 12;
const REGISTERS: usize = 1 << PRECISION;
/// The largest rank: all other bits of the hash are zero.
const RANK_MAX: u8 = (64 - PRECISION + 1) as u8;
/// Registers take six bits each when written.
const PACKED_BYTES: usize = REGISTERS * 6 / 8;

/// A mergeable set of hashes whose size can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinctSketch {
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Sorted, at most [`EXACT_MAX`].
    Exact(Vec<u64>),
    /// The largest rank that each register has seen.
    Registers(Box<[u8; REGISTERS]>),
}

impl Default for DistinctSketch {
    fn default() -> DistinctSketch {
        DistinctSketch {
            state: State::Exact(Vec::new()),
        }
    }
}

impl DistinctSketch {
    /// The empty set.
    pub fn new() -> DistinctSketch {
        DistinctSketch::default()
    }

    /// Adds the thing that has this hash.
    pub fn insert_hash(&mut self, hash: u64) {
        match &mut self.state {
            State::Registers(registers) => note(registers, hash),
            State::Exact(hashes) => {
                if let Err(at) = hashes.binary_search(&hash) {
                    hashes.insert(at, hash);
                    self.overflow();
                }
            }
        }
    }

    /// Adds all things of another set.
    pub fn merge(&mut self, other: &DistinctSketch) {
        match (&mut self.state, &other.state) {
            (State::Exact(mine), State::Exact(theirs)) => {
                mine.extend_from_slice(theirs);
                mine.sort_unstable();
                mine.dedup();
                self.overflow();
            }
            (State::Registers(mine), State::Exact(theirs)) => {
                theirs.iter().for_each(|&hash| note(mine, hash));
            }
            (State::Exact(mine), State::Registers(theirs)) => {
                let mut registers = theirs.clone();
                mine.iter().for_each(|&hash| note(&mut registers, hash));
                self.state = State::Registers(registers);
            }
            (State::Registers(mine), State::Registers(theirs)) => {
                for (a, b) in mine.iter_mut().zip(theirs.iter()) {
                    *a = (*a).max(*b);
                }
            }
        }
    }

    /// How many distinct hashes: exact up to [`EXACT_MAX`], estimated beyond.
    pub fn estimate(&self) -> f64 {
        match &self.state {
            State::Exact(hashes) => hashes.len() as f64,
            // Registers mean that there were more than 256; of 64-bit hashes there are no more than 2^64.
            State::Registers(registers) => {
                cardinality(registers).clamp(EXACT_MAX as f64 + 1.0, u64::MAX as f64)
            }
        }
    }

    /// Whether nothing was inserted.
    pub fn is_empty(&self) -> bool {
        matches!(&self.state, State::Exact(hashes) if hashes.is_empty())
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        match &self.state {
            State::Exact(hashes) => hashes.capacity() * size_of::<u64>(),
            State::Registers(_) => REGISTERS,
        }
    }

    fn overflow(&mut self) {
        if let State::Exact(hashes) = &self.state
            && hashes.len() > EXACT_MAX
        {
            let mut registers = Box::new([0; REGISTERS]);
            hashes.iter().for_each(|&hash| note(&mut registers, hash));
            self.state = State::Registers(registers);
        }
    }
}

/// The first bits of a hash choose the register; the rank is the position of the first one among the others.
fn note(registers: &mut [u8; REGISTERS], hash: u64) {
    let register = &mut registers[(hash >> (64 - PRECISION)) as usize];
    let rest = hash << PRECISION | 1 << (PRECISION - 1);
    *register = (*register).max(rest.leading_zeros() as u8 + 1);
}

/// Ertl 2017, algorithm 6.
fn cardinality(registers: &[u8; REGISTERS]) -> f64 {
    // Four tallies side by side: neighbours mostly have the same rank, and would wait for each other.
    let mut tallies = [[0u32; RANK_MAX as usize + 1]; 4];
    for four in registers.chunks_exact(4) {
        for (tally, &rank) in tallies.iter_mut().zip(four) {
            tally[usize::from(rank.min(RANK_MAX))] += 1;
        }
    }
    let with_rank: [u32; RANK_MAX as usize + 1] =
        std::array::from_fn(|rank| tallies.iter().map(|tally| tally[rank]).sum());
    let m = REGISTERS as f64;
    let full = f64::from(with_rank[usize::from(RANK_MAX)]);
    let mut z = m * tau(1.0 - full / m);
    for &count in with_rank[1..usize::from(RANK_MAX)].iter().rev() {
        z = 0.5 * (z + f64::from(count));
    }
    z += m * sigma(f64::from(with_rank[0]) / m);
    m * m / (2.0 * std::f64::consts::LN_2 * z)
}

/// `x + Σ x^(2^k) · 2^(k-1)`: what empty registers stand for. Infinite at 1 (all are empty).
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// `(1 - x - Σ (1 - x^(2^-k))² · 2^-k) / 3`: what full registers stand for.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

/// As it is written: the hashes, or the registers packed four to three bytes.
#[derive(Serialize, Deserialize)]
enum Written {
    Exact(Vec<u64>),
    Registers(Vec<u8>),
}

impl Serialize for DistinctSketch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.state {
            State::Exact(hashes) => Written::Exact(hashes.clone()),
            State::Registers(registers) => Written::Registers(
                registers
                    .chunks_exact(4)
                    .flat_map(|four| {
                        let word = four.iter().rev().fold(0u32, |w, &r| w << 6 | u32::from(r));
                        let [a, b, c, _] = word.to_le_bytes();
                        [a, b, c]
                    })
                    .collect(),
            ),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for DistinctSketch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DistinctSketch, D::Error> {
        let state = match Written::deserialize(deserializer)? {
            Written::Exact(hashes) => {
                if hashes.len() > EXACT_MAX || !hashes.is_sorted_by(|a, b| a < b) {
                    return Err(D::Error::custom(format!(
                        "a distinct sketch of {} hashes; expected at most {EXACT_MAX}, ascending",
                        hashes.len()
                    )));
                }
                State::Exact(hashes)
            }
            Written::Registers(packed) => {
                if packed.len() != PACKED_BYTES {
                    return Err(D::Error::custom(format!(
                        "a distinct sketch of {} bytes; expected {PACKED_BYTES}",
                        packed.len()
                    )));
                }
                let mut registers = Box::new([0; REGISTERS]);
                for (four, bytes) in registers.chunks_exact_mut(4).zip(packed.chunks_exact(3)) {
                    let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]);
                    for (i, register) in four.iter_mut().enumerate() {
                        *register = (word >> (6 * i) & 63) as u8;
                    }
                }
                if let Some(rank) = registers.iter().find(|&&rank| rank > RANK_MAX) {
                    return Err(D::Error::custom(format!(
                        "a distinct sketch with rank {rank}; expected at most {RANK_MAX}"
                    )));
                }
                State::Registers(registers)
            }
        };
        Ok(DistinctSketch { state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sketch_of(hashes: impl IntoIterator<Item = u64>) -> DistinctSketch {
        let mut sketch = DistinctSketch::new();
        hashes.into_iter().for_each(|hash| sketch.insert_hash(hash));
        sketch
    }

    fn hashes(from: u64, until: u64) -> impl Iterator<Item = u64> {
        (from..until).map(|i| xxhash_rust::xxh3::xxh3_64(&i.to_le_bytes()))
    }

    #[test]
    fn up_to_256_things_are_counted_exactly() {
        assert_eq!(
            sketch_of(hashes(0, 256).chain(hashes(0, 256))).estimate(),
            256.0
        );
        assert_eq!(DistinctSketch::new().estimate(), 0.0);
        assert!(matches!(
            sketch_of(hashes(0, 257)).state,
            State::Registers(_)
        ));
    }

    #[test]
    fn any_number_of_things_is_told_within_four_standard_errors() {
        let mut sketch = DistinctSketch::new();
        let mut inserted = 0;
        for n in [257u64, 300, 1_000, 3_000, 10_000, 20_000, 100_000] {
            hashes(inserted, n).for_each(|hash| sketch.insert_hash(hash));
            inserted = n;
            let off = sketch.estimate() / n as f64 - 1.0;
            assert!(off.abs() < 4.0 * 0.01625, "{n}: off by {off}");
        }
    }

    #[test]
    fn all_hashes_there_are_still_have_a_finite_estimate() {
        let full = DistinctSketch {
            state: State::Registers(Box::new([RANK_MAX; REGISTERS])),
        };
        assert_eq!(full.estimate(), 2f64.powi(64));
        assert_eq!(sketch_of([0; 3]).estimate(), 1.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn the_state_is_a_function_of_the_set(n in 0u64..600, cut in 0u64..600, overlap in 0u64..100) {
            let cut = cut.min(n);
            let whole = sketch_of(hashes(0, n));
            let mut merged = sketch_of(hashes(cut.saturating_sub(overlap), n));
            merged.merge(&sketch_of(hashes(0, cut)));
            prop_assert_eq!(&merged, &whole);
            let bytes = postcard::to_stdvec(&whole).unwrap();
            prop_assert_eq!(&postcard::to_stdvec(&merged).unwrap(), &bytes);
            prop_assert_eq!(&postcard::from_bytes::<DistinctSketch>(&bytes).unwrap(), &whole);
        }

        /// Small sets that pass the switch-over together, whichever of them are put together first.
        #[test]
        fn no_order_of_merging_shows(parts in prop::collection::vec((0u64..900, 0u64..200), 1..7), order in any::<u64>()) {
            let sets: Vec<DistinctSketch> =
                parts.iter().map(|&(from, n)| sketch_of(hashes(from, from + n))).collect();
            let whole = sketch_of(parts.iter().flat_map(|&(from, n)| hashes(from, from + n)));
            let mut chain = DistinctSketch::new();
            sets.iter().for_each(|set| chain.merge(set));
            let mut tree = sets;
            while tree.len() > 1 {
                let one = tree.swap_remove(order as usize % tree.len());
                let at = (order >> 32) as usize % tree.len();
                tree[at].merge(&one);
            }
            prop_assert_eq!(&chain, &whole);
            prop_assert_eq!(&tree[0], &whole);
            let distinct: std::collections::BTreeSet<u64> =
                parts.iter().flat_map(|&(from, n)| from..from + n).collect();
            if distinct.len() <= EXACT_MAX {
                prop_assert_eq!(whole.estimate(), distinct.len() as f64);
            }
        }

        #[test]
        fn no_bytes_make_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(sketch) = postcard::from_bytes::<DistinctSketch>(&bytes) {
                prop_assert!(!sketch.estimate().is_nan());
            }
        }
    }
}
