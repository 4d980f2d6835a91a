//! What a datafeed makes of an event before it is gathered: fields computed, then asked whether the job wants it, then perhaps told as
//! differences of counters.
//!
//! Holds: what it makes of an event depends on that event alone (of counters: on the events of its entity, in whatever order they come). Nothing
//! here allocates for an event of plain values, unless fields are computed. Source: datafeed-usage.md 5.4, 5.5. Docs: docs/queries.md.

mod compare;
mod computed;
mod counters;
mod select;

pub(crate) use computed::Computer;
pub(crate) use counters::{Differences, State};
pub(crate) use select::Selector;
