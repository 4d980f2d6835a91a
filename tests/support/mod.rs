//! What the gatherer's tests share: a job in one line, events that own their values.

use std::sync::Arc;
use tidewatch::config::{Detector, FieldId, Function, Job};
use tidewatch::engine::event::{Event, Value};
use tidewatch::time::{EventTime, Lateness};

/// The fields of every test job, in the order of an event's values. `n` is the summary count field of the jobs that have one.
pub(crate) const FIELDS: [&str; 5] = ["host", "service", "user", "value", "n"];

/// A detector: function, field_name, by_field_name, partition_field_name (each `""` for none), use_null.
pub(crate) type Split<'a> = (&'a str, &'a str, &'a str, &'a str, bool);

/// A job with 10-second buckets. Detectors are put in as they are, so that a test may hold combinations that the configuration refuses; the
/// fingerprint is that of the template, so that only the shape tells jobs apart.
pub(crate) fn job(
    latency_s: i64,
    summary: bool,
    detectors: &[Split<'_>],
    influencers: &[&str],
) -> Arc<Job> {
    let field = |name: &str| {
        let at = FIELDS.iter().position(|field| *field == name);
        at.map(|at| FieldId(at as u16))
    };
    let detector = |(index, split): (usize, &Split<'_>)| Detector {
        index: index as u16,
        function: Function::from_name(split.0).expect("a function"),
        field: field(split.1),
        by: field(split.2),
        partition: field(split.3),
        use_null: split.4,
        exclude_frequent_by: false,
        exclude_frequent_over: false,
        over: None,
        rules: Vec::new(),
        description: String::new(),
    };
    let template = r#"{"job_id": "test", "data_description": {"time_field": "time"},
        "analysis_config": {"bucket_span": "10s", "detectors": [{"function": "count"}]}}"#;
    Arc::new(Job {
        lateness: Lateness::from_seconds(latency_s).expect("a latency"),
        detectors: detectors.iter().enumerate().map(detector).collect(),
        influencers: influencers
            .iter()
            .map(|name| field(name).expect("a field"))
            .collect(),
        summary_count_field: summary.then_some(FieldId(4)),
        fields: FIELDS.map(str::to_owned).to_vec(),
        ..Job::from_text(template, "test").expect("a job")
    })
}

/// An event that owns its values.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) time_ms: i64,
    pub(crate) values: [Value<'static>; FIELDS.len()],
}

impl Owned {
    /// Host, service and user (`""`: missing), a value, and a summary count of 1.
    pub(crate) fn new(time_ms: i64, host: &str, service: &str, user: &str, value: f64) -> Owned {
        let text = |text: &str| match text {
            "" => Value::Missing,
            text => Value::Text(text.to_owned().into()),
        };
        Owned {
            time_ms,
            values: [
                text(host),
                text(service),
                text(user),
                Value::Float(value),
                Value::Int(1),
            ],
        }
    }

    /// The same with another value of a field.
    pub(crate) fn with(mut self, field: &str, value: Value<'static>) -> Owned {
        let at = FIELDS.iter().position(|name| *name == field);
        self.values[at.expect("a field")] = value;
        self
    }

    /// As the engine takes it: 100 bytes, 7 fields.
    pub(crate) fn event(&self) -> Event<'_> {
        Event {
            time: EventTime(self.time_ms),
            values: &self.values,
            raw_bytes: 100,
            raw_fields: 7,
        }
    }
}
