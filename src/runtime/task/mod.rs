//! A task: the work on one topic partition, of whichever stage.
//!
//! ```text
//! assigned ──► restored ──► replaying ──► live ──► handed over, or lost
//!              (newest       (muted, up     │
//!               snapshot)     to the        └── spoken ──► committed ──► perhaps a snapshot
//!                             committed
//!                             position)
//! ```
//!
//! Holds: the door's state is a function of the messages before `position` alone (the engine's law), so after a replay up to the committed position it is
//! the state that the former owner had there, and everything before has been said. Only what the clock decides is not in the messages: that a partition is idle is
//! therefore part of the position's [`Mark`], and interim results change no state.

mod answers;
mod loss;
mod mark;
mod meter;
mod plan;
mod range;
mod remembered;
mod silence;
mod stage;
mod voice;

pub(crate) use loss::Loss;
pub(crate) use mark::BUILD;
pub use mark::Mark;
pub use meter::{LATENESS_BOUNDS_MS, Measured};
pub(crate) use meter::{Step, Steps, Work};
pub use plan::{Placement, Plan, PlanError, StageKind, TopicNames};
pub use range::Range;
pub use remembered::{Plots, Remembered};
pub(crate) use silence::awake;
pub(crate) use voice::{Speech, message_of};

use crate::decode::together::Given;
use crate::engine::event::Rejection;
use crate::engine::result::{BucketSummary, DocumentKind};
use crate::engine::snapshot::{Frozen, RestoreError, Snapshot};
use crate::engine::wire::InputId;
use crate::runtime::alerts::Desk;
use crate::runtime::log::{
    METADATA_BYTES_MAX, Message, Outgoing, Position, TopicId, TopicPartition,
};
use crate::runtime::store::SnapshotKey;
use crate::time::EventTime;
use meter::Meter;
use silence::Waking;
use stage::{Note, Stage};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use voice::Voice;

/// Between two words on a lag that changes while nothing is taken in. Milliseconds.
const LAG_INTERVAL_MS: i64 = 1_000;

/// Something in a message that telemetry wants to hear of.
#[derive(Debug)]
pub(crate) struct Remark {
    pub(crate) offset: i64,
    pub(crate) what: Remarkable,
}

#[derive(Debug)]
pub(crate) enum Remarkable {
    Rejected(Rejection),
    Unreadable(String),
    Late { events: u64 },
    PassedOver { events: u64 },
    Tombstones { messages: u64 },
}

/// Where a task begins.
#[derive(Clone, Debug)]
pub(crate) struct Beginning {
    /// The next offset to read.
    pub(crate) from: i64,
    /// What lies before this offset has been said by an earlier owner.
    pub(crate) live_from: i64,
    /// The mark of the committed position that the task goes on from, if it is of this lineage.
    pub(crate) mark: Option<Mark>,
    /// Up to which bucket another lineage, whose positions these are, has published; or a replay only learns.
    pub(crate) silent_until_ms: Option<i64>,
    /// The committed position, if there is one.
    pub(crate) committed: Option<Position>,
    /// Which topic of its name it is, where that is known.
    pub(crate) topic: Option<TopicId>,
    /// What is gone before `from`.
    pub(crate) loss: Option<Loss>,
    /// By the steady clock.
    pub(crate) now_ms: i64,
    /// The time of day.
    pub(crate) time_ms: i64,
    pub(crate) snapshot_interval_ms: i64,
    /// How long a partition that was idle is waited for where nothing is found in it. Milliseconds.
    pub(crate) wake_ms: i64,
    pub(crate) remembers: Remembered,
    /// The longest message that is written, bytes.
    pub(crate) message_bytes_max: usize,
}

