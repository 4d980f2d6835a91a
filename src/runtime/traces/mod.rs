//! Traces, if asked for: spans of a job's life, sent to a collector by OTLP.
//!
//! ```text
//! transaction                        restore                    snapshot
//! ├─ process TOPIC  (a batch)        ├─ load snapshot           ├─ freeze
//! │  └─ close | judge | roll up      └─ replay                  └─ store
//! └─ commit                             └─ process TOPIC
//! ```
//!
//! A trace is what one transaction holds, from its first batch to its commit; the way of a partition until its task is live; or a snapshot. No span is
//! made of an event. Stages that speak to each other through topics are told apart by `tidewatch.stage` and brought together by
//! `tidewatch.job_id` and `tidewatch.bucket.start`: what a stage writes is the same with traces and without. Holds: without traces none of this is built, and a batch
//! costs a branch; with them nothing here waits ([`export`]), and nothing that is traced depends on them.
//! Times are the machine's. Source of names: OpenTelemetry semantic conventions 1.37, messaging. Checked by: tests/traces.rs.
#![allow(
    clippy::disallowed_methods,
    reason = "how long something took is told to a person only"
)]

mod export;
mod job;

pub(crate) use job::{Batch, Committing, JobTraces, SnapshotTrace};

use super::observer::Observer;
use crate::config::service::{Otlp, Sampling};
use export::{Exporter, Outbox};
use opentelemetry::trace::{Link, SpanKind, TraceId, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{
    Sampler, SamplingResult, SdkTracer, SdkTracerProvider, ShouldSample,
};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Roots that are rare, and kept unless all are sampled alike.
const RARE: [&str; 2] = [job::RESTORE, job::SNAPSHOT];

/// Why there can be no traces.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.otlp: {0}")]
pub struct TracesError(String);

/// Where spans go, or nowhere. Clones share it.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Live>>);

struct Live {
    tracer: SdkTracer,
    /// Ends the spans' way; held for as long as there may be any.
    provider: SdkTracerProvider,
    exporter: Exporter,
    /// What the consumer groups of jobs begin with.
    group_id: String,
}

/// Of whom the spans are.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    /// What the consumer groups of its jobs begin with.
    pub group_id: &'a str,
    /// This instance of the service.
    pub instance_id: &'a str,
}

impl Traces {
    /// No traces.
    pub fn off() -> Traces {
        Traces(None)
    }

    /// Traces as `otlp` says. The observer hears what becomes of them.
    pub fn start(
        otlp: &Otlp,
        whose: Whose<'_>,
        observer: Arc<dyn Observer>,
    ) -> Result<Traces, TracesError> {
        let resource = resource(otlp, whose.instance_id);
        let (outbox, exporter) = Outbox::open(otlp, &resource, observer)?;
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(sampler(otlp.sampling))
            .with_span_processor(outbox)
            .build();
        Ok(Traces(Some(Arc::new(Live {
            tracer: provider.tracer("tidewatch"),
            provider,
            exporter,
            group_id: whose.group_id.to_owned(),
        }))))
    }

    /// Whether there are any.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Sends what there is, and no more from then on. Returns after `within` at the latest; whether all was sent, or given up, by then.
    pub fn end(&self, within: Duration) -> bool {
        let Some(live) = &self.0 else {
            return true;
        };
        let ended = live.exporter.end(within);
        let _ = live.provider.shutdown(); // of the sdk's own; the spans are gone
        ended
    }

    pub(crate) fn of_job(&self, job_id: &str, placement: super::task::Placement) -> JobTraces {
        match &self.0 {
            None => JobTraces::none(),
            Some(live) => {
                let group = super::service::group_of(&live.group_id, job_id);
                JobTraces::new(live.tracer.clone(), job_id, placement, group)
            }
        }
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on() { "on" } else { "off" })
    }
}

/// Who speaks. What the operator says of it goes before what is known anyway.
fn resource(otlp: &Otlp, instance_id: &str) -> Resource {
    let said = otlp.attributes.iter();
    let said = said.map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance_id.to_owned()),
        ])
        .with_attributes(said)
        .with_service_name(otlp.service_name.clone())
        .build()
}

/// What a trace's first span decides holds for the others.
fn sampler(sampling: Sampling) -> Sampler {
    let root: Box<dyn ShouldSample> = match sampling {
        Sampling::Share(share) => Box::new(Sampler::TraceIdRatioBased(share)),
        Sampling::Usual(share) => Box::new(RareOnesAlways(Sampler::TraceIdRatioBased(share))),
    };
    Sampler::ParentBased(root)
}

#[derive(Clone, Debug)]
struct RareOnesAlways(Sampler);

impl ShouldSample for RareOnesAlways {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let chosen = match RARE.contains(&name) {
            true => &Sampler::AlwaysOn,
            false => &self.0,
        };
        chosen.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}
