//! From what the operator wrote to librdkafka clients: properties in three layers, and contexts that listen to what clients say.
//!
//! Layers, later ones win: our preferences, the operator's properties and secrets, what the guarantee needs (the last layer holds only
//! what `config::service` refuses to be told). Units are librdkafka's own.
//! Source of the figures: measurements on Apache Kafka 4.3, see docs/operating.md.

use super::rights::Resource;
use crate::config::service::{self, TOKEN};
use crate::runtime::log::{Bell, LogError, TopicPartition};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a broker waits for a silent producer's transaction before it aborts it, and readers with it, where the operator does not say.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);

/// What we would choose, were we not told otherwise.
const PREFERENCES: [(&str, &str); 7] = [
    ("client.id", "tidewatch"),
    // The default of a second makes a consumer that is slower than its broker stall a second at a time.
    ("fetch.queue.backoff.ms", "5"),
    // Sets the time a rebalance takes; the default is three seconds.
    ("heartbeat.interval.ms", "1000"),
    ("session.timeout.ms", "10000"),
    ("queued.min.messages", "20000"),
    // How soon a topic that a pattern asks for, or a partition that was added, is noticed.
    ("topic.metadata.refresh.interval.ms", "30000"),
    ("compression.type", "lz4"),
];

/// What a member fetches ahead of its reading, all its partitions together and beside the last answer for each: with librdkafka's 64 MiB a partition a member with
/// many partitions is a member without memory. Bytes.
const PREFETCH_MAX: usize = 256 << 20;
/// The same of one partition: more makes nothing faster.
const PREFETCH_OF_PARTITION_MAX: usize = 8 << 20;
/// And never less: an answer should be worth its request.
const PREFETCH_OF_PARTITION_MIN: usize = 64 << 10;
/// How much of a partition an answer holds at the most, as long as its first message is no longer: librdkafka's own default.
const FETCH_OF_PARTITION_MAX: usize = 1 << 20;

/// The share of each of so many partitions in what is fetched ahead. Bytes.
pub(super) fn prefetch_of(partitions: usize) -> usize {
    let share = PREFETCH_MAX / partitions.max(1);
    share.clamp(PREFETCH_OF_PARTITION_MIN, PREFETCH_OF_PARTITION_MAX)
}

/// The three layers, and nothing yet that is a consumer's or a producer's alone.
fn base(kafka: &service::Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in PREFERENCES {
        config.set(name, value);
    }
    for (name, value) in &kafka.properties {
        config.set(name, value);
    }
    // A token is no property: `credentials` brings it.
    for (name, secret) in kafka.secrets.iter().filter(|(name, _)| *name != TOKEN) {
        config.set(name, secret.reveal());
    }
    if kafka.speaks_consumer_protocol() {
        // The brokers' to say; the client refuses to be told.
        for name in ["session.timeout.ms", "heartbeat.interval.ms"] {
            config.remove(name);
        }
    }
    // Producer properties on a consumer, and the reverse, are not worth a line each: one map serves both.
    config.set_log_level(RDKafkaLogLevel::Warning);
    config.set("log.connection.close", "false");
    config
}

/// A member of the group that reads committed messages from where it is told to, and fetches so many bytes of a partition ahead.
pub(super) fn member(kafka: &service::Kafka, prefetch: usize) -> ClientConfig {
    let mut config = reader(kafka);
    prefer(kafka, &mut config, prefetch);
    if !kafka.speaks_consumer_protocol() {
        config.set("partition.assignment.strategy", "cooperative-sticky");
    }
    config
}

/// A reader of committed messages outside of any group membership. (librdkafka wants a group id all the same.)
pub(super) fn reader(kafka: &service::Kafka) -> ClientConfig {
    let mut config = base(kafka);
    prefer(kafka, &mut config, PREFETCH_OF_PARTITION_MAX);
    config
        .set("group.id", &kafka.group_id)
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // An offset that the log no longer has is told, never skipped over.
        .set("auto.offset.reset", "error")
        // The only word that tells "all read" from "more to come" past the markers of transactions.
        .set("enable.partition.eof", "true");
    config
}

/// For the whole of a transaction: the broker gives up on it soon after.
pub(super) fn transaction_timeout(kafka: &service::Kafka) -> Duration {
    let said = kafka.property("transaction.timeout.ms");
    let said = said.and_then(|text| text.parse().ok());
    said.map_or(TRANSACTION_TIMEOUT, Duration::from_millis)
}

/// How much of a partition is fetched ahead, where the operator does not say.
fn prefer(kafka: &service::Kafka, config: &mut ClientConfig, prefetch: usize) {
    if kafka.property("queued.max.messages.kbytes").is_none() {
        let kilobytes = (prefetch >> 10).to_string();
        config.set("queued.max.messages.kbytes", kilobytes);
    }
    let aliases = ["fetch.message.max.bytes", "max.partition.fetch.bytes"];
    if aliases.iter().all(|name| kafka.property(name).is_none()) {
        let bytes = prefetch.min(FETCH_OF_PARTITION_MAX).to_string();
        config.set(aliases[0], bytes);
    }
}

