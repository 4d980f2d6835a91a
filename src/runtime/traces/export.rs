//! Ended spans on their way to a collector: a bounded queue, a thread, a request now and then.
//!
//! Holds: ending a span never waits: what finds the queue full is dropped, and counted; a collector that is down or slow costs spans and nothing else;
//! at the end the wait is bounded. What becomes of spans is told as [`Fact::Spans`], trouble once until it has gone well again. Neither a header nor what
//! follows the address's host is in what is told. A request that may succeed later is made three times while things go well, once while they do not.
//! Source: OpenTelemetry Protocol 1.x, "OTLP/HTTP". Checked by: tests/traces.rs.
#![allow(
    clippy::disallowed_methods,
    reason = "how long to wait for a collector is no result"
)]

use super::TracesError;
use crate::config::service::{Headers, Otlp};
use crate::runtime::alerts::http::{again_after, authorities};
use crate::runtime::observer::{Delivery, Fact, Observer};
use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prost::Message;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use ureq::tls::TlsConfig;

/// Spans that wait for the thread; some hundred bytes each, attributes included.
const QUEUE_MAX: usize = 4096;
/// Spans in a request.
const BATCH_MAX: usize = 512;
/// How long a span waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// Between two looks at whether the end has come.
const TICK: Duration = Duration::from_millis(50);
/// Before a request is made again, unless the collector says when.
const AGAIN_AFTER: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(10);
/// Of an answer.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Where spans end.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: SyncSender<SpanData>,
    dropped: Arc<AtomicU64>,
}

impl SpanProcessor for Outbox {
    fn on_start(&self, _span: &mut Span, _cx: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        if self.queue.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(()) // the exporter ends by itself, see Exporter::end
    }
}

impl Outbox {
    /// The outbox, and its thread.
    pub(super) fn open(
        otlp: &Otlp,
        resource: &Resource,
        observer: Arc<dyn Observer>,
    ) -> Result<(Outbox, Exporter), TracesError> {
        let (queue, spans) = sync_channel(QUEUE_MAX);
        let (told, ended) = sync_channel(1);
        let dropped = Arc::new(AtomicU64::new(0));
        let ending = Arc::new(Ending::default());
        let carrier = Carrier {
            spans,
            dropped: Arc::clone(&dropped),
            ending: Arc::clone(&ending),
            resource: ResourceAttributesWithSchema::from(resource),
            post: Post::new(otlp)?,
            observer,
            is_failing: false,
            is_overflowing: false,
        };
        let work = move || {
            carrier.run();
            let _ = told.send(()); // nobody may wait any more
        };
        let named = thread::Builder::new().name("traces".to_owned());
        named
            .spawn(work)
            .map_err(|error| TracesError(format!("no thread: {error}")))?;
        let exporter = Exporter {
            ending,
            ended: Mutex::new(ended),
        };
        Ok((Outbox { queue, dropped }, exporter))
    }
}

/// By when everything has to be over, once that is known.
#[derive(Debug, Default)]
struct Ending(Mutex<Option<Instant>>);

impl Ending {
    fn by(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that sends, from outside.
pub(super) struct Exporter {
    ending: Arc<Ending>,
    ended: Mutex<Receiver<()>>,
}

impl Exporter {
    /// Asks for the end and waits for it, so long at the most. Whether it came.
    pub(super) fn end(&self, within: Duration) -> bool {
        let by = Instant::now() + within;
        *self.ending.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(by);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        match ended.recv_timeout(within) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
            Err(RecvTimeoutError::Timeout) => false,
        }
    }
}

/// What the thread has.
struct Carrier {
    spans: Receiver<SpanData>,
    dropped: Arc<AtomicU64>,
    ending: Arc<Ending>,
    resource: ResourceAttributesWithSchema,
    post: Post,
    observer: Arc<dyn Observer>,
    /// The last request failed.
    is_failing: bool,
    /// Spans were dropped when it was last told.
    is_overflowing: bool,
}

impl Carrier {
    fn run(mut self) {
        while let Some(batch) = self.gather() {
            if !batch.is_empty() {
                self.carry(batch);
            }
            self.tell_dropped();
        }
        self.tell_dropped();
    }

    /// The next batch, perhaps an empty one after a while; `None` at the end.
    fn gather(&self) -> Option<Vec<SpanData>> {
        let mut batch = Vec::new();
        let mut until = None;
        loop {
            match self.spans.recv_timeout(TICK) {
                Ok(span) => batch.push(span),
                Err(RecvTimeoutError::Timeout) if self.ending.by().is_none() => {}
                Err(_) => return (!batch.is_empty()).then_some(batch),
            }
            let until = *until.get_or_insert_with(|| Instant::now() + LINGER);
            if batch.len() >= BATCH_MAX || Instant::now() >= until {
                return Some(batch);
            }
        }
    }

