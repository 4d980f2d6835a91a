//! The smaller sections: `analysis_limits`, `data_description`, `model_plot_config`, `tidewatch`.
//!
//! Source: job-config.md 1.6 to 1.8; `tidewatch` is ours ([`Extensions`]). Checked: `tests/config.rs`.

use super::alerts;
use super::analysis::{Analysis, TIME_MS_MAX};
use super::calendars::{self, Place, RawCalendar};
use super::detector::RawDetector;
use super::filters::{self, RawFilter};
use super::input;
use super::late;
use super::object::{Grain, Object, kind_of, shown};
use super::start;
use super::suggest::nearest;
use crate::config::alerts::AlertWords;
use crate::config::extensions::Extensions;
use crate::config::function::Family;
use crate::config::{byte_size, time_pattern};
use crate::time::Zone;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Elastic's default for new jobs.
const MEMORY_MB_DEFAULT: u64 = 1024;
/// More than a pebibyte is a slip of the pen.
const MEMORY_MB_MAX: u64 = 1 << 30;

/// `analysis_limits`.
pub(super) struct Limits {
    /// At least 1.
    pub(super) memory_mb: u64,
    pub(super) categorization_examples: i64,
}

/// Reads `analysis_limits`.
pub(super) fn read_limits(object: Option<Object<'_>>) -> Limits {
    let mut limits = Limits {
        memory_mb: MEMORY_MB_DEFAULT,
        categorization_examples: 4,
    };
    let Some(object) = object else {
        return limits;
    };
    if let Some(mb) = read_memory_mb(&object) {
        limits.memory_mb = mb;
    }
    if let Some(examples) = object.integer("categorization_examples_limit", 0..=i64::MAX) {
        limits.categorization_examples = examples;
    }
    object.finish();
    limits
}

fn read_memory_mb(object: &Object<'_>) -> Option<u64> {
    const KEY: &str = "model_memory_limit";
    let mb = match object.value(KEY)? {
        Value::String(text) => match byte_size::parse(text) {
            Ok(bytes) => bytes >> 20,
            Err(error) => {
                object.wrong(KEY, error.to_string());
                return None;
            }
        },
        Value::Number(number) => number.as_f64().unwrap_or_default() as u64, // negative: 0
        other => {
            let message = format!(
                "must be an amount such as \"512mb\", not {}",
                kind_of(other)
            );
            object.wrong(KEY, message);
            return None;
        }
    };
    match mb {
        0 => object.wrong(KEY, "is less than 1mb, the least that is allowed"),
        mb if mb > MEMORY_MB_MAX => {
            object.wrong(KEY, "is more than 1024tb, the most that is allowed")
        }
        _ => return Some(mb),
    }
    None
}

/// Counts since 1970 that a `time_format` may name: of seconds and milliseconds, as Elastic has them, and of what journald, OpenTelemetry and tracers write.
const EPOCHS: [&str; 4] = ["epoch", "epoch_ms", "epoch_us", "epoch_ns"];

/// What others call a format, as this one takes it: mappings and ingest pipelines of Elasticsearch, Logstash, Fluent Bit, Python.
fn meant_by(format: &str) -> Option<String> {
    let plain = format.to_ascii_lowercase().replace(['-', ' '], "_");
    let plain = plain.trim_start_matches("strict_");
    let unit = ["epoch_", "unix_", "unixtime_"]
        .into_iter()
        .find_map(|prefix| plain.strip_prefix(prefix));
    let epoch = match (plain, unit) {
        ("unix" | "unixtime", _) => "epoch",
        (_, Some(unit)) if unit.starts_with("milli") || unit == "ms" => "epoch_ms",
        (_, Some(unit)) if unit.starts_with("micro") || unit == "us" => "epoch_us",
        (_, Some(unit)) if unit.starts_with("nano") || unit == "ns" => "epoch_ns",
        (_, Some(unit)) if unit.starts_with("sec") || unit == "s" => "epoch",
        _ if plain.contains("iso8601")
            || plain.contains("rfc3339")
            || plain.starts_with("date_") =>
        {
            return Some("ISO 8601 is read without a time_format: leave it out".to_owned());
        }
        _ if format.contains('%') => {
            return Some(
                "patterns are java.time's: %Y-%m-%d %H:%M:%S is \"yyyy-MM-dd HH:mm:ss\"".to_owned(),
            );
        }
        _ => return None,
    };
    Some(format!("did you mean \"{epoch}\"?"))
}

