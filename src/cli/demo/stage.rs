//! The real service, driven from here: on the log in memory, or on a Kafka.
//!
//! Events go into an input topic of three partitions, records are read back, committed, from their results topic; between the two is what
//! `tidewatch run` runs. Everything happens on this thread, inside [`Stage::work`].

use super::JOB;
use crate::config::Job;
use crate::config::service::{Http, Kafka, Topics as TopicSettings};
use crate::engine::result::DocumentKind;
use crate::runtime::clock::SystemClock;
use crate::runtime::embedded::Embedded;
use crate::runtime::http::HttpServer;
use crate::runtime::kafka::{KafkaLog, KafkaTopics};
use crate::runtime::log::{Cleanup, NewTopic, Outgoing, TopicPartition, Topics};
use crate::runtime::service::{Service, Settings};
use crate::runtime::store::MemoryStore;
use crate::runtime::task::TopicNames;
use crate::runtime::telemetry::Telemetry;
use anyhow::Context;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const INPUT_PARTITIONS: i32 = 3;
/// The input topic of the log in memory, as [`JOB`] names it.
const INPUT: &str = "web-logs";
/// How long the service may wait for a Kafka before it looks up.
const PATIENCE: Duration = Duration::from_millis(20);

/// A service, its log, and its `/metrics`.
pub(super) struct Stage {
    backend: Box<dyn Backend>,
    server: HttpServer,
    waiting: Vec<(Vec<u8>, i64)>,
}

/// A service with both ends of its log.
trait Backend {
    /// Writes an event to an input partition.
    fn send(&mut self, partition: i32, line: Vec<u8>, time_ms: i64) -> anyhow::Result<()>;
    /// Lets the service work until it has read and committed everything; hands over the payloads of new records.
    fn work(&mut self, sink: &mut dyn FnMut(&[u8])) -> anyhow::Result<()>;
    /// Ends the service as it should be ended.
    fn finish(&mut self) -> anyhow::Result<()>;
}

impl Stage {
    /// On a log in memory, which ends with the process.
    pub(super) fn in_memory(http: SocketAddr) -> anyhow::Result<Stage> {
        let (job, telemetry, server) = open(INPUT, http)?;
        let mut embedded = Embedded::new(Settings::default(), Arc::new(SystemClock), telemetry);
        embedded.create_topic(INPUT, INPUT_PARTITIONS);
        embedded.start(job)?;
        Ok(Stage {
            backend: Box::new(embedded),
            server,
            waiting: Vec::new(),
        })
    }

    /// On a Kafka, in topics of its own whose names hold `run`.
    pub(super) fn on_kafka(brokers: &str, run: &str, http: SocketAddr) -> anyhow::Result<Stage> {
        let input = format!("{INPUT}-{run}");
        let (job, telemetry, server) = open(&input, http)?;
        let backend = OnKafka::start(
            brokers,
            &format!("tidewatch-demo-{run}"),
            input,
            job,
            telemetry,
        )
        .with_context(|| format!("--brokers {brokers}"))?;
        Ok(Stage {
            backend: Box::new(backend),
            server,
            waiting: Vec::new(),
        })
    }

    /// Where `/metrics` is.
    pub(super) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Takes an event on its way; it is sent with the next [`Stage::work`].
    pub(super) fn send(&mut self, line: &[u8], time_ms: i64) {
        self.waiting.push((line.to_vec(), time_ms));
    }

    /// How many events wait to be sent.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Sends what waits, lets the service work through it, and returns the new records.
    pub(super) fn work(&mut self) -> anyhow::Result<Vec<Value>> {
        // Dealt out by time, so that a seed gives the same partitions however the events are batched.
        for (line, time_ms) in self.waiting.drain(..) {
            self.backend.send(
                (time_ms % i64::from(INPUT_PARTITIONS)) as i32,
                line,
                time_ms,
            )?;
        }
        let mut records = Vec::new();
        self.backend
            .work(&mut |payload| records.extend(serde_json::from_slice::<Value>(payload).ok()))?;
        Ok(records)
    }

    /// Ends the service.
    pub(super) fn finish(&mut self) -> anyhow::Result<()> {
        self.backend.finish()
    }
}

