//! The doors of the engine behind one interface: a message in, the door's answers to the voice.
#![allow(
    clippy::disallowed_methods,
    reason = "how long judging took is told to a person only"
)]

use super::answers::{
    answer_fused, answer_gather, answer_judge, answer_keyed, answer_project, answer_rollup, refuse,
};
use super::meter::{Meter, Work};
use super::plan::{Plan, StageKind};
use super::range::Side;
use super::voice::{Next, Voice};
use crate::decode::Decoder;
use crate::decode::together::Given;
use crate::engine::event::{Event, Rejection};
use crate::engine::gatherer::{self, Gatherer};
use crate::engine::judge::{self, Judge};
use crate::engine::ordered::{self, Ordered};
use crate::engine::pipeline::{self, Keyed, KeyedOutput, Pipeline};
use crate::engine::projector::Projector;
use crate::engine::rollup::{self, Rollup};
use crate::engine::snapshot::{Frozen, RestoreError, Snapshot};
use crate::engine::wire::{Heard, InputId, StageMessage, WireError};
use crate::runtime::log::{Message, TopicPartition};
use crate::time::{BucketStart, EventTime, Finality};
use std::sync::Arc;
use std::time::Instant;

/// What the shell has to hear of a message beyond the door's answers.
#[derive(Debug)]
pub(super) enum Note {
    Rejected(Rejection),
    Unreadable(String),
    /// A message of a later build: not to be passed over.
    Newer(String),
    Late {
        events: u64,
    },
    /// An event lies so far after a replay's range that nothing of it can follow.
    BeyondRange,
}

/// A door, with the decoder where it reads events.
pub(super) enum Stage {
    Fused(Box<Decoder>, Box<Pipeline>),
    Keyed(Box<Decoder>, Box<Keyed>),
    Gather(Box<Decoder>, Box<Gatherer>),
    Project(Box<Decoder>, Box<Projector>),
    Order(Box<Ordered>),
    Judge(Box<Judge>),
    Rollup(Box<Rollup>),
}

impl Stage {
    /// A door that has seen nothing; `speakers` are those that it waits for.
    pub(super) fn fresh(
        kind: StageKind,
        plan: &Plan,
        at: &TopicPartition,
        speakers: Vec<InputId>,
    ) -> Stage {
        let job = Arc::clone(&plan.job);
        let decoder = || Box::new(Decoder::new(&plan.job));
        match kind {
            StageKind::Fused => Stage::Fused(decoder(), Box::new(Pipeline::new(job))),
            StageKind::Keyed => {
                let input = InputId(at.to_string());
                let keyed = Keyed::new(job, input).among(plan.judges());
                Stage::Keyed(decoder(), Box::new(keyed))
            }
            StageKind::Gather => Stage::Gather(decoder(), Box::new(Gatherer::new(job))),
            StageKind::Project => Stage::Project(decoder(), Box::new(Projector::new(job))),
            StageKind::Order => Stage::Order(Box::new(Ordered::new(job, speakers))),
            StageKind::Judge => {
                let shard = at.partition as u16;
                let judge = Judge::new(job, shard, speakers).among(plan.judges());
                Stage::Judge(Box::new(judge))
            }
            StageKind::Rollup => Stage::Rollup(Box::new(Rollup::new(job, speakers))),
        }
    }

    /// A door that goes on where `snapshot` was taken.
    pub(super) fn restore(
        kind: StageKind,
        plan: &Plan,
        snapshot: &Snapshot,
    ) -> Result<Stage, RestoreError> {
        let job = Arc::clone(&plan.job);
        let decoder = || Box::new(Decoder::new(&plan.job));
        Ok(match kind {
            StageKind::Fused => {
                Stage::Fused(decoder(), Box::new(Pipeline::restore(job, snapshot)?))
            }
            StageKind::Keyed => {
                let keyed = Keyed::restore(job, snapshot)?.among(plan.judges());
                Stage::Keyed(decoder(), Box::new(keyed))
            }
            StageKind::Gather => {
                Stage::Gather(decoder(), Box::new(Gatherer::restore(job, snapshot)?))
            }
            StageKind::Project => {
                Stage::Project(decoder(), Box::new(Projector::restore(job, snapshot)?))
            }
            StageKind::Order => Stage::Order(Box::new(Ordered::restore(job, snapshot)?)),
            StageKind::Judge => {
                let judge = Judge::restore(job, snapshot)?.among(plan.judges());
                Stage::Judge(Box::new(judge))
            }
            StageKind::Rollup => Stage::Rollup(Box::new(Rollup::restore(job, snapshot)?)),
        })
    }

