//! The first door: events of one input partition in, closed buckets out.
//!
//! Every event is read once ([`Reader`]), placed into its bucket, and added to one row of accumulators a split group and to one a share.
//! Holds:
//! * A closed bucket is a function of the *set* of its events: their order does not show, not even in a snapshot of mid-bucket.
//! * Buckets leave in time order, each once, only those with events; then one [`Output::Watermark`], however far time jumped.
//! * An event for a closed bucket is [`Reason::Late`](super::event::Reason::Late), said and counted; nothing else is ever refused but a time outside the calendar. With a
//!   `late_revision_window`, one for a bucket within it is gathered apart ([`late`]) and said with the next closed buckets.
//! * Interim buckets are copies: saying them changes nothing.
//! * An event of known entities allocates nothing, unless a sketch grows.
//!
//! Counts: what an event adds to `data_counts` travels with its own bucket. What belongs to no bucket (refused, late, without weight)
//! travels with the next one closed; at the end of the input, if no bucket is left to carry it, an empty one does
//! ([`ClosedBucket::is_counts_only`]). Interim buckets carry none. So the counts of all closed buckets, added up, are exact.
//!
//! A feed comes first: its query passes events over. Those are no part of the analysis and none of the counts, but they came from the same
//! stream, so their time moves the watermark: a query that selects one event of a thousand does not hold its buckets open.
//!
//! A series appears in a bucket when an event had its split values, though none had a number: its mean then has no value.
//! Checked: tests/gatherer.rs, tests/allocation.rs.

mod categories;
mod kept;
mod late;
mod weight;

use super::bucket::{Frontier, OpenBuckets};
use super::categorize::{CategoryNews, Word};
use super::event::{Event, Rejection, Value};
use super::feature::{Cells, Entities, Layout, Reader, Source};
use super::feed::{Computer, Differences, Selector};
use super::result::DataCounts;
use super::wire::{ClosedBucket, SeriesBucket};
use crate::config::Job;
use crate::time::{BucketStart, EventTime, Finality};
use categories::{Categories, Category};
use late::Late;
use std::mem;
use std::sync::Arc;
use weight::count;
pub(super) use weight::{Weight, refusal, weight_of};

/// Everything a gatherer can be told.
pub enum Input<'a> {
    /// One decoded event.
    Event(&'a Event<'a>),
    /// Something that the decoder or the shell refused: counted. (What the gatherer itself refuses it has counted already.)
    Rejected(&'a Rejection),
    /// The watermark is at least here; never makes it retreat.
    Advance(EventTime),
    /// Interim: say what is in the open buckets and keep them. Final: the input has ended, close everything.
    Flush(Finality),
}

/// Everything a gatherer can say.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A bucket with events, in time order.
    Closed(ClosedBucket),
    /// What has come late, but within the window of revisions, for a bucket said before.
    Late(ClosedBucket),
    /// Everything before this instant is closed and has been said; strictly grows.
    Watermark(BucketStart),
    /// The event just handed over came too late.
    Rejected(Rejection),
}

/// Events of one input partition → closed buckets.
pub struct Gatherer {
    job: Arc<Job>,
    layout: Layout,
    frontier: Frontier,
    computer: Option<Computer>,
    selector: Option<Selector>,
    differences: Option<Differences>,
    /// Events that the query did not want, since this gatherer was made.
    passed_over: u64,
    reader: Reader,
    /// Of messages, if the job has such.
    categories: Option<Categories>,
    /// By group.
    entities: Vec<Entities>,
    open: OpenBuckets<Contents>,
    /// Of a job whose results late events re-open.
    late: Option<Late>,
    /// Contents of closed buckets, emptied: their memory serves the next ones.
    spare: Vec<Contents>,
    /// Counts that belong to no open bucket, since the last closed one.
    unplaced: DataCounts,
    /// Grows by one with each closed bucket. Says when an entity was last seen; never leaves the gatherer.
    epoch: u64,
    /// So many known entities make it worth looking for forgotten ones.
    entities_to_sweep: usize,
    /// Whether the watermark is another's: events do not move it.
    guided: bool,
}

/// What is in an open bucket.
struct Contents {
    /// The epoch in which the bucket was opened.
    opened: u64,
    event_count: u64,
    counts: DataCounts,
    /// By group.
    groups: Vec<Cells>,
}

/// How many epochs an entity is remembered that no open bucket holds.
const EPOCHS_REMEMBERED: u64 = 2;
/// Fewer entities than this are not worth a sweep.
const ENTITIES_TO_SWEEP_MIN: usize = 4096;
/// How many emptied buckets are kept for their memory.
const SPARE_MAX: usize = 2;

