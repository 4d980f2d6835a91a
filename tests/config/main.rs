//! Job configurations from outside: the samples, every rule's message, hostile input.
//!
//! Source of the rules: Elastic's reference, restated in docs/job-configuration.md. The rules' own table is `rules.txt`.

mod packages;
mod properties;
mod rules;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use tidewatch::config::{Job, MistakeKind, Start, TimeFormat};

/// A good job that says nothing needlessly.
fn web() -> Value {
    json!({
        "job_id": "web",
        "analysis_config": {
            "bucket_span": "15m",
            "detectors": [{"function": "mean", "field_name": "ms", "by_field_name": "host"}],
        },
        "data_description": {},
    })
}

/// `web`, changed by a JSON merge patch: null removes, objects merge, everything else replaces.
fn web_with(patch: Value) -> Value {
    let mut job = web();
    merge(&mut job, patch);
    job
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let properties = target.as_object_mut().expect("just made one");
    for (key, value) in patch {
        match value {
            Value::Null => drop(properties.shift_remove(&key)),
            value => merge(properties.entry(key).or_insert(Value::Null), value),
        }
    }
}

#[test]
fn every_sample_job_is_one() {
    let mut samples = 0;
    for entry in std::fs::read_dir("config/jobs").expect("the samples are part of the repository") {
        let path = entry.expect("a folder can be listed").path();
        let job = Job::from_file(&path).unwrap_or_else(|errors| panic!("{errors}"));
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        assert_eq!(stem, Some(job.id.as_str()));
        assert_eq!(job.warnings, [""; 0]);
        samples += 1;
    }
    assert!(samples >= 5);
}

#[test]
fn a_job_shows_its_defaults_and_resolves_its_aliases() {
    let job = Job::from_value(&json!({
        "job_id": "web",
        "job_type": "anomaly_detector",
        "groups": "ops",
        "description": null,
        "results_index_name": "web",
        "analysis_config": {
            "detectors": [
                {"function": "dc", "field_name": "ip", "by_field_name": "", "partition_field_name": "site.name", "use_null": "true", "detector_index": 7},
                {"field_name": "ms", "exclude_frequent": "BY", "by_field_name": "url"},
            ],
            "influencers": ["url", "user"],
        },
        "analysis_limits": {"model_memory_limit": "1.5gb"},
        "data_description": {"time_field": "@timestamp", "format": "delimited"},
        "datafeed_config": {"indexes": "logs", "query": {"bool": {"must": [{"match_all": {}}]}}},
        "tidewatch": {"interim_interval": "0s"},
    }))
    .unwrap();
    let expected = json!({
        "job_id": "web",
        "job_type": "anomaly_detector",
        "datafeed_config": {
            "datafeed_id": "web",
            "job_id": "web",
            "indices": ["logs"],
            "query": {"bool": {"must": [{"match_all": {}}]}},
            "scroll_size": 1000,
            "chunking_config": {"mode": "auto"},
            "delayed_data_check_config": {"enabled": true},
            "indices_options": {"expand_wildcards": ["open"], "ignore_unavailable": false, "allow_no_indices": true, "ignore_throttled": true},
        },
        "groups": ["ops"],
        "analysis_config": {
            "bucket_span": "5m",
            "detectors": [
                {
                    "detector_description": "distinct_count(ip) usenull=true partitionfield=\"site.name\"",
                    "function": "distinct_count",
                    "field_name": "ip",
                    "partition_field_name": "site.name",
                    "use_null": true,
                    "detector_index": 0,
                },
                {
                    "detector_description": "metric(ms) by url excludefrequent=by",
                    "function": "metric",
                    "field_name": "ms",
                    "by_field_name": "url",
                    "exclude_frequent": "by",
                    "detector_index": 1,
                },
            ],
            "influencers": ["url", "user"],
            "model_prune_window": "30d",
        },
        "analysis_limits": {"model_memory_limit": "1536mb", "categorization_examples_limit": 4},
        "data_description": {"time_field": "@timestamp", "time_format": "epoch_ms"},
        "model_snapshot_retention_days": 10,
        "daily_model_snapshot_retention_after_days": 1,
        "results_index_name": "custom-web",
        "allow_lazy_open": false,
        "tidewatch": {"keyed_by_partition_field": false, "max_future_skew": "1d", "shards": 4, "idle_timeout": "30s", "interim_interval": "0s"},
    });
    // As text, because the order of the keys is part of the promise.
    assert_eq!(
        serde_json::to_string_pretty(&job.document).unwrap(),
        serde_json::to_string_pretty(&expected).unwrap()
    );
    assert_eq!(job.fields, ["ip", "site.name", "ms", "url", "user"]);
    let names: Vec<&str> = job
        .influencers
        .iter()
        .map(|id| job.field_name(*id))
        .collect();
    assert_eq!(names, ["url", "user"]);
    assert_eq!(job.time_format, TimeFormat::Auto);
    assert_eq!(job.extensions.interim_interval_ms, 0);
}

