//! What is measured, as claims about detectors whose worth is known beforehand.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const SPAN: i64 = 60_000;

/// Records (host, bucket, score); each may name a user as an influencer.
fn heard(records: &[(&str, i64, f64)]) -> Heard {
    let mut heard = Heard::default();
    for &(host, bucket, score) in records {
        let (host, user) = host.split_once('/').unwrap_or((host, ""));
        let pairs = |field: &str, value: &str| match value {
            "" => Names::default(),
            value => Arc::new(vec![(field.to_owned(), value.to_owned())]),
        };
        let series = Series {
            detector: 0,
            what: "count".into(),
            fields: pairs("host", host),
        };
        let (start, end) = (EventTime(bucket * SPAN), EventTime((bucket + 1) * SPAN));
        heard.add(series, start, end, score, pairs("user", user));
    }
    heard.settled()
}

/// From a bucket up to another one, at a host or everywhere.
fn window(from: i64, to: i64, host: &str) -> Window {
    let entity = [("host".to_owned(), host.to_owned())];
    Window {
        start: EventTime(from * SPAN),
        end: EventTime(to * SPAN),
        entity: BTreeMap::from_iter(entity.into_iter().filter(|_| !host.is_empty())),
        metrics: Vec::new(),
        label: String::new(),
    }
}

fn settings(quiet_buckets: i64) -> Settings {
    Settings {
        threshold: 50.0,
        quiet_ms: quiet_buckets * SPAN,
        alert_per: AlertPer::Series,
        from: None,
    }
}

fn measured(heard: &Heard, windows: &[Window], settings: &Settings) -> Measured {
    Trial::new(heard, Some(windows), settings).measure("it", coverage(10))
}

/// Ten days of so many series.
fn coverage(series: u64) -> Option<Coverage> {
    let mut coverage = None;
    let day = crate::time::BucketSpan::from_seconds(86_400).unwrap();
    for at in 0..10 {
        let start = crate::time::BucketStart(at * day.millis());
        Coverage::extend(&mut coverage, start, day, series);
    }
    coverage
}

fn labelled(measured: &Measured) -> &Labelled {
    measured.at_threshold.labelled.as_ref().unwrap()
}

#[test]
fn a_perfect_detector_finds_everything_at_once_and_nothing_else() {
    let windows = [
        window(10, 20, ""),
        window(50, 51, "a"),
        window(90, 200, "b"),
    ];
    let heard = heard(&[("a", 10, 90.0), ("a", 50, 80.0), ("b", 90, 99.0)]);
    let measured = measured(&heard, &windows, &settings(30));
    let one = labelled(&measured);
    assert_eq!((one.found, one.false_alerts, one.bystanders), (3, 0, 0));
    assert_eq!(
        [one.recall, one.precision, one.f1],
        [Some(1.0); 3],
        "{one:?}"
    );
    // Nobody can be told before the bucket is over.
    assert_eq!(
        (one.delay_ms_median, one.delay_ms_p90),
        (Some(SPAN), Some(SPAN))
    );
    assert_eq!(measured.average_precision, Some(1.0));
    assert_eq!(measured.best.unwrap().threshold, 80.0);
}

#[test]
fn with_every_label_out_of_reach_nothing_is_found_and_every_alert_is_false() {
    let windows = [window(1_000, 1_010, ""), window(2_000, 2_010, "a")];
    let heard = heard(&[("a", 10, 90.0), ("a", 50, 80.0), ("b", 90, 99.0)]);
    let measured = measured(&heard, &windows, &settings(30));
    let one = labelled(&measured);
    assert_eq!((one.found, one.false_alerts), (0, 3));
    assert_eq!([one.recall, one.precision, one.f1], [Some(0.0); 3]);
    assert_eq!((one.delay_ms_median, one.first_blame), (None, None));
    assert_eq!(measured.average_precision, Some(0.0));
    assert_eq!(
        one.false_alerts_per_1000_series_days,
        Some(30.0),
        "three in 100 series-days"
    );
}

#[test]
fn what_has_no_answer_is_none() {
    let nothing = Heard::default();
    let measured = Trial::new(&nothing, Some(&[]), &settings(30)).measure("it", None);
    let one = labelled(&measured);
    assert_eq!([one.recall, one.precision, one.f1], [None; 3]);
    assert_eq!(one.false_alerts_per_1000_series_days, None);
    assert_eq!(
        (measured.average_precision, measured.best.is_none()),
        (None, true)
    );
    let unlabelled = Trial::new(&nothing, None, &settings(30)).measure("it", coverage(1));
    assert_eq!(unlabelled.at_threshold.labelled, None);
}

