//! What the benchmarks of whole paths share: the feed, the jobs, the paths themselves, a clock that others on the machine do not turn.

pub(crate) mod lives;

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidewatch::config::Job;
use tidewatch::decode::{Item, Options, Reader};
use tidewatch::engine::gatherer::{self, Gatherer, Input};
use tidewatch::engine::judge::{self, Judge};
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::engine::rollup::{self, Rollup};
use tidewatch::engine::wire::{InputId, StageMessage};
use tidewatch::simulate::{EventFormat, Feed, Scenario};
use tidewatch::time::Finality;

const HOSTS: usize = 1_000;
const USERS: usize = 500;
/// Event time that the feed covers, seconds.
const DAY: f64 = 86_400.0;
const SEED: u64 = 1;
/// Events a bucket of five minutes when two million make a day.
pub(crate) const EVENTS_A_BUCKET: usize = 6_944;

/// The jobs of the bars of speed, with their influencers: of one core's decoding, so much is left by each at least.
pub(crate) const SPEED_JOBS: [(&str, &str, &str); 3] = [
    ("(a) count", r#"[{"function": "count"}]"#, "[]"),
    (
        "(b) mean, 1,000 hosts",
        r#"[{"function": "mean", "field_name": "http.response.bytes", "partition_field_name": "host.name"}]"#,
        "[]",
    ),
    (
        "(e) and by status, influencers",
        r#"[{"function": "mean", "field_name": "http.response.bytes",
             "by_field_name": "http.response.status_code", "partition_field_name": "host.name"}]"#,
        r#"["user.name", "host.name"]"#,
    ),
];

/// Likewise for those that hold members or values against one another.
pub(crate) const CROWD_JOBS: [(&str, &str, &str); 2] = [
    (
        "(p) high_sum over 500 users",
        r#"[{"function": "high_sum", "field_name": "http.response.bytes", "over_field_name": "user.name"}]"#,
        "[]",
    ),
    (
        "(r) rare by status",
        r#"[{"function": "rare", "by_field_name": "http.response.status_code"}]"#,
        "[]",
    ),
];

/// A job with buckets of five minutes that reads `topic`.
pub(crate) fn job(id: &str, detectors: &str, topic: &str) -> Arc<Job> {
    job_with(id, detectors, "[]", topic)
}

/// The same with influencers.
pub(crate) fn job_with(id: &str, detectors: &str, influencers: &str, topic: &str) -> Arc<Job> {
    job_of_span(id, "5m", detectors, influencers, topic)
}

/// The same with other buckets.
pub(crate) fn job_of_span(
    id: &str,
    span: &str,
    detectors: &str,
    influencers: &str,
    topic: &str,
) -> Arc<Job> {
    let text = format!(
        r#"{{"job_id": "{id}", "analysis_config": {{"bucket_span": "{span}", "detectors": {detectors}, "influencers": {influencers}}},
            "analysis_limits": {{"model_memory_limit": "4gb"}}, "data_description": {{"time_field": "@timestamp"}},
            "datafeed_config": {{"indices": ["{topic}"]}}}}"#
    );
    Arc::new(Job::from_text(&text, "bench.json").expect("a job"))
}

/// Calls `sink` with each of `count` events, as JSON on a line of about 200 bytes: one day of a calm web shop with a thousand hosts and five
/// hundred users, in time order.
pub(crate) fn feed(count: usize, sink: impl FnMut(&[u8])) {
    feed_of_rate(count, count as f64 / DAY, sink);
}

/// The same at `rate` events a second, however long it takes.
fn feed_of_rate(count: usize, rate: f64, mut sink: impl FnMut(&[u8])) {
    let calm = Scenario::built_in("calm").expect("a built-in scenario");
    let scenario = Scenario {
        hosts: HOSTS,
        users: USERS,
        rate,
        days: 2.0,    // the last event may fall just beyond the day
        weekend: 1.0, // every day has its share of the rate
        ..calm
    };
    let mut feed = Feed::new(&scenario, SEED).expect("a valid scenario");
    let (mut writer, mut line) = (EventFormat::Ndjson.writer(), Vec::new());
    for _ in 0..count {
        let event = feed.next().expect("the feed is longer than needed");
        line.clear();
        writer.write(feed.world(), &event, &mut line);
        // Without service and address, which no job here asks for, an event is about as long as the bars want it.
        line.truncate(find(&line, b",\"source\""));
        line.extend_from_slice(b"}\n");
        line.drain(find(&line, b"\"service\"")..find(&line, b"\"http\""));
        sink(&line);
    }
}

