//! What becomes of a partition's messages between the client and whoever takes them: each once, in the order of their offsets.
//!
//! librdkafka 2.12 counts whatever is taken with a batch as a message, also the word that all is read and an error: should it begin to fetch anew then (a group
//! that rebalances has it pause what it keeps), it begins one message too late. So where something follows such a word, but not at the very next offset, it is read
//! again from there; what follows then, follows. (Transactions that were aborted look the same, and cost a fetch. Mended in 2.13.2 for the word that all is read.)
//! And it may begin too early: what it is told of a batch comes after the batch was taken, so that a pause in between has it fetch the batch again.
//!
//! Holds: `next_offset` never shrinks; no message before it is handed over. Checked by: the tests below, tests/kafka.

use super::edge::{Entry, Untaken};
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
    /// What was read and not taken: it comes before anything else.
    pub(super) untaken: Option<Untaken>,
}

/// What came of a batch.
#[derive(Default)]
pub(super) struct Handed {
    /// Messages that were taken.
    pub(super) messages: usize,
    /// Entries that are done with; those after them are still to be handed over.
    pub(super) entries: usize,
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
            untaken: None,
        }
    }

    /// Hands over one batch, as much of it as the handler takes.
    pub(super) fn hand_over<'m>(
        &mut self,
        at: &TopicPartition,
        entries: impl Iterator<Item = Entry<'m>>,
        handler: &mut dyn Handler,
    ) -> Handed {
        let mut turn = Hands {
            entries,
            delivery: self,
            ahead: None,
            handed: Handed::default(),
        };
        turn.ahead = turn.advance();
        if turn.ahead.is_some() {
            handler.batch(at, &mut turn);
        }
        if turn.ahead.is_some() {
            turn.handed.entries -= 1;
        }
        turn.handed
    }
}

/// One batch on its way.
struct Hands<'d, 'm, I> {
    entries: I,
    delivery: &'d mut Delivery,
    /// Looked at, and not taken yet.
    ahead: Option<Message<'m>>,
    handed: Handed,
}

impl<'m, I: Iterator<Item = Entry<'m>>> Hands<'_, 'm, I> {
    /// The next message that is new; what else comes before it is noted.
    fn advance(&mut self) -> Option<Message<'m>> {
        let (delivery, handed) = (&mut *self.delivery, &mut self.handed);
        for entry in self.entries.by_ref() {
            handed.entries += 1;
            match entry {
                Entry::Message(Message { offset, .. }) | Entry::End(offset)
                    if handed.doubtful
                        || (delivery.miscounted && offset > delivery.next_offset) =>
                {
                    handed.doubtful = true;
                }
                Entry::Message(message) if message.offset < delivery.next_offset => {}
                Entry::Message(message) => return Some(message),
                Entry::End(offset) => {
                    delivery.next_offset = offset.max(delivery.next_offset);
                    delivery.at_end = true;
                    delivery.miscounted = true;
                }
                Entry::Error(code) => {
                    handed.error = Some(code);
                    delivery.miscounted = true;
                }
            }
        }
        None
    }
}

impl<'m, I: Iterator<Item = Entry<'m>>> Iterator for Hands<'_, 'm, I> {
    type Item = Message<'m>;

    fn next(&mut self) -> Option<Message<'m>> {
        let message = self.ahead.take().or_else(|| self.advance())?;
        self.delivery.next_offset = message.offset + 1;
        self.delivery.at_end = false;
        self.delivery.miscounted = false;
        self.handed.messages += 1;
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::log::{Assignment, Revocation};

    #[derive(Default)]
    struct Offsets(Vec<i64>);

    /// Takes so many, and leaves the rest.
    struct Few(usize, Offsets);

    impl Handler for Few {
        fn assigned(&mut self, _: Vec<Assignment>) {}
        fn revoked(&mut self, _: &[TopicPartition], _: Revocation) {}
        fn batch(&mut self, at: &TopicPartition, messages: &mut dyn Iterator<Item = Message<'_>>) {
            self.1.batch(at, &mut messages.take(self.0));
        }
    }

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
    fn what_is_not_taken_is_left_and_does_not_count() {
        let at = TopicPartition::new("topic", 0);
        for few in 0..=4 {
            let mut delivery = Delivery::from(5);
            let batch = || {
                vec![
                    message(4),
                    message(5),
                    message(6),
                    message(9),
                    Entry::End(12),
                ]
            };
            let mut handler = Few(few, Offsets::default());
            let handed = delivery.hand_over(&at, batch().into_iter(), &mut handler);
            let taken = &[5, 6, 9][..few.min(3)];
            assert_eq!(handler.1.0, taken);
            assert_eq!(handed.messages, taken.len());
            let next_offset = if few < 4 {
                taken.last().map_or(5, |last| last + 1)
            } else {
                12
            };
            assert_eq!(
                (delivery.next_offset, delivery.at_end),
                (next_offset, few == 4)
            );
            let left = batch().into_iter().skip(handed.entries);
            let (mut rest, taken) = (Offsets::default(), taken.len());
            delivery.hand_over(&at, left, &mut rest);
            assert_eq!(rest.0, &[5, 6, 9][taken..]);
            assert_eq!((delivery.next_offset, delivery.at_end), (12, true));
        }
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
