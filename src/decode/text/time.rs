//! The time at the beginning of a log's line, in the forms that programs write.
//!
//! Which form a log has is found out from its first lines and holds for all of it. Without a zone a time is UTC. Without a year it is of the last twelve
//! months before the log was last written to, and goes on from there through New Year's nights. Sources: RFC 3164 and RFC 5424 (syslog), Apache's
//! `%t`, the defaults of log4j, logback, java.util.logging, Python, glog, squid, and what else the corpora of Loghub show.

use crate::time::civil::Civil;
use regex::bytes::{Captures, Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use std::ops::Range;
use std::sync::LazyLock;

/// How far from a line's beginning its time may begin, bytes: behind a bracket or a syslog priority, if most lines have it there...
pub(super) const OFFSET_USUAL: usize = 8;
/// ... else behind an address and a user.
const OFFSET_MAX: usize = 96;
/// The longest time, bytes.
const TIME_BYTES_MAX: usize = 48;
/// A log may be ahead of the machine that reads it by so much, milliseconds.
const AHEAD_MS: i64 = 86_400_000;

const MONTHS: [&[u8]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];

/// Hours to a fraction of a second, and perhaps the half of the day.
const CLOCK: &str =
    r"(?<H>\d{1,2}):(?<M>\d{1,2}):(?<S>\d{2})(?:[.,:](?<f>\d{1,9}))?(?: (?<p>[AaPp][Mm])\b)?";
const ZONE: &str = r"(?: ?(?<z>Z|UTC|GMT|[+-]\d{2}:?\d{2})\b)?";
const NAME: &str = r"(?<b>[A-Z][a-z]{2})";

/// Those with a year come first: of two forms that fit as many lines the first is taken.
fn forms() -> [String; 15] {
    [
        // 2024-01-31T12:30:59.123+01:00, 2024/01/31 12:30:59
        format!(r"\b(?<y>\d{{4}})[-/.](?<m>\d{{2}})[-/.](?<d>\d{{2}})(?:T| +){CLOCK}{ZONE}"),
        // 31/Jan/2024:12:30:59 +0100
        format!(r"\b(?<d>\d{{1,2}})/{NAME}/(?<y>\d{{4}}):{CLOCK}{ZONE}"),
        // 31 Jan 2024 12:30:59,123; 31-Jan-2024 12:30:59
        format!(r"\b(?<d>\d{{1,2}})[ -]{NAME}[ -](?<y>\d{{4}}) {CLOCK}{ZONE}"),
        // Jan 31 12:30:59 2024; Jan 31 12:30:59.123 UTC 2024
        format!(r"\b{NAME} +(?<d>\d{{1,2}}) {CLOCK}(?: UTC)? (?<y>\d{{4}})\b"),
        // Jan 31, 2024 8:30:59 PM
        format!(r"\b{NAME} (?<d>\d{{1,2}}), (?<y>\d{{4}}),? {CLOCK}{ZONE}"),
        // 31.01.2024 12:30:59
        format!(r"\b(?<d>\d{{2}})\.(?<m>\d{{2}})\.(?<y>\d{{4}}),? {CLOCK}{ZONE}"),
        // 01/31/2024 12:30:59, and the other way round where that fits more lines
        format!(r"\b(?<m>\d{{2}})/(?<d>\d{{2}})/(?<y>\d{{4}}),? {CLOCK}{ZONE}"),
        format!(r"\b(?<d>\d{{2}})/(?<m>\d{{2}})/(?<y>\d{{4}}),? {CLOCK}{ZONE}"),
        // 24/01/31 12:30:59
        format!(r"\b(?<Y>\d{{2}})/(?<m>\d{{2}})/(?<d>\d{{2}}) {CLOCK}{ZONE}"),
        // 20240131-12:30:59:123
        format!(r"\b(?<y>\d{{4}})(?<m>\d{{2}})(?<d>\d{{2}})[-T ]{CLOCK}{ZONE}"),
        // Jan 31 12:30:59
        format!(r"\b{NAME} +(?<d>\d{{1,2}}) {CLOCK}"),
        // 01-31 12:30:59.123
        format!(r"\b(?<m>\d{{2}})-(?<d>\d{{2}}) {CLOCK}"),
        // I0131 12:30:59.123456
        format!(r"^[DIWEF](?<m>\d{{2}})(?<d>\d{{2}}) {CLOCK}"),
        // 240131 123059
        r"^(?<Y>\d{2})(?<m>\d{2})(?<d>\d{2}) (?<H>\d{2})(?<M>\d{2})(?<S>\d{2})\b".to_owned(),
        // 1706704259.123, 1706704259123
        r"^\[? *(?<e>1\d{9})(?:\.(?<f>\d{1,9})|(?<g>\d{3})(?:\d{3}){0,2})?\b".to_owned(),
    ]
}

static FORMS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let compiled = forms().map(|form| {
        let form = RegexBuilder::new(&form).unicode(false).build();
        form.expect("a form")
    });
    compiled.into()
});
/// Which of them a line has.
static ANY_FORM: LazyLock<RegexSet> = LazyLock::new(|| {
    let set = RegexSetBuilder::new(forms()).unicode(false).build();
    set.expect("forms")
});

