//! The part of `analysis_config` about log messages.
//!
//! Source: job-config.md 1.3 and 1.5. As in Elastic, filters become `pattern_replace` character filters of the analyzer, which a response shows.

use super::analyzer;
use super::detector::{RawDetector, invalid_field_name};
use super::object::{Object, kind_of, shown};
use crate::config::categorization::{Analyzer, CharFilter, MLCATEGORY};
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeSet;

/// The field that holds the messages.
pub(super) const FIELD: &str = "categorization_field_name";

/// The categorization properties as written.
pub(super) struct RawCategorization {
    pub(super) field: String,
    pub(super) analyzer: Analyzer,
    /// `per_partition_categorization`, when enabled: the partition field, and `stop_on_warn`.
    pub(super) per_partition: Option<(String, bool)>,
    /// `per_partition_categorization` as a response shows it.
    pub(super) per_partition_document: Option<Value>,
}

/// Reads the categorization properties and checks their use by the detectors.
pub(super) fn read(object: &Object<'_>, detectors: &[RawDetector]) -> Option<RawCategorization> {
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
    let filters = read_filters(object, field.is_some());
    let analyzer = read_analyzer(object, field.is_some());
    let stop_on_warn = read_per_partition(object, field.is_some(), &users, detectors);
    let mut analyzer = analyzer?;
    let replaced = |pattern| CharFilter::PatternReplace {
        pattern,
        replacement: String::new(),
    };
    analyzer
        .char_filters
        .extend(filters.into_iter().map(replaced));
    let partition = detectors
        .iter()
        .find_map(|detector| detector.names.partition.clone());
    Some(RawCategorization {
        field: field?.to_owned(),
        analyzer,
        per_partition: partition.zip(stop_on_warn),
        per_partition_document: object.value("per_partition_categorization").cloned(),
    })
}

fn read_filters(object: &Object<'_>, has_field: bool) -> Vec<Regex> {
    const KEY: &str = "categorization_filters";
    let Some(filters) = object.texts(KEY) else {
        return Vec::new();
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
    let mut patterns = Vec::new();
    for (path, filter) in filters {
        if filter.is_empty() {
            object.wrong_at(path, "must not be empty");
        } else if !seen.insert(filter) {
            object.wrong_at(path, format!("{} stands twice", shown(filter)));
        } else {
            patterns.extend(analyzer::pattern(object, path, filter));
        }
    }
    patterns
}

/// The analyzer that is written, or the usual one.
fn read_analyzer(object: &Object<'_>, has_field: bool) -> Option<Analyzer> {
    const KEY: &str = "categorization_analyzer";
    if object.has(KEY) && !has_field {
        object.wrong(KEY, format!("needs {FIELD}"));
    }
    match object.value(KEY) {
        None => Some(Analyzer::default()),
        Some(Value::String(name)) => analyzer::named(object, KEY, name),
        Some(Value::Object(_)) => analyzer::read(object.object(KEY)?),
        Some(other) => {
            let message = format!(
                "must be an analyzer's name or an object, not {}",
                kind_of(other)
            );
            object.wrong(KEY, message);
            None
        }
    }
}

/// `stop_on_warn`, if there is to be one categorizer a partition.
fn read_per_partition(
    object: &Object<'_>,
    has_field: bool,
    users: &[&RawDetector],
    detectors: &[RawDetector],
) -> Option<bool> {
    const KEY: &str = "per_partition_categorization";
    let settings = object.object(KEY)?;
    let enabled = settings.boolean("enabled").unwrap_or(false);
    let stop_on_warn = settings.boolean("stop_on_warn").unwrap_or(false);
    if stop_on_warn && !enabled {
        settings.wrong("stop_on_warn", "cannot be true without enabled: true");
    }
    settings.finish();
    if !enabled {
        return None;
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
    Some(stop_on_warn)
}
