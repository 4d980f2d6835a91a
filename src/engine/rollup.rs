//! The third door: partial buckets of all shards in, results out.
//!
//! The rollup is the only writer of a job's results. When every shard that counts has judged a bucket, it merges their partial buckets,
//! aggregates records into influencers and the bucket, and normalises all of it against the job's own history. Holds: results are a function of the
//! partial buckets' contents, not of how many shards there were or who spoke first; `initial_*` scores never change; a document whose
//! score changes much as history grows is said again under its id.

mod annotations;
mod categories;
mod documents;
mod history;
mod influencers;
mod keys;
mod levels;
mod merging;
mod news;
mod revision;
mod totals;

use super::categorize::CategoryNews;
use super::frontier::Frontier;
use super::judge::{GAP_BUCKETS_MAX, PartialBucket, RecordDraft, RevisedBucket, ShardSize};
use super::keys::Homes;
use super::left::Left;
use super::probability::Aggregate;
use super::result::{
    BucketSummary, DataCounts, Document, DocumentId, Loudest, MemoryStatus, MisplacedKeys, Severity,
};
use super::score::of_evidence;
use super::snapshot::{self, Door, Frozen, RestoreError, Snapshot};
use super::wire::{Heard, InputId, Pieces};
use crate::config::Job;
use crate::time::{BucketStart, Finality};
use categories::{CategoryTotals, Terms, with_messages};
use documents::{Scored, Writer};
pub(super) use documents::{feature_suffix, model_feature, series_hash};
use history::History;
use levels::Levels;
use merging::merge;
use news::News;
pub use revision::Revision;
use revision::Revisions;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Records written a bucket at the most, the least probable first.
pub const RECORDS_MAX: usize = 500;

/// Everything a rollup can be told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A judge's bucket.
    Partial {
        /// Which judge.
        from: InputId,
        /// Its bucket.
        bucket: PartialBucket,
    },
    /// A judge's bucket judged again, with what has come late.
    Revised {
        /// Which judge.
        from: InputId,
        /// Its bucket.
        bucket: Box<RevisedBucket>,
    },
    /// What is new of the categories of messages.
    Categories {
        /// The bucket at whose end it is said.
        at: BucketStart,
        /// The news.
        news: CategoryNews,
    },
    /// A judge has said everything before `until`; ends its idleness.
    Watermark {
        /// Which judge.
        from: InputId,
        /// Exclusive.
        until: BucketStart,
    },
    /// Do not wait for this judge until it speaks again.
    Idle {
        /// Which judge.
        from: InputId,
        /// What its open buckets hold so far.
        open: Vec<PartialBucket>,
    },
    /// Wait for this judge again, though it has no more to say yet.
    Awake {
        /// Which judge.
        from: InputId,
    },
    /// Final: every input has ended (totals are said). Interim: say the interim buckets heard of.
    Flush(Finality),
}

/// Everything a rollup can say.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A result document, or a new word on one said before (same id).
    Result(Document),
    /// An interim document that no final one replaces.
    Retract(DocumentId),
    /// A bucket is done; for counters and progress.
    Closed(BucketSummary),
    /// Documents of a closed bucket have just been said again, for events that came late.
    Revised(Revision),
    /// So many events came late for a bucket that has no result.
    Late {
        /// Events.
        events: u64,
    },
}

/// What shards say of themselves as of a bucket still to be closed: one may be ahead of the others, and its size and counts of then are
/// not the job's of now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Ahead {
    sizes: Vec<(InputId, ShardSize)>,
    counts: DataCounts,
    /// Values of the partition field, and which pair announced them.
    keys: Vec<(Arc<str>, InputId)>,
}

