//! An iCalendar file (RFC 5545) as a calendar: its VEVENTs, of every job.
//!
//! Read: SUMMARY, DTSTART, DTEND or DURATION, RRULE, RDATE, EXDATE, moved and cancelled occurrences (RECURRENCE-ID, STATUS). Passed over: to-dos,
//! journals, alarms, who attends. Refused by name: what would be read wrongly. All-day events and times without a zone are by the clock that the
//! reader names, else X-WR-TIMEZONE's, else UTC; VTIMEZONEs are names only, the zone itself is the IANA database's.
//! Holds: text of any kind is a calendar or a list of mistakes. Checked: the tests below, `tests/calendars.rs`.

use super::calendars::{EVENTS_MAX, RawCalendar, RawEvent, check_size, zone_named};
use super::object::{Report, shown};
use super::recurrence::{self, When};
use crate::config::rules::Actions;
use crate::time::EventTime;
use chrono::{Duration, NaiveDate, NaiveDateTime, NaiveTime};
use chrono_tz::Tz;
use icalendar::parser::{Component, Property, read_calendar, unfold};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of a file.
const BYTES_MAX: usize = 8 << 20;
/// Components within components: a calendar, an event, an alarm, and room to spare.
const DEPTH_MAX: usize = 8;
/// What is shown of a name.
const NAME_LENGTH_MAX: usize = 500;

/// Reads a file; `None` when something is wrong with it (which is noted). `zone` is whose clock counts where none is named.
pub(super) fn read(text: &str, zone: Option<Tz>, report: &Report) -> Option<RawCalendar> {
    if let Err(message) = check_shape(text) {
        report.wrong("", message);
        return None;
    }
    let unfolded = unfold(text);
    let calendar = match read_calendar(&unfolded) {
        Ok(calendar) => calendar,
        Err(error) => {
            let first = error.lines().find(|line| line.contains("line"));
            let why = match first {
                Some(first) if text.to_ascii_uppercase().contains("BEGIN:VCALENDAR") => {
                    shown(first.trim()).to_string()
                }
                _ => "it has no BEGIN:VCALENDAR".to_owned(),
            };
            report.wrong("", format!("is not an iCalendar file: {why}"));
            return None;
        }
    };
    let named = |name: &str| calendar.properties.iter().find(|one| one.name == name);
    let own = named("X-WR-TIMEZONE").and_then(|one| known_zone(one.val.as_str(), &[]));
    let zones: Vec<(String, Tz)> = calendar
        .components
        .iter()
        .filter(|one| one.name == "VTIMEZONE")
        .filter_map(zone_alias)
        .collect();
    let clock = Clock {
        default: zone.or(own).unwrap_or(Tz::UTC),
        zones,
    };
    let events = calendar
        .components
        .iter()
        .filter(|one| one.name == "VEVENT");
    let written: Vec<Written> = (0..)
        .zip(events)
        .filter_map(|(at, component)| match Written::read(component, &clock) {
            Ok(written) => Some(written),
            Err(message) => {
                report.wrong(place(at, component), message);
                None
            }
        })
        .collect();
    if written.len() > EVENTS_MAX {
        let message = format!(
            "has {} events; at most {EVENTS_MAX} are allowed",
            written.len()
        );
        report.wrong("", message);
        return None;
    }
    let events = joined(written, report);
    if let Err(message) = check_size(&events) {
        report.wrong("", message);
        return None;
    }
    let description = named("X-WR-CALNAME").map(|one| cut(one.val.as_str()));
    Some(RawCalendar {
        description,
        job_ids: None,
        events,
    })
}

/// Whether the parser, which goes down into components one within the other, may be shown the text.
fn check_shape(text: &str) -> Result<(), String> {
    if text.len() > BYTES_MAX {
        return Err(format!(
            "has {} bytes; at most {BYTES_MAX} are allowed",
            text.len()
        ));
    }
    let mut depth = 0usize;
    for line in text.lines() {
        let begins = |word: &str| {
            line.get(..word.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(word))
        };
        if begins("BEGIN:") {
            depth += 1;
        } else if begins("END:") {
            depth = depth.saturating_sub(1);
        }
        if depth > DEPTH_MAX {
            return Err(format!("has components more than {DEPTH_MAX} deep"));
        }
    }
    Ok(())
}

