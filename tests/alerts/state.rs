//! The state of a job's alerts, which lies in one partition with those of the other jobs: what another one has left open there hides it.

use crate::house::{House, event, job};
use std::time::Duration;
use tidewatch::config::AlertPolicy;
use tidewatch::runtime::alerts::AlertSettings;
use tidewatch::runtime::log::memory::{Break, MemoryLog};
use tidewatch::runtime::log::{
    Assignment, Handler, Log, Message, Outgoing, Revocation, TopicPartition, Transaction,
};
use tidewatch::runtime::service::{Service, Settings};

const STATE: &str = "tidewatch.alerts.state";

struct Deaf;

impl Handler for Deaf {
    fn assigned(&mut self, _: Vec<Assignment>) {}
    fn revoked(&mut self, _: &[TopicPartition], _: Revocation) {}
    fn batch(&mut self, _: &TopicPartition, messages: &mut dyn Iterator<Item = Message<'_>>) {
        messages.for_each(drop);
    }
}

/// Another job's instance has died in the midst of a transaction that holds its own state.
fn leave_open(house: &House) -> MemoryLog {
    let mut log = house.cluster.open("group.other", "dead");
    log.subscribe(&["events".to_owned()]).unwrap();
    log.poll(Duration::ZERO, &mut Deaf).unwrap();
    log.break_next_commit(Break::DieBefore);
    let state = Outgoing {
        topic: STATE.into(),
        partition: Some(0),
        key: Some(b"other".to_vec()),
        payload: Some(7u64.to_le_bytes().to_vec()),
        headers: Vec::new(),
        timestamp_ms: None,
    };
    let transaction = Transaction {
        messages: &[state],
        positions: &[],
    };
    log.commit(transaction).unwrap_err();
    log
}

fn start(house: &House) -> Service<MemoryLog> {
    let defaults = AlertPolicy {
        threshold: 0.0,
        resolve_below: 0.0,
        ..AlertPolicy::default()
    };
    let alerts = AlertSettings {
        defaults,
        ..AlertSettings::default()
    };
    let settings = Settings {
        alerts: Some(alerts),
        ..Settings::default()
    };
    house.start_with(job("1m", r#"{"idle_timeout":"1d","shards":2}"#), settings)
}

/// Ten events a minute, and a crowd in some of them.
fn send(house: &House, minutes: std::ops::Range<i64>) {
    for minute in minutes {
        let crowd = if minute % 10 == 9 { 300 } else { 10 };
        for number in 0..crowd {
            house.send(number % 2, &event(minute, "a"));
        }
    }
}

fn end(house: &House, topic: &str) -> i64 {
    (0..2)
        .map(|at| house.cluster.end(&TopicPartition::new(topic, at)))
        .sum()
}

fn breathe(house: &House, service: &mut Service<MemoryLog>, breaths: usize) {
    for _ in 0..breaths {
        house.clock.advance(100);
        service.breathe(Duration::ZERO).unwrap();
    }
}

/// A job whose state of alerts is hidden, begun again.
fn hidden() -> (House, Service<MemoryLog>) {
    let house = House::new(2);
    let mut service = start(&house);
    breathe(&house, &mut service, 5);
    let other = leave_open(&house);
    send(&house, 0..60);
    breathe(&house, &mut service, 200);
    assert!(end(&house, STATE) > 1, "there are alerts");
    house.cluster.evict(&service.into_log());
    drop(other);
    let service = start(&house);
    (house, service)
}

#[test]
fn whoever_writes_the_results_waits_for_a_hidden_state_and_nobody_else_does() {
    let (house, mut service) = hidden();
    send(&house, 60..80);
    let closed = end(&house, "tidewatch.j.closed");
    breathe(&house, &mut service, 50);
    assert!(house.diary.has("AlertStateAwaited"));
    assert!(!service.is_ready());
    assert!(
        end(&house, "tidewatch.j.closed") > closed,
        "the gatherers go on"
    );
    house.cluster.time_out_transactions();
    breathe(&house, &mut service, 50);
    assert!(service.is_ready(), "{}", service.describe());
    assert!(!house.diary.has("AlertStateUnusable"));
    let awaited = |entry: &&String| entry.starts_with("AlertStateAwaited");
    let entries = house.diary.0.lock().unwrap();
    assert_eq!(entries.iter().filter(awaited).count(), 1, "said once");
}

#[test]
fn a_state_that_stays_hidden_is_given_up_and_said_to_be() {
    let (house, mut service) = hidden();
    breathe(&house, &mut service, 190);
    assert!(!service.is_ready());
    breathe(&house, &mut service, 50);
    assert!(service.is_ready(), "{}", service.describe());
    assert!(house.diary.has("AlertStateUnusable"));
}
