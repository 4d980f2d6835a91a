//! How often each of many values is there: the memory of `rare`.
//!
//! A value is remembered by the hash of its text (64 bits: among ten million values two share one with a chance of 3 in a million), in how many buckets it
//! was present, older buckets counting for less: half as much after [`HALF_LIFE_BUCKETS_MIN`] buckets or [`HALF_LIFE_MS_MIN`], whichever is longer.
//!
//! The chance of a value in a bucket, given presences `w` of each of `K` known values, `N` in all, `m` a bucket:
//!
//! - one presence is of a value no more common than this one with `p = Σ_{w_k ≤ w} (w_k + 1) / (N + K + 1)`: Dirichlet-multinomial, prior weight 1 a
//!   value (Gelman et al., Bayesian Data Analysis, 3.4); a value within `sqrt w` is no more common, for chance makes as much of a count (Poisson);
//! - of a value never seen with `p = (n_1 + 1) / (N + K + 1)`, `n_1` being the presences of values seen once: where something new comes every
//!   day, something new is nothing new (Good, Biometrika 40, 1953);
//! - and a bucket, which has `m` presences, shows such a value with `1 - (1 - p)^m`.
//!
//! Holds: the order of values does not show; equal tables have equal bytes. Checked: tests below, tests/rare.rs.

use crate::time::{BucketSpan, BucketStart};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A presence counts half as much after so many buckets...
const HALF_LIFE_BUCKETS_MIN: f64 = 1400.0;
/// ...or so long, if that is longer: 30 days.
const HALF_LIFE_MS_MIN: f64 = 30.0 * 86_400_000.0;
/// Weights are brought back to size when a new presence weighs so much, 2^20.
const GAIN_MAX: f64 = 1_048_576.0;
/// Fewer presences than this say nothing of what is rare.
const PRESENCES_MIN: f64 = 20.0;
/// What is no less likely is not looked at closer.
const PROBABILITY_MAX: f64 = 0.05;

/// One value's past.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Presence {
    /// Buckets with it, in units of a presence at the table's origin.
    weight: f32,
    /// The last bucket with it, by number since the epoch.
    last_seen: u32,
}

/// How often each value was there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Presences {
    /// When a presence weighed 1.
    origin: BucketStart,
    /// By the hash of the value's text.
    values: BTreeMap<u64, Presence>,
    /// Sum of all weights.
    total: f64,
    /// Weight of the buckets with any value.
    buckets: f64,
}

/// How unlikely a value is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// ln of the chance that a bucket shows a value no more common than this one.
    pub ln_probability: f64,
    /// Whether it was never seen before.
    pub first: bool,
    /// The median value's presences over this one's (of one never seen, over one presence).
    pub relative: f64,
    /// Presences of values seen once, as of now: how usual something new is.
    pub singles: f64,
}

impl Presences {
    /// A table that has seen nothing.
    pub fn new(at: BucketStart) -> Presences {
        Presences {
            origin: at,
            values: BTreeMap::new(),
            total: 0.0,
            buckets: 0.0,
        }
    }

    /// How many values are known.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether this value is.
    pub fn knows(&self, value: u64) -> bool {
        self.values.contains_key(&value)
    }

    /// Buckets seen, as they count now.
    pub fn buckets(&self, at: BucketStart, span: BucketSpan) -> f64 {
        self.buckets / self.gain(at, span)
    }

    /// Presences of all values, as they count now.
    pub fn presences(&self, at: BucketStart, span: BucketSpan) -> f64 {
        self.total / self.gain(at, span)
    }

    /// Values present in a bucket, as a rule; 0 while there was none.
    pub fn a_bucket(&self) -> f64 {
        if self.buckets > 0.0 {
            self.total / self.buckets
        } else {
            0.0
        }
    }

    /// In what share of the buckets a value was present, 0..=1.
    pub fn share(&self, value: u64) -> f64 {
        let weight = self
            .values
            .get(&value)
            .map_or(0.0, |one| f64::from(one.weight));
        if self.buckets > 0.0 {
            weight / self.buckets
        } else {
            0.0
        }
    }

    /// What a presence in the bucket at `at` weighs.
    fn gain(&self, at: BucketStart, span: BucketSpan) -> f64 {
        let age_ms = (at.millis() - self.origin.millis()) as f64;
        let half_life_ms = HALF_LIFE_MS_MIN.max(HALF_LIFE_BUCKETS_MIN * span.millis() as f64);
        (age_ms / half_life_ms).exp2()
    }

