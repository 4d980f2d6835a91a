//! One member of the consumer group: what is assigned to it, and the messages of what it has begun to read.
//!
//! The group's decisions arrive inside `poll` and are answered by us, not by the client: an assigned partition is given to the client only
//! when somebody seeks in it (so nothing is fetched before), and a released one is let go at the next `poll` (so that it can be committed
//! before). Both follow librdkafka's incremental (cooperative) ways, which the protocol of KIP-848 shares.
//!
//! What is wanted of the client (`seek`, `rest`) is only noted, and done in `poll` where the [`Group`] has no question open.
//!
//! Holds: `owned` is what the group has assigned and we have not let go; the client fetches those of it that have a `queue`.
//! Checked by: tests/kafka.

use super::client::{GroupEvent, Member};
use super::credentials::Credentials;
use super::delivery::Delivery;
use super::edge::{Buffer, PartitionQueue, known_end};
use super::group::Group;
use super::rights::Resource;
use super::topics::{REQUEST_TIMEOUT, watermarks};
use super::untold::Untold;
use crate::runtime::log::{
    Assignment, Bell, CommitError, Handler, LogError, Position, Revocation, TopicPartition,
};
use rdkafka::consumer::{Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages a call to the client.
const BATCH: usize = 1000;
/// Messages a poll, over all partitions; the last batch may exceed it.
const POLL_MESSAGES: usize = 4000;
/// The bell is rung for every queue that fills; this only bounds the time until group events are looked at again.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// For a partition's leader to say where its log begins, while others wait.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// Before a partition without a leader is asked for again.
const LEADER_PAUSE: Duration = Duration::from_secs(1);

/// A consumer in a group.
pub(super) struct Membership {
    owned: BTreeMap<TopicPartition, Owned>,
    untold: Untold,
    /// What was said last of why.
    untold_because: String,
    /// Told to be released, ours until the next poll.
    releasing: Vec<TopicPartition>,
    /// Where the next round begins, so that a busy partition does not starve those after it.
    next_turn: Option<TopicPartition>,
    buffer: Buffer,
    /// After the queues, which belong to its client.
    group: Group,
}

struct Owned {
    log_start: i64,
    /// What the client fetches goes there.
    queue: Option<PartitionQueue<Member>>,
    /// What is wanted of it; `None`: nothing.
    delivery: Option<Delivery>,
}

impl Membership {
    /// A member that has subscribed to nothing, and fetches so many bytes of each partition ahead.
    pub(super) fn new(credentials: &Credentials, prefetch: usize) -> Result<Membership, LogError> {
        Ok(Membership {
            owned: BTreeMap::new(),
            untold: Untold::default(),
            untold_because: String::new(),
            releasing: Vec::new(),
            next_turn: None,
            buffer: Buffer::with_room_for(BATCH),
            group: Group::new(credentials, prefetch)?,
        })
    }

    /// Tells the client a new login.
    pub(super) fn bring(&self, credentials: &Credentials) {
        credentials.bring(self.group.consumer().client());
    }

    pub(super) fn subscribe(&self, topics: &[String]) -> Result<(), LogError> {
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let subscribed = self.group.consumer().subscribe(&names);
        subscribed.map_err(|error| LogError::Fatal(format!("subscription to {names:?}: {error}")))
    }

    /// What a transaction proves itself with that commits these positions: [`Group::proof`]. [`CommitError::Retry`] where one is of a partition that is not ours.
    pub(super) fn metadata(
        &self,
        positions: &[(TopicPartition, Position)],
    ) -> Result<ConsumerGroupMetadata, CommitError> {
        let is_foreign = |at: &&TopicPartition| !self.owned.contains_key(*at);
        match positions.iter().map(|(at, _)| at).find(is_foreign) {
            Some(at) => Err(CommitError::Retry(format!("{at} is not ours now"))),
            None => self.group.proof(!self.releasing.is_empty()),
        }
    }

    /// Whether the group has given us up: [`Group::is_overdue`].
    pub(super) fn is_overdue(&self) -> bool {
        self.group.is_overdue()
    }

    /// Everything that has been told to the handler as assigned and not as gone.
    pub(super) fn told(&self) -> Vec<TopicPartition> {
        self.owned
            .keys()
            .filter(|at| !self.releasing.contains(at))
            .cloned()
            .collect()
    }

    pub(super) fn poll(
        &mut self,
        timeout: Duration,
        handler: &mut dyn Handler,
    ) -> Result<(), LogError> {
        let deadline = Instant::now() + timeout;
        let released = std::mem::take(&mut self.releasing);
        if !released.is_empty() {
            self.let_go(&released)?;
        }
        loop {
            if self.serve_group(handler)? {
                return Ok(());
            }
            self.tell_client()?;
            if self.tell_assigned(handler)? || self.serve_partitions(handler)? {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.group.member().bell.wait(left.min(WAIT_MAX));
        }
    }

    /// Acts on what the group has decided. Whether anything was told.
    fn serve_group(&mut self, handler: &mut dyn Handler) -> Result<bool, LogError> {
        let quiet = self.group.hear()?;
        let mut told = false;
        loop {
            let is_empty_handed = self.owned.is_empty() && self.untold.is_empty();
            match self.group.next_decision(is_empty_handed)? {
                None => break,
                Some(GroupEvent::Assigned(partitions)) => {
                    self.untold.assigned(partitions, Instant::now());
                }
                Some(GroupEvent::Revoked { partitions, lost }) => {
                    told |= self.revoke(partitions, lost, handler)?;
                }
            }
        }
        if quiet && !told {
            self.group.note_rest();
        }
        Ok(told)
    }

    fn revoke(
        &mut self,
        gone: Vec<TopicPartition>,
        lost: bool,
        handler: &mut dyn Handler,
    ) -> Result<bool, LogError> {
        gone.iter().for_each(|at| self.untold.remove(at));
        let known: Vec<TopicPartition> = gone
            .iter()
            .filter(|at| self.owned.contains_key(at))
            .cloned()
            .collect();
        if lost {
            self.group.meddle();
            self.let_go(&gone)?;
        } else {
            self.releasing.extend(gone);
        }
        if known.is_empty() {
            return Ok(!self.releasing.is_empty());
        }
        handler.revoked(
            &known,
            if lost {
                Revocation::Lost
            } else {
                Revocation::Released
            },
        );
        Ok(true)
    }

    /// Gives partitions back, and the client those of them that it fetches.
    fn let_go(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        let mut fetched = TopicPartitionList::new();
        for at in partitions {
            if self
                .owned
                .remove(at)
                .is_some_and(|owned| owned.queue.is_some())
            {
                fetched.add_partition(&at.topic, at.partition);
            }
        }
        self.group.give(&fetched)
    }

    /// What the group has committed for these partitions.
    pub(super) fn positions(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Position>, LogError> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for at in partitions {
            list.add_partition(&at.topic, at.partition);
        }
        let away = |error: &KafkaError| LogError::Unavailable(format!("positions: {error}"));
        let committed = self
            .group
            .consumer()
            .committed_offsets(list, REQUEST_TIMEOUT)
            .map_err(|error| away(&error))?;
        let mut positions = BTreeMap::new();
        for at in partitions {
            let Some(element) = committed.find_partition(&at.topic, at.partition) else {
                continue;
            };
            // Such as that a transaction still holds it.
            element.error().map_err(|error| away(&error))?;
            if let Some(position) = position_of(&element) {
                positions.insert(at.clone(), position);
            }
        }
        Ok(positions)
    }

    /// Tells of what is newly assigned as soon as its position and its log's start are known. Waits, within limits, for transactions that hold positions and for
    /// partitions without a leader; for none of them on account of another.
    fn tell_assigned(&mut self, handler: &mut dyn Handler) -> Result<bool, LogError> {
        let due = self.untold.due(Instant::now());
        if due.is_empty() {
            return self.complain();
        }
        let mut committed = self.positions_of_assigned(&due)?;
        let leaderless = self.leaderless(committed.keys());
        let mut assignments = Vec::with_capacity(committed.len());
        for at in &leaderless {
            tracing::debug!(%at, "has no leader");
            self.untold_because = format!("{at} has no leader");
            committed.remove(at);
            self.untold.put_off(at, Instant::now(), LEADER_PAUSE);
        }
        for (at, position) in committed {
            match watermarks(self.group.consumer(), &at, LOOK_TIMEOUT) {
                Ok((log_start, _)) => assignments.push(Assignment {
                    committed: position,
                    log_start,
                    at,
                }),
                // A leader that has just gone. The others' turn comes in the next poll: this has taken long enough.
                Err(error) => {
                    tracing::debug!(%at, %error, "the log's start is not to be had yet");
                    self.untold_because = error.to_string();
                    self.untold.put_off(&at, Instant::now(), LEADER_PAUSE);
                    break;
                }
            }
        }
        if assignments.is_empty() {
            return self.complain();
        }
        for assignment in &assignments {
            self.untold.remove(&assignment.at);
            self.owned.insert(
                assignment.at.clone(),
                Owned {
                    log_start: assignment.log_start,
                    queue: None,
                    delivery: None,
                },
            );
        }
        handler.assigned(assignments);
        Ok(true)
    }

    /// The committed positions of these, as far as they are to be had; `None` of one for which nothing was committed.
    fn positions_of_assigned(
        &mut self,
        due: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Option<Position>>, LogError> {
        let mut list = TopicPartitionList::with_capacity(due.len());
        for at in due {
            list.add_partition(&at.topic, at.partition);
        }
        let mut positions = BTreeMap::new();
        let answer = self
            .group
            .consumer()
            .committed_offsets(list, REQUEST_TIMEOUT);
        let committed = match answer {
            Ok(committed) => committed,
            Err(error) => {
                tracing::warn!(%error, "committed positions are not to be had yet");
                self.group.judge(&error)?;
                self.untold_because = error.to_string();
                return Ok(positions);
            }
        };
        for at in due {
            let element = committed.find_partition(&at.topic, at.partition);
            // The call succeeds though a partition's answer be an error, such as that a transaction still holds its position. Taken for "never
            // committed", the partition would be begun anew.
            if let Some(error) = element.as_ref().and_then(|one| one.error().err()) {
                tracing::info!(%error, %at, "a committed position is not to be had yet");
                self.group.judge(&error)?;
                self.untold_because = error.to_string();
                continue;
            }
            positions.insert(at.clone(), element.as_ref().and_then(position_of));
        }
        Ok(positions)
    }

    /// Those of these partitions that have no leader as far as the brokers know. Asked for their offsets, the client would wait for one.
    fn leaderless<'t>(
        &self,
        partitions: impl Iterator<Item = &'t TopicPartition>,
    ) -> Vec<TopicPartition> {
        let mut of_topics: BTreeMap<&Arc<str>, Vec<&TopicPartition>> = BTreeMap::new();
        for at in partitions {
            of_topics.entry(&at.topic).or_default().push(at);
        }
        let mut leaderless = Vec::new();
        for (topic, partitions) in of_topics {
            let consumer = self.group.consumer();
            let Ok(metadata) = consumer.fetch_metadata(Some(topic), LOOK_TIMEOUT) else {
                continue; // whoever asks for the offsets is told why
            };
            let of_topic = metadata.topics().iter().flat_map(|one| one.partitions());
            let without = of_topic.filter(|one| one.leader() < 0);
            let ids: BTreeSet<i32> = without.map(|one| one.id()).collect();
            let is_without = |at: &&TopicPartition| ids.contains(&at.partition);
            leaderless.extend(partitions.into_iter().filter(is_without).cloned());
        }
        leaderless
    }

    /// What is assigned waits; whoever polls is told when that takes long.
    fn complain(&mut self) -> Result<bool, LogError> {
        let overdue = self.untold.overdue(Instant::now());
        let Some(first) = overdue.first() else {
            return Ok(false);
        };
        let count = overdue.len();
        let why = &self.untold_because;
        let what = format!(
            "the positions of {count} assigned partitions are not to be had, {first} the first of them: {why}"
        );
        Err(LogError::Unavailable(self.group.explain(what)))
    }

    /// Messages from an offset on, from the next poll on.
    pub(super) fn seek(&mut self, at: &TopicPartition, offset: i64) {
        // Where the group has taken it back in the meantime, it says so in the next poll.
        if let Some(owned) = self.owned.get_mut(at) {
            owned.delivery = Some(Delivery::from(offset.max(owned.log_start)));
        }
    }

    /// Takes a partition from the client, and keeps it.
    pub(super) fn rest(&mut self, at: &TopicPartition) {
        if let Some(owned) = self.owned.get_mut(at) {
            owned.delivery = None;
        }
    }

    /// Tells the client what is to be fetched, and from where.
    fn tell_client(&mut self) -> Result<(), LogError> {
        let is_new = |owned: &Owned| owned.delivery.as_ref().is_some_and(|one| one.is_new);
        let is_over = |owned: &Owned| owned.queue.is_some() && owned.delivery.is_none();
        let changed = |(_, owned): &(&TopicPartition, &mut Owned)| is_new(owned) || is_over(owned);
        let mut changed = self.owned.iter_mut().filter(changed).peekable();
        if changed.peek().is_none() {
            return Ok(());
        }
        let (mut over, mut new) = (TopicPartitionList::new(), TopicPartitionList::new());
        let fatal = |what: &str, error: &KafkaError| LogError::Fatal(format!("{what}: {error}"));
        for (at, owned) in changed {
            if owned.queue.take().is_some() {
                over.add_partition(&at.topic, at.partition);
            }
            let Some(delivery) = &mut owned.delivery else {
                continue;
            };
            delivery.is_new = false;
            new.add_partition_offset(
                &at.topic,
                at.partition,
                Offset::Offset(delivery.next_offset),
            )
            .map_err(|error| fatal(&format!("{at}: seek"), &error))?;
        }
        self.group.meddle();
        if over.count() > 0 {
            self.group
                .consumer()
                .incremental_unassign(&over)
                .map_err(|error| fatal("rest", &error))?;
        }
        // Before they are given to the client, so that no message has gone the common way.
        for element in new.elements() {
            let at = TopicPartition::new(element.topic(), element.partition());
            let bell = self.group.member().bell.clone();
            let queue = PartitionQueue::split(self.group.consumer(), &at.topic, at.partition, bell)
                .ok_or_else(|| {
                    LogError::Fatal(format!("\"{}\" is no name for a topic", at.topic))
                })?;
            if let Some(owned) = self.owned.get_mut(&at) {
                owned.queue = Some(queue);
            }
        }
        if new.count() > 0 {
            self.group
                .consumer()
                .incremental_assign(&new)
                .map_err(|error| fatal("seek", &error))?;
        }
        Ok(())
    }

    pub(super) fn hold(&mut self, at: &TopicPartition, held: bool) {
        let owned = self.owned.get_mut(at);
        if let Some(delivery) = owned.and_then(|owned| owned.delivery.as_mut()) {
            delivery.held = held;
        }
    }

    pub(super) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.group.member().bell)
    }

    pub(super) fn lag(&self, at: &TopicPartition) -> Option<u64> {
        let delivery = self.owned.get(at)?.delivery.as_ref()?;
        let end = known_end(self.group.consumer(), &at.topic, at.partition)?;
        let ahead = u64::try_from(end - delivery.next_offset).unwrap_or(0);
        // Until the client has said that all is read, markers and what is not committed yet may be all that lies ahead, or not.
        Some(if delivery.at_end { ahead } else { ahead.max(1) })
    }

    /// Hands over what has been fetched, a turn for each partition. Whether there was anything.
    fn serve_partitions(&mut self, handler: &mut dyn Handler) -> Result<bool, LogError> {
        let mut budget = POLL_MESSAGES;
        let (mut displaced, mut denied, mut doubtful) = (Vec::new(), None, Vec::new());
        let mut any = false;
        let first = self.next_turn.take();
        let (before, after): (Vec<_>, Vec<_>) = self
            .owned
            .iter_mut()
            .partition(|(at, _)| first.as_ref().is_some_and(|first| *at < first));
        for (at, owned) in after.into_iter().chain(before) {
            let (Some(queue), Some(delivery)) = (&mut owned.queue, &mut owned.delivery) else {
                continue;
            };
            if delivery.held || delivery.is_new || self.releasing.contains(at) {
                continue;
            }
            if budget == 0 {
                self.next_turn = Some(at.clone());
                break;
            }
            let batch = match delivery.untaken.take() {
                Some(untaken) => untaken.batch(&mut self.buffer),
                None => queue.batch(&mut self.buffer),
            };
            let handed = delivery.hand_over(at, batch.entries(), handler);
            delivery.untaken = batch.keep_from(handed.entries);
            budget = budget.saturating_sub(handed.messages);
            any |= handed.messages > 0;
            if handed.doubtful {
                doubtful.push((at.clone(), delivery.next_offset));
            }
            match handed.error {
                None => {}
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                    displaced.push((at.clone(), delivery.next_offset))
                }
                Some(code) => match Resource::read(&at.topic).denied(code) {
                    Some(why) => denied = Some(why),
                    None => tracing::warn!(%at, %code, "while reading"),
                },
            }
        }
        if let Some(why) = denied {
            return Err(LogError::Fatal(why));
        }
        for (at, next_offset) in doubtful {
            tracing::debug!(%at, next_offset, "read again from where all had been read");
            self.seek(&at, next_offset);
        }
        let mut outcome = Ok(any);
        for (at, next_offset) in displaced {
            if let Err(error) = self.find_place(&at, next_offset, handler) {
                // The client fetches no more of it, and would not say so again.
                self.seek(&at, next_offset);
                outcome = Err(error);
            }
        }
        outcome
    }

    /// The log no longer has, or never had, what we wanted to read next.
    fn find_place(
        &mut self,
        at: &TopicPartition,
        next_offset: i64,
        handler: &mut dyn Handler,
    ) -> Result<(), LogError> {
        let (start, end) = watermarks(self.group.consumer(), at, REQUEST_TIMEOUT)?;
        if next_offset > end {
            if handler.displaced(at, next_offset) {
                return Ok(());
            }
            return Err(LogError::Fatal(format!(
                "{at} ends at offset {end}, but {next_offset} is to be read next: the topic was made anew or has lost messages; use another group_id, or give the group positions that exist"
            )));
        }
        if next_offset < start {
            handler.skipped(at, next_offset, start);
        }
        if let Some(owned) = self.owned.get_mut(at) {
            owned.log_start = start;
        }
        self.seek(at, next_offset.max(start));
        Ok(())
    }
}

