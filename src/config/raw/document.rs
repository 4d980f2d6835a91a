//! A job as a response shows it: defaults filled in, aliases resolved, keys in Elastic's order.
//!
//! Source: job-config.md 1.2 (order, conventions). Times echo what was written; the memory limit is in `mb`. `job_version`,
//! `create_time` and their like are the service's to add. Holds: read again, a document is the same job (property in
//! `tests/config.rs`), so nothing is shown that a request could not say.

use super::RawJob;
use super::analysis::Analysis;
use super::analyzer;
use super::detector::RawDetector;
use super::rules::RawRule;
use super::sections::RawExtensions;
use serde_json::{Map, Value, json};

/// Properties in the order in which they are put; absent ones are left out.
#[derive(Default)]
struct Properties(Map<String, Value>);

impl Properties {
    fn put(&mut self, key: &str, value: impl Into<Value>) -> &mut Properties {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    fn put_some(&mut self, key: &str, value: Option<impl Into<Value>>) -> &mut Properties {
        if let Some(value) = value {
            self.put(key, value);
        }
        self
    }

    fn take(&mut self) -> Value {
        Value::Object(std::mem::take(&mut self.0))
    }
}

/// The document of `raw`.
pub(super) fn render(raw: &RawJob) -> Value {
    let retention = &raw.retention;
    let persist = retention.background_persist_interval.as_ref();
    let has_groups = !raw.groups.is_empty();
    Properties::default()
        .put("job_id", raw.id.as_str())
        .put("job_type", "anomaly_detector")
        .put_some("custom_settings", raw.custom_settings.clone())
        .put_some(
            "datafeed_config",
            raw.datafeed
                .as_ref()
                .map(|datafeed| datafeed.document.clone()),
        )
        .put_some("groups", has_groups.then(|| json!(raw.groups)))
        .put_some("description", raw.description.as_deref())
        .put("analysis_config", analysis(&raw.analysis))
        .put(
            "analysis_limits",
            json!({
                "model_memory_limit": format!("{}mb", raw.limits.memory_mb),
                "categorization_examples_limit": raw.limits.categorization_examples,
            }),
        )
        .put("data_description", data_description(raw))
        .put_some("model_plot_config", model_plot(raw))
        .put_some(
            "renormalization_window_days",
            retention.renormalization_window_days,
        )
        .put_some(
            "background_persist_interval",
            persist.map(|time| time.text.as_str()),
        )
        .put(
            "model_snapshot_retention_days",
            retention.model_snapshot_days,
        )
        .put_some(
            "daily_model_snapshot_retention_after_days",
            retention.daily_model_snapshot_after_days,
        )
        .put_some("results_retention_days", retention.results_days)
        .put("results_index_name", raw.results_index_name.as_str())
        .put("allow_lazy_open", raw.allow_lazy_open)
        .put_some(
            "tidewatch",
            raw.extensions.as_ref().map(RawExtensions::render),
        )
        .take()
}

fn analysis(analysis: &Analysis) -> Value {
    let text = |time: &Option<_>| {
        time.as_ref()
            .map(|time: &crate::config::time_text::TimeText| time.text.clone())
    };
    let categorization = analysis.categorization.as_ref();
    let detectors: Vec<Value> = (0..)
        .zip(&analysis.detectors)
        .map(|(at, d)| detector(at, d))
        .collect();
    Properties::default()
        .put_some("bucket_span", text(&analysis.bucket_span))
        .put_some(
            "categorization_field_name",
            categorization.map(|one| one.field.as_str()),
        )
        .put_some(
            "categorization_analyzer",
            categorization.map(|one| analyzer::render(&one.analyzer)),
        )
        .put_some(
            "per_partition_categorization",
            categorization.and_then(|one| one.per_partition_document.clone()),
        )
        .put_some("latency", text(&analysis.latency))
        .put_some(
            "summary_count_field_name",
            analysis.summary_count_field.as_deref(),
        )
        .put("detectors", detectors)
        .put("influencers", json!(analysis.influencers))
        .put_some("multivariate_by_fields", analysis.multivariate_by_fields)
        .put_some("model_prune_window", text(&analysis.prune_window))
        .take()
}

fn detector(index: usize, detector: &RawDetector) -> Value {
    let names = &detector.names;
    Properties::default()
        .put("detector_description", detector.description.as_str())
        .put("function", detector.function.name())
        .put_some("field_name", names.field.as_deref())
        .put_some("by_field_name", names.by.as_deref())
        .put_some("over_field_name", names.over.as_deref())
        .put_some("partition_field_name", names.partition.as_deref())
        .put_some("use_null", detector.use_null.then_some(true))
        .put_some("exclude_frequent", detector.exclude_frequent)
        .put_some("custom_rules", rules(detector))
        .put("detector_index", index)
        .take()
}

fn rules(detector: &RawDetector) -> Option<Value> {
    let rules = detector.rules.iter().map(RawRule::render);
    (!detector.rules.is_empty()).then(|| rules.collect())
}

/// Beside a datafeed the format is always shown; without one, leaving it out means to go by what the values are.
fn data_description(raw: &RawJob) -> Value {
    let written = raw.data_description.time_format.as_deref();
    let assumed = raw.datafeed.is_some().then_some("epoch_ms");
    Properties::default()
        .put("time_field", raw.data_description.time_field.as_str())
        .put_some("time_format", written.or(assumed))
        .take()
}

fn model_plot(raw: &RawJob) -> Option<Value> {
    let plot = raw.model_plot.as_ref()?;
    let document = Properties::default()
        .put("enabled", plot.enabled)
        .put_some("terms", plot.terms.as_deref())
        .put("annotations_enabled", plot.annotations_enabled)
        .take();
    Some(document)
}
