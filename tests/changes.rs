//! What models notice about their series, in worlds whose changes are known.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tidewatch::config::Side;
use tidewatch::engine::model::{Change, Kind, Law, Model, Noticed, Room, Sample, SeriesModel};
use tidewatch::time::{BucketSpan, EventTime};

const HOUR_MS: i64 = 3_600_000;

struct World {
    kind: Kind,
    model: SeriesModel,
    random: ChaCha8Rng,
    bucket: i64,
    noticed: Vec<(i64, Noticed)>,
}

impl World {
    fn new(seed: u64, minutes: i64) -> World {
        let kind = Kind {
            side: Side::Both,
            counting: false,
            law: Law::Plain,
            joined: false,
            span: BucketSpan::from_seconds(60 * minutes).expect("a span"),
        };
        World {
            kind,
            model: SeriesModel::new(),
            random: ChaCha8Rng::seed_from_u64(seed),
            bucket: 0,
            noticed: Vec::new(),
        }
    }

    fn normal(&mut self) -> f64 {
        let mut uniform = || (self.random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        (0..12).map(|_| uniform()).sum::<f64>() - 6.0
    }

    fn at(&self) -> EventTime {
        let span = self.kind.span.millis();
        EventTime(self.bucket * span + span / 2)
    }

    /// Lives through so many buckets of `value(hours since the epoch, deviate)`.
    fn live(&mut self, buckets: i64, value: impl Fn(f64, f64) -> f64) {
        for _ in 0..buckets {
            let deviate = self.normal();
            let at = self.at();
            let sample = Sample {
                at,
                value: value(at.millis() as f64 / HOUR_MS as f64, deviate),
                measurements: 1,
            };
            let verdict = self.model.judge(&self.kind, &sample);
            let room = &mut Room::unlimited();
            let noticed = self
                .model
                .learn(&self.kind, &sample, verdict.as_ref(), room);
            self.noticed
                .extend(noticed.map(|noticed| (self.bucket, noticed)));
            self.bucket += 1;
        }
    }

    /// What was noticed from a bucket on, with the buckets that it took.
    fn since(&self, bucket: i64) -> Vec<(i64, Change)> {
        let late = self.noticed.iter().filter(|(at, _)| *at >= bucket);
        late.map(|(at, noticed)| (at - bucket, noticed.change))
            .collect()
    }
}

/// A day that is at 100 by night and has a morning and an evening of its own.
fn day(hour: f64) -> f64 {
    let hour = hour.rem_euclid(24.0);
    100.0 + 60.0 * (-(hour - 9.0).powi(2) / 4.0).exp() + 90.0 * (-(hour - 18.0).powi(2) / 8.0).exp()
}

#[test]
fn noise_that_stays_as_it_is_has_hardly_anything_to_notice() {
    let mut notes = Vec::new();
    for seed in 0..8 {
        let mut normal = World::new(seed, 5);
        normal.live(5_000, |_, deviate| 100.0 + deviate);
        let mut heavy = World::new(seed, 5);
        heavy.live(5_000, |_, deviate| (0.7 * deviate).exp());
        notes.extend(normal.noticed);
        notes.extend(heavy.noticed);
    }
    assert!(notes.len() <= 8, "in 80,000 buckets: {notes:?}");
}

#[test]
fn a_new_level_is_noticed_within_ten_buckets_and_says_from_where_to_where() {
    let mut world = World::new(1, 5);
    world.live(2_000, |_, deviate| 100.0 + deviate);
    let begun = world.bucket;
    world.live(50, |_, deviate| 130.0 + deviate);
    let notes = world.since(begun);
    let (after, change) = notes.first().expect("noticed");
    assert!(*after <= 10, "{notes:?}");
    let Change::Level { from, to } = change else {
        panic!("{notes:?}")
    };
    assert!(
        (from - 100.0).abs() < 6.0 && (to - 130.0).abs() < 2.0,
        "{notes:?}"
    );
    let since = world
        .noticed
        .iter()
        .find(|(at, _)| *at >= begun)
        .expect("noticed")
        .1
        .since;
    let first = begun * world.kind.span.millis() + world.kind.span.millis() / 2;
    assert!(since.millis() >= first && since.millis() < first + 5 * 300_000);
}

#[test]
fn a_daily_pattern_is_noticed_once_when_it_comes_and_once_when_it_goes() {
    let mut world = World::new(2, 15);
    world.live(96 * 14, |hour, deviate| day(hour) + 3.0 * deviate);
    let seasons = |world: &World, from| -> Vec<(i64, bool)> {
        let notes = world.since(from).into_iter();
        notes
            .filter_map(|(after, change)| match change {
                Change::Season(here) => Some((after, here)),
                _ => None,
            })
            .collect()
    };
    let come = seasons(&world, 0);
    assert!(
        come.len() == 1 && come[0].1 && come[0].0 < 96 * 5,
        "{:?}",
        world.noticed
    );
    let begun = world.bucket;
    world.live(96 * 10, |_, deviate| 130.0 + 3.0 * deviate);
    let gone = seasons(&world, begun);
    assert!(gone.len() == 1 && !gone[0].1, "{:?}", world.since(begun));
}

#[test]
fn days_that_begin_an_hour_later_are_noticed_within_two_days_and_expected_there() {
    for (seed, later) in [(3, 1.0), (4, -1.0)] {
        let mut world = World::new(seed, 15);
        world.live(96 * 28, |hour, deviate| day(hour) + 3.0 * deviate);
        let begun = world.bucket;
        world.live(96 * 3, |hour, deviate| day(hour - later) + 3.0 * deviate);
        let notes = world.since(begun);
        let clock = notes
            .iter()
            .find(|(_, change)| *change == Change::Clock(later as i8));
        assert!(
            clock.is_some_and(|(after, _)| *after <= 96 * 2),
            "{later}: {notes:?}"
        );
        let error = |hour: f64| {
            let at = EventTime(((world.bucket as f64 / 4.0 + hour) * HOUR_MS as f64) as i64);
            let expected = world.model.expected(&world.kind, at).expect("known");
            expected - day(at.millis() as f64 / HOUR_MS as f64 - later)
        };
        let mean: f64 = (0..24)
            .map(|hour| error(f64::from(hour)).abs())
            .sum::<f64>()
            / 24.0;
        assert!(mean < 8.0, "off by {mean} on average");
    }
}

#[test]
fn a_day_twice_as_high_is_a_new_scale_and_one_higher_by_as_much_everywhere_is_a_new_level() {
    let of = |seed, changed: fn(f64) -> f64| {
        let mut world = World::new(seed, 15);
        world.live(96 * 21, |hour, deviate| day(hour) + 2.0 * deviate);
        let begun = world.bucket;
        world.live(96 * 3, |hour, deviate| changed(day(hour)) + 2.0 * deviate);
        world.since(begun)
    };
    let scaled = of(5, |x| 2.0 * x);
    assert!(
        scaled.iter().any(
            |(_, change)| matches!(change, Change::Scale(factor) if (factor - 2.0).abs() < 0.2)
        ),
        "{scaled:?}"
    );
    let shifted = of(6, |x| x + 150.0);
    assert!(
        shifted
            .iter()
            .any(|(_, change)| matches!(change, Change::Level { from, to } if (to - from - 150.0).abs() < 20.0)),
        "{shifted:?}"
    );
}

#[test]
fn noise_of_another_size_is_noticed_and_the_bounds_follow() {
    for (seed, factor, within) in [(7, 3.0, 60), (8, 0.25, 600)] {
        let mut world = World::new(seed, 5);
        world.live(2_000, |_, deviate| 100.0 + deviate);
        let begun = world.bucket;
        world.live(2 * within, |_, deviate| 100.0 + factor * deviate);
        let notes = world.since(begun);
        let is_wider = factor > 1.0;
        assert!(
            notes.iter().any(|(after, change)| *after <= within
                && matches!(change, Change::Spread(by) if (*by > 1.0) == is_wider)),
            "{factor}: {notes:?}"
        );
        let sample = Sample {
            at: world.at(),
            value: 100.0,
            measurements: 1,
        };
        let (low, high) = world.model.bounds(&world.kind, &sample, 100.0);
        let width = (high - low) / (2.0 * 1.96);
        assert!(
            (width / factor).ln().abs() < 0.6,
            "{factor}: bounds as of a deviation of {width}"
        );
    }
}

#[test]
fn bursts_of_a_count_that_come_again_and_again_are_no_longer_beyond_belief() {
    let mut world = World::new(7, 5);
    world.kind.counting = true;
    // Two or so a bucket, and every fortieth begins a burst of four buckets.
    let bursts = |bucket: i64, deviate: f64| match bucket % 40 < 4 {
        true => (20.0 + 4.0 * deviate).max(8.0).round(),
        false => (2.0 + deviate).max(0.0).round(),
    };
    let mut beyond = [0, 0];
    for bucket in 0..4_000 {
        let deviate = world.normal();
        // Not at the same minutes of an hour, or it would be a rhythm.
        let value = bursts(bucket + bucket / 97 * 31, deviate);
        let sample = Sample {
            at: world.at(),
            value,
            measurements: value as u64,
        };
        let verdict = world.model.judge(&world.kind, &sample);
        let is_beyond = verdict.is_some_and(|one| one.ln_single < -14.0);
        beyond[usize::from(bucket >= 2_000)] += u32::from(is_beyond);
        let room = &mut Room::unlimited();
        world
            .model
            .learn(&world.kind, &sample, verdict.as_ref(), room);
        world.bucket += 1;
    }
    // Fifty bursts in each half.
    assert!(beyond[0] >= 2, "the first ones are: {beyond:?}");
    assert!(beyond[1] <= 2, "{beyond:?}");
}