#[test]
fn repetitions_within_the_quiet_period_are_one_alert_and_what_goes_on_is_told_again() {
    let count = |records: &[(&str, i64, f64)], per: AlertPer| {
        let settings = Settings {
            alert_per: per,
            ..settings(10)
        };
        let measured = measured(&heard(records), &[], &settings);
        labelled(&measured).false_alerts
    };
    let each = || AlertPer::Series;
    assert_eq!(
        count(&[("a", 0, 90.0), ("a", 1, 90.0), ("a", 9, 90.0)], each()),
        1
    );
    assert_eq!(count(&[("a", 0, 90.0), ("a", 10, 90.0)], each()), 2);
    let going_on: Vec<_> = (0..100).map(|bucket| ("a", bucket, 90.0)).collect();
    assert_eq!(count(&going_on, each()), 10);
    let two = [
        ("a", 0, 90.0),
        ("b", 1, 90.0),
        ("b/eva", 2, 60.0),
        ("a", 3, 90.0),
    ];
    assert_eq!(count(&two, each()), 2);
    assert_eq!(count(&two, AlertPer::Job), 1);
    assert_eq!(count(&two, AlertPer::Field("host".to_owned())), 2);
    assert_eq!(count(&two, AlertPer::Field("user".to_owned())), 1);
}

#[test]
fn an_alert_is_told_with_its_onset_and_its_peak() {
    let heard = heard(&[("a", 0, 60.0), ("a/eva", 4, 95.0), ("a", 5, 70.0)]);
    let measured = measured(&heard, &[], &settings(10));
    let [one] = &measured.false_alerts[..] else {
        panic!("{:?}", measured.false_alerts)
    };
    assert_eq!((one.start, one.score), (EventTime(0), 95.0));
    assert_eq!(
        one.influencers[0].1, "eva",
        "who the strongest record blames"
    );
}

#[test]
fn the_aftermath_of_an_incident_is_no_false_alert_but_what_came_too_early_is() {
    let windows = [window(10, 20, "")];
    let false_of = |records: &[(&str, i64, f64)]| {
        let measured = measured(&heard(records), &windows, &settings(10));
        (labelled(&measured).found, labelled(&measured).false_alerts)
    };
    assert_eq!(
        false_of(&[("a", 19, 90.0), ("a", 20, 90.0), ("a", 28, 90.0)]),
        (1, 0)
    );
    assert_eq!(false_of(&[("a", 19, 90.0), ("a", 29, 90.0)]), (1, 1));
    assert_eq!(
        false_of(&[("a", 8, 90.0), ("a", 9, 90.0), ("a", 10, 90.0)]),
        (1, 1)
    );
    assert_eq!(
        false_of(&[("a", 19, 90.0), ("b", 20, 90.0)]),
        (1, 1),
        "another series has no part in it"
    );
}

#[test]
fn who_shouts_all_the_time_finds_everything_and_pays_for_it() {
    let windows = [window(100, 110, ""), window(500, 510, "")];
    let records: Vec<_> = (0..1_000).map(|bucket| ("a", bucket, 90.0)).collect();
    let measured = measured(&heard(&records), &windows, &settings(10));
    let one = labelled(&measured);
    assert_eq!(one.found, 2);
    assert!(
        one.false_alerts > 90 && one.precision.unwrap() < 0.03,
        "{one:?}"
    );
}

#[test]
fn a_window_with_an_entity_is_found_by_who_names_it_and_others_are_false_or_bystanders() {
    let windows = [window(10, 20, "a")];
    let outcome = |records: &[(&str, i64, f64)]| {
        let measured = measured(&heard(records), &windows, &settings(10));
        let one = labelled(&measured);
        (one.found, one.false_alerts, one.bystanders)
    };
    assert_eq!(outcome(&[("a", 12, 90.0)]), (1, 0, 0));
    assert_eq!(outcome(&[("b", 12, 90.0)]), (0, 1, 0), "names another");
    assert_eq!(
        outcome(&[("", 12, 90.0)]),
        (0, 0, 1),
        "says nothing of hosts"
    );
    let user = [Window {
        entity: BTreeMap::from([("user".to_owned(), "eva".to_owned())]),
        ..window(10, 20, "")
    }];
    let found = measured(&heard(&[("b/eva", 12, 90.0)]), &user, &settings(10));
    assert_eq!(labelled(&found).found, 1, "an influencer names it too");
}

