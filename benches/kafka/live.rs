//! How long a result takes, live: from the producer's hand to a reader of what is committed.
//!
//! Ten thousand events a second of a thousand hosts, written as they happen, in buckets of one second. The clock of a bucket starts just before
//! the first event beyond its end is given to the producer (the watermark that closes it), and stops when a reader of committed messages has its
//! final result in hand. So the ways to and from the broker are in it.

use crate::common::{SPEED_JOBS, job_of_span};
use crate::world::{Ear, create, event, kafka, start, topic_settings};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use tidewatch::engine::result::DocumentKind;
use tidewatch::runtime::kafka::{Begin, Follower, KafkaLog, KafkaTopics};
use tidewatch::runtime::log::Topics;
use tidewatch::runtime::service::group_of;
use tidewatch::runtime::shutdown::Shutdown;
use tidewatch::runtime::task::TopicNames;

const RATE: i64 = 10_000;
const TICK: Duration = Duration::from_millis(5);
/// Buckets while everything still finds its place: not counted.
const SETTLING_S: i64 = 8;

pub(crate) fn print(seconds: i64) {
    println!(
        "{:<32}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "live, 10,000 events a second", "place", "buckets", "p50 ms", "p90 ms", "p99 ms", "max ms"
    );
    for (number, (name, detectors, influencers)) in SPEED_JOBS.into_iter().enumerate() {
        for (place, partitions) in [("fused", 1), ("staged", 2)] {
            let id = format!("live-{number}-{place}");
            let job = job_of_span(&id, "1s", detectors, influencers, &id);
            create(&id, partitions);
            let mut waits = watch(&job, partitions, seconds);
            waits.sort();
            let at = |share: f64| {
                let place = (share * (waits.len() - 1) as f64).round() as usize;
                waits[place].as_secs_f64() * 1e3
            };
            println!(
                "{name:<32}{place:>10}{:>10}{:>10.0}{:>10.0}{:>10.0}{:>10.0}",
                waits.len(),
                at(0.5),
                at(0.9),
                at(0.99),
                at(1.0)
            );
        }
    }
}

/// The waits of all buckets but the first ones.
fn watch(job: &Arc<tidewatch::config::Job>, partitions: i32, seconds: i64) -> Vec<Duration> {
    let kafka = kafka(&group_of("bench", &job.id));
    let log = KafkaLog::open(&kafka, &topic_settings()).expect("clients");
    let ear = Ear::of(job);
    let mut service = start(log, &kafka, job, &ear, None);
    let mut reader = Follower::open(&kafka).expect("a client");
    let results = TopicNames::new(&job.id)
        .results(DocumentKind::Bucket)
        .clone();
    // The service has just made the topic: its leader may not be known yet.
    let patience = Instant::now() + Duration::from_secs(30);
    while !matches!(reader.follow(&results, Begin::Oldest), Ok(Some(_))) {
        assert!(Instant::now() < patience, "{results} is not there");
        thread::sleep(TICK);
    }
    let closings: Mutex<BTreeMap<i64, Instant>> = Mutex::default();
    let (shutdown, first_s) = (Shutdown::new(), now_ms() / 1_000);
    let mut waits = Vec::new();
    thread::scope(|scope| {
        let working = scope.spawn(|| service.run(&shutdown));
        let writing = scope.spawn(|| write(&job.id, partitions, seconds, &closings));
        let last_s = first_s + seconds - 1;
        let mut done = false;
        while !done {
            let polled = reader.poll(Duration::from_millis(100), &mut |_, message| {
                let arrived = Instant::now();
                let payload = message.payload.unwrap_or_default();
                let result: serde_json::Value = serde_json::from_slice(payload).expect("JSON");
                let start_s = result["timestamp"].as_i64().expect("a time") / 1_000;
                done |= start_s + 1 >= last_s;
                let closings = closings.lock().expect("no writer panics");
                let closed = closings.get(&(start_s + 1));
                if let Some(closed) = closed.filter(|_| start_s >= first_s + SETTLING_S) {
                    waits.push(arrived - *closed);
                }
            });
            polled.expect("the broker answers");
            assert!(now_ms() / 1_000 < last_s + 60, "the last bucket never came");
        }
        writing.join().expect("no writer panics");
        shutdown.ask();
        let worked = working.join().expect("no service panics");
        worked.expect("the service ends in order");
    });
    waits
}

/// Writes events as they happen. Tells when the first event of each second left.
fn write(topic: &str, partitions: i32, seconds: i64, closings: &Mutex<BTreeMap<i64, Instant>>) {
    let mut kafka = kafka("fill");
    let eager = ("linger.ms".to_owned(), "0".to_owned());
    kafka.properties.extend([eager]);
    let mut topics = KafkaTopics::open(&kafka, &topic_settings()).expect("clients");
    let topic: Arc<str> = topic.into();
    let begin_ms = now_ms();
    let (mut written, mut second) = (0_i64, 0);
    let mut payload = Vec::new();
    loop {
        let at_ms = now_ms();
        if at_ms - begin_ms >= seconds * 1_000 {
            break;
        }
        let due = (at_ms - begin_ms) * RATE / 1_000;
        let batch = (written..due).map(|number| {
            payload.clear();
            // A thousand hosts by turns, so that each has about ten events in each second; sizes without any pattern.
            let mixed = number.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
            let (host, user) = (number * 7 % 1_000, mixed % 500);
            let status = [200, 200, 200, 304, 404][mixed as usize % 5];
            write!(
                payload,
                r#"{{"@timestamp":{at_ms},"host":{{"name":"host-{host:03}"}},"user":{{"name":"user-{user:03}"}},"http":{{"request":{{"method":"GET"}},"response":{{"bytes":{},"status_code":{status}}}}},"latency_ms":{}}}"#,
                500 + mixed % 1_000,
                mixed % 97,
            )
            .expect("room");
            event(&topic, (number % i64::from(partitions)) as i32, &payload)
        });
        let batch: Vec<_> = batch.collect();
        if !batch.is_empty() && at_ms / 1_000 > second {
            second = at_ms / 1_000;
            let mut closings = closings.lock().expect("no reader panics");
            closings.insert(second, Instant::now());
        }
        written = due;
        topics.publish(&batch).expect("the broker takes it");
        thread::sleep(TICK);
    }
    topics.flush().expect("all delivered");
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("a clock").as_millis() as i64
}
