//! Where results become notices: at the task that writes them, in the same transaction.
//!
//! Holds: the state message in `PREFIX.alerts.state` (key: the job's id) and the notices of one transaction tell the same story, and the position's mark says which
//! version of the state belongs to it. A successor reads that version and is exactly where the committed position is: no replay, whatever the policy was before. A
//! version is written only when something has changed; how far it has heard is in the mark.
//!
//! Layout of the state: version (u64 LE), number of messages (u32 LE), then the tracker's own bytes, compressed (zstd). In an outage of thousands of entities they are
//! more than brokers take of one message; what follows the first is in messages of the keys `<job>#1`, `<job>#2`... before it: version, then bytes.

use super::document::AlertDocument;
use super::ocsf;
use crate::alert::{Notice, STATE_MAGIC, Tracker};
use crate::config::{AlertPolicy, Job};
use crate::engine::result::Document;
use crate::runtime::log::{Cleanup, LogError, NewTopic, Outgoing, TopicPartition, Topics};
use crate::runtime::task::TopicNames;
use crate::time::{BucketStart, EventTime, Finality};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

/// What the tasks of a service are to know of alerts.
#[derive(Clone, Debug)]
pub struct AlertSettings {
    /// For every job that does not say otherwise.
    pub defaults: AlertPolicy,
    /// Whether notices are written as OCSF findings too.
    pub ocsf: bool,
    /// News older than this is not delivered, milliseconds.
    pub max_age_ms: i64,
}

impl Default for AlertSettings {
    fn default() -> AlertSettings {
        AlertSettings {
            defaults: AlertPolicy::default(),
            ocsf: false,
            max_age_ms: 6 * 3_600_000,
        }
    }
}

impl AlertSettings {
    /// When `job`'s anomalies become alerts. What goes on is told again before receivers forget it.
    pub fn policy_of(&self, job: &Job) -> AlertPolicy {
        let mut policy = job.alerts.over(&self.defaults);
        policy.repeat_interval_ms = policy.repeat_interval_ms.min(self.max_age_ms / 2).max(1);
        policy
    }

    /// The topics that have to exist before the first notice.
    pub fn topics(&self, names: &TopicNames) -> Vec<NewTopic> {
        let topic = |name: String, partitions: Option<i32>, cleanup: Cleanup| NewTopic {
            name,
            partitions,
            cleanup,
        };
        let mut topics = vec![
            topic(names.alerts(), None, Cleanup::CompactDelete),
            topic(names.alert_state(), Some(1), Cleanup::Compact),
        ];
        if self.ocsf {
            topics.push(topic(names.alerts_ocsf(), None, Cleanup::Delete));
        }
        topics
    }
}

const VERSION_BYTES: usize = 8;
/// Of a message of the state, what is neither the job's id nor content, at the most: version, count, `#` and a number.
const HEAD_BYTES_MAX: usize = VERSION_BYTES + 4 + 11;
const ZSTD_LEVEL: i32 = 1;
/// What takes more than this is no state.
const STATE_BYTES_MAX: u64 = 1 << 30;
/// Of the documents in the alerts topic: docs/schemas/alert.schema.json.
const SCHEMA: &str = "urn:tidewatch:schema:alert:v1";

/// Where a desk goes on.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeskPlace {
    /// The version of the state that belongs to the committed position; 0: none.
    pub version: u64,
    /// The last bucket that was published, milliseconds since the epoch.
    pub heard_until_ms: Option<i64>,
}

/// One job's desk.
#[derive(Debug)]
pub struct Desk {
    job: Arc<Job>,
    tracker: Tracker,
    alerts: Arc<str>,
    ocsf: Option<Arc<str>>,
    state: Arc<str>,
    version: u64,
    is_changed: bool,
    notices: Vec<Notice>,
}

