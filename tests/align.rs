//! Inputs of a job stay together in event time while history is caught up with, so that what waits for the slowest is bounded.
//!
//! One partition holds two days at an event a minute, the other one day at ten: read in turns, the first runs ten times as fast through time.
//! What waits in memory for the slower is the buckets between their watermarks. Results are those of the pipeline that `detect` drives. (But for
//! `data_counts`: what an idle partition's last bucket held is counted when it closes there, which it does not here.)

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidewatch::config::Job;
use tidewatch::decode::Decoder;
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::engine::result::DocumentKind;
use tidewatch::runtime::clock::ManualClock;
use tidewatch::runtime::log::memory::{Cluster, MemoryLog};
use tidewatch::runtime::log::{Outgoing, TopicPartition};
use tidewatch::runtime::observer::{Fact, Observer};
use tidewatch::runtime::service::{Align, Service, Settings};
use tidewatch::runtime::store::MemoryStore;
use tidewatch::runtime::task::TopicNames;

const TOPIC: &str = "events";
const BEGIN_MS: i64 = 1_767_571_200_000;
const MINUTE_MS: i64 = 60_000;
const DAY_MINUTES: i64 = 1_440;
const BATCH: usize = 10;

fn job() -> Arc<Job> {
    let text = format!(
        r#"{{"job_id": "drift", "analysis_config": {{"bucket_span": "5m", "detectors": [{{"function": "mean", "field_name": "v", "by_field_name": "h"}}]}},
            "data_description": {{"time_field": "t", "time_format": "epoch_ms"}}, "datafeed_config": {{"indices": ["{TOPIC}"]}},
            "tidewatch": {{"idle_timeout": "1s", "interim_interval": "0s", "shards": 2}}}}"#
    );
    Arc::new(Job::from_text(&text, "align.json").expect("a job"))
}

/// Partition, event time and text of each event, in time order.
fn events() -> Vec<(i32, i64, String)> {
    let mut events = Vec::new();
    for minute in 0..2 * DAY_MINUTES {
        let of_partition = [(0, 1), (1, if minute < DAY_MINUTES { 10 } else { 0 })];
        for (partition, count) in of_partition {
            for n in 0..count {
                let ms = BEGIN_MS + minute * MINUTE_MS + n * 5_000;
                let value = (minute * 7 + n * 3) % 40 + if minute == 2_000 { 900 } else { 0 };
                let text = format!(r#"{{"t": {ms}, "v": {value}, "h": "h{}"}}"#, n % 3);
                events.push((partition, ms, text));
            }
        }
    }
    events
}

/// What the pipeline says, by id.
fn expected(job: &Arc<Job>) -> BTreeMap<String, String> {
    let (mut pipeline, mut decoder) = (Pipeline::new(Arc::clone(job)), Decoder::new(job));
    let mut said = BTreeMap::new();
    for (_, _, text) in events() {
        decoder.payload(text.as_bytes(), None, &mut |decoded| {
            let event = decoded.expect("an event");
            for output in pipeline.handle(Input::Event(event)) {
                if let Output::Result(document) = output
                    && document.kind != DocumentKind::DataCounts
                {
                    said.insert(
                        document.id.clone(),
                        serde_json::to_string(&document).unwrap(),
                    );
                }
            }
        });
    }
    said
}

#[derive(Default)]
struct Ear {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    watermarks: BTreeMap<i32, i64>,
    /// The furthest that one was ahead of the other while both were live, milliseconds.
    drift_ms: i64,
    is_idle: bool,
    paused: usize,
    paused_last: usize,
}

impl Observer for Ear {
    fn observe(&self, _job_id: &str, fact: &Fact<'_>) {
        let mut seen = self.seen.lock().unwrap();
        match fact {
            Fact::Watermark { at, event_time_ms } => {
                seen.watermarks.insert(at.partition, *event_time_ms);
                let least = match seen.watermarks.len() {
                    2 => *seen.watermarks.values().min().unwrap(),
                    _ => BEGIN_MS,
                };
                let most = *seen.watermarks.values().max().unwrap();
                if !seen.is_idle {
                    seen.drift_ms = seen.drift_ms.max(most - least);
                }
            }
            Fact::Idle { .. } => seen.is_idle = true,
            Fact::Paused { inputs } => {
                seen.paused = seen.paused.max(*inputs);
                seen.paused_last = *inputs;
            }
            Fact::LateForJudge { .. } => panic!("{fact:?}"),
            _ => {}
        }
    }
}

/// Works the job from the beginning to the end of the log. Returns its results by id, and what was seen.
fn work(align: Align) -> (BTreeMap<String, String>, Seen) {
    let (cluster, clock) = (Cluster::new(), ManualClock::at(1_800_000_000_000));
    cluster.create_topic(TOPIC, 2);
    for (partition, ms, text) in events() {
        let message = Outgoing {
            topic: TOPIC.into(),
            partition: Some(partition),
            key: None,
            payload: Some(text.into_bytes()),
            headers: Vec::new(),
            timestamp_ms: Some(ms),
        };
        cluster.append(&message).unwrap();
    }
    let mut log = cluster.open("drift", "one");
    log.set_batch_max(BATCH);
    let ear = Arc::new(Ear::default());
    let settings = Settings {
        align,
        ..Settings::default()
    };
    let mut service: Service<MemoryLog> = Service::start(
        log,
        Box::new(MemoryStore::new()),
        Arc::new(clock.clone()),
        Arc::clone(&ear) as Arc<dyn Observer>,
        job(),
        settings,
    )
    .unwrap();
    let mut still = 0;
    // Settled for longer than silence is waited for.
    while still < 200 {
        clock.advance(10);
        service.breathe(Duration::ZERO).unwrap();
        still = if service.is_settled() { still + 1 } else { 0 };
    }
    let names = TopicNames::new("tidewatch");
    let text = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap()).unwrap();
    let mut said = BTreeMap::new();
    let kinds = DocumentKind::ALL.into_iter();
    for kind in kinds.filter(|kind| *kind != DocumentKind::DataCounts) {
        for message in cluster.committed(names.results(kind)) {
            said.insert(text(&message.key), text(&message.payload));
        }
    }
    let at = TopicPartition::new(TOPIC, 0);
    let committed = cluster.position("drift", &at).unwrap().next_offset;
    assert_eq!(committed, cluster.end(&at), "everything was read");
    let seen = std::mem::take(&mut *ear.seen.lock().unwrap());
    (said, seen)
}

