//! What Tidewatch costs on a real Apache Kafka, exactly once: `cargo bench --bench kafka [-- EVENTS [ROUNDS]] [PARTS]`.
//!
//! ```text
//!  ratio      the service beside a bare consumer of the same fields
//!  several    two jobs on one topic against one job
//!  stages     in stages through topics against fused in one task
//!  instances  one, two and four instances on eight partitions
//!  live       from the event that closes a bucket to its committed result
//!  lag        memory while ten million messages are worked off
//! ```
//!
//! All parts unless some are named. The events are a day of a web shop, uncompressed, on a broker that this starts. Processor time is that of
//! this process with all of librdkafka's threads, without the broker, which shares the machine's cores: the ratio to quote is the processor's.
//! Figures are medians over the rounds, ratios too: each round gives its own, of neighbours in time; "of rounds" is the least and the greatest.

#![allow(missing_docs, unreachable_pub)] // of the broker, which tests share
#![allow(clippy::disallowed_methods)] // a benchmark reads the clock

#[allow(dead_code)] // other benchmarks use more of it
#[path = "../common/mod.rs"]
mod common;
mod lag;
mod live;
mod ratio;
mod several;
mod stages;
mod world;

const EVENTS: usize = 2_000_000;
const ROUNDS: usize = 3;
const LAG: usize = 10_000_000;
const LIVE_S: i64 = 60;
/// The feed in one partition.
const TOPIC: &str = "events";

fn main() {
    // Cargo adds `--bench`.
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    let mut numbers = args.iter().filter_map(|arg| arg.parse::<usize>().ok());
    let events = numbers.next().unwrap_or(EVENTS);
    let rounds = numbers.next().unwrap_or(ROUNDS).max(1);
    let named: Vec<&str> = args
        .iter()
        .map(String::as_str)
        .filter(|arg| arg.parse::<usize>().is_err())
        .collect();
    let wanted = |part: &str| named.is_empty() || named.contains(&part);
    if ["ratio", "several", "stages"].into_iter().any(wanted) {
        let bytes = world::fill(TOPIC, 1, events, |_| 0);
        println!(
            "{events} events of {bytes} bytes over a day, buckets of 5 minutes, {rounds} rounds\n"
        );
    }
    let parts: [(&str, &dyn Fn()); 6] = [
        ("ratio", &|| ratio::print(events, rounds)),
        ("several", &|| several::print(events, rounds)),
        ("stages", &|| stages::print(events, rounds)),
        ("instances", &|| stages::instances(events, rounds)),
        ("live", &|| live::print(LIVE_S)),
        ("lag", &|| lag::print(LAG)),
    ];
    for (name, print) in parts {
        if wanted(name) {
            print();
            println!();
        }
    }
}
