//! Who comes, stays for a while and goes: the field that a population is of.
//!
//! A field is one of visitors if its values are many and most of those that come more than once do so within a short part of the sample, where pages, agents and
//! users of the same things come all the time. Some have to come back: what never does is a request or a trace.

use super::stats::{Sample, hash_of};
use std::collections::{BTreeMap, BTreeSet};

/// At least so many values that come more than once.
const RETURNING_MIN: usize = 30;
/// The median of them stays for no more than this part of the sample...
const STAY_SHARE_MAX: f64 = 0.05;
/// ...and one in so many is there in more than one bucket.
const BACK_ONE_IN: usize = 20;
/// What a visitor looks at has as many values a visitor, at least.
const VALUES_EACH_MIN: f64 = 1.5;

/// A field of visitors.
pub(super) struct Visitors {
    pub(super) field: usize,
    /// How long the median one stays, of those that come more than once, milliseconds.
    pub(super) stay_ms: i64,
    /// What each looks at several of, if there is such a field, and how many different ones on the average.
    pub(super) looks_at: Option<(usize, f64)>,
}

#[derive(Default)]
struct Visit {
    times: Vec<i64>,
}

impl Visit {
    fn stay_ms(&self) -> i64 {
        let ends = self.times.iter().max().zip(self.times.iter().min());
        ends.map_or(0, |(last, first)| last - first)
    }

    fn buckets(&self, span_ms: i64) -> usize {
        let buckets = self.times.iter().map(|time| time.div_euclid(span_ms));
        buckets.collect::<BTreeSet<i64>>().len()
    }
}

/// The field whose values stay for the shortest time among those that may be of visitors; `others` are what they may look at.
pub(super) fn find(
    sample: &Sample,
    instants: &[Option<i64>],
    span_ms: i64,
    candidates: &[usize],
    others: &[usize],
) -> Option<Visitors> {
    let times = || instants.iter().flatten();
    let length_ms = times().max()? - times().min()?;
    let stays = candidates.iter().filter_map(|&field| {
        let stay_ms = stay_ms(sample, instants, span_ms, field)?;
        (stay_ms as f64 <= STAY_SHARE_MAX * length_ms as f64).then_some((stay_ms, field))
    });
    let (stay_ms, field) = stays.min()?;
    let looked_at = others.iter().filter(|&&other| other != field);
    let looked_at = looked_at.map(|&other| (other, values_each(sample, field, other)));
    let most = looked_at.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
    Some(Visitors {
        field,
        stay_ms,
        looks_at: most.filter(|most| most.1 >= VALUES_EACH_MIN),
    })
}

/// How long the median value stays that comes more than once, if they are enough and some come back.
fn stay_ms(sample: &Sample, instants: &[Option<i64>], span_ms: i64, field: usize) -> Option<i64> {
    let mut visits: BTreeMap<u64, Visit> = BTreeMap::new();
    for (value, time) in sample.column(field).zip(instants) {
        if let (Some(value), Some(time)) = (value, time) {
            visits.entry(hash_of(value)).or_default().times.push(*time);
        }
    }
    let returning: Vec<Visit> = visits
        .into_values()
        .filter(|visit| visit.times.len() > 1)
        .collect();
    let back = returning.iter().filter(|one| one.buckets(span_ms) > 1);
    let is_enough = returning.len() >= RETURNING_MIN;
    if !is_enough || back.count() * BACK_ONE_IN < returning.len() {
        return None;
    }
    let mut stays: Vec<i64> = returning.iter().map(Visit::stay_ms).collect();
    stays.sort_unstable();
    Some(stays[stays.len() / 2])
}

/// How many different values of `other` a value of `field` comes with on the average.
fn values_each(sample: &Sample, field: usize, other: usize) -> f64 {
    let pairs = sample.column(field).zip(sample.column(other));
    let pairs = pairs.filter_map(|(one, other)| Some((hash_of(one?), hash_of(other?))));
    let pairs: BTreeSet<(u64, u64)> = pairs.collect();
    pairs.len() as f64 / sample.fields[field].distinct().max(1) as f64
}
