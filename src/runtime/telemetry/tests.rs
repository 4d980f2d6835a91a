//! What telemetry makes of facts: the states of a job, its report, its measurements.

use super::*;
use crate::engine::result::{Loudest, MemoryStatus, MisplacedKeys};
use crate::runtime::clock::ManualClock;
use crate::runtime::observer::Delivery;
use crate::runtime::store::SnapshotKey;
use crate::runtime::task::LATENESS_BOUNDS_MS;
use crate::time::{BucketSpan, EventTime};
use std::time::Duration;

const JOB: &str = r#"{"job_id": "web", "analysis_config": {"bucket_span": "5m", "detectors": [{"function": "mean", "field_name": "ms", "partition_field_name": "host"}]}, "data_description": {"time_field": "t"}}"#;
const SPAN_MS: i64 = 300_000;

fn at_work() -> (ManualClock, Telemetry) {
    let job = Arc::new(Job::from_text(JOB, "web.json").unwrap());
    let clock = ManualClock::at(1_000_000);
    let telemetry = Telemetry::new(Arc::new(clock.clone()), &[job]);
    (clock, telemetry)
}

fn breath(telemetry: &Telemetry, ready: bool, at_end: bool) {
    telemetry.observe("web", &Fact::Breath { ready, at_end });
}

fn state(telemetry: &Telemetry) -> State {
    telemetry.report().jobs["web"].state
}

fn assign(telemetry: &Telemetry, at: &TopicPartition, live_from: i64) {
    telemetry.observe(
        "web",
        &Fact::Assigned {
            at,
            snapshot: None,
            from: 0,
            live_from,
            duration_ms: 5,
        },
    );
}

fn rollup() -> TopicPartition {
    TopicPartition::new("tidewatch.web.partials", 0)
}

fn closed<'a>(at: &'a TopicPartition, summary: &'a BucketSummary) -> Fact<'a> {
    Fact::Bucket { at, summary }
}

fn summary(start_ms: i64) -> BucketSummary {
    BucketSummary {
        start: BucketSpan::from_seconds(300)
            .unwrap()
            .bucket_of(EventTime(start_ms)),
        finality: Finality::Final,
        event_count: 7,
        anomaly_score: 41.5,
        records: vec![(0, Severity::Minor)],
        loudest: None,
        model_bytes: 1234,
        series: 3,
        refused_series: 0,
        refused_growth: 0,
        memory_status: MemoryStatus::SoftLimit,
        misplaced_keys: MisplacedKeys::default(),
    }
}

fn hot(id: &str, timestamp_ms: i64, record_score: f64) -> Hot {
    Hot {
        id: id.into(),
        timestamp_ms,
        record_score,
        severity: Severity::of(record_score).label(),
        detector_index: 0,
        function: "mean",
        entity: BTreeMap::new(),
        influencers: BTreeMap::new(),
        actual: vec![],
        typical: vec![],
        description: String::new(),
    }
}

#[test]
fn a_job_starts_restores_catches_up_is_live_and_says_why_it_is_not() {
    let (clock, telemetry) = at_work();
    assert_eq!(state(&telemetry), State::Starting);
    let at = TopicPartition::new("events", 0);
    assign(&telemetry, &at, 10);
    breath(&telemetry, false, false);
    assert_eq!(state(&telemetry), State::Restoring);
    assert!(telemetry.report().jobs["web"].partitions[0].replaying);
    telemetry.observe(
        "web",
        &Fact::Replayed {
            at: &at,
            messages: 10,
            duration_ms: 3,
        },
    );
    breath(&telemetry, true, false);
    assert_eq!(state(&telemetry), State::CatchingUp);
    breath(&telemetry, true, true);
    assert_eq!(state(&telemetry), State::Live);
    clock.advance(9_000);
    breath(&telemetry, true, false);
    assert_eq!(
        state(&telemetry),
        State::Live,
        "it was at the end a moment ago"
    );
    clock.advance(2_000);
    breath(&telemetry, true, false);
    assert_eq!(state(&telemetry), State::CatchingUp);
    let error = "not allowed: Read on topic \"x\"".to_owned();
    telemetry.observe(
        "web",
        &Fact::NotAtWork {
            error: error.clone(),
        },
    );
    breath(&telemetry, false, false);
    let report = telemetry.report();
    assert_eq!(report.jobs["web"].state, State::Failed);
    assert_eq!(report.jobs["web"].error, Some(error));
    breath(&telemetry, true, true);
    assert_eq!(state(&telemetry), State::Live);
}

