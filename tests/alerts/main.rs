//! Results to incidents: the laws of the pure core, scenarios as text, and deliveries to receivers that fail, by dispatchers that die.
//!
//! That the alerts topic is exactly once under crashes and rebalances is shown in tests/simulation.rs, on a real Kafka in tests/kafka.

mod delivery;
#[path = "../support/house.rs"]
mod house;
mod laws;
mod post;
mod results;
mod scenarios;
mod state;
