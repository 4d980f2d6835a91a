//! `aggregations`: what a search would sum up before the analysis sees it, said of single events.
//!
//! Three shapes are run (datafeed-usage.md 5.5):
//! * **plain**: a histogram over time, perhaps inside `terms`, with `avg`, `min`, `max`, `sum` of fields. An analysis of sums is one of the
//!   events: the aggregation falls away, and so does `doc_count`; what it renames stays renamed. Each detector's function must be the one
//!   that its aggregation has begun (a mean of `avg`, a maximum of `max`), for the maximum of averages is told by no event;
//! * **distinct**: the summary count is a `cardinality`: counts are of distinct values in each interval;
//! * **counters**: `terms`, histogram, `max` of a counter, `derivative`, and perhaps a `bucket_script` that keeps what is positive.
//!
//! `size`, `order` and the like limit a search's answer and mean nothing here. Anything else is refused where it stands.

use super::analysis::Analysis;
use super::object::{Object, shown};
use crate::config::datafeed::Intervals;
use crate::config::function::Family;
use crate::config::time_text::TimeText;
use serde_json::Value;
use std::collections::BTreeMap;

/// An aggregation as what it makes of events.
#[derive(Debug, Default)]
pub(super) struct Aggregated {
    /// Fields by the name that the aggregation gives them.
    pub(super) names: BTreeMap<String, String>,
    /// The field whose distinct values are counted in each interval, instead of events.
    pub(super) counted_by: Option<String>,
    /// Counters whose differences are analysed.
    pub(super) counters: Option<RawCounters>,
    pub(super) intervals: Option<Intervals>,
}

/// Differences of counters.
#[derive(Debug, Default)]
pub(super) struct RawCounters {
    /// Names that the aggregation gives to what tells entities apart.
    pub(super) entity: Vec<String>,
    /// Source field, target field, and whether only rises count.
    pub(super) differences: Vec<(String, String, bool)>,
}

/// Aggregations inside one another.
const DEPTH_MAX: usize = 10;

/// What stands in the tree, by name, with its path.
#[derive(Default)]
struct Found {
    histogram: Option<(String, Intervals)>,
    terms: Vec<(String, String)>,
    metrics: BTreeMap<String, Metric>,
    derivatives: BTreeMap<String, (String, String)>,
    /// Name → path of what it is the positive part of.
    positives: BTreeMap<String, (String, String)>,
}

struct Metric {
    path: String,
    kind: String,
    field: String,
}

/// Reads the tree under `key` (`aggregations` or `aggs`). `None` when it cannot be run (which is noted).
pub(super) fn read(
    datafeed: &Object<'_>,
    key: &'static str,
    analysis: &Analysis,
    time_field: &str,
) -> Option<Aggregated> {
    let tree = datafeed.object(key)?;
    let mut found = Found::default();
    level(&tree, &mut found, 0);
    let Some((path, intervals)) = &found.histogram else {
        datafeed.wrong(
            key,
            "has no date_histogram, which a datafeed's aggregations need",
        );
        return None;
    };
    let intervals = *intervals;
    if let Some(span) = analysis.bucket_span.as_ref().filter(|_| intervals.ms > 0)
        && (span.ms % intervals.ms != 0 || intervals.offset_ms % intervals.ms != 0)
    {
        let message = format!(
            "must divide the bucket span ({:?}), with an offset of whole intervals",
            span.text
        );
        tree.wrong_at(path.clone(), message);
    }
    let mut made = Aggregated {
        intervals: Some(intervals),
        ..Aggregated::default()
    };
    for (name, field) in &found.terms {
        made.names.insert(name.clone(), field.clone());
    }
    count_by(datafeed, key, analysis, &found, &mut made);
    for detector in &analysis.detectors {
        let Some(field) = detector.names.field.as_deref() else {
            continue;
        };
        let here = format!("{}.field_name", detector.path);
        analysed(
            &tree,
            &here,
            field,
            detector.function.family,
            &found,
            &mut made,
        );
    }
    if let Some(counters) = &mut made.counters {
        counters.entity = found.terms.iter().map(|(name, _)| name.clone()).collect();
    }
    made.names
        .retain(|name, field| name != field && name != time_field);
    Some(made)
}

