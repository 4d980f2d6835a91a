//! What every model must hold, whatever it is inside: one suite behind the trait [`Model`], for each kind of feature that the functions give
//! and for kinds of series from constant to absurd.
//!
//! A check is a function of the model's type; `contract!` runs them all for one type. A failure names the series, the kind and the bucket.

mod values;

use std::fmt::Debug;
use tidewatch::config::{Family, Function, Side};
use tidewatch::engine::model::{Kind, Law, Model, Room, Sample, Verdict};
use tidewatch::time::{BucketSpan, EventTime};
use values::{Draw, Values};

/// A Monday.
const START_MS: i64 = 1_704_067_200_000;
/// Spans, seconds: from the shortest to a week.
const SPANS_S: [i64; 4] = [1, 300, 3_600, 604_800];
const USUAL_SPAN_S: [i64; 1] = [300];
/// Values of a life: long enough for every part of a model to have spoken.
const LIFE: usize = 90;
/// What one series may hold, mature, with day and week.
const BYTES_MOST: usize = 6 * 1024;
const MEASUREMENTS: u64 = 20;
const LN_USUAL: f64 = -2.995_732_273_553_991; // ln 0.05
/// Beyond this size values need not be told apart.
const VALUE_MOST: f64 = 1e30;
/// Tails next to each other may be computed in different ways.
const SEAM: f64 = 1e-9;

macro_rules! contract {
    ($name:ident: $model:ty: $($check:ident),+ $(,)?) => {
        mod $name {
            $(#[test] fn $check() { super::$check::<$model>(); })+
        }
    };
}

contract!(series_model: tidewatch::engine::model::SeriesModel:
    every_verdict_says_what_verdicts_may_say,
    judging_changes_nothing_and_is_the_same_twice,
    a_life_through_snapshots_is_the_same_life,
    the_same_values_in_the_same_order_give_the_same_bytes,
    a_stranger_is_never_likelier,
    the_side_that_does_not_count_has_probability_one,
    bounds_are_finite_and_hold_what_is_typical,
    what_was_never_below_zero_is_not_expected_there,
    fewer_measurements_never_make_a_mean_or_a_variance_less_likely,
    memory_is_bounded,
    without_room_no_byte_is_taken_and_learning_goes_on,
    what_repeats_becomes_normal,
    a_lasting_shift_of_level_is_accepted_within_twenty_buckets,
    a_spike_after_a_calm_day_is_unusual,
);

/// Every kind of feature that the functions give, at these spans.
fn kinds(spans: &[i64]) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = Vec::new();
    for function in Function::names().filter_map(Function::from_name) {
        let family = function.family;
        // When and where have models of their own: tests/functions.rs.
        if family.is_habit() {
            continue;
        }
        // `metric` is a mean, a minimum and a maximum.
        let shapes = match family {
            Family::Metric => vec![
                (Side::Both, Law::Average),
                (Side::Low, Law::Least),
                (Side::High, Law::Greatest),
            ],
            Family::Mean | Family::Median => vec![(function.side, Law::Average)],
            Family::Varp => vec![(function.side, Law::Variance)],
            Family::Min => vec![(function.side, Law::Least)],
            Family::Max => vec![(function.side, Law::Greatest)],
            _ => vec![(function.side, Law::Plain)],
        };
        for (side, law) in shapes {
            for &seconds in spans {
                let kind = Kind {
                    side,
                    counting: family.is_counting(),
                    law,
                    joined: family.is_counting(),
                    span: BucketSpan::from_seconds(seconds).expect("a span"),
                };
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
        }
    }
    assert_eq!(
        kinds.len(),
        14 * spans.len(),
        "three sides of counts, averages, variances and others, and the extremes"
    );
    kinds
}

/// A model and the next bucket of its series.
#[derive(Clone)]
struct Life<M> {
    model: M,
    kind: Kind,
    bucket: i64,
    room: Room,
}

impl<M: Model + Debug> Life<M> {
    fn new(kind: &Kind) -> Life<M> {
        Life {
            model: M::new(),
            kind: *kind,
            bucket: 0,
            room: Room::unlimited(),
        }
    }

    fn after(kind: &Kind, values: &[f64]) -> Life<M> {
        let mut life = Life::new(kind);
        life.live_all(values);
        life
    }

    fn live_all(&mut self, values: &[f64]) {
        for &x in values {
            self.live(x);
        }
    }

    /// The sample of the next bucket.
    fn sample(&self, value: f64) -> Sample {
        let span = self.kind.span.millis();
        let measurements = if self.kind.counting {
            value as u64
        } else {
            MEASUREMENTS
        };
        Sample {
            at: EventTime(START_MS + span * self.bucket + span / 2),
            value,
            measurements,
        }
    }

    fn judge(&self, value: f64) -> Option<Verdict> {
        self.model.judge(&self.kind, &self.sample(value))
    }

    /// Judges the next bucket's value, then learns it.
    fn live(&mut self, value: f64) -> Option<Verdict> {
        let (sample, verdict) = (self.sample(value), self.judge(value));
        self.model
            .learn(&self.kind, &sample, verdict.as_ref(), &mut self.room);
        self.bucket += 1;
        verdict
    }

    fn ln_probability(&self, value: f64) -> f64 {
        self.model.ln_probability(&self.kind, &self.sample(value))
    }

    fn bounds(&self, value: f64) -> (f64, f64) {
        let sample = self.sample(value);
        let typical = self.typical();
        self.model.bounds(&self.kind, &sample, typical)
    }

    fn typical(&self) -> f64 {
        let at = self.sample(0.0).at;
        self.model
            .expected(&self.kind, at)
            .expect("something was learned")
    }

    fn bytes(&self) -> Vec<u8> {
        bytes(&self.model)
    }
}

fn bytes<M: Model>(model: &M) -> Vec<u8> {
    postcard::to_stdvec(model).expect("a model can be written")
}

/// Calls `check` with every kind at these spans and every series of `n` values; says which it was when the check fails.
fn every_case(spans: &[i64], n: usize, check: impl Fn(&Kind, &[f64])) {
    for kind in kinds(spans) {
        for series in &values::ALL {
            let _named = Named(series.name, kind);
            check(&kind, &series.of(&kind, n));
        }
    }
}

/// Tells of the case that a check failed in.
struct Named(&'static str, Kind);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the series was: {}, of {:?}", self.0, self.1);
        }
    }
}

