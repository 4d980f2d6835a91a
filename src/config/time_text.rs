//! Durations as Elastic writes them: `15m`, `1d`, `500ms`.
//!
//! Unit: milliseconds, at least 0. Kept with the text, because a response echoes what somebody wrote (`3600s` stays `3600s`).
//! Source: job-config.md 1.2 and 1.3; units are matched in any case but `M`, which would be months.

use thiserror::Error;

/// A duration and the words it was written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TimeText {
    /// As written, without surrounding blanks.
    pub(crate) text: String,
    /// Milliseconds, at least 0.
    pub(crate) ms: i64,
}

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum TimeTextError {
    #[error(
        "{0:?} is not a time; write a whole number and a unit (d, h, m, s, ms), such as \"15m\""
    )]
    NotATime(String),
    #[error("{0:?} has no unit; write {1:?} or {2:?}")]
    NoUnit(String, String, String),
    #[error("{0:?} has an unknown unit; units are d, h, m, s and ms{1}")]
    UnknownUnit(String, String),
    #[error("{0:?} has a fraction; write it as a whole number of a smaller unit")]
    Fraction(String),
    #[error("{0:?} is negative; times are at least 0")]
    Negative(String),
    #[error("{0:?} is not a whole number of milliseconds")]
    NotWholeMillis(String),
    #[error("{0:?} is longer than can be counted in milliseconds")]
    TooLong(String),
}

/// Units and their length in nanoseconds, longest first.
const UNITS: [(&str, i128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("micros", 1_000),
    ("nanos", 1),
];

impl TimeText {
    /// Reads a duration.
    pub(crate) fn parse(written: &str) -> Result<TimeText, TimeTextError> {
        let text = written.trim();
        let own = || text.chars().take(40).collect::<String>();
        if text == "0" {
            return Ok(TimeText {
                text: text.to_owned(),
                ms: 0,
            });
        }
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = unsigned.split_at(digits);
        match (digits, unit.as_bytes().first()) {
            (0, _) => return Err(TimeTextError::NotATime(own())),
            _ if unsigned.len() < text.len() => return Err(TimeTextError::Negative(own())),
            (_, None) => {
                let (seconds, minutes) = (format!("{number}s"), format!("{number}m"));
                return Err(TimeTextError::NoUnit(own(), seconds, minutes));
            }
            (_, Some(b'.')) => return Err(TimeTextError::Fraction(own())),
            _ => {}
        }
        let count: i64 = number.parse().map_err(|_| TimeTextError::TooLong(own()))?;
        let unit = unit.trim_start();
        let nanos_per_unit = UNITS
            .iter()
            .find(|(name, _)| unit.eq_ignore_ascii_case(name) && unit != "M")
            .ok_or_else(|| TimeTextError::UnknownUnit(own(), instead_of(count, unit)))?
            .1;
        let nanos = i128::from(count) * nanos_per_unit;
        if nanos % 1_000_000 != 0 {
            return Err(TimeTextError::NotWholeMillis(own()));
        }
        let ms = i64::try_from(nanos / 1_000_000).map_err(|_| TimeTextError::TooLong(own()))?;
        Ok(TimeText {
            text: text.to_owned(),
            ms,
        })
    }

    /// A duration of `seconds`, in the largest unit that divides it: 2 592 000 is `30d`, 2 592 840 is `43214m`.
    pub(crate) fn from_seconds(seconds: i64) -> TimeText {
        let (divisor, unit) = [(86_400, "d"), (3_600, "h"), (60, "m")]
            .into_iter()
            .find(|(divisor, _)| seconds % divisor == 0)
            .unwrap_or((1, "s"));
        TimeText {
            text: format!("{}{unit}", seconds / divisor),
            ms: seconds * 1000,
        }
    }

    /// Whole seconds; `None` when there is a rest.
    pub(crate) fn seconds(&self) -> Option<i64> {
        (self.ms % 1000 == 0).then_some(self.ms / 1000)
    }
}

/// `; did you mean "14d"?` for units that people write and Elastic does not know.
fn instead_of(count: i64, unit: &str) -> String {
    let (count, unit) = match unit.to_ascii_lowercase().as_str() {
        "w" | "week" | "weeks" => (count.saturating_mul(7), "d"),
        "day" | "days" => (count, "d"),
        "hr" | "hrs" | "hour" | "hours" => (count, "h"),
        "min" | "mins" | "minute" | "minutes" => (count, "m"),
        "sec" | "secs" | "second" | "seconds" => (count, "s"),
        "m" => return "; \"M\" would be months, minutes are \"m\"".to_owned(),
        _ => return String::new(),
    };
    format!("; did you mean \"{count}{unit}\"?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_a_whole_number_and_a_unit() {
        for (text, ms) in [
            ("15m", 900_000),
            (" 3600s ", 3_600_000),
            ("1D", 86_400_000),
            ("2 h", 7_200_000),
            ("500ms", 500),
            ("5000micros", 5),
            ("1000000nanos", 1),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(TimeText::parse(text).map(|time| time.ms), Ok(ms), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_time_is_told_what_would_be_one() {
        for (text, hint) in [
            ("", "such as \"15m\""),
            ("soon", "such as \"15m\""),
            ("m", "such as \"15m\""),
            ("300", "write \"300s\" or \"300m\""),
            ("8w", "did you mean \"56d\"?"),
            ("5min", "did you mean \"5m\"?"),
            ("5M", "months"),
            ("1.5h", "smaller unit"),
            ("-5m", "at least 0"),
            ("1nanos", "whole number of milliseconds"),
            ("9999999999999999999d", "longer than"),
            ("9223372036854775807d", "longer than"),
        ] {
            let message = TimeText::parse(text).unwrap_err().to_string();
            assert!(message.contains(hint), "{text}: {message}");
        }
    }

    #[test]
    fn seconds_are_shown_in_the_largest_unit_that_divides_them() {
        for (seconds, text) in [
            (2_592_000, "30d"),
            (2_592_840, "43214m"),
            (2_880_000, "800h"),
            (24_192_000, "280d"),
            (61, "61s"),
        ] {
            assert_eq!(TimeText::from_seconds(seconds).text, text);
        }
    }
}
