//! `tidewatch jobs`: look at a service's jobs, stop and start them, reset them, revert their models, replay a range, change their number of shards.
//!
//! It works on Kafka itself, from the service's own configuration, whether or not the service runs. Stopping is a wish in the control topic that every
//! instance follows; what needs a job to be out of work stops it that way first, waits until its group is empty, and lets it go on after.
//! The broker itself refuses to forget a group that has members, so nothing is taken from under a worker. Checked by: tests/kafka, tests/cli.rs.

mod list;
mod replay;

use super::run;
use crate::config::Job;
use crate::config::service::Service as Configuration;
use crate::runtime::clock::{Clock, SystemClock};
use crate::runtime::jobs::{self, Fate, Footprint, JobsError, Quiet};
use crate::runtime::kafka::KafkaTopics;
use crate::runtime::service::group_of;
use crate::runtime::store::SnapshotStore;
use crate::runtime::supervisor::control::{Agreed, Control, Want, Wish};
use crate::runtime::supervisor::{Patience, Roster, Watch};
use crate::runtime::task::TopicNames;
use crate::time::EventTime;
use anyhow::Context;
use clap::Subcommand;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// What `--help` ends with.
pub const EXAMPLES: &str = "\
Examples:
  tidewatch jobs list                        where each job stands: state, members, lag, last bucket
  tidewatch jobs stop web                    on every instance, until it is started again
  tidewatch jobs start web
  tidewatch jobs reset web                   forget models and results, begin again where the job says it starts
  tidewatch jobs reset web --keep-results    learn anew, and leave what is published
  tidewatch jobs revert web --to 2026-03-02  models without what a calendar says is not to be learnt since
  tidewatch jobs replay web --from 2026-03-02 --to 2026-03-09 --as web-march --warm-up 14d
  tidewatch jobs reshard web                 as many shards as its file now says";

/// For so long at least nobody has been at work on a job before anything is done to it: an instance looks at the wishes every second.
const QUIET_MIN: Duration = Duration::from_secs(2);

/// Arguments of `tidewatch jobs`.
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
    /// How long to wait until nobody works on a job, seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Where each job stands.
    List {
        /// One JSON object a job.
        #[arg(long)]
        json: bool,
    },
    /// Stop jobs on every instance, in order, until they are started again.
    Stop {
        /// Ids of jobs.
        #[arg(required = true, value_name = "JOB")]
        jobs: Vec<String>,
    },
    /// Let stopped jobs go on where they were.
    Start {
        /// Ids of jobs.
        #[arg(required = true, value_name = "JOB")]
        jobs: Vec<String>,
    },
    /// Begin a job again as if it had never been: positions, models and results are forgotten.
    Reset {
        /// The job's id.
        #[arg(value_name = "JOB")]
        job: String,
        /// Leave published results as they are, and publish no bucket again.
        #[arg(long)]
        keep_results: bool,
    },
    /// Have the models forget what they have learnt since then, as far as a calendar or a rule says that it is not to be learnt. Results stay.
    Revert {
        /// The job's id.
        #[arg(value_name = "JOB")]
        job: String,
        /// Buckets from there on are learnt again, by the rules and calendars of today: a day, a moment, or milliseconds since the epoch.
        #[arg(long, value_name = "TIME", value_parser = replay::time)]
        to: EventTime,
    },
    /// Analyse a range of the job's topics again, as a job of another id beside it.
    Replay(replay::Args),
    /// Give a job the number of shards that its file says. It learns anew, and publishes no bucket again.
    Reshard {
        /// The job's id.
        #[arg(value_name = "JOB")]
        job: String,
    },
}

