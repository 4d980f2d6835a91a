//! The memory limit is a promise: what the judge counts is what its allocator gave, and no flood makes it more than the limit.

use proptest::prelude::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use tidewatch::config::Job;
use tidewatch::engine::feature::{Accumulator, Ground, Spot, Spots};
use tidewatch::engine::judge::{Input, Judge, Output, PartialBucket};
use tidewatch::engine::result::{DataCounts, MemoryStatus};
use tidewatch::engine::wire::{ClosedBucket, InputId, SeriesBucket, SeriesKey};
use tidewatch::numerics::ExactSum;
use tidewatch::time::{BucketStart, Finality};

thread_local! {
    static LIVE_BYTES: Cell<i64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: hands everything to the system's allocator; counting touches a plain thread-local cell, which does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.set(LIVE_BYTES.get() + layout.size() as i64);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE_BYTES.set(LIVE_BYTES.get() - layout.size() as i64);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE_BYTES.set(LIVE_BYTES.get() + size as i64 - layout.size() as i64);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const MIB: u64 = 1 << 20;

fn job(span: &str, detectors: &str, limit_bytes: u64) -> Arc<Job> {
    let text = format!(
        r#"{{"job_id": "m", "data_description": {{}}, "analysis_config": {{"bucket_span": "{span}", "detectors": {detectors}}}}}"#
    );
    let mut job = Job::from_value(&serde_json::from_str(&text).unwrap()).expect("a job");
    job.model_memory_limit_bytes = limit_bytes;
    Arc::new(job)
}

/// A job that looks for by values that go together.
fn multivariate(limit_bytes: u64) -> Arc<Job> {
    let mut job = Arc::unwrap_or_clone(job("1h", COUNT_BY_USER, limit_bytes));
    job.multivariate_by_fields = true;
    Arc::new(job)
}

/// A judge that is told of bucket after bucket.
struct Court {
    job: Arc<Job>,
    judge: Judge,
    at: i64,
}

impl Court {
    fn new(job: Arc<Job>) -> Court {
        let judge = Judge::new(job.clone(), 0, vec![InputId("in/0".to_owned())]);
        Court { job, judge, at: 0 }
    }

    /// The next bucket, with these series.
    fn hear(&mut self, mut series: Vec<SeriesBucket>) -> PartialBucket {
        series.sort_by(|a, b| (a.group, &a.key).cmp(&(b.group, &b.key)));
        let start = BucketStart(self.at * self.job.bucket_span.millis());
        self.at += 1;
        let from = InputId("in/0".to_owned());
        let bucket = ClosedBucket {
            start,
            finality: Finality::Final,
            event_count: 1 + series.len() as u64,
            counts: DataCounts::default(),
            series,
        };
        let until = self.job.bucket_span.end_of(start);
        let _ = self.judge.handle(Input::Closed {
            from: from.clone(),
            bucket,
        });
        let outputs = self.judge.handle(Input::Watermark { from, until });
        let mut partials = outputs.into_iter().filter_map(|output| match output {
            Output::Partial(partial) => Some(partial),
            _ => None,
        });
        let partial = partials.next().expect("one bucket is judged");
        assert!(
            partial.size.model_bytes <= self.job.model_memory_limit_bytes,
            "bucket {}: {:?}",
            self.at,
            partial.size
        );
        partial
    }

    fn restore(&mut self) {
        self.judge = Judge::restore(self.job.clone(), &self.judge.snapshot()).expect("its own");
    }
}

/// A partition value's bucket with this mean.
fn mean(partition: &str, value: f64) -> SeriesBucket {
    let mut sum = ExactSum::new();
    sum.add_weighted(value, 4);
    SeriesBucket {
        group: 0,
        key: SeriesKey {
            partition: Some(partition.into()),
            over: None,
            by: None,
        },
        cells: [Accumulator::Mean { n: 4, sum }].into(),
        shares: Vec::new(),
    }
}

/// A by value's bucket with so many events.
fn count(partition: &str, by: &str, events: u64) -> SeriesBucket {
    SeriesBucket {
        group: 0,
        key: SeriesKey {
            partition: Some(partition.into()),
            over: None,
            by: Some(by.into()),
        },
        cells: [Accumulator::Count(events)].into(),
        shares: Vec::new(),
    }
}

/// A by value's bucket at one place.
fn place(by: &str, spot: Spot) -> SeriesBucket {
    let mut spots = Spots::default();
    spots.insert(Ground::Globe, spot);
    SeriesBucket {
        group: 0,
        key: SeriesKey {
            partition: None,
            over: None,
            by: Some(by.into()),
        },
        cells: [Accumulator::Spots {
            n: 1,
            ground: Ground::Globe,
            spots: Box::new(spots),
        }]
        .into(),
        shares: Vec::new(),
    }
}

const PLACE_BY_USER: &str =
    r#"[{"function": "lat_long", "field_name": "geo", "by_field_name": "user"}]"#;
const MEAN_BY_HOST: &str =
    r#"[{"function": "mean", "field_name": "ms", "partition_field_name": "host"}]"#;
const COUNT_BY_USER: &str =
    r#"[{"function": "count", "by_field_name": "user", "partition_field_name": "host"}]"#;

/// A number in 0..1 that depends on both (SplitMix64).
fn unit(series: u64, draw: u64) -> f64 {
    let mut z = series.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ draw << 20;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ z >> 31) as f64 / 2f64.powi(64)
}

