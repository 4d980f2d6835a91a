//! `tidewatch.late_revision_window`: how far behind the watermark an event may be and still re-open its bucket's result.
//!
//! Holds: what is read is 0 or a whole number of buckets, [`Extensions::LATE_REVISION_BUCKETS_MAX`] at the most. Checked: `tests/config`.

use super::analysis::{Analysis, TIME_MS_MAX};
use super::datafeed::RawDatafeed;
use super::object::{Grain, Object};
use super::sections::RawExtensions;
use crate::config::extensions::Extensions;
use crate::config::time_text::TimeText;

/// The key.
pub(super) const KEY: &str = "late_revision_window";

/// Reads it; `None` when it is not there or wrong (which is noted).
pub(super) fn read(object: &Object<'_>, analysis: Option<&Analysis>) -> Option<TimeText> {
    let window = object.time(KEY, Grain::Millis, 0..=TIME_MS_MAX)?;
    let Some(span) = analysis.and_then(|analysis| analysis.bucket_span.as_ref()) else {
        return Some(window);
    };
    let most = Extensions::LATE_REVISION_BUCKETS_MAX;
    if window.ms % span.ms != 0 {
        let of = |buckets: i64| TimeText::from_seconds(buckets * span.ms / 1000).text;
        let next = match window.ms / span.ms {
            0 => format!("{:?} is", of(1)),
            below => format!("{:?} and {:?} are", of(below), of(below + 1)),
        };
        let (text, span) = (&window.text, &span.text);
        let message = format!("{text:?} is not a multiple of the bucket span, {span}; {next}");
        object.wrong(KEY, message);
    } else if window.ms / span.ms > most {
        let longest = TimeText::from_seconds(most * span.ms / 1000).text;
        let message = format!(
            "{:?} is {} buckets; at most {most}, which are \"{longest}\"",
            window.text,
            window.ms / span.ms
        );
        object.wrong(KEY, message);
    } else {
        return Some(window);
    }
    None
}

/// Differences of counters are taken from one reading to the next: one that comes late would change all that came after it.
pub(super) fn check_feed(object: &Object<'_>, own: &RawExtensions, feed: &RawDatafeed) {
    let aggregated = feed.aggregated.as_ref();
    let counts = aggregated.is_some_and(|made| made.counters.is_some());
    if own.values.late_revision_ms > 0 && counts {
        let message = "does not go with an aggregation of differences: a counter's late reading would change every difference after it";
        object.wrong_at(format!("tidewatch.{KEY}"), message.to_owned());
    }
}
