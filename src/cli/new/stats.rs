//! What a sample shows of each field: how often it is there, what its values are, how many differ.

use crate::decode::Fields;
use crate::engine::event::Value;
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::xxh3_64;

/// More fields than this are not looked at.
const FIELDS_MAX: usize = 2000;
/// More distinct values than this are not counted.
const DISTINCT_MAX: usize = 100_000;

/// The sample: events, and their fields in the order in which they were met.
#[derive(Default)]
pub(super) struct Sample {
    pub(super) fields: Vec<Field>,
    /// By event: the number of a field and its value.
    pub(super) events: Vec<Vec<(usize, Value<'static>)>>,
    numbers: BTreeMap<String, usize>,
}

/// One field.
pub(super) struct Field {
    pub(super) path: String,
    /// Events that have it.
    pub(super) present: usize,
    /// Of those, events in which it is or spells a number.
    numbers: usize,
    /// Of those, whole ones.
    wholes: usize,
    booleans: usize,
    lists: usize,
    /// Words of all texts.
    words: usize,
    texts: usize,
    pub(super) low: f64,
    pub(super) high: f64,
    /// By hash of its text: how often.
    counts: BTreeMap<u64, usize>,
    pub(super) examples: Vec<String>,
}

impl Sample {
    pub(super) fn take(&mut self, fields: Fields) {
        let mut event = Vec::with_capacity(fields.len());
        for (path, value) in fields {
            // How servers write that there is nothing: no value among others, and no reason to take a number for a text.
            if matches!(&value, Value::Text(text) if text == "-") {
                continue;
            }
            let next = self.fields.len();
            let at = match self.numbers.get(&path) {
                Some(at) => *at,
                None if next >= FIELDS_MAX => continue,
                None => {
                    self.fields.push(Field::new(&path));
                    self.numbers.insert(path, next);
                    next
                }
            };
            self.fields[at].take(&value);
            event.push((at, value));
        }
        self.events.push(event);
    }

    /// The values of a field, event by event; `None` where it is missing.
    pub(super) fn column(&self, field: usize) -> impl Iterator<Item = Option<&Value<'static>>> {
        self.events.iter().map(move |event| {
            let found = event.iter().rev().find(|(at, _)| *at == field);
            found.map(|(_, value)| value)
        })
    }

    /// The share of events that have a field.
    pub(super) fn presence(&self, field: usize) -> f64 {
        self.fields[field].present as f64 / self.events.len().max(1) as f64
    }

    /// Whether each of two fields follows from the other: a name and its id.
    pub(super) fn says_the_same(&self, a: usize, b: usize) -> bool {
        let (one, other) = (&self.fields[a], &self.fields[b]);
        if one.distinct() != other.distinct() || one.present != other.present {
            return false;
        }
        let pairs = self.column(a).zip(self.column(b));
        let both = pairs.filter_map(|(a, b)| Some((hash_of(a?), hash_of(b?))));
        let pairs: BTreeSet<(u64, u64)> = both.collect();
        pairs.len() == one.distinct()
    }
}

impl Field {
    fn new(path: &str) -> Field {
        Field {
            path: path.to_owned(),
            present: 0,
            numbers: 0,
            wholes: 0,
            booleans: 0,
            lists: 0,
            words: 0,
            texts: 0,
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
            counts: BTreeMap::new(),
            examples: Vec::new(),
        }
    }

    fn take(&mut self, value: &Value<'_>) {
        self.present += 1;
        self.lists += usize::from(matches!(value, Value::List(_)));
        self.booleans += usize::from(matches!(value, Value::Bool(_)));
        if let Some(number) = value.number() {
            self.numbers += 1;
            self.wholes += usize::from(number.fract() == 0.0);
            self.low = self.low.min(number);
            self.high = self.high.max(number);
        } else if let Value::Text(text) = value {
            self.texts += 1;
            self.words += text.split_whitespace().count();
        }
        let mut scratch = String::new();
        let text = value.text(&mut scratch).unwrap_or_default();
        if self.examples.len() < 3 && !self.examples.iter().any(|known| known == text) {
            self.examples.push(text.to_owned());
        }
        let hash = xxh3_64(text.as_bytes());
        if self.counts.len() < DISTINCT_MAX || self.counts.contains_key(&hash) {
            *self.counts.entry(hash).or_default() += 1;
        }
    }

    /// Whether a job may name it.
    pub(super) fn is_nameable(&self) -> bool {
        let bad = |c: char| c == '"' || c == '\\' || c.is_control();
        let reserved = ["", ".", "count", "by", "over"];
        !self.path.contains(bad) && !reserved.contains(&&*self.path) && self.path.len() <= 1024
    }

    /// How many different values it has, up to a limit.
    pub(super) fn distinct(&self) -> usize {
        self.counts.len()
    }

    /// How many equally frequent values would be as hard to tell: `exp` of the entropy.
    pub(super) fn effective(&self) -> f64 {
        let all = self.present.max(1) as f64;
        let entropy = self.counts.values().map(|&count| {
            let share = count as f64 / all;
            -share * share.ln()
        });
        entropy.sum::<f64>().exp()
    }

    /// Nearly every value occurs once.
    pub(super) fn is_unique(&self) -> bool {
        self.present >= 20 && self.distinct() * 10 > self.present * 9
    }

    pub(super) fn is_number(&self) -> bool {
        self.numbers * 100 >= self.present * 99 && self.booleans == 0
    }

    pub(super) fn is_whole(&self) -> bool {
        self.is_number() && self.wholes == self.numbers
    }

    /// Sentences rather than names.
    pub(super) fn is_prose(&self) -> bool {
        self.texts * 2 > self.present && self.words >= self.texts * 3 && self.distinct() > 20
    }

    /// What its values are, for a person.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            _ if self.lists > 0 => "list",
            _ if self.booleans == self.present => "boolean",
            _ if self.is_whole() => "integer",
            _ if self.is_number() => "number",
            _ if self.is_prose() => "prose",
            _ => "text",
        }
    }
}

/// The hash of a value's text.
pub(super) fn hash_of(value: &Value<'_>) -> u64 {
    let mut scratch = String::new();
    xxh3_64(value.text(&mut scratch).unwrap_or_default().as_bytes())
}
