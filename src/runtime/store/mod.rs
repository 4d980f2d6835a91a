//! Where snapshots live.
//!
//! A snapshot is named by its task, the lineage of the task's configuration and the offset that it stands at: the state after every message before
//! that offset. Equal names mean equal bytes (the engine is deterministic), so it does not matter who writes one last. Holds for every
//! store: `get` gives exactly what was put, or nothing; a snapshot half written does not exist.

mod directory;
mod memory;
mod topic;

pub use directory::DirectoryStore;
pub use memory::MemoryStore;
pub use topic::TopicStore;

use std::fmt;

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

/// Keeps snapshots.
pub trait SnapshotStore {
    /// Stores one; when this returns it is safe.
    fn put(&mut self, key: &SnapshotKey, bytes: &[u8]) -> Result<(), StoreError>;

    /// The snapshots of a task, of any lineage, the largest offset first.
    fn list(&mut self, task: &str) -> Result<Vec<SnapshotKey>, StoreError>;

    /// The bytes of one; `None` when it is not there, or not whole.
    fn get(&mut self, key: &SnapshotKey) -> Result<Option<Vec<u8>>, StoreError>;

    /// Forgets one; it may have been forgotten before.
    fn delete(&mut self, key: &SnapshotKey) -> Result<(), StoreError>;
}

impl<S: SnapshotStore + ?Sized> SnapshotStore for Box<S> {
    fn put(&mut self, key: &SnapshotKey, bytes: &[u8]) -> Result<(), StoreError> {
        (**self).put(key, bytes)
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

/// Newest first.
fn newest_first(mut keys: Vec<SnapshotKey>) -> Vec<SnapshotKey> {
    keys.sort_by(|a, b| b.offset.cmp(&a.offset).then_with(|| a.cmp(b)));
    keys
}

#[cfg(test)]
mod tests;