    /// How unlikely each of the values is that are present in the bucket at `at`; `None` of those that are common.
    pub fn judge(&self, present: &[u64], at: BucketStart, span: BucketSpan) -> Vec<Option<Look>> {
        self.judge_among(present, self.a_bucket().max(1.0), at, span)
    }

    /// The same where each has so many chances to show such a value.
    pub fn judge_among(
        &self,
        present: &[u64],
        looks: f64,
        at: BucketStart,
        span: BucketSpan,
    ) -> Vec<Option<Look>> {
        let gain = self.gain(at, span);
        let (total, known) = (self.total / gain, self.values.len() as f64);
        if total < PRESENCES_MIN {
            return vec![None; present.len()];
        }
        let whole = total + known + 1.0;
        let in_bucket = |p: f64| -(looks * (-p.min(1.0)).ln_1p()).exp_m1();
        let weight = |value: &u64| self.values.get(value).map(|one| f64::from(one.weight));
        let weights: Vec<Option<f64>> = present.iter().map(weight).collect();
        let own = |weight: Option<f64>| weight.map_or(0.0, |weight| weight / gain + 1.0);
        let may_be_rare = |&weight: &Option<f64>| in_bucket(own(weight) / whole) < PROBABILITY_MAX;
        // A little more is no more common: one standard deviation of a count.
        let threshold = |weight: f64| weight + (weight * gain).sqrt();
        let rare = weights.iter().copied().filter(may_be_rare).flatten();
        let mut thresholds: Vec<f64> = rare.map(threshold).collect();
        let any_new = weights.contains(&None);
        if thresholds.is_empty() && !any_new {
            return vec![None; present.len()];
        }
        thresholds.sort_by(f64::total_cmp);
        thresholds.dedup();
        let masses = self.masses(&thresholds, gain);
        let singles = self.singles(gain);
        let median = self.median(gain);
        weights
            .into_iter()
            .map(|weight| {
                let mass = match weight {
                    None => singles + 1.0,
                    Some(weight) => {
                        let found =
                            thresholds.binary_search_by(|one| one.total_cmp(&threshold(weight)));
                        found.ok().map(|place| masses[place])?
                    }
                };
                let probability = in_bucket(mass / whole);
                (probability < PROBABILITY_MAX).then(|| Look {
                    ln_probability: probability.ln(),
                    first: weight.is_none(),
                    relative: median / weight.map_or(1.0, |weight| weight / gain),
                    singles,
                })
            })
            .collect()
    }

    /// For each of the sorted weights: the mass of all values that weigh no more.
    fn masses(&self, thresholds: &[f64], gain: f64) -> Vec<f64> {
        let mut masses = vec![0.0; thresholds.len()];
        for one in self.values.values() {
            let weight = f64::from(one.weight);
            let place = thresholds.partition_point(|&threshold| threshold < weight);
            if let Some(mass) = masses.get_mut(place) {
                *mass += weight / gain + 1.0;
            }
        }
        let mut sum = 0.0;
        for mass in &mut masses {
            sum += *mass;
            *mass = sum;
        }
        masses
    }

    /// Presences of the values seen no more than once.
    fn singles(&self, gain: f64) -> f64 {
        let weights = self.values.values().map(|one| f64::from(one.weight) / gain);
        weights.filter(|&weight| weight <= 1.0).sum()
    }

    /// Presences of the value in the middle.
    fn median(&self, gain: f64) -> f64 {
        let mut weights: Vec<f32> = self.values.values().map(|one| one.weight).collect();
        let middle = weights.len() / 2;
        if weights.is_empty() {
            return 0.0;
        }
        let (_, median, _) = weights.select_nth_unstable_by(middle, f32::total_cmp);
        f64::from(*median) / gain
    }

    /// Takes in the values present in the bucket at `at`, each as often as it is to count; new ones only if `admit` has room for one.
    pub fn learn(
        &mut self,
        present: &[u64],
        at: BucketStart,
        span: BucketSpan,
        mut admit: impl FnMut() -> bool,
    ) {
        self.bring_to_size(at, span);
        let gain = self.gain(at, span);
        let now = number_of(at, span);
        for &value in present {
            if !self.values.contains_key(&value) && !admit() {
                continue;
            }
            let one = self.values.entry(value).or_insert(Presence {
                weight: 0.0,
                last_seen: now,
            });
            one.weight += gain as f32;
            one.last_seen = now;
            self.total += gain;
        }
        self.buckets += gain;
    }

