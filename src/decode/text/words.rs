//! The words of a log's line beside its time, each read in one pass.
//!
//! Words end where ASCII's do, and blanks are ASCII's. Holds: the same as the regular expressions in the tests below, which are what is meant. Time: linear in the line; where quotation marks and
//! brackets could be paired in many ways, after a few of them the expression itself is asked.

use super::forms::is_word;
use memchr::memchr;
use regex::bytes::{Regex, RegexBuilder};
use std::ops::Range;
use std::sync::LazyLock;

/// Who logged what follows a time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Logged<'l> {
    pub(super) host: &'l [u8],
    pub(super) process: &'l [u8],
    pub(super) pid: Option<&'l [u8]>,
    /// Where what is said begins.
    pub(super) end: usize,
}

/// What was asked of a web server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Requested<'l> {
    /// Where the line has its time.
    pub(super) time: Range<usize>,
    /// Source, user, method, URL, status, bytes, agent.
    pub(super) words: [Option<&'l [u8]>; 7],
}

/// As regular expressions have it, which is not quite as Rust has it.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// What begins a slice, as far as `is` says, and the rest.
fn split(text: &[u8], is: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let length = text.iter().take_while(|byte| is(**byte)).count();
    text.split_at(length)
}

/// A word that is not empty, and what follows the blank behind it.
fn word(text: &[u8], is: impl Fn(u8) -> bool) -> Option<(&[u8], &[u8])> {
    let (word, rest) = split(text, is);
    match rest {
        [b' ', rest @ ..] if !word.is_empty() => Some((word, rest)),
        _ => None,
    }
}

fn solid(text: &[u8]) -> Option<(&[u8], &[u8])> {
    word(text, |byte| !is_blank(byte))
}

/// RFC 3164, and what journalctl and rsyslog make of it: what follows the time.
pub(super) fn logged(rest: &[u8]) -> Option<Logged<'_>> {
    let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    let (host, after) = word(rest.strip_prefix(b" ")?, is_of_host)?;
    let is_of_process = |byte: u8| !is_blank(byte) && !b":[]".contains(&byte);
    let (process, mut after) = split(after, is_of_process);
    if process.is_empty() {
        return None;
    }
    let mut pid = None;
    if let [b'[', number @ ..] = after {
        let (digits, behind) = split(number, |byte| byte.is_ascii_digit());
        pid = Some(digits).filter(|digits| !digits.is_empty());
        after = behind.strip_prefix(b"]")?;
        pid?;
    }
    let after = after.strip_prefix(b":")?;
    let after = after.strip_prefix(b" ").unwrap_or(after);
    Some(Logged {
        host,
        process,
        pid,
        end: rest.len() - after.len(),
    })
}

/// RFC 5424: what follows the time.
pub(super) fn logged_2009(rest: &[u8]) -> Option<Logged<'_>> {
    let (host, after) = solid(rest.strip_prefix(b" ")?)?;
    let (process, after) = solid(after)?;
    let (pid, after) = solid(after)?;
    let (_, after) = solid(after)?;
    let after = match after {
        [b'-', after @ ..] => after,
        [b'[', ..] => {
            let mut after = after;
            while let [b'[', element @ ..] = after
                && let Some(end) = memchr(b']', element)
            {
                after = &element[end + 1..];
            }
            after
        }
        _ => return None,
    };
    let begin = rest.len() - after.len();
    // One element at least has come to its end.
    if !matches!(rest[begin - 1], b'-' | b']') {
        return None;
    }
    let after = after.strip_prefix(b" ").unwrap_or(after);
    Some(Logged {
        host,
        process,
        pid: Some(pid),
        end: rest.len() - after.len(),
    })
}

/// How a line by RFC 5424 begins, up to its time: a priority and a version.
pub(super) fn has_version(begin: &[u8]) -> bool {
    let version = priority(begin).map(|rest| split(rest, |byte| byte.is_ascii_digit()));
    version.is_some_and(|(digits, rest)| matches!(digits.len(), 1 | 2) && rest.starts_with(b" "))
}

/// What follows a priority.
fn priority(begin: &[u8]) -> Option<&[u8]> {
    let (digits, rest) = split(begin.strip_prefix(b"<")?, |byte| byte.is_ascii_digit());
    let rest = rest.strip_prefix(b">")?;
    (1..=3).contains(&digits.len()).then_some(rest)
}

