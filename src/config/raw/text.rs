//! Text → JSON value, for JSON and YAML alike, with no key lost.
//!
//! Both parsers keep the last of two equal keys without a word; the visitor here sees every key and notes the second one with its
//! path. Text that is neither is refused with line and column (1-based). Checked: the tests below, and `tests/config.rs`.

use super::console;
use super::object::{Report, join};
use serde::de::{DeserializeSeed, EnumAccess, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Reads `text`, as JSON when it is JSON, otherwise as YAML, or as requests of the console; `None` when it is neither, which is then noted.
pub(super) fn parse(text: &str, report: &Report) -> Option<Value> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if console::is_console(text) {
        return console::read(text, report);
    }
    let (json, json_notes) = with_notes(|seed| {
        let mut reader = serde_json::Deserializer::from_str(text);
        let value = seed.deserialize(&mut reader)?;
        reader.end().map(|()| value)
    });
    let json_error = match json {
        Ok(value) => return Some(noted(value, json_notes, report)),
        Err(error) => error,
    };
    if text.trim().is_empty() {
        report.wrong(
            "",
            "is empty; the least a job has is analysis_config and data_description",
        );
        return None;
    }
    if brackets_deep(text) > BRACKETS_MAX {
        report.wrong("", format!("has brackets more than {BRACKETS_MAX} deep"));
        return None;
    }
    let (yaml, yaml_notes) =
        with_notes(|seed| seed.deserialize(serde_yaml_ng::Deserializer::from_str(text)));
    let yaml_error = match yaml {
        Ok(value) => return Some(noted(value, yaml_notes, report)),
        Err(error) => error,
    };
    if text.trim_start().starts_with(['{', '[']) {
        let mut message = without_place(json_error.to_string());
        if holds_lines(text) {
            message.push_str(": one JSON value a line is what events look like; the job's file is named before theirs");
        }
        report.wrong(place(json_error.line(), json_error.column()), message);
    } else {
        let path = yaml_error
            .location()
            .map(|at| place(at.line(), at.column()))
            .unwrap_or_default();
        let mut message = without_place(yaml_error.to_string());
        if message.contains("cannot start any token") {
            message.push_str("; put the text between quotes, as in \"@timestamp\"");
        }
        report.wrong(path, message);
    }
    None
}

/// Whether each of the first two lines is a JSON object of its own.
fn holds_lines(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let is_object = |line: Option<&str>| {
        line.is_some_and(|line| serde_json::from_str::<Map<String, Value>>(line).is_ok())
    };
    is_object(lines.next()) && is_object(lines.next())
}

/// More brackets inside one another than this are no job. YAML's parser takes time with the square of their depth before it refuses.
const BRACKETS_MAX: usize = 1000;

/// How deep brackets stand inside one another at most; those in quotes count too.
fn brackets_deep(text: &str) -> usize {
    let mut deepest = 0;
    text.bytes().fold(0usize, |depth, byte| {
        let depth = match byte {
            b'[' | b'{' => depth + 1,
            b']' | b'}' => depth.saturating_sub(1),
            _ => depth,
        };
        deepest = deepest.max(depth);
        depth
    });
    deepest
}

