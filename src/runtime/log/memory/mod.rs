//! A deterministic log in memory: [`Log`] without a broker, a thread or a clock.
//!
//! It keeps the promises of Kafka that the runtime leans on (groups with generations, fencing of producers, transactions and their
//! visibility, positions with metadata, compaction), and everything that happens in it, happens because somebody called it. So a simulation can choose
//! every interleaving, break commits at will ([`MemoryLog::break_next_commit`]), end sessions and time transactions out
//! ([`Cluster`]); and `tidewatch demo` runs the real service on it. Stricter than Kafka in one thing: a transaction that holds a
//! partition not assigned to its sender (law 5) is a bug, and panics.

mod cluster;
mod group;
mod groups;
mod partition;

pub use cluster::Cluster;
pub use group::Assignor;
pub use partition::Stored;

use super::{
    Assignment, Bell, CommitError, Groups, Handler, Log, LogError, Message, NewTopic, Outgoing,
    Place, Position, Revocation, TopicId, TopicPartition, Topics, Transaction,
};
use cluster::OpenTransaction;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What librdkafka takes of one message unless told otherwise, bytes.
const REFUSED_ABOVE_BYTES: usize = 1_000_000;

/// What is to become of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The broker aborts it.
    Abort,
    /// The process dies after everything was sent and before the commit: the transaction stays open.
    DieBefore,
    /// The process dies when all is committed, before it hears of it.
    DieAfter,
}

/// One instance's end of a [`Cluster`].
#[derive(Debug)]
pub struct MemoryLog {
    cluster: Cluster,
    group: String,
    transactional_id: String,
    epoch: u64,
    subscribed: Vec<String>,
    member: Option<u64>,
    generation: u64,
    /// What is assigned, as far as this member has heard, and where reading goes on (`None`: not yet begun).
    assigned: BTreeMap<TopicPartition, Option<i64>>,
    releasing: Vec<TopicPartition>,
    held: BTreeSet<TopicPartition>,
    turn: usize,
    batch_max: usize,
    break_next_commit: Option<Break>,
    /// So many reads are not answered.
    unanswered_reads: u32,
    must_rejoin: bool,
}

impl MemoryLog {
    fn new(cluster: Cluster, group: &str, instance: &str) -> MemoryLog {
        let transactional_id = format!("{group}.{instance}");
        let epoch = cluster.lock().init_producer(&transactional_id);
        MemoryLog {
            cluster,
            group: group.to_owned(),
            transactional_id,
            epoch,
            subscribed: Vec::new(),
            member: None,
            generation: 0,
            assigned: BTreeMap::new(),
            releasing: Vec::new(),
            held: BTreeSet::new(),
            turn: 0,
            batch_max: 4096,
            break_next_commit: None,
            unanswered_reads: 0,
            must_rejoin: false,
        }
    }

    /// How many messages one poll hands over at most.
    pub fn set_batch_max(&mut self, messages: usize) {
        self.batch_max = messages.max(1);
    }

    /// Chooses the fate of the next commit.
    pub fn break_next_commit(&mut self, how: Break) {
        self.break_next_commit = Some(how);
    }

    /// As if brokers were away: the next reads to the end of a partition find nobody.
    pub fn leave_reads_unanswered(&mut self, reads: u32) {
        self.unanswered_reads = reads;
    }

    pub(super) fn group(&self) -> &str {
        &self.group
    }

    pub(super) fn member(&self) -> Option<u64> {
        self.member
    }

    /// Tells the handler that everything is lost, and joins again as somebody new.
    fn rejoin(&mut self, handler: &mut dyn Handler) {
        let lost: Vec<TopicPartition> = std::mem::take(&mut self.assigned).into_keys().collect();
        self.releasing.clear();
        if !lost.is_empty() {
            handler.revoked(&lost, Revocation::Lost);
        }
        let cluster = self.cluster.clone();
        let mut state = cluster.lock();
        if let Some(member) = self.member.take() {
            state.group(&self.group).remove(member);
        }
        if self.must_rejoin {
            self.epoch = state.init_producer(&self.transactional_id);
            self.must_rejoin = false;
        }
        let wanted = match state.matching(&self.subscribed) {
            Ok(topics) => topics
                .into_iter()
                .flat_map(|(name, count)| {
                    let name: Arc<str> = name.into();
                    (0..count)
                        .map(move |partition| TopicPartition::new(Arc::clone(&name), partition))
                })
                .collect::<BTreeSet<_>>(),
            Err(_) => BTreeSet::new(), // `subscribe` has checked the patterns
        };
        let member = state.number();
        state.group(&self.group).join(member, wanted);
        self.member = Some(member);
    }

