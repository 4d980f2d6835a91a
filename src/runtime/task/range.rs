//! The part of event time that a replay looks at: everything outside of it is as if it had not been sent.
//!
//! Milliseconds since the epoch, half-open. Holds: all three are aligned to the job's bucket span, so that every bucket is whole.
//! What lies in the warm-up before the range is learnt, and no result of it is written.
//! Where reading begins is found by the messages' own timestamps (an event is never written before it happens); where it ends, by event
//! time: when an event is as late after `to` as the job's lateness allows, nothing of the range can follow in its partition.

use crate::time::{BucketSpan, BucketStart, EventTime, Lateness};

/// Whole buckets from one instant to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The start of the first bucket that is learnt; not after `from`, and the same where there is no warm-up.
    pub warm_up_from: EventTime,
    /// The start of the first bucket that results are written of.
    pub from: EventTime,
    /// The end of the last.
    pub to: EventTime,
}

/// Where an event lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    Within,
    /// After the end, but an event of the range may still come.
    JustAfter,
    /// So far after the end that all of the range has been read.
    Beyond,
}

impl Range {
    /// The whole buckets between two instants; `None` when there is none.
    pub fn of_whole_buckets(from: EventTime, to: EventTime, span: BucketSpan) -> Option<Range> {
        let first = span.bucket_of(from);
        let first = match first.time() < from {
            true => span.end_of(first),
            false => first,
        };
        let end = span.bucket_of(to);
        (first < end).then_some(Range {
            warm_up_from: first.time(),
            from: first.time(),
            to: end.time(),
        })
    }

    /// The same after the whole buckets of the `warm_up_ms` milliseconds before it.
    pub fn warmed_up(self, warm_up_ms: i64, span: BucketSpan) -> Range {
        let before = EventTime(self.from.millis().saturating_sub(warm_up_ms.max(0)));
        let whole = Range::of_whole_buckets(before, self.from, span);
        Range {
            warm_up_from: whole.map_or(self.from, |warm_up| warm_up.from),
            ..self
        }
    }

    /// The last bucket that is only learnt; `None`: there is no warm-up.
    pub(crate) fn silent_until(self, span: BucketSpan) -> Option<BucketStart> {
        let last = EventTime(self.from.millis() - 1);
        (self.warm_up_from < self.from).then(|| span.bucket_of(last))
    }

    pub(super) fn side(self, time: EventTime, lateness: Lateness) -> Side {
        if time < self.warm_up_from {
            Side::Before
        } else if time < self.to {
            Side::Within
        } else if time.millis() < self.to.millis().saturating_add(lateness.millis()) {
            Side::JustAfter
        } else {
            Side::Beyond
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_the_whole_buckets_within_it() {
        let span = BucketSpan::from_seconds(60).unwrap();
        let range = |from, to| {
            let range = Range::of_whole_buckets(EventTime(from), EventTime(to), span)?;
            Some((range.from.millis(), range.to.millis()))
        };
        assert_eq!(range(0, 120_000), Some((0, 120_000)));
        assert_eq!(range(1, 179_999), Some((60_000, 120_000)));
        assert_eq!(range(1, 119_999), None, "no whole bucket");
        assert_eq!(range(120_000, 60_000), None, "ends before it begins");
    }

    #[test]
    fn a_warm_up_is_the_whole_buckets_of_its_length_before_the_range() {
        let span = BucketSpan::from_seconds(60).unwrap();
        let range = Range::of_whole_buckets(EventTime(600_000), EventTime(900_000), span).unwrap();
        let warmed = |ms| range.warmed_up(ms, span);
        for (ms, from, silent) in [
            (0, 600_000, None),
            (59_999, 600_000, None),
            (60_000, 540_000, Some(540_000)),
            (150_000, 480_000, Some(540_000)),
        ] {
            assert_eq!(warmed(ms).warm_up_from.millis(), from, "{ms}");
            let until = warmed(ms).silent_until(span);
            assert_eq!(until.map(BucketStart::millis), silent, "{ms}");
            assert_eq!((warmed(ms).from, warmed(ms).to), (range.from, range.to));
        }
        let lateness = Lateness::from_seconds(0).unwrap();
        let side = |time| warmed(60_000).side(EventTime(time), lateness);
        assert_eq!((side(539_999), side(540_000)), (Side::Before, Side::Within));
    }

    #[test]
    fn an_event_within_the_lateness_after_the_end_does_not_end_the_reading() {
        let range = Range {
            warm_up_from: EventTime(60_000),
            from: EventTime(60_000),
            to: EventTime(120_000),
        };
        let lateness = Lateness::from_seconds(10).unwrap();
        for (time, side) in [
            (59_999, Side::Before),
            (60_000, Side::Within),
            (119_999, Side::Within),
            (120_000, Side::JustAfter),
            (129_999, Side::JustAfter),
            (130_000, Side::Beyond),
        ] {
            assert_eq!(range.side(EventTime(time), lateness), side, "{time}");
        }
    }
}
