//! A series of few events: most buckets are empty, and a run of empty ones shows no rate of nothing.
//!
//! The worlds: one event an hour or two in buckets of five minutes, an office in buckets of an hour, and a tenth of an event a bucket; with days and weekends, and counts that
//! vary as Poisson's do. Of what is told of them the truth is known: how often, and how far, chance alone brings it.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::f64::consts::TAU;
use tidewatch::config::Side;
use tidewatch::engine::model::{Kind, Law, Model, Room, Sample, SeriesModel, Verdict};
use tidewatch::time::{BucketSpan, EventTime};

/// Monday, 2 March 2026, in days since the epoch.
const MONDAY: i64 = 20_514;
const DAY_S: i64 = 86_400;
const SEEDS: u64 = 20;
/// Evidence of a score of 75.
const CRITICAL: f64 = 3.0;

/// A world: its buckets, how many days of them, and the events expected of a bucket at an hour of a workday or of a weekend.
struct World {
    span_s: i64,
    days: i64,
    mean: fn(hour: f64, weekend: bool) -> f64,
}

fn wave(hour: f64) -> f64 {
    1.0 + 0.6 * ((hour / 24.0 - 0.375) * TAU).sin()
}

/// Every twentieth hour of a night has an event, and every hour of work one or none or two.
const OFFICE: World = World {
    span_s: 3_600,
    days: 42,
    mean: |hour, weekend| match (weekend, (8.0..18.0).contains(&hour)) {
        (true, _) => 0.02,
        (false, true) => 1.0,
        (false, false) => 0.05,
    },
};
/// Nights with an event a week, and days of five an hour: an hour of the week is without any once in a hundred times.
const NIGHTS: World = World {
    span_s: 3_600,
    days: 42,
    mean: |hour, _| match (7.0..22.0).contains(&hour) {
        true => 5.0,
        false => 0.1,
    },
};
const A_FIFTH: World = World {
    span_s: 300,
    days: 10,
    mean: |hour, weekend| 0.2 * wave(hour) * if weekend { 0.5 } else { 1.0 },
};
const A_TENTH: World = World {
    span_s: 300,
    days: 14,
    mean: |hour, weekend| 0.1 * wave(hour) * if weekend { 0.3 } else { 1.0 },
};
const EVEN: World = World {
    span_s: 300,
    days: 14,
    mean: |_, _| 0.1,
};

impl World {
    /// What is said of each bucket: its day, its value, and the verdict.
    fn live(&self, seed: u64, mut told: impl FnMut(i64, f64, &Verdict)) {
        let kind = Kind {
            side: Side::Both,
            counting: true,
            law: Law::Plain,
            joined: false,
            span: BucketSpan::from_seconds(self.span_s).expect("a span"),
        };
        let (mut model, mut random) = (SeriesModel::new(), ChaCha8Rng::seed_from_u64(seed));
        let mut uniform = || (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let a_day = DAY_S / self.span_s;
        for bucket in 0..self.days * a_day {
            let (day, of_day) = (bucket / a_day, bucket % a_day);
            let hour = (of_day as f64 + 0.5) / a_day as f64 * 24.0;
            let (mut value, mut left) = (0.0, uniform().ln() + (self.mean)(hour, day % 7 >= 5));
            while left >= 0.0 {
                value += 1.0;
                left += uniform().ln();
            }
            let sample = Sample {
                at: EventTime(((MONDAY * a_day + bucket) * 2 + 1) * self.span_s * 500),
                value,
                measurements: value as u64,
            };
            let verdict = model.judge(&kind, &sample);
            if let Some(verdict) = &verdict {
                told(day, value, verdict);
            }
            let room = &mut Room::unlimited();
            model.learn(&kind, &sample, verdict.as_ref(), room);
        }
    }
}

#[test]
fn a_run_of_empty_buckets_is_no_proof_that_nothing_comes() {
    let (mut least, mut least_ln) = (f64::INFINITY, 0.0f64);
    for seed in 0..SEEDS {
        A_FIFTH.live(seed, |day, _, verdict| {
            if day > 0 && verdict.typical > 0.0 {
                least = least.min(verdict.typical);
            }
            if day > 0 {
                least_ln = least_ln.min(verdict.ln_probability);
            }
        });
    }
    assert!(
        least > 1e-5,
        "{least:e} events expected where .04 are the least"
    );
    // Of 50,000 buckets; one in a billion was heard of.
    assert!(least_ln > -16.1, "{least_ln}");
}

/// Of an hour of the week that was seen twice, and was empty, a quarter of an event is expected (Jeffreys' half, over two): it was almost none, and what came then had a
/// chance of one in a million million once in a few weeks.
#[test]
fn an_hour_that_was_seen_empty_is_as_likely_to_have_events_as_it_says() {
    for (name, world) in [("office", OFFICE), ("nights", NIGHTS)] {
        let (mut judged, mut below, mut least) = (0.0, [0.0; 2], 0.0f64);
        for seed in 0..SEEDS {
            world.live(seed, |day, _, verdict| {
                if day < 2 {
                    return;
                }
                judged += 1.0;
                for (level, below) in [1e-3f64, 1e-4].iter().zip(&mut below) {
                    *below += f64::from(u8::from(verdict.ln_probability < level.ln()));
                }
                least = least.min(verdict.ln_probability);
            });
        }
        let [thousand, ten_thousand] = [1e3 * below[0] / judged, 1e4 * below[1] / judged];
        assert!(
            thousand < 1.5 && ten_thousand < 2.5,
            "{name}: p < .001 {thousand} times as often as it says, p < .0001 {ten_thousand} times"
        );
        // Of 19,200 buckets.
        assert!(least > -16.1, "{name}: ln p {least}");
    }
}

/// An empty bucket where a tenth of an event is usual tells nothing, after a busy hour or on a calm Saturday.
#[test]
fn an_empty_bucket_where_few_events_are_usual_is_no_incident() {
    for (name, world) in [("even", EVEN), ("days", A_TENTH)] {
        let (mut buckets, mut critical, mut silent) = (0.0, 0.0, 0.0);
        for seed in 0..SEEDS {
            world.live(seed, |_, value, verdict| {
                buckets += 1.0;
                if verdict.evidence >= CRITICAL {
                    critical += 1.0;
                    silent += f64::from(u8::from(value == 0.0));
                }
            });
        }
        let [critical, silent] = [critical, silent].map(|count| 1e3 * count / buckets);
        assert!(
            critical < 0.2 && silent < 0.15,
            "{name}: of 1,000 buckets {critical} are critical, {silent} of them empty"
        );
    }
}
