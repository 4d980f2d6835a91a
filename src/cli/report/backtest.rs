//! The figures of a backtest: what of the labelled windows was found, how fast, at how many false alerts; and the windows one by one.

use super::overview::chip;
use super::text::{from_to, iso, title};
use super::windows::{LISTED_MAX, entity, label, outcome};
use crate::backtest::{Backtest, Labels, WindowOutcome};
use crate::cli::output::{grouped, rounded};
use crate::cli::table::length;
use crate::engine::result::sentence::number;
use maud::{Markup, html};

/// The section.
pub(super) fn section(backtest: &Backtest) -> Markup {
    let windows = &backtest.measured.windows;
    html! {
        section aria-labelledby="backtest" {
            h2 id="backtest" { "Backtest" span.more { " at a score of " (number(backtest.settings.threshold)) } }
            (figures(backtest))
            p.empty { (conditions(backtest)) }
            @if !windows.is_empty() { (table(windows)) }
        }
    }
}

/// The tiles.
fn figures(backtest: &Backtest) -> Markup {
    let measured = &backtest.measured;
    let point = &measured.at_threshold;
    let tile = |figure: String, what: &str, more: String| {
        html! { li { b { (figure) } " " (what) @if !more.is_empty() { small { (more) } } } }
    };
    let rate = |rate: Option<f64>| rate.map_or_else(dash, rounded);
    let share = |share: Option<f64>| share.map_or_else(dash, |share| format!("{share:.3}"));
    let Some(labelled) = &point.labelled else {
        return html! {
            ul."tiles figures" {
                (tile(grouped(point.alerts as u64), "alerts", String::new()))
                (tile(rate(point.alerts_per_1000_series_days), "for 1,000 series-days", String::new()))
            }
        };
    };
    let found = format!(
        "{} of {}",
        grouped(labelled.found as u64),
        grouped(labelled.windows as u64)
    );
    let delay = labelled.delay_ms_median.map_or_else(dash, length);
    let slow = labelled.delay_ms_p90.map_or_else(String::new, |slow| {
        format!("nine in ten within {}", length(slow))
    });
    let alerts = format!(
        "{} false of {} alerts",
        grouped(labelled.false_alerts as u64),
        grouped(point.alerts as u64)
    );
    let shares = format!(
        "precision {}, recall {}",
        share(labelled.precision),
        share(labelled.recall)
    );
    html! {
        ul."tiles figures" {
            (tile(found, "windows found", shares))
            (tile(delay, "median delay", slow))
            (tile(rate(labelled.false_alerts_per_1000_series_days), "false alerts for 1,000 series-days", alerts))
            (tile(share(measured.average_precision), "average precision", "over all thresholds".to_owned()))
        }
    }
}

fn dash() -> String {
    "-".to_owned()
}

/// What was counted, and what was not.
fn conditions(backtest: &Backtest) -> String {
    let mut said = Vec::new();
    if let Some(read) = &backtest.measured.coverage {
        let days = rounded(read.series_days);
        let when = from_to(read.from.0, read.to.0);
        said.push(format!("Counted from {when} UTC: {days} series-days."));
    }
    if let Some(Labels {
        outside, unseen, ..
    }) = backtest.labels
    {
        for (count, why) in [
            (outside, "outside that time"),
            (unseen, "of entities that no event names"),
        ] {
            if count > 0 {
                let noun = if count == 1 {
                    "window is"
                } else {
                    "windows are"
                };
                said.push(format!(
                    "{} {noun} {why}, not counted.",
                    grouped(count as u64)
                ));
            }
        }
    }
    said.push(
        "Counted are initial scores, which somebody would have seen at the time; elsewhere on this page are those that later history made of them."
            .to_owned(),
    );
    said.join(" ")
}

/// The windows in order of time.
fn table(windows: &[WindowOutcome]) -> Markup {
    let more = windows.len().saturating_sub(LISTED_MAX);
    let missed = windows.iter().skip(LISTED_MAX).filter(|one| !one.found);
    html! {
        table.windows.card {
            thead { tr { th scope="col" { "Outcome" } th scope="col" { "Score" } th scope="col" { "Window (UTC)" } th scope="col" { "Entity" } th scope="col" { "Label" } } }
            tbody { @for (at, one) in windows.iter().take(LISTED_MAX).enumerate() { (row(at, one)) } }
        }
        @if more > 0 {
            p.empty { "and " (grouped(more as u64)) " later, " (grouped(missed.count() as u64)) " of them missed" }
        }
    }
}

fn row(at: usize, one: &WindowOutcome) -> Markup {
    let window = &one.window;
    html! {
        tr id={ "w" (at + 1) } {
            td { span.swatch.window.found[one.found].missed[!one.found] {} " " (outcome(one)) }
            td { @match one.score { Some(score) => (chip(score)), None => "no record" } }
            td { time datetime=(iso(window.start.0)) { (from_to(window.start.0, window.end.0)) } }
            td { bdi { (entity(one)) } }
            td title=[(!window.label.is_empty()).then(|| title(&window.label))] { bdi { (label(one)) } }
        }
    }
}