#[test]
fn the_report_tells_lag_watermark_last_bucket_memory_and_snapshot() {
    let (clock, telemetry) = at_work();
    for partition in 0..2 {
        let at = TopicPartition::new("events", partition);
        assign(&telemetry, &at, 0);
        telemetry.observe(
            "web",
            &Fact::Consumed {
                at: &at,
                messages: 5,
                bytes: 50,
                lag: Some(3),
            },
        );
        let event_time_ms = 7_000 + i64::from(partition);
        telemetry.observe(
            "web",
            &Fact::Watermark {
                at: &at,
                event_time_ms,
            },
        );
    }
    let before = telemetry.report().jobs["web"].clone();
    assert_eq!(before.lag_messages, Some(6));
    assert_eq!(before.watermark_timestamp_ms, Some(7_000));
    assert_eq!((before.last_bucket, before.last_snapshot), (None, None));
    let summary = summary(SPAN_MS);
    telemetry.observe("web", &closed(&rollup(), &summary));
    clock.advance(5);
    for partition in 0..2 {
        let (at, messages) = (&TopicPartition::new("events", partition), 0);
        telemetry.observe("web", &Fact::Lag { at, messages });
    }
    breath(&telemetry, true, true);
    let report = telemetry.report();
    let job = &report.jobs["web"];
    assert_eq!(job.lag_messages, Some(0), "everything is read");
    let bucket = job.last_bucket.as_ref().unwrap();
    assert_eq!(
        (
            bucket.timestamp_ms,
            bucket.published_timestamp_ms,
            bucket.records
        ),
        (SPAN_MS, 1_000_000, 1)
    );
    assert_eq!(
        (job.memory.model_bytes, job.memory.status, job.memory.series),
        (1234, MemoryStatus::SoftLimit, 3)
    );
    let text = serde_json::to_string(&report).unwrap();
    for part in [
        r#"{"schema":"tidewatch.health/1","version":"#,
        r#""state":"live","error":null"#,
        r#""status":"soft_limit""#,
        r#"{"topic":"events","kafka_partition":1,"lag_messages":0,"watermark_timestamp_ms":7001,"replaying":false}"#,
    ] {
        assert!(text.contains(part), "{part}\nnot in {text}");
    }
}

/// Else the watermark of a healthy job would stand where a partition fell silent yesterday, and an alert with it.
#[test]
fn a_partition_that_nobody_waits_for_does_not_hold_back_the_watermark_until_it_speaks() {
    let (_, telemetry) = at_work();
    let parts = [0, 1].map(|partition| TopicPartition::new("events", partition));
    let speak =
        |at, event_time_ms| telemetry.observe("web", &Fact::Watermark { at, event_time_ms });
    let shown = || {
        let of_job = telemetry.report().jobs["web"].watermark_timestamp_ms;
        let gauge = telemetry.metrics.watermark.with_label_values(&["web"]);
        assert_eq!(of_job.map(seconds), Some(gauge.get()));
        of_job
    };
    speak(&parts[0], 7_000);
    speak(&parts[1], 1_000);
    assert_eq!(shown(), Some(1_000));
    telemetry.observe("web", &Fact::Idle { at: &parts[1] });
    assert_eq!(shown(), Some(7_000));
    speak(&parts[0], 8_000);
    assert_eq!(shown(), Some(8_000));
    // A feed that has stopped stands still.
    telemetry.observe("web", &Fact::Idle { at: &parts[0] });
    assert_eq!(shown(), Some(8_000));
    speak(&parts[1], 2_000);
    assert_eq!(shown(), Some(2_000));
}

