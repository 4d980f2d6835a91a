//! How a task speaks: the doors' answers become messages, in an outbox that leaves with the task's position.
//!
//! Final results, dead letters and what one stage says to the next wait in the outbox for a transaction. Interim results need no such
//! care: they leave at once, at least once, to topics of their own. A muted voice says nothing (a replay: all of it has been said).
//!
//! Messages between stages leave in pieces that brokers take, and have the key `<lineage, 16 hex digits> <speaker>`, so that a stage hears only its own lineage. Between two commits, a
//! watermark that follows another to the same partition replaces it: only the last one says anything.

use super::loss::Loss;
use super::plan::Plan;
use super::remembered::Remembered;
use crate::alert::Notice;
use crate::engine::event::Rejection;
use crate::engine::judge::{PartialBucket, RevisedBucket};
use crate::engine::result::DataCounts;
use crate::engine::result::{
    Annotation, AnnotationEvent, Body, BucketSummary, Document, DocumentId, DocumentKind, Lost, id,
};
use crate::engine::rollup::Revision;
use crate::engine::wire::{self, ClosedBucket, EventBatch, InputId, ProjectedEvent, StageMessage};
use crate::runtime::alerts::Desk;
use crate::runtime::log::{MESSAGE_BYTES_MAX, Message, Outgoing, TopicPartition};
use crate::time::{BucketStart, EventTime, Finality};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Events leave in messages of about so many bytes at the most, before they are compressed.
const BATCH_BYTES: usize = 256 << 10;

/// A task's voice and outbox.
#[derive(Debug)]
pub(super) struct Voice {
    plan: Arc<Plan>,
    at: TopicPartition,
    key: Vec<u8>,
    /// Whether everything is being said for the second time.
    pub(super) muted: bool,
    /// Final results up to this bucket were published by an earlier lineage, and are not published again; or they are of a replay's warm-up.
    pub(super) silent_until_ms: Option<i64>,
    /// The last bucket said to be final, milliseconds since the epoch.
    pub(super) final_until_ms: Option<i64>,
    outbox: Vec<Outgoing>,
    outbox_bytes: usize,
    /// Dead letters in it, for which nobody waits.
    letters: usize,
    /// Events to be gathered elsewhere, until there are many, or something else is to be said.
    batch: EventBatch,
    batch_bytes: usize,
    /// Buckets that become public with the outbox.
    summaries: Vec<BucketSummary>,
    /// Closed buckets that were said again.
    revisions: Vec<Revision>,
    /// What is remembered of those buckets' results, and how many of them were not.
    remembered: Vec<Document>,
    left_out: u64,
    pub(super) remembers: Remembered,
    /// The longest message that the log takes, bytes.
    pub(super) message_bytes_max: usize,
    loose: Vec<Outgoing>,
    interim_summaries: Vec<BucketSummary>,
    /// Where in the outbox the last word to a partition of the next stage is, if that word is a watermark.
    watermarks: BTreeMap<i32, usize>,
    /// Interim documents that stand in their topic.
    interim: BTreeSet<(DocumentKind, String)>,
    /// The same of earlier owners, by the start of their bucket, milliseconds since the epoch.
    inherited: BTreeMap<i64, BTreeSet<(DocumentKind, String)>>,
    /// Where results become alerts.
    pub(super) desk: Option<Desk>,
}

/// Who hears what a task says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    /// Every judge.
    Judges,
    Rollup,
}

/// What a task has to say, taken out of its outbox for a transaction.
#[derive(Debug, Default)]
pub(crate) struct Speech {
    pub(crate) messages: Vec<Outgoing>,
    pub(crate) summaries: Vec<BucketSummary>,
    pub(crate) revisions: Vec<Revision>,
    pub(crate) remembered: Vec<Document>,
    /// Records, and plots where any are wanted, that are not among them.
    pub(crate) left_out: u64,
    pub(crate) notices: Vec<Notice>,
}

impl Voice {
    pub(super) fn new(plan: Arc<Plan>, at: TopicPartition, speaker: &InputId) -> Voice {
        let key = format!("{:016x} {}", plan.lineage, speaker.0).into_bytes();
        Voice {
            plan,
            at,
            key,
            muted: false,
            silent_until_ms: None,
            final_until_ms: None,
            outbox: Vec::new(),
            outbox_bytes: 0,
            letters: 0,
            batch: EventBatch::default(),
            batch_bytes: 0,
            summaries: Vec::new(),
            revisions: Vec::new(),
            remembered: Vec::new(),
            left_out: 0,
            remembers: Remembered::default(),
            message_bytes_max: MESSAGE_BYTES_MAX,
            loose: Vec::new(),
            interim_summaries: Vec::new(),
            watermarks: BTreeMap::new(),
            interim: BTreeSet::new(),
            inherited: BTreeMap::new(),
            desk: None,
        }
    }

