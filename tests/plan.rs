//! `tidewatch plan` as a person or a script meets it: what it forecasts is what `detect` then holds.

use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewatch"));
    command
        .current_dir(dir)
        .env_remove("TIDEWATCH_LOG")
        .args(args);
    command.output().unwrap()
}

fn stdout(dir: &Path, args: &[&str]) -> String {
    let output = run(dir, args);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

fn plan(dir: &Path, args: &[&str]) -> Value {
    let args = [&["plan"], args, &["--format", "json"]].concat();
    serde_json::from_str(&stdout(dir, &args)).unwrap()
}

fn dir(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn split<'a>(plan: &'a Value, by: &str) -> &'a Value {
    let splits = plan["splits"].as_array().unwrap();
    splits
        .iter()
        .find(|one| one["by_field_name"] == by)
        .unwrap()
}

/// A job over two fields; `more` are further lines of `analysis_config`.
fn job(limit: &str, more: &str) -> String {
    format!(
        "job_id: shop\nanalysis_limits: {{model_memory_limit: {limit}}}\ndata_description: {{time_field: at}}\nanalysis_config:\n  \
         bucket_span: 15m\n  influencers: [host, country]\n{more}  detectors:\n  - {{function: mean, field_name: ms, by_field_name: host}}\n  \
         - {{function: count, by_field_name: session}}\n"
    )
}

/// A day in which each of ten hosts has an event every quarter of an hour, and as many sessions come that never come again.
fn a_day_with_sessions() -> String {
    let mut text = String::new();
    for n in 0..960i64 {
        let at = 1_772_409_600_000 + n * 90_000;
        let _ = writeln!(
            text,
            r#"{{"at": {at}, "host": "host-{}", "session": "s{n}", "country": "c{}", "ms": {}}}"#,
            n % 10,
            n % 3,
            20 + n % 7
        );
    }
    text
}

#[test]
fn what_a_day_forecasts_for_a_week_is_enough_and_not_twice_as_much() {
    let dir = dir(&[]);
    fs::copy(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/web.yaml"),
        dir.path().join("web.yaml"),
    )
    .unwrap();
    for (days, file) in [("1", "day.ndjson"), ("7", "week.ndjson")] {
        let args = [
            "simulate", "web", "--days", days, "--rate", "0.05", "-o", file,
        ];
        stdout(dir.path(), &args);
    }
    let held = |file: &str| -> Value {
        let args = ["detect", "web.yaml", file, "--kinds", "model_size_stats"];
        let text = stdout(dir.path(), &args);
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    };
    let plan = plan(dir.path(), &["web.yaml", "day.ndjson"]);
    // For a week it is more than enough: series without a rhythm, here the sums a user, do without the memory for one, and for looking for one.
    for (at, file) in [(0, "day.ndjson"), (1, "week.ndjson")] {
        let bytes = plan["forecast"][at]["model_bytes"]["expected"]
            .as_f64()
            .unwrap();
        let truth = held(file)["model_bytes"].as_f64().unwrap();
        let ratio = bytes / truth;
        assert!(
            (0.95..1.9).contains(&ratio),
            "{file}: {bytes} forecast, {truth} held"
        );
    }
    assert_eq!(plan["forecast"][1]["series"]["expected"], 1 + 6 + 12 + 40);
    assert_eq!(plan["warnings"], serde_json::json!([]));
}

#[test]
fn ids_keep_coming_and_are_forgotten_after_the_prune_window() {
    let dir = dir(&[
        ("long.yaml", &job("512mb", "")),
        ("short.yaml", &job("512mb", "  model_prune_window: 2d\n")),
        ("day.ndjson", &a_day_with_sessions()),
    ]);
    let long = plan(dir.path(), &["long.yaml", "day.ndjson"]);
    let sessions = split(&long, "session");
    assert_eq!(
        sessions["distinct_over_sample"],
        serde_json::json!([120, 240, 480, 960])
    );
    let exponent = sessions["growth_exponent"].as_f64().unwrap();
    assert!((0.99..=1.0).contains(&exponent), "{exponent}");
    let forecast = |plan: &Value, at: usize, of: &str| {
        split(plan, "session")["forecast"][at]["series"][of]
            .as_f64()
            .unwrap()
    };
    assert_eq!(forecast(&long, 0, "expected"), 960.0);
    assert!((forecast(&long, 1, "expected") / (7.0 * 960.0) - 1.0).abs() < 0.03);
    assert_eq!(forecast(&long, 2, "low"), 960.0);
    let short = plan(dir.path(), &["short.yaml", "day.ndjson"]);
    assert!((forecast(&short, 2, "expected") / (2.0 * 960.0) - 1.0).abs() < 0.03);
    // Hosts are all known; a host is seen in every bucket and grows.
    let hosts = split(&long, "host");
    assert_eq!(
        hosts["forecast"][2]["series"],
        serde_json::json!({"low": 10, "expected": 10, "high": 10})
    );
    let each = hosts["bytes_a_series"]["after_days"][2].as_u64().unwrap();
    assert_eq!(hosts["forecast"][2]["model_bytes"]["expected"], 10 * each);
    let warnings = long["warnings"].as_array().unwrap();
    assert!(
        warnings.len() == 1
            && warnings[0]
                .as_str()
                .unwrap()
                .starts_with("by session: new series keep coming"),
        "{warnings:?}"
    );
    let fields = long["fields"].as_array().unwrap();
    let country = serde_json::json!({"field": "country", "distinct": 3, "most_in_bucket": 3});
    assert!(fields.contains(&country), "{fields:?}");
}

