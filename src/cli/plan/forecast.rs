//! How many distinct series there will be, from how many there have been.
//!
//! Heaps' law (Heaps, Information Retrieval, 1978): the number of distinct things grows as a power of time, `V(t) = V(T) (t/T)^b`. The exponent is
//! fitted by least squares to logarithms, on eight times between an eighth of the sample and its end, evenly in their logarithms, and
//! held within 0 (all are known) and 1 (new ones come at a constant rate). The interval is no confidence interval but two plain assumptions:
//! *low*, nobody new comes; *high*, new ones go on coming as fast as in the last quarter of the sample.
//! Times in milliseconds since the first bucket. Holds: low <= expected <= high; none falls as the horizon grows.

use serde::Serialize;

/// Times that the exponent is fitted to, and how far back they go.
const FIT_POINTS: i32 = 8;
const FIT_FROM: f64 = 1.0 / 8.0;

/// A number forecast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Range {
    /// If nobody new comes.
    pub(super) low: u64,
    /// By the fit.
    pub(super) expected: u64,
    /// If new ones go on coming.
    pub(super) high: u64,
}

impl Range {
    /// The same number, whatever comes.
    pub(super) fn certain(number: u64) -> Range {
        Range {
            low: number,
            expected: number,
            high: number,
        }
    }

    pub(super) fn map(self, of: impl Fn(u64) -> u64) -> Range {
        Range {
            low: of(self.low),
            expected: of(self.expected),
            high: of(self.high),
        }
    }

    pub(super) fn plus(self, other: Range) -> Range {
        Range {
            low: self.low + other.low,
            expected: self.expected + other.expected,
            high: self.high + other.high,
        }
    }
}

/// How many distinct series had been seen when.
#[derive(Clone, Debug, Default)]
pub(super) struct Curve {
    /// Where it rises: (end of the bucket, distinct).
    steps: Vec<(i64, u64)>,
    length_ms: i64,
}

impl Curve {
    /// So many distinct by then; neither falls.
    pub(super) fn push(&mut self, until_ms: i64, distinct: u64) {
        self.length_ms = until_ms;
        if self.now() < distinct {
            self.steps.push((until_ms, distinct));
        }
    }

    /// In the whole sample.
    pub(super) fn now(&self) -> u64 {
        self.steps.last().map_or(0, |step| step.1)
    }

    /// By a time within the sample.
    pub(super) fn at(&self, ms: i64) -> u64 {
        let passed = self.steps.partition_point(|step| step.0 <= ms);
        passed.checked_sub(1).map_or(0, |last| self.steps[last].1)
    }

    /// The exponent b of Heaps' law; `None` where the sample shows too little to fit it to.
    pub(super) fn exponent(&self) -> Option<f64> {
        let points: Vec<(f64, f64)> = (0..FIT_POINTS)
            .map(|point| FIT_FROM.powf(f64::from(point) / f64::from(FIT_POINTS - 1)))
            .map(|share| (share, self.at((share * self.length_ms as f64) as i64)))
            .filter(|&(_, distinct)| distinct > 0)
            .map(|(share, distinct)| (share.ln(), (distinct as f64).ln()))
            .collect();
        if points.len() < FIT_POINTS as usize {
            return None;
        }
        let n = points.len() as f64;
        let (x, y) = points
            .iter()
            .fold((0.0, 0.0), |(x, y), one| (x + one.0 / n, y + one.1 / n));
        let (xx, xy) = points.iter().fold((0.0, 0.0), |(xx, xy), one| {
            (xx + (one.0 - x).powi(2), xy + (one.0 - x) * (one.1 - y))
        });
        Some((xy / xx).clamp(0.0, 1.0))
    }

    /// How many distinct by `horizon_ms`.
    pub(super) fn forecast(&self, horizon_ms: i64) -> Range {
        if horizon_ms <= self.length_ms {
            return Range::certain(self.at(horizon_ms));
        }
        let (now, quarter) = (self.now(), self.length_ms / 4);
        let fresh = now - self.at(self.length_ms - quarter);
        let pace = fresh as f64 / quarter.max(1) as f64;
        let linear = now as f64 + pace * (horizon_ms - self.length_ms) as f64;
        let times = horizon_ms as f64 / self.length_ms as f64;
        let expected = match self.exponent() {
            Some(exponent) => now as f64 * times.powf(exponent),
            None => linear,
        };
        Range {
            low: now,
            expected: expected.round() as u64,
            high: linear.max(expected).round() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn curve(of: impl Fn(f64) -> f64) -> Curve {
        let mut curve = Curve::default();
        (1..=240).for_each(|at| curve.push(at * HOUR_MS / 10, of(at as f64 / 10.0) as u64));
        curve
    }

    #[test]
    fn a_power_of_time_is_found_and_carried_on() {
        for exponent in [0.3, 0.5, 1.0] {
            let curve = curve(|hours| 5000.0 * hours.powf(exponent));
            let found = curve.exponent().unwrap();
            assert!((found - exponent).abs() < 0.01, "{exponent}: {found}");
            let week = curve.forecast(168 * HOUR_MS);
            let truth = 5000.0 * 168f64.powf(exponent);
            assert!(
                (week.expected as f64 / truth - 1.0).abs() < 0.03,
                "{exponent}: {week:?} for {truth}"
            );
            assert!(
                week.low <= week.expected && week.expected <= week.high,
                "{week:?}"
            );
        }
    }

    #[test]
    fn what_is_all_known_grows_no_more_and_within_the_sample_nothing_is_guessed() {
        let curve = curve(|_| 40.0);
        assert!(curve.exponent().unwrap() < 1e-9);
        assert_eq!(curve.forecast(999 * HOUR_MS), Range::certain(40));
        let rising = self::curve(|hours| 10.0 * hours);
        assert_eq!(rising.forecast(12 * HOUR_MS), Range::certain(120));
    }

    #[test]
    fn one_bucket_is_no_curve_and_nothing_stays_nothing() {
        let mut one = Curve::default();
        one.push(HOUR_MS, 7);
        assert_eq!(one.exponent(), None);
        let day = one.forecast(24 * HOUR_MS);
        assert!(day.low == 7 && day.high >= day.expected, "{day:?}");
        assert_eq!(Curve::default().forecast(HOUR_MS), Range::certain(0));
    }
}
