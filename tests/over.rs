//! What is over is over: a score answers "now", so a value that is back where it usually is is no alarm for what lies before it, and an alarm that goes on does not look over.
//!
//! The worlds: a gauge of whole numbers that steps aside every few hours, a ratio of errors among few requests, a nightly backup whose clock is put forward, and a constant that moves
//! for the first time. Of each bucket it is known whether its value is the usual one.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tidewatch::config::Side;
use tidewatch::engine::model::{Kind, Law, Model, Room, Sample, SeriesModel};
use tidewatch::time::{BucketSpan, EventTime};

const SEEDS: u64 = 20;
const DAY: usize = 288;
/// Buckets until a day and a week are known.
const WARM_UP: usize = 700;
/// Evidence of a score of 75.
const CRITICAL: f64 = 3.0;

struct Draw(ChaCha8Rng);

impl Draw {
    fn new(seed: u64) -> Draw {
        Draw(ChaCha8Rng::seed_from_u64(seed))
    }

    fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    fn poisson(&mut self, mean: f64) -> u64 {
        let (mut count, mut left) = (0, mean - self.exponential());
        while left >= 0.0 {
            count += 1;
            left -= self.exponential();
        }
        count
    }
}

/// Buckets of five minutes with so many measurements, each judged and then learnt: the evidence of each.
fn evidence(values: impl IntoIterator<Item = (f64, u64)>) -> Vec<f64> {
    let kind = Kind {
        side: Side::Both,
        counting: false,
        law: Law::Average,
        joined: false,
        span: BucketSpan::from_seconds(300).expect("a span"),
    };
    let mut model = SeriesModel::new();
    let span = kind.span.millis();
    let judged = values.into_iter().zip(0..).map(|((value, n), bucket)| {
        let sample = Sample {
            at: EventTime(bucket * span + span / 2),
            value,
            measurements: n,
        };
        let verdict = model.judge(&kind, &sample);
        model.learn(&kind, &sample, verdict.as_ref(), &mut Room::unlimited());
        verdict.map_or(0.0, |verdict| verdict.evidence)
    });
    judged.collect()
}

/// A gauge at `usual` that steps to one of `others` after so many buckets on average, for so many on average.
fn gauge(draw: &mut Draw, usual: f64, others: &[f64], [every, lasts]: [f64; 2]) -> Vec<f64> {
    let (mut left, mut value) = (0.0, usual);
    let step = |_| {
        left -= 1.0;
        if left < 0.0 && draw.unit() < 1.0 / every {
            left = lasts * draw.exponential();
            value = others[(draw.unit() * others.len() as f64) as usize];
        }
        if left < 0.0 { usual } else { value }
    };
    (0..28 * DAY).map(step).collect()
}

/// Of a thousand buckets after the warm-up with the usual value, how many are critical.
fn loud_at(usual: f64, lives: impl Iterator<Item = Vec<(f64, u64)>>) -> f64 {
    let (mut loud, mut buckets) = (0, 0);
    for life in lives {
        let told = evidence(life.iter().copied());
        let known = told.iter().zip(&life).skip(WARM_UP);
        let known = known.filter(|(_, (value, _))| *value == usual);
        for (nats, _) in known {
            buckets += 1;
            loud += usize::from(*nats >= CRITICAL);
        }
    }
    let rate = 1_000.0 * f64::from(loud as u32) / f64::from(buckets.max(1));
    println!("{loud} of {buckets} buckets at {usual}: {rate:.3} in a thousand");
    rate
}

#[test]
fn a_gauge_that_is_back_at_its_usual_value_is_hardly_ever_an_alarm() {
    let often = (0..SEEDS).map(|seed| {
        let life = gauge(&mut Draw::new(seed), 5.0, &[4.0], [50.0, 5.0]);
        life.into_iter().map(|value| (value, 1)).collect()
    });
    // .64 of the hour before it.
    let rate = loud_at(5.0, often);
    assert!(rate < 0.2, "every few hours: {rate} in a thousand");
    let both_ways = (0..SEEDS).map(|seed| {
        let life = gauge(
            &mut Draw::new(seed),
            10.0,
            &[8.0, 9.0, 11.0, 12.0],
            [250.0, 20.0],
        );
        life.into_iter().map(|value| (value, 1)).collect()
    });
    let rate = loud_at(10.0, both_ways);
    assert!(rate < 0.2, "once a day: {rate} in a thousand");
}

