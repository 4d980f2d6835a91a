//! What doors answer, given to the voice of their task.

use super::stage::Note;
use super::voice::{Next, Voice};
use crate::engine::event::Rejection;
use crate::engine::pipeline::{self, KeyedOutput};
use crate::engine::{gatherer, judge, projector, rollup};
use crate::runtime::log::Message;

/// What a decoder has refused.
pub(super) fn refuse(
    rejection: Option<Rejection>,
    message: &Message<'_>,
    voice: &mut Voice,
    note: &mut dyn FnMut(Note),
) {
    if let Some(rejection) = rejection {
        voice.dead_letter(message, &rejection);
        note(Note::Rejected(rejection));
    }
}

/// A door rejects only what has just been handed over, never in a flush.
fn late(
    rejection: Rejection,
    message: Option<&Message<'_>>,
    voice: &mut Voice,
    note: &mut dyn FnMut(Note),
) {
    if let Some(message) = message {
        refuse(Some(rejection), message, voice, note);
    }
}

/// Of all doors in one, or of the one place of a job with categories.
pub(super) fn answer_fused(
    outputs: Vec<pipeline::Output>,
    message: Option<&Message<'_>>,
    voice: &mut Voice,
    note: &mut dyn FnMut(Note),
) {
    for output in outputs {
        match output {
            pipeline::Output::Rejected(rejection) => late(rejection, message, voice, note),
            pipeline::Output::Result(document) => voice.result(&document),
            pipeline::Output::Retract(document) => voice.retract(document),
            pipeline::Output::Closed(summary) => voice.bucket(summary),
            pipeline::Output::Revised(revision) => voice.re_opened(revision),
            pipeline::Output::Late { events } => note(Note::Late { events }),
        }
    }
}

/// Of gatherer and judge in one.
pub(super) fn answer_keyed(
    outputs: Vec<KeyedOutput>,
    message: Option<&Message<'_>>,
    voice: &mut Voice,
    note: &mut dyn FnMut(Note),
) {
    for output in outputs {
        match output {
            KeyedOutput::Rejected(rejection) => late(rejection, message, voice, note),
            KeyedOutput::Partial(bucket) => voice.partial(bucket),
            KeyedOutput::Revised(bucket) => voice.revised(bucket),
            KeyedOutput::Watermark(until) => voice.watermark(until, Next::Rollup),
            KeyedOutput::Late { events } => note(Note::Late { events }),
        }
    }
}

/// Of a gatherer.
pub(super) fn answer_gather(
    outputs: Vec<gatherer::Output>,
    message: Option<&Message<'_>>,
    voice: &mut Voice,
    note: &mut dyn FnMut(Note),
) {
    for output in outputs {
        match output {
            gatherer::Output::Rejected(rejection) => late(rejection, message, voice, note),
            gatherer::Output::Closed(bucket) => voice.closed(bucket),
            gatherer::Output::Late(bucket) => voice.late(bucket),
            gatherer::Output::Watermark(until) => {
                voice.watermark(until, Next::Judges);
            }
        }
    }
}

/// Of a projector.
pub(super) fn answer_project(
    outputs: Vec<projector::Output>,
    message: Option<&Message<'_>>,
    voice: &mut Voice,
    note: &mut dyn FnMut(Note),
) {
    for output in outputs {
        match output {
            projector::Output::Event(event) => voice.event(event),
            projector::Output::Refused(counts) => voice.refused(&counts),
            projector::Output::Rejected(rejection) => late(rejection, message, voice, note),
            projector::Output::Watermark(until) => voice.watermark(until, Next::Judges),
        }
    }
}

/// Of a judge.
pub(super) fn answer_judge(
    outputs: Vec<judge::Output>,
    voice: &mut Voice,
    note: &mut dyn FnMut(Note),
) {
    for output in outputs {
        match output {
            judge::Output::Partial(bucket) => voice.partial(bucket),
            judge::Output::Revised(bucket) => voice.revised(bucket),
            judge::Output::Watermark(until) => {
                voice.watermark(until, Next::Rollup);
            }
            judge::Output::Late { events } => note(Note::Late { events }),
        }
    }
}

/// Of the rollup.
pub(super) fn answer_rollup(
    outputs: Vec<rollup::Output>,
    voice: &mut Voice,
    note: &mut dyn FnMut(Note),
) {
    for output in outputs {
        match output {
            rollup::Output::Result(document) => voice.result(&document),
            rollup::Output::Retract(document) => voice.retract(document),
            rollup::Output::Closed(summary) => voice.bucket(summary),
            rollup::Output::Revised(revision) => voice.re_opened(revision),
            rollup::Output::Late { events } => note(Note::Late { events }),
        }
    }
}
