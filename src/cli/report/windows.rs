//! Labelled windows on an axis of time: shades behind scores and lanes, and what each says of itself.

use super::chart::percent;
use super::story::Story;
use super::text::{NAME_CHARS_MAX, from_to, named, shown};
use super::time_axis::TimeAxis;
use crate::backtest::WindowOutcome;
use crate::cli::findings::Influencer;
use crate::cli::table::length;
use maud::{Markup, html};
use std::fmt::Write;

/// Windows that tables list.
pub(super) const LISTED_MAX: usize = 50;
/// Windows with a shade of their own; of those beyond it is only said when they were.
const OWN_SHADE_MAX: usize = 200;
/// Columns of shades that are drawn together.
const COLUMNS: usize = 240;
/// The narrowest shade, per cent of the axis.
const WIDTH_MIN: f64 = 0.35;

/// `found after 15m`, `missed`.
pub(super) fn outcome(one: &WindowOutcome) -> String {
    match one.delay_ms {
        Some(delay_ms) if one.found => format!("found after {}", length(delay_ms)),
        _ if one.found => "found".to_owned(),
        _ => "missed".to_owned(),
    }
}

/// Whom a window is about; of many fields as many as a name has room for.
pub(super) fn entity(one: &WindowOutcome) -> String {
    let pairs: Vec<(String, String)> = one.window.entity.clone().into_iter().collect();
    match pairs.is_empty() {
        true => String::new(),
        false => shown(&named(&pairs), NAME_CHARS_MAX),
    }
}

/// The label as people wrote it, or nothing.
pub(super) fn label(one: &WindowOutcome) -> String {
    match one.window.label.is_empty() {
        true => String::new(),
        false => shown(&one.window.label, NAME_CHARS_MAX),
    }
}

/// `the disk fails, host.name web-03, 2026-03-10 10:00 to 12:00: found after 15m (highest score 98)`.
fn told(one: &WindowOutcome) -> String {
    let score = match one.score {
        Some(score) => format!("highest score {}", score.floor()),
        None => "no record".to_owned(),
    };
    let when = from_to(one.window.start.0, one.window.end.0);
    let mut parts = vec![label(one), entity(one), when];
    parts.retain(|part| !part.is_empty());
    format!("{}: {} ({score})", parts.join(", "), outcome(one))
}

/// From where to where a window lies on the axis, per cent; `None` when it does not.
fn place(one: &WindowOutcome, axis: TimeAxis) -> Option<(f64, f64)> {
    let (start_ms, end_ms) = (one.window.start.0, one.window.end.0);
    if start_ms >= axis.to_ms || end_ms <= axis.from_ms {
        return None;
    }
    let from = axis.percent(start_ms.max(axis.from_ms));
    let to = axis.percent(end_ms.min(axis.to_ms)).max(from + WIDTH_MIN);
    // One at the very end is as wide as any.
    Some((from.min(100.0 - WIDTH_MIN), to.min(100.0)))
}

/// The shades behind the scores, each saying what it is.
pub(super) fn shades(story: &Story<'_>, axis: TimeAxis) -> Markup {
    let windows = story.windows();
    let (own, beyond) = windows.split_at(windows.len().min(OWN_SHADE_MAX));
    let shade = |one: &WindowOutcome| {
        let (from, to) = place(one, axis)?;
        Some(html! {
            rect.window.found[one.found].missed[!one.found] x=(percent(from)) width=(percent(to - from)) y="0" height="100%" {
                title { (told(one)) }
            }
        })
    };
    html! {
        (together(beyond.iter(), axis))
        @for (at, one) in own.iter().enumerate() {
            @if let Some(shade) = shade(one) {
                @if at < LISTED_MAX { a href={ "#w" (at + 1) } { (shade) } } @else { (shade) }
            }
        }
    }
}

/// The shades behind an influencer's lane: of the windows that name it, and of those that name nobody.
pub(super) fn behind(story: &Story<'_>, lane: &Influencer, axis: TimeAxis) -> Markup {
    let is_its = |one: &&WindowOutcome| {
        let entity = &one.window.entity;
        entity.is_empty() || entity.get(&lane.field) == Some(&lane.value)
    };
    together(story.windows().iter().filter(is_its), axis)
}