/// Does what is asked.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let configuration = run::load(&args.config)?;
    if let Action::Replay(replay) = &args.action {
        return replay::run(replay, &configuration);
    }
    let mut office = Office::open(configuration, Duration::from_secs(args.timeout))?;
    match &args.action {
        Action::List { json } => list::run(&mut office, *json)?,
        Action::Stop { jobs } => {
            let known = office.all(jobs)?;
            known.iter().try_for_each(|job| office.stop(job))?;
            for job in known {
                office.await_idle(&job)?;
                println!("{}: stopped", job.id);
            }
        }
        Action::Start { jobs } => {
            for job in office.all(jobs)? {
                office.start(&job)?;
                println!("{}: started; running instances take it up", job.id);
            }
        }
        Action::Reset { job, keep_results } => office.reset(job, *keep_results)?,
        Action::Revert { job, to } => office.revert(job, *to)?,
        Action::Reshard { job } => office.reshard(job)?,
        Action::Replay(_) => unreachable!("handled above: it needs no office"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The good jobs of a configuration; bad files are said.
pub(super) fn jobs_of(configuration: &Configuration) -> BTreeMap<String, Arc<Job>> {
    let mut roster = Roster::default();
    let look = Watch::new(configuration.jobs.clone()).look(Patience::Urgent);
    for refusal in roster.review(&look.unwrap_or_default()) {
        tracing::warn!("{refusal}");
    }
    roster.jobs()
}

/// The job of that id.
pub(super) fn find(jobs: &BTreeMap<String, Arc<Job>>, id: &str) -> anyhow::Result<Arc<Job>> {
    let known = || jobs.keys().cloned().collect::<Vec<_>>().join(", ");
    jobs.get(id).cloned().with_context(|| {
        format!(
            "no job \"{id}\" in the configuration; there are: {}",
            known()
        )
    })
}

/// What is done to a job that is out of work, and how it is told; `None`: to be done again.
type Operation<'a> = dyn FnMut(&mut KafkaTopics, &mut dyn SnapshotStore, &Footprint) -> Result<Option<String>, JobsError>
    + 'a;

/// Where jobs are administered from.
pub(super) struct Office {
    configuration: Configuration,
    names: TopicNames,
    jobs: BTreeMap<String, Arc<Job>>,
    log: KafkaTopics,
    control: Control<KafkaTopics>,
    timeout: Duration,
}

impl Office {
    fn open(configuration: Configuration, timeout: Duration) -> anyhow::Result<Office> {
        let names = TopicNames::new(&configuration.topics.prefix);
        let open = || KafkaTopics::open(&configuration.kafka, &configuration.topics);
        Ok(Office {
            jobs: jobs_of(&configuration),
            log: open()?,
            control: Control::open(open()?, &names.control())?,
            names,
            timeout,
            configuration,
        })
    }

    fn all(&self, ids: &[String]) -> anyhow::Result<Vec<Arc<Job>>> {
        ids.iter().map(|id| find(&self.jobs, id)).collect()
    }

    fn footprint(&mut self, job: &Arc<Job>) -> anyhow::Result<Footprint> {
        let base = &self.configuration.kafka.group_id;
        let footprint = Footprint::of(&mut self.log, job, &self.names, base)?;
        let lives = &self.agreed()?.lives;
        let life = lives.get(&job.id).map_or(0, |life| life.life);
        Ok(Footprint {
            plan: footprint.plan.in_life(life),
            ..footprint
        })
    }

    fn agreed(&mut self) -> anyhow::Result<&Agreed> {
        Ok(self.control.look()?)
    }

    fn stop(&mut self, job: &Job) -> anyhow::Result<()> {
        let wish = Wish {
            wish: Want::Stopped,
            since: SystemClock.now_ms(),
            by: self.configuration.kafka.instance_id.clone(),
        };
        Ok(self.control.wish(&job.id, Some(&wish))?)
    }

    fn start(&mut self, job: &Job) -> anyhow::Result<()> {
        Ok(self.control.wish(&job.id, None)?)
    }

    /// How to wait until nobody works on a job: also until everybody knows the wish, and the files, of now.
    fn quiet(&self) -> Quiet {
        Quiet {
            timeout: self.timeout,
            quiet: (2 * self.configuration.timing.job_files_interval).max(QUIET_MIN),
        }
    }

    /// Waits until nobody works on a job.
    fn await_idle(&mut self, job: &Job) -> anyhow::Result<()> {
        let group = group_of(&self.configuration.kafka.group_id, &job.id);
        let whose = (job.id.as_str(), group.as_str());
        Ok(self
            .quiet()
            .await_idle(&mut self.log, whose, &mut thread::sleep)?)
    }

    /// Has the job out of work for the time of `operation`, which is done again where somebody was at work meanwhile, and prints what it says; where it fails the job stays stopped, so that it can be looked at and
    /// done again.
    fn while_stopped(&mut self, id: &str, operation: &mut Operation<'_>) -> anyhow::Result<()> {
        let job = find(&self.jobs, id)?;
        let was_stopped = self.agreed()?.wishes.contains_key(id);
        self.stop(&job)?;
        self.await_idle(&job)?;
        let footprint = self.footprint(&job)?;
        let mut store = self.store(&footprint)?;
        let mut attempt = |log: &mut KafkaTopics| operation(log, &mut *store, &footprint);
        let (quiet, wait) = (self.quiet(), &mut thread::sleep);
        let done = quiet.attempt(&mut self.log, &footprint, wait, &mut attempt);
        let told = done.with_context(|| {
            format!("{id} stays stopped; do it again, or `tidewatch jobs start {id}`")
        })?;
        println!("{id}: {told}");
        match was_stopped {
            true => println!("{id}: stays stopped, as it was"),
            false => self.start(&job)?,
        }
        Ok(())
    }

    fn reset(&mut self, id: &str, keep_results: bool) -> anyhow::Result<()> {
        let fate = match keep_results {
            true => Fate::Kept,
            false => Fate::Withdrawn,
        };
        self.while_stopped(id, &mut |log, store, footprint| {
            let done = jobs::reset(log, store, footprint, fate)?;
            Ok(Some(format!(
                "reset; {} snapshots deleted, {} results withdrawn",
                done.snapshots, done.results
            )))
        })
    }

    fn revert(&mut self, id: &str, to: EventTime) -> anyhow::Result<()> {
        // What is refused is not stopped before.
        let footprint = self.footprint(&find(&self.jobs, id)?)?;
        let mut store = self.store(&footprint)?;
        jobs::prospect(&mut self.log, &mut *store, &footprint, to)?;
        let mut snapshots = 0;
        // A worker that has come back may have left a snapshot: until there is nothing left to delete.
        self.while_stopped(id, &mut |log, store, footprint| {
            let done = jobs::revert(log, store, footprint, to)?;
            snapshots += done.snapshots;
            Ok((done.snapshots == 0).then(|| format!(
                "reverted; {snapshots} snapshots deleted, {} messages are read again, and the buckets from {} to {} learnt as its calendars and rules say now",
                done.messages, done.from, done.until
            )))
        })
    }

    fn reshard(&mut self, id: &str) -> anyhow::Result<()> {
        // What is refused is not stopped before, and what is so already neither.
        let plan = self.footprint(&find(&self.jobs, id)?)?.plan;
        let had = jobs::shards_of(&plan)?;
        if had == plan.job.extensions.shards {
            println!("{id}: has {had} shards already");
            return Ok(());
        }
        self.while_stopped(id, &mut |log, store, footprint| {
            let wanted = footprint.plan.job.extensions.shards;
            Ok(Some(match jobs::reshard(log, store, footprint)? {
                had if had == wanted => format!("has {had} shards already"),
                had => format!("{had} shards before, {wanted} now"),
            }))
        })
    }

    fn store(&self, footprint: &Footprint) -> anyhow::Result<Box<dyn SnapshotStore + Send>> {
        let kafka = run::kafka_of(&self.configuration, &footprint.plan.job.id);
        run::open_store(&self.configuration, &kafka).map_err(anyhow::Error::from_boxed)
    }
}
