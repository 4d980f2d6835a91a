//! A log whose input partitions are read once for all jobs of a process: [`SharedLog`] around any [`Log`].
//!
//! ```text
//!  job a: SharedLog ──┐              ┌── reads with its own client, copies each batch into the ring, decodes it for all
//!  job b: SharedLog ──┼── Sharing ───┤── takes the batch from the ring; its client fetches nothing
//!  job c: SharedLog ──┘  (shelves)   └── is elsewhere in the partition: reads for itself until it meets the others
//! ```
//!
//! Each job stays a member of its own group, with its own positions, transactions, snapshots and replays. What is shared is only where the
//! bytes come from: who reads leads, who stands where the ring reaches follows. A leader that is gone, busy or at rest is followed by another
//! member at the offset where the ring ends. Nobody is ever *made* to wait: one that is not live lets those behind it come up for
//! at most half of its time, and whoever cannot keep up falls out of the ring and reads for itself.
//!
//! Holds, and nothing but this has to, for a job's results to be those that it has alone: **a partition's messages are handed over in
//! offset order from where the last seek began, each once**, whether from the ring or from the job's own client. (A batch of the ring is
//! every readable message of its range of offsets; it is taken only by whoever stands in that range.)
//! Memory: a ring holds at most [`Limits::ring_bytes`] a partition and group of readers; a follower's client holds nothing.
//! Checked by: the tests below, tests/simulation.rs (several jobs of each process, crashes of both), tests/kafka/shared.rs.
#![allow(
    clippy::disallowed_methods,
    reason = "a poll has a deadline; nothing of it reaches a result"
)]

mod batch;
mod shelf;

pub use batch::Portion;

use super::{
    Assignment, Bell, CommitError, Handler, Log, LogError, Message, NewTopic, Outgoing, Place,
    Position, Revocation, TopicId, TopicPartition, Topics, Transaction,
};
use crate::config::Job;
use crate::runtime::clock::Clock;
use batch::Batch;
use shelf::{Bells, Shelf, Turn};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A look at the group, however little there is to hear.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// Batches taken from rings in one poll.
const BATCHES_MAX: usize = 4;
/// The longest that a leader waits for others in a row, milliseconds.
const CREDIT_MS_MAX: i64 = 500;

/// How much is kept for others, and for how long they are waited for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a ring, decoded values included.
    pub ring_bytes: usize,
    /// Who is fewer offsets than this behind a leader that is not live is waited for.
    pub reach: i64,
    /// With fewer messages ahead a job is live, and waits for nobody.
    pub live_messages: u64,
    /// A leader that was not heard of for longer is not waited for, milliseconds.
    pub patience_ms: i64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            ring_bytes: 4 << 20,
            reach: 200_000,
            live_messages: 10_000,
            patience_ms: 250,
        }
    }
}

/// A partition, and which topic of its name it is of: what was read of one that has been made anew since is not for the others.
type ShelfKey = (TopicPartition, Option<TopicId>);

/// What the jobs of a process share.
pub struct Sharing {
    limits: Limits,
    clock: Arc<dyn Clock>,
    shelves: Mutex<BTreeMap<ShelfKey, Arc<Mutex<Shelf>>>>,
    members: AtomicU64,
}

