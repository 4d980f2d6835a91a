//! Names of jobs, groups and datafeeds.
//!
//! Source: job-config.md 1.1: lower-case letters, digits, `_`, `-` and `.`, a letter or digit at both ends, 64 characters at most.

use thiserror::Error;

/// The most characters of an id.
pub(crate) const ID_LENGTH_MAX: usize = 64;

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum IdError {
    #[error("must not be empty")]
    Empty,
    #[error("{0:?} is reserved")]
    Reserved(String),
    #[error("has {0} characters; at most 64 are allowed")]
    TooLong(usize),
    #[error(
        "{0:?} is not an id: lower-case letters, digits, '_', '-' and '.', with a letter or digit at both ends"
    )]
    Characters(String),
}

/// Whether `id` is one.
pub(crate) fn check(id: &str) -> Result<(), IdError> {
    let end = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let inner =
        |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.');
    let bytes = id.as_bytes();
    match id.chars().count() {
        0 => Err(IdError::Empty),
        length if length > ID_LENGTH_MAX => Err(IdError::TooLong(length)),
        _ if id == "_all" => Err(IdError::Reserved(id.to_owned())),
        _ if end(bytes.first()) && end(bytes.last()) && bytes.iter().all(inner) => Ok(()),
        _ => Err(IdError::Characters(id.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_lower_case_and_begin_and_end_with_a_letter_or_digit() {
        let longest = "a".repeat(64);
        for good in ["a", "7", "web-logs_v1.2", longest.as_str()] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let too_long = "a".repeat(65);
        for bad in [
            "",
            "_all",
            "Web",
            "-web",
            "web-",
            "we b",
            "wéb",
            "a*",
            ".",
            too_long.as_str(),
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
