//! A partition has become ours: where its task begins, and with which state.
//!
//! | committed | snapshots of the lineage | begins at | with | muted up to |
//! |---|---|---|---|---|
//! | P, same lineage | newest S <= P that restores | S | its state | P |
//! | P, same lineage | none | where the lineage began | nothing | P |
//! | P, another lineage, or no mark | not asked | where that lineage began | nothing | nothing; published buckets stay unrepeated |
//! | nothing | newest | S | its state | S |
//! | nothing | none | where the job says it starts | nothing | nothing |
//!
//! A snapshot or position that a later build has written is not begun over: the service ends with a sentence, and nothing is deleted.
//! A snapshot of a format given up is passed over: the replay is longer, its end the same.
//! An internal topic is always begun at its start: of another lineage's messages nothing is heard. A replay begins at its range.
//! If the log no longer reaches back that far, the task begins at its start and says so.

use super::{Service, ServiceError};
use crate::config::Start;
use crate::engine::snapshot::{RestoreError, Snapshot};
use crate::runtime::alerts::{Desk, DeskPlace};
use crate::runtime::log::{Assignment, Log, LogError, Place, Position, TopicPartition};
use crate::runtime::observer::Fact;
use crate::runtime::store::SnapshotKey;
use crate::runtime::task::{BUILD, Beginning, Mark, StageKind, Task};
use std::sync::Arc;

/// What is known of a partition's past.
struct Past {
    /// Which build has committed.
    build: Option<String>,
    kind: StageKind,
    at: TopicPartition,
    log_start: i64,
    committed: Option<Position>,
    /// The committed position's mark, if it is of our lineage.
    mark: Option<Mark>,
    /// Another lineage has committed here.
    foreign: Option<Foreign>,
    began_ms: i64,
    /// The version of the state of alerts at the committed position, of whatever lineage.
    alerts: u64,
}

/// Why a snapshot is not begun with.
enum Unusable {
    /// The next older one may do.
    Passed(String),
    /// Of a later build.
    Newer(RestoreError),
}

fn newer(past: &Past, key: &SnapshotKey, error: &RestoreError) -> ServiceError {
    let build = past.build.as_deref();
    let build = build.filter(|build| *build != BUILD);
    ServiceError::Newer {
        what: format!("{}: snapshot {key}: {error}", past.at),
        build: build.map_or("a later version".to_owned(), |build| {
            format!("version {build}")
        }),
        instead: "stop all later instances and delete the job's snapshots: it then replays from the log's beginning",
    }
}

/// What an earlier lineage leaves behind.
#[derive(Clone, Copy, Debug, Default)]
struct Foreign {
    /// It has published buckets up to this one.
    published: Option<i64>,
    /// Where it began to read.
    began: Option<i64>,
}

impl<L: Log> Service<L> {
    pub(super) fn restore(&mut self, assignment: Assignment) -> Result<(), ServiceError> {
        let Some(kind) = self.plan.stage_of(&assignment.at) else {
            return Ok(()); // a partition that came with a pattern and is none of ours
        };
        let past = self.past_of(kind, assignment)?;
        let (mut task, snapshot, beginning) = self.begin(&past)?;
        if let Some(desk) = self.open_desk(&past)? {
            task.set_desk(desk);
        }
        let at = past.at;
        self.tasks.insert(at.clone(), task);
        self.tell(&Fact::Assigned {
            at: &at,
            snapshot: snapshot.as_ref(),
            from: beginning.from,
            live_from: beginning.live_from,
            duration_ms: self.clock.now_ms() - past.began_ms,
        });
        match self.log.seek(&at, beginning.from) {
            // Taken away again while we restored: the next poll says so.
            Err(LogError::Unavailable(_)) => {
                self.tasks.remove(&at);
                Ok(())
            }
            done => Ok(done?),
        }
    }

    /// The desk of whoever writes the results, as it stood at the committed position.
    fn open_desk(&mut self, past: &Past) -> Result<Option<Desk>, ServiceError> {
        let Some(settings) = self
            .settings
            .alerts
            .as_ref()
            .filter(|_| past.kind.writes_results())
        else {
            return Ok(None);
        };
        let published = past.mark.as_ref().and_then(|mark| mark.final_until_ms);
        let heard = published.max(past.foreign.and_then(|foreign| foreign.published));
        let (job, names) = (&self.plan.job, &self.plan.names);
        let at = DeskPlace {
            version: past.alerts,
            heard_until_ms: heard,
        };
        let (desk, error) = Desk::open(job, settings, names, &mut self.log, at)?;
        if let Some(error) = error {
            self.tell(&Fact::AlertStateUnusable { error });
        }
        Ok(Some(desk))
    }

    fn past_of(&self, kind: StageKind, assignment: Assignment) -> Result<Past, ServiceError> {
        let Assignment {
            at,
            committed,
            log_start,
        } = assignment;
        let written = committed.as_ref().map_or("", |held| &held.metadata);
        if let Some(version) = Mark::newer(written) {
            return Err(ServiceError::Newer {
                what: format!("{at}: the committed position is marked tidewatch/{version}"),
                build: "a later version".to_owned(),
                instead: "stop all later instances and delete the job's consumer group and snapshots: it then learns anew from the log's beginning",
            });
        }
        let found = Mark::parse(written);
        let found_build = found.as_ref().and_then(|mark| mark.build.clone());
        let left = Foreign {
            published: found.as_ref().and_then(|mark| mark.final_until_ms),
            began: found.as_ref().map(|mark| mark.began),
        };
        let alerts = found.as_ref().map_or(0, |mark| mark.alerts);
        let mark = found.filter(|mark| mark.lineage == self.plan.lineage);
        let is_foreign = committed.is_some() && mark.is_none();
        if is_foreign {
            self.tell(&Fact::Reconfigured { at: &at });
        }
        Ok(Past {
            build: found_build,
            kind,
            at,
            log_start,
            committed,
            mark,
            foreign: is_foreign.then_some(left),
            began_ms: self.clock.now_ms(),
            alerts,
        })
    }

