//! Decoding alone: nanoseconds an event, beside serde_json reading the same fields of the same bytes.
//!
//! `cargo bench --bench decode`. Events are JSON of about 200 bytes with ten fields, as a web log has them; jobs name none, three or all of
//! them. Each row is the best of several rounds, in one thread, over bytes that are in memory; rows take turns, so that a noisy
//! machine disturbs all alike.

#![allow(clippy::disallowed_methods)] // a benchmark reads the clock

use serde::Deserialize;
use std::borrow::Cow;
use std::hint::black_box;
use std::io::Cursor;
use std::ops::ControlFlow;
use std::time::Instant;
use tidewatch::config::{Input, Job, LineLayout};
use tidewatch::decode::{Decoder, Item, Options, Reader};

/// Decodes everything once; says how many events there were.
type Row<'a> = Box<dyn FnMut() -> usize + 'a>;

const EVENTS: usize = 200_000;
const ROUNDS: usize = 7;
const ALL: &[&str] = &[
    "host",
    "service",
    "user",
    "method",
    "path",
    "status",
    "bytes",
    "latency_ms",
    "trace.id",
];

/// The same fields by serde's derive, the fastest form known: borrowed, from checked UTF-8.
#[derive(Deserialize)]
struct Three<'a> {
    time: i64,
    #[serde(borrow)]
    host: Cow<'a, str>,
    latency_ms: f64,
}

#[derive(Deserialize)]
struct All<'a> {
    time: i64,
    #[serde(borrow)]
    host: Cow<'a, str>,
    #[serde(borrow)]
    service: Cow<'a, str>,
    #[serde(borrow)]
    user: Cow<'a, str>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    path: Cow<'a, str>,
    status: i64,
    bytes: i64,
    latency_ms: f64,
    #[serde(borrow)]
    trace: Trace<'a>,
}

#[derive(Deserialize)]
struct Trace<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

fn main() {
    let json = events(|n, time| {
        format!(
            r#"{{"time":{time},"host":"web-{:03}","service":"checkout","user":"user{:05}","method":"GET","path":"/api/v1/items/{}","status":200,"bytes":{},"latency_ms":{}.25,"trace":{{"id":"{n:016x}"}}}}"#,
            n % 1000,
            n % 7919,
            n % 97,
            n * 37 % 50_000,
            n % 400
        )
    });
    let iso = events(|n, time| {
        let time = tidewatch::time::EventTime(time);
        format!(
            r#"{{"time":"{time}","host":"web-{:03}","latency_ms":{}.25,"message":"{}"}}"#,
            n % 1000,
            n % 400,
            "x".repeat(110)
        )
    });
    let syslog = events(|n, time| {
        let time = tidewatch::time::EventTime(time);
        format!(
            "{time} web-{:03} sshd[{n}]: Accepted publickey for deploy from 10.0.0.{} port {} ssh2: {}",
            n % 1000,
            n % 256,
            n % 60_000,
            "x".repeat(80)
        )
    });
    let csv = "time,host,service,latency_ms\n".to_string()
        + &events(|n, time| format!("{time},web-{:03},checkout,{}.25", n % 1000, n % 400));
    println!(
        "{EVENTS} events of {} bytes (JSON), {} (ISO times), {} (CSV), {} (syslog)",
        json.len() / EVENTS,
        iso.len() / EVENTS,
        csv.len() / EVENTS,
        syslog.len() / EVENTS
    );

    let (none, three, all) = (job(&[]), job(&["host", "latency_ms"]), job(ALL));
    let mut lines = job(&["message", "host.name"]);
    lines.extensions.input = Input::Text(LineLayout::ByLine);
    let mut rows: Vec<(&str, Row<'_>)> = vec![
        (
            "serde_json, time and two fields",
            Box::new(|| {
                messages(&json, |text| {
                    serde_json::from_str::<Three<'_>>(text)
                        .map(|e| (e.time, e.host.len(), e.latency_ms))
                        .is_ok()
                })
            }),
        ),
        ("messages, time alone", Box::new(|| payloads(&none, &json))),
        (
            "messages, time and two fields",
            Box::new(|| payloads(&three, &json)),
        ),
        (
            "serde_json, time and nine fields",
            Box::new(|| {
                messages(&json, |text| {
                    serde_json::from_str::<All<'_>>(text)
                        .map(|e| {
                            black_box((
                                e.time,
                                e.host,
                                e.service,
                                e.user,
                                e.method,
                                e.path,
                                e.status,
                                e.bytes,
                                e.latency_ms,
                                e.trace.id,
                            ))
                        })
                        .is_ok()
                })
            }),
        ),
        (
            "messages, time and nine fields",
            Box::new(|| payloads(&all, &json)),
        ),
        (
            "messages, ISO time and two fields",
            Box::new(|| payloads(&three, &iso)),
        ),
        (
            "NDJSON file, time and two fields",
            Box::new(|| file(&three, &json)),
        ),
        (
            "CSV file, time and two fields",
            Box::new(|| file(&three, &csv)),
        ),
        (
            "syslog file, time and two fields",
            Box::new(|| file(&lines, &syslog)),
        ),
        (
            "messages, syslog, and two fields",
            Box::new(|| payloads(&lines, &syslog)),
        ),
    ];
    let mut best_ns = vec![f64::INFINITY; rows.len()];
    for _ in 0..ROUNDS {
        for ((name, row), best) in rows.iter_mut().zip(&mut best_ns) {
            let start = Instant::now();
            assert_eq!(row(), EVENTS, "{name}: every event is one");
            *best = best.min(start.elapsed().as_nanos() as f64 / EVENTS as f64);
        }
    }
    println!("{:<36} {:>9} {:>12}", "", "ns/event", "M events/s");
    for ((name, _), ns) in rows.iter().zip(best_ns) {
        println!("{name:<36} {ns:>9.0} {:>12.2}", 1000.0 / ns);
    }
}

