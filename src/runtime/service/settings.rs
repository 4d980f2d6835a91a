//! How a service is to work: rhythms, limits, and where things go.

use super::Align;
use crate::runtime::alerts::AlertSettings;
use crate::runtime::log::MESSAGE_BYTES_MAX;
use crate::runtime::store::Writing;
use crate::runtime::task::{Range, Remembered, TopicNames};
use crate::runtime::traces::Traces;

/// How often things are done. Milliseconds of the steady clock.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The names of the topics written to.
    pub names: TopicNames,
    /// The longest time between two transactions while there is something to commit.
    pub commit_interval_ms: i64,
    /// The longest time between two snapshots of a task.
    pub snapshot_interval_ms: i64,
    /// Besides, a snapshot after so many messages: bounds how much is replayed.
    pub snapshot_every_messages: Option<u64>,
    /// How many snapshots of a task are kept, at least 2.
    pub snapshots_kept: usize,
    /// How much of the results is told to the observer.
    pub remembers: Remembered,
    /// The longest message that is written, bytes: what is said between stages leaves in pieces of it.
    pub message_bytes_max: usize,
    /// Bytes waiting for a transaction beyond which it does not wait for its time, and nothing more is taken in before it. So a transaction holds as much, and what one
    /// message leads to (one batch, where several jobs share what was read).
    pub outbox_bytes_max: usize,
    /// How results become alerts; `None`: not at all.
    pub alerts: Option<AlertSettings>,
    /// Who writes them.
    pub snapshot_writing: Writing,
    /// How long partitions that leave wait for their last snapshots, all together, in a store that does not answer. Milliseconds.
    pub snapshot_patience_ms: i64,
    /// A replay: only these events count, and the end comes with them.
    pub range: Option<Range>,
    /// How often it is looked whether the input topics are still those that the job was laid out on.
    pub topics_interval_ms: i64,
    /// Which life of the job this is: what stages said to each other in another is not heard, though the configuration be the same.
    pub life: u64,
    /// How far inputs may drift apart in event time.
    pub align: Align,
    /// After a silence of all inputs: when the first is read again, the others have so long to be. Milliseconds.
    pub wake_ms: i64,
    /// Where spans of the work go, if anywhere.
    pub traces: Traces,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            names: TopicNames::new("tidewatch"),
            commit_interval_ms: 200,
            snapshot_interval_ms: 300_000,
            snapshot_every_messages: None,
            snapshots_kept: 3,
            remembers: Remembered::default(),
            message_bytes_max: MESSAGE_BYTES_MAX,
            outbox_bytes_max: 8 << 20,
            alerts: None,
            snapshot_writing: Writing::default(),
            snapshot_patience_ms: 30_000,
            range: None,
            topics_interval_ms: 30_000,
            life: 0,
            align: Align::default(),
            wake_ms: 0,
            traces: Traces::off(),
        }
    }
}
