//! What a sample of a job's events shows: distinct series over time, values of fields, and what one bucket holds.
//!
//! The events go through a real gatherer, so that what is counted here is what a judge would be told.

use super::forecast::Curve;
use crate::config::{FieldId, Job};
use crate::decode::Item;
use crate::engine::feature::{Group, Layout, Row, SeriesBucket, SeriesKey, Share};
use crate::engine::gatherer::{Gatherer, Input, Output};
use crate::engine::wire::{ClosedBucket, StageMessage};
use crate::time::{BucketStart, Finality};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Distinct values of one field.
#[derive(Default)]
pub(super) struct Values {
    seen: BTreeSet<Arc<str>>,
    /// The most in one bucket.
    pub(super) most_in_bucket: u64,
}

impl Values {
    /// In the whole sample.
    pub(super) fn distinct(&self) -> u64 {
        self.seen.len() as u64
    }
}

/// When a series was seen.
pub(super) struct Seen {
    pub(super) first: BucketStart,
    /// Buckets with an event.
    pub(super) present: u32,
}

/// The series of one split.
#[derive(Default)]
pub(super) struct Split {
    pub(super) series: BTreeMap<SeriesKey, Seen>,
    pub(super) curve: Curve,
}

/// What one bucket held at the most, until it was closed.
#[derive(Clone, Copy, Default)]
pub(super) struct Fullest {
    pub(super) series: u64,
    pub(super) shares: u64,
    pub(super) bytes: u64,
}

/// What a sample shows.
pub(super) struct Sample {
    job: Arc<Job>,
    gatherer: Gatherer,
    layout: Layout,
    /// Judges that closed buckets are sent to.
    shards: u16,
    events: u64,
    rejected: u64,
    /// First and last bucket with an event.
    pub(super) ends: Option<(BucketStart, BucketStart)>,
    /// By group.
    pub(super) splits: Vec<Split>,
    pub(super) fields: BTreeMap<FieldId, Values>,
    pub(super) fullest: Fullest,
    /// Closed buckets as messages to the shards.
    pub(super) closed_bytes: u64,
}

impl Sample {
    pub(super) fn new(job: Arc<Job>) -> Sample {
        let layout = Layout::of(&job);
        Sample {
            gatherer: Gatherer::new(Arc::clone(&job)),
            splits: layout.groups.iter().map(|_| Split::default()).collect(),
            shards: super::report::judges(&job),
            layout,
            job,
            events: 0,
            rejected: 0,
            ends: None,
            fields: BTreeMap::new(),
            fullest: Fullest::default(),
            closed_bytes: 0,
        }
    }

    /// Events analysed.
    pub(super) fn events(&self) -> u64 {
        self.events - self.gatherer.passed_over()
    }

    /// Events that the job's query does not select.
    pub(super) fn passed_over(&self) -> u64 {
        self.gatherer.passed_over()
    }

    /// Events refused.
    pub(super) fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Length, from the first bucket with an event to the end of the last.
    pub(super) fn length_ms(&self) -> i64 {
        let span = self.job.bucket_span;
        self.ends.map_or(0, |(first, last)| {
            span.end_of(last).millis() - first.millis()
        })
    }

    pub(super) fn take(&mut self, item: Item<'_>) {
        let outputs = match item {
            Item::Event { event, .. } => {
                self.events += 1;
                self.gatherer.handle(Input::Event(event))
            }
            Item::Rejected { rejection, .. } => {
                self.rejected += 1;
                self.gatherer.handle(Input::Rejected(&rejection))
            }
        };
        self.hear(outputs);
    }

    pub(super) fn finish(&mut self) {
        let outputs = self.gatherer.handle(Input::Flush(Finality::Final));
        self.hear(outputs);
    }

    fn hear(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Closed(bucket) if !bucket.is_counts_only() => self.count(bucket),
                Output::Rejected(_) => {
                    self.events -= 1;
                    self.rejected += 1;
                }
                Output::Closed(_) | Output::Late(_) | Output::Watermark(_) => {}
            }
        }
    }

    fn count(&mut self, bucket: ClosedBucket) {
        let first = self.ends.map_or(bucket.start, |(first, _)| first);
        self.ends = Some((first, bucket.start));
        let until_ms = self.job.bucket_span.end_of(bucket.start).millis() - first.millis();
        let mut held = Fullest::default();
        let mut in_bucket: BTreeMap<FieldId, BTreeSet<Arc<str>>> = BTreeMap::new();
        for series in &bucket.series {
            held.series += 1;
            held.shares += series.shares.len() as u64;
            held.bytes += bytes_of(series);
            let group = &self.layout.groups[usize::from(series.group)];
            for (field, value) in values_of(&self.job, group, series) {
                let values = in_bucket.entry(field).or_default();
                if !values.contains(value) {
                    values.insert(Arc::clone(value));
                }
            }
            let split = &mut self.splits[usize::from(series.group)];
            match split.series.get_mut(&series.key) {
                Some(seen) => seen.present += 1,
                None => {
                    let (first, present) = (bucket.start, 1);
                    split
                        .series
                        .insert(series.key.clone(), Seen { first, present });
                }
            }
        }
        for split in &mut self.splits {
            split.curve.push(until_ms, split.series.len() as u64);
        }
        for (field, values) in in_bucket {
            let known = self.fields.entry(field).or_default();
            known.most_in_bucket = known.most_in_bucket.max(values.len() as u64);
            known.seen.extend(values);
        }
        if held.bytes > self.fullest.bytes {
            self.fullest = held;
        }
        let parts = bucket.split(self.shards).into_iter();
        let encoded = parts.map(|(_, part)| StageMessage::Closed(part).encode().len() as u64);
        self.closed_bytes += encoded.sum::<u64>();
    }
}

/// The values of splits and influencers that a series' bucket shows.
fn values_of<'a>(
    job: &'a Job,
    group: &'a Group,
    series: &'a SeriesBucket,
) -> impl Iterator<Item = (FieldId, &'a Arc<str>)> {
    let splits = [
        (group.by, &series.key.by),
        (group.partition, &series.key.partition),
    ];
    let splits = splits
        .into_iter()
        .filter_map(|(field, value)| Some((field?, value.as_ref()?)));
    let influencer = |share: &Share| job.influencers[usize::from(share.influencer)];
    splits.chain(
        series
            .shares
            .iter()
            .map(move |share| (influencer(share), &share.value)),
    )
}

/// Bytes of one series in an open bucket, about: what sketches hold beyond themselves is not counted.
fn bytes_of(series: &SeriesBucket) -> u64 {
    let cells = |cells: &Row| {
        if cells.spilled() {
            size_of_val(&**cells)
        } else {
            0
        }
    };
    let share = |share: &Share| size_of::<Share>() + share.value.len() + cells(&share.cells);
    let text = |part: &Option<Arc<str>>| part.as_ref().map_or(0, |text| text.len());
    let shares: usize = series.shares.iter().map(share).sum();
    (size_of::<SeriesBucket>()
        + text(&series.key.by)
        + text(&series.key.partition)
        + cells(&series.cells)
        + shares) as u64
}
