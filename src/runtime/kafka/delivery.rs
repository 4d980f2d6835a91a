//! What becomes of a partition's messages between the client and whoever takes them: each once, in the order of their offsets.
//!
//! librdkafka 2.12 counts whatever is taken with a batch as a message, also the word that all is read and an error: should it begin to fetch anew then (a group
//! that rebalances has it pause what it keeps), it begins one message too late. So where something follows such a word, but not at the very next offset, it is read
//! again from there; what follows then, follows. (Transactions that were aborted look the same, and cost a fetch. Mended in 2.13.2 for the word that all is read.)
//! And it may begin too early: what it is told of a batch comes after the batch was taken, so that a pause in between has it fetch the batch again.
//!
//! Holds: `next_offset` never shrinks; no message before it is handed over. Checked by: the tests below, tests/kafka.

use super::edge::Entry;
use crate::runtime::log::{Handler, Message, TopicPartition};
use rdkafka::error::RDKafkaErrorCode;

/// What is wanted of a partition, and how far it has come.
pub(super) struct Delivery {
    /// The client is still to be told where to begin.
    pub(super) is_new: bool,
    /// After everything handed over, markers of transactions included as far as they are known.
    pub(super) next_offset: i64,
    /// Nothing has come since the client said that all was read.
    pub(super) at_end: bool,
    /// Its queue is left alone: the client fetches no more than fits into it.
    pub(super) held: bool,
    /// Nothing has come since a word that the client counts as a message.
    miscounted: bool,
}

/// What came of a batch.
pub(super) struct Handed {
    pub(super) messages: usize,
    pub(super) error: Option<RDKafkaErrorCode>,
    /// The client may have passed over a message: nothing behind it was handed over.
    pub(super) doubtful: bool,
}

impl Delivery {
    /// Everything from an offset on.
    pub(super) fn from(next_offset: i64) -> Delivery {
        Delivery {
            is_new: true,
            next_offset,
            at_end: false,
            held: false,
            miscounted: false,
        }
    }

    /// Hands over one batch.
    pub(super) fn hand_over<'m>(
        &mut self,
        at: &TopicPartition,
        entries: impl Iterator<Item = Entry<'m>>,
        handler: &mut dyn Handler,
    ) -> Handed {
        let (mut count, mut error, mut doubtful) = (0, None, false);
        let (next_offset, at_end) = (&mut self.next_offset, &mut self.at_end);
        let miscounted = &mut self.miscounted;
        let mut messages = entries
            .filter_map(|entry| match entry {
                Entry::Message(Message { offset, .. }) | Entry::End(offset)
                    if doubtful || (*miscounted && offset > *next_offset) =>
                {
                    doubtful = true;
                    None
                }
                Entry::Message(message) if message.offset < *next_offset => None,
                Entry::Message(message) => {
                    (*next_offset, *at_end, *miscounted) = (message.offset + 1, false, false);
                    count += 1;
                    Some(message)
                }
                Entry::End(offset) => {
                    (*next_offset, *at_end) = (offset.max(*next_offset), true);
                    *miscounted = true;
                    None
                }
                Entry::Error(code) => {
                    error = Some(code);
                    *miscounted = true;
                    None
                }
            })
            .peekable();
        if messages.peek().is_some() {
            handler.batch(at, &mut messages);
            // The position counts what was handed over, taken or not.
            messages.for_each(drop);
        }
        Handed {
            messages: count,
            error,
            doubtful,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::log::{Assignment, Revocation};

    #[derive(Default)]
    struct Offsets(Vec<i64>);

    impl Handler for Offsets {
        fn assigned(&mut self, _: Vec<Assignment>) {}
        fn revoked(&mut self, _: &[TopicPartition], _: Revocation) {}
        fn batch(&mut self, _: &TopicPartition, messages: &mut dyn Iterator<Item = Message<'_>>) {
            self.0.extend(messages.map(|message| message.offset));
        }
    }

    fn message(offset: i64) -> Entry<'static> {
        Entry::Message(Message {
            offset,
            timestamp_ms: None,
            key: None,
            payload: None,
        })
    }

    /// What is handed over of a batch; whether it is to be read again, and from where.
    fn taken(delivery: &mut Delivery, batch: Vec<Entry<'static>>) -> (Vec<i64>, Option<i64>) {
        let mut offsets = Offsets::default();
        let at = TopicPartition::new("topic", 0);
        let handed = delivery.hand_over(&at, batch.into_iter(), &mut offsets);
        assert_eq!(handed.messages, offsets.0.len());
        (offsets.0, handed.doubtful.then_some(delivery.next_offset))
    }

    #[test]
    fn what_comes_again_is_not_handed_over_again() {
        let mut delivery = Delivery::from(5);
        let batch = vec![message(5), message(6), message(9)];
        assert_eq!(taken(&mut delivery, batch), (vec![5, 6, 9], None));
        let again = vec![message(6), message(9), message(10)];
        assert_eq!(taken(&mut delivery, again), (vec![10], None));
        assert_eq!(taken(&mut delivery, vec![message(7)]), (vec![], None));
    }

    #[test]
    fn a_message_that_may_have_been_passed_over_after_the_end_is_read_again() {
        let mut delivery = Delivery::from(5);
        let end = vec![message(5), Entry::End(6)];
        assert_eq!(taken(&mut delivery, end), (vec![5], None));
        let batch = vec![message(7), message(8), Entry::End(9)];
        assert_eq!(taken(&mut delivery, batch), (vec![], Some(6)));
        assert_eq!(taken(&mut delivery, vec![message(6)]), (vec![6], None));
    }

    #[test]
    fn a_message_that_may_have_been_passed_over_after_an_error_is_read_again() {
        let mut delivery = Delivery::from(5);
        let error = || Entry::Error(RDKafkaErrorCode::Unknown);
        assert_eq!(taken(&mut delivery, vec![message(5), error()]).0, [5]);
        assert_eq!(taken(&mut delivery, vec![message(7)]), (vec![], Some(6)));
        // It was none: what is read anew begins behind it.
        let mut anew = Delivery::from(6);
        assert_eq!(taken(&mut anew, vec![message(7)]), (vec![7], None));
    }
}
