//! Bytes → events: JSON and CSV, time texts, framing. Total on any input: what is not an event is a [`Rejection`].
use crate::config::Job;
use crate::engine::event::{Event, Rejection};
use crate::time::EventTime;

/// Decodes the payloads of one job's topics.
pub struct Decoder {}

impl Decoder {
    /// A decoder that materialises the job's fields and nothing else.
    pub fn new(_job: &Job) -> Decoder {
        Decoder {}
    }

    /// Decodes a message's payload (one JSON object, several one after another, or an array of them) and hands each event or
    /// rejection to `sink`. `message_time` (the Kafka record's timestamp) is the event time of jobs without a time field's value... and
    /// the reference for [`Reason::FarFuture`](crate::engine::event::Reason::FarFuture).
    pub fn payload(
        &mut self,
        _payload: &[u8],
        _message_time: Option<EventTime>,
        _sink: &mut dyn FnMut(Result<&Event<'_>, Rejection>),
    ) {
        todo!()
    }
}
