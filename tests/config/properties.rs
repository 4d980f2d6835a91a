//! What holds for any configuration: jobs drawn from what is allowed, and mutants of them.

use super::{merge, web};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use tidewatch::config::Job;

/// Every property, with values that are right beside any of the others.
#[rustfmt::skip]
fn choices() -> Vec<(&'static str, Vec<Value>)> {
    let detectors = [
        json!({"function": "mean", "field_name": "ms", "by_field_name": "host", "partition_field_name": "site", "use_null": true}),
        json!({"function": "nzc", "by_field_name": "user.name", "partition_field_name": "site", "exclude_frequent": "BY"}),
        json!({"function": "high_avg", "field_name": "ms", "partition_field_name": "site", "detector_description": "slow"}),
        json!({"function": "low_dc", "field_name": "a b", "partition_field_name": "site", "custom_rules": [{"actions": ["skip_model_update", "force_time_shift"], "conditions": [{"applies_to": "time", "operator": "gte", "value": 1.5}], "params": {"force_time_shift": {"time_shift_amount": -7200}}}, {"conditions": {"applies_to": "diff_from_typical", "operator": "LT", "value": 3}}]}),
    ];
    vec![
        ("description", vec![json!("x"), json!("")]),
        ("groups", vec![json!("ops"), json!(["a", "b"])]),
        ("results_index_name", vec![json!("shared"), json!("x"), json!("custom-y")]),
        ("analysis_config.bucket_span", vec![json!("1s"), json!("5m"), json!("7m"), json!("3600s"), json!("2d")]),
        ("analysis_config.latency", vec![json!("0"), json!("30s"), json!("1H")]),
        ("analysis_config.influencers", vec![json!([]), json!("host"), json!(["x.y", "ms", "x.y"])]),
        ("analysis_config.summary_count_field_name", vec![json!("n"), json!("")]),
        ("analysis_config.multivariate_by_fields", vec![json!(false)]),
        ("analysis_config.model_prune_window", vec![json!("420d")]),
        ("analysis_config.detectors", vec![json!(detectors[0]), json!(detectors[..2]), json!(detectors[1..]), json!(detectors)]),
        ("analysis_limits.model_memory_limit", vec![json!(64), json!("1.5gb"), json!("2048kb")]),
        ("analysis_limits.categorization_examples_limit", vec![json!(0)]),
        ("data_description.time_field", vec![json!("@timestamp"), json!("")]),
        ("data_description.time_format", vec![json!("epoch"), json!("epoch_ms"), json!("yyyy-MM-dd HH:mm:ss")]),
        ("model_plot_config", vec![json!({"enabled": true}), json!({"enabled": false, "annotations_enabled": true}), json!({"enabled": "true", "terms": "a, b"})]),
        ("renormalization_window_days", vec![json!(0), json!("30")]),
        ("background_persist_interval", vec![json!("4h")]),
        ("model_snapshot_retention_days", vec![json!(1), json!(20.0)]),
        ("results_retention_days", vec![json!(0), json!(90)]),
        ("allow_lazy_open", vec![json!(true)]),
        ("custom_settings", vec![json!({}), json!({"created_by": {"x": [1, null]}})]),
        ("datafeed_config", vec![json!({"indices": ["logs", "^web-"]}), json!({"indexes": "logs", "query": {"match_all": {}}, "chunking_config": {"mode": "OFF"}, "delayed_data_check_config": {"enabled": false}, "max_empty_searches": 10, "indices_options": {"expand_wildcards": "all"}}),
            json!({"indices": "logs", "query": {"bool": {"should": [{"query_string": {"query": "a:1 AND b:[2 TO *]"}}, {"range": {"t": {"gte": "now-1d/d"}}}], "must_not": {"exists": {"field": "x.y"}}}}, "runtime_mappings": {"host": {"type": "keyword", "script": "emit(doc['a'].value + '-' + doc['b'].value)"}}})]),
        ("tidewatch.keyed_by_partition_field", vec![json!(false)]),
        ("tidewatch.shards", vec![json!(1), json!(1024)]),
        ("tidewatch.filters", vec![json!([]), json!({"filter_id": "b", "items": ["x", "*y", "x"]}), json!([{"filter_id": "b", "description": "x"}, {"filter_id": "a", "items": []}])]),
        ("tidewatch.idle_timeout", vec![json!("500ms")]),
        ("tidewatch.max_future_skew", vec![json!("0"), json!("36h")]),
        ("tidewatch.input", vec![json!("json"), json!("text")]),
    ]
}

fn any_good() -> impl Strategy<Value = Value> {
    let (places, values): (Vec<_>, Vec<_>) = choices().into_iter().unzip();
    let values: Vec<_> = values
        .into_iter()
        .map(|values| prop::option::of(select(values)))
        .collect();
    values.prop_map(move |chosen| {
        let mut job = web();
        for (place, value) in places.iter().zip(chosen) {
            if let Some(value) = value {
                let nested = place
                    .rsplit('.')
                    .fold(value, |inner, key| json!({key: inner}));
                merge(&mut job, nested);
            }
        }
        job
    })
}

