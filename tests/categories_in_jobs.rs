//! Jobs over log messages: `mlcategory` as a field of detectors, definitions and statistics among the results, in mid-stream snapshots too.

use serde_json::Value as Json;
use std::sync::Arc;
use tidewatch::alert::{Change, Tracker};
use tidewatch::config::{AlertPolicy, Job};
use tidewatch::decode::Decoder;
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::time::Finality;

fn job(detectors: &str, rest: &str) -> Arc<Job> {
    let text = format!(
        r#"{{"job_id": "logs", "analysis_config": {{"bucket_span": "1m", "categorization_field_name": "message",
        "detectors": [{detectors}] {rest}}}, "data_description": {{"time_field": "time"}}}}"#
    );
    Arc::new(Job::from_text(&text, "logs").expect("a job"))
}

/// Hands over a line of JSON.
fn tell(job: &Job, pipeline: &mut Pipeline, line: &str, documents: &mut Vec<Json>) {
    let mut decoder = Decoder::new(job);
    decoder.payload(line.as_bytes(), None, &mut |event| {
        let event = event.expect("an event");
        take(pipeline.handle(Input::Event(event)), documents);
    });
}

fn take(outputs: Vec<Output>, documents: &mut Vec<Json>) {
    for output in outputs {
        if let Output::Result(document) = output {
            documents.push(serde_json::to_value(&document).expect("JSON"));
        }
    }
}

fn of_kind<'d>(documents: &'d [Json], kind: &str) -> Vec<&'d Json> {
    documents
        .iter()
        .filter(|one| one["result_type"] == kind)
        .collect()
}

fn line(minute: i64, second: i64, service: &str, message: &str) -> String {
    let message = serde_json::to_string(message).expect("JSON");
    format!(
        r#"{{"time": {}, "service": "{service}", "message": {message}}}"#,
        (minute * 60 + second) * 1000
    )
}

/// Two kinds of messages for some hours, then a burst of one of them.
fn log(minutes: i64, burst_at: i64) -> Vec<String> {
    let mut lines = Vec::new();
    for minute in 0..minutes {
        for second in 0..10 {
            lines.push(line(
                minute,
                second,
                "a",
                &format!("Accepted connection from 10.0.0.{}", second % 7),
            ));
            lines.push(line(
                minute,
                second + 20,
                "a",
                &format!("Request {} completed in {second} ms", minute * 31),
            ));
        }
        if minute == burst_at {
            lines.extend(
                (0..400).map(|n| line(minute, 50, "a", &format!("Request {n} completed in 9 ms"))),
            );
        }
    }
    lines
}

#[test]
fn a_burst_of_one_kind_of_message_is_a_record_of_its_category() {
    let job = job(
        r#"{"function": "count", "by_field_name": "mlcategory"}"#,
        "",
    );
    let mut pipeline = Pipeline::new(job.clone());
    let mut documents = Vec::new();
    for line in log(300, 280) {
        tell(&job, &mut pipeline, &line, &mut documents);
    }
    take(
        pipeline.handle(Input::Flush(Finality::Final)),
        &mut documents,
    );
    let records = of_kind(&documents, "record");
    let worst = records.iter().max_by(|a, b| {
        let score = |one: &Json| one["record_score"].as_f64().expect("a score");
        score(a).total_cmp(&score(b))
    });
    let worst = worst.expect("a record");
    assert_eq!(
        (
            worst["by_field_name"].as_str(),
            worst["by_field_value"].as_str()
        ),
        (Some("mlcategory"), Some("2"))
    );
    assert_eq!(worst["timestamp"], 280 * 60_000);
    let sentence = worst["description"].as_str().expect("a sentence");
    let said = r#" mlcategory 2 is "Request completed in ms"."#;
    assert!(sentence.ends_with(said), "{sentence}");
    let definition = of_kind(&documents, "category_definition")
        .into_iter()
        .rfind(|one| one["category_id"] == 2);
    let definition = definition.expect("a definition");
    assert_eq!(definition["terms"], "Request completed in ms");
    assert_eq!(
        definition["regex"],
        "(?s).*?Request.+?completed.+?in.+?ms.*"
    );
    assert_eq!(definition["num_matches"], 3400);
    assert_eq!(definition["mlcategory"], "2");
    let sizes = of_kind(&documents, "model_size_stats");
    let last = sizes.last().expect("sizes");
    assert_eq!(
        (
            last["categorized_doc_count"].as_u64(),
            last["total_category_count"].as_u64()
        ),
        (Some(6400), Some(2))
    );
    let counts = of_kind(&documents, "data_counts");
    let last = counts.last().expect("counts");
    assert_eq!(
        last["missing_field_count"], 0,
        "no event has to have mlcategory"
    );
    assert_eq!(last["processed_field_count"], 6400);
}

