//! What operators do to jobs: a range replayed beside a job, a job reset, spread over other shards, changed and changed back.
//!
//! Claims: a replay says what a [`Pipeline`] says of the events of its range, whatever interrupts it, and nothing of the job is touched;
//! after a reset a job's results are those of a job that has never lived; nothing is ever counted twice.

#[path = "support/house.rs"]
mod house;

use house::{GROUP, House, MINUTE_MS, event, job};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tidewatch::config::{AlertPolicy, Job};
use tidewatch::decode::Decoder;
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::engine::result::DocumentKind;
use tidewatch::runtime::alerts::AlertSettings;
use tidewatch::runtime::jobs::{
    Fate, Footprint, JobsError, prospect, reset, reshard, revert, shadow, status,
};
use tidewatch::runtime::log::TopicPartition;
use tidewatch::runtime::log::memory::MemoryLog;
use tidewatch::runtime::service::Settings;
use tidewatch::runtime::task::{Range, TopicNames};
use tidewatch::time::EventTime;

/// What was said of each document, by kind and id, in order; `None` is a tombstone.
type Said = BTreeMap<(DocumentKind, String), Vec<Option<String>>>;

/// Events of `from..to` minutes: two hosts, one of them busier now and then, spread over the partitions.
fn feed(house: &House, partitions: i32, from: i64, to: i64) {
    for minute in from..to {
        for n in 0..(3 + minute % 4) {
            house.send_at(
                ((minute + n) % i64::from(partitions)) as i32,
                minute,
                "a",
                n,
            );
        }
        let burst = if minute == 33 { 40 } else { 1 };
        for n in 0..burst {
            house.send_at((n % i64::from(partitions)) as i32, minute, "b", n);
        }
    }
}

/// What the engine says of the events of those minutes and no others.
fn calm(job: &Arc<Job>, from: i64, to: i64) -> Said {
    let (mut decoder, mut pipeline) = (Decoder::new(job), Pipeline::new(Arc::clone(job)));
    let mut said = Said::new();
    let mut hear = |outputs: Vec<Output>| {
        for output in outputs {
            if let Output::Result(document) = output {
                let json = serde_json::to_string(&document).unwrap();
                let words = said.entry((document.kind, document.id)).or_default();
                words.push(Some(json));
            }
        }
    };
    for minute in from..to {
        let times = |n: i64, host| (0..n).map(move |_| event(minute, host));
        let burst = if minute == 33 { 40 } else { 1 };
        for text in times(3 + minute % 4, "a").chain(times(burst, "b")) {
            decoder.payload(text.as_bytes(), None, &mut |decoded| {
                hear(pipeline.handle(Input::Event(decoded.as_ref().unwrap())));
            });
        }
    }
    hear(pipeline.handle(Input::Advance(EventTime(to * MINUTE_MS))));
    said
}

/// What the results topics hold of a job.
fn said_of(house: &House, job_id: &str) -> Said {
    let mut said = Said::new();
    for kind in DocumentKind::ALL {
        for message in house.results(kind) {
            let key = String::from_utf8(message.key.clone().unwrap()).unwrap();
            let text = message
                .payload
                .as_ref()
                .map(|payload| String::from_utf8(payload.clone()).unwrap());
            let is_its = text
                .as_ref()
                .is_none_or(|text| text.contains(&format!("\"job_id\":\"{job_id}\"")));
            if is_its {
                said.entry((kind, key)).or_default().push(text);
            }
        }
    }
    said.retain(|_, words| words.iter().any(Option::is_some));
    said
}

fn footprint(house: &House, job: &Arc<Job>) -> (MemoryLog, Footprint) {
    let mut log = house.cluster.open("tools", "tools");
    let footprint = Footprint::of(&mut log, job, &TopicNames::new("tidewatch"), "group").unwrap();
    (log, footprint)
}

fn minutes(from: i64, to: i64) -> Range {
    let time = |minute| EventTime(minute * MINUTE_MS);
    Range {
        from: time(from),
        to: time(to),
    }
}

