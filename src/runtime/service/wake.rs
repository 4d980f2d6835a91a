//! After a silence in which nobody waited for any input: all that is written at once is judged together.
//!
//! An idle input is not waited for. When all of them are, the first that is read again would be the only one that counts: it would close the buckets of the others, which
//! have not been read yet, and what they hold would be late. A topic that is written to in batches, or filled after the job has begun, is like that. So the first
//! to wake says so before all else, in a transaction of its own, and is not read on; nothing is committed until the others have had their time to wake as well:
//! [`Settings::wake_ms`](super::Settings::wake_ms) from the last that did, and no longer than one silent input is waited for. What comes later than that is
//! what an idle input's events are, late where their bucket is closed. Other instances do the same with their partitions.
//!
//! The same holds of a beginning after a time in which nobody read: an idle input may have got something meanwhile, and it is waited for until that is known. Whoever
//! takes one over says so ([`Task::doubt_silence`](crate::runtime::task)) before anything is committed that could close a bucket; while one is still to be
//! restored, or another instance is about to (which is told by the positions of the group), nothing is. Who gives an idle input away in order says the same of it. Of one that
//! was lost with its instance, and has got something, the others' wait goes on until its position says that it is awake.
//! Checked by: tests/waking.rs, tests/backlog.rs, tests/simulation.rs, tests/kafka/service.rs.

use super::{Service, ServiceError};
use crate::runtime::log::{
    Assignment, CommitError, Log, LogError, METADATA_BYTES_MAX, Outgoing, Place, Position,
    TopicPartition, Transaction,
};
use crate::runtime::observer::Fact;
use crate::runtime::task::{self, Mark, Task};
use std::collections::BTreeMap;

/// Inputs wake.
#[derive(Debug)]
pub(super) struct Waking {
    /// The others have until then, milliseconds of the steady clock.
    until_ms: i64,
    /// And never longer than that.
    until_ms_max: i64,
    /// The instance has just begun, perhaps before others that are to.
    is_start: bool,
}

/// An idle partition that has so many offsets ahead of its position has messages there, and not only the ends of transactions.
const LOOK_MAX: i64 = 100;

/// Which partitions have been assigned in a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrivals {
    /// None.
    None,
    /// To an instance that had no input.
    First,
    /// To one that has inputs.
    More,
}

impl<L: Log> Service<L> {
    /// Whether inputs are read here, or will be.
    pub(super) fn has_inputs(&self) -> bool {
        let is_input = |one: &Assignment| self.plan.inputs.contains_key(&one.at.topic);
        self.tasks.values().any(Task::reads_events) || self.waiting.iter().any(is_input)
    }

    /// Whether there are several inputs, and nobody waited for one that is read here until now.
    fn were_inputs_silent(&self) -> bool {
        let mut inputs = self.tasks.values().filter(|task| task.reads_events());
        self.plan.inputs.values().sum::<i32>() > 1
            && inputs.all(|task| task.is_silent() || task.has_woken())
    }

    /// Whether an input is still to be restored of which it was said that nobody is to wait for it: it may have got something since.
    fn is_silent_input_to_come(&self) -> bool {
        let is_input = |one: &&Assignment| self.plan.inputs.contains_key(&one.at.topic);
        let mut inputs = self.waiting.iter().filter(is_input);
        inputs.any(|one| {
            one.committed
                .as_ref()
                .is_some_and(|held| self.was_idle(held))
        })
    }

    /// The inputs that nobody waits for and that another instance reads, or is to; with where. No answer, such as that somebody commits one just now, is an error.
    fn silent_inputs_elsewhere(&mut self) -> Result<BTreeMap<TopicPartition, Position>, LogError> {
        let all = self.plan.inputs.iter().flat_map(|(topic, count)| {
            (0..*count).map(move |partition| TopicPartition::new(topic.clone(), partition))
        });
        let is_here = |at: &TopicPartition| {
            self.tasks.contains_key(at) || self.waiting.iter().any(|one| one.at == *at)
        };
        let elsewhere: Vec<TopicPartition> = all.filter(|at| !is_here(at)).collect();
        if elsewhere.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut held = self.log.positions(&elsewhere)?;
        held.retain(|_, held| self.was_idle(held));
        Ok(held)
    }

