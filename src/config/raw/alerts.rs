//! Reading what somebody says of alerts: `tidewatch.alerts` of a job, and `alerts.defaults` of a service, key by key the same.

use super::analysis::TIME_MS_MAX;
use super::object::{Grain, Object, Report};
use crate::config::Mistake;
use crate::config::alerts::{AlertSubject, AlertWords, GroupBy, Silence};
use serde_json::Value;

/// The same from a value that stands at `path` of a service's configuration.
pub(crate) fn read_at(path: &str, value: &Value) -> (AlertWords, Vec<Mistake>) {
    let report = Report::default();
    let words = Object::new(path.to_owned(), value, &report).map(read);
    (words.unwrap_or_default(), report.into_mistakes())
}

/// Reads the words.
pub(super) fn read(object: Object<'_>) -> AlertWords {
    let time = |key: &'static str, least_ms: i64| {
        let time = object.time(key, Grain::Millis, least_ms..=TIME_MS_MAX);
        time.map(|time| time.ms)
    };
    let words = AlertWords {
        subject: read_subject(&object),
        threshold: score(&object, "threshold"),
        resolve_below: score(&object, "resolve_below"),
        resolve_after_ms: time("resolve_after", 0),
        repeat_interval_ms: time("repeat_interval", 1000),
        include_interim: object.boolean("include_interim"),
        group_by: read_group_by(&object),
        rate_limit: object
            .integer("rate_limit", 0..=10_000)
            .map(|limit| limit as u32), // in range, just checked
        rate_window_ms: time("rate_window", 1000),
        silences: object
            .objects("silences")
            .unwrap_or_default()
            .into_iter()
            .map(read_silence)
            .collect(),
    };
    if let (Some(threshold), Some(below)) = (words.threshold, words.resolve_below)
        && below > threshold
    {
        object.wrong(
            "resolve_below",
            format!(
                "{below} is above the threshold of {threshold}; an incident would end as it begins"
            ),
        );
    }
    object.finish();
    words
}

fn read_subject(object: &Object<'_>) -> Option<AlertSubject> {
    match object.text("result_type")? {
        "record" => Some(AlertSubject::Record),
        "influencer" => Some(AlertSubject::Influencer),
        "bucket" => Some(AlertSubject::Bucket),
        other => {
            object.wrong(
                "result_type",
                format!("{other:?} has no score to alert on; record, influencer or bucket"),
            );
            None
        }
    }
}

/// A score that something may be held against: above 0, at most 100.
fn score(object: &Object<'_>, key: &'static str) -> Option<f64> {
    let value = object.value(key)?;
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let score = number.filter(|score| *score > 0.0 && *score <= 100.0);
    if score.is_none() {
        object.wrong(key, format!("{value} is not a score above 0 and up to 100"));
    }
    score
}

fn read_group_by(object: &Object<'_>) -> Option<GroupBy> {
    let fields = object.texts("group_by")?;
    let names: Vec<String> = fields.iter().map(|(_, name)| (*name).to_owned()).collect();
    match names.as_slice() {
        [] => {
            object.wrong(
                "group_by",
                "is empty; \"entity\", \"job\" or names of fields",
            );
            None
        }
        [one] if one == "entity" => Some(GroupBy::Entity),
        [one] if one == "job" => Some(GroupBy::Job),
        _ => Some(GroupBy::Fields(names)),
    }
}

fn read_silence(object: Object<'_>) -> Silence {
    let silence = Silence {
        from_ms: instant(&object, "from"),
        until_ms: instant(&object, "until"),
        fields: object
            .free("match")
            .into_iter()
            .flatten()
            .filter_map(|(field, value)| match value {
                Value::String(text) => Some((field.clone(), text.clone())),
                Value::Number(number) => Some((field.clone(), number.to_string())),
                _ => {
                    let path = format!("{}.{field}", object.path_of("match"));
                    object.wrong_at(path, "must be a text; * stands for any part of it");
                    None
                }
            })
            .collect(),
        comment: object.text("comment").unwrap_or_default().to_owned(),
    };
    if let (Some(from), Some(until)) = (silence.from_ms, silence.until_ms)
        && until <= from
    {
        object.wrong("until", "is not after from; such a silence never holds");
    }
    if !["from", "until", "match"].iter().any(|key| object.has(key)) {
        object
            .wrong_here("says neither from, until nor match; to hear of nothing, leave alerts off");
    }
    object.finish();
    silence
}

/// ISO 8601 with a zone, in milliseconds since the epoch.
fn instant(object: &Object<'_>, key: &'static str) -> Option<i64> {
    let text = object.text(key)?;
    match chrono::DateTime::parse_from_rfc3339(text) {
        Ok(time) => Some(time.timestamp_millis()),
        Err(_) => {
            object.wrong(
                key,
                format!("{text:?} is not a time such as \"2026-03-09T15:00:00Z\""),
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mistakes(value: Value) -> Vec<String> {
        let (_, mistakes) = read_at("alerts.defaults", &value);
        mistakes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_key_is_read() {
        let (words, mistakes) = read_at(
            "a",
            &json!({"result_type": "influencer", "threshold": 60, "resolve_below": "40", "resolve_after": "30m", "repeat_interval": "2h",
                "include_interim": true, "group_by": ["service.name", "host.name"], "rate_limit": 3, "rate_window": "1d",
                "silences": [{"match": {"host.name": "web-*"}, "from": "2026-03-09T15:00:00+01:00", "comment": "moving"}]}),
        );
        assert_eq!(mistakes, []);
        assert_eq!(words.subject, Some(AlertSubject::Influencer));
        assert_eq!(
            (words.threshold, words.resolve_below),
            (Some(60.0), Some(40.0))
        );
        assert_eq!(words.resolve_after_ms, Some(1_800_000));
        assert_eq!(words.rate_window_ms, Some(86_400_000));
        assert_eq!(words.silences[0].from_ms, Some(1_773_064_800_000));
        let fields = ["service.name", "host.name"].map(str::to_owned).to_vec();
        assert_eq!(words.group_by, Some(GroupBy::Fields(fields)));
    }

    #[test]
    fn each_mistake_says_where_it_is_and_what_would_have_been_right() {
        assert_eq!(
            mistakes(
                json!({"result_type": "model_plot", "threshold": 0, "resolve_below": "high", "group_by": [], "tresholds": 1,
                "silences": [{"from": "yesterday"}, {"comment": "all"}, {"match": {"a": {}}}]})
            ),
            [
                "alerts.defaults.result_type: \"model_plot\" has no score to alert on; record, influencer or bucket",
                "alerts.defaults.threshold: 0 is not a score above 0 and up to 100",
                "alerts.defaults.resolve_below: \"high\" is not a score above 0 and up to 100",
                "alerts.defaults.group_by: is empty; \"entity\", \"job\" or names of fields",
                "alerts.defaults.silences[0].from: \"yesterday\" is not a time such as \"2026-03-09T15:00:00Z\"",
                "alerts.defaults.silences[1]: says neither from, until nor match; to hear of nothing, leave alerts off",
                "alerts.defaults.silences[2].match.a: must be a text; * stands for any part of it",
                "alerts.defaults.tresholds: unknown field; did you mean \"threshold\"?",
            ]
        );
        assert_eq!(
            mistakes(json!({"threshold": 50, "resolve_below": 60})),
            [
                "alerts.defaults.resolve_below: 60 is above the threshold of 50; an incident would end as it begins"
            ]
        );
    }
}