#[test]
fn a_replay_says_what_the_engine_says_of_its_range_whatever_interrupts_it_and_its_job_is_not_touched()
 {
    for partitions in [1, 3] {
        for crash_after in [None, Some(3), Some(11), Some(25)] {
            let house = House::new(partitions);
            let own = job("1m", "{}");
            let mut service = house.start(Arc::clone(&own));
            feed(&house, partitions, 0, 60);
            house.settle(&mut service);
            service.finish().unwrap();
            let before = said_of(&house, "j");
            let at = TopicPartition::new("events", 0);
            let position = house.cluster.position(GROUP, &at);

            let shadow = shadow(&own, "s").unwrap();
            let settings = Settings {
                range: Some(minutes(12, 41)),
                snapshot_every_messages: Some(7),
                ..Settings::default()
            };
            let mut replay = house.start_with(Arc::clone(&shadow), settings.clone());
            replay.log_mut().set_batch_max(5);
            if let Some(breaths) = crash_after {
                for _ in 0..breaths {
                    house.clock.advance(300);
                    replay.breathe(Duration::ZERO).unwrap();
                }
                house.cluster.evict(&replay.into_log());
                replay = house.start_with(Arc::clone(&shadow), settings.clone());
            }
            for _ in 0..2_000 {
                if replay.is_done() {
                    break;
                }
                house.clock.advance(1_000);
                replay.breathe(Duration::ZERO).unwrap();
            }
            assert!(replay.is_done(), "{}", replay.describe());
            replay.finish().unwrap();
            let told = format!("{partitions} partitions, crash after {crash_after:?}");
            assert_eq!(said_of(&house, "s"), calm(&shadow, 12, 41), "{told}");
            assert_eq!(said_of(&house, "j"), before, "{told}");
            assert_eq!(house.cluster.position(GROUP, &at), position, "{told}");

            // Done once more: nothing is left to do, and nothing is said.
            let mut again = house.start_with(Arc::clone(&shadow), settings);
            for _ in 0..200 {
                house.clock.advance(1_000);
                again.breathe(Duration::ZERO).unwrap();
            }
            assert!(again.is_done(), "{told}");
            assert_eq!(said_of(&house, "s"), calm(&shadow, 12, 41), "{told}");
        }
    }
}

#[test]
fn a_replay_whose_range_ends_where_the_topic_does_closes_its_last_bucket_all_the_same() {
    for partitions in [1, 3] {
        let house = House::new(partitions);
        feed(&house, partitions, 0, 40);
        let shadow = shadow(&job("1m", "{}"), "s").unwrap();
        let settings = Settings {
            range: Some(minutes(30, 40)),
            ..Settings::default()
        };
        let mut replay = house.start_with(Arc::clone(&shadow), settings);
        for _ in 0..300 {
            house.clock.advance(1_000);
            replay.breathe(Duration::ZERO).unwrap();
        }
        assert!(replay.is_done(), "{}", replay.describe());
        assert_eq!(said_of(&house, "s"), calm(&shadow, 30, 40));
    }
}

#[test]
fn after_a_reset_a_job_says_what_one_says_that_has_never_lived() {
    for partitions in [1, 3] {
        let house = House::new(partitions);
        let own = job("1m", "{}");
        let mut service = house.start(Arc::clone(&own));
        feed(&house, partitions, 0, 50);
        house.settle(&mut service);
        let (mut log, footprint) = footprint(&house, &own);
        let refused = reset(
            &mut log,
            &mut house.store.clone(),
            &footprint,
            Fate::Withdrawn,
        );
        assert!(matches!(refused, Err(JobsError::AtWork { members: 1, .. })));
        service.finish().unwrap();
        let first = said_of(&house, "j");

        let done = reset(
            &mut log,
            &mut house.store.clone(),
            &footprint,
            Fate::Withdrawn,
        )
        .unwrap();
        assert!(done.results >= first.len(), "interim ones, too");
        assert!(done.snapshots > 0);
        let stood = status(&mut log, &footprint).unwrap();
        assert!(
            stood.partitions.iter().all(|one| one.next_offset.is_none()),
            "{stood:?}"
        );
        let withdrawn = |words: &Vec<Option<String>>| words.last() == Some(&None);
        assert!(said_of(&house, "j").values().all(withdrawn));

        let mut service = house.start(Arc::clone(&own));
        house.settle(&mut service);
        let both = said_of(&house, "j");
        for (document, words) in &first {
            let twice: Vec<_> = words
                .iter()
                .cloned()
                .chain([None])
                .chain(words.iter().cloned())
                .collect();
            assert_eq!(both[document], twice, "{document:?}");
        }
        assert_eq!(both.len(), first.len());
        assert!(
            !house.diary.has("Gap")
                && !house.diary.has("PositionVanished")
                && !house.diary.has("LateForJudge")
        );
    }
}

