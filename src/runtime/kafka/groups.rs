//! The operator's side of Kafka: groups looked at and forgotten, topics emptied and deleted.
//!
//! Holds: what needs a group without members is refused by the broker while it has some. Checked by: tests/kafka.

use super::client::{Listener, reader, unmakeable};
use super::rights::Resource;
use super::topics::{KafkaTopics, REQUEST_TIMEOUT, block_on, watermarks};
use super::watch::{Watched, watched};
use crate::config::service;
use crate::runtime::log::{Groups, LogError, Position, TopicPartition, Topics};
use rdkafka::admin::AdminOptions;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For a deleted topic to be gone from the brokers' metadata.
const GONE_TIMEOUT: Duration = Duration::from_secs(30);

impl KafkaTopics {
    /// A consumer that speaks for a group without joining it.
    fn speaker_of(&self, group: &str) -> Result<Watched<Arc<BaseConsumer<Listener>>>, LogError> {
        let kafka = service::Kafka {
            group_id: group.to_owned(),
            ..self.credentials.kafka().clone()
        };
        let speaker = BaseConsumer::from_config_and_context(&reader(&kafka), Listener::default())
            .map_err(|error| unmakeable(&kafka, error))?;
        self.credentials.bring(speaker.client());
        Ok(Watched::new("speaker's end", Arc::new(speaker)))
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(REQUEST_TIMEOUT))
            .operation_timeout(Some(REQUEST_TIMEOUT))
    }
}

impl Groups for KafkaTopics {
    fn members(&mut self, group: &str) -> Result<usize, LogError> {
        let list = self
            .reader
            .fetch_group_list(Some(group), REQUEST_TIMEOUT)
            .map_err(|error| self.unavailable(format!("group {group}: {error}")))?;
        let found = list.groups().iter().filter(|found| found.name() == group);
        Ok(found.map(|group| group.members().len()).sum())
    }

    fn committed(
        &mut self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Position>, LogError> {
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for at in partitions {
            asked.add_partition(&at.topic, at.partition);
        }
        let answer = self
            .speaker_of(group)?
            .committed_offsets(asked, REQUEST_TIMEOUT)
            .map_err(|error| self.unavailable(format!("positions of {group}: {error}")))?;
        let position = |at: &TopicPartition| {
            let element = answer.find_partition(&at.topic, at.partition)?;
            let Offset::Offset(next_offset) = element.offset() else {
                return None;
            };
            let metadata = element.metadata().to_owned();
            Some(Position {
                next_offset,
                metadata,
            })
        };
        let held = partitions
            .iter()
            .filter_map(|at| Some((at.clone(), position(at)?)));
        Ok(held.collect())
    }

    fn forget_group(&mut self, group: &str) -> Result<bool, LogError> {
        let answer = block_on(self.admin.delete_groups(&[group], &self.options()));
        let results =
            answer.map_err(|error| self.unavailable(format!("group {group}: {error}")))?;
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound)) => {}
                Err((_, RDKafkaErrorCode::NonEmptyGroup)) => return Ok(false),
                Err((_, code)) => {
                    let why = Resource::group_deleted(group).why(code);
                    return Err(LogError::Fatal(format!(
                        "group {group} cannot be forgotten: {why}"
                    )));
                }
            }
        }
        Ok(true)
    }

    fn set_positions(
        &mut self,
        group: &str,
        positions: &[(TopicPartition, Position)],
    ) -> Result<bool, LogError> {
        if positions.is_empty() {
            return Ok(self.members(group)? == 0);
        }
        let failed =
            |error: KafkaError| LogError::Fatal(format!("positions of group {group}: {error}"));
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for (at, position) in positions {
            let mut element = list.add_partition(&at.topic, at.partition);
            element
                .set_offset(Offset::Offset(position.next_offset))
                .map_err(failed)?;
            element.set_metadata(&position.metadata);
        }
        let speaker = self.speaker_of(group)?;
        let asked = Arc::clone(&speaker);
        let commit = move || asked.commit(&list, CommitMode::Sync);
        let within = REQUEST_TIMEOUT * 2;
        let outcome = watched("commit of positions", within, commit);
        let silent = || self.unavailable(format!("positions of group {group}: no answer"));
        match outcome.ok_or_else(silent)? {
            // Who is no member commits for a group that has none, and for no other.
            Err(KafkaError::ConsumerCommit(
                RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::StaleMemberEpoch
                | RDKafkaErrorCode::RebalanceInProgress,
            )) => Ok(false),
            done => done.map(|()| true).map_err(failed),
        }
    }

    fn empty(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        let mut ends = TopicPartitionList::with_capacity(partitions.len());
        for at in partitions {
            let (start, end) = watermarks(&self.reader, at, REQUEST_TIMEOUT)?;
            if start < end {
                ends.add_partition_offset(&at.topic, at.partition, Offset::Offset(end))
                    .map_err(|error| LogError::Fatal(format!("{at}: {error}")))?;
            }
        }
        if ends.count() == 0 {
            return Ok(());
        }
        let answer = block_on(self.admin.delete_records(&ends, &self.options()));
        let emptied = answer.map_err(|error| self.unavailable(error))?;
        for element in emptied.elements() {
            element.error().map_err(|error| {
                let (topic, partition) = (element.topic(), element.partition());
                let code = error.rdkafka_error_code();
                let denied = code.and_then(|code| Resource::deleted(topic).denied(code));
                let why = denied.unwrap_or_else(|| error.to_string());
                LogError::Fatal(format!("{topic}/{partition} cannot be emptied: {why}"))
            })?;
        }
        Ok(())
    }

    fn delete_topic(&mut self, topic: &str) -> Result<(), LogError> {
        let answer = block_on(self.admin.delete_topics(&[topic], &self.options()));
        let results =
            answer.map_err(|error| self.unavailable(format!("topic {topic}: {error}")))?;
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((_, code)) => {
                    let why = Resource::deleted(topic).why(code);
                    return Err(LogError::Fatal(format!(
                        "topic {topic} cannot be deleted: {why}"
                    )));
                }
            }
        }
        let deadline = Instant::now() + GONE_TIMEOUT;
        while !self.partitions(&[topic.to_owned()])?.is_empty() {
            if Instant::now() > deadline {
                return Err(self.unavailable(format!("topic {topic} is deleted, but not gone")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}
