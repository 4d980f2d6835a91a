//! A shipper that people have: rsyslog tails a log file that grows, and its lines come out as results. The configuration and the job are those
//! that docs/feeds.md shows.

use crate::broker::broker;
use crate::client::{read_committed, topic};
use crate::instance::{Deployment, PATIENCE};
use crate::random::Random;
use crate::world::expected;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const BUCKETS: i64 = 40;
const SLOW_BUCKET: i64 = 32;

/// A running rsyslogd, killed when dropped.
struct Rsyslog(Child);

impl Rsyslog {
    fn start(configuration: &Path, directory: &Path, log: &Path, topic: &str) -> Rsyslog {
        let child = Command::new("rsyslogd")
            .args(["-n", "-f"])
            .arg(configuration)
            .arg("-i")
            .arg(directory.join("rsyslogd.pid"))
            .env("RSYSLOG_WORK_DIRECTORY", directory)
            .env("ACCESS_LOG", log)
            .env("KAFKA_BROKER", &broker().address)
            .env("KAFKA_TOPIC", topic)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.join("rsyslogd.log")).expect("a log"))
            .spawn();
        Rsyslog(child.unwrap_or_else(|error| {
            panic!("rsyslogd: {error}; install rsyslog and rsyslog-kafka (`make test` does, where apt-get is at hand)")
        }))
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// nginx's lines, in their order: two hosts, one of which becomes slow.
fn lines() -> Vec<String> {
    let mut random = Random::new(31);
    let mut lines = Vec::new();
    for second in (0..BUCKETS * 300).step_by(11) {
        let bucket = second / 300;
        let host = random.within(1, 3);
        let slow = bucket == SLOW_BUCKET && host == 2;
        let duration = (0.05 + 0.01 * random.unit()) * if slow { 20.0 } else { 1.0 };
        let status = if random.unit() < 0.03 { 404 } else { 200 };
        lines.push(line(second, host, status, duration));
    }
    lines.push(line((BUCKETS + 2) * 300, 1, 200, 0.05));
    lines
}

fn line(second: i64, host: i64, status: u16, duration: f64) -> String {
    let (hour, minute) = (second / 3600, second % 3600 / 60);
    let second = second % 60;
    format!(
        "2025-06-02T{hour:02}:{minute:02}:{second:02}+00:00 shop-{host} {status} {duration:.3} GET /cart?id={second}"
    )
}

#[test]
fn rsyslog_ships_an_access_log_and_the_slow_host_is_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let job = fs::read_to_string(root.join("config/feeds/web-access.yaml")).expect("the job");
    let input = topic("web-access", 1);
    let job = job.replace("[web-access]", &format!("[{input}]"));
    let directory = TempDir::new().expect("a directory");
    let log = directory.path().join("access.log");
    let lines = lines();
    let (before, after) = lines.split_at(lines.len() / 2);
    fs::write(&log, before.join("\n") + "\n").expect("a log");
    let configuration = root.join("config/feeds/rsyslog.conf");
    let _rsyslog = Rsyslog::start(&configuration, directory.path(), &log, &input);
    let deployment = Deployment::new(std::slice::from_ref(&job), "");
    let instance = deployment.start("a");
    // The file grows while it is tailed.
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(&log)
        .expect("the log");
    writeln!(file, "{}", after.join("\n")).expect("written");
    let deadline = Instant::now() + PATIENCE;
    let shipped = loop {
        let shipped: Vec<String> = read_committed(&input)
            .into_iter()
            .filter_map(|seen| seen.value)
            .collect();
        if shipped.len() >= lines.len() {
            break shipped;
        }
        assert!(
            Instant::now() < deadline,
            "{} of {} lines: {}",
            shipped.len(),
            lines.len(),
            fs::read_to_string(directory.path().join("rsyslogd.log")).unwrap_or_default()
        );
        std::thread::sleep(Duration::from_millis(100));
    };
    println!("{}", shipped[0]);
    assert_eq!(shipped.len(), lines.len(), "each line once");
    assert!(
        shipped[0].contains("\"host.name\":"),
        "dotted keys: {}",
        shipped[0]
    );
    let wanted = expected(&job, shipped);
    deployment.await_results(&wanted);
    assert_eq!(instance.stop(), Some(0));
    deployment.assert_results(&wanted, "shipped by rsyslog");
    let slow = wanted.iter().find(|(kind, _, text)| {
        kind == "record"
            && text.contains("\"partition_field_value\":\"shop-2\"")
            && text.contains("\"function\":\"mean\"")
    });
    assert!(slow.is_some(), "the slow host has a record");
    assert!(
        deployment.seen("dead-letters").is_empty(),
        "nothing was refused"
    );
}

#[test]
fn the_page_of_feeds_shows_the_files_that_are_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/feeds.md")).expect("the page");
    for file in ["config/feeds/rsyslog.conf", "config/feeds/web-access.yaml"] {
        let text = fs::read_to_string(root.join(file)).expect("a file");
        assert!(
            page.contains(text.trim()),
            "docs/feeds.md does not show {file} as it is"
        );
    }
}