fn every_verdict_says_what_verdicts_may_say<M: Model + Debug>() {
    every_case(&SPANS_S, LIFE, |kind, values| {
        let mut life = Life::<M>::new(kind);
        assert_eq!(life.model.expected(kind, EventTime(START_MS)), None);
        for (at, &x) in values.iter().enumerate() {
            let sample = life.sample(x);
            let expected = life.model.expected(kind, sample.at);
            let Some(verdict) = life.live(x) else {
                assert_eq!(at, 0, "only the first value has no verdict");
                continue;
            };
            assert!(at > 0, "there is nothing to judge the first value by");
            let ln_ps = [
                verdict.ln_probability,
                verdict.ln_single,
                verdict.ln_multi.unwrap_or(0.0),
            ];
            assert!(
                ln_ps.iter().all(|ln_p| *ln_p <= 0.0),
                "bucket {at}, {x:e}: {verdict:?}"
            );
            for nats in [verdict.evidence, verdict.raw_evidence] {
                assert!(
                    nats.is_finite() && nats >= 0.0,
                    "bucket {at}, {x:e}: {verdict:?}"
                );
            }
            assert!(
                verdict.typical.is_finite()
                    && verdict.anomaly_error.is_finite()
                    && verdict.anomaly_nats.is_finite(),
                "bucket {at}, {x:e}: {verdict:?}"
            );
            assert_eq!(
                expected,
                Some(verdict.typical),
                "bucket {at}: what is expected is what is typical"
            );
            assert_eq!(verdict.history, at as u32);
            assert!(!kind.counting || verdict.typical >= 0.0);
        }
    });
}

