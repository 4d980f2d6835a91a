//! One look at one instance: its health, and the few metrics that its health does not tell.
//!
//! Reads `tidewatch.health/1` as a document that grows: fields that are not known are passed over, and those that are missing are unknown. Times are milliseconds
//! since the epoch, sizes bytes.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Instant;

/// The document that is understood.
const SCHEMA: &str = "tidewatch.health/1";
/// The counter of a job's events. A histogram's count: how late each event was.
const EVENTS: &str = "tidewatch_event_lateness_seconds_count";

/// What an instance answered, and when.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) url: String,
    pub(super) at: Instant,
    pub(super) outcome: Result<Outcome, String>,
}

/// How an instance is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outcome {
    pub(super) health: Health,
    /// Events that each job has read since the instance began.
    pub(super) events: BTreeMap<String, f64>,
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<f64>,
}

/// `/healthz`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Health {
    pub(super) schema: String,
    pub(super) version: String,
    pub(super) timestamp_ms: i64,
    pub(super) live: bool,
    pub(super) ready: bool,
    pub(super) jobs: BTreeMap<String, Job>,
}

/// A job on an instance.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Job {
    pub(super) state: String,
    pub(super) error: Option<String>,
    pub(super) live: bool,
    pub(super) bucket_span_ms: i64,
    pub(super) lag_messages: Option<u64>,
    pub(super) watermark_timestamp_ms: Option<i64>,
    pub(super) partitions: Vec<serde_json::Value>,
    pub(super) last_bucket: Option<Bucket>,
    pub(super) memory: Memory,
    pub(super) hottest: Vec<Hot>,
}

/// The last bucket published.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Bucket {
    pub(super) timestamp_ms: i64,
    pub(super) anomaly_score: f64,
    pub(super) event_count: u64,
}

/// A job's memory.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    pub(super) model_bytes: u64,
    pub(super) limit_bytes: u64,
    pub(super) status: String,
    pub(super) series: u64,
}

/// A strong record.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Hot {
    pub(super) timestamp_ms: i64,
    pub(super) record_score: f64,
    pub(super) function: String,
    pub(super) entity: BTreeMap<String, String>,
    pub(super) influencers: BTreeMap<String, String>,
    pub(super) actual: Vec<f64>,
    pub(super) typical: Vec<f64>,
}

impl Outcome {
    /// From the bodies of `/healthz` and `/metrics`.
    pub(super) fn read(health: &str, metrics: &str) -> Result<Outcome, String> {
        let health: Health = serde_json::from_str(health)
            .map_err(|error| format!("/healthz is not what it should be: {error}"))?;
        if health.schema != SCHEMA {
            return Err(format!(
                "/healthz is \"{}\", and this build reads \"{SCHEMA}\"",
                health.schema
            ));
        }
        let mut outcome = Outcome {
            health,
            ..Outcome::default()
        };
        for sample in metrics.lines().filter_map(sample) {
            match sample {
                (EVENTS, labels, value) => {
                    if let Some(job) = label(labels, "job_id") {
                        outcome.events.insert(job, value);
                    }
                }
                ("process_cpu_seconds_total", _, value) => outcome.cpu_seconds = Some(value),
                ("process_resident_memory_bytes", _, value) => outcome.resident_bytes = Some(value),
                _ => {}
            }
        }
        Ok(outcome)
    }
}

/// Name, labels and value of a line of Prometheus' text format; `None` when it is a comment, or nothing of the kind.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok().filter(|value: &f64| value.is_finite())?;
    match series.split_once('{') {
        Some((name, labels)) => Some((name, labels.strip_suffix('}')?, value)),
        None => Some((series, "", value)),
    }
}

/// A label's value, which has `\`, `"` and line ends escaped.
fn label(labels: &str, name: &str) -> Option<String> {
    let mut rest = labels;
    loop {
        let (found, after) = rest.split_once("=\"")?;
        let (mut value, mut end) = (String::new(), None);
        let mut chars = after.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = Some(at);
                    break;
                }
                '\\' => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                c => value.push(c),
            }
        }
        if found.trim_start_matches(',').trim() == name {
            return end.map(|_| value);
        }
        rest = &after[end? + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn health_and_metrics_are_read_and_what_is_new_in_them_passed_over() {
        let health = r#"{"schema":"tidewatch.health/1","version":"0.1.0","of_tomorrow":[1],"timestamp_ms":5,"live":true,"ready":true,
            "jobs":{"web":{"state":"live","lag_messages":null,"partitions":[{}],"memory":{"model_bytes":1,"limit_bytes":2,"status":"ok"}}}}"#;
        let metrics = "# HELP x y\ntidewatch_event_lateness_seconds_count{job_id=\"web\"} 12\nprocess_cpu_seconds_total 3.5\n\
            process_resident_memory_bytes 1e6\nother{a=\"b\"} NaN\n";
        let outcome = Outcome::read(health, metrics).unwrap();
        assert_eq!(outcome.health.jobs["web"].state, "live");
        assert_eq!(outcome.health.jobs["web"].lag_messages, None);
        assert_eq!(outcome.events["web"], 12.0);
        assert_eq!(outcome.cpu_seconds, Some(3.5));
        assert_eq!(outcome.resident_bytes, Some(1e6));
    }

    #[test]
    fn another_document_is_refused_by_name() {
        let later = Outcome::read(r#"{"schema":"tidewatch.health/2"}"#, "");
        assert!(later.unwrap_err().contains("tidewatch.health/2"));
        assert!(Outcome::read("<html>", "").is_err());
    }

    #[test]
    fn labels_are_read_with_what_is_escaped_in_them() {
        let labels = r#"detector="a\"b,c=\"d",job_id="x\\y\n",z="1""#;
        assert_eq!(label(labels, "job_id").as_deref(), Some("x\\y\n"));
        assert_eq!(label(labels, "detector").as_deref(), Some("a\"b,c=\"d"));
        assert_eq!(label(labels, "z").as_deref(), Some("1"));
        assert_eq!(label(labels, "c"), None);
    }

    proptest! {
        #[test]
        fn no_answer_is_a_panic(health in any::<String>(), metrics in "[a-z{}=\"\\\\, \n0-9]{0,80}") {
            let _ = Outcome::read(&health, &metrics);
            let _ = Outcome::read(r#"{"schema":"tidewatch.health/1"}"#, &metrics);
        }
    }
}
