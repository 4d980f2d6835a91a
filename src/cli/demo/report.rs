//! What the demo prints: anomalies as they are found, and the verdict at the end.

use crate::cli::findings::{Episode, Finding, Findings, Group, Names};
use crate::cli::table::{self, Style};
use crate::simulate::{Alarm, Label, Outcome, Verdict};
use crate::time::EventTime;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The least score that is worth a line, and that counts in the verdict: "major" and above.
pub(super) const ALARM_SCORE: f64 = 50.0;
/// From here on a score is "critical".
const CRITICAL_SCORE: f64 = 75.0;
/// How many false alarms are listed.
const FALSE_ALARMS_SHOWN: usize = 5;
/// How many of the entities that a false alarm names are listed.
const NAMES_SHOWN: usize = 2;

/// Says each anomaly once: when its series was calm in the bucket before.
pub(super) struct Announcer {
    style: Style,
    findings: Findings,
    newest_ms: i64,
    /// Detector and series → end of the last bucket in which it was alarming.
    alarming: BTreeMap<(u64, Names), i64>,
}

impl Announcer {
    /// One that has heard nothing.
    pub(super) fn new(style: Style) -> Announcer {
        Announcer {
            style,
            findings: Findings::new(ALARM_SCORE),
            newest_ms: i64::MIN,
            alarming: BTreeMap::new(),
        }
    }

    /// Takes final documents and says what is new in them: of each bucket and detector the strongest, and where else.
    pub(super) fn hear(&mut self, documents: &[Value]) -> String {
        let mut new: BTreeMap<(i64, u64), Vec<Finding>> = BTreeMap::new();
        for document in documents {
            self.findings.add(document);
            let Some(finding) = Finding::from_record(document) else {
                continue;
            };
            // Of an older bucket: a new word on an old record.
            if finding.start_ms < self.newest_ms || finding.score < ALARM_SCORE {
                continue;
            }
            self.newest_ms = finding.start_ms;
            let end_ms = finding.start_ms + finding.span_ms;
            let before = self
                .alarming
                .insert((finding.detector, finding.series.clone()), end_ms);
            if before.is_none_or(|before| before < finding.start_ms) {
                new.entry((finding.start_ms, finding.detector))
                    .or_default()
                    .push(finding);
            }
        }
        let mut text = String::new();
        for mut findings in new.into_values() {
            findings.sort_by(|a, b| b.score.total_cmp(&a.score));
            let mut episodes = findings.into_iter().map(|peak| {
                let (start_ms, end_ms) = (peak.start_ms, peak.start_ms + peak.span_ms);
                Episode {
                    peak,
                    start_ms,
                    end_ms,
                }
            });
            if let Some(lead) = episodes.next() {
                text.push_str(&table::anomaly(
                    &Group {
                        lead,
                        others: episodes.collect(),
                    },
                    self.style,
                ));
            }
        }
        text
    }

    /// What was found, held against what there was to find. Adjacent records of a series count as one alarm when it is false.
    pub(super) fn verdict(&self, labels: &[Label]) -> Verdict {
        let alarms: Vec<Alarm> = self.findings.records().map(Finding::alarm).collect();
        let mut verdict = Verdict::new(labels, &alarms);
        let first_of_episode: Vec<EventTime> = self
            .findings
            .episodes()
            .iter()
            .map(|episode| EventTime(episode.start_ms))
            .collect();
        verdict
            .false_alarms
            .retain(|alarm| first_of_episode.contains(&alarm.start));
        verdict
    }
}