#[test]
fn a_job_may_say_where_it_starts() {
    let start =
        |written: Value| Job::from_value(&web_with(json!({"tidewatch": {"start": written}})));
    let offsets = BTreeMap::from([(("a/b".to_owned(), 3), 42), (("logs".to_owned(), 0), 7)]);
    for (written, expected) in [
        (json!("earliest"), Start::Earliest),
        (json!("latest"), Start::Latest),
        (json!("1970-01-02"), Start::Time(86_400_000)),
        (json!("1970-01-01T01:00:01+01:00"), Start::Time(1_000)),
        (json!(1_700_000_000_000_i64), Start::Time(1_700_000_000_000)),
        (json!("1700000000000"), Start::Time(1_700_000_000_000)),
        (
            json!({"offsets": {"a/b/3": 42, "logs/0": 7}}),
            Start::Offsets(offsets),
        ),
    ] {
        let job = start(written.clone()).unwrap();
        assert_eq!(job.extensions.start, expected, "{written}");
        let again = Job::from_value(&job.document).unwrap();
        assert_eq!(again.extensions, job.extensions, "{written}");
    }
    for (written, says) in [
        (
            json!("yesterday"),
            "tidewatch.start: \"yesterday\" is not \"earliest\", \"latest\", a time",
        ),
        (
            json!(-1),
            "tidewatch.start: -1 is not a time in milliseconds",
        ),
        (json!(true), "tidewatch.start: must be \"earliest\""),
        (json!({}), "tidewatch.start.offsets: is missing"),
        (
            json!({"offsets": {"logs": 1}}),
            "tidewatch.start.offsets: \"logs\" is not topic/partition",
        ),
        (
            json!({"offsets": {"logs/0": "x"}}),
            "tidewatch.start.offsets: \"logs/0\": \"x\" is not an offset",
        ),
        (json!({"offset": {}}), "tidewatch.start.offset"),
    ] {
        let errors = start(written.clone()).unwrap_err().to_string();
        assert!(errors.contains(says), "{written}: {errors}");
    }
}

#[test]
fn durations_become_buckets() {
    for (patch, prune, renormalization) in [
        (json!({}), 2880, 2880),
        (json!({"analysis_config": {"bucket_span": "1d"}}), 30, 100),
        (
            json!({"analysis_config": {"model_prune_window": "30m"}}),
            2,
            2880,
        ),
        (json!({"renormalization_window_days": 0}), 2880, 0),
        (json!({"renormalization_window_days": 1}), 2880, 96),
        (
            json!({"renormalization_window_days": i64::MAX}),
            2880,
            u32::MAX,
        ),
        (
            json!({"renormalization_window_days": 1, "analysis_config": {"bucket_span": "7h"}}),
            103,
            4,
        ),
    ] {
        let job = Job::from_value(&web_with(patch.clone())).unwrap();
        let found = (job.prune_window_buckets, job.renormalization_window_buckets);
        assert_eq!(found, (prune, renormalization), "{patch}");
    }
}

#[test]
fn a_span_that_does_not_divide_a_day_is_accepted_with_a_warning() {
    for (span, warned) in [
        ("15m", false),
        ("1d", false),
        ("2d", false),
        ("7m", true),
        ("36h", true),
    ] {
        let job =
            Job::from_value(&web_with(json!({"analysis_config": {"bucket_span": span}}))).unwrap();
        assert_eq!(!job.warnings.is_empty(), warned, "{span}");
    }
}

#[test]
fn a_format_by_the_name_that_others_give_it_is_told_by_its_own() {
    for (format, meant) in [
        ("epoch_millis", "did you mean \"epoch_ms\"?"),
        ("epoch_second", "did you mean \"epoch\"?"),
        ("UNIX_MS", "did you mean \"epoch_ms\"?"),
        ("unix", "did you mean \"epoch\"?"),
        ("epoch_nanos", "did you mean \"epoch_ns\"?"),
        ("ISO8601", "leave it out"),
        ("strict_date_optional_time", "leave it out"),
        ("%Y-%m-%d %H:%M:%S", "\"yyyy-MM-dd HH:mm:ss\""),
        ("epoch:", "which means nothing in a pattern"),
    ] {
        let patch = json!({"data_description": {"time_format": format}});
        let mistakes = Job::from_value(&web_with(patch)).unwrap_err().to_string();
        assert!(mistakes.contains(meant), "{format}: {mistakes}");
    }
}

