//! Labels as people have them, made windows: JSON in four shapes, CSV.
//!
//! | content | shape | `end` |
//! |---|---|---|
//! | `{"start": ..., "end": ..., "entity": {...}}`, a line each or in an array | label objects, as `simulate --labels` writes them | exclusive |
//! | CSV below a header with `start` and `end` | every other column but `label` and its like is a field | exclusive |
//! | `[[start, end], ...]` | windows | inclusive |
//! | `{"path/file.csv": [[start, end], ...]}` | NAB; those of the files that are read | inclusive |
//! | `{"entity": {"segments": [{"start", "end", "metrics"}]}}` | SMD, ASD; the entity is the value of the job's partition field | inclusive |
//!
//! The last three come from data sets, whose ends are the last row of an incident. Total on any bytes: what is not a label is an error that says where it stands and
//! what would have been right. Checked by: the tests below; tests/backtest.rs. Described for users in docs/backtest.md.

use super::labels_csv;
use crate::backtest::Window;
use crate::decode::instant;
use crate::time::EventTime;
use anyhow::{Context, bail};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Longer files hold something else.
const BYTES_MAX: u64 = 64 << 20;
/// The part of an offending value that an error shows, characters.
const SHOWN_CHARS_MAX: usize = 60;

/// What the shapes leave open.
pub(super) struct Surroundings<'a> {
    /// The files whose events are read.
    pub(super) files: &'a [PathBuf],
    /// Every partition field of the job.
    pub(super) partition_fields: BTreeSet<&'a str>,
}

/// Whether a window ends at its `end` or with it.
#[derive(Clone, Copy)]
enum End {
    Exclusive,
    Inclusive,
}

/// The windows in a file, in order of their start.
pub(super) fn read(path: &Path, around: &Surroundings<'_>) -> anyhow::Result<Vec<Window>> {
    let named = || format!("labels {}", path.display());
    let mut bytes = Vec::new();
    crate::decode::open_bytes(path)
        .and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes))
        .with_context(|| format!("{}: cannot be read", named()))?;
    if bytes.len() as u64 > BYTES_MAX {
        bail!(
            "{}: longer than {} MiB; expected a list of windows, is this the data?",
            named(),
            BYTES_MAX >> 20
        );
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| anyhow::anyhow!("byte {} is not UTF-8", error.valid_up_to()))
        .with_context(named)?;
    parse(text, around).with_context(named)
}

/// The windows in a text, in order of their start.
pub(super) fn parse(text: &str, around: &Surroundings<'_>) -> anyhow::Result<Vec<Window>> {
    let text = text.trim_start_matches('\u{feff}');
    let mut windows = match text.trim_start().chars().next() {
        None => {
            bail!("the file is empty; expected labels: CSV with the columns start and end, or JSON")
        }
        Some('{' | '[') => parse_json(text, around)?,
        Some(_) => labels_csv::parse(text)?,
    };
    windows.sort_by_key(|window| (window.start, window.end));
    Ok(windows)
}

fn parse_json(text: &str, around: &Surroundings<'_>) -> anyhow::Result<Vec<Window>> {
    let mut values = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let (mut begin, mut line) = (0, 1);
    while let Some(value) = stream.next() {
        let blanks = text[begin..].len() - text[begin..].trim_start().len();
        line += line_ends(&text[begin..begin + blanks]);
        // The error says the line by itself.
        values.push((format!("line {line}"), value?));
        let end = stream.byte_offset();
        line += line_ends(&text[begin + blanks..end]);
        begin = end;
    }
    match values.as_slice() {
        [(_, Value::Array(list))] => of_list(list),
        [(_, Value::Object(map))] if !map.contains_key("start") && !map.contains_key("end") => {
            of_map(map, around)
        }
        labels => labels
            .iter()
            .map(|(place, label)| of_object(label, End::Exclusive).with_context(|| place.clone()))
            .collect(),
    }
}

