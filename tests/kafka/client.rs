//! A plain Kafka client for tests: makes topics, writes events, reads what is committed.

use crate::broker::{Broker, broker};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// A name that no other test uses.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!(
        "{name}-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

pub fn config(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &broker.address)
        .set("allow.auto.create.topics", "false");
    config
}

/// Makes a topic with a unique name and waits until it can be written to.
pub fn topic(name: &str, partitions: i32) -> String {
    topic_on(broker(), name, partitions)
}

/// The same on another broker.
pub fn topic_on(broker: &Broker, name: &str, partitions: i32) -> String {
    let name = unique(name);
    create_on(broker, &name, partitions);
    name
}

/// Makes a topic of this very name and waits until it can be written to.
pub fn create_on(broker: &Broker, name: &str, partitions: i32) {
    let admin = admin(broker);
    // As many replicas as the brokers keep of anything.
    let request = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
    let made = wait(admin.create_topics(&[request], &AdminOptions::new())).expect("an answer");
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    await_partitions(broker, name, partitions);
}

/// Makes a topic with a unique name, of a partition on each of these nodes and on no other, and waits until it can be written to.
pub fn topic_on_nodes(broker: &Broker, name: &str, nodes: &[i32]) -> String {
    let (name, admin) = (unique(name), admin(broker));
    let replicas: Vec<&[i32]> = nodes.chunks(1).collect();
    let partitions = nodes.len() as i32;
    let request = NewTopic::new(&name, partitions, TopicReplication::Variable(&replicas));
    let made = wait(admin.create_topics(&[request], &AdminOptions::new())).expect("an answer");
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    await_partitions(broker, &name, partitions);
    name
}

