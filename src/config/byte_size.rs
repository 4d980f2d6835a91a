//! Amounts of memory as Elastic writes them: `512mb`, `1.5gb`.
//!
//! Unit: bytes, powers of 1024. Source: job-config.md 1.6.

use thiserror::Error;

/// Why a text is not an amount of memory.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ByteSizeError {
    #[error(
        "{0:?} is not an amount of memory; write a number and a unit (b, kb, mb, gb, tb, pb), such as \"512mb\""
    )]
    NotASize(String),
    #[error("{0:?} has no unit; write {1:?}, or the number without quotes")]
    NoUnit(String, String),
    #[error("{0:?} has an unknown unit; units are b, kb, mb, gb, tb and pb")]
    UnknownUnit(String),
}

/// Bytes that `written` says; saturates at the largest 64-bit number.
pub(crate) fn parse(written: &str) -> Result<u64, ByteSizeError> {
    let text = written.trim().to_ascii_lowercase();
    let own = || written.chars().take(40).collect::<String>();
    let numeric = |b: &u8| b.is_ascii_digit() || *b == b'.';
    let (number, unit) = text.split_at(text.bytes().take_while(|b| numeric(b)).count());
    let shift = match unit.trim_start() {
        "" if number.is_empty() => return Err(ByteSizeError::NotASize(own())),
        "" => return Err(ByteSizeError::NoUnit(own(), format!("{number}mb"))),
        "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        "t" | "tb" => 40,
        "p" | "pb" => 50,
        _ if number.is_empty() => return Err(ByteSizeError::NotASize(own())),
        _ => return Err(ByteSizeError::UnknownUnit(own())),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return Ok(whole.saturating_mul(1 << shift));
    }
    let fraction: f64 = number.parse().map_err(|_| ByteSizeError::NotASize(own()))?;
    Ok((fraction * (1u64 << shift) as f64) as u64) // `as` saturates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [
            ("512mb", 512 << 20),
            ("1.5GB", 1536 << 20),
            (" 2 g ", 2 << 30),
            ("0b", 0),
            ("999999999999pb", u64::MAX),
            ("99999999999999999999kb", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size_is_told_what_would_be_one() {
        for (text, hint) in [
            ("512", "\"512mb\""),
            ("lots", "such as"),
            ("mb", "such as"),
            ("", "such as"),
            ("1.2.3mb", "such as"),
            ("-5mb", "such as"),
            ("5 apples", "units are"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(hint), "{text}: {message}");
        }
    }
}