fn place(at: usize, component: &Component<'_>) -> String {
    let name = property(component, "SUMMARY").map(|one| cut(one.val.as_str()));
    format!(
        "VEVENT {} ({})",
        at + 1,
        shown(name.as_deref().unwrap_or("no summary"))
    )
}

fn cut(text: &str) -> String {
    text.trim().chars().take(NAME_LENGTH_MAX).collect()
}

fn property<'c, 'p>(component: &'c Component<'p>, name: &str) -> Option<&'c Property<'p>> {
    component.properties.iter().find(|one| one.name == name)
}

fn parameter<'p>(property: &'p Property<'_>, name: &str) -> Option<&'p str> {
    let own = property.params.iter().find(|one| one.key == name);
    own.and_then(|one| one.val.as_ref())
        .map(|value| value.as_str().trim_matches('"'))
}

/// What a VTIMEZONE is called in the file, and which zone of the database it means.
fn zone_alias(component: &Component<'_>) -> Option<(String, Tz)> {
    let id = property(component, "TZID")?.val.as_str();
    let location = property(component, "X-LIC-LOCATION").map(|one| one.val.as_str());
    let zone = location
        .and_then(|name| name.parse().ok())
        .or_else(|| known_zone(id, &[]))?;
    Some((id.to_owned(), zone))
}

/// Names of Windows, as Outlook writes them: those of the most people (CLDR, windowsZones, territory 001).
const WINDOWS: [(&str, Tz); 24] = [
    ("UTC", Tz::UTC),
    ("GMT Standard Time", Tz::Europe__London),
    ("W. Europe Standard Time", Tz::Europe__Berlin),
    ("Central Europe Standard Time", Tz::Europe__Budapest),
    ("Central European Standard Time", Tz::Europe__Warsaw),
    ("Romance Standard Time", Tz::Europe__Paris),
    ("E. Europe Standard Time", Tz::Europe__Chisinau),
    ("FLE Standard Time", Tz::Europe__Kiev),
    ("GTB Standard Time", Tz::Europe__Bucharest),
    ("Russian Standard Time", Tz::Europe__Moscow),
    ("Turkey Standard Time", Tz::Europe__Istanbul),
    ("Eastern Standard Time", Tz::America__New_York),
    ("Central Standard Time", Tz::America__Chicago),
    ("Mountain Standard Time", Tz::America__Denver),
    ("Pacific Standard Time", Tz::America__Los_Angeles),
    ("E. South America Standard Time", Tz::America__Sao_Paulo),
    ("South Africa Standard Time", Tz::Africa__Johannesburg),
    ("Arabian Standard Time", Tz::Asia__Dubai),
    ("India Standard Time", Tz::Asia__Calcutta),
    ("China Standard Time", Tz::Asia__Shanghai),
    ("Singapore Standard Time", Tz::Asia__Singapore),
    ("Tokyo Standard Time", Tz::Asia__Tokyo),
    ("AUS Eastern Standard Time", Tz::Australia__Sydney),
    ("New Zealand Standard Time", Tz::Pacific__Auckland),
];

/// The zone of a TZID: a name of the database, one behind a path, one of the file's own, or one of Windows.
fn known_zone(id: &str, aliases: &[(String, Tz)]) -> Option<Tz> {
    let alias = aliases.iter().find(|(name, _)| name == id);
    let windows = || {
        WINDOWS
            .iter()
            .find(|(name, _)| *name == id)
            .map(|(_, zone)| *zone)
    };
    let mut tails = id.match_indices('/').map(|(at, _)| &id[at + 1..]);
    alias
        .map(|(_, zone)| *zone)
        .or_else(|| id.parse().ok())
        .or_else(windows)
        .or_else(|| tails.find_map(|tail| tail.parse().ok()))
}

/// Whose clock a time is by.
struct Clock {
    default: Tz,
    zones: Vec<(String, Tz)>,
}

/// A time of a property.
#[derive(Clone, Copy, PartialEq)]
struct Moment {
    zone: Tz,
    local: NaiveDateTime,
    /// Only a day is named.
    is_day: bool,
}

