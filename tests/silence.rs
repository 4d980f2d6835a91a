//! A count that stops: a tenant, a host or a shop of which nothing comes any more. Each bucket without an event may be had by chance, and a run of them may not.
//!
//! The worlds: three to fifty events an hour, as Poisson's or more uneven, with days and weekends. After three weeks nothing comes for half a workday; and streams that stop and go by
//! themselves, of which a pause is nothing new.

#[path = "support/counts.rs"]
mod counts;

use counts::{CRITICAL, Chance};
use std::f64::consts::TAU;
use tidewatch::config::Side;

const SEEDS: u64 = 10;
/// Wednesday of the fourth week, ten o'clock.
const STOPS: usize = (21 + 2) * 24 + 10;

fn wave(hour: usize) -> f64 {
    let day = 1.0 + 0.6 * ((hour % 24) as f64 / 24.0 * TAU - 0.375 * TAU).sin();
    day * if hour / 24 % 7 >= 5 { 0.6 } else { 1.0 }
}

/// The evidence of each hour.
fn evidence(side: Side, values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    counts::evidence(side, 60, values)
}

#[test]
fn a_count_that_stops_is_critical_within_hours_however_few_came() {
    // Within twenty events that did not come, one hour at the least; of uneven ones, twice as many.
    for (mean, within, within_if_uneven) in [(3.0, 7, 10), (6.0, 4, 6), (12.0, 3, 4), (50.0, 2, 3)]
    {
        for side in [Side::Both, Side::Low] {
            for (shape, within) in [(None, within), (Some(20), within_if_uneven)] {
                let found = (0..SEEDS).filter(|seed| {
                    let mut chance = Chance::new(*seed);
                    let values = (0..STOPS + 12).map(|hour| {
                        let uneven = shape.map_or(1.0, |shape| chance.gamma(shape));
                        let value = chance.poisson(mean * wave(hour) * uneven);
                        if hour < STOPS { value } else { 0.0 }
                    });
                    let told = evidence(side, values.collect::<Vec<_>>());
                    told[STOPS..STOPS + within]
                        .iter()
                        .any(|nats| *nats >= CRITICAL)
                });
                let found = found.count();
                println!("{mean} an hour, {side:?}, {shape:?}: {found} of {SEEDS} within {within}");
                assert!(found >= 9, "{mean} {side:?} {shape:?}: {found} of {SEEDS}");
            }
        }
    }
}

#[test]
fn what_stops_and_goes_by_itself_is_hardly_ever_an_alarm_for_stopping() {
    let (mut alarms, mut buckets) = (0, 0);
    for seed in 0..2 * SEEDS {
        let mut chance = Chance::new(seed);
        let (mut goes, mut left) = (false, 0.0);
        let values = (0..56 * 24).map(|hour| {
            left -= 1.0;
            if left <= 0.0 {
                goes = !goes;
                left = 1.0 - if goes { 25.0 } else { 15.0 } * chance.uniform().ln();
            }
            match goes {
                true => chance.poisson(10.0 * wave(hour)),
                false => 0.0,
            }
        });
        let values: Vec<f64> = values.collect();
        let told = evidence(Side::Low, values.iter().copied());
        let later = told.iter().zip(&values).skip(values.len() / 4);
        alarms += later.filter(|(nats, _)| **nats >= CRITICAL).count();
        buckets += values.len() - values.len() / 4;
    }
    let rate = 1_000.0 * alarms as f64 / buckets as f64;
    println!("{alarms} alarms in {buckets} buckets: {rate:.3} in a thousand");
    assert!(rate < 0.5, "{rate} in a thousand");
}

#[test]
fn a_count_of_less_than_one_a_bucket_that_stops_is_critical_within_some_thirty_events_that_did_not_come()
 {
    const MINUTES: i64 = 5;
    let an_hour = 60 / MINUTES as usize;
    // Of a quarter an event a bucket the forecast follows a silence down before it has told enough: more than half of them are found.
    for (mean, hours, least) in [(3.0, 10, 5), (6.0, 5, 9), (12.0, 3, 9)] {
        for side in [Side::Both, Side::Low] {
            let mut loud = 0;
            let found = (0..SEEDS).filter(|seed| {
                let mut chance = Chance::new(*seed);
                let stops = STOPS * an_hour;
                let values = (0..stops + 12 * an_hour).map(|bucket| {
                    let value = chance.poisson(mean * wave(bucket / an_hour) / an_hour as f64);
                    if bucket < stops { value } else { 0.0 }
                });
                let told = counts::evidence(side, MINUTES, values.collect::<Vec<_>>());
                loud += told[stops / 2..stops]
                    .iter()
                    .filter(|nats| **nats >= CRITICAL)
                    .count();
                let silent = &told[stops..stops + hours * an_hour];
                silent.iter().any(|nats| *nats >= CRITICAL)
            });
            let found = found.count();
            let rate = 1_000.0 * loud as f64 / (SEEDS as usize * STOPS * an_hour / 2) as f64;
            println!(
                "{mean} an hour in 5 min, {side:?}: {found} of {SEEDS} within {hours} h; before, {rate:.2} alarms in a thousand"
            );
            assert!(found >= least, "{mean} {side:?}: {found} of {SEEDS}");
            assert!(rate < 0.2, "{mean} {side:?}: {rate} in a thousand");
        }
    }
}
