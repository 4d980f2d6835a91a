//! The forms in which programs write times, read in one pass: no form needs to be tried again with less.
//!
//! A form is a row of steps, each of which takes what it can and goes back for nothing; that is enough because whatever is optional is told by its first byte, and what follows it never begins with
//! that. Words end where ASCII's do. Holds: the same matches as the regular expressions in the tests below, wherever a form stands; those are what is meant.

use std::ops::Range;

/// The parts of a time as they are written; what a form has not is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) year: Option<i64>,
    /// The last two digits of one.
    pub(super) year_of_century: Option<i64>,
    pub(super) month: Option<i64>,
    /// Three letters.
    pub(super) name: Option<[u8; 3]>,
    pub(super) day: Option<i64>,
    pub(super) hour: Option<i64>,
    pub(super) minute: Option<i64>,
    pub(super) second: Option<i64>,
    /// Thousandths of a second, if there is a fraction.
    pub(super) milli: Option<i64>,
    /// Whether it is the second half of the day.
    pub(super) afternoon: Option<bool>,
    /// Seconds ahead of UTC.
    pub(super) offset_seconds: Option<i64>,
    /// Seconds since 1970, of ten digits.
    pub(super) epoch: Option<i64>,
    /// Three more digits of it.
    pub(super) epoch_milli: Option<i64>,
}

/// Where a form may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    /// At a line's beginning.
    Line,
    /// Where a number begins.
    Number,
    /// Where a word with a capital begins.
    Name,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// One of these bytes.
    One(&'static [u8]),
    /// That byte, if it is there.
    Maybe(u8),
    Blanks,
    /// A `T`, or blanks.
    TOrBlanks,
    Year,
    YearOfCentury,
    Month,
    Day,
    /// One digit or two.
    ShortDay,
    Name,
    /// Hours to a fraction of a second, and perhaps the half of the day.
    Clock,
    /// The same without colons, and no more.
    TightClock,
    /// If there is one.
    Zone,
    /// If it is there.
    Utc,
    WordEnd,
    Epoch,
}

use Begin::{Line, Name as AName, Number};
use Step::{
    Blanks, Clock, Day, Epoch, Maybe, Month, Name, One, ShortDay, TOrBlanks, TightClock, Utc,
    WordEnd, Year, YearOfCentury, Zone,
};

/// How many forms there are.
pub(super) const COUNT: usize = 15;

/// Those with a year come first: of two forms that fit as many lines the first is taken.
const FORMS: [(Begin, &[Step]); COUNT] = [
    // 2024-01-31T12:30:59.123+01:00, 2024/01/31 12:30:59
    (
        Number,
        &[
            Year,
            One(b"-/."),
            Month,
            One(b"-/."),
            Day,
            TOrBlanks,
            Clock,
            Zone,
        ],
    ),
    // 31/Jan/2024:12:30:59 +0100
    (
        Number,
        &[
            ShortDay,
            One(b"/"),
            Name,
            One(b"/"),
            Year,
            One(b":"),
            Clock,
            Zone,
        ],
    ),
    // 31 Jan 2024 12:30:59,123; 31-Jan-2024 12:30:59
    (
        Number,
        &[
            ShortDay,
            One(b" -"),
            Name,
            One(b" -"),
            Year,
            One(b" "),
            Clock,
            Zone,
        ],
    ),
    // Jan 31 12:30:59 2024; Jan 31 12:30:59.123 UTC 2024
    (
        AName,
        &[
            Name,
            Blanks,
            ShortDay,
            One(b" "),
            Clock,
            Utc,
            One(b" "),
            Year,
            WordEnd,
        ],
    ),
    // Jan 31, 2024 8:30:59 PM
    (
        AName,
        &[
            Name,
            One(b" "),
            ShortDay,
            One(b","),
            One(b" "),
            Year,
            Maybe(b','),
            One(b" "),
            Clock,
            Zone,
        ],
    ),
    // 31.01.2024 12:30:59
    (
        Number,
        &[
            Day,
            One(b"."),
            Month,
            One(b"."),
            Year,
            Maybe(b','),
            One(b" "),
            Clock,
            Zone,
        ],
    ),
    // 01/31/2024 12:30:59, and the other way round where that fits more lines
    (
        Number,
        &[
            Month,
            One(b"/"),
            Day,
            One(b"/"),
            Year,
            Maybe(b','),
            One(b" "),
            Clock,
            Zone,
        ],
    ),
    (
        Number,
        &[
            Day,
            One(b"/"),
            Month,
            One(b"/"),
            Year,
            Maybe(b','),
            One(b" "),
            Clock,
            Zone,
        ],
    ),
    // 24/01/31 12:30:59
    (
        Number,
        &[
            YearOfCentury,
            One(b"/"),
            Month,
            One(b"/"),
            Day,
            One(b" "),
            Clock,
            Zone,
        ],
    ),
    // 20240131-12:30:59:123
    (Number, &[Year, Month, Day, One(b"-T "), Clock, Zone]),
    // Jan 31 12:30:59
    (AName, &[Name, Blanks, ShortDay, One(b" "), Clock]),
    // 01-31 12:30:59.123
    (Number, &[Month, One(b"-"), Day, One(b" "), Clock]),
    // I0131 12:30:59.123456
    (Line, &[One(b"DIWEF"), Month, Day, One(b" "), Clock]),
    // 240131 123059
    (
        Line,
        &[YearOfCentury, Month, Day, One(b" "), TightClock, WordEnd],
    ),
    // 1706704259.123, 1706704259123
    (Line, &[Epoch]),
];

