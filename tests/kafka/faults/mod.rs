//! The table of faults (docs/reliability.md): each one is done to a running service on a real Apache Kafka, and what a reader of committed messages
//! then finds is what `tidewatch detect` says of the same events, byte for byte.
//!
//! Every scenario has a short form, for each run of the tests, and a long one (`make chaos`, `TIDEWATCH_CHAOS=long`) that does the same
//! longer and more often. Both print the seed (`TIDEWATCH_TEST_SEED` sets another) and figures, a line each, beginning with `chaos:`.

mod brokers;
mod clocks;
mod disk;
mod hostile;
mod members;
mod topics;

use crate::broker::Broker;
use crate::client::{config, produce_on, topic_on};
use crate::instance::Deployment;
use crate::random::Random;
use crate::service::reference;
use crate::world::{Kind, Message, Word, events, job, sentinel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Whether the long form was asked for.
pub fn is_long() -> bool {
    std::env::var("TIDEWATCH_CHAOS").is_ok_and(|form| form == "long")
}

/// A number of the short form, or of the long one.
pub fn of<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

/// What all that is random follows from, said aloud.
pub fn seed(scenario: &str) -> u64 {
    let seed = std::env::var("TIDEWATCH_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_260_101);
    println!("chaos: {scenario}: seed {seed}");
    seed
}

/// How long a scenario's results may take.
pub const PATIENCE: Duration = Duration::from_secs(180);

const PARTITIONS: i32 = 3;

/// Jobs over a topic whose events come in while things go wrong, and what is to come of them.
pub struct Trial {
    pub broker: &'static Broker,
    pub input: String,
    pub deployment: Deployment,
    wanted: Vec<Word>,
    events: Vec<Message>,
    buckets: i64,
    seed: u64,
}

impl Trial {
    /// A topic of three partitions with a staged job of both kinds of detectors over it.
    pub fn new(name: &str, broker: &'static Broker, buckets: i64, seed: u64) -> Trial {
        Trial::over(topic_on(broker, name, PARTITIONS), broker, buckets, seed)
    }

    /// The same over a topic that is there.
    pub fn over(input: String, broker: &'static Broker, buckets: i64, seed: u64) -> Trial {
        let jobs = [job(Kind::PerHost, &input, ""), job(Kind::Whole, &input, "")];
        let kafka = format!("  properties:\n    bootstrap.servers: {}", broker.address);
        let settings = "timing:\n  commit_interval: 50ms\n  snapshot_interval: 500ms";
        Trial {
            broker,
            deployment: Deployment::on(broker, &kafka, &jobs, settings),
            wanted: reference(&jobs, buckets, seed),
            events: events(seed, buckets),
            input,
            buckets,
            seed,
        }
    }

    /// The same in groups that speak another protocol.
    pub fn with_group(self, group: &'static str) -> Trial {
        self.with_deployment(|deployment| deployment.with_group(group))
    }

    /// The same with a deployment that is a little different.
    pub fn with_deployment(self, change: impl FnOnce(Deployment) -> Deployment) -> Trial {
        Trial {
            deployment: change(self.deployment),
            ..self
        }
    }

    /// Sends all events, as evenly as it can over `span`, and then what closes the last buckets. Ends when all is written.
    pub fn feed(&self, span: Duration) -> JoinHandle<()> {
        let (broker, input) = (self.broker, self.input.clone());
        let (events, buckets) = (self.events.clone(), self.buckets);
        let mut random = Random::new(self.seed);
        std::thread::spawn(move || {
            let began = Instant::now();
            let share = events.len().div_ceil(buckets as usize);
            for (at, chunk) in events.chunks(share).enumerate() {
                let messages: Vec<_> = chunk
                    .iter()
                    .map(|message| {
                        let partition = random.within(0, PARTITIONS.into()) as i32;
                        (partition, message.text.clone())
                    })
                    .collect();
                produce_on(broker, &input, messages);
                let due = span.mul_f64(at as f64 / buckets as f64);
                std::thread::sleep(due.saturating_sub(began.elapsed()));
            }
            let ends = (0..PARTITIONS).map(|partition| (partition, sentinel(buckets)));
            produce_on(broker, &input, ends);
        })
    }

    /// Waits for all results; they are right, each of them once.
    pub fn assert_right(&self, what: &str) {
        self.deployment.await_results(&self.wanted);
        self.deployment.assert_results(&self.wanted, what);
    }

    /// Watches when buckets become visible, from now on.
    pub fn watch(&self) -> Watch {
        Watch::of(
            self.broker,
            &format!("{}.results.bucket", self.deployment.prefix),
        )
    }
}

/// A reader of committed buckets that remembers when they came.
pub struct Watch {
    stop: Arc<AtomicBool>,
    reader: JoinHandle<Vec<Instant>>,
}

impl Watch {
    fn of(broker: &'static Broker, topic: &str) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let (topic, stopped) = (topic.to_owned(), stop.clone());
        let reader = std::thread::spawn(move || {
            let consumer: BaseConsumer = config(broker)
                .set("group.id", "watch")
                .set("enable.auto.commit", "false")
                .set("log_level", "0")
                .set("reconnect.backoff.max.ms", "200")
                .create()
                .expect("a consumer");
            let mut list = TopicPartitionList::new();
            for partition in 0..2 {
                list.add_partition_offset(&topic, partition, Offset::Beginning)
                    .expect("a partition");
            }
            consumer.assign(&list).expect("assigned");
            let mut seen = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                if let Some(Ok(_)) = consumer.poll(Duration::from_millis(50)) {
                    seen.push(Instant::now());
                }
            }
            seen
        });
        Watch { stop, reader }
    }

    /// The longest time without a bucket between the first and the last that came.
    pub fn longest_silence(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.reader.join().expect("the reader ends");
        let gaps = seen.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.max().unwrap_or_default()
    }
}

/// Waits until a line is in an instance's log.
pub fn await_line(deployment: &Deployment, instance: &str, text: &str) -> String {
    deployment.await_log(instance, text, Instant::now() + PATIENCE)
}
