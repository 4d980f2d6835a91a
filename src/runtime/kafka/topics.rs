//! The part of the log that needs no group: topics made and listed, one read to its end, messages written at least once.
//!
//! Holds: a topic that exists is left as it is; `create` returns when every partition has a leader and can be written to.
//! Checked by: tests/kafka.

use super::client::{Complaints, Deliveries, Listener, admin, loose, reader, unmakeable};
use super::credentials::{Change, Credentials};
use super::edge::{Buffer, Entry, PartitionQueue, describe_topics};
use super::layout::Shape;
use super::rights::{Resource, is_denial};
use super::transaction::{drain, send};
use super::watch::Watched;
use crate::config::service;
use crate::runtime::log::{
    LogError, Message, NewTopic, Outgoing, Place, TopicId, TopicPartition, Topics,
};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic as Request, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For a question to the brokers.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// For the ids of topics, which are asked for while a job works: it is asked again, and must not stand still for a broker that does not answer.
const LOOK_TIMEOUT: Duration = Duration::from_secs(3);
/// For a topic made to have its leaders.
const LEADERS_TIMEOUT: Duration = Duration::from_secs(30);
/// So many answers in a row, of whichever brokers, have a new topic before it is believed that all of them have.
const AGREED_MIN: usize = 6;
const AGREE_INTERVAL: Duration = Duration::from_millis(100);
/// For what was published to be safe.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);
/// For a partition read to its end to go on.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// For the admin client's thread to end: it looks ten times a second. It waits for events by the time of day: where the clock has been set back, it does not
/// hear before the old time has come again that it is to end.
const ADMIN_END_MAX: Duration = Duration::from_secs(1);
/// For the admin client to answer that a question got none in [`REQUEST_TIMEOUT`].
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// Messages a call.
const BATCH: usize = 1000;

/// Topics of a Kafka cluster, without membership in any group.
pub struct KafkaTopics {
    pub(super) admin: Watched<AdminClient<Listener>>,
    pub(super) reader: Watched<Arc<BaseConsumer<Listener>>>,
    loose: Watched<BaseProducer<Deliveries>>,
    deliveries: Deliveries,
    complaints: Complaints,
    pub(super) credentials: Credentials,
    /// The certificates have changed, and the clients were not made with the new ones yet.
    stale: bool,
    settings: service::Topics,
    buffer: Buffer,
}

impl KafkaTopics {
    /// Prepares the clients; nothing is asked of a broker yet.
    pub fn open(
        kafka: &service::Kafka,
        settings: &service::Topics,
    ) -> Result<KafkaTopics, LogError> {
        KafkaTopics::with(Credentials::of(kafka), settings)
    }

    fn with(credentials: Credentials, settings: &service::Topics) -> Result<KafkaTopics, LogError> {
        let kafka = credentials.kafka();
        let broken = |error: KafkaError| unmakeable(kafka, error);
        let listener = Listener::default();
        let deliveries = Deliveries::default();
        let own_admin = AdminClient::from_config_and_context(&admin(kafka), listener.clone());
        let own_reader = BaseConsumer::from_config_and_context(&reader(kafka), listener.clone());
        let own_loose = BaseProducer::from_config_and_context(&loose(kafka), deliveries.clone());
        let own_admin = own_admin.map_err(broken)?;
        let topics = KafkaTopics {
            admin: Watched::within(ADMIN_END_MAX, "admin's end", own_admin),
            reader: Watched::new("reader's end", Arc::new(own_reader.map_err(broken)?)),
            loose: Watched::new("producer's end", own_loose.map_err(broken)?),
            deliveries,
            complaints: listener.complaints,
            credentials,
            stale: false,
            settings: settings.clone(),
            buffer: Buffer::with_room_for(BATCH),
        };
        topics.bring();
        Ok(topics)
    }

    fn bring(&self) {
        self.credentials.bring(self.admin.inner());
        self.credentials.bring(self.reader.client());
        self.credentials.bring(self.loose.client());
    }

