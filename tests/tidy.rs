//! The house rules that no compiler holds: which module may name what, how long a file or a function may be, what a file begins with.
//!
//! Reads the sources as text, comments left out. A rule that is broken names the file and the line.

use regex::Regex;
use std::fs;
use std::path::{Path, PathBuf};

/// The longest file.
const FILE_LINES_MAX: usize = 900;
/// The longest function that needs no entry in [`LONG_FUNCTIONS`].
const FUNCTION_LINES_MAX: usize = 100;

/// The longest example.
const EXAMPLE_LINES_MAX: usize = 60;

/// A ratchet: functions longer than that, and how long they may be at most. Entries only ever shrink and go.
const LONG_FUNCTIONS: [(&str, &str, usize); 0] = [];

/// What only some modules may name (prefixes of the path under `src/`), and why.
const DOORS: [(&str, &[&str], &str); 7] = [
    (
        r"\b(tokio|rdkafka|rdkafka_sys|axum|prometheus|opentelemetry\w*|prost)::",
        &["runtime/"],
        "clients and servers are the runtime's affair",
    ),
    (
        r"\bserde_json::",
        &["config/", "decode/", "runtime/", "cli/"],
        "JSON ends at the rim",
    ),
    (
        r"\banyhow\b",
        &["cli/", "main.rs"],
        "inside, errors have names",
    ),
    (
        r"\b(SystemTime|Instant)::now\b",
        &["runtime/", "cli/"],
        "a clock in the core makes a replay another run",
    ),
    (
        r"\b(Utc|Local)::now\b",
        &["runtime/", "cli/"],
        "a clock in the core makes a replay another run",
    ),
    (
        r"\bcrate::cli\b",
        &["cli/", "main.rs"],
        "doors open one way",
    ),
    (
        r"\bcrate::runtime\b",
        &["runtime/", "cli/"],
        "doors open one way",
    ),
];

/// What the engine, the alerts' core and the numerics may not name at all.
const PURE: [(&str, &str); 3] = [
    (
        "engine/",
        r"\bcrate::(decode|simulate)\b|\bstd::(fs|net|thread|env|process|sync::atomic|sync::Mutex|io::std)\b|\b(rand|tracing|serde_json|chrono)::|\b(HashMap|HashSet)::(new|with_capacity)\(",
    ),
    (
        "alert/",
        r"\bcrate::(decode|simulate)\b|\bstd::(fs|net|thread|env|process|sync::atomic|sync::Mutex|io::std)\b|\b(rand|tracing|serde_json|chrono)::|\b(HashMap|HashSet)::(new|with_capacity)\(",
    ),
    (
        "numerics/",
        r"\bcrate::(config|decode|engine|simulate|time)\b|\bstd::(fs|net|thread|env|process|io::std)\b|\b(rand|tracing|serde_json|chrono)::",
    ),
];

struct Source {
    /// Relative to `src/`, with forward slashes.
    path: String,
    text: String,
}

