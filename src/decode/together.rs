//! One message decoded once for several jobs: the union of their fields is materialised, and each job is shown its own event.
//!
//! ```text
//! jobs ──► Together: the union of their fields ──► Decoded: a batch's values ──► Given ──► Decoder::given ──► the job's event
//! ```
//!
//! Holds: a job is handed what [`Decoder::payload`] would have handed it, to the byte of a rejection's detail. What is taken from the union is a
//! payload that is one object, read whole, and for jobs that read lines of text such a line; of all else (broken, several documents, a number out of range in anybody's field)
//! every job decodes the payload itself, because reasons are a job's own. So does a job that the union cannot serve: one with another time field, or
//! with a multi-field (`a.keyword`) that goes by a name that only another job gives to a field; and of lines, one that says they are laid out
//! otherwise. Times are read once where formats are the same; how far ahead of its message an event may be is each job's own.
//! Checked by: the tests below (every job against its own decoder), tests/simulation.rs.

use super::json::{self, Extracted};
use super::lines::{self, Lines};
use super::orders::Orders;
use super::paths::{Paths, slot_of};
use super::time_format::TimeReader;
use super::{BOM, BYTES_MAX, Decoder, rejection};
use crate::config::{Input, Job, MULTI_FIELDS};
use crate::engine::event::{Event, Rejection, Value};
use crate::time::EventTime;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Decodes for several jobs at once.
#[derive(Debug)]
pub struct Together {
    paths: Paths,
    slots: usize,
    time_slot: usize,
    time: TimeReader,
    /// For those of the jobs that read lines of text, as the first of them does.
    lines: Option<Lines>,
    /// By the job's key.
    tables: BTreeMap<u64, Table>,
}

/// Where a job finds its values.
#[derive(Debug)]
pub struct Table {
    /// By the job's slot, the union's.
    slots: Vec<usize>,
    /// The job's values are the union's first ones.
    as_is: bool,
    /// The job writes its times as the union reads them.
    same_time: bool,
    /// The job reads lines as the union does.
    same_lines: bool,
}

/// What a batch of payloads held.
#[derive(Debug)]
pub struct Decoded<'b> {
    /// One a payload; `None`: to be decoded by each job itself.
    items: Vec<Option<Whole>>,
    /// So many an item as there are slots, those of the whole ones.
    values: Vec<Value<'b>>,
}

/// A payload that is one object, or a line.
#[derive(Debug)]
struct Whole {
    /// Which one of the whole ones.
    number: usize,
    is_line: bool,
    extracted: Extracted,
    /// As the union reads it; `None` where that is not possible.
    time: Option<EventTime>,
}

/// A payload as one of the jobs is to see it.
#[derive(Clone, Copy, Debug)]
pub struct Given<'d> {
    whole: &'d Whole,
    values: &'d [Value<'d>],
    time_slot: usize,
    table: &'d Table,
}

