//! The supervisor: sees to it that the jobs that are wanted are at work, each on a thread of its own, and no others.
//!
//! ```text
//! job files ── watch ──► look ── roster ──► jobs ──┐
//!                                                  ├─ agreement ──► wanted ──► Supervisor::tend ──► workers
//! control topic ◄─ claims ─ control ──► agreed ────┘
//! ```
//!
//! It compares what is wanted with what runs, and takes one step: start what is missing, ask what has changed or is not wanted to end, start the
//! changed anew when it has. Ending is graceful (last transaction, last snapshot, group left), so a job that goes on with its
//! models loses nothing. Nothing here waits. Holds: at no time do two workers of one job run in a process.
//! Checked by the tests below, and by tests/kafka.

mod agreement;
pub mod control;
mod roster;
mod watch;
mod worker;

pub use agreement::{Agreement, Assignment, Wanted};
pub use roster::Roster;
pub use watch::{Patience, Watch};
pub use worker::{WorkError, Workshop};

use super::observer::{Fact, Observer};
use std::collections::BTreeMap;
use std::sync::Arc;
use worker::Worker;

/// Keeps jobs at work.
pub struct Supervisor<W> {
    workshop: Arc<W>,
    observer: Arc<dyn Observer>,
    workers: BTreeMap<String, Worker>,
    /// Said to be coming before it was known what is wanted.
    announced: Vec<String>,
}

/// How a supervisor finds its workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As they should be, or on the way there.
    Well,
    /// A worker has ended that nobody had asked to: a bug.
    Broken,
}

impl<W: Workshop> Supervisor<W> {
    /// Nobody at work yet. The observer waits for the jobs `announced`: it hears of each that it is started, or is not wanted.
    pub fn new(
        workshop: Arc<W>,
        observer: Arc<dyn Observer>,
        announced: Vec<String>,
    ) -> Supervisor<W> {
        Supervisor {
            workshop,
            observer,
            workers: BTreeMap::new(),
            announced,
        }
    }

    /// One step towards what is wanted.
    pub fn tend(&mut self, wanted: &Wanted) -> std::io::Result<State> {
        for id in self.announced.drain(..) {
            if !wanted.contains_key(&id) {
                self.observer.observe(&id, &Fact::JobStopped);
            }
        }
        for (id, worker) in &self.workers {
            if wanted
                .get(id)
                .is_none_or(|to_be| !to_be.is_same(worker.assignment()))
            {
                worker.ask_to_end();
            }
        }
        if self.bury(wanted) == State::Broken {
            return Ok(State::Broken);
        }
        for (id, assignment) in wanted {
            if !self.workers.contains_key(id) {
                let job = &assignment.job;
                self.observer.observe(id, &Fact::JobStarted { job });
                let worker = Worker::start(&self.workshop, &self.observer, assignment.clone())?;
                self.workers.insert(id.clone(), worker);
            }
        }
        Ok(State::Well)
    }

    /// Forgets workers that have ended.
    fn bury(&mut self, wanted: &Wanted) -> State {
        let has_ended = |(id, worker): (&String, &Worker)| worker.has_ended().then(|| id.clone());
        let ended: Vec<String> = self.workers.iter().filter_map(has_ended).collect();
        let mut state = State::Well;
        for id in ended {
            let Some(worker) = self.workers.remove(&id) else {
                continue;
            };
            if !worker.was_asked() {
                state = State::Broken;
            }
            worker.join();
            if !wanted.contains_key(&id) {
                self.observer.observe(&id, &Fact::JobStopped);
            }
        }
        state
    }

    /// Whether a job has a worker, in whatever state.
    pub fn has(&self, job_id: &str) -> bool {
        self.workers.contains_key(job_id)
    }

    /// Ends all, and waits for it. Whether all ended in order.
    pub fn end(self) -> bool {
        self.workers.values().for_each(Worker::ask_to_end);
        let ended: Vec<bool> = self.workers.into_values().map(Worker::join).collect();
        ended.into_iter().all(|in_order| in_order)
    }
}

#[cfg(test)]
mod tests;