    pub(super) fn freeze(&self) -> Frozen {
        match self {
            Stage::Fused(_, pipeline) => pipeline.freeze(),
            Stage::Keyed(_, keyed) => keyed.freeze(),
            Stage::Gather(_, gatherer) => gatherer.freeze(),
            Stage::Project(_, projector) => projector.freeze(),
            Stage::Order(ordered) => ordered.freeze(),
            Stage::Judge(judge) => judge.freeze(),
            Stage::Rollup(rollup) => rollup.freeze(),
        }
    }

    /// The watermark of an input partition; `None` for judges and rollups, and before the first event.
    pub(super) fn watermark(&self) -> Option<EventTime> {
        match self {
            Stage::Fused(_, pipeline) => pipeline.watermark(),
            Stage::Keyed(_, keyed) => keyed.watermark(),
            Stage::Gather(_, gatherer) => gatherer.watermark(),
            Stage::Project(_, projector) => projector.watermark(),
            Stage::Order(_) | Stage::Judge(_) | Stage::Rollup(_) => None,
        }
    }

    /// Series that its judge has let go so far.
    pub(super) fn pruned_series(&self) -> u64 {
        match self {
            Stage::Fused(_, pipeline) => pipeline.pruned_series(),
            Stage::Keyed(_, keyed) => keyed.pruned_series(),
            Stage::Judge(judge) => judge.pruned_series(),
            Stage::Order(ordered) => ordered.pruned_series(),
            Stage::Gather(..) | Stage::Project(..) | Stage::Rollup(_) => 0,
        }
    }

    /// How many events the job's query has passed over since this door was made.
    pub(super) fn passed_over(&self) -> u64 {
        match self {
            Stage::Fused(_, pipeline) => pipeline.passed_over(),
            Stage::Keyed(_, keyed) => keyed.passed_over(),
            Stage::Gather(_, gatherer) => gatherer.passed_over(),
            Stage::Project(_, projector) => projector.passed_over(),
            Stage::Order(_) | Stage::Judge(_) | Stage::Rollup(_) => 0,
        }
    }

