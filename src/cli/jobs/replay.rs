//! `tidewatch jobs replay JOB --from T --to T --as ID`: a range of the job's topics, analysed again beside the job.
//!
//! The service itself, in this process, on the shadow's own group, topics, snapshots and results: exactly once, gone on with after an
//! interruption by the same command. It ends when the last bucket of the range is published. The job at work is not touched.

use super::{find, jobs_of};
use crate::cli::run::{kafka_of, open_store, settings};
use crate::config::service::Service as Configuration;
use crate::config::{Job, instant};
use crate::engine::result::{BucketSummary, Severity};
use crate::runtime::clock::{Clock, SystemClock};
use crate::runtime::jobs::{Footprint, shadow, status};
use crate::runtime::kafka::{KafkaLog, KafkaTopics};
use crate::runtime::observer::{Fact, Observer};
use crate::runtime::service::{Service, Settings};
use crate::runtime::shutdown::Shutdown;
use crate::runtime::task::{Range, TopicNames};
use crate::simulate::parse_duration;
use crate::time::{EventTime, Finality};
use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

/// How a command ends that was interrupted.
const INTERRUPTED: u8 = 130;

/// Arguments of `tidewatch jobs replay`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The job's id.
    #[arg(value_name = "JOB")]
    job: String,
    /// Where the range begins: a day, a moment, or milliseconds since the epoch. Whole buckets from there on count.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: EventTime,
    /// Where it ends, exclusive; not in the future.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: EventTime,
    /// Events of so long before the range are learnt, and no results of them written: its first results do not come from models that know nothing. Whole buckets of it count.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    warm_up: i64,
    /// The id of the shadow job, under which the results are published.
    #[arg(long = "as", value_name = "ID")]
    shadow: String,
}

pub(super) fn time(text: &str) -> Result<EventTime, String> {
    instant(text).ok_or_else(|| {
        "neither a day such as 2026-03-02 nor a moment such as 2026-03-02T00:00:00Z".to_owned()
    })
}

fn duration(text: &str) -> Result<i64, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

pub(super) fn run(args: &Args, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let jobs = jobs_of(configuration);
    let job = find(&jobs, &args.job)?;
    anyhow::ensure!(
        !jobs.contains_key(&args.shadow),
        "--as {}: is a job of the service; a replay needs an id of its own",
        args.shadow
    );
    anyhow::ensure!(
        args.to.millis() <= SystemClock.now_ms(),
        "--to {}: lies in the future; a replay ends with what is there",
        args.to
    );
    let range = Range::of_whole_buckets(args.from, args.to, job.bucket_span)
        .with_context(|| format!("no whole bucket lies between {} and {}", args.from, args.to))?
        .warmed_up(args.warm_up, job.bucket_span);
    let shadow = shadow(&job, &args.shadow)?;
    ensure_unused(configuration, &shadow, range)?;
    let shutdown = Shutdown::new();
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_default(signal, shutdown.flag())
            .and_then(|_| flag::register(signal, shutdown.flag()))
            .context("cannot listen for signals")?;
    }
    let learns = match range.warm_up_from < range.from {
        true => format!(", after learning from {} on", range.warm_up_from),
        false => String::new(),
    };
    eprintln!(
        "{}: {} to {} as {}{learns}",
        job.id, range.from, range.to, shadow.id
    );
    let tally = Arc::new(Tally::of(range));
    match work(configuration, &shadow, range, &tally, &shutdown)? {
        true => println!("{}: done; {}", shadow.id, tally.told()),
        false => {
            println!(
                "{}: interrupted; the same command goes on; {}",
                shadow.id,
                tally.told()
            );
            return Ok(ExitCode::from(INTERRUPTED));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Works the range to its end, or until somebody asks to end. Whether it is done.
fn work(
    configuration: &Configuration,
    shadow: &Arc<Job>,
    range: Range,
    tally: &Arc<Tally>,
    shutdown: &Shutdown,
) -> anyhow::Result<bool> {
    let kafka = kafka_of(configuration, &shadow.id);
    let log = KafkaLog::open(&kafka, &configuration.topics)?;
    let store = open_store(configuration, &kafka).map_err(anyhow::Error::from_boxed)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let settings = Settings {
        range: Some(range),
        alerts: None, // nobody is woken by the past
        ..settings(configuration)
    };
    let observer: Arc<dyn Observer> = Arc::clone(tally) as Arc<dyn Observer>;
    let mut service = Service::start(log, store, clock, observer, Arc::clone(shadow), settings)?;
    service.run(shutdown)?;
    Ok(!shutdown.is_asked())
}

/// An error if the shadow's id has served for something else: its buckets would be taken for published.
fn ensure_unused(
    configuration: &Configuration,
    shadow: &Arc<Job>,
    range: Range,
) -> anyhow::Result<()> {
    let mut log = KafkaTopics::open(&configuration.kafka, &configuration.topics)?;
    let names = TopicNames::new(&configuration.topics.prefix);
    let base = &configuration.kafka.group_id;
    let footprint = Footprint::of(&mut log, shadow, &names, base)?;
    let footprint = Footprint {
        plan: footprint.plan.within(range),
        ..footprint
    };
    let stood = status(&mut log, &footprint)?;
    let foreign = stood
        .partitions
        .iter()
        .find(|one| one.next_offset.is_some() && !one.is_current);
    anyhow::ensure!(
        foreign.is_none(),
        "--as {}: has served for another range, warm-up or configuration; take an id that nothing was published under",
        shadow.id
    );
    Ok(())
}

/// Counts what is published, and tells what goes wrong.
struct Tally {
    counts: Mutex<Counts>,
    /// Buckets before are not published.
    from: EventTime,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    buckets: u64,
    records: u64,
    critical: u64,
    refused: u64,
}

impl Tally {
    fn of(range: Range) -> Tally {
        Tally {
            counts: Mutex::default(),
            from: range.from,
        }
    }

    fn told(&self) -> String {
        let counts = *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        format!(
            "{} buckets, {} records ({} critical), {} events refused",
            counts.buckets, counts.records, counts.critical, counts.refused
        )
    }

    fn bucket(&self, summary: &BucketSummary) {
        let critical = |record: &&(u16, Severity)| record.1 == Severity::Critical;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.buckets += 1;
        counts.records += summary.records.len() as u64;
        counts.critical += summary.records.iter().filter(critical).count() as u64;
    }
}

impl Observer for Tally {
    fn observe(&self, job_id: &str, fact: &Fact<'_>) {
        match fact {
            Fact::Bucket { summary, .. }
                if summary.finality == Finality::Final && summary.start.time() >= self.from =>
            {
                self.bucket(summary);
            }
            Fact::Rejected { .. } => {
                self.counts
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .refused += 1;
            }
            Fact::Gap { at, from, to } => {
                tracing::error!(job_id, %at, from, to, "messages to be replayed are gone from the log");
            }
            Fact::Unavailable { error } => {
                tracing::warn!(job_id, error, "the log does not answer; asking again")
            }
            Fact::Aborted { error } => tracing::warn!(job_id, error, "transaction aborted"),
            Fact::SnapshotFailed { key, error } => {
                tracing::warn!(job_id, snapshot = %key, error, "snapshot not stored");
            }
            _ => {}
        }
    }
}
