//! The service under a seed's whole malice equals the engine at rest.
//!
//! A seed picks the jobs (every function, categories of messages, rules, calendars), the events that they have in common, their disorder (within the allowed lateness, or late
//! enough to re-open results), partitions, placement, shards and instances, and then every interleaving of their steps with crashes (also in mid-commit), zombies, twins, rebalances, aborted
//! and hanging transactions, lost and damaged snapshots, a clock that is set.
//! The jobs of a process share what they read; one may come later than another, end and come again, die alone or with the process; inputs far ahead are held back.
//! Claim: what a `read_committed` reader finds in the results topics, key by key, is byte for byte what the engine's doors say at rest ([`calm`]):
//! as a rule one [`Pipeline`](tidewatch::engine::pipeline::Pipeline) that is handed the same events in the order of their sending; and each bad event is in the dead letters once; and the notices in the alerts topic are, incident by
//! incident, those that follow from the pipeline's results. Of `data_counts` what is
//! refused is left out: in mid-run it is counted with the bucket that its own partition closes next, so that placements differ.
//!
//! `TIDEWATCH_SEED=n` replays one seed; `TIDEWATCH_SEEDS=n` runs the first n instead of 1,000.

#[path = "simulation/calm.rs"]
mod calm;
#[path = "simulation/draw.rs"]
mod draw;
#[path = "simulation/feed.rs"]
mod feed;
#[path = "simulation/jobs.rs"]
mod jobs;
#[path = "simulation/store.rs"]
mod store;
#[path = "simulation/world.rs"]
mod world;

use calm::{Doors, each_output};
use draw::Draw;
use feed::Feed;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidewatch::alert::Tracker;
use tidewatch::config::Job;
use tidewatch::engine::pipeline::Output;
use tidewatch::engine::result::DocumentKind;
use tidewatch::runtime::alerts::document::AlertDocument;
use tidewatch::runtime::log::memory::Cluster;
use tidewatch::time::Finality;
use world::{Tally, Witness, World, alert_settings, names};

/// What was said of each document, by kind and id, in order.
type Said = BTreeMap<(DocumentKind, String), Vec<String>>;

/// A document's bytes, without what placements may tell differently of a bucket.
fn word(kind: DocumentKind, json: String) -> String {
    if kind != DocumentKind::DataCounts {
        return json;
    }
    without(&json, &["input_bytes", "rejected_event_counts"])
}

fn without(json: &str, fields: &[&str]) -> String {
    let mut document: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(json).expect("results are JSON");
    document.retain(|field, _| !fields.contains(&field.as_str()));
    serde_json::to_string(&document).expect("a map of JSON is JSON")
}

fn expected(feed: &Feed, job: &Arc<Job>, cluster: &Cluster) -> Said {
    let mut said = Said::new();
    each_output(feed, job, cluster, &mut |output| match output {
        Output::Result(document) => {
            assert_eq!(document.finality, Finality::Final);
            let json = word(document.kind, serde_json::to_string(&document).unwrap());
            said.entry((document.kind, document.id))
                .or_default()
                .push(json);
        }
        Output::Rejected(rejection) => panic!("not meant to be late: {rejection:?}"),
        // A query may select nothing before it: there is no result to correct.
        Output::Late { .. } | Output::Retract(_) | Output::Closed(_) | Output::Revised(_) => {}
    });
    said
}

