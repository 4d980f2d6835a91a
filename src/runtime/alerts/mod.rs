//! Alerts around the pure core: topics, and those who are to be told.
//!
//! ```text
//!  the task that writes a job's results                      PREFIX.alerts        one thread a receiver
//!  ┌───────────────────────────────────┐  one transaction   ┌─────────────┐      ┌────────────┐  HTTP
//!  │ results ──► Desk (alert::Tracker) │ ─────────────────► │ incidents   │ ───► │ Dispatcher │ ─────► Alertmanager, webhook
//!  └───────────────────────────────────┘                    └─────────────┘      └────────────┘
//! ```
//!
//! [`Desk`] sits where results are written, not behind the results topics: there a bucket is whole and in order, while its documents lie on several
//! topics and partitions whose order among each other nobody knows. Its notices and its state leave with the results and positions that
//! they follow from, so the alerts topic is exactly once. A [`Dispatcher`](dispatcher::Dispatcher) reads that topic as a consumer group of its own
//! and moves its position when its receiver has taken the news: at least once, under an identity that lets a receiver tell a repetition.

pub mod alertmanager;
mod desk;
pub mod dispatcher;
pub mod document;
pub mod http;
pub mod labels;
pub mod ocsf;
mod shelf;
pub mod webhook;

pub use desk::{AlertSettings, Desk, DeskPlace, Found};
