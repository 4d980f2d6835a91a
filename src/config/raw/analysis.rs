//! `analysis_config`, and the rules between its parts.
//!
//! Source: job-config.md 1.3. Checked: `tests/config.rs`.

use super::categorization::{self, RawCategorization};
use super::detector::{self, RawDetector, invalid_field_name};
use super::object::{Grain, Object, shown};
use crate::config::function::Family;
use crate::config::time_text::TimeText;
use std::collections::{BTreeMap, BTreeSet};

/// The longest duration that a job may speak of: ten years of 365 days.
pub(super) const TIME_MS_MAX: i64 = 315_360_000_000;
const DAY_SECONDS: i64 = 86_400;
/// Field ids are 16 bits wide; a thousand detectors name at most four thousand fields.
const DETECTORS_MAX: usize = 1000;
const INFLUENCERS_MAX: usize = 1000;

/// `analysis_config` as written, defaults filled in.
pub(super) struct Analysis {
    /// `None` when it is wrong (which is noted).
    pub(super) bucket_span: Option<TimeText>,
    pub(super) latency: Option<TimeText>,
    /// `None` when it or the bucket span is wrong (which is noted).
    pub(super) prune_window: Option<TimeText>,
    pub(super) summary_count_field: Option<String>,
    pub(super) categorization: Option<RawCategorization>,
    pub(super) detectors: Vec<RawDetector>,
    pub(super) influencers: Vec<String>,
    pub(super) multivariate_by_fields: Option<bool>,
}

/// Reads `analysis_config`.
pub(super) fn read(object: Object<'_>) -> Analysis {
    let bucket_span = match object.has("bucket_span") {
        true => object.time("bucket_span", Grain::Seconds, 1000..=TIME_MS_MAX),
        false => {
            object.value("bucket_span");
            Some(TimeText::from_seconds(300))
        }
    };
    let prune_window = read_prune_window(&object, bucket_span.as_ref());
    let latency = object.time("latency", Grain::Seconds, 0..=TIME_MS_MAX);
    let detectors = read_detectors(&object);
    let summary_count_field = read_summary_count_field(&object, &detectors);
    let influencers = read_influencers(&object);
    let multivariate_by_fields = read_multivariate(&object, &detectors);
    let categorization = categorization::read(&object, &detectors);
    check_duplicates(&object, &detectors);
    check_nested_names(&object, &detectors, &influencers);
    object.finish();
    Analysis {
        bucket_span,
        latency,
        prune_window,
        summary_count_field,
        categorization,
        detectors,
        influencers: influencers.into_iter().map(|(_, name)| name).collect(),
        multivariate_by_fields,
    }
}

fn read_prune_window(object: &Object<'_>, span: Option<&TimeText>) -> Option<TimeText> {
    const KEY: &str = "model_prune_window";
    let given = object.time(KEY, Grain::Seconds, 0..=i64::from(u32::MAX) * 1000);
    let span = span?;
    if !object.has(KEY) {
        return Some(default_prune_window(span.ms / 1000));
    }
    let given = given?;
    let rule = match given.ms {
        ms if ms < 2 * span.ms => "at least two",
        ms if ms % span.ms != 0 => "a whole number of",
        _ => return Some(given),
    };
    let message = format!(
        "{:?} must be {rule} bucket spans ({:?})",
        given.text, span.text
    );
    object.wrong(KEY, message);
    None
}

/// The smallest multiple of the span that is at least 30 days, and at least 20 spans.
fn default_prune_window(span_seconds: i64) -> TimeText {
    let spans = (30 * DAY_SECONDS + span_seconds - 1) / span_seconds;
    TimeText::from_seconds(spans.max(20) * span_seconds)
}

fn read_detectors(object: &Object<'_>) -> Vec<RawDetector> {
    const KEY: &str = "detectors";
    let Some(written) = object.objects(KEY) else {
        if !object.has(KEY) {
            object.wrong(KEY, "is missing; a job needs at least one detector");
        }
        return Vec::new();
    };
    let elements = object.elements(KEY).map_or(0, |all| all.len());
    if elements == 0 {
        object.wrong(KEY, "is empty; a job needs at least one detector");
    }
    if elements > DETECTORS_MAX {
        let message = format!("has {elements} detectors; at most {DETECTORS_MAX} are allowed");
        object.wrong(KEY, message);
        return Vec::new();
    }
    written.into_iter().filter_map(detector::read).collect()
}

