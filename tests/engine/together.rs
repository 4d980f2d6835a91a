//! Series of one entity judged together, in worlds of many metrics.
//!
//! A world is one host with `USERS` users, each with a value every five minutes: noise of standard deviation 1 about 100.

use super::support::{Happening, fused};
use super::verdicts::documents;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidewatch::config::Job;

const USERS: u8 = 40;
const SPAN_MS: i64 = 300_000;

fn job() -> Arc<Job> {
    let body = json!({
        "job_id": "together",
        "analysis_config": {
            "bucket_span": "5m",
            "detectors": [{"function": "mean", "field_name": "value", "by_field_name": "user", "partition_field_name": "host"}],
            "influencers": ["host", "user"],
        },
        "data_description": {"time_field": "time"},
    });
    Arc::new(Job::from_value(&body).unwrap_or_else(|mistakes| panic!("{mistakes}")))
}

/// So many buckets of noise, to which `extra` (bucket, user) is added.
fn world(seed: u64, buckets: i64, extra: impl Fn(i64, u8) -> f64) -> Vec<Happening> {
    let mut source = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut uniform = || (source.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let mut events = Vec::new();
    for bucket in 0..buckets {
        for user in 0..USERS {
            // Twelve uniforms less six: a normal deviate nearly enough.
            let noise: f64 = (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
            events.push(Happening {
                at_ms: bucket * SPAN_MS + i64::from(user),
                host: Some(0),
                user,
                value: Some(100.0 + noise + extra(bucket, user)),
            });
        }
    }
    events
}

/// The records of each bucket: by value and score, highest first.
fn records(events: &[Happening]) -> BTreeMap<i64, Vec<(String, f64, Value)>> {
    let mut of_buckets: BTreeMap<i64, Vec<(String, f64, Value)>> = BTreeMap::new();
    for record in documents(&fused(&job(), events), "record") {
        let bucket = record["timestamp"].as_i64().unwrap() / SPAN_MS;
        let by = record["by_field_value"].as_str().unwrap().to_owned();
        let score = record["initial_record_score"].as_f64().unwrap();
        of_buckets
            .entry(bucket)
            .or_default()
            .push((by, score, record));
    }
    for bucket in of_buckets.values_mut() {
        bucket.sort_by(|a, b| b.1.total_cmp(&a.1));
    }
    of_buckets
}

#[test]
fn forty_metrics_of_noise_together_are_critical_as_rarely_as_one() {
    let critical: usize = (1..=6)
        .map(|seed| {
            let of_buckets = records(&world(seed, 1_000, |_, _| 0.0));
            let loud = |records: &&Vec<(String, f64, Value)>| records[0].1 >= 75.0;
            of_buckets.values().filter(loud).count()
        })
        .sum();
    assert!(critical <= 2, "{critical} of 6,000 buckets are critical");
}

#[test]
fn metrics_that_each_move_too_little_to_be_told_are_found_together_and_blamed() {
    let moved = |user: u8| user.is_multiple_of(5);
    let at = 700;
    let events = world(4, 720, |bucket, user| {
        if bucket == at && moved(user) {
            4.5
        } else {
            0.0
        }
    });
    let of_buckets = records(&events);
    let found = &of_buckets[&at];
    assert!(found[0].1 >= 75.0, "{:?}", &found[0]);
    let first: Vec<&str> = found.iter().take(8).map(|one| one.0.as_str()).collect();
    let right = first
        .iter()
        .filter(|by| moved(by[5..].parse().unwrap()))
        .count();
    assert!(
        right >= 7,
        "8 moved, of the 8 most blamed {right} are right: {first:?}"
    );
    let told = &found[0].2;
    let together = told["anomaly_score_explanation"]["series_together"].as_u64();
    assert!((6..=9).contains(&together.unwrap()), "{told}");
    let sentence = told["description"].as_str().unwrap();
    assert!(
        sentence.contains(" series of host host-0 are unusual together"),
        "{sentence}"
    );
    let total: usize = of_buckets
        .values()
        .filter(|records| records[0].1 >= 75.0)
        .count();
    assert!(total <= 2, "one incident, {total} critical buckets");
}

#[test]
fn one_metric_far_out_among_forty_is_found_and_blamed_first() {
    // After two days and a half: what one of many shows by itself is held against what any of them has shown by then.
    const AT: i64 = 700;
    for (height, seed) in [(12.0, 5), (40.0, 6), (1_000.0, 7)] {
        let events = world(seed, AT + 20, |bucket, user| {
            if bucket == AT && user == 17 {
                height
            } else {
                0.0
            }
        });
        let of_buckets = records(&events);
        let (by, score, record) = &of_buckets[&AT][0];
        assert!(by == "user-17" && *score >= 75.0, "{height}: {record}");
    }
}

#[test]
fn an_entity_is_charged_once_for_what_its_series_show_together() {
    let events = world(
        6,
        720,
        |bucket, user| {
            if bucket == 700 && user < 20 { 4.0 } else { 0.0 }
        },
    );
    let lines = fused(&job(), &events);
    let host = documents(&lines, "influencer")
        .into_iter()
        .find(|one| one["influencer_field_name"] == "host" && one["timestamp"] == 700 * SPAN_MS)
        .expect("the host is to blame");
    let strongest = records(&events)[&700][0].1;
    let score = host["initial_influencer_score"].as_f64().unwrap();
    assert!(
        score >= 75.0 && score <= strongest + 5.0,
        "the host {score}, its strongest record {strongest}"
    );
}

#[test]
fn a_bucket_with_one_certain_record_among_many_series_is_not_called_harmless() {
    // Forty entities of one series each: by their number alone, what one of them shows counts for ln 40 nats less.
    let body = json!({
        "job_id": "apart",
        "analysis_config": {
            "bucket_span": "5m",
            "detectors": [{"function": "mean", "field_name": "value", "partition_field_name": "user"}],
            "influencers": ["user"],
        },
        "data_description": {"time_field": "time"},
    });
    let job = Arc::new(Job::from_value(&body).unwrap_or_else(|mistakes| panic!("{mistakes}")));
    let events = world(8, 720, |bucket, user| {
        if bucket == 700 && user == 3 {
            60.0
        } else {
            0.0
        }
    });
    let lines = fused(&job, &events);
    let of_bucket = |kind: &str, field: &str| -> f64 {
        let all = documents(&lines, kind).into_iter();
        let scores = all
            .filter(|one| one["timestamp"] == 700 * SPAN_MS)
            .map(|one| one[field].as_f64().unwrap());
        scores.fold(0.0, f64::max)
    };
    let record = of_bucket("record", "initial_record_score");
    let bucket = of_bucket("bucket", "initial_anomaly_score");
    assert!(
        record >= 75.0 && bucket >= 75.0,
        "record {record}, bucket {bucket}"
    );
    let buckets = documents(&lines, "bucket");
    let scores = buckets
        .iter()
        .map(|one| one["initial_anomaly_score"].as_f64().unwrap());
    let loud = scores.filter(|score| *score >= 75.0).count();
    assert!(loud <= 3, "one incident, {loud} loud buckets");
}
