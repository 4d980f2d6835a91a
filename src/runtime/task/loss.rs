//! Messages that were gone before they could be read, or read again: what is told of them, and which lie behind a position.
//!
//! A loss is noticed where a task begins (the log no longer reaches back), in the middle of reading (retention was faster), or when a topic was
//! deleted and made anew. Offsets. Holds: it is told once, by the partition's own task, in the transaction with the position behind it (`told` in the
//! [`Mark`](super::Mark)).

use crate::runtime::log::TopicPartition;

/// A range of offsets that nobody can read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    /// The first.
    pub(crate) from: i64,
    /// The first that is there again; `None`: the topic is another one, and what was left unread of the old one nobody knows.
    pub(crate) to: Option<i64>,
    /// Whether they had been read before, and only the models lack them.
    pub(crate) was_read: bool,
}

impl Loss {
    /// Whether it lies before a position.
    pub(super) fn is_behind(&self, position: i64) -> bool {
        self.to.is_none_or(|to| position >= to)
    }

    /// What an annotation says.
    pub(super) fn sentence(&self, at: &TopicPartition) -> String {
        let TopicPartition { topic, partition } = at;
        let from = self.from;
        match (self.to, self.was_read) {
            (None, _) => format!(
                "Topic {topic} was deleted and made anew; what partition {partition} held from offset {from} on and had not been read is lost"
            ),
            (Some(to), true) => format!(
                "Offsets {from} to {} of partition {partition} of topic {topic} were gone before they could be read again; the models lack them",
                to - 1
            ),
            (Some(to), false) => format!(
                "Offsets {from} to {} of partition {partition} of topic {topic} were gone before they were read; their events are not in the results",
                to - 1
            ),
        }
    }
}
