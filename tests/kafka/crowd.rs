//! Very many jobs in one process, each with the results that it has alone: twenty beside the other tests, a hundred in the long form (`TIDEWATCH_CHAOS=long`).

use crate::client::topic;
use crate::faults::of;
use crate::instance::{Deployment, Instance};
use crate::service::await_metric;
use crate::world::{Spread, Word, close, events, expected, publish, sentinel};
use std::fs;
use std::time::Instant;

const BUCKETS: i64 = 40;
const SEED: u64 = 53;

/// A job over one of the topics, like few of the others.
fn job(number: usize, topics: &[String]) -> String {
    let topic = &topics[number % topics.len()];
    let function = match number % 7 {
        0 => r#""function": "count""#,
        1 => r#""function": "mean", "field_name": "latency_ms""#,
        2 => r#""function": "max", "field_name": "latency_ms""#,
        3 => r#""function": "sum", "field_name": "latency_ms""#,
        4 => r#""function": "median", "field_name": "latency_ms""#,
        5 => r#""function": "distinct_count", "field_name": "status""#,
        _ => r#""function": "high_count""#,
    };
    let split = match number / 7 % 4 {
        0 => r#", "partition_field_name": "host.name""#,
        1 => r#", "by_field_name": "host.name""#,
        2 => r#", "over_field_name": "host.name""#,
        _ => "",
    };
    let minutes = [1, 5, 10][number / 28 % 3];
    format!(
        r#"{{"job_id": "job-{number}", "analysis_config": {{"bucket_span": "{minutes}m", "detectors": [{{{function}{split}}}], "influencers": ["host.name"]}},
            "data_description": {{"time_field": "time", "time_format": "epoch_ms"}}, "datafeed_config": {{"indices": ["{topic}"]}}}}"#
    )
}

/// Threads, sockets and resident MiB.
fn weight(instance: &Instance) -> (usize, usize, u64) {
    let process = format!("/proc/{}", instance.pid());
    let entries = |what: &str| fs::read_dir(format!("{process}/{what}")).expect("a process");
    let is_socket = |link: &std::path::Path| link.to_string_lossy().starts_with("socket:");
    let links = entries("fd").filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let sockets = links.filter(|link| is_socket(link)).count();
    let status = fs::read_to_string(format!("{process}/status")).expect("a process");
    let resident = status.lines().find_map(|line| {
        let kilobytes = line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?;
        kilobytes.parse::<u64>().ok()
    });
    (
        entries("task").count(),
        sockets,
        resident.unwrap_or(0) >> 10,
    )
}

#[test]
fn a_crowd_of_jobs_in_one_process_has_the_results_that_each_has_alone() {
    let count = of(20, 100);
    // Spread over stages, and in one task each.
    let topics = [(2, "crowd-two"), (1, "crowd-one")];
    let names = topics.map(|(partitions, name)| topic(name, partitions));
    for ((partitions, _), name) in topics.iter().zip(&names) {
        publish(name, *partitions, Spread::AtRandom, &events(SEED, BUCKETS));
        close(name, *partitions, BUCKETS);
    }
    let jobs: Vec<String> = (0..count).map(|number| job(number, &names)).collect();
    let texts = || {
        let messages = events(SEED, BUCKETS).into_iter();
        messages
            .map(|message| message.text)
            .chain([sentinel(BUCKETS)])
    };
    let mut wanted: Vec<Word> = jobs.iter().flat_map(|job| expected(job, texts())).collect();
    wanted.sort();
    let deployment = Deployment::new(&jobs, "timing:\n  job_files_interval: 150ms");
    fs::write(deployment.path("jobs/bad.json"), "{").expect("a job file");
    let began = Instant::now();
    let instance = deployment.start("a");
    await_metric(&instance, "tidewatch_job_files_refused", |count| {
        count == 1.0
    });
    instance.await_ready();
    let ready = began.elapsed();
    deployment.await_results(&wanted);
    let done = began.elapsed();
    deployment.assert_results(&wanted, "a crowd of jobs");
    let (threads, sockets, resident) = weight(&instance);
    let share = |of_all: f64| of_all / count as f64;
    println!(
        "crowd: {count} jobs in one process: ready after {:.1} s, all results after {:.1} s; a job has {:.1} threads, {:.1} sockets, {:.1} MiB resident",
        ready.as_secs_f64(),
        done.as_secs_f64(),
        share(threads as f64),
        share(sockets as f64),
        share(resident as f64)
    );
    let ending = Instant::now();
    assert_eq!(instance.stop(), Some(0), "{}", deployment.logs());
    println!(
        "crowd: ended in order in {:.1} s",
        ending.elapsed().as_secs_f64()
    );
}
