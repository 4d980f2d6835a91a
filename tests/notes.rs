//! What `tidewatch` says of an input that does not fit the job: the traps of a first evening, each told in a line on stderr.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// Two hours, a value a minute: seconds since 1970.
fn minutes() -> impl Iterator<Item = i64> {
    (0..120).map(|minute| 1_772_323_200 + 60 * minute)
}

fn dir(job: &str, name: &str, lines: impl Iterator<Item = String>) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let text: Vec<String> = lines.collect();
    fs::write(dir.path().join("job.yaml"), job).unwrap();
    fs::write(dir.path().join(name), text.join("\n") + "\n").unwrap();
    dir
}

fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewatch"));
    command.current_dir(dir).env_remove("TIDEWATCH_LOG");
    command.stdin(Stdio::null()).args(args).output().unwrap()
}

/// What `detect` says on stdout, as a table, and on stderr.
fn said(dir: &TempDir, name: &str) -> (String, String) {
    let args = ["detect", "job.yaml", name, "--format", "table"];
    let output = run(dir.path(), &args);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

fn job(detectors: &str, data: &str) -> String {
    format!(
        "analysis_config: {{bucket_span: 5m, detectors: [{detectors}]}}\ndata_description: {{time_field: time{data}}}\n"
    )
}

fn event(time: &str, value: &str) -> String {
    format!("{{\"time\": {time}, \"value\": {value}, \"host\": {{\"name\": \"a\", \"id\": 7}}}}")
}

#[test]
fn an_event_of_a_calendar_that_concerns_no_series_is_said_to() {
    let events = minutes().map(|second| event(&(1000 * second).to_string(), "1"));
    let own = "tidewatch: {calendars: [{calendar_id: c, events: [{description: load test, start_time: 2026-03-01T00:00:00Z, end_time: 2026-03-01T01:00:00Z, entities: {host: [a]}}]}]}\n";
    let dir = dir(&(job("{function: count}", "") + own), "in.ndjson", events);
    let (_, notes) = said(&dir, "in.ndjson");
    assert!(
        notes.contains("event [load test] is about values of [host], by which no detector splits"),
        "{notes}"
    );
}

#[test]
fn seconds_that_are_read_as_milliseconds_are_said_to_be_seconds() {
    let events = || minutes().map(|second| event(&second.to_string(), "1"));
    let dir = dir(&job("{function: count}", ""), "in.ndjson", events());
    let (table, notes) = said(&dir, "in.ndjson");
    assert!(table.contains("cannot be known what is usual"), "{table}");
    assert!(notes.contains("\"time\" seems to hold seconds"), "{notes}");
    assert!(notes.contains("time_format: epoch"), "{notes}");

    let right = job("{function: count}", ", time_format: epoch");
    fs::write(dir.path().join("job.yaml"), right).unwrap();
    let (table, notes) = said(&dir, "in.ndjson");
    assert!(table.starts_with("Nothing unusual.\n"), "{table}");
    assert_eq!(notes, "");
}

#[test]
fn a_field_that_no_event_has_is_named_with_what_was_probably_meant() {
    let detectors = "{function: mean, field_name: vaule}, {function: count, by_field_name: name}, {function: count, partition_field_name: nowhere}, {function: count, by_field_name: process.id}, {function: count, by_field_name: host.id}";
    let events = minutes().map(|second| event(&(second * 1000).to_string(), "1"));
    let dir = dir(&job(detectors, ""), "in.ndjson", events);
    let (_, notes) = said(&dir, "in.ndjson");
    for expected in [
        "no event has a field \"vaule\" (analysis_config.detectors[0].field_name); did you mean \"value\"?",
        "no event has a field \"name\" (analysis_config.detectors[1].by_field_name); did you mean \"host.name\"?",
        "no event has a field \"nowhere\" (analysis_config.detectors[2].partition_field_name); an event has: ",
        // Not host.id, which the job names besides.
        "no event has a field \"process.id\" (analysis_config.detectors[3].by_field_name); an event has: ",
    ] {
        assert!(notes.contains(expected), "{expected}\n{notes}");
    }
    assert_eq!(notes.lines().count(), 4, "{notes}");
}

#[test]
fn a_column_that_the_header_lacks_is_named_too() {
    let rows = minutes().map(|second| format!("{},{second}", second * 1000));
    let rows = ["time,bytes_total".to_owned()].into_iter().chain(rows);
    let detector = "{function: sum, field_name: byte_total}";
    let dir = dir(&job(detector, ""), "in.csv", rows);
    let (_, notes) = said(&dir, "in.csv");
    assert!(notes.contains("did you mean \"bytes_total\"?"), "{notes}");
}

#[test]
fn numbers_that_are_none_are_quoted() {
    let rows = minutes().map(|second| format!("{},\"1,053.86\"", second * 1000));
    let rows = ["time,value".to_owned()].into_iter().chain(rows);
    let detector = "{function: mean, field_name: value}";
    let dir = dir(&job(detector, ""), "in.csv", rows);
    let (_, notes) = said(&dir, "in.csv");
    let expected =
        "no value of \"value\" is a number (one is \"1,053.86\"): \"mean(value)\" measures nothing";
    assert!(notes.contains(expected), "{notes}");
}

#[test]
fn the_first_event_refused_is_shown_with_the_format_that_would_read_it() {
    let time = |second: i64| format!("\"02/Mar/2026:00:{:02}:00 +0000\"", second / 60 % 60);
    let events = minutes().map(|second| event(&time(second), "1"));
    let dir = dir(&job("{function: count}", ""), "in.ndjson", events);
    let (table, notes) = said(&dir, "in.ndjson");
    assert!(table.starts_with("No event was analysed.\n"), "{table}");
    assert!(
        notes.contains("bad_time, the first: in.ndjson:1: "),
        "{notes}"
    );
    let pattern = "(\"dd/MMM/yyyy:HH:mm:ss Z\" reads it)";
    assert!(notes.contains(pattern), "{notes}");
}

#[test]
fn a_time_inside_another_object_is_found() {
    let inner = |second: i64| event(&(second * 1000).to_string(), "1");
    let events = minutes().map(|second| format!("{{\"_source\": {}}}", inner(second)));
    let dir = dir(&job("{function: count}", ""), "in.ndjson", events);
    let (_, notes) = said(&dir, "in.ndjson");
    assert!(notes.contains("did you mean \"_source.time\"?"), "{notes}");
}

#[test]
fn numbers_in_a_unit_that_is_not_read_are_told_theirs() {
    for (format, digits, unit) in [
        ("", "000000", "microseconds"),
        ("", "000000000", "nanoseconds"),
        (", time_format: epoch", "000", "milliseconds"),
    ] {
        let events = minutes().map(|second| event(&format!("{second}{digits}"), "1"));
        let dir = dir(&job("{function: count}", format), "in.ndjson", events);
        let (_, notes) = said(&dir, "in.ndjson");
        assert!(notes.contains(&format!("looks like {unit}")), "{notes}");
    }
}

#[test]
fn a_file_with_the_newest_first_is_told_from_one_that_is_merely_late() {
    let events: Vec<String> = minutes()
        .map(|second| event(&(second * 1000).to_string(), "1"))
        .collect();
    let dir = dir(
        &job("{function: count}", ""),
        "in.ndjson",
        events.into_iter().rev(),
    );
    let (_, notes) = said(&dir, "in.ndjson");
    assert!(notes.contains("the farthest 1h59m behind"), "{notes}");
    assert!(
        notes.contains("analysis_config.latency (none is set)"),
        "{notes}"
    );
}

#[test]
fn errors_name_their_place_and_command_no_terminal() {
    let events = minutes().map(|second| event(&(second * 1000).to_string(), "1"));
    let dir = dir(&job("{function: count}", ""), "in.ndjson", events);
    fs::write(dir.path().join("esc.csv"), "\x1b[31mred,value\n1,2\n").unwrap();
    let utf16: Vec<u8> = "time,value\n1,2\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::write(
        dir.path().join("wide.csv"),
        [&b"\xff\xfe"[..], &utf16].concat(),
    )
    .unwrap();
    fs::write(dir.path().join("in.zip"), b"PK\x03\x04\x14").unwrap();
    fs::write(dir.path().join("in.xz"), b"\xfd7zXZ\0").unwrap();
    for level in b'1'..=b'9' {
        let begin = [&b"BZh"[..], &[level], b"1AY&SY"].concat();
        fs::write(dir.path().join("in.bz2"), begin).unwrap();
        let error = run(dir.path(), &["new", "in.bz2"]).stderr;
        let error = String::from_utf8(error).unwrap();
        assert!(error.contains("is compressed by bzip2"), "{error}");
    }
    for (args, expected) in [
        (
            &["detect", "in.ndjson", "job.yaml"][..],
            "the job's file is named before theirs",
        ),
        (
            &["detect", "job.yaml", "esc.csv"],
            "it has: ?[31mred, value",
        ),
        (&["detect", "job.yaml", "wide.csv"], "looks like UTF-16"),
        (&["new", "wide.csv"], "looks like UTF-16"),
        (
            &["new", "in.zip"],
            "is a zip archive, which is not read here (unzip -p FILE | tidewatch",
        ),
        (
            &["detect", "job.yaml", "in.xz"],
            "in.xz: is compressed by xz",
        ),
        (
            &["detect", "job.yaml", "in.ndjson", "--out", "/dev/full"],
            "/dev/full: cannot be written: No space left",
        ),
        (
            &["detect", "job.yaml", "in.ndjson", "--state", "no/where"],
            "--state no/where: cannot be written",
        ),
    ] {
        let output = run(dir.path(), args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {error}");
        assert!(error.contains(expected), "{args:?}: {error}");
        assert!(!error.contains('\x1b'), "{args:?}: {error}");
    }
}
