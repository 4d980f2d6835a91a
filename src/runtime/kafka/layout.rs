//! The service's topics against what is on the brokers: what would be made or changed, and doing it.
//!
//! Never destructive: nothing is deleted, no partition count changes, and of an existing topic only the settings that we rely on are put right.
//! Changing a topic's settings on the brokers replaces all of its overrides, so those that are there are read first and sent again.
//! Checked by: the tests below, and tests/kafka.

use super::rights::Resource;
use super::topics::{KafkaTopics, REQUEST_TIMEOUT, block_on};
use crate::config::service;
use crate::runtime::log::{Cleanup, LogError, NewTopic, Topics};
use rdkafka::admin::{AdminOptions, AlterConfig, ConfigSource, ResourceSpecifier};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// For a change to be in force.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at whether it is.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What a topic of ours is to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How many partitions when it is made.
    pub partitions: i32,
    /// The settings that we rely on.
    pub settings: BTreeMap<&'static str, String>,
}

impl Shape {
    /// The shape of `topic` under the operator's `settings`.
    pub fn of(topic: &NewTopic, settings: &service::Topics) -> Shape {
        let policy = match topic.cleanup {
            Cleanup::Delete => "delete",
            Cleanup::Compact => "compact",
            Cleanup::CompactDelete => "compact,delete",
        };
        let mut ours = BTreeMap::from([("cleanup.policy", policy.to_owned())]);
        let stamped_by = match topic.cleanup {
            // What stages tell each other must not be forgotten before it is read because the clock of whoever wrote it is slow.
            Cleanup::Delete => "LogAppendTime",
            // Results carry the time of their bucket; a broker must not put the time of writing in its place.
            Cleanup::Compact | Cleanup::CompactDelete => "CreateTime",
        };
        ours.insert("message.timestamp.type", stamped_by.to_owned());
        if let (Some(keep), true) = (settings.retention, topic.cleanup != Cleanup::Compact) {
            ours.insert("retention.ms", keep.as_millis().to_string());
        }
        Shape {
            partitions: topic.partitions.unwrap_or(i32::from(settings.partitions)),
            settings: ours,
        }
    }
}

/// What is there of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Its partitions.
    pub partitions: i32,
    /// Every setting in force.
    pub settings: BTreeMap<String, String>,
    /// Those that are the topic's own.
    pub overrides: BTreeMap<String, String>,
}

/// Something to do, or to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A topic is missing.
    Create {
        /// What is to be made.
        topic: NewTopic,
        /// In which shape.
        shape: Shape,
    },
    /// A setting is another than we rely on.
    Change {
        /// Of which topic.
        topic: String,
        /// Which.
        setting: &'static str,
        /// As it is.
        from: String,
        /// As it is to be.
        to: String,
    },
    /// A number of partitions that is another than would be made; it stays.
    Partitions {
        /// Of which topic.
        topic: String,
        /// As it is.
        has: i32,
        /// As it would be made.
        wanted: i32,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Create { topic, shape } => {
                write!(f, "create {}: {} partitions", topic.name, shape.partitions)?;
                let mut settings = shape.settings.iter();
                settings.try_for_each(|(name, value)| write!(f, ", {name}={value}"))
            }
            Step::Change {
                topic,
                setting,
                from,
                to,
            } => write!(f, "change {topic}: {setting} {from} -> {to}"),
            Step::Partitions { topic, has, wanted } => write!(
                f,
                "leave  {topic}: {has} partitions, {wanted} if it were made now"
            ),
        }
    }
}

/// The way from what stands to what is wanted.
pub fn steps(
    wanted: &[NewTopic],
    standing: &BTreeMap<String, Standing>,
    settings: &service::Topics,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for topic in wanted {
        let shape = Shape::of(topic, settings);
        let Some(stands) = standing.get(&topic.name) else {
            let topic = topic.clone();
            steps.push(Step::Create { topic, shape });
            continue;
        };
        for (&setting, to) in &shape.settings {
            let from = stands.settings.get(setting).cloned().unwrap_or_default();
            if !is_same(setting, &from, to) {
                steps.push(Step::Change {
                    topic: topic.name.clone(),
                    setting,
                    from,
                    to: to.clone(),
                });
            }
        }
        if stands.partitions != shape.partitions {
            steps.push(Step::Partitions {
                topic: topic.name.clone(),
                has: stands.partitions,
                wanted: shape.partitions,
            });
        }
    }
    steps
}

