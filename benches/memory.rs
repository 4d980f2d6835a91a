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

use common::lives::{Life, bucket, keys};
use common::{Stopwatch, job, resident_bytes};
use std::process::Command;
use std::sync::Arc;
use tidewatch::config::Job;
use tidewatch::engine::judge::{Input, Judge};
use tidewatch::engine::wire::InputId;
use tidewatch::time::BucketSpan;

const DETECTORS: &str = r#"[{"function": "mean", "field_name": "http.response.bytes", "partition_field_name": "host.name"}]"#;
/// The rate is that of so many buckets at most.
const TIMED_BUCKETS_MAX: usize = 40;
const MILLION: usize = 1_000_000;
const GIB: f64 = (1u64 << 30) as f64;

/// A life that a series has behind it.
struct Case {
    name: &'static str,
    series: usize,
    buckets: usize,
    life: Life,
}

const CASES: [Case; 3] = [
    Case {
        name: "cold: 3 buckets",
        series: 100_000,
        buckets: 3,
        life: Life {
            span_seconds: 300,
            has_season: false,
        },
    },
    Case {
        name: "3 days, no season",
        series: 4_000,
        buckets: 3 * 288,
        life: Life {
            span_seconds: 300,
            has_season: false,
        },
    },
    Case {
        name: "3 weeks, day and week",
        series: 2_000,
        buckets: 21 * 96,
        life: Life {
            span_seconds: 900,
            has_season: true,
        },
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
    let span = BucketSpan::from_seconds(case.life.span_seconds).expect("a span");
    let job = Arc::new(Job {
        bucket_span: span,
        ..Job::clone(&job("bench", DETECTORS, "events"))
    });
    let before = resident_bytes();
    let input = InputId("events/0".to_owned());
    let keys = keys(count);
    let mut judge = Judge::new(Arc::clone(&job), 0, vec![input.clone()]);
    let timed = TIMED_BUCKETS_MAX.min(case.buckets - 1);
    let mut seconds = 0.0;
    for at in 0..case.buckets {
        let bucket = bucket(&case.life, &keys, at);
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
