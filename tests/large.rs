//! What is longer than brokers take: buckets of very many series between stages, and dead letters.
//!
//! The log in memory refuses messages above a million bytes, as librdkafka does.
#![allow(missing_docs, unreachable_pub)] // of what tests share

#[path = "support/house.rs"]
mod house;
#[allow(dead_code)] // others draw more from it
#[path = "support/random.rs"]
mod random;

use house::{House, MINUTE_MS};
use random::Random;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidewatch::config::Job;
use tidewatch::engine::result::DocumentKind;
use tidewatch::runtime::log::{MESSAGE_BYTES_MAX, Outgoing};
use tidewatch::runtime::service::Settings;

/// With their names more than a message takes, however it is compressed.
const HOSTS: usize = 12_000;
/// The first bucket; time zero is that of no event.
const FIRST: i64 = 10;

fn job(plots: bool) -> Arc<Job> {
    let body = json!({
        "job_id": "j",
        "analysis_config": {"bucket_span": "1m", "detectors": [{"function": "mean", "field_name": "bytes", "partition_field_name": "host"}], "influencers": ["user"]},
        "datafeed_config": {"indices": ["events"]},
        "data_description": {"time_field": "time", "time_format": "epoch_ms"},
        "model_plot_config": {"enabled": plots},
        "tidewatch": {"idle_timeout": "10s", "interim_interval": "1s"},
    });
    Arc::new(Job::from_value(&body).expect("a valid job"))
}

/// Names that no compressor makes short.
fn names() -> Vec<String> {
    let mut random = Random::new(20_261_201);
    let mut letter = || char::from(b'a' + random.within(0, 26) as u8);
    let mut name = || (0..400).map(|_| letter()).collect::<String>();
    (0..HOSTS).map(|_| name()).collect()
}

fn event(minute: i64, host: &str, bytes: u64) -> String {
    let time = minute * MINUTE_MS;
    json!({"time": time, "host": host, "user": format!("{bytes}-{host}"), "bytes": bytes})
        .to_string()
}

/// A few minutes of all hosts, the first one much louder in the last, each to its partition; then one event that closes the last.
fn send(house: &House, names: &[String], partitions: i32) {
    for minute in FIRST..FIRST + 12 {
        // Only the first and the last two are of all hosts: it is a bucket that is large, not a feed.
        let all = minute == FIRST || minute >= FIRST + 10;
        for (n, name) in names.iter().take(if all { HOSTS } else { 50 }).enumerate() {
            let loud = n == 0 && minute == FIRST + 10;
            let bytes = if loud {
                90_000
            } else {
                100 + (n as u64 * 7 + minute as u64 * 3) % 10
            };
            house.send((n % 2) as i32 % partitions, &event(minute, name, bytes));
        }
    }
    house.send(0, &event(FIRST + 12, &names[0], 100));
}

fn worked(job: &Arc<Job>, names: &[String], partitions: i32) -> (House, BTreeMap<String, Value>) {
    let house = House::new(partitions);
    let mut service = house.start(Arc::clone(job));
    send(&house, names, partitions);
    // Partitions that have no more fall silent, and leave what is open to the others.
    house.settle(&mut service);
    drop(service);
    let documents = house.documents();
    (house, documents)
}

#[test]
fn a_bucket_longer_than_a_message_gives_what_it_gives_in_one_place() {
    let (names, job) = (names(), job(true));
    let (_, expected) = worked(&job, &names, 1);
    assert!(
        expected.keys().any(|id| id.starts_with("Record")),
        "the loud host"
    );
    let plots = expected.keys().filter(|id| id.starts_with("ModelPlot"));
    assert!(plots.count() > HOSTS, "{}", expected.len());
    let (house, found) = worked(&job, &names, 2);
    for (id, document) in &expected {
        assert_eq!(found.get(id), Some(document), "{id}");
    }
    assert_eq!(found.len(), expected.len());
    for topic in ["tidewatch.j.closed", "tidewatch.j.partials"] {
        let messages = house.cluster.committed(topic);
        let bytes = |stored: &Arc<_>| bytes(stored);
        let largest = messages.iter().map(bytes).max().expect("messages");
        assert!(largest <= MESSAGE_BYTES_MAX, "{topic}: {largest}");
        assert!(
            largest > MESSAGE_BYTES_MAX * 9 / 10,
            "{topic}: the bucket was no larger than {largest}"
        );
    }
}

