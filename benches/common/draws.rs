//! Seeded draws, series made of them, and a model that lives through one: for benchmarks of the models.
//!
//! A draw is SplitMix64 (Steele, Lea, Flood 2014), turned into a distribution by its textbook definition, so that nothing of what is tested makes the
//! test data. Buckets are judged first and learnt second, as in the engine.

#![allow(dead_code)] // Each benchmark takes what it needs.

use tidewatch::config::Side;
use tidewatch::engine::model::{Kind, Law, Model, Room, Sample, SeriesModel, Verdict};
use tidewatch::time::{BucketSpan, EventTime};

/// A Monday, 2024-01-01T00:00:00Z.
const START_MS: i64 = 1_704_067_200_000;
/// Evidence of an alarm: a score of 75.
pub(crate) const ALARM: f64 = 3.0;
/// An alarm silences so many buckets after it.
const QUIET_BUCKETS: usize = 24;
/// Measurements in a bucket of averages.
const MEASUREMENTS: u64 = 50;

/// A seeded source of draws.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64, stream: u64) -> Draw {
        let mut draw = Draw(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ (stream << 32));
        for _ in 0..3 {
            draw.word();
        }
        draw
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut h = self.0;
        h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        h ^ (h >> 31)
    }

    /// Uniform, 0 and 1 excluded.
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.word() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// Box and Muller 1958.
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Arrivals within `mean` units of a clock that ticks exponentially.
    pub(crate) fn poisson(&mut self, mean: f64) -> f64 {
        let (mut clock, mut arrivals) = (-self.unit().ln(), 0.0);
        while clock < mean {
            clock -= self.unit().ln();
            arrivals += 1.0;
        }
        arrivals
    }
}

/// A model fed bucket after bucket.
pub(crate) struct Life {
    model: SeriesModel,
    kind: Kind,
    bucket: i64,
}

impl Life {
    pub(crate) fn new(seconds: i64, counting: bool) -> Life {
        let span = BucketSpan::from_seconds(seconds).expect("a span of sensible length");
        let law = if counting { Law::Plain } else { Law::Average };
        let side = Side::Both;
        let kind = Kind {
            side,
            counting,
            law,
            joined: false,
            span,
        };
        Life {
            model: SeriesModel::new(),
            kind,
            bucket: 0,
        }
    }

    /// Judges the next bucket's value, then learns it.
    pub(crate) fn live(&mut self, value: f64) -> Option<Verdict> {
        let span = self.kind.span.millis();
        let sample = Sample {
            at: EventTime(START_MS + span * self.bucket + span / 2),
            value,
            measurements: if self.kind.counting {
                value as u64
            } else {
                MEASUREMENTS
            },
        };
        let verdict = self.model.judge(&self.kind, &sample);
        self.model.learn(
            &self.kind,
            &sample,
            verdict.as_ref(),
            &mut Room::unlimited(),
        );
        self.bucket += 1;
        verdict
    }
}

/// Normal with this factor on the last value; mean 0, deviation 1.
pub(crate) fn autoregressive(draw: &mut Draw, factor: f64, n: usize) -> Vec<f64> {
    let (mut z, fresh) = (draw.normal(), (1.0 - factor * factor).sqrt());
    let step = |_| {
        z = factor * z + fresh * draw.normal();
        z
    };
    (0..n).map(step).collect()
}

pub(crate) fn each(n: usize, one: impl FnMut(usize) -> f64) -> Vec<f64> {
    (0..n).map(one).collect()
}

/// Student-t with three degrees of freedom.
pub(crate) fn student(draw: &mut Draw) -> f64 {
    let chi_square: f64 = (0..3).map(|_| draw.normal().powi(2)).sum();
    draw.normal() / (chi_square / 3.0).sqrt()
}

/// Alarms at `nats` a life, each silencing what follows.
pub(crate) fn alarms(evidence: &[f64], nats: f64) -> usize {
    let (mut alarms, mut from) = (0, 0);
    for (at, &one) in evidence.iter().enumerate() {
        if one >= nats && at >= from {
            alarms += 1;
            from = at + 1 + QUIET_BUCKETS;
        }
    }
    alarms
}