impl Source {
    /// The numbered lines of code up to the inline tests, comments cut off.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self
            .text
            .lines()
            .enumerate()
            .take_while(|(_, line)| *line != "#[cfg(test)]");
        lines.map(|(at, line)| (at + 1, line.split("//").next().unwrap_or_default()))
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    assert!(files.len() > 20, "the sources are elsewhere");
    let relative = |file: &PathBuf| {
        file.strip_prefix(&root)
            .expect("under src")
            .to_string_lossy()
            .replace('\\', "/")
    };
    files
        .iter()
        .map(|file| Source {
            path: relative(file),
            text: fs::read_to_string(file).expect("UTF-8"),
        })
        .collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Fails with all of `broken` at once.
fn none(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn every_file_says_first_what_it_is() {
    let sources = sources();
    let mute = sources
        .iter()
        .filter(|source| !source.text.starts_with("//! "));
    none(
        "a file begins with `//! ` and a sentence",
        mute.map(|source| source.path.clone()).collect(),
    );
}

#[test]
fn only_those_modules_name_a_crate_that_may() {
    let mut broken = Vec::new();
    for (pattern, rooms, why) in DOORS {
        let pattern = Regex::new(pattern).expect("a pattern");
        for source in sources()
            .iter()
            .filter(|source| !rooms.iter().any(|room| source.path.starts_with(room)))
        {
            for (line, code) in source.code().filter(|(_, code)| pattern.is_match(code)) {
                broken.push(format!(
                    "{}:{line}: `{}` ({why}; only in {})",
                    source.path,
                    code.trim(),
                    rooms.join(", ")
                ));
            }
        }
    }
    none("doors between modules", broken);
}

#[test]
fn the_engine_is_pure_and_the_numerics_know_no_domain_word() {
    let mut broken = Vec::new();
    for (room, pattern) in PURE {
        let pattern = Regex::new(pattern).expect("a pattern");
        for source in sources()
            .iter()
            .filter(|source| source.path.starts_with(room))
        {
            let lines = source.code().filter(|(_, code)| pattern.is_match(code));
            broken.extend(
                lines.map(|(line, code)| format!("{}:{line}: `{}`", source.path, code.trim())),
            );
        }
    }
    none(
        "no clock, no I/O, no randomness, no hash order, nothing to the right",
        broken,
    );
}

#[test]
fn unsafe_is_at_two_edges_only() {
    // The client's, and a hint to the processor that reads and writes nothing.
    const EDGES: [&str; 2] = ["runtime/kafka/edge.rs", "engine/model/prefetch.rs"];
    let pattern = Regex::new(r"\bunsafe\b").expect("a pattern");
    let mut broken = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| !EDGES.contains(&source.path.as_str()))
    {
        let lines = source.code().filter(|(_, code)| pattern.is_match(code));
        broken
            .extend(lines.map(|(line, code)| format!("{}:{line}: `{}`", source.path, code.trim())));
    }
    none(
        &format!("unsafe code lives in {}", EDGES.join(" and ")),
        broken,
    );
}

#[test]
fn no_file_and_no_function_is_too_long() {
    let mut broken = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            broken.push(format!(
                "{}: {lines} lines, at most {FILE_LINES_MAX}",
                source.path
            ));
        }
        for (name, lines) in functions(&source) {
            let allowed = LONG_FUNCTIONS
                .iter()
                .find(|(path, function, _)| *path == source.path && *function == name);
            let max = allowed.map_or(FUNCTION_LINES_MAX, |(.., max)| *max);
            if lines > max {
                broken.push(format!(
                    "{}: fn {name} has {lines} lines, at most {max}",
                    source.path
                ));
            }
        }
    }
    none("a file is a room, a function fits the screen", broken);
}

#[test]
fn an_example_is_seen_at_a_glance() {
    let mut files = Vec::new();
    collect(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"),
        &mut files,
    );
    assert!(!files.is_empty());
    let lines = |file: &PathBuf| fs::read_to_string(file).expect("UTF-8").lines().count();
    let broken = files
        .iter()
        .filter(|file| lines(file) > EXAMPLE_LINES_MAX)
        .map(|file| format!("{}: {} lines", file.display(), lines(file)));
    none("an example has at most 60 lines", broken.collect());
}

/// Names and lengths; the end of a function is the brace at the depth of its first line, as rustfmt writes it.
fn functions(source: &Source) -> Vec<(String, usize)> {
    let head = Regex::new(r"^(\s*)(pub(\([a-z: ]+\))? )?(const )?(unsafe )?(extern .C. )?fn (\w+)")
        .expect("a pattern");
    let lines: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(parts) = head.captures(line) else {
            continue;
        };
        let end = format!("{}}}", &parts[1]);
        let length = lines[at..]
            .iter()
            .position(|line| *line == end)
            .map_or(1, |length| length + 1);
        found.push((parts[7].to_string(), length));
    }
    found
}

#[test]
fn the_ratchet_holds_no_function_that_has_become_short() {
    for (path, function, max) in LONG_FUNCTIONS {
        let source = sources().into_iter().find(|source| source.path == path);
        let source = source.unwrap_or_else(|| panic!("{path} is gone: take its entry out"));
        let lines = functions(&source)
            .into_iter()
            .find(|(name, _)| name == function)
            .map(|(_, lines)| lines);
        assert_eq!(
            lines,
            Some(max),
            "{path}: fn {function}: bring its entry down, or take it out"
        );
    }
}