    /// The task, with the newest state that restores; the snapshot it came from; and where it begins.
    fn begin(
        &mut self,
        past: &Past,
    ) -> Result<(Task, Option<SnapshotKey>, Beginning), ServiceError> {
        for key in self.usable(past) {
            match self.begin_with(past, &key) {
                Ok((task, beginning)) => {
                    self.tell_gap(past, key.offset);
                    if past.committed.is_none() {
                        let (at, from) = (&past.at, beginning.from);
                        self.tell(&Fact::PositionVanished { at, from });
                    }
                    return Ok((task, Some(key), beginning));
                }
                Err(Unusable::Newer(error)) => return Err(newer(past, &key, &error)),
                Err(Unusable::Passed(error)) => {
                    self.tell(&Fact::SnapshotUnusable { key: &key, error });
                }
            }
        }
        let began = self.first_offset(past)?;
        let beginning = self.beginning(past, began);
        self.tell_gap(past, began);
        let task = self.task(past, None, beginning.clone());
        let task = task.expect("only a snapshot can fail to restore");
        Ok((task, None, beginning))
    }

    /// Where reading begins without any snapshot.
    fn first_offset(&mut self, past: &Past) -> Result<i64, ServiceError> {
        if let Some(mark) = &past.mark {
            return Ok(mark.began);
        }
        let (at, log_start) = (&past.at, past.log_start);
        if !past.kind.reads_events() {
            return Ok(log_start);
        }
        if let Some(range) = self.plan.range {
            let from = Place::Time(range.from.millis());
            return Ok(self.log.offset_of(at, from)?.max(log_start));
        }
        if let Some(foreign) = past.foreign {
            return Ok(foreign
                .began
                .map_or(log_start, |began| began.max(log_start)));
        }
        let offset = match &self.plan.job.extensions.start {
            Start::Earliest => log_start,
            Start::Latest => self.log.offset_of(at, Place::End)?,
            Start::Time(ms) => self.log.offset_of(at, Place::Time(*ms))?,
            Start::Offsets(offsets) => {
                let said = offsets.get(&(at.topic.to_string(), at.partition));
                let end = self.log.offset_of(at, Place::End)?;
                said.map_or(log_start, |offset| *offset.min(&end))
            }
        };
        Ok(offset.max(log_start))
    }

    fn begin_with(
        &mut self,
        past: &Past,
        key: &SnapshotKey,
    ) -> Result<(Task, Beginning), Unusable> {
        let bytes = self
            .keeper
            .store()
            .get(key)
            .map_err(|error| Unusable::Passed(error.to_string()))?;
        let bytes = bytes.ok_or_else(|| Unusable::Passed("it is gone, or not whole".to_owned()))?;
        let snapshot = Snapshot::from_bytes(bytes);
        let beginning = self.beginning(past, key.offset);
        let task = self.task(past, Some(&snapshot), beginning.clone());
        let task = task.map_err(|error| match error {
            RestoreError::Newer { .. } => Unusable::Newer(error),
            _ => Unusable::Passed(error.to_string()),
        })?;
        Ok((task, beginning))
    }

    fn task(
        &self,
        past: &Past,
        snapshot: Option<&Snapshot>,
        beginning: Beginning,
    ) -> Result<Task, RestoreError> {
        let plan = Arc::clone(&self.plan);
        Task::begin(plan, past.kind, past.at.clone(), snapshot, beginning)
    }

    /// Reading begins at `wanted`; so does speaking, when nothing of the lineage is committed.
    fn beginning(&self, past: &Past, wanted: i64) -> Beginning {
        let committed = past.committed.as_ref().map(|held| held.next_offset);
        let live_from = committed.filter(|_| past.foreign.is_none());
        Beginning {
            from: wanted.max(past.log_start),
            live_from: live_from.unwrap_or(wanted).max(past.log_start),
            mark: past.mark.clone(),
            silent_until_ms: past.foreign.and_then(|foreign| foreign.published),
            committed: past.committed.clone(),
            now_ms: past.began_ms,
            snapshot_interval_ms: self.settings.snapshot_interval_ms,
            remembers: self.settings.remembers,
        }
    }

    fn tell_gap(&self, past: &Past, wanted: i64) {
        if past.log_start > wanted {
            let (at, from, to) = (&past.at, wanted, past.log_start);
            self.tell(&Fact::Gap { at, from, to });
        }
    }

    /// The snapshots of our lineage at or before the committed position, newest first. A store that does not answer has none: the replay is longer.
    fn usable(&mut self, past: &Past) -> Vec<SnapshotKey> {
        if past.foreign.is_some() {
            return Vec::new();
        }
        let (task, lineage) = (self.plan.task_name(&past.at), self.plan.lineage);
        let offset_max = past
            .committed
            .as_ref()
            .map_or(i64::MAX, |held| held.next_offset);
        let listed = self.keeper.store().list(&task);
        match listed {
            Ok(mut keys) => {
                keys.retain(|key| key.lineage == lineage && key.offset <= offset_max);
                keys
            }
            Err(error) => {
                let key = SnapshotKey {
                    task,
                    lineage,
                    offset: offset_max,
                };
                let error = error.to_string();
                self.tell(&Fact::SnapshotUnusable { key: &key, error });
                Vec::new()
            }
        }
    }
}
