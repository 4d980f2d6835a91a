//! One contract, three stores.

use super::*;
use crate::runtime::log::memory::Cluster;

fn key(task: &str, offset: i64) -> SnapshotKey {
    SnapshotKey {
        task: task.to_owned(),
        lineage: 7,
        offset,
    }
}

/// Bytes that do not compress, so that a large snapshot needs several chunks.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

fn keeps_what_it_is_given(store: &mut dyn SnapshotStore) {
    let large = noise(2_000_000);
    store.put(&key("job/in/0", 10), &b"ten".to_vec()).unwrap();
    store.put(&key("job/in/0", 200), &large).unwrap();
    store
        .put(&key("job/in/1", 30), &b"of another".to_vec())
        .unwrap();
    assert_eq!(
        store.list("job/in/0").unwrap(),
        [key("job/in/0", 200), key("job/in/0", 10)]
    );
    assert_eq!(store.get(&key("job/in/0", 200)).unwrap(), Some(large));
    assert_eq!(store.get(&key("job/in/0", 11)).unwrap(), None);
    store.put(&key("job/in/0", 10), &b"ten".to_vec()).unwrap();
    store.delete(&key("job/in/0", 200)).unwrap();
    store.delete(&key("job/in/0", 200)).unwrap();
    assert_eq!(store.list("job/in/0").unwrap(), [key("job/in/0", 10)]);
    assert_eq!(
        store.get(&key("job/in/0", 10)).unwrap(),
        Some(b"ten".to_vec())
    );
}

#[test]
fn every_store_keeps_what_it_is_given_and_forgets_what_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    keeps_what_it_is_given(&mut MemoryStore::new());
    keeps_what_it_is_given(&mut DirectoryStore::open(folder.path()).unwrap());
    let cluster = Cluster::new();
    keeps_what_it_is_given(&mut TopicStore::open(cluster.open("", ""), "snapshots").unwrap());
}

#[test]
fn a_file_cut_short_or_overwritten_is_not_a_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = DirectoryStore::open(folder.path()).unwrap();
    let key = key("job/in/0", 10);
    store.put(&key, &noise(1000)).unwrap();
    let file = folder
        .path()
        .join("job%2Fin%2F0")
        .join("0000000000000007-10.snapshot");
    let whole = std::fs::read(&file).unwrap();
    for at in 0..whole.len() {
        std::fs::write(&file, &whole[..at]).unwrap();
        assert_eq!(store.get(&key).unwrap(), None, "cut at {at}");
    }
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    std::fs::write(&file, &damaged).unwrap();
    assert_eq!(store.get(&key).unwrap(), None);
}

#[test]
fn chunks_without_a_manifest_are_no_snapshot_and_survive_compaction_with_one() {
    let cluster = Cluster::new();
    let mut store = TopicStore::open(cluster.open("", ""), "snapshots").unwrap();
    let key = key("job/in/0", 10);
    store.put(&key, &noise(1_000_000)).unwrap();
    store.put(&key, &noise(1_000_000)).unwrap();
    cluster.compact();
    let mut late = TopicStore::open(cluster.open("", ""), "snapshots").unwrap();
    assert_eq!(late.get(&key).unwrap(), Some(noise(1_000_000)));

    let other = Cluster::new();
    let mut torn = TopicStore::open(other.open("", ""), "snapshots").unwrap();
    for message in cluster.committed("snapshots") {
        let name = String::from_utf8_lossy(message.key.as_deref().unwrap()).into_owned();
        if !name.ends_with("manifest") {
            other
                .append(&crate::runtime::log::Outgoing {
                    topic: "snapshots".into(),
                    partition: None,
                    key: message.key.clone(),
                    payload: message.payload.clone(),
                    headers: Vec::new(),
                    timestamp_ms: None,
                })
                .unwrap();
        }
    }
    assert_eq!(torn.list("job/in/0").unwrap(), []);
    assert_eq!(torn.get(&key).unwrap(), None);
}
