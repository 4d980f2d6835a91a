//! The real service, driven from here: on the log in memory, or on a Kafka.
//!
//! Events go into an input topic of three partitions, results are read back, committed, from the results topics; between the two is what
//! `tidewatch run` runs. Everything happens on this thread, inside [`Stage::work`].

use super::JOB;
use crate::config::Job;
use crate::config::service::{Kafka, Topics as TopicSettings};
use crate::engine::result::DocumentKind;
use crate::runtime::clock::SystemClock;
use crate::runtime::http::HttpServer;
use crate::runtime::kafka::{KafkaLog, KafkaTopics};
use crate::runtime::log::memory::Cluster;
use crate::runtime::log::{Cleanup, Log, NewTopic, Outgoing, TopicPartition, Topics};
use crate::runtime::service::{Service, Settings};
use crate::runtime::store::{MemoryStore, SnapshotStore};
use crate::runtime::task::TopicNames;
use crate::runtime::telemetry::Telemetry;
use anyhow::Context;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const INPUT_PARTITIONS: i32 = 3;

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
    telemetry: Arc<Telemetry>,
    server: HttpServer,
    /// Whether the service has been given its partitions; before that it has nothing to settle.
    joined: bool,
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

/// Where a stage stands.
struct Place {
    /// The input topic.
    input: String,
    names: TopicNames,
    http: SocketAddr,
    /// How long the service may wait for its log.
    patience: Duration,
}

impl Stage {
    /// On a log in memory, which ends with the process.
    pub(super) fn in_memory(http: SocketAddr) -> anyhow::Result<Stage> {
        let cluster = Cluster::new();
        let log = cluster.open("tidewatch", "service");
        let ends = Box::new(cluster.open("tidewatch", "ends"));
        let place = Place {
            input: "web-logs".to_owned(),
            names: TopicNames::new("tidewatch"),
            http,
            patience: Duration::ZERO,
        };
        Stage::start(log, ends, place)
    }

    /// On a Kafka, in topics of its own whose names hold `run`.
    pub(super) fn on_kafka(brokers: &str, run: &str, http: SocketAddr) -> anyhow::Result<Stage> {
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
        let at_brokers = || format!("--brokers {brokers}");
        let ends = KafkaTopics::open(&kafka, &topics).with_context(at_brokers)?;
        let log = KafkaLog::open(&kafka, &topics).with_context(at_brokers)?;
        let patience = Duration::from_millis(20);
        let place = Place {
            input: format!("web-logs-{run}"),
            names: TopicNames::new(&prefix),
            http,
            patience,
        };
        Stage::start(log, Box::new(ends), place)
    }

    fn start<L: Log + 'static>(
        log: L,
        mut ends: Box<dyn Topics>,
        place: Place,
    ) -> anyhow::Result<Stage> {
        let Place {
            input,
            names,
            http,
            patience,
        } = place;
        let text = JOB.replace("[web-logs]", &format!("[{input}]"));
        let job = Arc::new(Job::from_text(&text, "examples/web.yaml")?);
        let partitions = Some(INPUT_PARTITIONS);
        ends.create(&[NewTopic {
            name: input.clone(),
            partitions,
            cleanup: Cleanup::Delete,
        }])?;
        let clock = Arc::new(SystemClock);
        let telemetry = Arc::new(Telemetry::new(Arc::clone(&clock) as _, &[Arc::clone(&job)]));
        let server = HttpServer::start(http, Arc::clone(&telemetry))?;
        let settings = Settings {
            names: names.clone(),
            ..Settings::default()
        };
        let store: Box<dyn SnapshotStore + Send> = Box::new(MemoryStore::default());
        let service = Service::start(
            log,
            store,
            clock,
            Arc::clone(&telemetry) as _,
            job,
            settings,
        )?;
        let mut positions = BTreeMap::new();
        for (topic, partitions) in
            ends.partitions(&[names.results(DocumentKind::Record).to_string()])?
        {
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
            telemetry,
            server,
            joined: false,
            patience,
        })
    }

    /// Where `/metrics` is.
    pub(super) fn address(&self) -> SocketAddr {
        self.server.address()
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
            self.joined = self.joined
                || self
                    .telemetry
                    .health()
                    .jobs
                    .values()
                    .any(|job| job.assigned_partitions > 0);
            if self.joined && self.service.is_settled() {
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
