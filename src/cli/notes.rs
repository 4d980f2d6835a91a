//! What somebody should know of an input before believing what was found in it, or that nothing was.
//!
//! Nothing of it is an error, and each is a mistake more often than not: a field that no event has, numbers that are none, seconds read as
//! milliseconds, events that came too late for their bucket, events refused. Told on stderr when the input has ended; results do not depend on it.
//! Costs, an event: a comparison, and a look at the fields that no event has shown yet. Checked by: the tests below, tests/notes.rs.

use super::feed::counted;
use super::new::pattern_of;
use super::output::grouped;
use super::table::{cut, length};
use crate::config::{Family, FieldId, Job, MLCATEGORY, TimeFormat, nearest};
use crate::decode::{Fields, Item};
use crate::engine::event::{Event, Reason, Rejection, Value};
use crate::time::{BucketSpan, EventTime, Lateness};
use std::collections::BTreeMap;

/// 2001 and 2100 in seconds since 1970: if all times lie between them when read as milliseconds, they are seconds.
const SECONDS: std::ops::Range<i64> = 978_307_200..4_102_444_800;
/// Fields that a note names one by one.
const FIELDS_SHOWN_MAX: usize = 8;
/// Characters of a note's quotation.
const QUOTE_CHARS_MAX: usize = 300;

/// A field that the job reads and no event has shown yet.
struct Wanted {
    slot: usize,
    field: String,
    /// Where the job names it; for numbers, what is measured.
    place: String,
}

/// What has been noticed so far.
pub(super) struct Notes {
    /// What is odd about the job itself, whatever the input.
    of_job: Vec<String>,
    time_field: String,
    /// The fields that the job names.
    named: Vec<String>,
    reads_millis: bool,
    span: BucketSpan,
    lateness: Lateness,
    /// Late events re-open results.
    corrects: bool,
    events: u64,
    oldest: EventTime,
    newest: EventTime,
    late: u64,
    behind_ms_max: i64,
    unseen: Vec<Wanted>,
    /// With a value that was none.
    unread: Vec<(Wanted, Option<String>)>,
    refused: BTreeMap<Reason, Rejection>,
}

impl Notes {
    pub(super) fn new(job: &Job) -> Notes {
        Notes {
            of_job: job.warnings.clone(),
            time_field: job.time_field.clone(),
            named: job.fields.clone(),
            reads_millis: matches!(job.time_format, TimeFormat::Auto | TimeFormat::EpochMillis),
            span: job.bucket_span,
            lateness: job.lateness,
            corrects: job.late_revision_buckets() > 0,
            events: 0,
            oldest: EventTime::MAX,
            newest: EventTime::MIN,
            late: 0,
            behind_ms_max: 0,
            unseen: unseen(job),
            unread: measured(job).into_iter().map(|one| (one, None)).collect(),
            refused: BTreeMap::new(),
        }
    }

    /// Looks at what has been read.
    pub(super) fn look(&mut self, item: &Item<'_>) {
        match item {
            Item::Event { event, .. } => self.event(event),
            Item::Rejected { rejection, .. } => {
                let first = self.refused.entry(rejection.reason);
                first.or_insert_with(|| rejection.clone());
            }
        }
    }

    fn event(&mut self, event: &Event<'_>) {
        self.events += 1;
        let behind_ms = self.newest.0.saturating_sub(event.time.0);
        if behind_ms > 0 && self.events > 1 && !self.corrects {
            let closed_until = self
                .span
                .bucket_of(EventTime(self.newest.0 - self.lateness.millis()));
            if event.time < closed_until.time() {
                self.late += 1;
                self.behind_ms_max = self.behind_ms_max.max(behind_ms);
            }
        }
        self.newest = self.newest.max(event.time);
        self.oldest = self.oldest.min(event.time);
        self.unseen
            .retain(|wanted| event.values[wanted.slot] == Value::Missing);
        self.unread.retain_mut(|(wanted, example)| {
            let value = &event.values[wanted.slot];
            if value.number().is_some() {
                return false;
            }
            if example.is_none() {
                let mut scratch = String::new();
                *example = value.text(&mut scratch).map(str::to_owned);
            }
            true
        });
    }

    /// What is worth saying. `sample`: a whole event of the input with all its fields, if one can be had.
    pub(super) fn lines(&self, sample: impl FnOnce() -> Option<Fields>) -> Vec<String> {
        let mut lines = self.of_job.clone();
        let has_news = !self.refused.is_empty() || (self.events > 0 && !self.unseen.is_empty());
        let sample = has_news.then(sample).flatten().unwrap_or_default();
        for rejection in self.refused.values() {
            lines.push(self.of_refused(rejection, &sample));
        }
        if self.events == 0 {
            return lines;
        }
        if self.reads_millis && SECONDS.contains(&self.oldest.0) && SECONDS.contains(&self.newest.0)
        {
            lines.push(format!(
                "all times lie between {} and {}: {:?} seems to hold seconds and is read as milliseconds; set data_description.time_format: epoch",
                self.oldest, self.newest, self.time_field
            ));
        }
        if self.late > 0 {
            lines.push(self.of_late());
        }
        for wanted in self.unseen.iter().take(FIELDS_SHOWN_MAX) {
            let hint = instead(&wanted.field, &sample, &self.named);
            lines.push(format!(
                "no event has a field {:?} ({}){hint}",
                wanted.field, wanted.place
            ));
        }
        if self.unseen.len() > FIELDS_SHOWN_MAX {
            let more = (self.unseen.len() - FIELDS_SHOWN_MAX) as u64;
            lines.push(format!(
                "and {} more that the job names",
                counted(more, "field")
            ));
        }
        for (wanted, example) in &self.unread {
            if let Some(example) = example {
                lines.push(format!(
                    "no value of {:?} is a number (one is {:?}): {} measures nothing",
                    wanted.field, example, wanted.place
                ));
            }
        }
        lines
            .iter()
            .map(|line| cut(line, QUOTE_CHARS_MAX))
            .collect()
    }

