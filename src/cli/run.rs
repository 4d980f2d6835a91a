//! `tidewatch run`: the service. One thread a job, one for HTTP, and one that waits for the end.
//!
//! Before a broker is dialled, everything that is wrong with the configuration and the jobs is said at once. Afterwards a job that fails
//! is tried again, later and later, while the others go on; `/readyz` says so meanwhile. The first SIGINT or SIGTERM ends the service in order (last
//! transaction, last snapshot, groups left), the second at once. Checked by: tests/kafka.

use super::{Common, start_logging};
use crate::config::AlertPolicy;
use crate::config::Job;
use crate::config::service::{
    Kafka, Receiver, Scores, Service as Configuration, SnapshotStore as Where,
};
use crate::runtime::alerts::AlertSettings;
use crate::runtime::alerts::alertmanager::Links;
use crate::runtime::alerts::dispatcher::{self, Dispatcher, Manner};
use crate::runtime::alerts::http::HttpPost;
use crate::runtime::clock::{Clock, SystemClock};
use crate::runtime::http::HttpServer;
use crate::runtime::kafka::{KafkaLog, KafkaTopics};
use crate::runtime::log::{NewTopic, Topics};
use crate::runtime::observer::{Fact, Observer};
use crate::runtime::service::{Service, Settings};
use crate::runtime::shutdown::Shutdown;
use crate::runtime::store::{DirectoryStore, S3Store, SnapshotStore, TopicStore};
use crate::runtime::task::{Plan, Plots, Remembered, TopicNames};
use crate::runtime::telemetry::Telemetry;
use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Before a job that failed is tried again; doubled each time.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Between two looks at whether the end was asked for, while waiting for something else.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Runs the service that `config` describes until it is told to stop.
pub fn run(config: &Path, common: &Common) -> anyhow::Result<ExitCode> {
    let configuration = Configuration::load(config, environment())?;
    let level = common
        .log_level
        .as_deref()
        .unwrap_or(&configuration.log.level);
    start_logging(level, common.color, configuration.log.format)?;
    let jobs = load_jobs(&configuration.jobs)?;

    let telemetry = Telemetry::with_scores(Arc::new(SystemClock), &jobs, configuration.scores);
    let telemetry = Arc::new(telemetry);
    let server = HttpServer::start(&configuration.http, telemetry.clone())?;
    let shutdown = Shutdown::new();
    listen_for_signals(&shutdown)?;
    tracing::info!(jobs = jobs.len(), http = %server.address(), instance = configuration.kafka.instance_id, "started");

    let configuration = Arc::new(configuration);
    let mut workers = start_messengers(&configuration, &telemetry, &shutdown)?;
    for job in jobs {
        let name = job.id.clone();
        let worker = Worker {
            job,
            configuration: configuration.clone(),
            telemetry: telemetry.clone(),
            shutdown: shutdown.clone(),
        };
        workers.push(
            thread::Builder::new()
                .name(name)
                .spawn(move || worker.run())
                .context("cannot start a thread")?,
        );
    }
    let in_order = wait_for(workers, &shutdown);
    drop(server);
    tracing::info!(in_order, "ended");
    Ok(match in_order {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The variables that may have the last word on a key.
pub(super) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// A thread for each receiver of alerts.
fn start_messengers(
    configuration: &Arc<Configuration>,
    telemetry: &Arc<Telemetry>,
    shutdown: &Shutdown,
) -> anyhow::Result<Vec<JoinHandle<bool>>> {
    let receivers = &configuration.alerts.receivers;
    telemetry.expect_receivers(receivers.iter().map(|receiver| receiver.name.as_str()));
    let start = |receiver: &Receiver| {
        let messenger = Messenger {
            receiver: receiver.clone(),
            configuration: configuration.clone(),
            telemetry: telemetry.clone(),
            shutdown: shutdown.clone(),
        };
        thread::Builder::new()
            .name(format!("alerts {}", receiver.name))
            .spawn(move || messenger.run())
            .context("cannot start a thread")
    };
    receivers.iter().map(start).collect()
}

/// Every job, or every mistake in all of them.
pub(super) fn load_jobs(files: &[PathBuf]) -> anyhow::Result<Vec<Arc<Job>>> {
    let mut jobs: BTreeMap<String, (Arc<Job>, &Path)> = BTreeMap::new();
    let mut mistakes = Vec::new();
    for file in files {
        match Job::from_file(file) {
            Err(errors) => mistakes.push(errors.to_string()),
            Ok(job) => {
                if let Err(error) = Plan::asked(&job) {
                    mistakes.push(format!("{}: {error}", file.display()));
                }
                job.warnings
                    .iter()
                    .for_each(|warning| tracing::warn!(job_id = job.id, "{warning}"));
                if let Some((job, other)) =
                    jobs.insert(job.id.clone(), (Arc::new(job), file)).as_ref()
                {
                    mistakes.push(format!(
                        "{}: job_id: \"{}\" is also the job of {}; each needs its own",
                        file.display(),
                        job.id,
                        other.display()
                    ));
                }
            }
        }
    }
    for (job, file) in jobs.values() {
        for group in job.groups.iter().filter(|group| jobs.contains_key(*group)) {
            mistakes.push(format!(
                "{}: groups: \"{group}\" is the id of a job; a group needs another name",
                file.display()
            ));
        }
    }
    anyhow::ensure!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    Ok(jobs.into_values().map(|(job, _)| job).collect())
}

/// The first signal asks, the second does not.
fn listen_for_signals(shutdown: &Shutdown) -> anyhow::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the wish untold and tells it, the second finds it told and ends the process.
        flag::register_conditional_default(signal, shutdown.flag())
            .and_then(|_| flag::register(signal, shutdown.flag()))
            .context("cannot listen for signals")?;
    }
    Ok(())
}

/// Whether all ended in order. A thread that ends before it was asked to has hit a bug, and ends the others with it.
fn wait_for(workers: Vec<JoinHandle<bool>>, shutdown: &Shutdown) -> bool {
    while !shutdown.is_asked() && !workers.iter().any(JoinHandle::is_finished) {
        thread::sleep(LOOK_INTERVAL);
    }
    tracing::info!("ending in order; another signal ends at once");
    shutdown.ask();
    let ended: Vec<bool> = workers
        .into_iter()
        .map(|worker| worker.join().unwrap_or(false))
        .collect();
    ended.into_iter().all(|in_order| in_order)
}

/// Sees to it that one job is at work.
struct Worker {
    job: Arc<Job>,
    configuration: Arc<Configuration>,
    telemetry: Arc<Telemetry>,
    shutdown: Shutdown,
}

impl Worker {
    /// Whether it ended in order.
    fn run(self) -> bool {
        let mut wait = RETRY_FIRST;
        loop {
            match self.attempt() {
                Ok(()) => return true,
                Err(error) if self.shutdown.is_asked() => {
                    tracing::error!(
                        job_id = self.job.id,
                        error = format!("{error:#}"),
                        "not ended in order"
                    );
                    return false;
                }
                Err(error) => {
                    tracing::error!(job_id = self.job.id, error = format!("{error:#}"), again_in = ?wait, "the job is not at work");
                    self.telemetry.observe(
                        &self.job.id,
                        &Fact::Unavailable {
                            error: format!("{error:#}"),
                        },
                    );
                }
            }
            if self.idle(wait) {
                return true;
            }
            wait = (wait * 2).min(RETRY_MAX);
        }
    }

    /// Works until the end is asked for, or something fails.
    fn attempt(&self) -> anyhow::Result<()> {
        let kafka = Kafka {
            group_id: format!("{}.{}", self.configuration.kafka.group_id, self.job.id),
            ..self.configuration.kafka.clone()
        };
        let names = TopicNames::new(&self.configuration.topics.prefix);
        let log = KafkaLog::open(&kafka, &self.configuration.topics)?;
        let store = self.store(&kafka, &names)?;
        let settings = Settings {
            names,
            commit_interval_ms: millis(self.configuration.timing.commit_interval),
            snapshot_interval_ms: millis(self.configuration.timing.snapshot_interval),
            remembers: remembers(self.configuration.scores),
            alerts: alert_settings(&self.configuration),
            snapshots_kept: self.configuration.snapshots_kept.into(),
            ..Settings::default()
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut service = Service::start(
            log,
            store,
            clock,
            self.telemetry.clone(),
            self.job.clone(),
            settings,
        )?;
        tracing::info!(job_id = self.job.id, group = kafka.group_id, placement = ?service.plan().placement, "job at work");
        Ok(service.run(&self.shutdown)?)
    }

    fn store(
        &self,
        kafka: &Kafka,
        names: &TopicNames,
    ) -> anyhow::Result<Box<dyn SnapshotStore + Send>> {
        Ok(match &self.configuration.snapshots {
            Where::Directory(path) => Box::new(DirectoryStore::open(path)?),
            Where::S3(settings) => Box::new(S3Store::open(settings.clone())?),
            Where::Topic => {
                let topics = KafkaTopics::open(kafka, &self.configuration.topics)?;
                Box::new(TopicStore::open(topics, &names.snapshots())?)
            }
        })
    }

    /// Waits, telling the probes that this job lives but is not ready. Whether the end was asked for.
    fn idle(&self, wait: Duration) -> bool {
        let mut left = wait;
        while !left.is_zero() && !self.shutdown.is_asked() {
            self.telemetry.observe(
                &self.job.id,
                &Fact::Breath {
                    ready: false,
                    at_end: false,
                },
            );
            let step = left.min(LOOK_INTERVAL);
            thread::sleep(step);
            left -= step;
        }
        self.shutdown.is_asked()
    }
}

/// What the series of scores want to hear of.
fn remembers(scores: Scores) -> Remembered {
    let usual = Remembered::default();
    match scores {
        Scores::Off => usual,
        Scores::Detectors => Remembered {
            plots: Plots::Unsplit,
            ..usual
        },
        Scores::Entities { limit } => Remembered {
            records: limit.max(usual.records),
            plots: Plots::First(limit),
        },
    }
}

/// How results become alerts, if they do.
fn alert_settings(configuration: &Configuration) -> Option<AlertSettings> {
    let alerts = &configuration.alerts;
    alerts.enabled.then(|| AlertSettings {
        defaults: alerts.defaults.over(&AlertPolicy::default()),
        ocsf: alerts.ocsf,
        max_age_ms: millis(alerts.max_age),
    })
}

/// Sees to it that one receiver is told of alerts.
struct Messenger {
    receiver: Receiver,
    configuration: Arc<Configuration>,
    telemetry: Arc<Telemetry>,
    shutdown: Shutdown,
}

impl Messenger {
    /// Whether it ended in order. One that fails is tried again, later and later, like a job.
    fn run(self) -> bool {
        let mut wait = RETRY_FIRST;
        while !self.shutdown.is_asked() {
            let Err(error) = self.attempt() else {
                return true;
            };
            let error = format!("{error:#}");
            if self.shutdown.is_asked() {
                tracing::error!(receiver = self.receiver.name, error, "not ended in order");
                return false;
            }
            tracing::error!(receiver = self.receiver.name, error, again_in = ?wait, "nobody tells this receiver of alerts");
            let mut left = wait;
            while !left.is_zero() && !self.shutdown.is_asked() {
                let step = left.min(LOOK_INTERVAL);
                thread::sleep(step);
                left -= step;
            }
            wait = (wait * 2).min(RETRY_MAX);
        }
        true
    }

    fn attempt(&self) -> anyhow::Result<()> {
        let configuration = &self.configuration;
        let names = TopicNames::new(&configuration.topics.prefix);
        let kafka = Kafka {
            group_id: dispatcher::group_of(&configuration.kafka.group_id, &self.receiver.name),
            ..configuration.kafka.clone()
        };
        let mut log = KafkaLog::open(&kafka, &configuration.topics)?;
        let settings = alert_settings(configuration).unwrap_or_default();
        let topics: Vec<NewTopic> = settings.topics(&names);
        log.create(&topics)?;
        let manner = Manner {
            receiver: self.receiver.clone(),
            topic: names.alerts(),
            links: Links {
                external_url: configuration.alerts.external_url.clone(),
                generator_url: configuration.alerts.generator_url.clone(),
            },
            max_age_ms: millis(configuration.alerts.max_age),
            resend_interval_ms: millis(configuration.alerts.resend_interval),
        };
        let post = Box::new(HttpPost::new(&self.receiver)?);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut dispatcher = Dispatcher::start(log, post, clock, self.telemetry.clone(), manner)?;
        tracing::info!(
            receiver = self.receiver.name,
            group = kafka.group_id,
            "tells of alerts"
        );
        Ok(dispatcher.run(&self.shutdown)?)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_and_groups_share_one_name_space() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, head: &str| {
            let path = folder.path().join(name);
            let rest = "analysis_config: {detectors: [{function: count}]}\ndata_description: {}\ndatafeed_config: {indices: [x]}\n";
            std::fs::write(&path, format!("{head}\n{rest}")).unwrap();
            path
        };
        let web = file("web.yaml", "groups: [shop]");
        let ops = file("ops.yaml", "groups: [web, shop]");
        let again = file("again.yaml", "job_id: web");
        assert_eq!(load_jobs(std::slice::from_ref(&web)).unwrap().len(), 1);
        let said = load_jobs(&[web, ops, again]).unwrap_err().to_string();
        let said = said.replace(&format!("{}/", folder.path().display()), "");
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(
            lines,
            [
                "again.yaml: job_id: \"web\" is also the job of web.yaml; each needs its own",
                "ops.yaml: groups: \"web\" is the id of a job; a group needs another name",
            ]
        );
    }
}