#[test]
fn the_hottest_are_the_strongest_of_the_last_buckets_each_once_and_never_many() {
    let (_, telemetry) = at_work();
    let hot = |bucket: i64, id: &str, score| {
        telemetry
            .ledger()
            .hot("web", hot(id, bucket * SPAN_MS, score));
    };
    let closed = |bucket: i64| {
        let summary = summary(bucket * SPAN_MS);
        telemetry.observe("web", &closed(&rollup(), &summary));
    };
    let shown = || -> Vec<(String, f64)> {
        let hottest = &telemetry.report().jobs["web"].hottest;
        hottest
            .iter()
            .map(|hot| (hot.id.clone(), hot.record_score))
            .collect()
    };
    hot(0, "old", 99.0);
    closed(0);
    hot(1, "a", 30.0);
    hot(1, "b", 60.0);
    closed(1);
    hot(1, "a", 80.0);
    let expected = [("old", 99.0), ("a", 80.0), ("b", 60.0)];
    assert_eq!(shown(), expected.map(|(id, score)| (id.to_owned(), score)));
    closed(12);
    assert_eq!(shown().len(), 2, "the first bucket is out of view");
    for n in 0..10_000 {
        hot(12, &format!("n{n}"), 1.0);
    }
    assert_eq!(shown().len(), 10);
    assert!(telemetry.ledger().report(0, 0).jobs["web"].hottest.len() <= 10);
}

#[test]
fn what_tasks_measure_is_exported() {
    let (_, telemetry) = at_work();
    let mut measured = Measured {
        closings: vec![Duration::from_millis(3); 2],
        lateness_ms: 1_500,
        pruned: 4,
        ..Measured::default()
    };
    measured.lateness[0] = 8;
    measured.lateness[LATENESS_BOUNDS_MS.len()] = 1;
    telemetry.observe(
        "web",
        &Fact::Measured {
            measured: &measured,
        },
    );
    let exposition = telemetry.exposition();
    for line in [
        r#"tidewatch_event_lateness_seconds_bucket{job_id="web",le="0"} 8"#,
        r#"tidewatch_event_lateness_seconds_bucket{job_id="web",le="+Inf"} 9"#,
        r#"tidewatch_event_lateness_seconds_sum{job_id="web"} 1.5"#,
        r#"tidewatch_bucket_close_duration_seconds_count{job_id="web"} 2"#,
        r#"tidewatch_models_pruned_total{job_id="web"} 4"#,
        r#"tidewatch_build_info{revision=""#,
    ] {
        assert!(exposition.contains(line), "{line}\nnot in {exposition}");
    }
}

#[test]
fn timing_stats_are_elastics_of_what_was_judged_here() {
    let (_, telemetry) = at_work();
    let stats = || serde_json::to_string(&telemetry.report().jobs["web"].timing_stats).unwrap();
    assert_eq!(
        stats(),
        r#"{"bucket_count":0,"total_bucket_processing_time_ms":0.0}"#
    );
    for ms in [4, 104, 12] {
        let measured = &Measured {
            closings: vec![Duration::from_millis(ms)],
            ..Measured::default()
        };
        telemetry.observe("web", &Fact::Measured { measured });
    }
    // 4, then 4 + 0.01 * 100 = 5, then 5 + 0.01 * 7.
    let expected = r#"{"bucket_count":3,"total_bucket_processing_time_ms":120.0,"minimum_bucket_processing_time_ms":4.0,"maximum_bucket_processing_time_ms":104.0,"average_bucket_processing_time_ms":40.0,"exponential_average_bucket_processing_time_ms":5.07}"#;
    assert_eq!(stats(), expected);
}

