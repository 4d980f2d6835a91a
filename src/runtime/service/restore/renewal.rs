//! A topic that is not the one that was read, or has lost its newest messages: the state goes on, the offsets do not.

use super::Past;
use crate::engine::snapshot::Snapshot;
use crate::runtime::log::{Log, LogError, Place, TopicId};
use crate::runtime::observer::Fact;
use crate::runtime::service::inputs::between_topics;
use crate::runtime::service::{Service, ServiceError};
use crate::runtime::store::{Order, SnapshotKey};
use crate::runtime::task::{Mark, Task};

/// A partition whose offsets are not those that were read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Renewal {
    /// What was to be read next.
    pub(super) held: i64,
    /// Where reading goes on.
    pub(super) from: i64,
    /// Whether it is another topic, and not the same that has lost messages.
    pub(super) anew: bool,
}

/// How often a log that ends too early is asked again; some ten times a second.
const DOUBTS_MAX: u32 = 30;

/// The mark of a position whose offsets mean nothing any more: what was published stays so.
pub(super) fn renewed(mark: Mark, renewal: Renewal) -> Mark {
    Mark {
        began: Some(renewal.from),
        told: 0,
        silent_until_ms: mark.silent_until_ms.max(mark.final_until_ms),
        ..mark
    }
}

impl<L: Log> Service<L> {
    /// Whether the partition is another one than it was, or shorter.
    pub(super) fn renewal(&mut self, past: &Past) -> Result<Option<Renewal>, ServiceError> {
        if !past.kind.reads_events() || self.plan.range.is_some() {
            return Ok(None);
        }
        let (lineage, waits) = (self.plan.lineage, between_topics(self.plan.lineage));
        let committed = past.committed.as_ref().map(|held| held.next_offset);
        let newest = match committed {
            Some(_) => None,
            None => {
                let listed = self.keeper.store().list(&self.plan.task_name(&past.at));
                let keys = listed.unwrap_or_default().into_iter();
                let ours = |key: &SnapshotKey| key.lineage == lineage || key.lineage == waits;
                keys.filter(ours).max_by_key(|key| key.offset)
            }
        };
        let Some(held) = committed.or(newest.as_ref().map(|key| key.offset)) else {
            return Ok(None);
        };
        let now = self.topics.get(&past.at.topic).copied();
        // Brokers forget a position with its topic; what the state was read from, it knows.
        let topic = past
            .topic
            .or_else(|| newest.as_ref().and_then(|key| self.topic_of(key)));
        let is_another = topic.is_some() && now.is_some() && topic != now;
        let renewed = Renewal {
            held,
            from: past.log_start,
            anew: true,
        };
        if is_another || newest.is_some_and(|key| key.lineage == waits) {
            return Ok(Some(renewed));
        }
        let end = self.log.offset_of(&past.at, Place::End)?;
        if held <= end {
            self.doubts.remove(&past.at);
            return Ok(None);
        }
        // A leader that is new may not know yet how far its log is readable. It is asked again before it is believed.
        let doubts = self.doubts.entry(past.at.clone()).or_default();
        *doubts += 1;
        if *doubts < DOUBTS_MAX {
            return Err(ServiceError::Log(LogError::Unavailable(format!(
                "{} ends at offset {end}, but {held} is to be read next",
                past.at
            ))));
        }
        self.doubts.remove(&past.at);
        let is_same = topic.is_some() && topic == now;
        Ok(Some(match is_same {
            false => renewed,
            true => Renewal {
                from: end,
                anew: false,
                ..renewed
            },
        }))
    }

    /// Which topic of its name a snapshot's offset is in, as far as it reads and says so.
    pub(super) fn topic_of(&self, key: &SnapshotKey) -> Option<TopicId> {
        let bytes = self.keeper.store().get(key).ok().flatten()?;
        Snapshot::from_bytes(bytes).origin().map(TopicId)
    }

    /// Replaces a task's snapshots by one at the offset that it goes on from. Until the next position is committed all of this can be done again.
    pub(super) fn file_anew(&mut self, from: &SnapshotKey, task: &mut Task, renewal: Renewal) {
        let lineage = self.plan.lineage;
        let began = self.traces.now();
        let (key, state) = task.last_state(lineage);
        debug_assert_eq!(key.offset, renewal.from.max(0), "where the task begins");
        let (name, until_ms) = (key.task.clone(), self.snapshots_until_ms());
        if !self.keeper.wait_for(&name, until_ms) {
            return;
        }
        self.keeper.take(Order {
            trace: self.traces.frozen(began, &key),
            key: key.clone(),
            state,
            kept_max: usize::MAX,
            is_in_haste: false,
        });
        self.keeper.wait_for(&name, until_ms);
        let mut store = self.keeper.store();
        let is_stored = matches!(store.get(&key), Ok(Some(_)));
        let listed = if is_stored {
            store.list(&name)
        } else {
            Ok(Vec::new())
        };
        let others = listed.unwrap_or_default().into_iter();
        // One that stays because the store does not answer lies at an offset of the old topic, and is passed over.
        let failed: Vec<String> = others
            .filter(|other| *other != key)
            .filter_map(|other| store.delete(&other).err())
            .map(|error| error.to_string())
            .collect();
        drop(store);
        for error in failed {
            self.tell(&Fact::SnapshotsNotForgotten { key: from, error });
        }
        self.tell_kept();
    }
}
