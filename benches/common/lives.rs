//! Lives of series, as the judge hears of them: closed buckets of a mean a host, without the events.

use tidewatch::engine::feature::Accumulator;
use tidewatch::engine::result::DataCounts;
use tidewatch::engine::wire::{ClosedBucket, SeriesBucket, SeriesKey};
use tidewatch::numerics::ExactSum;
use tidewatch::time::{BucketStart, Finality};

const HOUR_MS: f64 = 3_600_000.0;
/// Monday, 2 March 2026.
const FROM_MS: i64 = 1_772_409_600_000;
/// Measurements a series and bucket.
pub(crate) const MEASUREMENTS: u64 = 7;

/// What a series' life is like.
pub(crate) struct Life {
    pub(crate) span_seconds: i64,
    pub(crate) has_season: bool,
}

/// So many hosts.
pub(crate) fn keys(count: usize) -> Vec<SeriesKey> {
    let key = |series| SeriesKey {
        partition: Some(format!("host-{series:06}").into()),
        over: None,
        by: None,
    };
    (0..count).map(key).collect()
}

/// What a gatherer would say of the `at`th bucket with events.
pub(crate) fn bucket(life: &Life, keys: &[SeriesKey], at: usize) -> ClosedBucket {
    let start = FROM_MS + at as i64 * life.span_seconds * 1000;
    let series = keys.iter().enumerate().map(|(series, key)| SeriesBucket {
        group: 0,
        key: key.clone(),
        cells: [cell(value(life, start, series, at))].into(),
        shares: Vec::new(),
    });
    ClosedBucket {
        start: BucketStart(start),
        finality: Finality::Final,
        event_count: keys.len() as u64 * MEASUREMENTS,
        counts: DataCounts::default(),
        series: series.collect(),
    }
}

fn cell(mean: f64) -> Accumulator {
    let mut sum = ExactSum::new();
    sum.add_weighted(mean, MEASUREMENTS);
    Accumulator::Mean {
        n: MEASUREMENTS,
        sum,
    }
}

/// A level of its own, a tenth of noise; by day half as much again, at weekends half.
fn value(life: &Life, start_ms: i64, series: usize, at: usize) -> f64 {
    let noise: f64 = (0..4).map(|draw| unit(series, 4 * at + draw) - 0.5).sum();
    let level = 1000.0 + 9000.0 * unit(series, usize::MAX);
    let hours = start_ms as f64 / HOUR_MS;
    let season = match life.has_season {
        true => {
            let is_weekend = matches!((hours / 24.0) as i64 % 7, 2 | 3);
            let day = 1.0 + 0.5 * (std::f64::consts::TAU * hours / 24.0).cos();
            day * if is_weekend { 0.5 } else { 1.0 }
        }
        false => 1.0,
    };
    level * season * (1.0 + 0.17 * noise)
}

/// A number in 0..1 that depends on both (SplitMix64).
fn unit(series: usize, draw: usize) -> f64 {
    let mut z = (series as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (draw as u64) << 20;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ z >> 31) as f64 / 2f64.powi(64)
}