/// What was last said of the models' size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct SaidSize {
    model_bytes: u64,
    allocation_failures: u64,
    status: MemoryStatus,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    frontier: Frontier,
    pending: BTreeMap<BucketStart, PartialBucket>,
    left: Left<PartialBucket>,
    /// What has come of messages in pieces.
    pieces: Pieces,
    /// As of the last closed bucket.
    sizes: BTreeMap<InputId, ShardSize>,
    ahead: BTreeMap<BucketStart, Ahead>,
    next: Option<BucketStart>,
    empty_run: u32,
    levels: Levels,
    history: History,
    /// As of the last closed bucket.
    counts: DataCounts,
    /// As last said.
    said_counts: DataCounts,
    buckets: u64,
    empty_buckets: u64,
    sparse_buckets: u64,
    latest_empty: Option<BucketStart>,
    latest_sparse: Option<BucketStart>,
    recent_counts: VecDeque<u64>,
    peak_bytes: u64,
    said_size: Option<SaidSize>,
    /// Of the categories of messages.
    categories: CategoryTotals,
    /// What their messages have in common.
    terms: Terms,
    /// Partitions (`""`: there are none) whose categories have come to be of no use.
    warned: BTreeSet<Arc<str>>,
    /// Interim documents said and not yet replaced.
    interim: BTreeSet<DocumentId>,
    /// Of a job declared keyed: where values of the partition field come from, as of the last closed bucket.
    homes: Homes,
}

/// Merges a job's partial buckets into results; the only writer of them.
pub struct Rollup {
    job: Arc<Job>,
    writer: Writer,
    state: State,
    /// Of a job whose results late events re-open.
    revisions: Option<Box<Revisions>>,
    interim_words: BTreeMap<BucketStart, BTreeMap<InputId, PartialBucket>>,
}

impl Rollup {
    /// A rollup that has seen nothing and will wait for every one of `inputs`.
    pub fn new(job: Arc<Job>, inputs: Vec<InputId>) -> Rollup {
        let state = State {
            frontier: Frontier::new(inputs),
            pending: BTreeMap::new(),
            left: Left::default(),
            pieces: Pieces::default(),
            sizes: BTreeMap::new(),
            ahead: BTreeMap::new(),
            next: None,
            empty_run: 0,
            levels: Levels::default(),
            history: History::default(),
            counts: DataCounts::default(),
            said_counts: DataCounts::default(),
            buckets: 0,
            empty_buckets: 0,
            sparse_buckets: 0,
            latest_empty: None,
            latest_sparse: None,
            recent_counts: VecDeque::new(),
            peak_bytes: 0,
            said_size: None,
            categories: CategoryTotals::default(),
            terms: Terms::new(),
            warned: BTreeSet::new(),
            interim: BTreeSet::new(),
            homes: Homes::default(),
        };
        let revisions = Revisions::of(&job);
        Rollup::with_state(job, state, revisions)
    }

    fn with_state(job: Arc<Job>, state: State, revisions: Option<Box<Revisions>>) -> Rollup {
        Rollup {
            writer: Writer::new(job.clone()),
            job,
            state,
            revisions,
            interim_words: BTreeMap::new(),
        }
    }

    /// Takes one input, says what follows from it.
    #[must_use]
    pub fn handle(&mut self, input: Input) -> Vec<Output> {
        match input {
            Input::Partial { from, bucket } => self.hear(from, bucket),
            Input::Revised { from, bucket } => {
                self.hear_revised(from, *bucket);
                Vec::new()
            }
            Input::Categories { at, news } => self.say_categories(at, &news),
            Input::Watermark { from, until } => {
                self.state.left.wake(&from);
                self.state.left.forget(&from, until);
                self.state.frontier.hear(from, until);
                self.catch_up()
            }
            Input::Idle { from, open } => self.fall_silent(from, open),
            Input::Awake { from } => {
                self.state.left.wake(&from);
                self.state.frontier.wake(&from);
                Vec::new()
            }
            Input::Flush(Finality::Final) => self.finish(),
            Input::Flush(Finality::Interim) => self.say_interim(),
        }
    }

    /// What `from` says with these bytes: an input to hand over, once it is whole.
    pub fn read(&mut self, from: &InputId, bytes: &[u8]) -> Heard {
        self.state.pieces.take(from, bytes)
    }

    /// Every bucket that ends at or before this is closed; `None` before the first word of every input.
    pub fn closed_until(&self) -> Option<BucketStart> {
        self.state.frontier.reached()
    }

    /// The state, to be written while the rollup goes on.
    pub fn freeze(&self) -> Frozen {
        let (state, fingerprint) = (self.state.clone(), self.job.fingerprint);
        match &self.revisions {
            None => Frozen::new(Door::Rollup, fingerprint, state),
            Some(revisions) => Frozen::new(Door::Rollup, fingerprint, (state, revisions.clone())),
        }
    }