/// Policies are lists in any order.
fn is_same(setting: &str, one: &str, other: &str) -> bool {
    let parts = |text: &str| {
        let mut parts: Vec<String> = text.split(',').map(|part| part.trim().to_owned()).collect();
        parts.sort();
        parts
    };
    match setting {
        "cleanup.policy" => parts(one) == parts(other),
        _ => one == other,
    }
}

impl KafkaTopics {
    /// What is there of `topics`.
    pub fn standing(
        &mut self,
        topics: &[NewTopic],
    ) -> Result<BTreeMap<String, Standing>, LogError> {
        let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
        self.standing_of(&names)
    }

    fn standing_of(&mut self, names: &[String]) -> Result<BTreeMap<String, Standing>, LogError> {
        let found = self.partitions(names)?;
        if found.is_empty() {
            return Ok(BTreeMap::new());
        }
        let specifiers: Vec<_> = found
            .keys()
            .map(|name| ResourceSpecifier::Topic(name))
            .collect();
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let answer = block_on(self.admin.describe_configs(specifiers.iter(), &options));
        let resources =
            answer.map_err(|error| self.unavailable(format!("settings of topics: {error}")))?;
        let mut standing = BTreeMap::new();
        for ((name, partitions), resource) in found.into_iter().zip(resources) {
            let right = Resource::configured("DescribeConfigs", &name);
            let resource = resource.map_err(|code| {
                let why = right.why(code);
                LogError::Fatal(format!("settings of topic {name}: {why}"))
            })?;
            if resource.entries.is_empty() {
                // Every topic has settings, but the client keeps a denial to itself. To change what we do not see would be to lose it.
                let why = right.missing();
                return Err(LogError::Fatal(format!("settings of topic {name}: {why}")));
            }
            let mut stands = Standing {
                partitions,
                ..Standing::default()
            };
            for entry in resource.entries {
                let Some(value) = entry.value else { continue };
                if entry.source == ConfigSource::DynamicTopic {
                    stands.overrides.insert(entry.name.clone(), value.clone());
                }
                stands.settings.insert(entry.name, value);
            }
            standing.insert(name, stands);
        }
        Ok(standing)
    }