/// Whether a line up to its time is as syslog writes it: RFC 3164, or RFC 3339 with a zone as rsyslog and journalctl do; perhaps with a priority before it.
pub(super) fn is_syslog_time(begin: &[u8]) -> bool {
    let time = priority(begin).unwrap_or(begin);
    // `A` a capital, `a` a small letter, `0` a digit, `_` a digit or a blank.
    let is_like = |text: &[u8], like: &[u8]| {
        let fits = |(byte, like): (&u8, &u8)| match like {
            b'A' => byte.is_ascii_uppercase(),
            b'a' => byte.is_ascii_lowercase(),
            b'0' => byte.is_ascii_digit(),
            b'_' => byte.is_ascii_digit() || *byte == b' ',
            like => byte == like,
        };
        text.len() == like.len() && text.iter().zip(like).all(fits)
    };
    if is_like(time, b"Aaa _0 00:00:00") {
        return true;
    }
    let Some((date, clock)) = time.split_at_checked(11) else {
        return false;
    };
    let (clock, zone) = split(clock, |byte| {
        byte.is_ascii_digit() || b":.,".contains(&byte)
    });
    let is_zone = || match zone {
        b"Z" => true,
        [b'+' | b'-', zone @ ..] => is_like(zone, b"00:00") || is_like(zone, b"0000"),
        _ => false,
    };
    is_like(date, b"0000-00-00T") && !clock.is_empty() && is_zone()
}

const GRAVE: [&[u8]; 12] = [
    b"TRACE",
    b"DEBUG",
    b"INFO",
    b"NOTICE",
    b"WARN",
    b"WARNING",
    b"ERROR",
    b"SEVERE",
    b"CRITICAL",
    b"FATAL",
    b"EMERGENCY",
    b"ALERT",
];
const BRACKETED: [&[u8]; 10] = [
    b"trace", b"debug", b"info", b"notice", b"warn", b"warning", b"error", b"crit", b"alert",
    b"emerg",
];

/// The first level in a text: a word in capitals, or one in brackets, perhaps behind a module's name.
pub(super) fn level(text: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let (word, rest) = split(&text[at..], is_word);
        if !word.is_empty() {
            if byte.is_ascii_uppercase() && GRAVE.contains(&word) {
                return Some(word);
            }
            at += word.len();
            continue;
        }
        let found = match byte {
            b'[' => bracketed(&rest[1..]),
            _ => None,
        };
        if found.is_some() {
            return found;
        }
        at += 1;
    }
    None
}

/// The level that a bracket has opened for.
fn bracketed(text: &[u8]) -> Option<&[u8]> {
    let (mut name, mut rest) = split(text, is_word);
    if let [b':', after @ ..] = rest
        && !name.is_empty()
    {
        (name, rest) = split(after, is_word);
    }
    let is_trace = |name: &[u8]| matches!(name.strip_prefix(b"trace"), Some([b'0'..=b'9']));
    let is_level = BRACKETED.contains(&name) || is_trace(name);
    (is_level && rest.starts_with(b"]")).then_some(name)
}

/// Whether a word is a level, and so no host.
pub(super) fn is_level(word: &[u8]) -> bool {
    let is = |level: &&[u8]| word.eq_ignore_ascii_case(level);
    GRAVE.iter().any(is) || BRACKETED.iter().any(is)
}

/// How long what stands between a time and what is said is, bytes.
pub(super) fn separators(text: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += match text[at..] {
            [b']' | b'|' | b':' | b',' | b';', ..] => 1,
            [b'-', blank, ..] if is_blank(blank) => 2,
            [blank, ..] if is_blank(blank) => 1,
            _ => return at,
        };
    }
}

/// The common and the combined format of Apache and nginx: the whole line.
static REQUESTED: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r#"^(?<source>\S+) \S+ (?<user>.*?) \[(?<time>[^\]]*)\] "(?<method>[A-Z]+) (?<url>\S+)[^"]*" (?<status>\d{3}) (?<bytes>\d+|-)(?: "[^"]*" "(?<agent>[^"]*)")?"#;
    let pattern = RegexBuilder::new(pattern).unicode(false).build();
    pattern.expect("a pattern")
});