    /// The state as bytes.
    pub fn snapshot(&self) -> Snapshot {
        self.freeze().seal()
    }

    /// A rollup that goes on exactly where the snapshot was taken.
    pub fn restore(job: Arc<Job>, snapshot: &Snapshot) -> Result<Rollup, RestoreError> {
        Rollup::restore_from(job, snapshot.as_bytes())
    }

    pub(super) fn restore_from(job: Arc<Job>, bytes: &[u8]) -> Result<Rollup, RestoreError> {
        let (state, revisions) = match job.late_revision_buckets() {
            0 => (snapshot::open(bytes, Door::Rollup, job.fingerprint)?, None),
            _ => {
                let (state, revisions) = snapshot::open(bytes, Door::Rollup, job.fingerprint)?;
                (state, Some(revisions))
            }
        };
        Ok(Rollup::with_state(job, state, revisions))
    }

    fn hear(&mut self, from: InputId, mut bucket: PartialBucket) -> Vec<Output> {
        self.state.frontier.wake(&from);
        self.state.left.wake(&from);
        if bucket.finality == Finality::Interim {
            if self.state.next.is_none_or(|next| bucket.start >= next) {
                self.interim_words
                    .entry(bucket.start)
                    .or_default()
                    .insert(from, bucket);
            }
            return Vec::new();
        }
        let ahead = self.state.ahead.entry(bucket.start).or_default();
        ahead.sizes.push((from.clone(), bucket.size));
        ahead.counts.add(&bucket.counts);
        let keys = std::mem::take(&mut bucket.keys).into_iter();
        ahead.keys.extend(keys.map(|value| (value, from.clone())));
        if self.state.next.is_some_and(|next| bucket.start < next) {
            // Totals after the end, or of a shard that was not waited for: its counts are in.
            let had_taken = self.state.left.had_taken(&from, bucket.start);
            let events = bucket.event_count.saturating_sub(had_taken.unwrap_or(0));
            return match events {
                0 => Vec::new(),
                events => self.hear_missed(from, bucket, events),
            };
        }
        if self.state.next.is_none() && bucket.is_counts_only() {
            return Vec::new(); // nothing has happened yet but refusals: the first bucket is that of the first event
        }
        self.note_part(&from, &bucket);
        match self.state.pending.get_mut(&bucket.start) {
            Some(known) => merge(known, bucket),
            None => {
                self.state.pending.insert(bucket.start, bucket);
            }
        }
        Vec::new()
    }

    /// A judge is not waited for; its buckets that close without it have what it left in them.
    fn fall_silent(&mut self, from: InputId, open: Vec<PartialBucket>) -> Vec<Output> {
        self.state.left.wake(&from);
        for mut bucket in open {
            if self.state.next.is_none_or(|next| bucket.start >= next) {
                bucket.counts = DataCounts::default(); // they come with its own last word
                self.state.left.keep(&from, bucket.start, bucket);
            }
        }
        self.state.frontier.idle(from);
        self.catch_up()
    }

    /// The first bucket of which anything is known.
    fn first_known(&self) -> Option<BucketStart> {
        let pending = self.state.pending.keys().next().copied();
        let left = self.state.left.ends(has_events).map(|(first, _)| first);
        pending.into_iter().chain(left).min()
    }

    /// The last one likewise.
    fn last_known(&self) -> Option<BucketStart> {
        let pending = self.state.pending.keys().next_back().copied();
        let left = self.state.left.ends(has_events).map(|(_, last)| last);
        pending.into_iter().chain(left).max()
    }

    /// All that is known of a bucket which is closed now.
    fn take(&mut self, start: BucketStart) -> Option<PartialBucket> {
        let mut whole = self.state.pending.remove(&start);
        for content in self.state.left.take(start, |bucket| bucket.event_count) {
            match &mut whole {
                Some(known) => merge(known, content),
                None => whole = Some(content),
            }
        }
        whole
    }

    fn catch_up(&mut self) -> Vec<Output> {
        match self.state.frontier.reach() {
            Some(until) => self.close_until(until),
            None => Vec::new(),
        }
    }

