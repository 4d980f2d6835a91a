//! `tidewatch backtest` as a person or a pipeline meets it: the built binary, generated history with known incidents, labels in files.

use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use tempfile::TempDir;

const JOB: &str = "
job_id: test
analysis_config:
  bucket_span: 5m
  detectors: [{function: mean, field_name: value, partition_field_name: host}]
  influencers: [user]
data_description: {time_field: time}
";

/// The same over buckets of an hour, in which short incidents drown.
const COARSE: &str = "
job_id: coarse
analysis_config:
  bucket_span: 1h
  detectors: [{function: mean, field_name: value, partition_field_name: host}]
data_description: {time_field: time}
";

/// 2026-03-02T00:00:00Z
const BEGIN: i64 = 1_772_409_600;
const STEP: i64 = 300;
/// Six days of five minutes.
const STEPS: i64 = 6 * 288;
/// Steps at which host a goes wrong, for two of them; a day apart at least, and each worse than what was known before.
const INCIDENTS: [i64; 3] = [1_000, 1_300, 1_600];

/// A history, a job, and labels for it.
static DIR: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let mut events = String::from("time,host,user,value\n");
    let mut noise = 12345u64;
    for step in 0..STEPS {
        for host in ["a", "b"] {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let incident = INCIDENTS
                .iter()
                .position(|at| (*at..at + 2).contains(&step));
            let excess = match incident {
                Some(which) if host == "a" => 1_000.0 * 20f64.powi(which as i32),
                _ => 0.0,
            };
            let value = 100.0 + (noise >> 40) as f64 / 1e6 + excess;
            let ms = 1000 * (BEGIN + step * STEP);
            writeln!(events, "{ms},{host},eva,{value:.3}").unwrap();
        }
    }
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("events.csv", &events);
    write("job.yaml", JOB);
    write("coarse.yaml", COARSE);
    write("labels.csv", &labels(0, "a"));
    dir
});

/// Labels as CSV, so many steps late.
fn labels(late: i64, host: &str) -> String {
    let mut text = String::from("start,end,host,label\n");
    for at in INCIDENTS {
        let start = BEGIN + (at + late) * STEP;
        writeln!(text, "{start},{},{host},incident {at}", start + 2 * STEP).unwrap();
    }
    text
}

fn tidewatch(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidewatch"))
        .current_dir(DIR.path())
        .env_remove("TIDEWATCH_LOG")
        .stdin(Stdio::null())
        .args(args)
        .output()
        .unwrap()
}

