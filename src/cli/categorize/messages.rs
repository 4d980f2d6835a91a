//! Messages out of files and pipes: a line each, a field of a JSON object a line, or several lines that belong together.
//!
//! Total on any input: what is not UTF-8 is replaced, what is longer than [`LINE_BYTES_MAX`] is cut, and both are counted. Empty lines are messages
//! too, so that line numbers are those of the file.

use crate::decode::open_bytes;
use memchr::memchr;
use regex::Regex;
use serde_json::Value;
use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The longest line.
const LINE_BYTES_MAX: usize = 1 << 20;

/// One message.
pub(super) struct Message<'a> {
    /// The line it begins in, from 1.
    pub(super) line: u64,
    /// `None`: there is none in this line.
    pub(super) text: Option<&'a str>,
}

/// What was odd about the input.
#[derive(Clone, Copy, Default)]
pub(super) struct Noticed {
    pub(super) not_utf8: u64,
    pub(super) too_long: u64,
    pub(super) not_json: u64,
    pub(super) without_field: u64,
}

impl Noticed {
    /// Adds that of another file.
    pub(super) fn add(&mut self, other: &Noticed) {
        self.not_utf8 += other.not_utf8;
        self.too_long += other.too_long;
        self.not_json += other.not_json;
        self.without_field += other.without_field;
    }
}

/// The messages of one file.
pub(super) struct Messages {
    lines: BufReader<Box<dyn Read + Send>>,
    field: Option<String>,
    starts_with: Option<Regex>,
    pub(super) noticed: Noticed,
    line: u64,
    bytes: u64,
    raw: Vec<u8>,
    text: String,
    /// The line that begins the next message, and its number.
    ahead: Option<(u64, String)>,
}

/// Bytes of all files, where that can be known; compressed ones are longer than that.
pub(super) fn bytes_total(files: &[PathBuf]) -> Option<u64> {
    let plain = |file: &PathBuf| {
        let compressed = file
            .extension()
            .is_some_and(|end| end == "gz" || end == "zst");
        let size = std::fs::metadata(file).ok().filter(|data| data.is_file());
        size.filter(|_| !compressed).map(|data| data.len())
    };
    files.iter().map(plain).sum()
}

impl Messages {
    /// Opens a file, or standard input when it is `-`.
    pub(super) fn open(
        file: &Path,
        field: Option<String>,
        starts_with: Option<Regex>,
    ) -> io::Result<Messages> {
        Ok(Messages::of(open_bytes(file)?, field, starts_with))
    }

    fn of(
        bytes: Box<dyn Read + Send>,
        field: Option<String>,
        starts_with: Option<Regex>,
    ) -> Messages {
        Messages {
            lines: BufReader::with_capacity(1 << 16, bytes),
            field,
            starts_with,
            noticed: Noticed::default(),
            line: 0,
            bytes: 0,
            raw: Vec::new(),
            text: String::new(),
            ahead: None,
        }
    }

