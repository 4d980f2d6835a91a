//! Calendar times and their texts: ISO 8601 by hand, days since the epoch, and back.
//!
//! Proleptic Gregorian, UTC without a zone, milliseconds; what is finer is cut off. Years 1 to 9999. A leap second (`23:59:60`) is the last
//! millisecond of its minute. Source: ISO 8601 and RFC 3339; the day counts are Howard Hinnant's `days_from_civil` and
//! `civil_from_days`. Checked: tests/decode.rs against chrono, and below.

use std::borrow::Cow;

/// Why a value is not a time: the end of a sentence that begins with the value.
pub(crate) type Why = Cow<'static, str>;

pub(crate) const RANGE: &str = "lies outside the years 1 to 9999";

/// The parts of a calendar time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
    pub(crate) milli: i64,
    /// Ahead of UTC, seconds.
    pub(crate) offset_seconds: i64,
}

impl Civil {
    /// Milliseconds since the epoch, or which part is impossible.
    #[inline]
    pub(crate) fn millis(&self) -> Result<i64, Why> {
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

pub(crate) fn days_in(year: i64, month: i64) -> i64 {
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
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// ISO 8601 in its extended form: `2024-01-31`, then optionally `T` or a blank and `12:30`, `:59`, `.123456789`, and a zone.
pub(crate) fn iso(text: &str) -> Result<i64, Why> {
    const NOT_ISO: &str = "is neither epoch milliseconds nor ISO 8601 (2024-01-31T12:30:59.123Z); for another form set data_description.time_format";
    iso_civil(text.as_bytes())
        .ok_or(Cow::Borrowed(NOT_ISO))?
        .millis()
}

/// The same of the form that most events have, `2024-01-31T12:30:59Z` or with `.123`: no number looks like it. `None` of any other form, and of what no
/// calendar has.
#[inline]
pub(crate) fn plain_iso(text: &[u8]) -> Option<i64> {
    let (head, tail) = text.split_first_chunk::<19>()?;
    let milli = match tail {
        [b'Z'] => [b'0'; 4],
        [b'.', a, b, c, b'Z'] => [b'0', *a, *b, *c],
        _ => return None,
    };
    let is_laid_out = (head[4], head[7], head[10]) == (b'-', b'-', b'T');
    if !is_laid_out || (head[13], head[16]) != (b':', b':') {
        return None;
    }
    let mut most = 0;
    let mut two = |tens: u8, units: u8| {
        let (tens, units) = (tens.wrapping_sub(b'0'), units.wrapping_sub(b'0'));
        most = tens.max(units).max(most);
        i64::from(tens) * 10 + i64::from(units)
    };
    let civil = Civil {
        year: two(head[0], head[1]) * 100 + two(head[2], head[3]),
        month: two(head[5], head[6]),
        day: two(head[8], head[9]),
        hour: two(head[11], head[12]),
        minute: two(head[14], head[15]),
        second: two(head[17], head[18]),
        milli: two(milli[0], milli[1]) * 100 + two(milli[2], milli[3]),
        offset_seconds: 0,
    };
    match most {
        0..10 => civil.millis().ok(),
        _ => None,
    }
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
pub(crate) fn millis_of(decimals: &[u8]) -> i64 {
    let digit = |at: usize| decimals.get(at).map_or(0, |byte| i64::from(byte - b'0'));
    digit(0) * 100 + digit(1) * 10 + digit(2)
}

#[inline]
fn two(tens: u8, units: u8) -> Option<i64> {
    let (tens, units) = (tens.wrapping_sub(b'0'), units.wrapping_sub(b'0'));
    (tens < 10 && units < 10).then_some(i64::from(tens) * 10 + i64::from(units))
}

/// Seconds ahead of UTC: `Z`, `UTC`, `GMT`, `UT`, or `±hh`, `±hhmm`, `±hh:mm`, `±hh:mm:ss`, also after one of those names.
pub(crate) fn zone_seconds(zone: &[u8]) -> Option<i64> {
    let (offset, rest) = zone_prefix(zone)?;
    rest.is_empty().then_some(offset)
}

/// The zone that `text` begins with, in seconds ahead of UTC, and what follows it.
pub(crate) fn zone_prefix(text: &[u8]) -> Option<(i64, &[u8])> {
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
/// Year, month and day of a day counted from 1970-01-01: the inverse of [`days_from_civil`].
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (month, day) = (
        (shifted + 2) % 12 + 1,
        day_of_year - (153 * shifted + 2) / 5 + 1,
    );
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Milliseconds since the epoch as `2024-01-31T12:30:59.123`; of the years 1 to 9999.
pub(crate) fn text(ms: i64) -> [u8; 23] {
    let (days, of_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let (year, month, day) = civil_from_days(days);
    let mut text = *b"0000-00-00T00:00:00.000";
    let mut put = |at: std::ops::Range<usize>, number: i64| {
        let mut left = number;
        for digit in text[at].iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
        }
    };
    put(0..4, year);
    put(5..7, month);
    put(8..10, day);
    put(11..13, of_day / 3_600_000);
    put(14..16, of_day / 60_000 % 60);
    put(17..19, of_day / 1000 % 60);
    put(20..23, of_day % 1000);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_they_are_read() {
        let ends = [
            -62_135_596_800_000,
            -1,
            0,
            999,
            951_782_400_000,
            253_402_300_799_999,
        ];
        let many = (0..20_000).map(|n: i64| -62_135_596_800_000 + n * 15_776_896_123);
        for ms in ends.into_iter().chain(many) {
            let text = text(ms);
            let time = chrono::DateTime::from_timestamp_millis(ms).expect("a time");
            let wanted = time.format("%Y-%m-%dT%H:%M:%S%.3f").to_string();
            assert_eq!(std::str::from_utf8(&text), Ok(&*wanted));
        }
    }

    #[test]
    fn the_usual_form_reads_as_any_other_does() {
        let texts = [
            "2024-02-29T12:30:59.123Z",
            "2024-02-29T23:59:59Z",
            "2016-12-31T23:59:60.500Z",
            "0001-01-01T00:00:00.000Z",
            "9999-12-31T23:59:59.999Z",
        ];
        for text in texts {
            assert_eq!(plain_iso(text.as_bytes()), iso(text).ok(), "{text}");
            for at in 0..text.len() {
                for byte in b'!'..=b'~' {
                    let mut other = text.as_bytes().to_vec();
                    other[at] = byte;
                    let other = str::from_utf8(&other).expect("ASCII");
                    if let Some(ms) = plain_iso(other.as_bytes()) {
                        assert_eq!(iso(other), Ok(ms), "{other}");
                        assert!(other.parse::<f64>().is_err(), "{other}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_day_counted_and_named_again_is_the_same_day() {
        for days in (-719_162..2_932_896).step_by(97) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
            assert!((1..=days_in(year, month)).contains(&day), "{days}");
        }
        assert_eq!(civil_from_days(19_782), (2024, 2, 29));
    }
}
