//! Writes snapshots while the service goes on, and answers for what is stored.
//!
//! The service freezes a state, which takes a moment, and gives it away; serialising, compressing and storing are done on a thread of the
//! keeper's own, one snapshot after another, and so is forgetting the old ones. What became of an order is heard later
//! ([`Keeper::collect`]). Holds: a task has one order at most that is not done, so that what is waiting holds each model twice at the most;
//! a state is let go, and with it the memory of what it shared, on the thread that wrote it.
//!
//! In a simulation nothing is written before somebody says so ([`Writing::ByHand`]): what happens before, after, or never is the seed's to choose.

use super::{SnapshotKey, SnapshotStore, StoreError};
use crate::engine::snapshot::Frozen;
use crate::runtime::clock::Clock;
use crate::runtime::traces::SnapshotTrace;
use std::collections::{BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::thread;
use std::time::Duration;

/// Who writes snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Writing {
    /// A thread of their own.
    #[default]
    OnAThread,
    /// The caller, when it wants to: deterministic.
    ByHand,
}

/// A snapshot to be stored.
pub(crate) struct Order {
    pub(crate) key: SnapshotKey,
    pub(crate) state: Frozen,
    /// So many snapshots of the task and lineage stay, this one included.
    pub(crate) kept_max: usize,
    /// Whether the task goes on at full speed, and would have to copy what the state shares with it while it is written.
    pub(crate) is_in_haste: bool,
    /// For whoever traces.
    pub(crate) trace: SnapshotTrace,
}

/// What became of an order.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) key: SnapshotKey,
    pub(crate) duration_ms: i64,
    /// The bytes that it takes in the store.
    pub(crate) stored: Result<u64, StoreError>,
    /// Old snapshots that are still there because the store would not let them go.
    pub(crate) not_forgotten: Option<StoreError>,
}

type Store = Arc<Mutex<Box<dyn SnapshotStore + Send>>>;

/// Keeps the snapshots of one service.
pub(crate) struct Keeper {
    store: Store,
    clock: Arc<dyn Clock>,
    hand: Hand,
    /// The tasks whose orders are not done.
    busy: BTreeSet<String>,
    done: Vec<Done>,
}

enum Hand {
    Thread {
        orders: Sender<Order>,
        done: Receiver<Done>,
        /// As long as somebody is there for whom to write.
        _served: Arc<()>,
    },
    Waiting(VecDeque<Order>),
}

impl Keeper {
    pub(crate) fn new(
        store: Box<dyn SnapshotStore + Send>,
        clock: Arc<dyn Clock>,
        writing: Writing,
    ) -> Keeper {
        let store = Arc::new(Mutex::new(store));
        let hand = match writing {
            Writing::OnAThread => on_a_thread(Arc::clone(&store), Arc::clone(&clock)),
            Writing::ByHand => Hand::Waiting(VecDeque::new()),
        };
        Keeper {
            store,
            clock,
            hand,
            busy: BTreeSet::new(),
            done: Vec::new(),
        }
    }

    /// Whether a snapshot of this task is still to be written.
    pub(crate) fn is_busy_with(&self, task: &str) -> bool {
        self.busy.contains(task)
    }

    /// Orders that are not done.
    pub(crate) fn orders(&self) -> usize {
        self.busy.len()
    }

    /// Takes an order of a task that it is not busy with.
    pub(crate) fn take(&mut self, order: Order) {
        debug_assert!(!self.is_busy_with(&order.key.task), "one at a time");
        self.busy.insert(order.key.task.clone());
        match &mut self.hand {
            Hand::Thread { orders, .. } => {
                if let Err(refused) = orders.send(order) {
                    let key = refused.0.key;
                    self.busy.remove(&key.task);
                    self.done.push(ended(key));
                }
            }
            Hand::Waiting(orders) => orders.push_back(order),
        }
    }

    /// By hand: carries out the oldest order. Whether there was one.
    pub(crate) fn work(&mut self) -> bool {
        let Hand::Waiting(orders) = &mut self.hand else {
            return false;
        };
        let Some(order) = orders.pop_front() else {
            return false;
        };
        let done = carry_out(&self.store, &*self.clock, order);
        self.hear(done);
        true
    }

    /// What has been done since it was last asked.
    pub(crate) fn collect(&mut self) -> Vec<Done> {
        while let Hand::Thread { done, .. } = &self.hand {
            match done.try_recv() {
                Ok(one) => self.hear(one),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.give_up();
                    break;
                }
            }
        }
        std::mem::take(&mut self.done)
    }

    /// Waits until nothing of this task is left to be written. Whether that is so: a store that does not answer is not waited for beyond `until_ms`. What it has
    /// been given is tried all the same, in its turn, as long as the service is there.
    pub(crate) fn wait_for(&mut self, task: &str, until_ms: i64) -> bool {
        while self.is_busy_with(task) {
            match &self.hand {
                Hand::Thread { done, .. } => {
                    let left_ms = u64::try_from(until_ms - self.clock.steady_ms()).unwrap_or(0);
                    match done.recv_timeout(Duration::from_millis(left_ms)) {
                        Ok(one) => self.hear(one),
                        Err(RecvTimeoutError::Timeout) => return false,
                        Err(RecvTimeoutError::Disconnected) => self.give_up(),
                    }
                }
                Hand::Waiting(_) => drop(self.work()),
            }
        }
        true
    }

    /// The same of several tasks.
    pub(crate) fn wait_for_all(&mut self, tasks: &[String], until_ms: i64) -> bool {
        tasks.iter().all(|task| self.wait_for(task, until_ms))
    }

    /// Whether a snapshot is being written, for which [`Keeper::store`] would wait: minutes, where the store is slow.
    pub(crate) fn is_writing(&self) -> bool {
        matches!(self.store.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// The store, when no snapshot is being written.
    pub(crate) fn store(&self) -> MutexGuard<'_, Box<dyn SnapshotStore + Send>> {
        lock(&self.store)
    }

    fn hear(&mut self, done: Done) {
        self.busy.remove(&done.key.task);
        self.done.push(done);
    }

    /// The thread has ended, which is a bug in a store; what it had not done is not done.
    fn give_up(&mut self) {
        for task in std::mem::take(&mut self.busy) {
            self.done.push(ended(SnapshotKey {
                task,
                lineage: 0,
                offset: 0,
            }));
        }
    }
}

