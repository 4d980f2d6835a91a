//! What an input leaves open when it falls silent is in the results that the others close, as if it had closed it itself.
#![allow(missing_docs)]

#[path = "support/house.rs"]
mod house;

use house::{House, MINUTE_MS};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidewatch::config::Job;

/// The last minute in which both partitions have events.
const LAST: i64 = 240;

/// Minutes for which events are waited for.
type Latency = i64;

fn job(detectors: &Value, datafeed: &Value, (placement, latency): (&str, Latency)) -> Arc<Job> {
    let mut feed = json!({"indices": ["events"]});
    for (name, value) in datafeed.as_object().expect("an object") {
        feed[name] = value.clone();
    }
    let mut analysis = json!({"bucket_span": "1m", "detectors": detectors, "influencers": ["host"], "latency": format!("{latency}m")});
    if feed.get("aggregations").is_some() {
        analysis["summary_count_field_name"] = json!("doc_count");
    }
    let mut extensions = json!({"idle_timeout": "10s", "interim_interval": "0s"});
    match placement {
        "keyed" => extensions["keyed_by_partition_field"] = json!(true),
        _ => extensions["shards"] = json!(2),
    }
    let body = json!({
        "job_id": "j", "analysis_config": analysis, "datafeed_config": feed,
        "data_description": {"time_field": "time", "time_format": "epoch_ms"},
        "model_plot_config": {"enabled": true}, "tidewatch": extensions,
    });
    Arc::new(Job::from_value(&body).expect("a valid job"))
}

/// Events of a minute: two hosts a partition with some five users each. In the last one a host of the second partition has hardly any, and one user too much.
fn events(minute: i64) -> Vec<(i32, String)> {
    let mut events = Vec::new();
    for (host, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let last = minute == LAST && name == "d";
        let wave = (minute * 7 + host as i64 * 3) % 5;
        for nth in 0..if last { 2 } else { 20 + wave } {
            let time = minute * MINUTE_MS + nth * 2_000 + host as i64;
            let bytes = 100 + (nth * 37 + minute * 11) % 40 + if last { 900 } else { 0 };
            let total = minute * 6_000 + nth * 100;
            let user = nth % 5;
            let event = json!({"time": time, "host": name, "user": format!("u{user}"), "bytes": bytes, "total": total});
            events.push((host as i32 / 2, event.to_string()));
        }
    }
    events
}

/// What comes of the events when the second partition falls silent after the last minute, and the first goes on.
fn results(job: &Arc<Job>, latency: Latency, partitions: i32) -> BTreeMap<String, Value> {
    let house = House::new(partitions);
    let mut service = house.start(Arc::clone(job));
    for minute in 0..=LAST {
        for (partition, event) in events(minute) {
            house.send(partition % partitions, &event);
        }
    }
    house.settle(&mut service);
    let next = json!({"time": (LAST + 1 + latency) * MINUTE_MS, "host": "a", "user": "u0", "bytes": 100, "total": 0});
    house.send(0, &next.to_string());
    house.settle(&mut service);
    house.documents()
}

fn assert_as_if_closed(detectors: &Value, datafeed: &Value, latency: Latency) {
    let job = |placement| job(detectors, datafeed, (placement, latency));
    let expected = results(&job("staged"), latency, 1);
    let of_last = |id: &&String| id.contains(&format!("_{}_", LAST * MINUTE_MS));
    assert!(
        expected.keys().any(|id| of_last(&id)),
        "the last minute is closed"
    );
    for placement in ["staged", "keyed"] {
        let found = results(&job(placement), latency, 2);
        for (id, document) in &expected {
            assert_eq!(found.get(id), Some(document), "{placement}: {id}");
        }
        let surplus: Vec<&String> = found
            .keys()
            .filter(|id| !expected.contains_key(*id))
            .collect();
        assert!(surplus.is_empty(), "{placement}: {surplus:?}");
    }
}

