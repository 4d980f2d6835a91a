//! `datafeed_config`: which topics, and what Elastic's searches need and topics do not.
//!
//! Source: rest-api.md 4.7, datafeed-usage.md 5.4. Everything is checked; what pulls from an index (scrolling, chunks, delays) is
//! kept for responses and has no effect, as reading a topic is not a search. What would select or compute (query, aggregations,
//! scripts) is refused until it is built. Differs from Elastic: `latency` may be set beside a datafeed, for it is the allowed
//! lateness of the topic's events.

use super::analysis::{Analysis, TIME_MS_MAX};
use super::object::{Grain, Object, shown};
use crate::config::id;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

const DAY_MS: i64 = 86_400_000;

/// `datafeed_config` as written, defaults filled in.
pub(super) struct RawDatafeed {
    /// Topic names and `^` patterns, without repeats.
    pub(super) topics: Vec<String>,
    /// The configuration as a response shows it.
    pub(super) document: Value,
}

/// Reads a job's datafeed. `None` when it has no topic (which is noted).
pub(super) fn read(
    object: Object<'_>,
    job_id: Option<&str>,
    analysis: Option<&Analysis>,
) -> Option<RawDatafeed> {
    let mut document = Map::new();
    let datafeed_id = object.text("datafeed_id").or(job_id).unwrap_or_default();
    if object.has("datafeed_id")
        && let Err(error) = id::check(datafeed_id)
    {
        object.wrong("datafeed_id", error.to_string());
    }
    if let (Some(own), Some(job_id)) = (object.text("job_id"), job_id)
        && own != job_id
    {
        let message = format!("{} differs from the job's id, {job_id:?}", shown(own));
        object.wrong("job_id", message);
    }
    document.insert("datafeed_id".into(), datafeed_id.into());
    document.insert("job_id".into(), job_id.unwrap_or_default().into());
    for key in ["query_delay", "frequency"] {
        let least = if key == "frequency" { 1000 } else { 0 };
        if let Some(time) = object.time(key, Grain::Seconds, least..=TIME_MS_MAX) {
            document.insert(key.into(), time.text.into());
        }
    }
    let topics = read_topics(&object);
    document.insert("indices".into(), json!(topics));
    let query = read_query(&object);
    document.insert("query".into(), query);
    check_computed(&object, analysis);
    read_pulling(&object, analysis, &mut document);
    for key in ["script_fields", "runtime_mappings"] {
        if object.has(key) {
            document.insert(key.into(), json!({}));
        }
    }
    if let Some(routing) = object.text("project_routing") {
        document.insert("project_routing".into(), routing.into());
    }
    object.finish();
    (!topics.is_empty()).then_some(RawDatafeed {
        topics,
        document: document.into(),
    })
}

fn read_topics(object: &Object<'_>) -> Vec<String> {
    let key = match (object.value("indices"), object.value("indexes")) {
        (None, Some(_)) => "indexes",
        (Some(_), Some(_)) => {
            object.wrong("indexes", "is the same as indices; keep one of the two");
            "indices"
        }
        _ => "indices",
    };
    let written = object.texts(key);
    let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    if object.value(key).is_none_or(is_empty) {
        let message = "needs at least one topic, or a pattern that begins with ^";
        object.wrong(key, message);
    }
    let mut topics: Vec<String> = Vec::new();
    let mut seen = BTreeSet::new();
    for (path, topic) in written.unwrap_or_default() {
        match invalid_topic(topic) {
            Some(message) => object.wrong_at(path, message),
            None if seen.insert(topic) => topics.push(topic.to_owned()),
            None => {}
        }
    }
    topics
}

/// Why a text is neither a topic's name (Kafka: 1 to 249 of `[a-zA-Z0-9._-]`) nor a pattern.
fn invalid_topic(topic: &str) -> Option<String> {
    if topic.starts_with('^') {
        let error = regex::Regex::new(topic).err()?.to_string();
        let reason = error.lines().last().unwrap_or_default().trim();
        let reason = reason.strip_prefix("error: ").unwrap_or(reason);
        return Some(format!(
            "{} is not a regular expression: {reason}",
            shown(topic)
        ));
    }
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    match topic {
        "" => Some("must name a topic, not be empty".to_owned()),
        _ if topic.contains('*') => {
            let pattern = topic.replace('.', "\\.").replace('*', ".*");
            let pattern = shown(&format!("^{pattern}$"));
            Some(format!(
                "{} has a wildcard; as a pattern it is {pattern}",
                shown(topic)
            ))
        }
        "." | ".." => Some(format!("{topic:?} is not a topic's name")),
        _ if topic.len() > 249 => {
            Some("is longer than 249 characters, the most that Kafka allows".to_owned())
        }
        _ if topic.bytes().all(legal) => None,
        _ => Some(format!(
            "{} is not a topic's name: letters, digits, '.', '_' and '-'; a pattern begins with ^",
            shown(topic)
        )),
    }
}

/// The query, which may only be one that selects everything.
fn read_query(object: &Object<'_>) -> Value {
    let all = json!({"match_all": {}});
    let Some(query) = object.free("query") else {
        return all;
    };
    if !selects_everything(query, 0) {
        let what = "queries other than match_all; select before the topic, or by its choice";
        object.unsupported("query", what);
    }
    Value::Object(query.clone())
}

