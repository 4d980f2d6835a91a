//! The key of a message's sequence of words and values, made in one pass without the sequence.
//!
//! Nearly every message is of a sequence met before, and is answered from memory. All that is needed of such a one is a key: equal keys mean equal sequences (but
//! for collisions of a 64-bit hash), as [`Message::key`](super::message::Message) has it too, which costs several times as much. Plain words, tokens that begin with a
//! digit and paths, which are nearly all there is, are recognised here; any other token is cut and looked at by the code that does it for sequences.
//!
//! Holds: it answers for texts in ASCII of one line, by analyzers that cut as `ml_standard` does and at most take out stop words and stop after so many
//! tokens; `None` for all else. Checked below: texts have one key when they have one sequence, and no others do.

use super::message::{Part, is_assigned, mix, part_of};
use super::tokens::{Class, HEX_LETTERS_MIN, Token, class_of, is_number, token_at};
use crate::config::{Analyzer, CharFilter, StopWords, TokenFilter, Tokenizer};
use crate::engine::event::mark::{MARKED_MAX, mark_of};
use xxhash_rust::xxh3::xxh3_64;

/// An analyzer whose keys can be made quickly.
pub(super) struct Quick<'a> {
    stop: Option<&'a StopWords>,
    tokens_max: usize,
}

/// A key in the making.
struct Key {
    hash: u64,
    /// Whether the last part was a value: one after another they are one.
    after_value: bool,
}

impl Key {
    fn value(&mut self) {
        if !self.after_value {
            self.hash = mix(self.hash, 1);
            self.after_value = true;
        }
    }

    fn word(&mut self, hash: u64, assigned: bool) {
        self.hash = mix(self.hash, hash ^ u64::from(assigned));
        self.after_value = false;
    }
}

