//! What a gatherer promises: closed buckets that are a function of the set of their events, however these came.

mod support;

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use support::{Owned, Split, job};
use tidewatch::config::Job;
use tidewatch::engine::event::{Reason, Rejection, Value};
use tidewatch::engine::feature::Accumulator;
use tidewatch::engine::gatherer::{Gatherer, Input, Output};
use tidewatch::engine::result::DataCounts;
use tidewatch::engine::snapshot::Snapshot;
use tidewatch::engine::wire::{ClosedBucket, StageMessage};
use tidewatch::time::{BucketStart, EventTime, Finality};

/// Longer than any test's events are apart: nothing closes before the end.
const ALL_OPEN_S: i64 = 100_000;

/// One detector of each kind, over the four ways to split.
const EVERY_STATISTIC: &[Split<'static>] = &[
    ("count", "", "", "", false),
    ("mean", "value", "host", "", false),
    ("varp", "value", "host", "", false),
    ("sum", "value", "", "service", false),
    ("metric", "value", "host", "service", false),
    ("median", "value", "host", "service", true),
    ("distinct_count", "user", "host", "service", true),
];

fn everything(latency_s: i64, summary: bool) -> Arc<Job> {
    job(latency_s, summary, EVERY_STATISTIC, &["user", "host"])
}

fn feed(gatherer: &mut Gatherer, events: &[Owned]) -> Vec<Output> {
    let handle = |event: &Owned| gatherer.handle(Input::Event(&event.event()));
    events.iter().flat_map(handle).collect()
}

fn run(job: &Arc<Job>, events: &[Owned]) -> Vec<Output> {
    let mut gatherer = Gatherer::new(job.clone());
    let mut outputs = feed(&mut gatherer, events);
    outputs.extend(gatherer.handle(Input::Flush(Finality::Final)));
    outputs
}

fn closed(outputs: &[Output]) -> Vec<ClosedBucket> {
    let bucket = |output: &Output| match output {
        Output::Closed(bucket) => Some(bucket.clone()),
        _ => None,
    };
    outputs.iter().filter_map(bucket).collect()
}

/// Partition, by and the values of the features, of each series of a bucket.
fn values(bucket: &ClosedBucket, group: u16) -> Vec<(String, Vec<Option<f64>>)> {
    let of_group = bucket.series.iter().filter(|series| series.group == group);
    of_group
        .map(|series| {
            let name = |text: &Option<Arc<str>>| text.as_deref().unwrap_or("-").to_owned();
            let key = format!("{}/{}", name(&series.key.partition), name(&series.key.by));
            (key, series.cells.iter().map(Accumulator::value).collect())
        })
        .collect()
}

fn any_event() -> impl Strategy<Value = Owned> {
    let name = prop_oneof![Just(""), Just("a"), Just("b"), Just("c")];
    let number = prop_oneof![
        Just(Value::Missing),
        Just(Value::Text("n/a".into())),
        (-50i64..50).prop_map(Value::Int),
        (-1e3..1e3f64).prop_map(Value::Float),
        prop_oneof![Just(1e300), Just(-1e300), Just(1e-300), Just(-0.0)].prop_map(Value::Float),
    ];
    let user = prop_oneof![
        Just(Value::Missing),
        (0i64..6).prop_map(Value::Int),
        proptest::collection::vec((0i64..4).prop_map(Value::Int), 1..4).prop_map(Value::List),
    ];
    let weight = prop_oneof![
        4 => (0i64..4).prop_map(Value::Int),
        1 => Just(Value::Missing),
        1 => Just(Value::Text("many".into())),
    ];
    (-40_000i64..40_000, name.clone(), name, user, number, weight).prop_map(
        |(time_ms, host, service, user, value, weight)| {
            Owned::new(time_ms, host, service, "", 0.0)
                .with("user", user)
                .with("value", value)
                .with("n", weight)
        },
    )
}

