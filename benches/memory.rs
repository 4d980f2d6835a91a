//! Bytes a series: what the judge accounts for, and what the process grows by: `cargo bench --bench memory [-- SERIES]`.
//!
//! Each row is a process of its own (memory given back by one row would hide the next one's growth), in which a judge hears closed buckets of
//! a mean a host. *exact* is the engine's own accounting, what `model_memory_limit` is held against; *resident* is the growth of the
//! process (`/proc/self/statm`) from before the first name to after the last bucket, allocator and holes included. A snapshot is restored and
//! must give the same bytes again. The rate is series judged and learnt a second of processor time, over the last buckets.
//!
//! A million series of each life, under each row: the judge's snapshot restored as often as that takes, as shards of one process would hold them.
//! *resident* is then that of all of them, *take* the time to take the snapshots of all, one after another, *restore* the time to restore all.

#![allow(clippy::disallowed_methods)] // a benchmark reads the clock

#[allow(dead_code)] // other benchmarks use more of it
mod common;

use common::{Stopwatch, job};
use std::fs;
use std::process::Command;
use std::sync::Arc;
use tidewatch::config::Job;
use tidewatch::engine::feature::Accumulator;
use tidewatch::engine::judge::{Input, Judge};
use tidewatch::engine::result::DataCounts;
use tidewatch::engine::wire::{ClosedBucket, InputId, SeriesBucket, SeriesKey};
use tidewatch::numerics::ExactSum;
use tidewatch::time::{BucketSpan, BucketStart, Finality};

const DETECTORS: &str = r#"[{"function": "mean", "field_name": "http.response.bytes", "partition_field_name": "host.name"}]"#;
const HOUR_MS: f64 = 3_600_000.0;
/// Monday, 2 March 2026.
const FROM_MS: i64 = 1_772_409_600_000;
/// The rate is that of so many buckets at most.
const TIMED_BUCKETS_MAX: usize = 40;
/// Measurements a series and bucket.
const MEASUREMENTS: u64 = 7;
const PAGE_BYTES: u64 = 4096;
const MILLION: usize = 1_000_000;
const GIB: f64 = (1u64 << 30) as f64;

/// A life that a series has behind it.
struct Case {
    name: &'static str,
    series: usize,
    buckets: usize,
    span_seconds: i64,
    has_season: bool,
}

const CASES: [Case; 3] = [
    Case {
        name: "cold: 3 buckets",
        series: 100_000,
        buckets: 3,
        span_seconds: 300,
        has_season: false,
    },
    Case {
        name: "3 days, no season",
        series: 4_000,
        buckets: 3 * 288,
        span_seconds: 300,
        has_season: false,
    },
    Case {
        name: "3 weeks, day and week",
        series: 2_000,
        buckets: 21 * 96,
        span_seconds: 900,
        has_season: true,
    },
];

fn main() {
    // Cargo adds `--bench`; `row N` is this program calling itself.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let number = |at: usize| {
        words
            .get(at)
            .and_then(|word: &String| word.parse::<usize>().ok())
    };
    if let (Some("row"), Some(row)) = (words.first().map(String::as_str), number(1)) {
        let case = &CASES[row];
        return measure(case, number(2).unwrap_or(case.series));
    }
    println!(
        "{:<22}{:>8}{:>8}{:>10}{:>10}{:>10}{:>11}{:>11}{:>12}",
        "life", "series", "buckets", "exact", "resident", "snapshot", "take", "restore", "judged"
    );
    println!(
        "{:<22}{:>8}{:>8}{:>10}{:>10}{:>10}{:>11}{:>11}{:>12}",
        "", "", "", "B/series", "B/series", "B/series", "us/series", "us/series", "series/s"
    );
    let program = std::env::current_exe().expect("this program");
    for row in 0..CASES.len() {
        let mut command = Command::new(&program);
        command.args(["row", &row.to_string()]);
        command.args(number(0).map(|series| series.to_string()));
        assert!(command.status().expect("a process").success(), "row {row}");
    }
}

fn measure(case: &Case, count: usize) {
    let span = BucketSpan::from_seconds(case.span_seconds).expect("a span");
    let job = Arc::new(Job {
        bucket_span: span,
        ..Job::clone(&job("bench", DETECTORS, "events"))
    });
    let before = resident_bytes();
    let input = InputId("events/0".to_owned());
    let keys: Vec<SeriesKey> = (0..count).map(key).collect();
    let mut judge = Judge::new(Arc::clone(&job), 0, vec![input.clone()]);
    let timed = TIMED_BUCKETS_MAX.min(case.buckets - 1);
    let mut seconds = 0.0;
    for at in 0..case.buckets {
        let bucket = bucket(case, &keys, at);
        let until = span.end_of(bucket.start);
        let watch = Stopwatch::start();
        let from = input.clone();
        let _ = judge.handle(Input::Closed { from, bucket });
        let from = input.clone();
        let said = judge.handle(Input::Watermark { from, until });
        if at >= case.buckets - timed {
            seconds += watch.seconds();
        }
        assert!(!said.is_empty(), "the bucket is judged");
    }
    drop(keys);
    let grown = resident_bytes().saturating_sub(before);
    assert_eq!(judge.size().series, count as u64, "every series is held");
    let exact = judge.size().model_bytes;
    let (bytes, take, restore) = stored(&job, &judge);
    let each = |total: f64| total / count as f64;
    println!(
        "{:<22}{count:>8}{:>8}{:>10.0}{:>10.0}{:>10.0}{:>11.2}{:>11.2}{:>12.0}",
        case.name,
        case.buckets,
        each(exact as f64),
        each(grown as f64),
        each(bytes as f64),
        each(take * 1e6),
        each(restore * 1e6),
        (timed * count) as f64 / seconds
    );
    million(&job, judge, count, before);
}