fn judging_changes_nothing_and_is_the_same_twice<M: Model + Debug>() {
    every_case(&USUAL_SPAN_S, LIFE, |kind, values| {
        let mut life = Life::<M>::new(kind);
        for (at, &x) in values.iter().enumerate() {
            if at % 13 == 0 {
                let before = life.bytes();
                let first = life.judge(x);
                let _ = (
                    life.judge(-x),
                    life.judge(2.0 * x + 1.0),
                    life.ln_probability(x + 1.0),
                );
                if at > 0 {
                    let _ = life.bounds(x);
                }
                assert_eq!(first, life.judge(x), "bucket {at}");
                assert_eq!(before, life.bytes(), "bucket {at}");
            }
            life.live(x);
        }
    });
}

fn a_life_through_snapshots_is_the_same_life<M: Model + Debug>() {
    every_case(&SPANS_S, LIFE, |kind, values| {
        let (mut life, mut twin) = (Life::<M>::new(kind), Life::<M>::new(kind));
        for (at, &x) in values.iter().enumerate() {
            if [0, 1, 2, 9, 23, 24, 25, 26, 60, 100].contains(&at) {
                let written = twin.bytes();
                let restored: M =
                    postcard::from_bytes(&written).expect("what was written can be read");
                assert_eq!(restored, twin.model, "bucket {at}");
                assert_eq!(
                    bytes(&restored),
                    written,
                    "bucket {at}: equal state, equal bytes"
                );
                assert_eq!(
                    restored.memory_bytes(),
                    life.model.memory_bytes(),
                    "bucket {at}"
                );
                twin.model = restored;
            }
            let (here, there) = (life.live(x), twin.live(x));
            assert_eq!(
                format!("{here:?}"),
                format!("{there:?}"),
                "bucket {at}, to the bit"
            );
        }
        assert_eq!(life.bytes(), twin.bytes());
    });
}

fn the_same_values_in_the_same_order_give_the_same_bytes<M: Model + Debug>() {
    every_case(&USUAL_SPAN_S, LIFE, |kind, values| {
        let (one, other) = (
            Life::<M>::after(kind, values),
            Life::<M>::after(kind, values),
        );
        assert_eq!(one.bytes(), other.bytes());
        assert_eq!(one.model.memory_bytes(), other.model.memory_bytes());
    });
}

/// Values from far below to far above what is typical, in order; whole numbers where the series has only those.
fn ladder<M: Model + Debug>(life: &Life<M>, whole: bool) -> Vec<f64> {
    let typical = life.typical();
    let (low, high) = life.bounds(typical);
    let unit = ((high - low) / 4.0)
        .max(1e-9 * typical.abs())
        .max(f64::MIN_POSITIVE);
    let steps = (0..60).map(|step| unit * 0.1 * 1.35f64.powi(step));
    let mut ladder: Vec<f64> = steps
        .flat_map(|step| [typical - step, typical + step])
        .collect();
    ladder.push(typical);
    if whole {
        ladder.iter_mut().for_each(|x| *x = x.round());
    }
    ladder.retain(|x| !life.kind.counting || *x >= 0.0);
    ladder.sort_by(f64::total_cmp);
    ladder.dedup();
    ladder
}

