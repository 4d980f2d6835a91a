//! What a detector said over a stretch of history: its records, and how much it judged.
//!
//! Kept in memory: records that score at least [`SCORE_MIN`] when first said, some 50 bytes each; what they share (series, influencers) once.

use super::iso_8601;
use crate::time::{BucketSpan, BucketStart, EventTime};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Fields with their values.
pub type Names = Arc<Vec<(String, String)>>;

/// Records that score less are not kept: nobody would be told of them.
pub const SCORE_MIN: f64 = 1.0;

const DAY_MS: f64 = 86_400_000.0;

/// A record that somebody might have been told of.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Start of its bucket.
    pub start: EventTime,
    /// End of its bucket, exclusive: when it could be told at the earliest.
    pub end: EventTime,
    /// Its initial score, [`SCORE_MIN`] to 100.
    pub score: f64,
    /// Index into [`Heard::series`].
    pub series: usize,
    /// Influencer fields with their values.
    pub influencers: Names,
}

/// Whose records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Series {
    /// `detector_index`.
    pub detector: u64,
    /// `high_mean(latency_ms)`.
    pub what: Arc<str>,
    /// By, over and partition fields with their values.
    #[serde(serialize_with = "as_map")]
    pub fields: Names,
}

/// Fields with their values as an object, for readers of JSON.
pub(super) fn as_map<S: serde::Serializer>(names: &Names, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(names.iter().map(|(field, value)| (field, value)))
}

/// The time that was judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Coverage {
    /// Start of the first bucket.
    #[serde(serialize_with = "iso_8601")]
    pub from: EventTime,
    /// End of the last one.
    #[serde(serialize_with = "iso_8601")]
    pub to: EventTime,
    /// How many buckets.
    pub buckets: u64,
    /// The length of one, milliseconds.
    pub bucket_span_ms: i64,
    /// The most series that the job knew at once.
    pub series: u64,
    /// The time judged, summed over series.
    pub series_days: f64,
    /// The same in milliseconds, exact.
    #[serde(skip)]
    series_ms: u128,
}

impl Coverage {
    /// One more bucket, in which so many series were known.
    pub fn extend(
        coverage: &mut Option<Coverage>,
        start: BucketStart,
        span: BucketSpan,
        series: u64,
    ) {
        let end = span.end_of(start).time();
        let all = coverage.get_or_insert(Coverage {
            from: start.time(),
            to: end,
            buckets: 0,
            bucket_span_ms: span.millis(),
            series: 0,
            series_days: 0.0,
            series_ms: 0,
        });
        all.to = all.to.max(end);
        all.buckets += 1;
        all.series = all.series.max(series);
        all.series_ms += u128::from(series) * span.millis() as u128;
        all.series_days = all.series_ms as f64 / DAY_MS;
    }

    /// Days from the beginning to the end.
    pub fn days(&self) -> f64 {
        (self.to.0 - self.from.0) as f64 / DAY_MS
    }
}

/// All that a detector said.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    alerts: Vec<Alert>,
    series: Vec<Series>,
    index: BTreeMap<Series, usize>,
    influencers: BTreeSet<Names>,
}

impl Heard {
    /// Takes a record; of several words on one series and bucket the first counts.
    pub fn add(
        &mut self,
        series: Series,
        start: EventTime,
        end: EventTime,
        score: f64,
        who: Names,
    ) {
        if score.is_nan() || score < SCORE_MIN {
            return;
        }
        let series = match self.index.get(&series) {
            Some(&at) => at,
            None => {
                self.index.insert(series.clone(), self.series.len());
                self.series.push(series);
                self.series.len() - 1
            }
        };
        let influencers = match self.influencers.get(&who) {
            Some(known) => known.clone(),
            None => {
                self.influencers.insert(who.clone());
                who
            }
        };
        self.alerts.push(Alert {
            start,
            end,
            score,
            series,
            influencers,
        });
    }

    /// Drops what was said twice, in order of series and time; call it when all is heard.
    #[must_use]
    pub fn settled(mut self) -> Heard {
        // Stable: the first word stays in front.
        self.alerts.sort_by_key(|alert| (alert.series, alert.start));
        self.alerts
            .dedup_by_key(|alert| (alert.series, alert.start));
        self
    }

    /// Every record, in order of series and time once [`settled`](Heard::settled).
    pub fn alerts(&self) -> &[Alert] {
        &self.alerts
    }

    /// Every series that had a record.
    pub fn series(&self) -> &[Series] {
        &self.series
    }
}
