//! What the engine finds in small worlds whose truth is known.

use super::support::{Happening, JOBS, fused, job, results};
use proptest::prelude::*;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidewatch::engine::event::{Reason, Rejection};
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::Pipeline;
use tidewatch::time::Finality;

/// The last word on every document of a kind, parsed.
pub(super) fn documents(lines: &[String], kind: &str) -> Vec<Value> {
    let latest: BTreeMap<&str, &str> = lines
        .iter()
        .map(|line| line.split_once(' ').unwrap())
        .collect();
    let parsed = latest
        .into_values()
        .map(|body| serde_json::from_str::<Value>(body).unwrap());
    parsed
        .filter(|document| document["result_type"] == kind)
        .collect()
}

/// Minutes of noise around `each` events a minute.
fn steady(minutes: i64, each: i64) -> Vec<Happening> {
    let mut source = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let mut dice = |sides: u64| (source.next_u64() % sides) as i64;
    let mut events = Vec::new();
    for minute in 0..minutes {
        for _ in 0..each + dice(9) - 4 {
            let value = 90.0 + dice(20_000) as f64 / 1000.0;
            events.push(Happening {
                at_ms: minute * 60_000 + dice(60_000),
                host: Some(dice(3) as u8),
                user: dice(5) as u8,
                value: Some(value),
            });
        }
    }
    events.sort_by_key(|event| event.at_ms);
    events
}

#[test]
fn a_burst_by_one_user_is_one_critical_record_that_names_the_user() {
    let mut events = steady(400, 30);
    events.extend((0..300).map(|i| Happening {
        at_ms: 350 * 60_000 + i * 100,
        host: Some(1),
        user: 4,
        value: Some(100.0),
    }));
    events.sort_by_key(|event| event.at_ms);
    let lines = fused(&job(0), &events);
    let records = documents(&lines, "record");
    let worst = records
        .iter()
        .max_by(|a, b| {
            a["record_score"]
                .as_f64()
                .unwrap()
                .total_cmp(&b["record_score"].as_f64().unwrap())
        })
        .unwrap();
    assert_eq!(worst["timestamp"], 350 * 60_000, "{worst}");
    assert!(worst["record_score"].as_f64().unwrap() >= 75.0, "{worst}");
    assert!(worst["probability"].as_f64().unwrap() < 1e-10, "{worst}");
    let blamed = worst["influencers"].as_array().unwrap();
    assert!(
        blamed
            .iter()
            .any(|one| one["influencer_field_name"] == "user"
                && one["influencer_field_values"] == serde_json::json!(["user-4"])),
        "{worst}"
    );
    assert_eq!(worst["anomaly_score_explanation"]["anomaly_type"], "spike");
    let sentence = worst["description"].as_str().unwrap();
    assert!(
        sentence.starts_with("The event count was 3") && sentence.contains("times above the usual"),
        "{sentence}"
    );
    let critical = records
        .iter()
        .filter(|record| record["record_score"].as_f64().unwrap() >= 75.0)
        .count();
    assert_eq!(critical, 1, "{records:#?}");
}

#[test]
fn an_outage_of_one_host_is_a_dip_of_that_host() {
    let mut events = steady(400, 60);
    events.retain(|event| !(event.host == Some(2) && (300..310).contains(&(event.at_ms / 60_000))));
    let lines = fused(&job(4), &events);
    let tail = |record: &Value| {
        format!(
            "{} {} {} {}",
            record["timestamp"].as_i64().unwrap() / 60_000,
            record["record_score"],
            record["probability"],
            record["description"]
        )
    };
    let told: Vec<String> = documents(&lines, "record")
        .iter()
        .map(tail)
        .filter(|told| told.contains("host-2"))
        .collect();
    let hit = documents(&lines, "record").into_iter().find(|record| {
        record["function"] == "low_count"
            && record["partition_field_value"] == "host-2"
            && record["record_score"].as_f64().unwrap() >= 75.0
    });
    let hit = hit.unwrap_or_else(|| panic!("the outage is critical: {told:#?}"));
    assert!(
        (300..303).contains(&(hit["timestamp"].as_i64().unwrap() / 60_000)),
        "{hit}"
    );
    assert_eq!(hit["actual"], serde_json::json!([0.0]));
    assert_eq!(hit["host"], serde_json::json!(["host-2"]), "the copy field");
}

#[test]
fn a_quiet_world_has_hardly_a_critical_record() {
    for number in 0..6 {
        let lines = fused(&job(number), &steady(600, 30));
        let plots = documents(&lines, "record").len();
        let loud: Vec<String> = documents(&lines, "record")
            .iter()
            .filter(|record| record["record_score"].as_f64().unwrap() >= 75.0)
            .map(|record| {
                format!(
                    "{} {} {}",
                    record["timestamp"].as_i64().unwrap() / 60_000,
                    record["record_score"],
                    record["description"]
                )
            })
            .collect();
        // Up to 42 series in 600 buckets each; a score is for the job, so their number must not show.
        assert!(loud.len() <= 5, "job {number}, {plots} records: {loud:#?}");
    }
}

