//! Every document that is published is what its published schema says, and what a schema calls required is.
//!
//! Jobs of every function and shape see four days of events with a daily rhythm, spikes, gaps, a new level, a flood of values and bad events,
//! through the service in memory, so that headers are those of real messages.

use jsonschema::Validator;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use tidewatch::config::Job;
use tidewatch::engine::result::DocumentKind;
use tidewatch::runtime::alerts::AlertSettings;
use tidewatch::runtime::clock::ManualClock;
use tidewatch::runtime::embedded::Embedded;
use tidewatch::runtime::log::memory::Stored;
use tidewatch::runtime::observer::Silent;
use tidewatch::runtime::service::Settings;

const START_MS: i64 = 1_748_822_400_000;
const SPAN_MS: i64 = 900_000;
const BUCKETS: i64 = 4 * 96;

fn schema(name: &str) -> Value {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schemas/{name}.schema.json"));
    let text = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).expect("a schema is JSON")
}

fn validator(schema: &Value) -> Validator {
    jsonschema::validator_for(schema).expect("a schema")
}

/// Jobs that together have every function, split, influencers, and a limit that is reached.
fn jobs() -> Vec<Arc<Job>> {
    let functions = [
        "count",
        "high_count",
        "low_count",
        "non_zero_count",
        "distinct_count",
        "mean",
        "median",
        "min",
        "max",
        "metric",
        "sum",
        "non_null_sum",
        "varp",
        "info_content",
        "time_of_day",
        "time_of_week",
        "lat_long",
    ];
    let split = |id: &str, splits: Value| {
        let detectors: Vec<Value> = functions
            .iter()
            .map(|function| {
                let mut detector = json!({"function": function});
                let field = match *function {
                    "distinct_count" | "info_content" => Some("user"),
                    "lat_long" => Some("geo"),
                    one if one.contains("count") || one.contains("time") => None,
                    _ => Some("ms"),
                };
                if let Some(field) = field {
                    detector["field_name"] = field.into();
                }
                for (key, field) in splits.as_object().unwrap() {
                    detector[key] = field.clone();
                }
                detector
            })
            .collect();
        let body = json!({
            "job_id": id, "analysis_config": {"bucket_span": "15m", "detectors": detectors, "influencers": ["host.name", "user"]},
            "data_description": {"time_field": "time"}, "datafeed_config": {"indices": ["events"]},
            "model_plot_config": {"enabled": true, "annotations_enabled": true}, "tidewatch": {"interim_interval": "1ms"},
            "analysis_limits": {"model_memory_limit": if id == "flooded" { "1mb" } else { "64mb" }},
        });
        Arc::new(Job::from_value(&body).unwrap_or_else(|errors| panic!("{errors}")))
    };
    vec![
        split("whole", json!({})),
        split("by-host", json!({"by_field_name": "host.name"})),
        split("per-host", json!({"partition_field_name": "host.name"})),
        split(
            "flooded",
            json!({"partition_field_name": "host.name", "by_field_name": "user"}),
        ),
        crowd(),
        logs(),
        late(),
        keyed(),
        related(),
    ]
}

/// Two hosts whose load goes together, until it does not.
fn related() -> Arc<Job> {
    let body = json!({
        "job_id": "related", "data_description": {"time_field": "time"}, "datafeed_config": {"indices": ["related"]},
        "analysis_config": {"bucket_span": "15m", "multivariate_by_fields": true,
            "detectors": [{"function": "mean", "field_name": "ms", "by_field_name": "host.name"}]},
    });
    Arc::new(Job::from_value(&body).unwrap_or_else(|errors| panic!("{errors}")))
}

