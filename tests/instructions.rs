//! The limits on instructions an event: ten percent more than what is committed fails, and so does a machine without valgrind.
//!
//! `benches/instructions.rs` counts, this compares. Our crate is compiled for it as for a release, dependencies as for the tests (optimised too,
//! and there already): link-time optimisation would take minutes and is what differs from the benchmark's own figures.
//! Counts repeat to a few instructions on one machine; between machines the C library picks other copies of `memcmp` and `log`, and
//! compilers change: that is what the tolerance is for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// So much more than its limit may a count be.
const TOLERANCE: f64 = 0.10;
/// What a line of the table counts, column by column.
const STAGES: [&str; 4] = [
    "decoder",
    "decoder and gatherer",
    "all of detect",
    "all in stages",
];

/// Job by letter, then instructions an event by stage.
type Table = BTreeMap<String, Vec<f64>>;

fn limits_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt")
}

/// Lines of a letter and numbers; `#` begins a comment.
fn read(text: &str) -> Table {
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let job = words.next().expect("a job's letter").to_owned();
            let counts = words.map(|word| word.parse().expect("a number")).collect();
            (job, counts)
        })
        .collect()
}

/// The benchmark, compiled.
fn benchmark() -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    build
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "build",
            "--locked",
            "--bench",
            "instructions",
            "--message-format=json",
        ])
        .args(["--config", "profile.dev.package.tidewatch.opt-level=3"])
        .args([
            "--config",
            "profile.dev.package.tidewatch.debug-assertions=false",
        ])
        .args([
            "--config",
            "profile.dev.package.tidewatch.overflow-checks=false",
        ])
        .stderr(Stdio::inherit());
    if cfg!(not(feature = "ssl")) {
        build.args(["--no-default-features", "--features", "ssl-vendored"]);
    }
    let built = build
        .output()
        .expect("cargo, which runs this test, runs again");
    assert!(built.status.success(), "the benchmark does not compile");
    let told = String::from_utf8(built.stdout).expect("cargo writes UTF-8");
    let executable = told
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "instructions")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.expect("cargo names what it built")
}

fn count() -> String {
    let run = Command::new(benchmark())
        .stderr(Stdio::inherit())
        .output()
        .expect("what was just built can be started");
    assert!(
        run.status.success(),
        "instructions were not counted (said above); the limits are part of the tests: apt-get install valgrind"
    );
    String::from_utf8(run.stdout).expect("the benchmark writes UTF-8")
}

#[test]
fn an_event_takes_no_more_than_ten_percent_above_its_limit() {
    let told = count();
    let counted = read(&told);
    if std::env::var_os("UPDATE_LIMITS").is_some() {
        let head = "# Instructions an event: job, decoder, decoder and gatherer, all, all in stages. Written by UPDATE_LIMITS=1 cargo test --test instructions\n";
        std::fs::write(limits_file(), format!("{head}{told}")).expect("the limits can be written");
    }
    let limits = read(&std::fs::read_to_string(limits_file()).expect("the limits are committed"));
    assert_eq!(
        counted.keys().collect::<Vec<_>>(),
        limits.keys().collect::<Vec<_>>(),
        "the jobs with limits"
    );
    let mut over = String::new();
    for (job, limits) in &limits {
        let counted = &counted[job];
        assert_eq!(
            (counted.len(), limits.len()),
            (STAGES.len(), STAGES.len()),
            "job {job}"
        );
        for ((stage, limit), count) in STAGES.iter().zip(limits).zip(counted) {
            println!("({job}) {stage}: {count} of {limit}");
            if *count > limit * (1.0 + TOLERANCE) {
                over += &format!(
                    "\n  ({job}) {stage}: {count}, {:.0} % above {limit}",
                    100.0 * (count / limit - 1.0)
                );
            }
        }
    }
    assert!(
        over.is_empty(),
        "more than 10 % above the limits in benches/instructions.txt:{over}\nIf it is worth that: UPDATE_LIMITS=1 cargo test --test instructions, and commit the file"
    );
}
