//! By values that go together: one that leaves its like is found though it is within its own usual range, and what does not go together is left alone.
//!
//! A world is some hosts whose users have a value every minute: on each host, users of one family share its ups and downs (standard deviation 10 about 100),
//! and each has noise of its own of standard deviation 1 beside.

use super::support::{Happening, difference, fused, keyed, line, results, staged};
use super::verdicts::documents;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::sync::Arc;
use tidewatch::config::Job;
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::time::Finality;

const SPAN_MS: i64 = 60_000;

fn job(function: &str, multivariate: bool) -> Arc<Job> {
    let body = json!({
        "job_id": "multivariate",
        "analysis_config": {
            "bucket_span": "60s",
            "detectors": [{"function": function, "field_name": "value", "by_field_name": "user", "partition_field_name": "host"}],
            "influencers": ["user"],
            "multivariate_by_fields": multivariate,
        },
        "data_description": {"time_field": "time"},
    });
    Arc::new(Job::from_value(&body).unwrap_or_else(|mistakes| panic!("{mistakes}")))
}

/// What the world looks like: users a host, of which so many in a row make a family.
#[derive(Clone, Copy)]
struct World {
    seed: u64,
    buckets: i64,
    hosts: u8,
    users: u8,
    family: u8,
}

impl World {
    /// Its events; `change` is told (bucket, host, user), the ups and downs of the family, and the value.
    fn events(self, change: impl Fn(i64, u8, u8, f64, f64) -> f64) -> Vec<Happening> {
        let mut source = rand_chacha::ChaCha8Rng::seed_from_u64(self.seed);
        // Twelve uniforms less six: a normal deviate nearly enough.
        let mut normal = || -> f64 {
            let uniform = |_| (source.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
            (0..12).map(uniform).sum::<f64>() - 6.0
        };
        let mut events = Vec::new();
        for bucket in 0..self.buckets {
            for host in 0..self.hosts {
                let mut common = 0.0;
                for user in 0..self.users {
                    if user % self.family == 0 {
                        common = normal();
                    }
                    let value = 100.0 + 10.0 * common + normal();
                    events.push(Happening {
                        at_ms: bucket * SPAN_MS + i64::from(user),
                        host: Some(host),
                        user,
                        value: Some(change(bucket, host, user, common, value)),
                    });
                }
            }
        }
        events
    }
}

/// Records of a bucket from a score on.
fn records(lines: &[String], bucket: i64, score: f64) -> Vec<Value> {
    let mut records = documents(lines, "record");
    records.retain(|record| {
        record["timestamp"] == bucket * SPAN_MS
            && record["initial_record_score"].as_f64().unwrap() >= score
    });
    records
}

/// A family of three among six users; in bucket `at`, when the family is up by about one standard deviation, user 1 is down by as much.
fn one_leaves(hosts: u8) -> (Vec<Happening>, i64, f64) {
    let world = World {
        seed: 11,
        buckets: 900,
        hosts,
        users: 6,
        family: 3,
    };
    let mut ups = Vec::new();
    let plain = world.events(|_, _, _, _, value| value);
    for event in plain
        .iter()
        .filter(|event| event.host == Some(0) && event.user == 0)
    {
        ups.push((event.at_ms / SPAN_MS, event.value.unwrap()));
    }
    let is_up = |(bucket, value): &&(i64, f64)| *bucket > 800 && (109.0..113.0).contains(value);
    let &(at, expected) = ups.iter().find(is_up).expect("now and then it is up");
    let leaves = |bucket, host, user, common: f64, value| match (bucket, host, user) {
        (bucket, 0, 1) if bucket == at => 100.0 - 10.0 * common,
        _ => value,
    };
    (world.events(leaves), at, expected)
}

#[test]
fn a_series_that_leaves_its_like_is_found_where_it_is_usual_by_itself() {
    let (events, at, expected) = one_leaves(1);
    let alone = records(&fused(&job("mean", false), &events), at, 0.0);
    assert!(alone.is_empty(), "{alone:?}");
    let found = records(&fused(&job("mean", true), &events), at, 50.0);
    assert_eq!(found.len(), 1, "{found:?}");
    let record = &found[0];
    assert_eq!(record["by_field_value"], "user-1", "{record}");
    let correlate = record["correlated_by_field_value"]
        .as_str()
        .expect("a correlate");
    assert!(["user-0", "user-2"].contains(&correlate), "{record}");
    let typical = record["typical"][0].as_f64().unwrap();
    assert!((typical - expected).abs() < 4.0, "{expected}: {record}");
    let why = &record["anomaly_score_explanation"];
    let [low, high] =
        ["lower_confidence_bound", "upper_confidence_bound"].map(|key| why[key].as_f64().unwrap());
    assert!(
        low < typical && typical < high && high - low < 12.0,
        "{record}"
    );
    assert!(why["single_bucket_impact"].as_u64() >= Some(3), "{record}");
    let sentence = record["description"].as_str().unwrap();
    let given = format!("was expected given user {correlate}");
    assert!(sentence.contains(&given), "{sentence}");
    assert!(record["probability"].as_f64().unwrap() < 1e-4, "{record}");
}

#[test]
fn a_detector_of_one_side_hears_of_that_side_only() {
    let (events, at, _) = one_leaves(1);
    let of_user_1 = |function: &str| {
        let mut found = records(&fused(&job(function, true), &events), at, 50.0);
        found.retain(|record| record["by_field_value"] == "user-1");
        found.len()
    };
    assert_eq!((of_user_1("low_mean"), of_user_1("high_mean")), (1, 0));
}

#[test]
fn two_of_many_series_are_found_to_go_together() {
    let world = World {
        seed: 5,
        buckets: 700,
        hosts: 1,
        users: 150,
        family: 1,
    };
    // Users 40 and 120 do the same, but for noise; in bucket 690 user 120 does the opposite.
    let of_40 = std::cell::Cell::new(0.0);
    let events = world.events(|bucket, _, user, common, value| match user {
        40 => {
            let common = if bucket == 690 { 1.2 } else { common };
            of_40.set(common);
            100.0 + 10.0 * common + (value - 100.0 - 10.0 * common).clamp(-1.0, 1.0)
        }
        120 => {
            let noise = value - 100.0 - 10.0 * common;
            let sign = if bucket == 690 { -1.4 } else { 1.0 };
            100.0 + sign * 10.0 * of_40.get() + noise
        }
        _ => value,
    });
    let found = records(&fused(&job("mean", true), &events), 690, 10.0);
    let of_120 = found
        .iter()
        .find(|record| record["by_field_value"] == "user-120");
    let record = of_120.unwrap_or_else(|| panic!("{found:?}"));
    assert_eq!(record["correlated_by_field_value"], "user-40", "{record}");
}

#[test]
fn series_that_do_not_go_together_are_judged_as_if_nobody_had_looked() {
    for seed in [21, 22] {
        let world = World {
            seed,
            buckets: 700,
            hosts: 1,
            users: 12,
            family: 1,
        };
        // One is far out now and then, so that there are records.
        let spikes = |bucket, _, user, _, value| match (bucket % 97, user) {
            (50, 3) => value + 150.0,
            _ => value,
        };
        let events = world.events(spikes);
        let told = |multivariate| documents(&fused(&job("mean", multivariate), &events), "record");
        assert!(!told(false).is_empty());
        assert_eq!(told(true), told(false));
    }
}

#[test]
fn series_that_go_together_all_along_give_about_as_few_false_alarms_as_without() {
    let (mut with, mut without, mut weak_with, mut weak_without) = (0, 0, 0, 0);
    for seed in 31..35 {
        let world = World {
            seed,
            buckets: 1500,
            hosts: 1,
            users: 8,
            family: 4,
        };
        let events = world.events(|_, _, _, _, value| value);
        let alarms = |multivariate| {
            let told = documents(&fused(&job("mean", multivariate), &events), "record");
            let from = |score: f64| {
                let scores = told
                    .iter()
                    .map(|record| record["initial_record_score"].as_f64());
                scores.filter(|one| one.unwrap() >= score).count()
            };
            (from(50.0), from(0.0))
        };
        let (a, b) = (alarms(true), alarms(false));
        with += a.0;
        weak_with += a.1;
        without += b.0;
        weak_without += b.1;
    }
    println!("{with} with, {without} without; of any score {weak_with}, {weak_without}");
    assert!(with <= 2 * without + 4, "{with} with, {without} without");
    assert!(
        weak_with <= 2 * weak_without + 8,
        "{weak_with} with, {weak_without} without"
    );
}

#[test]
fn grown_relations_are_the_same_for_any_placement_and_after_any_restore() {
    let (events, at, _) = one_leaves(3);
    let job = job("mean", true);
    let whole = fused(&job, &events);
    assert_eq!(records(&whole, at, 50.0).len(), 1);
    let spread = |at: usize, _: &Happening| at * 7 % 3;
    let apart = staged(&job, &events, 3, 4, spread, &[0, 2, 1]);
    assert_eq!(difference(&apart, &whole), None);
    assert_eq!(difference(&keyed(&job, &events, 2), &whole), None);

    let mut pipeline = Pipeline::new(job.clone());
    let mut lines = Vec::new();
    for (number, event) in events.iter().enumerate() {
        if number % 4001 == 4000 {
            let _ = pipeline.handle(Input::Flush(Finality::Interim));
            let snapshot = pipeline.snapshot();
            pipeline = Pipeline::restore(job.clone(), &snapshot).unwrap();
            assert_eq!(pipeline.snapshot(), snapshot);
        }
        lines.extend(results(
            event.with_event(&job, |event| pipeline.handle(Input::Event(event))),
        ));
    }
    lines.extend(results(pipeline.handle(Input::Flush(Finality::Final))));
    assert_eq!(difference(&lines, &whole), None);
}

#[test]
fn while_the_bucket_is_open_the_departure_is_told_already() {
    let (events, at, _) = one_leaves(1);
    let job = job("mean", true);
    let mut pipeline = Pipeline::new(job.clone());
    let mut last_of_bucket = false;
    for event in events
        .iter()
        .filter(|event| event.at_ms < (at + 1) * SPAN_MS)
    {
        let _ = event.with_event(&job, |event| pipeline.handle(Input::Event(event)));
        last_of_bucket = event.at_ms / SPAN_MS == at;
    }
    assert!(last_of_bucket);
    let outputs = pipeline.handle(Input::Flush(Finality::Interim));
    let lines = outputs.iter().filter_map(|output| match output {
        Output::Result(document) => Some(line(document)),
        _ => None,
    });
    let lines: Vec<String> = lines.collect();
    let found = records(&lines, at, 50.0);
    assert_eq!(found.len(), 1, "{lines:?}");
    assert_eq!(found[0]["is_interim"], true);
    assert!(found[0]["correlated_by_field_value"].is_string());
}
