//! The totals of a job: what was read and refused, how large the models are, and when it is worth saying.
//!
//! Holds: totals are as of the last closed bucket, whatever shards that are ahead have said already.

use super::{Output, Rollup, SaidSize};
use crate::engine::judge::ShardSize;
use crate::engine::result::{Document, JobCounts};
use crate::engine::wire::InputId;
use crate::time::BucketStart;
use std::sync::Arc;

/// Buckets of which the usual event count is known, for sparse buckets.
const SPARSE_WINDOW: usize = 20;
const SPARSE_WINDOW_MIN: usize = 10;
/// A bucket is sparse when its count is below the mean by this many nats.
const SPARSE_NATS: f64 = 2.0;
/// Model sizes are said again when they have grown or shrunk by this share.
const SIZE_CHANGE: f64 = 0.1;
/// Data counts are said again every so many buckets, but at least once a day.
const COUNTS_BUCKETS: i64 = 24;
const DAY_MS: i64 = 86_400_000;

impl Rollup {
    pub(super) fn count_bucket(&mut self, start: BucketStart, events: u64) {
        let state = &mut self.state;
        state.buckets += 1;
        let known = state.recent_counts.len();
        let mean = state.recent_counts.iter().sum::<u64>() as f64 / known.max(1) as f64;
        if events == 0 {
            state.empty_buckets += 1;
            state.latest_empty = Some(start);
        } else if known >= SPARSE_WINDOW_MIN && mean.ln() - (events as f64).ln() > SPARSE_NATS {
            state.sparse_buckets += 1;
            state.latest_sparse = Some(start);
        }
        state.recent_counts.push_back(events);
        if state.recent_counts.len() > SPARSE_WINDOW {
            state.recent_counts.pop_front();
        }
    }

    pub(super) fn job_counts(&self) -> JobCounts {
        JobCounts {
            counts: self.state.counts.clone(),
            bucket_count: self.state.buckets,
            empty_bucket_count: self.state.empty_buckets,
            sparse_bucket_count: self.state.sparse_buckets,
            latest_empty_bucket: self.state.latest_empty,
            latest_sparse_bucket: self.state.latest_sparse,
            late_revised: self.revisions.as_ref().map_or(0, |known| known.events()),
        }
    }

    /// Data counts, whenever a time comes that all placements agree on, if anything has come since they were last said.
    pub(super) fn say_counts(&mut self, start: BucketStart, outputs: &mut Vec<Output>) {
        let span = self.job.bucket_span;
        let every = (DAY_MS / span.millis()).clamp(1, COUNTS_BUCKETS);
        let due = (span.end_of(start).millis() / span.millis()) % every == 0;
        if due && self.state.counts != self.state.said_counts {
            self.state.said_counts = self.state.counts.clone();
            let document = self.writer.data_counts(start, self.job_counts());
            outputs.push(Output::Result(document));
        }
    }

    /// The shards' sizes and counts are those that they had at the end of bucket `until`. What keyed pairs have announced up to then.
    pub(super) fn take_ahead(&mut self, until: BucketStart) -> Vec<(Arc<str>, InputId)> {
        let mut keys = Vec::new();
        while let Some(first) = self.state.ahead.first_entry() {
            if *first.key() > until {
                break;
            }
            let ahead = first.remove();
            self.state.sizes.extend(ahead.sizes);
            self.state.counts.add(&ahead.counts);
            keys.extend(ahead.keys);
        }
        keys
    }

    pub(super) fn size(&self) -> ShardSize {
        let categories = ShardSize {
            model_bytes: self.state.categories.bytes,
            ..ShardSize::default()
        };
        self.state.sizes.values().fold(categories, |mut sum, size| {
            sum.model_bytes += size.model_bytes;
            sum.series += size.series;
            sum.by_values += size.by_values;
            sum.over_values += size.over_values;
            sum.partitions += size.partitions;
            sum.allocation_failures += size.allocation_failures;
            sum.refused_series += size.refused_series;
            sum.refused_growth += size.refused_growth;
            sum.status = sum.status.max(size.status);
            sum
        })
    }

    /// Model sizes, when they have changed enough to be worth saying.
    pub(super) fn say_size(&mut self, start: BucketStart, outputs: &mut Vec<Output>) {
        let size = self.size();
        self.state.peak_bytes = self.state.peak_bytes.max(size.model_bytes);
        let now = SaidSize {
            model_bytes: size.model_bytes,
            allocation_failures: size.allocation_failures,
            status: size.status,
        };
        let worth = self.state.said_size.is_none_or(|said| {
            let change = now.model_bytes as f64 - said.model_bytes as f64;
            change.abs() > SIZE_CHANGE * said.model_bytes as f64
                || now.allocation_failures != said.allocation_failures
                || now.status != said.status
        });
        if worth {
            outputs.push(Output::Result(self.size_document(start)));
            self.state.said_size = Some(now);
        }
    }

    pub(super) fn size_document(&self, at: BucketStart) -> Document {
        let size = self.size();
        let categories = self.state.categories.stats;
        self.writer
            .model_size(at, &size, self.state.peak_bytes, categories)
    }
}
