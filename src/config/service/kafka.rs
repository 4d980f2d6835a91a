//! The `kafka` section: librdkafka's own properties, those among them that are secret, and who we are in the group.
//!
//! Holds: a property whose value is a secret is in `secrets`, wherever it was written, and nowhere else; what the guarantee needs is never
//! taken from the operator. Checked by the tests of the parent module.

use super::reader::Reader;
use super::secret::{Secret, SecretError, SecretFile};
use std::collections::BTreeMap;
use std::path::Path;

/// The key under `secret_files` of the file with an OAUTHBEARER token. Ours: librdkafka takes tokens by a call, not by a property.
pub const TOKEN: &str = "sasl.oauthbearer.token";

/// What `group.protocol` is called that KIP-848 brought.
const CONSUMER_PROTOCOL: &str = "consumer";

/// The `kafka` section.
#[derive(Clone, Debug, PartialEq)]
pub struct Kafka {
    /// librdkafka's own properties, untouched.
    pub properties: BTreeMap<String, String>,
    /// Properties whose values are not to be shown, as they were read last.
    pub secrets: BTreeMap<String, Secret>,
    /// The files that some of them come from.
    pub secret_files: BTreeMap<String, SecretFile>,
    /// What the name of each job's consumer group begins with, a dot and the job's id following.
    pub group_id: String,
    /// The name of this instance, stable over restarts and unique in its group.
    pub instance_id: String,
}

impl Kafka {
    /// Reads the secret files again. The names of those whose value has changed; nothing changes when one of them cannot be read.
    pub fn read_secrets_again(&mut self) -> Result<Vec<String>, SecretError> {
        let mut news = Vec::new();
        for (name, file) in &self.secret_files {
            let value = file.read()?;
            if self.secrets.get(name) != Some(&value) {
                news.push((name.clone(), value));
            }
        }
        let names = news.iter().map(|(name, _)| name.clone()).collect();
        self.secrets.extend(news);
        Ok(names)
    }

    /// A property, secret or not.
    pub fn property(&self, name: &str) -> Option<&str> {
        let secret = self.secrets.get(name).map(Secret::reveal);
        secret.or_else(|| self.properties.get(name).map(String::as_str))
    }

    /// Whether groups speak the protocol of KIP-848, in which the brokers assign and the timeouts are theirs.
    pub fn speaks_consumer_protocol(&self) -> bool {
        self.property("group.protocol") == Some(CONSUMER_PROTOCOL)
    }

    /// The SASL mechanism, in capitals, where one is asked for.
    pub fn mechanism(&self) -> Option<String> {
        let protocol = self.property("security.protocol")?;
        let mechanism = ["sasl.mechanism", "sasl.mechanisms"];
        let named = mechanism.iter().find_map(|name| self.property(name));
        protocol
            .to_ascii_lowercase()
            .starts_with("sasl")
            .then(|| named.unwrap_or("GSSAPI").to_ascii_uppercase())
    }
}

/// Properties that the service needs for its guarantee; another value would break it in silence.
const OWNED_PROPERTIES: [(&str, &str); 8] = [
    ("group.id", "say kafka.group_id"),
    (
        "transactional.id",
        "it is made of the group and kafka.instance_id",
    ),
    (
        "enable.auto.commit",
        "offsets are committed with the results they led to",
    ),
    (
        "enable.auto.offset.store",
        "offsets are committed with the results they led to",
    ),
    ("isolation.level", "only committed messages may be read"),
    ("enable.idempotence", "results are written exactly once"),
    (
        "enable.partition.eof",
        "the service follows the end of each partition itself",
    ),
    (
        "partition.assignment.strategy",
        "partitions move one by one (cooperative-sticky)",
    ),
];

/// What the brokers say, and not a member, in the protocol of KIP-848.
const BROKERS_PROPERTIES: [(&str, &str); 2] = [
    (
        "session.timeout.ms",
        "the brokers' group.consumer.session.timeout.ms",
    ),
    (
        "heartbeat.interval.ms",
        "the brokers' group.consumer.heartbeat.interval.ms",
    ),
];

/// Properties that are secret also when they are not written in a file.
const SECRET_PROPERTIES: [&str; 6] = [
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "sasl.oauthbearer.client.secret",
    TOKEN,
];

