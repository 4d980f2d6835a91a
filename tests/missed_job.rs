//! A job that does not run: every night at two some hundred events more, for weeks, and one night none of them.
//!
//! The worlds: counts in buckets of five minutes, with a job beside events that come evenly or by waves of the day. How many events the job makes varies by
//! more than Poisson's law says. Held against the same lives without that night: alarms in vain.

#[path = "support/counts.rs"]
mod counts;

use counts::{CRITICAL, Chance};
use std::f64::consts::TAU;
use tidewatch::config::Side;

const MINUTES: i64 = 5;
const A_DAY: usize = 1_440 / MINUTES as usize;
const DAYS: usize = 35;
const SEEDS: u64 = 10;
/// The job's bucket of the day, and the one of the night that it does not run.
const AT: usize = 120 / MINUTES as usize;
const MISSED: usize = (DAYS - 2) * A_DAY + AT;

/// Events around a mean that varies itself: by one in so many.
fn uneven(chance: &mut Chance, mean: f64, shape: u32) -> f64 {
    let mean = mean * chance.gamma(shape);
    chance.poisson(mean)
}

/// Events of a bucket beside the job's, and those of the job.
struct World {
    name: &'static str,
    beside: fn(&mut Chance, usize) -> f64,
    job: fn(&mut Chance) -> f64,
}

const WORLDS: [World; 2] = [
    World {
        name: "evenly",
        beside: |chance, _| chance.poisson(20.0 / 12.0),
        job: |chance| uneven(chance, 400.0, 100),
    },
    World {
        name: "waves",
        beside: |chance, bucket| {
            let day = (bucket % A_DAY) as f64 / A_DAY as f64;
            let wave = 1.0 + 0.6 * ((day - 0.375) * TAU).sin();
            uneven(chance, 100.0 / 12.0 * wave, 20)
        },
        job: |chance| uneven(chance, 400.0, 100),
    },
];

/// The evidence of each bucket of a life in which the job always runs, or is missed once.
fn evidence(world: &World, side: Side, seed: u64, misses: bool) -> Vec<f64> {
    let mut chance = Chance::new(seed);
    let values = (0..DAYS * A_DAY).map(|bucket| {
        let beside = (world.beside)(&mut chance, bucket);
        let of_job = if bucket % A_DAY == AT {
            (world.job)(&mut chance)
        } else {
            0.0
        };
        let is_missed = misses && bucket == MISSED;
        beside + if is_missed { 0.0 } else { of_job }
    });
    counts::evidence(side, MINUTES, values)
}

#[test]
fn a_nightly_job_that_does_not_run_is_critical_in_its_bucket() {
    for world in &WORLDS {
        // Where both sides count, a wave of the day has its own alarms that silence the like of them, and the tail has more to be forgiven.
        for (side, least) in [(Side::Low, 7), (Side::Both, 5)] {
            let (mut found, mut alarms) = (0, 0);
            for seed in 0..SEEDS {
                let told = evidence(world, side, seed, true);
                found += usize::from(told[MISSED] >= CRITICAL);
                let calm = evidence(world, side, seed, false);
                alarms += calm[calm.len() / 4..]
                    .iter()
                    .filter(|nats| **nats >= CRITICAL)
                    .count();
            }
            let buckets = SEEDS as usize * DAYS * A_DAY * 3 / 4;
            let rate = 1_000.0 * alarms as f64 / buckets as f64;
            println!(
                "{}, {side:?}: {found} of {SEEDS}; without, {rate:.3} critical buckets in a thousand",
                world.name
            );
            assert!(
                found >= least,
                "{} {side:?}: {found} of {SEEDS}",
                world.name
            );
            assert!(rate < 0.2, "{} {side:?}: {rate} in a thousand", world.name);
        }
    }
}
