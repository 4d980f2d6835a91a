//! Every field of every event, for looking at what is there before there is a job.
//!
//! Frames are found as in [`Reader`](super::Reader) (JSON in any layout, CSV below a header, logs), values read by serde_json: a survey is of a sample and
//! in no hurry. Nested objects are told by their dotted paths, of arrays the plain elements; nulls and empty cells are no fields.

use super::csv::{Cells, Row, Rows, column_name, with_point};
use super::delimiter::of_rows;
use super::directives::Directives;
use super::frame::{Frame, Framer};
use super::text::{Line, Text};
use super::time_format::TimeReader;
use super::window::opens_array;
use super::{BOM, BYTES_MAX, Format, Options};
use crate::config::{LineLayout, TimeFormat};
use crate::engine::event::Value;
use crate::time::EventTime;
use serde_json::Value as Json;
use std::borrow::Cow;

/// What the time of a log's line, or one put together of two columns, is called where no job names it.
const TEXT_TIME: &str = "@timestamp";

/// One event: its fields by path, in the order of the document.
pub type Fields = Vec<(String, Value<'static>)>;

/// What was surveyed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Surveyed {
    /// Events told.
    pub events: u64,
    /// What was no event.
    pub unreadable: u64,
    /// The bytes held CSV.
    pub is_csv: bool,
    /// The bytes held lines of text; how a topic of such is to be said to be laid out.
    pub text: Option<LineLayout>,
    /// No line of text had a time.
    pub is_timeless: bool,
}

/// Tells every event of `bytes`, which may end in the middle of one (that one is left out).
pub fn survey(bytes: &[u8], options: Options, sink: &mut dyn FnMut(Fields)) -> Surveyed {
    let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
    let start = bytes.trim_ascii_start();
    let format = options.format.unwrap_or(match start {
        [b'{', ..] => Format::Json,
        [b'[', ..] if opens_array(start).unwrap_or(true) => Format::Json,
        _ if Directives::is_begun(start) => Format::Csv,
        _ if Text::is_likely(start, options.delimiter.unwrap_or(b',')) => Format::Text,
        [b'[', ..] => Format::Json,
        _ => Format::Csv,
    });
    match format {
        Format::Json => json(bytes, sink),
        Format::Csv if Directives::is_begun(start) => table(start, sink),
        Format::Csv => {
            let delimiter = options.delimiter.unwrap_or_else(|| of_rows(start));
            csv(bytes, delimiter, sink)
        }
        Format::Text => text(start, options, sink),
    }
}

/// The instant that a value is in a format; `None` if it does not read as one.
pub fn instant_in(format: &TimeFormat, value: &Value<'_>) -> Option<EventTime> {
    match value {
        Value::Int(_) | Value::Float(_) | Value::Text(_) => {
            TimeReader::new(format).read(value).ok()
        }
        Value::Missing | Value::Bool(_) | Value::List(_) => None,
    }
}

fn json(mut bytes: &[u8], sink: &mut dyn FnMut(Fields)) -> Surveyed {
    let mut framer = Framer::new(BYTES_MAX);
    let mut surveyed = Surveyed::default();
    loop {
        let mut frame = framer.next(bytes, false);
        if let Frame::Line { at, end } = frame {
            let line = bytes[at..end].trim_ascii_end();
            // A line is one object nearly always; if not, its braces say how far the first one reaches.
            match object(line.strip_suffix(b",").unwrap_or(line)) {
                Some(fields) => {
                    surveyed.events += 1;
                    sink(fields);
                    bytes = &bytes[end..];
                    continue;
                }
                None => frame = framer.object(bytes, at, false),
            }
        }
        let end = match frame {
            Frame::Object { at, end } => {
                match object(&bytes[at..end]) {
                    Some(fields) => {
                        surveyed.events += 1;
                        sink(fields);
                    }
                    None => surveyed.unreadable += 1,
                }
                end
            }
            Frame::Cut { end, .. } | Frame::Other { end, .. } | Frame::TooLong { end, .. } => {
                surveyed.unreadable += 1;
                end
            }
            Frame::Discarded { at } => at,
            Frame::Line { .. } | Frame::More { .. } | Frame::End { .. } => break,
        };
        bytes = &bytes[end..];
    }
    // What is left may be a last line without its end.
    if let Some(fields) = object(bytes.trim_ascii().trim_ascii_end()) {
        surveyed.events += 1;
        sink(fields);
    }
    surveyed
}

