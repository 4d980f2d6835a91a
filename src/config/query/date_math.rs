//! Instants in queries: `2024-01-31`, `2024-01-31T12:00:00Z||+1M/d`, `now-1h/h`.
//!
//! `now` is the time of the event that is looked at, not that of a clock: a replay selects what the first run did. UTC unless the
//! range's `time_zone` says otherwise. Rounding goes to the first millisecond of the unit, or to its last one (upper ends that
//! include, lower ends that exclude; so `lte: 2024-01-31` takes in the whole day), as Elastic's does. Checked: below.

use crate::time::EventTime;
use crate::time::civil;
use serde::Serialize;

const SECOND_MS: i64 = 1000;
const DAY_MS: i64 = 86_400_000;

/// An instant, possibly told from the event's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DateMath {
    /// Milliseconds since 1970; `None`: the event's.
    anchor_ms: Option<i64>,
    steps: Vec<Step>,
    /// Of the zone in which is rounded, ahead of UTC.
    offset_ms: i64,
}

/// To which end of a unit is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Round {
    /// Its first millisecond.
    Down,
    /// Its last.
    Up,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Step {
    Add(i64, Unit),
    Round(Unit, Round),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Unit {
    Years,
    Months,
    Weeks,
    Days,
    Hours,
    Minutes,
    Seconds,
}

impl DateMath {
    /// What `text` says; `None` if it is no instant at all. The error is the end of a sentence that begins with the text.
    pub(crate) fn parse(
        text: &str,
        round: Round,
        offset_ms: i64,
    ) -> Option<Result<DateMath, String>> {
        let (anchor, math) = match text.strip_prefix("now") {
            Some(math) if math.is_empty() || math.starts_with(['+', '-', '/']) => (None, math),
            _ => {
                let (date, math) = text.split_once("||").unwrap_or((text, ""));
                let year = date.as_bytes().first_chunk::<5>();
                let is_date = date.len() >= 10
                    && year.is_some_and(|[y @ .., dash]| {
                        y.iter().all(u8::is_ascii_digit) && *dash == b'-'
                    });
                if !is_date {
                    return None;
                }
                (Some(date), math)
            }
        };
        let mut steps = Vec::new();
        let anchor_ms = match anchor.map(|date| (date, civil::iso(date))) {
            None => None,
            Some((_, Err(_))) => {
                return Some(Err(
                    "is not a date; expected 2024-01-31 or 2024-01-31T12:30:59Z, then optionally ||+1d/d"
                        .to_owned(),
                ));
            }
            Some((date, Ok(ms))) => {
                let has_zone = date.len() > 10
                    && (date.ends_with(['Z', 'z', 'C', 'T']) || date[11..].contains(['+', '-']));
                // A date that stands alone is a whole day.
                if date.len() == 10 && math.is_empty() {
                    steps.push(Step::Round(Unit::Days, round));
                }
                Some(if has_zone { ms } else { ms - offset_ms })
            }
        };
        Some(read_steps(math, round, &mut steps).map(|()| DateMath {
            anchor_ms,
            steps,
            offset_ms,
        }))
    }

    /// Whether it is the same for every event.
    pub fn is_fixed(&self) -> bool {
        self.anchor_ms.is_some()
    }

    /// Which instant it is, seen from an event.
    pub fn at(&self, event: EventTime) -> EventTime {
        let anchor = self.anchor_ms.unwrap_or(event.0);
        let local = self
            .steps
            .iter()
            .fold(anchor.saturating_add(self.offset_ms), |ms, step| {
                step.take(ms)
            });
        let ms = local.saturating_sub(self.offset_ms);
        EventTime(ms.clamp(EventTime::MIN.0, EventTime::MAX.0))
    }
}

fn read_steps(math: &str, round: Round, steps: &mut Vec<Step>) -> Result<(), String> {
    let wrong = || {
        format!(
            "has {:?} where +1d, -2h or /M is expected (units y, M, w, d, h, m, s)",
            math.chars().take(20).collect::<String>()
        )
    };
    let mut rest = math;
    while let Some(sign) = rest.chars().next() {
        rest = &rest[1..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: i64 = match &rest[..digits] {
            "" => 1,
            digits if digits.len() <= 9 => digits.parse().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        };
        let unit = match rest[digits..].chars().next() {
            Some('y') => Unit::Years,
            Some('M') => Unit::Months,
            Some('w') => Unit::Weeks,
            Some('d') => Unit::Days,
            Some('h' | 'H') => Unit::Hours,
            Some('m') => Unit::Minutes,
            Some('s') => Unit::Seconds,
            _ => return Err(wrong()),
        };
        rest = &rest[digits + 1..];
        steps.push(match sign {
            '+' => Step::Add(number, unit),
            '-' => Step::Add(-number, unit),
            '/' if digits == 0 => Step::Round(unit, round),
            _ => return Err(wrong()),
        });
        if steps.len() > 100 {
            return Err(wrong());
        }
    }
    Ok(())
}

impl Step {
    fn take(self, ms: i64) -> i64 {
        match self {
            Step::Add(number, unit) => unit.after(ms, number),
            Step::Round(unit, Round::Down) => unit.first_ms(ms),
            Step::Round(unit, Round::Up) => unit.after(unit.first_ms(ms), 1) - 1,
        }
    }
}

impl Unit {
    /// Its length, where it has one.
    fn length_ms(self) -> Option<i64> {
        Some(match self {
            Unit::Years | Unit::Months => return None,
            Unit::Weeks => 7 * DAY_MS,
            Unit::Days => DAY_MS,
            Unit::Hours => 3600 * SECOND_MS,
            Unit::Minutes => 60 * SECOND_MS,
            Unit::Seconds => SECOND_MS,
        })
    }

    /// So many units later. Of a month that lacks the day, the last one.
    fn after(self, ms: i64, number: i64) -> i64 {
        if let Some(length) = self.length_ms() {
            return ms.saturating_add(number.saturating_mul(length));
        }
        let months = if self == Unit::Years { 12 } else { 1 };
        let (year, month, day) = civil::civil_from_days(within(ms).div_euclid(DAY_MS));
        let month = (year * 12 + month - 1)
            .saturating_add(number.saturating_mul(months))
            .clamp(12, 120_000);
        let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
        let day = day.min(civil::days_in(year, month));
        civil::days_from_civil(year, month, day) * DAY_MS + ms.rem_euclid(DAY_MS)
    }

    /// The first millisecond of the unit in which `ms` lies; weeks begin on Monday.
    fn first_ms(self, ms: i64) -> i64 {
        let ms = within(ms);
        let (year, month, _) = civil::civil_from_days(ms.div_euclid(DAY_MS));
        match self {
            Unit::Years => civil::days_from_civil(year, 1, 1) * DAY_MS,
            Unit::Months => civil::days_from_civil(year, month, 1) * DAY_MS,
            // 1970-01-01 was a Thursday.
            Unit::Weeks => ms - (ms + 3 * DAY_MS).rem_euclid(7 * DAY_MS),
            unit => ms - ms.rem_euclid(unit.length_ms().unwrap_or(1)),
        }
    }
}

fn within(ms: i64) -> i64 {
    ms.clamp(EventTime::MIN.0, EventTime::MAX.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, round: Round) -> String {
        let now = EventTime(civil::iso("2024-02-29T13:45:10.500Z").unwrap());
        DateMath::parse(text, round, 0)
            .expect("an instant")
            .map_or_else(|why| why, |math| math.at(now).to_string())
    }

    #[test]
    fn instants_are_what_they_say() {
        for (text, down, up) in [
            (
                "now",
                "2024-02-29T13:45:10.500Z",
                "2024-02-29T13:45:10.500Z",
            ),
            (
                "now-1h",
                "2024-02-29T12:45:10.500Z",
                "2024-02-29T12:45:10.500Z",
            ),
            ("now/d", "2024-02-29T00:00:00Z", "2024-02-29T23:59:59.999Z"),
            ("now/w", "2024-02-26T00:00:00Z", "2024-03-03T23:59:59.999Z"),
            (
                "now-1y/M",
                "2023-02-01T00:00:00Z",
                "2023-02-28T23:59:59.999Z",
            ),
            (
                "2024-01-31||+1M",
                "2024-02-29T00:00:00Z",
                "2024-02-29T00:00:00Z",
            ),
            (
                "2024-01-31",
                "2024-01-31T00:00:00Z",
                "2024-01-31T23:59:59.999Z",
            ),
            (
                "2024-01-31T12:30:00+02:00",
                "2024-01-31T10:30:00Z",
                "2024-01-31T10:30:00Z",
            ),
        ] {
            let found = (shown(text, Round::Down), shown(text, Round::Up));
            assert_eq!(found, (down.into(), up.into()), "{text}");
        }
        let end = DateMath::parse("now+999999999y/y", Round::Up, 0)
            .unwrap()
            .unwrap();
        assert_eq!(end.at(EventTime(0)), EventTime::MAX, "and no further");
        let berlin = DateMath::parse("2024-01-31", Round::Down, 3_600_000);
        let at = berlin.unwrap().unwrap().at(EventTime(0)).to_string();
        assert_eq!(at, "2024-01-30T23:00:00Z");
    }

    #[test]
    fn what_is_no_instant_is_told_apart_from_a_broken_one() {
        for text in ["", "nowhere", "web-01", "2024", "10.0.0.1"] {
            assert_eq!(DateMath::parse(text, Round::Down, 0), None, "{text}");
        }
        for text in ["2024-13-45", "now-1x", "now/", "now/2d", "2024-01-31||x"] {
            let read = DateMath::parse(text, Round::Down, 0);
            assert!(matches!(read, Some(Err(_))), "{text}");
        }
    }
}
