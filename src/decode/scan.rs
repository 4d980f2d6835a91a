//! JSON, token by token, over text that is known to be UTF-8.
//!
//! A [`Scanner`] stands at a byte of one document and moves forward only. It borrows what can be borrowed (strings without an
//! escape, digits), checks the grammar of RFC 8259 also in what it skips, and neither recurses nor allocates while skipping.
//! Why not serde_json: its skipping has no depth limit, an event with an escape or a nested part costs it an allocation, and it cannot say
//! where to go on after a flaw; `benches/decode.rs` keeps watch that this is no slower. Checked: tests/decode.rs compares the two on
//! generated and on broken documents.
//!
//! One liberty: half a surrogate pair (`"\ud83d"`, the mark of a logger that cuts text) reads as U+FFFD rather than costing the event.

use std::borrow::Cow;

/// Objects and arrays inside one another, the event itself included.
pub(super) const DEPTH_MAX: u32 = 64;

/// What is wrong with a document, at the byte where the scanner stands. One byte, so that results travel in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It ends before it is complete.
    Cut,
    /// More than [`DEPTH_MAX`] containers inside one another.
    TooDeep,
    /// Not UTF-8.
    Utf8,
    /// A number that no 64-bit float can hold.
    Range,
    /// Not JSON: instead of what stands here there should be...
    Object,
    Key,
    Colon,
    ObjectGoesOn,
    ArrayGoesOn,
    Value,
    Digit,
    PlainText,
    Escape,
    HexDigits,
}

impl Flaw {
    /// What would have been right, of flaws of the grammar.
    pub(super) fn expected(self) -> Option<&'static str> {
        Some(match self {
            Flaw::Cut | Flaw::TooDeep | Flaw::Utf8 | Flaw::Range => return None,
            Flaw::Object => "an object",
            Flaw::Key => "a key in double quotes",
            Flaw::Colon => "':' after a key",
            Flaw::ObjectGoesOn => "',' or '}' after a value",
            Flaw::ArrayGoesOn => "',' or ']' after a value",
            Flaw::Value => {
                "a value: an object, an array, text in double quotes, a number, true, false or null"
            }
            Flaw::Digit => "a digit",
            Flaw::PlainText => "no line end or control character in a text (write \\n, \\u001f)",
            Flaw::Escape => "an escape: \\\" \\\\ \\/ \\b \\f \\n \\r \\t or \\uXXXX",
            Flaw::HexDigits => "four hexadecimal digits after \\u",
        })
    }
}

/// A number as it was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number<'p> {
    Int(i64),
    Float(f64),
    /// A whole number beyond 64 bits, digit for digit.
    Big(&'p str),
}

/// A position in one document.
pub(super) struct Scanner<'p> {
    text: &'p str,
    at: usize,
    /// Keys met so far whose value is not an object.
    pub(super) fields: u32,
}

impl<'p> Scanner<'p> {
    pub(super) fn new(text: &'p str) -> Scanner<'p> {
        Scanner {
            text,
            at: 0,
            fields: 0,
        }
    }

    /// How many bytes have been read; after a flaw, where it is.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The byte here, blanks included.
    #[inline(always)]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not blank; stands at it afterwards.
    #[inline(always)]
    pub(super) fn peek(&mut self) -> Result<u8, Flaw> {
        match self.byte() {
            Some(byte) if byte > b' ' => Ok(byte),
            _ => self.peek_further(),
        }
    }

    fn peek_further(&mut self) -> Result<u8, Flaw> {
        loop {
            match self.byte() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(byte) => return Ok(byte),
                None => return Err(Flaw::Cut),
            }
        }
    }

    /// Moves past the byte that `peek` has just shown.
    #[inline(always)]
    pub(super) fn bump(&mut self) {
        self.at += 1;
    }