fn line_ends(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// `[[start, end], ...]` or `[{label}, ...]`.
fn of_list(list: &[Value]) -> anyhow::Result<Vec<Window>> {
    let one = |(at, value): (usize, &Value)| {
        let window = match value {
            Value::Object(_) => of_object(value, End::Exclusive),
            value => of_pair(value),
        };
        window.with_context(|| format!("[{at}]"))
    };
    list.iter().enumerate().map(one).collect()
}

/// `{"file": [[start, end], ...]}` or `{"entity": {"segments": [...]}}`.
fn of_map(map: &Map<String, Value>, around: &Surroundings<'_>) -> anyhow::Result<Vec<Window>> {
    let is_entity = |value: &Value| value.get("segments").is_some();
    if map.is_empty() {
        return Ok(Vec::new());
    }
    if map.values().any(is_entity) {
        return of_entities(map, around);
    }
    let mut windows = Vec::new();
    for (file, list) in map {
        let Value::Array(list) = list else {
            bail!(
                "{file:?}: found {}; expected a list of [start, end] (or \"segments\", or an object with start and end)",
                shown(list)
            );
        };
        // Those of other files are looked at too: a mistake is told whatever is read.
        let of_file = of_list(list).with_context(|| format!("{file:?}"))?;
        if around.files.iter().any(|path| is_file(path, file)) {
            windows.extend(of_file);
        }
    }
    let is_read = |file: &String| around.files.iter().any(|path| is_file(path, file));
    if !map.keys().any(is_read) {
        let some: Vec<&str> = map.keys().take(3).map(String::as_str).collect();
        bail!(
            "none of the {} files in it is one of those that are read; it has {}{}",
            map.len(),
            some.join(", "),
            if map.len() > some.len() { ", ..." } else { "" }
        );
    }
    Ok(windows)
}

/// Whether a path ends with a name from a list of labels, compressed or not.
fn is_file(path: &Path, name: &str) -> bool {
    let plain = match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz" | "zst") => path.with_extension(""),
        _ => path.to_owned(),
    };
    path.ends_with(name) || plain.ends_with(name)
}

/// `{"machine-1-6": {"segments": [{"start": ..., "end": ..., "metrics": [...]}, ...]}}`.
fn of_entities(map: &Map<String, Value>, around: &Surroundings<'_>) -> anyhow::Result<Vec<Window>> {
    let fields: Vec<&str> = around.partition_fields.iter().copied().collect();
    let [field] = fields[..] else {
        bail!(
            "names entities without a field; that wants a job with one partition field, found {}. Labels with \"entity\": {{field: value}} work for any job",
            if fields.is_empty() {
                "none".to_owned()
            } else {
                fields.join(", ")
            }
        );
    };
    let mut windows = Vec::new();
    for (entity, value) in map {
        let Some(Value::Array(segments)) = value.get("segments") else {
            bail!("{entity:?}: expected {{\"segments\": [{{\"start\": ..., \"end\": ...}}, ...]}}");
        };
        for (at, segment) in segments.iter().enumerate() {
            let mut window = of_object(segment, End::Inclusive)
                .with_context(|| format!("{entity:?}.segments[{at}]"))?;
            window.entity.insert(field.to_owned(), entity.clone());
            windows.push(window);
        }
    }
    Ok(windows)
}

