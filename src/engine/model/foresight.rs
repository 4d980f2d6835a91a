//! What a forecast was made of: a value that came is learnt by it, and views that know less are told what to leave out.
//!
//! Units: values as they come.

use super::pulse::Due;
use super::residual::Residuals;

/// How a forecast was found: learning the value that came needs it again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Foresight {
    /// The means of the hour of the day and of the week.
    pub(super) seasonal: [Option<f64>; 2],
    /// What its own rhythm says.
    pub(super) rhythm: Option<f64>,
    /// The predictor that spoke.
    pub(super) best: usize,
    /// What was expected by a predictor that follows nothing quickly.
    pub(super) calm: f64,
    /// The shares of what day and week left lately that go over a step.
    pub(super) kept: [f64; 2],
    /// Buckets that the predictor that spoke stands on: a season, those of its hour; infinitely many where that is not known.
    pub(super) buckets: f64,
    /// What a pulse adds to both, and what the day of the month or of the year.
    pub(super) pulse: Option<Due>,
    pub(super) date: Option<Due>,
}

impl Foresight {
    /// The least that a count can be expected to be. Buckets in which nothing came show no rate of nothing: of Jeffreys' prior half an event is left, spread over
    /// those that the predictor stands on.
    pub fn least_count(&self) -> f64 {
        0.5 / self.buckets
    }

    /// How many events of a count an expectation stands on, Jeffreys' half among them.
    pub fn events(&self, expected: f64) -> f64 {
        match self.buckets.is_finite() {
            true => expected.max(0.0) * self.buckets + 0.5,
            false => f64::INFINITY,
        }
    }

    /// What was expected by a predictor that follows nothing quickly: not a mode that lasts for a while either.
    pub fn calm(&self) -> f64 {
        self.calm
    }

    /// What the views that know no dates are to be spared of a value: what its date adds, where that came, or where its absence would be one. `typical` is what
    /// was expected with it.
    pub fn of_date(&self, x: f64, typical: f64) -> f64 {
        match self.date {
            Some(date) if !date.is_in_doubt() || date.came(x, typical) => date.excess,
            _ => 0.0,
        }
    }

    /// The same of a value that is learnt: nothing, where the date's day did not come.
    pub fn of_date_that_came(&self, x: f64, typical: f64) -> f64 {
        let date = self.date.filter(|date| date.came(x, typical));
        date.map_or(0.0, |date| date.excess)
    }

    /// What would be expected without a date.
    pub fn undated(&self, expected: f64) -> f64 {
        expected - self.date.map_or(0.0, |date| date.excess)
    }

    /// What is due at its time.
    pub(super) fn due(&self) -> Option<Due> {
        Due::both(self.pulse, self.date)
    }

    /// What a pulse adds.
    pub(super) fn of_pulse(&self) -> f64 {
        self.pulse.map_or(0.0, |pulse| pulse.excess)
    }
}

/// A value as it came, and as far as it is believed, without what was due; where that did not come there is none to take away.
pub(super) fn without(due: Option<Due>, came: f64, x: f64, expected: f64) -> (f64, f64) {
    match due {
        None => (came, x),
        Some(Due { excess, .. }) if (came - excess - expected).abs() < (came - expected).abs() => {
            (came - excess, x - excess)
        }
        Some(_) => (came, came),
    }
}

/// By how much less values vary in a bucket than in the one before.
#[derive(Clone, Copy, Debug)]
pub struct Calmer<'r> {
    /// So many times as much, 1 at the most, as far as it has been shown.
    pub ratio: f64,
    /// Of counts: their law says it.
    pub counts: Option<&'r Residuals>,
}

impl Calmer<'_> {
    /// The same where the season goes from one mean to another.
    pub(super) fn from(self, before: f64, now: f64) -> f64 {
        match self.counts {
            Some(law) if now < before => self
                .ratio
                .min(law.count_deviation(now) / law.count_deviation(before)),
            _ => self.ratio,
        }
    }
}

impl Default for Calmer<'_> {
    fn default() -> Self {
        Calmer {
            ratio: 1.0,
            counts: None,
        }
    }
}