/// Whether a document, all of which name their job, is of this one.
fn is_of(job: &Job, document: &str) -> bool {
    document.contains(&format!(r#""job_id":"{}""#, job.id))
}

fn published(cluster: &Cluster, job: &Job) -> Said {
    let names = names();
    let text = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap()).unwrap();
    let mut said = Said::new();
    for kind in DocumentKind::ALL {
        for message in cluster.committed(names.results(kind)) {
            let document = text(&message.payload);
            if is_of(job, &document) {
                let words = said.entry((kind, text(&message.key))).or_default();
                words.push(word(kind, document));
            }
        }
    }
    said
}

/// The interim documents that stand though their bucket is closed.
fn stale(cluster: &Cluster, job: &Job) -> Vec<String> {
    let names = names();
    let buckets = cluster.committed(names.results(DocumentKind::Bucket));
    let of_job = buckets.iter().filter(|message| {
        let text = message
            .payload
            .as_deref()
            .and_then(|text| std::str::from_utf8(text).ok());
        text.is_some_and(|text| is_of(job, text))
    });
    let until_ms = of_job.filter_map(|message| message.timestamp_ms).max();
    let mut stale = Vec::new();
    for kind in DocumentKind::ALL {
        let mut standing = BTreeMap::new();
        for message in cluster.committed(names.interim(kind)) {
            match &message.payload {
                Some(_) => standing.insert(message.key.clone(), message),
                None => standing.remove(&message.key),
            };
        }
        for message in standing.values().filter(|one| one.timestamp_ms <= until_ms) {
            let text = String::from_utf8_lossy(message.payload.as_deref().unwrap_or_default());
            if is_of(job, &text) {
                stale.push(format!("{kind:?} {text}"));
            }
        }
    }
    stale
}

/// Equal, or a panic that names the first differences.
fn assert_same<K: Ord + std::fmt::Debug>(
    expected: &BTreeMap<K, Vec<String>>,
    found: &BTreeMap<K, Vec<String>>,
) {
    let documents: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let differing: Vec<String> = documents
        .into_iter()
        .filter(|&document| expected.get(document) != found.get(document))
        .map(|document| {
            let (calm, service) = (expected.get(document), found.get(document));
            format!("{document:?}\n  calm    {calm:?}\n  service {service:?}")
        })
        .collect();
    let (count, first) = (differing.len(), differing.iter().take(5));
    let text = first.cloned().collect::<Vec<_>>().join("\n");
    assert!(
        differing.is_empty(),
        "{count} documents differ, of {}:\n{text}",
        expected.len()
    );
}

/// The last word on each document, but for what was withdrawn, and for sizes and the count of late events in mid-run, which are those of their moment.
fn keep_last_words(said: &mut Said) {
    said.retain(|(kind, _), words| {
        words.drain(..words.len() - 1);
        if *kind == DocumentKind::DataCounts {
            words[0] = without(&words[0], &["late_revised_event_count"]);
        }
        *kind != DocumentKind::ModelSizeStats && !words[0].contains("\"is_withdrawn\":true")
    });
}

/// Notices by incident, in order.
type Notices = BTreeMap<String, Vec<String>>;

/// What follows from results that come as the calm doors say them.
fn expected_notices(feed: &Feed, job: &Arc<Job>, cluster: &Cluster) -> Notices {
    let policy = Arc::new(alert_settings().policy_of(job));
    let mut tracker = Tracker::new(&job.id, job.bucket_span, policy);
    let mut notices = Notices::new();
    each_output(feed, job, cluster, &mut |output| match output {
        Output::Result(document) => tracker.document(&document),
        Output::Closed(summary) => {
            for notice in tracker.closed(summary.start, summary.finality) {
                let document = AlertDocument::of(&notice, job).write();
                let words = notices.entry(notice.incident.id).or_default();
                words.push(String::from_utf8(document).unwrap());
            }
        }
        Output::Revised(revision) => {
            for notice in tracker.revised(revision.start) {
                let document = AlertDocument::of(&notice, job).write();
                let words = notices.entry(notice.incident.id).or_default();
                words.push(String::from_utf8(document).unwrap());
            }
        }
        Output::Rejected(_) | Output::Retract(_) | Output::Late { .. } => {}
    });
    notices
}

fn published_notices(cluster: &Cluster, job: &Job) -> Notices {
    let text = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap()).unwrap();
    let mut notices = Notices::new();
    for message in cluster.committed(&names().alerts()) {
        let document = text(&message.payload);
        if is_of(job, &document) {
            let words = notices.entry(text(&message.key)).or_default();
            words.push(document);
        }
    }
    notices
}

