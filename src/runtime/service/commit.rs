//! The transaction: what the tasks have said and how far they have read, together or not at all; and the snapshots that may follow it.

use super::{CommitError, Service, ServiceError};
use crate::runtime::log::{Log, Outgoing, Position, TopicPartition, Transaction};
use crate::runtime::observer::Fact;
use crate::runtime::store::{Done, Order};
use crate::runtime::task::{Speech, Task};
use crate::runtime::traces::Committing;

/// A transaction that waited out a broker's trouble says nothing of what the next will cost. Milliseconds.
const COMMIT_COST_MS_MAX: i64 = 100;

/// Messages ahead of a task that are a few milliseconds' work: what comes in while a transaction of some tens of milliseconds is made, at a hundred
/// thousand a second.
const NEAR_MESSAGES: u64 = 5_000;

/// A task's part in a transaction.
struct Part {
    at: TopicPartition,
    position: Option<Position>,
    speech: Speech,
    messages: usize,
}

impl<L: Log> Service<L> {
    /// Whether it is time: something to commit, and either the interval is over, or somebody waits for a word that is said, or there is too much of it.
    /// The interval grows with the cost of a transaction, so that commits never take more than a tenth of the time while there is a lag to work off.
    /// Without one there is time to spare, and a word waits for nothing but for the last commit to have paid.
    pub(super) fn commit_is_due(&mut self) -> bool {
        let says = |task: &Task| task.has_words() || task.owes_awake();
        let has_words = self.tasks.values().any(says);
        if self.retry
            || self.waking.is_some()
            || !(has_words || self.tasks.values().any(Task::has_moved))
        {
            return false;
        }
        if self.tasks.values().any(Task::is_doubtful) {
            return true; // before another instance closes their buckets
        }
        let since_ms = self.clock.steady_ms() - self.committed_ms;
        let interval_ms = self.settings.commit_interval_ms;
        if since_ms >= interval_ms.max(9 * self.commit_cost_ms) {
            return true;
        }
        let bytes: usize = self.tasks.values().map(Task::outbox_bytes).sum();
        bytes >= self.settings.outbox_bytes_max
            || (self.tasks.values().any(Task::is_awaited)
                && since_ms >= self.commit_cost_ms
                && self.is_near_the_end())
    }

    /// Whether so little lies ahead of every task that a commit now is not paid for by a lag that grows.
    fn is_near_the_end(&mut self) -> bool {
        let (tasks, log) = (&self.tasks, &mut self.log);
        tasks
            .keys()
            .all(|at| log.lag(at).is_some_and(|ahead| ahead <= NEAR_MESSAGES))
    }

    /// Makes the transaction; returns whether it happened. When it did not, what was said waits for the next, unless its task is lost by then.
    pub(super) fn commit(&mut self) -> Result<bool, ServiceError> {
        let forsaken = &self.forsaken;
        let tasks = self.tasks.values_mut();
        let mut parts: Vec<Part> = tasks
            .filter_map(|task| part_of(task, !forsaken.contains(&task.at.topic)))
            .collect();
        // Before all else: whoever is to be waited for, so that nobody closes the buckets of what is said here, or is still to be read.
        let mut messages: Vec<Outgoing> = self.tasks.values().flat_map(Task::awake).collect();
        if parts.is_empty() && messages.is_empty() {
            return Ok(true);
        }
        let awake = messages.len();
        for part in &mut parts {
            messages.append(&mut part.speech.messages);
        }
        let positions: Vec<(TopicPartition, Position)> = parts
            .iter()
            .filter_map(|part| Some((part.at.clone(), part.position.clone()?)))
            .collect();
        debug_assert!(
            !positions.is_empty() || !self.forsaken.is_empty(),
            "without positions nobody asks whether we are still a member"
        );
        let (began_ms, began) = (self.clock.steady_ms(), self.traces.now());
        let outcome = self.log.commit(Transaction {
            messages: &messages,
            positions: &positions,
        });
        self.committed_ms = self.clock.steady_ms();
        let duration_ms = self.committed_ms - began_ms;
        self.commit_cost_ms = duration_ms.min(COMMIT_COST_MS_MAX);
        if began.is_some() {
            let error = outcome.as_ref().err().map(ToString::to_string);
            let committing = Committing {
                messages: messages.len(),
                partitions: positions.len(),
                buckets: parts.iter().map(|part| part.speech.summaries.len()).sum(),
                error: error.as_deref(),
                again: matches!(outcome, Err(CommitError::Retry(_))),
            };
            self.traces.committed(began, &committing);
        }
        match outcome {
            Ok(()) => {
                self.tasks.values_mut().for_each(Task::awake_is_said);
                self.made_public(parts, messages.len(), duration_ms);
                Ok(true)
            }
            Err(CommitError::Retry(error)) => {
                self.tell(&Fact::Aborted { error });
                self.put_back(parts, messages.split_off(awake));
                Ok(false)
            }
            Err(CommitError::Fenced(error)) => {
                self.tell(&Fact::Aborted { error });
                self.tasks.clear();
                Ok(false)
            }
            Err(CommitError::Fatal(error)) => Err(ServiceError::Commit(error)),
        }
    }

