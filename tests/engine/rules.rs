//! Rules: what is hidden is as if it had never been found, what is untaught as if it had never been, for every family of functions and placement.

use super::support::{Happening, difference, fused, keyed, staged};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tidewatch::config::Job;

const MINUTE_MS: i64 = 60_000;
/// The bucket in which one user on one host bursts, and the last bucket.
const BURST: i64 = 70;
const END: i64 = 110;

/// Families and splits, each with the field whose values a scope names, and the value that bursts.
const DETECTORS: [(&str, &str, &str); 14] = [
    (
        r#"{"function":"count","partition_field_name":"host"}"#,
        "host",
        "host-1",
    ),
    (
        r#"{"function":"high_non_zero_count","partition_field_name":"host"}"#,
        "host",
        "host-1",
    ),
    (
        r#"{"function":"count","by_field_name":"host"}"#,
        "host",
        "host-1",
    ),
    (
        r#"{"function":"distinct_count","field_name":"value","partition_field_name":"host"}"#,
        "host",
        "host-1",
    ),
    (
        r#"{"function":"mean","field_name":"value","partition_field_name":"host"}"#,
        "host",
        "host-1",
    ),
    (
        r#"{"function":"mean","field_name":"value","by_field_name":"host"}"#,
        "host",
        "host-1",
    ),
    (
        r#"{"function":"median","field_name":"value","by_field_name":"host"}"#,
        "host",
        "host-1",
    ),
    (
        r#"{"function":"metric","field_name":"value","partition_field_name":"host"}"#,
        "host",
        "host-1",
    ),
    (
        r#"{"function":"max","field_name":"value","partition_field_name":"host"}"#,
        "host",
        "host-1",
    ),
    (
        r#"{"function":"sum","field_name":"value","by_field_name":"host"}"#,
        "host",
        "host-1",
    ),
    (
        r#"{"function":"varp","field_name":"value","partition_field_name":"host"}"#,
        "host",
        "host-1",
    ),
    (
        r#"{"function":"high_sum","field_name":"value","over_field_name":"user"}"#,
        "user",
        "user-9",
    ),
    (
        r#"{"function":"rare","by_field_name":"user","partition_field_name":"host"}"#,
        "user",
        "user-9",
    ),
    (
        r#"{"function":"rare","by_field_name":"host","over_field_name":"user"}"#,
        "user",
        "user-9",
    ),
];

/// A job of one detector with these rules.
fn job(detector: &str, rules: Value) -> Arc<Job> {
    job_of(
        detector,
        rules,
        json!({"filters": [
            {"filter_id": "burst", "items": ["host-1", "user-9"]},
            {"filter_id": "nobody", "items": ["elsewhere*"]},
        ]}),
    )
}

fn job_of(detector: &str, rules: Value, own: Value) -> Arc<Job> {
    let mut detector: Value = serde_json::from_str(detector).unwrap();
    detector["custom_rules"] = rules;
    let body = json!({
        "job_id": "ruled",
        "analysis_config": {"bucket_span": "60s", "detectors": [detector], "influencers": ["user"]},
        "data_description": {"time_field": "time"},
        "model_plot_config": {"enabled": true},
        "tidewatch": own,
    });
    Arc::new(Job::from_value(&body).unwrap_or_else(|mistakes| panic!("{mistakes}")))
}

fn scoped(field: &str, actions: &[&str], filter: &str) -> Value {
    json!([{"actions": actions, "scope": {field: {"filter_id": filter}}}])
}

/// Four hosts and eight users, a few events a minute each; in one minute `user-9` on `host-1` sends `events` more of `value`, and later host 2 has a
/// small burst of its own.
fn life(events: i64, value: f64) -> Vec<Happening> {
    let mut all = Vec::new();
    for minute in 0..END {
        for host in 0..4u8 {
            for n in 0..6 + (minute * 7 + i64::from(host) * 5) % 3 {
                all.push(Happening {
                    at_ms: minute * MINUTE_MS + n * 1000 + i64::from(host),
                    host: Some(host),
                    user: ((n + i64::from(host) * 2) % 8) as u8,
                    value: Some(
                        10.0 + ((minute * 31 + n * 17 + i64::from(host)) % 23) as f64 / 10.0,
                    ),
                });
            }
        }
        if minute == BURST {
            // What nobody has but that user.
            all.push(Happening {
                at_ms: minute * MINUTE_MS,
                host: Some(7),
                user: 9,
                value: Some(10.0),
            });
        }
        let (host, user, events, value) = match minute {
            BURST => (1, 9, events, value),
            90 => (2, 3, 60, 30.0),
            _ => continue,
        };
        all.extend((0..events).map(|n| Happening {
            at_ms: minute * MINUTE_MS + n * 50 % MINUTE_MS,
            host: Some(host),
            user,
            value: Some(value + n as f64),
        }));
    }
    all.sort_by_key(|event| event.at_ms);
    all
}

