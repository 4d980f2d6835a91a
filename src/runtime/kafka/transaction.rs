//! Transactions: messages and input positions become visible together, or not at all.
//!
//! ```text
//! begin ─► send all ─► positions, with the group's newest metadata ─► wait until all is delivered ─► commit
//!             └──────────────── abortable ──────────┴────────► purge, wait until nothing is under way, abort
//! ```
//!
//! Every wait has a deadline, also those of the client's that should have and do not (`watch`): a call that does not come back is left alone on its
//! thread, with its producer. Two habits of librdkafka are designed around: its own flush polls in steps of 100 ms, so we wait for delivery
//! ourselves; and a commit that ran out of time must be called again, never followed by an abort (it may have happened).
//! Whoever cannot know how a commit ended is [`CommitError::Fenced`]: a new producer of the same id settles it before positions are read.
//! Checked by: tests/kafka.

use super::client::{Deliveries, transaction_timeout, transactional, unmakeable};
use super::credentials::Credentials;
use super::rights::Resource;
use super::watch::{Watched, watched};
use crate::runtime::clock::{Clock, SystemClock};
use crate::runtime::log::{CommitError, LogError, Outgoing, Position, TopicPartition, Transaction};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, PurgeConfig};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// For one round trip within a transaction.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);
/// For a call of the client's to come back that was given [`STEP_TIMEOUT`].
const CALL_MAX: Duration = Duration::from_secs(8);
/// For the start.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);
const INIT_SLICE: Duration = Duration::from_secs(1);
/// Between two looks at what is under way; a delivery takes a millisecond or more.
const LOOK_INTERVAL: Duration = Duration::from_micros(200);
/// Why a step has failed whose call is left behind.
const LOST_CALL: &str = "the client's call does not come back; another producer takes over";
/// Before a step that could not be done yet is tried again.
const AGAIN_INTERVAL: Duration = Duration::from_millis(20);

/// A producer of transactions.
pub(super) struct TransactionalProducer {
    producer: Watched<Arc<BaseProducer<Deliveries>>>,
    deliveries: Deliveries,
    group: Resource,
    transactional_id: Resource,
    /// For the whole of a transaction, and for ending one.
    timeout: Duration,
}

impl TransactionalProducer {
    /// Takes over the id: whoever had it is fenced off, and what it left open is aborted.
    pub(super) fn take_over(
        credentials: &Credentials,
        transactional_id: &str,
    ) -> Result<TransactionalProducer, LogError> {
        let deliveries = Deliveries::default();
        let kafka = credentials.kafka();
        let config = transactional(kafka, transactional_id);
        let producer = BaseProducer::from_config_and_context(&config, deliveries.clone())
            .map_err(|error| unmakeable(kafka, error))?;
        let producer = Watched::new("producer's end", Arc::new(producer));
        credentials.bring(producer.client());
        let resource = Resource::transactional_id(transactional_id);
        let deadline = Instant::now() + INIT_TIMEOUT;
        // In slices: only between them does the client tell what it has met with, such as a wrong password.
        loop {
            let asked = Arc::clone(&producer);
            let init = move || asked.init_transactions(INIT_SLICE);
            let Some(outcome) = watched("init", CALL_MAX, init) else {
                let why = format!("transactional id \"{transactional_id}\": {LOST_CALL}");
                return Err(LogError::Unavailable(why));
            };
            let Err(error) = outcome else {
                break;
            };
            drain_events(&producer);
            let explain = || {
                let what = format!("transactional id \"{transactional_id}\": {error}");
                deliveries.complaints.explain(what)
            };
            match &error {
                KafkaError::Transaction(error) if error.is_retriable() => {
                    if Instant::now() > deadline {
                        return Err(LogError::Unavailable(explain()));
                    }
                }
                _ => {
                    let denied = error
                        .rdkafka_error_code()
                        .and_then(|code| resource.denied(code));
                    return Err(LogError::Fatal(denied.unwrap_or_else(explain)));
                }
            }
        }
        Ok(TransactionalProducer {
            producer,
            deliveries,
            group: Resource::group(&kafka.group_id),
            transactional_id: resource,
            timeout: transaction_timeout(kafka),
        })
    }

    /// Tells the client a new login.
    pub(super) fn bring(&self, credentials: &Credentials) {
        credentials.bring(self.producer.client());
    }

