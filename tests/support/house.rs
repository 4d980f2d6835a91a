//! A job's service in memory, one instance at a time, on a cluster that outlives it.
#![allow(dead_code, unreachable_pub, missing_docs)] // not every test uses every room

use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidewatch::config::Job;
use tidewatch::engine::result::DocumentKind;
use tidewatch::runtime::clock::{Clock, ManualClock};
use tidewatch::runtime::log::Outgoing;
use tidewatch::runtime::log::memory::{Cluster, MemoryLog, Stored};
use tidewatch::runtime::observer::{Fact, Observer};
use tidewatch::runtime::service::{Service, Settings, group_of};
use tidewatch::runtime::store::MemoryStore;
use tidewatch::runtime::task::TopicNames;

pub const MINUTE_MS: i64 = 60_000;
pub const GROUP: &str = "group.j";

pub fn job(span: &str, extensions: &str) -> Arc<Job> {
    let text = format!(
        r#"{{"job_id":"j","analysis_config":{{"bucket_span":"{span}","detectors":[{{"function":"count","partition_field_name":"host"}}],
        "influencers":["host"]}},"data_description":{{"time_field":"time","time_format":"epoch_ms"}},
        "datafeed_config":{{"indices":["events"]}},"tidewatch":{extensions}}}"#
    );
    Arc::new(Job::from_text(&text, "test").expect("a valid job"))
}

pub fn event(minute: i64, host: &str) -> String {
    format!(r#"{{"time":{},"host":"{host}"}}"#, minute * MINUTE_MS)
}

/// Remembers the names of what happened.
#[derive(Default)]
pub struct Diary(pub Mutex<Vec<String>>);

impl Diary {
    pub fn has(&self, name: &str) -> bool {
        let entries = self.0.lock().unwrap();
        entries.iter().any(|entry| entry.starts_with(name))
    }
    /// Where input partitions were begun to be read, in their order.
    pub fn assigned(&self) -> Vec<String> {
        let entries = self.0.lock().unwrap();
        let of_inputs = entries
            .iter()
            .filter(|entry| entry.starts_with("Assigned") && entry.contains("\"events\""));
        let mut told: Vec<String> = of_inputs
            .map(|entry| {
                entry
                    .split(", live_from")
                    .next()
                    .unwrap_or(entry)
                    .to_owned()
            })
            .collect();
        told.sort();
        told
    }
    pub fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl Observer for Diary {
    fn observe(&self, _job_id: &str, fact: &Fact<'_>) {
        self.0.lock().unwrap().push(format!("{fact:?}"));
    }
}

/// One instance at a time on a cluster that outlives it.
pub struct House {
    pub cluster: Cluster,
    pub clock: ManualClock,
    pub store: MemoryStore,
    pub diary: Arc<Diary>,
}

impl House {
    pub fn new(partitions: i32) -> House {
        let cluster = Cluster::new();
        cluster.create_topic("events", partitions);
        House {
            cluster,
            clock: ManualClock::at(0),
            store: MemoryStore::new(),
            diary: Arc::new(Diary::default()),
        }
    }

    pub fn send(&self, partition: i32, payload: &str) {
        let message = Outgoing {
            topic: "events".into(),
            partition: Some(partition),
            key: None,
            payload: Some(payload.into()),
            headers: Vec::new(),
            timestamp_ms: Some(0),
        };
        self.cluster.append(&message).unwrap();
    }

    /// Appends an event whose message is written `late_ms` after it happened.
    pub fn send_at(&self, partition: i32, minute: i64, host: &str, late_ms: i64) {
        let message = Outgoing {
            topic: "events".into(),
            partition: Some(partition),
            key: None,
            payload: Some(event(minute, host).into()),
            headers: Vec::new(),
            timestamp_ms: Some(minute * MINUTE_MS + late_ms),
        };
        self.cluster.append(&message).unwrap();
    }

    pub fn start(&self, job: Arc<Job>) -> Service<MemoryLog> {
        self.start_with(job, Settings::default())
    }

    pub fn start_with(&self, job: Arc<Job>, settings: Settings) -> Service<MemoryLog> {
        self.diary.clear();
        self.start_as("one", job, settings)
    }

    /// An instance of another name, beside others.
    pub fn start_as(&self, name: &str, job: Arc<Job>, settings: Settings) -> Service<MemoryLog> {
        let log = self.cluster.open(&group_of("group", &job.id), name);
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let diary: Arc<dyn Observer> = Arc::clone(&self.diary) as Arc<dyn Observer>;
        Service::start(
            log,
            Box::new(self.store.clone()),
            clock,
            diary,
            job,
            settings,
        )
        .unwrap()
    }

    pub fn settle(&self, service: &mut Service<MemoryLog>) {
        for _ in 0..100 {
            self.clock.advance(1_000);
            service.breathe(Duration::ZERO).unwrap();
        }
        assert!(service.is_settled());
    }

    pub fn results(&self, kind: DocumentKind) -> Vec<Arc<Stored>> {
        self.cluster
            .committed(TopicNames::new("tidewatch").results(kind))
    }

    /// The last word on every bucket, record, influencer and model plot, by kind and key.
    pub fn documents(&self) -> BTreeMap<String, Value> {
        let mut documents = BTreeMap::new();
        for kind in [
            DocumentKind::Bucket,
            DocumentKind::Record,
            DocumentKind::Influencer,
            DocumentKind::ModelPlot,
        ] {
            for stored in self.results(kind) {
                let payload = stored.payload.as_deref().expect("no tombstone");
                let document = serde_json::from_slice(payload).expect("a document");
                let key = stored.key.as_deref().expect("a key");
                let name = format!("{kind:?} {}", String::from_utf8_lossy(key));
                documents.insert(name, document);
            }
        }
        documents
    }

    /// Events of each bucket published, by its minute.
    pub fn event_counts(&self) -> BTreeMap<i64, u64> {
        let stored = self.results(DocumentKind::Bucket);
        let payloads = stored.iter().filter_map(|stored| stored.payload.as_deref());
        let documents = payloads.map(|text| serde_json::from_slice::<Value>(text).unwrap());
        let count = |document: Value| {
            let minute = document["timestamp"].as_i64().unwrap() / MINUTE_MS;
            (minute, document["event_count"].as_u64().unwrap())
        };
        documents.map(count).collect()
    }

    /// Minutes of the buckets published, in the order of their first word: a later word on the same bucket is a renormalised score, and a different one.
    pub fn bucket_times(&self) -> Vec<i64> {
        let mut said = BTreeMap::new();
        let mut times = Vec::new();
        for message in self.results(DocumentKind::Bucket) {
            let last = said.insert(message.key.clone(), message.payload.clone());
            assert_ne!(
                last,
                Some(message.payload.clone()),
                "the same word twice on {:?}",
                message.key.as_deref().map(String::from_utf8_lossy)
            );
            if last.is_none() {
                times.push(message.timestamp_ms.unwrap() / MINUTE_MS);
            }
        }
        times
    }
}