    fn finish(&mut self) -> Vec<Output> {
        let last_end = self
            .last_known()
            .map(|start| self.job.bucket_span.end_of(start));
        let mut outputs = match self.state.frontier.furthest().max(last_end) {
            Some(until) => self.close_until(until),
            None => Vec::new(),
        };
        self.revise(BucketStart(i64::MAX), &mut outputs);
        let keys = self.take_ahead(BucketStart(i64::MAX));
        let last = self
            .state
            .next
            .map(|next| BucketStart(next.0 - self.job.bucket_span.millis()));
        if let Some(last) = last {
            outputs.push(Output::Result(self.size_document(last)));
        }
        let at = last.unwrap_or(BucketStart(0));
        self.hear_keys(at, keys, &mut outputs);
        outputs.push(Output::Result(
            self.writer.data_counts(at, self.job_counts()),
        ));
        outputs
    }

    fn close_until(&mut self, until: BucketStart) -> Vec<Output> {
        if self.state.next.is_none() {
            self.state.next = self.first_known().filter(|&first| first < until);
        }
        let mut outputs = Vec::new();
        while let Some(start) = self.state.next.filter(|&next| next < until) {
            self.revise(start, &mut outputs);
            self.note_left(start);
            let partial = self.take(start);
            self.interim_words.remove(&start);
            let events = partial.as_ref().map_or(0, |partial| partial.event_count);
            self.state.empty_run = if events > 0 {
                0
            } else {
                self.state.empty_run + 1
            };
            if self.state.empty_run > GAP_BUCKETS_MAX {
                let known = self.first_known();
                self.state.next = Some(known.unwrap_or(until).min(until));
                continue;
            }
            self.close_bucket(start, partial, &mut outputs);
            self.state.next = Some(self.job.bucket_span.end_of(start));
        }
        outputs
    }

    fn close_bucket(
        &mut self,
        start: BucketStart,
        partial: Option<PartialBucket>,
        outputs: &mut Vec<Output>,
    ) {
        let mut partial = partial.unwrap_or_else(|| PartialBucket {
            start,
            finality: Finality::Final,
            event_count: 0,
            counts: DataCounts::default(),
            judged: Aggregate::default(),
            records: Vec::new(),
            plots: Vec::new(),
            changes: Vec::new(),
            size: ShardSize::default(),
            keys: Vec::new(),
        });
        let keys = self.take_ahead(start);
        self.count_bucket(start, partial.event_count);
        let scored = self.score(start, &mut partial);
        let levels = self.revisions.as_ref().map(|_| self.state.levels.clone());
        let grown = self.state.levels.learn(&self.job, &scored);
        let documents = self.documents(&scored, Finality::Final);
        let said: BTreeSet<DocumentId> = documents.iter().map(DocumentId::of).collect();
        let loudest = Loudest::of(&documents);
        outputs.extend(documents.into_iter().map(Output::Result));
        outputs.extend(
            self.writer
                .plots(start, &partial.plots)
                .into_iter()
                .map(Output::Result),
        );
        outputs.extend(
            self.writer
                .annotations(start, &partial.changes)
                .map(Output::Result),
        );
        let misplaced_keys = self.hear_keys(start, keys, outputs);
        self.retract_interim(start, &said, outputs);
        self.say_size(start, outputs);
        self.say_counts(start, outputs);

        outputs.push(Output::Closed(BucketSummary {
            loudest,
            misplaced_keys,
            ..self.summary(&scored, Finality::Final)
        }));
        self.state.history.keep(
            scored,
            self.job.renormalization_window_buckets,
            self.job.bucket_span,
        );
        let due = self
            .state
            .buckets
            .is_multiple_of(u64::from(super::model::evidence::BLOCK_BUCKETS));
        let renormalises = self.job.renormalization_window_buckets > 0 && (grown || due);
        if renormalises {
            let rewritten = self.state.history.renormalise(start, &self.state.levels);
            let marked = |document| match &self.revisions {
                None => document,
                Some(revisions) => revisions.marked(document),
            };
            outputs.extend(
                rewritten
                    .flat_map(|one| {
                        let news = News::of(&self.job, one.initial);
                        let documents = self.writer.rewritten(&one).into_iter();
                        let terms = &self.state.terms;
                        documents.map(move |document| with_messages(terms, &news, document))
                    })
                    .map(marked)
                    .map(Output::Result),
            );
        }
        self.keep_revisable(start, levels, renormalises);
    }

