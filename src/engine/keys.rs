//! Whether a topic is keyed as the job says: a value of the partition field may come from one input partition only.
//!
//! A keyed pair announces each value once, with the bucket in which it met it first ([`Announced`]); the rollup remembers which input was the first
//! to announce it ([`Homes`]), and says so when another does. Values are remembered by 64-bit hashes, of which the [`SAMPLE_MAX`]
//! smallest are kept: beyond so many values what is remembered is a sample of them, the same on every partition. A topic
//! that is not keyed at all is therefore found out however many values it has; a single stray value with the probability of being in
//! the sample. In one bucket a pair announces at most [`NEWS_MAX`] values (and [`NEWS_BYTES_MAX`] bytes of them), those of the smallest hashes;
//! the others when they come again.
//!
//! Holds: both are functions of the buckets' contents, not of the order of inputs; bytes are bounded, whatever the values. Two values of
//! one hash look like one (2⁶⁴ hashes: some 10⁻¹⁰ for a full sample); that costs a false word, never a result.
//! Checked: below, tests/engine/keys.rs, tests/inputs.rs.

use super::feature::SeriesBucket;
use super::wire::InputId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Hashes remembered at the most.
pub const SAMPLE_MAX: usize = 65_536;
/// Values announced with one bucket at the most.
pub const NEWS_MAX: usize = 4_096;
/// Bytes of them, unless the first alone has more.
pub const NEWS_BYTES_MAX: usize = 64 << 10;
/// Stands for the home of a value that has more than one.
const SEVERAL: u32 = u32::MAX;

/// Values that may be announced, by hash.
pub(super) type News = BTreeMap<u64, Arc<str>>;

/// The values that a keyed pair has announced. A clone shares them until they change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Announced {
    hashes: Arc<BTreeSet<u64>>,
}

impl Announced {
    /// Adds the partition-field values of these series that were never announced.
    pub(super) fn collect(&self, series: &[SeriesBucket], news: &mut News) {
        let mut last: Option<&Arc<str>> = None;
        for value in series.iter().filter_map(|one| one.key.partition.as_ref()) {
            if last == Some(value) {
                continue; // series are sorted: those of one value stand together
            }
            last = Some(value);
            let hash = xxh3_64(value.as_bytes());
            let largest = self
                .hashes
                .last()
                .filter(|_| self.hashes.len() >= SAMPLE_MAX);
            if largest.is_some_and(|&largest| hash > largest) || self.hashes.contains(&hash) {
                continue;
            }
            news.entry(hash).or_insert_with(|| Arc::clone(value));
            if news.len() > NEWS_MAX {
                news.pop_last();
            }
        }
    }

    /// As many of them as a bucket may carry, sorted; they are announced from now on.
    pub(super) fn announce(&mut self, news: News) -> Vec<Arc<str>> {
        if news.is_empty() {
            return Vec::new();
        }
        let hashes = Arc::make_mut(&mut self.hashes);
        let (mut values, mut bytes) = (Vec::new(), 0);
        for (hash, value) in news {
            bytes += value.len();
            if bytes > NEWS_BYTES_MAX && !values.is_empty() {
                break;
            }
            hashes.insert(hash);
            if hashes.len() > SAMPLE_MAX {
                hashes.pop_last();
            }
            values.push(value);
        }
        values.sort_unstable();
        values
    }
}

/// A value that has come from two inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stray {
    pub(super) value: Arc<str>,
    /// The first that announced it, and another.
    pub(super) inputs: [InputId; 2],
}

/// Which input announced which value first. A clone shares them until they change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Homes {
    inputs: Vec<InputId>,
    /// Index of the input, by the value's hash.
    homes: Arc<BTreeMap<u64, u32>>,
    /// Values with several homes, so far.
    strays: u64,
}

impl Homes {
    /// Values known to have come from several inputs since the job began.
    pub(super) fn strays(&self) -> u64 {
        self.strays
    }

    /// Takes what was announced up to the end of a bucket; the values that are strays since then, in order.
    pub(super) fn hear(&mut self, mut words: Vec<(Arc<str>, InputId)>) -> Vec<Stray> {
        if words.is_empty() {
            return Vec::new();
        }
        words.sort_unstable(); // whoever spoke first
        let mut strays = Vec::new();
        for (value, from) in words {
            let hash = xxh3_64(value.as_bytes());
            if let Some(&home) = self.homes.get(&hash) {
                let known = self.inputs.get(home as usize);
                if let Some(known) = known.filter(|known| **known != from) {
                    let inputs = [known.clone(), from];
                    Arc::make_mut(&mut self.homes).insert(hash, SEVERAL);
                    self.strays += 1;
                    strays.push(Stray { value, inputs });
                }
                continue;
            }
            let largest = self.homes.last_key_value();
            let largest = largest.filter(|_| self.homes.len() >= SAMPLE_MAX);
            if largest.is_some_and(|(&largest, _)| hash > largest) {
                continue;
            }
            let home = self.index_of(from);
            let homes = Arc::make_mut(&mut self.homes);
            homes.insert(hash, home);
            if homes.len() > SAMPLE_MAX {
                homes.pop_last();
            }
        }
        strays
    }

