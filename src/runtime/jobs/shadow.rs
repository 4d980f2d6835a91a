//! The shadow of a job: the same analysis under another id, for a replay beside the job itself.
//!
//! It has its own group, internal topics, snapshots and results; nothing of the job is touched. It belongs to no group of jobs (whoever
//! watches a group means the jobs at work) and has no interim results, since nobody waits for an open bucket of the past.

use crate::config::{ConfigErrors, Job};
use serde_json::json;
use std::sync::Arc;

/// Why a job has no such shadow.
#[derive(Debug, thiserror::Error)]
pub enum ShadowError {
    /// It would be the job.
    #[error("a shadow needs an id of its own, not {0:?}")]
    SameId(String),
    /// The id, most likely.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
}

/// `job` as `id`.
pub fn shadow(job: &Job, id: &str) -> Result<Arc<Job>, ShadowError> {
    if id == job.id {
        return Err(ShadowError::SameId(id.to_owned()));
    }
    let mut document = job.document.clone();
    document["job_id"] = json!(id);
    document["description"] = json!(format!("Replay of {}", job.id));
    if let Some(object) = document.as_object_mut() {
        object.shift_remove("groups");
    }
    if let Some(datafeed) = document.get_mut("datafeed_config") {
        datafeed["job_id"] = json!(id);
        datafeed["datafeed_id"] = json!(id);
    }
    if document.get("tidewatch").is_none() {
        document["tidewatch"] = json!({});
    }
    document["tidewatch"]["interim_interval"] = json!("0s");
    Ok(Arc::new(Job::from_value(&document)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shadow_computes_what_its_job_does_under_another_name() {
        let text = "job_id: web\ngroups: [shop]\nanalysis_config: {bucket_span: 1m, detectors: [{function: count}]}\n\
                    data_description: {}\ndatafeed_config: {indices: [logs]}\ntidewatch: {shards: 2}\n";
        let job = Job::from_text(text, "web.yaml").unwrap();
        let shadow = shadow(&job, "web-march").unwrap();
        assert_eq!(shadow.id, "web-march");
        assert_eq!(shadow.groups, Vec::<String>::new());
        assert_eq!(shadow.extensions.shards, 2);
        assert_eq!(shadow.extensions.interim_interval_ms, 0);
        assert_eq!(shadow.bucket_span, job.bucket_span);
        assert_eq!(
            shadow.document["analysis_config"],
            job.document["analysis_config"]
        );
        let same = super::shadow(&job, "web").unwrap_err().to_string();
        assert_eq!(same, "a shadow needs an id of its own, not \"web\"");
        let bad = super::shadow(&job, "Web!").unwrap_err().to_string();
        assert!(bad.contains("job_id"), "{bad}");
    }
}
