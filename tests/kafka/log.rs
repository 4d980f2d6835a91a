//! The laws of `runtime::log::Log`, kept by its implementation on Kafka.

use crate::broker::broker;
use crate::client::{committed, config, produce, topic, unique};
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tidewatch::config::service::{Kafka, Topics as TopicSettings};
use tidewatch::runtime::kafka::{KafkaLog, KafkaTopics};
use tidewatch::runtime::log::{
    Assignment, CommitError, Groups, Handler, Log, Message, Outgoing, Position, Revocation,
    TopicPartition, Topics, Transaction,
};

pub const PATIENCE: Duration = Duration::from_secs(120);

/// Notes all that it is told.
#[derive(Default)]
pub struct Notes {
    pub assigned: Vec<Assignment>,
    pub revoked: Vec<(TopicPartition, Revocation)>,
    payloads: BTreeMap<TopicPartition, Vec<(i64, String)>>,
}

impl Notes {
    pub fn total(&self) -> usize {
        self.payloads.values().map(Vec::len).sum()
    }
}

impl Handler for Notes {
    fn assigned(&mut self, assignments: Vec<Assignment>) {
        self.assigned.extend(assignments);
    }
    fn revoked(&mut self, partitions: &[TopicPartition], how: Revocation) {
        self.revoked
            .extend(partitions.iter().map(|at| (at.clone(), how)));
    }
    fn batch(&mut self, at: &TopicPartition, messages: &mut dyn Iterator<Item = Message<'_>>) {
        let texts = messages.map(|message| {
            (
                message.offset,
                String::from_utf8_lossy(message.payload.unwrap_or_default()).into_owned(),
            )
        });
        self.payloads.entry(at.clone()).or_default().extend(texts);
    }
}

pub fn settings() -> TopicSettings {
    TopicSettings {
        prefix: "t".into(),
        partitions: 1,
        replication_factor: -1,
        retention: None,
    }
}

pub fn kafka(group: &str, instance: &str) -> Kafka {
    let properties = [
        ("bootstrap.servers", broker().address.as_str()),
        ("session.timeout.ms", "3000"),
        ("heartbeat.interval.ms", "300"),
    ];
    Kafka {
        properties: properties
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .into(),
        secrets: BTreeMap::new(),
        secret_files: BTreeMap::new(),
        group_id: group.into(),
        instance_id: instance.into(),
    }
}

