//! Partitions that are silent: of which nobody waits, when that is said, and when it is over.
//!
//! Only the clock decides that a partition is idle, so it is said in a message and stands in the mark of the committed position. A word too many of either does
//! no harm; one too few stops the job, or costs events. Checked by: tests/waking.rs, tests/simulation.rs.

use super::{Placement, StageKind, Task};
use crate::engine::wire::{InputId, StageMessage};
use crate::runtime::log::Outgoing;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Task {
    /// Says on behalf of those speakers that have no partition any more that nobody is to wait for them: `found` are the input topics that exist.
    /// How many have become silent.
    pub(crate) fn silence(
        &mut self,
        known: &BTreeMap<Arc<str>, i32>,
        found: &BTreeMap<Arc<str>, i32>,
    ) -> usize {
        let word = match (self.kind, self.plan.placement) {
            (StageKind::Judge | StageKind::Order, _) => StageMessage::Idle(Vec::new()),
            (StageKind::Rollup, Placement::Keyed) => StageMessage::IdleKeyed(Vec::new()),
            _ => return 0,
        };
        if !self.is_live() {
            return 0;
        }
        let is_there = |id: &InputId| {
            let (topic, partition) = id.0.rsplit_once('/').unwrap_or_default();
            let count = found.get(topic).copied().unwrap_or(0);
            partition
                .parse()
                .is_ok_and(|partition: i32| partition < count)
        };
        self.silenced.retain(|id| !is_there(id));
        let mut speakers: BTreeSet<InputId> = BTreeSet::new();
        for inputs in [known, &self.mark.inputs] {
            speakers.extend(self.plan.speakers_to(self.kind, inputs));
        }
        let mut count = 0;
        for speaker in speakers.into_iter().filter(|id| !is_there(id)) {
            if self.silenced.insert(speaker.clone()) {
                self.voice.silence(&speaker, &word);
                count += 1;
            }
        }
        count
    }

    /// Its topic is gone: the others are not to wait for it, and have what it leaves.
    pub(crate) fn fall_silent(&mut self) {
        if self.kind.is_awaited() && self.is_live() && !self.mark.idle {
            self.mark.idle = true;
            self.stage.say_idle(&mut self.voice);
        }
    }

    /// What the clock has to say to a live task that has read all there is. Returns whether the partition has just become idle.
    pub(crate) fn at_end(&mut self, now_ms: i64) -> bool {
        self.end_again();
        if !self.ended {
            self.end();
        }
        self.say_interim(now_ms);
        let since = *self.silent_since_ms.get_or_insert(now_ms);
        let patience = self.plan.job.extensions.idle_timeout_ms;
        let is_due = !self.mark.idle || self.believed_awake;
        let falls_idle = self.kind.is_awaited() && is_due && now_ms - since >= patience;
        if falls_idle {
            (self.mark.idle, self.believed_awake) = (true, false);
            self.stage.say_idle(&mut self.voice);
        }
        falls_idle
    }

    /// Whether it has been silent for so long that nobody waits for it, and may yet speak.
    pub(crate) fn is_silent(&self) -> bool {
        self.mark.idle && !self.ended && self.is_live() && self.kind.is_awaited()
    }

    /// That it is to be waited for again, if it was silent when this was asked last and has been read since.
    pub(crate) fn take_awake(&mut self) -> Vec<Outgoing> {
        match (std::mem::take(&mut self.woke), self.stage.next()) {
            (true, Some(next)) => self.voice.awake(next),
            _ => Vec::new(),
        }
    }

    /// Whether nobody waits for this partition: it has been silent for too long, or has no more to say.
    pub(crate) fn is_idle(&self) -> bool {
        self.mark.idle || self.ended
    }
}
