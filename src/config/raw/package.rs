//! Jobs as people keep them: not only the body of a request, but a job and its datafeed in two files, a Kibana module, an export.
//!
//! ```text
//! {analysis_config...}                               the request's body
//! {"id": ..., "config": {analysis_config...}}        an element of a module
//! {"job": {...}, "datafeed": {...}}, or a list       what Kibana exports
//! {"jobs": [...], "datafeeds": [...]}                a module
//! ```
//!
//! A file of several jobs is asked for one of them: `module.json#visitor_rate`. A job file without a datafeed takes the one that modules put beside
//! it: `visitor_rate.json` and `datafeed_visitor_rate.json`. Placeholders (`INDEX_PATTERN_NAME`, `JOB_ID`) stand for what is not said.

use super::datafeed::PLACEHOLDER_JOB;
use super::object::{Report, shown};
use super::text;
use serde_json::{Map, Value};
use std::io;
use std::path::{Path, PathBuf};

/// What was read of files.
pub(super) struct Package {
    /// What mistakes begin with.
    pub(super) name: String,
    /// The body; `None` when it cannot be told (which is noted).
    pub(super) body: Option<Value>,
    /// The job's id if the body has none.
    pub(super) stem: Option<String>,
}

/// Reads a job file, and its datafeed's if it has one of its own.
pub(super) fn read(path: &Path, datafeed: Option<&Path>, report: &Report) -> io::Result<Package> {
    let (path, wanted) = split(path);
    let text = std::fs::read_to_string(&path)?;
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let mut package = Package {
        name: path.display().to_string(),
        body: text::parse(&text, report)
            .and_then(|value| unpacked(value, wanted.as_deref(), report)),
        stem: wanted.or(stem.map(str::to_owned)),
    };
    let has_own = |body: &Value| body.get("datafeed_config").is_some();
    let beside = beside(&path).filter(|_| !package.body.as_ref().is_some_and(has_own));
    let Some(datafeed) = datafeed.map(Path::to_owned).or(beside) else {
        return Ok(package);
    };
    let text = std::fs::read_to_string(&datafeed).map_err(|error| {
        io::Error::new(error.kind(), format!("{}: {error}", datafeed.display()))
    })?;
    package.name = format!("{} with {}", package.name, datafeed.display());
    let feed = text::parse(&text, report).map(inner);
    if let (Some(Value::Object(body)), Some(feed)) = (&mut package.body, feed)
        && body.insert("datafeed_config".to_owned(), feed).is_some()
    {
        report.wrong(
            "datafeed_config",
            "stands in the job's file too; leave one of the two out",
        );
    }
    Ok(package)
}

/// A file's name, and which of its jobs is wanted: what follows a `#`, unless there is a file of the whole name.
fn split(path: &Path) -> (PathBuf, Option<String>) {
    let parts = path.to_str().and_then(|text| text.rsplit_once('#'));
    match parts {
        Some((file, wanted)) if !path.exists() => (file.into(), Some(wanted.to_owned())),
        _ => (path.to_owned(), None),
    }
}

/// The datafeed's file beside a job's.
fn beside(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let datafeed = path.with_file_name(format!("datafeed_{name}"));
    datafeed.is_file().then_some(datafeed)
}

/// The ids of the jobs in a file; none if it cannot be read.
pub(super) fn ids(path: &Path) -> Vec<String> {
    let report = Report::default();
    let value = std::fs::read_to_string(path)
        .ok()
        .and_then(|text| text::parse(&text, &report));
    value.map_or_else(Vec::new, |value| jobs_of(value).iter().map(id_of).collect())
}

/// The jobs that a file's value holds.
fn jobs_of(value: Value) -> Vec<Value> {
    match value {
        Value::Array(list) if !list.is_empty() && list.iter().all(Value::is_object) => {
            list.into_iter().map(one).collect()
        }
        Value::Object(mut module) if module.get("jobs").is_some_and(Value::is_array) => {
            let datafeeds = module.remove("datafeeds");
            of_module(module.remove("jobs"), datafeeds)
        }
        value => vec![one(value)],
    }
}