#[test]
fn no_error_after_no_errors_is_no_alarm() {
    let lives = (0..SEEDS).map(|seed| {
        let mut draw = Draw::new(seed);
        let bucket = |at: usize| {
            let hour = (at % DAY) as f64 / 12.0;
            let by_day = ((hour - 7.0) / 24.0 * std::f64::consts::TAU).sin().max(0.0);
            let requests = draw.poisson(3.0 + 20.0 * by_day).max(1);
            let errors = (0..requests).filter(|_| draw.unit() < 0.01).count();
            (errors as f64 / requests as f64, requests)
        };
        (0..28 * DAY).map(bucket).collect()
    });
    let rate = loud_at(0.0, lives);
    assert!(rate < 0.06, "{rate} in a thousand");
}

#[test]
fn a_backup_that_comes_an_hour_earlier_is_loud_for_no_more_than_two_nights() {
    const FORWARD: usize = 22;
    let (mut nights, mut late) = (0, 0);
    for seed in 0..SEEDS {
        let mut draw = Draw::new(seed);
        let bucket = |at: usize| {
            let hour = (at % DAY) as f64 / 12.0 + if at / DAY >= FORWARD { 1.0 } else { 0.0 };
            let backup = match (2.0..2.6).contains(&hour) {
                true => 180.0 + 12.0 * draw.normal(),
                false => 0.0,
            };
            let by_day = ((hour - 9.0) / 24.0 * std::f64::consts::TAU).sin();
            (12.0 + 6.0 * by_day + 3.0 * draw.normal().abs() + backup, 1)
        };
        let told = evidence((0..(FORWARD + 7) * DAY).map(bucket));
        for day in told.chunks(DAY).skip(FORWARD + 2) {
            nights += 1;
            late += usize::from(day.iter().any(|nats| *nats >= CRITICAL));
        }
    }
    println!("{late} of {nights} nights after the second");
    assert!(late * 20 <= nights, "{late} of {nights}");
}

#[test]
fn an_alarm_that_goes_on_does_not_look_over_before_it_is_loudest() {
    for usual in [3.0, 5.0, 10.0, 40.0] {
        for moves_after in [8 * DAY, 11 * DAY + 17, 19 * DAY + 203] {
            let value = |at| if at < moves_after { usual } else { usual - 1.0 };
            let told = evidence((0..moves_after + 8).map(|at| (value(at), 1)));
            let run = &told[moves_after..];
            let loudest =
                (0..run.len()).fold(0, |most, at| if run[at] > run[most] { at } else { most });
            assert!(run[loudest] >= CRITICAL, "{usual}: {run:?}");
            let least = run[..loudest].iter().copied().fold(f64::INFINITY, f64::min);
            assert!(least > 0.8 * run[0].min(CRITICAL), "{usual}: {run:?}");
        }
    }
}

#[test]
fn spikes_that_crowd_are_told_of_the_hour_that_is_over_and_of_no_later_bucket() {
    // One spike a day, and at last one every quarter of an hour: the last bucket of the hour is one of them.
    let hours = 24 * 20;
    let crowd = hours * 12..(hours + 1) * 12;
    let value = |at: usize| match crowd.contains(&at) {
        true => at % 3 == 2,
        false => at % DAY == 155,
    };
    let value = |at| if value(at) { 20.0 } else { 0.0 };
    let told = evidence((0..crowd.end + 12).map(|at| (value(at), 1)));
    let first = told[crowd.start..=crowd.end]
        .iter()
        .copied()
        .fold(0.0, f64::max);
    assert!(first >= CRITICAL, "{:?}", &told[crowd.clone()]);
    let later = told[crowd.end + 1..].iter().copied().fold(0.0, f64::max);
    assert!(later < CRITICAL, "{later}");
}
