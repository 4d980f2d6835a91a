//! `tidewatch run`: the service. One thread a job, one a receiver of alerts, one for HTTP, one that follows the control topic, and one that tends them.
//!
//! Before a broker is dialled, everything that is wrong with the configuration and the jobs is said at once. A bad job file keeps its
//! job from starting, not the others; only when no file is good the service does not start. From then on job files may come, change and
//! go ([`files`]), and a job that fails is tried again, later and later, while the others go on; `/readyz` says so meanwhile. The first SIGINT or
//! SIGTERM ends the service in order (last transaction, last snapshot, groups left), the second at once; SIGHUP looks at the job files now.
//! Checked by: tests/kafka, tests/cli.rs.

mod control;
mod files;
mod messenger;

use super::{Common, start_logging};
use crate::config::service::{Kafka, Scores, Service as Configuration, SnapshotStore as Where};
use crate::config::{AlertPolicy, Job};
use crate::runtime::alerts::AlertSettings;
use crate::runtime::clock::{Clock, SystemClock};
use crate::runtime::expiry::Expiry;
use crate::runtime::http::HttpServer;
use crate::runtime::kafka::{KafkaLog, KafkaTopics};
use crate::runtime::log::MESSAGE_BYTES_MAX;
use crate::runtime::log::shared::{Limits, SharedLog, Sharing};
use crate::runtime::observer::{Fact, Observer};
use crate::runtime::service::{Align, Service, Settings, group_of};
use crate::runtime::shutdown::Shutdown;
use crate::runtime::store::{DirectoryStore, S3Store, SnapshotStore, StoreError, TopicStore};
use crate::runtime::supervisor::{Agreement, Assignment, State, Supervisor, WorkError, Workshop};
use crate::runtime::task::{Plots, Remembered, TopicNames};
use crate::runtime::telemetry::Telemetry;
use crate::runtime::traces::{Traces, Whose};
use anyhow::Context;
use control::{Desk, follow_control};
use files::Files;
use messenger::start_messengers;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Between two looks at whether anything is to be done.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How long the last spans may take at the end.
const LAST_SPANS_MAX: Duration = Duration::from_secs(5);

