//! The doors of a job whose gathering does not merge (categories of messages, which grow with the messages seen), over several input partitions: the
//! events of all of them come to one place in one order, and are gathered, judged and rolled up there.
//!
//! The order is that in which their messages stand in the internal topic: decided once, kept by the log, and the same in every replay of it. Events
//! are gathered as they come, so no more is kept of an open bucket than its accumulators. A bucket closes when the watermarks of all inputs that are not
//! idle have passed it. Holds: results are those of a [`Pipeline`] that is told the same events in the same order, and waits as long for late ones;
//! an event that comes after its bucket was closed is counted. Checked: tests/engine/ordered.rs, tests/categories_of_several.rs.

use super::forecast::{Request, Yield};
use super::frontier::Frontier;
use super::gatherer;
use super::pipeline::{Output, Pipeline};
use super::projector::EventBatch;
use super::result::Document;
use super::snapshot::{self, Door, Frozen, RestoreError, Snapshot};
use super::wire::{Heard, InputId, Pieces};
use crate::config::Job;
use crate::time::{BucketStart, EventTime, Finality};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Everything the door can be told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Events of an input.
    Events {
        /// Which.
        from: InputId,
        /// The events, in order.
        batch: EventBatch,
    },
    /// An input has no more to say of the buckets before `until`; ends its idleness.
    Watermark {
        /// Which.
        from: InputId,
        /// Exclusive.
        until: BucketStart,
    },
    /// Do not wait for this input until it speaks again.
    Idle {
        /// Which.
        from: InputId,
    },
    /// Wait for this input again, though it has no more to say yet.
    Awake {
        /// Which.
        from: InputId,
    },
    /// Final: every input has ended. Interim: say what is in the open buckets, and keep them.
    Flush(Finality),
}

/// Events of all inputs, in one order → results.
pub struct Ordered {
    job: Arc<Job>,
    frontier: Frontier,
    /// What has come of messages in pieces.
    pieces: Pieces,
    pipeline: Pipeline,
}

impl Ordered {
    /// A door that has seen nothing and will wait for every one of `inputs`.
    pub fn new(job: Arc<Job>, inputs: Vec<InputId>) -> Ordered {
        Ordered {
            frontier: Frontier::new(inputs),
            pieces: Pieces::default(),
            pipeline: Pipeline::new(job.clone()).guided(),
            job,
        }
    }

    /// Takes one input, says what follows from it.
    #[must_use]
    pub fn handle(&mut self, input: Input) -> Vec<Output> {
        match input {
            Input::Events { from, batch } => self.events(&from, &batch),
            Input::Watermark { from, until } => {
                self.frontier.hear(from, until);
                self.advance()
            }
            Input::Idle { from } => {
                self.frontier.idle(from);
                self.advance()
            }
            Input::Awake { from } => {
                self.frontier.wake(&from);
                Vec::new()
            }
            Input::Flush(finality) => self.pipeline.handle(gatherer::Input::Flush(finality)),
        }
    }

    fn events(&mut self, from: &InputId, batch: &EventBatch) -> Vec<Output> {
        self.frontier.wake(from);
        if !batch.fits(&self.job) {
            // Not of this job's shape: the wire was damaged in a way its checks did not see. Counted as late rather than gathered wrongly.
            return vec![Output::Late {
                events: batch.events.len() as u64,
            }];
        }
        self.pipeline.refuse(&batch.refused);
        let (mut outputs, mut late) = (Vec::new(), 0);
        for event in &batch.events {
            let said =
                event.with_event(|event| self.pipeline.handle(gatherer::Input::Event(event)));
            for output in said {
                match output {
                    Output::Rejected(_) => late += 1, // its input had taken it: nobody waited for that input
                    output => outputs.push(output),
                }
            }
        }
        if late > 0 {
            outputs.push(Output::Late { events: late });
        }
        outputs
    }

    fn advance(&mut self) -> Vec<Output> {
        match self.frontier.reach() {
            Some(until) => self.pipeline.handle(gatherer::Input::Advance(until.time())),
            None => Vec::new(),
        }
    }

    /// What `from` says with these bytes: an input to hand over, once it is whole.
    pub fn read(&mut self, from: &InputId, bytes: &[u8]) -> Heard {
        self.pieces.take(from, bytes)
    }

    /// Every bucket that ends at or before this is closed.
    pub fn watermark(&self) -> Option<EventTime> {
        self.pipeline.watermark()
    }

    /// As [`Pipeline::pruned_series`].
    pub fn pruned_series(&self) -> u64 {
        self.pipeline.pruned_series()
    }

    /// As [`Pipeline::forecast_start`].
    pub fn forecast_start(&self) -> Option<BucketStart> {
        self.pipeline.forecast_start()
    }

    /// As [`Pipeline::forecast`].
    pub fn forecast(
        &self,
        request: &Request,
        say: &mut dyn FnMut(Document) -> ControlFlow<()>,
    ) -> Yield {
        self.pipeline.forecast(request, say)
    }

    /// The state, also in mid-bucket; to be written while the door goes on.
    pub fn freeze(&self) -> Frozen {
        let (fingerprint, parts) = (self.job.fingerprint, [self.pipeline.freeze()]);
        let own = (self.frontier.clone(), self.pieces.clone());
        Frozen::of_parts(Door::Ordered, fingerprint, own, parts)
    }

    /// The state as bytes.
    pub fn snapshot(&self) -> Snapshot {
        self.freeze().seal()
    }

    /// A door that goes on exactly where the snapshot was taken.
    pub fn restore(job: Arc<Job>, snapshot: &Snapshot) -> Result<Ordered, RestoreError> {
        let ((frontier, pieces), pipeline): ((Frontier, Pieces), &[u8]) =
            snapshot::open(snapshot.as_bytes(), Door::Ordered, job.fingerprint)?;
        let pipeline = Pipeline::restore_from(job.clone(), pipeline)?.guided();
        Ok(Ordered {
            job,
            frontier,
            pieces,
            pipeline,
        })
    }
}
