//! What Alertmanager is told: `POST /api/v2/alerts`.
//!
//! An alert is its labels; `startsAt` tells the incident, `endsAt` until when to believe in it. One that goes on is told again well before that time; one that is
//! over has it in the past. When an incident has risen to a higher band, the alert of the lower one is ended and that of the higher one begins: `severity` is
//! a label, because routes match labels.
//! Source: Alertmanager 0.25, API v2 (`postableAlert`).

use super::document::{AlertDocument, Status};
use super::labels::{annotations, labels, time};
use crate::engine::result::Severity;
use serde_json::{Value, json};

/// What is the same for every alert.
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// `externalURL`.
    pub external_url: String,
    /// `generatorURL`, with `{job_id}` and `{incident_id}`.
    pub generator_url: String,
}

impl Links {
    /// `generatorURL` of an incident; empty when there is none.
    pub fn generator_of(&self, document: &AlertDocument) -> String {
        self.generator_url
            .replace("{job_id}", &document.job_id)
            .replace("{incident_id}", &document.incident_id)
    }
}

/// The alerts that an incident is: those of the bands it has left, ended, and the present one, to be believed until `believe_until_ms`.
pub fn alerts(document: &AlertDocument, links: &Links, believe_until_ms: i64) -> Vec<Value> {
    let left = match &document.severities[..] {
        [left @ .., _] => left,
        [] => &[],
    };
    let ended_ms = match document.status {
        Status::Open => document.timestamp,
        Status::Resolved => document.ended_at.unwrap_or(document.timestamp),
    };
    let left = left
        .iter()
        .map(|severity| alert(document, *severity, links, ended_ms));
    left.chain([standing(document, links, believe_until_ms)])
        .collect()
}

/// The alert of the present band alone: all that there is to be told again of what goes on. The ends of the others, told every time, would be in every
/// notification of their group.
pub fn standing(document: &AlertDocument, links: &Links, believe_until_ms: i64) -> Value {
    let ends_ms = match document.status {
        Status::Open => believe_until_ms,
        Status::Resolved => document.ended_at.unwrap_or(document.timestamp),
    };
    alert(document, document.severity, links, ends_ms)
}

fn alert(document: &AlertDocument, severity: Severity, links: &Links, ends_ms: i64) -> Value {
    let mut alert = json!({
        "labels": labels(document, severity),
        "annotations": annotations(document),
        "startsAt": time(document.started_at),
        // Alertmanager refuses an end before the beginning.
        "endsAt": time(ends_ms.max(document.started_at + 1)),
    });
    let generator = links.generator_of(document);
    if !generator.is_empty() {
        alert["generatorURL"] = generator.into();
    }
    alert
}

/// Where alerts are posted to.
pub fn address(url: &str) -> String {
    format!("{}/api/v2/alerts", url.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::super::document::tests::{opened, resolved};
    use super::*;

    #[test]
    fn what_goes_on_is_to_be_believed_for_a_while_and_what_is_over_has_ended() {
        let links = Links {
            generator_url: "https://x/{job_id}#{incident_id}".to_owned(),
            ..Links::default()
        };
        let on = &alerts(&opened(), &links, 1_773_069_600_000)[0];
        assert_eq!(on["startsAt"], "2026-03-09T15:00:00Z");
        assert_eq!(on["endsAt"], "2026-03-09T15:20:00Z");
        assert_eq!(
            on["generatorURL"],
            "https://x/web#web_incident_1773068400000_1_2"
        );
        let over = &alerts(&resolved(), &links, 1_773_099_999_000)[0];
        assert_eq!(over["endsAt"], "2026-03-09T15:30:00Z");
        assert_eq!(over["labels"], on["labels"]);
    }

    #[test]
    fn a_higher_band_ends_the_alert_of_the_lower_one() {
        let mut document = opened();
        document.severities = vec![Severity::Major, Severity::Critical];
        let both = alerts(&document, &Links::default(), 1_773_099_999_000);
        assert_eq!(
            standing(&document, &Links::default(), 1_773_099_999_000),
            both[1]
        );
        assert_eq!(both[0]["labels"]["severity"], "major");
        assert_eq!(both[0]["endsAt"], time(document.timestamp));
        assert_eq!(both[1]["labels"]["severity"], "critical");
        assert_eq!(both[1]["endsAt"], time(1_773_099_999_000));
    }
}
