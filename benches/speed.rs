//! Events per second from a file to result lines, beside the same decoder with nothing behind it: `cargo bench --bench speed [-- [JOB...] [EVENTS [ROUNDS]]]`.
//!
//! A (decode the job's fields, drop them) and B (all that `tidewatch detect` does, results serialised and dropped) take turns in one thread over
//! one file of simulated web events; the figures are medians over the rounds, in processor time. What remains of the decoder's rate is the ratio.

#![allow(clippy::disallowed_methods)] // a benchmark reads the clock

#[allow(dead_code)] // other benchmarks use more of it
mod common;

use common::{SPEED_JOBS, Stopwatch, feed_file, job_with, median};
use std::hint::black_box;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use tidewatch::config::Job;
use tidewatch::decode::{Item, Options, Reader};
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::time::Finality;

const EVENTS: usize = 2_000_000;
const ROUNDS: usize = 5;

fn main() {
    // Cargo adds `--bench`; what is no number is the letter of a job.
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let mut numbers = args.iter().filter_map(|arg| arg.parse::<usize>().ok());
    let letters: Vec<String> = args
        .iter()
        .filter(|arg| arg.parse::<usize>().is_err())
        .map(|letter| format!("({letter})"))
        .collect();
    let (events, rounds) = (
        numbers.next().unwrap_or(EVENTS),
        numbers.next().unwrap_or(ROUNDS),
    );
    let (path, bytes) = feed_file(events);
    println!(
        "{events} events of {bytes} bytes over a day, buckets of 5 minutes, one core, {rounds} rounds"
    );
    println!(
        "{:<32}{:>14}{:>14}{:>8}{:>12}",
        "job", "decode ev/s", "detect ev/s", "ratio", "documents"
    );
    let wanted =
        |name: &str| letters.is_empty() || letters.iter().any(|letter| name.starts_with(letter));
    for (name, detectors, influencers) in SPEED_JOBS.into_iter().filter(|job| wanted(job.0)) {
        let job = job_with("bench", detectors, influencers, "events");
        let (mut decoding, mut detecting, mut documents) = (Vec::new(), Vec::new(), 0);
        for _ in 0..rounds {
            let watch = Stopwatch::start();
            assert_eq!(decode(&job, &path), events, "every line is an event");
            decoding.push(watch.seconds());
            let watch = Stopwatch::start();
            documents = detect(&job, &path);
            detecting.push(watch.seconds());
        }
        let (decoding, detecting) = (median(decoding), median(detecting));
        println!(
            "{name:<32}{:>14.0}{:>14.0}{:>7.1}%{documents:>12}",
            events as f64 / decoding,
            events as f64 / detecting,
            100.0 * decoding / detecting
        );
    }
    std::fs::remove_file(path).expect("the file is ours");
}

/// Decodes the fields that the job names. Returns how many events there were.
fn decode(job: &Job, path: &Path) -> usize {
    let mut events = 0;
    read(job, path, |item| {
        events += usize::from(matches!(black_box(item), Item::Event { .. }))
    });
    events
}

/// Decodes, judges, writes. Returns how many documents there were.
fn detect(job: &Arc<Job>, path: &Path) -> usize {
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
    read(job, path, |item| {
        carry(match item {
            Item::Event { event, .. } => pipeline.handle(Input::Event(event)),
            Item::Rejected { rejection, .. } => pipeline.handle(Input::Rejected(&rejection)),
        });
    });
    carry(pipeline.handle(Input::Flush(Finality::Final)));
    documents
}

fn read(job: &Job, path: &Path, mut take: impl FnMut(Item<'_>)) {
    let mut reader = Reader::open(job, &[path], Options::default()).expect("the file is there");
    let _ = reader
        .run(&mut |item| {
            take(item);
            ControlFlow::Continue(())
        })
        .expect("the file can be read");
}
