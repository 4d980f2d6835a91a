//! `tidewatch run`: the service. One thread a job, one for HTTP, one that follows the control topic, and one that tends them.
//!
//! Before a broker is dialled, everything that is wrong with the configuration and the jobs is said at once. A bad job file keeps its
//! job from starting, not the others; only when no file is good the service does not start. From then on job files may come, change and
//! go ([`Watch`]), and a job that fails is tried again, later and later, while the others go on; `/readyz` says so meanwhile. The first SIGINT or
//! SIGTERM ends the service in order (last transaction, last snapshot, groups left), the second at once; SIGHUP looks at the job files now.
//! Checked by: tests/kafka, tests/cli.rs.

use super::{Common, start_logging};
use crate::config::Job;
use crate::config::service::{Kafka, Service as Configuration, SnapshotStore as Where};
use crate::runtime::clock::{Clock, SystemClock};
use crate::runtime::http::HttpServer;
use crate::runtime::kafka::{KafkaLog, KafkaTopics};
use crate::runtime::log::LogError;
use crate::runtime::observer::{Fact, Observer};
use crate::runtime::service::{Service, Settings, group_of};
use crate::runtime::shutdown::Shutdown;
use crate::runtime::store::{DirectoryStore, SnapshotStore, StoreError, TopicStore};
use crate::runtime::supervisor::control::{Agreed, Control, Life};
use crate::runtime::supervisor::{
    Agreement, Assignment, Patience, Roster, State, Supervisor, Watch, WorkError, Workshop,
};
use crate::runtime::task::TopicNames;
use crate::runtime::telemetry::Telemetry;
use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks at whether anything is to be done.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Between two looks at the control topic.
const CONTROL_INTERVAL: Duration = Duration::from_secs(1);
/// Between two attempts at one that we may not read.
const CONTROL_RETRY: Duration = Duration::from_secs(60);

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

    let telemetry = Arc::new(Telemetry::new(Arc::new(SystemClock), &jobs));
    files.tell(&telemetry);
    let server = HttpServer::start(configuration.http, telemetry.clone())?;
    let shutdown = Shutdown::new();
    let reload = listen_for_signals(&shutdown)?;
    tracing::info!(jobs = jobs.len(), http = %server.address(), instance = configuration.kafka.instance_id, "started");

    let configuration = Arc::new(configuration);
    let desk = follow_control(&configuration)?;
    let mut agreement = Agreement::default();
    let factory = Factory {
        configuration: configuration.clone(),
        telemetry: telemetry.clone(),
    };
    let announced = jobs.iter().map(|job| job.id.clone()).collect();
    let mut supervisor = Supervisor::new(Arc::new(factory), telemetry.clone(), announced);
    let mut has_begun = false;
    let mut state = State::Well;
    while !shutdown.is_asked() && state == State::Well {
        if files.look(reload.swap(false, Ordering::Relaxed)) {
            files.tell(&telemetry);
        }
        let jobs = files.roster.jobs();
        // At first all jobs wait for their lives together: so that none is taken for unwanted that only has none yet.
        let agreed = desk.consult(&mut agreement, &jobs);
        has_begun |= agreed && agreement.claims().is_empty();
        if has_begun {
            let wanted = agreement.wanted();
            state = supervisor.tend(wanted).context("cannot start a thread")?;
            let without_life = agreement.claims().keys();
            breathe(without_life.filter(|id| !supervisor.has(id)), &telemetry);
        } else {
            breathe(jobs.keys(), &telemetry);
        }
        thread::sleep(LOOK_INTERVAL);
    }
    tracing::info!("ending in order; another signal ends at once");
    shutdown.ask();
    let in_order = supervisor.end() && state == State::Well;
    drop(server);
    tracing::info!(in_order, "ended");
    Ok(match in_order {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The configuration in `file`, with the environment's last word.
pub(super) fn load(file: &Path) -> anyhow::Result<Configuration> {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Ok(Configuration::load(file, environment)?)
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

/// The job files, and what they say that can be accepted.
struct Files {
    watch: Watch,
    roster: Roster,
    /// Not told yet.
    refusals: Vec<String>,
    interval: Duration,
    next_look: Instant,
}

#[allow(clippy::disallowed_methods, reason = "looks at files have a rhythm")]
impl Files {
    /// The first look. Every mistake in all files, when none of them is good.
    fn open(configuration: &Configuration) -> anyhow::Result<Files> {
        let interval = configuration.timing.job_files_interval;
        let mut files = Files {
            watch: Watch::new(configuration.jobs.clone()),
            roster: Roster::default(),
            refusals: Vec::new(),
            interval,
            next_look: Instant::now(),
        };
        files.look(true);
        let any = !files.roster.jobs().is_empty();
        anyhow::ensure!(
            any || files.refusals.is_empty(),
            "{}",
            files.refusals.join("\n")
        );
        if !any {
            tracing::warn!("no job file yet");
        }
        Ok(files)
    }

    /// Looks, if it is time or somebody asks. Whether anything has changed.
    fn look(&mut self, now: bool) -> bool {
        if !now && Instant::now() < self.next_look {
            return false;
        }
        self.next_look = Instant::now() + self.interval;
        let patience = match now {
            true => Patience::Urgent,
            false => Patience::Patient,
        };
        let Some(look) = self.watch.look(patience) else {
            return false;
        };
        for error in &look.unlisted {
            tracing::error!(error, "job files cannot be listed; their jobs go on");
        }
        let before = self.roster.jobs();
        self.refusals = self.roster.review(&look);
        for (id, job) in self.roster.jobs() {
            let is_new = before
                .get(&id)
                .is_none_or(|one| one.document != job.document);
            let warnings = job.warnings.iter().filter(|_| is_new);
            warnings.for_each(|warning| tracing::warn!(job_id = id, "{warning}"));
        }
        true
    }

    fn tell(&mut self, telemetry: &Telemetry) {
        let refusals = std::mem::take(&mut self.refusals);
        let fact = Fact::JobFiles {
            refusals: &refusals,
            refused: self.roster.refused(),
        };
        telemetry.observe("", &fact);
    }
}

/// What the control topic says and what is to be claimed in it, between the thread that follows it and the one that tends the jobs.
#[derive(Clone, Default)]
struct Desk(Arc<Mutex<Papers>>);

#[derive(Default)]
struct Papers {
    /// `None` until it is known.
    agreed: Option<Agreed>,
    claims: BTreeMap<String, u64>,
    /// The topic is not for us: each instance goes by its own files.
    is_alone: bool,
}

impl Desk {
    fn papers(&self) -> MutexGuard<'_, Papers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the agreement up to date; whether there is one yet.
    fn consult(&self, agreement: &mut Agreement, jobs: &BTreeMap<String, Arc<Job>>) -> bool {
        let mut papers = self.papers();
        let Some(agreed) = &papers.agreed else {
            return false;
        };
        agreement.update(jobs, agreed);
        papers.claims = agreement.claims().clone();
        if papers.is_alone {
            let papers = &mut *papers;
            let agreed = papers.agreed.get_or_insert_default();
            for (id, fingerprint) in std::mem::take(&mut papers.claims) {
                let life = 0;
                agreed.lives.insert(id, Life { fingerprint, life });
            }
        }
        true
    }
}

/// Follows the control topic on a thread of its own, which ends with the process: reading may wait for brokers.
fn follow_control(configuration: &Arc<Configuration>) -> anyhow::Result<Desk> {
    let desk = Desk::default();
    let (ours, configuration) = (desk.clone(), configuration.clone());
    let follow = move || {
        loop {
            match watch_control(&configuration, &ours) {
                LogError::Unavailable(error) => {
                    tracing::warn!(error, "the control topic cannot be read; asking again");
                    thread::sleep(CONTROL_INTERVAL);
                }
                LogError::Fatal(error) => {
                    tracing::error!(
                        error,
                        "the control topic cannot be used: jobs go on, and `tidewatch jobs` cannot stop them"
                    );
                    let mut papers = ours.papers();
                    papers.is_alone = true;
                    papers.agreed.get_or_insert_default();
                    drop(papers);
                    thread::sleep(CONTROL_RETRY);
                }
            }
        }
    };
    thread::Builder::new()
        .name("control".into())
        .spawn(follow)
        .context("cannot start a thread")?;
    Ok(desk)
}

/// Keeps the desk up to date, and claims what is on it, until something fails.
fn watch_control(configuration: &Configuration, desk: &Desk) -> LogError {
    let names = TopicNames::new(&configuration.topics.prefix);
    let opened = KafkaTopics::open(&configuration.kafka, &configuration.topics)
        .and_then(|topics| Control::open(topics, &names.control()));
    let mut control = match opened {
        Ok(control) => control,
        Err(error) => return error,
    };
    loop {
        if let Err(error) = serve_desk(&mut control, desk) {
            return error;
        }
        let mut left = CONTROL_INTERVAL;
        while !left.is_zero() && desk.papers().claims.is_empty() {
            thread::sleep(LOOK_INTERVAL);
            left = left.saturating_sub(LOOK_INTERVAL);
        }
    }
}

fn serve_desk(control: &mut Control<KafkaTopics>, desk: &Desk) -> Result<(), LogError> {
    let claims = std::mem::take(&mut desk.papers().claims);
    for (id, fingerprint) in claims {
        let life = control.claim(&id, fingerprint)?;
        tracing::info!(job_id = id, life = life.life, "another life of the job");
    }
    let agreed = control.look()?.clone();
    let mut papers = desk.papers();
    papers.agreed = Some(agreed);
    papers.is_alone = false;
    Ok(())
}

/// Works jobs between Kafka topics.
struct Factory {
    configuration: Arc<Configuration>,
    telemetry: Arc<Telemetry>,
}

impl Workshop for Factory {
    fn work(&self, assignment: &Assignment, stop: &Shutdown) -> Result<(), WorkError> {
        let job = &assignment.job;
        let kafka = kafka_of(&self.configuration, &job.id);
        let log = KafkaLog::open(&kafka, &self.configuration.topics)?;
        let store = open_store(&self.configuration, &kafka)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let settings = Settings {
            life: assignment.life,
            ..settings(&self.configuration)
        };
        let telemetry = self.telemetry.clone();
        let mut service = Service::start(log, store, clock, telemetry, job.clone(), settings)?;
        tracing::info!(job_id = job.id, group = kafka.group_id, placement = ?service.plan().placement, life = assignment.life, "job at work");
        Ok(service.run(stop)?)
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
        snapshot_interval_ms: millis(configuration.timing.snapshot_interval),
        ..Settings::default()
    }
}

/// Where the configuration keeps snapshots.
pub(super) fn open_store(
    configuration: &Configuration,
    kafka: &Kafka,
) -> Result<Box<dyn SnapshotStore + Send>, WorkError> {
    Ok(match &configuration.snapshots {
        Where::Directory(path) => Box::new(DirectoryStore::open(path)?),
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
