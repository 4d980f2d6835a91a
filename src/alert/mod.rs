//! Results to incidents: what somebody is to be told of, once, from its beginning to its end.
//!
//! ```text
//! documents of a bucket ──► Gathered ──findings──► Tracker ──► Notice: opened · updated · resolved
//!                            (order-free)             │
//!                                                     └── state: incidents that go on, recent announcements, the last bucket heard
//! ```
//!
//! Pure as the engine is: no clock, no I/O; buckets are the time. Holds:
//!
//! - *Once.* An incident is opened once and resolved at most once; its id follows from job, entity and first bucket.
//! - *Order-free.* The order of a bucket's documents does not show; words on buckets that are behind (renormalised scores) are not heard.
//! - *Equal state, equal bytes*, and what follows a restore is what would have followed without one.
//! - *Nothing is dropped in silence.* A silenced incident, or one beyond the rate limit, is tracked and told like any other, marked so; those
//!   beyond the limit are announced together, by one notice of their own.
//!
//! Checked by: tests/alerts (properties and scenarios).

mod gathered;
mod incident;
mod state;
mod tracker;

pub use incident::{
    Change, Delivery, Entity, Evidence, Incident, IncidentKind, Notice, Reason, entity_text,
};
pub(crate) use state::MAGIC as STATE_MAGIC;
pub use state::StateError;
pub use tracker::Tracker;
