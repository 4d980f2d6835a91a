//! A series of few events: most buckets are empty, and a run of empty ones shows no rate of nothing.
//!
//! The world: five minutes a bucket, one event an hour or two with a day and a weekend, counts that vary as Poisson's do.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::f64::consts::TAU;
use tidewatch::config::Side;
use tidewatch::engine::model::{Kind, Law, Model, Room, Sample, SeriesModel};
use tidewatch::time::{BucketSpan, EventTime};

const SPAN_SECONDS: u32 = 300;
const BUCKETS_A_DAY: i64 = 288;
/// Monday, 2 March 2026, in days since the epoch.
const MONDAY: i64 = 20_514;
const DAYS: i64 = 10;
const SEEDS: u64 = 20;

/// The least above nothing that was expected of a bucket after the first day, and the least ln p.
fn life(seed: u64) -> (f64, f64) {
    let kind = Kind {
        side: Side::Both,
        counting: true,
        law: Law::Plain,
        joined: true,
        span: BucketSpan::from_seconds(SPAN_SECONDS.into()).expect("a span"),
    };
    let (mut model, mut random) = (SeriesModel::new(), ChaCha8Rng::seed_from_u64(seed));
    let mut uniform = || (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let (mut least_expected, mut least_ln) = (f64::INFINITY, 0.0f64);
    for bucket in 0..DAYS * BUCKETS_A_DAY {
        let (day, of_day) = (bucket / BUCKETS_A_DAY, bucket % BUCKETS_A_DAY);
        let wave = 1.0 + 0.6 * ((of_day as f64 / BUCKETS_A_DAY as f64 - 0.375) * TAU).sin();
        let mean = 0.2 * wave * if day % 7 >= 5 { 0.5 } else { 1.0 };
        let (mut value, mut left) = (0.0, uniform().ln() + mean);
        while left >= 0.0 {
            value += 1.0;
            left += uniform().ln();
        }
        let sample = Sample {
            at: EventTime(
                ((MONDAY * BUCKETS_A_DAY + bucket) * 2 + 1) * i64::from(SPAN_SECONDS) * 500,
            ),
            value,
            measurements: 1,
        };
        let verdict = model.judge(&kind, &sample);
        if let Some(verdict) = verdict.as_ref().filter(|_| day > 0) {
            if verdict.typical > 0.0 {
                least_expected = least_expected.min(verdict.typical);
            }
            least_ln = least_ln.min(verdict.ln_probability);
        }
        model.learn(&kind, &sample, verdict.as_ref(), &mut Room::unlimited());
    }
    (least_expected, least_ln)
}

#[test]
fn a_run_of_empty_buckets_is_no_proof_that_nothing_comes() {
    let lives: Vec<(f64, f64)> = (0..SEEDS).map(life).collect();
    let least = lives.iter().map(|one| one.0).fold(f64::INFINITY, f64::min);
    assert!(
        least > 1e-5,
        "{least:e} events expected where .04 are the least"
    );
    // Of 50,000 buckets; one in a billion was heard of.
    let ln = lives.iter().map(|one| one.1).fold(0.0, f64::min);
    assert!(ln > -16.1, "{ln}");
}
