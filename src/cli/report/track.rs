//! What one series did: its values, what was expected, and the bounds, within so much memory.
//!
//! A track keeps every bucket while it can. When it has more points than it may, it merges them within cells of ever more buckets, except
//! those of the latest buckets and those around its anomalies: what is looked at closely stays exact, the rest is what a chart of the whole can show.
//! Holds: points are in order and do not overlap; a merged point spans all that its parts did. Values are 32-bit offsets from the
//! first value, so that a small spread on a high level is still seen.

/// Around an anomaly this many buckets stay exact before it and after it.
pub(super) const CONTEXT_BEFORE: i64 = 64;
pub(super) const CONTEXT_AFTER: i64 = 24;
/// Records of one series that are so near are one anomaly.
const APART_BUCKETS: i64 = 12;
/// The most anomalies around which a track stays exact.
const MARKS_MAX: usize = 8;

/// Some adjacent buckets of a series. Numbers without a value are NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// The first bucket and the one after the last, counted in spans since the epoch.
    pub(super) first: i64,
    pub(super) end: i64,
    /// The extremes of the value; NaN where no bucket had one.
    low: f32,
    high: f32,
    typical: f32,
    lower: f32,
    upper: f32,
}

/// A bucket's values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) actual: Option<f64>,
    pub(super) typical: f64,
    pub(super) lower: f64,
    pub(super) upper: f64,
}

/// A point in the series' own numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reading {
    pub(super) first: i64,
    pub(super) end: i64,
    /// Extremes of the value, where there was one.
    pub(super) range: Option<(f64, f64)>,
    pub(super) typical: f64,
    pub(super) lower: f64,
    pub(super) upper: f64,
}

/// An anomaly of the series: from bucket to bucket, and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mark {
    first: i64,
    last: i64,
    score: f64,
}

/// The points of a series.
#[derive(Clone, Debug)]
pub(super) struct Track {
    base: f64,
    points: Vec<Point>,
    marks: Vec<Mark>,
    /// Buckets a cell: what is merged is merged within one.
    cell: i64,
}

impl Point {
    fn merge(&mut self, later: &Point) {
        let (mine, theirs) = (
            (self.end - self.first) as f32,
            (later.end - later.first) as f32,
        );
        self.end = later.end;
        // min and max pass NaN over.
        self.low = self.low.min(later.low);
        self.high = self.high.max(later.high);
        self.typical += (later.typical - self.typical) * (theirs / (mine + theirs));
        self.lower = self.lower.min(later.lower);
        self.upper = self.upper.max(later.upper);
    }
}

impl Reading {
    /// Joins a later one to it: extremes, and the mean of what was expected.
    pub(super) fn merge(&mut self, later: &Reading) {
        let (mine, theirs) = (
            (self.end - self.first) as f64,
            (later.end - later.first) as f64,
        );
        self.end = later.end;
        self.range = match (self.range, later.range) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (one, other) => one.or(other),
        };
        self.typical += (later.typical - self.typical) * (theirs / (mine + theirs));
        self.lower = self.lower.min(later.lower);
        self.upper = self.upper.max(later.upper);
    }
}

impl Track {
    /// An empty one; values are kept relative to that of `first`.
    pub(super) fn new(first: &Sample) -> Track {
        Track {
            base: first.actual.unwrap_or(first.typical),
            points: Vec::new(),
            marks: Vec::new(),
            cell: 1,
        }
    }

    /// Takes the next bucket, and merges some when there are more than `most` points.
    pub(super) fn push(&mut self, bucket: i64, sample: &Sample, most: usize, score_min: f64) {
        if self.latest().is_some_and(|latest| bucket <= latest) {
            return; // told again
        }
        if self.points.len() == self.points.capacity() && 2 * self.points.len() > most {
            // Doubling would take room that is never used.
            self.points
                .reserve_exact((most + 1).saturating_sub(self.points.len()).max(1));
        }
        let offset = |value: f64| (value - self.base) as f32;
        let actual = sample.actual.map_or(f32::NAN, offset);
        self.points.push(Point {
            first: bucket,
            end: bucket + 1,
            low: actual,
            high: actual,
            typical: offset(sample.typical),
            lower: offset(sample.lower),
            upper: offset(sample.upper),
        });
        if self.points.len() > most {
            self.thin(most, score_min);
        }
    }

    /// The latest bucket.
    pub(super) fn latest(&self) -> Option<i64> {
        self.points.last().map(|point| point.end - 1)
    }

    /// The highest score of an anomaly in it.
    pub(super) fn score(&self) -> Option<f64> {
        self.marks.iter().map(|mark| mark.score).reduce(f64::max)
    }

    /// Notes an anomaly in `bucket`; whether it is a new one.
    pub(super) fn mark(&mut self, bucket: i64, score: f64) -> bool {
        let near = |mark: &&mut Mark| {
            (mark.first - APART_BUCKETS..=mark.last + APART_BUCKETS).contains(&bucket)
        };
        if let Some(mark) = self.marks.iter_mut().find(near) {
            mark.first = mark.first.min(bucket);
            mark.last = mark.last.max(bucket);
            mark.score = mark.score.max(score);
            return false;
        }
        self.marks.push(Mark {
            first: bucket,
            last: bucket,
            score,
        });
        if self.marks.len() > MARKS_MAX {
            let weakest = (0..self.marks.len())
                .min_by(|&a, &b| self.marks[a].score.total_cmp(&self.marks[b].score));
            self.marks.remove(weakest.expect("not empty"));
        }
        true
    }

