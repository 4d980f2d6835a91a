//! The HTTP side as clients meet it: probes, metrics, who may ask, and clients that mean no good.

use super::connection::{HEAD_BYTES_MAX, HEAD_PATIENCE};
use super::*;
use crate::config::Job;
use crate::config::service::{HttpAuth, HttpTls, SecretFile};
use crate::runtime::clock::ManualClock;
use crate::runtime::log::{Revocation, TopicPartition};
use crate::runtime::observer::{Fact, Observer};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const JOB: &str = r#"{"job_id": "web", "analysis_config": {"bucket_span": "5m", "detectors": [{"function": "count"}]}, "data_description": {"time_field": "t"}}"#;

fn telemetry() -> (ManualClock, Arc<Telemetry>) {
    let job = Arc::new(Job::from_text(JOB, "web.json").unwrap());
    let clock = ManualClock::at(1_000_000);
    let telemetry = Arc::new(Telemetry::new(Arc::new(clock.clone()), &[job]));
    (clock, telemetry)
}

fn open() -> Http {
    Http::open("127.0.0.1:0".parse().unwrap())
}

fn served(http: &Http) -> HttpServer {
    HttpServer::start(http, telemetry().1).unwrap()
}

/// The whole answer to bytes that end their connection.
fn send(server: &HttpServer, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let _ = stream.write_all(bytes);
    read_all(stream)
}

fn read_all(mut stream: impl Read) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(method: &str, path: &str, headers: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n")
        .into_bytes()
}

fn ask(server: &HttpServer, path: &str) -> String {
    send(server, &request("GET", path, ""))
}

