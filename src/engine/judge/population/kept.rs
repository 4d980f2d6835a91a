//! What is known of a population: a crowd for each feature of each attribute, and which members were there.
//!
//! Holds: the bytes counted are those of what is kept, by rules that depend on it only.

use super::super::kept::{Kept, KeptId};
use super::super::memory::{map_bytes, text_bytes};
use crate::engine::model::Law;
use crate::engine::model::crowd::Crowd;
use crate::engine::model::presence::{Presence, Presences};
use crate::engine::model::runs::{Run, Runs};
use crate::time::{BucketSpan, BucketStart};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How fast the usual number of measurements is followed, a bucket; as a crowd follows its place.
const MEASUREMENTS_GAIN: f64 = 0.05;

/// By group and partition value.
pub(in super::super) type Populations = BTreeMap<KeptId, Population>;
/// Feature of the group, and attribute.
pub(super) type CrowdId = (u16, Option<Arc<str>>);

/// What is known of one population.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in super::super) struct Population {
    pub(super) crowds: BTreeMap<CrowdId, Known>,
    /// In which buckets members were there.
    pub(super) members: Presences,
    /// By detector: the last buckets of members together.
    pub(super) runs: BTreeMap<u16, Runs>,
    /// The share of the last buckets in which somebody was under suspicion.
    pub(super) suspicious: f64,
    pub(super) last_seen: BucketStart,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) crowd: Crowd,
    /// How many a member's value stands on as a rule; 0 before the first bucket.
    measurements: f64,
    pub(super) last_seen: BucketStart,
}

impl Population {
    pub(super) fn new(at: BucketStart) -> Population {
        Population {
            crowds: BTreeMap::new(),
            members: Presences::new(at),
            runs: BTreeMap::new(),
            suspicious: 0.0,
            last_seen: at,
        }
    }

    /// How many members are known.
    pub(in super::super) fn members(&self) -> u64 {
        self.members.len() as u64
    }

    /// How many attributes of features.
    pub(in super::super) fn attributes(&self) -> u64 {
        self.crowds.len() as u64
    }

    /// Attributes with a name: by values.
    pub(in super::super) fn named_attributes(&self) -> u64 {
        let named = self.crowds.keys().filter(|id| id.0 == 0 && id.1.is_some());
        named.count() as u64
    }
}

impl Kept for Population {
    fn count_bytes(&self, id: &KeptId) -> u64 {
        let crowds = self.crowds.iter().map(|(id, known)| known.bytes(id));
        let runs = self.runs.values().map(runs_bytes);
        let members = self.members() * member_bytes();
        bytes_around(id) + members + crowds.sum::<u64>() + runs.sum::<u64>()
    }

    fn last_seen(&self) -> BucketStart {
        self.last_seen
    }

    fn forget(&mut self, at: BucketStart, span: BucketSpan, patience: &dyn Fn(f64) -> f64) {
        self.members.forget(at, span, patience);
        self.crowds.retain(|_, known| {
            let away = span.buckets_between(known.last_seen, at) as f64;
            away <= patience(known.crowd.count(at, span))
        });
    }
}

impl Known {
    pub(super) fn new(at: BucketStart) -> Known {
        Known {
            crowd: Crowd::new(at),
            measurements: 0.0,
            last_seen: at,
        }
    }

    /// What a member shows by so many measurements, as if it had as many as the others.
    pub(super) fn alike(&self, law: Law, value: f64, measurements: u64) -> f64 {
        match self.crowd.usual().filter(|_| law.is_surer_of_many()) {
            Some(usual) => law.among(value, measurements as f64, self.measurements, usual),
            None => value,
        }
    }

    /// Takes in how many measurements the members of a bucket had on average.
    pub(super) fn learn_measurements(&mut self, mean: f64) {
        let gain = if self.measurements > 0.0 {
            MEASUREMENTS_GAIN
        } else {
            1.0
        };
        self.measurements += gain * (mean - self.measurements);
    }

    pub(super) fn bytes(&self, id: &CrowdId) -> u64 {
        let around = map_bytes::<CrowdId, Known>() + text_bytes(&id.1);
        (around + self.crowd.heap_bytes(map_bytes::<i32, f32>())) as u64
    }
}

pub(super) fn bytes_around(id: &KeptId) -> u64 {
    (map_bytes::<KeptId, Population>() + text_bytes(&id.1)) as u64
}

pub(super) fn member_bytes() -> u64 {
    map_bytes::<u64, Presence>() as u64
}

/// Bytes of the runs that one detector knows.
pub(super) fn runs_bytes(runs: &Runs) -> u64 {
    let around = map_bytes::<u16, Runs>();
    (around + runs.heap_bytes(run_bytes() as usize, map_bytes::<i32, f32>())) as u64
}

pub(super) fn run_bytes() -> u64 {
    map_bytes::<u64, Run>() as u64
}