#[test]
fn a_gap_of_ten_years_costs_a_thousand_empty_buckets_and_the_job_goes_on() {
    let mut events = steady(100, 10);
    let decade = 10 * 365 * 86_400_000;
    events.extend(steady(50, 10).into_iter().map(|event| Happening {
        at_ms: event.at_ms + decade,
        ..event
    }));
    let lines = fused(&job(0), &events);
    let buckets = documents(&lines, "bucket");
    let empty = buckets
        .iter()
        .filter(|bucket| bucket["event_count"] == 0)
        .count();
    assert_eq!((buckets.len(), empty), (1150, 1000));
}

#[test]
fn a_value_never_seen_before_names_who_brought_it() {
    let mut events = steady(200, 30);
    events.push(Happening {
        at_ms: 150 * 60_000 + 7,
        host: Some(9),
        user: 77,
        value: None,
    });
    events.sort_by_key(|event| event.at_ms);
    let job = tidewatch::config::Job::from_value(&serde_json::json!({
        "job_id": "strangers",
        "analysis_config": {"bucket_span": "60s", "influencers": ["host", "user"], "detectors": [{"function": "count", "by_field_name": "host"}]},
        "data_description": {"time_field": "time"},
    }));
    let records = documents(&fused(&Arc::new(job.unwrap()), &events), "record");
    let first = records
        .iter()
        .find(|record| record["by_field_value"] == "host-9")
        .unwrap_or_else(|| panic!("{records:?}"));
    assert_eq!(first["timestamp"], 150 * 60_000);
    assert_eq!(
        first["influencers"],
        serde_json::json!([
            {"influencer_field_name": "host", "influencer_field_values": ["host-9"]},
            {"influencer_field_name": "user", "influencer_field_values": ["user-77"]},
        ])
    );
    let why = &first["anomaly_score_explanation"];
    assert_eq!(why["by_field_first_occurrence"], true);
    assert!(
        why["typical_value"].is_null(),
        "what is 0 is left out: {why}"
    );
    assert_eq!(
        first["description"],
        "The event count for host host-9, never seen before, was 1; mostly user user-77."
    );
}

#[test]
fn without_an_event_there_is_no_bucket_and_the_counts_are_told_all_the_same() {
    let mut pipeline = Pipeline::new(job(0));
    let refused = Rejection {
        reason: Reason::Malformed,
        detail: String::new(),
        raw_bytes: 5,
    };
    let mut lines: Vec<String> = results(pipeline.handle(Input::Rejected(&refused))).collect();
    lines.extend(results(pipeline.handle(Input::Flush(Finality::Final))));
    assert_eq!(lines.len(), 1, "{lines:?}");
    let counts = &documents(&lines, "data_counts")[0];
    assert_eq!(counts["bucket_count"], 0);
    assert_eq!(counts["rejected_event_counts"]["malformed"], 1);
}

#[test]
fn of_a_value_far_out_metric_tells_the_extreme_and_not_the_mean_that_it_moved() {
    for (seed, outlier, told) in [(7, -200.0, "min"), (8, -200.0, "min"), (7, 400.0, "max")] {
        let mut source = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let mut events: Vec<Happening> = (0..302 * 23)
            .map(|n| Happening {
                at_ms: n * 60_000 / 23,
                host: Some(0),
                user: 0,
                value: Some(90.0 + (source.next_u64() % 20_000) as f64 / 1000.0),
            })
            .collect();
        let at_ms = 300 * 60_000 + 30_000;
        events.push(Happening {
            at_ms,
            host: Some(0),
            user: 0,
            value: Some(outlier),
        });
        events.sort_by_key(|event| event.at_ms);
        let records = documents(&fused(&job(3), &events), "record");
        let record = records
            .iter()
            .find(|record| record["timestamp"] == 300 * 60_000 && record["function"] == "metric")
            .expect("a record of the outlier's minute");
        assert_eq!(record["function_description"], told, "{record}");
        assert_eq!(record["actual"], serde_json::json!([outlier]), "{record}");
    }
}

#[test]
fn counts_are_told_while_the_input_goes_on_as_of_the_bucket_told_of() {
    let events = steady(60, 5);
    let mut pipeline = Pipeline::new(job(0));
    let mut lines = Vec::new();
    for event in &events {
        let outputs = event.with_event(&job(0), |event| pipeline.handle(Input::Event(event)));
        lines.extend(results(outputs));
    }
    let told: Vec<(i64, u64)> = lines
        .iter()
        .map(|line| serde_json::from_str(line.split_once(' ').unwrap().1).unwrap())
        .filter(|document: &Value| document["result_type"] == "data_counts")
        .map(|document| {
            (
                document["bucket_count"].as_i64().unwrap(),
                document["processed_record_count"].as_u64().unwrap(),
            )
        })
        .collect();
    let until = |minute: i64| {
        let before = events.iter().filter(|event| event.at_ms < minute * 60_000);
        (minute, before.count() as u64)
    };
    assert_eq!(told, [until(24), until(48)]);
}