/// What a web server was asked, by a line of its log.
pub(super) fn requested(line: &[u8]) -> Option<Requested<'_>> {
    let (source, rest) = solid(line)?;
    let (_, rest) = solid(rest)?;
    let begin = line.len() - rest.len();
    // As a rule, its first bracket is that of the time, and the address has no quotation mark.
    let user = match memchr(b'[', rest)? {
        0 => None,
        bracket => rest[..bracket].strip_suffix(b" "),
    };
    user.filter(|user| !user.contains(&b'\n'))
        .and_then(|user| plainly_requested(line, source, begin..begin + user.len()))
        .or_else(|| requested_somehow(line))
}

/// The same of a line with the user there, whose URL has no quotation mark.
fn plainly_requested<'l>(
    line: &'l [u8],
    source: &'l [u8],
    user: Range<usize>,
) -> Option<Requested<'l>> {
    let time = user.end + 2;
    let time = time..time + memchr(b']', &line[time..])?;
    let request = line[time.end + 1..].strip_prefix(b" \"")?;
    let (method, request) = word(request, |byte| byte.is_ascii_uppercase())?;
    let (asked, rest) = request.split_at(memchr(b'"', request)?);
    let (url, _) = split(asked, |byte| !is_blank(byte));
    // A mark at the address's end may be one of it.
    if url.is_empty() || url.len() == asked.len() {
        return None;
    }
    let (status, rest) = word(rest.strip_prefix(b"\" ")?, |byte| byte.is_ascii_digit())?;
    let (mut bytes, mut rest) = split(rest, |byte| byte.is_ascii_digit());
    if let ([], [b'-', after @ ..]) = (bytes, rest) {
        (bytes, rest) = (b"-", after);
    }
    if status.len() != 3 || bytes.is_empty() {
        return None;
    }
    let quoted = |text: &'l [u8]| {
        let text = text.strip_prefix(b" \"")?;
        let end = memchr(b'"', text)?;
        Some((&text[..end], &text[end + 1..]))
    };
    let agent = quoted(rest).and_then(|(_, rest)| Some(quoted(rest)?.0));
    let words = [
        Some(source),
        Some(&line[user]),
        Some(method),
        Some(url),
        Some(status),
        Some(bytes),
        agent,
    ];
    Some(Requested { time, words })
}

