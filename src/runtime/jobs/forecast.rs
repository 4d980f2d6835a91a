//! A running job's models, read from its newest snapshots, and its forecasts published.
//!
//! Beside the service and without asking it: nothing is written but the forecast itself. Each task's newest snapshot that restores is taken, whichever
//! instance wrote it; the models are then as old as that. Times are milliseconds since the epoch. Checked by: tests/forecast.rs, in memory.

use super::{Footprint, JobsError, partitions};
use crate::engine::forecast::{Request, Yield};
use crate::engine::judge::Judge;
use crate::engine::ordered::Ordered;
use crate::engine::pipeline::{Keyed, Pipeline};
use crate::engine::result::Document;
use crate::engine::snapshot::{RestoreError, Snapshot};
use crate::runtime::log::{LogError, Outgoing, Topics};
use crate::runtime::store::SnapshotStore;
use crate::runtime::task::{Placement, TopicNames, message_of};
use crate::time::{BucketStart, EventTime};
use std::ops::ControlFlow;
use std::sync::Arc;

/// One task's models.
enum Door {
    Fused(Box<Pipeline>),
    Keyed(Box<Keyed>),
    Judge(Box<Judge>),
    Ordered(Box<Ordered>),
}

/// The models of all tasks of a job, as last kept.
pub struct Doors {
    doors: Vec<Door>,
    /// Tasks of which there is no snapshot.
    pub missing: Vec<String>,
}

impl Doors {
    /// Reads the newest snapshots.
    pub fn open(store: &mut impl SnapshotStore, footprint: &Footprint) -> Result<Doors, JobsError> {
        let plan = &footprint.plan;
        let tasks = match plan.placement {
            Placement::Fused | Placement::Keyed => footprint.inputs(),
            Placement::Staged | Placement::Ordered => {
                partitions(&plan.closed, i32::from(plan.shards)).collect()
            }
        };
        let mut opened = Doors {
            doors: Vec::new(),
            missing: Vec::new(),
        };
        for at in tasks {
            let task = plan.task_name(&at);
            match newest(store, footprint, &task)? {
                Some(door) => opened.doors.push(door),
                None => opened.missing.push(task),
            }
        }
        if opened.doors.is_empty() {
            let when = "within timing.snapshot_interval of beginning to work";
            return Err(JobsError::NoSnapshot(plan.job.id.clone(), when));
        }
        Ok(opened)
    }

    /// The bucket that a forecast of all of them begins with: that of the judge that has come furthest.
    pub fn forecast_start(&self) -> Option<BucketStart> {
        let starts = self.doors.iter().filter_map(|door| match door {
            Door::Fused(one) => one.forecast_start(),
            Door::Keyed(one) => one.forecast_start(),
            Door::Judge(one) => one.forecast_start(),
            Door::Ordered(one) => one.forecast_start(),
        });
        starts.max()
    }

    /// Forecasts the series of all of them.
    pub fn forecast(
        &self,
        request: &Request,
        say: &mut dyn FnMut(Document) -> ControlFlow<()>,
    ) -> Yield {
        let mut found = Yield::default();
        for door in &self.doors {
            found.add(&match door {
                Door::Fused(one) => one.forecast(request, say),
                Door::Keyed(one) => one.forecast(request, say),
                Door::Judge(one) => one.forecast(request, say),
                Door::Ordered(one) => one.forecast(request, say),
            });
        }
        found
    }
}

/// The newest snapshot of a task that restores.
fn newest(
    store: &mut impl SnapshotStore,
    footprint: &Footprint,
    task: &str,
) -> Result<Option<Door>, JobsError> {
    let (plan, job) = (&footprint.plan, &footprint.plan.job);
    for key in store.list(task)? {
        if key.lineage != plan.lineage {
            continue;
        }
        let Some(bytes) = store.get(&key)? else {
            continue;
        };
        let snapshot = Snapshot::from_bytes(bytes);
        let job = Arc::clone(job);
        let door = match plan.placement {
            Placement::Fused => {
                Pipeline::restore(job, &snapshot).map(|one| Door::Fused(Box::new(one)))
            }
            Placement::Keyed => {
                Keyed::restore(job, &snapshot).map(|one| Door::Keyed(Box::new(one)))
            }
            Placement::Staged => {
                Judge::restore(job, &snapshot).map(|one| Door::Judge(Box::new(one)))
            }
            Placement::Ordered => {
                Ordered::restore(job, &snapshot).map(|one| Door::Ordered(Box::new(one)))
            }
        };
        match door {
            Ok(door) => return Ok(Some(door)),
            Err(error @ RestoreError::Newer { .. }) => {
                return Err(JobsError::Newer(format!("{key}: {error}")));
            }
            Err(_) => {}
        }
    }
    Ok(None)
}

/// Publishes documents of a forecast, which is void from `expiry_ms` on (0: never). The topics are made if they are not there. Safe when
/// this returns.
pub fn publish_forecast(
    log: &mut impl Topics,
    names: &TopicNames,
    documents: &[Document],
    expiry_ms: i64,
) -> Result<(), LogError> {
    const BATCH: usize = 1000;
    log.create(&names.forecasts())?;
    for batch in documents.chunks(BATCH) {
        let messages: Vec<Outgoing> = batch
            .iter()
            .map(|document| {
                let topic = Arc::clone(names.results(document.kind));
                let mut message = message_of(topic, document);
                if expiry_ms > 0 {
                    let expires = EventTime(expiry_ms).to_string();
                    message.headers.push(("ce_expirytime", expires));
                }
                message
            })
            .collect();
        log.publish(&messages)?;
    }
    log.flush()
}