/// Words and values that mean something somewhere, so that mutants stay close to what is good.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![-2i64..2000, any::<i64>()].prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "",
            ".",
            "0",
            "1s",
            "15m",
            "30d",
            "64mb",
            "count",
            "mean",
            "metric",
            "rare",
            "nzc",
            "a",
            "a.b",
            "host",
            "ms",
            "mlcategory",
            "by",
            "all",
            "true",
            "^(",
            "^x",
            "*",
            "epoch_ms",
            "yyyy-MM-dd",
            "match_all",
            "_all",
        ])
        .prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((any_key(), inner), 0..3)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    let known = vec![
        "job_id",
        "groups",
        "analysis_config",
        "bucket_span",
        "detectors",
        "function",
        "field_name",
        "by_field_name",
        "partition_field_name",
        "over_field_name",
        "use_null",
        "exclude_frequent",
        "custom_rules",
        "influencers",
        "latency",
        "summary_count_field_name",
        "model_prune_window",
        "categorization_field_name",
        "per_partition_categorization",
        "enabled",
        "analysis_limits",
        "model_memory_limit",
        "data_description",
        "time_field",
        "time_format",
        "model_plot_config",
        "terms",
        "datafeed_config",
        "indices",
        "query",
        "bool",
        "must",
        "match_all",
        "chunking_config",
        "mode",
        "tidewatch",
        "shards",
        "idle_timeout",
        "keyed_by_partition_field",
        "scope",
        "conditions",
        "actions",
        "filter_id",
        "filters",
        "items",
        "params",
    ];
    prop_oneof![9 => prop::sample::select(known).prop_map(str::to_owned), 1 => ".{0,6}"]
}

/// Whether a job may have the pattern, and whether the decoder reads it.
fn verdicts(pattern: &str) -> (bool, bool) {
    let mut job = web();
    job["data_description"] = json!({"time_format": pattern});
    let compiled = tidewatch::decode::Pattern::new(pattern);
    (Job::from_value(&job).is_ok(), compiled.is_ok())
}

#[test]
fn a_job_may_have_exactly_the_letters_that_the_decoder_reads() {
    for letter in ('A'..='Z').chain('a'..='z') {
        for count in 1..16 {
            let letters = letter.to_string().repeat(count);
            let pattern = format!("yyyy-MM-dd a {letters}");
            let (allowed, read) = verdicts(&pattern);
            assert_eq!(allowed, read, "{pattern}");
        }
    }
}

/// Replaces, adds or removes something at a place that `path` picks.
fn mutate(value: &mut Value, path: &[prop::sample::Index], key: &str, new: Value) {
    let Some((step, rest)) = path.split_first() else {
        match (value, new) {
            (Value::Object(properties), new) => drop(properties.insert(key.to_owned(), new)),
            (Value::Array(elements), new) => elements.push(new),
            (leaf, new) => *leaf = new,
        }
        return;
    };
    match value {
        Value::Object(properties) if !properties.is_empty() => {
            let at = step.index(properties.len());
            let name = properties
                .keys()
                .nth(at)
                .expect("within its length")
                .clone();
            match (rest, new.is_null()) {
                ([], true) => drop(properties.shift_remove(&name)),
                _ => mutate(&mut properties[&name], rest, key, new),
            }
        }
        Value::Array(elements) if !elements.is_empty() => {
            let at = step.index(elements.len());
            mutate(&mut elements[at], rest, key, new);
        }
        leaf => *leaf = new,
    }
}

fn any_mutant() -> impl Strategy<Value = Value> {
    let path = prop::collection::vec(any::<prop::sample::Index>(), 0..5);
    let mutations = prop::collection::vec((path, any_key(), any_value()), 1..4);
    (any_good(), mutations).prop_map(|(mut job, mutations)| {
        for (path, key, new) in mutations {
            mutate(&mut job, &path, &key, new);
        }
        job
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_value_panics_and_what_is_refused_has_a_reason_on_one_line(body in prop_oneof![9 => any_mutant(), 1 => any_value()]) {
        if let Err(errors) = Job::from_value(&body) {
            for line in errors.to_string().lines() {
                prop_assert!(!line.is_empty() && line.len() < 2000, "{}", line);
            }
            prop_assert_eq!(errors.to_string().lines().count(), errors.mistakes().len());
        }
    }

    #[test]
    fn a_document_read_again_is_the_same_job(body in any_good()) {
        let job = Job::from_value(&body).map_err(|errors| TestCaseError::fail(errors.to_string()))?;
        let again = Job::from_value(&job.document).map_err(|errors| TestCaseError::fail(errors.to_string()))?;
        prop_assert_eq!(again.fingerprint, job.fingerprint);
        prop_assert_eq!(again.document, job.document);
        prop_assert_eq!(again.fields, job.fields);
        prop_assert_eq!(again.extensions, job.extensions);
    }

    #[test]
    fn a_job_means_the_same_as_json_and_as_yaml(body in prop_oneof![any_good(), any_mutant()]) {
        let yaml = serde_yaml_ng::to_string(&body).expect("every JSON value can be written as YAML");
        let (json, yaml) = (Job::from_text(&body.to_string(), "job.json"), Job::from_text(&yaml, "job.json"));
        prop_assert_eq!(json.map(|job| job.fingerprint), yaml.map(|job| job.fingerprint));
    }

    #[test]
    fn a_pattern_that_a_job_may_have_is_one_that_the_decoder_reads(
        parts in prop::collection::vec(select(vec!["yyyy", "MM", "dd", "D", "HH", "'T'", "'", "''", "[", "]", "[.SSS]", "{", "é"]), 0..9),
    ) {
        let pattern = parts.concat();
        let (allowed, read) = verdicts(&pattern);
        prop_assert!(read || !allowed, "{}", pattern);
    }

    #[test]
    fn no_text_panics(text in "[a-z:{}\\[\\], \"'\n&*!|>?0-9-]{0,60}") {
        let _ = Job::from_text(&text, "text.yaml");
    }
}
