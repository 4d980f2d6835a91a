//! What somebody wrote, and everything that is wrong with it; when nothing is, the [`Job`] it means.
//!
//! ```text
//! text ──► JSON value ──► sections, as written ──► Job
//!  text.rs     object.rs     one file a section      build.rs, document.rs
//! ```
//!
//! Reading never stops at a mistake: each is noted with its path, and a job is built only when none was. The language is the body
//! of Elastic's request that creates a job (job-config.md 1.1 to 1.8), as JSON or YAML, plus our own `tidewatch` object.
//! Holds: no input panics (property in `tests/config.rs`); a job's document, read again, is the same job.

mod aggregations;
pub(super) mod alerts;
mod analysis;
mod analyzer;
mod build;
mod calendars;
mod categorization;
mod computed;
mod console;
mod datafeed;
mod detector;
mod document;
mod feed;
mod filters;
mod ics;
mod input;
mod late;
mod object;
mod package;
mod query;
mod recurrence;
mod rules;
mod sections;
mod shared;
pub(super) mod start;
pub(super) mod suggest;
mod text;

pub(crate) use feed::MULTI_FIELDS;
pub use shared::{Coming, Shared};

use super::error::{ConfigErrors, Mistake};
use super::id;
use super::job::Job;
use super::time_text::TimeText;
use analysis::{Analysis, TIME_MS_MAX};
use datafeed::RawDatafeed;
use object::{Grain, Object, Report, shown};
use sections::{DataDescription, Limits, RawExtensions, RawModelPlot};
use serde_json::Value;
use std::path::Path;

/// A job as written, defaults filled in; nothing in it is wrong once the report is empty.
struct RawJob {
    id: String,
    description: Option<String>,
    groups: Vec<String>,
    custom_settings: Option<Value>,
    analysis: Analysis,
    limits: Limits,
    data_description: DataDescription,
    model_plot: Option<RawModelPlot>,
    datafeed: Option<RawDatafeed>,
    extensions: Option<RawExtensions>,
    retention: Retention,
    results_index_name: String,
    allow_lazy_open: bool,
}

/// How long things are kept.
struct Retention {
    renormalization_window_days: Option<i64>,
    background_persist_interval: Option<TimeText>,
    model_snapshot_days: i64,
    daily_model_snapshot_after_days: Option<i64>,
    results_days: Option<i64>,
}

impl Job {
    /// The job that a create-job body means.
    pub fn from_value(body: &Value) -> Result<Job, ConfigErrors> {
        read_value(body, None, &Shared::default(), Report::default())
            .map_err(|mistakes| ConfigErrors::new(None, mistakes))
    }

    /// The job that a JSON or YAML text means. `name` is what the text is called, a file's path say: mistakes begin with it, and its
    /// stem is the job's id when the text has none.
    pub fn from_text(text: &str, name: &str) -> Result<Job, ConfigErrors> {
        Job::from_text_beside(text, name, &Shared::default())
    }

