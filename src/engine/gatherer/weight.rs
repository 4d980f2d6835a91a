//! How much an event counts, and what that adds to `data_counts`.
//!
//! Weights (`summary_count_field_name`, functions.md 2.3.1): a number is rounded to a whole one. 0: the event is as if it had not been,
//! but for being counted as processed. Missing, null or empty: likewise, and it missed a field, but time goes on. Anything
//! else (text, negative, above 2^53): as 0, and it missed a field.

use crate::config::{FieldId, Job};
use crate::engine::bucket::Frontier;
use crate::engine::event::{Event, Reason, Rejection, Value};
use crate::engine::result::DataCounts;
use crate::time::EventTime;

/// Beyond this a summary count is no count: whole numbers above it have no exact `f64`.
const SUMMARY_COUNT_MAX: f64 = 9_007_199_254_740_992.0; // 2^53

/// How much an event counts.
pub(in crate::engine) enum Weight {
    /// As so many events, at least one.
    Events(u64),
    /// Not at all, but its time does.
    Null,
    /// Not at all.
    Zero,
    /// Not at all: what stands in the summary count field is no count.
    Unreadable,
}

/// How much an event counts.
#[inline]
pub(in crate::engine) fn weight_of(job: &Job, event: &Event<'_>) -> Weight {
    let Some(field) = job.summary_count_field else {
        return Weight::Events(1);
    };
    let value = event.value(field);
    let is_null = match value {
        Value::Missing => true,
        Value::Text(text) => text.trim().is_empty(),
        _ => false,
    };
    match value.number().map(f64::round) {
        _ if is_null => Weight::Null,
        Some(0.0) => Weight::Zero,
        Some(weight) if (1.0..=SUMMARY_COUNT_MAX).contains(&weight) => {
            Weight::Events(weight as u64)
        }
        _ => Weight::Unreadable,
    }
}

/// Why an event is out of time, and what that adds to the counts.
pub(in crate::engine) fn refusal(
    job: &Job,
    frontier: &Frontier,
    event: &Event<'_>,
    in_calendar: bool,
) -> (Rejection, DataCounts) {
    let time = event.time;
    let (reason, detail) = match frontier.closed_until().zip(frontier.watermark()) {
        Some((until, watermark)) if in_calendar => {
            let span = job.bucket_span;
            let behind_ms = watermark.0 - span.end_of(span.bucket_of(time)).0;
            let enough_s = (job.lateness.millis() + behind_ms) / 1000 + 1;
            let detail = format!(
                "event time {time}, but all before {until} is closed; a latency of {enough_s}s keeps such an event"
            );
            (Reason::Late, detail)
        }
        _ => {
            let (first, last) = (EventTime::MIN, EventTime::MAX);
            let detail = format!("event time {time} is not between {first} and {last}");
            (Reason::BadTime, detail)
        }
    };
    let mut counts = DataCounts {
        input_bytes: u64::from(event.raw_bytes),
        input_field_count: u64::from(event.raw_fields),
        ..DataCounts::default()
    };
    counts.rejected[reason as usize] += 1;
    let rejection = Rejection {
        reason,
        detail,
        raw_bytes: event.raw_bytes,
    };
    (rejection, counts)
}

/// Counts an accepted event, which missed so many fields more than it lacks. `made_up` is a field that no event has to have.
#[inline]
pub(super) fn count(
    counts: &mut DataCounts,
    job: &Job,
    event: &Event<'_>,
    made_up: Option<FieldId>,
    missed: u64,
    time: Option<EventTime>,
) {
    // What only the feed reads is no part of the analysis.
    let own = job.feed.own_fields + job.feed.presences.len();
    let analysed = &event.values[..event.values.len().saturating_sub(own)];
    let missing = analysed
        .iter()
        .filter(|value| matches!(value, Value::Missing));
    let mut missing = missing.count() as u64 + missed;
    let mut fields = analysed.len() as u64;
    if let Some(field) = made_up {
        fields -= 1;
        missing -= u64::from(matches!(event.value(field), Value::Missing));
    }
    counts.processed_record_count += 1;
    counts.processed_field_count += fields.saturating_sub(missing);
    counts.missing_field_count += missing;
    counts.input_bytes += u64::from(event.raw_bytes);
    counts.input_field_count += u64::from(event.raw_fields);
    if let Some(time) = time {
        counts.earliest_record = Some(counts.earliest_record.map_or(time, |first| first.min(time)));
        counts.latest_record = counts.latest_record.max(Some(time));
    }
}
