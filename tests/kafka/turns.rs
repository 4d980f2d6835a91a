//! How many tests have services at work at a time.
//!
//! Tests on Kafka wait more than they compute: for sessions and transactions that time out, and for each other, where several want the three brokers
//! for themselves. So there are more threads than cores (`run.sh`), and who is at work is counted here: as many as the machine can carry without
//! that anything times out which should not. A turn is taken with a test's first deployment and given back with its last; who waits for the
//! brokers takes none meanwhile. Nobody waits for a turn while holding one, because a thread's second is its first.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::available_parallelism;

/// How many are at work.
static AT_WORK: Mutex<usize> = Mutex::new(0);
static GIVEN_BACK: Condvar = Condvar::new();

/// A thread's turn.
pub struct Turn(());

impl Drop for Turn {
    fn drop(&mut self) {
        *AT_WORK.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        GIVEN_BACK.notify_one();
    }
}

/// This thread's turn; waits for it if the thread has none.
pub fn turn() -> Rc<Turn> {
    thread_local!(static OURS: RefCell<Weak<Turn>> = const { RefCell::new(Weak::new()) });
    OURS.with_borrow_mut(|ours| {
        ours.upgrade().unwrap_or_else(|| {
            let turn = Rc::new(take());
            *ours = Rc::downgrade(&turn);
            turn
        })
    })
}

fn take() -> Turn {
    let turns = available_parallelism().map_or(1, usize::from) * 5 / 2;
    let at_work = AT_WORK.lock().unwrap_or_else(PoisonError::into_inner);
    let mut at_work = GIVEN_BACK
        .wait_while(at_work, |at_work| *at_work >= turns)
        .unwrap_or_else(PoisonError::into_inner);
    *at_work += 1;
    Turn(())
}
