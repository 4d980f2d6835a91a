//! Messages of one partition as several jobs take them: copied out of the client's memory once, and decoded once.
//!
//! Holds: a batch is every readable message of `from..to`, in offset order; it never changes, so that threads share it without a lock.

use super::super::Message;
use crate::decode::together::{Decoded, Given, Together};
use crate::time::EventTime;
use self_cell::self_cell;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of messages, and where each stands.
#[derive(Debug, Default)]
pub(super) struct Copied {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    offset: i64,
    timestamp_ms: Option<i64>,
    key: Option<Range<usize>>,
    payload: Option<Range<usize>>,
}

type Perhaps<'c> = Option<Decoded<'c>>;

self_cell! {
    struct Cell {
        owner: Copied,
        #[covariant]
        dependent: Perhaps,
    }
}

/// The messages of a range of offsets, decoded if several jobs wanted them when they were read.
pub(super) struct Batch {
    pub(super) from: i64,
    pub(super) to: i64,
    cell: Cell,
    together: Option<Arc<Together>>,
}

impl Copied {
    /// Copies messages, into the memory of earlier ones.
    pub(super) fn fill(&mut self, messages: &mut dyn Iterator<Item = Message<'_>>) {
        self.bytes.clear();
        self.places.clear();
        for message in messages {
            let place = Place {
                offset: message.offset,
                timestamp_ms: message.timestamp_ms,
                key: message.key.map(|key| self.append(key)),
                payload: message.payload.map(|payload| self.append(payload)),
            };
            self.places.push(place);
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// After the last message.
    pub(super) fn end(&self) -> Option<i64> {
        self.places.last().map(|place| place.offset + 1)
    }

    /// Each with its message's timestamp.
    fn payloads(&self) -> impl ExactSizeIterator<Item = (&[u8], Option<EventTime>)> {
        let places = self.places.iter();
        places.map(|place| {
            let payload = self.part(&place.payload).unwrap_or_default();
            (payload, place.timestamp_ms.map(EventTime))
        })
    }

    fn part(&self, range: &Option<Range<usize>>) -> Option<&[u8]> {
        range.clone().map(|range| &self.bytes[range])
    }

    fn message(&self, place: &Place) -> Message<'_> {
        Message {
            offset: place.offset,
            timestamp_ms: place.timestamp_ms,
            key: self.part(&place.key),
            payload: self.part(&place.payload),
        }
    }
}

impl Batch {
    pub(super) fn new(from: i64, copied: Copied, together: Option<Arc<Together>>) -> Batch {
        Batch {
            from,
            to: copied.end().unwrap_or(from),
            cell: Cell::new(copied, |copied| {
                let together = together.as_ref()?;
                Some(together.decode(copied.payloads()))
            }),
            together,
        }
    }

    /// About how much memory it takes, bytes.
    pub(super) fn bytes(&self) -> usize {
        let copied = self.cell.borrow_owner();
        let decoded = self.cell.borrow_dependent().as_ref();
        copied.bytes.len() + size_of_val(&*copied.places) + decoded.map_or(0, Decoded::bytes)
    }

    /// Its memory, for another one.
    pub(super) fn into_copied(self) -> Copied {
        self.cell.into_owner()
    }
}

/// The rest of a batch, as one job is to take it.
pub struct Portion<'b> {
    batch: &'b Batch,
    /// Offsets before this one are not meant.
    from: i64,
    /// By what the job is known to those that decode together.
    key: u64,
    is_of_another: bool,
}

impl<'b> Portion<'b> {
    /// What the job's own client has read.
    pub(super) fn own(batch: &'b Batch, from: i64, key: u64) -> Portion<'b> {
        Portion {
            batch,
            from,
            key,
            is_of_another: false,
        }
    }

    /// What another one's has.
    pub(super) fn of_another(batch: &'b Batch, from: i64, key: u64) -> Portion<'b> {
        Portion {
            is_of_another: true,
            ..Portion::own(batch, from, key)
        }
    }

    /// Whether another job of the process has read it.
    pub fn is_of_another(&self) -> bool {
        self.is_of_another
    }

    /// How many messages.
    pub fn count(&self) -> usize {
        let places = &self.batch.cell.borrow_owner().places;
        places.len() - places.partition_point(|place| place.offset < self.from)
    }

    /// Its messages, each with what has been decoded of it for this job.
    pub fn messages(&self) -> impl Iterator<Item = (Message<'b>, Option<Given<'b>>)> + 'b {
        let copied = self.batch.cell.borrow_owner();
        let together = self.batch.together.as_deref();
        let table = together.and_then(|together| Some((together, together.table(self.key)?)));
        let decoded = self.batch.cell.borrow_dependent().as_ref();
        let first = copied
            .places
            .partition_point(|place| place.offset < self.from);
        let places = copied.places.iter().enumerate().skip(first);
        places.map(move |(n, place)| {
            let given = match (table, decoded) {
                (Some((together, table)), Some(decoded)) => together.given(decoded, n, table),
                _ => None,
            };
            (copied.message(place), given)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_what_it_was_made_of_from_any_offset_on() {
        let message = |offset: i64, key: Option<&'static [u8]>, payload| Message {
            offset,
            timestamp_ms: (offset > 3).then_some(offset * 1000),
            key,
            payload,
        };
        let messages = [
            message(3, Some(b"k"), None),
            message(4, None, Some(&b"{\"a\": 1}"[..])),
            message(9, Some(b""), Some(b"")),
        ];
        let mut copied = Copied::default();
        for _ in 0..2 {
            copied.fill(&mut messages.into_iter());
        }
        let batch = Batch::new(2, copied, None);
        assert_eq!((batch.from, batch.to), (2, 10));
        for from in 0..12 {
            let portion = Portion::own(&batch, from, 1);
            let given: Vec<Message<'_>> = portion.messages().map(|(message, _)| message).collect();
            let expected = messages.iter().filter(|message| message.offset >= from);
            assert_eq!(portion.count(), given.len());
            assert_eq!(given, expected.copied().collect::<Vec<_>>());
        }
    }
}
