//! The shells around the engine: what moves bytes to its doors and carries their answers away.
//!
//! [`log`] is the narrow interface to a partitioned log, with two implementations: librdkafka, and a deterministic one in memory.

pub mod log;
