//! What travels between the stages: closed buckets and partial buckets, as values and as canonical bytes.
//!
//! Versions: a later build says a higher one in the first byte, and reads those before it (tests/formats has one of each): in a rolling upgrade the
//! old instances leave what they cannot read to the new ones.
//!
//! Layout: version (u8), form (u8: 0 plain, 1 zstd; 2 a piece of a longer message, 3 its last one), body (postcard; the series of a closed bucket in it as `columns` writes them). Bodies above 1 KiB are compressed where that makes them smaller.
//! Holds: equal values give equal bytes; decoding never panics, whatever the bytes, never makes more than 64 MiB of a body (or 64 times what came), and accepts
//! only series and shares that are sorted, each once. Checked: tests below.

mod columns;
mod pieces;

pub use pieces::{Heard, Pieces, pieces};

pub use super::feature::{SeriesBucket, SeriesKey, Share};
pub use super::projector::{EventBatch, ProjectedEvent};

use super::feature::merge_sorted;
use super::judge::{PartialBucket, RevisedBucket};
use super::result::DataCounts;
use crate::time::{BucketStart, Finality};
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::mem;

/// Who speaks: `topic/3` for an input partition, `shard/0` for a judge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InputId(pub String);

/// What a gatherer says of one bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClosedBucket {
    /// The bucket.
    pub start: BucketStart,
    /// Whether more may come for it.
    pub finality: Finality,
    /// Events (or summary counts) in it.
    pub event_count: u64,
    /// What its events add to `data_counts`, and what the gatherer counted since the last closed bucket that belongs to none. Nothing
    /// while interim, so that the counts of all buckets may be added up.
    pub counts: DataCounts,
    /// Its series, sorted by (group, key), each once.
    #[serde(with = "columns")]
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
    /// Whether it only carries counts and no bucket is to be judged: said at the end of an input when no bucket is left for what was
    /// refused last. Its start means nothing (it may have been closed before).
    pub fn is_counts_only(&self) -> bool {
        self.event_count == 0 && self.series.is_empty()
    }

    /// Adds another gatherer's part of the same bucket; associative and commutative to the bit. The parts are of one job.
    pub fn merge(&mut self, other: ClosedBucket) {
        debug_assert_eq!(self.start, other.start, "parts of one bucket");
        self.event_count = self.event_count.saturating_add(other.event_count);
        self.counts.add(&other.counts);
        let mine = mem::take(&mut self.series);
        self.series = merge_sorted(
            mine,
            other.series,
            |a, b| (a.group, &a.key).cmp(&(b.group, &b.key)),
            SeriesBucket::merge,
        );
    }

    /// Whether series and their shares are in order, each once.
    pub fn is_sorted(&self) -> bool {
        self.series
            .is_sorted_by(|a, b| (a.group, &a.key) < (b.group, &b.key))
            && self.series.iter().all(SeriesBucket::is_sorted)
    }

    /// The shares of the shards, by shard: one for each, also an empty one, so that every judge knows which buckets had events.
    /// Shard 0 carries the counts.
    pub fn split(self, shards: u16) -> Vec<(u16, ClosedBucket)> {
        let shards = shards.max(1);
        let empty = ClosedBucket {
            start: self.start,
            finality: self.finality,
            event_count: 0,
            counts: DataCounts::default(),
            series: Vec::new(),
        };
        let mut parts: Vec<(u16, ClosedBucket)> =
            (0..shards).map(|shard| (shard, empty.clone())).collect();
        (parts[0].1.event_count, parts[0].1.counts) = (self.event_count, self.counts);
        for series in self.series {
            let shard = shard_of(series.key.partition.as_deref(), shards);
            parts[usize::from(shard)].1.series.push(series);
        }
        parts
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
    /// A gatherer: do not wait for me until I speak again; this is what my open buckets hold so far.
    Idle(Vec<ClosedBucket>),
    /// The same of gatherer and judge in one.
    IdleKeyed(Vec<PartialBucket>),
    /// What has come to a gatherer too late for a bucket that it had said, for a judge.
    Late(ClosedBucket),
    /// A judge's bucket judged again with what came late, for the rollup.
    Revised(Box<RevisedBucket>),
    /// A projector's events, for the one place where they are gathered.
    Events(EventBatch),
    /// One that had been idle before it had ever said an instant: wait for me again.
    Awake,
}