/// The work on one topic partition.
pub(crate) struct Task {
    pub(crate) at: TopicPartition,
    plan: Arc<Plan>,
    kind: StageKind,
    stage: Stage,
    voice: Voice,
    meter: Meter,
    position: i64,
    live_from: i64,
    mark: Mark,
    /// Whether all that a replay's range holds of this partition is in the door's state; what follows is left alone.
    ended: bool,
    committed: Option<Position>,
    /// Since when there has been nothing to read, milliseconds.
    silent_since_ms: Option<i64>,
    /// Whether anything came since interim results were last said.
    news: bool,
    interim_due_ms: i64,
    /// The lag that was told last, and when a change of it is worth a word again.
    told_lag: Option<u64>,
    lag_due_ms: i64,
    snapshot_due_ms: i64,
    snapshot_interval_ms: i64,
    messages_since_snapshot: u64,
    replay: Option<Replay>,
    first_watermark: Option<EventTime>,
    /// What a later build has written where the task stands; it goes no further.
    barred: Option<String>,
    /// What is gone from the log and was not told yet, with the watermark before it.
    losses: Vec<(Loss, Option<EventTime>)>,
    /// Nobody may know yet that there is such a partition: said with its first message, so that it is waited for from there on.
    unspoken: bool,
    /// It was silent and is not any more, or may not be: not said yet.
    waking: Option<Waking>,
    /// So many empty buckets behind its last events are judged, since it is silent.
    foretold: u32,
    /// How long it had been silent when it was taken over, milliseconds.
    rested_ms: i64,
    /// Speakers whose partitions do not exist, and which the task has been told not to wait for.
    silenced: BTreeSet<InputId>,
    /// The time of day when it began.
    began_at_ms: i64,
}

#[derive(Clone, Copy, Debug)]
struct Replay {
    messages: u64,
    began_ms: i64,
}

impl Task {
    /// A task of `kind` whose door goes on from `snapshot`, or begins anew.
    pub(crate) fn begin(
        plan: Arc<Plan>,
        kind: StageKind,
        at: TopicPartition,
        snapshot: Option<&Snapshot>,
        beginning: Beginning,
    ) -> Result<Task, RestoreError> {
        let fresh = Mark {
            build: None,
            lineage: plan.lineage,
            began: Some(beginning.from),
            // Unknown when there is a past without a mark: a needless word of being awake does no harm.
            idle: beginning.committed.is_some()
                || beginning.loss.is_some_and(|loss| loss.to.is_none()),
            ended: false,
            final_until_ms: beginning.silent_until_ms,
            silent_until_ms: beginning.silent_until_ms,
            alerts: 0,
            told: 0,
            prefix: None,
            topic: None,
            inputs: BTreeMap::new(),
        };
        let was_idle = beginning.mark.as_ref().is_some_and(|mark| mark.idle);
        let mark = beginning.mark.unwrap_or(fresh);
        let mark = Mark {
            build: Some(BUILD.to_owned()),
            prefix: Some(plan.names.prefix().to_owned()),
            topic: beginning.topic.or(mark.topic),
            // Only who waits for them has to know them. In the marks of very many inputs they would be more than brokers take of one commit.
            inputs: match (kind.reads_events(), mark.inputs.is_empty()) {
                (true, _) => BTreeMap::new(),
                (false, true) => plan.inputs.clone(),
                (false, false) => mark.inputs,
            },
            ..mark
        };
        let stage = match snapshot {
            Some(snapshot) => Stage::restore(kind, &plan, snapshot)?,
            None => Stage::fresh(kind, &plan, &at, plan.speakers_to(kind, &mark.inputs)),
        };
        let speaker = match kind {
            StageKind::Judge => plan::shard_id(at.partition as u16),
            _ => InputId(at.to_string()),
        };
        let mut voice = Voice::new(Arc::clone(&plan), at.clone(), &speaker);
        voice.remembers = beginning.remembers;
        voice.message_bytes_max = beginning.message_bytes_max;
        voice.muted = beginning.from < beginning.live_from;
        voice.silent_until_ms = mark.silent_until_ms;
        voice.final_until_ms = mark.final_until_ms;
        let replay = voice.muted.then_some(Replay {
            messages: 0,
            began_ms: beginning.now_ms,
        });
        let before = stage.watermark();
        let is_news = |loss: &Loss| loss.to.is_none_or(|to| to > mark.told);
        let losses = beginning.loss.filter(is_news).map(|loss| (loss, before));
        let mut task = Task {
            at,
            losses: losses.into_iter().collect(),
            silenced: BTreeSet::new(),
            waking: None,
            rested_ms: 0,
            foretold: 0,
            unspoken: snapshot.is_none() && beginning.committed.is_none(),
            began_at_ms: beginning.time_ms,
            meter: Meter::of(&plan.job),
            plan,
            kind,
            stage,
            voice,
            position: beginning.from,
            live_from: beginning.live_from,
            mark,
            ended: false,
            committed: beginning.committed,
            silent_since_ms: None,
            news: false,
            interim_due_ms: beginning.now_ms,
            told_lag: None,
            lag_due_ms: beginning.now_ms,
            snapshot_due_ms: beginning.now_ms + beginning.snapshot_interval_ms,
            snapshot_interval_ms: beginning.snapshot_interval_ms,
            messages_since_snapshot: 0,
            replay,
            first_watermark: None,
            barred: None,
        };
        task.end_again();
        task.doubt_silence(was_idle, beginning.wake_ms);
        Ok(task)
    }

