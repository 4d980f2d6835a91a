//! Faults of the topics that a job reads: deleted and made anew, grown, new ones, retention faster than the reader.

use super::{PARTITIONS, await_line, seed};
use crate::broker::broker;
use crate::client::{create_on, delete, delete_before, ends, grow, produce, topic, unique};
use crate::instance::{Deployment, Instance};
use crate::jobs::jobs;
use crate::random::Random;
use crate::service::{await_metric, eventually, metric, reference};
use crate::world::{Kind, Message, Spread, Word, close, events, job, publish};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

const BUCKETS: i64 = 60;

/// Metadata every second: what takes up to half a minute otherwise.
fn deployment(jobs: &[String]) -> Deployment {
    let kafka = format!(
        "  properties:\n    bootstrap.servers: {}\n    topic.metadata.refresh.interval.ms: 1000",
        broker().address
    );
    let settings = "timing:\n  commit_interval: 50ms\n  snapshot_interval: 500ms";
    Deployment::on(broker(), &kafka, jobs, settings)
}

/// Waits until every job has read everything of these partitions, and said what follows from it: until its positions are where they end.
fn await_read(deployment: &Deployment, topic: &str, partitions: std::ops::Range<i32>) {
    let ends = ends(topic, partitions.end);
    let wanted: Vec<(String, i64)> = ends
        .into_iter()
        .filter(|(partition, _)| partitions.contains(partition))
        .map(|(partition, end)| (format!("{topic}/{partition}"), end))
        .collect();
    eventually("everything is read", || {
        let list = jobs(deployment, &["list", "--json"]);
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        let is_at = |job: &Value, at: &(String, i64)| {
            let partitions = job["partitions"].as_array();
            partitions.is_some_and(|all| {
                all.iter().any(|one| {
                    one["partition"] == at.0.as_str() && one["next_offset"].as_i64() == Some(at.1)
                })
            })
        };
        let mut jobs = list
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap_or_default());
        !list.is_empty() && jobs.all(|job| wanted.iter().all(|at| is_at(&job, at)))
    });
}

/// Waits until both jobs have a snapshot of all that was written to these partitions: one comes every half second where there is news.
fn await_kept(deployment: &Deployment, topic: &str, partitions: i32) {
    let written: BTreeSet<(String, i64, i64)> = ends(topic, partitions)
        .into_iter()
        .flat_map(|(partition, end)| {
            ["per-host", "whole"].map(|job| (job.to_owned(), i64::from(partition), end))
        })
        .collect();
    eventually("all that was read is kept", || {
        let listed = Command::new(env!("CARGO_BIN_EXE_tidewatch"))
            .args(["snapshots", "list", "--json", "--config"])
            .arg(deployment.path("a.yaml"))
            .output()
            .expect("the binary starts");
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let kept: BTreeSet<(String, i64, i64)> = listed
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|one| one["topic"] == topic)
            .filter_map(|one| {
                let job = one["job_id"].as_str()?.to_owned();
                Some((
                    job,
                    one["kafka_partition"].as_i64()?,
                    one["offset"].as_i64()?,
                ))
            })
            .collect();
        written.is_subset(&kept)
    });
}

fn halves(seed: u64) -> (Vec<Message>, Vec<Message>) {
    let all = events(seed, BUCKETS);
    let (first, second) = all.split_at(all.len() / 2);
    (first.to_vec(), second.to_vec())
}

fn changes_of(instance: &Instance, job: &str, kind: &str) -> f64 {
    let name = format!("tidewatch_topic_changes_total{{job_id=\"{job}\",kind=\"{kind}\"}}");
    metric(instance, &name).unwrap_or(0.0)
}

fn changes(instance: &Instance, kind: &str) -> f64 {
    changes_of(instance, "per-host", kind)
}

