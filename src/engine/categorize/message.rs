//! A message as a sequence of words with values between them: what categories are made of and compared by.
//!
//! Which tokens are words. A number, an id, a path, a URL, an address, a name with a number of some length in it are values: they stand *between*
//! words, and differ from one message of a kind to the next. A word with a short number in it (`eth0`, `ssh2`) counts with `#` for the number.
//!
//! How much a word weighs. The vocabulary ([`lexicon`](super::lexicon)) is what messages are made of: 3, verbs 6. What else is spelled with letters may
//! be a name: 1; so may dotted and joined names, and what stands after `=` or a quotation mark. A message begins with what it is about: its first word
//! counts as vocabulary. Where less than a third of the words are known, the language is not, and every word counts as vocabulary.
//!
//! Holds: equal keys mean equal sequences (but for collisions of a 64-bit hash); building one allocates nothing once the buffers have grown.

use super::lexicon::{Known, look_up};
use super::tokens::Token;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// What kind of word it is: how readily another may stand in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    /// Of the language: part of the message's fixed text.
    Vocabulary,
    /// Letters, but of no known word.
    Plain,
    /// Joined from several, or with a number in it.
    Identifier,
    /// After `=` or a quotation mark.
    Assigned,
}

/// A word of the message at hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    /// Of its text, with `#` for a number.
    pub(super) hash: u64,
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) kind: Kind,
    pub(super) weight: u32,
}

pub(super) const WEIGHT: u32 = 1;
pub(super) const WEIGHT_VOCABULARY: u32 = 3;
pub(super) const WEIGHT_VERB: u32 = 6;

/// Stands for a number in a word.
pub(super) const NUMBER: char = '#';

/// So many digits make a word a value.
const DIGITS_MIN: usize = 3;

/// The message at hand.
#[derive(Default)]
pub(super) struct Message {
    pub(super) words: Vec<Word>,
    /// Before each word, and after the last: whether a value stands there.
    pub(super) values: Vec<bool>,
    /// Hash of the sequence.
    pub(super) key: u64,
    scratch: String,
}

/// What a token is in a sequence.
pub(super) enum Part {
    /// A value.
    Value,
    /// A word, with the hash of its text, `#` for a number.
    Word {
        hash: u64,
        kind: Kind,
        assigned: bool,
    },
}

/// What a token is made of.
enum Shape {
    Value,
    Letters,
    Joined,
    /// With a short number in it.
    Numbered,
}

impl Message {
    /// Takes in the tokens of `text`. The words' kinds and weights are left for [`weigh`](Message::weigh).
    pub(super) fn read(&mut self, text: &str, tokens: &[Token], ignore_case: bool) {
        self.words.clear();
        self.values.clear();
        self.values.push(false);
        self.key = 0;
        for token in tokens {
            match part_of(text, token, ignore_case, &mut self.scratch) {
                Part::Value => {
                    if let Some(value @ false) = self.values.last_mut() {
                        *value = true;
                        self.key = mix(self.key, 1);
                    }
                }
                Part::Word {
                    hash,
                    kind,
                    assigned,
                } => {
                    self.words.push(Word {
                        hash,
                        start: token.start,
                        end: token.end,
                        kind,
                        weight: WEIGHT,
                    });
                    self.values.push(false);
                    self.key = mix(self.key, hash ^ u64::from(assigned));
                }
            }
        }
    }

    /// Says of each word what it weighs.
    pub(super) fn weigh(&mut self, text: &str) {
        let (mut known, mut plain) = (0, 0);
        for word in &mut self.words {
            if word.kind != Kind::Plain {
                continue;
            }
            let weight = match look_up(&text[word.start as usize..word.end as usize]) {
                None => {
                    plain += 1;
                    continue;
                }
                Some(Known::Word) => WEIGHT_VOCABULARY,
                Some(Known::Verb) => WEIGHT_VERB,
            };
            (word.kind, word.weight) = (Kind::Vocabulary, weight);
            known += 1;
        }
        let is_unknown_language = 2 * known < plain;
        let first_is_word = !self.values[0];
        for (at, word) in self.words.iter_mut().enumerate() {
            let is_subject = at == 0 && first_is_word;
            if is_subject || (is_unknown_language && word.kind == Kind::Plain) {
                word.kind = Kind::Vocabulary;
                word.weight = word.weight.max(WEIGHT_VOCABULARY);
            }
        }
    }
}

/// What a token of `text` is in a sequence.
#[inline]
pub(super) fn part_of(text: &str, token: &Token, ignore_case: bool, scratch: &mut String) -> Part {
    let word = &text[token.start as usize..token.end as usize];
    let shape = match token.is_value {
        true => Shape::Value,
        false => shape_of(word),
    };
    if matches!(shape, Shape::Value) {
        return Part::Value;
    }
    let before = text.as_bytes()[..token.start as usize].last();
    let assigned = before.is_some_and(|byte| is_assigned(*byte));
    let kind = match (assigned, &shape) {
        (true, _) => Kind::Assigned,
        (_, Shape::Letters) => Kind::Plain,
        _ => Kind::Identifier,
    };
    let hash = match (&shape, ignore_case) {
        (Shape::Numbered, _) | (_, true) => {
            scratch.clear();
            canonical(word, ignore_case, scratch);
            xxh3_64(scratch.as_bytes())
        }
        _ => xxh3_64(word.as_bytes()),
    };
    Part::Word {
        hash,
        kind,
        assigned,
    }
}

