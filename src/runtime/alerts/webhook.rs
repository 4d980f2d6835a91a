//! What a webhook is told: Alertmanager's payload, version 4.
//!
//! One message an incident and change; `groupKey` is the incident's identity and the alert's `fingerprint` follows from its labels as Alertmanager's does, so a receiver
//! written for Alertmanager reads it, and can tell a repetition.
//! Source: Alertmanager, `webhook_config` and `template.Data`.

use super::alertmanager::Links;
use super::document::{AlertDocument, Status};
use super::labels::{Labels, annotations, fingerprint, labels, time};
use serde_json::{Value, json};

/// How Alertmanager writes the end of what has none.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The message.
pub fn payload(document: &AlertDocument, receiver: &str, links: &Links) -> Value {
    let labels = labels(document, document.severity);
    let annotations = annotations(document);
    let (status, ends_at) = match document.status {
        Status::Open => ("firing", NEVER.to_owned()),
        Status::Resolved => (
            "resolved",
            time(document.ended_at.unwrap_or(document.timestamp)),
        ),
    };
    let group: Labels = labels
        .iter()
        .filter(|(name, _)| ["alertname", "job_id", "entity"].contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    json!({
        "version": "4",
        "groupKey": group_key(document, &group),
        "truncatedAlerts": 0,
        "status": status,
        "receiver": receiver,
        "groupLabels": group,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": links.external_url,
        "alerts": [{
            "status": status,
            "labels": labels,
            "annotations": annotations,
            "startsAt": time(document.started_at),
            "endsAt": ends_at,
            "generatorURL": links.generator_of(document),
            "fingerprint": fingerprint(&labels),
        }],
    })
}

/// `{}/{incident="…"}:{alertname="…", …}`, in Alertmanager's form: a route, and what it groups by.
fn group_key(document: &AlertDocument, group: &Labels) -> String {
    let parts: Vec<String> = group
        .iter()
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    format!(
        "{{}}/{{incident_id={:?}}}:{{{}}}",
        document.incident_id,
        parts.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::super::document::tests::{opened, resolved};
    use super::*;

    /// `UPDATE_EXPECT=1 cargo test --lib webhook` prints what belongs there.
    #[test]
    fn the_examples_of_the_docs_are_what_is_sent_and_written() {
        let page = include_str!("../../../docs/alerts.md");
        let blocks: Vec<&str> = page
            .split("```json\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
            .collect();
        let payload = payload(&opened(), "chat", &Links::default());
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            println!("{payload}");
        }
        AlertDocument::read(blocks[0].as_bytes()).expect("the first example is a notice");
        let shown: Value = serde_json::from_str(blocks[1]).expect("the second is JSON");
        assert_eq!(shown, payload);
    }

    #[test]
    fn an_incident_keeps_its_key_and_fingerprint_from_its_beginning_to_its_end() {
        let links = Links::default();
        let (on, over) = (
            payload(&opened(), "chat", &links),
            payload(&resolved(), "chat", &links),
        );
        for key in [
            "version",
            "groupKey",
            "truncatedAlerts",
            "status",
            "receiver",
            "groupLabels",
            "commonLabels",
            "commonAnnotations",
            "externalURL",
            "alerts",
        ] {
            assert!(!on[key].is_null(), "{key}");
        }
        assert_eq!(on["version"], "4");
        assert_eq!(
            (&on["status"], &over["status"]),
            (&json!("firing"), &json!("resolved"))
        );
        assert_eq!(on["groupKey"], over["groupKey"]);
        assert_eq!(
            on["alerts"][0]["fingerprint"],
            over["alerts"][0]["fingerprint"]
        );
        assert_eq!(on["alerts"][0]["endsAt"], NEVER);
        assert_eq!(over["alerts"][0]["endsAt"], "2026-03-09T15:30:00Z");
    }
}
