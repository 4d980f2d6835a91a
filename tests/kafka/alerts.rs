//! Alerts through a real Kafka to a real Alertmanager, and to a webhook that fails at first; the service killed in mid-incident.

use crate::client::{produce, topic};
use crate::instance::{Deployment, PATIENCE};
use crate::world::{Kind, close, events, job, sentinel};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tempfile::TempDir;
use tidewatch::alert::{Change, Tracker};
use tidewatch::config::{AlertPolicy, AlertWords, Job};
use tidewatch::decode::Decoder;
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::runtime::alerts::document::AlertDocument;

const BUCKETS: i64 = 60;
/// History is short, so scores are held down.
const THRESHOLD: f64 = 20.0;

/// A running Alertmanager, killed when dropped.
struct Alertmanager {
    process: Child,
    port: u16,
    _directory: TempDir,
}

impl Alertmanager {
    fn start() -> Alertmanager {
        let directory = TempDir::new().expect("a directory");
        let config = directory.path().join("alertmanager.yml");
        std::fs::write(
            &config,
            "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n",
        )
        .expect("a file");
        let port = free_port();
        let process = ["prometheus-alertmanager", "alertmanager"]
            .iter()
            .find_map(|program| {
                Command::new(program)
                    .arg(format!("--config.file={}", config.display()))
                    .arg(format!("--storage.path={}", directory.path().display()))
                    .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                    .arg("--cluster.listen-address=")
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .ok()
            });
        let process = process
            .expect("the tests of alerts need Alertmanager: `make alertmanager`, or install it");
        let started = Alertmanager {
            process,
            port,
            _directory: directory,
        };
        await_that("Alertmanager answers", || {
            get(port, "/-/ready").is_some_and(|(status, _)| status == 200)
        });
        started
    }

