//! The time at the beginning of a log's line, in the forms that programs write.
//!
//! Which form a log has is found out from its first lines and holds for all of it. Without a zone a time is UTC. Without a year it is of the last twelve
//! months before the log was last written to, and goes on from there through New Year's nights. Sources: RFC 3164 and RFC 5424 (syslog), Apache's
//! `%t`, the defaults of log4j, logback, java.util.logging, Python, glog, squid, and what else the corpora of Loghub show.

use super::forms::{self, Parts};
use crate::time::civil::Civil;
use std::ops::Range;

/// How far from a line's beginning its time may begin, bytes: behind a bracket or a syslog priority, if most lines have it there...
pub(super) const OFFSET_USUAL: usize = 8;
/// ... else behind an address and a user.
const OFFSET_MAX: usize = 96;
/// The longest time, bytes.
const TIME_BYTES_MAX: usize = 48;
/// A log may be ahead of the machine that reads it by so much, milliseconds.
const AHEAD_MS: i64 = 86_400_000;

const MONTHS: [&[u8; 3]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];

/// A time in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Where it stands in the line, bytes.
    pub(super) at: Range<usize>,
    /// Milliseconds since the epoch.
    pub(super) ms: i64,
}

/// What is indented goes on with what was said before.
fn goes_on(line: &[u8]) -> bool {
    line.starts_with(b"\t") || line.starts_with(b"  ")
}

/// The time that a line begins with, by itself: nothing is known of the lines around it. It is in the form that begins first, and of those in the one with a year.
/// `about_ms`, when the line was handed on, says of which year a time without one is (of the twelve months before), and of two readings of a date the likelier.
pub(super) fn head(line: &[u8], about_ms: Option<i64>) -> Option<Found> {
    if goes_on(line) {
        return None;
    }
    let begin = &line[..line.len().min(OFFSET_USUAL + TIME_BYTES_MAX)];
    // A form is read where it stands first, or not at all.
    let mut unread = u16::MAX;
    for at in 0..begin.len().min(OFFSET_USUAL + 1) {
        let mut possible = forms::possible(begin, at) & unread;
        let mut best: Option<Found> = None;
        while possible != 0 {
            let form = possible.trailing_zeros() as usize;
            possible &= possible - 1;
            let Some((at, parts)) = forms::read(form, begin, at) else {
                continue;
            };
            unread &= !(1 << form);
            let Some(ms) = instant(&parts, &mut Years::before(about_ms)) else {
                continue;
            };
            // The month first, or the day.
            let is_nearer = |best: &Found| {
                let nearer = |about: i64| ms.abs_diff(about) < best.ms.abs_diff(about);
                best.at == at && about_ms.is_some_and(nearer)
            };
            if best.as_ref().is_none_or(is_nearer) {
                best = Some(Found { at, ms });
            }
        }
        if best.is_some() {
            return best;
        }
    }
    None
}

/// The time of a web server's line, which stands in brackets.
pub(super) fn bracketed(line: &[u8], at: Range<usize>) -> Option<Found> {
    let found = head(&line[at.clone()], None)?;
    Some(Found {
        at: at.start + found.at.start..at.start + found.at.end,
        ..found
    })
}

/// How a log writes its times.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    form: usize,
    /// A time further in than so many bytes is part of what a line says.
    offset_max: usize,
    years: Years,
}

impl Clock {
    /// Of the form that most of `lines` have; `None`: none has one. `written_ms`: when the log was last written to; without it a time
    /// that has no year is none.
    pub(super) fn of<'l>(
        lines: impl Iterator<Item = &'l [u8]> + Clone,
        written_ms: Option<i64>,
    ) -> Option<Clock> {
        let years = Years::before(written_ms);
        let mut best: Option<(usize, Clock)> = None;
        for form in 0..forms::COUNT {
            let clock = Clock {
                form,
                offset_max: OFFSET_MAX,
                years: years.clone(),
            };
            let mut own = clock.clone();
            let found = lines.clone().filter_map(|line| own.find(line));
            let offsets: Vec<usize> = found.map(|found| found.at.start).collect();
            let usual = offsets.iter().filter(|at| **at <= OFFSET_USUAL).count();
            let offset_max = match 2 * usual > offsets.len() {
                true => OFFSET_USUAL,
                false => OFFSET_MAX,
            };
            if offsets.len() > best.as_ref().map_or(0, |(count, _)| *count) {
                best = Some((
                    offsets.len(),
                    Clock {
                        offset_max,
                        ..clock
                    },
                ));
            }
        }
        best.map(|(_, clock)| clock)
    }

    /// The time that a line begins with; times are to be asked for in the order of the lines.
    pub(super) fn find(&mut self, line: &[u8]) -> Option<Found> {
        if goes_on(line) {
            return None;
        }
        let head = &line[..line.len().min(self.offset_max + TIME_BYTES_MAX)];
        let places = 0..head.len().min(self.offset_max + 1);
        let (at, parts) = places
            .filter(|at| forms::possible(head, *at) & 1 << self.form != 0)
            .find_map(|at| forms::read(self.form, head, at))?;
        let ms = instant(&parts, &mut self.years)?;
        Some(Found { at, ms })
    }
}

