//! Charts as inline SVG: a series with its bounds and anomalies, an axis of time.
//!
//! A chart stretches to any width: lines are paths in a box of 1000 by 1000 without an aspect of its own, while text and markers, which must not be
//! stretched, are placed in per cent. Colours come from classes only: the page's security policy allows no style attribute.

use super::time_axis::TimeAxis;
use super::track::Reading;
use super::value_axis::ValueAxis;
use crate::engine::result::Severity;
use maud::{Markup, html};
use std::fmt::Write;

/// Points across a chart: more than that are merged.
const COLUMNS_MAX: usize = 400;
/// Of so many buckets a point, a line would be a blot: the range between lowest and highest is shown instead.
const DENSE_BUCKETS: i64 = 4;
/// How far bounds may stretch a chart beyond the values themselves, as a multiple of their range.
const BOUNDS_REACH: f64 = 0.75;

/// An anomaly in a chart.
pub(super) struct Marker {
    pub(super) ms: i64,
    pub(super) value: f64,
    pub(super) score: f64,
    /// What is said when one points at it.
    pub(super) title: String,
    /// Where it leads, such as `#a1`.
    pub(super) href: Option<String>,
}

/// A series over some time.
pub(super) struct Chart {
    pub(super) axis: TimeAxis,
    pub(super) span_ms: i64,
    /// What it shows, for those who cannot see it.
    pub(super) label: String,
    pub(super) readings: Vec<Reading>,
    pub(super) markers: Vec<Marker>,
    /// How many labels the axis of time has at most.
    pub(super) ticks: usize,
}

/// A place in the box of 1000 by 1000; finer than that nobody sees.
fn place(percent: f64) -> i64 {
    (percent * 10.0).round() as i64
}

/// `12.3%`.
pub(super) fn percent(value: f64) -> String {
    format!("{}%", (value * 100.0).round() / 100.0)
}

