//! The jobs that a seed may have: between them every function and split, with rules, filters, calendars, categories of messages, series that go together.

use super::draw::Draw;
use super::feed::{BEGIN_MS, IDLE_TIMEOUT_MS, SPAN_MS, TOPIC};
use serde_json::{Value, json};
use std::sync::Arc;
use tidewatch::config::Job;

/// What a job looks at.
struct Look {
    detectors: &'static str,
    /// Whether each of them is split by the host, so that the topic may be said to be keyed by it.
    by_host: bool,
    /// Further keys of `analysis_config`.
    more: &'static str,
}

const fn look(by_host: bool, detectors: &'static str) -> Look {
    Look {
        detectors,
        by_host,
        more: "{}",
    }
}

const LOOKS: [Look; 16] = [
    look(false, r#"[{"function":"count"}]"#),
    look(
        true,
        r#"[{"function":"mean","field_name":"value","partition_field_name":"host"}]"#,
    ),
    look(
        true,
        r#"[{"function":"high_count","partition_field_name":"host"},{"function":"sum","field_name":"value","by_field_name":"status","partition_field_name":"host"}]"#,
    ),
    look(
        false,
        r#"[{"function":"distinct_count","field_name":"status"},{"function":"max","field_name":"value","by_field_name":"host"}]"#,
    ),
    look(
        true,
        r#"[{"function":"info_content","field_name":"message","partition_field_name":"host"},{"function":"high_info_content","field_name":"value","over_field_name":"user","partition_field_name":"host"}]"#,
    ),
    look(
        false,
        r#"[{"function":"low_info_content","field_name":"value"},{"function":"time_of_week","by_field_name":"user"}]"#,
    ),
    look(
        true,
        r#"[{"function":"time_of_day","by_field_name":"user","partition_field_name":"host"},{"function":"lat_long","field_name":"place","partition_field_name":"host"}]"#,
    ),
    look(
        false,
        r#"[{"function":"lat_long","field_name":"place","over_field_name":"user"},{"function":"time_of_day","over_field_name":"host"},{"function":"lat_long","field_name":"place","by_field_name":"host"}]"#,
    ),
    look(
        false,
        r#"[{"function":"rare","by_field_name":"status","over_field_name":"host"},{"function":"freq_rare","by_field_name":"status","over_field_name":"user"},{"function":"rare","by_field_name":"user"}]"#,
    ),
    look(
        true,
        r#"[{"function":"rare","by_field_name":"user","partition_field_name":"host"},{"function":"count","over_field_name":"user","partition_field_name":"host"},{"function":"low_mean","field_name":"value","by_field_name":"status","over_field_name":"user","partition_field_name":"host"}]"#,
    ),
    look(
        false,
        r#"[{"function":"metric","field_name":"value"},{"function":"median","field_name":"value","over_field_name":"user"},{"function":"varp","field_name":"value","by_field_name":"host","use_null":true},{"function":"min","field_name":"value","partition_field_name":"host"}]"#,
    ),
    look(
        false,
        r#"[{"function":"non_zero_count","by_field_name":"user","exclude_frequent":"by"},{"function":"low_count"},{"function":"non_null_sum","field_name":"value","partition_field_name":"host"}]"#,
    ),
    Look {
        more: r#"{"multivariate_by_fields":true}"#,
        ..look(
            true,
            r#"[{"function":"mean","field_name":"value","by_field_name":"user","partition_field_name":"host"},{"function":"count","by_field_name":"user","partition_field_name":"host"}]"#,
        )
    },
    Look {
        more: r#"{"multivariate_by_fields":true}"#,
        ..look(false, r#"[{"function":"count","by_field_name":"user"}]"#)
    },
    Look {
        more: r#"{"categorization_field_name":"message"}"#,
        ..look(
            false,
            r#"[{"function":"count","by_field_name":"mlcategory"},{"function":"rare","by_field_name":"mlcategory","partition_field_name":"host"}]"#,
        )
    },
    Look {
        more: r#"{"categorization_field_name":"message","per_partition_categorization":{"enabled":true}}"#,
        ..look(
            true,
            r#"[{"function":"count","by_field_name":"mlcategory","partition_field_name":"host"},{"function":"high_mean","field_name":"value","partition_field_name":"host"}]"#,
        )
    },
];

const QUERIES: [&str; 4] = [
    r#"{"match_all":{}}"#,
    r#"{"match_all":{}}"#,
    r#"{"range":{"value":{"gt":95}}}"#,
    r#"{"exists":{"field":"status"}}"#,
];

/// What is the same for all jobs of a seed.
pub(crate) struct Common {
    /// Whether a host's events are all in one partition; or, now and then, only said to be.
    pub(crate) is_keyed: bool,
    pub(crate) lateness_s: i64,
    pub(crate) is_revised: bool,
    pub(crate) buckets: i64,
}

/// Each looks at the events in its own way, and is laid out in its own way.
pub(crate) fn job(id: &str, common: &Common, draw: &mut Draw) -> Arc<Job> {
    let look = &LOOKS[draw.range(0, LOOKS.len() as u64) as usize];
    let mut detectors: Value = serde_json::from_str(look.detectors).expect("detectors");
    for detector in detectors.as_array_mut().expect("a list") {
        if draw.one_in(4) {
            detector["custom_rules"] = json!([rule(detector, common.buckets, draw)]);
        }
    }
    // A topic that is said to be keyed and is not: the values that are not where they belong are told of.
    let is_keyed = look.by_host && draw.one_in(if common.is_keyed { 2 } else { 4 });
    let mut analysis: Value = serde_json::from_str(look.more).expect("an object");
    analysis["bucket_span"] = json!("60s");
    analysis["latency"] = json!(format!("{}s", common.lateness_s));
    analysis["detectors"] = detectors;
    analysis["influencers"] = match draw.one_in(3) {
        true => json!(["status"]),
        false => json!(["host", "status"]),
    };
    let query: Value = serde_json::from_str(QUERIES[draw.range(0, 4) as usize]).expect("a query");
    let mut extensions = json!({
        "keyed_by_partition_field": is_keyed,
        "shards": draw.range(1, 4),
        "idle_timeout": format!("{IDLE_TIMEOUT_MS}ms"),
        "interim_interval": if draw.one_in(2) { "0s" } else { "400ms" },
        "late_revision_window": if common.is_revised { "5m" } else { "0s" },
        "filters": [{"filter_id": "known", "items": ["h0", "*2"]}],
    });
    if draw.one_in(4) {
        let events = [0, 1].map(|_| planned(common.buckets, draw));
        extensions["calendars"] = json!([{"calendar_id": "plan", "events": events}]);
    }
    let mut body = json!({
        "job_id": id,
        "analysis_config": analysis,
        "data_description": {"time_field": "time", "time_format": "epoch_ms"},
        "datafeed_config": {"indices": [TOPIC], "query": query},
        "tidewatch": extensions,
    });
    if draw.one_in(4) {
        body["model_plot_config"] = json!({"enabled": true});
    }
    let job = Job::from_value(&body);
    Arc::new(job.unwrap_or_else(|mistakes| panic!("{body}: {mistakes}")))
}

/// The beginning and the end of a few buckets.
fn stretch(buckets: i64, draw: &mut Draw) -> (i64, i64) {
    let first = draw.range(0, buckets as u64) as i64;
    let last = first + 1 + draw.range(0, 5) as i64;
    (BEGIN_MS + first * SPAN_MS, BEGIN_MS + last * SPAN_MS)
}

/// A rule that the detector may have.
fn rule(detector: &Value, buckets: i64, draw: &mut Draw) -> Value {
    let function = detector["function"].as_str().unwrap_or_default();
    let is_habit = ["time_of_day", "time_of_week", "lat_long"].contains(&function);
    let has_value = !["metric", "rare", "freq_rare", "lat_long"].contains(&function);
    let splits = ["by_field_name", "over_field_name", "partition_field_name"];
    let has_host = splits.iter().any(|split| detector[*split] == "host");
    let (from, to) = stretch(buckets, draw);
    let time = |operator: &str, ms: i64| json!({"applies_to": "time", "operator": operator, "value": ms / 1000});
    let during = json!([time("gte", from), time("lt", to)]);
    let actions = [
        json!(["skip_result"]),
        json!(["skip_model_update"]),
        json!(["skip_result", "skip_model_update"]),
    ][draw.range(0, 3) as usize]
        .clone();
    match draw.range(0, 4) {
        0 if has_host => {
            let kind = ["include", "exclude"][draw.range(0, 2) as usize];
            json!({"actions": actions, "scope": {"host": {"filter_id": "known", "filter_type": kind}}})
        }
        1 if has_value => {
            let (applies_to, value) = [("actual", 8), ("typical", 100), ("diff_from_typical", 3)]
                [draw.range(0, 3) as usize];
            json!({"actions": actions, "conditions": [{"applies_to": applies_to, "operator": "lt", "value": value}]})
        }
        2 if !is_habit => json!({
            "actions": ["force_time_shift"],
            "params": {"force_time_shift": {"time_shift_amount": 3600}},
            "conditions": [time("gte", from)],
        }),
        _ => json!({"actions": actions, "conditions": during}),
    }
}

/// Something that is known beforehand.
fn planned(buckets: i64, draw: &mut Draw) -> Value {
    let (from, to) = stretch(buckets, draw);
    let mut event = json!({"description": "planned", "start_time": from, "end_time": to});
    if draw.one_in(2) {
        event["entities"] = json!({"host": ["h1", "h3"]});
    }
    if draw.one_in(3) {
        event["skip_result"] = json!(false);
    }
    event
}
