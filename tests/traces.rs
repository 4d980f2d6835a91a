//! Traces: what a collector hears of a job's life, and that nothing depends on whether it listens.
//!
//! The collector is one of our own that reads OTLP over HTTP; jobs run on the log in memory.
#![allow(
    clippy::disallowed_methods,
    reason = "a test that waits for a collector knows when to give up"
)]

#[path = "support/collector.rs"]
mod collector;
#[path = "support/house.rs"]
mod house;

use collector::{Collector, Seen, int, text};
use house::{House, event, job};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tidewatch::config::service::{Otlp, Service as Configuration};
use tidewatch::engine::result::DocumentKind;
use tidewatch::runtime::clock::ManualClock;
use tidewatch::runtime::log::memory::Stored;
use tidewatch::runtime::observer::{Fact, Observer, Silent};
use tidewatch::runtime::service::Settings;
use tidewatch::runtime::telemetry::Telemetry;
use tidewatch::runtime::traces::{Traces, Whose};

const WHOSE: Whose<'static> = Whose {
    group_id: "group",
    instance_id: "one",
};

/// What the configuration makes of a section and of variables.
fn otlp(section: &str, environment: &[(&str, &str)]) -> Otlp {
    let text = format!(
        "{{kafka: {{properties: {{bootstrap.servers: 'b:9092'}}, instance_id: a}}, jobs: Cargo.toml, telemetry: {{otlp: {{{section}}}}}}}"
    );
    let environment = environment
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    let base = Path::new(env!("CARGO_MANIFEST_DIR"));
    let service = Configuration::parse("test.yaml", &text, base, environment);
    service.expect("a configuration").otlp.expect("traces")
}

fn everything(collector: &Collector) -> Otlp {
    otlp(
        &format!("endpoint: '{}', sample_ratio: 1", collector.address()),
        &[],
    )
}

fn traced(otlp: &Otlp, observer: Arc<dyn Observer>) -> (Traces, Settings) {
    let traces = Traces::start(otlp, WHOSE, observer).expect("traces");
    let settings = Settings {
        traces: traces.clone(),
        ..Settings::default()
    };
    (traces, settings)
}

/// An hour of two hosts on two partitions; a message that is no event among them.
fn send_an_hour(house: &House) {
    for minute in 0..60 {
        house.send(0, &event(minute, "a"));
        house.send(1, &event(minute, "b"));
    }
    house.send(1, "{\"time\":");
}

/// Key and value of a message.
type Pair = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Everything published, in order.
fn published(house: &House) -> Vec<Pair> {
    let kinds = DocumentKind::ALL.into_iter();
    let messages = kinds.flat_map(|kind| house.results(kind));
    let pair = |message: &Stored| -> Pair {
        (
            message.key.as_ref().map(|key| key.to_vec()),
            message.payload.as_ref().map(|payload| payload.to_vec()),
        )
    };
    messages.map(|message| pair(&message)).collect()
}

