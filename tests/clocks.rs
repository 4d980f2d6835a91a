//! A clock that is set under a running service: by hours, forward and back. The service in memory; tests/simulation.rs sets it at random moments, and
//! tests/kafka/faults/clocks.rs sets that of the real binary.

#[path = "support/house.rs"]
mod house;

use house::{House, event, job};
use std::time::Duration;
use tidewatch::engine::result::DocumentKind;
use tidewatch::runtime::log::memory::MemoryLog;
use tidewatch::runtime::service::Service;

const HOUR_MS: i64 = 3_600_000;
const TEN_MINUTES: &str = r#"{"idle_timeout":"10m","shards":2}"#;

fn breathe(house: &House, service: &mut Service<MemoryLog>, seconds: i64) {
    for _ in 0..4 * seconds {
        house.clock.advance(250);
        service.breathe(Duration::ZERO).unwrap();
    }
}

/// All final buckets that are public, as they were written.
fn buckets(house: &House) -> Vec<String> {
    let stored = house.results(DocumentKind::Bucket);
    let text = |bytes: &Option<Vec<u8>>| {
        String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned()
    };
    stored.iter().map(|stored| text(&stored.payload)).collect()
}

/// Two partitions, one of them slower; the clock is set by so much after each of thirty minutes of events.
fn life(jump_ms: impl Fn(i64) -> i64) -> Vec<String> {
    let house = House::new(2);
    let mut service = house.start(job("1m", TEN_MINUTES));
    for minute in 0..30 {
        house.send(0, &event(minute, "a"));
        if minute >= 5 {
            house.send(1, &event(minute - 5, "b"));
        }
        breathe(&house, &mut service, 5);
        house.clock.jump(jump_ms(minute));
        breathe(&house, &mut service, 5);
    }
    assert!(
        !house.diary.has("Idle"),
        "nobody was silent for ten minutes"
    );
    assert!(!house.diary.has("LateForJudge"));
    buckets(&house)
}

#[test]
fn a_clock_that_is_set_changes_no_result() {
    let calm = life(|_| 0);
    assert!(calm.len() >= 20, "{}", calm.len());
    assert_eq!(life(|_| 7 * HOUR_MS), calm, "forward, again and again");
    assert_eq!(life(|_| -7 * HOUR_MS), calm, "back");
    assert_eq!(
        life(|minute| (minute % 3 - 1) * 30 * HOUR_MS),
        calm,
        "to and fro"
    );
}

#[test]
fn a_clock_set_back_holds_up_neither_results_nor_snapshots() {
    let house = House::new(2);
    let mut service = house.start(job("1m", TEN_MINUTES));
    breathe(&house, &mut service, 1);
    house.clock.jump(-1_000 * HOUR_MS);
    for minute in 0..20 {
        (0..2).for_each(|at| house.send(at, &event(minute, "a")));
    }
    breathe(&house, &mut service, 2);
    assert!(buckets(&house).len() >= 18, "{:?}", buckets(&house));
    // One is due five minutes after the last.
    breathe(&house, &mut service, 300);
    (0..2).for_each(|at| house.send(at, &event(20, "a")));
    breathe(&house, &mut service, 2);
    // Another thread writes it.
    while service.snapshots_in_the_making() > 0 {
        service.breathe(Duration::ZERO).unwrap();
        std::thread::yield_now();
    }
    assert!(
        house.diary.has("Snapshot {"),
        "{:?}",
        house.diary.0.lock().unwrap().last()
    );
}
