//! What else a log's line says: who wrote it, how grave it is, what was asked of a web server.
//!
//! Names are ECS. A file has one layout, found out from its first lines; a line that is laid out differently is a message as it stands. A line of a topic stands by
//! itself: it is laid out as the job says, or as it can hardly be meant otherwise.

use super::time::Found;
use regex::bytes::{Captures, Regex, RegexBuilder};
use std::ops::Range;
use std::sync::LazyLock;

/// The fields that a line may have beside its time; [`Layout::fill`] gives them in this order.
pub(super) const NAMES: [&str; 12] = [
    "message",
    "log.level",
    "host.name",
    "process.name",
    "process.pid",
    "source.address",
    "user.name",
    "http.request.method",
    "url.original",
    "http.response.status_code",
    "http.response.body.bytes",
    "user_agent.original",
];
const MESSAGE: usize = 0;
pub(super) const LEVEL: usize = 1;
const HOST: usize = 2;
const PROCESS: usize = 3;
const PID: usize = 4;
/// The first of those that a web server's line has.
const SOURCE: usize = 5;
const AGENT: usize = NAMES.len() - 1;

/// A level stands near the line's beginning, bytes.
const LEVEL_WITHIN: usize = 120;

fn compiled(pattern: &str) -> Regex {
    let pattern = RegexBuilder::new(pattern).unicode(false).build();
    pattern.expect("a pattern")
}

/// RFC 3164, and what journalctl and rsyslog make of it: what follows the time.
static SYSLOG: LazyLock<Regex> = LazyLock::new(|| {
    compiled(r"^ (?<host>[A-Za-z0-9_.:-]+) (?<process>[^\s:\[\]]+)(?:\[(?<pid>\d+)\])?: ?")
});
/// RFC 5424: what follows the time.
static SYSLOG_2009: LazyLock<Regex> = LazyLock::new(|| {
    compiled(r"^ (?<host>\S+) (?<process>\S+) (?<pid>\S+) \S+ (?:-|(?:\[[^\]]*\])+) ?")
});
/// How a line by RFC 5424 begins, up to its time: a priority and a version.
static VERSION: LazyLock<Regex> = LazyLock::new(|| compiled(r"^<\d{1,3}>\d{1,2} "));
/// A line up to its time as syslog writes it: RFC 3164, or RFC 3339 with a zone as rsyslog and journalctl do; perhaps with a priority before it.
static SYSLOG_TIME: LazyLock<Regex> = LazyLock::new(|| {
    compiled(
        r"^(?:<\d{1,3}>)?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.,]+(?:Z|[+-]\d\d:?\d\d))$",
    )
});
/// The common and the combined format of Apache and nginx: the whole line.
static ACCESS: LazyLock<Regex> = LazyLock::new(|| {
    compiled(
        r#"^(?<source>\S+) \S+ (?<user>.*?) \[(?<time>[^\]]*)\] "(?<method>[A-Z]+) (?<url>\S+)[^"]*" (?<status>\d{3}) (?<bytes>\d+|-)(?: "[^"]*" "(?<agent>[^"]*)")?"#,
    )
});
static LEVELS: LazyLock<Regex> = LazyLock::new(|| {
    compiled(
        r"\b(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|SEVERE|CRITICAL|FATAL|EMERGENCY|ALERT)\b|\[(?:\w+:)?(trace\d?|debug|info|notice|warn|warning|error|crit|alert|emerg)\]",
    )
});
/// A word that is no host.
static LEVEL_ALONE: LazyLock<Regex> = LazyLock::new(|| {
    compiled(
        r"(?i)^(?:trace|debug|info|notice|warn|warning|error|severe|crit|critical|fatal|emerg|emergency|alert)$",
    )
});
/// What stands between a time and what is said.
static SEPARATORS: LazyLock<Regex> = LazyLock::new(|| compiled(r"^(?:[\s\]|:,;]|-\s)*"));

/// How the lines of a log are laid out beside their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// A message.
    Plain,
    /// A host, a process and a message: RFC 3164.
    Syslog,
    /// The same by RFC 5424.
    Syslog2009,
    /// A request to a web server.
    Access,
}