/// What is counted and what the allocator gave, in bytes, after so many buckets of a life.
fn counted_and_given(
    job: Arc<Job>,
    buckets: u64,
    series: impl Fn(u64) -> Vec<SeriesBucket>,
) -> [(u64, i64); 2] {
    let before = LIVE_BYTES.get();
    let mut court = Court::new(job);
    let empty = LIVE_BYTES.get() - before;
    (0..buckets).for_each(|at| drop(court.hear(series(at))));
    let given = LIVE_BYTES.get() - before - empty;
    let counted = court.judge.size().model_bytes;
    let snapshot = court.judge.snapshot();
    drop(court.judge);
    let before = LIVE_BYTES.get();
    let restored = Judge::restore(court.job.clone(), &snapshot).expect("its own");
    let regiven = LIVE_BYTES.get() - before - empty;
    [(counted, given), (restored.size().model_bytes, regiven)]
}

#[test]
fn what_is_counted_is_what_the_allocator_gave() {
    let means = |hosts: u64| {
        move |at: u64| {
            let value = |host| 50.0 + 5.0 * unit(host, at) + (at % 24) as f64;
            (0..hosts)
                .map(|host| mean(&format!("host-{host:04}"), value(host)))
                .collect()
        }
    };
    let counts = |at: u64| {
        (0..200)
            .filter(|&user| unit(user, at) < 0.7)
            .map(|user| {
                count(
                    &format!("host-{}", user % 7),
                    &format!("user-{user:03}"),
                    1 + (9.0 * unit(user, at + 1)) as u64,
                )
            })
            .collect()
    };
    let flooded = |at: u64| {
        let fresh =
            (0..300).map(|new| mean(&format!("{:05}", (at * 300 + new) * 7919 % 100_000), 1.0));
        let mut series: Vec<SeriesBucket> = means(100)(at);
        series.extend(fresh);
        series
    };
    // Some are always in one place, some anywhere.
    let places = |at: u64| {
        let spot = |user: u64| {
            let latitude = (user % 64) as f64 * unit(user, at);
            Spot::position(latitude, 3.0 * latitude - 90.0).expect("a position")
        };
        (0..200)
            .filter(|&user| unit(user, at + 7) < 0.5)
            .map(|user| place(&format!("user-{user:03}"), spot(user)))
            .collect()
    };
    // Three goes with three.
    let related = |at: u64| {
        (0..60u64)
            .map(|user| {
                let value = 100.0 * unit(user / 3, at) + 5.0 * unit(1000 + user, at);
                count("host", &format!("user-{user:03}"), 1 + value as u64)
            })
            .collect()
    };
    let whole = || job("5m", MEAN_BY_HOST, 1 << 30);
    let hourly = || job("1h", MEAN_BY_HOST, 1 << 30);
    let cases = [
        ("cold", counted_and_given(whole(), 3, means(1000))),
        ("a night", counted_and_given(whole(), 120, means(100))),
        (
            "after floods",
            counted_and_given(job("5m", MEAN_BY_HOST, MIB), 100, flooded),
        ),
        ("three weeks", counted_and_given(hourly(), 504, means(50))),
        (
            "counts",
            counted_and_given(job("1h", COUNT_BY_USER, 1 << 30), 300, counts),
        ),
        (
            "related series",
            counted_and_given(multivariate(1 << 30), 300, related),
        ),
        (
            "habits",
            counted_and_given(job("1h", PLACE_BY_USER, 1 << 30), 300, places),
        ),
    ];
    for (life, [(counted, given), (recounted, regiven)]) in cases {
        // A map of few series has places for some more, or fewer than are counted.
        let (counted_f, given_f) = (counted as f64, given as f64);
        assert!(
            given_f < 1.005 * counted_f + 2048.0 && counted_f < 1.03 * given_f + 2048.0,
            "{life}: {counted} counted, {given} given"
        );
        assert_eq!(
            recounted, counted,
            "{life}: a restored judge counts the same"
        );
        // A map put together in order has its nodes less full than one that was filled at random.
        let most = given.max((1.005 * counted_f) as i64 + 2048);
        assert!(
            regiven <= most && regiven as f64 > 0.8 * recounted as f64,
            "{life}: {recounted} counted, {regiven} given anew"
        );
    }
}

