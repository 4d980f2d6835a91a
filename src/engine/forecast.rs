//! A request for a forecast: which series, how far ahead, and what came of it.
//!
//! The door is [`Judge::forecast`](super::judge::Judge::forecast): it reads the models and changes nothing, so a forecast of a restored snapshot is
//! that of the state it was taken of. A request is checked against the job first, since what can never be forecast is refused by name.
//! Units: milliseconds. Source: results.md 3.8, rest-api.md 4.4. Checked by: tests/forecast.rs.

use super::result::{
    Body, Document, DocumentKind, ForecastStats, ForecastStatus, ModelForecast, id,
};
use crate::config::calendar::ScheduledEvent;
use crate::config::{Detector, Family, Job};
use crate::time::{BucketStart, Finality};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

const DAY_MS: i64 = 86_400_000;
/// The longest forecast (rest-api.md 4.4): ten years.
pub const DURATION_MS_MAX: i64 = 3650 * DAY_MS;

/// Scheduled events that a message names.
const EVENTS_NAMED: usize = 5;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its id; the same id replaces an earlier forecast.
    pub id: String,
    /// How far ahead.
    pub duration_ms: i64,
    /// Only series with these values of by or partition fields; of all when empty.
    pub only: Vec<(String, String)>,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too short or too long.
    #[error(
        "the duration is {0} ms; it must be at least the bucket span ({1} ms) and at most 3650 days"
    )]
    Duration(i64, i64),
    /// No detector measures a series that goes on.
    #[error("nothing of job {job} can be forecast: {why}")]
    Nothing {
        /// The job.
        job: String,
        /// Detector by detector.
        why: String,
    },
    /// A series is named by a field that splits none.
    #[error(
        "no detector that can be forecast has the by or partition field \"{0}\"; there are: {1}"
    )]
    NoSuchField(String, String),
}

/// What came of a request at one judge, or at all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Yield {
    /// Series (features of them) forecast.
    pub series: u64,
    /// Points said.
    pub points: u64,
    /// Series that have too little history.
    pub too_young: u64,
    /// Bytes of the models that were asked.
    pub memory_bytes: u64,
    /// The first bucket, and the end of the last one.
    pub range: Option<(BucketStart, BucketStart)>,
}

impl Yield {
    /// Adds what another judge yields.
    pub fn add(&mut self, other: &Yield) {
        self.series += other.series;
        self.points += other.points;
        self.too_young += other.too_young;
        self.memory_bytes += other.memory_bytes;
        self.range = match (self.range, other.range) {
            (Some((from, to)), Some((first, last))) => Some((from.min(first), to.max(last))),
            (one, other) => one.or(other),
        };
    }
}

/// What only a clock knows of a request; nothing where none was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocked {
    /// When it was asked for.
    pub created_ms: i64,
    /// How long it took.
    pub took_ms: u64,
}

/// Why a detector cannot be forecast; `None` when it can.
pub fn objection(detector: &Detector) -> Option<&'static str> {
    match detector.function.family {
        _ if detector.over.is_some() => {
            Some("a population is judged against itself, not against its past")
        }
        Family::Rare | Family::FreqRare => Some("how rare a value is, is no series of values"),
        Family::TimeOfDay | Family::TimeOfWeek => {
            Some("the time at which something happens is no series of values")
        }
        Family::LatLong => Some("a place is no series of values"),
        _ => None,
    }
}

