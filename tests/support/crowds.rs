//! Two worlds with something planted, for tests and benches: clients of a server of which a few are bots, and processes on hosts of which one runs
//! something new. Every figure is a function of the seed.

use super::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidewatch::config::Job;
use tidewatch::engine::event::{Event, Value};
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::engine::result::{Body, Document, DocumentKind};
use tidewatch::time::{EventTime, Finality};

/// A Monday, in buckets of a quarter of an hour.
pub const START_MS: i64 = 1_704_067_200_000;
pub const BUCKET_MS: i64 = 900_000;
pub const BUCKETS_A_DAY: i64 = 96;

/// One event: when, whose, and what.
pub struct Happening {
    pub at_ms: i64,
    pub who: String,
    pub what: String,
}

/// Clients that ask a server, each at a rate of its own (log-normal, a few requests a day to a few an hour), more by day than by night.
pub struct Clients {
    pub clients: i64,
    pub bots: i64,
    pub days: i64,
    pub seed: u64,
}

/// Hosts that run processes: the same dozen and a half nearly always, some a few times a day, one once a day.
pub struct Hosts {
    pub hosts: i64,
    pub planted: i64,
    pub days: i64,
    pub seed: u64,
}

pub fn normal(random: &mut Random) -> f64 {
    let (u, v) = (1.0 - random.unit(), random.unit());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

pub fn poisson(random: &mut Random, mean: f64) -> i64 {
    let (mut count, mut left) = (-1, mean);
    while left >= 0.0 {
        left += (1.0 - random.unit()).ln();
        count += 1;
    }
    count
}

impl Clients {
    /// The names of the bots.
    pub fn planted(&self) -> BTreeSet<String> {
        self.starts().into_keys().collect()
    }

    /// When each bot begins: for two hours in the second half it asks for 60 to 200 pages a bucket.
    fn starts(&self) -> BTreeMap<String, i64> {
        let mut random = Random::new(self.seed ^ 0xb07);
        let half = self.days * BUCKETS_A_DAY / 2;
        let mut starts = BTreeMap::new();
        while (starts.len() as i64) < self.bots {
            let name = format!("client-{}", random.within(0, self.clients));
            starts.insert(name, half + random.within(0, half - 8));
        }
        starts
    }

    /// Hands over every event, bucket by bucket.
    pub fn tell(&self, mut take: impl FnMut(Happening)) {
        let mut random = Random::new(self.seed);
        let rates: Vec<f64> = (0..self.clients)
            .map(|_| (normal(&mut random) - 1.5).exp())
            .collect();
        let starts = self.starts();
        for bucket in 0..self.days * BUCKETS_A_DAY {
            let hour = bucket as f64 / BUCKETS_A_DAY as f64;
            let by_day = 1.0 - 0.7 * (std::f64::consts::TAU * hour).cos();
            for (client, rate) in rates.iter().enumerate() {
                let who = format!("client-{client}");
                let usual = poisson(&mut random, rate * by_day);
                let is_on = |start: &&i64| (**start..**start + 8).contains(&bucket);
                let extra = match starts.get(&who).filter(is_on) {
                    Some(_) => random.within(60, 200),
                    None => 0,
                };
                for request in 0..usual + extra {
                    let page = match request < usual {
                        true => (1.0 - random.unit()).powf(-1.25) as i64,
                        false => random.within(0, 10_000),
                    };
                    take(Happening {
                        at_ms: START_MS + bucket * BUCKET_MS + random.within(0, BUCKET_MS),
                        who: who.clone(),
                        what: format!("/page/{page}"),
                    });
                }
            }
        }
    }
}

impl Hosts {
    /// Bucket start and host of each planted process.
    pub fn planted(&self) -> BTreeSet<(i64, String)> {
        let mut random = Random::new(self.seed ^ 0xbad);
        let half = self.days * BUCKETS_A_DAY / 2;
        let mut planted = BTreeSet::new();
        while (planted.len() as i64) < self.planted {
            let start = START_MS + (half + random.within(0, half)) * BUCKET_MS;
            planted.insert((start, format!("host-{}", random.within(0, self.hosts))));
        }
        planted
    }

    /// Hands over every event, bucket by bucket.
    pub fn tell(&self, mut take: impl FnMut(Happening)) {
        let mut random = Random::new(self.seed);
        let planted = self.planted();
        for bucket in 0..self.days * BUCKETS_A_DAY {
            let start = START_MS + bucket * BUCKET_MS;
            for host in 0..self.hosts {
                let who = format!("host-{host}");
                let mut running: Vec<String> = (0..15)
                    .filter(|_| random.unit() < 0.8)
                    .map(|process| format!("daemon-{process}"))
                    .collect();
                running.extend(
                    (0..3)
                        .filter(|_| random.unit() < 0.05)
                        .map(|tool| format!("tool-{tool}")),
                );
                if bucket % BUCKETS_A_DAY == 12 {
                    running.push("backup".to_owned());
                }
                if planted.contains(&(start, who.clone())) {
                    running.push("implant".to_owned());
                }
                for what in running {
                    take(Happening {
                        at_ms: start + random.within(0, BUCKET_MS),
                        who: who.clone(),
                        what,
                    });
                }
            }
        }
    }
}

/// Runs a job with the fields `who` and `what` over what is told; hands every document to `take`.
pub fn run(
    job: &Arc<Job>,
    tell: impl FnOnce(&mut dyn FnMut(Happening)),
    mut take: impl FnMut(Document),
) {
    let mut pipeline = Pipeline::new(job.clone());
    let mut hear = |outputs: Vec<Output>| {
        for output in outputs {
            if let Output::Result(document) = output {
                take(document);
            }
        }
    };
    tell(&mut |happening| {
        let value = |field: &String| match field.as_str() {
            "who" => Value::Text(happening.who.as_str().into()),
            _ => Value::Text(happening.what.as_str().into()),
        };
        let values: Vec<Value<'_>> = job.fields.iter().map(value).collect();
        let event = Event {
            time: EventTime(happening.at_ms),
            values: &values,
            raw_bytes: 0,
            raw_fields: 2,
        };
        hear(pipeline.handle(Input::Event(&event)));
    });
    hear(pipeline.handle(Input::Flush(Finality::Final)));
}

/// A job over `who` and `what` in buckets of a quarter of an hour, which are its influencers too.
pub fn job(detectors: &str) -> Arc<Job> {
    let text = format!(
        r#"{{"job_id": "crowd", "analysis_config": {{"bucket_span": "15m", "latency": "15m", "influencers": ["who", "what"], "detectors": {detectors}}},
            "analysis_limits": {{"model_memory_limit": "1gb"}}, "data_description": {{"time_field": "time"}}}}"#
    );
    Arc::new(Job::from_text(&text, "crowd").unwrap_or_else(|mistakes| panic!("{mistakes}")))
}

