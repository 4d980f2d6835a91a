//! The shells around the engine: what moves bytes to its doors and carries their answers away.
//!
//! ```text
//! Log ──batches──► Service ──► Task (one a topic partition) ──► a door of the engine
//!  ▲                  │                     │
//!  └── transactions ──┴── outbox ◄──────────┘        SnapshotStore ◄── snapshots
//! ```
//!
//! A [`service::Service`] runs one job on one thread, and the [`supervisor`] keeps those threads that are wanted; a [`task::Task`] works one topic partition of it. [`log`] is the narrow interface
//! to a partitioned log, [`store`] where snapshots live, [`observer`] what telemetry hears, [`clock`] the only source of time. [`expiry`] withdraws
//! results that have become too old.

pub mod alerts;
pub mod clock;
pub mod embedded;
pub mod expiry;
pub mod http;
pub mod jobs;
pub mod kafka;
pub mod log;
pub mod observer;
pub mod service;
pub mod shutdown;
mod standing;
pub mod store;
pub mod supervisor;
pub mod task;
pub mod telemetry;
pub mod traces;
