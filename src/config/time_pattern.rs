//! Which java-time patterns a `time_format` may be.
//!
//! The contract with the decoder, which reads times by these patterns: exactly the letters of [`LETTERS`], each repeated no more
//! often than its row says; text in single quotes (`''` is a quote); every character that is neither a letter nor one of
//! `[ ] { } #` stands for itself. A pattern says a year and a day (month and day of month, or day of year), so that an instant
//! follows from the text alone, without asking a clock; a 12-hour clock comes with its half of the day.
//!
//! Source: the pattern letters of `java.time.format.DateTimeFormatter`, restated.

use thiserror::Error;

/// Letter, fewest and most repetitions, what it stands for.
const LETTERS: &[(char, usize, usize, &str)] = &[
    ('y', 1, 9, "year of era"),
    ('u', 1, 9, "year"),
    ('M', 1, 4, "month"),
    ('d', 1, 2, "day of month"),
    ('D', 1, 3, "day of year"),
    ('H', 1, 2, "hour 0-23"),
    ('k', 1, 2, "hour 1-24"),
    ('h', 1, 2, "hour 1-12"),
    ('K', 1, 2, "hour 0-11"),
    ('m', 1, 2, "minute"),
    ('s', 1, 2, "second"),
    ('S', 1, 9, "fraction of a second"),
    ('a', 1, 1, "half of the day"),
    ('n', 1, 9, "nanosecond"),
    ('N', 1, 14, "nanosecond of the day"),
    ('X', 1, 5, "offset, Z for none"),
    ('x', 1, 5, "offset"),
    ('Z', 1, 5, "offset"),
    ('z', 1, 4, "zone name"),
    ('V', 2, 2, "zone id"),
    ('E', 1, 4, "day of the week"),
    ('e', 1, 4, "day of the week"),
    ('G', 1, 4, "era"),
];

/// Why a pattern is not one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum TimePatternError {
    #[error("is empty; write \"epoch\", \"epoch_ms\" or a pattern such as \"yyyy-MM-dd HH:mm:ss\"")]
    Empty,
    #[error(
        "has the letter {0:?}, which means nothing in a pattern; put literal text between single quotes"
    )]
    UnknownLetter(char),
    #[error("has {0:?} {1} times; {2} ({0}) is written with {3} to {4}")]
    Repeated(char, usize, &'static str, usize, usize),
    #[error("has a single quote that is not closed; two of them stand for one")]
    OpenQuote,
    #[error("has the character {0:?}, which patterns reserve; put it between single quotes")]
    Reserved(char),
    #[error("says no {0}, so that no instant follows from it")]
    Incomplete(&'static str),
    #[error("has a 12-hour clock (h or K) without its half of the day (a); 0-23 is written H")]
    HalfDay,
}

/// Whether `pattern` is one that the decoder reads.
pub(crate) fn check(pattern: &str) -> Result<(), TimePatternError> {
    if pattern.trim().is_empty() {
        return Err(TimePatternError::Empty);
    }
    let mut seen = String::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                // A doubled quote inside closes and opens again, which comes to the same here.
                chars
                    .by_ref()
                    .find(|&c| c == '\'')
                    .ok_or(TimePatternError::OpenQuote)?;
            }
            '[' | ']' | '{' | '}' | '#' => return Err(TimePatternError::Reserved(c)),
            c if c.is_ascii_alphabetic() => {
                let mut times = 1;
                while chars.next_if_eq(&c).is_some() {
                    times += 1;
                }
                check_letter(c, times)?;
                seen.push(c);
            }
            _ => {}
        }
    }
    let has = |letters: &str| seen.contains(|c| letters.contains(c));
    match () {
        () if !has("yu") => Err(TimePatternError::Incomplete("year (y or u)")),
        () if !has("D") && !has("M") => Err(TimePatternError::Incomplete("month (M)")),
        () if !has("D") && !has("d") => Err(TimePatternError::Incomplete("day (d)")),
        () if has("hK") && !has("a") => Err(TimePatternError::HalfDay),
        () => Ok(()),
    }
}

fn check_letter(c: char, times: usize) -> Result<(), TimePatternError> {
    let &(_, fewest, most, meaning) = LETTERS
        .iter()
        .find(|(letter, ..)| *letter == c)
        .ok_or(TimePatternError::UnknownLetter(c))?;
    if (fewest..=most).contains(&times) {
        return Ok(());
    }
    Err(TimePatternError::Repeated(c, times, meaning, fewest, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_in_use_are_accepted() {
        for pattern in [
            "yyyy-MM-dd HH:mm:ss",
            "yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
            "EEE MMM dd HH:mm:ss yyyy",
            "dd/MMM/yyyy:HH:mm:ss Z",
            "MM/dd/yyyy hh:mm:ss a",
            "uuuu-DDD'T'HH:mm",
            "yyyy-MM-dd HH:mm:ss VV",
            "yyyyMMddHHmmss",
            "h 'o''clock' a, d MMMM yyyy",
        ] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn what_the_decoder_could_not_read_is_refused() {
        for (pattern, expected) in [
            ("", TimePatternError::Empty),
            ("  ", TimePatternError::Empty),
            ("YYYY-MM-dd", TimePatternError::UnknownLetter('Y')),
            ("yyyy-MM-ddTHH:mm", TimePatternError::UnknownLetter('T')),
            ("yyyy-MM-dd'T", TimePatternError::OpenQuote),
            ("yyyy-MM-dd[ HH:mm]", TimePatternError::Reserved('[')),
            ("HH:mm:ss", TimePatternError::Incomplete("year (y or u)")),
            (
                "MMM dd HH:mm:ss",
                TimePatternError::Incomplete("year (y or u)"),
            ),
            ("yyyy HH:mm", TimePatternError::Incomplete("month (M)")),
            ("yyyy-MM HH:mm", TimePatternError::Incomplete("day (d)")),
            ("yyyy-MM-dd hh:mm", TimePatternError::HalfDay),
            (
                "yyyy-MM-ddd",
                TimePatternError::Repeated('d', 3, "day of month", 1, 2),
            ),
            (
                "yyyy-MM-dd V",
                TimePatternError::Repeated('V', 1, "zone id", 2, 2),
            ),
        ] {
            assert_eq!(check(pattern), Err(expected), "{pattern}");
        }
    }
}
