//! What there is in a store, of every task, for people: which snapshots, since when, how large, in which format.
//!
//! Read only: nothing is made, not even the folder or topic that is looked for. The service itself asks for one task at a time, which is
//! [`SnapshotStore::list`](super::SnapshotStore::list). Times are milliseconds since the epoch, bytes those in the store, compressed.
//! Checked by: `store::tests`, tests/s3, tests/kafka/terminal.rs.

use super::directory::parse;
use super::topic::{MANIFEST, Manifest, parts};
use super::{SnapshotKey, StoreError};
use crate::engine::snapshot::{HEADER_BYTES, format_of};
use crate::runtime::log::{TopicPartition, Topics};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// Compressed bytes that surely hold the header: a frame's own header, and a first block of 128 KiB that would not be compressed.
pub(super) const HEAD_BYTES: usize = (128 << 10) + 64;

/// A snapshot in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Which.
    pub key: SnapshotKey,
    /// What it takes in the store.
    pub bytes: u64,
    /// When it was stored, as the store says.
    pub stored_ms: Option<i64>,
    /// The format that it is written in; `None` when its beginning does not read.
    pub format: Option<u16>,
}

impl Stored {
    /// Whose task it is of: job, topic and partition.
    pub fn task(&self) -> Option<(&str, &str, i32)> {
        let (job, rest) = self.key.task.split_once('/')?;
        let (topic, partition) = rest.rsplit_once('/')?;
        Some((job, topic, partition.parse().ok()?))
    }
}

/// The order that people read: job, topic, partition, the newest first.
pub(super) fn in_order(mut all: Vec<Stored>) -> Vec<Stored> {
    all.sort_by(|a, b| {
        let by_task = a.task().cmp(&b.task());
        by_task
            .then(b.key.offset.cmp(&a.key.offset))
            .then_with(|| a.key.cmp(&b.key))
    });
    all
}

/// The format of a snapshot whose compressed bytes begin so.
pub(super) fn format_in(compressed: impl Read) -> Option<u16> {
    let mut header = [0; HEADER_BYTES];
    let mut plain = zstd::Decoder::new(compressed).ok()?;
    plain.read_exact(&mut header).ok()?;
    format_of(&header)
}

/// What is in a directory that snapshots are kept in.
pub fn directory(root: &Path) -> Result<Vec<Stored>, StoreError> {
    let at = |path: &Path, error: &io::Error| StoreError {
        place: path.display().to_string(),
        cause: error.to_string(),
    };
    let mut all = Vec::new();
    for folder in fs::read_dir(root).map_err(|error| at(root, &error))? {
        let folder = folder.map_err(|error| at(root, &error))?;
        let name = folder.file_name();
        let Some(task) = name.to_str().map(|name| name.replace("%2F", "/")) else {
            continue;
        };
        // A file, or gone since it was listed.
        for file in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            let name = file.file_name();
            let Some(key) = name.to_str().and_then(|name| parse(&task, name)) else {
                continue;
            };
            let Ok(metadata) = file.metadata() else {
                continue;
            };
            let modified = metadata.modified().ok();
            let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            all.push(Stored {
                key,
                bytes: metadata.len(),
                stored_ms: since.and_then(|since| i64::try_from(since.as_millis()).ok()),
                format: File::open(file.path()).ok().and_then(format_in),
            });
        }
    }
    Ok(in_order(all))
}

/// What is in a topic that snapshots are kept in. Reads all of it, chunks and all.
pub fn topic(log: &mut impl Topics, topic: &str) -> Result<Vec<Stored>, StoreError> {
    let at = |cause: String| StoreError {
        place: format!("topic {topic}"),
        cause,
    };
    let found = log
        .partitions(&[topic.to_owned()])
        .map_err(|error| at(error.to_string()))?;
    let partitions = found
        .get(topic)
        .copied()
        .ok_or_else(|| at("does not exist".to_owned()))?;
    let mut formats: BTreeMap<SnapshotKey, Option<u16>> = BTreeMap::new();
    let mut manifests: BTreeMap<SnapshotKey, (Manifest, Option<i64>)> = BTreeMap::new();
    for partition in 0..partitions {
        let place = TopicPartition::new(topic, partition);
        let read = log.read(&place, 0, &mut |message| {
            let Some((key, part)) = parts(message) else {
                return;
            };
            match (part, message.payload) {
                (MANIFEST, Some(bytes)) => {
                    if let Ok(manifest) = postcard::from_bytes(bytes) {
                        manifests.insert(key, (manifest, message.timestamp_ms));
                    }
                }
                (MANIFEST, None) => drop(manifests.remove(&key)),
                ("0", Some(bytes)) => drop(formats.insert(key, format_in(bytes))),
                _ => {}
            }
        });
        read.map_err(|error| at(error.to_string()))?;
    }
    let stored = |(key, (manifest, stored_ms)): (SnapshotKey, (Manifest, Option<i64>))| Stored {
        format: formats.get(&key).copied().flatten(),
        bytes: manifest.bytes,
        stored_ms,
        key,
    };
    Ok(in_order(manifests.into_iter().map(stored).collect()))
}
