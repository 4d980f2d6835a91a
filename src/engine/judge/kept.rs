//! What is kept of a partition as a whole, not series by series: tables of rare values, populations, their customs, habits.
//!
//! Each has its place in an ordered map by group and partition value, goes when its partition was not seen for the prune window, and lets go by itself of what it holds that
//! was away for too long. Holds: the bytes counted follow what is forgotten.

use super::memory::patience;
use super::partial::ShardSize;
use crate::time::{BucketSpan, BucketStart};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Group and partition value.
pub(super) type KeptId = (u16, Option<Arc<str>>);

/// One partition's.
pub(super) trait Kept {
    /// Bytes of all that it holds, and of its place among the others.
    fn count_bytes(&self, id: &KeptId) -> u64;
    /// The last bucket with an event of its partition.
    fn last_seen(&self) -> BucketStart;
    /// Forgets what was away for longer than `patience` has with what was there in so many buckets.
    fn forget(&mut self, at: BucketStart, span: BucketSpan, patience: &dyn Fn(f64) -> f64);
}

/// Lets go of what was not seen for too long; whether anything went.
pub(super) fn prune<K: Kept>(
    all: &mut BTreeMap<KeptId, K>,
    size: &mut ShardSize,
    (at, span): (BucketStart, BucketSpan),
    (window, near): (u32, bool),
) -> bool {
    let before = size.model_bytes;
    let patience = patience(f64::from(window), near);
    all.retain(|id, one| {
        let bytes = one.count_bytes(id);
        one.forget(at, span, &patience);
        let away = span.buckets_between(one.last_seen(), at) > i64::from(window);
        let kept = if away { 0 } else { one.count_bytes(id) };
        size.model_bytes = size.model_bytes - bytes + kept;
        !away
    });
    size.model_bytes < before
}

/// The bytes of all of them, counted anew.
pub(super) fn bytes<K: Kept>(all: &BTreeMap<KeptId, K>) -> u64 {
    all.iter().map(|(id, one)| one.count_bytes(id)).sum()
}
