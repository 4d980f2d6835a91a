//! Messages of a topic that are lines of text, for jobs that say so: each message one event, read by itself.
//!
//! A message that is one JSON object is that, also here. Time: the one that the line begins with, else the message's own; so a line without a time is an event like
//! any other. What is read depends on the message and its timestamp, on nothing before them.
//! Checked by: the tests of this module, of `text::line` and of `together`, tests/kafka/text.rs.

use super::csv::Header;
use super::paths::Paths;
use super::text::{Line, Text};
use super::{Decoder, KAFKA_TIMESTAMP, check, recycled, rejection};
use crate::config::{Input, Job, LineLayout};
use crate::engine::event::{Event, Reason, Rejection, Value};
use crate::time::EventTime;
use memchr::memchr;
use std::borrow::Cow;

/// So much of a message says whether it is text, bytes.
const LOOKED_AT_BYTES: usize = 256;

/// How a job's lines are read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) layout: LineLayout,
    header: Header,
    /// A line's time is that of its message, whatever it begins with.
    by_message: bool,
}

/// Whether a message is one JSON object, and nothing else.
pub(super) fn is_object(message: &[u8]) -> bool {
    let message = message.trim_ascii();
    message.first() == Some(&b'{') && check(message) == Ok(message.len())
}

/// Why a message is no line of text; `None`: it may be one.
pub(super) fn flaw(message: &[u8]) -> Option<String> {
    let at = memchr(0, message)?;
    Some(format!(
        "byte {at}: NUL, which no text has; is this Avro, Protobuf, or compressed?"
    ))
}

/// The same rejection of what a message holds, with what to do if messages are lines of text where JSON was expected.
#[cold]
pub(super) fn advised(rejection: Rejection, message: &[u8]) -> Rejection {
    let begin = &message[..message.len().min(LOOKED_AT_BYTES)];
    let is_text = || {
        let text = String::from_utf8_lossy(begin);
        let has_words = text.contains(' ') && text.contains(|c: char| c.is_alphabetic());
        let is_json = text.starts_with('{') || text.starts_with('[') && !Text::has_time(begin);
        has_words && !is_json && !text.contains(|c: char| c.is_control() && !c.is_whitespace())
    };
    match rejection.reason == Reason::Malformed && is_text() {
        true => Rejection {
            detail: format!(
                "{}; if these are lines of text, say \"tidewatch\": {{\"input\": \"text\"}} in the job",
                rejection.detail
            ),
            ..rejection
        },
        false => rejection,
    }
}

impl Lines {
    /// Those of a job; `None` if its messages are JSON. `reads_time`: somebody reads the time field as others.
    pub(super) fn of(job: &Job, paths: &Paths, reads_time: bool) -> Option<Lines> {
        let Input::Text(layout) = job.extensions.input else {
            return None;
        };
        let header = Header::of_names(&Text::columns(&job.time_field), paths);
        Some(Lines {
            layout,
            header: if reads_time {
                header
            } else {
                header.without(0)
            },
            by_message: job.time_field == KAFKA_TIMESTAMP,
        })
    }

    /// The values of a line, and its time, before anybody doubts it; `None`: it has none.
    pub(super) fn read<'l>(
        &self,
        message: &'l [u8],
        message_time: Option<EventTime>,
        values: &mut [Value<'l>],
    ) -> Option<EventTime> {
        let line = Line::of(message, message_time.map(|time| time.0), self.layout);
        let own = line.ms.filter(|_| !self.by_message).map(EventTime);
        let time = own.or(message_time);
        let cell = |column: usize| match column {
            0 => time.map_or(Cow::Borrowed(""), |time| time.to_string().into()),
            _ => line.cell(column),
        };
        self.header.fill_with(cell, values);
        time
    }
}