/// The same of any line.
fn requested_somehow(line: &[u8]) -> Option<Requested<'_>> {
    let captures = REQUESTED.captures(line)?;
    let words = [
        "source", "user", "method", "url", "status", "bytes", "agent",
    ];
    Some(Requested {
        time: captures.name("time")?.range(),
        words: words.map(|name| Some(captures.name(name)?.as_bytes())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compiled(pattern: &str) -> Regex {
        let pattern = RegexBuilder::new(pattern).unicode(false).build();
        pattern.expect("a pattern")
    }

    static LOGGED: LazyLock<Regex> = LazyLock::new(|| {
        compiled(r"^ (?<host>[A-Za-z0-9_.:-]+) (?<process>[^\s:\[\]]+)(?:\[(?<pid>\d+)\])?: ?")
    });
    static LOGGED_2009: LazyLock<Regex> = LazyLock::new(|| {
        compiled(r"^ (?<host>\S+) (?<process>\S+) (?<pid>\S+) \S+ (?:-|(?:\[[^\]]*\])+) ?")
    });
    static VERSION: LazyLock<Regex> = LazyLock::new(|| compiled(r"^<\d{1,3}>\d{1,2} "));
    static SYSLOG_TIME: LazyLock<Regex> = LazyLock::new(|| {
        compiled(
            r"^(?:<\d{1,3}>)?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.,]+(?:Z|[+-]\d\d:?\d\d))$",
        )
    });
    static LEVELS: LazyLock<Regex> = LazyLock::new(|| {
        compiled(
            r"\b(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|SEVERE|CRITICAL|FATAL|EMERGENCY|ALERT)\b|\[(?:\w+:)?(trace\d?|debug|info|notice|warn|warning|error|crit|alert|emerg)\]",
        )
    });
    static LEVEL_ALONE: LazyLock<Regex> = LazyLock::new(|| {
        compiled(
            r"(?i)^(?:trace|debug|info|notice|warn|warning|error|severe|crit|critical|fatal|emerg|emergency|alert)$",
        )
    });
    static SEPARATORS: LazyLock<Regex> = LazyLock::new(|| compiled(r"^(?:[\s\]|:,;]|-\s)*"));

    fn meant<'l>(pattern: &Regex, text: &'l [u8]) -> Option<Logged<'l>> {
        let captures = pattern.captures(text)?;
        let named = |name: &str| Some(captures.name(name)?.as_bytes());
        Some(Logged {
            host: named("host")?,
            process: named("process")?,
            pid: named("pid"),
            end: captures.get(0)?.end(),
        })
    }

    fn agree(text: &[u8]) -> Result<(), TestCaseError> {
        let shown = String::from_utf8_lossy(text);
        prop_assert_eq!(logged(text), meant(&LOGGED, text), "{:?}", shown);
        prop_assert_eq!(logged_2009(text), meant(&LOGGED_2009, text), "{:?}", shown);
        prop_assert_eq!(has_version(text), VERSION.is_match(text), "{:?}", shown);
        prop_assert_eq!(
            is_syslog_time(text),
            SYSLOG_TIME.is_match(text),
            "{:?}",
            shown
        );
        let levels = LEVELS.captures(text);
        let meant = levels.and_then(|level| Some(level.get(1).or(level.get(2))?.as_bytes()));
        prop_assert_eq!(level(text), meant, "{:?}", shown);
        prop_assert_eq!(is_level(text), LEVEL_ALONE.is_match(text), "{:?}", shown);
        let end = SEPARATORS.find(text).map_or(0, |found| found.end());
        prop_assert_eq!(separators(text), end, "{:?}", shown);
        prop_assert_eq!(requested(text), requested_somehow(text), "{:?}", shown);
        Ok(())
    }

    /// Rows of what lines are made of.
    fn lines() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => "[ ]{1,2}",
            3 => "[a-zA-Z0-9_.:-]{1,6}",
            2 => "[\\[\\]|:,;\"<>\\-\t\u{b}\r\n]",
            2 => "(TRACE|DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|Alert|warn|emergency|trace3|crit)",
            2 => "\\[([a-z]{1,4}:)?(trace|trace4|trace44|debug|info|warn|error|emerg|severe)\\]",
            2 => "<[0-9]{1,4}>[0-9]{0,3} ?",
            1 => "[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}",
            1 => "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.,]{1,12}(Z|[+-][0-9]{2}:?[0-9]{2})?",
            2 => "\\[[a-z=\" ]{0,4}\\]",
            1 => "(GET|PO) /[a-z\"]{0,3}( HTTP/1.1)?\"",
            1 => "\" [0-9]{2,4} ([0-9]{1,3}|-)",
            1 => "é",
        ];
        proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat().into_bytes())
    }

    fn whole_lines() -> impl Strategy<Value = Vec<u8>> {
        let logged = " [a-z.:-]{1,5} [a-z/()]{1,6}(\\[[0-9x]{1,3}\\])?:? ?[a-z \\[\\]:]{0,8}";
        let later = " [a-z]{1,3} [a-z-]{1,3} [0-9-]{1,3} [A-Z0-9-]{1,3} (-|(\\[[a-z]{0,2}\\]?){0,3}) ?[a-z]{0,3}";
        let asked = "[0-9.]{1,5} - [a-z\\[\\] -]{0,5} \\[[0-9/:]{0,6}\\]? \"[A-Z]{1,3} [/a-z\"]{0,5}( HTTP/1.1)?( [a-z\"]{1,3})?\" [0-9]{2,4} ([0-9]{1,3}|-)( \"[a-z]{0,2}\"?)?( \"[a-z ]{0,3}\")?";
        let any = prop_oneof![logged, later, asked];
        any.prop_map(String::into_bytes)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn words_are_those_that_the_patterns_say(line in lines()) {
            agree(&line)?;
        }

        #[test]
        fn lines_are_read_as_the_patterns_say(line in whole_lines()) {
            agree(&line)?;
        }

        #[test]
        fn any_bytes_are_read_as_the_patterns_say(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            agree(&line)?;
        }
    }

    #[test]
    fn a_line_of_many_brackets_and_marks_takes_no_longer_than_its_length() {
        for piece in [" [", " [] \"A x", "[", "\"", " [] \"A \" 2", "[a:"] {
            let line = format!("a b {}", piece.repeat(100_000));
            assert_eq!(requested(line.as_bytes()), None, "{piece}");
            assert_eq!(level(line.as_bytes()), None, "{piece}");
        }
    }
}
