//! The evidence against one value of a series, nats: two copies of the surprise views, a profile they share, and novelty.
//!
//! `F = 0.8 max(A, B) + 4 N`: A the mean of the copies' slow channels (the bucket, and means of one hour held until the next),
//! B the short-range channel, N the mean of the copies' novelty. Where a bucket is an hour or longer there is one copy.
//! Counts have a third channel: their tail around the forecast, for Poisson and negative binomial are laws of counting, and an outage of
//! something steady is certain long before it is large; what it claims is calibrated by its own past like the others, less 4 nats,
//! and heard only while its claims have been no larger than chance brings.
//! About −ln of the chance that a block of 24 buckets shows this much; 3 nats deserve attention. Source: detection-quality.md.
//!
//! All of it happens on a scale that is even near zero and logarithmic far from it ([`SymLog`]): counts, sums and latencies vary in
//! proportion to their size, and a heavy tail is no anomaly. The scale's unit is the mean size of the first [`UNIT_VALUES`] values, so a
//! series is a short list of them at first, and the views come into being when it is full.

use super::Kind;
use super::calibration::Calibration;
use super::profile::{HourMeans, Profile, hour_of};
use super::surprise::{SeasonView, Surprise, Views};
use crate::config::Side;
use crate::time::{BucketSpan, EventTime};
use serde::{Deserialize, Serialize};

const HOUR_MS: i64 = 3_600_000;
/// Buckets in a block of the calibration.
pub const BLOCK_BUCKETS: u32 = 24;
const CHANNEL_WEIGHT: f64 = 0.8;
const NOVELTY_NATS: f64 = 4.0;
/// What the tail of a count has to show more than the views.
const TAIL_HANDICAP: f64 = 4.0;
/// Values that decide the unit of a series' scale.
const UNIT_VALUES: usize = 24;
/// For so many more of them room is made at a time.
const FIRST_CHUNK: usize = 4;

/// A scale that is linear up to about one unit from zero and logarithmic beyond: `sgn x · ln(1 + |x|/unit)`.
///
/// Tukey's started logarithm (Exploratory Data Analysis, 1977), made odd. Holds: strictly growing; finite for finite values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SymLog {
    unit: f64,
}

impl SymLog {
    /// The scale of a series with these values: its unit is their mean size; 1 if they are all zero.
    pub fn of(values: impl ExactSizeIterator<Item = f64>) -> SymLog {
        let n = values.len().max(1) as f64;
        let unit = values.map(|x| x.abs() / n).sum::<f64>();
        SymLog {
            unit: if unit >= f64::MIN_POSITIVE { unit } else { 1.0 },
        }
    }

    /// The value on the scale.
    pub fn of_value(self, x: f64) -> f64 {
        (x.abs() / self.unit).ln_1p().copysign(x)
    }
}

/// What is claimed against a value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Claim {
    /// Evidence, nats, at least 0.
    pub nats: f64,
    /// What the bucket's copy said, which learning the same value needs again.
    rows: Option<Surprise>,
}

/// Means of the hour that is being filled, and what the last whole hour showed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Hours {
    views: Views,
    held: Surprise,
}

/// The two copies and what they share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Copies {
    scale: SymLog,
    rows: Views,
    filling: HourMeans,
    hours: Option<Hours>,
    profile: Profile,
    /// Of −ln p by the distribution around the forecast; counts only.
    tail: Option<Calibration>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Stage {
    /// The first values with their times and −ln p, in order.
    First(Vec<(EventTime, f64, f64)>),
    Grown(Box<Copies>),
}

/// Everything that the evidence against a series' next value needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceModel {
    stage: Stage,
}

impl EvidenceModel {
    /// Of a series that has shown nothing.
    pub fn new() -> EvidenceModel {
        EvidenceModel {
            stage: Stage::First(Vec::new()),
        }
    }

    /// Evidence against `x` at `at` (the middle of its bucket), nats, at least 0. `ln_tail` is what the distribution around the forecast says of
    /// it and of the dozen buckets that end with it: all there is to go by while no view has seen enough (a young series, a constant that moves for the first time).
    pub fn judge(&self, at: EventTime, x: f64, side: Side, ln_tail: f64) -> Claim {
        let of_tail = (-ln_tail - f64::from(BLOCK_BUCKETS).ln()).max(0.0);
        match &self.stage {
            Stage::First(_) => Claim {
                nats: CHANNEL_WEIGHT * of_tail,
                rows: None,
            },
            Stage::Grown(copies) => copies.judge(at, x, side, ln_tail, of_tail),
        }
    }

