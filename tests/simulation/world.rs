//! A service of several instances in a world that a seed makes hostile: everything that may happen to it, may happen at any step.

use super::calm::Doors;
use super::draw::Draw;
use super::feed::{Feed, IDLE_TIMEOUT_MS, Sent, TOPIC};
use super::store::Unreliable;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidewatch::config::{AlertPolicy, Job};
use tidewatch::engine::result::DocumentKind;
use tidewatch::runtime::alerts::AlertSettings;
use tidewatch::runtime::clock::{Clock, ManualClock};
use tidewatch::runtime::log::Outgoing;
use tidewatch::runtime::log::memory::{Assignor, Break, Cluster, MemoryLog};
use tidewatch::runtime::log::shared::{Limits, SharedLog, Sharing};
use tidewatch::runtime::observer::{Fact, Observer};
use tidewatch::runtime::service::{Align, Service, ServiceError, Settings};
use tidewatch::runtime::store::{MemoryStore, SnapshotStore, TopicStore, Writing};
use tidewatch::runtime::task::TopicNames;

/// Every record is an incident's, because a seed's history is too short for high scores; they last, so that they outlive whoever began them; and a limit holds
/// some of them back.
pub(crate) fn alert_settings() -> AlertSettings {
    AlertSettings {
        defaults: AlertPolicy {
            threshold: 0.0,
            resolve_below: 0.0,
            resolve_after_ms: Some(300_000),
            repeat_interval_ms: 240_000,
            rate_limit: 2,
            rate_window_ms: 600_000,
            ..AlertPolicy::default()
        },
        ..AlertSettings::default()
    }
}

/// All jobs write to the same topics, so that what one has left open hides what the others have written since.
pub(crate) fn names() -> TopicNames {
    TopicNames::new("tidewatch")
}

const DAY_MS: u64 = 86_400_000;

/// A world that does not come to rest within so many rounds never will.
const ROUNDS_MAX: usize = 20_000;

/// Counts what the seeds have exercised, and remembers what must never happen.
#[derive(Default)]
pub(crate) struct Witness {
    pub(crate) tally: Mutex<Tally>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) crashes: u64,
    pub(crate) zombies: u64,
    pub(crate) twins: u64,
    pub(crate) rebalances: u64,
    pub(crate) aborted: u64,
    pub(crate) committed: u64,
    pub(crate) restored: u64,
    pub(crate) replayed: u64,
    pub(crate) unusable: u64,
    pub(crate) idle: u64,
    pub(crate) alerts: u64,
    /// Snapshots written while the service went on.
    pub(crate) written: u64,
    /// Snapshots that a crash left unwritten.
    pub(crate) unwritten: u64,
    /// Messages that one job took from what another had read.
    pub(crate) shared: u64,
    /// Times that inputs were held back.
    pub(crate) paused: u64,
    /// Jobs that were ended in order while others of the process went on.
    pub(crate) stopped: u64,
    /// Times that the time of day was set, by up to a day.
    pub(crate) jumps: u64,
    /// Jobs by whose word counts.
    pub(crate) doors: [u64; 4],
    /// Documents that say a word of [`SIGNS`].
    pub(crate) signs: [u64; SIGNS.len()],
    pub(crate) wrong: Vec<String>,
}

