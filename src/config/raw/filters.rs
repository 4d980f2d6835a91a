//! Filters as written: `{filter_id, description, items}`, one, a list of them, or as Elastic lists them (`{count, filters: [...]}`).
//!
//! Source: job-config.md 1.10. A job may carry its filters itself (`tidewatch.filters`), and takes those that its rules speak of from what stands beside
//! it. Either way they are part of its document, so that it is whole by itself. Holds: items are sorted and without repeats, as Elastic returns them.

use super::object::{Object, Report, shown};
use super::rules::RawRule;
use super::suggest::nearest;
use crate::config::id;
use crate::config::rules::Filter;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A filter as written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RawFilter {
    pub(super) filter: Arc<Filter>,
    description: Option<String>,
    items: BTreeSet<String>,
}

/// The filters of a text, by id: those without mistakes.
pub(super) fn read_text(value: &Value, report: &Report) -> BTreeMap<String, RawFilter> {
    let mut filters = BTreeMap::new();
    let list = match value {
        Value::Object(list) if list.contains_key("filters") => {
            let Some(object) = Object::new(String::new(), value, report) else {
                return filters;
            };
            object.value("count");
            let elements = object.elements("filters").unwrap_or_default();
            object.finish();
            elements
        }
        Value::Array(list) => (0..list.len())
            .map(|at| format!("[{at}]"))
            .zip(list)
            .collect(),
        one => vec![(String::new(), one)],
    };
    read_all(list, report, &mut filters);
    filters
}

/// The filters of a list, each with where it stands.
pub(super) fn read_all(
    list: Vec<(String, &Value)>,
    report: &Report,
    filters: &mut BTreeMap<String, RawFilter>,
) {
    for (path, value) in list {
        let Some(object) = Object::new(path, value, report) else {
            continue;
        };
        let (read, path) = (read(&object), object.path_of("filter_id"));
        object.finish();
        let Some((id, filter)) = read else { continue };
        if filters.contains_key(&id) {
            report.wrong(path, format!("{} is here twice", shown(&id)));
        }
        filters.insert(id, filter);
    }
}

fn read(object: &Object<'_>) -> Option<(String, RawFilter)> {
    let id = object.text("filter_id");
    match id.map(id::check) {
        Some(Err(error)) => object.wrong("filter_id", error.to_string()),
        Some(Ok(())) => {}
        None if !object.has("filter_id") => object.wrong("filter_id", "is missing"),
        None => {}
    }
    let description = object.text("description").map(str::to_owned);
    object.text("type"); // of documents taken from an index
    let written = object.texts("items").unwrap_or_default();
    if written.len() > Filter::ITEMS_MAX {
        let message = format!(
            "has {} items; at most {} are allowed",
            written.len(),
            Filter::ITEMS_MAX
        );
        object.wrong("items", message);
        return None;
    }
    let items: BTreeSet<String> = written.iter().map(|(_, item)| (*item).to_owned()).collect();
    let id = id?;
    let filter = Filter::new(id, items.iter().map(String::as_str));
    let filter = RawFilter {
        filter: Arc::new(filter),
        description,
        items,
    };
    Some((id.to_owned(), filter))
}

impl RawFilter {
    /// As a response shows it.
    pub(super) fn render(&self) -> Value {
        let mut document = json!({"filter_id": self.filter.id});
        if let Some(description) = &self.description {
            document["description"] = json!(description);
        }
        document["items"] = json!(self.items);
        document
    }
}

/// Takes the filters that `rules` speak of, and the job does not carry itself, from what stands beside it; notes those that are nowhere.
pub(super) fn resolve<'r>(
    rules: impl Iterator<Item = &'r RawRule>,
    own: &mut BTreeMap<String, RawFilter>,
    beside: &BTreeMap<String, RawFilter>,
    report: &Report,
) {
    for (path, id) in rules.flat_map(RawRule::filters) {
        if own.contains_key(id) {
            continue;
        }
        if let Some(known) = beside.get(id) {
            own.insert(id.to_owned(), known.clone());
            continue;
        }
        let known: Vec<&str> = own
            .keys()
            .chain(beside.keys())
            .map(String::as_str)
            .collect();
        let hint = match nearest(id, known.iter().copied()) {
            Some(near) => format!("did you mean {near:?}?"),
            None if known.is_empty() => {
                "no filter is known; write it under tidewatch.filters, or name its file (--filters, or filters of the service)".to_owned()
            }
            None => format!("known are {}", known.join(", ")),
        };
        report.wrong(path, format!("there is no filter {}; {hint}", shown(id)));
    }
}
