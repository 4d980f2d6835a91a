//! Forecasts: what they may claim, that asking changes nothing, and that every way to ask gets the same answer.
//!
//! How often what came was inside the bounds is measured by `cargo bench --bench forecast`; here a small part of it is held.

#[path = "support/house.rs"]
mod house;

use house::{House, MINUTE_MS, event, job};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use tidewatch::config::{Job, Side};
use tidewatch::decode::Decoder;
use tidewatch::engine::forecast::{self, Refusal, Request, Yield};
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::model::{Kind, Law, Model, Prospect, Room, Sample, SeriesModel};
use tidewatch::engine::pipeline::Pipeline;
use tidewatch::engine::result::{Body, Document, DocumentKind};
use tidewatch::engine::snapshot::Snapshot;
use tidewatch::runtime::jobs::{Doors, Footprint, JobsError, publish_forecast};
use tidewatch::runtime::log::memory::MemoryLog;
use tidewatch::runtime::service::{Settings, group_of};
use tidewatch::runtime::task::TopicNames;
use tidewatch::time::{BucketSpan, BucketStart, EventTime};

const HOUR_MS: i64 = 3_600_000;
const START_MS: i64 = 1_704_067_200_000;

fn kind(span_s: i64, counting: bool) -> Kind {
    Kind {
        side: Side::Both,
        counting,
        law: Law::Plain,
        joined: false,
        span: BucketSpan::from_seconds(span_s).unwrap(),
    }
}

/// A model that has learnt the values there are, bucket after bucket.
fn taught(kind: &Kind, values: impl IntoIterator<Item = Option<f64>>) -> SeriesModel {
    let mut model = SeriesModel::new();
    let span = kind.span.millis();
    for (bucket, value) in values.into_iter().enumerate() {
        let Some(value) = value else { continue };
        let sample = Sample {
            at: EventTime(START_MS + bucket as i64 * span + span / 2),
            value,
            measurements: 10,
        };
        let verdict = model.judge(kind, &sample);
        let _ = model.learn(kind, &sample, verdict.as_ref(), &mut Room::unlimited());
    }
    model
}

/// What is expected of `buckets` after so many; empty while too little is known.
fn told(model: &SeriesModel, kind: &Kind, learnt: usize, buckets: usize) -> Vec<Prospect> {
    let Some(ahead) = model.ahead(kind) else {
        return Vec::new();
    };
    let span = kind.span.millis();
    let middle = |bucket: usize| EventTime(START_MS + (learnt + bucket) as i64 * span + span / 2);
    (0..buckets)
        .map(|bucket| ahead.at(middle(bucket)))
        .collect()
}

fn is_sound(prospect: &Prospect) -> bool {
    let Prospect {
        lower,
        prediction,
        upper,
    } = *prospect;
    lower.is_finite() && upper.is_finite() && lower <= prediction && prediction <= upper
}

/// Values as data have them, and as nobody would wish.
fn hostile() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        8 => (0.0..100.0).prop_map(Some),
        2 => Just(Some(0.0)),
        2 => Just(None),
        1 => Just(Some(-1e30)),
        1 => prop_oneof![Just(1e300), Just(-1e300), Just(f64::MIN_POSITIVE), Just(1e15)].prop_map(Some),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_came_a_forecast_is_finite_and_holds_its_prediction(
        values in prop::collection::vec(hostile(), 0..400),
        span_s in prop_oneof![Just(60_i64), Just(900), Just(3600), Just(86_400)],
        counting: bool,
    ) {
        let kind = kind(span_s, counting);
        let whole = |value: f64| if counting { value.abs().min(1e15).round() } else { value };
        let values: Vec<Option<f64>> = values.into_iter().map(|value| value.map(whole)).collect();
        let is_negative = values.iter().flatten().any(|value| *value < 0.0);
        let model = taught(&kind, values.iter().copied());
        let before = model.clone();
        let prospects = told(&model, &kind, values.len(), 300);
        prop_assert_eq!(&model, &before, "asking changes nothing");
        for prospect in &prospects {
            prop_assert!(is_sound(prospect), "{prospect:?}");
            prop_assert!(is_negative || prospect.lower >= 0.0, "{prospect:?}");
        }
        let bytes = postcard::to_stdvec(&model).unwrap();
        let restored: SeriesModel = postcard::from_bytes(&bytes).unwrap();
        prop_assert_eq!(told(&restored, &kind, values.len(), 300), prospects);
        // Ten years on.
        if let Some(ahead) = model.ahead(&kind) {
            let far = ahead.at(EventTime(START_MS + 3650 * 24 * HOUR_MS));
            prop_assert!(is_sound(&far), "{far:?}");
        }
    }
}

