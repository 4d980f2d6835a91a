//! One frame of `tidewatch top`, line by line. Pure: the same view at the same size is the same text.
//!
//! Holds: no line takes more columns than there are, and there are no more lines than rows; what is less worth knowing gives way first. Nothing that an instance or
//! an event says can command the terminal ([`harmless`]). Times are UTC. Severity and state are words as well as colours.

use super::view::{Entity, Facts, Instance, JobView, View};
use crate::cli::output::{grouped, rounded};
use crate::cli::table::{Style, against, badge, harmless, length, minute, paint};
use crate::time::EventTime;
use unicode_width::UnicodeWidthChar;

/// The room there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Columns.
    pub(super) width: usize,
    /// Rows; `None`: as many as are needed.
    pub(super) height: Option<usize>,
}

/// The fewest columns that are counted on.
const WIDTH_MIN: usize = 20;
/// Rows kept for the hottest entities, where there are jobs for every row.
const HOTTEST_ROWS: usize = 6;
/// Entities shown where there is room for any number.
const HOTTEST_MAX: usize = 20;
/// The widest that a job's id is shown.
const JOB_WIDTH_MAX: usize = 32;
/// Between two columns.
const GAP: usize = 2;
/// The score of an entity: ` 93 critical `.
const BADGE_WIDTH: usize = 13;

/// The lines.
pub(super) fn frame(view: &View, size: Size, style: Style) -> Vec<String> {
    let width = size.width.max(WIDTH_MIN);
    let mut lines = vec![title(view, width, style)];
    lines.extend(
        view.instances
            .iter()
            .map(|instance| instance_line(instance, width, style)),
    );
    lines.push(String::new());
    let room = size
        .height
        .map(|height| height.saturating_sub(lines.len()).max(2));
    let hottest_rows = view.hottest.len().min(HOTTEST_ROWS);
    let kept = match hottest_rows {
        0 => 0,
        rows => rows + 2,
    };
    let jobs_room = room.map(|room| room.saturating_sub(kept).max(2));
    lines.extend(jobs(&view.jobs, width, jobs_room, style));
    if !view.hottest.is_empty() {
        lines.push(String::new());
        let left = size
            .height
            .map(|height| height.saturating_sub(lines.len() + 1));
        let shown = left.unwrap_or(HOTTEST_MAX).min(view.hottest.len());
        lines.push(paint(
            style,
            "1",
            &fit("HOTTEST, of each job's last 12 buckets", width),
        ));
        lines.extend(
            view.hottest[..shown]
                .iter()
                .map(|entity| entity_line(entity, width, style)),
        );
    }
    lines.truncate(size.height.unwrap_or(usize::MAX));
    lines
}

fn title(view: &View, width: usize, style: Style) -> String {
    let known = view
        .instances
        .iter()
        .filter_map(|one| one.facts.as_ref().ok());
    let now_ms = known.clone().map(|facts| facts.timestamp_ms).max();
    let now = now_ms.map_or(String::new(), |ms| format!("  {}", seconds(ms)));
    let answered = known.count();
    let count = match view.instances.len() {
        0 => "asking".to_owned(),
        1 => "1 instance".to_owned(),
        all => format!("{answered} of {all} instances"),
    };
    let jobs = match view.jobs.len() {
        1 => "1 job".to_owned(),
        many => format!("{many} jobs"),
    };
    let words = format!("tidewatch top  {count}, {jobs}{now}  q quits");
    paint(style, "1", &fit(&words, width))
}

fn instance_line(instance: &Instance, width: usize, style: Style) -> String {
    let Instance { url, facts } = instance;
    match facts {
        Err(why) => {
            let words = format!("{url}  no answer: {why}");
            paint(style, "1;31", &fit(&words, width))
        }
        Ok(facts) => {
            let mut words = format!("{url}  {}", well(facts));
            if let Some(bytes) = facts.resident_bytes {
                words += &format!("  {} resident", size_of(bytes));
            }
            words += &format!("  {}", facts.version);
            let code = if facts.live && facts.ready { "2" } else { "33" };
            paint(style, code, &fit(&words, width))
        }
    }
}

fn well(facts: &Facts) -> &'static str {
    match (facts.live, facts.ready) {
        (false, _) => "stuck",
        (true, false) => "not ready",
        (true, true) => "ready",
    }
}

/// A column of jobs.
struct Column {
    name: &'static str,
    /// Of two that do not both fit, the one with the larger number goes.
    sacrifice: u8,
    to_the_right: bool,
    text: fn(&JobView) -> String,
    /// The colour, where it means something.
    code: fn(&JobView) -> &'static str,
}

const PLAIN: fn(&JobView) -> &'static str = |_| "";