impl Desk {
    /// The desk of `job`, as its last owner left it, with the state that was `found`. A state that does not read, or is gone, is told beside a desk that has to do without.
    pub fn open(
        job: &Arc<Job>,
        settings: &AlertSettings,
        names: &TopicNames,
        found: Found,
        place: DeskPlace,
    ) -> (Desk, Option<String>) {
        let policy = Arc::new(settings.policy_of(job));
        let state: Arc<str> = names.alert_state().into();
        let Found { version, bytes, .. } = found;
        let gone = (version < place.version)
            .then(|| format!("version {} is gone, {version} stands in", place.version));
        let restored =
            bytes.map(|bytes| Tracker::restore(&job.id, job.bucket_span, policy.clone(), &bytes));
        let (tracker, error) = match restored {
            Some(Ok(tracker)) => (Some(tracker), gone),
            Some(Err(error)) => (None, Some(error.to_string())),
            None => (None, gone),
        };
        let mut tracker = tracker.unwrap_or_else(|| Tracker::new(&job.id, job.bucket_span, policy));
        if let Some(until) = place.heard_until_ms {
            tracker.skip_until(until);
        }
        let desk = Desk {
            job: Arc::clone(job),
            tracker,
            alerts: names.alerts().into(),
            ocsf: settings.ocsf.then(|| names.alerts_ocsf().into()),
            state,
            version: version.max(place.version),
            is_changed: false,
            notices: Vec::new(),
        };
        (desk, error)
    }

    /// The version that belongs to what the next transaction holds.
    pub fn version(&self) -> u64 {
        self.version + u64::from(self.is_changed)
    }

    /// Hears a result.
    pub fn document(&mut self, document: &Document) {
        self.tracker.document(document);
    }

    /// A bucket has been told whole; returns what is to leave with it.
    pub fn closed(&mut self, start: BucketStart, finality: Finality) -> Vec<Outgoing> {
        let went_on = self.tracker.open().next().is_some();
        let notices = self.tracker.closed(start, finality);
        self.is_changed |= !notices.is_empty() || (went_on && finality == Finality::Final);
        let messages = notices.iter().flat_map(|notice| self.messages(notice));
        let messages = messages.collect();
        self.notices.extend(notices);
        messages
    }

    /// Documents of a closed bucket have been told again, for events that came late; returns what is to leave with them.
    pub fn revised(&mut self, start: BucketStart) -> Vec<Outgoing> {
        let notices = self.tracker.revised(start);
        self.is_changed |= !notices.is_empty();
        let messages = notices.iter().flat_map(|notice| self.messages(notice));
        let messages = messages.collect();
        self.notices.extend(notices);
        messages
    }

    /// The state, if it has changed since it was last asked for, in messages of at most `bytes_max`.
    pub fn take_state(&mut self, bytes_max: usize) -> Vec<Outgoing> {
        self.version = self.version();
        if !std::mem::take(&mut self.is_changed) {
            return Vec::new();
        }
        let bytes = zstd::bulk::compress(&self.tracker.snapshot(), ZSTD_LEVEL)
            .expect("memory takes what is written");
        let room = bytes_max.saturating_sub(HEAD_BYTES_MAX + self.job.id.len());
        let chunks = bytes.chunks(room.max(1));
        let count = u32::try_from(chunks.len()).expect("a state of fewer than 2^32 bytes");
        let message = |(number, chunk): (usize, &[u8])| {
            let mut payload = self.version.to_le_bytes().to_vec();
            if number == 0 {
                payload.extend(count.to_le_bytes());
            }
            payload.extend(chunk);
            Outgoing {
                topic: Arc::clone(&self.state),
                partition: Some(0),
                key: Some(key_of(&self.job.id, number).into_bytes()),
                payload: Some(payload),
                headers: Vec::new(),
                timestamp_ms: None,
            }
        };
        // The first last: whoever reads it has read the others.
        chunks.enumerate().map(message).rev().collect()
    }

    /// What has been told since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// They were not told after all: they wait for the next transaction.
    pub fn put_back(&mut self, mut notices: Vec<Notice>) {
        notices.append(&mut self.notices);
        self.notices = notices;
    }

