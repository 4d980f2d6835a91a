//! The whole time at a glance: bucket scores, events, and below them a lane for each influencer, all on one axis.

use super::chart::{percent, time_axis};
use super::story::Story;
use super::text::{NAME_CHARS_MAX, counted, minute, shown, title};
use super::time_axis::TimeAxis;
use super::windows;
use crate::cli::findings::Influencer;
use crate::cli::output::grouped;
use crate::engine::result::Severity;
use maud::{Markup, html};
use std::fmt::Write;

/// Columns of the line of scores, and of the lanes.
const SCORE_COLUMNS_MAX: i64 = 240;
const LANE_COLUMNS_MAX: i64 = 120;
/// Labels of time.
const TICKS: usize = 9;

/// A column of time: from when to when, the highest score in it and of which bucket, its events.
#[derive(Clone, Copy)]
struct Column {
    from_ms: i64,
    to_ms: i64,
    score: f64,
    at_ms: i64,
    events: u64,
}

/// The time of a job in columns of so many whole buckets.
struct Columns {
    axis: TimeAxis,
    width_ms: i64,
    columns: Vec<Column>,
}

impl Columns {
    fn new(axis: TimeAxis, span_ms: i64, most: i64) -> Columns {
        let buckets = (axis.to_ms - axis.from_ms) / span_ms;
        let width_ms = span_ms * ((buckets + most - 1) / most).max(1);
        let count = (axis.to_ms - axis.from_ms + width_ms - 1) / width_ms;
        let column = |at: i64| Column {
            from_ms: axis.from_ms + at * width_ms,
            to_ms: (axis.from_ms + (at + 1) * width_ms).min(axis.to_ms),
            score: 0.0,
            at_ms: 0,
            events: 0,
        };
        Columns {
            axis,
            width_ms,
            columns: (0..count).map(column).collect(),
        }
    }

    fn add(&mut self, start_ms: i64, score: f64, events: u64) {
        let at = (start_ms - self.axis.from_ms).div_euclid(self.width_ms);
        let Some(column) = usize::try_from(at)
            .ok()
            .and_then(|at| self.columns.get_mut(at))
        else {
            return;
        };
        column.events += events;
        if score > column.score {
            (column.score, column.at_ms) = (score, start_ms);
        }
    }

    fn x(&self, column: &Column) -> String {
        percent(self.axis.percent(column.from_ms))
    }

    fn width(&self, column: &Column) -> String {
        let whole = self.axis.percent(column.to_ms) - self.axis.percent(column.from_ms);
        percent(whole * 0.9)
    }
}

/// The section; `axis` is the whole time.
pub(super) fn section(story: &Story<'_>, axis: TimeAxis) -> Markup {
    let span_ms = story.collected.job.bucket_span.millis();
    let mut columns = Columns::new(axis, span_ms, SCORE_COLUMNS_MAX);
    for (start_ms, moment) in story.collected.timeline.moments() {
        columns.add(start_ms, f64::from(moment.score), moment.events);
    }
    let highest = columns
        .columns
        .iter()
        .map(|one| one.score)
        .fold(0.0, f64::max);
    html! {
        section aria-labelledby="time" {
            h2 id="time" { "Over time" }
            table.lanes {
                colgroup { col.what; col.score; col.buckets; col; }
                thead { tr { th scope="col" { "What" } th scope="col" { "Score" } th scope="col" { "Buckets" } th scope="col" { "When (UTC)" } } }
                tbody {
                    tr.scores {
                        th scope="row" { "Bucket score" }
                        td.score { (chip(highest)) }
                        td.buckets { }
                        td { (scores(&columns, story)) }
                    }
                    tr.events {
                        th scope="row" { "Events" }
                        td.score { }
                        td.buckets { }
                        td { (events(&columns)) }
                    }
                }
                @if !story.influencers.is_empty() {
                    tbody {
                        tr.heading {
                            th scope="rowgroup" colspan="4" { "Top influencers" span.more { (left_out(story)) } }
                        }
                        @for one in &story.influencers { (lane(story, one, axis)) }
                    }
                }
                tfoot { tr { td colspan="3" { } td { (time_axis(axis, TICKS)) } } }
            }
            (legend(story))
        }
    }
}

fn left_out(story: &Story<'_>) -> String {
    match story.influencers_all - story.influencers.len() {
        0 => String::new(),
        more => format!(" and {} more that are not shown", grouped(more as u64)),
    }
}

/// What the colours mean, in words.
fn legend(story: &Story<'_>) -> Markup {
    html! {
        p.legend {
            "Scores: "
            @for (severity, from) in Severity::ALL.into_iter().zip([0, 3, 25, 50, 75]) {
                span.key { span class={ "swatch " (severity.label()) } {} (severity.label()) @if from > 0 { " from " (from) } }
            }
            (windows::key(story))
        }
    }
}

