//! Snapshots in a compacted topic: nothing else to run, nothing else to back up.
//!
//! A snapshot is compressed (zstd) and cut into chunks below a message's size limit; a manifest (chunk count, length, CRC-32), written last and only when the chunks are safe,
//! makes it exist. Keys: `<snapshot>#<chunk>` and `<snapshot>#manifest`, all in the partition that the task's name hashes to. Deleting writes tombstones, the
//! manifest's first. Chunks that a process left without a manifest, killed or failing at it, are deleted when a later snapshot of the task is safe: nobody else
//! would, in a topic that forgets nothing by itself. Readers go through a partition from where they stopped last time and keep the manifests only; chunks are read
//! again when a snapshot is wanted.

use super::{Content, SnapshotKey, SnapshotStore, StoreError, compress, decompress, newest_first};
use crate::runtime::log::{Cleanup, LogError, Message, NewTopic, Outgoing, TopicPartition, Topics};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

/// Below the usual limit of 1 MB a message, with room for the batch around it.
const CHUNK_BYTES_MAX: usize = 900_000;
/// Chunks that are under way at the same time: what a snapshot being written takes of memory.
const CHUNKS_UNDER_WAY: usize = 8;
/// Partitions of the topic when this build creates it.
const PARTITIONS: i32 = 8;
pub(super) const MANIFEST: &str = "manifest";

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Manifest {
    chunks: u32,
    pub(super) bytes: u64,
    checksum: u32,
}

/// What is known of one partition of the topic.
#[derive(Debug, Default)]
struct Index {
    next_offset: i64,
    manifests: BTreeMap<SnapshotKey, Manifest>,
    chunks: BTreeMap<SnapshotKey, Seen>,
}

/// The chunks that are under a name.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// The offset of the first: a place to begin reading.
    first_offset: i64,
    /// Their number, as far as it is known: the highest, and one.
    count: u32,
}

/// A store in a compacted topic.
#[derive(Debug)]
pub struct TopicStore<T> {
    log: T,
    topic: Arc<str>,
    partitions: i32,
    indexes: BTreeMap<i32, Index>,
}

impl<T: Topics> TopicStore<T> {
    /// The topic `name`, as it is to be made.
    pub fn topic(name: &str) -> NewTopic {
        NewTopic {
            name: name.to_owned(),
            partitions: Some(PARTITIONS),
            cleanup: Cleanup::Compact,
        }
    }

    /// The store in `topic`, which is created when it does not exist.
    pub fn open(mut log: T, topic: &str) -> Result<TopicStore<T>, StoreError> {
        let wanted = Self::topic(topic);
        let name = [topic.to_owned()];
        let found = log
            .create(&[wanted])
            .and_then(|()| log.partitions(&name))
            .map_err(|error| at(topic, &error))?;
        Ok(TopicStore {
            log,
            topic: topic.into(),
            partitions: found.get(topic).copied().unwrap_or(PARTITIONS),
            indexes: BTreeMap::new(),
        })
    }

    fn partition_of(&self, task: &str) -> TopicPartition {
        let hash = xxhash_rust::xxh3::xxh3_64(task.as_bytes());
        let partition = (hash % self.partitions.unsigned_abs().max(1) as u64) as i32;
        TopicPartition::new(Arc::clone(&self.topic), partition)
    }

    fn message(&self, key: &SnapshotKey, part: &str, payload: Option<Vec<u8>>) -> Outgoing {
        Outgoing {
            topic: Arc::clone(&self.topic),
            partition: Some(self.partition_of(&key.task).partition),
            key: Some(format!("{key}#{part}").into_bytes()),
            payload,
            headers: Vec::new(),
            timestamp_ms: None,
        }
    }

    /// What deletes a snapshot of so many chunks.
    fn tombstones(&self, key: &SnapshotKey, chunks: u32) -> Vec<Outgoing> {
        let parts = (0..chunks).map(|number| self.message(key, &number.to_string(), None));
        let manifest = self.message(key, MANIFEST, None);
        std::iter::once(manifest).chain(parts).collect()
    }