/// The instant that a time means, if there is such a one.
fn instant(parts: &Parts, years: &mut Years) -> Option<i64> {
    let milli = parts.milli.unwrap_or(0);
    if let Some(seconds) = parts.epoch {
        return Some(seconds * 1000 + parts.epoch_milli.unwrap_or(milli));
    }
    let month = match parts.name {
        Some(name) => {
            let name = name.map(|letter| letter.to_ascii_lowercase());
            1 + MONTHS.iter().position(|month| **month == name)? as i64
        }
        None => parts.month?,
    };
    let hour = match (parts.hour?, parts.afternoon) {
        (hour, None) => hour,
        (hour @ 1..=12, Some(afternoon)) => hour % 12 + 12 * i64::from(afternoon),
        _ => return None,
    };
    let civil = Civil {
        year: 2000,
        month,
        day: parts.day?,
        hour,
        minute: parts.minute?,
        second: parts.second?,
        milli,
        offset_seconds: parts.offset_seconds.unwrap_or(0),
    };
    let year = match (parts.year, parts.year_of_century) {
        (Some(year), _) => year,
        (None, Some(short)) => 2000 + short,
        (None, None) => return years.place(civil),
    };
    Civil { year, ..civil }.millis().ok()
}

/// Years for times that have none.
#[derive(Clone, Debug)]
struct Years {
    written_ms: Option<i64>,
    last_ms: Option<i64>,
}

impl Years {
    fn before(written_ms: Option<i64>) -> Years {
        Years {
            written_ms,
            last_ms: None,
        }
    }

