//! CSV by RFC 4180: rows → values of the fields that the job names.
//!
//! The first row names the columns; what no field's name may have in it is read as [`column_name`] says. Cells are text (a number's text is a number to the analysis), an empty cell is missing, and
//! of two columns of one name the last counts. Between semicolons a number's comma is a decimal one. A row must have as many cells as the header. A row that spans lines and breaks the
//! rules (a quote that is never closed, or closed where no cell ends) costs its first line only; reading goes on with the second.
//! Memory: one row; nothing is allocated for a row once the buffers have grown.

use super::paths::Paths;
use crate::engine::event::Value;
use csv_core::ReadRecordResult;
use memchr::memchr;
use std::borrow::Cow;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// A row of so many bytes, line end included; ask for its cells.
    Whole(usize),
    /// So many bytes are a line that is no row.
    Broken(usize),
    /// So many bytes are the beginning of a line longer than is decoded.
    TooLong(usize),
    /// The rest of a line that was too long: so many bytes to pass over.
    Skip(usize),
    /// What follows is needed.
    More,
    /// That was all.
    End,
}

/// Splits bytes into rows and cells; can stop at any byte and go on when there are more.
pub(super) struct Rows {
    core: csv_core::Reader,
    delimiter: u8,
    bytes_max: usize,
    /// How much of the current row has been split, and into what: the cells one after another, and where each ends.
    split: usize,
    cells: Vec<u8>,
    cells_length: usize,
    ends: Vec<usize>,
    width: usize,
    skipping: bool,
}

impl Rows {
    pub(super) fn new(delimiter: u8, bytes_max: usize) -> Rows {
        Rows {
            core: csv_core::ReaderBuilder::new().delimiter(delimiter).build(),
            delimiter,
            bytes_max,
            split: 0,
            cells: vec![0; 4096],
            cells_length: 0,
            ends: vec![0; 64],
            width: 0,
            skipping: false,
        }
    }

    /// The next row of `bytes`, which go on where the last one ended; `at_end` says that none follow.
    pub(super) fn next(&mut self, bytes: &[u8], at_end: bool) -> Row {
        if self.skipping {
            return self.skip(bytes, at_end);
        }
        if self.split == 0 {
            (self.cells_length, self.width) = (0, 0);
        }
        loop {
            let input = &bytes[self.split..];
            if input.is_empty() && !at_end {
                return Row::More;
            }
            let (result, read, written, ended) = self.core.read_record(
                input,
                &mut self.cells[self.cells_length..],
                &mut self.ends[self.width..],
            );
            self.split += read;
            self.cells_length += written;
            self.width += ended;
            match result {
                ReadRecordResult::InputEmpty if self.split > self.bytes_max => {
                    return self.too_long(bytes);
                }
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.cells.resize(self.cells.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record if self.split > self.bytes_max => {
                    return self.too_long(bytes);
                }
                ReadRecordResult::Record => return self.whole(bytes),
                ReadRecordResult::End => return Row::End,
            }
        }
    }

    /// The cells of the row that has just been read; `None` if they are not UTF-8.
    pub(super) fn cells(&self) -> Option<Cells<'_>> {
        Some(Cells {
            text: std::str::from_utf8(&self.cells[..self.cells_length]).ok()?,
            ends: &self.ends[..self.width],
        })
    }

    fn whole(&mut self, bytes: &[u8]) -> Row {
        let length = std::mem::take(&mut self.split);
        let blank = length - bytes[..length].trim_ascii_start().len();
        let row = &bytes[blank..length];
        match memchr(b'\n', row.trim_ascii_end()) {
            Some(line) if !is_quoted_well(row.trim_ascii_end(), self.delimiter) => {
                self.restart(blank + line + 1)
            }
            _ => Row::Whole(length),
        }
    }

    fn restart(&mut self, length: usize) -> Row {
        self.core.reset();
        self.split = 0;
        Row::Broken(length)
    }

    fn too_long(&mut self, bytes: &[u8]) -> Row {
        let row = &bytes[..self.split];
        let blank = row.len() - row.trim_ascii_start().len();
        match memchr(b'\n', &row[blank..]) {
            Some(line) if line < self.bytes_max => self.restart(blank + line + 1),
            line => {
                self.core.reset();
                self.split = 0;
                self.skipping = line.is_none();
                Row::TooLong(line.map_or(row.len(), |line| blank + line + 1))
            }
        }
    }

