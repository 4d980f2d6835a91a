//! After a silence in which nobody waited for any input: all that is written at once is judged together.
//!
//! An idle input is not waited for. When all of them are, the first that is read again would be the only one that counts: it would close the buckets of the others, which
//! have not been read yet, and what they hold would be late. A topic that is written to in batches, or filled after the job has begun, is like that. So the first
//! to wake says so before all else, in a transaction of its own, and is not read on; nothing is committed until the others have had their time to wake as well:
//! [`Settings::wake_ms`](super::Settings::wake_ms) from the last that did, and no longer than one silent input is waited for. What comes later than that is
//! what an idle input's events are, late where their bucket is closed. Other instances do the same with their partitions.
//! Checked by: tests/waking.rs, tests/simulation.rs, tests/kafka/log.rs.

use super::{Service, ServiceError};
use crate::runtime::log::{CommitError, Log, Outgoing, Transaction};
use crate::runtime::observer::Fact;
use crate::runtime::task::Task;

/// Inputs wake.
#[derive(Debug)]
pub(super) struct Waking {
    /// The others have until then, milliseconds of the steady clock.
    until_ms: i64,
    /// And never longer than that.
    until_ms_max: i64,
    /// Who is to be waited for, in words that are not committed yet.
    unsaid: Vec<Outgoing>,
}

impl<L: Log> Service<L> {
    /// Whether there are several inputs, and nobody waits for one that is read here.
    pub(super) fn are_inputs_silent(&self) -> bool {
        let mut inputs = self.tasks.values().filter(|task| task.reads_events());
        self.plan.inputs.values().sum::<i32>() > 1 && inputs.all(Task::is_silent)
    }

    /// What comes of a poll, before which `were_silent` was so.
    pub(super) fn wake(&mut self, were_silent: bool) -> Result<(), ServiceError> {
        let woken: Vec<Outgoing> = self.tasks.values_mut().flat_map(Task::take_awake).collect();
        let is_quiet = woken.is_empty();
        let now_ms = self.clock.steady_ms();
        if !is_quiet && were_silent && self.waking.is_none() {
            self.waking = Some(Waking {
                until_ms: now_ms,
                until_ms_max: now_ms + self.plan.job.extensions.idle_timeout_ms,
                unsaid: Vec::new(),
            });
        }
        let Some(waking) = &mut self.waking else {
            return Ok(()); // others are waited for, and close nothing before its time
        };
        if !is_quiet {
            waking.until_ms = waking.until_ms_max.min(now_ms + self.settings.wake_ms);
        }
        waking.unsaid.extend(woken);
        if waking.unsaid.is_empty() {
            // A whole poll after the last one, for somebody else may have had no turn.
            if is_quiet && now_ms >= waking.until_ms {
                self.waking = None;
            }
            return Ok(());
        }
        let said = self.log.commit(Transaction {
            messages: &waking.unsaid,
            positions: &[],
        });
        match said {
            Ok(()) => {
                waking.unsaid.clear();
                Ok(())
            }
            Err(CommitError::Retry(error)) => {
                self.tell(&Fact::Aborted { error });
                Ok(())
            }
            Err(CommitError::Fenced(error)) => {
                self.tell(&Fact::Aborted { error });
                self.tasks.clear();
                self.waking = None;
                Ok(())
            }
            Err(CommitError::Fatal(error)) => Err(ServiceError::Commit(error)),
        }
    }
}