/// What a job over [`Clients`] has found.
#[derive(Default)]
pub struct ClientsFound {
    /// Of each client the highest influencer score.
    pub influencers: BTreeMap<String, f64>,
    /// Records first scored 75 and more of clients that are no bots.
    pub false_alarms: u64,
    pub model_bytes: u64,
    pub members: u64,
}

impl ClientsFound {
    /// The clients with the highest scores.
    pub fn top(&self, count: usize) -> Vec<&str> {
        let mut all: Vec<_> = self.influencers.iter().collect();
        all.sort_by(|a, b| b.1.total_cmp(a.1));
        all.into_iter()
            .take(count)
            .map(|one| one.0.as_str())
            .collect()
    }
}

/// Runs `detectors` over the clients.
pub fn find_bots(world: &Clients, detectors: &str) -> ClientsFound {
    let (mut found, bots) = (ClientsFound::default(), world.planted());
    let take = |document: Document| match document.body {
        Body::Influencer(one) if one.influencer_field_name == "who" => {
            let score = found
                .influencers
                .entry(one.influencer_field_value)
                .or_default();
            *score = score.max(one.influencer_score);
        }
        Body::Record(record) => {
            let is_bot = record
                .over_field_value
                .is_some_and(|who| bots.contains(&who));
            found.false_alarms += u64::from(!is_bot && record.initial_record_score >= 75.0);
        }
        Body::ModelSizeStats(size) => {
            (found.model_bytes, found.members) = (size.model_bytes, size.total_over_field_count);
        }
        _ => {}
    };
    run(&job(detectors), |sink| world.tell(sink), take);
    found
}

/// What a job over [`Hosts`] has found.
#[derive(Default)]
pub struct HostsFound {
    /// The first scores of planted processes, in the bucket of each.
    pub found: Vec<f64>,
    /// Records first scored 75 and more of anything else.
    pub false_alarms: u64,
    pub model_bytes: u64,
    pub values: u64,
}

/// Runs `detectors` over the hosts.
pub fn find_implants(world: &Hosts, detectors: &str) -> HostsFound {
    let (mut found, planted) = (HostsFound::default(), world.planted());
    let mut first: BTreeMap<(i64, String), f64> = BTreeMap::new();
    let take = |document: Document| {
        let start = document.time.millis();
        match document.body {
            Body::Record(record) if document.kind == DocumentKind::Record => {
                let who = record
                    .partition_field_value
                    .clone()
                    .or(record.over_field_value.clone());
                let is_implant = record.by_field_value.as_deref() == Some("implant")
                    || record
                        .causes
                        .iter()
                        .any(|cause| cause.by_field_value.as_deref() == Some("implant"));
                let place = (start, who.unwrap_or_default());
                if is_implant && planted.contains(&place) {
                    first.entry(place).or_insert(record.initial_record_score);
                } else {
                    found.false_alarms += u64::from(record.initial_record_score >= 75.0);
                }
            }
            Body::ModelSizeStats(size) => {
                (found.model_bytes, found.values) = (size.model_bytes, size.total_by_field_count);
            }
            _ => {}
        }
    };
    run(&job(detectors), |sink| world.tell(sink), take);
    found.found = first.into_values().collect();
    found
}
