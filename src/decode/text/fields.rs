//! What else a log's line says: who wrote it, how grave it is, what was asked of a web server.
//!
//! Names are ECS. A file has one layout, found out from its first lines; a line that is laid out differently is a message as it stands. A line of a topic stands by
//! itself: it is laid out as the job says, or as it can hardly be meant otherwise.

use super::time::Found;
use super::words::{self, Requested};
use std::ops::Range;

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

/// What a layout finds in a line, beside its time.
enum Parts<'l> {
    Logged(words::Logged<'l>),
    Requested(Requested<'l>),
}

impl Layout {
    /// That of most of these lines, each with its time.
    pub(super) fn of(lines: &[(&[u8], Found)]) -> Layout {
        let count = |layout: Layout| {
            let fits = |(line, found): &&(&[u8], Found)| layout.parts(line, Some(found)).is_some();
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
            return match words::requested(line) {
                Some(_) => Layout::Access,
                None => Layout::Plain,
            };
        };
        let begin = &line[..found.at.end];
        match begin {
            _ if found.at.start > 0 && words::has_version(begin) => Layout::Syslog2009,
            _ if words::is_syslog_time(begin) => Layout::Syslog,
            _ => Layout::Plain,
        }
    }

    /// That of a line by itself, of those that syslog has.
    pub(super) fn of_syslog(line: &[u8], found: Option<&Found>) -> Layout {
        let rest = found.map(|found| &line[found.at.end..]);
        let is_later = |rest| words::logged(rest).is_none() && words::logged_2009(rest).is_some();
        match rest.is_some_and(is_later) {
            true => Layout::Syslog2009,
            false => Layout::Syslog,
        }
    }

    /// Where a web server's line has its time.
    pub(super) fn access_time(line: &[u8]) -> Option<Range<usize>> {
        Some(words::requested(line)?.time)
    }

    fn parts<'l>(self, line: &'l [u8], found: Option<&Found>) -> Option<Parts<'l>> {
        let rest = || found.map(|found| &line[found.at.end..]);
        match self {
            Layout::Plain => None,
            Layout::Access => words::requested(line).map(Parts::Requested),
            Layout::Syslog2009 => words::logged_2009(rest()?).map(Parts::Logged),
            Layout::Syslog => words::logged(rest()?)
                .filter(|logged| !words::is_level(logged.host))
                .map(Parts::Logged),
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
        let said = |word: &'l [u8]| (word != b"-").then_some(word);
        // A time at the beginning is no part of what is said; one further in has something before it that is.
        let mut after = match found {
            Some(found) if found.at.start <= super::time::OFFSET_USUAL => found.at.end,
            _ => 0,
        };
        match self.parts(&record[..first], found) {
            Some(Parts::Requested(request)) => {
                for (field, word) in (SOURCE..=AGENT).zip(request.words) {
                    fields[field] = word.and_then(said);
                }
                return;
            }
            Some(Parts::Logged(logged)) => {
                fields[HOST] = said(logged.host);
                fields[PROCESS] = said(logged.process);
                fields[PID] = logged.pid.and_then(said);
                after = found.map_or(0, |found| found.at.end) + logged.end;
            }
            None => {}
        }
        let message = record[after..].trim_ascii_end();
        let head = &message[..message
            .len()
            .min(LEVEL_WITHIN)
            .min(first.saturating_sub(after))];
        fields[LEVEL] = words::level(head);
        fields[MESSAGE] = Some(&message[words::separators(message)..]);
    }
}
