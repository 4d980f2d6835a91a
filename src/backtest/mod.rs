//! A detector held against history: what of the labelled incidents was found, how fast, and how many false alarms it cost.
//!
//! ```text
//! records ──► Heard ─┐
//! labels ──► Window ─┼──► Trial ──► Measured (points over thresholds, each window, each false alert)
//! Settings ──────────┘      two Trials ──► Difference (who found what the other did not, and is that more than chance)
//! ```
//!
//! Event based and without point adjustment: a window counts once, however many records lie in it, and a record outside all windows is never forgiven
//! because another one hit. Scores are initial scores, which an operator would have seen at the time; renormalisation knows what came later.
//!
//! - An *alert* at a threshold begins with a record of at least that score. Further ones of the same series that begin within the quiet period are the same
//!   alert; one that goes on for longer is told again, and counts again. (So counts never fall when the threshold does, outside of windows: the
//!   least number of quiet periods that cover a set of instants cannot shrink when instants are added.)
//! - A record *finds* a window when its bucket overlaps the window's time and it names every entity of the window, as by, over or partition value or as
//!   influencer. The *delay* is from the window's start to the end of the first such bucket, for nobody can be told before; a bucket span at best.
//! - A *bystander* overlaps a window's time and says nothing about the window's entity fields: an outage of one service shows in the total as well. It is
//!   neither true nor false. Everything else is a *false alert*, save what repeats an alert inside a window within the quiet period: its aftermath.
//! - *Precision* is windows found / (windows found + false alerts), *recall* windows found / windows, *F1* their harmonic mean, *average precision* the sum of precision times
//!   gain in recall over falling thresholds (in steps of a tenth; no interpolation).
//! - *Series-days* are the sum, over closed buckets, of the series that the job knew then, times the bucket's span.
//!
//! Source: the range- and event-based measures that Tatbul et al. (NeurIPS 2018) and Kim et al. (AAAI 2022, on point adjustment) argue for; average precision as in
//! information retrieval; the exact McNemar test in [`compare()`]. Described for users in docs/backtest.md.

mod compare;
mod figures;
mod heard;
mod measure;
mod trial;
mod window;

pub use compare::{Difference, compare, sign_test};
pub use figures::{AlertTold, Labelled, Measured, Point, SeriesCount, Share, WindowOutcome};
pub use heard::{Alert, Coverage, Heard, Names, SCORE_MIN, Series};
pub use trial::{AlertPer, Settings, Trial};
pub use window::{Bearing, Window};

use crate::time::EventTime;
use serde::{Serialize, Serializer};

/// All that a backtest says.
#[derive(Clone, Debug, Serialize)]
pub struct Backtest {
    /// How alerts were told apart.
    pub settings: Settings,
    /// What became of the labels; `None` when there were none.
    pub labels: Option<Labels>,
    /// The job.
    pub measured: Measured,
    /// What it was set against.
    pub against: Option<Against>,
}

/// Which labels could be counted.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Labels {
    /// How many windows the job could have found.
    pub windows: usize,
    /// Windows before `from`, or outside the time that was read: not counted.
    pub outside: usize,
    /// Windows whose entity no event named: not counted.
    pub unseen: usize,
}

/// Another detector on the same events, and what is different.
#[derive(Clone, Debug, Serialize)]
pub struct Against {
    /// The other one.
    pub measured: Measured,
    /// The job against the other one, at the alert threshold.
    pub difference: Difference,
}

/// Instants in reports are ISO 8601 text.
fn iso_8601<S: Serializer>(time: &EventTime, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(time)
}

#[cfg(test)]
mod tests;
