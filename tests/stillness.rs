//! A gauge that keeps too still: a sensor that is stuck but for its rounding, a cache of stale answers, a load that is no longer there. No value of it is unusual.
//!
//! The worlds: noise, noise with a memory, and a day, in buckets of one and five minutes, of which the spread falls to a tenth; and the same undisturbed, with calm nights, with an hour of
//! unrest, and gauges of whole numbers.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::f64::consts::TAU;
use tidewatch::config::Side;
use tidewatch::engine::model::{Kind, Law, Model, Room, Sample, SeriesModel};
use tidewatch::time::{BucketSpan, EventTime};

const SEEDS: u64 = 8;
/// Evidence of a score of 75.
const CRITICAL: f64 = 3.0;
const DAY: usize = 288;

fn normal(random: &mut ChaCha8Rng) -> f64 {
    let mut uniform = || ((random.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    (-2.0 * uniform().ln()).sqrt() * (TAU * uniform()).cos()
}

/// Values around 57: of so much memory a bucket, around a day of so much to either side, with a spread at each bucket.
fn gauge(
    seed: u64,
    buckets: usize,
    memory: f64,
    day: f64,
    spread: impl Fn(usize) -> f64,
) -> Vec<f64> {
    let (mut random, mut held) = (ChaCha8Rng::seed_from_u64(seed), 0.0);
    let value = |bucket| {
        held = memory * held + (1.0 - memory * memory).sqrt() * normal(&mut random);
        let of_day = (bucket % DAY) as f64 / DAY as f64;
        57.0 + day * (of_day * TAU).sin() + spread(bucket) * held
    };
    (0..buckets).map(value).collect()
}

/// The evidence of each bucket of five minutes.
fn evidence(side: Side, values: &[f64]) -> Vec<f64> {
    let kind = Kind {
        side,
        counting: false,
        law: Law::Average,
        joined: false,
        span: BucketSpan::from_seconds(300).expect("a span"),
    };
    let mut model = SeriesModel::new();
    let span = kind.span.millis();
    let judged = values.iter().zip(0..).map(|(value, bucket)| {
        let sample = Sample {
            at: EventTime(bucket * span + span / 2),
            value: *value,
            measurements: 1,
        };
        let verdict = model.judge(&kind, &sample);
        model.learn(&kind, &sample, verdict.as_ref(), &mut Room::unlimited());
        verdict.map_or(0.0, |verdict| verdict.evidence)
    });
    judged.collect()
}

/// Critical buckets in a thousand after the first three days, of all seeds.
fn alarms(side: Side, lives: impl Fn(u64) -> Vec<f64>) -> f64 {
    let (mut alarms, mut buckets) = (0, 0);
    for seed in 0..SEEDS {
        let told = evidence(side, &lives(seed));
        let later = &told[3 * DAY..];
        alarms += later.iter().filter(|nats| **nats >= CRITICAL).count();
        buckets += later.len();
    }
    1_000.0 * alarms as f64 / buckets as f64
}

#[test]
fn a_spread_that_falls_to_a_tenth_is_critical_within_hours() {
    let falls = 14 * DAY + 100;
    // A day that goes up and down moves by itself.
    for (memory, day, within) in [(0.0, 0.0, 30), (0.8, 0.0, 30), (0.7, 10.0, 60)] {
        let found = (0..SEEDS).filter(|seed| {
            let spread = |bucket| if bucket < falls { 4.0 } else { 0.4 };
            let told = evidence(
                Side::Both,
                &gauge(*seed, falls + within, memory, day, spread),
            );
            told[falls..].iter().any(|nats| *nats >= CRITICAL)
        });
        let found = found.count();
        println!("{memory} {day}: {found} of {SEEDS} within {within}");
        assert!(found >= 7, "{memory} {day}: {found} of {SEEDS}");
    }
}

#[test]
fn a_gauge_that_is_stuck_is_critical_within_two_hours() {
    let sticks = 14 * DAY + 100;
    let found = (0..SEEDS).filter(|seed| {
        let mut values = gauge(*seed, sticks + 30, 0.8, 0.0, |_| 4.0);
        let last = values[sticks - 1];
        values[sticks..].fill(last);
        let told = evidence(Side::Both, &values);
        told[sticks..].iter().any(|nats| *nats >= CRITICAL)
    });
    let found = found.count();
    assert!(found >= 7, "{found} of {SEEDS}");
}

#[test]
fn what_is_calm_at_night_or_after_unrest_or_seldom_moves_is_hardly_ever_an_alarm() {
    let days = 21 * DAY;
    let nights = |bucket: usize| if bucket % DAY < 96 { 0.8 } else { 4.0 };
    let unrest = |bucket: usize| if bucket / 36 % 40 == 39 { 16.0 } else { 4.0 };
    let plain = alarms(Side::Both, |seed| gauge(seed, days, 0.8, 0.0, |_| 4.0));
    let of_a_day = alarms(Side::Both, |seed| gauge(seed, days, 0.7, 40.0, |_| 5.0));
    let nights = alarms(Side::Both, |seed| gauge(seed, days, 0.5, 0.0, nights));
    let whole = alarms(Side::Both, |seed| {
        let values = gauge(seed, days, 0.99, 0.0, |_| 1.0);
        values.into_iter().map(f64::round).collect()
    });
    println!("{plain:.2} {of_a_day:.2} {nights:.2} {whole:.2} in a thousand");
    assert!(plain < 0.3 && of_a_day < 0.3 && nights < 0.3);
    // That is what steps of whole numbers are told for.
    assert!(whole < 0.7);
    // After an hour of unrest the usual is no stillness: the unrest itself may be told of.
    for seed in 0..SEEDS {
        let told = evidence(Side::Both, &gauge(seed, days, 0.5, 0.0, unrest));
        let calm = told.iter().enumerate().skip(3 * DAY);
        let calm = calm.filter(|(bucket, nats)| bucket / 36 % 40 != 39 && **nats >= CRITICAL);
        assert!(calm.count() <= 2, "seed {seed}");
    }
}

/// Each value of a run is usual by itself; it is the run that is not, and that is over with it. An alarm that went down at each of them would come and go.
#[test]
fn what_is_stuck_stays_an_alarm_while_it_is_stuck_and_no_longer() {
    let (stuck, ends) = (14 * DAY + 100, 14 * DAY + 160);
    let (mut up, mut buckets, mut after) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut values = gauge(seed, ends + 12, 0.5, 0.0, |_| 1.0);
        values[stuck..ends].fill(57.7);
        let told = evidence(Side::Both, &values);
        let first = (stuck..ends).find(|bucket| told[*bucket] >= CRITICAL);
        let first = first.unwrap_or_else(|| panic!("seed {seed}: not found"));
        up += (first..ends).filter(|bucket| told[*bucket] > 1.0).count();
        buckets += ends - first;
        after += (ends..ends + 12)
            .filter(|bucket| told[*bucket] >= CRITICAL)
            .count();
    }
    println!("up for {up} of {buckets} buckets; {after} after");
    assert!(10 * up >= 9 * buckets, "up for {up} of {buckets}");
    assert!(after <= SEEDS as usize, "{after} after it");
}