    /// After an element: whether a comma says that another follows (`true`) or `close` ends the container (`false`).
    #[inline(always)]
    pub(super) fn more(&mut self, close: u8, otherwise: Flaw) -> Result<bool, Flaw> {
        let byte = self.peek()?;
        if byte != b',' && byte != close {
            return Err(otherwise);
        }
        self.at += 1;
        Ok(byte == b',')
    }

    /// What has not been read yet.
    #[inline(always)]
    pub(super) fn rest(&self) -> &[u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// The key that began at `start` as it is written, with quotes and colon, if it holds no escape and nothing stands before the colon.
    pub(super) fn plain_key(&self, start: usize, key: &str) -> Option<&'p [u8]> {
        let written = self.text.as_bytes().get(start..start + key.len() + 3)?;
        let inner = written.strip_prefix(b"\"")?.strip_suffix(b"\":")?;
        (inner == key.as_bytes()).then_some(written)
    }

    /// Moves past a key of so many bytes, quotes and colon counted; to the first byte of the value, likewise.
    #[inline(always)]
    pub(super) fn past_key(&mut self, bytes: usize) -> Result<u8, Flaw> {
        self.at += bytes;
        let first = self.peek()?;
        self.fields += u32::from(first != b'{');
        Ok(first)
    }

    /// The colon after a key; then the first byte of the value, where it stands afterwards. The field counts if that is no object.
    #[inline(always)]
    pub(super) fn colon(&mut self) -> Result<u8, Flaw> {
        if self.peek()? != b':' {
            return Err(Flaw::Colon);
        }
        self.at += 1;
        let first = self.peek()?;
        self.fields += u32::from(first != b'{');
        Ok(first)
    }