/// The verdict for a person, in lines of at most `width` characters (at least 60).
pub(super) fn verdict(verdict: &Verdict, learning_until: EventTime, width: usize) -> String {
    let mut text = String::from("Verdict\n");
    let mut line = |what: String, at: EventTime, whom: &str| {
        let facts = format!("  {what:30}  {}  ", table::minute(at.0));
        let left = width.max(60).saturating_sub(facts.chars().count());
        let _ = writeln!(text, "{facts}{}", table::cut(whom, left));
    };
    for (label, outcome) in &verdict.outcomes {
        let what = match outcome {
            Outcome::Found { delay_ms, score } => {
                format!(
                    "found   after {:>5}  score {:>3.0}",
                    table::length(*delay_ms),
                    score.floor()
                )
            }
            Outcome::Missed => "MISSED".to_owned(),
        };
        let whom = format!("{:12}  {}", label.kind, label.description);
        line(what, label.start, &whom);
    }
    let mut worst: Vec<&Alarm> = verdict
        .false_alarms
        .iter()
        .filter(|alarm| alarm.start >= learning_until)
        .collect();
    worst.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.start.cmp(&b.start)));
    for alarm in worst.into_iter().take(FALSE_ALARMS_SHOWN) {
        let what = format!("false alarm           score {:>3.0}", alarm.score.floor());
        line(what, alarm.start, &names(&alarm.entities));
    }
    for part in table::wrap(&totals(verdict, learning_until), width.max(60)) {
        let _ = writeln!(text, "{part}");
    }
    text
}

/// Whom an alarm names: the first few, and how many more. One that concerns everybody names hundreds.
fn names(entities: &[(String, String)]) -> String {
    let shown = match entities.len() {
        all if all <= NAMES_SHOWN + 1 => all,
        _ => NAMES_SHOWN,
    };
    let mut words: Vec<String> = entities[..shown]
        .iter()
        .map(|(field, value)| format!("{field}={value}"))
        .collect();
    if entities.len() > shown {
        words.push(format!("and {} more", entities.len() - shown));
    }
    words.join(" ")
}

/// Found and missed; false alarms by severity, those of the first day apart: nothing can know the rhythm of a day before it has seen one.
fn totals(verdict: &Verdict, learning_until: EventTime) -> String {
    let count = |wanted: &dyn Fn(&Alarm) -> bool| {
        verdict
            .false_alarms
            .iter()
            .filter(|alarm| wanted(alarm))
            .count()
    };
    let critical = count(&|alarm| alarm.start >= learning_until && alarm.score >= CRITICAL_SCORE);
    let major = count(&|alarm| alarm.start >= learning_until && alarm.score < CRITICAL_SCORE);
    let learning = count(&|alarm| alarm.start < learning_until);
    format!(
        "{} of {} incidents found; false alarms: {critical} critical, {major} major, and {learning} on the first day, before it had seen one",
        verdict.found(),
        verdict.outcomes.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_false_alarm_that_concerns_everybody_names_a_few_and_no_line_is_wider_than_the_terminal() {
        let day_ms = 86_400_000;
        let label = |description: &str| Label {
            start: EventTime(3 * day_ms),
            end: EventTime(4 * day_ms),
            kind: "exfiltration".to_owned(),
            entity: Default::default(),
            description: description.to_owned(),
            expected: String::new(),
        };
        let alarm = |hosts: usize| Alarm {
            start: EventTime(2 * day_ms),
            end: EventTime(2 * day_ms + 900_000),
            score: 90.5,
            entities: (1..=hosts)
                .map(|host| ("host.name".to_owned(), format!("web-{host:02}")))
                .collect(),
        };
        let labels = [label(
            "somebody downloads the whole catalogue with the account of ivo",
        )];
        let found = Verdict::new(&labels, &[alarm(3), alarm(40)]);
        for width in [60, 80, 110] {
            let text = verdict(&found, EventTime(day_ms), width);
            assert!(
                text.lines().all(|line| line.chars().count() <= width),
                "{text}"
            );
        }
        let text = verdict(&found, EventTime(day_ms), 110);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1..4],
            [
                "  MISSED                          1970-01-04 00:00  exfiltration  somebody downloads the whole catalogue with…",
                "  false alarm           score  90  1970-01-03 00:00  host.name=web-01 host.name=web-02 host.name=web-03",
                "  false alarm           score  90  1970-01-03 00:00  host.name=web-01 host.name=web-02 and 38 more",
            ],
            "{text}"
        );
    }
}