/// Bytes that are not a stage message of this build.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    /// Damaged, or never one.
    #[error("not a stage message: {0}")]
    Damaged(String),
    /// Of a later build: a message, but not to be read here.
    #[error("a stage message of format {found}, and this build reads {WIRE_VERSION} at the most")]
    Newer {
        /// The version found.
        found: u8,
    },
}

const WIRE_VERSION: u8 = 5;
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;
/// Smaller bodies gain too little.
const COMPRESSED_BYTES_MIN: usize = 1024;
/// A body that says it is larger is a bomb, not a message.
const BODY_BYTES_MAX: usize = 64 << 20;
/// Or so many times what came, which a large bucket may need: names repeat.
const INFLATED_MAX: usize = 64;
/// Names stand once in a message, so that there is little to be found: level 1 saves 9 % of the bytes more, for twice the work of compressing.
const ZSTD_LEVEL: i32 = -1;

impl StageMessage {
    /// Canonical bytes, compressed when that helps.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = postcard::to_extend(self, vec![WIRE_VERSION, PLAIN])
            .expect("stage messages hold nothing that postcard cannot write");
        let body = &bytes[2..];
        if body.len() >= COMPRESSED_BYTES_MIN
            && let Ok(smaller) = zstd::bulk::compress(body, ZSTD_LEVEL)
            && smaller.len() < body.len()
        {
            bytes.truncate(1);
            bytes.push(ZSTD);
            bytes.extend_from_slice(&smaller);
        }
        bytes
    }

    /// The message; an error for anything else.
    pub fn decode(bytes: &[u8]) -> Result<StageMessage, WireError> {
        let message = match bytes {
            [WIRE_VERSION, PLAIN, body @ ..] => read(body),
            [WIRE_VERSION, ZSTD, body @ ..] => read(&inflate(body)?),
            [WIRE_VERSION, form, ..] => Err(WireError::Damaged(format!(
                "form {form}, expected {PLAIN} or {ZSTD}"
            ))),
            [found, ..] if *found > WIRE_VERSION => Err(WireError::Newer { found: *found }),
            [version, ..] => Err(WireError::Damaged(format!(
                "version {version}, expected {WIRE_VERSION}"
            ))),
            [] => Err(WireError::Damaged("no bytes".to_owned())),
        }?;
        let buckets = match &message {
            StageMessage::Closed(bucket) | StageMessage::Late(bucket) => {
                std::slice::from_ref(bucket)
            }
            StageMessage::Idle(buckets) => buckets,
            _ => &[],
        };
        match buckets.iter().all(ClosedBucket::is_sorted) {
            true => Ok(message),
            false => Err(WireError::Damaged(
                "series out of order; they are sorted by group and key, each once".to_owned(),
            )),
        }
    }
}

fn read(body: &[u8]) -> Result<StageMessage, WireError> {
    match postcard::take_from_bytes(body) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(WireError::Damaged(format!("{} bytes too many", rest.len()))),
        Err(error) => Err(WireError::Damaged(error.to_string())),
    }
}