fn find(line: &[u8], part: &[u8]) -> usize {
    let mut places = line.windows(part.len());
    places
        .position(|window| window == part)
        .expect("the feed's events have it")
}

/// The feed as a file below `target`, written anew. Returns its path and its bytes an event.
pub(crate) fn feed_file(count: usize) -> (PathBuf, usize) {
    feed_file_of_rate(count, count as f64 / DAY)
}

/// The beginning of a feed of [`EVENTS_A_BUCKET`], likewise.
pub(crate) fn feed_file_of_pace(count: usize) -> (PathBuf, usize) {
    feed_file_of_rate(count, EVENTS_A_BUCKET as f64 / 300.0)
}

fn feed_file_of_rate(count: usize, rate: f64) -> (PathBuf, usize) {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(&directory).expect("a directory");
    let path = directory.join(format!("feed-{count}.ndjson"));
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&path).expect("a file"));
    let mut bytes = 0;
    feed_of_rate(count, rate, |line| {
        bytes += line.len();
        file.write_all(line).expect("room on the disk");
    });
    file.flush().expect("room on the disk");
    (path, bytes / count)
}

/// Decodes the fields that the job names. Returns how many events there were.
pub(crate) fn decode(job: &Job, path: &Path) -> usize {
    let mut events = 0;
    read(1, job, path, |item| {
        events += usize::from(matches!(black_box(item), Item::Event { .. }))
    });
    events
}

/// Decodes and gathers; closed buckets are dropped. Returns how many series and shares there were in them.
pub(crate) fn gather(job: &Arc<Job>, path: &Path) -> usize {
    let mut gatherer = Gatherer::new(Arc::clone(job));
    let mut cells = 0;
    let mut count = |outputs: Vec<gatherer::Output>| {
        for output in outputs {
            if let gatherer::Output::Closed(bucket) = black_box(output) {
                let series = bucket.series.iter();
                cells += series.map(|series| 1 + series.shares.len()).sum::<usize>();
            }
        }
    };
    read(1, job, path, |item| {
        count(match item {
            Item::Event { event, .. } => gatherer.handle(Input::Event(event)),
            Item::Rejected { rejection, .. } => gatherer.handle(Input::Rejected(&rejection)),
        });
    });
    count(gatherer.handle(Input::Flush(Finality::Final)));
    cells
}

/// Decodes, judges, writes, on one thread. Returns how many documents there were.
pub(crate) fn detect(job: &Arc<Job>, path: &Path) -> usize {
    detect_on(1, job, path)
}

/// The same on so many threads.
pub(crate) fn detect_on(threads: usize, job: &Arc<Job>, path: &Path) -> usize {
    let mut pipeline = Pipeline::new(Arc::clone(job));
    let mut documents = 0;
    let mut carry = |outputs: Vec<Output>| {
        for output in outputs {
            if let Output::Result(document) = &output {
                let line = serde_json::to_vec(document).expect("a document");
                io::sink()
                    .write_all(black_box(&line))
                    .expect("a sink takes all");
                documents += 1;
            }
        }
    };
    read(threads, job, path, |item| {
        carry(match item {
            Item::Event { event, .. } => pipeline.handle(Input::Event(event)),
            Item::Rejected { rejection, .. } => pipeline.handle(Input::Rejected(&rejection)),
        });
    });
    carry(pipeline.handle(Input::Flush(Finality::Final)));
    documents
}

/// The same in stages, as in a service: what a stage says to the next goes through the bytes of its messages. Returns how many documents there
/// were, and the bytes of the closed buckets.
pub(crate) fn stages(job: &Arc<Job>, path: &Path) -> (usize, usize) {
    let mut stages = Stages::of(job);
    let mut gatherer = Gatherer::new(Arc::clone(job));
    read(1, job, path, |item| {
        stages.gathered(match item {
            Item::Event { event, .. } => gatherer.handle(Input::Event(event)),
            Item::Rejected { rejection, .. } => gatherer.handle(Input::Rejected(&rejection)),
        });
    });
    stages.gathered(gatherer.handle(Input::Flush(Finality::Final)));
    (stages.documents, stages.closed_bytes)
}

/// The judges and the rollup behind a gatherer.
struct Stages {
    gatherer: InputId,
    judges: Vec<(InputId, Judge)>,
    rollup: Rollup,
    documents: usize,
    closed_bytes: usize,
}

