//! A partition has become ours: where its task begins, and with which state.
//!
//! | committed | snapshots of the lineage | begins at | with | muted up to |
//! |---|---|---|---|---|
//! | P, same lineage | newest S <= P that restores | S | its state | P |
//! | P, same lineage | none | where the lineage began | nothing | P |
//! | P, another lineage | not asked | where that lineage began | nothing | nothing; published buckets stay unrepeated |
//! | P, no lineage (a reset that keeps results) | not asked | where the job says it starts | nothing | nothing; published buckets stay unrepeated |
//! | nothing, or P without a mark (set by others) | newest | S | its state | S |
//! | the same | none | where the job says it starts | nothing | nothing |
//!
//! Whoever writes results and has no position of our lineage asks the job's other positions, too, what was published: under another layout another task wrote them.
//! A snapshot or position that a later build has written is not begun over: the service ends with a sentence, and nothing is deleted.
//! A snapshot of a format given up is passed over: the replay is longer, its end the same.
//! An internal topic is always begun at its start: of another lineage's messages nothing is heard. A replay begins at its range, or at the warm-up before it.
//! If the log no longer reaches back that far, the task begins at its start and says so; but where that is because the store does not answer, it waits for the
//! store: its next snapshots would take the place of those that are there.
//! If the topic is not the one that was read (another id than stands beside the position or, where that has vanished, in the newest snapshot; or it ends
//! before the position), the newest state goes on at its start; if it is the same topic that has lost its newest messages, at its end. Then all snapshots of old offsets are replaced by one of the new, because offsets are what
//! tells them apart.

mod alerts;
mod past;
mod renewal;

use super::heritage::Heritage;
use super::inputs::between_topics;
use super::{Service, ServiceError};
use crate::config::Start;
use crate::engine::snapshot::{RestoreError, Snapshot};
use crate::runtime::log::{Assignment, Log, LogError, Place, TopicId};
use crate::runtime::observer::Fact;
use crate::runtime::store::SnapshotKey;
use crate::runtime::task::{BUILD, Beginning, Plan, StageKind, Task};
pub(super) use alerts::Search;
use past::{Past, is_loss, loss};
use renewal::{Renewal, renewed};
use std::sync::Arc;

/// After a store has not answered, it is not asked again for so long, and not for so many times as long as it took to say so: what is at work has to get on with
/// it. Milliseconds.
const STORE_PAUSE_MS: i64 = 10_000;
const STORE_PAUSE_SHARE: i64 = 4;

/// For so long partitions wait without holding up those at work, when snapshots are being written one after the other. Milliseconds.
const WRITING_PATIENCE_MS: i64 = 60_000;

/// Why a snapshot is not begun with.
enum Unusable {
    /// The next older one may do.
    Passed(String),
    /// The store does not answer: nor may it be for good.
    Unanswered(String),
    /// Of a later build.
    Newer(RestoreError),
}

/// What has become of a partition's task.
enum Begun {
    /// It is there; the snapshot that it came from, and where it begins.
    Task(Box<Task>, Option<SnapshotKey>, Beginning),
    /// It has to wait for the store, which says this.
    Awaits(String),
}

fn newer(past: &Past, key: &SnapshotKey, error: &RestoreError) -> ServiceError {
    let build = past.build.as_deref();
    let build = build.filter(|build| *build != BUILD);
    ServiceError::Newer {
        what: format!("{}: snapshot {key}: {error}", past.at),
        build: build.map_or("a later version".to_owned(), |build| {
            format!("version {build}")
        }),
        instead: "stop all later instances and delete the job's snapshots: it then replays from the log's beginning",
    }
}

/// What the job says it starts at that is no partition of its topics: most likely misspelt.
pub(super) fn unmet_starts(plan: &Plan) -> Vec<String> {
    let Start::Offsets(offsets) = &plan.job.extensions.start else {
        return Vec::new();
    };
    let is_input = |topic: &str, partition: i32| {
        plan.inputs
            .get(topic)
            .is_some_and(|count| partition < *count)
    };
    let others = offsets
        .keys()
        .filter(|(topic, partition)| !is_input(topic, *partition));
    others
        .map(|(topic, partition)| {
            format!(
                "the job starts at an offset of {topic}/{partition}, which is none of its topics' partitions: a partition that is not named starts at its oldest message"
            )
        })
        .collect()
}