    fn of_refused(&self, rejection: &Rejection, sample: &Fields) -> String {
        let hint = match rejection.reason {
            Reason::MissingTime => instead(&self.time_field, sample, &self.named),
            Reason::BadTime => sample
                .iter()
                .find(|(field, _)| *field == self.time_field)
                .and_then(|(_, value)| pattern_of(value.text(&mut String::new())?))
                .map(|pattern| format!(" ({pattern:?} reads it)"))
                .unwrap_or_default(),
            _ => String::new(),
        };
        let detail = cut(
            &rejection.detail,
            QUOTE_CHARS_MAX - 40 - hint.len().min(150),
        );
        format!("{}, the first: {detail}{hint}", rejection.reason.label())
    }

    fn of_late(&self) -> String {
        let latency = match self.lateness.millis() {
            0 => "none is set".to_owned(),
            ms => format!("it is {}", length(ms)),
        };
        format!(
            "{} of {} came after their bucket was closed, the farthest {} behind; put them in order of time, or allow for it with analysis_config.latency ({latency})",
            grouped(self.late),
            counted(self.events, "event"),
            length(self.behind_ms_max)
        )
    }
}

/// What may have been meant by a field that is not there: its like, or the same inside another object (or outside); else what there is. A field that
/// the job names besides was not meant.
fn instead(field: &str, sample: &Fields, taken: &[String]) -> String {
    let names = || sample.iter().map(|(name, _)| name.as_str());
    let free: Vec<&str> = names()
        .filter(|name| taken.iter().all(|taken| taken != name))
        .collect();
    let is_inside = |inner: &str, outer: &str| {
        let before = outer.strip_suffix(inner);
        before.is_some_and(|before| before.ends_with('.'))
    };
    let moved = |name: &&&str| is_inside(field, name) || is_inside(name, field);
    let near = free.iter().find(moved).copied();
    match near.or_else(|| nearest(field, free.iter().copied())) {
        Some(near) => format!("; did you mean {near:?}?"),
        None if sample.is_empty() => String::new(),
        None => {
            let shown: Vec<&str> = names().take(FIELDS_SHOWN_MAX).collect();
            let more = if sample.len() > shown.len() {
                ", …"
            } else {
                ""
            };
            format!("; an event has: {}{more}", shown.join(", "))
        }
    }
}

/// The fields that events have to bring: not those that the job makes itself, nor positions, which come in several forms.
fn unseen(job: &Job) -> Vec<Wanted> {
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut want = |id: Option<FieldId>, place: String| {
        let Some(id) = id.filter(|id| !is_made(job, *id)) else {
            return;
        };
        let slot = usize::from(id.0);
        if wanted.iter().all(|one| one.slot != slot) {
            let field = job.field_name(id).to_owned();
            wanted.push(Wanted { slot, field, place });
        }
    };
    for detector in &job.detectors {
        let at = |key: &str| format!("analysis_config.detectors[{}].{key}", detector.index);
        if detector.function.family != Family::LatLong {
            want(detector.field, at("field_name"));
        }
        want(detector.by, at("by_field_name"));
        want(detector.over, at("over_field_name"));
        want(detector.partition, at("partition_field_name"));
    }
    for id in &job.influencers {
        want(Some(*id), "analysis_config.influencers".to_owned());
    }
    let messages = job.categorization.as_ref().map(|one| one.field);
    want(
        messages,
        "analysis_config.categorization_field_name".to_owned(),
    );
    let place = "analysis_config.summary_count_field_name";
    want(job.summary_count_field, place.to_owned());
    wanted
}

/// The fields whose numbers are analysed, and by what.
fn measured(job: &Job) -> Vec<Wanted> {
    let is_measure = |family| {
        matches!(
            family,
            Family::Metric
                | Family::Mean
                | Family::Median
                | Family::Min
                | Family::Max
                | Family::Sum
                | Family::NonNullSum
                | Family::Varp
        )
    };
    let measured = job.detectors.iter().filter_map(|detector| {
        let id = detector.field.filter(|id| !is_made(job, *id))?;
        is_measure(detector.function.family).then(|| Wanted {
            slot: usize::from(id.0),
            field: job.field_name(id).to_owned(),
            place: format!("{:?}", detector.description),
        })
    });
    let mut wanted: Vec<Wanted> = Vec::new();
    for one in measured {
        if wanted.iter().all(|other| other.slot != one.slot) {
            wanted.push(one);
        }
    }
    wanted
}

/// Whether the job makes a field of others, so that no event needs to bring it.
fn is_made(job: &Job, id: FieldId) -> bool {
    let feed = &job.feed;
    let of_counters = feed.counters.iter().flat_map(|all| &all.counters);
    job.field_name(id) == MLCATEGORY
        || feed.counted_by.is_some() && job.summary_count_field == Some(id)
        || feed.computed.iter().any(|one| one.field == id)
        || of_counters
            .flat_map(|one| one.differences.iter().chain(&one.rises))
            .any(|made| *made == id)
}