    /// The same, beside what several jobs share.
    pub fn from_text_beside(text: &str, name: &str, shared: &Shared) -> Result<Job, ConfigErrors> {
        let report = Report::default();
        let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str());
        let job = match text::parse(text, &report) {
            Some(value) => match package::unpacked(value, None, &report) {
                Some(body) => read_value(&body, stem, shared, report),
                None => Err(report.into_mistakes()),
            },
            None => Err(report.into_mistakes()),
        };
        job.map_err(|mistakes| ConfigErrors::new(Some(name.to_owned()), mistakes))
    }

    /// The job that a JSON or YAML file means; `FILE#ID` is one of several. If it has no datafeed and there is a file `datafeed_FILE` beside it, that
    /// is its datafeed.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Job, ConfigErrors> {
        Job::from_files(path, None)
    }

    /// The ids of the jobs that a file holds, whatever is wrong with them; none if it cannot be read.
    pub fn ids_in_file(path: impl AsRef<Path>) -> Vec<String> {
        package::ids(path.as_ref())
    }

    /// The same with a datafeed from a file of its own, if one is given.
    pub fn from_files(
        path: impl AsRef<Path>,
        datafeed: Option<&Path>,
    ) -> Result<Job, ConfigErrors> {
        Job::from_files_beside(path, datafeed, &Shared::default())
    }

    /// The same, beside what several jobs share.
    pub fn from_files_beside(
        path: impl AsRef<Path>,
        datafeed: Option<&Path>,
        shared: &Shared,
    ) -> Result<Job, ConfigErrors> {
        let path = path.as_ref();
        let report = Report::default();
        match package::read(path, datafeed, &report) {
            Ok(package) => match package.body {
                Some(body) => read_value(&body, package.stem.as_deref(), shared, report),
                None => Err(report.into_mistakes()),
            }
            .map_err(|mistakes| ConfigErrors::new(Some(package.name), mistakes)),
            Err(error) => Err(ConfigErrors::one(
                &path.display().to_string(),
                "",
                format!("cannot be read: {error}"),
            )),
        }
    }
}

fn read_value(
    body: &Value,
    stem: Option<&str>,
    shared: &Shared,
    report: Report,
) -> Result<Job, Vec<Mistake>> {
    let object = Object::new(String::new(), body, &report);
    let mut job = object.and_then(|object| read(object, stem));
    if let Some(job) = &mut job {
        shared.join(job, &report);
    }
    let mistakes = report.into_mistakes();
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    Ok(build::job(job.expect("what could not be read was noted")))
}

/// Reads everything; `None` when a required section is missing (which is noted).
fn read(object: Object<'_>, stem: Option<&str>) -> Option<RawJob> {
    let id = read_id(&object, stem);
    read_job_type(&object);
    let description = read_description(&object);
    let groups = read_groups(&object, id.as_deref());
    let analysis = section(&object, "analysis_config").map(analysis::read);
    let limits = sections::read_limits(object.object("analysis_limits"));
    let data_description =
        section(&object, "data_description").map(sections::read_data_description);
    if let (Some(analysis), Some(data)) = (&analysis, &data_description) {
        check_time_field(&object, analysis, &data.time_field);
    }
    let model_plot = object
        .object("model_plot_config")
        .and_then(sections::read_model_plot);
    let time_field = data_description.as_ref().map(|data| &*data.time_field);
    let datafeed = object.object("datafeed_config").and_then(|datafeed| {
        datafeed::read(datafeed, id.as_deref(), analysis.as_ref(), time_field)
    });
    let extensions = object
        .object("tidewatch")
        .map(|own| sections::read_extensions(own, analysis.as_ref()));
    if let (Some(own), Some(datafeed)) = (&extensions, &datafeed) {
        late::check_feed(&object, own, datafeed);
    }
    let retention = read_retention(&object);
    let results_index_name = read_results_index_name(&object);
    let allow_lazy_open = object.boolean("allow_lazy_open").unwrap_or(false);
    let custom_settings = object.free("custom_settings").cloned().map(Value::Object);
    object.finish();
    Some(RawJob {
        id: id?,
        description,
        groups,
        custom_settings,
        analysis: analysis?,
        limits,
        data_description: data_description?,
        model_plot,
        datafeed,
        extensions,
        retention,
        results_index_name,
        allow_lazy_open,
    })
}

/// A required object.
fn section<'a>(object: &Object<'a>, key: &'static str) -> Option<Object<'a>> {
    if !object.has(key) {
        object.value(key);
        object.wrong(key, "is missing");
    }
    object.object(key)
}

fn read_id(object: &Object<'_>, stem: Option<&str>) -> Option<String> {
    const KEY: &str = "job_id";
    if object.has(KEY) {
        let id = object.text(KEY)?;
        if let Err(error) = id::check(id) {
            object.wrong(KEY, error.to_string());
        }
        return Some(id.to_owned());
    }
    object.value(KEY);
    match stem {
        Some(stem) if id::check(stem).is_ok() => return Some(stem.to_owned()),
        Some(stem) => {
            let message = format!(
                "is missing, and the file's name, {}, is not an id",
                shown(stem)
            );
            object.wrong(KEY, message);
        }
        None => object.wrong(KEY, "is missing"),
    }
    None
}

