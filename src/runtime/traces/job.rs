//! The spans of one job, on the thread that works it.
//!
//! A span is built when what it tells of is over, with the times that were noted, so that nothing is held open inside a task; only a trace's
//! first span, a replay and a snapshot are open for a while. Holds: whatever happens to a task, its open spans end (they end when they are dropped).

use super::super::store::{SnapshotKey, StoreError};
use super::super::task::{Placement, StageKind, Step, Steps, Work};
use crate::runtime::log::TopicPartition;
use crate::time::BucketStart;
use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;
use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

/// A partition's way until its task is live.
pub(super) const RESTORE: &str = "restore";
/// A snapshot's until it is stored.
pub(super) const SNAPSHOT: &str = "snapshot";

/// An instant, by both clocks: one to say when, one to measure by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    at: SystemTime,
    instant: Instant,
}

impl Moment {
    fn now() -> Moment {
        Moment {
            at: SystemTime::now(),
            instant: Instant::now(),
        }
    }

    /// What time it was then. An instant before this one counts as this one.
    fn time_of(&self, then: Instant) -> SystemTime {
        self.at + then.saturating_duration_since(self.instant)
    }
}

/// A batch that a task has taken in.
pub(crate) struct Batch<'a> {
    pub(crate) at: &'a TopicPartition,
    pub(crate) stage: StageKind,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Events refused.
    pub(crate) rejected: u64,
    /// The next offset to read.
    pub(crate) position: i64,
    /// Event time up to which the input is done, milliseconds.
    pub(crate) watermark_ms: Option<i64>,
}

/// A transaction that was tried.
pub(crate) struct Committing<'a> {
    pub(crate) messages: usize,
    pub(crate) partitions: usize,
    /// Final buckets whose results are in it.
    pub(crate) buckets: usize,
    /// Why it did not happen.
    pub(crate) error: Option<&'a str>,
    /// Whether it will be tried again with the same words.
    pub(crate) again: bool,
}

/// The spans of one job, or none.
pub(crate) struct JobTraces(Option<Box<Spans>>);

struct Spans {
    tracer: SdkTracer,
    job: [KeyValue; 3],
    group: String,
    transaction: Option<Transaction>,
    restores: BTreeMap<TopicPartition, Restore>,
}

struct Transaction {
    span: Context,
    batches: i64,
    messages: u64,
}

struct Restore {
    span: Context,
    attempt: Moment,
    replay: Option<Context>,
}

impl JobTraces {
    pub(super) fn none() -> JobTraces {
        JobTraces(None)
    }

    pub(super) fn new(
        tracer: SdkTracer,
        job_id: &str,
        placement: Placement,
        group: String,
    ) -> JobTraces {
        let placement = format!("{placement:?}").to_ascii_lowercase();
        JobTraces(Some(Box::new(Spans {
            tracer,
            job: [
                KeyValue::new("tidewatch.job_id", job_id.to_owned()),
                KeyValue::new("tidewatch.placement", placement),
                KeyValue::new("messaging.system", "kafka"),
            ],
            group,
            transaction: None,
            restores: BTreeMap::new(),
        })))
    }

    /// Whether there are any.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Now, if anybody wants to know.
    pub(crate) fn now(&self) -> Option<Moment> {
        self.is_on().then(Moment::now)
    }

    /// A partition is about to be restored, perhaps not for the first time.
    pub(crate) fn restoring(&mut self, at: &TopicPartition, stage: StageKind) {
        let Some(spans) = &mut self.0 else { return };
        let attempt = Moment::now();
        if let Some(restore) = spans.restores.get_mut(at) {
            restore.attempt = attempt;
            return;
        }
        let mut attributes = spans.of_partition(at, stage);
        attributes.push(KeyValue::new(
            "messaging.consumer.group.name",
            spans.group.clone(),
        ));
        let restore = Restore {
            span: spans.begin(RESTORE, SpanKind::Internal, attempt.at, attributes, None),
            attempt,
            replay: None,
        };
        spans.restores.insert(at.clone(), restore);
    }

    /// It is restored: it reads from `from` on, with nothing said before `live_from`.
    pub(crate) fn restored(
        &mut self,
        at: &TopicPartition,
        snapshot: Option<&SnapshotKey>,
        (from, live_from): (i64, i64),
    ) {
        let Some(spans) = &mut self.0 else { return };
        let Some(mut restore) = spans.restores.remove(at) else {
            return;
        };
        let mut loaded = spans.job.to_vec();
        if let Some(key) = snapshot {
            loaded.push(KeyValue::new("tidewatch.snapshot", key.to_string()));
        }
        let (parent, since) = (Some(&restore.span), restore.attempt.at);
        let load = spans.begin("load snapshot", SpanKind::Client, since, loaded, parent);
        load.span().end();
        let span = restore.span.span();
        span.set_attribute(KeyValue::new("tidewatch.offset.from", from));
        span.set_attribute(KeyValue::new("tidewatch.offset.live_from", live_from));
        if from < live_from {
            let (now, job) = (SystemTime::now(), spans.job.to_vec());
            let replay = spans.begin("replay", SpanKind::Internal, now, job, Some(&restore.span));
            restore.replay = Some(replay);
            spans.restores.insert(at.clone(), restore);
        }
    }

