//! What a job's results have to be: those of the engine's doors at rest.
//!
//! As a rule of one [`Pipeline`] that is told everything in the order of its sending. Where the layout itself is part of what is to be said, of the doors of that layout,
//! each told what its partition holds: where a topic is keyed in word only, every pair has models of its own for a stray value; where late events re-open results,
//! which events are late is a partition's own affair; and where events of several partitions are gathered in one order, that order is the internal topic's: whatever
//! has happened, it holds the events of every partition once, as its projector says them, and what follows from it is told by the door that reads it.

use super::feed::{Feed, Sent, TOPIC};
use super::world::names;
use std::sync::Arc;
use tidewatch::config::Job;
use tidewatch::decode::Decoder;
use tidewatch::engine::event::{Event, Rejection};
use tidewatch::engine::gatherer::{self, Gatherer};
use tidewatch::engine::judge::{self, Judge};
use tidewatch::engine::ordered::{self, Ordered};
use tidewatch::engine::pipeline::{Keyed, KeyedOutput, Output, Pipeline};
use tidewatch::engine::projector::{self, Projector};
use tidewatch::engine::rollup::{self, Rollup};
use tidewatch::engine::wire::{InputId, StageMessage};
use tidewatch::runtime::log::memory::Cluster;

/// Whose word counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doors {
    Pipeline,
    Keyed,
    Staged,
    Ordered,
}

impl Doors {
    pub(crate) fn of(feed: &Feed, job: &Job) -> Doors {
        let is_keyed = job.extensions.keyed_by_partition_field;
        match () {
            () if feed.partitions == 1 => Doors::Pipeline,
            () if job.categorization.is_some() => Doors::Ordered,
            () if is_keyed && (feed.is_revised || !feed.is_keyed) => Doors::Keyed,
            () if feed.is_revised => Doors::Staged,
            () => Doors::Pipeline,
        }
    }

    /// Whether when late events come shows in what is said before the last word: partitions are read at different speeds.
    pub(crate) fn has_last_words_only(self, feed: &Feed) -> bool {
        feed.is_revised && matches!(self, Doors::Keyed | Doors::Staged)
    }
}

/// Everything that has to be said, in order.
pub(crate) fn each_output(
    feed: &Feed,
    job: &Arc<Job>,
    cluster: &Cluster,
    sink: &mut dyn FnMut(Output),
) {
    match Doors::of(feed, job) {
        Doors::Pipeline => {
            let mut pipeline = Pipeline::new(Arc::clone(job));
            let sent = feed.sent.iter().chain(&feed.closing);
            decoded(job, sent, &mut |decoded| {
                pipeline
                    .handle(offer(&decoded))
                    .into_iter()
                    .for_each(&mut *sink);
            });
        }
        Doors::Keyed => keyed(feed, job, sink),
        Doors::Staged => staged(feed, job, sink),
        Doors::Ordered => ordered(feed, job, cluster, sink),
    }
}

fn decoded<'s>(
    job: &Job,
    sent: impl Iterator<Item = &'s Sent>,
    take: &mut dyn FnMut(Result<Event<'_>, Rejection>),
) {
    let mut decoder = Decoder::new(job);
    for sent in sent {
        let time = Some(tidewatch::time::EventTime(sent.timestamp_ms));
        decoder.payload(&sent.payload, time, &mut |decoded| take(decoded.copied()));
    }
}

fn offer<'e>(decoded: &'e Result<Event<'e>, Rejection>) -> gatherer::Input<'e> {
    match decoded {
        Ok(event) => gatherer::Input::Event(event),
        Err(rejection) => gatherer::Input::Rejected(rejection),
    }
}

fn inputs(feed: &Feed) -> Vec<InputId> {
    let input = |partition| InputId(format!("{TOPIC}/{partition}"));
    (0..feed.partitions).map(input).collect()
}

/// What a partition holds in the end.
fn of_partition(feed: &Feed, partition: usize) -> impl Iterator<Item = &Sent> {
    let all = feed.sent.iter().chain(&feed.closing);
    all.filter(move |sent| sent.partition as usize == partition)
}

/// Everything that is said by some, each in its own order: one word of each in turn.
fn in_turns<T>(queues: Vec<Vec<T>>, mut hear: impl FnMut(usize, T)) {
    let mut queues: Vec<_> = queues.into_iter().map(Vec::into_iter).collect();
    loop {
        let mut spoke = false;
        for (from, queue) in queues.iter_mut().enumerate() {
            if let Some(word) = queue.next() {
                hear(from, word);
                spoke = true;
            }
        }
        if !spoke {
            return;
        }
    }
}

