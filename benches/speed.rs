//! Events per second from a file to result lines, beside the same decoder with nothing behind it: `cargo bench --bench speed [-- [JOB...] [EVENTS [ROUNDS]]]`.
//!
//! Three take turns in one thread over one file of simulated web events: decode the job's fields and drop them; decode and gather; all that
//! `tidewatch detect` does, results serialised and dropped. The figures are medians over the rounds, in processor time. What remains of the
//! decoder's rate is the ratio. Then the whole again on one, two and three threads, by the clock.

#![allow(clippy::disallowed_methods)] // a benchmark reads the clock

#[allow(dead_code)] // other benchmarks use more of it
mod common;

use common::{
    CROWD_JOBS, SPEED_JOBS, Stopwatch, decode, detect, detect_on, feed_file, gather, job_with,
    median,
};

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
        "{:<32}{:>13}{:>13}{:>13}{:>8}{:>11}  {:>30}",
        "job",
        "decode ev/s",
        "gather ev/s",
        "detect ev/s",
        "ratio",
        "documents",
        "by the clock, 1, 2, 3 threads"
    );
    let wanted =
        |name: &str| letters.is_empty() || letters.iter().any(|letter| name.starts_with(letter));
    let jobs = SPEED_JOBS.into_iter().chain(CROWD_JOBS);
    for (name, detectors, influencers) in jobs.filter(|job| wanted(job.0)) {
        let job = job_with("bench", detectors, influencers, "events");
        let mut processor: [Vec<f64>; 3] = Default::default();
        let mut clock: [Vec<f64>; 3] = Default::default();
        let mut documents = 0;
        for _ in 0..rounds {
            let watch = Stopwatch::start();
            assert_eq!(decode(&job, &path), events, "every line is an event");
            processor[0].push(watch.seconds());
            let watch = Stopwatch::start();
            gather(&job, &path);
            processor[1].push(watch.seconds());
            let watch = Stopwatch::start();
            documents = detect(&job, &path);
            processor[2].push(watch.seconds());
            for (threads, seconds) in (1..).zip(&mut clock) {
                let watch = Stopwatch::start();
                let again = detect_on(threads, &job, &path);
                assert_eq!(again, documents, "threads change nothing");
                seconds.push(watch.clock_seconds());
            }
        }
        let [decoding, gathering, detecting] = processor.map(median);
        let rate = |seconds: f64| events as f64 / seconds;
        let [one, two, three] = clock.map(median).map(rate);
        println!(
            "{name:<32}{:>13.0}{:>13.0}{:>13.0}{:>7.1}%{documents:>11}  {one:>10.0}{two:>10.0}{three:>10.0}",
            rate(decoding),
            rate(gathering),
            rate(detecting),
            100.0 * decoding / detecting,
        );
    }
    std::fs::remove_file(path).expect("the file is ours");
}
