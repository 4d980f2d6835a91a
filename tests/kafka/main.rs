//! The service on a real Apache Kafka, which these tests start themselves: one broker, shared by all of them.
#![allow(missing_docs, unreachable_pub)]

#[path = "../support/broker.rs"]
mod broker;
mod client;
mod instance;
mod log;
mod service;
mod world;