type Notes = Vec<(String, &'static str)>;

fn with_notes<T>(read: impl FnOnce(Seed<'_>) -> T) -> (T, Notes) {
    let notes = std::cell::RefCell::default();
    let answer = read(Seed {
        path: String::new(),
        notes: &notes,
    });
    (answer, notes.into_inner())
}

fn noted(value: Value, notes: Notes, report: &Report) -> Value {
    for (path, message) in notes {
        report.wrong(path, message);
    }
    value
}

fn place(line: usize, column: usize) -> String {
    format!("line {line}, column {column}")
}

/// The parsers end their messages with the place, which we say first.
fn without_place(message: String) -> String {
    match message.rfind(" at line ") {
        Some(at) => message[..at].to_owned(),
        None => message,
    }
}

/// A value to be read, where it stands, and where to note what is odd about it.
struct Seed<'n> {
    path: String,
    notes: &'n std::cell::RefCell<Notes>,
}

impl Seed<'_> {
    fn note(&self, path: String, message: &'static str) {
        self.notes.borrow_mut().push((path, message));
    }

    fn inside(&self, path: String) -> Seed<'_> {
        Seed {
            path,
            notes: self.notes,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        if let Some(number) = Number::from_f64(value) {
            return Ok(Value::Number(number));
        }
        self.note(self.path.clone(), "must be a finite number");
        Ok(Value::Null)
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            let path = format!("{}[{}]", self.path, values.len());
            match list.next_element_seed(self.inside(path))? {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut properties = Map::new();
        while let Some(key) = entries.next_key_seed(Key)? {
            let path = join(&self.path, &key);
            let value = entries.next_value_seed(self.inside(path.clone()))?;
            if properties.insert(key, value).is_some() {
                self.note(path, "stands twice in its object; keep one of the two");
            }
        }
        Ok(Value::Object(properties))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Value, A::Error> {
        Err(A::Error::custom("YAML tags (!name) have no meaning here"))
    }
}

/// A key of an object: YAML also allows numbers and booleans, which read as their text.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<String, D::Error> {
        reader.deserialize_any(self)
    }
}

impl Visitor<'_> for Key {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key that is a string")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<String, E> {
        Ok(key.to_owned())
    }

    fn visit_bool<E: Error>(self, key: bool) -> Result<String, E> {
        Ok(key.to_string())
    }

    fn visit_i64<E: Error>(self, key: i64) -> Result<String, E> {
        Ok(key.to_string())
    }

    fn visit_u64<E: Error>(self, key: u64) -> Result<String, E> {
        Ok(key.to_string())
    }

    fn visit_f64<E: Error>(self, key: f64) -> Result<String, E> {
        Ok(key.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> (Option<Value>, Vec<String>) {
        let report = Report::default();
        let value = parse(text, &report);
        let mistakes = report.into_mistakes();
        (value, mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn json_and_yaml_say_the_same() {
        let expected = json!({"a": {"b": [1, -2, 0.5, true, null, "x"]}, "7": "y"});
        for text in [
            r#"{"a": {"b": [1, -2, 0.5, true, null, "x"]}, "7": "y"}"#,
            "\u{feff}a:\n  b: [1, -2, 0.5, true, ~, x]\n7: y\n",
            "{a: {b: [1, -2, 0.5, true, null, x]}, 7: y,} # not JSON, but YAML",
        ] {
            assert_eq!(read(text), (Some(expected.clone()), vec![]), "{text}");
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_noted_where_it_stands() {
        let said = vec!["a.b[1].c: stands twice in its object; keep one of the two".to_owned()];
        for text in [
            r#"{"a": {"b": [0, {"c": 1, "c": 2}]}}"#,
            "a:\n  b:\n  - 0\n  - c: 1\n    c: 2\n",
        ] {
            assert_eq!(read(text).1, said, "{text}");
        }
    }

    #[test]
    fn text_that_does_not_parse_is_refused_with_line_and_column() {
        for (text, place) in [
            ("{\n  \"a\": 1\n  \"b\": 2\n}", "line 3, column 3: "),
            ("a: 1\nb: [1, 2\nc: 3\n", "line 3"),
            (
                "a: @timestamp\n",
                "line 1, column 4: found character that cannot start any token; put",
            ),
            ("a: !secret x\n", "YAML tags"),
            ("a: .inf\n", "a: must be a finite number"),
            ("", ""),
            ("a: 1\n---\nb: 2\n", "more than one document"),
        ] {
            let (_, mistakes) = read(text);
            assert!(
                mistakes.len() <= 1 && mistakes.iter().all(|m| m.contains(place)),
                "{text}: {mistakes:?}"
            );
        }
        let deep = 100_000;
        for bottomless in ["[".repeat(deep), format!("a: {}", "{a: ".repeat(deep))] {
            assert_eq!(read(&bottomless).1, ["has brackets more than 1000 deep"]);
        }
        assert!(read(" \n").1[0].starts_with("is empty; "));
    }
}
