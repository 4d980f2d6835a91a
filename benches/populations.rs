//! Populations and rarity in two simulated worlds: what is planted and found, false alarms, bytes. `cargo bench --bench populations [-- SEEDS]`
//!
//! Every figure is a function of the seeds.

#[allow(dead_code, missing_docs, unreachable_pub)]
#[path = "../tests/support/crowds.rs"]
mod crowds;
#[allow(missing_docs, unreachable_pub)]
#[path = "../tests/support/random.rs"]
mod random;

use crowds::{Clients, Hosts, find_bots, find_implants};

/// Score of an alarm.
const CRITICAL: f64 = 75.0;

fn main() {
    let seeds = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let seeds: u64 = seeds.unwrap_or(3);
    clients(seeds);
    hosts(seeds);
}

/// Ten bots among ten thousand clients.
fn clients(seeds: u64) {
    let detectors = [
        (
            "high_count over client",
            r#"[{"function": "high_count", "over_field_name": "who"}]"#,
        ),
        (
            "and high_distinct_count(page)",
            r#"[{"function": "high_count", "over_field_name": "who"},
                {"function": "high_distinct_count", "field_name": "what", "over_field_name": "who"}]"#,
        ),
    ];
    println!("10 bots among 10,000 clients, 2 days of 15 minutes, {seeds} seeds");
    for (name, detectors) in detectors {
        let (mut top, mut alarms, mut days, mut bytes) = (0, 0, 0, 0);
        for seed in 0..seeds {
            let world = Clients {
                clients: 10_000,
                bots: 10,
                days: 2,
                seed,
            };
            let (found, bots) = (find_bots(&world, detectors), world.planted());
            top += found
                .top(10)
                .iter()
                .filter(|&&one| bots.contains(one))
                .count();
            alarms += found.false_alarms;
            days += world.clients * world.days;
            bytes = found.model_bytes / found.members.max(1);
        }
        println!(
            "  {name:32} share in the top 10 influencers {:.2}; false alarms (75) per 1,000 member-days {:.3}; {bytes} bytes a member",
            top as f64 / (10 * seeds) as f64,
            1000.0 * alarms as f64 / days as f64,
        );
    }
}

/// Something new on one of two hundred hosts.
fn hosts(seeds: u64) {
    let detectors = [
        (
            "rare by process, a host a partition",
            r#"[{"function": "rare", "by_field_name": "what", "partition_field_name": "who"}]"#,
        ),
        (
            "rare by process over host",
            r#"[{"function": "rare", "by_field_name": "what", "over_field_name": "who"}]"#,
        ),
        (
            "freq_rare by process over host",
            r#"[{"function": "freq_rare", "by_field_name": "what", "over_field_name": "who"}]"#,
        ),
    ];
    println!(
        "20 new processes on 200 hosts, 14 days of 15 minutes, the second half, {seeds} seeds"
    );
    for (name, detectors) in detectors {
        let (mut told, mut critical, mut planted, mut alarms, mut days, mut bytes) =
            (0, 0, 0, 0, 0, 0);
        for seed in 0..seeds {
            let world = Hosts {
                hosts: 200,
                planted: 20,
                days: 14,
                seed,
            };
            let found = find_implants(&world, detectors);
            told += found.found.len();
            critical += found
                .found
                .iter()
                .filter(|&&score| score >= CRITICAL)
                .count();
            planted += world.planted().len();
            alarms += found.false_alarms;
            days += world.hosts * world.days;
            bytes = found.model_bytes / found.values.max(1);
        }
        println!(
            "  {name:36} told in their first bucket {:.2}, at 75 {:.2}; false alarms (75) per 1,000 series-days {:.3}; {bytes} bytes a value",
            told as f64 / planted as f64,
            critical as f64 / planted as f64,
            1000.0 * alarms as f64 / days as f64,
        );
    }
}