#[test]
fn a_reset_that_keeps_results_learns_anew_and_says_no_bucket_twice() {
    for partitions in [1, 3] {
        let house = House::new(partitions);
        let own = job("1m", "{}");
        let mut service = house.start(Arc::clone(&own));
        feed(&house, partitions, 0, 50);
        house.settle(&mut service);
        service.finish().unwrap();
        let before = house.bucket_times();
        let (mut log, footprint) = footprint(&house, &own);
        reset(&mut log, &mut house.store.clone(), &footprint, Fate::Kept).unwrap();
        let mut service = house.start(Arc::clone(&own));
        feed(&house, partitions, 50, 60);
        house.settle(&mut service);
        let after = house.bucket_times().split_off(before.len());
        let last = before.last().unwrap();
        assert_eq!(after, (last + 1..59).collect::<Vec<_>>());
    }
}

/// Events of each bucket as published, the last word of each.
fn event_counts(house: &House) -> BTreeMap<i64, u64> {
    let number = |text: &str, key: &str| -> i64 {
        let rest = text.split(&format!("\"{key}\":")).nth(1).unwrap();
        rest.split([',', '}']).next().unwrap().parse().unwrap()
    };
    let buckets = house.results(DocumentKind::Bucket);
    let texts = buckets
        .iter()
        .map(|one| String::from_utf8(one.payload.clone().unwrap()).unwrap());
    texts
        .map(|text| {
            (
                number(&text, "timestamp") / MINUTE_MS,
                number(&text, "event_count") as u64,
            )
        })
        .collect()
}

fn events_in(from: i64, to: i64) -> u64 {
    (from..to)
        .map(|minute| (3 + minute % 4 + if minute == 33 { 40 } else { 1 }) as u64)
        .sum()
}

#[test]
fn a_job_that_is_changed_and_changed_back_counts_no_event_twice() {
    let house = House::new(3);
    let (one, two) = (job("1m", "{}"), job("2m", "{}"));
    feed(&house, 3, 0, 20);
    let mut service = house.start(Arc::clone(&one));
    house.settle(&mut service);
    // One partition is ahead of the others: what it has said of its buckets waits for them.
    (20..30).for_each(|minute| house.send_at(0, minute, "ahead", 0));
    for _ in 0..20 {
        house.clock.advance(1_000);
        service.breathe(Duration::ZERO).unwrap();
    }
    service.finish().unwrap();
    // Each change is another life: as the supervisor's control topic counts them.
    let life = |life| Settings {
        life,
        ..Settings::default()
    };
    let mut service = house.start_with(two, life(1));
    house.settle(&mut service);
    service.finish().unwrap();
    let mut service = house.start_with(one, life(2));
    feed(&house, 3, 20, 50);
    house.settle(&mut service);
    assert!(!house.diary.has("LateForJudge"));
    for (minute, events) in event_counts(&house) {
        let ahead = u64::from((20..30).contains(&minute));
        // Up to minute 30 buckets of two minutes were published in between.
        let whole = match minute > 30 {
            true => events_in(minute, minute + 1),
            false => ahead * 2 + events_in(minute, minute + 2),
        };
        assert!(events <= whole, "minute {minute}: {events} of {whole}");
        if minute > 31 {
            assert_eq!(events, whole, "minute {minute}");
        }
    }
}

