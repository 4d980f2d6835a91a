//! A job's models as they were, without what they have learnt since (Elastic's `_revert`).
//!
//! ```text
//! judged by then ──────────── to ─────────── published ───── now
//!        a snapshot stays │   those after it go   │
//!                         └── read again, muted: by the rules and calendars of today
//! ```
//!
//! A task goes on from its newest snapshot, and what lies between that and its committed position is read again without a word. So it is enough to delete the snapshots that
//! have learnt buckets from `to` on: the models learn them again, but not what a calendar or a rule now says is not to be learnt. Positions, results, and what stages have told each
//! other stay as they are; that is why nothing is published twice, and why the same events must not teach the same again, which is refused. May be cut off anywhere and done
//! again; where some snapshots are gone, only more is read.
//! Only what judges know goes back. Where scores are normalised by a task of their own, it goes on with the scores that were published.
//! Checked by: tests/jobs.rs, in memory, and tests/kafka.

use super::{Footprint, JobsError};
use crate::config::Job;
use crate::engine::judge::Judge;
use crate::engine::ordered::Ordered;
use crate::engine::pipeline::{Keyed, Pipeline};
use crate::engine::snapshot::{RestoreError, Snapshot};
use crate::runtime::log::{Groups, Place, Position, TopicPartition, Topics};
use crate::runtime::store::{SnapshotKey, SnapshotStore};
use crate::runtime::task::{Mark, StageKind};
use crate::time::{BucketStart, EventTime};
use std::sync::Arc;

/// What a revert did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reverted {
    /// The first bucket that is learnt again.
    pub from: EventTime,
    /// The end of the last bucket that had been published.
    pub until: EventTime,
    /// Snapshots deleted.
    pub snapshots: usize,
    /// Messages that are read again.
    pub messages: u64,
}

/// A task whose models go back.
struct Way {
    /// Where it goes on reading.
    from: i64,
    /// Snapshots that have learnt too much.
    gone: Vec<SnapshotKey>,
}

/// Has a job forget what its models have learnt of buckets from `to` on, as far as its calendars and rules say that it is not to be learnt.
pub fn revert<L: Topics + Groups>(
    log: &mut L,
    store: &mut dyn SnapshotStore,
    footprint: &Footprint,
    to: EventTime,
) -> Result<Reverted, JobsError> {
    footprint.ensure_idle(log)?;
    let (prospect, gone) = look(log, store, footprint, to)?;
    for key in gone {
        store.delete(&key)?;
    }
    Ok(prospect)
}

/// What [`revert`] would do as things stand, or why not; also of a job that is at work.
pub fn prospect<L: Topics + Groups>(
    log: &mut L,
    store: &mut dyn SnapshotStore,
    footprint: &Footprint,
    to: EventTime,
) -> Result<Reverted, JobsError> {
    look(log, store, footprint, to).map(|(prospect, _)| prospect)
}