/// Where the broker is, and these.
pub fn properties(further: &[(&str, &str)]) -> BTreeMap<String, String> {
    [("bootstrap.servers", broker().address.as_str())]
        .iter()
        .chain(further)
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

pub fn join(kafka: &Kafka, topic: &str) -> KafkaLog {
    let mut log = KafkaLog::open(kafka, &settings()).unwrap();
    log.subscribe(&[topic.to_string()]).unwrap();
    log
}

fn open(group: &str, instance: &str, topic: &str) -> KafkaLog {
    join(&kafka(group, instance), topic)
}

pub fn poll_until(
    log: &mut KafkaLog,
    notes: &mut Notes,
    what: &str,
    mut done: impl FnMut(&mut KafkaLog, &Notes) -> bool,
) {
    let deadline = Instant::now() + PATIENCE;
    while !done(log, notes) {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        log.poll(Duration::from_millis(50), notes).unwrap();
    }
}

/// A message of now: brokers delete what is older than they keep, by the time that it says of itself.
fn message(topic: &str, text: &str) -> Outgoing {
    Outgoing {
        topic: topic.into(),
        partition: None,
        key: None,
        payload: Some(text.into()),
        headers: vec![("reason", "test".into())],
        timestamp_ms: None,
    }
}

pub fn position(next_offset: i64, metadata: &str) -> Position {
    Position {
        next_offset,
        metadata: metadata.into(),
    }
}

#[test]
fn an_assigned_partition_is_silent_until_the_seek_and_then_in_order_and_lag_ends_at_zero() {
    let input = topic("silence", 3);
    produce(&input, (0..3000).map(|i| (i % 3, format!("{i}"))));
    let mut log = open(&unique("group"), "a", &input);
    let mut notes = Notes::default();
    poll_until(&mut log, &mut notes, "assignment", |_, notes| {
        notes.assigned.len() == 3
    });
    for _ in 0..20 {
        log.poll(Duration::from_millis(20), &mut notes).unwrap();
    }
    assert_eq!(notes.total(), 0, "something came before the seek");
    for assignment in notes.assigned.clone() {
        assert_eq!((assignment.committed, assignment.log_start), (None, 0));
        assert_eq!(log.lag(&assignment.at), None);
        log.seek(&assignment.at, 10).unwrap();
    }
    let ats: Vec<_> = notes
        .assigned
        .iter()
        .map(|assignment| assignment.at.clone())
        .collect();
    poll_until(&mut log, &mut notes, "lag 0", |log, _| {
        ats.iter().all(|at| log.lag(at) == Some(0))
    });
    assert_eq!(notes.total(), 3 * 990);
    for (at, payloads) in &notes.payloads {
        let expected: Vec<_> = (10..1000)
            .map(|i| (i, format!("{}", i * 3 + i64::from(at.partition))))
            .collect();
        assert_eq!(payloads, &expected);
    }
    // Again, from elsewhere.
    notes.payloads.clear();
    log.seek(&ats[0], 990).unwrap();
    poll_until(&mut log, &mut notes, "the second seek", |log, _| {
        log.lag(&ats[0]) == Some(0)
    });
    assert_eq!(notes.total(), 10);
}

#[test]
fn messages_and_positions_become_visible_together_and_come_back_to_the_next_owner() {
    let (input, output, group) = (
        topic("atomic-in", 1),
        topic("atomic-out", 2),
        unique("group"),
    );
    produce(&input, (0..10).map(|i| (0, format!("{i}"))));
    let mut log = open(&group, "a", &input);
    let mut notes = Notes::default();
    poll_until(&mut log, &mut notes, "assignment", |_, notes| {
        !notes.assigned.is_empty()
    });
    let at = notes.assigned[0].at.clone();
    log.seek(&at, 0).unwrap();
    poll_until(&mut log, &mut notes, "messages", |_, notes| {
        notes.total() == 10
    });
    let started = Instant::now();
    for i in 0..5 {
        let transaction = Transaction {
            messages: &[message(&output, &format!("r{i}"))],
            positions: &[(at.clone(), position(i + 1, "beside"))],
        };
        log.commit(transaction).unwrap();
    }
    println!("{:?} a transaction", started.elapsed() / 5);
    let mut results = committed(&output, 5);
    results.sort();
    assert_eq!(results, ["r0", "r1", "r2", "r3", "r4"]);
    log.leave().unwrap();
    drop(log);

    let mut next = open(&group, "b", &input);
    let mut notes = Notes::default();
    poll_until(&mut next, &mut notes, "assignment", |_, notes| {
        !notes.assigned.is_empty()
    });
    assert_eq!(notes.assigned[0].committed, Some(position(5, "beside")));
    // A topic whose last message is the marker of a transaction has an end that no message reaches.
    let mut seen = 0;
    for partition in 0..2 {
        let at = TopicPartition::new(output.as_str(), partition);
        next.read(&at, 0, &mut |_| seen += 1).unwrap();
    }
    assert_eq!(seen, 5);
}

#[test]
fn lag_is_zero_past_the_marker_of_a_transaction() {
    let (input, output) = (topic("marker-in", 1), topic("marker-out", 1));
    let mut writer = open(&unique("group"), "a", &input);
    writer
        .commit(Transaction {
            messages: &[message(&output, "x")],
            positions: &[],
        })
        .unwrap();
    let mut reader = open(&unique("group"), "a", &output);
    let mut notes = Notes::default();
    poll_until(&mut reader, &mut notes, "assignment", |_, notes| {
        !notes.assigned.is_empty()
    });
    let at = notes.assigned[0].at.clone();
    reader.seek(&at, 0).unwrap();
    poll_until(&mut reader, &mut notes, "lag 0", |log, _| {
        log.lag(&at) == Some(0)
    });
    assert_eq!(notes.total(), 1);
}

#[test]
fn a_second_process_of_the_same_name_fences_the_first_which_joins_anew() {
    let (input, output, group) = (topic("fence-in", 1), topic("fence-out", 1), unique("group"));
    let mut first = open(&group, "a", &input);
    let mut notes = Notes::default();
    poll_until(&mut first, &mut notes, "assignment", |_, notes| {
        !notes.assigned.is_empty()
    });
    let at = notes.assigned[0].at.clone();
    first.seek(&at, 0).unwrap();
    let second = open(&group, "a", &unique("elsewhere"));
    let transaction = Transaction {
        messages: &[message(&output, "zombie")],
        positions: &[(at.clone(), position(1, ""))],
    };
    let error = first.commit(transaction).unwrap_err();
    assert!(matches!(error, CommitError::Fenced(_)), "{error:?}");
    drop(second);
    poll_until(
        &mut first,
        &mut notes,
        "loss and a new assignment",
        |_, notes| notes.assigned.len() == 2,
    );
    assert_eq!(notes.revoked, [(at.clone(), Revocation::Lost)]);
    first
        .commit(Transaction {
            messages: &[message(&output, "alive")],
            positions: &[(at, position(1, ""))],
        })
        .unwrap();
    assert_eq!(committed(&output, 1), ["alive"]);
}

#[test]
fn a_released_partition_can_be_committed_before_the_next_poll_and_its_new_owner_sees_it() {
    let (input, output, group) = (
        topic("release-in", 2),
        topic("release-out", 1),
        unique("group"),
    );
    let mut first = open(&group, "a", &input);
    let mut notes = Notes::default();
    poll_until(&mut first, &mut notes, "assignment", |_, notes| {
        notes.assigned.len() == 2
    });
    for assignment in &notes.assigned {
        first.seek(&assignment.at, 0).unwrap();
    }
    let mut second = open(&group, "b", &input);
    let mut others = Notes::default();
    let deadline = Instant::now() + PATIENCE;
    while others.assigned.is_empty() {
        assert!(
            Instant::now() < deadline,
            "the second member was assigned nothing"
        );
        let told = notes.revoked.len();
        first.poll(Duration::from_millis(20), &mut notes).unwrap();
        for (at, how) in &notes.revoked[told..] {
            assert_eq!(*how, Revocation::Released);
            let transaction = Transaction {
                messages: &[message(&output, "last word")],
                positions: &[(at.clone(), position(7, "handed over"))],
            };
            first.commit(transaction).unwrap();
        }
        second.poll(Duration::from_millis(20), &mut others).unwrap();
    }
    assert_eq!(others.assigned.len(), 1);
    assert_eq!(others.assigned[0].at, notes.revoked[0].0);
    assert_eq!(
        others.assigned[0].committed,
        Some(position(7, "handed over"))
    );
    second.leave().unwrap();
    poll_until(&mut first, &mut notes, "the partition back", |_, notes| {
        notes.assigned.len() == 3
    });
}

/// librdkafka takes any word on what is fetched for the answer to what the group asks; ours must not give away what nobody was told of.
fn nothing_is_given_away_unheard(protocol: &[(&str, &str)]) {
    let input = topic("unheard", 2);
    let group = unique("group");
    let join = |instance: &str| {
        let mut kafka = kafka(&group, instance);
        if !protocol.is_empty() {
            kafka.properties = properties(protocol);
        }
        join(&kafka, &input)
    };
    produce(&input, (0..20).map(|i| (i % 2, format!("{i}"))));
    let (mut first, mut notes) = (join("a"), Notes::default());
    poll_until(&mut first, &mut notes, "assignment", |_, notes| {
        notes.assigned.len() == 2
    });
    let places: Vec<TopicPartition> = notes.assigned.iter().map(|one| one.at.clone()).collect();
    for at in &places {
        first.seek(at, 0).unwrap();
    }
    poll_until(&mut first, &mut notes, "messages", |_, notes| {
        notes.total() == 20
    });
    let commit = |log: &mut KafkaLog, at: &TopicPartition, word: &str| {
        log.commit(Transaction {
            messages: &[],
            positions: &[(at.clone(), position(7, word))],
        })
    };
    // Another comes, and the first is asked for one of its partitions, of which it hears when it polls.
    let (mut second, mut others) = (join("b"), Notes::default());
    let wait = |second: &mut KafkaLog, others: &mut Notes, ms: u64| {
        let until = Instant::now() + Duration::from_millis(ms);
        while Instant::now() < until {
            second.poll(Duration::from_millis(50), others).unwrap();
        }
    };
    wait(&mut second, &mut others, 4000);
    for at in &places {
        first.rest(at).unwrap();
        first.seek(at, 0).unwrap();
    }
    wait(&mut second, &mut others, 4000);
    assert!(
        others.assigned.is_empty(),
        "given away before the owner has heard of it: {:?}",
        others.assigned
    );
    let early = commit(&mut first, &places[0], "not heard yet");
    assert!(matches!(early, Err(CommitError::Retry(_))), "{early:?}");
    let deadline = Instant::now() + PATIENCE;
    while others.assigned.is_empty() {
        assert!(Instant::now() < deadline, "the second was assigned nothing");
        let told = notes.revoked.len();
        first.poll(Duration::from_millis(20), &mut notes).unwrap();
        for (at, how) in &notes.revoked[told..] {
            assert_eq!(*how, Revocation::Released);
            commit(&mut first, at, "handed over").unwrap();
        }
        second.poll(Duration::from_millis(20), &mut others).unwrap();
    }
    assert_eq!(
        others.assigned[0].committed,
        Some(position(7, "handed over"))
    );
}

#[test]
fn a_partition_is_not_given_away_before_its_owner_has_heard_of_it() {
    nothing_is_given_away_unheard(&[]);
}

#[test]
fn a_partition_is_not_given_away_before_its_owner_has_heard_of_it_in_the_consumer_protocol() {
    nothing_is_given_away_unheard(&[("group.protocol", "consumer")]);
}

#[test]
fn missing_topics_are_made_and_existing_ones_left_alone() {
    use tidewatch::runtime::log::{Cleanup, NewTopic};
    let existing = topic("existing", 2);
    let made = unique("made");
    let mut log = KafkaLog::open(&kafka(&unique("group"), "a"), &settings()).unwrap();
    let wanted = |name: &str| NewTopic {
        name: name.into(),
        partitions: Some(3),
        cleanup: Cleanup::Compact,
    };
    log.create(&[wanted(&existing), wanted(&made)]).unwrap();
    let pattern = format!("^{}$", made.replace('-', "."));
    let found = log
        .partitions(&[existing.clone(), pattern, unique("absent")])
        .unwrap();
    assert_eq!(found, BTreeMap::from([(existing, 2), (made.clone(), 3)]));
    // A compacted topic wants keys.
    let keyed = Outgoing {
        key: Some(b"k".to_vec()),
        ..message(&made, "at once")
    };
    log.publish(&[keyed]).unwrap();
    log.flush().unwrap();
    let texts = committed(&made, 1);
    assert_eq!(texts, ["at once"]);
}

#[test]
fn what_is_held_waits_and_what_is_rested_is_silent_until_it_is_sought_again() {
    let input = topic("held", 2);
    produce(&input, (0..4000).map(|i| (i % 2, format!("{i}"))));
    let mut log = open(&unique("group"), "a", &input);
    let mut notes = Notes::default();
    poll_until(&mut log, &mut notes, "assignment", |_, notes| {
        notes.assigned.len() == 2
    });
    let at = |partition| TopicPartition::new(&*input, partition);
    log.seek(&at(0), 0).unwrap();
    log.seek(&at(1), 0).unwrap();
    log.hold(&at(0), true);
    let of = |notes: &Notes, partition| notes.payloads.get(&at(partition)).map_or(0, Vec::len);
    poll_until(&mut log, &mut notes, "the other partition", |log, notes| {
        of(notes, 1) == 2000 && log.lag(&at(1)) == Some(0)
    });
    assert_eq!(of(&notes, 0), 0, "held, and delivered");
    // It knows all the same how much there is.
    poll_until(&mut log, &mut notes, "a lag", |log, _| {
        log.lag(&at(0)).is_some_and(|lag| lag >= 2000)
    });
    log.hold(&at(0), false);
    poll_until(&mut log, &mut notes, "what was held", |_, notes| {
        of(notes, 0) == 2000
    });
    let offsets = |notes: &Notes| -> Vec<i64> {
        let read = notes.payloads[&at(0)].iter();
        read.map(|(offset, _)| *offset).collect()
    };
    assert_eq!(offsets(&notes), (0..2000).collect::<Vec<_>>());

    log.rest(&at(0)).unwrap();
    produce(&input, (0..20).map(|i| (i % 2, format!("{i}"))));
    poll_until(
        &mut log,
        &mut notes,
        "the partition that goes on",
        |_, notes| of(notes, 1) == 2010,
    );
    for _ in 0..10 {
        log.poll(Duration::from_millis(20), &mut notes).unwrap();
    }
    assert_eq!((of(&notes, 0), log.lag(&at(0))), (2000, None));
    log.seek(&at(0), 1990).unwrap();
    poll_until(&mut log, &mut notes, "from the seek on", |_, notes| {
        of(notes, 0) == 2020
    });
    assert_eq!(offsets(&notes)[2000..], (1990..2010).collect::<Vec<_>>());
}

/// The operator's side, of a group of either protocol.
#[test]
fn positions_are_written_for_a_group_without_members_and_for_no_other() {
    for protocol in ["classic", "consumer"] {
        let (group, input) = (unique("operated"), topic("operated", 2));
        let at = |partition| TopicPartition::new(&*input, partition);
        let mut tools = KafkaTopics::open(&kafka("tools", "tools"), &settings()).unwrap();
        let both = [
            (at(0), position(3, "epitaph")),
            (at(1), position(5, "epitaph")),
        ];
        assert!(tools.set_positions(&group, &both).unwrap(), "{protocol}");
        let mut member = config(broker());
        member
            .set("group.id", &group)
            .set("enable.auto.commit", "false")
            .set("group.protocol", protocol);
        if protocol == "classic" {
            member.set("session.timeout.ms", "6000");
        }
        let member: BaseConsumer = member.create().expect("a consumer");
        member.subscribe(&[&input]).expect("subscribed");
        let deadline = Instant::now() + PATIENCE;
        while member.assignment().is_ok_and(|list| list.count() == 0) {
            assert!(Instant::now() < deadline, "{protocol}: no assignment");
            let _ = member.poll(Duration::from_millis(50));
        }
        let other = [(at(0), position(0, "")), (at(1), position(0, ""))];
        assert!(!tools.set_positions(&group, &other).unwrap(), "{protocol}");
        let held = tools.committed(&group, &[at(0), at(1)]).unwrap();
        assert_eq!(held, BTreeMap::from(both), "{protocol}");
    }
}
