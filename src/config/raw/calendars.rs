//! Calendars as written: Elastic's `{calendar_id, job_ids, description}` with their events in them; one, a list, or as Elastic lists them
//! (`{count, calendars: [...]}`). Ours beyond: a time zone, recurrence, and events for some entities only.
//!
//! Source: job-config.md 1.10. A job takes the calendars that it is in into its own document (`tidewatch.calendars`), so that it is whole by itself;
//! there they speak of no jobs. Holds: an event that was read has at least one occurrence. Checked: `tests/config.rs`, `tests/engine/calendars.rs`.

use super::object::{Object, Report, shown};
use super::recurrence::{self, Span, When, Written};
use super::rules::check_hours;
use super::suggest::nearest;
use crate::config::calendar::{Occurrences, ScheduledEvent};
use crate::config::id;
use crate::config::job::{Detector, FieldId};
use crate::config::rules::{Actions, Filter, Scope, Split};
use crate::time::EventTime;
use chrono::NaiveDateTime;
use chrono_tz::Tz;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Events of one calendar, and occurrences of all of them.
pub(super) const EVENTS_MAX: usize = 10_000;
const OCCURRENCES_MAX: usize = 500_000;
/// Times listed one by one in an event, and values of an entity.
const LIST_MAX: usize = 10_000;

/// A calendar as written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RawCalendar {
    pub(super) description: Option<String>,
    /// Jobs and groups; `None`: every job.
    pub(super) job_ids: Option<Vec<String>>,
    pub(super) events: Vec<Arc<RawEvent>>,
}

/// An event as written.
#[derive(Debug, PartialEq)]
pub(super) struct RawEvent {
    pub(super) description: String,
    pub(super) when: When,
    pub(super) occurrences: Occurrences,
    pub(super) actions: Actions,
    pub(super) shift_seconds: Option<i64>,
    /// By field: the values that it is about.
    pub(super) entities: BTreeMap<String, Vec<String>>,
}

/// Where a calendar stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a file, for several jobs.
    Shared,
    /// In a job.
    Job,
}

/// The calendars of a text, by id: those without mistakes. `zone` is where clocks hang that it says nothing of.
pub(super) fn read_text(value: &Value, zone: Tz, report: &Report) -> BTreeMap<String, RawCalendar> {
    let mut calendars = BTreeMap::new();
    let list = match value {
        Value::Object(list) if list.contains_key("calendars") => {
            let Some(object) = Object::new(String::new(), value, report) else {
                return calendars;
            };
            object.value("count");
            let elements = object.elements("calendars").unwrap_or_default();
            object.finish();
            elements
        }
        Value::Array(list) => (0..list.len())
            .map(|at| format!("[{at}]"))
            .zip(list)
            .collect(),
        one => vec![(String::new(), one)],
    };
    read_all(list, (Place::Shared, zone), report, &mut calendars);
    calendars
}

/// The calendars of a list, each with where it stands.
pub(super) fn read_all(
    list: Vec<(String, &Value)>,
    (place, zone): (Place, Tz),
    report: &Report,
    calendars: &mut BTreeMap<String, RawCalendar>,
) {
    for (path, value) in list {
        let Some(object) = Object::new(path, value, report) else {
            continue;
        };
        let (read, path) = (read(&object, place, zone), object.path_of("calendar_id"));
        object.finish();
        let Some((id, calendar)) = read else { continue };
        if calendars.contains_key(&id) {
            report.wrong(path, format!("{} is here twice", shown(&id)));
        }
        calendars.insert(id, calendar);
    }
}