impl Sharing {
    /// Nobody yet.
    pub fn new(clock: Arc<dyn Clock>, limits: Limits) -> Arc<Sharing> {
        Arc::new(Sharing {
            limits,
            clock,
            shelves: Mutex::default(),
            members: AtomicU64::new(0),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panics has left the state whole: it is changed by whole steps.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ring(bells: Bells) {
    bells.iter().for_each(|bell| bell.ring());
}

/// A job's place at one partition.
struct Seat {
    key: ShelfKey,
    shelf: Arc<Mutex<Shelf>>,
    /// The next offset to hand over.
    next: i64,
    /// Whether the job's own client reads the partition.
    reads: bool,
    alone: bool,
    /// The owner wants nothing of it for now.
    held: bool,
    /// It waits for others.
    waits: bool,
    /// For how long it may, milliseconds, and since when that is counted.
    credit_ms: i64,
    counted_ms: i64,
}

/// A job's seats; it leaves them all when it goes, however it goes.
struct Places {
    sharing: Arc<Sharing>,
    job: Arc<Job>,
    /// By what the others know it.
    key: u64,
    seats: BTreeMap<TopicPartition, Seat>,
    /// Which topics of their names the job knows.
    topics: BTreeMap<String, TopicId>,
}

impl Places {
    fn stand_up(&mut self, at: &TopicPartition) {
        let Some(seat) = self.seats.remove(at) else {
            return;
        };
        let mut shelves = lock(&self.sharing.shelves);
        let mut shelf = lock(&seat.shelf);
        let bells = shelf.leave(self.key);
        if shelf.is_empty() {
            shelves.remove(&seat.key);
        }
        drop(shelf);
        drop(shelves);
        ring(bells);
    }

    fn stand_up_everywhere(&mut self) {
        while let Some(at) = self.seats.keys().next().cloned() {
            self.stand_up(&at);
        }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.stand_up_everywhere();
    }
}

/// One job's end of what is shared, and its own log for everything else.
pub struct SharedLog<L> {
    inner: L,
    places: Places,
    /// Whose turn it is to take from a ring.
    turn: usize,
}

impl<L: Log> SharedLog<L> {
    /// `inner`, for a job of the process that `sharing` belongs to.
    pub fn new(inner: L, sharing: &Arc<Sharing>, job: Arc<Job>) -> SharedLog<L> {
        SharedLog {
            inner,
            places: Places {
                key: sharing.members.fetch_add(1, Ordering::Relaxed),
                sharing: Arc::clone(sharing),
                job,
                seats: BTreeMap::new(),
                topics: BTreeMap::new(),
            },
            turn: 0,
        }
    }

    /// The job's own log, which is all that is left of it.
    pub fn into_inner(self) -> L {
        self.inner
    }

    /// The job's own log: for a simulation, which pulls its levers.
    pub fn inner_mut(&mut self) -> &mut L {
        &mut self.inner
    }

    /// What everybody is to do in this poll. Whether it may have to be woken for a reason that its own client does not know of.
    fn take_turns(&mut self) -> Result<bool, LogError> {
        let Places { sharing, key, .. } = &self.places;
        let now_ms = sharing.clock.steady_ms();
        let (key, sharing) = (*key, Arc::clone(sharing));
        let mut attentive = false;
        for (at, seat) in &mut self.places.seats {
            let (turn, bells) = lock(&seat.shelf).turn(key, now_ms, &sharing.limits);
            ring(bells);
            let elapsed_ms = (now_ms - seat.counted_ms).max(0);
            seat.counted_ms = now_ms;
            seat.credit_ms = match seat.waits {
                true => seat.credit_ms - elapsed_ms,
                false => (seat.credit_ms + elapsed_ms).min(CREDIT_MS_MAX),
            };
            seat.alone = turn == Turn::Alone;
            seat.waits = turn == Turn::Lead { early: true } && seat.credit_ms > 0;
            // Where it is to read, and does: a seek would begin anew.
            match (turn, seat.reads) {
                (Turn::Begin, _) | (Turn::Alone | Turn::Lead { .. }, false) => {
                    seat.reads = false;
                    self.inner.seek(at, seat.next)?;
                    seat.reads = true;
                }
                (Turn::Follow, true) => {
                    seat.reads = false;
                    self.inner.rest(at)?;
                }
                (Turn::Follow, false) | (_, true) => {}
            }
            if seat.reads {
                self.inner.hold(at, seat.held || seat.waits);
            }
            attentive |= seat.waits || !seat.reads;
        }
        Ok(attentive)
    }

    /// Hands over what the rings hold. Whether there was anything.
    fn follow(&mut self, handler: &mut dyn Handler) -> bool {
        let mut budget = BATCHES_MAX;
        let first = self.turn;
        let key = self.places.key;
        let mut seats: Vec<(&TopicPartition, &mut Seat)> = self.places.seats.iter_mut().collect();
        let count = seats.len();
        for step in 0..count {
            let at = (first + step) % count;
            let (partition, seat) = &mut seats[at];
            while budget > 0 && !seat.reads && !seat.held {
                let Some((batch, next)) = lock(&seat.shelf).next_batch(key) else {
                    break;
                };
                debug_assert_eq!(next, seat.next);
                handler.shared(partition, &Portion::of_another(&batch, seat.next, key));
                seat.next = batch.to;
                let leader = lock(&seat.shelf).took(key, seat.next);
                leader.iter().for_each(|bell| bell.ring());
                budget -= 1;
                self.turn = at + 1;
            }
        }
        budget < BATCHES_MAX
    }

    /// Lets those who follow have what was read in a poll, after they have been told how much there is to come, of whatever partition: who is handed a message is to
    /// know of all that lay beside it.
    fn publish(&mut self, read: Vec<(TopicPartition, Arc<Batch>)>) {
        let Places { sharing, key, .. } = &self.places;
        for (at, seat) in &self.places.seats {
            if seat.reads && !seat.alone {
                let ahead = self.inner.lag(at);
                let end = ahead.map(|ahead| seat.next.saturating_add_unsigned(ahead));
                lock(&seat.shelf).look_ahead(*key, end);
            }
        }
        for (at, batch) in read {
            if let Some(seat) = self.places.seats.get(&at) {
                ring(lock(&seat.shelf).put(*key, &batch, &sharing.limits));
            }
        }
    }
}

/// Listens to the job's own client: what a leader reads goes to the others too.
struct Ears<'p> {
    handler: &'p mut dyn Handler,
    places: &'p mut Places,
    told: bool,
    /// What was read that others may want.
    read: Vec<(TopicPartition, Arc<Batch>)>,
    /// Where the log has a gap, and goes on: each job reads over it by itself, so that it hears of it.
    gaps: Vec<(TopicPartition, i64)>,
}

impl Handler for Ears<'_> {
    fn assigned(&mut self, assignments: Vec<Assignment>) {
        self.told = true;
        self.handler.assigned(assignments);
    }

    fn revoked(&mut self, partitions: &[TopicPartition], how: Revocation) {
        self.told = true;
        partitions.iter().for_each(|at| self.places.stand_up(at));
        self.handler.revoked(partitions, how);
    }

    fn skipped(&mut self, at: &TopicPartition, from: i64, to: i64) {
        self.told = true;
        self.handler.skipped(at, from, to);
        self.gaps.push((at.clone(), to));
    }

    fn displaced(&mut self, at: &TopicPartition, next_offset: i64) -> bool {
        self.told = true;
        self.handler.displaced(at, next_offset)
    }

    fn batch(&mut self, at: &TopicPartition, messages: &mut dyn Iterator<Item = Message<'_>>) {
        self.told = true;
        let key = self.places.key;
        let Some(seat) = self.places.seats.get_mut(at) else {
            return self.handler.batch(at, messages);
        };
        // What a client had fetched before a seek.
        let from = seat.next;
        let mut messages = messages.skip_while(|message| message.offset < from);
        if seat.alone {
            let next = &mut seat.next;
            let mut passing = messages.inspect(|message| *next = message.offset + 1);
            self.handler.batch(at, &mut passing);
            return lock(&seat.shelf).passed(key, seat.next);
        }
        let now_ms = self.places.sharing.clock.steady_ms();
        let (mut copied, together) = lock(&seat.shelf).prepare(key, now_ms);
        copied.fill(&mut messages);
        let Some(end) = copied.end() else {
            return;
        };
        let batch = Arc::new(Batch::new(from, copied, together));
        seat.next = end;
        self.handler.shared(at, &Portion::own(&batch, from, key));
        self.read.push((at.clone(), batch));
    }
}

impl<L: Log> Topics for SharedLog<L> {
    fn partitions(&mut self, names: &[String]) -> Result<BTreeMap<String, i32>, LogError> {
        self.inner.partitions(names)
    }

    fn identities(&mut self, names: &[String]) -> Result<BTreeMap<String, TopicId>, LogError> {
        let found = self.inner.identities(names)?;
        let news = found.iter().map(|(name, id)| (name.clone(), *id));
        self.places.topics.extend(news);
        Ok(found)
    }

    fn create(&mut self, topics: &[NewTopic]) -> Result<(), LogError> {
        self.inner.create(topics)
    }

    fn publish(&mut self, messages: &[Outgoing]) -> Result<(), LogError> {
        self.inner.publish(messages)
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.inner.flush()
    }

    fn read(
        &mut self,
        at: &TopicPartition,
        from: i64,
        sink: &mut dyn FnMut(&Message<'_>),
    ) -> Result<i64, LogError> {
        self.inner.read(at, from, sink)
    }

    fn offset_of(&mut self, at: &TopicPartition, place: Place) -> Result<i64, LogError> {
        self.inner.offset_of(at, place)
    }
}

impl<L: Log> Log for SharedLog<L> {
    fn subscribe(&mut self, topics: &[String]) -> Result<(), LogError> {
        self.inner.subscribe(topics)
    }

    fn positions(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Position>, LogError> {
        self.inner.positions(partitions)
    }

    fn poll(&mut self, timeout: Duration, handler: &mut dyn Handler) -> Result<(), LogError> {
        let deadline = Instant::now() + timeout;
        loop {
            let attentive = self.take_turns()?;
            let bell = self.inner.bell().filter(|_| attentive);
            let mut ears = Ears {
                handler: &mut *handler,
                places: &mut self.places,
                told: false,
                read: Vec::new(),
                gaps: Vec::new(),
            };
            let wait = match bell {
                Some(_) => Duration::ZERO,
                None => timeout,
            };
            let polled = self.inner.poll(wait, &mut ears);
            let (told, read, gaps) = (ears.told, ears.read, ears.gaps);
            self.publish(read);
            polled?;
            for (at, to) in gaps {
                self.seek(&at, to)?;
            }
            let told = self.follow(handler) | told;
            let left = deadline.saturating_duration_since(Instant::now());
            match bell {
                Some(bell) if !told && !left.is_zero() => bell.wait(left.min(WAIT_MAX)),
                _ => return Ok(()),
            }
        }
    }

    fn seek(&mut self, at: &TopicPartition, offset: i64) -> Result<(), LogError> {
        self.places.stand_up(at);
        let now_ms = self.places.sharing.clock.steady_ms();
        let mut shelves = lock(&self.places.sharing.shelves);
        let key = (at.clone(), self.places.topics.get(&*at.topic).copied());
        let shelf = Arc::clone(shelves.entry(key.clone()).or_default());
        let who = (self.places.key, &self.places.job);
        let when = (now_ms, &self.places.sharing.limits);
        let reads = lock(&shelf).sit(who, self.inner.bell(), offset, when);
        drop(shelves);
        let seat = Seat {
            key,
            shelf,
            next: offset,
            reads,
            alone: false,
            held: false,
            waits: false,
            credit_ms: 0,
            counted_ms: now_ms,
        };
        self.places.seats.insert(at.clone(), seat);
        let done = match reads {
            true => self.inner.seek(at, offset),
            false => self.inner.rest(at),
        };
        if done.is_err() {
            self.places.stand_up(at);
        }
        done
    }

    fn rest(&mut self, at: &TopicPartition) -> Result<(), LogError> {
        self.places.stand_up(at);
        self.inner.rest(at)
    }

    fn hold(&mut self, at: &TopicPartition, held: bool) {
        if let Some(seat) = self.places.seats.get_mut(at)
            && seat.held != held
        {
            seat.held = held;
            lock(&seat.shelf).rest(self.places.key, held);
        }
    }

    fn bell(&self) -> Option<Arc<Bell>> {
        self.inner.bell()
    }

    fn lag(&mut self, at: &TopicPartition) -> Option<u64> {
        let now_ms = self.places.sharing.clock.steady_ms();
        match self.places.seats.get(at) {
            Some(seat) if !seat.reads => {
                lock(&seat.shelf).lag(self.places.key, now_ms, &self.places.sharing.limits)
            }
            _ => self.inner.lag(at),
        }
    }

    fn commit(&mut self, transaction: Transaction<'_>) -> Result<(), CommitError> {
        self.inner.commit(transaction)
    }

    fn leave(&mut self) -> Result<(), LogError> {
        self.places.stand_up_everywhere();
        self.inner.leave()
    }
}

#[cfg(test)]
mod tests;