/// `data_description`.
pub(super) struct DataDescription {
    pub(super) time_field: String,
    /// As written: one of [`EPOCHS`] or a pattern.
    pub(super) time_format: Option<String>,
}

/// Reads `data_description`.
pub(super) fn read_data_description(object: Object<'_>) -> DataDescription {
    let time_field = object.name("time_field").unwrap_or("time").to_owned();
    if let Some(message) = super::detector::invalid_field_name(&time_field) {
        object.wrong("time_field", message);
    }
    let time_format = object.text("time_format");
    if let Some(format) = time_format
        && !EPOCHS.contains(&format)
        && let Err(error) = time_pattern::check(format)
    {
        let meant =
            meant_by(format).map(|meant| format!("{} is no format here; {meant}", shown(format)));
        object.wrong(
            "time_format",
            meant.unwrap_or_else(|| format!("{} {error}", shown(format))),
        );
    }
    if let Some(format) = object.text("format")
        && !["xcontent", "delimited"].contains(&format.to_ascii_lowercase().as_str())
    {
        object.wrong(
            "format",
            format!("{} is not \"xcontent\", the only format", shown(format)),
        );
    }
    for key in ["field_delimiter", "quote_character"] {
        object.text(key); // of the days of delimited input: read over
    }
    object.finish();
    DataDescription {
        time_field,
        time_format: time_format.map(str::to_owned),
    }
}

/// `model_plot_config`.
pub(super) struct RawModelPlot {
    pub(super) enabled: bool,
    pub(super) terms: Option<String>,
    pub(super) annotations_enabled: bool,
}

impl RawModelPlot {
    /// The values that `terms` lists, without blanks around them; `None` means every series.
    pub(super) fn term_values(&self) -> Option<Vec<String>> {
        let values = self.terms.as_deref()?.split(',').map(str::trim);
        let values: Vec<String> = values
            .filter(|v| !v.is_empty())
            .map(str::to_owned)
            .collect();
        (!values.is_empty()).then_some(values)
    }
}

/// Reads `model_plot_config`; `None` when it does not say whether it is enabled (which is noted).
pub(super) fn read_model_plot(object: Object<'_>) -> Option<RawModelPlot> {
    let enabled = object.boolean("enabled");
    if !object.has("enabled") {
        object.wrong("enabled", "is missing; true or false");
    }
    let terms = object.text("terms").map(str::to_owned);
    let annotations_enabled = object.boolean("annotations_enabled");
    object.finish();
    let enabled = enabled?;
    Some(RawModelPlot {
        enabled,
        terms,
        annotations_enabled: annotations_enabled.unwrap_or(enabled),
    })
}

/// `tidewatch`, with the words for responses.
pub(super) struct RawExtensions {
    pub(super) values: Extensions,
    pub(super) alerts: AlertWords,
    /// `filters`, and those from beside the job that its rules speak of.
    pub(super) filters: BTreeMap<String, RawFilter>,
    /// `calendars`, and those from beside the job that it is in.
    pub(super) calendars: BTreeMap<String, RawCalendar>,
    document: Value,
}

impl Default for RawExtensions {
    fn default() -> RawExtensions {
        let values = Extensions::default();
        RawExtensions {
            document: json!({
                "keyed_by_partition_field": false, "max_future_skew": "1d", "shards": values.shards,
                "idle_timeout": "30s", "interim_interval": "10s",
            }),
            values,
            alerts: AlertWords::default(),
            filters: BTreeMap::new(),
            calendars: BTreeMap::new(),
        }
    }
}

impl RawExtensions {
    /// As a response shows it.
    pub(super) fn render(&self) -> Value {
        let mut document = self.document.clone();
        if !self.filters.is_empty() {
            document["filters"] = self.filters.values().map(RawFilter::render).collect();
        }
        if !self.calendars.is_empty() {
            let calendars = self.calendars.iter();
            document["calendars"] = calendars.map(|(id, one)| one.render(id)).collect();
        }
        document
    }
}

