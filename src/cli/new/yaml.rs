//! The proposal as a job file: YAML with the reasons as comments, and as a table of what was seen.

use super::order::Order;
use super::propose::{Proposal, Proposed, Role, of_role};
use super::rhythm::Rhythm;
use super::stats::Sample;
use super::time::Time;
use crate::cli::feed::counted;
use crate::cli::output::grouped;
use crate::cli::table::{cut, length};
use crate::config::LineLayout;
use crate::time::EventTime;
use std::fmt::Write;

/// Everything that the file says.
pub(super) struct Draft<'a> {
    pub(super) id: &'a str,
    pub(super) source: &'a str,
    pub(super) topic: Option<&'a str>,
    pub(super) sample: &'a Sample,
    pub(super) roles: &'a [Role],
    /// `None`: the timestamp of the Kafka message.
    pub(super) time: Option<&'a Time>,
    pub(super) rhythm: &'a Rhythm,
    pub(super) order: Order,
    pub(super) proposal: &'a Proposal,
    /// The sample is lines of text; how a topic of such is to be said to be laid out.
    pub(super) text: Option<LineLayout>,
    /// `model_memory_limit`, MB, if it is known.
    pub(super) memory_mb: Option<u64>,
}

impl Draft<'_> {
    /// The job file.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        self.head(&mut text);
        self.analysis(&mut text);
        self.rest(&mut text);
        text
    }

    fn path(&self, field: usize) -> String {
        quoted(&self.sample.fields[field].path)
    }

    fn head(&self, text: &mut String) {
        let (first, last) = (
            EventTime(self.rhythm.first_ms),
            EventTime(self.rhythm.last_ms),
        );
        let events = counted(self.sample.events.len() as u64, "event");
        // Writing to a string does not fail, here and below.
        let _ = writeln!(
            text,
            "# Proposed by tidewatch new from {events} of {}, {first} to {last}.\n# Every line is a guess with its reason: change what you know better, then\n#   tidewatch validate THIS.yaml && tidewatch detect THIS.yaml FILES\njob_id: {}",
            one_line(self.source),
            quoted(self.id)
        );
    }

    fn analysis(&self, text: &mut String) {
        let rhythm = self.rhythm;
        let _ = writeln!(text, "analysis_config:\n  # {}.", rhythm.reason);
        if let Some(daily) = rhythm.daily.filter(|daily| *daily >= 0.3) {
            let _ = writeln!(
                text,
                "  # A day is like the day before (correlation {daily:.2}); the models find that by themselves, within some days."
            );
        }
        let _ = writeln!(text, "  bucket_span: {}m", rhythm.span_ms / 60_000);
        if let Some(reason) = self.order.reason() {
            let _ = writeln!(text, "  # {reason}.");
        }
        if let Order::Late { latency_ms, .. } = self.order {
            let _ = writeln!(text, "  latency: {}m", latency_ms / 60_000);
        }
        if let Some(messages) = self.proposal.messages {
            let _ = writeln!(
                text,
                "  # Messages of one kind get one category (mlcategory), whatever the values in them.\n  categorization_field_name: {}",
                self.path(messages)
            );
        }
        text.push_str("  detectors:\n");
        if self.proposal.messages.is_some() {
            text.push_str(
                "    # kinds of messages that are rare, or new.\n    - function: rare\n      by_field_name: mlcategory\n    # kinds of messages that come more or less often than they do.\n    - function: count\n      by_field_name: mlcategory\n",
            );
        }
        for detector in &self.proposal.detectors {
            self.detector(text, detector);
        }
        let names: Vec<String> = self
            .proposal
            .influencers
            .iter()
            .map(|at| self.path(*at))
            .collect();
        let _ = writeln!(
            text,
            "  # Whose values may be to blame.\n  influencers: [{}]",
            names.join(", ")
        );
    }

    fn detector(&self, text: &mut String, detector: &Proposed) {
        let _ = writeln!(
            text,
            "    # {}.\n    - function: {}",
            one_line(&detector.reason),
            detector.function
        );
        for (key, field) in [
            ("field_name", detector.field),
            ("by_field_name", detector.by),
            ("over_field_name", detector.over),
            ("partition_field_name", detector.partition),
        ] {
            if let Some(field) = field {
                let _ = writeln!(text, "      {key}: {}", self.path(field));
            }
        }
    }

    fn rest(&self, text: &mut String) {
        let prose = of_role(self.roles, &[Role::Prose]).into_iter();
        for prose in prose.filter(|_| self.proposal.messages.is_none()) {
            let _ = writeln!(
                text,
                "  # {} is text of many words; if it is messages, categorization_field_name: {} and a detector by mlcategory group them.",
                one_line(&self.path(prose)),
                one_line(&self.path(prose))
            );
        }
        for counter in of_role(self.roles, &[Role::Counter]) {
            let _ = writeln!(
                text,
                "  # {} is a counter: an aggregation with a derivative analyses its differences (docs/queries.md).",
                one_line(&self.path(counter))
            );
        }
        if let Some(mb) = self.memory_mb {
            let _ = writeln!(
                text,
                "analysis_limits:\n  # tidewatch plan says how this comes about; a longer sample makes it surer.\n  model_memory_limit: {mb}mb"
            );
        }
        text.push_str("data_description:\n");
        match self.time {
            Some(time) => {
                let _ = writeln!(
                    text,
                    "  # Reads in {:.1} % of the events.\n  time_field: {}",
                    time.readable * 100.0,
                    self.path(time.field)
                );
                if let Some(format) = &time.format {
                    let _ = writeln!(text, "  time_format: {}", quoted(format));
                }
            }
            None => text.push_str("  # No field reads as a time: the message's own.\n  time_field: \"@kafka_timestamp\"\n"),
        }
        match self.topic {
            Some(topic) => {
                let _ = writeln!(text, "datafeed_config:\n  indices: [{}]", quoted(topic));
            }
            None => text.push_str(
                "# For the service: which topics, and which of their events (docs/queries.md).\n# datafeed_config:\n#   indices: [my-topic]\n#   query: {match_all: {}}\n",
            ),
        }
        if let Some(layout) = self.text {
            self.input(layout, text);
        }
    }

    /// That messages are lines of text; where no topic is known, for when there is one.
    fn input(&self, layout: LineLayout, text: &mut String) {
        let mark = if self.topic.is_some() { "" } else { "# " };
        let about = match self.topic {
            Some(_) => {
                "  # The messages are lines of text, not JSON; one without a time of its own has its message's."
            }
            None => "#   If the topic's messages are such lines, not JSON.",
        };
        let _ = writeln!(text, "{mark}tidewatch:\n{about}\n{mark}  input: text");
        if let Some(layout) = layout.name() {
            let _ = writeln!(text, "{mark}  input_layout: {layout}");
        }
    }

    /// What was seen, a line a field.
    pub(super) fn table(&self, width: usize) -> String {
        let mut rows =
            vec![["field", "present", "kind", "distinct", "for", "such as"].map(str::to_owned)];
        for (at, field) in self.sample.fields.iter().enumerate() {
            rows.push([
                cut(&field.path, 40),
                format!("{:.0} %", self.sample.presence(at) * 100.0),
                field.kind().to_owned(),
                grouped(field.distinct() as u64),
                self.roles[at].name().to_owned(),
                cut(&field.examples.join(", "), 40),
            ]);
        }
        let widths: Vec<usize> = (0..6)
            .map(|at| {
                rows.iter()
                    .map(|row| row[at].chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = format!(
            "{} in {}, {}\n",
            counted(self.sample.events.len() as u64, "event"),
            length(self.rhythm.last_ms - self.rhythm.first_ms),
            counted(self.sample.fields.len() as u64, "field")
        );
        for row in rows {
            let cells = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(at, (cell, width))| {
                    let pad = " ".repeat(width - cell.chars().count());
                    if [1, 3].contains(&at) {
                        format!("{pad}{cell}")
                    } else {
                        format!("{cell}{pad}")
                    }
                });
            let line = cells.collect::<Vec<_>>().join("  ");
            text.push_str(cut(line.trim_end(), width).trim_end());
            text.push('\n');
        }
        if let Some(reason) = self.order.reason() {
            let _ = writeln!(text, "{reason}.");
        }
        text
    }
}

/// A text as YAML (and JSON) writes it between double quotes; plain words go without.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(plain);
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    match is_word && !reserved.contains(&text.to_ascii_lowercase().as_str()) {
        true => text.to_owned(),
        false => serde_json::Value::from(text).to_string(),
    }
}

/// A text that cannot end a comment.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() || "\u{2028}\u{2029}\u{85}".contains(c) {
                ' '
            } else {
                c
            }
        })
        .collect()
}