/// Which forms may begin with a number, a name, or only a line; a bit each.
const fn beginning(with: Begin) -> u16 {
    let (mut forms, mut form) = (0, 0);
    while form < COUNT {
        if FORMS[form].0 as u8 == with as u8 {
            forms |= 1 << form;
        }
        form += 1;
    }
    forms
}

const WITH_LINE: u16 = beginning(Line);
const WITH_NUMBER: u16 = beginning(Number);
const WITH_NAME: u16 = beginning(AName);

/// The forms that may stand at `at`, a bit each.
#[inline]
pub(super) fn possible(text: &[u8], at: usize) -> u16 {
    let line = if at == 0 { WITH_LINE } else { 0 };
    let is_within_word = at > 0 && is_word(text[at - 1]);
    match text.get(at) {
        Some(b'0'..=b'9') if !is_within_word => WITH_NUMBER | line,
        Some(b'A'..=b'Z') if !is_within_word => WITH_NAME | line,
        Some(_) => line,
        None => 0,
    }
}

/// A form that stands at `at`: its bytes, and its parts.
pub(super) fn read(form: usize, text: &[u8], at: usize) -> Option<(Range<usize>, Parts)> {
    let mut cursor = Cursor { text, at };
    let mut parts = Parts::default();
    for step in FORMS[form].1 {
        cursor.take(*step, &mut parts)?;
    }
    Some((at..cursor.at, parts))
}

pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

struct Cursor<'t> {
    text: &'t [u8],
    at: usize,
}

