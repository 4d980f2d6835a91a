//! Means of few measurements, of values whose logarithms are normal: sizes of answers, times they took. Each bucket holds as many as come.
//!
//! The world: five minutes a bucket, measurements that come as Poisson's do, two or four in a bucket; buckets without any are none.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::f64::consts::TAU;
use tidewatch::config::Side;
use tidewatch::engine::model::{Kind, Law, Model, Room, Sample, SeriesModel};
use tidewatch::time::{BucketSpan, EventTime};

const SPAN_SECONDS: u32 = 300;
const BUCKETS: i64 = 2500;
const WARM_UP: i64 = 500;
const SEEDS: u64 = 12;
const LEVELS: [f64; 3] = [0.1, 0.01, 0.001];

/// Buckets judged, how many of them had a lesser p than each level, and how many were critical by themselves.
#[derive(Debug, Default)]
struct Tally {
    judged: f64,
    below: [f64; LEVELS.len()],
    critical: f64,
}

fn lives(spread: f64, usual: f64) -> Tally {
    let kind = Kind {
        side: Side::High,
        counting: false,
        law: Law::Average,
        joined: false,
        span: BucketSpan::from_seconds(SPAN_SECONDS.into()).expect("a span"),
    };
    let mut tally = Tally::default();
    for seed in 0..SEEDS {
        let (mut model, mut random) = (SeriesModel::new(), ChaCha8Rng::seed_from_u64(seed));
        let mut uniform = || ((random.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        for bucket in 0..BUCKETS {
            let (mut measurements, mut left) = (0, uniform().ln() + usual);
            while left >= 0.0 {
                measurements += 1;
                left += uniform().ln();
            }
            if measurements == 0 {
                continue;
            }
            let mut normal = || (-2.0 * uniform().ln()).sqrt() * (TAU * uniform()).cos();
            let sum: f64 = (0..measurements)
                .map(|_| (8.0 + spread * normal()).exp())
                .sum();
            let sample = Sample {
                at: EventTime((2 * bucket + 1) * i64::from(SPAN_SECONDS) * 500),
                value: sum / f64::from(measurements),
                measurements: measurements as u64,
            };
            let verdict = model.judge(&kind, &sample);
            if let Some(verdict) = verdict.as_ref().filter(|_| bucket >= WARM_UP) {
                tally.judged += 1.0;
                for (level, below) in LEVELS.iter().zip(&mut tally.below) {
                    *below += f64::from(u8::from(verdict.ln_probability < level.ln()));
                }
                tally.critical += f64::from(u8::from(verdict.evidence >= 3.0));
            }
            model.learn(&kind, &sample, verdict.as_ref(), &mut Room::unlimited());
        }
    }
    tally
}

#[test]
fn a_mean_of_few_is_as_likely_as_it_says() {
    for spread in [0.5, 1.0, 1.5] {
        for usual in [2.0, 4.0] {
            let tally = lives(spread, usual);
            let shares = tally.below.map(|below| below / tally.judged);
            // Skewed means are told from above more often than from below, so that of large p there are fewer.
            for (share, level) in shares.iter().zip(LEVELS) {
                assert!(
                    *share < 2.0 * level,
                    "{spread}, {usual} a bucket: p < {level} in {share}"
                );
            }
            let critical = 1000.0 * tally.critical / tally.judged;
            assert!(
                critical < 0.5,
                "{spread}, {usual} a bucket: {critical} in 1,000"
            );
        }
    }
}
