//! What is kept of the habits of one partition's series, older visits counting for less.
//!
//! Units: weights are in visits (or buckets) at the table's origin. Holds: the bytes counted are those of what is kept, by rules that depend on it only.

use super::super::kept::{Kept, KeptId};
use super::super::memory::{map_bytes, text_bytes};
use crate::engine::model::habit::Habit;
use crate::engine::model::oddity::Oddities;
use crate::engine::model::presence::{Presence, Presences};
use crate::time::{BucketSpan, BucketStart};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A visit counts half as much after so many buckets...
const HALF_LIFE_BUCKETS_MIN: f64 = 1400.0;
/// ...or so long, if that is longer: 30 days.
const HALF_LIFE_MS_MIN: f64 = 30.0 * 86_400_000.0;
/// Weights are brought back to size when a new visit weighs so much, 2^20.
const GAIN_MAX: f64 = 1_048_576.0;
/// By group and partition value.
pub(in super::super) type AllHabits = BTreeMap<KeptId, Habits>;

/// What is usual of the series of one partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in super::super) struct Habits {
    /// When a visit weighed 1.
    pub(super) origin: BucketStart,
    /// By feature: how surprising visits were.
    pub(super) oddities: Vec<Oddities>,
    /// By value of the by field.
    pub(super) known: BTreeMap<Option<Arc<str>>, Known>,
    /// Weight of the buckets that went by, and of the series (or members) in them.
    pub(super) buckets: f64,
    pub(super) present: f64,
    pub(super) last_seen: BucketStart,
    /// In which buckets members were there, where a detector leaves out those that often are.
    pub(super) members: Option<Box<Presences>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Known {
    /// By feature.
    pub(super) habits: Vec<Habit>,
    /// Weight of the buckets that had gone by before it was first seen, and of those it was in since; over a population, of the members that showed it.
    pub(super) before: f64,
    pub(super) present: f64,
    pub(super) born: BucketStart,
    pub(super) last_seen: BucketStart,
}

impl Habits {
    pub(super) fn new(features: usize, at: BucketStart, keeps_members: bool) -> Habits {
        Habits {
            origin: at,
            oddities: vec![Oddities::default(); features],
            known: BTreeMap::new(),
            buckets: 0.0,
            present: 0.0,
            last_seen: at,
            members: keeps_members.then(|| Box::new(Presences::new(at))),
        }
    }

    /// How many series have habits.
    pub(in super::super) fn series(&self) -> u64 {
        self.known.len() as u64
    }

    /// How many of them have a name.
    pub(in super::super) fn named(&self) -> u64 {
        self.known.keys().filter(|by| by.is_some()).count() as u64
    }

    pub(super) fn gain(&self, at: BucketStart, span: BucketSpan) -> f64 {
        let age_ms = (at.millis() - self.origin.millis()) as f64;
        let half_life_ms = HALF_LIFE_MS_MIN.max(HALF_LIFE_BUCKETS_MIN * span.millis() as f64);
        (age_ms / half_life_ms).exp2()
    }

    pub(super) fn bring_to_size(&mut self, at: BucketStart, span: BucketSpan) {
        let gain = self.gain(at, span);
        if gain < GAIN_MAX {
            return;
        }
        let down = gain.recip();
        for one in self.known.values_mut() {
            one.habits.iter_mut().for_each(|habit| habit.scale(down));
            one.before *= down;
            one.present *= down;
        }
        self.oddities.iter_mut().for_each(|one| one.scale(down));
        self.buckets *= down;
        self.present *= down;
        self.origin = at;
    }
}

impl Kept for Habits {
    fn count_bytes(&self, id: &KeptId) -> u64 {
        let known = self.known.iter().map(|(by, one)| one.bytes(by));
        let members = self.members.as_ref();
        let members = members.map_or(0, |all| table_bytes() + all.len() as u64 * member_bytes());
        bytes_around(id, self.oddities.len()) + known.sum::<u64>() + members
    }

    fn last_seen(&self) -> BucketStart {
        self.last_seen
    }

    fn forget(&mut self, at: BucketStart, span: BucketSpan, patience: &dyn Fn(f64) -> f64) {
        let gain = self.gain(at, span);
        self.known.retain(|_, one| {
            let away = span.buckets_between(one.last_seen, at) as f64;
            let lived = (span.buckets_between(one.born, one.last_seen) + 1) as f64;
            one.habits.iter_mut().for_each(|habit| habit.forget(gain));
            away <= patience(lived)
        });
        if let Some(members) = &mut self.members {
            members.forget(at, span, patience);
        }
    }
}

impl Known {
    pub(super) fn new(features: usize, at: BucketStart, before: f64) -> Known {
        Known {
            habits: vec![Habit::default(); features],
            before,
            present: 0.0,
            born: at,
            last_seen: at,
        }
    }

    pub(super) fn bytes(&self, by: &Option<Arc<str>>) -> u64 {
        let habits = self.habits.iter();
        let heap: usize = habits
            .map(|habit| size_of::<Habit>() + habit.heap_bytes())
            .sum();
        (map_bytes::<Option<Arc<str>>, Known>() + text_bytes(by) + heap) as u64
    }
}

pub(super) fn bytes_around(id: &KeptId, features: usize) -> u64 {
    let tables = features * (size_of::<Oddities>() + Oddities::HEAP_BYTES);
    (map_bytes::<KeptId, Habits>() + text_bytes(&id.1) + tables) as u64
}

pub(super) fn table_bytes() -> u64 {
    size_of::<Presences>() as u64
}

pub(super) fn member_bytes() -> u64 {
    map_bytes::<u64, Presence>() as u64
}

/// Bytes of a series with as many places as there may be.
pub(in super::super) fn series_bytes_max(features: usize) -> u64 {
    let habits = features * (size_of::<Habit>() + Habit::BYTES_MAX);
    (map_bytes::<Option<Arc<str>>, Known>() + habits) as u64
}
