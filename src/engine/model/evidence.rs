//! The evidence against one value of a series, nats: two copies of the surprise views, a profile they share, and novelty.
//!
//! `F = 0.8 max(A, B) + 4 N`: A the mean of the copies' slow channels (the bucket, and means of one hour held until the next),
//! B the short-range channel, N the mean of the copies' novelty. Where a bucket is an hour or longer there is one copy.
//! About −ln of the chance that a block of 24 buckets shows this much; 3 nats deserve attention. Source: detection-quality.md.

use super::calibration::Calibration;
use super::profile::Profile;
use super::surprise::{SeasonView, Surprise, Views};
use crate::config::Side;
use crate::time::{BucketSpan, EventTime};
use serde::{Deserialize, Serialize};

const HOUR_MS: i64 = 3_600_000;
/// Buckets in a block of the calibration.
pub const BLOCK_BUCKETS: u32 = 24;
const CHANNEL_WEIGHT: f64 = 0.8;
const NOVELTY_NATS: f64 = 4.0;
/// What the distribution around the forecast has to show more than the views.
const TAIL_HANDICAP: f64 = 1.0;
/// Share of the noise that the mean of an hour would have if its buckets were independent: residuals are not held to less.
const MEAN_NOISE_SHARE: f64 = 0.25;

/// Means of the hour that is being filled, and what the last whole hour showed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Hours {
    views: Views,
    hour: i64,
    sum: f64,
    values: u32,
    held: Surprise,
}

/// Everything that the evidence against a series' next value needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EvidenceModel {
    rows: Views,
    hours: Option<Box<Hours>>,
    profile: Profile,
    /// Of −ln p by the distribution around the forecast.
    tail: Calibration,
}

impl EvidenceModel {
    /// Of a series that has shown nothing.
    pub fn new() -> EvidenceModel {
        EvidenceModel {
            rows: Views::new(true),
            ..EvidenceModel::default()
        }
    }

    /// The seasonal profile.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The seasonal profile, to be shifted with the level.
    pub fn profile_mut(&mut self) -> &mut Profile {
        &mut self.profile
    }

    /// Evidence against `x` at `at` (the middle of its bucket), nats, at least 0. `ln_tail` is what the distribution around the forecast says of
    /// it and of the dozen buckets that end with it: all there is to go by while no view has seen enough residuals of its sign (a constant that moves for the first time).
    pub fn judge(&self, at: EventTime, x: f64, span: BucketSpan, side: Side, ln_tail: f64) -> f64 {
        let rows = self.rows.judge(x, &self.season(at, span), side);
        let hours = self.hours.as_ref().map(|hours| hours.held);
        let mut slow = if rows.speaks {
            rows.slow
        } else {
            -ln_tail - f64::from(BLOCK_BUCKETS).ln()
        };
        if let Some(hours) = hours.filter(|hours| hours.speaks && rows.speaks) {
            slow = (slow + hours.slow) / 2.0;
        }
        let novelty = match (rows.novelty, hours.and_then(|hours| hours.novelty)) {
            (Some(row), Some(hour)) => (row + hour) / 2.0,
            (row, _) => row.unwrap_or(0.0),
        };
        let tail = self.tail.evidence(-ln_tail) - TAIL_HANDICAP;
        CHANNEL_WEIGHT * slow.max(rows.short).max(tail).max(0.0) + NOVELTY_NATS * novelty
    }

    /// Learns `x`.
    pub fn learn(&mut self, at: EventTime, x: f64, span: BucketSpan, side: Side, ln_tail: f64) {
        self.tail.learn(-ln_tail, BLOCK_BUCKETS);
        let season = self.season(at, span);
        let followed = self.rows.learn(x, &season, side, BLOCK_BUCKETS);
        if span.millis() < HOUR_MS {
            self.learn_hour(at, x, span, side);
        }
        self.profile.learn(at, followed, visit_values(span));
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        let hours = self
            .hours
            .as_ref()
            .map_or(0, |hours| size_of::<Hours>() + hours.views.heap_bytes());
        self.rows.heap_bytes() + self.profile.heap_bytes() + self.tail.heap_bytes() + hours
    }

    fn season(&self, at: EventTime, span: BucketSpan) -> SeasonView {
        SeasonView::of(&self.profile, at, visit_values(span))
    }

    /// Closes the hour before `at` if it is over, then counts `x` into its own.
    fn learn_hour(&mut self, at: EventTime, x: f64, span: BucketSpan, side: Side) {
        let hour = at.millis().div_euclid(HOUR_MS);
        let mut hours = self.hours.take().unwrap_or_else(|| {
            Box::new(Hours {
                views: Views::new(false),
                hour,
                ..Hours::default()
            })
        });
        if hours.hour != hour && hours.values > 0 {
            self.close_hour(&mut hours, span, side);
        }
        hours.hour = hour;
        hours.sum += x;
        hours.values += 1;
        // The last bucket of an hour ends it: the next bucket is judged knowing it.
        let next_middle = at.millis() + span.millis();
        if next_middle.div_euclid(HOUR_MS) != hour {
            self.close_hour(&mut hours, span, side);
        }
        self.hours = Some(hours);
    }

    fn close_hour(&self, hours: &mut Hours, span: BucketSpan, side: Side) {
        let mean = hours.sum / f64::from(hours.values);
        let middle = EventTime(hours.hour * HOUR_MS + HOUR_MS / 2);
        let season = self.season(middle, span);
        // The mean of an hour is no surer than its buckets' noise lets it be.
        hours.views.hold_scale_above(
            MEAN_NOISE_SHARE * self.rows.step_mean() / f64::from(hours.values).sqrt(),
        );
        hours.held = hours.views.judge(mean, &season, side);
        let block_hours = (i64::from(BLOCK_BUCKETS) * span.millis() / HOUR_MS).max(1) as u32;
        hours.views.learn(mean, &season, side, block_hours);
        (hours.sum, hours.values) = (0.0, 0);
    }
}

/// How many buckets one visit to a slot of the profile brings.
pub fn visit_values(span: BucketSpan) -> u16 {
    (HOUR_MS / span.millis()).clamp(1, 3600) as u16
}
