//! How a job is laid out on topics: which stages work it, on which topics, and who speaks to whom.
//!
//! Fixed when a service starts, from the job and the log's own metadata. Holds: the placement, the shards and the job's
//! fingerprint give the *lineage*; internal messages and snapshots of another lineage are never mixed in.

use super::range::Range;
use crate::config::Job;
use crate::engine::result::DocumentKind;
use crate::engine::wire::InputId;
use crate::runtime::log::{Cleanup, NewTopic, TopicPartition};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which stages are fused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// All three: there is one input partition, nothing needs merging.
    Fused,
    /// Gatherer and judge: the message key decides the input partition by the job's partition field.
    Keyed,
    /// None.
    Staged,
    /// All three, behind projectors of events: the job has categories of messages, which are decided in one order.
    Ordered,
}

/// What the task of a topic partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageKind {
    /// Events to results.
    Fused,
    /// Events to partial buckets.
    Keyed,
    /// Events to closed buckets.
    Gather,
    /// Events to the same events, reduced to what the job names.
    Project,
    /// The events of all inputs, in one order, to results.
    Order,
    /// Closed buckets to partial buckets, for one shard.
    Judge,
    /// Partial buckets to results.
    Rollup,
}

impl StageKind {
    /// Whether the task reads events (and not what another stage says).
    pub fn reads_events(self) -> bool {
        matches!(
            self,
            StageKind::Fused | StageKind::Keyed | StageKind::Gather | StageKind::Project
        )
    }

    /// The stage in a word, for attributes and people.
    pub fn label(self) -> &'static str {
        match self {
            StageKind::Fused => "fused",
            StageKind::Keyed => "keyed",
            StageKind::Gather => "gather",
            StageKind::Project => "project",
            StageKind::Order => "order",
            StageKind::Judge => "judge",
            StageKind::Rollup => "rollup",
        }
    }

    /// Whether the task writes result documents.
    pub fn writes_results(self) -> bool {
        matches!(
            self,
            StageKind::Fused | StageKind::Rollup | StageKind::Order
        )
    }

    /// Whether the stage behind waits for each of these tasks.
    pub(super) fn is_awaited(self) -> bool {
        matches!(
            self,
            StageKind::Gather | StageKind::Keyed | StageKind::Project
        )
    }

    /// Whether interim results are said when the clock takes them up, and not with each word heard.
    pub(super) fn is_paced(self) -> bool {
        self.reads_events() || self == StageKind::Order
    }
}

/// The names of the topics that Tidewatch writes; `tidewatch` is the usual prefix.
#[derive(Clone, Debug)]
pub struct TopicNames {
    prefix: String,
    results: BTreeMap<DocumentKind, Arc<str>>,
    interim: BTreeMap<DocumentKind, Arc<str>>,
    dead_letters: Arc<str>,
}

impl TopicNames {
    /// What they all begin with, without the dot.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The names that begin with `prefix` and a dot.
    pub fn new(prefix: &str) -> TopicNames {
        let by_kind = |what: &str| {
            let kinds = DocumentKind::ALL.into_iter().chain(DocumentKind::FORECASTS);
            kinds
                .map(|kind| (kind, format!("{prefix}.{what}.{}", kind.name()).into()))
                .collect()
        };
        TopicNames {
            prefix: prefix.to_owned(),
            results: by_kind("results"),
            interim: by_kind("interim"),
            dead_letters: format!("{prefix}.dead-letters").into(),
        }
    }

    /// Final results of one kind, of all jobs: `tidewatch.results.record`.
    pub fn results(&self, kind: DocumentKind) -> &Arc<str> {
        &self.results[&kind]
    }

    /// Interim results of one kind, of all jobs: `tidewatch.interim.record`.
    pub fn interim(&self, kind: DocumentKind) -> &Arc<str> {
        &self.interim[&kind]
    }

    /// What takes forecasts, which are made on request: `tidewatch.results.model_forecast`. They expire, so old ones are forgotten.
    pub fn forecasts(&self) -> [NewTopic; 2] {
        DocumentKind::FORECASTS.map(|kind| NewTopic {
            name: self.results(kind).to_string(),
            partitions: None,
            cleanup: Cleanup::CompactDelete,
        })
    }

    /// What was refused, with reason and origin: `tidewatch.dead-letters`.
    pub fn dead_letters(&self) -> &Arc<str> {
        &self.dead_letters
    }

    /// What operators want of jobs, whatever their files say: `tidewatch.control`.
    pub fn control(&self) -> String {
        format!("{}.control", self.prefix)
    }

    /// Snapshots, when a topic keeps them: `tidewatch.snapshots`.
    pub fn snapshots(&self) -> String {
        format!("{}.snapshots", self.prefix)
    }

    /// Incidents of all jobs, when alerts are on: `tidewatch.alerts`.
    pub fn alerts(&self) -> String {
        format!("{}.alerts", self.prefix)
    }

    /// The same as OCSF findings: `tidewatch.alerts.ocsf`.
    pub fn alerts_ocsf(&self) -> String {
        format!("{}.alerts.ocsf", self.prefix)
    }

