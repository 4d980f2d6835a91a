//! Delivers what the alerts topic says to one receiver.
//!
//! A member of a consumer group of its own, which nobody else's slowness holds up. Its position moves when the receiver has taken the news: after a crash the last news is
//! delivered again, never left out. What waits for a receiver that is down is one notice an incident, the latest; it is tried again after 1 s, 2 s... 60 s
//! until it is older than `max_age`, each time beginning with what has failed least: a message that a receiver chokes on holds up no other. Delivering pauses
//! every few seconds for the group, which would take a member that is busy with a slow receiver for dead.
//!
//! What has gone on before the position is read from the topic when a partition is assigned: Alertmanager has to hear of it again and again.
//! No notice is delivered that is older than `max_age` (and two buckets) by the clock: history that is caught up with rings no bell. An incident that began in such
//! history and still goes on is told with its next `still_on` notice. The end of what was told is told however late it comes; so is that of an incident
//! that is withdrawn, because its job was reset.
//! Checked by: tests/alerts (in memory, with crashes) and tests/kafka (a real Alertmanager).

use super::alertmanager::{self, Links};
use super::document::{AlertDocument, Status};
use super::http::{Post, PostError};
use super::shelf::{Shelf, Waiting};
use super::webhook;
use crate::config::service::{Receiver, ReceiverKind};
use crate::runtime::clock::Clock;
use crate::runtime::log::{
    Assignment, CommitError, Handler, Log, LogError, Message, Place, Position, Revocation,
    TopicPartition, Transaction,
};
use crate::runtime::observer::{Fact, Observer};
use crate::runtime::shutdown::Shutdown;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const RETRY_FIRST_MS: i64 = 1_000;
const RETRY_MAX_MS: i64 = 60_000;
/// The longest that a receiver may ask to be left alone: what an alert is for is over by then.
const LEFT_ALONE_MAX: Duration = Duration::from_secs(600);
/// Incidents in one request to Alertmanager; each is an alert, and one more for every band that it has left.
const INCIDENTS_PER_REQUEST: usize = 32;
/// After so long the group is polled before more is delivered. Far below its `max.poll.interval.ms` (5 min), which a request under way adds to.
const TURN_MS: i64 = 5_000;
/// Incidents of a partition that wait at the most; what comes after is read again when they are through.
const WAITING_MAX: usize = 10_000;
/// Outcomes that end the waiting of a notice.
const DELIVERED: &str = "delivered";
const REFUSED: &str = "refused";
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
    /// Partitions that are ours and not begun with, because the log did not answer.
    arrivals: Vec<Assignment>,
    failures: u32,
    retry_ms: i64,
    /// When Alertmanager is to hear of what goes on, and what it has heard of in this round.
    resend_ms: i64,
    resent: Option<Whereabouts>,
}

/// An incident of a partition.
type Whereabouts = (TopicPartition, String);

