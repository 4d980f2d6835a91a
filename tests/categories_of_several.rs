//! A job with categories of messages over a topic of several partitions: one place gathers them, in the order of the internal topic, exactly once. The
//! service in memory.

#[path = "support/house.rs"]
mod house;

use house::{House, MINUTE_MS};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tidewatch::config::Job;
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::engine::result::DocumentKind;
use tidewatch::engine::wire::StageMessage;
use tidewatch::time::Finality;

fn job(latency: &str, extensions: &str) -> Arc<Job> {
    let text = format!(
        r#"{{"job_id": "j", "analysis_config": {{"bucket_span": "1m", "latency": "{latency}", "categorization_field_name": "message",
        "detectors": [{{"function": "count", "by_field_name": "mlcategory"}}], "influencers": ["host", "mlcategory"]}},
        "data_description": {{"time_field": "time", "time_format": "epoch_ms"}}, "datafeed_config": {{"indices": ["events"]}}, "tidewatch": {extensions}}}"#
    );
    Arc::new(Job::from_text(&text, "test").expect("a valid job"))
}

fn event(minute: i64, host: i32, message: &str) -> String {
    let time = minute * MINUTE_MS + i64::from(host);
    format!(r#"{{"time": {time}, "host": "host-{host}", "message": "{message}"}}"#)
}

/// Sends what three hosts log in a minute, and in one a burst of one kind of message.
fn send(house: &House, minute: i64) {
    for host in 0..3 {
        house.send(
            host,
            &event(
                minute,
                host,
                &format!("Accepted connection from 10.0.0.{minute}"),
            ),
        );
        house.send(
            host,
            &event(
                minute,
                host,
                &format!("Request {minute} completed in {host} ms"),
            ),
        );
    }
    if minute == 70 {
        (0..300).for_each(|n| {
            house.send(
                n % 3,
                &event(minute, n % 3, &format!("Request {n} completed in 9 ms")),
            )
        });
    }
}

/// The last word on every document of some kinds, by id.
fn published(house: &House) -> BTreeMap<String, Value> {
    let kinds = [
        DocumentKind::Bucket,
        DocumentKind::Record,
        DocumentKind::Influencer,
    ];
    let stored = kinds.into_iter().flat_map(|kind| house.results(kind));
    stored
        .filter_map(|stored| {
            let id = String::from_utf8(stored.key.clone()?).ok()?;
            Some((
                id,
                serde_json::from_slice(stored.payload.as_deref()?).unwrap(),
            ))
        })
        .collect()
}

/// What one pipeline says of the events in the order of the internal topic.
fn expected(house: &House, until_minute: i64) -> BTreeMap<String, Value> {
    let mut pipeline = Pipeline::new(job("2h", "{}")); // waits for any of them
    let mut documents = BTreeMap::new();
    let mut hear = |outputs: Vec<Output>| {
        for output in outputs {
            if let Output::Result(document) = output
                && matches!(
                    document.kind,
                    DocumentKind::Bucket | DocumentKind::Record | DocumentKind::Influencer
                )
                && document.time.millis() < until_minute * MINUTE_MS
            {
                documents.insert(
                    document.id.clone(),
                    serde_json::to_value(&document).unwrap(),
                );
            }
        }
    };
    for stored in house.cluster.committed("tidewatch.j.closed") {
        let word = StageMessage::decode(stored.payload.as_deref().unwrap()).unwrap();
        if let StageMessage::Events(batch) = word {
            for event in &batch.events {
                hear(event.with_event(|event| pipeline.handle(Input::Event(event))));
            }
        }
    }
    hear(pipeline.handle(Input::Flush(Finality::Final)));
    documents
}

#[test]
fn results_are_those_of_one_pipeline_through_a_crash_and_a_restart() {
    let house = House::new(3);
    let extensions = r#"{"idle_timeout":"1d"}"#;
    let mut service = house.start(job("0s", extensions));
    for minute in 0..90 {
        send(&house, minute);
        if minute % 7 == 0 {
            house.clock.advance(1_000);
            service.breathe(Duration::ZERO).unwrap();
        }
        match minute {
            30 => {
                house.settle(&mut service);
                house.cluster.evict(&service.into_log()); // dead, perhaps before a snapshot was due
                service = house.start(job("0s", extensions));
            }
            60 => {
                service.finish().unwrap();
                drop(service.into_log());
                service = house.start(job("0s", extensions));
            }
            _ => {}
        }
    }
    house.settle(&mut service);
    let published = published(&house);
    let record = published
        .values()
        .filter(|one| one["result_type"] == "record");
    let worst = record.max_by(|a, b| {
        let score = |one: &Value| one["record_score"].as_f64().unwrap();
        score(a).total_cmp(&score(b))
    });
    let worst = worst.expect("the burst is a record");
    assert_eq!(worst["timestamp"], 70 * MINUTE_MS);
    assert_eq!(worst["by_field_name"], "mlcategory");
    assert_eq!(published, expected(&house, 89), "the last bucket is open");
    let buckets = published
        .values()
        .filter(|one| one["result_type"] == "bucket");
    assert_eq!(buckets.count(), 89);
    let definitions = house.results(DocumentKind::CategoryDefinition);
    let mut ids: Vec<_> = definitions.iter().map(|one| one.key.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(
        ids.len(),
        2,
        "two kinds of messages, whichever partition they came from"
    );
}

#[test]
fn interim_results_show_the_open_bucket_and_go_when_it_closes() {
    let house = House::new(3);
    let mut service = house.start(job(
        "0s",
        r#"{"idle_timeout":"1d","interim_interval":"1s"}"#,
    ));
    (0..40).for_each(|minute| send(&house, minute));
    house.settle(&mut service);
    let mut interim = house.cluster.committed("tidewatch.interim.bucket");
    interim.retain(|one| one.payload.is_some()); // others are gone already
    let last = interim.last().expect("an interim bucket");
    let body: Value = serde_json::from_slice(last.payload.as_deref().unwrap()).unwrap();
    assert_eq!(body["timestamp"], 39 * MINUTE_MS);
    assert_eq!(body["event_count"], 6);
    assert!(interim.len() < 20, "{} interim buckets", interim.len());
    send(&house, 40);
    house.settle(&mut service);
    let interim = house.cluster.committed("tidewatch.interim.bucket");
    let mut gone = interim.iter().filter(|one| one.key == last.key);
    assert!(gone.next_back().unwrap().payload.is_none(), "a tombstone");
}

#[test]
fn a_silent_partition_is_not_waited_for_and_bad_events_are_dead_letters_and_counted() {
    let house = House::new(3);
    let mut service = house.start(job("0s", r#"{"idle_timeout":"5s"}"#));
    for minute in 0..10 {
        house.send(0, &event(minute, 0, "Accepted connection from 10.0.0.1"));
        house.send(1, &event(minute, 1, "Accepted connection from 10.0.0.1"));
    }
    house.send(0, "no JSON");
    house.send(1, &event(2, 1, "too late"));
    house.settle(&mut service);
    let buckets = house.results(DocumentKind::Bucket);
    assert_eq!(buckets.len(), 9, "the third partition is empty");
    assert_eq!(house.cluster.committed("tidewatch.dead-letters").len(), 2);
    for minute in 10..1_500 {
        house.send(0, &event(minute, 0, "Accepted connection from 10.0.0.1"));
        house.send(1, &event(minute, 1, "Accepted connection from 10.0.0.1"));
    }
    house.settle(&mut service);
    let counts = house.results(DocumentKind::DataCounts);
    let counts = counts.last().expect("told once a day at least");
    let counts: Value = serde_json::from_slice(counts.payload.as_deref().unwrap()).unwrap();
    let refused = &counts["rejected_event_counts"];
    assert_eq!(
        (&refused["malformed"], &refused["late"]),
        (&1.into(), &1.into())
    );
}
