//! The operator's side of the log in memory.

use super::super::{Groups, LogError, Position, TopicPartition};
use super::MemoryLog;
use std::collections::BTreeMap;

impl Groups for MemoryLog {
    fn members(&mut self, group: &str) -> Result<usize, LogError> {
        Ok(self.cluster.lock().group(group).members())
    }

    fn committed(
        &mut self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Position>, LogError> {
        let mut state = self.cluster.lock();
        let committed = &state.group(group).committed;
        let held = partitions
            .iter()
            .filter_map(|at| Some((at.clone(), committed.get(at)?.clone())));
        Ok(held.collect())
    }

    fn forget_group(&mut self, group: &str) -> Result<bool, LogError> {
        let mut state = self.cluster.lock();
        let is_empty = state.group(group).members() == 0;
        if is_empty {
            state.group(group).committed.clear();
        }
        Ok(is_empty)
    }

    fn set_positions(
        &mut self,
        group: &str,
        positions: &[(TopicPartition, Position)],
    ) -> Result<bool, LogError> {
        let mut state = self.cluster.lock();
        let is_empty = state.group(group).members() == 0;
        if is_empty {
            let committed = &mut state.group(group).committed;
            committed.extend(positions.iter().cloned());
        }
        Ok(is_empty)
    }

    fn empty(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        partitions
            .iter()
            .for_each(|at| self.cluster.truncate(at, i64::MAX));
        Ok(())
    }

    fn delete_topic(&mut self, topic: &str) -> Result<(), LogError> {
        let mut state = self.cluster.lock();
        state.topics.remove(topic);
        // As a broker does: positions in a topic that is gone are gone.
        for group in state.groups.values_mut() {
            group.committed.retain(|at, _| *at.topic != *topic);
        }
        Ok(())
    }
}
