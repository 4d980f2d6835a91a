//! The log on Apache Kafka, through librdkafka: [`KafkaLog`] implements [`Log`].
//!
//! ```text
//!  KafkaLog ──┬── membership   one consumer: assignments, batches read from each partition's own queue; its standing in the `group`
//!  (a thread) ├── transaction  one transactional producer: messages and positions, atomically
//!             └── topics       everything that needs no group
//!  Follower ───── partitions read on and on, for people who look
//! ```
//!
//! Credentials are followed while we poll: a new login is told to the clients, new certificates take new clients. For these the partitions are released
//! as in a rebalance (a last commit, a last snapshot, both by the old clients), and the group is joined anew in the next poll.
//!
//! No call of the client's holds up the thread that owns the log for longer than it may take: what has no end of its own is `watch`ed.
//!
//! Kafka's own rules that this relies on (KIP-98, KIP-447): a transactional id has one producer at a time; positions committed with stale
//! group metadata are refused; positions are readable only when no open transaction holds them. librdkafka's names are in `client`, its
//! pointers in `edge`, nowhere else. Checked by: tests/kafka, on a real broker.
#![allow(
    clippy::disallowed_methods,
    reason = "deadlines: every wait for a broker has one"
)]

mod client;
mod credentials;
mod delivery;
mod edge;
mod follow;
mod group;
mod groups;
mod layout;
mod membership;
mod rights;
mod topics;
mod transaction;
mod untold;
mod watch;

use super::log::{
    Bell, CommitError, Handler, Log, LogError, Message, NewTopic, Outgoing, Place, Position,
    Revocation, TopicId, TopicPartition, Topics, Transaction,
};
use crate::config::service;
use client::prefetch_of;
use credentials::{Change, Credentials};
pub use follow::{Begin, Follower};
pub use layout::{Shape, Standing, Step, steps};
use membership::Membership;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
pub use topics::KafkaTopics;
use transaction::TransactionalProducer;

/// A member of a Kafka consumer group with a transactional producer.
pub struct KafkaLog {
    credentials: Credentials,
    transactional_id: String,
    subscription: Vec<String>,
    /// What is fetched ahead of each partition, bytes.
    prefetch: usize,
    topics: KafkaTopics,
    session: Session,
    /// Everything has been released; the next poll leaves the group and joins it with new clients.
    renewing: bool,
}

/// What being fenced off ends.
enum Session {
    Joined {
        membership: Membership,
        producer: TransactionalProducer,
    },
    /// Fenced off; what was ours is still to be told as lost.
    Fenced {
        lost: Vec<TopicPartition>,
    },
    Left,
}

impl KafkaLog {
    /// Connects as this instance of the group, and takes over its transactional id: what an earlier process of that name left open is
    /// aborted. Joins no group yet.
    pub fn open(kafka: &service::Kafka, topics: &service::Topics) -> Result<KafkaLog, LogError> {
        let transactional_id = format!("{}-{}", kafka.group_id, kafka.instance_id);
        let topics = KafkaTopics::open(kafka, topics)?;
        let credentials = Credentials::of(kafka);
        let prefetch = prefetch_of(1);
        let session = Session::join(&credentials, &transactional_id, &[], prefetch)?;
        Ok(KafkaLog {
            prefetch,
            credentials,
            transactional_id,
            subscription: Vec::new(),
            topics,
            session,
            renewing: false,
        })
    }

    /// A member that has joined nothing yet is made anew where it may be given so many partitions that each can only have a part of what one would have.
    fn share_prefetch(&mut self, topics: &[String]) -> Result<(), LogError> {
        let partitions: i32 = self.topics.partitions(topics)?.values().sum();
        let prefetch = prefetch_of(usize::try_from(partitions).unwrap_or(0));
        if prefetch < self.prefetch
            && let Session::Joined { membership, .. } = &mut self.session
        {
            *membership = Membership::new(&self.credentials, prefetch)?;
            self.prefetch = prefetch;
        }
        Ok(())
    }

    /// What has become of our credentials; [`Change::Certificates`] only when new clients can be made with them.
    fn follow_credentials(&mut self) -> Result<Change, LogError> {
        self.topics.follow_credentials()?;
        let change = self.credentials.look();
        match (change, &self.session) {
            (
                Change::Login,
                Session::Joined {
                    membership,
                    producer,
                },
            ) => {
                membership.bring(&self.credentials);
                producer.bring(&self.credentials);
            }
            (Change::Certificates, _) => {
                if let Err(error) = Membership::new(&self.credentials, self.prefetch) {
                    tracing::warn!(%error, "the new certificates do not load; the old ones stay in use");
                    return Ok(Change::None);
                }
            }
            _ => {}
        }
        Ok(change)
    }

    /// Whoever was not heard of for longer than its group waits has nothing any more, whatever its client makes of it.
    fn give_up_overdue(&mut self) {
        if let Session::Joined { membership, .. } = &self.session
            && membership.is_overdue()
        {
            tracing::warn!("not polled for longer than max.poll.interval.ms; joining again as new");
            let lost = membership.told();
            self.session = Session::Fenced { lost };
        }
    }

    fn join(&self) -> Result<Session, LogError> {
        Session::join(
            &self.credentials,
            &self.transactional_id,
            &self.subscription,
            self.prefetch,
        )
    }

