//! Partitions read from a chosen place on, and on and on: for people who look, without membership in any group and without a trace in one.
//!
//! Reads what is committed only, and writes nothing: no topic, no position, no message. Holds: a partition's messages come in the order of
//! their offsets; `is_at_end` says that all that was readable a moment ago has been handed over. Credentials are followed as everywhere: a new
//! login is told to the client, new certificates take a new one, which goes on where the old one stood.
//! Checked by: tests/kafka/terminal.rs.

use super::client::{Complaints, Listener, reader, unmakeable};
use super::credentials::{Change, Credentials};
use super::edge::{Buffer, Entry, PartitionQueue};
use super::rights::{Resource, is_denial};
use super::topics::{REQUEST_TIMEOUT, only, watermarks};
use super::watch::Watched;
use crate::config::service;
use crate::runtime::log::{Bell, LogError, Message, TopicPartition};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages a call to the client.
const BATCH: usize = 500;
/// The bell is rung for every queue that fills; this only bounds the time until the client's errors are looked at.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// When nothing has come for so long, and the end is not reached, the brokers are away.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With the oldest message that there is.
    Oldest,
    /// So many offsets before the end.
    Last(i64),
    /// With the first message whose timestamp is not before this, milliseconds since the epoch.
    Time(i64),
    /// With what is written from now on.
    Now,
}

/// Reads partitions.
pub struct Follower {
    credentials: Credentials,
    complaints: Complaints,
    parts: BTreeMap<TopicPartition, Part>,
    buffer: Buffer,
    bell: Arc<Bell>,
    heard: Instant,
    /// After the queues, which belong to it.
    consumer: Watched<Arc<BaseConsumer<Listener>>>,
}

struct Part {
    queue: PartitionQueue<Listener>,
    next_offset: i64,
    at_end: bool,
}

impl Follower {
    /// Prepares the client; nothing is asked of a broker yet.
    pub fn open(kafka: &service::Kafka) -> Result<Follower, LogError> {
        let credentials = Credentials::of(kafka);
        let listener = Listener::default();
        Ok(Follower {
            consumer: connect(&credentials, &listener)?,
            complaints: listener.complaints,
            credentials,
            parts: BTreeMap::new(),
            buffer: Buffer::with_room_for(BATCH),
            bell: Arc::default(),
            heard: Instant::now(),
        })
    }

    /// How many partitions a topic has; `None`: there is no such topic.
    pub fn partitions(&self, topic: &str) -> Result<Option<i32>, LogError> {
        let answer = self
            .consumer
            .fetch_metadata(Some(topic), REQUEST_TIMEOUT)
            .map_err(|error| self.unavailable(format!("the brokers do not answer: {error}")))?;
        let Some(found) = answer.topics().iter().find(|found| found.name() == topic) else {
            return Ok(None);
        };
        if let Some(error) = found.error() {
            let denied = Resource::read(topic).denied(error.into());
            return denied.map_or(Ok(None), |why| Err(LogError::Fatal(why)));
        }
        let count = i32::try_from(found.partitions().len()).unwrap_or(i32::MAX);
        Ok(Some(count).filter(|count| *count > 0))
    }

    /// The names of the groups that we may know of.
    pub fn groups(&self) -> Result<Vec<String>, LogError> {
        let list = self
            .consumer
            .fetch_group_list(None, REQUEST_TIMEOUT)
            .map_err(|error| self.unavailable(format!("the groups are not told: {error}")))?;
        let names = list.groups().iter();
        Ok(names.map(|group| group.name().to_owned()).collect())
    }

    /// Reads every partition of a topic that is not read yet. How many there are; `None`: there is no such topic.
    pub fn follow(&mut self, topic: &str, begin: Begin) -> Result<Option<i32>, LogError> {
        let found = self.partitions(topic)?;
        for partition in 0..found.unwrap_or(0) {
            let at = TopicPartition::new(topic, partition);
            if !self.parts.contains_key(&at) {
                let from = self.offset_of(&at, begin)?;
                self.begin(at, from)?;
            }
        }
        Ok(found)
    }