    /// Its replay is over; it is live.
    pub(crate) fn replayed(&mut self, at: &TopicPartition, messages: u64) {
        let restore = self.0.as_mut().and_then(|spans| spans.restores.remove(at));
        let Some(restore) = restore else { return };
        if let Some(replay) = &restore.replay {
            let count = KeyValue::new("messaging.batch.message_count", whole(messages));
            replay.span().set_attribute(count);
            replay.span().end();
        }
        restore.span.span().end();
    }

    /// These partitions are ours no more.
    pub(crate) fn left(&mut self, partitions: &[TopicPartition]) {
        let Some(spans) = &mut self.0 else { return };
        for at in partitions {
            if let Some(restore) = spans.restores.remove(at) {
                fail(&restore.span, "the partition left before its task was live");
            }
        }
    }

    /// A batch was taken in since `began`, and this was done to buckets meanwhile.
    pub(crate) fn batch(&mut self, began: Option<Moment>, batch: &Batch<'_>, steps: Steps) {
        let (Some(spans), Some(began)) = (&mut self.0, began) else {
            return;
        };
        if batch.messages == 0 {
            return;
        }
        let parent = spans.parent_of(batch, began);
        if !parent.span().is_recording() {
            return; // what is not sampled is not built either
        }
        let name = format!("process {}", batch.at.topic);
        let attributes = spans.of_batch(batch, steps.left_out);
        let span = spans.begin(
            name,
            SpanKind::Consumer,
            began.at,
            attributes,
            Some(&parent),
        );
        for step in &steps.kept {
            spans.step(&span, began, batch.stage, step);
        }
        span.span().end();
    }

    /// A transaction was tried, since `began`.
    pub(crate) fn committed(&mut self, began: Option<Moment>, committing: &Committing<'_>) {
        let (Some(spans), Some(began)) = (&mut self.0, began) else {
            return;
        };
        let Some(transaction) = spans.transaction.take() else {
            return; // nothing was read for it: a word of the clock
        };
        if transaction.span.span().is_recording() {
            let mut attributes = spans.job.to_vec();
            attributes.extend([
                KeyValue::new("messaging.operation.name", "commit"),
                KeyValue::new("messaging.operation.type", "settle"),
                KeyValue::new(
                    "messaging.batch.message_count",
                    whole(committing.messages as u64),
                ),
                KeyValue::new(
                    "tidewatch.partition.count",
                    whole(committing.partitions as u64),
                ),
                KeyValue::new("tidewatch.bucket.count", whole(committing.buckets as u64)),
            ]);
            let parent = Some(&transaction.span);
            let span = spans.begin("commit", SpanKind::Client, began.at, attributes, parent);
            if let Some(error) = committing.error {
                fail(&span, error);
                let failed = KeyValue::new("tidewatch.commit.failed", true);
                transaction.span.span().set_attribute(failed);
            }
            span.span().end();
        }
        if committing.again {
            spans.transaction = Some(transaction);
            return;
        }
        if let Some(error) = committing.error {
            fail(&transaction.span, error);
        }
        let span = transaction.span.span();
        span.set_attributes([
            KeyValue::new("tidewatch.batch.count", transaction.batches),
            KeyValue::new("tidewatch.message.count", whole(transaction.messages)),
        ]);
        span.end();
    }

    /// A task's state was frozen since `began`, to be stored under `key`.
    pub(crate) fn frozen(&self, began: Option<Moment>, key: &SnapshotKey) -> SnapshotTrace {
        let (Some(spans), Some(began)) = (&self.0, began) else {
            return SnapshotTrace(None);
        };
        let mut attributes = spans.job.to_vec();
        attributes.push(KeyValue::new("tidewatch.snapshot", key.to_string()));
        let span = spans.begin(SNAPSHOT, SpanKind::Internal, began.at, attributes, None);
        let (kind, job) = (SpanKind::Internal, spans.job.to_vec());
        let freeze = spans.begin("freeze", kind, began.at, job, Some(&span));
        freeze.span().end();
        SnapshotTrace(Some(Storing {
            tracer: spans.tracer.clone(),
            job: spans.job.to_vec(),
            span,
        }))
    }
}

impl Spans {
    fn begin(
        &self,
        name: impl Into<std::borrow::Cow<'static, str>>,
        kind: SpanKind,
        at: SystemTime,
        attributes: Vec<KeyValue>,
        parent: Option<&Context>,
    ) -> Context {
        begin(&self.tracer, name, kind, at, attributes, parent)
    }

