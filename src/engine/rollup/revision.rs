//! Results of closed buckets, re-opened by events that came late.
//!
//! Kept of each bucket in the window are the shards' parts as they were said, and the levels of normalisation that it was scored by. When shards have judged
//! it again, their new parts take the place of the old ones, and the bucket is scored by the levels of its time; then, as it would
//! have been, by those of each renormalisation since. What differs from what stands is said again under its id; what is no longer said at all is
//! withdrawn: said once more with a score of 0, since a reader of a compacted topic may come too late for a tombstone.
//!
//! Holds: the last word on every document is a function of the shards' parts, however many revisions led to it (withdrawn ones apart); levels learn
//! nothing from a revision; without a window nothing is kept. Checked: tests/engine/revision.rs.

use super::categories::with_messages;
use super::documents::Scored;
use super::history::Kept;
use super::levels::Levels;
use super::merging::{say_plots_once, say_records_once};
use super::news::News;
use super::{Output, Rollup, most_unusual};
use crate::config::Job;
use crate::engine::judge::{PartialBucket, PlotDraft, RecordDraft, RevisedBucket};
use crate::engine::probability::Aggregate;
use crate::engine::result::{Body, DataCounts, Document, DocumentId, LateWord};
use crate::engine::wire::InputId;
use crate::time::BucketStart;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A bucket whose documents have just been said again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Which.
    pub start: BucketStart,
    /// Events, or summary counts, that came late for it since it was last said.
    pub events: u64,
}

/// What one shard says of a bucket, as far as scoring needs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Part {
    event_count: u64,
    judged: Aggregate,
    /// The most unusual ones.
    records: Vec<RecordDraft>,
}

type Parts = BTreeMap<InputId, Part>;

/// A closed bucket that may be re-opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Closed {
    start: BucketStart,
    /// As said when it was closed.
    parts: Parts,
    /// Those that have been judged again, and how many late events are in them.
    revised: BTreeMap<InputId, (Part, u64)>,
    /// Events that shards which were not waited for have said of it when they spoke again.
    missed: BTreeMap<InputId, u64>,
    /// Before it was learnt.
    levels: Levels,
    /// Whether earlier buckets were renormalised when it had been learnt.
    renormalised: bool,
}

/// What stands of a bucket that was re-opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Told {
    late_events: u64,
    /// Documents that say something else than they said at first.
    changed: BTreeSet<DocumentId>,
}

/// Everything that revisions need.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Revisions {
    /// Parts of buckets that are not closed yet.
    open: BTreeMap<BucketStart, Parts>,
    /// Oldest first.
    closed: VecDeque<Closed>,
    /// What shards have judged again, by how far they had come and by bucket.
    held: BTreeMap<(BucketStart, BucketStart), BTreeMap<InputId, RevisedBucket>>,
    told: BTreeMap<BucketStart, Told>,
    /// Late events in all revisions.
    events: u64,
}

impl Part {
    fn of(bucket: &PartialBucket) -> Part {
        Part {
            event_count: bucket.event_count,
            judged: bucket.judged.clone(),
            records: most_unusual(bucket.records.clone()),
        }
    }

    fn add(&mut self, other: Part) {
        self.event_count += other.event_count;
        self.judged.merge(&other.judged);
        self.records.extend(other.records);
    }
}

impl Closed {
    fn late_events(&self) -> u64 {
        let revised = self.revised.values().map(|(_, events)| events);
        revised.chain(self.missed.values()).sum()
    }

    /// The bucket as it was scored when it was closed, had it been of these parts.
    fn scored<'p>(&self, parts: impl Iterator<Item = &'p Part>) -> Scored {
        let mut whole = Part::of_none();
        parts.for_each(|part| whole.add(part.clone()));
        say_records_once(&mut whole.records);
        let drafts = most_unusual(whole.records);
        Scored::new(
            self.start,
            whole.event_count,
            &whole.judged,
            drafts,
            &self.levels,
        )
    }

    /// As it was said at first.
    fn first(&self) -> Scored {
        self.scored(self.parts.values())
    }

    /// With what came late.
    fn now(&self) -> Scored {
        let kept = self
            .parts
            .iter()
            .filter(|(from, _)| !self.revised.contains_key(*from));
        let revised = self.revised.values().map(|(part, _)| part);
        self.scored(kept.map(|(_, part)| part).chain(revised))
    }
}

impl Part {
    fn of_none() -> Part {
        Part {
            event_count: 0,
            judged: Aggregate::default(),
            records: Vec::new(),
        }
    }
}

impl Revisions {
    /// Of a job whose results late events re-open.
    pub(super) fn of(job: &Job) -> Option<Box<Revisions>> {
        (job.late_revision_buckets() > 0).then(Box::default)
    }

    /// Late events in all revisions.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// The document as it is said when its score changes: it remembers what came late.
    pub(super) fn marked(&self, document: Document) -> Document {
        let told = self.told.get(&document.time);
        let late = told
            .filter(|told| told.changed.contains(&DocumentId::of(&document)))
            .map(|told| LateWord {
                event_count: told.late_events,
                is_withdrawn: false,
                score_before: 0.0,
            });
        Document { late, ..document }
    }
}