#[test]
fn a_transaction_is_a_trace_of_its_batches_the_buckets_in_them_and_its_commit() {
    let (house, collector) = (House::new(2), Collector::start());
    let (traces, settings) = traced(&everything(&collector), Arc::new(Silent));
    let mut service = house.start_with(job("1m", r#"{"shards":2}"#), settings);
    send_an_hour(&house);
    house.settle(&mut service);
    service.finish().unwrap();
    assert!(traces.end(Duration::from_secs(20)));

    let seen = collector.seen();
    let resource = seen.resource();
    assert_eq!(text(resource, "service.name"), "tidewatch");
    assert_eq!(text(resource, "service.instance.id"), "one");
    assert_eq!(text(resource, "service.version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(text(resource, "telemetry.sdk.language"), "rust");

    let mut stages = BTreeSet::new();
    let mut messages = 0;
    for batch in seen.starting_with("process ") {
        let parent = seen.parent(batch);
        assert!(matches!(parent.name.as_str(), "transaction" | "replay"));
        let stage = text(&batch.attributes, "tidewatch.stage");
        let topic = text(&batch.attributes, "messaging.destination.name");
        assert_eq!(batch.name, format!("process {topic}"));
        assert_eq!(text(&batch.attributes, "tidewatch.job_id"), "j");
        assert_eq!(text(&batch.attributes, "tidewatch.placement"), "staged");
        assert_eq!(text(&batch.attributes, "messaging.system"), "kafka");
        assert_eq!(
            text(&batch.attributes, "messaging.consumer.group.name"),
            "group.j"
        );
        if topic == "events" {
            messages += int(&batch.attributes, "messaging.batch.message_count");
        }
        stages.insert(stage.to_owned());
    }
    assert_eq!(messages, 121);
    let expected = ["gather", "judge", "rollup"];
    assert_eq!(stages, expected.map(str::to_owned).into());

    // Each bucket of an hour is closed by two gatherers, judged by two judges, rolled up once.
    for (name, stage, times) in [
        ("close", "gather", 2),
        ("judge", "judge", 2),
        ("roll up", "rollup", 1),
    ] {
        let mut buckets = 0;
        for step in seen.named(name) {
            let batch = seen.parent(step);
            assert!(batch.name.starts_with("process "), "{}", batch.name);
            assert_eq!(text(&step.attributes, "tidewatch.stage"), stage);
            let start = text(&step.attributes, "tidewatch.bucket.start");
            assert!(start.starts_with("1970-01-01T00:"), "{start}");
            assert!(batch.start_time_unix_nano <= step.start_time_unix_nano);
            assert!(step.end_time_unix_nano <= batch.end_time_unix_nano);
            buckets += int(&step.attributes, "tidewatch.bucket.count");
        }
        assert!(
            (58 * times..=60 * times).contains(&buckets),
            "{name}: {buckets}"
        );
    }
    let commits = seen.named("commit");
    assert!(!commits.is_empty());
    let mut final_buckets = 0;
    for commit in commits {
        let transaction = seen.parent(commit);
        assert_eq!(transaction.name, "transaction");
        assert!(transaction.parent_span_id.is_empty());
        assert!(int(&transaction.attributes, "tidewatch.batch.count") > 0);
        final_buckets += int(&commit.attributes, "tidewatch.bucket.count");
    }
    assert_eq!(final_buckets, house.bucket_times().len() as i64);
    let rejected = seen.starting_with("process events");
    let rejected = rejected.map(|batch| int(&batch.attributes, "tidewatch.rejected.count"));
    assert_eq!(rejected.sum::<i64>(), 1);
    // Snapshots at the end: frozen and stored, each a trace.
    let snapshots = seen.named("snapshot");
    assert!(snapshots.len() >= 4, "{} tasks", snapshots.len());
    for snapshot in snapshots {
        assert!(snapshot.parent_span_id.is_empty());
        assert!(int(&snapshot.attributes, "tidewatch.snapshot.bytes") > 0);
        let mut children: Vec<&str> = seen.children(snapshot).map(|c| c.name.as_str()).collect();
        children.sort_unstable();
        assert_eq!(children, ["freeze", "store"]);
    }
}

#[test]
fn a_crash_is_followed_by_a_trace_of_restoring_and_replaying() {
    let (house, collector) = (House::new(1), Collector::start());
    let mut service = house.start(job("1m", "{}"));
    send_one_by_one(&house, 0..30);
    house.settle(&mut service);
    house.cluster.evict(&service.into_log()); // dead before a snapshot was due
    let (traces, settings) = traced(&everything(&collector), Arc::new(Silent));
    let mut service = house.start_with(job("1m", "{}"), settings);
    send_one_by_one(&house, 30..40);
    house.settle(&mut service);
    drop(service);
    assert!(traces.end(Duration::from_secs(20)));

    let seen = collector.seen();
    let restores = seen.named("restore");
    let [restore] = restores[..] else {
        panic!("{} restores", restores.len());
    };
    assert!(restore.parent_span_id.is_empty());
    assert_eq!(
        text(&restore.attributes, "messaging.destination.name"),
        "events"
    );
    assert_eq!(int(&restore.attributes, "tidewatch.offset.from"), 0);
    assert_eq!(int(&restore.attributes, "tidewatch.offset.live_from"), 30);
    let mut children: Vec<&str> = seen.children(restore).map(|c| c.name.as_str()).collect();
    children.sort_unstable();
    assert_eq!(children, ["load snapshot", "replay"]);
    let replay = seen.named("replay")[0];
    assert!(int(&replay.attributes, "messaging.batch.message_count") >= 30);
    let batch = seen.children(replay).next().expect("a batch of the replay");
    assert_eq!(batch.name, "process events");
    assert!(seen.children(batch).any(|step| step.name == "judge"));
}

fn send_one_by_one(house: &House, minutes: std::ops::Range<i64>) {
    minutes.for_each(|minute| house.send(0, &event(minute, "a")));
}

#[test]
fn usually_few_transactions_are_traced_and_every_restore_and_snapshot() {
    let (house, collector) = (House::new(1), Collector::start());
    let few = otlp(
        &format!("endpoint: '{}', sample_ratio: 0", collector.address()),
        &[],
    );
    let (traces, settings) = traced(&few, Arc::new(Silent));
    let mut service = house.start_with(job("1m", "{}"), settings);
    send_one_by_one(&house, 0..30);
    house.settle(&mut service);
    service.finish().unwrap();
    assert!(traces.end(Duration::from_secs(20)));
    let seen = collector.seen();
    let names: BTreeSet<&str> = seen.spans.iter().map(|span| span.name.as_str()).collect();
    let expected = ["freeze", "load snapshot", "restore", "snapshot", "store"];
    assert_eq!(names, expected.into());

    let none = [("OTEL_TRACES_SAMPLER", "always_off")];
    let none = otlp(&format!("endpoint: '{}'", collector.address()), &none);
    let house = House::new(1);
    let (traces, settings) = traced(&none, Arc::new(Silent));
    let mut service = house.start_with(job("1m", "{}"), settings);
    send_one_by_one(&house, 0..30);
    house.settle(&mut service);
    service.finish().unwrap();
    assert!(traces.end(Duration::from_secs(20)));
    assert_eq!(collector.seen().spans.len(), seen.spans.len());
}

/// What was told of spans: exported, dropped, failed, and news.
#[derive(Default)]
struct Told(Mutex<(u64, u64, u64, Vec<String>)>);

impl Told {
    fn is_silent(&self) -> bool {
        let told = self.0.lock().unwrap();
        told.0 + told.2 == 0
    }
}

impl Observer for Told {
    fn observe(&self, _job_id: &str, fact: &Fact<'_>) {
        if let Fact::Spans {
            exported,
            dropped,
            failed,
            news,
        } = fact
        {
            let mut told = self.0.lock().unwrap();
            told.0 += exported;
            told.1 += dropped;
            told.2 += failed;
            told.3.extend(news.map(|news| format!("{news:?}")));
        }
    }
}

#[test]
fn a_collector_that_is_dead_or_never_answers_changes_no_result_and_holds_nobody_up() {
    let run = |settings: Settings| {
        let house = House::new(2);
        let mut service = house.start_with(job("1m", r#"{"shards":2}"#), settings);
        send_an_hour(&house);
        house.settle(&mut service);
        service.finish().unwrap();
        published(&house)
    };
    let calm = run(Settings::default());
    assert!(!calm.is_empty());
    let (dead, mute) = (Collector::dead(), Collector::mute());
    for address in [dead.as_str(), mute.address()] {
        let told = Arc::new(Told::default());
        let section = format!("endpoint: '{address}', sample_ratio: 1, timeout: 60s");
        let (traces, settings) = traced(&otlp(&section, &[]), told.clone());
        assert_eq!(run(settings), calm);
        let began = Instant::now();
        traces.end(Duration::from_millis(1_500));
        assert!(began.elapsed() < Duration::from_secs(5), "bounded");
        let deadline = Instant::now() + Duration::from_secs(10);
        while told.0.lock().unwrap().2 == 0 {
            assert!(Instant::now() < deadline, "nobody was told");
            std::thread::sleep(Duration::from_millis(20));
        }
        let told = told.0.lock().unwrap();
        assert_eq!((told.0, told.3.len()), (0, 1), "said once: {:?}", told.3);
        assert!(told.3[0].starts_with("Fails("), "{:?}", told.3);
    }
}

#[test]
fn more_spans_than_can_be_sent_are_dropped_and_counted() {
    let mute = Collector::mute();
    let told = Arc::new(Told::default());
    let section = format!(
        "endpoint: '{}', sample_ratio: 1, timeout: 2s",
        mute.address()
    );
    let (traces, settings) = traced(&otlp(&section, &[]), told.clone());
    let house = House::new(1);
    let mut service = house.start_with(job("1m", "{}"), settings);
    for minute in 0..6_000 {
        house.send(0, &event(minute, "a"));
        if minute % 2 == 0 {
            house.clock.advance(1_000);
            service.breathe(Duration::ZERO).unwrap();
        }
    }
    traces.end(Duration::from_millis(500));
    let deadline = Instant::now() + Duration::from_secs(20);
    while told.0.lock().unwrap().1 == 0 {
        assert!(Instant::now() < deadline, "nothing was dropped");
        std::thread::sleep(Duration::from_millis(20));
    }
    let told = told.0.lock().unwrap();
    let overflows = told.3.iter().filter(|news| *news == "Overflows");
    assert_eq!(overflows.count(), 1, "{:?}", told.3);
}

#[test]
fn what_a_collector_refuses_or_cannot_take_just_now_is_told() {
    let run = |answers: &[(u16, u64)]| {
        let collector = Collector::answering(answers);
        let told = Arc::new(Told::default());
        let (traces, settings) = traced(&everything(&collector), told.clone());
        let house = House::new(1);
        let mut service = house.start_with(job("1m", "{}"), settings);
        send_one_by_one(&house, 0..3);
        house.settle(&mut service);
        let deadline = Instant::now() + Duration::from_secs(20);
        while told.is_silent() {
            assert!(Instant::now() < deadline, "nothing came of it");
            std::thread::sleep(Duration::from_millis(20));
        }
        service.finish().unwrap();
        assert!(traces.end(Duration::from_secs(20)));
        let told = told.0.lock().unwrap();
        (told.0, told.2, told.3.clone(), collector.requests())
    };
    let (exported, failed, news, requests) = run(&[(503, 0), (200, 0)]);
    assert!(exported > 0 && failed == 0 && news.is_empty() && requests >= 2);
    let (_, failed, news, _) = run(&[(200, 2)]);
    assert_eq!((failed, news.len()), (2, 0));
    let (_, failed, news, _) = run(&[(401, 0), (200, 0)]);
    assert!(failed > 0);
    let expected = ["Fails(\"the collector answers 401 Unauthorized\")", "Works"];
    assert_eq!(news, expected);
}

#[test]
fn headers_are_sent_read_anew_and_in_nothing_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headers");
    std::fs::write(&file, "api-key=first%2Csecret\nx-team=tides\n").unwrap();
    let collector = Collector::start();
    let section = format!(
        "endpoint: '{}', sample_ratio: 1, compression: gzip, headers_file: '{}'",
        collector.address(),
        file.display()
    );
    let environment = [(
        "OTEL_EXPORTER_OTLP_HEADERS",
        "Authorization=Bearer%20third-secret",
    )];
    let otlp = otlp(&section, &environment);
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(lines.clone())
        .finish();
    let telemetry = Arc::new(Telemetry::new(Arc::new(ManualClock::at(0)), &[]));
    let said = Arc::new(Mutex::new(String::new()));
    tracing::subscriber::set_global_default(subscriber).expect("the only test that listens");
    let (traces, settings) = traced(&otlp, Arc::new(Both(telemetry.clone(), said.clone())));
    let house = House::new(1);
    let mut service = house.start_with(job("1m", "{}"), settings);
    send_one_by_one(&house, 0..10);
    house.settle(&mut service);
    collector.await_requests(1);
    std::fs::write(&file, "api-key=second-secret").unwrap();
    send_one_by_one(&house, 10..20);
    house.settle(&mut service);
    collector.await_requests(2);
    std::fs::write(&file, "fourth-secret").unwrap(); // not a header
    send_one_by_one(&house, 20..30);
    house.settle(&mut service);
    service.finish().unwrap();
    traces.end(Duration::from_secs(20));

    let seen = collector.seen();
    let keys: Vec<&str> = seen.headers("api-key").collect();
    assert_eq!((keys[0], keys[1]), ("first,secret", "second-secret"));
    assert_eq!(seen.headers("x-team").next(), Some("tides"));
    assert!(
        seen.headers("authorization")
            .all(|value| value == "Bearer third-secret")
    );
    assert!(
        seen.headers("content-encoding")
            .all(|value| value == "gzip")
    );
    assert!(!seen.spans.is_empty());
    let text = [
        lines.text(),
        telemetry.exposition(),
        said.lock().unwrap().clone(),
        format!("{otlp:?}{traces:?}"),
        format!("{:?}", seen.spans),
    ]
    .concat();
    assert!(text.contains("pair 1 is not name=value"), "{text}");
    assert!(text.contains(r#"tidewatch_trace_spans_total{outcome="exported"}"#));
    for secret in ["secret", "third"] {
        let without = text.replace("(secret)", "");
        assert!(!without.contains(secret), "{secret} is in what is said");
    }
}

struct Both(Arc<Telemetry>, Arc<Mutex<String>>);

impl Observer for Both {
    fn observe(&self, job_id: &str, fact: &Fact<'_>) {
        self.0.observe(job_id, fact);
        self.1.lock().unwrap().push_str(&format!("{fact:?}\n"));
    }
}

/// Log lines, kept.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for Lines {
    type Writer = Lines;
    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

#[test]
fn results_with_traces_are_those_without() {
    let run = |settings: Settings| {
        let house = House::new(2);
        let mut service = house.start_with(job("1m", r#"{"shards":2}"#), settings);
        send_an_hour(&house);
        house.settle(&mut service);
        service.finish().unwrap();
        published(&house)
    };
    let collector = Collector::start();
    let (traces, settings) = traced(&everything(&collector), Arc::new(Silent));
    assert_eq!(run(settings), run(Settings::default()));
    assert!(traces.end(Duration::from_secs(20)));
    let seen: Seen = collector.seen();
    assert!(!seen.spans.is_empty());
}
