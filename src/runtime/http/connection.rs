//! The life of a connection, within limits: a stranger may cost us a socket for some seconds, and nobody else anything.
//!
//! Times are wall clock. Holds: at most [`CONNECTIONS_MAX`] at once; each ends, whatever the other side does or leaves undone; a request's head is at
//! most [`HEAD_BYTES_MAX`] long, and its body is never read. Checked by: the tests of the parent module.

use super::guard::Certificate;
use super::tls::Certificates;
use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Connections at once; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 128;
/// For a TLS handshake, and for the head of a request, from the first byte or from the last answer on.
pub(super) const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// Of a request's head.
pub(super) const HEAD_BYTES_MAX: usize = 16 << 10;
/// After so long a connection ends with the request that it is at.
const CONNECTION_LIFE: Duration = Duration::from_secs(300);
/// For that request.
const LAST_WORD_PATIENCE: Duration = Duration::from_secs(10);
/// When the system has no more sockets to give.
const EXHAUSTED_WAIT: Duration = Duration::from_millis(200);

/// Accepts for ever.
pub(super) async fn serve(listener: TcpListener, router: Router, mut tls: Option<Certificates>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let slot = Arc::clone(&slots)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "no connection accepted");
                sleep(EXHAUSTED_WAIT).await;
                continue;
            }
        };
        let acceptor = tls.as_mut().map(Certificates::acceptor);
        let router = router.clone();
        tokio::spawn(async move {
            match acceptor {
                None => talk(stream, router, Certificate::NotShown).await,
                Some(acceptor) => secured(stream, router, acceptor).await,
            }
            drop(slot);
        });
    }
}

async fn secured(stream: TcpStream, router: Router, acceptor: tokio_rustls::TlsAcceptor) {
    match timeout(HEAD_PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let shown = stream.get_ref().1.peer_certificates().is_some();
            let certificate = match shown {
                true => Certificate::Shown,
                false => Certificate::NotShown,
            };
            talk(stream, router, certificate).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "no TLS handshake"),
        Err(_) => tracing::debug!("no TLS handshake in time"),
    }
}

async fn talk<S>(stream: S, router: Router, certificate: Certificate)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(certificate);
        hyper::service::Service::call(&TowerToHyperService::new(router.clone()), request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let outcome = match timeout(CONNECTION_LIFE, connection.as_mut()).await {
        Ok(outcome) => outcome,
        Err(_) => {
            connection.as_mut().graceful_shutdown();
            timeout(LAST_WORD_PATIENCE, connection)
                .await
                .unwrap_or(Ok(()))
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "connection ended");
    }
}