fn deleted_and_made_anew(partitions: i32) {
    let seed = seed("topic-made-anew");
    let input = topic("anew", partitions);
    let jobs = [job(Kind::PerHost, &input, ""), job(Kind::Whole, &input, "")];
    let wanted = reference(&jobs, BUCKETS, seed);
    let deployment = deployment(&jobs);
    let (first, second) = halves(seed);
    let instance = deployment.start("a");
    instance.await_ready();
    publish(&input, partitions, Spread::AtRandom, &first);
    await_read(&deployment, &input, 0..partitions);
    delete(&input);
    await_line(&deployment, "a", "does not exist any more");
    create_on(broker(), &input, partitions);
    await_line(&deployment, "a", "was made anew");
    // By both jobs: one that finds the new topic as long as the old one was takes it for that (docs/reliability.md). Said again by who is given the
    // partition once more before the first commit.
    eventually("every partition is read again", || {
        ["per-host", "whole"]
            .iter()
            .all(|job| changes_of(&instance, job, "renewed") >= f64::from(partitions))
    });
    // Of a partition made anew nobody waits for the gatherer before it has spoken.
    let (openers, rest) = openers_first(&second, partitions, 0..partitions);
    produce(&input, openers);
    await_read(&deployment, &input, 0..partitions);
    produce(&input, rest);
    close(&input, partitions, BUCKETS);
    let noted: Vec<_> = wanted
        .iter()
        .filter(|(kind, ..)| kind != "annotation")
        .cloned()
        .collect();
    let got = deployment.await_results(&wanted);
    let got: Vec<_> = got
        .into_iter()
        .filter(|(kind, ..)| kind != "annotation")
        .collect();
    if got != noted {
        deployment.keep_logs(&format!("made anew {partitions}"));
    }
    assert!(
        got == noted,
        "{partitions} partitions: {}",
        deployment.logs()
    );
    // Whoever looks first sees that it is gone; the other may find it there again.
    let gone = ["per-host", "whole"].map(|job| changes_of(&instance, job, "gone"));
    assert!(gone.iter().any(|times| *times >= 1.0), "{gone:?}");
    assert_eq!(instance.stop(), Some(0), "{}", deployment.logs());
    let notes = deployment.seen("results.annotation");
    let lost = notes.iter().filter(|seen| {
        let text = seen.value.as_deref().unwrap_or_default();
        text.contains("\"delayed_data\"") && text.contains("\"per-host\"")
    });
    assert_eq!(
        lost.count(),
        partitions as usize,
        "a note for each partition"
    );
    println!("chaos: topic-made-anew: {partitions} partitions; results equal detect");
}

#[test]
fn a_staged_topic_that_is_deleted_and_made_anew_loses_and_doubles_nothing_that_was_read() {
    deleted_and_made_anew(PARTITIONS);
}

#[test]
fn a_topic_of_one_partition_that_is_deleted_and_made_anew_loses_and_doubles_nothing_that_was_read()
{
    deleted_and_made_anew(1);
}

/// Nobody runs when the topic is made anew, nobody had ended in order, and it is longer than the old one was when somebody comes: what was read of
/// the old one says in which topic it was read.
#[test]
fn a_topic_made_anew_while_nobody_ran_is_known_for_another_though_it_is_longer() {
    let seed = seed("topic-made-anew-unseen");
    let input = topic("unseen", PARTITIONS);
    let jobs = [job(Kind::PerHost, &input, ""), job(Kind::Whole, &input, "")];
    let wanted = reference(&jobs, BUCKETS, seed);
    let deployment = deployment(&jobs);
    let all = events(seed, BUCKETS);
    let (first, second) = all.split_at(all.len() / 4);
    let instance = deployment.start("a");
    instance.await_ready();
    publish(&input, PARTITIONS, Spread::AtRandom, first);
    await_read(&deployment, &input, 0..PARTITIONS);
    await_kept(&deployment, &input, PARTITIONS);
    instance.kill();
    delete(&input);
    create_on(broker(), &input, PARTITIONS);
    publish(&input, PARTITIONS, Spread::AtRandom, second);
    let instance = deployment.start("b");
    let renewed = |job: &str| changes_of(&instance, job, "renewed") >= f64::from(PARTITIONS);
    eventually("every partition is known to be another", || {
        ["per-host", "whole"].into_iter().all(renewed)
    });
    close(&input, PARTITIONS, BUCKETS);
    let is_note = |word: &Word| word.0 == "annotation";
    let wanted: Vec<Word> = wanted.into_iter().filter(|word| !is_note(word)).collect();
    let results = || -> Vec<Word> {
        let all = deployment.results().into_iter();
        all.filter(|word| !is_note(word)).collect()
    };
    eventually("all results are there", || results().len() >= wanted.len());
    if results() != wanted {
        deployment.keep_logs("made anew unseen");
    }
    assert!(results() == wanted, "{}", deployment.logs());
    assert!(!deployment.whole_log("b").contains("had vanished"));
    assert_eq!(instance.stop(), Some(0), "{}", deployment.logs());
    println!("chaos: topic-made-anew-unseen: {PARTITIONS} partitions; results equal detect");
}

/// Messages and their partitions.
type Placed = Vec<(i32, String)>;

/// Where each message goes, those first that open a partition of `new`: their gatherers are waited for once they have spoken.
fn openers_first(
    messages: &[Message],
    partitions: i32,
    new: std::ops::Range<i32>,
) -> (Placed, Placed) {
    let mut random = Random::new(11);
    let (mut openers, mut rest) = (Placed::new(), Placed::new());
    for message in messages {
        let partition = random.within(0, partitions.into()) as i32;
        let place = (partition, message.text.clone());
        let is_open = openers.iter().any(|(opened, _)| *opened == partition);
        match new.contains(&partition) && !is_open {
            true => openers.push(place),
            false => rest.push(place),
        }
    }
    (openers, rest)
}

