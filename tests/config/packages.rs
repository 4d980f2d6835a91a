//! Jobs and datafeeds as people keep them: two files, a module, an export.

use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;
use tidewatch::config::query::Query;
use tidewatch::config::{ConfigErrors, Job};

/// A job as a module of Kibana has it: without an id.
fn visitors() -> Value {
    json!({
        "job_type": "anomaly_detector",
        "groups": ["nginx"],
        "analysis_config": {
            "bucket_span": "15m", "summary_count_field_name": "dc_source_address", "influencers": [],
            "detectors": [{"function": "non_zero_count", "detector_description": "Detect unusual visitor rates"}],
        },
        "data_description": {"time_field": "@timestamp", "time_format": "epoch_ms"},
        "custom_settings": {"created_by": "ml-module-nginx-access", "custom_urls": []},
    })
}

fn datafeed() -> Value {
    json!({
        "job_id": "JOB_ID", "indices": ["INDEX_PATTERN_NAME"], "max_empty_searches": 10,
        "query": {"bool": {"filter": [{"term": {"event.dataset": "nginx.access"}}]}},
        "aggregations": {"buckets": {
            "date_histogram": {"field": "@timestamp", "fixed_interval": "15m", "offset": 0, "order": {"_key": "asc"}, "keyed": false, "min_doc_count": 0},
            "aggregations": {
                "@timestamp": {"max": {"field": "@timestamp"}},
                "dc_source_address": {"cardinality": {"field": "source.address"}},
            },
        }},
    })
}

fn folder(files: &[(&str, &Value)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, value) in files {
        std::fs::write(folder.path().join(name), value.to_string()).expect("a file");
    }
    folder
}

fn is_whole(job: &Job) -> bool {
    job.feed.query != Query::All && job.feed.counted_by.is_some() && job.datafeed.is_none()
}

