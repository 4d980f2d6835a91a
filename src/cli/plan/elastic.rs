//! What Elastic would estimate: the formula of `_estimate_model_memory`.
//!
//! Source: job-config.md 1.11. Bytes, KB and MB of 1024. Where Elastic asks for a cardinality that is not known, so do we.

use crate::config::{Detector, Family, FieldId, Job};
use std::collections::BTreeSet;

const KB: u64 = 1 << 10;
const MB: u64 = 1 << 20;
/// A member of a population.
const MEMBER_BYTES: u64 = 768;

/// A cardinality that is needed and was not given.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "how many values has {field}, the {role}? Say --cardinality {field}=N, or plan with a sample"
)]
pub(super) struct Missing {
    field: String,
    role: &'static str,
}

/// The estimate, bytes, a whole number of MB; `cardinality` of a split field is that of all data, of any other influencer that of a bucket.
pub(super) fn estimate(
    job: &Job,
    cardinality: &dyn Fn(FieldId) -> Option<u64>,
) -> Result<u64, Missing> {
    let mut total = 10 * MB;
    for detector in &job.detectors {
        total = total.saturating_add(of_detector(job, detector, cardinality)?);
    }
    let splits: BTreeSet<FieldId> = job
        .detectors
        .iter()
        .flat_map(|detector| [detector.by, detector.over, detector.partition])
        .flatten()
        .collect();
    for &influencer in job.influencers.iter().filter(|one| !splits.contains(one)) {
        let values = known(job, influencer, "influencer (in one bucket)", cardinality)?;
        total = total.saturating_add(values.saturating_mul(10 * KB));
    }
    Ok(total.div_ceil(MB).saturating_mul(MB))
}

/// Series that `by` values make in each of `partitions`, when most partitions have only some of them.
pub(super) fn reduced(job: &Job, by: u64, partitions: u64) -> f64 {
    if by == 0 {
        return 0.0;
    }
    let exponent = (((job.bucket_span.seconds() as f64).log10() + 1.0) / 8.0).min(1.0);
    by as f64 / (by.min(partitions) as f64).powf(exponent)
}

fn of_detector(
    job: &Job,
    detector: &Detector,
    cardinality: &dyn Fn(FieldId) -> Option<u64>,
) -> Result<u64, Missing> {
    let family = detector.function.family;
    let partitions = match detector.partition {
        Some(field) => known(job, field, "partition field", cardinality)?.max(1),
        None => 1,
    };
    let mut bytes = base(family);
    if let Some(field) = detector.by {
        let by = known(job, field, "by field", cardinality)?;
        bytes = bytes.saturating_mul((reduced(job, by, partitions) * 2.0 / 3.0).ceil() as u64);
    }
    if let Some(field) = detector.over {
        let members = known(job, field, "over field", cardinality)?;
        let in_each = reduced(job, members, partitions).ceil() as u64;
        bytes = bytes.saturating_add(in_each.saturating_mul(MEMBER_BYTES));
    }
    bytes = bytes.saturating_mul(partitions);
    let sets = matches!(family, Family::DistinctCount | Family::InfoContent);
    Ok(bytes.saturating_add(if sets { 5 * MB } else { 0 }))
}

fn base(family: Family) -> u64 {
    use Family as F;
    KB * match family {
        F::Count | F::NonZeroCount | F::DistinctCount => 32,
        F::Rare | F::FreqRare => 2,
        F::InfoContent | F::Mean | F::Min | F::Max | F::Sum | F::NonNullSum | F::Varp => 48,
        F::Metric => 120,
        F::Median | F::LatLong => 64,
        F::TimeOfDay | F::TimeOfWeek => 10,
    }
}

/// The cardinality of a field, or who wants to know it.
pub(super) fn known(
    job: &Job,
    field: FieldId,
    role: &'static str,
    cardinality: &dyn Fn(FieldId) -> Option<u64>,
) -> Result<u64, Missing> {
    cardinality(field).ok_or_else(|| Missing {
        field: job.field_name(field).to_owned(),
        role,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate_mb(span: &str, detectors: &str, influencers: &str, values: u64) -> u64 {
        let text = format!(
            r#"{{"job_id": "j", "data_description": {{}}, "analysis_config": {{"bucket_span": "{span}", "detectors": [{detectors}], "influencers": [{influencers}]}}}}"#
        );
        let job = Job::from_value(&serde_json::from_str(&text).unwrap()).expect("a job");
        estimate(&job, &|_| Some(values)).unwrap() / MB
    }

    // Worked by hand from the table of job-config.md 1.11; at 10 s the exponent is 1/4, at 1,000,000 s 7/8.
    #[test]
    fn the_formula_is_elastics() {
        let count = r#"{"function": "count"}"#;
        let mean_by = r#"{"function": "mean", "field_name": "x", "by_field_name": "b"}"#;
        let both = r#"{"function": "mean", "field_name": "x", "by_field_name": "b", "partition_field_name": "p"}"#;
        let distinct = r#"{"function": "dc", "field_name": "x", "partition_field_name": "p"}"#;
        for (span, detectors, influencers, values, mb) in [
            ("10s", count, "", 0, 11),             // 10 MB + 32 KB
            ("10s", mean_by, "", 3000, 104),       // 48 KB x 2000 = 93.75 MB
            ("10s", mean_by, "", 0, 10),           // no by value, no memory
            ("10s", both, "", 16, 15),             // 16 / 16^.25 = 8; 48 KB x 6 x 16 = 4.5 MB
            ("10s", distinct, "", 100, 19),        // 3.125 MB + 5 MB
            ("10s", count, r#""i""#, 1000, 20),    // 9.77 MB of influencers
            ("10s", mean_by, r#""b""#, 3000, 104), // a by field is not counted again
        ] {
            assert_eq!(
                estimate_mb(span, detectors, influencers, values),
                mb,
                "{span} {detectors} {influencers} {values}"
            );
        }
    }

    #[test]
    fn a_cardinality_that_is_needed_is_asked_for_by_name() {
        let job = Job::from_value(&serde_json::json!({
            "job_id": "j", "data_description": {},
            "analysis_config": {"bucket_span": "5m", "detectors": [{"function": "count", "by_field_name": "user.name"}]},
        }))
        .expect("a job");
        let missing = estimate(&job, &|_| None).unwrap_err().to_string();
        assert_eq!(
            missing,
            "how many values has user.name, the by field? Say --cardinality user.name=N, or plan with a sample"
        );
    }
}
