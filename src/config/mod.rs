//! Configuration: what was written (`raw`) becomes what is true ([`Job`]) once.
//!
//! The language is Elastic's create-job request; `docs/job-configuration.md` explains it key by key.

mod alerts;
mod byte_size;
pub mod calendar;
mod categorization;
mod datafeed;
mod error;
mod extensions;
mod function;
mod id;
mod job;
pub mod query;
mod raw;
pub mod rules;
pub mod service;
mod time_pattern;
mod time_text;

pub use alerts::{AlertPolicy, AlertSubject, AlertWords, GroupBy, Silence};
pub use categorization::{
    Analyzer, Categorization, CharFilter, MLCATEGORY, PerPartition, StopWords, TokenFilter,
    Tokenizer,
};
pub use datafeed::{Computed, Counter, Counters, Datafeed, Feed, Intervals, Part};
pub use error::{ConfigErrors, Mistake, MistakeKind};
pub use extensions::{Extensions, Input, LineLayout, Start};
pub use function::{Family, Function, Side};
pub use job::{Detector, FieldId, Job, ModelPlot, TimeFormat};
pub(crate) use raw::MULTI_FIELDS;
pub(crate) use raw::start::instant;
pub(crate) use raw::suggest::nearest;
pub use raw::{Coming, Shared};
pub(crate) use time_text::TimeText;