#[test]
fn beside_a_datafeed_epoch_ms_also_reads_iso_8601() {
    let feed = json!({"indices": ["logs"]});
    for (format, datafeed, expected) in [
        (Value::Null, Value::Null, TimeFormat::Auto),
        (json!("epoch_ms"), Value::Null, TimeFormat::EpochMillis),
        (json!("epoch_ms"), feed.clone(), TimeFormat::Auto),
        (json!("epoch"), feed.clone(), TimeFormat::Epoch),
        (json!("epoch_us"), feed.clone(), TimeFormat::EpochMicros),
        (json!("epoch_ns"), Value::Null, TimeFormat::EpochNanos),
        (
            json!("dd/MM/yyyy"),
            feed,
            TimeFormat::Pattern("dd/MM/yyyy".into()),
        ),
    ] {
        let patch =
            json!({"data_description": {"time_format": format}, "datafeed_config": datafeed});
        assert_eq!(
            Job::from_value(&web_with(patch)).unwrap().time_format,
            expected
        );
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = "analysis_config:\n  bucket_spam: 5m\n  detectors:\n  - {function: hihg_mean, field_name: x}\n  - {function: mean}\ngroups: [A]\n";
    let errors = Job::from_text(text, "jobs/My Job.yaml").unwrap_err();
    assert_eq!(
        errors.to_string(),
        "jobs/My Job.yaml: job_id: is missing, and the file's name, \"My Job\", is not an id\n\
         jobs/My Job.yaml: groups[0]: \"A\" is not an id: lower-case letters, digits, '_', '-' and '.', with a letter or digit at both ends\n\
         jobs/My Job.yaml: analysis_config.detectors[0].function: \"hihg_mean\" is not a function; did you mean \"high_mean\"?\n\
         jobs/My Job.yaml: analysis_config.detectors[1].field_name: must be set when \"mean\" is used\n\
         jobs/My Job.yaml: analysis_config.bucket_spam: unknown field; did you mean \"bucket_span\"?\n\
         jobs/My Job.yaml: data_description: is missing"
    );
    let paths: Vec<&str> = errors.iter().map(|(path, _)| path).collect();
    assert_eq!(paths[4], "analysis_config.bucket_spam");
}

#[test]
fn text_that_is_no_job_is_refused_with_its_place() {
    for (text, expected) in [
        ("", "web.json: is empty; "),
        ("[1]", "web.json: must be an object, not a list"),
        ("a: [1", "web.json: line "),
        ("{\"a\": 1,, }", "web.json: line 1, column 9: "),
        (
            "{\"job_id\": \"a\", \"job_id\": \"b\"}",
            "web.json: job_id: stands twice in its object",
        ),
    ] {
        let errors = Job::from_text(text, "web.json")
            .expect_err(text)
            .to_string();
        assert!(errors.starts_with(expected), "{text}: {errors}");
    }
    let folder = Job::from_file("config").unwrap_err().to_string();
    assert!(folder.starts_with("config: cannot be read: "), "{folder}");
}

#[test]
fn a_file_lends_its_name_to_a_job_without_one() {
    let text = web_with(json!({"job_id": null})).to_string();
    assert_eq!(
        Job::from_text(&text, "jobs/web-2.json").unwrap().id,
        "web-2"
    );
    let errors = Job::from_value(&web_with(json!({"job_id": null}))).unwrap_err();
    assert_eq!(errors.to_string(), "job_id: is missing");
}

#[test]
fn the_fingerprint_tells_what_changes_results_from_what_does_not() {
    let print = |patch: Value| Job::from_value(&web_with(patch)).unwrap().fingerprint;
    let own = print(json!({}));
    for same in [
        json!({"description": "other", "groups": ["ops"], "results_retention_days": 3}),
        json!({"analysis_config": {"bucket_span": "900s"}}),
        json!({"datafeed_config": {"indices": ["logs"]}}),
        json!({"tidewatch": {"interim_interval": "1m", "idle_timeout": "1m"}}),
        json!({"tidewatch": {"late_revision_window": "0s"}}),
        json!({"tidewatch": {"input": "json"}}),
        json!({"analysis_limits": {"model_memory_limit": "64mb"}}),
        json!({"tidewatch": {"shards": 8, "start": "latest"}}),
    ] {
        assert_eq!(print(same.clone()), own, "{same}");
    }
    for other in [
        json!({"job_id": "web2"}),
        json!({"analysis_config": {"bucket_span": "5m"}}),
        json!({"analysis_config": {"latency": "5m"}}),
        json!({"analysis_config": {"influencers": ["host"]}}),
        json!({"analysis_config": {"summary_count_field_name": "n"}}),
        json!({"analysis_config": {"model_prune_window": "2d"}}),
        json!({"analysis_config": {"detectors": [{"function": "high_mean", "field_name": "ms", "by_field_name": "host"}]}}),
        json!({"analysis_config": {"detectors": [{"function": "mean", "field_name": "ms", "partition_field_name": "host"}]}}),
        json!({"data_description": {"time_field": "at"}}),
        json!({"data_description": {"time_format": "epoch"}}),
        json!({"model_plot_config": {"enabled": true}}),
        json!({"renormalization_window_days": 0}),
        json!({"tidewatch": {"max_future_skew": "0s"}}),
        json!({"tidewatch": {"late_revision_window": "1h"}}),
        json!({"tidewatch": {"input": "text"}}),
        json!({"tidewatch": {"input": "text", "input_layout": "plain"}}),
    ] {
        assert_ne!(print(other.clone()), own, "{other}");
    }
    assert_eq!(own, STABLE, "snapshots of earlier builds carry this number");
}

/// The fingerprint of `web`, by the first build.
const STABLE: u64 = 14_750_452_164_785_878_316;

#[test]
fn a_mistake_says_whether_it_is_the_writers_or_ours() {
    let mapping = json!({"indices": ["web"], "runtime_mappings": {"a": {"type": "geo_point"}}});
    let detectors = json!([{"function": "lat_long"}]);
    let job =
        web_with(json!({"analysis_config": {"detectors": detectors}, "datafeed_config": mapping}));
    let errors = Job::from_value(&job).unwrap_err();
    let kinds: Vec<MistakeKind> = errors
        .mistakes()
        .iter()
        .map(|mistake| mistake.kind)
        .collect();
    assert_eq!(kinds, [MistakeKind::Invalid, MistakeKind::NotSupported]);
}

#[test]
fn a_thousand_detectors_are_enough() {
    let detectors = |count: usize| -> Value {
        let one = |at| json!({"function": "count", "by_field_name": format!("f{at}")});
        web_with(json!({"analysis_config": {"detectors": (0..count).map(one).collect::<Vec<_>>()}}))
    };
    assert_eq!(
        Job::from_value(&detectors(1000)).unwrap().fields.len(),
        1000
    );
    let errors = Job::from_value(&detectors(1001)).unwrap_err().to_string();
    assert_eq!(
        errors,
        "analysis_config.detectors: has 1001 detectors; at most 1000 are allowed"
    );
}

#[test]
fn null_is_not_a_way_to_leave_something_out() {
    let mut job = web();
    job["analysis_limits"] = Value::Null;
    job["groups"] = Value::Null;
    let errors = Job::from_value(&job).unwrap_err().to_string();
    assert_eq!(
        errors,
        "groups: must be a list, not null; leave it out instead\nanalysis_limits: must be an object, not null"
    );
}

/// The manual is held to what the reader knows: an unknown key makes it list the known ones, section by section.
#[test]
fn the_manual_explains_every_key_and_its_example_is_a_job() {
    let manual = std::fs::read_to_string("docs/job-configuration.md").expect("the manual is there");
    let yaml = manual
        .split("```yaml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let example = yaml.expect("the manual has an example");
    Job::from_text(example, "example.yaml").unwrap_or_else(|errors| panic!("{errors}"));

    let stranger = json!({"??": 1});
    let mut job = web_with(json!({
        "??": 1, "analysis_config": stranger, "analysis_limits": stranger, "data_description": stranger,
        "model_plot_config": stranger, "datafeed_config": stranger, "tidewatch": stranger,
    }));
    job["analysis_config"]["detectors"][0]["??"] = json!(1);
    let errors = Job::from_value(&job).unwrap_err();
    let lists = errors
        .iter()
        .filter_map(|(_, message)| message.split_once("known here: "));
    let keys: Vec<&str> = lists.flat_map(|(_, keys)| keys.split(", ")).collect();
    assert!(keys.len() > 60, "{keys:?}");
    for key in keys {
        assert!(
            manual.contains(&format!("`{key}`")),
            "{key} is not in the manual"
        );
    }
    for function in tidewatch::config::Function::names() {
        let family = function
            .trim_start_matches("high_")
            .trim_start_matches("low_");
        assert!(
            manual.contains(&format!("`{family}`")),
            "{function} is not in the manual"
        );
    }
}