    /// Runs one transaction. After [`CommitError::Fenced`] this producer is of no more use.
    pub(super) fn run(
        &mut self,
        transaction: Transaction<'_>,
        group: Option<ConsumerGroupMetadata>,
    ) -> Result<(), CommitError> {
        let deadline = Instant::now() + self.timeout;
        let _ = self.deliveries.take_denied();
        let outcome = self.attempt(transaction, group, deadline);
        if let (Err(_), Some(topic)) = (&outcome, self.deliveries.take_denied()) {
            let code = RDKafkaErrorCode::TopicAuthorizationFailed;
            return Err(CommitError::Fatal(topic.denied(code).unwrap_or_default()));
        }
        match outcome {
            Err(CommitError::Retry(why)) => match self.abort() {
                Ok(()) => Err(CommitError::Retry(why)),
                Err(error) => Err(CommitError::Fenced(format!(
                    "{why}, and the abort failed: {error}"
                ))),
            },
            other => other,
        }
    }

    fn attempt(
        &mut self,
        transaction: Transaction<'_>,
        group: Option<ConsumerGroupMetadata>,
        deadline: Instant,
    ) -> Result<(), CommitError> {
        let producer = Arc::clone(&self.producer);
        watched("begin", CALL_MAX, move || producer.begin_transaction())
            .ok_or_else(|| CommitError::Fenced(format!("begin: {LOST_CALL}")))?
            .map_err(|error| verdict("begin", &error, &self.transactional_id))?;
        for message in transaction.messages {
            send(&self.producer, message, deadline).map_err(CommitError::Retry)?;
        }
        if !transaction.positions.is_empty() {
            let group =
                group.ok_or_else(|| CommitError::Retry("the group has not been joined".into()))?;
            let offsets = offsets(transaction.positions)
                .map_err(|error| CommitError::Fatal(error.to_string()))?;
            let given = Arc::new((offsets, group));
            persist("positions", deadline, &self.group, || {
                let (producer, given) = (Arc::clone(&self.producer), Arc::clone(&given));
                watched("positions", CALL_MAX, move || {
                    let (offsets, group) = &*given;
                    producer.send_offsets_to_transaction(offsets, group, STEP_TIMEOUT)
                })
            })
            .map_err(|trouble| unreadable_topic(trouble.undone(), transaction.positions))?;
        }
        drain(&self.producer, deadline).map_err(CommitError::Retry)?;
        if let Some((error, topic)) = self.deliveries.take_failure() {
            return Err(verdict("delivery", &error, &topic));
        }
        // From here on nothing may be aborted because time ran out: the broker may have committed.
        let deadline = Instant::now() + self.timeout;
        persist("commit", deadline, &self.transactional_id, || {
            let producer = Arc::clone(&self.producer);
            let commit = move || producer.commit_transaction(STEP_TIMEOUT);
            watched("commit", CALL_MAX, commit)
        })
        .map_err(|trouble| match trouble {
            Trouble::OutOfTime(why) => CommitError::Fenced(why),
            Trouble::Refused(error) => error,
        })
    }

    fn abort(&mut self) -> Result<(), String> {
        // Undelivered messages would keep the abort waiting for its whole time.
        let producer = Arc::clone(&self.producer);
        let purge = move || producer.purge(PurgeConfig::default().queue().inflight());
        watched("purge", CALL_MAX, purge).ok_or_else(|| format!("purge: {LOST_CALL}"))?;
        drain(&self.producer, Instant::now() + STEP_TIMEOUT)?;
        let _ = self.deliveries.take_failure();
        let deadline = Instant::now() + self.timeout;
        persist("abort", deadline, &self.transactional_id, || {
            let producer = Arc::clone(&self.producer);
            let abort = move || producer.abort_transaction(STEP_TIMEOUT);
            watched("abort", CALL_MAX, abort)
        })
        .map_err(|trouble| trouble.undone().to_string())
    }
}

/// Why a step did not end well.
enum Trouble {
    /// Called again and again, it might yet have.
    OutOfTime(String),
    /// It was told no.
    Refused(CommitError),
}

impl Trouble {
    /// For a step whose transaction can still be aborted.
    fn undone(self) -> CommitError {
        match self {
            Trouble::OutOfTime(why) => CommitError::Retry(why),
            Trouble::Refused(error) => error,
        }
    }
}

