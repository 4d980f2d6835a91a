//! The series of one split: how many there will be, and how many bytes each takes.
//!
//! Bytes of a series that is seen often enough to grow are those of one that lived as long; of the others, of a young one.

use super::elastic::{self, Missing};
use super::forecast::Range;
use super::report::{DAY_MS, judges};
use super::sample::{Sample, Seen, Split};
use crate::config::{FieldId, Job};
use crate::engine::feature::{Group, SeriesKey};
use crate::engine::judge::{attribute_bytes, series_bytes};
use crate::engine::wire::shard_of;
use crate::time::BucketStart;
use serde::Serialize;

/// Days that are looked ahead.
pub(super) const HORIZONS_DAYS: [i64; 3] = [1, 7, 30];
/// A series is young for so many buckets.
const COLD_BUCKETS: i64 = 3;
/// Values after which a series' model grows; fewer buckets than these say nothing of how often it is seen.
const GROWN_VALUES: i64 = 24;
/// Bytes of a value of which only the field's cardinality is known.
const TEXT_BYTES: usize = 16;

/// Series and bytes at one time.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Horizon {
    pub(super) days: f64,
    pub(super) series: Range,
    pub(super) model_bytes: Range,
}

/// Bytes of one series.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SeriesBytes {
    /// In its first buckets.
    pub(super) cold: u64,
    /// After each of [`HORIZONS_DAYS`].
    pub(super) after_days: [u64; 3],
}

/// The series of detectors that split events alike.
#[derive(Debug, Serialize)]
pub(super) struct SplitPlan {
    pub(super) detectors: Vec<String>,
    pub(super) by_field_name: Option<String>,
    pub(super) over_field_name: Option<String>,
    pub(super) partition_field_name: Option<String>,
    pub(super) bytes_a_series: SeriesBytes,
    /// Distinct series after an eighth, a quarter, half and all of the sample.
    pub(super) distinct_over_sample: Option<[u64; 4]>,
    /// Of Heaps' law.
    pub(super) growth_exponent: Option<f64>,
    pub(super) forecast: Vec<Horizon>,
    /// Beside the series: what the attributes of a population take.
    #[serde(skip)]
    attributes_bytes: u64,
    /// Of the series, by shard.
    #[serde(skip)]
    pub(super) shard_shares: Vec<f64>,
}