#[test]
fn the_first_blame_is_that_of_the_strongest_of_the_first_bucket() {
    let blame = |records: &[(&str, i64, f64)]| {
        let windows = [window(10, 20, "a")];
        let measured = measured(&heard(records), &windows, &settings(10));
        labelled(&measured).first_blame.map(|share| share.right)
    };
    assert_eq!(blame(&[("a", 12, 90.0)]), Some(1));
    assert_eq!(blame(&[("a", 12, 90.0), ("b", 12, 80.0)]), Some(1));
    assert_eq!(blame(&[("a", 12, 90.0), ("b", 12, 95.0)]), Some(0));
    assert_eq!(blame(&[("a", 12, 90.0), ("b", 11, 60.0)]), Some(0));
    assert_eq!(
        blame(&[("a", 12, 90.0), ("b", 11, 40.0)]),
        Some(1),
        "below the threshold nobody heard it"
    );
    assert_eq!(
        blame(&[("a", 12, 90.0), ("", 11, 95.0)]),
        Some(1),
        "blames nobody"
    );
    assert_eq!(blame(&[("b", 12, 90.0)]), None, "not found");
}

#[test]
fn a_first_metric_is_right_when_the_first_alert_names_one() {
    let windows = [Window {
        metrics: vec!["m1".to_owned(), "m2".to_owned()],
        ..window(10, 20, "")
    }];
    for (host, right) in [("m2", 1), ("m3", 0), ("m3/m1", 1)] {
        let measured = measured(&heard(&[(host, 12, 90.0)]), &windows, &settings(10));
        let share = labelled(&measured).first_metric;
        assert_eq!(share, Some(Share { right, all: 1 }), "{host}");
    }
}

#[test]
fn what_comes_before_the_beginning_does_not_count() {
    let settings = Settings {
        from: Some(EventTime(20 * SPAN)),
        ..settings(10)
    };
    let heard = heard(&[("a", 5, 90.0), ("a", 15, 90.0), ("a", 30, 90.0)]);
    let measured = measured(&heard, &[], &settings);
    assert_eq!(labelled(&measured).false_alerts, 1);
}

#[test]
fn delays_are_quantiles_of_nearest_rank() {
    let windows: Vec<Window> = (0..10)
        .map(|at| window(100 * at, 100 * at + 50, ""))
        .collect();
    let records: Vec<_> = (0..10).map(|at| ("a", 100 * at + at, 90.0)).collect();
    let measured = measured(&heard(&records), &windows, &settings(1));
    let one = labelled(&measured);
    assert_eq!(
        (one.delay_ms_median, one.delay_ms_p90),
        (Some(5 * SPAN), Some(9 * SPAN))
    );
}

#[test]
fn average_precision_is_the_area_under_steps() {
    let windows = [
        window(10, 20, ""),
        window(110, 120, ""),
        window(210, 220, ""),
    ];
    let records = [
        ("a", 12, 90.0),
        ("a", 50, 80.0),
        ("a", 112, 70.0),
        ("a", 150, 60.0),
    ];
    let measured = measured(&heard(&records), &windows, &settings(10));
    // One of one at 90, two of three at 70, and the third never.
    let expected = (1.0 + 2.0 / 3.0) / 3.0;
    assert!((measured.average_precision.unwrap() - expected).abs() < 1e-12);
    let thresholds: Vec<f64> = measured.curve.iter().map(|point| point.threshold).collect();
    assert_eq!(thresholds, [90.0, 70.0]);
}

#[test]
fn two_detectors_differ_where_they_disagree() {
    let windows = [window(10, 20, ""), window(110, 120, "")];
    let (ours, theirs) = (
        heard(&[("a", 12, 90.0), ("a", 50, 80.0), ("b", 300, 80.0)]),
        heard(&[("a", 112, 90.0), ("a", 55, 70.0), ("a", 300, 80.0)]),
    );
    let (here, there) = (
        measured(&ours, &windows, &settings(10)),
        measured(&theirs, &windows, &settings(10)),
    );
    let difference = compare(&here, &there, 10 * SPAN);
    assert_eq!(difference.found_by_both, 0);
    let starts = |outcomes: &[WindowOutcome]| -> Vec<i64> {
        outcomes
            .iter()
            .map(|one| one.window.start.0 / SPAN)
            .collect()
    };
    assert_eq!(starts(&difference.found_only_here), [10]);
    assert_eq!(starts(&difference.found_only_there), [110]);
    let only = |alerts: &[AlertTold]| -> Vec<i64> {
        alerts.iter().map(|one| one.start.0 / SPAN).collect()
    };
    // At 50 and 55 both were wrong about a; at 300 each about somebody else.
    assert_eq!(only(&difference.false_only_here), [300]);
    assert_eq!(only(&difference.false_only_there), [300]);
    assert_eq!((difference.p_found, difference.p_false), (1.0, 1.0));
}

