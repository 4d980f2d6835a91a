//! One value against one test.
//!
//! No mapping says what a field is, so a value is what its JSON says: a text equals a text letter for letter, or the same address written otherwise;
//! a text and a number are equal when the text spells that number; `true` and `"true"` are equal.

use crate::config::query::{Bound, Case, Edge, Glob, Literal, Test, WordOrder, words};
use crate::engine::event::Value;
use crate::engine::event::mark::Marked;
use crate::time::EventTime;
use crate::time::civil;
use core::net::IpAddr;
use std::cmp::Ordering;

/// A test, ready to be asked.
pub(super) enum Matcher {
    Equals(Equal),
    OneOf(Equals),
    AnyCase(Vec<String>),
    Words {
        whole: Equal,
        words: Vec<String>,
        order: WordOrder,
        is_text: bool,
    },
    Prefix(String, Case),
    Wildcard(Vec<Glob>, Case),
    Regexp(regex::Regex),
    Range(Box<Span>),
}

impl Matcher {
    pub(super) fn new(test: &Test) -> Matcher {
        match test {
            Test::OneOf(literals) => match literals.as_slice() {
                [one] => Matcher::Equals(Equal::new(one)),
                many => Matcher::OneOf(Equals::new(many)),
            },
            Test::OneOfAnyCase(literals) => {
                let texts = literals
                    .iter()
                    .map(|literal| literal_text(literal).to_lowercase());
                Matcher::AnyCase(texts.collect())
            }
            Test::Words {
                whole,
                words,
                order,
                is_text,
            } => Matcher::Words {
                whole: Equal::new(whole),
                words: words.clone(),
                order: *order,
                is_text: *is_text,
            },
            Test::Prefix(text, Case::Sensitive) => Matcher::Prefix(text.clone(), Case::Sensitive),
            Test::Prefix(text, case) => Matcher::Prefix(text.to_lowercase(), *case),
            Test::Wildcard(globs, case) => match beginning(globs) {
                Some(start) if *case == Case::Sensitive => Matcher::Prefix(start, *case),
                _ => Matcher::Wildcard(globs.clone(), *case),
            },
            Test::Regexp(pattern) => Matcher::Regexp(
                regex::Regex::new(pattern).expect("the configuration has compiled it before"),
            ),
            Test::Range(low, high) => {
                Matcher::Range(Box::new(Span::new(low.as_ref(), high.as_ref())))
            }
        }
    }

    /// Whether a text passes, of the kinds of tests that queries have most; `None`: ask [`passes`](Matcher::passes).
    #[inline(always)]
    pub(super) fn passes_at_once(&self, text: &str) -> Option<bool> {
        match self {
            Matcher::Equals(equal) => Some(equal.holds_text(text)),
            Matcher::OneOf(equals) => Some(equals.hold_text(text)),
            Matcher::Prefix(start, Case::Sensitive) => Some(text.starts_with(&**start)),
            _ => None,
        }
    }

    /// Whether a value that is no list passes; `event` is the time of its event.
    #[inline(never)]
    pub(super) fn passes(&self, value: &Value<'_>, event: EventTime) -> bool {
        match self {
            Matcher::Equals(equal) => equal.holds(value),
            Matcher::OneOf(equals) => equals.hold(value),
            Matcher::Range(span) => span.holds(value, event),
            Matcher::Words { whole, .. } if whole.holds(value) => true,
            textual => match value {
                Value::Text(text) => textual.passes_text(text),
                value => textual.passes_text(value.text(&mut String::new()).unwrap_or_default()),
            },
        }
    }

    fn passes_text(&self, text: &str) -> bool {
        match self {
            Matcher::AnyCase(texts) => texts.iter().any(|other| equal_folded(text, other)),
            Matcher::Words {
                words,
                order,
                is_text,
                ..
            } => {
                (*is_text || text.contains(char::is_whitespace)) && holds_words(text, words, *order)
            }
            Matcher::Prefix(start, Case::Sensitive) => text.starts_with(&**start),
            Matcher::Prefix(start, Case::Ignored) => {
                let mut folded = text.chars().flat_map(char::to_lowercase);
                start.chars().all(|c| folded.next() == Some(c))
            }
            Matcher::Wildcard(globs, case) => matches_globs(globs, text, *case),
            Matcher::Regexp(regex) => regex.is_match(text),
            Matcher::Equals(_) | Matcher::OneOf(_) | Matcher::Range(_) => false,
        }
    }
}

/// The text that a pattern says a value must begin with, if it says no more.
fn beginning(globs: &[Glob]) -> Option<String> {
    let (Glob::Any, start) = globs.split_last()? else {
        return None;
    };
    let chars = start.iter().map(|glob| match glob {
        Glob::Char(c) => Some(*c),
        Glob::One | Glob::Any => None,
    });
    chars.collect()
}

