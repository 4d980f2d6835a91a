//! Events that come too late for their bucket but within the job's `late_revision_window`: gathered apart, said with the next closed buckets.
//!
//! Holds: what is said is a function of the set of late events since the last closed bucket, not of their order; a late event never moves the
//! watermark; it is counted as processed, with what belongs to no open bucket. Checked: tests/engine/revision.rs.

use super::{Category, Contents, Gatherer, Output, Weight};
use crate::config::Job;
use crate::engine::bucket::OpenBuckets;
use crate::engine::event::Event;
use crate::engine::result::DataCounts;
use crate::engine::wire::ClosedBucket;
use crate::time::{BucketStart, EventTime, Finality};

/// What has come late for buckets that are closed.
pub(super) struct Late {
    /// How far behind the closed instant a bucket may begin, milliseconds.
    window_ms: i64,
    buckets: OpenBuckets<Contents>,
}

impl Late {
    /// Of a job whose results late events re-open.
    pub(super) fn of(job: &Job) -> Option<Late> {
        let window_ms = job.late_revision_buckets() * job.bucket_span.millis();
        (window_ms > 0).then(|| Late {
            window_ms,
            buckets: OpenBuckets::new(job.bucket_span),
        })
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &(BucketStart, Contents)> {
        self.buckets.iter()
    }
}

impl Gatherer {
    /// Whether the closed bucket of `time` may still be re-opened.
    pub(super) fn is_revisable(&self, time: EventTime) -> bool {
        let (Some(late), Some(until)) = (&self.late, self.frontier.closed_until()) else {
            return false;
        };
        let start = self.job.bucket_span.bucket_of(time);
        start < until && start.millis() >= until.millis().saturating_sub(late.window_ms)
    }

    /// Takes a late event that may re-open its bucket's result.
    pub(super) fn take_late(&mut self, event: &Event<'_>, weight: Weight) {
        let Weight::Events(weight) = weight else {
            return self.count_unplaced(event, 0, Some(event.time));
        };
        let category = self.category(event);
        self.count_unplaced(event, 0, Some(event.time));
        let Category::Is(category) = category else {
            return;
        };
        let (epoch, groups, spare) = (self.epoch, self.layout.groups.len(), &mut self.spare);
        let Some(late) = &mut self.late else { return };
        let contents = late
            .buckets
            .at(event.time, || Contents::open(epoch, groups, spare));
        self.reader.read(event, &category, epoch);
        self.unplaced.find_fields(self.reader.places_made());
        self.unplaced.unreadable_field_count += self.reader.unreadable();
        contents.event_count = contents.event_count.saturating_add(weight);
        let (entities, reader) = (&mut self.entities, &self.reader);
        contents.add(&self.layout, entities, reader, weight, epoch);
    }

    /// Says what has come late since buckets were last closed.
    pub(super) fn say_late(&mut self, outputs: &mut Vec<Output>) {
        let all = BucketStart(i64::MAX);
        while let Some((start, mut contents)) = self
            .late
            .as_mut()
            .and_then(|late| late.buckets.pop_before(all))
        {
            self.reader.rank();
            let series = self.series(&mut contents.groups, |cells, source| cells.take(source));
            outputs.push(Output::Late(ClosedBucket {
                start,
                finality: Finality::Final,
                event_count: contents.event_count,
                counts: DataCounts::default(),
                series,
            }));
            self.epoch += 1;
        }
    }

    /// Copies of the late buckets, for a snapshot.
    pub(super) fn late_copies(&self) -> Vec<ClosedBucket> {
        let late = self.late.iter();
        late.flat_map(|late| self.copies_of(&late.buckets, Finality::Interim))
            .collect()
    }

    /// Puts back what a snapshot says of a late bucket; `None` when that cannot have been this job's.
    pub(super) fn put_late(&mut self, bucket: ClosedBucket) -> Option<()> {
        let time = bucket.start.time();
        if !self.is_whole(&bucket) || !self.is_revisable(time) {
            return None;
        }
        let (epoch, groups, spare) = (self.epoch, self.layout.groups.len(), &mut self.spare);
        let mut contents = Contents::open(epoch, groups, spare);
        self.fill(&mut contents, bucket)?;
        self.late.as_mut()?.buckets.at(time, || contents);
        Some(())
    }
}
