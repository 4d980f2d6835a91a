//! Snapshots in memory: for tests and the demo. Clones share one store.

use super::{Content, SnapshotKey, SnapshotStore, StoreError, newest_first};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// A store that ends with the process.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    snapshots: Arc<Mutex<BTreeMap<SnapshotKey, Vec<u8>>>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SnapshotKey, Vec<u8>>> {
        self.snapshots
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl SnapshotStore for MemoryStore {
    fn put(&mut self, key: &SnapshotKey, content: &dyn Content) -> Result<u64, StoreError> {
        let mut bytes = Vec::new();
        content
            .write_to(&mut bytes)
            .expect("memory takes what is written");
        let size = bytes.len() as u64;
        self.lock().insert(key.clone(), bytes);
        Ok(size)
    }

    fn list(&mut self, task: &str) -> Result<Vec<SnapshotKey>, StoreError> {
        let of_task = |key: &&SnapshotKey| key.task == task;
        Ok(newest_first(
            self.lock().keys().filter(of_task).cloned().collect(),
        ))
    }

    fn get(&mut self, key: &SnapshotKey) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().get(key).cloned())
    }

    fn delete(&mut self, key: &SnapshotKey) -> Result<(), StoreError> {
        self.lock().remove(key);
        Ok(())
    }
}
