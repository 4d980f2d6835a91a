//! What operators do to jobs: a range replayed beside a job, a job reset, spread over other shards, changed and changed back.
//!
//! Claims: a replay says what a [`Pipeline`] says of the events of its range, whatever interrupts it, and nothing of the job is touched;
//! after a reset a job's results are those of a job that has never lived; nothing is ever counted twice.

#[path = "support/foretold.rs"]
mod foretold;
#[path = "support/house.rs"]
mod house;
#[path = "jobs/kept.rs"]
mod kept;
#[path = "jobs/revert.rs"]
mod revert;

use foretold::without_scores;
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
    Fate, Footprint, JobsError, Quiet, prospect, reset, reshard, revert, shadow, status,
};
use tidewatch::runtime::log::TopicPartition;
use tidewatch::runtime::log::memory::MemoryLog;
use tidewatch::runtime::service::{Service, Settings};
use tidewatch::runtime::store::{Content, MemoryStore, SnapshotKey, SnapshotStore, StoreError};
use tidewatch::runtime::task::{Range, TopicNames};
use tidewatch::time::EventTime;

/// What was said of each document, by kind and id, in order; `None` is a tombstone.
type Said = BTreeMap<(DocumentKind, String), Vec<Option<String>>>;

/// A replay, worked to its end; after so many breaths it loses all that is not committed, and goes on.
fn replayed(
    house: &House,
    shadow: &Arc<Job>,
    settings: &Settings,
    crash_after: Option<usize>,
) -> Service<MemoryLog> {
    let mut replay = house.start_with(Arc::clone(shadow), settings.clone());
    replay.log_mut().set_batch_max(5);
    if let Some(breaths) = crash_after {
        for _ in 0..breaths {
            house.clock.advance(300);
            replay.breathe(Duration::ZERO).unwrap();
        }
        house.cluster.evict(&replay.into_log());
        replay = house.start_with(Arc::clone(shadow), settings.clone());
    }
    for _ in 0..2_000 {
        if replay.is_done() {
            break;
        }
        house.clock.advance(1_000);
        replay.breathe(Duration::ZERO).unwrap();
    }
    replay
}

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
        warm_up_from: time(from),
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
            let mut replay = replayed(&house, &shadow, &settings, crash_after);
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
fn a_replay_after_a_warm_up_says_of_its_range_what_a_job_says_that_ran_over_both() {
    for (partitions, categories) in [(1, false), (3, false), (1, true)] {
        for crash_after in [None, Some(4), Some(17)] {
            let told =
                format!("{partitions} partitions, {categories}, crash after {crash_after:?}");
            let house = House::new(partitions);
            feed(&house, partitions, 0, 60);
            let own = shown(&job("1m", "{}"), categories);
            let shadow = shadow(&own, "s").unwrap();
            let range = minutes(30, 41).warmed_up(25 * MINUTE_MS + 59_999, own.bucket_span);
            let settings = Settings {
                range: Some(range),
                snapshot_every_messages: Some(7),
                ..Settings::default()
            };
            let mut replay = replayed(&house, &shadow, &settings, crash_after);
            assert!(replay.is_done(), "{told}: {}", replay.describe());
            replay.finish().unwrap();
            let whole = Settings {
                range: Some(minutes(5, 41)),
                ..Settings::default()
            };
            let long = tidewatch::runtime::jobs::shadow(&own, "l").unwrap();
            let mut reference = house.start_with(Arc::clone(&long), whole);
            while !reference.is_done() {
                house.clock.advance(1_000);
                reference.breathe(Duration::ZERO).unwrap();
            }
            reference.finish().unwrap();
            let mut wanted: Said = said_of(&house, "l")
                .into_iter()
                .map(|((kind, id), words)| {
                    let as_other =
                        |text: String| text.replace("\"job_id\":\"l\"", "\"job_id\":\"s\"");
                    let words = words.into_iter().map(|word| word.map(as_other)).collect();
                    ((kind, id.replacen("l_", "s_", 1)), words)
                })
                .collect();
            let is_in_range = |(kind, _): &(DocumentKind, String), words: &Vec<Option<String>>| {
                let first = words.first().cloned().flatten().unwrap_or_default();
                *kind == DocumentKind::CategoryDefinition || minute_of(&first) >= Some(30)
            };
            let all = wanted.len();
            wanted.retain(|document, words| is_in_range(document, words));
            assert!(wanted.len() < all, "{told}");
            let found = said_of(&house, "s");
            let odd = wanted
                .iter()
                .find(|(key, words)| found.get(*key) != Some(*words));
            assert!(
                found == wanted,
                "{told}: {} of {}, {odd:#?}",
                found.len(),
                wanted.len()
            );
            if !categories {
                let cold = calm(&shadow, 30, 41);
                assert!(found != cold, "{told}: nothing was learnt before");
            }
        }
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
        assert!(done.results >= first.len() as u64, "interim ones, too");
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

/// Which bucket a document is of.
fn minute_of(text: &str) -> Option<i64> {
    let at = text.split("\"timestamp\":").nth(1)?;
    let digits = at.split([',', '}']).next()?;
    Some(digits.parse::<i64>().unwrap() / MINUTE_MS)
}

/// A store in which somebody begins to work on the job as soon as anything is deleted.
struct Disturbed<'a>(MemoryStore, &'a mut dyn FnMut());

impl SnapshotStore for Disturbed<'_> {
    fn put(&mut self, key: &SnapshotKey, content: &dyn Content) -> Result<u64, StoreError> {
        self.0.put(key, content)
    }
    fn list(&mut self, task: &str) -> Result<Vec<SnapshotKey>, StoreError> {
        self.0.list(task)
    }
    fn get(&mut self, key: &SnapshotKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(key)
    }
    fn delete(&mut self, key: &SnapshotKey) -> Result<(), StoreError> {
        (self.1)();
        self.0.delete(key)
    }
}