    /// The replay that a batch belongs to, or the transaction that it will be in.
    fn parent_of(&mut self, batch: &Batch<'_>, began: Moment) -> Context {
        let restore = self.restores.get(batch.at);
        if let Some(replay) = restore.and_then(|restore| restore.replay.as_ref()) {
            return replay.clone();
        }
        if self.transaction.is_none() {
            let mut attributes = self.job.to_vec();
            attributes.push(KeyValue::new(
                "messaging.consumer.group.name",
                self.group.clone(),
            ));
            let kind = SpanKind::Internal;
            self.transaction = Some(Transaction {
                span: self.begin("transaction", kind, began.at, attributes, None),
                batches: 0,
                messages: 0,
            });
        }
        let transaction = self.transaction.as_mut().expect("it was begun just now");
        transaction.batches += 1;
        transaction.messages += batch.messages;
        transaction.span.clone()
    }

    fn of_partition(&self, at: &TopicPartition, stage: StageKind) -> Vec<KeyValue> {
        let mut attributes = self.job.to_vec();
        attributes.extend([
            KeyValue::new("tidewatch.stage", stage.label()),
            KeyValue::new("messaging.destination.name", at.topic.to_string()),
            KeyValue::new(
                "messaging.destination.partition.id",
                at.partition.to_string(),
            ),
        ]);
        attributes
    }

    fn of_batch(&self, batch: &Batch<'_>, left_out: u64) -> Vec<KeyValue> {
        let mut attributes = self.of_partition(batch.at, batch.stage);
        attributes.extend([
            KeyValue::new("messaging.operation.name", "process"),
            KeyValue::new("messaging.operation.type", "process"),
            KeyValue::new("messaging.consumer.group.name", self.group.clone()),
            KeyValue::new("messaging.batch.message_count", whole(batch.messages)),
            KeyValue::new("tidewatch.batch.bytes", whole(batch.bytes)),
            KeyValue::new("tidewatch.rejected.count", whole(batch.rejected)),
            KeyValue::new("tidewatch.offset.next", batch.position),
        ]);
        if let Some(ms) = batch.watermark_ms {
            attributes.push(KeyValue::new("tidewatch.watermark_ms", ms));
        }
        if left_out > 0 {
            attributes.push(KeyValue::new("tidewatch.spans_left_out", whole(left_out)));
        }
        attributes
    }

    fn step(&self, parent: &Context, began: Moment, stage: StageKind, step: &Step) {
        let name = match step.work {
            Work::Close => "close",
            Work::Judge => "judge",
            Work::RollUp => "roll up",
        };
        let mut attributes = self.job.to_vec();
        let iso = |start: BucketStart| start.to_string();
        attributes.extend([
            KeyValue::new("tidewatch.stage", stage.label()),
            KeyValue::new("tidewatch.bucket.start", iso(step.first)),
            KeyValue::new("tidewatch.bucket.count", i64::from(step.buckets)),
            KeyValue::new("tidewatch.event.count", whole(step.events)),
        ]);
        if step.buckets > 1 {
            attributes.push(KeyValue::new("tidewatch.bucket.last", iso(step.last)));
        }
        let (kind, at) = (SpanKind::Internal, began.time_of(step.began));
        let span = self.begin(name, kind, at, attributes, Some(parent));
        span.span().end_with_timestamp(at + step.took);
    }
}

/// A snapshot on its way into the store, on whatever thread.
#[derive(Default)]
pub(crate) struct SnapshotTrace(Option<Storing>);

struct Storing {
    tracer: SdkTracer,
    job: Vec<KeyValue>,
    span: Context,
}

impl SnapshotTrace {
    /// Now, if anybody wants to know.
    pub(crate) fn now(&self) -> Option<Moment> {
        self.0.is_some().then(Moment::now)
    }

    /// It is stored, or is not; that began then.
    pub(crate) fn stored(self, began: Option<Moment>, stored: &Result<u64, StoreError>) {
        let (Some(storing), Some(began)) = (self.0, began) else {
            return;
        };
        let (kind, parent) = (SpanKind::Client, Some(&storing.span));
        let store = begin(
            &storing.tracer,
            "store",
            kind,
            began.at,
            storing.job,
            parent,
        );
        match stored {
            Ok(bytes) => {
                let bytes = KeyValue::new("tidewatch.snapshot.bytes", whole(*bytes));
                storing.span.span().set_attribute(bytes);
            }
            Err(error) => {
                fail(&store, &error.to_string());
                fail(&storing.span, "not stored");
            }
        }
        store.span().end();
        storing.span.span().end();
    }
}

fn begin(
    tracer: &SdkTracer,
    name: impl Into<std::borrow::Cow<'static, str>>,
    kind: SpanKind,
    at: SystemTime,
    attributes: Vec<KeyValue>,
    parent: Option<&Context>,
) -> Context {
    let builder = tracer.span_builder(name);
    let builder = builder
        .with_kind(kind)
        .with_start_time(at)
        .with_attributes(attributes);
    // Never that of the thread: whoever embeds the service may have one of his own.
    let nobody = Context::new();
    let parent = parent.unwrap_or(&nobody);
    parent.with_span(tracer.build_with_context(builder, parent))
}

fn fail(span: &Context, error: &str) {
    span.span().set_status(Status::error(error.to_owned()));
}

/// Attributes are signed.
fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