#[test]
fn model_sizes_have_every_field_that_a_client_looks_for() {
    let sizes = documents(&fused(&job(2), &steady(10, 5)), "model_size_stats");
    let fields: Vec<&String> = sizes[0].as_object().unwrap().keys().collect();
    let expected = "assignment_memory_basis bucket_allocation_failures_count categorization_status categorized_doc_count \
        dead_category_count failed_category_count frequent_category_count job_id memory_status model_bytes model_bytes_exceeded \
        model_bytes_memory_limit peak_model_bytes rare_category_count refused_growth_count refused_series_count result_type timestamp total_by_field_count \
        total_category_count total_over_field_count total_partition_field_count";
    let mut found: Vec<&str> = fields.into_iter().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, expected.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn the_status_of_memory_says_how_near_the_limit_is_and_falls_again() {
    let job: Value = serde_json::json!({
        "job_id": "full", "data_description": {"time_field": "time"}, "analysis_limits": {"model_memory_limit": "1mb"},
        "analysis_config": {"bucket_span": "60s", "detectors":
            [{"function": "count", "by_field_name": "user", "partition_field_name": "host"}]},
    });
    let job = Arc::new(tidewatch::config::Job::from_value(&job).expect("a job"));
    // Every minute 120 series that were not there before.
    let events: Vec<Happening> = (0..12_000)
        .map(|n| Happening {
            at_ms: n * 500,
            host: Some((n / 250) as u8),
            user: (n % 250) as u8,
            value: None,
        })
        .collect();
    let sizes = documents(&fused(&job, &events), "model_size_stats");
    let mut seen: Vec<&str> = Vec::new();
    let mut failures = 0;
    let mut by_time: Vec<&Value> = sizes.iter().collect();
    by_time.sort_by_key(|size| size["timestamp"].as_i64());
    for size in by_time {
        let status = size["memory_status"].as_str().unwrap();
        let used = size["model_bytes"].as_f64().unwrap() / f64::from(1 << 20);
        let refused = size["bucket_allocation_failures_count"].as_u64().unwrap();
        let expected = match used {
            _ if refused > failures => "hard_limit",
            0.9.. => "hard_limit",
            0.8.. => "soft_limit",
            _ => "ok",
        };
        assert_eq!(status, expected, "{size}");
        assert!(used <= 1.0, "{size}");
        assert!(
            size["refused_series_count"].as_u64() >= Some(refused),
            "{size}"
        );
        failures = refused;
        if seen.last() != Some(&status) {
            seen.push(status);
        }
    }
    // What came once is forgotten after a dozen buckets, and there is room again.
    assert!(
        seen.starts_with(&["ok"]) && seen.windows(2).any(|two| two == ["hard_limit", "ok"]),
        "{seen:?}"
    );
    assert!(seen.contains(&"soft_limit"), "{seen:?}");
    assert!(failures > 10, "{failures} buckets with refusals");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn scores_and_probabilities_stay_within_bounds_whatever_the_values(
        number in 0..JOBS.len(),
        values in prop::collection::vec(prop_oneof![Just(0.0), Just(1.0), any::<f64>().prop_filter("finite", |x| x.is_finite()), -1e3..1e3f64], 5..150),
    ) {
        let events: Vec<Happening> = values.iter().enumerate().map(|(i, &x)| Happening { at_ms: i as i64 * 20_000, host: Some((i % 2) as u8), user: (i % 3) as u8, value: Some(x) }).collect();
        for line in fused(&job(number), &events) {
            prop_assert!(!line.contains(":null") && !line.contains("[null"), "no NaN, no infinity: {}", line);
            let document: Value = serde_json::from_str(line.split_once(' ').unwrap().1).unwrap();
            for score in ["record_score", "initial_record_score", "anomaly_score", "initial_anomaly_score", "influencer_score"] {
                if let Some(score) = document[score].as_f64() {
                    prop_assert!((0.0..=100.0).contains(&score));
                }
            }
            if let Some(p) = document["probability"].as_f64() {
                prop_assert!(p > 0.0 && p <= 1.0);
            }
        }
    }
}

#[test]
fn an_anomaly_weighs_more_the_longer_it_lasts() {
    let mut events = steady(400, 30);
    let (from, until) = (350, 356);
    events.extend((from..until).flat_map(|minute| {
        (0..14).map(move |i| Happening {
            at_ms: minute * 60_000 + 30_000 + i * 100,
            host: Some(1),
            user: 4,
            value: Some(100.0),
        })
    }));
    events.sort_by_key(|event| event.at_ms);
    let records = documents(&fused(&job(0), &events), "record");
    let impact_of = |minute: i64| {
        let of_bucket = |record: &&Value| record["timestamp"] == minute * 60_000;
        let why = &records.iter().find(of_bucket)?["anomaly_score_explanation"];
        assert_eq!(why["anomaly_length"], minute - from + 1, "{why}");
        why["anomaly_characteristics_impact"].as_u64()
    };
    let impacts: Vec<u64> = (from..until).filter_map(impact_of).collect();
    assert!(impacts.len() >= 3 && impacts.is_sorted(), "{impacts:?}");
    assert!(impacts.last() > impacts.first(), "{impacts:?}");
}
