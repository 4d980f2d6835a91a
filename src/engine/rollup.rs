//! The third door: partial buckets of all shards in, results out.
use super::judge::PartialBucket;
use super::result::{BucketSummary, Document, DocumentId};
use super::snapshot::{RestoreError, Snapshot};
use super::wire::InputId;
use crate::config::Job;
use crate::time::{BucketStart, Finality};
use std::sync::Arc;

/// Everything a rollup can be told.
pub enum Input {
    /// A judge's bucket.
    Partial {
        /// Which judge.
        from: InputId,
        /// Its bucket.
        bucket: PartialBucket,
    },
    /// A judge has said everything before `until`; ends its idleness.
    Watermark {
        /// Which judge.
        from: InputId,
        /// Exclusive.
        until: BucketStart,
    },
    /// Do not wait for this judge until it speaks again.
    Idle {
        /// Which judge.
        from: InputId,
    },
    /// Final: every input has ended (totals are said). Interim: say the interim buckets heard of.
    Flush(Finality),
}

/// Everything a rollup can say.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A result document, or a new word on one said before (same id).
    Result(Document),
    /// An interim document that no final one replaces.
    Retract(DocumentId),
    /// A bucket is done; for counters and progress.
    Closed(BucketSummary),
}

/// Merges a job's partial buckets into results; the only writer of them.
pub struct Rollup {
    job: Arc<Job>,
}

impl Rollup {
    /// A rollup that has seen nothing and will wait for every one of `inputs`.
    pub fn new(job: Arc<Job>, _inputs: Vec<InputId>) -> Rollup {
        Rollup { job }
    }
    /// Takes one input, says what follows from it.
    #[must_use]
    pub fn handle(&mut self, _input: Input) -> Vec<Output> {
        let _ = &self.job;
        todo!()
    }
    /// The state.
    pub fn snapshot(&self) -> Snapshot {
        todo!()
    }
    /// A rollup that goes on exactly where the snapshot was taken.
    pub fn restore(_job: Arc<Job>, _snapshot: &Snapshot) -> Result<Rollup, RestoreError> {
        todo!()
    }
}
