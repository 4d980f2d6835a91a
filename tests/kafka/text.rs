//! Topics whose messages are lines of text: what `detect` says of the same lines, though instances are killed; and what is no line.

use crate::broker::broker;
use crate::client::{produce_at, topic};
use crate::instance::Deployment;
use crate::jobs::{results_of, succeed};
use crate::random::Random;
use crate::world::{SPAN_MS, Word};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tidewatch::config::Job;
use tidewatch::decode::Decoder;
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::runtime::jobs::shadow;
use tidewatch::time::{EventTime, Finality};

const BUCKETS: i64 = 40;
const QUICK: &str = "timing:\n  commit_interval: 20ms\n  snapshot_interval: 300ms";
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A message, and its timestamp.
type Line = (Vec<u8>, i64);

/// When the lines begin: some hours ago, for brokers delete what says that it is old.
fn begin_ms() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock");
    (now.as_millis() as i64).div_euclid(SPAN_MS) * SPAN_MS - (BUCKETS + 5) * SPAN_MS
}

/// As syslog writes times: without a year.
fn syslog_time(ms: i64) -> String {
    let iso = EventTime(ms - ms.rem_euclid(1000)).to_string();
    let month: usize = iso[5..7].parse().expect("a month");
    let day: u32 = iso[8..10].parse().expect("a day");
    format!("{} {day:>2} {}", MONTHS[month - 1], &iso[11..19])
}

/// A machine's log in time order: something new in one bucket, a flood in another. Messages are handed on a second after they were written.
fn syslog(begin_ms: i64) -> Vec<Line> {
    let mut random = Random::new(43);
    let mut lines = Vec::new();
    for bucket in 0..BUCKETS {
        let floods = if bucket == 33 { 60 } else { 0 };
        let mut said: Vec<(i64, i64)> = (0..random.within(8, 14) + floods)
            .map(|n| (random.within(0, SPAN_MS), if n >= 14 { 1 } else { n % 3 }))
            .collect();
        if bucket == 30 {
            said.push((random.within(0, SPAN_MS), 3));
        }
        said.sort_unstable();
        for (at, kind) in said {
            let (n, ms) = (random.within(1, 5_000), begin_ms + bucket * SPAN_MS + at);
            let text = match kind {
                0 => format!("sshd[{n}]: Accepted publickey for deploy port {n}"),
                1 => format!("CRON[{n}]: (root) CMD run-parts --report {n}"),
                2 => format!("systemd[1]: Started session {n} of user deploy."),
                _ => format!("kernel: EXT4-fs error on device sda1, inode {n}"),
            };
            let line = format!("{} web-{} {text}", syslog_time(ms), n % 3);
            lines.push((line.into_bytes(), ms - ms.rem_euclid(1000) + 1000));
        }
    }
    let ms = begin_ms + (BUCKETS + 2) * SPAN_MS;
    let last = format!("{} web-1 systemd[1]: That was all.", syslog_time(ms));
    lines.push((last.into_bytes(), ms));
    lines
}

fn job(id: &str, topic: &str, own: &str) -> String {
    format!(
        r#"{{"job_id": "{id}", "analysis_config": {{"bucket_span": "5m", "categorization_field_name": "message",
            "detectors": [{{"function": "rare", "by_field_name": "mlcategory"}}, {{"function": "count", "by_field_name": "mlcategory"}}],
            "influencers": ["process.name", "host.name"]}}, "data_description": {{"time_field": "@timestamp"}},
            "datafeed_config": {{"indices": ["{topic}"]}}, "tidewatch": {{{own}}}}}"#
    )
}

fn programs(id: &str, topic: &str) -> String {
    format!(
        r#"{{"job_id": "{id}", "analysis_config": {{"bucket_span": "5m",
            "detectors": [{{"function": "count", "by_field_name": "process.name"}}, {{"function": "distinct_count", "field_name": "process.pid", "by_field_name": "host.name"}}]}},
            "data_description": {{"time_field": "@timestamp"}},
            "datafeed_config": {{"indices": ["{topic}"]}}, "tidewatch": {{"input": "text"}}}}"#
    )
}

