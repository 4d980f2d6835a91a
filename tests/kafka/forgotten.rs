//! Members whom their group has forgotten while they were asked for a partition: whatever they held has been another's since.

use crate::broker::broker;
use crate::client::{produce, topic, unique};
use crate::log::{Notes, PATIENCE, kafka, poll_until, position, settings};
use std::time::{Duration, Instant};
use tidewatch::runtime::kafka::KafkaLog;
use tidewatch::runtime::log::{CommitError, Log, TopicPartition, Transaction};

fn commit(
    log: &mut KafkaLog,
    at: &TopicPartition,
    offset: i64,
    word: &str,
) -> Result<(), CommitError> {
    log.commit(Transaction {
        messages: &[],
        positions: &[(at.clone(), position(offset, word))],
    })
}

/// Where the group wants one partition back, and nobody polls until it has given all of them to another.
fn nothing_is_committed_of_what_was_held(properties: &[(&str, &str)], is_static: bool) {
    let (input, group) = (topic("forgotten", 2), unique("group"));
    let join = |instance: &str| {
        let mut kafka = kafka(&group, instance);
        kafka.properties = [("bootstrap.servers", broker().address.as_str())]
            .iter()
            .chain(properties)
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        if is_static {
            let name = "group.instance.id".to_owned();
            kafka.properties.insert(name, instance.to_owned());
        }
        let mut log = KafkaLog::open(&kafka, &settings()).unwrap();
        log.subscribe(std::slice::from_ref(&input)).unwrap();
        log
    };
    produce(&input, (0..20).map(|i| (i % 2, format!("{i}"))));
    let (mut first, mut notes) = (join("a"), Notes::default());
    poll_until(&mut first, &mut notes, "assignment", |_, notes| {
        notes.assigned.len() == 2
    });
    let mut held: Vec<TopicPartition> = notes.assigned.iter().map(|one| one.at.clone()).collect();
    for at in &held {
        first.seek(at, 0).unwrap();
    }
    poll_until(&mut first, &mut notes, "messages", |_, notes| {
        notes.total() == 20
    });
    let (mut second, mut others) = (join("b"), Notes::default());
    poll_until(&mut second, &mut others, "all of it", |_, others| {
        others.assigned.len() == 2
    });
    for at in &held {
        commit(&mut second, at, 9, "the second's").unwrap();
    }
    notes.assigned.clear();
    notes.revoked.clear();
    let deadline = Instant::now() + PATIENCE;
    while notes.assigned.is_empty() {
        assert!(Instant::now() < deadline, "the first was assigned nothing");
        first.poll(Duration::from_millis(20), &mut notes).unwrap();
        if notes.assigned.is_empty() {
            for at in &held {
                let outcome = commit(&mut first, at, 7, "stale");
                assert!(outcome.is_err(), "{at} is another's: {:?}", notes.revoked);
            }
        }
        for (at, _) in &notes.revoked {
            held.retain(|held| held != at);
        }
        second.poll(Duration::from_millis(20), &mut others).unwrap();
    }
    for one in &notes.assigned {
        assert_eq!(one.committed, Some(position(9, "the second's")));
    }
}

const CLASSIC: [(&str, &str); 3] = [
    ("session.timeout.ms", "3000"),
    ("heartbeat.interval.ms", "300"),
    ("max.poll.interval.ms", "4000"),
];

#[test]
fn a_member_that_was_forgotten_commits_nothing_of_what_it_held() {
    nothing_is_committed_of_what_was_held(&CLASSIC, false);
}

#[test]
fn a_static_member_that_was_forgotten_commits_nothing_of_what_it_held() {
    nothing_is_committed_of_what_was_held(&CLASSIC, true);
}

#[test]
fn a_member_that_was_forgotten_commits_nothing_of_what_it_held_in_the_consumer_protocol() {
    let properties = [
        ("group.protocol", "consumer"),
        ("max.poll.interval.ms", "12000"),
    ];
    nothing_is_committed_of_what_was_held(&properties, false);
}