/// `{"start": ..., "end": ..., "entity": {...}, "metrics": [...]}`; other keys are for people.
fn of_object(value: &Value, end: End) -> anyhow::Result<Window> {
    let Value::Object(label) = value else {
        bail!(
            "found {}; expected an object with start and end",
            shown(value)
        );
    };
    let time = |key: &str| match label.get(key) {
        Some(value) => of_time(value).with_context(|| key.to_owned()),
        None => bail!("{key} is missing; expected an object with start and end"),
    };
    let mut window = between(time("start")?, time("end")?, end)?;
    if let Some(entity) = label.get("entity").filter(|entity| !entity.is_null()) {
        let Value::Object(entity) = entity else {
            bail!(
                "entity: found {}; expected an object such as {{\"host\": \"web-03\"}}",
                shown(entity)
            );
        };
        for (field, value) in entity {
            let value = scalar(value).with_context(|| format!("entity.{field}"))?;
            window.entity.insert(field.clone(), value);
        }
    }
    if let Some(metrics) = label.get("metrics").filter(|metrics| !metrics.is_null()) {
        let Value::Array(metrics) = metrics else {
            bail!(
                "metrics: found {}; expected a list of texts",
                shown(metrics)
            );
        };
        let metrics: anyhow::Result<_> = metrics.iter().map(scalar).collect();
        window.metrics = metrics.context("metrics")?;
    }
    let texts = ["label", "description", "kind", "name"];
    let text = texts.iter().find_map(|key| label.get(*key)?.as_str());
    window.label = text.unwrap_or_default().to_owned();
    Ok(window)
}

/// `[start, end]`.
fn of_pair(value: &Value) -> anyhow::Result<Window> {
    match value.as_array().map(Vec::as_slice) {
        Some([start, end]) => {
            let start = of_time(start).context("start")?;
            between(start, of_time(end).context("end")?, End::Inclusive)
        }
        _ => bail!("found {}; expected [start, end]", shown(value)),
    }
}

fn of_time(value: &Value) -> anyhow::Result<EventTime> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => bail!(
            "found {}; expected a time, as text or a number",
            shown(other)
        ),
    };
    time(&text)
}

/// The instant that a text says.
pub(super) fn time(text: &str) -> anyhow::Result<EventTime> {
    instant(text).map_err(|why| anyhow::anyhow!("{} {why}", quoted(text)))
}

fn between(start: EventTime, end: EventTime, kind: End) -> anyhow::Result<Window> {
    match kind {
        End::Exclusive => window(start, end),
        End::Inclusive if end < start => window(start, end),
        End::Inclusive => window(start, EventTime(end.0 + 1)),
    }
}

/// A window that names nobody. One of no length is a moment.
pub(super) fn window(start: EventTime, end: EventTime) -> anyhow::Result<Window> {
    if end < start {
        bail!("it ends ({end}) before it starts ({start})");
    }
    Ok(Window {
        start,
        end: EventTime(end.0.max(start.0 + 1)),
        entity: BTreeMap::new(),
        metrics: Vec::new(),
        label: String::new(),
    })
}

fn scalar(value: &Value) -> anyhow::Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        other => bail!("found {}; expected a text", shown(other)),
    }
}

/// What was found instead, cut short.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

