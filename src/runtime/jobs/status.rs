//! How a job stands on the log: who works on it, how far each of its partitions is.
//!
//! Read from outside, so it tells of every instance; offsets count messages (and markers of transactions), times are milliseconds.

use super::{Footprint, JobsError};
use crate::runtime::log::{Groups, Place, TopicPartition, Topics};
use crate::runtime::task::{Mark, StageKind};

/// A job on the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Members of its group: 0 when nobody works on it.
    pub members: usize,
    /// Input partitions first.
    pub partitions: Vec<PartitionStatus>,
}

/// One of its partitions.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionStatus {
    /// Which.
    pub at: TopicPartition,
    /// What its task does.
    pub stage: StageKind,
    /// The committed position; `None`: nothing has been done yet.
    pub next_offset: Option<i64>,
    /// Messages ahead of it.
    pub lag: i64,
    /// Whether the position is of the job as it is configured now.
    pub is_current: bool,
    /// The last bucket whose results are published, where results are written.
    pub final_until_ms: Option<i64>,
}

impl Status {
    /// Messages of the input topics that lie ahead.
    pub fn input_lag(&self) -> i64 {
        let inputs = self
            .partitions
            .iter()
            .filter(|one| one.stage.reads_events());
        inputs.map(|one| one.lag).sum()
    }

    /// The last bucket whose results are published.
    pub fn final_until_ms(&self) -> Option<i64> {
        self.partitions
            .iter()
            .filter_map(|one| one.final_until_ms)
            .max()
    }
}

/// Looks at a job.
pub fn status<L: Topics + Groups>(log: &mut L, footprint: &Footprint) -> Result<Status, JobsError> {
    let members = log.members(&footprint.group)?;
    let mut all = footprint.inputs();
    all.extend(footprint.internal(log)?);
    let committed = log.committed(&footprint.group, &all)?;
    let mut partitions = Vec::new();
    for at in all {
        let Some(stage) = footprint.plan.stage_of(&at) else {
            continue;
        };
        let held = committed.get(&at);
        let mark = held.and_then(|held| Mark::parse(&held.metadata));
        let next_offset = held.map(|held| held.next_offset);
        let end = log.offset_of(&at, Place::End)?;
        partitions.push(PartitionStatus {
            lag: (end - next_offset.unwrap_or(0)).max(0),
            is_current: mark
                .as_ref()
                .is_some_and(|mark| mark.lineage == footprint.plan.lineage),
            final_until_ms: mark.and_then(|mark| mark.final_until_ms),
            at,
            stage,
            next_offset,
        });
    }
    Ok(Status {
        members,
        partitions,
    })
}