#[test]
fn the_recommended_limit_is_enough_and_a_smaller_one_is_warned_of() {
    let dir = dir(&[("job.yaml", &job("8mb", ""))]);
    let known = [
        "--cardinality",
        "host=3000",
        "--cardinality",
        "session=500",
        "--cardinality",
        "country=20",
    ];
    let given = plan(dir.path(), &[&["job.yaml"], &known[..]].concat());
    let warning = given["warnings"][0].as_str().unwrap();
    assert!(
        warning.starts_with(
            "model_memory_limit, 8 MB, is too small: within a day new series would be refused"
        ),
        "{warning}"
    );
    let bytes = given["forecast"][2]["model_bytes"]["expected"]
        .as_u64()
        .unwrap();
    let recommended = given["recommended_limit_bytes"].as_u64().unwrap();
    assert!(
        5 * bytes <= 4 * recommended && recommended < bytes / 4 * 5 + (2 << 20),
        "{bytes} {recommended}"
    );
    fs::write(
        dir.path().join("job.yaml"),
        job(&format!("{}mb", recommended >> 20), ""),
    )
    .unwrap();
    let enough = plan(dir.path(), &[&["job.yaml"], &known[..]].concat());
    assert_eq!(enough["warnings"], serde_json::json!([]));
    // 48 KB x 2000 + 32 KB x 334 + 10 KB x 20 + 10 MB.
    assert_eq!(given["elastic_estimate_bytes"].as_u64().unwrap() >> 20, 115);
}

#[test]
fn the_table_says_it_in_words_and_goes_where_it_is_told() {
    let dir = dir(&[
        ("job.yaml", &job("8mb", "")),
        ("day.ndjson", &a_day_with_sessions()),
    ]);
    let text = stdout(dir.path(), &["plan", "job.yaml", "day.ndjson"]);
    for said in [
        "shop: buckets of 15m, 96 a day",
        "sample: 960 events in 1d",
        "by session  ",
        "model_memory_limit",
        "Elastic's estimate",
        "warning: by session",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert_eq!(
        stdout(
            dir.path(),
            &["plan", "job.yaml", "day.ndjson", "--out", "plan.txt"]
        ),
        ""
    );
    assert_eq!(
        fs::read_to_string(dir.path().join("plan.txt")).unwrap(),
        text
    );
}

#[test]
fn what_is_missing_or_wrong_is_said_with_what_would_be_right() {
    let dir = dir(&[
        ("job.yaml", &job("8mb", "")),
        ("none.ndjson", "{\"host\": \"a\"}\n"),
    ]);
    for (args, code, says) in [
        (&["plan"][..], 2, "<JOB>"),
        (&["plan", "absent.yaml"], 1, "absent.yaml"),
        (
            &["plan", "job.yaml"],
            1,
            "how many values has host, the by field? Say --cardinality host=N, or plan with a sample",
        ),
        (
            &["plan", "job.yaml", "--cardinality", "host"],
            2,
            "such as host.name=1000",
        ),
        (
            &["plan", "job.yaml", "--cardinality", "hots=3"],
            1,
            "expected one of: country, host, session",
        ),
        (
            &[
                "plan",
                "job.yaml",
                "--cardinality",
                "host=3",
                "--cardinality",
                "host=4",
            ],
            1,
            "given twice",
        ),
        (
            &["plan", "job.yaml", "none.ndjson", "--cardinality", "host=3"],
            2,
            "cannot be used with",
        ),
        (
            &["plan", "job.yaml", "none.ndjson"],
            1,
            "no event of the sample can be analysed (1 rejected)",
        ),
        (
            &["plan", "job.yaml", "none.ndjson", "--out", "job.yaml"],
            1,
            "--out job.yaml would overwrite what is read",
        ),
    ] {
        let output = run(dir.path(), args);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(says), "{args:?}: {text}");
    }
}