impl Gatherer {
    /// A gatherer that has seen nothing.
    pub fn new(job: Arc<Job>) -> Gatherer {
        let layout = Layout::of(&job);
        Gatherer {
            frontier: Frontier::new(job.bucket_span, job.lateness),
            computer: Computer::of(&job),
            selector: Selector::of(&job),
            differences: Differences::of(&job),
            passed_over: 0,
            reader: Reader::new(&job, &layout),
            categories: Categories::of(&job),
            entities: layout.groups.iter().map(Entities::new).collect(),
            open: OpenBuckets::new(job.bucket_span),
            late: Late::of(&job),
            spare: Vec::new(),
            unplaced: DataCounts::default(),
            epoch: 0,
            entities_to_sweep: ENTITIES_TO_SWEEP_MIN,
            guided: false,
            layout,
            job,
        }
    }

    /// Takes one input, says what follows from it.
    #[must_use]
    pub fn handle(&mut self, input: Input<'_>) -> Vec<Output> {
        match input {
            Input::Event(event) => self.event(event),
            Input::Rejected(rejection) => {
                self.unplaced.rejected[rejection.reason as usize] += 1;
                self.unplaced.input_bytes += u64::from(rejection.raw_bytes);
                Vec::new()
            }
            Input::Advance(time) => {
                let time = time.clamp(EventTime::MIN, EventTime::MAX);
                let mut outputs = Vec::new();
                if let Some(until) = self.frontier.raise(time) {
                    self.close_before(until, &mut outputs);
                }
                outputs
            }
            Input::Flush(Finality::Interim) => self.interim(),
            Input::Flush(Finality::Final) => self.end(),
        }
    }

    /// The same, of events that come from several inputs: only [`Input::Advance`] moves the watermark.
    pub(super) fn guide(&mut self) {
        self.guided = true;
    }

    /// Counts what was refused before it came here.
    pub(super) fn refuse(&mut self, counts: &DataCounts) {
        self.unplaced.add(counts);
    }

    #[inline]
    fn observe(&mut self, time: EventTime) -> Option<BucketStart> {
        match self.guided {
            false => self.frontier.observe(time),
            true => None,
        }
    }

    /// The largest event time seen minus the allowed lateness; `None` before the first event.
    pub fn watermark(&self) -> Option<EventTime> {
        self.frontier.watermark()
    }