    fn offset_of(&self, at: &TopicPartition, begin: Begin) -> Result<i64, LogError> {
        let (start, end) = watermarks(&self.consumer, at, REQUEST_TIMEOUT)?;
        let since_ms = match begin {
            Begin::Oldest => return Ok(start),
            Begin::Last(offsets) => return Ok(end.saturating_sub(offsets).max(start)),
            Begin::Now => return Ok(end),
            Begin::Time(since_ms) => since_ms,
        };
        // Kafka answers a time with an offset in the same field. A negative one would be taken for one of its special places.
        let unavailable = |error: KafkaError| self.unavailable(format!("{at}: {error}"));
        let asked = only(at, Offset::Offset(since_ms.max(0))).map_err(unavailable)?;
        let answer = self
            .consumer
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

    fn begin(&mut self, at: TopicPartition, from: i64) -> Result<(), LogError> {
        let bell = Arc::clone(&self.bell);
        let queue = PartitionQueue::split(&self.consumer, &at.topic, at.partition, bell)
            .ok_or_else(|| LogError::Fatal(format!("\"{}\" is no name for a topic", at.topic)))?;
        only(&at, Offset::Offset(from))
            .and_then(|list| self.consumer.incremental_assign(&list))
            .map_err(|error| self.unavailable(format!("{at}: {error}")))?;
        let part = Part {
            queue,
            next_offset: from,
            at_end: false,
        };
        self.parts.insert(at, part);
        Ok(())
    }

    /// Hands over what has come; waits for something at the most for `timeout`.
    pub fn poll(
        &mut self,
        timeout: Duration,
        sink: &mut dyn FnMut(&TopicPartition, &Message<'_>),
    ) -> Result<(), LogError> {
        self.follow_credentials()?;
        let deadline = Instant::now() + timeout;
        loop {
            // Only errors come this way: every partition has its own queue.
            let _ = self.consumer.poll(Duration::ZERO);
            if self.hand_over(sink)? {
                self.heard = Instant::now();
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.bell.wait(left.min(WAIT_MAX));
        }
    }

    /// One round over the queues. Whether anything came.
    fn hand_over(
        &mut self,
        sink: &mut dyn FnMut(&TopicPartition, &Message<'_>),
    ) -> Result<bool, LogError> {
        let (mut any, mut trouble) = (false, None);
        for (at, part) in &mut self.parts {
            let batch = part.queue.batch(&mut self.buffer);
            any |= batch.len() > 0;
            for entry in batch.entries() {
                match entry {
                    Entry::Message(message) => {
                        sink(at, &message);
                        part.next_offset = message.offset + 1;
                        part.at_end = false;
                    }
                    Entry::End(offset) => {
                        part.next_offset = part.next_offset.max(offset);
                        part.at_end = true;
                    }
                    Entry::Error(code) => trouble = Some((at.clone(), code)),
                }
            }
        }
        if let Some((at, code)) = trouble {
            self.cope(&at, code)?;
        }
        Ok(any)
    }

    /// An error of one partition: goes on where that is possible.
    fn cope(&mut self, at: &TopicPartition, code: RDKafkaErrorCode) -> Result<(), LogError> {
        match code {
            code if is_denial(code) => Err(LogError::Fatal(
                Resource::read(&at.topic).denied(code).unwrap_or_default(),
            )),
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition => Err(LogError::Fatal(format!(
                "{at} is gone: the topic was deleted"
            ))),
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                tracing::warn!(%at, "messages are gone before they were read; going on with the oldest that there is");
                let (start, _) = watermarks(&self.consumer, at, REQUEST_TIMEOUT)?;
                self.consumer
                    .seek(
                        &at.topic,
                        at.partition,
                        Offset::Offset(start),
                        REQUEST_TIMEOUT,
                    )
                    .map_err(|error| self.unavailable(format!("{at}: {error}")))
            }
            code => {
                tracing::warn!(%at, error = %code, "while reading");
                Ok(())
            }
        }
    }

    /// Whether all that was readable a moment ago has been handed over.
    pub fn is_at_end(&self) -> bool {
        self.parts.values().all(|part| part.at_end)
    }

    /// An error when the end is not reached, and nothing has come for a long time.
    pub fn ensure_answered(&self) -> Result<(), LogError> {
        match self.is_at_end() || self.heard.elapsed() < SILENCE_MAX {
            true => Ok(()),
            false => Err(self.unavailable("the brokers have been silent for 30 s")),
        }
    }

    fn unavailable(&self, what: impl std::fmt::Display) -> LogError {
        // The client's own errors are events on a queue that nobody has read yet.
        let _ = self.consumer.poll(Duration::ZERO);
        LogError::Unavailable(self.complaints.explain(what))
    }

    fn follow_credentials(&mut self) -> Result<(), LogError> {
        match self.credentials.look() {
            Change::None => Ok(()),
            Change::Login => {
                self.credentials.bring(self.consumer.client());
                Ok(())
            }
            Change::Certificates => self.reconnect(),
        }
    }

    /// Goes on with a new client. Certificates that do not load leave the old one in use.
    fn reconnect(&mut self) -> Result<(), LogError> {
        let listener = Listener::default();
        let consumer = match connect(&self.credentials, &listener) {
            Ok(consumer) => consumer,
            Err(error) => {
                tracing::warn!(%error, "the new certificates do not load; the old ones stay in use");
                return Ok(());
            }
        };
        let stood: Vec<(TopicPartition, i64)> = std::mem::take(&mut self.parts)
            .into_iter()
            .map(|(at, part)| (at, part.next_offset))
            .collect();
        (self.consumer, self.complaints) = (consumer, listener.complaints);
        stood
            .into_iter()
            .try_for_each(|(at, next_offset)| self.begin(at, next_offset))
    }
}

fn connect(
    credentials: &Credentials,
    listener: &Listener,
) -> Result<Watched<Arc<BaseConsumer<Listener>>>, LogError> {
    let kafka = credentials.kafka();
    let consumer: BaseConsumer<Listener> =
        BaseConsumer::from_config_and_context(&reader(kafka), listener.clone())
            .map_err(|error| unmakeable(kafka, error))?;
    credentials.bring(consumer.client());
    Ok(Watched::new("reader's end", Arc::new(consumer)))
}