/// Why something was not delivered, and for how long at least it is not tried again.
struct Setback {
    why: String,
    wait: Duration,
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
            arrivals: Vec::new(),
            failures: 0,
            retry_ms: i64::MIN,
            resend_ms,
            resent: None,
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
        self.arrivals.is_empty() && self.shelves.iter().all(settled)
    }

    /// Breathes until `shutdown` is asked for.
    pub fn run(&mut self, shutdown: &Shutdown) -> Result<(), DispatchError> {
        while !shutdown.is_asked() {
            match self.breathe(Duration::from_millis(200)) {
                Err(DispatchError::Log(LogError::Unavailable(error))) => {
                    self.say_unavailable(&error);
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
            arrivals: std::mem::take(&mut self.arrivals),
            leaving: Vec::new(),
        };
        let polled = self.log.poll(timeout, &mut intake);
        let (arrivals, leaving) = (intake.arrivals, intake.leaving);
        if !leaving.is_empty() {
            self.keep_positions()?;
            self.shelves.retain(|at, _| !leaving.contains(at));
        }
        for assignment in arrivals {
            // Each would wait for as long: the others have their turn in the next breath.
            if !self.arrivals.is_empty() {
                self.arrivals.push(assignment);
                continue;
            }
            match self.take_over(assignment.clone()) {
                Err(DispatchError::Log(LogError::Unavailable(error))) => {
                    self.say_unavailable(&error);
                    self.arrivals.push(assignment);
                }
                done => done?,
            }
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
        let committed = committed.map(|position| position.next_offset);
        // A topic that ends before was made anew, or has lost its newest messages: nobody knows what is told of those it has now.
        let end = self.log.offset_of(&at, Place::End)?;
        let begin = committed.filter(|next_offset| *next_offset <= end);
        let from = begin.unwrap_or(log_start).max(log_start);
        let mut shelf = Shelf {
            committed,
            next_offset: from,
            ..Shelf::default()
        };
        let (receiver, now_ms) = (&self.manner.receiver, self.clock.now_ms());
        let manner = &self.manner;
        self.log.read(&at, log_start, &mut |message| {
            if message.offset >= from {
                return;
            }
            match message.payload.map(AlertDocument::read) {
                Some(Ok(document)) if receiver.hears_of(&document.job_id) => {
                    // What was news when it was written has been told.
                    let written_ms = message.timestamp_ms.unwrap_or(now_ms);
                    let is_told = document.is_for_receivers()
                        && !manner.is_old(document.timestamp, &document, written_ms);
                    shelf.note(document, is_told);
                }
                Some(_) => {}
                None => {
                    shelf.active.remove(&key_of(message));
                }
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

    fn verdict(&self, shelf: &Shelf, waiting: &Waiting, now_ms: i64) -> Verdict {
        let (manner, document) = (&self.manner, &waiting.document);
        let is_told = shelf.is_told(&document.incident_id);
        let is_old = |at: i64| manner.is_old(at, document, now_ms);
        // Alertmanager is told everything, and knows by itself what is news.
        let tells_all = manner.receiver.kind == ReceiverKind::Alertmanager;
        if !document.is_for_receivers() {
            return Verdict::Keep;
        }
        match document.status {
            Status::Resolved if !tells_all && !manner.receiver.send_resolved => Verdict::Keep,
            Status::Resolved if is_told => Verdict::Deliver,
            // Whoever was not told of the beginning is not told of the end.
            Status::Resolved if document.previous_timestamp.is_some_and(is_old) => Verdict::Stale,
            _ if is_old(document.timestamp) => Verdict::Stale,
            Status::Resolved => Verdict::Deliver,
            Status::Open if tells_all || waiting.is_news || !is_told => Verdict::Deliver,
            Status::Open => Verdict::Keep,
        }
    }

    fn deliver(&mut self) {
        let now_ms = self.clock.now_ms();
        self.drop_what_is_not_to_be_told(now_ms);
        let steady_ms = self.clock.steady_ms();
        if steady_ms < self.retry_ms {
            return;
        }
        let until_ms = steady_ms + TURN_MS;
        let outcome = match self.manner.receiver.kind {
            ReceiverKind::Alertmanager => self.tell_alertmanager(now_ms, until_ms),
            ReceiverKind::Webhook => self.tell_webhook(until_ms),
        };
        match outcome {
            Ok(()) => self.failures = 0,
            Err(Setback { why, wait }) => {
                let wait_ms = RETRY_MAX_MS.min(RETRY_FIRST_MS << self.failures.min(10));
                let wait_ms = wait_ms.max(wait.min(LEFT_ALONE_MAX).as_millis() as i64);
                self.failures += 1;
                self.retry_ms = self.clock.steady_ms() + wait_ms;
                tracing::warn!(
                    receiver = self.manner.receiver.name,
                    error = why,
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
            let mut done: Vec<String> = Vec::new();
            for (id, waiting) in &shelf.waiting {
                match self.verdict(shelf, waiting, now_ms) {
                    Verdict::Deliver => continue,
                    Verdict::Keep => {}
                    Verdict::Stale => stale += 1,
                }
                done.push(id.clone());
            }
            done.iter().for_each(|id| shelf.done(id, false));
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

    /// What waits, whatever has failed least and waits longest first.
    fn news(&self) -> Vec<Whereabouts> {
        let mut news: Vec<(u32, i64, &TopicPartition, &String)> = Vec::new();
        for (at, shelf) in &self.shelves {
            let waiting = shelf.waiting.iter();
            news.extend(waiting.map(|(id, one)| (one.failures, one.first_offset, at, id)));
        }
        news.sort();
        let place = |(.., at, id): (u32, i64, &TopicPartition, &String)| (at.clone(), id.clone());
        news.into_iter().map(place).collect()
    }

    /// Everything that is new, and, when it is time, everything that goes on.
    fn tell_alertmanager(&mut self, now_ms: i64, until_ms: i64) -> Result<(), Setback> {
        let believe_until_ms = now_ms + BELIEF_INTERVALS * self.manner.resend_interval_ms;
        let mut news = self.news();
        // An end before a beginning: of two incidents with the same labels, the later is to be what Alertmanager has heard last.
        news.sort_by_key(|place| {
            self.waiting(place).map(|one| one.document.status) == Some(Status::Open)
        });
        for portion in news.chunks(INCIDENTS_PER_REQUEST) {
            let links = &self.manner.links;
            let told = portion.iter().filter_map(|place| self.waiting(place));
            let alerts: Vec<Value> = told
                .flat_map(|one| alertmanager::alerts(&one.document, links, believe_until_ms))
                .collect();
            let outcome = self.post_to_all(&alerts)?;
            self.count(outcome, portion.len() as u64);
            for (at, id) in portion {
                if let Some(shelf) = self.shelves.get_mut(at) {
                    shelf.done(id, outcome == DELIVERED);
                }
            }
            if self.clock.steady_ms() >= until_ms {
                return Ok(());
            }
        }
        match self.clock.steady_ms() >= self.resend_ms {
            true => self.tell_what_goes_on(now_ms, believe_until_ms, until_ms),
            false => Ok(()),
        }
    }

    /// A round of what goes on, as much of it as the turn has time for.
    fn tell_what_goes_on(
        &mut self,
        now_ms: i64,
        believe_until_ms: i64,
        until_ms: i64,
    ) -> Result<(), Setback> {
        let mut on: Vec<(Whereabouts, Value)> = Vec::new();
        for (at, shelf) in &self.shelves {
            for (id, active) in &shelf.active {
                let (place, document) = ((at.clone(), id.clone()), &active.document);
                let is_on = document.is_for_receivers()
                    && !self.manner.is_old(document.timestamp, document, now_ms);
                if is_on && self.resent.as_ref().is_none_or(|last| place > *last) {
                    let links = &self.manner.links;
                    let alert = alertmanager::standing(document, links, believe_until_ms);
                    on.push((place, alert));
                }
            }
        }
        for portion in on.chunks(INCIDENTS_PER_REQUEST) {
            let alerts: Vec<Value> = portion.iter().map(|(_, alert)| alert.clone()).collect();
            self.post_to_all(&alerts)?;
            self.resent = portion.last().map(|(place, _)| place.clone());
            if self.clock.steady_ms() >= until_ms {
                return Ok(()); // the rest in the next turn
            }
        }
        self.resent = None;
        self.resend_ms = self.clock.steady_ms() + self.manner.resend_interval_ms;
        Ok(())
    }

    /// Every Alertmanager of a cluster is told, since they tell each other of silences and notifications, not of alerts. That one has taken it is enough: the
    /// others hear of what goes on in the next round, and believe no longer than they were told in what is over. Returns whether it was taken or refused.
    fn post_to_all(&mut self, alerts: &[Value]) -> Result<&'static str, Setback> {
        let body = Value::from(alerts).to_string();
        let urls = self.manner.receiver.urls.clone();
        let mut taken = false;
        let mut problems: Vec<PostError> = Vec::new();
        for url in &urls {
            match self.post.post(&alertmanager::address(url), body.as_bytes()) {
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
            (true, _) => Ok(DELIVERED),
            (false, true) => {
                tracing::error!(
                    receiver = self.manner.receiver.name,
                    error = said.join("; "),
                    "alerts refused; passed over"
                );
                Ok(REFUSED)
            }
            (false, false) => Err(Setback {
                why: said.join("; "),
                // Each may take it: the first that wants to be asked is asked.
                wait: problems
                    .iter()
                    .map(PostError::wait)
                    .min()
                    .unwrap_or_default(),
            }),
        }
    }

    /// One message an incident.
    fn tell_webhook(&mut self, until_ms: i64) -> Result<(), Setback> {
        let url = self
            .manner
            .receiver
            .urls
            .first()
            .cloned()
            .unwrap_or_default();
        for (at, id) in self.news() {
            let Some(shelf) = self.shelves.get_mut(&at) else {
                continue;
            };
            let Some(waiting) = shelf.waiting.get_mut(&id) else {
                continue;
            };
            let payload = webhook::payload(
                &waiting.document,
                &self.manner.receiver.name,
                &self.manner.links,
            );
            let outcome = match self.post.post(&url, payload.to_string().as_bytes()) {
                Ok(()) => DELIVERED,
                Err(PostError::Refused(error)) => {
                    tracing::error!(
                        receiver = self.manner.receiver.name,
                        incident = id,
                        error,
                        "alert refused; passed over"
                    );
                    REFUSED
                }
                Err(error) => {
                    waiting.failures += 1;
                    return Err(Setback {
                        why: error.to_string(),
                        wait: error.wait(),
                    });
                }
            };
            shelf.done(&id, outcome == DELIVERED);
            self.failures = 0;
            self.count(outcome, 1);
            if self.clock.steady_ms() >= until_ms {
                break;
            }
        }
        Ok(())
    }

    fn waiting(&self, (at, id): &Whereabouts) -> Option<&Waiting> {
        self.shelves.get(at)?.waiting.get(id)
    }

    fn say_unavailable(&self, error: &str) {
        tracing::warn!(
            receiver = self.manner.receiver.name,
            error,
            "the log does not answer; asking again"
        );
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
                match self.log.seek(at, shelf.next_offset) {
                    Err(LogError::Unavailable(_)) => {} // what comes meanwhile is passed over, as before
                    Err(error) => return Err(error.into()),
                    Ok(()) => shelf.overflow = false,
                }
            }
        }
        Ok(())
    }
}

impl Manner {
    /// Whether what happened `at` in an incident was too long ago to be told at `now_ms`.
    fn is_old(&self, at: i64, document: &AlertDocument, now_ms: i64) -> bool {
        now_ms - at > self.max_age_ms + 2 * document.bucket_span * 1000
    }
}

/// The incident that a message is about: its key.
fn key_of(message: &Message<'_>) -> String {
    String::from_utf8_lossy(message.key.unwrap_or_default()).into_owned()
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
                Some(Ok(_)) => {}
                None => shelf.withdraw(message.offset, &key_of(&message), message.timestamp_ms),
                Some(Err(error)) => {
                    let offset = message.offset;
                    let fact = Fact::Unreadable { at, offset, error };
                    self.observer.observe("", &fact);
                }
            }
        }
    }
}
