//! A document read key by key: values by their path, an environment variable first, mistakes collected.
//!
//! Holds: what was never asked for is a mistake too ([`Reader::refuse_the_rest`]), with the nearest key that exists.
//! Checked by the tests of the parent module.

use super::Mistake;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Takes values out of what was written by their path, an environment variable first, and notes mistakes.
pub(super) struct Reader {
    written: Map<String, Value>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) known: BTreeSet<String>,
    pub(super) mistakes: Vec<Mistake>,
}

impl Reader {
    pub(super) fn new(
        written: Value,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Reader {
        let environment = environment
            .into_iter()
            .filter(|(name, _)| name.starts_with("TIDEWATCH_"))
            .collect();
        let mut reader = Reader {
            written: Map::new(),
            environment,
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
            path: path.into(),
            problem,
        });
    }

    /// Removes the value at `section.key` or `key`.
    fn take(&mut self, path: &str) -> Option<Value> {
        self.known.insert(path.into());
        let taken = match path.split_once('.') {
            None => self.written.remove(path),
            Some((section, key)) => match self.written.get_mut(section) {
                Some(Value::Object(map)) => map.remove(key),
                _ => None,
            },
        };
        taken.filter(|value| !value.is_null())
    }

    /// A scalar as text.
    pub(super) fn text(&mut self, path: &str) -> Option<String> {
        let written = self.take(path);
        let variable = format!("TIDEWATCH_{}", path.to_ascii_uppercase().replace('.', "_"));
        if let Some(value) = self.environment.get(&variable) {
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

    pub(super) fn duration(&mut self, path: &str, default: Duration) -> Duration {
        let Some(text) = self.text(path) else {
            return default;
        };
        duration_of(&text)
            .filter(|duration| !duration.is_zero())
            .unwrap_or_else(|| {
                self.mistake(
                    path,
                    format!("\"{text}\" is not a length of time such as 500ms, 10s, 5m, 1h or 7d"),
                );
                default
            })
    }

    pub(super) fn duration_or_off(
        &mut self,
        path: &str,
        default: Option<Duration>,
    ) -> Option<Duration> {
        let Some(text) = self.text(path) else {
            return default;
        };
        if text == "off" || text == "false" {
            return None;
        }
        let duration = duration_of(&text).filter(|duration| !duration.is_zero());
        if duration.is_none() {
            self.mistake(path, format!("\"{text}\" is neither off nor a length of time such as 500ms, 10s, 5m, 1h or 7d"));
        }
        duration
    }

    /// A list of texts; a single text counts as a list of one, and a variable holds them with commas between.
    pub(super) fn list(&mut self, path: &str) -> Vec<String> {
        let variable = format!("TIDEWATCH_{}", path.to_ascii_uppercase().replace('.', "_"));
        let written = self.take(path);
        if let Some(value) = self.environment.get(&variable) {
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
        for (section, value) in written {
            let inside = format!("{section}.");
            let is_section = self.known.iter().any(|known| known.starts_with(&inside));
            match value {
                Value::Object(map) if is_section => {
                    for key in map
                        .into_iter()
                        .filter(|(_, value)| !value.is_null())
                        .map(|(key, _)| key)
                    {
                        self.refuse(&format!("{section}.{key}"));
                    }
                }
                Value::Null if is_section => {}
                other if is_section => {
                    self.mistake(
                        &section,
                        format!("is {}; a map would be right", kind(&other)),
                    );
                }
                _ => self.refuse(&section),
            }
        }
    }

    fn refuse(&mut self, path: &str) {
        let sections = self
            .known
            .iter()
            .map(|known| known.split('.').next().unwrap_or(known));
        let candidates: BTreeSet<&str> = self
            .known
            .iter()
            .map(String::as_str)
            .chain(sections)
            .collect();
        let nearest = candidates
            .into_iter()
            .map(|known| (distance(known, path), known))
            .min();
        let hint = match nearest {
            Some((steps, known)) if steps <= 3 => format!("did you mean {known}?"),
            _ => "config/tidewatch.yaml has them all".into(),
        };
        self.mistake(path, format!("is not a key; {hint}"));
    }
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

/// A length of time in Elastic's units: a whole number and `ms`, `s`, `m`, `h` or `d`.
fn duration_of(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(
        number.parse::<u64>().ok()?.checked_mul(unit_ms)?,
    ))
}

/// Levenshtein's distance: how many letters must be put in, taken out or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
