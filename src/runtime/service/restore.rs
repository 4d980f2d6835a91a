//! A partition has become ours: where its task begins, and with which state.
//!
//! | committed | snapshots of the lineage | begins at | with | muted up to |
//! |---|---|---|---|---|
//! | P, same lineage | newest S <= P that restores | S | its state | P |
//! | P, same lineage | none | where the lineage began | nothing | P |
//! | P, another lineage, or no mark | not asked | the log's start | nothing | nothing; published buckets stay unrepeated |
//! | nothing | newest | S | its state | S |
//! | nothing | none | the log's start | nothing | nothing |
//!
//! If the log no longer reaches back that far, the task begins at its start and says so.

use super::{Service, ServiceError};
use crate::engine::snapshot::Snapshot;
use crate::runtime::log::{Assignment, Log, LogError};
use crate::runtime::observer::Fact;
use crate::runtime::store::SnapshotKey;
use crate::runtime::task::{Beginning, Mark, StageKind, Task};
use std::sync::Arc;

impl<L: Log> Service<L> {
    pub(super) fn restore(&mut self, assignment: Assignment) -> Result<(), ServiceError> {
        let Some(kind) = self.plan.stage_of(&assignment.at) else {
            return Ok(()); // a partition that came with a pattern and is none of ours
        };
        let began_ms = self.clock.now_ms();
        let at = assignment.at.clone();
        let (task, from, live_from, snapshot) = self.begin(kind, assignment, began_ms);
        self.tasks.insert(at.clone(), task);
        let duration_ms = self.clock.now_ms() - began_ms;
        self.tell(&Fact::Assigned {
            at: &at,
            snapshot: snapshot.as_ref(),
            from,
            live_from,
            duration_ms,
        });
        match self.log.seek(&at, from) {
            // Taken away again while we restored: the next poll says so.
            Err(LogError::Unavailable(_)) => {
                self.tasks.remove(&at);
                Ok(())
            }
            done => Ok(done?),
        }
    }

    fn begin(
        &mut self,
        kind: StageKind,
        assignment: Assignment,
        now_ms: i64,
    ) -> (Task, i64, i64, Option<SnapshotKey>) {
        let Assignment {
            at,
            committed,
            log_start,
        } = assignment;
        let found = committed
            .as_ref()
            .and_then(|held| Mark::parse(&held.metadata));
        let published = found.as_ref().and_then(|mark| mark.final_until_ms);
        let mark = found.filter(|mark| mark.lineage == self.plan.lineage);
        let is_foreign = committed.is_some() && mark.is_none();
        if is_foreign {
            self.tell(&Fact::Reconfigured { at: &at });
        }
        let past = committed
            .as_ref()
            .map(|held| held.next_offset)
            .filter(|_| !is_foreign);
        let keys = match is_foreign {
            true => Vec::new(),
            false => self.usable(&self.plan.task_name(&at), past),
        };
        let wanted_without = mark.as_ref().map_or(log_start, |mark| mark.began);
        let beginning = |wanted: i64, snapshot: Option<&SnapshotKey>| Beginning {
            from: wanted.max(log_start),
            live_from: past
                .or(snapshot.map(|key| key.offset))
                .unwrap_or(log_start)
                .max(log_start),
            mark: mark.clone(),
            silent_until_ms: published.filter(|_| is_foreign),
            committed: committed.clone(),
            now_ms,
            snapshot_interval_ms: self.settings.snapshot_interval_ms,
        };
        let mut begun = None;
        for key in keys {
            let bytes = match self.store.get(&key) {
                Ok(Some(bytes)) => Snapshot::from_bytes(bytes),
                missing => {
                    let error = missing
                        .err()
                        .map_or("it is not whole".to_owned(), |e| e.to_string());
                    self.tell(&Fact::SnapshotUnusable { key: &key, error });
                    continue;
                }
            };
            let start = beginning(key.offset, Some(&key));
            let plan = Arc::clone(&self.plan);
            match Task::begin(plan, kind, at.clone(), Some(&bytes), start) {
                Ok(task) => {
                    begun = Some((task, key));
                    break;
                }
                Err(error) => {
                    let error = error.to_string();
                    self.tell(&Fact::SnapshotUnusable { key: &key, error });
                }
            }
        }
        let (wanted, task, key) = match begun {
            Some((task, key)) => (key.offset, task, Some(key)),
            None => {
                let start = beginning(wanted_without, None);
                let plan = Arc::clone(&self.plan);
                let task = Task::begin(plan, kind, at.clone(), None, start)
                    .expect("only a snapshot can fail to restore");
                (wanted_without, task, None)
            }
        };
        let start = beginning(wanted, key.as_ref());
        if start.from > wanted {
            let (from, to) = (wanted, start.from);
            self.tell(&Fact::Gap { at: &at, from, to });
        }
        if committed.is_none() && key.is_some() {
            let from = start.from;
            self.tell(&Fact::PositionVanished { at: &at, from });
        }
        (task, start.from, start.live_from, key)
    }

    /// The snapshots of our lineage at or before `past`, newest first. A store that does not answer has none: the replay is longer.
    fn usable(&mut self, task: &str, past: Option<i64>) -> Vec<SnapshotKey> {
        let listed = self.store.list(task);
        let lineage = self.plan.lineage;
        match listed {
            Ok(mut keys) => {
                keys.retain(|key| {
                    key.lineage == lineage && past.is_none_or(|past| key.offset <= past)
                });
                keys
            }
            Err(error) => {
                let key = SnapshotKey {
                    task: task.to_owned(),
                    lineage,
                    offset: past.unwrap_or(0),
                };
                let error = error.to_string();
                self.tell(&Fact::SnapshotUnusable { key: &key, error });
                Vec::new()
            }
        }
    }
}
