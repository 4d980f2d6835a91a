//! Labels as CSV: a header with `start` and `end`; `label` (or `description`, `kind`, `name`) is for people; every other column is a field, an empty cell says nothing.

use super::labels::{quoted, time, window};
use crate::backtest::Window;
use anyhow::{Context, bail};
use csv_core::{ReadRecordResult, Reader};

/// Columns that are for people.
const FOR_PEOPLE: [&str; 5] = ["label", "description", "kind", "name", "expected"];
const EXPECTED: &str =
    "expected CSV with the columns start and end (and fields such as host), or JSON";

/// The windows of a CSV text that is not empty.
pub(super) fn parse(text: &str) -> anyhow::Result<Vec<Window>> {
    let mut rows = Rows::new(text);
    let header = rows.next().context(EXPECTED)?.1;
    let header: Vec<&str> = header.iter().map(|name| name.trim()).collect();
    let column = |name: &str| header.iter().position(|column| *column == name);
    let (Some(start), Some(end)) = (column("start"), column("end")) else {
        let found: Vec<String> = header.iter().take(5).map(|name| quoted(name)).collect();
        bail!("line 1: found {}; {EXPECTED}", found.join(", "));
    };
    for (at, name) in header.iter().enumerate() {
        if name.is_empty() || header[..at].contains(name) {
            bail!(
                "line 1: column {} has {}",
                at + 1,
                match name.is_empty() {
                    true => "no name".to_owned(),
                    false => format!("the name of another one, {}", quoted(name)),
                }
            );
        }
    }
    let mut windows = Vec::new();
    for (line, cells) in rows {
        let label = || -> anyhow::Result<Window> {
            if cells.len() != header.len() {
                bail!(
                    "found {} cells; expected {} as in the header",
                    cells.len(),
                    header.len()
                );
            }
            let at =
                |column: usize| time(&cells[column]).with_context(|| header[column].to_owned());
            let mut window = window(at(start)?, at(end)?)?;
            for (name, cell) in header.iter().zip(&cells) {
                match *name {
                    "start" | "end" => {}
                    _ if cell.is_empty() => {}
                    name if FOR_PEOPLE.contains(&name) && window.label.is_empty() => {
                        window.label = cell.clone();
                    }
                    name if FOR_PEOPLE.contains(&name) => {}
                    field => drop(window.entity.insert(field.to_owned(), cell.clone())),
                }
            }
            Ok(window)
        };
        windows.push(label().with_context(|| format!("line {line}"))?);
    }
    Ok(windows)
}

/// Rows with the line they begin on; empty lines are passed over.
struct Rows<'a> {
    reader: Reader,
    rest: &'a [u8],
    at_end: bool,
}

impl<'a> Rows<'a> {
    fn new(text: &'a str) -> Rows<'a> {
        Rows {
            reader: Reader::new(),
            rest: text.as_bytes(),
            at_end: false,
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = (u64, Vec<String>);

    fn next(&mut self) -> Option<(u64, Vec<String>)> {
        // The reader counts the line ends that it has seen; blank lines before a row are not yet among them.
        let blanks = self.rest.iter().take_while(|byte| b"\r\n".contains(byte));
        let line = self.reader.line() + blanks.filter(|byte| **byte == b'\n').count() as u64;
        let (mut cells, mut ends) = (vec![0; 256], vec![0; 16]);
        let (mut written, mut count) = (0, 0);
        while !self.at_end {
            let (result, read, wrote, ended) =
                self.reader
                    .read_record(self.rest, &mut cells[written..], &mut ends[count..]);
            self.rest = &self.rest[read..];
            (written, count) = (written + wrote, count + ended);
            match result {
                ReadRecordResult::OutputFull => cells.resize(2 * cells.len(), 0),
                ReadRecordResult::OutputEndsFull => ends.resize(2 * ends.len(), 0),
                // All is here: with nothing more to read the next call ends the row.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::End => self.at_end = true,
                ReadRecordResult::Record => {
                    let starts = std::iter::once(0).chain(ends[..count].iter().copied());
                    let cell = |(from, to): (usize, &usize)| {
                        String::from_utf8_lossy(&cells[from..*to]).trim().to_owned()
                    };
                    return Some((line, starts.zip(&ends[..count]).map(cell).collect()));
                }
            }
        }
        None
    }
}
