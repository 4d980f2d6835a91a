//! Values and numbers as a page shows them: cut to a length, no control or direction characters, figures people can read.
//!
//! Escaping for HTML is not done here but by the template, for everything that is put into it.

use crate::cli::table;
use crate::engine::result::sentence::number;
use crate::time::EventTime;

/// The longest name that is shown, and the longest in a tooltip, characters.
pub(super) const NAME_CHARS_MAX: usize = 80;
const TITLE_CHARS_MAX: usize = 400;
/// The longest sentence.
pub(super) const SENTENCE_CHARS_MAX: usize = 600;

/// What is shown of a field's value: at most `chars_max` characters, and none that would move others about or cannot be seen.
pub(super) fn shown(text: &str, chars_max: usize) -> String {
    if text.is_empty() {
        return "(none)".to_owned();
    }
    let mut chars = text.chars().map(|c| match is_unruly(c) {
        true => '\u{fffd}',
        false => c,
    });
    let mut shown: String = chars.by_ref().take(chars_max).collect();
    if chars.next().is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

/// The same for a tooltip.
pub(super) fn title(text: &str) -> String {
    shown(text, TITLE_CHARS_MAX)
}

/// Control characters, and those that turn the direction of the text after them.
fn is_unruly(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `host.name web-03, service.name cart`.
pub(super) fn named(fields: &[(String, String)]) -> String {
    let pairs: Vec<String> = fields
        .iter()
        .map(|(field, value)| match value.is_empty() {
            true => format!("{field} (none)"),
            false => format!("{field} {value}"),
        })
        .collect();
    pairs.join(", ")
}

/// `2026-03-09 15:00`.
pub(super) fn minute(ms: i64) -> String {
    table::minute(ms)
}

/// `2026-03-09 15:00 to 15:45`, the day again only when it is another one.
pub(super) fn from_to(start_ms: i64, end_ms: i64) -> String {
    let (start, end) = (minute(start_ms), minute(end_ms));
    match (start.split_once(' '), end.split_once(' ')) {
        (Some((day, _)), Some((other, time))) if day == other => format!("{start} to {time}"),
        _ => format!("{start} to {end}"),
    }
}

/// ISO 8601, for machines.
pub(super) fn iso(ms: i64) -> String {
    EventTime(ms).to_string()
}

/// A probability as odds: `1 in 2,300`, and of what no past can have shown `less than 1 in a billion`; the exact figure is in the documents.
pub(super) fn probability(p: f64) -> String {
    match 1.0 / p {
        odds if odds < 1e6 => format!("1 in {}", number(odds.round().max(1.0))),
        odds if odds < 1e9 => format!("1 in {} million", number((odds / 1e6).round())),
        _ => "less than 1 in a billion".to_owned(),
    }
}

/// `1 anomaly`, `2,200 anomalies`: a count with its noun.
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    let noun = if count == 1 { one } else { many };
    format!("{} {noun}", crate::cli::output::grouped(count as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_cut_and_keeps_no_character_that_moves_others() {
        assert_eq!(shown("abcdef", 6), "abcdef");
        assert_eq!(shown("abcdefg", 6), "abcde…");
        assert_eq!(shown("a\u{202e}b\0\n", 6), "a\u{fffd}b\u{fffd}\u{fffd}");
        assert_eq!(shown("", 6), "(none)");
        assert_eq!(shown(&"x".repeat(10_000), 80).chars().count(), 80);
    }

    #[test]
    fn a_span_of_time_names_its_day_once() {
        let hour = 3_600_000;
        assert_eq!(from_to(0, hour), "1970-01-01 00:00 to 01:00");
        assert_eq!(
            from_to(23 * hour, 25 * hour),
            "1970-01-01 23:00 to 1970-01-02 01:00"
        );
    }

    #[test]
    fn probabilities_read_as_odds_until_nobody_can_count_them() {
        let least = "less than 1 in a billion";
        for (p, told) in [
            (1.0, "1 in 1"),
            (0.5, "1 in 2"),
            (0.0004, "1 in 2,500"),
            (2.5e-8, "1 in 40 million"),
            (2.34e-21, least),
            (f64::MIN_POSITIVE, least),
        ] {
            assert_eq!(probability(p), told);
        }
    }
}
