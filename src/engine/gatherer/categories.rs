//! The categories of events' messages: decided in the order of events, before they are gathered.
//!
//! Holds: an event without a message has no category and is analysed by what does not need one; an event whose category there is no room for, or whose
//! partition was stopped, is not analysed at all, and is counted (`failed_category_count`). Source: modelling-notes.md 12.10.

use crate::config::{FieldId, Job, PerPartition};
use crate::engine::categorize::{
    Bounds, Categorizers, CategorizersState, CategoryNews, Settings, Verdict, Word,
};
use crate::engine::event::{Event, Value};

/// Categories of a job at the most; each may be a series.
const CATEGORIES_MAX: u32 = 100_000;

/// Categorizers, and where in an event they look.
pub(super) struct Categories {
    field: FieldId,
    category_field: FieldId,
    per_partition: Option<PerPartition>,
    settings: Settings,
    categorizers: Categorizers,
    message: String,
    partition: String,
}

/// What follows for an event.
pub(super) enum Category {
    /// Its category, if it has a message.
    Is(Value<'static>),
    /// It is not analysed.
    NotAnalysed,
}

impl Categories {
    /// Of a job that has messages.
    pub(super) fn of(job: &Job) -> Option<Categories> {
        let categorization = job.categorization.as_ref()?;
        let per_partition = categorization.per_partition;
        let settings = Settings {
            analyzer: categorization.analyzer.clone(),
            examples_max: categorization.examples_max,
            bounds: Bounds {
                categories: CATEGORIES_MAX,
                bytes: job.categories_memory_bytes(),
            },
            stop_on_warn: per_partition.is_some_and(|per| per.stop_on_warn),
        };
        Some(Categories {
            field: categorization.field,
            category_field: categorization.category_field,
            per_partition,
            categorizers: Categorizers::new(settings.clone()),
            settings,
            message: String::new(),
            partition: String::new(),
        })
    }

    /// The field that holds the category, which no event has by itself.
    pub(super) fn category_field(&self) -> FieldId {
        self.category_field
    }

    /// The category of an event.
    pub(super) fn of_event(&mut self, event: &Event<'_>) -> Category {
        let Some(message) = event.value(self.field).text(&mut self.message) else {
            return Category::Is(Value::Missing);
        };
        let partition = self.per_partition.map(|per| {
            event
                .value(per.field)
                .text(&mut self.partition)
                .unwrap_or_default()
        });
        match self.categorizers.categorize(partition, message) {
            Verdict::Category(id) => Category::Is(Value::Int(i64::from(id))),
            Verdict::NoRoom | Verdict::Stopped => Category::NotAnalysed,
        }
    }

    pub(super) fn news(&mut self, word: Word) -> CategoryNews {
        self.categorizers.news(word)
    }

    pub(super) fn state(&self) -> CategorizersState {
        self.categorizers.state()
    }

    pub(super) fn resume(&mut self, state: CategorizersState) {
        self.categorizers = Categorizers::resume(self.settings.clone(), state);
    }
}