    /// One round of the group's protocol: lets go, hears of the new generation, releases, takes.
    fn heartbeat(&mut self, handler: &mut dyn Handler) {
        let cluster = self.cluster.clone();
        let mut state = cluster.lock();
        let member = self.member.expect("poll joins first");
        let group = state.group(&self.group);
        if !self.releasing.is_empty() {
            group.release(member, &self.releasing);
            self.releasing.clear();
        }
        if self.generation != group.generation {
            self.generation = group.generation;
            let released = group.to_release(member);
            if !released.is_empty() {
                self.assigned.retain(|at, _| !released.contains(at));
                self.releasing = released.clone();
                drop(state);
                handler.revoked(&released, Revocation::Released);
                return;
            }
        }
        let mut taken = group.free_for(member);
        taken.retain(|at| !state.is_pending(&self.group, at));
        state.group(&self.group).give(member, &taken);
        let assignments: Vec<Assignment> = taken
            .into_iter()
            .map(|at| Assignment {
                committed: state.group(&self.group).committed.get(&at).cloned(),
                log_start: state.partition(&at).map_or(0, |p| p.start()),
                at,
            })
            .collect();
        drop(state);
        if !assignments.is_empty() {
            for assignment in &assignments {
                self.assigned.insert(assignment.at.clone(), None);
            }
            handler.assigned(assignments);
        }
    }

    /// Hands over a batch of the partition whose turn it is; those that have nothing are passed over.
    fn deliver(&mut self, handler: &mut dyn Handler) {
        let count = self.assigned.len();
        for step in 0..count {
            let turn = (self.turn + step) % count;
            let (at, position) = self
                .assigned
                .iter_mut()
                .nth(turn)
                .expect("turn is below the count");
            let Some(from) = position.filter(|_| !self.held.contains(at)) else {
                continue;
            };
            let (batch, next) = {
                let state = self.cluster.lock();
                let Some(partition) = state.partition(at) else {
                    continue; // deleted
                };
                if from > partition.next() {
                    *position = None;
                    let _ = handler.displaced(at, from);
                    return;
                }
                let start = partition.start();
                if start > from {
                    *position = Some(start);
                    handler.skipped(at, from, start);
                    return;
                }
                partition.readable(from, self.batch_max)
            };
            *position = Some(next);
            if !batch.is_empty() {
                self.turn = turn + 1;
                let mut left = batch.iter();
                handler.batch(at, &mut left.by_ref().map(|stored| stored.borrowed()));
                if let Some(first) = left.next() {
                    *position = Some(first.offset);
                }
                return;
            }
        }
    }

    /// Whether this producer and this member are still who the cluster thinks they are.
    fn may_commit(&mut self) -> Result<(), CommitError> {
        let cluster = self.cluster.clone();
        let mut state = cluster.lock();
        if state.epochs.get(&self.transactional_id) != Some(&self.epoch) {
            self.must_rejoin = true;
            return Err(CommitError::Fenced(format!(
                "another producer has taken the transactional id {}",
                self.transactional_id
            )));
        }
        let group = state.group(&self.group);
        let current =
            self.member.is_some_and(|m| group.is_member(m)) && group.generation == self.generation;
        match current {
            true => Ok(()),
            false => Err(CommitError::Retry(format!(
                "generation {} of the group is over, it has {}",
                self.generation, group.generation
            ))),
        }
    }
}

impl Stored {
    /// As a reader sees it.
    pub fn borrowed(&self) -> Message<'_> {
        Message {
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            key: self.key.as_deref(),
            payload: self.payload.as_deref(),
        }
    }
}

impl Topics for MemoryLog {
    fn partitions(&mut self, names: &[String]) -> Result<BTreeMap<String, i32>, LogError> {
        self.cluster.lock().matching(names)
    }

    fn identities(&mut self, names: &[String]) -> Result<BTreeMap<String, TopicId>, LogError> {
        let state = self.cluster.lock();
        let known = |name: &String| Some((name.clone(), state.topics.get(name.as_str())?.id));
        Ok(names.iter().filter_map(known).collect())
    }

    fn create(&mut self, topics: &[NewTopic]) -> Result<(), LogError> {
        let mut state = self.cluster.lock();
        topics.iter().for_each(|topic| state.create(topic));
        Ok(())
    }

    fn publish(&mut self, messages: &[Outgoing]) -> Result<(), LogError> {
        ensure_taken(messages)?;
        let mut state = self.cluster.lock();
        messages
            .iter()
            .try_for_each(|message| state.append(message, None).map(drop))
    }