fn object(bytes: &[u8]) -> Option<Fields> {
    let Ok(Json::Object(object)) = serde_json::from_slice(bytes) else {
        return None;
    };
    let mut fields = Vec::new();
    flatten("", Json::Object(object), &mut fields);
    Some(fields)
}

fn flatten(path: &str, value: Json, fields: &mut Fields) {
    match value {
        Json::Object(object) => {
            for (key, value) in object {
                match path {
                    "" => flatten(&key, value, fields),
                    path => flatten(&format!("{path}.{key}"), value, fields),
                }
            }
        }
        Json::Array(list) => {
            let plain: Vec<Value<'static>> = list.into_iter().filter_map(plain).collect();
            if !plain.is_empty() {
                fields.push((path.to_owned(), Value::List(plain)));
            }
        }
        value => fields.extend(plain(value).map(|value| (path.to_owned(), value))),
    }
}

fn plain(value: Json) -> Option<Value<'static>> {
    Some(match value {
        Json::Bool(b) => Value::Bool(b),
        Json::String(text) => Value::Text(Cow::Owned(text)),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Value::Int(int),
            (None, Some(float)) => Value::Float(float),
            (None, None) => return None,
        },
        Json::Null | Json::Array(_) | Json::Object(_) => return None,
    })
}

fn csv(mut bytes: &[u8], delimiter: u8, sink: &mut dyn FnMut(Fields)) -> Surveyed {
    let mut rows = Rows::new(delimiter, BYTES_MAX);
    let mut header: Option<Vec<String>> = None;
    let mut surveyed = Surveyed {
        is_csv: true,
        ..Surveyed::default()
    };
    loop {
        let length = match rows.next(bytes, false) {
            Row::Whole(length) => {
                let cells = rows.cells();
                match (cells, &header) {
                    (Some(cells), None) => {
                        header = Some(
                            cells
                                .iter()
                                .map(|name| column_name(name).into_owned())
                                .collect(),
                        );
                    }
                    (Some(cells), Some(names)) if cells.len() == names.len() => {
                        surveyed.events += 1;
                        let mut fields = named(names.iter().map(String::as_str), &cells);
                        if delimiter == b';' {
                            fields
                                .iter_mut()
                                .for_each(|(_, value)| with_decimal_point(value));
                        }
                        sink(fields);
                    }
                    _ => surveyed.unreadable += 1,
                }
                length
            }
            Row::Broken(length) | Row::TooLong(length) => {
                surveyed.unreadable += 1;
                length
            }
            Row::Skip(length) => length,
            Row::More | Row::End => return surveyed,
        };
        bytes = &bytes[length..];
    }
}

fn with_decimal_point(value: &mut Value<'static>) {
    if let Value::Text(text) = value
        && let Some(number) = with_point(text)
    {
        *text = Cow::Owned(number);
    }
}

fn text(mut bytes: &[u8], options: Options, sink: &mut dyn FnMut(Fields)) -> Surveyed {
    let Some(mut text) = Text::of(bytes, options.now_ms, BYTES_MAX) else {
        return timeless(bytes, sink);
    };
    let mut surveyed = Surveyed {
        text: Some(text.layout_of_topic(bytes, options.now_ms)),
        ..Surveyed::default()
    };
    let names = Text::columns(TEXT_TIME);
    loop {
        let row = text.next(bytes, false);
        let length = match row {
            Row::Whole(length) | Row::Broken(length) | Row::TooLong(length) => length,
            Row::Skip(length) => {
                bytes = &bytes[length..];
                continue;
            }
            Row::More | Row::End => return surveyed,
        };
        match (row, text.cells(&bytes[..length])) {
            (Row::Whole(_), Some(cells)) => {
                surveyed.events += 1;
                sink(named(names.iter().copied(), &cells));
            }
            _ => surveyed.unreadable += 1,
        }
        bytes = &bytes[length..];
    }
}

