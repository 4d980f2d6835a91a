//! The tracks of all series: who may keep how much.
//!
//! So many points for all series together: few series keep each bucket, many keep what is around their anomalies and the latest buckets. Kept in memory:
//! 40 bytes a point, so 120 MiB of them at most, and 160 KiB a series where there are few.

use super::track::{Sample, Track};
use hashbrown::{Equivalent, HashMap};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Points of all series together.
const POINTS_MAX: usize = 3 << 20;
/// Points of one series.
const TRACK_POINTS: std::ops::RangeInclusive<usize> = 24..=4096;
/// Series that can have the least number of points.
const TRACKS_MAX: usize = POINTS_MAX / 24;
/// The anomalies around which tracks stay exact, of all series together.
const CLOSE_MAX: usize = 512;

/// Whose track it is: a series of a detector, and which of its statistics.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) detector: u16,
    pub(super) statistic: &'static str,
    pub(super) partition: Option<Box<str>>,
    pub(super) by: Option<Box<str>>,
}

/// The same, borrowed from a document. Hashes as [`Key`] does: field by field, in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Hash)]
pub(super) struct KeyRef<'a> {
    pub(super) detector: u16,
    pub(super) statistic: &'static str,
    pub(super) partition: Option<&'a str>,
    pub(super) by: Option<&'a str>,
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.detector == key.detector
            && self.statistic == key.statistic
            && self.partition == key.partition.as_deref()
            && self.by == key.by.as_deref()
    }
}

impl From<&KeyRef<'_>> for Key {
    fn from(key: &KeyRef<'_>) -> Key {
        Key {
            detector: key.detector,
            statistic: key.statistic,
            partition: key.partition.map(Into::into),
            by: key.by.map(Into::into),
        }
    }
}

/// Tracks by series.
#[derive(Default)]
pub(super) struct Tracks {
    tracks: HashMap<Key, Track>,
    /// The scores of the strongest anomalies, as first said.
    strongest: BinaryHeap<Reverse<u64>>,
    /// The bucket in which room was last made.
    cleared: Option<i64>,
    /// Whether a series found no room.
    refused: bool,
}

impl Tracks {
    /// Takes a bucket of a series.
    pub(super) fn push(&mut self, key: &KeyRef<'_>, bucket: i64, sample: &Sample) {
        let most = (POINTS_MAX / self.tracks.len().max(1))
            .clamp(*TRACK_POINTS.start(), *TRACK_POINTS.end());
        let score_min = self.score_min();
        if let Some(track) = self.tracks.get_mut(key) {
            track.push(bucket, sample, most, score_min);
        } else if self.has_room(bucket) {
            let mut track = Track::new(sample);
            track.push(bucket, sample, most, score_min);
            self.tracks.insert(key.into(), track);
        } else {
            self.refused = true;
        }
    }

    /// Notes an anomaly.
    pub(super) fn mark(&mut self, key: &KeyRef<'_>, bucket: i64, score: f64) {
        let Some(track) = self.tracks.get_mut(key) else {
            return;
        };
        if track.mark(bucket, score) {
            // Scores are not negative: their bits are ordered as they are.
            self.strongest.push(Reverse(score.to_bits()));
            if self.strongest.len() > CLOSE_MAX {
                self.strongest.pop();
            }
        }
    }

    /// The least score around which tracks stay exact.
    fn score_min(&self) -> f64 {
        match self.strongest.peek() {
            Some(Reverse(least)) if self.strongest.len() == CLOSE_MAX => f64::from_bits(*least),
            _ => 0.0,
        }
    }

    /// Whether one more series has room; if need be, series that have gone silent and never had an anomaly make it, once a bucket.
    fn has_room(&mut self, bucket: i64) -> bool {
        if self.tracks.len() >= TRACKS_MAX && self.cleared != Some(bucket) {
            self.cleared = Some(bucket);
            let lives = |track: &Track| track.latest().is_some_and(|latest| latest + 2 > bucket);
            self.tracks
                .retain(|_, track| lives(track) || track.score().is_some());
        }
        self.tracks.len() < TRACKS_MAX
    }

    /// The track of a series.
    pub(super) fn get(&self, key: &KeyRef<'_>) -> Option<&Track> {
        self.tracks.get(key)
    }

    /// Whether a series found no room.
    pub(super) fn is_full(&self) -> bool {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Sample = Sample {
        actual: Some(1.0),
        typical: 1.0,
        lower: 0.0,
        upper: 2.0,
    };

    fn key(by: &str) -> KeyRef<'_> {
        KeyRef {
            detector: 0,
            statistic: "mean",
            partition: None,
            by: Some(by),
        }
    }

    #[test]
    fn a_series_is_found_by_what_a_document_says_of_it() {
        let mut tracks = Tracks::default();
        tracks.push(&key("a"), 1, &SAMPLE);
        tracks.push(&key("a"), 2, &SAMPLE);
        tracks.push(&key("b"), 2, &SAMPLE);
        let length = |by: &str| tracks.get(&key(by)).unwrap().readings(0, 10).count();
        assert_eq!(length("a"), 2);
        assert_eq!(length("b"), 1);
        let other = KeyRef {
            statistic: "max",
            ..key("a")
        };
        assert!(tracks.get(&other).is_none());
    }

    #[test]
    fn many_series_share_the_room_and_those_that_went_silent_make_some() {
        let mut tracks = Tracks::default();
        let names: Vec<String> = (0..TRACKS_MAX + 10).map(|at| at.to_string()).collect();
        for name in &names[..TRACKS_MAX] {
            tracks.push(&key(name), 0, &SAMPLE);
        }
        tracks.mark(&key("0"), 0, 80.0);
        tracks.push(&key(&names[TRACKS_MAX]), 0, &SAMPLE);
        assert!(tracks.is_full() && tracks.tracks.len() == TRACKS_MAX);
        for bucket in 1..100 {
            tracks.push(&key("1"), bucket, &SAMPLE);
        }
        assert!(tracks.get(&key("1")).unwrap().readings(0, 100).count() <= 24);
        tracks.push(&key(&names[TRACKS_MAX]), 99, &SAMPLE);
        assert_eq!(
            tracks.tracks.len(),
            3,
            "one with an anomaly, one that lives, the new one"
        );
    }

    #[test]
    fn tracks_stay_exact_around_the_strongest_anomalies_only() {
        let mut tracks = Tracks::default();
        tracks.push(&key("a"), 0, &SAMPLE);
        assert_eq!(tracks.score_min(), 0.0);
        for at in 0..1000 {
            tracks.mark(&key("a"), 100 * at, at as f64 / 10.0);
        }
        assert_eq!(tracks.score_min(), 48.8);
    }
}