/// Waits until a topic has so many partitions, with leaders.
fn await_partitions(broker: &Broker, name: &str, partitions: i32) {
    let admin = admin(broker);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let metadata = admin
            .inner()
            .fetch_metadata(Some(name), Duration::from_secs(10))
            .expect("metadata");
        let parts = metadata.topics()[0].partitions();
        if parts.len() == partitions as usize && parts.iter().all(|part| part.leader() >= 0) {
            return;
        }
        assert!(Instant::now() < deadline, "{name} got no leader");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Gives a topic more partitions, so many in all.
pub fn grow(topic: &str, partitions: i32) {
    let wanted = NewPartitions::new(topic, partitions as usize);
    let done = wait(admin(broker()).create_partitions(&[wanted], &AdminOptions::new()));
    assert!(done.expect("an answer").iter().all(Result::is_ok));
    await_partitions(broker(), topic, partitions);
}

/// Deletes a topic and waits until it is gone.
pub fn delete(topic: &str) {
    delete_on(broker(), topic);
}

/// The same on another broker.
pub fn delete_on(broker: &Broker, topic: &str) {
    let done = wait(admin(broker).delete_topics(&[topic], &AdminOptions::new()));
    assert!(done.expect("an answer").iter().all(Result::is_ok));
    let deadline = Instant::now() + PATIENCE;
    while exists(broker, topic) {
        assert!(Instant::now() < deadline, "{topic} is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Has the broker delete what lies before `offset`.
pub fn delete_before(topic: &str, partition: i32, offset: i64) {
    let mut wanted = TopicPartitionList::new();
    wanted
        .add_partition_offset(topic, partition, Offset::Offset(offset))
        .expect("an offset");
    let deleted = wait(admin(broker()).delete_records(&wanted, &AdminOptions::new()));
    deleted.expect("the broker deletes");
}

/// Writes texts to the partitions beside them and waits until they are safe.
pub fn produce(topic: &str, messages: impl IntoIterator<Item = (i32, String)>) {
    produce_on(broker(), topic, messages);
}

/// The same on another broker, and of any bytes.
pub fn produce_on<P: AsRef<[u8]>>(
    broker: &Broker,
    topic: &str,
    messages: impl IntoIterator<Item = (i32, P)>,
) {
    let messages = messages.into_iter();
    let now = messages.map(|(partition, payload)| (partition, payload, None));
    produce_at(broker, topic, now);
}

/// The same with messages' own timestamps, milliseconds since the epoch.
pub fn produce_at<P: AsRef<[u8]>>(
    broker: &Broker,
    topic: &str,
    messages: impl IntoIterator<Item = (i32, P, Option<i64>)>,
) {
    let producer: BaseProducer = config(broker)
        .set("linger.ms", "5")
        .set("enable.idempotence", "true")
        // Whatever the broker takes.
        .set("message.max.bytes", "2000000")
        .create()
        .expect("a producer");
    for (partition, payload, timestamp_ms) in messages {
        let mut record = BaseRecord::<(), [u8]>::to(topic)
            .partition(partition)
            .payload(payload.as_ref());
        record.timestamp = timestamp_ms;
        while let Err((error, back)) = producer.send(record) {
            assert!(
                matches!(
                    error,
                    KafkaError::MessageProduction(rdkafka::types::RDKafkaErrorCode::QueueFull)
                ),
                "{error}"
            );
            producer.poll(Duration::from_millis(5));
            record = back;
        }
    }
    // Some tests take all brokers away meanwhile.
    producer.flush(3 * PATIENCE).expect("all delivered");
}

/// A message as a reader of committed messages sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: Option<String>,
    /// `None` is a tombstone.
    pub value: Option<String>,
    pub headers: Vec<(String, String)>,
}

/// Where each partition of a topic ends.
pub fn ends(topic: &str, partitions: i32) -> Vec<(i32, i64)> {
    let consumer: BaseConsumer = config(broker()).create().expect("a consumer");
    let end = |partition| {
        let timeout = Duration::from_secs(30);
        let (_, end) = consumer
            .fetch_watermarks(topic, partition, timeout)
            .expect("the broker answers");
        (partition, end)
    };
    (0..partitions).map(end).collect()
}

/// Whether a topic exists, leaders and all.
pub fn exists(broker: &Broker, topic: &str) -> bool {
    let consumer: BaseConsumer = config(broker).create().expect("a client");
    let metadata = consumer
        .fetch_metadata(None, Duration::from_secs(10))
        .expect("metadata");
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    found.is_some_and(|found| found.partitions().iter().all(|part| part.leader() >= 0))
}

/// The values of everything committed to a topic, of which there should be `wanted`: a commit has succeeded when its coordinator has decided it, and
/// readers see it a moment later, when the markers are written.
pub fn committed(topic: &str, wanted: usize) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = read_committed(topic);
        if seen.len() >= wanted || Instant::now() > deadline {
            return seen.into_iter().filter_map(|seen| seen.value).collect();
        }
    }
}

/// Everything committed to a topic so far, partition by partition.
pub fn read_committed(topic: &str) -> Vec<Seen> {
    read_all_committed(broker(), &[topic.to_string()])
}

/// Everything committed to some topics so far, partition by partition.
pub fn read_all_committed(broker: &Broker, topics: &[String]) -> Vec<Seen> {
    let mut seen = read_committed_as(broker, topics, seen_of);
    seen.sort();
    seen
}

/// Everything that a `read_committed` reader sees in these topics, each partition in its order, as `of` makes of it.
pub fn read_committed_as<T>(
    broker: &Broker,
    topics: &[String],
    of: impl Fn(&BorrowedMessage<'_>) -> T,
) -> Vec<T> {
    let consumer: BaseConsumer = config(broker)
        .set("group.id", unique("reader"))
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "20")
        .create()
        .expect("a consumer");
    let metadata = consumer
        .fetch_metadata(None, Duration::from_secs(10))
        .expect("metadata");
    let mut list = TopicPartitionList::new();
    for topic in metadata
        .topics()
        .iter()
        .filter(|topic| topics.iter().any(|wanted| wanted == topic.name()))
    {
        for part in topic.partitions() {
            list.add_partition_offset(topic.name(), part.id(), Offset::Beginning)
                .expect("a partition");
        }
    }
    consumer.assign(&list).expect("assigned");
    let (mut seen, mut ended) = (Vec::new(), 0);
    let deadline = Instant::now() + PATIENCE;
    while ended < list.count() {
        assert!(
            Instant::now() < deadline,
            "{topics:?} were not read to their end in time"
        );
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => println!("reading {topics:?}: {error}"),
            Some(Ok(message)) => seen.push(of(&message)),
        }
    }
    seen
}

fn seen_of(message: &BorrowedMessage<'_>) -> Seen {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = message.headers().map(|headers| {
        headers
            .iter()
            .map(|header| {
                (
                    header.key.to_string(),
                    text(header.value.unwrap_or_default()),
                )
            })
            .collect()
    });
    Seen {
        topic: message.topic().to_string(),
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(text),
        value: message.payload().map(text),
        headers: headers.unwrap_or_default(),
    }
}

fn admin(broker: &Broker) -> AdminClient<DefaultClientContext> {
    config(broker).create().expect("a client")
}

/// Runs an answer of the admin client to its end.
fn wait<F: std::future::Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(future)
}

/// Gives a topic these settings and no others.
pub fn alter(topic: &str, settings: &[(&str, &str)]) {
    alter_on(broker(), topic, settings);
}

/// The same on another broker.
pub fn alter_on(broker: &Broker, topic: &str, settings: &[(&str, &str)]) {
    let change = settings.iter().fold(
        AlterConfig::new(ResourceSpecifier::Topic(topic)),
        |change, (name, value)| change.set(name, value),
    );
    let answer = wait(admin(broker).alter_configs([&change], &AdminOptions::new()));
    answer.expect("an answer").remove(0).expect("changed");
}

/// A topic's setting.
pub fn setting(topic: &str, name: &str) -> String {
    let asked = ResourceSpecifier::Topic(topic);
    let answer = wait(admin(broker()).describe_configs([&asked], &AdminOptions::new()));
    let resource = answer.expect("an answer").remove(0).expect("described");
    let entry = resource.get(name).expect("a setting");
    entry.value.clone().unwrap_or_default()
}
