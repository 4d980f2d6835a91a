//! From SIGKILL to live again, with its parts: `cargo bench --bench recovery [-- SERIES [RATE [SECONDS [topic|directory]]]]`.
//!
//! A mean a host, 100,000 hosts, three weeks old with a day and a week, in a snapshot that stands 5 minutes of 10,000 events a second before the committed
//! position: what a service leaves that is killed just before its next snapshot. (The state is grown by the engine alone; the events are in a real
//! Apache Kafka that this starts, uncompressed, in one partition.) A process works them off, is killed with SIGKILL once all is committed, and another one of the
//! same name is started at that moment. *up*: until that one has its partition, its state restored and its place found: process start, joining the group
//! (with `group.instance.id`, as names that last allow; without it `session.timeout.ms` more), reading, decompressing and decoding the snapshot,
//! the last three of them also alone as *restore*. *replay*: until everything up to the committed position has been read again, and the task is live.

#![allow(missing_docs, unreachable_pub)] // of the broker, which tests share
#![allow(clippy::disallowed_methods)] // a benchmark reads the clock

#[path = "../tests/support/broker.rs"]
mod broker;
#[allow(dead_code)] // other benchmarks use more of it
mod common;

use common::job;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidewatch::config::Job;
use tidewatch::config::service::{Kafka, Topics as TopicSettings};
use tidewatch::engine::event::{Event, Value};
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::Pipeline;
use tidewatch::runtime::clock::SystemClock;
use tidewatch::runtime::kafka::{KafkaLog, KafkaTopics};
use tidewatch::runtime::log::{Cleanup, NewTopic, Outgoing, TopicPartition, Topics};
use tidewatch::runtime::observer::{Fact, Observer};
use tidewatch::runtime::service::{Service, Settings, group_of};
use tidewatch::runtime::store::{DirectoryStore, SnapshotKey, SnapshotStore, TopicStore};
use tidewatch::runtime::task::{Plan, TopicNames};
use tidewatch::time::{BucketSpan, EventTime};

const TOPIC: &str = "events";
const DETECTORS: &str = r#"[{"function": "mean", "field_name": "http.response.bytes", "partition_field_name": "host.name"}]"#;
const SPAN_S: i64 = 3_600;
const HISTORY_BUCKETS: i64 = 21 * 24;
/// Monday, 2 March 2026.
const FROM_MS: i64 = 1_772_409_600_000;
const FILL_BATCH: usize = 10_000;

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    if let [what, servers, folder] = words.as_slice()
        && what == "serve"
    {
        return serve(servers, folder);
    }
    let number = |at: usize, usual: usize| {
        let word = words.get(at).and_then(|word| word.parse().ok());
        word.unwrap_or(usual)
    };
    let (series, rate, seconds) = (number(0, 100_000), number(1, 10_000), number(2, 300));
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let folder = match words.get(3).map(String::as_str) {
        Some("directory") => directory.path().display().to_string(),
        _ => "-".to_owned(),
    };
    let servers = broker::broker().address.clone();
    fill(&servers, series, rate * seconds, seconds);
    prepare(&servers, &folder, series);
    let mut first = Process::start(&servers, &folder);
    first.wait_for("settled");
    first.child.kill().expect("it runs"); // SIGKILL
    let watch = Instant::now();
    let _ = first.child.wait();
    let mut second = Process::start(&servers, &folder);
    let restore = second.wait_for("assigned");
    let up = watch.elapsed().as_secs_f64();
    let replayed = second.wait_for("replayed");
    let live = watch.elapsed().as_secs_f64();
    second.child.kill().expect("it runs");
    let _ = second.child.wait();
    println!(
        "{series} series, snapshot {seconds} s old at {rate} events/s, in a {}: live {live:.1} s after SIGKILL; up {up:.1} s (restore {restore} ms), replay {:.1} s of {replayed} messages",
        if folder == "-" { "topic" } else { "directory" },
        live - up
    );
}

/// The process that is killed, and its successor.
struct Process {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(servers: &str, folder: &str) -> Process {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args(["serve", servers, folder])
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Process { child, lines }
    }

    /// The number that it says with this word.
    fn wait_for(&mut self, word: &str) -> String {
        for line in self.lines.by_ref() {
            let line = line.expect("text");
            if let Some((said, number)) = line.split_once(' ')
                && said == word
            {
                return number.to_owned();
            }
        }
        panic!("it ended before it said {word}");
    }
}

fn the_job() -> Arc<Job> {
    Arc::new(Job {
        bucket_span: BucketSpan::from_seconds(SPAN_S).expect("a span"),
        ..Job::clone(&job("recovery", DETECTORS, TOPIC))
    })
}

/// Works the job until it is killed, and says how it goes.
fn serve(servers: &str, folder: &str) {
    let job = the_job();
    let names = TopicNames::new("bench");
    let log = KafkaLog::open(&kafka(servers), &topic_settings()).expect("clients");
    let settings = Settings {
        names,
        snapshot_interval_ms: i64::MAX / 4, // killed before the next one
        ..Settings::default()
    };
    let (clock, mouth) = (Arc::new(SystemClock), Arc::new(Mouth));
    let store = store(servers, folder);
    let mut service = Service::start(log, store, clock, mouth, job, settings).expect("laid out");
    let mut said = false;
    loop {
        let breath = service.breathe(Duration::from_millis(20));
        breath.expect("the broker answers");
        if !said && service.is_ready() && !service.describe().is_empty() && service.is_settled() {
            said = true;
            println!("settled 0");
        }
    }
}

