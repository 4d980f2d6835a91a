//! What inputs left open when they fell silent.
//!
//! An input that nobody waits for any more has said, with its last word, what its open buckets hold so far. When such a bucket is closed without it, that
//! content goes in; so silence costs no event. When the input speaks again it says those buckets whole: what had not been taken is then forgotten, and what had
//! been is not counted as late.

use super::wire::InputId;
use crate::time::BucketStart;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Open buckets of idle inputs: `B` is a closed bucket (for a judge) or a partial one (for the rollup).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Left<B> {
    waiting: BTreeMap<BucketStart, BTreeMap<InputId, B>>,
    /// By input and bucket: events that went in before the input closed the bucket itself.
    taken: BTreeMap<InputId, BTreeMap<BucketStart, u64>>,
}

impl<B> Default for Left<B> {
    fn default() -> Left<B> {
        Left {
            waiting: BTreeMap::new(),
            taken: BTreeMap::new(),
        }
    }
}

impl<B> Left<B> {
    /// `from` falls silent with this in its bucket at `start`.
    pub(super) fn keep(&mut self, from: &InputId, start: BucketStart, content: B) {
        let bucket = self.waiting.entry(start).or_default();
        bucket.insert(from.clone(), content);
    }

    /// `from` speaks again, and will say its open buckets whole.
    pub(super) fn wake(&mut self, from: &InputId) {
        self.waiting.retain(|_, inputs| {
            inputs.remove(from);
            !inputs.is_empty()
        });
    }

    /// `from` has closed everything before `until`: nothing more of it will be late there.
    pub(super) fn forget(&mut self, from: &InputId, until: BucketStart) {
        if let Some(buckets) = self.taken.get_mut(from) {
            buckets.retain(|&start, _| start >= until);
        }
    }

    /// The content of a bucket that is closed now, input by input.
    pub(super) fn take(&mut self, start: BucketStart, events: impl Fn(&B) -> u64) -> Vec<B> {
        let inputs = self.waiting.remove(&start).unwrap_or_default();
        let mut contents = Vec::with_capacity(inputs.len());
        for (from, content) in inputs {
            let buckets = self.taken.entry(from).or_default();
            buckets.insert(start, events(&content));
            contents.push(content);
        }
        contents
    }

    /// What inputs have left in a bucket that is still open, input by input.
    pub(super) fn waiting(&self, start: BucketStart) -> impl Iterator<Item = (&InputId, &B)> {
        self.waiting.get(&start).into_iter().flatten()
    }

    /// How many of the events that `from` now says of a bucket closed before had gone in, if anything had.
    pub(super) fn had_taken(&mut self, from: &InputId, start: BucketStart) -> Option<u64> {
        self.taken.get_mut(from)?.remove(&start)
    }

    /// The first and the last bucket that something was left in which `counts`.
    pub(super) fn ends(&self, counts: impl Fn(&B) -> bool) -> Option<(BucketStart, BucketStart)> {
        let is_one =
            |(_, inputs): &(&BucketStart, &BTreeMap<InputId, B>)| inputs.values().any(&counts);
        let mut buckets = self.waiting.iter().filter(is_one).map(|(start, _)| *start);
        let first = buckets.next()?;
        Some((first, buckets.next_back().unwrap_or(first)))
    }
}