fn a_stranger_is_never_likelier<M: Model + Debug>() {
    every_case(&USUAL_SPAN_S, LIFE, |kind, values| {
        let life = Life::<M>::after(kind, values);
        let ladder = ladder(&life, values.iter().all(|x| x.fract() == 0.0));
        let ln_ps: Vec<f64> = ladder.iter().map(|&x| life.ln_probability(x)).collect();
        let (most, _) = ln_ps
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(b.1))
            .expect("a ladder");
        // From the likeliest value down on both sides.
        let nearer_further = |at: usize| {
            if at < most {
                (at + 1, at)
            } else {
                (at, at + 1)
            }
        };
        for (near, far) in (0..ladder.len() - 1).map(nearer_further) {
            assert!(
                ln_ps[far] <= ln_ps[near] + SEAM * ln_ps[near].abs().max(1.0),
                "typical {:e}: {:e} has ln p {}, {:e} has {}",
                life.typical(),
                ladder[near],
                ln_ps[near],
                ladder[far],
                ln_ps[far]
            );
        }
        let (low, high) = life.bounds(life.typical());
        let ends = [ladder[0], ladder[ladder.len() - 1]];
        for end in ends.iter().filter(|end| end.abs() < VALUE_MOST) {
            let far = match kind.side {
                Side::Both => *end < low || *end > high,
                Side::High => *end > high,
                Side::Low => *end < low,
            };
            assert!(
                !far || life.ln_probability(*end) < -2.5,
                "{end:e} is far out of {low:e} to {high:e}"
            );
        }
    });
}

fn the_side_that_does_not_count_has_probability_one<M: Model + Debug>() {
    every_case(&SPANS_S, LIFE, |kind, values| {
        let away = match kind.side {
            Side::Both => return,
            Side::High => -1.0,
            Side::Low => 1.0,
        };
        let mut life = Life::<M>::new(kind);
        for (at, &x) in values.iter().enumerate() {
            if at > 0 && at % 7 == 0 {
                let typical = life.typical();
                let (low, high) = life.bounds(typical);
                for widths in [0.0, 0.5, 3.0, 1e3] {
                    let other = typical + away * widths * (high - low);
                    let other = if kind.counting {
                        other.max(0.0).floor()
                    } else {
                        other
                    };
                    if away * (other - typical) < 0.0 || other.abs() > VALUE_MOST {
                        continue;
                    }
                    let ln_p = life.ln_probability(other);
                    // The median is not quite what is typical.
                    let least = if widths == 0.0 { -0.7 } else { 0.0 };
                    assert!(
                        ln_p >= least,
                        "bucket {at}: {other:e} where {typical:e} is typical has ln p {ln_p}"
                    );
                    let verdict = life.judge(other).expect("something was learned");
                    if widths > 0.0 {
                        assert_eq!(
                            verdict.ln_single, 0.0,
                            "bucket {at}: {other:e} where {typical:e} is typical"
                        );
                        assert_eq!(
                            verdict.ln_multi.unwrap_or(0.0),
                            0.0,
                            "bucket {at}: {other:e}, {typical:e} typical"
                        );
                        assert_eq!(
                            verdict.ln_probability, 0.0,
                            "bucket {at}: {other:e}, {typical:e} typical: {verdict:?}"
                        );
                    }
                }
            }
            life.live(x);
        }
    });
}

fn bounds_are_finite_and_hold_what_is_typical<M: Model + Debug>() {
    every_case(&SPANS_S, LIFE, |kind, values| {
        let mut life = Life::<M>::new(kind);
        for (at, &x) in values.iter().enumerate() {
            if at > 0 && (at < 4 || at % 29 == 0) {
                let (typical, (low, high)) = (life.typical(), life.bounds(x));
                assert!(
                    low.is_finite() && high.is_finite(),
                    "bucket {at}: {low:e} to {high:e}"
                );
                assert!(
                    low <= typical && typical <= high,
                    "bucket {at}: {typical:e} in {low:e} to {high:e}"
                );
                assert!(
                    !kind.counting || low >= 0.0,
                    "bucket {at}: a count of {low:e}"
                );
            }
            life.live(x);
        }
    });
}