    /// All documents of a scored bucket, as first written.
    fn documents(&self, scored: &Scored, finality: Finality) -> Vec<Document> {
        let news = News::of(&self.job, scored);
        let documents = self.writer.bucket(scored, finality).into_iter();
        documents
            .map(|document| with_messages(&self.state.terms, &news, document))
            .collect()
    }

    /// Scores of everything in a bucket, before the bucket itself becomes history.
    fn score(&self, start: BucketStart, partial: &mut PartialBucket) -> Scored {
        let drafts = most_unusual(std::mem::take(&mut partial.records));
        Scored::new(
            start,
            partial.event_count,
            &partial.judged,
            drafts,
            &self.state.levels,
        )
    }

    fn say_interim(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        let next = self.state.next;
        self.interim_words
            .retain(|&start, _| next.is_none_or(|next| start >= next));
        let open: Vec<PartialBucket> = self
            .interim_words
            .iter()
            .filter_map(|(start, words)| {
                let mut words = words
                    .values()
                    .cloned()
                    .chain(self.state.pending.get(start).cloned());
                let mut whole = words.next()?;
                words.for_each(|word| merge(&mut whole, word));
                whole.finality = Finality::Interim;
                Some(whole)
            })
            .collect();
        for mut partial in open {
            let scored = self.score(partial.start, &mut partial);
            let documents = self.documents(&scored, Finality::Interim);
            let said: BTreeSet<DocumentId> = documents.iter().map(DocumentId::of).collect();
            outputs.extend(documents.into_iter().map(Output::Result));
            self.retract_interim(partial.start, &said, &mut outputs);
            self.state.interim.extend(said);
            outputs.push(Output::Closed(self.summary(&scored, Finality::Interim)));
        }
        outputs
    }

    /// Interim documents of a bucket that nothing said now replaces are taken back.
    fn retract_interim(
        &mut self,
        start: BucketStart,
        said: &BTreeSet<DocumentId>,
        outputs: &mut Vec<Output>,
    ) {
        let stale: Vec<DocumentId> = self
            .state
            .interim
            .iter()
            .filter(|id| id.time == start)
            .cloned()
            .collect();
        for id in stale {
            self.state.interim.remove(&id);
            if !said.contains(&id) {
                outputs.push(Output::Retract(id));
            }
        }
    }

    fn summary(&self, scored: &Scored, finality: Finality) -> BucketSummary {
        let size = self.size();
        BucketSummary {
            start: scored.start,
            finality,
            event_count: scored.event_count,
            anomaly_score: of_evidence(scored.evidence_most()),
            records: scored
                .records
                .iter()
                .map(|record| {
                    (
                        record.draft.detector,
                        Severity::of(of_evidence(record.normalised)),
                    )
                })
                .collect(),
            loudest: None,
            model_bytes: size.model_bytes,
            series: size.series,
            refused_series: size.refused_series,
            refused_growth: size.refused_growth,
            memory_status: size.status,
            misplaced_keys: MisplacedKeys {
                total: self.state.homes.strays(),
                ..MisplacedKeys::default()
            },
        }
    }
}

/// Whether a silent shard has left something in a bucket, and not only judged beforehand that nothing may come.
fn has_events(left: &PartialBucket) -> bool {
    left.event_count > 0
}

/// As many as are written, the least probable ones, in order.
fn most_unusual(mut drafts: Vec<RecordDraft>) -> Vec<RecordDraft> {
    if drafts.len() > RECORDS_MAX {
        drafts.sort_by(|a, b| {
            a.charge()
                .ln_probability
                .total_cmp(&b.charge().ln_probability)
                .then_with(|| (a.detector, &a.key).cmp(&(b.detector, &b.key)))
        });
        drafts.truncate(RECORDS_MAX);
        drafts.sort_by(|a, b| (a.detector, &a.key).cmp(&(b.detector, &b.key)));
    }
    drafts
}