    /// Whether an input elsewhere has got something, and its instance, if it has one, has not come to say so.
    fn is_other_input_asleep(&mut self) -> Result<bool, LogError> {
        for (at, held) in self.silent_inputs_elsewhere()? {
            let from = held.next_offset;
            let ahead = self.log.offset_of(&at, Place::End)? - from;
            let mut has_message = ahead > LOOK_MAX;
            if (1..=LOOK_MAX).contains(&ahead) {
                self.log.read(&at, from, &mut |_| has_message = true)?;
            }
            if has_message {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a committed position says that nobody is to wait for its partition.
    fn was_idle(&self, held: &Position) -> bool {
        let mark = Mark::parse(&held.metadata);
        mark.is_some_and(|mark| mark.lineage == self.plan.lineage && mark.idle && !mark.ended)
    }

    /// The position of an input of which it is said with it that it is to be waited for: others look for that.
    fn awoken(&self, held: &Position) -> Position {
        let mark = Mark::parse(&held.metadata).map(|mark| Mark {
            idle: false,
            ..mark
        });
        Position {
            metadata: mark.map_or(held.metadata.clone(), |mark| mark.write(METADATA_BYTES_MAX)),
            ..*held
        }
    }

    /// Says of those that have just come and were idle that they are to be waited for, before they are restored: that can take longer than other instances wait.
    pub(super) fn announce(&mut self, arrivals: &[Assignment]) -> Result<(), ServiceError> {
        let held = |one: &Assignment| {
            let held = one.committed.clone().filter(|held| self.was_idle(held))?;
            let is_input = self.plan.inputs.contains_key(&one.at.topic);
            is_input.then(|| (one.at.clone(), self.awoken(&held)))
        };
        let silent: Vec<(TopicPartition, Position)> = arrivals.iter().filter_map(held).collect();
        let words = silent
            .iter()
            .flat_map(|(at, _)| task::awake(&self.plan, at));
        let words: Vec<Outgoing> = words.collect();
        match words.is_empty() {
            true => Ok(()),
            // Where that fails, the tasks will say it.
            false => self.say_first(&words, &silent).map(drop),
        }
    }

    /// Where the first of silent inputs has woken, or a silent one may have got something and is still to be restored, here or elsewhere: the others' time begins.
    pub(super) fn begin_waking(&mut self, arrivals: Arrivals) {
        let has_woken = self.tasks.values().any(Task::has_woken);
        let begins = (has_woken && self.were_inputs_silent())
            || (arrivals != Arrivals::None && self.is_silent_input_to_come())
            || (arrivals == Arrivals::First
                && self.has_inputs()
                && !matches!(self.silent_inputs_elsewhere(), Ok(silent) if silent.is_empty()));
        if begins && self.waking.is_none() {
            let now_ms = self.clock.steady_ms();
            let idle_timeout_ms = self.plan.job.extensions.idle_timeout_ms;
            self.waking = Some(Waking {
                until_ms: now_ms + self.settings.wake_ms.min(idle_timeout_ms),
                until_ms_max: now_ms + idle_timeout_ms,
                is_start: arrivals == Arrivals::First,
            });
        }
    }

    /// What comes of a poll, with which inputs may have been assigned.
    pub(super) fn wake(&mut self, arrivals: Arrivals) -> Result<(), ServiceError> {
        self.begin_waking(arrivals);
        let is_quiet = !self.tasks.values().any(Task::has_woken) && !self.is_silent_input_to_come();
        let now_ms = self.clock.steady_ms();
        let Some(waking) = &mut self.waking else {
            return Ok(()); // said first of all in the next transaction
        };
        if !is_quiet {
            waking.until_ms = waking.until_ms_max.min(now_ms + self.settings.wake_ms);
        }
        let (until_ms, until_ms_max) = (waking.until_ms, waking.until_ms_max);
        let words: Vec<Outgoing> = self.tasks.values().flat_map(Task::awake).collect();
        if words.is_empty() {
            // A whole poll after the last one, for somebody else may have had no turn.
            if now_ms >= until_ms && (is_quiet || now_ms >= until_ms_max) {
                self.end_waking(now_ms);
            }
            return Ok(());
        }
        // With their positions, so that the words of one whose partition is another's by now are refused.
        let speakers = self.tasks.values().filter(|task| task.owes_awake());
        let held = |task: &Task| Some((task.at.clone(), self.awoken(task.held()?)));
        let positions: Vec<(TopicPartition, Position)> = speakers.filter_map(held).collect();
        if self.say_first(&words, &positions)? {
            self.tasks.values_mut().for_each(Task::awake_is_said);
            for (at, position) in positions {
                self.tasks
                    .get_mut(&at)
                    .into_iter()
                    .for_each(|task| task.committed(position.clone()));
            }
        }
        Ok(())
    }

    /// Says of idle inputs that are given away that they are to be waited for, before whatever else: until somebody has taken them over nobody sees what is written
    /// to them. Where it cannot be said, as where the job has been laid out anew meanwhile, whoever comes says it.
    pub(super) fn part_awake(&mut self, leaving: &[TopicPartition]) -> Result<(), ServiceError> {
        for at in leaving {
            self.tasks.get_mut(at).into_iter().for_each(Task::leave);
        }
        let there = || leaving.iter().filter_map(|at| self.tasks.get(at));
        let words: Vec<Outgoing> = there().flat_map(Task::awake).collect();
        if words.is_empty() {
            return Ok(());
        }
        // With marks that say idle, so that it is soon found to have nothing if it has.
        let held = |task: &Task| Some((task.at.clone(), task.held()?.clone()));
        let speakers = there().filter(|task| task.owes_awake());
        let positions: Vec<(TopicPartition, Position)> = speakers.filter_map(held).collect();
        match self.say_first(&words, &positions) {
            Err(ServiceError::Commit(error)) => self.tell(&Fact::Aborted { error }),
            done => drop(done?),
        }
        for at in leaving {
            let task = self.tasks.get_mut(at);
            task.into_iter().for_each(Task::awake_is_said);
        }
        Ok(())
    }

    /// The others have had their time. At a start there is more of it for those whose instance has not come to them yet.
    fn end_waking(&mut self, now_ms: i64) {
        let Some(mut waking) = self.waking.take() else {
            return;
        };
        let has_time = waking.is_start && now_ms < waking.until_ms_max;
        if has_time && self.is_other_input_asleep().unwrap_or(true) {
            waking.until_ms = waking.until_ms_max.min(now_ms + self.settings.wake_ms);
            self.waking = Some(waking);
        }
    }

    /// A transaction of its own, with positions that are where they were. Whether it was made.
    fn say_first(
        &mut self,
        messages: &[Outgoing],
        positions: &[(TopicPartition, Position)],
    ) -> Result<bool, ServiceError> {
        let transaction = Transaction {
            messages,
            positions,
        };
        match self.log.commit(transaction) {
            Ok(()) => Ok(true),
            Err(CommitError::Retry(error)) => {
                self.tell(&Fact::Aborted { error });
                Ok(false)
            }
            Err(CommitError::Fenced(error)) => {
                self.tell(&Fact::Aborted { error });
                self.tasks.clear();
                self.waking = None;
                Ok(false)
            }
            Err(CommitError::Fatal(error)) => Err(ServiceError::Commit(error)),
        }
    }
}
