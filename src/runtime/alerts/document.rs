//! A notice as a JSON document: what `PREFIX.alerts` holds, and what dispatchers read.
//!
//! Times are milliseconds since the epoch. Holds: what `write` wrote, `read` reads; a document of a later build with more fields is
//! read too. Checked by: the tests below.

use crate::alert::{Change, Delivery, Entity, Evidence, IncidentKind, Notice, Reason};
use crate::config::Job;
use crate::engine::result::Severity;
use serde::{Deserialize, Serialize};

/// Whether an incident goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It does.
    Open,
    /// It is over.
    Resolved,
}

/// One notice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertDocument {
    /// The incident's name, the same from its beginning to its end.
    pub incident_id: String,
    /// Whose results.
    pub job_id: String,
    /// An incident, or the sum of those held back.
    pub kind: IncidentKind,
    /// Whether it goes on.
    pub status: Status,
    /// What has become of it.
    pub event: Change,
    /// Why it is told.
    pub reason: Reason,
    /// 1 for the first notice of the incident, 2 for the next.
    pub sequence: u32,
    /// The end of the bucket that brought the news.
    pub timestamp: i64,
    /// The `timestamp` of the notice before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_timestamp: Option<i64>,
    /// Start of the first bucket.
    pub started_at: i64,
    /// End of the last; once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<i64>,
    /// Seconds.
    pub bucket_span: i64,
    /// Whether an open bucket brought the news.
    pub is_interim: bool,
    /// Who it is about: fields and values; empty: the whole job.
    pub entity: Entity,
    /// The band it has reached.
    #[serde(with = "band")]
    pub severity: Severity,
    /// The bands it has gone through.
    #[serde(with = "bands")]
    pub severities: Vec<Severity>,
    /// The highest score of its last bucket.
    pub score: f64,
    /// The highest so far.
    pub peak_score: f64,
    /// Buckets that kept it going.
    pub buckets: u32,
    /// Results that did.
    pub results: u64,
    /// Whether receivers are told.
    pub delivery: Delivery,
    /// Whether they ever were.
    pub announced: bool,
    /// The comment of the silence that covers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence: Option<String>,
    /// Of the sum of those held back: how many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held_back: u32,
    /// What it is called by: the detector of the first result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector: Option<String>,
    /// Its function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Every detector that contributed.
    pub detectors: Vec<String>,
    /// One sentence for a person: that of the strongest result.
    pub description: String,
    /// The strongest result.
    pub peak: Evidence,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl AlertDocument {
    /// The document that says what `notice` says of a job.
    pub fn of(notice: &Notice, job: &Job) -> AlertDocument {
        let incident = &notice.incident;
        let name = |index: &u16| {
            let detector = job.detectors.get(usize::from(*index));
            detector.map(|detector| detector.description.clone())
        };
        AlertDocument {
            incident_id: incident.id.clone(),
            job_id: job.id.clone(),
            kind: incident.kind,
            status: match notice.change {
                Change::Resolved => Status::Resolved,
                Change::Opened | Change::Updated => Status::Open,
            },
            event: notice.change,
            reason: notice.reason,
            sequence: incident.sequence,
            timestamp: notice.at_ms,
            previous_timestamp: notice.previous_ms,
            started_at: incident.started_ms,
            ended_at: notice.ended_ms,
            bucket_span: job.bucket_span.seconds(),
            is_interim: notice.is_interim,
            entity: incident.entity.clone(),
            severity: incident.severity(),
            severities: incident.severities.clone(),
            score: incident.score,
            peak_score: incident.peak.score,
            buckets: incident.buckets,
            results: incident.results,
            delivery: incident.delivery,
            announced: incident.announced,
            silence: incident.silence.clone(),
            held_back: incident.held_back,
            detector: incident.detector.as_ref().and_then(name),
            function: incident.function.clone(),
            detectors: incident.detectors.iter().filter_map(name).collect(),
            description: incident.peak.description.clone(),
            peak: incident.peak.clone(),
        }
    }

    /// As bytes.
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self)
            .expect("a notice holds finite numbers and text, which JSON can write")
    }

    /// From bytes.
    pub fn read(bytes: &[u8]) -> Result<AlertDocument, String> {
        let document: AlertDocument =
            serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match document.severities.is_empty() {
            true => Err("severities is empty; the present one is its last".to_owned()),
            false => Ok(document),
        }
    }

    /// Whether a receiver is to hear of it: it goes on and is announced, or it is over and ever was.
    pub fn is_for_receivers(&self) -> bool {
        match self.status {
            Status::Resolved => self.announced,
            Status::Open => self.delivery == Delivery::Notify,
        }
    }

    /// `host.name=web-03`, or nothing for the whole job.
    pub fn entity_text(&self) -> String {
        crate::alert::entity_text(&self.entity)
    }
}

