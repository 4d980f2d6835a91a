//! Feed queries from outside: a table of what each clause selects, and random queries over random events against an interpreter of
//! its own, which works on the JSON and knows nothing of slots, tries or compiled clauses.
//!
//! Everything goes the way of real events: bytes → decoder → gatherer.

mod feeds;
mod hostile;
mod interpreter;
mod table;

use serde_json::{Value, json};
use std::sync::Arc;
use tidewatch::config::Job;
use tidewatch::decode::Decoder;
use tidewatch::engine::gatherer::{Gatherer, Input};

/// A job that counts the events of a query.
fn job(query: &Value) -> Value {
    json!({
        "job_id": "q",
        "analysis_config": {
            "bucket_span": "15m",
            "detectors": [{"function": "count", "partition_field_name": "event.dataset"}],
        },
        "data_description": {"time_field": "@timestamp"},
        "datafeed_config": {"indices": ["t"], "query": query},
    })
}

/// Which of these events a query selects. All of them have a time.
fn selected(query: &Value, events: &[Value]) -> Vec<bool> {
    let job = Job::from_value(&job(query)).unwrap_or_else(|errors| panic!("{query}: {errors}"));
    let job = Arc::new(job);
    let (mut decoder, mut gatherer) = (Decoder::new(&job), Gatherer::new(job));
    let mut selected = Vec::new();
    for event in events {
        let before = gatherer.passed_over();
        let payload = event.to_string();
        decoder.payload(payload.as_bytes(), None, &mut |decoded| {
            let event = decoded.unwrap_or_else(|rejection| panic!("{payload}: {rejection:?}"));
            let _ = gatherer.handle(Input::Event(event));
        });
        selected.push(gatherer.passed_over() == before);
    }
    selected
}
