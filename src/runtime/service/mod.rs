//! The service: one job, one member of its consumer group, one thread that owns everything.
//!
//! One breath: [`receive`](Service::receive) (poll; hand over; restore what was assigned) and [`settle`](Service::settle) (what the clock
//! has to say; the transaction; snapshots). Nothing else happens, so there is no lock to explain and a simulation can stop anywhere.
//!
//! A consumer group belongs to one job: its positions, lag and rebalances are the job's own, and a job can be reset or moved without the
//! others noticing. What two jobs of a process read of one topic is fetched and decoded once all the same, where their positions
//! allow it: that is the log's affair ([`super::log::shared`]).
//!
//! Holds: every transaction contains, for each of its partitions, exactly what the door said between the committed position and the new one;
//! partitions that were lost are not in it, because the loss is told on this thread, in `poll`, and forgetting is immediate. A snapshot
//! is only taken of a committed position; it is frozen here and written elsewhere ([`Keeper`]).

mod align;
mod commit;
mod heritage;
mod inputs;
mod restore;
mod settings;
mod wake;

pub use align::Align;
pub use settings::Settings;

use super::clock::Clock;
use super::log::shared::Portion;
use super::log::{
    Assignment, CommitError, Handler, Log, LogError, Message, Revocation, TopicId, TopicPartition,
};
use super::observer::{Fact, Observer};
use super::shutdown::Shutdown;
use super::store::{Keeper, SnapshotStore};
use super::task::{BUILD, Placement, Plan, PlanError, Remarkable, Task};
use super::traces::{Batch, JobTraces};
use crate::config::Job;
use crate::decode::together::Given;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use wake::Arrivals;

/// No restore is begun in a breath that has restored for so long already. Milliseconds.
const RESTORE_TURN_MS: i64 = 2_000;

/// Why a service ended.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The job cannot be laid out on the topics that exist.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The log cannot be worked with.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A later build has written what this one cannot go on from. Nothing of it is touched.
    #[error("{what}. It was written by {build}: run that version or a later one, which takes up where it stopped. To stay with this one ({ours}), {instead}", ours = BUILD)]
    Newer {
        /// What, and where.
        what: String,
        /// The build, as far as it is known.
        build: String,
        /// How to do without.
        instead: &'static str,
    },
    /// Another service works in the group, whose topics have other names: each would have a part of the input and think it the whole.
    #[error(
        "{at}: the group of job {job} belongs to a service whose topics.prefix is \"{theirs}\", and here it is \"{ours}\": two services that share a group would each see a part of the input. Give this one its own kafka.group_id. To go on under another prefix, stop the service and reset the job with its old configuration first (`tidewatch jobs reset --keep-results`)"
    )]
    OtherPrefix {
        /// Which partition.
        at: TopicPartition,
        /// The job.
        job: String,
        /// What the committed position says.
        theirs: String,
        /// What the configuration says.
        ours: String,
    },
    /// A transaction can neither be made nor given up.
    #[error("commit: {0}")]
    Commit(String),
}

/// The consumer group of a job, of a service that is called `base`. Two jobs must never share one: the positions in it are one job's.
pub fn group_of(base: &str, job_id: &str) -> String {
    format!("{base}.{job_id}")
}

/// One job at work.
pub struct Service<L> {
    log: L,
    keeper: Keeper,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    settings: Settings,
    plan: Arc<Plan>,
    tasks: BTreeMap<TopicPartition, Task>,
    /// Assigned, and not restored yet because the log did not say where they begin.
    waiting: Vec<Assignment>,
    /// States of alerts that some of these wait for.
    searches: BTreeMap<TopicPartition, restore::Search>,
    /// Tasks that may have to take back what earlier owners have left.
    heritages: BTreeMap<TopicPartition, heritage::Heritage>,
    committed_ms: i64,
    /// How long the last transaction took: commits keep to a tenth of the time.
    commit_cost_ms: i64,
    /// The last transaction did not happen: poll once before the next.
    retry: bool,
    /// Which input topics of their names these are, as far as it is known.
    topics: BTreeMap<Arc<str>, TopicId>,
    /// Input topics that did not exist when it was looked last.
    absent: BTreeSet<Arc<str>>,
    /// Input topics that are gone: no position of theirs can be committed.
    forsaken: BTreeSet<Arc<str>>,
    /// How often these partitions have been found to end before what was to be read next.
    doubts: BTreeMap<TopicPartition, u32>,
    /// Nothing is restored before: the store has not answered.
    store_due_ms: i64,
    /// Since when partitions wait for snapshots that are being written.
    writing_since_ms: Option<i64>,
    look_due_ms: i64,
    /// The job is to be laid out anew.
    outdated: bool,
    /// Inputs that are held back.
    paused: usize,
    /// All inputs were silent, and one has been read.
    waking: Option<wake::Waking>,
    traces: JobTraces,
}