    /// The speaker of an internal message, if it is of this lineage.
    pub(super) fn speaker(plan: &Plan, message: &Message<'_>) -> Option<InputId> {
        let text = std::str::from_utf8(message.key?).ok()?;
        let (lineage, speaker) = text.split_once(' ')?;
        let ours = u64::from_str_radix(lineage, 16) == Ok(plan.lineage);
        ours.then(|| InputId(speaker.to_owned()))
    }

    /// An event, for the one place that gathers.
    pub(super) fn event(&mut self, event: ProjectedEvent) {
        if self.muted {
            return;
        }
        let bytes = event.bytes();
        if self.batch_bytes + bytes > BATCH_BYTES {
            self.end_batch();
        }
        self.batch_bytes += bytes;
        self.batch.events.push(event);
    }

    /// What was refused, for the same.
    pub(super) fn refused(&mut self, counts: &DataCounts) {
        if !self.muted {
            self.batch.refused.add(counts);
        }
    }

    fn end_batch(&mut self) {
        if self.batch == EventBatch::default() {
            return;
        }
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        let topic = Arc::clone(&self.plan.closed);
        self.tell(&topic, 0, &StageMessage::Events(batch));
    }

    pub(super) fn closed(&mut self, bucket: ClosedBucket) {
        if self.muted {
            return;
        }
        let topic = Arc::clone(&self.plan.closed);
        for (shard, share) in bucket.split(self.plan.shards) {
            self.tell(&topic, i32::from(shard), &StageMessage::Closed(share));
        }
    }

    /// What came late goes to shard 0, which counts it, and to those that have series in it.
    pub(super) fn late(&mut self, bucket: ClosedBucket) {
        if self.muted {
            return;
        }
        let topic = Arc::clone(&self.plan.closed);
        for (shard, share) in bucket.split(self.plan.shards) {
            if !share.is_counts_only() {
                self.tell(&topic, i32::from(shard), &StageMessage::Late(share));
            }
        }
    }

    /// A bucket judged again.
    pub(super) fn revised(&mut self, bucket: Box<RevisedBucket>) {
        if self.muted {
            return;
        }
        let topic = Arc::clone(&self.plan.partials);
        self.tell(&topic, 0, &StageMessage::Revised(bucket));
    }

    pub(super) fn partial(&mut self, bucket: PartialBucket) {
        if self.muted {
            return;
        }
        let topic = Arc::clone(&self.plan.partials);
        self.tell(&topic, 0, &StageMessage::Partial(bucket));
    }

    /// Says how far everything has been said.
    pub(super) fn watermark(&mut self, until: BucketStart, next: Next) {
        if self.muted {
            return;
        }
        self.end_batch();
        let (topic, partitions) = self.listeners(next);
        let payload = StageMessage::Watermark(until).encode();
        for partition in partitions {
            match self.watermarks.get(&partition) {
                Some(&index) => self.outbox[index].payload = Some(payload.clone()),
                None => {
                    self.watermarks.insert(partition, self.outbox.len());
                    self.push(&topic, partition, payload.clone());
                }
            }
        }
    }

    /// That this input is to be waited for again: not among what is said, but to be said before.
    pub(super) fn awake(&self, next: Next) -> Vec<Outgoing> {
        let (topic, partitions) = self.listeners(next);
        let payload = StageMessage::Awake.encode();
        partitions
            .map(|partition| self.word(&topic, partition, payload.clone()))
            .collect()
    }

    /// The topic of the next stage, and its partitions.
    fn listeners(&self, next: Next) -> (Arc<str>, std::ops::Range<i32>) {
        match next {
            Next::Judges => (Arc::clone(&self.plan.closed), 0..self.plan.shards.into()),
            Next::Rollup => (Arc::clone(&self.plan.partials), 0..1),
        }
    }

