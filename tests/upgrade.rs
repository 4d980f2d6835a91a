//! Another build's snapshots, positions and messages: older ones are read, newer ones are neither passed over nor written over.
//!
//! `tests/formats/` holds what builds of each format have written, by its number. `UPDATE_FORMATS=1 cargo test --test upgrade` adds those of
//! the present one; files of formats that were ever released are never changed. A format that is given up moves to [`REPLAYED`]: its state is then
//! learnt again from the log.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tidewatch::config::Job;
use tidewatch::decode::Decoder;
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::engine::snapshot::{RestoreError, Snapshot};
use tidewatch::engine::wire::StageMessage;
use tidewatch::runtime::clock::{Clock, ManualClock};
use tidewatch::runtime::log::memory::{Cluster, MemoryLog};
use tidewatch::runtime::log::{Log, Outgoing};
use tidewatch::runtime::observer::Silent;
use tidewatch::runtime::service::{Service, ServiceError, Settings};
use tidewatch::runtime::store::{MemoryStore, SnapshotKey, SnapshotStore};

/// Formats of snapshots that this build reads no more.
const REPLAYED: [u16; 1] = [4];
/// The first format of stage messages that is read for ever.
const FIRST_RELEASED: u8 = 5;
const GROUP: &str = "group.j";
const HOUR_MS: i64 = 3_600_000;
const TASK: &str = "j/events/0";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/formats")
}

fn job(shards: u16) -> Arc<Job> {
    let text = format!(
        r#"{{"job_id":"j","analysis_config":{{"bucket_span":"1h","influencers":["host"],"detectors":[
            {{"function":"count","by_field_name":"status","partition_field_name":"host"}},
            {{"function":"high_mean","field_name":"ms","partition_field_name":"host"}}]}},
            "data_description":{{"time_field":"time","time_format":"epoch_ms"}},
            "datafeed_config":{{"indices":["events"]}},"tidewatch":{{"shards":{shards}}}}}"#
    );
    Arc::new(Job::from_text(&text, "test").expect("a valid job"))
}

