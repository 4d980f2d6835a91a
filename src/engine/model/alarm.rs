//! What of the evidence against a series is said, and for how long.
//!
//! Input: evidence and what is said of it, nats, at least 0; ln p of the value. Holds: what is said falls to nothing with the first usual value, and
//! never rises within an alarm but for something much louder; a function of what was learnt. Source: detection-quality.md, "Publish edges".

use super::evidence::BLOCK_BUCKETS;
use super::profile::HOUR_MS;
use crate::time::{BucketSpan, EventTime};
use serde::{Deserialize, Serialize};

/// What of the evidence is said: an alarm is given at its onset, stays up while its cause lasts, and is not given again for the like of it.
///
/// For a while ([`Hold`]) after evidence was said, only what exceeds it so many times is said in full. Until then an alarm stays up,
/// fading, while each value is plainly unusual to the forecast too ([`LN_LASTS`]), or unusual enough for evidence against it to be left, and never rises; what comes back after it was over is said at [`AGAIN`],
/// and a value that the forecast calls usual at nothing. So a lasting change ends its alarm when the forecast has followed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// The most said lately, nats, and when.
    peak: f32,
    peak_at: i64,
    /// What the ongoing alarm says; 0 when it is over.
    ongoing: f32,
}

/// What the return of an alarm that was over counts.
const AGAIN: f64 = 0.5;
/// Below this ln p an alarm goes on: ln 0.001.
const LN_LASTS: f64 = -6.907_755_278_982_137;
/// Above this a value is usual: ln 0.05.
pub(in crate::engine) const LN_USUAL: f64 = -2.995_732_273_553_991;
/// What an alarm that goes on keeps from bucket to bucket.
const FADE: f64 = 0.95;
const HOLD_MS: i64 = 8 * HOUR_MS;

/// For how long, and against how much more, what was said lately silences the like of it.
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    ms: i64,
    /// So many times as much is worth saying anew.
    louder: f64,
}

impl Hold {
    /// Of one series: eight hours, or a block of buckets where that is longer.
    pub fn of_series(span: BucketSpan) -> Hold {
        Hold {
            ms: HOLD_MS.max(i64::from(BLOCK_BUCKETS) * span.millis()),
            louder: 4.0 / 3.0,
        }
    }

    /// Of a series' part in what its entity shows: a block of buckets. An entity has many ailments, and one must not silence the next for hours.
    pub fn of_entity(span: BucketSpan) -> Hold {
        Hold {
            ms: i64::from(BLOCK_BUCKETS) * span.millis(),
            louder: 1.2,
        }
    }
}

impl Alarm {
    /// What is said of `evidence` at `at`; `ln_tail` is what the forecast's distribution says of the value.
    pub fn said(&self, evidence: f64, ln_tail: f64, at: EventTime, hold: Hold) -> f64 {
        if evidence > hold.louder * self.peak_within(at, hold) {
            evidence
        } else if ln_tail > LN_USUAL {
            0.0
        } else if self.lasts(ln_tail) {
            self.left(evidence, ln_tail)
        } else {
            self.left(evidence, ln_tail).max(AGAIN * evidence)
        }
    }

    /// Remembers what was said of `evidence`.
    pub fn learn(&mut self, evidence: f64, said: f64, ln_tail: f64, at: EventTime, hold: Hold) {
        if evidence > hold.louder * self.peak_within(at, hold) {
            (self.peak, self.peak_at) = (evidence as f32, at.millis());
            self.ongoing = said as f32;
        } else {
            self.ongoing = self.left(evidence, ln_tail) as f32;
        }
    }

    /// Whether an alarm was up when the last value had been learnt.
    pub fn is_up(&self) -> bool {
        self.ongoing > 0.0
    }

    fn lasts(&self, ln_tail: f64) -> bool {
        self.is_up() && ln_tail < LN_LASTS
    }

    /// What is left of the ongoing alarm: of a value that is neither plainly unusual nor usual, no more than the evidence against it.
    fn left(&self, evidence: f64, ln_tail: f64) -> f64 {
        let faded = FADE * f64::from(self.ongoing);
        match ln_tail {
            usual if usual > LN_USUAL => 0.0,
            lasting if lasting < LN_LASTS => faded,
            _ => faded.min(evidence),
        }
    }

    fn peak_within(&self, at: EventTime, hold: Hold) -> f64 {
        if at.millis() - self.peak_at <= hold.ms {
            f64::from(self.peak)
        } else {
            0.0
        }
    }
}
