//! Delivers what the alerts topic says to one receiver.
//!
//! A member of a consumer group of its own, which nobody else's slowness holds up. Its position moves when the receiver has taken the news: after a crash the last news is
//! delivered again, never left out. What waits for a receiver that is down is one notice an incident, the latest; it is tried again after 1 s, 2 s... 60 s
//! until it is older than `max_age`.
//!
//! What has gone on before the position is read from the topic when a partition is assigned: Alertmanager has to hear of it again and again.
//! No notice is delivered that is older than `max_age` (and two buckets) by the clock: history that is caught up with rings no bell. An incident that began in such
//! history and still goes on is told with its next `still_on` notice.
//! Checked by: tests/alerts (in memory, with crashes) and tests/kafka (a real Alertmanager).

use super::alertmanager::{self, Links};
use super::document::{AlertDocument, Status};
use super::http::{Post, PostError};
use super::webhook;
use crate::alert::Reason;
use crate::config::service::{Receiver, ReceiverKind};
use crate::runtime::clock::Clock;
use crate::runtime::log::{
    Assignment, CommitError, Handler, Log, LogError, Message, Position, Revocation, TopicPartition,
    Transaction,
};
use crate::runtime::observer::{Fact, Observer};
use crate::runtime::shutdown::Shutdown;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const RETRY_FIRST_MS: i64 = 1_000;
const RETRY_MAX_MS: i64 = 60_000;
/// Alerts in one request to Alertmanager.
const ALERTS_PER_REQUEST: usize = 64;
/// Incidents of a partition that wait at the most; what comes after is read again when they are through.
const WAITING_MAX: usize = 10_000;
/// Alertmanager believes in an alert for so many intervals of telling it again.
const BELIEF_INTERVALS: i64 = 4;

/// How a receiver is told.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Who.
    pub receiver: Receiver,
    /// The alerts topic.
    pub topic: String,
    /// What the payloads point to.
    pub links: Links,
    /// News older than this is not delivered, milliseconds.
    pub max_age_ms: i64,
    /// How often Alertmanager hears of what goes on, milliseconds.
    pub resend_interval_ms: i64,
}

/// Why a dispatcher ended.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The log cannot be worked with.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A position can neither be kept nor given up.
    #[error("commit: {0}")]
    Commit(String),
}

/// The consumer group of a receiver, of a service that is called `base`. No job's id begins so.
pub fn group_of(base: &str, receiver: &str) -> String {
    format!("{base}._alerts.{receiver}")
}

/// Tells one receiver.
pub struct Dispatcher<L> {
    log: L,
    post: Box<dyn Post>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    manner: Manner,
    shelves: BTreeMap<TopicPartition, Shelf>,
    failures: u32,
    retry_ms: i64,
    resend_ms: i64,
}

/// What is known of one partition.
#[derive(Debug, Default)]
struct Shelf {
    committed: Option<i64>,
    /// The offset to read next.
    next_offset: i64,
    /// What goes on, as it was last told.
    active: BTreeMap<String, AlertDocument>,
    /// What has not been delivered, by incident.
    waiting: BTreeMap<String, Waiting>,
    /// Where to read again what there was no room for.
    overflow: bool,
}

#[derive(Debug)]
struct Waiting {
    /// Of the first notice that was not delivered.
    first_offset: i64,
    document: AlertDocument,
}

/// What is to become of a notice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Deliver,
    /// Nobody wants to hear of it any more.
    Stale,
    /// Not meant for this receiver.
    Keep,
}

impl<L: Log> Dispatcher<L> {
    /// Joins the receiver's group ([`group_of`]), of which `log` has to be a member.
    pub fn start(
        mut log: L,
        post: Box<dyn Post>,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
        manner: Manner,
    ) -> Result<Dispatcher<L>, DispatchError> {
        log.subscribe(std::slice::from_ref(&manner.topic))?;
        let resend_ms = clock.steady_ms() + manner.resend_interval_ms;
        Ok(Dispatcher {
            log,
            post,
            clock,
            observer,
            manner,
            shelves: BTreeMap::new(),
            failures: 0,
            retry_ms: i64::MIN,
            resend_ms,
        })
    }

    /// Drops everything but the log, as it is: what a crash leaves behind.
    pub fn into_log(self) -> L {
        self.log
    }

    /// The log: for a simulation, which pulls its levers.
    pub fn log_mut(&mut self) -> &mut L {
        &mut self.log
    }

    /// Whether everything readable is delivered and its position kept.
    pub fn is_settled(&mut self) -> bool {
        let log = &mut self.log;
        let settled = |(at, shelf): (&TopicPartition, &Shelf)| {
            shelf.waiting.is_empty()
                && shelf.committed == Some(shelf.next_offset)
                && log.lag(at) == Some(0)
        };
        self.shelves.iter().all(settled)
    }

