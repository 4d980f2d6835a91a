//! Inputs that nobody waits for, and that have something to say when the others go on: it counts, whoever is read first.
//!
//! A partition with few events is idle most of the time. Its events stand in the log before those that close their buckets, whether they are read as they come,
//! or hours later, because the job was stopped: `detect` counts them, and so must the service.

#[path = "support/house.rs"]
mod house;

use house::{GROUP, House, MINUTE_MS, event};
use serde_json::Value;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tidewatch::config::Job;
use tidewatch::engine::result::DocumentKind;
use tidewatch::runtime::clock::{Clock, ManualClock};
use tidewatch::runtime::log::memory::{Break, MemoryLog};
use tidewatch::runtime::log::{
    Assignment, Handler, Log, Message, Outgoing, Revocation, TopicPartition, Transaction,
};
use tidewatch::runtime::observer::Observer;
use tidewatch::runtime::service::{Service, Settings};
use tidewatch::runtime::store::{Content, MemoryStore, SnapshotKey, SnapshotStore, StoreError};

const PARTITIONS: i32 = 3;
/// Staged, keyed, and gathered in one place, in one order.
const PLACEMENTS: [&str; 3] = [
    r#"{"shards":2}"#,
    r#"{"keyed_by_partition_field":true}"#,
    CATEGORIES,
];
const CATEGORIES: &str = "categories";

fn job(placement: &str) -> Arc<Job> {
    if placement != CATEGORIES {
        return house::job("1m", placement);
    }
    by_categories("{}")
}

fn by_categories(extensions: &str) -> Arc<Job> {
    let text = format!(
        r#"{{"job_id":"j","analysis_config":{{"bucket_span":"1m","categorization_field_name":"host",
        "detectors":[{{"function":"count","by_field_name":"mlcategory"}}]}},
        "data_description":{{"time_field":"time","time_format":"epoch_ms"}},"datafeed_config":{{"indices":["events"]}},"tidewatch":{extensions}}}"#
    );
    Arc::new(Job::from_text(&text, "test").unwrap())
}

/// The same, with results that late events re-open.
fn revised(placement: &str) -> Arc<Job> {
    let window = r#"{"late_revision_window":"30m""#;
    match placement {
        CATEGORIES => by_categories(&format!("{window}}}")),
        _ => house::job("1m", &placement.replacen('{', &format!("{window},"), 1)),
    }
}

fn send(house: &House, partition: i32, minute: i64) {
    house.send(partition, &event(minute, &format!("h{partition}")));
}

fn breathe(services: &mut [Service<MemoryLog>], times: usize) {
    for _ in 0..times {
        for service in &mut *services {
            service.breathe(Duration::ZERO).unwrap();
        }
    }
}

/// Ten minutes of the busy partition alone, in time enough that nobody waits for the others any more.
fn fall_idle(house: &House, services: &mut [Service<MemoryLog>], busy: i32) {
    for minute in 0..10 {
        send(house, busy, minute);
        for _ in 0..12 {
            house.clock.advance(2_000);
            breathe(services, 1);
        }
    }
    assert!(house.diary.has("Idle"), "the others are idle");
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

/// Each minute of `whole` has so many events.
fn assert_whole(house: &House, whole: Range<i64>, events: u64, what: &str) {
    assert!(!house.diary.has("LateForJudge"), "{what}: events came late");
    let counts = house.event_counts();
    for minute in whole {
        let count = counts.get(&minute).copied();
        assert_eq!(count, Some(events), "{what}: minute {minute}: {counts:?}");
    }
}

#[test]
fn an_idle_input_is_awake_before_what_is_read_with_it_closes_its_bucket() {
    for placement in PLACEMENTS {
        let house = House::new(PARTITIONS);
        let mut services = [house.start_with(job(placement), settings())];
        (0..PARTITIONS).for_each(|partition| send(&house, partition, 0));
        fall_idle(&house, &mut services, 0);
        (1..PARTITIONS).for_each(|partition| send(&house, partition, 10));
        (10..13).for_each(|minute| send(&house, 0, minute));
        settle(&house, &mut services);
        assert_whole(&house, 10..11, 3, placement);
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
            let start = || house.start_as("one", job(placement), settings());
            let mut services = [start()];
            (0..PARTITIONS).for_each(|partition| send(&house, partition, 0));
            fall_idle(&house, &mut services, 0);
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
                3,
                &format!("{placement}, graceful: {is_graceful}"),
            );
        }
    }
}