impl Stages {
    fn of(job: &Arc<Job>) -> Stages {
        let gatherer = InputId("events/0".to_owned());
        let shards = job.extensions.shards;
        let speaker = |shard| InputId(format!("shard/{shard}"));
        let judge = |shard| {
            let judge = Judge::new(Arc::clone(job), shard, vec![gatherer.clone()]);
            (speaker(shard), judge.among(shards))
        };
        Stages {
            judges: (0..shards).map(judge).collect(),
            rollup: Rollup::new(Arc::clone(job), (0..shards).map(speaker).collect()),
            gatherer,
            documents: 0,
            closed_bytes: 0,
        }
    }

    fn gathered(&mut self, outputs: Vec<gatherer::Output>) {
        for output in outputs {
            match output {
                gatherer::Output::Closed(bucket) => {
                    for (shard, part) in bucket.split(self.judges.len() as u16) {
                        let bytes = StageMessage::Closed(part).encode();
                        self.closed_bytes += bytes.len();
                        self.closed(usize::from(shard), &bytes);
                    }
                }
                gatherer::Output::Watermark(until) => {
                    for shard in 0..self.judges.len() {
                        let from = self.gatherer.clone();
                        let word = judge::Input::Watermark { from, until };
                        let said = self.judges[shard].1.handle(word);
                        self.judged(shard, said);
                    }
                }
                gatherer::Output::Late(_) | gatherer::Output::Rejected(_) => {}
            }
        }
    }

    fn closed(&mut self, shard: usize, bytes: &[u8]) {
        let Ok(StageMessage::Closed(bucket)) = StageMessage::decode(bytes) else {
            panic!("what was said is understood");
        };
        let from = self.gatherer.clone();
        let said = self.judges[shard]
            .1
            .handle(judge::Input::Closed { from, bucket });
        self.judged(shard, said);
    }

    fn judged(&mut self, shard: usize, said: Vec<judge::Output>) {
        for output in said {
            let from = self.judges[shard].0.clone();
            let word = match output {
                judge::Output::Partial(bucket) => {
                    let bytes = StageMessage::Partial(bucket).encode();
                    let Ok(StageMessage::Partial(bucket)) = StageMessage::decode(&bytes) else {
                        panic!("what was said is understood");
                    };
                    rollup::Input::Partial { from, bucket }
                }
                judge::Output::Watermark(until) => rollup::Input::Watermark { from, until },
                judge::Output::Revised(_) | judge::Output::Late { .. } => continue,
            };
            for output in self.rollup.handle(word) {
                if let rollup::Output::Result(document) = &output {
                    black_box(serde_json::to_vec(document).expect("a document"));
                    self.documents += 1;
                }
            }
        }
    }
}

fn read(threads: usize, job: &Job, path: &Path, mut take: impl FnMut(Item<'_>)) {
    let options = Options {
        threads,
        ..Options::default()
    };
    let mut reader = Reader::open(job, &[path], options).expect("the file is there");
    let _ = reader
        .run(&mut |item| {
            take(item);
            ControlFlow::Continue(())
        })
        .expect("the file can be read");
}

/// Times a piece of work done on this thread: processor time, which a busy machine does not stretch as it does the clock's.
pub(crate) struct Stopwatch {
    wall: Instant,
    cpu: Option<Duration>,
}

impl Stopwatch {
    pub(crate) fn start() -> Stopwatch {
        Stopwatch {
            wall: Instant::now(),
            cpu: thread_cpu(),
        }
    }

    /// Seconds of the clock since the start.
    pub(crate) fn clock_seconds(&self) -> f64 {
        self.wall.elapsed().as_secs_f64()
    }

    /// Processor seconds of this thread since the start; seconds of the clock where the kernel does not tell.
    pub(crate) fn seconds(&self) -> f64 {
        let cpu = self.cpu.zip(thread_cpu()).map(|(from, to)| to - from);
        cpu.unwrap_or_else(|| self.wall.elapsed()).as_secs_f64()
    }
}

/// What Linux has counted for this thread (`/proc/PID/schedstat`: nanoseconds on a processor come first).
fn thread_cpu() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// The middle one; of an even number, the lower of the two.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[(numbers.len() - 1) / 2]
}

/// Memory of this process that is in RAM.
pub(crate) fn resident_bytes() -> u64 {
    const PAGE_BYTES: u64 = 4096;
    let text = fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = text.split_whitespace().nth(1).map(str::parse::<u64>);
    PAGE_BYTES * pages.expect("a second number").expect("a number")
}
