//! The closed buckets that late events may re-open, and how one of them is judged again.
//!
//! Kept are the models as they were before the window's first bucket, and what each of its buckets held. To judge a bucket again, a copy of those
//! models learns, in order, what the buckets before it held when they were closed, and is then shown the bucket with all that has come late for it.
//! So it is judged by what was known when it was closed, whatever the analysis, by the same code. The models themselves do not
//! learn what comes late.
//!
//! Holds: what is said last of a bucket is a function of what it held and of the set of events that came late for it, not of their order, of the
//! gatherers that brought them or of how often it was judged again; a bucket is judged again at most once for each bucket that closes. Bytes of both
//! are counted: the models kept are no larger than those of now may be, what the buckets held has half as much, and where that is not enough
//! the oldest can no longer be re-opened. Checked: tests/engine/revision.rs, tests/memory.rs.

use super::series::Mode;
use super::{Judge, Output, PartialBucket, PlotDraft, State};
use crate::config::Job;
use crate::engine::result::DataCounts;
use crate::engine::wire::{ClosedBucket, InputId, SeriesKey};
use crate::time::BucketStart;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Names repeat from series to series, so that a fast level gains nearly all.
const ZSTD_LEVEL: i32 = 1;

/// A judge's bucket judged again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RevisedBucket {
    /// What is to stand in the place of the shard's part said before. Of its model plots, those of series that something has just come late for and
    /// that it has changed, and of a population those of everybody who shows what late ones show. No counts, and no changes that models noticed.
    pub bucket: PartialBucket,
    /// The events, or summary counts, in it that came late, as far as the shard was told of them.
    pub late_events: u64,
    /// Everything before this instant had been judged.
    pub until: BucketStart,
}

/// A bucket's content, compressed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Packed {
    compressed: Vec<u8>,
    /// What is counted for it: the bytes of its series before they were compressed, so that the shards of a job count together what one would.
    bytes: u64,
}

/// One bucket of the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Step {
    start: BucketStart,
    /// What it held when it was closed; `None`: nothing.
    closed: Option<Packed>,
    /// What has come late.
    late: Option<Packed>,
}

/// The buckets that can be judged again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Window {
    /// The models as they were before the first of the buckets.
    base: State,
    /// Oldest first.
    steps: VecDeque<Step>,
    /// What has come late and waits for the next bucket to close.
    held: BTreeMap<BucketStart, ClosedBucket>,
    /// Of the steps.
    bytes: u64,
    /// Bytes of the shard, as last said.
    said_bytes: u64,
}

impl Packed {
    fn of(bucket: &ClosedBucket) -> Packed {
        let plain = postcard::to_stdvec(bucket)
            .expect("closed buckets hold nothing that postcard cannot write");
        let packed = zstd::bulk::compress(&plain, ZSTD_LEVEL);
        let mut compressed = packed.expect("memory takes what is compressed");
        compressed.shrink_to_fit();
        let series = bucket.series.iter();
        let bytes = series.map(|one| postcard::experimental::serialized_size(one).unwrap_or(0));
        Packed {
            compressed,
            bytes: bytes.sum::<usize>() as u64,
        }
    }

    /// `None` for bytes that this build has not written.
    fn open(&self) -> Option<ClosedBucket> {
        let plain = zstd::stream::decode_all(self.compressed.as_slice()).ok()?;
        postcard::from_bytes(&plain).ok()
    }
}

impl Step {
    fn bytes(&self) -> u64 {
        let packed = [&self.closed, &self.late].into_iter().flatten();
        packed.map(|packed| packed.bytes).sum()
    }

    fn closed(&self) -> Option<ClosedBucket> {
        self.closed.as_ref()?.open()
    }

    fn late(&self) -> Option<ClosedBucket> {
        self.late.as_ref()?.open()
    }

    /// All that the bucket held, and how much of it came late.
    fn whole(&self) -> Option<(ClosedBucket, u64)> {
        let late = self.late()?;
        let events = late.event_count;
        Some(match self.closed() {
            Some(mut closed) => {
                closed.merge(late);
                (closed, events)
            }
            None => (late, events),
        })
    }
}

impl Window {
    /// Of a job whose results late events re-open.
    pub(super) fn of(job: &Job, shard: u16) -> Option<Box<Window>> {
        (job.late_revision_buckets() > 0).then(|| {
            Box::new(Window {
                base: State::new(shard, Vec::new()),
                steps: VecDeque::new(),
                held: BTreeMap::new(),
                bytes: 0,
                said_bytes: 0,
            })
        })
    }

    /// Where the bucket's step is, or would have to stand.
    fn place(&self, start: BucketStart) -> Result<usize, usize> {
        self.steps.binary_search_by_key(&start, |step| step.start)
    }