    fn made_public(&mut self, parts: Vec<Part>, messages: usize, duration_ms: i64) {
        for part in parts {
            for document in &part.speech.remembered {
                self.tell(&Fact::Result { document });
            }
            if part.speech.left_out > 0 {
                let documents = part.speech.left_out;
                self.tell(&Fact::LeftOut { documents });
            }
            for summary in &part.speech.summaries {
                let at = &part.at;
                self.tell(&Fact::Bucket { at, summary });
            }
            for &revision in &part.speech.revisions {
                self.tell(&Fact::Revised { revision });
            }
            for notice in &part.speech.notices {
                self.tell(&Fact::Alert { notice });
            }
            if let (Some(task), Some(position)) = (self.tasks.get_mut(&part.at), part.position) {
                task.committed(position);
            }
        }
        self.tell(&Fact::Committed {
            messages,
            duration_ms,
        });
    }

    fn put_back(&mut self, parts: Vec<Part>, messages: Vec<Outgoing>) {
        self.retry = true;
        let mut messages = messages.into_iter();
        for mut part in parts {
            part.speech.messages = messages.by_ref().take(part.messages).collect();
            if let Some(task) = self.tasks.get_mut(&part.at) {
                task.put_back(part.speech);
            }
        }
    }

    /// Interim results leave at once; what becomes of them is not worth a transaction.
    pub(super) fn publish_interim(&mut self) -> Result<(), ServiceError> {
        let mut published = false;
        for task in self.tasks.values_mut() {
            let (messages, summaries) = task.take_interim();
            if !messages.is_empty() {
                self.log.publish(&messages)?;
                published = true;
            }
            for summary in &summaries {
                let at = &task.at;
                let fact = Fact::Bucket { at, summary };
                self.observer.observe(&self.plan.job.id, &fact);
            }
        }
        // Before the tombstone that a later transaction may send after them.
        match published {
            true => Ok(self.log.flush()?),
            false => Ok(()),
        }
    }

    /// Partitions that leave: a last commit, a last snapshot for whoever comes, and they are forgotten.
    pub(super) fn hand_over(&mut self, leaving: &[TopicPartition]) -> Result<(), ServiceError> {
        if self.waking.is_some() {
            // What was read since is read again by whoever comes: said now, it would close the buckets of those that have not been read yet.
            self.tasks.retain(|at, _| !leaving.contains(at));
            return Ok(());
        }
        let gone = self.gone_among(leaving);
        if !gone.is_empty() {
            self.part_from(&gone);
        }
        let exists = |at: &&TopicPartition| !gone.contains(&at.topic);
        let there: Vec<TopicPartition> = leaving.iter().filter(exists).cloned().collect();
        self.part_awake(&there)?;
        self.forsaken = gone;
        let committed = self.commit();
        let gone = std::mem::take(&mut self.forsaken);
        if committed? {
            self.keep_and_wait(&there);
            self.keep_between_topics(&gone);
        }
        self.tasks.retain(|at, _| !leaving.contains(at));
        Ok(())
    }

