//! The command line as a person or a script meets it: the built binary, real files, pipes and exit codes.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;
use tidewatch::runtime::store::{DirectoryStore, SnapshotKey, SnapshotStore};

const JOB: &str = "
job_id: test
analysis_config:
  bucket_span: 1m
  detectors: [{function: count}, {function: mean, field_name: latency_ms, by_field_name: host.name}]
  influencers: [host.name]
data_description: {time_field: '@timestamp'}
";

fn tidewatch(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewatch"));
    command
        .current_dir(dir)
        .env_remove("TIDEWATCH_LOG")
        .stdin(Stdio::null());
    command
}

fn run(dir: &Path, args: &[&str]) -> Output {
    tidewatch(dir).args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

/// A directory with a job and what else is given.
fn dir(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("job.yaml"), JOB).unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

/// One event a second from 2026-03-02 on, in the n-th minute.
fn event(second: u32, host: &str) -> String {
    let (minute, second) = (second / 60, second % 60);
    let (hour, minute) = (minute / 60, minute % 60);
    format!(
        "{{\"@timestamp\":\"2026-03-02T{hour:02}:{minute:02}:{second:02}Z\",\"host\":{{\"name\":\"{host}\"}},\"latency_ms\":20}}\n"
    )
}

fn documents(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect()
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> Vec<&'a Value> {
    documents
        .iter()
        .filter(|document| document["result_type"] == kind)
        .collect()
}

/// Sum of the final buckets' event counts, the last word of each id.
fn events_in_buckets(documents: &[Value]) -> u64 {
    let buckets: BTreeMap<i64, u64> = of_kind(documents, "bucket")
        .iter()
        .map(|bucket| {
            (
                bucket["timestamp"].as_i64().unwrap(),
                bucket["event_count"].as_u64().unwrap(),
            )
        })
        .collect();
    buckets.values().sum()
}

#[test]
fn exit_codes_tell_wrong_usage_from_failure_from_success() {
    let dir = dir(&[("events.ndjson", &event(0, "a")), ("bad.yaml", "job_id: x")]);
    for (args, expected, says) in [
        (&["--help"][..], 0, "Usage: tidewatch"),
        (&["--version"], 0, "tidewatch 0."),
        (&[], 2, "Usage: tidewatch"),
        (&["dance"], 2, "unrecognized subcommand 'dance'"),
        (&["detect"], 2, "<JOB>"),
        (
            &["simulate", "--days", "1", "--events", "5"],
            2,
            "cannot be used with",
        ),
        (
            &["simulate", "nowhere.yaml"],
            1,
            "nowhere.yaml: neither a file nor a built-in scenario",
        ),
        (&["detect", "none.yaml", "events.ndjson"], 1, "none.yaml"),
        (
            &["detect", "bad.yaml", "events.ndjson"],
            1,
            "analysis_config",
        ),
        (&["detect", "job.yaml", "none.ndjson"], 1, "none.ndjson"),
        (
            &["detect", "job.yaml", "events.ndjson", "--out", "no/where"],
            1,
            "no/where",
        ),
        (
            &["simulate", "--days", "-1"],
            1,
            "-1 is not a number from 0 to 36525",
        ),
        (
            &["simulate", "--from", "9999-12-31"],
            1,
            "a time between the years 1 and 9899",
        ),
        (&["--log-level", "a=b=c", "simulate", "--list"], 1, "a=b=c"),
        (
            &["detect", "job.yaml", "events.ndjson"],
            0,
            "\"result_type\":\"bucket\"",
        ),
        (
            &[
                "detect",
                "job.yaml",
                "events.ndjson",
                "--format",
                "table",
                "--kinds",
                "bucket",
            ],
            1,
            "--kinds chooses documents of NDJSON",
        ),
        (&["detect", "--help"], 0, "categorizer_stats"),
        (&["validate", "job.yaml"], 0, "job.yaml: ok"),
        (&["explain", "job.yaml"], 1, "names no topic"),
        (
            &["explain", "none.yaml", "--partitions", "a=x"],
            2,
            "such as web-logs=12",
        ),
        (&["topics"], 2, "--plan"),
        (
            &["topics", "--plan", "--config", "none.yaml"],
            1,
            "none.yaml: cannot be read",
        ),
        (&["jobs", "list", "--config", "none.yaml"], 1, "none.yaml"),
        (&["jobs", "stop"], 2, "<JOB>..."),
        (
            &[
                "jobs", "replay", "a", "--from", "then", "--to", "1", "--as", "b",
            ],
            2,
            "neither a day such as",
        ),
        (&["validate", "job.yaml", "bad.yaml"], 1, "analysis_config"),
    ] {
        let output = run(dir.path(), args);
        let text = stdout(&output) + &stderr(&output);
        assert_eq!(code(&output), expected, "{args:?}: {text}");
        assert!(text.contains(says), "{args:?}: {text}");
    }
}

#[test]
fn every_bad_event_is_counted_and_kept_by_its_reason_and_every_good_one_is_analysed() {
    let deep = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
    let long = format!(
        "{{\"@timestamp\":\"2026-03-02T00:00:30Z\",\"text\":\"{}\"}}",
        "x".repeat(2 << 20)
    );
    let bad = [
        (
            "malformed",
            "{\"@timestamp\":\"2026-03-02T00:00:30Z\",\"host\":",
        ),
        ("malformed", "no event at all"),
        ("wrong_type", "[1, 2]"),
        ("wrong_type", "{\"@timestamp\":{\"day\":1}}"),
        ("missing_time", "{\"host\":{\"name\":\"a\"}}"),
        ("bad_time", "{\"@timestamp\":\"next Tuesday\"}"),
        ("too_deep", &deep),
        ("too_long", &long),
        ("far_future", "{\"@timestamp\":\"2031-03-02T00:00:30Z\"}"),
        ("late", "{\"@timestamp\":\"2026-03-01T00:00:30Z\"}"),
    ];
    let mut text = String::new();
    let mut good = 0;
    for minute in 0..4 {
        for second in 0..20 {
            text += &event(minute * 60 + second, "a");
            good += 1;
        }
        if minute == 1 {
            for (_, line) in &bad {
                text += &format!("{line}\n{}", event(minute * 60 + 20, "b"));
                good += 1;
            }
        }
    }
    let dir = dir(&[("events.ndjson", &text)]);
    let output = run(
        dir.path(),
        &[
            "detect",
            "job.yaml",
            "events.ndjson",
            "--rejected",
            "rejected.ndjson",
        ],
    );
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let documents = documents(&stdout(&output));
    assert_eq!(events_in_buckets(&documents), good);
    let counts = *of_kind(&documents, "data_counts").last().unwrap();
    assert_eq!(counts["processed_record_count"], good);

    let mut expected = BTreeMap::<&str, u64>::new();
    // `[1, 2]` holds two things that are no events.
    bad.iter().for_each(|(reason, line)| {
        *expected.entry(reason).or_default() += if *line == "[1, 2]" { 2 } else { 1 }
    });
    let kept = fs::read_to_string(dir.path().join("rejected.ndjson")).unwrap();
    for (reason, expected) in expected {
        assert_eq!(
            counts["rejected_event_counts"][reason], expected,
            "{reason}: {counts}"
        );
        let lines: Vec<Value> = kept
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|line: &Value| line["reason"] == reason)
            .collect();
        assert_eq!(lines.len() as u64, expected, "{reason}");
        for line in lines {
            assert!(!line["detail"].as_str().unwrap().is_empty());
            let origin = line["origin"].as_str().unwrap();
            assert!(origin.starts_with("events.ndjson:"), "{line}");
            assert!(
                line["detail"]
                    .as_str()
                    .unwrap()
                    .starts_with(&format!("{origin}: ")),
                "the detail begins with file and line: {line}"
            );
            assert!(!line["raw"].as_str().unwrap().is_empty(), "{line}");
        }
    }
    let late = kept.lines().find(|line| line.contains("\"late\"")).unwrap();
    assert!(
        late.contains("2026-03-01T00:00:30Z"),
        "the late event itself is kept: {late}"
    );
}

