//! The service in one process, without a broker: [`Service`] on the log in memory, for `tidewatch demo`, examples and tests.
//!
//! Not a model of the service but the service: the same tasks, transactions and snapshots; only the log and the store are in memory. Time is whatever the
//! given clock says, so that a feed may run faster than life.

use super::clock::Clock;
use super::log::memory::{Cluster, MemoryLog, Stored};
use super::log::shared::{Limits, SharedLog, Sharing};
use super::log::{LogError, Outgoing, TopicPartition};
use super::observer::Observer;
use super::service::{Service, ServiceError, Settings, group_of};
use super::store::{MemoryStore, Writing};
use crate::config::Job;
use crate::engine::result::DocumentKind;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const GROUP: &str = "embedded";

/// Jobs at work in this process.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tidewatch::runtime::{clock::SystemClock, embedded::Embedded, observer::Silent, service::Settings};
/// # fn job() -> Arc<tidewatch::config::Job> { unimplemented!() }
/// let mut service = Embedded::new(Settings::default(), Arc::new(SystemClock), Arc::new(Silent));
/// service.create_topic("web-logs", 4);
/// service.start(job())?;
/// service.produce("web-logs", None, Some(b"host-1"), br#"{"time":1700000000000,"host":"host-1"}"#, 1_700_000_000_000)?;
/// service.drain()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Embedded {
    cluster: Cluster,
    settings: Settings,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    sharing: Arc<Sharing>,
    services: Vec<Service<SharedLog<MemoryLog>>>,
    /// By topic: the offsets to go on from, by partition.
    seen: BTreeMap<Arc<str>, Vec<i64>>,
}

impl Embedded {
    /// An empty log and no job.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> Embedded {
        Embedded {
            cluster: Cluster::new(),
            settings,
            sharing: Sharing::new(Arc::clone(&clock), Limits::default()),
            clock,
            observer,
            services: Vec::new(),
            seen: BTreeMap::new(),
        }
    }

    /// Creates an input topic, before the jobs that read it are started.
    pub fn create_topic(&mut self, name: &str, partitions: i32) {
        self.cluster.create_topic(name, partitions);
    }

    /// Starts a job.
    pub fn start(&mut self, job: Arc<Job>) -> Result<(), ServiceError> {
        let log = self.cluster.open(&group_of(GROUP, &job.id), "instance");
        let log = SharedLog::new(log, &self.sharing, Arc::clone(&job));
        let service = Service::start(
            log,
            Box::new(MemoryStore::new()),
            Arc::clone(&self.clock),
            Arc::clone(&self.observer),
            job,
            Settings {
                snapshot_writing: Writing::ByHand, // so that time is the caller's here too
                ..self.settings.clone()
            },
        )?;
        self.services.push(service);
        Ok(())
    }

    /// Appends a message to an input topic; without a partition the key decides. `timestamp_ms` is the message's own.
    pub fn produce(
        &mut self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        payload: &[u8],
        timestamp_ms: i64,
    ) -> Result<(), LogError> {
        self.cluster.append(&Outgoing {
            topic: topic.into(),
            partition,
            key: key.map(<[u8]>::to_vec),
            payload: Some(payload.to_vec()),
            headers: Vec::new(),
            timestamp_ms: Some(timestamp_ms),
        })
    }

    /// One breath of every job.
    pub fn step(&mut self) -> Result<(), ServiceError> {
        self.services.iter_mut().try_for_each(|service| {
            service.breathe(Duration::ZERO)?;
            while service.write_snapshot() {}
            Ok(())
        })
    }

    /// Breathes until everything produced so far has been read, worked through and committed, by every stage of every job. Then forgets the
    /// messages that nobody will read again.
    pub fn drain(&mut self) -> Result<(), ServiceError> {
        loop {
            self.step()?;
            let mut settled = true;
            for service in &mut self.services {
                if !service.is_settled() {
                    // Nobody waits for the interval's end here.
                    settled = false;
                    service.commit_now()?;
                }
            }
            if settled {
                self.trim();
                return Ok(());
            }
        }
    }

    /// The final results of one kind that have become visible since the last call, in their order.
    pub fn results(&mut self, kind: DocumentKind) -> Vec<Arc<Stored>> {
        let topic = Arc::clone(self.settings.names.results(kind));
        self.news(topic)
    }

    /// The interim results of one kind likewise; one without a payload has been withdrawn.
    pub fn interim(&mut self, kind: DocumentKind) -> Vec<Arc<Stored>> {
        let topic = Arc::clone(self.settings.names.interim(kind));
        self.news(topic)
    }

    /// The notices of incidents that have become visible since the last call, with alerts on.
    pub fn alerts(&mut self) -> Vec<Arc<Stored>> {
        let topic = self.settings.names.alerts().into();
        self.news(topic)
    }

    /// What has been refused since the last call, with the reason in its headers.
    pub fn dead_letters(&mut self) -> Vec<Arc<Stored>> {
        let topic = Arc::clone(self.settings.names.dead_letters());
        self.news(topic)
    }

    /// The end: last commits, last snapshots.
    pub fn finish(&mut self) -> Result<(), ServiceError> {
        self.services.iter_mut().try_for_each(Service::finish)
    }

    fn news(&mut self, topic: Arc<str>) -> Vec<Arc<Stored>> {
        let seen = self.seen.entry(Arc::clone(&topic)).or_default();
        self.cluster.committed_since(&topic, seen)
    }

    /// Forgets what every job has behind it. Safe here, where no instance can die without the log.
    fn trim(&self) {
        for service in &self.services {
            let plan = service.plan();
            let group = group_of(GROUP, &plan.job.id);
            let internal = [(&plan.closed, i32::from(plan.shards)), (&plan.partials, 1)];
            for (topic, partitions) in internal {
                for partition in 0..partitions {
                    let at = TopicPartition::new(Arc::clone(topic), partition);
                    if let Some(position) = self.cluster.position(&group, &at) {
                        self.cluster.truncate(&at, position.next_offset);
                    }
                }
            }
        }
        for (at, done) in self.inputs_done() {
            self.cluster.truncate(&at, done);
        }
    }

    /// Of each input partition, the position of the job that is furthest behind.
    fn inputs_done(&self) -> BTreeMap<TopicPartition, i64> {
        let mut done = BTreeMap::new();
        for service in &self.services {
            let plan = service.plan();
            let group = group_of(GROUP, &plan.job.id);
            for (topic, &partitions) in &plan.inputs {
                for partition in 0..partitions {
                    let at = TopicPartition::new(Arc::clone(topic), partition);
                    let next = self
                        .cluster
                        .position(&group, &at)
                        .map_or(0, |p| p.next_offset);
                    done.entry(at)
                        .and_modify(|least: &mut i64| *least = next.min(*least))
                        .or_insert(next);
                }
            }
        }
        done
    }
}
