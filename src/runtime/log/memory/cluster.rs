//! The cluster in memory: topics, groups and transactions behind one lock, and the levers that a simulation pulls.

use super::super::{Cleanup, LogError, NewTopic, Outgoing, Position, TopicId, TopicPartition};
use super::MemoryLog;
use super::group::{Assignor, Group};
use super::partition::{Partition, Stored};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

/// A cluster that lives in this process. Clones are handles to the same one.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) topics: BTreeMap<Arc<str>, Topic>,
    pub(super) groups: BTreeMap<String, Group>,
    /// Epoch of each transactional id: the last producer to take the id has the highest.
    pub(super) epochs: BTreeMap<String, u64>,
    pub(super) open: BTreeMap<u64, OpenTransaction>,
    next_number: u64,
}

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) id: TopicId,
    pub(super) partitions: Vec<Partition>,
    cleanup: Cleanup,
    appended: usize,
}

#[derive(Debug)]
pub(super) struct OpenTransaction {
    pub(super) transactional_id: String,
    pub(super) group: String,
    pub(super) positions: Vec<(TopicPartition, Position)>,
}

impl Cluster {
    /// An empty cluster.
    pub fn new() -> Cluster {
        Cluster::default()
    }

    /// A member-to-be of `group`; `instance` names its transactional id, and whoever had that name before is fenced off.
    pub fn open(&self, group: &str, instance: &str) -> MemoryLog {
        MemoryLog::new(self.clone(), group, instance)
    }

