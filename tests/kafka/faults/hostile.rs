//! Input that means harm: a tenth of all messages is no event, and names come in floods.

use super::{PATIENCE, of, seed};
use crate::broker::broker;
use crate::client::{produce_on, topic};
use crate::instance::Deployment;
use crate::random::Random;
use crate::service::metric;
use crate::world::{Kind, SPAN_MS, START_MS, events, expected, job, sentinel};
use std::time::Instant;

/// Below a broker's limit of a million bytes.
const HUGE: usize = 900_000;
const DEEP: usize = 100_000;

/// A message that is no event: torn, huge, deep, of other encodings, of other types, empty.
fn bad(random: &mut Random) -> Vec<u8> {
    match random.within(0, 9) {
        0 => br#"{"time": 17488224"#.to_vec(),
        1 => [b"{\"time\": ".to_vec(), b"[".repeat(DEEP)].concat(),
        2 => [b"{\"a\":".repeat(DEEP / 5), b"1".to_vec()].concat(),
        3 => b"\xff\xfe{\x00\"\x00t\x00".to_vec(),
        4 => br#""a text, and no object""#.to_vec(),
        5 => [
            br#"{"time": 1, "host": {"name": ""#.to_vec(),
            vec![0xc3, 0x28],
            br#""}}"#.to_vec(),
        ]
        .concat(),
        6 => br#"{"host": {"name": "h1"}, "status": 200}"#.to_vec(),
        7 => br#"{"time": "the day before yesterday", "status": 200}"#.to_vec(),
        _ => Vec::new(),
    }
}

#[test]
fn a_tenth_of_the_input_is_no_event_and_every_other_message_counts() {
    let seed = seed("hostile-input");
    let buckets = of(60, 600);
    let input = topic("hostile", 1);
    let jobs = [job(Kind::Whole, &input, "")];
    let mut random = Random::new(seed);
    let (mut payloads, mut refused) = (Vec::new(), Vec::new());
    for message in events(seed, buckets) {
        payloads.push(message.text.into_bytes());
        if random.within(0, 9) == 0 {
            let one = match refused.len() {
                // One is enough of these: two megabytes with its dead letter.
                7 => [
                    b"{\"time\": \"".to_vec(),
                    b"x".repeat(HUGE),
                    b"\"}".to_vec(),
                ]
                .concat(),
                _ => bad(&mut random),
            };
            refused.push(one.clone());
            payloads.push(one);
        }
    }
    payloads.push(sentinel(buckets).into_bytes());
    let wanted = expected(&jobs[0], &payloads);
    produce_on(
        broker(),
        &input,
        payloads.iter().map(|payload| (0, payload)),
    );
    let deployment = Deployment::new(&jobs, "");
    let instance = deployment.start("a");
    deployment.await_results(&wanted);
    deployment.assert_results(&wanted, "a tenth of the input is no event");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut wanted: Vec<String> = refused.iter().map(|bytes| text(bytes)).collect();
    wanted.sort();
    let deadline = Instant::now() + PATIENCE;
    let letters = loop {
        let seen = deployment.seen("dead-letters");
        if seen.len() >= wanted.len() || Instant::now() > deadline {
            break seen;
        }
    };
    let mut letters: Vec<String> = letters
        .into_iter()
        .map(|seen| seen.value.unwrap_or_default())
        .collect();
    letters.sort();
    assert!(
        letters == wanted,
        "{} dead letters of {}",
        letters.len(),
        wanted.len()
    );
    assert_eq!(instance.stop(), Some(0), "{}", deployment.logs());
    println!(
        "chaos: hostile-input: {} messages, {} of them no events: as many dead letters, the same bytes; results equal detect",
        payloads.len(),
        refused.len()
    );
}

#[test]
fn a_flood_of_names_is_refused_at_the_limit_and_the_memory_kept() {
    let seed = seed("cardinality-flood");
    let (hosts, buckets) = (of(4_000, 40_000), 6);
    let input = topic("flood", 1);
    let limit_bytes = 2_097_152.0;
    let text = job(Kind::PerHost, &input, "").replacen(
        "\"data_description\"",
        "\"analysis_limits\": {\"model_memory_limit\": \"2mb\"}, \"data_description\"",
        1,
    );
    let text = text.replace(r#""model_plot_config": {"enabled": true},"#, "");
    let mut random = Random::new(seed);
    let mut payloads = Vec::new();
    for bucket in 0..buckets {
        for host in 0..hosts {
            let time = START_MS + bucket * SPAN_MS + host * SPAN_MS / hosts;
            let latency = 50.0 + 10.0 * random.unit();
            payloads.push(format!(
                r#"{{"time":{time},"host":{{"name":"h{host}"}},"status":200,"latency_ms":{latency:.3}}}"#
            ));
        }
    }
    payloads.push(sentinel(buckets));
    let wanted = expected(&text, &payloads);
    produce_on(
        broker(),
        &input,
        payloads.iter().map(|payload| (0, payload)),
    );
    let deployment = Deployment::new(&[text], "");
    let instance = deployment.start("a");
    deployment.await_results(&wanted);
    let used = metric(
        &instance,
        "tidewatch_model_memory_bytes{job_id=\"per-host\"}",
    );
    let refused = metric(
        &instance,
        "tidewatch_model_refusals{job_id=\"per-host\",what=\"series\"}",
    );
    deployment.assert_results(&wanted, "a flood of names");
    assert!(
        used.is_some_and(|used| used > 0.0 && used <= limit_bytes),
        "{used:?}"
    );
    assert!(refused.is_some_and(|refused| refused > 0.0), "{refused:?}");
    assert_eq!(instance.stop(), Some(0), "{}", deployment.logs());
    println!(
        "chaos: cardinality-flood: {hosts} names at a limit of 2 MiB: {:.2} MiB of models, {} refusals of new series; results equal detect",
        used.unwrap_or(0.0) / 1_048_576.0,
        refused.unwrap_or(0.0)
    );
}
