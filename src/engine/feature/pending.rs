//! Stand-ins with the shape of `numerics`' exact sum and sketches, until those land (this file then goes).
#![allow(missing_docs)]
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExactSum(f64);
impl ExactSum {
    pub fn add(&mut self, x: f64) {
        self.0 += x;
    }
    pub fn add_product(&mut self, x: f64, y: f64) {
        self.0 += x * y;
    }
    pub fn merge(&mut self, other: &ExactSum) {
        self.0 += other.0;
    }
    pub fn subtract(&mut self, other: &ExactSum) {
        self.0 -= other.0;
    }
    pub fn value(&self) -> f64 {
        self.0
    }
}
pub fn variance(n: u64, s: &ExactSum, s2: &ExactSum) -> f64 {
    let n = n as f64;
    ((s2.0 - s.0 * s.0 / n) / n).max(0.0)
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QuantileSketch(BTreeMap<u64, u64>);
impl QuantileSketch {
    pub fn add(&mut self, x: f64, weight: u64) {
        let bits = x.to_bits();
        let key = if bits >> 63 == 1 {
            !bits
        } else {
            bits | 1 << 63
        };
        *self.0.entry(key).or_default() += weight;
    }
    pub fn merge(&mut self, other: &QuantileSketch) {
        for (&k, &w) in &other.0 {
            *self.0.entry(k).or_default() += w;
        }
    }
    pub fn subtract(&mut self, other: &QuantileSketch) {
        for (k, &w) in &other.0 {
            if let Some(mine) = self.0.get_mut(k) {
                *mine = mine.saturating_sub(w);
            }
        }
        self.0.retain(|_, w| *w > 0);
    }
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let target = q * (self.count() as f64);
        let mut seen = 0;
        self.0.iter().find_map(|(&k, &w)| {
            seen += w;
            let bits = if k >> 63 == 1 { k & !(1 << 63) } else { !k };
            (seen as f64 >= target).then(|| f64::from_bits(bits))
        })
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DistinctSketch(BTreeSet<u64>);
impl DistinctSketch {
    pub fn insert_hash(&mut self, hash: u64) {
        self.0.insert(hash);
    }
    pub fn merge(&mut self, other: &DistinctSketch) {
        self.0.extend(&other.0);
    }
    pub fn estimate(&self) -> f64 {
        self.0.len() as f64
    }
}
