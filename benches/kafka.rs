//! Events per second from Kafka to Kafka, exactly once, beside a bare consumer of the same fields: `cargo bench --bench kafka [-- EVENTS [ROUNDS]]`.
//!
//! A (librdkafka's batch reads and the decoder of the job's fields, nothing behind them) and B (the service as `tidewatch run` works a job: group,
//! telemetry, transactions of results, snapshots in a topic) take turns on one topic of one partition, uncompressed, on a real broker that this
//! starts. Counted from the first message in hand until the last one is decoded (A), or until every bucket that the feed closes is committed (B);
//! afterwards a reader of committed messages must find each of those buckets. Processor time is that of this process with all of librdkafka's
//! threads, without the broker, which shares the machine's cores: the ratio to quote is the processor's; the clock's is shown beside it. Figures
//! are medians over the rounds, ratios too: each round gives its own, of neighbours in time; "of rounds" is the least and the greatest.

#![allow(missing_docs, unreachable_pub)] // of the broker, which tests share
#![allow(clippy::disallowed_methods)] // a benchmark reads the clock

#[path = "../tests/support/broker.rs"]
mod broker;
#[allow(dead_code)] // other benchmarks use more of it
mod common;

use common::{JOBS, feed, job, median};
use std::collections::BTreeSet;
use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tidewatch::config::Job;
use tidewatch::config::service::{Kafka, Topics as TopicSettings};
use tidewatch::decode::Decoder;
use tidewatch::engine::result::DocumentKind;
use tidewatch::runtime::clock::SystemClock;
use tidewatch::runtime::kafka::{KafkaLog, KafkaTopics};
use tidewatch::runtime::log::{Cleanup, NewTopic, Outgoing, TopicPartition, Topics};
use tidewatch::runtime::observer::{Fact, Observer};
use tidewatch::runtime::service::{Service, Settings, group_of};
use tidewatch::runtime::store::TopicStore;
use tidewatch::runtime::task::TopicNames;
use tidewatch::runtime::telemetry::Telemetry;
use tidewatch::time::{EventTime, Finality};

const EVENTS: usize = 2_000_000;
const ROUNDS: usize = 5;
const TOPIC: &str = "events";
/// Far more often than the five minutes of the service's default, so that some are in the figures.
const SNAPSHOT_EVERY: u64 = 500_000;
/// Messages handed to the client at once while the topic is filled.
const FILL_BATCH: usize = 10_000;
/// For anything at all to come.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    // Cargo adds `--bench`.
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|arg| arg.parse::<usize>().ok());
    let events = numbers.next().unwrap_or(EVENTS);
    let rounds = numbers.next().unwrap_or(ROUNDS).max(1);
    let bytes = fill(events);
    println!(
        "{events} events of {bytes} bytes over a day in one partition, buckets of 5 minutes, {rounds} rounds; events a second"
    );
    println!(
        "{:<22}{:>24}{:>24}{:>29}",
        "", "bare consumer", "service", "ratio"
    );
    println!(
        "{:<22}{:>12}{:>12}{:>12}{:>12}{:>8}{:>13}{:>8}{:>11}{:>11}",
        "job", "cpu", "wall", "cpu", "wall", "cpu", "of rounds", "wall", "documents", "snapshots"
    );
    for (number, (name, detectors)) in JOBS.into_iter().enumerate() {
        let (mut bare, mut served) = (Costs::default(), Costs::default());
        let mut work = Work::default();
        for round in 0..rounds {
            let job = job(&format!("bench-{number}-{round}"), detectors, TOPIC);
            bare.add(consume(&job, events));
            let cost;
            (cost, work) = serve(&job, events);
            served.add(cost);
        }
        let cpu = ratios(&bare.cpu, &served.cpu);
        let wall = ratios(&bare.wall, &served.wall);
        let spread = format!("{:.0}-{:.0}%", cpu[0], cpu[rounds - 1]);
        let (bare, served) = (bare.median(), served.median());
        let rate = |seconds: f64| events as f64 / seconds;
        println!(
            "{name:<22}{:>12.0}{:>12.0}{:>12.0}{:>12.0}{:>7.1}%{spread:>13}{:>7.1}%{:>11}{:>11}",
            rate(bare.cpu),
            rate(bare.wall),
            rate(served.cpu),
            rate(served.wall),
            median(cpu),
            median(wall),
            work.documents,
            work.snapshots,
        );
    }
}

