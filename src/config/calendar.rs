//! Events that are known beforehand: maintenance, holidays, load tests. When each of them is, whom it concerns, and what it does.
//!
//! An event acts on a bucket that any of it falls into, like a rule on every series that it concerns. Its occurrences are worked out once, by
//! `config::raw::recurrence`; here they are only looked up. Source: job-config.md 1.10. Units: milliseconds since the epoch.
//! Checked: the tests below, `tests/engine/calendars.rs`.

use super::rules::{Actions, Scope, SplitValues};
use crate::time::EventTime;
use std::sync::Arc;

/// An event of a calendar that a job is in.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduledEvent {
    /// `description`: what buckets call it.
    pub description: String,
    /// When it is.
    pub occurrences: Occurrences,
    /// What it does.
    pub actions: Actions,
    /// By detector: which of its series it concerns, all of the scope; `None`: none of them.
    pub about: Vec<Option<Vec<Scope>>>,
}

impl ScheduledEvent {
    /// Whether it concerns a series of a detector.
    pub fn is_about(&self, detector: usize, values: &SplitValues<'_>) -> bool {
        let scope = self.about.get(detector).and_then(Option::as_ref);
        scope.is_some_and(|scope| scope.iter().all(|one| one.holds(values)))
    }
}

/// When an event is: half-open spans of time, by their beginnings; they may overlap.
#[derive(Clone, Debug, PartialEq)]
pub struct Occurrences {
    spans: Arc<[(EventTime, EventTime)]>,
    longest_ms: i64,
}

impl Occurrences {
    /// Spans in order, none of them empty.
    pub fn new(spans: Vec<(EventTime, EventTime)>) -> Occurrences {
        debug_assert!(spans.is_sorted() && spans.iter().all(|(from, to)| from < to));
        let length = |(from, to): &(EventTime, EventTime)| to.millis() - from.millis();
        Occurrences {
            longest_ms: spans.iter().map(length).max().unwrap_or(0),
            spans: spans.into(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Those of which something lies in `from..to`.
    pub fn between(
        &self,
        from: EventTime,
        to: EventTime,
    ) -> impl Iterator<Item = (EventTime, EventTime)> + '_ {
        let earliest = from.millis().saturating_sub(self.longest_ms);
        let first = self
            .spans
            .partition_point(|(begins, _)| begins.millis() < earliest);
        let begun = self.spans[first..]
            .iter()
            .take_while(move |(begins, _)| *begins < to);
        begun.copied().filter(move |(_, ends)| *ends > from)
    }

    /// Whether one begins in `from..to`.
    pub fn begins_in(&self, from: EventTime, to: EventTime) -> bool {
        let at = self.spans.partition_point(|(begins, _)| *begins < from);
        self.spans.get(at).is_some_and(|(begins, _)| *begins < to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_looked_up_is_what_overlaps(
            mut spans in prop::collection::vec((0i64..200, 1i64..60), 0..20), from in 0i64..250, length in 1i64..40,
        ) {
            spans.sort_unstable();
            let spans: Vec<_> = spans.iter().map(|(at, long)| (EventTime(*at), EventTime(at + long))).collect();
            let mut spans_in_order = spans.clone();
            spans_in_order.sort();
            let occurrences = Occurrences::new(spans_in_order.clone());
            let (from, to) = (EventTime(from), EventTime(from + length));
            let found: Vec<_> = occurrences.between(from, to).collect();
            let expected: Vec<_> = spans_in_order.iter().copied().filter(|(a, b)| *a < to && *b > from).collect();
            prop_assert_eq!(found, expected);
            let begins = spans.iter().any(|(a, _)| *a >= from && *a < to);
            prop_assert_eq!(occurrences.begins_in(from, to), begins);
        }
    }
}