/// A member of the group that has been assigned its partitions, and has not come to do anything with them.
struct Deaf;

impl Handler for Deaf {
    fn assigned(&mut self, _: Vec<Assignment>) {}
    fn revoked(&mut self, _: &[TopicPartition], _: Revocation) {}
    fn batch(&mut self, _: &TopicPartition, messages: &mut dyn Iterator<Item = Message<'_>>) {
        messages.for_each(drop);
    }
}

/// What three partitions got while nobody read is whole, though an instance comes to its partitions `later_ms` after the other.
fn assert_whole_though_one_is_late(placement: &str, is_graceful: bool, later_ms: i64) {
    let house = House::new(PARTITIONS);
    let start = |name| house.start_as(name, job(placement), settings());
    let mut services = [start("one")];
    (0..PARTITIONS).for_each(|partition| send(&house, partition, 0));
    fall_idle(&house, &mut services, 1);
    let [mut service] = services;
    let topics = service.plan().subscription();
    match is_graceful {
        true => service.finish().unwrap(),
        false => house.cluster.evict(&service.into_log()),
    }
    for minute in 10..40 {
        (0..PARTITIONS).for_each(|partition| send(&house, partition, minute));
    }
    let mut deaf = house.cluster.open(GROUP, "two");
    deaf.subscribe(&topics).unwrap();
    let mut services = [start("one")];
    for _ in 0..later_ms / 100 {
        house.clock.advance(100);
        deaf.poll(Duration::ZERO, &mut Deaf).unwrap();
        breathe(&mut services, 1);
    }
    deaf.leave().unwrap();
    let [one] = services;
    let mut services = [start("two"), one];
    settle(&house, &mut services);
    let what = format!("{placement}, graceful: {is_graceful}, {later_ms} ms later");
    assert_whole(&house, 10..39, 3, &what);
}

/// Instances that start together do not come to their partitions at the same moment.
#[test]
fn what_an_idle_input_of_an_instance_that_starts_somewhat_later_got_meanwhile_is_not_late() {
    for placement in PLACEMENTS {
        assert_whole_though_one_is_late(placement, true, 1_500);
        assert_whole_though_one_is_late(placement, false, 1_500);
    }
}

#[test]
fn nor_is_it_when_that_one_starts_much_later() {
    for placement in PLACEMENTS {
        assert_whole_though_one_is_late(placement, true, 60_000);
        assert_whole_though_one_is_late(placement, false, 20_000);
    }
}

/// A store that takes its time.
#[derive(Clone)]
struct Slow(MemoryStore, ManualClock);

impl SnapshotStore for Slow {
    fn put(&mut self, key: &SnapshotKey, content: &dyn Content) -> Result<u64, StoreError> {
        self.0.put(key, content)
    }
    fn get(&mut self, key: &SnapshotKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.1.advance(3_000);
        self.0.get(key)
    }
    fn list(&mut self, task: &str) -> Result<Vec<SnapshotKey>, StoreError> {
        self.0.list(task)
    }
    fn delete(&mut self, key: &SnapshotKey) -> Result<(), StoreError> {
        self.0.delete(key)
    }
}

