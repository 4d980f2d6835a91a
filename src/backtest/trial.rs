//! Records held against windows: which of them tell somebody something at a threshold, and what that is worth.
//!
//! Holds: what a record is worth does not depend on the threshold, only whether it is told does. Work: one sort, then one pass over the records a threshold.

use super::heard::{Alert, Heard};
use super::window::{Bearing, Window};
use crate::time::EventTime;
use serde::Serialize;
use std::collections::BTreeMap;

/// How alerts are told apart and which of them count.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// The score from which somebody is told.
    pub threshold: f64,
    /// For so long after an alert began its repetitions are the same alert, milliseconds.
    pub quiet_ms: i64,
    /// Whose alerts are kept apart.
    pub alert_per: AlertPer,
    /// Records and windows that begin earlier do not count: the job is still learning.
    pub from: Option<EventTime>,
}

/// Whose alerts are kept apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertPer {
    /// Each series by itself.
    Series,
    /// All series that share a value of this by, over or partition field; those without one together.
    Field(String),
    /// All together.
    Job,
}

/// What a record is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// It finds a window.
    True,
    /// It lies in a window's time and says nothing of its entity.
    Bystander,
    /// It lies nowhere, or names somebody else.
    False,
}

/// A record in the time of a window that speaks of the window's fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    /// Index into the alerts.
    pub(super) alert: usize,
    /// Whether it names the window's entity.
    pub(super) finds: bool,
}

/// One alert at some threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Told {
    /// The record with which it began.
    pub(super) onset: usize,
    /// The strongest of its records, the first of equals.
    pub(super) peak: usize,
    /// What the onset is worth.
    pub(super) worth: Worth,
}

/// A detector's records, judged by the labels.
pub struct Trial<'a> {
    pub(super) heard: &'a Heard,
    pub(super) windows: Option<&'a [Window]>,
    pub(super) settings: &'a Settings,
    /// Indices of alerts with their group, in order of group and time.
    order: Vec<(usize, usize)>,
    worth: Vec<Worth>,
    /// For each window what is said of it, in order of time, of one time the strongest first.
    pub(super) words: Vec<Vec<Word>>,
}

impl<'a> Trial<'a> {
    /// Holds what was heard (and settled) against windows in order of their start; without windows it only counts.
    pub fn new(
        heard: &'a Heard,
        windows: Option<&'a [Window]>,
        settings: &'a Settings,
    ) -> Trial<'a> {
        let groups = groups(heard, &settings.alert_per);
        let counts = |alert: &Alert| settings.from.is_none_or(|from| alert.start >= from);
        let mut order: Vec<(usize, usize)> = heard
            .alerts()
            .iter()
            .enumerate()
            .filter(|(_, alert)| counts(alert))
            .map(|(at, alert)| (groups[alert.series], at))
            .collect();
        order.sort_by_key(|&(group, at)| (group, heard.alerts()[at].start, at));
        let mut trial = Trial {
            heard,
            windows,
            settings,
            worth: vec![Worth::False; heard.alerts().len()],
            words: vec![Vec::new(); windows.map_or(0, <[Window]>::len)],
            order,
        };
        trial.hold_against(windows.unwrap_or_default());
        trial
    }

    fn hold_against(&mut self, windows: &[Window]) {
        debug_assert!(windows.is_sorted_by_key(|window| window.start));
        // The latest end among a window and those before it: where the search backwards may stop.
        let mut latest = EventTime::MIN;
        let ends: Vec<EventTime> = windows
            .iter()
            .map(|window| {
                latest = latest.max(window.end);
                latest
            })
            .collect();
        let alerts = self.heard.alerts();
        for &(_, at) in &self.order {
            let alert = &alerts[at];
            let series = &self.heard.series()[alert.series].fields;
            let mut next = windows.partition_point(|window| window.start < alert.end);
            while next > 0 && ends[next - 1] > alert.start {
                next -= 1;
                if !windows[next].overlaps(alert.start, alert.end) {
                    continue;
                }
                let bearing = windows[next].bearing(series, &alert.influencers);
                let worth = &mut self.worth[at];
                match bearing {
                    Bearing::Finds => *worth = Worth::True,
                    Bearing::Silent if *worth == Worth::False => *worth = Worth::Bystander,
                    Bearing::Silent | Bearing::NamesAnother => {}
                }
                if bearing != Bearing::Silent {
                    let finds = bearing == Bearing::Finds;
                    self.words[next].push(Word { alert: at, finds });
                }
            }
        }
        for words in &mut self.words {
            words.sort_by(|a, b| {
                let (a, b) = (&alerts[a.alert], &alerts[b.alert]);
                a.end.cmp(&b.end).then(b.score.total_cmp(&a.score))
            });
        }
    }

    /// How many records count.
    pub(super) fn counted(&self) -> usize {
        self.order.len()
    }

    /// The highest score with which each window was found.
    pub(super) fn window_scores(&self) -> Vec<Option<f64>> {
        let score = |word: &Word| self.heard.alerts()[word.alert].score;
        self.words
            .iter()
            .map(|words| {
                let finds = words.iter().filter(|word| word.finds);
                finds.map(score).max_by(f64::total_cmp)
            })
            .collect()
    }

    /// The alerts at a threshold, in order of group and time.
    pub(super) fn told(&self, threshold: f64) -> Vec<Told> {
        let mut all: Vec<Told> = Vec::new();
        let mut current = None;
        let mut quiet_until = EventTime::MIN;
        for &(group, at) in &self.order {
            let alert = &self.heard.alerts()[at];
            if alert.score < threshold {
                continue;
            }
            if current != Some(group) {
                (current, quiet_until) = (Some(group), EventTime::MIN);
            }
            let quiet = EventTime(alert.start.0.saturating_add(self.settings.quiet_ms));
            let is_onset = alert.start >= quiet_until;
            match all.last_mut().filter(|_| !is_onset) {
                // A false alert that turns out right stays one: somebody was told too early to know.
                Some(told) if alert.score > self.heard.alerts()[told.peak].score => told.peak = at,
                Some(_) => {}
                None => all.push(Told {
                    onset: at,
                    peak: at,
                    worth: self.worth[at],
                }),
            }
            // Within an incident the quiet goes on, so that its aftermath is no false alert.
            if is_onset || self.worth[at] != Worth::False {
                quiet_until = quiet;
            }
        }
        all
    }
}

/// The group of each series, by which its alerts are kept apart from others'.
fn groups(heard: &Heard, per: &AlertPer) -> Vec<usize> {
    let mut values: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    heard
        .series()
        .iter()
        .enumerate()
        .map(|(at, series)| match per {
            AlertPer::Series => at,
            AlertPer::Job => 0,
            AlertPer::Field(field) => {
                let pair = series.fields.iter().find(|(name, _)| name == field);
                let value = pair.map(|(_, value)| value.as_str());
                let next = values.len();
                *values.entry(value).or_insert(next)
            }
        })
        .collect()
}
