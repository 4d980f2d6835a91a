//! Tables that say in directives, lines which begin with `#`, what their columns are: Zeek's logs, and W3C's extended log format (IIS, CloudFront).
//!
//! A later `#fields` holds for the lines below it: such logs are written on into the same file. Cells are not quoted; one that says that nothing is there
//! (`-`) is missing. Where the date and the time of day have a column each, a last column has both. What is not UTF-8 is replaced. Memory: one line.
//! Source: Zeek's ASCII writer; W3C WD-logfile-960323. docs/events.md is the user's side. Checked: tests/decode/tables.rs.

use super::csv::{Cells, Row};
use memchr::memchr;

/// With what a file of this kind begins.
const BEGINNINGS: [&[u8]; 8] = [
    b"#separator ",
    b"#fields",
    b"#Fields:",
    b"#Version:",
    b"#Software:",
    b"#Date:",
    b"#Start-Date:",
    b"#Remark:",
];
/// A tab in the rows of W3C's format: CloudFront writes them so, and blanks in the directive.
const TAB: u8 = b'\t';

/// Splits such a table into rows and cells; can stop at any byte and go on when there are more.
pub(super) struct Directives {
    /// Said, or shown by the first row.
    delimiter: Option<u8>,
    names: Vec<String>,
    /// How many lines have named columns so far.
    headers: u32,
    /// The columns of the date and of the time of day.
    parts: Option<(usize, usize)>,
    /// What stands where nothing is.
    nothing: Vec<String>,
    bytes_max: usize,
    is_within_line: bool,
    text: String,
    ends: Vec<usize>,
}

impl Directives {
    pub(super) fn new(bytes_max: usize) -> Directives {
        Directives {
            delimiter: None,
            names: Vec::new(),
            headers: 0,
            parts: None,
            nothing: vec!["-".to_owned()],
            bytes_max,
            is_within_line: false,
            text: String::new(),
            ends: Vec::new(),
        }
    }

    /// Whether such a table begins with this line.
    pub(super) fn is_begun(line: &[u8]) -> bool {
        BEGINNINGS.iter().any(|begins| line.starts_with(begins))
    }

    /// The next row of `bytes`, which go on where the last one ended; `at_end` says that none follow. Directives are taken in and passed over.
    pub(super) fn next(&mut self, bytes: &[u8], at_end: bool) -> Row {
        let end = memchr(b'\n', bytes).map(|at| at + 1);
        if self.is_within_line && !bytes.is_empty() {
            self.is_within_line = end.is_none();
            return Row::Skip(end.unwrap_or(bytes.len()));
        }
        let length = match end {
            Some(end) => end,
            None if at_end && bytes.is_empty() => return Row::End,
            None if at_end || bytes.len() > self.bytes_max => bytes.len(),
            None => return Row::More,
        };
        if length > self.bytes_max {
            self.is_within_line = end.is_none();
            return Row::TooLong(length);
        }
        match line_of(&bytes[..length]) {
            [b'#', directive @ ..] => {
                self.take(&String::from_utf8_lossy(directive));
                Row::Skip(length)
            }
            line if line.trim_ascii().is_empty() => Row::Skip(length),
            _ => Row::Whole(length),
        }
    }

    /// Whether more of a line that was too long is to come.
    pub(super) fn is_skipping(&self) -> bool {
        self.is_within_line
    }

    /// Grows whenever columns are named.
    pub(super) fn headers(&self) -> u32 {
        self.headers
    }

    /// The columns, and one for the time as a whole, called `time_field`, where it has to be put together.
    pub(super) fn columns<'n>(&'n self, time_field: &'n str) -> Vec<&'n str> {
        let whole = self.parts.map(|_| time_field);
        let names = self.names.iter().map(String::as_str);
        names.chain(whole).collect()
    }

    /// Whether a column is one of the parts that the time is put together of.
    pub(super) fn is_part(&self, column: usize) -> bool {
        self.parts
            .is_some_and(|(date, time)| column == date || column == time)
    }

    /// Whether the time is put together of its parts, as ISO 8601.
    pub(super) fn joins_time(&self) -> bool {
        self.parts.is_some()
    }

    /// The cells of a row; else what is wrong with it.
    pub(super) fn cells(&mut self, row: &[u8]) -> Result<Cells<'_>, String> {
        let line = line_of(row);
        let shown = || if line.contains(&TAB) { TAB } else { b' ' };
        let delimiter = char::from(*self.delimiter.get_or_insert_with(shown));
        let line = String::from_utf8_lossy(line);
        let width = line.split(delimiter).count();
        if self.names.is_empty() {
            return Err("no line above names the columns (#fields)".to_owned());
        }
        if width != self.names.len() {
            let expected = self.names.len();
            return Err(format!("{width} columns; expected {expected}, as #fields"));
        }
        self.text.clear();
        self.ends.clear();
        for cell in line.split(delimiter) {
            if !self.nothing.iter().any(|nothing| nothing == cell) {
                self.text.push_str(cell);
            }
            self.ends.push(self.text.len());
        }
        if let Some((date, time)) = self.parts {
            let cell = |column: usize| line.split(delimiter).nth(column).unwrap_or_default();
            self.text.push_str(cell(date));
            self.text.push('T');
            self.text.push_str(cell(time));
            self.ends.push(self.text.len());
        }
        Ok(Cells::new(&self.text, &self.ends))
    }

    /// Takes in what a directive says, its `#` left out.
    fn take(&mut self, directive: &str) {
        if let Some(separator) = directive.strip_prefix("separator ") {
            self.delimiter = byte_of(separator.trim()).or(self.delimiter);
        } else if let Some(names) = directive.strip_prefix("Fields:") {
            self.name(names.split_ascii_whitespace());
        } else {
            let delimiter = char::from(self.delimiter.unwrap_or(TAB));
            let mut words = directive.split(delimiter);
            match words.next() {
                Some("fields") => self.name(words),
                Some("unset_field" | "empty_field") => {
                    self.nothing.extend(words.next().map(str::to_owned));
                }
                _ => {}
            }
        }
    }

    fn name<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        self.names = names.map(str::to_owned).collect();
        self.headers += 1;
        let column = |wanted| self.names.iter().position(|name| name == wanted);
        self.parts = column("date").zip(column("time"));
    }
}

/// A line without its end.
fn line_of(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

/// `\x09`, or the character itself.
fn byte_of(text: &str) -> Option<u8> {
    match (text.strip_prefix("\\x"), text.as_bytes()) {
        (Some(hex), _) => u8::from_str_radix(hex, 16).ok().filter(u8::is_ascii),
        (None, [byte]) if byte.is_ascii() => Some(*byte),
        _ => None,
    }
}