/// Which protocol the groups speak: the classic one, or that of KIP-848.
fn check_protocol(reader: &mut Reader, properties: &BTreeMap<String, String>) {
    match properties.get("group.protocol").map(String::as_str) {
        None | Some("classic") => {}
        Some(CONSUMER_PROTOCOL) => {
            for (name, instead) in BROKERS_PROPERTIES {
                if properties.contains_key(name) {
                    let path = format!("kafka.properties.{name}");
                    let why =
                        format!("has no meaning with group.protocol: consumer; set {instead}");
                    reader.mistake(&path, why);
                }
            }
        }
        Some(other) => reader.mistake(
            "kafka.properties.group.protocol",
            format!("{other:?} is neither classic nor consumer"),
        ),
    }
}

/// `None` only when the reader has noted why.
pub(super) fn read_kafka(reader: &mut Reader, base: &Path) -> Option<Kafka> {
    let mut properties = reader.strings("kafka.properties");
    for (variable, value) in reader.environment.clone() {
        if let Some(name) = variable.strip_prefix("TIDEWATCH_KAFKA_PROPERTIES_") {
            properties.insert(name.to_ascii_lowercase().replace('_', "."), value);
        }
    }
    for (name, instead) in OWNED_PROPERTIES {
        if properties.contains_key(name) {
            reader.mistake(
                &format!("kafka.properties.{name}"),
                format!("is the service's own; {instead}"),
            );
        }
    }
    check_protocol(reader, &properties);
    let (secrets, secret_files) = read_secrets(reader, base, &mut properties);
    if !properties.contains_key("bootstrap.servers") && !secrets.contains_key("bootstrap.servers") {
        reader.mistake(
            "kafka.properties.bootstrap.servers",
            "is missing; say host:port[,host:port...]".into(),
        );
    }
    let group_id = reader
        .text("kafka.group_id")
        .unwrap_or_else(|| "tidewatch".into());
    let instance_id = reader.text("kafka.instance_id").or_else(host_name);
    if instance_id.is_none() {
        reader.mistake(
            "kafka.instance_id",
            "is missing, and this host has no name to use instead".into(),
        );
    }
    let kafka = Kafka {
        properties,
        secrets,
        secret_files,
        group_id,
        instance_id: instance_id?,
    };
    refuse_half_a_login(reader, &kafka);
    Some(kafka)
}

/// The secrets, taken out of the properties where they were written there.
fn read_secrets(
    reader: &mut Reader,
    base: &Path,
    properties: &mut BTreeMap<String, String>,
) -> (BTreeMap<String, Secret>, BTreeMap<String, SecretFile>) {
    let (mut secrets, mut files) = (BTreeMap::new(), BTreeMap::new());
    for (name, path) in reader.strings("kafka.secret_files") {
        let at = format!("kafka.secret_files.{name}");
        if properties.contains_key(&name) {
            reader.mistake(
                &at,
                format!("is also in kafka.properties; say \"{name}\" once"),
            );
        }
        let file = SecretFile::at(base.join(path));
        match file.read() {
            Ok(secret) => drop(secrets.insert(name.clone(), secret)),
            Err(error) => reader.mistake(&at, error.to_string()),
        }
        files.insert(name, file);
    }
    for name in SECRET_PROPERTIES {
        if let Some(value) = properties.remove(name) {
            secrets.insert(name.into(), Secret::new(value));
        }
    }
    (secrets, files)
}

/// What every login needs. Without it librdkafka would wait, or fail with a word of its own, after the start.
fn refuse_half_a_login(reader: &mut Reader, kafka: &Kafka) {
    let said = |name| kafka.property(name).is_some() || kafka.secret_files.contains_key(name);
    match kafka.mechanism().as_deref() {
        Some("OAUTHBEARER") => {
            if kafka.property("sasl.oauthbearer.method") == Some("oidc") {
                reader.mistake(
                    "kafka.properties.sasl.oauthbearer.method",
                    format!("\"oidc\" is not in this build; let an agent fetch tokens into a file, and name it in kafka.secret_files.{TOKEN}"),
                );
            } else if !said(TOKEN) {
                reader.mistake(
                    &format!("kafka.secret_files.{TOKEN}"),
                    "is missing; say the file that holds the token".into(),
                );
            }
        }
        Some("PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512") => {
            for name in ["sasl.username", "sasl.password"] {
                if !said(name) {
                    reader.mistake(
                        &format!("kafka.secret_files.{name}"),
                        "is missing, and the mechanism needs it; say the file that holds it".into(),
                    );
                }
            }
        }
        _ => {}
    }
}

fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .ok()?;
    Some(name.trim().to_string()).filter(|name| !name.is_empty())
}