impl Decoder {
    /// Decodes a message that is no object.
    pub(super) fn line_of_text(
        &mut self,
        lines: &Lines,
        message: &[u8],
        message_time: Option<EventTime>,
        sink: &mut dyn FnMut(Result<&Event<'_>, Rejection>),
    ) {
        let raw = message.trim_ascii_end();
        if let Some(detail) = flaw(raw) {
            return sink(Err(rejection(Reason::Malformed, detail, raw.len())));
        }
        let mut values: Vec<Value<'_>> = std::mem::take(&mut self.values);
        let time = lines.read(raw, message_time, &mut values);
        self.line_event(
            time,
            &values[..self.field_count],
            raw.len(),
            message_time,
            sink,
        );
        self.values = recycled(values);
    }

    /// Hands over a line as an event, if its time allows.
    pub(super) fn line_event(
        &self,
        time: Option<EventTime>,
        values: &[Value<'_>],
        length: usize,
        message_time: Option<EventTime>,
        sink: &mut dyn FnMut(Result<&Event<'_>, Rejection>),
    ) {
        let no_time = || {
            let detail = "neither the line nor its message has a time".to_owned();
            (Reason::MissingTime, detail)
        };
        let time = time.ok_or_else(no_time);
        match time.and_then(|time| self.believed(time, message_time)) {
            Ok(time) => sink(Ok(&Event {
                time,
                values,
                raw_bytes: length.try_into().unwrap_or(u32::MAX),
                raw_fields: Line::FIELDS,
            })),
            Err((reason, detail)) => sink(Err(rejection(reason, detail, length))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(time_field: &str, own: &str) -> Job {
        let text = format!(
            r#"{{"job_id": "lines", "analysis_config": {{"bucket_span": "1m", "detectors": [{{"function": "count", "by_field_name": "host.name"}}], "influencers": ["message", "log.level"]}},
                "data_description": {{"time_field": "{time_field}"}}, "tidewatch": {{{own}}}}}"#
        );
        Job::from_text(&text, "lines.json").expect("a job")
    }

    /// What a job is told of a message whose timestamp is `at`: an event's time and values, or the reason for none.
    fn told(job: &Job, message: &[u8], at: Option<&str>) -> Vec<String> {
        let at = at.map(|at| crate::decode::instant(at).expect("a time"));
        let mut told = Vec::new();
        Decoder::new(job).payload(message, at, &mut |outcome| {
            told.push(match outcome {
                Ok(event) => {
                    let values = event.values.iter().map(|value| match value {
                        Value::Text(text) => text.to_string(),
                        _ => "-".to_owned(),
                    });
                    let values = values.collect::<Vec<_>>().join("|");
                    format!("{} {values}", event.time)
                }
                Err(rejection) => format!("{}: {}", rejection.reason.label(), rejection.detail),
            });
        });
        told
    }

    const TEXT: &str = r#""input": "text""#;
    const AT: Option<&str> = Some("2026-11-30T00:05:00Z");

    #[test]
    fn a_message_is_one_event_at_its_own_time_or_at_that_of_the_message() {
        let job = job("@timestamp", TEXT);
        for (message, expected) in [
            (
                "Nov 30 00:04:24 web-1 sshd[42]: gone",
                "2026-11-30T00:04:24Z web-1|gone|-",
            ),
            (
                "Nov 30 00:04:24 web-1 sshd[42]: gone\nNov 30 00:04:25 web-1 sshd[42]: again\n",
                "2026-11-30T00:04:24Z web-1|gone\nNov 30 00:04:25 web-1 sshd[42]: again|-",
            ),
            ("ERROR: gone", "2026-11-30T00:05:00Z -|ERROR: gone|error"),
            // JSON is what is one object, and has its time where JSON has it.
            (
                "\u{feff} {\"@timestamp\": 0, \"message\": \"x\"}\n",
                "1970-01-01T00:00:00Z -|x|-",
            ),
            (
                "{\"message\": \"x\"}",
                "missing_time: no value in the time field \"@timestamp\"",
            ),
            ("{main} gone", "2026-11-30T00:05:00Z -|{main} gone|-"),
            ("[1, 2]", "2026-11-30T00:05:00Z -|[1, 2]|-"),
        ] {
            assert_eq!(told(&job, message.as_bytes(), AT), [expected], "{message}");
        }
        let latin = told(&job, b"na\xefve", AT);
        assert_eq!(latin, ["2026-11-30T00:05:00Z -|na\u{fffd}ve|-"]);
    }

    #[test]
    fn the_messages_own_time_may_be_the_one_that_counts() {
        let job = job(KAFKA_TIMESTAMP, TEXT);
        let line = b"Nov 30 00:04:24 web-1 sshd[42]: gone";
        assert_eq!(told(&job, line, AT), ["2026-11-30T00:05:00Z web-1|gone|-"]);
        let nobody_knows = "missing_time: neither the line nor its message has a time";
        assert_eq!(told(&job, line, None), [nobody_knows]);
    }

    #[test]
    fn what_is_no_line_is_refused_with_its_reason() {
        let job = job("@timestamp", TEXT);
        let blank = "malformed: nothing but blanks; expected a line of text";
        for message in ["", " ", "\n\n", "\u{feff}\r\n"] {
            assert_eq!(told(&job, message.as_bytes(), AT), [blank]);
        }
        let nul = told(&job, b"ab\0c", AT);
        let expected =
            "malformed: byte 2: NUL, which no text has; is this Avro, Protobuf, or compressed?";
        assert_eq!(nul, [expected]);
        let huge = told(&job, &vec![b'x'; super::super::BYTES_MAX + 1], AT);
        assert_eq!(
            huge,
            ["too_long: longer than the 1048576 bytes that are decoded"]
        );
        let ahead = told(&job, b"2026-12-02T00:00:00Z x", AT);
        assert!(ahead[0].starts_with("far_future: "), "{ahead:?}");
        // Without a year, it is rather long ago.
        let behind = told(&job, b"Dec  2 00:00:00 h a: x", AT);
        assert_eq!(behind, ["2025-12-02T00:00:00Z h|x|-"]);
        let timeless = told(&job, b"Nov 30 00:04:24 web-1 sshd[42]: gone", None);
        let neither = "missing_time: neither the line nor its message has a time";
        assert_eq!(timeless, [neither]);
    }

    #[test]
    fn lines_where_json_was_expected_are_refused_with_what_to_do() {
        let job = job("@timestamp", "");
        let advice = "say \"tidewatch\": {\"input\": \"text\"} in the job";
        for line in [
            "Nov 30 00:04:24 web-1 sshd[42]: gone",
            "[2026-11-30 00:04:24] it is gone",
            "something happened",
        ] {
            let told = told(&job, line.as_bytes(), AT);
            assert!(
                told.iter().any(|one| one.ends_with(advice)),
                "{line}: {told:?}"
            );
        }
        for other in [
            "{\"@timestamp\": 0,, \"a b\": 1}",
            "{\"a b\": ",
            "42",
            "a,b",
            "[1 x]",
            "a \u{1}b",
        ] {
            let told = told(&job, other.as_bytes(), AT);
            assert!(
                !told.iter().any(|one| one.contains(advice)),
                "{other}: {told:?}"
            );
        }
    }
}