    /// Learns `x`; `ln_tail` is what [`judge`](Self::judge) was told of it, `claim` what it said if it was asked of this very value.
    pub fn learn(
        &mut self,
        at: EventTime,
        x: f64,
        kind: &Kind,
        ln_tail: f64,
        claim: Option<&Claim>,
    ) {
        match &mut self.stage {
            Stage::First(values) => {
                if values.len().is_multiple_of(FIRST_CHUNK) {
                    values.reserve_exact(FIRST_CHUNK);
                }
                values.push((at, x, ln_tail));
                if values.len() == UNIT_VALUES {
                    let scale = SymLog::of(values.iter().map(|(_, x, _)| *x));
                    let mut copies = Copies::new(scale, kind);
                    values
                        .iter()
                        .for_each(|&(at, x, ln_tail)| copies.learn(at, x, kind, ln_tail, None));
                    self.stage = Stage::Grown(Box::new(copies));
                }
            }
            Stage::Grown(copies) => {
                let judged = claim.and_then(|claim| claim.rows.as_ref());
                copies.learn(at, x, kind, ln_tail, judged);
            }
        }
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        match &self.stage {
            // By the rule that room is made by, not by what there is: a restored series may have less.
            Stage::First(values) => {
                values.len().next_multiple_of(FIRST_CHUNK) * size_of::<(EventTime, f64, f64)>()
            }
            Stage::Grown(copies) => size_of::<Copies>() + copies.heap_bytes(),
        }
    }
}

impl Default for EvidenceModel {
    fn default() -> EvidenceModel {
        EvidenceModel::new()
    }
}

impl Copies {
    fn new(scale: SymLog, kind: &Kind) -> Copies {
        Copies {
            scale,
            rows: Views::new(true),
            filling: HourMeans::default(),
            hours: (kind.span.millis() < HOUR_MS).then(Hours::default),
            profile: Profile::default(),
            tail: kind.counting.then(Calibration::default),
        }
    }

    fn judge(&self, at: EventTime, x: f64, side: Side, ln_tail: f64, of_tail: f64) -> Claim {
        let season = SeasonView::of(&self.profile, hour_of(at));
        let rows = self.rows.judge(self.scale.of_value(x), &season, side);
        let mut slow = if rows.speaks() { rows.slow } else { of_tail };
        let mut novelty = rows.novelty.unwrap_or(0.0);
        if let Some(Hours { held, .. }) = &self.hours {
            if held.speaks() && rows.speaks() {
                slow = (slow + held.slow) / 2.0;
            }
            novelty = (novelty + held.novelty.unwrap_or(0.0)) / 2.0;
        }
        let tail = self
            .tail
            .as_ref()
            .filter(|tail| tail.is_honest(BLOCK_BUCKETS))
            .map_or(0.0, |tail| tail.evidence(-ln_tail) - TAIL_HANDICAP);
        Claim {
            nats: CHANNEL_WEIGHT * slow.max(rows.short).max(tail).max(0.0) + NOVELTY_NATS * novelty,
            rows: Some(rows),
        }
    }

    fn learn(
        &mut self,
        at: EventTime,
        x: f64,
        kind: &Kind,
        ln_tail: f64,
        judged: Option<&Surprise>,
    ) {
        let (span, side) = (kind.span, kind.side);
        if let Some(tail) = &mut self.tail {
            tail.learn(-ln_tail, BLOCK_BUCKETS);
        }
        let y = self.scale.of_value(x);
        let season = SeasonView::of(&self.profile, hour_of(at));
        self.rows.learn(y, &season, side, BLOCK_BUCKETS, judged);
        let block_hours = (i64::from(BLOCK_BUCKETS) * span.millis() / HOUR_MS).max(1) as u32;
        for over in self.filling.push(at, y, span).into_iter().flatten() {
            if let Some(hours) = &mut self.hours {
                let season = SeasonView::of(&self.profile, over.hour);
                hours.held = hours.views.judge(over.mean, &season, side);
                let held = Some(&hours.held);
                hours
                    .views
                    .learn(over.mean, &season, side, block_hours, held);
            }
            self.profile.learn(over.hour, over.mean);
        }
    }

    fn heap_bytes(&self) -> usize {
        let hours = self
            .hours
            .as_ref()
            .map_or(0, |hours| hours.views.heap_bytes());
        let tail = self.tail.as_ref().map_or(0, Calibration::heap_bytes);
        self.rows.heap_bytes() + self.profile.heap_bytes() + hours + tail
    }
}

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