/// What some document of some seed says: that results were re-opened and withdrawn, keys are misplaced, events were planned, and records of most kinds of functions.
/// (What is rare, and what goes together, is judged in many seeds, and so short a life hardly ever makes a record of it.)
const SIGNS: [&str; 13] = [
    "\"late_event_count\":",
    "\"is_withdrawn\":true",
    "\"event\":\"misplaced_key\"",
    "\"scheduled_events\":",
    "\"categorization_status\":",
    "\"mlcategory\"",
    "\"function\":\"info_content\"",
    "\"function\":\"time_of_day\"",
    "\"function\":\"lat_long\"",
    "\"function\":\"varp\"",
    "\"function\":\"count\"",
    "\"result_type\":\"model_plot\"",
    "\"causes\":",
];

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.crashes += other.crashes;
        self.zombies += other.zombies;
        self.twins += other.twins;
        self.rebalances += other.rebalances;
        self.aborted += other.aborted;
        self.committed += other.committed;
        self.restored += other.restored;
        self.replayed += other.replayed;
        self.unusable += other.unusable;
        self.idle += other.idle;
        self.alerts += other.alerts;
        self.written += other.written;
        self.unwritten += other.unwritten;
        self.shared += other.shared;
        self.paused += other.paused;
        self.stopped += other.stopped;
        self.jumps += other.jumps;
        let sum = |mine: &mut [u64], theirs: &[u64]| {
            mine.iter_mut()
                .zip(theirs)
                .for_each(|(one, other)| *one += other);
        };
        sum(&mut self.doors, &other.doors);
        sum(&mut self.signs, &other.signs);
    }

    /// Counts what the documents of a job are about.
    pub(crate) fn look_at(
        &mut self,
        doors: Doors,
        said: &BTreeMap<(DocumentKind, String), Vec<String>>,
    ) {
        self.doors[doors as usize] += 1;
        for word in said.values().flatten() {
            for (count, sign) in self.signs.iter_mut().zip(SIGNS) {
                *count += u64::from(word.contains(sign));
            }
        }
    }

    pub(crate) fn has_seen_everything(&self) -> bool {
        let seen = [
            self.crashes,
            self.zombies,
            self.twins,
            self.rebalances,
            self.aborted,
            self.committed,
            self.restored,
            self.replayed,
            self.unusable,
            self.idle,
            self.alerts,
            self.written,
            self.unwritten,
            self.shared,
            self.paused,
            self.stopped,
            self.jumps,
        ];
        let all = seen.iter().chain(&self.doors).chain(&self.signs);
        all.into_iter().all(|&times| times > 0)
    }
}

impl Observer for Witness {
    fn observe(&self, _job_id: &str, fact: &Fact<'_>) {
        let mut tally = self.tally.lock().expect("no test panics while it counts");
        match fact {
            Fact::Aborted { .. } => tally.aborted += 1,
            Fact::Committed { .. } => tally.committed += 1,
            Fact::Assigned {
                snapshot: Some(_), ..
            } => tally.restored += 1,
            Fact::Replayed { .. } => tally.replayed += 1,
            Fact::SnapshotUnusable { .. } => tally.unusable += 1,
            Fact::Idle { .. } => tally.idle += 1,
            Fact::Revoked { .. } => tally.rebalances += 1,
            Fact::Alert { .. } => tally.alerts += 1,
            Fact::Shared { messages, .. } => tally.shared += messages,
            Fact::Paused { inputs } => tally.paused += u64::from(*inputs > 0),
            Fact::Gap { .. }
            | Fact::LateForJudge { .. }
            | Fact::Unreadable { .. }
            | Fact::Reconfigured { .. }
            | Fact::AlertStateUnusable { .. }
            | Fact::TopicGone { .. }
            | Fact::TopicRenewed { .. }
            | Fact::PartitionsAdded { .. }
            | Fact::PositionVanished { .. } => tally.wrong.push(format!("{fact:?}")),
            _ => {}
        }
    }
}

type Worker = Service<SharedLog<MemoryLog>>;

/// Processes, each with every job, some of them dead, some of them dead without knowing it.
pub(crate) struct World<'f> {
    feed: &'f Feed,
    pub(crate) cluster: Cluster,
    /// Whether only the last word on some incidents may be left.
    pub(crate) has_compacted: bool,
    clock: ManualClock,
    witness: Arc<Witness>,
    /// Where snapshots are, when no topic keeps them.
    memory: Option<MemoryStore>,
    /// What the stores draw their faults from, and how rare these are.
    faults: (Arc<Mutex<Draw>>, u64),
    settings: Settings,
    batch_max: usize,
    sent: usize,
    /// One a process: what its jobs share.
    sharing: Vec<Arc<Sharing>>,
    limits: Limits,
    /// One a process and job, those of a process together; `None` while it is down.
    instances: Vec<Option<Worker>>,
    /// The same name a second time: the earlier process of it, which still runs.
    twins: Vec<Worker>,
    /// Sessions of the dead, which the group has not noticed.
    ghosts: Vec<MemoryLog>,
}