/// What the engine says of messages.
struct Said {
    words: Vec<Word>,
    /// Reasons for refusing some.
    refused: BTreeMap<String, usize>,
}

/// Final results of those events that lie in a range, which is told as a whole if it has an end.
fn said(job: Arc<Job>, lines: &[Line], range: Option<(i64, i64)>) -> Said {
    let (mut decoder, mut pipeline) = (Decoder::new(&job), Pipeline::new(job));
    let (mut words, mut refused) = (Vec::new(), BTreeMap::new());
    let mut hear = |outputs: Vec<Output>| {
        for output in outputs {
            match output {
                Output::Result(document) if document.finality == Finality::Final => {
                    let value = serde_json::to_string(&document).expect("a document");
                    words.push((document.kind.name().to_owned(), document.id, value));
                }
                _ => {}
            }
        }
    };
    let is_meant = |ms: i64| range.is_none_or(|(from, to)| (from..to).contains(&ms));
    for (payload, timestamp_ms) in lines {
        let at = Some(EventTime(*timestamp_ms));
        decoder.payload(payload, at, &mut |decoded| match &decoded {
            Ok(event) if is_meant(event.time.millis()) => {
                hear(pipeline.handle(Input::Event(event)));
            }
            Ok(_) => {}
            Err(rejection) => {
                *refused
                    .entry(rejection.reason.label().to_owned())
                    .or_insert(0) += 1;
                hear(pipeline.handle(Input::Rejected(rejection)));
            }
        });
    }
    if let Some((_, to)) = range {
        hear(pipeline.handle(Input::Advance(EventTime(to))));
    }
    words.sort();
    Said { words, refused }
}

fn of_text(text: &str) -> Arc<Job> {
    Arc::new(Job::from_text(text, "job.json").unwrap_or_else(|errors| panic!("{errors}")))
}

fn send(topic: &str, lines: &[Line]) {
    let messages = lines.iter().map(|(payload, ms)| (0, payload, Some(*ms)));
    produce_at(broker(), topic, messages);
}