/// What the service keeps of the bare consumer's rate, in percent, by round; the least first.
fn ratios(bare: &[f64], served: &[f64]) -> Vec<f64> {
    let pairs = bare.iter().zip(served);
    let mut ratios: Vec<f64> = pairs.map(|(bare, served)| 100.0 * bare / served).collect();
    ratios.sort_by(f64::total_cmp);
    ratios
}

/// Writes the feed to a new topic; returns the bytes of an event.
fn fill(events: usize) -> usize {
    let mut kafka = kafka("fill");
    let plain = ("compression.type".to_owned(), "none".to_owned());
    kafka.properties.extend([plain]);
    let mut topics = KafkaTopics::open(&kafka, &topic_settings()).expect("clients");
    let wanted = NewTopic {
        name: TOPIC.to_owned(),
        partitions: Some(1),
        cleanup: Cleanup::Delete,
    };
    topics.create(&[wanted]).expect("a topic");
    let topic: Arc<str> = TOPIC.into();
    let mut bytes = 0;
    let mut batch = Vec::with_capacity(FILL_BATCH);
    feed(events, |line| {
        let payload = line.trim_ascii_end();
        bytes += payload.len();
        batch.push(Outgoing {
            topic: Arc::clone(&topic),
            partition: Some(0),
            key: None,
            payload: Some(payload.to_vec()),
            headers: Vec::new(),
            timestamp_ms: None,
        });
        if batch.len() == FILL_BATCH {
            topics.publish(&batch).expect("the broker takes it");
            batch.clear();
        }
    });
    topics.publish(&batch).expect("the broker takes it");
    topics.flush().expect("all delivered");
    bytes / events
}

/// A: reads the topic and decodes the job's fields.
fn consume(job: &Job, events: usize) -> Cost {
    let mut topics = KafkaTopics::open(&kafka("bare"), &topic_settings()).expect("clients");
    let mut decoder = Decoder::new(job);
    let mut watch = None;
    let mut decoded = 0;
    let at = TopicPartition::new(TOPIC, 0);
    let read = topics.read(&at, 0, &mut |message| {
        watch.get_or_insert_with(Stopwatch::start);
        let payload = message.payload.unwrap_or_default();
        let time = message.timestamp_ms.map(EventTime);
        decoder.payload(payload, time, &mut |event| {
            decoded += usize::from(black_box(event).is_ok());
        });
    });
    let cost = watch.expect("messages").cost();
    read.expect("the topic can be read");
    assert_eq!(decoded, events, "every message is an event");
    cost
}

/// B: a member of a new group works the job from the first message to the last commit.
fn serve(job: &Arc<Job>, events: usize) -> (Cost, Work) {
    let names = TopicNames::new(&job.id);
    let kafka = kafka(&group_of("bench", &job.id));
    let log = KafkaLog::open(&kafka, &topic_settings()).expect("clients");
    let topics = KafkaTopics::open(&kafka, &topic_settings()).expect("clients");
    let store = TopicStore::open(topics, &names.snapshots()).expect("a topic for snapshots");
    let ear = Arc::new(Ear {
        telemetry: Telemetry::new(Arc::new(SystemClock), &[Arc::clone(job)]),
        consumed: AtomicU64::new(0),
        buckets: AtomicU64::new(0),
        snapshots: AtomicU64::new(0),
    });
    let settings = Settings {
        names: names.clone(),
        snapshot_every_messages: Some(SNAPSHOT_EVERY),
        ..Settings::default()
    };
    let (clock, observer) = (Arc::new(SystemClock), Arc::clone(&ear));
    let mut service = Service::start(
        log,
        Box::new(store),
        clock,
        observer,
        Arc::clone(job),
        settings,
    )
    .expect("the job can be laid out");
    let mut breathe_until = |done: &mut dyn FnMut(&mut Service<KafkaLog>) -> bool| {
        let mut last = (Instant::now(), 0);
        while !done(&mut service) {
            service
                .breathe(Duration::from_millis(50))
                .expect("the broker answers");
            let consumed = ear.consumed.load(Relaxed);
            if consumed > last.1 {
                last = (Instant::now(), consumed);
            }
            assert!(last.0.elapsed() < PATIENCE, "stuck after {consumed} events");
        }
    };
    let consumed = || ear.consumed.load(Relaxed);
    breathe_until(&mut |_| consumed() > 0);
    let watch = Stopwatch::start();
    breathe_until(&mut |service| consumed() == events as u64 && service.is_settled());
    let cost = watch.cost();
    let snapshots = ear.snapshots.load(Relaxed);
    service.finish().expect("an end in order");
    let documents = published(&names, ear.buckets.load(Relaxed));
    let work = Work {
        documents,
        snapshots,
    };
    (cost, work)
}

