//! The events of these tests, the jobs over them, and what `detect` would say: the engine's pipeline over all events in order.

use crate::client::produce;
use crate::random::Random;
use std::sync::Arc;
use tidewatch::config::Job;
use tidewatch::decode::Decoder;
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::time::Finality;

/// 2025-06-02T00:00:00Z, a Monday.
pub const START_MS: i64 = 1_748_822_400_000;
pub const SPAN_MS: i64 = 300_000;
const HOSTS: usize = 12;

/// How a message finds its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    ByHost,
    AtRandom,
}

/// An event as its message holds it.
#[derive(Clone, Debug)]
pub struct Message {
    pub host: usize,
    pub text: String,
}

/// Events in time order over `buckets` buckets: a wave that differs by host, and two incidents.
pub fn events(seed: u64, buckets: i64) -> Vec<Message> {
    let mut random = Random::new(seed);
    let mut messages = Vec::new();
    for bucket in 0..buckets {
        let mut bucket_messages = Vec::new();
        for host in 0..HOSTS {
            let slow = host == 3 && (buckets * 2 / 3..buckets * 2 / 3 + 3).contains(&bucket);
            let busy = host == 7 && bucket == buckets * 3 / 4;
            let events = if busy { 25 } else { random.within(1, 3) };
            for _ in 0..events {
                let time = START_MS + bucket * SPAN_MS + random.within(0, SPAN_MS);
                let wave = (bucket as f64 / 20.0 + host as f64).sin();
                let latency =
                    (50.0 + 10.0 * wave + 5.0 * random.unit()) * if slow { 12.0 } else { 1.0 };
                let status = if random.unit() < 0.05 { 500 } else { 200 };
                let text = format!(
                    r#"{{"time":{time},"host":{{"name":"h{host}"}},"status":{status},"latency_ms":{latency:.3}}}"#
                );
                bucket_messages.push((time, Message { host, text }));
            }
        }
        bucket_messages.sort_by_key(|(time, _)| *time);
        messages.extend(bucket_messages.into_iter().map(|(_, message)| message));
    }
    messages
}

/// An event after all others: written to every partition, it closes every bucket before its own.
pub fn sentinel(buckets: i64) -> String {
    let time = START_MS + (buckets + 3) * SPAN_MS;
    format!(r#"{{"time":{time},"host":{{"name":"h0"}},"status":200,"latency_ms":50}}"#)
}

/// Writes messages to the partitions that `spread` says.
pub fn publish(topic: &str, partitions: i32, spread: Spread, messages: &[Message]) {
    let mut random = Random::new(7);
    produce(
        topic,
        messages.iter().map(|message| {
            let partition = match spread {
                Spread::ByHost => message.host as i32 % partitions,
                Spread::AtRandom => random.within(0, partitions.into()) as i32,
            };
            (partition, message.text.clone())
        }),
    );
}

/// Writes the sentinel to every partition.
pub fn close(topic: &str, partitions: i32, buckets: i64) {
    produce(
        topic,
        (0..partitions).map(|partition| (partition, sentinel(buckets))),
    );
}

/// A job's detectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A model for each host, by partition field.
    PerHost,
    /// The same, with the word that the topic is keyed by it.
    PerHostKeyed,
    /// No partition field: by status, and over all.
    Whole,
}

/// A job file's text.
pub fn job(kind: Kind, topic: &str, extensions: &str) -> String {
    let detectors = match kind {
        Kind::PerHost | Kind::PerHostKeyed => {
            r#"[{"function": "mean", "field_name": "latency_ms", "partition_field_name": "host.name"},
                {"function": "count", "partition_field_name": "host.name"}]"#
        }
        Kind::Whole => {
            r#"[{"function": "count", "by_field_name": "status"}, {"function": "high_mean", "field_name": "latency_ms"}]"#
        }
    };
    let (id, keyed) = match kind {
        Kind::PerHost => ("per-host", false),
        Kind::PerHostKeyed => ("per-host-keyed", true),
        Kind::Whole => ("whole", false),
    };
    format!(
        r#"{{"job_id": "{id}", "analysis_config": {{"bucket_span": "5m", "detectors": {detectors}, "influencers": ["host.name"]}},
            "data_description": {{"time_field": "time", "time_format": "epoch_ms"}}, "model_plot_config": {{"enabled": true}},
            "datafeed_config": {{"indices": ["{topic}"]}}, "tidewatch": {{"keyed_by_partition_field": {keyed}{extensions}}}}}"#
    )
}

/// A result: topic suffix, key, value.
pub type Word = (String, String, String);

/// What the pipeline says of all events in order, sorted.
pub fn expected<P: AsRef<[u8]>>(
    job_text: &str,
    payloads: impl IntoIterator<Item = P>,
) -> Vec<Word> {
    let job = Arc::new(Job::from_text(job_text, "job.json").expect("a job"));
    let (mut decoder, mut pipeline) = (Decoder::new(&job), Pipeline::new(job));
    let mut words = Vec::new();
    for payload in payloads {
        decoder.payload(payload.as_ref(), None, &mut |decoded| {
            let outputs = match &decoded {
                Ok(event) => pipeline.handle(Input::Event(event)),
                Err(rejection) => pipeline.handle(Input::Rejected(rejection)),
            };
            for output in outputs {
                if let Output::Result(document) = output
                    && document.finality == Finality::Final
                {
                    let value = serde_json::to_string(&document).expect("a document");
                    words.push((document.kind.name().to_string(), document.id.clone(), value));
                }
            }
        });
    }
    words.sort();
    words
}