fn ended(key: SnapshotKey) -> Done {
    Done {
        stored: Err(StoreError {
            place: key.to_string(),
            cause: "the thread that writes snapshots has ended; restart the process".to_owned(),
        }),
        key,
        duration_ms: 0,
        not_forgotten: None,
    }
}

fn lock(store: &Store) -> MutexGuard<'_, Box<dyn SnapshotStore + Send>> {
    store
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn on_a_thread(store: Store, clock: Arc<dyn Clock>) -> Hand {
    let (orders, received) = channel::<Order>();
    let (told, done) = channel();
    let served = Arc::new(());
    let is_served = Arc::downgrade(&served);
    let work = move || {
        for order in received {
            // What a service that is gone did not wait for is not written after it: the job may have been reset meanwhile.
            if is_served.strong_count() == 0 {
                return;
            }
            let _ = told.send(carry_out(&store, &*clock, order));
        }
    };
    // Without the thread the channel is closed, and every order is told to have failed.
    let _ = thread::Builder::new()
        .name("snapshots".to_owned())
        .spawn(work);
    Hand::Thread {
        orders,
        done,
        _served: served,
    }
}

fn carry_out(store: &Store, clock: &dyn Clock, order: Order) -> Done {
    let Order {
        key,
        mut state,
        kept_max,
        is_in_haste,
        trace,
    } = order;
    let began_ms = clock.steady_ms();
    let began = trace.now();
    if is_in_haste {
        state.unshare();
    }
    let mut store = lock(store);
    let stored = store.put(&key, &state);
    trace.stored(began, &stored);
    drop(state);
    let not_forgotten = match &stored {
        Ok(_) => forget_old(&mut **store, &key, kept_max).err(),
        Err(_) => None,
    };
    Done {
        key,
        duration_ms: clock.steady_ms() - began_ms,
        stored,
        not_forgotten,
    }
}

/// Keeps the newest few up to the one that was just written, and as many beyond it: those are of an owner that is further on, or of a topic that has been made
/// anew since, whose old snapshots the store would not let go. Those of another lineage serve nobody any more as soon as ours has that many.
fn forget_old(
    store: &mut dyn SnapshotStore,
    newest: &SnapshotKey,
    kept_max: usize,
) -> Result<(), StoreError> {
    let (ours, foreign): (Vec<_>, Vec<_>) = store
        .list(&newest.task)?
        .into_iter()
        .partition(|key| key.lineage == newest.lineage);
    let (beyond, ours): (Vec<_>, Vec<_>) =
        ours.into_iter().partition(|key| key.offset > newest.offset);
    let foreign = foreign.iter().filter(|_| ours.len() >= kept_max);
    let old = ours.iter().skip(kept_max);
    for key in old.chain(beyond.iter().skip(kept_max)).chain(foreign) {
        store.delete(key)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::MemoryStore;
    use super::*;

    fn key(lineage: u64, offset: i64) -> SnapshotKey {
        SnapshotKey {
            task: "job/in/0".to_owned(),
            lineage,
            offset,
        }
    }

    /// What is left of these offsets, newest first, after that of `written` was stored and two are to stay.
    fn left(offsets: &[i64], written: i64) -> Vec<i64> {
        let mut store = MemoryStore::new();
        for offset in offsets.iter().chain([&written]) {
            store.put(&key(1, *offset), &Vec::new()).unwrap();
        }
        forget_old(&mut store, &key(1, written), 2).unwrap();
        let left = store.list("job/in/0").unwrap();
        left.iter().map(|key| key.offset).collect()
    }

    #[test]
    fn the_newest_few_stay_and_what_was_just_written_always_does() {
        assert_eq!(left(&[10, 20, 30], 40), [40, 30]);
        // Of a topic that was made anew: the store would not let go of those at offsets of the old one.
        assert_eq!(left(&[900, 1000], 5), [1000, 900, 5]);
        assert_eq!(left(&[900, 1000, 5, 7], 9), [1000, 900, 9, 7]);
        // Written late, by somebody who has been replaced.
        assert_eq!(left(&[50, 60, 70], 40), [70, 60, 40]);
    }

    #[test]
    fn those_of_another_lineage_stay_until_there_are_enough_of_ours() {
        let mut store = MemoryStore::new();
        for key in [key(2, 500), key(1, 10)] {
            store.put(&key, &Vec::new()).unwrap();
        }
        forget_old(&mut store, &key(1, 10), 2).unwrap();
        assert_eq!(store.list("job/in/0").unwrap().len(), 2);
        store.put(&key(1, 20), &Vec::new()).unwrap();
        forget_old(&mut store, &key(1, 20), 2).unwrap();
        assert_eq!(store.list("job/in/0").unwrap(), [key(1, 20), key(1, 10)]);
    }
}
