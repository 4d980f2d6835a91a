//! What comes in bursts with nothing between them, as a package manager's log does: the burst is news, its end is not.

use super::support::{Happening, fused};
use super::verdicts::documents;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidewatch::config::Job;

const SPAN_MS: i64 = 900_000;
/// Buckets in which something is installed.
const BURSTS: [i64; 4] = [3, 1_500, 2_300, 3_100];

fn job() -> Arc<Job> {
    let body = json!({
        "job_id": "bursts",
        "analysis_config": {
            "bucket_span": "15m",
            "detectors": [{"function": "count", "by_field_name": "user"}],
        },
        "data_description": {"time_field": "time"},
    });
    Arc::new(Job::from_value(&body).unwrap_or_else(|mistakes| panic!("{mistakes}")))
}

/// One event a bucket of user 0; of thirteen others some dozens in the bucket of a burst.
fn world() -> Vec<Happening> {
    let mut events = Vec::new();
    let mut event = |at_ms: i64, user: u8| {
        events.push(Happening {
            at_ms,
            host: Some(0),
            user,
            value: None,
        });
    };
    for bucket in 0..3_200 {
        event(bucket * SPAN_MS, 0);
        if BURSTS.contains(&bucket) {
            for user in 1..14 {
                let many = 4 + (i64::from(user) * 37 + bucket) % 60;
                (0..many).for_each(|at| event(bucket * SPAN_MS + at, user));
            }
        }
    }
    events
}

#[test]
fn a_burst_is_told_and_the_silence_after_it_is_not() {
    let mut worst = BTreeMap::<i64, f64>::new();
    for record in documents(&fused(&job(), &world()), "record") {
        let bucket = record["timestamp"].as_i64().unwrap() / SPAN_MS;
        let score = record["initial_record_score"].as_f64().unwrap();
        let worst = worst.entry(bucket).or_default();
        *worst = worst.max(score);
    }
    assert!(worst[&BURSTS[1]] > 75.0, "{worst:?}");
    let silent: Vec<_> = worst
        .iter()
        .filter(|(bucket, score)| !BURSTS.contains(bucket) && **score >= 25.0)
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
}
