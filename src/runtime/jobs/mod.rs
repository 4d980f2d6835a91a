//! What operators do to jobs that are not at work: look at them, reset them, have them forget what is not to be learnt, spread them over another number of shards.
//!
//! A job's whole past is on the log and in the snapshot store: the positions of its group, its snapshots, what its stages have told each
//! other, its results. A [`Footprint`] says where. Everything here begins with the question whether the group has members and is refused if so; the
//! broker asks it again when positions are forgotten. Each operation may be cut off anywhere and simply done again.
//! Checked by: tests/jobs.rs, in memory, and tests/kafka.

mod forecast;
mod quiet;
mod reset;
mod revert;
mod shadow;
mod status;

pub use forecast::{Doors, publish_forecast};
pub use quiet::Quiet;
pub use reset::{Fate, Reset, reset, reshard, shards_of};
pub use revert::{Reverted, prospect, revert};
pub use shadow::{ShadowError, shadow};
pub use status::{PartitionStatus, Status, status};

use super::log::{Groups, LogError, TopicPartition, Topics};
use super::service::group_of;
use super::store::StoreError;
use super::task::{Placement, Plan, PlanError, TopicNames};
use crate::config::Job;
use crate::time::EventTime;
use std::sync::Arc;

/// Why a job was not operated on.
#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    /// Somebody works on it.
    #[error(
        "job {job} is at work: its group {group} has {members} members; stop it first (`tidewatch jobs stop {job}`, or the service)"
    )]
    AtWork {
        /// The job.
        job: String,
        /// Its group.
        group: String,
        /// How many.
        members: usize,
    },
    /// Nobody has ended in time.
    #[error(
        "{job}: {members} instances still work on it after {seconds} s; the wish to stop it stands"
    )]
    StillAtWork {
        /// The job.
        job: String,
        /// How many.
        members: usize,
        /// How long was waited.
        seconds: u64,
    },
    /// Nobody has heard of the wish to stop it.
    #[error(
        "instances come back to job {0} again and again: does everyone of them follow the control topic?"
    )]
    ComesBack(String),
    /// Only staged jobs have shards.
    #[error("job {job} is {placement:?}, which has no shards: {why}")]
    NoShards {
        /// The job.
        job: String,
        /// How it is laid out.
        placement: Placement,
        /// Why that is so.
        why: &'static str,
    },
    /// There is nothing to go back from.
    #[error("job {job} has published no bucket from {to} on under its present configuration{}", match .published {
        Some(last) => format!("; its last one is that of {last}"),
        None => String::new(),
    })]
    NothingSince {
        /// The job.
        job: String,
        /// The bucket that was asked for.
        to: EventTime,
        /// The last one there is.
        published: Option<EventTime>,
    },
    /// The models would be afterwards what they are.
    #[error(
        "the same events would teach job {job} the same again: no rule and no calendar of it says what is not to be learnt between {from} and {until}. Put that into a calendar, such as {{\"description\": \"not to be learnt\", \"start_time\": \"{from}\", \"end_time\": \"{until}\"}}, and do it again (docs/jobs.md)"
    )]
    SameAgain {
        /// The job.
        job: String,
        /// The first bucket that was asked for.
        from: EventTime,
        /// The end of the last one published.
        until: EventTime,
    },
    /// What would have to be read again is gone.
    #[error(
        "{at} would have to be read again from offset {wanted} on, and begins at {first}: no older snapshot is kept. `tidewatch jobs reset` learns anew from what there is; for the next time, raise snapshots.keep or the topic's retention"
    )]
    BeyondLog {
        /// Where.
        at: TopicPartition,
        /// From where on.
        wanted: i64,
        /// What there is.
        first: i64,
    },
    /// It cannot be laid out.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Nothing is known of it yet.
    #[error(
        "job {0} has no snapshot yet that this build and configuration can read; it takes its first {1}"
    )]
    NoSnapshot(String, &'static str),
    /// A snapshot is of a later build.
    #[error("{0}")]
    Newer(String),
    /// The log did not do as asked.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The snapshot store did not do as asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a job leaves traces.
#[derive(Clone, Debug)]
pub struct Footprint {
    /// Its consumer group.
    pub group: String,
    /// How it is laid out now.
    pub plan: Plan,
}

impl Footprint {
    /// The traces of a job of the service whose groups begin with `base`.
    pub fn of(
        log: &mut impl Topics,
        job: &Arc<Job>,
        names: &TopicNames,
        base: &str,
    ) -> Result<Footprint, JobsError> {
        let mut asked = Plan::asked(job)?;
        asked.push(names.closed(&job.id));
        let found = log.partitions(&asked)?;
        Ok(Footprint {
            group: group_of(base, &job.id),
            plan: Plan::new(Arc::clone(job), names.clone(), &found)?,
        })
    }

    /// The partitions of its input topics.
    pub fn inputs(&self) -> Vec<TopicPartition> {
        let inputs = self.plan.inputs.iter();
        inputs
            .flat_map(|(topic, count)| partitions(topic, *count))
            .collect()
    }

    /// The partitions of its internal topics, as far as they exist.
    pub fn internal(&self, log: &mut impl Topics) -> Result<Vec<TopicPartition>, LogError> {
        let names = [self.plan.closed.to_string(), self.plan.partials.to_string()];
        let found = log.partitions(&names)?;
        Ok(found
            .iter()
            .flat_map(|(topic, count)| partitions(topic, *count))
            .collect())
    }

    /// An error if somebody works on the job.
    pub fn ensure_idle(&self, log: &mut impl Groups) -> Result<(), JobsError> {
        match log.members(&self.group)? {
            0 => Ok(()),
            members => Err(self.at_work(members)),
        }
    }

    fn at_work(&self, members: usize) -> JobsError {
        JobsError::AtWork {
            job: self.plan.job.id.clone(),
            group: self.group.clone(),
            members,
        }
    }
}

fn partitions(topic: &str, count: i32) -> impl Iterator<Item = TopicPartition> {
    let topic: Arc<str> = topic.into();
    (0..count).map(move |partition| TopicPartition::new(Arc::clone(&topic), partition))
}