    /// Hands a message over. Returns whether there may be something new to say of an open bucket: whether an event was in it, where events are read.
    pub(super) fn message(
        &mut self,
        plan: &Plan,
        (message, given): (&Message<'_>, Option<Given<'_>>),
        voice: &mut Voice,
        meter: &mut Meter,
        note: &mut dyn FnMut(Note),
    ) -> bool {
        let mut has_event = false;
        match self {
            Stage::Fused(decoder, pipeline) => decode(decoder, message, given, &mut |decoded| {
                has_event |= decoded.is_ok();
                if is_outside(plan, &decoded, note) {
                    return;
                }
                let began = begin(meter, &decoded, pipeline.watermark());
                let outputs = pipeline.handle(offer(&decoded));
                meter.judged(
                    began,
                    outputs.iter().filter_map(|output| match output {
                        pipeline::Output::Closed(bucket) => {
                            Some((bucket.start, bucket.event_count))
                        }
                        _ => None,
                    }),
                );
                refuse(decoded.err(), message, voice, note);
                answer_fused(outputs, Some(message), voice, note);
            }),
            Stage::Keyed(decoder, keyed) => decode(decoder, message, given, &mut |decoded| {
                has_event |= decoded.is_ok();
                if is_outside(plan, &decoded, note) {
                    return;
                }
                let began = begin(meter, &decoded, keyed.watermark());
                let outputs = keyed.handle(offer(&decoded));
                meter.judged(
                    began,
                    outputs.iter().filter_map(|output| match output {
                        KeyedOutput::Partial(bucket) => Some((bucket.start, bucket.event_count)),
                        _ => None,
                    }),
                );
                refuse(decoded.err(), message, voice, note);
                answer_keyed(outputs, Some(message), voice, note);
            }),
            Stage::Gather(decoder, gatherer) => decode(decoder, message, given, &mut |decoded| {
                has_event |= decoded.is_ok();
                if is_outside(plan, &decoded, note) {
                    return;
                }
                let began = begin(meter, &decoded, gatherer.watermark());
                let outputs = gatherer.handle(offer(&decoded));
                meter.worked(
                    Work::Close,
                    began,
                    outputs.iter().filter_map(|output| match output {
                        gatherer::Output::Closed(bucket) => {
                            Some((bucket.start, bucket.event_count))
                        }
                        _ => None,
                    }),
                );
                refuse(decoded.err(), message, voice, note);
                answer_gather(outputs, Some(message), voice, note);
            }),
            Stage::Project(decoder, projector) => decode(decoder, message, given, &mut |decoded| {
                has_event |= decoded.is_ok();
                if is_outside(plan, &decoded, note) {
                    return;
                }
                begin(meter, &decoded, projector.watermark());
                let outputs = projector.handle(offer(&decoded));
                refuse(decoded.err(), message, voice, note);
                answer_project(outputs, Some(message), voice, note);
            }),
            Stage::Order(_) | Stage::Judge(_) | Stage::Rollup(_) => {
                let Some(from) = Voice::speaker(plan, message) else {
                    return false; // of another lineage
                };
                let heard = self.read(&from, message.payload.unwrap_or_default());
                match heard.error {
                    Some(error @ WireError::Newer { .. }) => note(Note::Newer(error.to_string())),
                    Some(error) => note(Note::Unreadable(error.to_string())),
                    None => {}
                }
                if let Some(word) = heard.message {
                    let is_interim = is_interim(&word);
                    self.heard(from, word, voice, meter, note);
                    return is_interim;
                }
            }
        }
        has_event
    }

    /// What another stage says with these bytes.
    fn read(&mut self, from: &InputId, bytes: &[u8]) -> Heard {
        match self {
            Stage::Order(ordered) => ordered.read(from, bytes),
            Stage::Judge(judge) => judge.read(from, bytes),
            Stage::Rollup(rollup) => rollup.read(from, bytes),
            // Nobody speaks to those that read events.
            Stage::Fused(..) | Stage::Keyed(..) | Stage::Gather(..) | Stage::Project(..) => {
                StageMessage::decode(bytes).into()
            }
        }
    }