impl Together {
    /// For these jobs, each with a key of its own. The time field is the one that most of them name.
    pub fn of<'j>(jobs: impl Iterator<Item = (u64, &'j Arc<Job>)> + Clone) -> Option<Together> {
        let others_like = |job: &Job| {
            let alike = jobs.clone().filter(|(_, other)| {
                (&other.time_field, &other.time_format) == (&job.time_field, &job.time_format)
            });
            alike.count()
        };
        // Of several, the first.
        let (_, first) = jobs
            .clone()
            .min_by_key(|(_, job)| Reverse(others_like(job)))?;
        let mut union = Union::default();
        let mut tables = BTreeMap::new();
        let reads_lines = |job: &&Arc<Job>| {
            job.time_field == first.time_field && matches!(job.extensions.input, Input::Text(_))
        };
        let reader = jobs.clone().map(|(_, job)| job).find(reads_lines);
        for (key, job) in jobs.clone() {
            if job.time_field != first.time_field {
                continue;
            }
            let fields = job.fields.iter().map(|path| union.field(path));
            let mut slots: Vec<usize> = fields.collect();
            let presences = job.feed.presences.iter().map(|path| union.presence(path));
            slots.extend(presences.collect::<Vec<_>>());
            let table = Table {
                as_is: slots.iter().copied().eq(0..slots.len()),
                slots,
                same_time: job.time_format == first.time_format,
                same_lines: reader
                    .is_some_and(|reader| reader.extensions.input == job.extensions.input),
            };
            tables.insert(key, table);
        }
        let reads_time = union.fields.contains_key(&first.time_field);
        let time_slot = union.field(&first.time_field);
        for (key, job) in jobs {
            if !union.serves(job) {
                tables.remove(&key);
            }
        }
        let pairs = |of: &'_ BTreeMap<String, usize>| -> Vec<(String, usize)> {
            of.iter()
                .map(|(path, slot)| (path.clone(), *slot))
                .collect()
        };
        let (fields, presences) = (pairs(&union.fields), pairs(&union.presences));
        let paths = Paths::new(&borrowed(&fields), &borrowed(&presences));
        Some(Together {
            lines: reader.and_then(|job| Lines::of(job, &paths, reads_time)),
            paths,
            slots: union.slots,
            time_slot,
            time: TimeReader::new(&first.time_format),
            tables,
        })
    }

    /// Where a job finds its values; `None` if it has to decode for itself.
    pub fn table(&self, key: u64) -> Option<&Table> {
        self.tables.get(&key)
    }

    /// Decodes a batch of payloads, each with its message's timestamp.
    pub fn decode<'b>(
        &self,
        payloads: impl ExactSizeIterator<Item = (&'b [u8], Option<EventTime>)>,
    ) -> Decoded<'b> {
        let mut decoded = Decoded {
            items: Vec::with_capacity(payloads.len()),
            values: Vec::with_capacity(payloads.len() * self.slots),
        };
        let (mut number, mut orders) = (0, Orders::new(&self.paths));
        for (payload, message_time) in payloads {
            let values = &mut decoded.values;
            let whole = self
                .whole(payload, number, &mut orders, values)
                .or_else(|| self.line(payload, message_time, number, values));
            number += usize::from(whole.is_some());
            decoded.items.push(whole);
        }
        decoded
    }

    /// Appends the values of a payload that is one object; of another one, none.
    fn whole<'b>(
        &self,
        payload: &'b [u8],
        number: usize,
        orders: &mut Orders,
        values: &mut Vec<Value<'b>>,
    ) -> Option<Whole> {
        if payload.len() > BYTES_MAX {
            return None;
        }
        let text = std::str::from_utf8(payload).ok()?;
        let before = values.len();
        values.resize(before + self.slots, Value::Missing);
        let own = &mut values[before..];
        let extracted = json::extract(&self.paths, orders, self.time_slot, text, own);
        match extracted {
            Ok(extracted) if payload[extracted.end..].trim_ascii_start().is_empty() => {
                let time = match &values[before + self.time_slot] {
                    value @ (Value::Int(_) | Value::Float(_) | Value::Text(_)) => {
                        self.time.read(value).ok()
                    }
                    _ => None,
                };
                Some(Whole {
                    number,
                    is_line: false,
                    extracted,
                    time,
                })
            }
            _ => {
                values.truncate(before);
                None
            }
        }
    }

    /// Appends the values of a payload that is a line of text, if somebody reads such; of another one, none.
    fn line<'b>(
        &self,
        payload: &'b [u8],
        message_time: Option<EventTime>,
        number: usize,
        values: &mut Vec<Value<'b>>,
    ) -> Option<Whole> {
        let reader = self.lines.as_ref()?;
        let line = payload
            .strip_prefix(BOM)
            .unwrap_or(payload)
            .trim_ascii_end();
        let is_line = payload.len() <= BYTES_MAX
            && !line.is_empty()
            && lines::flaw(line).is_none()
            && !lines::is_object(line);
        if !is_line {
            return None;
        }
        let before = values.len();
        values.resize(before + self.slots, Value::Missing);
        let time = reader.read(line, message_time, &mut values[before..]);
        Some(Whole {
            number,
            is_line: true,
            extracted: Extracted {
                end: line.len(),
                fields: 0,
                time_is_object: false,
            },
            time,
        })
    }

    /// The `n`th payload of a batch that this has decoded, for the job of `table`.
    #[inline]
    pub fn given<'d>(
        &'d self,
        decoded: &'d Decoded<'d>,
        n: usize,
        table: &'d Table,
    ) -> Option<Given<'d>> {
        let whole = decoded.items.get(n)?.as_ref()?;
        if whole.is_line && !table.same_lines {
            return None;
        }
        let first = whole.number * self.slots;
        Some(Given {
            whole,
            values: &decoded.values[first..first + self.slots],
            time_slot: self.time_slot,
            table,
        })
    }
}

