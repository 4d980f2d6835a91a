//! The doors fused: [`Pipeline`] (all three; one input partition, or `detect`) and [`Keyed`] (gatherer and judge).
//!
//! Holds: a fused door says what its parts would have said apart, in the same order, and nothing else.

use super::categorize::{CategoryNews, Word};
use super::event::Rejection;
use super::forecast::{Request, Yield};
use super::gatherer::{self, Gatherer};
use super::judge::{self, Judge, PartialBucket, RevisedBucket};
use super::keys::{Announced, News};
use super::result::{BucketSummary, DataCounts, Document, DocumentId};
use super::rollup::{self, Revision, Rollup};
use super::snapshot::{self, Door, Frozen, RestoreError, Snapshot};
use super::wire::InputId;
use crate::config::Job;
use crate::time::{BucketStart, EventTime, Finality};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
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
    /// Documents of a closed bucket have just been said again, for events that came late.
    Revised(Revision),
    /// So many events came for a bucket whose result can no longer be re-opened.
    Late {
        /// Events.
        events: u64,
    },
}

/// Everything a keyed pair can say.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyedOutput {
    /// The event just handed over came too late.
    Rejected(Rejection),
    /// A bucket judged.
    Partial(PartialBucket),
    /// A bucket judged again, with what has come late.
    Revised(Box<RevisedBucket>),
    /// Everything before this instant has been said; strictly grows.
    Watermark(BucketStart),
    /// So many events came for a bucket whose result can no longer be re-opened.
    Late {
        /// Events.
        events: u64,
    },
}

/// Gatherer and judge in one, for a topic that is keyed by the job's partition field.
pub struct Keyed {
    job: Arc<Job>,
    input: InputId,
    gatherer: Gatherer,
    judge: Judge,
    /// `None` where there is no other pair that might meet the same values.
    announced: Option<Announced>,
}

/// Values of closed buckets that were not announced yet, by bucket.
type Met = BTreeMap<BucketStart, News>;

impl Keyed {
    /// A pair that has seen nothing; `input` is the partition it reads.
    pub fn new(job: Arc<Job>, input: InputId) -> Keyed {
        Keyed {
            announced: Some(Announced::default()),
            ..Keyed::alone(job, input)
        }
    }

    /// The same, where no other reads the topic.
    fn alone(job: Arc<Job>, input: InputId) -> Keyed {
        let (gatherer, judge) = (
            Gatherer::new(job.clone()),
            Judge::new(job.clone(), 0, vec![input.clone()]),
        );
        Keyed {
            job,
            input,
            gatherer,
            judge,
            announced: None,
        }
    }

    /// The same, as one of `pairs` among which the series and the memory limit are shared out.
    #[must_use]
    pub fn among(self, pairs: u16) -> Keyed {
        Keyed {
            judge: self.judge.among(pairs),
            ..self
        }
    }

    /// Takes one input, says what follows from it.
    #[must_use]
    #[inline]
    pub fn handle(&mut self, input: gatherer::Input<'_>) -> Vec<KeyedOutput> {
        let flush = if let gatherer::Input::Flush(finality) = input {
            Some(finality)
        } else {
            None
        };
        let gathered = self.gatherer.handle(input);
        if gathered.is_empty() && flush.is_none() {
            return Vec::new();
        }
        self.go_on(gathered, flush)
    }

    /// What follows from what the gatherer said. Apart from the way of most events, after which it says nothing.
    #[inline(never)]
    fn go_on(
        &mut self,
        gathered: Vec<gatherer::Output>,
        flush: Option<Finality>,
    ) -> Vec<KeyedOutput> {
        let (mut outputs, mut met) = (Vec::new(), Met::new());
        for one in gathered {
            self.meet(&one, &mut met);
            let input = match one {
                gatherer::Output::Rejected(rejection) => {
                    outputs.push(KeyedOutput::Rejected(rejection));
                    continue;
                }
                gatherer::Output::Closed(bucket) => judge::Input::Closed {
                    from: self.input.clone(),
                    bucket,
                },
                gatherer::Output::Late(bucket) => judge::Input::Late {
                    from: self.input.clone(),
                    bucket,
                },
                gatherer::Output::Watermark(until) => judge::Input::Watermark {
                    from: self.input.clone(),
                    until,
                },
            };
            self.judge(input, &mut met, &mut outputs);
        }
        if let Some(finality) = flush {
            self.judge(judge::Input::Flush(finality), &mut met, &mut outputs);
        }
        outputs
    }

    /// The open buckets judged as if they closed now, and so many empty ones behind them: what others may close without this input. Nothing is learnt.
    pub fn as_they_stand(&mut self, following: u32) -> Vec<PartialBucket> {
        let open = self.gatherer.as_they_stand();
        self.judge.judge_as_they_stand(open, following)
    }