    fn heard(
        &mut self,
        from: InputId,
        word: StageMessage,
        voice: &mut Voice,
        meter: &mut Meter,
        note: &mut dyn FnMut(Note),
    ) {
        match self {
            Stage::Judge(judge) => {
                let input = match word {
                    StageMessage::Closed(bucket) => judge::Input::Closed { from, bucket },
                    StageMessage::Watermark(until) => judge::Input::Watermark { from, until },
                    StageMessage::Idle(open) => judge::Input::Idle { from, open },
                    StageMessage::Late(bucket) => judge::Input::Late { from, bucket },
                    StageMessage::Awake => judge::Input::Awake { from },
                    StageMessage::Partial(_)
                    | StageMessage::IdleKeyed(_)
                    | StageMessage::Revised(_)
                    | StageMessage::Events(_) => {
                        return note(Note::Unreadable(
                            "a partial bucket or events, for a judge".to_owned(),
                        ));
                    }
                };
                let began = Some(Instant::now());
                let outputs = judge.handle(input);
                meter.judged(
                    began,
                    outputs.iter().filter_map(|output| match output {
                        judge::Output::Partial(bucket) => Some((bucket.start, bucket.event_count)),
                        _ => None,
                    }),
                );
                answer_judge(outputs, voice, note);
            }
            Stage::Order(ordered) => {
                let input = match word {
                    StageMessage::Events(batch) => ordered::Input::Events { from, batch },
                    StageMessage::Watermark(until) => ordered::Input::Watermark { from, until },
                    StageMessage::Idle(_) => ordered::Input::Idle { from },
                    StageMessage::Awake => ordered::Input::Awake { from },
                    _ => return note(Note::Unreadable("a bucket, where events go".to_owned())),
                };
                let began = Some(Instant::now());
                let outputs = ordered.handle(input);
                meter.judged(
                    began,
                    outputs.iter().filter_map(|output| match output {
                        pipeline::Output::Closed(bucket) => {
                            Some((bucket.start, bucket.event_count))
                        }
                        _ => None,
                    }),
                );
                answer_fused(outputs, None, voice, note);
            }
            Stage::Rollup(rollup) => {
                let input = match word {
                    StageMessage::Partial(bucket) => rollup::Input::Partial { from, bucket },
                    StageMessage::Watermark(until) => rollup::Input::Watermark { from, until },
                    StageMessage::IdleKeyed(open) => rollup::Input::Idle { from, open },
                    StageMessage::Revised(bucket) => rollup::Input::Revised { from, bucket },
                    StageMessage::Awake => rollup::Input::Awake { from },
                    StageMessage::Closed(_)
                    | StageMessage::Idle(_)
                    | StageMessage::Late(_)
                    | StageMessage::Events(_) => {
                        return note(Note::Unreadable(
                            "a closed bucket, for the rollup".to_owned(),
                        ));
                    }
                };
                let began = meter.begin_step();
                let outputs = rollup.handle(input);
                meter.worked(
                    Work::RollUp,
                    began,
                    outputs.iter().filter_map(|output| match output {
                        rollup::Output::Closed(bucket) => Some((bucket.start, bucket.event_count)),
                        _ => None,
                    }),
                );
                answer_rollup(outputs, voice, note);
            }
            Stage::Fused(..) | Stage::Keyed(..) | Stage::Gather(..) | Stage::Project(..) => {}
        }
    }

    /// Says what the open bucket looks like so far.
    pub(super) fn flush_interim(&mut self, voice: &mut Voice) {
        let flush = || gatherer::Input::Flush(Finality::Interim);
        let mut ignore = |_: Note| {};
        match self {
            Stage::Fused(_, pipeline) => {
                answer_fused(pipeline.handle(flush()), None, voice, &mut ignore);
            }
            Stage::Keyed(_, keyed) => answer_keyed(keyed.handle(flush()), None, voice, &mut ignore),
            Stage::Gather(_, gatherer) => {
                answer_gather(gatherer.handle(flush()), None, voice, &mut ignore);
            }
            Stage::Project(..) => {}
            Stage::Order(ordered) => {
                let outputs = ordered.handle(ordered::Input::Flush(Finality::Interim));
                answer_fused(outputs, None, voice, &mut ignore);
            }
            Stage::Judge(judge) => {
                let outputs = judge.handle(judge::Input::Flush(Finality::Interim));
                answer_judge(outputs, voice, &mut ignore);
            }
            Stage::Rollup(rollup) => {
                answer_rollup(
                    rollup.handle(rollup::Input::Flush(Finality::Interim)),
                    voice,
                    &mut ignore,
                );
            }
        }
    }

    /// Lets the watermark of an input partition come to `until`, at least.
    pub(super) fn advance(&mut self, until: EventTime, voice: &mut Voice) {
        let advance = gatherer::Input::Advance(until);
        let mut ignore = |_: Note| {};
        match self {
            Stage::Fused(_, pipeline) => {
                answer_fused(pipeline.handle(advance), None, voice, &mut ignore);
            }
            Stage::Keyed(_, keyed) => {
                answer_keyed(keyed.handle(advance), None, voice, &mut ignore);
            }
            Stage::Gather(_, gatherer) => {
                answer_gather(gatherer.handle(advance), None, voice, &mut ignore);
            }
            Stage::Project(_, projector) => {
                answer_project(projector.handle(advance), None, voice, &mut ignore);
            }
            Stage::Order(_) | Stage::Judge(_) | Stage::Rollup(_) => {}
        }
    }

