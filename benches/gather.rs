//! Events per second of the gatherer alone, decoding excluded: `cargo bench --bench gather [-- [CASE...] [EVENTS]]`.
//!
//! A fixed number of events and no warm-up logic, so that `valgrind --tool=callgrind` on the binary with one CASE gives instructions per
//! event by division. Times are those of one thread.

#![allow(clippy::disallowed_methods)] // a benchmark reads the clock

#[allow(dead_code)] // the tests use more of it
#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::time::Instant;
use support::{Owned, Split, job};
use tidewatch::engine::gatherer::{Gatherer, Input};
use tidewatch::time::Finality;

const EVENTS: usize = 2_000_000;
const HOSTS: usize = 1_000;
/// Event time between two events; with buckets of 10 s, 10,000 events a bucket.
const STEP_MS: i64 = 1;

struct Case {
    name: &'static str,
    detectors: &'static [Split<'static>],
    influencers: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        name: "count",
        detectors: &[("count", "", "", "", false)],
        influencers: &[],
    },
    Case {
        name: "mean_by_host",
        detectors: &[("mean", "value", "host", "", false)],
        influencers: &[],
    },
    Case {
        name: "mean_by_host_influenced",
        detectors: &[("mean", "value", "host", "", false)],
        influencers: &["host", "service"],
    },
    Case {
        name: "median_by_host_partition_service",
        detectors: &[("median", "value", "host", "service", false)],
        influencers: &[],
    },
];

fn main() {
    // Cargo adds `--bench`; a number says how many events, any other argument names a case to run.
    let (mut events, mut wanted) = (EVENTS, Vec::new());
    for arg in std::env::args().skip(1).filter(|arg| !arg.starts_with('-')) {
        match arg.parse() {
            Ok(number) => events = number,
            Err(_) => wanted.push(arg),
        }
    }
    for case in CASES {
        if wanted.is_empty() || wanted.iter().any(|name| name == case.name) {
            run(case, events);
        }
    }
}

fn run(case: &Case, count: usize) {
    let mut events: Vec<Owned> = (0..HOSTS)
        .map(|i| {
            let (host, service) = (
                format!("web-{i:04}.example.net"),
                format!("service-{}", i % 16),
            );
            Owned::new(0, &host, &service, "user", i as f64 * 1.7 + 0.25)
        })
        .collect();
    let mut gatherer = Gatherer::new(job(0, false, case.detectors, case.influencers));
    let mut outputs = 0;
    let start = Instant::now();
    for i in 0..count {
        // Hosts in a scattered but repeatable order: 389 and 1,000 have no common divisor.
        let event = &mut events[i * 389 % HOSTS];
        event.time_ms = i as i64 * STEP_MS;
        outputs += black_box(gatherer.handle(Input::Event(&event.event()))).len();
    }
    outputs += gatherer.handle(Input::Flush(Finality::Final)).len();
    let seconds = start.elapsed().as_secs_f64();
    let (rate, each) = (count as f64 / seconds, seconds * 1e9 / count as f64);
    println!(
        "{:34} {rate:>12.0} events/s {each:>8.1} ns/event {outputs:>6} outputs",
        case.name
    );
}