impl<L: Log> Service<L> {
    pub(super) fn restore(&mut self, assignment: Assignment) -> Result<(), ServiceError> {
        let Some(kind) = self.plan.stage_of(&assignment.at) else {
            return Ok(()); // a partition that came with a pattern and is none of ours
        };
        if self.is_beyond_plan(&assignment.at) {
            return Ok(());
        }
        if self.is_store_to_be_awaited() {
            self.waiting.push(assignment);
            return Ok(());
        }
        self.traces.restoring(&assignment.at, kind);
        let mut past = self.past_of(kind, assignment.clone())?;
        // First of all, for it may have to wait for somebody else, and what is restored meanwhile would be restored again.
        let Some(found) = self.find_alerts(&past)? else {
            self.waiting.push(assignment);
            return Ok(());
        };
        past.renewal = self.renewal(&past)?;
        let (mut task, snapshot, beginning) = match self.begin(&past)? {
            Begun::Task(task, snapshot, beginning) => (*task, snapshot, beginning),
            Begun::Awaits(error) => {
                let (at, now_ms) = (&past.at, self.clock.steady_ms());
                self.tell(&Fact::SnapshotsAwaited { at, error });
                let pause_ms = STORE_PAUSE_SHARE * (now_ms - past.began_ms);
                self.store_due_ms = now_ms + pause_ms.max(STORE_PAUSE_MS);
                self.waiting.push(assignment);
                return Ok(());
            }
        };
        if let Some(desk) = self.open_desk(&past, found) {
            task.set_desk(desk);
        }
        if let (Some(renewal), Some(key)) = (past.renewal, &snapshot) {
            self.file_anew(key, &mut task, renewal);
        }
        let at = past.at;
        if self.traces.is_on() {
            task.remember_steps();
            let offsets = (beginning.from, beginning.live_from);
            self.traces.restored(&at, snapshot.as_ref(), offsets);
        }
        if past.kind.writes_results() {
            let heritage = Heritage::of(task.final_until_ms(), self.clock.steady_ms());
            self.heritages.insert(at.clone(), heritage);
        }
        self.tasks.insert(at.clone(), task);
        self.tell(&Fact::Assigned {
            at: &at,
            snapshot: snapshot.as_ref(),
            from: beginning.from,
            live_from: beginning.live_from,
            duration_ms: self.clock.steady_ms() - past.began_ms,
        });
        self.tell_watermark(&at); // of a feed that has stopped it is all that will be heard
        match self.log.seek(&at, beginning.from) {
            // Taken away again while we restored: the next poll says so.
            Err(LogError::Unavailable(_)) => {
                self.tasks.remove(&at);
                self.traces.left(&[at]);
                Ok(())
            }
            done => Ok(done?),
        }
    }

    /// Whether the store is better not asked now: it has not answered, or is being written to, for which the loop would stand still. In a queue of snapshots that
    /// does not end somebody has to push in.
    fn is_store_to_be_awaited(&mut self) -> bool {
        let now_ms = self.clock.steady_ms();
        if !self.keeper.is_writing() {
            self.writing_since_ms = None;
            return now_ms < self.store_due_ms;
        }
        let since_ms = *self.writing_since_ms.get_or_insert(now_ms);
        now_ms - since_ms < WRITING_PATIENCE_MS
    }

    /// The task, with the newest state that restores; the snapshot it came from; and where it begins.
    fn begin(&mut self, past: &Past) -> Result<Begun, ServiceError> {
        let (keys, mut unanswered) = self.usable(past);
        for key in keys {
            match self.begin_with(past, &key) {
                Ok((task, beginning)) => {
                    if let Some(error) = unanswered.filter(|_| is_loss(past, key.offset)) {
                        return Ok(Begun::Awaits(error));
                    }
                    self.tell_gap(past, key.offset);
                    if past.committed.is_none() && past.renewal.is_none() {
                        let (at, from) = (&past.at, beginning.from);
                        self.tell(&Fact::PositionVanished { at, from });
                    }
                    return Ok(Begun::Task(Box::new(task), Some(key), beginning));
                }
                Err(Unusable::Newer(error)) => return Err(newer(past, &key, &error)),
                Err(Unusable::Passed(error)) => {
                    self.tell(&Fact::SnapshotUnusable { key: &key, error });
                }
                Err(Unusable::Unanswered(error)) => {
                    unanswered.get_or_insert(error.clone());
                    self.tell(&Fact::SnapshotUnusable { key: &key, error });
                }
            }
        }
        let began = self.first_offset(past)?;
        if let Some(error) = unanswered.filter(|_| is_loss(past, began)) {
            return Ok(Begun::Awaits(error));
        }
        let beginning = self.beginning(past, began);
        self.tell_gap(past, began);
        let task = self.task(past, None, beginning.clone());
        let task = task.expect("only a snapshot can fail to restore");
        Ok(Begun::Task(Box::new(task), None, beginning))
    }

    /// Where reading begins without any snapshot.
    fn first_offset(&mut self, past: &Past) -> Result<i64, ServiceError> {
        if let Some(renewal) = past.renewal {
            return Ok(renewal.from);
        }
        if let Some(began) = past.mark.as_ref().and_then(|mark| mark.began) {
            return Ok(began);
        }
        let (at, log_start) = (&past.at, past.log_start);
        if !past.kind.reads_events() {
            return Ok(log_start);
        }
        if let Some(range) = self.plan.range {
            let from = Place::Time(range.warm_up_from.millis());
            return Ok(self.log.offset_of(at, from)?.max(log_start));
        }
        if let Some(began) = past.foreign.and_then(|foreign| foreign.began) {
            return Ok(began.max(log_start));
        }
        let offset = match &self.plan.job.extensions.start {
            Start::Earliest => log_start,
            Start::Latest => self.log.offset_of(at, Place::End)?,
            Start::Time(ms) => self.log.offset_of(at, Place::Time(*ms))?,
            Start::Offsets(offsets) => {
                let said = offsets.get(&(at.topic.to_string(), at.partition));
                let end = self.log.offset_of(at, Place::End)?;
                let said = said.copied().unwrap_or(log_start);
                if said > end {
                    let why = format!(
                        "the job starts at offset {said} of {at}, which ends at {end}: begun there"
                    );
                    self.tell(&Fact::StartNotMet { why });
                }
                said.min(end)
            }
        };
        Ok(offset.max(log_start))
    }