impl<'a> Quick<'a> {
    /// That of an analyzer, if it is one of those.
    pub(super) fn of(analyzer: &'a Analyzer) -> Option<Quick<'a>> {
        let lines = |filter: &CharFilter| !matches!(filter, CharFilter::PatternReplace { .. });
        let cuts = matches!(analyzer.tokenizer, Tokenizer::MlStandard);
        if !cuts || !analyzer.char_filters.iter().all(lines) {
            return None;
        }
        let none = Quick {
            stop: None,
            tokens_max: usize::MAX,
        };
        let mut filters = analyzer.token_filters.iter();
        filters.try_fold(none, |quick, filter| match filter {
            TokenFilter::Stop {
                words,
                ignore_case: false,
            } if quick.stop.is_none() => Some(Quick {
                stop: Some(words),
                ..quick
            }),
            TokenFilter::Limit(most) => Some(Quick {
                tokens_max: quick.tokens_max.min(*most),
                ..quick
            }),
            _ => None,
        })
    }

    /// The key of a text. `tokens` and `scratch` are for odd ones.
    pub(super) fn key(
        &self,
        text: &str,
        tokens: &mut Vec<Token>,
        scratch: &mut String,
    ) -> Option<u64> {
        let bytes = text.as_bytes();
        if !text.is_ascii() || memchr::memchr2(b'\n', b'\r', bytes).is_some() {
            return None;
        }
        let mut key = Key {
            hash: 0,
            after_value: false,
        };
        let (mut at, mut left) = (0, self.tokens_max);
        while at < bytes.len() && left > 0 {
            let start = at;
            match class_of(bytes[at]) {
                Class::Letter => {
                    at = run(bytes, at, |class| class == Class::Letter);
                    if !ends_word(bytes, at) {
                        at = self.odd(text, start, tokens, scratch, &mut key);
                        left -= tokens.len();
                        continue;
                    }
                    self.plain(bytes, start, at, text, &mut key);
                }
                Class::Digit => {
                    at = run(bytes, at, is_inner);
                    key.value();
                }
                Class::Slash => {
                    at = run(bytes, at, is_inner);
                    let path = text[start..at].trim_end_matches(['_', '.', '-', '@']);
                    if path.bytes().all(|byte| byte == b'/') {
                        continue;
                    }
                    key.value();
                }
                Class::Backslash => {
                    at = self.odd(text, start, tokens, scratch, &mut key);
                    left -= tokens.len();
                    continue;
                }
                _ => {
                    at += 1;
                    continue;
                }
            }
            left -= 1;
        }
        Some(key.hash)
    }

    /// A word of letters alone.
    #[inline(always)]
    fn plain(&self, bytes: &[u8], start: usize, end: usize, text: &str, key: &mut Key) {
        let word = &text[start..end];
        let stops = self.stop.is_some_and(|stop| stop.contains(word));
        if stops || word.len() >= HEX_LETTERS_MIN && is_number(word) {
            return key.value();
        }
        let assigned = start > 0 && is_assigned(bytes[start - 1]);
        key.word(hash_of(word.as_bytes()), assigned);
    }

    /// Any other token, which begins at `start` and is left in `tokens`, if it is one; where the text goes on.
    #[inline(never)]
    fn odd(
        &self,
        text: &str,
        start: usize,
        tokens: &mut Vec<Token>,
        scratch: &mut String,
        key: &mut Key,
    ) -> usize {
        tokens.clear();
        let end = token_at(text, start, tokens);
        if let Some(token) = tokens.first_mut() {
            let word = &text[token.start as usize..token.end as usize];
            token.is_value |= self.stop.is_some_and(|stop| stop.contains(word));
            match part_of(text, token, false, scratch) {
                Part::Value => key.value(),
                Part::Word { hash, assigned, .. } => {
                    let word = word.as_bytes();
                    let hash = match word.iter().all(u8::is_ascii_alphabetic) {
                        true => hash_of(word),
                        false => hash,
                    };
                    key.word(hash, assigned);
                }
            }
        }
        end
    }
}

/// Where the run of such bytes ends that goes through `at`.
#[inline(always)]
fn run(bytes: &[u8], mut at: usize, joins: impl Fn(Class) -> bool) -> usize {
    while at < bytes.len() && joins(class_of(bytes[at])) {
        at += 1;
    }
    at
}

/// Whether a token that begins with a digit or a slash goes on with such a byte.
#[inline(always)]
fn is_inner(class: Class) -> bool {
    matches!(
        class,
        Class::Letter | Class::Digit | Class::Joint | Class::Slash
    )
}

/// Whether letters up to `at` are all of their token: it may end with one mark that is cut off.
#[inline(always)]
fn ends_word(bytes: &[u8], at: usize) -> bool {
    let class = |at: usize| {
        bytes
            .get(at)
            .map_or(Class::Separator, |byte| class_of(*byte))
    };
    match class(at) {
        Class::Separator => true,
        Class::Joint | Class::Colon => class(at + 1) == Class::Separator,
        _ => false,
    }
}

/// A hash of a word: of a short one by a multiplication of its two ends, high and low half folded (Wang Yi's wyhash).
#[inline(always)]
fn hash_of(word: &[u8]) -> u64 {
    if word.len() > MARKED_MAX {
        return xxh3_64(word);
    }
    let [first, last] = mark_of(word);
    let (a, b) = (
        first ^ 0xa076_1d64_78bd_642f,
        last ^ 0xe703_7ed1_a0b4_28db ^ ((word.len() as u64) << 56),
    );
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::super::analysis::analyse;
    use super::super::message::Message;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const PIECES: [&str; 40] = [
        "error",
        "Service:",
        "file.",
        "dead",
        "deadbeef",
        "deadbeefs",
        "a",
        "ab",
        "abc",
        "10.0.0.1",
        "5ms",
        "12:30",
        "7/8",
        "3rd_",
        "/var/log",
        "//",
        "/-",
        "/-/",
        "/1",
        "x=",
        "\"",
        "'",
        "eth0",
        "eth17",
        "blk_-38",
        "a@b.org",
        "C:\\Temp",
        "\\",
        "UTC",
        "Mon",
        "https://a.org/b?c=1",
        "_",
        "..",
        ":",
        "a:b",
        "a:/b",
        "#",
        "-",
        "internationalization",
        "internationalisation",
    ];

    /// The slow key: that of the sequence.
    fn sequence_key(analyzer: &Analyzer, text: &str) -> u64 {
        let (mut tokens, mut message) = (Vec::new(), Message::default());
        let text = analyse(analyzer, text, &mut tokens);
        message.read(&text, &tokens, false);
        message.key
    }

    proptest! {
        #[test]
        fn texts_have_one_key_when_they_have_one_sequence_and_no_others_do(
            texts in prop::collection::vec(prop::collection::vec((0..PIECES.len(), prop::sample::select(vec!["", " ", ", ", "; "])), 0..6), 1..150),
            limited: bool,
        ) {
            let mut analyzer = Analyzer::default();
            if limited {
                analyzer.token_filters.push(TokenFilter::Limit(2));
            }
            let quick = Quick::of(&analyzer).expect("the default is cut quickly");
            let (mut sequences, mut keys) = (BTreeMap::new(), BTreeMap::new());
            for pieces in texts {
                let text: String = pieces.iter().flat_map(|(at, gap)| [PIECES[*at], gap]).collect();
                let key = quick.key(&text, &mut Vec::new(), &mut String::new());
                let key = key.expect("one line of ASCII");
                let sequence = sequence_key(&analyzer, &text);
                prop_assert_eq!(*sequences.entry(key).or_insert(sequence), sequence, "{}", text);
                prop_assert_eq!(*keys.entry(sequence).or_insert(key), key, "{}", text);
            }
        }
    }

    #[test]
    fn marks_behind_a_word_are_cut_off_however_many_there_are() {
        let analyzer = Analyzer::default();
        let quick = Quick::of(&analyzer).expect("the default is cut quickly");
        let key = |text: &str| quick.key(text, &mut Vec::new(), &mut String::new());
        for text in ["file.", "file._", "file..-"] {
            assert_eq!(key(text), key("file"), "{text}");
            assert_eq!(
                sequence_key(&analyzer, text),
                sequence_key(&analyzer, "file")
            );
        }
    }

    #[test]
    fn lines_and_other_scripts_and_other_analyzers_are_left_to_the_slow_way() {
        let analyzer = Analyzer::default();
        let quick = Quick::of(&analyzer).expect("the default is cut quickly");
        for text in ["one\ntwo", "one\r", "Größe"] {
            assert_eq!(quick.key(text, &mut Vec::new(), &mut String::new()), None);
        }
        let lower = Analyzer {
            token_filters: vec![TokenFilter::Lowercase],
            ..Analyzer::default()
        };
        assert!(Quick::of(&lower).is_none());
    }
}