fn keyed(feed: &Feed, job: &Arc<Job>, sink: &mut dyn FnMut(Output)) {
    let ids = inputs(feed);
    let queues = ids.iter().enumerate().map(|(partition, id)| {
        let mut pair = Keyed::new(Arc::clone(job), id.clone()).among(feed.partitions as u16);
        let mut words = Vec::new();
        decoded(job, of_partition(feed, partition), &mut |decoded| {
            words.extend(pair.handle(offer(&decoded)));
        });
        words
    });
    let queues: Vec<Vec<KeyedOutput>> = queues.collect();
    let mut rollup = Rollup::new(Arc::clone(job), ids.clone());
    let mut hear = |input| {
        rollup
            .handle(input)
            .into_iter()
            .map(Output::from)
            .for_each(&mut *sink)
    };
    let silent = (0..ids.len()).filter(|&from| queues[from].is_empty());
    for from in silent {
        let open = Vec::new();
        hear(rollup::Input::Idle {
            from: ids[from].clone(),
            open,
        });
    }
    in_turns(queues, |from, word| {
        let from = ids[from].clone();
        hear(match word {
            KeyedOutput::Partial(bucket) => rollup::Input::Partial { from, bucket },
            KeyedOutput::Revised(bucket) => rollup::Input::Revised { from, bucket },
            KeyedOutput::Watermark(until) => rollup::Input::Watermark { from, until },
            KeyedOutput::Rejected(_) => return,
            KeyedOutput::Late { events } => panic!("{events} late"),
        });
    });
}

/// One judge: how many there are does not show.
fn staged(feed: &Feed, job: &Arc<Job>, sink: &mut dyn FnMut(Output)) {
    let ids = inputs(feed);
    let queues = (0..ids.len()).map(|partition| {
        let mut gatherer = Gatherer::new(Arc::clone(job));
        let mut words = Vec::new();
        decoded(job, of_partition(feed, partition), &mut |decoded| {
            words.extend(gatherer.handle(offer(&decoded)));
        });
        words
    });
    let queues: Vec<Vec<gatherer::Output>> = queues.collect();
    let shard = InputId("shard/0".to_owned());
    let mut judge = Judge::new(Arc::clone(job), 0, ids.clone());
    let mut rollup = Rollup::new(Arc::clone(job), vec![shard.clone()]);
    let mut hear = |input| {
        for said in judge.handle(input) {
            let from = shard.clone();
            let input = match said {
                judge::Output::Partial(bucket) => rollup::Input::Partial { from, bucket },
                judge::Output::Revised(bucket) => rollup::Input::Revised { from, bucket },
                judge::Output::Watermark(until) => rollup::Input::Watermark { from, until },
                judge::Output::Late { events } => panic!("{events} late"),
            };
            rollup
                .handle(input)
                .into_iter()
                .map(Output::from)
                .for_each(&mut *sink);
        }
    };
    let silent = (0..ids.len()).filter(|&from| queues[from].is_empty());
    for from in silent {
        let open = Vec::new();
        hear(judge::Input::Idle {
            from: ids[from].clone(),
            open,
        });
    }
    in_turns(queues, |from, word| {
        let from = ids[from].clone();
        hear(match word {
            gatherer::Output::Closed(bucket) => judge::Input::Closed { from, bucket },
            gatherer::Output::Late(bucket) => judge::Input::Late { from, bucket },
            gatherer::Output::Watermark(until) => judge::Input::Watermark { from, until },
            gatherer::Output::Rejected(_) => return,
        });
    });
}

fn ordered(feed: &Feed, job: &Arc<Job>, cluster: &Cluster, sink: &mut dyn FnMut(Output)) {
    let ids = inputs(feed);
    let mut told = vec![Vec::new(); ids.len()];
    let mut door = Ordered::new(Arc::clone(job), ids.clone());
    for message in cluster.committed(&names().closed(&job.id)) {
        let key = String::from_utf8(message.key.clone().expect("a speaker")).expect("text");
        let (_, speaker) = key.split_once(' ').expect("a lineage and a speaker");
        let from = InputId(speaker.to_owned());
        let at = ids
            .iter()
            .position(|id| *id == from)
            .expect("a partition of the topic");
        let bytes = message.payload.as_deref().unwrap_or_default();
        let heard = door.read(&from, bytes);
        assert_eq!(heard.error, None, "a stage's message");
        let Some(word) = heard.message else {
            continue; // a piece
        };
        let input = match word {
            StageMessage::Events(batch) => {
                told[at].extend(batch.events.iter().cloned());
                ordered::Input::Events { from, batch }
            }
            StageMessage::Watermark(until) => ordered::Input::Watermark { from, until },
            StageMessage::Idle(_) => ordered::Input::Idle { from },
            StageMessage::Awake => ordered::Input::Awake { from },
            other => panic!("{other:?}"),
        };
        door.handle(input).into_iter().for_each(&mut *sink);
    }
    for (partition, told) in told.into_iter().enumerate() {
        let mut projector = Projector::new(Arc::clone(job));
        let mut events = Vec::new();
        decoded(job, of_partition(feed, partition), &mut |decoded| {
            for said in projector.handle(offer(&decoded)) {
                if let projector::Output::Event(event) = said {
                    events.push(event);
                }
            }
        });
        assert!(
            told == events,
            "{}: each event of a partition once, in its order",
            ids[partition].0
        );
    }
}