/// Noise without a pattern: the fractions of the squares' multiples of the golden ratio (Weyl 1916), around 0.
fn noise(at: usize) -> f64 {
    (at as f64 * at as f64 * 0.618_033_988_749_895).fract() - 0.5
}

fn day(at: usize) -> f64 {
    (std::f64::consts::TAU * at as f64 / 24.0).sin()
}

fn width(prospects: &[Prospect]) -> f64 {
    let widths = prospects.iter().map(|one| one.upper - one.lower);
    widths.sum::<f64>() / prospects.len() as f64
}

#[test]
fn the_further_ahead_the_wider_a_day_on_average() {
    let mut walk = 0.0;
    let series: [(&str, Vec<f64>); 4] = [
        (
            "noise",
            (0..700).map(|at| 50.0 + 10.0 * noise(at)).collect(),
        ),
        (
            "day",
            (0..700)
                .map(|at| 50.0 + 20.0 * day(at) + 10.0 * noise(at))
                .collect(),
        ),
        (
            "trend",
            (0..700)
                .map(|at| 50.0 + 0.1 * at as f64 + 10.0 * noise(at))
                .collect(),
        ),
        (
            "walk",
            (0..700)
                .map(|at| {
                    walk += noise(at);
                    500.0 + walk
                })
                .collect(),
        ),
    ];
    for (name, values) in series {
        let kind = kind(3600, false);
        let model = taught(&kind, values.into_iter().map(Some));
        let prospects = told(&model, &kind, 700, 60 * 24);
        let days: Vec<f64> = prospects.chunks(24).map(width).collect();
        let is_wider = |pair: &[f64]| pair[1] >= pair[0] * (1.0 - 1e-6);
        assert!(days.windows(2).all(is_wider), "{name}: {days:?}");
        match name {
            "walk" => assert!(days[27] > 3.0 * days[0], "{days:?}"),
            "noise" => assert!(days[27] < 1.5 * days[0], "{days:?}"),
            _ => {}
        }
    }
}

#[test]
fn a_season_is_carried_on_and_a_slope_with_it() {
    let kind = kind(3600, false);
    let value = |at: usize| 100.0 + 0.03 * at as f64 + 20.0 * day(at) + 10.0 * noise(at);
    let model = taught(&kind, (0..28 * 24).map(|at| Some(value(at))));
    let prospects = told(&model, &kind, 28 * 24, 7 * 24);
    for (ahead, prospect) in prospects.iter().enumerate() {
        let at = 28 * 24 + ahead;
        let truth = 100.0 + 0.03 * at as f64 + 20.0 * day(at);
        assert!(
            (prospect.prediction - truth).abs() < 6.0,
            "{ahead}: {prospect:?} {truth}"
        );
    }
    let inside = |(ahead, one): &(usize, &Prospect)| {
        (one.lower..=one.upper).contains(&value(28 * 24 + ahead))
    };
    let inside = prospects.iter().enumerate().filter(inside).count();
    assert!(inside >= 150, "{inside} of 168");
}

#[test]
fn a_constant_stays_and_too_little_is_not_forecast() {
    let kind = kind(3600, false);
    let model = taught(&kind, vec![Some(7.0); 100]);
    for prospect in told(&model, &kind, 100, 200) {
        assert_eq!(prospect.prediction, 7.0);
        assert!(prospect.upper - prospect.lower < 2.0, "{prospect:?}");
    }
    assert!(taught(&kind, vec![Some(7.0); 5]).ahead(&kind).is_none());
    assert!(SeriesModel::new().ahead(&kind).is_none());
}

fn request(duration_ms: i64) -> Request {
    Request {
        id: "f".to_owned(),
        duration_ms,
        only: Vec::new(),
    }
}