    /// Leaves with the old clients and joins with new ones. A failure leaves us outside, to join in a later poll.
    fn renew(&mut self) -> Result<(), LogError> {
        self.renewing = false;
        self.session = Session::Fenced { lost: Vec::new() };
        self.session = self.join()?;
        tracing::info!("joined again with new certificates");
        Ok(())
    }
}

impl Session {
    /// The producer first: positions must not be read while a transaction of our id may still change them.
    fn join(
        credentials: &Credentials,
        transactional_id: &str,
        subscription: &[String],
        prefetch: usize,
    ) -> Result<Session, LogError> {
        let producer = TransactionalProducer::take_over(credentials, transactional_id)?;
        let membership = Membership::new(credentials, prefetch)?;
        if !subscription.is_empty() {
            membership.subscribe(subscription)?;
        }
        Ok(Session::Joined {
            membership,
            producer,
        })
    }
}

impl Topics for KafkaLog {
    fn partitions(&mut self, names: &[String]) -> Result<BTreeMap<String, i32>, LogError> {
        self.topics.partitions(names)
    }

    fn identities(&mut self, names: &[String]) -> Result<BTreeMap<String, TopicId>, LogError> {
        self.topics.identities(names)
    }

    fn create(&mut self, topics: &[NewTopic]) -> Result<(), LogError> {
        self.topics.create(topics)
    }

    fn publish(&mut self, messages: &[Outgoing]) -> Result<(), LogError> {
        self.topics.publish(messages)
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.topics.flush()
    }

    fn read(
        &mut self,
        at: &TopicPartition,
        from: i64,
        sink: &mut dyn FnMut(&Message<'_>),
    ) -> Result<i64, LogError> {
        self.topics.read(at, from, sink)
    }

    fn offset_of(&mut self, at: &TopicPartition, place: Place) -> Result<i64, LogError> {
        self.topics.offset_of(at, place)
    }
}

impl Log for KafkaLog {
    fn subscribe(&mut self, topics: &[String]) -> Result<(), LogError> {
        let is_first = self.subscription.is_empty();
        self.subscription = topics.to_vec();
        if is_first {
            self.share_prefetch(topics)?;
        }
        match &self.session {
            Session::Joined { membership, .. } => membership.subscribe(topics),
            Session::Fenced { .. } | Session::Left => Ok(()),
        }
    }

    fn positions(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Position>, LogError> {
        match &self.session {
            Session::Joined { membership, .. } => membership.positions(partitions),
            Session::Fenced { .. } | Session::Left => Err(LogError::Unavailable(
                "the group has not been joined again yet".into(),
            )),
        }
    }

    fn poll(&mut self, timeout: Duration, handler: &mut dyn Handler) -> Result<(), LogError> {
        if self.renewing {
            return self.renew();
        }
        self.give_up_overdue();
        let change = self.follow_credentials()?;
        match &mut self.session {
            Session::Joined { membership, .. } if change == Change::Certificates => {
                self.renewing = true;
                handler.revoked(&membership.told(), Revocation::Released);
                Ok(())
            }
            Session::Joined { membership, .. } => membership.poll(timeout, handler),
            Session::Fenced { lost } => {
                let lost = std::mem::take(lost);
                if !lost.is_empty() {
                    handler.revoked(&lost, Revocation::Lost);
                }
                self.session = self.join()?;
                Ok(())
            }
            Session::Left => Err(LogError::Fatal("the group has been left".into())),
        }
    }

    fn seek(&mut self, at: &TopicPartition, offset: i64) -> Result<(), LogError> {
        match &mut self.session {
            Session::Joined { membership, .. } => membership.seek(at, offset),
            Session::Fenced { .. } | Session::Left => {}
        }
        Ok(())
    }

    fn rest(&mut self, at: &TopicPartition) -> Result<(), LogError> {
        match &mut self.session {
            Session::Joined { membership, .. } => membership.rest(at),
            Session::Fenced { .. } | Session::Left => {}
        }
        Ok(())
    }

    fn hold(&mut self, at: &TopicPartition, held: bool) {
        if let Session::Joined { membership, .. } = &mut self.session {
            membership.hold(at, held);
        }
    }

    fn bell(&self) -> Option<Arc<Bell>> {
        match &self.session {
            Session::Joined { membership, .. } => Some(membership.bell()),
            Session::Fenced { .. } | Session::Left => None,
        }
    }

    fn lag(&mut self, at: &TopicPartition) -> Option<u64> {
        match &self.session {
            Session::Joined { membership, .. } => membership.lag(at),
            Session::Fenced { .. } | Session::Left => None,
        }
    }

    fn commit(&mut self, transaction: Transaction<'_>) -> Result<(), CommitError> {
        self.give_up_overdue();
        let Session::Joined {
            membership,
            producer,
        } = &mut self.session
        else {
            return Err(CommitError::Fenced(
                "the group has not been joined again yet".into(),
            ));
        };
        let group = match transaction.positions.is_empty() {
            true => Ok(None),
            false => membership.metadata(transaction.positions).map(Some),
        };
        let outcome = group.and_then(|group| producer.run(transaction, group));
        if let Err(CommitError::Fenced(why)) = &outcome {
            tracing::warn!(
                why,
                transactional_id = self.transactional_id,
                "fenced off; joining again as new"
            );
            let lost = membership.told();
            self.session = Session::Fenced { lost };
        }
        outcome
    }

    fn leave(&mut self) -> Result<(), LogError> {
        self.session = Session::Left;
        Ok(())
    }
}