impl<'f> World<'f> {
    pub(crate) fn new(feed: &'f Feed, draw: &mut Draw, witness: Arc<Witness>) -> World<'f> {
        let cluster = Cluster::new();
        cluster.create_topic(TOPIC, feed.partitions);
        let settings = Settings {
            commit_interval_ms: draw.range(1, 400) as i64,
            snapshot_interval_ms: 1_000_000,
            snapshot_every_messages: (!draw.one_in(4)).then(|| draw.range(3, 120)),
            snapshots_kept: 2,
            alerts: Some(alert_settings()),
            names: names(),
            snapshot_writing: Writing::ByHand,
            align: Align {
                ahead_buckets: draw.range(0, 3) as u32,
                ahead_ms_min: 1,
                lag_min: draw.range(0, 20),
            },
            wake_ms: draw.range(0, 600) as i64,
            // What stages say leaves in pieces of whatever size.
            message_bytes_max: match draw.one_in(2) {
                true => Settings::default().message_bytes_max,
                false => draw.range(120, 600) as usize,
            },
            // Batches are left in the middle.
            outbox_bytes_max: match draw.one_in(2) {
                true => Settings::default().outbox_bytes_max,
                false => draw.range(1, 20_000) as usize,
            },
            ..Settings::default()
        };
        let assignor = [Assignor::Cooperative, Assignor::Eager][draw.range(0, 2) as usize];
        for job in &feed.jobs {
            cluster.set_assignor(&job.id, assignor);
        }
        let limits = Limits {
            ring_bytes: draw.range(500, 30_000) as usize,
            reach: draw.range(0, 60) as i64,
            live_messages: draw.range(0, 30),
            patience_ms: 250,
        };
        let clock = ManualClock::at(1_700_000_000_000);
        let processes = draw.range(1, 4) as usize;
        let mut world = World {
            feed,
            cluster,
            has_compacted: false,
            sharing: Vec::new(),
            limits,
            clock,
            witness,
            memory: draw.one_in(2).then(MemoryStore::new),
            faults: (
                Arc::new(Mutex::new(Draw::new(draw.range(0, u64::MAX)))),
                draw.range(2, 20),
            ),
            settings,
            batch_max: draw.range(1, 60) as usize,
            sent: 0,
            instances: (0..processes * feed.jobs.len()).map(|_| None).collect(),
            twins: Vec::new(),
            ghosts: Vec::new(),
        };
        world.sharing = (0..processes).map(|_| world.new_sharing()).collect();
        // The other jobs come later, or with the first.
        for name in 0..world.instances.len() {
            if world.job(name).id == feed.jobs[0].id || draw.one_in(2) {
                world.revive(name);
            }
        }
        world
    }

    fn job(&self, name: usize) -> &'f Arc<Job> {
        &self.feed.jobs[name % self.feed.jobs.len()]
    }

    fn process(&self, name: usize) -> usize {
        name / self.feed.jobs.len()
    }

    fn new_sharing(&self) -> Arc<Sharing> {
        Sharing::new(Arc::new(self.clock.clone()), self.limits)
    }

    /// Lets things happen until all input is sent and a while longer.
    pub(crate) fn rage(&mut self, draw: &mut Draw) {
        let steps = draw.range(50, 400);
        let per_step = (self.feed.sent.len() as u64 * 2 / steps).max(1);
        for _ in 0..steps {
            self.happen(draw, per_step);
        }
    }

    /// Ends all trouble, and waits until nothing moves any more.
    pub(crate) fn calm_down(&mut self) {
        self.send(usize::MAX);
        for twin in self.twins.drain(..) {
            self.ghosts.push(twin.into_log().into_inner());
        }
        self.feed.closing.iter().for_each(|sent| self.append(sent));
        self.rest(400, 1);
        // Long enough for every partition to be found idle, and for whoever dies once more of an old trap to begin to wait anew.
        self.rest(IDLE_TIMEOUT_MS / 2, 12);
    }

