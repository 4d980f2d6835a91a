//! After a silence that nobody waits in, what comes for several partitions at once is judged whole, whichever of them is read first.
//!
//! A topic that is written to in batches, or one that is filled after the job was started: all partitions are idle, and the first to be read would be the only
//! one that is waited for. It would close the buckets of all, and what the others hold of them would come too late.

#[path = "support/house.rs"]
mod house;

use house::{House, event, job};
use std::ops::Range;
use std::time::Duration;
use tidewatch::runtime::clock::Clock;
use tidewatch::runtime::log::TopicPartition;
use tidewatch::runtime::log::memory::MemoryLog;
use tidewatch::runtime::service::{Service, Settings};

const PARTITIONS: i32 = 3;
const PLACEMENTS: [&str; 2] = [r#"{"shards":2}"#, r#"{"keyed_by_partition_field":true}"#];

/// Three events a minute, a partition each.
fn send(house: &House, minutes: Range<i64>) {
    for partition in 0..PARTITIONS {
        for minute in minutes.clone() {
            house.send(partition, &event(minute, &format!("h{partition}")));
        }
    }
}

/// Breathes until all of them have been silent for longer than they are waited for.
fn fall_idle(house: &House, services: &mut [Service<MemoryLog>]) {
    for _ in 0..60 {
        house.clock.advance(1_000);
        breathe(services);
    }
}

fn breathe(services: &mut [Service<MemoryLog>]) {
    for service in services {
        service.breathe(Duration::ZERO).unwrap();
    }
}

fn settings() -> Settings {
    Settings {
        wake_ms: 2_000,
        ..Settings::default()
    }
}

fn assert_whole(house: &House, batches: &[Range<i64>], what: &str) {
    assert!(!house.diary.has("LateForJudge"), "{what}: events came late");
    let counts = house.event_counts();
    // The last minute is open.
    let mut minutes: Vec<i64> = batches.iter().cloned().flatten().collect();
    minutes.pop();
    for minute in minutes {
        let count = counts.get(&minute).copied();
        assert_eq!(count, Some(3), "{what}: minute {minute}: {counts:?}");
    }
}

#[test]
fn batches_for_idle_partitions_are_judged_whole() {
    for placement in PLACEMENTS {
        let house = House::new(PARTITIONS);
        let mut services = [house.start(job("1m", placement))];
        fall_idle(&house, &mut services);
        // Into the empty topic, then one after another.
        let batches = [0..30, 40..70, 100..130];
        for batch in batches.clone() {
            send(&house, batch);
            fall_idle(&house, &mut services);
        }
        assert_whole(&house, &batches, placement);
    }
}

#[test]
fn batches_for_idle_partitions_of_two_instances_are_judged_whole_if_they_come_soon_one_after_another()
 {
    for placement in PLACEMENTS {
        let house = House::new(PARTITIONS);
        let start = |name| house.start_as(name, job("1m", placement), settings());
        let mut services = [start("one"), start("two")];
        fall_idle(&house, &mut services);
        for minute in 0..30 {
            house.send(0, &event(minute, "h0"));
        }
        house.clock.advance(1_000);
        breathe(&mut services);
        for partition in 1..PARTITIONS {
            (0..30)
                .for_each(|minute| house.send(partition, &event(minute, &format!("h{partition}"))));
        }
        fall_idle(&house, &mut services);
        assert_whole(&house, std::slice::from_ref(&(0..30)), placement);
    }
}

/// A loader that fills one partition after another.
#[test]
fn batches_for_idle_partitions_that_come_one_after_another_are_judged_whole() {
    for placement in PLACEMENTS {
        let house = House::new(8);
        let mut services = [house.start_with(job("1m", placement), settings())];
        fall_idle(&house, &mut services);
        for partition in 0..8 {
            (0..30).for_each(|minute| house.send(partition, &event(minute, "h")));
            for _ in 0..6 {
                house.clock.advance(250);
                breathe(&mut services);
            }
        }
        fall_idle(&house, &mut services);
        assert!(
            !house.diary.has("LateForJudge"),
            "{placement}: events came late"
        );
        let counts = house.event_counts();
        assert!(
            counts.len() == 29 && counts.values().all(|count| *count == 8),
            "{placement}: {counts:?}"
        );
    }
}

/// What the others have not is not waited for, and nobody is held for ever.
#[test]
fn one_of_three_idle_partitions_that_speaks_closes_buckets_by_itself() {
    let house = House::new(PARTITIONS);
    let mut services = [house.start_with(job("1m", PLACEMENTS[0]), settings())];
    fall_idle(&house, &mut services);
    (0..30).for_each(|minute| house.send(1, &event(minute, "h")));
    let began_ms = house.clock.steady_ms();
    while house.event_counts().len() < 29 {
        house.clock.advance(100);
        breathe(&mut services);
        let waited_ms = house.clock.steady_ms() - began_ms;
        assert!(waited_ms < 4_000, "{:?}", house.event_counts());
    }
}

/// Whoever stops before the others had their time says nothing of what it has read: it is read again.
#[test]
fn a_service_that_stops_while_inputs_wake_loses_nothing_of_those_it_has_not_read() {
    for is_graceful in [true, false] {
        let house = House::new(PARTITIONS);
        let start = || house.start_as("one", job("1m", PLACEMENTS[0]), settings());
        let mut services = [start()];
        fall_idle(&house, &mut services);
        (0..30).for_each(|minute| house.send(0, &event(minute, "h0")));
        breathe(&mut services);
        let [mut service] = services;
        match is_graceful {
            true => service.finish().unwrap(),
            false => house.cluster.evict(&service.into_log()),
        }
        for partition in 1..PARTITIONS {
            (0..30).for_each(|minute| {
                house.send(partition, &event(minute, &format!("h{partition}")));
            });
        }
        let mut services = [start()];
        fall_idle(&house, &mut services);
        assert_whole(
            &house,
            std::slice::from_ref(&(0..30)),
            "stopped while waking",
        );
    }
}

/// What was read and not committed can be gone when the partition is read again; the others do not wait for it for ever.
#[test]
fn an_input_that_was_called_awake_and_has_nothing_any_more_is_not_waited_for() {
    let house = House::new(PARTITIONS);
    let start = || house.start_as("one", job("1m", PLACEMENTS[0]), settings());
    let mut services = [start()];
    fall_idle(&house, &mut services);
    (0..30).for_each(|minute| house.send(0, &event(minute, "h0")));
    breathe(&mut services);
    let [service] = services;
    house.cluster.evict(&service.into_log());
    house
        .cluster
        .truncate(&TopicPartition::new("events", 0), 30);
    let mut services = [start()];
    fall_idle(&house, &mut services);
    (0..30).for_each(|minute| house.send(1, &event(minute, "h1")));
    fall_idle(&house, &mut services);
    assert_eq!(house.event_counts().len(), 29, "{:?}", house.event_counts());
}

/// Interim results that are due later than a silence is waited for are said with the last word, and do not call the partition back.
#[test]
fn an_input_that_falls_idle_before_its_interim_results_are_due_stays_idle() {
    for placement in [
        r#"{"shards":2,"idle_timeout":"10s","interim_interval":"1m"}"#,
        r#"{"keyed_by_partition_field":true,"idle_timeout":"10s","interim_interval":"1m"}"#,
    ] {
        let house = House::new(2);
        let mut services = [house.start_with(job("1m", placement), settings())];
        for _ in 0..2 {
            (0..2).for_each(|partition| house.send(partition, &event(0, &format!("h{partition}"))));
            for _ in 0..4 {
                house.clock.advance(250);
                breathe(&mut services);
            }
        }
        // One of them goes on until the interim results of the other are due, and longer.
        for step in 0..40 {
            house.send(0, &event(step / 6, "h0"));
            for _ in 0..4 {
                house.clock.advance(1_250);
                breathe(&mut services);
            }
        }
        let counts = house.event_counts();
        let minutes: Vec<i64> = counts.keys().copied().collect();
        assert_eq!(minutes, [0, 1, 2, 3, 4, 5], "{placement}: {counts:?}");
        assert_eq!(counts[&0], 10, "{placement}");
    }
}

/// What it adds to a bucket that the others have closed with what it had left there is late, and counted once, whatever it says of the bucket in between.
#[test]
fn what_an_input_adds_to_a_bucket_that_was_closed_without_it_is_counted_once() {
    for placement in PLACEMENTS {
        let house = House::new(2);
        let mut services = [house.start_with(job("1m", placement), settings())];
        (0..2).for_each(|partition| house.send(partition, &event(0, &format!("h{partition}"))));
        for minute in 0..3 {
            house.send(0, &event(minute, "h0"));
            fall_idle(&house, &mut services);
        }
        assert_eq!(house.event_counts().get(&0), Some(&3), "{placement}");
        for _ in 0..3 {
            house.send(1, &event(0, "h1"));
            for _ in 0..12 {
                house.clock.advance(1_000);
                breathe(&mut services);
            }
        }
        house.send(1, &event(9, "h1"));
        fall_idle(&house, &mut services);
        let entries = house.diary.0.lock().unwrap().clone();
        let late = entries.iter().filter_map(|entry| {
            let (_, events) = entry.strip_prefix("LateForJudge")?.split_once("events: ")?;
            events.trim_end_matches([' ', '}']).parse::<u64>().ok()
        });
        assert_eq!(late.sum::<u64>(), 3, "{placement}");
    }
}