/// A score on the colour of its severity.
pub(super) fn chip(score: f64) -> Markup {
    let severity = Severity::of(score).label();
    html! { span class={ "chip " (severity) } title=(severity) { (score.floor()) span.unseen { " (" (severity) ")" } } }
}

fn scores(columns: &Columns, story: &Story<'_>) -> Markup {
    let led_to = |column: &Column| {
        let inside = |ms: i64| (column.from_ms..column.to_ms).contains(&ms);
        let anomalies = story.anomalies.iter();
        let mut leads = anomalies.map(|group| group.lead.peak.start_ms);
        leads.position(inside)
    };
    html! {
        svg.plot role="group" aria-label="Bucket scores over time, 0 to 100" {
            (windows::shades(story, columns.axis))
            @for (score, y) in [(25, "75%"), (50, "50%"), (75, "25%")] {
                line.grid x1="0" x2="100%" y1=(y) y2=(y) {}
                text.value x="4" y=(y) dy="-3" { (score) }
            }
            @for column in columns.columns.iter().filter(|one| one.score >= 1.0) {
                @let bar = bar(columns, column);
                @match led_to(column) {
                    Some(place) => a href={ "#a" (place + 1) } { (bar) },
                    None => (bar),
                }
            }
        }
    }
}

fn bar(columns: &Columns, column: &Column) -> Markup {
    let height = column.score.clamp(1.5, 100.0);
    let told = format!(
        "{}: {} ({})",
        minute(column.at_ms),
        column.score.floor(),
        Severity::of(column.score).label()
    );
    html! {
        rect class=(Severity::of(column.score).label()) x=(columns.x(column)) width=(columns.width(column))
            y=(percent(100.0 - height)) height=(percent(height)) { title { (told) } }
    }
}

/// Events a column, as an area below the scores.
fn events(columns: &Columns) -> Markup {
    let most = columns.columns.iter().map(|one| one.events).max();
    let most = most.unwrap_or(0).max(1);
    let mut path = "M0 100".to_owned();
    for column in &columns.columns {
        let x = |ms: i64| (columns.axis.percent(ms) * 100.0).round() / 10.0;
        let y = 100.0 - (96.0 * column.events as f64 / most as f64).round();
        let _ = write!(path, "H{}V{y}", x(column.from_ms));
    }
    path.push_str("H1000V100Z");
    let label = format!(
        "Events over time, at most {} in {}",
        grouped(most),
        crate::cli::table::length(columns.width_ms)
    );
    html! {
        svg.plot viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-label=(label) {
            path.volume d=(path) { title { (label) } }
        }
    }
}

fn lane(story: &Story<'_>, one: &Influencer, axis: TimeAxis) -> Markup {
    let span_ms = story.collected.job.bucket_span.millis();
    let mut columns = Columns::new(axis, span_ms, LANE_COLUMNS_MAX);
    for (start_ms, score) in story.collected.findings.buckets_of(one) {
        columns.add(start_ms, score, 0);
    }
    let name = format!("{} {}", one.field, one.value);
    let buckets = counted(one.buckets, "bucket", "buckets");
    let seen = columns.columns.iter().filter(|one| one.score > 0.0);
    html! {
        tr.lane {
            th scope="row" title=(title(&name)) {
                bdi.name { (shown(&one.value, NAME_CHARS_MAX)) } " " span.field { (shown(&one.field, NAME_CHARS_MAX)) }
            }
            td.score { (chip(one.score)) }
            td.buckets { (buckets) }
            td {
                svg.plot role="img" aria-label={ "When it stood out: " (buckets) } {
                    (windows::behind(story, one, axis))
                    @for column in seen {
                        rect class=(Severity::of(column.score).label()) x=(columns.x(column)) width=(columns.width(column)) y="0" height="100%" {
                            title { (minute(column.at_ms)) ": " (column.score.floor()) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_hold_whole_buckets_and_the_highest_of_them() {
        let axis = TimeAxis::new(0, 1000 * 1000);
        let mut columns = Columns::new(axis, 1000, 240);
        assert_eq!((columns.width_ms, columns.columns.len()), (5000, 200));
        for bucket in 0..1000 {
            columns.add(bucket * 1000, (bucket % 7) as f64, 2);
        }
        columns.add(-1, 99.0, 0);
        columns.add(i64::MAX, 99.0, 0);
        assert!(
            columns
                .columns
                .iter()
                .all(|one| one.events == 10 && one.score <= 6.0)
        );
        assert_eq!(
            (columns.columns[1].score, columns.columns[1].at_ms),
            (6.0, 6000)
        );
    }

    #[test]
    fn a_single_bucket_is_a_single_column() {
        let columns = Columns::new(TimeAxis::new(0, 60_000), 60_000, 240);
        assert_eq!(columns.columns.len(), 1);
    }
}
