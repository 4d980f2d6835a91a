//! When something is that may come back: local times and an RRULE (RFC 5545, 3.3.10) become instants.
//!
//! The rule is worked out over times of the wall clock; each is then an instant in its time zone: one that comes twice (clocks go back) is the first, one
//! that never comes (clocks go ahead) is what it would have been by the clock of before (RFC 5545, 3.3.5). An occurrence ends by the wall clock as
//! the first one does. All of it is known when the configuration has been read: up to [`HORIZON_YEAR`], and [`OCCURRENCES_MAX`] of them, so that no rule
//! can keep anybody busy. Checked: the tests below; `tests/reference/recurrence.json` (python-dateutil).

use crate::time::EventTime;
use chrono::{DateTime, Duration, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use chrono_tz::Tz;
use rrule::{RRule, RRuleSet, Unvalidated};
use std::collections::BTreeSet;

/// Nothing is expected from this year on.
pub(super) const HORIZON_YEAR: i32 = 2100;
/// Occurrences of one event.
pub(super) const OCCURRENCES_MAX: u16 = 50_000;
/// An event is no longer than ten years.
const LENGTH_DAYS_MAX: i64 = 3650;

/// From this instant on, and before that one.
pub(super) type Span = (EventTime, EventTime);

/// When an event is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct When {
    /// Where the clock hangs.
    pub(super) zone: Tz,
    /// By that clock.
    pub(super) start: NaiveDateTime,
    /// Exclusive.
    pub(super) end: NaiveDateTime,
    /// An RRULE.
    pub(super) rule: Option<String>,
    /// Beginnings that fall out.
    pub(super) except: Vec<NaiveDateTime>,
    /// Beginnings besides.
    pub(super) also: Vec<NaiveDateTime>,
}

/// A time as people write it: with an offset it is an instant, without one what the clock shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Written {
    Instant(EventTime),
    Local(NaiveDateTime),
}

/// `2026-03-01`, `2026-03-01T02:00`, `2026-03-01T02:00:00`, and these with `Z` or an offset; a blank may stand for the `T`.
pub(super) fn read_time(text: &str) -> Option<Written> {
    let text = text.trim().replacen(' ', "T", 1);
    if let Ok(day) = NaiveDate::parse_from_str(&text, "%Y-%m-%d") {
        return Some(Written::Local(day.and_time(NaiveTime::MIN)));
    }
    let local = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(&text, format).ok());
    if let Some(local) = local {
        return Some(Written::Local(local));
    }
    let instant = ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z"]
        .iter()
        .find_map(|format| DateTime::parse_from_str(&text.replace('Z', "+00:00"), format).ok())?;
    Some(Written::Instant(EventTime(instant.timestamp_millis())))
}

/// What the clock shows at an instant.
pub(super) fn local(zone: Tz, at: EventTime) -> Option<NaiveDateTime> {
    let utc = DateTime::from_timestamp_millis(at.millis())?;
    Some(utc.with_timezone(&zone).naive_local())
}

/// When the clock shows this.
pub(super) fn instant(zone: Tz, local: NaiveDateTime) -> EventTime {
    /// No clock has ever been put ahead by more than a day, nor in smaller steps than these.
    const STEPS_MAX: i32 = 24 * 4;
    let millis = match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => at.timestamp_millis(),
        MappedLocalTime::None => {
            let before = (1..=STEPS_MAX).find_map(|step| {
                let earlier = local.checked_sub_signed(Duration::minutes(15 * i64::from(step)))?;
                let at = zone.from_local_datetime(&earlier).latest()?;
                Some(earlier.and_utc().timestamp_millis() - at.timestamp_millis())
            });
            local.and_utc().timestamp_millis() - before.unwrap_or(0)
        }
    };
    EventTime(millis)
}

impl When {
    /// Every occurrence, by its beginning; or why there is no saying.
    pub(super) fn occurrences(&self) -> Result<Vec<Span>, String> {
        if self.end <= self.start {
            return Err("does not end after it begins".to_owned());
        }
        let length = self.end - self.start;
        if length > Duration::days(LENGTH_DAYS_MAX) {
            return Err("lasts for more than ten years".to_owned());
        }
        let horizon = horizon();
        if self.start >= horizon {
            return Err(format!(
                "begins after the year {}, the last that is looked at",
                HORIZON_YEAR - 1
            ));
        }
        let mut starts: BTreeSet<NaiveDateTime> = match &self.rule {
            Some(rule) => Rule::read(rule)?
                .starts(self.zone, self.start)?
                .into_iter()
                .collect(),
            None => BTreeSet::from([self.start]),
        };
        starts.extend(&self.also);
        for except in &self.except {
            starts.remove(except);
        }
        let span = |start: NaiveDateTime| {
            let begins = instant(self.zone, start);
            let ends = instant(self.zone, start.checked_add_signed(length)?);
            // Where a whole event falls into the hour that never comes.
            let ends = match ends > begins {
                true => ends,
                false => EventTime(begins.millis() + length.num_milliseconds()),
            };
            Some((begins, ends))
        };
        let starts = starts.into_iter().filter(|start| *start < horizon);
        let mut spans: Vec<Span> = starts.filter_map(span).collect();
        spans.sort();
        match spans.len() {
            0 => Err("never comes".to_owned()),
            many if many > usize::from(OCCURRENCES_MAX) => Err(too_many()),
            _ => Ok(spans),
        }
    }
}

