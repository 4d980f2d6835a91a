//! `tidewatch validate FILES...`: is each of these a job, and if not, why not.
//!
//! One line a good file, one line a mistake, in the order of the files. The exit code is 1 as soon as one file is bad, so that a
//! pipeline can stop on it.

use crate::config::query::Query;
use crate::config::{Detector, Job};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Validates each file and prints the verdicts to standard output.
pub fn run(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let bad = report(files, &mut io::stdout().lock())?;
    Ok(match bad {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Writes the verdicts to `out`; how many files are bad.
fn report(files: &[PathBuf], out: &mut dyn Write) -> io::Result<usize> {
    let mut bad = 0;
    for file in files {
        match Job::from_file(file) {
            Ok(job) => {
                writeln!(out, "{}: ok: {}", file.display(), summary(&job))?;
                for warning in &job.warnings {
                    writeln!(out, "{}: warning: {warning}", file.display())?;
                }
            }
            Err(errors) => {
                bad += 1;
                writeln!(out, "{errors}")?;
            }
        }
    }
    Ok(bad)
}

/// A job in one line: detectors, span, splits, influencers, topics.
fn summary(job: &Job) -> String {
    let detectors: Vec<String> = job.detectors.iter().map(|d| describe(job, d)).collect();
    let span = job.document["analysis_config"]["bucket_span"].as_str();
    let mut text = format!(
        "{}, {}, every {}",
        job.id,
        detectors.join(" + "),
        span.unwrap_or_default()
    );
    let influencers: Vec<&str> = job
        .influencers
        .iter()
        .map(|id| job.field_name(*id))
        .collect();
    if !influencers.is_empty() {
        text.push_str(&format!(", influencers {}", influencers.join(" ")));
    }
    match &job.datafeed {
        Some(datafeed) => text.push_str(&format!(", topics {}", datafeed.topics.join(" "))),
        None => text.push_str(", no topics"),
    }
    if job.feed.query != Query::All {
        text.push_str(", selected by a query");
    }
    text
}

fn describe(job: &Job, detector: &Detector) -> String {
    let name = |id| job.field_name(id);
    let mut text = detector.function.name().to_owned();
    if let Some(field) = detector.field {
        text.push_str(&format!("({})", name(field)));
    }
    if let Some(by) = detector.by {
        text.push_str(&format!(" by {}", name(by)));
    }
    if let Some(partition) = detector.partition {
        text.push_str(&format!(" partition {}", name(partition)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_gets_its_verdict_and_bad_ones_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let good = file(
            "web.yaml",
            "analysis_config: {bucket_span: 7m, influencers: [user], detectors: [{function: mean, field_name: ms, by_field_name: host}, {function: dc, field_name: ip, partition_field_name: site}]}\n\
             data_description: {}\ndatafeed_config: {indices: [logs, ^web-]}\n",
        );
        let bad = file(
            "bad.yaml",
            "analysis_config: {detectors: [{function: maen, field_name: ms}]}\n",
        );
        let absent = folder.path().join("absent.json");
        let mut out = Vec::new();
        assert_eq!(report(&[good, bad, absent], &mut out).unwrap(), 2);
        let out = String::from_utf8(out).unwrap();
        let out = out.replace(&format!("{}/", folder.path().display()), "");
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(
            lines[0],
            "web.yaml: ok: web, mean(ms) by host + distinct_count(ip) partition site, every 7m, influencers user, topics logs ^web-"
        );
        assert!(
            lines[1].starts_with("web.yaml: warning: bucket_span [7m]"),
            "{out}"
        );
        assert_eq!(
            lines[2],
            "bad.yaml: analysis_config.detectors[0].function: \"maen\" is not a function; did you mean \"mean\"?"
        );
        assert_eq!(lines[3], "bad.yaml: data_description: is missing");
        assert!(
            lines[4].starts_with("absent.json: cannot be read: "),
            "{out}"
        );
        assert_eq!(lines.len(), 5);
    }
}
