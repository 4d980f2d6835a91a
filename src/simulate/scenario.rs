//! Scenarios: how large a feed is, how it breathes, and what goes wrong in it. Built in, or a YAML file that people write.
//!
//! What was written (`Raw…`, unknown keys refused) becomes a [`Scenario`] in which every number is in its range; entities are checked
//! against the world when the feed is made, because `--hosts` may change it. The format is described in docs/simulated-feeds.md.

use super::duration::{DurationError, parse_duration};
use super::incident::{Entity, Incident, Kind, Label};
use crate::time::EventTime;
use serde::Deserialize;
use std::collections::BTreeMap;

const DAY_MS: i64 = 86_400_000;

/// What a feed is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// For a person.
    pub description: String,
    /// When the feed begins.
    pub from: EventTime,
    /// How long it is, days.
    pub days: f64,
    /// Events a second, mean over a calm week.
    pub rate: f64,
    /// How many hosts: `web-01`, `web-02`, ...
    pub hosts: usize,
    /// How many users.
    pub users: usize,
    /// The services' names, busiest first.
    pub services: Vec<String>,
    /// How much traffic swings over a day: 0 flat, 1 from nothing to double.
    pub day_swing: f64,
    /// Traffic of a weekend day as a ratio to that of a weekday.
    pub weekend: f64,
    /// What goes wrong.
    pub incidents: Vec<Incident>,
}

/// Why a scenario is none.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Not YAML, or a key that scenarios do not have.
    #[error("{0}")]
    Yaml(#[from] serde_yaml_ng::Error),
    /// A value out of its range.
    #[error("{path}: {found} is not {expected}")]
    Value {
        /// Where in the file.
        path: String,
        /// What stands there.
        found: String,
        /// What would have been right.
        expected: String,
    },
    /// A duration that does not read.
    #[error("{path}: {source}")]
    Duration {
        /// Where in the file.
        path: String,
        /// What is wrong with it.
        source: DurationError,
    },
}

/// What is built in: name and file, in the order of `--list`.
const BUILT_IN: &[(&str, &str)] = &[
    ("web", include_str!("scenarios/web.yaml")),
    ("calm", include_str!("scenarios/calm.yaml")),
    ("spike", include_str!("scenarios/spike.yaml")),
    ("dip", include_str!("scenarios/dip.yaml")),
    ("outage", include_str!("scenarios/outage.yaml")),
    ("level-shift", include_str!("scenarios/level-shift.yaml")),
    ("slow-host", include_str!("scenarios/slow-host.yaml")),
    ("exfiltration", include_str!("scenarios/exfiltration.yaml")),
];

impl Scenario {
    /// Names of the built-in scenarios.
    pub fn built_in_names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// A built-in scenario.
    pub fn built_in(name: &str) -> Option<Scenario> {
        let (_, text) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name)?;
        Some(Scenario::from_yaml(text).expect("the built-in scenarios are tested"))
    }

    /// A scenario that somebody wrote.
    pub fn from_yaml(text: &str) -> Result<Scenario, ScenarioError> {
        let raw: RawScenario = serde_yaml_ng::from_str(text)?;
        let mut incidents = Vec::new();
        for (index, incident) in raw.incidents.into_iter().enumerate() {
            incidents.push(incident.check(&format!("incidents[{index}]"))?);
        }
        let scenario = Scenario {
            description: raw.description,
            from: parse_time(&raw.from)?,
            days: raw.days,
            rate: raw.rate,
            hosts: raw.hosts,
            users: raw.users,
            services: raw.services,
            day_swing: raw.rhythm.day,
            weekend: raw.rhythm.weekend,
            incidents,
        };
        scenario.check()?;
        Ok(scenario)
    }

    /// Whether every number is in its range; options may have changed some.
    pub fn check(&self) -> Result<(), ScenarioError> {
        number("days", self.days, 0.0, 36_525.0)?;
        number("rate", self.rate, 0.0, 1e9)?;
        number("rhythm.day", self.day_swing, 0.0, 1.0)?;
        number("rhythm.weekend", self.weekend, 0.0, 10.0)?;
        for (path, count) in [
            ("hosts", self.hosts),
            ("users", self.users),
            ("services", self.services.len()),
        ] {
            if !(1..=1_000_000).contains(&count) {
                return Err(wrong(path, count, "a number from 1 to 1000000"));
            }
        }
        for (index, name) in self.services.iter().enumerate() {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if name.is_empty() || !name.chars().all(plain) || self.services[..index].contains(name)
            {
                let expected = "a name of its own made of letters, digits, and - _ .";
                return Err(wrong(
                    &format!("services[{index}]"),
                    format!("\"{name}\""),
                    expected,
                ));
            }
        }
        Ok(())
    }

    /// How long the feed is, milliseconds.
    pub fn length_ms(&self) -> i64 {
        (self.days * DAY_MS as f64) as i64
    }

    /// What a detector should find: the incidents that begin within the feed, in order of time.
    pub fn labels(&self) -> Vec<Label> {
        let mut labels: Vec<Label> = self
            .incidents
            .iter()
            .filter(|incident| incident.at_ms < self.length_ms())
            .map(|incident| incident.label(self.from, self.length_ms()))
            .collect();
        labels.sort_by_key(|label| (label.start, label.end));
        labels
    }
}