    fn carry(&mut self, batch: Vec<SpanData>) {
        let spans = batch.len() as u64;
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        match self.send(&body) {
            Ok(refused) => {
                let refused = refused.min(spans);
                let news = self.is_failing.then_some(Delivery::Works);
                self.is_failing = false;
                self.tell(spans - refused, 0, refused, news);
            }
            Err(failure) => {
                let news = (!self.is_failing).then_some(Delivery::Fails(&failure.why));
                self.is_failing = true;
                self.tell(0, 0, spans, news);
            }
        }
    }

    /// How many of its spans the collector refused.
    fn send(&self, body: &[u8]) -> Result<u64, Failure> {
        let attempts = if self.is_failing {
            0
        } else {
            AGAIN_AFTER.len()
        };
        for after in AGAIN_AFTER.iter().take(attempts) {
            match self.try_to_send(body) {
                Err(failure) if failure.may_pass => {
                    let wait = failure.again_after.unwrap_or(*after);
                    self.pause(wait.min(AGAIN_AFTER_MAX));
                }
                done => return done,
            }
        }
        self.try_to_send(body)
    }

    fn try_to_send(&self, body: &[u8]) -> Result<u64, Failure> {
        let left = match self.ending.by() {
            Some(by) => by.saturating_duration_since(Instant::now()),
            None => Duration::MAX,
        };
        if left.is_zero() {
            return Err(Failure::new("the end came first", false));
        }
        self.post.send(body, left)
    }

    /// Waits, but not beyond the wish to end.
    fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        while self.ending.by().is_none() && Instant::now() < until {
            thread::sleep(TICK);
        }
    }

    fn tell_dropped(&mut self) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        let is_new = dropped > 0 && !self.is_overflowing;
        self.is_overflowing = dropped > 0;
        if dropped > 0 {
            self.tell(0, dropped, 0, is_new.then_some(Delivery::Overflows));
        }
    }

    fn tell(&self, exported: u64, dropped: u64, failed: u64, news: Option<Delivery<'_>>) {
        let fact = Fact::Spans {
            exported,
            dropped,
            failed,
            news,
        };
        self.observer.observe("", &fact);
    }
}

/// Why a request did not succeed.
struct Failure {
    why: String,
    may_pass: bool,
    again_after: Option<Duration>,
}

impl Failure {
    fn new(why: impl Into<String>, may_pass: bool) -> Failure {
        Failure {
            why: why.into(),
            may_pass,
            again_after: None,
        }
    }
}

/// Speaks to the collector.
struct Post {
    agent: ureq::Agent,
    otlp: Otlp,
}

impl Post {
    fn new(otlp: &Otlp) -> Result<Post, TracesError> {
        let mut builder = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // A credential goes nowhere else.
            .max_redirects(0)
            .user_agent(concat!("tidewatch/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = &otlp.ca_file {
            let roots = authorities(file).map_err(|error| TracesError(error.to_string()))?;
            builder = builder.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(Post {
            agent: builder.build().new_agent(),
            otlp: otlp.clone(),
        })
    }

    fn send(&self, body: &[u8], left: Duration) -> Result<u64, Failure> {
        let mut request = self
            .agent
            .post(&self.otlp.url)
            .config()
            .timeout_global(Some(self.otlp.timeout.min(left)))
            .build()
            .header("content-type", "application/x-protobuf");
        let of_file = self.headers_of_file()?;
        for (name, value) in self.otlp.headers.iter().chain(of_file.iter()) {
            request = request.header(name, value.reveal());
        }
        let sent = match self.otlp.gzip {
            true => request
                .header("content-encoding", "gzip")
                .send(&compressed(body)[..]),
            false => request.send(body),
        };
        let mut answer = sent.map_err(|error| match error {
            // These quote what may be a secret.
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                Failure::new("the address or a header cannot be sent", false)
            }
            other => Failure::new(other.to_string(), true),
        })?;
        let status = answer.status();
        let again_after = again_after(answer.headers());
        let said = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        let said = said.read_to_vec().unwrap_or_default();
        if !status.is_success() {
            // What a collector says may quote what it was sent.
            return Err(Failure {
                why: format!("the collector answers {status}"),
                may_pass: matches!(status.as_u16(), 429 | 502 | 503 | 504),
                again_after,
            });
        }
        // Not every collector answers as it should; that it took the spans is what counts.
        let answer = ExportTraceServiceResponse::decode(&said[..]).unwrap_or_default();
        let refused = answer.partial_success.map_or(0, |part| part.rejected_spans);
        Ok(u64::try_from(refused).unwrap_or(0))
    }

    /// Read each time: they may rotate.
    fn headers_of_file(&self) -> Result<Headers, Failure> {
        let Some(file) = &self.otlp.headers_file else {
            return Ok(Headers::default());
        };
        let secret = file.read();
        let secret = secret.map_err(|error| Failure::new(error.to_string(), true))?;
        Headers::parse(secret.reveal()).map_err(|problem| {
            let file = file.path().display();
            Failure::new(format!("{file}: {problem}"), true)
        })
    }
}

fn compressed(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(body)
        .and_then(|()| encoder.finish())
        .expect("memory takes what is written")
}
