//! The second door: closed buckets of all gatherers in, one partial bucket a shard out.
//!
//! A judge owns the models of its share of a job's series. When every gatherer that counts has closed a bucket, it merges what they said, judges each
//! series, then learns. Holds: what it says is a function of the sequence of its inputs, and of the buckets' contents only, whichever
//! gatherer brought them; a bucket is judged once; nothing that came too late is lost without being counted.

mod bar;
mod blame;
mod bucket;
mod correlates;
mod cost;
mod customs;
mod entity;
mod forecast;
mod habits;
mod kept;
mod memory;
mod partial;
mod population;
mod rare;
mod rarity;
mod ruling;
mod series;
mod shelves;
mod window;

pub use cost::{attribute_bytes, limit_of_shard, series_bytes};
pub use partial::{
    CauseDraft, ChangeDraft, PartialBucket, Place, PlotDraft, RecordDraft, ShardSize,
    TogetherCharge,
};
pub use window::RevisedBucket;

use super::feature::Layout;
use super::frontier::Frontier;
use super::left::Left;
use super::probability::Aggregate;
use super::result::DataCounts;
use super::snapshot::{self, Door, Frozen, RestoreError, Snapshot};
use super::wire::{ClosedBucket, Heard, InputId, Pieces, SeriesKey};
use crate::config::Job;
use crate::time::{BucketStart, Finality};
use customs::AllCustoms;
use entity::Entities;
use habits::AllHabits;
use memory::Budget;
use population::Populations;
use rare::Tables;
use ruling::Asked;
pub(super) use ruling::may_teach;
use serde::{Deserialize, Serialize};
use series::{FeatureKind, Mode, Series};
use shelves::Shelves;
use std::collections::BTreeMap;
use std::sync::Arc;
use window::Window;

/// Empty buckets in a row that are judged; in a longer gap the rest is passed over, as if time had been skipped.
pub const GAP_BUCKETS_MAX: u32 = 1000;
/// Series that are judged beforehand in buckets that follow a silence, all of those buckets together: some tenths of a second.
const FORETOLD_MAX: u64 = 100_000;
/// How fast the usual number of measurements a bucket is followed.
const VOLUME_GAIN: f64 = 0.05;

/// Everything a judge can be told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A gatherer's bucket.
    Closed {
        /// Which gatherer.
        from: InputId,
        /// Its bucket.
        bucket: ClosedBucket,
    },
    /// What has come to a gatherer too late for a bucket that it had said.
    Late {
        /// Which gatherer.
        from: InputId,
        /// What has come.
        bucket: ClosedBucket,
    },
    /// A gatherer has said everything before `until`; ends its idleness.
    Watermark {
        /// Which gatherer.
        from: InputId,
        /// Exclusive.
        until: BucketStart,
    },
    /// Do not wait for this gatherer until it speaks again.
    Idle {
        /// Which gatherer.
        from: InputId,
        /// What its open buckets hold so far.
        open: Vec<ClosedBucket>,
    },
    /// Wait for this gatherer again, though it has no more to say yet.
    Awake {
        /// Which gatherer.
        from: InputId,
    },
    /// Final: every input has ended. Interim: judge the interim buckets heard of.
    Flush(Finality),
}

/// Everything a judge can say.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A bucket judged.
    Partial(PartialBucket),
    /// A bucket judged again, with what has come late.
    Revised(Box<RevisedBucket>),
    /// Everything before this instant has been said; strictly grows.
    Watermark(BucketStart),
    /// So many events came for a bucket already judged.
    Late {
        /// Events.
        events: u64,
    },
}

/// All series, in order.
type SeriesShelves = Shelves<(u16, SeriesKey), Series>;

/// Everything that a judge remembers. A clone shares the series' models until they change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    shard: u16,
    frontier: Frontier,
    /// Parts of buckets that some gatherer still works on, merged.
    pending: BTreeMap<BucketStart, Arc<ClosedBucket>>,
    left: Left<ClosedBucket>,
    /// What has come of messages in pieces.
    pieces: Pieces,
    series: SeriesShelves,
    entities: Entities,
    rare: Tables,
    populations: Populations,
    customs: AllCustoms,
    habits: AllHabits,
    /// The next bucket to judge.
    next: Option<BucketStart>,
    /// The watermark said last.
    said: Option<BucketStart>,
    /// Buckets judged.
    buckets: u64,
    /// Empty ones in a row up to now.
    empty_run: u32,
    /// Counts that came with late parts; they go with the next bucket.
    carried: DataCounts,
    /// Usual number of measurements a bucket.
    volume: f64,
    size: ShardSize,
}