    fn index_of(&mut self, input: InputId) -> u32 {
        let known = self.inputs.iter().position(|known| *known == input);
        let index = known.unwrap_or_else(|| {
            self.inputs.push(input);
            self.inputs.len() - 1
        });
        index as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::feature::SeriesKey;

    fn series(value: String) -> SeriesBucket {
        SeriesBucket {
            group: 0,
            key: SeriesKey {
                partition: Some(value.into()),
                over: None,
                by: None,
            },
            cells: Default::default(),
            shares: Vec::new(),
        }
    }

    fn announce(announced: &mut Announced, values: impl Iterator<Item = u32>) -> Vec<Arc<str>> {
        let series: Vec<SeriesBucket> = values.map(|n| series(format!("host-{n:07}"))).collect();
        let mut news = News::new();
        announced.collect(&series, &mut news);
        announced.announce(news)
    }

    fn input(number: usize) -> InputId {
        InputId(format!("logs/{number}"))
    }

    #[test]
    fn a_value_is_announced_once_and_a_bucket_carries_only_so_many() {
        let mut announced = Announced::default();
        assert_eq!(announce(&mut announced, 0..10).len(), 10);
        let news = announce(&mut announced, 5..12);
        assert_eq!(news, ["host-0000010".into(), "host-0000011".into()]);
        let mut buckets = 0;
        while !announce(&mut announced, 0..10_000).is_empty() {
            buckets += 1;
        }
        assert_eq!(buckets, 3, "at {NEWS_MAX} values each");
        let long = |n: usize| series(format!("{n}{}", "x".repeat(NEWS_BYTES_MAX / 2)));
        let mut news = News::new();
        announced.collect(&[long(1), long(2), long(3)], &mut news);
        assert_eq!(announced.announce(news).len(), 1);
    }

    #[test]
    fn a_flood_of_values_is_remembered_in_bounds_and_a_topic_that_is_not_keyed_still_found_out() {
        let mut pairs = [Announced::default(), Announced::default()];
        let mut homes = Homes::default();
        let mut largest_bucket = 0;
        // Each value once in each partition, a thousand buckets apart from nothing but the flood.
        for bucket in 0..60 {
            let words = (0..2).flat_map(|pair: usize| {
                let news = announce(&mut pairs[pair], bucket * 4_000..(bucket + 1) * 4_000);
                largest_bucket = largest_bucket.max(news.len());
                news.into_iter().map(move |value| (value, input(pair)))
            });
            let strays = homes.hear(words.collect());
            assert!(!strays.is_empty(), "bucket {bucket}");
        }
        assert!(largest_bucket <= NEWS_MAX);
        assert_eq!(pairs[0].hashes.len(), SAMPLE_MAX);
        assert_eq!(homes.homes.len(), SAMPLE_MAX);
        assert_eq!(
            pairs[0], pairs[1],
            "a sample by hash is the same everywhere"
        );
        let bytes = postcard::to_stdvec(&homes).unwrap().len();
        assert!(bytes < 16 * SAMPLE_MAX, "{bytes} bytes");
        // What has left the sample is not announced for ever.
        assert!(announce(&mut pairs[0], 0..200_000).is_empty());
    }

    #[test]
    fn a_stray_is_told_once_by_its_first_home_whoever_spoke_first() {
        let word = |value: &str, from| (Arc::from(value), input(from));
        let mut apart = Homes::default();
        assert_eq!(apart.hear(vec![word("a", 3), word("b", 1)]), []);
        assert_eq!(apart.hear(vec![word("a", 3)]), [], "the same again");
        let told = apart.hear(vec![word("a", 2), word("a", 0)]);
        let stray = |inputs: [usize; 2]| Stray {
            value: "a".into(),
            inputs: inputs.map(input),
        };
        assert_eq!(told, [stray([3, 0])]);
        assert_eq!(apart.hear(vec![word("a", 1)]), [], "once is enough");
        assert_eq!(apart.strays(), 1);
        let words = [word("a", 3), word("b", 1), word("a", 0)];
        let (mut forth, mut back) = (Homes::default(), Homes::default());
        let told = forth.hear(words.to_vec());
        assert_eq!(told, [stray([0, 3])]);
        assert_eq!(back.hear(words.into_iter().rev().collect()), told);
        assert_eq!(back, forth);
    }
}