/// What the summary count counts.
fn count_by(
    datafeed: &Object<'_>,
    key: &str,
    analysis: &Analysis,
    found: &Found,
    made: &mut Aggregated,
) {
    let Some(name) = analysis.summary_count_field.as_deref() else {
        let message = "needs analysis_config.summary_count_field_name, usually \"doc_count\"";
        datafeed.wrong(key, message);
        return;
    };
    match found.metrics.get(name) {
        _ if name == "doc_count" => {}
        Some(metric) if metric.kind == "cardinality" => {
            made.counted_by = Some(metric.field.clone());
            for detector in &analysis.detectors {
                if !matches!(
                    detector.function.family,
                    Family::Count | Family::NonZeroCount
                ) {
                    datafeed.report().unsupported(
                        format!("{}.function", detector.path),
                        "functions other than counts beside a cardinality as summary count",
                    );
                }
            }
        }
        Some(metric) => datafeed.report().unsupported(
            metric.path.clone(),
            format!(
                "{} as the summary count; doc_count or a cardinality is",
                metric.kind
            ),
        ),
        None => {
            let message = format!("{} is neither doc_count nor an aggregation", shown(name));
            let path = "analysis_config.summary_count_field_name".to_owned();
            datafeed.wrong_at(path, message);
        }
    }
}

/// What a detector's field is.
fn analysed(
    tree: &Object<'_>,
    path: &str,
    name: &str,
    family: Family,
    found: &Found,
    made: &mut Aggregated,
) {
    if let Some(metric) = found.metrics.get(name) {
        let begun = match metric.kind.as_str() {
            "avg" => &[Family::Mean][..],
            "max" => &[Family::Max],
            "min" => &[Family::Min],
            "sum" => &[Family::Sum, Family::NonNullSum],
            _ => &[],
        };
        match begun.contains(&family) {
            true => drop(made.names.insert(name.to_owned(), metric.field.clone())),
            false => tree.report().unsupported(
                metric.path.clone(),
                format!(
                    "{} of each interval under {path}, whose function goes on otherwise; avg goes with mean, max with max, min with min, sum with sum",
                    metric.kind
                ),
            ),
        }
        return;
    }
    let (of, rises_only) = match found.positives.get(name) {
        Some((of, _)) => (of.as_str(), true),
        None => (name, false),
    };
    if let Some((source, at)) = found.derivatives.get(of) {
        match found.metrics.get(source) {
            Some(metric) if metric.kind == "max" => {
                let counters = made.counters.get_or_insert_default();
                let difference = (metric.field.clone(), name.to_owned(), rises_only);
                if !counters.differences.contains(&difference) {
                    counters.differences.push(difference);
                }
            }
            _ => tree.report().unsupported(
                at.clone(),
                "a derivative of anything but a max in the same histogram",
            ),
        }
        return;
    }
    if !found.terms.iter().any(|(term, _)| term == name) {
        let message = format!("{} is no aggregation of this datafeed", shown(name));
        tree.wrong_at(path.to_owned(), message);
    }
}

/// Aggregations beside one another.
fn level(tree: &Object<'_>, found: &mut Found, depth: usize) {
    if depth > DEPTH_MAX {
        let message = format!("nests deeper than {DEPTH_MAX} aggregations");
        tree.wrong_here(message);
        return;
    }
    for (path, name, body) in tree.entries() {
        let Some(body) = tree.object_at(path, body) else {
            continue;
        };
        let mut kinds = body
            .entries()
            .filter(|(_, key, _)| !["aggs", "aggregations", "meta"].contains(key));
        let (Some((path, kind, parameters)), None) = (kinds.next(), kinds.next()) else {
            body.wrong_here("must be one aggregation, such as {\"max\": {\"field\": \"bytes\"}}");
            continue;
        };
        if let Some(parameters) = body.object_at(path, parameters) {
            one(&parameters, name, kind, found);
        }
        for key in ["aggregations", "aggs"] {
            if let Some(inner) = body.object(key) {
                level(&inner, found, depth + 1);
            }
        }
    }
}

fn one(parameters: &Object<'_>, name: &str, kind: &str, found: &mut Found) {
    match kind {
        "date_histogram" => histogram(parameters, found),
        "terms" => {
            if let Some(field) = field_of(parameters) {
                found.terms.push((name.to_owned(), field));
            }
        }
        "composite" => composite(parameters, found),
        "avg" | "min" | "max" | "sum" | "cardinality" | "value_count" => {
            if let Some(field) = field_of(parameters) {
                let metric = Metric {
                    path: parameters.path().to_owned(),
                    kind: kind.to_owned(),
                    field,
                };
                found.metrics.insert(name.to_owned(), metric);
            }
        }
        "derivative" => {
            if parameters.has("unit") {
                parameters.unsupported("unit", "a derivative by a unit of time");
            }
            if let Some(of) = parameters.text("buckets_path") {
                let at = parameters.path().to_owned();
                found
                    .derivatives
                    .insert(name.to_owned(), (without_value(of).to_owned(), at));
            }
        }
        "bucket_script" => bucket_script(parameters, name, found),
        _ => parameters.report().unsupported(
            parameters.path(),
            "this aggregation; known are date_histogram, terms, composite, avg, min, max, sum, cardinality, derivative and bucket_script",
        ),
    }
}