impl Decoded<'_> {
    /// About how much memory it takes, bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.items) + size_of_val(&*self.values)
    }
}

fn borrowed(pairs: &[(String, usize)]) -> Vec<(&str, usize)> {
    let pairs = pairs.iter();
    pairs.map(|(path, slot)| (path.as_str(), *slot)).collect()
}

/// The fields and presences of several jobs.
#[derive(Default)]
struct Union {
    fields: BTreeMap<String, usize>,
    presences: BTreeMap<String, usize>,
    slots: usize,
}

impl Union {
    fn field(&mut self, path: &str) -> usize {
        slot_in(&mut self.fields, &mut self.slots, path)
    }

    fn presence(&mut self, path: &str) -> usize {
        slot_in(&mut self.presences, &mut self.slots, path)
    }

    /// Whether each of a job's multi-fields goes by the same name here as it does when the job is alone.
    fn serves(&self, job: &Job) -> bool {
        let names = job
            .fields
            .iter()
            .map(String::as_str)
            .chain([&*job.time_field]);
        let alone: BTreeMap<&str, usize> = names
            .clone()
            .filter_map(|name| Some((name, *self.fields.get(name)?)))
            .collect();
        let here: BTreeMap<&str, usize> = self
            .fields
            .iter()
            .map(|(name, slot)| (name.as_str(), *slot))
            .collect();
        let mut also = names.flat_map(|name| {
            let suffixes = MULTI_FIELDS.iter();
            suffixes.filter_map(move |suffix| name.strip_suffix(suffix))
        });
        also.all(|base| slot_of(base, &alone) == slot_of(base, &here))
    }
}

fn slot_in(of: &mut BTreeMap<String, usize>, slots: &mut usize, path: &str) -> usize {
    *of.entry(path.to_owned()).or_insert_with(|| {
        *slots += 1;
        *slots - 1
    })
}

impl Decoder {
    /// Hands over what [`Decoder::payload`] would of the same message, from what has been decoded of it together with other jobs.
    pub fn given(
        &mut self,
        given: &Given<'_>,
        message_time: Option<EventTime>,
        sink: &mut dyn FnMut(Result<&Event<'_>, Rejection>),
    ) {
        let Given { whole, table, .. } = given;
        if whole.is_line {
            return self.given_line(given, message_time, sink);
        }
        let time_value = &given.values[given.time_slot];
        let time = match whole.time {
            Some(time) if table.same_time => self.believed(time, message_time),
            _ => self.time_in(time_value, whole.extracted.time_is_object, message_time),
        };
        let raw_bytes = whole.extracted.end;
        let time = match time {
            Ok(time) => time,
            Err((reason, detail)) => return sink(Err(rejection(reason, detail, raw_bytes))),
        };
        let has_time = !matches!(time_value, Value::Missing);
        let event = |values| Event {
            time,
            values,
            raw_bytes: raw_bytes.try_into().unwrap_or(u32::MAX),
            raw_fields: whole.extracted.fields.saturating_sub(u32::from(has_time)),
        };
        if table.as_is {
            return sink(Ok(&event(&given.values[..table.slots.len()])));
        }
        let values = self.lend(given);
        sink(Ok(&event(&values[..table.slots.len()])));
        self.values = super::recycled(values);
    }

    fn given_line(
        &mut self,
        given: &Given<'_>,
        message_time: Option<EventTime>,
        sink: &mut dyn FnMut(Result<&Event<'_>, Rejection>),
    ) {
        let (time, length) = (given.whole.time, given.whole.extracted.end);
        let count = given.table.slots.len();
        if given.table.as_is {
            return self.line_event(time, &given.values[..count], length, message_time, sink);
        }
        let values = self.lend(given);
        self.line_event(time, &values[..count], length, message_time, sink);
        self.values = super::recycled(values);
    }

    /// A job's values, in its own order.
    fn lend<'v>(&mut self, given: &Given<'v>) -> Vec<Value<'v>> {
        let mut values: Vec<Value<'v>> = std::mem::take(&mut self.values);
        for (value, slot) in values.iter_mut().zip(&given.table.slots) {
            *value = lent(&given.values[*slot]);
        }
        values
    }
}

