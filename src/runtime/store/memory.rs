//! Snapshots in memory: for tests and the demo. Clones share one store.

use super::{SnapshotKey, SnapshotStore, StoreError, newest_first};
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
    fn put(&mut self, key: &SnapshotKey, bytes: &[u8]) -> Result<(), StoreError> {
        self.lock().insert(key.clone(), bytes.to_vec());
        Ok(())
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