fn job_of(detectors: Value) -> Arc<Job> {
    let body = json!({
        "job_id": "j", "data_description": {"time_field": "time", "time_format": "epoch_ms"},
        "analysis_config": {"bucket_span": "1h", "detectors": detectors},
    });
    Arc::new(Job::from_value(&body).unwrap_or_else(|errors| panic!("{errors}")))
}

#[test]
fn what_cannot_be_forecast_is_refused_by_name() {
    let check = |detectors: Value, request: &Request| forecast::check(&job_of(detectors), request);
    let population = json!({"function": "high_count", "over_field_name": "user"});
    let rare = json!({"function": "rare", "by_field_name": "user"});
    let refused = check(json!([population, rare]), &request(HOUR_MS))
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("population") && refused.contains("rare"),
        "{refused}"
    );
    let count = json!({"function": "count", "partition_field_name": "host"});
    let left_out = check(json!([count, rare]), &request(HOUR_MS)).unwrap();
    assert!(
        left_out.len() == 1 && left_out[0].contains("rare"),
        "{left_out:?}"
    );
    for wrong in [HOUR_MS - 1, 0, -1, 3651 * 24 * HOUR_MS] {
        let refused = check(json!([count]), &request(wrong));
        assert!(matches!(refused, Err(Refusal::Duration(..))), "{wrong}");
    }
    let of_user = Request {
        only: vec![("user".to_owned(), "u".to_owned())],
        ..request(HOUR_MS)
    };
    let refused = check(json!([count]), &of_user).unwrap_err().to_string();
    assert!(
        refused.contains("\"user\"") && refused.contains("host"),
        "{refused}"
    );
}

#[test]
fn a_forecast_over_a_scheduled_event_says_that_it_is_of_a_time_without_it() {
    let begins = START_MS + 30 * HOUR_MS;
    let body = json!({
        "job_id": "j", "data_description": {"time_field": "time", "time_format": "epoch_ms"},
        "analysis_config": {"bucket_span": "1h", "detectors": [{"function": "count"}]},
        "tidewatch": {"calendars": [{"calendar_id": "c", "events": [
            {"description": "sale", "start_time": begins, "end_time": begins + HOUR_MS},
        ]}]},
    });
    let job = Job::from_value(&body).unwrap_or_else(|errors| panic!("{errors}"));
    let messages = |hours: i64| {
        let found = Yield {
            series: 1,
            range: Some((
                BucketStart(START_MS),
                BucketStart(START_MS + hours * HOUR_MS),
            )),
            ..Yield::default()
        };
        let asked = request(hours * HOUR_MS);
        let stats = forecast::stats(
            &job,
            &asked,
            &found,
            Vec::new(),
            forecast::Clocked::default(),
            0,
        );
        match stats.body {
            Body::ForecastStats(stats) => stats.forecast_messages,
            _ => panic!("no stats"),
        }
    };
    assert!(messages(30).is_empty(), "it ends as the event begins");
    let said = messages(48);
    assert!(
        said.len() == 1 && said[0].contains("sale") && said[0].contains("without"),
        "{said:?}"
    );
}

/// A shift of 50 hours: neither the day nor the week knows it.
#[test]
fn a_rhythm_of_its_own_is_carried_on() {
    let kind = kind(3600, false);
    let rest = |at: usize| if at % 50 < 20 { 100.0 } else { 140.0 };
    let model = taught(
        &kind,
        (0..28 * 24).map(|at| Some(rest(at) + 10.0 * noise(at))),
    );
    let prospects = told(&model, &kind, 28 * 24, 7 * 24);
    for (ahead, prospect) in prospects.iter().enumerate() {
        let truth = rest(28 * 24 + ahead);
        assert!(
            (prospect.prediction - truth).abs() < 10.0,
            "{ahead}: {prospect:?} {truth}"
        );
        assert!(
            prospect.upper - prospect.lower < 30.0,
            "{ahead}: {prospect:?}"
        );
    }
}