    /// Whether the bucket can be judged again: it is one of the steps, or one before the first that this shard heard of, when its models knew nothing.
    fn reaches(&self, start: BucketStart, oldest: BucketStart) -> bool {
        let has_begun = self.base.buckets > 0;
        match self.place(start) {
            Ok(_) => true,
            Err(0) => !has_begun && start >= oldest,
            Err(_) => false,
        }
    }

    /// The step of a bucket within reach.
    fn step_of(&mut self, start: BucketStart, oldest: BucketStart) -> Option<&mut Step> {
        if !self.reaches(start, oldest) {
            return None;
        }
        let at = match self.place(start) {
            Ok(at) => at,
            Err(at) => {
                let (closed, late) = (None, None);
                self.steps.insert(
                    at,
                    Step {
                        start,
                        closed,
                        late,
                    },
                );
                at
            }
        };
        self.steps.get_mut(at)
    }

    /// The first step, if the window has grown beyond its buckets or its bytes.
    fn pop(&mut self, oldest: BucketStart, bytes_max: u64) -> Option<Step> {
        let is_over = self.bytes > bytes_max;
        if self.steps.front()?.start >= oldest && !is_over {
            return None;
        }
        let step = self.steps.pop_front()?;
        self.bytes -= step.bytes();
        Some(step)
    }

    fn push(&mut self, step: Step) {
        self.bytes += step.bytes();
        self.steps.push_back(step);
    }

    /// Adds what has come late; false where the bucket can no longer be judged again.
    fn add(&mut self, bucket: ClosedBucket, oldest: BucketStart) -> bool {
        let Some(step) = self.step_of(bucket.start, oldest) else {
            return false;
        };
        let before = step.bytes();
        let late = match step.late() {
            Some(mut known) => {
                known.merge(bucket);
                known
            }
            None => bucket,
        };
        step.late = Some(Packed::of(&late));
        let after = step.bytes();
        self.bytes = self.bytes - before + after;
        true
    }
}

/// Buckets to be judged again, and the series that something new has come late for.
type Due = BTreeMap<BucketStart, BTreeSet<SeriesKey>>;

/// The start of the first bucket that may be re-opened when everything before `until` is judged.
fn oldest(job: &Job, until: BucketStart) -> BucketStart {
    let window_ms = job.late_revision_buckets() * job.bucket_span.millis();
    BucketStart(until.millis().saturating_sub(window_ms))
}

/// Said of events that have no result to correct; all but shard 0 are told of none.
fn too_late(events: u64) -> impl Iterator<Item = Output> {
    (events > 0).then_some(Output::Late { events }).into_iter()
}

/// Whose bounds a member's are: those of its partition and attribute.
fn crowd_of(key: &SeriesKey) -> (Option<&str>, Option<&str>) {
    (key.partition.as_deref(), key.by.as_deref())
}

/// Whether a plot is not among these, which are sorted.
fn differs(plot: &PlotDraft, known: &[PlotDraft]) -> bool {
    let name = |plot: &PlotDraft| (plot.detector, plot.key.clone(), plot.statistic);
    let at = known.binary_search_by_key(&name(plot), name);
    !at.is_ok_and(|at| known[at] == *plot)
}

impl Judge {
    /// What is kept beside the models of now, bytes.
    pub(super) fn window_bytes(&self) -> u64 {
        let window = self.window.as_ref();
        window.map_or(0, |window| window.base.size.model_bytes + window.bytes)
    }

    /// A bucket has been judged: it can be judged again from now on, and the oldest no more. Whether the shard's size has changed by that, which is to
    /// be said though nothing else is.
    pub(super) fn remember(
        &mut self,
        start: BucketStart,
        closed: Option<&ClosedBucket>,
        partial: &mut PartialBucket,
    ) -> bool {
        let Some(mut window) = self.window.take() else {
            return false;
        };
        let content = |closed: &ClosedBucket| {
            Packed::of(&ClosedBucket {
                counts: DataCounts::default(),
                ..closed.clone()
            })
        };
        window.push(Step {
            start,
            closed: closed.map(content),
            late: None,
        });
        let oldest = oldest(&self.job, self.job.bucket_span.end_of(start));
        let bytes_max = self.budget.limit() / 2;
        while let Some(step) = window.pop(oldest, bytes_max) {
            self.in_the_past(&mut window.base, |judge| {
                let closed = step.closed();
                let _ = judge.judge_bucket(step.start, closed.as_ref(), Mode::Learn);
            });
        }
        self.window = Some(window);
        partial.size = self.size();
        let (bytes, window) = (partial.size.model_bytes, self.window.as_mut());
        window.is_some_and(|window| std::mem::replace(&mut window.said_bytes, bytes) != bytes)
    }

