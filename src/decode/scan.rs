//! JSON, token by token, over text that is known to be UTF-8.
//!
//! A [`Scanner`] stands at a byte of one document and moves forward only. It borrows what can be borrowed (strings without an
//! escape, digits), checks the grammar of RFC 8259 also in what it skips, and neither recurses nor allocates while skipping.
//! Why not serde_json: its skipping has no depth limit, an event with an escape or a nested part costs it an allocation, and
//! `benches/decode.rs` shows the difference. Checked: tests/decode.rs compares it with serde_json on generated documents.
//!
//! One liberty: half a surrogate pair (`"\ud83d"`, the mark of a logger that cuts text) reads as U+FFFD rather than costing the event.

use std::borrow::Cow;

/// Objects and arrays inside one another, the event itself included.
pub(super) const DEPTH_MAX: u32 = 64;

/// What is wrong with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It ends before it is complete.
    Cut,
    /// More than [`DEPTH_MAX`] containers inside one another.
    TooDeep,
    /// Not JSON at byte `at`.
    Syntax { at: usize, expected: &'static str },
    /// A number at byte `at` that no 64-bit float can hold.
    Range { at: usize },
    /// Not UTF-8 at byte `at`.
    Utf8 { at: usize },
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

    /// How many bytes have been read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The byte here, blanks included.
    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not blank; stands at it afterwards.
    #[inline]
    pub(super) fn peek(&mut self) -> Result<u8, Flaw> {
        loop {
            match self.byte() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(byte) => return Ok(byte),
                None => return Err(Flaw::Cut),
            }
        }
    }

    /// Moves past the byte that `peek` has just shown.
    #[inline]
    pub(super) fn bump(&mut self) {
        self.at += 1;
    }

    /// Moves past `wanted`, blanks before it included.
    #[inline]
    pub(super) fn expect(&mut self, wanted: u8, expected: &'static str) -> Result<(), Flaw> {
        if self.peek()? != wanted {
            return Err(self.flaw(expected));
        }
        self.at += 1;
        Ok(())
    }

    #[cold]
    pub(super) fn flaw(&self, expected: &'static str) -> Flaw {
        Flaw::Syntax {
            at: self.at,
            expected,
        }
    }

    /// After an element: whether a comma says that another follows (`true`) or `close` ends the container (`false`).
    #[inline]
    pub(super) fn more(&mut self, close: u8, expected: &'static str) -> Result<bool, Flaw> {
        let byte = self.peek()?;
        if byte != b',' && byte != close {
            return Err(self.flaw(expected));
        }
        self.at += 1;
        Ok(byte == b',')
    }

    /// A key and its colon; stands at the value's first byte afterwards, and has counted the field if that is no object.
    #[inline]
    pub(super) fn key(&mut self) -> Result<(Cow<'p, str>, u8), Flaw> {
        if self.peek()? != b'"' {
            return Err(self.flaw("a key in double quotes"));
        }
        let key = self.string()?;
        self.expect(b':', "':' after a key")?;
        let first = self.peek()?;
        self.fields += u32::from(first != b'{');
        Ok((key, first))
    }

    /// The string that begins here.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Cow<'p, str>, Flaw> {
        let start = self.at + 1;
        let end = plain_until(self.text.as_bytes(), start);
        self.at = end;
        match self.byte() {
            Some(b'"') => {
                self.at += 1;
                Ok(Cow::Borrowed(&self.text[start..end]))
            }
            Some(b'\\') => self.escaped(start).map(Cow::Owned),
            Some(_) => {
                Err(self.flaw("no line end or control character in a string (write \\n, \\u001f)"))
            }
            None => Err(Flaw::Cut),
        }
    }

    /// The rest of a string that began at `start` and has its first escape here.
    #[cold]
    fn escaped(&mut self, start: usize) -> Result<String, Flaw> {
        let mut text = String::with_capacity(self.at - start + 16);
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
                Some(_) => {
                    return Err(self.flaw(
                        "no line end or control character in a string (write \\n, \\u001f)",
                    ));
                }
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
            _ => return Err(self.flaw("an escape: \\\" \\\\ \\/ \\b \\f \\n \\r \\t or \\uXXXX")),
        };
        self.at += 2;
        Ok(c)
    }

    /// `\uXXXX`, or two of them that make a pair.
    fn unicode_escape(&mut self) -> Result<char, Flaw> {
        let first = self.hex4(self.at + 2)?;
        self.at += 6;
        if (0xd800..0xdc00).contains(&first) && self.text.as_bytes()[self.at..].starts_with(b"\\u")
        {
            let second = self.hex4(self.at + 2)?;
            if (0xdc00..0xe000).contains(&second) {
                self.at += 6;
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).expect("a surrogate pair lies within Unicode"));
            }
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex4(&self, from: usize) -> Result<u32, Flaw> {
        let mut code = 0;
        for at in from..from + 4 {
            let digit = match self.text.as_bytes().get(at) {
                None => return Err(Flaw::Cut),
                Some(byte) => (*byte as char).to_digit(16),
            };
            let expected = "four hexadecimal digits after \\u";
            code = code * 16 + digit.ok_or(Flaw::Syntax { at, expected })?;
        }
        Ok(code)
    }

    /// The digits here as they are written, and whether they have neither fraction nor exponent.
    #[inline]
    fn digits(&mut self) -> Result<(&'p str, bool), Flaw> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.skip_digits("a digit")?,
            None => return Err(Flaw::Cut),
            Some(_) => return Err(self.flaw("a value: an object, an array, text in double quotes, a number, true, false or null")),
        }
        let mut whole = true;
        if self.byte() == Some(b'.') {
            (self.at, whole) = (self.at + 1, false);
            self.skip_digits("a digit after the decimal point")?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            (self.at, whole) = (self.at + 1, false);
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.skip_digits("a digit in the exponent")?;
        }
        Ok((&self.text[start..self.at], whole))
    }

    /// Digits, at least one.
    #[inline]
    fn skip_digits(&mut self, expected: &'static str) -> Result<(), Flaw> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        if self.at > from {
            return Ok(());
        }
        Err(self.byte().map_or(Flaw::Cut, |_| self.flaw(expected)))
    }

    /// The number that begins here.
    #[inline]
    pub(super) fn number(&mut self) -> Result<Number<'p>, Flaw> {
        let at = self.at;
        let (digits, whole) = self.digits()?;
        if whole {
            return Ok(digits.parse().map_or(Number::Big(digits), Number::Int));
        }
        let number: f64 = digits.parse().expect("JSON's numbers are a part of Rust's");
        if !number.is_finite() {
            return Err(Flaw::Range { at });
        }
        Ok(Number::Float(number))
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
        Err(self.flaw(word))
    }

    /// Moves past the value here, which lies inside `depth` containers.
    #[inline]
    pub(super) fn skip_value(&mut self, depth: u32) -> Result<(), Flaw> {
        match self.peek()? {
            b'{' | b'[' => self.skip_container(depth),
            _ => self.skip_plain(),
        }
    }

    #[inline]
    fn skip_plain(&mut self) -> Result<(), Flaw> {
        match self.peek()? {
            b'"' => self.skip_string(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.digits().map(drop),
        }
    }

    #[inline]
    fn skip_string(&mut self) -> Result<(), Flaw> {
        self.at += 1;
        loop {
            self.at = plain_until(self.text.as_bytes(), self.at);
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => drop(self.escape()?),
                Some(_) => {
                    return Err(self.flaw(
                        "no line end or control character in a string (write \\n, \\u001f)",
                    ));
                }
                None => return Err(Flaw::Cut),
            }
        }
    }

    /// Moves past the object or array here. `open` has a bit a container that is open, 1 for an object, the innermost lowest:
    /// a stack that cannot overflow, since it holds just [`DEPTH_MAX`].
    fn skip_container(&mut self, depth: u32) -> Result<(), Flaw> {
        let (mut open, mut level) = (0_u64, 0);
        loop {
            let byte = self.peek()?;
            if byte == b'{' || byte == b'[' {
                level += 1;
                if depth + level > DEPTH_MAX {
                    return Err(Flaw::TooDeep);
                }
                open = open << 1 | u64::from(byte == b'{');
                self.at += 1;
                let close = if byte == b'{' { b'}' } else { b']' };
                if self.peek()? != close {
                    self.skip_key_if(open)?;
                    continue;
                }
                self.at += 1;
                (open, level) = (open >> 1, level - 1);
            } else {
                self.skip_plain()?;
            }
            loop {
                if level == 0 {
                    return Ok(());
                }
                let more = if open & 1 == 1 {
                    self.more(b'}', "',' or '}' after a value")?
                } else {
                    self.more(b']', "',' or ']' after a value")?
                };
                if more {
                    self.skip_key_if(open)?;
                    break;
                }
                (open, level) = (open >> 1, level - 1);
            }
        }
    }

    /// In an object, the key before the next value.
    #[inline]
    fn skip_key_if(&mut self, open: u64) -> Result<(), Flaw> {
        if open & 1 == 0 {
            return Ok(());
        }
        if self.peek()? != b'"' {
            return Err(self.flaw("a key in double quotes"));
        }
        self.skip_string()?;
        self.expect(b':', "':' after a key")?;
        self.fields += u32::from(self.peek()? != b'{');
        Ok(())
    }
}

/// The first byte from `at` on that is a quote, a backslash or a control character; the end if there is none.
///
/// Eight bytes a step: `(w - n) & !w & 0x80` marks each byte of `w` below `n`, and a borrow can only make a false mark above a true
/// one, so the lowest mark is right (the classic zero-byte test).
#[inline]
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

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped(text: &str) -> Result<usize, Flaw> {
        let mut scanner = Scanner::new(text);
        scanner.skip_value(0).map(|()| scanner.position())
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
            assert!(matches!(flaw, Err(Flaw::Syntax { .. })), "{bad}: {flaw:?}");
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
        assert_eq!(Scanner::new("1e309").number(), Err(Flaw::Range { at: 0 }));
    }
}