/// Of two topics one has few events, and is restored after the judges, whose models take their time.
#[test]
fn an_idle_input_is_waited_for_while_it_is_still_to_be_restored() {
    let house = House::new(1);
    house.cluster.create_topic("web", 1);
    let text = r#"{"job_id":"j","analysis_config":{"bucket_span":"1m","detectors":[{"function":"count"}]},
        "data_description":{"time_field":"time","time_format":"epoch_ms"},"datafeed_config":{"indices":["events","web"]}}"#;
    let job = || Arc::new(Job::from_text(text, "test").unwrap());
    let send_web = |minute| {
        let message = Outgoing {
            topic: "web".into(),
            partition: Some(0),
            key: None,
            payload: Some(event(minute, "w").into()),
            headers: Vec::new(),
            timestamp_ms: Some(0),
        };
        house.cluster.append(&message).unwrap();
    };
    let mut services = [house.start_as("one", job(), settings())];
    send_web(0);
    fall_idle(&house, &mut services, 0);
    let [mut service] = services;
    service.finish().unwrap();
    for minute in 10..40 {
        send(&house, 0, minute);
        send_web(minute);
    }
    let diary: Arc<dyn Observer> = house.diary.clone();
    let slow = Slow(house.store.clone(), house.clock.clone());
    let log = house.cluster.open(GROUP, "one");
    let clock: Arc<dyn Clock> = Arc::new(house.clock.clone());
    let service = Service::start(log, Box::new(slow), clock, diary, job(), settings());
    let mut services = [service.unwrap()];
    settle(&house, &mut services);
    assert_whole(&house, 10..39, 2, "a slow store");
}

/// What is idle and has got nothing holds nobody up after a restart.
#[test]
fn an_idle_input_that_has_got_nothing_is_not_waited_for_after_a_restart() {
    let house = House::new(PARTITIONS);
    let start = || house.start_as("one", job(PLACEMENTS[0]), settings());
    let mut services = [start()];
    fall_idle(&house, &mut services, 0);
    let [mut service] = services;
    service.finish().unwrap();
    (10..12).for_each(|minute| send(&house, 0, minute));
    let mut services = [start()];
    let began_ms = house.clock.steady_ms();
    while !house.event_counts().contains_key(&10) {
        house.clock.advance(100);
        breathe(&mut services, 1);
        let waited_ms = house.clock.steady_ms() - began_ms;
        assert!(waited_ms < 4_000, "{:?}", house.event_counts());
    }
}

/// What is no event says nothing of the time: neither a tombstone nor a message that cannot be read keeps the others waiting.
#[test]
fn an_input_that_gets_messages_and_no_events_is_not_waited_for() {
    for (placement, payload) in PLACEMENTS
        .into_iter()
        .flat_map(|placement| [(placement, None), (placement, Some("no event"))])
    {
        let house = House::new(2);
        let mut services = [house.start_with(job(placement), settings())];
        (0..2).for_each(|partition| house.send(partition, &event(0, &format!("h{partition}"))));
        for minute in 0..30 {
            house.send(0, &event(minute, "h0"));
            for _ in 0..3 {
                let message = Outgoing {
                    topic: "events".into(),
                    partition: Some(1),
                    key: Some(b"k".to_vec()),
                    payload: payload.map(|text| text.as_bytes().to_vec()),
                    headers: Vec::new(),
                    timestamp_ms: Some(0),
                };
                house.cluster.append(&message).unwrap();
                for _ in 0..4 {
                    house.clock.advance(500);
                    breathe(&mut services, 1);
                }
            }
        }
        let counts = house.event_counts();
        assert!(counts.len() >= 28, "{placement}, {payload:?}: {counts:?}");
        // When it speaks again, it counts.
        house.send(1, &event(40, "h1"));
        house.send(0, &event(40, "h0"));
        settle(&house, &mut services);
        house.send(0, &event(41, "h0"));
        settle(&house, &mut services);
        assert_eq!(house.event_counts().get(&40), Some(&2), "{placement}");
    }
}