    /// Every judge hears it, with its share of what is still open.
    pub(super) fn idle(&mut self, open: Vec<ClosedBucket>) {
        self.end_batch();
        let mut shares = vec![Vec::new(); usize::from(self.plan.shards)];
        for bucket in open {
            for (shard, share) in bucket.split(self.plan.shards) {
                shares[usize::from(shard)].push(share);
            }
        }
        let topic = Arc::clone(&self.plan.closed);
        for (shard, share) in (0i32..).zip(shares) {
            self.tell(&topic, shard, &StageMessage::Idle(share));
        }
    }

    pub(super) fn idle_keyed(&mut self, open: Vec<PartialBucket>) {
        let topic = Arc::clone(&self.plan.partials);
        self.tell(&topic, 0, &StageMessage::IdleKeyed(open));
    }

    pub(super) fn result(&mut self, document: &Document) {
        let is_old = |until: i64| document.time.millis() <= until;
        // Results of a range speak of categories that its warm-up has found.
        let is_spoken_of =
            self.plan.range.is_some() && document.kind == DocumentKind::CategoryDefinition;
        if self.muted || (self.silent_until_ms.is_some_and(is_old) && !is_spoken_of) {
            return;
        }
        if let Some(desk) = &mut self.desk {
            desk.document(document);
        }
        let identity = (document.kind, document.id.clone());
        match document.finality {
            Finality::Interim => {
                let topic = Arc::clone(self.plan.names.interim(document.kind));
                let message = self.document(topic, document);
                self.loose.push(message);
                self.interim.insert(identity);
            }
            Finality::Final => {
                let topic = Arc::clone(self.plan.names.results(document.kind));
                let message = self.document(topic, document);
                self.add(message);
                self.remember(document);
                if self.interim.remove(&identity) {
                    self.remove_interim(document.kind, document.id.clone(), document.time);
                }
            }
        }
    }

    pub(super) fn retract(&mut self, document: DocumentId) {
        if !self.muted {
            self.interim.remove(&(document.kind, document.id.clone()));
            self.remove_interim(document.kind, document.id, document.time);
        }
    }

    pub(super) fn bucket(&mut self, summary: BucketSummary) {
        if summary.finality == Finality::Final {
            let until = summary.start.millis();
            self.final_until_ms = self.final_until_ms.max(Some(until));
        }
        if self.muted {
            return;
        }
        self.alert(&summary);
        match summary.finality {
            Finality::Final => {
                self.summaries.push(summary);
                self.remove_inherited();
            }
            Finality::Interim => self.interim_summaries.push(summary),
        }
    }

    /// Documents of a closed bucket were said again: what follows from them.
    pub(super) fn re_opened(&mut self, revision: Revision) {
        let is_old = |until: i64| revision.start.millis() <= until;
        if self.muted || self.silent_until_ms.is_some_and(is_old) {
            return;
        }
        self.revisions.push(revision);
        if let Some(desk) = &mut self.desk {
            let messages = desk.revised(revision.start);
            messages.into_iter().for_each(|message| self.add(message));
        }
    }

    /// What a bucket's results mean to whoever is to be told.
    fn alert(&mut self, summary: &BucketSummary) {
        let is_old = |until: i64| summary.start.millis() <= until;
        if self.silent_until_ms.is_some_and(is_old) {
            return;
        }
        if let Some(desk) = &mut self.desk {
            let messages = desk.closed(summary.start, summary.finality);
            messages.into_iter().for_each(|message| self.add(message));
        }
    }

    /// Messages of this partition were gone before they could be read: a note for charts, told once, whatever was published before.
    pub(super) fn loss(&mut self, loss: &Loss, since: EventTime, until: EventTime) {
        let (job, span) = (&self.plan.job, self.plan.job.bucket_span);
        let time = span.bucket_of(until);
        let body = Annotation {
            annotation: loss.sentence(&self.at),
            since: since.min(until),
            until,
            event: AnnotationEvent::DelayedData,
            detector_index: None,
            by: None,
            partition: None,
            lost: Some(Lost {
                topic: self.at.topic.to_string(),
                partition: self.at.partition,
                from: loss.from,
                to: loss.to,
            }),
            topic_partitions: Vec::new(),
        };
        let document = Document {
            kind: DocumentKind::Annotation,
            id: id::loss(&job.id, time, span, &self.at, loss.from),
            job_id: job.id.as_str().into(),
            time,
            span,
            finality: Finality::Final,
            late: None,
            body: Body::Annotation(body),
        };
        let topic = Arc::clone(self.plan.names.results(document.kind));
        let message = self.document(topic, &document);
        self.add(message);
    }

