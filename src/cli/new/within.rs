//! Events that stand inside others: batches of records, as collectors and APIs write them.

use super::time::SECONDS;
use crate::config::TimeFormat;
use crate::decode::instant_in;
use crate::engine::event;
use serde_json::Value;

/// More levels than this are not looked at.
const DEPTH_MAX: usize = 8;

/// Where a document keeps what may be its events, and how `jq` takes them out, an event a line; `None` where it has no list of what has a time.
pub(super) fn advice(bytes: &[u8]) -> Option<String> {
    let mut documents = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    let first = documents.next()?.ok()?;
    let steps = first_list(&first, 0)?;
    let (place, filter) = match steps.is_of_pairs {
        false => (steps.path.clone(), steps.path),
        true => {
            let (outer, list) = steps.path.rsplit_once('.')?;
            let list = list.trim_end_matches("[]");
            let outer = if outer.is_empty() { "." } else { outer };
            let filter = format!(
                "{outer} | . as $all | .{list}[] | {{time: .[0], value: .[1]}} + ($all | del(.{list}))"
            );
            (steps.path, filter)
        }
    };
    Some(format!(
        "events may be inside others, at {place}: jq -c '{filter}' FILE takes them out, one a line (docs/events.md#events-inside-others)"
    ))
}

struct Steps {
    /// As jq has it: `.a.b[].c[]`.
    path: String,
    is_of_pairs: bool,
    depth: usize,
}

/// The list nearest to the top whose elements are objects with a time, or hold one, or are pairs of a time and a value.
fn first_list(value: &Value, depth: usize) -> Option<Steps> {
    let Value::Object(object) = value else {
        return None;
    };
    let within = object.iter().filter_map(|(key, value)| {
        let list = value.as_array();
        let first = list.and_then(|list| list.first());
        let is_of_pairs =
            matches!(first, Some(Value::Array(pair)) if pair.len() == 2 && is_time(&pair[0]));
        let has_time = |object: &serde_json::Map<String, Value>| object.values().any(is_time);
        let step = match list {
            Some(_) => format!(".{}[]", name(key)),
            None => format!(".{}", name(key)),
        };
        if is_of_pairs || first.and_then(Value::as_object).is_some_and(has_time) {
            return Some(Steps {
                path: step,
                is_of_pairs,
                depth,
            });
        }
        // Elasticsearch's hits: each an envelope with the event in it.
        let of_envelope = first.and_then(Value::as_object).and_then(|envelope| {
            let is_event = |value: &Value| value.as_object().is_some_and(has_time);
            envelope.iter().find(|(_, value)| is_event(value))
        });
        if let Some((key, _)) = of_envelope {
            return Some(Steps {
                path: format!("{step}.{}", name(key)),
                is_of_pairs: false,
                depth,
            });
        }
        let steps = match depth < DEPTH_MAX {
            true => first_list(first.unwrap_or(value), depth + 1)?,
            false => return None,
        };
        Some(Steps {
            path: step + &steps.path,
            ..steps
        })
    });
    within.min_by_key(|steps| steps.depth)
}

/// Whether a value may be a time: a count of some unit since 1970, or a text that says one.
pub(super) fn is_time(value: &Value) -> bool {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    match (number, value) {
        (Some(number), _) => [1.0, 1e3, 1e6, 1e9]
            .into_iter()
            .any(|unit| SECONDS.contains(&(number / unit))),
        (None, Value::String(text)) => {
            instant_in(&TimeFormat::Auto, &event::Value::Text(text.as_str().into())).is_some()
        }
        _ => false,
    }
}

/// A key as jq takes it behind a dot.
fn name(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match key.chars().all(plain) && !key.starts_with(|c: char| c.is_ascii_digit()) {
        true => key.to_owned(),
        false => Value::from(key).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_say_where_their_events_are() {
        for (document, filter) in [
            (
                r#"{"Records":[{"eventTime":"2026-03-02T00:00:00Z","resources":[{"at":"2026-03-02T00:00:00Z"}]}]}"#,
                Some("'.Records[]'"),
            ),
            (
                r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a"}}]},"scopeLogs":[{"logRecords":[{"timeUnixNano":"1772409600000000000","attributes":[{"key":"t","value":"2026-03-02"}]}]}]}]}"#,
                Some("'.resourceLogs[].scopeLogs[].logRecords[]'"),
            ),
            (
                r#"{"data":{"result":[{"metric":{"job":"api"},"values":[[1772409600,"2"],[1772409660,"4"]]}]}}"#,
                Some(
                    "'.data.result[] | . as $all | .values[] | {time: .[0], value: .[1]} + ($all | del(.values))'",
                ),
            ),
            (
                r#"{"metric":"cpu","points":[[1772409600,2.5]]}"#,
                Some(
                    "'. | . as $all | .points[] | {time: .[0], value: .[1]} + ($all | del(.points))'",
                ),
            ),
            (r#"{"a-b":[{"t":1772409600}]}"#, Some(r#"'."a-b"[]'"#)),
            (
                r#"{"took":1,"hits":{"hits":[{"_id":"1","_source":{"@timestamp":"2026-03-02T00:00:00Z"}}]}}"#,
                Some("'.hits.hits[]._source'"),
            ),
            (r#"{"time":1,"tags":["a","b"]}"#, None),
            ("no json", None),
        ] {
            let advice = advice(document.as_bytes());
            match (advice, filter) {
                (Some(advice), Some(filter)) => assert!(advice.contains(filter), "{advice}"),
                (advice, filter) => assert_eq!(advice.is_some(), filter.is_some(), "{document}"),
            }
        }
    }
}