/// How many final documents a reader of committed messages finds; fails unless all `buckets` are among them.
fn published(names: &TopicNames, buckets: u64) -> usize {
    let mut topics = KafkaTopics::open(&kafka("check"), &topic_settings()).expect("clients");
    let (mut documents, mut found) = (0, BTreeSet::new());
    for kind in DocumentKind::ALL {
        let topic = names.results(kind);
        let made = topics.partitions(&[topic.to_string()]).expect("an answer");
        for partition in 0..made.get(&**topic).copied().unwrap_or(0) {
            let at = TopicPartition::new(Arc::clone(topic), partition);
            let read = topics.read(&at, 0, &mut |message| {
                documents += 1;
                if kind == DocumentKind::Bucket {
                    found.extend(message.key.map(<[u8]>::to_vec));
                }
            });
            read.expect("the topic can be read");
        }
    }
    assert!(buckets > 0, "no bucket was closed");
    assert_eq!(found.len() as u64, buckets, "buckets closed and published");
    documents
}

fn kafka(group_id: &str) -> Kafka {
    let servers = broker::broker().address.clone();
    Kafka {
        properties: [("bootstrap.servers".to_owned(), servers)].into(),
        secrets: [].into(),
        secret_files: [].into(),
        group_id: group_id.to_owned(),
        instance_id: "bench".to_owned(),
    }
}

fn topic_settings() -> TopicSettings {
    TopicSettings {
        prefix: "bench".to_owned(),
        partitions: 1,
        replication_factor: 1,
        retention: None,
    }
}

/// The service's telemetry, and what the table wants to know.
struct Ear {
    telemetry: Telemetry,
    consumed: AtomicU64,
    buckets: AtomicU64,
    snapshots: AtomicU64,
}

impl Observer for Ear {
    fn observe(&self, job_id: &str, fact: &Fact<'_>) {
        self.telemetry.observe(job_id, fact);
        match fact {
            Fact::Consumed { messages, .. } => drop(self.consumed.fetch_add(*messages, Relaxed)),
            Fact::Bucket { summary } if summary.finality == Finality::Final => {
                self.buckets.fetch_add(1, Relaxed);
            }
            Fact::Snapshot { .. } => drop(self.snapshots.fetch_add(1, Relaxed)),
            Fact::Rejected { rejection, .. } => panic!("every event is good, but {rejection:?}"),
            Fact::SnapshotFailed { error, .. } | Fact::Aborted { error } => panic!("{error}"),
            _ => {}
        }
    }
}

/// What the service did beside reading.
#[derive(Default)]
struct Work {
    documents: usize,
    snapshots: u64,
}

/// Seconds.
struct Cost {
    cpu: f64,
    wall: f64,
}

/// Of several rounds.
#[derive(Default)]
struct Costs {
    cpu: Vec<f64>,
    wall: Vec<f64>,
}

impl Costs {
    fn add(&mut self, cost: Cost) {
        self.cpu.push(cost.cpu);
        self.wall.push(cost.wall);
    }

    fn median(self) -> Cost {
        Cost {
            cpu: median(self.cpu),
            wall: median(self.wall),
        }
    }
}

/// Times this process with all its threads.
struct Stopwatch {
    wall: Instant,
    cpu: f64,
}

impl Stopwatch {
    fn start() -> Stopwatch {
        Stopwatch {
            wall: Instant::now(),
            cpu: process_cpu(),
        }
    }

    fn cost(&self) -> Cost {
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