    /// Forgets the values that have been away for longer than `patience` buckets allows one that was present in so many; returns how many went.
    pub fn forget(
        &mut self,
        at: BucketStart,
        span: BucketSpan,
        patience: impl Fn(f64) -> f64,
    ) -> usize {
        let (gain, now, before) = (self.gain(at, span), number_of(at, span), self.values.len());
        let mut total = 0.0;
        self.values.retain(|_, one| {
            let weight = f64::from(one.weight);
            let stays = f64::from(now.saturating_sub(one.last_seen)) <= patience(weight / gain);
            total += if stays { weight } else { 0.0 };
            stays
        });
        if self.values.len() < before {
            self.total = total;
        }
        before - self.values.len()
    }

    /// Keeps weights from growing without bound: halves them exactly, as often as it takes.
    fn bring_to_size(&mut self, at: BucketStart, span: BucketSpan) {
        let gain = self.gain(at, span);
        if gain < GAIN_MAX {
            return;
        }
        let down = gain.recip();
        for one in self.values.values_mut() {
            one.weight = (f64::from(one.weight) * down) as f32;
        }
        self.total = self.values.values().map(|one| f64::from(one.weight)).sum();
        self.buckets *= down;
        self.origin = at;
    }
}

/// The number of a bucket since the epoch.
pub(super) fn number_of(at: BucketStart, span: BucketSpan) -> u32 {
    u32::try_from((at.millis() / span.millis()).max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span() -> BucketSpan {
        BucketSpan::from_seconds(900).expect("a span")
    }

    fn at(bucket: i64) -> BucketStart {
        BucketStart(bucket * 900_000)
    }

    /// After `buckets` buckets in each of which `present` says who was there.
    fn after(buckets: i64, present: impl Fn(i64) -> Vec<u64>) -> Presences {
        let mut table = Presences::new(at(0));
        for bucket in 0..buckets {
            table.learn(&present(bucket), at(bucket), span(), || true);
        }
        table
    }

    #[test]
    fn a_new_value_among_constant_ones_is_as_unlikely_as_the_buckets_without_one_say() {
        let table = after(671, |_| (1..=20).collect());
        let look = table.judge(&[1, 99], at(671), span());
        assert_eq!(look[0], None);
        let look = look[1].expect("rare");
        assert!(look.first);
        // Once in 672 buckets; the older half counts for a little less.
        let expected = (1.0f64 / 672.0).ln();
        assert!((look.ln_probability - expected).abs() < 0.2, "{look:?}");
        assert!((look.relative - 620.0).abs() < 60.0, "{look:?}");
    }

    #[test]
    fn where_something_new_comes_in_every_bucket_nothing_new_is_rare() {
        let table = after(500, |bucket| vec![1, 2, 1000 + bucket as u64]);
        assert_eq!(table.judge(&[77], at(500), span()), [None]);
    }

    #[test]
    fn of_many_equally_rare_values_none_is_rare() {
        // 200 values, one a bucket in turn: each is there in every 200th bucket.
        let table = after(2000, |bucket| vec![1, 1000 + bucket as u64 % 200]);
        assert_eq!(table.judge(&[1000], at(2000), span()), [None]);
    }

    #[test]
    fn a_value_seen_now_and_then_is_rarer_the_less_it_was_seen() {
        let table = after(3000, |bucket| {
            let mut present = vec![1, 2, 3];
            present.extend(
                [(50, 4), (300, 5), (1000, 6)]
                    .iter()
                    .filter_map(|&(every, value)| (bucket % every == 7).then_some(value)),
            );
            present
        });
        let looks = table.judge(&[4, 5, 6, 7], at(3000), span());
        let ln_p: Vec<f64> = looks
            .iter()
            .map(|look| look.map_or(0.0, |one| one.ln_probability))
            .collect();
        assert!(ln_p.windows(2).all(|pair| pair[0] > pair[1]), "{ln_p:?}");
    }

    #[test]
    fn weights_brought_back_to_size_say_the_same() {
        let old = after(600, |_| (1..=5).collect());
        let later = at(600 + 25 * 2880); // 25 half-lives
        let mut moved = old.clone();
        moved.bring_to_size(later, span());
        assert_ne!(moved.origin, old.origin);
        let (a, b) = (old.buckets(later, span()), moved.buckets(later, span()));
        assert!((a / b - 1.0).abs() < 1e-6, "{a} {b}");
    }

    #[test]
    fn what_was_seen_often_is_waited_for_longer() {
        let mut table = after(100, |bucket| if bucket == 0 { vec![1, 2] } else { vec![1] });
        let gone = table.forget(at(180), span(), |weight| weight.max(12.0));
        assert_eq!((gone, table.knows(1), table.knows(2)), (1, true, false));
    }
}