    /// What goes on, job by job: `tidewatch.alerts.state`.
    pub fn alert_state(&self) -> String {
        format!("{}.alerts.state", self.prefix)
    }

    /// From gatherers to judges: `tidewatch.<job>.closed`.
    pub fn closed(&self, job_id: &str) -> String {
        format!("{}.{job_id}.closed", self.prefix)
    }

    /// From judges to the rollup: `tidewatch.<job>.partials`.
    pub fn partials(&self, job_id: &str) -> String {
        format!("{}.{job_id}.partials", self.prefix)
    }

    /// Whether a topic is one of ours, which a pattern of inputs never means.
    pub fn is_ours(&self, topic: &str) -> bool {
        topic
            .strip_prefix(&self.prefix)
            .is_some_and(|rest| rest.starts_with('.'))
    }
}

/// A job that cannot be laid out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The job names no topic.
    #[error(
        "job {0}: datafeed_config.indices names no topic; name the topics (or ^patterns) that its events come from"
    )]
    NoDatafeed(String),
    /// Topics that do not exist.
    #[error(
        "job {job}: none of its topics exist ({topics}); create them, or correct datafeed_config.indices"
    )]
    NoTopics {
        /// The job.
        job: String,
        /// What it names.
        topics: String,
    },
}

/// A job on its topics.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The job.
    pub job: Arc<Job>,
    /// Where results go.
    pub names: TopicNames,
    /// Which stages are fused.
    pub placement: Placement,
    /// How many judges, when staged.
    pub shards: u16,
    /// Input topics and their partitions.
    pub inputs: BTreeMap<Arc<str>, i32>,
    /// The only events that count, of a replay; `None`: all.
    pub range: Option<Range>,
    /// What snapshots and internal messages have to agree on.
    pub lineage: u64,
    /// From gatherers to judges.
    pub closed: Arc<str>,
    /// To the rollup.
    pub partials: Arc<str>,
}

impl Plan {
    /// Lays `job` out. `found` are the topics that exist, with their partitions: the job's inputs, and its internal ones if they do. An internal
    /// topic that exists decides the number of shards: series must not move between the partitions of a topic that has a past.
    pub fn new(
        job: Arc<Job>,
        names: TopicNames,
        found: &BTreeMap<String, i32>,
    ) -> Result<Plan, PlanError> {
        let inputs: BTreeMap<Arc<str>, i32> = found
            .iter()
            .filter(|(topic, _)| !names.is_ours(topic))
            .map(|(topic, partitions)| (topic.as_str().into(), *partitions))
            .collect();
        if inputs.is_empty() {
            return Err(PlanError::NoTopics {
                job: job.id.clone(),
                topics: Plan::asked(&job)?.join(", "),
            });
        }
        let partitions = inputs.values().sum::<i32>();
        let placement = match (partitions, job.extensions.keyed_by_partition_field) {
            (1, _) => Placement::Fused,
            _ if job.categorization.is_some() => Placement::Ordered,
            (_, true) => Placement::Keyed,
            (_, false) => Placement::Staged,
        };
        let closed = names.closed(&job.id);
        let shards = match (placement, found.get(&closed)) {
            (Placement::Staged, Some(partitions)) => u16::try_from(*partitions).unwrap_or(u16::MAX),
            (Placement::Staged, None) => job.extensions.shards.max(1),
            _ => 1,
        };
        let place = format!("{placement:?}/{shards}/{:016x}", job.fingerprint);
        Ok(Plan {
            placement,
            shards,
            inputs,
            range: None,
            lineage: xxhash_rust::xxh3::xxh3_64(place.as_bytes()),
            closed: closed.into(),
            partials: names.partials(&job.id).into(),
            names,
            job,
        })
    }

    /// The same in another life: a job that is changed and changed back must not hear what its stages told each other before.
    pub fn in_life(self, life: u64) -> Plan {
        let lineage = match life {
            0 => self.lineage,
            _ => xxhash_rust::xxh3::xxh3_64(format!("{:016x}@{life}", self.lineage).as_bytes()),
        };
        Plan { lineage, ..self }
    }

    /// The same for the events of `range` alone: another lineage, of course.
    pub fn within(self, range: Range) -> Plan {
        let place = format!(
            "{:016x}/{}/{}/{}",
            self.lineage,
            range.warm_up_from.millis(),
            range.from.millis(),
            range.to.millis()
        );
        Plan {
            range: Some(range),
            lineage: xxhash_rust::xxh3::xxh3_64(place.as_bytes()),
            ..self
        }
    }

    /// Among how many judges the series and the memory limit are shared out.
    pub fn judges(&self) -> u16 {
        match self.placement {
            Placement::Fused | Placement::Ordered => 1,
            Placement::Keyed => {
                u16::try_from(self.inputs.values().sum::<i32>()).unwrap_or(u16::MAX)
            }
            Placement::Staged => self.shards,
        }
    }

    /// Whether input partitions speak to the others through a topic of closed buckets or of events: new ones may join at any time.
    pub fn takes_partitions(&self) -> bool {
        matches!(self.placement, Placement::Staged | Placement::Ordered)
    }