#[test]
fn counts_and_values_of_series() {
    let of_host = |function: &str, field: Option<&str>| {
        let mut detector = json!({"function": function, "partition_field_name": "host"});
        if let Some(field) = field {
            detector["field_name"] = json!(field);
        }
        detector
    };
    let detectors = json!([
        of_host("count", None),
        of_host("low_count", None),
        of_host("mean", Some("bytes")),
        of_host("sum", Some("bytes")),
        of_host("distinct_count", Some("user")),
    ]);
    assert_as_if_closed(&detectors, &json!({}), 0);
}

/// Whoever keeps the models of a silent partition judges that its hosts are missing, as if it went on to be waited for; to the byte, also when it changes hands.
#[test]
fn series_of_a_silent_partition_are_missing_in_the_buckets_that_follow() {
    let detectors = json!([
        {"function": "count", "partition_field_name": "host"},
        {"function": "low_count", "partition_field_name": "host"},
        {"function": "mean", "field_name": "bytes", "partition_field_name": "host"},
    ]);
    // What comes of it when the others go on for so many minutes, and the instance is another one in the middle of them.
    let results = |placement, partitions: i32, minutes: i64, begins_anew: bool| {
        let job = job(&detectors, &json!({}), (placement, 0));
        let house = House::new(partitions);
        let mut service = house.start(Arc::clone(&job));
        for minute in 0..=LAST {
            for (partition, event) in events(minute) {
                house.send(partition % partitions, &event);
            }
        }
        house.settle(&mut service);
        for minute in LAST + 1..=LAST + minutes {
            if begins_anew && minute == LAST + minutes / 2 {
                service.finish().expect("an end in order");
                service = house.start(Arc::clone(&job));
                house.settle(&mut service);
            }
            let of_first = events(minute)
                .into_iter()
                .filter(|(partition, _)| *partition == 0);
            of_first.for_each(|(_, event)| house.send(0, &event));
            // As time passes, so does that of the events.
            house.clock.advance(MINUTE_MS);
            house.settle(&mut service);
        }
        house.documents()
    };
    for (minutes, begins_anew) in [(12, false), (40, false), (40, true)] {
        let expected = results("keyed", 1, minutes, false);
        let is_missing = |document: &&Value| {
            document["result_type"] == "record"
                && document["partition_field_value"] == "c"
                && document["function"] == "low_count"
                && document["actual"] == json!([0.0])
        };
        assert!(
            expected.values().filter(is_missing).count() > 2,
            "{minutes}"
        );
        let found = results("keyed", 2, minutes, begins_anew);
        for (id, document) in &expected {
            assert_eq!(
                found.get(id),
                Some(document),
                "{minutes} {begins_anew}: {id}"
            );
        }
        assert_eq!(found.len(), expected.len());
    }
}

/// Each is judged by what the one before it has taught.
#[test]
fn several_buckets_that_are_open_at_once() {
    let detectors = json!([
        {"function": "count", "partition_field_name": "host"},
        {"function": "mean", "field_name": "bytes", "partition_field_name": "host"},
        {"function": "rare", "by_field_name": "user", "partition_field_name": "host"},
        {"function": "mean", "field_name": "bytes", "over_field_name": "user", "partition_field_name": "host"},
    ]);
    assert_as_if_closed(&detectors, &json!({}), 3);
}

#[test]
fn populations_and_rarity() {
    let detectors = json!([
        {"function": "low_count", "over_field_name": "user", "partition_field_name": "host"},
        {"function": "mean", "field_name": "bytes", "over_field_name": "user", "partition_field_name": "host"},
        {"function": "rare", "by_field_name": "user", "partition_field_name": "host"},
        {"function": "freq_rare", "by_field_name": "bytes", "over_field_name": "user", "partition_field_name": "host"},
    ]);
    assert_as_if_closed(&detectors, &json!({}), 0);
}

#[test]
fn differences_of_counters() {
    let detectors =
        json!([{"function": "max", "field_name": "received", "partition_field_name": "host"}]);
    let feed = json!({"aggregations": {"hosts": {"terms": {"field": "host"}, "aggregations": {"buckets": {
        "date_histogram": {"field": "time", "fixed_interval": "60s"},
        "aggregations": {
            "time": {"max": {"field": "time"}},
            "most": {"max": {"field": "total"}},
            "received": {"derivative": {"buckets_path": "most"}},
        },
    }}}}});
    assert_as_if_closed(&detectors, &feed, 0);
}