    /// Takes the steps that are to be taken.
    pub fn apply(
        &mut self,
        steps: &[Step],
        standing: &BTreeMap<String, Standing>,
    ) -> Result<(), LogError> {
        let mut missing = Vec::new();
        let mut overrides: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Create { topic, .. } => missing.push(topic.clone()),
                Step::Change {
                    topic, setting, to, ..
                } => {
                    let own = standing.get(topic).map(|stands| &stands.overrides);
                    let all = overrides.entry(topic).or_insert_with(|| {
                        let own = own.into_iter().flatten();
                        own.map(|(name, value)| (name.as_str(), value.as_str()))
                            .collect()
                    });
                    all.insert(setting, to);
                }
                Step::Partitions { .. } => {}
            }
        }
        self.create(&missing)?;
        if overrides.is_empty() {
            return Ok(());
        }
        let changes: Vec<AlterConfig<'_>> = overrides
            .iter()
            .map(|(topic, all)| {
                let change = AlterConfig::new(ResourceSpecifier::Topic(topic));
                all.iter()
                    .fold(change, |change, (name, value)| change.set(name, value))
            })
            .collect();
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let answer = block_on(self.admin.alter_configs(changes.iter(), &options));
        answer.map_err(|error| self.unavailable(format!("settings of topics: {error}")))?;
        self.await_changes(steps)
    }

    /// Waits until the changes are in force. The client keeps a refusal to itself, so that only a look tells.
    fn await_changes(&mut self, steps: &[Step]) -> Result<(), LogError> {
        let deadline = Instant::now() + CHANGE_TIMEOUT;
        loop {
            let mut left = None;
            let changed = steps.iter().filter_map(|step| match step {
                Step::Change { topic, .. } => Some(topic.clone()),
                Step::Create { .. } | Step::Partitions { .. } => None,
            });
            let standing = self.standing_of(&changed.collect::<Vec<_>>())?;
            for step in steps {
                if let Step::Change {
                    topic, setting, to, ..
                } = step
                {
                    let is = standing
                        .get(topic)
                        .and_then(|stands| stands.settings.get(*setting));
                    if !is.is_some_and(|is| is_same(setting, is, to)) {
                        left = Some((topic, setting));
                    }
                }
            }
            let Some((topic, setting)) = left else {
                return Ok(());
            };
            if Instant::now() > deadline {
                let right = Resource::configured("AlterConfigs", topic).missing();
                return Err(LogError::Fatal(format!(
                    "topic {topic}: {setting} stays as it is; most likely {right}"
                )));
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, partitions: Option<i32>, cleanup: Cleanup) -> NewTopic {
        NewTopic {
            name: name.to_owned(),
            partitions,
            cleanup,
        }
    }

    fn settings(retention: Option<Duration>) -> service::Topics {
        service::Topics {
            prefix: "t".to_owned(),
            partitions: 4,
            replication_factor: -1,
            retention,
        }
    }

    fn stands(partitions: i32, settings: &[(&str, &str)]) -> Standing {
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Standing {
            partitions,
            settings: settings.collect(),
            overrides: BTreeMap::new(),
        }
    }

    fn told(
        wanted: &[NewTopic],
        standing: &[(&str, Standing)],
        retention: Option<Duration>,
    ) -> Vec<String> {
        let standing = standing
            .iter()
            .map(|(name, stands)| ((*name).to_owned(), stands.clone()));
        let steps = steps(wanted, &standing.collect(), &settings(retention));
        steps.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_missing_is_made_and_what_we_rely_on_put_right_and_the_rest_left() {
        let day = Some(Duration::from_secs(86_400));
        let results = topic("t.results.record", None, Cleanup::Compact);
        let interim = topic("t.interim.record", None, Cleanup::CompactDelete);
        let closed = topic("t.web.closed", Some(8), Cleanup::Delete);
        let wanted = [results, interim, closed];
        assert_eq!(
            told(&wanted, &[], day),
            [
                "create t.results.record: 4 partitions, cleanup.policy=compact, message.timestamp.type=CreateTime",
                "create t.interim.record: 4 partitions, cleanup.policy=compact,delete, message.timestamp.type=CreateTime, retention.ms=86400000",
                "create t.web.closed: 8 partitions, cleanup.policy=delete, message.timestamp.type=LogAppendTime, retention.ms=86400000",
            ]
        );
        let time = ("message.timestamp.type", "CreateTime");
        let standing = [
            (
                "t.results.record",
                stands(
                    9,
                    &[("cleanup.policy", "delete"), time, ("retention.ms", "5")],
                ),
            ),
            (
                "t.interim.record",
                stands(
                    4,
                    &[
                        ("cleanup.policy", "delete,compact"),
                        time,
                        ("retention.ms", "5"),
                    ],
                ),
            ),
            (
                "t.web.closed",
                stands(
                    8,
                    &[
                        ("cleanup.policy", "delete"),
                        ("message.timestamp.type", "LogAppendTime"),
                        ("retention.ms", "86400000"),
                    ],
                ),
            ),
        ];
        assert_eq!(
            told(&wanted, &standing, day),
            [
                "change t.results.record: cleanup.policy delete -> compact",
                "leave  t.results.record: 9 partitions, 4 if it were made now",
                "change t.interim.record: retention.ms 5 -> 86400000",
            ]
        );
        let without = told(&wanted[1..], &standing[1..], None);
        assert_eq!(
            without, [""; 0],
            "retention is the operator's unless it is said"
        );
    }
}