/// A number in four significant digits, for tooltips.
fn brief(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

impl Chart {
    /// The chart; `None` when there is no value in it.
    pub(super) fn draw(mut self) -> Option<Markup> {
        self.merge();
        let values = self.values()?;
        let lines = Lines::of(&self, values);
        let ticks = values.ticks();
        Some(html! {
            div.chart data-from=(self.axis.from_ms) data-to=(self.axis.to_ms) data-span=(self.span_ms) data-points=(self.points()) {
                svg.plot role="group" aria-label=(self.label) {
                    @for tick in &ticks {
                        line.grid x1="0" x2="100%" y1=(percent(tick.percent)) y2=(percent(tick.percent)) {}
                    }
                    svg.lines viewBox="0 0 1000 1000" preserveAspectRatio="none" width="100%" height="100%" aria-hidden="true" {
                        path.band d=(lines.band) {}
                        path.typical d=(lines.typical) {}
                        path.actual.dense[self.is_dense()] d=(lines.actual) {}
                        path.alone d=(lines.alone) {}
                    }
                    @for tick in &ticks {
                        text.value x="4" y=(percent(tick.percent)) dy="-3" { (tick.label) }
                    }
                    @for marker in &self.markers { (self.marker(marker, values)) }
                }
                (time_axis(self.axis, self.ticks))
            }
        })
    }

    /// The middle of a reading.
    fn middle(&self, one: &Reading) -> i64 {
        ((one.first as i128 + one.end as i128) * i128::from(self.span_ms) / 2) as i64
    }

    /// Whether points stand for many buckets, most of them.
    fn is_dense(&self) -> bool {
        let buckets: i64 = self.readings.iter().map(|one| one.end - one.first).sum();
        buckets >= DENSE_BUCKETS * self.readings.len() as i64
    }

    /// Brings the readings down to what a chart can show.
    fn merge(&mut self) {
        if self.readings.len() <= COLUMNS_MAX {
            return;
        }
        let mut merged: Vec<Reading> = Vec::new();
        let mut column = None;
        for one in std::mem::take(&mut self.readings) {
            let its = self.axis.column(self.middle(&one), COLUMNS_MAX);
            match merged.last_mut() {
                Some(last) if column == Some(its) => last.merge(&one),
                _ => merged.push(one),
            }
            column = Some(its);
        }
        self.readings = merged;
    }

    /// The axis of values: all of them, and the bounds as far as these do not dwarf them.
    fn values(&self) -> Option<ValueAxis> {
        let ranges = self.readings.iter().filter_map(|one| one.range);
        let markers = self.markers.iter().map(|one| (one.value, one.value));
        let finite = |(low, high): &(f64, f64)| low.is_finite() && high.is_finite();
        let (low, high) = ranges
            .chain(markers)
            .filter(finite)
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
        let reach = match high - low {
            0.0 => high.abs().max(1.0),
            range => BOUNDS_REACH * range,
        };
        let (mut lowest, mut highest) = (low, high);
        for one in &self.readings {
            lowest = lowest.min(one.lower.max(low - reach));
            highest = highest.max(one.upper.min(high + reach));
        }
        Some(ValueAxis::new(lowest, highest))
    }

    /// What the script tells of the point under the pointer: first bucket, counted from the first of the chart, how many buckets, lowest,
    /// highest, expected, bounds.
    fn points(&self) -> String {
        let mut text = String::new();
        for one in &self.readings {
            let first = one.first - self.axis.from_ms.div_euclid(self.span_ms);
            let buckets = one.end - one.first;
            let (low, high) = one
                .range
                .map_or((String::new(), String::new()), |(low, high)| {
                    (brief(low).to_string(), brief(high).to_string())
                });
            let numbers = [one.typical, one.lower, one.upper].map(brief);
            let [typical, lower, upper] = numbers;
            let _ = write!(
                text,
                "{first},{buckets},{low},{high},{typical},{lower},{upper};"
            );
        }
        text.pop();
        text
    }

    fn marker(&self, one: &Marker, values: ValueAxis) -> Markup {
        let (x, y) = (self.axis.percent(one.ms), values.percent(one.value));
        let dot = html! {
            circle class={ "dot " (Severity::of(one.score).label()) } cx=(percent(x)) cy=(percent(y)) r="5" {
                title { (one.title) }
            }
        };
        match &one.href {
            Some(href) => html! { a href=(href) aria-label=(one.title) { (dot) } },
            None => dot,
        }
    }
}

/// The paths of a chart.
#[derive(Default)]
struct Lines {
    band: String,
    typical: String,
    actual: String,
    /// Values between two gaps, which no line would show.
    alone: String,
}

impl Lines {
    fn of(chart: &Chart, values: ValueAxis) -> Lines {
        let mut lines = Lines::default();
        let is_dense = chart.is_dense();
        let x = |one: &Reading| place(chart.axis.percent(chart.middle(one)));
        let y = |value: f64| place(values.percent(value));
        let adjacent = |a: &Reading, b: &Reading| a.end == b.first;
        for run in chart.readings.chunk_by(adjacent) {
            let along =
                |value: fn(&Reading) -> f64| run.iter().map(move |one| (x(one), y(value(one))));
            draw(&mut lines.typical, 'M', along(|one| one.typical));
            draw(&mut lines.band, 'M', along(|one| one.upper));
            draw(&mut lines.band, 'L', along(|one| one.lower).rev());
            lines.band.push('Z');
        }
        let joined =
            |a: &Reading, b: &Reading| adjacent(a, b) && a.range.is_some() == b.range.is_some();
        for run in chart.readings.chunk_by(joined) {
            let ranges = || run.iter().filter_map(|one| Some((x(one), one.range?)));
            let highs = ranges().map(|(x, (_, high))| (x, y(high)));
            match run {
                [one] if one.range.is_some() => {
                    draw(&mut lines.alone, 'M', highs);
                    lines.alone.push_str("h0");
                }
                _ if is_dense => {
                    let lows: Vec<_> = ranges().map(|(x, (low, _))| (x, y(low))).collect();
                    draw(&mut lines.actual, 'M', highs);
                    draw(&mut lines.actual, 'L', lows.into_iter().rev());
                }
                // From the highest to the lowest value of each point, which mostly are one.
                _ => {
                    let ends = ranges().flat_map(|(x, (low, high))| {
                        let ends = [high, low].map(|value| (x, y(value)));
                        ends.into_iter().take(if low < high { 2 } else { 1 })
                    });
                    draw(&mut lines.actual, 'M', ends);
                }
            }
        }
        lines
    }
}

/// A line through `points`; `verb` says how one comes to the first of them.
fn draw(path: &mut String, verb: char, points: impl Iterator<Item = (i64, i64)>) {
    for (at, (x, y)) in points.enumerate() {
        let verb = if at == 0 { verb } else { 'L' };
        let _ = write!(path, "{verb}{x} {y}");
    }
}

/// The labels of time below a chart. The axis is not read out: each thing on the page says its own time.
pub(super) fn time_axis(axis: TimeAxis, most: usize) -> Markup {
    let ticks = axis.ticks(most);
    html! {
        svg.axis aria-hidden="true" {
            @for tick in &ticks {
                line x1=(percent(tick.percent)) x2=(percent(tick.percent)) y1="0" y2="4" {}
                text.minor[tick.is_minor] x=(percent(tick.percent)) y="15"
                    text-anchor=(anchor(tick.percent)) { (tick.label) }
            }
        }
    }
}

/// Labels at the rims do not leave the chart.
fn anchor(percent: f64) -> &'static str {
    match percent {
        at if at < 4.0 => "start",
        at if at > 96.0 => "end",
        _ => "middle",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(first: i64, value: Option<f64>) -> Reading {
        Reading {
            first,
            end: first + 1,
            range: value.map(|value| (value, value)),
            typical: 5.0,
            lower: 0.0,
            upper: 10.0,
        }
    }

    fn chart(readings: Vec<Reading>) -> Chart {
        let buckets = readings.len() as i64;
        Chart {
            axis: TimeAxis::new(0, 1000 * buckets),
            span_ms: 1000,
            label: "a series".to_owned(),
            readings,
            markers: Vec::new(),
            ticks: 6,
        }
    }

    #[test]
    fn a_gap_breaks_the_line_and_a_value_alone_is_a_dot() {
        let values = [Some(10.0), Some(0.0), None, Some(10.0), None];
        let chart = chart(
            (0..)
                .zip(values)
                .map(|(at, value)| reading(at, value))
                .collect(),
        );
        let values = ValueAxis::new(0.0, 10.0);
        let y = place(values.percent(10.0));
        let lines = Lines::of(&chart, values);
        assert_eq!(lines.actual, format!("M100 {y}L300 1000"));
        assert_eq!(lines.alone, format!("M700 {y}h0"));
        assert_eq!(lines.band.matches('L').count(), 9);
    }

    #[test]
    fn a_long_series_is_merged_and_keeps_its_extremes() {
        let readings =
            (0..50_000).map(|at| reading(at, Some(if at == 33_333 { 99.0 } else { 1.0 })));
        let mut chart = chart(readings.collect());
        chart.merge();
        assert!(chart.readings.len() <= COLUMNS_MAX);
        let highest = chart.readings.iter().filter_map(|one| one.range);
        assert_eq!(highest.map(|range| range.1).fold(0.0, f64::max), 99.0);
        let page = chart.draw().unwrap().into_string();
        assert!(page.len() < 60_000, "{}", page.len());
    }

    #[test]
    fn bounds_that_dwarf_the_values_are_cut_and_a_chart_without_a_value_is_none() {
        let mut wide = reading(0, Some(5.0));
        (wide.lower, wide.upper) = (-1e300, f64::INFINITY);
        let values = chart(vec![wide, reading(1, Some(7.0))]).values().unwrap();
        assert!(values.percent(7.0) < 40.0 && values.percent(5.0) > 60.0);
        assert!(chart(vec![reading(0, None)]).draw().is_none());
        assert!(chart(Vec::new()).draw().is_none());
    }
}
