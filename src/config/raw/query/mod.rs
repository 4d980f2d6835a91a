//! `datafeed_config.query`: Elastic's query language, as far as it says true or false of one event.
//!
//! ```text
//! JSON ──► clauses (this file: bool and its like) ──► leaves (leaf.rs: term, match, range...) ──► Query
//!                                                 └─► texts  (lucene.rs: query_string) ─┘
//! ```
//!
//! Source: datafeed-usage.md 5.4. What cannot be run is refused by its path, as every mistake is; scores, boosts and names of clauses mean
//! nothing here and are passed over. Bounded: clauses nest [`DEPTH_MAX`] deep, there are [`CLAUSES_MAX`] of them, and `terms` has [`TERMS_MAX`].
//! Checked: tests/config/rules.txt, tests/query against an interpreter of its own.

mod leaf;
mod lucene;
mod regexp;

use super::object::{Object, Report, join, kind_of, shown};
use super::suggest::nearest;
use crate::config::query::Query;
use serde_json::Value;
use std::cell::Cell;

/// Clauses inside one another. (Elastic: 30.)
const DEPTH_MAX: usize = 30;
/// Clauses in a query, and fields with them.
const CLAUSES_MAX: usize = 10_000;
/// Values of one `terms`, as in Elastic.
const TERMS_MAX: usize = 65_536;

/// What the reader knows by name.
const KNOWN: [&str; 18] = [
    "bool",
    "term",
    "terms",
    "match",
    "match_phrase",
    "match_phrase_prefix",
    "multi_match",
    "exists",
    "wildcard",
    "prefix",
    "regexp",
    "range",
    "query_string",
    "simple_query_string",
    "constant_score",
    "dis_max",
    "match_all",
    "match_none",
];

/// Elastic's other clauses, and why they are not run.
const REFUSED: [(&str, &str); 21] = [
    ("ids", "messages of a topic have no _id"),
    ("nested", NESTED),
    ("has_child", NESTED),
    ("has_parent", NESTED),
    ("parent_id", NESTED),
    ("script", SCRIPT),
    ("script_score", SCRIPT),
    ("terms_set", SCRIPT),
    ("function_score", SCORES),
    ("boosting", SCORES),
    ("rank_feature", SCORES),
    ("distance_feature", SCORES),
    ("more_like_this", SCORES),
    ("knn", SCORES),
    ("semantic", SCORES),
    ("fuzzy", "write the spellings out with terms, or use regexp"),
    ("geo_shape", GEO),
    ("geo_distance", GEO),
    ("geo_bounding_box", GEO),
    ("intervals", SPANS),
    ("percolate", "it asks for queries, not for events"),
];
const NESTED: &str = "events of a topic are not related to one another";
const SCRIPT: &str =
    "scripts are not run over events; a field computed by runtime_mappings can be tested instead";
const SCORES: &str = "it scores rather than selects; put the clause inside it here";
const GEO: &str = "positions are not compared";
const SPANS: &str = "positions of words are not compared; match_phrase is";

/// Reads a query, which stands at `path`. What is wrong with it is noted, and reads as everything.
pub(super) fn read(path: String, value: &Value, report: &Report) -> Query<String> {
    let clauses = Clauses {
        report,
        count: Cell::new(0),
    };
    clauses.clause(path, value, 0)
}

/// A reader of clauses.
struct Clauses<'r> {
    report: &'r Report,
    /// Clauses read so far.
    count: Cell<usize>,
}