    /// Creates a topic, or panics when `partitions` is below 1: a test's mistake.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        self.lock().create(&NewTopic {
            name: name.to_owned(),
            partitions: Some(partitions),
            cleanup: Cleanup::Delete,
        });
    }

    /// Appends a message as any producer outside would. The topic has to exist.
    pub fn append(&self, message: &Outgoing) -> Result<(), LogError> {
        self.lock().append(message, None).map(drop)
    }

    /// What a `read_committed` reader finds in a topic now, partition by partition.
    pub fn committed(&self, topic: &str) -> Vec<Arc<Stored>> {
        let state = self.lock();
        let partitions = state.topics.get(topic).map(|t| t.partitions.as_slice());
        partitions
            .unwrap_or_default()
            .iter()
            .flat_map(|partition| partition.readable(0, usize::MAX).0)
            .collect()
    }

    /// The same, from the offsets in `seen` on (one a partition, 0 where it has none), which are moved to where the reader now stands.
    pub fn committed_since(&self, topic: &str, seen: &mut Vec<i64>) -> Vec<Arc<Stored>> {
        let state = self.lock();
        let Some(topic) = state.topics.get(topic) else {
            return Vec::new();
        };
        seen.resize(topic.partitions.len(), 0);
        let mut news = Vec::new();
        for (partition, from) in topic.partitions.iter().zip(seen) {
            let (messages, next) = partition.readable(*from, usize::MAX);
            news.extend(messages);
            *from = next;
        }
        news
    }

    /// The names of all topics, sorted.
    pub fn topics(&self) -> Vec<String> {
        self.lock()
            .topics
            .keys()
            .map(|name| name.to_string())
            .collect()
    }

    /// What `group` has committed for a partition.
    pub fn position(&self, group: &str, at: &TopicPartition) -> Option<Position> {
        self.lock().groups.get(group)?.committed.get(at).cloned()
    }

    /// The offset that the next message of a partition will get.
    pub fn end(&self, at: &TopicPartition) -> i64 {
        self.lock().partition(at).map_or(0, |p| p.next())
    }

    /// How the partitions of `group` move from now on.
    pub fn set_assignor(&self, group: &str, assignor: Assignor) {
        self.lock().group(group).assignor = assignor;
    }

    /// Gives every partition of `group` another owner, as far as there are several members.
    pub fn rotate(&self, group: &str) {
        self.lock().group(group).rotate();
    }

    /// Ends the session of a member as a broker does that has not heard of it for too long. It does not know yet.
    pub fn evict(&self, log: &MemoryLog) {
        let mut state = self.lock();
        if let Some(member) = log.member() {
            state.group(log.group()).remove(member);
        }
    }

    /// Aborts every transaction that is still open, as a broker does with those that have taken too long; their producers are fenced off.
    pub fn time_out_transactions(&self) {
        let mut state = self.lock();
        let ids: BTreeSet<String> = state
            .open
            .values()
            .map(|t| t.transactional_id.clone())
            .collect();
        for id in ids {
            state.init_producer(&id);
        }
    }

    /// Gives a topic more partitions. Members see them when they join anew.
    pub fn grow_topic(&self, name: &str, partitions: usize) {
        if let Some(topic) = self.lock().topics.get_mut(name) {
            topic.partitions.resize_with(partitions, Partition::default);
        }
    }

    /// Deletes a topic and makes it again, empty; as a broker does, groups forget their positions in it.
    pub fn remake_topic(&self, name: &str, partitions: i32) {
        let mut state = self.lock();
        state.topics.remove(name);
        for group in state.groups.values_mut() {
            group.committed.retain(|at, _| *at.topic != *name);
        }
        state.create(&NewTopic {
            name: name.to_owned(),
            partitions: Some(partitions),
            cleanup: Cleanup::Delete,
        });
    }

    /// Retention: a partition forgets everything before `offset`.
    pub fn truncate(&self, at: &TopicPartition, offset: i64) {
        if let Some(partition) = self.lock().partition_mut(at) {
            partition.truncate(offset);
        }
    }

    /// Compacts every topic that is to be compacted.
    pub fn compact(&self) {
        let mut state = self.lock();
        for topic in state
            .topics
            .values_mut()
            .filter(|t| t.cleanup != Cleanup::Delete)
        {
            topic.partitions.iter_mut().for_each(Partition::compact);
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the state whole: every change below ends before the lock is let go.
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl State {
    pub(super) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    pub(super) fn group(&mut self, name: &str) -> &mut Group {
        self.groups.entry(name.to_owned()).or_default()
    }

    pub(super) fn create(&mut self, topic: &NewTopic) {
        let partitions = topic.partitions.unwrap_or(1);
        assert!(
            partitions >= 1,
            "topic {} with {partitions} partitions",
            topic.name
        );
        self.next_number += 1;
        let id = TopicId(self.next_number.into());
        self.topics
            .entry(topic.name.as_str().into())
            .or_insert_with(|| Topic {
                id,
                partitions: (0..partitions).map(|_| Partition::default()).collect(),
                cleanup: topic.cleanup,
                appended: 0,
            });
    }

    pub(super) fn partition(&self, at: &TopicPartition) -> Option<&Partition> {
        self.topics
            .get(&at.topic)?
            .partitions
            .get(usize::try_from(at.partition).ok()?)
    }

    fn partition_mut(&mut self, at: &TopicPartition) -> Option<&mut Partition> {
        self.topics
            .get_mut(&at.topic)?
            .partitions
            .get_mut(usize::try_from(at.partition).ok()?)
    }

    pub(super) fn append(
        &mut self,
        message: &Outgoing,
        transaction: Option<u64>,
    ) -> Result<i64, LogError> {
        let unknown = || {
            LogError::Fatal(format!(
                "topic {} does not exist; create it first",
                message.topic
            ))
        };
        let topic = self.topics.get_mut(&message.topic).ok_or_else(unknown)?;
        let count = topic.partitions.len();
        let at = match (message.partition, &message.key) {
            (Some(partition), _) => usize::try_from(partition).unwrap_or(usize::MAX),
            (None, Some(key)) => (xxhash_rust::xxh3::xxh3_64(key) % count as u64) as usize,
            (None, None) => topic.appended % count,
        };
        topic.appended += 1;
        let partition = topic.partitions.get_mut(at).ok_or_else(|| {
            LogError::Fatal(format!(
                "topic {} has {count} partitions, no partition {at}",
                message.topic
            ))
        })?;
        let stored = Stored {
            offset: 0,
            timestamp_ms: message.timestamp_ms,
            key: message.key.clone(),
            payload: message.payload.clone(),
            headers: message.headers.clone(),
        };
        Ok(partition.append(stored, transaction))
    }

    /// Takes a transactional id: aborts what its former holder left open, and fences it off. Returns the new epoch.
    pub(super) fn init_producer(&mut self, transactional_id: &str) -> u64 {
        let open: Vec<u64> = self
            .open
            .iter()
            .filter(|(_, t)| t.transactional_id == transactional_id)
            .map(|(number, _)| *number)
            .collect();
        for number in open {
            self.end(number, false);
        }
        let epoch = self.epochs.entry(transactional_id.to_owned()).or_default();
        *epoch += 1;
        *epoch
    }

    pub(super) fn end(&mut self, number: u64, committed: bool) {
        for topic in self.topics.values_mut() {
            for partition in &mut topic.partitions {
                partition.end(number, committed);
            }
        }
        if let (Some(open), true) = (self.open.remove(&number), committed) {
            self.group(&open.group).committed.extend(open.positions);
        }
    }

    /// Whether an open transaction of `group` may still move the position of `at`.
    pub(super) fn is_pending(&self, group: &str, at: &TopicPartition) -> bool {
        self.open
            .values()
            .any(|t| t.group == group && t.positions.iter().any(|(held, _)| held == at))
    }

    pub(super) fn matching(&self, names: &[String]) -> Result<BTreeMap<String, i32>, LogError> {
        let mut found = BTreeMap::new();
        for name in names {
            let pattern = match name.starts_with('^') {
                true => Some(regex::Regex::new(name).map_err(|error| {
                    LogError::Fatal(format!("{name:?} is not a pattern of topics: {error}"))
                })?),
                false => None,
            };
            for (topic, held) in &self.topics {
                if pattern
                    .as_ref()
                    .map_or(**topic == **name, |p| p.is_match(topic))
                {
                    found.insert(topic.to_string(), held.partitions.len() as i32);
                }
            }
        }
        Ok(found)
    }
}