impl Cursor<'_> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &[u8] {
        &self.text[self.at..]
    }

    /// One of these bytes.
    #[inline]
    fn one(&mut self, bytes: &[u8]) -> Option<()> {
        let is_there = self.peek().is_some_and(|byte| bytes.contains(&byte));
        self.at += usize::from(is_there);
        is_there.then_some(())
    }

    fn run(&mut self, byte: u8) -> usize {
        let count = self.rest().iter().take_while(|one| **one == byte).count();
        self.at += count;
        count
    }

    /// `COUNT` digits.
    #[inline]
    fn digits<const COUNT: usize>(&mut self) -> Option<i64> {
        let digits = self.rest().first_chunk::<COUNT>()?;
        let mut number = 0;
        for byte in digits {
            number = number * 10 + i64::from(digit(*byte)?);
        }
        self.at += COUNT;
        Some(number)
    }

    #[inline]
    fn one_or_two(&mut self) -> Option<i64> {
        let first = i64::from(digit(self.peek()?)?);
        self.at += 1;
        let Some(second) = self.peek().and_then(digit) else {
            return Some(first);
        };
        self.at += 1;
        Some(first * 10 + i64::from(second))
    }

    fn is_word_end(&self) -> bool {
        let is = |at: Option<usize>| {
            at.and_then(|at| self.text.get(at))
                .is_some_and(|byte| is_word(*byte))
        };
        is(self.at.checked_sub(1)) != is(Some(self.at))
    }

    fn take(&mut self, step: Step, parts: &mut Parts) -> Option<()> {
        match step {
            One(bytes) => return self.one(bytes),
            Maybe(byte) => self.at += usize::from(self.peek() == Some(byte)),
            Blanks => return (self.run(b' ') > 0).then_some(()),
            TOrBlanks => return (self.one(b"T").is_some() || self.run(b' ') > 0).then_some(()),
            Year => parts.year = Some(self.digits::<4>()?),
            YearOfCentury => parts.year_of_century = Some(self.digits::<2>()?),
            Month => parts.month = Some(self.digits::<2>()?),
            Day => parts.day = Some(self.digits::<2>()?),
            ShortDay => parts.day = Some(self.one_or_two()?),
            Name => {
                let name = *self.rest().first_chunk::<3>()?;
                let is_name = name[0].is_ascii_uppercase()
                    && name[1].is_ascii_lowercase()
                    && name[2].is_ascii_lowercase();
                self.at += 3;
                parts.name = Some(name);
                return is_name.then_some(());
            }
            Clock => return self.clock(parts),
            TightClock => {
                parts.hour = Some(self.digits::<2>()?);
                parts.minute = Some(self.digits::<2>()?);
                parts.second = Some(self.digits::<2>()?);
            }
            Zone => self.zone(parts),
            Utc => {
                self.at += if self.rest().starts_with(b" UTC") {
                    4
                } else {
                    0
                }
            }
            WordEnd => return self.is_word_end().then_some(()),
            Epoch => return self.epoch(parts),
        }
        Some(())
    }

    fn clock(&mut self, parts: &mut Parts) -> Option<()> {
        parts.hour = Some(self.one_or_two()?);
        self.one(b":")?;
        parts.minute = Some(self.one_or_two()?);
        self.one(b":")?;
        parts.second = Some(self.digits::<2>()?);
        if matches!(self.peek(), Some(b'.' | b',' | b':')) {
            self.at += 1;
            parts.milli = self.fraction();
            self.at -= usize::from(parts.milli.is_none());
        }
        if let [b' ', half, b'M' | b'm', rest @ ..] = self.rest()
            && let b'a' | b'A' | b'p' | b'P' = half
            && !rest.first().is_some_and(|byte| is_word(*byte))
        {
            parts.afternoon = Some(half.eq_ignore_ascii_case(&b'p'));
            self.at += 3;
        }
        Some(())
    }

    /// Thousandths from one to nine digits; `None`, and nothing taken, where there are none.
    fn fraction(&mut self) -> Option<i64> {
        let digits = self.rest().iter().take(9);
        let count = digits.take_while(|byte| byte.is_ascii_digit()).count();
        let thousandths = |at: usize, of: i64| match at < count {
            true => of * i64::from(self.text[self.at + at] - b'0'),
            false => 0,
        };
        let milli = thousandths(0, 100) + thousandths(1, 10) + thousandths(2, 1);
        self.at += count;
        (count > 0).then_some(milli)
    }

    fn zone(&mut self, parts: &mut Parts) {
        let begin = self.at;
        self.at += usize::from(self.peek() == Some(b' '));
        parts.offset_seconds = self.offset().filter(|_| self.is_word_end());
        if parts.offset_seconds.is_none() {
            self.at = begin;
        }
    }

    fn offset(&mut self) -> Option<i64> {
        match self.rest() {
            [b'Z', ..] => {
                self.at += 1;
                Some(0)
            }
            [b'U', b'T', b'C', ..] | [b'G', b'M', b'T', ..] => {
                self.at += 3;
                Some(0)
            }
            [sign @ (b'+' | b'-'), ..] => {
                let ahead = if *sign == b'-' { -1 } else { 1 };
                self.at += 1;
                let hours = self.digits::<2>()?;
                self.at += usize::from(self.peek() == Some(b':'));
                let minutes = self.digits::<2>()?;
                Some(ahead * (hours * 3600 + minutes * 60))
            }
            _ => None,
        }
    }

    /// Ten digits that begin with a 1, a fraction or three, six or nine digits more, and the end of the word. What goes on after a full stop in another way is another word.
    fn epoch(&mut self, parts: &mut Parts) -> Option<()> {
        self.at += usize::from(self.peek() == Some(b'['));
        self.run(b' ');
        if self.peek() != Some(b'1') {
            return None;
        }
        parts.epoch = Some(self.digits::<10>()?);
        let whole = self.at;
        let more = self.rest().iter().take_while(|byte| byte.is_ascii_digit());
        match more.count() {
            0 => {}
            more @ (3 | 6 | 9) => {
                parts.epoch_milli = self.digits::<3>();
                self.at = whole + more;
            }
            _ => return None,
        }
        if self.at == whole && self.peek() == Some(b'.') {
            self.at += 1;
            parts.milli = self.fraction();
            if parts.milli.is_none() || !self.is_word_end() {
                parts.milli = None;
                self.at = whole;
            }
        }
        self.is_word_end().then_some(())
    }
}