    /// A key, borrowed unless it holds an escape.
    #[inline(always)]
    pub(super) fn key(&mut self) -> Result<Cow<'p, str>, Flaw> {
        match self.peek()? {
            b'"' => self.string(),
            _ => Err(Flaw::Key),
        }
    }

    /// The string that begins here.
    #[inline(always)]
    pub(super) fn string(&mut self) -> Result<Cow<'p, str>, Flaw> {
        let start = self.at + 1;
        let end = plain_until(self.text.as_bytes(), start);
        self.at = end;
        if self.byte() != Some(b'"') {
            return self.escaped(start).map(Cow::Owned);
        }
        self.at += 1;
        Ok(Cow::Borrowed(&self.text[start..end]))
    }

    /// The rest of a string that began at `start` and is plain up to here.
    #[cold]
    fn escaped(&mut self, start: usize) -> Result<String, Flaw> {
        let mut text = String::new();
        let mut run = start;
        loop {
            self.at = plain_until(self.text.as_bytes(), self.at);
            text.push_str(&self.text[run..self.at]);
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return Err(Flaw::PlainText),
                None => return Err(Flaw::Cut),
            }
            run = self.at;
        }
    }

    /// The character that the escape here stands for.
    fn escape(&mut self) -> Result<char, Flaw> {
        let letter = *self.text.as_bytes().get(self.at + 1).ok_or(Flaw::Cut)?;
        let c = match letter {
            b'"' | b'\\' | b'/' => letter as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(Flaw::Escape),
        };
        self.at += 2;
        Ok(c)
    }

    /// `\uXXXX`, or two of them that make a pair.
    fn unicode_escape(&mut self) -> Result<char, Flaw> {
        let first = self.hex4()?;
        if (0xd800..0xdc00).contains(&first) && self.text.as_bytes()[self.at..].starts_with(b"\\u")
        {
            let before = self.at;
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).expect("a surrogate pair lies within Unicode"));
            }
            self.at = before;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// The number that `\uXXXX` holds.
    fn hex4(&mut self) -> Result<u32, Flaw> {
        let mut code = 0;
        for at in self.at + 2..self.at + 6 {
            let byte = *self.text.as_bytes().get(at).ok_or(Flaw::Cut)?;
            let digit = (byte as char).to_digit(16).ok_or(Flaw::HexDigits)?;
            code = code * 16 + digit;
        }
        self.at += 6;
        Ok(code)
    }

    /// The number that begins here.
    #[inline]
    pub(super) fn number(&mut self) -> Result<Number<'p>, Flaw> {
        let start = self.at;
        let digits = self.digits()?;
        let text = &self.text[start..self.at];
        if let Some(number) = digits.small() {
            return Ok(number);
        }
        if digits.decimals == Some(0) {
            return Ok(text.parse().map_or(Number::Big(text), Number::Int));
        }
        let number: f64 = text.parse().expect("JSON's numbers are a part of Rust's");
        if !number.is_finite() {
            self.at = start;
            return Err(Flaw::Range);
        }
        Ok(Number::Float(number))
    }

    /// The number here by its digits; moves past it.
    #[inline(always)]
    fn digits(&mut self) -> Result<Digits, Flaw> {
        let negative = self.byte() == Some(b'-');
        self.at += usize::from(negative);
        let mut digits = Digits {
            negative,
            mantissa: 0,
            count: 0,
            decimals: Some(0),
        };
        match self.byte() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.run(&mut digits)?,
            None => return Err(Flaw::Cut),
            Some(_) if negative => return Err(Flaw::Digit),
            Some(_) => return Err(Flaw::Value),
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            let from = self.at;
            self.run(&mut digits)?;
            digits.decimals = Some(self.at - from);
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.run(&mut digits)?;
            digits.decimals = None;
        }
        Ok(digits)
    }

    /// One digit or more, added to the mantissa (which means nothing any more once `count` is beyond 19).
    #[inline(always)]
    fn run(&mut self, digits: &mut Digits) -> Result<(), Flaw> {
        let from = self.at;
        while let Some(byte @ b'0'..=b'9') = self.byte() {
            digits.mantissa = digits
                .mantissa
                .wrapping_mul(10)
                .wrapping_add(u64::from(byte - b'0'));
            self.at += 1;
        }
        digits.count += self.at - from;
        if self.at > from {
            return Ok(());
        }
        Err(self.byte().map_or(Flaw::Cut, |_| Flaw::Digit))
    }

    /// `true`, `false` or `null`, whichever `word` is.
    #[inline]
    pub(super) fn word(&mut self, word: &'static str) -> Result<(), Flaw> {
        let rest = &self.text.as_bytes()[self.at..];
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        if word.as_bytes().starts_with(rest) {
            return Err(Flaw::Cut);
        }
        Err(Flaw::Value)
    }

    /// Moves past the value here, which begins with `first` and lies inside `depth` containers.
    #[inline(always)]
    pub(super) fn skip_value(&mut self, first: u8, depth: u32) -> Result<(), Flaw> {
        match first {
            b'{' | b'[' => self.skip_container(first, depth),
            _ => self.skip_plain(first),
        }
    }

    #[inline(always)]
    fn skip_plain(&mut self, first: u8) -> Result<(), Flaw> {
        match first {
            b'"' => self.skip_string(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.digits().map(drop),
        }
    }

    #[inline(always)]
    fn skip_string(&mut self) -> Result<(), Flaw> {
        self.at = plain_until(self.text.as_bytes(), self.at + 1);
        if self.byte() != Some(b'"') {
            return self.skip_escaped();
        }
        self.at += 1;
        Ok(())
    }

    #[cold]
    fn skip_escaped(&mut self) -> Result<(), Flaw> {
        loop {
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => drop(self.escape()?),
                Some(_) => return Err(Flaw::PlainText),
                None => return Err(Flaw::Cut),
            }
            self.at = plain_until(self.text.as_bytes(), self.at);
        }
    }

    /// Whether the value that has just been passed, from `start` on, is or holds anything but null.
    pub(super) fn holds_something(&self, start: usize) -> bool {
        let value = &self.text.as_bytes()[start..self.at];
        if !matches!(value[0], b'{' | b'[') {
            return value[0] != b'n';
        }
        // It is well-formed. A text that no colon follows, a number and a boolean are something; keys, nulls and brackets are not.
        let mut at = 0;
        while at < value.len() {
            match value[at] {
                b'"' => {
                    at = end_of_text(value, at);
                    let after = value[at..].trim_ascii_start();
                    if after.first() != Some(&b':') {
                        return true;
                    }
                }
                b'0'..=b'9' | b'-' | b't' | b'f' => return true,
                b'n' => at += 4,
                _ => at += 1,
            }
        }
        false
    }

    /// Moves past the object or array here, which begins with `byte`. `open` has a bit a container that is open, 1 for an object,
    /// the innermost lowest: a stack that cannot overflow, since it holds just [`DEPTH_MAX`].
    fn skip_container(&mut self, mut byte: u8, depth: u32) -> Result<(), Flaw> {
        let (mut open, mut level) = (0_u64, 0);
        loop {
            if byte == b'{' || byte == b'[' {
                level += 1;
                if depth + level > DEPTH_MAX {
                    return Err(Flaw::TooDeep);
                }
                open = open << 1 | u64::from(byte == b'{');
                self.at += 1;
                let close = if byte == b'{' { b'}' } else { b']' };
                let first = self.peek()?;
                if first != close {
                    byte = self.skip_key_if(open, first)?;
                    continue;
                }
                self.at += 1;
                (open, level) = (open >> 1, level - 1);
            } else {
                self.skip_plain(byte)?;
            }
            loop {
                if level == 0 {
                    return Ok(());
                }
                let more = match open & 1 {
                    1 => self.more(b'}', Flaw::ObjectGoesOn)?,
                    _ => self.more(b']', Flaw::ArrayGoesOn)?,
                };
                if more {
                    let first = self.peek()?;
                    byte = self.skip_key_if(open, first)?;
                    break;
                }
                (open, level) = (open >> 1, level - 1);
            }
        }
    }

    /// The first byte of the next value; in an object its key, which begins with `first`, goes before it.
    #[inline(always)]
    fn skip_key_if(&mut self, open: u64, first: u8) -> Result<u8, Flaw> {
        if open & 1 == 0 {
            return Ok(first);
        }
        if first != b'"' {
            return Err(Flaw::Key);
        }
        self.skip_string()?;
        self.colon()
    }
}