impl Rollup {
    /// A shard has said its part of a bucket that is not closed yet.
    pub(super) fn note_part(&mut self, from: &InputId, bucket: &PartialBucket) {
        let Some(revisions) = &mut self.revisions else {
            return;
        };
        let parts = revisions.open.entry(bucket.start).or_default();
        parts
            .entry(from.clone())
            .or_insert_with(Part::of_none)
            .add(Part::of(bucket));
    }

    /// The same of what silent shards have left in a bucket that is closed now.
    pub(super) fn note_left(&mut self, start: BucketStart) {
        if self.revisions.is_none() {
            return;
        }
        let left = self.state.left.waiting(start);
        let left: Vec<(InputId, PartialBucket)> = left
            .map(|(from, bucket)| (from.clone(), bucket.clone()))
            .collect();
        left.iter()
            .for_each(|(from, bucket)| self.note_part(from, bucket));
    }

    /// A shard has judged a bucket again.
    pub(super) fn hear_revised(&mut self, from: InputId, bucket: RevisedBucket) {
        self.state.frontier.wake(&from);
        self.state.left.wake(&from);
        if let Some(revisions) = &mut self.revisions {
            let at = (bucket.until, bucket.bucket.start);
            let shards = revisions.held.entry(at).or_default();
            shards.insert(from, bucket);
        }
    }

    /// A shard that was not waited for says whole what it had left a part of, or nothing: so many events were missed when the bucket was closed.
    pub(super) fn hear_missed(
        &mut self,
        from: InputId,
        bucket: PartialBucket,
        events: u64,
    ) -> Vec<Output> {
        let closed = self.revisions.iter_mut().flat_map(|one| &mut one.closed);
        let Some(closed) = closed.into_iter().find(|one| one.start == bucket.start) else {
            return vec![Output::Late { events }];
        };
        *closed.missed.entry(from.clone()).or_default() += events;
        let again = RevisedBucket {
            until: self.job.bucket_span.end_of(bucket.start),
            bucket: PartialBucket {
                counts: DataCounts::default(),
                changes: Vec::new(),
                ..bucket
            },
            late_events: 0,
        };
        self.hear_revised(from, again);
        Vec::new()
    }

    /// A bucket has been closed: it may be re-opened from now on, and the oldest no more.
    pub(super) fn keep_revisable(
        &mut self,
        start: BucketStart,
        levels: Option<Levels>,
        renormalised: bool,
    ) {
        let (Some(revisions), Some(levels)) = (&mut self.revisions, levels) else {
            return;
        };
        let span = self.job.bucket_span;
        let later = revisions.open.split_off(&span.end_of(start));
        let mut parts = std::mem::replace(&mut revisions.open, later);
        revisions.closed.push_back(Closed {
            start,
            parts: parts.remove(&start).unwrap_or_default(),
            revised: BTreeMap::new(),
            missed: BTreeMap::new(),
            levels,
            renormalised,
        });
        let window_ms = self.job.late_revision_buckets() * span.millis();
        let oldest = span.end_of(start).millis().saturating_sub(window_ms);
        while let Some(first) = revisions.closed.front()
            && first.start.millis() < oldest
        {
            revisions.closed.pop_front();
        }
        let first = revisions.closed.front().map(|closed| closed.start);
        let first = first.into_iter().chain(self.state.history.begins()).min();
        if let Some(first) = first {
            revisions.told.retain(|told, _| *told >= first);
        }
    }

    /// Says again what shards have judged again before bucket `until` was judged.
    pub(super) fn revise(&mut self, until: BucketStart, outputs: &mut Vec<Output>) {
        let has_news = |revisions: &Revisions| {
            let first = revisions.held.first_key_value();
            first.is_some_and(|((at, _), _)| *at <= until)
        };
        if !self.revisions.as_deref().is_some_and(has_news) {
            return;
        }
        let Some(mut revisions) = self.revisions.take() else {
            return;
        };
        let mut due: BTreeMap<BucketStart, BTreeMap<InputId, RevisedBucket>> = BTreeMap::new();
        while let Some(first) = revisions.held.first_entry()
            && first.key().0 <= until
        {
            let (_, start) = *first.key();
            due.entry(start).or_default().extend(first.remove());
        }
        for (start, shards) in due {
            let found = revisions
                .closed
                .binary_search_by_key(&start, |one| one.start);
            match found {
                Ok(at) => self.revise_bucket(&mut revisions, at, shards, outputs),
                Err(_) => {
                    // Of before the job's first bucket.
                    let events: u64 = shards.values().map(|one| one.late_events).sum();
                    if events > 0 {
                        outputs.push(Output::Late { events });
                    }
                }
            }
        }
        self.revisions = Some(revisions);
    }

