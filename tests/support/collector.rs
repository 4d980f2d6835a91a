//! A collector of traces: OTLP over HTTP, one connection at a time, everything kept.
#![allow(dead_code, unreachable_pub, missing_docs)] // not every test uses every room

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What has come.
#[derive(Clone, Default)]
pub struct Seen {
    pub spans: Vec<Span>,
    resource: Vec<KeyValue>,
    headers: Vec<(String, String)>,
    requests: usize,
}

impl Seen {
    pub fn resource(&self) -> &[KeyValue] {
        &self.resource
    }
    pub fn starting_with<'s>(&'s self, start: &'s str) -> impl Iterator<Item = &'s Span> {
        let fits = move |span: &&Span| span.name.starts_with(start);
        self.spans.iter().filter(fits)
    }
    pub fn named(&self, name: &str) -> Vec<&Span> {
        let named = self.spans.iter().filter(|span| span.name == name);
        named.collect()
    }
    pub fn parent(&self, span: &Span) -> &Span {
        let is_parent =
            |one: &&Span| one.span_id == span.parent_span_id && one.trace_id == span.trace_id;
        let parent = self.spans.iter().find(is_parent);
        parent.unwrap_or_else(|| panic!("{} has no parent", span.name))
    }
    pub fn children<'s>(&'s self, span: &'s Span) -> impl Iterator<Item = &'s Span> {
        let of = |one: &&Span| one.parent_span_id == span.span_id && one.trace_id == span.trace_id;
        self.spans.iter().filter(of)
    }
    /// The values of a header, request by request.
    pub fn headers<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        let named = self.headers.iter().filter(move |(said, _)| said == name);
        named.map(|(_, value)| value.as_str())
    }
}

/// An attribute that is a text.
pub fn text<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    match value(attributes, key) {
        Value::StringValue(text) => text,
        other => panic!("{key} is {other:?}"),
    }
}

/// An attribute that is a number.
pub fn int(attributes: &[KeyValue], key: &str) -> i64 {
    match value(attributes, key) {
        Value::IntValue(number) => *number,
        other => panic!("{key} is {other:?}"),
    }
}

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> &'a Value {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    let found = found.unwrap_or_else(|| panic!("no {key} in {attributes:?}"));
    found.value.as_ref().unwrap().value.as_ref().unwrap()
}

pub struct Collector {
    address: String,
    seen: Arc<Mutex<Seen>>,
}

impl Collector {
    /// Takes everything.
    pub fn start() -> Collector {
        Collector::answering(&[])
    }

    /// Answers with these, status and spans refused, one after another, and then with 200 or what was last.
    pub fn answering(answers: &[(u16, u64)]) -> Collector {
        let (listener, address) = listen();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut answers: Vec<(u16, u64)> = answers.iter().rev().copied().collect();
        let kept = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whatever is wrong with a connection is the client's to notice.
                let _ = serve(stream, &kept, &mut answers);
            }
        });
        Collector { address, seen }
    }

    /// Takes connections, and never answers.
    pub fn mute() -> Collector {
        let (listener, address) = listen();
        thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming().flatten() {
                held.push(stream);
            }
        });
        Collector {
            address,
            seen: Arc::default(),
        }
    }

    /// An address where nobody listens.
    pub fn dead() -> String {
        listen().1
    }

    pub fn address(&self) -> &str {
        &self.address
    }
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }
    pub fn requests(&self) -> usize {
        self.seen.lock().unwrap().requests
    }
    pub fn await_requests(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.requests() < count {
            assert!(Instant::now() < deadline, "{} requests", self.requests());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().unwrap());
    (listener, address)
}

fn serve(
    stream: TcpStream,
    seen: &Mutex<Seen>,
    answers: &mut Vec<(u16, u64)>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        assert!(first.starts_with("POST /v1/traces HTTP/1.1"), "{first}");
        let mut headers: Vec<(String, String)> = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let header = |name: &str| {
            let found = headers.iter().find(|(said, _)| said == name);
            found.map(|(_, value)| value.clone())
        };
        assert_eq!(
            header("content-type").as_deref(),
            Some("application/x-protobuf")
        );
        let length = header("content-length").expect("a length").parse().unwrap();
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        if header("content-encoding").as_deref() == Some("gzip") {
            let mut plain = Vec::new();
            GzDecoder::new(&body[..]).read_to_end(&mut plain)?;
            body = plain;
        }
        let request = ExportTraceServiceRequest::decode(&body[..]).expect("a request of OTLP");
        let (status, refused) = match answers.len() {
            0 => (200, 0),
            _ => answers.pop().unwrap(),
        };
        let mut seen = seen.lock().unwrap();
        seen.requests += 1;
        seen.headers.extend(headers);
        if status == 200 {
            for of_resource in request.resource_spans {
                seen.resource = of_resource.resource.unwrap_or_default().attributes;
                let scopes = of_resource.scope_spans.into_iter();
                seen.spans.extend(scopes.flat_map(|scope| scope.spans));
            }
        }
        drop(seen);
        let answer = ExportTraceServiceResponse {
            partial_success: (refused > 0).then(|| ExportTracePartialSuccess {
                rejected_spans: refused as i64,
                error_message: String::new(),
            }),
        };
        let answer = answer.encode_to_vec();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all(&[head.as_bytes(), &answer].concat())?;
    }
}
