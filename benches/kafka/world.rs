//! The world that all parts share: a real broker, topics with the feed in them, one job's loop as `tidewatch run` works it, and clocks.

#[path = "../../tests/support/broker.rs"]
mod broker;

use crate::common::feed;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tidewatch::config::Job;
use tidewatch::config::service::{Kafka, Topics as TopicSettings};
use tidewatch::runtime::clock::SystemClock;
use tidewatch::runtime::kafka::KafkaTopics;
use tidewatch::runtime::log::{Cleanup, Log, NewTopic, Outgoing, TopicPartition, Topics};
use tidewatch::runtime::observer::{Fact, Observer};
use tidewatch::runtime::service::{Service, Settings};
use tidewatch::runtime::store::TopicStore;
use tidewatch::runtime::task::TopicNames;
use tidewatch::runtime::telemetry::Telemetry;
use tidewatch::time::Finality;

/// Far more often than the five minutes of the service's default, so that some are in the figures.
const SNAPSHOT_EVERY: u64 = 500_000;
/// Messages handed to the client at once while a topic is filled.
const FILL_BATCH: usize = 10_000;
/// For anything at all to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// How to reach the broker, as a member of `group_id` or for nothing in particular.
pub(crate) fn kafka(group_id: &str) -> Kafka {
    member(group_id, 0)
}

/// The same for one instance of several.
pub(crate) fn member(group_id: &str, instance: usize) -> Kafka {
    let servers = broker::broker().address.clone();
    Kafka {
        properties: [("bootstrap.servers".to_owned(), servers)].into(),
        secrets: [].into(),
        secret_files: [].into(),
        group_id: group_id.to_owned(),
        instance_id: format!("bench-{instance}"),
    }
}

pub(crate) fn topic_settings() -> TopicSettings {
    TopicSettings {
        prefix: "bench".to_owned(),
        partitions: 1,
        replication_factor: 1,
        retention: None,
    }
}

/// Makes a topic for events.
pub(crate) fn create(topic: &str, partitions: i32) {
    let mut topics = KafkaTopics::open(&kafka("fill"), &topic_settings()).expect("clients");
    let wanted = NewTopic {
        name: topic.to_owned(),
        partitions: Some(partitions),
        cleanup: Cleanup::Delete,
    };
    topics.create(&[wanted]).expect("a topic");
}

/// An event on its way to a partition.
pub(crate) fn event(topic: &Arc<str>, partition: i32, payload: &[u8]) -> Outgoing {
    Outgoing {
        topic: Arc::clone(topic),
        partition: Some(partition),
        key: None,
        payload: Some(payload.to_vec()),
        headers: Vec::new(),
        timestamp_ms: None,
    }
}

/// Writes the feed to a new topic, the event of each number to its partition; returns the bytes of an event.
pub(crate) fn fill(
    topic: &str,
    partitions: i32,
    events: usize,
    place: impl Fn(usize) -> usize,
) -> usize {
    create(topic, partitions);
    let mut kafka = kafka("fill");
    let plain = ("compression.type".to_owned(), "none".to_owned());
    kafka.properties.extend([plain]);
    let mut topics = KafkaTopics::open(&kafka, &topic_settings()).expect("clients");
    let topic: Arc<str> = topic.into();
    let (mut bytes, mut number) = (0, 0);
    let mut batch = Vec::with_capacity(FILL_BATCH);
    feed(events, |line| {
        let payload = line.trim_ascii_end();
        bytes += payload.len();
        batch.push(event(&topic, place(number) as i32, payload));
        number += 1;
        if batch.len() == FILL_BATCH {
            topics.publish(&batch).expect("the broker takes it");
            batch.clear();
        }
    });
    topics.publish(&batch).expect("the broker takes it");
    topics.flush().expect("all delivered");
    bytes / events
}

/// One job's service on `log`, with its snapshots in a topic.
pub(crate) fn start<L: Log>(
    log: L,
    kafka: &Kafka,
    job: &Arc<Job>,
    ear: &Arc<Ear>,
    snapshots: Option<u64>,
) -> Service<L> {
    let names = TopicNames::new(&job.id);
    let topics = KafkaTopics::open(kafka, &topic_settings()).expect("clients");
    let store = TopicStore::open(topics, &names.snapshots()).expect("a topic for snapshots");
    let settings = Settings {
        names,
        snapshot_every_messages: snapshots,
        ..Settings::default()
    };
    let (clock, observer) = (Arc::new(SystemClock), Arc::clone(ear));
    let (store, job) = (Box::new(store), Arc::clone(job));
    Service::start(log, store, clock, observer, job, settings).expect("the job can be laid out")
}

/// The snapshots of a service that is measured.
pub(crate) const MEASURED: Option<u64> = Some(SNAPSHOT_EVERY);

