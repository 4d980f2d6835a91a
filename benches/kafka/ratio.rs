//! The service beside a bare consumer.
//!
//! A (librdkafka's batch reads and the decoder of the job's fields, nothing behind them) and B (the service as `tidewatch run` works a job: group,
//! telemetry, transactions of results, snapshots in a topic) take turns on one topic of one partition. Counted from the first message in hand
//! until the last one is decoded (A), or until every bucket that the feed closes is committed (B); afterwards a reader of committed messages
//! must find each of those buckets.

use crate::TOPIC;
use crate::common::{SPEED_JOBS, job_with, median};
use crate::world::{
    Cost, Ear, MEASURED, Stopwatch, breathe_until, kafka, read_all, start, topic_settings,
};
use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tidewatch::config::Job;
use tidewatch::decode::Decoder;
use tidewatch::engine::result::DocumentKind;
use tidewatch::runtime::kafka::{KafkaLog, KafkaTopics};
use tidewatch::runtime::log::{TopicPartition, Topics};
use tidewatch::runtime::service::group_of;
use tidewatch::runtime::task::TopicNames;
use tidewatch::time::EventTime;

pub(crate) fn print(events: usize, rounds: usize) {
    println!("events a second of one core's work");
    println!(
        "{:<32}{:>24}{:>24}{:>29}",
        "", "bare consumer", "service", "ratio"
    );
    println!(
        "{:<32}{:>12}{:>12}{:>12}{:>12}{:>8}{:>13}{:>8}{:>11}{:>11}",
        "job", "cpu", "wall", "cpu", "wall", "cpu", "of rounds", "wall", "documents", "snapshots"
    );
    for (number, (name, detectors, influencers)) in SPEED_JOBS.into_iter().enumerate() {
        let (mut bare, mut served) = (Costs::default(), Costs::default());
        let mut work = Work::default();
        for round in 0..rounds {
            let id = format!("bench-{number}-{round}");
            let job = job_with(&id, detectors, influencers, TOPIC);
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
            "{name:<32}{:>12.0}{:>12.0}{:>12.0}{:>12.0}{:>7.1}%{spread:>13}{:>7.1}%{:>11}{:>11}",
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
    let kafka = kafka(&group_of("bench", &job.id));
    let log = KafkaLog::open(&kafka, &topic_settings()).expect("clients");
    let ear = Ear::of(job);
    let mut service = start(log, &kafka, job, &ear, MEASURED);
    let consumed = || ear.consumed.load(Relaxed);
    breathe_until(&mut service, &ear, |_| consumed() > 0);
    let watch = Stopwatch::start();
    breathe_until(&mut service, &ear, |service| {
        consumed() >= events as u64 && service.is_settled()
    });
    let cost = watch.cost();
    let snapshots = ear.snapshots.load(Relaxed);
    service.finish().expect("an end in order");
    let documents = published(job, ear.buckets.load(Relaxed));
    let work = Work {
        documents,
        snapshots,
    };
    (cost, work)
}

/// How many final documents a reader of committed messages finds; fails unless all `buckets` are among them.
fn published(job: &Job, buckets: u64) -> usize {
    let names = TopicNames::new(&job.id);
    let (mut documents, mut found) = (0, BTreeSet::new());
    for kind in DocumentKind::ALL {
        read_all(names.results(kind), &mut |key, _| {
            documents += 1;
            if kind == DocumentKind::Bucket {
                found.extend(key.map(<[u8]>::to_vec));
            }
        });
    }
    assert!(buckets > 0, "no bucket was closed");
    assert_eq!(found.len() as u64, buckets, "buckets closed and published");
    documents
}

/// What the service did beside reading.
#[derive(Default)]
struct Work {
    documents: usize,
    snapshots: u64,
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
