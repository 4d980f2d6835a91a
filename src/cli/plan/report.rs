//! The plan itself: series, bytes and a limit, from a sample or from cardinalities.
//!
//! Holds: the limit recommended leaves a fifth free after 30 days, in the fullest shard.

use super::elastic::{self, Missing};
use super::sample::Sample;
use super::split::{HORIZONS_DAYS, Horizon, SplitPlan, of_cardinalities, of_sample};
use crate::config::{FieldId, Job};
use crate::engine::feature::Layout;
use crate::engine::judge::limit_of_shard;
use serde::Serialize;
use std::collections::BTreeMap;

pub(super) const DAY_MS: i64 = 86_400_000;
/// Resident bytes a byte of models (`cargo bench --bench memory`), and those of a `detect` without any.
const RESIDENT_RATIO: f64 = 1.2;
const RESIDENT_EMPTY: u64 = 16 << 20;
/// Bytes of a snapshot a byte of models: of old series, by the same benchmark.
const SNAPSHOT_RATIO: f64 = 0.85;
const MB: u64 = 1 << 20;

/// A field that splits or influences.
#[derive(Debug, Serialize)]
pub(super) struct Field {
    pub(super) field: String,
    pub(super) distinct: u64,
    pub(super) most_in_bucket: u64,
}

/// What the sample was.
#[derive(Debug, Serialize)]
pub(super) struct SampleFacts {
    pub(super) events: u64,
    pub(super) rejected: u64,
    /// Not selected by the job's query.
    pub(super) passed_over: u64,
    pub(super) from_ms: i64,
    pub(super) until_ms: i64,
    /// What the fullest bucket held until it was closed: outside of the limit, in gatherers and in judges.
    pub(super) open_bucket_series: u64,
    pub(super) open_bucket_shares: u64,
    pub(super) open_bucket_bytes: u64,
    /// From gatherers to judges, a day; absent where they are one.
    pub(super) closed_topic_bytes_a_day: Option<u64>,
}

/// The whole plan.
#[derive(Debug, Serialize)]
pub(super) struct Plan {
    pub(super) job_id: String,
    pub(super) bucket_span_seconds: i64,
    pub(super) buckets_a_day: f64,
    pub(super) sample: Option<SampleFacts>,
    pub(super) fields: Vec<Field>,
    pub(super) splits: Vec<SplitPlan>,
    /// Of all splits.
    pub(super) forecast: Vec<Horizon>,
    pub(super) model_memory_limit_bytes: u64,
    pub(super) recommended_limit_bytes: u64,
    pub(super) elastic_estimate_bytes: u64,
    /// Judges that the limit is shared out among.
    pub(super) judges: u16,
    /// Of all processes together, after 30 days.
    pub(super) resident_bytes: u64,
    pub(super) snapshot_bytes: u64,
    pub(super) warnings: Vec<String>,
}

/// Judges that the service would share a job out to.
pub(super) fn judges(job: &Job) -> u16 {
    match job.datafeed.is_some() && !job.extensions.keyed_by_partition_field {
        true => job.extensions.shards.max(1),
        false => 1,
    }
}

impl Plan {
    /// From what a sample shows.
    pub(super) fn from_sample(job: &Job, sample: &Sample) -> Result<Plan, Missing> {
        let layout = Layout::of(job);
        let splits = layout.groups.iter().zip(&sample.splits);
        let splits = splits.map(|(group, split)| of_sample(job, group, split, sample));
        let split_fields: Vec<FieldId> = layout
            .groups
            .iter()
            .flat_map(|group| [group.by, group.over, group.partition])
            .flatten()
            .collect();
        let cardinality = |field: FieldId| {
            let values = sample.fields.get(&field);
            Some(match split_fields.contains(&field) {
                true => values.map_or(0, |values| values.distinct()),
                false => values.map_or(0, |values| values.most_in_bucket),
            })
        };
        let mut plan = Plan::of(job, splits.collect(), &cardinality)?;
        let field = |(&id, values): (&FieldId, &super::sample::Values)| Field {
            field: job.field_name(id).to_owned(),
            distinct: values.distinct(),
            most_in_bucket: values.most_in_bucket,
        };
        plan.fields = sample.fields.iter().map(field).collect();
        plan.sample = Some(SampleFacts::of(sample, plan.judges));
        plan.resident_bytes += 2 * sample.fullest.bytes;
        if sample.length_ms() < DAY_MS {
            plan.warnings.push(
                "the sample is shorter than a day: what comes at other hours is not in it"
                    .to_owned(),
            );
        }
        for split in &plan.splits {
            if let Some(exponent) = split.growth_exponent.filter(|&exponent| exponent > 0.7) {
                plan.warnings.push(format!(
                    "{}: new series keep coming (like t^{exponent:.2}); a field of ids is a poor split",
                    split.name()
                ));
            }
        }
        Ok(plan)
    }