/// Any number of shades as one path of bounded length.
fn together<'a>(windows: impl Iterator<Item = &'a WindowOutcome>, axis: TimeAxis) -> Markup {
    let mut shaded = [false; COLUMNS];
    let column = |percent: f64| percent / 100.0 * COLUMNS as f64;
    for (from, to) in windows.filter_map(|one| place(one, axis)) {
        let first = (column(from) as usize).min(COLUMNS - 1);
        let end = (column(to).ceil() as usize).clamp(first + 1, COLUMNS);
        shaded[first..end].fill(true);
    }
    let (mut path, mut at) = (String::new(), 0);
    for run in shaded.chunk_by(|a, b| a == b) {
        if run[0] {
            let _ = write!(path, "M{at} 0h{}v1h-{}z", run.len(), run.len());
        }
        at += run.len();
    }
    html! {
        @if !path.is_empty() {
            svg.shades viewBox={ "0 0 " (COLUMNS) " 1" } preserveAspectRatio="none" width="100%" height="100%" aria-hidden="true" {
                path d=(path) {}
            }
        }
    }
}

/// What the shades mean; nothing without windows.
pub(super) fn key(story: &Story<'_>) -> Markup {
    html! {
        @if !story.windows().is_empty() {
            span.key { span."swatch window found" {} "labelled window, found" }
            span.key { span."swatch window missed" {} "missed" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backtest::Window;
    use crate::time::EventTime;

    fn window(start: i64, end: i64) -> WindowOutcome {
        WindowOutcome {
            window: Window {
                start: EventTime(start),
                end: EventTime(end),
                entity: [("host".to_owned(), "a".to_owned())].into(),
                metrics: Vec::new(),
                label: "the disk".to_owned(),
            },
            found: false,
            score: Some(35.9),
            delay_ms: None,
            alert: None,
        }
    }

    #[test]
    fn a_window_says_what_it_is_and_what_became_of_it() {
        let hour = 3_600_000;
        let mut one = window(0, hour);
        assert_eq!(
            told(&one),
            "the disk, host a, 1970-01-01 00:00 to 01:00: missed (highest score 35)"
        );
        (one.found, one.delay_ms, one.score) = (true, Some(900_000), Some(99.0));
        one.window.label.clear();
        one.window.entity.clear();
        assert_eq!(
            told(&one),
            "1970-01-01 00:00 to 01:00: found after 15m (highest score 99)"
        );
    }

    #[test]
    fn a_shade_lies_on_its_axis_and_can_be_seen_however_short_its_window() {
        let axis = TimeAxis::new(0, 1_000_000);
        assert_eq!(place(&window(-10, 0), axis), None);
        assert_eq!(place(&window(1_000_000, 2_000_000), axis), None);
        let extremes = [
            (i64::MIN, i64::MAX),
            (-5, 1),
            (500, 501),
            (999_999, 1_000_001),
        ];
        for (start, end) in extremes {
            let (from, to) = place(&window(start, end), axis).unwrap();
            assert!(0.0 <= from && to <= 100.0 && to - from >= WIDTH_MIN - 1e-9);
        }
    }

    #[test]
    fn any_number_of_windows_is_drawn_together_in_a_bounded_path() {
        let axis = TimeAxis::new(0, 1_000_000);
        let many: Vec<WindowOutcome> = (0..100_000)
            .map(|at| window(at * 10, at * 10 + 1))
            .collect();
        assert!(
            together(many.iter(), axis)
                .into_string()
                .contains("M0 0h240v1h-240z")
        );
        let sparse: Vec<WindowOutcome> = (0..500)
            .map(|at| window(at * 9_000, at * 9_000 + 1))
            .collect();
        assert!(together(sparse.iter(), axis).into_string().len() < 6_000);
        assert_eq!(together([].iter(), axis).into_string(), "");
    }
}
