//! Dispatchers on the log in memory: receivers that fail, processes that die.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidewatch::config::service::{Credentials, Receiver, ReceiverKind};
use tidewatch::runtime::alerts::alertmanager::Links;
use tidewatch::runtime::alerts::dispatcher::{Dispatcher, Manner};
use tidewatch::runtime::alerts::http::{Post, PostError};
use tidewatch::runtime::clock::{Clock, ManualClock};
use tidewatch::runtime::log::memory::{Break, Cluster, MemoryLog};
use tidewatch::runtime::log::{Groups, Outgoing, Position, TopicPartition};
use tidewatch::runtime::observer::{Fact, Observer};

const TOPIC: &str = "tidewatch.alerts";
const NOW_MS: i64 = 1_773_072_000_000;
const HOUR_MS: i64 = 3_600_000;

/// What a receiver has taken, and what it answers.
#[derive(Clone, Default)]
struct Endpoint {
    taken: Arc<Mutex<Vec<serde_json::Value>>>,
    answers: Arc<Mutex<Vec<PostError>>>,
    /// A text that no message may hold, if it is to be taken.
    chokes_on: Option<&'static str>,
    /// What a request takes.
    slowness: Option<(ManualClock, i64)>,
}

/// How many notices came to which end.
#[derive(Default)]
struct Tally(Mutex<BTreeMap<&'static str, u64>>);

impl Observer for Tally {
    fn observe(&self, _job_id: &str, fact: &Fact<'_>) {
        if let Fact::Notified {
            outcome, alerts, ..
        } = fact
        {
            *self.0.lock().unwrap().entry(outcome).or_default() += alerts;
        }
    }
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
        if let Some((clock, ms)) = &self.slowness {
            clock.advance(*ms);
        }
        if let Some(error) = self.answers.lock().unwrap().pop() {
            return Err(error);
        }
        let text = std::str::from_utf8(body).unwrap();
        if self.chokes_on.is_some_and(|word| text.contains(word)) {
            return Err(PostError::Failed("500".to_owned()));
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
    tally: Arc<Tally>,
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
            tally: Arc::default(),
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
        Dispatcher::start(log, post, clock, self.tally.clone(), manner).unwrap()
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
        self.append(key, Some(text.as_bytes().to_vec()));
    }

    /// What a reset of its job does to an incident.
    fn withdraw(&self, incident: &str) {
        self.append(incident, None);
    }

    fn append(&self, key: &str, payload: Option<Vec<u8>>) {
        let message = Outgoing {
            topic: TOPIC.into(),
            partition: None,
            key: Some(key.as_bytes().to_vec()),
            payload,
            headers: Vec::new(),
            timestamp_ms: Some(self.clock.now_ms()),
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

/// Chat services limit rates so; whoever goes on asking is shut out for longer.
#[test]
fn a_receiver_that_asks_to_be_left_alone_is_asked_when_it_says_and_after_ten_minutes_at_the_latest()
{
    for (kind, asked_s, waited_s) in [
        (ReceiverKind::Webhook, 120, 120),
        (ReceiverKind::Alertmanager, 120, 120),
        (ReceiverKind::Webhook, u64::MAX, 600),
        (ReceiverKind::Webhook, 0, 1),
    ] {
        let world = World::new(kind);
        let later = PostError::Later("429".to_owned(), Duration::from_secs(asked_s));
        world.endpoint.answers.lock().unwrap().push(later);
        let mut dispatcher = world.dispatcher("i");
        world.say("a", 1, "opened", "threshold", 0);
        settle(&mut dispatcher);
        world.clock.advance(1_000 * waited_s - 1);
        settle(&mut dispatcher);
        assert!(world.endpoint.taken().is_empty(), "{asked_s}: too soon");
        world.clock.advance(1);
        settle(&mut dispatcher);
        assert!(!world.endpoint.taken().is_empty(), "{asked_s}: not told");
    }
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
fn what_began_while_a_webhook_was_away_is_told_when_it_is_back_though_it_has_only_gone_on_since() {
    let world = World::new(ReceiverKind::Webhook);
    world.endpoint.will_fail(2);
    let mut dispatcher = world.dispatcher("i");
    world.say("a", 1, "opened", "threshold", 0);
    settle(&mut dispatcher);
    world.clock.advance(HOUR_MS);
    world.say("a", 2, "updated", "still_on", -HOUR_MS);
    settle(&mut dispatcher);
    world.clock.advance(HOUR_MS);
    settle(&mut dispatcher);
    assert_eq!(words(&world.endpoint.taken()), ["firing a"]);
    world.clock.advance(HOUR_MS);
    world.say("a", 3, "updated", "still_on", -3 * HOUR_MS);
    settle(&mut dispatcher);
    assert_eq!(words(&world.endpoint.taken()), Vec::<String>::new());
    assert!(dispatcher.is_settled());
}

#[test]
fn a_message_that_a_receiver_chokes_on_holds_up_no_other() {
    let mut world = World::new(ReceiverKind::Webhook);
    world.endpoint.chokes_on = Some("host=a");
    let mut dispatcher = world.dispatcher("i");
    for incident in ["a", "b", "c"] {
        world.say(incident, 1, "opened", "threshold", 0);
    }
    for _ in 0..3 {
        settle(&mut dispatcher);
        world.clock.advance(61_000);
    }
    assert_eq!(words(&world.endpoint.taken()), ["firing b", "firing c"]);
    world.say("d", 1, "opened", "threshold", 0);
    world.clock.advance(61_000);
    settle(&mut dispatcher);
    assert_eq!(words(&world.endpoint.taken()), ["firing d"]);
    assert!(!dispatcher.is_settled(), "it is still tried");
}

/// A group takes a member for dead that does not poll for five minutes, and whoever comes after it tells everything again.
#[test]
fn a_slow_receiver_is_told_of_everything_once_and_keeps_its_group_waiting_for_seconds_only() {
    for kind in [ReceiverKind::Webhook, ReceiverKind::Alertmanager] {
        let mut world = World::new(kind);
        world.endpoint.slowness = Some((world.clock.clone(), 4_000));
        let mut dispatcher = world.dispatcher("i");
        let incidents: Vec<String> = (0..300).map(|n| format!("n{n:03}")).collect();
        for incident in &incidents {
            world.say(incident, 1, "opened", "threshold", 0);
        }
        let mut longest_ms = 0;
        let mut breathe = |dispatcher: &mut Dispatcher<MemoryLog>| {
            let began_ms = world.clock.steady_ms();
            dispatcher.breathe(Duration::ZERO).unwrap();
            longest_ms = longest_ms.max(world.clock.steady_ms() - began_ms);
        };
        for _ in 0..400 {
            breathe(&mut dispatcher);
            world.clock.advance(200);
        }
        assert!(dispatcher.is_settled());
        let told = hosts(world.endpoint.taken());
        let of_each = |incident: &String| told.iter().filter(|host| *host == incident).count();
        match kind {
            ReceiverKind::Webhook => assert!(incidents.iter().all(|one| of_each(one) == 1)),
            // Again and again: all of them as often as the others.
            ReceiverKind::Alertmanager => {
                let times: BTreeSet<usize> = incidents.iter().map(of_each).collect();
                assert!(times.len() <= 2 && times.first() >= Some(&2), "{times:?}");
            }
        }
        assert!(longest_ms <= 10_000, "{longest_ms}");
    }
}

#[test]
fn the_end_of_what_was_told_is_told_however_late_it_comes_also_by_a_successor() {
    for dies in [false, true] {
        let world = World::new(ReceiverKind::Webhook);
        let mut dispatcher = world.dispatcher("i");
        world.say("a", 1, "opened", "threshold", 0);
        settle(&mut dispatcher);
        assert_eq!(words(&world.endpoint.taken()), ["firing a"]);
        // The events stop for nine hours; when they come again, the bucket that ends the incident is as old.
        world.clock.advance(9 * HOUR_MS);
        if dies {
            world.cluster.evict(&dispatcher.into_log());
            dispatcher = world.dispatcher("i");
        }
        world.say("a", 2, "resolved", "quiet", -60_000);
        settle(&mut dispatcher);
        assert_eq!(words(&world.endpoint.taken()), ["resolved a"], "{dies}");
    }
}

#[test]
fn what_a_reset_withdraws_is_over_for_whoever_was_told_of_it() {
    for kind in [ReceiverKind::Webhook, ReceiverKind::Alertmanager] {
        let world = World::new(kind);
        let mut dispatcher = world.dispatcher("i");
        world.say("a", 1, "opened", "threshold", 0);
        world.say("old", 1, "opened", "threshold", 9 * HOUR_MS);
        settle(&mut dispatcher);
        assert_eq!(hosts(world.endpoint.taken()), ["a"]);
        world.clock.advance(30_000);
        for incident in ["a", "old", "never heard of"] {
            world.withdraw(incident);
        }
        settle(&mut dispatcher);
        let over = world.endpoint.taken();
        let ends: Vec<&serde_json::Value> = over
            .iter()
            .flat_map(|body| body.get("alerts").unwrap_or(body).as_array().unwrap())
            .filter(|alert| alert["labels"]["host"] == "a")
            .map(|alert| &alert["endsAt"])
            .collect();
        assert_eq!(ends, ["2026-03-09T16:00:30Z"]);
        assert_eq!(hosts(over), ["a"]);
        assert!(dispatcher.is_settled());
        world.cluster.evict(&dispatcher.into_log());
        let mut successor = world.dispatcher("i");
        world.clock.advance(61_000);
        settle(&mut successor);
        assert_eq!(hosts(world.endpoint.taken()), Vec::<String>::new());
    }
}

#[test]
fn a_partition_that_cannot_be_read_at_once_is_told_of_when_it_can() {
    let world = World::new(ReceiverKind::Webhook);
    let mut dispatcher = world.dispatcher("i");
    dispatcher.log_mut().leave_reads_unanswered(3);
    for incident in ["a", "b", "c", "d"] {
        world.say(incident, 1, "opened", "threshold", 0);
    }
    for _ in 0..40 {
        // As `run` does: a log that does not answer is asked again.
        let _ = dispatcher.breathe(Duration::ZERO);
    }
    let mut told = words(&world.endpoint.taken());
    told.sort();
    assert_eq!(told, ["firing a", "firing b", "firing c", "firing d"]);
    assert!(dispatcher.is_settled());
}

#[test]
fn a_topic_that_ends_before_the_position_is_read_from_its_start() {
    let world = World::new(ReceiverKind::Webhook);
    world.say("a", 1, "opened", "threshold", 0);
    let beyond = [0, 1].map(|partition| {
        let position = Position {
            next_offset: 50,
            metadata: String::new(),
        };
        (TopicPartition::new(TOPIC, partition), position)
    });
    let mut log = world.cluster.open("g", "i");
    assert!(log.set_positions("g", &beyond).unwrap());
    let mut dispatcher = world.dispatcher("i");
    settle(&mut dispatcher);
    assert_eq!(words(&world.endpoint.taken()), ["firing a"]);
    assert!(dispatcher.is_settled());
}

#[test]
fn what_alertmanager_refuses_is_not_counted_as_delivered() {
    let world = World::new(ReceiverKind::Alertmanager);
    let refused = PostError::Refused("400".to_owned());
    world.endpoint.answers.lock().unwrap().push(refused);
    let mut dispatcher = world.dispatcher("i");
    world.say("a", 1, "opened", "threshold", 0);
    settle(&mut dispatcher);
    world.say("b", 1, "opened", "threshold", 0);
    settle(&mut dispatcher);
    let tally = world.tally.0.lock().unwrap().clone();
    assert_eq!(tally, BTreeMap::from([("delivered", 1), ("refused", 1)]));
}

/// The hosts that alerts are about, one an alert.
fn hosts(taken: Vec<serde_json::Value>) -> Vec<String> {
    let alerts = taken
        .iter()
        .flat_map(|body| body.get("alerts").unwrap_or(body).as_array().unwrap());
    alerts
        .map(|alert| alert["labels"]["host"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn alertmanager_hears_again_of_what_goes_on_also_from_a_successor_and_no_more_of_what_is_over() {
    let world = World::new(ReceiverKind::Alertmanager);
    let mut dispatcher = world.dispatcher("i");
    world.say("a", 1, "opened", "threshold", 0);
    settle(&mut dispatcher);
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
