//! The part of `analysis_config` about log messages: checked in full, then refused as not built yet.
//!
//! Source: job-config.md 1.3 and 1.5.

use super::detector::{RawDetector, invalid_field_name};
use super::object::{Object, kind_of, shown};
use serde_json::Value;
use std::collections::BTreeSet;

/// The field that holds a message's category.
const MLCATEGORY: &str = "mlcategory";
/// The field that holds the messages.
pub(super) const FIELD: &str = "categorization_field_name";

/// Checks the categorization properties and their use by the detectors.
pub(super) fn check(object: &Object<'_>, detectors: &[RawDetector]) {
    let field = object.name(FIELD);
    if let Some(message) = field.and_then(invalid_field_name) {
        object.wrong(FIELD, message);
    }
    let uses = |detector: &&RawDetector| detector.names.splits().any(|(_, n)| n == MLCATEGORY);
    let users: Vec<&RawDetector> = detectors.iter().filter(uses).collect();
    match (field, users.first()) {
        (Some(_), None) => object.wrong(
            FIELD,
            "is set, so some detector must have \"mlcategory\" as its by, over or partition field",
        ),
        (None, Some(detector)) => object.wrong(
            FIELD,
            format!(
                "must be set, because {} splits by \"mlcategory\"",
                detector.path
            ),
        ),
        _ => {}
    }
    check_filters(object, field.is_some());
    check_analyzer(object, field.is_some());
    check_per_partition(object, field.is_some(), &users, detectors);
    if field.is_some() {
        object.unsupported(FIELD, "categorization of log messages");
    }
}

fn check_filters(object: &Object<'_>, has_field: bool) {
    const KEY: &str = "categorization_filters";
    let Some(filters) = object.texts(KEY) else {
        return;
    };
    if !has_field {
        object.wrong(KEY, format!("needs {FIELD}"));
    }
    if object.has("categorization_analyzer") {
        object.wrong(
            KEY,
            "cannot be used with categorization_analyzer; add a pattern_replace char_filter there",
        );
    }
    let mut seen = BTreeSet::new();
    for (path, filter) in filters {
        if filter.is_empty() {
            object.wrong_at(path, "must not be empty");
        } else if !seen.insert(filter) {
            object.wrong_at(path, format!("{} stands twice", shown(filter)));
        } else if regex::Regex::new(filter).is_err() {
            let message = format!(
                "{} is not a regular expression (look-around and back references are not known)",
                shown(filter)
            );
            object.wrong_at(path, message);
        }
    }
}

fn check_analyzer(object: &Object<'_>, has_field: bool) {
    const KEY: &str = "categorization_analyzer";
    match object.value(KEY) {
        None | Some(Value::String(_)) => {}
        Some(Value::Object(_)) => {
            let Some(analyzer) = object.object(KEY) else {
                return;
            };
            if analyzer.value("tokenizer").is_none() {
                analyzer.wrong("tokenizer", "is missing; \"ml_standard\" is the usual one");
            }
            analyzer.elements("char_filter");
            analyzer.elements("filter");
            analyzer.finish();
        }
        Some(other) => {
            let message = format!(
                "must be an analyzer's name or an object, not {}",
                kind_of(other)
            );
            object.wrong(KEY, message);
        }
    }
    if object.has(KEY) && !has_field {
        object.wrong(KEY, format!("needs {FIELD}"));
    }
}

fn check_per_partition(
    object: &Object<'_>,
    has_field: bool,
    users: &[&RawDetector],
    detectors: &[RawDetector],
) {
    const KEY: &str = "per_partition_categorization";
    let Some(settings) = object.object(KEY) else {
        return;
    };
    let enabled = settings.boolean("enabled").unwrap_or(false);
    if settings.boolean("stop_on_warn") == Some(true) && !enabled {
        settings.wrong("stop_on_warn", "cannot be true without enabled: true");
    }
    settings.finish();
    if !enabled {
        return;
    }
    if !has_field {
        object.wrong(KEY, format!("needs {FIELD}"));
    }
    for detector in users {
        let path = format!("{}.partition_field_name", detector.path);
        match detector.names.partition.as_deref() {
            None => object.wrong_at(path, format!("must be set, because {KEY} is enabled")),
            Some(MLCATEGORY) => {
                object.wrong_at(
                    path,
                    format!("cannot be \"mlcategory\" while {KEY} is enabled"),
                );
            }
            Some(_) => {}
        }
    }
    let partitions: BTreeSet<&str> = detectors
        .iter()
        .filter_map(|detector| detector.names.partition.as_deref())
        .collect();
    if partitions.len() > 1 {
        let names: Vec<&str> = partitions.into_iter().collect();
        let message = format!(
            "needs one partition field for all detectors that have one, not {}",
            names.join(", ")
        );
        object.wrong(KEY, message);
    }
}