    /// Bytes taken so far, decompressed.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes
    }

    /// The next message.
    pub(super) fn next(&mut self) -> io::Result<Option<Message<'_>>> {
        if self.starts_with.is_some() {
            return self.next_of_several_lines();
        }
        if !self.read_line()? {
            return Ok(None);
        }
        let line = self.line;
        let Some(field) = &self.field else {
            decode(&self.raw, &mut self.text, &mut self.noticed);
            return Ok(Some(Message {
                line,
                text: Some(&self.text),
            }));
        };
        let value = serde_json::from_slice::<Value>(&self.raw)
            .ok()
            .filter(Value::is_object);
        self.noticed.not_json += u64::from(value.is_none());
        let text = value.as_ref().and_then(|value| look_up(value, field));
        self.noticed.without_field += u64::from(value.is_some() && text.is_none());
        let found = text.is_some();
        self.text = text.unwrap_or_default().into_owned();
        Ok(Some(Message {
            line,
            text: found.then_some(&*self.text),
        }))
    }

    fn next_of_several_lines(&mut self) -> io::Result<Option<Message<'_>>> {
        if self.ahead.is_none() && self.read_line()? {
            let mut text = String::new();
            decode(&self.raw, &mut text, &mut self.noticed);
            self.ahead = Some((self.line, text));
        }
        let Some((line, text)) = self.ahead.take() else {
            return Ok(None);
        };
        self.text = text;
        while self.read_line()? {
            let mut next = String::new();
            decode(&self.raw, &mut next, &mut self.noticed);
            if self
                .starts_with
                .as_ref()
                .is_none_or(|starts| starts.is_match(&next))
            {
                self.ahead = Some((self.line, next));
                break;
            }
            if self.text.len() + next.len() < LINE_BYTES_MAX {
                self.text.push('\n');
                self.text.push_str(&next);
            }
        }
        Ok(Some(Message {
            line,
            text: Some(&self.text),
        }))
    }

    /// Puts the next line into `raw`, without its end; `false` at the end of the file.
    fn read_line(&mut self) -> io::Result<bool> {
        self.raw.clear();
        let (mut any, mut cut) = (false, false);
        loop {
            let bytes = match self.lines.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if bytes.is_empty() {
                break;
            }
            any = true;
            let end = memchr(b'\n', bytes);
            let part = &bytes[..end.unwrap_or(bytes.len())];
            let kept = part.len().min(LINE_BYTES_MAX - self.raw.len());
            cut |= kept < part.len();
            self.raw.extend_from_slice(&part[..kept]);
            let taken = part.len() + usize::from(end.is_some());
            self.bytes += taken as u64;
            self.lines.consume(taken);
            if end.is_some() {
                break;
            }
        }
        if self.raw.last() == Some(&b'\r') {
            self.raw.pop();
        }
        self.line += u64::from(any);
        self.noticed.too_long += u64::from(cut);
        Ok(any)
    }
}

fn decode(raw: &[u8], text: &mut String, noticed: &mut Noticed) {
    text.clear();
    let decoded = String::from_utf8_lossy(raw);
    noticed.not_utf8 += u64::from(matches!(decoded, Cow::Owned(_)));
    text.push_str(&decoded);
}

/// The field's value as text: a literal dotted key, or a path into objects; of an array the first element.
fn look_up<'v>(value: &'v Value, field: &str) -> Option<Cow<'v, str>> {
    if let Some(found) = value.get(field) {
        return text_of(found);
    }
    field.match_indices('.').find_map(|(dot, _)| {
        let inner = value.get(&field[..dot])?;
        look_up(inner, &field[dot + 1..])
    })
}

fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Array(values) => text_of(values.first()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8], field: Option<&str>, starts_with: Option<&str>) -> (Vec<String>, Noticed) {
        let starts = starts_with.map(|starts| Regex::new(starts).expect("a pattern"));
        let bytes = Box::new(io::Cursor::new(input.to_vec()));
        let mut messages = Messages::of(bytes, field.map(str::to_owned), starts);
        let mut shown = Vec::new();
        while let Some(message) = messages.next().expect("it reads") {
            shown.push(format!(
                "{}:{}",
                message.line,
                message.text.unwrap_or("<none>")
            ));
        }
        (shown, messages.noticed)
    }

    #[test]
    fn lines_are_messages_whatever_ends_them() {
        let (shown, noticed) = all(b"a\r\n\nb \xff\nlast", None, None);
        assert_eq!(shown, ["1:a", "2:", "3:b \u{fffd}", "4:last"]);
        assert_eq!(noticed.not_utf8, 1);
        let mut long = vec![b'x'; LINE_BYTES_MAX + 5];
        long.extend_from_slice(b"\nnext\n");
        let (shown, noticed) = all(&long, None, None);
        assert_eq!(
            (shown.len(), shown[0].len(), noticed.too_long),
            (2, LINE_BYTES_MAX + 2, 1)
        );
    }

    #[test]
    fn a_field_is_found_in_objects_and_under_dotted_keys() {
        let input = br#"{"log": {"message": "one"}}
{"log.message": ["two", "x"]}
{"log": 5}
nonsense
"#;
        let (shown, noticed) = all(input, Some("log.message"), None);
        assert_eq!(shown, ["1:one", "2:two", "3:<none>", "4:<none>"]);
        assert_eq!((noticed.without_field, noticed.not_json), (1, 1));
    }

    #[test]
    fn lines_that_begin_no_message_belong_to_the_one_before() {
        let (shown, _) = all(b"1 a\n at x\n at y\n2 b\n", None, Some("^[0-9]"));
        assert_eq!(shown, ["1:1 a\n at x\n at y", "4:2 b"]);
    }
}
