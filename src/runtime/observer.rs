//! What happens in the runtime, as named facts: each one a counter, a log line, or both, for whoever implements [`Observer`].
//!
//! Durations are milliseconds. Facts come on the thread of the service they speak of, after what they tell has happened.

use super::log::{Revocation, TopicPartition};
use super::store::SnapshotKey;
use super::task::Measured;
use crate::alert::Notice;
use crate::config::Job;
use crate::engine::event::Rejection;
use crate::engine::result::{BucketSummary, Document};
use crate::engine::rollup::Revision;
use crate::time::EventTime;
use std::sync::Arc;

/// Something that has happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fact<'a> {
    /// The loop has turned once more.
    Breath {
        /// Whether every assigned task is restored.
        ready: bool,
        /// Whether every assigned task has read everything.
        at_end: bool,
    },
    /// A batch was taken in.
    Consumed {
        /// From where.
        at: &'a TopicPartition,
        /// Messages.
        messages: u64,
        /// Bytes of their values.
        bytes: u64,
        /// Messages that still lie ahead, where known.
        lag: Option<u64>,
    },
    /// So many messages lie ahead by now, though nothing was taken in: markers of transactions turned out to be all that did, or the log has grown
    /// while the partition was held back.
    Lag {
        /// Of which partition.
        at: &'a TopicPartition,
        /// How many.
        messages: u64,
    },
    /// Of the messages taken in, so many had been fetched, and as far as may be decoded, by another job of this process.
    Shared {
        /// From where.
        at: &'a TopicPartition,
        /// Messages.
        messages: u64,
    },
    /// So many inputs are held back from now on, because they are far ahead of the slowest in event time.
    Paused {
        /// How many.
        inputs: usize,
    },
    /// Something was refused, and sent to the dead letters (except while replaying: then it had been sent before).
    Rejected {
        /// From where.
        at: &'a TopicPartition,
        /// Its offset.
        offset: i64,
        /// Why.
        rejection: &'a Rejection,
    },
    /// So many events of a batch were none that the job's query selects. They are no dead letters.
    PassedOver {
        /// From where.
        at: &'a TopicPartition,
        /// Events.
        events: u64,
    },
    /// So many messages of a batch had no value: they say that a key is no more, which is no event, and no dead letter.
    Tombstones {
        /// From where.
        at: &'a TopicPartition,
        /// Messages.
        messages: u64,
    },
    /// An internal message that no stage of this build can read was passed over.
    Unreadable {
        /// From where.
        at: &'a TopicPartition,
        /// Its offset.
        offset: i64,
        /// Why.
        error: String,
    },
    /// So many events reached a judge after it had judged their bucket: their gatherer had been taken for idle.
    LateForJudge {
        /// The judge.
        at: &'a TopicPartition,
        /// Events.
        events: u64,
    },
    /// A bucket's results are published: after the commit when final, at once when interim.
    Bucket {
        /// The partition whose task writes the job's results.
        at: &'a TopicPartition,
        /// What is known of it.
        summary: &'a BucketSummary,
    },
    /// Results of a closed bucket have been said again, for events that came late.
    Revised {
        /// Which, and for how many.
        revision: Revision,
    },
    /// One of the strongest records of a bucket, or one of the plots that are remembered, is published; it comes before the bucket.
    Result {
        /// The document.
        document: &'a Document,
    },
    /// So many records and plots were published that are not told as [`Fact::Result`].
    LeftOut {
        /// How many.
        documents: u64,
    },
    /// A task has measured itself.
    Measured {
        /// What.
        measured: &'a Measured,
    },
    /// The watermark of an input partition, milliseconds since the epoch.
    Watermark {
        /// Which partition.
        at: &'a TopicPartition,
        /// Event time.
        event_time_ms: i64,
    },
    /// An input partition is silent and is not waited for any more.
    Idle {
        /// Which.
        at: &'a TopicPartition,
    },
    /// A transaction became visible.
    Committed {
        /// Messages in it.
        messages: usize,
        /// How long it took.
        duration_ms: i64,
    },
    /// A transaction did not become visible; it will be sent again as far as it is still ours, or its partitions are restored.
    Aborted {
        /// Why.
        error: String,
    },
    /// A snapshot is stored.
    Snapshot {
        /// Which.
        key: &'a SnapshotKey,
        /// Bytes in the store.
        bytes: usize,
        /// How long writing and storing took; the task went on meanwhile.
        duration_ms: i64,
    },
    /// A snapshot could not be stored; the next one will be tried in its time.
    SnapshotFailed {
        /// Which.
        key: &'a SnapshotKey,
        /// Why.
        error: String,
    },
    /// The store did not take in time what was to be safe before partitions are left: whoever goes on with them replays more.
    SnapshotsNotAwaited {
        /// How many are not stored.
        tasks: usize,
    },
    /// Older snapshots could not be deleted; that is tried again with the next one.
    SnapshotsNotForgotten {
        /// The one that is newer.
        key: &'a SnapshotKey,
        /// Why.
        error: String,
    },
    /// Results that had become older than the job keeps them are withdrawn.
    Expired {
        /// How many documents.
        documents: u64,
        /// Those of buckets before this time.
        before: EventTime,
    },
    /// Old results could not be withdrawn, or not all of them; that is tried again.
    NotExpired {
        /// Why.
        error: String,
    },
    /// A snapshot did not restore and is passed over: the next older one is taken, or the log's beginning.
    SnapshotUnusable {
        /// Which.
        key: &'a SnapshotKey,
        /// Why.
        error: String,
    },
    /// The store does not answer, and without its snapshots the task would begin with less than it knew, because the log no longer reaches back to where it
    /// began: it waits for the store.
    SnapshotsAwaited {
        /// Who waits.
        at: &'a TopicPartition,
        /// What the store said.
        error: String,
    },
    /// A committed position is none that this service has written: somebody has set it by Kafka's own tools. It is not gone by.
    PositionNotOurs {
        /// Which partition.
        at: &'a TopicPartition,
        /// What it was set to.
        offset: i64,
    },
    /// An offset that the job says it starts at is not where it begins.
    StartNotMet {
        /// What was said, and what is so.
        why: String,
    },
    /// A partition became ours; its task begins at `from` and is live from `live_from` on.
    Assigned {
        /// Which.
        at: &'a TopicPartition,
        /// The snapshot that it goes on from; `None`: from nothing.
        snapshot: Option<&'a SnapshotKey>,
        /// Where reading begins.
        from: i64,
        /// Where replay ends.
        live_from: i64,
        /// How long the restoring took.
        duration_ms: i64,
    },
    /// A replay is over; the task is live.
    Replayed {
        /// Which.
        at: &'a TopicPartition,
        /// Messages replayed.
        messages: u64,
        /// How long it took.
        duration_ms: i64,
    },
    /// An input topic does not exist any more; what was read of it has been said.
    TopicGone {
        /// Its name.
        topic: &'a str,
    },
    /// An input topic was made anew, or has lost its newest messages: its partition is read from its present start (or end), with the state that the task had.
    TopicRenewed {
        /// Which partition.
        at: &'a TopicPartition,
        /// The offset of the old one that was to be read next.
        from: i64,
        /// Where reading goes on.
        to: i64,
    },
    /// An input topic has more partitions than when the job was laid out.
    PartitionsAdded {
        /// Its name.
        topic: &'a str,
        /// How many it had; 0: the topic itself is new.
        before: i32,
        /// How many it has.
        count: i32,
    },
    /// Messages that should have been read, or replayed, are gone from the log: from here on the results differ from those of an unbroken run.
    Gap {
        /// Where.
        at: &'a TopicPartition,
        /// The first that is missed.
        from: i64,
        /// The first that is there.
        to: i64,
    },
    /// The position had vanished (expired, or the group was deleted) and a snapshot stood in for it: results after it may be published twice, with equal ids.
    PositionVanished {
        /// Where.
        at: &'a TopicPartition,
        /// Where the task goes on.
        from: i64,
    },
    /// What was committed belongs to another configuration of the job: it learns anew from the log's beginning, and publishes nothing again.
    Reconfigured {
        /// Where.
        at: &'a TopicPartition,
    },
    /// The log did not answer; it is asked again.
    Unavailable {
        /// Why.
        error: String,
    },
    /// The job cannot be worked, and is tried again: its topics are missing, a right, what a later build has written.
    NotAtWork {
        /// Why.
        error: String,
    },
    /// Something was told of an incident: it is in the alerts topic.
    Alert {
        /// What.
        notice: &'a Notice,
    },
    /// The state of a job's alerts is there and cannot be read yet: another job's transaction is open before it. Whoever writes the results waits for it,
    /// and nobody else.
    AlertStateAwaited {
        /// Who waits.
        at: &'a TopicPartition,
        /// The version that belongs to the committed position.
        version: u64,
    },
    /// The state of a job's alerts does not read; its incidents are forgotten, and nobody is told of their end.
    AlertStateUnusable {
        /// Why.
        error: String,
    },
    /// A receiver was told of alerts, or not.
    Notified {
        /// Who.
        receiver: &'a str,
        /// How it went: `delivered`, `failed` (to be tried again), `refused` or `stale`.
        outcome: &'static str,
        /// How many.
        alerts: u64,
    },
    /// What became of spans since it was last told. Of no job.
    Spans {
        /// The collector has so many more.
        exported: u64,
        /// So many found no room in the queue.
        dropped: u64,
        /// So many were refused, or could not be delivered.
        failed: u64,
        /// What is to be said of it, once.
        news: Option<Delivery<'a>>,
    },
    /// A job is put to work here, for the first time or as it is now.
    JobStarted {
        /// As it is now.
        job: &'a Arc<Job>,
    },
    /// A job is at work here no more, and is not meant to be.
    JobStopped,
    /// Job files that were looked at anew: so many of them are refused as they are. Of no job.
    JobFiles {
        /// New refusals, each naming its file and every mistake in it.
        refusals: &'a [String],
        /// All that stand.
        refused: usize,
    },
    /// Partitions left.
    Revoked {
        /// Which.
        partitions: &'a [TopicPartition],
        /// How.
        how: Revocation,
    },
}

/// How the delivery of spans goes from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery<'a> {
    /// Well again.
    Works,
    /// Requests fail.
    Fails(&'a str),
    /// There are more than can be sent.
    Overflows,
}

/// Hears of facts. One job's facts come with its id; several services may share an observer.
pub trait Observer: Send + Sync {
    /// Hears one.
    fn observe(&self, job_id: &str, fact: &Fact<'_>);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&self, _job_id: &str, _fact: &Fact<'_>) {}
}