    /// Goes on, `step_ms` a round, until nothing has moved for so many rounds.
    fn rest(&mut self, step_ms: i64, rounds: usize) {
        let mut still = 0;
        for _ in 0..ROUNDS_MAX {
            self.clock.advance(step_ms);
            self.mend();
            (0..self.instances.len()).for_each(|name| self.breathe(name));
            let settled = |one: &mut Option<Worker>| one.as_mut().is_some_and(Service::is_settled);
            still = match self.instances.iter_mut().all(settled) {
                true => still + 1,
                false => 0,
            };
            if still == rounds {
                return;
            }
        }
        panic!("the world does not come to rest:\n{}", self.describe());
    }

    /// Whoever is down comes up again, and what the dead have left is cleared away. (One may still die of a commit that was broken before.)
    fn mend(&mut self) {
        if !self.ghosts.is_empty() {
            self.ghosts
                .drain(..)
                .for_each(|ghost| self.cluster.evict(&ghost));
            self.cluster.time_out_transactions();
        }
        (0..self.instances.len()).for_each(|name| self.revive(name));
    }

    fn happen(&mut self, draw: &mut Draw, per_step: u64) {
        let name = draw.range(0, self.instances.len() as u64) as usize;
        match draw.range(0, 100) {
            0..38 => self.receive(name),
            38..58 => self.settle(name),
            58..65 => self.write_snapshot(name),
            65..80 => self.send(draw.range(0, per_step * 7) as usize),
            80..87 => self.clock.advance(draw.range(1, 300) as i64),
            87..88 => {
                self.clock
                    .jump(draw.range(0, 2 * DAY_MS) as i64 - DAY_MS as i64);
                self.count(|tally| tally.jumps += 1);
            }
            88..90 => match draw.range(0, 3) {
                0 => self.crash(name),
                1 => self.crash_process(name),
                _ => self.stop(name),
            },
            90..92 => self.break_commit(name, draw),
            92..93 => self.bury(draw),
            93..95 => self.revive(name),
            95..96 => self.make_zombie(name),
            96..97 => self.make_twin(name),
            97..98 => self.step_twins(),
            98..99 => self.cluster.rotate(&self.job(name).id),
            _ => match draw.range(0, 3) {
                0 => self.cluster.time_out_transactions(),
                1 => {
                    self.cluster.compact();
                    self.has_compacted = true;
                }
                _ => self
                    .twins
                    .drain(..)
                    .for_each(|twin| self.ghosts.push(twin.into_log().into_inner())),
            },
        }
    }

    fn send(&mut self, messages: usize) {
        let feed = self.feed;
        let rest = &feed.sent[self.sent..];
        for sent in &rest[..messages.min(rest.len())] {
            self.append(sent);
            self.sent += 1;
        }
    }

    fn append(&self, sent: &Sent) {
        let message = Outgoing {
            topic: TOPIC.into(),
            partition: Some(sent.partition),
            key: None,
            payload: Some(sent.payload.clone()),
            headers: Vec::new(),
            timestamp_ms: Some(sent.timestamp_ms),
        };
        self.cluster.append(&message).expect("the topic exists");
    }

    fn receive(&mut self, name: usize) {
        if let Some(service) = &mut self.instances[name] {
            let done = service.receive(Duration::ZERO);
            self.survived(name, done);
        }
    }

    fn settle(&mut self, name: usize) {
        if let Some(service) = &mut self.instances[name] {
            let done = service.settle();
            self.survived(name, done);
        }
    }

    /// The oldest snapshot in the making gets done, well after it was taken or just then; a crash before that loses it.
    fn write_snapshot(&mut self, name: usize) {
        let written = self.instances[name]
            .as_mut()
            .is_some_and(Service::write_snapshot);
        self.count(|tally| tally.written += u64::from(written));
    }

    fn breathe(&mut self, name: usize) {
        self.receive(name);
        self.settle(name);
    }

    fn survived(&mut self, name: usize, done: Result<(), ServiceError>) {
        match done {
            Ok(()) => {}
            Err(ServiceError::Commit(_)) => self.crash_process(name), // the simulated death in mid-commit
            Err(error) => panic!("{error}"),
        }
    }