/// A million series like those of `judge`; memory is what the process has grown by since it had `before` bytes.
fn million(job: &Arc<Job>, judge: Judge, count: usize, before: u64) {
    let snapshot = judge.snapshot();
    let mut judges = vec![judge];
    let watch = Stopwatch::start();
    while judges.len() * count < MILLION {
        let one = Judge::restore(Arc::clone(job), &snapshot).expect("a snapshot of this job");
        judges.push(one);
    }
    let restore = watch.seconds();
    let resident = resident_bytes().saturating_sub(before);
    let watch = Stopwatch::start();
    let bytes: usize = judges
        .iter()
        .map(|judge| judge.snapshot().as_bytes().len())
        .sum();
    let take = watch.seconds();
    println!(
        "  {} of them: {:.2} GiB resident, {:.2} GiB exact; snapshots of {:.2} GiB taken in {take:.1} s, restored in {restore:.1} s",
        judges.len() * count,
        resident as f64 / GIB,
        judges
            .iter()
            .map(|judge| judge.size().model_bytes as f64 / GIB)
            .sum::<f64>(),
        bytes as f64 / GIB,
    );
}

/// Bytes of a snapshot; seconds to take it and to restore it.
fn stored(job: &Arc<Job>, judge: &Judge) -> (usize, f64, f64) {
    let watch = Stopwatch::start();
    let snapshot = judge.snapshot();
    let take = watch.seconds();
    let watch = Stopwatch::start();
    let restored = Judge::restore(Arc::clone(job), &snapshot).expect("a snapshot of this job");
    let restore = watch.seconds();
    assert!(
        restored.snapshot().as_bytes() == snapshot.as_bytes(),
        "equal state gives equal bytes"
    );
    (snapshot.as_bytes().len(), take, restore)
}

fn key(series: usize) -> SeriesKey {
    SeriesKey {
        partition: Some(format!("host-{series:06}").into()),
        over: None,
        by: None,
    }
}

/// What a gatherer would say of the `at`th bucket with events.
fn bucket(case: &Case, keys: &[SeriesKey], at: usize) -> ClosedBucket {
    let start = FROM_MS + at as i64 * case.span_seconds * 1000;
    let series = keys.iter().enumerate().map(|(series, key)| SeriesBucket {
        group: 0,
        key: key.clone(),
        cells: [cell(value(case, start, series, at))].into(),
        shares: Vec::new(),
    });
    ClosedBucket {
        start: BucketStart(start),
        finality: Finality::Final,
        event_count: keys.len() as u64 * MEASUREMENTS,
        counts: DataCounts::default(),
        series: series.collect(),
    }
}

fn cell(mean: f64) -> Accumulator {
    let mut sum = ExactSum::new();
    sum.add_weighted(mean, MEASUREMENTS);
    Accumulator::Mean {
        n: MEASUREMENTS,
        sum,
    }
}

/// A level of its own, a tenth of noise; by day half as much again, at weekends half.
fn value(case: &Case, start_ms: i64, series: usize, at: usize) -> f64 {
    let noise: f64 = (0..4).map(|draw| unit(series, 4 * at + draw) - 0.5).sum();
    let level = 1000.0 + 9000.0 * unit(series, usize::MAX);
    let hours = start_ms as f64 / HOUR_MS;
    let season = match case.has_season {
        true => {
            let is_weekend = matches!((hours / 24.0) as i64 % 7, 2 | 3);
            let day = 1.0 + 0.5 * (std::f64::consts::TAU * hours / 24.0).cos();
            day * if is_weekend { 0.5 } else { 1.0 }
        }
        false => 1.0,
    };
    level * season * (1.0 + 0.17 * noise)
}

/// A number in 0..1 that depends on both (SplitMix64).
fn unit(series: usize, draw: usize) -> f64 {
    let mut z = (series as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (draw as u64) << 20;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ z >> 31) as f64 / 2f64.powi(64)
}

/// Memory of this process that is in RAM.
fn resident_bytes() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = text.split_whitespace().nth(1).map(str::parse::<u64>);
    PAGE_BYTES * pages.expect("a second number").expect("a number")
}
