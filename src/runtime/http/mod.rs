//! `/livez`, `/readyz`, `/healthz` and `/metrics`, on a thread of their own.
//!
//! Answers: 200 when it is so, 503 when not, with the reasons as JSON. Holds: a request never waits for a job's loop, and no request can
//! disturb one, nor another request: heads are short and come soon, connections are counted and end, and what takes work is made one at a time on a
//! second thread, so that a probe waits for none of it. Who may ask is the guard's affair.
//! Checked by: the tests below.

mod connection;
mod guard;
mod places;
mod tls;

use super::telemetry::{Health, Telemetry};
use crate::config::service::Http;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use connection::{Peer, Seldom};
use guard::{Certificate, Guard};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tls::Certificates;
pub use tls::TlsError;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be listened on.
    #[error(
        "http.bind: {address}: {error}; choose an address of this host and a port that nobody listens on"
    )]
    Bind {
        /// Which one.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// TLS cannot be had.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A running server; it ends when dropped.
pub struct HttpServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Listens as `http` says (port 0: any free one) and answers from `telemetry`.
    pub fn start(http: &Http, telemetry: Arc<Telemetry>) -> Result<HttpServer, HttpError> {
        let address = http.bind;
        let failed = |error| HttpError::Bind { address, error };
        let certificates = http.tls.as_ref().map(Certificates::load).transpose()?;
        let wants_certificate = http
            .tls
            .as_ref()
            .is_some_and(|tls| tls.client_ca_file.is_some());
        let guard = Guard::of(&http.auth, wants_certificate);
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .thread_name("http-maker")
            .build()
            .map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let serve = async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let router = router(telemetry, guard);
            tokio::select! {
                () = connection::serve(listener, router, certificates) => {}
                _ = stopped => {}
            }
            Ok::<(), std::io::Error>(())
        };
        let run = move || {
            if let Err(error) = runtime.block_on(serve) {
                tracing::error!(%error, "the HTTP server ended");
            }
        };
        let thread = std::thread::Builder::new()
            .name("http".into())
            .spawn(run)
            .map_err(failed)?;
        Ok(HttpServer {
            address: bound,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn router(telemetry: Arc<Telemetry>, guard: Guard) -> Router {
    let door = Arc::new(Door {
        guard,
        telemetry: Arc::clone(&telemetry),
        refusals: Mutex::default(),
    });
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .with_state(Arc::clone(&telemetry))
        .merge(
            Router::new()
                .route("/healthz", get(report))
                .route("/metrics", get(metrics))
                .with_state(Maker::of(telemetry)),
        )
        .fallback(unknown)
        .layer(middleware::from_fn_with_state(door, admit))
}

/// Where everybody comes in, or not.
struct Door {
    guard: Guard,
    telemetry: Arc<Telemetry>,
    refusals: Mutex<Seldom>,
}

impl Door {
    /// Each is counted; a line names one of them now and then. What was asked for is not in it: a secret may be, in a path that was mistyped.
    fn refused(&self, peer: Peer, status: StatusCode) {
        self.telemetry.http_refused(status.as_u16());
        let refusals = self.refusals.lock();
        if refusals
            .unwrap_or_else(PoisonError::into_inner)
            .is_to_be_said()
        {
            let peer = peer.0.map(tracing::field::display);
            let status = status.as_u16();
            tracing::warn!(
                peer,
                status,
                "HTTP request without the right credentials refused"
            );
        }
    }
}

/// Makes answers that take work, one at a time: whoever asks for many waits for himself.
#[derive(Clone)]
struct Maker {
    telemetry: Arc<Telemetry>,
    turn: Arc<Semaphore>,
}

impl Maker {
    fn of(telemetry: Arc<Telemetry>) -> Maker {
        let turn = Arc::new(Semaphore::new(1));
        Maker { telemetry, turn }
    }

    async fn make(self, answer: impl FnOnce(&Telemetry) -> Response + Send + 'static) -> Response {
        let turn = self.turn.acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        let made = spawn_blocking(move || {
            let _turn = turn; // until it is made, also if nobody waits for it any more
            answer(&self.telemetry)
        });
        made.await
            .unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }
}

/// Before anything else: also whether a path exists is only told to those who may ask.
async fn admit(
    State(door): State<Arc<Door>>,
    Extension(peer): Extension<Peer>,
    Extension(certificate): Extension<Certificate>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    match door.guard.refusal(path, request.headers(), certificate) {
        Some(refusal) => {
            door.refused(peer, refusal.status());
            refusal
        }
        None => next.run(request).await,
    }
}

/// Elastic's API is not served here, which somebody may expect: the paths that are, are named.
async fn unknown() -> impl IntoResponse {
    let paths = ["/livez", "/readyz", "/healthz", "/metrics"];
    let body = serde_json::json!({"error": "no such path; jobs are files, and results are in topics", "paths": paths});
    (StatusCode::NOT_FOUND, Json(body))
}

async fn live(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    answer(telemetry.health(), |health| health.live)
}

async fn ready(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    answer(telemetry.health(), |health| health.ready)
}

fn answer(health: Health, holds: impl Fn(&Health) -> bool) -> (StatusCode, Json<Health>) {
    let status = if holds(&health) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(health))
}

/// Always 200 when it can be had at all: whether all is well is in it, and the probes' affair.
async fn report(State(maker): State<Maker>) -> Response {
    maker
        .make(|telemetry| Json(telemetry.report()).into_response())
        .await
}

async fn metrics(State(maker): State<Maker>) -> Response {
    let content_type = (
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    );
    maker
        .make(move |telemetry| ([content_type], telemetry.exposition()).into_response())
        .await
}

#[cfg(test)]
mod tests;