    /// A whole process dies, with what its jobs shared.
    fn crash_process(&mut self, name: usize) {
        let process = self.process(name);
        for name in 0..self.instances.len() {
            if self.process(name) == process {
                self.crash(name);
            }
        }
        self.sharing[process] = self.new_sharing();
    }

    /// One job of a process ends in order; it will come again.
    fn stop(&mut self, name: usize) {
        if let Some(mut service) = self.instances[name].take() {
            match service.finish() {
                Ok(()) => self.count(|tally| tally.stopped += 1),
                Err(_) => self.ghosts.push(service.into_log().into_inner()),
            }
        }
    }

    /// One job's thread dies, and the others of the process go on.
    fn crash(&mut self, name: usize) {
        if let Some(service) = self.instances[name].take() {
            let unwritten = service.snapshots_in_the_making();
            self.ghosts.push(service.into_log().into_inner());
            self.count(|tally| {
                tally.crashes += 1;
                tally.unwritten += unwritten as u64;
            });
        }
    }

    fn break_commit(&mut self, name: usize, draw: &mut Draw) {
        let how = [Break::Abort, Break::DieBefore, Break::DieAfter][draw.range(0, 3) as usize];
        if let Some(service) = &mut self.instances[name] {
            service.log_mut().inner_mut().break_next_commit(how);
        }
    }

    /// The group notices that somebody is dead.
    fn bury(&mut self, draw: &mut Draw) {
        if !self.ghosts.is_empty() {
            let at = draw.range(0, self.ghosts.len() as u64) as usize;
            let ghost = self.ghosts.swap_remove(at);
            self.cluster.evict(&ghost);
        }
    }

    fn revive(&mut self, name: usize) {
        if self.instances[name].is_none() {
            self.instances[name] = Some(self.open(name));
        }
    }

    /// The group gives up on somebody who is not dead.
    fn make_zombie(&mut self, name: usize) {
        if let Some(service) = &mut self.instances[name] {
            self.cluster.evict(service.log_mut().inner_mut());
            self.count(|tally| tally.zombies += 1);
        }
    }

    /// Somebody is started a second time under the same name.
    fn make_twin(&mut self, name: usize) {
        if let Some(service) = self.instances[name].take() {
            self.twins.push(service);
            self.revive(name);
            self.count(|tally| tally.twins += 1);
        }
    }

    fn step_twins(&mut self) {
        for mut twin in std::mem::take(&mut self.twins) {
            match twin.breathe(Duration::ZERO) {
                Ok(()) => self.twins.push(twin),
                Err(_) => self.ghosts.push(twin.into_log().into_inner()),
            }
        }
    }

    fn open(&self, name: usize) -> Worker {
        let (job, process) = (Arc::clone(self.job(name)), self.process(name));
        let mut log = self.cluster.open(&job.id, &format!("instance-{process}"));
        log.set_batch_max(self.batch_max);
        let log = SharedLog::new(log, &self.sharing[process], Arc::clone(&job));
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let witness: Arc<dyn Observer> = Arc::clone(&self.witness) as Arc<dyn Observer>;
        let store = Box::new(self.store());
        let settings = self.settings.clone();
        Service::start(log, store, clock, witness, job, settings).expect("the job can be laid out")
    }

    fn store(&self) -> Unreliable {
        let store: Box<dyn SnapshotStore + Send> = match &self.memory {
            Some(memory) => Box::new(memory.clone()),
            None => {
                let log = self.cluster.open("", "");
                Box::new(TopicStore::open(log, "snapshots").expect("a topic can be made"))
            }
        };
        Unreliable::new(store, Arc::clone(&self.faults.0), self.faults.1)
    }

    pub(crate) fn describe(&mut self) -> String {
        let each = self.instances.iter_mut().flatten().map(Service::describe);
        each.collect::<Vec<_>>().join("\n--\n")
    }

    fn count(&self, add: impl FnOnce(&mut Tally)) {
        add(&mut self
            .witness
            .tally
            .lock()
            .expect("no test panics while it counts"));
    }
}