#[inline]
fn digit(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use regex::bytes::{Captures, Regex, RegexBuilder};
    use std::sync::LazyLock;

    const CLOCK: &str =
        r"(?<H>\d{1,2}):(?<M>\d{1,2}):(?<S>\d{2})(?:[.,:](?<f>\d{1,9}))?(?: (?<p>[AaPp][Mm])\b)?";
    const ZONE: &str = r"(?: ?(?<z>Z|UTC|GMT|[+-]\d{2}:?\d{2})\b)?";
    const NAME: &str = r"(?<b>[A-Z][a-z]{2})";

    /// The forms as they are meant.
    fn patterns() -> [String; COUNT] {
        [
            format!(r"\b(?<y>\d{{4}})[-/.](?<m>\d{{2}})[-/.](?<d>\d{{2}})(?:T| +){CLOCK}{ZONE}"),
            format!(r"\b(?<d>\d{{1,2}})/{NAME}/(?<y>\d{{4}}):{CLOCK}{ZONE}"),
            format!(r"\b(?<d>\d{{1,2}})[ -]{NAME}[ -](?<y>\d{{4}}) {CLOCK}{ZONE}"),
            format!(r"\b{NAME} +(?<d>\d{{1,2}}) {CLOCK}(?: UTC)? (?<y>\d{{4}})\b"),
            format!(r"\b{NAME} (?<d>\d{{1,2}}), (?<y>\d{{4}}),? {CLOCK}{ZONE}"),
            format!(r"\b(?<d>\d{{2}})\.(?<m>\d{{2}})\.(?<y>\d{{4}}),? {CLOCK}{ZONE}"),
            format!(r"\b(?<m>\d{{2}})/(?<d>\d{{2}})/(?<y>\d{{4}}),? {CLOCK}{ZONE}"),
            format!(r"\b(?<d>\d{{2}})/(?<m>\d{{2}})/(?<y>\d{{4}}),? {CLOCK}{ZONE}"),
            format!(r"\b(?<Y>\d{{2}})/(?<m>\d{{2}})/(?<d>\d{{2}}) {CLOCK}{ZONE}"),
            format!(r"\b(?<y>\d{{4}})(?<m>\d{{2}})(?<d>\d{{2}})[-T ]{CLOCK}{ZONE}"),
            format!(r"\b{NAME} +(?<d>\d{{1,2}}) {CLOCK}"),
            format!(r"\b(?<m>\d{{2}})-(?<d>\d{{2}}) {CLOCK}"),
            format!(r"^[DIWEF](?<m>\d{{2}})(?<d>\d{{2}}) {CLOCK}"),
            r"^(?<Y>\d{2})(?<m>\d{2})(?<d>\d{2}) (?<H>\d{2})(?<M>\d{2})(?<S>\d{2})\b".to_owned(),
            r"^\[? *(?<e>1\d{9})(?:\.(?<f>\d{1,9})|(?<g>\d{3})(?:\d{3}){0,2})?\b".to_owned(),
        ]
    }

    static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
        let compiled = patterns().map(|pattern| {
            let pattern = RegexBuilder::new(&pattern).unicode(false).build();
            pattern.expect("a pattern")
        });
        compiled.into()
    });

    fn as_parts(captures: &Captures<'_>) -> Parts {
        let bytes = |name: &str| Some(captures.name(name)?.as_bytes());
        let number = |name: &str| std::str::from_utf8(bytes(name)?).ok()?.parse().ok();
        let offset = |zone: &[u8]| {
            let digits: Vec<i64> = zone
                .iter()
                .filter(|byte| byte.is_ascii_digit())
                .map(|byte| i64::from(byte - b'0'))
                .collect();
            match (zone[0], &digits[..]) {
                (b'-', [a, b, c, d]) => -((a * 10 + b) * 3600 + (c * 10 + d) * 60),
                (_, [a, b, c, d]) => (a * 10 + b) * 3600 + (c * 10 + d) * 60,
                _ => 0,
            }
        };
        let millis = |digits: &[u8]| {
            let digit = |at: usize| i64::from(digits.get(at).map_or(0, |byte| byte - b'0'));
            digit(0) * 100 + digit(1) * 10 + digit(2)
        };
        Parts {
            year: number("y"),
            year_of_century: number("Y"),
            month: number("m"),
            name: bytes("b").map(|name| name.try_into().expect("three letters")),
            day: number("d"),
            hour: number("H"),
            minute: number("M"),
            second: number("S"),
            milli: bytes("f").map(millis),
            afternoon: bytes("p").map(|half| half.eq_ignore_ascii_case(b"pm")),
            offset_seconds: bytes("z").map(offset),
            epoch: number("e"),
            epoch_milli: number("g"),
        }
    }

    /// Whether each form is found where its pattern is, and says the same.
    fn agree(text: &[u8]) -> Result<(), TestCaseError> {
        for (form, pattern) in PATTERNS.iter().enumerate() {
            let meant = pattern.captures(text).map(|captures| {
                let whole = captures.get(0).expect("the match").range();
                (whole, as_parts(&captures))
            });
            let found = (0..=text.len())
                .filter(|at| possible(text, *at) & 1 << form != 0)
                .find_map(|at| read(form, text, at));
            let shown = String::from_utf8_lossy(text);
            prop_assert_eq!(found, meant, "form {} in {:?}", form, shown);
        }
        Ok(())
    }

    /// Times, near times, and what stands around them.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => "[0-9]{1,4}",
            1 => "1[0-9]{8,20}",
            2 => "[0-9]{2}:[0-9]{2}:[0-9]{2}",
            1 => "[0-9]{4}-[0-9]{2}-[0-9]{2}",
            1 => "[0-9]{2}/[0-9]{2}/[0-9]{2,4}",
            1 => "[0-9]{6,8}",
            3 => "[-/.:,T \\[\\]_+]",
            1 => "[.,:][0-9]{1,11}",
            1 => "(Jan|Feb|Foo|MAR|apr|Decx)",
            1 => "( AM| pm| PMx| UTC|Z| GMT|\\+01:00| -0500|\\+010)",
            1 => "[DIWEF]",
            1 => "[ ]{1,3}",
            1 => "[a-zé]{1,2}",
        ];
        proptest::collection::vec(piece, 1..12).prop_map(|pieces| pieces.concat())
    }

    /// A time of each form, with optional parts, cut off and gone on with.
    fn times() -> impl Strategy<Value = String> {
        let clock = "[0-9]{1,2}:[0-9]{1,2}:[0-9]{2}([.,:][0-9]{1,10})?( [AaPp][Mm]x?)?";
        let zone = "( ?(Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2}))?";
        let name = "[A-Z][a-z]{2}";
        let forms = [
            format!("[0-9]{{4}}[-/.][0-9]{{2}}[-/.][0-9]{{2}}(T| {{1,2}}){clock}{zone}"),
            format!("[0-9]{{1,2}}/{name}/[0-9]{{4}}:{clock}{zone}"),
            format!("[0-9]{{1,2}}[ -]{name}[ -][0-9]{{4}} {clock}{zone}"),
            format!("{name} {{1,2}}[0-9]{{1,2}} {clock}( UTC)?( [0-9]{{4,5}})?"),
            format!("{name} [0-9]{{1,2}}, [0-9]{{4}},? {clock}{zone}"),
            format!("[0-9]{{2}}[./][0-9]{{2}}[./][0-9]{{2,4}},? {clock}{zone}"),
            format!("[0-9]{{8}}[-T ]{clock}{zone}"),
            format!("[0-9]{{2}}-[0-9]{{2}} {clock}"),
            format!("[DIWEF][0-9]{{4}} {clock}"),
            "[0-9]{6} [0-9]{6,7}".to_owned(),
            "\\[? {0,2}1[0-9]{9,19}([.][0-9]{1,10})?".to_owned(),
        ];
        let mut any = Vec::new();
        for form in forms {
            any.push(form.prop_regex());
        }
        let around = (
            "[<\\[( a_1]{0,3}",
            proptest::strategy::Union::new(any),
            "[x_ :.Z0\\]]{0,2}",
        );
        (around, 0..80usize).prop_map(|((before, time, after), cut)| {
            let text = before + &time + &after;
            text.chars().take(cut.max(12)).collect()
        })
    }

    trait PropRegex {
        fn prop_regex(&self) -> BoxedStrategy<String>;
    }
    impl PropRegex for String {
        fn prop_regex(&self) -> BoxedStrategy<String> {
            proptest::string::string_regex(self)
                .expect("a pattern")
                .boxed()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn forms_are_found_where_their_patterns_are(text in pieces()) {
            agree(text.as_bytes())?;
        }

        #[test]
        fn times_are_read_as_their_patterns_say(text in times()) {
            agree(text.as_bytes())?;
        }

        #[test]
        fn any_bytes_are_read_as_the_patterns_say(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            agree(&text)?;
        }
    }
}