/// `max_of.value` is `max_of`.
fn without_value(path: &str) -> &str {
    path.strip_suffix(".value").unwrap_or(path)
}

fn field_of(parameters: &Object<'_>) -> Option<String> {
    for key in ["script", "missing", "include", "exclude"] {
        if parameters.has(key) {
            parameters.unsupported(key, "this parameter of an aggregation; select by the query");
        }
    }
    let field = parameters.name("field");
    if field.is_none() {
        parameters.wrong("field", "is missing");
    }
    field.map(str::to_owned)
}

fn composite(parameters: &Object<'_>, found: &mut Found) {
    for source in parameters.objects("sources").unwrap_or_default() {
        for (path, name, body) in source.entries() {
            let Some(body) = source.object_at(path, body) else {
                continue;
            };
            for (path, kind, parameters) in body.entries() {
                match body.object_at(path, parameters) {
                    Some(parameters) if ["terms", "date_histogram"].contains(&kind) => {
                        one(&parameters, name, kind, found);
                    }
                    Some(parameters) => parameters
                        .report()
                        .unsupported(parameters.path(), "this source of a composite"),
                    None => {}
                }
            }
        }
    }
}

fn histogram(parameters: &Object<'_>, found: &mut Found) {
    if found.histogram.is_some() {
        parameters.wrong_here("is a second date_histogram; a datafeed has one");
        return;
    }
    let keys = ["fixed_interval", "interval", "calendar_interval"];
    let given = keys
        .into_iter()
        .find_map(|key| Some((key, parameters.text(key)?)));
    let Some((key, text)) = given else {
        parameters.wrong("fixed_interval", "is missing");
        return;
    };
    let text = match text {
        "minute" | "1m" => "1m",
        "hour" => "1h",
        "day" => "1d",
        "week" => "7d",
        other => other,
    };
    let Some(ms) = TimeText::parse(text)
        .ok()
        .map(|time| time.ms)
        .filter(|ms| *ms > 0)
    else {
        parameters.unsupported(key, format!("the interval {}", shown(text)));
        return;
    };
    if let Some(zone) = parameters
        .text("time_zone")
        .filter(|zone| !["UTC", "Z", "+00:00"].contains(zone))
    {
        parameters.unsupported("time_zone", format!("the zone {}", shown(zone)));
    }
    let offset = match parameters.value("offset") {
        None => Some(0),
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(text)) => signed_ms(text),
        Some(_) => None,
    };
    if offset.is_none() {
        parameters.wrong("offset", "must be a time such as \"5m\"");
    }
    let intervals = Intervals {
        ms,
        offset_ms: offset.unwrap_or(0),
    };
    found.histogram = Some((parameters.path_of(key), intervals));
}

fn signed_ms(text: &str) -> Option<i64> {
    match text.strip_prefix('-') {
        Some(text) => TimeText::parse(text).ok().map(|time| -time.ms),
        None => {
            let text = text.trim_start_matches('+');
            if text == "0" {
                Some(0)
            } else {
                TimeText::parse(text).ok().map(|time| time.ms)
            }
        }
    }
}

/// A script that keeps what is positive: `params.x > 0.0 ? params.x : 0.0`, or `Math.max(0, params.x)`.
fn bucket_script(parameters: &Object<'_>, name: &str, found: &mut Found) {
    let paths = parameters.object("buckets_path");
    let script = match parameters.value("script") {
        Some(Value::Object(script)) => script.get("source").and_then(Value::as_str),
        Some(Value::String(source)) => Some(source.as_str()),
        _ => None,
    };
    let (Some(paths), Some(script)) = (paths, script) else {
        parameters.wrong_here("needs buckets_path and script");
        return;
    };
    let compact: String = script
        .chars()
        .filter(|c| !c.is_whitespace() && *c != ';')
        .collect();
    let compact = compact.replace("0.0", "0");
    for (_, parameter, path) in paths.entries() {
        let x = format!("params.{parameter}");
        let positive = [
            format!("{x}>0?{x}:0"),
            format!("({x}>0)?{x}:0"),
            format!("Math.max(0,{x})"),
            format!("Math.max({x},0)"),
        ];
        if let Some(of) = path.as_str().filter(|_| positive.contains(&compact)) {
            let of = (without_value(of).to_owned(), parameters.path().to_owned());
            found.positives.insert(name.to_owned(), of);
            return;
        }
    }
    parameters.report().unsupported(
        parameters.path_of("script"),
        "a script other than the positive part, params.x > 0.0 ? params.x : 0.0",
    );
}