/// A band by its label.
mod band {
    use crate::engine::result::Severity;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(band: &Severity, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(band.label())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Severity, D::Error> {
        find(&String::deserialize(from)?)
    }

    pub(super) fn find<E: Error>(label: &str) -> Result<Severity, E> {
        let found = Severity::ALL.into_iter().find(|band| band.label() == label);
        found.ok_or_else(|| E::custom(format!("{label:?} is no severity")))
    }
}

/// Several.
mod bands {
    use crate::engine::result::Severity;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bands: &[Severity], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(bands.iter().map(|band| band.label()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Severity>, D::Error> {
        let labels = Vec::<String>::deserialize(from)?;
        labels
            .iter()
            .map(|label| super::band::find(label))
            .collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An incident of one host, as it begins.
    pub(in crate::runtime::alerts) fn opened() -> AlertDocument {
        AlertDocument {
            incident_id: "web_incident_1773068400000_1_2".to_owned(),
            job_id: "web".to_owned(),
            kind: IncidentKind::Anomaly,
            status: Status::Open,
            event: Change::Opened,
            reason: Reason::Threshold,
            sequence: 1,
            timestamp: 1_773_069_300_000,
            previous_timestamp: None,
            started_at: 1_773_068_400_000,
            ended_at: None,
            bucket_span: 900,
            is_interim: false,
            entity: Entity::from([("host.name".to_owned(), "web-03".to_owned())]),
            severity: Severity::Critical,
            severities: vec![Severity::Critical],
            score: 83.5,
            peak_score: 83.5,
            buckets: 1,
            results: 2,
            delivery: Delivery::Notify,
            announced: true,
            silence: None,
            held_back: 0,
            detector: Some("high_mean(latency_ms) by host.name".to_owned()),
            function: Some("high_mean".to_owned()),
            detectors: vec!["high_mean(latency_ms) by host.name".to_owned()],
            description: "The mean of latency_ms for host.name web-03 was 218.6.".to_owned(),
            peak: Evidence {
                result_type: "record".to_owned(),
                document_id: "web_record_1773068400000_900_2_7_6".to_owned(),
                timestamp: 1_773_068_400_000,
                score: 83.5,
                detector_index: Some(2),
                function: Some("high_mean".to_owned()),
                field_name: Some("latency_ms".to_owned()),
                actual: vec![218.6],
                typical: vec![75.9],
                probability: Some(2.6e-20),
                description: "The mean of latency_ms for host.name web-03 was 218.6.".to_owned(),
            },
        }
    }

    /// The same, over.
    pub(in crate::runtime::alerts) fn resolved() -> AlertDocument {
        AlertDocument {
            status: Status::Resolved,
            event: Change::Resolved,
            reason: Reason::Quiet,
            sequence: 2,
            timestamp: 1_773_072_000_000,
            previous_timestamp: Some(1_773_069_300_000),
            ended_at: Some(1_773_070_200_000),
            ..opened()
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        for document in [opened(), resolved()] {
            assert_eq!(AlertDocument::read(&document.write()), Ok(document));
        }
        for hostile in [
            &b""[..],
            b"null",
            b"{}",
            b"\xff",
            br#"{"incident_id": 1}"#,
            &opened().write()[..100],
        ] {
            assert!(AlertDocument::read(hostile).is_err());
        }
        let text = String::from_utf8(opened().write()).unwrap();
        let without_bands = text.replace(r#""severities":["critical"]"#, r#""severities":[]"#);
        assert!(AlertDocument::read(without_bands.as_bytes()).is_err());
        let later = text.replacen('{', r#"{"of_a_later_build":{"a":1},"#, 1);
        assert_eq!(AlertDocument::read(later.as_bytes()), Ok(opened()));
    }
}