/// Every document that `tidewatch detect` writes of these lines.
fn detected(deployment: &Deployment, job: &str, lines: &[Line]) -> Vec<String> {
    let (file, log) = (deployment.path("detect.json"), deployment.path("lines.txt"));
    let bytes: Vec<u8> = lines
        .iter()
        .flat_map(|(payload, _)| [payload, &b"\n"[..]].concat())
        .collect();
    std::fs::write(&file, job).expect("a job");
    std::fs::write(&log, bytes).expect("a log");
    let output = Command::new(env!("CARGO_BIN_EXE_tidewatch"))
        .arg("detect")
        .args([&file, &log])
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn lines_of_a_topic_have_the_results_that_detect_gives_to_a_file_of_them_though_an_instance_is_killed()
 {
    let input = topic("syslog", 1);
    let lines = syslog(begin_ms());
    let jobs = [
        job("kinds", &input, r#""input": "text""#),
        programs("programs", &input),
    ];
    let deployment = Deployment::new(&jobs, QUICK);
    let instance = deployment.start("a");
    let (before, after) = lines.split_at(lines.len() / 2);
    send(&input, before);
    instance.await_ready();
    std::thread::sleep(std::time::Duration::from_secs(1));
    instance.kill();
    send(&input, after);
    let instance = deployment.start("a");
    let mut wanted: Vec<Word> = Vec::new();
    for job in &jobs {
        wanted.extend(said(of_text(job), &lines, None).words);
    }
    wanted.sort();
    deployment.await_results(&wanted);
    assert_eq!(instance.stop(), Some(0), "{}", deployment.logs());
    deployment.assert_results(&wanted, "two jobs on a topic of lines");
    assert_eq!(deployment.seen("dead-letters"), []);
    let has_new = |(kind, _, text): &Word| {
        kind == "record" && text.contains("\"function\":\"rare\"") && text.contains("\"kernel\"")
    };
    assert!(wanted.iter().any(has_new), "what is new has a record");

    let last_bucket_ms = lines
        .last()
        .map_or(0, |(_, ms)| ms - ms.rem_euclid(SPAN_MS));
    for job in &jobs {
        let found = detected(&deployment, job, &lines);
        let its = format!("\"job_id\":\"{}\"", of_text(job).id);
        let own: Vec<&Word> = wanted
            .iter()
            .filter(|(.., text)| text.contains(&its))
            .collect();
        for (kind, id, text) in &own {
            assert!(
                found.contains(text),
                "detect does not say {kind} {id}: {text}"
            );
        }
        // Of the bucket that is still open in the service, it speaks as well.
        let open = format!("\"timestamp\":{last_bucket_ms}");
        let is_of = |text: &String, kind: &str| {
            text.contains(&format!("\"result_type\":\"{kind}\"")) && !text.contains(&open)
        };
        for kind in ["bucket", "record", "influencer"] {
            let closed = found.iter().filter(|text| is_of(text, kind)).count();
            let told = own.iter().filter(|(.., text)| is_of(text, kind)).count();
            assert!(told > 0 || kind != "bucket");
            assert_eq!(closed, told, "{its}: {kind}");
        }
    }
}

#[test]
fn lines_without_a_time_have_their_messages_and_what_is_no_line_is_a_dead_letter() {
    let input = topic("bare", 1);
    let begin_ms = begin_ms();
    let mut lines = syslog(begin_ms);
    // Every other line loses its time, and one message in a hundred is something else.
    for (n, (payload, _)) in lines.iter_mut().enumerate() {
        match n % 100 {
            7 => payload.clear(),
            17 => *payload = b"Obj\x01\0\x16avro".to_vec(),
            27 => *payload = b" \r\n".to_vec(),
            37 => payload.push(0xff),
            47 => payload.extend_from_slice(b"\n\tat a.b.C(D.java:7)\n"),
            57 => *payload = b"{\"@timestamp\": \"yesterday\"}".to_vec(),
            n if n % 2 == 0 => *payload = payload.split_off(16),
            _ => {}
        }
    }
    let text = job("bare", &input, r#""input": "text""#);
    // A job that expects JSON is told what to do.
    let json = job("json", &input, "");
    let deployment = Deployment::new(&[text.clone(), json], QUICK);
    let instance = deployment.start("a");
    send(&input, &lines);
    let Said { words, refused } = said(of_text(&text), &lines, None);
    assert!(
        refused["malformed"] >= 10 && refused["bad_time"] >= 3,
        "{refused:?}"
    );
    deployment.await_results(&words);
    let own = results_of(&deployment, "bare");
    assert!(own == words, "{} of {}", own.len(), words.len());

    let letters = deployment.seen("dead-letters");
    let of = |job: &str| -> Vec<BTreeMap<String, String>> {
        let headers = letters
            .iter()
            .map(|letter| letter.headers.clone().into_iter().collect());
        let all: Vec<BTreeMap<String, String>> = headers.collect();
        all.into_iter().filter(|one| one["job_id"] == job).collect()
    };
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for letter in of("bare") {
        *reasons.entry(letter["reason"].clone()).or_insert(0) += 1;
    }
    assert_eq!(reasons, refused);
    let advice =
        |letter: &BTreeMap<String, String>| letter["detail"].contains("\"input\": \"text\"");
    assert!(of("json").iter().any(advice), "{:?}", of("json").first());
    assert!(!of("bare").iter().any(advice));

    // And once more, a part of it. (What is refused around it is counted, too.)
    let results = |mut words: Vec<Word>| {
        words.retain(|(kind, ..)| kind != "data_counts");
        words
    };
    let (from, to) = (begin_ms + 9 * SPAN_MS, begin_ms + 29 * SPAN_MS);
    let echo = shadow(&of_text(&text), "echo").expect("a shadow");
    let wanted = results(said(echo, &lines, Some((from, to))).words);
    let (from, to) = (from.to_string(), to.to_string());
    let command = [
        "replay", "bare", "--from", &from, "--to", &to, "--as", "echo",
    ];
    for _ in 0..2 {
        let told = succeed(&deployment, &command);
        assert!(told.contains("echo: done"), "{told}");
        let found = results(results_of(&deployment, "echo"));
        assert!(
            found == wanted,
            "{} of {}\n{told}",
            found.len(),
            wanted.len()
        );
    }
    assert_eq!(instance.stop(), Some(0));
}
