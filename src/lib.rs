//! Tidewatch as a library: the README, and below it the map of the crate.
//!
#![doc = include_str!("../README.md")]
//!
//! # The crate's map
//!
//! - [`time`]: integer milliseconds, half-open buckets aligned to the epoch.
//! - [`numerics`]: exact sums, sketches, special functions; knows no word of the domain.
//! - [`config`]: what was written becomes what is true, once: a [`config::Job`].
//! - [`decode`]: bytes to events, total on any input.
//! - [`engine`]: the pure core and its doors: gatherer, judge, rollup, and the three fused as a pipeline.
//! - [`alert`]: results to incidents: one alert each, with a beginning and an end.
//! - [`backtest`]: a detector held against labels: found, how fast, false alarms.
//! - [`simulate`]: feeds with known incidents.
//! - [`runtime`]: the service around the engine: a partitioned log, tasks, snapshots, HTTP.
//! - [`cli`]: the commands.

pub mod alert;
pub mod backtest;
pub mod cli;
pub mod config;
pub mod decode;
pub mod engine;
pub mod numerics;
pub mod runtime;
pub mod simulate;
pub mod time;
