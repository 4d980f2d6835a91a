//! The first door: events of one input partition in, closed buckets out.
use super::event::{Event, Rejection};
use super::snapshot::{RestoreError, Snapshot};
use super::wire::ClosedBucket;
use crate::config::Job;
use crate::time::{BucketStart, EventTime, Finality};
use std::sync::Arc;

/// Everything a gatherer can be told.
pub enum Input<'a> {
    /// One decoded event.
    Event(&'a Event<'a>),
    /// Something that the decoder or the shell refused: counted.
    Rejected(&'a Rejection),
    /// The watermark is at least here; never makes it retreat.
    Advance(EventTime),
    /// Interim: say what is in the open buckets and keep them. Final: the input has ended, close everything.
    Flush(Finality),
}

/// Everything a gatherer can say.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A bucket with events, in time order.
    Closed(ClosedBucket),
    /// Everything before this instant is closed and has been said; strictly grows.
    Watermark(BucketStart),
    /// The event just handed over came too late.
    Rejected(Rejection),
}

/// Events of one input partition → closed buckets.
pub struct Gatherer {
    job: Arc<Job>,
}

impl Gatherer {
    /// A gatherer that has seen nothing.
    pub fn new(job: Arc<Job>) -> Gatherer {
        Gatherer { job }
    }
    /// Takes one input, says what follows from it.
    #[must_use]
    pub fn handle(&mut self, _input: Input<'_>) -> Vec<Output> {
        let _ = &self.job;
        todo!()
    }
    /// The largest event time seen minus the allowed lateness; `None` before the first event.
    pub fn watermark(&self) -> Option<EventTime> {
        todo!()
    }
    /// The state, also in mid-bucket.
    pub fn snapshot(&self) -> Snapshot {
        todo!()
    }
    /// A gatherer that goes on exactly where the snapshot was taken.
    pub fn restore(_job: Arc<Job>, _snapshot: &Snapshot) -> Result<Gatherer, RestoreError> {
        todo!()
    }
}
