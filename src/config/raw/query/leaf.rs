//! Clauses over one field: `term`, `terms`, `match`, `match_phrase`, `exists`, `wildcard`, `prefix`, `regexp`, `range`, `multi_match`.
//!
//! Each has a short form (`{"term": {"status": 200}}`) and a long one (`{"term": {"status": {"value": 200}}}`).

use super::super::object::{Object, Report, kind_of, shown};
use super::{TERMS_MAX, below, field_name};
use crate::config::query::{
    Bound, Case, DateMath, Edge, Literal, Query, Round, Test, WordOrder, globs, words,
};
use crate::time::civil::zone_seconds;
use serde_json::Value;

/// Fields that hold text of words in ECS and in most logs, by the last part of their name.
const TEXT_FIELDS: [&str; 7] = [
    "message",
    "text",
    "msg",
    "log",
    "body",
    "original",
    "stack_trace",
];

/// What a clause's body says: its parameters if it is an object, else the value itself.
enum Body<'a> {
    Short(&'a Value),
    Long(Object<'a>),
}

/// Reads the test of one field's clause.
type ReadTest = fn(&Leaf<'_>) -> Option<Test>;

/// One field's clause.
pub(super) struct Leaf<'a> {
    path: String,
    field: &'a str,
    body: Body<'a>,
    report: &'a Report,
}

/// A clause of the form `{FIELD: ...}`.
pub(super) fn field(path: String, value: &Value, report: &Report, read: ReadTest) -> Query<String> {
    let Some(object) = Object::new(path, value, report) else {
        return Query::All;
    };
    let mut fields = object
        .entries()
        .filter(|(_, key, _)| !["boost", "_name"].contains(key));
    let (Some((path, name, body)), None) = (fields.next(), fields.next()) else {
        object.wrong_here("must name one field; for several, use a clause for each");
        return Query::All;
    };
    let Some(field) = field_name(&path, name, report) else {
        return Query::All;
    };
    let body = match body {
        Value::Object(_) => match Object::new(path.clone(), body, report) {
            Some(object) => Body::Long(object),
            None => return Query::All,
        },
        value => Body::Short(value),
    };
    let leaf = Leaf {
        path,
        field,
        body,
        report,
    };
    let test = read(&leaf);
    if let Body::Long(object) = leaf.body {
        for key in ["boost", "_name"] {
            object.value(key);
        }
        object.finish();
    }
    match test {
        Some(test) => Query::Has(field.to_owned(), test),
        None => Query::All,
    }
}

impl<'a> Leaf<'a> {
    /// The value to compare with: the short form, or the parameter of one of these names.
    fn value(&self, names: &[&'static str]) -> Option<(String, &'a Value)> {
        match &self.body {
            Body::Short(value) => Some((self.path.clone(), *value)),
            Body::Long(object) => {
                // Every name is asked for, or it would be unknown.
                let found = names
                    .iter()
                    .filter_map(|name| Some((object.path_of(name), object.value(name)?)));
                let mut found: Vec<_> = found.collect();
                if found.is_empty() {
                    object.wrong(names[0], "is missing");
                }
                (!found.is_empty()).then(|| found.remove(0))
            }
        }
    }

    fn literal(&self, names: &[&'static str]) -> Option<Literal> {
        let (path, value) = self.value(names)?;
        literal(&path, value, self.report)
    }

    /// The same as text.
    fn text(&self, names: &[&'static str]) -> Option<String> {
        self.literal(names).map(|literal| text_of(&literal))
    }

    fn case(&self) -> Case {
        match &self.body {
            Body::Long(object) if object.boolean("case_insensitive") == Some(true) => Case::Ignored,
            _ => Case::Sensitive,
        }
    }

    /// Parameters that are known: they change speed or scores only, or are read when there is something to compare with.
    fn ignore(&self, keys: &[&'static str]) {
        if let Body::Long(object) = &self.body {
            for key in keys {
                object.value(key);
            }
        }
    }
}

/// A value that a field can have; noted and `None` when it is none.
pub(super) fn literal(path: &str, value: &Value, report: &Report) -> Option<Literal> {
    Some(match value {
        Value::String(text) => Literal::Text(text.clone()),
        Value::Bool(b) => Literal::Bool(*b),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Literal::Int(int),
            (None, Some(float)) => Literal::Float(float),
            (None, None) => Literal::Text(number.to_string()),
        },
        other => {
            let message = format!(
                "must be text, a number or a boolean, not {}",
                kind_of(other)
            );
            report.wrong(path.to_owned(), message);
            return None;
        }
    })
}

fn text_of(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => text.clone(),
        Literal::Int(int) => int.to_string(),
        Literal::Float(float) => float.to_string(),
        Literal::Bool(b) => b.to_string(),
    }
}

pub(super) fn term(leaf: &Leaf<'_>) -> Option<Test> {
    leaf.ignore(&["case_insensitive"]);
    let value = leaf.literal(&["value", "term"])?;
    Some(match leaf.case() {
        Case::Sensitive => Test::OneOf(vec![value]),
        Case::Ignored => Test::OneOfAnyCase(vec![value]),
    })
}

/// `terms`: one field with a list; `boost` may stand beside it.
pub(super) fn terms(object: &Object<'_>) -> Query<String> {
    let mut fields = object
        .entries()
        .filter(|(_, key, _)| !["boost", "_name"].contains(key));
    let (Some((path, name, values)), None) = (fields.next(), fields.next()) else {
        object.wrong_here("must name one field with a list of values");
        return Query::All;
    };
    let Some(field) = field_name(&path, name, object.report()) else {
        return Query::All;
    };
    let values = match values {
        Value::Array(values) => values,
        Value::Object(_) => {
            object
                .report()
                .unsupported(path, "a list of terms looked up in an index; write it out");
            return Query::All;
        }
        other => {
            object.wrong_at(path, format!("must be a list, not {}", kind_of(other)));
            return Query::All;
        }
    };
    if values.len() > TERMS_MAX {
        let message = format!(
            "has {} values; at most {TERMS_MAX} are allowed",
            values.len()
        );
        object.wrong_at(path, message);
        return Query::All;
    }
    let literals = (0..).zip(values).filter_map(|(at, value)| {
        let at: usize = at;
        literal(&format!("{path}[{at}]"), value, object.report())
    });
    let literals: Vec<Literal> = literals.collect();
    match literals.is_empty() {
        true => Query::Nothing,
        false => Query::Has(field.to_owned(), Test::OneOf(literals)),
    }
}

pub(super) fn exists(object: &Object<'_>) -> Query<String> {
    match object.text("field") {
        Some(name) => match field_name(&object.path_of("field"), name, object.report()) {
            // Every document has them.
            Some("_id" | "_index") => Query::All,
            Some(field) => Query::Exists(field.to_owned()),
            None => Query::All,
        },
        None => {
            if !object.has("field") {
                object.wrong("field", "is missing");
            }
            Query::All
        }
    }
}

pub(super) fn matched(leaf: &Leaf<'_>) -> Option<Test> {
    leaf.ignore(&[
        "operator",
        "fuzziness",
        "minimum_should_match",
        "analyzer",
        "lenient",
        "zero_terms_query",
        "auto_generate_synonyms_phrase_query",
        "prefix_length",
        "max_expansions",
        "fuzzy_transpositions",
        "fuzzy_rewrite",
        "type",
    ]);
    let value = leaf.literal(&["query"])?;
    let mut order = WordOrder::Any;
    if let Body::Long(object) = &leaf.body {
        order = operator(object, "operator")?;
        refuse_fuzziness(object);
        one_of_one(object, &value);
    }
    Some(words_of(leaf.field, value, order))
}

/// `operator`: whether one word or all of them are wanted; noted and `None` when it is something else.
pub(super) fn operator(object: &Object<'_>, key: &'static str) -> Option<WordOrder> {
    match object.text(key).map(str::to_ascii_lowercase).as_deref() {
        None | Some("or") => Some(WordOrder::Any),
        Some("and") => Some(WordOrder::All),
        Some(other) => {
            object.wrong(key, format!("{} is not one of or and and", shown(other)));
            None
        }
    }
}

fn refuse_fuzziness(object: &Object<'_>) {
    if let Some(value) = object.value("fuzziness")
        && ![Value::from(0), Value::from("0")].contains(value)
    {
        object.unsupported("fuzziness", "spellings that are only near");
    }
}

/// A minimum of one word of an OR is what an OR is; anything else would have to be counted.
fn one_of_one(object: &Object<'_>, value: &Literal) {
    const KEY: &str = "minimum_should_match";
    let one = [Value::from(1), Value::from("1"), Value::from("100%")];
    let is_one_word = words(&text_of(value)).nth(1).is_none();
    if let Some(given) = object.value(KEY)
        && !(one[..2].contains(given) || is_one_word && one.contains(given))
    {
        object.unsupported(
            KEY,
            "a number of words; operator says one (or) or all (and)",
        );
    }
}

pub(super) fn phrase(leaf: &Leaf<'_>) -> Option<Test> {
    phrase_in(leaf, WordOrder::Phrase)
}

pub(super) fn phrase_prefix(leaf: &Leaf<'_>) -> Option<Test> {
    leaf.ignore(&["max_expansions"]);
    phrase_in(leaf, WordOrder::PhrasePrefix)
}

fn phrase_in(leaf: &Leaf<'_>, order: WordOrder) -> Option<Test> {
    leaf.ignore(&["slop", "analyzer", "zero_terms_query"]);
    let value = leaf.literal(&["query"])?;
    if let Body::Long(object) = &leaf.body
        && object.integer("slop", 0..=i64::MAX).unwrap_or(0) > 0
    {
        object.unsupported("slop", "words that only stand near one another");
    }
    Some(words_of(leaf.field, value, order))
}

/// A test for words, which is one for the whole value where that is no text.
pub(super) fn words_of(field: &str, value: Literal, order: WordOrder) -> Test {
    let last = field.rsplit('.').next().unwrap_or_default();
    let text = text_of(&value);
    Test::Words {
        words: words(&text).map(str::to_lowercase).collect(),
        whole: value,
        order,
        is_text: TEXT_FIELDS.contains(&last),
    }
}

/// The same words in any of several fields.
pub(super) fn multi_match(object: &Object<'_>) -> Query<String> {
    let order = match object.text("type").unwrap_or("best_fields") {
        "phrase" => Some(WordOrder::Phrase),
        "phrase_prefix" => Some(WordOrder::PhrasePrefix),
        "best_fields" | "most_fields" => operator(object, "operator"),
        _ => {
            object.unsupported(
                "type",
                "types other than best_fields, phrase and phrase_prefix",
            );
            None
        }
    };
    refuse_fuzziness(object);
    for key in ["tie_breaker", "lenient", "analyzer", "operator"] {
        object.value(key);
    }
    let value = match object.value("query") {
        Some(value) => literal(&object.path_of("query"), value, object.report()),
        None => {
            object.wrong("query", "is missing");
            None
        }
    };
    let fields = fields(object);
    let (Some(order), Some(value)) = (order, value) else {
        return Query::All;
    };
    let each = fields.into_iter().map(|field| {
        let test = words_of(&field, value.clone(), order);
        Query::Has(field, test)
    });
    Query::at_least(1, each.collect())
}

/// `fields`, boosts (`^2`) cut off; without any, that is noted: only named fields are read.
pub(super) fn fields(object: &Object<'_>) -> Vec<String> {
    let written = object.texts("fields").unwrap_or_default();
    if written.is_empty() {
        object.wrong(
            "fields",
            "must name the fields; only named fields of an event are read",
        );
    }
    let names = written.into_iter().filter_map(|(path, name)| {
        let name = name.split_once('^').map_or(name, |(name, _)| name);
        field_name(&path, name, object.report()).map(str::to_owned)
    });
    names.collect()
}

pub(super) fn wildcard(leaf: &Leaf<'_>) -> Option<Test> {
    leaf.ignore(&["rewrite", "case_insensitive"]);
    let pattern = leaf.text(&["value", "wildcard"])?;
    Some(Test::Wildcard(globs(&pattern), leaf.case()))
}

pub(super) fn prefix(leaf: &Leaf<'_>) -> Option<Test> {
    leaf.ignore(&["rewrite", "case_insensitive"]);
    let text = leaf.text(&["value", "prefix"])?;
    Some(Test::Prefix(text, leaf.case()))
}

pub(super) fn regexp(leaf: &Leaf<'_>) -> Option<Test> {
    const KNOWN: [&str; 5] = [
        "rewrite",
        "flags",
        "flags_value",
        "max_determinized_states",
        "case_insensitive",
    ];
    leaf.ignore(&KNOWN);
    let (path, _) = leaf.value(&["value"])?;
    let pattern = leaf.text(&["value"])?;
    match super::regexp::translated(&pattern, leaf.case()) {
        Ok(pattern) => Some(Test::Regexp(pattern)),
        Err(why) => {
            leaf.report
                .wrong(path, format!("{} {why}", shown(&pattern)));
            None
        }
    }
}

pub(super) fn range(leaf: &Leaf<'_>) -> Option<Test> {
    let Body::Long(object) = &leaf.body else {
        let message = "must be an object with gt, gte, lt or lte";
        leaf.report.wrong(leaf.path.clone(), message);
        return None;
    };
    leaf.ignore(&[
        "relation",
        "time_zone",
        "format",
        "include_lower",
        "include_upper",
    ]);
    leaf.ignore(&["gte", "gt", "from", "lte", "lt", "to"]);
    let zone_ms = zone_ms(object)?;
    let unit_ms = unit_ms(object)?;
    let edge = |keys: &[(&'static str, bool)], side: Side| {
        let mut found = None;
        for (key, inclusive) in keys {
            let Some(value) = object.value(key).filter(|value| !value.is_null()) else {
                continue;
            };
            if found.is_some() {
                object.wrong(key, "is a second end on the same side; keep one");
            }
            let round = side.round(*inclusive);
            let bound = bound(object, key, value, round, zone_ms, unit_ms)?;
            found = Some(Edge {
                bound,
                inclusive: *inclusive,
            });
        }
        Some(found)
    };
    let includes = |key| object.boolean(key).unwrap_or(true);
    let (lower, upper) = (includes("include_lower"), includes("include_upper"));
    let low = edge(&[("gte", true), ("gt", false), ("from", lower)], Side::Low)?;
    let high = edge(&[("lte", true), ("lt", false), ("to", upper)], Side::High)?;
    if low.is_none() && high.is_none() {
        object.wrong_here("needs gt, gte, lt or lte");
        return None;
    }
    Some(Test::Range(low, high))
}

#[derive(Clone, Copy)]
pub(super) enum Side {
    Low,
    High,
}

impl Side {
    /// How an end on this side is rounded: so that what is excluded is a whole unit, and what is included too.
    pub(super) fn round(self, inclusive: bool) -> Round {
        match (self, inclusive) {
            (Side::Low, true) | (Side::High, false) => Round::Down,
            (Side::Low, false) | (Side::High, true) => Round::Up,
        }
    }
}

fn bound(
    object: &Object<'_>,
    key: &str,
    value: &Value,
    round: Round,
    zone_ms: i64,
    unit_ms: f64,
) -> Option<Bound> {
    let path = below(object.path(), key);
    let literal = literal(&path, value, object.report())?;
    if let Literal::Bool(_) = literal {
        object.wrong_at(path, "must be a number, a date, an address or text");
        return None;
    }
    match bound_of(&literal, round, zone_ms, unit_ms) {
        Ok(bound) => Some(bound),
        Err(why) => {
            object.wrong_at(path, format!("{} {why}", shown(&text_of(&literal))));
            None
        }
    }
}

/// What an end is compared as: numbers, dates and addresses are what they look like.
pub(super) fn bound_of(
    literal: &Literal,
    round: Round,
    zone_ms: i64,
    unit_ms: f64,
) -> Result<Bound, String> {
    let text = match literal {
        Literal::Int(int) => return Ok(Bound::Number(*int as f64 * unit_ms)),
        Literal::Float(float) => return Ok(Bound::Number(*float * unit_ms)),
        Literal::Bool(b) => return Ok(Bound::Text(b.to_string())),
        Literal::Text(text) => text,
    };
    if let Some(math) = DateMath::parse(text, round, zone_ms) {
        return math.map(Bound::Time);
    }
    let number = text.trim().parse().ok().filter(|x: &f64| x.is_finite());
    Ok(match (number, text.parse()) {
        (Some(number), _) => Bound::Number(number * unit_ms),
        (None, Ok(address)) => Bound::Address(address),
        (None, Err(_)) => Bound::Text(text.clone()),
    })
}

/// `time_zone`: an offset, for names of zones have rules that change.
fn zone_ms(object: &Object<'_>) -> Option<i64> {
    const KEY: &str = "time_zone";
    let Some(zone) = object.text(KEY) else {
        return Some(0);
    };
    let seconds = zone_seconds(zone.as_bytes());
    if seconds.is_none() {
        let message = format!(
            "{} is not an offset such as \"+02:00\"; the rules of named zones change, and a replay must select the same",
            shown(zone)
        );
        object.wrong(KEY, message);
    }
    seconds.map(|seconds| seconds * 1000)
}

/// `format`: what a number counts.
fn unit_ms(object: &Object<'_>) -> Option<f64> {
    const KEY: &str = "format";
    let Some(formats) = object.text(KEY) else {
        return Some(1.0);
    };
    let mut unit_ms = 1.0;
    for format in formats.split("||") {
        match format.trim() {
            "epoch_second" => unit_ms = 1000.0,
            "epoch_millis" | "strict_date" | "date" => {}
            name if name.contains("date_optional_time") || name.contains("date_time") => {}
            "yyyy-MM-dd" | "yyyy-MM-dd HH:mm:ss" | "yyyy-MM-dd'T'HH:mm:ss" => {}
            other => {
                let message = format!(
                    "{} is not read here; write dates as 2024-01-31T12:30:59Z and leave format out",
                    shown(other)
                );
                object.wrong(KEY, message);
                return None;
            }
        }
    }
    Some(unit_ms)
}
