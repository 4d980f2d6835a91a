//! The `alerts` section: whether results become alerts, and who is told.
//!
//! A password or token is read from its file for each request, so that one that was rotated is used at once; it is in no `Debug` text, log line or error.

use super::reader::Reader;
use crate::config::alerts::AlertWords;
use crate::config::raw;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The `alerts` section.
#[derive(Clone, Debug, PartialEq)]
pub struct Alerts {
    /// Whether results become alerts.
    pub enabled: bool,
    /// Whether they are written as OCSF findings too.
    pub ocsf: bool,
    /// News older than this is not delivered.
    pub max_age: Duration,
    /// How often Alertmanager hears of what goes on.
    pub resend_interval: Duration,
    /// Where people look: `externalURL` of a webhook's payload.
    pub external_url: String,
    /// Where an alert's source is shown: `{job_id}` and `{incident_id}` stand for those.
    pub generator_url: String,
    /// For jobs that do not say otherwise.
    pub defaults: AlertWords,
    /// Who is told, by name.
    pub receivers: Vec<Receiver>,
}

/// The language of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiverKind {
    /// Alertmanager, API v2.
    Alertmanager,
    /// Alertmanager's webhook payload, version 4.
    Webhook,
}

/// Somebody who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// What the configuration calls it.
    pub name: String,
    /// Its language.
    pub kind: ReceiverKind,
    /// Where to: of Alertmanager every instance of a cluster.
    pub urls: Vec<String>,
    /// A file that holds the one address, where that is a secret.
    pub url_file: Option<PathBuf>,
    /// As whom.
    pub credentials: Credentials,
    /// A PEM file of authorities; `None`: those that browsers trust.
    pub ca_file: Option<PathBuf>,
    /// For one request.
    pub timeout: Duration,
    /// Whether the end of an incident is told too (a webhook; Alertmanager always hears of it).
    pub send_resolved: bool,
    /// Only of jobs whose id fits one of these, in which `*` stands for any text; empty: all.
    pub jobs: Vec<String>,
}

/// As whom requests are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// As nobody.
    #[default]
    None,
    /// With the token that this file holds.
    Bearer(PathBuf),
    /// With a name and the password that this file holds.
    Basic {
        /// The name.
        username: String,
        /// The file.
        password_file: PathBuf,
    },
}

impl Receiver {
    /// Whether it hears of a job.
    pub fn hears_of(&self, job_id: &str) -> bool {
        self.jobs.is_empty() || self.jobs.iter().any(|pattern| super::fits(job_id, pattern))
    }
}

/// Every key of a receiver.
pub(super) const RECEIVER_KEYS: [&str; 10] = [
    "type",
    "urls",
    "url_file",
    "bearer_token_file",
    "username",
    "password_file",
    "ca_file",
    "timeout",
    "send_resolved",
    "jobs",
];

pub(super) fn read(reader: &mut Reader, base: &Path) -> Alerts {
    let enabled = reader.choice("alerts.enabled", &["true", "false"]) == Some("true");
    let ocsf = reader.choice("alerts.ocsf", &["true", "false"]) == Some("true");
    let max_age = reader.duration("alerts.max_age", Duration::from_secs(6 * 3600));
    let resend_interval = reader.duration("alerts.resend_interval", Duration::from_secs(60));
    let url = |text: Option<String>| text.unwrap_or_default();
    let external_url = url(reader.text("alerts.external_url"));
    let generator_url = url(reader.text("alerts.generator_url"));
    for (path, text) in [
        ("alerts.external_url", &external_url),
        ("alerts.generator_url", &generator_url),
    ] {
        if !text.is_empty() && !is_url(text) {
            reader.mistake(
                path,
                format!("\"{text}\" is not a URL such as \"https://tidewatch.example/\""),
            );
        }
    }
    let defaults = match reader.value("alerts.defaults") {
        None => AlertWords::default(),
        Some(value) => {
            let (words, mistakes) = raw::alerts::read_at("alerts.defaults", &value);
            reader.mistakes.extend(mistakes);
            words
        }
    };
    let receivers = read_receivers(reader, base);
    if !enabled && !receivers.is_empty() {
        reader.mistake(
            "alerts.receivers",
            "hear nothing while alerts.enabled is false; say true".into(),
        );
    }
    Alerts {
        enabled,
        ocsf,
        max_age,
        resend_interval,
        external_url,
        generator_url,
        defaults,
        receivers,
    }
}

