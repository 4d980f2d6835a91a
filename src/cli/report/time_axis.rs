//! An axis of time: where an instant lies, and which round ones are worth a label. Times are UTC.
//!
//! Positions are per cent of a chart's width, from the left, so that a chart may have any size.

use chrono::{DateTime, Datelike, NaiveDate, Utc};

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A span of time, `from_ms` up to `to_ms`, laid out from left to right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TimeAxis {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
}

/// A labelled place on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) percent: f64,
    pub(super) label: String,
    /// Where there is little room, every second label can go: those that say least.
    pub(super) is_minor: bool,
}

/// How far apart labels of time may stand.
#[derive(Clone, Copy)]
enum Step {
    Millis(i64),
    Months(i32),
}

const STEPS: [Step; 26] = [
    Step::Millis(SECOND_MS),
    Step::Millis(5 * SECOND_MS),
    Step::Millis(15 * SECOND_MS),
    Step::Millis(30 * SECOND_MS),
    Step::Millis(MINUTE_MS),
    Step::Millis(5 * MINUTE_MS),
    Step::Millis(15 * MINUTE_MS),
    Step::Millis(30 * MINUTE_MS),
    Step::Millis(HOUR_MS),
    Step::Millis(2 * HOUR_MS),
    Step::Millis(3 * HOUR_MS),
    Step::Millis(6 * HOUR_MS),
    Step::Millis(12 * HOUR_MS),
    Step::Millis(DAY_MS),
    Step::Millis(2 * DAY_MS),
    Step::Millis(7 * DAY_MS),
    Step::Millis(14 * DAY_MS),
    Step::Months(1),
    Step::Months(2),
    Step::Months(3),
    Step::Months(6),
    Step::Months(12),
    Step::Months(24),
    Step::Months(60),
    Step::Months(120),
    Step::Months(1200),
];

impl Step {
    fn millis(self) -> i64 {
        match self {
            Step::Millis(ms) => ms,
            Step::Months(months) => i64::from(months) * 30 * DAY_MS,
        }
    }

    fn label(self, ms: i64) -> String {
        let Some(time) = DateTime::<Utc>::from_timestamp_millis(ms) else {
            return String::new();
        };
        let is_midnight = ms.rem_euclid(DAY_MS) == 0;
        let form = match self {
            Step::Months(months) if months >= 12 || time.month() == 1 => "%Y",
            Step::Months(_) => "%b",
            Step::Millis(_) if is_midnight && time.ordinal() == 1 => "%Y",
            Step::Millis(_) if is_midnight => "%-d %b",
            Step::Millis(ms) if ms < MINUTE_MS => "%H:%M:%S",
            Step::Millis(_) => "%H:%M",
        };
        time.format(form).to_string()
    }
}

impl TimeAxis {
    /// An axis of some length, whatever it is told.
    pub(super) fn new(from_ms: i64, to_ms: i64) -> TimeAxis {
        TimeAxis {
            from_ms,
            to_ms: to_ms.max(from_ms.saturating_add(1)),
        }
    }

    fn length_ms(self) -> f64 {
        self.to_ms as f64 - self.from_ms as f64
    }

    /// Where an instant lies.
    pub(super) fn percent(self, ms: i64) -> f64 {
        100.0 * (ms as f64 - self.from_ms as f64) / self.length_ms()
    }

    /// Which of `columns` equal columns an instant lies in.
    pub(super) fn column(self, ms: i64, columns: usize) -> usize {
        let at = self.percent(ms) / 100.0 * columns as f64;
        // The cast saturates, and half a millisecond makes up for what the division lost.
        ((at + 0.5 / self.length_ms()) as usize).min(columns - 1)
    }

    /// At most `most` labels at round instants.
    pub(super) fn ticks(self, most: usize) -> Vec<Tick> {
        let apart = self.length_ms() / most.max(1) as f64;
        let step = STEPS.iter().find(|step| step.millis() as f64 >= apart);
        let step = *step.unwrap_or(&Step::Months(24_000));
        let mut ticks = Vec::new();
        let mut at = step.first_from(self.from_ms);
        while let Some(ms) = at.filter(|ms| *ms <= self.to_ms) {
            ticks.push(Tick {
                percent: self.percent(ms),
                label: step.label(ms),
                is_minor: step.is_odd(ms),
            });
            at = step.next(ms);
        }
        ticks
    }
}