fn events(line: impl Fn(usize, i64) -> String) -> String {
    (0..EVENTS)
        .map(|n| line(n, 1_700_000_000_000 + n as i64 * 10) + "\n")
        .collect()
}

fn job(fields: &[&str]) -> Job {
    let detectors: Vec<String> = fields
        .iter()
        .map(|field| format!(r#"{{"function":"distinct_count","field_name":"{field}"}}"#))
        .collect();
    let detectors = if fields.is_empty() {
        r#"{"function":"count"}"#.into()
    } else {
        detectors.join(",")
    };
    let text = format!(
        r#"{{"analysis_config":{{"bucket_span":"5m","detectors":[{detectors}]}},"data_description":{{"time_field":"time"}}}}"#
    );
    Job::from_text(&text, "bench.json").expect("a job")
}

/// Each line as the payload of a message, through serde_json.
fn messages(lines: &str, mut read: impl FnMut(&str) -> bool) -> usize {
    lines
        .split_terminator('\n')
        .filter(|line| std::str::from_utf8(black_box(line.as_bytes())).is_ok_and(&mut read))
        .count()
}

/// Each line as the payload of a message, through the decoder.
fn payloads(job: &Job, lines: &str) -> usize {
    let mut decoder = Decoder::new(job);
    let mut events = 0;
    for line in lines.split_terminator('\n') {
        decoder.payload(black_box(line.as_bytes()), None, &mut |decoded| {
            events += usize::from(black_box(decoded).is_ok());
        });
    }
    events
}

fn file(job: &Job, text: &str) -> usize {
    let mut reader = Reader::from_bytes(
        job,
        "bench",
        Cursor::new(text.as_bytes().to_vec()),
        Options::default(),
    );
    let mut events = 0;
    let _ = reader.run(&mut |item| {
        events += usize::from(matches!(black_box(item), Item::Event { .. }));
        ControlFlow::Continue(())
    });
    events
}
