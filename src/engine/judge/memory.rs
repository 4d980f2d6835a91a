//! The memory limit, kept: who may come, who may grow, who has to go.
//!
//! A new series is admitted while a tenth of the limit is left; that tenth is for what is known to grow into. A known series grows
//! ([`Room`]) up to the limit itself; refused, it goes on learning in what it has. From four fifths of the limit on, a series has to go when it was not
//! seen for longer than it had lived: what a flood brought once goes within [`PATIENCE_MIN`] buckets, what was there for weeks stays for weeks.
//! Holds: the bytes counted are never more than the shard's share of the limit, whatever comes; they are the sum over the series, by
//! rules that depend on their contents only, so that a restored judge counts the same.
//! Checked: tests/memory.rs (the allocator's own count, floods, random streams).

use super::customs::Customs;
use super::entity::Entity;
use super::habits::Habits;
use super::kept;
use super::partial::ShardSize;
use super::population::Population;
use super::rare::Table;
use super::series::Series;
use super::{Judge, Layout, State};
use crate::config::Job;
use crate::engine::feature::Group;
use crate::engine::model::Room;
use crate::engine::result::MemoryStatus;
use crate::engine::wire::SeriesKey;
use crate::time::BucketStart;
use std::sync::Arc;

/// Buckets without an event for which every series is kept, however short it lived.
pub(super) const PATIENCE_MIN: i64 = 12;
/// Looking through all series at every bucket would cost as much as judging them.
const PRUNE_EVERY: i64 = 16;

/// Bytes that an entry takes in an ordered map. Keys that come in order leave 6 of the 11 places of a B-tree's node taken, which is how full
/// nodes are at the least (but after many have left); a restored map is packed closer.
pub(super) fn map_bytes<Key, Value>() -> usize {
    const NODE_PLACES: usize = 11;
    const PLACES_TAKEN: usize = 6;
    const NODE_HEAD: usize = 32; // of a leaf, and its share of the node above it
    let entry = size_of::<Key>() + size_of::<Value>();
    (entry * NODE_PLACES + NODE_HEAD).div_ceil(PLACES_TAKEN)
}

/// Bytes of a shared text.
pub(super) fn text_bytes(text: &Option<Arc<str>>) -> usize {
    const COUNTERS: usize = 16;
    text.as_ref().map_or(0, |text| {
        (text.len() + COUNTERS).next_multiple_of(align_of::<usize>())
    })
}

/// How many buckets what was there in so many may be away: the prune window or, `near` the limit, as many as it was there.
pub(super) fn patience(window: f64, near: bool) -> impl Fn(f64) -> f64 {
    move |lived| match near {
        true => window.min(lived.max(PATIENCE_MIN as f64)),
        false => window,
    }
}

/// A shard's part of the job's memory limit.
#[derive(Clone, Copy)]
pub(super) struct Budget {
    limit: u64,
}

impl Budget {
    /// The part of `shard`, one of `judges`. Series with a partition field are spread over all, those with a by field only are with shard 0; the
    /// limit goes with them, in proportion to their features.
    pub(super) fn of(job: &Job, layout: &Layout, shard: u16, judges: u16) -> Budget {
        let features = |wanted: fn(&Group) -> bool| -> u128 {
            let groups = layout.groups.iter().filter(|group| wanted(group));
            groups.map(|group| group.features.len() as u128).sum()
        };
        let spread = features(|group| group.partition.is_some());
        let central = features(|group| {
            group.partition.is_none() && (group.by.is_some() || group.over.is_some())
        });
        let (whole, judges) = (
            u128::from(job.models_memory_bytes()),
            u128::from(judges.max(1)),
        );
        let limit = match shard {
            0 if spread + central == 0 => whole,
            _ if spread + central == 0 => 0,
            0 => whole * (central * judges + spread) / ((spread + central) * judges),
            _ => whole * spread / ((spread + central) * judges),
        };
        Budget {
            limit: limit as u64,
        }
    }

    /// Bytes.
    pub(super) fn limit(self) -> u64 {
        self.limit
    }

    /// Whether a new series of so many bytes may come.
    pub(super) fn admits(self, size: &ShardSize, bytes: u64) -> bool {
        size.model_bytes + bytes <= self.admitted()
    }

    /// What known series may still grow by.
    pub(super) fn room(self, size: &ShardSize) -> Room {
        Room::of(self.limit.saturating_sub(size.model_bytes))
    }

    fn admitted(self) -> u64 {
        self.limit - self.limit / 10
    }

    fn is_near(self, size: &ShardSize) -> bool {
        size.model_bytes >= self.limit - self.limit / 5 && size.series > 0
    }

    fn status(self, size: &ShardSize, refused: bool) -> MemoryStatus {
        if refused || (self.is_near(size) && size.model_bytes >= self.admitted()) {
            MemoryStatus::HardLimit
        } else if self.is_near(size) {
            MemoryStatus::SoftLimit
        } else {
            MemoryStatus::Ok
        }
    }
}