/// The documents of these kinds, those of the buckets in `minutes`.
fn documents(lines: &[String], kinds: &[&str], minutes: std::ops::Range<i64>) -> Vec<Value> {
    let parsed = lines.iter().map(|line| {
        let (_, document) = line.split_once(' ').unwrap();
        serde_json::from_str::<Value>(document).unwrap()
    });
    parsed
        .filter(|document| kinds.iter().any(|kind| document["result_type"] == *kind))
        .filter(|document| {
            let at = document["timestamp"].as_i64().unwrap_or_default() / MINUTE_MS;
            minutes.contains(&at)
        })
        .collect()
}

/// Whether a document is about the one that bursts.
fn names(document: &Value, value: &str) -> bool {
    [
        "by_field_value",
        "over_field_value",
        "partition_field_value",
        "influencer_field_value",
    ]
    .iter()
    .any(|key| document[*key] == value)
        || document["causes"]
            .as_array()
            .is_some_and(|causes| causes.iter().any(|one| names(one, value)))
}

#[test]
fn a_hidden_series_has_no_record_and_the_others_have_theirs() {
    let events = life(120, 500.0);
    for (detector, field, value) in DETECTORS {
        let run = |rules| fused(&job(detector, rules), &events);
        let found = documents(&run(json!([])), &["record"], 0..END);
        assert!(
            found.iter().any(|one| names(one, value)),
            "{detector} finds the burst by itself"
        );
        let hidden = run(scoped(field, &["skip_result"], "burst"));
        let left = documents(&hidden, &["record"], 0..END);
        assert!(
            !left.iter().any(|one| names(one, value)),
            "{detector}: {left:?}"
        );
        let bucket = &documents(&hidden, &["bucket"], BURST..BURST + 1)[0];
        let quiet = documents(&hidden, &["record"], BURST..BURST + 1).is_empty();
        if quiet {
            assert_eq!(bucket["anomaly_score"], 0.0, "{detector}: {bucket}");
            let influencers = documents(&hidden, &["influencer"], BURST..BURST + 1);
            assert!(influencers.is_empty(), "{detector}: {influencers:?}");
        }
        assert_eq!(
            bucket["event_count"],
            documents(&run(json!([])), &["bucket"], BURST..BURST + 1)[0]["event_count"]
        );
        // Whoever is not in the filter is none of the rule's business.
        let elsewhere = run(scoped(
            field,
            &["skip_result", "skip_model_update"],
            "nobody",
        ));
        assert_eq!(difference(&elsewhere, &run(json!([]))), None, "{detector}");
    }
}

#[test]
fn a_hidden_series_learns_as_if_it_had_been_told() {
    let events = life(120, 500.0);
    for (detector, field, _) in DETECTORS {
        let run = |rules| fused(&job(detector, rules), &events);
        let (plain, hidden) = (
            run(json!([])),
            run(scoped(field, &["skip_result"], "burst")),
        );
        // What models expect shows in the plots; populations and rare values have none.
        let plots = |lines: &[String]| documents(lines, &["model_plot"], 0..END);
        assert_eq!(plots(&plain), plots(&hidden), "{detector}");
    }
}

#[test]
fn what_a_bucket_held_that_may_not_teach_shows_nowhere_after_it() {
    let during = |action: &[&str]| {
        json!([{"actions": action, "conditions": [
            {"applies_to": "time", "operator": "gte", "value": BURST * 60},
            {"applies_to": "time", "operator": "lt", "value": BURST * 60 + 60},
        ]}])
    };
    let after = |lines: &[String]| documents(lines, &["record", "model_plot"], BURST + 1..END);
    let mut told_apart = 0;
    for (detector, _, value) in DETECTORS {
        let run = |rules: &Value, events: i64, value: f64| {
            fused(&job(detector, rules.clone()), &life(events, value))
        };
        for actions in [
            &["skip_model_update"] as &[&str],
            &["skip_result", "skip_model_update"],
        ] {
            let rules = during(actions);
            let (small, large) = (run(&rules, 40, 100.0), run(&rules, 200, 9000.0));
            assert_eq!(after(&small), after(&large), "{detector} {actions:?}");
            let found = documents(&large, &["record"], BURST..BURST + 1);
            let is_told = found.iter().any(|one| names(one, value));
            assert_eq!(
                is_told,
                actions.len() == 1,
                "{detector} {actions:?}: {found:?}"
            );
        }
        let (small, large) = (run(&json!([]), 40, 100.0), run(&json!([]), 200, 9000.0));
        told_apart += usize::from(after(&small) != after(&large));
    }
    assert!(told_apart > 8, "without the rule it shows: {told_apart}");
}