/// A number's digits without its point.
#[derive(Clone, Copy)]
struct Digits {
    negative: bool,
    mantissa: u64,
    /// How many digits there are, exponent included.
    count: usize,
    /// How many of them follow the point; `None` if there is an exponent.
    decimals: Option<usize>,
}

impl Digits {
    /// The number, if it is short enough to be made exactly here.
    ///
    /// With at most 15 digits and 22 decimals both the mantissa and the power of ten are exact floats, so that the one division rounds
    /// correctly (Clinger 1990, "How to read floating point numbers accurately").
    #[inline(always)]
    fn small(&self) -> Option<Number<'static>> {
        match self.decimals {
            Some(0) if self.count <= 18 => {
                let magnitude = self.mantissa as i64;
                Some(Number::Int(if self.negative {
                    -magnitude
                } else {
                    magnitude
                }))
            }
            Some(decimals @ 1..=15) if self.count <= 15 => {
                let magnitude = self.mantissa as f64 / POWERS_OF_TEN[decimals];
                Some(Number::Float(if self.negative {
                    -magnitude
                } else {
                    magnitude
                }))
            }
            _ => None,
        }
    }
}

const POWERS_OF_TEN: [f64; 16] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];

/// The first byte from `at` on that is a quote, a backslash or a control character; the end if there is none.
///
/// Eight bytes a step: `(w - n) & !w & 0x80` marks each byte of `w` below `n`, and a borrow can only make a false mark above a true
/// one, so the lowest mark is right (the classic zero-byte test).
#[inline(always)]
fn plain_until(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word & HIGH;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        let marks = quote | backslash | below(word, 0x20);
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while at < bytes.len() && !matches!(bytes[at], b'"' | b'\\' | 0..0x20) {
        at += 1;
    }
    at
}