#[test]
fn what_is_on_or_off_is_forecast_within_its_two_modes() {
    let kind = kind(3600, false);
    let is_on = |at: usize| noise(at / 3 + 7) > 0.0;
    let value = |at: usize| if is_on(at) { 160.0 } else { 100.0 } + 4.0 * noise(at);
    let model = taught(&kind, (0..28 * 24).map(|at| Some(value(at))));
    let prospects = told(&model, &kind, 28 * 24, 7 * 24);
    for prospect in &prospects {
        assert!((85.0..101.0).contains(&prospect.lower), "{prospect:?}");
        assert!((159.0..175.0).contains(&prospect.upper), "{prospect:?}");
    }
}

fn said(
    models: impl Fn(&mut dyn FnMut(Document) -> ControlFlow<()>) -> Yield,
) -> (Vec<String>, Yield) {
    let mut said = Vec::new();
    let found = models(&mut |document| {
        said.push(serde_json::to_string(&document).unwrap());
        ControlFlow::Continue(())
    });
    (said, found)
}

/// Events of two hosts with a rhythm, over so many minutes.
fn events(minutes: i64) -> impl Iterator<Item = (i64, &'static str)> {
    (0..minutes).flat_map(|minute| {
        let count = 2 + (minute / 60 % 24 / 6) + minute % 3;
        (0..count).map(move |n| (minute, if n % 2 == 0 { "a" } else { "b" }))
    })
}

fn learnt(job: &Arc<Job>, minutes: i64) -> Pipeline {
    let (mut decoder, mut pipeline) = (Decoder::new(job), Pipeline::new(Arc::clone(job)));
    for (minute, host) in events(minutes) {
        decoder.payload(event(minute, host).as_bytes(), None, &mut |decoded| {
            let _ = pipeline.handle(Input::Event(decoded.as_ref().unwrap()));
        });
    }
    pipeline
}

#[test]
fn a_restored_state_forecasts_what_the_state_does_and_asking_leaves_it_as_it_is() {
    let own = job("10m", "{}");
    let pipeline = learnt(&own, 3000);
    let snapshot = pipeline.snapshot();
    let request = request(24 * HOUR_MS);
    let (first, found) = said(|say| pipeline.forecast(&request, say));
    assert_eq!(found.series, 2);
    assert_eq!(first.len(), 2 * 144);
    assert_eq!(pipeline.snapshot(), snapshot, "asking changes nothing");
    let again = Pipeline::restore(
        Arc::clone(&own),
        &Snapshot::from_bytes(snapshot.as_bytes().to_vec()),
    );
    let (second, _) = said(|say| again.as_ref().unwrap().forecast(&request, say));
    assert_eq!(first, second);
    let only = Request {
        only: vec![("host".to_owned(), "b".to_owned())],
        ..request
    };
    let (third, found) = said(|say| pipeline.forecast(&only, say));
    assert_eq!((found.series, third.as_slice()), (1, &first[144..]));
    let stopped = pipeline.forecast(&only, &mut |_| ControlFlow::Break(()));
    assert_eq!(stopped.points, 0);
}

fn footprint(house: &House, job: &Arc<Job>) -> (MemoryLog, Footprint) {
    let mut log = house.cluster.open(&group_of("group", &job.id), "reader");
    let names = TopicNames::new("tidewatch");
    let footprint = Footprint::of(&mut log, job, &names, "group").unwrap();
    (log, footprint)
}

