//! The topics that a job reads, while it reads them: they get partitions, come later, go, and are made anew.
//!
//! | what | noticed | then |
//! |---|---|---|
//! | a partition more, staged | by the group, and by a look | its gatherer begins at its start; nobody waits for it before it has spoken |
//! | a partition more, fused or keyed | by the group, or a look | the job ends in order and is laid out anew |
//! | a topic more that a pattern means | by a look | the same |
//! | a topic gone | by the group, which takes its partitions | what was read is said, its gatherers leave what is open and are not waited for; their state is kept |
//! | a topic made anew | by its id, or by offsets that end too early | laid out anew; a task takes up its state at the new topic's start |
//!
//! A topic counts as gone when a broker says that it does not exist, and either the group has taken its partitions or it says so in two looks
//! running. Checked by: tests/inputs.rs in memory, tests/kafka/faults/topics.rs on a real broker.

use super::{Service, ServiceError};
use crate::runtime::log::{Log, LogError, TopicPartition};
use crate::runtime::observer::Fact;
use crate::runtime::store::Order;
use crate::runtime::task::{Plan, Task};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Inputs = BTreeMap<Arc<str>, i32>;

/// What a snapshot is filed under that waits for its topic to be made anew: no offset of the old one means anything then.
pub(super) fn between_topics(lineage: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64(format!("{lineage:016x}/made anew").as_bytes())
}

impl<L: Log> Service<L> {
    /// Whether the job is to be laid out anew: to be ended in order, and started again.
    pub fn is_outdated(&self) -> bool {
        self.outdated
    }

    /// Now and then: whether the topics are still those that the job was laid out on. A replay looks at a past that does not change.
    pub(super) fn look_at_topics(&mut self) -> Result<(), ServiceError> {
        let now_ms = self.clock.steady_ms();
        if now_ms < self.look_due_ms || self.plan.range.is_some() {
            return Ok(());
        }
        self.look_due_ms = now_ms + self.settings.topics_interval_ms;
        match self.compare_topics() {
            Err(ServiceError::Log(LogError::Unavailable(error))) => {
                self.tell(&Fact::Unavailable { error });
                Ok(())
            }
            done => done,
        }
    }

    fn compare_topics(&mut self) -> Result<(), ServiceError> {
        // The quicker question first: without an answer the look is for another time.
        let known: Vec<String> = self.plan.inputs.keys().map(|t| t.to_string()).collect();
        let ids = self.log.identities(&known)?;
        let asked = Plan::asked(&self.plan.job)?;
        let found = self.log.partitions(&asked)?.into_iter();
        let is_input = |(topic, _): &(String, i32)| !self.plan.names.is_ours(topic);
        let found: Inputs = found
            .filter(is_input)
            .map(|(topic, partitions)| (topic.into(), partitions))
            .collect();
        let absent: BTreeSet<Arc<str>> = self
            .plan
            .inputs
            .keys()
            .filter(|topic| !ids.contains_key(&***topic))
            .cloned()
            .collect();
        for topic in absent.difference(&self.absent) {
            self.tell(&Fact::TopicGone { topic });
        }
        for (topic, id) in ids {
            let before = self.topics.insert(topic.as_str().into(), id);
            self.outdated |= before.is_some_and(|before| before != id);
        }
        self.compare_partitions(&found);
        let is_gone = |topic: &Arc<str>| absent.contains(topic) && self.absent.contains(topic);
        let there: Inputs = self
            .plan
            .inputs
            .iter()
            .filter(|(topic, _)| !is_gone(topic))
            .map(|(topic, count)| (topic.clone(), *found.get(topic).unwrap_or(count)))
            .collect();
        for task in self.tasks.values_mut() {
            task.silence(&self.plan.inputs, &there);
        }
        self.absent = absent;
        Ok(())
    }

