//! Gauges of whole numbers that hardly ever move: replicas, nodes, licences. One step is an incident there, and one that comes every few hours hardly ever is.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tidewatch::config::Side;
use tidewatch::engine::model::{Kind, Law, Model, Room, Sample, SeriesModel};
use tidewatch::time::{BucketSpan, EventTime};

/// Evidence of a score of 75.
const CRITICAL: f64 = 3.0;
const DAY: i64 = 288;

/// Buckets of five minutes, each judged and then learnt: the evidence of each.
fn evidence(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let kind = Kind {
        side: Side::Both,
        counting: false,
        law: Law::Average,
        joined: false,
        span: BucketSpan::from_seconds(300).expect("a span"),
    };
    let mut model = SeriesModel::new();
    let span = kind.span.millis();
    let judged = values.into_iter().zip(0..).map(|(value, bucket)| {
        let sample = Sample {
            at: EventTime(bucket * span + span / 2),
            value,
            measurements: 1,
        };
        let verdict = model.judge(&kind, &sample);
        model.learn(&kind, &sample, verdict.as_ref(), &mut Room::unlimited());
        verdict.map_or(0.0, |verdict| verdict.evidence)
    });
    judged.collect()
}

#[test]
fn one_replica_less_for_half_an_hour_is_critical_after_two_weeks_without_a_change() {
    for usual in [1.0, 5.0, 100.0] {
        let weeks = 14 * DAY;
        let value = |bucket| {
            if (weeks..weeks + 6).contains(&bucket) {
                usual - 1.0
            } else {
                usual
            }
        };
        let evidence = evidence((0..weeks + DAY).map(value));
        let (before, after) = evidence.split_at(weeks as usize);
        assert!(
            before.iter().all(|nats| *nats < 1.0),
            "{usual}: nothing happened"
        );
        let most = after[..6].iter().copied().fold(0.0, f64::max);
        assert!(most >= CRITICAL, "{usual}: {:?}", &after[..6]);
        let late = after[12..].iter().copied().fold(0.0, f64::max);
        assert!(late < CRITICAL, "{usual}: over since half an hour, {late}");
    }
}

#[test]
fn a_step_that_comes_every_few_hours_is_hardly_ever_an_alarm() {
    let (mut alarms, mut buckets) = (0, 0);
    for seed in 0..20 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut left = 0;
        let values = (0..28 * DAY).map(|_| {
            let unit = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
            if left == 0 && unit < 0.02 {
                left = 1 + (unit * 200.0) as i32;
            }
            left = (left - 1).max(0);
            if left > 0 { 4.0 } else { 5.0 }
        });
        let values: Vec<f64> = values.collect();
        let told = evidence(values.iter().copied());
        let second_half = told.iter().zip(&values).skip(values.len() / 2);
        alarms += second_half
            .filter(|(nats, value)| **nats >= CRITICAL && **value < 5.0)
            .count();
        buckets += values.len() / 2;
    }
    let rate = 1_000.0 * alarms as f64 / buckets as f64;
    println!("{alarms} alarms in {buckets} buckets: {rate:.3} in a thousand");
    // Of the model by itself; the history of a job holds half of them down.
    assert!(rate < 0.5, "{rate} in a thousand");
}
