//! An S3 server (moto) for the tests, and a proxy before it that does what networks and busy servers do.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Names of one listing's page.
pub(crate) const NAMES_A_PAGE: usize = 7;
const PROGRAM: &str = "target/moto/bin/moto_server";

/// A server that ends with its test.
pub(crate) struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// One with a bucket `models`.
    pub(crate) fn start() -> Server {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(PROGRAM);
        assert!(
            program.exists(),
            "{PROGRAM} is not there: `make moto` installs it (python3-venv, then moto from PyPI)"
        );
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .env("MOTO_S3_DEFAULT_MAX_KEYS", NAMES_A_PAGE.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto starts");
        let server = Server { child, port };
        let is_up = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        let up = (0..600).any(|_| {
            thread::sleep(Duration::from_millis(100));
            is_up()
        });
        assert!(up, "moto does not answer within a minute");
        let request = "PUT /models HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let answer = raw(port, request.as_bytes()).expect("an answer");
        assert!(answer.starts_with(b"HTTP/1.1 200"), "a bucket");
        server
    }

    /// The status line and body of a GET, unsigned.
    pub(crate) fn look(&self, path: &str) -> String {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        String::from_utf8_lossy(&raw(self.port, request.as_bytes()).expect("an answer"))
            .into_owned()
    }
}

/// An HTTP exchange, byte for byte.
fn raw(port: u16, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What befalls one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// This status with this body, without asking the server.
    Answer(u16, &'static str),
    /// The connection is closed before an answer.
    Hangup,
    /// The server does it, but only so many bytes of the answer arrive.
    CutAnswer(usize),
    /// No answer for as long as anyone waits.
    Silence,
}

/// Stands before a server.
pub(crate) struct Proxy {
    port: u16,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// It does not keep the server alive.
    pub(crate) fn before(server: &Server) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let faults: Arc<Mutex<VecDeque<Fault>>> = Arc::default();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let proxy = Proxy {
            port,
            faults: Arc::clone(&faults),
            requests: Arc::clone(&requests),
        };
        let upstream = server.port;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (faults, requests) = (Arc::clone(&faults), Arc::clone(&requests));
                thread::spawn(move || {
                    let _ = pass(stream, upstream, &faults, &requests);
                });
            }
        });
        proxy
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What befalls the next requests, one after another; then nothing does.
    pub(crate) fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        let mut planned = self.faults.lock().unwrap();
        planned.clear();
        planned.extend(faults);
    }

    /// The methods and paths of the requests since it was last asked.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

/// One request and its answer; the connection serves no second one.
fn pass(
    mut stream: TcpStream,
    upstream: u16,
    faults: &Mutex<VecDeque<Fault>>,
    requests: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let from = head.len();
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
        let line = head[from..].trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let line = head.lines().next().unwrap_or_default();
    let asked = line.split(['?', ' ']).take(2).collect::<Vec<_>>().join(" ");
    requests.lock().unwrap().push(asked);
    let fault = faults.lock().unwrap().pop_front().unwrap_or(Fault::None);
    let forward = || {
        let lines = head.lines().filter(|line| {
            let name = line.split(':').next().unwrap_or_default();
            !line.is_empty() && !name.eq_ignore_ascii_case("connection")
        });
        let mut request = lines.collect::<Vec<_>>().join("\r\n").into_bytes();
        request.extend_from_slice(b"\r\nConnection: close\r\n\r\n");
        request.extend_from_slice(&body);
        raw(upstream, &request)
    };
    match fault {
        Fault::None => stream.write_all(&forward()?)?,
        Fault::Answer(status, body) => {
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )?;
        }
        Fault::Hangup => {}
        Fault::CutAnswer(bytes) => {
            let answer = forward()?;
            stream.write_all(&answer[..bytes.min(answer.len())])?;
        }
        Fault::Silence => thread::sleep(Duration::from_secs(30)),
    }
    stream.shutdown(Shutdown::Both)
}
