//! A text cut into tokens, by one of the tokenizers that a job may name.
//!
//! `ml_standard` (modelling-notes.md 12.1): letters and digits; `_ . - @` but not first; `/` anywhere; `:` once, after letters and before a
//! slash; `\` first, or after a drive. So paths, URLs, dotted names and addresses stay whole. What begins with a digit, is spelled in
//! hexadecimal digits, or is nothing but slashes is a *value*: it stands somewhere in the message, but is no word of it. Two things differ from
//! Elastic's: a word spelled with the letters a to f alone (`added`, `dead`, `bad`) stays a word unless it is long, and a token ends where a script without
//! blanks between words (Chinese, Japanese, Thai…) begins or ends, since `用户12345登录` is three things.
//!
//! Holds: tokens stand in the order of the text, do not overlap, and are not empty.

use crate::config::Tokenizer;
use regex::Regex;

/// A piece of the analysed text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) start: u32,
    pub(super) end: u32,
    /// Whether it is a number or an id, and no word.
    pub(super) is_value: bool,
}

/// Stands for what a character filter replaced by something: a value.
pub(super) const REPLACED: char = '\u{fffe}';

/// A word of so many hexadecimal letters is taken for a number, though it has no digit.
pub(super) const HEX_LETTERS_MIN: usize = 8;

/// Appends the tokens of `text`.
pub(super) fn tokenize(tokenizer: &Tokenizer, text: &str, tokens: &mut Vec<Token>) {
    match tokenizer {
        Tokenizer::MlStandard => Cutter::new(text, tokens).ml(Slashes::Joined),
        Tokenizer::MlClassic => Cutter::new(text, tokens).ml(Slashes::Separate),
        Tokenizer::Standard => runs(text, tokens, |c| c.is_alphanumeric() || c == '_'),
        Tokenizer::Letter => runs(text, tokens, char::is_alphabetic),
        Tokenizer::Whitespace => runs(text, tokens, |c| !c.is_whitespace()),
        Tokenizer::Keyword => push(text, 0, text.len(), false, tokens),
        Tokenizer::Pattern(pattern) => between(pattern, text, tokens),
    }
}

/// Whether words of the character's script follow one another without blanks.
pub(super) fn is_unspaced(c: char) -> bool {
    matches!(c as u32,
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3040..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff
        | 0xf900..=0xfaff | 0x20000..=0x3ffff)
}

fn push(text: &str, start: usize, end: usize, is_value: bool, tokens: &mut Vec<Token>) {
    if start < end {
        let is_value = is_value || text[start..end].starts_with(REPLACED);
        tokens.push(Token {
            start: start as u32,
            end: end as u32,
            is_value,
        });
    }
}

fn runs(text: &str, tokens: &mut Vec<Token>, joins: impl Fn(char) -> bool) {
    let (mut start, mut unspaced) = (None, false);
    for (at, c) in text.char_indices() {
        let continues =
            joins(c) && c != REPLACED && (start.is_none() || is_unspaced(c) == unspaced);
        if let (Some(from), false) = (start, continues) {
            push(text, from, at, false, tokens);
            start = None;
        }
        if c == REPLACED {
            push(text, at, at + c.len_utf8(), true, tokens);
        } else if joins(c) && start.is_none() {
            (start, unspaced) = (Some(at), is_unspaced(c));
        }
    }
    push(text, start.unwrap_or(text.len()), text.len(), false, tokens);
}

fn between(pattern: &Regex, text: &str, tokens: &mut Vec<Token>) {
    let mut start = 0;
    for found in pattern.find_iter(text) {
        push(text, start, found.start(), false, tokens);
        start = found.end();
    }
    push(text, start, text.len(), false, tokens);
}

/// What `/`, `\` and `:` do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slashes {
    Joined,
    Separate,
}

/// What an ASCII character is to the `ml` tokenizers.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Class {
    Separator,
    Letter,
    Digit,
    /// `_ . - @`: inside a token only.
    Joint,
    Slash,
    Backslash,
    Colon,
    /// Not ASCII: looked at as a character.
    Wide,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Separator; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' => Class::Letter,
            b'0'..=b'9' => Class::Digit,
            b'_' | b'.' | b'-' | b'@' => Class::Joint,
            b'/' => Class::Slash,
            b'\\' => Class::Backslash,
            b':' => Class::Colon,
            128.. => Class::Wide,
            _ => Class::Separator,
        };
        byte += 1;
    }
    classes
};

/// What a byte is.
#[inline(always)]
pub(super) fn class_of(byte: u8) -> Class {
    CLASSES[usize::from(byte)]
}

/// Appends the token of `ml_standard` that begins at `start`, if it is more than marks; where the text goes on.
pub(super) fn token_at(text: &str, start: usize, tokens: &mut Vec<Token>) -> usize {
    let mut cutter = Cutter::new(text, tokens);
    cutter.at = start;
    cutter.token(Slashes::Joined);
    cutter.at
}

struct Cutter<'a> {
    text: &'a str,
    tokens: &'a mut Vec<Token>,
    at: usize,
}