/// A device that was out of reach sends all that it has kept: where late events re-open results, these do.
#[test]
fn what_an_idle_input_says_of_closed_buckets_corrects_them_where_late_events_do() {
    for placement in PLACEMENTS {
        let house = House::new(2);
        let mut services = [house.start_with(revised(placement), settings())];
        for minute in 0..3 {
            (0..2).for_each(|partition| send(&house, partition, minute));
        }
        for minute in 3..12 {
            send(&house, 0, minute);
            settle(&house, &mut services);
        }
        assert_eq!(house.event_counts().get(&8), Some(&1), "{placement}");
        (3..13).for_each(|minute| send(&house, 1, minute));
        settle(&house, &mut services);
        (12..16).for_each(|minute| send(&house, 0, minute));
        send(&house, 1, 15);
        settle(&house, &mut services);
        // Of the last one nothing has been said yet when it comes.
        assert_whole(&house, 0..13, 2, placement);
        // And once more, of one that was corrected.
        (0..2).for_each(|partition| send(&house, partition, 16));
        send(&house, 1, 8);
        (17..19).for_each(|minute| (0..2).for_each(|partition| send(&house, partition, minute)));
        settle(&house, &mut services);
        assert_whole(&house, 8..9, 3, placement);
        let counts = house
            .results(DocumentKind::Bucket)
            .into_iter()
            .filter_map(|stored| {
                let document: Value = serde_json::from_slice(stored.payload.as_deref()?).ok()?;
                let minute = document["timestamp"].as_i64()? / MINUTE_MS;
                (minute == 8).then(|| document["late_event_count"].as_u64().unwrap_or(0))
            });
        let mut counts: Vec<u64> = counts.collect();
        counts.dedup();
        assert_eq!(counts, [0, 1, 2], "{placement}");
    }
}

/// A keyed partition says the whole bucket again; where categories are, its new events are all there is to say.
#[test]
fn what_an_idle_input_adds_to_a_bucket_that_it_had_left_open_corrects_it_in_all_placements_but_one()
{
    for placement in &PLACEMENTS[1..] {
        let house = House::new(2);
        let mut services = [house.start_with(revised(placement), settings())];
        (0..2).for_each(|partition| (0..3).for_each(|minute| send(&house, partition, minute)));
        for minute in 3..6 {
            send(&house, 0, minute);
            settle(&house, &mut services);
        }
        assert_eq!(house.event_counts().get(&2), Some(&2), "{placement}");
        for minute in [2, 2, 7] {
            send(&house, 1, minute);
            settle(&house, &mut services);
        }
        (7..10).for_each(|minute| send(&house, 0, minute));
        settle(&house, &mut services);
        assert_whole(&house, 2..3, 4, placement);
    }
}

/// Whoever begins beside idle inputs of another instance waits for them no longer than it takes to be there, unless they have got something: ends of transactions are nothing.
#[test]
fn an_instance_that_begins_beside_idle_inputs_that_have_got_nothing_goes_on_at_once() {
    for is_aborted in [false, true] {
        let house = House::new(PARTITIONS);
        let start = |name| house.start_as(name, job(PLACEMENTS[0]), settings());
        let mut services = [start("one")];
        (0..PARTITIONS).for_each(|partition| send(&house, partition, 0));
        fall_idle(&house, &mut services, 1);
        let [service] = services;
        let topics = service.plan().subscription();
        house.cluster.evict(&service.into_log());
        if is_aborted {
            let mut sender = house.cluster.open("senders", "sender");
            sender.subscribe(&["events".to_owned()]).unwrap();
            sender.poll(Duration::ZERO, &mut Deaf).unwrap();
            sender.break_next_commit(Break::Abort);
            let messages = [0, 2].map(|partition| Outgoing {
                topic: "events".into(),
                partition: Some(partition),
                key: None,
                payload: Some(event(10, "h").into()),
                headers: Vec::new(),
                timestamp_ms: None,
            });
            let transaction = Transaction {
                messages: &messages,
                positions: &[],
            };
            assert!(sender.commit(transaction).is_err());
        }
        let mut deaf = house.cluster.open(GROUP, "two");
        deaf.subscribe(&topics).unwrap();
        let mut services = [start("one")];
        house.diary.clear();
        for _ in 0..40 {
            house.clock.advance(100);
            deaf.poll(Duration::ZERO, &mut Deaf).unwrap();
            breathe(&mut services, 1);
        }
        let assigned = house.diary.assigned();
        assert!(
            (1..PARTITIONS as usize).contains(&assigned.len()),
            "{assigned:?}"
        );
        assert!(house.diary.has("Committed"), "aborted: {is_aborted}");
    }
}
