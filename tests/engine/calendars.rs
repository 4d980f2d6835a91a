//! Events that are known beforehand: what they hide and keep from learning, for whom, and when; as buckets, snapshots and placements see them.

use super::support::{Happening, difference, fused, keyed, results, staged};
use serde_json::{Value, json};
use std::sync::Arc;
use tidewatch::config::Job;
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::Pipeline;
use tidewatch::time::Finality;

const MINUTE_MS: i64 = 60_000;
const END: i64 = 120;
/// The minutes in which host 1 bursts.
const BURST: std::ops::Range<i64> = 80..84;

fn job(detector: &str, events: Value) -> Arc<Job> {
    let detector: Value = serde_json::from_str(detector).unwrap();
    let body = json!({
        "job_id": "planned",
        "analysis_config": {"bucket_span": "60s", "detectors": [detector], "influencers": ["host", "user"]},
        "data_description": {"time_field": "time"},
        "model_plot_config": {"enabled": true},
        "tidewatch": {"calendars": [{"calendar_id": "plan", "events": events}]},
    });
    Arc::new(Job::from_value(&body).unwrap_or_else(|mistakes| panic!("{mistakes}")))
}

const COUNT: &str = r#"{"function":"count","partition_field_name":"host"}"#;
const DETECTORS: [&str; 6] = [
    COUNT,
    r#"{"function":"mean","field_name":"value","by_field_name":"host"}"#,
    r#"{"function":"sum","field_name":"value","by_field_name":"host"}"#,
    r#"{"function":"high_count","over_field_name":"host"}"#,
    r#"{"function":"rare","by_field_name":"user","partition_field_name":"host"}"#,
    r#"{"function":"rare","by_field_name":"user","over_field_name":"host"}"#,
];

fn life(burst: i64) -> Vec<Happening> {
    let mut all = Vec::new();
    for minute in 0..END {
        for host in 0..4u8 {
            let more = if host == 1 && BURST.contains(&minute) {
                burst
            } else {
                0
            };
            for n in 0..6 + (minute * 7 + i64::from(host) * 5) % 3 + more {
                all.push(Happening {
                    at_ms: minute * MINUTE_MS + n * 100 % MINUTE_MS,
                    host: Some(host),
                    user: if n > 30 {
                        40 + (n % 3) as u8
                    } else {
                        (n % 8) as u8
                    },
                    value: Some(10.0 + (minute * 31 + n * 17) as f64 % 23.0 + (n / 20 * 50) as f64),
                });
            }
        }
    }
    all.sort_by_key(|event| event.at_ms);
    all
}

fn documents(lines: &[String], kinds: &[&str], minutes: std::ops::Range<i64>) -> Vec<Value> {
    let parsed = lines.iter().map(|line| {
        let (_, document) = line.split_once(' ').unwrap();
        serde_json::from_str::<Value>(document).unwrap()
    });
    parsed
        .filter(|document| kinds.iter().any(|kind| document["result_type"] == *kind))
        .filter(|document| {
            minutes.contains(&(document["timestamp"].as_i64().unwrap_or_default() / MINUTE_MS))
        })
        .collect()
}

/// An event over these minutes, changed.
fn event(minutes: std::ops::Range<i64>, more: Value) -> Value {
    let mut event = json!({
        "description": "load test",
        "start_time": minutes.start * MINUTE_MS,
        "end_time": minutes.end * MINUTE_MS,
    });
    for (key, value) in more.as_object().unwrap() {
        event[key] = value.clone();
    }
    event
}

#[test]
fn what_happens_during_an_event_is_neither_told_nor_learnt_and_the_bucket_says_why() {
    let after = |lines: &[String]| documents(lines, &["record", "model_plot"], BURST.end..END);
    for detector in DETECTORS {
        let told = documents(
            &fused(&job(detector, json!([])), &life(200)),
            &["record"],
            BURST,
        );
        assert!(!told.is_empty(), "{detector} finds the burst by itself");
        let planned = job(detector, json!([event(BURST, json!({}))]));
        let (small, large) = (fused(&planned, &life(40)), fused(&planned, &life(200)));
        assert!(
            documents(&large, &["record", "influencer"], BURST).is_empty(),
            "{detector}"
        );
        assert_eq!(after(&small), after(&large), "{detector}");
        for bucket in documents(&large, &["bucket"], 0..END) {
            let minute = bucket["timestamp"].as_i64().unwrap() / MINUTE_MS;
            let names = if BURST.contains(&minute) {
                json!(["load test"])
            } else {
                Value::Null
            };
            assert_eq!(bucket["scheduled_events"], names, "{minute}");
            if BURST.contains(&minute) {
                assert_eq!(bucket["anomaly_score"], 0.0);
            }
        }
    }
}

#[test]
fn an_event_may_be_told_or_learnt_all_the_same() {
    let run = |more| fused(&job(COUNT, json!([event(BURST, more)])), &life(200));
    let told = run(json!({"skip_result": false}));
    assert!(!documents(&told, &["record"], BURST).is_empty());
    let learnt = run(json!({"skip_model_update": false}));
    assert!(documents(&learnt, &["record"], BURST).is_empty());
    let plots = |lines: &[String]| documents(lines, &["model_plot"], 0..END);
    assert_eq!(
        plots(&learnt),
        plots(&fused(&job(COUNT, json!([])), &life(200)))
    );
    let neither = run(json!({"skip_result": false, "skip_model_update": false}));
    let plain = fused(&job(COUNT, json!([])), &life(200));
    let records = |lines: &[String]| documents(lines, &["record", "influencer"], 0..END);
    assert_eq!(records(&neither), records(&plain));
}

