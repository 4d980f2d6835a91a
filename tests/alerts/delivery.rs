//! Dispatchers on the log in memory: receivers that fail, processes that die.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidewatch::config::service::{Credentials, Receiver, ReceiverKind};
use tidewatch::runtime::alerts::alertmanager::Links;
use tidewatch::runtime::alerts::dispatcher::{Dispatcher, Manner};
use tidewatch::runtime::alerts::http::{Post, PostError};
use tidewatch::runtime::clock::ManualClock;
use tidewatch::runtime::log::Outgoing;
use tidewatch::runtime::log::memory::{Break, Cluster, MemoryLog};
use tidewatch::runtime::observer::Silent;

const TOPIC: &str = "tidewatch.alerts";
const NOW_MS: i64 = 1_773_072_000_000;
const HOUR_MS: i64 = 3_600_000;

/// What a receiver has taken, and what it answers.
#[derive(Clone, Default)]
struct Endpoint {
    taken: Arc<Mutex<Vec<serde_json::Value>>>,
    answers: Arc<Mutex<Vec<PostError>>>,
}

impl Endpoint {
    fn will_fail(&self, times: usize) {
        let error = PostError::Failed("503".to_owned());
        self.answers.lock().unwrap().extend(vec![error; times]);
    }

    fn taken(&self) -> Vec<serde_json::Value> {
        std::mem::take(&mut self.taken.lock().unwrap())
    }
}

impl Post for Endpoint {
    fn post(&mut self, _url: &str, body: &[u8]) -> Result<(), PostError> {
        if let Some(error) = self.answers.lock().unwrap().pop() {
            return Err(error);
        }
        self.taken
            .lock()
            .unwrap()
            .push(serde_json::from_slice(body).unwrap());
        Ok(())
    }
}

struct World {
    cluster: Cluster,
    clock: ManualClock,
    endpoint: Endpoint,
    kind: ReceiverKind,
}

impl World {
    fn new(kind: ReceiverKind) -> World {
        let cluster = Cluster::new();
        cluster.create_topic(TOPIC, 2);
        World {
            cluster,
            clock: ManualClock::at(NOW_MS),
            endpoint: Endpoint::default(),
            kind,
        }
    }

    fn dispatcher(&self, instance: &str) -> Dispatcher<MemoryLog> {
        let receiver = Receiver {
            name: "r".to_owned(),
            kind: self.kind,
            urls: vec!["http://r".to_owned()],
            url_file: None,
            credentials: Credentials::None,
            ca_file: None,
            timeout: Duration::from_secs(1),
            send_resolved: true,
            jobs: Vec::new(),
        };
        let manner = Manner {
            receiver,
            topic: TOPIC.to_owned(),
            links: Links::default(),
            max_age_ms: 6 * HOUR_MS,
            resend_interval_ms: 60_000,
        };
        let log = self.cluster.open("g", instance);
        let (post, clock) = (
            Box::new(self.endpoint.clone()),
            Arc::new(self.clock.clone()),
        );
        Dispatcher::start(log, post, clock, Arc::new(Silent), manner).unwrap()
    }

