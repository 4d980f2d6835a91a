//! The service as a process: the real binary, with a configuration of its own.

use crate::broker::{Broker, broker};
use crate::client::{Seen, read_all_committed, read_committed_as, unique};
use crate::turns::{Turn, turn};
use crate::world::Word;
use rdkafka::Message as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tidewatch::engine::result::DocumentKind;

/// For anything that the service is to do.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A set of jobs with topics of their own, worked by any number of instances.
pub struct Deployment {
    directory: TempDir,
    pub prefix: String,
    broker: &'static Broker,
    /// Further lines of the configuration's `kafka` section, `properties` last.
    kafka: String,
    /// How long a member may be silent, or which protocol its group speaks: further `properties`.
    group: &'static str,
    settings: String,
    /// Last, so that a test's files are gone before the next begins.
    _turn: Rc<Turn>,
}

/// How a group finds out soon that a member is dead: the classic protocol.
pub const CLASSIC: &str = "    session.timeout.ms: 1500\n    heartbeat.interval.ms: 300\n";
/// The protocol of KIP-848, in which the brokers say how long.
pub const CONSUMER: &str = "    group.protocol: consumer\n";

/// What instances say, as a rule.
const DEBUG: &str = "tidewatch=debug,warn";

impl Deployment {
    /// `settings` are further lines of the configuration file.
    pub fn new(jobs: &[String], settings: &str) -> Deployment {
        let kafka = format!("  properties:\n    bootstrap.servers: {}", broker().address);
        Deployment::on(broker(), &kafka, jobs, settings)
    }

    /// The same on another broker; `kafka` are the further lines of the `kafka` section, its `properties` last.
    pub fn on(broker: &'static Broker, kafka: &str, jobs: &[String], settings: &str) -> Deployment {
        let turn = turn();
        let directory = TempDir::new().expect("a directory");
        fs::create_dir(directory.path().join("jobs")).expect("a directory");
        for (number, job) in jobs.iter().enumerate() {
            fs::write(directory.path().join(format!("jobs/{number}.json")), job)
                .expect("a job file");
        }
        Deployment {
            directory,
            prefix: unique("tw"),
            broker,
            kafka: kafka.to_string(),
            group: CLASSIC,
            settings: settings.to_string(),
            _turn: turn,
        }
    }

    /// The same with other properties of its groups' members.
    pub fn with_group(self, group: &'static str) -> Deployment {
        Deployment { group, ..self }
    }

