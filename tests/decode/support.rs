//! Jobs for the decoder's tests, and events that outlive their bytes.

use tidewatch::config::{AlertWords, Extensions, Feed, Job, TimeFormat};
use tidewatch::decode::Decoder;
use tidewatch::engine::event::{Event, Reason, Rejection, Value};
use tidewatch::time::{BucketSpan, EventTime, Lateness};

/// A job with 5-minute buckets that names `fields`.
pub(crate) fn job(time_field: &str, time_format: TimeFormat, fields: &[&str]) -> Job {
    Job {
        id: "test".into(),
        description: String::new(),
        groups: Vec::new(),
        events: Vec::new(),
        multivariate_by_fields: false,
        bucket_span: BucketSpan::from_seconds(300).expect("5 m"),
        lateness: Lateness::default(),
        detectors: Vec::new(),
        influencers: Vec::new(),
        summary_count_field: None,
        categorization: None,
        fields: fields.iter().map(|field| field.to_string()).collect(),
        time_field: time_field.into(),
        time_format,
        prune_window_buckets: 1000,
        model_memory_limit_bytes: 1 << 30,
        model_plot: None,
        annotations: true,
        renormalization_window_buckets: 100,
        results_retention_ms: None,
        datafeed: None,
        feed: Feed::default(),
        extensions: Extensions::default(),
        alerts: AlertWords::default(),
        warnings: Vec::new(),
        document: serde_json::Value::Null,
        fingerprint: 7,
    }
}

/// An event or a rejection, owned.
pub(crate) type Outcome = Result<(i64, Vec<serde_json::Value>), Rejection>;

pub(crate) fn outcome(decoded: Result<&Event<'_>, Rejection>) -> Outcome {
    decoded.map(|event| (event.time.0, event.values.iter().map(json).collect()))
}

/// A value as serde_json has it; missing is null.
pub(crate) fn json(value: &Value<'_>) -> serde_json::Value {
    match value {
        Value::Missing => serde_json::Value::Null,
        Value::Bool(b) => (*b).into(),
        Value::Int(i) => (*i).into(),
        Value::Float(x) => (*x).into(),
        Value::Text(text) => text.as_ref().into(),
        Value::List(list) => list.iter().map(json).collect(),
    }
}

/// Everything that a payload is.
pub(crate) fn decode(job: &Job, payload: &[u8], message_time: Option<i64>) -> Vec<Outcome> {
    let mut found = Vec::new();
    Decoder::new(job).payload(payload, message_time.map(EventTime), &mut |decoded| {
        found.push(outcome(decoded));
    });
    found
}

/// Each outcome in a word: an event's time, or the reason's label.
pub(crate) fn words(outcomes: &[Outcome]) -> Vec<String> {
    let word = |outcome: &Outcome| match outcome {
        Ok((time, _)) => time.to_string(),
        Err(rejection) => rejection.reason.label().to_string(),
    };
    outcomes.iter().map(word).collect()
}

/// The only rejection's reason and detail.
pub(crate) fn rejected(outcomes: Vec<Outcome>) -> (Reason, String) {
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    let rejection = outcomes
        .into_iter()
        .next()
        .and_then(Result::err)
        .expect("a rejection");
    (rejection.reason, rejection.detail)
}
