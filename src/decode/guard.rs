//! One bad clock must not close the future, in files too.
//!
//! Events of files have no message timestamp to compare with. So an event that jumps ahead of the newest time so far (by more than the job's
//! `max_future_skew`, more than [`BUCKETS_MAX`] buckets, and more than any jump that proved true) is held back until the next one.
//! If that has jumped too, there was a gap in the data, and both go on in order; if not, or if it jumped much less far, the held one is
//! far future. The first event is never held. One that is held when the input ends has nobody to confirm it: far future.
//! Works on event times alone, so that a replay decides alike.

use super::input::Item;
use super::window::Origin;
use crate::config::Job;
use crate::engine::event::{Event, Reason, Rejection, Value};
use crate::time::EventTime;
use std::borrow::Cow;
use std::ops::ControlFlow;

/// A jump is at least this many buckets.
const BUCKETS_MAX: i64 = 1000;

/// Receives what passes.
pub(super) type Sink<'s> = dyn FnMut(Item<'_>) -> ControlFlow<()> + 's;

/// What has been seen of the times.
#[derive(Debug)]
pub(super) struct Guard {
    /// The longest step ahead that needs no witness, milliseconds.
    step_ms_max: i64,
    newest: Option<EventTime>,
    held: Option<Held>,
}

/// An event with everything it borrowed.
#[derive(Debug)]
struct Held {
    time: EventTime,
    values: Vec<Value<'static>>,
    raw_bytes: u32,
    raw_fields: u32,
    raw: Vec<u8>,
    file: String,
    line: u64,
}

impl Guard {
    pub(super) fn new(job: &Job) -> Guard {
        Guard {
            step_ms_max: job
                .extensions
                .max_future_skew_ms
                .max(BUCKETS_MAX * job.bucket_span.millis()),
            newest: None,
            held: None,
        }
    }

    /// Lets the event through, or holds it; the one that was held goes first, as an event or as a rejection.
    #[inline]
    pub(super) fn admit(
        &mut self,
        event: &Event<'_>,
        raw: &[u8],
        origin: Origin<'_>,
        sink: &mut Sink<'_>,
    ) -> ControlFlow<()> {
        if self.held.is_some() {
            self.settle(event.time, sink)?;
        }
        if self.jumps(self.newest, event.time) {
            self.held = Some(Held::new(event, raw, origin));
            return ControlFlow::Continue(());
        }
        self.newest = self.newest.max(Some(event.time));
        sink(Item::Event { event, raw, origin })
    }

    /// The input has ended.
    pub(super) fn finish(&mut self, sink: &mut Sink<'_>) -> ControlFlow<()> {
        match self.held.take() {
            Some(held) => sink(held.rejected(self.newest)),
            None => ControlFlow::Continue(()),
        }
    }

    #[inline]
    fn jumps(&self, from: Option<EventTime>, to: EventTime) -> bool {
        from.is_some_and(|from| to.0.saturating_sub(from.0) > self.step_ms_max)
    }

    /// Decides about the held event, now that the next one's time is known.
    #[cold]
    fn settle(&mut self, next: EventTime, sink: &mut Sink<'_>) -> ControlFlow<()> {
        let Some(held) = self.held.take() else {
            return ControlFlow::Continue(());
        };
        if !self.jumps(self.newest, next) || self.jumps(Some(next), held.time) {
            return sink(held.rejected(self.newest));
        }
        if let Some(newest) = self.newest {
            self.step_ms_max = self.step_ms_max.max(held.time.0 - newest.0);
        }
        self.newest = Some(held.time);
        let event = Event {
            time: held.time,
            values: &held.values,
            raw_bytes: held.raw_bytes,
            raw_fields: held.raw_fields,
        };
        sink(Item::Event {
            event: &event,
            raw: &held.raw,
            origin: Origin::new(&held.file, held.line),
        })
    }
}

impl Held {
    fn new(event: &Event<'_>, raw: &[u8], origin: Origin<'_>) -> Held {
        Held {
            time: event.time,
            values: event.values.iter().map(owned).collect(),
            raw_bytes: event.raw_bytes,
            raw_fields: event.raw_fields,
            raw: raw.to_vec(),
            file: origin.file().into(),
            line: origin.line(),
        }
    }

    fn rejected(&self, newest: Option<EventTime>) -> Item<'_> {
        let origin = Origin::new(&self.file, self.line);
        let newest = newest.expect("the first event is never held");
        let detail = format!(
            "{origin}: {} is far ahead of {newest}, the newest before it, and the next event is not",
            self.time
        );
        Item::Rejected {
            rejection: Rejection {
                reason: Reason::FarFuture,
                detail,
                raw_bytes: self.raw_bytes,
            },
            raw: &self.raw,
            origin,
        }
    }
}

fn owned(value: &Value<'_>) -> Value<'static> {
    match value {
        Value::Missing => Value::Missing,
        Value::Bool(b) => Value::Bool(*b),
        Value::Int(i) => Value::Int(*i),
        Value::Float(x) => Value::Float(*x),
        Value::Text(text) => Value::Text(Cow::Owned(text.to_string())),
        Value::List(list) => Value::List(list.iter().map(owned).collect()),
    }
}
