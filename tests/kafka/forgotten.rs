//! Members whom their group has forgotten while they were asked for a partition: whatever they held has been another's since.

use crate::broker::broker;
use crate::client::{config, grow, produce, topic, unique};
use crate::log::{Notes, PATIENCE, join, kafka, poll_until, position, properties};
use rdkafka::consumer::{BaseConsumer, Consumer};
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
fn nothing_is_committed_of_what_was_held(further: &[(&str, &str)], is_static: bool) {
    let (input, group) = (topic("forgotten", 2), unique("group"));
    let join = |instance: &str| {
        let mut kafka = kafka(&group, instance);
        kafka.properties = properties(further);
        if is_static {
            let name = "group.instance.id".to_owned();
            kafka.properties.insert(name, instance.to_owned());
        }
        join(&kafka, &input)
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
    let deadline = Instant::now() + PATIENCE;
    for at in &held {
        // The group may still be on its way to rest.
        while let Err(error) = commit(&mut second, at, 9, "the second's") {
            assert!(Instant::now() < deadline, "{at}: {error}");
            second.poll(Duration::from_millis(20), &mut others).unwrap();
        }
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

/// librdkafka joins again where a topic has grown, though it has asked for a partition and was not answered: it says that it has that one no more.
#[test]
fn a_partition_that_the_client_has_given_away_because_its_topic_has_grown_is_not_committed() {
    let (input, group) = (topic("grown", 6), unique("group"));
    let join = |instance: &str| {
        let mut kafka = kafka(&group, instance);
        let name = "topic.metadata.refresh.interval.ms".to_owned();
        kafka.properties.insert(name, "500".to_owned());
        join(&kafka, &input)
    };
    let (mut first, mut notes) = (join("a"), Notes::default());
    poll_until(&mut first, &mut notes, "assignment", |_, notes| {
        notes.assigned.len() == 6
    });
    // A client that knows nothing of us, and takes what it is given.
    let second: BaseConsumer = config(broker())
        .set("group.id", &group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "3000")
        .set("heartbeat.interval.ms", "300")
        .set("topic.metadata.refresh.interval.ms", "500")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    second.subscribe(&[&input]).unwrap();
    let held: Vec<TopicPartition> = notes.assigned.iter().map(|one| one.at.clone()).collect();
    let theirs = |second: &BaseConsumer| {
        let _ = second.poll(Duration::from_millis(50));
        let list = second.assignment().unwrap();
        let is_theirs =
            |at: &&TopicPartition| list.find_partition(&at.topic, at.partition).is_some();
        held.iter().find(is_theirs).cloned()
    };
    let asked = Instant::now() + Duration::from_secs(4);
    while Instant::now() < asked {
        assert_eq!(theirs(&second), None, "the first has not answered");
    }
    grow(&input, 7);
    let deadline = Instant::now() + PATIENCE;
    let at = loop {
        assert!(Instant::now() < deadline, "the second was assigned nothing");
        if let Some(at) = theirs(&second) {
            break at;
        }
    };
    while notes.revoked.is_empty() {
        assert!(Instant::now() < deadline, "the first has not heard of it");
        let outcome = commit(&mut first, &at, 7, "stale");
        assert!(outcome.is_err(), "{at} is another's");
        let _ = first.poll(Duration::from_millis(20), &mut notes);
    }
    let outcome = commit(&mut first, &at, 7, "stale");
    assert!(outcome.is_err(), "{at} is another's: {:?}", notes.revoked);
}
