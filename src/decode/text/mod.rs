//! Logs as programs write them: lines of text, each with a time → rows of a message and what else its line says.
//!
//! How a log writes its times and lays out its lines is found out from its first lines. A line that has no such time belongs to the message before it: a stack trace
//! is one event. What is not UTF-8 is replaced. Total on any input; memory: one message. docs/events.md is the user's side of this.

mod fields;
mod forms;
mod line;
mod time;
mod words;

pub(super) use line::Line;

use super::csv::{Cells, Row};
use crate::config::LineLayout;
use crate::time::EventTime;
use fields::{LEVEL, Layout, NAMES};
use memchr::memchr;
use std::fmt::Write;
use time::{Clock, Found};

/// How many of a log's first lines are looked at; a pipe is waited for until it has delivered as many, so that it is read as a file of the same lines is.
pub(super) const SAMPLE_LINES: usize = 50;

/// Splits a log into messages, and these into cells; can stop at any byte and go on when there are more.
pub(super) struct Text {
    clock: Clock,
    layout: Layout,
    bytes_max: usize,
    /// How much of the current message has been seen: so many whole lines.
    seen: usize,
    /// Where its first line ends, and the time in it.
    first: (usize, Option<Found>),
    /// The time of the line that follows, if it has been seen.
    next: Option<Found>,
    /// The message is too long: what comes of it is passed over, and the rest of a line first.
    is_skipping: bool,
    is_within_line: bool,
    text: String,
    ends: Vec<usize>,
}

impl Text {
    /// For a log that begins with `sample`, whole lines of it; `None` if no line has a time that is known. `written_ms`: when the log was last written to; without
    /// it, times that have no year are none.
    pub(super) fn of(sample: &[u8], written_ms: Option<i64>, bytes_max: usize) -> Option<Text> {
        let lines = || sample.split(|byte| *byte == b'\n').take(SAMPLE_LINES);
        let clock = Clock::of(lines(), written_ms)?;
        let mut own = clock.clone();
        let timed: Vec<(&[u8], Found)> = lines()
            .filter_map(|line| Some((line, own.find(line)?)))
            .collect();
        Some(Text {
            layout: Layout::of(&timed),
            clock,
            bytes_max,
            seen: 0,
            first: (0, None),
            next: None,
            is_skipping: false,
            is_within_line: false,
            text: String::new(),
            ends: Vec::new(),
        })
    }

    /// How a topic of such lines is to be said to be laid out, if each by itself would not be read as they are here.
    pub(super) fn layout_of_topic(&self, sample: &[u8], now_ms: Option<i64>) -> LineLayout {
        let mut clock = self.clock.clone();
        let lines = sample.split(|byte| *byte == b'\n').take(SAMPLE_LINES);
        let (mut count, mut alike) = (0, 0);
        for line in lines.map(<[u8]>::trim_ascii_end) {
            if clock.find(line).is_some() {
                count += 1;
                alike += usize::from(
                    Layout::of_line(line, time::head(line, now_ms).as_ref()) == self.layout,
                );
            }
        }
        match self.layout {
            _ if 2 * alike > count => LineLayout::ByLine,
            Layout::Plain => LineLayout::Plain,
            Layout::Syslog | Layout::Syslog2009 => LineLayout::Syslog,
            Layout::Access => LineLayout::WebServer,
        }
    }

    /// Whether a line has a time as logs have it.
    pub(super) fn has_time(line: &[u8]) -> bool {
        Clock::of([line].into_iter(), Some(0)).is_some()
    }

    /// Whether what begins with `sample` is such a log rather than CSV with a header: its first line has a time, and its lines are no rows.
    pub(super) fn is_likely(sample: &[u8], delimiter: u8) -> bool {
        let mut lines = sample.split(|byte| *byte == b'\n').take(SAMPLE_LINES);
        let first = lines.next().unwrap_or_default();
        let clock = Clock::of([first].into_iter(), Some(0));
        let Some(found) = clock.and_then(|mut clock| clock.find(first)) else {
            return false;
        };
        let delimiters = |line: &[u8]| line.iter().filter(|byte| **byte == delimiter).count();
        let width = delimiters(first);
        let ends_cell = first
            .get(found.at.end)
            .is_none_or(|byte| [delimiter, b'"'].contains(byte));
        let is_row = width > 0
            && ends_cell
            && lines.all(|line| line.is_empty() || delimiters(line) == width);
        !is_row
    }

    /// The columns that every row has, the time first and called `time_field`.
    pub(super) fn columns(time_field: &str) -> Vec<&str> {
        std::iter::once(time_field).chain(NAMES).collect()
    }

    /// The next message of `bytes`, which go on where the last one ended; `at_end` says that none follow.
    pub(super) fn next(&mut self, bytes: &[u8], at_end: bool) -> Row {
        loop {
            let rest = &bytes[self.seen..];
            let end = memchr(b'\n', rest).map(|at| at + 1);
            if self.is_within_line && !rest.is_empty() {
                self.is_within_line = end.is_none();
                return Row::Skip(end.unwrap_or(rest.len()));
            }
            let length = match end {
                Some(end) => end,
                None if at_end && rest.is_empty() => return self.last(),
                None if at_end || rest.len() > self.bytes_max => rest.len(),
                None => return Row::More,
            };
            let line = rest[..length].trim_ascii_end();
            // Known already where it ended the message before it.
            let found = self.next.take().or_else(|| self.clock.find(line));
            if self.seen > 0 && found.is_some() {
                self.next = found;
                return self.whole();
            }
            if self.seen == 0 {
                self.is_skipping &= found.is_none();
                self.first = (line.len(), found);
            }
            self.seen += length;
            if self.is_skipping || self.seen > self.bytes_max {
                self.is_within_line = end.is_none() && !at_end;
                return self.cut();
            }
        }
    }

    fn whole(&mut self) -> Row {
        Row::Whole(std::mem::take(&mut self.seen))
    }

    fn last(&mut self) -> Row {
        match self.seen {
            0 => Row::End,
            _ => self.whole(),
        }
    }

    fn cut(&mut self) -> Row {
        let length = std::mem::take(&mut self.seen);
        match std::mem::replace(&mut self.is_skipping, true) {
            true => Row::Skip(length),
            false => Row::TooLong(length),
        }
    }

    /// The cells of the message that has just been read; `None` if its first line has no time.
    pub(super) fn cells(&mut self, message: &[u8]) -> Option<Cells<'_>> {
        let (first, found) = (self.first.0, self.first.1.as_ref()?);
        let mut fields = [None; NAMES.len()];
        self.layout.fill(message, first, Some(found), &mut fields);
        self.text.clear();
        self.ends.clear();
        write!(self.text, "{}", EventTime(found.ms)).expect("text takes text");
        self.ends.push(self.text.len());
        for (at, field) in fields.into_iter().enumerate() {
            let field = line::text(field.unwrap_or_default());
            match at {
                LEVEL => self.text.push_str(&field.to_ascii_lowercase()),
                _ => self.text.push_str(&field),
            }
            self.ends.push(self.text.len());
        }
        Some(Cells::new(&self.text, &self.ends))
    }
}
