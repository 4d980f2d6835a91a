//! A message of a topic as a line of a log: its time, if it begins with one, and its fields.
//!
//! Nothing is known of the messages around it, on purpose: what is read is a function of the message alone, whoever reads it and wherever he begins. So a line is
//! laid out as the job says, or as it can hardly be meant otherwise. A message is one event, of how many lines ever. Total on any input.

use super::fields::{LEVEL, Layout, NAMES};
use super::time::{bracketed, head};
use crate::config::LineLayout;
use memchr::memchr;
use std::borrow::Cow;

/// What a line says.
pub(in crate::decode) struct Line<'l> {
    /// The time that it begins with, milliseconds since the epoch.
    pub(in crate::decode) ms: Option<i64>,
    fields: [Option<&'l [u8]>; NAMES.len()],
}

impl<'l> Line<'l> {
    /// How many fields a line is said to have, beside its time.
    pub(in crate::decode) const FIELDS: u32 = NAMES.len() as u32;

    /// Reads a message. `about_ms`: when it was handed on, milliseconds since the epoch; a time without a year is of the twelve months before.
    pub(in crate::decode) fn of(
        message: &'l [u8],
        about_ms: Option<i64>,
        layout: LineLayout,
    ) -> Line<'l> {
        let message = match message.iter().position(|byte| !b"\r\n".contains(byte)) {
            Some(first) => &message[first..],
            None => &[],
        };
        let first = memchr(b'\n', message).unwrap_or(message.len());
        let first = message[..first].trim_ascii_end().len();
        let line = &message[..first];
        let found = head(line, about_ms);
        let layout = match layout {
            LineLayout::ByLine => Layout::of_line(line, found.as_ref()),
            LineLayout::Plain => Layout::Plain,
            LineLayout::Syslog => Layout::of_syslog(line, found.as_ref()),
            LineLayout::WebServer => Layout::Access,
        };
        let found = match (found, layout) {
            (None, Layout::Access) => Layout::access_time(line).and_then(|at| bracketed(line, at)),
            (found, _) => found,
        };
        let mut fields = [None; NAMES.len()];
        layout.fill(message, first, found.as_ref(), &mut fields);
        let ms = found.map(|found| found.ms);
        Line { ms, fields }
    }

    /// The text in a column of [`Text::columns`](super::Text::columns) behind the first, which is the time; nothing if it has none.
    pub(in crate::decode) fn cell(&self, column: usize) -> Cow<'l, str> {
        let at = column.saturating_sub(1);
        let bytes = self.fields.get(at).copied().flatten().unwrap_or_default();
        let text = text(bytes);
        match at == LEVEL && text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => Cow::Owned(text.to_ascii_lowercase()),
            false => text,
        }
    }
}

