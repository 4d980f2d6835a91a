//! What people look at a service with: `tidewatch tail`, `top` and `snapshots`, against a running one on a real Kafka.

use crate::broker::broker;
use crate::client::{produce, topic};
use crate::instance::{Deployment, Instance, PATIENCE};
use crate::service::{await_metric, metric};
use crate::world::{Kind, SPAN_MS, START_MS, Spread, close, events, expected, job, publish};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const BUCKETS: i64 = 60;

/// The binary with a configuration, in an empty directory of its own.
fn tidewatch(configuration: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewatch"));
    command
        .args(args)
        .env_remove("TIDEWATCH_LOG")
        .env("TIDEWATCH_CONFIG", configuration)
        .stdin(Stdio::null());
    command
}

fn told(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (text(&output.stdout), text(&output.stderr))
}

fn succeed(mut command: Command) -> String {
    let output = command.output().expect("the binary starts");
    let (out, err) = told(&output);
    assert!(output.status.success(), "{command:?}: {out}{err}");
    out
}

fn fail(mut command: Command) -> String {
    let output = command.output().expect("the binary starts");
    let (out, err) = told(&output);
    assert_eq!(output.status.code(), Some(1), "{command:?}: {out}{err}");
    err
}

/// Of a deployment, whose own are one a job.
fn groups(deployment: &Deployment) -> Vec<String> {
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &broker().address)
        .create()
        .expect("a client");
    let list = client
        .fetch_group_list(None, Duration::from_secs(10))
        .expect("the groups");
    let names = list.groups().iter().map(|group| group.name().to_owned());
    names
        .filter(|name| name.starts_with(&deployment.prefix))
        .collect()
}

/// A service that has published what it has to say of some buckets.
fn service(name: &str, settings: &str) -> (Deployment, Instance, String) {
    let input = topic(name, 2);
    let messages = events(43, BUCKETS);
    publish(&input, 2, Spread::AtRandom, &messages);
    close(&input, 2, BUCKETS);
    let job = job(Kind::PerHost, &input, "");
    let deployment = Deployment::new(std::slice::from_ref(&job), settings);
    let instance = deployment.start("a");
    let mut texts: Vec<String> = messages.into_iter().map(|message| message.text).collect();
    texts.push(crate::world::sentinel(BUCKETS));
    deployment.await_results(&expected(&job, texts));
    (deployment, instance, input)
}

/// The lines that a running command prints.
fn lines_of(command: &mut Command) -> (std::process::Child, mpsc::Receiver<String>) {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let out = child.stdout.take().expect("a pipe");
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let _ = send.send(line);
        }
    });
    (child, receive)
}