    /// Whether more of a row that was too long is to come.
    pub(super) fn is_skipping(&self) -> bool {
        self.skipping
    }

    fn skip(&mut self, bytes: &[u8], at_end: bool) -> Row {
        match memchr(b'\n', bytes) {
            Some(line) => {
                self.skipping = false;
                Row::Skip(line + 1)
            }
            None if !bytes.is_empty() => Row::Skip(bytes.len()),
            None if at_end => Row::End,
            None => Row::More,
        }
    }
}

/// Whether each cell that begins with a quote ends with one, and nothing but a delimiter or line end follows it.
fn is_quoted_well(row: &[u8], delimiter: u8) -> bool {
    let mut rest = row;
    loop {
        if let [b'"', quoted @ ..] = rest {
            rest = quoted;
            loop {
                let Some(quote) = memchr(b'"', rest) else {
                    return false;
                };
                rest = &rest[quote + 1..];
                match rest {
                    [b'"', after @ ..] => rest = after,
                    _ => break,
                }
            }
            if !rest.is_empty() && rest[0] != delimiter {
                return false;
            }
        }
        match memchr(delimiter, rest) {
            Some(at) => rest = &rest[at + 1..],
            None => return true,
        }
    }
}

/// The cells of one row.
pub(super) struct Cells<'c> {
    text: &'c str,
    ends: &'c [usize],
}

impl<'c> Cells<'c> {
    /// Cells that stand one after another in `text`, each up to its end.
    pub(super) fn new(text: &'c str, ends: &'c [usize]) -> Cells<'c> {
        Cells { text, ends }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, column: usize) -> &'c str {
        let start = column.checked_sub(1).map_or(0, |before| self.ends[before]);
        // A cell may end inside a character only if the row as a whole is no UTF-8 (a multi-byte delimiter cannot be set).
        self.text.get(start..self.ends[column]).unwrap_or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'c str> + '_ {
        (0..self.len()).map(|column| self.get(column))
    }
}

/// What a column is called by whoever names it: a field's name has neither quotation marks nor backslashes (Elastic), so a series of Grafana's such as `up{host="a"}` is `up{host='a'}`, and one of
/// Windows' counters has slashes.
pub(super) fn column_name(header: &str) -> Cow<'_, str> {
    let name = header.trim();
    match name.contains(['"', '\\']) {
        true => Cow::Owned(name.replace('"', "'").replace('\\', "/")),
        false => Cow::Borrowed(name),
    }
}

/// A number with a decimal comma as others write it: `-1.234,5` is `-1234.5`. Where a semicolon stands between cells a comma cannot be one of thousands: that is
/// how spreadsheets write where the decimal sign is a comma.
pub(super) fn with_point(cell: &str) -> Option<String> {
    let (whole, fraction) = cell.split_once(',')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = whole.strip_prefix(['-', '+']).unwrap_or(whole);
    let mut groups = unsigned.split('.');
    let is_whole = match groups.next().filter(|first| is_number(first)) {
        Some(first) if unsigned.contains('.') => {
            first.len() <= 3 && groups.all(|group| group.len() == 3 && is_number(group))
        }
        first => first.is_some(),
    };
    (is_whole && is_number(fraction)).then(|| format!("{}.{fraction}", whole.replace('.', "")))
}

/// The columns that are wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Column and slot.
    wanted: Vec<(usize, usize)>,
    /// Column and the slot of a presence that it shows.
    shows: Vec<(usize, usize)>,
    width: usize,
    /// Numbers have a decimal comma, where they have one.
    decimal_comma: bool,
}

impl Header {
    /// The columns of `names` that are a path of `paths`, or show a presence.
    pub(super) fn new(names: &Cells<'_>, paths: &Paths) -> Header {
        let names_of_columns: Vec<Cow<'_, str>> = names.iter().map(column_name).collect();
        let named = || names_of_columns.iter().map(|name| &**name).enumerate();
        let node = |name| paths.step(Paths::ROOT, name);
        let wanted = named().filter_map(|(column, name)| Some((column, paths.slot(node(name)?)?)));
        let shows = named().flat_map(|(column, name)| {
            let shown: Vec<usize> = match node(name) {
                Some(node) => paths.shows(node).to_vec(),
                None => paths.shown_by_key(Paths::ROOT, name).collect(),
            };
            shown.into_iter().map(move |slot| (column, slot))
        });
        Header {
            wanted: wanted.collect(),
            shows: shows.collect(),
            width: names.len(),
            decimal_comma: false,
        }
    }

