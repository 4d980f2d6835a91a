//! Where snapshots live.
//!
//! A snapshot is named by its task, the lineage of the task's configuration and the offset that it stands at: the state after every message before
//! that offset. Equal names mean equal bytes (the engine is deterministic), so it does not matter who writes one last. Holds for every
//! store: `get` gives exactly what was put, or nothing; a snapshot half written does not exist.

mod directory;
pub mod inventory;
mod keeper;
mod memory;
mod s3;
mod topic;

pub use directory::DirectoryStore;
pub use keeper::Writing;
pub(crate) use keeper::{Done, Keeper, Order};
pub use memory::MemoryStore;
pub use s3::S3Store;
pub use topic::TopicStore;

use crate::engine::snapshot::Frozen;
use std::fmt;
use std::io::{self, Write};

/// The name of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotKey {
    /// Whose state: `job/topic/partition`.
    pub task: String,
    /// Of which configuration and placement: tasks of another lineage cannot use it.
    pub lineage: u64,
    /// The next offset to read.
    pub offset: i64,
}

impl fmt::Display for SnapshotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:016x}/{}", self.task, self.lineage, self.offset)
    }
}

impl SnapshotKey {
    /// The reverse of `Display`.
    pub fn parse(text: &str) -> Option<SnapshotKey> {
        let (rest, offset) = text.rsplit_once('/')?;
        let (task, lineage) = rest.rsplit_once('/')?;
        Some(SnapshotKey {
            task: task.to_owned(),
            lineage: u64::from_str_radix(lineage, 16).ok()?,
            offset: offset.parse().ok()?,
        })
    }
}

/// Why a store did not do as asked.
#[derive(Debug, thiserror::Error)]
#[error("snapshot store, {place}: {cause}")]
pub struct StoreError {
    /// Which file, topic or message.
    pub place: String,
    /// What went wrong.
    pub cause: String,
}

/// What is to be stored: written when the store is ready for it, so that it need not be in memory at once.
pub trait Content {
    /// Writes all of it; the same each time.
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()>;
}

impl Content for Frozen {
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        Frozen::write_to(self, out)
    }
}

impl Content for Vec<u8> {
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self)
    }
}

/// Keeps snapshots.
pub trait SnapshotStore {
    /// Stores one; when this returns it is safe. Returns the bytes that it takes in the store.
    fn put(&mut self, key: &SnapshotKey, content: &dyn Content) -> Result<u64, StoreError>;

    /// The snapshots of a task, of any lineage, the largest offset first.
    fn list(&mut self, task: &str) -> Result<Vec<SnapshotKey>, StoreError>;

    /// The bytes of one; `None` when it is not there, or not whole.
    fn get(&mut self, key: &SnapshotKey) -> Result<Option<Vec<u8>>, StoreError>;

    /// Forgets one; it may have been forgotten before.
    fn delete(&mut self, key: &SnapshotKey) -> Result<(), StoreError>;
}

impl<S: SnapshotStore + ?Sized> SnapshotStore for Box<S> {
    fn put(&mut self, key: &SnapshotKey, content: &dyn Content) -> Result<u64, StoreError> {
        (**self).put(key, content)
    }
    fn list(&mut self, task: &str) -> Result<Vec<SnapshotKey>, StoreError> {
        (**self).list(task)
    }
    fn get(&mut self, key: &SnapshotKey) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).get(key)
    }
    fn delete(&mut self, key: &SnapshotKey) -> Result<(), StoreError> {
        (**self).delete(key)
    }
}

/// Double the speed of zstd's own default, for a tenth more bytes: a snapshot is large, short-lived, and written beside the work.
const ZSTD_LEVEL: i32 = 1;

/// Writes the content compressed. The frame carries a checksum, so that damage is seen.
fn compress<W: Write>(content: &dyn Content, out: W) -> io::Result<W> {
    let mut encoder = zstd::Encoder::new(out, ZSTD_LEVEL)?;
    encoder.include_checksum(true)?;
    content.write_to(&mut encoder)?;
    encoder.finish()
}

/// The bytes that were compressed; `None` when they are not whole.
fn decompress(bytes: &[u8]) -> Option<Vec<u8>> {
    // No bytes at all would decode to no bytes at all.
    match bytes.is_empty() {
        true => None,
        false => zstd::decode_all(bytes).ok(),
    }
}

/// Newest first.
fn newest_first(mut keys: Vec<SnapshotKey>) -> Vec<SnapshotKey> {
    keys.sort_by(|a, b| b.offset.cmp(&a.offset).then_with(|| a.cmp(b)));
    keys
}

#[cfg(test)]
mod tests;