/// Writes whole batches in transactions.
pub(super) fn transactional(kafka: &service::Kafka, transactional_id: &str) -> ClientConfig {
    let mut config = loose(kafka);
    let timeout_ms = transaction_timeout(kafka).as_millis().to_string();
    let preferences = [
        ("transaction.timeout.ms", timeout_ms.as_str()),
        // A transaction is handed over whole: there is nothing to wait for.
        ("linger.ms", "0"),
    ];
    for (name, value) in preferences {
        if kafka.property(name).is_none() {
            config.set(name, value);
        }
    }
    config.set("transactional.id", transactional_id);
    config
}

/// Writes at least once, in order.
pub(super) fn loose(kafka: &service::Kafka) -> ClientConfig {
    let mut config = base(kafka);
    config.set("enable.idempotence", "true");
    config
}

/// Makes and asks for topics.
pub(super) fn admin(kafka: &service::Kafka) -> ClientConfig {
    base(kafka)
}

/// What a client said last that was not an answer: the only place where a wrong password or an unknown authority is told.
#[derive(Clone, Default)]
pub(super) struct Complaints(Arc<Mutex<Option<String>>>);

impl Complaints {
    fn hear(&self, error: &KafkaError, reason: &str) {
        let complaint = format!("{error}: {reason}");
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Said again every second while brokers are away; and that all are down explains less than why the last one is.
        let repeats = last.as_ref() == Some(&complaint);
        let is_vague = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        if repeats || (is_vague && last.is_some()) {
            tracing::debug!(complaint, "kafka client");
            return;
        }
        tracing::warn!(complaint, look_at = look_at(error, reason), "kafka client");
        *last = Some(complaint);
    }

    /// `what` went wrong, and the last complaint as its likely cause.
    pub(super) fn explain(&self, what: impl std::fmt::Display) -> String {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(complaint) => format!("{what} (last heard from the client: {complaint})"),
            None => what.to_string(),
        }
    }
}

/// Where the cause of a complaint is likely to be: the login, the certificates, or the address.
fn look_at(error: &KafkaError, reason: &str) -> Option<&'static str> {
    const CERTIFICATES: &str =
        "the certificates: ssl.ca.location, ssl.certificate.location, ssl.key.location";
    // A broker that wants to see a certificate of ours closes the connection with an alert.
    if reason.contains("SSL routines") {
        return Some(CERTIFICATES);
    }
    match error.rdkafka_error_code()? {
        RDKafkaErrorCode::Authentication
        | RDKafkaErrorCode::SaslAuthenticationFailed
        | RDKafkaErrorCode::UnsupportedSASLMechanism
        | RDKafkaErrorCode::IllegalSASLState => Some(
            "the login: sasl.mechanism, sasl.username, and the password or token in kafka.secret_files",
        ),
        RDKafkaErrorCode::SSL => Some(CERTIFICATES),
        RDKafkaErrorCode::Resolve
        | RDKafkaErrorCode::BrokerTransportFailure
        | RDKafkaErrorCode::AllBrokersDown => {
            Some("the address and protocol: bootstrap.servers, security.protocol")
        }
        _ => None,
    }
}

/// Why a client cannot be made of its properties; without the value of one that is secret.
pub(super) fn unmakeable(kafka: &service::Kafka, error: KafkaError) -> LogError {
    let why = match &error {
        KafkaError::ClientConfig(_, why, name, _) if kafka.secrets.contains_key(name) => {
            format!("{name}: {why}")
        }
        error => error.to_string(),
    };
    LogError::Fatal(format!("kafka.properties: {why}"))
}

/// librdkafka's log lines as ours.
fn log_line(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        // Also told as an error event, which the complaints keep.
        _ if facility == "FAIL" => tracing::debug!(target: "librdkafka", "{line}"),
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => {
            tracing::error!(target: "librdkafka", facility, "{line}");
        }
        // The second: a coordinator that is not there yet, as at any first start; what lasts becomes an error of the transaction.
        RDKafkaLogLevel::Warning if matches!(facility, "CONFWARN" | "GETPID") => {
            tracing::debug!(target: "librdkafka", "{line}")
        }
        RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{line}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{line}")
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{line}"),
    }
}

/// A client that only listens.
#[derive(Clone, Default)]
pub(super) struct Listener {
    pub(super) complaints: Complaints,
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.complaints.hear(&error, reason);
    }
}

impl ConsumerContext for Listener {}

/// What the group decided, in its order.
pub(super) enum GroupEvent {
    Assigned(Vec<TopicPartition>),
    Revoked {
        partitions: Vec<TopicPartition>,
        lost: bool,
    },
}