/// Bytes of a shop's customers: bursts by day, next to nothing at night, and no value below zero.
fn what_was_never_below_zero_is_not_expected_there<M: Model + Debug>() {
    const BUCKETS: i64 = 14 * 96;
    for kind in kinds(&[900]).iter().filter(|kind| kind.law == Law::Plain) {
        for seed in 1..4 {
            let (mut life, mut draw) = (Life::<M>::new(kind), Draw::new(seed));
            for bucket in 0..BUCKETS {
                let day = (std::f64::consts::TAU * bucket as f64 / 96.0).sin();
                let comes = draw.unit() < 0.5 + 0.4 * day;
                let burst = 9_000.0 * (1.1 + day) * draw.normal().exp();
                let x = if comes { burst.round() } else { 0.0 };
                if bucket > 0 {
                    let (typical, (low, _)) = (life.typical(), life.bounds(x));
                    let at = format!("{kind:?}, seed {seed}, bucket {bucket}");
                    assert!(typical >= 0.0 && low >= 0.0, "{at}: {typical}, from {low}");
                }
                life.live(x);
            }
        }
    }
}

fn fewer_measurements_never_make_a_mean_or_a_variance_less_likely<M: Model + Debug>() {
    every_case(&USUAL_SPAN_S, LIFE, |kind, values| {
        let life = Life::<M>::after(kind, values);
        let (low, high) = life.bounds(life.typical());
        for x in [low - (high - low), high + (high - low)] {
            let with = |measurements: u64| {
                let sample = Sample {
                    measurements,
                    ..life.sample(x)
                };
                life.model.ln_probability(kind, &sample)
            };
            let (few, usual) = (with(1), with(MEASUREMENTS));
            let few_are_no_less_likely = few >= usual - SEAM * usual.abs().max(1.0);
            match kind.law {
                // The greatest of one is as far out as a greater one of twenty.
                Law::Least | Law::Greatest => continue,
                Law::Average | Law::Variance => assert!(
                    few_are_no_less_likely,
                    "{x:e}: {few} of one, {usual} of twenty"
                ),
                Law::Plain | Law::Sum => assert!(few == usual, "not made of measurements"),
            }
        }
    });
}

/// What far-out days of a month or a year may take, which are looked for from the third week on.
const DAYS_BYTES_MOST: usize = 1_600;

fn memory_is_bounded<M: Model + Debug>() {
    every_case(&SPANS_S, LIFE, |kind, values| {
        let mut life = Life::<M>::new(kind);
        for &x in values {
            life.live(x);
            assert!(
                life.model.memory_bytes() <= BYTES_MOST,
                "{} bytes",
                life.model.memory_bytes()
            );
        }
    });
    // The whole of a life is long: those that have the most parts.
    for (kind, name) in [
        (0, "heavy tails"),
        (1, "seasonal"),
        (2, "sparse"),
        (3, "extremes"),
    ] {
        let kind = kinds(&[300, 3_600, 86_400])[5 * kind];
        let mut life = Life::<M>::new(&kind);
        let mut at_3_000 = 0;
        for (at, x) in Values::named(name)
            .of(&kind, 10_000)
            .into_iter()
            .enumerate()
        {
            life.live(x);
            if at == 3_000 {
                at_3_000 = life.model.memory_bytes();
            }
        }
        let grown = life.model.memory_bytes();
        assert!(
            grown <= at_3_000 + DAYS_BYTES_MOST && grown <= BYTES_MOST,
            "{name}, {kind:?}: {at_3_000} bytes, then {grown}"
        );
    }
}