impl<L: Log> Service<L> {
    /// Lays the job out, creates the topics it writes to, and joins its group. Nothing is read yet.
    ///
    /// `log` has to be a member of the job's own group ([`group_of`]).
    pub fn start(
        mut log: L,
        store: Box<dyn SnapshotStore + Send>,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
        job: Arc<Job>,
        settings: Settings,
    ) -> Result<Service<L>, ServiceError> {
        let mut asked = Plan::asked(&job)?;
        asked.push(settings.names.closed(&job.id));
        let found = log.partitions(&asked)?;
        let plan = Plan::new(job, settings.names.clone(), &found)?;
        let plan = plan.in_life(settings.life);
        let plan = match settings.range {
            Some(range) => plan.within(range),
            None => plan,
        };
        let mut written = plan.written();
        if let Some(alerts) = &settings.alerts {
            written.extend(alerts.topics(&settings.names));
        }
        log.create(&written)?;
        log.subscribe(&plan.subscription())?;
        for why in restore::unmet_starts(&plan) {
            observer.observe(&plan.job.id, &Fact::StartNotMet { why });
        }
        Ok(Service {
            log,
            keeper: Keeper::new(store, Arc::clone(&clock), settings.snapshot_writing),
            committed_ms: clock.steady_ms(),
            look_due_ms: clock.steady_ms() + settings.topics_interval_ms,
            topics: BTreeMap::new(),
            absent: BTreeSet::new(),
            doubts: BTreeMap::new(),
            store_due_ms: i64::MIN,
            writing_since_ms: None,
            forsaken: BTreeSet::new(),
            outdated: false,
            traces: settings.traces.of_job(&plan.job.id, plan.placement),
            clock,
            observer,
            settings,
            plan: Arc::new(plan),
            tasks: BTreeMap::new(),
            waiting: Vec::new(),
            searches: BTreeMap::new(),
            heritages: BTreeMap::new(),
            commit_cost_ms: 0,
            retry: false,
            paused: 0,
            waking: None,
        })
    }

    /// How the job is laid out.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Drops everything but the log, as it is: what a crash leaves behind.
    pub fn into_log(self) -> L {
        self.log
    }

    /// The log: for a simulation, which pulls its levers.
    pub fn log_mut(&mut self) -> &mut L {
        &mut self.log
    }

    /// Whether every assigned task has caught up with what its former owner had committed.
    pub fn is_ready(&self) -> bool {
        self.waiting.is_empty() && self.tasks.values().all(Task::is_live)
    }

    /// Whether a replay has come to its end: the last results of its range are public. Only the instance that writes them knows.
    pub fn is_done(&self) -> bool {
        self.tasks.values().any(Task::is_done)
    }

    /// Whether nothing is left to do until something new arrives: all is read and committed.
    pub fn is_settled(&mut self) -> bool {
        let log = &mut self.log;
        self.tasks.values().all(|task| {
            task.is_live()
                && !task.owes_awake()
                && !task.has_words()
                && !task.has_moved()
                && log.lag(&task.at) == Some(0)
        })
    }