    /// The snapshots that are due, of those tasks whose state is committed.
    pub(super) fn take_due_snapshots(&mut self) {
        let now_ms = self.clock.steady_ms();
        let every = self.settings.snapshot_every_messages;
        let due: Vec<TopicPartition> = self
            .tasks
            .values()
            .filter(|task| task.wants_snapshot(now_ms, every))
            .map(|task| task.at.clone())
            .collect();
        due.iter().for_each(|at| self.keep(at));
    }

    /// Snapshots of these tasks, safe when this returns, if the store answers in time.
    pub(super) fn keep_and_wait(&mut self, tasks: &[TopicPartition]) {
        let until_ms = self.snapshots_until_ms();
        let names: Vec<String> = tasks.iter().map(|at| self.plan.task_name(at)).collect();
        self.keeper.wait_for_all(&names, until_ms);
        tasks.iter().for_each(|at| self.keep(at));
        self.await_kept(&names, until_ms);
    }

    /// Waits for snapshots of these tasks, and tells what has become of them.
    pub(super) fn await_kept(&mut self, names: &[String], until_ms: i64) {
        let is_done = self.keeper.wait_for_all(names, until_ms);
        self.tell_kept();
        if !is_done {
            let is_left = |name: &&String| self.keeper.is_busy_with(name);
            let tasks = names.iter().filter(is_left).count();
            self.tell(&Fact::SnapshotsNotAwaited { tasks });
        }
    }

    /// Until when the store is waited for that is to be given something now.
    pub(super) fn snapshots_until_ms(&self) -> i64 {
        self.clock.steady_ms() + self.settings.snapshot_patience_ms
    }

    /// Gives a task's state away to be stored, unless its last one still is being. A store that fails costs replay time, not results.
    fn keep(&mut self, at: &TopicPartition) {
        let now_ms = self.clock.steady_ms();
        let is_busy = self.keeper.is_busy_with(&self.plan.task_name(at));
        // Where it is not known, no memory is spent on it.
        let lag = self.log.lag(at);
        let is_in_haste = lag.is_some_and(|ahead| ahead > NEAR_MESSAGES);
        let task = self.tasks.get_mut(at).filter(|task| task.may_snapshot());
        if let (Some(task), false) = (task, is_busy) {
            let began = self.traces.now();
            let (key, state) = task.freeze(now_ms);
            self.keeper.take(Order {
                trace: self.traces.frozen(began, &key),
                key,
                state,
                kept_max: self.settings.snapshots_kept.max(2),
                is_in_haste,
            });
        }
    }

    /// Tells what has become of snapshots.
    pub(super) fn tell_kept(&mut self) {
        for done in self.keeper.collect() {
            let Done {
                key,
                duration_ms,
                stored,
                not_forgotten,
            } = &done;
            match stored {
                Ok(bytes) => self.tell(&Fact::Snapshot {
                    key,
                    bytes: *bytes as usize,
                    duration_ms: *duration_ms,
                }),
                Err(error) => self.tell(&Fact::SnapshotFailed {
                    key,
                    error: error.to_string(),
                }),
            }
            if let Some(error) = not_forgotten {
                let error = error.to_string();
                self.tell(&Fact::SnapshotsNotForgotten { key, error });
            }
        }
    }
}

/// What a task has for a transaction. A partition that does not exist any more has no position.
fn part_of(task: &mut Task, exists: bool) -> Option<Part> {
    let next = task.next_position().filter(|_| exists);
    if next.is_none() && !task.has_words() && !task.owes_awake() {
        return None;
    }
    // Words go with the position as it is, where it is no other, so that those of one whose partition is another's by now are refused.
    let position = next.or_else(|| task.held().filter(|_| exists).cloned());
    let speech = task.take_words();
    Some(Part {
        at: task.at.clone(),
        position,
        messages: speech.messages.len(),
        speech,
    })
}
