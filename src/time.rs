//! Time as the engine knows it: integer milliseconds, half-open buckets aligned to the epoch.
//!
//! Holds: `BucketSpan` is at least one second and a whole number of them; `BucketStart` is a multiple of its span
//! (floor division, so times before 1970 fall into the bucket that begins before them). No clock is read here.

pub(crate) mod civil;
mod zone;

pub use zone::Zone;

use serde::{Deserialize, Serialize};
use std::fmt;

/// An instant of event time: milliseconds since 1970-01-01T00:00:00Z, negative before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventTime(pub i64);

impl EventTime {
    /// The earliest instant accepted from outside: 0001-01-01T00:00:00Z.
    pub const MIN: EventTime = EventTime(-62_135_596_800_000);
    /// The latest instant accepted from outside: 9999-12-31T23:59:59.999Z.
    pub const MAX: EventTime = EventTime(253_402_300_799_999);

    /// Milliseconds since the epoch.
    pub fn millis(self) -> i64 {
        self.0
    }
}

impl fmt::Display for EventTime {
    /// ISO 8601 in UTC, milliseconds shown only when they are not zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self >= EventTime::MIN && *self <= EventTime::MAX {
            let text = civil::text(self.0);
            let length = if self.0 % 1000 == 0 { 19 } else { 23 };
            f.write_str(std::str::from_utf8(&text[..length]).unwrap_or_default())?;
            return f.write_str("Z");
        }
        match chrono::DateTime::from_timestamp_millis(self.0) {
            Some(t) if self.0 % 1000 == 0 => write!(f, "{}", t.format("%Y-%m-%dT%H:%M:%SZ")),
            Some(t) => write!(f, "{}", t.format("%Y-%m-%dT%H:%M:%S%.3fZ")),
            None => write!(f, "{} ms", self.0),
        }
    }
}

/// The length of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BucketSpan {
    ms: i64,
}

impl BucketSpan {
    /// A span of `seconds`; `None` unless it lies in 1 s ..= 10 years.
    pub fn from_seconds(seconds: i64) -> Option<BucketSpan> {
        (1..=315_360_000)
            .contains(&seconds)
            .then_some(BucketSpan { ms: seconds * 1000 })
    }

    /// Milliseconds, at least 1000.
    pub fn millis(self) -> i64 {
        self.ms
    }

    /// Whole seconds, at least 1.
    pub fn seconds(self) -> i64 {
        self.ms / 1000
    }

    /// The bucket that `time` falls into.
    pub fn bucket_of(self, time: EventTime) -> BucketStart {
        BucketStart(time.0.div_euclid(self.ms) * self.ms)
    }

    /// The end (exclusive) of the bucket that begins at `start`: the start of the next one.
    pub fn end_of(self, start: BucketStart) -> BucketStart {
        BucketStart(start.0 + self.ms)
    }

    /// How many spans lie between two bucket starts; negative when `to` is before `from`.
    pub fn buckets_between(self, from: BucketStart, to: BucketStart) -> i64 {
        (to.0 - from.0) / self.ms
    }
}

/// The start of a bucket: milliseconds since the epoch, a multiple of the job's bucket span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BucketStart(pub i64);

impl BucketStart {
    /// Milliseconds since the epoch.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// The same instant as an event time.
    pub fn time(self) -> EventTime {
        EventTime(self.0)
    }
}

impl fmt::Display for BucketStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.time().fmt(f)
    }
}

/// How long after a bucket's end its events may still come: `analysis_config.latency`, milliseconds, at least 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lateness {
    ms: i64,
}

impl Lateness {
    /// An allowed lateness of `seconds`; `None` when negative or above 10 years.
    pub fn from_seconds(seconds: i64) -> Option<Lateness> {
        (0..=315_360_000)
            .contains(&seconds)
            .then_some(Lateness { ms: seconds * 1000 })
    }

    /// Milliseconds, at least 0.
    pub fn millis(self) -> i64 {
        self.ms
    }
}

/// Whether a result is the last word on its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Finality {
    /// The bucket is still open; the result will be replaced.
    Interim,
    /// The bucket is closed.
    Final,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_half_open_and_aligned_to_the_epoch_on_both_sides_of_it() {
        let span = BucketSpan::from_seconds(300).unwrap();
        for (ms, start) in [
            (0, 0),
            (299_999, 0),
            (300_000, 300_000),
            (-1, -300_000),
            (-300_000, -300_000),
        ] {
            assert_eq!(span.bucket_of(EventTime(ms)), BucketStart(start), "{ms}");
        }
    }

    #[test]
    fn a_span_is_one_second_at_least() {
        assert!(BucketSpan::from_seconds(0).is_none() && BucketSpan::from_seconds(-5).is_none());
    }
}