impl Drop for Membership {
    /// Leaves the group. The client asks once more for what it has; nobody polls by then. What it has asked and was not answered is answered first: it
    /// would wait for that without end, and be a member all that time.
    fn drop(&mut self) {
        let mut gone = std::mem::take(&mut self.releasing);
        let mut is_asked = !gone.is_empty();
        let nothing = TopicPartitionList::new();
        let told = |outcome: Result<(), KafkaError>| {
            if let Err(error) = outcome {
                tracing::debug!(%error, "while leaving");
            }
        };
        while let Some(event) = self.group.member().next_event() {
            match event {
                GroupEvent::Assigned(_) => told(self.group.consumer().incremental_assign(&nothing)),
                GroupEvent::Revoked { partitions, .. } => {
                    gone.extend(partitions);
                    is_asked = true;
                }
            }
        }
        if is_asked && let Err(error) = self.let_go(&gone) {
            // Of these some are not the client's any more. That is an answer, too: what is left goes with the client.
            tracing::debug!(%error, "while leaving");
            told(self.group.consumer().incremental_unassign(&nothing));
        }
        self.group.member().close();
        self.owned.clear();
    }
}

/// What a broker has answered of a partition, if anything was committed.
fn position_of(element: &TopicPartitionListElem<'_>) -> Option<Position> {
    match element.offset() {
        Offset::Offset(next_offset) => Some(Position {
            next_offset,
            metadata: element.metadata().to_string(),
        }),
        _ => None,
    }
}