    fn publish(&mut self, messages: &[Outgoing]) -> Result<(), StoreError> {
        self.log
            .publish(messages)
            .and_then(|()| self.log.flush())
            .map_err(|error| at(&self.topic, &error))
    }

    /// Reads what has been written since the last look.
    fn refresh(&mut self, at_partition: &TopicPartition) -> Result<&Index, StoreError> {
        let index = self.indexes.entry(at_partition.partition).or_default();
        let from = index.next_offset;
        let read = self
            .log
            .read(at_partition, from, &mut |message| index.learn(message));
        index.next_offset = read.map_err(|error| at(&self.topic, &error))?;
        Ok(index)
    }
}

/// Cuts what is written into chunks, and publishes them a few at a time.
struct Chunks<'s, T> {
    store: &'s mut TopicStore<T>,
    key: &'s SnapshotKey,
    chunk: Vec<u8>,
    waiting: Vec<Outgoing>,
    written: Manifest,
    checksum: crc32fast::Hasher,
    failed: Option<StoreError>,
}

impl<T: Topics> Chunks<'_, T> {
    fn cut(&mut self) {
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_BYTES_MAX));
        self.written.bytes += chunk.len() as u64;
        self.checksum.update(&chunk);
        let part = self.written.chunks.to_string();
        self.waiting
            .push(self.store.message(self.key, &part, Some(chunk)));
        self.written.chunks += 1;
    }

    fn publish(&mut self) -> io::Result<()> {
        let published = self.store.publish(&self.waiting);
        self.waiting.clear();
        published.map_err(|error| {
            let told = io::Error::other(error.to_string());
            self.failed = Some(error);
            told
        })
    }

    fn finish(&mut self) -> io::Result<()> {
        if !self.chunk.is_empty() {
            self.cut();
        }
        self.publish()
    }

    fn manifest(self) -> Manifest {
        Manifest {
            checksum: self.checksum.finalize(),
            ..self.written
        }
    }
}

impl<T: Topics> Write for Chunks<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK_BYTES_MAX - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        if self.chunk.len() == CHUNK_BYTES_MAX {
            self.cut();
            if self.waiting.len() == CHUNKS_UNDER_WAY {
                self.publish()?;
            }
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Index {
    fn learn(&mut self, message: &Message<'_>) {
        let Some((key, part)) = parts(message) else {
            return;
        };
        match (part == MANIFEST, message.payload) {
            (true, Some(bytes)) => {
                if let Ok(manifest) = postcard::from_bytes::<Manifest>(bytes) {
                    self.manifests.insert(key, manifest);
                }
            }
            (true, None) => drop(self.manifests.remove(&key)),
            (false, payload) => self.learn_chunk(key, part, payload.is_some(), message.offset),
        }
    }

    fn learn_chunk(&mut self, key: SnapshotKey, part: &str, is_there: bool, offset: i64) {
        let Ok(number) = part.parse::<u32>() else {
            return;
        };
        let count = number.saturating_add(1);
        match (is_there, self.chunks.get_mut(&key)) {
            (true, Some(seen)) => seen.count = seen.count.max(count),
            (true, None) => {
                let seen = Seen {
                    first_offset: offset,
                    count,
                };
                self.chunks.insert(key, seen);
            }
            // They are deleted in their order: with the last of them all are gone.
            (false, Some(seen)) if seen.count <= count => drop(self.chunks.remove(&key)),
            (false, _) => {}
        }
    }

    /// Chunks without a manifest, of the same task, that were written before a snapshot that is safe.
    fn left_before(&self, safe: &SnapshotKey) -> Vec<(SnapshotKey, u32)> {
        let is_left = |key: &SnapshotKey| {
            key.task == safe.task && key.offset < safe.offset && !self.manifests.contains_key(key)
        };
        let left = self.chunks.iter().filter(|(key, _)| is_left(key));
        left.map(|(key, seen)| (key.clone(), seen.count)).collect()
    }
}

pub(super) fn parts<'m>(message: &Message<'m>) -> Option<(SnapshotKey, &'m str)> {
    let text = std::str::from_utf8(message.key?).ok()?;
    let (key, part) = text.rsplit_once('#')?;
    Some((SnapshotKey::parse(key)?, part))
}