#[test]
fn what_was_read_of_a_file_that_breaks_off_is_told_and_the_exit_code_says_that_it_broke() {
    let events: String = (0..3600).map(|second| event(second, "a")).collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(events.as_bytes()).unwrap();
    let whole = gzip.finish().unwrap();
    let dir = dir(&[]);
    fs::write(dir.path().join("cut.gz"), &whole[..whole.len() * 4 / 5]).unwrap();
    let detect = |options: &[&str]| {
        let output = run(
            dir.path(),
            &[&["detect", "job.yaml", "cut.gz"], options].concat(),
        );
        assert_eq!(code(&output), 1);
        assert!(
            stderr(&output).contains("tidewatch: cut.gz: "),
            "{output:?}"
        );
        stdout(&output)
    };
    let told = events_in_buckets(&documents(&detect(&[])));
    assert!(
        told > 1800 && told.is_multiple_of(60),
        "whole buckets only: {told}"
    );
    let table = detect(&["--format", "table"]);
    assert!(
        table.contains(" events, ") && table.contains("none rejected"),
        "{table}"
    );
    detect(&["--state", "half.state"]);
    assert!(
        !dir.path().join("half.state").exists(),
        "half a file is no state to go on from"
    );
}

#[test]
fn no_output_overwrites_an_input_or_another_output() {
    let dir = dir(&[("events.ndjson", &event(0, "a"))]);
    for (options, says) in [
        (
            &["--out", "events.ndjson"][..],
            "--out events.ndjson would overwrite what is read",
        ),
        (
            &["--rejected", "./events.ndjson"],
            "--rejected events.ndjson would overwrite",
        ),
        (&["--state", "job.yaml"], "--state job.yaml would overwrite"),
        (
            &["--rejected", "-"],
            "--out and --rejected cannot both be standard output",
        ),
        (
            &["--out", "x", "--rejected", "x"],
            "--out and --rejected cannot both be x",
        ),
    ] {
        let output = run(
            dir.path(),
            &[&["detect", "job.yaml", "events.ndjson"], options].concat(),
        );
        assert_eq!(code(&output), 1, "{options:?}");
        assert!(
            stderr(&output).contains(says),
            "{options:?}: {}",
            stderr(&output)
        );
    }
    assert_eq!(
        fs::read_to_string(dir.path().join("events.ndjson")).unwrap(),
        event(0, "a")
    );
    let devices = ["--out", "/dev/null", "--rejected", "/dev/null"];
    let output = run(
        dir.path(),
        &[&["detect", "job.yaml", "events.ndjson"], &devices[..]].concat(),
    );
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
fn the_manuals_example_of_mistakes_is_what_validate_says() {
    let page = include_str!("../docs/job-configuration.md");
    let block = |kind: &str| {
        page.split(kind)
            .nth(1)
            .unwrap()
            .split("```")
            .next()
            .unwrap()
    };
    let wrong = block("```yaml\n")
        .replace("bucket_span", "bucket_spam")
        .replace("function: mean", "function: hihg_mean");
    let dir = dir(&[("web.yaml", &wrong)]);
    let output = run(dir.path(), &["validate", "web.yaml"]);
    assert_eq!(code(&output), 1);
    let session = block("```console\n");
    assert_eq!(
        format!("$ tidewatch validate web.yaml\n{}", stdout(&output)),
        session
    );
}

/// A `detect` that reads from a pipe; its stdout arrives line by line.
fn live(dir: &Path) -> (Child, impl FnMut() -> Option<Value>) {
    let mut child = tidewatch(dir)
        .args(["detect", "job.yaml", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, move || {
        Some(serde_json::from_str(&lines.next()?.unwrap()).unwrap())
    })
}

#[test]
fn a_bucket_of_a_pipe_is_told_as_soon_as_it_is_over() {
    let dir = dir(&[]);
    let (mut child, mut next) = live(dir.path());
    let mut stdin = child.stdin.take().unwrap();
    for second in 0..61 {
        stdin.write_all(event(second, "a").as_bytes()).unwrap();
    }
    stdin.flush().unwrap();
    // The pipe is still open: this would wait for ever if anything on the way waited for more.
    let bucket = loop {
        let document = next().unwrap();
        if document["result_type"] == "bucket" {
            break document;
        }
    };
    assert_eq!(bucket["event_count"], 60);
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[cfg(unix)]
#[test]
fn an_interrupted_pipe_ends_with_130_and_leaves_the_open_bucket_unjudged() {
    let dir = dir(&[]);
    let (mut child, mut next) = live(dir.path());
    let mut stdin = child.stdin.take().unwrap();
    for second in 0..61 {
        stdin.write_all(event(second, "a").as_bytes()).unwrap();
    }
    stdin.flush().unwrap();
    let first = next().unwrap();
    assert!(
        Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    std::thread::sleep(std::time::Duration::from_millis(100));
    drop(stdin);
    let mut documents = vec![first];
    documents.extend(std::iter::from_fn(&mut next));
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(events_in_buckets(&documents), 60);
}

#[test]
fn a_reader_that_goes_away_ends_a_command_quietly() {
    let dir = dir(&[]);
    let mut child = tidewatch(dir.path())
        .args(["simulate", "calm"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
}

#[test]
fn a_seed_and_its_options_decide_every_byte_of_a_feed_and_its_labels() {
    let dir = dir(&[]);
    let simulate = |seed: &str, name: &str| {
        let labels = format!("{name}.labels");
        let args = [
            "simulate", "web", "--rate", "0.01", "--seed", seed, "-o", name, "--labels", &labels,
        ];
        assert_eq!(code(&run(dir.path(), &args)), 0);
        (
            fs::read_to_string(dir.path().join(name)).unwrap(),
            fs::read_to_string(dir.path().join(&labels)).unwrap(),
        )
    };
    let (first, labels) = simulate("7", "a");
    assert_eq!((first.clone(), labels.clone()), simulate("7", "b"));
    assert_ne!(first, simulate("8", "c").0);
    assert_eq!(labels.lines().count(), 6);
    let to_stdout = run(
        dir.path(),
        &["simulate", "web", "--rate", "0.01", "--seed", "7"],
    );
    assert_eq!(stdout(&to_stdout), first);
}

#[test]
fn a_feed_stops_after_the_events_asked_for_and_labels_only_what_it_reached() {
    let dir = dir(&[]);
    let output = run(
        dir.path(),
        &["simulate", "web", "--events", "500", "--labels", "labels"],
    );
    assert_eq!(stdout(&output).lines().count(), 500);
    assert_eq!(fs::read_to_string(dir.path().join("labels")).unwrap(), "");
}

#[test]
fn results_rejections_and_state_are_the_same_on_any_number_of_threads() {
    let mut text = String::new();
    for second in 0..15_000 {
        text += &event(second, &format!("web-{}", second % 9));
        match second % 500 {
            7 => text += "{\"@timestamp\":\"2026-03-02T00:00:00Z\",\"host\":\n", // cut off; late, were it whole
            8 => text += &event(second.saturating_sub(300), "late"),
            9 => text += "\r\n{\"host\":{\"name\":\"no time\"}}\r\n",
            _ => {}
        }
    }
    let dir = dir(&[("events.ndjson", text.trim_end())]);
    let of = |threads: &str| {
        let (rejected, state) = (format!("rejected-{threads}"), format!("state-{threads}"));
        let output = run(
            dir.path(),
            &[
                "detect",
                "job.yaml",
                "events.ndjson",
                "--threads",
                threads,
                "--rejected",
                &rejected,
                "--state",
                &state,
            ],
        );
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
        (output.stdout.clone(), read(&rejected), read(&state))
    };
    let one = of("1");
    assert_eq!(one.1.iter().filter(|&&byte| byte == b'\n').count(), 89);
    assert!(text.len() > 4 * (256 << 10), "many blocks");
    for threads in ["2", "3", "7"] {
        assert!(of(threads) == one, "{threads} threads");
    }
    let none = run(
        dir.path(),
        &["detect", "job.yaml", "events.ndjson", "--threads", "0"],
    );
    assert_eq!(code(&none), 2, "{}", stderr(&none));
}

#[test]
fn the_same_events_give_the_same_results_as_ndjson_csv_and_compressed() {
    let dir = dir(&[]);
    let simulate = |format: &str, name: &str| {
        let args = [
            "simulate", "calm", "--days", "0.1", "--format", format, "-o", name,
        ];
        assert_eq!(code(&run(dir.path(), &args)), 0);
    };
    simulate("ndjson", "events.ndjson");
    simulate("dotted", "dotted.ndjson");
    simulate("csv", "events.csv");
    let events = fs::read(dir.path().join("events.ndjson")).unwrap();
    fs::write(
        dir.path().join("events.zst"),
        zstd::encode_all(&events[..], 1).unwrap(),
    )
    .unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&events).unwrap();
    fs::write(dir.path().join("events.gz"), gzip.finish().unwrap()).unwrap();
    // Bytes read differ between formats, and data_counts says so; everything else is the same.
    let results = |file: &str| {
        let output = run(
            dir.path(),
            &[
                "detect",
                "job.yaml",
                file,
                "--kinds",
                "bucket,record,influencer",
            ],
        );
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        stdout(&output)
    };
    let expected = results("events.ndjson");
    assert!(expected.lines().count() > 140);
    for file in ["dotted.ndjson", "events.csv", "events.zst", "events.gz"] {
        assert_eq!(results(file), expected, "{file}");
    }
}

/// Three hours of steady traffic, then a minute with forty times as much.
fn a_spike() -> String {
    let mut text = String::new();
    for minute in 0..181 {
        for n in 0..if minute == 180 { 400 } else { 10 } {
            text += &event(minute * 60 + n % 60, "a");
        }
    }
    text
}

#[test]
fn the_table_shows_a_spike_once_with_when_what_and_how_much() {
    let dir = dir(&[("events.ndjson", &a_spike())]);
    let output = run(
        dir.path(),
        &["detect", "job.yaml", "events.ndjson", "--format", "table"],
    );
    let text = stdout(&output);
    let line = text.lines().nth(1).unwrap_or_else(|| panic!("{text}"));
    assert!(text.starts_with("Anomalies\n"), "{text}");
    assert!(line.starts_with("2026-03-02 03:00    1m"), "{text}");
    assert!(
        line.contains(" count ") && line.contains("400 against 10 (40.0x)"),
        "{text}"
    );
    assert!(!text.contains('\x1b'), "no colour in a pipe: {text:?}");
    assert!(
        text.contains("2,200 events, 181 buckets, none rejected in "),
        "{text}"
    );
    assert_eq!(stderr(&output), "");
    let coloured = run(
        dir.path(),
        &[
            "--color",
            "always",
            "detect",
            "job.yaml",
            "events.ndjson",
            "--format",
            "table",
        ],
    );
    assert!(stdout(&coloured).contains("\x1b["));
}

#[test]
fn kinds_and_scores_select_documents() {
    let dir = dir(&[("events.ndjson", &a_spike())]);
    let select = |options: &[&str]| {
        let output = run(
            dir.path(),
            &[&["detect", "job.yaml", "events.ndjson"], options].concat(),
        );
        documents(&stdout(&output))
    };
    let records = select(&["--kinds", "record", "--min-score", "20"]);
    assert!(!records.is_empty());
    for record in &records {
        assert_eq!(record["result_type"], "record");
        assert!(record["record_score"].as_f64().unwrap() >= 20.0);
    }
    let kinds: Vec<Value> = select(&["--kinds", "bucket,data_counts"])
        .iter()
        .map(|d| d["result_type"].clone())
        .collect();
    assert!(
        kinds.contains(&"bucket".into())
            && kinds.contains(&"data_counts".into())
            && !kinds.contains(&"record".into())
    );
}

#[test]
fn two_runs_with_a_state_say_what_one_run_says() {
    let events: Vec<String> = (0..600)
        .map(|second| event(second, if second % 3 == 0 { "a" } else { "b" }))
        .collect();
    // Cut in the middle of a bucket.
    let (first, second) = events.split_at(335);
    let dir = dir(&[
        ("all", &events.concat()),
        ("first", &first.concat()),
        ("second", &second.concat()),
    ]);
    let detect = |file: &str, state: &str| {
        let output = run(dir.path(), &["detect", "job.yaml", file, "--state", state]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        stdout(&output)
    };
    let whole = detect("all", "whole.state");
    assert!(whole.lines().count() >= 9);
    assert_eq!(
        detect("first", "parts.state") + &detect("second", "parts.state"),
        whole
    );
    let state = |name: &str| fs::read(dir.path().join(name)).unwrap();
    assert_eq!(state("parts.state"), state("whole.state"));
    fs::write(dir.path().join("bad.state"), "no state").unwrap();
    let output = run(
        dir.path(),
        &["detect", "job.yaml", "all", "--state", "bad.state"],
    );
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("bad.state"), "{}", stderr(&output));
}

#[test]
fn the_demo_finds_incidents_and_says_so() {
    let dir = dir(&[]);
    let output = run(
        dir.path(),
        &[
            "demo", "--days", "9", "--rate", "0.05", "--live", "1", "--speed", "1000",
        ],
    );
    let text = stdout(&output);
    assert_eq!(code(&output), 0, "{text}{}", stderr(&output));
    // Two incidents of the scenario lie in its first nine days: a burst and a slow host.
    assert!(
        text.contains("a campaign goes live without notice") && text.contains("web-03 is failing"),
        "{text}"
    );
    assert!(text.contains(" of 2 incidents found; "), "{text}");
}

#[cfg(unix)]
#[test]
fn an_interrupted_demo_says_what_it_found_so_far() {
    let dir = dir(&[]);
    let mut child = tidewatch(dir.path())
        .args(["demo", "--rate", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let metrics = lines.find(|line| {
        line.as_ref()
            .unwrap()
            .starts_with("Metrics: http://127.0.0.1:")
    });
    assert!(metrics.is_some());
    assert!(
        Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    let rest: Vec<String> = lines.map(|line| line.unwrap()).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(
        rest.iter()
            .any(|line| line.starts_with("0 of 0 incidents found; ")),
        "{rest:?}"
    );
}

/// What a directory of snapshots looks like, with one of each of these offsets.
fn snapshots_at(dir: &Path, offsets: &[i64]) {
    let mut store = DirectoryStore::open(dir.join("state")).unwrap();
    for offset in offsets {
        let key = SnapshotKey {
            task: "web/events/0".to_owned(),
            lineage: 7,
            offset: *offset,
        };
        store.put(&key, &b"a state".to_vec()).unwrap();
    }
}

#[test]
fn a_snapshot_is_deleted_and_the_one_in_use_by_force_only() {
    let configuration = "kafka:\n  properties:\n    bootstrap.servers: 127.0.0.1:1\njobs: [jobs]\n\
                         snapshots:\n  store: directory\n  path: state\n";
    let dir = dir(&[("tidewatch.yaml", configuration)]);
    let dir = dir.path();
    snapshots_at(dir, &[10, 20, 30]);
    let listed = || {
        let listed = run(dir, &["snapshots", "list", "--json"]);
        stdout(&listed).lines().count()
    };
    assert_eq!(listed(), 3);
    let delete = |arguments: &[&str]| run(dir, &[&["snapshots", "delete"], arguments].concat());

    // All that is asked for, or nothing.
    let refused = delete(&["web/events/0", "10", "30"]);
    assert_eq!(code(&refused), 1);
    let why = stderr(&refused);
    assert!(
        why.contains("the newest of its lineage") && why.contains("--force"),
        "{why}"
    );
    assert_eq!(listed(), 3);

    let done = delete(&["web/events/0", "10"]);
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    assert!(
        stdout(&done).starts_with("web/events/0 at 10 (lineage 0000000000000007): deleted, "),
        "{}",
        stdout(&done)
    );
    assert_eq!(listed(), 2);
    let gone = delete(&["web/events/0", "10"]);
    assert_eq!(code(&gone), 1);
    assert!(
        stderr(&gone).contains("no such snapshot at 10"),
        "{}",
        stderr(&gone)
    );
    let unknown = delete(&["web/events/1", "20"]);
    assert!(
        stderr(&unknown).contains("there are some of web/events/0"),
        "{}",
        stderr(&unknown)
    );

    let forced = delete(&["web/events/0", "30", "20", "--force"]);
    assert_eq!(code(&forced), 0, "{}", stderr(&forced));
    assert_eq!(listed(), 0);
}
