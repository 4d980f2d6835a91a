//! What a task measures of itself: how late events are, how long judging a bucket takes, how many series were let go; and, for whoever
//! traces, each stretch of work on buckets.
//!
//! Lateness is event time against the largest event time seen in the partition before it, milliseconds; a closing is wall clock. Nothing here
//! reaches a result. Holds: an event costs a comparison, and a clock is read only where a bucket is about to close.
//! Checked by: the tests below, and tests/kafka/operations.rs.
#![allow(
    clippy::disallowed_methods,
    reason = "how long something took is told to a person only"
)]

use crate::config::Job;
use crate::time::{BucketSpan, BucketStart, EventTime};
use std::time::{Duration, Instant};

/// Upper bounds of the lateness histogram, milliseconds; what is later is counted beyond them.
pub const LATENESS_BOUNDS_MS: [i64; 10] = [
    0, 100, 1_000, 5_000, 15_000, 60_000, 300_000, 900_000, 3_600_000, 86_400_000,
];

/// What was measured since the last look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Events by lateness: within each bound and above the one before, then those beyond the last.
    pub lateness: [u64; LATENESS_BOUNDS_MS.len() + 1],
    /// The sum of their latenesses.
    pub lateness_ms: u64,
    /// How long each bucket took to be judged.
    pub closings: Vec<Duration>,
    /// Series let go because they were not seen any more.
    pub pruned: u64,
}

impl Measured {
    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        self.closings.is_empty() && self.pruned == 0 && self.lateness.iter().all(|n| *n == 0)
    }
}

/// Stretches of work kept of one batch; those beyond are counted.
const STEPS_MAX: usize = 100;

/// What was done to buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Closed by their gatherer.
    Close,
    /// Judged; where the stages are fused, all of it.
    Judge,
    /// Made results.
    RollUp,
}

/// A stretch of work on buckets that were ready together.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) work: Work,
    pub(crate) first: BucketStart,
    pub(crate) last: BucketStart,
    /// At least 1.
    pub(crate) buckets: u32,
    /// Events (or summary counts) in them.
    pub(crate) events: u64,
    pub(crate) began: Instant,
    pub(crate) took: Duration,
}

impl Step {
    /// `None` if no clock ran or no bucket was ready.
    fn of(
        work: Work,
        began: Option<Instant>,
        buckets: impl IntoIterator<Item = (BucketStart, u64)>,
    ) -> Option<Step> {
        let (began, mut step) = (began?, None);
        for (start, events) in buckets {
            let one = Step {
                work,
                first: start,
                last: start,
                buckets: 0,
                events: 0,
                began,
                took: Duration::ZERO,
            };
            let step = step.get_or_insert(one);
            step.last = start;
            step.buckets += 1;
            step.events += events;
        }
        step.map(|step| Step {
            took: began.elapsed(),
            ..step
        })
    }
}

/// The stretches of work since the last look.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    pub(crate) kept: Vec<Step>,
    /// How many there were beyond.
    pub(crate) left_out: u64,
}

/// Measures one task.
pub(super) struct Meter {
    lateness_ms: i64,
    span: BucketSpan,
    measured: Measured,
    pruned_before: u64,
    /// `None`: nobody traces.
    steps: Option<Steps>,
}

impl Meter {
    pub(super) fn of(job: &Job) -> Meter {
        Meter {
            lateness_ms: job.lateness.millis(),
            span: job.bucket_span,
            measured: Measured::default(),
            pruned_before: 0,
            steps: None,
        }
    }

    /// From now on stretches of work are remembered, for [`Meter::take_steps`].
    pub(super) fn remember_steps(&mut self) {
        self.steps = Some(Steps::default());
    }

