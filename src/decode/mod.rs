//! Bytes → events: JSON and CSV, time texts, framing. Total on any input: what is not an event is a [`Rejection`].
//!
//! A [`Decoder`] is made once for a job and holds what can be reused; an event of plain values whose texts need no unescaping costs
//! no allocation (tests/decode_allocations.rs counts them). Only the fields that the job names are materialised. The message
//! shells call [`Decoder::payload`]; files and pipes go through [`Reader`]. docs/events.md is the user's side of this.

mod ahead;
mod csv;
mod delimiter;
mod directives;
mod frame;
mod guard;
mod input;
mod json;
mod lines;
mod orders;
mod paths;
mod scan;
mod source;
mod survey;
mod text;
mod time_format;
mod time_pattern;
pub mod together;
mod window;

pub use input::{Format, Item, Options, Reader};
pub use survey::{Fields, Surveyed, instant_in, survey};
pub use time_pattern::{Pattern, PatternError};
pub use window::Origin;

use crate::config::{Job, TimeFormat};
use crate::engine::event::{Event, Reason, Rejection, Value};
use crate::time::EventTime;
use crate::time::civil::RANGE;
use csv::{Cells, Header};
use frame::{Frame, Framer};
use json::Extracted;
use lines::Lines;
use orders::Orders;
use paths::Paths;
use scan::{Flaw, Scanner};
use time_format::TimeReader;

/// A `time_field` of this name stands for the timestamp of the Kafka message, unless the event has such a field itself.
pub const KAFKA_TIMESTAMP: &str = "@kafka_timestamp";

/// The longest event that is decoded, bytes, unless said otherwise.
pub const BYTES_MAX: usize = 1 << 20;

/// Numbers below this are seconds since the epoch where either unit may come: as milliseconds they would lie before 3 March 1973.
const SECONDS_BELOW: f64 = 1e11;

/// An instant outside of events, where no job says how it is written: ISO 8601 (UTC without a zone), or a number of seconds or milliseconds
/// since the epoch, whichever it can be. The error is the end of a sentence that begins with the text.
///
/// ```
/// use tidewatch::decode::instant;
/// assert_eq!(instant("1700000000"), instant("2023-11-14T22:13:20Z"));
/// assert_eq!(instant("1700000000"), instant("1700000000000"));
/// assert!(instant("NaN").is_err());
/// ```
pub fn instant(text: &str) -> Result<EventTime, std::borrow::Cow<'static, str>> {
    let format = match text.trim_ascii().parse::<f64>() {
        Ok(number) if number.abs() < SECONDS_BELOW => TimeFormat::Epoch,
        _ => TimeFormat::Auto,
    };
    let read = TimeReader::new(&format).read(&Value::Text(text.into()));
    read.map_err(|why| match why.contains("ISO 8601") {
        true => "is neither ISO 8601 (2024-01-31T12:30:59Z) nor a number of seconds or milliseconds since 1970".into(),
        false => why,
    })
}

/// The bytes of a file (`-`: standard input), decompressed if they are gzip or zstd.
pub fn open_bytes(path: &std::path::Path) -> std::io::Result<Box<dyn std::io::Read + Send>> {
    source::open(path, &std::sync::Arc::default())
}

/// When a file was last written to, milliseconds since the epoch; `None`: it is none, or that is not known.
pub fn written_ms(path: &std::path::Path) -> Option<i64> {
    let metadata = std::fs::metadata(path).ok().filter(|of| of.is_file())?;
    let since = metadata
        .modified()
        .ok()?
        .duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.ok()?.as_millis()).ok()
}

/// The part of an offending text that a rejection shows, characters.
const SHOWN_CHARS_MAX: usize = 120;

/// Decodes the payloads of one job's topics.
#[derive(Debug)]
pub struct Decoder {
    paths: Paths,
    orders: Orders,
    /// How many values an event has, fields and presences; `time_slot` may lie behind them.
    field_count: usize,
    time_slot: usize,
    time_field: String,
    time: TimeReader,
    future_skew_ms_max: i64,
    bytes_max: usize,
    /// How a message that is no object is read as a line of text; `None`: it is refused.
    lines: Option<Lines>,
    /// One a slot; all missing between events, kept for its memory.
    values: Vec<Value<'static>>,
}

