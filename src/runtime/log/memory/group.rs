//! A consumer group in memory: members, generations, who owns what, what is committed.
//!
//! A change of membership raises the generation and sets new targets. A member learns of it at its next poll; until then the group
//! refuses its commits. A partition goes from hand to hand in two steps: its owner is told, and lets go at the poll after that; only then
//! has it an owner again. Holds: at no time has a partition two owners, except that an evicted member still believes what it last heard.

use super::super::{Position, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

/// How partitions move when the membership changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Assignor {
    /// A member keeps what it will own again and releases the rest.
    #[default]
    Cooperative,
    /// Every member releases everything first.
    Eager,
}

#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) generation: u64,
    pub(super) assignor: Assignor,
    pub(super) committed: BTreeMap<TopicPartition, Position>,
    members: BTreeMap<u64, BTreeSet<TopicPartition>>,
    targets: BTreeMap<TopicPartition, u64>,
    owners: BTreeMap<TopicPartition, u64>,
    rotation: usize,
}

impl Group {
    pub(super) fn join(&mut self, member: u64, wanted: BTreeSet<TopicPartition>) {
        self.members.insert(member, wanted);
        self.rebalance();
    }

    /// The member is gone (by itself, or because its session ended): all that it owned is free.
    pub(super) fn remove(&mut self, member: u64) {
        if self.members.remove(&member).is_some() {
            self.owners.retain(|_, owner| *owner != member);
            self.rebalance();
        }
    }

    pub(super) fn members(&self) -> usize {
        self.members.len()
    }

    pub(super) fn is_member(&self, member: u64) -> bool {
        self.members.contains_key(&member)
    }

    /// Moves every target one member further: a rebalance that changes much.
    pub(super) fn rotate(&mut self) {
        self.rotation += 1;
        self.rebalance();
    }

    /// What `member` owns and is to give up.
    pub(super) fn to_release(&self, member: u64) -> Vec<TopicPartition> {
        let keeps = |at: &TopicPartition| {
            self.assignor == Assignor::Cooperative && self.targets.get(at) == Some(&member)
        };
        self.owned(member).filter(|at| !keeps(at)).collect()
    }

    /// The member lets go; the group assigns again.
    pub(super) fn release(&mut self, member: u64, partitions: &[TopicPartition]) {
        for at in partitions {
            if self.owners.get(at) == Some(&member) {
                self.owners.remove(at);
            }
        }
    }

    /// What is meant for `member` and has no owner.
    pub(super) fn free_for(&self, member: u64) -> Vec<TopicPartition> {
        self.targets
            .iter()
            .filter(|&(at, target)| *target == member && !self.owners.contains_key(at))
            .map(|(at, _)| at.clone())
            .collect()
    }

    /// Makes `member` the owner of partitions that have none.
    pub(super) fn give(&mut self, member: u64, partitions: &[TopicPartition]) {
        for at in partitions {
            let former = self.owners.insert(at.clone(), member);
            assert_eq!(former, None, "{at} has an owner already");
        }
    }

    fn owned(&self, member: u64) -> impl Iterator<Item = TopicPartition> + '_ {
        self.owners
            .iter()
            .filter(move |&(_, owner)| *owner == member)
            .map(|(at, _)| at.clone())
    }

    fn rebalance(&mut self) {
        self.generation += 1;
        let partitions: BTreeSet<&TopicPartition> = self.members.values().flatten().collect();
        let mut targets = BTreeMap::new();
        for (number, at) in partitions.into_iter().enumerate() {
            let candidates: Vec<u64> = self
                .members
                .iter()
                .filter(|(_, wanted)| wanted.contains(at))
                .map(|(member, _)| *member)
                .collect();
            targets.insert(
                at.clone(),
                candidates[(number + self.rotation) % candidates.len()],
            );
        }
        self.targets = targets;
    }
}