impl Step {
    fn first_from(self, ms: i64) -> Option<i64> {
        match self {
            Step::Millis(step) => {
                // Weeks are counted from a Monday.
                let origin = if step % (7 * DAY_MS) == 0 {
                    4 * DAY_MS
                } else {
                    0
                };
                Some(ms + (origin - ms).rem_euclid(step))
            }
            Step::Months(_) => {
                let time = DateTime::<Utc>::from_timestamp_millis(ms)?;
                let first = self.month(time.year(), time.month0() as i32)?;
                if first >= ms {
                    Some(first)
                } else {
                    self.next(first)
                }
            }
        }
    }

    fn next(self, ms: i64) -> Option<i64> {
        match self {
            Step::Millis(step) => ms.checked_add(step),
            Step::Months(months) => {
                let time = DateTime::<Utc>::from_timestamp_millis(ms)?;
                self.month(time.year(), time.month0() as i32 + months)
            }
        }
    }

    /// Whether the instant is no start of a step of twice the length.
    fn is_odd(self, ms: i64) -> bool {
        match self {
            Step::Millis(step) => Step::Millis(2 * step).first_from(ms) != Some(ms),
            Step::Months(months) => Step::Months(2 * months).first_from(ms) != Some(ms),
        }
    }

    /// The start of the step that the month lies in.
    fn month(self, year: i32, month0: i32) -> Option<i64> {
        let Step::Months(step) = self else {
            return None;
        };
        let months = (year * 12 + month0).div_euclid(step) * step;
        let day = NaiveDate::from_ymd_opt(
            months.div_euclid(12),
            months.rem_euclid(12).unsigned_abs() + 1,
            1,
        )?;
        Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text)
            .unwrap()
            .timestamp_millis()
    }

    fn labels(from: &str, to: &str, most: usize) -> String {
        let axis = TimeAxis::new(ms(from), ms(to));
        let ticks = axis.ticks(most);
        let labels: Vec<String> = ticks.into_iter().map(|tick| tick.label).collect();
        labels.join(" ")
    }

    #[test]
    fn labels_of_time_are_round_and_say_what_changes() {
        for (from, to, expected) in [
            (
                "2026-03-01T10:00:00Z",
                "2026-03-01T10:01:00Z",
                "10:00:00 10:00:15 10:00:30 10:00:45 10:01:00",
            ),
            (
                "2026-03-01T20:10:00Z",
                "2026-03-02T02:00:00Z",
                "22:00 2 Mar 02:00",
            ),
            (
                "2026-02-27T00:00:00Z",
                "2026-03-05T00:00:00Z",
                "28 Feb 2 Mar 4 Mar",
            ),
            (
                "2025-11-20T00:00:00Z",
                "2026-03-05T00:00:00Z",
                "Dec 2026 Feb Mar",
            ),
            (
                "2020-06-01T00:00:00Z",
                "2026-03-05T00:00:00Z",
                "2022 2024 2026",
            ),
        ] {
            assert_eq!(labels(from, to, 5), expected, "{from} to {to}");
        }
    }

    #[test]
    fn where_there_is_little_room_the_days_stay() {
        let axis = TimeAxis::new(ms("2026-03-01T00:00:00Z"), ms("2026-03-03T00:00:00Z"));
        let ticks = axis.ticks(5).into_iter().filter(|tick| !tick.is_minor);
        let labels: Vec<String> = ticks.map(|tick| tick.label).collect();
        assert_eq!(labels, ["1 Mar", "2 Mar", "3 Mar"]);
    }

    #[test]
    fn no_span_has_more_labels_than_asked_for_and_none_that_is_not_on_the_axis() {
        let mut length = 1.0;
        while length < 2.5e14 {
            for from in [0, -62_135_596_800_000, ms("2026-03-01T10:07:03Z")] {
                let axis = TimeAxis::new(from, from + length as i64);
                let ticks = axis.ticks(6);
                assert!(ticks.len() <= 7, "{length} {ticks:?}");
                assert!(
                    ticks
                        .iter()
                        .all(|tick| (0.0..=100.0).contains(&tick.percent))
                );
            }
            length *= 1.7;
        }
    }

    #[test]
    fn a_columns_bucket_lies_in_it_however_many_there_are() {
        let axis = TimeAxis::new(1_000, 1_000 + 300_000 * 97);
        for bucket in 0..97 {
            let start = 1_000 + 300_000 * bucket;
            assert_eq!(axis.column(start, 97), bucket as usize);
        }
        assert_eq!(axis.column(i64::MAX, 97), 96);
    }
}