    fn flush(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    fn read(
        &mut self,
        at: &TopicPartition,
        from: i64,
        sink: &mut dyn FnMut(&Message<'_>),
    ) -> Result<i64, LogError> {
        if self.unanswered_reads > 0 {
            self.unanswered_reads -= 1;
            return Err(LogError::Unavailable(format!("{at}: nobody answers")));
        }
        let (messages, next) = match self.cluster.lock().partition(at) {
            Some(partition) => partition.readable(from.max(partition.start()), usize::MAX),
            None => return Err(LogError::Fatal(format!("{at} does not exist"))),
        };
        messages.iter().for_each(|stored| sink(&stored.borrowed()));
        Ok(next)
    }

    fn offset_of(&mut self, at: &TopicPartition, place: Place) -> Result<i64, LogError> {
        match self.cluster.lock().partition(at) {
            Some(partition) => Ok(partition.offset_of(place)),
            None => Err(LogError::Fatal(format!("{at} does not exist"))),
        }
    }
}

impl Log for MemoryLog {
    fn subscribe(&mut self, topics: &[String]) -> Result<(), LogError> {
        self.cluster.lock().matching(topics)?;
        self.subscribed = topics.to_vec();
        self.must_rejoin |= self.member.is_some();
        Ok(())
    }

    fn positions(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Position>, LogError> {
        let group = self.group.clone();
        Groups::committed(self, &group, partitions)
    }

    fn poll(&mut self, _timeout: Duration, handler: &mut dyn Handler) -> Result<(), LogError> {
        let known = match self.member {
            Some(member) => self.cluster.lock().group(&self.group).is_member(member),
            None => false,
        };
        if !known || self.must_rejoin {
            self.rejoin(handler);
        }
        self.heartbeat(handler);
        self.deliver(handler);
        Ok(())
    }

    fn seek(&mut self, at: &TopicPartition, offset: i64) -> Result<(), LogError> {
        self.held.remove(at);
        match self.assigned.get_mut(at) {
            Some(position) => *position = Some(offset),
            None => return Err(gone(at)),
        }
        Ok(())
    }

    fn rest(&mut self, at: &TopicPartition) -> Result<(), LogError> {
        self.held.remove(at);
        match self.assigned.get_mut(at) {
            Some(position) => *position = None,
            None => return Err(gone(at)),
        }
        Ok(())
    }

    fn hold(&mut self, at: &TopicPartition, held: bool) {
        match held {
            true => self.held.insert(at.clone()),
            false => self.held.remove(at),
        };
    }

    fn bell(&self) -> Option<Arc<Bell>> {
        None
    }

    fn lag(&mut self, at: &TopicPartition) -> Option<u64> {
        let position = (*self.assigned.get(at)?)?;
        let end = self.cluster.lock().partition(at)?.readable_end();
        Some(end.saturating_sub(position).max(0) as u64)
    }

    fn commit(&mut self, transaction: Transaction<'_>) -> Result<(), CommitError> {
        for (at, position) in transaction.positions {
            assert!(
                self.assigned.contains_key(at) || self.releasing.contains(at),
                "law 5: {at} is not assigned to {}",
                self.transactional_id
            );
            assert!(
                position.metadata.len() <= super::METADATA_BYTES_MAX,
                "metadata of {at} is too long"
            );
        }
        let metadata = transaction
            .positions
            .iter()
            .map(|(_, held)| held.metadata.len());
        if metadata.sum::<usize>() > REFUSED_ABOVE_BYTES {
            let why = "positions of more than a megabyte; a coordinator keeps them in one batch";
            return Err(CommitError::Fatal(why.to_owned()));
        }
        ensure_taken(transaction.messages)
            .map_err(|error| CommitError::Fatal(error.to_string()))?;
        let fate = self.break_next_commit.take();
        self.may_commit()?;
        let mut state = self.cluster.lock();
        let number = state.number();
        let open = OpenTransaction {
            transactional_id: self.transactional_id.clone(),
            group: self.group.clone(),
            positions: transaction.positions.to_vec(),
        };
        state.open.insert(number, open);
        for message in transaction.messages {
            if let Err(error) = state.append(message, Some(number)) {
                state.end(number, false);
                return Err(CommitError::Fatal(error.to_string()));
            }
        }
        match fate {
            Some(Break::DieBefore) => {
                return Err(CommitError::Fatal("died before the commit".to_owned()));
            }
            Some(Break::Abort) => state.end(number, false),
            Some(Break::DieAfter) | None => state.end(number, true),
        }
        match fate {
            Some(Break::Abort) => Err(CommitError::Retry("the broker aborted it".to_owned())),
            Some(_) => Err(CommitError::Fatal("died after the commit".to_owned())),
            None => Ok(()),
        }
    }

    fn leave(&mut self) -> Result<(), LogError> {
        if let Some(member) = self.member.take() {
            self.cluster.lock().group(&self.group).remove(member);
        }
        self.assigned.clear();
        self.releasing.clear();
        Ok(())
    }
}

/// Brokers refuse what is too long, and with it the transaction.
fn ensure_taken(messages: &[Outgoing]) -> Result<(), LogError> {
    let bytes = messages.iter().map(Outgoing::bytes).max().unwrap_or(0);
    match bytes <= REFUSED_ABOVE_BYTES {
        true => Ok(()),
        false => Err(LogError::Fatal(format!(
            "a message of {bytes} bytes; at most {REFUSED_ABOVE_BYTES} are taken"
        ))),
    }
}

fn gone(at: &TopicPartition) -> LogError {
    LogError::Unavailable(format!("{at} is not assigned any more"))
}

#[cfg(test)]
mod tests;