fn is_url(text: &str) -> bool {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace)
    })
}

fn read_receivers(reader: &mut Reader, base: &Path) -> Vec<Receiver> {
    let Some(value) = reader.value("alerts.receivers") else {
        return Vec::new();
    };
    let Value::Object(written) = value else {
        reader.mistake(
            "alerts.receivers",
            "is not a map of names and receivers".into(),
        );
        return Vec::new();
    };
    let mut receivers = Vec::new();
    for (name, value) in written {
        let path = format!("alerts.receivers.{name}");
        if crate::config::id::check(&name).is_err() {
            reader.mistake(&path, "is no name: lower-case letters, digits, '_', '-' and '.'; it becomes part of a consumer group's".into());
        }
        match value {
            Value::Object(written) => {
                receivers.extend(read_receiver(reader, base, name, &path, &written))
            }
            _ => reader.mistake(&path, "is not a map; say type and urls".into()),
        }
    }
    receivers
}

/// `None` only when the reader has noted why.
fn read_receiver(
    reader: &mut Reader,
    base: &Path,
    name: String,
    path: &str,
    written: &Map<String, Value>,
) -> Option<Receiver> {
    for key in written
        .keys()
        .filter(|key| !RECEIVER_KEYS.contains(&key.as_str()))
    {
        reader.mistake(
            &format!("{path}.{key}"),
            format!("unknown key; known here: {}", RECEIVER_KEYS.join(", ")),
        );
    }
    // The reader's own ways with values, for the keys of one receiver.
    let mut inner = Reader::new(serde_json::json!({"r": written}), BTreeMap::new());
    let kind = match inner.choice("r.type", &["alertmanager", "webhook"]) {
        Some("alertmanager") => Some(ReceiverKind::Alertmanager),
        Some(_) => Some(ReceiverKind::Webhook),
        None if inner.mistakes.is_empty() => {
            inner.mistake("r.type", "is missing; alertmanager or webhook".into());
            None
        }
        None => None,
    };
    let urls = inner.list("r.urls");
    for (at, url) in urls.iter().enumerate().filter(|(_, url)| !is_url(url)) {
        inner.mistake(
            &format!("r.urls[{at}]"),
            format!("\"{url}\" is not a URL such as \"http://alertmanager:9093\""),
        );
    }
    let mut file = |key: &str| {
        let file = base.join(inner.text(&format!("r.{key}"))?);
        if let Err(error) = std::fs::read(&file) {
            inner.mistake(
                &format!("r.{key}"),
                format!("cannot read {}: {error}", file.display()),
            );
        }
        Some(file)
    };
    let (url_file, token_file) = (file("url_file"), file("bearer_token_file"));
    let (password_file, ca_file) = (file("password_file"), file("ca_file"));
    if kind == Some(ReceiverKind::Webhook) && urls.len() > 1 {
        inner.mistake(
            "r.urls",
            "a webhook is one address; give each a receiver of its own".into(),
        );
    }
    if urls.is_empty() == url_file.is_none() {
        inner.mistake("r.urls", "say either urls or url_file".into());
    }
    let credentials = match (token_file, inner.text("r.username"), password_file) {
        (None, None, None) => Credentials::None,
        (Some(token), None, None) => Credentials::Bearer(token),
        (None, Some(username), Some(password_file)) => Credentials::Basic {
            username,
            password_file,
        },
        _ => {
            inner.mistake(
                "r",
                "say bearer_token_file, or username and password_file, or none of them".into(),
            );
            Credentials::None
        }
    };
    let receiver = Receiver {
        name,
        kind: kind.unwrap_or(ReceiverKind::Webhook),
        urls,
        url_file,
        credentials,
        ca_file,
        timeout: inner.duration("r.timeout", Duration::from_secs(10)),
        send_resolved: inner.choice("r.send_resolved", &["true", "false"]) != Some("false"),
        jobs: inner.list("r.jobs"),
    };
    let is_good = inner.mistakes.is_empty();
    for mut mistake in inner.mistakes {
        mistake.path = format!("{path}{}", &mistake.path[1..]);
        reader.mistakes.push(mistake);
    }
    is_good.then_some(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::service::Service;

    fn parse(alerts: &str) -> Result<Alerts, Vec<String>> {
        let text = format!(
            "kafka: {{properties: {{bootstrap.servers: b}}, instance_id: a}}\njobs: Cargo.toml\nalerts:\n{alerts}"
        );
        let base = Path::new(env!("CARGO_MANIFEST_DIR"));
        match Service::parse("t", &text, base, []) {
            Ok(service) => Ok(service.alerts),
            Err(errors) => Err(errors.mistakes().iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn receivers_are_named_and_say_where_and_as_whom() {
        let alerts = parse(
            "  enabled: true\n  defaults: {threshold: 60}\n  receivers:\n    ops: {type: alertmanager, urls: ['http://a:9093', 'http://b:9093'], jobs: 'web*'}\n    \
             chat: {type: webhook, url_file: Cargo.toml, username: u, password_file: Cargo.toml, send_resolved: false, timeout: 3s}\n",
        )
        .unwrap();
        assert_eq!(alerts.defaults.threshold, Some(60.0));
        let [ops, chat] = &alerts.receivers[..] else {
            panic!("{:?}", alerts.receivers)
        };
        assert_eq!((ops.kind, ops.urls.len()), (ReceiverKind::Alertmanager, 2));
        assert!(ops.hears_of("web-eu") && !ops.hears_of("db") && chat.hears_of("db"));
        assert!(!chat.send_resolved && chat.timeout == Duration::from_secs(3));
        assert!(
            matches!(&chat.credentials, Credentials::Basic { username, .. } if username == "u")
        );
    }

    #[test]
    fn each_mistake_in_a_receiver_has_its_place() {
        let mistakes = parse(
            "  enabled: true\n  external_url: nowhere\n  defaults: {threshold: 600}\n  receivers:\n    ops: {type: pager, urls: [a]}\n    \
             chat: {type: webhook, urls: ['http://a', 'http://b'], username: u, colour: red}\n    '-x': {type: webhook}\n    y: 5\n",
        )
        .unwrap_err();
        assert_eq!(
            mistakes,
            [
                "alerts.external_url: \"nowhere\" is not a URL such as \"https://tidewatch.example/\"",
                "alerts.defaults.threshold: 600 is not a score above 0 and up to 100",
                "alerts.receivers.ops.type: \"pager\" is none of alertmanager, webhook",
                "alerts.receivers.ops.urls[0]: \"a\" is not a URL such as \"http://alertmanager:9093\"",
                "alerts.receivers.chat.colour: unknown key; known here: type, urls, url_file, bearer_token_file, username, password_file, ca_file, timeout, send_resolved, jobs",
                "alerts.receivers.chat.urls: a webhook is one address; give each a receiver of its own",
                "alerts.receivers.chat: say bearer_token_file, or username and password_file, or none of them",
                "alerts.receivers.-x: is no name: lower-case letters, digits, '_', '-' and '.'; it becomes part of a consumer group's",
                "alerts.receivers.-x.urls: say either urls or url_file",
                "alerts.receivers.y: is not a map; say type and urls",
            ]
        );
        let off = parse("  receivers: {a: {type: webhook, urls: 'http://a'}}\n").unwrap_err();
        assert_eq!(
            off,
            ["alerts.receivers: hear nothing while alerts.enabled is false; say true"]
        );
    }

    #[test]
    fn the_example_explains_every_key_of_a_receiver_and_of_a_policy() {
        let example = include_str!("../../../config/tidewatch.yaml");
        let policy = [
            "result_type",
            "threshold",
            "resolve_below",
            "resolve_after",
            "repeat_interval",
            "include_interim",
            "group_by",
            "rate_limit",
            "rate_window",
            "silences",
            "match",
            "from",
            "until",
            "comment",
        ];
        for key in RECEIVER_KEYS.iter().chain(&policy) {
            assert!(
                example.contains(&format!("{key}:")),
                "config/tidewatch.yaml does not explain {key}"
            );
        }
    }
}
