//! A message as its analyzer sees it: the text that is left after the character filters, and its tokens.
//!
//! What a character filter deletes separates; what it replaces by something is a value (the replacement stands nowhere in the message, so no
//! regular expression could look for it). So every token is a piece of the message, in order: that is why a category's regular
//! expression matches its members. Only the first [`CHARS_MAX`] characters are looked at (functions.md 2.9). With the default analyzer nothing is copied.

use super::tokens::{REPLACED, Token, tokenize};
use crate::config::{Analyzer, CharFilter, TokenFilter};
use regex::Regex;
use std::borrow::Cow;

/// Characters of a message that are analysed.
pub const CHARS_MAX: usize = 1001;

/// The characters of a message that are analysed.
pub(super) fn head(message: &str) -> &str {
    if message.len() <= CHARS_MAX {
        return message;
    }
    let end = message.char_indices().nth(CHARS_MAX);
    end.map_or(message, |(at, _)| &message[..at])
}

/// Puts the tokens of `message` into `tokens`; returns the text that they are pieces of.
pub(super) fn analyse<'m>(
    analyzer: &Analyzer,
    message: &'m str,
    tokens: &mut Vec<Token>,
) -> Cow<'m, str> {
    let mut text = Cow::Borrowed(message);
    for filter in &analyzer.char_filters {
        text = match (filter, text) {
            (CharFilter::FirstLineWithLetters, text) => {
                keep_line(text, |line| line.chars().any(char::is_alphabetic))
            }
            (CharFilter::FirstNonBlankLine, text) => {
                keep_line(text, |line| !line.trim().is_empty())
            }
            (
                CharFilter::PatternReplace {
                    pattern,
                    replacement,
                },
                text,
            ) => replace(pattern, replacement, text),
        };
    }
    tokens.clear();
    tokenize(&analyzer.tokenizer, &text, tokens);
    for filter in &analyzer.token_filters {
        filter_tokens(filter, &text, tokens);
    }
    text
}

/// Whether tokens are compared in lower case.
pub(super) fn ignores_case(analyzer: &Analyzer) -> bool {
    let mut filters = analyzer.token_filters.iter();
    filters.any(|filter| matches!(filter, TokenFilter::Lowercase))
}

/// The first line that is wanted; all of the text when there is none.
fn keep_line(text: Cow<'_, str>, wanted: impl Fn(&str) -> bool) -> Cow<'_, str> {
    if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_none() {
        return text;
    }
    match text {
        Cow::Borrowed(text) => {
            let mut lines = text.split(['\n', '\r']);
            Cow::Borrowed(lines.find(|line| wanted(line)).unwrap_or(text))
        }
        Cow::Owned(text) => {
            let line = text.split(['\n', '\r']).find(|line| wanted(line));
            Cow::Owned(line.map(str::to_owned).unwrap_or(text))
        }
    }
}

fn replace<'m>(pattern: &Regex, replacement: &str, text: Cow<'m, str>) -> Cow<'m, str> {
    if !pattern.is_match(&text) {
        return text;
    }
    let mut left = String::with_capacity(text.len());
    let mut from = 0;
    for found in pattern.find_iter(&text) {
        left.push_str(&text[from..found.start()]);
        left.push(' ');
        if !replacement.trim().is_empty() {
            left.push(REPLACED);
            left.push(' ');
        }
        from = found.end();
    }
    left.push_str(&text[from..]);
    Cow::Owned(left)
}

fn filter_tokens(filter: &TokenFilter, text: &str, tokens: &mut Vec<Token>) {
    let text_of = |token: &Token| &text[token.start as usize..token.end as usize];
    match filter {
        TokenFilter::Stop { words, ignore_case } => {
            for token in tokens.iter_mut().filter(|token| !token.is_value) {
                let word = text_of(token);
                token.is_value = match ignore_case {
                    true => words.contains(&word.to_lowercase()),
                    false => words.contains(word),
                };
            }
        }
        TokenFilter::Limit(most) => tokens.truncate(*most),
        TokenFilter::Length { min, max } => {
            tokens.retain(|token| (*min..=*max).contains(&text_of(token).chars().count()));
        }
        // Words are compared in lower case; nothing is left out.
        TokenFilter::Lowercase => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Tokenizer;

    fn words(analyzer: &Analyzer, message: &str) -> String {
        let mut tokens = Vec::new();
        let text = analyse(analyzer, message, &mut tokens);
        let words = tokens.iter().filter(|token| !token.is_value);
        let words: Vec<&str> = words
            .map(|token| &text[token.start as usize..token.end as usize])
            .collect();
        words.join(" ")
    }

    #[test]
    fn the_default_looks_at_the_first_line_with_letters_and_forgets_dates() {
        let analyzer = Analyzer::default();
        let message = "----\n 12:00\nWed May 4 it broke UTC\r\n\tat Main.java:3";
        assert_eq!(words(&analyzer, message), "it broke");
        assert_eq!(words(&analyzer, "12\n13"), "");
    }

    #[test]
    fn what_is_deleted_separates_and_what_is_replaced_is_a_value() {
        let replace = |pattern: &str, replacement: &str| Analyzer {
            char_filters: vec![CharFilter::PatternReplace {
                pattern: Regex::new(pattern).expect("a pattern"),
                replacement: replacement.into(),
            }],
            tokenizer: Tokenizer::MlStandard,
            token_filters: vec![TokenFilter::Limit(3)],
        };
        assert_eq!(
            words(&replace(r"\[.*?\]", ""), "go[to]home now then"),
            "go home now"
        );
        assert_eq!(
            words(&replace("bob|eve", "user"), "hi bob there"),
            "hi there"
        );
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        let long = "ü".repeat(2000);
        assert_eq!(head(&long).chars().count(), CHARS_MAX);
        assert_eq!(head("short"), "short");
    }
}
