//! Bytes → events, from outside: every reason for a rejection, what a broken neighbour may cost, serde_json and chrono as references.

#[path = "decode/hostile.rs"]
mod hostile;
#[path = "decode/properties.rs"]
mod properties;
#[path = "decode/reader.rs"]
mod reader;
#[path = "decode/support.rs"]
mod support;
#[path = "decode/tables.rs"]
mod tables;
#[path = "decode/text.rs"]
mod text;
#[path = "decode/threads.rs"]
mod threads;
#[path = "decode/times.rs"]
mod times;