    /// From now on results become alerts.
    pub(crate) fn set_desk(&mut self, desk: Desk) {
        self.voice.desk = Some(desk);
    }

    /// An interim document of this bucket, milliseconds since the epoch, which an earlier owner has left.
    pub(crate) fn inherit(&mut self, kind: DocumentKind, id: String, time_ms: i64) {
        self.voice.inherit(kind, id, time_ms);
    }

    /// The last bucket that was said to be final, milliseconds since the epoch.
    pub(crate) fn final_until_ms(&self) -> Option<i64> {
        self.voice.final_until_ms
    }

    /// Takes messages in, each with what may have been decoded of it, until `outbox_bytes_max` wait for a transaction. Returns how many, and the bytes of
    /// their values.
    pub(crate) fn take<'m>(
        &mut self,
        messages: &mut dyn Iterator<Item = (Message<'m>, Option<Given<'m>>)>,
        outbox_bytes_max: usize,
        remark: &mut dyn FnMut(Remark),
    ) -> (u64, u64) {
        let (mut count, mut bytes) = (0, 0);
        let (mut tombstones, reads_events) = (0, self.kind.reads_events());
        // What is no event says nothing of the time: it neither calls a partition back, nor keeps the others waiting for it.
        let mut has_spoken = false;
        let passed_over = self.stage.passed_over();
        while self.barred.is_none()
            && self.voice.bytes() < outbox_bytes_max
            && let Some((message, given)) = messages.next()
        {
            let offset = message.offset;
            if offset < self.position {
                continue; // a client may deliver again what it had fetched before a seek
            }
            self.voice.muted = offset < self.live_from;
            if !self.voice.muted {
                self.end_again();
            }
            if self.ended {
                continue;
            }
            let mut is_beyond = false;
            let barred = &mut self.barred;
            let mut note = |note: Note| {
                let what = match note {
                    Note::Newer(error) => {
                        *barred = Some(format!("offset {offset}: {error}"));
                        return;
                    }
                    Note::BeyondRange => {
                        is_beyond = true;
                        return;
                    }
                    Note::Rejected(rejection) => Remarkable::Rejected(rejection),
                    Note::Unreadable(error) => Remarkable::Unreadable(error),
                    Note::Late { events } => Remarkable::Late { events },
                };
                remark(Remark { offset, what });
            };
            let mut speaks = !reads_events;
            if reads_events && message.payload.is_none() {
                tombstones += 1;
            } else {
                let is_news = self.stage.message(
                    &self.plan,
                    (&message, given),
                    &mut self.voice,
                    &mut self.meter,
                    &mut note,
                );
                self.news |= is_news;
                speaks |= is_news;
            }
            has_spoken |= speaks;
            if self.barred.is_some() {
                break;
            }
            self.position = offset + 1;
            if is_beyond {
                self.end();
            }
            count += 1;
            bytes += message.payload.map_or(0, <[u8]>::len) as u64;
            if speaks && (self.mark.idle || self.unspoken) && !self.voice.muted {
                self.rouse();
                self.unspoken = false;
                self.stage.say_awake(&self.plan, &mut self.voice);
            }
        }
        let events = self.stage.passed_over() - passed_over;
        if events > 0 {
            let (offset, what) = (self.position - 1, Remarkable::PassedOver { events });
            remark(Remark { offset, what });
        }
        if tombstones > 0 {
            let (offset, messages) = (self.position - 1, tombstones);
            let what = Remarkable::Tombstones { messages };
            remark(Remark { offset, what });
        }
        if has_spoken {
            self.first_watermark = self.first_watermark.or_else(|| self.stage.watermark());
            self.silent_since_ms = None;
            if !self.voice.muted {
                self.rested_ms = 0;
            }
        }
        if count > 0 {
            self.messages_since_snapshot += count;
            if let Some(replay) = &mut self.replay {
                replay.messages += count;
            }
        }
        (count, bytes)
    }

    /// Messages up to `to` are gone from the log; those behind the task's position it has missed. What is lost, if anything.
    pub(crate) fn skip(&mut self, from: i64, to: i64) -> Option<Loss> {
        let from = from.max(self.position);
        let loss = Loss {
            from,
            to: Some(to),
            was_read: from < self.live_from,
        };
        let is_missed = from < to;
        if is_missed {
            self.losses.push((loss, self.stage.watermark()));
        }
        is_missed.then_some(loss)
    }

    /// Whether there is a loss to tell of.
    fn owes_word(&self) -> bool {
        let position = self.position;
        self.is_live() && self.losses.iter().any(|(loss, _)| loss.is_behind(position))
    }

    /// Tells of what is lost, as soon as a position behind it can be committed with the word. When: from the watermark before it to the present one.
    fn tell_losses(&mut self) {
        if !self.owes_word() {
            return;
        }
        let known = self.mark.final_until_ms.unwrap_or(self.began_at_ms);
        let until = self.stage.watermark().unwrap_or(EventTime(known));
        let position = self.position;
        for (loss, since) in std::mem::take(&mut self.losses) {
            if !loss.is_behind(position) {
                self.losses.push((loss, since));
                continue;
            }
            self.voice.loss(&loss, since.unwrap_or(until), until);
            self.mark.told = self.mark.told.max(loss.to.unwrap_or(0));
        }
    }

    /// The state as it stands, whatever is committed: of a partition whose topic is gone.
    pub(crate) fn last_state(&mut self, lineage: u64) -> (SnapshotKey, Frozen) {
        let key = SnapshotKey {
            task: self.plan.task_name(&self.at),
            lineage,
            offset: self.position,
        };
        (key, self.frozen())
    }

    /// The state, which says in which topic of its name it stands at its offset.
    fn frozen(&self) -> Frozen {
        let topic = self.mark.topic.filter(|_| self.kind.reads_events());
        self.stage.freeze().from(topic.map(|id| id.0))
    }

    /// What was measured since the last call.
    pub(crate) fn take_measured(&mut self) -> Measured {
        self.meter.take(self.stage.pruned_series())
    }

    /// From now on stretches of work on buckets are remembered, for [`Task::take_steps`].
    pub(crate) fn remember_steps(&mut self) {
        self.meter.remember_steps();
    }

    /// Those since the last call.
    pub(crate) fn take_steps(&mut self) -> Steps {
        self.meter.take_steps()
    }

    /// Which stage it works.
    pub(crate) fn kind(&self) -> StageKind {
        self.kind
    }

    /// The next offset to read.
    pub(crate) fn position(&self) -> i64 {
        self.position
    }

    /// All of a replay's range has been read here: its last buckets close, whether or not an event after them has come.
    fn end(&mut self) {
        let Some(range) = self.plan.range.filter(|_| self.kind.reads_events()) else {
            return;
        };
        self.ended = true;
        self.mark.ended = true;
        self.stage.advance(range.to, &mut self.voice);
    }

    /// The former owner had ended at the position that the task is at now: so do we, saying nothing.
    fn end_again(&mut self) {
        if self.mark.ended && !self.ended && self.is_live() {
            let muted = std::mem::replace(&mut self.voice.muted, true);
            self.end();
            self.voice.muted = muted;
        }
    }

    /// Whether results are written here, and all of a replay's range is in them and committed.
    pub(crate) fn is_done(&self) -> bool {
        let Some(range) = self.plan.range else {
            return false;
        };
        let closed = self.stage.closed_until();
        closed.is_some_and(|until| until >= range.to) && !self.has_words() && !self.has_moved()
    }

    /// Whether the replay has just ended; tells its messages and its length in milliseconds, once.
    pub(crate) fn finished_replay(&mut self, now_ms: i64, at_end: bool) -> Option<(u64, i64)> {
        // At the end of the partition nothing is left to replay, even if what lay before the committed position has been compacted away.
        if self.replay.is_none() || (self.position < self.live_from && !at_end) {
            return None;
        }
        self.position = self.position.max(self.live_from);
        self.voice.muted = false;
        let replay = self.replay.take()?;
        Some((replay.messages, now_ms - replay.began_ms))
    }

    /// What a later build has written, and this one cannot go on from.
    pub(crate) fn barred(&self) -> Option<&str> {
        self.barred.as_deref()
    }

    /// Whether everything that was said before is behind us. From this very message on, what is said belongs to the next transaction together with the
    /// position: the two must never be told apart.
    pub(crate) fn is_live(&self) -> bool {
        self.position >= self.live_from
    }

    /// Events are taken up by the clock; what they lead to in the later stages goes on at once.
    fn say_interim(&mut self, now_ms: i64) {
        let waits = self.kind.is_paced() && now_ms < self.interim_due_ms;
        if !waits && self.say_news() {
            self.interim_due_ms = now_ms + self.plan.job.extensions.interim_interval_ms;
        }
    }

    /// Says interim results, if they are wanted and there is anything new. Whether there was.
    fn say_news(&mut self) -> bool {
        let is_wanted = self.news && self.plan.job.extensions.interim_interval_ms > 0;
        if is_wanted {
            self.news = false;
            self.stage.flush_interim(&mut self.voice);
        }
        is_wanted
    }

    /// What lies ahead, if it is to be told: that it is nothing at once, anything else now and then.
    pub(crate) fn news_of_lag(&mut self, lag: Option<u64>, now_ms: i64) -> Option<u64> {
        let messages = lag.filter(|_| lag != self.told_lag)?;
        if messages > 0 && now_ms < self.lag_due_ms {
            return None;
        }
        self.told_lag = lag;
        self.lag_due_ms = now_ms + LAG_INTERVAL_MS;
        Some(messages)
    }

    /// What lies ahead has been told with the messages that were taken in.
    pub(crate) fn told_lag(&mut self, lag: Option<u64>) {
        self.told_lag = lag.or(self.told_lag);
    }

    /// The position to commit, if it (or its mark) differs from what is committed.
    pub(crate) fn next_position(&mut self) -> Option<Position> {
        if !self.is_live() {
            return None;
        }
        self.tell_losses();
        self.mark.final_until_ms = self.voice.final_until_ms;
        self.mark.alerts = self.voice.desk.as_ref().map_or(0, Desk::version);
        let position = Position {
            next_offset: self.position,
            metadata: self.mark.write(METADATA_BYTES_MAX),
        };
        (self.committed.as_ref() != Some(&position)).then_some(position)
    }

    /// The transaction that held `position` is visible.
    pub(crate) fn committed(&mut self, position: Position) {
        self.committed = Some(position);
    }

    /// Whether there is anything to send.
    pub(crate) fn has_words(&self) -> bool {
        !self.voice.is_empty() || self.owes_word()
    }

    /// Whether somebody waits for what there is to send.
    pub(crate) fn is_awaited(&self) -> bool {
        self.voice.is_awaited() || self.owes_word() || self.waking.is_some()
    }

    /// Whether the committed position is behind what has been read.
    pub(crate) fn has_moved(&self) -> bool {
        let committed = self.committed.as_ref().map(|held| held.next_offset);
        self.is_live() && committed != Some(self.position)
    }

    /// Bytes that wait for a transaction.
    pub(crate) fn outbox_bytes(&self) -> usize {
        self.voice.bytes()
    }

    pub(crate) fn take_words(&mut self) -> Speech {
        self.voice.take()
    }

    pub(crate) fn put_back(&mut self, speech: Speech) {
        self.voice.put_back(speech);
    }

    pub(crate) fn take_interim(&mut self) -> (Vec<Outgoing>, Vec<BucketSummary>) {
        self.voice.take_loose()
    }

    pub(crate) fn watermark(&self) -> Option<EventTime> {
        self.stage.watermark()
    }

    /// The watermark when it was first looked at after messages had come.
    pub(crate) fn first_watermark(&self) -> Option<EventTime> {
        self.first_watermark
    }

    pub(crate) fn reads_events(&self) -> bool {
        self.kind.reads_events()
    }

    /// Whether a snapshot is due and allowed: only of a state whose position is committed, so that none is ever ahead of the log.
    pub(crate) fn wants_snapshot(&self, now_ms: i64, every_messages: Option<u64>) -> bool {
        let many = every_messages.is_some_and(|every| self.messages_since_snapshot >= every);
        (now_ms >= self.snapshot_due_ms || many) && self.may_snapshot()
    }

    /// Whether there is something new to keep, and its position is committed.
    pub(crate) fn may_snapshot(&self) -> bool {
        let committed = self.committed.as_ref().map(|held| held.next_offset);
        self.messages_since_snapshot > 0
            && self.is_live()
            && committed == Some(self.position)
            && !self.has_words()
    }

    /// The state, and the name to keep it under.
    pub(crate) fn freeze(&mut self, now_ms: i64) -> (SnapshotKey, Frozen) {
        self.snapshot_due_ms = now_ms + self.snapshot_interval_ms;
        self.messages_since_snapshot = 0;
        let key = SnapshotKey {
            task: self.plan.task_name(&self.at),
            lineage: self.plan.lineage,
            offset: self.position,
        };
        (key, self.frozen())
    }
}
