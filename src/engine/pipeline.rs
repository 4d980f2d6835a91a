//! The doors fused: [`Pipeline`] (all three; one input partition, or `detect`) and [`Keyed`] (gatherer and judge).
use super::event::Rejection;
use super::judge::PartialBucket;
use super::result::{BucketSummary, Document, DocumentId};
use super::snapshot::{RestoreError, Snapshot};
use super::wire::InputId;
use super::{gatherer, judge, rollup};
use crate::config::Job;
use crate::time::{BucketStart, EventTime};
use std::sync::Arc;

/// Everything a pipeline can say.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// The event just handed over came too late.
    Rejected(Rejection),
    /// A result document, or a new word on one said before (same id).
    Result(Document),
    /// An interim document that no final one replaces.
    Retract(DocumentId),
    /// A bucket is done.
    Closed(BucketSummary),
}

/// Gatherer, judge and rollup in one.
pub struct Pipeline {
    #[allow(dead_code)]
    job: Arc<Job>,
}

impl Pipeline {
    /// A pipeline that has seen nothing.
    pub fn new(job: Arc<Job>) -> Pipeline {
        Pipeline { job }
    }
    /// Takes one input, says what follows from it.
    #[must_use]
    pub fn handle(&mut self, _input: gatherer::Input<'_>) -> Vec<Output> {
        todo!()
    }
    /// The gatherer's watermark.
    pub fn watermark(&self) -> Option<EventTime> {
        todo!()
    }
    /// The state, also in mid-bucket.
    pub fn snapshot(&self) -> Snapshot {
        todo!()
    }
    /// A pipeline that goes on exactly where the snapshot was taken.
    pub fn restore(_job: Arc<Job>, _snapshot: &Snapshot) -> Result<Pipeline, RestoreError> {
        todo!()
    }
}

/// Everything a keyed pair can say.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyedOutput {
    /// The event just handed over came too late.
    Rejected(Rejection),
    /// A bucket judged.
    Partial(PartialBucket),
    /// Everything before this instant has been said; strictly grows.
    Watermark(BucketStart),
}

/// Gatherer and judge in one, for a topic that is keyed by the job's partition field.
pub struct Keyed {
    #[allow(dead_code)]
    job: Arc<Job>,
}

impl Keyed {
    /// A pair that has seen nothing; `input` is the partition it reads.
    pub fn new(job: Arc<Job>, _input: InputId) -> Keyed {
        Keyed { job }
    }
    /// Takes one input, says what follows from it.
    #[must_use]
    pub fn handle(&mut self, _input: gatherer::Input<'_>) -> Vec<KeyedOutput> {
        todo!()
    }
    /// The gatherer's watermark.
    pub fn watermark(&self) -> Option<EventTime> {
        todo!()
    }
    /// The state, also in mid-bucket.
    pub fn snapshot(&self) -> Snapshot {
        todo!()
    }
    /// A pair that goes on exactly where the snapshot was taken.
    pub fn restore(_job: Arc<Job>, _snapshot: &Snapshot) -> Result<Keyed, RestoreError> {
        todo!()
    }
}

#[allow(dead_code)]
fn doors() -> Option<(judge::Input, rollup::Input)> {
    None
}
