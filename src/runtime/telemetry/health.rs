//! How each job is: when its loop last turned, whether it is restored, what is assigned to it.
//!
//! *Live* is about us, never about Kafka: a probe that fails while brokers are away restarts everyone in an outage. *Ready* is that every
//! job has joined its group and caught up with what was committed. Times are milliseconds.

use crate::runtime::log::TopicPartition;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A loop that has not turned for so long is stuck. Longer than the longest wait for a broker that has a deadline (a transaction, its abort
/// and an attempt to take the id over again).
const STUCK_AFTER_MS: i64 = 120_000;

/// How everybody is.
#[derive(Clone, Debug, Serialize)]
pub struct Health {
    /// Whether every loop turns.
    pub live: bool,
    /// Whether every job is at work.
    pub ready: bool,
    /// Job by job.
    pub jobs: BTreeMap<String, JobHealth>,
}

/// How one job is.
#[derive(Clone, Debug, Serialize)]
pub struct JobHealth {
    /// Whether its loop turns.
    pub live: bool,
    /// Whether it is restored.
    pub ready: bool,
    /// Partitions that this instance works on.
    pub assigned_partitions: usize,
    /// Partitions whose tasks are still being restored.
    pub restoring_partitions: usize,
    /// Since the loop turned last.
    pub seconds_since_last_turn: f64,
}

/// What is remembered of each job.
#[derive(Default)]
pub(super) struct Ledger {
    jobs: BTreeMap<String, Entry>,
}

#[derive(Default)]
struct Entry {
    turned_ms: i64,
    ready: bool,
    at_end: bool,
    assigned: BTreeSet<TopicPartition>,
    /// With the time that restoring the snapshot took.
    restoring: BTreeMap<TopicPartition, i64>,
    watermarks: BTreeMap<TopicPartition, i64>,
}

impl Ledger {
    /// A job is new, or begins anew.
    pub(super) fn begin(&mut self, job_id: &str, now_ms: i64) {
        let entry = Entry {
            turned_ms: now_ms,
            ..Entry::default()
        };
        self.jobs.insert(job_id.to_owned(), entry);
    }

    /// A job is no more; what was assigned to it.
    pub(super) fn end(&mut self, job_id: &str) -> BTreeSet<TopicPartition> {
        let ended = self.jobs.remove(job_id);
        ended.map(|entry| entry.assigned).unwrap_or_default()
    }

    fn entry(&mut self, job_id: &str) -> &mut Entry {
        if !self.jobs.contains_key(job_id) {
            self.jobs.insert(job_id.to_string(), Entry::default());
        }
        self.jobs
            .get_mut(job_id)
            .expect("it was put there if it was not")
    }

    /// Notes a turn of the loop. The partitions whose lag is 0 from now on, if the job has just come to the end of all.
    pub(super) fn breath(
        &mut self,
        job_id: &str,
        ready: bool,
        at_end: bool,
        now_ms: i64,
    ) -> Option<&BTreeSet<TopicPartition>> {
        let entry = self.entry(job_id);
        let arrived = at_end && !entry.at_end;
        (entry.turned_ms, entry.ready, entry.at_end) = (now_ms, ready, at_end);
        arrived.then_some(&entry.assigned)
    }

    /// How many are assigned now.
    pub(super) fn assigned(&mut self, job_id: &str, at: &TopicPartition) -> usize {
        let entry = self.entry(job_id);
        entry.assigned.insert(at.clone());
        entry.assigned.len()
    }

    /// How many are assigned still.
    pub(super) fn revoked(&mut self, job_id: &str, partitions: &[TopicPartition]) -> usize {
        let entry = self.entry(job_id);
        for at in partitions {
            entry.assigned.remove(at);
            entry.restoring.remove(at);
            entry.watermarks.remove(at);
        }
        entry.assigned.len()
    }

    pub(super) fn restoring(&mut self, job_id: &str, at: &TopicPartition, took_ms: i64) {
        self.entry(job_id).restoring.insert(at.clone(), took_ms);
    }

    /// How long the restoring before the replay took.
    pub(super) fn restored(&mut self, job_id: &str, at: &TopicPartition) -> i64 {
        self.entry(job_id).restoring.remove(at).unwrap_or(0)
    }

    /// The least watermark of the job's partitions here.
    pub(super) fn watermark(
        &mut self,
        job_id: &str,
        at: &TopicPartition,
        event_time_ms: i64,
    ) -> i64 {
        let watermarks = &mut self.entry(job_id).watermarks;
        match watermarks.get_mut(at) {
            Some(held) => *held = event_time_ms,
            None => drop(watermarks.insert(at.clone(), event_time_ms)),
        }
        watermarks.values().copied().min().unwrap_or(event_time_ms)
    }

    pub(super) fn health(&self, now_ms: i64) -> Health {
        let jobs: BTreeMap<String, JobHealth> = self
            .jobs
            .iter()
            .map(|(id, entry)| (id.clone(), entry.health(now_ms)))
            .collect();
        Health {
            live: jobs.values().all(|job| job.live),
            ready: jobs.values().all(|job| job.ready),
            jobs,
        }
    }
}

impl Entry {
    fn health(&self, now_ms: i64) -> JobHealth {
        let since_ms = (now_ms - self.turned_ms).max(0);
        JobHealth {
            live: since_ms < STUCK_AFTER_MS,
            ready: self.ready,
            assigned_partitions: self.assigned.len(),
            restoring_partitions: self.restoring.len(),
            seconds_since_last_turn: since_ms as f64 / 1000.0,
        }
    }
}