/// The same value, its text not copied.
#[inline]
fn lent<'v>(value: &'v Value<'_>) -> Value<'v> {
    match value {
        Value::Missing => Value::Missing,
        Value::Bool(yes) => Value::Bool(*yes),
        Value::Int(i) => Value::Int(*i),
        Value::Float(x) => Value::Float(*x),
        Value::Text(text) => Value::Text(Cow::Borrowed(text)),
        Value::List(list) => Value::List(list.iter().map(lent).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Jobs that see the same messages with other eyes.
    fn jobs() -> Vec<Arc<Job>> {
        let job = |n: usize, value: &str, by: &str, data: &str, query: &str| {
            let text = format!(
                r#"{{"job_id": "j{n}", "analysis_config": {{"bucket_span": "1m", "detectors": [{{"function": "mean", "field_name": "{value}", "by_field_name": "{by}"}}]}},
                    "data_description": {{{data}}}, "datafeed_config": {{"indices": ["x"], "query": {query}}}}}"#
            );
            Arc::new(Job::from_text(&text, "together.json").unwrap())
        };
        // Those read lines of text, too.
        let lines = |n: usize, value: &str, by: &str, data: &str, own: &str| {
            let text = format!(
                r#"{{"job_id": "j{n}", "analysis_config": {{"bucket_span": "1m", "detectors": [{{"function": "mean", "field_name": "{value}", "by_field_name": "{by}"}}]}},
                    "data_description": {{{data}}}, "tidewatch": {{"input": "text"{own}}},
                    "datafeed_config": {{"indices": ["x"], "query": {{"exists": {{"field": "process"}}}}}}}}"#
            );
            Arc::new(Job::from_text(&text, "together.json").unwrap())
        };
        let all = r#"{"match_all": {}}"#;
        let exists = |field: &str| format!(r#"{{"exists": {{"field": "{field}"}}}}"#);
        let time = r#""time_field": "t""#;
        vec![
            job(0, "a", "b", time, all),
            job(1, "b", "a", time, all),
            job(2, "a.b", "c.keyword", time, all),
            job(3, "a.b.c", "b", time, &exists("a")),
            job(
                4,
                "c",
                "a.keyword",
                r#""time_field": "t", "time_format": "epoch""#,
                &exists("c.a"),
            ),
            job(5, "a", "c", r#""time_field": "u""#, all),
            job(
                6,
                "c",
                "b.text",
                r#""time_field": "t", "time_format": "epoch_ms""#,
                &exists("a.b"),
            ),
            job(7, "c.a", "a.b.c", time, &exists("b")),
            job(8, "a", "t.keyword", r#""time_field": "a.b""#, &exists("t")),
            lines(9, "message", "process.name", time, ""),
            lines(10, "a", "host.name", time, ""),
            lines(
                11,
                "process.pid",
                "message",
                time,
                r#", "input_layout": "syslog""#,
            ),
            lines(
                12,
                "b",
                "log.level",
                r#""time_field": "@kafka_timestamp""#,
                "",
            ),
            lines(13, "a", "message.keyword", time, ""),
        ]
    }

    /// Everything that a decoder says, as text.
    fn said(outcome: Result<&Event<'_>, Rejection>) -> String {
        match outcome {
            Ok(event) => format!("{event:?}"),
            Err(rejection) => format!("{rejection:?}"),
        }
    }

    fn alone(job: &Job, payload: &[u8], time: Option<EventTime>) -> Vec<String> {
        let mut words = Vec::new();
        Decoder::new(job).payload(payload, time, &mut |outcome| words.push(said(outcome)));
        words
    }

    /// Of `jobs`, what each is given of the payloads; how many it did not have to decode itself.
    fn check(jobs: &[Arc<Job>], payloads: &[&[u8]], time: Option<EventTime>) -> usize {
        let together = Together::of((0..).zip(jobs)).unwrap();
        let decoded = together.decode(payloads.iter().map(|payload| (*payload, time)));
        let mut given = 0;
        for (key, job) in (0..).zip(jobs) {
            let mut decoder = Decoder::new(job);
            for (n, payload) in payloads.iter().enumerate() {
                let table = together.table(key);
                let one = table.and_then(|table| together.given(&decoded, n, table));
                let Some(one) = one else { continue };
                given += 1;
                let mut words = Vec::new();
                decoder.given(&one, time, &mut |outcome| words.push(said(outcome)));
                assert_eq!(
                    words,
                    alone(job, payload, time),
                    "{}: {}",
                    job.id,
                    String::from_utf8_lossy(payload)
                );
            }
        }
        given
    }

    #[test]
    fn what_is_one_object_is_decoded_once_for_all_who_name_the_same_time_field() {
        let jobs = jobs();
        let payload = br#" {"t": 1700000000000, "a": {"b": "x\u00e9", "c": [1, "2"]}, "b": 3.5} "#;
        assert_eq!(check(&jobs[..2], &[payload], None), 2);
        // Whoever comes first: the time field is that of most.
        let odd_first = [5, 0, 1].map(|n: usize| Arc::clone(&jobs[n]));
        assert_eq!(check(&odd_first, &[payload], None), 2);
        // The one that reads `u`, and the one that reads `a.b`, are on their own; so is who calls a field of others by another name.
        assert!(check(&jobs, &[payload], None) >= 4);
        let broken: [&[u8]; 6] = [
            b"",
            b"{",
            b"[{\"t\": 1}]",
            b"{\"t\": 1} {\"t\": 2}",
            b"\xff",
            b"{\"t\": 1e999}",
        ];
        assert_eq!(check(&jobs[..2], &broken, None), 0);
    }

    #[test]
    fn a_line_is_read_once_for_all_who_read_lines_alike_and_refused_by_the_others() {
        let jobs = jobs();
        let line: &[u8] = b"Nov 30 00:04:24 web-1 sshd[42]: Failed password\n";
        let time = Some(EventTime(1_796_000_000_000));
        let pair = [Arc::clone(&jobs[9]), Arc::clone(&jobs[10])];
        assert_eq!(check(&pair, &[line], time), 2);
        // Of three kinds of readers; who says how lines are laid out is on his own.
        let all = [0, 9, 10, 11].map(|n: usize| Arc::clone(&jobs[n]));
        assert_eq!(check(&all, &[line], time), 2);
        let object: &[u8] = br#" {"t": 1700000000000, "message": "x"} "#;
        assert_eq!(check(&all, &[object], time), 4);
        let none: [&[u8]; 5] = [b"", b"\n\r ", b"a\0b", b"\xef\xbb\xbf", b"{\"t\": 1e999}"];
        assert_eq!(check(&pair, &none, time), 0);
    }

    #[test]
    fn a_name_that_only_another_job_gives_to_a_field_is_not_taken_for_it() {
        let jobs = jobs();
        // Alone, `a.keyword` goes by `a`; beside a job that names `a`, the union cannot serve it.
        let pair = [Arc::clone(&jobs[0]), Arc::clone(&jobs[4])];
        let together = Together::of((0..).zip(&pair)).unwrap();
        assert!(together.table(0).is_some() && together.table(1).is_none());
    }

    proptest! {
        #[test]
        fn each_job_is_given_what_it_would_have_decoded_alone(
            texts in prop::collection::vec(
                r#"\{("(a|b|c|t|u|a\.b|a\.b\.c|b\.c|c\.a|a\.keyword|c\.keyword|t\.keyword)":(1700000000(000)?|"2024-01-01T00:00:00Z"|"x\\n"|null|true|-1\.5|1e999|\[\]|\[1,"y"\]|\{\}|\{"(a|b|c|keyword)":(7|"z"|null|\{"c":[0-9]\}|\[null\])\}),?){0,5}("t":170000000000[0-9])?\}?"#,
                1..6),
            lines in prop::collection::vec("(\u{feff})?(<3[0-9]>1? ?)?((Nov 30|Jan  1|2026-11-30T|[0-9]{2}/[0-9]{2}/2026) ?[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|\\+01:00)? )?(\\{\\})?([a-z]{1,4} )?[a-z]{1,4}(\\[[0-9]\\])?: (ERROR)?.{0,9}[\n\0]?", 0..4),
            chosen in prop::collection::vec(0..14_usize, 1..5),
            time in proptest::option::of(1_699_000_000_000_i64..1_700_100_000_000),
        ) {
            let pool = jobs();
            let chosen: Vec<Arc<Job>> = chosen.iter().map(|n| Arc::clone(&pool[*n])).collect();
            let payloads: Vec<&[u8]> = texts.iter().chain(&lines).map(|text| text.as_bytes()).collect();
            check(&chosen, &payloads, time.map(EventTime));
        }
    }
}
