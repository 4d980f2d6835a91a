//! `tidewatch snapshots list`: what the service's store holds of its jobs' models.
//!
//! Looks into the store that the configuration names, whether or not the service runs, and changes nothing in it. Sizes are those in the store.
//! Checked by: the tests below, tests/s3, tests/kafka/terminal.rs.

use super::output::grouped;
use super::tail::known::no_such_job;
use super::{run, table};
use crate::config::service::{Service as Configuration, SnapshotStore as Where};
use crate::engine::snapshot::FORMAT;
use crate::runtime::clock::{Clock, SystemClock};
use crate::runtime::kafka::KafkaTopics;
use crate::runtime::store::inventory::{self, Stored};
use crate::runtime::store::{S3Store, StoreError};
use crate::runtime::task::TopicNames;
use crate::time::EventTime;
use clap::Subcommand;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// What `--help` ends with.
pub const EXAMPLES: &str = "\
Examples:
  tidewatch snapshots list                     of every job, task by task, the newest first
  tidewatch snapshots list web --json          an object a snapshot

A task resumes from the newest that its configuration fits; `tidewatch jobs reset JOB` deletes a job's.";

/// Arguments of `tidewatch snapshots`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    /// The service's configuration.
    #[arg(
        long,
        global = true,
        env = "TIDEWATCH_CONFIG",
        value_name = "FILE",
        default_value = "tidewatch.yaml"
    )]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// What there is.
    List {
        /// Ids of jobs [default: all].
        #[arg(value_name = "JOB")]
        jobs: Vec<String>,
        /// One JSON object a snapshot.
        #[arg(long)]
        json: bool,
    },
}