    /// The same with other settings: those that name files of its directory.
    pub fn with_settings(self, settings: &str) -> Deployment {
        Deployment {
            settings: settings.to_string(),
            ..self
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts an instance.
    pub fn start(&self, name: &str) -> Instance {
        self.begin(name, DEBUG, &[])
    }

    /// Starts an instance that has these environment variables, too.
    pub fn start_with(&self, name: &str, variables: &[(&str, &str)]) -> Instance {
        self.begin(name, DEBUG, variables)
    }

    /// Starts an instance that says more or less.
    pub fn start_at_level(&self, name: &str, level: &str) -> Instance {
        self.begin(name, level, &[])
    }

    fn begin(&self, name: &str, level: &str, variables: &[(&str, &str)]) -> Instance {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let file = self.write_configuration(name, port);
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path(&format!("{name}.log")))
            .expect("a log");
        let process = Command::new(env!("CARGO_BIN_EXE_tidewatch"))
            .args(["run", "--log-level", level, "--config"])
            .arg(&file)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        Instance {
            process,
            port,
            log: self.path(&format!("{name}.log")),
        }
    }

    /// The configuration of an instance, as a file.
    pub fn write_configuration(&self, name: &str, port: u16) -> PathBuf {
        let prefix = &self.prefix;
        let configuration = format!(
            "kafka:\n  group_id: {prefix}\n  instance_id: {name}\n{}\n{}\
             jobs: [jobs]\ntopics:\n  prefix: {prefix}\n  partitions: 2\nhttp:\n  bind: 127.0.0.1:{port}\n{}\n",
            self.kafka, self.group, self.settings
        );
        let file = self.path(&format!("{name}.yaml"));
        fs::write(&file, configuration).expect("a configuration");
        file
    }

    /// All final results in the order of their topics; an empty value is a tombstone.
    pub fn seen_results(&self) -> Vec<Word> {
        let prefix = format!("{}.results.", self.prefix);
        let topics: Vec<String> = DocumentKind::ALL
            .map(|kind| format!("{prefix}{}", kind.name()))
            .into();
        let word = |seen: Seen| {
            let kind = seen.topic.strip_prefix(&prefix).unwrap_or_default();
            (
                kind.to_string(),
                seen.key.unwrap_or_default(),
                seen.value.unwrap_or_default(),
            )
        };
        read_all_committed(self.broker, &topics)
            .into_iter()
            .map(word)
            .collect()
    }

    /// All final results that are visible, as [`expected`](crate::world::expected) gives them.
    pub fn results(&self) -> Vec<Word> {
        let mut words = self.seen_results();
        words.sort();
        words
    }

    pub fn seen(&self, topic: &str) -> Vec<Seen> {
        read_all_committed(self.broker, &[format!("{}.{topic}", self.prefix)])
    }

    /// Key and bytes of what stages have told each other in a topic of one partition, in order.
    pub fn told(&self, topic: &str) -> Vec<(String, Vec<u8>)> {
        let topics = [format!("{}.{topic}", self.prefix)];
        read_committed_as(self.broker, &topics, |message| {
            let key = String::from_utf8_lossy(message.key().unwrap_or_default());
            (
                key.into_owned(),
                message.payload().unwrap_or_default().to_vec(),
            )
        })
    }

    /// Everything that an instance has said.
    pub fn whole_log(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
    }

    /// Waits until an instance has said something, and returns the line that it is in, quotes as they were before they were quoted.
    pub fn await_log(&self, name: &str, text: &str, deadline: Instant) -> String {
        loop {
            let log = self.whole_log(name).replace("\\\"", "\"");
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(
                Instant::now() < deadline,
                "{text:?} was not said: {}",
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Copies the logs to where they outlive the test.
    pub fn keep_logs(&self, what: &str) {
        let place = what.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let kept = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("target/kafka/failed")
            .join(place);
        let _ = fs::create_dir_all(&kept);
        for entry in fs::read_dir(self.directory.path())
            .expect("the directory")
            .flatten()
        {
            let _ = fs::copy(entry.path(), kept.join(entry.file_name()));
        }
        println!("the logs are in {}", kept.display());
    }

    /// Every instance's log, for a failure.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for entry in fs::read_dir(self.directory.path())
            .expect("the directory")
            .flatten()
        {
            if entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "log")
            {
                let log = fs::read_to_string(entry.path()).unwrap_or_default();
                let told_often = ["snapshot stored", "created topic"];
                let telling = |line: &&str| !told_often.iter().any(|often| line.contains(often));
                let lines: Vec<&str> = log.lines().filter(telling).collect();
                text.push_str(&format!(
                    "--- {}\n{}\n",
                    entry.path().display(),
                    lines[lines.len().saturating_sub(60)..].join("\n")
                ));
            }
        }
        text
    }

    /// Waits until the result topics hold as much as is expected, or more.
    pub fn await_results(&self, expected: &[Word]) -> Vec<Word> {
        let deadline = Instant::now() + PATIENCE;
        let mut wait = Duration::from_millis(300);
        loop {
            let results = if self.is_laid_out() {
                self.results()
            } else {
                Vec::new()
            };
            if results.len() >= expected.len() {
                return results;
            }
            if Instant::now() > deadline {
                panic!(
                    "{} of {} results came in time\n{}\n{}",
                    results.len(),
                    expected.len(),
                    difference(expected, &results),
                    self.logs()
                );
            }
            std::thread::sleep(wait);
            wait = (wait * 3 / 2).min(Duration::from_secs(3));
        }
    }

    /// Whether the topics are there to be read.
    pub fn is_laid_out(&self) -> bool {
        let is_there = |kind: DocumentKind| {
            crate::client::exists(
                self.broker,
                &format!("{}.results.{}", self.prefix, kind.name()),
            )
        };
        is_there(DocumentKind::DataCounts) && is_there(DocumentKind::Bucket)
    }

    /// Fails with the first differences unless the results are these, each once.
    pub fn assert_results(&self, expected: &[Word], what: &str) {
        let results = self.results();
        if results != expected {
            self.keep_logs(what);
        }
        assert!(
            results == expected,
            "{what}: {} results, {} expected\n{}\n{}",
            results.len(),
            expected.len(),
            difference(expected, &results),
            self.logs()
        );
    }
}

fn difference(expected: &[Word], results: &[Word]) -> String {
    let count = |words: &[Word]| {
        words
            .iter()
            .fold(std::collections::BTreeMap::new(), |mut counts, word| {
                *counts.entry(word.clone()).or_insert(0usize) += 1;
                counts
            })
    };
    let (wanted, got) = (count(expected), count(results));
    let missing = wanted
        .iter()
        .filter(|(word, n)| got.get(*word).unwrap_or(&0) < n)
        .map(|(word, _)| format!("missing {word:?}"));
    let surplus = got
        .iter()
        .filter(|(word, n)| wanted.get(*word).unwrap_or(&0) < n)
        .map(|(word, _)| format!("surplus {word:?}"));
    let lines: Vec<String> = missing.take(8).chain(surplus.take(12)).collect();
    lines.join("\n")
}

/// A running process, killed when dropped.
pub struct Instance {
    process: Child,
    port: u16,
    log: PathBuf,
}

impl Instance {
    /// Where it answers over HTTP.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it has ended");
    }

    /// SIGSTOP: everybody else takes it for dead, and it knows nothing of that.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT: it goes on as if nothing had been.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    fn signal(&self, signal: &str) {
        let done = Command::new("kill")
            .args([signal, &self.pid().to_string()])
            .status();
        assert!(done.expect("kill").success());
    }

    /// SIGTERM, and its exit code.
    pub fn stop(mut self) -> Option<i32> {
        let done = Command::new("kill")
            .args(["-TERM", &self.process.id().to_string()])
            .status()
            .expect("kill");
        assert!(done.success());
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().expect("a status") {
                return status.code();
            }
            assert!(
                Instant::now() < deadline,
                "it did not end: {}",
                fs::read_to_string(&self.log).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The answer to a GET: status and body.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        Some((status, answer.split_once("\r\n\r\n")?.1.to_string()))
    }

    /// Waits until `/readyz` says yes.
    pub fn await_ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !matches!(self.get("/readyz"), Some((200, _))) {
            assert!(
                Instant::now() < deadline,
                "not ready: {}",
                fs::read_to_string(&self.log).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
