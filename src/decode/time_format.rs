//! The value of a time field → an instant.
//!
//! Epochs are numbers or numeric text; ISO 8601 is read by hand, other texts by a compiled [`Pattern`]. Whatever is finer than a
//! millisecond is cut off, never rounded up. Without a zone a text is UTC. Years 1 to 9999. A leap second (`23:59:60` in UTC,
//! hence any minute `:59` elsewhere) is the last millisecond of its minute, since no calendar here has a place for it.
//! Source: ISO 8601 and RFC 3339; the day count is Howard Hinnant's `days_from_civil`. Checked: tests/decode.rs against chrono.

use super::time_pattern::{Pattern, PatternError};
use crate::config::TimeFormat;
use crate::engine::event::Value;
use crate::time::EventTime;
use std::borrow::Cow;

/// Why a value is not a time: the end of a sentence that begins with the value.
pub(super) type Why = Cow<'static, str>;

const RANGE: &str = "lies outside the years 1 to 9999";

/// Reads times of one format.
#[derive(Debug)]
pub(super) enum TimeReader {
    Auto,
    Epoch,
    EpochMillis,
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
            TimeFormat::Pattern(pattern) => match Pattern::new(pattern) {
                Ok(pattern) => TimeReader::Pattern(pattern),
                Err(error) => TimeReader::Invalid(error),
            },
        }
    }

    /// The instant that a number or a text is.
    #[inline]
    pub(super) fn read(&self, value: &Value<'_>) -> Result<EventTime, Why> {
        let expected = match self {
            TimeReader::Auto => match (value, epoch(value, 1)) {
                (_, Some(ms)) => return in_range(ms),
                (Value::Text(text), None) => return in_range(iso(text.trim_ascii())?),
                _ => "is neither epoch milliseconds nor ISO 8601",
            },
            TimeReader::Epoch => match epoch(value, 1000) {
                Some(ms) => return in_range(ms),
                None => "is not a number of seconds since 1970; time_format is \"epoch\"",
            },
            TimeReader::EpochMillis => match epoch(value, 1) {
                Some(ms) => return in_range(ms),
                None => "is not a number of milliseconds since 1970; time_format is \"epoch_ms\"",
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

/// Milliseconds of a count of units since the epoch, `None` if it is no number. Beyond 64 bits the nearest end of them, which is out
/// of range all the same.
#[inline]
fn epoch(value: &Value<'_>, unit_ms: i64) -> Option<i64> {
    let whole = |units: i64| units.saturating_mul(unit_ms);
    // In the year 9999 a binary fraction lies up to 0.016 ms off its decimal; without the grace .123 might read as .122.
    let binary = |units: f64| (units * unit_ms as f64 + 0.02).floor() as i64;
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

/// The parts of a calendar time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    pub(super) milli: i64,
    /// Ahead of UTC, seconds.
    pub(super) offset_seconds: i64,
}

impl Civil {
    /// Milliseconds since the epoch, or which part is impossible.
    #[inline]
    pub(super) fn millis(&self) -> Result<i64, Why> {
        let leap = self.second == 60 && self.minute == 59;
        let impossible = match self {
            Civil { year, .. } if !(1..=9999).contains(year) => RANGE,
            Civil { month, .. } if !(1..=12).contains(month) => "has a month that is not 01 to 12",
            Civil { day, .. } if !(1..=days_in(self.year, self.month)).contains(day) => {
                "has a day that its month lacks"
            }
            Civil { hour, .. } if !(0..24).contains(hour) => "has an hour that is not 00 to 23",
            Civil { minute, .. } if !(0..60).contains(minute) => {
                "has a minute that is not 00 to 59"
            }
            Civil { second, .. } if !(0..60).contains(second) && !leap => {
                "has a second that is not 00 to 59"
            }
            Civil { offset_seconds, .. } if offset_seconds.abs() > 18 * 3600 => {
                "has an offset of more than 18 hours"
            }
            _ => {
                let (second, milli) = if leap {
                    (59, 999)
                } else {
                    (self.second, self.milli)
                };
                let days = days_from_civil(self.year, self.month, self.day);
                let seconds = days * 86_400 + self.hour * 3600 + self.minute * 60 + second
                    - self.offset_seconds;
                return Ok(seconds * 1000 + milli);
            }
        };
        Err(impossible.into())
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar: years begin in March, so that the leap day is a year's last, and an era
/// of 400 years always has 146,097 days.
#[inline]
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// ISO 8601 in its extended form: `2024-01-31`, then optionally `T` or a blank and `12:30`, `:59`, `.123456789`, and a zone.
fn iso(text: &str) -> Result<i64, Why> {
    const NOT_ISO: &str = "is neither epoch milliseconds nor ISO 8601 (2024-01-31T12:30:59.123Z); for another form set data_description.time_format";
    iso_civil(text.as_bytes())
        .ok_or(Cow::Borrowed(NOT_ISO))?
        .millis()
}

#[inline]
fn iso_civil(text: &[u8]) -> Option<Civil> {
    let (date, rest) = text.split_first_chunk::<10>()?;
    if date[4] != b'-' || date[7] != b'-' {
        return None;
    }
    let mut civil = Civil {
        year: two(date[0], date[1])? * 100 + two(date[2], date[3])?,
        month: two(date[5], date[6])?,
        day: two(date[8], date[9])?,
        hour: 0,
        minute: 0,
        second: 0,
        milli: 0,
        offset_seconds: 0,
    };
    let Some((b'T' | b't' | b' ', rest)) = rest.split_first() else {
        return rest.is_empty().then_some(civil);
    };
    let (time, mut rest) = rest.split_first_chunk::<5>()?;
    if time[2] != b':' {
        return None;
    }
    civil.hour = two(time[0], time[1])?;
    civil.minute = two(time[3], time[4])?;
    if let [b':', tens, units, after @ ..] = rest {
        civil.second = two(*tens, *units)?;
        (civil.milli, rest) = fraction(after)?;
    }
    civil.offset_seconds = match rest {
        [] | [b'Z' | b'z'] => 0,
        [b' ', zone @ ..] | zone => zone_seconds(zone)?,
    };
    Some(civil)
}

/// Milliseconds of `.123456` (or with a comma), cut off after the third digit; 0 if there is none.
#[inline]
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.' | b',', digits @ ..] = text else {
        return Some((0, text));
    };
    let count = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if count == 0 {
        return None;
    }
    let (digits, rest) = digits.split_at(count);
    Some((millis_of(digits), rest))
}

/// The first three decimals, as milliseconds.
pub(super) fn millis_of(decimals: &[u8]) -> i64 {
    let digit = |at: usize| decimals.get(at).map_or(0, |byte| i64::from(byte - b'0'));
    digit(0) * 100 + digit(1) * 10 + digit(2)
}

#[inline]
fn two(tens: u8, units: u8) -> Option<i64> {
    let (tens, units) = (tens.wrapping_sub(b'0'), units.wrapping_sub(b'0'));
    (tens < 10 && units < 10).then_some(i64::from(tens) * 10 + i64::from(units))
}

/// Seconds ahead of UTC: `Z`, `UTC`, `GMT`, `UT`, or `±hh`, `±hhmm`, `±hh:mm`, `±hh:mm:ss`, also after one of those names.
pub(super) fn zone_seconds(zone: &[u8]) -> Option<i64> {
    let (offset, rest) = zone_prefix(zone)?;
    rest.is_empty().then_some(offset)
}

/// The zone that `text` begins with, in seconds ahead of UTC, and what follows it.
pub(super) fn zone_prefix(text: &[u8]) -> Option<(i64, &[u8])> {
    let names = [&b"UTC"[..], b"GMT", b"UT", b"Z"];
    let named = names.iter().find(|name| {
        text.get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name))
    });
    let after = &text[named.map_or(0, |name| name.len())..];
    match offset_prefix(after) {
        None if named.is_some() => Some((0, after)),
        offset => offset,
    }
}

fn offset_prefix(text: &[u8]) -> Option<(i64, &[u8])> {
    let (sign, rest) = text.split_first()?;
    let sign = match sign {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let ([tens, units], mut rest) = rest.split_first_chunk()?;
    let mut seconds = two(*tens, *units)? * 3600;
    let colons = rest.first() == Some(&b':');
    for unit in [60, 1] {
        let part = if colons {
            rest.strip_prefix(b":")
        } else {
            Some(rest)
        };
        let Some(([tens, units], after)) = part.and_then(|part| part.split_first_chunk()) else {
            break;
        };
        let Some(part) = two(*tens, *units) else {
            break;
        };
        if part > 59 {
            return None;
        }
        (seconds, rest) = (seconds + part * unit, after);
    }
    Some((sign * seconds, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

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