#[inline]
pub(super) fn mix(key: u64, part: u64) -> u64 {
    // A multiplication by an odd number after a rotation: order shows, and no part is lost.
    (key.rotate_left(23) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A word's text as it is compared: `#` for its number, and in lower case if case is ignored.
pub(super) fn canonical(word: &str, ignore_case: bool, to: &mut String) {
    let mut in_number = false;
    for c in word.chars() {
        let digit = c.is_ascii_digit();
        if digit && !in_number {
            to.push(NUMBER);
        } else if !digit {
            to.push(if ignore_case { lower(c) } else { c });
        }
        in_number = digit;
    }
}

/// The lower case of a character, where that is one character.
fn lower(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// Whether a word after this byte is assigned.
#[inline(always)]
pub(super) fn is_assigned(before: u8) -> bool {
    matches!(before, b'=' | b'"' | b'\'' | b'`')
}

fn shape_of(word: &str) -> Shape {
    let bytes = word.as_bytes();
    let (mut digits, mut letters, mut numbers, mut slashes, mut other) = (0, 0, 0, 0, false);
    let mut in_number = false;
    for &byte in bytes {
        let digit = byte.is_ascii_digit();
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                numbers += usize::from(!in_number);
            }
            b'a'..=b'z' | b'A'..=b'Z' => letters += 1,
            b'/' => slashes += 1,
            // An address, or a word that could not be told from one with a number in it.
            b'@' | b'#' => return Shape::Value,
            128.. => letters += 1,
            _ => other = true,
        }
        in_number = digit;
    }
    let has_drive = other && word.contains(":\\");
    let is_path = slashes >= 2 || matches!(bytes[0], b'/' | b'\\') || has_drive;
    let is_number = digits >= DIGITS_MIN || numbers >= 2 || 2 * digits >= digits + letters;
    if is_path || (digits > 0 && is_number) {
        return Shape::Value;
    }
    if !word.is_ascii() && word.chars().any(|c| !c.is_ascii() && c.is_numeric()) {
        return Shape::Value;
    }
    match digits {
        0 if letters == 0 => Shape::Value,
        0 if other || slashes > 0 => Shape::Joined,
        0 => Shape::Letters,
        _ => Shape::Numbered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Analyzer, Tokenizer};
    use crate::engine::categorize::tokens::tokenize;

    /// The sequence, written out: `*` for a value, vocabulary in capitals.
    fn sequence(text: &str) -> String {
        let (mut tokens, mut message) = (Vec::new(), Message::default());
        let _ = Analyzer::default();
        tokenize(&Tokenizer::MlStandard, text, &mut tokens);
        message.read(text, &tokens, false);
        message.weigh(text);
        let mut shown = Vec::new();
        for (at, value) in message.values.iter().enumerate() {
            if *value {
                shown.push("*".to_owned());
            }
            if let Some(word) = message.words.get(at) {
                let text = text[word.start as usize..word.end as usize].to_lowercase();
                shown.push(match word.kind {
                    Kind::Vocabulary => text.to_uppercase(),
                    _ => text,
                });
            }
        }
        shown.join(" ")
    }

    #[test]
    fn numbers_ids_paths_and_addresses_are_values_between_words() {
        for (text, expected) in [
            (
                "Failed password for cyrus from 10.0.0.1 port 22",
                "FAILED PASSWORD FOR cyrus FROM * PORT *",
            ),
            (
                "Received block blk_-38865049 of size 67108864",
                "RECEIVED BLOCK * OF SIZE *",
            ),
            ("link eth0 is up at /dev/net/tap", "LINK eth0 IS UP AT *"),
            (
                "mail from a@b.org to host-10-2-3-4.example.org",
                "MAIL FROM * TO *",
            ),
            ("nginx: user=root started", "NGINX user root STARTED"),
            (
                "Verbindung zu Datenbank getrennt",
                "VERBINDUNG ZU DATENBANK GETRENNT",
            ),
            ("12 34", "*"),
            ("", ""),
        ] {
            let shown = sequence(text);
            let expected = expected.replace("NGINX user", "NGINX USER");
            assert_eq!(shown, expected, "{text}");
        }
    }

    #[test]
    fn a_short_number_in_a_word_does_not_show_and_the_rest_does() {
        let key = |text: &str| {
            let (mut tokens, mut message) = (Vec::new(), Message::default());
            tokenize(&Tokenizer::MlStandard, text, &mut tokens);
            message.read(text, &tokens, false);
            message.key
        };
        assert_eq!(key("link eth0 up 5"), key("link eth1 up 77"));
        assert_ne!(key("link eth0 up"), key("link tap0 up"));
        assert_ne!(key("a b"), key("b a"));
        assert_ne!(key("a 1 b"), key("a b 1"));
    }
}
