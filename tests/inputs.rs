//! What becomes of the topics that a job reads while it reads them: partitions added, topics deleted and made anew, retention faster than the
//! reader. The service in memory; tests/kafka/faults holds the same against a real broker.

#[path = "support/house.rs"]
mod house;

use house::{House, MINUTE_MS, event, job};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tidewatch::config::Job;
use tidewatch::engine::result::DocumentKind;
use tidewatch::runtime::log::memory::MemoryLog;
use tidewatch::runtime::log::{Groups, Outgoing, Position, TopicPartition};
use tidewatch::runtime::service::{Service, Settings};
use tidewatch::runtime::store::Writing;

/// Nobody falls idle while a test looks away.
const PLACEMENTS: [(&str, i32); 3] = [
    (r#"{"idle_timeout":"1d"}"#, 1),
    (r#"{"idle_timeout":"1d","shards":2}"#, 2),
    (
        r#"{"idle_timeout":"1d","keyed_by_partition_field":true}"#,
        2,
    ),
];

fn breathe(house: &House, service: &mut Service<MemoryLog>) {
    for _ in 0..80 {
        house.clock.advance(250);
        service.breathe(Duration::ZERO).unwrap();
    }
}

fn documents(house: &House, kind: DocumentKind) -> Vec<Value> {
    let read = |payload: &[u8]| serde_json::from_slice(payload).unwrap();
    let stored = house.results(kind);
    let payloads = stored.iter().filter_map(|stored| stored.payload.as_deref());
    payloads.map(read).collect()
}

/// Events by the minute of their bucket; a bucket that is published twice fails.
fn counts(house: &House) -> BTreeMap<i64, u64> {
    let mut counts = BTreeMap::new();
    for bucket in documents(house, DocumentKind::Bucket) {
        let minute = bucket["timestamp"].as_i64().unwrap() / MINUTE_MS;
        let count = bucket["event_count"].as_u64().unwrap();
        let before = counts.insert(minute, count);
        assert!(
            before.is_none_or(|before| before == count),
            "minute {minute}: {before:?}, then {count}"
        );
    }
    counts
}

/// Notes of what is lost.
fn notes(house: &House) -> Vec<Value> {
    notes_of(house, "delayed_data")
}

/// The annotations of an event, each of them as its schema says.
fn notes_of(house: &House, event: &str) -> Vec<Value> {
    let schema = include_str!("../docs/schemas/annotation.schema.json");
    let schema = serde_json::from_str(schema).expect("a schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let mut notes = documents(house, DocumentKind::Annotation);
    for note in &notes {
        assert!(validator.is_valid(note), "{note:#}");
    }
    notes.retain(|note| note["event"] == event);
    notes
}

#[test]
fn a_log_that_no_longer_reaches_back_is_an_annotation_and_told_once() {
    for (extensions, partitions) in PLACEMENTS {
        let house = House::new(partitions);
        let mut service = house.start(job("1m", extensions));
        for minute in 0..30 {
            (0..partitions).for_each(|at| house.send(at, &event(minute, "a")));
        }
        house.settle(&mut service);
        house.cluster.evict(&service.into_log()); // dead before a snapshot was due
        house
            .cluster
            .truncate(&TopicPartition::new("events", 0), 10);
        for _ in 0..2 {
            let mut service = house.start(job("1m", extensions));
            house.settle(&mut service);
            assert!(house.diary.has("Gap"), "{extensions}");
            house.cluster.evict(&service.into_log());
        }
        let notes = notes(&house);
        assert_eq!(notes.len(), 1, "{extensions}: {notes:?}");
        assert_eq!(notes[0]["event"], "delayed_data");
        assert_eq!(notes[0]["topic"], "events");
        assert_eq!(notes[0]["offset_from"], 0);
        assert_eq!(notes[0]["offset_to"], 10);
        let sentence = notes[0]["annotation"].as_str().unwrap();
        assert!(
            sentence.contains("Offsets 0 to 9 of partition 0 of topic events"),
            "{sentence}"
        );
        let _ = counts(&house);
    }
}

#[test]
fn messages_deleted_before_they_were_read_are_counted_and_noted_and_the_rest_is_read() {
    for (extensions, partitions) in PLACEMENTS {
        let house = House::new(partitions);
        let mut service = house.start(job("1m", extensions));
        for minute in 0..10 {
            (0..partitions).for_each(|at| house.send(at, &event(minute, "a")));
        }
        house.settle(&mut service);
        for minute in 10..30 {
            (0..partitions).for_each(|at| house.send(at, &event(minute, "a")));
        }
        house
            .cluster
            .truncate(&TopicPartition::new("events", 0), 15);
        house.settle(&mut service);
        assert!(house.diary.has("Gap"), "{extensions}");
        let notes = notes(&house);
        assert_eq!(notes.len(), 1, "{extensions}: {notes:?}");
        assert_eq!(
            (&notes[0]["offset_from"], &notes[0]["offset_to"]),
            (&10.into(), &15.into())
        );
        let lost = |minute: i64| u64::from((10..15).contains(&minute));
        for (minute, count) in counts(&house) {
            assert_eq!(
                count,
                partitions as u64 - lost(minute),
                "{extensions}: minute {minute}"
            );
        }
    }
}

#[test]
fn a_topic_made_anew_is_read_from_its_beginning_and_nothing_is_said_twice() {
    for (extensions, partitions) in PLACEMENTS {
        for is_stopped_in_order in [true, false] {
            let house = House::new(partitions);
            let mut service = house.start(job("1m", extensions));
            for minute in 0..30 {
                (0..partitions).for_each(|at| house.send(at, &event(minute, "a")));
            }
            house.settle(&mut service);
            let before = counts(&house).len();
            // Ended in order, it has a snapshot of all it read; killed, none.
            match is_stopped_in_order {
                true => service.finish().unwrap(),
                false => house.cluster.evict(&service.into_log()),
            }
            house.cluster.remake_topic("events", partitions);
            for minute in 30..50 {
                (0..partitions).for_each(|at| house.send(at, &event(minute, "a")));
            }
            let mut service = house.start(job("1m", extensions));
            house.settle(&mut service);
            let name = format!("{extensions}, in order: {is_stopped_in_order}");
            assert_eq!(
                house.diary.has("TopicRenewed"),
                is_stopped_in_order,
                "{name}"
            );
            let counts = counts(&house);
            let last = counts.keys().next_back().copied();
            assert!(last >= Some(48), "{name}: {last:?}");
            for minute in 31..49 {
                assert_eq!(
                    counts.get(&minute),
                    Some(&(partitions as u64)),
                    "{name}: {minute}"
                );
            }
            assert!(counts.len() > before, "{name}");
            service.finish().unwrap();
            // A snapshot at offsets of the old topic must not be taken for one of the new.
            for minute in 50..70 {
                (0..partitions).for_each(|at| house.send(at, &event(minute, "a")));
            }
            let mut service = house.start(job("1m", extensions));
            house.settle(&mut service);
            assert!(!house.diary.has("TopicRenewed"), "{name}: once");
            assert_eq!(
                self::counts(&house).get(&60),
                Some(&(partitions as u64)),
                "{name}"
            );
        }
    }
}

#[test]
fn a_topic_made_anew_while_nobody_ran_is_known_by_the_snapshot_however_long_it_has_grown() {
    for (extensions, partitions) in PLACEMENTS {
        let house = House::new(partitions);
        let settings = || Settings {
            snapshot_every_messages: Some(1),
            snapshot_writing: Writing::ByHand,
            ..Settings::default()
        };
        let start = || house.start_with(job("1m", extensions), settings());
        let mut service = start();
        for minute in 0..30 {
            (0..partitions).for_each(|at| house.send(at, &event(minute, "a")));
        }
        breathe(&house, &mut service);
        while service.write_snapshot() {}
        // Killed: nothing of the topic is left but the snapshot.
        house.cluster.evict(&service.into_log());
        house.cluster.remake_topic("events", partitions);
        for minute in 30..90 {
            (0..partitions).for_each(|at| house.send(at, &event(minute, "a")));
        }
        let mut service = start();
        breathe(&house, &mut service);
        assert!(house.diary.has("TopicRenewed"), "{extensions}");
        assert!(!house.diary.has("PositionVanished"), "{extensions}");
        let counts = counts(&house);
        for minute in 31..88 {
            let count = counts.get(&minute);
            assert_eq!(count, Some(&(partitions as u64)), "{extensions}: {minute}");
        }
        assert_eq!(notes(&house).len(), partitions as usize, "{extensions}");
        // And the new one's snapshots are known for what they are.
        while service.write_snapshot() {}
        house.cluster.evict(&service.into_log());
        let mut service = start();
        breathe(&house, &mut service);
        assert!(!house.diary.has("TopicRenewed"), "{extensions}: once");
        assert!(!house.diary.has("SnapshotUnusable"), "{extensions}");
    }
}

#[test]
fn a_lag_that_grows_while_nothing_is_taken_in_is_told() {
    let house = House::new(1);
    let mut service = house.start(job("1m", "{}"));
    house.send(0, &event(0, "a"));
    house.settle(&mut service);
    let lag = |messages: u64| {
        house.diary.has(&format!(
            "Lag {{ at: {:?}, messages: {messages} }}",
            TopicPartition::new("events", 0)
        ))
    };
    (1..6).for_each(|minute| house.send(0, &event(minute, "a")));
    for _ in 0..3 {
        house.clock.advance(1_000);
        service.settle().unwrap();
    }
    assert!(lag(5), "five lie there");
}

#[test]
fn a_topic_that_is_made_anew_under_a_running_job_has_it_laid_out_anew() {
    for (extensions, partitions) in PLACEMENTS {
        let house = House::new(partitions);
        let mut service = house.start(job("1m", extensions));
        for minute in 0..30 {
            (0..partitions).for_each(|at| house.send(at, &event(minute, "a")));
        }
        house.settle(&mut service);
        assert!(!service.is_outdated());
        house.cluster.remake_topic("events", partitions);
        // Longer than what was read: offsets alone would not tell.
        for minute in 30..90 {
            (0..partitions).for_each(|at| house.send(at, &event(minute, "a")));
        }
        house.clock.advance(60_000);
        breathe(&house, &mut service);
        assert!(service.is_outdated(), "{extensions}");
        service.finish().unwrap();
        let mut service = house.start(job("1m", extensions));
        house.settle(&mut service);
        assert!(house.diary.has("TopicRenewed"), "{extensions}");
        let counts = counts(&house);
        for minute in 61..88 {
            assert_eq!(
                counts.get(&minute),
                Some(&(partitions as u64)),
                "{extensions}: {minute}"
            );
        }
        let notes = notes(&house);
        assert_eq!(notes.len(), partitions as usize, "{extensions}: {notes:?}");
        let sentence = notes[0]["annotation"].as_str().unwrap();
        assert!(sentence.contains("was deleted and made anew"), "{sentence}");
    }
}

#[test]
fn a_partition_more_is_read_from_its_beginning_and_the_watermark_does_not_go_back() {
    for (extensions, partitions) in PLACEMENTS {
        let house = House::new(partitions);
        let mut service = house.start(job("1m", extensions));
        for minute in 0..20 {
            (0..partitions).for_each(|at| house.send(at, &event(minute, "a")));
        }
        house.settle(&mut service);
        house.cluster.grow_topic("events", partitions as usize + 1);
        house.clock.advance(60_000);
        breathe(&house, &mut service);
        assert!(house.diary.has("PartitionsAdded"), "{extensions}");
        let is_staged = extensions.contains("shards");
        assert_eq!(service.is_outdated(), !is_staged, "{extensions}");
        // The group of the log in memory sees partitions when members join anew.
        service.finish().unwrap();
        let mut service = house.start(job("1m", extensions));
        breathe(&house, &mut service);
        // It is waited for from its first message on.
        house.send(partitions, &event(20, "a"));
        breathe(&house, &mut service);
        for minute in 20..40 {
            (0..=partitions).for_each(|at| house.send(at, &event(minute, "a")));
        }
        house.settle(&mut service);
        let counts = counts(&house);
        for minute in 22..38 {
            assert_eq!(
                counts.get(&minute),
                Some(&(partitions as u64 + 1)),
                "{extensions}: {minute}: {counts:?}"
            );
        }
    }
}

#[test]
fn a_partition_whose_topic_is_gone_is_not_waited_for() {
    for (extensions, _) in &PLACEMENTS[1..] {
        let house = House::new(2);
        house.cluster.create_topic("events-2", 1);
        let text = format!(
            r#"{{"job_id":"j","analysis_config":{{"bucket_span":"1m","detectors":[{{"function":"count","partition_field_name":"host"}}]}},
            "data_description":{{"time_field":"time","time_format":"epoch_ms"}},
            "datafeed_config":{{"indices":["^events"]}},"tidewatch":{extensions}}}"#
        );
        let job = Arc::new(Job::from_text(&text, "test").unwrap());
        let send = |topic: &str, partition: i32, minute: i64| {
            let message = Outgoing {
                topic: topic.into(),
                partition: Some(partition),
                key: None,
                payload: Some(event(minute, "a").into()),
                headers: Vec::new(),
                timestamp_ms: Some(0),
            };
            house.cluster.append(&message).unwrap();
        };
        let mut service = house.start(job.clone());
        for minute in 0..20 {
            (0..2).for_each(|at| send("events", at, minute));
            send("events-2", 0, minute);
        }
        (0..100).for_each(|_| service.breathe(Duration::ZERO).unwrap());
        service.log_mut().delete_topic("events-2").unwrap();
        for minute in 20..40 {
            (0..2).for_each(|at| send("events", at, minute));
        }
        breathe(&house, &mut service);
        assert!(
            counts(&house).keys().next_back() < Some(&20),
            "{extensions}: it is waited for"
        );
        for _ in 0..2 {
            house.clock.advance(31_000);
            breathe(&house, &mut service);
        }
        assert!(house.diary.has("TopicGone"), "{extensions}");
        assert!(!service.is_outdated(), "{extensions}: the others go on");
        let counts = counts(&house);
        assert_eq!(counts.get(&37), Some(&2), "{extensions}: {counts:?}");
        // Once, and not at every look.
        let words = house
            .cluster
            .end(&TopicPartition::new("tidewatch.j.partials", 0));
        house.clock.advance(31_000);
        breathe(&house, &mut service);
        let now = house
            .cluster
            .end(&TopicPartition::new("tidewatch.j.partials", 0));
        assert!(now - words < 8, "{extensions}: {words}, then {now}");
    }
}

#[test]
fn a_topic_wrongly_declared_keyed_is_noted_once_counted_and_goes_on_through_a_crash() {
    let house = House::new(3);
    let job = || {
        job(
            "1m",
            r#"{"idle_timeout":"1d","keyed_by_partition_field":true}"#,
        )
    };
    let mut service = house.start(job());
    for minute in 0..40 {
        (0..3).for_each(|at| house.send(at, &event(minute, &format!("host-{at}"))));
        if minute == 10 {
            house.send(2, &event(minute, "host-1"));
        }
        if minute == 20 {
            breathe(&house, &mut service);
            house.cluster.evict(&service.into_log()); // dead before a snapshot was due
            service = house.start(job());
        }
    }
    house.settle(&mut service);
    assert_eq!(notes(&house), [] as [Value; 0]);
    let notes = notes_of(&house, "misplaced_key");
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!(notes[0]["partition_field_value"], "host-1");
    assert_eq!(
        notes[0]["topic_partitions"],
        serde_json::json!(["events/1", "events/2"])
    );
    let total = "misplaced_keys: MisplacedKeys { total: 1, new: 0";
    let entries = house.diary.0.lock().unwrap();
    assert!(entries.iter().any(|entry| entry.contains(total)));
    assert_eq!(counts(&house).len(), 39);
}

/// A topic that is compacted, or that follows a table, says of a key that it is no more by a message without a value.
#[test]
fn a_tombstone_in_the_input_is_no_event_and_no_dead_letter() {
    for (extensions, partitions) in PLACEMENTS {
        let mut said = Vec::new();
        for has_tombstones in [false, true] {
            let house = House::new(partitions);
            let mut service = house.start(job("1m", extensions));
            for minute in 0..30 {
                for partition in 0..partitions {
                    let host = format!("h{partition}");
                    house.send_at(partition, minute, &host, 0);
                    if has_tombstones {
                        let tombstone = Outgoing {
                            topic: "events".into(),
                            partition: Some(partition),
                            key: Some(b"k".to_vec()),
                            payload: None,
                            headers: Vec::new(),
                            timestamp_ms: Some(minute * MINUTE_MS),
                        };
                        house.cluster.append(&tombstone).unwrap();
                    }
                }
            }
            house.settle(&mut service);
            assert!(!house.diary.has("Rejected"), "{extensions}");
            assert_eq!(house.diary.has("Tombstones"), has_tombstones);
            assert_eq!(house.cluster.committed("tidewatch.dead-letters").len(), 0);
            said.push((counts(&house), documents(&house, DocumentKind::DataCounts)));
        }
        assert_eq!(said[0], said[1], "{extensions}");
    }
}

#[test]
fn a_job_that_starts_at_an_offset_that_is_not_there_says_so() {
    let house = House::new(1);
    for minute in 0..10 {
        house.send_at(0, minute, "a", 0);
    }
    let own = r#"{"start":{"offsets":{"events/0":500,"events/7":3,"evnets/0":4}}}"#;
    let mut service = house.start(job("1m", own));
    house.settle(&mut service);
    for said in [
        "events/7, which is none of its topics",
        "evnets/0, which is none of its topics",
        "offset 500 of events/0, which ends at 10",
    ] {
        let entries = house.diary.0.lock().unwrap();
        let is_said = |entry: &String| entry.starts_with("StartNotMet") && entry.contains(said);
        assert!(entries.iter().any(is_said), "{said}: {entries:?}");
    }
}

/// A configuration that was copied, with another prefix and the same group: not a word of the input goes to where nobody looks for it.
#[test]
fn a_service_with_another_prefix_does_not_work_in_a_group_that_has_one() {
    for (extensions, partitions) in PLACEMENTS {
        let house = House::new(partitions);
        let own = job("1m", extensions);
        let mut service = house.start(Arc::clone(&own));
        (0..10).for_each(|minute| {
            (0..partitions).for_each(|at| house.send_at(at, minute, &format!("h{at}"), 0))
        });
        house.settle(&mut service);
        service.finish().unwrap();
        let settings = Settings {
            names: tidewatch::runtime::task::TopicNames::new("staging"),
            ..Settings::default()
        };
        let mut other = house.start_with(own, settings);
        let refused = (0..20).find_map(|_| other.breathe(Duration::ZERO).err());
        let says = refused.expect("refused").to_string();
        assert!(
            says.contains(r#"topics.prefix is "tidewatch", and here it is "staging""#)
                && says.contains("own kafka.group_id"),
            "{says}"
        );
    }
}

/// An operator has set a job's positions by Kafka's own tools: they say nothing of what was published, so that they are not gone by, and that is said.
#[test]
fn a_position_that_others_have_set_is_said_and_the_job_goes_on_from_its_snapshot() {
    for (extensions, partitions) in PLACEMENTS {
        let house = House::new(partitions);
        let own = job("1m", extensions);
        let send = |minutes: std::ops::Range<i64>| {
            for minute in minutes {
                for at in 0..partitions {
                    house.send_at(at, minute, &format!("h{at}"), 0);
                }
            }
        };
        send(0..20);
        let mut service = house.start(Arc::clone(&own));
        house.settle(&mut service);
        service.finish().unwrap();
        let set = |at| {
            let position = Position {
                next_offset: 3,
                metadata: String::new(),
            };
            (TopicPartition::new("events", at), position)
        };
        let positions: Vec<_> = (0..partitions).map(set).collect();
        let mut tools = house.cluster.open("tools", "tools");
        assert!(tools.set_positions(house::GROUP, &positions).unwrap());
        let mut service = house.start(own);
        send(20..40);
        house.settle(&mut service);
        assert!(house.diary.has("PositionNotOurs"), "{extensions}");
        let expected: Vec<i64> = (0..39).collect();
        assert_eq!(house.bucket_times(), expected, "{extensions}");
        let events = u64::try_from(partitions).unwrap();
        let counts = counts(&house);
        assert!(
            counts.values().all(|count| *count == events),
            "{extensions}: {counts:?}"
        );
    }
}

/// One partition is worked by one task, several by stages: what was published under one layout is known under the other.
#[test]
fn a_job_that_is_laid_out_otherwise_says_no_bucket_twice() {
    let over = |topics: &str| {
        let text = format!(
            r#"{{"job_id":"j","analysis_config":{{"bucket_span":"1m","detectors":[{{"function":"count","partition_field_name":"host"}}]}},
            "data_description":{{"time_field":"time","time_format":"epoch_ms"}},
            "datafeed_config":{{"indices":[{topics}]}},"tidewatch":{{"idle_timeout":"1d"}}}}"#
        );
        Arc::new(Job::from_text(&text, "test").unwrap())
    };
    let (one, two) = (over(r#""events""#), over(r#""events","more""#));
    for (what, before, after, grows) in [
        ("a partition more", &one, &one, true),
        ("a topic more", &one, &two, false),
        ("a topic less", &two, &one, false),
    ] {
        let house = House::new(1);
        house.cluster.create_topic("more", 1);
        let send = |minutes: std::ops::Range<i64>| {
            for minute in minutes {
                for topic in ["events", "more"] {
                    let message = Outgoing {
                        topic: topic.into(),
                        partition: Some(0),
                        key: None,
                        payload: Some(event(minute, topic).into()),
                        headers: Vec::new(),
                        timestamp_ms: Some(0),
                    };
                    house.cluster.append(&message).unwrap();
                }
                if grows && minute >= 20 {
                    house.send(1, &event(minute, "events"));
                }
            }
        };
        send(0..20);
        let mut service = house.start(Arc::clone(before));
        house.settle(&mut service);
        service.finish().unwrap();
        let published = house.bucket_times();
        assert_eq!(published, (0..19).collect::<Vec<_>>(), "{what}");
        if grows {
            house.cluster.grow_topic("events", 2);
        }
        for life in 0..3 {
            let mut service = house.start(Arc::clone(after));
            send(20 + life * 10..30 + life * 10);
            house.settle(&mut service);
            service.finish().unwrap();
            let last = 29 + life * 10;
            assert_eq!(
                house.bucket_times(),
                (0..last).collect::<Vec<_>>(),
                "{what}"
            );
            let words = house.results(DocumentKind::Bucket).len();
            assert_eq!(words as i64, last, "{what}: a bucket was said twice");
        }
    }
}
