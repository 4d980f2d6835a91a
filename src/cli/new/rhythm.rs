//! How often events come, and which bucket span that asks for.
//!
//! * Measurements (an entity tells at even intervals): at least two of an entity in a bucket.
//! * Events: at least [`EVENTS_MIN`] in the median bucket, or counting them says little.
//! * And as many buckets as can be had, for a model learns by the bucket: five minutes at least, unless the sample is short.

use super::stats::{Sample, hash_of};
use crate::cli::table::length;
use std::collections::BTreeMap;

/// Spans to choose from, minutes. All divide a day.
const SPANS_MIN: [i64; 9] = [1, 5, 10, 15, 30, 60, 180, 360, 1440];
/// Events in the median bucket.
const EVENTS_MIN: usize = 20;
/// Buckets without which not even a short span is worth it.
const BUCKETS_MIN: i64 = 60;
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// What the times show.
pub(super) struct Rhythm {
    pub(super) span_ms: i64,
    /// Events in the median bucket.
    pub(super) median: usize,
    /// Why, the end of a sentence.
    pub(super) reason: String,
    /// Between two events of an entity, if that is always about the same.
    pub(super) interval_ms: Option<i64>,
    /// How much a day is like the day before, if there are two: the correlation of their buckets.
    pub(super) daily: Option<f64>,
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
}

/// Looks at the times of a sample; an entity of `entities` may tell at even intervals, one number at a time where a field `names` what is told.
pub(super) fn of(
    sample: &Sample,
    instants: &[Option<i64>],
    entities: &[usize],
    names: Option<usize>,
) -> Rhythm {
    let mut times: Vec<i64> = instants.iter().flatten().copied().collect();
    times.sort_unstable();
    let (first_ms, last_ms) = (
        times.first().copied().unwrap_or(0),
        times.last().copied().unwrap_or(0),
    );
    let length_ms = last_ms - first_ms;
    let single = entities.iter().map(|entity| vec![*entity]);
    let named = names.into_iter().flat_map(|names| {
        let others = entities.iter().filter(move |entity| **entity != names);
        others.map(move |entity| vec![names, *entity])
    });
    let mut candidates = std::iter::once(Vec::new()).chain(single).chain(named);
    let interval_ms = candidates.find_map(|entities| even_interval(sample, instants, &entities));
    let least_min = if length_ms < 5 * MINUTE_MS * BUCKETS_MIN {
        1
    } else {
        5
    };
    let spans = SPANS_MIN.iter().map(|minutes| minutes * MINUTE_MS);
    let mut spans = spans.filter(|span| *span >= least_min * MINUTE_MS);
    let (found, reason) = match interval_ms {
        Some(interval) => (
            spans.find(|span| *span >= 2 * interval),
            format!(
                "a value comes every {}, and a bucket should hold two or more",
                length(interval)
            ),
        ),
        None => (
            spans.find(|span| median_count(&times, *span) >= EVENTS_MIN),
            format!("the shortest whose median bucket holds {EVENTS_MIN} events or more"),
        ),
    };
    let (span_ms, reason) = match found {
        Some(span) => (span, reason),
        None => (
            60 * MINUTE_MS,
            "few events come; an hour is a guess".to_owned(),
        ),
    };
    Rhythm {
        span_ms,
        median: median_count(&times, span_ms),
        reason,
        interval_ms,
        daily: daily(&times, first_ms, length_ms),
        first_ms,
        last_ms,
    }
}

/// The gap between events of an entity, one of the values of these fields together, if four of five are within a tenth of it.
fn even_interval(sample: &Sample, instants: &[Option<i64>], entities: &[usize]) -> Option<i64> {
    let mut keys: Vec<Option<u64>> = vec![Some(0); sample.events.len()];
    for entity in entities {
        for (key, value) in keys.iter_mut().zip(sample.column(*entity)) {
            let both = |key: u64| Some(key.rotate_left(7) ^ hash_of(value?));
            *key = key.and_then(both);
        }
    }
    let mut by_entity: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
    for (key, time) in keys.iter().zip(instants) {
        if let (Some(key), Some(time)) = (key, time) {
            by_entity.entry(*key).or_default().push(*time);
        }
    }
    let mut gaps: Vec<i64> = Vec::new();
    for times in by_entity.values_mut() {
        times.sort_unstable();
        gaps.extend(times.windows(2).map(|two| two[1] - two[0]));
    }
    gaps.sort_unstable();
    let median = *gaps.get(gaps.len() / 2).filter(|_| gaps.len() >= 20)?;
    let even = gaps
        .iter()
        .filter(|gap| (**gap - median).abs() * 10 <= median);
    (median >= 1000 && even.count() * 5 >= gaps.len() * 4).then_some(median)
}

fn counts(times: &[i64], span_ms: i64) -> Vec<usize> {
    let Some((first, last)) = times.first().zip(times.last()) else {
        return Vec::new();
    };
    let (first, last) = (first.div_euclid(span_ms), last.div_euclid(span_ms));
    // A sample of a few events over a thousand years is no sample.
    let mut counts = vec![0; usize::try_from(last - first + 1).unwrap_or(0).min(1 << 20)];
    for time in times {
        let at = (time.div_euclid(span_ms) - first) as usize;
        if let Some(count) = counts.get_mut(at) {
            *count += 1;
        }
    }
    counts
}

fn median_count(times: &[i64], span_ms: i64) -> usize {
    let mut counts = counts(times, span_ms);
    counts.sort_unstable();
    counts.get(counts.len() / 2).copied().unwrap_or(0)
}

/// The correlation of half-hour counts with those of the day before.
fn daily(times: &[i64], first_ms: i64, length_ms: i64) -> Option<f64> {
    const STEP_MS: i64 = 30 * MINUTE_MS;
    if length_ms < 47 * 60 * MINUTE_MS || first_ms < 0 {
        return None;
    }
    let counts: Vec<f64> = counts(times, STEP_MS)
        .into_iter()
        .map(|n| n as f64)
        .collect();
    let lag = (DAY_MS / STEP_MS) as usize;
    let pairs: Vec<(f64, f64)> = counts
        .iter()
        .copied()
        .zip(counts.iter().copied().skip(lag))
        .collect();
    let n = pairs.len() as f64;
    let mean = |part: fn(&(f64, f64)) -> f64| pairs.iter().map(part).sum::<f64>() / n;
    let (a, b) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let sum = |f: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|(x, y)| f(x - a, y - b)).sum::<f64>();
    let spread = (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt();
    (spread > 0.0).then(|| sum(&|x, y| x * y) / spread)
}
