//! What an operator's tools need of consumer groups and topics, from outside of any group.
//!
//! All of it is for jobs that are not at work: [`Groups::forget_group`] and [`Groups::set_positions`] are refused by the broker itself while a group has members, so that
//! nothing is taken from under somebody's feet. Checked by: the tests of the log in memory, tests/jobs.rs, and tests/kafka.

use super::{LogError, Position, TopicPartition};
use std::collections::BTreeMap;

/// Groups and topics as an operator sees them.
pub trait Groups {
    /// How many members a group has; 0 when there is no such group.
    fn members(&mut self, group: &str) -> Result<usize, LogError>;

    /// What a group has committed for these partitions; those without a position are absent.
    fn committed(
        &mut self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Position>, LogError>;

    /// Forgets a group with all its positions, unless it has members. Whether it is forgotten; one that does not exist is so already.
    fn forget_group(&mut self, group: &str) -> Result<bool, LogError>;

    /// Commits positions for a group without members, all of them or none. Whether it is done: not while the group has members.
    fn set_positions(
        &mut self,
        group: &str,
        positions: &[(TopicPartition, Position)],
    ) -> Result<bool, LogError>;

    /// Deletes every message that is in these partitions now. Offsets go on from where they are.
    fn empty(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError>;

    /// Deletes a topic; on return it is gone, also if it did not exist.
    fn delete_topic(&mut self, topic: &str) -> Result<(), LogError>;
}