    /// Breathes until `shutdown` is asked for.
    pub fn run(&mut self, shutdown: &Shutdown) -> Result<(), DispatchError> {
        while !shutdown.is_asked() {
            match self.breathe(Duration::from_millis(200)) {
                Err(DispatchError::Log(LogError::Unavailable(error))) => {
                    tracing::warn!(
                        receiver = self.manner.receiver.name,
                        error,
                        "the log does not answer; asking again"
                    );
                }
                done => done?,
            }
        }
        self.keep_positions()?;
        Ok(self.log.leave()?)
    }

    /// Waits for news (at most `timeout`), delivers, keeps the position.
    pub fn breathe(&mut self, timeout: Duration) -> Result<(), DispatchError> {
        let mut intake = Intake {
            receiver: &self.manner.receiver,
            observer: &*self.observer,
            shelves: &mut self.shelves,
            arrivals: Vec::new(),
            leaving: Vec::new(),
        };
        let polled = self.log.poll(timeout, &mut intake);
        let (arrivals, leaving) = (intake.arrivals, intake.leaving);
        if !leaving.is_empty() {
            self.keep_positions()?;
            self.shelves.retain(|at, _| !leaving.contains(at));
        }
        for assignment in arrivals {
            self.take_over(assignment)?;
        }
        polled?;
        self.deliver();
        self.keep_positions()?;
        self.read_again()
    }

    /// A partition is ours: what goes on in it is read, then what is new.
    fn take_over(&mut self, assignment: Assignment) -> Result<(), DispatchError> {
        let Assignment {
            at,
            committed,
            log_start,
        } = assignment;
        let begin = committed.map(|position| position.next_offset);
        let from = begin.unwrap_or(log_start).max(log_start);
        let mut shelf = Shelf {
            committed: begin,
            next_offset: from,
            ..Shelf::default()
        };
        let receiver = &self.manner.receiver;
        self.log.read(&at, log_start, &mut |message| {
            if message.offset < from
                && let Some(Ok(document)) = message.payload.map(AlertDocument::read)
                && receiver.hears_of(&document.job_id)
            {
                shelf.note(document);
            }
        })?;
        match self.log.seek(&at, from) {
            // Taken away again meanwhile: the next poll says so.
            Err(LogError::Unavailable(_)) => return Ok(()),
            done => done?,
        }
        self.shelves.insert(at, shelf);
        // A predecessor may have been silent for as long as it was missing.
        self.resend_ms = self.clock.steady_ms();
        Ok(())
    }

    fn verdict(&self, document: &AlertDocument, now_ms: i64) -> Verdict {
        let receiver = &self.manner.receiver;
        let patience_ms = self.manner.max_age_ms + 2 * document.bucket_span * 1000;
        let is_old = |at: i64| now_ms - at > patience_ms;
        // Whoever was not told of the beginning is not told of the end.
        let was_old = document.previous_timestamp.is_some_and(is_old);
        // Alertmanager is told everything, and knows by itself what is news.
        let is_news = receiver.kind == ReceiverKind::Alertmanager
            || match document.status {
                Status::Open => document.reason != Reason::StillOn || was_old,
                Status::Resolved => receiver.send_resolved,
            };
        if !document.is_for_receivers() {
            Verdict::Keep
        } else if is_old(document.timestamp) || (was_old && document.status == Status::Resolved) {
            Verdict::Stale
        } else if is_news {
            Verdict::Deliver
        } else {
            Verdict::Keep
        }
    }

    fn deliver(&mut self) {
        let now_ms = self.clock.now_ms();
        self.drop_what_is_not_to_be_told(now_ms);
        if self.clock.steady_ms() < self.retry_ms {
            return;
        }
        let outcome = match self.manner.receiver.kind {
            ReceiverKind::Alertmanager => self.tell_alertmanager(now_ms),
            ReceiverKind::Webhook => self.tell_webhook(),
        };
        match outcome {
            Ok(()) => self.failures = 0,
            Err(error) => {
                let wait_ms = RETRY_MAX_MS.min(RETRY_FIRST_MS << self.failures.min(10));
                self.failures += 1;
                self.retry_ms = self.clock.steady_ms() + wait_ms;
                tracing::warn!(
                    receiver = self.manner.receiver.name,
                    error,
                    again_in_ms = wait_ms,
                    "alerts not delivered"
                );
                self.count("failed", 1);
            }
        }
    }

