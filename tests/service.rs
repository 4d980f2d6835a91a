//! What the service promises beside its results: what becomes of interim results, refused events, changed jobs, snapshots and a log that has forgotten.

#[path = "support/house.rs"]
mod house;

use house::{GROUP, House, MINUTE_MS, event, job};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tidewatch::config::Job;
use tidewatch::engine::result::DocumentKind;
use tidewatch::runtime::clock::{Clock, ManualClock};
use tidewatch::runtime::embedded::Embedded;
use tidewatch::runtime::expiry::Expiry;
use tidewatch::runtime::log::memory::Stored;
use tidewatch::runtime::log::{Outgoing, TopicPartition};
use tidewatch::runtime::observer::{Observer, Silent};
use tidewatch::runtime::service::{Service, Settings, group_of};
use tidewatch::runtime::store::{Content, MemoryStore, SnapshotKey, SnapshotStore, StoreError};
use tidewatch::runtime::task::TopicNames;

fn header<'m>(message: &'m Stored, name: &str) -> &'m str {
    let found = message.headers.iter().find(|(held, _)| *held == name);
    found.map_or("", |(_, value)| value)
}

#[test]
fn interim_results_are_replaced_as_the_bucket_fills_and_gone_when_it_is_closed() {
    let clock = ManualClock::at(0);
    let mut service = Embedded::new(
        Settings::default(),
        Arc::new(clock.clone()),
        Arc::new(Silent),
    );
    service.create_topic("events", 2);
    service
        .start(job("1m", r#"{"shards":2,"interim_interval":"5s"}"#))
        .unwrap();
    let mut standing = BTreeSet::new();
    let mut published = 0;
    for second in 0..180 {
        for partition in 0..2 {
            let payload = format!(r#"{{"time":{},"host":"h{partition}"}}"#, second * 1_000);
            service
                .produce("events", Some(partition), None, payload.as_bytes(), 0)
                .unwrap();
        }
        clock.advance(1_000);
        service.drain().unwrap();
        for message in service.interim(DocumentKind::Bucket) {
            match &message.payload {
                Some(_) => {
                    published += 1;
                    standing.insert(message.key.clone())
                }
                None => standing.remove(&message.key),
            };
        }
    }
    assert!(
        published >= 20,
        "{published} interim buckets in three minutes"
    );
    assert_eq!(standing.len(), 1, "only of the bucket that is still open");
    assert_eq!(service.results(DocumentKind::Bucket).len(), 2);
}

/// Else an anomaly that one instance thought to see in half a bucket stands for a day, though the whole bucket has none: whoever said it is dead.
#[test]
fn interim_documents_of_an_owner_that_died_are_gone_when_their_bucket_is_closed() {
    for extensions in ["{}", r#"{"interim_interval":"0s"}"#] {
        let house = House::new(1);
        let mut service = house.start(job("1m", extensions));
        (1..=3).for_each(|minute| house.send(0, &event(minute, "a")));
        house.settle(&mut service);
        house.cluster.evict(&service.into_log());
        let names = TopicNames::new("tidewatch");
        let topic = names.interim(DocumentKind::Record);
        for (key, job_id, minute) in [("old", "j", 3), ("open", "j", 9), ("theirs", "k", 3)] {
            let said = Outgoing {
                topic: Arc::clone(topic),
                partition: Some(0),
                key: Some(key.into()),
                payload: Some(format!(r#"{{"job_id":"{job_id}"}}"#).into()),
                headers: Vec::new(),
                timestamp_ms: Some(minute * MINUTE_MS),
            };
            house.cluster.append(&said).unwrap();
        }
        let mut service = house.start(job("1m", extensions));
        house.settle(&mut service);
        let standing = || {
            let mut keys = BTreeSet::new();
            for message in house.cluster.committed(topic) {
                let key = String::from_utf8(message.key.clone().unwrap()).unwrap();
                match message.payload {
                    Some(_) => keys.insert(key),
                    None => keys.remove(&key),
                };
            }
            keys.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(standing(), ["old", "open", "theirs"], "all are open");
        (4..=6).for_each(|minute| house.send(0, &event(minute, "a")));
        house.settle(&mut service);
        assert_eq!(standing(), ["open", "theirs"], "{extensions}");
    }
}

#[test]
fn what_is_refused_is_kept_with_its_reason_and_origin() {
    let house = House::new(1);
    let mut service = house.start(job("1m", "{}"));
    for payload in [
        event(5, "a"),
        "{\"time\":".to_owned(),
        event(9, "a"),
        event(5, "a"),
    ] {
        house.send(0, &payload);
    }
    house.settle(&mut service);
    let letters = house
        .cluster
        .committed(TopicNames::new("tidewatch").dead_letters());
    let found: Vec<(&str, &str)> = letters
        .iter()
        .map(|letter| (header(letter, "reason"), header(letter, "offset")))
        .collect();
    assert_eq!(found, [("malformed", "1"), ("late", "3")]);
    assert_eq!(header(&letters[0], "topic"), "events");
    assert_eq!(
        letters[0].payload.as_deref(),
        Some(b"{\"time\":".as_slice())
    );
}

#[test]
fn a_result_is_a_cloud_event_under_its_own_id() {
    let house = House::new(1);
    let mut service = house.start(job("1m", "{}"));
    [1, 2, 3]
        .iter()
        .for_each(|&minute| house.send(0, &event(minute, "a")));
    house.settle(&mut service);
    let bucket = &house.results(DocumentKind::Bucket)[0];
    let key = String::from_utf8(bucket.key.clone().unwrap()).unwrap();
    assert_eq!(header(bucket, "ce_id"), key);
    assert_eq!(header(bucket, "ce_type"), "io.tidewatch.bucket.v1");
    assert_eq!(header(bucket, "ce_source"), "/jobs/j");
    assert_eq!(header(bucket, "ce_time"), "1970-01-01T00:01:00Z");
    assert_eq!(bucket.timestamp_ms, Some(MINUTE_MS));
}

#[test]
fn a_service_says_what_it_has_read_while_it_runs_whatever_befalls_it() {
    for extensions in [r#"{"shards":2}"#, r#"{"keyed_by_partition_field":true}"#] {
        let house = House::new(2);
        let mut service = house.start(job("1m", extensions));
        for minute in 0..60 {
            house.send(0, &event(minute, "a"));
            house.send(1, &event(minute, "b"));
            if minute == 30 {
                (0..8).for_each(|_| service.breathe(Duration::ZERO).unwrap());
                house.cluster.evict(&service.into_log()); // dead before a snapshot was due
                service = house.start(job("1m", extensions));
            }
        }
        house.settle(&mut service);
        let told: Vec<(u64, u64)> = house
            .results(DocumentKind::DataCounts)
            .iter()
            .map(|message| serde_json::from_slice(message.payload.as_deref().unwrap()).unwrap())
            .map(|counts: serde_json::Value| {
                (
                    counts["bucket_count"].as_u64().unwrap(),
                    counts["processed_record_count"].as_u64().unwrap(),
                )
            })
            .collect();
        assert_eq!(told, [(24, 48), (48, 96)], "{extensions}");
    }
}

#[test]
fn after_a_graceful_end_nothing_is_replayed() {
    let house = House::new(3);
    let mut service = house.start(job("1m", "{}"));
    (0..30).for_each(|n| house.send(n as i32 % 3, &event(n, "a")));
    house.settle(&mut service);
    service.finish().unwrap();
    (30..40).for_each(|n| house.send(n as i32 % 3, &event(n, "a")));
    let mut service = house.start(job("1m", "{}"));
    house.settle(&mut service);
    assert!(
        !house.diary.has("Replayed"),
        "{:?}",
        house.diary.0.lock().unwrap()
    );
    let times = house.bucket_times();
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
}

#[test]
fn a_changed_job_learns_from_history_and_publishes_no_bucket_twice() {
    for partitions in [1, 2] {
        let house = House::new(partitions);
        let mut service = house.start(job("1m", "{}"));
        let send = |from: i64, to: i64| {
            (from..to).for_each(|n| (0..partitions).for_each(|p| house.send(p, &event(n, "a"))));
        };
        send(0, 20);
        house.settle(&mut service);
        service.finish().unwrap();
        let before = house.bucket_times();
        let last = *before.last().unwrap();
        send(20, 40);
        let mut service = house.start(job("2m", "{}"));
        house.settle(&mut service);
        assert!(house.diary.has("Reconfigured"));
        let after = house.bucket_times().split_off(before.len());
        assert!(
            after.iter().all(|&minute| minute > last),
            "{last}: {after:?}"
        );
        assert!(after.len() >= 8, "{after:?}");
        // And once more from where it stands, which is nothing new.
        service.finish().unwrap();
        let mut service = house.start(job("2m", "{}"));
        house.settle(&mut service);
        assert_eq!(house.bucket_times().len(), before.len() + after.len());
    }
}

#[test]
fn a_log_that_has_forgotten_what_should_be_replayed_is_said_aloud_and_the_job_goes_on() {
    let house = House::new(1);
    let mut service = house.start(job("1m", "{}"));
    (0..30).for_each(|n| house.send(0, &event(n, "a")));
    house.settle(&mut service);
    house.cluster.evict(&service.into_log()); // dead before a snapshot was due
    house
        .cluster
        .truncate(&TopicPartition::new("events", 0), 10);
    (30..40).for_each(|n| house.send(0, &event(n, "a")));
    let mut service = house.start(job("1m", "{}"));
    house.settle(&mut service);
    assert!(
        house.diary.has("Gap"),
        "{:?}",
        house.diary.0.lock().unwrap()
    );
    let times = house.bucket_times();
    assert!(
        times.is_sorted_by(|a, b| a < b) && times.last() > Some(&35),
        "{times:?}"
    );
}

#[test]
fn a_partition_that_falls_silent_in_mid_bucket_neither_holds_the_job_back_nor_loses_an_event() {
    for extensions in [
        r#"{"idle_timeout":"10s","shards":2}"#,
        r#"{"idle_timeout":"10s","keyed_by_partition_field":true}"#,
    ] {
        let house = House::new(2);
        let mut service = house.start(job("1m", extensions));
        (0..6).for_each(|minute| house.send(0, &event(minute, "a")));
        (0..6).for_each(|minute| house.send(1, &event(minute, "b")));
        house.settle(&mut service); // both idle
        (6..12).for_each(|minute| house.send(0, &event(minute, "a")));
        house.settle(&mut service);
        assert!(house.diary.has("Idle"));
        let counts = |house: &House| -> Vec<u64> {
            let count = |m: &Arc<Stored>| {
                let json: serde_json::Value =
                    serde_json::from_slice(m.payload.as_deref().unwrap()).unwrap();
                json["event_count"].as_u64().unwrap()
            };
            house
                .results(DocumentKind::Bucket)
                .iter()
                .map(count)
                .collect()
        };
        assert_eq!(counts(&house), [2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1]);
        // It wakes: what it had left was counted, what it adds to a closed bucket is late, what comes now is not.
        house.send(1, &event(5, "b"));
        for minute in 12..15 {
            house.send(0, &event(minute, "a"));
            house.send(1, &event(minute, "b"));
            (0..8).for_each(|_| service.breathe(Duration::ZERO).unwrap());
        }
        house.settle(&mut service);
        assert_eq!(counts(&house)[11..], [1, 2, 2]);
        let entries = house.diary.0.lock().unwrap().clone();
        let late = entries
            .iter()
            .filter(|entry| entry.starts_with("LateForJudge"));
        assert_eq!(late.count(), 1, "{extensions}: {entries:?}");
    }
}

#[test]
fn a_query_selects_in_every_placement_and_what_it_passes_over_closes_buckets() {
    for (partitions, extensions) in [
        (1, r#"{"interim_interval":"0s"}"#),
        (2, r#"{"interim_interval":"0s","shards":2}"#),
        (
            2,
            r#"{"interim_interval":"0s","keyed_by_partition_field":true}"#,
        ),
    ] {
        let house = House::new(partitions);
        let mut body = job("1m", extensions).document.clone();
        body["datafeed_config"]["query"] = serde_json::json!({"term": {"kind": "wanted"}});
        let mut service = house.start(Arc::new(Job::from_value(&body).expect("a valid job")));
        for minute in 0..10 {
            for partition in 0..partitions {
                let of_kind = |kind: &str| {
                    format!(
                        r#"{{"time":{},"host":"h{partition}","kind":"{kind}"}}"#,
                        minute * MINUTE_MS
                    )
                };
                // From the sixth minute on nothing is wanted any more.
                if minute < 6 {
                    house.send(partition, &of_kind("wanted"));
                }
                house.send(partition, &of_kind("other"));
            }
        }
        house.settle(&mut service);
        let counts: Vec<u64> = house
            .results(DocumentKind::Bucket)
            .iter()
            .map(|message| {
                let json: serde_json::Value =
                    serde_json::from_slice(message.payload.as_deref().unwrap()).unwrap();
                json["event_count"].as_u64().unwrap()
            })
            .collect();
        let (wanted, none) = (vec![partitions as u64; 6], vec![0; 3]);
        assert_eq!(counts, [wanted, none].concat(), "{partitions} {extensions}");
        let entries = house.diary.0.lock().unwrap().clone();
        let passed_over = entries.iter().filter_map(|entry| {
            let events = entry.strip_prefix("PassedOver")?.split("events: ").nth(1)?;
            events.trim_end_matches([' ', '}']).parse::<i32>().ok()
        });
        assert_eq!(passed_over.sum::<i32>(), 10 * partitions, "{entries:?}");
        assert!(!house.diary.has("Rejected"), "no dead letter");
    }
}

#[test]
fn a_job_without_a_position_starts_where_it_says_and_one_with_a_position_goes_on() {
    let beginning = |start: &str| {
        let house = House::new(1);
        (0..20).for_each(|n| house.send_at(0, n, "a", 10));
        let mut service = house.start(job("1m", &format!(r#"{{"start":{start}}}"#)));
        house.settle(&mut service);
        (20..40).for_each(|n| house.send_at(0, n, "a", 10));
        house.settle(&mut service);
        service.finish().unwrap();
        let first = house.bucket_times()[0];
        // What it says now is of no account any more.
        let mut service = house.start(job("1m", r#"{"start":"latest"}"#));
        (40..60).for_each(|n| house.send_at(0, n, "a", 10));
        house.settle(&mut service);
        let times = house.bucket_times();
        assert!(
            times
                .iter()
                .zip(first..)
                .all(|(&time, expected)| time == expected),
            "{times:?}"
        );
        assert_eq!(times.last(), Some(&58));
        first
    };
    assert_eq!(beginning(r#""earliest""#), 0);
    assert_eq!(beginning(r#""latest""#), 20);
    assert_eq!(beginning(&(7 * MINUTE_MS).to_string()), 7);
    assert_eq!(beginning(r#""1970-01-01T00:12:30Z""#), 13);
    assert_eq!(beginning(r#"{"offsets":{"events/0":5}}"#), 5);
    assert_eq!(
        beginning(r#"{"offsets":{"events/7":5}}"#),
        0,
        "not said of this one"
    );
}

#[test]
fn a_job_that_started_late_and_is_changed_learns_anew_from_where_it_had_started() {
    let house = House::new(1);
    (0..20).for_each(|n| house.send_at(0, n, "a", 0));
    let mut service = house.start(job("1m", r#"{"start":"latest"}"#));
    house.settle(&mut service);
    (20..40).for_each(|n| house.send_at(0, n, "a", 0));
    house.settle(&mut service);
    service.finish().unwrap();
    let mut service = house.start(job("2m", r#"{"start":"latest"}"#));
    (40..60).for_each(|n| house.send_at(0, n, "a", 0));
    house.settle(&mut service);
    assert!(house.diary.has("Reconfigured") && !house.diary.has("Gap"));
    let times = house.bucket_times();
    let after: Vec<i64> = times.iter().copied().filter(|time| *time >= 38).collect();
    assert_eq!(after, [38, 40, 42, 44, 46, 48, 50, 52, 54, 56], "{times:?}");
    let counts = house.results(DocumentKind::Bucket);
    let first = counts
        .iter()
        .find(|one| one.timestamp_ms == Some(40 * MINUTE_MS));
    assert!(
        first.is_some(),
        "bucket 38 was published by the other, 40 was not"
    );
}

/// A store that takes ten seconds to say that it does not answer.
struct Unreachable(ManualClock);

impl SnapshotStore for Unreachable {
    fn put(&mut self, key: &SnapshotKey, content: &dyn Content) -> Result<u64, StoreError> {
        MemoryStore::new().put(key, content)
    }
    fn list(&mut self, task: &str) -> Result<Vec<SnapshotKey>, StoreError> {
        self.0.advance(10_000);
        Err(StoreError {
            place: task.to_owned(),
            cause: "no answer".to_owned(),
        })
    }
    fn get(&mut self, _: &SnapshotKey) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }
    fn delete(&mut self, _: &SnapshotKey) -> Result<(), StoreError> {
        Ok(())
    }
}

#[test]
fn a_loop_that_waits_for_each_of_its_partitions_goes_on_turning_between_them() {
    const PARTITIONS: i32 = 8;
    let house = House::new(PARTITIONS);
    let job = job("1m", r#"{"shards":2}"#);
    let log = house.cluster.open(&group_of("group", &job.id), "one");
    let clock: Arc<dyn Clock> = Arc::new(house.clock.clone());
    let diary: Arc<dyn Observer> = house.diary.clone();
    let store = Box::new(Unreachable(house.clock.clone()));
    let mut service = Service::start(log, store, clock, diary, job, Settings::default()).unwrap();
    let (mut longest_ms, mut breaths) = (0, 0);
    while breaths == 0 || !service.is_ready() {
        let began_ms = house.clock.steady_ms();
        service.breathe(Duration::ZERO).unwrap();
        longest_ms = longest_ms.max(house.clock.steady_ms() - began_ms);
        breaths += 1;
        assert!(breaths < 100, "{}", service.describe());
    }
    assert!(breaths >= PARTITIONS, "{breaths}");
    assert!(longest_ms <= 20_000, "{longest_ms}");
    let entries = house.diary.0.lock().unwrap();
    let assigned = |entry: &&String| entry.starts_with("Assigned");
    // The inputs, two judges and the rollup, each once.
    assert_eq!(entries.iter().filter(assigned).count(), 11);
}

/// A store that can be away.
struct Absentee {
    store: MemoryStore,
    is_away: Arc<AtomicBool>,
    /// Whether it still says what it has.
    lists: bool,
}

impl Absentee {
    fn answer(&self) -> Result<MemoryStore, StoreError> {
        match self.is_away.load(Ordering::Relaxed) {
            false => Ok(self.store.clone()),
            true => Err(StoreError {
                place: "s3://b".to_owned(),
                cause: "no answer".to_owned(),
            }),
        }
    }
}

impl SnapshotStore for Absentee {
    fn put(&mut self, key: &SnapshotKey, content: &dyn Content) -> Result<u64, StoreError> {
        self.answer()?.put(key, content)
    }
    fn list(&mut self, task: &str) -> Result<Vec<SnapshotKey>, StoreError> {
        match self.lists {
            true => self.store.list(task),
            false => self.answer()?.list(task),
        }
    }
    fn get(&mut self, key: &SnapshotKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.answer()?.get(key)
    }
    fn delete(&mut self, key: &SnapshotKey) -> Result<(), StoreError> {
        self.answer()?.delete(key)
    }
}

/// The log forgets after days, a job has learnt for months: begun without its snapshots it would know days, and its next snapshots would take their place.
#[test]
fn a_store_that_is_away_costs_a_job_no_model_that_the_log_cannot_give_back() {
    for lists in [false, true] {
        let house = House::new(1);
        let mut service = house.start(job("1m", "{}"));
        (0..30).for_each(|n| house.send(0, &event(n, "a")));
        house.settle(&mut service);
        service.finish().unwrap();
        (30..40).for_each(|n| house.send(0, &event(n, "a")));
        let at = TopicPartition::new("events", 0);
        house.cluster.truncate(&at, 25);
        house.diary.clear();
        let is_away = Arc::new(AtomicBool::new(true));
        let store = Box::new(Absentee {
            store: house.store.clone(),
            is_away: Arc::clone(&is_away),
            lists,
        });
        let log = house.cluster.open(GROUP, "one");
        let clock: Arc<dyn Clock> = Arc::new(house.clock.clone());
        let diary: Arc<dyn Observer> = house.diary.clone();
        let settings = Settings::default();
        let mut service =
            Service::start(log, store, clock, diary, job("1m", "{}"), settings).unwrap();
        for _ in 0..100 {
            service.breathe(Duration::ZERO).unwrap();
            house.clock.advance(1_000);
        }
        assert!(house.diary.has("SnapshotsAwaited") && !service.is_ready());
        let asked = {
            let entries = house.diary.0.lock().unwrap();
            let awaited = |entry: &&String| entry.starts_with("SnapshotsAwaited");
            entries.iter().filter(awaited).count()
        };
        assert!((5..15).contains(&asked), "now and then: {asked}");
        is_away.store(false, Ordering::Relaxed);
        house.clock.advance(10_000);
        house.settle(&mut service);
        assert!(!house.diary.has("Gap"));
        assert_eq!(house.bucket_times(), (0..39).collect::<Vec<i64>>());
    }
}

/// Else nobody would be told that a feed has stopped which stopped before the service was restarted: an alert looks at the watermark.
#[test]
fn the_watermark_of_a_silent_input_is_told_when_its_task_is_restored() {
    let house = House::new(1);
    let mut service = house.start(job("1m", "{}"));
    (1..5).for_each(|minute| house.send(0, &event(minute, "a")));
    house.settle(&mut service);
    service.finish().unwrap();
    drop(service);
    house.diary.clear();
    let mut service = house.start(job("1m", "{}"));
    (0..4).for_each(|_| service.breathe(Duration::ZERO).unwrap());
    assert!(service.is_ready());
    assert!(house.diary.has("Watermark"));
    assert!(!house.diary.has("Consumed"));
}

/// Results of so many days, an hour each, of two jobs in the same topics; the first keeps them for two.
#[test]
fn results_older_than_their_job_keeps_them_are_withdrawn_once_a_day() {
    const HOUR: i64 = 60;
    const DAY: i64 = 24 * HOUR;
    let house = House::new(1);
    let document = |id: &str, days: Option<i64>| {
        let mut document = job("1h", "{}").document.clone();
        document["job_id"] = json!(id);
        document["datafeed_config"]["job_id"] = json!(id);
        document["model_plot_config"] = json!({"enabled": true});
        if let Some(days) = days {
            document["results_retention_days"] = json!(days);
        }
        Arc::new(Job::from_text(&document.to_string(), "test").unwrap())
    };
    let jobs = [document("j", Some(2)), document("k", None)];
    let mut services = jobs.map(|job| {
        let cluster = house.cluster.clone();
        let names = TopicNames::new("tidewatch");
        let (diary, clock) = (Arc::clone(&house.diary), Arc::new(house.clock.clone()));
        let observer: Arc<dyn Observer> = match job.results_retention_ms {
            Some(keep_ms) => {
                let open = Arc::new(move || Ok(cluster.open("expiry", "one")));
                let whose = (&*job.id, keep_ms);
                Arc::new(Expiry::new(diary, clock.clone(), whose, &names, open))
            }
            None => diary,
        };
        let log = house.cluster.open(&group_of("group", &job.id), "one");
        let store = Box::new(house.store.clone());
        Service::start(log, store, clock, observer, job, Settings::default()).unwrap()
    });
    let mut read = |hours: std::ops::Range<i64>| {
        hours.for_each(|hour| house.send_at(0, hour * HOUR, "a", 0));
        services
            .iter_mut()
            .for_each(|service| house.settle(service));
    };
    let oldest = |job_id: &str, kind: DocumentKind| {
        let mut standing = BTreeMap::new();
        for message in house.results(kind) {
            let key = String::from_utf8(message.key.clone().unwrap()).unwrap();
            let is_of_job = key.starts_with(&format!("{job_id}_"));
            match message.payload.is_some() && is_of_job {
                true => standing.insert(key, message.timestamp_ms.unwrap() / MINUTE_MS),
                false => standing.remove(&key),
            };
        }
        standing.into_values().min()
    };
    let looked = || {
        let diary = house.diary.0.lock().unwrap();
        diary
            .iter()
            .filter(|fact| fact.starts_with("Expired"))
            .count()
    };
    let await_look = |count: usize| {
        for _ in 0..10_000 {
            if looked() == count {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!(
            "{count} looks, not {}: {:?}",
            looked(),
            house.diary.0.lock().unwrap().last()
        );
    };
    // History: it is looked once, at its first bucket.
    read(0..5 * 24);
    await_look(1);
    assert_eq!(oldest("j", DocumentKind::Bucket), Some(0));
    // A day later. The last bucket that is closed is that of 22 h.
    house.clock.advance(HOUR * MINUTE_MS);
    read(5 * 24..5 * 24 + 2);
    await_look(2);
    for kind in [DocumentKind::Bucket, DocumentKind::ModelPlot] {
        let first = oldest("j", kind).unwrap();
        assert!(
            (3 * DAY - 2 * HOUR..=3 * DAY).contains(&first),
            "{kind:?} {first}"
        );
        assert!(oldest("k", kind) <= Some(DAY), "{kind:?} of the other job");
    }
    let statistics = oldest("j", DocumentKind::ModelSizeStats);
    assert!(statistics < Some(DAY), "{statistics:?}");
    // Neither later on the same day, nor on the next one within the hour.
    read(5 * 24 + 2..6 * 24 + 2);
    assert_eq!(looked(), 2);
}

/// Else history is caught up with in transactions that grow with what a poll happens to bring, and none of them gets through in its time.
#[test]
fn a_transaction_holds_no_more_than_its_bound_and_what_one_message_leads_to() {
    const HOSTS: i64 = 20;
    const MINUTES: i64 = 300;
    const BOUND: usize = 200_000;
    let house = House::new(1);
    (0..HOSTS).for_each(|host| house.send(0, &event(0, &format!("h{host}"))));
    (1..=MINUTES).for_each(|minute| house.send(0, &event(minute, "h0")));
    let mut document = job("1m", "{}").document.clone();
    document["model_plot_config"] = json!({"enabled": true});
    let job = Job::from_text(&document.to_string(), "test").unwrap();
    let settings = Settings {
        outbox_bytes_max: BOUND,
        ..Settings::default()
    };
    let mut service = house.start_with(Arc::new(job), settings);
    house.settle(&mut service);
    let plots = house.results(DocumentKind::ModelPlot);
    let size = |plot: &Arc<Stored>| plot.payload.as_ref().map_or(0, Vec::len);
    let bytes: usize = plots.iter().map(size).sum();
    assert!(
        bytes > 5 * BOUND,
        "{bytes} bytes are too few to say anything"
    );
    let diary = house.diary.0.lock().unwrap();
    let messages = diary.iter().filter_map(|fact| {
        let rest = fact.strip_prefix("Committed { messages: ")?;
        rest.split_once(',')?.0.parse::<usize>().ok()
    });
    let largest = messages.max().unwrap() * bytes / plots.len();
    assert!(
        largest < BOUND + BOUND / 4,
        "{largest} bytes in one transaction"
    );
}

/// A store that takes nothing until it is told to.
struct Jammed(mpsc::Receiver<()>);

impl SnapshotStore for Jammed {
    fn put(&mut self, key: &SnapshotKey, content: &dyn Content) -> Result<u64, StoreError> {
        let _ = self.0.recv();
        MemoryStore::new().put(key, content)
    }
    fn list(&mut self, _: &str) -> Result<Vec<SnapshotKey>, StoreError> {
        Ok(Vec::new())
    }
    fn get(&mut self, _: &SnapshotKey) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }
    fn delete(&mut self, _: &SnapshotKey) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Of an outage that takes the snapshots' store along: each of eight partitions once waited for its own half minute.
#[test]
fn partitions_are_left_though_the_store_does_not_take_their_last_snapshots() {
    let house = House::new(8);
    let job = job("1m", "{}");
    let log = house.cluster.open(&group_of("group", &job.id), "one");
    let clock: Arc<dyn Clock> = Arc::new(house.clock.clone());
    let diary: Arc<dyn Observer> = house.diary.clone();
    let (open, jammed) = mpsc::channel();
    let settings = Settings {
        snapshot_patience_ms: 50,
        ..Settings::default()
    };
    let store = Box::new(Jammed(jammed));
    let mut service = Service::start(log, store, clock, diary, job, settings).unwrap();
    (0..8).for_each(|partition| house.send(partition, &event(1, "a")));
    house.settle(&mut service);
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(service.finish()));
    let outcome = told.recv_timeout(Duration::from_secs(60));
    drop(open);
    outcome.expect("it waits for the store").unwrap();
    assert!(house.diary.has("SnapshotsNotAwaited"));
}

/// A large snapshot on its way to a slow store takes minutes: a loop that stood still for as long would be taken for dead.
#[test]
fn partitions_that_come_while_a_snapshot_is_being_written_do_not_stop_the_loop() {
    let house = House::new(2);
    let job = job("1m", "{}");
    let log = house.cluster.open(GROUP, "one");
    let clock: Arc<dyn Clock> = Arc::new(house.clock.clone());
    let diary: Arc<dyn Observer> = house.diary.clone();
    let (open, jammed) = mpsc::channel();
    let settings = Settings {
        snapshot_every_messages: Some(1),
        ..Settings::default()
    };
    let store = Box::new(Jammed(jammed));
    let mut service = Service::start(log, store, clock, diary, job, settings).unwrap();
    (0..2).for_each(|partition| house.send(partition, &event(1, "a")));
    house.settle(&mut service);
    assert!(service.snapshots_in_the_making() > 0);
    house.cluster.evict(service.log_mut()); // all is lost, and comes again
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for _ in 0..50 {
            service.breathe(Duration::ZERO).unwrap();
        }
        assert!(!service.is_ready());
        tell.send(service).unwrap();
    });
    let service = told.recv_timeout(Duration::from_secs(60));
    drop(open);
    let mut service = service.expect("it waits for the store");
    for _ in 0..10_000 {
        service.breathe(Duration::ZERO).unwrap();
        if service.is_ready() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("{}", service.describe());
}

/// A crash long after the last message costs no replay: what came last is kept when a snapshot is due, though nothing more is committed.
#[test]
fn what_came_last_before_a_silence_is_kept_when_a_snapshot_is_due() {
    let house = House::new(1);
    let mut service = house.start(job("1m", r#"{"idle_timeout":"1h"}"#));
    let breathe = |service: &mut Service<_>, seconds: i64| {
        for _ in 0..4 * seconds {
            house.clock.advance(250);
            service.breathe(Duration::ZERO).unwrap();
        }
    };
    breathe(&mut service, 1);
    (0..3).for_each(|minute| house.send(0, &event(minute, "a")));
    breathe(&mut service, 2);
    assert!(service.is_settled(), "all is committed");
    let kept = || house.store.clone().list("j/events/0").unwrap();
    assert_eq!(kept(), [], "none is due");
    breathe(&mut service, 300);
    while service.snapshots_in_the_making() > 0 {
        service.breathe(Duration::ZERO).unwrap();
        std::thread::yield_now();
    }
    let offsets: Vec<i64> = kept().iter().map(|key| key.offset).collect();
    assert_eq!(offsets, [3]);
}
