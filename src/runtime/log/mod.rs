//! The narrow interface to a partitioned log: what Tidewatch needs of Kafka, and no more.
//!
//! ```text
//!            ┌────────── poll ──────────► Handler: assigned · revoked · batch
//!   owner ───┤ seek · lag                      (called on the owner's thread, inside poll)
//!   thread   └────────── commit ────────► messages and input positions, atomically
//! ```
//!
//! A [`Log`] belongs to one thread and is one member of one consumer group. Nothing here is asynchronous and nothing is hidden on a
//! timer: whatever the group decided is told inside [`Log::poll`], in order. Every reader is `read_committed`.
//!
//! Laws (both implementations; the simulation and the tests on a real Kafka check them):
//!
//! 1. *Silence before the seek.* An assigned partition delivers nothing until [`Log::seek`] has said where to begin.
//! 2. *Order.* A partition's batches come in offset order from there; offsets grow but are not consecutive.
//! 3. *Revocation in two steps.* After [`Handler::revoked`] with [`Revocation::Released`] the partitions are still ours, and may be
//!    committed, until the next call of `poll` lets them go; no batch of theirs comes any more. With [`Revocation::Lost`] they are
//!    gone already.
//! 4. *Atomic commit.* All of a transaction becomes visible, or none of it; an error other than [`CommitError::Fatal`] says that none did.
//! 5. *Fencing.* A member whose group has gone on without it commits nothing: not its messages, not its positions. But the group
//!    checks the member, not the partitions: **a transaction must only hold partitions that are assigned at the moment of the call**.
//!    The owner sees to that (`Service` forgets a partition when it is told of its loss, and commits from the same thread).
//! 6. *Positions return.* The position and metadata committed last for a partition come back in [`Assignment`], whoever committed them.
//!    An implementation first makes sure that no transaction that might still change them is open.

mod bell;
mod groups;
pub mod memory;
pub mod shared;

pub use bell::Bell;
pub use groups::Groups;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The longest metadata text that a broker keeps beside a committed position, bytes (Kafka's `offset.metadata.max.bytes`).
pub const METADATA_BYTES_MAX: usize = 4096;

/// The longest message that is written, key included and headers not, bytes. Brokers take 1,048,588 of a batch unless told otherwise (`message.max.bytes`),
/// librdkafka a million of a message with its headers.
pub const MESSAGE_BYTES_MAX: usize = 990_000;

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// Which of its partitions, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> TopicPartition {
        TopicPartition {
            topic: topic.into(),
            partition,
        }
    }
}

impl fmt::Display for TopicPartition {
    /// `topic/3`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// Which topic of its name: one that is deleted and made again has another. Random, 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub u128);

impl fmt::Display for TopicId {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A message read, borrowed from the client's buffer for the time of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its place in the partition.
    pub offset: i64,
    /// The message's timestamp, milliseconds since the epoch; `None` when it has none.
    pub timestamp_ms: Option<i64>,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
}

/// A message to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to.
    pub topic: Arc<str>,
    /// Which partition; `None`: the key decides (the client's own partitioner), or any partition when there is no key.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// The headers, in order.
    pub headers: Vec<(&'static str, String)>,
    /// Milliseconds since the epoch; `None`: the time of writing.
    pub timestamp_ms: Option<i64>,
}

impl Outgoing {
    /// Bytes of key and value: what an outbox counts.
    pub fn bytes(&self) -> usize {
        self.key.as_ref().map_or(0, Vec::len) + self.payload.as_ref().map_or(0, Vec::len)
    }
}

/// The next offset to read in a partition, and what its owner wrote beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The offset after the last message that counts as done.
    pub next_offset: i64,
    /// Free text, at most [`METADATA_BYTES_MAX`] bytes.
    pub metadata: String,
}

/// A partition that has become ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Which.
    pub at: TopicPartition,
    /// What was committed for it last; `None` when nothing ever was (or it has expired).
    pub committed: Option<Position>,
    /// The oldest offset that the log still holds.
    pub log_start: i64,
}

/// How a partition leaves us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// It is to be given to another member: ours until the next poll; commit what is finished.
    Released,
    /// The group has gone on without us: it may have a new owner already. Drop everything.
    Lost,
}

/// Messages and positions that become visible together.
#[derive(Clone, Copy, Debug)]
pub struct Transaction<'a> {
    /// Written in this order (each partition keeps it).
    pub messages: &'a [Outgoing],
    /// The positions, one a partition, every one of them assigned to us.
    pub positions: &'a [(TopicPartition, Position)],
}

/// Why a transaction did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Aborted, nothing became visible: the group was rebalancing, a coordinator moved, a time ran out. Poll (which tells what is
    /// ours still), then send again what is.
    #[error("the transaction was aborted and can be sent again: {0}")]
    Retry(String),
    /// Another producer has taken our transactional id, or the broker gave up on us: nothing became visible. All state is to be
    /// dropped and restored from what is committed; the log has rejoined the group as new by the next poll, which first tells that
    /// everything was [`Revocation::Lost`].
    #[error("this instance has been fenced off: {0}")]
    Fenced(String),
    /// The log cannot be worked with any more (no authorisation, a broker too old, an outcome that cannot be known): end.
    #[error("{0}")]
    Fatal(String),
}

/// Why the log did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// For now: the broker is away, a leader is being chosen, a time ran out. Trying again may help.
    #[error("the log is not available: {0}")]
    Unavailable(String),
    /// For good: no authorisation, a topic that does not exist, a damaged configuration.
    #[error("{0}")]
    Fatal(String),
}

