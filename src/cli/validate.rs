//! `tidewatch validate FILES...`: is each of these a job, and if not, why not. With `--config`: would the service start with it.
//!
//! One line a good file, one line a mistake, in the order of the files. The exit code is 1 as soon as one file is bad, so that a
//! pipeline can stop on it. No broker is asked. Checked by: the tests below; tests/chart.rs, with what the Helm chart renders.

use super::beside::Beside;
use super::run::environment;
use crate::config::query::Query;
use crate::config::service::Service;
use crate::config::{Detector, Job, Shared};
use crate::runtime::supervisor::Roster;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Validates the service's configuration, if there is one, and each file, and prints the verdicts to standard output.
pub fn run(config: Option<&Path>, files: &[PathBuf], beside: &Beside) -> anyhow::Result<ExitCode> {
    let out = &mut io::stdout().lock();
    let files: Vec<PathBuf> = files.iter().flat_map(|file| jobs_in(file)).collect();
    let mut bad = report(&files, &beside.read()?, out)?;
    if let Some(config) = config {
        bad += report_service(config, environment(), out)?;
    }
    Ok(match bad {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// The jobs of a file that holds several, each as `FILE#ID`; otherwise the file itself.
fn jobs_in(file: &Path) -> Vec<PathBuf> {
    let ids = Job::ids_in_file(file);
    match ids.len() {
        0 | 1 => vec![file.to_owned()],
        _ => {
            let named = |id: &String| format!("{}#{id}", file.display()).into();
            ids.iter().map(named).collect()
        }
    }
}

/// The verdict on a service's configuration, then those on its jobs, then what is wrong between them; how many are bad.
fn report_service(
    config: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
    out: &mut dyn Write,
) -> io::Result<usize> {
    let service = match Service::load(config, environment) {
        Ok(service) => service,
        Err(errors) => {
            writeln!(out, "{errors}")?;
            return Ok(1);
        }
    };
    let look = service.jobs.look();
    let files: Vec<PathBuf> = look.files.iter().map(|(file, _)| file.clone()).collect();
    let mut shared = Shared::default();
    let mut bad = 0;
    for file in &look.shared {
        if let Err(mistakes) = file.join(&mut shared) {
            bad += 1;
            writeln!(out, "{mistakes}")?;
        }
    }
    bad += report(&files, &shared, out)?;
    if bad > 0 {
        return Ok(bad);
    }
    // What no job is guilty of alone: an id taken twice, a placement that cannot be.
    let mut mistakes = Roster::default().review(&look);
    mistakes.extend(look.unlisted);
    for mistake in &mistakes {
        writeln!(out, "{mistake}")?;
    }
    if !mistakes.is_empty() {
        return Ok(mistakes.len());
    }
    let (kafka, jobs) = (&service.kafka, files.len());
    writeln!(
        out,
        "{}: ok: group {}, instance {}, topics {}.*, {jobs} job{}",
        config.display(),
        kafka.group_id,
        kafka.instance_id,
        service.topics.prefix,
        if jobs == 1 { "" } else { "s" },
    )?;
    Ok(0)
}

/// Writes the verdicts to `out`; how many files are bad.
fn report(files: &[PathBuf], shared: &Shared, out: &mut dyn Write) -> io::Result<usize> {
    let mut bad = 0;
    for file in files {
        match Job::from_files_beside(file, None, shared) {
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
    if let Some(over) = detector.over {
        text.push_str(&format!(" over {}", name(over)));
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
            "analysis_config: {bucket_span: 7m, influencers: [user], detectors: [{function: mean, field_name: ms, by_field_name: host}, {function: dc, field_name: ip, over_field_name: who, partition_field_name: site}]}\n\
             data_description: {}\ndatafeed_config: {indices: [logs, ^web-]}\n",
        );
        let bad = file(
            "bad.yaml",
            "analysis_config: {detectors: [{function: maen, field_name: ms}]}\n",
        );
        let absent = folder.path().join("absent.json");
        let mut out = Vec::new();
        let files = [good, bad, absent];
        assert_eq!(report(&files, &Shared::default(), &mut out).unwrap(), 2);
        let out = String::from_utf8(out).unwrap();
        let out = out.replace(&format!("{}/", folder.path().display()), "");
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(
            lines[0],
            "web.yaml: ok: web, mean(ms) by host + distinct_count(ip) over who partition site, every 7m, influencers user, topics logs ^web-"
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

    #[test]
    fn a_module_is_as_many_files_as_it_has_jobs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("module.json");
        let job = |id| format!("{{\"id\": \"{id}\", \"config\": {{\"analysis_config\": {{}}}}}}");
        let text = |jobs: &[String]| format!("{{\"jobs\": [{}]}}", jobs.join(","));
        std::fs::write(&file, text(&[job("a"), job("b")])).unwrap();
        let named = |id| PathBuf::from(format!("{}#{id}", file.display()));
        assert_eq!(jobs_in(&file), [named("a"), named("b")]);
        std::fs::write(&file, text(&[job("a")])).unwrap();
        assert_eq!(jobs_in(&file), std::slice::from_ref(&file));
        let absent = folder.path().join("absent.json");
        assert_eq!(jobs_in(&absent), std::slice::from_ref(&absent));
    }

    #[test]
    fn a_service_is_good_when_it_and_all_its_jobs_are_and_no_two_are_one() {
        const JOB: &str = "analysis_config: {detectors: [{function: count}]}\ndata_description: {}\ndatafeed_config: {indices: [logs]}\n";
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let verdict = |config: &Path| {
            let mut out = Vec::new();
            let bad = report_service(config, [], &mut out).unwrap();
            let out = String::from_utf8(out).unwrap();
            (
                bad,
                out.replace(&format!("{}/", folder.path().display()), ""),
            )
        };
        let head = "kafka: {properties: {bootstrap.servers: 'b:9092'}, instance_id: a}\n";
        let config = write("tidewatch.yaml", &format!("{head}jobs: '*-job.yaml'\n"));
        write("web-job.yaml", &format!("job_id: web\n{JOB}"));
        let (bad, out) = verdict(&config);
        assert_eq!(bad, 0, "{out}");
        assert!(out.starts_with("web-job.yaml: ok: web, "), "{out}");
        assert!(
            out.ends_with(
                "tidewatch.yaml: ok: group tidewatch, instance a, topics tidewatch.*, 1 job\n"
            ),
            "{out}"
        );
        write("twin-job.yaml", &format!("job_id: web\n{JOB}"));
        let (bad, out) = verdict(&config);
        assert!(bad == 1 && out.contains("is also the job of"), "{out}");
        write("bad-job.yaml", "job_id: bad\n");
        let (bad, out) = verdict(&config);
        assert!(
            bad == 1 && out.contains("bad-job.yaml: analysis_config: is missing"),
            "{out}"
        );
        let typo = write(
            "typo.yaml",
            &format!("{head}jobs: web-job.yaml\ntopics: {{prefx: a}}\n"),
        );
        let (bad, out) = verdict(&typo);
        assert!(
            bad == 1 && out.contains("did you mean \"topics.prefix\"?"),
            "{out}"
        );
    }
}