fn read(object: &Object<'_>, place: Place, zone: Tz) -> Option<(String, RawCalendar)> {
    let id = object.text("calendar_id");
    match id.map(id::check) {
        Some(Err(error)) => object.wrong("calendar_id", error.to_string()),
        Some(Ok(())) => {}
        None if !object.has("calendar_id") => object.wrong("calendar_id", "is missing"),
        None => {}
    }
    let description = object.text("description").map(str::to_owned);
    let job_ids = object.texts("job_ids").map(|ids| {
        for (path, job_id) in ids.iter().filter(|(_, job_id)| *job_id != "_all") {
            if let Err(error) = id::check(job_id) {
                object.wrong_at(path.clone(), error.to_string());
            }
        }
        ids.into_iter()
            .map(|(_, job_id)| job_id.to_owned())
            .collect()
    });
    if place == Place::Job && object.has("job_ids") {
        object.wrong("job_ids", "a calendar in a job is that job's; leave it out");
    }
    let zone = read_zone(object).unwrap_or(zone);
    let written = object.objects("events").unwrap_or_default();
    if written.len() > EVENTS_MAX {
        let message = format!(
            "has {} events; at most {EVENTS_MAX} are allowed",
            written.len()
        );
        object.wrong("events", message);
        return None;
    }
    let mut events = Vec::with_capacity(written.len());
    for event in written {
        if let (Some(own), Some(id)) = (event.text("calendar_id"), id)
            && own != id
        {
            let message = format!("{} is not this calendar's, {}", shown(own), shown(id));
            event.wrong("calendar_id", message);
        }
        event.text("event_id"); // of exports: Elastic gives each one
        events.extend(read_event(&event, zone).map(Arc::new));
        event.finish();
    }
    if let Err(message) = check_size(&events) {
        object.wrong("events", message);
        return None;
    }
    let calendar = RawCalendar {
        description,
        job_ids,
        events,
    };
    Some((id?.to_owned(), calendar))
}

/// Why these are more than a calendar may hold.
pub(super) fn check_size(events: &[Arc<RawEvent>]) -> Result<(), String> {
    let count = |event: &Arc<RawEvent>| event.occurrences.len();
    let occurrences: usize = events.iter().map(count).sum();
    if occurrences > OCCURRENCES_MAX {
        return Err(format!(
            "come {occurrences} times before {}; at most {OCCURRENCES_MAX} are allowed in a calendar",
            recurrence::HORIZON_YEAR
        ));
    }
    Ok(())
}

fn read_zone(object: &Object<'_>) -> Option<Tz> {
    let name = object.name("time_zone")?;
    let zone = zone_named(name);
    if let Err(message) = &zone {
        object.wrong("time_zone", message.clone());
    }
    zone.ok()
}

/// The time zone of a name.
pub(super) fn zone_named(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| {
        let names = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let hint = match nearest(name, names) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "names are those of the IANA database, such as \"Europe/Berlin\"".to_owned(),
        };
        format!("{} is no time zone; {hint}", shown(name))
    })
}

/// Reads an event; `None` when something is wrong with it (which is noted).
fn read_event(object: &Object<'_>, zone: Tz) -> Option<RawEvent> {
    let description = object.name("description");
    if description.is_none() && !object.has("description") {
        object.wrong("description", "is missing; buckets are told by it");
    }
    let zone = read_zone(object).unwrap_or(zone);
    let rule = object.name("recurrence").map(str::to_owned);
    let (start, end) = (
        read_moment(object, "start_time"),
        read_moment(object, "end_time"),
    );
    let except = read_moments(object, "except", zone, start.as_ref());
    let also = read_moments(object, "also", zone, None);
    let actions = Actions {
        skip_result: object.boolean("skip_result").unwrap_or(true),
        skip_model_update: object.boolean("skip_model_update").unwrap_or(true),
        shift_hours: 0,
    };
    let shift_seconds = object.integer("force_time_shift", -86_400..=86_400);
    check_hours(object, "force_time_shift", shift_seconds);
    let entities = read_entities(object);
    let (start, end) = (start?, end?);
    // Moments that come once need no clock, and an instant says more than what a clock shows.
    let is_plain = rule.is_none() && except.is_empty() && also.is_empty();
    let is_instant = |time: &Written| matches!(time, Written::Instant(_));
    let zone = match is_plain && is_instant(&start) && is_instant(&end) {
        true => Tz::UTC,
        false => zone,
    };
    let when = When {
        zone,
        start: on_clock(object, "start_time", start, zone)?,
        end: on_clock(object, "end_time", end, zone)?,
        rule,
        except,
        also,
    };
    let occurrences = match when.occurrences() {
        Ok(spans) => spans,
        Err(message) => {
            let key = if when.rule.is_some() && when.end > when.start {
                "recurrence"
            } else {
                "end_time"
            };
            object.wrong(key, message);
            return None;
        }
    };
    RawEvent::new(
        description?.to_owned(),
        when,
        occurrences,
        actions,
        shift_seconds,
        entities,
    )
    .into()
}