/// A place in a partition that only the log can put a number to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the oldest message that the log still holds.
    Start,
    /// After the newest message.
    End,
    /// The first message whose timestamp is not before this, milliseconds since the epoch; the end when all are older.
    Time(i64),
}

/// What a topic is to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions, at least 1; `None`: the broker's default.
    pub partitions: Option<i32>,
    /// Whether and what it forgets.
    pub cleanup: Cleanup,
}

/// What a topic forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// Old messages, after the broker's (or the operator's) retention time.
    Delete,
    /// All but the last message of each key.
    Compact,
    /// Both: replaced messages soon, the others after the retention time.
    CompactDelete,
}

/// The part of a log that needs no group: topics, reading one to its end, writing at least once.
pub trait Topics {
    /// The topics that exist of `names` (a name, or a `^` pattern), with their numbers of partitions. A name that does not exist is absent
    /// from the answer.
    fn partitions(&mut self, names: &[String]) -> Result<BTreeMap<String, i32>, LogError>;

    /// Which topics of these names there are now. A name that does not exist is absent from the answer.
    fn identities(&mut self, names: &[String]) -> Result<BTreeMap<String, TopicId>, LogError>;

    /// Creates what is missing of `topics`; those that exist are left as they are. On return they can be written to.
    fn create(&mut self, topics: &[NewTopic]) -> Result<(), LogError>;

    /// Writes outside of any transaction, at least once, in order; returns before it is safe ([`Topics::flush`]).
    fn publish(&mut self, messages: &[Outgoing]) -> Result<(), LogError>;

    /// Waits until everything published is safe, or says that something is not.
    fn flush(&mut self) -> Result<(), LogError>;

    /// Hands over every readable message of a partition from offset `from` (or the log's start, if later) to where its end was when
    /// the call was made. Returns the offset to go on from.
    fn read(
        &mut self,
        at: &TopicPartition,
        from: i64,
        sink: &mut dyn FnMut(&Message<'_>),
    ) -> Result<i64, LogError>;

    /// The offset of a place in a partition.
    fn offset_of(&mut self, at: &TopicPartition, place: Place) -> Result<i64, LogError>;
}

/// A member of a consumer group with a transactional producer.
pub trait Log: Topics {
    /// Joins the group and asks for these topics (a name, or a `^` pattern). Replaces an earlier subscription.
    fn subscribe(&mut self, topics: &[String]) -> Result<(), LogError>;

    /// Lets released partitions go, then waits at most `timeout` for something to happen and tells `handler` all of it. Also proves to the group
    /// that this member lives: to be called several times a second. Hands over a bounded amount (some thousands of messages).
    fn poll(&mut self, timeout: Duration, handler: &mut dyn Handler) -> Result<(), LogError>;

    /// What the group has committed for these partitions, whoever works on them; those without a position are absent.
    fn positions(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Position>, LogError>;

    /// Begins (or goes on) to deliver an assigned partition at `offset`, or at the log's start if that is later.
    fn seek(&mut self, at: &TopicPartition, offset: i64) -> Result<(), LogError>;

    /// Stops to deliver an assigned partition, and to fetch it: all is as before the seek.
    fn rest(&mut self, at: &TopicPartition) -> Result<(), LogError>;

    /// Whether a partition's messages are held back for now. What has been fetched is kept, and no more than that; a seek ends it.
    fn hold(&mut self, at: &TopicPartition, held: bool);

    /// What ends the waiting of a poll; `None` where no poll waits.
    fn bell(&self) -> Option<Arc<Bell>>;

    /// How many messages of an assigned partition lie ahead: 0 exactly when everything readable has been handed over; `None` until known.
    /// Counted in offsets, so that markers of transactions may make it too large, never 0 too early.
    fn lag(&mut self, at: &TopicPartition) -> Option<u64>;

    /// Makes the transaction visible, whole, or says why not. Blocks for some milliseconds.
    fn commit(&mut self, transaction: Transaction<'_>) -> Result<(), CommitError>;

    /// Leaves the group for good, so that others take over at once. What was not committed is dropped.
    fn leave(&mut self) -> Result<(), LogError>;
}

/// What [`Log::poll`] tells. A batch borrows the client's memory; nothing is copied that the handler does not copy.
pub trait Handler {
    /// These partitions are ours from now on.
    fn assigned(&mut self, assignments: Vec<Assignment>);

    /// These are not, or soon will not be.
    fn revoked(&mut self, partitions: &[TopicPartition], how: Revocation);

    /// Messages of this partition from offset `from` on, up to `to`, are gone from the log; what comes next begins there.
    fn skipped(&mut self, _at: &TopicPartition, _from: i64, _to: i64) {}

    /// This partition ends before `next_offset`, which was to be read next: its topic was made anew, or has lost messages. Nothing of it is
    /// delivered until a seek. Whether somebody sees to it; if not, `poll` fails for good.
    fn displaced(&mut self, _at: &TopicPartition, _next_offset: i64) -> bool {
        false
    }

    /// The next messages of one partition. What the handler draws it has taken; the rest comes again, first of all, in a later poll.
    fn batch(&mut self, at: &TopicPartition, messages: &mut dyn Iterator<Item = Message<'_>>);

    /// The same of messages that other jobs of the process are handed too, with what has been decoded of them. The handler takes all of them.
    fn shared(&mut self, at: &TopicPartition, portion: &shared::Portion<'_>) {
        self.batch(at, &mut portion.messages().map(|(message, _)| message));
    }
}
