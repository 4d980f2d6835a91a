//! Instructions an event from a file's bytes to result lines, counted by callgrind: `cargo bench --bench instructions [-- JOB...]`.
//!
//! Counts do not depend on neighbours, clocks or caches, so a change of a percent shows; what they leave out is waiting for memory. Each job
//! runs twice over the same feed, once over its first buckets only: the difference is divided by the events between the two,
//! so that start-up and first sight of each host are out. Whole buckets both, closed, judged and written. One line a job on
//! standard output: its letter, and an event's instructions in the decoder, in decoder and gatherer, in all, and in all in
//! stages (closed and partial buckets through the bytes of their messages). tests/instructions.rs holds them against their limits.

#![allow(clippy::disallowed_methods)] // the shared stopwatch, which is not used here, reads the clock

#[allow(dead_code)] // other benchmarks use more of it
mod common;

use common::{
    EVENTS_A_BUCKET, SPEED_JOBS, decode, detect, feed_file_of_pace, gather, job_with, stages,
};
use std::path::Path;
use std::process::{Command, exit};

/// Buckets of the shorter run and of the longer one. Each needs a few events more: they close its last bucket.
const BUCKETS: [usize; 2] = [2, 5];

fn main() {
    // Cargo adds `--bench`.
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    match args.first().map(String::as_str) {
        Some("work") => work(&args[1..]),
        _ => table(&args),
    }
}

/// What is counted: `work JOB decode|gather|detect|stages FILE`.
fn work(args: &[String]) {
    let [letter, what, file] = args else {
        panic!(
            "expected a job's letter, decode, gather, detect or stages, and a file; got {args:?}"
        );
    };
    let (_, detectors, influencers) = SPEED_JOBS
        .into_iter()
        .find(|job| letter_of(job.0) == letter)
        .expect("a job of this letter");
    let job = job_with("bench", detectors, influencers, "events");
    match what.as_str() {
        "decode" => decode(&job, Path::new(file)),
        "gather" => gather(&job, Path::new(file)),
        "detect" => detect(&job, Path::new(file)),
        _ => {
            let (documents, bytes) = stages(&job, Path::new(file));
            eprintln!("{bytes} bytes of closed buckets");
            documents
        }
    };
}

fn table(wanted: &[String]) {
    let feeds = BUCKETS.map(|buckets| {
        let events = buckets * EVENTS_A_BUCKET;
        let (path, _) = feed_file_of_pace(events);
        (path, events as u64)
    });
    for (name, _, _) in SPEED_JOBS {
        let letter = letter_of(name);
        if !wanted.is_empty() && !wanted.iter().any(|one| one == letter) {
            continue;
        }
        let each = ["decode", "gather", "detect", "stages"].map(|what| {
            let [few, many] = [0, 1].map(|at| instructions(letter, what, &feeds[at].0));
            many.saturating_sub(few) as f64 / (feeds[1].1 - feeds[0].1) as f64
        });
        println!(
            "{letter} {}",
            each.map(|count| format!("{count:.0}")).join(" ")
        );
    }
    for (path, _) in feeds {
        std::fs::remove_file(path).expect("the file is ours");
    }
}

/// `(a) count` is `a`.
fn letter_of(name: &'static str) -> &'static str {
    &name[1..2]
}

/// What callgrind counts of this program doing one piece of work.
fn instructions(letter: &str, what: &str, file: &Path) -> u64 {
    let program = std::env::current_exe().expect("this program is a file");
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["work", letter, what])
        .arg(file)
        .output();
    let run = match run {
        Ok(run) => run,
        Err(error) => {
            eprintln!(
                "valgrind, which counts the instructions, cannot be started ({error}); apt-get install valgrind"
            );
            exit(1);
        }
    };
    let told = String::from_utf8_lossy(&run.stderr);
    let collected = told
        .lines()
        .find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    match collected.filter(|_| run.status.success()) {
        Some(count) => count,
        None => {
            eprintln!("valgrind did not count job {letter}, {what}: {told}");
            exit(1);
        }
    }
}