/// A group member: notes what the group decides and leaves the answer to whoever polls.
#[derive(Default)]
pub(super) struct Member {
    pub(super) complaints: Complaints,
    pub(super) bell: Arc<Bell>,
    events: Mutex<VecDeque<GroupEvent>>,
    closing: AtomicBool,
}

impl Member {
    pub(super) fn next_event(&self) -> Option<GroupEvent> {
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }

    /// Whether the group wants partitions back and nobody has been told of it.
    pub(super) fn wants_back(&self) -> bool {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let mut events = events.iter();
        events.any(|event| matches!(event, GroupEvent::Revoked { .. }))
    }

    /// From now on whatever the group asks is granted at once: nobody polls a consumer that is being closed.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.complaints.hear(&error, reason);
    }
}

impl ConsumerContext for Member {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        if self.closing.load(Ordering::Relaxed) {
            if let Err(error) = consumer.unassign() {
                tracing::warn!(%error, "could not let go of partitions while closing");
            }
            return;
        }
        let partitions = list
            .elements()
            .iter()
            .map(|element| TopicPartition::new(element.topic(), element.partition()))
            .collect();
        let event = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                GroupEvent::Assigned(partitions)
            }
            _ => GroupEvent::Revoked {
                partitions,
                lost: consumer.assignment_lost(),
            },
        };
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(event);
    }
}

/// A producer: counts what could not be delivered. The default context would hide it.
#[derive(Clone, Default)]
pub(super) struct Deliveries {
    pub(super) complaints: Complaints,
    failed: Arc<AtomicU64>,
    last: Arc<Mutex<Option<(KafkaError, Resource)>>>,
    denied: Arc<Mutex<Option<Resource>>>,
}

impl Deliveries {
    /// The last error since the last call, when there was one, and the topic it speaks of.
    pub(super) fn take_failure(&self) -> Option<(KafkaError, Resource)> {
        if self.failed.swap(0, Ordering::AcqRel) == 0 {
            return None;
        }
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Deliveries {
    /// The topic that a transaction was not allowed to write to, when that is why it failed since the last call.
    pub(super) fn take_denied(&self) -> Option<Resource> {
        self.denied
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// A right that is missing fails a transaction before anything is sent: its messages are "purged", and only this line names the topic.
    fn hear_of_denial(&self, facility: &str, line: &str) {
        if facility == "ADDPARTS"
            && line.contains("authorization failed")
            && let Some(topic) = line.split('"').nth(1)
        {
            *self.denied.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Resource::written(topic));
        }
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.hear_of_denial(facility, line);
        log_line(level, facility, line);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.complaints.hear(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            tracing::trace!(topic = message.topic(), %error, "not delivered");
            let topic = Resource::written(message.topic());
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((error.clone(), topic));
            self.failed.fetch_add(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn kafka(properties: &[(&str, &str)]) -> service::Kafka {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        service::Kafka {
            properties: properties.iter().map(text).collect(),
            secrets: BTreeMap::new(),
            secret_files: BTreeMap::new(),
            group_id: "group".to_owned(),
            instance_id: "one".to_owned(),
        }
    }

    #[test]
    fn what_a_member_fetches_ahead_is_bounded_however_many_partitions_it_has() {
        for partitions in 1..=4096 {
            let share = prefetch_of(partitions);
            assert!(partitions * share <= 256 << 20, "{partitions}");
            assert!(partitions > 32 || share == 8 << 20, "{partitions}");
        }
    }

    #[test]
    fn a_member_with_many_partitions_asks_for_less_of_each_unless_the_operator_says_how_much() {
        let asks = |properties, partitions| {
            let config = member(&kafka(properties), prefetch_of(partitions));
            let of = |name: &str| config.get(name).map(str::to_owned);
            (
                of("queued.max.messages.kbytes"),
                of("fetch.message.max.bytes"),
            )
        };
        let said =
            |queued: &str, fetched: &str| (Some(queued.to_owned()), Some(fetched.to_owned()));
        assert_eq!(asks(&[], 4), said("8192", "1048576"));
        assert_eq!(asks(&[], 1024), said("256", "262144"));
        let own = [
            ("queued.max.messages.kbytes", "77"),
            ("fetch.message.max.bytes", "88"),
        ];
        assert_eq!(asks(&own, 1024), said("77", "88"));
        let alias = [("max.partition.fetch.bytes", "88")];
        assert_eq!(asks(&alias, 1024).1, None);
    }

    #[test]
    fn a_transaction_may_take_as_long_as_its_broker_waits() {
        assert_eq!(transaction_timeout(&kafka(&[])), Duration::from_secs(15));
        let said = kafka(&[("transaction.timeout.ms", "60000")]);
        assert_eq!(transaction_timeout(&said), Duration::from_secs(60));
        let config = transactional(&said, "id");
        assert_eq!(config.get("transaction.timeout.ms"), Some("60000"));
    }
}
