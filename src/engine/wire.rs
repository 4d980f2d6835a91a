//! What travels between the stages: closed buckets and partial buckets, as values and as canonical bytes.
//!
//! Holds: equal values give equal bytes; decoding never panics, whatever the bytes.

use super::feature::Accumulator;
use super::judge::PartialBucket;
use super::result::DataCounts;
use crate::time::{BucketStart, Finality};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Who speaks: `topic/3` for an input partition, `shard/0` for a judge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InputId(pub String);

/// The values that tell one series of a split from another; `None` where the split has no such field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesKey {
    /// Value of the partition field (`""` when the event had none).
    pub partition: Option<Arc<str>>,
    /// Value of the by field.
    pub by: Option<Arc<str>>,
}

/// What one bucket of one series (of one split group) was reduced to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesBucket {
    /// Index into [`Layout::groups`](super::feature::Layout).
    pub group: u16,
    /// Which series.
    pub key: SeriesKey,
    /// One accumulator for each feature of the group, in its order.
    pub cells: Vec<Accumulator>,
    /// The same for the events of one influencer value alone; sorted by (influencer, value).
    pub shares: Vec<Share>,
}

/// The part of a series' bucket that one influencer value brought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Index into [`Job::influencers`](crate::config::Job).
    pub influencer: u16,
    /// The influencer field's value.
    pub value: Arc<str>,
    /// One accumulator for each feature of the group.
    pub cells: Vec<Accumulator>,
}

/// What a gatherer says of one bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClosedBucket {
    /// The bucket.
    pub start: BucketStart,
    /// Whether more may come for it.
    pub finality: Finality,
    /// Events (or summary counts) in it.
    pub event_count: u64,
    /// What was counted since the last closed bucket of this gatherer.
    pub counts: DataCounts,
    /// Its series, sorted by (group, key), each once.
    pub series: Vec<SeriesBucket>,
}

/// The shard that a partition-field value belongs to: the same in every build and on every machine.
pub fn shard_of(partition: Option<&str>, shards: u16) -> u16 {
    match partition {
        Some(value) if shards > 1 => {
            (xxhash_rust::xxh3::xxh3_64(value.as_bytes()) % u64::from(shards)) as u16
        }
        _ => 0,
    }
}

impl ClosedBucket {
    /// The shares of the shards, by shard. Shard 0 always has one (it carries the counts), the others when they have series.
    pub fn split(self, shards: u16) -> Vec<(u16, ClosedBucket)> {
        let mut parts: Vec<Option<ClosedBucket>> = vec![None; usize::from(shards.max(1))];
        let empty = ClosedBucket {
            start: self.start,
            finality: self.finality,
            event_count: 0,
            counts: DataCounts::default(),
            series: Vec::new(),
        };
        parts[0] = Some(ClosedBucket {
            event_count: self.event_count,
            counts: self.counts,
            ..empty.clone()
        });
        for series in self.series {
            let shard = shard_of(series.key.partition.as_deref(), shards);
            parts[usize::from(shard)]
                .get_or_insert_with(|| empty.clone())
                .series
                .push(series);
        }
        parts
            .into_iter()
            .enumerate()
            .filter_map(|(shard, part)| Some((shard as u16, part?)))
            .collect()
    }
}

/// One message between stages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StageMessage {
    /// A gatherer's bucket, for a judge.
    Closed(ClosedBucket),
    /// A judge's bucket, for the rollup.
    Partial(PartialBucket),
    /// Everything before this instant has been said.
    Watermark(BucketStart),
    /// Do not wait for me until I speak again.
    Idle,
}

/// Bytes that are not a stage message.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a stage message of this build: {0}")]
pub struct WireError(String);

const WIRE_VERSION: u8 = 1;

impl StageMessage {
    /// Canonical bytes, compressed when that helps.
    pub fn encode(&self) -> Vec<u8> {
        let body = postcard::to_stdvec(self)
            .expect("stage messages hold nothing that postcard cannot write");
        let mut bytes = vec![WIRE_VERSION];
        bytes.extend_from_slice(&body);
        bytes
    }

    /// The message; an error for anything else.
    pub fn decode(bytes: &[u8]) -> Result<StageMessage, WireError> {
        match bytes.split_first() {
            Some((&WIRE_VERSION, body)) => {
                postcard::from_bytes(body).map_err(|error| WireError(error.to_string()))
            }
            Some((version, _)) => Err(WireError(format!(
                "version {version}, expected {WIRE_VERSION}"
            ))),
            None => Err(WireError("no bytes".to_owned())),
        }
    }
}
