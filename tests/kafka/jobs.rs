//! Jobs that come, change and go while the service runs, and what `tidewatch jobs` does to them, on a real Kafka.

use crate::client::{alter, produce, setting, topic};
use crate::instance::{Deployment, PATIENCE};
use crate::service::await_metric;
use crate::world::{
    Kind, SPAN_MS, START_MS, Spread, Word, close, events, expected, job, publish, sentinel,
};
use std::fs;
use std::process::{Command, Output};
use std::time::Instant;
use tidewatch::config::Job;
use tidewatch::decode::Decoder;
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::{Output as Said, Pipeline};
use tidewatch::runtime::jobs::shadow;
use tidewatch::time::EventTime;

const BUCKETS: i64 = 40;
const QUICK: &str = "timing:\n  job_files_interval: 150ms";

/// Runs `tidewatch jobs ...` with the configuration of instance `a`.
pub fn jobs(deployment: &Deployment, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidewatch"))
        .arg("jobs")
        .args(args)
        .arg("--config")
        .arg(deployment.path("a.yaml"))
        .output()
        .expect("the binary starts")
}

pub fn succeed(deployment: &Deployment, args: &[&str]) -> String {
    let output = jobs(deployment, args);
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (told(&output.stdout), told(&output.stderr));
    assert!(
        output.status.success(),
        "{args:?}: {out}{err}\n{}",
        deployment.logs()
    );
    out
}

/// All final results of a job that are visible.
pub fn results_of(deployment: &Deployment, job_id: &str) -> Vec<Word> {
    let its = format!("\"job_id\":\"{job_id}\"");
    let mut words = deployment.results();
    words.retain(|(_, _, value)| value.contains(&its));
    words
}