struct Mouth;

impl Observer for Mouth {
    fn observe(&self, _job_id: &str, fact: &Fact<'_>) {
        match fact {
            Fact::Assigned {
                snapshot: Some(_),
                duration_ms,
                ..
            } => println!("assigned {duration_ms}"),
            Fact::Replayed { messages, .. } => println!("replayed {messages}"),
            Fact::SnapshotUnusable { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
}

fn store(servers: &str, folder: &str) -> Box<dyn SnapshotStore + Send> {
    match folder {
        "-" => {
            let topics = KafkaTopics::open(&kafka(servers), &topic_settings()).expect("clients");
            let name = TopicNames::new("bench").snapshots();
            Box::new(TopicStore::open(topics, &name).expect("a topic for snapshots"))
        }
        folder => Box::new(DirectoryStore::open(folder).expect("a directory")),
    }
}

/// Three weeks of every host, and a snapshot of that.
fn prepare(servers: &str, folder: &str, series: usize) {
    let job = the_job();
    let mut pipeline = Pipeline::new(Arc::clone(&job));
    let hosts: Vec<String> = (0..series).map(host).collect();
    let field = |name: &str| {
        let at = job.fields.iter().position(|field| field == name);
        at.expect("a field of the job")
    };
    let (host_at, value_at) = (field("host.name"), field("http.response.bytes"));
    for bucket in 0..HISTORY_BUCKETS {
        let start = FROM_MS + bucket * SPAN_S * 1000;
        let daylight = (bucket as f64 * std::f64::consts::TAU / 24.0).cos();
        let week = if bucket / 24 % 7 >= 5 { 0.5 } else { 1.0 };
        for (number, host) in hosts.iter().enumerate() {
            let noise = ((number as i64 * 7919 + bucket * 104_729) % 1_000) as f64 / 1_000.0;
            let mean = 1_000.0 * (1.0 + 0.5 * daylight) * week * (0.9 + 0.2 * noise);
            let mut values = vec![Value::Missing; job.fields.len()];
            values[host_at] = Value::Text(host.as_str().into());
            values[value_at] = Value::Float(mean);
            let _ = pipeline.handle(Input::Event(&Event {
                time: EventTime(start + number as i64 % 1_000),
                values: &values,
                raw_bytes: 0,
                raw_fields: 0,
            }));
        }
    }
    let mut topics = KafkaTopics::open(&kafka(servers), &topic_settings()).expect("clients");
    let asked = Plan::asked(&job).expect("a topic");
    let found = topics.partitions(&asked).expect("an answer");
    let plan = Plan::new(Arc::clone(&job), TopicNames::new("bench"), &found).expect("laid out");
    let key = SnapshotKey {
        task: format!("{}/{}", job.id, TopicPartition::new(TOPIC, 0)),
        lineage: plan.lineage,
        offset: 0,
    };
    let stored = store(servers, folder).put(&key, &pipeline.freeze());
    let stored = stored.expect("stored") as f64 / f64::from(1 << 20);
    eprintln!("a snapshot of {stored:.0} MiB");
}

fn host(number: usize) -> String {
    format!("host-{number:06}")
}

/// The events since the snapshot, in time order.
fn fill(servers: &str, series: usize, events: usize, seconds: usize) {
    let mut topics = KafkaTopics::open(&kafka(servers), &topic_settings()).expect("clients");
    let wanted = NewTopic {
        name: TOPIC.to_owned(),
        partitions: Some(1),
        cleanup: Cleanup::Delete,
    };
    topics.create(&[wanted]).expect("a topic");
    let from = FROM_MS + HISTORY_BUCKETS * SPAN_S * 1000;
    let topic: Arc<str> = TOPIC.into();
    for first in (0..events).step_by(FILL_BATCH) {
        let event = |n: usize| {
            let time = from + (n * seconds * 1000 / events) as i64;
            let (host, bytes) = (host(n * 7919 % series), 500 + n % 1000);
            let text = format!(
                r#"{{"@timestamp":{time},"host":{{"name":"{host}"}},"http":{{"response":{{"bytes":{bytes}}}}}}}"#
            );
            Outgoing {
                topic: Arc::clone(&topic),
                partition: Some(0),
                key: None,
                payload: Some(text.into_bytes()),
                headers: Vec::new(),
                timestamp_ms: None, // by its own, the broker would find it too old to keep
            }
        };
        let batch: Vec<Outgoing> = (first..events.min(first + FILL_BATCH)).map(event).collect();
        topics.publish(&batch).expect("the broker takes it");
    }
    topics.flush().expect("all delivered");
}

fn kafka(servers: &str) -> Kafka {
    let own = [
        ("bootstrap.servers", servers),
        ("compression.type", "none"),
        ("group.instance.id", "bench"),
    ];
    Kafka {
        properties: own
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        secrets: [].into(),
        secret_files: [].into(),
        group_id: group_of("bench", "recovery"),
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