#[test]
fn tail_shows_what_a_job_says_and_leaves_no_trace() {
    let (deployment, instance, input) = service("tail", "");
    // A machine that has nothing but the configuration: no job files.
    let elsewhere = tempfile::tempdir().expect("a directory");
    let configuration = elsewhere.path().join("tidewatch.yaml");
    fs::copy(deployment.path("a.yaml"), &configuration).expect("a copy");
    let tail = |args: &[&str]| {
        let args: Vec<&str> = std::iter::once(&"tail").chain(args).copied().collect();
        tidewatch(&configuration, &args)
    };
    let before = groups(&deployment);

    // Documents as the topic holds them, all of them.
    let out = succeed(tail(&["--no-follow", "--kinds", "record,bucket"]));
    let mut lines: Vec<String> = out.lines().map(str::to_owned).collect();
    let mut values: Vec<String> = ["results.record", "results.bucket"]
        .iter()
        .flat_map(|kind| deployment.seen(kind))
        .filter_map(|seen| seen.value)
        .collect();
    lines.sort();
    values.sort();
    assert!(lines == values, "{} of {}", lines.len(), values.len());

    // People see the incidents in order of time, in the words of `detect`.
    let table = succeed(tail(&[
        "per-host",
        "--no-follow",
        "--format",
        "table",
        "--min-score",
        "20",
    ]));
    assert!(
        table.contains("mean(latency_ms)  host.name=h3") && table.contains("count  host.name=h7"),
        "{table}"
    );
    let times: Vec<&str> = table
        .lines()
        .filter(|line| line.starts_with("2025-"))
        .map(|line| &line[..16])
        .collect();
    assert!(!times.is_empty() && times.is_sorted(), "{table}");
    let incident = START_MS + BUCKETS * 3 / 4 * SPAN_MS;
    let since = incident.to_string();
    let late = succeed(tail(&[
        "--no-follow",
        "--format",
        "ndjson",
        "--kinds",
        "record",
        "--since",
        &since,
    ]));
    let early = |line: &&str| {
        let document: Value = serde_json::from_str(line).expect("JSON");
        document["timestamp"].as_i64() < Some(incident)
    };
    assert!(
        !late.is_empty() && late.lines().find(early).is_none(),
        "{late}"
    );

    // Errors that say what would have been right.
    let unknown = fail(tail(&["per-hots", "--no-follow"]));
    assert!(unknown.contains("did you mean \"per-host\"?"), "{unknown}");
    let mut of_nobody = tail(&["--no-follow"]);
    of_nobody.env("TIDEWATCH_TOPICS_PREFIX", "nobody");
    let absent = fail(of_nobody);
    assert!(
        absent.contains("no topic nobody.results.bucket"),
        "{absent}"
    );
    let mut to_nowhere = tail(&["--no-follow"]);
    to_nowhere.env(
        "TIDEWATCH_KAFKA_PROPERTIES_BOOTSTRAP_SERVERS",
        "127.0.0.1:1",
    );
    let silent = fail(to_nowhere);
    assert!(silent.contains("the brokers do not answer"), "{silent}");

    // What somebody else has written there is passed over.
    let records = format!("{}.results.record", deployment.prefix);
    produce(
        &records,
        [(0, "\u{1b}[2J".to_owned()), (1, "{}".to_owned())],
    );
    let again = succeed(tail(&["--no-follow", "--kinds", "record,bucket"]));
    assert_eq!(again.lines().count(), values.len());

    let after = groups(&deployment);
    assert_eq!(after, before);

    // Live: what is published while it looks.
    let (mut child, lines) = lines_of(&mut tail(&["--kinds", "bucket"]));
    let deadline = Instant::now() + PATIENCE;
    let mut bucket = BUCKETS + 10;
    let line = loop {
        // Until it has begun to look, nobody knows; each closes another bucket.
        close(&input, 2, bucket);
        bucket += 1;
        match lines.recv_timeout(Duration::from_millis(500)) {
            Ok(line) => break line,
            Err(_) => assert!(Instant::now() < deadline, "{}", deployment.logs()),
        }
    };
    let document: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(document["result_type"], "bucket");
    assert!(
        document["timestamp"].as_i64() >= Some(START_MS + BUCKETS * SPAN_MS),
        "{line}"
    );
    child.kill().expect("it can be killed");
    child.wait().expect("it has ended");
    assert_eq!(instance.stop(), Some(0));
}