#[test]
fn conditions_go_by_what_the_record_says() {
    let events = life(120, 500.0);
    let detector = r#"{"function":"count","partition_field_name":"host"}"#;
    let run = |conditions: Value| {
        let lines = fused(&job(detector, json!([{"conditions": conditions}])), &events);
        documents(&lines, &["record"], 0..END)
    };
    let never = json!([{"applies_to": "actual", "operator": "lt", "value": -1}]);
    let all = run(never.clone());
    let id = |one: &Value| format!("{} {}", one["timestamp"], one["partition_field_value"]);
    let number = |one: &Value, key: &str| one[key][0].as_f64().unwrap();
    type Of = fn(f64, f64) -> f64;
    let subjects: [(&str, Of); 3] = [
        ("actual", |actual, _| actual),
        ("typical", |_, typical| typical),
        ("diff_from_typical", |actual, typical| {
            (actual - typical).abs()
        }),
    ];
    for (subject, of) in subjects {
        let of = |one: &Value| of(number(one, "actual"), number(one, "typical"));
        let mut values: Vec<f64> = all.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let middle = values[values.len() / 2];
        for (operator, fits) in [
            ("gt", (|a, b| a > b) as fn(f64, f64) -> bool),
            ("gte", |a, b| a >= b),
            ("lt", |a, b| a < b),
            ("lte", |a, b| a <= b),
        ] {
            let left = run(json!([{"applies_to": subject, "operator": operator, "value": middle}]));
            let kept = all.iter().filter(|one| !fits(of(one), middle)).map(id);
            let kept: BTreeSet<String> = kept.collect();
            let found: BTreeSet<String> = left.iter().map(id).collect();
            assert_eq!(found, kept, "{subject} {operator} {middle}");
        }
    }
    // All of a rule's conditions, any of the rules.
    let both = json!([{"applies_to": "actual", "operator": "gt", "value": 20}, never[0]]);
    assert_eq!(run(both).len(), all.len());
    assert!(
        all.len() > run(json!([{"applies_to": "actual", "operator": "gt", "value": 20}])).len()
    );
}

#[test]
fn every_placement_says_the_same_under_rules() {
    let events = life(60, 500.0);
    for (detector, field, _) in DETECTORS {
        let rules = json!([
            {"actions": ["skip_result"], "scope": {field: {"filter_id": "burst"}}},
            {"actions": ["skip_model_update"], "conditions": [{"applies_to": "time", "operator": "gt", "value": 4000}]},
        ]);
        let job = job(detector, rules);
        let whole = fused(&job, &events);
        let apart = staged(&job, &events, 3, 4, |at, _| at % 3, &[0, 2, 1, 1]);
        assert_eq!(difference(&apart, &whole), None, "{detector}");
        if detector.contains("partition_field_name") {
            assert_eq!(
                difference(&keyed(&job, &events, 2), &whole),
                None,
                "{detector}"
            );
        }
    }
}

#[test]
fn a_forced_shift_moves_the_hours_that_models_know_once() {
    // Days with a tide that rises fastest at 2 UTC.
    let detector = r#"{"function":"sum","field_name":"value"}"#;
    let hour_ms = 3_600_000;
    let events: Vec<Happening> = (0..12 * 24)
        .map(|hour| Happening {
            at_ms: hour * hour_ms + 1,
            host: Some(0),
            user: 0,
            value: Some(
                300.0
                    + 250.0 * ((hour - 2) as f64 / 24.0 * std::f64::consts::TAU).sin()
                    + (hour * 7 % 5) as f64,
            ),
        })
        .collect();
    let change = 10 * 86_400;
    let typical_at_two = |rules: Value| {
        let job = job_with_span(detector, rules, "1h");
        let lines = fused(&job, &events);
        let at = (change + 2 * 3600) * 1000;
        let plots = documents(&lines, &["model_plot"], at / MINUTE_MS..at / MINUTE_MS + 1);
        plots[0]["model_median"].as_f64().unwrap()
    };
    let rules = |seconds: i64| {
        json!([{"actions": ["force_time_shift"], "params": {"force_time_shift": {"time_shift_amount": seconds}},
            "conditions": [{"applies_to": "time", "operator": "gte", "value": change}]}])
    };
    // An hour is worth 65 there.
    let typical = typical_at_two(json!([]));
    assert!((typical - 300.0).abs() < 30.0, "{typical}");
    let ahead = typical_at_two(rules(3600)) - typical;
    assert!((35.0..95.0).contains(&ahead), "ahead: {ahead}");
    let back = typical_at_two(rules(-3600)) - typical;
    assert!((-95.0..-35.0).contains(&back), "back: {back}");
}

fn job_with_span(detector: &str, rules: Value, span: &str) -> Arc<Job> {
    let mut document = job(detector, rules).document.clone();
    document["analysis_config"]["bucket_span"] = json!(span);
    if let Some(analysis) = document["analysis_config"].as_object_mut() {
        analysis.shift_remove("model_prune_window");
    }
    Arc::new(Job::from_value(&document).unwrap_or_else(|mistakes| panic!("{mistakes}")))
}

#[test]
fn rules_and_filters_change_nothing_that_snapshots_depend_on() {
    let (detector, field, _) = DETECTORS[0];
    let plain = job(detector, json!([]));
    let ruled = job(detector, scoped(field, &["skip_result"], "burst"));
    assert_eq!(plain.fingerprint, ruled.fingerprint);
    assert_ne!(plain.document, ruled.document);
}
