//! Reading a JSON object without stopping at the first mistake.
//!
//! An [`Object`] hands out its properties by name and type. What has the wrong type is noted in the [`Report`] and reads as absent,
//! so that the rest is still looked at; at the end, [`Object::finish`] notes every property that nobody asked for. Nothing here
//! fails, and a configuration is good exactly when its report is empty.
//!
//! As in Elastic, whole numbers and booleans may be written as strings, and one element may stand for a list of one.

use super::suggest::nearest;
use crate::config::error::{Mistake, MistakeKind};
use crate::config::time_text::TimeText;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::ops::RangeInclusive;

/// The mistakes found so far.
#[derive(Default)]
pub(super) struct Report {
    mistakes: RefCell<Vec<Mistake>>,
}

impl Report {
    /// A rule is broken at `path`.
    pub(super) fn wrong(&self, path: impl Into<String>, message: impl Into<String>) {
        self.push(MistakeKind::Invalid, path.into(), message.into());
    }

    /// `what`, at `path`, is right but not built yet.
    pub(super) fn unsupported(&self, path: impl Into<String>, what: impl AsRef<str>) {
        let message = format!("not supported yet: {}", what.as_ref());
        self.push(MistakeKind::NotSupported, path.into(), message);
    }

    fn push(&self, kind: MistakeKind, path: String, message: String) {
        self.mistakes.borrow_mut().push(Mistake {
            kind,
            path,
            message,
        });
    }

    /// Everything noted, in order.
    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes.into_inner()
    }
}

/// In which steps a duration is allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Grain {
    /// Whole seconds.
    Seconds,
    /// Whole milliseconds.
    Millis,
}