    /// How many events the job's query has passed over since this gatherer was made or restored.
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }

    #[inline]
    fn event(&mut self, event: &Event<'_>) -> Vec<Output> {
        let Some(computer) = &mut self.computer else {
            return self.fed(event);
        };
        let values = computer.values(event);
        let outputs = self.fed(&Event {
            values: &values,
            ..*event
        });
        if let Some(computer) = &mut self.computer {
            computer.recycle(values);
        }
        outputs
    }

    /// An event with all its fields.
    #[inline]
    fn fed(&mut self, event: &Event<'_>) -> Vec<Output> {
        match &self.selector {
            Some(selector) if !selector.wants(event) => self.pass_over(event),
            _ => self.take(event),
        }
    }

    fn pass_over(&mut self, event: &Event<'_>) -> Vec<Output> {
        self.passed_over += 1;
        let mut outputs = Vec::new();
        let in_calendar = (EventTime::MIN..=EventTime::MAX).contains(&event.time);
        if in_calendar
            && !self.frontier.is_late(event.time)
            && let Some(until) = self.observe(event.time)
        {
            self.close_before(until, &mut outputs);
        }
        outputs
    }

    fn take(&mut self, event: &Event<'_>) -> Vec<Output> {
        let mut outputs = Vec::new();
        let weight = weight_of(&self.job, event);
        let timed = matches!(weight, Weight::Events(_) | Weight::Null);
        if timed {
            let in_calendar = (EventTime::MIN..=EventTime::MAX).contains(&event.time);
            if !in_calendar || self.frontier.is_late(event.time) {
                outputs.extend(self.out_of_time(event, weight, in_calendar));
                return outputs;
            }
            if let Some(until) = self.observe(event.time) {
                self.close_before(until, &mut outputs);
            }
        }
        match weight {
            Weight::Events(weight) => match self.category(event) {
                Category::NotAnalysed => self.count_unplaced(event, 0, Some(event.time)),
                Category::Is(category) => self.gather(event, &category, weight),
            },
            Weight::Null => self.count_unplaced(event, 0, Some(event.time)),
            Weight::Zero => self.count_unplaced(event, 0, None),
            Weight::Unreadable => self.count_unplaced(event, 1, None),
        }
        outputs
    }

    /// The category of the event's message.
    #[inline]
    fn category(&mut self, event: &Event<'_>) -> Category {
        match &mut self.categories {
            Some(categories) => categories.of_event(event),
            None => Category::Is(Value::Missing),
        }
    }

    /// Counts an event that is in no bucket.
    fn count_unplaced(&mut self, event: &Event<'_>, missed: u64, time: Option<EventTime>) {
        let made_up = self.categories.as_ref().map(Categories::category_field);
        count(&mut self.unplaced, &self.job, event, made_up, missed, time);
    }

    /// Definitions and statistics of categories that are new since the last call; `None` for a job without messages.
    pub(crate) fn category_news(&mut self, word: Word) -> Option<CategoryNews> {
        Some(self.categories.as_mut()?.news(word))
    }

    /// Gathers an event apart, where it may still re-open a result; refuses it otherwise.
    #[cold]
    fn out_of_time(
        &mut self,
        event: &Event<'_>,
        weight: Weight,
        in_calendar: bool,
    ) -> Option<Output> {
        if in_calendar && self.is_revisable(event.time) {
            self.take_late(event, weight);
            return None;
        }
        let (rejection, counts) = refusal(&self.job, &self.frontier, event, in_calendar);
        self.unplaced.add(&counts);
        Some(Output::Rejected(rejection))
    }

    fn gather(&mut self, event: &Event<'_>, category: &Value<'static>, weight: u64) {
        let made_up = self.categories.as_ref().map(Categories::category_field);
        let (epoch, groups, spare) = (self.epoch, self.layout.groups.len(), &mut self.spare);
        let contents = self
            .open
            .at(event.time, || Contents::open(epoch, groups, spare));
        count(
            &mut contents.counts,
            &self.job,
            event,
            made_up,
            0,
            Some(event.time),
        );
        match &mut self.differences {
            Some(differences) => differences.take(event),
            None => {
                self.reader.read(event, category, epoch);
                contents.counts.find_fields(self.reader.places_made());
                contents.counts.unreadable_field_count += self.reader.unreadable();
                contents.event_count = contents.event_count.saturating_add(weight);
                contents.add(
                    &self.layout,
                    &mut self.entities,
                    &self.reader,
                    weight,
                    epoch,
                );
            }
        }
    }

    /// Adds what the counters of a bucket that closes have to tell.
    fn gather_differences(&mut self, start: BucketStart, contents: &mut Contents) {
        let Some(differences) = &mut self.differences else {
            return;
        };
        let end = self.job.bucket_span.end_of(start).time();
        for reading in differences.close_before(end) {
            let event = Event {
                time: reading.time,
                values: &reading.values,
                raw_bytes: 0,
                raw_fields: 0,
            };
            self.reader.read(&event, &Value::Missing, self.epoch);
            let weight = reading.events;
            contents.event_count = contents.event_count.saturating_add(weight);
            let (entities, reader) = (&mut self.entities, &self.reader);
            contents.add(&self.layout, entities, reader, weight, self.epoch);
        }
    }

    /// Says every open bucket before `until`, then that all before it is closed.
    fn close_before(&mut self, until: BucketStart, outputs: &mut Vec<Output>) {
        while let Some((start, mut contents)) = self.open.pop_before(until) {
            let mut counts = mem::take(&mut self.unplaced);
            counts.add(&contents.counts);
            self.gather_differences(start, &mut contents);
            self.reader.rank();
            let series = self.series(&mut contents.groups, |cells, source| cells.take(source));
            outputs.push(Output::Closed(ClosedBucket {
                start,
                finality: Finality::Final,
                event_count: contents.event_count,
                counts,
                series,
            }));
            if self.spare.len() < SPARE_MAX {
                self.spare.push(contents);
            }
            self.epoch += 1;
        }
        self.say_late(outputs);
        outputs.push(Output::Watermark(until));
        self.forget_unused();
    }

    /// Copies of the open buckets.
    fn interim(&self) -> Vec<Output> {
        self.copies(Finality::Interim)
            .map(|bucket| {
                Output::Closed(ClosedBucket {
                    counts: DataCounts::default(),
                    ..bucket
                })
            })
            .collect()
    }

    /// The open buckets as they would be if they closed now, counts apart: what others may close without this input. Changes nothing.
    pub fn as_they_stand(&self) -> Vec<ClosedBucket> {
        let closed = match &self.differences {
            None => self.interim(),
            // What counters tell is known where a bucket closes: so a copy closes all.
            Some(_) => Gatherer::restore(self.job.clone(), &self.snapshot())
                .expect("a gatherer reads what it has just written")
                .end(),
        };
        let bucket = |output| match output {
            Output::Closed(bucket) => Some(bucket).filter(|bucket| !bucket.is_counts_only()),
            _ => None,
        };
        closed.into_iter().filter_map(bucket).collect()
    }

    /// The input has ended.
    fn end(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        let newest = self.open.iter().next_back().map(|(start, _)| *start);
        if let Some(newest) = newest {
            let end = self.job.bucket_span.end_of(newest);
            if let Some(until) = self.frontier.raise(end.time()) {
                self.close_before(until, &mut outputs);
            }
        }
        self.say_late(&mut outputs);
        if self.unplaced != DataCounts::default() {
            let span = self.job.bucket_span;
            let newest_closed = self
                .frontier
                .closed_until()
                .map(|until| until.0 - span.millis());
            outputs.push(Output::Closed(ClosedBucket {
                start: BucketStart(newest_closed.unwrap_or(0)),
                finality: Finality::Final,
                event_count: 0,
                counts: mem::take(&mut self.unplaced),
                series: Vec::new(),
            }));
        }
        outputs
    }

    fn copies(&self, finality: Finality) -> impl Iterator<Item = ClosedBucket> {
        self.copies_of(&self.open, finality)
    }

    fn copies_of<'g>(
        &'g self,
        buckets: &'g OpenBuckets<Contents>,
        finality: Finality,
    ) -> impl Iterator<Item = ClosedBucket> + 'g {
        buckets.iter().map(move |(start, contents)| ClosedBucket {
            start: *start,
            finality,
            event_count: contents.event_count,
            counts: contents.counts.clone(),
            series: self.series(&contents.groups, |cells, source| cells.copy(source)),
        })
    }

    fn series<C>(
        &self,
        groups: impl IntoIterator<Item = C>,
        mut collect: impl FnMut(C, &Source<'_>) -> Vec<SeriesBucket>,
    ) -> Vec<SeriesBucket> {
        let known = self.layout.groups.iter().zip(&self.entities);
        (0..)
            .zip(known)
            .zip(groups)
            .flat_map(|((index, (group, entities)), cells)| {
                let source = Source {
                    job: &self.job,
                    reader: &self.reader,
                    entities,
                    group,
                    index,
                };
                collect(cells, &source)
            })
            .collect()
    }

    /// Forgets entities that no open bucket holds and that were not seen of late, once there are twice as many as last time.
    fn forget_unused(&mut self) {
        let known = |reader: &Reader, entities: &[Entities]| {
            reader.len() + entities.iter().map(Entities::len).sum::<usize>()
        };
        if known(&self.reader, &self.entities) < self.entities_to_sweep {
            return;
        }
        let late = self.late.iter().flat_map(Late::iter);
        let buckets = self.open.iter().chain(late);
        let opened = buckets.map(|(_, contents)| contents.opened);
        let recent = self.epoch.saturating_sub(EPOCHS_REMEMBERED);
        let horizon = opened.fold(recent, u64::min);
        for entities in &mut self.entities {
            entities.forget_before(horizon);
        }
        self.reader.forget_before(horizon);
        let left = known(&self.reader, &self.entities);
        self.entities_to_sweep = ENTITIES_TO_SWEEP_MIN.max(2 * left);
    }
}

