//! What a feed's query costs: nanoseconds an event, added to decoding and gathering by a query of six clauses.
//!
//! `cargo bench --bench query`. Events are lines as Auditbeat writes them (ECS, about 600 bytes), in memory, each the payload of a message. Three jobs
//! that differ in their datafeed alone take turns; each row is the best of several rounds. The query selects every event, so that the
//! difference is what asking costs; the last row selects every tenth, and is cheaper than no query.

#![allow(clippy::disallowed_methods)] // a benchmark reads the clock

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;
use tidewatch::config::Job;
use tidewatch::decode::Decoder;
use tidewatch::engine::gatherer::{Gatherer, Input};

const EVENTS: usize = 2_000;
const ROUNDS: usize = 1000;

/// Six clauses, as the modules' feeds have them: terms of keywords, an address, an object that exists.
const SIX: &str = r#"{"bool": {
    "filter": [
        {"term": {"event.module": "auditd"}},
        {"term": {"agent.type": "auditbeat"}},
        {"terms": {"event.action": ["executed", "connected-to", "opened-file"]}},
        {"exists": {"field": "process.executable"}}
    ],
    "must_not": [
        {"term": {"destination.ip": "::1"}},
        {"wildcard": {"process.name": {"value": "kworker*"}}}
    ]
}}"#;

const TENTH: &str = r#"{"term": {"host.name": "host-7"}}"#;

fn main() {
    let lines: Vec<String> = (0..EVENTS).map(line).collect();
    let bytes: usize = lines.iter().map(String::len).sum();
    println!(
        "{EVENTS} events of {} bytes, best of {ROUNDS} rounds",
        bytes / EVENTS
    );
    let rows = [
        ("decode, no query", r#"{"match_all": {}}"#, false, EVENTS),
        ("decode, fields of six clauses", SIX, false, EVENTS),
        (
            "decode and gather, no query",
            r#"{"match_all": {}}"#,
            true,
            EVENTS,
        ),
        ("decode and gather, six clauses", SIX, true, EVENTS),
        ("decode and gather, one of ten", TENTH, true, EVENTS / 10),
    ];
    let jobs = rows.map(|(_, query, ..)| job(query));
    let mut best_ns = [f64::INFINITY; 5];
    for _ in 0..ROUNDS {
        for (at, (name, _, gathers, selects)) in rows.iter().enumerate() {
            let start = Instant::now();
            let selected = run(&jobs[at], &lines, *gathers);
            let ns = start.elapsed().as_nanos() as f64 / EVENTS as f64;
            assert_eq!(selected, *selects, "{name}");
            best_ns[at] = best_ns[at].min(ns);
        }
    }
    println!("{:<32} {:>9}", "", "ns/event");
    for ((name, ..), ns) in rows.iter().zip(best_ns) {
        println!("{name:<32} {ns:>9.0}");
    }
    let fields = best_ns[1] - best_ns[0];
    let all = best_ns[3] - best_ns[2];
    println!(
        "six clauses add {all:.0} ns an event: {fields:.0} to read their fields, {:.0} to ask",
        all - fields
    );
}

fn job(query: &str) -> Arc<Job> {
    let text = format!(
        r#"{{"job_id":"q","analysis_config":{{"bucket_span":"15m","influencers":["user.name"],
        "detectors":[{{"function":"high_count","partition_field_name":"host.name"}}]}},
        "data_description":{{"time_field":"@timestamp"}},
        "datafeed_config":{{"indices":["t"],"query":{query}}}}}"#
    );
    Arc::new(Job::from_text(&text, "q").expect("a job"))
}

fn line(n: usize) -> String {
    let time = tidewatch::time::EventTime(1_706_702_400_000 + n as i64 * 100);
    let action = ["executed", "connected-to", "opened-file"][n % 3];
    format!(
        r#"{{"@timestamp":"{time}","agent":{{"type":"auditbeat","version":"8.17.0","id":"{n:032x}"}},"ecs":{{"version":"8.0.0"}},"event":{{"module":"auditd","category":["process"],"type":["start"],"action":"{action}","outcome":"success"}},"host":{{"name":"host-{}","os":{{"family":"debian","type":"linux"}}}},"user":{{"id":"{}","name":"user{}"}},"process":{{"pid":{},"name":"proc{}","executable":"/usr/bin/proc{}","args":["proc{}","--flag"],"working_directory":"/"}},"destination":{{"ip":"10.1.{}.{}","port":443}},"service":{{"type":"auditd"}}}}"#,
        n % 10,
        n % 100,
        n % 100,
        n % 30_000,
        n % 40,
        n % 40,
        n % 40,
        n / 250 % 250,
        n % 250,
    )
}

/// Decodes every line, gathers it or only looks at it; how many events there were that the query selects.
fn run(job: &Arc<Job>, lines: &[String], gathers: bool) -> usize {
    let mut decoder = Decoder::new(job);
    let mut gatherer = Gatherer::new(Arc::clone(job));
    let mut events = 0;
    for line in lines {
        decoder.payload(black_box(line.as_bytes()), None, &mut |decoded| {
            let event = decoded.expect("an event");
            events += 1;
            match gathers {
                true => drop(black_box(gatherer.handle(Input::Event(event)))),
                false => drop(black_box(event)),
            }
        });
    }
    events - gatherer.passed_over() as usize
}
