//! One job's thread: works it, and tries again, later and later, when that fails.

use super::Assignment;
use crate::runtime::observer::{Fact, Observer};
use crate::runtime::shutdown::Shutdown;
use std::error::Error;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Before a job that failed is tried again; doubled each time.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Between two looks at whether the end was asked for, while waiting for something else.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Why a job could not be worked.
pub type WorkError = Box<dyn Error + Send + Sync>;

/// Where jobs are worked.
pub trait Workshop: Send + Sync + 'static {
    /// Works a job until `stop` is asked for, or something fails. Ends in order either way, as far as it can.
    fn work(&self, assignment: &Assignment, stop: &Shutdown) -> Result<(), WorkError>;
}

/// A job at work.
pub(super) struct Worker {
    assignment: Assignment,
    stop: Shutdown,
    thread: JoinHandle<bool>,
}

impl Worker {
    /// Puts a job to work.
    pub(super) fn start<W: Workshop>(
        workshop: &Arc<W>,
        observer: &Arc<dyn Observer>,
        assignment: Assignment,
    ) -> std::io::Result<Worker> {
        let stop = Shutdown::new();
        let task = Task {
            workshop: Arc::clone(workshop),
            observer: Arc::clone(observer),
            assignment: assignment.clone(),
            stop: stop.clone(),
        };
        let thread = thread::Builder::new()
            .name(assignment.job.id.clone())
            .spawn(move || task.run())?;
        Ok(Worker {
            assignment,
            stop,
            thread,
        })
    }

    pub(super) fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    pub(super) fn ask_to_end(&self) {
        self.stop.ask();
    }

    pub(super) fn was_asked(&self) -> bool {
        self.stop.is_asked()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end; whether it came in order.
    pub(super) fn join(self) -> bool {
        self.thread.join().unwrap_or(false)
    }
}

struct Task<W> {
    workshop: Arc<W>,
    observer: Arc<dyn Observer>,
    assignment: Assignment,
    stop: Shutdown,
}

impl<W: Workshop> Task<W> {
    /// Whether it ended in order.
    fn run(self) -> bool {
        let job_id = self.assignment.job.id.as_str();
        let mut wait = RETRY_FIRST;
        loop {
            match self.workshop.work(&self.assignment, &self.stop) {
                Ok(()) => return true,
                Err(error) if self.stop.is_asked() => {
                    tracing::error!(job_id, %error, "not ended in order");
                    return false;
                }
                Err(error) => {
                    let error = error.to_string();
                    tracing::error!(job_id, error, again_in = ?wait, "the job is not at work");
                    self.observer.observe(job_id, &Fact::NotAtWork { error });
                }
            }
            if self.idle(wait) {
                return true;
            }
            wait = (wait * 2).min(RETRY_MAX);
        }
    }

    /// Waits, telling the probes that this job lives but is not ready. Whether the end was asked for.
    fn idle(&self, wait: Duration) -> bool {
        let mut left = wait;
        while !left.is_zero() && !self.stop.is_asked() {
            let breath = Fact::Breath {
                ready: false,
                at_end: false,
            };
            self.observer.observe(&self.assignment.job.id, &breath);
            let step = left.min(LOOK_INTERVAL);
            thread::sleep(step);
            left -= step;
        }
        self.stop.is_asked()
    }
}