#[test]
fn what_becomes_of_spans_is_counted_from_nothing() {
    let (_, telemetry) = at_work();
    let counted = |outcome: &str, count: u64| {
        let line = format!("tidewatch_trace_spans_total{{outcome=\"{outcome}\"}} {count}\n");
        assert!(telemetry.exposition().contains(&line), "{line}");
    };
    counted("exported", 0);
    let fact = Fact::Spans {
        exported: 5,
        dropped: 2,
        failed: 1,
        news: Some(Delivery::Overflows),
    };
    telemetry.observe("", &fact);
    counted("exported", 5);
    counted("dropped", 2);
    counted("failed", 1);
}

#[test]
fn a_job_that_comes_is_exported_at_zero_and_one_that_goes_takes_all_but_its_counts_along() {
    let scores = Scores::Entities { limit: 10 };
    let clock = Arc::new(ManualClock::at(1_000_000));
    let telemetry = Telemetry::with_scores(clock, &[], scores);
    let job = Arc::new(Job::from_text(JOB, "web.json").unwrap());
    telemetry.observe("web", &Fact::JobStarted { job: &job });
    let started = telemetry.exposition();
    for line in [
        r#"tidewatch_alerts_total{event="opened",job_id="web"} 0"#,
        r#"tidewatch_event_lateness_seconds_count{job_id="web"} 0"#,
        r#"tidewatch_bucket_close_duration_seconds_count{job_id="web"} 0"#,
        r#"tidewatch_models_pruned_total{job_id="web"} 0"#,
        r#"tidewatch_scores_left_out_total{job_id="web"} 0"#,
        r#"tidewatch_bucket_span_seconds{job_id="web"} 300"#,
    ] {
        assert!(started.contains(line), "{line}\nnot in {started}");
    }
    let report = telemetry.report().jobs["web"].clone();
    assert_eq!(report.bucket_span_ms, SPAN_MS);
    assert_eq!(report.memory.limit_bytes, job.model_memory_limit_bytes);

    let at = TopicPartition::new("events", 0);
    assign(&telemetry, &at, 0);
    let event_time_ms = 7_000;
    let at = &at;
    telemetry.observe("web", &Fact::Watermark { at, event_time_ms });
    let scores = telemetry.scores.as_ref().unwrap();
    scores.hear(&job, &super::scores::tests::plot(0, "a", 2.5));
    let summary = summary(0);
    telemetry.observe("web", &closed(&rollup(), &summary));
    assert!(telemetry.exposition().contains("tidewatch_y{"));

    telemetry.observe("web", &Fact::JobStopped);
    let stopped = telemetry.exposition();
    let left = stopped
        .lines()
        .filter(|line| line.contains("job_id=\"web\""));
    let gauges: Vec<&str> = left
        .filter(|line| {
            let name = line.split(['{', ' ']).next().unwrap();
            !["_total", "_bucket", "_sum", "_count"]
                .iter()
                .any(|end| name.ends_with(end))
        })
        .collect();
    assert_eq!(gauges, [""; 0]);
    assert!(telemetry.report().jobs.is_empty() && telemetry.health().ready);
}

#[test]
fn a_job_whose_topic_is_not_keyed_as_it_says_is_degraded_and_counted() {
    let (_, telemetry) = at_work();
    let counter = |count: u32| {
        let line = format!("tidewatch_misplaced_keys_total{{job_id=\"web\"}} {count}\n");
        telemetry.exposition().contains(&line)
    };
    let bucket = |total: u64, new: u64| {
        let sentence = (new > 0).then(|| "host a came from events/0 and events/1".to_owned());
        let misplaced_keys = MisplacedKeys {
            total,
            new,
            sentence,
        };
        let summary = BucketSummary {
            misplaced_keys,
            ..summary(0)
        };
        telemetry.observe("web", &closed(&rollup(), &summary));
        telemetry.report().jobs["web"].clone()
    };
    assert!(counter(0));
    assert_eq!(bucket(0, 0).degraded, None);
    let report = bucket(2, 2);
    assert!(report.degraded.unwrap().starts_with("2 values"));
    assert_eq!(report.misplaced_keys, 2);
    assert!(counter(2));
    assert!(bucket(2, 0).degraded.is_some(), "it stays so");
    assert!(counter(2));
}