fn any_events() -> impl Strategy<Value = Vec<Owned>> {
    proptest::collection::vec(any_event(), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_events_in_open_buckets_shows_in_nothing(
        (events, shuffled) in any_events().prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
        summary: bool,
    ) {
        let job = everything(ALL_OPEN_S, summary);
        let (mut calm, mut other) = (Gatherer::new(job.clone()), Gatherer::new(job));
        let _ = feed(&mut calm, &events);
        let _ = feed(&mut other, &shuffled);
        prop_assert_eq!(calm.snapshot(), other.snapshot());
        for finality in [Finality::Interim, Finality::Final] {
            prop_assert_eq!(
                calm.handle(Input::Flush(finality)),
                other.handle(Input::Flush(finality))
            );
        }
    }

    #[test]
    fn any_spread_over_gatherers_merges_to_what_one_gathers(
        events in proptest::collection::vec((any_event(), 0usize..4), 0..60),
        summary: bool,
    ) {
        let job = everything(ALL_OPEN_S, summary);
        let all: Vec<Owned> = events.iter().map(|(event, _)| event.clone()).collect();
        let one = closed(&run(&job, &all));
        let mut merged: BTreeMap<i64, ClosedBucket> = BTreeMap::new();
        for part in 0..4 {
            let of_part = events.iter().filter(|(_, at)| *at == part);
            let of_part: Vec<Owned> = of_part.map(|(event, _)| event.clone()).collect();
            for bucket in closed(&run(&job, &of_part)) {
                match merged.get_mut(&bucket.start.0) {
                    Some(mine) => mine.merge(bucket),
                    None => {
                        merged.insert(bucket.start.0, bucket);
                    }
                }
            }
        }
        let series = |bucket: &ClosedBucket| (bucket.start, bucket.event_count, bucket.series.clone());
        let told = |bucket: &&ClosedBucket| !bucket.is_counts_only();
        prop_assert_eq!(
            one.iter().filter(told).map(series).collect::<Vec<_>>(),
            merged.values().filter(told).map(series).collect::<Vec<_>>()
        );
        prop_assert_eq!(total(one.iter()), total(merged.values()));
        for bucket in one {
            let message = StageMessage::Closed(bucket);
            prop_assert_eq!(StageMessage::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn a_restored_gatherer_goes_on_as_if_nothing_had_been(
        events in any_events(), at in 0usize..60, latency_s in prop_oneof![Just(0i64), Just(15), Just(40)], summary: bool,
    ) {
        let job = everything(latency_s, summary);
        let (before, after) = events.split_at(at.min(events.len()));
        let mut calm = Gatherer::new(job.clone());
        let _ = feed(&mut calm, before);
        let bytes = Snapshot::from_bytes(calm.snapshot().as_bytes().to_vec());
        let mut restored = Gatherer::restore(job, &bytes).expect("its own snapshot");
        prop_assert_eq!(&restored.snapshot(), &bytes);
        prop_assert_eq!(restored.watermark(), calm.watermark());
        prop_assert_eq!(feed(&mut restored, after), feed(&mut calm, after));
        prop_assert_eq!(restored.snapshot(), calm.snapshot());
        let end = Finality::Final;
        prop_assert_eq!(restored.handle(Input::Flush(end)), calm.handle(Input::Flush(end)));
    }

    #[test]
    fn interim_buckets_leave_no_trace(events in any_events(), latency_s in 0i64..30) {
        let job = everything(latency_s, false);
        let (mut asked, mut calm) = (Gatherer::new(job.clone()), Gatherer::new(job));
        for (asks, event) in [true, false, false, false].into_iter().cycle().zip(&events) {
            let said = asked.handle(Input::Event(&event.event()));
            prop_assert_eq!(&said, &calm.handle(Input::Event(&event.event())));
            if !asks {
                continue;
            }
            let before = asked.snapshot();
            for output in asked.handle(Input::Flush(Finality::Interim)) {
                let Output::Closed(bucket) = output else { panic!("{output:?}") };
                prop_assert_eq!(bucket.finality, Finality::Interim);
                prop_assert_eq!(bucket.counts, DataCounts::default());
                prop_assert!(bucket.event_count > 0);
            }
            prop_assert_eq!(asked.snapshot(), before);
        }
        let end = Finality::Final;
        prop_assert_eq!(asked.handle(Input::Flush(end)), calm.handle(Input::Flush(end)));
    }

    #[test]
    fn a_summary_count_is_so_many_equal_events(
        events in proptest::collection::vec((any_event(), 0i64..6), 0..25),
    ) {
        // Not for sums: a pre-summarised sum is the sum already.
        let detectors = EVERY_STATISTIC.iter().filter(|split| split.0 != "sum");
        let detectors: Vec<Split<'_>> = detectors.copied().collect();
        let weighted: Vec<Owned> = events
            .iter()
            .map(|(event, weight)| event.clone().with("n", Value::Int(*weight)))
            .collect();
        let repeated: Vec<Owned> = events
            .iter()
            .flat_map(|(event, weight)| vec![event.clone(); *weight as usize])
            .collect();
        let buckets = |summary, events: &[Owned]| {
            let job = job(ALL_OPEN_S, summary, &detectors, &["user"]);
            let mut buckets = closed(&run(&job, events));
            buckets.retain(|bucket| !bucket.is_counts_only());
            for bucket in &mut buckets {
                bucket.counts = DataCounts::default();
            }
            buckets
        };
        prop_assert_eq!(buckets(true, &weighted), buckets(false, &repeated));
    }

    #[test]
    fn every_event_is_counted_once_whatever_becomes_of_it(events in any_events(), latency_s in 0i64..60, summary: bool) {
        let outputs = run(&everything(latency_s, summary), &events);
        let late = outputs.iter().filter(|output| matches!(output, Output::Rejected(_))).count() as u64;
        let buckets = closed(&outputs);
        let total = total(buckets.iter());
        prop_assert_eq!(total.processed_record_count + late, events.len() as u64);
        prop_assert_eq!(total.rejected.iter().sum::<u64>(), late);
        prop_assert_eq!(total.rejected[Reason::Late as usize], late);
        prop_assert_eq!(total.processed_field_count + total.missing_field_count, 5 * total.processed_record_count);
        prop_assert_eq!(total.input_bytes, 100 * events.len() as u64);
        prop_assert_eq!(total.input_field_count, 7 * events.len() as u64);
        let starts: Vec<BucketStart> = buckets.iter().filter(|b| !b.is_counts_only()).map(|b| b.start).collect();
        prop_assert!(starts.is_sorted_by(|a, b| a < b), "each bucket once, in order: {:?}", starts);
        let watermarks = outputs.iter().filter_map(|output| match output { Output::Watermark(until) => Some(*until), _ => None });
        prop_assert!(watermarks.collect::<Vec<_>>().is_sorted_by(|a, b| a < b));
    }

    /// The plainest gatherer there is: all events in a list, each series by going through it.
    #[test]
    fn series_are_what_a_walk_over_all_events_finds(events in proptest::collection::vec(
        (-30_000i64..30_000, "[ab]?", "[ab]?", "[ab]?", prop_oneof![(-9i32..9).prop_map(Some), Just(None)]), 0..50,
    )) {
        let detectors = [("mean", "value", "host", "service", false), ("count", "", "host", "service", false)];
        let job = job(ALL_OPEN_S, false, &detectors, &["user"]);
        let given: Vec<Owned> = events.iter().map(|(time, host, service, user, value)| {
            let value = value.map_or(Value::Missing, |x| Value::Float(f64::from(x)));
            Owned::new(*time, host, service, user, 0.0).with("value", value)
        }).collect();
        type Found = BTreeMap<(i64, String), (Vec<i32>, u64, BTreeSet<String>)>;
        let mut expected = Found::new();
        for (time, host, service, user, value) in &events {
            if host.is_empty() { continue }
            let series = expected.entry((time.div_euclid(10_000) * 10_000, format!("{service}/{host}"))).or_default();
            series.0.extend(value);
            series.1 += 1;
            if !user.is_empty() { series.2.insert(user.clone()); }
        }
        let mut found = 0;
        for bucket in closed(&run(&job, &given)) {
            for (series, (key, values)) in bucket.series.iter().zip(values(&bucket, 0)) {
                found += 1;
                let (numbers, count, users) = &expected[&(bucket.start.0, key)];
                let mean = f64::from(numbers.iter().sum::<i32>()) / numbers.len() as f64;
                prop_assert_eq!(values[0], (!numbers.is_empty()).then_some(mean));
                prop_assert_eq!(values[1], Some(*count as f64));
                prop_assert!(series.shares.iter().map(|share| share.value.to_string()).eq(users.iter().cloned()));
            }
        }
        prop_assert_eq!(found, expected.len());
    }
}

fn total<'a>(buckets: impl Iterator<Item = &'a ClosedBucket>) -> DataCounts {
    buckets.fold(DataCounts::default(), |mut total, bucket| {
        total.add(&bucket.counts);
        total
    })
}

const COUNT: &[Split<'static>] = &[("count", "", "", "", false)];

fn at(time_ms: i64) -> Owned {
    Owned::new(time_ms, "a", "s", "u", 1.0)
}

/// The story of a count job as words: `[start events` for a bucket, `|until` for a watermark, `late`.
fn story(latency_s: i64, times_ms: &[i64]) -> String {
    let events: Vec<Owned> = times_ms.iter().map(|ms| at(*ms)).collect();
    let word = |output: &Output| match output {
        Output::Closed(bucket) => format!("[{} {}]", bucket.start.0 / 1000, bucket.event_count),
        Output::Watermark(until) => format!("|{}", until.0 / 1000),
        Output::Rejected(rejection) => rejection.reason.label().to_owned(),
        Output::Late(_) => "again".to_owned(),
    };
    let outputs = run(&job(latency_s, false, COUNT, &[]), &events);
    outputs.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn buckets_close_in_time_order_when_the_watermark_reaches_their_end() {
    for (latency_s, times_ms, expected) in [
        (0, &[3_000, 9_999, 10_000][..], "|0 [0 2] |10 [10 1] |20"),
        (0, &[12_000, 9_999, 13_000], "|10 late [10 2] |20"),
        (
            5,
            &[12_000, 9_999, 15_000, 9_000],
            "|0 [0 1] |10 late [10 2] |20",
        ),
        (0, &[-1, -10_000, 0], "|-10 [-10 2] |0 [0 1] |10"),
    ] {
        assert_eq!(story(latency_s, times_ms), expected);
    }
}

#[test]
fn a_gap_of_centuries_is_one_watermark() {
    let outputs = run(
        &job(0, false, COUNT, &[]),
        &[at(EventTime::MIN.0), at(0), at(EventTime::MAX.0)],
    );
    assert_eq!(closed(&outputs).len(), 3);
    assert_eq!(
        outputs.len(),
        3 + 4,
        "a watermark at each event and at the end"
    );
}

#[test]
fn an_advance_closes_buckets_and_never_reopens_them() {
    let mut gatherer = Gatherer::new(job(0, false, COUNT, &[]));
    let _ = feed(&mut gatherer, &[at(1_000)]);
    let said = gatherer.handle(Input::Advance(EventTime(25_000)));
    assert_eq!(closed(&said).len(), 1);
    assert_eq!(said[1], Output::Watermark(BucketStart(20_000)));
    assert_eq!(gatherer.handle(Input::Advance(EventTime(3_000))), []);
    assert_eq!(gatherer.watermark(), Some(EventTime(25_000)));
    assert!(matches!(
        &feed(&mut gatherer, &[at(19_999)])[..],
        [Output::Rejected(_)]
    ));
    assert_eq!(feed(&mut gatherer, &[at(20_000)]), []);
    for time in [i64::MIN, i64::MAX] {
        let _ = gatherer.handle(Input::Advance(EventTime(time)));
    }
    assert_eq!(gatherer.watermark(), Some(EventTime::MAX));
}

#[test]
fn a_late_event_is_said_with_the_latency_that_keeps_it() {
    let events = [at(25_000), at(8_500)];
    let rejected = |latency_s| {
        let outputs = run(&job(latency_s, false, COUNT, &[]), &events);
        outputs.into_iter().find_map(|output| match output {
            Output::Rejected(rejection) => Some(rejection),
            _ => None,
        })
    };
    for latency_s in [0, 15] {
        let rejection = rejected(latency_s).expect("a late event");
        assert_eq!((rejection.reason, rejection.raw_bytes), (Reason::Late, 100));
        assert!(
            rejection.detail.contains("latency of 16s"),
            "{}",
            rejection.detail
        );
    }
    assert_eq!(rejected(16), None);
}

#[test]
fn a_time_outside_the_calendar_is_refused_and_harms_nothing() {
    let job = job(0, false, COUNT, &[]);
    let outputs = run(&job, &[at(0), at(i64::MAX), at(i64::MIN), at(1)]);
    let buckets = closed(&outputs);
    assert_eq!(buckets.len(), 1);
    assert_eq!(buckets[0].event_count, 2);
    assert_eq!(buckets[0].counts.rejected[Reason::BadTime as usize], 2);
}

#[test]
fn what_the_decoder_refused_travels_with_the_next_bucket_or_alone_at_the_end() {
    let refused = Rejection {
        reason: Reason::Malformed,
        detail: String::new(),
        raw_bytes: 40,
    };
    let mut gatherer = Gatherer::new(job(0, false, COUNT, &[]));
    let mut buckets = closed(&gatherer.handle(Input::Rejected(&refused)));
    buckets.extend(closed(&feed(&mut gatherer, &[at(0), at(10_000)])));
    assert_eq!(buckets.len(), 1);
    assert_eq!(buckets[0].counts.rejected[Reason::Malformed as usize], 1);
    assert_eq!(buckets[0].counts.input_bytes, 140);
    let _ = gatherer.handle(Input::Advance(EventTime(20_000)));
    let _ = gatherer.handle(Input::Rejected(&refused));
    let rest = closed(&gatherer.handle(Input::Flush(Finality::Final)));
    assert!(matches!(&rest[..], [alone] if alone.is_counts_only() && alone.start.0 == 10_000));
    assert_eq!(rest[0].counts.input_bytes, 40);
    assert_eq!(
        gatherer.handle(Input::Flush(Finality::Final)),
        [],
        "said once"
    );
}

#[test]
fn a_missing_partition_value_is_the_empty_one_and_a_missing_by_value_none() {
    let detectors = [
        ("count", "", "", "service", false),
        ("count", "", "host", "", false),
        ("count", "", "host", "service", true),
    ];
    let events = [
        at(0),
        at(1).with("service", Value::Missing),
        at(2).with("host", Value::Text("".into())),
        at(3)
            .with("host", Value::Int(7))
            .with("service", Value::Bool(true)),
        at(4).with("host", Value::List(vec![Value::Float(0.5), Value::Int(7)])),
    ];
    let buckets = closed(&run(&job(0, false, &detectors, &[]), &events));
    let counts = |group| {
        let values = values(&buckets[0], group).into_iter();
        let words = values.map(|(key, value)| format!("{key}={}", value[0].unwrap_or(-1.0)));
        words.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(counts(0), "/-=1 s/-=3 true/-=1");
    assert_eq!(counts(1), "-/0.5=1 -/7=1 -/a=2");
    assert_eq!(counts(2), "/a=1 s/=1 s/0.5=1 s/a=1 true/7=1");
}

#[test]
fn each_distinct_element_of_an_array_is_an_influencer_value_once() {
    let users = ["x", "y", "x"].map(|user| Value::Text(user.into()));
    let job = job(
        0,
        false,
        &[("sum", "value", "host", "", false)],
        &["host", "user"],
    );
    let events = [
        at(0).with("user", Value::List(users.to_vec())),
        at(1).with("user", Value::Text("y".into())),
    ];
    let buckets = closed(&run(&job, &events));
    let shares = &buckets[0].series[0].shares;
    let found: Vec<_> = shares
        .iter()
        .map(|share| (share.influencer, &*share.value, share.cells[0].value()))
        .collect();
    // The by field is an influencer too, but its share is the whole.
    assert_eq!(found, [(1, "x", Some(1.0)), (1, "y", Some(2.0))]);
}

#[test]
fn without_a_number_an_event_still_makes_its_series_appear() {
    let detectors = [
        ("count", "", "host", "", false),
        ("mean", "value", "host", "", false),
        ("distinct_count", "user", "host", "", false),
    ];
    let event = at(0)
        .with("value", Value::Text("n/a".into()))
        .with("user", Value::Missing);
    let buckets = closed(&run(&job(0, false, &detectors, &[]), &[event]));
    let one_without_values = vec![Some(1.0), None, None];
    assert_eq!(
        values(&buckets[0], 0),
        [("-/a".to_owned(), one_without_values)]
    );
}

#[test]
fn summary_counts_that_are_none_count_nothing() {
    let far = 99_000;
    for (weight, events, advances, missing) in [
        (Value::Int(3), 3, true, 0),
        (Value::Float(2.5), 3, true, 0),
        (Value::Text(" 4 ".into()), 4, true, 0),
        (Value::Int(0), 0, false, 0),
        (Value::Float(0.4), 0, false, 0),
        (Value::Missing, 0, true, 1),
        (Value::Text(" ".into()), 0, true, 0),
        (Value::Text("few".into()), 0, false, 1),
        (Value::Int(-1), 0, false, 1),
        (Value::Float(1e17), 0, false, 1),
        (Value::Bool(true), 0, false, 1),
    ] {
        let mut gatherer = Gatherer::new(job(0, true, COUNT, &[]));
        let event = at(far).with("n", weight.clone());
        let _ = feed(&mut gatherer, &[event]);
        assert_eq!(gatherer.watermark().is_some(), advances, "{weight:?}");
        let buckets = closed(&gatherer.handle(Input::Flush(Finality::Final)));
        assert_eq!(buckets[0].event_count, events, "{weight:?}");
        let counts = &buckets[0].counts;
        assert_eq!(counts.missing_field_count, missing, "{weight:?}");
        assert_eq!(counts.processed_record_count, 1, "{weight:?}");
        assert_eq!(counts.latest_record.is_some(), advances, "{weight:?}");
    }
}

#[test]
fn forgetting_entities_does_not_show() {
    let job = job(
        0,
        false,
        &[("mean", "value", "host", "service", false)],
        &["user"],
    );
    let bucket_of = |bucket: i64| {
        (0..1_500).map(move |i| {
            let name = format!("h{}", bucket * 1_000 + i);
            Owned::new(bucket * 10_000 + i, &name, &name[1..], &name, i as f64)
        })
    };
    let mut worn = Gatherer::new(job.clone());
    for bucket in 0..20 {
        let events: Vec<Owned> = bucket_of(bucket).collect();
        let mut fresh = Gatherer::restore(job.clone(), &worn.snapshot()).expect("its snapshot");
        assert_eq!(feed(&mut worn, &events), feed(&mut fresh, &events));
        assert_eq!(worn.snapshot(), fresh.snapshot());
    }
}

#[test]
fn a_snapshot_of_a_job_with_another_shape_is_refused() {
    let count = job(0, false, COUNT, &[]);
    let mut gatherer = Gatherer::new(count);
    let _ = feed(&mut gatherer, &[at(0)]);
    let snapshot = gatherer.snapshot();
    for detectors in [
        &[("count", "", "host", "", false)][..],
        &[("mean", "value", "", "", false)],
        &[
            ("count", "", "", "", false),
            ("max", "value", "", "", false),
        ],
    ] {
        // The fingerprint is the same in all test jobs, so only the shape tells.
        assert!(Gatherer::restore(job(0, false, detectors, &[]), &snapshot).is_err());
    }
}