#[test]
fn a_restored_pipeline_goes_on_with_the_same_categories() {
    let detectors =
        r#"{"function": "count", "by_field_name": "mlcategory"}, {"function": "count"}"#;
    let job = job(detectors, r#", "influencers": ["mlcategory"]"#);
    let (mut whole, mut parts) = (Pipeline::new(job.clone()), Pipeline::new(job.clone()));
    let (mut expected, mut said) = (Vec::new(), Vec::new());
    for (at, line) in log(60, 50).iter().enumerate() {
        tell(&job, &mut whole, line, &mut expected);
        tell(&job, &mut parts, line, &mut said);
        if at % 131 == 0 {
            let snapshot = parts.snapshot();
            assert_eq!(snapshot, whole.snapshot(), "line {at}");
            parts = Pipeline::restore(job.clone(), &snapshot).expect("it restores");
        }
    }
    take(whole.handle(Input::Flush(Finality::Final)), &mut expected);
    take(parts.handle(Input::Flush(Finality::Final)), &mut said);
    assert_eq!(expected, said);
    assert!(!of_kind(&said, "category_definition").is_empty());
}

#[test]
fn each_partition_has_its_own_categories_and_a_useless_one_is_stopped() {
    let detectors = r#"{"function": "count", "by_field_name": "mlcategory", "partition_field_name": "service"}"#;
    let job = job(
        detectors,
        r#", "per_partition_categorization": {"enabled": true, "stop_on_warn": true}"#,
    );
    let mut pipeline = Pipeline::new(job.clone());
    let mut documents = Vec::new();
    for minute in 0..20 {
        for n in 0..10 {
            let lines = [
                line(minute, n, "dull", "always the same"),
                line(
                    minute,
                    n,
                    "web",
                    &format!("Accepted connection from 10.0.0.{n}"),
                ),
                line(minute, n, "web", &format!("Request {n} failed")),
            ];
            lines
                .iter()
                .for_each(|line| tell(&job, &mut pipeline, line, &mut documents));
        }
    }
    take(
        pipeline.handle(Input::Flush(Finality::Final)),
        &mut documents,
    );
    let stats = of_kind(&documents, "categorizer_stats");
    let last = |service: &str| {
        let of = stats
            .iter()
            .rfind(|one| one["partition_field_value"] == service);
        *of.unwrap_or_else(|| panic!("no statistics of {service}"))
    };
    assert_eq!(last("dull")["categorization_status"], "warn");
    let notes: Vec<&Json> = of_kind(&documents, "annotation")
        .into_iter()
        .filter(|one| one["event"] == "categorization_status_change")
        .collect();
    assert_eq!(notes.len(), 1, "said once: {notes:?}");
    assert_eq!(notes[0]["partition_field_value"], "dull");
    let text = notes[0]["annotation"].as_str().unwrap();
    assert!(text.contains("service=dull changed to \"warn\""), "{text}");
    assert_eq!(
        (
            last("dull")["categorized_doc_count"].as_u64(),
            last("dull")["failed_category_count"].as_u64()
        ),
        (Some(100), Some(100))
    );
    assert_eq!(last("web")["categorization_status"], "ok");
    let events: u64 = of_kind(&documents, "bucket")
        .iter()
        .map(|one| one["event_count"].as_u64().expect("a count"))
        .sum();
    assert_eq!(events, 500, "what is stopped is not analysed");
    let counts = of_kind(&documents, "data_counts");
    assert_eq!(
        counts.last().expect("counts")["processed_record_count"],
        600,
        "but it was read"
    );
    for definition in of_kind(&documents, "category_definition") {
        let expected = if definition["category_id"] == 1 {
            "dull"
        } else {
            "web"
        };
        assert_eq!(definition["service"], expected);
    }
}

#[test]
fn an_event_without_a_message_is_analysed_by_what_needs_none() {
    let detectors =
        r#"{"function": "count", "by_field_name": "mlcategory"}, {"function": "count"}"#;
    let job = job(detectors, "");
    let mut pipeline = Pipeline::new(job.clone());
    let mut documents = Vec::new();
    for minute in 0..3 {
        tell(
            &job,
            &mut pipeline,
            &line(minute, 0, "a", "it works"),
            &mut documents,
        );
        let without = format!(r#"{{"time": {}, "mlcategory": "77"}}"#, minute * 60_000);
        tell(&job, &mut pipeline, &without, &mut documents);
    }
    take(
        pipeline.handle(Input::Flush(Finality::Final)),
        &mut documents,
    );
    let counts: Vec<_> = of_kind(&documents, "bucket")
        .iter()
        .map(|one| one["event_count"].as_u64())
        .collect();
    assert_eq!(counts, [Some(2), Some(2), Some(2)]);
    assert_eq!(
        of_kind(&documents, "category_definition")
            .last()
            .expect("one")["num_matches"],
        3
    );
    let sizes = of_kind(&documents, "model_size_stats");
    assert_eq!(
        sizes.last().expect("sizes")["total_by_field_count"],
        1,
        "a literal mlcategory is no category"
    );
}

#[test]
fn what_a_response_shows_of_an_analyzer_is_the_same_analyzer() {
    for given in [
        r#""categorization_filters": ["[0-9]+", "x"]"#,
        r#""categorization_analyzer": {"tokenizer": "ml_classic", "char_filter": ["first_non_blank_line"]}"#,
        r#""categorization_analyzer": {"tokenizer": "lowercase", "filter": [{"type": "length", "min": 2}, "limit"]}"#,
        r#""categorization_analyzer": "pattern""#,
        r#""categorization_analyzer": {"tokenizer": "standard", "filter": [{"type": "stop", "stopwords": ["The", "a"], "ignore_case": true}]}"#,
    ] {
        let detectors = r#"{"function": "count", "by_field_name": "mlcategory"}"#;
        let first = job(detectors, &format!(", {given}"));
        let again = Job::from_text(&first.document.to_string(), "logs").expect("a job");
        assert_eq!(again.document, first.document, "{given}");
        assert_eq!(again.fingerprint, first.fingerprint, "{given}");
        let other = job(detectors, "");
        assert_ne!(other.fingerprint, first.fingerprint, "{given}");
    }
}

/// What a service writes when it starts, never seen while it runs.
const STARTUP: [&str; 7] = [
    "Booting kernel image from local disk",
    "Loading configuration of virtual hosts",
    "Mounted filesystem with ordered data mode",
    "Initialised random number generator",
    "Listening for control socket commands",
    "Registered scheduler for background jobs",
    "Warming caches before traffic arrives",
];

#[test]
fn what_a_restart_writes_is_told_as_one_thing_by_its_records_and_is_one_incident() {
    let detectors = r#"{"function": "rare", "by_field_name": "mlcategory"}, {"function": "count", "by_field_name": "mlcategory"}"#;
    let job = job(detectors, "");
    let restart = (0..)
        .zip(STARTUP)
        .map(|(n, message)| line(700, 40 + n, "a", message));
    let mut lines = log(720, 720);
    lines.extend(restart);
    // A single new message is no company.
    lines.push(line(
        650,
        40,
        "a",
        "Certificate expires within fourteen days",
    ));
    let minute = |line: &str| {
        let event: Json = serde_json::from_str(line).expect("JSON");
        event["time"].as_i64().expect("a time") / 60_000
    };
    lines.sort_by_key(|line| minute(line));
    let mut pipeline = Pipeline::new(job.clone());
    let policy = AlertPolicy {
        threshold: 50.0,
        resolve_below: 40.0,
        ..AlertPolicy::default()
    };
    let mut tracker = Tracker::new("logs", job.bucket_span, Arc::new(policy));
    let (mut told, mut notices) = (Vec::new(), Vec::new());
    let mut hear = |outputs: Vec<Output>| {
        for output in outputs {
            match output {
                Output::Result(document) => {
                    tracker.document(&document);
                    told.push(serde_json::to_value(&document).expect("JSON"));
                }
                Output::Closed(bucket) => {
                    notices.extend(tracker.closed(bucket.start, Finality::Final))
                }
                _ => {}
            }
        }
    };
    let mut decoder = Decoder::new(&job);
    for line in &lines {
        decoder.payload(line.as_bytes(), None, &mut |event| {
            hear(pipeline.handle(Input::Event(event.expect("an event"))));
        });
    }
    hear(pipeline.handle(Input::Flush(Finality::Final)));
    let records = of_kind(&told, "record").into_iter();
    let records: Vec<&Json> = records
        .filter(|one| one["timestamp"] == 700 * 60_000)
        .collect();
    let score = |one: &Json| one["initial_record_score"].as_f64().expect("a score");
    let most = records.iter().map(|one| score(one)).fold(0.0, f64::max);
    assert!(
        records.len() >= 7 && most >= 50.0,
        "{} records, {most}",
        records.len()
    );
    for record in &records {
        let sentence = record["description"].as_str().expect("a sentence");
        println!("{:.1} {sentence}", score(record));
        let lists = sentence.starts_with("7 messages that are rare or new came together: \"")
            && sentence.contains("\" and 4 more. ");
        let counts = sentence.contains("one of 7 messages that are rare or new in this bucket");
        let says = lists || score(record) < most && counts;
        assert!(says, "{sentence}");
        assert!(
            sentence.ends_with("\"."),
            "it quotes its own messages last: {sentence}"
        );
    }
    let alone = of_kind(&told, "record")
        .into_iter()
        .filter(|one| one["timestamp"] == 650 * 60_000);
    for record in alone {
        assert!(
            !record["description"].to_string().contains("together"),
            "{record}"
        );
    }
    let begun = notices.iter().filter(|one| one.change == Change::Opened);
    let begun: Vec<_> = begun.filter(|one| one.at_ms == 701 * 60_000).collect();
    assert_eq!(begun.len(), 1, "{begun:?}");
    let said = &begun[0].incident.peak.description;
    assert!(
        said.starts_with("7 messages that are rare or new came together"),
        "{said}"
    );
}