fn literal_text(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => text.clone(),
        Literal::Int(int) => int.to_string(),
        Literal::Float(float) => float.to_string(),
        Literal::Bool(b) => b.to_string(),
    }
}

/// A literal as everything that it may equal.
pub(super) struct Equal {
    text: Marked,
    /// Whether texts equal it when they spell the same number.
    is_number: bool,
    int: Option<i64>,
    number: Option<f64>,
    truth: Option<bool>,
    network: Option<Box<Network>>,
}

/// Addresses that begin with the same bits. IPv4 lies in IPv6 as `::ffff:0:0/96`.
struct Network {
    bits: u128,
    mask: u128,
    /// Only a text with a colon can mean the same without being the same: of a single IPv4 address, and of what lies outside of IPv4.
    needs_colon: bool,
}

impl Equal {
    fn new(literal: &Literal) -> Equal {
        let text = literal_text(literal);
        let number: Option<f64> = text.trim().parse().ok().filter(|x: &f64| x.is_finite());
        Equal {
            is_number: matches!(literal, Literal::Int(_) | Literal::Float(_)),
            int: text.trim().parse().ok(),
            number,
            truth: match text.as_str() {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            },
            network: Network::parse(&text).map(Box::new),
            text: Marked::new(&text),
        }
    }

    #[inline(always)]
    pub(super) fn holds_text(&self, text: &str) -> bool {
        self.text.is(text) || self.has_other_forms() && self.holds_otherwise(text)
    }

    /// Whether texts that are not the same may mean the same.
    #[inline(always)]
    fn has_other_forms(&self) -> bool {
        self.network.is_some() || self.is_number
    }

    fn holds(&self, value: &Value<'_>) -> bool {
        match value {
            Value::Text(text) => self.holds_text(text),
            Value::Int(int) => match self.int {
                Some(own) => own == *int,
                None => self.number == Some(*int as f64),
            },
            Value::Float(float) => self.number == Some(*float),
            Value::Bool(b) => self.truth == Some(*b),
            Value::Missing | Value::List(_) => false,
        }
    }

    /// Whether a text that is not the same means the same.
    fn holds_otherwise(&self, text: &str) -> bool {
        match &self.network {
            Some(network) => network.holds(text),
            None if self.is_number => {
                self.number.is_some() && text.trim().parse().ok() == self.number
            }
            None => false,
        }
    }
}

impl Network {
    fn parse(text: &str) -> Option<Network> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (most, before) = match address {
            IpAddr::V4(_) => (32, 96),
            IpAddr::V6(_) => (128, 0),
        };
        let length = length.unwrap_or(most);
        if length > most {
            return None;
        }
        let mask = u128::MAX.checked_shl(128 - length - before).unwrap_or(0);
        let (bits, v4) = (bits_of(address) & mask, bits_of(IpAddr::from([0, 0, 0, 0])));
        let meets_v4 = (bits ^ v4) & mask & !0xffff_ffff == 0;
        Some(Network {
            bits,
            mask,
            needs_colon: !meets_v4 || address.is_ipv4() && length == most,
        })
    }

    fn holds(&self, text: &str) -> bool {
        let begins_like_one = text
            .as_bytes()
            .first()
            .is_some_and(|byte| byte.is_ascii_hexdigit() || *byte == b':');
        // Before its first colon an address has four hexadecimal digits at most.
        let mut beginning = text.bytes().take(5);
        if !begins_like_one || self.needs_colon && !beginning.any(|byte| byte == b':') {
            return false;
        }
        let address = text.parse().ok().map(bits_of);
        address.is_some_and(|bits| bits & self.mask == self.bits)
    }
}

fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Several literals, found by halving.
pub(super) struct Equals {
    texts: Box<[Marked]>,
    numbers: Box<[f64]>,
    truths: [bool; 2],
    /// Those that texts may equal otherwise: addresses and numbers.
    others: Box<[Equal]>,
}