/// Reads `tidewatch`.
pub(super) fn read_extensions(object: Object<'_>, analysis: Option<&Analysis>) -> RawExtensions {
    let RawExtensions {
        mut values,
        mut filters,
        mut calendars,
        mut document,
        ..
    } = RawExtensions::default();
    if let Some(keyed) = object.boolean("keyed_by_partition_field") {
        values.keyed_by_partition_field = keyed;
        document["keyed_by_partition_field"] = keyed.into();
        if keyed && let Some(analysis) = analysis {
            check_keyed(&object, analysis);
        }
    }
    if let Some(shards) = object.integer("shards", 1..=i64::from(Extensions::SHARDS_MAX)) {
        values.shards = shards as u16; // in range, just checked
        document["shards"] = shards.into();
    }
    for (key, least_ms, value) in [
        ("max_future_skew", 0, &mut values.max_future_skew_ms),
        ("idle_timeout", 1, &mut values.idle_timeout_ms),
        ("interim_interval", 0, &mut values.interim_interval_ms),
    ] {
        if let Some(time) = object.time(key, Grain::Millis, least_ms..=TIME_MS_MAX) {
            *value = time.ms;
            document[key] = time.text.into();
        }
    }
    if let Some(zone) = read_time_zone(&object, analysis) {
        values.time_zone = zone;
        document["time_zone"] = zone.name().into();
    }
    if let Some(window) = late::read(&object, analysis) {
        values.late_revision_ms = window.ms;
        document[late::KEY] = window.text.into();
    }
    let alerts = object.object("alerts").map(alerts::read);
    if let Some(written) = object.value("alerts") {
        document["alerts"] = written.clone();
    }
    if let Some(written) = object.value("start").cloned()
        && let Some(start) = start::read(&object)
    {
        values.start = start;
        document["start"] = written;
    }
    if let Some(input) = input::read(&object) {
        values.input = input;
        input::render(input, &mut document);
    }
    let written = object.elements("filters").unwrap_or_default();
    filters::read_all(written, object.report(), &mut filters);
    let written = object.elements("calendars").unwrap_or_default();
    let place = (Place::Job, chrono_tz::Tz::UTC);
    calendars::read_all(written, place, object.report(), &mut calendars);
    object.finish();
    RawExtensions {
        values,
        alerts: alerts.unwrap_or_default(),
        filters,
        calendars,
        document,
    }
}

/// `time_zone`; `None` when it is not said, or wrong (which is noted).
fn read_time_zone(object: &Object<'_>, analysis: Option<&Analysis>) -> Option<Zone> {
    const KEY: &str = "time_zone";
    let name = object.text(KEY)?;
    let zone = Zone::from_name(name);
    if zone.is_none() {
        let hint = match nearest(name, Zone::names()) {
            Some(near) => format!("; did you mean {near:?}?"),
            None => "; \"Europe/Berlin\" and \"America/New_York\" are some".to_owned(),
        };
        object.wrong(KEY, format!("{} is not a time zone{hint}", shown(name)));
    }
    let asks_when =
        |one: &RawDetector| matches!(one.function.family, Family::TimeOfDay | Family::TimeOfWeek);
    if let Some(analysis) = analysis
        && !analysis.detectors.iter().any(asks_when)
    {
        let message = "needs a detector that asks when: \"time_of_day\" or \"time_of_week\"";
        object.wrong(KEY, message);
    }
    zone
}

/// A key decides for a whole event, so every detector must split by the same field.
fn check_keyed(object: &Object<'_>, analysis: &Analysis) {
    let partition = |at: usize| analysis.detectors[at].names.partition.as_deref();
    let count = analysis.detectors.len();
    let message = match (0..count).find(|&at| partition(at).is_none()) {
        Some(at) => format!(
            "needs a partition field in every detector; {} has none",
            analysis.detectors[at].path
        ),
        None if (1..count).all(|at| partition(at) == partition(0)) => return,
        None => "needs the same partition field in every detector".to_owned(),
    };
    object.wrong("keyed_by_partition_field", message);
}
