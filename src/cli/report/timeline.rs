//! The scores and event counts of all buckets, for the line of time at the top of the page.
//!
//! A bucket's later word replaces the earlier one. Of more than a quarter of a million buckets, neighbours are
//! kept together, with the highest score that was said of any: some 16 MB at most.

use std::collections::BTreeMap;

/// Entries that are kept.
const ENTRIES_MAX: usize = 1 << 18;

/// What is known of a bucket, or of some neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Moment {
    pub(super) score: f32,
    pub(super) events: u64,
}

/// All buckets.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    span_ms: i64,
    /// Buckets an entry.
    stride: i64,
    moments: BTreeMap<i64, Moment>,
    end_ms: i64,
}

impl Timeline {
    /// An empty one of buckets of `span_ms`.
    pub(super) fn new(span_ms: i64) -> Timeline {
        Timeline {
            span_ms,
            stride: 1,
            moments: BTreeMap::new(),
            end_ms: i64::MIN,
        }
    }

    /// Takes the bucket that begins at `start_ms`.
    pub(super) fn add(&mut self, start_ms: i64, score: f64, events: u64) {
        let moment = Moment {
            score: score as f32,
            events,
        };
        let is_new = start_ms >= self.end_ms;
        self.end_ms = self.end_ms.max(start_ms + self.span_ms);
        match self.stride {
            1 => drop(self.moments.insert(start_ms, moment)),
            _ => self.fold(start_ms, moment, is_new),
        }
        if self.moments.len() > ENTRIES_MAX {
            self.stride *= 2;
            for (start_ms, moment) in std::mem::take(&mut self.moments) {
                self.fold(start_ms, moment, true);
            }
        }
    }

    fn fold(&mut self, start_ms: i64, moment: Moment, is_new: bool) {
        let width_ms = self.span_ms * self.stride;
        let entry = start_ms.div_euclid(width_ms) * width_ms;
        let entry = self.moments.entry(entry).or_default();
        entry.score = entry.score.max(moment.score);
        entry.events += if is_new { moment.events } else { 0 };
    }

    /// When the first bucket begins and the last one ends; `None` without buckets.
    pub(super) fn range_ms(&self) -> Option<(i64, i64)> {
        let (&start_ms, _) = self.moments.first_key_value()?;
        Some((start_ms, self.end_ms))
    }

    /// The entries in order of time, by their starts.
    pub(super) fn moments(&self) -> impl Iterator<Item = (i64, Moment)> {
        self.moments
            .iter()
            .map(|(&start_ms, &moment)| (start_ms, moment))
    }

    /// How many buckets stand together in an entry.
    pub(super) fn stride(&self) -> i64 {
        self.stride
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_word_on_a_bucket_counts() {
        let mut timeline = Timeline::new(1000);
        timeline.add(0, 90.0, 3);
        timeline.add(1000, 5.0, 4);
        timeline.add(0, 30.0, 3);
        let scores: Vec<f32> = timeline.moments().map(|(_, moment)| moment.score).collect();
        assert_eq!(scores, [30.0, 5.0]);
        assert_eq!(timeline.range_ms(), Some((0, 2000)));
    }

    #[test]
    fn many_buckets_are_kept_together_with_their_highest_score_and_all_their_events() {
        let mut timeline = Timeline::new(1000);
        let buckets = 3 * ENTRIES_MAX as i64;
        for bucket in 0..buckets {
            let score = if bucket == 77_777 { 99.0 } else { 1.0 };
            timeline.add(bucket * 1000, score, 2);
            timeline.add(bucket * 1000, score, 2);
        }
        assert_eq!(timeline.stride(), 4);
        assert!(timeline.moments.len() <= ENTRIES_MAX);
        assert_eq!(timeline.range_ms(), Some((0, buckets * 1000)));
        let highest = timeline
            .moments()
            .max_by(|a, b| a.1.score.total_cmp(&b.1.score));
        assert_eq!(highest.unwrap().0, 77_776_000);
        let events: u64 = timeline.moments().map(|(_, moment)| moment.events).sum();
        assert_eq!(events, 2 * buckets as u64);
    }
}
