//! `/livez`, `/readyz` and `/metrics`, on a thread of their own.
//!
//! Answers: 200 when it is so, 503 when not, with the reasons as JSON. Holds: a request never waits for a job's loop, and no request can
//! disturb one. Checked by: the tests below.

use super::telemetry::{Health, Telemetry};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[error(
    "http.bind: {address}: {error}; choose an address of this host and a port that nobody listens on"
)]
pub struct HttpError {
    address: SocketAddr,
    error: std::io::Error,
}

/// A running server; it ends when dropped.
pub struct HttpServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Listens on `address` (port 0: any free one) and answers from `telemetry`.
    pub fn start(address: SocketAddr, telemetry: Arc<Telemetry>) -> Result<HttpServer, HttpError> {
        let failed = |error| HttpError { address, error };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let serve = async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let ended = async move { stopped.await.unwrap_or(()) };
            tokio::select! {
                outcome = axum::serve(listener, router(telemetry)).into_future() => outcome,
                () = ended => Ok(()),
            }
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

fn router(telemetry: Arc<Telemetry>) -> Router {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(telemetry)
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

async fn metrics(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        telemetry.exposition(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Job;
    use crate::runtime::clock::ManualClock;
    use crate::runtime::log::{Revocation, TopicPartition};
    use crate::runtime::observer::{Fact, Observer};
    use std::io::{Read, Write};

    const JOB: &str = r#"{"job_id": "web", "analysis_config": {"bucket_span": "5m", "detectors": [{"function": "count"}]}, "data_description": {"time_field": "t"}}"#;

    fn ask(server: &HttpServer, path: &str) -> String {
        let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn served() -> (ManualClock, Arc<Telemetry>, HttpServer) {
        let job = Arc::new(Job::from_text(JOB, "web.json").unwrap());
        let clock = ManualClock::at(1_000_000);
        let telemetry = Arc::new(Telemetry::new(Arc::new(clock.clone()), &[job]));
        let server = HttpServer::start("127.0.0.1:0".parse().unwrap(), telemetry.clone()).unwrap();
        (clock, telemetry, server)
    }

    #[test]
    fn the_probes_say_no_until_it_is_so_and_again_when_it_is_no_longer() {
        let (clock, telemetry, server) = served();
        assert!(ask(&server, "/livez").starts_with("HTTP/1.1 200"));
        assert!(ask(&server, "/readyz").starts_with("HTTP/1.1 503"));
        telemetry.observe(
            "web",
            &Fact::Breath {
                ready: true,
                at_end: false,
            },
        );
        assert!(ask(&server, "/readyz").starts_with("HTTP/1.1 200"));
        clock.advance(121_000);
        let stuck = ask(&server, "/livez");
        assert!(
            stuck.starts_with("HTTP/1.1 503")
                && stuck.contains(r#""seconds_since_last_turn":121.0"#),
            "{stuck}"
        );
        assert!(ask(&server, "/nothing").starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn metrics_are_there_at_zero_before_anything_happens_and_count_what_does() {
        let (_, telemetry, server) = served();
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
        telemetry.observe(
            "web",
            &Fact::Breath {
                ready: true,
                at_end: true,
            },
        );
        let after = ask(&server, "/metrics");
        for line in [
            r#"tidewatch_messages_consumed_total{topic="events"} 5"#,
            r#"tidewatch_consumer_lag_messages{kafka_partition="3",topic="events"} 0"#,
            r#"tidewatch_assigned_partitions{job_id="web"} 1"#,
        ] {
            assert!(after.contains(line), "{line}\nnot in {after}");
        }
    }

    #[test]
    fn an_instance_says_nothing_of_event_time_on_partitions_that_others_work_on_now() {
        let (_, telemetry, server) = served();
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
            let line =
                lines.find(|line| line.starts_with("tidewatch_watermark_timestamp_seconds{"));
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
}