    /// What is wanted of columns of these names.
    pub(super) fn of_names(names: &[&str], paths: &Paths) -> Header {
        let ends = names.iter().scan(0, |end, name| {
            *end += name.len();
            Some(*end)
        });
        let ends: Vec<usize> = ends.collect();
        Header::new(&Cells::new(&names.concat(), &ends), paths)
    }

    /// Of rows with this between their cells.
    pub(super) fn between(self, delimiter: u8) -> Header {
        Header {
            decimal_comma: delimiter == b';',
            ..self
        }
    }

    /// The same without the value of a column; what it shows stays.
    pub(super) fn without(mut self, column: usize) -> Header {
        self.wanted.retain(|(wanted, _)| *wanted != column);
        self
    }

    pub(super) fn has(&self, slot: usize) -> bool {
        self.wanted.iter().any(|(_, wanted)| *wanted == slot)
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The wanted cells as values.
    pub(super) fn fill<'c>(&self, cells: &Cells<'c>, values: &mut [Value<'c>]) {
        self.fill_with(|column| Cow::Borrowed(cells.get(column)), values);
    }

    /// What `cell` says of the wanted columns, as values.
    pub(super) fn fill_with<'c>(
        &self,
        cell: impl Fn(usize) -> Cow<'c, str>,
        values: &mut [Value<'c>],
    ) {
        for (column, slot) in &self.wanted {
            let text = cell(*column);
            let number = self.decimal_comma.then(|| with_point(&text)).flatten();
            values[*slot] = match (text.is_empty(), number) {
                (true, _) => Value::Missing,
                (false, Some(number)) => Value::Text(Cow::Owned(number)),
                (false, None) => Value::Text(text),
            };
        }
        for (column, slot) in &self.shows {
            if !cell(*column).is_empty() {
                values[*slot] = Value::Bool(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cells of each row; a broken line in angle brackets.
    fn rows(text: &str, piece: usize) -> Vec<String> {
        let mut rows = Rows::new(b',', 64);
        let (mut start, mut end, mut found) = (0, 0, Vec::new());
        loop {
            match rows.next(&text.as_bytes()[start..end], end == text.len()) {
                Row::Whole(length) => {
                    found.push(rows.cells().unwrap().iter().collect::<Vec<_>>().join("|"));
                    start += length;
                }
                Row::Broken(length) => {
                    found.push(format!("<{}>", text[start..start + length].trim()));
                    start += length;
                }
                Row::TooLong(length) => {
                    found.push("<long>".into());
                    start += length;
                }
                Row::Skip(length) => start += length,
                Row::More => end = text.len().min(end + piece),
                Row::End => return found,
            }
        }
    }

    #[test]
    fn a_decimal_comma_is_told_from_words_and_lists() {
        for (cell, number) in [
            ("12,5", Some("12.5")),
            ("-1.234,50", Some("-1234.50")),
            ("1234567,8", Some("1234567.8")),
            ("+0,5", Some("+0.5")),
            ("1.23,5", None),
            ("1,2,3", None),
            (",5", None),
            ("5,", None),
            ("a,5", None),
            ("12.5", None),
            ("12:00:00,5", None),
        ] {
            assert_eq!(with_point(cell).as_deref(), number, "{cell}");
        }
    }

    #[test]
    fn rows_are_the_same_however_the_bytes_arrive() {
        for (text, expected) in [
            ("a,b\r\n1,2\r\n\r\n3,\r\n", vec!["a|b", "1|2", "3|"]),
            ("a\n\"x,\"\"y\"\"\nz\"\n", vec!["a", "x,\"y\"\nz"]),
            ("a,b\n1,2", vec!["a|b", "1|2"]),
            ("a,\"b\n1,2\n3,4\n", vec!["<a,\"b>", "1|2", "3|4"]),
            ("a,\"b\n1,\"c\"\n3,4\n", vec!["<a,\"b>", "1|c", "3|4"]),
            (
                &format!("a,b\n{},1\n2,3\n", "x".repeat(200)),
                vec!["a|b", "<long>", "2|3"],
            ),
        ] {
            for piece in [1, 2, 3, 1000] {
                assert_eq!(rows(text, piece), expected, "{text:?} by {piece}");
            }
        }
    }
}