    /// Topics and partitions that were not there when the job was laid out.
    fn compare_partitions(&mut self, found: &Inputs) {
        let known = |topic: &Arc<str>| self.plan.inputs.get(topic).copied().unwrap_or(0);
        let grown: Vec<(Arc<str>, i32, i32)> = found
            .iter()
            .map(|(topic, &count)| (topic.clone(), known(topic), count))
            .filter(|(_, before, count)| count > before)
            .collect();
        if grown.is_empty() {
            return;
        }
        for (topic, before, count) in &grown {
            self.tell(&Fact::PartitionsAdded {
                topic,
                before: *before,
                count: *count,
            });
        }
        let is_new = grown.iter().any(|(_, before, _)| *before == 0);
        if is_new || !self.plan.takes_partitions() {
            self.outdated = true;
            return;
        }
        let mut plan = (*self.plan).clone();
        let counts = grown.into_iter().map(|(topic, _, count)| (topic, count));
        plan.inputs.extend(counts);
        self.plan = Arc::new(plan);
    }

    /// Whether a partition has no place in the plan: the job is laid out anew then, and it waits.
    pub(super) fn is_beyond_plan(&mut self, at: &TopicPartition) -> bool {
        let count = self.plan.inputs.get(&at.topic).copied();
        let is_beyond =
            !self.plan.takes_partitions() && count.is_some_and(|count| at.partition >= count);
        self.outdated |= is_beyond;
        is_beyond
    }

    /// Learns which topics of their names newly assigned partitions are of.
    pub(super) fn learn_topics(
        &mut self,
        arrivals: impl Iterator<Item = TopicPartition>,
    ) -> Result<(), LogError> {
        let topics: BTreeSet<Arc<str>> = arrivals
            .map(|at| at.topic)
            .filter(|topic| self.plan.inputs.contains_key(topic))
            .collect();
        if topics.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = topics.iter().map(|topic| topic.to_string()).collect();
        for (topic, id) in self.log.identities(&names)? {
            self.topics.insert(topic.into(), id);
        }
        Ok(())
    }

    /// Which of these partitions are of topics that do not exist. Without an answer none is.
    pub(super) fn gone_among(&mut self, partitions: &[TopicPartition]) -> BTreeSet<Arc<str>> {
        let topics: BTreeSet<Arc<str>> = partitions
            .iter()
            .filter(|at| self.tasks.get(*at).is_some_and(Task::reads_events))
            .map(|at| at.topic.clone())
            .collect();
        if topics.is_empty() {
            return topics;
        }
        let names: Vec<String> = topics.iter().map(|topic| topic.to_string()).collect();
        match self.log.identities(&names) {
            Ok(ids) => {
                let is_gone = |topic: &Arc<str>| !ids.contains_key(&**topic);
                topics.into_iter().filter(is_gone).collect()
            }
            Err(_) => BTreeSet::new(),
        }
    }

    /// Those of `leaving` whose topic is gone say what they leave.
    pub(super) fn part_from(&mut self, gone: &BTreeSet<Arc<str>>) {
        let tasks = self.tasks.values_mut();
        tasks
            .filter(|task| gone.contains(&task.at.topic))
            .for_each(Task::fall_silent);
        for topic in gone.difference(&self.absent) {
            self.tell(&Fact::TopicGone { topic });
        }
        self.absent.extend(gone.iter().cloned());
    }

    /// Keeps the state of tasks whose topic is gone, for the day that it is made anew.
    pub(super) fn keep_between_topics(&mut self, gone: &BTreeSet<Arc<str>>) {
        let lineage = between_topics(self.plan.lineage);
        let (until_ms, mut names) = (self.snapshots_until_ms(), Vec::new());
        let tasks = self.tasks.values_mut();
        for task in tasks.filter(|task| gone.contains(&task.at.topic) && task.is_live()) {
            let began = self.traces.now();
            let (key, state) = task.last_state(lineage);
            if !self.keeper.wait_for(&key.task, until_ms) {
                continue;
            }
            names.push(key.task.clone());
            self.keeper.take(Order {
                trace: self.traces.frozen(began, &key),
                key,
                state,
                kept_max: self.settings.snapshots_kept.max(2),
                is_in_haste: false,
            });
        }
        self.await_kept(&names, until_ms);
    }
}