/// The events of one hour, by a rule that never changes.
fn events(hour: i64) -> impl Iterator<Item = String> {
    (0..24).map(move |n| {
        let (host, status) = (n % 3, if (hour * 31 + n) % 11 == 0 { 500 } else { 200 });
        let ms = 50 + (hour % 24) + (hour * 7 + n * 13) % 17;
        let time = hour * HOUR_MS + n * 1000;
        format!(r#"{{"time":{time},"host":"h{host}","status":{status},"ms":{ms}}}"#)
    })
}

/// What is said of these hours.
fn go_on(pipeline: &mut Pipeline, job: &Job, hours: std::ops::Range<i64>) -> Vec<Output> {
    let mut decoder = Decoder::new(job);
    let mut said = Vec::new();
    for event in hours.flat_map(events) {
        decoder.payload(event.as_bytes(), None, &mut |decoded| {
            said.extend(pipeline.handle(Input::Event(decoded.expect("a good event"))));
        });
    }
    said
}

fn format_of(snapshot: &[u8]) -> u16 {
    u16::from_le_bytes([snapshot[4], snapshot[5]])
}

#[test]
fn a_snapshot_of_every_format_is_gone_on_from_or_known_to_be_replayed() {
    let job = job(1);
    let mut pipeline = Pipeline::new(Arc::clone(&job));
    let _ = go_on(&mut pipeline, &job, 0..60);
    let present = pipeline.snapshot();
    let name = |format: u16| folder().join(format!("snapshot-{format}.zst"));
    let format = format_of(present.as_bytes());
    if std::env::var_os("UPDATE_FORMATS").is_some() {
        let bytes = zstd::encode_all(present.as_bytes(), 19).unwrap();
        fs::write(name(format), bytes).unwrap();
    }
    assert!(
        name(format).exists(),
        "a new format: keep what it writes, UPDATE_FORMATS=1 cargo test --test upgrade"
    );
    let expected = go_on(&mut pipeline, &job, 60..80);
    assert!(expected.len() > 20);
    for found in 4..=format {
        let bytes = fs::read(name(found)).expect("a file of each format since 4");
        let snapshot = Snapshot::from_bytes(zstd::decode_all(bytes.as_slice()).unwrap());
        assert_eq!(format_of(snapshot.as_bytes()), found);
        match Pipeline::restore(Arc::clone(&job), &snapshot) {
            Ok(mut restored) => {
                assert!(!REPLAYED.contains(&found));
                let said = go_on(&mut restored, &job, 60..80);
                assert_eq!(said.len(), expected.len(), "format {found}");
            }
            Err(error) => {
                assert!(REPLAYED.contains(&found), "format {found}: {error}");
                assert_eq!(error, RestoreError::Older { found });
            }
        }
    }
}

#[test]
fn a_stage_message_of_every_format_is_read() {
    let house = House::new(2);
    let mut service = house.start(2);
    (0..3).flat_map(events).for_each(|event| house.send(&event));
    house.settle(&mut service);
    let present: Vec<Vec<u8>> = house
        .cluster
        .committed("tidewatch.j.closed")
        .iter()
        .filter_map(|message| message.payload.clone())
        .collect();
    let name = |format: u8| folder().join(format!("stage-messages-{format}.txt"));
    let format = present[0][0];
    let hex = |bytes: &Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    if std::env::var_os("UPDATE_FORMATS").is_some() {
        let lines: Vec<String> = present.iter().map(hex).collect();
        fs::write(name(format), lines.join("\n") + "\n").unwrap();
    }
    for found in FIRST_RELEASED..=format {
        let text = fs::read_to_string(name(found)).expect("a file of each format");
        let mut kinds = [0; 2];
        for line in text.lines() {
            let byte = |at: usize| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
            let bytes: Vec<u8> = (0..line.len()).step_by(2).map(byte).collect();
            assert_eq!(bytes[0], found);
            match StageMessage::decode(&bytes).expect("readable for ever") {
                StageMessage::Closed(bucket) => kinds[0] += bucket.series.len(),
                StageMessage::Watermark(_) => kinds[1] += 1,
                _ => {}
            }
        }
        assert!(kinds.iter().all(|&count| count > 0), "{kinds:?}");
    }
}

struct House {
    cluster: Cluster,
    clock: ManualClock,
    store: MemoryStore,
}

impl House {
    fn new(partitions: i32) -> House {
        let cluster = Cluster::new();
        cluster.create_topic("events", partitions);
        House {
            cluster,
            clock: ManualClock::at(0),
            store: MemoryStore::new(),
        }
    }

    fn append(&self, topic: &str, partition: i32, key: Option<Vec<u8>>, payload: Vec<u8>) {
        let message = Outgoing {
            topic: topic.into(),
            partition: Some(partition),
            key,
            payload: Some(payload),
            headers: Vec::new(),
            timestamp_ms: Some(0),
        };
        self.cluster.append(&message).unwrap();
    }

    fn send(&self, event: &str) {
        self.append("events", 0, None, event.into());
    }

    fn start(&self, shards: u16) -> Service<MemoryLog> {
        let log = self.cluster.open(GROUP, "one");
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let store = Box::new(self.store.clone());
        let settings = Settings::default();
        Service::start(log, store, clock, Arc::new(Silent), job(shards), settings).unwrap()
    }

    fn settle(&self, service: &mut Service<MemoryLog>) {
        for _ in 0..200 {
            self.clock.advance(1_000);
            service.breathe(Duration::ZERO).unwrap();
        }
    }

    /// What the service ends with, within a few breaths.
    fn refusal(&self, shards: u16) -> String {
        let mut service = self.start(shards);
        let refused = (0..50).find_map(|_| {
            self.clock.advance(1_000);
            service.breathe(Duration::ZERO).err()
        });
        service.into_log().leave().unwrap();
        match refused.expect("it is refused") {
            error @ ServiceError::Newer { .. } => error.to_string(),
            other => panic!("{other}"),
        }
    }

    fn snapshots(&self) -> Vec<(SnapshotKey, Vec<u8>)> {
        let mut store = self.store.clone();
        let keys = store.list(TASK).unwrap().into_iter();
        keys.map(|key| (key.clone(), store.get(&key).unwrap().unwrap()))
            .collect()
    }
}

/// The snapshot as a later build would have sealed it.
fn of_a_later_build(mut snapshot: Vec<u8>) -> Vec<u8> {
    let next = format_of(&snapshot) + 1;
    snapshot[4..6].copy_from_slice(&next.to_le_bytes());
    let end = snapshot.len() - 4;
    let checksum = crc32fast::hash(&snapshot[..end]);
    snapshot[end..].copy_from_slice(&checksum.to_le_bytes());
    snapshot
}

#[test]
fn a_downgrade_is_refused_with_a_sentence_and_nothing_is_touched() {
    let house = House::new(1);
    let mut service = house.start(1);
    (0..5).flat_map(events).for_each(|event| house.send(&event));
    house.settle(&mut service);
    service.finish().unwrap();
    let mut store = house.store.clone();
    for (key, bytes) in house.snapshots() {
        store.put(&key, &of_a_later_build(bytes)).unwrap();
    }
    let before = house.snapshots();
    assert!(!before.is_empty());
    let refusal = house.refusal(1);
    for part in [
        "events/0: snapshot j/events/0/",
        "snapshot format 6, and this build reads 5 at the most",
        "run that version or a later one",
        "delete the job's snapshots",
    ] {
        assert!(refusal.contains(part), "{part:?} is not in {refusal:?}");
    }
    assert!(house.snapshots() == before, "nothing is deleted or written");
    assert_eq!(
        house.refusal(1),
        refusal,
        "and so it stays, however often it is tried"
    );
}

#[test]
fn a_snapshot_of_a_format_given_up_is_replayed_to_the_same_state() {
    let house = House::new(1);
    let mut service = house.start(1);
    (0..5).flat_map(events).for_each(|event| house.send(&event));
    house.settle(&mut service);
    service.finish().unwrap();
    let whole = house.snapshots();
    let mut store = house.store.clone();
    for (key, mut bytes) in whole.clone() {
        bytes[4] = 1;
        let end = bytes.len() - 4;
        let checksum = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&checksum.to_le_bytes());
        store.put(&key, &bytes).unwrap();
    }
    let mut service = house.start(1);
    house.settle(&mut service);
    house.send(&events(5).next().unwrap());
    house.settle(&mut service);
    service.finish().unwrap();
    let calm = House::new(1);
    let mut service = calm.start(1);
    (0..5).flat_map(events).for_each(|event| calm.send(&event));
    calm.send(&events(5).next().unwrap());
    calm.settle(&mut service);
    service.finish().unwrap();
    assert!(house.snapshots()[0] == calm.snapshots()[0], "byte for byte");
}

#[test]
fn a_message_of_a_later_build_is_left_to_it_and_not_passed_over() {
    let house = House::new(2);
    let mut service = house.start(2);
    (0..3).flat_map(events).for_each(|event| house.send(&event));
    house.settle(&mut service);
    let closed = house.cluster.committed("tidewatch.j.closed");
    let of_old = closed.last().expect("a message");
    let mut payload = of_old.payload.clone().unwrap();
    payload[0] += 1;
    house.append("tidewatch.j.closed", 0, of_old.key.clone(), payload);
    let refused = (0..50).find_map(|_| {
        house.clock.advance(1_000);
        service.breathe(Duration::ZERO).err()
    });
    let refused = refused.expect("it is refused").to_string();
    assert!(
        refused.contains("tidewatch.j.closed/0, offset")
            && refused.contains("a stage message of format 6, and this build reads 5 at the most"),
        "{refused}"
    );
    service.into_log().leave().unwrap();
    assert_eq!(house.refusal(2), refused, "it stands where it stood");
}
