//! A snapshot store as unreliable as a seed wants it.

use super::draw::Draw;
use std::sync::{Arc, Mutex};
use tidewatch::runtime::store::{Content, SnapshotKey, SnapshotStore, StoreError};

/// Loses or damages one snapshot in `one_in`.
pub(crate) struct Unreliable {
    store: Box<dyn SnapshotStore + Send>,
    draw: Arc<Mutex<Draw>>,
    one_in: u64,
}

impl Unreliable {
    pub(crate) fn new(
        store: Box<dyn SnapshotStore + Send>,
        draw: Arc<Mutex<Draw>>,
        one_in: u64,
    ) -> Unreliable {
        Unreliable {
            store,
            draw,
            one_in,
        }
    }
}

impl SnapshotStore for Unreliable {
    fn put(&mut self, key: &SnapshotKey, content: &dyn Content) -> Result<u64, StoreError> {
        let mut draw = self.draw.lock().expect("no test panics while it draws");
        if !draw.one_in(self.one_in) {
            return self.store.put(key, content);
        }
        if draw.one_in(2) {
            return Err(StoreError {
                place: key.to_string(),
                cause: "simulated".to_owned(),
            });
        }
        let mut damaged = Vec::new();
        content
            .write_to(&mut damaged)
            .expect("memory takes what is written");
        let at = draw.range(0, damaged.len() as u64) as usize;
        damaged[at] ^= 1 << draw.range(0, 8);
        self.store.put(key, &damaged)
    }

    fn list(&mut self, task: &str) -> Result<Vec<SnapshotKey>, StoreError> {
        self.store.list(task)
    }

    fn get(&mut self, key: &SnapshotKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(key)
    }

    fn delete(&mut self, key: &SnapshotKey) -> Result<(), StoreError> {
        self.store.delete(key)
    }
}