/// Owns a shard's models: learns and scores.
pub struct Judge {
    job: Arc<Job>,
    layout: Layout,
    kinds: Vec<Vec<FeatureKind>>,
    /// What of the job's memory limit is this shard's.
    budget: Budget,
    /// The rules that may be asked in the bucket at work; no lasting state.
    asked: Asked,
    state: State,
    /// Of a job whose results late events re-open: the buckets that can be judged again.
    window: Option<Box<Window>>,
    /// The latest interim word of each gatherer on each open bucket; no lasting state.
    interim: BTreeMap<BucketStart, BTreeMap<InputId, ClosedBucket>>,
    /// Series let go since this value was made; for telemetry, no lasting state.
    pruned: u64,
}

impl Judge {
    /// A judge that has seen nothing and will wait for every one of `inputs`.
    pub fn new(job: Arc<Job>, shard: u16, inputs: Vec<InputId>) -> Judge {
        let state = State::new(shard, inputs);
        let window = Window::of(&job, shard);
        Judge::with_state(job, state, window)
    }

    fn with_state(job: Arc<Job>, state: State, window: Option<Box<Window>>) -> Judge {
        let layout = Layout::of(&job);
        let kinds = layout
            .groups
            .iter()
            .map(|group| FeatureKind::all(&job, group))
            .collect();
        Judge {
            budget: Budget::of(&job, &layout, state.shard, 1),
            job,
            layout,
            kinds,
            asked: Asked::default(),
            state,
            window,
            interim: BTreeMap::new(),
            pruned: 0,
        }
    }

    /// The same, as one of `judges` among which the series and the memory limit are shared out.
    #[must_use]
    pub fn among(mut self, judges: u16) -> Judge {
        self.budget = Budget::of(&self.job, &self.layout, self.state.shard, judges);
        self
    }

    /// Takes one input, says what follows from it.
    #[must_use]
    pub fn handle(&mut self, input: Input) -> Vec<Output> {
        match input {
            Input::Closed { from, bucket } => self.hear(from, bucket),
            Input::Late { from, bucket } => self.hear_late(&from, bucket),
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
            Input::Flush(Finality::Interim) => self.judge_interim(),
        }
    }

    /// What `from` says with these bytes: an input to hand over, once it is whole.
    pub fn read(&mut self, from: &InputId, bytes: &[u8]) -> Heard {
        self.state.pieces.take(from, bytes)
    }

    /// The state, also in mid-bucket; to be written while the judge goes on.
    pub fn freeze(&self) -> Frozen {
        let (state, fingerprint) = (self.state.clone(), self.job.fingerprint);
        match &self.window {
            None => Frozen::sharing(Door::Judge, fingerprint, state, |state| {
                state.series.unshare();
            }),
            Some(window) => {
                let state = (state, window.clone());
                Frozen::sharing(Door::Judge, fingerprint, state, |(state, _)| {
                    state.series.unshare();
                })
            }
        }
    }

    /// The state as bytes.
    pub fn snapshot(&self) -> Snapshot {
        self.freeze().seal()
    }

    /// A judge that goes on exactly where the snapshot was taken.
    pub fn restore(job: Arc<Job>, snapshot: &Snapshot) -> Result<Judge, RestoreError> {
        Judge::restore_from(job, snapshot.as_bytes())
    }

    pub(super) fn restore_from(job: Arc<Job>, bytes: &[u8]) -> Result<Judge, RestoreError> {
        let (state, window) = match job.late_revision_buckets() {
            0 => (snapshot::open(bytes, Door::Judge, job.fingerprint)?, None),
            _ => {
                let (state, window) = snapshot::open(bytes, Door::Judge, job.fingerprint)?;
                (state, Some(window))
            }
        };
        Ok(Judge::with_state(job, state, window))
    }

    /// The size of the shard's models, exact, and of what is kept to judge closed buckets again.
    pub fn size(&self) -> ShardSize {
        ShardSize {
            model_bytes: self.state.size.model_bytes + self.window_bytes(),
            ..self.state.size
        }
    }

    /// Series let go, because they were not seen any more, since this judge was made or restored.
    pub fn pruned_series(&self) -> u64 {
        self.pruned
    }