    /// Works with other models than those of now.
    fn in_the_past(&mut self, state: &mut State, work: impl FnOnce(&mut Judge)) {
        let pruned = self.pruned;
        std::mem::swap(&mut self.state, state);
        work(self);
        std::mem::swap(&mut self.state, state);
        self.pruned = pruned;
    }

    /// What has come late waits for the next bucket to close.
    pub(super) fn hear_late(&mut self, from: &InputId, bucket: ClosedBucket) -> Vec<Output> {
        self.state.frontier.wake(from);
        self.state.left.wake(from);
        let (events, next) = (bucket.event_count, self.state.next);
        let fits = self.fits(&bucket);
        let is_ahead = next.is_none_or(|next| bucket.start >= next);
        let oldest = next.map_or(bucket.start, |next| oldest(&self.job, next));
        let reaches = |window: &&mut Box<Window>| is_ahead || window.reaches(bucket.start, oldest);
        let Some(window) = self.window.as_mut().filter(|_| fits).filter(reaches) else {
            return too_late(events).collect();
        };
        match window.held.get_mut(&bucket.start) {
            Some(held) => held.merge(bucket),
            None => {
                window.held.insert(bucket.start, bucket);
            }
        }
        Vec::new()
    }

    /// Before the next bucket is judged: those that something has come late for are judged again.
    pub(super) fn revise(&mut self, outputs: &mut Vec<Output>) {
        let Some(until) = self.state.next else { return };
        let has_news = |window: &Window| {
            let first = window.held.first_key_value();
            first.is_some_and(|(start, _)| *start < until)
        };
        if !self.window.as_deref().is_some_and(has_news) {
            return;
        }
        let Some(mut window) = self.window.take() else {
            return;
        };
        let later = window.held.split_off(&until);
        let mut due = Due::new();
        for (start, bucket) in std::mem::replace(&mut window.held, later) {
            let events = bucket.event_count;
            let touched = bucket.series.iter().map(|series| series.key.clone());
            let touched: BTreeSet<SeriesKey> = touched.collect();
            if window.add(bucket, oldest(&self.job, until)) {
                due.insert(start, touched);
            } else {
                outputs.extend(too_late(events));
            }
        }
        self.judge_again(&window, &due, until, outputs);
        self.window = Some(window);
    }

    /// At the end of the input.
    pub(super) fn revise_all(&mut self, outputs: &mut Vec<Output>) {
        self.revise(outputs);
        if let Some(window) = &mut self.window {
            let never_judged = std::mem::take(&mut window.held).into_values();
            outputs.extend(never_judged.flat_map(|bucket| too_late(bucket.event_count)));
        }
    }

    fn judge_again(
        &mut self,
        window: &Window,
        due: &Due,
        until: BucketStart,
        outputs: &mut Vec<Output>,
    ) {
        let Some((&last, _)) = due.last_key_value() else {
            return;
        };
        let mut past = window.base.clone();
        self.in_the_past(&mut past, |judge| {
            for step in window.steps.iter().take_while(|step| step.start <= last) {
                let again = match due.contains_key(&step.start) {
                    true => judge.judge_with_late(step, until),
                    false => None,
                };
                if again.is_some() && step.start == last && judge.job.model_plot.is_none() {
                    outputs.extend(again.map(|again| Output::Revised(Box::new(again))));
                    break;
                }
                let closed = step.closed();
                let first = judge.judge_bucket(step.start, closed.as_ref(), Mode::Learn);
                if let Some((mut again, touched)) = again.zip(due.get(&step.start)) {
                    let crowds: BTreeSet<_> = touched.iter().map(crowd_of).collect();
                    // Who has come late moves the bounds of all who do the same.
                    let is_moved = |plot: &PlotDraft| match plot.key.over {
                        Some(_) => crowds.contains(&crowd_of(&plot.key)),
                        None => touched.contains(&plot.key) && differs(plot, &first.plots),
                    };
                    again.bucket.plots.retain(is_moved);
                    outputs.push(Output::Revised(Box::new(again)));
                }
            }
        });
    }

    /// The bucket with what came late, by the models that are at hand, which stay as they are.
    fn judge_with_late(&mut self, step: &Step, until: BucketStart) -> Option<RevisedBucket> {
        let (whole, late_events) = step.whole()?;
        let before = self.state.clone();
        let mut bucket = self.judge_bucket(step.start, Some(&whole), Mode::Learn);
        self.state = before;
        bucket.counts = DataCounts::default();
        bucket.changes = Vec::new();
        Some(RevisedBucket {
            bucket,
            late_events,
            until,
        })
    }
}