    /// The instant in its year: the last one that is not after the log was written, then the one nearest to the line before.
    fn place(&mut self, civil: Civil) -> Option<i64> {
        let about = self.last_ms.or(self.written_ms)?;
        let year = chrono::DateTime::from_timestamp_millis(about)
            .map_or(1970, |time| i64::from(chrono::Datelike::year(&time)));
        // A leap day may be eight years back; any other day was there a year ago, and no year before that is nearer.
        let is_leap_day = (civil.month, civil.day) == (2, 29);
        let least = year - if is_leap_day { 8 } else { 1 };
        let years = (least..=year + 1)
            .rev()
            .filter_map(|year| Civil { year, ..civil }.millis().ok());
        let ms = match self.last_ms {
            None => years
                .into_iter()
                .find(|ms| *ms <= about.saturating_add(AHEAD_MS)),
            Some(last) => years.into_iter().min_by_key(|ms| (ms - last).abs()),
        }?;
        self.last_ms = Some(ms);
        Some(ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::EventTime;
    use proptest::prelude::*;

    fn read(lines: &[&str], written: &str) -> Vec<String> {
        let written = crate::decode::instant(written).unwrap().0;
        let bytes = lines.iter().map(|line| line.as_bytes());
        let mut clock = Clock::of(bytes.clone(), Some(written)).expect("a clock");
        let found = bytes.map(|line| clock.find(line));
        found
            .map(|found| found.map_or("-".into(), |found| EventTime(found.ms).to_string()))
            .collect()
    }

    #[test]
    fn the_forms_that_programs_write_are_read() {
        for (line, expected) in [
            (
                "2015-10-18 18:01:47,978 INFO [main] x",
                "2015-10-18T18:01:47.978Z",
            ),
            (
                "[2024-01-31T12:30:59.123456+01:00] x",
                "2024-01-31T11:30:59.123Z",
            ),
            ("2024/01/31 12:30:59 [error] 7#7: x", "2024-01-31T12:30:59Z"),
            (
                r#"10.0.0.1 - bob [31/Jan/2024:12:30:59 -0500] "GET /""#,
                "2024-01-31T17:30:59Z",
            ),
            ("31 Jan 2024 12:30:59,123 x", "2024-01-31T12:30:59.123Z"),
            ("31-Jan-2024 12:30:59.123 x", "2024-01-31T12:30:59.123Z"),
            (
                "[Sun Dec 04 04:47:44 2005] [notice] x",
                "2005-12-04T04:47:44Z",
            ),
            ("Jun 09, 2017 8:10:40 PM org.x.Y z", "2017-06-09T20:10:40Z"),
            ("Jun 09, 2017 12:10:40 AM org.x.Y z", "2017-06-09T00:10:40Z"),
            ("31.01.2024 12:30:59 x", "2024-01-31T12:30:59Z"),
            ("01/31/2024 12:30:59 x", "2024-01-31T12:30:59Z"),
            ("31/01/2024 12:30:59 x", "2024-01-31T12:30:59Z"),
            ("17/06/09 20:10:40 INFO x", "2017-06-09T20:10:40Z"),
            (
                "20171223-22:15:29:606|Step_LSC|x",
                "2017-12-23T22:15:29.606Z",
            ),
            ("Nov 29 18:45:01 host sshd[7]: x", "2026-11-29T18:45:01Z"),
            (
                "<34>Oct  1 22:14:15 mymachine su: x",
                "2026-10-01T22:14:15Z",
            ),
            (
                "<34>1 2003-10-11T22:14:15.003Z host app - ID47 - x",
                "2003-10-11T22:14:15.003Z",
            ),
            (
                "03-17 16:13:38.811  1702  2395 D x",
                "2026-03-17T16:13:38.811Z",
            ),
            (
                "I1015 12:30:59.123456 1 x.go:7] x",
                "2026-10-15T12:30:59.123Z",
            ),
            ("081109 203615 148 INFO x", "2008-11-09T20:36:15Z"),
            (
                "1286536309.002 921 192.168.0.1 x",
                "2010-10-08T11:11:49.002Z",
            ),
            ("1286536309002 x", "2010-10-08T11:11:49.002Z"),
        ] {
            assert_eq!(read(&[line], "2026-11-30"), [expected], "{line}");
        }
    }

    /// What [`head`] finds, form by form.
    fn head_by_forms(line: &[u8], about_ms: Option<i64>) -> Option<Found> {
        let mut best: Option<Found> = None;
        for form in 0..forms::COUNT {
            let mut clock = Clock {
                form,
                offset_max: OFFSET_USUAL,
                years: Years::before(about_ms),
            };
            let Some(found) = clock.find(line) else {
                continue;
            };
            let is_better = best.as_ref().is_none_or(|best| {
                let is_nearer = about_ms
                    .is_some_and(|about| found.ms.abs_diff(about) < best.ms.abs_diff(about));
                found.at.start < best.at.start || found.at == best.at && is_nearer
            });
            if is_better {
                best = Some(found);
            }
        }
        best
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_lines_time_is_in_the_form_that_begins_first(
            line in "[<\\[ a1-]{0,4}(0[0-9]|1[0-9]|20[0-9]{2}|Mar|Foo|I|17)[-/. ]?(0[1-9]|[0-9]{2}|Mar)[-/. ]?(0[1-9]|[0-9]{2}|20[0-9]{2})[ T:,]{1,2}[0-9]{1,2}:?[0-5][0-9]:?[0-5][0-9]( ?Z| 2024|[.]5)?( 2024-01-31 12:30:59)?.{0,6}",
            about in proptest::option::of(1_600_000_000_000..1_800_000_000_000i64),
        ) {
            let found = head(line.as_bytes(), about);
            prop_assert_eq!(found, head_by_forms(line.as_bytes(), about), "{}", line);
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for line in [
            "",
            "x",
            "12:30:59",
            "2024-13-41 12:30:59",
            "99999999999999999999",
            "Foo 31 12:30:59",
            "13:00:00 PM",
            "\t2024-01-31 12:30:59",
            "2024-02-30 00:00:00 x",
        ] {
            assert!(
                Clock::of([line.as_bytes()].into_iter(), Some(0)).is_none(),
                "{line}"
            );
        }
    }

    #[test]
    fn times_without_a_year_are_of_the_last_one_and_go_through_new_years_night() {
        let lines = [
            "Dec 31 23:59:59 h a: b",
            "Jan  1 00:00:01 h a: b",
            "Feb 28 00:00:00 h a: b",
        ];
        assert_eq!(
            read(&lines, "2026-03-01"),
            [
                "2025-12-31T23:59:59Z",
                "2026-01-01T00:00:01Z",
                "2026-02-28T00:00:00Z"
            ]
        );
        assert_eq!(
            read(&["Feb 29 00:00:00 h a: b"], "2026-03-01"),
            ["2024-02-29T00:00:00Z"]
        );
    }

    #[test]
    fn one_form_holds_for_a_log_and_a_time_deep_in_a_line_is_part_of_what_it_says() {
        let lines = [
            "2024-01-31 12:30:59 connected",
            "at x, 31/Jan/2024:12:30:59 +0000",
            "it was well until 2024-01-31 12:30:58",
            "    2024-01-31 12:30:58",
            "[2024-01-31 12:31:00] gone",
        ];
        assert_eq!(
            read(&lines, "2026-01-01"),
            [
                "2024-01-31T12:30:59Z",
                "-",
                "-",
                "-",
                "2024-01-31T12:31:00Z"
            ]
        );
        let day_first = ["05/01/2024 12:00:00 a", "31/01/2024 12:00:00 b"];
        assert_eq!(
            read(&day_first, "2026-01-01"),
            ["2024-01-05T12:00:00Z", "2024-01-31T12:00:00Z"]
        );
    }
}
