//! Jobs as Kibana's modules have them, each a job file and the datafeed beside it, over ECS events as Beats write them: `tidewatch detect` finds what was
//! planted among the events that the query selects, and is not led astray by the louder ones that it does not.

use serde_json::{Value, json};
use std::process::Command;
use tidewatch::time::EventTime;

const SPAN_MS: i64 = 900_000;
const START_MS: i64 = 1_706_659_200_000; // 2024-01-31T00:00:00Z
const BUCKETS: i64 = 288;
/// The bucket with the incident; that of the decoys, which no query selects, is another.
const PLANTED: i64 = 250;
const DECOY: i64 = 200;

/// Spreads whole numbers as a hash does.
fn mix(n: i64) -> i64 {
    let n = ((n ^ (n >> 31)) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((n ^ (n >> 29)) >> 8) as i64
}

/// One event: its number within the bucket, and its bucket.
type Event = dyn Fn(i64, i64) -> Value;

/// A job with its events.
struct Module {
    name: &'static str,
    analysis: Value,
    datafeed: Value,
    /// How many events that are wanted a bucket has.
    rate: fn(i64) -> i64,
    event: Box<Event>,
    /// Makes an event one that the query does not select.
    unwanted: Value,
    /// What the first record must say.
    expected: Value,
}

fn steady(bucket: i64) -> i64 {
    20 + mix(bucket) % 5
}

fn spike(bucket: i64) -> i64 {
    if bucket == PLANTED {
        120
    } else {
        steady(bucket)
    }
}

fn quiet(bucket: i64) -> i64 {
    if bucket == PLANTED { 1 } else { steady(bucket) }
}

/// The events of a module, in order, decoys among them.
fn events(module: &Module) -> String {
    let mut lines = String::new();
    for bucket in 0..BUCKETS {
        let wanted = (module.rate)(bucket);
        let unwanted = if bucket == DECOY { 400 } else { 10 };
        for n in 0..wanted + unwanted {
            let mut event = (module.event)(n, bucket);
            let at = START_MS + bucket * SPAN_MS + n * SPAN_MS / (wanted + unwanted);
            event["@timestamp"] = json!(EventTime(at).to_string());
            if n >= wanted {
                let fields = module.unwanted.as_object().unwrap();
                fields
                    .iter()
                    .for_each(|(key, value)| event[key] = value.clone());
            }
            lines.push_str(&event.to_string());
            lines.push('\n');
        }
    }
    lines
}

/// The record with the highest score.
fn first_record(module: &Module) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: String, text: String| {
        std::fs::write(folder.path().join(&name), text).expect("a file");
        folder.path().join(name)
    };
    let job = json!({
        "job_type": "anomaly_detector", "description": module.name, "groups": ["module"], "allow_lazy_open": true,
        "analysis_config": module.analysis,
        "analysis_limits": {"model_memory_limit": "64mb"},
        "data_description": {"time_field": "@timestamp", "time_format": "epoch_ms"},
        "custom_settings": {"created_by": "ml-module"},
    });
    let mut datafeed =
        json!({"job_id": "JOB_ID", "indices": ["INDEX_PATTERN_NAME"], "max_empty_searches": 10});
    let own = module.datafeed.as_object().expect("an object").clone();
    datafeed.as_object_mut().expect("an object").extend(own);
    let job = write(format!("{}.json", module.name), job.to_string());
    write(
        format!("datafeed_{}.json", module.name),
        datafeed.to_string(),
    );
    let input = write("events.ndjson".into(), events(module));
    let detected = Command::new(env!("CARGO_BIN_EXE_tidewatch"))
        .arg("detect")
        .args([&job, &input])
        .args(["--kinds", "record"])
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&detected.stderr);
    assert!(detected.status.success(), "{}: {said}", module.name);
    let lines = String::from_utf8(detected.stdout).expect("UTF-8");
    let records = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a document"));
    let score = |record: &Value| record["record_score"].as_f64().unwrap_or(0.0);
    records
        .max_by(|a, b| score(a).total_cmp(&score(b)))
        .unwrap_or_else(|| panic!("{}: no record", module.name))
}

fn histogram(inner: Value) -> Value {
    json!({"buckets": {
        "date_histogram": {"field": "@timestamp", "fixed_interval": "15m", "offset": 0, "order": {"_key": "asc"}, "keyed": false, "min_doc_count": 0},
        "aggregations": inner,
    }})
}

fn web(n: i64, bucket: i64) -> Value {
    let address = if bucket == PLANTED {
        n
    } else {
        mix(n + bucket) % 8
    };
    let broken = n % 4 == 0 || bucket == PLANTED && n >= 20;
    json!({
        "event": {"dataset": "nginx.access"},
        "source": {"address": format!("10.0.0.{address}")},
        "http": {"response": {"status_code": if broken { 404 } else { 200 }}},
        "url": {"original": format!("/item/{}", mix(n) % 50)},
    })
}

