//! The part of the log that needs no group: topics made and listed, one read to its end, messages written at least once.
//!
//! Holds: a topic that exists is left as it is; `create` returns when every partition has a leader and can be written to.
//! Checked by: tests/kafka.

use super::client::{Complaints, Deliveries, Listener, admin, loose, reader};
use super::edge::{Buffer, Entry, PartitionQueue};
use super::layout::Shape;
use super::transaction::{drain, send};
use crate::config::service;
use crate::runtime::log::{LogError, Message, NewTopic, Outgoing, Place, TopicPartition, Topics};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic as Request, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::BaseProducer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For a question to the brokers.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// For a topic made to have its leaders.
const LEADERS_TIMEOUT: Duration = Duration::from_secs(30);
/// For what was published to be safe.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);
/// For a partition read to its end to go on.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Messages a call.
const BATCH: usize = 1000;

/// Topics of a Kafka cluster, without membership in any group.
pub struct KafkaTopics {
    pub(super) kafka: service::Kafka,
    pub(super) admin: AdminClient<Listener>,
    pub(super) reader: Arc<BaseConsumer<Listener>>,
    loose: BaseProducer<Deliveries>,
    deliveries: Deliveries,
    complaints: Complaints,
    settings: service::Topics,
    buffer: Buffer,
}

impl KafkaTopics {
    /// Prepares the clients; nothing is asked of a broker yet.
    pub fn open(
        kafka: &service::Kafka,
        settings: &service::Topics,
    ) -> Result<KafkaTopics, LogError> {
        let broken = |error: KafkaError| LogError::Fatal(format!("kafka.properties: {error}"));
        let listener = Listener::default();
        let deliveries = Deliveries::default();
        Ok(KafkaTopics {
            kafka: kafka.clone(),
            admin: AdminClient::from_config_and_context(&admin(kafka), listener.clone())
                .map_err(broken)?,
            reader: Arc::new(
                BaseConsumer::from_config_and_context(&reader(kafka), listener.clone())
                    .map_err(broken)?,
            ),
            loose: BaseProducer::from_config_and_context(&loose(kafka), deliveries.clone())
                .map_err(broken)?,
            deliveries,
            complaints: listener.complaints,
            settings: settings.clone(),
            buffer: Buffer::with_room_for(BATCH),
        })
    }

    /// What keeps the brokers from answering, as far as a client has told.
    pub(super) fn unavailable(&self, what: impl std::fmt::Display) -> LogError {
        // Client errors are events on a queue that nobody has read yet.
        let _ = self.reader.poll(Duration::ZERO);
        LogError::Unavailable(self.complaints.explain(what))
    }

    fn request<'a>(&self, topic: &'a NewTopic, shape: &'a Shape) -> Request<'a> {
        let replication = TopicReplication::Fixed(i32::from(self.settings.replication_factor));
        let request = Request::new(&topic.name, shape.partitions, replication);
        let settings = shape.settings.iter();
        settings.fold(request, |request, (name, value)| request.set(name, value))
    }

    fn await_leaders(&self, topics: &[&NewTopic]) -> Result<(), LogError> {
        let deadline = Instant::now() + LEADERS_TIMEOUT;
        loop {
            let metadata = self.metadata()?;
            let led = |wanted: &&NewTopic| {
                let topic = metadata
                    .topics()
                    .iter()
                    .find(|topic| topic.name() == wanted.name);
                topic.is_some_and(|topic| {
                    let parts = topic.partitions();
                    !parts.is_empty()
                        && parts
                            .iter()
                            .all(|part| part.leader() >= 0 && part.error().is_none())
                })
            };
            match topics.iter().find(|topic| !led(topic)) {
                None => return Ok(()),
                Some(topic) if Instant::now() > deadline => {
                    return Err(self.unavailable(format!("topic \"{}\" has no leader", topic.name)));
                }
                Some(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn metadata(&self) -> Result<rdkafka::metadata::Metadata, LogError> {
        self.reader
            .fetch_metadata(None, REQUEST_TIMEOUT)
            .map_err(|error| self.unavailable(format!("the brokers do not answer: {error}")))
    }
}

impl Topics for KafkaTopics {
    fn partitions(&mut self, names: &[String]) -> Result<BTreeMap<String, i32>, LogError> {
        let patterns = compile(names)?;
        let metadata = self.metadata()?;
        let exists = |topic: &&rdkafka::metadata::MetadataTopic| {
            topic.error().is_none() && !topic.partitions().is_empty()
        };
        let wanted = |name: &str| {
            names.iter().any(|wanted| wanted == name)
                || (!name.starts_with("__")
                    && patterns.iter().any(|pattern| pattern.is_match(name)))
        };
        let found = metadata
            .topics()
            .iter()
            .filter(exists)
            .filter(|topic| wanted(topic.name()));
        Ok(found
            .map(|topic| (topic.name().to_string(), count(topic.partitions())))
            .collect())
    }

    fn create(&mut self, topics: &[NewTopic]) -> Result<(), LogError> {
        let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
        let existing = self.partitions(&names)?;
        let missing: Vec<&NewTopic> = topics
            .iter()
            .filter(|topic| !existing.contains_key(&topic.name))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let shapes: Vec<Shape> = missing
            .iter()
            .map(|topic| Shape::of(topic, &self.settings))
            .collect();
        let requests: Vec<Request<'_>> = missing
            .iter()
            .zip(&shapes)
            .map(|(topic, shape)| self.request(topic, shape))
            .collect();
        let options = AdminOptions::new()
            .request_timeout(Some(REQUEST_TIMEOUT))
            .operation_timeout(Some(REQUEST_TIMEOUT));
        let answer = block_on(self.admin.create_topics(&requests, &options));
        for result in answer
            .map_err(|error| self.unavailable(format!("topics could not be created: {error}")))?
        {
            match result {
                Ok(name) => tracing::info!(topic = name, "created"),
                // Another instance was quicker.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(LogError::Fatal(format!(
                        "topic \"{name}\" is missing and cannot be created: {code}"
                    )));
                }
            }
        }
        self.await_leaders(&missing)
    }