    /// Up to which instant a stage that writes results has closed every bucket.
    pub(super) fn closed_until(&self) -> Option<EventTime> {
        match self {
            Stage::Fused(_, pipeline) => pipeline.watermark(),
            Stage::Order(ordered) => ordered.watermark(),
            Stage::Rollup(rollup) => rollup.closed_until().map(BucketStart::time),
            Stage::Keyed(..) | Stage::Gather(..) | Stage::Project(..) | Stage::Judge(_) => None,
        }
    }

    /// Tells the next stage that this input partition is silent, and what its open buckets hold.
    pub(super) fn say_idle(&mut self, voice: &mut Voice, following: u32) {
        match self {
            Stage::Gather(_, gatherer) => voice.idle(gatherer.as_they_stand()),
            Stage::Keyed(_, keyed) => voice.idle_keyed(keyed.as_they_stand(following)),
            Stage::Project(..) => voice.idle(Vec::new()), // its events are gathered already
            Stage::Fused(..) | Stage::Order(_) | Stage::Judge(_) | Stage::Rollup(_) => {}
        }
    }

    /// Tells the next stage that this input partition speaks again, before any bucket of its has closed.
    pub(super) fn say_awake(&self, plan: &Plan, voice: &mut Voice) {
        if let (Some(next), Some(watermark)) = (self.next(), self.watermark()) {
            voice.watermark(plan.job.bucket_span.bucket_of(watermark), next);
        }
    }

    /// Whom an input speaks to.
    pub(super) fn next(&self) -> Option<Next> {
        match self {
            Stage::Gather(..) | Stage::Project(..) => Some(Next::Judges),
            Stage::Keyed(..) => Some(Next::Rollup),
            Stage::Fused(..) | Stage::Order(_) | Stage::Judge(_) | Stage::Rollup(_) => None,
        }
    }
}

fn is_interim(word: &StageMessage) -> bool {
    match word {
        StageMessage::Closed(bucket) => bucket.finality == Finality::Interim,
        StageMessage::Partial(bucket) => bucket.finality == Finality::Interim,
        StageMessage::Events(_) => true,
        StageMessage::Watermark(_)
        | StageMessage::Idle(_)
        | StageMessage::IdleKeyed(_)
        | StageMessage::Late(_)
        | StageMessage::Revised(_)
        | StageMessage::Awake => false,
    }
}

type Decoded<'a, 'b> = Result<&'a Event<'b>, Rejection>;

fn decode(
    decoder: &mut Decoder,
    message: &Message<'_>,
    given: Option<Given<'_>>,
    sink: &mut dyn FnMut(Decoded<'_, '_>),
) {
    let time = message.timestamp_ms.map(EventTime);
    match given {
        Some(given) => decoder.given(&given, time, sink),
        None => decoder.payload(message.payload.unwrap_or_default(), time, sink),
    }
}

fn begin(
    meter: &mut Meter,
    decoded: &Decoded<'_, '_>,
    watermark: Option<EventTime>,
) -> Option<Instant> {
    let event = decoded.as_ref().ok()?;
    meter.event(event.time, watermark)
}

/// Whether an event is none of a replay's range, and left alone.
#[inline]
fn is_outside(plan: &Plan, decoded: &Decoded<'_, '_>, note: &mut dyn FnMut(Note)) -> bool {
    let (Some(range), Ok(event)) = (plan.range, decoded) else {
        return false;
    };
    match range.side(event.time, plan.job.lateness) {
        Side::Within => return false,
        Side::Before | Side::JustAfter => {}
        Side::Beyond => note(Note::BeyondRange),
    }
    true
}

fn offer<'a>(decoded: &'a Decoded<'_, '_>) -> gatherer::Input<'a> {
    match decoded {
        Ok(event) => gatherer::Input::Event(event),
        Err(rejection) => gatherer::Input::Rejected(rejection),
    }
}
