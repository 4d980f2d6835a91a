//! What was written of query, computed fields and aggregations → the [`Feed`], its fields numbered behind those of the analysis.
//!
//! A multi-field (`customer.keyword`, `title.text`) is its field read another way, so a query's `customer` and an analysis's `customer.keyword`
//! are one field.

use super::aggregations::Aggregated;
use super::build::Fields;
use super::computed::ComputedFields;
use super::datafeed::RawDatafeed;
use crate::config::datafeed::{Computed, Counter, Counters, Feed, Part};
use crate::config::job::FieldId;
use crate::config::query::Query;
use std::collections::{BTreeMap, BTreeSet};

/// Elastic's usual names for a field read another way.
pub(crate) const MULTI_FIELDS: [&str; 2] = [".keyword", ".text"];

/// The feed of a job whose analysis has named its `fields`.
pub(super) fn build(raw: Option<&RawDatafeed>, fields: &mut Fields) -> Feed {
    let analysed = fields.names.len();
    let Some(raw) = raw else {
        return Feed::default();
    };
    let mut computed = Vec::new();
    for (name, parts) in used(raw, fields) {
        let field = id(fields, &name);
        let parts = parts.into_iter().map(|part| match part {
            Part::Text(text) => Part::Text(text),
            Part::Field(name) => Part::Field(id(fields, &name)),
            Part::Interval(intervals) => Part::Interval(intervals),
        });
        let parts: Vec<Part> = parts.collect();
        if parts != [Part::Field(field)] {
            computed.push(Computed { field, parts });
        }
    }
    let (mut counted_by, mut counters) = (None, None);
    if let Some(made) = &raw.aggregated {
        counted_by = made
            .counted_by
            .as_deref()
            .map(|name| counted_in_intervals(made, name, fields, &mut computed));
        counters = build_counters(made, fields);
    }
    let mut named: Vec<&str> = Vec::new();
    raw.query.each_field(&mut |name, is_value| {
        if is_value || raw.computed.contains_key(name) {
            named.push(name);
        }
    });
    for name in named {
        id(fields, name);
    }
    let base = fields.names.len();
    let mut presences: Vec<String> = Vec::new();
    let query = number(raw, fields, base, &mut presences);
    Feed {
        own_fields: base - analysed,
        query,
        presences,
        computed,
        counted_by,
        counters,
    }
}

/// The computed fields that the analysis or the query names; then what the aggregation renames.
fn used(raw: &RawDatafeed, fields: &Fields) -> Vec<(String, Vec<Part<String>>)> {
    let mut wanted: BTreeSet<String> = fields.names.iter().cloned().collect();
    raw.query
        .each_field(&mut |name, _| drop(wanted.replace(name.clone())));
    let mut renamed: ComputedFields = BTreeMap::new();
    if let Some(made) = &raw.aggregated {
        for (name, field) in &made.names {
            if fields.has(name) {
                renamed.insert(name.clone(), vec![Part::Field(field.clone())]);
                wanted.insert(field.clone());
            }
        }
        wanted.extend(made.counted_by.clone());
        let counters = made.counters.iter().flat_map(|made| &made.differences);
        wanted.extend(counters.map(|(source, ..)| source.clone()));
    }
    let own = raw.computed.clone().into_iter();
    own.filter(|(name, _)| wanted.contains(name))
        .chain(renamed)
        .collect()
}

/// A field that has as many distinct values in a bucket as its intervals have together.
fn counted_in_intervals(
    made: &Aggregated,
    name: &str,
    fields: &mut Fields,
    computed: &mut Vec<Computed>,
) -> FieldId {
    let source = id(fields, name);
    let Some(intervals) = made.intervals else {
        return source;
    };
    let field = fields.id(&format!("{name} by interval"));
    let parts = vec![
        Part::Interval(intervals),
        Part::Text(" ".to_owned()),
        Part::Field(source),
    ];
    computed.push(Computed { field, parts });
    field
}

fn build_counters(made: &Aggregated, fields: &mut Fields) -> Option<Counters> {
    let (raw, intervals) = made.counters.as_ref().zip(made.intervals)?;
    let mut counters: Vec<Counter> = Vec::new();
    for (source, target, rises_only) in &raw.differences {
        let (source, target) = (id(fields, source), fields.id(target));
        let at = counters.iter().position(|counter| counter.source == source);
        let at = at.unwrap_or_else(|| {
            counters.push(Counter {
                source,
                differences: Vec::new(),
                rises: Vec::new(),
            });
            counters.len() - 1
        });
        match rises_only {
            true => counters[at].rises.push(target),
            false => counters[at].differences.push(target),
        }
    }
    // What tells entities apart goes by the aggregation's names, if the analysis uses them, else by the fields' own.
    let entity = raw.entity.iter().map(|name| {
        let field = made.names.get(name).unwrap_or(name);
        match fields.has(name) {
            true => fields.id(name),
            false => id(fields, field),
        }
    });
    Some(Counters {
        intervals,
        entity: entity.collect(),
        counters,
    })
}

fn number(
    raw: &RawDatafeed,
    fields: &mut Fields,
    base: usize,
    presences: &mut Vec<String>,
) -> Query {
    let fields = std::cell::RefCell::new(fields);
    let value = |name: &str| id(&mut fields.borrow_mut(), name);
    let query = raw.query.clone();
    query.renamed(&mut |name| value(&name), &mut |name| {
        // What is computed stands nowhere in the event: it exists when it could be made.
        if raw.computed.contains_key(&name) {
            return value(&name);
        }
        let path = name.strip_suffix(".keyword").unwrap_or(&name).to_owned();
        let at = presences.iter().position(|known| *known == path);
        let at = at.unwrap_or_else(|| {
            presences.push(path);
            presences.len() - 1
        });
        FieldId(u16::try_from(base + at).expect("fields of a query are limited in number"))
    })
}

/// The number of a field, also of one that goes by the name of a multi-field.
fn id(fields: &mut Fields, name: &str) -> FieldId {
    let base = MULTI_FIELDS
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix));
    let same = base.map(str::to_owned).into_iter().chain(
        MULTI_FIELDS
            .iter()
            .map(|suffix| format!("{}{suffix}", base.unwrap_or(name))),
    );
    match fields.has(name) {
        true => fields.id(name),
        false => match same.into_iter().find(|name| fields.has(name)) {
            Some(same) => fields.id(&same),
            None => fields.id(name),
        },
    }
}