impl RawEvent {
    pub(super) fn new(
        description: String,
        when: When,
        occurrences: Vec<Span>,
        actions: Actions,
        shift_seconds: Option<i64>,
        entities: BTreeMap<String, Vec<String>>,
    ) -> RawEvent {
        RawEvent {
            description,
            when,
            occurrences: Occurrences::new(occurrences),
            actions: Actions {
                // Days begin earlier when the model's clock goes ahead.
                shift_hours: (-shift_seconds.unwrap_or(0) / 3600).clamp(-24, 24) as i8,
                ..actions
            },
            shift_seconds,
            entities,
        }
    }
}

const TIMES: &str = "milliseconds since the epoch, or a time such as \"2026-03-01T02:00:00\", with an offset or Z if it is not by the time_zone's clock";

fn read_moment(object: &Object<'_>, key: &'static str) -> Option<Written> {
    if !object.has(key) {
        object.value(key);
        object.wrong(key, format!("is missing; {TIMES}"));
        return None;
    }
    moment(object, object.path_of(key), object.value(key)?)
}

/// Seconds since the epoch that are in this century: as milliseconds, six weeks of 1970 in which nobody has an event.
const SECONDS: std::ops::Range<i64> = 946_684_800..4_102_444_800;

fn moment(object: &Object<'_>, path: String, value: &Value) -> Option<Written> {
    let read = match value {
        Value::Number(number) => number.as_i64().map(|ms| Written::Instant(EventTime(ms))),
        Value::String(text) => match text.parse() {
            Ok(ms) => Some(Written::Instant(EventTime(ms))),
            Err(_) => recurrence::read_time(text),
        },
        _ => None,
    };
    let in_range = |time: &Written| match time {
        Written::Instant(at) => (0..=EventTime::MAX.millis()).contains(&at.millis()),
        Written::Local(local) => local.and_utc().timestamp_millis() >= 0,
    };
    let read = read.filter(in_range);
    match &read {
        None => object.wrong_at(path, format!("is no time after 1970; write {TIMES}")),
        Some(Written::Instant(at)) if SECONDS.contains(&at.millis()) => {
            let message = format!(
                "is in {}, and would be a time of this century in seconds; write {TIMES}",
                recurrence::local(Tz::UTC, *at)
                    .map_or_else(String::new, |at| at.format("%B %Y").to_string())
            );
            object.wrong_at(path, message);
        }
        Some(_) => {}
    }
    read
}

/// A list of times; a day alone, the occurrence of that day where it is known when occurrences begin.
fn read_moments(
    object: &Object<'_>,
    key: &'static str,
    zone: Tz,
    begin: Option<&Written>,
) -> Vec<NaiveDateTime> {
    let written = object.elements(key).unwrap_or_default();
    if written.len() > LIST_MAX {
        object.wrong(
            key,
            format!(
                "has {} times; at most {LIST_MAX} are allowed",
                written.len()
            ),
        );
        return Vec::new();
    }
    let time_of_day = begin.and_then(|begin| Some(on_clock_at(*begin, zone)?.time()));
    let is_day = |value: &Value| {
        value
            .as_str()
            .is_some_and(|text| text.contains('-') && !text.contains(':'))
    };
    let one = |(path, value): (String, &Value)| {
        let local = on_clock_at(moment(object, path, value)?, zone)?;
        Some(match time_of_day.filter(|_| is_day(value)) {
            Some(time) => local.date().and_time(time),
            None => local,
        })
    };
    let mut times: Vec<NaiveDateTime> = written.into_iter().filter_map(one).collect();
    times.sort();
    times.dedup();
    times
}

fn on_clock(object: &Object<'_>, key: &str, time: Written, zone: Tz) -> Option<NaiveDateTime> {
    let local = on_clock_at(time, zone);
    if local.is_none() {
        object.wrong(key, "is too far away");
    }
    local
}

fn on_clock_at(time: Written, zone: Tz) -> Option<NaiveDateTime> {
    match time {
        Written::Local(local) => Some(local),
        Written::Instant(at) => recurrence::local(zone, at),
    }
}

fn read_entities(object: &Object<'_>) -> BTreeMap<String, Vec<String>> {
    let mut entities = BTreeMap::new();
    let Some(written) = object.object("entities") else {
        return entities;
    };
    for (path, field, value) in written.entries() {
        let values: Vec<&Value> = match value {
            Value::Array(list) => list.iter().collect(),
            one => vec![one],
        };
        let texts: Option<Vec<String>> = values
            .into_iter()
            .map(|value| value.as_str().map(str::to_owned))
            .collect();
        match texts.filter(|texts| (1..=LIST_MAX).contains(&texts.len())) {
            Some(texts) => drop(entities.insert(field.to_owned(), texts)),
            None => object.wrong_at(path, format!("must be one to {LIST_MAX} values, as strings; * at either end stands for any text")),
        }
    }
    entities
}

