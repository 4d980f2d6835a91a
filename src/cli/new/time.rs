//! Which field is the time, and how it is written.
//!
//! A candidate reads as one format in at least 99 of 100 events. Of several the one is taken that goes forward most steadily, then the one whose name
//! says it, then the first.

use super::stats::Sample;
use crate::config::TimeFormat;
use crate::decode::instant_in;
use crate::engine::event::Value;

/// The field, its format, and the instants that it says.
pub(super) struct Time {
    pub(super) field: usize,
    /// For `time_format`; `None`: left out.
    pub(super) format: Option<String>,
    /// By event, milliseconds; `None` where it does not read.
    pub(super) instants: Vec<Option<i64>>,
    /// The share of events in which it reads.
    pub(super) readable: f64,
}

/// How times are written that are neither numbers nor ISO 8601.
const PATTERNS: [&str; 19] = [
    "dd/MMM/yyyy:HH:mm:ss Z",
    "dd/MMM/yyyy:HH:mm:ss",
    "yyyy/MM/dd HH:mm:ss",
    "yyyy/MM/dd HH:mm",
    "MM/dd/yyyy HH:mm:ss",
    "MM/dd/yyyy hh:mm:ss a",
    "MM/dd/yyyy hh:mm a",
    "dd/MM/yyyy HH:mm:ss",
    "MM/dd/yyyy HH:mm",
    "dd/MM/yyyy HH:mm",
    "dd.MM.yyyy HH:mm:ss",
    "dd-MM-yyyy HH:mm:ss",
    "yyyyMMddHHmmss",
    "yyyyMMdd HH:mm:ss",
    "yyyy.MM.dd HH:mm:ss",
    "EEE MMM d HH:mm:ss yyyy",
    "EEE, d MMM yyyy HH:mm:ss Z",
    "MMM d, yyyy HH:mm:ss",
    "yyyy-MM-dd-HH.mm.ss.SSSSSS",
];

/// Names that a time has, the likeliest first.
const NAMES: [&str; 12] = [
    "@timestamp",
    "timestamp",
    "time",
    "ts",
    "datetime",
    "date_time",
    "event_time",
    "eventtime",
    "date",
    "created",
    "created_at",
    "_time",
];

/// 2001 and 2100, seconds since 1970: a number between them may be a time.
pub(super) const SECONDS: std::ops::Range<f64> = 978_307_200.0..4_102_444_800.0;
const READABLE_MIN: f64 = 0.99;

/// The time of a sample's events, if a field says it.
pub(super) fn find(sample: &Sample) -> Option<Time> {
    let all = 0..sample.fields.len();
    let likely = all
        .filter(|&field| sample.presence(field) >= READABLE_MIN)
        .filter(|&field| sample.fields[field].is_nameable());
    let times = likely.filter_map(|field| best_of(sample, field));
    let mut best: Option<(Time, (i64, i64))> = None;
    for time in times {
        let rank = (steadiness(&time.instants), name_rank(sample, time.field));
        if best.as_ref().is_none_or(|(_, held)| rank > *held) {
            best = Some((time, rank));
        }
    }
    best.map(|(time, _)| time)
}

/// A field as a time, in the format that fits it best.
fn best_of(sample: &Sample, field: usize) -> Option<Time> {
    let formats = formats(sample, field);
    let mut best: Option<(Time, (i64, i64))> = None;
    for format in formats {
        let time = read(sample, field, &format);
        if time.readable < READABLE_MIN {
            continue;
        }
        let rank = ((time.readable * 1000.0) as i64, steadiness(&time.instants));
        if best.as_ref().is_none_or(|(_, held)| rank > *held) {
            best = Some((time, rank));
        }
    }
    best.map(|(time, _)| time)
}

fn formats(sample: &Sample, field: usize) -> Vec<TimeFormat> {
    let known = &sample.fields[field];
    if known.is_number() {
        let within = |unit: f64| {
            SECONDS.contains(&(known.low / unit)) && SECONDS.contains(&(known.high / unit))
        };
        return match () {
            () if within(1.0) => vec![TimeFormat::Epoch],
            () if within(1e3) => vec![TimeFormat::EpochMillis],
            () if within(1e6) => vec![TimeFormat::EpochMicros],
            () if within(1e9) => vec![TimeFormat::EpochNanos],
            // Fourteen digits are a calendar time written together.
            () if (1e13..1e14).contains(&known.low) => {
                vec![TimeFormat::Pattern("yyyyMMddHHmmss".into())]
            }
            () => Vec::new(),
        };
    }
    let has_digits = known
        .examples
        .iter()
        .any(|text| text.contains(|c: char| c.is_ascii_digit()));
    match has_digits {
        true => {
            let patterns = PATTERNS
                .iter()
                .map(|pattern| TimeFormat::Pattern((*pattern).into()));
            std::iter::once(TimeFormat::Auto).chain(patterns).collect()
        }
        false => Vec::new(),
    }
}

/// The first pattern that a time's text reads as.
pub(in crate::cli) fn pattern_of(text: &str) -> Option<&'static str> {
    let value = Value::Text(text.into());
    let reads =
        |pattern: &&str| instant_in(&TimeFormat::Pattern((*pattern).into()), &value).is_some();
    PATTERNS.into_iter().find(reads)
}

fn read(sample: &Sample, field: usize, format: &TimeFormat) -> Time {
    let instant = |value: Option<&Value<'static>>| instant_in(format, value?).map(|time| time.0);
    // A first look spares most patterns the whole sample.
    let begun = sample.column(field).take(20);
    let (mut seen, mut read) = (0, 0);
    for value in begun {
        seen += 1;
        read += usize::from(instant(value).is_some());
    }
    let instants: Vec<Option<i64>> = match read * 2 >= seen {
        true => sample.column(field).map(instant).collect(),
        false => Vec::new(),
    };
    let readable = instants.iter().flatten().count() as f64 / sample.events.len().max(1) as f64;
    Time {
        field,
        format: match format {
            TimeFormat::Auto => None,
            TimeFormat::Epoch => Some("epoch".to_owned()),
            TimeFormat::EpochMillis => Some("epoch_ms".to_owned()),
            TimeFormat::EpochMicros => Some("epoch_us".to_owned()),
            TimeFormat::EpochNanos => Some("epoch_ns".to_owned()),
            TimeFormat::Pattern(pattern) => Some(pattern.clone()),
        },
        instants,
        readable,
    }
}

/// Percent of the steps from event to event that do not go back; nothing for a field that never moves.
fn steadiness(instants: &[Option<i64>]) -> i64 {
    let times: Vec<i64> = instants.iter().flatten().copied().collect();
    let forward = times.windows(2).filter(|two| two[1] >= two[0]).count();
    let moves = times.windows(2).any(|two| two[1] != two[0]);
    match moves || times.len() < 2 {
        true => (forward * 20 / times.len().saturating_sub(1).max(1)) as i64,
        false => -1,
    }
}

fn name_rank(sample: &Sample, field: usize) -> i64 {
    let path = sample.fields[field].path.to_ascii_lowercase();
    let at = NAMES.iter().position(|name| *name == path);
    at.map_or(0, |at| (NAMES.len() - at) as i64)
}