/// Bytes as text; what is not UTF-8 is replaced. It is, as a rule, and that is soon said.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::EventTime;
    use proptest::prelude::*;

    /// What a line says, the time first.
    fn said(message: &[u8], about: &str, layout: LineLayout) -> String {
        let about = crate::decode::instant(about).ok().map(|time| time.0);
        let line = Line::of(message, about, layout);
        let mut text = line
            .ms
            .map_or("-".to_owned(), |ms| EventTime(ms).to_string());
        for (at, name) in NAMES.iter().enumerate() {
            let cell = line.cell(at + 1);
            if !cell.is_empty() {
                let name = name.rsplit('.').next().unwrap_or_default();
                text.push_str(&format!(" | {name} {cell}"));
            }
        }
        text
    }

    #[test]
    fn a_line_is_laid_out_as_it_can_hardly_be_meant_otherwise() {
        for (message, expected) in [
            (
                "Nov 30 00:04:24 web-1 sshd[42]: Failed password\n",
                "2026-11-30T00:04:24Z | message Failed password | name web-1 | name sshd | pid 42",
            ),
            (
                "<34>Nov 29 22:14:15 mymachine su: 'su root' failed",
                "2026-11-29T22:14:15Z | message 'su root' failed | name mymachine | name su",
            ),
            (
                "2026-11-30T01:04:24.123456+01:00 web-1 kernel: oom",
                "2026-11-30T00:04:24.123Z | message oom | name web-1 | name kernel",
            ),
            (
                "<165>1 2003-10-11T22:14:15.003Z host app - ID47 - x y",
                "2003-10-11T22:14:15.003Z | message x y | name host | name app",
            ),
            (
                r#"10.0.0.1 - bob [31/Jan/2024:12:30:59 -0500] "GET /a HTTP/1.1" 404 -"#,
                "2024-01-31T17:30:59Z | address 10.0.0.1 | name bob | method GET | original /a | status_code 404",
            ),
            // No syslog: a blank between day and clock, a level where a host would be, no zone.
            (
                "2024-01-31 12:30:59 worker started: well",
                "2024-01-31T12:30:59Z | message worker started: well",
            ),
            (
                "2024-01-31T12:30:59Z info controller: well",
                "2024-01-31T12:30:59Z | message info controller: well",
            ),
            (
                "2024-01-31T12:30:59 worker started: well",
                "2024-01-31T12:30:59Z | message worker started: well",
            ),
            (
                "[2024-01-31 12:30:59,123] ERROR it broke",
                "2024-01-31T12:30:59.123Z | message ERROR it broke | level error",
            ),
            // Without a time.
            ("it broke", "- | message it broke"),
            ("\tat a.b.C", "- | message at a.b.C"),
            (
                "WARN broken since 2024-01-31 12:30:59",
                "- | message WARN broken since 2024-01-31 12:30:59 | level warn",
            ),
            (
                "\r\n2024-01-31 12:30:59 boom\n\tat a\n2024-01-31 12:31:00 b\n",
                "2024-01-31T12:30:59Z | message boom\n\tat a\n2024-01-31 12:31:00 b",
            ),
            ("", "- "),
        ] {
            let read = said(
                message.as_bytes(),
                "2026-11-30T00:05:00Z",
                LineLayout::ByLine,
            );
            let read = if read == "-" { "- ".to_owned() } else { read };
            assert_eq!(read, expected, "{message:?}");
        }
    }

    #[test]
    fn a_line_is_laid_out_as_the_job_says() {
        let line = b"2024-01-31T12:30:59Z worker started: well";
        for (layout, expected) in [
            (LineLayout::Plain, "message worker started: well"),
            (
                LineLayout::Syslog,
                "message well | name worker | name started",
            ),
            (LineLayout::WebServer, "message worker started: well"),
        ] {
            let read = said(line, "2026-11-30", layout);
            assert_eq!(read, format!("2024-01-31T12:30:59Z | {expected}"));
        }
        let without_priority = b"2024-01-31 12:30:59 host app 7 - - x";
        assert_eq!(
            said(without_priority, "2026-11-30", LineLayout::Syslog),
            "2024-01-31T12:30:59Z | message x | name host | name app | pid 7"
        );
    }

    #[test]
    fn a_time_without_a_year_is_of_the_twelve_months_before_its_message() {
        for (line, about, expected) in [
            (
                "Dec 31 23:59:59 h a: b",
                "2027-01-01T00:00:01Z",
                "2026-12-31T23:59:59Z",
            ),
            // A zone ahead of UTC, or a clock that is.
            (
                "Jan  1 00:00:01 h a: b",
                "2026-12-31T15:00:00Z",
                "2027-01-01T00:00:01Z",
            ),
            (
                "Jan  1 00:00:01 h a: b",
                "2027-01-01T00:00:00Z",
                "2027-01-01T00:00:01Z",
            ),
            (
                "Feb 29 12:00:00 h a: b",
                "2027-01-01",
                "2024-02-29T12:00:00Z",
            ),
            (
                "Nov 30 12:00:00 h a: b",
                "2026-11-29",
                "2025-11-30T12:00:00Z",
            ),
            ("Nov 30 12:00:00 h a: b", "nobody knows", "-"),
            // Month or day first, whichever is nearer.
            (
                "03/04/2026 12:00:00 x",
                "2026-03-05",
                "2026-03-04T12:00:00Z",
            ),
            (
                "03/04/2026 12:00:00 x",
                "2026-04-03",
                "2026-04-03T12:00:00Z",
            ),
            (
                "03/04/2026 12:00:00 x",
                "nobody knows",
                "2026-03-04T12:00:00Z",
            ),
            (
                "31/01/2026 12:00:00 x",
                "2026-02-01",
                "2026-01-31T12:00:00Z",
            ),
            // With a year, that one.
            (
                "Jan 31 12:30:59 2024 x",
                "2026-02-01",
                "2024-01-31T12:30:59Z",
            ),
        ] {
            let read = said(line.as_bytes(), about, LineLayout::ByLine);
            let time = read.split(" | ").next().unwrap_or_default();
            assert_eq!(time, expected, "{line} of {about}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_line(
            message in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b" :[]<>-/TZ019\n\t"[..])], 0..200),
            about in proptest::option::of(any::<i64>()),
        ) {
            for layout in [LineLayout::ByLine, LineLayout::Plain, LineLayout::Syslog, LineLayout::WebServer] {
                let line = Line::of(&message, about, layout);
                (0..=NAMES.len()).for_each(|column| drop(line.cell(column)));
            }
        }
    }
}