/// Up to sixty records of three hosts in a hundred buckets.
fn records() -> impl Strategy<Value = Vec<(&'static str, i64, f64)>> {
    let host = prop::sample::select(vec!["a", "b", "", "a/eva"]);
    prop::collection::vec((host, 0i64..100, 1.0..100.0), 0..60)
}

/// Up to six windows.
fn windows() -> impl Strategy<Value = Vec<Window>> {
    let host = prop::sample::select(vec!["a", "b", ""]);
    let one = (0i64..100, 1i64..20, host)
        .prop_map(|(from, length, host)| window(from, from + length, host));
    prop::collection::vec(one, 0..6).prop_map(|mut windows| {
        windows.sort_by_key(|window| window.start);
        windows
    })
}

proptest! {
    #[test]
    fn as_the_threshold_falls_nothing_found_is_lost_and_outside_of_windows_no_alert_vanishes(records in records(), windows in windows()) {
        let (heard, settings) = (heard(&records), settings(7));
        let at = |threshold: f64| Settings { threshold, ..settings.clone() };
        let (mut found, mut alerts) = (0, 0);
        for threshold in (1..=100).rev() {
            let one = measured(&heard, &windows, &at(f64::from(threshold)));
            prop_assert!(labelled(&one).found >= found);
            found = labelled(&one).found;
            let lonely = measured(&heard, &[], &at(f64::from(threshold)));
            prop_assert!(labelled(&lonely).false_alerts >= alerts);
            alerts = labelled(&lonely).false_alerts;
        }
    }

    #[test]
    fn figures_lie_in_their_ranges_and_add_up(records in records(), windows in windows()) {
        let one = measured(&heard(&records), &windows, &settings(7));
        for point in one.table.iter().chain(&one.curve).chain(&one.best) {
            let labelled = point.labelled.as_ref().unwrap();
            prop_assert!(labelled.false_alerts + labelled.bystanders <= point.alerts);
            for share in [labelled.recall, labelled.precision, labelled.f1].into_iter().flatten() {
                prop_assert!((0.0..=1.0).contains(&share));
            }
            prop_assert_eq!(labelled.windows, windows.len());
        }
        if let Some(precision) = one.average_precision {
            prop_assert!((0.0..=1.0 + 1e-12).contains(&precision));
        }
        let found = one.windows.iter().filter(|window| window.found).count();
        prop_assert_eq!(found, labelled(&one).found);
        prop_assert_eq!(one.false_alerts.len(), labelled(&one).false_alerts);
        let of_series: usize = one.series.iter().map(|series| series.false_alerts).sum();
        prop_assert_eq!(of_series, labelled(&one).false_alerts);
        let alerts: usize = one.series.iter().map(|series| series.alerts).sum();
        prop_assert_eq!(alerts, one.at_threshold.alerts);
    }

    #[test]
    fn a_detector_does_not_differ_from_itself(records in records(), windows in windows()) {
        let one = measured(&heard(&records), &windows, &settings(7));
        let difference = compare(&one, &one, 7 * SPAN);
        prop_assert_eq!(difference.found_by_both, labelled(&one).found);
        prop_assert!(difference.found_only_here.is_empty() && difference.found_only_there.is_empty());
        prop_assert!(difference.false_only_here.is_empty() && difference.false_only_there.is_empty());
        prop_assert_eq!((difference.p_found, difference.p_false), (1.0, 1.0));
    }

    #[test]
    fn neither_the_order_of_records_nor_their_repetition_matters(records in records(), windows in windows()) {
        // Of two records of one series and bucket the first counts, so there must not be two different ones.
        let mut records = records;
        records.sort_by_key(|record| (record.0.split('/').next().unwrap().to_owned(), record.1));
        records.dedup_by_key(|record| (record.0.split('/').next().unwrap().to_owned(), record.1));
        let turned: Vec<_> = records.iter().rev().chain(&records).copied().collect();
        let (one, other) = (measured(&heard(&records), &windows, &settings(7)), measured(&heard(&turned), &windows, &settings(7)));
        prop_assert_eq!(one.at_threshold, other.at_threshold);
        prop_assert_eq!(one.curve, other.curve);
    }
}