    /// Follows the files that the credentials come from. Certificates take new clients: nothing is lost with the old ones, because whoever
    /// publishes waits for the flush.
    pub(super) fn follow_credentials(&mut self) -> Result<(), LogError> {
        match self.credentials.look() {
            Change::None => {}
            Change::Login => self.bring(),
            Change::Certificates => self.stale = true,
        }
        if self.stale {
            // Should it fail, the next call tries again.
            self.flush()?;
            self.stale = false;
            match KafkaTopics::with(Credentials::of(self.credentials.kafka()), &self.settings) {
                Ok(renewed) => *self = renewed,
                Err(error) => {
                    tracing::warn!(%error, "the new certificates do not load; the old ones stay in use");
                }
            }
        }
        Ok(())
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

    /// Waits until brokers, whichever is asked, have the topics. A group whose members learn of its topics from one broker and have them assigned by
    /// the word of another that does not know them yet goes without them, for good.
    fn await_leaders(&self, topics: &[&NewTopic]) -> Result<(), LogError> {
        let deadline = Instant::now() + LEADERS_TIMEOUT;
        let mut agreed = 0;
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
            let wanted = match metadata.brokers().len() {
                0 | 1 => 1,
                _ => AGREED_MIN,
            };
            match topics.iter().find(|topic| !led(topic)) {
                None if agreed + 1 >= wanted => return Ok(()),
                None => {
                    agreed += 1;
                    std::thread::sleep(AGREE_INTERVAL);
                }
                Some(topic) if Instant::now() > deadline => {
                    return Err(self.unavailable(format!("topic \"{}\" has no leader", topic.name)));
                }
                Some(_) => {
                    agreed = 0;
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
    }

    /// Brokers list only what we may describe. Asked for by name, they say whether a topic is hidden; one that is not there they take for
    /// hidden, too, as long as we have no right to topics of its name.
    fn refuse_if_hidden(&self, name: &str) -> Result<(), LogError> {
        let answer = self
            .reader
            .fetch_metadata(Some(name), REQUEST_TIMEOUT)
            .map_err(|error| self.unavailable(format!("the brokers do not answer: {error}")))?;
        let denied = answer.topics().iter().find_map(|topic| {
            let code = RDKafkaErrorCode::from(topic.error()?);
            Resource::read(name).denied(code)
        });
        denied.map_or(Ok(()), |why| Err(LogError::Fatal(why)))
    }

    /// Who may write to no topic at all is given no id for a producer, by the name of a right to the cluster.
    fn denied_all(&self, topic: &Resource) -> Option<String> {
        let (code, _) = self.loose.client().fatal_error()?;
        (code == RDKafkaErrorCode::ClusterAuthorizationFailed).then(|| topic.missing())
    }

    fn metadata(&self) -> Result<rdkafka::metadata::Metadata, LogError> {
        self.reader
            .fetch_metadata(None, REQUEST_TIMEOUT)
            .map_err(|error| self.unavailable(format!("the brokers do not answer: {error}")))
    }
}

impl Topics for KafkaTopics {
    fn partitions(&mut self, names: &[String]) -> Result<BTreeMap<String, i32>, LogError> {
        self.follow_credentials()?;
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
        let found: BTreeMap<String, i32> = found
            .map(|topic| (topic.name().to_string(), count(topic.partitions())))
            .collect();
        for name in names.iter().filter(|name| !name.starts_with('^')) {
            if !found.contains_key(name) {
                self.refuse_if_hidden(name)?;
            }
        }
        Ok(found)
    }

    fn identities(&mut self, names: &[String]) -> Result<BTreeMap<String, TopicId>, LogError> {
        self.follow_credentials()?;
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let answers = describe_topics(self.admin.inner(), names, LOOK_TIMEOUT)
            .map_err(|error| self.unavailable(format!("the brokers do not answer: {error}")))?;
        let mut found = BTreeMap::new();
        for (name, answer) in answers {
            match answer {
                Ok(id) => drop(found.insert(name, TopicId(id))),
                Err(RDKafkaErrorCode::UnknownTopicOrPartition) => {}
                Err(code) => {
                    return Err(match Resource::read(&name).denied(code) {
                        Some(why) => LogError::Fatal(why),
                        None => LogError::Unavailable(format!("topic \"{name}\": {code}")),
                    });
                }
            }
        }
        Ok(found)
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
                    let why = Resource::created(&name).why(code);
                    return Err(LogError::Fatal(format!(
                        "topic \"{name}\" is missing and cannot be created: {why}"
                    )));
                }
            }
        }
        self.await_leaders(&missing)
    }

    fn publish(&mut self, messages: &[Outgoing]) -> Result<(), LogError> {
        self.follow_credentials()?;
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        for message in messages {
            send(&self.loose, message, deadline).map_err(|error| {
                match self.denied_all(&Resource::written(&message.topic)) {
                    Some(why) => LogError::Fatal(why),
                    None => self.unavailable(error),
                }
            })?;
        }
        self.loose.poll(Duration::ZERO);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        drain(&self.loose, Instant::now() + FLUSH_TIMEOUT)
            .map_err(|error| self.unavailable(error))?;
        match self.deliveries.take_failure() {
            Some((error, topic)) => {
                let denied = error
                    .rdkafka_error_code()
                    .and_then(|code| topic.denied(code))
                    .or_else(|| self.denied_all(&topic));
                Err(match denied {
                    Some(why) => LogError::Fatal(why),
                    None => LogError::Unavailable(format!("not everything was written: {error}")),
                })
            }
            None => Ok(()),
        }
    }