/// Checks a request against the job; what of the job is left out, detector by detector.
pub fn check(job: &Job, request: &Request) -> Result<Vec<String>, Refusal> {
    let span_ms = job.bucket_span.millis();
    if !(span_ms..=DURATION_MS_MAX).contains(&request.duration_ms) {
        return Err(Refusal::Duration(request.duration_ms, span_ms));
    }
    let left_out: Vec<String> = job
        .detectors
        .iter()
        .filter_map(|detector| {
            let why = objection(detector)?;
            Some(format!("{} is not forecast: {why}", detector.description))
        })
        .collect();
    if left_out.len() == job.detectors.len() {
        return Err(Refusal::Nothing {
            job: job.id.clone(),
            why: left_out.join("; "),
        });
    }
    let fields = job
        .detectors
        .iter()
        .filter(|detector| objection(detector).is_none())
        .flat_map(|detector| [detector.by, detector.partition])
        .flatten();
    let mut names: Vec<&str> = fields.map(|field| job.field_name(field)).collect();
    names.sort_unstable();
    names.dedup();
    match request
        .only
        .iter()
        .find(|(name, _)| !names.contains(&name.as_str()))
    {
        Some((name, _)) => Err(Refusal::NoSuchField(name.clone(), names.join(", "))),
        None => Ok(left_out),
    }
}

/// An id for a forecast of `duration_ms` that begins at `start`: the same for the same question to the same job.
pub fn id_of(job: &Job, start: BucketStart, duration_ms: i64) -> String {
    let question = format!(
        "{}/{:016x}/{}/{duration_ms}",
        job.id,
        job.fingerprint,
        start.millis()
    );
    format!("{:016x}", xxh3_64(question.as_bytes()))
}

/// The document that says what became of a request. `notes` are what was left out; an `expires_in_ms` of 0 is never.
pub fn stats(
    job: &Job,
    request: &Request,
    found: &Yield,
    notes: Vec<String>,
    clocked: Clocked,
    expires_in_ms: i64,
) -> Document {
    let (start, end) = found.range.unwrap_or((BucketStart(0), BucketStart(0)));
    let mut messages = notes;
    if found.too_young > 0 {
        messages.push(format!(
            "{} series have too little history and are not forecast",
            found.too_young
        ));
    }
    messages.extend(without_events(job, start, end));
    if found.series == 0 {
        messages.push("no series could be forecast".to_owned());
    }
    // Where no clock is asked the forecast was made when it begins.
    let created = match clocked.created_ms {
        0 => start.millis(),
        ms => ms,
    };
    let stats = ForecastStats {
        job_id: job.id.clone(),
        forecast_id: request.id.clone(),
        processed_record_count: found.points,
        forecast_messages: messages,
        start_ms: start.millis(),
        end_ms: end.millis(),
        create_ms: created,
        expiry_ms: match expires_in_ms {
            0 => 0,
            ms => created.saturating_add(ms),
        },
        forecast_progress: 1.0,
        processing_time_ms: clocked.took_ms,
        forecast_memory_bytes: found.memory_bytes,
        forecast_status: match found.series {
            0 => ForecastStatus::Failed,
            _ => ForecastStatus::Finished,
        },
    };
    Document {
        kind: DocumentKind::ModelForecastRequestStats,
        id: id::forecast_stats(&job.id, &request.id),
        job_id: Arc::from(job.id.as_str()),
        time: start,
        span: job.bucket_span,
        finality: Finality::Final,
        late: None,
        body: Body::ForecastStats(Box::new(stats)),
    }
}

/// What is to be said of the scheduled events that fall into a forecast: models do not learn from them, nor are they told of those to come.
fn without_events(job: &Job, start: BucketStart, end: BucketStart) -> Option<String> {
    let is_within = |event: &&ScheduledEvent| {
        let mut within = event.occurrences.between(start.time(), end.time());
        within.next().is_some()
    };
    let mut names: Vec<&str> = job
        .events
        .iter()
        .filter(is_within)
        .map(|event| event.description.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(EVENTS_NAMED);
    names.truncate(EVENTS_NAMED);
    if names.is_empty() {
        return None;
    }
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "scheduled events fall into this time ({}{more}): what is forecast is how it would be without them",
        names.join(", ")
    ))
}

/// A point as a document.
pub(super) fn point(job: &Job, id: String, at: BucketStart, body: ModelForecast) -> Document {
    Document {
        kind: DocumentKind::ModelForecast,
        id,
        job_id: Arc::from(job.id.as_str()),
        time: at,
        span: job.bucket_span,
        finality: Finality::Final,
        late: None,
        body: Body::ModelForecast(body),
    }
}
