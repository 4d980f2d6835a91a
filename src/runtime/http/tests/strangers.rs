//! Strangers who open many connections, never read, or ask for more than is good; and oddities of HTTP, each with what becomes of it.
//!
//! Patience below is what a broken server would need to be found out, not what a sound one takes.

use super::*;
use crate::runtime::clock::Clock;
use crate::runtime::http::connection::{CONNECTIONS_MAX, see_through};
use std::io::ErrorKind;
use std::net::Shutdown;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use tokio::net::TcpSocket;

/// More than are held at once, and no more than the system lets wait besides.
const FLOOD: usize = 3 * CONNECTIONS_MAX;

fn client(server: &HttpServer, patience: Duration) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    stream
}

/// Connections that say nothing, from another address than other tests' clients have.
fn silent(server: &HttpServer, from: &str, count: usize) -> Vec<TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let connect = || async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        let stream = socket.connect(server.address()).await.unwrap();
        stream.into_std().unwrap()
    };
    (0..count).map(|_| runtime.block_on(connect())).collect()
}

/// Whether the server holds this silent connection still.
fn is_open(stream: &mut TcpStream) -> bool {
    let answer = stream.read(&mut [0]);
    matches!(answer, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn a_probe_waits_for_none_of_the_connections_that_a_stranger_holds() {
    let server = served(&open());
    let _strangers = silent(&server, "127.0.0.1", FLOOD);
    let mut probe = client(&server, HEAD_PATIENCE / 2);
    probe.write_all(&request("GET", "/livez", "")).unwrap();
    assert_eq!(status(&read_all(probe)), 200);
}

#[test]
fn who_opens_too_many_loses_his_own_and_nobody_elses() {
    let server = served(&open());
    let mut scraper = client(&server, HEAD_PATIENCE);
    scraper.write_all(b"GET /metrics HT").unwrap();
    let mut strangers = silent(&server, "127.0.0.2", 2 * CONNECTIONS_MAX);
    assert_eq!(status(&ask(&server, "/livez")), 200);
    assert!(!is_open(&mut strangers[0]), "his oldest");
    assert!(is_open(strangers.last_mut().unwrap()), "his newest");
    scraper.write_all(b"TP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(status(&read_all(scraper)), 200);
}

#[test]
fn a_connection_is_one_request_and_who_has_said_everything_may_say_so() {
    let server = served(&open());
    let two = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    let ask = |bytes: &[u8], is_last: bool| {
        let mut stream = client(&server, HEAD_PATIENCE / 2);
        stream.write_all(bytes).unwrap();
        if is_last {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the server ends it");
        String::from_utf8(answer).unwrap()
    };
    let answer = ask(two, false);
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    let patient = b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(status(&ask(patient, false)), 200);
    for path in ["/livez", "/healthz", "/metrics"] {
        let answer = ask(&request("GET", path, ""), true);
        assert_eq!(status(&answer), 200, "{path}");
    }
}

/// Somewhere to wait until one is let on.
struct Gate {
    reached: Mutex<Sender<()>>,
    opened: Mutex<Receiver<()>>,
}

impl Gate {
    /// With what tells that it is reached, and what opens it once.
    fn new() -> (Gate, Receiver<()>, Sender<()>) {
        let ((reached, is_reached), (open, opened)) = (channel(), channel());
        let gate = Gate {
            reached: Mutex::new(reached),
            opened: Mutex::new(opened),
        };
        (gate, is_reached, open)
    }

    fn pass(&self) {
        self.reached.lock().unwrap().send(()).unwrap();
        self.opened.lock().unwrap().recv().unwrap();
    }
}

/// A clock that takes its time: of the day, with which only details are stamped, or the steady one, which a probe asks.
#[derive(Default)]
struct SlowClock {
    day: Option<Gate>,
    steady: Option<Gate>,
}

impl Clock for SlowClock {
    fn now_ms(&self) -> i64 {
        self.day.iter().for_each(Gate::pass);
        1
    }

    fn steady_ms(&self) -> i64 {
        self.steady.iter().for_each(Gate::pass);
        1
    }
}

fn served_by(clock: SlowClock) -> HttpServer {
    let telemetry = Arc::new(Telemetry::new(Arc::new(clock), &[]));
    HttpServer::start(&open(), telemetry).unwrap()
}

fn asked(server: &HttpServer, path: &str) -> TcpStream {
    let mut stream = client(server, HEAD_PATIENCE / 2);
    stream.write_all(&request("GET", path, "")).unwrap();
    stream
}

#[test]
fn a_probe_does_not_wait_for_an_answer_that_takes_work() {
    let (gate, is_reached, open) = Gate::new();
    let server = served_by(SlowClock {
        day: Some(gate),
        ..SlowClock::default()
    });
    let details = [(); 3].map(|()| asked(&server, "/healthz"));
    is_reached.recv().unwrap();
    let mut answer = Vec::new();
    let read = asked(&server, "/livez").read_to_end(&mut answer);
    assert!(is_reached.try_recv().is_err(), "one is made at a time");
    details.iter().for_each(|_| open.send(()).unwrap());
    assert!(read.is_ok(), "no answer");
    for stream in details {
        assert_eq!(status(&read_all(stream)), 200);
    }
}

#[test]
fn a_probe_that_has_asked_is_heard_before_those_that_come_after_it() {
    let (gate, is_reached, open) = Gate::new();
    let server = served_by(SlowClock {
        steady: Some(gate),
        ..SlowClock::default()
    });
    let busy = asked(&server, "/livez");
    is_reached.recv().unwrap();
    // Nobody is taken in now: all of them wait together.
    let probe = asked(&server, "/livez");
    let _strangers = silent(&server, "127.0.0.1", CONNECTIONS_MAX + 10);
    (0..2).for_each(|_| open.send(()).unwrap());
    for stream in [busy, probe] {
        assert_eq!(status(&read_all(stream)), 200);
    }
}

#[test]
fn who_never_reads_a_large_answer_is_left_when_his_time_is_over() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let large = || async { "x".repeat(64 << 20) };
        let router = Router::new().route("/", get(large));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut stranger = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stranger.write_all(&request("GET", "/", "")).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        // Never, if this did not end it.
        see_through(stream, router, None, Duration::from_millis(200)).await;
    });
}

#[test]
fn a_secret_that_cannot_be_read_is_a_line_an_outage_however_often_strangers_ask() {
    let files = TempDir::new().unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    let to_log = tracing_subscriber::fmt()
        .with_writer(Arc::new(log.reopen().unwrap()))
        .finish();
    let auth = HttpAuth {
        bearer_token: Some(secret(files.path(), "token", "t0ken")),
        ..HttpAuth::default()
    };
    let guard = Guard::of(&auth, false);
    let mut headers = axum::http::HeaderMap::new();
    headers.insert("authorization", "Bearer t0ken".parse().unwrap());
    let passes = || {
        let refusal = guard.refusal("/metrics", &headers, Certificate::NotShown);
        refusal.is_none()
    };
    tracing::subscriber::with_default(to_log, || {
        for _ in 0..2 {
            fs::remove_file(files.path().join("token")).unwrap();
            assert!((0..50).all(|_| passes()));
            secret(files.path(), "token", "t0ken");
            assert!(passes());
        }
    });
    let lines = fs::read_to_string(log.path()).unwrap();
    assert_eq!(lines.lines().count(), 2, "{lines}");
    assert!(!lines.contains("t0ken"), "{lines}");
}

#[test]
fn oddities_of_http_are_refused_or_mean_what_they_say_and_open_nothing() {
    let files = TempDir::new().unwrap();
    let auth = HttpAuth {
        bearer_token: Some(secret(files.path(), "token", "t0ken")),
        ..HttpAuth::default()
    };
    let server = served(&Http { auth, ..open() });
    let host = "Host: x\r\nConnection: close\r\n";
    for (target, expected) in [
        // Paths are compared as they are written: nothing is decoded, folded or resolved, so nothing is a probe but a probe.
        ("/livez", 200),
        ("http://elsewhere/livez", 200),
        ("http://elsewhere/metrics", 401),
        ("http://elsewhere", 401),
        ("elsewhere:80", 401),
        ("*", 401),
        ("/%6Civez", 401),
        ("/livez%00", 401),
        ("/livez/", 401),
        ("/livez/../metrics", 401),
        ("/livez/%2e%2e/metrics", 401),
        ("/livez;/metrics", 401),
        ("//metrics", 401),
        ("/METRICS", 401),
        ("/livez\\..\\metrics", 401),
        ("/metrics?/livez", 401),
        ("", 400),
        ("?x", 400),
    ] {
        for method in ["GET", "HEAD", "POST", "CONNECT", "FROB"] {
            let answer = send(
                &server,
                format!("{method} {target} HTTP/1.1\r\n{host}\r\n").as_bytes(),
            );
            let is_post = expected == 200 && !matches!(method, "GET" | "HEAD");
            let expected = if is_post { 405 } else { expected };
            assert_eq!(status(&answer), expected, "{method} {target}");
        }
    }
    let behind = "GET /metrics HTTP/1.1\r\nAuthorization: Bearer t0ken\r\n\r\n";
    for (headers, body, expected) in [
        (
            "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
            200,
        ),
        ("Content-Length: 4\r\n", "abcd", 200),
        ("Content-Length: 4\r\nContent-Length: 5\r\n", "abcd", 400),
        ("Content-Length: 4, 4\r\n", "abcd", 400),
        ("Content-Length: -1\r\n", "", 400),
        ("Content-Length: 18446744073709551615\r\n", "", 431),
        ("Content-Length: 18446744073709551616\r\n", "", 400),
        ("Transfer-Encoding: gzip\r\n", "", 400),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            "0\r\n\r\n",
            400,
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            "ffffffffffffffff\r\nabc",
            200,
        ),
        ("Transfer-Encoding: chunked\r\n", "zz\r\n", 200),
        ("Content-Length: 10\r\nExpect: 100-continue\r\n", "", 200),
        ("Upgrade: h2c\r\n", "", 200),
        ("X: a\r\n b\r\n", "", 400),
        ("X : a\r\n", "", 400),
        ("X: a\0b\r\n", "", 400),
    ] {
        let answer = send(
            &server,
            format!("GET /livez HTTP/1.1\r\n{host}{headers}\r\n{body}{behind}").as_bytes(),
        );
        assert_eq!(status(&answer), expected, "{headers}{body}");
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{headers}{body}: {answer}"
        );
    }
}
