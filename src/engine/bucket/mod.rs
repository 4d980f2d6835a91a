//! Which bucket an event belongs to, and when a bucket is closed.
//!
//! Half-open spans aligned to the epoch; milliseconds. The watermark is the largest event time seen minus the allowed lateness (or an
//! instant that the shell vouches for). Every bucket whose end it has reached is closed, empty ones too, so a gap of years is one step.
//! Holds: the watermark and the closed instant never retreat; open buckets are ordered by start, each once, and none lies before the
//! closed instant. Source: results.md 3.14. Checked: tests below and tests/gatherer.rs.

use crate::time::{BucketSpan, BucketStart, EventTime, Lateness};
use std::collections::VecDeque;

/// How far event time has come.
pub(crate) struct Frontier {
    span: BucketSpan,
    lateness: Lateness,
    watermark: Option<EventTime>,
    closed_until: Option<BucketStart>,
}

impl Frontier {
    /// Nothing seen.
    pub(crate) fn new(span: BucketSpan, lateness: Lateness) -> Frontier {
        Frontier {
            span,
            lateness,
            watermark: None,
            closed_until: None,
        }
    }

    /// One that had come so far before.
    pub(crate) fn resume(self, watermark: Option<EventTime>) -> Frontier {
        Frontier {
            watermark,
            closed_until: watermark.map(|time| self.span.bucket_of(time)),
            ..self
        }
    }

    /// The largest event time seen minus the lateness; never retreats.
    pub(crate) fn watermark(&self) -> Option<EventTime> {
        self.watermark
    }

    /// Every bucket that begins before this instant is closed.
    pub(crate) fn closed_until(&self) -> Option<BucketStart> {
        self.closed_until
    }

    /// Whether the bucket of `time` is closed.
    #[inline]
    pub(crate) fn is_late(&self, time: EventTime) -> bool {
        self.closed_until.is_some_and(|until| time < until.time())
    }

    /// An event happened: the new closed instant if it closes anything.
    #[inline]
    pub(crate) fn observe(&mut self, time: EventTime) -> Option<BucketStart> {
        self.raise(EventTime(time.0 - self.lateness.millis()))
    }

    /// The watermark is at least `time`: the new closed instant if that closes anything.
    #[inline]
    pub(crate) fn raise(&mut self, time: EventTime) -> Option<BucketStart> {
        if self.watermark >= Some(time) {
            return None;
        }
        self.watermark = Some(time);
        match self.closed_until {
            Some(until) if time < self.span.end_of(until).time() => None,
            _ => {
                self.closed_until = Some(self.span.bucket_of(time));
                self.closed_until
            }
        }
    }
}

/// The open buckets and what is in them, by start.
pub(crate) struct OpenBuckets<T> {
    span: BucketSpan,
    buckets: VecDeque<(BucketStart, T)>,
    /// Where the last event went: most go to the same one.
    last: usize,
}

impl<T> OpenBuckets<T> {
    /// None open.
    pub(crate) fn new(span: BucketSpan) -> OpenBuckets<T> {
        OpenBuckets {
            span,
            buckets: VecDeque::new(),
            last: 0,
        }
    }

    /// The contents of the bucket of `time`, opened with `open` if it was not.
    #[inline]
    pub(crate) fn at(&mut self, time: EventTime, open: impl FnOnce() -> T) -> &mut T {
        let span = self.span;
        let holds = |start: BucketStart| start.time() <= time && time < span.end_of(start).time();
        if !self
            .buckets
            .get(self.last)
            .is_some_and(|(start, _)| holds(*start))
        {
            let start = span.bucket_of(time);
            self.last = match self
                .buckets
                .binary_search_by_key(&start, |(start, _)| *start)
            {
                Ok(at) => at,
                Err(at) => {
                    self.buckets.insert(at, (start, open()));
                    at
                }
            };
        }
        &mut self.buckets[self.last].1
    }

    /// Takes out the oldest bucket, if it begins before `until`.
    pub(crate) fn pop_before(&mut self, until: BucketStart) -> Option<(BucketStart, T)> {
        if self.buckets.front()?.0 >= until {
            return None;
        }
        self.last = self.last.saturating_sub(1);
        self.buckets.pop_front()
    }

    /// The open buckets, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &(BucketStart, T)> {
        self.buckets.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frontier(span_s: i64, lateness_s: i64) -> Frontier {
        Frontier::new(
            BucketSpan::from_seconds(span_s).unwrap(),
            Lateness::from_seconds(lateness_s).unwrap(),
        )
    }

    #[test]
    fn a_bucket_closes_when_the_watermark_reaches_its_end_and_not_before() {
        let mut frontier = frontier(10, 5);
        for (seconds_tenths, closes) in [
            (0, Some(-10_000)),
            (50, Some(0)),
            (149, None),
            (150, Some(10_000)),
            (20, None),
            (10_000, Some(990_000)),
        ] {
            let closed = frontier.observe(EventTime(seconds_tenths * 100));
            assert_eq!(closed.map(|start| start.0), closes, "{seconds_tenths}");
        }
    }

    #[test]
    fn the_watermark_never_retreats_and_the_ends_of_time_do_not_overflow() {
        let mut frontier = frontier(315_360_000, 315_360_000);
        let _ = frontier.observe(EventTime::MIN);
        let _ = frontier.observe(EventTime::MAX);
        let reached = frontier.watermark();
        assert_eq!(frontier.raise(EventTime(0)), None);
        assert_eq!(frontier.watermark(), reached);
        assert!(frontier.is_late(EventTime(0)) && !frontier.is_late(EventTime::MAX));
    }

    #[test]
    fn open_buckets_stay_in_order_whatever_the_order_of_their_events() {
        let mut open = OpenBuckets::new(BucketSpan::from_seconds(1).unwrap());
        for ms in [5_500, 1_000, 5_999, 3_000, -1, 1_999, 6_000] {
            *open.at(EventTime(ms), || 0) += 1;
        }
        let mut closed = Vec::new();
        while let Some((start, events)) = open.pop_before(BucketStart(5_000)) {
            closed.push((start.0, events));
        }
        assert_eq!(closed, [(-1_000, 1), (1_000, 2), (3_000, 1)]);
        assert_eq!(*open.at(EventTime(5_000), || 0), 2);
        assert_eq!(open.iter().count(), 2);
    }
}
