//! A document read key by key: values by their path, an environment variable first, mistakes collected.
//!
//! Holds: what was never asked for is a mistake too ([`Reader::refuse_the_rest`]), with the nearest key that exists.
//! Checked by the tests of the parent module.

use crate::config::raw::suggest;
use crate::config::time_text::TimeText;
use crate::config::{Mistake, MistakeKind};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Takes values out of what was written by their path, an environment variable first, and notes mistakes.
pub(super) struct Reader {
    written: Map<String, Value>,
    pub(super) environment: BTreeMap<String, String>,
    /// OpenTelemetry's own variables.
    otel: BTreeMap<String, String>,
    pub(super) known: BTreeSet<String>,
    pub(super) mistakes: Vec<Mistake>,
}

impl Reader {
    pub(super) fn new(
        written: Value,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Reader {
        let (environment, others): (BTreeMap<_, _>, BTreeMap<_, _>) = environment
            .into_iter()
            .partition(|(name, _)| name.starts_with("TIDEWATCH_"));
        let otel = others.into_iter();
        let otel = otel.filter(|(name, value)| name.starts_with("OTEL_") && !value.is_empty());
        let mut reader = Reader {
            written: Map::new(),
            environment,
            otel: otel.collect(),
            known: BTreeSet::new(),
            mistakes: Vec::new(),
        };
        match written {
            Value::Object(map) => reader.written = map,
            Value::Null => {}
            other => reader.mistake(
                "(the document)",
                format!("is {}; a map of sections would be right", kind(&other)),
            ),
        }
        reader
    }

    pub(super) fn mistake(&mut self, path: &str, problem: String) {
        self.mistakes.push(Mistake {
            kind: MistakeKind::Invalid,
            path: path.into(),
            message: problem,
        });
    }

    /// A variable of OpenTelemetry's; an empty one counts as not there, as the specification has it.
    pub(super) fn otel(&self, name: &str) -> Option<&str> {
        self.otel.get(name).map(|value| value.trim())
    }

    /// Removes the value at `key`, `section.key` or deeper.
    fn take(&mut self, path: &str) -> Option<Value> {
        fn descend(map: &mut Map<String, Value>, path: &str) -> Option<Value> {
            match path.split_once('.') {
                None => map.remove(path),
                Some((section, rest)) => match map.get_mut(section) {
                    Some(Value::Object(inner)) => descend(inner, rest),
                    _ => None,
                },
            }
        }
        self.known.insert(path.into());
        descend(&mut self.written, path).filter(|value| !value.is_null())
    }

    /// What was written, as it is: for what has a shape of its own.
    pub(super) fn value(&mut self, path: &str) -> Option<Value> {
        self.take(path)
    }

    /// Whether there is something at this path, in the document or the environment.
    pub(super) fn is_said(&self, path: &str) -> bool {
        let written = path.split_once('.').and_then(|(section, key)| {
            let value = self.written.get(section)?.get(key)?;
            (!value.is_null()).then_some(())
        });
        written.is_some() || self.environment.contains_key(&variable(path))
    }

    /// A scalar as text.
    pub(super) fn text(&mut self, path: &str) -> Option<String> {
        let written = self.take(path);
        if let Some(value) = self.environment.get(&variable(path)) {
            return Some(value.clone());
        }
        let value = written?;
        let text = scalar(&value);
        if text.is_none() {
            self.mistake(
                path,
                format!("is {}; a single value would be right", kind(&value)),
            );
        }
        text
    }

    pub(super) fn parsed<T: std::str::FromStr>(
        &mut self,
        path: &str,
        default: &str,
        right: &str,
    ) -> Option<T> {
        let text = self.text(path).unwrap_or_else(|| default.into());
        let value = text.parse().ok();
        if value.is_none() {
            self.mistake(path, format!("\"{text}\" is not {right}"));
        }
        value
    }

    pub(super) fn choice(&mut self, path: &str, choices: &[&'static str]) -> Option<&'static str> {
        let text = self.text(path)?;
        let found = choices.iter().find(|choice| **choice == text).copied();
        if found.is_none() {
            self.mistake(
                path,
                format!("\"{text}\" is none of {}", choices.join(", ")),
            );
        }
        found
    }

    /// A length of time as Elastic writes them.
    pub(super) fn duration(&mut self, path: &str, default: Duration) -> Duration {
        let Some(text) = self.text(path) else {
            return default;
        };
        self.length(path, &text).unwrap_or(default)
    }

    /// A length of time, when one is said.
    pub(super) fn duration_if_said(&mut self, path: &str) -> Option<Duration> {
        let text = self.text(path)?;
        self.length(path, &text)
    }

    fn length(&mut self, path: &str, text: &str) -> Option<Duration> {
        match TimeText::parse(text) {
            Ok(TimeText { ms, .. }) if ms > 0 => Some(Duration::from_millis(ms.unsigned_abs())),
            Ok(_) => {
                self.mistake(
                    path,
                    format!("\"{text}\" is no time at all; 1ms is the least"),
                );
                None
            }
            Err(error) => {
                self.mistake(path, error.to_string());
                None
            }
        }
    }

    /// A list of texts; a single text counts as a list of one, and a variable holds them with commas between.
    pub(super) fn list(&mut self, path: &str) -> Vec<String> {
        let written = self.take(path);
        if let Some(value) = self.environment.get(&variable(path)) {
            return value
                .split(',')
                .map(|item| item.trim().to_string())
                .filter(|item| !item.is_empty())
                .collect();
        }
        let items = match written {
            None => Vec::new(),
            Some(Value::Array(items)) => items,
            Some(one) => vec![one],
        };
        let mut texts = Vec::new();
        for (at, item) in items.iter().enumerate() {
            match scalar(item) {
                Some(text) => texts.push(text),
                None => self.mistake(
                    &format!("{path}[{at}]"),
                    format!("is {}; a text would be right", kind(item)),
                ),
            }
        }
        texts
    }

    /// A map of scalars.
    pub(super) fn strings(&mut self, path: &str) -> BTreeMap<String, String> {
        let mut strings = BTreeMap::new();
        match self.take(path) {
            None => {}
            Some(Value::Object(map)) => {
                for (name, value) in map {
                    match scalar(&value) {
                        Some(text) => {
                            strings.insert(name, text);
                        }
                        None => self.mistake(
                            &format!("{path}.{name}"),
                            format!("is {}; a single value would be right", kind(&value)),
                        ),
                    }
                }
            }
            Some(other) => self.mistake(
                path,
                format!(
                    "is {}; a map of property names and values would be right",
                    kind(&other)
                ),
            ),
        }
        strings
    }

    /// What nobody took is not a key.
    pub(super) fn refuse_the_rest(&mut self) {
        let written = std::mem::take(&mut self.written);
        self.refuse_in("", written);
    }

    fn refuse_in(&mut self, above: &str, written: Map<String, Value>) {
        for (key, value) in written {
            let path = format!("{above}{key}");
            let inside = format!("{path}.");
            let is_section = self.known.iter().any(|known| known.starts_with(&inside));
            match value {
                Value::Object(map) if is_section => self.refuse_in(&inside, map),
                Value::Null if is_section || !above.is_empty() => {}
                other if is_section => {
                    self.mistake(&path, format!("is {}; a map would be right", kind(&other)));
                }
                _ => self.refuse(&path),
            }
        }
    }

    fn refuse(&mut self, path: &str) {
        let sections = self
            .known
            .iter()
            .filter_map(|known| known.split('.').next());
        let candidates = self.known.iter().map(String::as_str).chain(sections);
        let hint = match suggest::nearest(path, candidates) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "config/tidewatch.yaml explains every key".into(),
        };
        self.mistake(path, format!("unknown key; {hint}"));
    }
}

/// The environment variable that stands for a path.
fn variable(path: &str) -> String {
    format!("TIDEWATCH_{}", path.to_ascii_uppercase().replace('.', "_"))
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
