//! The engine: events and watermarks in, results out. Pure, synchronous, deterministic.
//!
//! ```text
//! events ──► gatherer ──closed buckets──► judge ──partial buckets──► rollup ──► results
//!            (one per input partition)    (one per shard)            (one per job)
//! ```
//!
//! Every door has the same three verbs (`handle`, `snapshot`, `restore`) and is a function of the sequence of its inputs alone:
//! no clock, no I/O, no randomness, no iteration in hash order. [`pipeline`] is the three in one. Where gathering does not merge, a
//! [`projector`] stands in each gatherer's place, and [`ordered`] is all three behind them.

mod bucket;
pub mod categorize;
pub mod event;
pub mod feature;
mod feed;
pub mod forecast;
pub mod frontier;
pub mod gatherer;
pub mod influence;
pub mod judge;
pub mod keys;
mod left;
pub mod model;
pub mod ordered;
pub mod pipeline;
pub mod probability;
pub mod projector;
pub mod result;
pub mod rollup;
pub mod score;
pub mod snapshot;
pub mod wire;