    /// Notes the partition-field values of a closed bucket; the word on the bucket itself follows in the same breath, with them.
    fn meet(&self, gathered: &gatherer::Output, met: &mut Met) {
        let (gatherer::Output::Closed(bucket) | gatherer::Output::Late(bucket)) = gathered else {
            return;
        };
        if let Some(announced) = &self.announced
            && bucket.finality == Finality::Final
            && !bucket.series.is_empty()
        {
            announced.collect(&bucket.series, met.entry(bucket.start).or_default());
        }
    }

    fn judge(&mut self, input: judge::Input, met: &mut Met, outputs: &mut Vec<KeyedOutput>) {
        for output in self.judge.handle(input) {
            match output {
                judge::Output::Partial(mut partial) => {
                    if partial.finality == Finality::Final
                        && let Some(announced) = &mut self.announced
                    {
                        let later = met.split_off(&BucketStart(partial.start.0 + 1));
                        let news = std::mem::replace(met, later).into_values().flatten();
                        partial.keys = announced.announce(news.collect());
                    }
                    outputs.push(KeyedOutput::Partial(partial));
                }
                judge::Output::Watermark(until) => outputs.push(KeyedOutput::Watermark(until)),
                judge::Output::Revised(bucket) => outputs.push(KeyedOutput::Revised(bucket)),
                // Its one gatherer closes a bucket once: only what would re-open a result comes late here.
                judge::Output::Late { events } => outputs.push(KeyedOutput::Late { events }),
            }
        }
    }

    /// What is new of the categories of messages; `None` for a job without.
    pub(crate) fn category_news(&mut self, word: Word) -> Option<CategoryNews> {
        self.gatherer.category_news(word)
    }

    /// The gatherer's watermark.
    pub fn watermark(&self) -> Option<EventTime> {
        self.gatherer.watermark()
    }

    /// How many events the job's query has passed over since this pair was made or restored.
    pub fn passed_over(&self) -> u64 {
        self.gatherer.passed_over()
    }

    /// As [`Judge::pruned_series`].
    pub fn pruned_series(&self) -> u64 {
        self.judge.pruned_series()
    }

    /// As [`Judge::forecast_start`].
    pub fn forecast_start(&self) -> Option<BucketStart> {
        self.judge.forecast_start()
    }

    /// As [`Judge::forecast`].
    pub fn forecast(
        &self,
        request: &Request,
        say: &mut dyn FnMut(Document) -> ControlFlow<()>,
    ) -> Yield {
        self.judge.forecast(request, say)
    }

    /// The state, also in mid-bucket; to be written while the pair goes on.
    pub fn freeze(&self) -> Frozen {
        let parts = [self.gatherer.freeze(), self.judge.freeze()];
        let own = (self.input.clone(), self.announced.clone());
        Frozen::of_parts(Door::Keyed, self.job.fingerprint, own, parts)
    }

    /// The state as bytes.
    pub fn snapshot(&self) -> Snapshot {
        self.freeze().seal()
    }

    /// A pair that goes on exactly where the snapshot was taken.
    pub fn restore(job: Arc<Job>, snapshot: &Snapshot) -> Result<Keyed, RestoreError> {
        Keyed::restore_from(job, snapshot.as_bytes())
    }

    fn restore_from(job: Arc<Job>, bytes: &[u8]) -> Result<Keyed, RestoreError> {
        type Own = (InputId, Option<Announced>);
        let ((input, announced), gatherer, judge): (Own, &[u8], &[u8]) =
            snapshot::open(bytes, Door::Keyed, job.fingerprint)?;
        let gatherer = Gatherer::restore_from(job.clone(), gatherer)?;
        let judge = Judge::restore_from(job.clone(), judge)?;
        Ok(Keyed {
            job,
            input,
            gatherer,
            judge,
            announced,
        })
    }
}

/// Gatherer, judge and rollup in one.
pub struct Pipeline {
    job: Arc<Job>,
    keyed: Keyed,
    rollup: Rollup,
}

impl Pipeline {
    /// A pipeline that has seen nothing.
    pub fn new(job: Arc<Job>) -> Pipeline {
        let keyed = Keyed::alone(job.clone(), fused_input());
        Pipeline {
            keyed,
            rollup: Rollup::new(job.clone(), vec![fused_input()]),
            job,
        }
    }

    /// The same, of events that come from several inputs: only [`gatherer::Input::Advance`] moves the watermark.
    pub(super) fn guided(mut self) -> Pipeline {
        self.keyed.gatherer.guide();
        self
    }

    /// Counts what was refused before it came here.
    pub(super) fn refuse(&mut self, counts: &DataCounts) {
        self.keyed.gatherer.refuse(counts);
    }

    /// Takes one input, says what follows from it.
    #[must_use]
    #[inline]
    pub fn handle(&mut self, input: gatherer::Input<'_>) -> Vec<Output> {
        let flush: Option<Finality> = if let gatherer::Input::Flush(finality) = input {
            Some(finality)
        } else {
            None
        };
        let judged = self.keyed.handle(input);
        if judged.is_empty() && flush.is_none() {
            return Vec::new();
        }
        self.go_on(judged, flush)
    }

