//! The figures of a backtest: plain data, as JSON writes them.
//!
//! Times are milliseconds of event time, shares lie in 0..=1, and what has no answer (the recall of no window) is `None`, never 0 or NaN.

use super::heard::{Coverage, Names, Series, as_map};
use super::iso_8601;
use super::window::Window;
use crate::time::EventTime;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A detector in figures.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Which detector: a job's file, a build, a file of results.
    pub name: String,
    /// What it judged; of results that do not say so, what the job judged that they were set against.
    pub coverage: Option<Coverage>,
    /// Records that count, of [`SCORE_MIN`](super::SCORE_MIN) and above, one a series and bucket.
    pub records: usize,
    /// At the thresholds of the table, falling.
    pub table: Vec<Point>,
    /// At the threshold for alerts.
    pub at_threshold: Point,
    /// Where F1 is highest; of equals the highest threshold.
    pub best: Option<Point>,
    /// Over all thresholds; `None` without windows.
    pub average_precision: Option<f64>,
    /// Wherever lowering the threshold finds another window, thresholds falling.
    pub curve: Vec<Point>,
    /// What became of each window, at the threshold for alerts.
    pub windows: Vec<WindowOutcome>,
    /// False alerts at that threshold (without labels all alerts), the strongest first.
    pub false_alerts: Vec<AlertTold>,
    /// Series by their number of false alerts (without labels of alerts), the most first.
    pub series: Vec<SeriesCount>,
}

/// What one threshold gives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Records score at least this.
    pub threshold: f64,
    /// Alerts of all kinds.
    pub alerts: usize,
    /// The same a thousand series-days.
    pub alerts_per_1000_series_days: Option<f64>,
    /// What the labels say of them.
    #[serde(flatten)]
    pub labelled: Option<Labelled>,
}

/// What labels say of a threshold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Labelled {
    /// Windows found.
    pub found: usize,
    /// Windows to be found.
    pub windows: usize,
    /// Alerts that began where nothing was wrong, or named somebody else.
    pub false_alerts: usize,
    /// The same a thousand series-days.
    pub false_alerts_per_1000_series_days: Option<f64>,
    /// Alerts in a window's time that say nothing of its entity: neither true nor false.
    pub bystanders: usize,
    /// Found / (found + false alerts).
    pub precision: Option<f64>,
    /// Found / windows.
    pub recall: Option<f64>,
    /// Harmonic mean of the two.
    pub f1: Option<f64>,
    /// From a window's start to the end of the first bucket that found it: the median.
    pub delay_ms_median: Option<i64>,
    /// The delay that nine in ten do not exceed.
    pub delay_ms_p90: Option<i64>,
    /// Of found windows with an entity: how often the first alert that names such an entity names the right one.
    pub first_blame: Option<Share>,
    /// Of found windows with metrics: how often the first alert names one of them.
    pub first_metric: Option<Share>,
}

/// `right` of `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// How many.
    pub right: usize,
    /// Of how many, at least 1.
    pub all: usize,
}

/// What became of one window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WindowOutcome {
    /// The label.
    #[serde(flatten)]
    pub window: Window,
    /// Whether it was found at the threshold for alerts.
    pub found: bool,
    /// The highest score in it, also below that threshold.
    pub score: Option<f64>,
    /// From its start to the end of the first bucket that found it.
    pub delay_ms: Option<i64>,
    /// The alert that found it.
    pub alert: Option<AlertTold>,
}

/// An alert as a person would have been told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertTold {
    /// Start of the bucket with which it began.
    #[serde(serialize_with = "iso_8601")]
    pub start: EventTime,
    /// Its highest score.
    pub score: f64,
    /// Whose.
    #[serde(flatten)]
    pub series: Series,
    /// Who its strongest record blames; fields of the series included.
    #[serde(serialize_with = "as_lists")]
    pub influencers: Names,
}

/// How often a series told somebody.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SeriesCount {
    /// `high_mean(latency_ms)`.
    pub what: Arc<str>,
    /// By, over and partition fields with their values.
    #[serde(serialize_with = "as_map")]
    pub fields: Names,
    /// Alerts that began with it.
    pub alerts: usize,
    /// False ones among them; without labels 0.
    pub false_alerts: usize,
    /// Its highest score.
    pub score: f64,
}

/// Fields with all their values.
fn as_lists<S: serde::Serializer>(names: &Names, to: S) -> Result<S::Ok, S::Error> {
    let mut lists: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (field, value) in names.iter() {
        lists.entry(field).or_default().push(value);
    }
    to.collect_map(lists)
}

impl Share {
    /// How many of these are; `None` of none.
    pub(super) fn of(outcomes: &[bool]) -> Option<Share> {
        let right = outcomes.iter().filter(|right| **right).count();
        let all = outcomes.len();
        (all > 0).then_some(Share { right, all })
    }
}
