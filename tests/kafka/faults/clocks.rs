//! The clock of the machine is set while the service works: by hours, forward and back.
//!
//! Of this process alone, by a library (tests/kafka/clock.c) that is loaded before the others: what the service and its client see of the time
//! of day is moved, and so are waits until a time of day. Brokers and the feed keep the true one, and refuse what is an hour ahead of them.

use super::{Trial, of, seed};
use crate::broker::broker;
use crate::instance::Instance;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const HOUR_S: i64 = 3_600;

/// A clock that can be set.
struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clock {
    fn within(directory: &Path) -> Clock {
        let clock = Clock {
            file: directory.join("clock"),
            library: directory.join("clock.so"),
        };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/clock.c");
        let built = Command::new("cc")
            .args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
            .args([&clock.library, &source])
            .output()
            .expect("a C compiler, which librdkafka is built with");
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{said}");
        fs::write(&clock.file, 0i64.to_le_bytes()).expect("a file");
        clock
    }

    /// Sets it to so many seconds ahead of the machine's. The process sees the file's memory.
    fn set(&self, ahead_s: i64) {
        let file = fs::OpenOptions::new().write(true).open(&self.file);
        let file = file.expect("the file");
        file.write_all_at(&ahead_s.to_le_bytes(), 0)
            .expect("written");
    }
}

/// How far a process's time of day is ahead of ours, seconds.
fn ahead_s(instance: &Instance) -> i64 {
    let (_, health) = instance.get("/healthz").expect("it answers");
    let health: serde_json::Value = serde_json::from_str(&health).expect("a document");
    let theirs = health["timestamp_ms"].as_i64().expect("a time");
    let ours = SystemTime::now().duration_since(UNIX_EPOCH);
    let ours = ours.expect("after 1970").as_millis() as i64;
    (theirs - ours) / 1000
}

#[test]
fn a_clock_that_is_set_by_hours_leaves_the_results_of_a_calm_run() {
    let name = "clock-set";
    let seed = seed(name);
    let trial = Trial::new(name, broker(), of(60, 300), seed);
    let clock = Clock::within(&trial.deployment.path(""));
    let variables = [
        ("LD_PRELOAD", clock.library.to_str().expect("a name")),
        ("CLOCK_AHEAD_FILE", clock.file.to_str().expect("a name")),
    ];
    let a = trial.deployment.start_with("a", &variables);
    a.await_ready();
    let feed = trial.feed(Duration::from_secs(of(12, 120)));
    let watch = trial.watch();
    let (hours, rounds) = ([7, -5, 30, 0, -400], of(1, 8));
    for hours in hours.iter().cycle().take(rounds * hours.len()) {
        std::thread::sleep(Duration::from_secs(2));
        clock.set(hours * HOUR_S);
        let off = ahead_s(&a) - hours * HOUR_S;
        assert!(off.abs() < 60, "{off} s from what was set");
        assert_eq!(a.get("/livez").map(|(status, _)| status), Some(200));
    }
    feed.join().expect("all is written");
    trial.assert_right(&format!("a clock that is set, seed {seed}"));
    // The right time again: librdkafka's own threads wait by the time of day, and one that is to end may wait for the old one.
    clock.set(0);
    println!(
        "chaos: {name}: {} times, by up to 430 hours; results equal detect; longest time without a bucket {:.1} s",
        rounds * hours.len(),
        watch.longest_silence().as_secs_f64()
    );
    assert_eq!(a.stop(), Some(0), "{}", trial.deployment.logs());
}