/// What became of one frame.
struct Decoded<'d> {
    outcome: Result<&'d Event<'d>, Rejection>,
    /// The bytes that it was made from.
    raw: &'d [u8],
    /// Where they begin in what was given.
    offset: usize,
}

/// How far [`Decoder::step`] has come.
enum Step {
    /// So many bytes are done with, and one outcome has been handed over.
    Took(usize),
    /// So many bytes were the rest of what was handed over as too long.
    Discarded(usize),
    /// So many bytes are done with; what follows them is needed.
    More(usize),
    /// All bytes are done with.
    End,
}

impl Decoder {
    /// A decoder that materialises the job's fields and nothing else.
    pub fn new(job: &Job) -> Decoder {
        let names = job.fields.iter().map(String::as_str);
        let mut paths: Vec<(&str, usize)> = names.zip(0..).collect();
        let presences = job.feed.presences.iter().map(String::as_str);
        let presences: Vec<(&str, usize)> = presences.zip(paths.len()..).collect();
        let field_count = paths.len() + presences.len();
        let time_slot = job
            .field_id(&job.time_field)
            .map_or(field_count, |id| id.0 as usize);
        if time_slot == field_count {
            paths.push((&job.time_field, time_slot));
        }
        let paths = Paths::new(&paths, &presences);
        Decoder {
            orders: Orders::new(&paths),
            lines: Lines::of(job, &paths, time_slot < field_count),
            paths,
            field_count,
            time_slot,
            time_field: job.time_field.clone(),
            time: TimeReader::new(&job.time_format),
            future_skew_ms_max: job.extensions.max_future_skew_ms,
            bytes_max: BYTES_MAX,
            values: vec![Value::Missing; field_count.max(time_slot + 1)],
        }
    }

    /// The same with another limit on the length of a payload, or of one event of a file.
    #[must_use]
    pub fn with_bytes_max(self, bytes_max: usize) -> Decoder {
        Decoder { bytes_max, ..self }
    }

    /// Decodes a message's payload (one JSON object, several one after another, or an array of them; a line of text, if the job says so) and hands each event or
    /// rejection to `sink`, in order. `message_time` (the Kafka message's timestamp) is the event time of jobs whose time field is
    /// [`KAFKA_TIMESTAMP`] and of lines without a time, and what [`Reason::FarFuture`] is measured from.
    pub fn payload(
        &mut self,
        payload: &[u8],
        message_time: Option<EventTime>,
        sink: &mut dyn FnMut(Result<&Event<'_>, Rejection>),
    ) {
        if payload.len() > self.bytes_max {
            return sink(Err(self.too_long(payload.len())));
        }
        let mut rest = payload.strip_prefix(BOM).unwrap_or(payload);
        if rest.iter().all(u8::is_ascii_whitespace) {
            return sink(Err(self.blank(payload.len())));
        }
        if let Some(lines) = self.lines.take_if(|_| !lines::is_object(rest)) {
            self.line_of_text(&lines, rest, message_time, sink);
            self.lines = Some(lines);
            return;
        }
        // Nearly always that is all: one object. It needs no frame, and may be laid out as it likes.
        if let Ok(length) = self.object(rest, message_time, 0, &mut |decoded| sink(decoded.outcome))
        {
            rest = rest[length..].trim_ascii_start();
        }
        let mut framer = Framer::new(self.bytes_max);
        let message = rest.trim_ascii_start();
        let sink = &mut |decoded: Decoded<'_>| {
            let advised = |rejection| lines::advised(rejection, message);
            sink(decoded.outcome.map_err(advised));
        };
        while let Step::Took(length) = self.step(&mut framer, rest, true, message_time, sink) {
            rest = &rest[length..];
        }
    }