/// Of the words on one thing, compaction keeps the last and perhaps others, in their order.
fn keep_what_compaction_left<K: Ord>(
    expected: &mut BTreeMap<K, Vec<String>>,
    found: &BTreeMap<K, Vec<String>>,
) {
    for (thing, words) in expected {
        let left = found.get(thing).map_or(&[][..], Vec::as_slice);
        let last = words.pop().expect("what is told of has a word");
        words.retain(|word| left.contains(word));
        words.push(last);
    }
}

fn run(seed: u64) -> Tally {
    let mut draw = Draw::new(seed);
    let feed = Feed::new(&mut draw);
    let witness = Arc::new(Witness::default());
    let mut world = World::new(&feed, &mut draw, Arc::clone(&witness));
    world.rage(&mut draw);
    world.calm_down();
    let tally = witness.tally.lock().unwrap().clone();
    assert_eq!(tally.wrong, Vec::<String>::new());
    let mut tally = tally;
    for job in &feed.jobs {
        let doors = Doors::of(&feed, job);
        let mut expected = expected(&feed, job, &world.cluster);
        let mut found = published(&world.cluster, job);
        tally.look_at(doors, &found);
        let stale = stale(&world.cluster, job);
        assert!(
            stale.is_empty(),
            "interim documents of closed buckets: {stale:#?}"
        );
        let letters = world.cluster.committed(names().dead_letters());
        let own = letters.iter().filter(|letter| {
            let name = ("job_id", job.id.clone());
            letter.headers.contains(&name)
        });
        assert_eq!(own.count(), feed.bad, "dead letters of {}", job.id);
        if doors.has_last_words_only(&feed) {
            keep_last_words(&mut expected);
            keep_last_words(&mut found);
            assert_same(&expected, &found);
            continue;
        }
        if world.has_compacted {
            keep_what_compaction_left(&mut expected, &found);
        }
        assert_same(&expected, &found);
        let mut expected = expected_notices(&feed, job, &world.cluster);
        let found = published_notices(&world.cluster, job);
        if world.has_compacted {
            keep_what_compaction_left(&mut expected, &found);
        }
        assert_same(&expected, &found);
    }
    tally
}

fn run_all(seeds: impl Iterator<Item = u64>) -> (Tally, Vec<u64>) {
    let (mut total, mut failing) = (Tally::default(), Vec::new());
    for seed in seeds {
        match std::panic::catch_unwind(|| run(seed)) {
            Ok(tally) => total.add(&tally),
            Err(_) => {
                eprintln!("that was seed {seed}");
                failing.push(seed);
            }
        }
    }
    (total, failing)
}

#[test]
fn whatever_happens_to_the_service_its_committed_results_are_those_of_the_calm_run() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    if let Some(seed) = number("TIDEWATCH_SEED") {
        for job in &Feed::new(&mut Draw::new(seed)).jobs {
            println!("{}", job.document);
        }
        println!("{:#?}", run(seed));
        return;
    }
    let seeds = number("TIDEWATCH_SEEDS").unwrap_or(1_000);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let of_thread = |first: u64| move || run_all((first..seeds).step_by(threads as usize));
    let workers: Vec<_> = (0..threads)
        .map(|first| std::thread::spawn(of_thread(first)))
        .collect();
    let (mut total, mut failing) = (Tally::default(), Vec::new());
    for worker in workers {
        let (tally, failed) = worker.join().expect("failures are caught inside");
        total.add(&tally);
        failing.extend(failed);
    }
    assert!(
        failing.is_empty(),
        "TIDEWATCH_SEED=n replays one of these: {failing:?}"
    );
    println!("{total:#?}");
    assert!(
        total.has_seen_everything(),
        "the seeds exercise too little: {total:#?}"
    );
}
