//! A member's standing in its consumer group: what the group has decided, whether that still holds, and what proves it to the brokers.
//!
//! Whatever the client is told of its partitions passes for the answer to the group's question, if one is open: taking one partition from it to
//! begin it elsewhere would give others away that it was asked for, before we have heard of that, and what we commit of them then is nobody's to refuse.
//! So whoever tells the client of partitions without being asked says so (`meddle`), and does it only where no question is known to be open. Should one have been
//! put in that very moment, what it asked for counts as lost: nothing more is said of it. And a transaction proves itself only with a state of the group of which
//! everything has been heard.
//!
//! What the client does not tell is seen by the state of the group: another name (it had forgotten us: `name`), a generation too many (the client joined again with a question
//! open: `decided`), too long without a poll (`is_overdue`).
//!
//! Checked by: tests/kafka (log, forgotten, faults).

use super::client::{GroupEvent, Member, member, unmakeable};
use super::credentials::Credentials;
use super::edge::{is_quiet, standing};
use super::rights::Resource;
use super::watch::Watched;
use crate::config::service;
use crate::runtime::log::{CommitError, LogError};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use std::cell::Cell;
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Events of the client's worked off at once.
const EVENTS_MAX: usize = 1000;
/// At a group that does not come to rest, for a transaction.
const LOOKS_MAX: usize = 10;
/// `max.poll.interval.ms`, where nothing is said.
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(300);
/// Between two words on all brokers being away.
const DESERTED_INTERVAL: Duration = Duration::from_secs(10);

/// One member's end of a consumer group.
pub(super) struct Group {
    resource: Resource,
    /// The client has been told of partitions since it was last seen that the group asked nothing: a question that we hear of now may have been answered by that.
    meddled: Cell<bool>,
    /// By what the group knew us when it assigned what we have. `None`: it has forgotten us since, and what we have may have been another's.
    name: Option<CString>,
    /// The generation in which the group's last decision was heard.
    decided: Option<i32>,
    /// A question stays open until it is answered: what the group wants back is ours until then.
    waits_for_answers: bool,
    /// When the client was polled last.
    polled: Cell<Instant>,
    /// Without a poll for that long the client leaves the group.
    poll_interval_max: Duration,
    /// When it was said last that no broker is there: the client says so dozens of times a second.
    deserted: Cell<Option<Instant>>,
    /// Its end waits for the group.
    consumer: Watched<Arc<BaseConsumer<Member>>>,
}

impl Group {
    /// A client that has subscribed to nothing.
    pub(super) fn new(credentials: &Credentials, prefetch: usize) -> Result<Group, LogError> {
        let kafka = credentials.kafka();
        let config = member(kafka, prefetch);
        let mut consumer = BaseConsumer::from_config_and_context(&config, Member::default())
            .map_err(|error| unmakeable(kafka, error))?;
        credentials.bring(consumer.client());
        let bell = consumer.context().bell.clone();
        consumer.set_nonempty_callback(move || bell.ring());
        Ok(Group {
            resource: Resource::group(&kafka.group_id),
            meddled: Cell::new(false),
            name: None,
            decided: None,
            waits_for_answers: kafka.speaks_consumer_protocol(),
            polled: Cell::new(Instant::now()),
            poll_interval_max: poll_interval_max(kafka),
            deserted: Cell::new(None),
            consumer: Watched::new("member's end", Arc::new(consumer)),
        })
    }

    /// The client.
    pub(super) fn consumer(&self) -> &Arc<BaseConsumer<Member>> {
        &self.consumer
    }

    /// What the client hears.
    pub(super) fn member(&self) -> &Member {
        self.consumer.context()
    }

    /// Whether the client has not been polled for so long that it has left the group, or will. In the protocol of KIP-848 librdkafka forgets that it was to join
    /// anew if the group had just asked for something, and goes on as if it were a member.
    pub(super) fn is_overdue(&self) -> bool {
        self.polled.get().elapsed() >= self.poll_interval_max
    }

    /// Lets the client work off its events; the group's wait to be acted on. Whether none is left.
    pub(super) fn hear(&self) -> Result<bool, LogError> {
        self.polled.set(Instant::now());
        for _ in 0..EVENTS_MAX {
            match self.consumer.poll(Duration::ZERO) {
                None if is_quiet(&self.consumer) => return Ok(true),
                None => {} // it was of another kind
                Some(Ok(message)) => unreachable!(
                    "every partition has its own queue, yet {message:?} came by the common one"
                ),
                Some(Err(error)) => self.judge(&error)?,
            }
        }
        Ok(false)
    }

    /// What the group has decided next, of what was heard. What it assigns is taken; what it wants back it gets by [`Group::give`].
    /// `is_empty_handed`: nothing that it has assigned before is ours.
    pub(super) fn next_decision(
        &mut self,
        is_empty_handed: bool,
    ) -> Result<Option<GroupEvent>, LogError> {
        let Some(event) = self.member().next_event() else {
            return Ok(None);
        };
        let is_late = !self.hear_generation();
        Ok(Some(match event {
            GroupEvent::Assigned(partitions) => {
                self.note_name(is_empty_handed);
                // The client only wants to know that the assignment was heard; each partition follows when it is to be read.
                self.consumer
                    .incremental_assign(&TopicPartitionList::new())
                    .map_err(|error| self.refused("assignment", &error))?;
                GroupEvent::Assigned(partitions)
            }
            GroupEvent::Revoked { partitions, lost } => {
                let lost = lost || self.meddled.get() || is_late;
                GroupEvent::Revoked { partitions, lost }
            }
        }))
    }