/// An object of the configuration, and where it stands.
pub(super) struct Object<'a> {
    path: String,
    properties: &'a Map<String, Value>,
    report: &'a Report,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Object<'a> {
    /// `value` as an object standing at `path`; noted and `None` when it is something else.
    pub(super) fn new(path: String, value: &'a Value, report: &'a Report) -> Option<Object<'a>> {
        let Value::Object(properties) = value else {
            report.wrong(path, format!("must be an object, not {}", kind_of(value)));
            return None;
        };
        Some(Object {
            path,
            properties,
            report,
            known: RefCell::default(),
        })
    }

    /// Where the object stands.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Where mistakes are noted.
    pub(super) fn report(&self) -> &'a Report {
        self.report
    }

    /// Its properties, where their names are free: each with where it stands.
    pub(super) fn entries(&self) -> impl Iterator<Item = (String, &'a str, &'a Value)> {
        let entries = self.properties.iter();
        entries.map(|(key, value)| (self.path_of(key), key.as_str(), value))
    }

    /// Where its property `key` stands.
    pub(super) fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Whether the property is written, well or badly.
    pub(super) fn has(&self, key: &str) -> bool {
        self.properties.contains_key(key)
    }

    /// Notes a broken rule at the property `key`.
    pub(super) fn wrong(&self, key: &str, message: impl Into<String>) {
        self.report.wrong(self.path_of(key), message);
    }

    /// Notes a broken rule at the object itself.
    pub(super) fn wrong_here(&self, message: impl Into<String>) {
        self.report.wrong(self.path.clone(), message);
    }

    /// Notes a broken rule at a place below.
    pub(super) fn wrong_at(&self, path: String, message: impl Into<String>) {
        self.report.wrong(path, message);
    }

    /// `value`, which stands at `path` below, as an object.
    pub(super) fn object_at(&self, path: String, value: &'a Value) -> Option<Object<'a>> {
        Object::new(path, value, self.report)
    }

    /// Notes that the property `key` asks for something not built yet.
    pub(super) fn unsupported(&self, key: &str, what: impl AsRef<str>) {
        self.report.unsupported(self.path_of(key), what);
    }

    /// The property as written.
    pub(super) fn value(&self, key: &'static str) -> Option<&'a Value> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        self.properties.get(key)
    }

    fn mistyped(&self, key: &str, wanted: &str, value: &Value) {
        let hint = match value {
            Value::Null => "; leave it out instead",
            Value::Number(_) if wanted.starts_with("a string") => "; put it between quotes",
            _ => "",
        };
        self.wrong(
            key,
            format!("must be {wanted}, not {}{hint}", kind_of(value)),
        );
    }

    /// A string.
    pub(super) fn text(&self, key: &'static str) -> Option<&'a str> {
        match self.value(key)? {
            Value::String(text) => Some(text),
            other => {
                self.mistyped(key, "a string", other);
                None
            }
        }
    }

    /// A string; the empty one counts as absent.
    pub(super) fn name(&self, key: &'static str) -> Option<&'a str> {
        self.text(key).filter(|name| !name.is_empty())
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, key: &'static str) -> Option<bool> {
        match self.value(key)? {
            Value::Bool(b) => Some(*b),
            Value::String(text) if text == "true" || text == "false" => Some(text == "true"),
            other => {
                self.mistyped(key, "true or false", other);
                None
            }
        }
    }

    /// A whole number in `range`.
    pub(super) fn integer(&self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.value(key)?;
        let Some(number) = whole_number(value) else {
            self.mistyped(key, "a whole number", value);
            return None;
        };
        if !range.contains(&number) {
            let (least, most) = range.into_inner();
            let rule = match most {
                i64::MAX => format!("at least {least}"),
                most => format!("in {least}..={most}"),
            };
            self.wrong(key, format!("{number} is out of range; must be {rule}"));
            return None;
        }
        Some(number)
    }

    /// A duration of whole `grain`s, in milliseconds within `range_ms`.
    pub(super) fn time(
        &self,
        key: &'static str,
        grain: Grain,
        range_ms: RangeInclusive<i64>,
    ) -> Option<TimeText> {
        let value = self.value(key)?;
        let Value::String(text) = value else {
            match value {
                // Quotes alone would not help: what is missing is the unit.
                Value::Number(number) if number.is_i64() && number.as_i64() != Some(0) => {
                    let error = TimeText::parse(&number.to_string()).err();
                    self.wrong(key, error.map_or(String::new(), |error| error.to_string()));
                }
                _ => self.mistyped(key, "a string such as \"15m\"", value),
            }
            return None;
        };
        let time = match TimeText::parse(text) {
            Ok(time) => time,
            Err(error) => {
                self.wrong(key, error.to_string());
                return None;
            }
        };
        let show = |ms: i64| match ms % 1000 {
            0 => TimeText::from_seconds(ms / 1000).text,
            _ => format!("{ms}ms"),
        };
        let broken = if grain == Grain::Seconds && time.seconds().is_none() {
            "must be whole seconds".to_owned()
        } else if time.ms < *range_ms.start() {
            format!("is too short; at least {}", show(*range_ms.start()))
        } else if time.ms > *range_ms.end() {
            format!("is too long; at most {}", show(*range_ms.end()))
        } else {
            return Some(time);
        };
        self.wrong(key, format!("{:?} {broken}", time.text));
        None
    }

    /// Strings, each with where it stands.
    pub(super) fn texts(&self, key: &'static str) -> Option<Vec<(String, &'a str)>> {
        let texts = self.elements(key)?.into_iter().filter_map(|(path, value)| {
            if let Value::String(text) = value {
                return Some((path, text.as_str()));
            }
            self.report
                .wrong(path, format!("must be a string, not {}", kind_of(value)));
            None
        });
        Some(texts.collect())
    }

    /// An object.
    pub(super) fn object(&self, key: &'static str) -> Option<Object<'a>> {
        Object::new(self.path_of(key), self.value(key)?, self.report)
    }

    /// Objects.
    pub(super) fn objects(&self, key: &'static str) -> Option<Vec<Object<'a>>> {
        let objects = self.elements(key)?.into_iter();
        Some(
            objects
                .filter_map(|(path, value)| Object::new(path, value, self.report))
                .collect(),
        )
    }

    /// An object whose property names are free.
    pub(super) fn free(&self, key: &'static str) -> Option<&'a Map<String, Value>> {
        self.object(key).map(|object| object.properties)
    }

    /// The elements of a list, each with where it stands.
    pub(super) fn elements(&self, key: &'static str) -> Option<Vec<(String, &'a Value)>> {
        let path = self.path_of(key);
        match self.value(key)? {
            Value::Array(values) => {
                let places = (0..).map(|at: usize| format!("{path}[{at}]"));
                Some(places.zip(values).collect())
            }
            Value::Null => {
                self.mistyped(key, "a list", &Value::Null);
                None
            }
            one => Some(vec![(path, one)]),
        }
    }

    /// Notes every property that was never asked for.
    pub(super) fn finish(self) {
        let known = self.known.borrow();
        for key in self.properties.keys() {
            if !known.contains(&key.as_str()) {
                self.wrong(key, explain_unknown(key, &known, self.path.is_empty()));
            }
        }
    }
}

/// Where properties belong that are often written a level too high.
const HOMES: &[(&str, &str)] = &[
    ("bucket_span", "analysis_config"),
    ("detectors", "analysis_config"),
    ("influencers", "analysis_config"),
    ("latency", "analysis_config"),
    ("summary_count_field_name", "analysis_config"),
    ("model_prune_window", "analysis_config"),
    ("model_memory_limit", "analysis_limits"),
    ("time_field", "data_description"),
    ("time_format", "data_description"),
    ("indices", "datafeed_config"),
    ("query", "datafeed_config"),
    ("keyed_by_partition_field", "tidewatch"),
    ("max_future_skew", "tidewatch"),
    ("shards", "tidewatch"),
    ("idle_timeout", "tidewatch"),
    ("interim_interval", "tidewatch"),
    ("late_revision_window", "tidewatch"),
    ("input", "tidewatch"),
    ("input_layout", "tidewatch"),
    ("alerts", "tidewatch"),
    ("filters", "tidewatch"),
    ("calendars", "tidewatch"),
];

/// Properties of responses, which the server sets.
const SET_BY_SERVER: &[&str] = &[
    "job_version",
    "create_time",
    "finished_time",
    "model_snapshot_id",
    "model_snapshot_min_version",
    "deleting",
    "blocked",
    "authorization",
];

fn explain_unknown(key: &str, known: &[&'static str], at_top: bool) -> String {
    if SET_BY_SERVER.contains(&key) {
        return "unknown field; the server sets it, leave it out (GET with ?exclude_generated=true does)"
            .to_owned();
    }
    if key == "<<" {
        return "YAML's merge key is not read here; write the keys out".to_owned();
    }
    if let Some((_, home)) = HOMES.iter().find(|(name, _)| at_top && *name == key) {
        return format!("unknown field here; it belongs in {home:?}");
    }
    let longer = format!("{key}_field_name");
    if known.contains(&longer.as_str()) {
        return format!("unknown field; did you mean {longer:?}?");
    }
    match nearest(key, known.iter().copied()) {
        Some(near) => format!("unknown field; did you mean {near:?}?"),
        None => format!("unknown field; known here: {}", known.join(", ")),
    }
}

/// A whole number, also as a string or as a fraction without a rest.
fn whole_number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64()?;
            (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// `parent.key`, or `parent["key"]` when the key is not a plain word; long keys are cut.
pub(super) fn join(parent: &str, key: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if key.is_empty() || key.len() > 60 || !key.chars().all(word) {
        return format!("{parent}[{}]", shown(key));
    }
    match parent {
        "" => key.to_owned(),
        parent => format!("{parent}.{key}"),
    }
}

/// A text between quotes, cut when it is long, so that a message stays a line.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((cut, _)) => format!("{:?}", format!("{}…", &text[..cut])),
        None => format!("{text:?}"),
    }
}

/// What a value is, in a person's words.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