    /// The topics (or `^` patterns) that a job asks for.
    pub fn asked(job: &Job) -> Result<Vec<String>, PlanError> {
        match &job.datafeed {
            Some(datafeed) if !datafeed.topics.is_empty() => Ok(datafeed.topics.clone()),
            _ => Err(PlanError::NoDatafeed(job.id.clone())),
        }
    }

    /// The topics that the job's consumer group reads.
    pub fn subscription(&self) -> Vec<String> {
        let mut topics: Vec<String> = self.inputs.keys().map(|topic| topic.to_string()).collect();
        if self.takes_partitions() {
            topics.push(self.closed.to_string());
        }
        if matches!(self.placement, Placement::Keyed | Placement::Staged) {
            topics.push(self.partials.to_string());
        }
        topics
    }

    /// The topics that have to exist before the first message.
    pub fn written(&self) -> Vec<NewTopic> {
        let topic = |name: &str, partitions: Option<i32>, cleanup: Cleanup| NewTopic {
            name: name.to_owned(),
            partitions,
            cleanup,
        };
        let mut topics = vec![topic(self.names.dead_letters(), None, Cleanup::Delete)];
        for kind in DocumentKind::ALL {
            topics.push(topic(self.names.results(kind), None, Cleanup::Compact));
            topics.push(topic(
                self.names.interim(kind),
                None,
                Cleanup::CompactDelete,
            ));
        }
        if self.takes_partitions() {
            let partitions = Some(i32::from(self.shards));
            topics.push(topic(&self.closed, partitions, Cleanup::Delete));
        }
        if matches!(self.placement, Placement::Keyed | Placement::Staged) {
            topics.push(topic(&self.partials, Some(1), Cleanup::Delete));
        }
        topics
    }

    /// What the task of `at` is; `None` for a partition that the plan does not know.
    pub fn stage_of(&self, at: &TopicPartition) -> Option<StageKind> {
        if at.topic == self.closed {
            return match self.placement {
                Placement::Ordered => (at.partition == 0).then_some(StageKind::Order),
                _ => Some(StageKind::Judge),
            };
        }
        if at.topic == self.partials {
            return Some(StageKind::Rollup);
        }
        self.inputs.get(&at.topic)?;
        Some(match self.placement {
            Placement::Fused => StageKind::Fused,
            Placement::Keyed => StageKind::Keyed,
            Placement::Staged => StageKind::Gather,
            Placement::Ordered => StageKind::Project,
        })
    }

    /// Whether a topic carries what stages say to each other.
    pub fn is_internal(&self, topic: &str) -> bool {
        *topic == *self.closed || *topic == *self.partials
    }

    /// Whom the task of `at` has to wait for, given the input topics that its lineage began with.
    pub fn speakers_to(&self, kind: StageKind, inputs: &BTreeMap<Arc<str>, i32>) -> Vec<InputId> {
        let mut speakers: Vec<InputId> = match (kind, self.placement) {
            (StageKind::Rollup, Placement::Staged) => (0..self.shards).map(shard_id).collect(),
            _ => inputs
                .iter()
                .flat_map(|(topic, &partitions)| {
                    (0..partitions).map(move |partition| InputId(format!("{topic}/{partition}")))
                })
                .collect(),
        };
        speakers.sort();
        speakers
    }

    /// The name of a task, for snapshots.
    pub fn task_name(&self, at: &TopicPartition) -> String {
        format!("{}/{at}", self.job.id)
    }
}

/// How the judge of a shard is called.
pub(super) fn shard_id(shard: u16) -> InputId {
    InputId(format!("shard/{shard}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_with_categories_has_one_place_that_gathers_whatever_its_topics_are() {
        let text = r#"{"job_id": "logs", "analysis_config": {"categorization_field_name": "message",
            "detectors": [{"function": "count", "by_field_name": "mlcategory"}]},
            "data_description": {}, "datafeed_config": {"indices": ["logs"]}}"#;
        let job = Arc::new(Job::from_text(text, "logs").expect("a job"));
        let plan = |partitions: i32| {
            let found = BTreeMap::from([("logs".to_owned(), partitions)]);
            Plan::new(job.clone(), TopicNames::new("tidewatch"), &found)
        };
        assert_eq!(plan(1).expect("a plan").placement, Placement::Fused);
        let several = plan(2).expect("a plan");
        assert_eq!((several.placement, several.shards), (Placement::Ordered, 1));
        let kind =
            |topic: &str, partition| several.stage_of(&TopicPartition::new(topic, partition));
        assert_eq!(kind("logs", 1), Some(StageKind::Project));
        assert_eq!(kind("tidewatch.logs.closed", 0), Some(StageKind::Order));
        assert_eq!(kind("tidewatch.logs.closed", 1), None);
        let speakers = several.speakers_to(StageKind::Order, &several.inputs);
        assert_eq!(
            speakers,
            ["logs/0", "logs/1"].map(|name| InputId(name.into()))
        );
    }
}