/// In the order that they are shown in.
const COLUMNS: [Column; 11] = [
    Column {
        name: "JOB",
        sacrifice: 0,
        to_the_right: false,
        text: |job| fit(&job.id, JOB_WIDTH_MAX),
        code: PLAIN,
    },
    Column {
        name: "STATE",
        sacrifice: 1,
        to_the_right: false,
        text: |job| clean(&job.state.replace('_', " ")),
        code: state_code,
    },
    Column {
        name: "LAG",
        sacrifice: 2,
        to_the_right: true,
        text: lag,
        code: PLAIN,
    },
    Column {
        name: "EVENTS/S",
        sacrifice: 4,
        to_the_right: true,
        text: |job| job.events_per_second.map_or_else(unknown, rounded),
        code: PLAIN,
    },
    Column {
        name: "DELAY",
        sacrifice: 3,
        to_the_right: true,
        text: |job| job.delay_ms.map_or_else(unknown, delay),
        code: PLAIN,
    },
    Column {
        name: "WATERMARK",
        sacrifice: 9,
        to_the_right: false,
        text: |job| job.watermark_ms.map_or_else(unknown, seconds),
        code: PLAIN,
    },
    Column {
        name: "MEMORY",
        sacrifice: 5,
        to_the_right: true,
        text: memory,
        code: memory_code,
    },
    Column {
        name: "SERIES",
        sacrifice: 8,
        to_the_right: true,
        text: |job| match job.last_bucket {
            Some(_) => grouped(job.memory.series),
            None => unknown(),
        },
        code: PLAIN,
    },
    Column {
        name: "LAST BUCKET",
        sacrifice: 7,
        to_the_right: false,
        text: |job| match &job.last_bucket {
            Some(bucket) => minute(bucket.timestamp_ms),
            None => unknown(),
        },
        code: PLAIN,
    },
    Column {
        name: "SCORE",
        sacrifice: 6,
        to_the_right: true,
        text: |job| match &job.last_bucket {
            Some(bucket) => format!("{}", bucket.anomaly_score.floor()),
            None => unknown(),
        },
        code: score_code,
    },
    Column {
        name: "ON",
        sacrifice: 10,
        to_the_right: true,
        text: |job| job.instances.to_string(),
        code: PLAIN,
    },
];

fn unknown() -> String {
    "-".to_owned()
}

fn state_code(job: &JobView) -> &'static str {
    match job.state.as_str() {
        "live" => "32",
        "failed" => "1;31",
        "starting" => "2",
        _ => "33",
    }
}

fn lag(job: &JobView) -> String {
    match (job.lag_is_whole, job.lag_messages) {
        (true, lag) => grouped(lag),
        (false, 0) => unknown(),
        (false, lag) => format!("{}+", grouped(lag)),
    }
}

/// Behind the clock; event time may also be ahead of it.
fn delay(ms: i64) -> String {
    match ms < 0 {
        true => format!("-{}", length(ms.saturating_neg())),
        // Milliseconds change with every look, and mean nothing.
        false => length(ms - ms % 1000).replace("0ms", "0s"),
    }
}

fn memory(job: &JobView) -> String {
    let limit = size_of(job.memory.limit_bytes as f64);
    match job.last_bucket {
        Some(_) => format!("{} of {limit}", size_of(job.memory.model_bytes as f64)),
        None => format!("- of {limit}"),
    }
}

fn memory_code(job: &JobView) -> &'static str {
    match job.memory.status.as_str() {
        "hard_limit" => "1;31",
        "soft_limit" => "33",
        _ => "",
    }
}

fn score_code(job: &JobView) -> &'static str {
    match job.last_bucket.as_ref().map(|bucket| bucket.anomaly_score) {
        Some(score) if score >= 75.0 => "1;31",
        Some(score) if score >= 50.0 => "38;5;208",
        Some(score) if score >= 25.0 => "33",
        _ => "",
    }
}

/// The table of jobs, in at most `room` lines.
fn jobs(jobs: &[JobView], width: usize, room: Option<usize>, style: Style) -> Vec<String> {
    if jobs.is_empty() {
        return vec![fit("no jobs", width)];
    }
    let cells: Vec<Vec<String>> = jobs
        .iter()
        .map(|job| COLUMNS.iter().map(|column| (column.text)(job)).collect())
        .collect();
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|at| {
            let longest = cells.iter().map(|cells| columns(&cells[at])).max();
            longest.unwrap_or(0).max(COLUMNS[at].name.len())
        })
        .collect();
    let shown = that_fit(&widths, width);
    let heads: Vec<String> = COLUMNS
        .iter()
        .map(|column| column.name.to_owned())
        .collect();
    let mut lines = vec![row(&heads, &shown, &widths, width, |_| "1", style)];
    for (job, cells) in jobs.iter().zip(&cells) {
        let code = |at: usize| (COLUMNS[at].code)(job);
        lines.push(row(cells, &shown, &widths, width, code, style));
        if let Some(error) = &job.error {
            lines.push(paint(style, "31", &fit(&format!("  {error}"), width)));
        }
    }
    if let Some(room) = room.filter(|room| lines.len() > *room) {
        lines.truncate(room.saturating_sub(1).max(1));
        lines.push(paint(style, "2", &fit("… and more jobs", width)));
    }
    lines
}