    /// What every task is at, for a person who looks for what holds the service up.
    pub fn describe(&mut self) -> String {
        let log = &mut self.log;
        let lines = self.tasks.values().map(|task| {
            let (live, words, moved) = (task.is_live(), task.has_words(), task.has_moved());
            let lag = log.lag(&task.at);
            format!(
                "{}: live {live}, words {words}, moved {moved}, lag {lag:?}",
                task.at
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Breathes until `shutdown` is asked for, or the job is to be laid out anew ([`Service::is_outdated`]), then finishes.
    pub fn run(&mut self, shutdown: &Shutdown) -> Result<(), ServiceError> {
        while !shutdown.is_asked() && !self.is_done() && !self.is_outdated() {
            match self.breathe(Duration::from_millis(self.patience_ms())) {
                Err(ServiceError::Log(LogError::Unavailable(error))) => {
                    self.tell(&Fact::Unavailable { error });
                }
                done => done?,
            }
        }
        self.finish()
    }

    /// Waits for one thing (at most `timeout`), hands it over, carries everything out.
    pub fn breathe(&mut self, timeout: Duration) -> Result<(), ServiceError> {
        self.receive(timeout)?;
        self.settle()
    }

    /// The first half of a breath: what the log has to tell.
    pub fn receive(&mut self, timeout: Duration) -> Result<(), ServiceError> {
        self.align();
        let (waited, had_inputs) = (self.waiting.len(), self.has_inputs());
        let mut intake = Intake {
            tasks: &mut self.tasks,
            observer: &*self.observer,
            job_id: &self.plan.job.id,
            arrivals: std::mem::take(&mut self.waiting),
            leaving: Vec::new(),
            displaced: false,
            taken: BTreeMap::new(),
            traces: &mut self.traces,
            outbox_bytes_max: match self.waking {
                None => self.settings.outbox_bytes_max,
                Some(_) => usize::MAX,
            },
        };
        let polled = self.log.poll(timeout, &mut intake);
        let (mut arrivals, leaving, taken) = (intake.arrivals, intake.leaving, intake.taken);
        self.outdated |= intake.displaced;
        self.retry = false;
        let arrivals_are = match arrivals.len() > waited {
            false => Arrivals::None,
            true if had_inputs => Arrivals::More,
            true => Arrivals::First,
        };
        if !leaving.is_empty() {
            self.hand_over(&leaving)?;
            // Not before: the last that is said of them is still ours to show.
            let (partitions, how) = (&*leaving, Revocation::Released);
            self.tell(&Fact::Revoked { partitions, how });
        }
        if arrivals_are != Arrivals::None {
            self.announce(&arrivals)?;
        }
        match self.learn_topics(arrivals.iter().map(|one| one.at.clone())) {
            Err(LogError::Unavailable(error)) => {
                self.tell(&Fact::Unavailable { error });
                self.waiting.append(&mut arrivals);
            }
            done => done?,
        }
        // Where brokers or a store do not answer each takes its whole patience: the loop must go on turning, and nobody come first for ever.
        let (began_ms, mut put_off) = (self.clock.steady_ms(), Vec::new());
        for assignment in arrivals {
            if self.clock.steady_ms() - began_ms > RESTORE_TURN_MS {
                put_off.push(assignment);
                continue;
            }
            match self.restore(assignment.clone()) {
                Err(ServiceError::Log(LogError::Unavailable(error))) => {
                    self.tell(&Fact::Unavailable { error });
                    self.waiting.push(assignment);
                }
                done => done?,
            }
        }
        put_off.append(&mut self.waiting);
        self.waiting = put_off;
        let waiting = &self.waiting;
        self.searches
            .retain(|at, _| waiting.iter().any(|one| one.at == *at));
        self.tell_consumed(&taken);
        self.wake(arrivals_are)?;
        polled?;
        self.refuse_what_is_newer()
    }

    /// The second half: what the clock has to say, then the transaction and snapshots that are due.
    pub fn settle(&mut self) -> Result<(), ServiceError> {
        self.look_at_topics()?;
        self.inherit()?;
        let at_end = self.wake_tasks();
        self.begin_waking(Arrivals::None);
        self.publish_interim()?;
        if self.commit_is_due() {
            self.commit()?;
        }
        // Not only after a commit: what came last before the input fell silent is to be kept, too.
        self.take_due_snapshots();
        self.tell_kept();
        let ready = self.is_ready();
        self.tell(&Fact::Breath { ready, at_end });
        Ok(())
    }

    /// Commits what there is, whether or not it is time.
    pub fn commit_now(&mut self) -> Result<(), ServiceError> {
        if !self.retry && self.waking.is_none() && self.commit()? {
            self.take_due_snapshots();
        }
        Ok(())
    }

    /// Writes the snapshot that has waited longest, where [`Settings::snapshot_writing`] leaves it to the caller. Whether there was one.
    pub fn write_snapshot(&mut self) -> bool {
        self.keeper.work()
    }

    /// How many snapshots have been taken and are not stored yet.
    pub fn snapshots_in_the_making(&self) -> usize {
        self.keeper.orders()
    }

    /// The end: what is finished is committed, the state kept, the group left at once.
    pub fn finish(&mut self) -> Result<(), ServiceError> {
        let all: Vec<TopicPartition> = self.tasks.keys().cloned().collect();
        self.hand_over(&all)?;
        Ok(self.log.leave()?)
    }

    /// How long a poll may wait without anything here coming too late, milliseconds.
    fn patience_ms(&self) -> u64 {
        (self.settings.commit_interval_ms / 4)
            .clamp(1, 100)
            .unsigned_abs()
    }

    /// Whether some partition here has far more to read than comes while one looks away.
    fn is_far_behind(&mut self) -> bool {
        let lag_min = self.settings.align.lag_min;
        let mut lags = self.tasks.keys().filter_map(|at| self.log.lag(at));
        lags.any(|lag| lag > lag_min)
    }

    /// Tells each live task that has read everything what time it is. Returns whether that is so for all of them.
    fn wake_tasks(&mut self) -> bool {
        let now_ms = self.clock.steady_ms();
        let mut all_at_end = true;
        let is_catch_up = self.plan.placement == Placement::Keyed && self.is_far_behind();
        for task in self.tasks.values_mut() {
            let lag = self.log.lag(&task.at);
            let at_end = lag == Some(0);
            all_at_end &= at_end;
            if lag.is_some_and(|ahead| ahead > 0) {
                task.rouse();
            }
            if let Some(messages) = task.news_of_lag(lag, now_ms) {
                let fact = Fact::Lag {
                    at: &task.at,
                    messages,
                };
                self.observer.observe(&self.plan.job.id, &fact);
            }
            if let Some((messages, duration_ms)) = task.finished_replay(now_ms, at_end) {
                let at = &task.at;
                self.traces.replayed(at, messages);
                let fact = Fact::Replayed {
                    at,
                    messages,
                    duration_ms,
                };
                self.observer.observe(&self.plan.job.id, &fact);
            }
            if at_end && task.is_live() && task.at_end(now_ms, is_catch_up) {
                let fact = Fact::Idle { at: &task.at };
                self.observer.observe(&self.plan.job.id, &fact);
            }
        }
        all_at_end
    }

    fn tell_consumed(&mut self, taken: &BTreeMap<TopicPartition, (u64, u64)>) {
        for (at, &(messages, bytes)) in taken {
            let lag = self.log.lag(at);
            if let Some(task) = self.tasks.get_mut(at) {
                task.told_lag(lag);
            }
            let fact = Fact::Consumed {
                at,
                messages,
                bytes,
                lag,
            };
            self.observer.observe(&self.plan.job.id, &fact);
            let measured = self.tasks.get_mut(at).map(Task::take_measured);
            if let Some(measured) = measured.filter(|measured| !measured.is_empty()) {
                let measured = &measured;
                self.tell(&Fact::Measured { measured });
            }
            self.tell_watermark(at);
        }
    }

    fn tell_watermark(&self, at: &TopicPartition) {
        if let Some(time) = self.tasks.get(at).and_then(Task::watermark) {
            let event_time_ms = time.millis();
            self.tell(&Fact::Watermark { at, event_time_ms });
        }
    }

    /// Leaves what only a later build can read to an instance of that build.
    fn refuse_what_is_newer(&self) -> Result<(), ServiceError> {
        let barred = |task: &Task| Some(format!("{}, {}", task.at, task.barred()?));
        match self.tasks.values().find_map(barred) {
            None => Ok(()),
            Some(what) => Err(ServiceError::Newer {
                what,
                build: "a later version".to_owned(),
                instead: "stop all later instances and reset the job",
            }),
        }
    }

    fn tell(&self, fact: &Fact<'_>) {
        self.observer.observe(&self.plan.job.id, fact);
    }
}

/// What the service hears in a poll: batches go to their tasks at once, the rest is remembered until the poll returns.
struct Intake<'s> {
    tasks: &'s mut BTreeMap<TopicPartition, Task>,
    observer: &'s dyn Observer,
    job_id: &'s str,
    arrivals: Vec<Assignment>,
    leaving: Vec<TopicPartition>,
    /// A partition ends before what was to be read next.
    displaced: bool,
    taken: BTreeMap<TopicPartition, (u64, u64)>,
    traces: &'s mut JobTraces,
    /// With so many bytes waiting for a transaction nothing more is taken. While inputs wake there is none, and what is read decides when they are awake.
    outbox_bytes_max: usize,
}

impl Handler for Intake<'_> {
    fn assigned(&mut self, assignments: Vec<Assignment>) {
        self.arrivals.extend(assignments);
    }

    fn revoked(&mut self, partitions: &[TopicPartition], how: Revocation) {
        self.arrivals
            .retain(|arrival| !partitions.contains(&arrival.at));
        self.traces.left(partitions);
        match how {
            Revocation::Released => self.leaving.extend_from_slice(partitions),
            Revocation::Lost => {
                self.tasks.retain(|at, _| !partitions.contains(at));
                self.leaving.retain(|at| !partitions.contains(at));
                self.observer
                    .observe(self.job_id, &Fact::Revoked { partitions, how });
            }
        }
    }

    fn skipped(&mut self, at: &TopicPartition, from: i64, to: i64) {
        let lost = self.tasks.get_mut(at).and_then(|task| task.skip(from, to));
        if let Some(loss) = lost {
            let from = loss.from;
            self.observer
                .observe(self.job_id, &Fact::Gap { at, from, to });
        }
    }

    fn displaced(&mut self, _at: &TopicPartition, _next_offset: i64) -> bool {
        self.displaced = true;
        true
    }

    fn batch(&mut self, at: &TopicPartition, messages: &mut dyn Iterator<Item = Message<'_>>) {
        let elsewhere: usize = self
            .tasks
            .values()
            .filter(|task| task.at != *at)
            .map(Task::outbox_bytes)
            .sum();
        let bytes_max = self.outbox_bytes_max.saturating_sub(elsewhere);
        self.take(at, &mut messages.map(|message| (message, None)), bytes_max);
    }

    fn shared(&mut self, at: &TopicPartition, portion: &Portion<'_>) {
        self.take(at, &mut portion.messages(), usize::MAX);
        if portion.is_of_another() {
            let messages = portion.count() as u64;
            let fact = Fact::Shared { at, messages };
            self.observer.observe(self.job_id, &fact);
        }
    }
}

impl Intake<'_> {
    fn take<'m>(
        &mut self,
        at: &TopicPartition,
        messages: &mut dyn Iterator<Item = (Message<'m>, Option<Given<'m>>)>,
        outbox_bytes_max: usize,
    ) {
        let Some(task) = self.tasks.get_mut(at) else {
            messages.for_each(drop);
            return;
        };
        let (observer, job_id) = (self.observer, self.job_id);
        let (began, mut rejected) = (self.traces.now(), 0);
        let (count, bytes) = task.take(messages, outbox_bytes_max, &mut |remark| {
            let offset = remark.offset;
            let fact = match remark.what {
                Remarkable::Rejected(ref rejection) => {
                    rejected += 1;
                    Fact::Rejected {
                        at,
                        offset,
                        rejection,
                    }
                }
                Remarkable::Unreadable(ref error) => Fact::Unreadable {
                    at,
                    offset,
                    error: error.clone(),
                },
                Remarkable::Late { events } => Fact::LateForJudge { at, events },
                Remarkable::PassedOver { events } => Fact::PassedOver { at, events },
                Remarkable::Tombstones { messages } => Fact::Tombstones { at, messages },
            };
            observer.observe(job_id, &fact);
        });
        if began.is_some() {
            let batch = Batch {
                at,
                stage: task.kind(),
                messages: count,
                bytes,
                rejected,
                position: task.position(),
                watermark_ms: task.watermark().map(|time| time.millis()),
            };
            self.traces.batch(began, &batch, task.take_steps());
        }
        match self.taken.get_mut(at) {
            Some(taken) => *taken = (taken.0 + count, taken.1 + bytes),
            None => drop(self.taken.insert(at.clone(), (count, bytes))),
        }
    }
}