fn horizon() -> NaiveDateTime {
    let day = NaiveDate::from_ymd_opt(HORIZON_YEAR, 1, 1).expect("a day of the calendar");
    day.and_time(NaiveTime::MIN)
}

fn too_many() -> String {
    format!(
        "comes more than {OCCURRENCES_MAX} times before {HORIZON_YEAR}, or takes too long to be found; say UNTIL or COUNT, or a rarer FREQ"
    )
}

/// An RRULE, its end apart.
struct Rule {
    /// All parts but UNTIL.
    text: String,
    until: Option<Until>,
    counts: bool,
}

/// What UNTIL says.
enum Until {
    Utc(NaiveDateTime),
    Local(NaiveDateTime),
}

impl Rule {
    fn read(written: &str) -> Result<Rule, String> {
        const PARTS: [&str; 14] = [
            "FREQ",
            "UNTIL",
            "COUNT",
            "INTERVAL",
            "BYSECOND",
            "BYMINUTE",
            "BYHOUR",
            "BYDAY",
            "BYMONTHDAY",
            "BYYEARDAY",
            "BYWEEKNO",
            "BYMONTH",
            "BYSETPOS",
            "WKST",
        ];
        const OF_DAYS: [&str; 6] = [
            "BYDAY",
            "BYMONTHDAY",
            "BYYEARDAY",
            "BYWEEKNO",
            "BYMONTH",
            "BYSETPOS",
        ];
        let written = written.trim().to_ascii_uppercase();
        let written = written.strip_prefix("RRULE:").unwrap_or(&written);
        let (mut kept, mut until, mut seen) = (Vec::new(), None, BTreeSet::new());
        for part in written.split(';').filter(|part| !part.trim().is_empty()) {
            let Some((name, value)) = part.trim().split_once('=') else {
                return Err(format!("{part:?} is not NAME=VALUE"));
            };
            if !PARTS.contains(&name) {
                return Err(format!("{name:?} is not one of {}", PARTS.join(", ")));
            }
            if !seen.insert(name.to_owned()) {
                return Err(format!("{name} stands there twice"));
            }
            match name {
                "UNTIL" => until = Some(Until::read(value)?),
                "COUNT"
                    if value
                        .parse::<u16>()
                        .is_ok_and(|count| count > OCCURRENCES_MAX) =>
                {
                    return Err(too_many());
                }
                _ => {}
            }
            kept.push(format!("{name}={value}"));
        }
        kept.retain(|part| !part.starts_with("UNTIL="));
        let is_fine = |part: &String| {
            ["FREQ=HOURLY", "FREQ=MINUTELY", "FREQ=SECONDLY"].contains(&part.as_str())
        };
        if let Some(fine) = kept.iter().find(|part| is_fine(part))
            && let Some(day) = OF_DAYS.into_iter().find(|part| seen.contains(*part))
        {
            // The search for the next one gives up after 100,000 empty steps, and does not say so: eleven years of hours.
            let message = format!(
                "{fine} with {day} is not read; say FREQ=DAILY with {day} and BYHOUR, BYMINUTE"
            );
            return Err(message);
        }
        let counts = seen.contains("COUNT");
        if counts && until.is_some() {
            return Err("says COUNT and UNTIL; one of the two ends it".to_owned());
        }
        Ok(Rule {
            text: kept.join(";"),
            until,
            counts,
        })
    }

    /// The beginnings by the wall clock, from `start` on.
    fn starts(&self, zone: Tz, start: NaiveDateTime) -> Result<Vec<NaiveDateTime>, String> {
        let last = match &self.until {
            Some(Until::Utc(until)) => {
                local(zone, EventTime(until.and_utc().timestamp_millis())).unwrap_or(horizon())
            }
            Some(Until::Local(until)) => *until,
            None => horizon(),
        };
        let last = last.min(horizon());
        if last < start {
            return Err("ends before it begins".to_owned());
        }
        // The wall clock's times are worked out as if they were UTC's, where every one of them comes, once.
        let text = match self.counts {
            true => self.text.clone(),
            false => format!("{};UNTIL={}", self.text, last.format("%Y%m%dT%H%M%SZ")),
        };
        let rule: RRule<Unvalidated> = text.parse().map_err(|error| format!("{error}"))?;
        let begins = rrule::Tz::UTC.from_utc_datetime(&start);
        let rule = rule.validate(begins).map_err(|error| format!("{error}"))?;
        let found = RRuleSet::new(begins).rrule(rule).all(OCCURRENCES_MAX);
        if found.limited {
            return Err(too_many());
        }
        let starts = found.dates.into_iter().map(|date| date.naive_utc());
        Ok(starts.filter(|one| *one <= last).collect())
    }
}

impl Until {
    fn read(text: &str) -> Result<Until, String> {
        if let Ok(day) = NaiveDate::parse_from_str(text, "%Y%m%d") {
            // The day itself is within.
            let end = day.and_hms_opt(23, 59, 59);
            return Ok(Until::Local(end.expect("every day has this second")));
        }
        let time = |text: &str| NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%S");
        let read = match text.strip_suffix('Z') {
            Some(utc) => time(utc).map(Until::Utc),
            None => time(text).map(Until::Local),
        };
        read.map_err(|_| {
            format!("UNTIL={text} is not 20261231, 20261231T120000 or 20261231T120000Z")
        })
    }
}
