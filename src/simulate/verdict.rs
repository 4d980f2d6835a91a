//! What a detector found, held against what there was to find.
//!
//! An alarm is an anomaly strong enough to look at. It *finds* a label when its bucket overlaps the label's time and, where the label
//! names an entity, the alarm names it too. A *false alarm* lies in no label's time. An alarm in
//! a label's time that points at somebody else is neither: an outage of one service shows in the total as well.

use super::incident::Label;
use crate::time::EventTime;

/// An anomaly, reduced to what the verdict needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// Start of its bucket.
    pub start: EventTime,
    /// End of its bucket, exclusive: when it could be told at the earliest.
    pub end: EventTime,
    /// 0 to 100.
    pub score: f64,
    /// Whom it names: (field, value) of its by, over, partition and influencer fields.
    pub entities: Vec<(String, String)>,
}

/// What became of one label.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Found.
    Found {
        /// From the label's start to the end of the first bucket that found it, milliseconds.
        delay_ms: i64,
        /// The highest score of an alarm that found it.
        score: f64,
    },
    /// No alarm found it.
    Missed,
}

/// The sum of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Each label with what became of it, in the order given.
    pub outcomes: Vec<(Label, Outcome)>,
    /// False alarms, in order of time.
    pub false_alarms: Vec<Alarm>,
}

impl Verdict {
    /// Holds alarms against labels.
    pub fn new(labels: &[Label], alarms: &[Alarm]) -> Verdict {
        let outcomes = labels
            .iter()
            .map(|label| (label.clone(), outcome(label, alarms)))
            .collect();
        let mut false_alarms: Vec<Alarm> = alarms
            .iter()
            .filter(|alarm| !labels.iter().any(|label| overlaps(label, alarm)))
            .cloned()
            .collect();
        false_alarms.sort_by_key(|alarm| alarm.start);
        Verdict {
            outcomes,
            false_alarms,
        }
    }

    /// How many labels were found.
    pub fn found(&self) -> usize {
        self.outcomes
            .iter()
            .filter(|(_, outcome)| *outcome != Outcome::Missed)
            .count()
    }
}

fn outcome(label: &Label, alarms: &[Alarm]) -> Outcome {
    let finds = |alarm: &&Alarm| overlaps(label, alarm) && names(label, alarm);
    let first = alarms
        .iter()
        .filter(finds)
        .map(|alarm| alarm.end.0 - label.start.0)
        .min();
    let score = alarms
        .iter()
        .filter(finds)
        .map(|alarm| alarm.score)
        .fold(0.0, f64::max);
    first.map_or(Outcome::Missed, |delay_ms| Outcome::Found {
        delay_ms,
        score,
    })
}

fn overlaps(label: &Label, alarm: &Alarm) -> bool {
    alarm.start < label.end && label.start < alarm.end
}

/// Whether the alarm names every entity of the label.
fn names(label: &Label, alarm: &Alarm) -> bool {
    label
        .entity
        .iter()
        .all(|(field, value)| alarm.entities.iter().any(|(f, v)| f == field && v == value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(start: i64, end: i64, entity: Option<(&str, &str)>) -> Label {
        Label {
            start: EventTime(start),
            end: EventTime(end),
            kind: String::new(),
            entity: entity
                .iter()
                .map(|(f, v)| (f.to_string(), v.to_string()))
                .collect(),
            description: String::new(),
            expected: String::new(),
        }
    }

    fn alarm(start: i64, score: f64, entities: &[(&str, &str)]) -> Alarm {
        Alarm {
            start: EventTime(start),
            end: EventTime(start + 10),
            score,
            entities: entities
                .iter()
                .map(|(f, v)| (f.to_string(), v.to_string()))
                .collect(),
        }
    }

    #[test]
    fn an_alarm_finds_what_it_overlaps_and_names() {
        let labels = [
            label(100, 130, None),
            label(205, 230, Some(("host.name", "a"))),
            label(300, 310, None),
        ];
        let alarms = [
            alarm(110, 40.0, &[]),
            alarm(100, 30.0, &[("host.name", "a")]),
            alarm(200, 90.0, &[("host.name", "b")]),
            alarm(220, 80.0, &[("host.name", "b"), ("host.name", "a")]),
            alarm(130, 70.0, &[]),
            alarm(290, 60.0, &[]),
        ];
        let verdict = Verdict::new(&labels, &alarms);
        let outcomes: Vec<Outcome> = verdict
            .outcomes
            .iter()
            .map(|(_, outcome)| outcome.clone())
            .collect();
        assert_eq!(
            outcomes,
            [
                Outcome::Found {
                    delay_ms: 10,
                    score: 40.0
                },
                Outcome::Found {
                    delay_ms: 25,
                    score: 80.0
                },
                Outcome::Missed
            ]
        );
        let false_starts: Vec<i64> = verdict
            .false_alarms
            .iter()
            .map(|alarm| alarm.start.0)
            .collect();
        assert_eq!((verdict.found(), false_starts), (2, vec![130, 290]));
    }
}
