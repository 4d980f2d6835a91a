//! Which java-time patterns a `time_format` may be.
//!
//! The contract with the decoder, which compiles and reads them: exactly the letters of [`allowed_counts`], repeated as often as
//! it says; text between single quotes (`''` is a quote); `[...]` around what may be absent; every other character but `{ } #`
//! stands for itself. A pattern says a year and a day (month and day of month, or day of year), so that an instant follows from
//! the text alone, without asking a clock; a 12-hour clock comes with its half of the day.
//!
//! Source: the pattern letters of `java.time.format.DateTimeFormatter`, restated. Checked: below, and a property in
//! `tests/config.rs`: what passes here, the decoder compiles.

use std::ops::RangeInclusive;
use thiserror::Error;

/// Why a pattern is not one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum TimePatternError {
    #[error(
        "is empty; write \"epoch\", \"epoch_ms\", \"epoch_us\", \"epoch_ns\" or a pattern such as \"yyyy-MM-dd HH:mm:ss\""
    )]
    Empty,
    #[error(
        "has the letter {0:?}, which means nothing in a pattern; put literal text between single quotes"
    )]
    UnknownLetter(char),
    #[error("has the letter 'Y', the year of a week; the year of a date is \"yyyy\"")]
    WeekYear,
    #[error("has {0:?} {1} times; {2} times would be right")]
    Repeated(char, usize, String),
    #[error("has a single quote that is not closed; two of them stand for one")]
    OpenQuote,
    #[error("has a bracket without its partner; a literal one goes between single quotes")]
    Bracket,
    #[error("has the character {0:?}, which patterns reserve; put it between single quotes")]
    Reserved(char),
    #[error("says no {0}, so that no instant follows from it")]
    Incomplete(&'static str),
    #[error("has a 12-hour clock (h or K) without its half of the day (a); 0-23 is written H")]
    HalfDay,
}

/// How often a letter may be repeated; `None` when it means nothing.
///
/// Era `G`, year `y u`, month `M L`, day `d`, day of year `D`, day of week `E e`, hour `H k h K` with `a`, minute `m`, second `s`,
/// fraction `S`, nanosecond `n`, nanosecond and millisecond of the day `N A`, offset or zone `X x Z z V`.
fn allowed_counts(letter: char) -> Option<RangeInclusive<usize>> {
    Some(match letter {
        'M' | 'L' | 'E' | 'e' | 'G' | 'z' => 1..=4,
        'd' | 'H' | 'k' | 'h' | 'K' | 'm' | 's' => 1..=2,
        'D' => 1..=3,
        'a' => 1..=1,
        'y' | 'u' | 'S' | 'n' => 1..=9,
        'N' => 1..=14,
        'A' => 1..=8,
        'X' | 'x' | 'Z' => 1..=5,
        'V' => 2..=2,
        _ => return None,
    })
}

/// Whether `pattern` is one that the decoder reads.
pub(crate) fn check(pattern: &str) -> Result<(), TimePatternError> {
    if pattern.trim().is_empty() {
        return Err(TimePatternError::Empty);
    }
    let mut seen = String::new();
    let mut open_brackets = 0;
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            // A doubled quote inside closes and opens again, which comes to the same here.
            '\'' if !chars.by_ref().any(|c| c == '\'') => return Err(TimePatternError::OpenQuote),
            '[' if open_brackets == 8 => return Err(TimePatternError::Bracket),
            '[' => open_brackets += 1,
            ']' if open_brackets == 0 => return Err(TimePatternError::Bracket),
            ']' => open_brackets -= 1,
            '{' | '}' | '#' => return Err(TimePatternError::Reserved(c)),
            c if c.is_ascii_alphabetic() => {
                let mut count = 1;
                while chars.next_if_eq(&c).is_some() {
                    count += 1;
                }
                check_letter(c, count)?;
                seen.push(c);
            }
            _ => {}
        }
    }
    let has = |letters: &str| seen.contains(|c| letters.contains(c));
    match () {
        () if open_brackets > 0 => Err(TimePatternError::Bracket),
        () if !has("yu") => Err(TimePatternError::Incomplete("year (y or u)")),
        () if !has("D") && !has("ML") => Err(TimePatternError::Incomplete("month (M)")),
        () if !has("D") && !has("d") => Err(TimePatternError::Incomplete("day (d)")),
        () if has("hK") && !has("a") => Err(TimePatternError::HalfDay),
        () => Ok(()),
    }
}

fn check_letter(letter: char, count: usize) -> Result<(), TimePatternError> {
    let counts = match allowed_counts(letter) {
        Some(counts) if counts.contains(&count) => return Ok(()),
        Some(counts) => counts,
        None if letter == 'Y' => return Err(TimePatternError::WeekYear),
        None => return Err(TimePatternError::UnknownLetter(letter)),
    };
    let (fewest, most) = counts.into_inner();
    let right = match most - fewest {
        0 => most.to_string(),
        1 => format!("{fewest} or {most}"),
        _ => format!("{fewest} to {most}"),
    };
    Err(TimePatternError::Repeated(letter, count, right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_in_use_are_accepted() {
        for pattern in [
            "yyyy-MM-dd HH:mm:ss",
            "yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
            "yyyy-MM-dd HH:mm:ss[.SSS]",
            "EEE MMM dd HH:mm:ss yyyy",
            "dd/MMM/yyyy:HH:mm:ss Z",
            "MM/dd/yyyy hh:mm:ss a",
            "uuuu-DDD'T'HH:mm",
            "yyyy-MM-dd HH:mm:ss VV",
            "yyyyMMddHHmmss",
            "h 'o''clock' a, d MMMM yyyy",
            "yyyy-MM-dd",
        ] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn what_the_decoder_could_not_read_is_refused_with_what_would_be_right() {
        for (pattern, hint) in [
            ("", "such as"),
            ("  ", "such as"),
            ("YYYY-MM-dd", "\"yyyy\""),
            ("yyyy-MM-ddTHH:mm", "'T'"),
            ("yyyy-MM-dd'T", "not closed"),
            ("yyyy-MM-dd[ HH:mm", "partner"),
            ("yyyy-MM-dd] HH:mm", "partner"),
            ("yyyy-MM-dd #", "'#'"),
            ("HH:mm:ss", "no year"),
            ("MMM dd HH:mm:ss", "no year"),
            ("yyyy HH:mm", "no month"),
            ("yyyy-MM HH:mm", "no day"),
            ("yyyy-MM-dd hh:mm", "12-hour"),
            ("yyyy-MM-ddd", "'d' 3 times; 1 or 2 times"),
            ("yyyyyyyyyy-MM-dd", "'y' 10 times; 1 to 9 times"),
            ("yyyy-MM-dd V", "'V' 1 times; 2 times"),
            ("yyyy-MM-dd SSSSSSSSSS", "1 to 9 times"),
        ] {
            let message = check(pattern).expect_err(pattern).to_string();
            assert!(message.contains(hint), "{pattern}: {message}");
        }
    }
}
