//! What a dispatcher knows of one partition of the alerts topic: what goes on, what is still to be told, how far it has read.
//!
//! Of each incident one notice waits at the most, the latest. It stands for those before it that were not told: what one of them had to say is still
//! owed. Holds: [`Shelf::done_until`] never passes a notice that waits, so that whoever begins there hears of all of them.

use super::document::{AlertDocument, Status};
use crate::alert::{Change, Reason};
use std::collections::BTreeMap;

/// One partition.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    pub(super) committed: Option<i64>,
    /// The offset to read next.
    pub(super) next_offset: i64,
    /// What goes on, as it was last told or passed over, by incident.
    pub(super) active: BTreeMap<String, Active>,
    /// What has not been delivered, by incident.
    pub(super) waiting: BTreeMap<String, Waiting>,
    /// There is more than there was room for: it is to be read again from `next_offset` on.
    pub(super) overflow: bool,
}

/// An incident that goes on.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) document: AlertDocument,
    /// Whether the receiver has ever heard of it.
    pub(super) is_told: bool,
}

/// A notice that is to be delivered, or passed over.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Of the first notice that was not delivered.
    pub(super) first_offset: i64,
    pub(super) document: AlertDocument,
    /// Whether it, or one that it stands for, says more than that the incident is still on.
    pub(super) is_news: bool,
    /// How often its delivery has failed.
    pub(super) failures: u32,
}

impl Shelf {
    /// The latest word on an incident, and whether the receiver has been told it; it may have heard of the incident before.
    pub(super) fn note(&mut self, document: AlertDocument, is_told: bool) {
        let was_told = self.is_told(&document.incident_id);
        let is_told = is_told || was_told;
        match document.status {
            Status::Open => {
                let id = document.incident_id.clone();
                self.active.insert(id, Active { document, is_told });
            }
            Status::Resolved => drop(self.active.remove(&document.incident_id)),
        }
    }

    /// Whether the receiver has ever heard of an incident that goes on.
    pub(super) fn is_told(&self, id: &str) -> bool {
        self.active.get(id).is_some_and(|active| active.is_told)
    }

    /// A notice that was read at `offset`.
    pub(super) fn wait(&mut self, offset: i64, document: AlertDocument) {
        let is_news = document.reason != Reason::StillOn;
        match self.waiting.get_mut(&document.incident_id) {
            Some(waiting) => {
                waiting.document = document;
                waiting.is_news |= is_news;
            }
            None => {
                let id = document.incident_id.clone();
                let waiting = Waiting {
                    first_offset: offset,
                    document,
                    is_news,
                    failures: 0,
                };
                self.waiting.insert(id, waiting);
            }
        }
    }

    /// An incident is withdrawn, because its job was reset: no notice will tell its end, so this one does, as of `at_ms`.
    pub(super) fn withdraw(&mut self, offset: i64, id: &str, at_ms: Option<i64>) {
        let waiting = self.waiting.get(id).map(|waiting| &waiting.document);
        let active = self.active.get(id).map(|active| &active.document);
        let last = waiting.or(active);
        let Some(last) = last.filter(|last| last.status == Status::Open) else {
            return;
        };
        let ended_ms = at_ms.unwrap_or(last.timestamp);
        let end = AlertDocument {
            status: Status::Resolved,
            event: Change::Resolved,
            timestamp: ended_ms,
            previous_timestamp: Some(last.timestamp),
            ended_at: Some(ended_ms),
            ..last.clone()
        };
        self.wait(offset, end);
    }

    /// A notice waits no more: it was told, or passed over.
    pub(super) fn done(&mut self, id: &str, is_told: bool) {
        if let Some(waiting) = self.waiting.remove(id) {
            self.note(waiting.document, is_told);
        }
    }

    /// Everything before this offset is done with.
    pub(super) fn done_until(&self) -> i64 {
        let first = self
            .waiting
            .values()
            .map(|waiting| waiting.first_offset)
            .min();
        first.unwrap_or(self.next_offset)
    }
}
