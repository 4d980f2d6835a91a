//! The series of the strongest anomalies, each over the whole time.

use super::chart::{Chart, Marker};
use super::overview::chip;
use super::story::Story;
use super::text::{NAME_CHARS_MAX, from_to, named, shown, title};
use super::time_axis::TimeAxis;
use crate::cli::findings::{Episode, Finding};
use crate::cli::output::grouped;
use crate::engine::result::sentence::number;
use maud::{Markup, html};

/// Labels of time in a chart.
const TICKS: usize = 8;

/// The section; `axis` is the whole time.
pub(super) fn section(story: &Story<'_>, axis: TimeAxis) -> Markup {
    if story.series.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="series" {
            h2 id="series" { "Series" span.more { (left_out(story)) } }
            p.legend {
                span.key { span."swatch line" {} "value" }
                span.key { span."swatch dashes" {} "usual" }
                span.key { span."swatch range" {} "95 % of what was expected" }
                span.key { span."swatch spot critical" {} "anomaly" }
            }
            div.series {
                @for (place, one) in story.series.iter().enumerate() { (figure(story, place, one, axis)) }
            }
        }
    }
}

fn left_out(story: &Story<'_>) -> String {
    match story.series_all - story.series.len() {
        0 => String::new(),
        _ => format!(
            " the first {} of {} with anomalies",
            story.series.len(),
            grouped(story.series_all as u64)
        ),
    }
}

fn figure(story: &Story<'_>, place: usize, one: &Episode, axis: TimeAxis) -> Markup {
    let drawn = chart(story, &one.peak, axis, axis, TICKS);
    html! {
        figure.card id={ "s" (place + 1) } {
            figcaption {
                (chip(one.peak.score))
                h3 { (heading(story, &one.peak)) }
            }
            @match drawn {
                Some(drawn) => (drawn),
                None => p.empty { "Its values were not kept." },
            }
        }
    }
}

/// `high_mean(latency_ms)`, and whose.
pub(super) fn heading(story: &Story<'_>, of: &Finding) -> Markup {
    let detectors = &story.collected.job.detectors;
    let detector = detectors.get(of.detector as usize);
    let detector = detector.map_or("", |detector| &detector.description);
    let series = named(&of.series);
    let whole = format!("{} {series} ({detector})", of.what);
    html! {
        span title=(title(&whole)) {
            code { (shown(&of.what, NAME_CHARS_MAX)) }
            @if !of.series.is_empty() { " " bdi.name { (shown(&series, NAME_CHARS_MAX)) } }
        }
    }
}

/// The values of a finding's series within `axis`, a part of the whole time.
pub(super) fn chart(
    story: &Story<'_>,
    of: &Finding,
    axis: TimeAxis,
    whole: TimeAxis,
    ticks: usize,
) -> Option<Markup> {
    let span_ms = story.collected.job.bucket_span.millis();
    let (from, to) = (
        axis.from_ms.max(whole.from_ms).div_euclid(span_ms),
        (axis.to_ms.min(whole.to_ms) + span_ms - 1).div_euclid(span_ms),
    );
    let readings = story.track(of)?.readings(from, to).collect();
    let records = story.records(of, axis.from_ms, axis.to_ms);
    let markers = records.iter().filter_map(|one| {
        let place = story.place(of, one.start_ms);
        Some(Marker {
            ms: one.start_ms + span_ms / 2,
            value: one.actual?,
            score: one.score,
            title: told(one),
            href: place.map(|place| format!("#a{}", place + 1)),
        })
    });
    Chart {
        axis,
        span_ms,
        label: format!(
            "{} {}, {}: value, usual value, bounds and anomalies",
            of.what,
            title(&named(&of.series)),
            from_to(axis.from_ms, axis.to_ms)
        ),
        readings,
        markers: markers.collect(),
        ticks,
    }
    .draw()
}

/// What a marker says.
fn told(one: &Finding) -> String {
    let numbers = match (one.actual, one.typical) {
        (Some(actual), Some(typical)) => {
            format!("{}, usual {}", number(actual), number(typical))
        }
        _ => String::new(),
    };
    let when = super::text::minute(one.start_ms);
    format!("{when}: {numbers}; score {}", one.score.floor())
}