impl ShardSize {
    /// After a series has learnt in `room`.
    pub(super) fn recount(&mut self, series: &mut Series, key: &SeriesKey, room: &Room) {
        let bytes = series.count_bytes(key);
        self.model_bytes = self.model_bytes - u64::from(series.bytes) + bytes;
        series.bytes = bytes as u32;
        self.refused_growth += u64::from(room.has_refused());
    }
}

impl Judge {
    /// Lets go of series that were not seen for the prune window; near the limit, of those not seen for longer than they lived. Whether any went.
    pub(super) fn prune(&mut self, start: BucketStart) -> bool {
        let span = self.job.bucket_span;
        let near = self.budget.is_near(&self.state.size);
        if !near && (start.millis() / span.millis()) % PRUNE_EVERY != 0 {
            return false;
        }
        debug_assert_eq!(
            self.state.size.model_bytes,
            self.recounted(),
            "the total is the sum"
        );
        let window = i64::from(self.job.prune_window_buckets);
        let before = self.state.series.len();
        let size = &mut self.state.size;
        let when = (start, span);
        let limits = (self.job.prune_window_buckets, near);
        let rare_went = kept::prune(&mut self.state.rare, size, when, limits);
        let members_went = kept::prune(&mut self.state.populations, size, when, limits);
        let customs_went = kept::prune(&mut self.state.customs, size, when, limits);
        let habits_went = kept::prune(&mut self.state.habits, size, when, limits);
        let mut stays = |born: BucketStart, last_seen: BucketStart, bytes: u64| {
            let lived = span.buckets_between(born, last_seen) + 1;
            let patience = match near {
                true => window.min(lived.max(PATIENCE_MIN)),
                false => window,
            };
            let keep = span.buckets_between(last_seen, start) <= patience;
            if !keep {
                size.model_bytes -= bytes;
            }
            keep
        };
        let series = &mut self.state.series;
        series.retain(|_, one| stays(one.born, one.last_seen, one.bytes.into()));
        let entities = &mut self.state.entities;
        entities.retain(|_, one| stays(one.born, one.last_seen, one.bytes));
        let pruned = before - self.state.series.len();
        self.pruned += pruned as u64;
        pruned > 0 || rare_went || members_went || customs_went || habits_went
    }

    /// The bytes of all series, entities and tables of rare values, counted anew.
    fn recounted(&self) -> u64 {
        let series = self.state.series.iter();
        let entities = self.state.entities.values().map(Entity::count_bytes);
        let State {
            rare,
            populations,
            customs,
            habits,
            ..
        } = &self.state;
        series
            .map(|((_, key), one)| one.count_bytes(key))
            .chain(entities)
            .chain([kept::bytes(rare), kept::bytes(populations)])
            .chain([kept::bytes(customs), kept::bytes(habits)])
            .sum()
    }

    /// Ends a bucket's accounts; `refused_before` were the refusals when it began, `pruned` says that series went.
    pub(super) fn count_size(&mut self, refused_before: u64, pruned: bool) {
        let rare = self.state.rare.values().map(Table::values);
        let crowds = self.state.populations.values().map(Population::attributes);
        let customs = self.state.customs.values().map(Customs::attributes);
        let habits = self.state.habits.values().map(Habits::series);
        let others: u64 = rare.chain(crowds).chain(customs).chain(habits).sum();
        let series = self.state.series.len() as u64 + others;
        let members = self.state.populations.values().map(Population::members);
        let members = members.chain(self.state.customs.values().map(Customs::members));
        self.state.size.over_values = members.sum();
        if pruned || self.state.size.series != series {
            self.state.size.series = series;
            self.count_values();
        }
        let size = &mut self.state.size;
        let refused = size.refusals() > refused_before;
        size.allocation_failures += u64::from(refused);
        size.status = self.budget.status(size, refused);
    }

    fn count_values(&mut self) {
        let (mut by_values, mut partitions) = (0, 0);
        let mut last: Option<(u16, &Option<Arc<str>>)> = None;
        for (group, key) in self.state.series.keys() {
            by_values += u64::from(key.by.is_some());
            if last != Some((*group, &key.partition)) {
                partitions += 1;
                last = Some((*group, &key.partition));
            }
        }
        let State {
            rare,
            populations,
            customs,
            habits,
            size,
            ..
        } = &mut self.state;
        let named = rare.values().map(Table::values);
        let named = named.chain(populations.values().map(Population::named_attributes));
        let named = named.chain(customs.values().map(Customs::attributes));
        let named = named.chain(habits.values().map(Habits::named));
        size.by_values = by_values + named.sum::<u64>();
        size.partitions =
            partitions + (rare.len() + populations.len() + customs.len() + habits.len()) as u64;
    }
}
