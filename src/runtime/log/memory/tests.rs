//! The laws of [`Log`](crate::runtime::log::Log), one by one, on the log in memory.

use super::*;
use crate::runtime::log::Position;

const GROUP: &str = "g";

/// Writes down what it is told.
#[derive(Default)]
struct Diary {
    assigned: Vec<Assignment>,
    revoked: Vec<(Vec<TopicPartition>, Revocation)>,
    offsets: Vec<i64>,
}

impl Handler for Diary {
    fn assigned(&mut self, assignments: Vec<Assignment>) {
        self.assigned.extend(assignments);
    }
    fn revoked(&mut self, partitions: &[TopicPartition], how: Revocation) {
        self.revoked.push((partitions.to_vec(), how));
    }
    fn batch(&mut self, _at: &TopicPartition, messages: &mut dyn Iterator<Item = Message<'_>>) {
        self.offsets.extend(messages.map(|m| m.offset));
    }
}

fn message(topic: &str, key: &str) -> Outgoing {
    Outgoing {
        topic: topic.into(),
        partition: Some(0),
        key: Some(key.into()),
        payload: Some(key.into()),
        headers: Vec::new(),
        timestamp_ms: None,
    }
}

fn position(next_offset: i64) -> Position {
    Position {
        next_offset,
        metadata: format!("at {next_offset}"),
    }
}

fn input() -> TopicPartition {
    TopicPartition::new("in", 0)
}

/// A cluster with `in` (four messages) and `out`, and a member that has been given `in/0`.
fn joined() -> (Cluster, MemoryLog, Diary) {
    let cluster = Cluster::new();
    cluster.create_topic("in", 1);
    cluster.create_topic("out", 1);
    for key in ["a", "b", "c", "d"] {
        cluster.append(&message("in", key)).unwrap();
    }
    let (log, diary) = join(&cluster, "one");
    (cluster, log, diary)
}

fn join(cluster: &Cluster, instance: &str) -> (MemoryLog, Diary) {
    let mut log = cluster.open(GROUP, instance);
    log.subscribe(&["in".to_owned()]).unwrap();
    let mut diary = Diary::default();
    poll(&mut log, &mut diary);
    (log, diary)
}

fn poll(log: &mut MemoryLog, diary: &mut Diary) {
    log.poll(Duration::ZERO, diary).unwrap();
}

fn send(log: &mut MemoryLog, key: &str, next_offset: i64) -> Result<(), CommitError> {
    log.commit(Transaction {
        messages: &[message("out", key)],
        positions: &[(input(), position(next_offset))],
    })
}

fn keys(cluster: &Cluster) -> Vec<String> {
    let text = |m: &Arc<Stored>| String::from_utf8(m.key.clone().unwrap()).unwrap();
    cluster.committed("out").iter().map(text).collect()
}

#[test]
fn a_partition_is_silent_until_it_is_told_where_to_begin() {
    let (_cluster, mut log, mut diary) = joined();
    poll(&mut log, &mut diary);
    assert_eq!((diary.offsets.len(), log.lag(&input())), (0, None));
    log.seek(&input(), 2).unwrap();
    poll(&mut log, &mut diary);
    assert_eq!((diary.offsets, log.lag(&input())), (vec![2, 3], Some(0)));
}

#[test]
fn an_aborted_transaction_is_never_seen_and_its_successor_is() {
    let (cluster, mut log, _) = joined();
    log.break_next_commit(Break::Abort);
    assert!(matches!(send(&mut log, "x", 1), Err(CommitError::Retry(_))));
    assert_eq!(keys(&cluster), Vec::<String>::new());
    assert_eq!(cluster.position(GROUP, &input()), None);
    send(&mut log, "y", 1).unwrap();
    assert_eq!(keys(&cluster), ["y"]);
    assert_eq!(cluster.position(GROUP, &input()), Some(position(1)));
}

#[test]
fn a_transaction_left_open_holds_readers_and_new_owners_back_until_its_name_is_taken_again() {
    let (cluster, mut log, _) = joined();
    log.break_next_commit(Break::DieBefore);
    assert!(send(&mut log, "x", 1).is_err());
    cluster.append(&message("out", "outside")).unwrap();
    assert_eq!(keys(&cluster), Vec::<String>::new());
    cluster.evict(&log);
    let (mut other, mut diary) = join(&cluster, "two");
    assert!(
        diary.assigned.is_empty(),
        "the position may still change: {:?}",
        diary.assigned
    );
    let _reborn = cluster.open(GROUP, "one");
    assert_eq!(keys(&cluster), ["outside"]);
    poll(&mut other, &mut diary);
    assert_eq!(diary.assigned[0].committed, None);
}

#[test]
fn a_member_that_the_group_went_on_without_commits_nothing() {
    let (cluster, mut zombie, mut diary) = joined();
    cluster.evict(&zombie);
    let (mut heir, _) = join(&cluster, "two");
    assert!(matches!(
        send(&mut zombie, "x", 4),
        Err(CommitError::Retry(_))
    ));
    send(&mut heir, "y", 1).unwrap();
    poll(&mut zombie, &mut diary);
    assert_eq!(diary.revoked, [(vec![input()], Revocation::Lost)]);
    assert_eq!(keys(&cluster), ["y"]);
}

#[test]
fn the_twin_that_comes_later_fences_the_earlier_one_off() {
    let (cluster, mut early, mut diary) = joined();
    let _late = cluster.open(GROUP, "one");
    assert!(matches!(
        send(&mut early, "x", 1),
        Err(CommitError::Fenced(_))
    ));
    poll(&mut early, &mut diary);
    assert_eq!(diary.revoked, [(vec![input()], Revocation::Lost)]);
}

#[test]
fn a_released_partition_is_ours_until_the_next_poll_and_then_its_heirs_with_our_last_word() {
    let (cluster, mut first, mut diary) = joined();
    let (mut second, mut heir) = join(&cluster, "two");
    cluster.rotate(GROUP);
    poll(&mut first, &mut diary);
    assert_eq!(diary.revoked, [(vec![input()], Revocation::Released)]);
    poll(&mut second, &mut heir);
    assert!(heir.assigned.is_empty());
    send(&mut first, "last word", 3).unwrap();
    poll(&mut first, &mut diary);
    poll(&mut second, &mut heir);
    assert_eq!(heir.assigned[0].committed, Some(position(3)));
}

#[test]
fn compaction_keeps_the_last_word_of_each_key_and_its_offset() {
    let (cluster, mut log, _) = joined();
    log.create(&[NewTopic {
        name: "table".to_owned(),
        partitions: Some(1),
        cleanup: super::super::Cleanup::Compact,
    }])
    .unwrap();
    for key in ["a", "b", "a"] {
        log.publish(&[message("table", key)]).unwrap();
    }
    cluster.compact();
    let mut left = Vec::new();
    let next = log
        .read(&TopicPartition::new("table", 0), 0, &mut |m| {
            left.push(m.offset)
        })
        .unwrap();
    assert_eq!((left, next), (vec![1, 2], 3));
}