fn web_modules() -> Vec<Module> {
    let nginx = json!({"bool": {"filter": [
        {"term": {"event.dataset": "nginx.access"}}, {"exists": {"field": "source.address"}}, {"exists": {"field": "url.original"}}, {"exists": {"field": "http.response.status_code"}},
    ]}});
    let unwanted = json!({"event": {"dataset": "nginx.error"}});
    vec![
        Module {
            name: "low_request_rate_ecs",
            analysis: json!({"bucket_span": "15m", "summary_count_field_name": "doc_count", "detectors": [{"function": "low_count"}], "influencers": []}),
            datafeed: json!({"query": nginx, "aggregations": histogram(json!({"@timestamp": {"max": {"field": "@timestamp"}}}))}),
            rate: quiet,
            event: Box::new(web),
            unwanted: unwanted.clone(),
            expected: json!({"function": "low_count", "actual": [1.0]}),
        },
        Module {
            name: "visitor_rate_ecs",
            analysis: json!({"bucket_span": "15m", "summary_count_field_name": "dc_source_address", "detectors": [{"function": "non_zero_count"}], "influencers": []}),
            datafeed: json!({"query": nginx, "aggregations": histogram(json!({"@timestamp": {"max": {"field": "@timestamp"}}, "dc_source_address": {"cardinality": {"field": "source.address"}}}))}),
            rate: spike,
            event: Box::new(web),
            unwanted: unwanted.clone(),
            expected: json!({"function": "non_zero_count", "actual": [120.0]}),
        },
        Module {
            name: "status_code_rate_ecs",
            analysis: json!({"bucket_span": "15m", "detectors": [{"function": "count", "partition_field_name": "http.response.status_code"}], "influencers": ["http.response.status_code", "source.address"]}),
            datafeed: json!({"query": nginx}),
            rate: spike,
            event: Box::new(web),
            unwanted,
            expected: json!({"partition_field_name": "http.response.status_code", "partition_field_value": "404", "actual": [105.0]}),
        },
    ]
}