/// What is to be done, and the snapshots that are to go.
fn look<L: Topics + Groups>(
    log: &mut L,
    store: &mut dyn SnapshotStore,
    footprint: &Footprint,
    to: EventTime,
) -> Result<(Reverted, Vec<SnapshotKey>), JobsError> {
    let (plan, job) = (&footprint.plan, &footprint.plan.job);
    let mut all = footprint.inputs();
    all.extend(footprint.internal(log)?);
    let committed = log.committed(&footprint.group, &all)?;
    let ours =
        |held: &Position| Mark::parse(&held.metadata).filter(|mark| mark.lineage == plan.lineage);
    let marks = committed.iter();
    let marks: Vec<(&TopicPartition, i64, Mark)> = marks
        .filter_map(|(at, held)| Some((at, held.next_offset, ours(held)?)))
        .collect();
    let published = marks.iter().filter_map(|(.., mark)| mark.final_until_ms);
    let from = job.bucket_span.bucket_of(to);
    let last = published.max().map(EventTime);
    let Some(last) = last.filter(|last| *last >= from.time()) else {
        return Err(JobsError::NothingSince {
            job: job.id.clone(),
            to: from.time(),
            published: last,
        });
    };
    let span = job.bucket_span;
    let until = span.end_of(span.bucket_of(last)).time();
    if !learns_otherwise(job, from.time(), until) {
        return Err(JobsError::SameAgain {
            job: job.id.clone(),
            from: from.time(),
            until,
        });
    }
    let mut done = Reverted {
        from: from.time(),
        until,
        snapshots: 0,
        messages: 0,
    };
    let mut gone = Vec::new();
    for (at, next_offset, mark) in marks {
        let is_judge = |kind| {
            !matches!(
                kind,
                StageKind::Gather | StageKind::Project | StageKind::Rollup
            )
        };
        let Some(kind) = plan.stage_of(at).filter(|kind| is_judge(*kind)) else {
            continue;
        };
        let way = way(
            store,
            footprint,
            (at, kind),
            (next_offset, mark.began.unwrap_or(0)), // a lineage says it
            from,
        )?;
        let first = log.offset_of(at, Place::Start)?;
        if first > way.from {
            return Err(JobsError::BeyondLog {
                at: at.clone(),
                wanted: way.from,
                first,
            });
        }
        done.messages += next_offset.saturating_sub(way.from).unsigned_abs();
        gone.extend(way.gone);
    }
    done.snapshots = gone.len();
    Ok((done, gone))
}

/// Whether something that the job says now keeps a bucket of `from..until` out of its models, or may.
fn learns_otherwise(job: &Job, from: EventTime, until: EventTime) -> bool {
    let mut rules = job.detectors.iter().flat_map(|one| &one.rules);
    let mut events = job.events.iter();
    rules.any(|rule| rule.actions.skip_model_update)
        || events.any(|event| {
            event.actions.skip_model_update
                && event.occurrences.between(from, until).next().is_some()
        })
}

/// How a task comes by models that know nothing of buckets from `from` on.
fn way(
    store: &mut dyn SnapshotStore,
    footprint: &Footprint,
    (at, kind): (&TopicPartition, StageKind),
    (live_from, began): (i64, i64),
    from: BucketStart,
) -> Result<Way, JobsError> {
    let plan = &footprint.plan;
    let mut gone = Vec::new();
    for key in store.list(&plan.task_name(at))? {
        if key.lineage != plan.lineage {
            continue;
        }
        let bytes = store.get(&key)?;
        let judged = match bytes.map(|bytes| judged_until(&plan.job, kind, bytes)) {
            Some(Err(error @ RestoreError::Newer { .. })) => {
                return Err(JobsError::Newer(format!("{key}: {error}")));
            }
            // None would go on from it; nor is it known what it has learnt.
            None | Some(Err(_)) => None,
            Some(Ok(judged)) => Some(judged),
        };
        let is_before = |judged: Option<BucketStart>| judged.is_none_or(|next| next <= from);
        if key.offset <= live_from && judged.is_some_and(is_before) {
            return Ok(Way {
                from: key.offset,
                gone,
            });
        }
        gone.push(key);
    }
    Ok(Way { from: began, gone })
}

/// The first bucket that a state has not judged; `None`: it has judged none.
fn judged_until(
    job: &Arc<Job>,
    kind: StageKind,
    bytes: Vec<u8>,
) -> Result<Option<BucketStart>, RestoreError> {
    let (job, snapshot) = (Arc::clone(job), Snapshot::from_bytes(bytes));
    Ok(match kind {
        StageKind::Fused => Pipeline::restore(job, &snapshot)?.forecast_start(),
        StageKind::Keyed => Keyed::restore(job, &snapshot)?.forecast_start(),
        StageKind::Judge => Judge::restore(job, &snapshot)?.forecast_start(),
        StageKind::Order => Ordered::restore(job, &snapshot)?.forecast_start(),
        StageKind::Gather | StageKind::Project | StageKind::Rollup => None,
    })
}