#[test]
fn an_event_of_one_entity_is_nobody_elses() {
    let of = |host: &str| json!([event(0..END, json!({"entities": {"host": [host]}}))]);
    for detector in [DETECTORS[0], DETECTORS[1], DETECTORS[3], DETECTORS[4]] {
        let plain = fused(&job(detector, json!([])), &life(200));
        let hidden = fused(&job(detector, of("host-1")), &life(200));
        assert!(
            documents(&hidden, &["record"], BURST).is_empty(),
            "{detector}"
        );
        let other = fused(&job(detector, of("elsewhere-*")), &life(200));
        let told =
            |lines: &[String]| documents(lines, &["record", "influencer", "model_plot"], 0..END);
        assert_eq!(told(&other), told(&plain), "{detector}");
    }
    // By a field that no detector splits by, it concerns nothing; the job says so.
    let idle = job(
        COUNT,
        json!([event(BURST, json!({"entities": {"user": ["user-1"]}}))]),
    );
    assert_eq!(idle.warnings.len(), 1, "{:?}", idle.warnings);
    assert!(!documents(&fused(&idle, &life(200)), &["record"], BURST).is_empty());
}

#[test]
fn a_bucket_that_an_event_touches_is_the_events() {
    let names = |from_ms: i64, to_ms: i64| {
        let events = json!([{"description": "x", "start_time": from_ms, "end_time": to_ms}]);
        let buckets = documents(&fused(&job(COUNT, events), &life(0)), &["bucket"], 0..END);
        let named = buckets
            .iter()
            .filter(|bucket| !bucket["scheduled_events"].is_null());
        named
            .map(|bucket| bucket["timestamp"].as_i64().unwrap() / MINUTE_MS)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(5 * MINUTE_MS, 7 * MINUTE_MS), [5, 6]);
    assert_eq!(names(5 * MINUTE_MS + 59_999, 7 * MINUTE_MS + 1), [5, 6, 7]);
    assert_eq!(names(5 * MINUTE_MS + 1, 5 * MINUTE_MS + 2), [5]);
}

#[test]
fn every_placement_says_the_same_around_events() {
    let events = json!([
        event(BURST, json!({"entities": {"host": ["host-1"]}})),
        event(
            40..45,
            json!({"description": "backup", "skip_result": false, "recurrence": "FREQ=MINUTELY;INTERVAL=20;COUNT=4"})
        ),
        event(
            60..61,
            json!({"description": "clock", "skip_result": false, "skip_model_update": false, "force_time_shift": 3600})
        ),
    ]);
    for detector in DETECTORS {
        let job = job(detector, events.clone());
        let whole = fused(&job, &life(60));
        let apart = staged(&job, &life(60), 3, 4, |at, _| at % 3, &[0, 2, 1, 1]);
        assert_eq!(difference(&apart, &whole), None, "{detector}");
        if detector.contains("partition_field_name") {
            assert_eq!(
                difference(&keyed(&job, &life(60), 2), &whole),
                None,
                "{detector}"
            );
        }
    }
}

#[test]
fn a_snapshot_in_the_midst_of_an_event_goes_on_as_if_there_had_been_none() {
    let events = life(60);
    for detector in DETECTORS {
        let job = job(
            detector,
            json!([event(BURST, json!({"skip_result": false}))]),
        );
        let mut pipeline = Pipeline::new(job.clone());
        let mut lines = Vec::new();
        for (at, event) in events.iter().enumerate() {
            if at > 0 && event.at_ms / MINUTE_MS == 82 && events[at - 1].at_ms / MINUTE_MS == 81 {
                pipeline = Pipeline::restore(job.clone(), &pipeline.snapshot()).unwrap();
            }
            lines.extend(results(
                event.with_event(&job, |event| pipeline.handle(Input::Event(event))),
            ));
        }
        lines.extend(results(pipeline.handle(Input::Flush(Finality::Final))));
        assert_eq!(
            difference(&lines, &fused(&job, &events)),
            None,
            "{detector}"
        );
    }
}

#[test]
fn calendars_may_come_and_go_between_snapshots() {
    let (plain, planned) = (
        job(COUNT, json!([])),
        job(COUNT, json!([event(BURST, json!({}))])),
    );
    assert_eq!(plain.fingerprint, planned.fingerprint);
    let events = life(200);
    let (mut pipeline, mut lines) = (Pipeline::new(plain.clone()), Vec::new());
    for event in &events {
        if event.at_ms == 82 * MINUTE_MS && event.host == Some(0) && lines.len() < 10_000 {
            pipeline = Pipeline::restore(planned.clone(), &pipeline.snapshot()).unwrap();
        }
        lines.extend(results(
            event.with_event(&planned, |event| pipeline.handle(Input::Event(event))),
        ));
    }
    lines.extend(results(pipeline.handle(Input::Flush(Finality::Final))));
    assert!(
        !documents(&lines, &["record"], 80..81).is_empty(),
        "not known of yet"
    );
    assert!(
        documents(&lines, &["record"], 82..84).is_empty(),
        "from the next bucket on"
    );
}
