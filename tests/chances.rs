//! A chance that is told is no less than how often the like of the value came: of series whose outliers are their daily bread.
//!
//! The worlds are made of what their makers know: how often a value is out, and by how much. What a law says of such values is another matter; it stays as sharp as it was, for
//! a score asks for what is new.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tidewatch::config::Side;
use tidewatch::engine::model::{Kind, Law, Model, Room, Sample, SeriesModel, Verdict};
use tidewatch::time::{BucketSpan, EventTime};

const SEEDS: u64 = 10;
const BUCKETS: i64 = 4_000;
const WARM_UP: i64 = 1_000;

struct Draw(ChaCha8Rng);

impl Draw {
    fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }
}

/// Twelve means an hour, each judged and then learnt; what is thought of each after the warm-up.
fn verdicts(seed: u64, value: impl Fn(&mut Draw) -> f64) -> Vec<Verdict> {
    let kind = Kind {
        side: Side::Both,
        counting: false,
        law: Law::Average,
        joined: false,
        span: BucketSpan::from_seconds(300).expect("a span"),
    };
    let mut draw = Draw(ChaCha8Rng::seed_from_u64(seed));
    let mut model = SeriesModel::new();
    let mut told = Vec::new();
    for bucket in 0..BUCKETS {
        let span = kind.span.millis();
        let sample = Sample {
            at: EventTime(bucket * span + span / 2),
            value: value(&mut draw),
            measurements: 1,
        };
        let verdict = model.judge(&kind, &sample);
        model.learn(&kind, &sample, verdict.as_ref(), &mut Room::unlimited());
        told.extend(verdict.filter(|_| bucket >= WARM_UP));
    }
    told
}

/// How often p of the bucket alone was below .001, as a multiple of that.
fn times_too_often(value: impl Fn(&mut Draw) -> f64, ln_p: fn(&Verdict) -> f64) -> f64 {
    let told: Vec<f64> = (0..SEEDS)
        .flat_map(|seed| verdicts(seed, &value))
        .map(|verdict| ln_p(&verdict))
        .collect();
    let below = told.iter().filter(|ln_p| **ln_p < 0.001f64.ln()).count();
    1_000.0 * below as f64 / told.len() as f64
}

/// A disk that is idle but for one bucket in twelve, which writes as much as it writes.
fn disk(draw: &mut Draw) -> f64 {
    let idle = 100.0 + 5.0 * draw.normal();
    match draw.unit() < 1.0 / 12.0 {
        true => idle + 5_000.0 * (0.2 + draw.exponential()),
        false => idle,
    }
}

/// A latency of which one bucket in forty has a time-out of a second in it.
fn time_outs(draw: &mut Draw) -> f64 {
    let usual = 20.0 + draw.normal();
    match draw.unit() < 1.0 / 40.0 {
        true => usual + 1_000.0 * (0.5 + draw.unit()),
        false => usual,
    }
}

fn calm(draw: &mut Draw) -> f64 {
    100.0 + 5.0 * draw.normal()
}

#[test]
fn a_chance_is_no_less_than_how_often_the_like_of_it_came() {
    for (name, value) in [
        ("disk", disk as fn(&mut Draw) -> f64),
        ("time-outs", time_outs),
    ] {
        let told = times_too_often(value, |verdict| verdict.ln_single);
        let by_law = times_too_often(value, |verdict| verdict.ln_by_law);
        println!(
            "{name}: p < .001 comes {told:.2} times as often as it says; by its law {by_law:.1} times"
        );
        assert!(
            by_law > 10.0,
            "{name}: a world that its law knows shows nothing: {by_law}"
        );
        // How far a burst goes is known by an exponential of its nats, which bursts of an exponential size go beyond.
        assert!(told < 4.0, "{name}: {told}");
    }
}

#[test]
fn where_a_law_holds_its_chances_are_told() {
    let verdicts: Vec<Verdict> = (0..SEEDS).flat_map(|seed| verdicts(seed, calm)).collect();
    let changed = |one: &&Verdict| one.ln_single > one.ln_by_law + 0.5;
    let unlikely: Vec<&Verdict> = verdicts
        .iter()
        .filter(|one| one.ln_by_law < 0.01f64.ln())
        .collect();
    assert!(unlikely.len() > 100, "{}", unlikely.len());
    let changed = unlikely.iter().filter(|one| changed(one)).count();
    assert!(
        changed * 20 < unlikely.len(),
        "{changed} of {}",
        unlikely.len()
    );
}

#[test]
fn what_is_less_likely_by_its_law_is_never_told_likelier() {
    for seed in 0..SEEDS {
        let mut told: Vec<(f64, f64)> = verdicts(seed, disk)
            .iter()
            .rev()
            .take(50)
            .map(|verdict| (verdict.ln_by_law, verdict.ln_single))
            .collect();
        told.sort_by(|a, b| a.0.total_cmp(&b.0));
        // The tail moves a little from bucket to bucket: by less than a tenth of a nat.
        assert!(told.is_sorted_by(|a, b| a.1 <= b.1 + 0.1), "{told:?}");
    }
}