    fn drop_what_is_not_to_be_told(&mut self, now_ms: i64) {
        let mut stale = 0;
        let mut shelves = std::mem::take(&mut self.shelves);
        for shelf in shelves.values_mut() {
            let done: Vec<String> = shelf
                .waiting
                .iter()
                .filter_map(
                    |(id, waiting)| match self.verdict(&waiting.document, now_ms) {
                        Verdict::Deliver => None,
                        Verdict::Keep => Some(id.clone()),
                        Verdict::Stale => {
                            stale += 1;
                            Some(id.clone())
                        }
                    },
                )
                .collect();
            done.iter().for_each(|id| shelf.done(id));
        }
        self.shelves = shelves;
        if stale > 0 {
            tracing::info!(
                receiver = self.manner.receiver.name,
                alerts = stale,
                "older than max_age; not delivered"
            );
            self.count("stale", stale);
        }
    }

    /// Everything that is new, and, when it is time, everything that goes on.
    fn tell_alertmanager(&mut self, now_ms: i64) -> Result<(), String> {
        let steady_ms = self.clock.steady_ms();
        let is_time = steady_ms >= self.resend_ms;
        let believe_until_ms = now_ms + BELIEF_INTERVALS * self.manner.resend_interval_ms;
        let mut alerts: Vec<Value> = Vec::new();
        let mut news: Vec<(TopicPartition, String)> = Vec::new();
        for (at, shelf) in &self.shelves {
            for (id, waiting) in &shelf.waiting {
                alerts.extend(alertmanager::alerts(
                    &waiting.document,
                    &self.manner.links,
                    believe_until_ms,
                ));
                news.push((at.clone(), id.clone()));
            }
            let on = shelf.active.iter().filter(|(id, document)| {
                is_time
                    && !shelf.waiting.contains_key(*id)
                    && self.verdict(document, now_ms) == Verdict::Deliver
            });
            for (_, document) in on {
                alerts.extend(alertmanager::alerts(
                    document,
                    &self.manner.links,
                    believe_until_ms,
                ));
            }
        }
        for chunk in alerts.chunks(ALERTS_PER_REQUEST) {
            let body = Value::from(chunk).to_string();
            self.post_to_all(body.as_bytes())?;
        }
        if is_time {
            self.resend_ms = steady_ms + self.manner.resend_interval_ms;
        }
        self.count("delivered", news.len() as u64);
        for (at, id) in news {
            if let Some(shelf) = self.shelves.get_mut(&at) {
                shelf.done(&id);
            }
        }
        Ok(())
    }

    /// Every Alertmanager of a cluster is told; one of them is enough, the others hear of it from it.
    fn post_to_all(&mut self, body: &[u8]) -> Result<(), String> {
        let urls = self.manner.receiver.urls.clone();
        let mut taken = false;
        let mut problems: Vec<PostError> = Vec::new();
        for url in &urls {
            match self.post.post(&alertmanager::address(url), body) {
                Ok(()) => taken = true,
                Err(error) => problems.push(error),
            }
        }
        let is_refused = !problems.is_empty()
            && problems
                .iter()
                .all(|error| matches!(error, PostError::Refused(_)));
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        match (taken, is_refused) {
            (true, _) => Ok(()),
            (false, true) => {
                tracing::error!(
                    receiver = self.manner.receiver.name,
                    error = said.join("; "),
                    "alerts refused; passed over"
                );
                self.count("refused", 1);
                Ok(())
            }
            (false, false) => Err(said.join("; ")),
        }
    }

    /// One message an incident, in the order of the topic.
    fn tell_webhook(&mut self) -> Result<(), String> {
        let mut news: Vec<(i64, TopicPartition, String)> = self
            .shelves
            .iter()
            .flat_map(|(at, shelf)| {
                let one = |(id, waiting): (&String, &Waiting)| {
                    (waiting.first_offset, at.clone(), id.clone())
                };
                shelf.waiting.iter().map(one).collect::<Vec<_>>()
            })
            .collect();
        news.sort();
        let url = self
            .manner
            .receiver
            .urls
            .first()
            .cloned()
            .unwrap_or_default();
        for (_, at, id) in news {
            let Some(shelf) = self.shelves.get_mut(&at) else {
                continue;
            };
            let Some(waiting) = shelf.waiting.get(&id) else {
                continue;
            };
            let payload = webhook::payload(
                &waiting.document,
                &self.manner.receiver.name,
                &self.manner.links,
            );
            let outcome = match self.post.post(&url, payload.to_string().as_bytes()) {
                Ok(()) => "delivered",
                Err(PostError::Refused(error)) => {
                    tracing::error!(
                        receiver = self.manner.receiver.name,
                        incident = id,
                        error,
                        "alert refused; passed over"
                    );
                    "refused"
                }
                Err(PostError::Failed(error)) => return Err(error),
            };
            shelf.done(&id);
            self.count(outcome, 1);
        }
        Ok(())
    }

