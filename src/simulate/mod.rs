//! Simulated feeds: the events of a small web shop, with known incidents and the labels that say where they are.
//!
//! ```text
//! Scenario ──► World (hosts, users, services, their weights) ──► Feed: one event after another, in time order
//!      └─────► labels: what a detector should find, when, at whom
//! found anomalies + labels ──► Verdict: found, missed, how fast, false alarms
//! ```
//!
//! A feed is an iterator that holds one event at a time, so its length and rate are not bounded by memory.
//!
//! The same scenario and seed give the same bytes on every machine: the random stream is ChaCha12 from `rand_chacha`, read as raw
//! 64-bit words, and between a word and a byte of output there is only integer arithmetic and what IEEE 754 fixes to the last bit
//! (`+ - * /`, square root, floor). [`arithmetic`] builds `exp`, `ln` and `cos` from those, because a system's mathematics
//! library may round them as it likes. Checked by: a fingerprint of the default feed in `feed.rs`.
//!
//! Described for users in docs/simulated-feeds.md.

pub mod arithmetic;
mod draw;
mod duration;
mod feed;
mod incident;
mod scenario;
mod verdict;
mod world;
mod write;

pub use duration::{DurationError, parse_duration};
pub use feed::{Feed, SimulatedEvent};
pub use incident::{Entity, Incident, Kind, Label};
pub use scenario::{Scenario, ScenarioError, parse_time};
pub use verdict::{Alarm, Outcome, Verdict};
pub use world::World;
pub use write::{EventFormat, EventWriter};
