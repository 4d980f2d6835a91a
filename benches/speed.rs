//! Events per second from a file to result lines, beside the same decoder with nothing behind it: `cargo bench --bench speed [-- [JOB...] [EVENTS [ROUNDS]]]`.
//!
//! A (decode the job's fields, drop them) and B (all that `tidewatch detect` does, results serialised and dropped) take turns in one thread over
//! one file of simulated web events; the figures are medians over the rounds, in processor time. What remains of the decoder's rate is the ratio.

#![allow(clippy::disallowed_methods)] // a benchmark reads the clock

#[allow(dead_code)] // other benchmarks use more of it
mod common;

use common::{SPEED_JOBS, Stopwatch, decode, detect, feed_file, job_with, median};

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
