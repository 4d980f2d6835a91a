//! One partition in memory: messages with their offsets, open and aborted transactions, compaction, retention.
//!
//! Holds: offsets strictly grow and are never given twice; a message that is not committed is never readable, and neither is anything after
//! the first message of a transaction still open (Kafka's last stable offset). Markers of transactions take offsets, as they do in Kafka.

use super::super::Place;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A message as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the partition.
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<(&'static str, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visibility {
    Committed,
    Open(u64),
    Aborted,
    Marker,
}

#[derive(Debug, Default)]
pub(super) struct Partition {
    entries: Vec<(Visibility, Arc<Stored>)>,
    start: i64,
    next: i64,
    open: BTreeSet<(i64, u64)>,
}

impl Partition {
    /// Appends a message, readable at once or (with a transaction's number) when that transaction commits. Returns its offset.
    pub(super) fn append(&mut self, mut message: Stored, transaction: Option<u64>) -> i64 {
        let offset = self.next;
        message.offset = offset;
        let visibility = match transaction {
            Some(number) => {
                if !self.open.iter().any(|&(_, open)| open == number) {
                    self.open.insert((offset, number));
                }
                Visibility::Open(number)
            }
            None => Visibility::Committed,
        };
        self.entries.push((visibility, Arc::new(message)));
        self.next += 1;
        offset
    }

    /// Ends a transaction: its messages become readable, or never will be. Writes a marker where it had written.
    pub(super) fn end(&mut self, transaction: u64, committed: bool) {
        let Some(&(first, _)) = self.open.iter().find(|&&(_, open)| open == transaction) else {
            return;
        };
        self.open.remove(&(first, transaction));
        let end = if committed {
            Visibility::Committed
        } else {
            Visibility::Aborted
        };
        let from = self.index_of(first);
        for (visibility, _) in &mut self.entries[from..] {
            if *visibility == Visibility::Open(transaction) {
                *visibility = end;
            }
        }
        let marker = Stored {
            offset: self.next,
            timestamp_ms: None,
            key: None,
            payload: None,
            headers: Vec::new(),
        };
        self.entries.push((Visibility::Marker, Arc::new(marker)));
        self.next += 1;
    }

    /// The oldest offset still held.
    pub(super) fn start(&self) -> i64 {
        self.start
    }

    /// The offset that the next message will get.
    pub(super) fn next(&self) -> i64 {
        self.next
    }

    /// The offset of a place. Markers of transactions have no timestamp and are never the answer.
    pub(super) fn offset_of(&self, place: Place) -> i64 {
        let since_ms = match place {
            Place::Start => return self.start,
            Place::End => return self.next,
            Place::Time(since_ms) => since_ms,
        };
        let found = self
            .entries
            .iter()
            .find(|(_, message)| message.timestamp_ms.is_some_and(|ms| ms >= since_ms));
        found.map_or(self.next, |(_, message)| message.offset)
    }

    /// Where readers of committed messages stop: the first message of the oldest open transaction, or the end.
    pub(super) fn readable_end(&self) -> i64 {
        self.open.first().map_or(self.next, |&(first, _)| first)
    }

    /// Readable messages from `from`, at most `max` of them, and the offset to go on from.
    pub(super) fn readable(&self, from: i64, max: usize) -> (Vec<Arc<Stored>>, i64) {
        let end = self.readable_end();
        let mut messages = Vec::new();
        for (visibility, message) in &self.entries[self.index_of(from)..] {
            if message.offset >= end {
                break;
            }
            if *visibility == Visibility::Committed {
                if messages.len() == max {
                    return (messages, message.offset);
                }
                messages.push(Arc::clone(message));
            }
        }
        (messages, end.max(from))
    }

    /// Retention: forgets everything before `start`.
    pub(super) fn truncate(&mut self, start: i64) {
        self.start = start.clamp(self.start, self.readable_end());
        let at = self.index_of(self.start);
        self.entries.drain(..at);
    }

    /// Compaction: forgets every committed message whose key occurs again later; offsets stay.
    pub(super) fn compact(&mut self) {
        let mut seen = BTreeSet::new();
        let mut kept: Vec<_> = std::mem::take(&mut self.entries)
            .into_iter()
            .rev()
            .filter(|(visibility, message)| match (visibility, &message.key) {
                (Visibility::Committed, Some(key)) => seen.insert(key.clone()),
                (Visibility::Aborted, _) => false,
                _ => true,
            })
            .collect();
        kept.reverse();
        self.entries = kept;
    }

    fn index_of(&self, offset: i64) -> usize {
        self.entries
            .partition_point(|(_, message)| message.offset < offset)
    }
}
