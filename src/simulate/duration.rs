//! Durations as people write them: `90s`, `2h`, `9d 14h 30m`.

/// A text that is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a duration; write numbers with units d, h, m or s, such as 9d 14h 30m")]
pub struct DurationError(String);

/// Milliseconds in `text`: whole numbers, each followed by `d`, `h`, `m` or `s`, spaces allowed between.
pub fn parse_duration(text: &str) -> Result<i64, DurationError> {
    let wrong = || DurationError(text.to_owned());
    let mut total_ms: i64 = 0;
    let mut digits = String::new();
    for letter in text.chars() {
        let unit_ms = match letter {
            '0'..='9' => {
                digits.push(letter);
                continue;
            }
            ' ' if digits.is_empty() => continue,
            'd' => 86_400_000,
            'h' => 3_600_000,
            'm' => 60_000,
            's' => 1_000,
            _ => return Err(wrong()),
        };
        let part_ms = digits
            .parse()
            .ok()
            .and_then(|n: i64| n.checked_mul(unit_ms));
        total_ms = part_ms
            .and_then(|part| total_ms.checked_add(part))
            .ok_or_else(wrong)?;
        digits.clear();
    }
    match text.trim().is_empty() || !digits.is_empty() {
        true => Err(wrong()),
        false => Ok(total_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_everything_else_is_refused() {
        assert_eq!(parse_duration("9d 14h 30m"), Ok(829_800_000));
        assert_eq!(parse_duration("90s"), Ok(90_000));
        assert_eq!(parse_duration("1h30m"), Ok(5_400_000));
        for wrong in [
            "",
            " ",
            "5",
            "h",
            "-2h",
            "1.5h",
            "2w",
            "9 d",
            "99999999999999999999d",
            "9223372036854775807d",
        ] {
            assert!(parse_duration(wrong).is_err(), "{wrong:?}");
        }
    }
}
