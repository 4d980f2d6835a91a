//! Time texts by a java-time pattern such as `dd/MMM/yyyy:HH:mm:ss Z`.
//!
//! A pattern is compiled once to a list of steps, each of which eats the beginning of what is left of the text. Letters: see
//! [`Pattern::new`]. Read more freely than Java does: names of months and days in any case (English), any spelling of an offset for any
//! offset letter, and the day of the week is read but not compared. Names of regions (`Europe/Berlin`) are refused: their rules
//! change with the machine's tables, and a replay must give the same times.
//! Source: the letters of java.time.format.DateTimeFormatter. Checked: tests/decode.rs against chrono.

use crate::time::civil::{Civil, Why, millis_of, zone_prefix};

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    steps: Vec<Step>,
}

/// Why a pattern is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum PatternError {
    #[error(
        "letter {letter:?} at character {at} is not supported; use y u M L d D H h K k a m s S n N A E e G X x Z z V and quote literal text"
    )]
    Letter { letter: char, at: usize },
    #[error("{letters:?} at character {at} has too many or too few letters; {expected}")]
    Count {
        letters: String,
        at: usize,
        expected: &'static str,
    },
    #[error("the week-based year {0:?} was probably meant to be \"yyyy\"")]
    WeekYear(String),
    #[error("the quote that opens at character {at} is not closed; write '' for a quote itself")]
    Quote { at: usize },
    #[error("the bracket at character {at} has no partner; quote it if it is literal")]
    Bracket { at: usize },
    #[error("no {0}; a time needs a year (yyyy) and a day (MM and dd, or DDD)")]
    Incomplete(&'static str),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// `least..=most` digits into a part.
    Digits {
        part: Part,
        least: usize,
        most: usize,
    },
    /// A name of a month or day.
    Name {
        part: Part,
        names: &'static [&'static str],
        letters: usize,
    },
    /// AM or PM.
    HalfDay,
    Zone,
    /// Exactly this.
    Literal(String),
    /// These, or nothing of them.
    Optional(Vec<Step>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Year,
    /// Two digits: 2000 to 2099, as Java.
    YearOfCentury,
    Month,
    Day,
    DayOfYear,
    /// Read and not used.
    Ignored,
    /// 0 to 23.
    Hour,
    /// 1 to 24.
    ClockHour,
    /// 0 to 11, or 1 to 12 where 12 comes first.
    HalfDayHour,
    HalfDayClockHour,
    Minute,
    Second,
    Fraction,
    Nano,
    NanoOfDay,
    MilliOfDay,
}

const MONTHS: &[&str] = &[
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: &[&str] = &[
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// Years before 1 are no times here.
const ERAS: &[&str] = &["AD", "Anno Domini"];

impl Pattern {
    /// Compiles a pattern of these letters; everything else that is not a letter stands for itself.
    ///
    /// | letters | read as |
    /// |---|---|
    /// | `yyyy` `uuuu`, `yy` `uu`, `y` `u` | year of 4 digits; of 2 (2000-2099); of 1 to 4 |
    /// | `M` `MM` (`L`), `MMM`, `MMMM` | month of 1-2 or 2 digits; `Jan`; `January` |
    /// | `d` `dd`, `D` `DDD` | day of the month, of the year |
    /// | `H` `HH`, `k` `kk`, `h` `hh`, `K` `KK`, `a` | hour 0-23, 1-24, 1-12, 0-11; AM or PM |
    /// | `m` `mm`, `s` `ss`, `S`... | minute, second, as many decimals of a second |
    /// | `n`, `N`, `A` | nanosecond of the second, of the day; millisecond of the day |
    /// | `E` to `EEEE`, `e`, `G` | day of the week, `Mon`, `Monday` or a number; era, `AD`: read, not used |
    /// | `X` `x` `Z` `z` `VV` | offset (`Z` `+02` `+0200` `+02:00`), or `UTC` `GMT` |
    /// | `'text'` `''` `[...]` | literal text, a quote, a part that may be absent |
    pub fn new(pattern: &str) -> Result<Pattern, PatternError> {
        let letters: Vec<char> = pattern.chars().collect();
        let mut compiler = Compiler {
            letters: &letters,
            at: 0,
            parts: Vec::new(),
        };
        let steps = compiler.steps(None)?;
        compiler.check_complete()?;
        Ok(Pattern {
            text: pattern.into(),
            steps,
        })
    }

    /// Milliseconds since the epoch of a text.
    pub(super) fn millis(&self, text: &str) -> Result<i64, Why> {
        let mut fields = Fields::default();
        match run(&self.steps, text, &mut fields) {
            Some("") => fields.millis(),
            Some(rest) => Err(self.unread(text, rest)),
            None => Err(self.unread(text, fields.unread(text))),
        }
    }

    #[cold]
    fn unread(&self, text: &str, rest: &str) -> Why {
        let zoned = self.steps.contains(&Step::Zone);
        let hint = match zoned && rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            true => " (of named zones only UTC, GMT and Z are known; use offsets)",
            false => "",
        };
        let column = text.len() - rest.len() + 1;
        format!(
            "does not match time_format {:?} from its character {column} on{hint}",
            self.text
        )
        .into()
    }
}

struct Compiler<'p> {
    letters: &'p [char],
    at: usize,
    parts: Vec<Part>,
}