impl Clauses<'_> {
    /// An object of one clause.
    fn clause(&self, path: String, value: &Value, depth: usize) -> Query<String> {
        self.count.set(self.count.get() + 1);
        if self.count.get() > CLAUSES_MAX {
            if self.count.get() == CLAUSES_MAX + 1 {
                let message = format!(
                    "is one of more than {CLAUSES_MAX} clauses, the most that a query may have"
                );
                self.report.wrong(path, message);
            }
            return Query::All;
        }
        if depth > DEPTH_MAX {
            let message = format!("nests deeper than {DEPTH_MAX} clauses");
            self.report.wrong(shortened(path), message);
            return Query::All;
        }
        let Some(object) = Object::new(path, value, self.report) else {
            return Query::All;
        };
        let mut entries = object.entries();
        match (entries.next(), entries.next()) {
            (Some((path, kind, body)), None) => self.kind(path, kind, body, depth),
            (None, _) => {
                object.wrong_here("is empty; a clause such as {\"match_all\": {}} is expected");
                Query::All
            }
            (_, Some((_, second, _))) => {
                object.wrong_here(format!(
                    "has a second clause, {}; put both into bool.filter",
                    shown(second)
                ));
                Query::All
            }
        }
    }

    fn kind(&self, path: String, kind: &str, body: &Value, depth: usize) -> Query<String> {
        let report = self.report;
        match kind {
            "term" => return leaf::field(path, body, report, leaf::term),
            "match" => return leaf::field(path, body, report, leaf::matched),
            "match_phrase" => return leaf::field(path, body, report, leaf::phrase),
            "match_phrase_prefix" => return leaf::field(path, body, report, leaf::phrase_prefix),
            "wildcard" => return leaf::field(path, body, report, leaf::wildcard),
            "prefix" => return leaf::field(path, body, report, leaf::prefix),
            "regexp" => return leaf::field(path, body, report, leaf::regexp),
            "range" => return leaf::field(path, body, report, leaf::range),
            _ => {}
        }
        if !KNOWN.contains(&kind) {
            self.refuse(path, kind);
            return Query::All;
        }
        let Some(object) = Object::new(path, body, report) else {
            return Query::All;
        };
        for key in ["boost", "_name"] {
            object.value(key); // of scores and of responses
        }
        let query = match kind {
            "bool" => self.boolean(&object, depth),
            "constant_score" => self.all_of(&object, "filter", depth),
            "dis_max" => {
                object.value("tie_breaker");
                Query::at_least(1, self.list(&object, "queries", depth))
            }
            "terms" => return leaf::terms(&object),
            "exists" => leaf::exists(&object),
            "multi_match" => leaf::multi_match(&object),
            "query_string" => lucene::query_string(&object),
            "simple_query_string" => lucene::simple_query_string(&object),
            "match_none" => Query::Nothing,
            _ => Query::All,
        };
        object.finish();
        query
    }

    fn refuse(&self, path: String, kind: &str) {
        if let Some((_, why)) = REFUSED.iter().find(|(name, _)| *name == kind) {
            return self
                .report
                .unsupported(path, format!("this clause ({why})"));
        }
        if kind.starts_with("span_") {
            return self
                .report
                .unsupported(path, format!("this clause ({SPANS})"));
        }
        let message = match nearest(kind, KNOWN) {
            Some(near) => format!("is not a query clause; did you mean {near:?}?"),
            None => format!("is not a query clause; known are {}", KNOWN.join(", ")),
        };
        self.report.wrong(path, message);
    }

    /// `bool`. Without scores `must` and `filter` are the same. `should` demands one clause when nothing else must be, and none
    /// otherwise, unless `minimum_should_match` is given.
    fn boolean(&self, object: &Object<'_>, depth: usize) -> Query<String> {
        let mut every = self.list(object, "must", depth);
        every.extend(self.list(object, "filter", depth));
        let must_be = !every.is_empty();
        let should = self.list(object, "should", depth);
        let given = object
            .value("minimum_should_match")
            .and_then(|given| minimum(object, given, should.len()));
        object.value("adjust_pure_negative");
        let least = match given {
            Some(given) => given.max(usize::from(!must_be && !should.is_empty())),
            None => usize::from(!must_be && !should.is_empty()),
        };
        every.push(Query::at_least(least, should));
        let not = self.list(object, "must_not", depth).into_iter();
        every.extend(not.map(Query::negated));
        Query::every(every)
    }

    fn all_of(&self, object: &Object<'_>, key: &'static str, depth: usize) -> Query<String> {
        if !object.has(key) {
            object.value(key);
            object.wrong(key, "is missing; a clause is expected");
        }
        Query::every(self.list(object, key, depth))
    }

    /// Clauses under `key`: a list, or one.
    fn list(&self, object: &Object<'_>, key: &'static str, depth: usize) -> Vec<Query<String>> {
        let is_list = object.value(key).is_some_and(Value::is_array);
        let elements = object.elements(key).unwrap_or_default().into_iter();
        elements
            .map(|(path, value)| match is_list {
                true => self.clause(path, value, depth + 1),
                false => self.clause(object.path_of(key), value, depth + 1),
            })
            .collect()
    }
}

/// `minimum_should_match` of so many clauses: a number, a percentage, or either with a minus: so many may fail.
fn minimum(object: &Object<'_>, given: &Value, clauses: usize) -> Option<usize> {
    const KEY: &str = "minimum_should_match";
    let text = match given {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        other => {
            let message = format!("must be a number or a percentage, not {}", kind_of(other));
            object.wrong(KEY, message);
            return None;
        }
    };
    let clauses = i64::try_from(clauses).unwrap_or(i64::MAX);
    let least = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse().ok().map(|percent: i64| {
            let share = clauses.saturating_mul(percent.saturating_abs()) / 100;
            if percent < 0 { clauses - share } else { share }
        }),
        None => text.parse().ok().map(|least: i64| {
            if least < 0 {
                clauses.saturating_add(least)
            } else {
                least
            }
        }),
    };
    if least.is_none() {
        let message = format!(
            "{} is not supported; expected a number such as 1 or -1, or a percentage such as \"75%\"",
            shown(&text)
        );
        object.wrong(KEY, message);
    }
    least.map(|least| usize::try_from(least.max(0)).unwrap_or(usize::MAX))
}

/// A path that a person can still read.
fn shortened(path: String) -> String {
    const CHARS_MAX: usize = 200;
    match path.char_indices().nth(CHARS_MAX) {
        Some((cut, _)) => format!("{}…", &path[..cut]),
        None => path,
    }
}

/// A field's name in a query; noted and `None` when it can be none.
fn field_name<'n>(path: &str, name: &'n str, report: &Report) -> Option<&'n str> {
    let message = match name {
        _ if name.contains('*') => format!(
            "{} is a pattern of fields; name each field in a clause of its own, under bool.should",
            shown(name)
        ),
        "_id" | "_index" | "_tier" | "_type" => return Some(name), // no event has them: false, as of any missing field
        _ => match super::detector::invalid_field_name(name) {
            None if !name.is_empty() => return Some(name),
            None => "must name a field, not be empty".to_owned(),
            Some(message) => message,
        },
    };
    report.wrong(path.to_owned(), message);
    None
}

/// The same key below `path`.
fn below(path: &str, key: &str) -> String {
    join(path, key)
}
