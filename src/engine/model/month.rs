//! Days as people who bill, pay and report name them: the 15th, the last working day, the second Tuesday; and the same day a year before.
//!
//! Days are counted from 1970-01-01 and are those of UTC, as hours are. Working days are Monday to Friday; no holidays are known. A day before the end of the month is named
//! from there up to a week before it. Holds: every day has one name of each kind at the most, and every name one day of a month at the most.
//! Checked by: tests below.

use crate::time::civil;
use serde::{Deserialize, Serialize};
use std::fmt;

const WEEK: i64 = 7;
/// The first Monday since the epoch.
const MONDAY: i64 = 4;
const WORKDAYS: i64 = 5;
/// Days that are named from the end of the month.
const NAMED_FROM_END: u8 = 7;
/// Names of a day, at the most.
const NAMES: usize = 5;

/// A name of one day in a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MonthDay {
    /// The 1st is 1.
    Day(u8),
    /// The first working day is 1.
    Workday(u8),
    /// The last day is 1.
    FromEnd(u8),
    /// The last working day is 1.
    WorkdayFromEnd(u8),
    /// The first Monday is (1, 0).
    Weekday(u8, u8),
}

/// A day in its month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CivilDay {
    year: i64,
    month: i64,
    day: i64,
    length: i64,
    /// 0 is Monday.
    weekday: i64,
}

/// Working days among so many in a row, of which the first is this weekday.
fn workdays(first: i64, days: i64) -> i64 {
    let rest = (0..days % WEEK).filter(|day| (first + day) % WEEK < WORKDAYS);
    days / WEEK * WORKDAYS + rest.count() as i64
}

impl CivilDay {
    pub(super) fn of(day: i64) -> CivilDay {
        let (year, month, of_month) = civil::civil_from_days(day);
        CivilDay {
            year,
            month,
            day: of_month,
            length: civil::days_in(year, month),
            weekday: (day - MONDAY).rem_euclid(WEEK),
        }
    }

    /// Its names, the commonest first.
    pub(super) fn names(&self) -> impl Iterator<Item = MonthDay> {
        let from_end = (self.length - self.day + 1) as u8;
        let is_workday = self.weekday < WORKDAYS;
        let first = (self.weekday - self.day + 1).rem_euclid(WEEK);
        let work = workdays(first, self.day) as u8;
        let work_left = workdays(self.weekday, i64::from(from_end)) as u8;
        let nth = ((self.day - 1) / WEEK + 1) as u8;
        let names: [Option<MonthDay>; NAMES] = [
            Some(MonthDay::Day(self.day as u8)),
            (from_end <= NAMED_FROM_END).then_some(MonthDay::FromEnd(from_end)),
            is_workday.then_some(MonthDay::Workday(work)),
            is_workday.then_some(MonthDay::WorkdayFromEnd(work_left)),
            Some(MonthDay::Weekday(nth, self.weekday as u8)),
        ];
        names.into_iter().flatten()
    }

    pub(super) fn is(&self, name: MonthDay) -> bool {
        match name {
            MonthDay::Day(day) => i64::from(day) == self.day,
            MonthDay::FromEnd(day) => i64::from(day) == self.length - self.day + 1,
            _ => self.names().any(|own| own == name),
        }
    }

    /// How many months lie between the two.
    pub(super) fn months_since(&self, other: &CivilDay) -> i64 {
        12 * (self.year - other.year) + self.month - other.month
    }

    /// Whether the other is the same date of the year before.
    pub(super) fn is_a_year_after(&self, other: &CivilDay) -> bool {
        self.year == other.year + 1 && self.month == other.month && self.day == other.day
    }
}

/// "first", "21st".
fn ordinal(n: u8) -> String {
    match (n, n % 10, n / 10 == 1) {
        (1, ..) => "first".to_owned(),
        (2, ..) => "second".to_owned(),
        (3, ..) => "third".to_owned(),
        (_, 1, false) => format!("{n}st"),
        (_, 2, false) => format!("{n}nd"),
        (_, 3, false) => format!("{n}rd"),
        _ => format!("{n}th"),
    }
}

impl fmt::Display for MonthDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WEEKDAYS: [&str; 7] = [
            "Monday",
            "Tuesday",
            "Wednesday",
            "Thursday",
            "Friday",
            "Saturday",
            "Sunday",
        ];
        match *self {
            MonthDay::Day(day) => write!(f, "the {} day of the month", ordinal(day)),
            MonthDay::FromEnd(1) => f.write_str("the last day of the month"),
            MonthDay::FromEnd(day) => write!(f, "the {} last day of the month", ordinal(day)),
            MonthDay::Workday(day) => write!(f, "the {} working day of the month", ordinal(day)),
            MonthDay::WorkdayFromEnd(1) => f.write_str("the last working day of the month"),
            MonthDay::WorkdayFromEnd(day) => {
                write!(f, "the {} last working day of the month", ordinal(day))
            }
            MonthDay::Weekday(nth, day) => {
                let day = WEEKDAYS[usize::from(day) % WEEKDAYS.len()];
                write!(f, "the {} {day} of the month", ordinal(nth))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(year: i64, month: i64, day: i64) -> Vec<String> {
        let day = CivilDay::of(civil::days_from_civil(year, month, day));
        day.names().map(|name| name.to_string()).collect()
    }

    #[test]
    fn a_day_has_the_names_that_a_wall_calendar_gives_it() {
        assert_eq!(
            names(2024, 2, 29), // a Thursday
            [
                "the 29th day of the month",
                "the last day of the month",
                "the 21st working day of the month",
                "the last working day of the month",
                "the 5th Thursday of the month"
            ]
        );
        assert_eq!(
            names(2024, 6, 1), // a Saturday
            [
                "the first day of the month",
                "the first Saturday of the month"
            ]
        );
        assert_eq!(
            names(2024, 6, 28)[1..4], // a Friday before a weekend
            [
                "the third last day of the month",
                "the 20th working day of the month",
                "the last working day of the month"
            ]
        );
    }

    #[test]
    fn every_name_is_of_one_day_of_a_month_and_every_day_is_what_it_is_named() {
        let first = civil::days_from_civil(2023, 1, 1);
        let days: Vec<CivilDay> = (first..first + 1500).map(CivilDay::of).collect();
        for (at, day) in days.iter().enumerate() {
            for name in day.names() {
                assert!(day.is(name), "{day:?} {name:?}");
                let again = days[at + 1..].iter().take(31).find(|other| other.is(name));
                assert!(again.is_none_or(|other| other.months_since(day) >= 1));
            }
        }
    }
}