    /// What follows from what the judge said.
    #[inline(never)]
    fn go_on(&mut self, judged: Vec<KeyedOutput>, flush: Option<Finality>) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.say_categories(&judged, flush, &mut outputs);
        for one in judged {
            let input = match one {
                KeyedOutput::Rejected(rejection) => {
                    outputs.push(Output::Rejected(rejection));
                    continue;
                }
                KeyedOutput::Partial(bucket) => rollup::Input::Partial {
                    from: fused_input(),
                    bucket,
                },
                KeyedOutput::Revised(bucket) => rollup::Input::Revised {
                    from: fused_input(),
                    bucket,
                },
                KeyedOutput::Watermark(until) => rollup::Input::Watermark {
                    from: fused_input(),
                    until,
                },
                KeyedOutput::Late { events } => {
                    outputs.push(Output::Late { events });
                    continue;
                }
            };
            outputs.extend(self.rollup.handle(input).into_iter().map(Output::from));
        }
        if let Some(finality) = flush {
            outputs.extend(
                self.rollup
                    .handle(rollup::Input::Flush(finality))
                    .into_iter()
                    .map(Output::from),
            );
        }
        outputs
    }

    /// Definitions of categories, before the results that name them: whenever buckets were closed, and at the end.
    fn say_categories(
        &mut self,
        judged: &[KeyedOutput],
        flush: Option<Finality>,
        outputs: &mut Vec<Output>,
    ) {
        let closed = judged.iter().rev().find_map(|one| match one {
            KeyedOutput::Watermark(until) => Some(*until),
            _ => None,
        });
        let word = match flush {
            Some(Finality::Final) => Word::Last,
            _ if closed.is_some() => Word::Next,
            _ => return,
        };
        let Some(news) = self.keyed.category_news(word) else {
            return;
        };
        let span_ms = self.job.bucket_span.millis();
        let watermark = || {
            self.watermark()
                .map(|time| self.job.bucket_span.bucket_of(time))
        };
        let at = closed
            .map(|until| BucketStart(until.0 - span_ms))
            .or_else(watermark)
            .unwrap_or(BucketStart(0));
        let said = self.rollup.handle(rollup::Input::Categories { at, news });
        outputs.extend(said.into_iter().map(Output::from));
    }

    /// The gatherer's watermark.
    pub fn watermark(&self) -> Option<EventTime> {
        self.keyed.watermark()
    }

    /// How many events the job's query has passed over since this pipeline was made or restored.
    pub fn passed_over(&self) -> u64 {
        self.keyed.passed_over()
    }

    /// As [`Judge::pruned_series`].
    pub fn pruned_series(&self) -> u64 {
        self.keyed.pruned_series()
    }

    /// As [`Judge::forecast_start`].
    pub fn forecast_start(&self) -> Option<BucketStart> {
        self.keyed.forecast_start()
    }

    /// As [`Judge::forecast`].
    pub fn forecast(
        &self,
        request: &Request,
        say: &mut dyn FnMut(Document) -> ControlFlow<()>,
    ) -> Yield {
        self.keyed.forecast(request, say)
    }

    /// The state, also in mid-bucket; to be written while the pipeline goes on.
    pub fn freeze(&self) -> Frozen {
        let parts = [self.keyed.freeze(), self.rollup.freeze()];
        Frozen::of_parts(Door::Pipeline, self.job.fingerprint, (), parts)
    }

    /// The state as bytes.
    pub fn snapshot(&self) -> Snapshot {
        self.freeze().seal()
    }

    /// A pipeline that goes on exactly where the snapshot was taken.
    pub fn restore(job: Arc<Job>, snapshot: &Snapshot) -> Result<Pipeline, RestoreError> {
        Pipeline::restore_from(job, snapshot.as_bytes())
    }

    pub(super) fn restore_from(job: Arc<Job>, bytes: &[u8]) -> Result<Pipeline, RestoreError> {
        let (keyed, rollup): (&[u8], &[u8]) =
            snapshot::open(bytes, Door::Pipeline, job.fingerprint)?;
        let keyed = Keyed::restore_from(job.clone(), keyed)?;
        let rollup = Rollup::restore_from(job.clone(), rollup)?;
        Ok(Pipeline { job, keyed, rollup })
    }
}

impl From<rollup::Output> for Output {
    fn from(output: rollup::Output) -> Output {
        match output {
            rollup::Output::Result(document) => Output::Result(document),
            rollup::Output::Retract(id) => Output::Retract(id),
            rollup::Output::Closed(summary) => Output::Closed(summary),
            rollup::Output::Revised(revision) => Output::Revised(revision),
            rollup::Output::Late { events } => Output::Late { events },
        }
    }
}

/// The one input of fused doors.
fn fused_input() -> InputId {
    InputId("fused/0".to_owned())
}
