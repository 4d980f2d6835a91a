//! Jobs that are reset, spread over other shards or made to forget, where it is not as simple as that, on a real Kafka: instances that come and go, keyed topics, logs that have been trimmed.

use crate::broker::broker;
use crate::client::{config, delete_before, ends, topic};
use crate::foretold::without_scores;
use crate::instance::Deployment;
use crate::jobs::{await_results_of, jobs, results_of, succeed};
use crate::world::{
    Kind, Message, SPAN_MS, START_MS, Spread, Word, close, events, expected, job, publish, sentinel,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tidewatch::engine::result::DocumentKind;

const BUCKETS: i64 = 40;
const QUICK: &str = "timing:\n  job_files_interval: 150ms";

/// Somebody works on a job for a moment, is away for a moment, and so on, from now on until `until`, as one does that follows files and has not heard of a wish.
fn come_and_go(group: &str, topic: &str, is_there: &AtomicBool, until: Instant) {
    while Instant::now() < until {
        let member: BaseConsumer = config(broker())
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("session.timeout.ms", "6000")
            .create()
            .expect("a consumer");
        member.subscribe(&[topic]).expect("subscribed");
        let stays = Instant::now() + Duration::from_millis(900);
        while Instant::now() < stays {
            let _ = member.poll(Duration::from_millis(50));
            let owns = member.assignment().is_ok_and(|list| list.count() > 0);
            is_there.fetch_or(owns, Ordering::SeqCst);
        }
        member.unsubscribe();
        drop(member);
        thread::sleep(Duration::from_millis(250));
    }
}

#[test]
fn a_job_is_reset_resharded_and_reverted_while_instances_come_back_that_have_not_heard_of_the_stop()
{
    let input = topic("undone", 2);
    let messages = events(31, BUCKETS);
    publish(&input, 2, Spread::ByHost, &messages);
    close(&input, 2, BUCKETS);
    let (from, to) = (START_MS + 20 * SPAN_MS, START_MS + 31 * SPAN_MS);
    let calendars = format!(
        r#", "calendars": [{{"calendar_id": "c", "events": [{{"description": "incident", "start_time": {from}, "end_time": {to}}}]}}]"#
    );
    let whole = job(Kind::Whole, &input, &calendars);
    let texts = messages.iter().map(|message| message.text.clone());
    let wanted = expected(&whole, texts.chain([sentinel(BUCKETS)]));
    let deployment = Deployment::new(std::slice::from_ref(&whole), QUICK);
    let instance = deployment.start("a");
    await_results_of(&deployment, "whole", &wanted);
    assert_eq!(instance.stop(), Some(0));
    let sharded = whole.replace("\"tidewatch\": {", "\"tidewatch\": {\"shards\": 2, ");
    fs::write(deployment.path("jobs/0.json"), sharded).unwrap();

    let group = format!("{}.whole", deployment.prefix);
    let since = from.to_string();
    for args in [
        vec!["revert", "whole", "--to", &since],
        vec!["reshard", "whole"],
        vec!["reset", "whole"],
    ] {
        let is_there = AtomicBool::new(false);
        let until = Instant::now() + Duration::from_secs(9);
        thread::scope(|scope| {
            scope.spawn(|| come_and_go(&group, &input, &is_there, until));
            while !is_there.load(Ordering::SeqCst) {
                assert!(Instant::now() < until, "nobody came");
                thread::sleep(Duration::from_millis(20));
            }
            let told = succeed(&deployment, &args);
            assert!(told.starts_with("whole: "), "{args:?}: {told}");
        });
    }
    let list = succeed(&deployment, &["list", "--json"]);
    assert!(list.contains("\"shards\":2"), "{list}");
    assert!(!list.contains("\"state\":\"stopped\""), "{list}");
}

/// A job over a keyed topic forgets as one over a topic of one partition does.
#[test]
fn a_job_over_a_keyed_topic_forgets_what_its_calendar_says_is_not_to_be_learnt() {
    let input = topic("revert-keyed", 2);
    let all = events(23, BUCKETS);
    let (before, after) = all.split_at(all.len() * 4 / 5);
    publish(&input, 2, Spread::ByHost, before);
    let own = |calendars: &str| {
        // Partitions wait for each other.
        job(
            Kind::PerHostKeyed,
            &input,
            &format!(r#", "idle_timeout": "1d"{calendars}"#),
        )
    };
    let learnt = own("");
    let id = "per-host-keyed";
    let deployment = Deployment::new(std::slice::from_ref(&learnt), QUICK);
    let instance = deployment.start("a");
    let texts = |messages: &[Message]| -> Vec<String> {
        messages.iter().map(|one| one.text.clone()).collect()
    };
    let published = foretold(expected(&learnt, texts(before)));
    await_foretold(&deployment, id, &published);

    let (from, to) = (START_MS + 20 * SPAN_MS, START_MS + 31 * SPAN_MS);
    let forgetting = own(&format!(
        r#", "calendars": [{{"calendar_id": "c", "events": [{{"description": "incident", "start_time": {from}, "end_time": {to}}}]}}]"#
    ));
    fs::write(deployment.path("jobs/0.json"), &forgetting).unwrap();
    let told = succeed(&deployment, &["revert", id, "--to", &from.to_string()]);
    assert!(told.contains("per-host-keyed: reverted; "), "{told}");
    publish(&input, 2, Spread::ByHost, after);
    close(&input, 2, BUCKETS);
    let whole = || texts(&all).into_iter().chain([sentinel(BUCKETS)]);
    let mut wanted = foretold(expected(&forgetting, whole()));
    let other = foretold(expected(&learnt, whole()));
    wanted.retain(|document, _| !published.contains_key(document));
    assert!(
        wanted
            .iter()
            .any(|(document, text)| other.get(document) != Some(text)),
        "nothing was forgotten"
    );
    wanted.extend(published);
    await_foretold(&deployment, id, &wanted);
    assert_eq!(instance.stop(), Some(0));
}

/// What is foretold and found of each bucket and series, without scores: where several partitions are judged apart, those are normalised by what has been published.
fn foretold(words: Vec<Word>) -> BTreeMap<(String, String), String> {
    let kinds = [
        DocumentKind::Bucket,
        DocumentKind::Record,
        DocumentKind::ModelPlot,
    ];
    let kinds = kinds.map(DocumentKind::name);
    let mut told = BTreeMap::new();
    for (kind, id, text) in words {
        if kinds.contains(&kind.as_str()) {
            told.insert((kind, id), without_scores(&text));
        }
    }
    told
}

fn await_foretold(deployment: &Deployment, id: &str, wanted: &BTreeMap<(String, String), String>) {
    let deadline = Instant::now() + crate::instance::PATIENCE;
    loop {
        let found = match deployment.is_laid_out() {
            true => foretold(results_of(deployment, id)),
            false => BTreeMap::new(),
        };
        if found.len() >= wanted.len() {
            let odd = wanted
                .iter()
                .find(|(key, text)| found.get(*key) != Some(*text));
            let shown = odd.map(|(key, text)| (key, text, found.get(key)));
            assert!(found == *wanted, "{shown:#?}\n{}", deployment.logs());
            return;
        }
        let (is, want) = (found.len(), wanted.len());
        assert!(
            Instant::now() < deadline,
            "{is} of {want}\n{}",
            deployment.logs()
        );
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_revert_says_what_is_gone_where_retention_has_taken_what_would_be_read_again() {
    for (kind, id, partitions) in [
        (Kind::Whole, "whole", 1),
        (Kind::PerHostKeyed, "per-host-keyed", 2),
    ] {
        let input = topic("revert-trimmed", partitions);
        let messages = events(33, BUCKETS);
        publish(&input, partitions, Spread::ByHost, &messages);
        close(&input, partitions, BUCKETS);
        let (from, to) = (START_MS + 20 * SPAN_MS, START_MS + 31 * SPAN_MS);
        let calendars = format!(
            r#", "calendars": [{{"calendar_id": "c", "events": [{{"description": "incident", "start_time": {from}, "end_time": {to}}}]}}]"#
        );
        let text = job(kind, &input, &calendars);
        let deployment = Deployment::new(std::slice::from_ref(&text), QUICK);
        let instance = deployment.start("a");
        let texts = messages.iter().map(|message| message.text.clone());
        let wanted = foretold(expected(&text, texts.chain([sentinel(BUCKETS)])));
        await_foretold(&deployment, id, &wanted);
        let standing = results_of(&deployment, id);

        let (partition, end) = ends(&input, partitions)[0];
        delete_before(&input, partition, end / 2);
        let refused = jobs(&deployment, &["revert", id, "--to", &from.to_string()]);
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        let says = format!(
            "{input}/{partition} would have to be read again from offset 0 on, and begins at {}: no older snapshot is kept",
            end / 2
        );
        assert!(
            !refused.status.success() && error.contains(&says),
            "{error}"
        );
        let list = succeed(&deployment, &["list"]);
        assert!(list.contains("at work"), "refused, and stopped: {list}");
        assert_eq!(instance.stop(), Some(0));
        assert!(results_of(&deployment, id) == standing, "{id}");
    }
}

#[test]
fn a_job_that_is_reset_and_keeps_its_results_begins_where_it_says_it_starts() {
    let input = topic("kept", 1);
    let all = events(37, BUCKETS);
    let passed = 60;
    let (before, after) = all.split_at(all.len() * 4 / 5);
    publish(&input, 1, Spread::ByHost, before);
    let start = format!(r#", "start": {{"offsets": {{"{input}/0": {passed}}}}}"#);
    let whole = job(Kind::Whole, &input, &start);
    let deployment = Deployment::new(std::slice::from_ref(&whole), QUICK);
    let instance = deployment.start("a");
    let texts = |messages: &[Message]| -> Vec<String> {
        messages.iter().map(|one| one.text.clone()).collect()
    };
    let published = expected(&whole, texts(&before[passed..]));
    await_results_of(&deployment, "whole", &published);
    // What can never be done does not stop a job.
    let refused = jobs(&deployment, &["reshard", "whole"]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && error.contains("has no shards"),
        "{error}"
    );
    let list = succeed(&deployment, &["list"]);
    assert!(list.contains("at work"), "refused, and stopped: {list}");
    let told = succeed(&deployment, &["reset", "whole", "--keep-results"]);
    assert!(told.contains("0 results withdrawn"), "{told}");
    publish(&input, 1, Spread::ByHost, after);
    close(&input, 1, BUCKETS);
    let heard = texts(&all[passed..]).into_iter().chain([sentinel(BUCKETS)]);
    let wanted = foretold(expected(&whole, heard));
    await_foretold(&deployment, "whole", &wanted);
    assert_eq!(instance.stop(), Some(0));
    let again = results_of(&deployment, "whole");
    let documents: BTreeSet<_> = again.iter().map(|(kind, id, _)| (kind, id)).collect();
    let buckets = |kind: &str| again.iter().filter(|(of, ..)| of == kind).count();
    assert_eq!(
        documents
            .iter()
            .filter(|(kind, _)| *kind == "bucket")
            .count(),
        buckets("bucket"),
        "a bucket was published twice"
    );
}