fn bytes(stored: &tidewatch::runtime::log::memory::Stored) -> usize {
    stored.key.as_ref().map_or(0, Vec::len) + stored.payload.as_ref().map_or(0, Vec::len)
}

/// What this is for: without pieces the bucket is never judged.
#[test]
#[should_panic(expected = "bytes; at most 1000000 are taken")]
fn in_one_message_it_would_be_refused() {
    let (names, job) = (names(), job(false));
    let house = House::new(2);
    let settings = Settings {
        message_bytes_max: usize::MAX,
        ..Settings::default()
    };
    let mut service = house.start_with(job, settings);
    send(&house, &names, 2);
    house.settle(&mut service);
}

#[test]
fn of_a_refused_message_that_is_longer_than_brokers_take_of_us_the_beginning_is_kept_and_its_length()
 {
    let job = job(false);
    let house = House::new(1);
    let mut service = house.start(Arc::clone(&job));
    let long = format!("{{\"time\": \"{}\"}}", "x".repeat(3_000_000));
    let fitting = format!("{{\"time\": \"{}\"}}", "y".repeat(MESSAGE_BYTES_MAX - 20));
    for (key, text) in [
        (None, &long),
        (Some("k".repeat(700_000)), &long),
        (None, &fitting),
    ] {
        let message = Outgoing {
            topic: "events".into(),
            partition: Some(0),
            key: key.map(String::into_bytes),
            payload: Some(text.clone().into_bytes()),
            headers: Vec::new(),
            timestamp_ms: Some(0),
        };
        house.cluster.append(&message).expect("a topic");
        house.send(0, &event(FIRST, "a", 1));
    }
    house.settle(&mut service);
    let letters = house.cluster.committed("tidewatch.dead-letters");
    let said = |at: usize| {
        let (letter, text) = (&letters[at], if at == 2 { &fitting } else { &long });
        let payload = letter.payload.as_deref().expect("a payload");
        assert!(text.as_bytes().starts_with(payload), "{at}");
        let length = letter
            .headers
            .iter()
            .find(|(name, _)| *name == "payload_bytes");
        (
            letter.key.as_ref().map(Vec::len),
            payload.len(),
            length.map(|(_, value)| value.clone()),
        )
    };
    let key_length = |at: usize| {
        let mut headers = letters[at].headers.iter();
        headers
            .find(|(name, _)| *name == "key_bytes")
            .map(|(_, value)| &**value)
    };
    assert_eq!([0, 1, 2].map(key_length), [None, Some("700000"), None]);
    let whole = Some(long.len().to_string());
    assert_eq!(letters.len(), 3);
    assert_eq!(said(0), (None, MESSAGE_BYTES_MAX, whole.clone()));
    assert_eq!(said(1), (Some(495_000), 495_000, whole));
    assert_eq!(said(2), (None, fitting.len(), None));
    assert!(house.results(DocumentKind::Bucket).is_empty());
    assert!(service.is_settled(), "the job goes on");
}

/// A coordinator keeps the positions of a transaction in one batch, which brokers limit as any other.
#[test]
fn the_positions_of_very_many_topics_are_less_than_brokers_take() {
    let house = House::new(1);
    let topic = |n: usize| format!("logs-of-a-service-with-a-name-that-is-long-{n:04}");
    (0..400).for_each(|n| house.cluster.create_topic(&topic(n), 1));
    let body = json!({
        "job_id": "j",
        "analysis_config": {"bucket_span": "1m", "detectors": [{"function": "count"}]},
        "datafeed_config": {"indices": ["^logs-of-.*"]},
        "data_description": {"time_field": "time", "time_format": "epoch_ms"},
        "tidewatch": {"idle_timeout": "10s"},
    });
    let job = Arc::new(Job::from_value(&body).expect("a valid job"));
    let mut service = house.start(job);
    for (minute, n) in [(FIRST, 0), (FIRST, 399), (FIRST + 1, 7)] {
        let message = Outgoing {
            topic: topic(n).as_str().into(),
            partition: Some(0),
            key: None,
            payload: Some(event(minute, "a", 1).into_bytes()),
            headers: Vec::new(),
            timestamp_ms: Some(0),
        };
        house.cluster.append(&message).expect("a topic");
    }
    house.settle(&mut service);
    assert_eq!(house.event_counts(), BTreeMap::from([(FIRST, 2)]));
}
