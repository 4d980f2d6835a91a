//! `datafeed_config`: which topics, what is made of their events, and what Elastic's searches need and topics do not.
//!
//! Source: rest-api.md 4.7, datafeed-usage.md 5.4. Everything is checked; what pulls from an index (scrolling, chunks, delays) is
//! kept for responses and has no effect, as reading a topic is not a search. What selects and computes is read by `query`, `computed` and
//! `aggregations`. Differs from Elastic: `latency` may be set beside a datafeed, for it is the allowed
//! lateness of the topic's events.

use super::aggregations::{self, Aggregated};
use super::analysis::{Analysis, TIME_MS_MAX};
use super::computed::{self, ComputedFields};
use super::object::{Grain, Object, shown};
use super::query;
use crate::config::id;
use crate::config::query::Query;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What Kibana's modules write where a set-up puts the index pattern, and the job's id.
const PLACEHOLDER_TOPIC: &str = "INDEX_PATTERN_NAME";
pub(super) const PLACEHOLDER_JOB: &str = "JOB_ID";

const DAY_MS: i64 = 86_400_000;
/// Elastic's default limit of an index's fields.
const QUERY_FIELDS_MAX: usize = 1000;

/// `datafeed_config` as written, defaults filled in.
pub(super) struct RawDatafeed {
    /// Topic names and `^` patterns, without repeats. None if a module's placeholder is all there was.
    pub(super) topics: Vec<String>,
    /// Which events are wanted.
    pub(super) query: Query<String>,
    /// Fields that are made of others.
    pub(super) computed: ComputedFields,
    /// What events are summed up to.
    pub(super) aggregated: Option<Aggregated>,
    /// The configuration as a response shows it.
    pub(super) document: Value,
}

/// Reads a job's datafeed.
pub(super) fn read(
    object: Object<'_>,
    job_id: Option<&str>,
    analysis: Option<&Analysis>,
    time_field: Option<&str>,
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
        && own != PLACEHOLDER_JOB
    {
        let message = format!("{} differs from the job's id, {job_id:?}", shown(own));
        object.wrong("job_id", message);
    }
    document.insert("datafeed_id".into(), datafeed_id.into());
    document.insert("job_id".into(), job_id.unwrap_or_default().into());
    // Elastic draws a delay of its own, and shows it in milliseconds.
    for (key, grain, least) in [
        ("query_delay", Grain::Millis, 0),
        ("frequency", Grain::Seconds, 1000),
    ] {
        if let Some(time) = object.time(key, grain, least..=TIME_MS_MAX) {
            document.insert(key.into(), time.text.into());
        }
    }
    let written = read_topics(&object);
    let topics = written.iter().map(|name| name_or_pattern(name)).collect();
    let indices = if written.is_empty() {
        vec![PLACEHOLDER_TOPIC.to_owned()]
    } else {
        written
    };
    document.insert("indices".into(), json!(indices));
    let query = read_query(&object, &mut document);
    let aggregated = read_aggregations(&object, analysis, time_field, &mut document);
    let computed = computed::read(&object, time_field);
    if object.value("headers").is_some() {
        object.wrong("headers", "is not allowed in a configuration; leave it out");
    }
    read_pulling(&object, analysis, &mut document);
    for key in ["script_fields", "runtime_mappings"] {
        if let Some(written) = object.value(key) {
            document.insert(key.into(), written.clone());
        }
    }
    if let Some(routing) = object.text("project_routing") {
        document.insert("project_routing".into(), routing.into());
    }
    object.finish();
    Some(RawDatafeed {
        topics,
        query,
        computed,
        aggregated,
        document: document.into(),
    })
}

/// The names as they are written, each once.
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
            None if topic == PLACEHOLDER_TOPIC => {}
            None if seen.insert(topic) => topics.push(topic.to_owned()),
            None => {}
        }
    }
    topics
}

/// `*` in the name of an index stands for any text, as in the packages that people have; no topic's name can hold one.
fn name_or_pattern(written: &str) -> String {
    match written.contains('*') && !written.starts_with('^') {
        true => format!("^{}$", written.replace('.', "\\.").replace('*', ".*")),
        false => written.to_owned(),
    }
}

/// Why a text is neither a topic's name (Kafka: 1 to 249 of `[a-zA-Z0-9._-]`), nor one with wildcards, nor a pattern.
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
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'*');
    match topic {
        "" => Some("must name a topic, not be empty".to_owned()),
        "." | ".." => Some(format!("{topic:?} is not a topic's name")),
        _ if topic.len() > 249 => {
            Some("is longer than 249 characters, the most that Kafka allows".to_owned())
        }
        _ if topic.bytes().all(legal) => None,
        _ => Some(format!(
            "{} is not a topic's name: letters, digits, '.', '_' and '-', or * for any text; a pattern begins with ^",
            shown(topic)
        )),
    }
}

/// The query, which may name so many fields that each has a number.
fn read_query(object: &Object<'_>, document: &mut Map<String, Value>) -> Query<String> {
    const KEY: &str = "query";
    let Some(written) = object.value(KEY) else {
        document.insert(KEY.into(), json!({"match_all": {}}));
        return Query::All;
    };
    document.insert(KEY.into(), written.clone());
    let query = query::read(object.path_of(KEY), written, object.report());
    let mut fields = BTreeSet::new();
    query.each_field(&mut |field, _| {
        fields.insert(field);
    });
    if fields.len() > QUERY_FIELDS_MAX {
        let message = format!(
            "names {} fields; at most {QUERY_FIELDS_MAX} are allowed",
            fields.len()
        );
        object.wrong(KEY, message);
    }
    query
}

/// What sums events up before the analysis sees them.
fn read_aggregations(
    object: &Object<'_>,
    analysis: Option<&Analysis>,
    time_field: Option<&str>,
    document: &mut Map<String, Value>,
) -> Option<Aggregated> {
    let filled = |key| {
        let body = object.free(key)?;
        (!body.is_empty()).then_some((key, body))
    };
    let (first, second) = (filled("aggregations"), filled("aggs"));
    if first.is_some() && second.is_some() {
        object.wrong("aggs", "is the same as aggregations; keep one of the two");
    }
    let (key, body) = first.or(second)?;
    document.insert("aggregations".into(), Value::Object(body.clone()));
    let scripts = object.free("script_fields");
    if scripts.is_some_and(|scripts| !scripts.is_empty()) {
        object.wrong("script_fields", "cannot be used with aggregations");
    }
    aggregations::read(object, key, analysis?, time_field.unwrap_or_default())
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
