//! How much there is in a set of texts: the bytes that it takes compressed, from a bounded part of it.
//!
//! The texts, sorted and a line each, are compressed as raw deflate at [`LEVEL`] (RFC 1951; LZ77 finds what they have in common, Huffman codes what
//! is left): a practical stand-in for the length of their shortest description (Kolmogorov complexity; Cilibrasi and Vitányi, "Clustering by
//! compression", IEEE Transactions on Information Theory 51, 2005). The compressor has no code of its own for each processor, so the answer is the same on every machine.
//!
//! While the texts and [`TEXT_COST`] bytes for each are within [`COST_MAX`], the set is held whole and the answer exact. Beyond that only those with the
//! smallest hashes are: a sample in which every text has the same chance to be (bottom-k sampling; Cohen and Kaplan, PODC 2007). The answer is then that of the
//! sample times the number of texts there are to one in it, estimated by the hash that the sample ends at (Bar-Yossef and others, RANDOM 2002): a relative
//! standard error of 1/√(k - 1) with `k` texts in the sample, 2.4 % for names of 40 letters; and a little too much rather than too little, for texts further
//! apart have less in common. Of a text longer than [`TEXT_BYTES_MAX`] its beginning stands for it.
//!
//! Holds: the state is a function of the set alone: order, repetition, grouping and merging do not show in it, nor in its bytes.
//! The hashes must be spread evenly over all 64 bits. Checked: tests below.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// What the texts may cost together, bytes.
pub const COST_MAX: usize = 128 << 10;
/// What each of them costs beside its own bytes.
pub const TEXT_COST: usize = 32;
/// Of a longer text the beginning is kept, so many bytes at the most.
pub const TEXT_BYTES_MAX: usize = 1024;
/// How hard the compressor tries: the usual level of zlib.
pub const LEVEL: u8 = 6;

/// A mergeable set of texts whose compressed size can be told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct TextSet {
    /// By hash. Of texts with one hash the longer is kept, or the later in order.
    texts: BTreeMap<u64, Box<str>>,
    /// What was not kept: every text whose hash is at least this.
    cut: Option<u64>,
    #[serde(skip)]
    cost: usize,
}

impl TextSet {
    /// The empty set.
    pub fn new() -> TextSet {
        TextSet::default()
    }

    /// Adds a text, which has this hash.
    pub fn insert(&mut self, hash: u64, text: &str) {
        if self.cut.is_none_or(|cut| hash < cut) {
            self.keep(hash, beginning(text));
            self.shrink();
        }
    }

    /// Adds all texts of another set.
    pub fn merge(&mut self, other: &TextSet) {
        self.cut = match (self.cut, other.cut) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        for (&hash, text) in &other.texts {
            if self.cut.is_none_or(|cut| hash < cut) {
                self.keep(hash, text);
            }
        }
        if let Some(cut) = self.cut {
            let gone = self.texts.split_off(&cut);
            self.cost -= gone.values().map(|text| cost(text)).sum::<usize>();
        }
        self.shrink();
    }

    /// How many different texts there are: exact while all are kept.
    pub fn distinct(&self) -> f64 {
        let kept = self.texts.len() as f64;
        match self.cut {
            None => kept,
            // The cut is the hash of the next text: so many lie in that part of all hashes.
            Some(cut) => kept / (cut as f64 / 2f64.powi(64)),
        }
    }

    /// The size of all texts together, compressed, bytes; 0 of none.
    pub fn information(&self) -> f64 {
        if self.texts.is_empty() {
            return 0.0;
        }
        let mut texts: Vec<&str> = self.texts.values().map(|text| &**text).collect();
        texts.sort_unstable();
        let lines = texts.join("\n");
        let size = miniz_oxide::deflate::compress_to_vec(lines.as_bytes(), LEVEL).len() as f64;
        (size * self.distinct() / texts.len() as f64).round()
    }

    fn keep(&mut self, hash: u64, text: &str) {
        match self.texts.entry(hash) {
            Entry::Vacant(place) => {
                self.cost += cost(text);
                place.insert(text.into());
            }
            Entry::Occupied(mut known) => {
                let kept = &**known.get();
                if (kept.len(), kept) < (text.len(), text) {
                    self.cost += text.len() - kept.len();
                    known.insert(text.into());
                }
            }
        }
    }

    fn shrink(&mut self) {
        while self.cost > COST_MAX
            && let Some((hash, text)) = self.texts.pop_last()
        {
            self.cost -= cost(&text);
            self.cut = Some(hash);
        }
    }
}

fn cost(text: &str) -> usize {
    text.len() + TEXT_COST
}

