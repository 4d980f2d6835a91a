//! What one bucket of one series was reduced to, as plain data: the form in which accumulators leave the gatherer and reach the judge.
//!
//! Holds: shares are sorted by (influencer, value), each once; merging keeps them so and is associative and commutative to the bit.
//! [`Layout::fits`] tells whether a series from outside can be of a job. Checked: engine/wire.rs, tests/gatherer.rs.

use super::{Accumulator, Layout};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::cmp::Ordering;
use std::mem;
use std::sync::Arc;

/// The values that tell one series of a split from another; `None` where the split has no such field.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesKey {
    /// Value of the partition field (`""` when the event had none).
    pub partition: Option<Arc<str>>,
    /// Value of the over field: a member of the population.
    pub over: Option<Arc<str>>,
    /// Value of the by field.
    pub by: Option<Arc<str>>,
}

impl SeriesKey {
    /// As `cmp`. Names of long standing are the same text in memory, which is seen at once.
    pub(crate) fn compare(&self, other: &SeriesKey) -> Ordering {
        let compare = |a: &Option<Arc<str>>, b: &Option<Arc<str>>| match (a, b) {
            (Some(a), Some(b)) if Arc::ptr_eq(a, b) => Ordering::Equal,
            _ => a.cmp(b),
        };
        compare(&self.partition, &other.partition)
            .then_with(|| compare(&self.over, &other.over))
            .then_with(|| compare(&self.by, &other.by))
    }
}

/// One accumulator for each feature of a group, in its order. Most groups have one feature, which then needs no memory of its own.
pub type Row = SmallVec<[Accumulator; 1]>;

/// What one bucket of one series (of one split group) was reduced to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesBucket {
    /// Index into [`Layout::groups`].
    pub group: u16,
    /// Which series.
    pub key: SeriesKey,
    /// One accumulator for each feature of the group.
    pub cells: Row,
    /// The same for the events of one influencer value alone; sorted by (influencer, value).
    pub shares: Vec<Share>,
}

/// The part of a series' bucket that one influencer value brought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Index into [`Job::influencers`](crate::config::Job).
    pub influencer: u16,
    /// The influencer field's value.
    pub value: Arc<str>,
    /// One accumulator for each feature of the group.
    pub cells: Row,
}

impl SeriesBucket {
    /// Whether the shares are in order, each once.
    pub fn is_sorted(&self) -> bool {
        self.shares
            .is_sorted_by(|a, b| (a.influencer, &a.value) < (b.influencer, &b.value))
    }

    /// Adds another part of the same series' bucket; associative and commutative to the bit.
    pub fn merge(&mut self, other: SeriesBucket) {
        merge_cells(&mut self.cells, &other.cells);
        self.shares = merge_sorted(
            mem::take(&mut self.shares),
            other.shares,
            |a, b| (a.influencer, &a.value).cmp(&(b.influencer, &b.value)),
            |mine, other| merge_cells(&mut mine.cells, &other.cells),
        );
    }
}

fn merge_cells(mine: &mut [Accumulator], others: &[Accumulator]) {
    debug_assert_eq!(mine.len(), others.len(), "cells of one group");
    for (cell, other) in mine.iter_mut().zip(others) {
        cell.merge(other);
    }
}

/// Two sorted lists as one; equals are merged.
pub(crate) fn merge_sorted<T>(
    left: Vec<T>,
    right: Vec<T>,
    compare: impl Fn(&T, &T) -> Ordering,
    merge: impl Fn(&mut T, T),
) -> Vec<T> {
    let mut merged = Vec::with_capacity(left.len().max(right.len()));
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) => compare(a, b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return merged,
        };
        match order {
            Ordering::Less => merged.extend(left.next()),
            Ordering::Greater => merged.extend(right.next()),
            Ordering::Equal => {
                if let (Some(mut mine), Some(other)) = (left.next(), right.next()) {
                    merge(&mut mine, other);
                    merged.push(mine);
                }
            }
        }
    }
}

impl Layout {
    /// Whether a series has the shape of its group: the right split fields, a cell of the right statistic for each feature, shares of
    /// influencers that have them. What does not fit was written by another job, or never by a gatherer.
    pub fn fits(&self, series: &SeriesBucket) -> bool {
        let Some(group) = self.groups.get(usize::from(series.group)) else {
            return false;
        };
        let cells_fit = |cells: &[Accumulator]| {
            let wanted = group.features.iter().map(|feature| feature.statistic);
            cells.iter().map(Accumulator::statistic).eq(wanted)
        };
        let share_fits = |share: &Share| {
            group.shared_influencers.contains(&share.influencer) && cells_fit(&share.cells)
        };
        series.key.partition.is_some() == group.partition.is_some()
            && series.key.over.is_some() == group.over.is_some()
            && series.key.by.is_some() == group.by.is_some()
            && cells_fit(&series.cells)
            && series.shares.iter().all(share_fits)
    }
}
