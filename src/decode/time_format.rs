//! The value of a time field → an instant.
//!
//! Epochs are numbers or numeric text; ISO 8601 is read by `time::civil`, other texts by a compiled [`Pattern`]. Whatever is finer than a
//! millisecond is cut off, never rounded up. Without a zone a text is UTC. Years 1 to 9999. Checked: tests/decode.rs against chrono.

use super::time_pattern::{Pattern, PatternError};
use crate::config::TimeFormat;
use crate::engine::event::Value;
use crate::time::EventTime;
use crate::time::civil::{RANGE, Why, iso, plain_iso};

/// Reads times of one format.
#[derive(Debug)]
pub(super) enum TimeReader {
    Auto,
    Epoch,
    EpochMillis,
    EpochMicros,
    EpochNanos,
    Pattern(Pattern),
    /// Nothing reads as this; a validated job has none.
    Invalid(PatternError),
}

impl TimeReader {
    pub(super) fn new(format: &TimeFormat) -> TimeReader {
        match format {
            TimeFormat::Auto => TimeReader::Auto,
            TimeFormat::Epoch => TimeReader::Epoch,
            TimeFormat::EpochMillis => TimeReader::EpochMillis,
            TimeFormat::EpochMicros => TimeReader::EpochMicros,
            TimeFormat::EpochNanos => TimeReader::EpochNanos,
            TimeFormat::Pattern(pattern) => match Pattern::new(pattern) {
                Ok(pattern) => TimeReader::Pattern(pattern),
                Err(error) => TimeReader::Invalid(error),
            },
        }
    }

    /// The instant that a number or a text is.
    #[inline]
    pub(super) fn read(&self, value: &Value<'_>) -> Result<EventTime, Why> {
        if let (TimeReader::Auto, Value::Text(text)) = (self, value)
            && let Some(ms) = plain_iso(text.as_bytes())
        {
            return in_range(ms);
        }
        let expected = match self {
            TimeReader::Auto => match (value, epoch::<1, 1>(value)) {
                (_, Some(ms)) => return in_range(ms),
                (Value::Text(text), None) => return in_range(iso(text.trim_ascii())?),
                _ => "is neither epoch milliseconds nor ISO 8601",
            },
            TimeReader::Epoch => match epoch::<1000, 1>(value) {
                Some(ms) => return in_range(ms),
                None => "is not a number of seconds since 1970; time_format is \"epoch\"",
            },
            TimeReader::EpochMillis => match epoch::<1, 1>(value) {
                Some(ms) => return in_range(ms),
                None => "is not a number of milliseconds since 1970; time_format is \"epoch_ms\"",
            },
            TimeReader::EpochMicros => match epoch::<1, 1000>(value) {
                Some(ms) => return in_range(ms),
                None => "is not a number of microseconds since 1970; time_format is \"epoch_us\"",
            },
            TimeReader::EpochNanos => match epoch::<1, 1_000_000>(value) {
                Some(ms) => return in_range(ms),
                None => "is not a number of nanoseconds since 1970; time_format is \"epoch_ns\"",
            },
            TimeReader::Pattern(pattern) => {
                let mut scratch = String::new();
                let text = value.text(&mut scratch).unwrap_or_default();
                return in_range(pattern.millis(text.trim_ascii())?);
            }
            TimeReader::Invalid(error) => return Err(format!("cannot be read: {error}").into()),
        };
        Err(expected.into())
    }
}

#[inline]
fn in_range(ms: i64) -> Result<EventTime, Why> {
    let time = EventTime(ms);
    if time < EventTime::MIN || time > EventTime::MAX {
        return Err(RANGE.into());
    }
    Ok(time)
}

