//! The series of one entity side by side: those of one partition value that a split, or several detectors, have made.
//!
//! Holds: an entity is of one shard, for shards are made of partition values; it is let go with its last series.

use super::blame::Blame;
use super::correlates::{Correlates, Scene};
use super::memory::map_bytes;
use super::rarity::Rare;
use super::ruling::Rulings;
use super::series::{FeatureKind, Judged, Series};
use super::shelves::Held;
use crate::engine::model::Room;
use crate::engine::model::prefetch::prefetch;
use crate::engine::model::together::{Joint, Together};
use crate::engine::wire::{SeriesBucket, SeriesKey};
use crate::time::{BucketSpan, BucketStart, EventTime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::iter::Peekable;
use std::ops::Range;
use std::sync::Arc;

/// Group and partition value.
pub(super) type EntityId = (u16, Option<Arc<str>>);
/// All entities whose series are judged together.
pub(super) type Entities = BTreeMap<EntityId, Entity>;

/// One series in a bucket, among those of its entity.
pub(super) struct Seat<'s> {
    pub(super) group: u16,
    pub(super) key: &'s SeriesKey,
    pub(super) series: Held<'s, Series>,
    pub(super) bucket: Option<&'s SeriesBucket>,
    pub(super) rare: Option<Rare>,
    /// What rules say of it.
    pub(super) rulings: Rulings,
    /// Which of what was judged in the entity is this one's.
    pub(super) judged: Range<usize>,
}

impl Seat<'_> {
    /// Whether another series is of the same entity.
    pub(super) fn is_beside(&self, group: u16, key: &SeriesKey) -> bool {
        self.group == group && self.key.partition == key.partition
    }
}

/// The entities of a bucket's series, gone through in the order of the series: that is their own, so none has to be looked up.
pub(super) struct Alongside<'e> {
    known: Peekable<btree_map::IterMut<'e, EntityId, Entity>>,
    new: Vec<(EntityId, Entity)>,
}

impl<'e> Alongside<'e> {
    pub(super) fn of(entities: &'e mut Entities) -> Alongside<'e> {
        Alongside {
            known: entities.iter_mut().peekable(),
            new: Vec::new(),
        }
    }

    /// The entity of this seat, if it is known. Seats are asked about in their order, each entity once.
    pub(super) fn of_seat(&mut self, seat: &Seat<'_>) -> Option<&'e mut Entity> {
        let (group, partition) = (seat.group, &seat.key.partition);
        while let Some(((known_group, known_partition), _)) = self.known.peek() {
            // Equal texts that are one in memory are told so at once.
            if *known_group == group && known_partition == partition {
                let found = self.known.next().map(|(_, entity)| entity);
                if let Some((_, next)) = self.known.peek() {
                    prefetch(&**next);
                }
                return found;
            }
            if (*known_group, known_partition) > (group, partition) {
                break;
            }
            self.known.next();
        }
        None
    }

    /// One for this seat, if there is room.
    pub(super) fn begin(
        &mut self,
        seat: &Seat<'_>,
        at: BucketStart,
        room: &mut Room,
    ) -> Option<&mut Entity> {
        let new = Entity::new(at);
        if !room.grant(new.count_bytes() as usize) {
            return None;
        }
        let id = (seat.group, seat.key.partition.clone());
        self.new.push((id, new));
        self.new.last_mut().map(|(_, entity)| entity)
    }

    /// Those that have begun.
    pub(super) fn begun(self) -> Vec<(EntityId, Entity)> {
        self.new
    }
}

/// What an entity's series have shown together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entity {
    together: Together,
    /// Of a job that looks for by values that go together.
    correlates: Option<Box<Correlates>>,
    /// First bucket in which a series was judged.
    pub(super) born: BucketStart,
    /// The last one.
    pub(super) last_seen: BucketStart,
    /// Bytes, as last counted.
    pub(super) bytes: u64,
}

impl Entity {
    /// One that has shown nothing.
    pub(super) fn new(at: BucketStart) -> Entity {
        Entity {
            together: Together::default(),
            correlates: None,
            born: at,
            last_seen: at,
            bytes: 0,
        }
    }

    /// Looks at each value given the series that its own goes with.
    pub(super) fn judge_given(&self, scene: &Scene<'_>, judged: &mut [Judged]) {
        if let Some(correlates) = &self.correlates {
            correlates.judge(scene, judged);
        }
    }

    /// Learns which series go together, growing within the room.
    pub(super) fn learn_correlates(
        &mut self,
        scene: &Scene<'_>,
        start: BucketStart,
        judged: &[Judged],
        room: &mut Room,
    ) {
        if self.correlates.is_none() && room.grant(size_of::<Correlates>()) {
            self.correlates = Some(Box::default());
        }
        if let Some(correlates) = &mut self.correlates {
            correlates.learn(scene, start, judged, room);
        }
    }

    /// What the series show together, and the part of each; `None` while there is nothing to say.
    pub(super) fn judge(
        &self,
        seats: &[Seat<'_>],
        judged: &[Judged],
        at: EventTime,
        span: BucketSpan,
    ) -> Option<Blame> {
        let deviations = judged.iter().map(|one| &one.verdict.deviation);
        let joint = self.together.judge(deviations)?;
        Some(Blame::of(joint, &self.together, seats, judged, at, span))
    }

    /// What is to be learnt of a bucket: what the series have shown together, and the most that any has shown by itself. Without those that
    /// rules keep from teaching.
    pub(super) fn lesson(
        &self,
        blame: Option<&Blame>,
        seats: &[Seat<'_>],
        kinds: &[FeatureKind],
        judged: &[Judged],
    ) -> Option<(Joint, f64)> {
        let teaches = |seat: &Seat<'_>, one: &Judged| seat.rulings.teaches(kinds[one.at].detector);
        if seats.iter().all(|seat| seat.rulings.is_empty()) {
            return blame.map(|blame| (blame.joint, blame.alone));
        }
        let taught: Vec<&Judged> = seats
            .iter()
            .flat_map(|seat| {
                judged[seat.judged.clone()]
                    .iter()
                    .map(move |one| (seat, one))
            })
            .filter(|(seat, one)| teaches(seat, one))
            .map(|(_, one)| one)
            .collect();
        let deviations = taught.iter().map(|one| &one.verdict.deviation);
        let joint = self.together.judge(deviations)?;
        let alone = taught.iter().map(|one| one.verdict.evidence);
        Some((joint, alone.fold(0.0, f64::max)))
    }

    /// Learns what the bucket from `start` has shown, growing within the room.
    pub(super) fn learn(
        &mut self,
        lesson: Option<(Joint, f64)>,
        start: BucketStart,
        room: &mut Room,
    ) {
        if let Some((joint, alone)) = lesson {
            self.together.learn(&joint, room);
            self.together.learn_alone(alone, room);
        }
        self.last_seen = start;
        self.bytes = self.count_bytes();
    }

    /// Bytes of what is known and of the entity's place in the judge's ordered map; the text of its name is counted with its series.
    pub(super) fn count_bytes(&self) -> u64 {
        let correlates = self.correlates.as_ref();
        let correlates = correlates.map_or(0, |one| size_of::<Correlates>() + one.heap_bytes());
        (map_bytes::<EntityId, Entity>() + self.together.heap_bytes() + correlates) as u64
    }
}
