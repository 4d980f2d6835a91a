//! A request to the object storage and its answer, asked again while the other side is at fault.
//!
//! Asked again: what could not be connected, was cut, took too long, or was answered by 408, 429 or 5xx; [`ATTEMPTS`] times in all, with waits
//! that double. Anything else is an answer. Holds: a URL is never shown, for its signature is a credential for a few minutes; what is said
//! of a failure is the status, and the code and message of the answer's XML.

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::thread;
use std::time::Duration;
use ureq::Agent;
use ureq::http;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Times that a request is made.
const ATTEMPTS: u32 = 4;
/// Before the second attempt; doubled before each one after it.
const WAIT_FIRST: Duration = Duration::from_millis(200);
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// An answer that is larger is not one of ours.
const BODY_BYTES_MAX: u64 = 64 << 20;
/// So much of a message is told.
const MESSAGE_CHARS_MAX: usize = 200;

/// Makes requests.
#[derive(Debug)]
pub(super) struct Exchange {
    agent: Agent,
}

/// What is asked. The URL is signed anew for every attempt.
pub(super) struct Request<'r> {
    method: http::Method,
    signed: &'r dyn Fn() -> url::Url,
    pub(super) headers: Vec<(&'static str, &'r str)>,
    pub(super) body: &'r [u8],
}

impl<'r> Request<'r> {
    fn of(method: http::Method, signed: &'r dyn Fn() -> url::Url, body: &'r [u8]) -> Request<'r> {
        Request {
            method,
            signed,
            headers: Vec::new(),
            body,
        }
    }

    pub(super) fn get(signed: &'r dyn Fn() -> url::Url) -> Request<'r> {
        Request::of(http::Method::GET, signed, &[])
    }

    pub(super) fn delete(signed: &'r dyn Fn() -> url::Url) -> Request<'r> {
        Request::of(http::Method::DELETE, signed, &[])
    }

    pub(super) fn put(signed: &'r dyn Fn() -> url::Url, body: &'r [u8]) -> Request<'r> {
        Request::of(http::Method::PUT, signed, body)
    }

    pub(super) fn post(signed: &'r dyn Fn() -> url::Url, body: &'r [u8]) -> Request<'r> {
        Request::of(http::Method::POST, signed, body)
    }
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    pub(super) etag: Option<String>,
    content_range: Option<String>,
    pub(super) body: Vec<u8>,
}

/// Why there is no answer, or not the one that was wanted.
#[derive(Debug)]
pub(super) struct Refusal {
    cause: String,
    is_passing: bool,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)?;
        match self.is_passing {
            true => write!(f, " ({ATTEMPTS} attempts)"),
            false => Ok(()),
        }
    }
}

impl Exchange {
    pub(super) fn new(timeout: Duration, ca_file: Option<&Path>) -> Result<Exchange, Refusal> {
        let mut tls = TlsConfig::builder();
        if let Some(path) = ca_file {
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates(path)?));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .tls_config(tls.build())
            .timeout_connect(Some(CONNECT_MAX.min(timeout)))
            .timeout_send_request(Some(timeout))
            .timeout_send_body(Some(timeout))
            .timeout_recv_response(Some(timeout))
            .timeout_recv_body(Some(timeout))
            .build();
        Ok(Exchange {
            agent: config.new_agent(),
        })
    }

    /// The answer, or why there is none after several attempts.
    pub(super) fn ask(&self, request: &Request<'_>) -> Result<Answer, Refusal> {
        let mut wait = WAIT_FIRST;
        for _ in 1..ATTEMPTS {
            match self.ask_once(request) {
                Ok(answer) if !answer.is_passing_trouble() => return Ok(answer),
                _ => thread::sleep(wait),
            }
            wait *= 2;
        }
        match self.ask_once(request) {
            Ok(answer) if answer.is_passing_trouble() => Err(answer.refusal()),
            done => done,
        }
    }

    fn ask_once(&self, request: &Request<'_>) -> Result<Answer, Refusal> {
        let failed = |error: ureq::Error| Refusal {
            cause: error.to_string(),
            is_passing: true,
        };
        let mut builder = http::Request::builder()
            .method(request.method.clone())
            .uri((request.signed)().as_str());
        for (name, value) in &request.headers {
            builder = builder.header(*name, *value);
        }
        let has_body = matches!(request.method, http::Method::PUT | http::Method::POST);
        let response = match has_body {
            true => builder
                .body(request.body)
                .map_err(ureq::Error::from)
                .and_then(|request| self.agent.run(request)),
            false => builder
                .body(())
                .map_err(ureq::Error::from)
                .and_then(|request| self.agent.run(request)),
        };
        let mut response = response.map_err(failed)?;
        let header = |name: &str| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let (status, etag) = (response.status().as_u16(), header("etag"));
        let (content_range, length) = (header("content-range"), header("content-length"));
        let mut body = Vec::new();
        let reader = response.body_mut().as_reader();
        reader
            .take(BODY_BYTES_MAX)
            .read_to_end(&mut body)
            .map_err(|error| failed(error.into()))?;
        let wanted = length.and_then(|length| length.parse().ok());
        if wanted.is_some_and(|wanted: usize| wanted != body.len()) {
            return Err(Refusal {
                cause: format!("the answer was cut after {} bytes", body.len()),
                is_passing: true,
            });
        }
        Ok(Answer {
            status,
            etag,
            content_range,
            body,
        })
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Refusal> {
    let refuse = |cause: String| Refusal {
        cause: format!("certificates of {}: {cause}", path.display()),
        is_passing: false,
    };
    let pem = fs::read(path).map_err(|error| refuse(error.to_string()))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(one) = item.map_err(|error| refuse(error.to_string()))? {
            found.push(one);
        }
    }
    match found.is_empty() {
        true => Err(refuse("there are none in it".to_owned())),
        false => Ok(found),
    }
}

impl Answer {
    fn is_passing_trouble(&self) -> bool {
        matches!(self.status, 408 | 429 | 500..=599)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Itself when it is what was asked for.
    pub(super) fn expect_success(self) -> Result<Answer, Refusal> {
        // A multipart upload may be completed by 200 and an error in the body.
        match (200..300).contains(&self.status) && element(&self.text(), "Error").is_none() {
            true => Ok(self),
            false => Err(self.refusal()),
        }
    }

    /// `None` when the object, or the version of it, is not there: told by one of these codes.
    pub(super) fn unless_absent(self, codes: &[&str]) -> Option<Answer> {
        let is_refused = matches!(self.status, 404 | 412);
        let text = self.text();
        let code = element(&text, "Code").unwrap_or_default();
        (!(is_refused && codes.contains(&code))).then_some(self)
    }

    /// The length of the object of which this is a range.
    pub(super) fn whole_length(&self) -> Option<usize> {
        let (_, whole) = self.content_range.as_deref()?.rsplit_once('/')?;
        whole.parse().ok()
    }

    fn refusal(&self) -> Refusal {
        let text = self.text();
        let said = |name| element(&text, name).unwrap_or_default();
        let message: String = said("Message").chars().take(MESSAGE_CHARS_MAX).collect();
        let cause = format!("status {} {}: {message}", self.status, said("Code"));
        Refusal {
            cause: cause.trim_end_matches([' ', ':']).to_owned(),
            is_passing: self.is_passing_trouble(),
        }
    }
}

/// The text in the first element of this name.
pub(super) fn element<'t>(xml: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}