    fn hear(&mut self, from: InputId, bucket: ClosedBucket) -> Vec<Output> {
        self.state.frontier.wake(&from);
        self.state.left.wake(&from);
        if !self.fits(&bucket) {
            // Not of this job's shape: the wire was damaged in a way its checks did not see. Counted as late rather than judged wrongly.
            return vec![Output::Late {
                events: bucket.event_count,
            }];
        }
        if bucket.is_counts_only() || self.state.next.is_some_and(|next| bucket.start < next) {
            if bucket.finality == Finality::Interim {
                return Vec::new(); // it says the bucket once more when that closes
            }
            self.state.carried.add(&bucket.counts);
            let had_taken = self.state.left.had_taken(&from, bucket.start);
            if had_taken.is_none() && self.window.is_some() && !bucket.is_counts_only() {
                let counts = DataCounts::default();
                return self.hear_late(&from, ClosedBucket { counts, ..bucket });
            }
            let events = bucket.event_count.saturating_sub(had_taken.unwrap_or(0));
            return if events > 0 {
                vec![Output::Late { events }]
            } else {
                Vec::new()
            };
        }
        match bucket.finality {
            Finality::Interim => {
                self.interim
                    .entry(bucket.start)
                    .or_default()
                    .insert(from, bucket);
            }
            Finality::Final => {
                if let Some(words) = self.interim.get_mut(&bucket.start) {
                    words.remove(&from);
                }
                match self.state.pending.get_mut(&bucket.start) {
                    Some(known) => Arc::make_mut(known).merge(bucket),
                    None => {
                        self.state.pending.insert(bucket.start, Arc::new(bucket));
                    }
                }
            }
        }
        Vec::new()
    }