    /// Nobody waits any more for a speaker whose partition does not exist. Said to the task's own partition, on the speaker's behalf.
    pub(super) fn silence(&mut self, speaker: &InputId, word: &StageMessage) {
        let message = Outgoing {
            topic: Arc::clone(&self.at.topic),
            partition: Some(self.at.partition),
            key: Some(format!("{:016x} {}", self.plan.lineage, speaker.0).into_bytes()),
            payload: Some(word.encode()),
            headers: Vec::new(),
            timestamp_ms: None,
        };
        self.add(message);
    }

    /// The bytes that were refused, with the reason and where they came from. Of those that the log would not take, the beginning.
    pub(super) fn dead_letter(&mut self, message: &Message<'_>, rejection: &Rejection) {
        if self.muted {
            return;
        }
        let key_bytes = message.key.map_or(0, <[u8]>::len);
        let key_bytes_max = self.message_bytes_max / 2;
        let key = message.key.map(|key| &key[..key_bytes.min(key_bytes_max)]);
        let room = self.message_bytes_max - key.map_or(0, <[u8]>::len);
        let payload = message.payload;
        let bytes = payload.map_or(0, <[u8]>::len);
        let payload = payload.map(|payload| &payload[..bytes.min(room)]);
        let mut letter = Outgoing {
            topic: Arc::clone(self.plan.names.dead_letters()),
            partition: None,
            key: key.map(<[u8]>::to_vec),
            payload: payload.map(<[u8]>::to_vec),
            headers: vec![
                ("reason", rejection.reason.label().to_owned()),
                ("detail", rejection.detail.clone()),
                ("job_id", self.plan.job.id.clone()),
                ("topic", self.at.topic.to_string()),
                ("partition", self.at.partition.to_string()),
                ("offset", message.offset.to_string()),
            ],
            timestamp_ms: None,
        };
        for (name, bytes, room) in [
            ("payload_bytes", bytes, room),
            ("key_bytes", key_bytes, key_bytes_max),
        ] {
            if bytes > room {
                letter.headers.push((name, bytes.to_string()));
            }
        }
        self.letters += 1;
        self.add(letter);
    }

    /// Whether anything is among it that a reader of results, or the next stage, waits for.
    pub(super) fn is_awaited(&self) -> bool {
        self.outbox.len() > self.letters || !self.summaries.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.outbox.is_empty()
            && self.batch == EventBatch::default()
            && self.summaries.is_empty()
            && self.revisions.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.outbox_bytes + self.batch_bytes
    }

    /// Everything that waits for a transaction.
    pub(super) fn take(&mut self) -> Speech {
        self.end_batch();
        self.watermarks.clear();
        self.outbox_bytes = 0;
        self.letters = 0;
        let mut messages = std::mem::take(&mut self.outbox);
        if let Some(desk) = &mut self.desk {
            messages.extend(desk.take_state(self.message_bytes_max));
        }
        Speech {
            messages,
            notices: self
                .desk
                .as_mut()
                .map(Desk::take_notices)
                .unwrap_or_default(),
            summaries: std::mem::take(&mut self.summaries),
            revisions: std::mem::take(&mut self.revisions),
            remembered: std::mem::take(&mut self.remembered),
            left_out: std::mem::take(&mut self.left_out),
        }
    }

    /// The transaction did not happen: what was taken waits again, before what has come since.
    pub(super) fn put_back(&mut self, speech: Speech) {
        debug_assert!(self.is_empty(), "nothing is said while a transaction runs");
        self.outbox_bytes = speech.messages.iter().map(Outgoing::bytes).sum();
        self.outbox = speech.messages;
        self.summaries = speech.summaries;
        self.revisions = speech.revisions;
        self.remembered = speech.remembered;
        self.left_out = speech.left_out;
        if let Some(desk) = &mut self.desk {
            desk.put_back(speech.notices);
        }
    }

    /// Interim results, for sending at once.
    pub(super) fn take_loose(&mut self) -> (Vec<Outgoing>, Vec<BucketSummary>) {
        (
            std::mem::take(&mut self.loose),
            std::mem::take(&mut self.interim_summaries),
        )
    }