    /// Decodes the next frame of `bytes`, which go on where the last step ended; `at_end` says that none follow.
    fn step(
        &mut self,
        framer: &mut Framer,
        bytes: &[u8],
        at_end: bool,
        message_time: Option<EventTime>,
        sink: &mut dyn FnMut(Decoded<'_>),
    ) -> Step {
        let mut frame = framer.next(bytes, at_end);
        if let Frame::Line { at, end } = frame {
            match self.object(&bytes[at..end], message_time, at, sink) {
                Ok(length) => return Step::Took(at + length),
                Err(_) => frame = framer.object(bytes, at, at_end),
            }
        }
        let (at, end, rejection) = match frame {
            Frame::Object { at, end } => match self.object(&bytes[at..end], message_time, at, sink)
            {
                Ok(length) => return Step::Took(at + length),
                Err(flaw) => (at, end, flawed(flaw, &bytes[at..end])),
            },
            Frame::Cut { at, end } => {
                let raw = bytes[at..end].trim_ascii_end();
                (
                    at,
                    end,
                    flawed(check(raw).err().unwrap_or((Flaw::Cut, raw.len())), raw),
                )
            }
            Frame::Line { at, end } | Frame::Other { at, end } => {
                (at, end, not_an_object(&bytes[at..end]))
            }
            Frame::TooLong { at, end } => (at, end, self.too_long(end - at)),
            Frame::Discarded { at } => return Step::Discarded(at),
            Frame::More { at } => return Step::More(at),
            Frame::End { unclosed: false } => return Step::End,
            Frame::End { unclosed: true } => {
                let detail = "the input ends inside an array; expected ']'";
                (
                    bytes.len(),
                    bytes.len(),
                    rejection(Reason::Malformed, detail.into(), 0),
                )
            }
        };
        sink(Decoded {
            outcome: Err(rejection),
            raw: bytes[at..end].trim_ascii_end(),
            offset: at,
        });
        Step::Took(end)
    }

    /// Decodes the object that `bytes` begin with, and says how long it is. Nothing has been handed over when it is flawed.
    fn object(
        &mut self,
        bytes: &[u8],
        message_time: Option<EventTime>,
        offset: usize,
        sink: &mut dyn FnMut(Decoded<'_>),
    ) -> Result<usize, (Flaw, usize)> {
        let text = std::str::from_utf8(bytes).map_err(|error| (Flaw::Utf8, error.valid_up_to()))?;
        let mut values: Vec<Value<'_>> = std::mem::take(&mut self.values);
        let extracted = json::extract(
            &self.paths,
            &mut self.orders,
            self.time_slot,
            text,
            &mut values,
        );
        let length = extracted.map(|extracted| {
            let raw = &bytes[..extracted.end];
            self.conclude(&values, &extracted, message_time, raw, offset, sink);
            extracted.end
        });
        self.values = recycled(values);
        length
    }

    /// Decodes the cells of a CSV row.
    fn cells(
        &mut self,
        cells: &Cells<'_>,
        header: &Header,
        raw: &[u8],
        offset: usize,
        sink: &mut dyn FnMut(Decoded<'_>),
    ) {
        let mut values: Vec<Value<'_>> = std::mem::take(&mut self.values);
        header.fill(cells, &mut values);
        let extracted = Extracted {
            end: raw.len(),
            fields: cells.len() as u32,
            time_is_object: false,
        };
        self.conclude(&values, &extracted, None, raw, offset, sink);
        self.values = recycled(values);
    }

    /// Makes an event of the values, if their time allows.
    fn conclude(
        &self,
        values: &[Value<'_>],
        extracted: &Extracted,
        message_time: Option<EventTime>,
        raw: &[u8],
        offset: usize,
        sink: &mut dyn FnMut(Decoded<'_>),
    ) {
        let time = self.time_of(values, extracted, message_time);
        let raw_bytes = raw.len().try_into().unwrap_or(u32::MAX);
        let event;
        let outcome = match time {
            Ok(time) => {
                event = Event {
                    time,
                    values: &values[..self.field_count],
                    raw_bytes,
                    raw_fields: self.fields_of(values, extracted),
                };
                Ok(&event)
            }
            Err((reason, detail)) => Err(rejection(reason, detail, raw.len())),
        };
        sink(Decoded {
            outcome,
            raw,
            offset,
        });
    }

    /// The time of an event with these values.
    fn time_of(
        &self,
        values: &[Value<'_>],
        extracted: &Extracted,
        message_time: Option<EventTime>,
    ) -> Result<EventTime, (Reason, String)> {
        let value = &values[self.time_slot];
        self.time_in(value, extracted.time_is_object, message_time)
    }

    /// The time that the time field's value says; `is_object` where it held an object somewhere.
    #[inline]
    fn time_in(
        &self,
        value: &Value<'_>,
        is_object: bool,
        message_time: Option<EventTime>,
    ) -> Result<EventTime, (Reason, String)> {
        match is_object && matches!(value, Value::Missing) {
            true => Err(self.wrong_time_type("an object")),
            false => self.event_time(value, message_time),
        }
    }

    /// How many fields it had besides its time.
    fn fields_of(&self, values: &[Value<'_>], extracted: &Extracted) -> u32 {
        let has_time = !matches!(values[self.time_slot], Value::Missing);
        extracted.fields.saturating_sub(u32::from(has_time))
    }

    /// The event's time, if it has one that can be believed.
    fn event_time(
        &self,
        value: &Value<'_>,
        message_time: Option<EventTime>,
    ) -> Result<EventTime, (Reason, String)> {
        match value {
            Value::Missing if self.time_field == KAFKA_TIMESTAMP => {
                message_time.ok_or_else(|| self.missing_time())
            }
            Value::Missing => Err(self.missing_time()),
            Value::Bool(_) => Err(self.wrong_time_type("true or false")),
            Value::List(_) => Err(self.wrong_time_type("an array")),
            value => {
                let time = self
                    .time
                    .read(value)
                    .map_err(|why| self.bad_time(value, &why))?;
                self.believed(time, message_time)
            }
        }
    }

    /// An event's time, unless it is too far ahead of its message's.
    #[inline]
    fn believed(
        &self,
        time: EventTime,
        message_time: Option<EventTime>,
    ) -> Result<EventTime, (Reason, String)> {
        match message_time {
            Some(message) if time.0 > message.0.saturating_add(self.future_skew_ms_max) => {
                Err(self.far_future(time, message))
            }
            _ => Ok(time),
        }
    }

    #[cold]
    fn far_future(&self, time: EventTime, message: EventTime) -> (Reason, String) {
        let skew_seconds = self.future_skew_ms_max / 1000;
        let detail = format!(
            "{time} is more than {skew_seconds} s ahead of the message's timestamp {message}; is a clock wrong, or max_future_skew too small?"
        );
        (Reason::FarFuture, detail)
    }

    #[cold]
    fn missing_time(&self) -> (Reason, String) {
        let detail = format!("no value in the time field {:?}", shown(&self.time_field));
        (Reason::MissingTime, detail)
    }

    #[cold]
    fn wrong_time_type(&self, found: &str) -> (Reason, String) {
        let field = shown(&self.time_field);
        (
            Reason::WrongType,
            format!("time field {field:?} holds {found}; expected text or a number"),
        )
    }

    #[cold]
    fn bad_time(&self, value: &Value<'_>, why: &str) -> (Reason, String) {
        let mut scratch = String::new();
        let text = value.text(&mut scratch).unwrap_or_default();
        let detail = format!(
            "time field {:?}: {:?} {why}{}",
            shown(&self.time_field),
            shown(text),
            unit_hint(value)
                .filter(|_| why == RANGE)
                .unwrap_or_default()
        );
        (Reason::BadTime, detail)
    }

    #[cold]
    fn blank(&self, length: usize) -> Rejection {
        let detail = match self.lines {
            Some(_) => "nothing but blanks; expected a line of text",
            None => "nothing but blanks; expected a JSON object",
        };
        rejection(Reason::Malformed, detail.into(), length)
    }

    #[cold]
    fn too_long(&self, length: usize) -> Rejection {
        let detail = format!("longer than the {} bytes that are decoded", self.bytes_max);
        rejection(Reason::TooLong, detail, length)
    }
}

/// 2001 and 2100, seconds since 1970: a number that lies between them in some unit is probably a time in that unit.
const PRESENT_SECONDS: std::ops::Range<f64> = 978_307_200.0..4_102_444_800.0;

/// In which unit a number is probably meant that is no time in the one it was read in.
fn unit_hint(value: &Value<'_>) -> Option<&'static str> {
    let number = value.number()?;
    let units = [
        (
            1e3,
            " (it looks like milliseconds, which time_format \"epoch_ms\" reads)",
        ),
        (
            1e6,
            " (it looks like microseconds, which time_format \"epoch_us\" reads)",
        ),
        (
            1e9,
            " (it looks like nanoseconds, which time_format \"epoch_ns\" reads)",
        ),
    ];
    let meant = |(unit, _): &(f64, _)| PRESENT_SECONDS.contains(&(number / unit));
    units.into_iter().find(meant).map(|(_, hint)| hint)
}

/// The mark that some editors put before UTF-8 text.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// The same memory, every value missing, for an event that borrows from elsewhere. (Collecting a vector's own iterator works in place.)
#[inline]
fn recycled(values: Vec<Value<'_>>) -> Vec<Value<'static>> {
    values.into_iter().map(|_| Value::Missing).collect()
}

/// What is wrong with the JSON value that `bytes` begin with, and where; how long it is if nothing is.
fn check(bytes: &[u8]) -> Result<usize, (Flaw, usize)> {
    let text = std::str::from_utf8(bytes).map_err(|error| (Flaw::Utf8, error.valid_up_to()))?;
    let mut scanner = Scanner::new(text);
    let skipped = scanner
        .peek()
        .and_then(|first| scanner.skip_value(first, 0));
    skipped.map_err(|flaw| (flaw, scanner.position()))?;
    Ok(scanner.position())
}

fn rejection(reason: Reason, detail: String, length: usize) -> Rejection {
    Rejection {
        reason,
        detail,
        raw_bytes: length.try_into().unwrap_or(u32::MAX),
    }
}

#[cold]
fn flawed((flaw, at): (Flaw, usize), raw: &[u8]) -> Rejection {
    let reason = match flaw {
        Flaw::TooDeep => Reason::TooDeep,
        _ => Reason::Malformed,
    };
    let detail = match (flaw, flaw.expected()) {
        (_, Some(expected)) => format!(
            "byte {at}: found {}; expected {expected}",
            found_at(raw, at)
        ),
        (Flaw::TooDeep, _) => format!(
            "more than {} objects and arrays inside one another",
            scan::DEPTH_MAX
        ),
        (Flaw::Range, _) => format!(
            "byte {at}: {} does not fit a 64-bit float",
            found_at(raw, at)
        ),
        (Flaw::Utf8, _) => format!("byte {at}: not UTF-8"),
        _ => "the object is cut off; expected '}' at its end".into(),
    };
    rejection(reason, detail, raw.len())
}

#[cold]
fn not_an_object(raw: &[u8]) -> Rejection {
    let raw = raw.trim_ascii_end();
    let reason = match check(raw) == Ok(raw.len()) {
        true => Reason::WrongType,
        false => Reason::Malformed,
    };
    let detail = format!("found {}; expected a JSON object", found_at(raw, 0));
    rejection(reason, detail, raw.len())
}

/// The first characters of what stands at byte `at`.
fn found_at(raw: &[u8], at: usize) -> String {
    let window = &raw[at.min(raw.len())..raw.len().min(at + 4 * SHOWN_CHARS_MAX)];
    let text: String = String::from_utf8_lossy(window).chars().take(24).collect();
    match text.is_empty() {
        true => "the end".into(),
        false => format!("{text:?}"),
    }
}

/// The first characters of `text`.
fn shown(text: &str) -> &str {
    let end = text
        .char_indices()
        .nth(SHOWN_CHARS_MAX)
        .map_or(text.len(), |(at, _)| at);
    &text[..end]
}
