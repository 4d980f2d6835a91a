//! The README's and the docs' commands, run. (Their Rust is compiled as a doctest of the crate.)
//!
//! Each ```console block of a page is a session: its `$ ` lines are run by a shell, in order, in a scratch directory that holds the
//! repository's examples and config, with the built binary first in the path. A command that fails fails the test. Lines that need
//! Kafka or a checkout (`run`, `make`, `cargo`, `docker`) are left to the tests that have them; `demo` is run on a shorter story.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Commands that need more than a file system.
const NOT_HERE: [&str; 9] = [
    "tidewatch run",
    "tidewatch tail",
    "tidewatch top",
    "tidewatch snapshots",
    "make",
    "cargo",
    "git",
    "docker",
    "helm",
];
/// The demo takes its time to be watched; here it is run with less history and hardly any live part.
const DEMO: &str = "tidewatch demo";
const DEMO_IN_SHORT: &str = " --days 2 --rate 0.05 --live 0.2";

/// The `$ ` lines of the console blocks of a page.
fn commands(page: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let (true, Some(command)) = (inside, line.strip_prefix("$ ")) {
            commands.push(command.to_owned());
        }
    }
    commands
}

/// Runs the commands of a page; how many.
fn run(page: &str) -> usize {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_tidewatch"));
    let scratch = tempfile::tempdir().unwrap();
    for folder in ["examples", "config"] {
        let to = scratch.path().join(folder);
        fs::create_dir(&to).unwrap();
        for file in files(&root.join(folder)) {
            let at = to.join(file.strip_prefix(root.join(folder)).unwrap());
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::copy(&file, &at).unwrap();
        }
    }
    let path = env::join_paths(
        [binary.parent().unwrap().to_owned()]
            .into_iter()
            .chain(env::split_paths(&env::var_os("PATH").unwrap())),
    )
    .unwrap();
    let text = fs::read_to_string(root.join(page)).unwrap();
    let mut ran = 0;
    for command in commands(&text) {
        if NOT_HERE.iter().any(|prefix| command.starts_with(prefix)) {
            continue;
        }
        let command = match command == DEMO {
            true => command + DEMO_IN_SHORT,
            false => command,
        };
        ran += 1;
        let output = Command::new("sh")
            .args(["-c", &command])
            .current_dir(scratch.path())
            .env("PATH", &path)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{page}: {command}\n{stderr}");
        // In a shell's pipe only the last command's code counts; what the others complain of shows here.
        assert!(
            !stderr.contains("tidewatch: ") || stderr.contains("rejected"),
            "{page}: {command}\n{stderr}"
        );
    }
    ran
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push(path)
        }
    }
    found
}

#[test]
fn every_command_of_the_readme_works() {
    assert!(run("README.md") >= 6);
}

#[test]
fn every_command_about_simulated_feeds_works() {
    assert!(run("docs/simulated-feeds.md") >= 2);
}

#[test]
fn every_command_about_backtests_works() {
    assert!(run("docs/backtest.md") >= 5);
}

#[test]
fn every_command_about_reports_works() {
    assert!(run("docs/report.md") >= 2);
}

#[test]
fn every_command_about_alerts_works() {
    assert!(run("docs/alerts.md") >= 2);
}

#[test]
fn every_command_about_planning_works() {
    assert!(run("docs/planning.md") >= 3);
}

#[test]
fn the_scenario_that_the_docs_explain_is_one() {
    let page = include_str!("../docs/simulated-feeds.md");
    let yaml = page
        .split("```yaml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let scenario = tidewatch::simulate::Scenario::from_yaml(yaml).unwrap();
    tidewatch::simulate::Feed::new(&scenario, 1).unwrap();
    let label = page
        .split("```json\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let label: tidewatch::simulate::Label = serde_json::from_str(label).unwrap();
    assert_eq!(label.entity["host.name"], "web-03");
}

#[test]
fn the_readme_is_short() {
    assert!(include_str!("../README.md").lines().count() < 200);
}
