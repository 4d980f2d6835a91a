//! Lives of counts: events drawn by chance, and what a series' model makes of them bucket by bucket.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tidewatch::config::Side;
use tidewatch::engine::model::{Kind, Law, Model, Room, Sample, SeriesModel};
use tidewatch::time::{BucketSpan, EventTime};

/// Evidence of a score of 75.
pub(crate) const CRITICAL: f64 = 3.0;
/// Monday, 2 March 2026, in minutes since the epoch: when every life begins.
const MONDAY: i64 = 20_514 * 1_440;

/// A stream of random numbers.
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Between 0 and 1, and neither.
    pub(crate) fn uniform(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    pub(crate) fn poisson(&mut self, mean: f64) -> f64 {
        let (mut events, mut left) = (0.0, mean + self.uniform().ln());
        while left >= 0.0 {
            events += 1.0;
            left += self.uniform().ln();
        }
        events
    }

    /// Around 1, with a variance of one in so many.
    pub(crate) fn gamma(&mut self, shape: u32) -> f64 {
        (0..shape).map(|_| -self.uniform().ln()).sum::<f64>() / f64::from(shape)
    }
}

/// The evidence of each bucket of so many minutes, judged and then learnt, of a life of these counts.
pub(crate) fn evidence(
    side: Side,
    minutes: i64,
    values: impl IntoIterator<Item = f64>,
) -> Vec<f64> {
    let kind = Kind {
        side,
        counting: true,
        law: Law::Plain,
        joined: false,
        span: BucketSpan::from_seconds(minutes * 60).expect("a span"),
    };
    let mut model = SeriesModel::new();
    let first = MONDAY / minutes;
    let judged = values.into_iter().zip(first..).map(|(value, bucket)| {
        let sample = Sample {
            at: EventTime((2 * bucket + 1) * minutes * 30_000),
            value,
            measurements: value as u64,
        };
        let verdict = model.judge(&kind, &sample);
        model.learn(&kind, &sample, verdict.as_ref(), &mut Room::unlimited());
        verdict.map_or(0.0, |verdict| verdict.evidence)
    });
    judged.collect()
}
