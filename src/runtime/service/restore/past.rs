//! What a partition's committed position says of its past.

use super::Renewal;
use crate::runtime::log::{Assignment, Log, LogError, Position, TopicId, TopicPartition};
use crate::runtime::observer::Fact;
use crate::runtime::service::{Service, ServiceError};
use crate::runtime::task::{Loss, Mark, StageKind};
use std::sync::Arc;

/// What is known of a partition's past.
pub(super) struct Past {
    /// Which build has committed.
    pub(super) build: Option<String>,
    pub(super) kind: StageKind,
    pub(super) at: TopicPartition,
    pub(super) log_start: i64,
    pub(super) committed: Option<Position>,
    /// The committed position's mark, if it is of our lineage.
    pub(super) mark: Option<Mark>,
    /// Another lineage has committed here.
    pub(super) foreign: Option<Foreign>,
    pub(super) began_ms: i64,
    /// The last bucket that earlier lineages have published, for whom it concerns.
    pub(super) published: Option<i64>,
    /// The version of the state of alerts at the committed position, of whatever lineage.
    pub(super) alerts: u64,
    /// Which topic of its name the committed position is in, where its mark says so.
    pub(super) topic: Option<TopicId>,
    /// The topic is not the one that was read before.
    pub(super) renewal: Option<Renewal>,
}

/// What an earlier lineage leaves behind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Foreign {
    /// Where it began to read.
    pub(super) began: Option<i64>,
}

/// Whether a task that begins to read at `wanted` knows less than it did: of a topic that was made anew nothing can be read again.
pub(super) fn is_loss(past: &Past, wanted: i64) -> bool {
    past.renewal.is_some() || past.log_start > wanted
}

/// What is gone before the offset that was wanted.
pub(super) fn loss(past: &Past, wanted: i64) -> Option<Loss> {
    let committed = past.committed.as_ref().map_or(0, |held| held.next_offset);
    match past.renewal {
        Some(renewal) => renewal.anew.then_some(Loss {
            from: renewal.held,
            to: None,
            was_read: false,
        }),
        None => (past.log_start > wanted).then_some(Loss {
            from: wanted,
            to: Some(past.log_start),
            was_read: past.log_start <= committed,
        }),
    }
}

impl<L: Log> Service<L> {
    pub(super) fn past_of(
        &mut self,
        kind: StageKind,
        assignment: Assignment,
    ) -> Result<Past, ServiceError> {
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
        // What others have set says neither what was published nor with which models to go on: a snapshot does.
        let (committed, others) = match found {
            Some(_) => (committed, None),
            None => (None, committed),
        };
        if let Some(set) = others {
            let offset = set.next_offset;
            self.tell(&Fact::PositionNotOurs { at: &at, offset });
        }
        let ours = self.plan.names.prefix();
        let theirs = found.as_ref().and_then(|mark| mark.prefix.as_deref());
        if let Some(theirs) = theirs.filter(|theirs| *theirs != ours) {
            return Err(ServiceError::OtherPrefix {
                at,
                job: self.plan.job.id.clone(),
                theirs: theirs.to_owned(),
                ours: ours.to_owned(),
            });
        }
        let found_build = found.as_ref().and_then(|mark| mark.build.clone());
        let left = Foreign {
            began: found.as_ref().and_then(|mark| mark.began),
        };
        let published = found.as_ref().and_then(|mark| mark.final_until_ms);
        let alerts = found.as_ref().map_or(0, |mark| mark.alerts);
        let topic = found.as_ref().and_then(|mark| mark.topic);
        let mark = found.filter(|mark| mark.lineage == self.plan.lineage);
        let is_foreign = committed.is_some() && mark.is_none();
        if is_foreign {
            self.tell(&Fact::Reconfigured { at: &at });
        }
        let is_anew = mark.is_none() && self.plan.range.is_none() && kind.writes_results();
        let elsewhere = match is_anew {
            true => self.written_elsewhere(&at)?,
            false => (None, 0),
        };
        Ok(Past {
            build: found_build,
            kind,
            at,
            log_start,
            committed,
            mark,
            foreign: is_foreign.then_some(left),
            began_ms: self.clock.steady_ms(),
            published: match is_foreign || is_anew {
                true => published.max(elsewhere.0),
                false => None,
            },
            alerts: alerts.max(elsewhere.1),
            topic,
            renewal: None,
        })
    }

    /// The last bucket that was published, and the version of the state of alerts, as the job's other positions say it: another layout had its results written by another
    /// task (one partition: by the one that reads it; several: by the rollup).
    pub(super) fn written_elsewhere(
        &mut self,
        at: &TopicPartition,
    ) -> Result<(Option<i64>, u64), LogError> {
        let inputs = self.plan.inputs.iter().flat_map(|(topic, count)| {
            (0..*count).map(move |partition| TopicPartition::new(Arc::clone(topic), partition))
        });
        let internal = [&self.plan.partials, &self.plan.closed];
        let internal = internal.map(|topic| TopicPartition::new(Arc::clone(topic), 0));
        let others: Vec<_> = inputs.chain(internal).filter(|one| one != at).collect();
        let held = self.log.positions(&others)?;
        let marks = held.values().filter_map(|held| Mark::parse(&held.metadata));
        Ok(marks.fold((None, 0), |(published, alerts), mark| {
            (mark.final_until_ms.max(published), mark.alerts.max(alerts))
        }))
    }
}
