//! Categories of messages as documents: `category_definition`, `categorizer_stats`, and what `model_size_stats` says of them.

use super::documents::Writer;
use super::{Output, Rollup};
use crate::engine::categorize::{CategorizerStats, CategoryDefinition, CategoryNews};
use crate::engine::result::{Body, Category, Document, DocumentKind, Partitioned, id};
use crate::time::{BucketStart, Finality};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Of all categories of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct CategoryTotals {
    pub(super) stats: CategorizerStats,
    pub(super) bytes: u64,
}

impl Rollup {
    /// Writes what is new, and keeps the totals.
    pub(super) fn say_categories(&mut self, at: BucketStart, news: &CategoryNews) -> Vec<Output> {
        self.state.categories = CategoryTotals {
            stats: news.totals,
            bytes: news.bytes,
        };
        let definitions = news.definitions.iter();
        let definitions = definitions.map(|one| self.writer.category(at, one));
        let stats = news.stats.iter();
        let stats = stats.map(|(partition, stats)| self.writer.categorizer(at, partition, stats));
        definitions.chain(stats).map(Output::Result).collect()
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

    /// The name and the value of the partition.
    fn partition(&self, value: &Option<Arc<str>>) -> Option<(String, String)> {
        let per_partition = self.job.categorization.as_ref()?.per_partition?;
        let value = value.as_ref()?;
        let name = self.job.field_name(per_partition.field);
        Some((name.to_owned(), value.to_string()))
    }
}
