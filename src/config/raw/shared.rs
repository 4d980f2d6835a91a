//! What stands beside jobs, for all of them: filters that their rules speak of, calendars that they are in.
//!
//! Read once from files of their own; each job takes what concerns it into its own document, so that it is whole by itself wherever it goes from
//! there; what it has of its own under the same name comes before. Checked: `tests/config.rs`, `tests/calendars.rs`.

use super::calendars::{self, RawCalendar, zone_named};
use super::filters::{self, RawFilter};
use super::object::{Report, shown};
use super::recurrence::{self, Written};
use super::{RawJob, ics, text};
use crate::config::error::ConfigErrors;
use crate::config::id;
use crate::config::rules::Actions;
use crate::time::EventTime;
use chrono_tz::Tz;
use std::collections::BTreeMap;
use std::path::Path;

/// What several jobs share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shared {
    filters: BTreeMap<String, RawFilter>,
    calendars: BTreeMap<String, RawCalendar>,
    /// In which file each is.
    filter_files: BTreeMap<String, String>,
    calendar_files: BTreeMap<String, String>,
}

/// An occurrence of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Coming {
    /// From this instant on.
    pub from: EventTime,
    /// Exclusive.
    pub to: EventTime,
    /// Of which calendar.
    pub calendar_id: String,
    /// Which event.
    pub description: String,
    /// What it does.
    pub actions: Actions,
    /// By field: the values that it is about; none: everything.
    pub entities: BTreeMap<String, Vec<String>>,
}

impl Shared {
    /// Takes in the filters of a JSON or YAML text; `name` is what the text is called: mistakes begin with it. All of them, or none.
    pub fn add_filters(&mut self, text: &str, name: &str) -> Result<(), ConfigErrors> {
        let report = Report::default();
        let found = text::parse(text, &report)
            .map(|value| filters::read_text(&value, &report))
            .unwrap_or_default();
        let ids = found.keys();
        claim(ids, &mut self.filter_files, ("filter_id", name), report)?;
        self.filters.extend(found);
        Ok(())
    }

    /// Takes in the calendars of a JSON, YAML or (by the name's end) iCalendar text. `zone` is whose clock counts where the text names none.
    pub fn add_calendars(
        &mut self,
        text: &str,
        name: &str,
        zone: Option<Tz>,
    ) -> Result<(), ConfigErrors> {
        let report = Report::default();
        let found = match name.to_ascii_lowercase().ends_with(".ics") {
            true => {
                let calendar = ics::read(text, zone, &report);
                calendar
                    .map(|calendar| (id_of(name), calendar))
                    .into_iter()
                    .collect()
            }
            false => text::parse(text, &report)
                .map(|value| calendars::read_text(&value, zone.unwrap_or(Tz::UTC), &report))
                .unwrap_or_default(),
        };
        let ids = found.keys();
        claim(ids, &mut self.calendar_files, ("calendar_id", name), report)?;
        self.calendars.extend(found);
        Ok(())
    }

    /// The time zone of a name, or what would have been one.
    pub fn zone(name: &str) -> Result<Tz, String> {
        zone_named(name)
    }

    /// A moment as people write it: milliseconds since the epoch, a time with an offset, or what the clock of `zone` shows then; a day is its beginning.
    pub fn moment(text: &str, zone: Tz) -> Option<EventTime> {
        let written = match text.parse() {
            Ok(ms) => Written::Instant(EventTime(ms)),
            Err(_) => recurrence::read_time(text)?,
        };
        let at = match written {
            Written::Instant(at) => at,
            Written::Local(local) => recurrence::instant(zone, local),
        };
        (EventTime(0)..=EventTime::MAX).contains(&at).then_some(at)
    }

    /// What comes between two instants, in order.
    pub fn coming(&self, from: EventTime, to: EventTime) -> Vec<Coming> {
        let mut coming = Vec::new();
        for (id, calendar) in &self.calendars {
            for event in &calendar.events {
                let spans = event.occurrences.between(from, to);
                coming.extend(spans.map(|(from, to)| Coming {
                    from,
                    to,
                    calendar_id: id.clone(),
                    description: event.description.clone(),
                    actions: event.actions,
                    entities: event.entities.clone(),
                }));
            }
        }
        coming.sort_by(|a, b| (a.from, a.to, &a.calendar_id).cmp(&(b.from, b.to, &b.calendar_id)));
        coming
    }

    /// The calendars that are other jobs' (and groups'), by their ids.
    pub fn calendars_of_others(&self, job_id: &str, groups: &[String]) -> Vec<&str> {
        let calendars = self.calendars.iter();
        calendars
            .filter(|(_, calendar)| !calendar.concerns(job_id, groups))
            .map(|(id, _)| id.as_str())
            .collect()
    }

    /// Gives a job what concerns it; notes what it speaks of and nobody has.
    pub(super) fn join(&self, job: &mut RawJob, report: &Report) {
        let written = job.extensions.take();
        let has_own = written.is_some();
        let mut own = written.unwrap_or_default();
        let rules = job.analysis.detectors.iter();
        let rules = rules.flat_map(|detector| &detector.rules);
        filters::resolve(rules, &mut own.filters, &self.filters, report);
        for (id, calendar) in &self.calendars {
            if calendar.concerns(&job.id, &job.groups) && !own.calendars.contains_key(id) {
                own.calendars.insert(id.clone(), calendar.clone());
            }
        }
        let says_anything = has_own || !own.filters.is_empty() || !own.calendars.is_empty();
        job.extensions = says_anything.then_some(own);
    }
}

/// Notes that these names are in this file; otherwise every mistake in it.
fn claim<'i>(
    ids: impl Iterator<Item = &'i String> + Clone,
    files: &mut BTreeMap<String, String>,
    (key, name): (&str, &str),
    report: Report,
) -> Result<(), ConfigErrors> {
    for id in ids.clone() {
        if let Some(other) = files.get(id) {
            report.wrong(key, format!("{} is also in {other}", shown(id)));
        }
    }
    let mistakes = report.into_mistakes();
    if !mistakes.is_empty() {
        return Err(ConfigErrors::new(Some(name.to_owned()), mistakes));
    }
    files.extend(ids.map(|id| (id.clone(), name.to_owned())));
    Ok(())
}

/// A calendar's id by its file's name: what an id may not hold becomes a dash.
fn id_of(name: &str) -> String {
    let stem = Path::new(name)
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let legal = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') => c,
        _ => '-',
    };
    let text: String = stem.chars().map(legal).take(id::ID_LENGTH_MAX).collect();
    let text = text.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    match text.is_empty() {
        true => "calendar".to_owned(),
        false => text.to_owned(),
    }
}
