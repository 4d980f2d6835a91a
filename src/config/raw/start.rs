//! `tidewatch.start`: where a job without a position begins to read.
//!
//! `earliest`, `latest`, an instant (ISO 8601, a day, or epoch milliseconds, as Elastic's datafeeds take it), or
//! `{offsets: {"topic/partition": offset}}`. Times are those of the messages, milliseconds since the epoch.
//! Checked: the table below; tests/config.

use super::object::{Object, kind_of, shown};
use crate::config::extensions::Start;
use crate::time::EventTime;
use chrono::{DateTime, NaiveDate, NaiveTime};
use serde_json::Value;
use std::collections::BTreeMap;

const KEY: &str = "start";
const RIGHT: &str = "\"earliest\", \"latest\", a time such as \"2026-03-02T00:00:00Z\", or {offsets: {\"topic/0\": 42}}";

/// Reads the key, which is there; `None` when it is wrong (which is noted).
pub(super) fn read(object: &Object<'_>) -> Option<Start> {
    match object.value(KEY)? {
        Value::Object(_) => read_offsets(object.object(KEY)?),
        Value::Number(number) => match number.as_i64().filter(|ms| *ms >= 0) {
            Some(ms) => Some(Start::Time(ms)),
            None => wrong(object, format!("{number} is not a time in milliseconds")),
        },
        Value::String(text) => match text.as_str() {
            "earliest" => Some(Start::Earliest),
            "latest" => Some(Start::Latest),
            text => match instant(text) {
                Some(time) => Some(Start::Time(time.millis())),
                None => wrong(object, format!("{} is not {RIGHT}", shown(text))),
            },
        },
        other => wrong(object, format!("must be {RIGHT}, not {}", kind_of(other))),
    }
}

fn wrong(object: &Object<'_>, message: String) -> Option<Start> {
    object.wrong(KEY, message);
    None
}

/// A moment as people write it: RFC 3339, a day (its beginning in UTC), or milliseconds since the epoch. Not before the epoch.
pub(crate) fn instant(text: &str) -> Option<EventTime> {
    let day = |text: &str| {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        Some(day.and_time(NaiveTime::MIN).and_utc().timestamp_millis())
    };
    let ms = DateTime::parse_from_rfc3339(text)
        .map(|time| time.timestamp_millis())
        .ok()
        .or_else(|| day(text))
        .or_else(|| text.parse().ok())?;
    (0..=EventTime::MAX.millis())
        .contains(&ms)
        .then_some(EventTime(ms))
}

fn read_offsets(object: Object<'_>) -> Option<Start> {
    let Some(written) = object.free("offsets") else {
        object.wrong("offsets", "is missing; say {\"topic/0\": 42}");
        return None;
    };
    let mut offsets = BTreeMap::new();
    let mut is_right = true;
    for (place, offset) in written {
        let at = place
            .rsplit_once('/')
            .and_then(|(topic, number)| Some((topic, number.parse::<i32>().ok()?)))
            .filter(|(topic, number)| !topic.is_empty() && *number >= 0);
        match (at, offset.as_i64().filter(|offset| *offset >= 0)) {
            (Some((topic, partition)), Some(offset)) => {
                offsets.insert((topic.to_owned(), partition), offset);
            }
            (None, _) => {
                is_right = false;
                let message = format!("{} is not topic/partition", shown(place));
                object.wrong("offsets", message);
            }
            (_, None) => {
                is_right = false;
                let message = format!("{}: {offset} is not an offset", shown(place));
                object.wrong("offsets", message);
            }
        }
    }
    object.finish();
    is_right.then_some(Start::Offsets(offsets))
}

#[cfg(test)]
mod tests {
    use super::instant;

    #[test]
    fn moments_are_days_rfc_3339_or_milliseconds() {
        for (text, ms) in [
            ("1970-01-02", Some(86_400_000)),
            ("1970-01-01T00:00:01Z", Some(1_000)),
            ("1970-01-01T02:00:00+02:00", Some(0)),
            ("1700000000000", Some(1_700_000_000_000)),
            ("1969-12-31", None),
            ("-5", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(instant(text).map(|time| time.millis()), ms, "{text}");
        }
    }
}
