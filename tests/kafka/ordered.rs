//! A job with categories of messages over several partitions: one order, kept by the internal topic, whoever is killed.

use crate::client::topic;
use crate::instance::{Deployment, PATIENCE};
use crate::random::Random;
use crate::service::await_metric;
use crate::world::{Message, SPAN_MS, START_MS, Spread, Word, publish};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidewatch::config::Job;
use tidewatch::engine::ordered::{Input, Ordered};
use tidewatch::engine::pipeline::Output;
use tidewatch::engine::wire::{InputId, StageMessage};
use tidewatch::time::Finality;

const BUCKETS: i64 = 40;
const PARTITIONS: i32 = 3;
const KINDS: [&str; 4] = [
    "Accepted connection from 10.0.0.{}",
    "Request {} completed in time",
    "Session {} closed by peer without goodbye",
    "Nobody answered the telephone {} times",
];

fn line(time: i64, kind: usize, number: i64) -> String {
    let message = KINDS[kind].replace("{}", &number.to_string());
    format!(
        r#"{{"time":{time},"host":"h{}","message":"{message}"}}"#,
        number % 5
    )
}

/// What hosts log, in time order: something new in one bucket, and a flood in another.
fn lines() -> Vec<Message> {
    let mut random = Random::new(41);
    let mut messages = Vec::new();
    for bucket in 0..BUCKETS {
        let mut of_bucket: Vec<(i64, usize)> = (0..random.within(8, 14))
            .map(|n| (random.within(0, SPAN_MS), (n % 3) as usize))
            .collect();
        let more = match bucket {
            30 => 3,
            33 => 60,
            _ => 0,
        };
        let kind = if bucket == 30 { 3 } else { 1 };
        of_bucket.extend((0..more).map(|_| (random.within(0, SPAN_MS), kind)));
        of_bucket.sort_unstable();
        messages.extend(of_bucket.into_iter().map(|(at, kind)| {
            let number = random.within(1, 5_000);
            let text = line(START_MS + bucket * SPAN_MS + at, kind, number);
            Message {
                host: number as usize,
                text,
            }
        }));
    }
    messages
}

/// What follows from the internal topic as it stands, sorted; and how many events are in it.
fn follows(deployment: &Deployment, job: &Arc<Job>, input: &str) -> (Vec<Word>, usize) {
    let ids = (0..PARTITIONS).map(|partition| InputId(format!("{input}/{partition}")));
    let mut door = Ordered::new(Arc::clone(job), ids.collect());
    let (mut words, mut events) = (Vec::new(), 0);
    for (key, bytes) in deployment.told(&format!("{}.closed", job.id)) {
        let (_, speaker) = key.split_once(' ').expect("a lineage and a speaker");
        let from = InputId(speaker.to_owned());
        let outputs = door.handle(
            match StageMessage::decode(&bytes).expect("a stage's message") {
                StageMessage::Events(batch) => {
                    events += batch.events.len();
                    Input::Events { from, batch }
                }
                StageMessage::Watermark(until) => Input::Watermark { from, until },
                StageMessage::Idle(_) => Input::Idle { from },
                other => panic!("{other:?}"),
            },
        );
        for output in outputs {
            if let Output::Result(document) = output
                && document.finality == Finality::Final
            {
                let value = serde_json::to_string(&document).expect("a document");
                words.push((document.kind.name().to_owned(), document.id, value));
            }
        }
    }
    words.sort();
    (words, events)
}

#[test]
fn log_messages_of_three_partitions_have_one_order_and_its_results_though_an_instance_is_killed() {
    let input = topic("ordered", PARTITIONS);
    let text = format!(
        r#"{{"job_id": "logs", "analysis_config": {{"bucket_span": "5m", "latency": "10m", "categorization_field_name": "message",
            "detectors": [{{"function": "count", "by_field_name": "mlcategory"}}, {{"function": "rare", "by_field_name": "mlcategory"}}],
            "influencers": ["host"]}}, "data_description": {{"time_field": "time", "time_format": "epoch_ms"}},
            "datafeed_config": {{"indices": ["{input}"]}}}}"#
    );
    let job = Arc::new(Job::from_text(&text, "logs.json").expect("a job"));
    let settings = "timing:\n  commit_interval: 20ms\n  snapshot_interval: 300ms";
    let deployment = Deployment::new(&[text], settings);
    let (first, second) = (deployment.start("a"), deployment.start("b"));
    let all = lines();
    let shares: Vec<_> = all.chunks(all.len().div_ceil(3)).collect();
    publish(&input, PARTITIONS, Spread::AtRandom, shares[0]);
    // Whoever has the one place that gathers has closed some buckets, and goes on.
    let has_closed = |instance| {
        let metric = "tidewatch_buckets_closed_total{finality=\"final\",job_id=\"logs\"}";
        crate::service::metric(instance, metric).is_some_and(|count| count > 2.0)
    };
    let deadline = Instant::now() + PATIENCE;
    let (victim, survivor) = loop {
        match (has_closed(&first), has_closed(&second)) {
            (true, _) => break (first, second),
            (_, true) => break (second, first),
            _ => assert!(Instant::now() < deadline, "{}", deployment.logs()),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    publish(&input, PARTITIONS, Spread::AtRandom, shares[1]);
    std::thread::sleep(Duration::from_millis(60));
    victim.kill();
    publish(&input, PARTITIONS, Spread::AtRandom, shares[2]);
    let end = START_MS + (BUCKETS + 5) * SPAN_MS;
    let closing: Vec<_> = (0..PARTITIONS).map(|at| (at, line(end, 0, 1))).collect();
    let sent = all.len() + closing.len();
    crate::client::produce(&input, closing);
    await_metric(
        &survivor,
        "tidewatch_buckets_closed_total{finality=\"final\",job_id=\"logs\"}",
        |count| count > 3.0,
    );
    loop {
        let (wanted, events) = follows(&deployment, &job, &input);
        assert!(
            events <= sent,
            "an event is written to the internal topic once"
        );
        let found = deployment.results();
        let buckets = found.iter().filter(|(kind, ..)| kind == "bucket").count() as i64;
        if events == sent && buckets >= BUCKETS && found.len() >= wanted.len() {
            assert!(wanted.iter().any(|(kind, ..)| kind == "record"));
            deployment.assert_results(&wanted, "one order, and one of two killed");
            break;
        }
        let (is, want) = (found.len(), wanted.len());
        assert!(
            Instant::now() < deadline,
            "{events} of {sent} events, {is} of {want} results\n{}",
            deployment.logs()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(survivor.stop(), Some(0));
}
