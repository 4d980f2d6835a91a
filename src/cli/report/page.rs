//! The page: one file that needs nothing else, safe whatever the events hold.
//!
//! Everything that is put into it is escaped by the template; what a browser may run or fetch is said by a policy that names the page's own style
//! and script by their hashes and nothing else. So a value that looked like a script would be text, and if it were not, it would not run.
//! Without scripts the page shows all the same; with them it tells numbers under the pointer, and can be turned light or dark.

use super::collect::Collector;
use super::story::Story;
use super::text::{NAME_CHARS_MAX, SENTENCE_CHARS_MAX, from_to, shown, title};
use super::time_axis::TimeAxis;
use super::{Source, anomaly, backtest, overview, series};
use crate::backtest::Backtest;
use crate::cli::output::grouped;
use crate::cli::table::length;
use crate::engine::result::Severity;
use crate::engine::result::sentence::number;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

pub(super) const STYLE: &str = include_str!("style.css");
pub(super) const SCRIPT: &str = include_str!("script.js");
/// Inputs that are named.
const INPUTS_MAX: usize = 4;

/// The whole page.
pub(super) fn page(collected: &Collector, source: &Source, measured: Option<&Backtest>) -> String {
    let story = Story::new(collected, measured);
    let axis = collected.timeline.range_ms();
    let axis = axis.map(|(from_ms, to_ms)| TimeAxis::new(from_ms, to_ms));
    let job = &collected.job;
    let figures = html! { @if let Some(measured) = measured { (backtest::section(measured)) } };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "tidewatch " (env!("CARGO_PKG_VERSION")) };
                meta name="referrer" content="no-referrer";
                title { (shown(&job.id, NAME_CHARS_MAX)) ": anomalies" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (header(&story, source, axis))
                main {
                    @match axis {
                        Some(axis) if story.anomalies.is_empty() => {
                            p.calm { "Nothing unusual." }
                            (overview::section(&story, axis))
                            (figures)
                        }
                        Some(axis) => {
                            (overview::section(&story, axis))
                            (figures)
                            (series::section(&story, axis))
                            (anomaly::section(&story, axis))
                        }
                        None => {
                            p.calm { "No bucket was judged: there was no event to begin with." }
                            (figures)
                        }
                    }
                }
                (footer(&story, source))
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// Style and script by their hashes; nothing else, from nowhere.
pub(super) fn policy() -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

fn header(story: &Story<'_>, source: &Source, axis: Option<TimeAxis>) -> Markup {
    let collected = story.collected;
    let job = &collected.job;
    let rejected = match source.reading.rejected {
        0 => "none rejected".to_owned(),
        some => format!("{} rejected", grouped(some)),
    };
    html! {
        header {
            div.top {
                p.brand { (logo()) "tidewatch " (source.command) }
                button #theme type="button" hidden { "Colours: auto" }
            }
            h1 title=(title(&job.id)) { (shown(&job.id, NAME_CHARS_MAX)) }
            @if !job.description.is_empty() { p.description { bdi { (shown(&job.description, SENTENCE_CHARS_MAX)) } } }
            @if let Some(axis) = axis { p.range { (from_to(axis.from_ms, axis.to_ms)) " UTC" } }
            ul.tiles {
                li { b { (grouped(story.anomalies_all as u64)) } (if story.anomalies_all == 1 { " anomaly" } else { " anomalies" }) (severities(story)) }
                li { b { (grouped(collected.buckets)) } (if collected.buckets == 1 { " bucket" } else { " buckets" }) small { "of " (length(job.bucket_span.millis())) } }
                li { b { (grouped(source.reading.events)) } (if source.reading.events == 1 { " event" } else { " events" }) small { (rejected) } }
                li { b { (grouped(collected.series)) } " series" small { (detectors(job.detectors.len())) } }
            }
        }
    }
}

fn detectors(count: usize) -> String {
    super::text::counted(count, "detector", "detectors")
}

/// How many of each severity, the strongest first.
fn severities(story: &Story<'_>) -> Markup {
    let counts = Severity::ALL.into_iter().zip(story.severities).rev();
    html! {
        small.severities {
            @for (severity, count) in counts.filter(|(_, count)| *count > 0) {
                span.key { span class={ "swatch " (severity.label()) } {} (grouped(count as u64)) " " (severity.label()) }
            }
        }
    }
}

/// What the page was made from, and what it does not show.
fn footer(story: &Story<'_>, source: &Source) -> Markup {
    let inputs = &source.inputs;
    let more = inputs.len().saturating_sub(INPUTS_MAX);
    html! {
        footer {
            p {
                "From "
                @for (at, input) in inputs.iter().take(INPUTS_MAX).enumerate() {
                    @if at > 0 { ", " }
                    bdi title=(title(input)) { (shown(input, NAME_CHARS_MAX)) }
                }
                @if more > 0 { " and " (more) " more" }
                " by tidewatch " (env!("CARGO_PKG_VERSION")) ". Times are UTC. A score says how unusual something is for this job: 75 and more is rare whatever the data."
            }
            @for note in notes(story, source) { p.note { (note) } }
        }
    }
}

/// What was left out, and why.
fn notes(story: &Story<'_>, source: &Source) -> Vec<String> {
    let mut notes = Vec::new();
    if source.reading.is_cut {
        notes.push("The input was not read to its end: the last bucket is not judged.".to_owned());
    }
    let (records, influencers) = story.collected.findings.score_min();
    let mut least = |what: &str, score: f64| {
        if score > 0.0 {
            let score = number(score);
            notes.push(format!("{what} that score less than {score} are left out."));
        }
    };
    if influencers == records {
        least("Anomalies and influencers", records);
    } else {
        least("Anomalies", records);
        least("Influencers", influencers);
    }
    if story.collected.tracks.is_full() {
        notes.push(
            "There were more series than the values of could be kept: some have no chart."
                .to_owned(),
        );
    }
    let stride = story.collected.timeline.stride();
    if stride > 1 {
        notes.push(format!(
            "Buckets are shown {stride} together, with their highest score."
        ));
    }
    notes
}

/// A wave.
pub(super) fn logo() -> Markup {
    html! {
        svg.logo viewBox="0 0 32 32" aria-hidden="true" {
            path d="M2 21c4 0 4-5 8-5s4 5 8 5 4-14 7-14 3 8 5 8" {}
        }
    }
}
