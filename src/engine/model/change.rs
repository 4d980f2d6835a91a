//! What a model has noticed about its series, and followed: the changes that are worth a note on a chart.
//!
//! Units: values as they come; times in milliseconds since the epoch.

use super::month::MonthDay;
use crate::time::EventTime;
use serde::{Deserialize, Serialize};

/// How a series has changed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// Its level is another one.
    Level {
        /// What was expected, on average over the values that showed it.
        from: f64,
        /// What came.
        to: f64,
    },
    /// All of it, its season included, is so many times as large; above 0.
    Scale(f64),
    /// Its days begin so many hours later than they did (negative: earlier), as when clocks change.
    Clock(i8),
    /// It has come to follow the hour of the day or of the week (true), or has ceased to.
    Season(bool),
    /// It has come to repeat itself after so many milliseconds, which are no part of a day or a week (true), or has ceased to.
    Rhythm {
        /// The period.
        period_ms: i64,
        /// Whether it is there.
        here: bool,
    },
    /// It has come to do something else on this day of the month (true), or has ceased to.
    Month {
        /// The day.
        day: MonthDay,
        /// Whether it is there.
        here: bool,
    },
    /// Its unusual days have come to return on the same dates a year later (true), or have ceased to.
    Year(bool),
    /// It has come to go up and down with the time of the year (true), or has ceased to.
    Wave(bool),
    /// It varies so many times as much around what is expected of it; above 0.
    Spread(f64),
}

impl Change {
    /// Whether days have come to be special.
    pub fn is_a_date(&self) -> bool {
        matches!(self, Change::Month { here: true, .. } | Change::Year(true))
    }
}

/// A change, and when it began to show.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Noticed {
    /// What.
    pub change: Change,
    /// The middle of the first bucket that showed it.
    pub since: EventTime,
}

/// Page's cumulative sum (Biometrika 41, 1954) of what one value tells for a change, nats: how long it has been above 0, and what it has summed up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cusum {
    nats: f32,
    steps: u16,
}

/// What it takes to believe in a change: by chance it comes once in e¹² values at the most.
const BELIEF: f32 = 12.0;
/// One value tells no more than this, either way: no change is believed after fewer than six.
const STEP_MAX: f64 = 2.0;

impl Cusum {
    /// Adds what one value tells; true when that makes the change believed, and the sum begins anew.
    pub fn add(&mut self, nats: f64) -> bool {
        self.nats = (self.nats + nats.clamp(-STEP_MAX, STEP_MAX) as f32).max(0.0);
        self.steps = if self.nats > 0.0 {
            self.steps.saturating_add(1)
        } else {
            0
        };
        self.nats > BELIEF
    }

    /// Values for which the sum has been above 0.
    pub fn steps(&self) -> u16 {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_believed_after_six_values_at_the_soonest_and_never_for_lack_of_evidence() {
        let mut cusum = Cusum::default();
        assert!((0..6).all(|_| !cusum.add(1e9)));
        assert_eq!(cusum.steps(), 6);
        assert!(cusum.add(1e9));
        let mut cusum = Cusum::default();
        assert!((0..100_000).all(|i| !cusum.add(if i % 2 == 0 { 1.0 } else { -1.0 })));
        assert!(!cusum.add(f64::NEG_INFINITY) && cusum.steps() == 0);
    }
}
