//! Messages categorised a second on one core, beside cutting them into tokens: `cargo bench --bench categorize [-- MESSAGES [CATEGORIES]]`.
//!
//! The messages are of as many templates as categories are wanted, each of words of its own and of words that all share, with a number, a host, a path
//! and a name in it. Then the same as events through a job that counts by `mlcategory`, beside decoding them. Medians of the rounds, in processor time.

#![allow(clippy::disallowed_methods)] // a benchmark reads the clock

#[allow(dead_code)] // other benchmarks use more of it
mod common;

use common::{Stopwatch, decode, detect, median};
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use tidewatch::config::{Analyzer, Job};
use tidewatch::engine::categorize::{Bounds, Categorizers, Settings, Verdict};

const MESSAGES: usize = 1_000_000;
const CATEGORIES: usize = 1_000;
const NAMES: usize = 50;
const ROUNDS: usize = 3;

/// Deterministic, and good enough to draw fields from.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn templates(count: usize) -> Vec<String> {
    const VERBS: [&str; 10] = [
        "opened", "closed", "started", "failed", "received", "sent", "dropped", "found", "deleted",
        "updated",
    ];
    const THINGS: [&str; 10] = [
        "connection",
        "file",
        "session",
        "request",
        "block",
        "table",
        "queue",
        "task",
        "cache",
        "lock",
    ];
    let mut draw = Draw(1);
    let mut one = |at: usize| {
        let mut word = || -> String {
            let letters = (0..7).map(|_| char::from(b'a' + draw.below(26) as u8));
            letters.collect()
        };
        let (own, other) = (word(), word());
        let (verb, thing) = (VERBS[at % 10], THINGS[at / 10 % 10]);
        format!(
            "{own}Service: {thing} {other} INT {verb} by user NAME from HOST after INT ms, see PATH for the reason"
        )
    };
    (0..count).map(&mut one).collect()
}

fn messages(count: usize, categories: usize) -> Vec<String> {
    let templates = templates(categories);
    let mut draw = Draw(2);
    let mut name = |_| -> String {
        (0..6)
            .map(|_| char::from(b'a' + draw.below(26) as u8))
            .collect()
    };
    let names: Vec<String> = (0..NAMES).map(&mut name).collect();
    let mut one = |_| {
        let template = &templates[draw.below(categories as u64) as usize];
        let mut message = String::with_capacity(160);
        for word in template.split(' ') {
            let _ = match word {
                "INT" => write!(message, "{} ", draw.below(100_000)),
                "NAME" => write!(
                    message,
                    "{} ",
                    names[draw.below(names.len() as u64) as usize]
                ),
                "HOST" => write!(message, "10.0.{}.{} ", draw.below(256), draw.below(256)),
                "PATH" => write!(message, "/var/log/app-{}/err.log ", draw.below(9999)),
                word => write!(message, "{word} "),
            };
        }
        message
    };
    (0..count).map(&mut one).collect()
}

fn settings() -> Settings {
    Settings {
        analyzer: Analyzer::default(),
        examples_max: 4,
        bounds: Bounds {
            categories: 100_000,
            bytes: 256 << 20,
        },
        stop_on_warn: false,
    }
}

fn main() {
    let numbers: Vec<usize> = std::env::args()
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let count = numbers.first().copied().unwrap_or(MESSAGES);
    let categories = numbers.get(1).copied().unwrap_or(CATEGORIES);
    let messages = messages(count, categories);
    let bytes: usize = messages.iter().map(String::len).sum();
    println!(
        "{count} messages of {} bytes, {categories} templates, one core, {ROUNDS} rounds",
        bytes / count
    );
    let (mut tokenising, mut categorising) = (Vec::new(), Vec::new());
    let mut found = 0;
    for _ in 0..ROUNDS {
        let mut categorizers = Categorizers::new(settings());
        let watch = Stopwatch::start();
        let tokens: usize = messages
            .iter()
            .map(|message| categorizers.tokens(message))
            .sum();
        tokenising.push(watch.seconds());
        assert!(black_box(tokens) > count);
        let watch = Stopwatch::start();
        for message in &messages {
            let verdict = categorizers.categorize(None, message);
            debug_assert!(matches!(verdict, Verdict::Category(_)));
            black_box(verdict);
        }
        categorising.push(watch.seconds());
        found = categorizers.totals().total_category_count;
    }
    let rate = |seconds: Vec<f64>| count as f64 / median(seconds);
    let (tokenising, categorising) = (rate(tokenising), rate(categorising));
    println!("tokenise {tokenising:>12.0} messages/s");
    println!(
        "categorise {categorising:>10.0} messages/s, {:.1} % of tokenising; {found} categories",
        100.0 * categorising / tokenising
    );
    through_detect(&messages);
}

/// The messages as events of a day, counted by category.
fn through_detect(messages: &[String]) {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("categorize.ndjson");
    let mut lines = String::new();
    for (at, message) in messages.iter().enumerate() {
        let time = at as i64 * 86_400_000 / messages.len() as i64;
        let _ = writeln!(
            lines,
            r#"{{"@timestamp": {time}, "host": "web-{}", "level": "INFO", "message": "{message}"}}"#,
            at % 20
        );
    }
    std::fs::write(&path, lines).expect("a file");
    let text = r#"{"job_id": "categories", "analysis_config": {"bucket_span": "15m", "categorization_field_name": "message",
        "detectors": [{"function": "count", "by_field_name": "mlcategory"}]},
        "analysis_limits": {"model_memory_limit": "1gb"}, "data_description": {"time_field": "@timestamp"}}"#;
    let job = Arc::new(Job::from_text(text, "categories").expect("a job"));
    let (mut decoding, mut detecting) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let watch = Stopwatch::start();
        assert_eq!(
            decode(&job, &path),
            messages.len(),
            "every line is an event"
        );
        decoding.push(watch.seconds());
        let watch = Stopwatch::start();
        detect(&job, &path);
        detecting.push(watch.seconds());
    }
    let rate = |seconds: Vec<f64>| messages.len() as f64 / median(seconds);
    let (decoding, detecting) = (rate(decoding), rate(detecting));
    println!(
        "count by mlcategory: decode {decoding:.0} events/s, detect {detecting:.0} events/s, {:.1} %",
        100.0 * detecting / decoding
    );
}
