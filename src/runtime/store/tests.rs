//! One contract, three stores.

use super::*;
use crate::runtime::log::memory::Cluster;
use std::io::{self, Write};

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

/// Bytes that begin as a snapshot of a format does, and do not compress.
fn snapshot(format: u16) -> Vec<u8> {
    let mut bytes = b"TWSN".to_vec();
    bytes.extend(format.to_le_bytes());
    bytes.extend(noise(2_000_000));
    bytes
}

#[test]
fn an_inventory_has_every_task_with_size_and_format_and_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("snapshots");
    assert!(inventory::directory(&root).is_err() && !root.exists());
    let cluster = Cluster::new();
    let mut log = cluster.open("", "");
    let absent = inventory::topic(&mut log, "snapshots").unwrap_err();
    assert_eq!(
        absent.to_string(),
        "snapshot store, topic snapshots: does not exist"
    );

    let mut directory = DirectoryStore::open(&root).unwrap();
    let mut topic = TopicStore::open(cluster.open("", ""), "snapshots").unwrap();
    let stores: [&mut dyn SnapshotStore; 2] = [&mut directory, &mut topic];
    for store in stores {
        store.put(&key("job/in/10", 7), &snapshot(3)).unwrap();
        store.put(&key("job/in/9", 8), &snapshot(4)).unwrap();
        store.put(&key("job/in/9", 30), &snapshot(5)).unwrap();
        store
            .put(&key("other/in/0", 1), &b"no snapshot".to_vec())
            .unwrap();
        store.put(&key("other/in/0", 2), &b"gone".to_vec()).unwrap();
        store.delete(&key("other/in/0", 2)).unwrap();
    }
    for all in [
        inventory::directory(&root).unwrap(),
        inventory::topic(&mut log, "snapshots").unwrap(),
    ] {
        let told: Vec<_> = all
            .iter()
            .map(|one| (one.key.clone(), one.format))
            .collect();
        let expected = [
            (key("job/in/9", 30), Some(5)),
            (key("job/in/9", 8), Some(4)),
            (key("job/in/10", 7), Some(3)),
            (key("other/in/0", 1), None),
        ];
        assert_eq!(told, expected);
        assert!(all[..3].iter().all(|one| one.bytes >= 2_000_000), "{all:?}");
        assert_eq!(all[0].task(), Some(("job", "in", 9)));
    }
    let first = &inventory::directory(&root).unwrap()[0];
    assert!(first.stored_ms > Some(1_700_000_000_000), "{first:?}");
}

/// Content of which the disk takes only the beginning.
struct TooMuch;

impl Content for TooMuch {
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&noise(3_000_000))?;
        Err(io::ErrorKind::StorageFull.into())
    }
}

#[test]
fn what_does_not_fit_is_told_and_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new();
    let stores: [Box<dyn SnapshotStore>; 2] = [
        Box::new(DirectoryStore::open(folder.path()).unwrap()),
        Box::new(TopicStore::open(cluster.open("", ""), "snapshots").unwrap()),
    ];
    for mut store in stores {
        store.put(&key("job/in/0", 10), &b"ten".to_vec()).unwrap();
        for offset in [10, 20] {
            let error = store.put(&key("job/in/0", offset), &TooMuch).unwrap_err();
            assert!(error.to_string().contains("no storage space"), "{error}");
        }
        assert_eq!(store.list("job/in/0").unwrap(), [key("job/in/0", 10)]);
        let kept = store.get(&key("job/in/0", 10)).unwrap();
        assert_eq!(kept, Some(b"ten".to_vec()));
    }
    let files = std::fs::read_dir(folder.path().join("job%2Fin%2F0")).unwrap();
    assert_eq!(files.count(), 1, "no half-written file stays");
}

