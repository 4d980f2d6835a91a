//! Events per second from Kafka to Kafka, exactly once, beside a bare consumer of the same fields: `cargo bench --bench kafka [-- EVENTS [ROUNDS]]`.
//!
//! A (librdkafka's batch reads and the decoder of the job's fields, nothing behind them) and B (the service as `tidewatch run` works a job: group,
//! telemetry, transactions of results, snapshots in a topic) take turns on one topic of one partition, uncompressed, on a real broker that this
//! starts. Counted from the first message in hand until the last one is decoded (A), or until every bucket that the feed closes is committed (B);
//! afterwards a reader of committed messages must find each of those buckets. Processor time is that of this process with all of librdkafka's
//! threads, without the broker, which shares the machine's cores: the ratio to quote is the processor's; the clock's is shown beside it. Figures
//! are medians over the rounds, ratios too: each round gives its own, of neighbours in time; "of rounds" is the least and the greatest.
//!
//! Then several jobs on that topic in one process, as `tidewatch run` works them (a thread each, sharing what they read), against one of
//! them: processor time from the first poll until all is settled. "apart" is the same two jobs, each reading for itself. And the memory
//! that working off the whole topic takes, as the peak of the resident set above what the process had before.

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
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};
use tidewatch::config::Job;
use tidewatch::config::service::{Kafka, Topics as TopicSettings};
use tidewatch::decode::Decoder;
use tidewatch::engine::result::DocumentKind;
use tidewatch::runtime::clock::SystemClock;
use tidewatch::runtime::kafka::{KafkaLog, KafkaTopics};
use tidewatch::runtime::log::shared::{Limits, SharedLog, Sharing};
use tidewatch::runtime::log::{Cleanup, Log, NewTopic, Outgoing, TopicPartition, Topics};
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
    several(events, rounds);
}

/// Prints what several jobs on one topic cost against one.
fn several(events: usize, rounds: usize) {
    println!(
        "\n{:<22}{:>12}{:>12}{:>10}{:>13}{:>10}{:>12}{:>14}{:>14}",
        "jobs on one topic",
        "one, cpu s",
        "two, cpu s",
        "ratio",
        "of rounds",
        "apart",
        "shared",
        "one, peak MB",
        "two, peak MB"
    );
    for (number, (name, detectors)) in JOBS.into_iter().enumerate() {
        let (mut one, mut two, mut apart) = (Vec::new(), Vec::new(), Vec::new());
        let (mut shared, mut peaks) = (0, [0.0_f64; 2]);
        for round in 0..rounds {
            let jobs = |what: &str, count: usize| -> Vec<Arc<Job>> {
                let id = |n| format!("{what}-{number}-{round}-{n}");
                (0..count).map(|n| job(&id(n), detectors, TOPIC)).collect()
            };
            let outcome = serve_all(&jobs("one", 1), events, Reading::Shared);
            one.push(outcome.cpu);
            peaks[0] = peaks[0].max(outcome.peak_mb);
            let outcome = serve_all(&jobs("two", 2), events, Reading::Shared);
            two.push(outcome.cpu);
            peaks[1] = peaks[1].max(outcome.peak_mb);
            shared = outcome.shared;
            apart.push(serve_all(&jobs("apart", 2), events, Reading::Apart).cpu);
        }
        let times = |of: &[f64]| -> Vec<f64> {
            let mut times: Vec<f64> = of.iter().zip(&one).map(|(of, one)| of / one).collect();
            times.sort_by(f64::total_cmp);
            times
        };
        let (ratios, without) = (times(&two), times(&apart));
        let spread = format!("{:.2}-{:.2}x", ratios[0], ratios[rounds - 1]);
        println!(
            "{name:<22}{:>12.2}{:>12.2}{:>9.2}x{spread:>13}{:>9.2}x{:>11.0}%{:>14.0}{:>14.0}",
            median(one),
            median(two),
            median(ratios),
            median(without),
            100.0 * shared as f64 / events as f64,
            peaks[0],
            peaks[1],
        );
    }
}

/// How jobs of one process read a topic that they have in common.
#[derive(Clone, Copy, PartialEq)]
enum Reading {
    Shared,
    Apart,
}