impl Compiler<'_> {
    /// Steps up to the end, or to the bracket that closes the one at `opened`.
    fn steps(&mut self, opened: Option<usize>) -> Result<Vec<Step>, PatternError> {
        let mut steps = Vec::new();
        while let Some(&letter) = self.letters.get(self.at) {
            let at = self.at;
            match letter {
                '\'' => push_literal(&mut steps, &self.quoted()?),
                '[' => {
                    self.at += 1;
                    steps.push(Step::Optional(self.steps(Some(at))?));
                }
                ']' if opened.is_some() => {
                    self.at += 1;
                    return Ok(steps);
                }
                ']' => return Err(PatternError::Bracket { at: at + 1 }),
                letter if letter.is_ascii_alphabetic() => {
                    let count = self.letters[at..]
                        .iter()
                        .take_while(|other| **other == letter)
                        .count();
                    self.at += count;
                    let step = step(letter, count, at + 1)?;
                    if let Step::Digits { part, .. } | Step::Name { part, .. } = step {
                        self.parts.push(part);
                    }
                    steps.push(step);
                }
                literal => {
                    self.at += 1;
                    push_literal(&mut steps, literal.encode_utf8(&mut [0; 4]));
                }
            }
        }
        match opened {
            Some(at) => Err(PatternError::Bracket { at: at + 1 }),
            None => Ok(steps),
        }
    }

    /// The text in the quotes that open here.
    fn quoted(&mut self) -> Result<String, PatternError> {
        let opened = self.at;
        let mut text = String::new();
        self.at += 1;
        loop {
            match self.letters[self.at..] {
                [] => return Err(PatternError::Quote { at: opened + 1 }),
                ['\'', '\'', ..] => {
                    text.push('\'');
                    self.at += 2;
                }
                ['\'', ..] => break,
                [letter, ..] => {
                    text.push(letter);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        Ok(if text.is_empty() { "'".into() } else { text })
    }

    fn check_complete(&self) -> Result<(), PatternError> {
        let has = |part| self.parts.contains(&part);
        if !has(Part::Year) && !has(Part::YearOfCentury) {
            return Err(PatternError::Incomplete("year"));
        }
        let has_day = has(Part::DayOfYear) || has(Part::Month) && has(Part::Day);
        if !has_day {
            return Err(PatternError::Incomplete("day"));
        }
        Ok(())
    }
}

fn push_literal(steps: &mut Vec<Step>, text: &str) {
    match steps.last_mut() {
        Some(Step::Literal(literal)) => literal.push_str(text),
        _ => steps.push(Step::Literal(text.into())),
    }
}

/// The step that `count` letters at character `at` stand for.
fn step(letter: char, count: usize, at: usize) -> Result<Step, PatternError> {
    let wrong = |expected| {
        let letters = letter.to_string().repeat(count);
        Err(PatternError::Count {
            letters,
            at,
            expected,
        })
    };
    let digits = |part, least, most| Ok(Step::Digits { part, least, most });
    let name = |part, names, letters| {
        Ok(Step::Name {
            part,
            names,
            letters,
        })
    };
    let one_or_two = |part| match count {
        1 => digits(part, 1, 2),
        2 => digits(part, 2, 2),
        _ => wrong("one or two"),
    };
    match (letter, count) {
        ('y' | 'u', 1) => digits(Part::Year, 1, 4),
        ('y' | 'u', 2) => digits(Part::YearOfCentury, 2, 2),
        ('y' | 'u', 3..=9) => digits(Part::Year, count, count.max(4)),
        ('y' | 'u', _) => wrong("write yyyy, yy or y"),
        ('Y', _) => Err(PatternError::WeekYear("Y".repeat(count))),
        ('M' | 'L', 3) => name(Part::Month, MONTHS, 3),
        ('M' | 'L', 4) => name(Part::Month, MONTHS, usize::MAX),
        ('M' | 'L', _) => one_or_two(Part::Month),
        ('d', _) => one_or_two(Part::Day),
        ('D', 1..=3) => digits(Part::DayOfYear, count, 3),
        ('D', _) => wrong("write D or DDD"),
        ('E', 1..=3) | ('e', 3) => name(Part::Ignored, DAYS, 3),
        ('E' | 'e', 4) => name(Part::Ignored, DAYS, usize::MAX),
        ('E', _) => wrong("write EEE or EEEE"),
        ('e', _) => one_or_two(Part::Ignored),
        ('G', 1..=3) => name(Part::Ignored, ERAS, 2),
        ('G', 4) => name(Part::Ignored, ERAS, usize::MAX),
        ('a', 1) => Ok(Step::HalfDay),
        ('a', _) => wrong("write one a"),
        ('H', _) => one_or_two(Part::Hour),
        ('k', _) => one_or_two(Part::ClockHour),
        ('K', _) => one_or_two(Part::HalfDayHour),
        ('h', _) => one_or_two(Part::HalfDayClockHour),
        ('m', _) => one_or_two(Part::Minute),
        ('s', _) => one_or_two(Part::Second),
        ('S', 1..=9) => digits(Part::Fraction, count, count),
        ('S', _) => wrong("at most nine"),
        ('n', 1..=9) => digits(Part::Nano, count, 9),
        ('N', 1..=14) => digits(Part::NanoOfDay, count, 14),
        ('A', 1..=8) => digits(Part::MilliOfDay, count, 8),
        ('X' | 'x' | 'Z', 1..=5) | ('z', 1..=4) | ('V', 2) => Ok(Step::Zone),
        ('n' | 'N' | 'A' | 'G' | 'X' | 'x' | 'Z' | 'z' | 'V', _) => {
            wrong("see the letters of java.time")
        }
        _ => Err(PatternError::Letter { letter, at }),
    }
}

/// What a text says, part by part.
#[derive(Clone, Copy, Debug)]
struct Fields {
    civil: Civil,
    day_of_year: Option<i64>,
    half_day_hour: Option<i64>,
    afternoon: bool,
    /// Hour, minute, second and fraction in one.
    milli_of_day: Option<i64>,
    /// How many bytes were left where the text stopped matching.
    left: usize,
}

impl Default for Fields {
    fn default() -> Fields {
        let civil = Civil {
            year: 1970,
            month: 1,
            day: 1,
            hour: 0,
            minute: 0,
            second: 0,
            milli: 0,
            offset_seconds: 0,
        };
        Fields {
            civil,
            day_of_year: None,
            half_day_hour: None,
            afternoon: false,
            milli_of_day: None,
            left: usize::MAX,
        }
    }
}

impl Fields {
    /// The furthest rest at which matching failed.
    fn unread<'t>(&self, text: &'t str) -> &'t str {
        &text[text.len() - self.left.min(text.len())..]
    }

    fn set(&mut self, part: Part, number: i64, digits: &str) {
        let civil = &mut self.civil;
        match part {
            Part::Year => civil.year = number,
            Part::YearOfCentury => civil.year = 2000 + number,
            Part::Month => civil.month = number,
            Part::Day => civil.day = number,
            Part::DayOfYear => self.day_of_year = Some(number),
            Part::Ignored => {}
            Part::Hour => civil.hour = number,
            // 24 is midnight; 0 does not exist, and must not pass for it.
            Part::ClockHour => {
                civil.hour = if number == 0 {
                    -1
                } else {
                    number % 24 + 24 * i64::from(number > 24)
                }
            }
            Part::HalfDayHour => self.half_day_hour = Some(if number < 12 { number } else { -1 }),
            Part::HalfDayClockHour => {
                self.half_day_hour = Some(if (1..=12).contains(&number) {
                    number % 12
                } else {
                    -1
                })
            }
            Part::Minute => civil.minute = number,
            Part::Second => civil.second = number,
            Part::Fraction => civil.milli = millis_of(digits.as_bytes()),
            Part::Nano => civil.milli = number / 1_000_000,
            Part::NanoOfDay => self.milli_of_day = Some(number / 1_000_000),
            Part::MilliOfDay => self.milli_of_day = Some(number),
        }
    }

    fn millis(mut self) -> Result<i64, Why> {
        match self.half_day_hour {
            Some(-1) => return Err("has an hour that a half day lacks".into()),
            Some(hour) => self.civil.hour = hour + 12 * i64::from(self.afternoon),
            None => {}
        }
        if let Some(milli) = self.milli_of_day {
            let civil = &mut self.civil;
            (civil.hour, civil.minute) = (milli / 3_600_000, milli / 60_000 % 60);
            (civil.second, civil.milli) = (milli / 1000 % 60, milli % 1000);
        }
        let Some(day_of_year) = self.day_of_year else {
            return self.civil.millis();
        };
        (self.civil.month, self.civil.day) = (12, 31);
        let last = self.civil.millis()?;
        (self.civil.month, self.civil.day) = (1, 1);
        let first = self.civil.millis()?;
        let ms = first + (day_of_year - 1) * 86_400_000;
        if day_of_year < 1 || ms > last {
            return Err("has a day that its year lacks".into());
        }
        Ok(ms)
    }
}