#[test]
fn a_services_snapshots_forecast_what_files_do_in_every_placement() {
    for (partitions, extensions) in [
        (1, "{}"),
        (3, r#"{"shards":2}"#),
        (2, r#"{"keyed_by_partition_field":true}"#),
    ] {
        let own = job("10m", extensions);
        let house = House::new(partitions);
        let (_, nothing) = footprint(&house, &own);
        let refused = Doors::open(&mut house.store.clone(), &nothing);
        assert!(matches!(refused, Err(JobsError::NoSnapshot(..))));
        let mut service = house.start_with(Arc::clone(&own), Settings::default());
        for (n, (minute, host)) in events(3000).enumerate() {
            let partition = match extensions.contains("keyed") {
                true => i32::from(host == "b"),
                false => n as i32 % partitions,
            };
            house.send_at(partition, minute, host, n as i64 % 1000);
        }
        house.settle(&mut service);
        service.finish().unwrap();
        let (mut log, footprint) = footprint(&house, &own);
        let doors = Doors::open(&mut house.store.clone(), &footprint).unwrap();
        assert!(doors.missing.is_empty(), "{:?}", doors.missing);
        let request = request(6 * HOUR_MS);
        let (mut points, found) = said(|say| doors.forecast(&request, say));
        let pipeline = learnt(&own, 3000);
        let (mut wanted, _) = said(|say| pipeline.forecast(&request, say));
        points.sort();
        wanted.sort();
        assert_eq!(points, wanted, "{extensions}");
        assert_eq!(doors.forecast_start(), pipeline.forecast_start());

        let mut documents = Vec::new();
        let _ = doors.forecast(&request, &mut |document| {
            documents.push(document);
            ControlFlow::Continue(())
        });
        let clocked = forecast::Clocked {
            created_ms: 5,
            took_ms: 1,
        };
        documents.push(forecast::stats(
            &own,
            &request,
            &found,
            Vec::new(),
            clocked,
            1000,
        ));
        let names = TopicNames::new("tidewatch");
        publish_forecast(&mut log, &names, &documents, 1005).unwrap();
        let published = house.results(DocumentKind::ModelForecast);
        assert_eq!(published.len(), points.len());
        for (message, document) in published.iter().zip(&documents) {
            assert_eq!(message.key.as_deref(), Some(document.id.as_bytes()));
            let expires = message
                .headers
                .iter()
                .find(|(name, _)| *name == "ce_expirytime");
            assert_eq!(expires.unwrap().1, EventTime(1005).to_string());
        }
        let stats = house.results(DocumentKind::ModelForecastRequestStats);
        let stats: Value = serde_json::from_slice(stats[0].payload.as_ref().unwrap()).unwrap();
        assert_eq!(stats["forecast_status"], "finished");
        assert_eq!(stats["forecast_expiry_timestamp"], 1005);
    }
}

const JOB: &str = "
job_id: test
analysis_config:
  bucket_span: 15m
  detectors: [{function: count, partition_field_name: host}, {function: rare, by_field_name: host}]
data_description: {time_field: time, time_format: epoch_ms}
";

fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewatch"));
    command
        .current_dir(dir)
        .env_remove("TIDEWATCH_LOG")
        .stdin(Stdio::null())
        .args(args)
        .output()
        .unwrap()
}

fn documents(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn the_command_forecasts_after_files_and_after_a_state_alike_and_leaves_the_state() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    fs::write(file("job.yaml"), JOB).unwrap();
    let all: String = events(2000)
        .map(|(minute, host)| event(minute, host) + "\n")
        .collect();
    fs::write(file("e.ndjson"), all).unwrap();
    let ask = [
        "forecast",
        "job.yaml",
        "e.ndjson",
        "--duration",
        "2h",
        "--expires-in",
        "1d",
    ];
    let output = run(dir.path(), &ask);
    assert!(output.status.success(), "{output:?}");
    let said = documents(&output);
    assert_eq!(said.len(), 2 * 8 + 1);
    let stats = said.last().unwrap();
    assert_eq!(stats["result_type"], "model_forecast_request_stats");
    assert_eq!(stats["processed_record_count"], 16);
    assert!(
        stats["forecast_messages"][0]
            .as_str()
            .unwrap()
            .contains("rare")
    );
    let first = stats["forecast_start_timestamp"].as_i64().unwrap();
    assert_eq!(
        first,
        1995 * MINUTE_MS,
        "the end of the last complete bucket"
    );
    assert_eq!(stats["forecast_end_timestamp"], first + 2 * HOUR_MS);
    assert_eq!(stats["forecast_expiry_timestamp"], first + 24 * HOUR_MS);
    assert_eq!(said[0]["timestamp"], first);

    let kept = run(
        dir.path(),
        &[
            "detect",
            "job.yaml",
            "e.ndjson",
            "--state",
            "s",
            "--out",
            "/dev/null",
        ],
    );
    assert!(kept.status.success());
    let state = fs::read(file("s")).unwrap();
    let ask = [
        "forecast",
        "job.yaml",
        "--state",
        "s",
        "--duration",
        "2h",
        "--expires-in",
        "1d",
    ];
    let after_state = run(dir.path(), &ask);
    assert_eq!(documents(&after_state), said);
    assert_eq!(fs::read(file("s")).unwrap(), state);

    let ask = [
        "forecast", "job.yaml", "e.ndjson", "--series", "host=b", "--format", "table", "--chart",
        "p.html",
    ];
    let table = run(dir.path(), &ask);
    let text = String::from_utf8(table.stdout).unwrap();
    assert!(
        text.contains("host=b") && !text.contains("host=a") && text.contains("prediction"),
        "{text}"
    );
    let page = fs::read_to_string(file("p.html")).unwrap();
    assert!(page.contains("host=b") && page.contains("class=\"band\"") && !page.contains("src="));

    for (args, code, why) in [
        (&["--duration", "0s"][..], 2, "more than 0"),
        (&["--duration", "3651d"], 2, "3650d"),
        (&["--duration", "5m"], 1, "bucket span"),
        (&["--series", "user=x"], 1, "\"user\""),
        (&["--series", "host=z"], 1, ""),
        (&["--id", "a b"], 2, "letters"),
        (&["--publish"], 2, "--config"),
    ] {
        let refused = run(
            dir.path(),
            &[&["forecast", "job.yaml", "e.ndjson"][..], args].concat(),
        );
        assert_eq!(refused.status.code(), Some(code), "{args:?} {refused:?}");
        assert!(
            String::from_utf8_lossy(&refused.stderr).contains(why),
            "{args:?} {refused:?}"
        );
    }
}

#[test]
fn documents_of_a_forecast_are_what_their_schemas_say() {
    let schema = |name: &str| -> Value {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schemas/{name}.schema.json"));
        serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
    };
    let own = job_of(json!([
        {"function": "metric", "field_name": "n", "partition_field_name": "host", "by_field_name": "host2"},
        {"function": "rare", "by_field_name": "host"},
    ]));
    let (mut decoder, mut pipeline) = (Decoder::new(&own), Pipeline::new(Arc::clone(&own)));
    for hour in 0..60 {
        let event = format!(
            r#"{{"time":{},"host":"a","host2":"b","n":{hour}}}"#,
            hour * HOUR_MS
        );
        decoder.payload(event.as_bytes(), None, &mut |decoded| {
            let _ = pipeline.handle(Input::Event(decoded.as_ref().unwrap()));
        });
    }
    let request = request(4 * HOUR_MS);
    let notes = forecast::check(&own, &request).unwrap();
    let mut documents = Vec::new();
    let found = pipeline.forecast(&request, &mut |document| {
        documents.push(document);
        ControlFlow::Continue(())
    });
    assert_eq!(found.series, 3, "metric is three features");
    let mut ids: Vec<&str> = documents
        .iter()
        .map(|document| document.id.as_str())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 12, "each has an id of its own");
    let clocked = forecast::Clocked {
        created_ms: 1,
        took_ms: 1,
    };
    documents.push(forecast::stats(&own, &request, &found, notes, clocked, 1));
    for kind in DocumentKind::FORECASTS {
        let schema = schema(kind.name());
        let check = jsonschema::validator_for(&schema).unwrap();
        assert_eq!(
            schema["$id"],
            format!("urn:tidewatch:schema:{}:v1", kind.name())
        );
        let of_kind: Vec<Value> = documents
            .iter()
            .filter(|document| document.kind == kind)
            .map(|document| serde_json::to_value(document).unwrap())
            .collect();
        for document in &of_kind {
            let errors: Vec<String> = check
                .iter_errors(document)
                .map(|error| error.to_string())
                .collect();
            assert!(errors.is_empty(), "{errors:?} {document:#}");
            for property in schema["properties"].as_object().unwrap().keys() {
                assert!(document.get(property).is_some(), "{property}");
            }
            for required in schema["required"].as_array().unwrap() {
                let mut poorer = document.clone();
                poorer
                    .as_object_mut()
                    .unwrap()
                    .remove(required.as_str().unwrap());
                assert!(!check.is_valid(&poorer), "{required}");
            }
            let mut stranger = document.clone();
            stranger["no_such_property"] = json!(1);
            assert!(!check.is_valid(&stranger));
        }
    }
    assert!(matches!(
        documents.last().unwrap().body,
        Body::ForecastStats(_)
    ));
}