impl Equals {
    fn new(literals: &[Literal]) -> Equals {
        let all: Vec<Equal> = literals.iter().map(Equal::new).collect();
        let mut texts: Vec<&str> = all.iter().map(|one| one.text.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        let texts = texts.into_iter().map(Marked::new).collect();
        let mut numbers: Vec<f64> = all.iter().filter_map(|one| one.number).collect();
        numbers.sort_unstable_by(f64::total_cmp);
        let truths = [false, true].map(|b| all.iter().any(|one| one.truth == Some(b)));
        let others = all.into_iter().filter(Equal::has_other_forms);
        Equals {
            texts,
            numbers: numbers.into(),
            truths,
            others: others.collect(),
        }
    }

    #[inline(always)]
    pub(super) fn hold_text(&self, text: &str) -> bool {
        let found = match self.texts.len() {
            0..=8 => self.texts.iter().any(|own| own.is(text)),
            _ => {
                let order = |own: &Marked| own.as_str().cmp(text);
                self.texts.binary_search_by(order).is_ok()
            }
        };
        found || self.others.iter().any(|one| one.holds_otherwise(text))
    }

    fn hold(&self, value: &Value<'_>) -> bool {
        let holds_number = |x: f64| {
            let at = |own: &f64| own.partial_cmp(&x).unwrap_or(Ordering::Less);
            self.numbers.binary_search_by(at).is_ok()
        };
        match value {
            Value::Text(text) => self.hold_text(text),
            Value::Int(int) => holds_number(*int as f64),
            Value::Float(float) => holds_number(*float),
            Value::Bool(b) => self.truths[usize::from(*b)],
            Value::Missing | Value::List(_) => false,
        }
    }
}

/// Whether a text is another in small letters.
fn equal_folded(text: &str, folded: &str) -> bool {
    text.chars().flat_map(char::to_lowercase).eq(folded.chars())
}

fn starts_folded(text: &str, folded: &str) -> bool {
    let mut chars = text.chars().flat_map(char::to_lowercase);
    folded.chars().all(|c| chars.next() == Some(c))
}

/// Whether the words, of which none is no match, stand in a text.
fn holds_words(text: &str, wanted: &[String], order: WordOrder) -> bool {
    let has = |wanted: &String| words(text).any(|word| equal_folded(word, wanted));
    match (order, wanted) {
        (_, []) => false,
        (WordOrder::Any, wanted) => wanted.iter().any(has),
        (WordOrder::All, wanted) => wanted.iter().all(has),
        (WordOrder::Phrase | WordOrder::PhrasePrefix, [wanted @ .., last]) => {
            let mut from = words(text);
            loop {
                let mut here = from.clone();
                let begun = wanted
                    .iter()
                    .all(|one| here.next().is_some_and(|word| equal_folded(word, one)));
                let ended = begun
                    && here.next().is_some_and(|word| match order {
                        WordOrder::PhrasePrefix => starts_folded(word, last),
                        _ => equal_folded(word, last),
                    });
                if ended {
                    return true;
                }
                if from.next().is_none() {
                    return false;
                }
            }
        }
    }
}

/// Whether a pattern matches a whole text. Time: at most the product of their lengths; memory: none.
fn matches_globs(globs: &[Glob], text: &str, case: Case) -> bool {
    let same =
        |a: char, b: char| a == b || case == Case::Ignored && a.to_lowercase().eq(b.to_lowercase());
    let (mut at, mut rest) = (0, text.chars());
    // Where to go on if what follows the last `*` does not fit: that much later.
    let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        let here = rest.clone();
        match (globs.get(at), rest.next()) {
            (Some(Glob::Any), _) => {
                if at + 1 == globs.len() {
                    return true;
                }
                (rest, at) = (here.clone(), at + 1);
                retry = Some((at, here));
                continue;
            }
            (Some(Glob::One), Some(_)) => {
                at += 1;
                continue;
            }
            (Some(Glob::Char(c)), Some(d)) if same(*c, d) => {
                at += 1;
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        let Some((from, chars)) = &mut retry else {
            return false;
        };
        if chars.next().is_none() {
            return false;
        }
        (at, rest) = (*from, chars.clone());
    }
}

/// A range, with instants that are the same for every event worked out.
pub(super) struct Span {
    low: Option<Edge>,
    high: Option<Edge>,
    /// Milliseconds of the ends, where both are fixed instants or missing.
    fixed: Option<(Option<i64>, Option<i64>)>,
}

impl Span {
    pub(super) fn new(low: Option<&Edge>, high: Option<&Edge>) -> Span {
        let fixed = |edge: Option<&Edge>| match edge.map(|edge| &edge.bound) {
            None => Some(None),
            Some(Bound::Time(math)) if math.is_fixed() => Some(Some(math.at(EventTime(0)).0)),
            Some(Bound::Number(ms)) => Some(Some(*ms as i64)),
            Some(_) => None,
        };
        Span {
            fixed: fixed(low).zip(fixed(high)),
            low: low.cloned(),
            high: high.cloned(),
        }
    }

    fn holds(&self, value: &Value<'_>, event: EventTime) -> bool {
        let within = |edge: &Option<Edge>, outside: Ordering| {
            edge.as_ref()
                .is_none_or(|edge| match compared(value, &edge.bound, event) {
                    None => false,
                    Some(Ordering::Equal) => edge.inclusive,
                    Some(ordering) => ordering != outside,
                })
        };
        within(&self.low, Ordering::Less) && within(&self.high, Ordering::Greater)
    }

    /// Whether an instant lies within, whose event is at `event`.
    pub(super) fn holds_time(&self, time: EventTime, event: EventTime) -> bool {
        let ends = match self.fixed {
            Some(ends) => ends,
            None => {
                let ms = |edge: &Option<Edge>| match edge.as_ref().map(|edge| &edge.bound) {
                    Some(Bound::Time(math)) => Some(math.at(event).0),
                    Some(Bound::Number(ms)) => Some(*ms as i64),
                    _ => None,
                };
                (ms(&self.low), ms(&self.high))
            }
        };
        let includes = |edge: &Option<Edge>| edge.as_ref().is_some_and(|edge| edge.inclusive);
        let above = ends
            .0
            .is_none_or(|low| time.0 > low || time.0 == low && includes(&self.low));
        above
            && ends
                .1
                .is_none_or(|high| time.0 < high || time.0 == high && includes(&self.high))
    }
}

/// How a value is to a bound; `None` when they cannot be compared.
fn compared(value: &Value<'_>, bound: &Bound, event: EventTime) -> Option<Ordering> {
    match (bound, value) {
        (Bound::Number(own), Value::Text(text)) => match text.trim().parse::<f64>() {
            Ok(number) => number.partial_cmp(own),
            // A date, against milliseconds.
            Err(_) => (civil::iso(text).ok()? as f64).partial_cmp(own),
        },
        (Bound::Number(own), value) => value.number()?.partial_cmp(own),
        (Bound::Time(math), value) => {
            let ms = match value {
                Value::Text(text) => match text.trim().parse::<f64>() {
                    Ok(ms) => ms,
                    Err(_) => civil::iso(text.trim_ascii()).ok()? as f64,
                },
                value => value.number()?,
            };
            ms.partial_cmp(&(math.at(event).0 as f64))
        }
        (Bound::Address(own), Value::Text(text)) => {
            let address: IpAddr = text.parse().ok()?;
            Some(bits_of(address).cmp(&bits_of(*own)))
        }
        (Bound::Address(_), _) => None,
        (Bound::Text(own), Value::Text(text)) => Some((**text).cmp(own)),
        (Bound::Text(own), value) => Some(value.text(&mut String::new())?.cmp(own)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::query::globs;

    #[test]
    fn wildcards_match_whole_values() {
        for (pattern, yes, no) in [
            ("a*", &["a", "ab"][..], &["ba", ""][..]),
            ("*a", &["a", "ba", "aba"], &["ab"]),
            ("*a*b?", &["xaybz", "abz", "aabbz"], &["ab", "xayb"]),
            ("*", &["", "x"], &[]),
            ("?", &["é"], &["", "ab"]),
            ("a\\*", &["a*"], &["ab"]),
            ("**x", &["x", "xx"], &["xy"]),
        ] {
            for text in yes {
                assert!(
                    matches_globs(&globs(pattern), text, Case::Sensitive),
                    "{pattern} {text}"
                );
            }
            for text in no {
                assert!(
                    !matches_globs(&globs(pattern), text, Case::Sensitive),
                    "{pattern} {text}"
                );
            }
        }
        assert!(matches_globs(&globs("ÉCO*"), "école", Case::Ignored));
    }

    #[test]
    fn addresses_are_the_same_however_they_are_written() {
        let holds = |own: &str, text: &'static str| {
            Equal::new(&Literal::Text(own.into())).holds(&Value::Text(text.into()))
        };
        for (own, text) in [
            ("::1", "0:0:0:0:0:0:0:1"),
            ("2001:DB8::1", "2001:db8:0::1"),
            ("10.0.0.1", "::ffff:10.0.0.1"),
            ("10.0.0.0/8", "10.200.3.4"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("::/0", "10.0.0.1"),
            ("::ffff:0:0/90", "10.0.0.1"),
            ("0.0.0.0/0", "255.1.2.3"),
            ("2001:db8::/32", "2001:db8:ffff::"),
        ] {
            assert!(holds(own, text), "{own} {text}");
        }
        for (own, text) in [
            ("::1", "::2"),
            ("10.0.0.0/8", "11.0.0.1"),
            ("10.0.0.0/8", "host"),
            ("0.0.0.0/0", "::1"),
            ("10.0.0.0/33", "10.0.0.1"),
        ] {
            assert!(!holds(own, text), "{own} {text}");
        }
    }
}