    /// The incidents that it believes in.
    fn incidents(&self) -> Vec<String> {
        let (_, body) = get(self.port, "/api/v2/alerts").unwrap_or_default();
        let alerts: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let alerts = alerts.as_array().cloned().unwrap_or_default();
        let mut found: Vec<String> = alerts
            .iter()
            .map(|alert| {
                assert_eq!(alert["labels"]["alertname"], "TidewatchAnomaly");
                alert["annotations"]["incident_id"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect();
        found.sort();
        found
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Answers 503 a few times, then takes everything; remembers requests and bodies.
struct Webhook {
    port: u16,
    seen: Arc<Mutex<Vec<(String, serde_json::Value)>>>,
}

impl Webhook {
    fn start(failures: usize) -> Webhook {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut failures = failures;
            for stream in listener.incoming().flatten() {
                let request = request_of(&stream);
                let status = match failures {
                    0 => "200 OK",
                    _ => "503 Service Unavailable",
                };
                failures = failures.saturating_sub(1);
                let mut stream = stream;
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                if let (Some((head, body)), "200 OK") = (request, status) {
                    let body = serde_json::from_slice(&body).expect("JSON");
                    taken.lock().expect("no panic inside").push((head, body));
                }
            }
        });
        Webhook { port, seen }
    }

    /// Status and incident of each message.
    fn words(&self) -> Vec<(String, String)> {
        let seen = self.seen.lock().expect("no panic inside");
        let word = |(_, body): &(String, serde_json::Value)| {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            (
                text(&body["status"]),
                text(&body["commonAnnotations"]["incident_id"]),
            )
        };
        seen.iter().map(word).collect()
    }
}

/// Head and body of a request.
fn request_of(mut stream: &TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let (begin, length): (usize, usize) = (end + 4, length.unwrap_or(0));
            if bytes.len() >= begin + length {
                return Some((head, bytes[begin..begin + length].to_vec()));
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
}

fn await_that(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not so in time: {what}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// The notices that follow from these events, in order, each with the number of events that it takes.
fn calm(job_text: &str, payloads: &[String]) -> Vec<(usize, AlertDocument)> {
    let job = Arc::new(Job::from_text(job_text, "job.json").expect("a job"));
    let words = AlertWords {
        threshold: Some(THRESHOLD),
        ..AlertWords::default()
    };
    let policy = job.alerts.over(&words.over(&AlertPolicy::default()));
    let mut tracker = Tracker::new(&job.id, job.bucket_span, Arc::new(policy));
    let (mut decoder, mut pipeline) = (Decoder::new(&job), Pipeline::new(Arc::clone(&job)));
    let mut notices = Vec::new();
    for (number, payload) in (1..).zip(payloads) {
        decoder.payload(payload.as_bytes(), None, &mut |decoded| {
            let outputs = match &decoded {
                Ok(event) => pipeline.handle(Input::Event(event)),
                Err(rejection) => pipeline.handle(Input::Rejected(rejection)),
            };
            for output in outputs {
                match output {
                    Output::Result(document) => tracker.document(&document),
                    Output::Closed(summary) => {
                        let news = tracker.closed(summary.start, summary.finality);
                        let documents = news.iter().map(|notice| AlertDocument::of(notice, &job));
                        notices.extend(documents.map(|document| (number, document)));
                    }
                    Output::Rejected(_)
                    | Output::Retract(_)
                    | Output::Revised(_)
                    | Output::Late { .. } => {}
                }
            }
        });
    }
    notices
}

/// Those that go on after the last of these notices.
fn open(notices: &[AlertDocument]) -> Vec<String> {
    let mut open = BTreeSet::new();
    for notice in notices {
        match notice.event {
            Change::Resolved => drop(open.remove(&notice.incident_id)),
            Change::Opened | Change::Updated => drop(open.insert(notice.incident_id.clone())),
        }
    }
    open.into_iter().collect()
}

#[test]
fn an_incident_is_one_alert_from_its_beginning_to_its_end_though_the_service_is_killed_in_between()
{
    let (alertmanager, webhook) = (Alertmanager::start(), Webhook::start(2));
    let input = topic("alerts", 1);
    let jobs = [job(Kind::PerHost, &input, "")];
    let mut payloads: Vec<String> = events(8, BUCKETS)
        .into_iter()
        .map(|message| message.text)
        .collect();
    payloads.push(sentinel(BUCKETS));
    let told = calm(&jobs[0], &payloads);
    // As soon as something goes on.
    let middle = told.first().expect("the events hold an anomaly").0;
    let before: Vec<AlertDocument> = told
        .iter()
        .filter(|(events, _)| *events <= middle)
        .map(|(_, notice)| notice.clone())
        .collect();
    let all: Vec<AlertDocument> = told.into_iter().map(|(_, notice)| notice).collect();
    assert!(
        !open(&before).is_empty() && open(&all).is_empty(),
        "{all:#?}"
    );

    let deployment = Deployment::new(&jobs, "");
    std::fs::write(deployment.path("token"), "let-me-in\n").expect("a file");
    let deployment = deployment.with_settings(&format!(
        "alerts:\n  enabled: true\n  ocsf: true\n  max_age: 10000d\n  defaults: {{threshold: {THRESHOLD}}}\n  receivers:\n    \
         ops: {{type: alertmanager, urls: ['http://127.0.0.1:{}']}}\n    \
         chat: {{type: webhook, urls: ['http://127.0.0.1:{}/hook'], bearer_token_file: token}}\n",
        alertmanager.port, webhook.port
    ));
    produce(
        &input,
        payloads[..middle].iter().map(|text| (0, text.clone())),
    );
    let instance = deployment.start("a");
    let expected = open(&before);
    await_that("the incident is with Alertmanager", || {
        alertmanager.incidents() == expected
    });
    await_that("the webhook has taken it at last", || {
        let told: BTreeSet<String> = webhook
            .words()
            .into_iter()
            .map(|(_, incident)| incident)
            .collect();
        expected.iter().all(|incident| told.contains(incident))
    });
    instance.kill();

    let instance = deployment.start("a");
    instance.await_ready();
    assert_eq!(alertmanager.incidents(), expected, "still the same");
    produce(
        &input,
        payloads[middle..].iter().map(|text| (0, text.clone())),
    );
    close(&input, 1, BUCKETS);
    await_that("everything is over", || {
        let over: BTreeSet<String> = webhook
            .words()
            .into_iter()
            .filter(|(status, _)| status == "resolved")
            .map(|(_, incident)| incident)
            .collect();
        all.iter().all(|notice| over.contains(&notice.incident_id))
            && alertmanager.incidents().is_empty()
    });
    assert_eq!(instance.stop(), Some(0), "{}", deployment.logs());

    let mut written: Vec<String> = deployment
        .seen("alerts")
        .into_iter()
        .filter_map(|seen| seen.value)
        .collect();
    let mut wanted: Vec<String> = all
        .iter()
        .map(|notice| String::from_utf8(notice.write()).expect("text"))
        .collect();
    written.sort();
    wanted.sort();
    assert_eq!(
        written,
        wanted,
        "each notice once, as in the calm run\n{}",
        deployment.logs()
    );
    assert_eq!(deployment.seen("alerts.ocsf").len(), all.len());
    let seen = webhook.seen.lock().expect("no panic inside");
    assert!(seen.iter().all(|(head, _)| head.starts_with("post /hook ")
        && head.contains("authorization: bearer let-me-in")));
    assert!(!deployment.logs().contains("let-me-in"));
}