/// The body of a request in whatever it is wrapped.
pub(super) fn unpacked(value: Value, wanted: Option<&str>, report: &Report) -> Option<Value> {
    if value.get("kafka").is_some() && value.get("analysis_config").is_none() {
        let message = "is a service's configuration, not a job: it is read with --config";
        report.wrong("", message);
        return None;
    }
    let mut jobs = jobs_of(value);
    let ids: Vec<String> = jobs.iter().map(id_of).collect();
    let list = || {
        ids.iter()
            .map(|id| shown(id))
            .collect::<Vec<_>>()
            .join(", ")
    };
    match wanted {
        Some(wanted) => match ids.iter().position(|id| id == wanted) {
            Some(at) => return Some(jobs.swap_remove(at)),
            None => {
                let message = format!("has no job {}; it has {}", shown(wanted), list());
                report.wrong("", message);
            }
        },
        None if jobs.len() == 1 => return jobs.pop(),
        None if jobs.is_empty() => report.wrong("", "holds no job"),
        None => {
            let message = format!(
                "holds {} jobs ({}); name one of them behind a #, as in FILE#{}",
                ids.len(),
                list(),
                ids[0]
            );
            report.wrong("", message);
        }
    }
    None
}

/// A job of any wrapping but a module's.
fn one(value: Value) -> Value {
    let Value::Object(mut object) = value else {
        return value;
    };
    if let (Some(Value::Object(_)), true) = (object.get("job"), object.len() <= 2) {
        let mut body = object.remove("job").unwrap_or_default();
        if let (Some(body), Some(datafeed)) = (body.as_object_mut(), object.remove("datafeed")) {
            body.insert("datafeed_config".to_owned(), datafeed);
        }
        return body;
    }
    inner(Value::Object(object))
}

/// `config`, where it is wrapped beside an `id`.
fn inner(value: Value) -> Value {
    match value {
        Value::Object(mut object) if object.get("config").is_some_and(Value::is_object) => {
            let mut config = object.remove("config").unwrap_or_default();
            if let (Some(config), Some(id)) = (config.as_object_mut(), object.remove("id"))
                && config.contains_key("analysis_config")
                && !config.contains_key("job_id")
            {
                config.insert("job_id".to_owned(), id);
            }
            config
        }
        value => value,
    }
}

/// The jobs of a module, each with the datafeed that names it, or whose id is the job's behind `datafeed-`.
fn of_module(jobs: Option<Value>, datafeeds: Option<Value>) -> Vec<Value> {
    let list = |value: Option<Value>| match value {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    };
    let mut datafeeds: Vec<Value> = list(datafeeds);
    let jobs = list(jobs).into_iter().map(|job| {
        let mut job = inner(job);
        let id = id_of(&job);
        let of_job = |feed: &Value| {
            let config = feed.get("config").unwrap_or(feed);
            let named = config.get("job_id").and_then(Value::as_str);
            let own = feed
                .get("id")
                .or(config.get("datafeed_id"))
                .and_then(Value::as_str);
            named == Some(&id)
                || named.is_none_or(|named| named == PLACEHOLDER_JOB)
                    && own.and_then(|own| own.strip_prefix("datafeed-")) == Some(&id)
        };
        let at = datafeeds.iter().position(of_job);
        if let (Some(job), Some(at)) = (job.as_object_mut(), at) {
            job.insert("datafeed_config".to_owned(), inner(datafeeds.remove(at)));
        }
        job
    });
    jobs.collect()
}

fn id_of(job: &Value) -> String {
    let id = job
        .as_object()
        .and_then(|job: &Map<_, _>| job.get("job_id"));
    id.and_then(Value::as_str).unwrap_or("?").to_owned()
}