/// Calls again while the client says that calling again helps.
fn persist(
    step: &str,
    deadline: Instant,
    resource: &Resource,
    mut call: impl FnMut() -> Option<Result<(), KafkaError>>,
) -> Result<(), Trouble> {
    loop {
        let Some(outcome) = call() else {
            let why = CommitError::Fenced(format!("{step}: {LOST_CALL}"));
            return Err(Trouble::Refused(why));
        };
        match outcome {
            Ok(()) => return Ok(()),
            Err(KafkaError::Transaction(error)) if error.is_retriable() => {
                if Instant::now() > deadline {
                    return Err(Trouble::OutOfTime(format!(
                        "{step}: no answer in time: {error}"
                    )));
                }
                tracing::debug!(step, %error, "again");
                thread::sleep(AGAIN_INTERVAL);
            }
            Err(error) => return Err(Trouble::Refused(verdict(step, &error, resource))),
        }
    }
}

/// Positions are only taken from who may read their topic. The client's word has the names; ours is the sentence.
fn unreadable_topic(error: CommitError, positions: &[(TopicPartition, Position)]) -> CommitError {
    let code = RDKafkaErrorCode::TopicAuthorizationFailed;
    let CommitError::Fatal(why) = &error else {
        return error;
    };
    let topics = positions.iter().map(|(at, _)| &*at.topic);
    let denied = topics
        .filter(|topic| why.contains(topic) && why.contains("Topic authorization failed"))
        .find_map(|topic| Resource::read(topic).denied(code));
    denied.map_or(error, CommitError::Fatal)
}

/// What an error means for the transaction and its producer; `resource` is what the step works on.
fn verdict(step: &str, error: &KafkaError, resource: &Resource) -> CommitError {
    let code = match error {
        KafkaError::Transaction(error) => Some(error.code()),
        other => other.rdkafka_error_code(),
    };
    let what = match code.and_then(|code| resource.denied(code)) {
        Some(denied) => format!("{step}: {denied}"),
        None => format!("{step}: {error}"),
    };
    let is_fatal = matches!(error, KafkaError::Transaction(error) if error.is_fatal());
    match code {
        Some(
            RDKafkaErrorCode::TransactionalIdAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::UnsupportedVersion
            | RDKafkaErrorCode::OffsetMetadataTooLarge
            | RDKafkaErrorCode::InvalidCommitOffsetSize
            | RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::InvalidRecord,
        ) => CommitError::Fatal(what),
        Some(
            RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::InvalidProducerEpoch
            | RDKafkaErrorCode::ProducerFenced,
        ) => CommitError::Fenced(what),
        _ if is_fatal => CommitError::Fenced(what),
        _ => CommitError::Retry(what),
    }
}

fn offsets(positions: &[(TopicPartition, Position)]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for (at, position) in positions {
        let mut element = list.add_partition(&at.topic, at.partition);
        element.set_offset(Offset::Offset(position.next_offset))?;
        element.set_metadata(&position.metadata);
    }
    Ok(list)
}

/// Hands a message to the client, waiting while its queue is full.
pub(super) fn send(
    producer: &BaseProducer<Deliveries>,
    message: &Outgoing,
    deadline: Instant,
) -> Result<(), String> {
    let mut record = BaseRecord::<[u8], [u8]>::to(&message.topic);
    record.partition = message.partition;
    record.key = message.key.as_deref();
    record.payload = message.payload.as_deref();
    // Brokers refuse messages from the future (an hour, by default), and events may be ahead of the clock.
    record.timestamp = Some(match message.timestamp_ms {
        Some(wanted) => wanted.min(SystemClock.now_ms()),
        None => SystemClock.stamp_ms(),
    });
    if !message.headers.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(message.headers.len());
        record.headers = Some(
            message
                .headers
                .iter()
                .fold(headers, |headers, (key, value)| {
                    headers.insert(Header {
                        key,
                        value: Some(value),
                    })
                }),
        );
    }
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                if Instant::now() < deadline =>
            {
                record = back;
                producer.poll(Duration::from_millis(1));
            }
            Err((error, _)) => return Err(format!("{}: {error}", message.topic)),
        }
    }
}

/// Lets the client tell what it has met with. A poll without patience takes one event.
fn drain_events(producer: &BaseProducer<Deliveries>) {
    for _ in 0..20 {
        producer.poll(Duration::ZERO);
    }
}

/// Waits until nothing is under way any more.
pub(super) fn drain(producer: &BaseProducer<Deliveries>, deadline: Instant) -> Result<(), String> {
    loop {
        producer.poll(Duration::ZERO);
        match producer.in_flight_count() {
            0 => return Ok(()),
            under_way if Instant::now() > deadline => {
                return Err(format!("{under_way} messages were not delivered in time"));
            }
            _ => std::thread::sleep(LOOK_INTERVAL),
        }
    }
}
