//! A job kept out of work for as long as something is done to it.
//!
//! That its group has no members does not say that everybody has heard of the wish to stop it: a worker that a changed file has ended is out of the group for a moment, and comes again if it
//! has not. So nobody is to be seen for some time before anything is done, and where somebody has come meanwhile it is done again: operations may be cut off anywhere.
//! Waiting is the caller's. Checked by: tests/jobs.rs, in memory, and tests/kafka.

use super::{Footprint, JobsError};
use crate::runtime::log::Groups;
use std::time::Duration;

/// Between two looks at a group that is to become empty.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// How often an operation is begun at most.
const TRIES_MAX: usize = 10;

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// For nobody to be at work on the job, each time.
    pub timeout: Duration,
    /// For so long nobody has been seen at work on it before anything is done: longer than an instance needs to hear of a wish, and of a changed file.
    pub quiet: Duration,
}

impl Quiet {
    /// Returns when the job's group has no members; an error if it still has some after the timeout. `wait` lets so much time go by.
    pub fn await_idle<L: Groups>(
        &self,
        log: &mut L,
        (job, group): (&str, &str),
        wait: &mut dyn FnMut(Duration),
    ) -> Result<(), JobsError> {
        let mut left = self.timeout;
        loop {
            let members = log.members(group)?;
            if members == 0 {
                return Ok(());
            }
            if left.is_zero() {
                return Err(JobsError::StillAtWork {
                    job: job.to_owned(),
                    members,
                    seconds: self.timeout.as_secs(),
                });
            }
            let step = left.min(LOOK_INTERVAL);
            wait(step);
            left -= step;
        }
    }

    /// Does `operation` when nobody has been at work on the job for a while, and again while it says `None` (somebody may have been) or is refused because somebody is.
    pub fn attempt<L: Groups, T>(
        &self,
        log: &mut L,
        footprint: &Footprint,
        wait: &mut dyn FnMut(Duration),
        operation: &mut dyn FnMut(&mut L) -> Result<Option<T>, JobsError>,
    ) -> Result<T, JobsError> {
        let job = &footprint.plan.job.id;
        for _ in 0..TRIES_MAX {
            self.await_idle(log, (job, &footprint.group), wait)?;
            let mut left = self.quiet;
            while !left.is_zero() && log.members(&footprint.group)? == 0 {
                let step = left.min(LOOK_INTERVAL);
                wait(step);
                left -= step;
            }
            if !left.is_zero() {
                continue; // somebody has come
            }
            match operation(log) {
                Ok(Some(done)) => return Ok(done),
                Ok(None) | Err(JobsError::AtWork { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(JobsError::ComesBack(job.clone()))
    }
}