/// The load of both hosts in a bucket: the same erratic one, but for the end.
fn related_events(number: i64) -> [String; 2] {
    let erratic = |salt: i64| ((number * 7919 + salt) * 104_729 % 1009) as f64 / 1009.0;
    let parted = number > BUCKETS - 12;
    let time = START_MS + number * SPAN_MS;
    [
        (0, erratic(1)),
        (1, if parted { 1.0 - erratic(1) } else { erratic(1) }),
    ]
    .map(|(host, load)| {
        let ms = 100.0 + 50.0 * load + 2.0 * erratic(31 + host);
        format!(r#"{{"time":{time},"host":{{"name":"r{host}"}},"ms":{ms}}}"#)
    })
}

/// Over a topic that is not keyed as the job says.
fn keyed() -> Arc<Job> {
    let body = json!({
        "job_id": "keyed", "data_description": {"time_field": "time"}, "datafeed_config": {"indices": ["keyed"]},
        "analysis_config": {"bucket_span": "15m", "detectors": [{"function": "count", "partition_field_name": "host.name"}]},
        "tidewatch": {"keyed_by_partition_field": true},
    });
    Arc::new(Job::from_value(&body).unwrap_or_else(|errors| panic!("{errors}")))
}

/// Members against members, and rare values.
fn crowd() -> Arc<Job> {
    let body = json!({
        "job_id": "crowd", "data_description": {"time_field": "time"}, "datafeed_config": {"indices": ["events"]},
        "tidewatch": {"calendars": [{"calendar_id": "nights", "events": [{"description": "backup", "recurrence": "FREQ=DAILY",
            "start_time": "2020-01-01T01:00", "end_time": "2020-01-01T02:00", "skip_result": false, "skip_model_update": false}]}]},
        "analysis_config": {"bucket_span": "15m", "influencers": ["host.name", "user"], "detectors": [
            {"function": "high_count", "over_field_name": "user"},
            {"function": "mean", "field_name": "ms", "by_field_name": "host.name", "over_field_name": "user"},
            {"function": "rare", "by_field_name": "user", "partition_field_name": "host.name"},
            {"function": "freq_rare", "by_field_name": "host.name", "over_field_name": "user"},
            {"function": "lat_long", "field_name": "geo", "over_field_name": "user"},
        ]},
        "model_plot_config": {"enabled": true},
    });
    Arc::new(Job::from_value(&body).unwrap_or_else(|errors| panic!("{errors}")))
}

/// Categories of messages, apart by host.
fn logs() -> Arc<Job> {
    let body = json!({
        "job_id": "logs", "data_description": {"time_field": "time"}, "datafeed_config": {"indices": ["events"]},
        "analysis_config": {"bucket_span": "15m", "influencers": ["mlcategory"], "categorization_field_name": "message",
            "per_partition_categorization": {"enabled": true},
            "detectors": [{"function": "count", "by_field_name": "mlcategory", "partition_field_name": "host.name"}]},
    });
    Arc::new(Job::from_value(&body).unwrap_or_else(|errors| panic!("{errors}")))
}

/// Results that late events re-open.
fn late() -> Arc<Job> {
    let body = json!({
        "job_id": "late", "data_description": {"time_field": "time"}, "datafeed_config": {"indices": ["events"]},
        "analysis_config": {"bucket_span": "15m", "influencers": ["host.name", "user"], "detectors": [
            {"function": "count", "partition_field_name": "host.name"},
            {"function": "mean", "field_name": "ms", "partition_field_name": "host.name"},
        ]},
        "model_plot_config": {"enabled": true}, "tidewatch": {"late_revision_window": "1h"},
    });
    Arc::new(Job::from_value(&body).unwrap_or_else(|errors| panic!("{errors}")))
}

/// What comes two buckets late: all of a bucket that seemed empty, and so many usual answers that slow ones do not show.
fn late_events(number: i64) -> Vec<String> {
    let (hosts, count, late) = match number {
        102 => (3, 4, 100),
        302 => (1, 600, 300),
        _ => return Vec::new(),
    };
    let one = |host: i64, n: i64| {
        let (time, ms) = (
            START_MS + late * SPAN_MS + n * 1000,
            22.0 + (n * 7 % 5) as f64,
        );
        format!(
            r#"{{"time":{time},"host":{{"name":"h{host}"}},"user":"u{}","ms":{ms},"message":"late"}}"#,
            n % 3
        )
    };
    let of_host = |host| (0..count).map(move |n| one(host, n));
    (0..hosts).flat_map(of_host).collect()
}

/// A bucket's events: hosts with a rhythm, incidents, and now and then something that is no event.
fn bucket(number: i64) -> Vec<String> {
    let mut events = Vec::new();
    let rhythm = (number as f64 / 96.0 * std::f64::consts::TAU).sin();
    for host in 0..3_i64 {
        let is_new_level = host == 1 && number > BUCKETS / 2;
        let is_slow = number % 301 == 300;
        let count = match (number % 211, host) {
            (210, 0) => 40,
            (100, _) => 0,
            (150, _) => i64::from(host == 0),
            _ => 3 + (rhythm + 1.0) as i64 + number % 2,
        };
        for n in 0..count {
            let time = START_MS + number * SPAN_MS + n * 1000;
            let ms = (20.0 + 5.0 * rhythm + (n * 7 % 5) as f64) * if is_slow { 30.0 } else { 1.0 }
                + if is_new_level { 60.0 } else { 0.0 };
            let user = if number > BUCKETS * 3 / 4 {
                n * 1000 + number
            } else {
                n % 3
            };
            let (lat, lon) = if is_slow {
                (-33.9, 151.2)
            } else {
                (52.5, 13.4)
            };
            events.push(format!(
                r#"{{"time":{time},"geo":{{"lat":{lat},"lon":{lon}}},"host":{{"name":"h{host}"}},"user":"u{user}","ms":{ms},"message":"request {number} answered in {ms} ms"}}"#
            ));
        }
    }
    if number % 150 == 149 {
        events.extend([
            r#"{"time":"#.to_owned(),
            "[1]".to_owned(),
            r#"{"time":"soon"}"#.to_owned(),
            r#"{"host":{"name":"h0"}}"#.to_owned(),
            format!(r#"{{"time":{START_MS}}}"#),
            format!(r#"{{"time":{}}}"#, i64::MAX),
        ]);
    }
    events
}

type Published = BTreeMap<DocumentKind, Vec<Arc<Stored>>>;

/// What is beside the results.
#[derive(Default)]
struct Others {
    letters: Vec<Arc<Stored>>,
    alerts: Vec<Arc<Stored>>,
}

fn publish() -> (Published, Others) {
    let clock = ManualClock::at(START_MS);
    let settings = Settings {
        alerts: Some(AlertSettings::default()),
        ..Settings::default()
    };
    let mut service = Embedded::new(settings, Arc::new(clock.clone()), Arc::new(Silent));
    service.create_topic("events", 1);
    service.create_topic("keyed", 2);
    service.create_topic("related", 1);
    for job in jobs() {
        service.start(job).expect("it starts");
    }
    let mut published = Published::new();
    let mut others = Others::default();
    for number in 0..BUCKETS {
        for event in bucket(number).into_iter().chain(late_events(number)) {
            service
                .produce(
                    "events",
                    Some(0),
                    None,
                    event.as_bytes(),
                    START_MS + number * SPAN_MS,
                )
                .expect("the topic is there");
        }
        for event in related_events(number) {
            let time = START_MS + number * SPAN_MS;
            service
                .produce("related", Some(0), None, event.as_bytes(), time)
                .expect("the topic is there");
        }
        for partition in 0..2 {
            let host = if number == 50 { 0 } else { partition };
            let time = START_MS + number * SPAN_MS;
            let event = format!(r#"{{"time":{time},"host":{{"name":"h{host}"}}}}"#);
            let at = Some(partition);
            service
                .produce("keyed", at, None, event.as_bytes(), time)
                .expect("the topic is there");
        }
        // Interim results are many: some will do.
        if number % 60 != 0 && number + 1 != BUCKETS {
            continue;
        }
        clock.advance(1_000);
        service.drain().expect("it drains");
        for kind in DocumentKind::ALL {
            let of_kind = published.entry(kind).or_default();
            of_kind.extend(service.results(kind));
            of_kind.extend(service.interim(kind));
        }
        others.letters.extend(service.dead_letters());
        others.alerts.extend(service.alerts());
    }
    (published, others)
}

fn headers(message: &Stored) -> Value {
    let of = |(name, value): &(&str, String)| ((*name).to_owned(), Value::from(value.as_str()));
    Value::Object(message.headers.iter().map(of).collect::<Map<_, _>>())
}

fn assert_valid(validator: &Validator, document: &Value, what: &str) {
    let errors: Vec<String> = validator
        .iter_errors(document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}\n{document:#}");
}

/// Properties that only a damaged log brings about: tests/inputs.rs holds documents with them against the schema.
const ELSEWHERE: [(&str, &str); 5] = [
    ("data_counts", "unreadable_field_count"), // tests/functions.rs
    ("annotation", "topic"),
    ("annotation", "kafka_partition"),
    ("annotation", "offset_from"),
    ("annotation", "offset_to"),
];

/// Each property that the schema requires is, and a stranger is let in only where the schema says so.
fn assert_strict(schema: &Value, validator: &Validator, document: &Value, what: &str) {
    for name in schema["required"].as_array().unwrap() {
        let mut poorer = document.clone();
        let removed = poorer
            .as_object_mut()
            .unwrap()
            .shift_remove(name.as_str().unwrap());
        assert!(
            removed.is_some() && !validator.is_valid(&poorer),
            "{what}: {name} is not really required"
        );
    }
    let mut stranger = document.clone();
    stranger["no_such_property"] = json!(1);
    assert!(
        !validator.is_valid(&stranger),
        "{what}: a stranger is let in"
    );
}

#[test]
fn every_published_document_is_what_its_schema_says() {
    let (published, others) = publish();
    let of_headers = schema("headers");
    let header_check = validator(&of_headers);
    for kind in DocumentKind::ALL {
        let (name, of_kind) = (kind.name(), &published[&kind]);
        let schema = schema(name);
        assert_eq!(schema["$id"], format!("urn:tidewatch:schema:{name}:v1"));
        let check = validator(&schema);
        let documents: Vec<(&Arc<Stored>, Value)> = of_kind
            .iter()
            .filter_map(|message| {
                Some((
                    message,
                    serde_json::from_slice(message.payload.as_ref()?).unwrap(),
                ))
            })
            .collect();
        assert!(!documents.is_empty(), "no {name} was published");
        let mut seen = BTreeMap::<String, usize>::new();
        for (message, document) in &documents {
            assert_valid(&check, document, name);
            let headers = headers(message);
            assert_valid(&header_check, &headers, "headers");
            assert_eq!(headers["ce_dataschema"], schema["$id"]);
            let names = document.as_object().unwrap().keys();
            names.for_each(|name| *seen.entry(name.clone()).or_default() += 1);
        }
        assert_strict(&schema, &check, &documents[0].1, name);
        assert_strict(
            &of_headers,
            &header_check,
            &headers(documents[0].0),
            "headers",
        );
        for property in schema["properties"].as_object().unwrap().keys() {
            if ELSEWHERE.contains(&(name, property.as_str())) {
                continue;
            }
            assert!(
                seen.contains_key(property),
                "{name}: no document has {property}"
            );
        }
    }
    let schema = schema("dead_letter_headers");
    let check = validator(&schema);
    let letters = &others.letters;
    assert!(letters.len() > 10);
    for letter in letters {
        assert_valid(&check, &headers(letter), "dead letter");
    }
    assert_strict(&schema, &check, &headers(&letters[0]), "dead letter");
    assert_alerts(&others.alerts, &header_check);
}

fn assert_alerts(alerts: &[Arc<Stored>], header_check: &Validator) {
    let schema = schema("alert");
    let check = validator(&schema);
    let mut events = BTreeSet::new();
    for alert in alerts {
        let document = serde_json::from_slice(alert.payload.as_ref().unwrap()).unwrap();
        assert_valid(&check, &document, "alert");
        let headers = headers(alert);
        assert_valid(header_check, &headers, "headers");
        assert_eq!(headers["ce_dataschema"], schema["$id"]);
        assert_strict(&schema, &check, &document, "alert");
        events.insert(document["event"].as_str().unwrap().to_owned());
    }
    assert!(
        events.contains("opened") && events.contains("resolved"),
        "{events:?}"
    );
}