/// What both stages have: the job on its topic, and the telemetry that HTTP shows.
fn open(input: &str, http: SocketAddr) -> anyhow::Result<(Arc<Job>, Arc<Telemetry>, HttpServer)> {
    let text = JOB.replace(&format!("[{INPUT}]"), &format!("[{input}]"));
    let job = Arc::new(Job::from_text(&text, "examples/web.yaml")?);
    let telemetry = Arc::new(Telemetry::new(Arc::new(SystemClock), &[Arc::clone(&job)]));
    let server = HttpServer::start(&Http::open(http), Arc::clone(&telemetry)).context("--http")?;
    Ok((job, telemetry, server))
}

impl Backend for Embedded {
    fn send(&mut self, partition: i32, line: Vec<u8>, time_ms: i64) -> anyhow::Result<()> {
        Ok(self.produce(INPUT, Some(partition), None, &line, time_ms)?)
    }

    fn work(&mut self, sink: &mut dyn FnMut(&[u8])) -> anyhow::Result<()> {
        self.drain()?;
        for record in self.results(DocumentKind::Record) {
            record.borrowed().payload.into_iter().for_each(&mut *sink);
        }
        Ok(())
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        Ok(Embedded::finish(self)?)
    }
}

/// The service on a Kafka.
struct OnKafka {
    service: Service<KafkaLog>,
    /// For writing events and reading records.
    ends: KafkaTopics,
    input: Arc<str>,
    outbox: Vec<Outgoing>,
    /// Where to go on reading.
    positions: BTreeMap<TopicPartition, i64>,
    telemetry: Arc<Telemetry>,
    /// Whether the service has been given its partitions; before that it has nothing to settle.
    joined: bool,
}

impl OnKafka {
    fn start(
        brokers: &str,
        prefix: &str,
        input: String,
        job: Arc<Job>,
        telemetry: Arc<Telemetry>,
    ) -> anyhow::Result<OnKafka> {
        let kafka = Kafka {
            properties: [("bootstrap.servers".to_owned(), brokers.to_owned())].into(),
            secrets: BTreeMap::new(),
            secret_files: BTreeMap::new(),
            group_id: prefix.to_owned(),
            instance_id: "demo".to_owned(),
        };
        let topics = TopicSettings {
            prefix: prefix.to_owned(),
            partitions: 1,
            replication_factor: -1,
            retention: None,
        };
        let mut ends = KafkaTopics::open(&kafka, &topics)?;
        let partitions = Some(INPUT_PARTITIONS);
        ends.create(&[NewTopic {
            name: input.clone(),
            partitions,
            cleanup: Cleanup::Delete,
        }])?;
        let names = TopicNames::new(prefix);
        let records = names.results(DocumentKind::Record).to_string();
        let settings = Settings {
            names,
            ..Settings::default()
        };
        let store = Box::new(MemoryStore::new());
        let observer = Arc::clone(&telemetry) as _;
        let log = KafkaLog::open(&kafka, &topics)?;
        let service = Service::start(log, store, Arc::new(SystemClock), observer, job, settings)?;
        let mut positions = BTreeMap::new();
        for (topic, partitions) in ends.partitions(&[records])? {
            positions.extend(
                (0..partitions)
                    .map(|partition| (TopicPartition::new(topic.as_str(), partition), 0)),
            );
        }
        Ok(OnKafka {
            service,
            ends,
            input: input.into(),
            outbox: Vec::new(),
            positions,
            telemetry,
            joined: false,
        })
    }
}

impl Backend for OnKafka {
    fn send(&mut self, partition: i32, line: Vec<u8>, time_ms: i64) -> anyhow::Result<()> {
        self.outbox.push(Outgoing {
            topic: Arc::clone(&self.input),
            partition: Some(partition),
            key: None,
            payload: Some(line),
            headers: Vec::new(),
            timestamp_ms: Some(time_ms),
        });
        Ok(())
    }

    fn work(&mut self, sink: &mut dyn FnMut(&[u8])) -> anyhow::Result<()> {
        self.ends.publish(&std::mem::take(&mut self.outbox))?;
        self.ends.flush()?;
        loop {
            self.service.breathe(PATIENCE)?;
            let mut jobs = self.telemetry.health().jobs.into_values();
            self.joined = self.joined || jobs.any(|job| job.assigned_partitions > 0);
            if self.joined && self.service.is_settled() {
                break;
            }
        }
        for (at, position) in &mut self.positions {
            *position = self.ends.read(at, *position, &mut |message| {
                message.payload.into_iter().for_each(&mut *sink);
            })?;
        }
        Ok(())
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        Ok(self.service.finish()?)
    }
}