    fn publish(&mut self, messages: &[Outgoing]) -> Result<(), LogError> {
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        for message in messages {
            send(&self.loose, message, deadline).map_err(|error| self.unavailable(error))?;
        }
        self.loose.poll(Duration::ZERO);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        drain(&self.loose, Instant::now() + FLUSH_TIMEOUT)
            .map_err(|error| self.unavailable(error))?;
        match self.deliveries.take_failure() {
            Some(error) => Err(LogError::Unavailable(format!(
                "not everything was written: {error}"
            ))),
            None => Ok(()),
        }
    }

    fn read(
        &mut self,
        at: &TopicPartition,
        from: i64,
        sink: &mut dyn FnMut(&Message<'_>),
    ) -> Result<i64, LogError> {
        let (start, end) = watermarks(&self.reader, at)?;
        let from = from.max(start);
        if from >= end {
            return Ok(from);
        }
        let unavailable = |error: KafkaError| LogError::Unavailable(format!("{at}: {error}"));
        let mut queue =
            PartitionQueue::split(&self.reader, &at.topic, at.partition, Arc::default())
                .ok_or_else(|| {
                    LogError::Fatal(format!("\"{}\" is no name for a topic", at.topic))
                })?;
        self.reader
            .assign(&only(at, Offset::Offset(from)).map_err(unavailable)?)
            .map_err(unavailable)?;
        let outcome = read_to(&mut queue, &mut self.buffer, &self.reader, end, from, sink);
        self.reader.unassign().map_err(unavailable)?;
        outcome.map_err(|error| self.unavailable(format!("{at}: {error}")))
    }

    fn offset_of(&mut self, at: &TopicPartition, place: Place) -> Result<i64, LogError> {
        let (_, end) = watermarks(&self.reader, at)?;
        let Place::Time(since_ms) = place else {
            return Ok(end);
        };
        let unavailable = |error: KafkaError| LogError::Unavailable(format!("{at}: {error}"));
        // Kafka answers a time with an offset in the same field.
        let asked = only(at, Offset::Offset(since_ms)).map_err(unavailable)?;
        let answer = self
            .reader
            .offsets_for_times(asked, REQUEST_TIMEOUT)
            .map_err(unavailable)?;
        let found = answer.find_partition(&at.topic, at.partition);
        match found.map(|element| (element.error(), element.offset())) {
            Some((Ok(()), Offset::Offset(offset))) => Ok(offset),
            Some((Err(error), _)) => Err(unavailable(error)),
            // All messages are older, or there are none.
            _ => Ok(end),
        }
    }
}

/// Reads until `end`, or until the client says that no more is readable.
fn read_to<C: ConsumerContext + ClientContext>(
    queue: &mut PartitionQueue<C>,
    buffer: &mut Buffer,
    consumer: &BaseConsumer<C>,
    end: i64,
    from: i64,
    sink: &mut dyn FnMut(&Message<'_>),
) -> Result<i64, String> {
    let mut next = from;
    let mut deadline = Instant::now() + READ_TIMEOUT;
    while next < end {
        let _ = consumer.poll(Duration::ZERO);
        let batch = queue.batch(buffer);
        for entry in batch.entries() {
            match entry {
                // What was written after the call began belongs to the next.
                Entry::Message(message) if message.offset >= end => return Ok(end),
                Entry::Message(message) => {
                    sink(&message);
                    next = message.offset + 1;
                }
                Entry::End(offset) => return Ok(offset.min(end)),
                Entry::Error(error) => tracing::warn!(%error, "while reading a topic to its end"),
            }
        }
        if batch.len() > 0 {
            deadline = Instant::now() + READ_TIMEOUT;
        } else if Instant::now() > deadline {
            return Err(format!("nothing came between offsets {next} and {end}"));
        } else {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(next)
}

/// The log's start, and the end of what is readable.
pub(super) fn watermarks<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    at: &TopicPartition,
) -> Result<(i64, i64), LogError> {
    consumer
        .fetch_watermarks(&at.topic, at.partition, REQUEST_TIMEOUT)
        .map_err(|error| LogError::Unavailable(format!("{at}: {error}")))
}

/// A list of one partition.
pub(super) fn only(at: &TopicPartition, offset: Offset) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(&at.topic, at.partition, offset)?;
    Ok(list)
}

fn count<T>(items: &[T]) -> i32 {
    i32::try_from(items.len()).expect("a topic has fewer than 2^31 partitions")
}

fn compile(names: &[String]) -> Result<Vec<regex::Regex>, LogError> {
    let patterns = names.iter().filter(|name| name.starts_with('^'));
    patterns
        .map(|pattern| {
            regex::Regex::new(pattern).map_err(|error| {
                LogError::Fatal(format!("\"{pattern}\" is no pattern of topics: {error}"))
            })
        })
        .collect()
}

/// The admin client answers with futures, from a thread of its own.
pub(super) fn block_on<F: std::future::Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers needs nothing of the system")
        .block_on(future)
}