impl Moment {
    /// What the clock of another zone shows then.
    fn on(self, zone: Tz) -> NaiveDateTime {
        match self.zone == zone {
            true => self.local,
            false => recurrence::local(zone, recurrence::instant(self.zone, self.local))
                .unwrap_or(self.local),
        }
    }

    /// Which occurrence it means of an event that begins at `start`: a day alone is the one that begins on it.
    fn of_occurrence(self, start: Moment) -> NaiveDateTime {
        match self.is_day && !start.is_day {
            true => self.local.date().and_time(start.local.time()),
            false => self.on(start.zone),
        }
    }
}

impl Clock {
    fn moments(&self, property: &Property<'_>) -> Result<Vec<Moment>, String> {
        let zone = match parameter(property, "TZID") {
            Some(id) => known_zone(id, &self.zones).ok_or_else(|| {
                let hint = zone_named(id).err().unwrap_or_default();
                format!("{}: {hint}", property.name.as_str())
            })?,
            None => self.default,
        };
        let texts = property.val.as_str().split(',').map(str::trim);
        let one = |text: &str| {
            self.moment(text, zone)
                .ok_or_else(|| format!("{}: {} is not a time", property.name.as_str(), shown(text)))
        };
        texts.map(one).collect()
    }

    fn moment(&self, text: &str, zone: Tz) -> Option<Moment> {
        // Of a period only its beginning.
        let text = text.split('/').next().unwrap_or(text);
        if let Ok(day) = NaiveDate::parse_from_str(text, "%Y%m%d") {
            let local = day.and_time(NaiveTime::MIN);
            return Some(Moment {
                zone,
                local,
                is_day: true,
            });
        }
        let (text, zone) = match text.strip_suffix('Z') {
            Some(text) => (text, Tz::UTC),
            None => (text, zone),
        };
        let local = NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%S").ok()?;
        Some(Moment {
            zone,
            local,
            is_day: false,
        })
    }
}

/// One VEVENT.
struct Written {
    uid: String,
    place: String,
    /// The occurrence of the event of this UID that it stands for.
    stands_for: Option<Moment>,
    cancelled: bool,
    description: String,
    /// Its first beginning.
    start: Moment,
    when: When,
}

impl Written {
    fn read(component: &Component<'_>, clock: &Clock) -> Result<Written, String> {
        let text = |name: &str| property(component, name).map(|one| one.val.as_str().to_owned());
        if component.properties.iter().any(|one| one.name == "EXRULE") {
            return Err(
                "EXRULE is not read (RFC 5545 has done away with it); say EXDATE".to_owned(),
            );
        }
        let of_name = |name: &'static str| {
            component
                .properties
                .iter()
                .filter(move |one| one.name == name)
        };
        if of_name("RRULE").count() > 1 {
            return Err("has more than one RRULE".to_owned());
        }
        let first = |name: &'static str| -> Result<Option<Moment>, String> {
            let found = of_name(name)
                .next()
                .map(|one| clock.moments(one))
                .transpose()?;
            Ok(found.and_then(|moments| moments.first().copied()))
        };
        let start = first("DTSTART")?.ok_or("has no DTSTART")?;
        let end = match (first("DTEND")?, text("DURATION")) {
            (Some(end), _) => end.on(start.zone),
            (None, Some(duration)) => {
                let length = read_duration(&duration)
                    .ok_or_else(|| format!("DURATION: {} is none", shown(&duration)))?;
                start
                    .local
                    .checked_add_signed(length)
                    .ok_or("lasts too long")?
            }
            (None, None) if start.is_day => start.local + Duration::days(1),
            (None, None) => start.local,
        };
        // An event without a length is in the bucket that it is in.
        let end = end.max(start.local + Duration::milliseconds(1));
        let times = |name: &'static str,
                     local: &dyn Fn(Moment) -> NaiveDateTime|
         -> Result<Vec<NaiveDateTime>, String> {
            let mut all = Vec::new();
            for property in of_name(name) {
                all.extend(clock.moments(property)?.into_iter().map(local));
            }
            all.sort();
            all.dedup();
            Ok(all)
        };
        let replaced = of_name("RECURRENCE-ID").next();
        if replaced.is_some_and(|one| parameter(one, "RANGE").is_some()) {
            return Err(
                "RECURRENCE-ID with a RANGE is not read; it would move others as well".to_owned(),
            );
        }
        let uid = text("UID").unwrap_or_default();
        let name = text("SUMMARY")
            .map(|text| cut(&text))
            .filter(|text| !text.is_empty());
        Ok(Written {
            place: place(0, component),
            stands_for: first("RECURRENCE-ID")?,
            cancelled: text("STATUS")
                .is_some_and(|status| status.eq_ignore_ascii_case("CANCELLED")),
            description: name.unwrap_or_else(|| cut(&uid)),
            uid,
            start,
            when: When {
                zone: start.zone,
                start: start.local,
                end,
                rule: text("RRULE"),
                except: times("EXDATE", &|moment| moment.of_occurrence(start))?,
                also: times("RDATE", &|moment| moment.on(start.zone))?,
            },
        })
    }
}

