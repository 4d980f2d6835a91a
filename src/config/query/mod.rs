//! A datafeed's query: which events a job sees.
//!
//! What is true of a query once it was read (`config::raw::query` reads what was written): a tree of clauses over fields. `F` is the
//! field's name while it is read, its [`FieldId`] in a [`Job`](super::Job). Every clause is either true or false of an event: a clause over a field that
//! the event lacks is false. docs/queries.md is the user's side; `engine::feed` evaluates it.

mod date_math;

pub use date_math::DateMath;
pub(crate) use date_math::Round;

use super::job::FieldId;
use serde::Serialize;
use std::net::IpAddr;

/// A clause, and with it a whole query.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Query<F = FieldId> {
    /// True of every event.
    All,
    /// True of no event.
    Nothing,
    /// All of them are true.
    Every(Vec<Query<F>>),
    /// At least so many of them are true.
    AtLeast(usize, Vec<Query<F>>),
    /// It is false.
    Not(Box<Query<F>>),
    /// Something that is not null stands at the field or below it.
    Exists(F),
    /// The field's value, of an array one of its elements, passes the test.
    Has(F, Test),
}

/// What a value is asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Test {
    /// Is it one of these, each after its kind?
    OneOf(Vec<Literal>),
    /// The same, whatever the case of its letters.
    OneOfAnyCase(Vec<Literal>),
    /// Is it this text as a whole, or, where it is a text of words, do they hold these?
    Words {
        /// The whole.
        whole: Literal,
        /// In lower case.
        words: Vec<String>,
        /// How they must stand.
        order: WordOrder,
        /// Whether a value without blanks is taken for words too.
        is_text: bool,
    },
    /// Does it begin so?
    Prefix(String, Case),
    /// Is it so, as a whole, where `*` stands for any text and `?` for any character?
    Wildcard(Vec<Glob>, Case),
    /// Does this regular expression (as the `regex` crate reads it) match it?
    Regexp(String),
    /// Does it lie between these? At least one of the two is there.
    Range(Option<Edge>, Option<Edge>),
}

/// How the words of a [`Test::Words`] must stand in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum WordOrder {
    /// One of them anywhere.
    Any,
    /// All of them anywhere.
    All,
    /// All, one after another.
    Phrase,
    /// The same, the last being the beginning of a word.
    PhrasePrefix,
}

/// Whether upper and lower case differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Case {
    /// They do.
    Sensitive,
    /// They do not.
    Ignored,
}

/// A part of a wildcard pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Glob {
    /// This character.
    Char(char),
    /// Any character.
    One,
    /// Any text, the empty one included.
    Any,
}

/// A value in a query.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Literal {
    /// Text: equal to the same text, to the number or boolean that it spells, and to the address that it writes otherwise (or that lies in
    /// its network: `10.0.0.0/8`).
    Text(String),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// A boolean.
    Bool(bool),
}

/// An end of a range.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Edge {
    /// Where it lies.
    pub bound: Bound,
    /// Whether the bound itself lies within.
    pub inclusive: bool,
}

/// Where an end of a range lies; it decides what values are compared as.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Bound {
    /// A number; of times, milliseconds since 1970.
    Number(f64),
    /// An instant.
    Time(DateMath),
    /// An address.
    Address(IpAddr),
    /// A text, by its code points.
    Text(String),
}

impl<F> Query<F> {
    /// True when all of `clauses` are; as simple as that can be said.
    pub(crate) fn every(mut clauses: Vec<Query<F>>) -> Query<F> {
        clauses.retain(|clause| !matches!(clause, Query::All));
        match clauses.len() {
            _ if clauses.iter().any(|c| matches!(c, Query::Nothing)) => Query::Nothing,
            0 => Query::All,
            1 => clauses.remove(0),
            _ => Query::Every(clauses),
        }
    }

    /// True when at least `least` of `clauses` are.
    pub(crate) fn at_least(least: usize, mut clauses: Vec<Query<F>>) -> Query<F> {
        clauses.retain(|clause| !matches!(clause, Query::Nothing));
        match least {
            0 => Query::All,
            _ if least > clauses.len() => Query::Nothing,
            1 if clauses.iter().any(|c| matches!(c, Query::All)) => Query::All,
            1 if clauses.len() == 1 => clauses.remove(0),
            _ if least == clauses.len() => Query::every(clauses),
            _ => Query::AtLeast(least, clauses),
        }
    }