impl Contents {
    /// Adds what the reader has read.
    #[inline]
    fn add(
        &mut self,
        layout: &Layout,
        entities: &mut [Entities],
        reader: &Reader,
        weight: u64,
        epoch: u64,
    ) {
        let groups = layout.groups.iter().zip(entities);
        for ((group, entities), cells) in groups.zip(&mut self.groups) {
            if let Some(slot) = entities.slot(reader.readings(), epoch) {
                cells.add(group, slot, reader, weight);
            }
        }
    }

    fn open(epoch: u64, groups: usize, spare: &mut Vec<Contents>) -> Contents {
        let groups = match spare.pop() {
            Some(emptied) => emptied.groups,
            None => (0..groups).map(|_| Cells::default()).collect(),
        };
        Contents {
            opened: epoch,
            event_count: 0,
            counts: DataCounts::default(),
            groups,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_that_went_away_are_forgotten() {
        let text = r#"{"job_id": "churn", "analysis_config": {"bucket_span": "10s", "influencers": ["user"],
            "detectors": [{"function": "count", "by_field_name": "host", "partition_field_name": "rack"}]},
            "data_description": {"time_field": "time"}}"#;
        let job = Arc::new(Job::from_text(text, "churn").expect("a job"));
        let mut gatherer = Gatherer::new(job);
        let known = |gatherer: &Gatherer| gatherer.reader.len() + gatherer.entities[0].len();
        let mut most = 0;
        for bucket in 0..30 {
            for i in 0..1000 {
                let value = Value::Int(bucket * 1000 + i);
                let values = [value.clone(), value.clone(), value];
                let _ = gatherer.handle(Input::Event(&Event {
                    time: EventTime(bucket * 10_000),
                    values: &values,
                    raw_bytes: 0,
                    raw_fields: 0,
                }));
            }
            most = most.max(known(&gatherer));
        }
        // 1,000 hosts, racks, users and pairs a bucket; remembered for three buckets, swept when they have doubled.
        assert!((12_000..30_000).contains(&most), "{most} known");
    }
}