/// `P1W`, `P1DT2H30M`, as RFC 5545 (3.3.6) has it; not negative.
fn read_duration(text: &str) -> Option<Duration> {
    let text = text.trim().strip_prefix('+').unwrap_or(text.trim());
    let (days, time) = match text.strip_prefix('P')?.split_once('T') {
        Some((days, time)) => (days, time),
        None => (text.strip_prefix('P')?, ""),
    };
    let mut seconds = 0i64;
    const OF_DAYS: &[(char, i64)] = &[('W', 604_800), ('D', 86_400)];
    const OF_TIME: &[(char, i64)] = &[('H', 3600), ('M', 60), ('S', 1)];
    for (part, units) in [(days, OF_DAYS), (time, OF_TIME)] {
        let mut number = String::new();
        for c in part.chars() {
            if c.is_ascii_digit() {
                number.push(c);
                continue;
            }
            let (_, unit) = units.iter().find(|(name, _)| *name == c)?;
            seconds = seconds.checked_add(number.parse::<i64>().ok()?.checked_mul(*unit)?)?;
            number.clear();
        }
        if !number.is_empty() {
            return None;
        }
    }
    Duration::try_seconds(seconds)
}

/// The events, occurrences that were moved or cancelled taken out of those that they belong to.
fn joined(written: Vec<Written>, report: &Report) -> Vec<Arc<RawEvent>> {
    let (replacements, masters): (Vec<Written>, Vec<Written>) = written
        .into_iter()
        .partition(|one| one.stands_for.is_some());
    let mut taken_out: BTreeMap<&str, Vec<Moment>> = BTreeMap::new();
    for one in &replacements {
        taken_out
            .entry(&one.uid)
            .or_default()
            .extend(one.stands_for);
    }
    let mut all: Vec<(String, String, When)> = Vec::new();
    for mut master in masters {
        let gone = taken_out.get(master.uid.as_str()).into_iter().flatten();
        let start = master.start;
        master
            .when
            .except
            .extend(gone.map(|moment| moment.of_occurrence(start)));
        if !master.cancelled {
            all.push((master.place, master.description, master.when));
        }
    }
    let moved = replacements.into_iter().filter(|one| !one.cancelled);
    all.extend(moved.map(|one| (one.place, one.description, one.when)));
    let actions = Actions {
        skip_result: true,
        skip_model_update: true,
        shift_hours: 0,
    };
    let mut events = Vec::with_capacity(all.len());
    for (place, description, mut when) in all {
        when.except.sort();
        when.except.dedup();
        let everything_left_out =
            when.rule.is_none() && when.except.contains(&when.start) && when.also.is_empty();
        if everything_left_out
            || recurrence::instant(when.zone, when.end) <= EventTime(0) && when.rule.is_none()
        {
            continue; // moved away, or before all events
        }
        match when.occurrences() {
            Ok(spans) => events.push(Arc::new(RawEvent::new(
                description,
                when,
                spans,
                actions,
                None,
                BTreeMap::new(),
            ))),
            Err(message) => report.wrong(place, message),
        }
    }
    events
}
