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

/// Why there is no time in the sample, or none that can be meant, if a field holds the time of day alone: the day stands in another.
pub(super) fn apart(sample: &Sample, time: Option<&Time>) -> Option<String> {
    const DAY_MS: i64 = 86_400_000;
    let is_day = |at: &Option<i64>| at.is_none_or(|at| at % DAY_MS == 0);
    if time.is_some_and(|time| !time.instants.iter().all(is_day)) {
        return None;
    }
    let fields = (0..).zip(&sample.fields);
    let mut of_day = fields.filter(|(at, field)| {
        let examples = &field.examples;
        sample.presence(*at) >= READABLE_MIN
            && !examples.is_empty()
            && examples.iter().all(|text| is_time_of_day(text))
            && (time.is_none() || is_called_a_time(&field.path))
    });
    let (_, of_day) = of_day.next()?;
    let of_day = &of_day.path;
    Some(match time {
        Some(time) => {
            let day = &sample.fields[time.field].path;
            format!(
                "{day:?} holds days, and {of_day:?} the time of day: make one column of the two, such as 2026-01-31T12:30:00 (mlr --csv put '${{time}} = ${{{day}}} . \"T\" . ${{{of_day}}}' FILE)"
            )
        }
        None => format!(
            "{of_day:?} holds the time of day: make one column of the day and it, such as 2026-01-31T12:30:00"
        ),
    })
}

/// How long something took, day by day, looks alike.
fn is_called_a_time(path: &str) -> bool {
    let name = path.to_lowercase();
    [
        "time", "clock", "hour", "zeit", "uhr", "heure", "hora", "tijd",
    ]
    .iter()
    .any(|word| name.contains(word))
}

/// `9:05`, `09:05:59.250`, `09:05 PM`.
fn is_time_of_day(text: &str) -> bool {
    let text = text.trim();
    let clock = text
        .strip_suffix("AM")
        .or_else(|| text.strip_suffix("PM"))
        .unwrap_or(text);
    let parts: Vec<&str> = clock.trim_end().split(':').collect();
    let within = |part: &str, most: u32| {
        let whole = part.split(['.', ',']).next().unwrap_or_default();
        whole.len() <= 2 && whole.parse().is_ok_and(|number: u32| number < most)
    };
    match parts[..] {
        [hour, minute] => within(hour, 24) && within(minute, 60) && minute.len() == 2,
        [hour, minute, second] => within(hour, 24) && within(minute, 60) && within(second, 61),
        _ => false,
    }
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
