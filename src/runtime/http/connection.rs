//! The life of a connection, within limits: a stranger may cost us a socket for some seconds, and nobody else anything.
//!
//! Times are wall clock. Holds: at most [`CONNECTIONS_MAX`] at once, and the next is taken in all the same ([`Places`]); each is for one request and ends,
//! whatever the other side does or leaves undone; a request's head is at most [`HEAD_BYTES_MAX`] long, and its body is never read. Checked by: the
//! tests of the parent module.

use super::guard::Certificate;
use super::places::Places;
use super::tls::Certificates;
use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io::ErrorKind::{ConnectionAborted, ConnectionReset};
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// Connections at once: several times what probes, scrapers and people need, and each may hold an answer.
pub(super) const CONNECTIONS_MAX: usize = 64;
/// For a TLS handshake, and for the head of the request.
pub(super) const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// Of a request's head.
pub(super) const HEAD_BYTES_MAX: usize = 16 << 10;
/// From the handshake to the last byte of the answer: no scraper waits longer, and who reads slower keeps the answer in our memory.
const CONNECTION_LIFE: Duration = Duration::from_secs(60);
/// When the system has no more sockets to give, and we have none to return.
const EXHAUSTED_WAIT: Duration = Duration::from_millis(200);
/// Between two lines in the log of one kind.
const SAID_INTERVAL: Duration = Duration::from_secs(60);

/// Accepts for ever.
pub(super) async fn serve(listener: TcpListener, router: Router, mut tls: Option<Certificates>) {
    let mut places = Places::of(CONNECTIONS_MAX);
    let mut strangers = Seldom::default();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Whoever it was has gone: that says nothing of what the system has left.
            Err(error) if matches!(error.kind(), ConnectionAborted | ConnectionReset) => continue,
            Err(error) => {
                if strangers.is_to_be_said() {
                    tracing::warn!(%error, "no HTTP connection accepted");
                }
                match places.give_back() {
                    // They are the system's again when their tasks have had a turn.
                    true => yield_now().await,
                    false => sleep(EXHAUSTED_WAIT).await,
                }
                continue;
            }
        };
        let acceptor = tls.as_mut().map(Certificates::acceptor);
        let connection = tokio::spawn(see_through(
            stream,
            router.clone(),
            acceptor,
            CONNECTION_LIFE,
        ));
        let ended = places.take(peer.ip(), connection.abort_handle());
        if let Some(most) = ended.filter(|_| strangers.is_to_be_said()) {
            tracing::warn!(%most, max = CONNECTIONS_MAX, "too many HTTP connections; whose are the most loses the oldest");
        }
        // Whoever has asked already is heard before the next one comes, who may take his place.
        yield_now().await;
    }
}

/// Who asks; `None`: gone already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) Option<IpAddr>);

/// What strangers can bring about at will is said once in a while.
#[derive(Default)]
pub(super) struct Seldom {
    said: Option<Instant>,
}

impl Seldom {
    pub(super) fn is_to_be_said(&mut self) -> bool {
        let now = Instant::now();
        let is_due = self
            .said
            .is_none_or(|said| now.duration_since(said) >= SAID_INTERVAL);
        if is_due {
            self.said = Some(now);
        }
        is_due
    }
}

/// A connection from its beginning to its end, which comes within `life`.
pub(super) async fn see_through(
    stream: TcpStream,
    router: Router,
    acceptor: Option<TlsAcceptor>,
    life: Duration,
) {
    let peer = Peer(stream.peer_addr().ok().map(|peer| peer.ip()));
    let whole = async {
        match acceptor {
            None => talk(stream, router, (peer, Certificate::NotShown)).await,
            Some(acceptor) => secured(stream, router, peer, acceptor).await,
        }
    };
    if timeout(life, whole).await.is_err() {
        tracing::debug!("connection ended: its answer was not read in time");
    }
}

async fn secured(stream: TcpStream, router: Router, peer: Peer, acceptor: TlsAcceptor) {
    match timeout(HEAD_PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let shown = stream.get_ref().1.peer_certificates().is_some();
            let certificate = match shown {
                true => Certificate::Shown,
                false => Certificate::NotShown,
            };
            talk(stream, router, (peer, certificate)).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "no TLS handshake"),
        Err(_) => tracing::debug!("no TLS handshake in time"),
    }
}

async fn talk<S>(stream: S, router: Router, (peer, certificate): (Peer, Certificate))
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(certificate);
        hyper::service::Service::call(&TowerToHyperService::new(router.clone()), request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(HEAD_BYTES_MAX)
        // Scrapes and probes are seconds apart: an open connection would only take a place meanwhile.
        .keep_alive(false)
        // Who has said everything may say so, and is answered.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection ended");
    }
}