/// Whether by values are judged given one another. That has to mean something: some detector holds several by values of one partition against their own past.
fn read_multivariate(object: &Object<'_>, detectors: &[RawDetector]) -> Option<bool> {
    const KEY: &str = "multivariate_by_fields";
    let given = object.boolean(KEY);
    let goes_together = |detector: &RawDetector| {
        let family = detector.function.family;
        let is_measured = !family.is_habit() && !matches!(family, Family::Rare | Family::FreqRare);
        is_measured && detector.names.by.is_some() && detector.names.over.is_none()
    };
    if given == Some(true) && !detectors.is_empty() && !detectors.iter().any(goes_together) {
        let message = "needs a detector with by_field_name, without over_field_name, of a function that measures: \
                       not rare, freq_rare, time_of_day, time_of_week or lat_long";
        object.wrong(KEY, message);
    }
    given
}

fn read_summary_count_field(object: &Object<'_>, detectors: &[RawDetector]) -> Option<String> {
    const KEY: &str = "summary_count_field_name";
    let name = object.name(KEY)?;
    if let Some(message) = invalid_field_name(name) {
        object.wrong(KEY, message);
    }
    for detector in detectors {
        if detector.function.family == Family::Metric {
            let path = format!("{}.function", detector.path);
            object.wrong_at(path, format!("\"metric\" cannot be used with {KEY}"));
        }
    }
    Some(name.to_owned())
}

/// The influencers, each with where it stands.
fn read_influencers(object: &Object<'_>) -> Vec<(String, String)> {
    let written = object.texts("influencers").unwrap_or_default();
    if written.len() > INFLUENCERS_MAX {
        let message = format!(
            "has {} fields; at most {INFLUENCERS_MAX} are allowed",
            written.len()
        );
        object.wrong("influencers", message);
        return Vec::new();
    }
    for (path, name) in &written {
        if name.is_empty() {
            object.wrong_at(path.clone(), "must name a field, not be empty");
        } else if let Some(message) = invalid_field_name(name) {
            object.wrong_at(path.clone(), message);
        }
    }
    let owned = |(path, name): (String, &str)| (path, name.to_owned());
    written.into_iter().map(owned).collect()
}

/// Two detectors equal in everything but their position are one too many.
fn check_duplicates(object: &Object<'_>, detectors: &[RawDetector]) {
    let mut seen = BTreeMap::new();
    for detector in detectors {
        let key = (
            detector.function.name(),
            &detector.names,
            detector.use_null,
            detector.exclude_frequent,
            &detector.description,
        );
        if let Some(first) = seen.insert(key, &detector.path) {
            let message = format!(
                "is the same detector as {first} ({}); remove one of the two, or describe them differently",
                shown(&detector.description)
            );
            object.wrong_at(detector.path.clone(), message);
        }
    }
}

/// No split field or influencer may be the dotted beginning of another: it would have to be a value and an object at once.
fn check_nested_names(
    object: &Object<'_>,
    detectors: &[RawDetector],
    influencers: &[(String, String)],
) {
    let splits = detectors.iter().flat_map(|detector| {
        let place = |(key, name)| (format!("{}.{key}", detector.path), name);
        detector.names.splits().map(place)
    });
    let influencers = influencers
        .iter()
        .map(|(path, name)| (path.clone(), name.as_str()));
    let named = |(_, name): &(String, &str)| invalid_field_name(name).is_none();
    let terms: Vec<(String, &str)> = splits.chain(influencers).filter(named).collect();
    let names: BTreeSet<&str> = terms.iter().map(|(_, name)| *name).collect();
    for (path, name) in &terms {
        let parents = name.match_indices('.').map(|(dot, _)| &name[..dot]);
        for parent in parents.filter(|parent| names.contains(parent)) {
            let message = format!(
                "{} and {} cannot stand together: {} would be an object and a value at once",
                shown(parent),
                shown(name),
                shown(parent)
            );
            object.wrong_at(path.clone(), message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prune_window_is_thirty_days_or_twenty_spans_in_its_largest_unit() {
        for (span_seconds, text) in [
            (15 * 60, "30d"),
            (17 * 60, "43214m"),
            (40 * 3600, "800h"),
            (14 * DAY_SECONDS, "280d"),
            (1, "30d"),
        ] {
            assert_eq!(default_prune_window(span_seconds).text, text);
        }
    }
}
