//! Findings as a table for people: top anomalies, top influencers. Pure: the same findings give the same text.
//!
//! Fits the width it is told (at least 60 columns); what does not fit is cut with an ellipsis. Each anomaly has a line of facts,
//! and under it its sentence and the other series that it happened to. Times are UTC. Severity is a word as well as a colour.

use super::findings::{Episode, Findings, Group, Influencer};
use crate::engine::result::Severity;
use crate::time::EventTime;
use std::collections::BTreeSet;
use std::fmt::Write;

/// However many anomalies are shown, no more influencers than these.
const INFLUENCERS_SHOWN_MAX: usize = 10;
/// Characters of a message by which a category is called.
const MESSAGE_CHARS_MAX: usize = 40;

/// How a table is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) width: usize,
    pub(super) color: bool,
    /// How many anomalies and how many influencers at most.
    pub(super) top: usize,
}

/// The whole table.
pub(super) fn render(findings: &Findings, style: Style, nothing: &str) -> String {
    let groups = findings.groups();
    let mut text = String::new();
    if groups.is_empty() {
        return format!("{nothing}\n");
    }
    heading(&mut text, style, "Anomalies", style.top, groups.len());
    for group in groups.iter().take(style.top) {
        text.push_str(&anomaly(group, style));
    }
    let influencers = findings.influencers();
    if !influencers.is_empty() {
        text.push('\n');
        let shown = style.top.min(INFLUENCERS_SHOWN_MAX);
        heading(&mut text, style, "Influencers", shown, influencers.len());
        let shown: Vec<(String, &Influencer)> = influencers
            .iter()
            .take(shown)
            .map(|one| (field_is(&one.field, &one.value), one))
            .collect();
        let longest = shown.iter().map(|(name, _)| name.chars().count()).max();
        let width = longest.unwrap_or(0).min(style.width.max(60) - 33);
        for (name, influencer) in shown {
            text.push_str(&influencer_line(&name, influencer, width, style));
        }
    }
    text
}

pub(super) fn heading(text: &mut String, style: Style, what: &str, shown: usize, all: usize) {
    let count = match all > shown {
        true => format!(" (the first {shown} of {all})"),
        false => String::new(),
    };
    let _ = writeln!(text, "{}{count}", paint(style, "1", what));
}

/// A line of facts, the sentence, and who else it happened to.
pub(super) fn anomaly(group: &Group, style: Style) -> String {
    let Episode {
        peak,
        start_ms,
        end_ms,
    } = &group.lead;
    let width = style.width.max(60);
    let when = format!("{} {:>5}", minute(*start_ms), length(end_ms - start_ms));
    let who = named(&peak.series);
    let what = match who.is_empty() {
        true => peak.what.to_string(),
        false => format!("{}  {who}", peak.what),
    };
    // when 22, score 13, gaps of 2; the rest is for what it was, then for the numbers, as far as they fit.
    let rest = width - 22 - 13 - 4;
    let what = cut(&what, rest);
    let left = rest - what.chars().count();
    let numbers = peak
        .actual
        .zip(peak.typical)
        .map(|(actual, typical)| against(actual, typical, left.saturating_sub(2)));
    let numbers = numbers.unwrap_or_default();
    let line = format!(
        "{when:<22}  {}  {what}{numbers:>left$}",
        badge(peak.score, style)
    );
    let mut text = format!("{}\n", line.trim_end());
    for line in wrap(&peak.sentence, width - 2) {
        let _ = writeln!(text, "  {}", paint(style, "2", &line));
    }
    if !group.others.is_empty() {
        let name = |other: &&Episode| {
            let who = match other.peak.message() {
                Some(message) => format!("\"{}\"", cut(message, MESSAGE_CHARS_MAX)),
                None => named(&other.peak.series),
            };
            format!("{who} ({:.0})", other.peak.score.floor())
        };
        // A series that was odd twice in the lead's time is one more all the same, told with its strongest.
        let mut seen = BTreeSet::new();
        let others = group.others.iter();
        let others: Vec<String> = others
            .filter(|other| seen.insert(&other.peak.series))
            .map(|other| name(&other))
            .collect();
        let words = format!("and {} more: {}", others.len(), others.join(", "));
        let _ = writeln!(text, "  {}", paint(style, "2", &cut(&words, width - 2)));
    }
    text
}