/// The columns for which there is room, in their order.
fn that_fit(widths: &[usize], width: usize) -> Vec<usize> {
    let mut shown: Vec<usize> = (0..COLUMNS.len()).collect();
    let taken = |shown: &[usize]| -> usize {
        let cells: usize = shown.iter().map(|&at| widths[at]).sum();
        cells + GAP * shown.len().saturating_sub(1)
    };
    while taken(&shown) > width && shown.len() > 1 {
        let least = shown.iter().enumerate();
        let least = least.max_by_key(|(_, at)| COLUMNS[**at].sacrifice);
        let Some((place, _)) = least else { break };
        shown.remove(place);
    }
    shown
}

fn row(
    cells: &[String],
    shown: &[usize],
    widths: &[usize],
    width: usize,
    code: impl Fn(usize) -> &'static str,
    style: Style,
) -> String {
    let mut line = String::new();
    for (place, &at) in shown.iter().enumerate() {
        if place > 0 {
            line.push_str(&" ".repeat(GAP));
        }
        let text = fit(&cells[at], widths[at].min(width));
        let blank = " ".repeat(widths[at].min(width) - columns(&text));
        let text = match code(at) {
            "" => text,
            code => paint(style, code, &text),
        };
        let is_last = place + 1 == shown.len();
        match (COLUMNS[at].to_the_right, is_last) {
            (true, _) => line.push_str(&(blank + &text)),
            (false, true) => line.push_str(&text),
            (false, false) => line.push_str(&(text + &blank)),
        }
    }
    line
}

/// ` 93 critical   host.name=web-03  web  mean  2026-03-09 15:00  1,204 against 296 (4.1x)`
fn entity_line(entity: &Entity, width: usize, style: Style) -> String {
    let left = width.saturating_sub(BADGE_WIDTH + GAP);
    if left == 0 {
        return fit(&format!("{:>3}", entity.score.floor()), width);
    }
    let facts = format!(
        "{}  {}  {}",
        entity.job,
        entity.function,
        minute(entity.timestamp_ms)
    );
    // The name first; then what it was, and how much, as far as they fit.
    let name = fit(&entity.name, left);
    let mut text = name;
    let rest = left.saturating_sub(columns(&text) + GAP);
    if rest > 0 {
        let facts = fit(&facts, rest);
        let rest = rest.saturating_sub(columns(&facts) + GAP);
        text = format!("{text}  {}", paint(style, "2", &facts));
        let numbers = entity.actual.zip(entity.typical);
        let numbers = numbers.map(|(actual, typical)| against(actual, typical, rest));
        if let Some(numbers) = numbers.filter(|numbers| !numbers.is_empty()) {
            text = format!("{text}  {numbers}");
        }
    }
    format!("{}  {text}", badge(entity.score, style))
}

/// `2026-03-09 15:00:04`
fn seconds(ms: i64) -> String {
    let text = EventTime(ms.saturating_sub(ms.rem_euclid(1000))).to_string();
    text.replace('T', " ").trim_end_matches('Z').to_owned()
}

/// `12.3 MiB`
fn size_of(bytes: f64) -> String {
    let units = [(1024.0 * 1024.0 * 1024.0, "GiB"), (1024.0 * 1024.0, "MiB")];
    let unit = units.iter().find(|(unit, _)| bytes >= *unit);
    let (unit, name) = unit.copied().unwrap_or((1024.0, "KiB"));
    match bytes / unit {
        amount if amount >= 100.0 || amount == amount.floor() => format!("{amount:.0} {name}"),
        amount => format!("{amount:.1} {name}"),
    }
}

/// Without anything that commands a terminal.
fn clean(text: &str) -> String {
    text.chars().map(harmless).collect()
}

/// Columns that a text takes.
fn columns(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// At most `width` columns, with an ellipsis where something was cut; nothing in it commands a terminal.
fn fit(text: &str, width: usize) -> String {
    let text = clean(text);
    if columns(&text) <= width {
        return text;
    }
    let (mut short, mut taken) = (String::new(), 0);
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if taken + wide > width.saturating_sub(1) {
            break;
        }
        short.push(c);
        taken += wide;
    }
    if width > 0 {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;