fn without_room_no_byte_is_taken_and_learning_goes_on<M: Model + Debug>() {
    every_case(&SPANS_S, LIFE, |kind, values| {
        // Room ends at different ages; what was granted is all that the model has grown by.
        for (at_age, bytes) in [(0, 0), (3, 0), (30, 0), (200, 0), (0, 1000), (20, 2000)] {
            let mut life = Life::<M>::new(kind);
            let mut kept = 0;
            for (age, &x) in values.iter().take(400).enumerate() {
                if age == at_age {
                    kept = life.model.memory_bytes();
                    life.room = Room::of(bytes);
                }
                life.live(x);
                let now = life.model.memory_bytes();
                assert!(
                    age < at_age || now <= kept + bytes as usize,
                    "{kept} bytes and {bytes}, then {now}"
                );
            }
        }
    });
    // A level is learnt and a spike noticed in the room of a newborn.
    for kind in kinds(&USUAL_SPAN_S) {
        let mut life = Life::<M>::new(&kind);
        life.room = Room::of(0);
        life.live_all(&calm(&kind, 300, 5));
        let (usual, unusual) = (100.0, 100.0 + 100.0 * toward(&kind));
        let usual = life.judge(usual).expect("known");
        let unusual = life.judge(unusual.max(0.0)).expect("known");
        assert!((usual.typical - 100.0).abs() < 10.0, "{kind:?}: {usual:?}");
        assert!(
            usual.evidence < 1.0 && unusual.evidence > 3.0 && unusual.ln_probability < -7.0,
            "{kind:?}: {usual:?}, {unusual:?}"
        );
    }
}

/// Calm values for a kind: around 100, deviation 5.
fn calm(kind: &Kind, n: usize, seed: u64) -> Vec<f64> {
    let mut draw = Draw::new(seed);
    let one = |_| 100.0 + 5.0 * draw.normal();
    (0..n)
        .map(one)
        .map(|x: f64| if kind.counting { x.round() } else { x })
        .collect()
}

/// The side of a kind that a disturbance is to be on.
fn toward(kind: &Kind) -> f64 {
    if kind.side == Side::Low { -1.0 } else { 1.0 }
}

fn what_repeats_becomes_normal<M: Model + Debug>() {
    for kind in kinds(&SPANS_S) {
        let mut life = Life::<M>::after(&kind, &calm(&kind, 200, 1));
        let mut spikes = Vec::new();
        for round in 0..10 {
            spikes.push(
                life.live(100.0 + 60.0 * toward(&kind))
                    .expect("a long history"),
            );
            life.live_all(&calm(&kind, 30, 100 + round));
        }
        let (first, tenth) = (&spikes[0], &spikes[9]);
        assert!(
            tenth.raw_evidence < first.raw_evidence && tenth.evidence < first.evidence,
            "{kind:?}: evidence {} then {}",
            first.raw_evidence,
            tenth.raw_evidence
        );
    }
}

fn a_lasting_shift_of_level_is_accepted_within_twenty_buckets<M: Model + Debug>() {
    for kind in kinds(&SPANS_S) {
        for (history, by) in [(60, 40.0), (300, 40.0), (300, 80.0)] {
            let mut life = Life::<M>::after(&kind, &calm(&kind, history, 2));
            let shifted = calm(&kind, 60, 3);
            let ln_ps: Vec<f64> = shifted
                .into_iter()
                .map(|x| {
                    life.live(x + by * toward(&kind))
                        .expect("a long history")
                        .ln_single
                })
                .collect();
            assert!(
                ln_ps[0] < LN_USUAL,
                "{kind:?}: the first is unusual: {}",
                ln_ps[0]
            );
            let settled = ln_ps
                .windows(5)
                .position(|five| five.iter().filter(|ln_p| **ln_p > LN_USUAL).count() >= 4);
            assert!(
                settled.is_some_and(|at| at <= 20),
                "{kind:?}, {by} after {history}: settled at {settled:?}: {ln_ps:.1?}"
            );
        }
    }
}

fn a_spike_after_a_calm_day_is_unusual<M: Model + Debug>() {
    for kind in kinds(&SPANS_S) {
        let life = Life::<M>::after(&kind, &calm(&kind, 288, 4));
        let verdict = life
            .judge(100.0 + 80.0 * toward(&kind))
            .expect("a long history");
        assert!(
            verdict.ln_probability < -6.0 && verdict.evidence >= 2.0,
            "{kind:?}: {verdict:?}"
        );
        let usual = life.judge(100.0).expect("a long history");
        assert!(usual.ln_probability > -1.0, "{kind:?}: {usual:?}");
    }
}