fn host_modules() -> Vec<Module> {
    let on_host = |n: i64| format!("host-{}", n % 4);
    vec![
        Module {
            name: "high_mean_transaction_duration",
            analysis: json!({"bucket_span": "15m", "detectors": [{"function": "high_mean", "field_name": "transaction.duration.us", "by_field_name": "transaction.type", "partition_field_name": "service.name"}], "influencers": ["transaction.type", "service.name"]}),
            datafeed: json!({"query": {"bool": {"filter": [{"term": {"processor.event": "transaction"}}, {"exists": {"field": "transaction.duration"}}]}}}),
            rate: steady,
            event: Box::new(|n, bucket| {
                let slow = bucket == PLANTED && n % 2 == 1;
                let us = 40_000 + mix(n * 1000 + bucket) % 20_000 + if slow { 400_000 } else { 0 };
                json!({"processor": {"event": "transaction"}, "service": {"name": if n % 2 == 0 { "cart" } else { "pay" }}, "transaction": {"type": "request", "duration": {"us": us}}})
            }),
            unwanted: json!({"processor": {"event": "span"}, "transaction": {"type": "request", "duration": {"us": 9_000_000}}}),
            expected: json!({"partition_field_value": "pay", "by_field_value": "request", "function": "high_mean"}),
        },
        Module {
            name: "docker_high_count_process_events_ecs",
            analysis: json!({"bucket_span": "15m", "detectors": [{"function": "high_count", "partition_field_name": "container.name"}], "influencers": ["container.name", "process.executable"]}),
            datafeed: json!({"query": {"bool": {"filter": [{"term": {"agent.type": "auditbeat"}}], "must": [{"exists": {"field": "container.runtime"}}], "must_not": {"terms": {"process.name": ["kworker", "idle"]}}}}}),
            rate: spike,
            event: Box::new(|n, bucket| {
                let one = bucket == PLANTED && n >= 20;
                json!({"agent": {"type": "auditbeat"}, "container": {"name": if one || n % 2 == 0 { "db" } else { "web" }, "runtime": "docker"}, "process": {"name": format!("p{}", n % 5), "executable": format!("/bin/p{}", n % 5)}})
            }),
            unwanted: json!({"process": {"name": ["x", "kworker"]}}),
            expected: json!({"partition_field_value": "db", "function": "high_count"}),
        },
        Module {
            name: "max_disk_utilization_ecs",
            analysis: json!({"bucket_span": "15m", "detectors": [{"function": "max", "field_name": "system.filesystem.used.pct", "partition_field_name": "host.name"}], "influencers": ["host.name"]}),
            datafeed: json!({"query": {"bool": {"filter": [{"term": {"event.dataset": {"value": "system.filesystem"}}}, {"exists": {"field": "system.filesystem.used"}}]}}}),
            rate: steady,
            event: Box::new(move |n, bucket| {
                let full = bucket == PLANTED && n % 4 == 2;
                let used = if full {
                    0.99
                } else {
                    0.4 + (mix(n * 977 + bucket) % 100) as f64 / 1000.0
                };
                json!({"event.dataset": "system.filesystem", "host": {"name": on_host(n)}, "system": {"filesystem": {"used": {"pct": used}}}})
            }),
            unwanted: json!({"system": {"filesystem": {"used": {"pct": null}}, "memory": {"used": {"pct": 5}}}}),
            expected: json!({"partition_field_value": "host-2", "actual": [0.99]}),
        },
        Module {
            name: "auth_high_count_logon_events_for_a_source_ip",
            analysis: json!({"bucket_span": "15m", "detectors": [{"function": "high_non_zero_count", "by_field_name": "source.ip"}], "influencers": ["source.ip", "user.name"], "model_prune_window": "30d"}),
            datafeed: json!({"query": {"bool": {"filter": [{"term": {"event.category": "authentication"}}], "must_not": [{"terms": {"source.ip": ["127.0.0.0/8", "::1"]}}, {"terms": {"_tier": ["data_frozen", "data_cold"]}}]}}}),
            rate: spike,
            event: Box::new(|n, bucket| {
                let ip = if bucket == PLANTED && n >= 20 {
                    "10.1.1.3".to_owned()
                } else {
                    format!("10.1.1.{}", n % 4)
                };
                json!({"event": {"category": ["authentication", "session"], "outcome": "success"}, "source": {"ip": ip}, "user": {"name": format!("u{}", n % 9)}})
            }),
            unwanted: json!({"source": {"ip": "0:0:0:0:0:0:0:1"}}),
            expected: json!({"by_field_value": "10.1.1.3", "function": "high_non_zero_count"}),
        },
        Module {
            name: "hosts_network_in",
            analysis: json!({"bucket_span": "15m", "summary_count_field_name": "doc_count", "detectors": [{"function": "max", "field_name": "bytes_in_derivative", "partition_field_name": "host.name"}], "influencers": ["host.name"], "model_prune_window": "30d"}),
            datafeed: json!({
                "query": {"bool": {"must": [{"exists": {"field": "system.network"}}]}},
                "chunking_config": {"mode": "manual", "time_span": "900s"},
                "aggregations": {"host.name": {"terms": {"field": "host.name", "size": 100}, "aggregations": histogram(json!({
                    "@timestamp": {"max": {"field": "@timestamp"}},
                    "bytes_in_max": {"max": {"field": "system.network.in.bytes"}},
                    "bytes_in_derivative": {"derivative": {"buckets_path": "bytes_in_max"}},
                    "positive_only": {"bucket_script": {"buckets_path": {"in_derivative": "bytes_in_derivative.value"}, "script": "params.in_derivative > 0.0 ? params.in_derivative : 0.0"}},
                }))}},
            }),
            rate: steady,
            event: Box::new(move |n, bucket| {
                // A counter that only grows; host-1 receives ten times as much in the planted bucket.
                let more = if n % 4 == 1 && bucket >= PLANTED {
                    90_000
                } else {
                    0
                };
                let bytes = bucket * 10_000 + mix(bucket * 7 + n % 4) % 1000 + more;
                json!({"host": {"name": on_host(n)}, "system": {"network": {"in": {"bytes": bytes}}}})
            }),
            unwanted: json!({"system": {"cpu": {"in": {"bytes": 1_000_000_000}}}}),
            expected: json!({"partition_field_value": "host-1", "field_name": "bytes_in_derivative"}),
        },
    ]
}

fn check(modules: &[Module]) {
    for module in modules {
        let record = first_record(module);
        let bucket = (record["timestamp"].as_i64().unwrap_or(0) - START_MS) / SPAN_MS;
        assert_eq!(bucket, PLANTED, "{}: {record}", module.name);
        for (key, value) in module.expected.as_object().expect("an object") {
            assert_eq!(&record[key], value, "{}: {key} of {record}", module.name);
        }
    }
}

#[test]
fn modules_over_web_logs_find_what_was_planted() {
    check(&web_modules());
}

#[test]
fn modules_over_hosts_find_what_was_planted() {
    check(&host_modules());
}
