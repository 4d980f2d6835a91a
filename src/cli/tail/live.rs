//! Lines that stay, and below them, on a terminal, lines that change in place.
//!
//! Only two commands are given to the terminal: up so many rows, and clear from here on. Rows are counted at the width that the terminal has when they
//! are taken away, because it wraps lines anew when it is resized.

use std::io::{self, Write};
use unicode_width::UnicodeWidthChar;

/// Where lines go.
pub(super) struct Live<W> {
    out: W,
    in_place: bool,
    /// What stands below, line by line.
    below: Vec<String>,
}

impl<W: Write> Live<W> {
    pub(super) fn new(out: W, in_place: bool) -> Live<W> {
        Live {
            out,
            in_place,
            below: Vec::new(),
        }
    }

    /// Whether lines may stand below the others.
    pub(super) fn is_in_place(&self) -> bool {
        self.in_place
    }

    /// Lines that may stand below, so that some of the others are seen, too.
    pub(super) fn height(&self) -> usize {
        let size = terminal_size::terminal_size_of(io::stdout());
        size.map_or(24, |(_, height)| usize::from(height.0)) / 2
    }

    /// Writes `above` for good, and `below` until the next call.
    pub(super) fn show(&mut self, above: &str, below: Vec<String>) -> io::Result<()> {
        self.show_at(above, below, crate::cli::output::width())
    }

    fn show_at(&mut self, above: &str, below: Vec<String>, width: usize) -> io::Result<()> {
        if above.is_empty() && below == self.below {
            return Ok(());
        }
        let rows: usize = self.below.iter().map(|line| rows(line, width)).sum();
        let mut text = match rows {
            0 => String::new(),
            rows => format!("\x1b[{rows}A\r\x1b[J"),
        };
        text.push_str(above);
        for line in &below {
            text.push_str(line);
            text.push('\n');
        }
        self.below = below;
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// Rows that a line takes on a terminal.
fn rows(line: &str, width: usize) -> usize {
    columns(line).div_ceil(width.max(1)).max(1)
}

/// Columns that a line takes; the colours in it take none.
fn columns(line: &str) -> usize {
    let (mut columns, mut in_command) = (0, false);
    for c in line.chars() {
        match (in_command, c) {
            (false, '\x1b') => in_command = true,
            (false, c) => columns += c.width().unwrap_or(0),
            (true, c) => in_command = !c.is_ascii_alphabetic(),
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_below_is_taken_away_row_by_row_at_the_width_of_the_moment() {
        let mut live = Live::new(Vec::new(), true);
        let below = vec!["\x1b[2mfour\x1b[0m".to_owned(), "x".repeat(25)];
        live.show_at("one\n", below, 40).unwrap();
        live.show_at("two\n", vec!["three".to_owned()], 10).unwrap();
        let text = String::from_utf8(live.out).unwrap();
        let long = "x".repeat(25);
        assert_eq!(
            text,
            format!("one\n\x1b[2mfour\x1b[0m\n{long}\n\x1b[4A\r\x1b[Jtwo\nthree\n")
        );
    }

    #[test]
    fn nothing_new_writes_nothing() {
        let mut live = Live::new(Vec::new(), true);
        live.show_at("", vec!["a".to_owned()], 80).unwrap();
        let before = live.out.len();
        live.show_at("", vec!["a".to_owned()], 80).unwrap();
        assert_eq!(live.out.len(), before);
    }

    #[test]
    fn wide_characters_take_two_columns_and_colours_none() {
        assert_eq!(columns("\x1b[1;31mab\x1b[0m"), 2);
        assert_eq!(columns("東京"), 4);
    }
}