    /// From the numbers of values that somebody says fields have.
    pub(super) fn from_cardinalities(
        job: &Job,
        known: &BTreeMap<String, u64>,
    ) -> Result<Plan, Missing> {
        let cardinality = |field: FieldId| known.get(job.field_name(field)).copied();
        let splits: Result<Vec<SplitPlan>, Missing> = Layout::of(job)
            .groups
            .iter()
            .map(|group| of_cardinalities(job, group, &cardinality))
            .collect();
        Plan::of(job, splits?, &cardinality)
    }

    fn of(
        job: &Job,
        splits: Vec<SplitPlan>,
        cardinality: &dyn Fn(FieldId) -> Option<u64>,
    ) -> Result<Plan, Missing> {
        let forecast: Vec<Horizon> = (0..HORIZONS_DAYS.len())
            .map(|at| {
                let horizons = splits.iter().map(|split| split.forecast[at]);
                horizons.reduce(|a, b| Horizon {
                    days: a.days,
                    series: a.series.plus(b.series),
                    model_bytes: a.model_bytes.plus(b.model_bytes),
                })
            })
            .map(|sum| sum.expect("a job has a detector"))
            .collect();
        let judges = judges(job);
        let needed = |at: usize| needed_limit(job, &splits, at, judges);
        let recommended = ((needed(2) / 0.8) as u64).div_ceil(MB).max(1) * MB;
        let bytes = forecast[2].model_bytes.expected;
        let limit = job.model_memory_limit_bytes;
        let mut warnings = Vec::new();
        if limit < recommended {
            let reached = (0..HORIZONS_DAYS.len()).find(|&at| needed(at) > 0.9 * limit as f64);
            warnings.push(match reached {
                Some(at) => format!(
                    "model_memory_limit, {}, is too small: within {} new series would be refused",
                    bytes_text(limit),
                    ["a day", "a week", "30 days"][at],
                ),
                None => format!(
                    "model_memory_limit, {}, is near: within 30 days series not seen for longer than they lived would be forgotten",
                    bytes_text(limit),
                ),
            });
        }
        Ok(Plan {
            job_id: job.id.clone(),
            bucket_span_seconds: job.bucket_span.seconds(),
            buckets_a_day: DAY_MS as f64 / job.bucket_span.millis() as f64,
            sample: None,
            fields: Vec::new(),
            elastic_estimate_bytes: elastic::estimate(job, cardinality)?,
            model_memory_limit_bytes: limit,
            recommended_limit_bytes: recommended,
            judges,
            resident_bytes: RESIDENT_EMPTY + (RESIDENT_RATIO * bytes as f64) as u64,
            snapshot_bytes: (SNAPSHOT_RATIO * bytes as f64) as u64,
            forecast,
            splits,
            warnings,
        })
    }
}

impl SampleFacts {
    fn of(sample: &Sample, judges: u16) -> SampleFacts {
        let days = sample.length_ms() as f64 / DAY_MS as f64;
        let from_ms = sample.ends.map_or(0, |(first, _)| first.millis());
        SampleFacts {
            events: sample.events(),
            rejected: sample.rejected(),
            passed_over: sample.passed_over(),
            from_ms,
            until_ms: from_ms + sample.length_ms(),
            open_bucket_series: sample.fullest.series,
            open_bucket_shares: sample.fullest.shares,
            open_bucket_bytes: sample.fullest.bytes,
            closed_topic_bytes_a_day: (judges > 1)
                .then(|| (sample.closed_bytes as f64 / days.max(1e-9)) as u64),
        }
    }
}

/// The limit of the whole job that its fullest shard would need at a horizon, bytes.
fn needed_limit(job: &Job, splits: &[SplitPlan], at: usize, judges: u16) -> f64 {
    let needed = |shard: u16| {
        let bytes = splits.iter().map(|split| {
            let share = split.shard_shares.get(usize::from(shard)).copied();
            share.unwrap_or(0.0) * split.forecast[at].model_bytes.expected as f64
        });
        let bytes: f64 = bytes.sum();
        let limit = limit_of_shard(job, shard, judges) as f64;
        match bytes > 0.0 {
            true => bytes * job.model_memory_limit_bytes as f64 / limit.max(1.0),
            false => 0.0,
        }
    };
    (0..judges).map(needed).fold(0.0, f64::max)
}

/// `1.5 MB`, units of 1024.
pub(super) fn bytes_text(bytes: u64) -> String {
    let mut amount = bytes as f64;
    let mut units = ["B", "KB", "MB", "GB", "TB"].into_iter();
    let mut unit = units.next().expect("five");
    while amount >= 1024.0 {
        let Some(larger) = units.next() else { break };
        (amount, unit) = (amount / 1024.0, larger);
    }
    match amount < 10.0 && unit != "B" && amount.fract() > 0.05 {
        true => format!("{amount:.1} {unit}"),
        false => format!("{amount:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_two_figures_or_more() {
        let texts = [0, 1023, 1024, 1536, 12 << 10, 1 << 30, 1100 << 30].map(bytes_text);
        assert_eq!(
            texts,
            ["0 B", "1023 B", "1 KB", "1.5 KB", "12 KB", "1 GB", "1.1 TB"]
        );
    }
}
