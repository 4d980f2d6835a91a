//! Time, as far as the runtime needs it, never for results: the time of day, which may jump, for stamps and for people; and a steady one, which does
//! not, for intervals and patience.
//!
//! Milliseconds. Results depend on event time alone (design: a replay must reach the same bytes). But that a partition is silent for too long is the
//! clock's to say, and a clock set forward by an hour would say it of all of them, one set back stop every interval for as long: so nothing that is waited
//! for is measured by the time of day. Checked by: the simulation, whose clock jumps; tests/clocks.rs; tests/kafka/faults/clocks.rs.
#![allow(
    clippy::disallowed_methods,
    reason = "the one place where the runtime reads the time"
)]

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The time of day: milliseconds since the epoch. May be set to another at any moment.
    fn now_ms(&self) -> i64;

    /// Milliseconds since some moment in the past: never goes back, and never further than time does.
    fn steady_ms(&self) -> i64;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as i64)
    }

    fn steady_ms(&self) -> i64 {
        Origin::get().since.elapsed().as_millis() as i64
    }
}

impl SystemClock {
    /// What to stamp a message with that has no time of its own: the time of day, but never one that the clock has jumped ahead to. Brokers refuse what is
    /// an hour ahead of them.
    pub fn stamp_ms(self) -> i64 {
        let carried_on = Origin::get().time_ms + self.steady_ms();
        self.now_ms().min(carried_on)
    }
}

/// When this process first asked for the time, by both clocks.
#[derive(Clone, Copy)]
struct Origin {
    since: Instant,
    time_ms: i64,
}

impl Origin {
    fn get() -> Origin {
        static ORIGIN: OnceLock<Origin> = OnceLock::new();
        *ORIGIN.get_or_init(|| Origin {
            since: Instant::now(),
            time_ms: SystemClock.now_ms(),
        })
    }
}

/// Clocks that stand still until they are moved. Clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    steady_ms: Arc<AtomicI64>,
    /// How far the time of day is ahead of the steady one.
    ahead_ms: Arc<AtomicI64>,
}

impl ManualClock {
    /// Clocks that show `now_ms`.
    pub fn at(now_ms: i64) -> ManualClock {
        ManualClock {
            steady_ms: Arc::new(AtomicI64::new(now_ms)),
            ahead_ms: Arc::default(),
        }
    }

    /// Time goes on, and is shown by both.
    pub fn advance(&self, ms: i64) {
        self.steady_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Somebody sets the time of day, forward or back.
    pub fn jump(&self, ms: i64) {
        self.ahead_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.steady_ms() + self.ahead_ms.load(Ordering::Relaxed)
    }

    fn steady_ms(&self) -> i64 {
        self.steady_ms.load(Ordering::Relaxed)
    }
}
