//! Interim documents that earlier owners of a task have left behind: whoever writes the results now has to take them back.
//!
//! What an owner has said of a bucket that is still open is known to that owner only. One that dies leaves it in the interim topics, and where the final
//! results do not bear it out, nobody else would withdraw it. So the next one looks what stands there of buckets behind the last final one. Their
//! messages bear the time of their buckets, which makes that a short read. A transaction of another job that is open at that moment hides what came
//! behind it, and somebody who does not know yet that it was put out may add to it; hence a second look. Who dies before the second one leaves it to
//! the next, who therefore looks some way behind the last final bucket too.

use super::Service;
use crate::engine::result::DocumentKind;
use crate::runtime::log::{Log, LogError, Place, TopicPartition, Topics};
use crate::runtime::observer::Fact;
use crate::runtime::standing::Standing;
use crate::runtime::task::TopicNames;
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

/// What is still to be found of one task's past.
pub(super) struct Heritage {
    /// The last final bucket when it began: interim documents of it and of those before should be gone.
    final_until_ms: Option<i64>,
    /// Where reading goes on, of each partition that has been looked at.
    next: BTreeMap<TopicPartition, i64>,
    due_ms: i64,
    is_second: bool,
    /// How often in a row brokers did not answer.
    misses: u32,
}

/// An interim document.
struct Left {
    kind: DocumentKind,
    id: String,
    time_ms: i64,
}

impl Heritage {
    /// Of a task behind this bucket, by the steady clock.
    pub(super) fn of(final_until_ms: Option<i64>, now_ms: i64) -> Heritage {
        Heritage {
            final_until_ms,
            next: BTreeMap::new(),
            due_ms: now_ms,
            is_second: false,
            misses: 0,
        }
    }

    fn look<T: Topics>(
        &mut self,
        log: &mut T,
        names: &TopicNames,
        job_id: &str,
    ) -> Result<Vec<Left>, LogError> {
        let kinds: BTreeMap<&str, DocumentKind> = DocumentKind::ALL
            .into_iter()
            .map(|kind| (&**names.interim(kind), kind))
            .collect();
        let topics: Vec<String> = kinds.keys().map(|&topic| topic.to_owned()).collect();
        let mut found = Vec::new();
        for (topic, partitions) in log.partitions(&topics)? {
            let Some(&kind) = kinds.get(&*topic) else {
                continue;
            };
            let topic: Arc<str> = topic.into();
            for partition in 0..partitions {
                let at = TopicPartition::new(Arc::clone(&topic), partition);
                found.extend(self.look_at(log, at, kind, job_id)?);
            }
        }
        Ok(found)
    }

    fn look_at<T: Topics>(
        &mut self,
        log: &mut T,
        at: TopicPartition,
        kind: DocumentKind,
        job_id: &str,
    ) -> Result<Vec<Left>, LogError> {
        let from = match (self.next.get(&at), self.final_until_ms) {
            (Some(&next), _) => next,
            (None, None) => 0,
            (None, Some(until_ms)) => log.offset_of(&at, Place::Time(until_ms - LOOK_BACK_MS))?,
        };
        let mut standing = Standing::default();
        let next = standing.read(log, &at, from, job_id)?;
        self.next.insert(at, next);
        let left = standing.into_iter().filter_map(|(key, time_ms)| {
            let (id, time_ms) = (String::from_utf8(key).ok()?, time_ms?);
            Some(Left { kind, id, time_ms })
        });
        Ok(left.collect())
    }
}

impl<L: Log> Service<L> {
    /// Looks what earlier owners have left behind, where it is time to.
    pub(super) fn inherit(&mut self) -> Result<(), LogError> {
        let now_ms = self.clock.steady_ms();
        let tasks = &self.tasks;
        self.heritages.retain(|at, _| tasks.contains_key(at));
        let (names, job_id) = (&self.plan.names, &self.plan.job.id);
        let mut unavailable = None;
        for (at, heritage) in &mut self.heritages {
            let Some(task) = self.tasks.get_mut(at) else {
                continue;
            };
            if !task.is_live() || now_ms < heritage.due_ms {
                continue;
            }
            match heritage.look(&mut self.log, names, job_id) {
                Ok(left) => {
                    for Left { kind, id, time_ms } in left {
                        task.inherit(kind, id, time_ms);
                    }
                    heritage.due_ms = match heritage.is_second {
                        true => i64::MAX,
                        false => now_ms + SECOND_LOOK_MS,
                    };
                    heritage.is_second = true;
                    heritage.misses = 0;
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