    /// True when `clause` is not.
    pub(crate) fn negated(clause: Query<F>) -> Query<F> {
        match clause {
            Query::All => Query::Nothing,
            Query::Nothing => Query::All,
            Query::Not(inner) => *inner,
            clause => Query::Not(Box::new(clause)),
        }
    }

    /// Every field that it names; `true` says that its value is tested, `false` that it is to exist.
    pub(crate) fn each_field<'q>(&'q self, visit: &mut dyn FnMut(&'q F, bool)) {
        match self {
            Query::All | Query::Nothing => {}
            Query::Every(clauses) | Query::AtLeast(_, clauses) => {
                clauses.iter().for_each(|clause| clause.each_field(visit));
            }
            Query::Not(clause) => clause.each_field(visit),
            Query::Exists(field) => visit(field, false),
            Query::Has(field, _) => visit(field, true),
        }
    }

    /// The same query with other names for its fields; `value` names those whose values are tested, `presence` those that are to exist.
    pub(crate) fn renamed<G>(
        self,
        value: &mut dyn FnMut(F) -> G,
        presence: &mut dyn FnMut(F) -> G,
    ) -> Query<G> {
        let mut all = |clauses: Vec<Query<F>>| -> Vec<Query<G>> {
            let clauses = clauses.into_iter();
            clauses.map(|c| c.renamed(value, presence)).collect()
        };
        match self {
            Query::All => Query::All,
            Query::Nothing => Query::Nothing,
            Query::Every(clauses) => Query::Every(all(clauses)),
            Query::AtLeast(least, clauses) => Query::AtLeast(least, all(clauses)),
            Query::Not(clause) => Query::Not(Box::new(clause.renamed(value, presence))),
            Query::Exists(field) => Query::Exists(presence(field)),
            Query::Has(field, test) => Query::Has(value(field), test),
        }
    }
}

/// `*` and `?` in a pattern; a backslash takes the meaning from what follows it.
pub(crate) fn globs(pattern: &str) -> Vec<Glob> {
    let mut globs = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' if globs.last() == Some(&Glob::Any) => {}
            '*' => globs.push(Glob::Any),
            '?' => globs.push(Glob::One),
            '\\' => globs.push(Glob::Char(chars.next().unwrap_or('\\'))),
            c => globs.push(Glob::Char(c)),
        }
    }
    globs
}

/// The words of a text, where they stand: runs of letters, digits and `_`; a dot or an apostrophe between letters, and a dot or a comma between digits,
/// belong to the word. (Elastic's standard tokenizer follows Unicode's word boundaries, of which this is the everyday part.)
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> + Clone {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find(|c: char| is_word(c))?;
        let word = &rest[start..];
        let mut end = word.len();
        let mut before = '_';
        let mut chars = word.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let after = chars.peek().map_or(' ', |(_, c)| *c);
            if !is_word(c) && !joins(before, c, after) {
                end = at;
                break;
            }
            before = c;
        }
        rest = &word[end..];
        Some(&word[..end])
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn joins(before: char, c: char, after: char) -> bool {
    match c {
        '.' if before.is_numeric() => after.is_numeric(),
        '.' | '\'' | '\u{2019}' => before.is_alphabetic() && after.is_alphabetic(),
        ',' => before.is_numeric() && after.is_numeric(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_a_person_would_call_one() {
        for (text, expected) in [
            (
                "GET /api/v1: it's 3.5 ms",
                &["GET", "api", "v1", "it's", "3.5", "ms"][..],
            ),
            ("web.example.org failed.", &["web.example.org", "failed"]),
            ("a_b-c 1,000,x", &["a_b", "c", "1,000", "x"]),
            ("Grüße, 東京!", &["Grüße", "東京"]),
            (" .. ", &[]),
            ("", &[]),
        ] {
            assert_eq!(words(text).collect::<Vec<_>>(), expected, "{text:?}");
        }
    }

    #[test]
    fn clauses_that_decide_alone_do() {
        let clause = || Query::Exists("a");
        assert_eq!(Query::every(vec![Query::All, clause()]), clause());
        assert_eq!(Query::every(vec![Query::Nothing, clause()]), Query::Nothing);
        assert_eq!(Query::at_least(1, vec![Query::All, clause()]), Query::All);
        assert_eq!(Query::at_least(2, vec![clause()]), Query::Nothing);
        assert_eq!(Query::negated(Query::negated(clause())), clause());
    }
}