impl Layout {
    /// That of most of these lines, each with its time.
    pub(super) fn of(lines: &[(&[u8], Found)]) -> Layout {
        let count = |layout: Layout| {
            let fits =
                |(line, found): &&(&[u8], Found)| layout.captures(line, Some(found)).is_some();
            2 * lines.iter().filter(fits).count() > lines.len()
        };
        let layouts = [Layout::Access, Layout::Syslog2009, Layout::Syslog];
        layouts
            .into_iter()
            .find(|layout| count(*layout))
            .unwrap_or(Layout::Plain)
    }

    /// That of a line by itself, whose time is where `found` says: syslog's if its time is written as syslog writes it, and a host and a process follow.
    pub(super) fn of_line(line: &[u8], found: Option<&Found>) -> Layout {
        let Some(found) = found else {
            return match ACCESS.is_match(line) {
                true => Layout::Access,
                false => Layout::Plain,
            };
        };
        let begin = &line[..found.at.end];
        match begin {
            _ if found.at.start > 0 && VERSION.is_match(begin) => Layout::Syslog2009,
            _ if SYSLOG_TIME.is_match(begin) => Layout::Syslog,
            _ => Layout::Plain,
        }
    }

    /// That of a line by itself, of those that syslog has.
    pub(super) fn of_syslog(line: &[u8], found: Option<&Found>) -> Layout {
        let rest = found.map(|found| &line[found.at.end..]);
        match rest.is_some_and(|rest| !SYSLOG.is_match(rest) && SYSLOG_2009.is_match(rest)) {
            true => Layout::Syslog2009,
            false => Layout::Syslog,
        }
    }

    /// Where a web server's line has its time.
    pub(super) fn access_time(line: &[u8]) -> Option<Range<usize>> {
        Some(ACCESS.captures(line)?.name("time")?.range())
    }

    fn captures<'l>(self, line: &'l [u8], found: Option<&Found>) -> Option<Captures<'l>> {
        let rest = found.map(|found| &line[found.at.end..]);
        match self {
            Layout::Plain => None,
            Layout::Access => ACCESS.captures(line),
            Layout::Syslog2009 => SYSLOG_2009.captures(rest?),
            Layout::Syslog => SYSLOG
                .captures(rest?)
                .filter(|captures| !LEVEL_ALONE.is_match(&captures["host"])),
        }
    }

    /// The fields of a record, whose first line ends at `first` and has its time where `found` says, if it has one; what it has not is left as it is.
    pub(super) fn fill<'l>(
        self,
        record: &'l [u8],
        first: usize,
        found: Option<&Found>,
        fields: &mut [Option<&'l [u8]>; NAMES.len()],
    ) {
        let line = &record[..first];
        let captures = self.captures(line, found);
        let named = |name: &str| {
            let captured = captures.as_ref()?.name(name)?.as_bytes();
            (captured != b"-").then_some(captured)
        };
        // A time at the beginning is no part of what is said; one further in has something before it that is.
        let after = match (&captures, self, found) {
            (Some(captures), Layout::Syslog | Layout::Syslog2009, Some(found)) => {
                found.at.end + captures.get(0).expect("the match").end()
            }
            (_, _, Some(found)) if found.at.start <= super::time::OFFSET_USUAL => found.at.end,
            _ => 0,
        };
        match self {
            Layout::Access if captures.is_some() => {
                let names = [
                    "source", "user", "method", "url", "status", "bytes", "agent",
                ];
                for (field, name) in (SOURCE..=AGENT).zip(names) {
                    fields[field] = named(name);
                }
                return;
            }
            Layout::Syslog | Layout::Syslog2009 => {
                fields[HOST] = named("host");
                fields[PROCESS] = named("process");
                fields[PID] = named("pid");
            }
            Layout::Plain | Layout::Access => {}
        }
        let message = record[after..].trim_ascii_end();
        let head = &message[..message
            .len()
            .min(LEVEL_WITHIN)
            .min(first.saturating_sub(after))];
        fields[LEVEL] = LEVELS
            .captures(head)
            .and_then(|level| level.get(1).or(level.get(2)))
            .map(|level| level.as_bytes());
        let separators = SEPARATORS.find(message).map_or(0, |found| found.end());
        fields[MESSAGE] = Some(&message[separators..]);
    }
}