#[test]
fn a_job_is_spread_over_other_shards_once_and_for_all_and_says_no_bucket_twice() {
    let house = House::new(3);
    let four = job("1m", r#"{"shards":4}"#);
    feed(&house, 3, 0, 30);
    let mut service = house.start(Arc::clone(&four));
    house.settle(&mut service);
    service.finish().unwrap();
    let before = house.bucket_times();

    // Asked for, but the topic decides: the models go on.
    let two = job("1m", r#"{"shards":2}"#);
    let mut service = house.start(Arc::clone(&two));
    house.settle(&mut service);
    assert_eq!(service.plan().shards, 4);
    assert!(!house.diary.has("Reconfigured"));
    service.finish().unwrap();

    let (mut log, trace) = footprint(&house, &two);
    assert_eq!(
        reshard(&mut log, &mut house.store.clone(), &trace).unwrap(),
        4
    );
    let mut service = house.start(Arc::clone(&two));
    assert_eq!(service.plan().shards, 2);
    feed(&house, 3, 30, 50);
    house.settle(&mut service);
    assert!(house.diary.has("Reconfigured"));
    let after = house.bucket_times().split_off(before.len());
    let last = before.last().unwrap();
    assert_eq!(after, (last + 1..49).collect::<Vec<_>>());
    for (minute, events) in event_counts(&house) {
        assert_eq!(events, events_in(minute, minute + 1), "minute {minute}");
    }
    service.finish().unwrap();

    // And back: of the first life's words nothing is heard again.
    let (mut log, trace) = footprint(&house, &four);
    assert_eq!(
        reshard(&mut log, &mut house.store.clone(), &trace).unwrap(),
        2
    );
    let mut service = house.start(four);
    feed(&house, 3, 50, 60);
    house.settle(&mut service);
    for (minute, events) in event_counts(&house) {
        assert_eq!(events, events_in(minute, minute + 1), "minute {minute}");
    }
    assert!(!house.diary.has("LateForJudge"));

    let (mut log, trace) = footprint(&House::new(1), &two);
    let refused = reshard(&mut log, &mut house.store.clone(), &trace)
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("its one input partition is worked by one task"),
        "{refused}"
    );
}

/// The job with a calendar that says: of minutes 35 to 40 nothing is to be learnt.
fn unlearning(categories: bool) -> Arc<Job> {
    let event = format!(
        r#"{{"description":"flood","start_time":{},"end_time":{}}}"#,
        35 * MINUTE_MS,
        40 * MINUTE_MS
    );
    let own = format!(
        r#"{{"idle_timeout":"1d","calendars":[{{"calendar_id":"c","events":[{event}]}}]}}"#
    );
    shown(&job("1m", &own), categories)
}

/// The same job with plots of its models; perhaps one whose messages are categorised in one place.
fn shown(job: &Job, categories: bool) -> Arc<Job> {
    let mut document = job.document.clone();
    document["model_plot_config"] = serde_json::json!({"enabled": true});
    if !categories {
        return Arc::new(Job::from_value(&document).expect("a job"));
    }
    document["analysis_config"]["categorization_field_name"] = "host".into();
    document["analysis_config"]["detectors"] =
        serde_json::json!([{"function": "count", "by_field_name": "mlcategory"}]);
    Arc::new(Job::from_value(&document).expect("a job"))
}

/// The results of buckets from a minute on, as told first; without scores if those are normalised by what else was published.
fn from_minute(
    said: Said,
    minute: i64,
    with_scores: bool,
) -> BTreeMap<(DocumentKind, String), String> {
    let is_after = |text: &str| {
        let at = text.split("\"timestamp\":").nth(1);
        let digits = at.and_then(|rest| rest.split([',', '}']).next());
        digits.is_some_and(|digits| digits.parse::<i64>().unwrap() >= minute * MINUTE_MS)
    };
    let kinds = [
        DocumentKind::Bucket,
        DocumentKind::Record,
        DocumentKind::Influencer,
        DocumentKind::ModelPlot,
    ];
    let mut told = BTreeMap::new();
    for (document, words) in said {
        let text = words.first().cloned().flatten().unwrap_or_default();
        if !kinds.contains(&document.0) || !is_after(&text) {
            continue;
        }
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let fields = value.as_object_mut().unwrap();
        let wanted = [
            "timestamp",
            "probability",
            "actual",
            "typical",
            "event_count",
            "model_lower",
            "model_median",
            "model_upper",
        ];
        if !with_scores {
            fields.retain(|name, _| wanted.contains(&name.as_str()));
        }
        told.insert(document, value.to_string());
    }
    told
}

#[test]
fn after_a_revert_the_models_are_those_of_a_job_that_has_never_learnt_what_its_calendar_keeps_out()
{
    for (partitions, categories) in [(1, false), (1, true), (3, false)] {
        for snapshot_every in [None, Some(40)] {
            let told = format!("{partitions} partitions, {categories}, {snapshot_every:?}");
            let house = House::new(partitions);
            let settings = Settings {
                snapshot_every_messages: snapshot_every,
                snapshots_kept: 100,
                ..Settings::default()
            };
            let own = shown(&job("1m", r#"{"idle_timeout":"1d"}"#), categories);
            let mut service = house.start_with(Arc::clone(&own), settings.clone());
            let send = |from: i64, to: i64| {
                for minute in from..to {
                    feed(&house, partitions, minute, minute + 1);
                    // What is to be forgotten, and what is held against what is known.
                    let flood = if matches!(minute, 35..40 | 70) { 50 } else { 0 };
                    (0..flood).for_each(|n| house.send_at(n % partitions, minute, "a", 0));
                }
            };
            for minute in (0..50).step_by(5) {
                send(minute, minute + 5);
                house.settle(&mut service);
            }
            let (mut log, as_it_was) = footprint(&house, &own);
            let mut store = house.store.clone();
            let to = EventTime(35 * MINUTE_MS + 7);
            let at_work = revert(&mut log, &mut store, &as_it_was, to).unwrap_err();
            assert!(matches!(at_work, JobsError::AtWork { .. }), "{told}");
            service.finish().unwrap();
            let before = said_of(&house, "j");

            // It would learn the same; and there is nothing yet that it could forget.
            let same = revert(&mut log, &mut store, &as_it_was, to).unwrap_err();
            assert!(matches!(same, JobsError::SameAgain { .. }), "{told}");
            let says = same.to_string();
            assert!(
                says.contains("\"start_time\": \"1970-01-01T00:35:00Z\""),
                "{says}"
            );
            let changed = unlearning(categories);
            let (_, trace) = footprint(&house, &changed);
            let later = EventTime(90 * MINUTE_MS);
            let nothing = revert(&mut log, &mut store, &trace, later).unwrap_err();
            assert!(matches!(nothing, JobsError::NothingSince { .. }), "{told}");

            let would = prospect(&mut log, &mut store, &trace, to).unwrap();
            let done = revert(&mut log, &mut store, &trace, to).unwrap();
            assert_eq!(would, done, "{told}");
            assert_eq!(done.from, EventTime(35 * MINUTE_MS), "{told}");
            assert_eq!(done.until, EventTime(49 * MINUTE_MS), "{told}");
            assert!(
                done.snapshots > 0 && done.messages > 100,
                "{told}: {done:?}"
            );
            // Cut off and done again, it does the rest, and no more.
            let again = revert(&mut log, &mut store, &trace, to).unwrap();
            assert_eq!(
                (again.snapshots, again.messages),
                (0, done.messages),
                "{told}"
            );

            let mut service = house.start_with(Arc::clone(&changed), settings.clone());
            house.settle(&mut service);
            assert_eq!(said_of(&house, "j"), before, "{told}: said again");
            send(50, 80);
            house.settle(&mut service);
            assert!(
                !house.diary.has("Gap") && !house.diary.has("Reconfigured"),
                "{told}"
            );

            // Those of one that has had the calendar from the beginning, and not those of one that has learnt it all.
            let is_one = partitions == 1;
            let found = from_minute(said_of(&house, "j"), 50, is_one);
            let wanted = from_minute(of_all(&house, &changed), 50, is_one);
            assert!(wanted.len() >= 50, "{told}: {}", wanted.len());
            let missing = wanted
                .iter()
                .find(|(document, text)| found.get(*document) != Some(*text));
            let shown = missing.map(|(document, text)| (document, text, found.get(document)));
            assert!(found == wanted, "{told}: {shown:#?}");
            let learnt = from_minute(of_all(&house, &own), 50, is_one);
            assert!(found != learnt, "{told}: nothing was forgotten");
        }
    }
}

/// What the engine says of all events of a house, in the order of their time.
fn of_all(house: &House, job: &Arc<Job>) -> Said {
    let (mut decoder, mut pipeline) = (Decoder::new(job), Pipeline::new(Arc::clone(job)));
    let mut events = house.cluster.committed("events");
    events.sort_by_key(|message| message.timestamp_ms);
    let mut said = Said::new();
    for message in events {
        let payload = message.payload.as_deref().unwrap_or_default();
        decoder.payload(payload, None, &mut |decoded| {
            for output in pipeline.handle(Input::Event(decoded.as_ref().unwrap())) {
                if let Output::Result(document) = output {
                    let json = serde_json::to_string(&document).unwrap();
                    let words = said.entry((document.kind, document.id)).or_default();
                    words.push(Some(json));
                }
            }
        });
    }
    said
}

/// What the alerts topic holds: the last word on each incident, and how often each was told to have begun.
fn incidents(house: &House) -> BTreeMap<String, (Option<String>, usize)> {
    let mut told = BTreeMap::<String, (Option<String>, usize)>::new();
    for message in house
        .cluster
        .committed(&TopicNames::new("tidewatch").alerts())
    {
        let id = String::from_utf8(message.key.clone().unwrap()).unwrap();
        let text = message.payload.as_ref();
        let text = text.map(|text| String::from_utf8(text.clone()).unwrap());
        let entry = told.entry(id).or_default();
        entry.1 += usize::from(is_event(&text, "opened"));
        entry.0 = text;
    }
    told
}

fn is_event(text: &Option<String>, event: &str) -> bool {
    let said = format!(r#""event":"{event}""#);
    text.as_ref().is_some_and(|text| text.contains(&said))
}

#[test]
fn a_reset_takes_incidents_along_with_the_results_and_lets_them_go_on_where_those_are_kept() {
    let settings = || Settings {
        alerts: Some(AlertSettings {
            defaults: AlertPolicy {
                threshold: 5.0,
                resolve_below: 3.0,
                resolve_after_ms: Some(10 * MINUTE_MS),
                ..AlertPolicy::default()
            },
            ..AlertSettings::default()
        }),
        ..Settings::default()
    };
    for partitions in [1, 3] {
        for fate in [Fate::Withdrawn, Fate::Kept] {
            let house = House::new(partitions);
            let own = job("1m", "{}");
            let mut service = house.start_with(Arc::clone(&own), settings());
            feed(&house, partitions, 0, 38);
            house.settle(&mut service);
            service.finish().unwrap();
            let first = incidents(&house);
            let open = |told: &(Option<String>, usize)| is_event(&told.0, "opened");
            assert!(first.values().any(open), "{first:?}");

            let (mut log, footprint) = footprint(&house, &own);
            reset(&mut log, &mut house.store.clone(), &footprint, fate).unwrap();
            let withdrawn = incidents(&house).values().all(|told| told.0.is_none());
            assert_eq!(withdrawn, fate == Fate::Withdrawn);

            let mut service = house.start_with(Arc::clone(&own), settings());
            house.settle(&mut service);
            let again = incidents(&house);
            let times = if fate == Fate::Withdrawn { 2 } else { 1 };
            for (id, (last, opened)) in &again {
                assert_eq!(*opened, times * first[id].1, "{fate:?} {id}");
                assert_eq!(last, &first[id].0, "{fate:?} {id}");
            }
            feed(&house, partitions, 38, 60);
            house.settle(&mut service);
            let later = incidents(&house);
            let over = |id: &String| is_event(&later[id].0, "resolved");
            assert!(first.keys().all(over), "{fate:?} {later:?}");
            assert!(!house.diary.has("AlertStateUnusable"));
        }
    }
}