/// A thousand hosts of long standing, then a million that come once.
#[test]
fn in_a_flood_of_new_entities_old_ones_are_judged_and_memory_is_kept() {
    const OLD: u64 = 1_000;
    const FLOOD_BUCKETS: u64 = 20;
    const NEW_A_BUCKET: u64 = 50_000;
    const ODD: &str = "host-0500";
    let old = |at: u64| {
        let value = |host: u64| 100.0 + 10.0 * unit(host, at);
        (0..OLD)
            .map(|host| mean(&format!("host-{host:04}"), value(host)))
            .collect::<Vec<_>>()
    };
    let mut court = Court::new(job("5m", MEAN_BY_HOST, 4 * MIB));
    let mut partial = (0..60).map(|at| court.hear(old(at))).last().expect("60");
    assert_eq!(
        (partial.size.status, partial.size.series),
        (MemoryStatus::Ok, OLD)
    );
    for at in 0..FLOOD_BUCKETS {
        let mut series = old(60 + at);
        if at == 15 {
            series
                .iter_mut()
                .filter(|one| one.key.partition.as_deref() == Some(ODD))
                .for_each(|one| *one = mean(ODD, 400.0));
        }
        let fresh = (0..NEW_A_BUCKET).map(|new| {
            let name = format!("g-{:07}", at * NEW_A_BUCKET + new); // sorts before the old ones
            mean(&name, 1.0)
        });
        series.extend(fresh);
        partial = court.hear(series);
        assert_eq!(partial.size.status, MemoryStatus::HardLimit, "bucket {at}");
        if at == 15 {
            let odd = |record: &&tidewatch::engine::judge::RecordDraft| {
                record.key.partition.as_deref() == Some(ODD)
            };
            let record = partial.records.iter().find(odd).expect("a record");
            assert!(record.charge().evidence > 3.0, "{record:?}");
        }
        if at % 6 == 2 {
            court.restore();
        }
    }
    let size = partial.size;
    assert_eq!(size.allocation_failures, FLOOD_BUCKETS, "{size:?}");
    let admitted = FLOOD_BUCKETS * NEW_A_BUCKET - size.refused_series;
    assert!(
        admitted > 1_000 && size.series >= OLD,
        "{admitted} admitted: {size:?}"
    );
    // The flood is over: within a dozen buckets it is forgotten, and the old ones are all there.
    let after: Vec<PartialBucket> = (80..100).map(|at| court.hear(old(at))).collect();
    let size = after.last().expect("20").size;
    assert_eq!((size.status, size.series), (MemoryStatus::Ok, OLD));
    assert_eq!(
        size.allocation_failures,
        partial.size.allocation_failures + grown_without_room(&partial, &after)
    );
}

/// Buckets after `before` in which only the growth of known series was refused.
fn grown_without_room(before: &PartialBucket, partials: &[PartialBucket]) -> u64 {
    let refused = partials.iter().map(|one| one.size.refused_growth);
    let until = std::iter::once(before.size.refused_growth).chain(refused.clone());
    assert!(
        partials
            .iter()
            .all(|one| one.size.refused_series == before.size.refused_series),
        "nobody new is refused"
    );
    until.zip(refused).filter(|(then, now)| now > then).count() as u64
}

