//! Inputs that nobody waits for, and that have something to say when the others go on: it counts, whoever is read first.
//!
//! A partition with few events is idle most of the time. Its events stand in the log before those that close their buckets, whether they are read as they come,
//! or hours later, because the job was stopped: `detect` counts them, and so must the service.

#[path = "support/house.rs"]
mod house;

use house::{House, event, job};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tidewatch::engine::result::DocumentKind;
use tidewatch::runtime::log::memory::MemoryLog;
use tidewatch::runtime::service::{Service, Settings};

const PARTITIONS: i32 = 3;
/// The one with few events: the last to be read.
const SPARSE: i32 = 2;
const PLACEMENTS: [&str; 2] = [r#"{"shards":2}"#, r#"{"keyed_by_partition_field":true}"#];

fn send(house: &House, partition: i32, minute: i64) {
    house.send(partition, &event(minute, &format!("h{partition}")));
}

/// Events of each bucket, by its minute.
fn counts(house: &House) -> BTreeMap<i64, u64> {
    let stored = house.results(DocumentKind::Bucket);
    let payloads = stored.iter().filter_map(|stored| stored.payload.as_deref());
    let documents = payloads.map(|text| serde_json::from_slice::<Value>(text).unwrap());
    let count = |document: Value| {
        let minute = document["timestamp"].as_i64().unwrap() / house::MINUTE_MS;
        (minute, document["event_count"].as_u64().unwrap())
    };
    documents.map(count).collect()
}

fn breathe(services: &mut [Service<MemoryLog>], times: usize) {
    for _ in 0..times {
        for service in &mut *services {
            service.breathe(Duration::ZERO).unwrap();
        }
    }
}

/// One minute of each partition, then only of the busy ones, in time enough that nobody waits for the sparse one any more.
fn fall_idle(house: &House, services: &mut [Service<MemoryLog>], minutes: std::ops::Range<i64>) {
    for minute in minutes.clone() {
        for partition in 0..PARTITIONS {
            if partition != SPARSE || minute == minutes.start {
                send(house, partition, minute);
            }
        }
        for _ in 0..12 {
            house.clock.advance(2_000);
            breathe(services, 1);
        }
    }
    assert!(house.diary.has("Idle"), "the sparse one is idle");
}

fn settle(house: &House, services: &mut [Service<MemoryLog>]) {
    for _ in 0..100 {
        house.clock.advance(1_000);
        breathe(services, 1);
    }
}

fn settings() -> Settings {
    Settings {
        wake_ms: 2_000,
        ..Settings::default()
    }
}

/// Each minute of `whole` has an event of each partition in it.
fn assert_whole(house: &House, whole: std::ops::Range<i64>, what: &str) {
    assert!(!house.diary.has("LateForJudge"), "{what}: events came late");
    let counts = counts(house);
    for minute in whole {
        let count = counts.get(&minute).copied();
        assert_eq!(count, Some(3), "{what}: minute {minute}: {counts:?}");
    }
}

#[test]
fn an_idle_input_is_awake_before_what_is_read_with_it_closes_its_bucket() {
    for placement in PLACEMENTS {
        let house = House::new(PARTITIONS);
        let mut services = [house.start_with(job("1m", placement), settings())];
        fall_idle(&house, &mut services, 0..10);
        send(&house, SPARSE, 10);
        for minute in 10..13 {
            (0..SPARSE).for_each(|partition| send(&house, partition, minute));
        }
        settle(&house, &mut services);
        assert_whole(&house, 10..11, placement);
    }
}

#[test]
fn what_an_idle_input_got_while_nobody_read_is_not_late() {
    for (placement, is_graceful) in PLACEMENTS
        .into_iter()
        .flat_map(|one| [(one, true), (one, false)])
    {
        {
            let house = House::new(PARTITIONS);
            let start = || house.start_as("one", job("1m", placement), settings());
            let mut services = [start()];
            fall_idle(&house, &mut services, 0..10);
            let [mut service] = services;
            match is_graceful {
                true => service.finish().unwrap(),
                false => house.cluster.evict(&service.into_log()),
            }
            for minute in 10..40 {
                (0..PARTITIONS).for_each(|partition| send(&house, partition, minute));
            }
            let mut services = [start()];
            settle(&house, &mut services);
            assert_whole(
                &house,
                10..39,
                &format!("{placement}, graceful: {is_graceful}"),
            );
        }
    }
}
