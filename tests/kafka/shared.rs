//! Jobs of one process on one topic: fetched and decoded once, and each with the results that it has alone.

use crate::client::topic;
use crate::instance::{Deployment, Instance};
use crate::service::await_metric;
use crate::world::{Kind, Spread, Word, close, events, expected, job, publish, sentinel};
use std::fs;
use std::time::Duration;

const BUCKETS: i64 = 60;
const SEED: u64 = 31;
/// Messages that jobs took from one another, over all topics of these tests' only instance.
const SHARED: &str = "tidewatch_messages_shared_total{topic=\"";

fn shared(instance: &Instance, topic: &str, is_so: impl Fn(f64) -> bool) {
    await_metric(instance, &format!("{SHARED}{topic}\"}}"), is_so);
}

#[test]
fn jobs_on_one_topic_share_what_is_read_while_one_comes_and_one_goes_and_comes_again() {
    let input = topic("shared", 2);
    let messages = events(SEED, BUCKETS);
    let parts: Vec<_> = messages.chunks(messages.len().div_ceil(6)).collect();
    let send = |part: usize| publish(&input, 2, Spread::ByHost, parts[part]);
    let kinds = [Kind::PerHost, Kind::Whole, Kind::PerHostKeyed];
    let jobs = kinds.map(|kind| job(kind, &input, ""));
    let deployment = Deployment::new(&jobs[..2], "timing:\n  job_files_interval: 150ms");
    let instance = deployment.start("a");
    instance.await_ready();
    send(0);
    shared(&instance, &input, |messages| messages > 0.0);

    // A third one comes in the middle, reads what the others have behind them, and then with them.
    fs::write(deployment.path("jobs/2.json"), &jobs[2]).unwrap();
    let changes = |kind: &str| format!("tidewatch_job_changes_total{{kind=\"{kind}\"}}");
    await_metric(&instance, &changes("started"), |count| count >= 3.0);
    send(1);
    // One goes, and the others go on without it.
    fs::remove_file(deployment.path("jobs/0.json")).unwrap();
    await_metric(&instance, &changes("stopped"), |count| count >= 1.0);
    send(2);
    shared(&instance, &input, |messages| {
        messages > (parts[1].len() / 2) as f64
    });
    fs::write(deployment.path("jobs/0.json"), &jobs[0]).unwrap();
    await_metric(&instance, &changes("started"), |count| count >= 4.0);
    send(3);
    // All of them die together.
    std::thread::sleep(Duration::from_millis(300));
    instance.kill();
    send(4);
    let instance = deployment.start("a");
    send(5);
    close(&input, 2, BUCKETS);

    let texts = messages.iter().map(|message| message.text.clone());
    let texts = texts.chain([sentinel(BUCKETS)]);
    let mut wanted: Vec<Word> = jobs
        .iter()
        .flat_map(|job| expected(job, texts.clone()))
        .collect();
    wanted.sort();
    deployment.await_results(&wanted);
    assert_eq!(instance.stop(), Some(0), "{}", deployment.logs());
    deployment.assert_results(&wanted, "three jobs on one topic");
}
