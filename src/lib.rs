//! Tidewatch: anomaly detection for event streams.

pub mod cli;
pub mod config;
pub mod decode;
pub mod engine;
pub mod numerics;
pub mod runtime;
pub mod simulate;
pub mod time;