/// Lines of which none has a time: each is taken for a message of a topic.
fn timeless(bytes: &[u8], sink: &mut dyn FnMut(Fields)) -> Surveyed {
    let mut surveyed = Surveyed {
        text: Some(LineLayout::ByLine),
        is_timeless: true,
        ..Surveyed::default()
    };
    let names = Text::columns(TEXT_TIME);
    let lines = bytes.split(|byte| *byte == b'\n');
    for message in lines.filter(|line| !line.trim_ascii().is_empty()) {
        let line = Line::of(message, None, LineLayout::ByLine);
        let cells = names.iter().enumerate().skip(1).filter_map(|(at, name)| {
            let cell = line.cell(at);
            let is_there = !cell.is_empty();
            let value = Value::Text(Cow::Owned(cell.into_owned()));
            is_there.then(|| ((*name).to_owned(), value))
        });
        surveyed.events += 1;
        sink(cells.collect());
    }
    surveyed
}

fn table(mut bytes: &[u8], sink: &mut dyn FnMut(Fields)) -> Surveyed {
    let mut table = Directives::new(BYTES_MAX);
    let mut surveyed = Surveyed {
        is_csv: true,
        ..Surveyed::default()
    };
    loop {
        let length = match table.next(bytes, false) {
            Row::Whole(length) => {
                // The time as a whole is told, and not its parts beside it.
                let names = table.columns(TEXT_TIME).into_iter().enumerate();
                let names: Vec<String> = names
                    .map(|(column, name)| match table.is_part(column) {
                        true => String::new(),
                        false => name.to_owned(),
                    })
                    .collect();
                match table.cells(&bytes[..length]) {
                    Ok(cells) => {
                        surveyed.events += 1;
                        sink(named(names.iter().map(String::as_str), &cells));
                    }
                    Err(_) => surveyed.unreadable += 1,
                }
                length
            }
            Row::Broken(length) | Row::TooLong(length) => {
                surveyed.unreadable += 1;
                length
            }
            Row::Skip(length) => length,
            Row::More | Row::End => return surveyed,
        };
        bytes = &bytes[length..];
    }
}

/// The cells that are not empty, with the names of their columns.
fn named<'n>(names: impl Iterator<Item = &'n str>, cells: &Cells<'_>) -> Fields {
    names
        .zip(cells.iter())
        .filter(|(name, cell)| !cell.is_empty() && !name.is_empty())
        .map(|(name, cell)| (name.to_owned(), Value::Text(Cow::Owned(cell.to_owned()))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> (Surveyed, Vec<String>) {
        let mut events = Vec::new();
        let surveyed = survey(text.as_bytes(), Options::default(), &mut |fields| {
            let fields = fields.iter().map(|(path, value)| {
                let mut scratch = String::new();
                format!("{path}={}", value.text(&mut scratch).unwrap_or_default())
            });
            events.push(fields.collect::<Vec<_>>().join(" "));
        });
        (surveyed, events)
    }

    #[test]
    fn events_are_told_whatever_their_layout() {
        let lines = "{\"a\":{\"b\":1,\"c\":[\"x\",{}]},\"d\":null}\n{\"e\":true} {\"f\":2.5}\nnonsense\n{\"g\":\"last\"}";
        let (surveyed, events) = paths(lines);
        assert_eq!(events, ["a.b=1 a.c=x", "e=true", "f=2.5", "g=last"]);
        assert_eq!((surveyed.events, surveyed.unreadable), (4, 1));
        let (_, events) = paths("[\n {\"a\": 1},\n {\"a\": 2}\n]\n");
        assert_eq!(events, ["a=1", "a=2"]);
        let (surveyed, events) = paths("time,value\n1,\n2,\"x, y\"\n3,cut");
        assert_eq!(events, ["time=1", "time=2 value=x, y"]);
        assert!(surveyed.is_csv);
    }

    #[test]
    fn a_sample_cut_anywhere_is_told_up_to_its_last_whole_event() {
        let text = "{\"a\":1}\n{\"a\":{\"b\":\"}\"}}\n[{\"a\":3},{\"a\":4}]";
        for cut in 0..=text.len() {
            let (surveyed, events) = paths(&text[..cut]);
            assert!(
                events.len() <= 4 && surveyed.events == events.len() as u64,
                "{cut}"
            );
        }
        assert_eq!(paths(text).1.len(), 4);
    }
}