/// What the steps leave of `text`; `None` if one of them does not match.
fn run<'t>(steps: &[Step], mut text: &'t str, fields: &mut Fields) -> Option<&'t str> {
    for step in steps {
        match eat(step, text, fields) {
            Some(rest) => text = rest,
            None => {
                fields.left = fields.left.min(text.len());
                return None;
            }
        }
    }
    Some(text)
}

fn eat<'t>(step: &Step, text: &'t str, fields: &mut Fields) -> Option<&'t str> {
    match step {
        Step::Literal(literal) => text.strip_prefix(literal.as_str()),
        Step::Digits { part, least, most } => {
            let count = text
                .bytes()
                .take(*most)
                .take_while(u8::is_ascii_digit)
                .count();
            let (digits, rest) = text.split_at(count);
            if count < *least {
                return None;
            }
            fields.set(*part, digits.parse().ok()?, digits);
            Some(rest)
        }
        Step::Name {
            part,
            names,
            letters,
        } => {
            let (index, length) = names.iter().enumerate().find_map(|(index, name)| {
                let name = &name[..name.len().min(*letters)];
                let start = text.get(..name.len())?;
                start
                    .eq_ignore_ascii_case(name)
                    .then_some((index, name.len()))
            })?;
            fields.set(*part, index as i64 + 1, "");
            Some(&text[length..])
        }
        Step::HalfDay => {
            let half = text.get(..2)?;
            fields.afternoon = half.eq_ignore_ascii_case("pm");
            (fields.afternoon || half.eq_ignore_ascii_case("am")).then(|| &text[2..])
        }
        Step::Zone => {
            let (offset, rest) = zone_prefix(text.as_bytes())?;
            fields.civil.offset_seconds = offset;
            // What was read is ASCII, so the rest begins at a character.
            Some(&text[text.len() - rest.len()..])
        }
        Step::Optional(steps) => {
            let mut tried = *fields;
            match run(steps, text, &mut tried) {
                Some(rest) => {
                    *fields = tried;
                    Some(rest)
                }
                None => Some(text),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pattern: &str, text: &str) -> Result<i64, Why> {
        Pattern::new(pattern)
            .unwrap_or_else(|error| panic!("{pattern}: {error}"))
            .millis(text)
    }

    #[test]
    fn patterns_in_use_read_their_texts() {
        for (pattern, text, ms) in [
            (
                "yyyy-MM-dd HH:mm:ss",
                "2024-02-29 12:30:59",
                1_709_209_859_000,
            ),
            (
                "yyyy-MM-dd'T'HH:mm:ss.SSSX",
                "2024-02-29T12:30:59.123Z",
                1_709_209_859_123,
            ),
            (
                "yyyy-MM-dd HH:mm:ss[.SSS][X]",
                "2024-02-29 12:30:59+0200",
                1_709_202_659_000,
            ),
            (
                "yyyy-MM-dd HH:mm:ss,SSSSSS",
                "2024-02-29 12:30:59,123999",
                1_709_209_859_123,
            ),
            (
                "dd/MMM/yyyy:HH:mm:ss Z",
                "29/Feb/2024:12:30:59 -0330",
                1_709_222_459_000,
            ),
            (
                "EEE MMM d HH:mm:ss yyyy",
                "thu feb 29 12:30:59 2024",
                1_709_209_859_000,
            ),
            (
                "EEEE, d MMMM uuuu h:mm a",
                "Thursday, 29 February 2024 12:30 am",
                1_709_166_600_000,
            ),
            (
                "M/d/yy h:mm:ss a z",
                "2/9/24 1:05:09 PM GMT+01:00",
                1_707_480_309_000,
            ),
            ("yyyyMMddHHmmss", "20240229123059", 1_709_209_859_000),
            ("yyyyDDD", "2024366", 1_735_603_200_000),
            ("yyyy-MM-dd kk:mm", "2024-02-29 24:30", 1_709_166_600_000),
            (
                "yyyy-MM-dd 'o''clock' HH VV",
                "2024-02-29 o'clock 12 UTC",
                1_709_208_000_000,
            ),
            ("yyyy-MM-dd N", "2024-02-29 1500000", 1_709_164_800_001),
            ("yyyy-MM-dd", "2024-02-29", 1_709_164_800_000),
        ] {
            assert_eq!(read(pattern, text), Ok(ms), "{pattern}");
        }
    }

    #[test]
    fn a_text_that_does_not_match_is_told_where() {
        for (pattern, text, why) in [
            (
                "yyyy-MM-dd HH:mm",
                "2024-02-29T12:30",
                "from its character 11 on",
            ),
            ("yyyy-MM-dd", "2024-02-29 12:30", "from its character 11 on"),
            (
                "yyyy-MM-dd HH:mm z",
                "2024-02-29 12:30 CEST",
                "only UTC, GMT and Z",
            ),
            (
                "yyyy-MM-dd HH:mm VV",
                "2024-02-29 12:30 Europe/Berlin",
                "use offsets",
            ),
            ("yyyy-MM-dd", "2024-02-30", "day that its month lacks"),
            ("yyyyDDD", "2023366", "day that its year lacks"),
            ("yyyyDDD", "2023000", "day that its year lacks"),
            ("yyyy-MM-dd hh a", "2024-02-29 13 AM", "half day lacks"),
            ("yyyy-MM-dd kk", "2024-02-29 00", "hour"),
            ("yyyy-MM-dd kk", "2024-02-29 25", "hour"),
            ("yyyy-MM-dd N", "2024-02-29 99999999999999", "hour"),
            ("yyyy-MM-dd HH", "2024-02-29 é", "from its character 12 on"),
        ] {
            let found = read(pattern, text).unwrap_err();
            assert!(found.contains(why), "{pattern}: {found}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_a_reason() {
        for (pattern, why) in [
            ("yyyy-MM-ddTHH", "letter 'T' at character 11"),
            ("YYYY-MM-dd", "\"yyyy\""),
            ("yyyy-MM-dd 'at", "quote that opens at character 12"),
            ("yyyy-MM-dd [HH", "bracket at character 12"),
            ("yyyy-MM-dd HH]", "bracket at character 14"),
            ("HH:mm:ss", "no year"),
            ("yyyy HH", "no day"),
            ("yyyyyyyyyy-MM-dd", "write yyyy"),
            ("yyyy-MM-dd SSSSSSSSSS", "at most nine"),
            ("", "no year"),
        ] {
            let found = Pattern::new(pattern).unwrap_err().to_string();
            assert!(found.contains(why), "{pattern}: {found}");
        }
    }
}