#[test]
fn what_a_killed_process_had_begun_is_cleared_away_and_what_a_living_one_writes_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = DirectoryStore::open(folder.path()).unwrap();
    store.put(&key("job/in/0", 10), &b"ten".to_vec()).unwrap();
    let draft = |name: &str| folder.path().join("job%2Fin%2F0").join(name);
    let (old, young) = (
        draft("0000000000000007-20.draft-1"),
        draft("0000000000000007-30.draft-2"),
    );
    std::fs::write(&old, "half").unwrap();
    std::fs::write(&young, "half").unwrap();
    let day = std::time::Duration::from_secs(86_400);
    let written = std::fs::metadata(&old).unwrap().modified().unwrap() - 2 * day;
    let file = std::fs::File::options().write(true).open(&old).unwrap();
    file.set_modified(written).unwrap();
    store.put(&key("job/in/0", 40), &b"x".to_vec()).unwrap();
    assert!(!old.exists() && young.exists());
}

/// Content during whose writing another instance, whose process has the same number, writes the same.
struct WrittenTwice<'a>(&'a std::path::Path);

impl Content for WrittenTwice<'_> {
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let whole = noise(1_000_000);
        out.write_all(&whole[..500_000])?;
        let mut other = DirectoryStore::open(self.0).unwrap();
        other.put(&key("job/in/0", 10), &whole).unwrap();
        assert_eq!(
            other.get(&key("job/in/0", 10)).unwrap(),
            Some(whole.clone())
        );
        out.write_all(&whole[500_000..])
    }
}

#[test]
fn two_containers_that_write_one_file_at_a_time_both_write_it_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = DirectoryStore::open(folder.path()).unwrap();
    store
        .put(&key("job/in/0", 10), &WrittenTwice(folder.path()))
        .unwrap();
    let stored = store.get(&key("job/in/0", 10)).unwrap();
    assert_eq!(stored, Some(noise(1_000_000)));
    let files = std::fs::read_dir(folder.path().join("job%2Fin%2F0")).unwrap();
    assert_eq!(files.count(), 1);
}

/// Content whose writer ends after the first chunks were published.
struct Torn;

impl Content for Torn {
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&noise(9_000_000))?;
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

/// A compacted topic forgets nothing by itself: with each process that was killed while it wrote, its chunks stayed for good.
#[test]
fn chunks_that_nobody_finished_are_deleted_when_a_later_snapshot_is_safe() {
    let cluster = Cluster::new();
    let mut torn = TopicStore::open(cluster.open("", ""), "snapshots").unwrap();
    torn.put(&key("job/in/0", 20), &Torn).unwrap_err();
    torn.put(&key("job/in/0", 40), &Torn).unwrap_err();
    torn.put(&key("other/in/0", 5), &Torn).unwrap_err();
    let mut store = TopicStore::open(cluster.open("", ""), "snapshots").unwrap();
    store.put(&key("job/in/0", 30), &noise(2_000_000)).unwrap();
    store.put(&key("job/in/0", 35), &b"x".to_vec()).unwrap();
    cluster.compact();
    let held: std::collections::BTreeSet<String> = cluster
        .committed("snapshots")
        .iter()
        .filter(|message| message.payload.is_some())
        .map(|message| String::from_utf8_lossy(message.key.as_deref().unwrap()).into_owned())
        .map(|name| {
            name.split_once('#')
                .unwrap()
                .0
                .replace("/0000000000000007/", "@")
        })
        .collect();
    let expected = ["job/in/0@30", "job/in/0@35", "job/in/0@40", "other/in/0@5"];
    assert_eq!(held, expected.map(str::to_owned).into());
    let mut late = TopicStore::open(cluster.open("", ""), "snapshots").unwrap();
    let whole = late.get(&key("job/in/0", 30)).unwrap();
    assert_eq!(whole, Some(noise(2_000_000)));
    // One that was begun and is finished after all is a snapshot.
    late.put(&key("job/in/0", 40), &b"forty".to_vec()).unwrap();
    assert_eq!(
        store.get(&key("job/in/0", 40)).unwrap(),
        Some(b"forty".to_vec())
    );
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