#[test]
fn a_critical_bucket_is_one_line_with_the_sentence_of_its_loudest_record() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let log = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(Arc::new(file.reopen().unwrap()))
        .finish();
    let (_, telemetry) = at_work();
    let calm = summary(0);
    let critical = BucketSummary {
        records: vec![
            (0, Severity::Critical),
            (0, Severity::Minor),
            (0, Severity::Critical),
        ],
        loudest: Some(Loudest {
            record_score: 94.473_312_8,
            sentence: "The event count was 608.".into(),
        }),
        ..summary(300_000)
    };
    tracing::subscriber::with_default(log, || {
        for summary in [&calm, &critical] {
            telemetry.observe("web", &closed(&rollup(), summary));
        }
    });
    let lines = std::fs::read_to_string(file.path()).unwrap();
    assert_eq!(lines.lines().count(), 1, "{lines}");
    let said = "critical anomaly job_id=\"web\" bucket=1970-01-01T00:05:00Z records=2 score=94.0 sentence=\"The event count was 608.\"";
    assert!(lines.contains(said), "{lines}");
}

#[test]
fn events_that_come_late_by_the_thousand_are_a_line_now_and_then_that_counts_them() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let log = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(Arc::new(file.reopen().unwrap()))
        .finish();
    let (clock, telemetry) = at_work();
    let at = TopicPartition::new("tidewatch.web.closed", 0);
    tracing::subscriber::with_default(log, || {
        for _ in 0..20 {
            for _ in 0..100 {
                telemetry.observe("web", &Fact::LateForJudge { at: &at, events: 3 });
            }
            breath(&telemetry, true, true);
            clock.advance(1_000);
        }
        telemetry.observe("web", &Fact::JobStopped);
    });
    let lines = std::fs::read_to_string(file.path()).unwrap();
    let late = lines.lines().filter(|line| line.contains("judged"));
    let said: Vec<&str> = late
        .map(|line| line.split("events=").nth(1).unwrap_or(line))
        .collect();
    assert_eq!(said, ["300", "3000", "2700"], "{lines}");
}

#[test]
fn the_report_says_why_a_snapshot_was_not_stored_until_one_is() {
    let (_, telemetry) = at_work();
    let error = || telemetry.report().jobs["web"].snapshot_error.clone();
    assert_eq!(error(), None);
    let key = SnapshotKey {
        task: "web/logs/0".into(),
        lineage: 1,
        offset: 7,
    };
    let full = Fact::SnapshotFailed {
        key: &key,
        error: "no space left on device".into(),
    };
    telemetry.observe("web", &full);
    assert_eq!(error().as_deref(), Some("logs/0: no space left on device"));
    let stored = Fact::Snapshot {
        key: &key,
        bytes: 5,
        duration_ms: 3,
    };
    telemetry.observe("web", &stored);
    assert_eq!(error(), None);
}

/// Else its error would stand or fall with those of other tasks: one that cannot be stored for days would show for minutes only.
#[test]
fn the_failing_snapshots_of_one_task_are_not_forgotten_for_another_that_is_stored() {
    let (_, telemetry) = at_work();
    let parts = [0, 1].map(|partition| TopicPartition::new("logs", partition));
    parts.iter().for_each(|at| assign(&telemetry, at, 0));
    let key = |at: &TopicPartition| SnapshotKey {
        task: format!("web/{at}"),
        lineage: 1,
        offset: 7,
    };
    let keys = [key(&parts[0]), key(&parts[1])];
    let shown = || {
        let error = telemetry.report().jobs["web"].snapshot_error.clone();
        let gauge = &telemetry.metrics.snapshots_failing;
        (error, gauge.with_label_values(&["web"]).get())
    };
    let fail = |key, error: &str| {
        let error = error.to_owned();
        telemetry.observe("web", &Fact::SnapshotFailed { key, error });
    };
    let store = |key| {
        let (bytes, duration_ms) = (5, 3);
        let stored = Fact::Snapshot {
            key,
            bytes,
            duration_ms,
        };
        telemetry.observe("web", &stored);
    };
    fail(&keys[0], "full");
    store(&keys[1]);
    assert_eq!(shown(), (Some("logs/0: full".into()), 1.0));
    fail(&keys[1], "gone");
    assert_eq!(shown(), (Some("logs/0: full (and 1 more)".into()), 2.0));
    store(&keys[0]);
    assert_eq!(shown(), (Some("logs/1: gone".into()), 1.0));
    let (partitions, how) = (&parts[1..], Revocation::Released);
    telemetry.observe("web", &Fact::Revoked { partitions, how });
    assert_eq!(shown(), (None, 0.0));
    let (at, error) = (&parts[1], "no answer".to_owned());
    telemetry.observe("web", &Fact::SnapshotsAwaited { at, error });
    assert_eq!(shown().1, 1.0);
    assign(&telemetry, at, 0);
    assert_eq!(shown(), (None, 0.0));
}

