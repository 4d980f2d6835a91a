//! `tidewatch snapshots`: what the service's store holds of its jobs' models, and what of it is to go.
//!
//! Looks into the store that the configuration names, whether or not the service runs. Sizes are those in the store. A task resumes from the newest snapshot
//! of its lineage, and only where that does not read from the one before it; so the newest is deleted by force only. No result rests on a snapshot: a task
//! without one replays more of the log.
//! Checked by: the tests below, tests/cli.rs, tests/s3, tests/kafka/terminal.rs.

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
use anyhow::Context;
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
  tidewatch snapshots delete web/web-logs/0 36203

A task resumes from the newest that its configuration fits, which is deleted with --force only; `tidewatch jobs reset JOB` deletes all of a job's,
`tidewatch jobs revert JOB --to TIME` those that have learnt what a calendar says is not to be learnt.";

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
    /// Forget snapshots of a task, whether or not its job runs.
    Delete {
        /// Whose, as `list` says: JOB/TOPIC/PARTITION.
        #[arg(value_name = "TASK")]
        task: String,
        /// Which, as `list` says.
        #[arg(required = true, value_name = "OFFSET")]
        offsets: Vec<i64>,
        /// Of which configuration, as `list` says, where that is not clear.
        #[arg(long, value_name = "LINEAGE")]
        lineage: Option<String>,
        /// Also the newest of its lineage, from which the task would resume: it replays more of the log then, back to an older one or to where it began.
        #[arg(long)]
        force: bool,
    },
}

/// Does what is asked.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let configuration = run::load_from_elsewhere(&args.config)?;
    match &args.action {
        Action::List { jobs, json } => list(&configuration, jobs, *json)?,
        Action::Delete {
            task,
            offsets,
            lineage,
            force,
        } => {
            let wanted = Wanted {
                task,
                offsets,
                lineage: lineage.as_deref(),
                is_forced: *force,
            };
            delete(&configuration, &wanted)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(configuration: &Configuration, jobs: &[String], json: bool) -> anyhow::Result<()> {
    let all = look(configuration)?;
    let known: BTreeSet<String> = all.iter().filter_map(job_of).map(str::to_owned).collect();
    if let Some(unknown) = jobs.iter().find(|job| !known.contains(*job)) {
        anyhow::bail!(
            "{}: of the jobs with snapshots, {}",
            place(configuration),
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
            writeln!(out, "\n{}", summary(&wanted, &place(configuration)))?;
        }
    }
    Ok(())
}

/// What is to be deleted.
struct Wanted<'a> {
    task: &'a str,
    offsets: &'a [i64],
    /// Sixteen hexadecimal digits, or fewer.
    lineage: Option<&'a str>,
    is_forced: bool,
}

impl Wanted<'_> {
    /// The snapshots that are meant, all of them or an error.
    fn among<'s>(&self, all: &'s [Stored]) -> anyhow::Result<Vec<&'s Stored>> {
        let mut of_task = all.iter().filter(|one| one.key.task == self.task);
        if of_task.next().is_none() {
            let tasks: BTreeSet<&str> = all.iter().map(|one| one.key.task.as_str()).collect();
            let tasks: Vec<&str> = tasks.into_iter().collect();
            anyhow::bail!(
                "no snapshot of {:?}; there are some of {}",
                self.task,
                tasks.join(", ")
            );
        }
        let mut found = Vec::new();
        for offset in self.offsets {
            found.push(self.one(all, *offset)?);
        }
        Ok(found)
    }

    fn one<'s>(&self, all: &'s [Stored], offset: i64) -> anyhow::Result<&'s Stored> {
        let of_task = || all.iter().filter(|one| one.key.task == self.task);
        let is_meant = |one: &&Stored| self.lineage.is_none_or(|said| lineage(one) == said);
        let at: Vec<&Stored> = of_task()
            .filter(|one| one.key.offset == offset)
            .filter(is_meant)
            .collect();
        let [one] = at[..] else {
            let lineages: Vec<String> = at.iter().map(|one| lineage(one)).collect();
            match lineages.is_empty() {
                true => anyhow::bail!("{} has no such snapshot at {offset}", self.task),
                false => anyhow::bail!(
                    "{} has several snapshots at {offset}: say which with --lineage {}",
                    self.task,
                    lineages.join(" or ")
                ),
            }
        };
        let newest = of_task()
            .filter(|other| other.key.lineage == one.key.lineage)
            .map(|other| other.key.offset)
            .max();
        if newest == Some(offset) && !self.is_forced {
            anyhow::bail!(
                "{} at {offset} is the newest of its lineage: the task resumes from it. With --force it is deleted all the same, and the task replays more of the log",
                self.task
            );
        }
        Ok(one)
    }
}

fn delete(configuration: &Configuration, wanted: &Wanted<'_>) -> anyhow::Result<()> {
    let all = look(configuration)?;
    let found = wanted.among(&all);
    let found = found.with_context(|| place(configuration))?;
    let mut store = run::open_store(configuration, &configuration.kafka)
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut out = io::stdout().lock();
    for one in found {
        store.delete(&one.key)?;
        writeln!(
            out,
            "{} at {} (lineage {}): deleted, {} bytes",
            table::cut(&one.key.task, usize::MAX),
            one.key.offset,
            lineage(one),
            grouped(one.bytes)
        )?;
    }
    Ok(())
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
    fn what_is_deleted_is_there_is_one_and_is_not_the_newest_of_its_lineage() {
        let mut all = vec![
            stored("web/events/0", 42, Some(FORMAT)),
            stored("web/events/0", 40, Some(FORMAT)),
            stored("web/events/0", 40, Some(FORMAT)),
            stored("web/events/1", 7, None),
        ];
        all[2].key.lineage = 8;
        let ask = |task: &str, offsets: &[i64], lineage: Option<&str>, is_forced: bool| {
            let wanted = Wanted {
                task,
                offsets,
                lineage,
                is_forced,
            };
            let found = wanted.among(&all).map_err(|error| error.to_string())?;
            Ok::<_, String>(
                found
                    .iter()
                    .map(|one| one.key.to_string())
                    .collect::<Vec<_>>(),
            )
        };
        let (task, seven) = ("web/events/0", Some("0000000000000007"));
        let said = |found: Result<Vec<String>, String>| found.unwrap_err();
        let older = ask(task, &[40], seven, false).unwrap();
        assert_eq!(older, ["web/events/0/0000000000000007/40"]);
        assert!(said(ask("web/events/2", &[1], None, true)).contains("web/events/0, web/events/1"));
        assert!(said(ask(task, &[41], None, true)).contains("no such snapshot at 41"));
        assert!(said(ask(task, &[40], None, true)).contains("--lineage 0000000000000007 or"));
        assert!(said(ask(task, &[42], None, false)).contains("the task resumes from it"));
        // The newest of another lineage, too: should its configuration come back, it is that which goes on.
        assert!(said(ask(task, &[40], Some("0000000000000008"), false)).contains("--force"));
        assert_eq!(ask(task, &[42, 40], seven, true).unwrap().len(), 2);
    }

    #[test]
    fn in_json_a_task_is_in_its_parts() {
        let told = as_json(&stored("web/a/b/3", 42, None));
        assert_eq!(told["topic"], "a/b");
        assert_eq!(told["kafka_partition"], 3);
        assert_eq!(told["format"], serde_json::Value::Null);
    }
}