    /// Notes the generation in which a decision is heard: whether it is of that one. In the classic protocol librdkafka joins again where a topic has grown or is gone, also
    /// while it has asked for partitions and was not answered (`rd_kafka_cgrp_metadata_update_check`), and says that it has those no more. Each generation brings a decision: where more
    /// than one has gone by since the last that was heard, this one may be of an earlier one, and what it wants back another's by now.
    fn hear_generation(&mut self) -> bool {
        let Some((_, now)) = standing(&self.consumer) else {
            return false;
        };
        let before = self.decided.replace(now);
        self.waits_for_answers || before.is_none_or(|before| now <= before.saturating_add(1))
    }

    /// By what the group knows us that is about to assign us something: before it is answered, for then the client joins anew if it has been forgotten, and one with a
    /// lasting name (`group.instance.id`) keeps what else it has without a word.
    fn note_name(&mut self, is_empty_handed: bool) {
        let name = standing(&self.consumer).map(|(name, _)| name);
        self.name = match is_empty_handed {
            true => name,
            false => self.name.take().filter(|held| Some(held) == name.as_ref()),
        };
    }

    /// The client is told of partitions though the group has not asked.
    pub(super) fn meddle(&self) {
        self.meddled.set(true);
    }

    /// All that the group had asked has been heard and told.
    pub(super) fn note_rest(&self) {
        self.meddled.set(false);
    }

    /// Gives the group what it wants back: of that, the client those that it fetches.
    pub(super) fn give(&self, fetched: &TopicPartitionList) -> Result<(), LogError> {
        self.consumer
            .incremental_unassign(fetched)
            .map_err(|error| self.refused("release", &error))
    }

    /// The group as it is now: what a transaction proves itself with. [`CommitError::Retry`] where the group wants partitions back of which nobody has been told:
    /// what is committed in this state might be committed of another member's. Brokers do not ask whose the partitions are: we do. [`CommitError::Fenced`] where the
    /// group has forgotten us, and has taken us in again with what we had: somebody else may have had it meanwhile. `is_asked`: it was told that some are wanted
    /// back, and they are still ours.
    pub(super) fn proof(&self, is_asked: bool) -> Result<ConsumerGroupMetadata, CommitError> {
        let retry = |why: &str| Err(CommitError::Retry(why.to_owned()));
        for _ in 0..LOOKS_MAX {
            self.hear().map_err(|error| match error {
                LogError::Fatal(why) => CommitError::Fatal(why),
                LogError::Unavailable(why) => CommitError::Retry(why),
            })?;
            let before = standing(&self.consumer);
            let metadata = self.consumer.group_metadata();
            let is_same = before == standing(&self.consumer);
            if self.member().wants_back() {
                return retry("the group wants partitions back");
            }
            // What it had decided by then would be here.
            if is_same && is_quiet(&self.consumer) {
                self.note_rest();
                let (Some((name, generation)), Some(metadata)) = (before, metadata) else {
                    return retry("not a member of the group now");
                };
                if is_asked && !self.waits_for_answers && self.decided != Some(generation) {
                    return retry(
                        "the group has not waited for the partitions that it wanted back",
                    );
                }
                return match self.name.as_ref() == Some(&name) {
                    true => Ok(metadata),
                    false => Err(CommitError::Fenced(
                        "the group had forgotten this member and has taken it in as another".into(),
                    )),
                };
            }
        }
        retry("the group does not come to rest")
    }

    /// Whether a client error ends everything. Most heal.
    pub(super) fn judge(&self, error: &KafkaError) -> Result<(), LogError> {
        let is_fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
        match error.rdkafka_error_code() {
            Some(code @ RDKafkaErrorCode::GroupAuthorizationFailed) => Err(LogError::Fatal(
                self.resource.denied(code).unwrap_or_default(),
            )),
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                Err(LogError::Fatal(self.explain(error)))
            }
            _ if is_fatal => Err(LogError::Fatal(self.explain(error))),
            Some(RDKafkaErrorCode::AllBrokersDown) if self.is_known_to_be_deserted() => Ok(()),
            _ => {
                tracing::warn!(%error, "kafka consumer");
                Ok(())
            }
        }
    }

    /// What went wrong, and what the client has said last as its likely cause.
    pub(super) fn explain(&self, what: impl std::fmt::Display) -> String {
        self.member().complaints.explain(what)
    }

    /// Whether it was said a moment ago that no broker is there.
    fn is_known_to_be_deserted(&self) -> bool {
        let said = self.deserted.get();
        let is_known = said.is_some_and(|said| said.elapsed() < DESERTED_INTERVAL);
        if !is_known {
            self.deserted.set(Some(Instant::now()));
        }
        is_known
    }

    fn refused(&self, step: &str, error: &KafkaError) -> LogError {
        LogError::Unavailable(self.explain(format!("{step}: {error}")))
    }
}

/// How long a group waits for a member that lives, and does not poll.
fn poll_interval_max(kafka: &service::Kafka) -> Duration {
    let said = kafka.property("max.poll.interval.ms");
    let said = said.and_then(|said| said.trim().parse().ok());
    said.map_or(POLL_INTERVAL_MAX, Duration::from_millis)
}