#[test]
fn what_is_done_to_a_job_waits_for_who_comes_back_and_is_done_again_where_somebody_has_come_meanwhile()
 {
    for is_reshard in [false, true] {
        let house = House::new(3);
        let (four, two) = (job("1m", r#"{"shards":4}"#), job("1m", r#"{"shards":2}"#));
        feed(&house, 3, 0, 30);
        let mut service = house.start(Arc::clone(&four));
        house.settle(&mut service);
        service.finish().unwrap();
        let (mut log, trace) = footprint(&house, &two);
        let member = std::cell::RefCell::new(None);
        let come = || {
            let mut service = house.start(Arc::clone(&four));
            service.breathe(Duration::ZERO).unwrap();
            *member.borrow_mut() = Some(service);
        };
        let go = || {
            if let Some(mut service) = member.borrow_mut().take() {
                service.finish().unwrap();
            }
        };
        come();
        // Ends after a while; comes back when nobody has been seen for a moment; ends; and comes once more when it has begun.
        let (mut waits, mut calls) = (0, 0);
        let mut wait = |_| {
            waits += 1;
            match waits {
                3 | 8 | 20 => go(),
                5 => come(),
                _ => {}
            }
        };
        let quiet = Quiet {
            timeout: Duration::from_secs(60),
            quiet: Duration::from_secs(2),
        };
        let mut is_quiet = true;
        let mut disturb = || {
            if std::mem::take(&mut is_quiet) {
                come();
            }
        };
        let mut store = Disturbed(house.store.clone(), &mut disturb);
        let mut operation = |log: &mut MemoryLog| {
            calls += 1;
            match is_reshard {
                true => drop(reshard(log, &mut store, &trace)?),
                false => drop(reset(log, &mut store, &trace, Fate::Kept)?),
            }
            Ok(Some(()))
        };
        let done = quiet.attempt(&mut log, &trace, &mut wait, &mut operation);
        done.unwrap();
        // Three looks until it ends, one and a half until it is back, three again, then two seconds and what was begun in vain.
        assert_eq!(calls, 2, "{is_reshard}");
        assert!(waits >= 28, "{waits}");
        let mut service = house.start(if is_reshard { two } else { four });
        assert_eq!(service.plan().shards, if is_reshard { 2 } else { 4 });
        feed(&house, 3, 30, 40);
        house.settle(&mut service);
        assert_eq!(house.bucket_times(), (0..39).collect::<Vec<_>>());
    }
}

#[test]
fn nothing_is_done_to_a_job_that_somebody_goes_on_working_on() {
    let house = House::new(1);
    let own = job("1m", "{}");
    feed(&house, 1, 0, 5);
    let mut service = house.start(Arc::clone(&own));
    house.settle(&mut service);
    let (mut log, trace) = footprint(&house, &own);
    let quiet = Quiet {
        timeout: Duration::from_secs(1),
        quiet: Duration::from_secs(2),
    };
    let mut never = |_: &mut MemoryLog| -> Result<Option<()>, JobsError> { unreachable!() };
    let mut waited = Duration::ZERO;
    let mut wait = |step| waited += step;
    let error = quiet.attempt(&mut log, &trace, &mut wait, &mut never);
    let says = error.unwrap_err().to_string();
    assert!(
        says.contains("j: 1 instances still work on it after 1 s"),
        "{says}"
    );
    assert_eq!(waited, quiet.timeout);
    service.finish().unwrap();
    let mut again = |_: &mut MemoryLog| -> Result<Option<()>, JobsError> { Ok(None) };
    let error = quiet.attempt(&mut log, &trace, &mut |_| (), &mut again);
    let says = error.unwrap_err().to_string();
    assert!(
        says.contains("instances come back to job j again and again"),
        "{says}"
    );
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