    fn count(&self, outcome: &'static str, alerts: u64) {
        if alerts > 0 {
            let receiver = &self.manner.receiver.name;
            let fact = Fact::Notified {
                receiver,
                outcome,
                alerts,
            };
            self.observer.observe("", &fact);
        }
    }

    /// Positions move up to the first notice that still waits.
    fn keep_positions(&mut self) -> Result<(), DispatchError> {
        let moved = |(at, shelf): (&TopicPartition, &Shelf)| {
            let next_offset = shelf.done_until();
            let position = Position {
                next_offset,
                metadata: String::new(),
            };
            (shelf.committed != Some(next_offset)).then(|| (at.clone(), position))
        };
        let positions: Vec<(TopicPartition, Position)> =
            self.shelves.iter().filter_map(moved).collect();
        if positions.is_empty() {
            return Ok(());
        }
        let outcome = self.log.commit(Transaction {
            messages: &[],
            positions: &positions,
        });
        match outcome {
            Ok(()) => {
                for (at, position) in positions {
                    if let Some(shelf) = self.shelves.get_mut(&at) {
                        shelf.committed = Some(position.next_offset);
                    }
                }
                Ok(())
            }
            Err(CommitError::Retry(_)) => Ok(()),
            Err(CommitError::Fenced(_)) => {
                self.shelves.clear();
                Ok(())
            }
            Err(CommitError::Fatal(error)) => Err(DispatchError::Commit(error)),
        }
    }

    /// Goes back to what there was no room for.
    fn read_again(&mut self) -> Result<(), DispatchError> {
        for (at, shelf) in &mut self.shelves {
            if shelf.overflow && shelf.waiting.len() < WAITING_MAX / 2 {
                shelf.overflow = false;
                match self.log.seek(at, shelf.next_offset) {
                    Err(LogError::Unavailable(_)) => {}
                    done => done?,
                }
            }
        }
        Ok(())
    }
}

impl Shelf {
    /// The latest word on an incident.
    fn note(&mut self, document: AlertDocument) {
        match document.status {
            Status::Open => drop(self.active.insert(document.incident_id.clone(), document)),
            Status::Resolved => drop(self.active.remove(&document.incident_id)),
        }
    }

    fn wait(&mut self, offset: i64, document: AlertDocument) {
        let id = document.incident_id.clone();
        match self.waiting.get_mut(&id) {
            Some(waiting) => waiting.document = document,
            None => {
                let waiting = Waiting {
                    first_offset: offset,
                    document,
                };
                self.waiting.insert(id, waiting);
            }
        }
    }

    fn done(&mut self, id: &str) {
        if let Some(waiting) = self.waiting.remove(id) {
            self.note(waiting.document);
        }
    }

    fn done_until(&self) -> i64 {
        let first = self
            .waiting
            .values()
            .map(|waiting| waiting.first_offset)
            .min();
        first.unwrap_or(self.next_offset)
    }
}

struct Intake<'d> {
    receiver: &'d Receiver,
    observer: &'d dyn Observer,
    shelves: &'d mut BTreeMap<TopicPartition, Shelf>,
    arrivals: Vec<Assignment>,
    leaving: Vec<TopicPartition>,
}

impl Handler for Intake<'_> {
    fn assigned(&mut self, assignments: Vec<Assignment>) {
        self.arrivals.extend(assignments);
    }

    fn revoked(&mut self, partitions: &[TopicPartition], how: Revocation) {
        self.arrivals
            .retain(|arrival| !partitions.contains(&arrival.at));
        match how {
            Revocation::Released => self.leaving.extend_from_slice(partitions),
            Revocation::Lost => {
                self.shelves.retain(|at, _| !partitions.contains(at));
                self.leaving.retain(|at| !partitions.contains(at));
            }
        }
    }

    fn batch(&mut self, at: &TopicPartition, messages: &mut dyn Iterator<Item = Message<'_>>) {
        let Some(shelf) = self.shelves.get_mut(at) else {
            messages.for_each(drop);
            return;
        };
        for message in messages {
            if shelf.overflow || message.offset < shelf.next_offset {
                continue;
            }
            if shelf.waiting.len() >= WAITING_MAX {
                shelf.overflow = true;
                continue;
            }
            shelf.next_offset = message.offset + 1;
            match message.payload.map(AlertDocument::read) {
                Some(Ok(document)) if self.receiver.hears_of(&document.job_id) => {
                    shelf.wait(message.offset, document);
                }
                Some(Ok(_)) | None => {}
                Some(Err(error)) => {
                    let offset = message.offset;
                    let fact = Fact::Unreadable { at, offset, error };
                    self.observer.observe("", &fact);
                }
            }
        }
    }
}