/// Breathes until `done`; fails when nothing comes for long.
pub(crate) fn breathe_until<L: Log>(
    service: &mut Service<L>,
    ear: &Ear,
    mut done: impl FnMut(&mut Service<L>) -> bool,
) {
    let mut last = (Instant::now(), 0);
    while !done(service) {
        service
            .breathe(Duration::from_millis(50))
            .expect("the broker answers");
        let heard = ear.consumed.load(Relaxed) + ear.buckets.load(Relaxed);
        if heard > last.1 {
            last = (Instant::now(), heard);
        }
        let consumed = ear.consumed.load(Relaxed);
        assert!(last.0.elapsed() < PATIENCE, "stuck after {consumed} events");
    }
}

/// Hears keys and payloads.
type Sink<'s> = dyn FnMut(Option<&[u8]>, &[u8]) + 's;

/// Messages of all partitions of a topic, for readers of what is committed.
pub(crate) fn read_all(topic: &str, sink: &mut Sink<'_>) {
    let mut topics = KafkaTopics::open(&kafka("check"), &topic_settings()).expect("clients");
    let made = topics.partitions(&[topic.to_owned()]).expect("an answer");
    for partition in 0..made.get(topic).copied().unwrap_or(0) {
        let at = TopicPartition::new(topic, partition);
        let read = topics.read(&at, 0, &mut |message| {
            sink(message.key, message.payload.unwrap_or_default());
        });
        read.expect("the topic can be read");
    }
}

/// The service's telemetry, and what the tables want to know.
pub(crate) struct Ear {
    telemetry: Telemetry,
    inputs: Vec<String>,
    /// Events, not what stages tell each other.
    pub(crate) consumed: AtomicU64,
    /// Final ones.
    pub(crate) buckets: AtomicU64,
    pub(crate) snapshots: AtomicU64,
    pub(crate) shared: AtomicU64,
}

impl Ear {
    pub(crate) fn of(job: &Arc<Job>) -> Arc<Ear> {
        let topics = job.datafeed.iter().flat_map(|feed| feed.topics.clone());
        Arc::new(Ear {
            telemetry: Telemetry::new(Arc::new(SystemClock), &[Arc::clone(job)]),
            inputs: topics.collect(),
            consumed: AtomicU64::new(0),
            buckets: AtomicU64::new(0),
            snapshots: AtomicU64::new(0),
            shared: AtomicU64::new(0),
        })
    }
}

impl Observer for Ear {
    fn observe(&self, job_id: &str, fact: &Fact<'_>) {
        self.telemetry.observe(job_id, fact);
        match fact {
            Fact::Consumed { at, messages, .. } if self.inputs.iter().any(|i| **i == *at.topic) => {
                self.consumed.fetch_add(*messages, Relaxed);
            }
            Fact::Shared { messages, .. } => drop(self.shared.fetch_add(*messages, Relaxed)),
            Fact::Bucket { summary, .. } if summary.finality == Finality::Final => {
                self.buckets.fetch_add(1, Relaxed);
            }
            Fact::Snapshot { .. } => drop(self.snapshots.fetch_add(1, Relaxed)),
            Fact::Rejected { rejection, .. } => panic!("every event is good, but {rejection:?}"),
            Fact::SnapshotFailed { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
}

/// Seconds.
pub(crate) struct Cost {
    pub(crate) cpu: f64,
    pub(crate) wall: f64,
}

/// Times this process with all its threads.
pub(crate) struct Stopwatch {
    wall: Instant,
    cpu: f64,
}

impl Stopwatch {
    pub(crate) fn start() -> Stopwatch {
        Stopwatch {
            wall: Instant::now(),
            cpu: process_cpu(),
        }
    }

    pub(crate) fn cost(&self) -> Cost {
        Cost {
            cpu: process_cpu() - self.cpu,
            wall: self.wall.elapsed().as_secs_f64(),
        }
    }
}

/// Processor seconds of this process, user and system, all threads, children not (`/proc/PID/stat`: the 14th and 15th fields, in hundredths).
fn process_cpu() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let ticks = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().expect("a number"));
    ticks.sum::<u64>() as f64 / 100.0
}

/// Lets the kernel count the peak of the resident memory from here on; what it is now, MB.
pub(crate) fn forget_peak() -> f64 {
    // Not permitted everywhere: then the peak is that of the whole run.
    let _ = fs::write("/proc/self/clear_refs", "5");
    status_mb("VmRSS:")
}

/// The peak of the resident memory since then, MB.
pub(crate) fn peak() -> f64 {
    status_mb("VmHWM:")
}

fn status_mb(name: &str) -> f64 {
    let text = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.map_or(0.0, |number| {
        number.parse::<f64>().expect("a number") / 1024.0
    })
}
