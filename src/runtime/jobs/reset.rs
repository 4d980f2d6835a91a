//! A job made new: reset, and spread over another number of shards.
//!
//! *Reset* leaves nothing that a new life could hear of the old one: the internal topics are emptied, snapshots deleted, results withdrawn
//! (or kept, and then not said again), and so the notices of incidents and the state of those that go on, positions forgotten (or, where results are kept, written over), in this order. The positions go last because they are what makes the rest
//! matter: until they are gone, a reset that was cut off is visible as such, and doing it again finishes it.
//!
//! *Reshard* only makes the topic between gatherers and judges anew, with as many partitions as the job now asks for. Another number of
//! shards is another lineage: the job learns anew from the log, and publishes no bucket a second time.

use super::{Footprint, JobsError};
use crate::engine::result::DocumentKind;
use crate::runtime::log::{
    Cleanup, Groups, LogError, METADATA_BYTES_MAX, NewTopic, Outgoing, Position, TopicPartition,
    Topics,
};
use crate::runtime::standing;
use crate::runtime::store::SnapshotStore;
use crate::runtime::task::{Mark, Placement, Plan};

/// What is to become of the results that a job has published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They are withdrawn (tombstones), and published anew.
    Withdrawn,
    /// They stay, and their buckets are not published again.
    Kept,
}

/// What a reset did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reset {
    /// Snapshots deleted.
    pub snapshots: usize,
    /// Results withdrawn.
    pub results: u64,
}

/// Makes a job new.
pub fn reset<L: Topics + Groups>(
    log: &mut L,
    store: &mut dyn SnapshotStore,
    footprint: &Footprint,
    fate: Fate,
) -> Result<Reset, JobsError> {
    footprint.ensure_idle(log)?;
    let internal = footprint.internal(log)?;
    log.empty(&internal)?;
    let mut done = Reset::default();
    let mut all = footprint.inputs();
    all.extend(internal);
    for at in &all {
        done.snapshots += delete_snapshots(store, &footprint.plan.task_name(at))?;
    }
    let is_done = match fate {
        Fate::Withdrawn => {
            done.results = withdraw(log, footprint)?;
            log.forget_group(&footprint.group)?
        }
        Fate::Kept => {
            let kept = epitaphs(log.committed(&footprint.group, &all)?);
            log.set_positions(&footprint.group, &kept)?
        }
    };
    if !is_done {
        footprint.ensure_idle(log)?;
        return Err(footprint.at_work(1)); // who has gone again
    }
    Ok(done)
}

/// How many shards a job has, if they can be changed at all: what is refused for good is refused before the job is stopped.
pub fn shards_of(plan: &Plan) -> Result<u16, JobsError> {
    let why = match plan.placement {
        Placement::Staged => return Ok(plan.shards),
        Placement::Fused => "its one input partition is worked by one task",
        Placement::Ordered => "its messages are categorised in one place",
        _ => "each input partition is one",
    };
    Err(JobsError::NoShards {
        job: plan.job.id.clone(),
        placement: plan.placement,
        why,
    })
}

/// Gives a staged job as many judges as it asks for. Returns how many it had.
pub fn reshard<L: Topics + Groups>(
    log: &mut L,
    store: &mut dyn SnapshotStore,
    footprint: &Footprint,
) -> Result<u16, JobsError> {
    let plan = &footprint.plan;
    let had = shards_of(plan)?;
    footprint.ensure_idle(log)?;
    let wanted = plan.job.extensions.shards;
    if had == wanted {
        return Ok(wanted);
    }
    // Should the job ever have so many shards again, nothing of this life may be left for it: neither words nor models.
    let internal = footprint.internal(log)?;
    for at in internal.iter().filter(|at| at.topic == plan.closed) {
        delete_snapshots(store, &plan.task_name(at))?;
    }
    log.empty(&internal)?;
    log.delete_topic(&plan.closed)?;
    log.create(&[NewTopic {
        name: plan.closed.to_string(),
        partitions: Some(i32::from(wanted)),
        cleanup: Cleanup::Delete,
    }])?;
    // No broker refuses this while somebody works.
    footprint.ensure_idle(log)?;
    Ok(had)
}

/// Deletes the snapshots of a task, of any lineage. Returns how many.
fn delete_snapshots(store: &mut dyn SnapshotStore, task: &str) -> Result<usize, JobsError> {
    let keys = store.list(task)?;
    for key in &keys {
        store.delete(key)?;
    }
    Ok(keys.len())
}

/// The positions as those of no lineage, which remember which buckets were published and which incidents go on: what follows them begins where its job
/// says it starts, and does not say those again. They are written over the old ones, all in one request: with the old ones forgotten before, a reset that is cut off
/// there would have forgotten what was published, too.
fn epitaphs(
    committed: std::collections::BTreeMap<TopicPartition, Position>,
) -> Vec<(TopicPartition, Position)> {
    let epitaph = |(at, held): (TopicPartition, Position)| {
        let held_mark = Mark::parse(&held.metadata).unwrap_or_default();
        let mark = Mark {
            final_until_ms: held_mark.final_until_ms,
            alerts: held_mark.alerts,
            ..Mark::default()
        };
        let metadata = mark.write(METADATA_BYTES_MAX);
        (at, Position { metadata, ..held })
    };
    committed.into_iter().map(epitaph).collect()
}

/// Writes a tombstone for every result of the job, final or interim, and every incident. Returns how many.
fn withdraw<L: Topics>(log: &mut L, footprint: &Footprint) -> Result<u64, LogError> {
    let names = &footprint.plan.names;
    let topics: Vec<String> = DocumentKind::ALL
        .iter()
        .flat_map(|kind| [names.results(*kind), names.interim(*kind)])
        .map(|topic| topic.to_string())
        .chain([names.alerts()])
        .chain(names.forecasts().map(|topic| topic.name))
        .collect();
    forget_alerts(log, footprint)?;
    standing::withdraw(log, &topics, &footprint.plan.job.id, None)
}

/// What goes on goes on no more: the job's next life begins without incidents.
fn forget_alerts<L: Topics>(log: &mut L, footprint: &Footprint) -> Result<(), LogError> {
    let topic = footprint.plan.names.alert_state();
    if log.partitions(std::slice::from_ref(&topic))?.is_empty() {
        return Ok(()); // nobody has asked for alerts
    }
    log.publish(&[Outgoing {
        topic: topic.into(),
        partition: Some(0),
        key: Some(footprint.plan.job.id.clone().into_bytes()),
        payload: None,
        headers: Vec::new(),
        timestamp_ms: None,
    }])?;
    log.flush()
}