/// Where the text that begins at `at` has ended; it is well-formed.
fn end_of_text(value: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while value[at] != b'"' {
        at += if value[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped(text: &str) -> Result<usize, Flaw> {
        let mut scanner = Scanner::new(text);
        let first = scanner.peek()?;
        scanner.skip_value(first, 0).map(|()| scanner.position())
    }

    #[test]
    fn what_is_skipped_is_checked_like_what_is_read() {
        for good in [
            r#"{"a":[1,-0.5e+3,{"b":{}},[],"x\"\u00e9"],"c":null}"#,
            "[[[]]]",
            "-0",
            "true",
            r#""""#,
        ] {
            assert_eq!(skipped(good), Ok(good.len()), "{good}");
        }
        for bad in [
            "{,}",
            "[1,]",
            "{\"a\" 1}",
            "[1 2]",
            "01x",
            "1.x",
            "-x",
            "{a:1}",
            "nul!",
            "\"\n\"",
            "\"\\x\"",
            "[1}",
            "{\"a\":1]",
        ] {
            let flaw = skipped(&format!("[{bad}]"));
            assert!(
                flaw.is_err_and(|flaw| flaw.expected().is_some()),
                "{bad}: {flaw:?}"
            );
        }
        for cut in [
            "", "{", "[1,", "{\"a\":", "\"abc", "\"\\u00", "tru", "-", "1.", "1e", "{\"a\"",
        ] {
            assert_eq!(skipped(cut), Err(Flaw::Cut), "{cut}");
        }
    }

    #[test]
    fn sixty_four_containers_pass_and_one_more_is_too_deep() {
        let nest = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert_eq!(skipped(&nest(64)), Ok(128));
        assert_eq!(skipped(&nest(65)), Err(Flaw::TooDeep));
        assert_eq!(skipped(&"{\"a\":".repeat(100_000)), Err(Flaw::TooDeep));
    }

    #[test]
    fn the_end_of_plain_text_is_found_at_every_offset() {
        for stop in ['"', '\\', '\n', '\u{1f}', '\0'] {
            for length in 0..40 {
                let text = format!(
                    "{}{stop}{}",
                    "é~\u{7f}".chars().cycle().take(length).collect::<String>(),
                    "x\"".repeat(5)
                );
                let found = plain_until(text.as_bytes(), 0);
                assert_eq!(text[found..].chars().next(), Some(stop), "{text:?}");
            }
        }
        assert_eq!(plain_until(b"abcdefghijk", 3), 11);
    }

    #[test]
    fn escapes_and_half_pairs_are_read() {
        for (json, text) in [
            (r#""a\n\t\/\\\"\u0041""#, "a\n\t/\\\"A"),
            (r#""\ud83d\ude00!""#, "😀!"),
            (r#""cut \ud83d""#, "cut \u{fffd}"),
            (r#""\ud83d\u0041""#, "\u{fffd}A"),
            (r#""\ude00""#, "\u{fffd}"),
        ] {
            assert_eq!(Scanner::new(json).string().unwrap(), text);
        }
    }

    #[test]
    fn whole_numbers_stay_whole_and_huge_ones_keep_their_digits() {
        for (json, number) in [
            ("9223372036854775807", Number::Int(i64::MAX)),
            ("9223372036854775808", Number::Big("9223372036854775808")),
            ("-0", Number::Int(0)),
            ("1.0", Number::Float(1.0)),
            ("5e-324", Number::Float(5e-324)),
        ] {
            assert_eq!(Scanner::new(json).number(), Ok(number));
        }
        assert_eq!(Scanner::new("1e309").number(), Err(Flaw::Range));
    }
}