/// Else two instances would show the scores of one job, and those of the one that has left for ever.
#[test]
fn whoever_gives_away_the_writing_of_results_shows_none_of_them_any_more() {
    let job = Arc::new(Job::from_text(JOB, "web.json").unwrap());
    let clock = ManualClock::at(1_000_000);
    let jobs = [Arc::clone(&job)];
    let telemetry = Telemetry::with_scores(Arc::new(clock), &jobs, Scores::Entities { limit: 10 });
    let input = TopicPartition::new("logs", 0);
    for at in [&input, &rollup()] {
        assign(&telemetry, at, 0);
    }
    let scores = telemetry.scores.as_ref().unwrap();
    scores.hear(&job, &scores::tests::plot(0, "a", 2.5));
    telemetry.ledger().hot("web", hot("a", 0, 99.0));
    telemetry.observe("web", &closed(&rollup(), &summary(0)));
    let names = [
        "tidewatch_models{",
        "tidewatch_model_memory_bytes{",
        "tidewatch_model_refusals{",
        "tidewatch_y{",
    ];
    let shown = || {
        let text = telemetry.exposition();
        let gauges = names.map(|name| text.contains(name));
        let job = telemetry.report().jobs["web"].clone();
        (gauges, job.last_bucket.is_some(), job.hottest.len())
    };
    assert_eq!(shown(), ([true; 4], true, 1));
    let leave = |partitions: &[TopicPartition]| {
        let how = Revocation::Released;
        telemetry.observe("web", &Fact::Revoked { partitions, how });
    };
    leave(&[input]);
    assert_eq!(shown(), ([true; 4], true, 1), "another task");
    leave(&[rollup()]);
    assert_eq!(shown(), ([false; 4], false, 0));
    let memory = telemetry.report().jobs["web"].memory;
    assert_eq!(memory.limit_bytes, job.model_memory_limit_bytes);
}

#[test]
fn the_lag_of_a_topic_is_each_jobs_own() {
    let texts = [JOB.to_owned(), JOB.replace("web", "other")];
    let jobs = texts.map(|text| Arc::new(Job::from_text(&text, "x.json").unwrap()));
    let telemetry = Telemetry::new(Arc::new(ManualClock::at(0)), &jobs);
    let at = TopicPartition::new("logs", 0);
    for (job_id, messages) in [("web", 5), ("other", 0)] {
        telemetry.observe(job_id, &Fact::Lag { at: &at, messages });
    }
    let lags = || {
        let text = telemetry.exposition();
        let lines = text
            .lines()
            .filter(|line| line.starts_with("tidewatch_consumer_lag"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let line = |job_id: &str, lag| {
        format!(
            "tidewatch_consumer_lag_messages{{job_id=\"{job_id}\",kafka_partition=\"0\",topic=\"logs\"}} {lag}"
        )
    };
    assert_eq!(lags(), [line("other", 0), line("web", 5)]);
    let (partitions, how) = (std::slice::from_ref(&at), Revocation::Lost);
    telemetry.observe("other", &Fact::Revoked { partitions, how });
    assert_eq!(lags(), [line("web", 5)]);
}
