//! What a document says that no score is part of: where several partitions are judged apart, scores are normalised by what has been published.

const FORETOLD: [&str; 8] = [
    "timestamp",
    "probability",
    "actual",
    "typical",
    "event_count",
    "model_lower",
    "model_median",
    "model_upper",
];

/// A document with nothing but what was foretold and found.
pub(crate) fn without_scores(document: &str) -> String {
    let mut value: serde_json::Value = serde_json::from_str(document).expect("a document");
    let fields = value.as_object_mut().expect("an object");
    fields.retain(|name, _| FORETOLD.contains(&name.as_str()));
    value.to_string()
}