fn at(topic: &str, error: &LogError) -> StoreError {
    StoreError {
        place: format!("topic {topic}"),
        cause: error.to_string(),
    }
}

impl<T: Topics> SnapshotStore for TopicStore<T> {
    fn put(&mut self, key: &SnapshotKey, content: &dyn Content) -> Result<u64, StoreError> {
        let mut chunks = Chunks {
            store: self,
            key,
            chunk: Vec::with_capacity(CHUNK_BYTES_MAX),
            waiting: Vec::new(),
            written: Manifest::default(),
            checksum: crc32fast::Hasher::new(),
            failed: None,
        };
        let written = compress(content, &mut chunks).map(drop);
        let written = written.and_then(|()| chunks.finish());
        let (written, failed) = (written, chunks.failed.take());
        let manifest = chunks.manifest();
        match (written, failed) {
            (_, Some(error)) => return Err(error),
            (Err(error), None) => {
                return Err(StoreError {
                    place: key.to_string(),
                    cause: error.to_string(),
                });
            }
            (Ok(()), None) => {}
        }
        let bytes = postcard::to_stdvec(&manifest).expect("three numbers can be written");
        self.publish(&[self.message(key, MANIFEST, Some(bytes))])?;
        let partition = self.partition_of(&key.task);
        for (left, chunks) in self.refresh(&partition)?.left_before(key) {
            self.publish(&self.tombstones(&left, chunks))?;
        }
        Ok(manifest.bytes)
    }

    fn list(&mut self, task: &str) -> Result<Vec<SnapshotKey>, StoreError> {
        let partition = self.partition_of(task);
        let index = self.refresh(&partition)?;
        let of_task = |key: &&SnapshotKey| key.task == task;
        Ok(newest_first(
            index.manifests.keys().filter(of_task).cloned().collect(),
        ))
    }

    fn get(&mut self, key: &SnapshotKey) -> Result<Option<Vec<u8>>, StoreError> {
        let partition = self.partition_of(&key.task);
        let index = self.refresh(&partition)?;
        let Some(&manifest) = index.manifests.get(key) else {
            return Ok(None);
        };
        let from = index.chunks.get(key).map_or(0, |seen| seen.first_offset);
        let mut chunks: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        let read = self.log.read(&partition, from, &mut |message| {
            let Some((held, part)) = parts(message) else {
                return;
            };
            if let (true, Ok(number), Some(bytes)) = (held == *key, part.parse(), message.payload) {
                chunks.insert(number, bytes.to_vec());
            }
        });
        read.map_err(|error| at(&self.topic, &error))?;
        let compressed: Vec<u8> = (0..manifest.chunks)
            .filter_map(|number| chunks.remove(&number))
            .flatten()
            .collect();
        let whole = compressed.len() as u64 == manifest.bytes
            && crc32fast::hash(&compressed) == manifest.checksum;
        Ok(match whole {
            true => decompress(&compressed),
            false => None,
        })
    }

    fn delete(&mut self, key: &SnapshotKey) -> Result<(), StoreError> {
        let partition = self.partition_of(&key.task);
        let index = self.refresh(&partition)?;
        let Some(manifest) = index.manifests.get(key) else {
            return Ok(());
        };
        let seen = index.chunks.get(key).map_or(0, |seen| seen.count);
        let chunks = manifest.chunks.max(seen);
        self.publish(&self.tombstones(key, chunks))
    }
}