/// Does what is asked.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Action::List { jobs, json } = &args.action;
    let configuration = run::load_from_elsewhere(&args.config)?;
    let all = look(&configuration)?;
    let known: BTreeSet<String> = all.iter().filter_map(job_of).map(str::to_owned).collect();
    if let Some(unknown) = jobs.iter().find(|job| !known.contains(*job)) {
        anyhow::bail!(
            "{}: of the jobs with snapshots, {}",
            place(&configuration),
            no_such_job(unknown, &known)
        );
    }
    let wanted: Vec<&Stored> = all
        .iter()
        .filter(|one| {
            jobs.is_empty() || job_of(one).is_some_and(|job| jobs.iter().any(|asked| asked == job))
        })
        .collect();
    let mut out = io::stdout().lock();
    match json {
        true => {
            for one in &wanted {
                writeln!(out, "{}", as_json(one))?;
            }
        }
        false => {
            out.write_all(as_table(&wanted, SystemClock.now_ms()).as_bytes())?;
            writeln!(out, "\n{}", summary(&wanted, &place(&configuration)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn look(configuration: &Configuration) -> Result<Vec<Stored>, StoreError> {
    match &configuration.snapshots {
        Where::Directory(path) => inventory::directory(path),
        Where::S3(settings) => S3Store::open(settings.clone())?.inventory(),
        Where::Topic => {
            let topic = TopicNames::new(&configuration.topics.prefix).snapshots();
            let mut log = KafkaTopics::open(&configuration.kafka, &configuration.topics).map_err(
                |error| StoreError {
                    place: format!("topic {topic}"),
                    cause: error.to_string(),
                },
            )?;
            inventory::topic(&mut log, &topic)
        }
    }
}

fn place(configuration: &Configuration) -> String {
    match &configuration.snapshots {
        Where::Directory(path) => format!("directory {}", path.display()),
        Where::S3(settings) => format!("bucket {}, {}/", settings.bucket, settings.prefix),
        Where::Topic => {
            let topic = TopicNames::new(&configuration.topics.prefix).snapshots();
            format!("topic {topic}")
        }
    }
}

fn job_of(stored: &Stored) -> Option<&str> {
    stored.task().map(|(job, ..)| job)
}

fn as_json(stored: &Stored) -> serde_json::Value {
    let (job, topic, partition) = stored.task().unwrap_or_default();
    json!({
        "job_id": job, "topic": topic, "kafka_partition": partition, "offset": stored.key.offset,
        "lineage": lineage(stored), "timestamp_ms": stored.stored_ms, "bytes": stored.bytes, "format": stored.format,
    })
}

/// Of which configuration and placement.
fn lineage(stored: &Stored) -> String {
    format!("{:016x}", stored.key.lineage)
}

const HEADS: [&str; 7] = [
    "TASK", "OFFSET", "STORED", "AGE", "BYTES", "FORMAT", "LINEAGE",
];
/// Numbers stand at the right.
const TO_THE_RIGHT: [bool; 7] = [false, true, false, true, true, false, false];

fn as_table(wanted: &[&Stored], now_ms: i64) -> String {
    let mut rows = vec![HEADS.map(str::to_owned)];
    rows.extend(wanted.iter().map(|stored| cells(stored, now_ms)));
    let widths: Vec<usize> = (0..HEADS.len())
        .map(|at| rows.iter().map(|row| row[at].chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let width = widths[at];
            line += &match TO_THE_RIGHT[at] {
                true => format!("{cell:>width$}  "),
                false => format!("{cell:width$}  "),
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn cells(stored: &Stored, now_ms: i64) -> [String; 7] {
    let unknown = || "-".to_owned();
    let age = |ms: i64| table::length(((now_ms - ms).max(0) / 1000 * 1000).max(1000));
    [
        table::cut(&stored.key.task, usize::MAX),
        stored.key.offset.to_string(),
        stored.stored_ms.map_or_else(unknown, |ms| {
            EventTime(ms - ms.rem_euclid(1000)).to_string()
        }),
        stored.stored_ms.map_or_else(unknown, age),
        grouped(stored.bytes),
        match stored.format {
            None => "damaged".to_owned(),
            Some(FORMAT) => FORMAT.to_string(),
            Some(newer) if newer > FORMAT => format!("{newer}, newer than this build"),
            Some(older) => format!("{older}, older"),
        },
        lineage(stored),
    ]
}

fn summary(wanted: &[&Stored], place: &str) -> String {
    let bytes = wanted.iter().map(|one| one.bytes).sum();
    let tasks: BTreeSet<&str> = wanted.iter().map(|one| one.key.task.as_str()).collect();
    format!(
        "{} snapshots of {} tasks, {} bytes, in {place}",
        grouped(wanted.len() as u64),
        grouped(tasks.len() as u64),
        grouped(bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::store::SnapshotKey;

    fn stored(task: &str, offset: i64, format: Option<u16>) -> Stored {
        Stored {
            key: SnapshotKey {
                task: task.to_owned(),
                lineage: 7,
                offset,
            },
            bytes: 12_345,
            stored_ms: Some(60_000),
            format,
        }
    }

    #[test]
    fn a_snapshot_is_a_line_with_what_this_build_can_do_with_it() {
        let all = [
            stored("web/events/0", 42, Some(FORMAT)),
            stored("web/events/0", 40, Some(FORMAT + 1)),
            stored("web/events/1", 7, None),
        ];
        let all: Vec<&Stored> = all.iter().collect();
        let later = FORMAT + 1;
        let expected = format!(
            "TASK          OFFSET  STORED                AGE   BYTES  FORMAT                    LINEAGE\n\
             web/events/0      42  1970-01-01T00:01:00Z   2m  12,345  {FORMAT}                         0000000000000007\n\
             web/events/0      40  1970-01-01T00:01:00Z   2m  12,345  {later}, newer than this build  0000000000000007\n\
             web/events/1       7  1970-01-01T00:01:00Z   2m  12,345  damaged                   0000000000000007\n"
        );
        assert_eq!(as_table(&all, 180_500), expected);
        assert_eq!(
            summary(&all, "topic tw.snapshots"),
            "3 snapshots of 2 tasks, 37,035 bytes, in topic tw.snapshots"
        );
    }

    #[test]
    fn in_json_a_task_is_in_its_parts() {
        let told = as_json(&stored("web/a/b/3", 42, None));
        assert_eq!(told["topic"], "a/b");
        assert_eq!(told["kafka_partition"], 3);
        assert_eq!(told["format"], serde_json::Value::Null);
    }
}
