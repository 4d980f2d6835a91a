//! The part of the table that sets the job against another one. Pure, as the rest of it.

use super::plot::Columns;
use super::show::{Page, dash, judged, optional, share};
use crate::backtest::{Difference, Labelled, Measured, Share};
use crate::cli::output::{grouped, rounded};
use crate::cli::table::{cut, length, paint};

impl Page<'_> {
    /// The other one beside the job, then what only one of them said.
    pub(super) fn against(&self, other: &Measured, difference: &Difference) -> String {
        let here = &self.backtest.measured;
        let mut text = format!(
            "\n{}\n",
            self.bold(&cut(&format!("Against {}", other.name), self.style.width))
        );
        if other.coverage != here.coverage {
            self.say(&mut text, &judged(other));
        }
        let threshold = self.backtest.settings.threshold;
        let mut columns = Columns::new();
        let rows = rows(here, other);
        let column = |at: usize| rows.iter().map(|row| row[at].clone()).collect();
        columns.add("", 9, column(0));
        columns.add("the job", 8, column(1));
        columns.add("the other", 8, column(2));
        columns.add("difference", 7, column(3));
        text.push_str(&columns.render(self.style.width, |names| paint(self.style, "2", names)));
        let labelled = here.at_threshold.labelled.is_some();
        text.push('\n');
        if labelled {
            self.say(&mut text, &format!(
                "At {threshold}, {} windows were found by both, {} only by the job, {} only by the other: {}.",
                difference.found_by_both,
                difference.found_only_here.len(),
                difference.found_only_there.len(),
                chance(difference.p_found, difference.found_only_here.len() + difference.found_only_there.len()),
            ));
        }
        let kind = if labelled { "False alerts" } else { "Alerts" };
        self.say(
            &mut text,
            &format!(
                "{kind} only of the job: {}, only of the other: {}: {}.",
                difference.false_only_here.len(),
                difference.false_only_there.len(),
                chance(
                    difference.p_false,
                    difference.false_only_here.len() + difference.false_only_there.len()
                ),
            ),
        );
        for (what, windows) in [
            ("Found only by the job", &difference.found_only_here),
            ("Found only by the other", &difference.found_only_there),
        ] {
            if !windows.is_empty() {
                self.heading(&mut text, what, windows.len());
            }
            for one in windows.iter().take(self.style.top) {
                text.push_str(&self.window(one));
            }
        }
        for (whose, alerts) in [
            ("the job", &difference.false_only_here),
            ("the other", &difference.false_only_there),
        ] {
            if !alerts.is_empty() {
                self.heading(&mut text, &format!("{kind} only of {whose}"), alerts.len());
            }
            for one in alerts.iter().take(self.style.top) {
                text.push_str(&self.alert(one));
            }
        }
        text
    }
}

/// What both are measured by: name, the job, the other, the difference.
fn rows(here: &Measured, other: &Measured) -> Vec<[String; 4]> {
    let mut rows = Vec::new();
    let mut row = |name: &str, values: [Option<f64>; 2], show: fn(f64) -> String| {
        let difference = values[0].zip(values[1]).map(|(a, b)| a - b);
        let signed = difference.map(|difference| match show(difference.abs()) {
            same if same == show(0.0) => "0".to_owned(),
            size if difference > 0.0 => format!("+{size}"),
            size => format!("-{size}"),
        });
        rows.push([
            name.to_owned(),
            optional(values[0], show),
            optional(values[1], show),
            signed.unwrap_or_else(dash),
        ]);
    };
    let points = [&here.at_threshold, &other.at_threshold];
    let labelled = points.map(|point| point.labelled.as_ref());
    let of = |value: fn(&Labelled) -> Option<f64>| labelled.map(|one| one.and_then(value));
    let whole: fn(f64) -> String = |number| grouped(number.round() as u64);
    let time: fn(f64) -> String = |ms| length(ms.round() as i64);
    if labelled[0].is_some() {
        row("windows found", of(|one| Some(one.found as f64)), whole);
        row(
            "delay, median",
            of(|one| Some(one.delay_ms_median? as f64)),
            time,
        );
        row(
            "delay, 90 %",
            of(|one| Some(one.delay_ms_p90? as f64)),
            time,
        );
        row(
            "false alerts",
            of(|one| Some(one.false_alerts as f64)),
            whole,
        );
        row(
            "for 1,000 series-days",
            of(|one| one.false_alerts_per_1000_series_days),
            rounded,
        );
        row("precision", of(|one| one.precision), share);
        row("recall", of(|one| one.recall), share);
        row("F1", of(|one| one.f1), share);
        row(
            "average precision",
            [here.average_precision, other.average_precision],
            share,
        );
        let best = [here, other].map(|one| one.best.as_ref()?.labelled.as_ref()?.f1);
        row("best F1", best, share);
        if labelled
            .iter()
            .flatten()
            .any(|one| one.first_blame.is_some())
        {
            row(
                "first blame right",
                of(|one| one.first_blame.map(ratio)),
                share,
            );
        }
        if labelled
            .iter()
            .flatten()
            .any(|one| one.first_metric.is_some())
        {
            row(
                "first metric right",
                of(|one| one.first_metric.map(ratio)),
                share,
            );
        }
    } else {
        row(
            "alerts",
            points.map(|point| Some(point.alerts as f64)),
            whole,
        );
        let rates = points.map(|point| point.alerts_per_1000_series_days);
        row("for 1,000 series-days", rates, rounded);
    }
    rows
}

fn ratio(share: Share) -> f64 {
    share.right as f64 / share.all as f64
}

/// What chance alone would do.
fn chance(p: f64, disagreements: usize) -> String {
    match (disagreements, p) {
        (0, _) => "no difference".to_owned(),
        (_, p) if p >= 0.05 => format!("no more than chance does (p={p:.2})"),
        (_, p) if p >= 0.001 => format!("more than chance does (p={p:.3})"),
        _ => "more than chance does (p<0.001)".to_owned(),
    }
}
