//! What is longer than a broker takes of one message goes through it all the same.

use crate::broker::broker;
use crate::client::{produce_on, topic};
use crate::instance::{Deployment, PATIENCE};
use crate::random::Random;
use crate::world::{Kind, START_MS, close, expected, job, sentinel};
use std::time::{Duration, Instant};

/// With their names more than twice what a broker takes of one gatherer, however it is compressed.
const HOSTS: usize = 60_000;
/// The broker takes 1,048,588 bytes of a batch; librdkafka, of ours, a million of a message.
const LONG: usize = 1_040_000;

/// A name that no compressor makes short.
fn name(random: &mut Random) -> String {
    let mut letter = || char::from(b'a' + random.within(0, 26) as u8);
    (0..100).map(|_| letter()).collect()
}

#[test]
fn a_bucket_larger_than_a_message_is_judged_and_a_message_longer_than_ours_is_a_dead_letter() {
    let input = topic("large", 2);
    let mut random = Random::new(20_261_201);
    let mut payloads: Vec<String> = (0..HOSTS)
        .map(|host| {
            let (time, name) = (START_MS + host as i64, name(&mut random));
            format!(
                r#"{{"time":{time},"host":{{"name":"{name}"}},"status":200,"latency_ms":{host}}}"#
            )
        })
        .collect();
    let long = format!(r#"{{"time": "{}"}}"#, "x".repeat(LONG));
    payloads.push(long.clone());
    let text = job(Kind::PerHost, &input, "");
    let text = text.replace(r#""model_plot_config": {"enabled": true},"#, "");
    let spread = payloads.iter().enumerate();
    produce_on(
        broker(),
        &input,
        spread.map(|(at, payload)| ((at % 2) as i32, payload)),
    );
    close(&input, 2, 1);
    let wanted = expected(&text, payloads.iter().chain([&sentinel(1)]));
    assert!(!wanted.is_empty());
    let deployment = Deployment::new(&[text], "");
    let instance = deployment.start("a");
    deployment.await_results(&wanted);
    deployment.assert_results(&wanted, "a bucket larger than a message");
    let deadline = Instant::now() + PATIENCE;
    let letters = loop {
        let seen = deployment.seen("dead-letters");
        if !seen.is_empty() || Instant::now() > deadline {
            break seen;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let letters: Vec<String> = letters.into_iter().filter_map(|seen| seen.value).collect();
    assert_eq!(letters, [&long[..990_000]]);
    assert_eq!(instance.stop(), Some(0), "{}", deployment.logs());
}