    /// Writes a notice: its incident, event, reason, and how long ago.
    fn say(&self, incident: &str, sequence: u32, event: &str, reason: &str, ago_ms: i64) {
        let at = NOW_MS - ago_ms;
        let (status, ended) = match event {
            "resolved" => ("resolved", format!(r#","ended_at":{at}"#)),
            _ => ("open", String::new()),
        };
        let previous = match sequence {
            1 => String::new(),
            _ => format!(r#","previous_timestamp":{}"#, at - HOUR_MS),
        };
        let text = format!(
            r#"{{"incident_id":"{incident}","job_id":"web","kind":"anomaly","status":"{status}","event":"{event}","reason":"{reason}",
            "sequence":{sequence},"timestamp":{at},"started_at":1773060000000,"bucket_span":60,"is_interim":false,"entity":{{"host":"{incident}"}},
            "severity":"critical","severities":["critical"],"score":90,"peak_score":90,"buckets":1,"results":1,"delivery":"notify","announced":true,
            "detectors":[],"description":"It is odd.","peak":{{"result_type":"record","document_id":"x","timestamp":0,"score":90,
            "detector_index":0,"function":null,"field_name":null,"actual":[],"typical":[],"probability":null,"description":""}}{ended}{previous}}}"#
        );
        self.write(incident, &text);
    }

    fn write(&self, key: &str, text: &str) {
        let message = Outgoing {
            topic: TOPIC.into(),
            partition: None,
            key: Some(key.as_bytes().to_vec()),
            payload: Some(text.as_bytes().to_vec()),
            headers: Vec::new(),
            timestamp_ms: None,
        };
        self.cluster.append(&message).unwrap();
    }
}

fn settle(dispatcher: &mut Dispatcher<MemoryLog>) {
    for _ in 0..20 {
        dispatcher.breathe(Duration::ZERO).unwrap();
    }
}

/// Status and host of each message to a webhook.
fn words(taken: &[serde_json::Value]) -> Vec<String> {
    let word = |message: &serde_json::Value| {
        format!(
            "{} {}",
            message["status"].as_str().unwrap(),
            message["commonLabels"]["host"].as_str().unwrap()
        )
    };
    taken.iter().map(word).collect()
}

#[test]
fn a_webhook_that_fails_at_first_hears_of_everything_once_it_answers() {
    let world = World::new(ReceiverKind::Webhook);
    world.endpoint.will_fail(3);
    let mut dispatcher = world.dispatcher("i");
    world.say("a", 1, "opened", "threshold", 60_000);
    settle(&mut dispatcher);
    assert_eq!(words(&world.endpoint.taken()), Vec::<String>::new());
    assert!(!dispatcher.is_settled());
    for _ in 0..3 {
        world.clock.advance(60_000);
        settle(&mut dispatcher);
    }
    assert_eq!(words(&world.endpoint.taken()), ["firing a"]);
    assert!(dispatcher.is_settled());
    world.say("a", 2, "updated", "still_on", 0);
    world.say("a", 3, "resolved", "quiet", 0);
    settle(&mut dispatcher);
    assert_eq!(words(&world.endpoint.taken()), ["resolved a"]);
}

#[test]
fn what_a_receiver_refuses_is_passed_over_and_holds_up_nothing() {
    let world = World::new(ReceiverKind::Webhook);
    world
        .endpoint
        .answers
        .lock()
        .unwrap()
        .push(PostError::Refused("400".to_owned()));
    let mut dispatcher = world.dispatcher("i");
    world.say("a", 1, "opened", "threshold", 0);
    settle(&mut dispatcher);
    world.say("b", 1, "opened", "threshold", 0);
    world.write("c", "not a notice");
    world.write("d", "{}");
    settle(&mut dispatcher);
    assert_eq!(words(&world.endpoint.taken()), ["firing b"]);
    assert!(dispatcher.is_settled());
}

#[test]
fn history_that_is_caught_up_with_rings_no_bell_until_it_has_become_the_present() {
    let world = World::new(ReceiverKind::Webhook);
    let mut dispatcher = world.dispatcher("i");
    world.say("a", 1, "opened", "threshold", 9 * HOUR_MS);
    world.say("b", 1, "opened", "threshold", 9 * HOUR_MS);
    world.say("b", 2, "resolved", "quiet", 8 * HOUR_MS);
    settle(&mut dispatcher);
    assert_eq!(words(&world.endpoint.taken()), Vec::<String>::new());
    world.say("a", 2, "updated", "still_on", 5 * HOUR_MS + HOUR_MS / 2);
    settle(&mut dispatcher);
    assert_eq!(words(&world.endpoint.taken()), ["firing a"]);
    world.say("a", 3, "updated", "still_on", 4 * HOUR_MS + HOUR_MS / 2);
    settle(&mut dispatcher);
    assert_eq!(
        words(&world.endpoint.taken()),
        Vec::<String>::new(),
        "told once"
    );
}

#[test]
fn alertmanager_hears_again_of_what_goes_on_also_from_a_successor_and_no_more_of_what_is_over() {
    let world = World::new(ReceiverKind::Alertmanager);
    let mut dispatcher = world.dispatcher("i");
    world.say("a", 1, "opened", "threshold", 0);
    settle(&mut dispatcher);
    let hosts = |taken: Vec<serde_json::Value>| -> Vec<String> {
        let alerts = taken.iter().flat_map(|body| body.as_array().unwrap());
        alerts
            .map(|alert| alert["labels"]["host"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(hosts(world.endpoint.taken()), ["a"]);
    settle(&mut dispatcher);
    assert_eq!(hosts(world.endpoint.taken()), Vec::<String>::new());
    world.clock.advance(61_000);
    settle(&mut dispatcher);
    assert_eq!(hosts(world.endpoint.taken()), ["a"]);
    world.cluster.evict(&dispatcher.into_log());
    let mut successor = world.dispatcher("i");
    settle(&mut successor);
    assert_eq!(
        hosts(world.endpoint.taken()),
        ["a"],
        "it cannot know when its predecessor told it last"
    );
    world.say("a", 2, "resolved", "quiet", 0);
    settle(&mut successor);
    let over = world.endpoint.taken();
    assert_eq!(over[0][0]["endsAt"], "2026-03-09T16:00:00Z");
    world.clock.advance(61_000);
    settle(&mut successor);
    assert_eq!(hosts(world.endpoint.taken()), Vec::<String>::new());
}

/// Every step may be the last of a process, every request may fail; in the end every incident's beginning or end was told, and its end last.
#[test]
fn whatever_dies_when_each_incident_s_last_word_is_delivered() {
    for seed in 0..200u64 {
        let world =
            World::new([ReceiverKind::Webhook, ReceiverKind::Alertmanager][seed as usize % 2]);
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut draw = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut dispatcher = world.dispatcher("i");
        let mut expected: BTreeMap<String, &str> = BTreeMap::new();
        for step in 0..40 {
            match draw(6) {
                0 => {
                    let name = format!("n{step}");
                    world.say(&name, 1, "opened", "threshold", 0);
                    expected.insert(name, "firing");
                }
                1 => {
                    if let Some((name, word)) =
                        expected.iter_mut().find(|(_, word)| **word == "firing")
                    {
                        world.say(name, 2, "resolved", "quiet", 0);
                        *word = "resolved";
                    }
                }
                2 => world.endpoint.will_fail(draw(3) as usize),
                3 => {
                    let how = [Break::Abort, Break::DieBefore, Break::DieAfter][draw(3) as usize];
                    dispatcher.log_mut().break_next_commit(how);
                }
                4 => world.clock.advance(draw(70_000) as i64),
                _ => {}
            }
            if dispatcher.breathe(Duration::ZERO).is_err() || draw(10) == 0 {
                world.cluster.evict(&dispatcher.into_log());
                dispatcher = world.dispatcher("i");
            }
        }
        for _ in 0..200 {
            world.clock.advance(30_000);
            if dispatcher.breathe(Duration::ZERO).is_err() {
                world.cluster.evict(&dispatcher.into_log());
                dispatcher = world.dispatcher("i");
            }
        }
        assert!(dispatcher.is_settled(), "seed {seed}");
        let mut last: BTreeMap<String, &str> = BTreeMap::new();
        let mut begun: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for body in world.endpoint.taken() {
            let alerts = body
                .get("alerts")
                .unwrap_or(&body)
                .as_array()
                .unwrap()
                .clone();
            for alert in alerts {
                let name = alert["labels"]["host"].as_str().unwrap().to_owned();
                let identity = format!("{} {}", alert["labels"], alert["startsAt"]);
                begun.entry(name.clone()).or_default().insert(identity);
                let has_ended = alert["annotations"].is_object() && is_over(&alert);
                last.insert(name, if has_ended { "resolved" } else { "firing" });
            }
        }
        assert_eq!(last, expected, "seed {seed}");
        assert!(
            begun.values().all(|identities| identities.len() == 1),
            "one identity each"
        );
    }
}

/// Whether an alert is told as over: by its status (webhook), or by an end that its notice has set (all of these end at the beginning of the test).
fn is_over(alert: &serde_json::Value) -> bool {
    match alert["status"].as_str() {
        Some(status) => status == "resolved",
        None => alert["endsAt"] == "2026-03-09T16:00:00Z",
    }
}