/// Waits until a job's results are as many as expected, and compares them.
pub fn await_results_of(deployment: &Deployment, job_id: &str, wanted: &[Word]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = match deployment.is_laid_out() {
            true => results_of(deployment, job_id),
            false => Vec::new(),
        };
        if found.len() >= wanted.len() {
            assert!(
                found == wanted,
                "{job_id}: other results\n{}",
                deployment.logs()
            );
            return;
        }
        let (is, want) = (found.len(), wanted.len());
        assert!(
            Instant::now() < deadline,
            "{job_id}: {is} of {want} results\n{}",
            deployment.logs()
        );
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

/// The whole log of instance `a`.
fn log(deployment: &Deployment) -> String {
    fs::read_to_string(deployment.path("a.log")).expect("a log")
}

fn await_log(deployment: &Deployment, text: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !log(deployment).contains(text) {
        assert!(
            Instant::now() < deadline,
            "nobody says {text:?}\n{}",
            deployment.logs()
        );
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn job_files_come_change_and_go_while_the_service_runs() {
    let input = topic("reload", 2);
    let messages = events(21, BUCKETS);
    let half = messages.len() / 2;
    publish(&input, 2, Spread::ByHost, &messages[..half]);
    let whole = job(Kind::Whole, &input, "");
    let deployment = Deployment::new(std::slice::from_ref(&whole), QUICK);
    let instance = deployment.start("a");
    instance.await_ready();

    // What is for people changes: the job goes on with its models.
    let described = whole.replacen('{', r#"{"description": "for people","#, 1);
    fs::write(deployment.path("jobs/0.json"), &described).unwrap();
    let started = "tidewatch_job_changes_total{kind=\"started\"}";
    await_metric(&instance, started, |count| count >= 2.0);
    // A bad file is refused, and the job goes on as it was.
    fs::write(
        deployment.path("jobs/0.json"),
        described.replace("count", "cuont"),
    )
    .unwrap();
    await_metric(&instance, "tidewatch_job_files_refused", |files| {
        files == 1.0
    });
    // Another comes.
    let per_host = job(Kind::PerHost, &input, "");
    fs::write(deployment.path("jobs/1.json"), &per_host).unwrap();
    await_metric(&instance, started, |count| count >= 3.0);
    publish(&input, 2, Spread::ByHost, &messages[half..]);
    close(&input, 2, BUCKETS);
    let texts = || {
        let texts = messages.iter().map(|message| message.text.clone());
        texts.chain([sentinel(BUCKETS)])
    };
    await_results_of(&deployment, "whole", &expected(&whole, texts()));
    await_results_of(&deployment, "per-host", &expected(&per_host, texts()));
    assert!(
        !log(&deployment).contains("learns anew"),
        "{}",
        deployment.logs()
    );

    // One goes, bad as it was; the other stays.
    fs::remove_file(deployment.path("jobs/0.json")).unwrap();
    await_metric(
        &instance,
        "tidewatch_job_changes_total{kind=\"stopped\"}",
        |count| count == 1.0,
    );
    await_metric(&instance, "tidewatch_job_files_refused", |files| {
        files == 0.0
    });
    let (_, body) = instance.get("/readyz").unwrap();
    assert!(
        !body.contains("\"whole\"") && body.contains("\"per-host\""),
        "{body}"
    );
    // What it computes changes: another life, and it learns anew.
    fs::write(
        deployment.path("jobs/1.json"),
        per_host.replace("5m", "10m"),
    )
    .unwrap();
    await_log(&deployment, "learns anew");
    let (code, logs) = (instance.stop(), log(&deployment));
    assert_eq!(code, Some(0), "{logs}");
    assert!(logs.contains("job file refused"), "{logs}");
}

#[test]
fn a_job_is_stopped_started_reset_and_replayed_from_the_command_line() {
    let input = topic("jobs", 2);
    let messages = events(22, BUCKETS);
    // Of partition 0 the first events are passed over, as the job says.
    let passed = 25;
    let mut seen_0 = 0;
    let starts = |host: usize| host.is_multiple_of(2);
    let kept: Vec<String> = messages
        .iter()
        .filter(|message| {
            seen_0 += usize::from(starts(message.host));
            !starts(message.host) || seen_0 > passed
        })
        .map(|message| message.text.clone())
        .collect();
    publish(&input, 2, Spread::ByHost, &messages);
    close(&input, 2, BUCKETS);
    let start = format!(r#", "start": {{"offsets": {{"{input}/0": {passed}}}}}"#);
    let whole = job(Kind::Whole, &input, &start);
    let wanted = expected(&whole, kept.into_iter().chain([sentinel(BUCKETS)]));
    let deployment = Deployment::new(std::slice::from_ref(&whole), "");
    let instance = deployment.start("a");
    await_results_of(&deployment, "whole", &wanted);

    let list = succeed(&deployment, &["list"]);
    assert!(
        list.contains("at work") && list.contains("staged"),
        "{list}"
    );
    assert!(!jobs(&deployment, &["stop", "hole"]).status.success());
    succeed(&deployment, &["stop", "whole"]);
    let list = succeed(&deployment, &["list", "--json"]);
    assert!(
        list.contains("\"state\":\"stopped\"") && list.contains("\"members\":0"),
        "{list}"
    );
    assert_eq!(
        instance.get("/readyz").map(|(status, _)| status),
        Some(200),
        "stopped on purpose"
    );

    let told = succeed(&deployment, &["reset", "whole"]);
    assert!(
        told.contains("results withdrawn") && told.contains("stays stopped"),
        "{told}"
    );
    let last_words = |deployment: &Deployment| {
        let mut last = std::collections::BTreeMap::new();
        for (kind, key, value) in deployment.seen_results() {
            last.insert((kind, key), value);
        }
        let standing = last.into_iter().filter(|(_, value)| !value.is_empty());
        standing
            .map(|((kind, key), value)| (kind, key, value))
            .collect::<Vec<Word>>()
    };
    assert_eq!(last_words(&deployment), [], "all withdrawn");
    succeed(&deployment, &["start", "whole"]);
    let mut expected_last = std::collections::BTreeMap::new();
    for (kind, key, value) in wanted.clone() {
        expected_last.insert((kind, key), value);
    }
    let deadline = Instant::now() + PATIENCE;
    while last_words(&deployment).len() < expected_last.len() {
        assert!(Instant::now() < deadline, "{}", deployment.logs());
        std::thread::sleep(std::time::Duration::from_millis(200));
    }

    replay(
        &deployment,
        &whole,
        &messages
            .iter()
            .map(|one| one.text.clone())
            .collect::<Vec<_>>(),
    );
    assert_eq!(instance.stop(), Some(0));
}

#[test]
fn a_job_forgets_what_its_calendar_says_is_not_to_be_learnt_and_says_nothing_twice() {
    let input = topic("revert", 1);
    let all = events(23, BUCKETS);
    let (before, after) = all.split_at(all.len() * 4 / 5);
    publish(&input, 1, Spread::ByHost, before);
    let learnt = job(Kind::Whole, &input, "");
    let deployment = Deployment::new(std::slice::from_ref(&learnt), QUICK);
    let instance = deployment.start("a");
    let texts = |messages: &[crate::world::Message]| -> Vec<String> {
        messages.iter().map(|one| one.text.clone()).collect()
    };
    let published = expected(&learnt, texts(before));
    await_results_of(&deployment, "whole", &published);

    let (from, to) = (START_MS + 20 * SPAN_MS, START_MS + 31 * SPAN_MS);
    let since = from.to_string();
    let refused = jobs(&deployment, &["revert", "whole", "--to", &since]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && error.contains("teach job whole the same again"),
        "{error}"
    );
    let list = succeed(&deployment, &["list"]);
    assert!(list.contains("at work"), "refused, and stopped: {list}");

    let calendars = format!(
        r#", "calendars": [{{"calendar_id": "c", "events": [{{"description": "incident", "start_time": {from}, "end_time": {to}}}]}}]"#
    );
    let forgetting = job(Kind::Whole, &input, &calendars);
    fs::write(deployment.path("jobs/0.json"), &forgetting).unwrap();
    let told = succeed(&deployment, &["revert", "whole", "--to", &since]);
    assert!(told.contains("whole: reverted; "), "{told}");
    publish(&input, 1, Spread::ByHost, after);
    close(&input, 1, BUCKETS);
    // What was published stays; what comes is what is said by one that has had the calendar all along.
    let whole = || texts(&all).into_iter().chain([sentinel(BUCKETS)]);
    let is_of_before =
        |(kind, id, _): &Word| published.iter().any(|one| (&one.0, &one.1) == (kind, id));
    let mut wanted: Vec<Word> = expected(&forgetting, whole());
    wanted.retain(|word| !is_of_before(word));
    let other = expected(&learnt, whole());
    assert!(
        wanted.iter().any(|word| !other.contains(word)),
        "nothing was forgotten"
    );
    wanted.extend(published.iter().cloned());
    wanted.sort();
    await_results_of(&deployment, "whole", &wanted);
    assert_eq!(instance.stop(), Some(0));
}

/// A range of the job as a shadow: what the engine says of its events, once, and the same command again says nothing more.
fn replay(deployment: &Deployment, job_text: &str, texts: &[String]) {
    let first = (START_MS + 9 * SPAN_MS).div_euclid(SPAN_MS) * SPAN_MS;
    let (from, to) = (first, first + 20 * SPAN_MS);
    let job = Job::from_text(job_text, "whole.json").unwrap();
    let shadow = shadow(&job, "echo").unwrap();
    let (mut decoder, mut pipeline) = (Decoder::new(&shadow), Pipeline::new(shadow));
    let mut wanted: Vec<Word> = Vec::new();
    let mut hear = |outputs: Vec<Said>| {
        for output in outputs {
            if let Said::Result(document) = output {
                let value = serde_json::to_string(&document).unwrap();
                wanted.push((document.kind.name().to_owned(), document.id.clone(), value));
            }
        }
    };
    for text in texts {
        decoder.payload(text.as_bytes(), None, &mut |decoded| {
            let event = decoded.as_ref().unwrap();
            if (from..to).contains(&event.time.millis()) {
                hear(pipeline.handle(Input::Event(event)));
            }
        });
    }
    hear(pipeline.handle(Input::Advance(EventTime(to))));
    wanted.sort();
    let (from, to) = (from.to_string(), to.to_string());
    let command = [
        "replay", "whole", "--from", &from, "--to", &to, "--as", "echo",
    ];
    for _ in 0..2 {
        let told = succeed(deployment, &command);
        assert!(told.contains("echo: done"), "{told}");
        let found = results_of(deployment, "echo");
        assert!(
            found == wanted,
            "{} of {}\n{told}",
            found.len(),
            wanted.len()
        );
    }
    // The second half of it, after the first half as a warm-up: the models know what they knew.
    let middle = first + 10 * SPAN_MS;
    let half = middle.to_string();
    let told = succeed(
        deployment,
        &[
            "replay",
            "whole",
            "--from",
            &half,
            "--to",
            &to,
            "--as",
            "warm",
            "--warm-up",
            "50m",
        ],
    );
    assert!(told.contains("warm: done; 10 buckets"), "{told}");
    let found = results_of(deployment, "warm");
    let as_echo = |(kind, id, text): Word| {
        let text = text.replace("\"job_id\":\"warm\"", "\"job_id\":\"echo\"");
        (kind, id.replacen("warm", "echo", 1), text)
    };
    let mut found: Vec<Word> = found.into_iter().map(as_echo).collect();
    found.retain(|(kind, ..)| kind != "data_counts"); // of no bucket: they count the warm-up, too
    found.sort();
    let is_in_half = |(_, _, text): &Word| {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        value["timestamp"]
            .as_i64()
            .is_some_and(|time| time >= middle)
    };
    let wanted: Vec<Word> = wanted.into_iter().filter(is_in_half).collect();
    let odd = wanted.iter().find(|word| !found.contains(word));
    let odd = odd.or_else(|| found.iter().find(|word| !wanted.contains(word)));
    assert!(
        found == wanted,
        "{} of {}: {odd:?}",
        found.len(),
        wanted.len()
    );
    for (args, says) in [
        (
            [
                "replay", "whole", "--from", &from, "--to", &to, "--as", "whole",
            ],
            "is a job of the service",
        ),
        (
            [
                "replay",
                "whole",
                "--from",
                "2026-01-01",
                "--to",
                "2100-01-01",
                "--as",
                "x",
            ],
            "lies in the future",
        ),
        (
            ["replay", "whole", "--from", &to, "--to", &from, "--as", "x"],
            "no whole bucket",
        ),
        (
            [
                "replay",
                "whole",
                "--from",
                "2023-01-01",
                "--to",
                &to,
                "--as",
                "echo",
            ],
            "has served for another range",
        ),
    ] {
        let output = jobs(deployment, &args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && error.contains(says),
            "{args:?}: {error}"
        );
    }
}

#[test]
fn a_job_that_starts_at_the_latest_message_leaves_what_was_there_alone() {
    let input = topic("latest", 1);
    let messages = events(23, BUCKETS);
    let half = messages.len() / 2;
    publish(&input, 1, Spread::ByHost, &messages[..half]);
    let whole = job(Kind::Whole, &input, r#", "start": "latest""#);
    let deployment = Deployment::new(std::slice::from_ref(&whole), "");
    let instance = deployment.start("a");
    // Its position is committed before there is anything to do.
    let deadline = Instant::now() + PATIENCE;
    while !(deployment.is_laid_out()
        && succeed(&deployment, &["list", "--json"]).contains(&format!("\"next_offset\":{half}")))
    {
        assert!(Instant::now() < deadline, "{}", deployment.logs());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    produce(
        &input,
        messages[half..]
            .iter()
            .map(|message| (0, message.text.clone())),
    );
    close(&input, 1, BUCKETS);
    let texts = messages[half..].iter().map(|message| message.text.clone());
    await_results_of(
        &deployment,
        "whole",
        &expected(&whole, texts.chain([sentinel(BUCKETS)])),
    );
    assert_eq!(instance.stop(), Some(0));
}

#[test]
fn topics_are_planned_made_and_put_right_and_nothing_else_of_them_is_touched() {
    let input = topic("plan", 3);
    let settings = "alerts:\n  enabled: true\n  ocsf: true";
    let deployment = Deployment::new(&[job(Kind::PerHost, &input, "")], settings);
    deployment.write_configuration("a", 1);
    let tool = |action: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidewatch"));
        command
            .args(["topics", action, "--config"])
            .arg(deployment.path("a.yaml"));
        let output = command.output().expect("the binary starts");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{told}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        told
    };
    let prefix = &deployment.prefix;
    let planned = tool("--plan");
    for line in [
        format!("create {prefix}.results.record: 2 partitions, cleanup.policy=compact"),
        format!("create {prefix}.per-host.closed: 4 partitions, cleanup.policy=delete"),
        format!("create {prefix}.control: 1 partitions, cleanup.policy=compact"),
        format!("create {prefix}.snapshots: 8 partitions"),
        format!("create {prefix}.alerts: 2 partitions, cleanup.policy=compact,delete"),
        format!("create {prefix}.alerts.ocsf: 2 partitions, cleanup.policy=delete"),
        format!("create {prefix}.alerts.state: 1 partitions, cleanup.policy=compact"),
    ] {
        assert!(planned.contains(&line), "{line}\n{planned}");
    }
    assert!(tool("--plan") == planned, "planning does nothing");
    assert!(tool("--apply").contains("create"));
    let after = tool("--plan");
    assert!(after.ends_with(" topics, 0 to do\n"), "{after}");

    // Somebody's own setting stays when ours is put right.
    let record = format!("{prefix}.results.record");
    alter(
        &record,
        &[
            ("cleanup.policy", "delete"),
            ("max.message.bytes", "2000000"),
        ],
    );
    let change = format!("change {record}: cleanup.policy delete -> compact");
    await_plan(&|| tool("--plan"), &change);
    tool("--apply");
    await_plan(&|| tool("--plan"), " topics, 0 to do");
    assert_eq!(setting(&record, "max.message.bytes"), "2000000");
}

/// A changed setting is seen a moment after the broker has agreed to it.
fn await_plan(plan: &dyn Fn() -> String, says: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = plan();
        if told.contains(says) {
            return;
        }
        assert!(Instant::now() < deadline, "no {says:?} in\n{told}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}
