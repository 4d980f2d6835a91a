//! Requests as Kibana's console and Elastic's manual show them: a line with method and path, a body below it.
//!
//! ```text
//! PUT _ml/anomaly_detectors/ID        the job's id stands in the path
//! { "analysis_config": ... }
//! PUT _ml/datafeeds/datafeed-ID       and perhaps its datafeed
//! { "job_id": "ID", ... }
//! ```
//!
//! What comes out is the body, or a module where there are several ([`package`](super::package)). Lines keep their numbers. Checked: `tests/config.rs`.

use super::object::{Report, shown};
use super::text;
use serde_json::{Value, json};

/// One request of a text.
struct Request<'t> {
    line: usize,
    head: &'t str,
    /// What is created, and its id; `None` for any other request.
    creates: Option<(Kind, &'t str)>,
    /// The body, below as many empty lines as stand before it in the text.
    body: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Job,
    Datafeed,
}

const METHODS: [&str; 4] = ["PUT", "POST", "GET", "DELETE"];

/// Whether the text is requests rather than a body: its first line of any meaning is a request's.
pub(super) fn is_console(text: &str) -> bool {
    let is_said = |line: &&str| !line.trim().is_empty() && !is_comment(line);
    text.lines().find(is_said).is_some_and(is_head)
}

/// Reads the requests; `None` if there is nothing to go on with, which is then noted.
pub(super) fn read(text: &str, report: &Report) -> Option<Value> {
    let (mut jobs, mut datafeeds) = (Vec::new(), Vec::new());
    for request in requests(text) {
        let Some((kind, id)) = request.creates else {
            let message = format!(
                "{} creates neither a job nor a datafeed; leave it out",
                shown(request.head)
            );
            report.wrong(format!("line {}", request.line), message);
            continue;
        };
        let mut body = text::parse(&request.body, report)?;
        let (key, list) = match kind {
            Kind::Job => ("job_id", &mut jobs),
            Kind::Datafeed => ("datafeed_id", &mut datafeeds),
        };
        if let Some(object) = body.as_object_mut() {
            let written = object.entry(key).or_insert_with(|| id.into());
            if written.as_str().is_some_and(|written| written != id) {
                let message = format!("{written} differs from the request's {id:?}");
                report.wrong(key, message);
            }
        }
        list.push(body);
    }
    Some(match (jobs.len(), datafeeds.len()) {
        (1, 0) => jobs.remove(0),
        (0, 1) => datafeeds.remove(0),
        _ => json!({"jobs": jobs, "datafeeds": datafeeds}),
    })
}

fn requests(text: &str) -> Vec<Request<'_>> {
    let mut requests: Vec<Request<'_>> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if is_head(line) {
            requests.push(Request {
                line: at + 1,
                head: line.trim(),
                creates: creates(line),
                body: "\n".repeat(at + 1),
            });
        } else if let Some(request) = requests.last_mut() {
            let kept = if is_comment(line) { "" } else { line };
            request.body.push_str(kept);
            request.body.push('\n');
        }
    }
    requests
}

/// Comments of the console; none can begin a line of JSON.
fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with('#') || line.starts_with("//")
}

/// The path of a request line, if it is one.
fn path_of(line: &str) -> Option<(&str, &str)> {
    let (method, path) = line.trim().split_once([' ', '\t'])?;
    let method = METHODS
        .into_iter()
        .find(|one| one.eq_ignore_ascii_case(method))?;
    let path = path.trim().trim_start_matches('/');
    (path.starts_with("_ml/") || path.starts_with("_xpack/ml/")).then_some((method, path))
}

fn is_head(line: &str) -> bool {
    path_of(line).is_some()
}

fn creates(line: &str) -> Option<(Kind, &str)> {
    let (method, path) = path_of(line)?;
    let path = path.split('?').next().unwrap_or_default();
    let path = path
        .strip_prefix("_xpack/ml/")
        .or(path.strip_prefix("_ml/"))?;
    let (kind, id) = path.trim_end_matches('/').split_once('/')?;
    let kind = match kind {
        "anomaly_detectors" => Kind::Job,
        "datafeeds" => Kind::Datafeed,
        _ => return None,
    };
    (method == "PUT" && !id.contains('/')).then_some((kind, id))
}
