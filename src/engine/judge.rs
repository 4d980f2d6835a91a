//! The second door: closed buckets of all gatherers in, one partial bucket a shard out.
use super::snapshot::{RestoreError, Snapshot};
use super::wire::{ClosedBucket, InputId};
use crate::config::Job;
use crate::time::{BucketStart, Finality};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a judge says of one bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartialBucket {
    /// The bucket.
    pub start: BucketStart,
    /// Whether it may be said again.
    pub finality: Finality,
}

/// Everything a judge can be told.
pub enum Input {
    /// A gatherer's bucket.
    Closed {
        /// Which gatherer.
        from: InputId,
        /// Its bucket.
        bucket: ClosedBucket,
    },
    /// A gatherer has said everything before `until`; ends its idleness.
    Watermark {
        /// Which gatherer.
        from: InputId,
        /// Exclusive.
        until: BucketStart,
    },
    /// Do not wait for this gatherer until it speaks again.
    Idle {
        /// Which gatherer.
        from: InputId,
    },
    /// Final: every input has ended. Interim: judge the interim buckets heard of.
    Flush(Finality),
}

/// Everything a judge can say.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A bucket judged.
    Partial(PartialBucket),
    /// Everything before this instant has been said; strictly grows.
    Watermark(BucketStart),
    /// So many events came for a bucket already judged.
    Late {
        /// Events.
        events: u64,
    },
}

/// Owns a shard's models: learns and scores.
pub struct Judge {
    job: Arc<Job>,
}

impl Judge {
    /// A judge that has seen nothing and will wait for every one of `inputs`.
    pub fn new(job: Arc<Job>, _shard: u16, _inputs: Vec<InputId>) -> Judge {
        Judge { job }
    }
    /// Takes one input, says what follows from it.
    #[must_use]
    pub fn handle(&mut self, _input: Input) -> Vec<Output> {
        let _ = &self.job;
        todo!()
    }
    /// The state, also in mid-bucket.
    pub fn snapshot(&self) -> Snapshot {
        todo!()
    }
    /// A judge that goes on exactly where the snapshot was taken.
    pub fn restore(_job: Arc<Job>, _snapshot: &Snapshot) -> Result<Judge, RestoreError> {
        todo!()
    }
}