/// The command with more arguments.
fn backtest(more: &[&str]) -> Output {
    tidewatch(&[&["backtest", "job.yaml", "events.csv"], more].concat())
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The figures as JSON; the command succeeds.
fn figures(more: &[&str]) -> Value {
    let output = backtest(&[more, &["--format", "json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

/// A file beside the events.
fn file(name: &str, text: impl AsRef<[u8]>) -> String {
    fs::write(DIR.path().join(name), text).unwrap();
    name.to_owned()
}

#[test]
fn known_incidents_are_found_in_their_first_bucket_and_blamed_on_the_right_host() {
    let all = figures(&["--labels", "labels.csv", "--threshold", "60"]);
    assert_eq!(all["labels"]["windows"], 3);
    let measured = &all["measured"];
    assert_eq!(measured["coverage"]["buckets"], STEPS);
    assert_eq!(
        measured["coverage"]["series_days"].as_f64().map(f64::round),
        Some(12.0)
    );
    let point = &measured["at_threshold"];
    assert_eq!(point["found"], 3, "{point:#}");
    assert_eq!(point["recall"], 1.0);
    assert_eq!(
        point["delay_ms_median"],
        STEP * 1000,
        "a bucket: nobody can know before it is over"
    );
    assert_eq!(point["first_blame"]["right"], 3);
    let windows = measured["windows"].as_array().unwrap();
    assert_eq!(windows[0]["label"], "incident 1000");
    assert_eq!(windows[0]["alert"]["fields"]["host"], "a");
    let table = measured["table"].as_array().unwrap();
    let thresholds: Vec<f64> = table
        .iter()
        .map(|row| row["threshold"].as_f64().unwrap())
        .collect();
    assert_eq!(thresholds, [75.0, 60.0, 50.0, 25.0]);
    assert!(measured["average_precision"].as_f64().unwrap() > 0.9);
    assert!(measured["best"]["f1"].as_f64().unwrap() > 0.8);
}

#[test]
fn every_form_of_the_same_labels_gives_the_same_figures() {
    let instants = INCIDENTS.map(|at| (BEGIN + at * STEP, BEGIN + (at + 1) * STEP));
    let pairs: Vec<String> = instants
        .iter()
        .map(|(a, b)| format!("[{a}, {b}]"))
        .collect();
    let segments: Vec<String> = instants
        .iter()
        .map(|(a, b)| format!(r#"{{"start": {a}, "end": {b}, "metrics": ["a"]}}"#))
        .collect();
    let lines: Vec<String> = instants
        .iter()
        .map(|(a, b)| {
            format!(
                r#"{{"start": {a}, "end": {}, "entity": {{"host": "a"}}}}"#,
                b + STEP
            )
        })
        .collect();
    let figures = |labels: &str| {
        let all = figures(&["--labels", labels, "--threshold", "60"]);
        let point = &all["measured"]["at_threshold"];
        ["found", "windows", "false_alerts", "delay_ms_p90"].map(|key| point[key].clone())
    };
    let expected = figures("labels.csv");
    for (name, text) in [
        (
            "nab.json",
            format!(
                r#"{{"events.csv": [{}], "other.csv": []}}"#,
                pairs.join(", ")
            ),
        ),
        ("list.json", format!("[{}]", pairs.join(", "))),
        (
            "segments.json",
            format!(r#"{{"a": {{"segments": [{}]}}}}"#, segments.join(", ")),
        ),
        ("lines.ndjson", lines.join("\n")),
    ] {
        assert_eq!(figures(&file(name, text)), expected, "{name}");
    }
}

#[test]
fn what_cannot_be_found_is_told_apart_from_what_was_missed() {
    // In time, but where nothing happened; before the events; of a host that is not there.
    let late = figures(&["--labels", &file("late.csv", labels(100, "a"))]);
    assert_eq!(late["measured"]["at_threshold"]["recall"], 0.0);
    assert_eq!(late["measured"]["at_threshold"]["windows"], 3);
    let outside = figures(&["--labels", &file("outside.csv", labels(-STEPS, "a"))]);
    assert_eq!(outside["labels"]["outside"], 3);
    assert_eq!(outside["measured"]["at_threshold"]["recall"], Value::Null);
    let unseen = figures(&["--labels", &file("unseen.csv", labels(0, "c"))]);
    assert_eq!(unseen["labels"]["unseen"], 3);
    // The job still learns: neither windows nor alerts count.
    let from = (BEGIN + 1_200 * STEP).to_string();
    let later = figures(&[
        "--labels",
        "labels.csv",
        "--from",
        &from,
        "--threshold",
        "60",
    ]);
    assert_eq!(later["labels"]["outside"], 1);
    assert_eq!(later["measured"]["at_threshold"]["found"], 2);
    assert_eq!(later["measured"]["coverage"]["buckets"], STEPS - 1_200);
}

#[test]
fn without_labels_alerts_are_counted() {
    let all = figures(&["--threshold", "60"]);
    assert_eq!(all["labels"], Value::Null);
    let point = &all["measured"]["at_threshold"];
    assert!(point["alerts"].as_u64().unwrap() >= 3, "{point}");
    assert_eq!(point["found"], Value::Null);
    let text = stdout(&backtest(&[]));
    assert!(text.contains("\nAlerts at a score of 75"), "{text}");
}

#[test]
fn nothing_differs_from_itself_as_a_job_a_build_or_results() {
    let results = tidewatch(&["detect", "job.yaml", "events.csv", "--format", "ndjson"]);
    let results = file("results.ndjson", results.stdout);
    for other in ["job.yaml", env!("CARGO_BIN_EXE_tidewatch"), &results] {
        let all = figures(&[
            "--labels",
            "labels.csv",
            "--threshold",
            "60",
            "--against",
            other,
        ]);
        let (here, there) = (&all["measured"], &all["against"]["measured"]);
        for part in [
            "at_threshold",
            "table",
            "curve",
            "windows",
            "coverage",
            "records",
        ] {
            assert_eq!(here[part], there[part], "{other}: {part}");
        }
        let difference = &all["against"]["difference"];
        assert_eq!(difference["found_by_both"], 3, "{other}");
        for part in [
            "found_only_here",
            "found_only_there",
            "false_only_here",
            "false_only_there",
        ] {
            assert_eq!(
                difference[part],
                Value::Array(Vec::new()),
                "{other}: {part}"
            );
        }
        assert_eq!(
            (&difference["p_found"], &difference["p_false"]),
            (&1.0.into(), &1.0.into())
        );
    }
}

#[test]
fn a_job_that_finds_less_is_told_window_by_window() {
    let all = figures(&[
        "--labels",
        "labels.csv",
        "--threshold",
        "60",
        "--against",
        "coarse.yaml",
    ]);
    let difference = &all["against"]["difference"];
    let only = difference["found_only_here"].as_array().unwrap();
    assert_eq!(
        only.len() as u64 + difference["found_by_both"].as_u64().unwrap(),
        3
    );
    assert_eq!(
        all["against"]["measured"]["coverage"]["buckets"],
        STEPS / 12
    );
    let text = stdout(&backtest(&[
        "--labels",
        "labels.csv",
        "--against",
        "coarse.yaml",
    ]));
    assert!(
        text.contains("\nAgainst coarse.yaml\n144 buckets of 1h"),
        "{text}"
    );
    assert!(
        text.lines().all(|line| line.chars().count() <= 110),
        "{text}"
    );
}

#[test]
fn limits_fail_the_command_and_say_why() {
    let ok = backtest(&[
        "-l",
        "labels.csv",
        "--threshold",
        "60",
        "--fail-under",
        "1",
        "--fail-over",
        "1e6",
    ]);
    assert_eq!(ok.status.code(), Some(0), "{}", stderr(&ok));
    let late = file("too_late.csv", labels(100, "a"));
    let outside = file("too_early.csv", labels(-STEPS, "a"));
    for (labels, limit, says) in [
        (
            &late,
            ["--fail-under", "0.5"],
            "a recall of 0.000 is under 0.5 at a score of 60",
        ),
        (
            &late,
            ["--fail-over", "0"],
            "false alerts for 1,000 series-days are over 0",
        ),
        (
            &outside,
            ["--fail-under", "0.5"],
            "no window to be found, hence no recall",
        ),
    ] {
        let output = backtest(&[&["-l", labels, "--threshold", "60"], &limit[..]].concat());
        assert_eq!(output.status.code(), Some(1), "{limit:?}");
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
        assert!(
            stdout(&output).contains("buckets of 5m"),
            "the figures are told all the same"
        );
    }
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_read() {
    let user = file("other_field.csv", "start,end,city\n1,2,Rome\n");
    let empty = file("empty.csv", "");
    let backwards = file("backwards.csv", "start,end\n2026-03-02,2026-03-01\n");
    let binary = file("binary.csv", b"\xff\x00\x00");
    let wide = file("wide.csv", b"\xff\xfes\0");
    let broken = file(
        "broken.ndjson",
        "{\"result_type\": \"bucket\"}\n{\"result_type\": \"rec",
    );
    for (args, code, says) in [
        (
            &["-l", "none.csv"][..],
            1,
            "labels none.csv: cannot be read",
        ),
        (&["-l", "."], 1, "labels .: cannot be read"),
        (&["-l", &empty], 1, "labels empty.csv: the file is empty"),
        (
            &["-l", &backwards],
            1,
            "line 2: it ends (2026-03-01T00:00:00Z) before it starts",
        ),
        (
            &["-l", &wide],
            1,
            "labels wide.csv: cannot be read: looks like UTF-16",
        ),
        (
            &["-l", &binary],
            1,
            "labels binary.csv: byte 0 is not UTF-8",
        ),
        (
            &["-l", &user],
            1,
            "can name the field \"city\", by which it neither splits nor has it as an influencer; fields of records: host, user",
        ),
        (
            &["-l", "events.csv"],
            1,
            "expected CSV with the columns start and end",
        ),
        (&["--against", "none"], 1, "--against none"),
        (
            &["--against", "labels.csv"],
            1,
            "neither a program nor results",
        ),
        (
            &["--against", &broken],
            1,
            "--against broken.ndjson: line 2",
        ),
        (
            &["--against", "job.yaml", "-"],
            1,
            "standard input can be read once",
        ),
        (
            &["-l", "-", "-"],
            1,
            "events, --labels and --against cannot share standard input",
        ),
        (
            &["--alert-per", "city"],
            1,
            "a field by which the job splits (host)",
        ),
        (
            &["--out", "events.csv"],
            1,
            "--out events.csv would overwrite what is read",
        ),
        (
            &["-l", "labels.csv", "--out", "labels.csv"],
            1,
            "would overwrite what is read",
        ),
        (&["--threshold", "NaN"], 2, "expected a score from 1 to 100"),
        (&["--threshold", "0"], 2, "expected a score from 1 to 100"),
        (&["--quiet", "soon"], 2, "is not a duration"),
        (&["--from", "yesterday"], 2, "is neither ISO 8601"),
        (&["--fail-under", "0.5"], 2, "--labels"),
        (
            &["-l", "labels.csv", "--fail-under", "80"],
            2,
            "expected a share from 0 to 1",
        ),
    ] {
        let output = backtest(args);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(says),
            "{args:?}: {}",
            stderr(&output)
        );
        assert_eq!(stdout(&output), "", "{args:?}");
    }
    assert!(fs::metadata(DIR.path().join("events.csv")).unwrap().len() > 0);
}

#[test]
fn a_history_that_breaks_off_and_a_build_that_fails_are_not_measured() {
    use std::io::Write;
    let events = fs::read(DIR.path().join("events.csv")).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&events).unwrap();
    let whole = gzip.finish().unwrap();
    let cut = file("cut.csv.gz", &whole[..whole.len() / 2]);
    let output = tidewatch(&["backtest", "job.yaml", &cut]);
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (Some(1), "")
    );
    assert!(
        stderr(&output).contains("cut.csv.gz"),
        "{}",
        stderr(&output)
    );

    let script = file("old-build", "#!/bin/sh\nexit 3\n");
    executable(&DIR.path().join(&script));
    let output = backtest(&["--against", &script]);
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (Some(1), "")
    );
    assert!(
        stderr(&output).contains("old-build detect: it failed (exit status: 3)"),
        "{}",
        stderr(&output)
    );
}

fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_table_fits_and_stdin_and_out_do_what_they_do_elsewhere() {
    let text = stdout(&backtest(&[
        "--labels",
        "labels.csv",
        "--threshold",
        "60",
        "--top",
        "2",
    ]));
    for part in [
        "3 windows to be found",
        "alert 60  3 of 3",
        "best F1",
        "Average precision",
        "Windows at a score of 60 (the first 2 of 3)\nfound after     5m",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        text.lines().all(|line| line.chars().count() <= 110),
        "{text}"
    );
    let piped = Command::new(env!("CARGO_BIN_EXE_tidewatch"))
        .current_dir(DIR.path())
        .args([
            "backtest",
            "job.yaml",
            "--labels",
            "labels.csv",
            "--threshold",
            "60",
            "--top",
            "2",
            "--out",
            "told.txt",
        ])
        .stdin(fs::File::open(DIR.path().join("events.csv")).unwrap())
        .output()
        .unwrap();
    assert_eq!(piped.status.code(), Some(0), "{}", stderr(&piped));
    assert_eq!(
        fs::read_to_string(DIR.path().join("told.txt")).unwrap(),
        text
    );
}
