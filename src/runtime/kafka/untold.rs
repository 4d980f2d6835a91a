//! Partitions that are assigned and that nobody has been told of, because it is not known yet where their reading begins.
//!
//! Each waits for answers of its own: one without a leader, or whose position a transaction holds, does not keep the others waiting.
//! Checked by: the tests below, tests/kafka/faults.

use crate::runtime::log::TopicPartition;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Without an answer for so long, it is said that there is none, and again after as long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Those partitions.
#[derive(Default)]
pub(super) struct Untold {
    waiting: BTreeMap<TopicPartition, Waiting>,
}

struct Waiting {
    /// Assigned then, or last said to have no answer.
    since: Instant,
    /// To be asked for from then on.
    due: Instant,
}

impl Untold {
    pub(super) fn assigned(&mut self, partitions: Vec<TopicPartition>, now: Instant) {
        let waiting = |at| {
            let (since, due) = (now, now);
            (at, Waiting { since, due })
        };
        self.waiting.extend(partitions.into_iter().map(waiting));
    }

    /// The group has taken it back, or it has been told.
    pub(super) fn remove(&mut self, at: &TopicPartition) {
        self.waiting.remove(at);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Those to be asked for.
    pub(super) fn due(&self, now: Instant) -> Vec<TopicPartition> {
        let due = self.waiting.iter().filter(|(_, one)| one.due <= now);
        due.map(|(at, _)| at.clone()).collect()
    }

    /// There is no answer: it is to be asked for again after this time.
    pub(super) fn put_off(&mut self, at: &TopicPartition, now: Instant, pause: Duration) {
        if let Some(waiting) = self.waiting.get_mut(at) {
            waiting.due = now + pause;
        }
    }

    /// Those whose answers have been waited for too long since that was last said.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<TopicPartition> {
        let is_overdue = |one: &Waiting| now.duration_since(one.since) >= PATIENCE;
        let overdue = self.waiting.iter_mut().filter(|(_, one)| is_overdue(one));
        overdue
            .map(|(at, one)| {
                one.since = now;
                at.clone()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_answer_is_asked_for_again_and_said_to_have_none_now_and_then() {
        let at = |partition| TopicPartition::new("topic", partition);
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let mut untold = Untold::default();
        untold.assigned(vec![at(0), at(1), at(2)], begin);
        assert_eq!(untold.due(begin), [at(0), at(1), at(2)]);
        untold.remove(&at(0));
        untold.put_off(&at(1), begin, Duration::from_secs(3));
        assert_eq!(untold.due(after(2)), [at(2)]);
        assert_eq!(untold.due(after(3)), [at(1), at(2)]);
        untold.remove(&at(2));
        assert_eq!(untold.overdue(after(9)), []);
        assert_eq!(untold.overdue(after(10)), [at(1)]);
        assert_eq!(untold.overdue(after(19)), [], "it has just been said");
        assert_eq!(untold.overdue(after(20)), [at(1)]);
        untold.remove(&at(1));
        assert!(untold.is_empty());
    }
}
