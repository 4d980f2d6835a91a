//! What a snapshot costs the judge that it is taken of: `cargo bench --bench snapshot [-- SERIES [SPAN_MINUTES]]`.
//!
//! A judge of 100,000 series of a mean a host, three weeks old, with a day and a week (first grown: that takes longer than all the rest). Then it hears
//! bucket after bucket as fast as it can, calm ones first; then with a snapshot taken between two, which a thread writes into a
//! directory meanwhile. *freeze* is how long the judge's thread is held up by taking it; *bucket* the time from the last word on a bucket until it
//! is judged: the first ones after a freeze copy what the snapshot shares. *pause* is what is told as the longest: the freeze and what the
//! worst bucket after it took beyond the median of the calm ones. *at one go* is what it was before states could be frozen: serialising, compressing
//! and storing on the judge's own thread. At live speed there is minutes between two buckets, and the writing is over before the next.
//!
//! Of buckets processor time is counted, so that neighbours on the machine do not show; the rest is by the clock. *write* is the writer's, *restore* that from the file to a judge that goes on, by its parts; *resident* the growth of the process while written.

#![allow(clippy::disallowed_methods)] // a benchmark reads the clock

#[allow(dead_code)] // other benchmarks use more of it
mod common;

use common::lives::{Life, bucket, keys};
use common::{Stopwatch, job, resident_bytes};
use std::sync::Arc;
use std::thread;
use std::time::Instant;
use tidewatch::config::Job;
use tidewatch::engine::judge::{Input, Judge};
use tidewatch::engine::snapshot::Snapshot;
use tidewatch::engine::wire::{ClosedBucket, InputId, SeriesKey};
use tidewatch::runtime::store::{DirectoryStore, SnapshotKey, SnapshotStore};
use tidewatch::time::BucketSpan;

const DETECTORS: &str = r#"[{"function": "mean", "field_name": "http.response.bytes", "partition_field_name": "host.name"}]"#;
/// Buckets measured of each kind.
const BUCKETS: usize = 12;
/// Snapshots taken.
const SNAPSHOTS: usize = 3;
const MIB: f64 = (1 << 20) as f64;

fn main() {
    let numbers: Vec<i64> = std::env::args()
        .filter_map(|word| word.parse().ok())
        .collect();
    let count = numbers.first().map_or(100_000, |&count| count as usize);
    let span_seconds = numbers.get(1).map_or(3_600, |minutes| minutes * 60);
    let life = Life {
        span_seconds,
        has_season: true,
    };
    let mut bench = Bench::new(life, count);
    let buckets = (21 * 86_400 / span_seconds) as usize;
    let watch = Instant::now();
    for _ in 0..buckets {
        bench.judge_next();
    }
    let size = bench.judge.size();
    println!(
        "{count} series, three weeks old, day and week: {:.0} MiB of models ({:.0} s to grow)",
        size.model_bytes as f64 / MIB,
        watch.elapsed().as_secs_f64()
    );
    let calm: Vec<f64> = (0..BUCKETS).map(|_| bench.judge_next()).collect();
    let usual = median(calm.clone());
    println!(
        "calm:            bucket {:7.1} ms median, {:7.1} ms worst",
        usual,
        worst(&calm)
    );
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let mut store = DirectoryStore::open(folder.path()).expect("a directory");
    for at in 0..SNAPSHOTS as i64 {
        bench.with_snapshot(&store, at, usual);
    }
    let watch = Instant::now();
    store
        .put(&key(99), &bench.judge.freeze())
        .expect("room on the disk");
    println!("at one go:       {:.0} ms", millis(watch));
    bench.restore(&mut store, &key(99));
}

struct Bench {
    life: Life,
    job: Arc<Job>,
    judge: Judge,
    keys: Vec<SeriesKey>,
    input: InputId,
    at: usize,
}

impl Bench {
    fn new(life: Life, count: usize) -> Bench {
        let job = Arc::new(Job {
            bucket_span: BucketSpan::from_seconds(life.span_seconds).expect("a span"),
            ..Job::clone(&job("bench", DETECTORS, "events"))
        });
        let input = InputId("events/0".to_owned());
        Bench {
            judge: Judge::new(Arc::clone(&job), 0, vec![input.clone()]),
            life,
            job,
            keys: keys(count),
            input,
            at: 0,
        }
    }

    /// Milliseconds from the last word on a bucket until it is judged.
    fn judge_next(&mut self) -> f64 {
        let bucket: ClosedBucket = bucket(&self.life, &self.keys, self.at);
        self.at += 1;
        let until = self.job.bucket_span.end_of(bucket.start);
        let from = self.input.clone();
        let _ = self.judge.handle(Input::Closed { from, bucket });
        let from = self.input.clone();
        let watch = Stopwatch::start();
        let said = self.judge.handle(Input::Watermark { from, until });
        let took = 1e3 * watch.seconds();
        assert!(!said.is_empty(), "the bucket is judged");
        took
    }

    fn with_snapshot(&mut self, store: &DirectoryStore, at: i64, usual: f64) {
        let before = resident_bytes();
        let watch = Instant::now();
        let mut frozen = self.judge.freeze();
        let freeze = millis(watch);
        let mut writer = store.clone();
        let writing = thread::spawn(move || {
            let watch = Instant::now();
            frozen.unshare(); // as of a task that has a lag to work off
            let stored = writer.put(&key(at), &frozen).expect("room on the disk");
            drop(frozen);
            (millis(watch), stored)
        });
        let (mut buckets, mut most) = (Vec::new(), 0);
        while !writing.is_finished() || buckets.is_empty() {
            buckets.push(self.judge_next());
            most = most.max(resident_bytes().saturating_sub(before));
        }
        let (write, stored) = writing.join().expect("the writer lives");
        println!(
            "with a snapshot: bucket {:7.1} ms median, {:7.1} ms worst of {}; freeze {freeze:.2} ms, pause {:.1} ms; write {write:.0} ms, {:.0} MiB stored, {:.0} MiB more resident meanwhile",
            median(buckets.clone()),
            worst(&buckets),
            buckets.len(),
            freeze + (worst(&buckets) - usual).max(0.0),
            stored as f64 / MIB,
            most as f64 / MIB,
        );
    }

    fn restore(&self, store: &mut DirectoryStore, key: &SnapshotKey) {
        let watch = Instant::now();
        let bytes = store.get(key).expect("the file").expect("whole");
        let read = millis(watch);
        let snapshot = Snapshot::from_bytes(bytes);
        let watch = Instant::now();
        let restored = Judge::restore(Arc::clone(&self.job), &snapshot).expect("its own");
        println!(
            "restore:         {:.0} ms to read and decompress {:.0} MiB, {:.0} ms to decode",
            read,
            snapshot.as_bytes().len() as f64 / MIB,
            millis(watch)
        );
        assert!(restored.snapshot() == self.judge.snapshot(), "the same");
    }
}

fn key(offset: i64) -> SnapshotKey {
    SnapshotKey {
        task: "bench/closed/0".to_owned(),
        lineage: 1,
        offset,
    }
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn worst(all: &[f64]) -> f64 {
    all.iter().copied().fold(0.0, f64::max)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