impl RawCalendar {
    /// Whether a job is in it.
    pub(super) fn concerns(&self, job_id: &str, groups: &[String]) -> bool {
        let names = |one: &String| one == "_all" || one == job_id || groups.contains(one);
        self.job_ids
            .as_ref()
            .is_none_or(|ids| ids.iter().any(names))
    }

    /// As a job shows it.
    pub(super) fn render(&self, id: &str) -> Value {
        let mut document = json!({ "calendar_id": id });
        if let Some(description) = &self.description {
            document["description"] = json!(description);
        }
        document["events"] = self.events.iter().map(|event| event.render()).collect();
        document
    }
}

impl RawEvent {
    fn render(&self) -> Value {
        let When {
            zone,
            start,
            end,
            rule,
            except,
            also,
        } = &self.when;
        let time = |local: &NaiveDateTime| match zone {
            Tz::UTC => json!(local.and_utc().timestamp_millis()),
            _ => json!(local.format("%Y-%m-%dT%H:%M:%S%.f").to_string()),
        };
        let mut document = json!({
            "description": self.description,
            "start_time": time(start),
            "end_time": time(end),
            "skip_result": self.actions.skip_result,
            "skip_model_update": self.actions.skip_model_update,
        });
        if let Some(seconds) = self.shift_seconds {
            document["force_time_shift"] = json!(seconds);
        }
        if *zone != Tz::UTC {
            document["time_zone"] = json!(zone.name());
        }
        if let Some(rule) = rule {
            document["recurrence"] = json!(rule);
        }
        for (key, times) in [("except", except), ("also", also)] {
            if !times.is_empty() {
                document[key] = times.iter().map(time).collect();
            }
        }
        if !self.entities.is_empty() {
            document["entities"] = json!(self.entities);
        }
        document
    }

    /// What it means to a job of these detectors.
    fn build(
        &self,
        detectors: &[Detector],
        field_id: impl Fn(&str) -> Option<FieldId>,
    ) -> ScheduledEvent {
        let scopes: Vec<(Option<FieldId>, Arc<Filter>)> = self
            .entities
            .iter()
            .map(|(field, values)| {
                let values = values.iter().map(String::as_str);
                (field_id(field), Arc::new(Filter::new("", values)))
            })
            .collect();
        let about = |detector: &Detector| {
            let scope = |(field, filter): &(Option<FieldId>, Arc<Filter>)| {
                let field = (*field)?;
                let splits = [
                    (Split::By, detector.by),
                    (Split::Over, detector.over),
                    (Split::Partition, detector.partition),
                ];
                let (split, _) = splits.into_iter().find(|(_, own)| *own == Some(field))?;
                Some(Scope {
                    split,
                    filter: filter.clone(),
                    include: true,
                })
            };
            scopes.iter().map(scope).collect()
        };
        ScheduledEvent {
            description: self.description.clone(),
            occurrences: self.occurrences.clone(),
            actions: self.actions,
            about: detectors.iter().map(about).collect(),
        }
    }
}

/// The events of these calendars as a job of these detectors has them.
pub(super) fn build(
    calendars: &BTreeMap<String, RawCalendar>,
    detectors: &[Detector],
    field_id: impl Fn(&str) -> Option<FieldId>,
) -> Vec<ScheduledEvent> {
    let events = calendars.values().flat_map(|calendar| &calendar.events);
    events
        .map(|event| event.build(detectors, &field_id))
        .collect()
}

/// Events that can concern nothing of these detectors, a sentence each.
pub(super) fn warnings<'e>(
    calendars: &'e BTreeMap<String, RawCalendar>,
    events: &'e [ScheduledEvent],
) -> impl Iterator<Item = String> + 'e {
    let named = calendars
        .iter()
        .flat_map(|(id, calendar)| calendar.events.iter().map(move |event| (id, event)));
    let idle = |event: &ScheduledEvent| event.about.iter().all(Option::is_none);
    named
        .zip(events)
        .filter(move |(_, built)| idle(built))
        .map(|((id, event), _)| {
            let fields: Vec<&str> = event.entities.keys().map(String::as_str).collect();
            format!(
                "calendar [{id}]: event [{}] is about values of [{}], by which no detector splits",
                event.description,
                fields.join(", ")
            )
        })
}