    fn read(
        &mut self,
        at: &TopicPartition,
        from: i64,
        sink: &mut dyn FnMut(&Message<'_>),
    ) -> Result<i64, LogError> {
        self.follow_credentials()?;
        let (start, end) = watermarks(&self.reader, at, REQUEST_TIMEOUT)?;
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
        let resource = Resource::read(&at.topic);
        let range = (from, end);
        let outcome = read_to(
            &mut queue,
            &mut self.buffer,
            &self.reader,
            range,
            &resource,
            sink,
        );
        self.reader.unassign().map_err(unavailable)?;
        outcome.map_err(|error| match error {
            ReadError::Denied(why) => LogError::Fatal(why),
            ReadError::Stalled(why) => self.unavailable(format!("{at}: {why}")),
        })
    }

    fn offset_of(&mut self, at: &TopicPartition, place: Place) -> Result<i64, LogError> {
        let (start, end) = watermarks(&self.reader, at, REQUEST_TIMEOUT)?;
        let since_ms = match place {
            Place::Start => return Ok(start),
            Place::End => return Ok(end),
            Place::Time(since_ms) => since_ms,
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

/// Why a partition was not read to its end.
enum ReadError {
    Denied(String),
    Stalled(String),
}

/// Reads a range of offsets, or until the client says that no more is readable.
fn read_to<C: ConsumerContext + ClientContext>(
    queue: &mut PartitionQueue<C>,
    buffer: &mut Buffer,
    consumer: &BaseConsumer<C>,
    (from, end): (i64, i64),
    resource: &Resource,
    sink: &mut dyn FnMut(&Message<'_>),
) -> Result<i64, ReadError> {
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
                Entry::Error(code) if is_denial(code) => {
                    return Err(ReadError::Denied(resource.denied(code).unwrap_or_default()));
                }
                Entry::Error(error) => tracing::warn!(%error, "while reading a topic to its end"),
            }
        }
        if batch.len() > 0 {
            deadline = Instant::now() + READ_TIMEOUT;
        } else if Instant::now() > deadline {
            let why = format!("nothing came between offsets {next} and {end}");
            return Err(ReadError::Stalled(why));
        } else {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(next)
}

/// The log's start, and the end of what is readable.
///
/// The client asks for both at once; where one question fails and the other's answer comes in the same moment (a leader that has just moved), it gives the one
/// answer for both, as of a log that is empty. So the edges of a log that looks empty are asked for one after the other.
pub(super) fn watermarks<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    at: &TopicPartition,
    timeout: Duration,
) -> Result<(i64, i64), LogError> {
    let answer = consumer.fetch_watermarks(&at.topic, at.partition, timeout);
    let (start, end) = answer.map_err(|error| unanswered(at, error))?;
    if start < end {
        return Ok((start, end));
    }
    let end = edge(consumer, at, Offset::End, timeout)?;
    Ok((edge(consumer, at, Offset::Beginning, timeout)?, end))
}

/// One edge of a log: a question for a time, which in place of one may have the name of an edge.
fn edge<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    at: &TopicPartition,
    which: Offset,
    timeout: Duration,
) -> Result<i64, LogError> {
    let asked = only(at, which).map_err(|error| unanswered(at, error))?;
    let answer = consumer
        .offsets_for_times(asked, timeout)
        .map_err(|error| unanswered(at, error))?;
    let found = answer.find_partition(&at.topic, at.partition);
    let found = found.ok_or_else(|| LogError::Unavailable(format!("{at}: no answer")))?;
    found.error().map_err(|error| unanswered(at, error))?;
    match found.offset() {
        Offset::Offset(offset) => Ok(offset),
        other => Err(LogError::Unavailable(format!(
            "{at}: {other:?} is no offset"
        ))),
    }
}

/// Why a question about a partition has no answer.
fn unanswered(at: &TopicPartition, error: KafkaError) -> LogError {
    let code = error.rdkafka_error_code();
    match code.and_then(|code| Resource::read(&at.topic).denied(code)) {
        Some(why) => LogError::Fatal(why),
        None => LogError::Unavailable(format!("{at}: {error}")),
    }
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

/// The admin client answers with futures, from a thread of its own, within the time that it was given; should it not, nobody waits on.
pub(super) fn block_on<T>(
    future: impl Future<Output = Result<T, KafkaError>>,
) -> Result<T, KafkaError> {
    let answered = async { tokio::time::timeout(ANSWER_MAX, future).await };
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime with a clock only needs nothing of the system")
        .block_on(answered)
        .unwrap_or(Err(KafkaError::AdminOp(
            RDKafkaErrorCode::OperationTimedOut,
        )))
}
