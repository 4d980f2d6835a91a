//! What a running service tells those who operate it.

use crate::client::topic;
use crate::instance::{Deployment, Instance, PATIENCE};
use crate::service::await_metric;
use crate::world::{Kind, Spread, close, events, job, publish};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const BUCKETS: i64 = 60;

/// Waits until the report of a job is as wanted.
fn await_report(instance: &Instance, job: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = instance
            .get("/healthz")
            .map(|(_, body)| body)
            .unwrap_or_default();
        let report: Value = serde_json::from_str(&answer).unwrap_or_default();
        if is_so(&report["jobs"][job]) {
            return report;
        }
        assert!(Instant::now() < deadline, "{report:#}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The first bucket that an instance closes has the results looked through; by then the others are there.
#[test]
fn results_that_have_become_too_old_are_withdrawn_while_the_job_goes_on() {
    let input = topic("expiry", 2);
    publish(&input, 2, Spread::AtRandom, &events(43, BUCKETS));
    let kept = job(Kind::PerHost, &input, "");
    let deployment = Deployment::new(std::slice::from_ref(&kept), "");
    let instance = deployment.start("a");
    let closed = "tidewatch_buckets_closed_total{finality=\"final\",job_id=\"per-host\"}";
    await_metric(&instance, closed, |buckets| buckets >= (BUCKETS - 2) as f64);
    assert_eq!(instance.stop(), Some(0), "{}", deployment.logs());
    // Kept for no longer than it takes the next bucket to come.
    let brief = kept.replacen('{', r#"{"results_retention_days": 0, "#, 1);
    std::fs::write(deployment.path("jobs/0.json"), brief).expect("a job file");
    close(&input, 2, BUCKETS);
    let instance = deployment.start("b");
    let expired = "tidewatch_results_expired_total{job_id=\"per-host\"}";
    await_metric(&instance, expired, |results| {
        results >= (BUCKETS - 2) as f64
    });
    let line = deployment.await_log("b", "old results withdrawn", Instant::now() + PATIENCE);
    assert!(line.contains("INFO"), "{line}");
    assert_eq!(instance.stop(), Some(0), "{}", deployment.logs());
    let mut standing = BTreeSet::new();
    for (kind, id, value) in deployment.seen_results() {
        match (kind.as_str(), value.is_empty()) {
            ("bucket", false) => standing.insert(id),
            _ => standing.remove(&id),
        };
    }
    // Those that were closed in the same moment, and some before that.
    let left = standing.len() as i64;
    assert!(
        (1..=6).contains(&left),
        "{standing:?} are left of {BUCKETS}"
    );
}

#[test]
fn the_report_of_a_running_service_tells_its_state_lag_buckets_memory_and_what_is_hot() {
    let input = topic("report", 2);
    publish(&input, 2, Spread::AtRandom, &events(41, BUCKETS));
    close(&input, 2, BUCKETS);
    let jobs = [job(Kind::PerHost, &input, "")];
    let deployment = Deployment::new(
        &jobs,
        "timing:\n  snapshot_interval: 300ms\nmetrics:\n  scores: entities\n  scores_limit: 5",
    );
    let instance = deployment.start("a");
    let report = await_report(&instance, "per-host", |job| {
        job["state"] == "live"
            && job["lag_messages"] == 0
            && job["last_snapshot"]["timestamp_ms"].is_i64()
            && job["hottest"].as_array().is_some_and(|hot| !hot.is_empty())
    });
    assert_eq!(report["schema"], "tidewatch.health/1");
    let job = &report["jobs"]["per-host"];
    assert_eq!(job["error"], Value::Null);
    // Two inputs, the shards, the rollup.
    let partitions = job["partitions"].as_array().expect("a list");
    assert!(partitions.len() >= 4, "{job:#}");
    let inputs = partitions
        .iter()
        .filter(|one| one["topic"] == input.as_str());
    assert!(
        inputs.clone().count() == 2
            && inputs
                .clone()
                .all(|one| one["watermark_timestamp_ms"].is_i64())
    );
    assert!(job["watermark_timestamp_ms"].is_i64(), "{job:#}");
    assert!(job["memory"]["series"].as_u64() > Some(0), "{job:#}");
    assert_eq!(job["memory"]["status"], "ok");
    assert!(job["last_bucket"]["event_count"].is_u64(), "{job:#}");
    let hottest = &job["hottest"][0];
    assert!(
        hottest["entity"]["host.name"].is_string() && hottest["description"].is_string(),
        "{hottest:#}"
    );
    let metrics = instance.get("/metrics").expect("metrics").1;
    for name in [
        "tidewatch_event_lateness_seconds_count",
        "tidewatch_bucket_close_duration_seconds_count",
    ] {
        let line = metrics
            .lines()
            .find(|line| line.starts_with(&format!("{name}{{job_id=\"per-host\"}}")));
        let value: f64 = line
            .and_then(|line| line.split(' ').nth(1)?.parse().ok())
            .unwrap_or_default();
        assert!(value >= BUCKETS as f64, "{name}: {line:?}");
    }
    // Twelve hosts, two detectors, and room for five series.
    for name in ["anomaly_score", "y", "yhat", "yhat_lower", "yhat_upper"] {
        let beginning = format!("tidewatch_{name}{{");
        let series: Vec<&str> = metrics
            .lines()
            .filter(|line| line.starts_with(&beginning))
            .collect();
        assert!((1..=5).contains(&series.len()), "{name}: {series:?}");
        assert!(
            series
                .iter()
                .all(|line| line.contains("entity=\"host.name=h")),
            "{series:?}"
        );
    }
    await_metric(
        &instance,
        "tidewatch_scores_left_out_total{job_id=\"per-host\"}",
        |count| count > 0.0,
    );
    assert_eq!(instance.stop(), Some(0));
}