/// A text in quotes, cut short.
pub(super) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    match short.len() < text.len() {
        true => format!("{short:?}..."),
        false => format!("{short:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: i64 = 60_000;
    /// 2026-03-10T10:00:00Z
    const TEN: i64 = 1_773_136_800_000;

    fn labels(text: &str, fields: &[&'static str]) -> anyhow::Result<Vec<Window>> {
        let files = [
            PathBuf::from("data/a.csv"),
            PathBuf::from("/logs/b.ndjson.gz"),
        ];
        let around = Surroundings {
            files: &files,
            partition_fields: fields.iter().copied().collect(),
        };
        parse(text, &around)
    }

    /// Start and end in minutes from ten o'clock, and entity.
    fn told(text: &str) -> Vec<(i64, i64, String)> {
        let windows =
            labels(text, &["machine"]).unwrap_or_else(|error| panic!("{text}: {error:#}"));
        let one = |window: &Window| {
            let entity: Vec<String> = window
                .entity
                .iter()
                .map(|(f, v)| format!("{f}={v}"))
                .collect();
            // An inclusive end is a millisecond later: the same minute.
            (
                (window.start.0 - TEN) / MINUTE,
                (window.end.0 - TEN) / MINUTE,
                entity.join(" "),
            )
        };
        windows.iter().map(one).collect()
    }

    #[test]
    fn labels_are_read_in_every_shape_that_people_have() {
        let everywhere = [(0, 30, String::new())];
        for text in [
            r#"{"start": "2026-03-10T10:00:00Z", "end": "2026-03-10T10:30:00Z"}"#,
            r#"[{"start": 1773136800, "end": 1773138600.0, "entity": null}]"#,
            r#"{"start": 1773136800000, "end": "1773138600000", "entity": {}}"#,
            r#"[["2026-03-10 10:00:00.000000", "2026-03-10 10:30:00.000000"]]"#,
            r#"{"folder/a.csv": [], "a.csv": [["2026-03-10 10:00", "2026-03-10 10:30"]], "c.csv": [[0, 1]]}"#,
            r#"{"b.ndjson": [["2026-03-10T12:00+02:00", "2026-03-10T12:30+02:00"]]}"#,
            "start,end\n2026-03-10T10:00:00Z,2026-03-10T10:30:00Z\n",
            "\u{feff}end,start\r\n\r\n1773138600,1773136800\r\n",
            "start,end,label,host\n1773136800,1773138600,\"a, b\",",
        ] {
            assert_eq!(told(text), everywhere, "{text}");
        }
    }

    #[test]
    fn labels_name_entities_and_come_in_order_of_time() {
        let a_then_b = [
            (0, 30, "host=a".to_owned()),
            (60, 61, "host=b user=7".to_owned()),
        ];
        let lines = r#"
            {"start": 1773140400, "end": 1773140460, "entity": {"host": "b", "user": 7}, "kind": "spike", "expected": "count"}
            {"start": 1773136800, "end": 1773138600, "entity": {"host": "a"}}
        "#;
        let csv = "start,end,host,user,description\n1773140400,1773140460,b,7,it burns\n1773136800,1773138600,a,,\n";
        assert_eq!(told(lines), a_then_b);
        assert_eq!(told(csv), a_then_b);
        assert_eq!(labels(csv, &[]).unwrap()[1].label, "it burns");
        let segments = r#"{"omi-1": {"step_seconds": 60, "segments": [{"start": 1773136800, "end": 1773138600, "metrics": ["m1", 2]}]}}"#;
        assert_eq!(told(segments), [(0, 30, "machine=omi-1".to_owned())]);
        assert_eq!(
            labels(segments, &["machine"]).unwrap()[0].metrics,
            ["m1", "2"]
        );
    }

    #[test]
    fn a_window_of_no_length_is_a_moment_and_no_windows_are_none() {
        let moment = labels("start,end\n5,5\n", &[]).unwrap();
        assert_eq!((moment[0].start.0, moment[0].end.0), (5_000, 5_001));
        for text in ["[]", "{}", "start,end\n", r#"{"a.csv": []}"#] {
            assert_eq!(labels(text, &[]).unwrap(), [], "{text}");
        }
    }

    #[test]
    fn what_is_no_label_is_told_where_it_stands_and_what_would_be_right() {
        for (text, says) in [
            ("", "the file is empty; expected labels"),
            (" \n", "the file is empty"),
            (
                "host,begin\na,1\n",
                "line 1: found \"host\", \"begin\"; expected CSV with the columns start and end",
            ),
            (
                "start,end,host,host\n",
                "line 1: column 4 has the name of another one, \"host\"",
            ),
            ("start,end,\n", "line 1: column 3 has no name"),
            ("start,end\n1,2\n\n3\n", "line 4: found 1 cells; expected 2"),
            (
                "start,end\nNaN,2\n",
                "line 2: start: \"NaN\" is neither ISO 8601",
            ),
            (
                "start,end\n1,inf\n",
                "line 2: end: \"inf\" is neither ISO 8601",
            ),
            ("start,end\n1,1e300\n", "outside the years"),
            ("start,end\n,2\n", "line 2: start: \"\" is neither"),
            (
                "start,end\n2026-03-10,2026-03-09\n",
                "line 2: it ends (2026-03-09T00:00:00Z) before it starts (2026-03-10T00:00:00Z)",
            ),
            (
                r#"{"start": 1, "end": 2}
               {"start": 2}"#,
                "line 2: end is missing",
            ),
            (
                "{\"start\": 1,\n\"end\": 2}\n\n{\"end\": 2}",
                "line 4: start is missing",
            ),
            (
                r#"{"start": 1, "end": [2]}"#,
                "line 1: end: found a list of 1; expected a time",
            ),
            (r#"{"start": NaN, "end": 2}"#, "expected value at line 1"),
            (
                r#"{"start": 1, "end": 2, "entity": "a"}"#,
                "entity: found \"a\"; expected an object",
            ),
            (
                r#"{"start": 1, "end": 2, "entity": {"host": {}}}"#,
                "entity.host: found an object; expected a text",
            ),
            (
                r#"{"start": 1, "end": 2, "metrics": 5}"#,
                "metrics: found 5; expected a list",
            ),
            (
                r#"[[1, 2, 3]]"#,
                "[0]: found a list of 3; expected [start, end]",
            ),
            (r#"[[1, 2], 5]"#, "[1]: found 5; expected [start, end]"),
            (r#"[[2, 1]]"#, "before it starts"),
            (
                r#"{"a.csv": ["2014-11-01 19:00:00"]}"#,
                "\"a.csv\": [0]: found \"2014-11-01 19:00:00\"; expected [start, end]",
            ),
            (
                r#"{"a.csv": 5}"#,
                "\"a.csv\": found 5; expected a list of [start, end]",
            ),
            (
                r#"{"x.csv": [], "y.csv": []}"#,
                "none of the 2 files in it is one of those that are read; it has x.csv, y.csv",
            ),
            (r#"{"a.csv": [["#, "EOF while parsing"),
            (
                r#"{"omi-1": {"segments": []}, "omi-2": []}"#,
                "\"omi-2\": expected {\"segments\"",
            ),
            (
                r#"{"omi-1": {"segments": [5]}}"#,
                "\"omi-1\".segments[0]: found 5; expected an object",
            ),
        ] {
            let error = labels(text, &["machine"]).expect_err(text);
            assert!(format!("{error:#}").contains(says), "{text}: {error:#}");
        }
        let segments = r#"{"omi-1": {"segments": []}}"#;
        for (fields, says) in [(&[][..], "found none"), (&["a", "b"], "found a, b")] {
            let error = labels(segments, fields).unwrap_err();
            assert!(format!("{error:#}").contains(says), "{error:#}");
        }
    }

    #[test]
    fn long_lines_and_deep_nesting_are_no_danger() {
        let long = "x".repeat(1 << 20);
        let error = labels(&format!("start,end\n{long},2\n"), &[]).unwrap_err();
        assert!(
            format!("{error:#}").len() < 300,
            "what is shown is cut short"
        );
        let windows = labels(&format!("start,end,host\n1,2,{long}\n"), &[]).unwrap();
        assert_eq!(windows[0].entity["host"].len(), 1 << 20);
        assert!(labels(&"[".repeat(1 << 20), &[]).is_err());
        let many = format!("start,end\n{}", "1,2\n".repeat(100_000));
        assert_eq!(labels(&many, &[]).unwrap().len(), 100_000);
        let many = "{\"start\": 1, \"end\": 2}\n".repeat(100_000);
        assert_eq!(labels(&many, &[]).unwrap().len(), 100_000);
        let wide = format!(
            "start,end{}\n",
            (0..2_000).map(|at| format!(",c{at}")).collect::<String>()
        );
        assert_eq!(labels(&wide, &[]).unwrap(), []);
    }

    proptest! {
        #[test]
        fn any_text_gives_windows_or_an_error(text in r#"[\[\]{}",:a-z0-9\\ \n-]{0,80}"#) {
            if let Ok(windows) = labels(&text, &["machine"]) {
                prop_assert!(windows.iter().all(|window| window.start < window.end));
            }
        }
    }
}
