//! What a gatherer's snapshot holds, and how a gatherer goes on from one.
//!
//! Holds: open buckets and their series are sorted, so equal states have equal bytes; what cannot have been this job's is refused as damaged.

use super::categories::Categories;
use super::{Contents, Gatherer};
use crate::config::Job;
use crate::engine::categorize::CategorizersState;
use crate::engine::feed;
use crate::engine::result::DataCounts;
use crate::engine::snapshot::{self, Door, Frozen, RestoreError, Snapshot};
use crate::engine::wire::ClosedBucket;
use crate::time::{EventTime, Finality};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a snapshot holds. The open buckets are sorted and their series too, so equal states have equal bytes.
#[derive(Serialize, Deserialize)]
struct State {
    watermark: Option<EventTime>,
    unplaced: DataCounts,
    open: Vec<ClosedBucket>,
    categories: Option<CategorizersState>,
}

impl Gatherer {
    /// The state, also in mid-bucket; to be written while the gatherer goes on.
    pub fn freeze(&self) -> Frozen {
        let state = State {
            watermark: self.frontier.watermark(),
            unplaced: self.unplaced.clone(),
            open: self.copies(Finality::Interim).collect(),
            categories: self.categories.as_ref().map(Categories::state),
        };
        match &self.differences {
            None if self.late.is_some() => {
                let state = (state, self.late_copies());
                Frozen::new(Door::Gatherer, self.job.fingerprint, state)
            }
            None => Frozen::new(Door::Gatherer, self.job.fingerprint, state),
            Some(differences) => {
                let state = (state, differences.state());
                Frozen::new(Door::Gatherer, self.job.fingerprint, state)
            }
        }
    }

    /// The state as bytes.
    pub fn snapshot(&self) -> Snapshot {
        self.freeze().seal()
    }

    /// A gatherer that goes on exactly where the snapshot was taken.
    pub fn restore(job: Arc<Job>, snapshot: &Snapshot) -> Result<Gatherer, RestoreError> {
        Gatherer::restore_from(job, snapshot.as_bytes())
    }

    pub(in crate::engine) fn restore_from(
        job: Arc<Job>,
        bytes: &[u8],
    ) -> Result<Gatherer, RestoreError> {
        let fingerprint = job.fingerprint;
        let mut gatherer = Gatherer::new(job);
        let mut late: Vec<ClosedBucket> = Vec::new();
        let state = match &mut gatherer.differences {
            None if gatherer.late.is_some() => {
                let state: State;
                (state, late) = snapshot::open(bytes, Door::Gatherer, fingerprint)?;
                state
            }
            None => snapshot::open(bytes, Door::Gatherer, fingerprint)?,
            Some(differences) => {
                let (state, counters): (State, feed::State) =
                    snapshot::open(bytes, Door::Gatherer, fingerprint)?;
                if !differences.resume(counters) {
                    return Err(RestoreError::Damaged("counters do not fit the job"));
                }
                state
            }
        };
        let state: State = state;
        if let (Some(categories), Some(state)) = (&mut gatherer.categories, state.categories) {
            categories.resume(state);
        }
        gatherer.unplaced = state.unplaced;
        gatherer.frontier = gatherer.frontier.resume(state.watermark);
        for bucket in state.open {
            gatherer
                .put(bucket)
                .ok_or(RestoreError::Damaged("an open bucket does not fit the job"))?;
        }
        for bucket in late {
            gatherer
                .put_late(bucket)
                .ok_or(RestoreError::Damaged("a late bucket does not fit the job"))?;
        }
        Ok(gatherer)
    }

    /// Opens a bucket with what a snapshot says of it; `None` when that cannot have been this job's.
    fn put(&mut self, bucket: ClosedBucket) -> Option<()> {
        let time = bucket.start.time();
        if !self.is_whole(&bucket) || self.frontier.is_late(time) {
            return None;
        }
        let (epoch, groups, spare) = (self.epoch, self.layout.groups.len(), &mut self.spare);
        let mut contents = Contents::open(epoch, groups, spare);
        self.fill(&mut contents, bucket)?;
        self.open.at(time, || contents);
        Some(())
    }

    /// Whether a bucket from outside can be this job's.
    pub(super) fn is_whole(&self, bucket: &ClosedBucket) -> bool {
        let time = bucket.start.time();
        let calendar = self.job.bucket_span.bucket_of(EventTime::MIN).time()..=EventTime::MAX;
        let aligned =
            calendar.contains(&time) && self.job.bucket_span.bucket_of(time) == bucket.start;
        let mut series = bucket.series.iter();
        aligned && bucket.is_sorted() && series.all(|series| self.layout.fits(series))
    }

    pub(super) fn fill(&mut self, contents: &mut Contents, bucket: ClosedBucket) -> Option<()> {
        let epoch = self.epoch;
        contents.event_count = bucket.event_count;
        contents.counts = bucket.counts;
        for series in bucket.series {
            let index = usize::from(series.group);
            let group = &self.layout.groups[index];
            let slot = self.entities[index].slot_of(&series.key, &mut self.reader, epoch)?;
            contents.groups[index].put((&self.job, group), slot, series, &mut self.reader, epoch);
        }
        Some(())
    }
}