    fn begin_with(
        &mut self,
        past: &Past,
        key: &SnapshotKey,
    ) -> Result<(Task, Beginning), Unusable> {
        let bytes = self
            .keeper
            .store()
            .get(key)
            .map_err(|error| Unusable::Unanswered(error.to_string()))?;
        let bytes = bytes.ok_or_else(|| Unusable::Passed("it is gone, or not whole".to_owned()))?;
        let snapshot = Snapshot::from_bytes(bytes);
        let beginning = self.beginning(past, key.offset);
        let task = self.task(past, Some(&snapshot), beginning.clone());
        let task = task.map_err(|error| match error {
            RestoreError::Newer { .. } => Unusable::Newer(error),
            _ => Unusable::Passed(error.to_string()),
        })?;
        let (origin, now) = (snapshot.origin().map(TopicId), beginning.topic);
        if past.renewal.is_none() && origin.is_some() && now.is_some() && origin != now {
            let why = "its offset is one of an earlier topic of this name";
            return Err(Unusable::Passed(why.to_owned()));
        }
        Ok((task, beginning))
    }

    fn task(
        &self,
        past: &Past,
        snapshot: Option<&Snapshot>,
        beginning: Beginning,
    ) -> Result<Task, RestoreError> {
        let plan = Arc::clone(&self.plan);
        Task::begin(plan, past.kind, past.at.clone(), snapshot, beginning)
    }

    /// Reading begins at `wanted`; so does speaking, when nothing of the lineage is committed.
    fn beginning(&self, past: &Past, wanted: i64) -> Beginning {
        let committed = past.committed.as_ref().map(|held| held.next_offset);
        let live_from = committed.filter(|_| past.foreign.is_none());
        let (wanted, live_from) = match past.renewal {
            None => (wanted, live_from.unwrap_or(wanted)),
            Some(renewal) => (renewal.from, renewal.from),
        };
        Beginning {
            from: wanted.max(past.log_start),
            live_from: live_from.max(past.log_start),
            mark: match past.renewal {
                None => past.mark.clone(),
                Some(renewal) => past.mark.clone().map(|mark| renewed(mark, renewal)),
            },
            silent_until_ms: past.published.max(self.warm_up_until(past.kind)),
            committed: past.committed.clone(),
            topic: self.topics.get(&past.at.topic).copied(),
            loss: loss(past, wanted),
            now_ms: past.began_ms,
            time_ms: self.clock.now_ms(),
            snapshot_interval_ms: self.settings.snapshot_interval_ms,
            wake_ms: self.settings.wake_ms,
            remembers: self.settings.remembers,
            message_bytes_max: self.settings.message_bytes_max,
        }
    }

    /// The last bucket of a replay's warm-up, for whom it concerns: who writes results.
    fn warm_up_until(&self, kind: StageKind) -> Option<i64> {
        let range = self.plan.range.filter(|_| kind.writes_results())?;
        let last = range.silent_until(self.plan.job.bucket_span)?;
        Some(last.millis())
    }

    fn tell_gap(&self, past: &Past, wanted: i64) {
        if let Some(Renewal { held, from, .. }) = past.renewal {
            let (at, from, to) = (&past.at, held, from);
            self.tell(&Fact::TopicRenewed { at, from, to });
        } else if past.log_start > wanted {
            let (at, from, to) = (&past.at, wanted, past.log_start);
            self.tell(&Fact::Gap { at, from, to });
        }
    }

    /// The snapshots of our lineage at or before the committed position, newest first; and what the store says where it does not answer, as if it had none.
    fn usable(&mut self, past: &Past) -> (Vec<SnapshotKey>, Option<String>) {
        if past.foreign.is_some() {
            return (Vec::new(), None);
        }
        let (task, lineage) = (self.plan.task_name(&past.at), self.plan.lineage);
        let committed = past.committed.as_ref();
        let offset_max = match past.renewal {
            None => committed.map_or(i64::MAX, |held| held.next_offset),
            Some(_) => i64::MAX,
        };
        let waiting = past.renewal.map(|_| between_topics(lineage));
        let listed = self.keeper.store().list(&task);
        match listed {
            Ok(mut keys) => {
                let is_ours = |of: u64| of == lineage || Some(of) == waiting;
                keys.retain(|key| is_ours(key.lineage) && key.offset <= offset_max);
                (keys, None)
            }
            Err(error) => {
                let key = SnapshotKey {
                    task,
                    lineage,
                    offset: offset_max,
                };
                let error = error.to_string();
                let said = Some(error.clone());
                self.tell(&Fact::SnapshotUnusable { key: &key, error });
                (Vec::new(), said)
            }
        }
    }
}