/// Runs the service that `config` describes until it is told to stop.
pub fn run(config: &Path, common: &Common) -> anyhow::Result<ExitCode> {
    let configuration = load(config)?;
    let level = common
        .log_level
        .as_deref()
        .unwrap_or(&configuration.log.level);
    start_logging(level, common.color, configuration.log.format)?;
    let mut files = Files::open(&configuration)?;
    let jobs: Vec<Arc<Job>> = files.roster.jobs().into_values().collect();

    let telemetry = Telemetry::with_scores(Arc::new(SystemClock), &jobs, configuration.scores);
    let telemetry = Arc::new(telemetry);
    files.tell(&telemetry);
    let traces = start_traces(&configuration, &telemetry)?;
    let server = HttpServer::start(&configuration.http, telemetry.clone())?;
    let shutdown = Shutdown::new();
    let reload = listen_for_signals(&shutdown)?;
    tracing::info!(jobs = jobs.len(), http = %server.address(), instance = configuration.kafka.instance_id, "started");

    let configuration = Arc::new(configuration);
    let messengers = start_messengers(&configuration, &telemetry, &shutdown)?;
    let desk = follow_control(&configuration)?;
    let factory = Factory {
        configuration,
        telemetry: telemetry.clone(),
        traces: traces.clone(),
        sharing: Sharing::new(Arc::new(SystemClock), Limits::default()),
    };
    let announced = jobs.iter().map(|job| job.id.clone()).collect();
    let mut supervisor = Supervisor::new(Arc::new(factory), telemetry.clone(), announced);
    let mut tend = Tending::of(files, desk, telemetry);
    let mut state = State::Well;
    // A thread that ends before it was asked to has hit a bug, and ends the others with it.
    while !shutdown.is_asked()
        && state == State::Well
        && !messengers.iter().any(JoinHandle::is_finished)
    {
        state = tend.step(&mut supervisor, reload.swap(false, Ordering::Relaxed))?;
        thread::sleep(LOOK_INTERVAL);
    }
    tracing::info!("ending in order; another signal ends at once");
    shutdown.ask();
    let in_order = supervisor.end() && state == State::Well;
    let told: Vec<bool> = messengers
        .into_iter()
        .map(|messenger| messenger.join().unwrap_or(false))
        .collect();
    let in_order = in_order && told.into_iter().all(|in_order| in_order);
    if !traces.end(LAST_SPANS_MAX) {
        tracing::warn!("the last spans are not delivered: the collector is too slow");
    }
    drop(server);
    tracing::info!(in_order, "ended");
    Ok(match in_order {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Traces, if the configuration asks for them.
fn start_traces(
    configuration: &Configuration,
    telemetry: &Arc<Telemetry>,
) -> anyhow::Result<Traces> {
    let Some(otlp) = &configuration.otlp else {
        return Ok(Traces::off());
    };
    let whose = Whose {
        group_id: &configuration.kafka.group_id,
        instance_id: &configuration.kafka.instance_id,
    };
    let traces = Traces::start(otlp, whose, telemetry.clone())?;
    tracing::info!(service_name = otlp.service_name, sampling = ?otlp.sampling, "traces are exported");
    Ok(traces)
}

/// The configuration in `file`, with the environment's last word.
pub(super) fn load(file: &Path) -> anyhow::Result<Configuration> {
    Ok(Configuration::load(file, environment())?)
}

/// The same for a tool that only looks, from a machine that need not have the job files.
pub(super) fn load_from_elsewhere(file: &Path) -> anyhow::Result<Configuration> {
    Ok(Configuration::load_from_elsewhere(file, environment())?)
}

/// The variables that may have the last word on a key.
pub(super) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// What the thread does that tends the jobs.
struct Tending {
    files: Files,
    desk: Desk,
    telemetry: Arc<Telemetry>,
    agreement: Agreement,
    has_begun: bool,
}

impl Tending {
    fn of(files: Files, desk: Desk, telemetry: Arc<Telemetry>) -> Tending {
        Tending {
            files,
            desk,
            telemetry,
            agreement: Agreement::default(),
            has_begun: false,
        }
    }

    /// One step from what the files and the control topic say to what runs.
    fn step(
        &mut self,
        supervisor: &mut Supervisor<Factory>,
        look_now: bool,
    ) -> anyhow::Result<State> {
        if self.files.look(look_now) {
            self.files.tell(&self.telemetry);
        }
        let jobs = self.files.roster.jobs();
        // At first all jobs wait for their lives together: so that none is taken for unwanted that only has none yet.
        let agreed = self.desk.consult(&mut self.agreement, &jobs);
        self.has_begun |= agreed && self.agreement.claims().is_empty();
        if !self.has_begun {
            breathe(jobs.keys(), &self.telemetry);
            return Ok(State::Well);
        }
        let wanted = self.agreement.wanted();
        let state = supervisor.tend(wanted).context("cannot start a thread")?;
        let without_life = self.agreement.claims().keys();
        breathe(
            without_life.filter(|id| !supervisor.has(id)),
            &self.telemetry,
        );
        Ok(state)
    }
}

/// Jobs that wait for the control topic live, and are not ready.
fn breathe<'a>(jobs: impl Iterator<Item = &'a String>, telemetry: &Telemetry) {
    let breath = Fact::Breath {
        ready: false,
        at_end: false,
    };
    jobs.for_each(|id| telemetry.observe(id, &breath));
}

/// The first signal to end asks, the second does not. Returns what SIGHUP raises.
fn listen_for_signals(shutdown: &Shutdown) -> anyhow::Result<Arc<AtomicBool>> {
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the wish untold and tells it, the second finds it told and ends the process.
        flag::register_conditional_default(signal, shutdown.flag())
            .and_then(|_| flag::register(signal, shutdown.flag()))
            .context("cannot listen for signals")?;
    }
    let reload = Arc::new(AtomicBool::new(false));
    flag::register(SIGHUP, reload.clone()).context("cannot listen for signals")?;
    Ok(reload)
}

/// Works jobs between Kafka topics.
struct Factory {
    configuration: Arc<Configuration>,
    telemetry: Arc<Telemetry>,
    traces: Traces,
    /// Topics that several jobs read are fetched and decoded once.
    sharing: Arc<Sharing>,
}

impl Workshop for Factory {
    fn work(&self, assignment: &Assignment, stop: &Shutdown) -> Result<(), WorkError> {
        let job = &assignment.job;
        let kafka = kafka_of(&self.configuration, &job.id);
        // A job whose topics have changed is ended in order and laid out anew.
        while !stop.is_asked() {
            self.work_as_laid_out(assignment, &kafka, stop)?;
        }
        Ok(())
    }
}

impl Factory {
    fn work_as_laid_out(
        &self,
        assignment: &Assignment,
        kafka: &Kafka,
        stop: &Shutdown,
    ) -> Result<(), WorkError> {
        let job = &assignment.job;
        let log = KafkaLog::open(kafka, &self.configuration.topics)?;
        let log = SharedLog::new(log, &self.sharing, Arc::clone(job));
        let store = open_store(&self.configuration, kafka)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let settings = Settings {
            life: assignment.life,
            traces: self.traces.clone(),
            ..settings(&self.configuration)
        };
        let observer = self.observer(job, kafka, &settings.names);
        let mut service = Service::start(log, store, clock, observer, job.clone(), settings)?;
        tracing::info!(job_id = job.id, group = kafka.group_id, placement = ?service.plan().placement, life = assignment.life, "job at work");
        Ok(service.run(stop)?)
    }

    /// Who listens to a job's service: one who withdraws its old results, too, if it does not keep them for ever.
    fn observer(&self, job: &Job, kafka: &Kafka, names: &TopicNames) -> Arc<dyn Observer> {
        let telemetry = self.telemetry.clone();
        let Some(keep_ms) = job.results_retention_ms else {
            return telemetry;
        };
        let (kafka, topics) = (kafka.clone(), self.configuration.topics.clone());
        let open = Arc::new(move || KafkaTopics::open(&kafka, &topics));
        let (clock, whose) = (Arc::new(SystemClock), (&*job.id, keep_ms));
        Arc::new(Expiry::new(telemetry, clock, whose, names, open))
    }
}

/// How a job's own group is reached.
pub(super) fn kafka_of(configuration: &Configuration, job_id: &str) -> Kafka {
    Kafka {
        group_id: group_of(&configuration.kafka.group_id, job_id),
        ..configuration.kafka.clone()
    }
}

/// The rhythm that the configuration asks for.
pub(super) fn settings(configuration: &Configuration) -> Settings {
    Settings {
        names: TopicNames::new(&configuration.topics.prefix),
        commit_interval_ms: millis(configuration.timing.commit_interval),
        topics_interval_ms: topics_interval_ms(&configuration.kafka),
        snapshot_interval_ms: millis(configuration.timing.snapshot_interval),
        snapshots_kept: configuration.snapshots_kept.into(),
        remembers: remembers(configuration.scores),
        message_bytes_max: message_bytes_max(&configuration.kafka),
        alerts: alert_settings(configuration),
        align: Align {
            ahead_buckets: configuration.align.ahead_buckets,
            ahead_ms_min: millis(configuration.align.ahead_min),
            ..Align::default()
        },
        wake_ms: WAKE_MS,
        ..Settings::default()
    }
}

/// For what a producer has sent to several partitions in one go (its batches, a retry, a leader that is just moving) to be fetched from all of them.
const WAKE_MS: i64 = 2_000;

/// Topics are looked at as often as the client looks.
fn topics_interval_ms(kafka: &Kafka) -> i64 {
    let said = kafka.property("topic.metadata.refresh.interval.ms");
    let said = said.and_then(|text| text.parse().ok());
    said.filter(|ms| *ms > 0)
        .unwrap_or(Settings::default().topics_interval_ms)
}

/// Less than usual where the operator says that brokers take less. Headers need some of it.
fn message_bytes_max(kafka: &Kafka) -> usize {
    let said = kafka.property("message.max.bytes");
    let said: Option<usize> = said.and_then(|text| text.parse().ok());
    said.map_or(MESSAGE_BYTES_MAX, |most| {
        MESSAGE_BYTES_MAX.min(most.saturating_sub(10_000).max(most / 2))
    })
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
pub(super) fn alert_settings(configuration: &Configuration) -> Option<AlertSettings> {
    let alerts = &configuration.alerts;
    alerts.enabled.then(|| AlertSettings {
        defaults: alerts.defaults.over(&AlertPolicy::default()),
        ocsf: alerts.ocsf,
        max_age_ms: millis(alerts.max_age),
    })
}

/// Where the configuration keeps snapshots.
pub(super) fn open_store(
    configuration: &Configuration,
    kafka: &Kafka,
) -> Result<Box<dyn SnapshotStore + Send>, WorkError> {
    Ok(match &configuration.snapshots {
        Where::Directory(path) => Box::new(DirectoryStore::open(path)?),
        Where::S3(settings) => Box::new(S3Store::open(settings.clone())?),
        Where::Topic => {
            let names = TopicNames::new(&configuration.topics.prefix);
            let topics = KafkaTopics::open(kafka, &configuration.topics)?;
            let store: Result<_, StoreError> = TopicStore::open(topics, &names.snapshots());
            Box::new(store?)
        }
    })
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
