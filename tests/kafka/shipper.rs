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
            .env("LOG_FILE", log)
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

/// The messages of a topic, as soon as there are so many.
fn await_shipped(topic: &str, count: usize, directory: &Path) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = read_committed(topic).into_iter();
        let shipped: Vec<String> = seen.filter_map(|seen| seen.value).collect();
        if shipped.len() >= count {
            return shipped;
        }
        assert!(
            Instant::now() < deadline,
            "{} of {count} messages: {}",
            shipped.len(),
            fs::read_to_string(directory.join("rsyslogd.log")).unwrap_or_default()
        );
        std::thread::sleep(Duration::from_millis(100));
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
    let shipped = await_shipped(&input, lines.len(), directory.path());
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

/// A machine's syslog, times with a zone, in which something is said that was never said before: a stack trace.
fn syslog() -> (String, usize) {
    let mut random = Random::new(37);
    let (mut text, mut count) = (String::new(), 0);
    let mut say = |second: i64, said: &str| {
        let (hour, minute) = (second / 3600, second % 3600 / 60);
        let second = second % 60;
        let time = format!("2025-06-02T{hour:02}:{minute:02}:{second:02}+00:00");
        text += &format!("{time} web-1 {said}\n");
        count += 1;
    };
    for second in (0..BUCKETS * 900).step_by(47) {
        let n = random.within(1, 9_000);
        match n % 3 {
            0 => say(
                second,
                &format!("sshd[{n}]: Accepted publickey for deploy port {n}"),
            ),
            1 => say(
                second,
                &format!("CRON[{n}]: (root) CMD run-parts --report {n}"),
            ),
            _ => say(
                second,
                &format!("systemd[1]: Started session {n} of user deploy."),
            ),
        }
        if second / 47 == SLOW_BUCKET * 19 {
            say(
                second,
                "shop[77]: java.lang.IllegalStateException: no cart\n\tat shop.Cart.of(Cart.java:7)\n\tat shop.Main.main(Main.java:3)",
            );
        }
    }
    say(
        (BUCKETS + 2) * 900,
        "systemd[1]: Started session 1 of user deploy.",
    );
    (text, count)
}

#[test]
fn rsyslog_ships_lines_as_they_stand_and_a_stack_trace_is_found_as_one_event() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let job = fs::read_to_string(root.join("config/feeds/syslog-messages.yaml")).expect("the job");
    let input = topic("syslog-text", 1);
    let job = job.replace("[syslog]", &format!("[{input}]"));
    let directory = TempDir::new().expect("a directory");
    let log = directory.path().join("syslog");
    let (lines, count) = syslog();
    fs::write(&log, lines).expect("a log");
    let configuration = root.join("config/feeds/rsyslog-text.conf");
    let _rsyslog = Rsyslog::start(&configuration, directory.path(), &log, &input);
    let deployment = Deployment::new(std::slice::from_ref(&job), "");
    let instance = deployment.start("a");
    let shipped = await_shipped(&input, count, directory.path());
    assert_eq!(shipped.len(), count, "each message once");
    let wanted = expected(&job, shipped);
    deployment.await_results(&wanted);
    assert_eq!(instance.stop(), Some(0));
    deployment.assert_results(&wanted, "lines shipped by rsyslog");
    let is_new = |(kind, _, text): &crate::world::Word| {
        kind == "record" && text.contains("\"function\":\"rare\"") && text.contains("\"shop\"")
    };
    assert!(wanted.iter().any(is_new), "what is new has a record");
    let is_whole = |(kind, _, text): &crate::world::Word| {
        kind == "category_definition" && text.contains("Main.java")
    };
    assert!(wanted.iter().any(is_whole), "a stack trace is one message");
    assert_eq!(deployment.seen("dead-letters"), []);
}

#[test]
fn the_page_of_feeds_shows_the_files_that_are_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/feeds.md")).expect("the page");
    for file in [
        "config/feeds/rsyslog.conf",
        "config/feeds/web-access.yaml",
        "config/feeds/rsyslog-text.conf",
        "config/feeds/syslog-messages.yaml",
    ] {
        let text = fs::read_to_string(root.join(file)).expect("a file");
        assert!(
            page.contains(text.trim()),
            "docs/feeds.md does not show {file} as it is"
        );
    }
}