/// As much of a text as is kept; whole characters.
fn beginning(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// As it is written.
#[derive(Deserialize)]
struct Written {
    texts: BTreeMap<u64, Box<str>>,
    cut: Option<u64>,
}

impl TryFrom<Written> for TextSet {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<TextSet, &'static str> {
        let Written { texts, cut } = written;
        let cost = texts.values().map(|text| cost(text)).sum();
        if cost > COST_MAX || texts.values().any(|text| text.len() > TEXT_BYTES_MAX) {
            return Err("a set of more text than is kept");
        }
        let last = texts.last_key_value().map(|(&hash, _)| hash);
        if cut.is_some() && !(last.is_some() && last < cut) {
            return Err("a set of texts beyond its own cut");
        }
        Ok(TextSet { texts, cut, cost })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use xxhash_rust::xxh3::xxh3_64;

    fn set_of(texts: impl IntoIterator<Item = String>) -> TextSet {
        let mut set = TextSet::new();
        for text in texts {
            set.insert(xxh3_64(text.as_bytes()), &text);
        }
        set
    }

    /// Names without a pattern, of `letters` letters.
    fn names(from: u64, until: u64, letters: usize) -> impl Iterator<Item = String> {
        (from..until).map(move |i| {
            let letter = |at: usize| {
                let hash = xxh3_64(&[i.to_le_bytes(), (at as u64).to_le_bytes()].concat());
                char::from(b'a' + (hash % 26) as u8)
            };
            (0..letters).map(letter).collect()
        })
    }

    fn bytes(set: &TextSet) -> Vec<u8> {
        postcard::to_stdvec(set).expect("a set can be written")
    }

    /// The sizes are part of what results say: another version of the compressor must not change them unseen.
    #[test]
    fn the_sizes_of_known_sets_are_these() {
        let hosts = ["www", "mail", "ns1", "ns2", "cdn"].map(|name| format!("{name}.example.com"));
        let sets = [
            vec![],
            vec!["a".to_owned()],
            hosts.to_vec(),
            names(0, 100, 40).collect(),
        ];
        let sizes = sets.map(|texts| set_of(texts).information());
        assert_eq!(sizes, [0.0, 3.0, 45.0, 2562.0]);
    }

    #[test]
    fn many_random_names_hold_more_than_as_many_that_are_alike() {
        let tail = |name: String| format!("{name}.tunnel.example.com");
        let random = set_of(names(0, 300, 40).map(tail)).information();
        let alike = (0..300).map(|i| format!("host-{i}.rack-{}.example.com", i % 20));
        let alike = set_of(alike).information();
        assert!(random > 6.0 * alike, "{random} bytes, {alike} bytes");
        let once = set_of(names(0, 1, 40)).information();
        let often = set_of((0..300).flat_map(|_| names(0, 1, 40))).information();
        assert_eq!(once, often, "the same text again adds nothing");
    }

    /// A letter without a pattern has log2(26) = 4.70 bits; Huffman codes of whole bits take at most 2 % more of it.
    #[test]
    fn random_letters_take_what_their_entropy_says_and_a_sample_tells_of_all() {
        for n in [300u64, 1_700, 5_000, 40_000] {
            let set = set_of(names(0, n, 40));
            assert_eq!(set.cut.is_some(), n > 1_820, "{n} of 72 bytes");
            let entropy = n as f64 * (40.0 * 26f64.log2() / 8.0);
            let ratio = set.information() / entropy;
            // Four standard errors of 2.4 %; the line ends take some more, and of sorted names the first letters less.
            assert!((0.9..1.16).contains(&ratio), "{n}: {ratio}");
            assert!((set.distinct() / n as f64 - 1.0).abs() < 0.1);
        }
    }

    #[test]
    fn a_text_of_any_length_costs_no_more_than_its_beginning() {
        let set = set_of((0..500).map(|i| format!("{i}{}", "ä".repeat(5_000))));
        assert!(set.cost <= COST_MAX && set.texts.values().all(|t| t.len() <= TEXT_BYTES_MAX));
        assert!(set.distinct() > 300.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Small sets, grouped in any way and merged in any order, also when the whole is more than is kept.
        #[test]
        fn the_state_is_a_function_of_the_set(
            n in 0u64..1_200, letters in 1usize..400, parts in 1usize..6, seed in any::<u64>()
        ) {
            let whole = set_of(names(0, n, letters));
            let mut sets = vec![TextSet::new(); parts];
            for (i, text) in names(0, n, letters).enumerate() {
                let hash = xxh3_64(text.as_bytes());
                let draw = xxh3_64(&(seed ^ i as u64).to_le_bytes());
                sets[draw as usize % parts].insert(hash, &text);
                sets[(draw >> 32) as usize % parts].insert(hash, &text);
            }
            // One after the other, and any two of them first.
            let mut chain = TextSet::new();
            sets.iter().for_each(|set| chain.merge(set));
            while sets.len() > 1 {
                let one = sets.swap_remove(seed as usize % sets.len());
                let at = (seed >> 32) as usize % sets.len();
                sets[at].merge(&one);
            }
            prop_assert_eq!(&chain, &whole);
            prop_assert_eq!(&sets[0], &whole);
            prop_assert_eq!(bytes(&chain), bytes(&whole));
            let back: TextSet = postcard::from_bytes(&bytes(&whole)).unwrap();
            prop_assert_eq!(&back, &whole);
            prop_assert!(whole.cost <= COST_MAX);
        }

        #[test]
        fn no_bytes_make_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(set) = postcard::from_bytes::<TextSet>(&bytes) {
                prop_assert!(set.information().is_finite());
            }
        }
    }
}
