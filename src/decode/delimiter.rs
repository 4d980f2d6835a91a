//! What stands between the columns of CSV, where nobody has said it.
//!
//! With a job the header decides: it names the job's time. Without one the rows do, of which each has as many cells as the header. A blank is thought of
//! last, and only where nothing else stands between words: column names and texts hold blanks. Checked: below, tests/decode/reader.rs, tests/new.rs.

use super::csv::{Row, Rows};

/// In the order in which they are thought of.
const CANDIDATES: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Rows of a sample that are looked at.
const ROWS_MAX: usize = 50;

/// The delimiter by which `header` has a column of this name; if none does, the one by which it has most columns.
pub(super) fn of_header(header: &[u8], name: &str) -> u8 {
    let cells = |delimiter| cells_of(header, delimiter).unwrap_or_default();
    let names = |delimiter: &u8| cells(*delimiter).iter().any(|cell| cell.trim() == name);
    let found = candidates(header).find(names);
    found.unwrap_or_else(|| widest(candidates(header).map(|one| (one, cells(one).len()))))
}

/// The delimiter by which the rows of `sample`, which may end within one, are as wide as its first.
pub(super) fn of_rows(sample: &[u8]) -> u8 {
    let header = sample.split(|byte| *byte == b'\n').next();
    let header = header.unwrap_or_default();
    widest(candidates(header).filter_map(|one| Some((one, width(sample, one)?))))
}

fn candidates(header: &[u8]) -> impl Iterator<Item = u8> {
    let is_plain = !header.iter().any(|byte| CANDIDATES.contains(byte));
    let blank = is_plain.then_some(b' ');
    CANDIDATES.into_iter().chain(blank)
}

/// The one with most columns, of equals the first; a comma where none has several.
fn widest(found: impl Iterator<Item = (u8, usize)>) -> u8 {
    let wider = |held: (u8, usize), one: (u8, usize)| if one.1 > held.1 { one } else { held };
    found.fold((b',', 1), wider).0
}

/// How many cells nine rows of ten have, if that is what the first has.
fn width(mut sample: &[u8], delimiter: u8) -> Option<usize> {
    let mut rows = Rows::new(delimiter, super::BYTES_MAX);
    let (mut width, mut all, mut alike) = (None, 0, 0);
    while all < ROWS_MAX {
        let length = match rows.next(sample, false) {
            Row::Whole(length) => {
                let cells = rows.cells()?.len();
                alike += usize::from(*width.get_or_insert(cells) == cells);
                length
            }
            Row::Broken(length) | Row::TooLong(length) | Row::Skip(length) => length,
            Row::More | Row::End => break,
        };
        all += 1;
        sample = &sample[length..];
    }
    width.filter(|_| alike * 10 >= all * 9)
}

fn cells_of(line: &[u8], delimiter: u8) -> Option<Vec<String>> {
    let mut rows = Rows::new(delimiter, super::BYTES_MAX);
    match rows.next(line, true) {
        Row::Whole(_) => Some(rows.cells()?.iter().map(str::to_owned).collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_that_names_the_time_decides() {
        for (header, delimiter) in [
            ("when,a;b", b','),
            ("a,b;when;c", b';'),
            ("a\twhen", b'\t'),
            ("\"a|b\"|\"when\"", b'|'),
            ("a when b", b' '),
            // Not the time, so the widest; and a blank within a name is none.
            ("a;b;c", b';'),
            ("to when,b", b','),
            ("when", b','),
        ] {
            assert_eq!(of_header(header.as_bytes(), "when"), delimiter, "{header}");
        }
    }

    #[test]
    fn rows_as_wide_as_the_header_decide() {
        for (sample, delimiter) in [
            ("t,v\n1,2\n", b','),
            ("Zeit;Druck, innen;Wert\n1;2,5;3,5\n2;2,5;3\n", b';'),
            ("t\tmessage\n1\ta, b\n2\tc\n", b'\t'),
            ("t;note\n1;\"two\nlines; quoted\"\n2;x\n", b';'),
            ("version account start\n2 12 17\n2 12 18\n", b' '),
            ("some words here\nand a sentence of other words\n", b','),
            ("t\n1\n", b','),
            ("", b','),
        ] {
            assert_eq!(of_rows(sample.as_bytes()), delimiter, "{sample:?}");
        }
    }
}