#[test]
fn shards_share_the_limit_as_they_share_the_series() {
    let split = |detectors: &str, judges: u16, shard: u16| {
        let job = job("5m", detectors, 8 * MIB);
        let mut court = Court::new(job.clone());
        court.judge = Judge::new(job, shard, vec![InputId("in/0".to_owned())]).among(judges);
        let by = |series: SeriesBucket| SeriesBucket {
            key: SeriesKey {
                partition: None,
                over: None,
                by: series.key.partition,
            },
            ..series
        };
        let has_partition = detectors.contains("partition");
        let many = (0..20_000).map(|host| mean(&format!("host-{host}"), 1.0));
        let size = court
            .hear(match has_partition {
                true => many.collect(),
                false => many.map(by).collect(),
            })
            .size;
        size.model_bytes as f64 / (8 * MIB) as f64
    };
    let by_host = MEAN_BY_HOST.replace("partition_field_name", "by_field_name");
    let both = format!(
        "[{}, {}]",
        MEAN_BY_HOST.trim_matches(['[', ']']),
        by_host.trim_matches(['[', ']'])
    );
    for (detectors, judges, shard, share) in [
        (MEAN_BY_HOST, 1, 0, 1.0),
        (MEAN_BY_HOST, 4, 3, 0.25),
        (&by_host, 4, 0, 1.0),
        (&both, 4, 0, 0.5 + 0.125),
        (&both, 4, 1, 0.125),
    ] {
        let used = split(detectors, judges, shard);
        assert!(
            (0.85 * share..=share).contains(&used),
            "{detectors}, shard {shard} of {judges}: {used} of the limit, {share} allowed"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    // `hear` holds the limit after every bucket; the judge itself holds, in a debug build, that the total is the sum.
    #[test]
    fn whatever_comes_the_limit_is_kept_and_a_restored_judge_goes_on_the_same(
        limit_kib in 1u64..200,
        window in 2u32..40,
        buckets in prop::collection::vec((0u64..60, 0u64..200, any::<u64>()), 30..120),
        cut in 0usize..30,
    ) {
        let job = Job {
            prune_window_buckets: window,
            ..Job::clone(&job("1h", COUNT_BY_USER, limit_kib << 10))
        };
        let job = Arc::new(job);
        let (mut one, mut other) = (Court::new(job.clone()), Court::new(job));
        for (at, (known, strange, seed)) in buckets.into_iter().enumerate() {
            let steady = (0..known).map(|user| count(&format!("host-{}", user % 3), &format!("user-{user}"), 1 + seed % 9));
            let strange = (0..strange).map(|user| count("host-9", &format!("{:x}", seed.wrapping_mul(2 * user + 1)), 1));
            let mut series: Vec<SeriesBucket> = steady.chain(strange).collect();
            series.sort_by(|a, b| a.key.cmp(&b.key));
            series.dedup_by(|a, b| a.key == b.key);
            if at % 30 == cut {
                other.restore();
            }
            prop_assert_eq!(one.hear(series.clone()), other.hear(series));
        }
        prop_assert!(one.judge.snapshot() == other.judge.snapshot());
    }

    #[test]
    fn habits_keep_the_limit_whatever_comes(
        limit_kib in 1u64..60,
        window in 2u32..40,
        buckets in prop::collection::vec((0u64..40, 0u64..60, any::<u64>()), 20..60),
        cut in 0usize..30,
    ) {
        let job = Job {
            prune_window_buckets: window,
            ..Job::clone(&job("1h", PLACE_BY_USER, limit_kib << 10))
        };
        let job = Arc::new(job);
        let (mut one, mut other) = (Court::new(job.clone()), Court::new(job));
        for (at, (known, strange, seed)) in buckets.into_iter().enumerate() {
            let spot = |user: u64| {
                let latitude = 90.0 * unit(user, seed);
                Spot::position(latitude, -latitude).expect("a position")
            };
            let steady = (0..known).map(|user| (user, format!("user-{user}")));
            let strange = (0..strange).map(|user| (user, format!("{:x}", seed.wrapping_mul(2 * user + 1))));
            let mut series: Vec<SeriesBucket> =
                steady.chain(strange).map(|(user, name)| place(&name, spot(user))).collect();
            series.sort_by(|a, b| a.key.cmp(&b.key));
            series.dedup_by(|a, b| a.key == b.key);
            if at % 30 == cut {
                other.restore();
            }
            prop_assert_eq!(one.hear(series.clone()), other.hear(series));
        }
        prop_assert!(one.judge.snapshot() == other.judge.snapshot());
    }
}

#[test]
fn a_series_that_lived_for_weeks_outlives_a_flood_that_it_was_absent_from() {
    let mut court = Court::new(job("1h", MEAN_BY_HOST, MIB));
    (0..200).for_each(|at| drop(court.hear(vec![mean("old", 5.0 + unit(1, at))])));
    for at in 0..100u64 {
        let series = (0..3_000).map(|new| mean(&format!("g-{at}-{new}"), 1.0));
        court.hear(series.collect());
    }
    let size = court.hear(vec![mean("old", 50.0)]);
    let known = |record: &&tidewatch::engine::judge::RecordDraft| {
        record.key.partition.as_deref() == Some("old") && record.history >= 200
    };
    assert!(size.records.iter().any(|one| known(&one)), "{size:?}");
}

/// What is known of series that go together is within the limit too, of however many there are: they are judged on, and hold no more.
#[test]
fn ten_thousand_by_values_that_may_go_together_keep_the_limit() {
    const USERS: u64 = 10_000;
    // The look for pairs is at the fourth sixteen of buckets, when each series has enough to show.
    let mut court = Court::new(multivariate(3 * MIB));
    let mut most = 0;
    for at in 0..82 {
        let users = (0..USERS).map(|user| {
            let value = 50.0 * unit(user / 2, at) + 5.0 * unit(USERS + user, at);
            count("host", &format!("{user:05}"), 1 + value as u64)
        });
        let partial = court.hear(users.collect());
        most = most.max(partial.size.model_bytes);
        assert!(partial.size.series > 500, "{:?}", partial.size);
    }
    assert!(most > 5 * MIB / 2, "the limit was felt: {most}");
    let counted = court.judge.size();
    court.restore();
    assert_eq!(court.judge.size(), counted);
}