fn refusal(read: Result<Job, ConfigErrors>, folder: &TempDir) -> String {
    let text = read.expect_err("is no job").to_string();
    text.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn a_job_takes_the_datafeed_that_stands_beside_it() {
    let folder = folder(&[
        ("visitor_rate.json", &visitors()),
        ("datafeed_visitor_rate.json", &datafeed()),
        ("alone.json", &visitors()),
    ]);
    let at = |name: &str| folder.path().join(name);
    let job = Job::from_file(at("visitor_rate.json")).unwrap();
    assert!(is_whole(&job) && job.id == "visitor_rate");
    let alone = Job::from_file(at("alone.json")).unwrap();
    assert_eq!(alone.feed.query, Query::All);
    let named = at("datafeed_visitor_rate.json");
    assert!(is_whole(
        &Job::from_files(at("alone.json"), Some(&named)).unwrap()
    ));
    let absent = Job::from_files(at("alone.json"), Some(Path::new("no.json")));
    assert!(refusal(absent, &folder).contains("alone.json: cannot be read: no.json: "));
}

#[test]
fn modules_and_exports_hold_jobs_that_are_asked_for_by_id() {
    let with_id = |id: &str| json!({"id": id, "config": visitors()});
    let mut feed = datafeed();
    feed["job_id"] = json!("visitors");
    let mut exported = visitors();
    exported["job_id"] = json!("exported");
    let folder = folder(&[
        ("one.json", &json!({"id": "one", "config": visitors()})),
        (
            "export.json",
            &json!([{"job": exported, "datafeed": datafeed()}]),
        ),
        (
            "module.json",
            &json!({
                "id": "nginx", "title": "Nginx",
                "jobs": [with_id("other"), with_id("visitors"), with_id("third")],
                "datafeeds": [{"id": "datafeed-visitors", "config": feed}, {"id": "datafeed-third", "config": datafeed()}],
            }),
        ),
    ]);
    let read = |name: &str| Job::from_file(folder.path().join(name));
    assert_eq!(read("one.json").unwrap().id, "one");
    let export = read("export.json").unwrap();
    assert!(is_whole(&export) && export.id == "exported");
    for (name, whole) in [("visitors", true), ("third", true), ("other", false)] {
        let job = read(&format!("module.json#{name}")).unwrap();
        assert_eq!((job.id.as_str(), is_whole(&job)), (name, whole));
    }
    assert_eq!(
        refusal(read("module.json"), &folder),
        "module.json: holds 3 jobs (\"other\", \"visitors\", \"third\"); name one of them behind a #, as in FILE#other"
    );
    assert_eq!(
        refusal(read("module.json#nobody"), &folder),
        "module.json: has no job \"nobody\"; it has \"other\", \"visitors\", \"third\""
    );
    let service =
        json!({"kafka": {"properties": {"bootstrap.servers": "localhost:9092"}}, "jobs": ["jobs"]});
    let service = self::folder(&[("tidewatch.json", &service)]);
    assert_eq!(
        refusal(
            Job::from_file(service.path().join("tidewatch.json")),
            &service
        ),
        "tidewatch.json: is a service's configuration, not a job: it is read with --config"
    );
}

#[test]
fn what_is_wrong_with_a_datafeed_names_both_files() {
    let mut feed = datafeed();
    feed["query"] = json!({"bool": {"filter": [{"trem": {"a": 1}}]}});
    let folder = folder(&[("v.json", &visitors()), ("datafeed_v.json", &feed)]);
    let refusal = refusal(Job::from_file(folder.path().join("v.json")), &folder);
    assert_eq!(
        refusal,
        "v.json with datafeed_v.json: datafeed_config.query.bool.filter[0].trem: is not a query clause; did you mean \"term\"?"
    );
    let two = json!({"job": visitors(), "datafeed": datafeed()});
    let folder = self::folder(&[("w.json", &two)]);
    let named = folder.path().join("w.json");
    let both = Job::from_files(&named, Some(&named));
    assert!(both.is_err());
}

#[test]
fn an_index_with_a_wildcard_means_all_topics_like_it_and_is_shown_as_written() {
    let text = json!({
        "job_id": "rates", "analysis_config": {"bucket_span": "15m", "detectors": [{"function": "count"}]},
        "data_description": {},
        "datafeed_config": {"indices": ["filebeat-*", "logs-*.access", "plain"]},
    });
    let job = Job::from_text(&text.to_string(), "rates.json").expect("a job");
    let topics = &job.datafeed.as_ref().expect("a datafeed").topics;
    assert_eq!(topics[..], ["^filebeat-.*$", r"^logs-.*\.access$", "plain"]);
    let shown = serde_json::to_string(&job.document).expect("JSON");
    assert!(shown.contains(r#""indices":["filebeat-*","logs-*.access","plain"]"#));
}

const CONSOLE: &str = r##"# From the manual
PUT _ml/anomaly_detectors/rates?pretty
{
  "analysis_config": {"bucket_span": "15m", "detectors": [{"function": "low_count"}]},
  "data_description": {"time_field": "@timestamp"}
}

PUT /_ml/datafeeds/datafeed-rates
{
  "job_id": "rates",
  "indices": ["web-logs"],
  "query": {"term": {"event.dataset": "nginx.access"}}
}
"##;

#[test]
fn requests_of_the_console_are_a_job_and_its_datafeed() {
    let job = Job::from_text(CONSOLE, "notes.txt").unwrap();
    assert_eq!(job.id, "rates");
    assert_eq!(job.datafeed.expect("a datafeed").topics, ["web-logs"]);
    assert_ne!(job.feed.query, Query::All);

    let alone = CONSOLE.split("PUT /").next().unwrap();
    let job = Job::from_text(alone, "notes.txt").unwrap();
    assert!(job.id == "rates" && job.datafeed.is_none());
}

#[test]
fn a_mistake_in_a_request_is_told_by_its_line_in_the_file() {
    for (from, to, expected) in [
        ("\"15m\",", "\"15m\"", "line 4, column "),
        (
            "PUT /_ml/datafeeds/datafeed-rates",
            "POST _ml/datafeeds/_preview",
            "line 8: \"POST _ml/datafeeds/_preview\" creates neither a job nor a datafeed; leave it out",
        ),
        (
            "\"analysis_config\"",
            "\"job_id\": \"other\", \"analysis_config\"",
            "job_id: \"other\" differs from the request's \"rates\"",
        ),
    ] {
        let text = CONSOLE.replace(from, to);
        let error = Job::from_text(&text, "notes.txt")
            .expect_err(from)
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
}