    /// Keeps a record if it is among the strongest of its bucket, and a plot if it is among the first: a person asks what is hot, and nobody
    /// for ten thousand of them.
    fn remember(&mut self, document: &Document) {
        let room = match document.kind {
            DocumentKind::Record => self.remembers.records,
            DocumentKind::ModelPlot if document.late.is_none() => {
                self.remembers.plots.room(document)
            }
            _ => 0,
        };
        if room == 0 {
            return;
        }
        let same_bucket = |held: &&mut Document| held.time == document.time;
        let (mut held, mut weakest) = (0, None::<&mut Document>);
        let bucket = self.remembered.iter_mut().rev().take_while(same_bucket);
        for one in bucket.filter(|held| held.kind == document.kind) {
            held += 1;
            let is_weaker = weakest
                .as_ref()
                .is_none_or(|weakest| one.score() < weakest.score());
            if is_weaker {
                weakest = Some(one);
            }
        }
        match weakest {
            Some(weakest) if held >= room => {
                self.left_out += 1;
                if document.score() > weakest.score() {
                    *weakest = document.clone();
                }
            }
            _ => self.remembered.push(document.clone()),
        }
    }

    fn tell(&mut self, topic: &Arc<str>, partition: i32, word: &StageMessage) {
        self.watermarks.remove(&partition);
        self.push(topic, partition, word.encode());
    }

    /// Stamped with the time of writing: by its bucket's time, history would outlive the topic's retention before it is read.
    fn push(&mut self, topic: &Arc<str>, partition: i32, payload: Vec<u8>) {
        let room = self.message_bytes_max.saturating_sub(self.key.len());
        for piece in wire::pieces(payload, room) {
            self.add(self.word(topic, partition, piece));
        }
    }

    fn word(&self, topic: &Arc<str>, partition: i32, payload: Vec<u8>) -> Outgoing {
        Outgoing {
            topic: Arc::clone(topic),
            partition: Some(partition),
            key: Some(self.key.clone()),
            payload: Some(payload),
            headers: Vec::new(),
            timestamp_ms: None,
        }
    }

    fn add(&mut self, message: Outgoing) {
        self.outbox_bytes += message.bytes();
        self.outbox.push(message);
    }

    /// A tombstone, together with the final word that makes the interim one void.
    fn remove_interim(&mut self, kind: DocumentKind, id: String, time: BucketStart) {
        self.add(Outgoing {
            topic: Arc::clone(self.plan.names.interim(kind)),
            partition: None,
            key: Some(id.into_bytes()),
            payload: None,
            headers: Vec::new(),
            timestamp_ms: Some(time.millis().max(0)),
        });
    }

    /// An interim document that an earlier owner has left. Like our own it is gone when its bucket is final, also where no final one replaces it.
    pub(super) fn inherit(&mut self, kind: DocumentKind, id: String, time_ms: i64) {
        let of_bucket = self.inherited.entry(time_ms).or_default();
        of_bucket.insert((kind, id));
        self.remove_inherited();
    }

    fn remove_inherited(&mut self) {
        let Some(until_ms) = self.final_until_ms else {
            return;
        };
        while let Some(first) = self.inherited.first_entry()
            && *first.key() <= until_ms
        {
            let (time_ms, documents) = first.remove_entry();
            let time = self.plan.job.bucket_span.bucket_of(EventTime(time_ms));
            for (kind, id) in documents {
                self.remove_interim(kind, id, time);
            }
        }
    }

    fn document(&self, topic: Arc<str>, document: &Document) -> Outgoing {
        Outgoing {
            timestamp_ms: Some(document.time.millis().max(0)),
            ..message_of(topic, document)
        }
    }
}

/// A document as a message: CloudEvents in binary mode (CloudEvents 1.0, Kafka protocol binding 3.2), with the time of writing.
pub(crate) fn message_of(topic: Arc<str>, document: &Document) -> Outgoing {
    let kind = document.kind.name();
    let payload = serde_json::to_vec(document)
        .expect("documents hold finite numbers and text, which JSON can write");
    Outgoing {
        topic,
        partition: None,
        key: Some(document.id.clone().into_bytes()),
        payload: Some(payload),
        headers: vec![
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", document.id.clone()),
            ("ce_type", format!("io.tidewatch.{kind}.v1")),
            ("ce_source", format!("/jobs/{}", document.job_id)),
            ("ce_time", document.time.to_string()),
            ("ce_dataschema", format!("urn:tidewatch:schema:{kind}:v1")),
            ("content-type", "application/json".to_owned()),
        ],
        timestamp_ms: None,
    }
}
