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
    start_with(house, Settings::default())
}

fn start_with(house: &House, settings: Settings) -> Service<MemoryLog> {
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
        ..settings
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

/// In an outage of thousands of entities it is more than brokers take of one message.
#[test]
fn a_state_longer_than_a_message_is_written_in_several_and_a_successor_goes_on_from_it() {
    let told = |message_bytes_max: usize, dies: bool| {
        let house = House::new(1);
        let begin = || {
            let settings = Settings {
                message_bytes_max,
                ..Settings::default()
            };
            start_with(&house, settings)
        };
        let mut service = begin();
        for minute in 0..80 {
            for host in 0..60 {
                let crowd = if minute >= 30 && (minute + host) % 10 == 0 {
                    60
                } else {
                    3
                };
                let event = event(minute, &format!("host-{host}"));
                (0..crowd).for_each(|_| house.send(0, &event));
            }
            if minute % 7 == 0 {
                breathe(&house, &mut service, 30);
                if dies {
                    house.cluster.evict(&service.into_log());
                    service = begin();
                }
            }
        }
        house.settle(&mut service);
        assert!(!house.diary.has("AlertStateUnusable"));
        let notices = house.cluster.committed("tidewatch.alerts").into_iter();
        let notices: Vec<_> = notices
            .map(|notice| (notice.key.clone(), notice.payload.clone()))
            .collect();
        (notices, house.cluster.committed(STATE))
    };
    let (whole, states) = told(Settings::default().message_bytes_max, false);
    assert!(whole.len() > 100, "{}", whole.len());
    assert!(
        states
            .iter()
            .all(|state| state.key.as_deref() == Some(b"j"))
    );
    let (parted, states) = told(300, true);
    assert!(
        parted == whole,
        "{} notices of {}",
        parted.len(),
        whole.len()
    );
    let bytes = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
    let sizes = states
        .iter()
        .map(|state| bytes(&state.key) + bytes(&state.payload));
    assert!(sizes.max() <= Some(300));
    let is_third = |key: &[u8]| key == b"j#2";
    assert!(
        states
            .iter()
            .any(|state| state.key.as_deref().is_some_and(is_third))
    );
}