/// A time in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Where it stands in the line, bytes.
    pub(super) at: Range<usize>,
    /// Milliseconds since the epoch.
    pub(super) ms: i64,
}

/// The time that a line begins with, by itself: nothing is known of the lines around it. It is in the form that begins first, and of those in the one with a year.
/// `about_ms`, when the line was handed on, says of which year a time without one is (of the twelve months before), and of two readings of a date the likelier.
pub(super) fn head(line: &[u8], about_ms: Option<i64>) -> Option<Found> {
    let begin = &line[..line.len().min(OFFSET_USUAL + TIME_BYTES_MAX)];
    let mut best: Option<Found> = None;
    for form in ANY_FORM.matches(begin) {
        let mut clock = Clock {
            form,
            offset_max: OFFSET_USUAL,
            years: Years::before(about_ms),
        };
        let Some(found) = clock.find(line) else {
            continue;
        };
        let is_better = best.as_ref().is_none_or(|best| {
            // The month first, or the day.
            let is_rival = found.at == best.at;
            let is_nearer =
                about_ms.is_some_and(|about| found.ms.abs_diff(about) < best.ms.abs_diff(about));
            found.at.start < best.at.start || is_rival && is_nearer
        });
        if is_better {
            best = Some(found);
        }
    }
    best
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
        for form in 0..FORMS.len() {
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
        // What is indented goes on with what was said before.
        if line.starts_with(b"\t") || line.starts_with(b"  ") {
            return None;
        }
        let head = &line[..line.len().min(self.offset_max + TIME_BYTES_MAX)];
        let captures = FORMS[self.form].captures(head)?;
        let whole = captures.get(0).expect("the match").range();
        if whole.start > self.offset_max {
            return None;
        }
        let ms = self.instant(&captures)?;
        Some(Found { at: whole, ms })
    }

    fn instant(&mut self, captures: &Captures<'_>) -> Option<i64> {
        let number = |name: &str| {
            let digits = std::str::from_utf8(captures.name(name)?.as_bytes()).ok()?;
            digits.parse::<i64>().ok()
        };
        let milli = captures
            .name("f")
            .map_or(0, |digits| millis(digits.as_bytes()));
        if let Some(seconds) = number("e") {
            return Some(seconds * 1000 + number("g").unwrap_or(milli));
        }
        let month = match captures.name("b") {
            Some(name) => {
                let name = name.as_bytes().to_ascii_lowercase();
                1 + MONTHS.iter().position(|month| *month == name)? as i64
            }
            None => number("m")?,
        };
        let hour = match (number("H")?, captures.name("p")) {
            (hour, None) => hour,
            (hour @ 1..=12, Some(half)) => {
                let afternoon = half.as_bytes().eq_ignore_ascii_case(b"pm");
                hour % 12 + 12 * i64::from(afternoon)
            }
            _ => return None,
        };
        let civil = Civil {
            year: 2000,
            month,
            day: number("d")?,
            hour,
            minute: number("M")?,
            second: number("S")?,
            milli,
            offset_seconds: captures.name("z").map_or(0, |zone| offset(zone.as_bytes())),
        };
        let year = match (number("y"), number("Y")) {
            (Some(year), _) => year,
            (None, Some(short)) => 2000 + short,
            (None, None) => return self.years.place(civil),
        };
        Civil { year, ..civil }.millis().ok()
    }
}

/// Thousandths from the digits of a fraction.
fn millis(digits: &[u8]) -> i64 {
    let digit = |at: usize| i64::from(digits.get(at).map_or(0, |byte| byte - b'0'));
    digit(0) * 100 + digit(1) * 10 + digit(2)
}

/// Seconds ahead of UTC.
fn offset(zone: &[u8]) -> i64 {
    let digits: Vec<i64> = zone
        .iter()
        .filter(|byte| byte.is_ascii_digit())
        .map(|byte| i64::from(byte - b'0'))
        .collect();
    match (zone[0], &digits[..]) {
        (sign, [a, b, c, d]) => {
            let seconds = (a * 10 + b) * 3600 + (c * 10 + d) * 60;
            if sign == b'-' { -seconds } else { seconds }
        }
        _ => 0,
    }
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
        // A leap day may be eight years back.
        let years = (year - 8..=year + 1)
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