/// `host.name=web-03 service.name=cart`.
pub(super) fn named(fields: &[(String, String)]) -> String {
    let pairs: Vec<String> = fields
        .iter()
        .map(|(field, value)| field_is(field, value))
        .collect();
    pairs.join(" ")
}

/// `host.name=web-03`; `host.name=(none)` of the events without one.
fn field_is(field: &str, value: &str) -> String {
    match value.is_empty() {
        true => format!("{field}=(none)"),
        false => format!("{field}={value}"),
    }
}

/// ` 93 critical   host.name=web-03  12 buckets`, the name in so many columns.
fn influencer_line(name: &str, influencer: &Influencer, width: usize, style: Style) -> String {
    let buckets = match influencer.buckets {
        1 => "1 bucket".to_owned(),
        many => format!("{} buckets", super::output::grouped(many as u64)),
    };
    let name = cut(name, width);
    format!(
        "{}  {name:width$}  {}\n",
        badge(influencer.score, style),
        paint(style, "2", &buckets)
    )
}

/// ` 93 critical` in the colour of its severity; 13 columns.
pub(super) fn badge(score: f64, style: Style) -> String {
    let severity = Severity::of(score);
    let code = match severity {
        Severity::Critical => "1;31",
        Severity::Major => "38;5;208",
        Severity::Minor => "33",
        Severity::Warning => "36",
        Severity::Low => "2",
    };
    paint(
        style,
        code,
        &format!("{:>3} {:<9}", score.floor(), severity.label()),
    )
}