    /// Stamped with the time of writing, as internal messages are: by its bucket's time, what history brings would outlive the topic's retention before it is read.
    fn messages(&self, notice: &Notice) -> Vec<Outgoing> {
        let document = AlertDocument::of(notice, &self.job);
        let message =
            |topic: &Arc<str>, kind: &str, schema: Option<&str>, payload: Vec<u8>| Outgoing {
                topic: Arc::clone(topic),
                partition: None,
                key: Some(document.incident_id.clone().into_bytes()),
                payload: Some(payload),
                headers: [
                    ("ce_specversion", "1.0".to_owned()),
                    (
                        "ce_id",
                        format!("{}_{}", document.incident_id, document.sequence),
                    ),
                    ("ce_type", format!("io.tidewatch.{kind}.v1")),
                    ("ce_source", format!("/jobs/{}", self.job.id)),
                    ("ce_time", EventTime(document.timestamp).to_string()),
                    ("content-type", "application/json".to_owned()),
                ]
                .into_iter()
                .chain(schema.map(|schema| ("ce_dataschema", schema.to_owned())))
                .collect(),
                timestamp_ms: None,
            };
        let own = message(&self.alerts, "alert", Some(SCHEMA), document.write());
        let finding = self.ocsf.as_ref().map(|topic| {
            let finding = ocsf::finding(&document).to_string();
            message(topic, "detection_finding", None, finding.into_bytes())
        });
        std::iter::once(own).chain(finding).collect()
    }
}

/// The key of a job's state, or of what follows in other messages. No job's id has such a mark in it.
fn key_of(job_id: &str, number: usize) -> String {
    match number {
        0 => job_id.to_owned(),
        _ => format!("{job_id}#{number}"),
    }
}

/// Of a key, which message of the job's state it is of.
fn number_of(key: &[u8], job_id: &str) -> Option<usize> {
    match key.strip_prefix(job_id.as_bytes())? {
        b"" => Some(0),
        rest => {
            let digits = rest.strip_prefix(b"#")?;
            std::str::from_utf8(digits).ok()?.parse().ok()
        }
    }
}

/// The last version of a job's state that is readable, searched for as often as it takes: a transaction is decided a moment before all of it can be read,
/// and another job's, in the same partition, may hold readers up for as long as it is open.
#[derive(Debug, Default)]
pub struct Found {
    from: i64,
    version: u64,
    bytes: Option<Vec<u8>>,
    /// What follows the first message, with its version.
    more: BTreeMap<usize, (u64, Vec<u8>)>,
}

impl Found {
    /// Which it is; 0: none.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Reads on from where the last look ended.
    pub fn look(
        &mut self,
        log: &mut dyn Topics,
        names: &TopicNames,
        job_id: &str,
    ) -> Result<(), LogError> {
        let at = TopicPartition::new(names.alert_state(), 0);
        let from = self.from;
        self.from = log.read(&at, from, &mut |message| {
            let number = message.key.and_then(|key| number_of(key, job_id));
            match number {
                Some(0) => self.hear(message.payload),
                Some(number) => {
                    let payload = message.payload.unwrap_or_default();
                    if let Some((version, rest)) = payload.split_first_chunk::<VERSION_BYTES>() {
                        let more = (u64::from_le_bytes(*version), rest.to_vec());
                        self.more.insert(number, more);
                    }
                }
                None => {}
            }
        })?;
        Ok(())
    }

    /// The first message of a version; what follows it has been read.
    fn hear(&mut self, payload: Option<&[u8]>) {
        let Some(payload) = payload else {
            (self.version, self.bytes) = (0, None); // a reset: what went on before is none of this life
            return;
        };
        let Some((version, rest)) = payload.split_first_chunk::<VERSION_BYTES>() else {
            return;
        };
        self.version = u64::from_le_bytes(*version);
        self.bytes = match rest.split_first_chunk() {
            // As builds wrote it that knew no other messages.
            _ if rest.starts_with(STATE_MAGIC) => Some(rest.to_vec()),
            Some((count, first)) => Some(self.whole(u32::from_le_bytes(*count), first)),
            None => Some(rest.to_vec()),
        };
    }

    /// The tracker's bytes; of a version of which something is missing, or that does not decompress, none, which is no state.
    fn whole(&self, count: u32, first: &[u8]) -> Vec<u8> {
        let mut bytes = first.to_vec();
        for number in 1..count as usize {
            match self.more.get(&number) {
                Some((version, more)) if *version == self.version => bytes.extend(more),
                _ => return Vec::new(),
            }
        }
        let mut whole = Vec::new();
        let stream = zstd::stream::read::Decoder::with_buffer(&bytes[..]);
        let read = stream.and_then(|stream| stream.take(STATE_BYTES_MAX).read_to_end(&mut whole));
        match read {
            Ok(_) => whole,
            Err(_) => Vec::new(),
        }
    }
}