fn status(answer: &str) -> u16 {
    let status = answer.split(' ').nth(1).and_then(|text| text.parse().ok());
    status.unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

#[test]
fn an_instance_says_nothing_of_event_time_on_partitions_that_others_work_on_now() {
    let telemetry = telemetry().1;
    let server = HttpServer::start(&open(), telemetry.clone()).unwrap();
    let (slow, fast) = (
        TopicPartition::new("events", 0),
        TopicPartition::new("events", 1),
    );
    let watermark = |at, event_time_ms| {
        telemetry.observe("web", &Fact::Watermark { at, event_time_ms });
    };
    let leave = |at: &TopicPartition| {
        let partitions = std::slice::from_ref(at);
        let how = Revocation::Released;
        telemetry.observe("web", &Fact::Revoked { partitions, how });
    };
    let said = || {
        let metrics = ask(&server, "/metrics");
        let mut lines = metrics.lines();
        let line = lines.find(|line| line.starts_with("tidewatch_watermark_timestamp_seconds{"));
        line.map(|line| line.rsplit(' ').next().unwrap_or_default().to_owned())
    };
    watermark(&slow, 60_000);
    watermark(&fast, 90_000);
    assert_eq!(said().as_deref(), Some("60"));
    leave(&slow);
    assert_eq!(said().as_deref(), Some("90"));
    leave(&fast);
    assert_eq!(
        said(),
        None,
        "a time that never moves again looks like a job that is stuck"
    );
}

#[test]
fn the_probes_say_no_until_it_is_so_and_again_when_it_is_no_longer() {
    let (clock, telemetry) = telemetry();
    let server = HttpServer::start(&open(), telemetry.clone()).unwrap();
    assert_eq!(status(&ask(&server, "/livez")), 200);
    assert_eq!(status(&ask(&server, "/readyz")), 503);
    let (ready, at_end) = (true, false);
    telemetry.observe("web", &Fact::Breath { ready, at_end });
    assert_eq!(status(&ask(&server, "/readyz")), 200);
    clock.advance(121_000);
    let stuck = ask(&server, "/livez");
    assert_eq!(status(&stuck), 503);
    assert!(
        stuck.contains(r#""seconds_since_last_turn":121.0"#),
        "{stuck}"
    );
}

#[test]
fn metrics_are_there_at_zero_before_anything_happens_and_count_what_does() {
    let (_, telemetry) = telemetry();
    let server = HttpServer::start(&open(), telemetry.clone()).unwrap();
    let before = ask(&server, "/metrics");
    for line in [
        r#"tidewatch_events_rejected_total{job_id="web",reason="late"} 0"#,
        r#"tidewatch_records_total{detector="count",job_id="web",severity="critical"} 0"#,
        r#"tidewatch_transactions_total{outcome="aborted"} 0"#,
        r#"tidewatch_bucket_span_seconds{job_id="web"} 300"#,
        "process_cpu_seconds_total",
    ] {
        assert!(before.contains(line), "{line}\nnot in {before}");
    }
    let at = TopicPartition::new("events", 3);
    telemetry.observe(
        "web",
        &Fact::Assigned {
            at: &at,
            snapshot: None,
            from: 0,
            live_from: 0,
            duration_ms: 0,
        },
    );
    telemetry.observe(
        "web",
        &Fact::Consumed {
            at: &at,
            messages: 5,
            bytes: 50,
            lag: Some(1),
        },
    );
    let (at, messages) = (&at, 0);
    telemetry.observe("web", &Fact::Lag { at, messages });
    let after = ask(&server, "/metrics");
    for line in [
        r#"tidewatch_messages_consumed_total{topic="events"} 5"#,
        r#"tidewatch_consumer_lag_messages{job_id="web",kafka_partition="3",topic="events"} 0"#,
        r#"tidewatch_assigned_partitions{job_id="web"} 1"#,
    ] {
        assert!(after.contains(line), "{line}\nnot in {after}");
    }
}

#[test]
fn other_methods_and_paths_are_refused_and_a_head_is_an_answer_without_its_body() {
    let server = served(&open());
    for (method, path, expected) in [
        ("GET", "/nothing", 404),
        ("GET", "/", 404),
        ("GET", "/livez/../metrics", 404),
        ("GET", "//livez", 404),
        ("GET", "/livez?x=1&y=%00%ff", 200),
        ("POST", "/livez", 405),
        ("DELETE", "/metrics", 405),
        ("OPTIONS", "/metrics", 405),
        ("HEAD", "/metrics", 200),
    ] {
        let answer = send(&server, &request(method, path, ""));
        assert_eq!(status(&answer), expected, "{method} {path}");
        if method == "HEAD" {
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(
                head.contains("content-length: ") && body.is_empty(),
                "{answer}"
            );
        }
    }
    let answer = send(&server, &request("GET", "/_ml/anomaly_detectors", ""));
    assert!(
        answer.contains("application/json") && answer.contains("\"/healthz\""),
        "{answer}"
    );
    // A body that nobody wants is not waited for.
    let posted = send(
        &server,
        b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\nabc",
    );
    assert_eq!(status(&posted), 405);
}

#[test]
fn huge_heads_and_no_http_at_all_end_their_own_connection_only() {
    let server = served(&open());
    let huge = format!("X-Long: {}\r\n", "a".repeat(4 * HEAD_BYTES_MAX));
    let many: String = (0..1_000).map(|n| format!("X-{n}: y\r\n")).collect();
    for headers in [&huge, &many] {
        let answer = send(&server, &request("GET", "/livez", headers));
        assert!(answer.is_empty() || status(&answer) == 431, "{answer}");
    }
    let long_path = format!("/{}", "a".repeat(4 * HEAD_BYTES_MAX));
    let answer = send(&server, &request("GET", &long_path, ""));
    assert!(answer.is_empty() || status(&answer) >= 400, "{answer}");
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\r\n\r\n\r\n\r\n",
        b"GET /livez HTTP/9.9\r\n\r\n",
        b"GET\x00/livez HTTP/1.1\r\n\r\n",
        &[0xff; 4096],
    ] {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let answer = read_all(stream);
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    assert_eq!(status(&ask(&server, "/livez")), 200);
}

#[test]
fn clients_that_send_nothing_or_one_byte_at_a_time_keep_nobody_waiting_and_are_sent_away() {
    let server = served(&open());
    let mut slow: Vec<TcpStream> = (0..40)
        .map(|_| TcpStream::connect(server.address()).unwrap())
        .collect();
    for stream in slow.iter_mut().skip(20) {
        stream.write_all(b"GET /livez HTT").unwrap();
    }
    assert_eq!(status(&ask(&server, "/livez")), 200);
    let mut one = slow.pop().unwrap();
    one.set_read_timeout(Some(HEAD_PATIENCE * 3)).unwrap();
    let mut rest = Vec::new();
    one.read_to_end(&mut rest).expect("the server ends it");
}

fn secret(directory: &Path, name: &str, text: &str) -> SecretFile {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    SecretFile::at(path)
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn basic(user_and_password: &str) -> String {
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(user_and_password);
    format!("authorization: basic {encoded}\r\n")
}

#[test]
fn only_who_knows_the_token_or_the_password_is_answered_and_the_probes_are_everybodys() {
    let files = TempDir::new().unwrap();
    let auth = HttpAuth {
        bearer_token: Some(secret(files.path(), "token", "t0ken\n")),
        basic: Some(("ops".into(), secret(files.path(), "password", "pass:word"))),
        guards_probes: false,
    };
    let server = served(&Http { auth, ..open() });
    let ask_with = |path: &str, headers: &str| send(&server, &request("GET", path, headers));
    for headers in [
        bearer("t0ken"),
        "AUTHORIZATION: bearer   t0ken\r\n".into(),
        basic("ops:pass:word"),
    ] {
        assert_eq!(status(&ask_with("/metrics", &headers)), 200, "{headers}");
        assert_eq!(status(&ask_with("/nothing", &headers)), 404, "{headers}");
    }
    let twice = bearer("t0ken") + &bearer("other");
    for headers in [
        "",
        &bearer(""),
        &bearer("t0ke"),
        &bearer("t0kenn"),
        &bearer("T0KEN"),
        &basic("ops:"),
        &basic("ops"),
        &basic("other:pass:word"),
        &basic("ops:t0ken"),
        &basic(""),
        "Authorization: Basic !!!\r\n",
        "Authorization: Digest t0ken\r\n",
        "Authorization: t0ken\r\n",
        "Authorization: \u{fc}\r\n",
        "X-Authorization: Bearer t0ken\r\n",
        &twice,
    ] {
        for path in ["/metrics", "/healthz", "/nothing", "/LIVEZ", "//livez"] {
            let answer = ask_with(path, headers);
            assert!(
                matches!(status(&answer), 400 | 401),
                "{path} {headers}: {answer}"
            );
            assert!(!answer.contains("t0ken"), "{answer}");
        }
        assert_eq!(status(&ask_with("/livez", headers)), 200);
    }
    let challenge = ask_with("/metrics", "");
    assert!(
        challenge.contains("www-authenticate: Bearer")
            && challenge.contains("www-authenticate: Basic"),
        "{challenge}"
    );
    // Rotated: the new one counts at once; a file that is away changes nothing.
    fs::write(files.path().join("token"), "n3xt").unwrap();
    assert_eq!(status(&ask_with("/metrics", &bearer("t0ken"))), 401);
    assert_eq!(status(&ask_with("/metrics", &bearer("n3xt"))), 200);
    fs::remove_file(files.path().join("token")).unwrap();
    assert_eq!(status(&ask_with("/metrics", &bearer("n3xt"))), 200);
    assert_eq!(status(&ask_with("/metrics", &bearer(""))), 401);
}

#[test]
fn guarded_probes_ask_for_the_token_too() {
    let files = TempDir::new().unwrap();
    let auth = HttpAuth {
        bearer_token: Some(secret(files.path(), "token", "t0ken")),
        guards_probes: true,
        ..HttpAuth::default()
    };
    let server = served(&Http { auth, ..open() });
    assert_eq!(status(&ask(&server, "/livez")), 401);
    let answer = send(&server, &request("GET", "/livez", &bearer("t0ken")));
    assert_eq!(status(&answer), 200);
    // Whoever tries passwords is counted.
    assert_eq!(status(&ask(&server, "/metrics")), 401);
    let metrics = send(&server, &request("GET", "/metrics", &bearer("t0ken")));
    let refused = "tidewatch_http_requests_refused_total{code=\"401\"} 2\n";
    assert!(metrics.contains(refused), "{metrics}");
}

/// An authority, and what it has signed.
struct Pki {
    directory: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Pki {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pki = Pki {
            directory: TempDir::new().unwrap(),
            issuer: Issuer::new(params.clone(), key),
        };
        let certificate = params.self_signed(pki.issuer.key()).unwrap();
        fs::write(pki.path("ca.pem"), certificate.pem()).unwrap();
        pki
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes `NAME.pem` and `NAME.key`.
    fn sign(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_string()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn tls(&self, client_ca: bool) -> HttpTls {
        HttpTls {
            cert_file: self.path("server.pem"),
            key_file: self.path("server.key"),
            client_ca_file: client_ca.then(|| self.path("ca.pem")),
        }
    }

    /// The answer to a client that trusts this authority, the server's certificate with it; `None`: no connection.
    fn ask(
        &self,
        server: &HttpServer,
        path: &str,
        client: Option<(&Pki, &str)>,
    ) -> Option<(String, Vec<u8>)> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap())
            .unwrap();
        let builder =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots);
        let config = match client {
            None => builder.with_no_client_auth(),
            Some((pki, name)) => {
                let chain =
                    CertificateDer::from_pem_file(pki.path(&format!("{name}.pem"))).unwrap();
                let key = PrivateKeyDer::from_pem_file(pki.path(&format!("{name}.key"))).unwrap();
                builder.with_client_auth_cert(vec![chain], key).unwrap()
            }
        };
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream =
            StreamOwned::new(connection, TcpStream::connect(server.address()).unwrap());
        stream.write_all(&request("GET", path, "")).ok()?;
        let answer = read_all(&mut stream);
        let certificate = stream.conn.peer_certificates()?.first()?.to_vec();
        (!answer.is_empty()).then_some((answer, certificate))
    }
}

#[test]
fn over_tls_certificates_are_followed_as_they_rotate_and_a_broken_one_changes_nothing() {
    let pki = Pki::new();
    pki.sign("server");
    let server = served(&Http {
        tls: Some(pki.tls(false)),
        ..open()
    });
    let certificate = || pki.ask(&server, "/livez", None).expect("an answer").1;
    let first = certificate();
    // Plain text on a TLS port is no request.
    assert!(!ask(&server, "/livez").contains("200 OK"));
    fs::write(pki.path("server.pem"), "nothing").unwrap();
    assert_eq!(certificate(), first);
    pki.sign("server");
    let second = certificate();
    assert_ne!(second, first);
    pki.sign("another");
    fs::copy(pki.path("another.key"), pki.path("server.key")).unwrap();
    assert_eq!(certificate(), second, "a key of another certificate");
    assert!(
        Pki::new().ask(&server, "/livez", None).is_none(),
        "an authority that we do not know"
    );
}

#[test]
fn a_client_certificate_opens_what_is_not_a_probe_and_a_strangers_opens_nothing() {
    let pki = Pki::new();
    ["server", "client"].iter().for_each(|name| pki.sign(name));
    let stranger = Pki::new();
    stranger.sign("client");
    let server = served(&Http {
        tls: Some(pki.tls(true)),
        ..open()
    });
    let ask = |path: &str, client: Option<(&Pki, &str)>| {
        let answer = pki.ask(&server, path, client);
        answer.map(|(answer, _)| status(&answer))
    };
    assert_eq!(ask("/metrics", Some((&pki, "client"))), Some(200));
    assert_eq!(ask("/metrics", None), Some(403));
    assert_eq!(ask("/livez", None), Some(200));
    assert_eq!(ask("/livez", Some((&stranger, "client"))), None);
}

#[test]
fn files_that_are_no_certificates_are_named_before_anything_is_served() {
    let pki = Pki::new();
    pki.sign("server");
    let refused = |tls: HttpTls| {
        let http = Http {
            tls: Some(tls),
            ..open()
        };
        let error = HttpServer::start(&http, telemetry().1).err().unwrap();
        error.to_string()
    };
    fs::write(pki.path("empty"), "").unwrap();
    pki.sign("another");
    for (tls, expected) in [
        (
            HttpTls {
                cert_file: pki.path("empty"),
                ..pki.tls(false)
            },
            "http.tls.cert_file",
        ),
        (
            HttpTls {
                key_file: pki.path("server.pem"),
                ..pki.tls(false)
            },
            "http.tls.key_file",
        ),
        (
            HttpTls {
                key_file: pki.path("another.key"),
                ..pki.tls(false)
            },
            "the private key that belongs to it would be right",
        ),
        (
            HttpTls {
                client_ca_file: Some(pki.path("server.key")),
                ..pki.tls(false)
            },
            "http.tls.client_ca_file",
        ),
    ] {
        let said = refused(tls);
        assert!(said.contains(expected), "{said}");
    }
}

mod strangers;