pub(super) fn paint(style: Style, code: &str, text: &str) -> String {
    match style.color {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}

/// `2026-03-09 15:00`.
pub(super) fn minute(ms: i64) -> String {
    let text = EventTime(ms).to_string();
    match text.split_once('T') {
        Some((day, time)) if time.ends_with(":00Z") => format!("{day} {}", &time[..5]),
        Some((day, time)) => format!("{day} {}", time.trim_end_matches('Z')),
        None => text,
    }
}

/// A length of time in its two largest units: `45m`, `1h30m`, `2d`.
pub(super) fn length(ms: i64) -> String {
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    let Some(at) = units.iter().position(|(unit_ms, _)| ms >= *unit_ms) else {
        return format!("{ms}ms");
    };
    let (unit_ms, unit) = units[at];
    let mut text = format!("{}{unit}", ms / unit_ms);
    if let Some((next_ms, next)) = units.get(at + 1)
        && ms % unit_ms >= *next_ms
    {
        let _ = write!(text, "{}{next}", ms % unit_ms / next_ms);
    }
    text
}

/// `1,204 against 296 (4.1x)`, or as much of it as `width` allows.
pub(super) fn against(actual: f64, typical: f64, width: usize) -> String {
    let ratio = match actual / typical {
        ratio if (1.05..1e4).contains(&ratio) => format!(" ({ratio:.1}x)"),
        ratio if (1e-4..0.95).contains(&ratio) => format!(" (1/{:.1})", 1.0 / ratio),
        _ => String::new(),
    };
    let numbers = format!("{} against {}", figure(actual), figure(typical));
    let fits = |text: &String| text.chars().count() <= width;
    [format!("{numbers}{ratio}"), numbers]
        .into_iter()
        .find(fits)
        .unwrap_or_default()
}

/// A number in about four significant digits, thousands grouped.
fn figure(x: f64) -> String {
    let size = x.abs();
    if size >= 1e15 || (size > 0.0 && size < 1e-4) {
        return format!("{x:.3e}");
    }
    if size >= 1000.0 {
        let sign = if x < 0.0 { "-" } else { "" };
        return format!("{sign}{}", super::output::grouped(size.round() as u64));
    }
    let decimals = if size >= 100.0 {
        1
    } else if size >= 1.0 {
        2
    } else {
        4
    };
    let text = format!("{x:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// What a terminal may be shown of a character that somebody else chose: one that would command the terminal, or turn the text around it
/// about (Unicode's bidirectional controls), is `?`.
pub(super) fn harmless(c: char) -> char {
    match c {
        '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'
        | '\u{2029}' => '?',
        c if c.is_control() => '?',
        c => c,
    }
}

/// At most `width` characters, with an ellipsis where something was cut; none of them commands a terminal ([`harmless`]).
pub(super) fn cut(text: &str, width: usize) -> String {
    let clean = text.chars().map(harmless);
    match text.chars().count() <= width {
        true => clean.collect(),
        false => clean.take(width.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// The text in lines of at most `width` characters, broken between words where that is possible.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match words.last_mut() {
            // A per cent sign stays with its number.
            Some(number) if word.starts_with('%') => *number += &format!(" {word}"),
            _ => words.push(word.to_owned()),
        }
    }
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        let word = cut(&word, width);
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::findings::Finding;
    use proptest::prelude::*;

    fn group(what: &str, who: &str, score: f64, actual: f64) -> Group {
        let peak = Finding {
            score,
            what: what.into(),
            series: vec![("host.name".to_owned(), who.to_owned())].into(),
            actual: Some(actual),
            typical: Some(296.0),
            sentence: format!("the mean of {who} was much higher than it ever was").into(),
            ..Finding::default()
        };
        let lead = Episode {
            peak,
            start_ms: 1_773_068_400_000,
            end_ms: 1_773_071_100_000,
        };
        Group {
            others: vec![lead.clone()],
            lead,
        }
    }

    #[test]
    fn an_anomaly_is_a_line_of_facts_a_sentence_and_who_else() {
        let text = |width| {
            anomaly(
                &group("high_mean(latency_ms)", "web-03", 93.7, 1204.4),
                Style {
                    width,
                    color: false,
                    top: 5,
                },
            )
        };
        assert_eq!(
            text(104),
            "2026-03-09 15:00   45m   93 critical   high_mean(latency_ms)  host.name=web-03  1,204 against 296 (4.1x)\n  \
             the mean of web-03 was much higher than it ever was\n  and 1 more: host.name=web-03 (93)\n"
        );
        assert!(text(103).starts_with(
            "2026-03-09 15:00   45m   93 critical   high_mean(latency_ms)  host.name=web-03        1,204 against 296\n"
        ));
        assert!(text(70).starts_with(
            "2026-03-09 15:00   45m   93 critical   high_mean(latency_ms)  host.na…\n"
        ));
    }

    #[test]
    fn events_without_a_value_are_told_as_that() {
        let group = group("count", "", 80.0, 400.0);
        let style = Style {
            width: 104,
            color: false,
            top: 5,
        };
        assert!(anomaly(&group, style).contains("count  host.name=(none)"));
    }

    #[test]
    fn a_series_is_told_once_among_the_others_and_a_per_cent_sign_stays_with_its_number() {
        let mut twice = group("count", "web-03", 90.0, 5.0);
        twice.others.push(twice.others[0].clone());
        let style = Style {
            width: 80,
            color: false,
            top: 5,
        };
        assert!(anomaly(&twice, style).contains("  and 1 more: host.name=web-03 (90)\n"));
        assert_eq!(
            wrap("between 3 and 4 (95 %: 2 to 5)", 20),
            ["between 3 and 4", "(95 %: 2 to 5)"]
        );
    }

    #[test]
    fn influencers_stand_in_columns() {
        let influencer = |value: &str, buckets| Influencer {
            field: "host".to_owned(),
            value: value.to_owned(),
            score: 80.0,
            buckets,
        };
        let style = Style {
            width: 60,
            color: false,
            top: 5,
        };
        let line = |value, buckets| {
            let one = influencer(value, buckets);
            influencer_line(&format!("{}={}", one.field, one.value), &one, 9, style)
        };
        assert_eq!(
            [line("a", 1), line("bcdefgh", 43_600)],
            [
                " 80 critical   host=a     1 bucket\n",
                " 80 critical   host=bcd…  43,600 buckets\n"
            ]
        );
    }

    #[test]
    fn numbers_and_lengths_read_well() {
        let figures = [0.0, 5.0, 0.5, 12.345, 123.45, 1234.5, -2500.0, 1e16, 1e-9].map(figure);
        assert_eq!(
            figures,
            [
                "0", "5", "0.5", "12.35", "123.5", "1,235", "-2,500", "1.000e16", "1.000e-9"
            ]
        );
        let lengths = [500, 30_000, 2_700_000, 5_400_000, 172_800_000].map(length);
        assert_eq!(lengths, ["500ms", "30s", "45m", "1h30m", "2d"]);
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal_and_no_escape_comes_from_the_data(
            what in ".{0,80}", who in ".{0,80}", score in 0.0..100.0, actual in -1e20..1e20, width in 60usize..200
        ) {
            let text = anomaly(&group(&what, &who, score, actual), Style { width, color: false, top: 5 });
            prop_assert!(text.lines().all(|line| line.chars().count() <= width), "{}", text);
            prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
        }
    }
}
