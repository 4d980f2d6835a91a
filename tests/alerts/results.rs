//! Result documents in a line each, and what a tracker makes of them.

use std::sync::Arc;
use tidewatch::alert::{Notice, Tracker};
use tidewatch::config::AlertPolicy;
use tidewatch::engine::result::{
    Body, Bucket, Document, DocumentKind, Explanation, Influencer, Record, RecordInfluencer, id,
};
use tidewatch::time::{BucketSpan, BucketStart, Finality};

pub(crate) const JOB: &str = "web";
const SPAN_S: i64 = 60;

pub(crate) fn span() -> BucketSpan {
    BucketSpan::from_seconds(SPAN_S).expect("a span")
}

/// The start of bucket `number`.
pub(crate) fn start(number: i64) -> BucketStart {
    BucketStart(number * span().millis())
}

fn document(
    bucket: i64,
    finality: Finality,
    kind: DocumentKind,
    id: String,
    body: Body,
) -> Document {
    Document {
        kind,
        id,
        job_id: JOB.into(),
        time: start(bucket),
        span: span(),
        finality,
        late: None,
        body,
    }
}

/// A record of a host's series, blamed on a service too when one is named.
pub(crate) fn record(
    bucket: i64,
    finality: Finality,
    detector: u16,
    host: &str,
    service: Option<&str>,
    score: f64,
) -> Document {
    let influencers = service.map(|service| RecordInfluencer {
        influencer_field_name: "service".to_owned(),
        influencer_field_values: vec![service.to_owned()],
    });
    let body = Record {
        detector_index: detector,
        probability: 1e-9,
        record_score: score,
        initial_record_score: score,
        multi_bucket_impact: -5.0,
        function: "mean",
        function_description: "mean",
        field_name: Some("latency".to_owned()),
        by_field_name: None,
        correlated_by_field_value: None,
        by_field_value: None,
        over_field_name: None,
        over_field_value: None,
        causes: Vec::new(),
        partition_field_name: Some("host".to_owned()),
        partition_field_value: Some(host.to_owned()),
        typical: vec![1.0],
        actual: vec![9.0],
        influencers: influencers.into_iter().collect(),
        geo_results: None,
        explanation: Explanation::default(),
        first_occurrence: false,
        history: 100,
        description: format!("The mean of latency for host {host} was 9 in bucket {bucket}."),
    };
    let hash = id::entity_hash([None, None, Some(host)]);
    let name = id::record(JOB, start(bucket), span(), detector, &hash);
    document(
        bucket,
        finality,
        DocumentKind::Record,
        name,
        Body::Record(Box::new(body)),
    )
}

pub(crate) fn influencer(
    bucket: i64,
    finality: Finality,
    field: &str,
    value: &str,
    score: f64,
) -> Document {
    let body = Influencer {
        influencer_field_name: field.to_owned(),
        influencer_field_value: value.to_owned(),
        influencer_score: score,
        initial_influencer_score: score,
        probability: 1e-9,
    };
    let name = id::influencer(JOB, start(bucket), span(), field, value);
    document(
        bucket,
        finality,
        DocumentKind::Influencer,
        name,
        Body::Influencer(body),
    )
}

pub(crate) fn whole(bucket: i64, finality: Finality, score: f64) -> Document {
    let body = Bucket {
        anomaly_score: score,
        initial_anomaly_score: score,
        event_count: 10,
        bucket_influencers: Vec::new(),
        scheduled_events: Vec::new(),
    };
    let name = id::bucket(JOB, start(bucket), span());
    document(
        bucket,
        finality,
        DocumentKind::Bucket,
        name,
        Body::Bucket(body),
    )
}

pub(crate) fn tracker(policy: &AlertPolicy) -> Tracker {
    Tracker::new(JOB, span(), Arc::new(policy.clone()))
}

/// Tells a tracker a bucket's documents, then that it is whole.
pub(crate) fn tell(
    tracker: &mut Tracker,
    bucket: i64,
    finality: Finality,
    documents: &[Document],
) -> Vec<Notice> {
    documents.iter().for_each(|one| tracker.document(one));
    tracker.closed(start(bucket), finality)
}
