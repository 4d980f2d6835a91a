//! The service on a real Apache Kafka, which these tests start themselves: one broker, shared by all of them.
#![allow(missing_docs, unreachable_pub)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests wait, and nothing waits for ever"
)]

mod alerts;
#[path = "../support/broker.rs"]
mod broker;
mod client;
#[path = "../support/cluster.rs"]
mod cluster;
mod crowd;
mod faults;
#[path = "../support/foretold.rs"]
mod foretold;
mod forgotten;
mod instance;
mod jobs;
mod large;
mod log;
mod operations;
mod ordered;
#[path = "../support/random.rs"]
mod random;
mod rights;
mod secured;
mod security;
mod service;
mod shared;
mod shipper;
mod terminal;
mod text;
mod turns;
mod undone;
mod world;
