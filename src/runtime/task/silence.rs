//! Partitions that are silent: of which nobody waits, when that is said, and when it is over.
//!
//! Only the clock decides that a partition is idle, so it is said in a message and stands in the mark of the committed position. A word too many of either does
//! no harm; one too few stops the job, or costs events. So whoever takes over an idle partition says before all else that it is awake, for something may have been
//! written since, and that it is idle again as soon as it is found to have nothing; and one that has something to read is awake before it is read.
//! Checked by: tests/waking.rs, tests/backlog.rs, tests/simulation.rs.

use super::voice::{Next, Voice};
use super::{Placement, Plan, StageKind, Task};
use crate::engine::wire::{InputId, StageMessage};
use crate::runtime::log::{Outgoing, Position, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Empty buckets behind its last events that a silent keyed partition has judged beforehand, while the others go on: that its series are missing has been told by then.
const FORETOLD_MAX: u32 = 64;
/// So many at least beyond those that may have passed.
const FORETOLD_MIN: i64 = 2;

/// Why a silent partition is to be waited for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waking {
    /// It has changed hands: nobody knows what was written meanwhile.
    Doubtful,
    /// It has something to say.
    Certain,
}

/// That an input is to be waited for again, of which there is no task yet.
pub(crate) fn awake(plan: &Arc<Plan>, at: &TopicPartition) -> Vec<Outgoing> {
    let next = match plan.stage_of(at) {
        Some(StageKind::Gather | StageKind::Project) => Next::Judges,
        Some(StageKind::Keyed) => Next::Rollup,
        _ => return Vec::new(),
    };
    let speaker = InputId(at.to_string());
    Voice::new(Arc::clone(plan), at.clone(), &speaker).awake(next)
}

impl Task {
    /// A partition that has just been taken over may have got something since it fell silent: it is waited for until that is known.
    pub(super) fn doubt_silence(&mut self, was_idle: bool, wake_ms: i64) {
        if self.mark.idle && !self.mark.ended && self.kind.is_awaited() {
            (self.mark.idle, self.unspoken) = (false, true);
            self.waking = Some(Waking::Doubtful);
            if was_idle {
                let patience = self.plan.job.extensions.idle_timeout_ms;
                self.rested_ms = (patience - wake_ms).max(0);
            }
        }
    }

    /// If it was silent, it has something to say now.
    pub(crate) fn rouse(&mut self) {
        if self.mark.idle && self.is_live() {
            (self.mark.idle, self.unspoken) = (false, true);
            self.waking = self.kind.is_awaited().then_some(Waking::Certain);
        }
    }

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
            self.fall_idle(FORETOLD_MAX);
        }
    }

    /// It changes hands, and nobody sees what is written to it until it has been taken over: it is waited for, though its mark says that it was idle.
    pub(crate) fn leave(&mut self) {
        if self.is_silent() {
            self.waking = Some(Waking::Doubtful);
        }
    }

    /// Nobody waits for it any more. Interim results leave before: whatever it says afterwards calls it back.
    fn fall_idle(&mut self, following: u32) {
        self.say_news();
        self.mark.idle = true;
        self.foretell(following);
    }

    /// Says what it leaves, and what `following` empty buckets behind that are worth: only who keeps the models of a keyed partition can judge that its series are
    /// missing there.
    fn foretell(&mut self, following: u32) {
        self.foretold = following;
        self.stage.say_idle(&mut self.voice, following);
    }

    /// As many buckets as may have passed while it has been silent for so long, and some more.
    fn buckets_in(&self, silent_ms: i64) -> u32 {
        let buckets = silent_ms / self.plan.job.bucket_span.millis() + FORETOLD_MIN;
        u32::try_from(buckets).map_or(FORETOLD_MAX, |count| count.min(FORETOLD_MAX))
    }

    /// What the clock has to say to a live task that has read all there is, while others are far behind or not. Returns whether the partition has just become idle.
    pub(crate) fn at_end(&mut self, now_ms: i64, is_catch_up: bool) -> bool {
        self.end_again();
        if !self.ended {
            self.end();
        }
        self.say_interim(now_ms);
        let rested_ms = self.rested_ms;
        let since = *self.silent_since_ms.get_or_insert(now_ms - rested_ms);
        let patience = self.plan.job.extensions.idle_timeout_ms;
        let falls_idle = self.kind.is_awaited() && !self.mark.idle && now_ms - since >= patience;
        // In a catch-up buckets pass as fast as they are read; and how many have while it changed hands nobody knows.
        let wanted = match is_catch_up || rested_ms > 0 {
            true => FORETOLD_MAX,
            false => self.buckets_in(now_ms - since),
        };
        // Each time for twice as long, so that all of them together cost little more than the last.
        let following = FORETOLD_MAX.min(2 * wanted);
        if falls_idle {
            self.fall_idle(following);
        } else if self.kind == StageKind::Keyed
            && self.is_silent()
            && !self.owes_awake()
            && wanted > self.foretold
        {
            self.foretell(following);
        }
        falls_idle
    }

    /// Whether it has been silent for so long that nobody waits for it, and may yet speak.
    pub(crate) fn is_silent(&self) -> bool {
        self.mark.idle && !self.ended && self.is_live() && self.kind.is_awaited()
    }

    /// Whether it was silent until something was written to it, and that is not said yet.
    pub(crate) fn has_woken(&self) -> bool {
        self.waking == Some(Waking::Certain)
    }

    /// Whether it has changed hands while it was silent, and it is not said yet that it is to be waited for.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.waking == Some(Waking::Doubtful)
    }

    /// Whether it is not said yet that it is to be waited for again.
    pub(crate) fn owes_awake(&self) -> bool {
        self.waking.is_some()
    }

    /// That it is to be waited for again, if that is not said yet: before whatever else is said.
    pub(crate) fn awake(&self) -> Vec<Outgoing> {
        let next = self.stage.next().filter(|_| self.owes_awake());
        next.map_or(Vec::new(), |next| self.voice.awake(next))
    }

    /// It has been said.
    pub(crate) fn awake_is_said(&mut self) {
        self.waking = None;
    }

    /// The position that is committed.
    pub(crate) fn held(&self) -> Option<&Position> {
        self.committed.as_ref()
    }

    /// Whether nobody waits for this partition: it has been silent for too long, or has no more to say.
    pub(crate) fn is_idle(&self) -> bool {
        self.mark.idle || self.ended
    }
}