/// What it took to work jobs from the first message to the last commit.
struct Outcome {
    /// Seconds of this process.
    cpu: f64,
    /// Messages that one job took from another.
    shared: u64,
    /// Resident memory at its highest, above what it was before; in MB.
    peak_mb: f64,
}

/// Works jobs side by side, each on a thread.
fn serve_all(jobs: &[Arc<Job>], events: usize, reading: Reading) -> Outcome {
    let sharing = Sharing::new(Arc::new(SystemClock), Limits::default());
    let before_kb = forget_peak();
    let ready = Barrier::new(jobs.len() + 1);
    thread::scope(|scope| {
        let workers: Vec<_> = jobs
            .iter()
            .map(|job| {
                let (ready, sharing) = (&ready, &sharing);
                scope.spawn(move || {
                    let kafka = kafka(&group_of("bench", &job.id));
                    let log = KafkaLog::open(&kafka, &topic_settings()).expect("clients");
                    match reading {
                        Reading::Apart => work(log, &kafka, job, events, ready),
                        Reading::Shared => {
                            let log = SharedLog::new(log, sharing, Arc::clone(job));
                            work(log, &kafka, job, events, ready)
                        }
                    }
                })
            })
            .collect();
        ready.wait();
        let watch = Stopwatch::start();
        let shared = workers.into_iter().map(|worker| worker.join());
        let shared = shared
            .map(|outcome| outcome.expect("no worker panics"))
            .sum();
        Outcome {
            cpu: watch.cost().cpu,
            shared,
            peak_mb: (status_kb("VmHWM:") - before_kb) / 1024.0,
        }
    })
}

/// One job's thread, from the first poll until all is settled. Returns how many messages it took from others.
fn work<L: Log>(log: L, kafka: &Kafka, job: &Arc<Job>, events: usize, ready: &Barrier) -> u64 {
    let names = TopicNames::new(&job.id);
    let topics = KafkaTopics::open(kafka, &topic_settings()).expect("clients");
    let store = TopicStore::open(topics, &names.snapshots()).expect("a topic for snapshots");
    let ear = Arc::new(Ear::of(job));
    let settings = Settings {
        names,
        snapshot_every_messages: Some(SNAPSHOT_EVERY),
        ..Settings::default()
    };
    let (clock, observer) = (Arc::new(SystemClock), Arc::clone(&ear));
    let (store, job) = (Box::new(store), Arc::clone(job));
    let mut service = Service::start(log, store, clock, observer, job, settings)
        .expect("the job can be laid out");
    ready.wait();
    let mut last = (Instant::now(), 0);
    while ear.consumed.load(Relaxed) < events as u64 || !service.is_settled() {
        service
            .breathe(Duration::from_millis(50))
            .expect("the broker answers");
        let consumed = ear.consumed.load(Relaxed);
        if consumed > last.1 {
            last = (Instant::now(), consumed);
        }
        assert!(last.0.elapsed() < PATIENCE, "stuck after {consumed} events");
    }
    service.finish().expect("an end in order");
    ear.shared.load(Relaxed)
}

/// Lets the kernel count the peak of the resident memory from here on; what it is now, KiB.
fn forget_peak() -> f64 {
    // Not permitted everywhere: then the peak is that of the whole run.
    let _ = fs::write("/proc/self/clear_refs", "5");
    status_kb("VmRSS:")
}

fn status_kb(name: &str) -> f64 {
    let text = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.map_or(0.0, |number| number.parse().expect("a number"))
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
    let ear = Arc::new(Ear::of(job));
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
    shared: AtomicU64,
}

impl Ear {
    fn of(job: &Arc<Job>) -> Ear {
        Ear {
            telemetry: Telemetry::new(Arc::new(SystemClock), &[Arc::clone(job)]),
            consumed: AtomicU64::new(0),
            buckets: AtomicU64::new(0),
            snapshots: AtomicU64::new(0),
            shared: AtomicU64::new(0),
        }
    }
}

impl Observer for Ear {
    fn observe(&self, job_id: &str, fact: &Fact<'_>) {
        self.telemetry.observe(job_id, fact);
        match fact {
            Fact::Consumed { messages, .. } => drop(self.consumed.fetch_add(*messages, Relaxed)),
            Fact::Shared { messages, .. } => drop(self.shared.fetch_add(*messages, Relaxed)),
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
