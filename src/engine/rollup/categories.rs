//! Categories of messages as documents: `category_definition`, `categorizer_stats`, and what `model_size_stats` says of them. And in words: a record
//! of a category quotes what its messages have in common, since nobody knows an id by heart.

use super::documents::Writer;
use super::news::News;
use super::{Output, Rollup};
use crate::config::MLCATEGORY;
use crate::engine::categorize::{CategorizerStats, CategoryDefinition, CategoryNews};
use crate::engine::result::{
    Annotation, AnnotationEvent, Body, Category, Document, DocumentKind, Partitioned, Record, id,
};
use crate::time::{BucketStart, EventTime, Finality};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// Characters quoted of what a category's messages have in common.
const QUOTED_MAX: usize = 80;

/// Of all categories of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct CategoryTotals {
    pub(super) stats: CategorizerStats,
    pub(super) bytes: u64,
}

/// What the messages of each category have in common, by the category's id; as much as is quoted.
pub(super) type Terms = BTreeMap<u32, Box<str>>;

/// A record of a category says what its messages are, and with how many others they came.
pub(super) fn with_messages(terms: &Terms, news: &News, mut document: Document) -> Document {
    let Body::Record(record) = &mut document.body else {
        return document;
    };
    // Most jobs have no categories.
    let category = (!terms.is_empty()).then(|| category_of(record)).flatten();
    let partition = record.partition_field_value.as_deref();
    let told = category.and_then(|id| news.told(partition, id, terms, &record.description));
    if let Some(told) = told {
        record.description = told;
    }
    if let Some((id, terms)) = category.and_then(|id| Some((id, terms.get(&id)?))) {
        let _ = write!(record.description, " {MLCATEGORY} {id} is \"{terms}\".");
    }
    document
}

/// The category that a record is of; of a member of a population, that of its first cause.
fn category_of(record: &Record) -> Option<u32> {
    let of_causes = record.causes.iter().filter_map(|cause| {
        let name = cause.by_field_name.as_deref()?;
        Some((name, cause.by_field_value.as_deref()?))
    });
    let mut splits = record.splits().chain(of_causes);
    let (_, id) = splits.find(|(name, _)| *name == MLCATEGORY)?;
    id.parse().ok()
}

fn quotable(terms: &str) -> Box<str> {
    match terms.char_indices().nth(QUOTED_MAX) {
        None => terms.into(),
        Some((end, _)) => format!("{}…", terms[..end].trim_end()).into(),
    }
}

impl Rollup {
    /// Writes what is new, and keeps the totals and the terms.
    pub(super) fn say_categories(&mut self, at: BucketStart, news: &CategoryNews) -> Vec<Output> {
        self.state.categories = CategoryTotals {
            stats: news.totals,
            bytes: news.bytes,
        };
        for definition in &news.definitions {
            let terms = quotable(&definition.terms);
            self.state.terms.insert(definition.category_id, terms);
        }
        let definitions = news.definitions.iter();
        let definitions = definitions.map(|one| self.writer.category(at, one));
        let stats = news.stats.iter();
        let stats = stats.map(|(partition, stats)| self.writer.categorizer(at, partition, stats));
        let mut outputs: Vec<Output> = definitions.chain(stats).map(Output::Result).collect();
        for (partition, stats) in &news.stats {
            let key = partition.clone().unwrap_or_default();
            let has_changed = match stats.is_warning() {
                true => self.state.warned.insert(key),
                false => self.state.warned.remove(&key),
            };
            if has_changed && self.job.annotations {
                let note = self.writer.status_changed(at, partition, stats);
                outputs.push(Output::Result(note));
            }
        }
        outputs
    }
}

impl Writer {
    fn category(&self, at: BucketStart, definition: &CategoryDefinition) -> Document {
        let body = Category {
            partition: self.partition(&definition.partition),
            definition: definition.clone(),
        };
        let id = id::category(&self.job.id, definition.category_id);
        let body = Body::Category(Box::new(body));
        self.document(
            DocumentKind::CategoryDefinition,
            id,
            at,
            Finality::Final,
            body,
        )
    }

    fn categorizer(
        &self,
        at: BucketStart,
        partition: &Option<Arc<str>>,
        stats: &CategorizerStats,
    ) -> Document {
        let id = id::categorizer_stats(&self.job.id, at, partition.as_deref());
        let body = Body::CategorizerStats(Partitioned {
            partition: self.partition(partition),
            stats: *stats,
        });
        self.document(
            DocumentKind::CategorizerStats,
            id,
            at,
            Finality::Final,
            body,
        )
    }

    fn status_changed(
        &self,
        at: BucketStart,
        partition: &Option<Arc<str>>,
        stats: &CategorizerStats,
    ) -> Document {
        let named = self.partition(partition);
        let whose = named
            .as_ref()
            .map_or_else(String::new, |(name, value)| format!(" of {name}={value}"));
        let status = stats.categorization_status.name();
        let why = match stats.is_warning() {
            true => {
                ": too few or too many categories for the messages seen, or most of them dead; those by them tell little"
            }
            false => "",
        };
        let body = Annotation {
            event: AnnotationEvent::CategorizationStatusChange,
            annotation: format!("Categorization status{whose} changed to \"{status}\"{why}"),
            since: EventTime(at.millis()),
            until: EventTime(self.job.bucket_span.end_of(at).millis()),
            detector_index: None,
            by: None,
            partition: named,
            lost: None,
            topic_partitions: Vec::new(),
        };
        let id = id::categorization_annotation(
            &self.job.id,
            at,
            self.job.bucket_span,
            partition.as_deref(),
        );
        let body = Body::Annotation(body);
        self.document(DocumentKind::Annotation, id, at, Finality::Final, body)
    }

    /// The name and the value of the partition.
    fn partition(&self, value: &Option<Arc<str>>) -> Option<(String, String)> {
        let per_partition = self.job.categorization.as_ref()?.per_partition?;
        let value = value.as_ref()?;
        let name = self.job.field_name(per_partition.field);
        Some((name.to_owned(), value.to_string()))
    }
}