    /// Those since the last call.
    pub(super) fn take_steps(&mut self) -> Steps {
        self.steps.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The time, if stretches of work are remembered.
    pub(super) fn begin_step(&self) -> Option<Instant> {
        self.steps.is_some().then(Instant::now)
    }

    /// Before an event is handed over, `watermark` being what it was till then; the beginning, if the event closes a bucket.
    pub(super) fn event(
        &mut self,
        time: EventTime,
        watermark: Option<EventTime>,
    ) -> Option<Instant> {
        let late_ms = match watermark {
            None => 0,
            Some(watermark) => watermark.millis() + self.lateness_ms - time.millis(),
        };
        let measured = &mut self.measured;
        if late_ms <= 0 {
            measured.lateness[0] += 1;
        } else {
            let at = LATENESS_BOUNDS_MS.partition_point(|bound| *bound < late_ms);
            measured.lateness[at] += 1;
            measured.lateness_ms += late_ms.unsigned_abs();
        }
        let moves_to = EventTime(time.millis() - self.lateness_ms);
        let closes = late_ms < 0
            && watermark
                .is_some_and(|was| self.span.bucket_of(was) < self.span.bucket_of(moves_to));
        closes.then(Instant::now)
    }

    /// These buckets, with the events in them, were judged since then.
    pub(super) fn judged(
        &mut self,
        began: Option<Instant>,
        buckets: impl IntoIterator<Item = (BucketStart, u64)>,
    ) {
        if let Some(step) = Step::of(Work::Judge, began, buckets) {
            let each = step.took / step.buckets;
            let closings = (0..step.buckets).map(|_| each);
            self.measured.closings.extend(closings);
            self.note(step);
        }
    }

    /// Something else was done to these buckets since then.
    pub(super) fn worked(
        &mut self,
        work: Work,
        began: Option<Instant>,
        buckets: impl IntoIterator<Item = (BucketStart, u64)>,
    ) {
        if self.steps.is_some()
            && let Some(step) = Step::of(work, began, buckets)
        {
            self.note(step);
        }
    }

    fn note(&mut self, step: Step) {
        match &mut self.steps {
            Some(steps) if steps.kept.len() < STEPS_MAX => steps.kept.push(step),
            Some(steps) => steps.left_out += 1,
            None => {}
        }
    }

    /// Takes what was measured, `pruned` being the number that the judge has let go by now.
    pub(super) fn take(&mut self, pruned: u64) -> Measured {
        let mut measured = std::mem::take(&mut self.measured);
        measured.pruned = pruned - self.pruned_before;
        self.pruned_before = pruned;
        measured
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_against_the_newest_event_and_only_an_event_that_closes_a_bucket_starts_the_clock()
     {
        let job = Job::from_text(
            r#"{"job_id": "a", "analysis_config": {"bucket_span": "10s", "latency": "5s", "detectors": [{"function": "count"}]}, "data_description": {"time_field": "t"}}"#,
            "a.json",
        )
        .unwrap();
        let mut meter = Meter::of(&job);
        let mut newest = None;
        let mut at = |meter: &mut Meter, ms: i64| {
            let watermark = newest.map(|newest: i64| EventTime(newest - 5_000));
            newest = newest.max(Some(ms));
            meter.event(EventTime(ms), watermark).is_some()
        };
        let started: Vec<bool> = [1_000, 9_000, 8_950, 4_000, 14_999, 15_000, 15_000, 40_000]
            .map(|ms| at(&mut meter, ms))
            .into();
        assert_eq!(
            started,
            [false, true, false, false, false, true, false, true]
        );
        let began = Instant::now();
        let buckets = |count: i64| {
            let span = job.bucket_span;
            (0..count).map(move |n| (span.bucket_of(EventTime(n * 10_000)), 7))
        };
        meter.judged(Some(began), buckets(2));
        meter.judged(None, buckets(3));
        meter.judged(Some(began), buckets(0));
        assert!(meter.take_steps().kept.is_empty(), "nobody traces");
        let measured = meter.take(7);
        assert_eq!(measured.lateness[..5], [6, 1, 0, 1, 0]);
        assert_eq!(measured.lateness_ms, 50 + 5_000);
        assert_eq!((measured.closings.len(), measured.pruned), (2, 7));
        assert!(meter.take(7).is_empty());

        meter.remember_steps();
        for _ in 0..STEPS_MAX + 5 {
            meter.judged(Some(began), buckets(2));
        }
        meter.worked(Work::RollUp, None, buckets(2));
        let steps = meter.take_steps();
        assert_eq!((steps.kept.len(), steps.left_out), (STEPS_MAX, 5));
        let step = &steps.kept[0];
        assert_eq!((step.work, step.buckets, step.events), (Work::Judge, 2, 14));
        assert_eq!((step.first.millis(), step.last.millis()), (0, 10_000));
        assert!(meter.take_steps().kept.is_empty());
    }
}