impl SplitPlan {
    /// `by user.name, partition host.name`; `no split`.
    pub(super) fn name(&self) -> String {
        let parts = [
            ("by", &self.by_field_name),
            ("over", &self.over_field_name),
            ("partition", &self.partition_field_name),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .filter_map(|(word, field)| Some(format!("{word} {}", field.as_ref()?)))
            .collect();
        match parts.is_empty() {
            true => "no split".to_owned(),
            false => parts.join(", "),
        }
    }

    /// `attributes`: how many by values there are, over all partitions.
    fn of(job: &Job, group: &Group, key: &SeriesKey, attributes: u64) -> SplitPlan {
        let name = |field: Option<FieldId>| field.map(|field| job.field_name(field).to_owned());
        let bytes = |lived_ms: i64| series_bytes(job, group, key, lived_ms);
        let mut detectors: Vec<String> = Vec::new();
        for feature in &group.features {
            let description = &job.detectors[usize::from(feature.detector)].description;
            if detectors.last() != Some(description) {
                detectors.push(description.clone());
            }
        }
        SplitPlan {
            detectors,
            by_field_name: name(group.by),
            over_field_name: name(group.over),
            partition_field_name: name(group.partition),
            bytes_a_series: SeriesBytes {
                cold: bytes(COLD_BUCKETS * job.bucket_span.millis()),
                after_days: HORIZONS_DAYS.map(|days| bytes(days * DAY_MS)),
            },
            distinct_over_sample: None,
            growth_exponent: None,
            forecast: Vec::new(),
            attributes_bytes: attributes.saturating_mul(attribute_bytes(group)),
            shard_shares: Vec::new(),
        }
    }

    /// Series at a horizon, of which this share lives long enough to grow.
    fn add(&mut self, at: usize, series: Range, grown_share: f64) {
        let bytes = &self.bytes_a_series;
        let (cold, grown) = (bytes.cold as f64, bytes.after_days[at] as f64);
        let each = grown_share * grown + (1.0 - grown_share) * cold;
        self.forecast.push(Horizon {
            days: HORIZONS_DAYS[at] as f64,
            series,
            model_bytes: series
                .map(|series| self.attributes_bytes + (series as f64 * each).round() as u64),
        });
    }
}

/// As a sample shows them.
pub(super) fn of_sample(job: &Job, group: &Group, split: &Split, sample: &Sample) -> SplitPlan {
    let count = split.series.len().max(1);
    let mean_bytes =
        |of: fn(&SeriesKey) -> usize| split.series.keys().map(of).sum::<usize>().div_ceil(count);
    let key = SeriesKey {
        partition: group.partition.map(|_| {
            "x".repeat(mean_bytes(|key| {
                key.partition.as_ref().map_or(0, |text| text.len())
            }))
            .into()
        }),
        over: None, // members are known by a number
        by: group.by.map(|_| {
            "x".repeat(mean_bytes(|key| {
                key.by.as_ref().map_or(0, |text| text.len())
            }))
            .into()
        }),
    };
    let mut attributes: Vec<_> = split
        .series
        .keys()
        .map(|key| (&key.partition, &key.by))
        .collect();
    attributes.sort_unstable();
    attributes.dedup();
    let mut plan = SplitPlan::of(job, group, &key, attributes.len() as u64);
    let length_ms = sample.length_ms();
    let parts = [8, 4, 2, 1].map(|part| split.curve.at(length_ms / part));
    plan.distinct_over_sample = Some(parts);
    plan.growth_exponent = split.curve.exponent();
    let span = job.bucket_span;
    let window_ms = i64::from(job.prune_window_buckets) * span.millis();
    for (at, days) in HORIZONS_DAYS.into_iter().enumerate() {
        // What was not seen for the prune window is forgotten: no more are alive than come within one.
        let series = split.curve.forecast((days * DAY_MS).min(window_ms));
        let grown = grown_share(job, group, split, sample, days * DAY_MS / span.millis());
        plan.add(at, series, grown);
    }
    let judges = judges(job);
    plan.shard_shares = vec![0.0; usize::from(judges)];
    for key in split.series.keys() {
        let shard = shard_of(key.partition.as_deref(), judges);
        plan.shard_shares[usize::from(shard)] += 1.0 / count as f64;
    }
    plan
}

/// The share of the series that will have had enough values to grow after so many buckets, each coming as often as in the sample.
fn grown_share(job: &Job, group: &Group, split: &Split, sample: &Sample, buckets: i64) -> f64 {
    let zeros = group.features.iter().any(|feature| {
        let function = job.detectors[usize::from(feature.detector)].function;
        function.family.empty_is_zero()
    });
    let last = sample.ends.map_or(BucketStart(0), |(_, last)| last);
    let grows = |seen: &&Seen| {
        let known = (job.bucket_span.buckets_between(seen.first, last) + 1).max(GROWN_VALUES);
        let values = match zeros {
            true => buckets, // a bucket without an event is the value 0
            false => (i64::from(seen.present) * buckets) / known,
        };
        values >= GROWN_VALUES
    };
    let grown = split.series.values().filter(grows).count();
    grown as f64 / split.series.len().max(1) as f64
}

/// As many as the numbers of values make.
pub(super) fn of_cardinalities(
    job: &Job,
    group: &Group,
    cardinality: &dyn Fn(FieldId) -> Option<u64>,
) -> Result<SplitPlan, Missing> {
    let text = |field: Option<FieldId>| field.map(|_| "x".repeat(TEXT_BYTES).into());
    let key = SeriesKey {
        partition: text(group.partition),
        over: None,
        by: text(group.by),
    };
    let known = |field: Option<FieldId>, role: &'static str| match field {
        Some(field) => elastic::known(job, field, role, cardinality),
        None => Ok(1),
    };
    let partitions = known(group.partition, "partition field")?;
    let by = known(group.by, "by field")?;
    let usual =
        (elastic::reduced(job, by, partitions.max(1)).ceil() as u64).saturating_mul(partitions);
    let over = known(group.over, "over field")?;
    let usual = usual.saturating_mul(over);
    let most = by.saturating_mul(partitions).saturating_mul(over);
    let series = Range {
        low: usual.min(by.max(partitions).max(over)),
        expected: usual,
        high: most.max(usual),
    };
    let mut plan = SplitPlan::of(job, group, &key, by.saturating_mul(partitions));
    (0..HORIZONS_DAYS.len()).for_each(|at| plan.add(at, series, 1.0));
    let judges = judges(job);
    let spread = |shard: u16| match group.partition {
        Some(_) => 1.0 / f64::from(judges),
        None => f64::from(u8::from(shard == 0)),
    };
    plan.shard_shares = (0..judges).map(spread).collect();
    Ok(plan)
}