    /// A gatherer is not waited for; its buckets that close without it have what it left in them.
    fn fall_silent(&mut self, from: InputId, open: Vec<ClosedBucket>) -> Vec<Output> {
        self.state.left.wake(&from);
        for mut bucket in open {
            let is_open = self.state.next.is_none_or(|next| bucket.start >= next);
            if is_open && self.fits(&bucket) {
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
        let left = self.state.left.ends(|_| true).map(|(first, _)| first);
        pending.into_iter().chain(left).min()
    }

    /// The last one likewise.
    fn last_known(&self) -> Option<BucketStart> {
        let pending = self.state.pending.keys().next_back().copied();
        let left = self.state.left.ends(|_| true).map(|(_, last)| last);
        pending.into_iter().chain(left).max()
    }

    /// All that is known of a bucket which is closed now.
    fn take(&mut self, start: BucketStart) -> Option<ClosedBucket> {
        let pending = self.state.pending.remove(&start);
        let mut closed = pending.map(Arc::unwrap_or_clone);
        for content in self.state.left.take(start, |bucket| bucket.event_count) {
            match &mut closed {
                Some(known) => known.merge(content),
                None => closed = Some(content),
            }
        }
        closed
    }

    /// Whether a bucket has the shape that this job's gatherers give.
    fn fits(&self, bucket: &ClosedBucket) -> bool {
        let aligned = self.job.bucket_span.bucket_of(bucket.start.time()) == bucket.start;
        aligned
            && bucket.series.iter().all(|series| {
                self.layout
                    .groups
                    .get(usize::from(series.group))
                    .is_some_and(|group| {
                        let right = |cells: &[super::feature::Accumulator]| {
                            cells.len() == group.features.len()
                                && cells
                                    .iter()
                                    .zip(&group.features)
                                    .all(|(cell, spec)| cell.statistic() == spec.statistic)
                        };
                        right(&series.cells)
                            && series.shares.iter().all(|share| right(&share.cells))
                    })
            })
    }

    /// Judges every bucket that the frontier has passed.
    fn catch_up(&mut self) -> Vec<Output> {
        match self.state.frontier.reach() {
            Some(until) => self.judge_until(until),
            None => Vec::new(),
        }
    }

    fn finish(&mut self) -> Vec<Output> {
        let span = self.job.bucket_span;
        let last_end = self.last_known().map(|start| span.end_of(start));
        let mut outputs = match self.state.frontier.furthest().max(last_end) {
            Some(until) => self.judge_until(until),
            None => Vec::new(),
        };
        self.revise_all(&mut outputs);
        if self.state.carried != DataCounts::default() {
            // Counts that no later bucket will carry.
            let start = self
                .state
                .next
                .map_or(BucketStart(0), |next| BucketStart(next.0 - span.millis()));
            outputs.push(Output::Partial(PartialBucket {
                counts: std::mem::take(&mut self.state.carried),
                ..self.empty_partial(start, Finality::Final)
            }));
        }
        outputs
    }

    fn judge_until(&mut self, until: BucketStart) -> Vec<Output> {
        if self.state.next.is_none() {
            let first = self.first_known().filter(|&first| first < until);
            // What comes late may be the first that this shard hears of.
            self.state.next = first.or(self.window.as_ref().map(|_| until));
        }
        let mut outputs = Vec::new();
        while let Some(start) = self.state.next.filter(|&next| next < until) {
            self.revise(&mut outputs);
            let closed = self.take(start);
            self.interim.remove(&start);
            self.state.empty_run = if closed.is_some() {
                0
            } else {
                self.state.empty_run + 1
            };
            if self.state.empty_run > GAP_BUCKETS_MAX {
                self.state
                    .carried
                    .add(&closed.map(|bucket| bucket.counts).unwrap_or_default());
                let next_known = self.first_known();
                self.state.next = Some(next_known.unwrap_or(until).min(until));
                continue;
            }
            let mut partial = self.judge_bucket(start, closed.as_ref(), Mode::Learn);
            let is_resized = self.remember(start, closed.as_ref(), &mut partial);
            if closed.is_some()
                || is_resized
                || partial.judged.members() > 0
                || !partial.plots.is_empty()
                || !partial.changes.is_empty()
            {
                outputs.push(Output::Partial(partial));
            }
            self.state.next = Some(self.job.bucket_span.end_of(start));
        }
        if self.state.said < Some(until) {
            self.state.said = Some(until);
            outputs.push(Output::Watermark(until));
        }
        outputs
    }

    fn judge_interim(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        let starts: Vec<BucketStart> = self.interim.keys().copied().collect();
        for start in starts {
            if self.state.next.is_some_and(|next| start < next) {
                self.interim.remove(&start);
                continue;
            }
            let mut words = self.interim[&start].values().cloned().chain(
                self.state
                    .pending
                    .get(&start)
                    .map(|known| ClosedBucket::clone(known)),
            );
            let Some(mut open) = words.next() else {
                continue;
            };
            words.for_each(|word| open.merge(word));
            let seen = measurements(&open);
            let share = if self.state.volume > 0.0 {
                (seen / self.state.volume).clamp(0.0, 1.0)
            } else {
                1.0
            };
            outputs.push(Output::Partial(self.judge_bucket(
                start,
                Some(&open),
                Mode::Interim(share),
            )));
        }
        outputs
    }

    /// What these buckets, in order, would be if they closed now, with this and no more in them, and so many empty ones that follow (fewer where there are very
    /// many series). Nothing is learnt of it: their input may have more of them.
    pub(super) fn judge_as_they_stand(
        &mut self,
        open: Vec<ClosedBucket>,
        following: u32,
    ) -> Vec<PartialBucket> {
        let span = self.job.bucket_span;
        let last_end = open.last().map(|bucket| span.end_of(bucket.start));
        let Some(end) = last_end.or(self.state.next) else {
            return Vec::new();
        };
        let affordable = FORETOLD_MAX / self.state.size.series.max(1);
        let following = u64::from(following).min(affordable.max(1));
        let until = (0..following).fold(end, |start, _| span.end_of(start));
        let (before, pruned) = (self.state.clone(), self.pruned);
        let (window, interim) = (self.window.take(), std::mem::take(&mut self.interim));
        for bucket in open {
            self.state.pending.insert(bucket.start, Arc::new(bucket));
        }
        let outputs = self.judge_until(until);
        (self.state, self.pruned) = (before, pruned);
        (self.window, self.interim) = (window, interim);
        let partial = |output| match output {
            Output::Partial(bucket) => Some(bucket),
            _ => None,
        };
        outputs.into_iter().filter_map(partial).collect()
    }

    fn empty_partial(&self, start: BucketStart, finality: Finality) -> PartialBucket {
        PartialBucket {
            start,
            finality,
            event_count: 0,
            counts: DataCounts::default(),
            judged: Aggregate::default(),
            records: Vec::new(),
            plots: Vec::new(),
            changes: Vec::new(),
            size: self.state.size,
            keys: Vec::new(),
        }
    }
}

impl State {
    /// Of a judge that has seen nothing.
    fn new(shard: u16, inputs: Vec<InputId>) -> State {
        State {
            shard,
            frontier: Frontier::new(inputs),
            pending: BTreeMap::new(),
            left: Left::default(),
            pieces: Pieces::default(),
            series: SeriesShelves::default(),
            entities: Entities::new(),
            rare: Tables::new(),
            populations: Populations::new(),
            customs: AllCustoms::new(),
            habits: AllHabits::new(),
            next: None,
            said: None,
            buckets: 0,
            empty_run: 0,
            carried: DataCounts::default(),
            volume: 0.0,
            size: ShardSize::default(),
        }
    }
}

fn measurements(bucket: &ClosedBucket) -> f64 {
    bucket
        .series
        .iter()
        .flat_map(|series| &series.cells)
        .map(|cell| cell.measurements() as f64)
        .sum()
}
