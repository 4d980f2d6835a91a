//! Inputs kept together in event time: one that has run far ahead of the slowest is held back until that has come up.
//!
//! A bucket closes when every live input has passed it. What a fast input brings of later buckets only waits, in its gatherer, its judges or the rollup,
//! and takes memory there; so it may as well wait in the log. Compared are the inputs that this instance works on; another instance's
//! are not known here.
//!
//! Holds: an input is held only while a slower one is live, so that the slowest never is; no result depends on it, for buckets do not depend on
//! the order of partitions. An idle input holds back nobody. One that has read nearly all there is is never held: at the end of the log a clock that runs
//! ahead must not stop its partition. Units: milliseconds of event time, messages.
//! Checked by: the tests of tests/align.rs, tests/simulation.rs.

use super::Service;
use crate::config::Job;
use crate::runtime::log::{Log, TopicPartition};
use crate::runtime::observer::Fact;
use crate::runtime::task::Task;
use crate::time::EventTime;

/// How far inputs may drift apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Align {
    /// So many buckets; 0: as far as they like.
    pub ahead_buckets: u32,
    /// But at least so long, milliseconds.
    pub ahead_ms_min: i64,
    /// Who has at most so many messages to read goes on.
    pub lag_min: u64,
}

impl Default for Align {
    fn default() -> Align {
        Align {
            ahead_buckets: 12,
            ahead_ms_min: 3_600_000,
            lag_min: 10_000,
        }
    }
}

impl Align {
    /// How far an input of a job may be ahead of the slowest, if there is a limit. Never less than a silent input is waited for.
    fn reach_ms(&self, job: &Job) -> Option<i64> {
        if self.ahead_buckets == 0 {
            return None;
        }
        let buckets = job
            .bucket_span
            .millis()
            .saturating_mul(self.ahead_buckets.into());
        let patience = job.extensions.idle_timeout_ms;
        Some(buckets.max(self.ahead_ms_min).max(patience))
    }
}

impl<L: Log> Service<L> {
    /// Says which inputs the log is to hold back in the next poll: who has run ahead, and who was the first to wake.
    pub(super) fn align(&mut self) {
        let (lag_min, is_waking) = (self.settings.align.lag_min, self.waking.is_some());
        let mut paused = 0;
        for (at, is_ahead, may_speak) in self.inputs() {
            let held = is_ahead && self.log.lag(&at).is_some_and(|lag| lag > lag_min);
            self.log.hold(&at, held || (is_waking && may_speak));
            paused += usize::from(held);
        }
        if paused != self.paused {
            self.paused = paused;
            self.tell(&Fact::Paused { inputs: paused });
        }
    }

    /// The inputs, each with whether it has run too far ahead of the slowest that is waited for, and whether what it reads is to be said.
    fn inputs(&self) -> Vec<(TopicPartition, bool, bool)> {
        let reach_ms = self.settings.align.reach_ms(&self.plan.job);
        let inputs = || self.tasks.values().filter(|task| task.reads_events());
        // Who has had no event yet stands where the others began.
        let began = inputs().filter_map(Task::first_watermark).min();
        let awaited = inputs().filter(|task| !task.is_idle());
        let slowest = awaited.filter_map(|task| task.watermark().or(began)).min();
        let is_ahead = |task: &Task| match (task.watermark(), slowest, reach_ms) {
            (Some(EventTime(at)), Some(EventTime(least)), Some(reach_ms)) => {
                at.saturating_sub(least) > reach_ms
            }
            _ => false,
        };
        inputs()
            .map(|task| {
                let may_speak = task.is_live() && !task.is_silent();
                (task.at.clone(), is_ahead(task), may_speak)
            })
            .collect()
    }
}