/// Milliseconds of a count of units since the epoch, of which each has `MS` milliseconds, or `PER_MS` make one; `None` if it is no number. Beyond 64 bits
/// the nearest end of them, which is out of range all the same.
#[inline]
fn epoch<const MS: i64, const PER_MS: i64>(value: &Value<'_>) -> Option<i64> {
    let whole = |units: i64| units.saturating_mul(MS).div_euclid(PER_MS);
    // In the year 9999 a binary fraction lies up to 0.016 ms off its decimal; without the grace .123 might read as .122.
    let binary = |units: f64| (units * MS as f64 / PER_MS as f64 + 0.02).floor() as i64;
    match value {
        Value::Int(units) => Some(whole(*units)),
        Value::Float(units) => Some(binary(*units)),
        Value::Text(text) => {
            let text = text.trim_ascii();
            let numeric =
                |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
            if !text.as_bytes().iter().all(numeric) {
                return None;
            }
            match text.parse() {
                Ok(units) => Some(whole(units)),
                Err(_) => text.parse().ok().map(binary),
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_read_as_milliseconds_whatever_their_unit() {
        use TimeFormat::{Epoch, EpochMicros, EpochMillis, EpochNanos};
        for (format, text, ms) in [
            (Epoch, "1700000000.123", 1_700_000_000_123),
            (EpochMillis, "1700000000123", 1_700_000_000_123),
            (EpochMicros, "1700000000123456", 1_700_000_000_123),
            (EpochNanos, "1700000000123456789", 1_700_000_000_123),
            (EpochNanos, "1700000000123999999", 1_700_000_000_123),
            (EpochMicros, "-1", -1),
            (EpochNanos, "-1000000", -1),
        ] {
            assert_eq!(read(format.clone(), Value::Text(text.into())), Ok(ms));
            if let Ok(units) = text.parse() {
                assert_eq!(read(format, Value::Int(units)), Ok(ms));
            }
        }
        assert!(read(EpochMicros, Value::Text("now".into())).is_err());
    }

    fn read(format: TimeFormat, value: Value<'_>) -> Result<i64, Why> {
        TimeReader::new(&format).read(&value).map(EventTime::millis)
    }

    #[test]
    fn iso_texts_read_as_what_they_say() {
        for (text, ms) in [
            ("2024-02-29", 1_709_164_800_000),
            ("2024-02-29T12:30", 1_709_209_800_000),
            ("2024-02-29t12:30:59z", 1_709_209_859_000),
            (" 2024-02-29 12:30:59.1 ", 1_709_209_859_100),
            ("2024-02-29T12:30:59,123999999999Z", 1_709_209_859_123),
            ("2024-02-29T12:30:59+02:00", 1_709_202_659_000),
            ("2024-02-29T12:30:59.5-0330", 1_709_222_459_500),
            ("2024-02-29 12:30:59 +02", 1_709_202_659_000),
            ("2024-02-29 12:30:59 UTC", 1_709_209_859_000),
            ("1969-12-31T23:59:59.999Z", -1),
            ("0001-01-01T00:00:00Z", EventTime::MIN.0),
            ("9999-12-31T23:59:59.999Z", EventTime::MAX.0),
            ("2016-12-31T23:59:60.5Z", 1_483_228_799_999),
            ("2017-01-01T01:59:60+02:00", 1_483_228_799_999),
            ("1700000000123", 1_700_000_000_123),
        ] {
            assert_eq!(
                read(TimeFormat::Auto, Value::Text(text.into())),
                Ok(ms),
                "{text}"
            );
        }
    }

    #[test]
    fn what_no_calendar_has_is_refused() {
        for text in [
            "2023-02-29",
            "2024-13-01",
            "2024-00-01",
            "2024-01-00",
            "2024-01-32",
            "0000-01-01",
            "2024-01-01T24:00:00Z",
            "2024-01-01T12:60:00Z",
            "2024-01-01T12:30:60Z",
            "2024-01-01T12:30:61Z",
            "2024-01-01T12:30:00.Z",
            "2024-01-01T",
            "2024-01-01T12",
            "2024-01-01T12:30:00+25:00",
            "2024-01-01T12:30:00+01:60",
            "2024-01-01T12:30:00Zulu",
            "24-01-01",
            "2024/01/01",
            "２０２４-01-01",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "",
            "-",
            "now",
            "99999999999999999999",
            "1e300",
        ] {
            assert!(
                read(TimeFormat::Auto, Value::Text(text.into())).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn epochs_are_numbers_or_numeric_texts_and_are_cut_to_milliseconds() {
        for (value, ms) in [
            (Value::Int(1_700_000_000), 1_700_000_000_000),
            (Value::Float(1_700_000_000.123), 1_700_000_000_123),
            (Value::Float(1_700_000_000.999_9), 1_700_000_000_999),
            (Value::Float(-0.5), -500),
            (Value::Text("1700000000.123".into()), 1_700_000_000_123),
            (Value::Text("-5".into()), -5000),
        ] {
            assert_eq!(read(TimeFormat::Epoch, value.clone()), Ok(ms), "{value:?}");
        }
        for value in [
            Value::Int(i64::MAX),
            Value::Float(1e300),
            Value::Text("2024-01-01".into()),
            Value::Text("inf".into()),
            Value::Text("".into()),
        ] {
            assert!(read(TimeFormat::Epoch, value.clone()).is_err(), "{value:?}");
        }
        assert_eq!(
            read(
                TimeFormat::EpochMillis,
                Value::Text("1700000000123.9".into())
            ),
            Ok(1_700_000_000_123)
        );
    }
}