#[test]
fn partitions_that_are_added_are_read_from_their_beginning() {
    let seed = seed("partitions-added");
    let input = topic("grown", PARTITIONS);
    let jobs = [job(Kind::PerHost, &input, ""), job(Kind::Whole, &input, "")];
    let wanted = reference(&jobs, BUCKETS, seed);
    let deployment = deployment(&jobs);
    let (first, second) = halves(seed);
    let instance = deployment.start("a");
    instance.await_ready();
    publish(&input, PARTITIONS, Spread::AtRandom, &first);
    await_read(&deployment, &input, 0..PARTITIONS);
    grow(&input, 5);
    await_line(&deployment, "a", "has more partitions");
    await_line(&deployment, "a", &format!("at={input}/4"));
    let (openers, rest) = openers_first(&second, 5, PARTITIONS..5);
    produce(&input, openers);
    await_read(&deployment, &input, PARTITIONS..5);
    produce(&input, rest);
    close(&input, 5, BUCKETS);
    deployment.await_results(&wanted);
    deployment.assert_results(&wanted, "partitions added");
    assert!(changes(&instance, "partitions_added") >= 1.0);
    assert_eq!(instance.stop(), Some(0), "{}", deployment.logs());
    println!("chaos: partitions-added: 3 -> 5; results equal detect");
}

#[test]
fn a_topic_that_comes_later_and_matches_the_pattern_is_read_from_its_beginning() {
    let seed = seed("topic-later");
    let prefix = unique("later");
    let (one, two) = (format!("{prefix}-1"), format!("{prefix}-2"));
    create_on(broker(), &one, 2);
    let pattern = format!("^{prefix}-");
    let jobs = [job(Kind::PerHost, &pattern, "")];
    let wanted = reference(&jobs, BUCKETS, seed);
    let deployment = deployment(&jobs);
    let (first, second) = halves(seed);
    let instance = deployment.start("a");
    instance.await_ready();
    publish(&one, 2, Spread::AtRandom, &first);
    await_read(&deployment, &one, 0..2);
    create_on(broker(), &two, 1);
    await_line(&deployment, "a", &format!("at={two}/0"));
    // Partition 2 stands for the new topic.
    let (openers, rest) = openers_first(&second, 3, 2..3);
    produce(&two, openers.into_iter().map(|(_, text)| (0, text)));
    await_read(&deployment, &two, 0..1);
    // Whichever is ahead, the other is waited for.
    let (to_two, to_one): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(at, _)| *at == 2);
    produce(&two, to_two.into_iter().map(|(_, text)| (0, text)));
    produce(&one, to_one);
    close(&one, 2, BUCKETS);
    close(&two, 1, BUCKETS);
    deployment.await_results(&wanted);
    deployment.assert_results(&wanted, "a topic that came later");
    assert_eq!(instance.stop(), Some(0), "{}", deployment.logs());
    println!("chaos: topic-later: results equal detect");
}

/// The process stands still while retention overtakes it.
#[test]
fn messages_deleted_before_they_were_read_are_said_aloud_and_noted() {
    let seed = seed("out-of-range");
    let input = topic("overtaken", 1);
    let jobs = [job(Kind::PerHost, &input, "")];
    let deployment = deployment(&jobs);
    let (first, second) = halves(seed);
    let patient = [("TIDEWATCH_KAFKA_PROPERTIES_SESSION_TIMEOUT_MS", "30000")];
    let instance = deployment.start_with("a", &patient);
    instance.await_ready();
    publish(&input, 1, Spread::AtRandom, &first);
    await_read(&deployment, &input, 0..1);
    instance.pause();
    publish(&input, 1, Spread::AtRandom, &second);
    let (from, to) = (first.len() as i64, first.len() as i64 + 100);
    delete_before(&input, 0, to);
    // What was under way when it stopped, it still has.
    std::thread::sleep(Duration::from_secs(1));
    instance.resume();
    close(&input, 1, BUCKETS);
    let line = await_line(&deployment, "a", "are gone from the log");
    assert!(
        line.contains("ERROR") && line.contains(&format!("to={to}")),
        "{line}"
    );
    await_metric(
        &instance,
        "tidewatch_replay_gaps_total{job_id=\"per-host\"}",
        |gaps| gaps == 1.0,
    );
    await_read(&deployment, &input, 0..1);
    assert_eq!(instance.stop(), Some(0), "{}", deployment.logs());
    let notes = deployment.seen("results.annotation");
    let values: Vec<&str> = notes
        .iter()
        .filter_map(|seen| seen.value.as_deref())
        .collect();
    let noted = format!("\"offset_from\":{from},\"offset_to\":{to}");
    assert!(
        values.iter().any(|text| text.contains(&noted)),
        "{noted}: {values:?}"
    );
    // Every event that is there is in a bucket, and no other.
    let buckets = deployment
        .seen("results.bucket")
        .into_iter()
        .filter_map(|seen| seen.value);
    let mut counts = std::collections::BTreeMap::new();
    for text in buckets {
        let bucket: serde_json::Value = serde_json::from_str(&text).expect("a document");
        counts.insert(
            bucket["timestamp"].as_i64(),
            bucket["event_count"].as_u64().unwrap_or(0),
        );
    }
    let counted: u64 = counts.values().sum();
    assert_eq!(counted, (first.len() + second.len() - 100) as u64);
    println!(
        "chaos: out-of-range: 100 messages gone; a log line, a count and an annotation say so; the others are counted"
    );
}
