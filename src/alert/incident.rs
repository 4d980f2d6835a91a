//! An incident, and what is told of it.

use crate::config::AlertSubject;
use crate::engine::result::Severity;
use crate::engine::result::id::entity_hash;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Who an incident is about: fields and values; empty: the whole job.
pub type Entity = BTreeMap<String, String>;

/// What an incident stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentKind {
    /// Anomalies of one entity.
    Anomaly,
    /// All incidents that the rate limit holds back.
    HeldBack,
}

/// Whether somebody is told of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Yes.
    Notify,
    /// No: a silence covers it.
    Silenced,
    /// Not by itself: too many were announced lately.
    RateLimited,
}

/// The strongest result of an incident.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // named as in a record
pub struct Evidence {
    /// The document it comes from: kind and id.
    pub result_type: String,
    pub document_id: String,
    /// Start of its bucket, milliseconds since the epoch.
    pub timestamp: i64,
    pub score: f64,
    pub detector_index: Option<u16>,
    pub function: Option<String>,
    pub field_name: Option<String>,
    pub actual: Vec<f64>,
    pub typical: Vec<f64>,
    pub probability: Option<f64>,
    /// One sentence for a person.
    pub description: String,
}

/// Something that goes on, or has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its name: job, kind, first bucket and entity; and the last bucket heard, if a correction has begun it.
    pub id: String,
    /// What it stands for.
    pub kind: IncidentKind,
    /// Who it is about.
    pub entity: Entity,
    /// Start of the first bucket, milliseconds since the epoch.
    pub started_ms: i64,
    /// Start of the last bucket that kept it going.
    pub last_ms: i64,
    /// The highest score of the last bucket that kept it going, 0..=100.
    pub score: f64,
    /// Bands it has gone through, upwards, the present one last; a band is never left downwards.
    pub severities: Vec<Severity>,
    /// Whether somebody is told.
    pub delivery: Delivery,
    /// Whether anybody ever was.
    pub announced: bool,
    /// The comment of the silence that covers it.
    pub silence: Option<String>,
    /// Begun by this bucket while it was open, and by no final word yet.
    pub unconfirmed_ms: Option<i64>,
    /// Buckets that kept it going.
    pub buckets: u32,
    /// Results at or above the lower threshold.
    pub results: u64,
    /// Detectors that contributed.
    pub detectors: BTreeSet<u16>,
    /// The detector of the first, strongest result: what the incident is called by.
    pub detector: Option<u16>,
    /// Its function.
    pub function: Option<String>,
    /// The strongest result so far.
    pub peak: Evidence,
    /// Of [`IncidentKind::HeldBack`]: how many.
    pub held_back: u32,
    /// How often it was told of.
    pub sequence: u32,
    /// End of the bucket when it was last told of; `None` before the first time.
    pub told_ms: Option<i64>,
}

impl Incident {
    /// The band that it has reached.
    pub fn severity(&self) -> Severity {
        *self
            .severities
            .last()
            .expect("an incident begins in a band")
    }

    /// Goes up to `severity`; whether that is news.
    pub(super) fn escalate(&mut self, severity: Severity) -> bool {
        let is_higher = self.severities.last().is_none_or(|last| severity > *last);
        if is_higher {
            self.severities.push(severity);
        }
        is_higher
    }
}

/// `host.name=web-03, service.name=shop`; empty for the whole job.
pub fn entity_text(entity: &Entity) -> String {
    let parts: Vec<String> = entity
        .iter()
        .map(|(field, value)| format!("{field}={value}"))
        .collect();
    parts.join(", ")
}

/// The id of an incident, in the manner of document ids (results.md 3.11). One that a correction has begun, after `heard_ms` was heard, is not the one that
/// the same bucket had begun before, and which may be long over.
pub(super) fn incident_id(
    job_id: &str,
    kind: IncidentKind,
    start_ms: i64,
    entity: &Entity,
    heard_ms: Option<i64>,
) -> String {
    let what = match kind {
        IncidentKind::Anomaly => "incident",
        IncidentKind::HeldBack => "held_back",
    };
    let mut words: Vec<String> = entity
        .iter()
        .map(|(field, value)| format!("{field}\u{1f}{value}\u{1e}"))
        .collect();
    words.extend(heard_ms.map(|heard_ms| format!("corrected after {heard_ms}\u{1e}")));
    let hash = entity_hash(words.iter().map(|word| Some(word.as_str())));
    format!("{job_id}_{what}_{start_ms}_{hash}")
}

/// What has become of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It has begun.
    Opened,
    /// It goes on, and there is news.
    Updated,
    /// It is over.
    Resolved,
}

/// Why it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A score reached the threshold.
    Threshold,
    /// It has reached a higher band.
    Severity,
    /// It goes on; told again after `repeat_interval`.
    StillOn,
    /// It was held back, and is announced now.
    Released,
    /// A silence has begun to cover it.
    Silenced,
    /// More are held back than when this was last told.
    MoreHeldBack,
    /// Scores have stayed low for `resolve_after`.
    Quiet,
    /// It was begun by an open bucket, and the final results do not bear it out.
    NotConfirmed,
}

/// One thing to be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// What has become of it.
    pub change: Change,
    /// Why it is told.
    pub reason: Reason,
    /// The end of the bucket that brought the news, milliseconds since the epoch.
    pub at_ms: i64,
    /// The end of the bucket when the incident was told of before.
    pub previous_ms: Option<i64>,
    /// When it ended: the end of its last bucket; of a resolved one only.
    pub ended_ms: Option<i64>,
    /// Whether the bucket that brought the news was still open.
    pub is_interim: bool,
    /// The incident as it is now.
    pub incident: Incident,
}

impl Notice {
    /// Whether a receiver is to hear of it: it goes on and is announced, or it is over and ever was.
    pub fn is_for_receivers(&self) -> bool {
        match self.change {
            Change::Resolved => self.incident.announced,
            Change::Opened | Change::Updated => self.incident.delivery == Delivery::Notify,
        }
    }
}

/// The name of a subject's documents.
pub(super) fn result_type(subject: AlertSubject) -> &'static str {
    match subject {
        AlertSubject::Record => "record",
        AlertSubject::Influencer => "influencer",
        AlertSubject::Bucket => "bucket",
    }
}
