//! Interim documents that earlier owners of a task have left behind: whoever writes the results now has to take them back.
//!
//! What an owner has said of a bucket that is still open is known to that owner only. One that dies leaves it in the interim topics, and where the final
//! results do not bear it out, nobody else would withdraw it. So the next one looks what stands there of buckets behind the last final one. Their
//! messages bear the time of their buckets, which makes that a short read. A transaction of another job that is open at that moment hides what came
//! behind it, and somebody who does not know yet that it was put out may add to it; hence a second look. Who dies before the second one leaves it to
//! the next, who therefore looks some way behind the last final bucket too.

use super::Service;
use crate::engine::result::DocumentKind;
use crate::runtime::clock::Clock;
use crate::runtime::log::{Log, LogError, Place, TopicPartition, Topics};
use crate::runtime::observer::Fact;
use crate::runtime::standing::Standing;
use crate::runtime::task::{Plan, Task, TopicNames};
use std::collections::BTreeMap;
use std::sync::Arc;

/// From the first look to the second, milliseconds: whatever transaction was open is over by then, at the brokers' usual limit.
const SECOND_LOOK_MS: i64 = 60_000;

/// So far behind the last final bucket it is looked too, milliseconds of event time: what is interim is live, so that this is about as much of the
/// clock, in which one owner at least has lived long enough for its second look.
const LOOK_BACK_MS: i64 = 3_600_000;

/// Until it is tried again where brokers do not answer, milliseconds.
const PAUSE_MS: i64 = 1_000;

/// So often they may fail to before it is said: of topics that were just made the leaders are not known everywhere yet.
const MISSES_MAX: u32 = 3;

/// How long it is looked in one turn of the loop, before what is live goes on: as many milliseconds, and one partition more.
const TURN_MS: i64 = 20;

/// What is still to be found of one task's past.
pub(super) struct Heritage {
    /// The last final bucket when it began: interim documents of it and of those before should be gone.
    final_until_ms: Option<i64>,
    /// Where reading goes on, of each partition that has been looked at.
    next: BTreeMap<TopicPartition, i64>,
    /// What is left of the look that is being made.
    to_look_at: Vec<(DocumentKind, TopicPartition)>,
    due_ms: i64,
    is_second: bool,
    /// How often in a row brokers did not answer.
    misses: u32,
}

impl Heritage {
    /// Of a task behind this bucket, by the steady clock.
    pub(super) fn of(final_until_ms: Option<i64>, now_ms: i64) -> Heritage {
        Heritage {
            final_until_ms,
            next: BTreeMap::new(),
            to_look_at: Vec::new(),
            due_ms: now_ms,
            is_second: false,
            misses: 0,
        }
    }

    /// Goes on with the look that is due, for one turn of the loop. Whether anything is left of it.
    fn look<T: Topics>(
        &mut self,
        log: &mut T,
        plan: &Plan,
        clock: &dyn Clock,
        task: &mut Task,
    ) -> Result<bool, LogError> {
        let until_ms = clock.steady_ms() + TURN_MS;
        if self.to_look_at.is_empty() {
            self.to_look_at = interim_partitions(log, &plan.names)?;
        }
        while let Some((kind, at)) = self.to_look_at.last() {
            let from = match (self.next.get(at), self.final_until_ms) {
                (Some(&next), _) => next,
                (None, None) => 0,
                (None, Some(until_ms)) => {
                    log.offset_of(at, Place::Time(until_ms - LOOK_BACK_MS))?
                }
            };
            let mut standing = Standing::default();
            let next = standing.read(log, at, from, &plan.job.id)?;
            for (key, time_ms) in standing {
                if let (Ok(id), Some(time_ms)) = (String::from_utf8(key), time_ms) {
                    task.inherit(*kind, id, time_ms);
                }
            }
            self.next.insert(at.clone(), next);
            self.to_look_at.pop();
            if clock.steady_ms() >= until_ms {
                break;
            }
        }
        Ok(!self.to_look_at.is_empty())
    }
}

fn interim_partitions<T: Topics>(
    log: &mut T,
    names: &TopicNames,
) -> Result<Vec<(DocumentKind, TopicPartition)>, LogError> {
    let kinds = DocumentKind::ALL.map(|kind| (kind, names.interim(kind)));
    let topics = kinds.each_ref().map(|(_, topic)| topic.to_string());
    let counts = log.partitions(&topics)?;
    let partitions = kinds.into_iter().flat_map(|(kind, topic)| {
        let count = counts.get(&**topic).copied().unwrap_or(0);
        let at = move |partition| TopicPartition::new(Arc::clone(topic), partition);
        (0..count).map(move |partition| (kind, at(partition)))
    });
    Ok(partitions.collect())
}

impl<L: Log> Service<L> {
    /// Looks what earlier owners have left behind, where it is time to.
    pub(super) fn inherit(&mut self) -> Result<(), LogError> {
        let now_ms = self.clock.steady_ms();
        let tasks = &self.tasks;
        self.heritages.retain(|at, _| tasks.contains_key(at));
        let mut unavailable = None;
        for (at, heritage) in &mut self.heritages {
            let Some(task) = self.tasks.get_mut(at) else {
                continue;
            };
            if !task.is_live() || now_ms < heritage.due_ms {
                continue;
            }
            match heritage.look(&mut self.log, &self.plan, &*self.clock, task) {
                Ok(true) => heritage.misses = 0,
                Ok(false) => {
                    heritage.misses = 0;
                    heritage.due_ms = match heritage.is_second {
                        true => i64::MAX,
                        false => now_ms + SECOND_LOOK_MS,
                    };
                    heritage.is_second = true;
                }
                Err(LogError::Unavailable(error)) => {
                    heritage.due_ms = now_ms + PAUSE_MS;
                    heritage.misses += 1;
                    unavailable = (heritage.misses > MISSES_MAX)
                        .then_some(error)
                        .or(unavailable);
                }
                Err(error) => return Err(error),
            }
        }
        self.heritages
            .retain(|_, heritage| heritage.due_ms < i64::MAX);
        if let Some(error) = unavailable {
            self.tell(&Fact::Unavailable { error });
        }
        Ok(())
    }
}