/// Older exports carry a type; there is only one.
fn read_job_type(object: &Object<'_>) {
    if let Some(kind) = object
        .text("job_type")
        .filter(|kind| *kind != "anomaly_detector")
    {
        let message = format!("{} is not \"anomaly_detector\", the only type", shown(kind));
        object.wrong("job_type", message);
    }
}

fn read_description(object: &Object<'_>) -> Option<String> {
    match object.value("description") {
        Some(Value::Null) => None,
        _ => object.text("description").map(str::to_owned),
    }
}

fn read_groups(object: &Object<'_>, job_id: Option<&str>) -> Vec<String> {
    let groups = object.texts("groups").unwrap_or_default();
    for (path, group) in &groups {
        if let Err(error) = id::check(group) {
            object.wrong_at(path.clone(), error.to_string());
        } else if Some(*group) == job_id {
            let message = format!("{group:?} is the job's id; a group needs another name");
            object.wrong_at(path.clone(), message);
        }
    }
    groups
        .into_iter()
        .map(|(_, group)| group.to_owned())
        .collect()
}

fn read_results_index_name(object: &Object<'_>) -> String {
    const KEY: &str = "results_index_name";
    match object.text(KEY) {
        None | Some("shared") => "shared".to_owned(),
        Some(name) => {
            if let Err(error) = id::check(name) {
                object.wrong(KEY, error.to_string());
            }
            format!("custom-{}", name.strip_prefix("custom-").unwrap_or(name))
        }
    }
}

fn read_retention(object: &Object<'_>) -> Retention {
    const DAILY: &str = "daily_model_snapshot_retention_after_days";
    const ALL: &str = "model_snapshot_retention_days";
    let days = |key| object.integer(key, 0..=i64::MAX);
    let model_snapshot_days = days(ALL).unwrap_or(10);
    let daily = days(DAILY);
    if let Some(daily) = daily.filter(|daily| *daily > model_snapshot_days) {
        let message =
            format!("{daily} must not be more than {ALL}, which is {model_snapshot_days}");
        object.wrong(DAILY, message);
    }
    Retention {
        renormalization_window_days: days("renormalization_window_days"),
        background_persist_interval: object.time(
            "background_persist_interval",
            Grain::Seconds,
            3_600_000..=TIME_MS_MAX,
        ),
        model_snapshot_days,
        daily_model_snapshot_after_days: daily.or((model_snapshot_days > 1).then_some(1)),
        results_days: days("results_retention_days"),
    }
}

/// Time is not a value to analyse.
fn check_time_field(object: &Object<'_>, analysis: &Analysis, time_field: &str) {
    let of_detectors = analysis.detectors.iter().find_map(|detector| {
        let (key, _) = detector.names.all().find(|(_, name)| *name == time_field)?;
        Some(format!("{}.{key}", detector.path))
    });
    let user = of_detectors.or_else(|| {
        if analysis.influencers.iter().any(|name| name == time_field) {
            return Some("analysis_config.influencers".to_owned());
        }
        let messages = analysis.categorization.as_ref();
        let named = [
            (
                "summary_count_field_name",
                analysis.summary_count_field.as_deref(),
            ),
            (
                "categorization_field_name",
                messages.map(|one| one.field.as_str()),
            ),
        ];
        let (key, _) = named
            .into_iter()
            .find(|(_, name)| *name == Some(time_field))?;
        Some(format!("analysis_config.{key}"))
    });
    if let Some(user) = user {
        let message = format!(
            "{} is also analysed, as {user}; time cannot be",
            shown(time_field)
        );
        object.wrong_at("data_description.time_field".to_owned(), message);
    }
}