    fn revise_bucket(
        &mut self,
        revisions: &mut Revisions,
        at: usize,
        shards: BTreeMap<InputId, RevisedBucket>,
        outputs: &mut Vec<Output>,
    ) {
        let start = revisions.closed[at].start;
        let first = self.documents_of(revisions, at, revisions.closed[at].first());
        let (_, before) = self.documents_of(revisions, at, revisions.closed[at].now());
        let told = revisions.told.remove(&start);
        let events_before = told.as_ref().map_or(0, |told| told.late_events);
        let mut plots: Vec<PlotDraft> = Vec::new();
        for (from, again) in shards {
            plots.extend(again.bucket.plots.iter().cloned());
            let word = (Part::of(&again.bucket), again.late_events);
            revisions.closed[at].revised.insert(from, word);
        }
        say_plots_once(&mut plots);
        let late_events = revisions.closed[at].late_events();
        let (kept, after) = self.documents_of(revisions, at, revisions.closed[at].now());
        let window = self.job.renormalization_window_buckets;
        self.state.history.replace(kept, window);
        let words = Words {
            first: by_id(first.1),
            before: by_id(before),
            told,
        };
        let (documents, changed) = words.revised(after, late_events);
        outputs.extend(documents.into_iter().map(Output::Result));
        let plots = self.writer.plots(start, &plots);
        outputs.extend(plots.into_iter().map(|plot| {
            // Said again as they have to be, shard by shard: no number would be the same for all of them whatever came first.
            let late = Some(late_word(0, false));
            Output::Result(Document { late, ..plot })
        }));
        let told = Told {
            late_events,
            changed,
        };
        revisions.told.insert(start, told);
        let events = late_events - events_before;
        revisions.events += events;
        outputs.push(Output::Revised(Revision { start, events }));
    }

    /// What stands of a bucket that was scored so when it was closed.
    fn documents_of(
        &self,
        revisions: &Revisions,
        at: usize,
        scored: Scored,
    ) -> (Kept, Vec<Document>) {
        let job = &self.job;
        let since = (at + 1..revisions.closed.len())
            .filter(|&later| revisions.closed[later].renormalised)
            .map(|later| {
                let next = revisions.closed.get(later + 1);
                let levels = next.map_or(&self.state.levels, |next| &next.levels);
                (revisions.closed[later].start, levels)
            });
        let window = job.renormalization_window_buckets;
        let kept = Kept::since(scored, since, window, job.bucket_span);
        let documents = self.writer.standing(&kept).into_iter();
        let (terms, news) = (&self.state.terms, News::of(job, &kept.initial));
        let documents = documents.map(|document| with_messages(terms, &news, document));
        let documents = documents.collect();
        (kept, documents)
    }
}

fn late_word(event_count: u64, is_withdrawn: bool) -> LateWord {
    LateWord {
        event_count,
        is_withdrawn,
        score_before: 0.0,
    }
}

fn by_id(documents: Vec<Document>) -> BTreeMap<DocumentId, Document> {
    let named = documents.into_iter().map(|one| (DocumentId::of(&one), one));
    named.collect()
}

/// What has been said of a bucket.
struct Words {
    /// When it was closed, by the levels of now.
    first: BTreeMap<DocumentId, Document>,
    /// What stands.
    before: BTreeMap<DocumentId, Document>,
    told: Option<Told>,
}

impl Words {
    /// What has to be said so that `now` stands; and which of it is not as at first.
    fn revised(
        mut self,
        now: Vec<Document>,
        late_events: u64,
    ) -> (Vec<Document>, BTreeSet<DocumentId>) {
        let (mut documents, mut changed) = (Vec::new(), BTreeSet::new());
        for document in now {
            let id = DocumentId::of(&document);
            let before = self.before.remove(&id);
            let score_before = before.as_ref().and_then(Document::score).unwrap_or(0.0);
            let is_changed = self.first.get(&id) != Some(&document);
            let told = self.told.as_ref();
            let mark_before = told.filter(|told| told.changed.contains(&id));
            let mark_before = mark_before.map(|told| told.late_events);
            // What is as at first again loses its mark; what is not says how many events it knows of.
            let mark = is_changed.then_some(late_events);
            if mark != mark_before || before.as_ref() != Some(&document) {
                let late = mark.map(|events| LateWord {
                    score_before,
                    ..late_word(events, false)
                });
                documents.push(Document { late, ..document });
            }
            if is_changed {
                changed.insert(id);
            }
        }
        let gone = self.before.into_values();
        documents.extend(gone.map(|document| withdrawn(document, late_events)));
        (documents, changed)
    }
}

/// The document as it was said, but for a score of 0.
fn withdrawn(mut document: Document, late_events: u64) -> Document {
    let late = LateWord {
        score_before: document.score().unwrap_or(0.0),
        ..late_word(late_events, true)
    };
    document.late = Some(late);
    match &mut document.body {
        Body::Record(record) => record.record_score = 0.0,
        Body::Influencer(one) => one.influencer_score = 0.0,
        Body::BucketInfluencer(one) => one.anomaly_score = 0.0,
        Body::Bucket(_)
        | Body::ModelPlot(_)
        | Body::Annotation(_)
        | Body::ModelSizeStats(_)
        | Body::DataCounts(_)
        | Body::Category(_)
        | Body::CategorizerStats(_)
        | Body::ModelForecast(_)
        | Body::ForecastStats(_) => {}
    }
    document
}
