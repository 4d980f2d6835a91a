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
/// For eight hours (24 buckets at least) after evidence was said, only what exceeds it by [`LOUDER`] is said in full. Until then an alarm stays up,
/// fading, while each value is plainly unusual to the forecast too ([`LN_LASTS`]), and never rises; what comes back after it was over is said at [`AGAIN`],
/// and a value that the forecast calls usual at nothing. So a lasting change ends its alarm when the forecast has followed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// The most said lately, nats, and when.
    peak: f32,
    peak_at: i64,
    /// What the ongoing alarm says; 0 when it is over.
    ongoing: f32,
}

/// How much more is worth saying anew.
const LOUDER: f64 = 4.0 / 3.0;
/// What the return of an alarm that was over counts.
const AGAIN: f64 = 0.5;
/// Below this ln p an alarm goes on: ln 0.001.
const LN_LASTS: f64 = -6.907_755_278_982_137;
/// Above this a value is usual: ln 0.05.
const LN_USUAL: f64 = -2.995_732_273_553_991;
/// What an alarm that goes on keeps from bucket to bucket.
const FADE: f64 = 0.95;
const HOLD_MS: i64 = 8 * HOUR_MS;

impl Alarm {
    /// What is said of `evidence` at `at`; `ln_tail` is what the forecast's distribution says of the value.
    pub fn said(&self, evidence: f64, ln_tail: f64, at: EventTime, span: BucketSpan) -> f64 {
        if evidence > LOUDER * self.peak_within(at, span) {
            evidence
        } else if self.goes_on(ln_tail) {
            FADE * f64::from(self.ongoing)
        } else if ln_tail > LN_USUAL {
            0.0
        } else {
            AGAIN * evidence
        }
    }

    /// Remembers what was said of `evidence`.
    pub fn learn(
        &mut self,
        evidence: f64,
        said: f64,
        ln_tail: f64,
        at: EventTime,
        span: BucketSpan,
    ) {
        if evidence > LOUDER * self.peak_within(at, span) {
            (self.peak, self.peak_at) = (evidence as f32, at.millis());
            self.ongoing = said as f32;
        } else if self.goes_on(ln_tail) {
            self.ongoing = said as f32;
        } else {
            self.ongoing = 0.0;
        }
    }

    fn goes_on(&self, ln_tail: f64) -> bool {
        self.ongoing > 0.0 && ln_tail < LN_LASTS
    }

    fn peak_within(&self, at: EventTime, span: BucketSpan) -> f64 {
        let hold = HOLD_MS.max(i64::from(BLOCK_BUCKETS) * span.millis());
        if at.millis() - self.peak_at <= hold {
            f64::from(self.peak)
        } else {
            0.0
        }
    }
}
