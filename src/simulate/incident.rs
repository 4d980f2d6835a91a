//! Incidents: what goes wrong in a feed, and the label that says so.
//!
//! An incident is where (everything, or one host, user or service), when (from the start of the feed), and by what factors the traffic,
//! latencies and bytes there change. Its kind gives the factors that are not written. Factors are ratios to normal; times are milliseconds.

use crate::time::EventTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A burst of traffic.
    Spike,
    /// Traffic stays away.
    Dip,
    /// Nearly nothing gets through, and what does fails.
    Outage,
    /// From one moment on everything is slower, and stays so.
    LevelShift,
    /// One host answers late.
    SlowHost,
    /// One user fetches far more than ever, at night.
    Exfiltration,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 6] = [
        Kind::Spike,
        Kind::Dip,
        Kind::Outage,
        Kind::LevelShift,
        Kind::SlowHost,
        Kind::Exfiltration,
    ];

    /// The name in scenarios and labels.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Spike => "spike",
            Kind::Dip => "dip",
            Kind::Outage => "outage",
            Kind::LevelShift => "level_shift",
            Kind::SlowHost => "slow_host",
            Kind::Exfiltration => "exfiltration",
        }
    }

    /// The incident as it is when a scenario says no more than its kind.
    pub fn usual(self) -> Incident {
        let calm = Incident {
            kind: self,
            at_ms: 0,
            for_ms: Some(HOUR_MS),
            alarm_ms: None,
            entity: None,
            rate: 1.0,
            latency: 1.0,
            bytes: 1.0,
            status: None,
            description: None,
        };
        match self {
            Kind::Spike => Incident {
                rate: 4.0,
                for_ms: Some(45 * MINUTE_MS),
                ..calm
            },
            Kind::Dip => Incident {
                rate: 0.2,
                for_ms: Some(90 * MINUTE_MS),
                ..calm
            },
            Kind::Outage => Incident {
                rate: 0.05,
                status: Some(503),
                ..calm
            },
            Kind::LevelShift => Incident {
                latency: 1.7,
                for_ms: None,
                alarm_ms: Some(12 * HOUR_MS),
                ..calm
            },
            Kind::SlowHost => Incident {
                latency: 5.0,
                for_ms: Some(2 * HOUR_MS),
                ..calm
            },
            Kind::Exfiltration => Incident {
                rate: 12.0,
                bytes: 30.0,
                for_ms: Some(90 * MINUTE_MS),
                ..calm
            },
        }
    }

    /// What it looks like, for a person.
    fn story(self) -> &'static str {
        match self {
            Kind::Spike => "a burst of traffic",
            Kind::Dip => "traffic stays away",
            Kind::Outage => "nearly nothing gets through",
            Kind::LevelShift => "answers take longer from here on",
            Kind::SlowHost => "answers take much longer",
            Kind::Exfiltration => "unusually much is downloaded",
        }
    }

    /// The detector that sees it, in the field's words.
    fn seen_by(self) -> &'static str {
        match self {
            Kind::Spike => "high_count",
            Kind::Dip | Kind::Outage => "low_count",
            Kind::LevelShift | Kind::SlowHost => "high_mean(latency_ms)",
            Kind::Exfiltration => "high_sum(http.response.bytes)",
        }
    }
}

/// One host, user or service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// `host.name`, `user.name` or `service.name`.
    pub field: String,
    /// Which one.
    pub value: String,
}

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// What it is.
    pub kind: Kind,
    /// When it begins, after the start of the feed.
    pub at_ms: i64,
    /// How long it lasts; `None`: to the end of the feed.
    pub for_ms: Option<i64>,
    /// For how long an alarm is right; `None`: as long as it lasts. (Of a lasting change one expects to hear once.)
    pub alarm_ms: Option<i64>,
    /// Where; `None`: everywhere.
    pub entity: Option<Entity>,
    /// Traffic there, as a ratio to normal.
    pub rate: f64,
    /// Latencies there, as a ratio to normal.
    pub latency: f64,
    /// Bytes of a response there, as a ratio to normal.
    pub bytes: f64,
    /// The status of every response there.
    pub status: Option<u16>,
    /// For a person; `None`: made from the rest.
    pub description: Option<String>,
}

impl Incident {
    /// When it ends, in a feed of `length_ms`; after the start of the feed, exclusive.
    pub fn end_ms(&self, length_ms: i64) -> i64 {
        self.for_ms
            .map_or(length_ms, |for_ms| self.at_ms.saturating_add(for_ms))
            .min(length_ms)
    }

    /// What a detector should find, in a feed that begins at `from` and lasts `length_ms`.
    pub fn label(&self, from: EventTime, length_ms: i64) -> Label {
        let end_ms = match self.alarm_ms {
            Some(alarm_ms) => self
                .end_ms(length_ms)
                .min(self.at_ms.saturating_add(alarm_ms)),
            None => self.end_ms(length_ms),
        };
        let place = self
            .entity
            .as_ref()
            .map(|e| format!(" at {} {}", e.field, e.value));
        let split = self.entity.as_ref().map(|e| format!(" by {}", e.field));
        Label {
            start: EventTime(from.0 + self.at_ms),
            end: EventTime(from.0 + end_ms),
            kind: self.kind.name().to_owned(),
            entity: self
                .entity
                .iter()
                .map(|e| (e.field.clone(), e.value.clone()))
                .collect(),
            description: match &self.description {
                Some(description) => description.clone(),
                None => format!("{}{}", self.kind.story(), place.unwrap_or_default()),
            },
            expected: format!("{}{}", self.kind.seen_by(), split.unwrap_or_default()),
        }
    }
}

/// A stretch of time in which something is known to have been wrong. The format for one's own data too (docs/simulated-feeds.md).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// When it began.
    #[serde(with = "iso_8601")]
    pub start: EventTime,
    /// When it was over, exclusive.
    #[serde(with = "iso_8601")]
    pub end: EventTime,
    /// A word for what it was.
    #[serde(default)]
    pub kind: String,
    /// Where: field → value. Empty: everywhere.
    #[serde(default)]
    pub entity: BTreeMap<String, String>,
    /// For a person.
    #[serde(default)]
    pub description: String,
    /// The detector that should see it; for a person.
    #[serde(default)]
    pub expected: String,
}

/// Times in labels: ISO 8601 text with a zone.
mod iso_8601 {
    use crate::time::EventTime;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(time: &EventTime, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(time)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<EventTime, D::Error> {
        let text = String::deserialize(from)?;
        chrono::DateTime::parse_from_rfc3339(&text)
            .map(|time| EventTime(time.timestamp_millis()))
            .map_err(|_| {
                D::Error::custom(format!(
                    "\"{text}\" is not a time such as 2026-03-11T14:30:00Z"
                ))
            })
    }
}
