//! An incident in Prometheus's words: labels that name it, annotations that explain it.
//!
//! Labels are an alert's identity: all but `severity` stay the same for as long as an incident lasts. Names are made of letters, digits and `_`, as
//! Alertmanager wants them. Source: Alertmanager's data model; fingerprints: `model.LabelSet.Fingerprint` of prometheus/common
//! (FNV-1a 64 over names and values in order, each followed by the byte 255), so that ours equal Alertmanager's.

use super::document::AlertDocument;
use crate::alert::IncidentKind;
use crate::engine::result::Severity;
use std::collections::BTreeMap;

/// `alertname` of an incident.
pub const ALERT_NAME: &str = "TidewatchAnomaly";
/// `alertname` of the sum of those held back.
pub const HELD_BACK_NAME: &str = "TidewatchAlertsHeldBack";
const RESERVED: [&str; 6] = [
    "alertname",
    "job_id",
    "severity",
    "detector",
    "function",
    "entity",
];

/// Names and values.
pub type Labels = BTreeMap<String, String>;

/// The labels of an incident while it is in `severity`.
pub fn labels(document: &AlertDocument, severity: Severity) -> Labels {
    let mut labels = Labels::new();
    let name = match document.kind {
        IncidentKind::Anomaly => ALERT_NAME,
        IncidentKind::HeldBack => HELD_BACK_NAME,
    };
    for (field, value) in &document.entity {
        let name = label_name(field);
        if !RESERVED.contains(&name.as_str()) {
            labels.insert(name, value.clone());
        }
    }
    labels.insert("alertname".to_owned(), name.to_owned());
    labels.insert("job_id".to_owned(), document.job_id.clone());
    labels.insert("severity".to_owned(), severity.label().to_owned());
    if document.kind == IncidentKind::Anomaly {
        labels.insert("entity".to_owned(), document.entity_text());
        labels.insert(
            "detector".to_owned(),
            document.detector.clone().unwrap_or_default(),
        );
        labels.insert(
            "function".to_owned(),
            document.function.clone().unwrap_or_default(),
        );
    }
    // An empty value is no label (Alertmanager refuses some, forgets the others).
    labels.retain(|_, value| !value.is_empty());
    labels
}

/// What explains an incident.
pub fn annotations(document: &AlertDocument) -> Labels {
    let whom = match document.entity_text() {
        text if text.is_empty() => String::new(),
        text => format!(", {text}"),
    };
    let times = match document.buckets {
        1 => "1 bucket".to_owned(),
        many => format!("{many} buckets"),
    };
    let description = format!(
        "Job {}{whom}: score {:.0}, {:.0} at its peak; {times} of {} s since {}.",
        document.job_id,
        document.score,
        document.peak_score,
        document.bucket_span,
        crate::time::EventTime(document.started_at)
    );
    Labels::from([
        ("summary".to_owned(), document.description.clone()),
        ("description".to_owned(), description),
        ("incident_id".to_owned(), document.incident_id.clone()),
    ])
}

/// `host.name` as a label's name: `host_name`.
fn label_name(field: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = field.chars().map(legal).collect();
    match name.as_bytes().first() {
        None => "_".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("_{name}"),
        // Two underscores in front are Prometheus's own.
        Some(_) if name.starts_with("__") => format!("field{name}"),
        Some(_) => name,
    }
}

/// As Alertmanager reckons it.
pub fn fingerprint(labels: &Labels) -> String {
    const OFFSET: u64 = 14_695_981_039_346_656_037;
    const PRIME: u64 = 1_099_511_628_211;
    let mut hash = OFFSET;
    let mut add = |bytes: &[u8]| {
        for byte in bytes.iter().chain(&[255]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    };
    for (name, value) in labels {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    format!("{hash:016x}")
}

/// RFC 3339 in UTC.
pub fn time(ms: i64) -> String {
    crate::time::EventTime(ms).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::document::tests::opened;
    use super::*;

    #[test]
    fn an_incident_is_named_by_job_entity_and_detector() {
        let labels = labels(&opened(), Severity::Critical);
        let words: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            words,
            [
                "alertname=TidewatchAnomaly",
                "detector=high_mean(latency_ms) by host.name",
                "entity=host.name=web-03",
                "function=high_mean",
                "host_name=web-03",
                "job_id=web",
                "severity=critical"
            ]
        );
    }

    #[test]
    fn a_field_is_a_label_whatever_it_is_called() {
        for (field, name) in [
            ("host.name", "host_name"),
            ("@timestamp", "_timestamp"),
            ("5xx", "_5xx"),
            ("__name__", "field__name__"),
            ("größe", "gr__e"),
            ("", "_"),
        ] {
            assert_eq!(label_name(field), name);
        }
        let mut document = opened();
        document.entity = [("severity".to_owned(), "mine".to_owned())].into();
        let labels = labels(&document, Severity::Major);
        assert_eq!(labels["severity"], "major", "ours stays ours");
        assert_eq!(labels["entity"], "severity=mine");
    }
}
