//! What series will cost: the bytes of one that lives, found by letting one live.
//!
//! Source of every figure: the models themselves, taught noise around a daily rhythm: a plan has to suffice where all series have one, and those that have
//! none stay smaller. Holds: a function of its arguments; the bytes are counted as the judge counts them.

use super::correlates;
use super::habits;
use super::memory::{Budget, map_bytes};
use super::series::{FeatureKind, Series};
use crate::config::Job;
use crate::engine::feature::{Analysis, Group, Layout};
use crate::engine::model::crowd::Crowd;
use crate::engine::model::presence::Presence;
use crate::engine::model::profile::HOUR_MS;
use crate::engine::model::runs::Run;
use crate::engine::model::{Model, Room, Sample, SeriesModel};
use crate::engine::wire::SeriesKey;
use crate::time::EventTime;

/// So many values stand for any larger number: every part of a model has grown to its full size by then.
const VALUES_MAX: i64 = 1000;
/// Of so many members of a population one is on a run: about a seventh has a tally by chance (`engine::model::runs`).
const MEMBERS_A_RUN: u64 = 5;
/// Measurements a value.
const MEASUREMENTS: u64 = 10;

/// Bytes of a series of `group` that has lived for `lived_ms` and had a value in every bucket. Of a rare value, and of a member of a population, they
/// are always the same.
pub fn series_bytes(job: &Job, group: &Group, key: &SeriesKey, lived_ms: i64) -> u64 {
    let value = map_bytes::<u64, Presence>() as u64;
    match group.analysis {
        Analysis::Individual => {}
        Analysis::Rare => return value,
        Analysis::Population => {
            let run = map_bytes::<u64, Run>() as u64;
            return value + (detectors_of(group) * run).div_ceil(MEMBERS_A_RUN);
        }
        // The member, what it has, and that it has it.
        Analysis::RareInPopulation => return 3 * value,
        Analysis::Habits => return habits::series_bytes_max(group.features.len()),
    }
    let values = (lived_ms / job.bucket_span.millis()).clamp(1, VALUES_MAX);
    let step_ms = (lived_ms / values).max(job.bucket_span.millis());
    let kinds = FeatureKind::all(job, group);
    let around = Series::bytes_when_new(0, key);
    let models = kinds.iter().map(|feature| {
        let mut model = SeriesModel::new();
        for at in 0..values {
            let time = EventTime(at * step_ms);
            let hour = time.millis() as f64 / HOUR_MS as f64;
            let rhythm = (std::f64::consts::TAU * hour / 24.0).cos();
            let value = 100.0 + 50.0 * rhythm + 20.0 * noise(at);
            let sample = Sample {
                at: time,
                value: match feature.kind.counting {
                    true => value.round(),
                    false => value,
                },
                measurements: MEASUREMENTS,
            };
            let verdict = model.judge(&feature.kind, &sample);
            model.learn(
                &feature.kind,
                &sample,
                verdict.as_ref(),
                &mut Room::unlimited(),
            );
        }
        model.memory_bytes() as u64
    });
    let correlates = match (&key.by, job.multivariate_by_fields) {
        (Some(by), true) => (kinds.len() * correlates::bytes_max(by)) as u64,
        _ => 0,
    };
    around + models.sum::<u64>() + correlates
}

/// The most bytes that an attribute of a population takes beside its members: a full histogram a feature, and of the runs of members one a detector (of many attributes,
/// which have these together, the histograms are never all full).
pub fn attribute_bytes(group: &Group) -> u64 {
    match group.analysis {
        Analysis::Population => {
            let runs = match group.by {
                Some(_) => 0,
                None => detectors_of(group),
            };
            (group.features.len() as u64 + runs) * Crowd::bytes_max(map_bytes::<i32, f32>())
        }
        Analysis::Individual | Analysis::Rare | Analysis::RareInPopulation | Analysis::Habits => 0,
    }
}

/// How many detectors a group has.
fn detectors_of(group: &Group) -> u64 {
    let detectors = group.features.chunk_by(|a, b| a.detector == b.detector);
    detectors.count() as u64
}

/// The part of the job's memory limit that a shard has among so many judges, bytes.
pub fn limit_of_shard(job: &Job, shard: u16, judges: u16) -> u64 {
    Budget::of(job, &Layout::of(job), shard, judges).limit()
}

/// Evenly over 0..1, without a pattern: the fractions of the squares' multiples of the golden ratio (Weyl 1916).
fn noise(at: i64) -> f64 {
    (at as f64 * at as f64 * 0.618_033_988_749_895).fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_small_at_first_and_as_large_as_it_gets_after_a_month() {
        let job = Job::from_value(&serde_json::json!({
            "job_id": "j", "data_description": {},
            "analysis_config": {"bucket_span": "5m", "detectors": [{"function": "mean", "field_name": "x", "by_field_name": "y"}]},
        }))
        .expect("a job");
        let layout = Layout::of(&job);
        let key = SeriesKey {
            partition: None,
            over: None,
            by: Some("value".into()),
        };
        let day_ms = 86_400_000;
        let bytes = [900_000, day_ms, 7 * day_ms, 30 * day_ms, 365 * day_ms]
            .map(|lived_ms| series_bytes(&job, &layout.groups[0], &key, lived_ms));
        assert!(bytes[0] < 1200 && bytes[..4].is_sorted(), "{bytes:?}");
        // Lists of what stood out hold a little more or less.
        assert!(bytes[4].abs_diff(bytes[3]) < bytes[3] / 20, "{bytes:?}");
    }
}