    /// Whether a point lies around an anomaly: its onset and its end, if it lasts.
    fn is_close(&self, point: &Point) -> bool {
        let around = |bucket: i64| {
            point.first <= bucket + CONTEXT_AFTER && point.end > bucket - CONTEXT_BEFORE
        };
        self.marks
            .iter()
            .any(|mark| around(mark.first) || around(mark.last))
    }

    /// Brings what is neither late nor near an anomaly of at least `score_min` down to three quarters of `most`.
    fn thin(&mut self, most: usize, score_min: f64) {
        self.marks.retain(|mark| mark.score >= score_min);
        let tail = (CONTEXT_BEFORE as usize).min(most / 2);
        let (Some(first), Some(latest)) =
            (self.points.first().map(|point| point.first), self.latest())
        else {
            return;
        };
        loop {
            let exact_from = latest - tail as i64;
            let mut kept: Vec<Point> = Vec::with_capacity(self.points.len());
            let mut close = 0;
            for point in &self.points {
                let is_close = self.is_close(point);
                let is_exact = point.first > exact_from || is_close;
                close += usize::from(is_close);
                let cell = point.first.div_euclid(self.cell);
                match kept.last_mut() {
                    Some(last)
                        if !is_exact
                            && last.first.div_euclid(self.cell) == cell
                            && !self.is_close(last) =>
                    {
                        last.merge(point)
                    }
                    _ => kept.push(*point),
                }
            }
            self.points = kept;
            if self.points.len() <= close + most * 3 / 4 || self.cell > latest - first {
                return;
            }
            self.cell *= 2;
        }
    }

    /// The points that touch the buckets from `from` up to `to`.
    pub(super) fn readings(&self, from: i64, to: i64) -> impl Iterator<Item = Reading> {
        let inside = move |point: &&Point| point.end > from && point.first < to;
        let value = |offset: f32| self.base + f64::from(offset);
        self.points.iter().filter(inside).map(move |point| Reading {
            first: point.first,
            end: point.end,
            range: (!point.low.is_nan()).then(|| (value(point.low), value(point.high))),
            typical: value(point.typical),
            lower: value(point.lower),
            upper: value(point.upper),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(value: f64) -> Sample {
        Sample {
            actual: Some(value),
            typical: 10.0,
            lower: 8.0,
            upper: 12.0,
        }
    }

    /// A track of `buckets`, each with its own number as its value, that may have `most` points.
    fn filled(buckets: i64, most: usize, marked: &[i64]) -> Track {
        let mut track = Track::new(&sample(0.0));
        for bucket in 0..buckets {
            track.push(bucket, &sample(bucket as f64), most, 0.0);
            if marked.contains(&bucket) {
                track.mark(bucket, 90.0);
            }
        }
        track
    }

    #[test]
    fn a_track_stays_small_keeps_its_extremes_and_covers_every_bucket_once() {
        for most in [24, 100, 1000] {
            let track = filled(10_000, most, &[]);
            assert!(track.points.len() <= most, "{most}: {}", track.points.len());
            let readings: Vec<Reading> = track.readings(0, 10_000).collect();
            assert_eq!(readings[0].range.unwrap().0, 0.0);
            assert_eq!(readings.last().unwrap().range.unwrap().1, 9_999.0);
            assert!(readings.windows(2).all(|two| two[0].end == two[1].first));
            assert!(readings.iter().all(|one| {
                one.range == Some((one.first as f64, (one.end - 1) as f64))
                    && (one.typical, one.lower, one.upper) == (10.0, 8.0, 12.0)
            }));
        }
    }

    #[test]
    fn what_is_late_or_near_an_anomaly_stays_exact() {
        let track = filled(10_000, 200, &[5_000]);
        let is_exact = |from, to| track.readings(from, to).all(|one| one.end == one.first + 1);
        assert!(is_exact(5_000 - CONTEXT_BEFORE, 5_000 + CONTEXT_AFTER + 1));
        assert!(is_exact(10_000 - CONTEXT_BEFORE, 10_000));
        assert!(!is_exact(2_000, 3_000));
        let close = (CONTEXT_BEFORE + CONTEXT_AFTER + 1) as usize;
        assert!(track.points.len() <= 200 + close, "{}", track.points.len());
    }

    #[test]
    fn anomalies_are_few_and_the_strongest() {
        let mut track = filled(10, 100, &[]);
        assert!(track.mark(0, 50.0));
        assert!(!track.mark(12, 40.0), "near enough to be the same");
        for (at, score) in (1..20).zip((1..20).map(f64::from)) {
            assert!(track.mark(1_000 * at, score));
        }
        assert_eq!(track.marks.len(), MARKS_MAX);
        assert_eq!(track.score(), Some(50.0));
        assert!(track.marks.iter().all(|mark| mark.score >= 13.0));
    }

    #[test]
    fn a_bucket_without_a_value_is_a_gap_and_a_small_spread_on_a_high_level_is_seen() {
        let mut track = Track::new(&sample(1e12));
        track.push(0, &sample(1e12), 10, 0.0);
        track.push(1, &sample(1e12 + 1.0), 10, 0.0);
        let none = Sample {
            actual: None,
            ..sample(0.0)
        };
        track.push(2, &none, 10, 0.0);
        track.push(2, &sample(7.0), 10, 0.0); // told again
        let ranges: Vec<_> = track.readings(0, 3).map(|one| one.range).collect();
        assert_eq!(
            ranges,
            [Some((1e12, 1e12)), Some((1e12 + 1.0, 1e12 + 1.0)), None]
        );
    }
}