/// Equal, or a panic that names the first differences.
fn assert_same(said: &BTreeMap<String, String>, expected: &BTreeMap<String, String>) {
    let ids = said.keys().chain(expected.keys());
    let differing = ids.filter(|id| said.get(*id) != expected.get(*id));
    let first: Vec<_> = differing
        .map(|id| (said.get(id), expected.get(id)))
        .take(3)
        .collect();
    assert!(first.is_empty(), "{first:#?}");
}

#[test]
fn a_fast_input_waits_for_a_slow_one_in_the_log_and_results_are_those_of_detect() {
    let align = Align {
        ahead_buckets: 4,
        ahead_ms_min: 1,
        lag_min: 0,
    };
    let expected = expected(&job());
    assert!(expected.len() > 500, "{}", expected.len());
    let (said, seen) = work(align);
    assert_same(&said, &expected);
    // Four buckets, and the batch in hand.
    let most_ms = 4 * 5 * MINUTE_MS + BATCH as i64 * MINUTE_MS;
    assert!(seen.drift_ms <= most_ms, "{} ms", seen.drift_ms);
    assert_eq!((seen.paused, seen.paused_last), (1, 0));
    // Left alone, it would have run far ahead.
    let (said, seen) = work(Align {
        ahead_buckets: 0,
        ..align
    });
    assert_same(&said, &expected);
    assert!(seen.drift_ms > 12 * 60 * MINUTE_MS, "{} ms", seen.drift_ms);
    assert_eq!(seen.paused, 0);
}

#[test]
fn at_the_end_of_the_log_nobody_is_held_however_far_ahead_its_clock_is() {
    let (said, seen) = work(Align {
        ahead_buckets: 4,
        ahead_ms_min: 1,
        lag_min: 20_000,
    });
    assert_same(&said, &expected(&job()));
    assert_eq!(seen.paused, 0);
}