/// `match_all`, or a `bool` that demands nothing else.
fn selects_everything(query: &Map<String, Value>, depth: usize) -> bool {
    let Some((kind, body)) = query.iter().next().filter(|_| query.len() == 1) else {
        return false;
    };
    let Value::Object(body) = body else {
        return false;
    };
    let is_all = |clause: &Value| matches!(clause, Value::Object(query) if depth < 8 && selects_everything(query, depth + 1));
    match kind.as_str() {
        "match_all" => body.keys().all(|key| key == "boost"),
        "bool" => body.iter().all(|(key, clauses)| match clauses {
            Value::Array(clauses) if ["must", "filter"].contains(&key.as_str()) => {
                clauses.iter().all(is_all)
            }
            Value::Array(clauses) => key == "must_not" && clauses.is_empty(),
            one => ["must", "filter"].contains(&key.as_str()) && is_all(one),
        }),
        _ => false,
    }
}

/// What computes fields or buckets before the analysis sees them.
fn check_computed(object: &Object<'_>, analysis: Option<&Analysis>) {
    let filled = |key| object.free(key).is_some_and(|body| !body.is_empty());
    let mut aggregated = None;
    for key in ["aggregations", "aggs"] {
        if filled(key) {
            aggregated = Some(key);
            object.unsupported(
                key,
                "aggregations; give the topic's events themselves to the job",
            );
        }
    }
    if let Some(key) = aggregated
        && analysis.is_some_and(|analysis| analysis.summary_count_field.is_none())
    {
        object.wrong(
            key,
            "needs analysis_config.summary_count_field_name, usually \"doc_count\"",
        );
    }
    for (key, what) in [
        ("script_fields", "fields computed by scripts"),
        ("runtime_mappings", "runtime fields"),
    ] {
        if filled(key) {
            object.unsupported(key, what);
            if key == "script_fields" && aggregated.is_some() {
                object.wrong(key, "cannot be used with aggregations");
            }
        }
    }
    if object.value("headers").is_some() {
        object.wrong("headers", "is not allowed in a configuration; leave it out");
    }
}

/// What steers searches: checked, shown, and without effect on topics.
fn read_pulling(
    object: &Object<'_>,
    analysis: Option<&Analysis>,
    document: &mut Map<String, Value>,
) {
    let scroll_size = object.integer("scroll_size", 1..=i64::from(i32::MAX));
    document.insert("scroll_size".into(), scroll_size.unwrap_or(1000).into());
    document.insert("chunking_config".into(), read_chunking(object));
    document.insert(
        "delayed_data_check_config".into(),
        read_delayed_check(object, analysis),
    );
    if let Some(most) = object.integer("max_empty_searches", -1..=i64::from(i32::MAX)) {
        match most {
            0 => object.wrong("max_empty_searches", "must be at least 1, or -1 for none"),
            -1 => {}
            most => drop(document.insert("max_empty_searches".into(), most.into())),
        }
    }
    let mut options = json!({"expand_wildcards": ["open"], "ignore_unavailable": false, "allow_no_indices": true, "ignore_throttled": true});
    if let Some(given) = object.object("indices_options") {
        if let Some(words) = given.texts("expand_wildcards") {
            let words: Vec<&str> = words.into_iter().map(|(_, word)| word).collect();
            options["expand_wildcards"] = json!(words);
        }
        for key in ["ignore_unavailable", "allow_no_indices", "ignore_throttled"] {
            if let Some(given) = given.boolean(key) {
                options[key] = given.into();
            }
        }
        given.finish();
    }
    document.insert("indices_options".into(), options);
}

fn read_chunking(object: &Object<'_>) -> Value {
    let Some(chunking) = object.object("chunking_config") else {
        return json!({"mode": "auto"});
    };
    let mode = chunking.text("mode").map(str::to_ascii_lowercase);
    let span = chunking.time("time_span", Grain::Seconds, 1000..=TIME_MS_MAX);
    match mode.as_deref() {
        None if !chunking.has("mode") => chunking.wrong("mode", "is missing; auto, manual or off"),
        Some("manual") if !chunking.has("time_span") => {
            chunking.wrong("time_span", "must be set with mode manual");
        }
        Some("auto" | "off") if chunking.has("time_span") => {
            chunking.wrong("time_span", "can only be set with mode manual");
        }
        None | Some("auto" | "manual" | "off") => {}
        Some(other) => {
            let message = format!("{} is not one of auto, manual and off", shown(other));
            chunking.wrong("mode", message);
        }
    }
    chunking.finish();
    let mut shown = json!({"mode": mode});
    if let Some(span) = span {
        shown["time_span"] = span.text.into();
    }
    shown
}

fn read_delayed_check(object: &Object<'_>, analysis: Option<&Analysis>) -> Value {
    let mut document = json!({"enabled": true});
    let Some(check) = object.object("delayed_data_check_config") else {
        return document;
    };
    document["enabled"] = check.boolean("enabled").unwrap_or(true).into();
    if let Some(window) = check.time("check_window", Grain::Seconds, 1000..=DAY_MS) {
        let span = analysis.and_then(|analysis| analysis.bucket_span.as_ref());
        let broken = span.and_then(|span| match window.ms {
            ms if ms < span.ms => Some(format!("is less than the bucket span ({:?})", span.text)),
            ms if ms / span.ms > 10_000 => {
                Some(format!("is more than 10000 bucket spans ({:?})", span.text))
            }
            _ => None,
        });
        if let Some(broken) = broken {
            check.wrong("check_window", format!("{:?} {broken}", window.text));
        }
        document["check_window"] = window.text.into();
    }
    check.finish();
    document
}