fn inflate(body: &[u8]) -> Result<Vec<u8>, WireError> {
    let damaged = |error: std::io::Error| WireError::Damaged(format!("zstd: {error}"));
    let stream = zstd::stream::read::Decoder::with_buffer(body).map_err(damaged)?;
    let mut inflated = Vec::new();
    let bytes_max = BODY_BYTES_MAX.max(INFLATED_MAX.saturating_mul(body.len()));
    stream
        .take(bytes_max as u64 + 1)
        .read_to_end(&mut inflated)
        .map_err(damaged)?;
    match inflated.len() <= bytes_max {
        true => Ok(inflated),
        false => Err(WireError::Damaged(format!(
            "a body of more than {bytes_max} bytes"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::feature::{Accumulator, Statistic};
    use proptest::prelude::*;

    fn series(group: u16, partition: &str, count: u64) -> SeriesBucket {
        let mut cell = Accumulator::new(Statistic::Count);
        cell.merge(&Accumulator::Count(count));
        SeriesBucket {
            group,
            key: SeriesKey {
                partition: Some(partition.into()),
                over: None,
                by: None,
            },
            cells: [cell.clone()].into(),
            shares: vec![Share {
                influencer: 0,
                value: partition.into(),
                cells: [cell].into(),
            }],
        }
    }

    fn closed(series: Vec<SeriesBucket>) -> ClosedBucket {
        ClosedBucket {
            start: BucketStart(60_000),
            finality: Finality::Final,
            event_count: series.len() as u64,
            counts: DataCounts::default(),
            series,
        }
    }

    fn many(count: u64) -> ClosedBucket {
        closed(
            (0..count)
                .map(|i| series(0, &format!("host-{i:07}"), i))
                .collect(),
        )
    }

    #[test]
    fn small_and_large_messages_come_back_as_they_went() {
        for message in [
            StageMessage::Idle(vec![many(2), many(3)]),
            StageMessage::Watermark(BucketStart(-300_000)),
            StageMessage::Closed(many(3)),
            StageMessage::Late(many(3)),
            StageMessage::Closed(many(2_000)),
        ] {
            let bytes = message.encode();
            assert_eq!(StageMessage::decode(&bytes), Ok(message));
        }
        let large = StageMessage::Closed(many(2_000)).encode();
        let plain = postcard::to_stdvec(&StageMessage::Closed(many(2_000))).unwrap();
        assert_eq!(large[1], ZSTD);
        assert!(large.len() * 3 < plain.len(), "names repeat");
    }

    #[test]
    fn a_million_series_of_one_bucket_go_through_messages_of_less_than_a_megabyte() {
        let (from, message) = (
            InputId("events/0".into()),
            StageMessage::Closed(many(1_000_000)),
        );
        let words = pieces(message.encode(), 900_000);
        assert!(words.len() > 3, "{}", words.len());
        let mut held = Pieces::default();
        for (at, word) in words.iter().enumerate() {
            assert!(word.len() <= 900_000);
            let heard = held.take(&from, word);
            assert_eq!(heard.error, None);
            let is_last = at + 1 == words.len();
            assert!(
                heard.message.as_ref() == is_last.then_some(&message),
                "piece {at}"
            );
        }
    }

    #[test]
    fn unsorted_repeated_and_overlong_messages_are_refused() {
        let (a, b) = (series(0, "a", 1), series(0, "b", 1));
        let mut twice_shared = a.clone();
        twice_shared.shares.push(a.shares[0].clone());
        for bad in [vec![b, a.clone()], vec![a.clone(), a], vec![twice_shared]] {
            for word in [
                StageMessage::Closed(closed(bad.clone())),
                StageMessage::Late(closed(bad.clone())),
                StageMessage::Idle(vec![closed(bad)]),
            ] {
                assert!(StageMessage::decode(&word.encode()).is_err());
            }
        }
        let mut bytes = StageMessage::Idle(Vec::new()).encode();
        bytes.push(0);
        assert!(StageMessage::decode(&bytes).is_err());
    }

    #[test]
    fn a_decompression_bomb_is_refused() {
        let mut bomb = vec![WIRE_VERSION, ZSTD];
        bomb.extend(zstd::bulk::compress(&vec![0; BODY_BYTES_MAX + 1], 1).unwrap());
        assert!(bomb.len() < 100_000);
        let error = StageMessage::decode(&bomb).unwrap_err();
        assert!(error.to_string().contains("67108864"), "{error}");
    }

    #[test]
    fn shards_share_out_the_series_and_shard_0_has_the_counts() {
        let bucket = many(100);
        let parts = bucket.clone().split(7);
        assert_eq!(parts[0].0, 0);
        assert_eq!(parts[0].1.event_count, 100);
        assert!(parts[1..].iter().all(|(_, part)| part.event_count == 0));
        let mut whole = parts[0].1.clone();
        for (_, part) in parts.into_iter().skip(1) {
            whole.merge(part);
        }
        assert_eq!(whole, bucket);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), form in 0u8..3) {
            let _ = StageMessage::decode(&bytes);
            let _ = StageMessage::decode(&[&[WIRE_VERSION, form], &bytes[..]].concat());
        }

        #[test]
        fn a_damaged_message_is_an_error_or_another_message(at in 0usize..100, flip in 1u8..) {
            let message = StageMessage::Closed(many(3));
            let mut bytes = message.encode();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            if let Ok(other) = StageMessage::decode(&bytes) {
                prop_assert_ne!(other, message);
            }
        }
    }
}