impl<'a> Cutter<'a> {
    fn new(text: &'a str, tokens: &'a mut Vec<Token>) -> Cutter<'a> {
        Cutter {
            text,
            tokens,
            at: 0,
        }
    }

    fn ml(mut self, slashes: Slashes) {
        let bytes = self.text.as_bytes();
        while self.at < bytes.len() {
            match CLASSES[usize::from(bytes[self.at])] {
                Class::Letter | Class::Digit => self.token(slashes),
                Class::Slash | Class::Backslash if slashes == Slashes::Joined => {
                    self.token(slashes)
                }
                Class::Wide => {
                    let c = self.char();
                    if c == REPLACED {
                        let end = self.at + c.len_utf8();
                        push(self.text, self.at, end, true, self.tokens);
                    }
                    match c.is_alphanumeric() || is_unspaced(c) {
                        true => self.token(slashes),
                        false => self.at += c.len_utf8(),
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    fn char(&self) -> char {
        self.text[self.at..].chars().next().unwrap_or_default()
    }

    /// The token that begins here.
    fn token(&mut self, slashes: Slashes) {
        let (bytes, start) = (self.text.as_bytes(), self.at);
        let first = bytes[start];
        let (mut backslashes, mut only_letters, mut unspaced) = (first == b'\\', true, None);
        // Most tokens are a plain word, which has nothing to trim.
        let is_letter = |byte: &u8| CLASSES[usize::from(*byte)] == Class::Letter;
        let letters = bytes[start..].iter().take_while(|byte| is_letter(byte));
        let letters = letters.count();
        if letters > 0 {
            (self.at, unspaced) = (start + letters, Some(false));
            let next = bytes.get(self.at).map(|byte| CLASSES[usize::from(*byte)]);
            if matches!(next, None | Some(Class::Separator)) {
                let word = &self.text[start..self.at];
                let is_value = letters >= HEX_LETTERS_MIN && is_number(word);
                return push(self.text, start, self.at, is_value, self.tokens);
            }
        }
        while self.at < bytes.len() {
            let byte = bytes[self.at];
            match CLASSES[usize::from(byte)] {
                Class::Letter if unspaced != Some(true) => unspaced = Some(false),
                Class::Digit if unspaced != Some(true) => {
                    only_letters = false;
                    unspaced = Some(false);
                }
                Class::Joint if self.at > start && unspaced != Some(true) => only_letters = false,
                Class::Slash if slashes == Slashes::Joined && unspaced != Some(true) => {
                    only_letters = false;
                }
                Class::Backslash if backslashes && slashes == Slashes::Joined => {}
                Class::Colon if only_letters && slashes == Slashes::Joined && self.at > start => {
                    let next = bytes.get(self.at + 1);
                    let is_drive = self.at == start + 1 && next == Some(&b'\\');
                    if next != Some(&b'/') && !is_drive {
                        break;
                    }
                    backslashes |= is_drive;
                    only_letters = false;
                }
                Class::Wide => {
                    let c = self.char();
                    let other_script = unspaced.is_some_and(|was| was != is_unspaced(c));
                    if other_script || c == REPLACED || !(c.is_alphanumeric() || is_unspaced(c)) {
                        break;
                    }
                    unspaced = Some(is_unspaced(c));
                    self.at += c.len_utf8();
                    continue;
                }
                _ => break,
            }
            self.at += 1;
        }
        let trimmed = self.text[start..self.at].trim_end_matches(['_', '.', '-', '@', ':']);
        if trimmed.bytes().any(|byte| byte != b'/' && byte != b'\\') {
            push(
                self.text,
                start,
                start + trimmed.len(),
                is_number(trimmed),
                self.tokens,
            );
        }
    }
}

/// Whether a token is a number or spelled in hexadecimal digits.
pub(super) fn is_number(token: &str) -> bool {
    let (mut digits, mut letters) = (0, 0);
    for byte in token.bytes() {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'a'..=b'f' | b'A'..=b'F' => letters += 1,
            b'.' | b'-' | b'@' | b':' => {}
            _ => return token.as_bytes()[0].is_ascii_digit(),
        }
    }
    digits > 0 || letters >= HEX_LETTERS_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
        let mut tokens = Vec::new();
        tokenize(tokenizer, text, &mut tokens);
        let shown = |token: &Token| {
            let text = &text[token.start as usize..token.end as usize];
            if token.is_value {
                format!("<{text}>")
            } else {
                text.to_owned()
            }
        };
        tokens.iter().map(shown).collect()
    }

    #[test]
    fn ml_standard_keeps_paths_urls_and_dotted_names_whole() {
        for (text, expected) in [
            (
                "Failed to open /var/log/x.log.",
                "Failed to open /var/log/x.log",
            ),
            (
                r"copy C:\Temp\a.txt to \\server\share",
                r"copy C:\Temp\a.txt to \\server\share",
            ),
            (
                "see https://a.org/b?c=1 now",
                "see https://a.org/b c <1> now",
            ),
            ("sshd(pam_unix)[123]: ok", "sshd pam_unix <123> ok"),
            (
                "user=root: from a@b.org - 10.0.0.1:80",
                "user root from a@b.org <10.0.0.1> <80>",
            ),
            (
                "block added 7f3a-bb dead deadbeef",
                "block added <7f3a-bb> dead <deadbeef>",
            ),
            ("// ---- ** _x", "x"),
            ("5 files 0x1f 3rd", "<5> files <0x1f> <3rd>"),
            ("用户12345登录失败", "用户 <12345> 登录失败"),
            ("Größe über 5", "Größe über <5>"),
            ("", ""),
        ] {
            assert_eq!(
                cut(&Tokenizer::MlStandard, text).join(" "),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn the_other_tokenizers_cut_where_they_say() {
        let pattern = Tokenizer::Pattern(Regex::new(r"\W+").expect("a pattern"));
        for (tokenizer, expected) in [
            (Tokenizer::MlClassic, "a b.c-d x"),
            (Tokenizer::Standard, "a b c d x"),
            (Tokenizer::Whitespace, "a/b.c-d :x"),
            (Tokenizer::Letter, "a b c d x"),
            (Tokenizer::Keyword, "a/b.c-d :x"),
            (pattern, "a b c d x"),
        ] {
            assert_eq!(
                cut(&tokenizer, "a/b.c-d :x").join(" "),
                expected,
                "{tokenizer:?}"
            );
        }
    }
}