/// A day or a moment, as scenarios and `--from` write it.
pub fn parse_time(text: &str) -> Result<EventTime, ScenarioError> {
    use chrono::{DateTime, NaiveDate, NaiveTime};
    let moment = DateTime::parse_from_rfc3339(text)
        .map(|time| time.timestamp_millis())
        .or_else(|_| {
            NaiveDate::parse_from_str(text, "%Y-%m-%d")
                .map(|day| day.and_time(NaiveTime::MIN).and_utc().timestamp_millis())
        });
    let expected = match moment {
        // A century of events after it must still be a time.
        Ok(ms) if (EventTime::MIN.0..EventTime::MAX.0 - 36_525 * DAY_MS).contains(&ms) => {
            return Ok(EventTime(ms));
        }
        Ok(_) => "a time between the years 1 and 9899",
        Err(_) => "a day such as 2026-03-02 or a moment such as 2026-03-02T00:00:00Z",
    };
    Err(wrong("from", format!("\"{text}\""), expected))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawScenario {
    description: String,
    from: String,
    days: f64,
    rate: f64,
    hosts: usize,
    users: usize,
    services: Vec<String>,
    rhythm: RawRhythm,
    incidents: Vec<RawIncident>,
}

impl Default for RawScenario {
    fn default() -> RawScenario {
        RawScenario {
            description: String::new(),
            from: "2026-03-02".to_owned(), // a Monday
            days: 14.0,
            rate: 0.25,
            hosts: 12,
            users: 40,
            services: [
                "search",
                "catalogue",
                "media",
                "cart",
                "account",
                "checkout",
            ]
            .map(str::to_owned)
            .to_vec(),
            rhythm: RawRhythm::default(),
            incidents: Vec::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRhythm {
    day: f64,
    weekend: f64,
}

impl Default for RawRhythm {
    fn default() -> RawRhythm {
        RawRhythm {
            day: 0.6,
            weekend: 0.6,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIncident {
    kind: Kind,
    at: String,
    #[serde(rename = "for")]
    lasts: Option<String>,
    alarm: Option<String>,
    #[serde(default)]
    entity: BTreeMap<String, String>,
    rate: Option<f64>,
    latency: Option<f64>,
    bytes: Option<f64>,
    status: Option<u16>,
    description: Option<String>,
}

impl RawIncident {
    fn check(self, path: &str) -> Result<Incident, ScenarioError> {
        let duration = |key: &str, text: &str| {
            parse_duration(text).map_err(|source| ScenarioError::Duration {
                path: format!("{path}.{key}"),
                source,
            })
        };
        let factor = |key: &str, given: Option<f64>, usual: f64| match given {
            Some(given) => number(&format!("{path}.{key}"), given, 0.0, 1e6),
            None => Ok(usual),
        };
        let usual = self.kind.usual();
        if self
            .status
            .is_some_and(|status| !(100..=599).contains(&status))
        {
            let found = self.status.unwrap_or_default();
            return Err(wrong(
                &format!("{path}.status"),
                found,
                "an HTTP status from 100 to 599",
            ));
        }
        if self.entity.len() > 1 {
            return Err(wrong(
                &format!("{path}.entity"),
                format!("{} entities", self.entity.len()),
                "one field: value",
            ));
        }
        Ok(Incident {
            kind: self.kind,
            at_ms: duration("at", &self.at)?,
            for_ms: self
                .lasts
                .map(|text| duration("for", &text))
                .transpose()?
                .or(usual.for_ms),
            alarm_ms: self
                .alarm
                .map(|text| duration("alarm", &text))
                .transpose()?
                .or(usual.alarm_ms),
            entity: self
                .entity
                .into_iter()
                .next()
                .map(|(field, value)| Entity { field, value }),
            rate: factor("rate", self.rate, usual.rate)?,
            latency: factor("latency", self.latency, usual.latency)?,
            bytes: factor("bytes", self.bytes, usual.bytes)?,
            status: self.status.or(usual.status),
            description: self.description,
        })
    }
}

fn number(path: &str, found: f64, least: f64, most: f64) -> Result<f64, ScenarioError> {
    match (least..=most).contains(&found) {
        true => Ok(found),
        false => Err(wrong(
            path,
            found,
            &format!("a number from {least} to {most}"),
        )),
    }
}

/// The error for a value out of its range.
pub(super) fn wrong(path: &str, found: impl ToString, expected: &str) -> ScenarioError {
    ScenarioError::Value {
        path: path.to_owned(),
        found: found.to_string(),
        expected: expected.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Feed;

    #[test]
    fn every_built_in_scenario_makes_a_feed_and_web_has_every_kind_of_incident() {
        for name in Scenario::built_in_names() {
            let scenario = Scenario::built_in(name).unwrap();
            assert!(!scenario.description.is_empty());
            assert_eq!(
                scenario.labels().len(),
                scenario.incidents.len(),
                "{name}: an incident lies beyond the end"
            );
            Feed::new(&scenario, 1).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let web = Scenario::built_in("web").unwrap();
        for kind in Kind::ALL {
            assert_eq!(
                web.incidents
                    .iter()
                    .filter(|incident| incident.kind == kind)
                    .count(),
                1,
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_mistake_is_named_by_its_place_and_its_cure() {
        for (text, says) in [
            ("days: -1", "days: -1 is not a number from 0 to"),
            ("rate: .nan", "rate: NaN is not a number"),
            ("hosts: 0", "hosts: 0 is not a number from 1"),
            ("services: [a, 'b c']", "services[1]: \"b c\" is not a name"),
            (
                "services: [a, a]",
                "services[1]: \"a\" is not a name of its own",
            ),
            (
                "from: yesterday",
                "from: \"yesterday\" is not a day such as",
            ),
            ("speed: 3", "unknown field `speed`"),
            (
                "incidents: [{kind: fire, at: 1d}]",
                "unknown variant `fire`",
            ),
            (
                "incidents: [{kind: dip, at: noon}]",
                "incidents[0].at: \"noon\" is not a duration",
            ),
            (
                "incidents: [{kind: dip, at: 1d, status: 42}]",
                "incidents[0].status: 42 is not an HTTP status",
            ),
            (
                "incidents: [{kind: dip, at: 1d, entity: {host.name: web-99}}]",
                "incidents[0].entity: ",
            ),
            (
                "incidents: [{kind: dip, at: 1d, entity: {planet: mars}}]",
                "incidents[0].entity: ",
            ),
        ] {
            let error = match Scenario::from_yaml(text) {
                Ok(scenario) => Feed::new(&scenario, 1).err().expect(text),
                Err(error) => error,
            };
            assert!(error.to_string().contains(says), "{text}: {error}");
        }
    }
}
