//! A notice as an OCSF Detection Finding: what `PREFIX.alerts.ocsf` holds.
//!
//! Source: OCSF 1.4.0, class 2004 of category 2: `type_uid` is the class times 100 and the activity (1 create, 2 update, 3 close); severities 1 informational
//! to 5 critical; status 1 new, 2 in progress, 3 suppressed, 4 resolved; analytic type 4 learning; observable types 1 hostname, 2 IP address,
//! 4 user name, 99 other. Times are milliseconds since the epoch. Checked by: the tests below.

use super::document::{AlertDocument, Status};
use crate::alert::{Change, Delivery};
use crate::engine::result::Severity;
use serde_json::{Value, json};

const SCHEMA_VERSION: &str = "1.4.0";
const CLASS_UID: u32 = 2004;

/// The finding.
pub fn finding(document: &AlertDocument) -> Value {
    let (activity_id, activity) = match document.event {
        Change::Opened => (1, "Create"),
        Change::Updated => (2, "Update"),
        Change::Resolved => (3, "Close"),
    };
    let (severity_id, severity) = severity(document.severity);
    let (status_id, status) = status(document);
    let resources: Vec<Value> = document
        .entity
        .iter()
        .map(|(field, value)| json!({"name": value, "type": field}))
        .collect();
    let mut finding = json!({
        "activity_id": activity_id,
        "activity_name": activity,
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": CLASS_UID,
        "class_name": "Detection Finding",
        "type_uid": CLASS_UID * 100 + activity_id,
        "type_name": format!("Detection Finding: {activity}"),
        "time": document.timestamp,
        "start_time": document.started_at,
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": status,
        "is_alert": document.event == Change::Opened && document.is_for_receivers(),
        "risk_score": document.peak_score.round() as i64,
        "count": document.results.max(1),
        "message": document.description,
        "metadata": {
            "version": SCHEMA_VERSION,
            "product": {"name": "Tidewatch", "vendor_name": "Tidewatch", "version": env!("CARGO_PKG_VERSION")},
            "uid": format!("{}_{}", document.incident_id, document.sequence),
            "log_name": document.job_id,
        },
        "finding_info": finding_info(document),
        "resources": resources,
        "observables": observables(document),
        "unmapped": {
            "job_id": document.job_id,
            "entity": document.entity,
            "score": document.score,
            "delivery": document.delivery,
            "peak": document.peak,
        },
    });
    if let Some(ended) = document.ended_at {
        finding["end_time"] = ended.into();
    }
    finding
}

fn finding_info(document: &AlertDocument) -> Value {
    let whom = match document.entity_text() {
        text if text.is_empty() => format!("job {}", document.job_id),
        text => text,
    };
    json!({
        "uid": document.incident_id,
        "title": format!("Anomaly of {whom}"),
        "desc": document.description,
        "types": ["Anomaly"],
        "analytic": {
            "name": document.detector.as_deref().unwrap_or("all detectors"),
            "uid": document.job_id,
            "type_id": 4,
            "type": "Learning (ML/DL)",
        },
        "first_seen_time": document.started_at,
        "last_seen_time": document.ended_at.unwrap_or(document.timestamp),
        "modified_time": document.timestamp,
    })
}

fn observables(document: &AlertDocument) -> Vec<Value> {
    let observable = |(field, value): (&String, &String)| {
        let (type_id, kind) = match field.as_str() {
            "host.name" | "host.hostname" | "hostname" | "host" => (1, "Hostname"),
            "user.name" | "user" | "username" => (4, "User Name"),
            _ if value.parse::<std::net::IpAddr>().is_ok() => (2, "IP Address"),
            _ => (99, field.as_str()),
        };
        json!({"name": "resources.name", "type_id": type_id, "type": kind, "value": value})
    };
    document.entity.iter().map(observable).collect()
}

fn severity(severity: Severity) -> (u32, &'static str) {
    match severity {
        Severity::Low => (1, "Informational"),
        Severity::Warning => (2, "Low"),
        Severity::Minor => (3, "Medium"),
        Severity::Major => (4, "High"),
        Severity::Critical => (5, "Critical"),
    }
}

fn status(document: &AlertDocument) -> (u32, &'static str) {
    match (document.status, document.delivery, document.event) {
        (Status::Resolved, ..) => (4, "Resolved"),
        (Status::Open, Delivery::Silenced | Delivery::RateLimited, _) => (3, "Suppressed"),
        (Status::Open, Delivery::Notify, Change::Opened) => (1, "New"),
        (Status::Open, Delivery::Notify, _) => (2, "In Progress"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::tests::{opened, resolved};
    use super::*;

    #[test]
    fn a_notice_is_a_detection_finding_with_all_that_the_class_requires() {
        let created = finding(&opened());
        for required in [
            "activity_id",
            "category_uid",
            "class_uid",
            "finding_info",
            "metadata",
            "severity_id",
            "time",
            "type_uid",
        ] {
            assert!(!created[required].is_null(), "{required}");
        }
        assert_eq!(created["type_uid"], 200_401);
        assert_eq!(created["severity_id"], 5);
        assert_eq!(created["status_id"], 1);
        assert_eq!(created["is_alert"], true);
        assert_eq!(created["observables"][0]["type_id"], 1);
        let closed = finding(&resolved());
        assert_eq!(closed["type_uid"], 200_403);
        assert_eq!(closed["status_id"], 4);
        assert_eq!(
            closed["finding_info"]["uid"],
            created["finding_info"]["uid"]
        );
        assert_ne!(closed["metadata"]["uid"], created["metadata"]["uid"]);
        assert_eq!(closed["end_time"], 1_773_070_200_000_i64);
    }

    #[test]
    fn what_nobody_is_told_of_is_suppressed() {
        let mut silenced = opened();
        silenced.delivery = Delivery::Silenced;
        let finding = finding(&silenced);
        assert_eq!(
            (&finding["status_id"], &finding["is_alert"]),
            (&json!(3), &json!(false))
        );
    }
}
