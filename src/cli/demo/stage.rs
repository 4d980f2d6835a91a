//! The real service, driven from here: on the log in memory, or on a Kafka.
//!
//! Events go into an input topic of three partitions, results are read back, committed, from the results topics; between the two is what
//! `tidewatch run` runs. Everything happens on this thread, inside [`Stage::work`].

use super::JOB;
use crate::config::Job;
use crate::config::service::{Kafka, Topics as TopicSettings};
use crate::engine::result::DocumentKind;
use crate::runtime::clock::SystemClock;
use crate::runtime::kafka::KafkaLog;
use crate::runtime::log::memory::Cluster;
use crate::runtime::log::{Cleanup, Log, NewTopic, Outgoing, TopicPartition, Topics};
use crate::runtime::observer::{Fact, Observer};
use crate::runtime::service::{Service, Settings};
use crate::runtime::store::{MemoryStore, SnapshotStore};
use crate::runtime::task::TopicNames;
use anyhow::Context;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const INPUT_PARTITIONS: i32 = 3;
/// What is shown of the results.
const KINDS: [DocumentKind; 1] = [DocumentKind::Record];

/// A service and the two ends of its log.
pub(super) struct Stage {
    service: Box<dyn Breathe>,
    /// For writing events and reading results.
    ends: Box<dyn Topics>,
    input: Arc<str>,
    outbox: Vec<Outgoing>,
    turn: i32,
    /// Where to go on reading.
    positions: BTreeMap<TopicPartition, i64>,
    assigned: Arc<Assigned>,
    patience: Duration,
}

/// What the stage needs of a service, whatever its log.
trait Breathe {
    fn breathe(&mut self, timeout: Duration) -> anyhow::Result<()>;
    fn is_settled(&mut self) -> bool;
    fn finish(&mut self) -> anyhow::Result<()>;
}

impl<L: Log> Breathe for Service<L> {
    fn breathe(&mut self, timeout: Duration) -> anyhow::Result<()> {
        Ok(Service::breathe(self, timeout)?)
    }
    fn is_settled(&mut self) -> bool {
        Service::is_settled(self)
    }
    fn finish(&mut self) -> anyhow::Result<()> {
        Ok(Service::finish(self)?)
    }
}

/// Counts assigned tasks: a service without any has settled nothing yet.
#[derive(Default)]
struct Assigned(AtomicUsize);

impl Observer for Assigned {
    fn observe(&self, _job_id: &str, fact: &Fact<'_>) {
        if let Fact::Assigned { .. } = fact {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Stage {
    /// On a log in memory, which ends with the process.
    pub(super) fn in_memory() -> anyhow::Result<Stage> {
        let cluster = Cluster::new();
        let open = |who: &str| cluster.open("tidewatch", who);
        Stage::start(
            open("service"),
            Box::new(open("ends")),
            "web-logs",
            TopicNames::new("tidewatch"),
            Duration::ZERO,
        )
    }

    /// On a Kafka, in topics of its own whose names hold `run`.
    pub(super) fn on_kafka(brokers: &str, run: &str) -> anyhow::Result<Stage> {
        let prefix = format!("tidewatch-demo-{run}");
        let kafka = Kafka {
            properties: [("bootstrap.servers".to_owned(), brokers.to_owned())].into(),
            secrets: BTreeMap::new(),
            group_id: prefix.clone(),
            instance_id: "demo".to_owned(),
        };
        let topics = TopicSettings {
            prefix: prefix.clone(),
            partitions: 1,
            replication_factor: -1,
            retention: None,
        };
        let open = |worker: &str| {
            KafkaLog::open(&kafka, &topics, worker).with_context(|| format!("--brokers {brokers}"))
        };
        let input = format!("web-logs-{run}");
        Stage::start(
            open("service")?,
            Box::new(open("ends")?),
            &input,
            TopicNames::new(&prefix),
            Duration::from_millis(20),
        )
    }

    fn start<L: Log + 'static>(
        log: L,
        mut ends: Box<dyn Topics>,
        input: &str,
        names: TopicNames,
        patience: Duration,
    ) -> anyhow::Result<Stage> {
        let job = Job::from_text(
            &JOB.replace("[web-logs]", &format!("[{input}]")),
            "examples/web.yaml",
        )?;
        let partitions = Some(INPUT_PARTITIONS);
        ends.create(&[NewTopic {
            name: input.to_owned(),
            partitions,
            cleanup: Cleanup::Delete,
        }])?;
        let assigned = Arc::new(Assigned::default());
        let store: Box<dyn SnapshotStore + Send> = Box::new(MemoryStore::default());
        let settings = Settings {
            names: names.clone(),
            ..Settings::default()
        };
        let observer = Arc::clone(&assigned);
        let service = Service::start(
            log,
            store,
            Arc::new(SystemClock),
            observer,
            Arc::new(job),
            settings,
        )?;
        let results: Vec<String> = KINDS.map(|kind| names.results(kind).to_string()).to_vec();
        let mut positions = BTreeMap::new();
        for (topic, partitions) in ends.partitions(&results)? {
            let topic: Arc<str> = topic.into();
            positions.extend(
                (0..partitions)
                    .map(|partition| (TopicPartition::new(Arc::clone(&topic), partition), 0)),
            );
        }
        Ok(Stage {
            service: Box::new(service),
            ends,
            input: input.into(),
            outbox: Vec::new(),
            turn: 0,
            positions,
            assigned,
            patience,
        })
    }

    /// Takes an event on its way; it is sent with the next [`Stage::work`].
    pub(super) fn send(&mut self, line: &[u8], time_ms: i64) {
        self.turn = (self.turn + 1) % INPUT_PARTITIONS;
        self.outbox.push(Outgoing {
            topic: Arc::clone(&self.input),
            partition: Some(self.turn),
            key: None,
            payload: Some(line.to_vec()),
            headers: Vec::new(),
            timestamp_ms: Some(time_ms),
        });
    }

    /// How many events wait to be sent.
    pub(super) fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// Sends what waits, lets the service work until it has read and committed everything, and returns the new results.
    pub(super) fn work(&mut self) -> anyhow::Result<Vec<Value>> {
        self.ends.publish(&std::mem::take(&mut self.outbox))?;
        self.ends.flush()?;
        loop {
            self.service.breathe(self.patience)?;
            if self.assigned.0.load(Ordering::Relaxed) > 0 && self.service.is_settled() {
                break;
            }
        }
        let mut results = Vec::new();
        for (at, position) in &mut self.positions {
            *position = self.ends.read(at, *position, &mut |message| {
                results.extend(
                    message
                        .payload
                        .and_then(|payload| serde_json::from_slice(payload).ok()),
                );
            })?;
        }
        Ok(results)
    }

    /// Ends the service as it should be ended.
    pub(super) fn finish(&mut self) -> anyhow::Result<()> {
        self.service.finish()
    }
}