#[test]
fn top_and_snapshots_tell_of_a_running_service() {
    let (deployment, instance, input) = service("top", "timing:\n  snapshot_interval: 300ms");
    let configuration = deployment.path("a.yaml");
    let url = format!("http://127.0.0.1:{}", instance.port());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let frame = succeed(tidewatch(
            &configuration,
            &[
                "top",
                "--once",
                "--interval",
                "0.2",
                "--url",
                &url,
                "--url",
                "http://127.0.0.1:1",
            ],
        ));
        let job = frame.lines().find(|line| line.starts_with("per-host"));
        let is_live = job.is_some_and(|job| job.contains("live") && job.contains(" of 1 GiB"));
        let is_hot = frame.contains("host.name=h");
        let is_alone = frame.contains("1 of 2 instances") && frame.contains("no answer");
        if is_live && is_hot && is_alone {
            assert!(!frame.contains('\u{1b}'), "{frame}");
            break;
        }
        assert!(Instant::now() < deadline, "{frame}");
    }
    let nobody = fail(tidewatch(
        &configuration,
        &[
            "top",
            "--once",
            "--interval",
            "0.1",
            "--url",
            "http://127.0.0.1:1",
        ],
    ));
    assert!(nobody.contains("no instance has answered"), "{nobody}");

    // A snapshot of each task, however fast all was read, and then a second one of some.
    let stored = "tidewatch_snapshots_total{job_id=\"per-host\",outcome=\"stored\"}";
    await_metric(&instance, stored, |count| count >= 4.0);
    let first = metric(&instance, stored).unwrap_or_default();
    close(&input, 2, BUCKETS + 10);
    await_metric(&instance, stored, |count| count > first);
    assert_eq!(instance.stop(), Some(0));
    // At the end every task has left one.
    let listed = succeed(tidewatch(
        &configuration,
        &["snapshots", "list", "per-host", "--json"],
    ));
    let all: Vec<Value> = listed
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let mut tasks: Vec<(String, i64)> = all
        .iter()
        .map(|one| {
            let topic = one["topic"].as_str().expect("a topic").to_owned();
            (topic, one["kafka_partition"].as_i64().expect("a number"))
        })
        .collect();
    tasks.dedup();
    assert!(
        tasks.len() >= 4,
        "two inputs, the shards, the rollup: {listed}"
    );
    for one in &all {
        assert!(
            one["format"].is_u64() && one["bytes"].as_u64() > Some(0),
            "{one}"
        );
        assert!(
            one["timestamp_ms"].as_i64() > Some(1_700_000_000_000),
            "{one}"
        );
        assert!(one["offset"].as_i64() >= Some(0), "{one}");
    }
    let table = succeed(tidewatch(&configuration, &["snapshots", "list"]));
    assert!(
        table.contains("TASK")
            && table.contains(&format!("in topic {}.snapshots", deployment.prefix)),
        "{table}"
    );
    let unknown = fail(tidewatch(
        &configuration,
        &["snapshots", "list", "per-hots"],
    ));
    assert!(unknown.contains("did you mean \"per-host\"?"), "{unknown}");
    snapshots_are_deleted(&configuration, &all);
}

/// All but the newest of a task's snapshots as they are, that by force.
fn snapshots_are_deleted(configuration: &Path, all: &[Value]) {
    let task_of = |one: &Value| {
        let (topic, partition) = (one["topic"].as_str(), one["kafka_partition"].as_i64());
        let (topic, partition) = (topic.expect("a topic"), partition.expect("a number"));
        format!("per-host/{topic}/{partition}")
    };
    // Of each task the newest comes first.
    let (newest, older) = all
        .windows(2)
        .map(|pair| (&pair[0], &pair[1]))
        .find(|(a, b)| task_of(a) == task_of(b) && a["lineage"] == b["lineage"])
        .expect("a task with two");
    let task = task_of(newest);
    let delete = |one: &Value, further: &[&str]| {
        let offset = one["offset"].to_string();
        let mut arguments = vec!["snapshots", "delete", task.as_str(), offset.as_str()];
        arguments.extend_from_slice(further);
        tidewatch(configuration, &arguments)
    };
    let listed = || {
        succeed(tidewatch(
            configuration,
            &["snapshots", "list", "per-host", "--json"],
        ))
    };
    let count = listed().lines().count();
    let refused = fail(delete(newest, &[]));
    assert!(refused.contains("the task resumes from it"), "{refused}");
    assert_eq!(listed().lines().count(), count);
    let done = succeed(delete(older, &[]));
    assert!(done.contains("deleted"), "{done}");
    assert_eq!(listed().lines().count(), count - 1);
    let gone = fail(delete(older, &[]));
    assert!(gone.contains("no such snapshot"), "{gone}");
    succeed(delete(newest, &["--force"]));
    assert_eq!(listed().lines().count(), count - 2);
}
