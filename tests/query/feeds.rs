//! Datafeeds whole: jobs as Kibana's modules have them over ECS events, computed fields, and aggregations as what they are on a stream.

use serde_json::{Value, json};
use std::sync::Arc;
use tidewatch::config::Job;
use tidewatch::decode::Decoder;
use tidewatch::engine::feature::{Accumulator, SeriesBucket};
use tidewatch::engine::gatherer::{Gatherer, Input, Output};
use tidewatch::engine::snapshot::Snapshot;
use tidewatch::engine::wire::ClosedBucket;
use tidewatch::time::Finality;

const START_MS: i64 = 1_706_702_400_000; // 2024-01-31T12:00:00Z

fn job(analysis: Value, datafeed: Value) -> Arc<Job> {
    let mut feed = json!({"indices": ["t"]});
    let object = feed.as_object_mut().unwrap();
    object.extend(datafeed.as_object().unwrap().clone());
    let body = json!({
        "job_id": "feed",
        "analysis_config": analysis,
        "data_description": {"time_field": "@timestamp"},
        "datafeed_config": feed,
    });
    Arc::new(Job::from_value(&body).unwrap_or_else(|errors| panic!("{errors}")))
}

fn feed(gatherer: &mut Gatherer, job: &Job, events: &[Value]) -> Vec<ClosedBucket> {
    let mut decoder = Decoder::new(job);
    let mut closed = Vec::new();
    for event in events {
        let payload = event.to_string();
        decoder.payload(payload.as_bytes(), None, &mut |decoded| {
            let event = decoded.expect("an event");
            closed.extend(buckets(gatherer.handle(Input::Event(event))));
        });
    }
    closed
}

fn buckets(outputs: Vec<Output>) -> impl Iterator<Item = ClosedBucket> {
    outputs.into_iter().filter_map(|output| match output {
        Output::Closed(bucket) => Some(bucket),
        Output::Rejected(_) | Output::Late(_) => panic!("{output:?}"),
        Output::Watermark(_) => None,
    })
}

fn gather(job: &Arc<Job>, events: &[Value]) -> Vec<ClosedBucket> {
    let mut gatherer = Gatherer::new(Arc::clone(job));
    let mut closed = feed(&mut gatherer, job, events);
    closed.extend(buckets(gatherer.handle(Input::Flush(Finality::Final))));
    closed
}

/// A series as text: its split values, then the value of each feature.
fn shown(series: &SeriesBucket) -> String {
    let cells: Vec<String> = series
        .cells
        .iter()
        .map(|cell: &Accumulator| {
            cell.value()
                .map_or("none".into(), |value| value.to_string())
        })
        .collect();
    let part = |part: &Option<Arc<str>>| part.as_deref().unwrap_or("").to_owned();
    let key = format!("{}{}", part(&series.key.partition), part(&series.key.by));
    format!("{key}={}", cells.join(","))
}

fn series(bucket: &ClosedBucket) -> Vec<String> {
    bucket.series.iter().map(shown).collect()
}

fn at(minutes: f64) -> i64 {
    START_MS + (minutes * 60_000.0) as i64
}

#[test]
fn events_that_the_query_passes_over_move_the_watermark_and_nothing_else() {
    let job = job(
        json!({"bucket_span": "15m", "detectors": [{"function": "count"}], "influencers": ["host"]}),
        json!({"query": {"term": {"event.action": "login"}}}),
    );
    let login =
        |minutes| json!({"@timestamp": at(minutes), "event": {"action": "login"}, "host": "a"});
    let other =
        |minutes| json!({"@timestamp": at(minutes), "event": {"action": "read"}, "host": "b"});
    let mut gatherer = Gatherer::new(Arc::clone(&job));
    let closed = feed(&mut gatherer, &job, &[login(1.0), other(2.0), login(3.0)]);
    assert_eq!((closed.len(), gatherer.passed_over()), (0, 1));
    let closed = feed(&mut gatherer, &job, &[other(15.0), other(3.0)]);
    assert_eq!(
        closed.len(),
        1,
        "an event passed over has closed the bucket"
    );
    assert_eq!((closed[0].event_count, gatherer.passed_over()), (2, 3));
    let counts = &closed[0].counts;
    assert_eq!(
        counts.processed_record_count, 2,
        "only what the job sees is counted"
    );
    assert_eq!(
        (counts.processed_field_count, counts.missing_field_count),
        (2, 0),
        "fields of the query are none of the analysis"
    );
    assert!(
        counts.rejected.iter().all(|count| *count == 0),
        "nor is one passed over late"
    );
}

#[test]
fn computed_fields_split_select_and_influence() {
    let job = job(
        json!({
            "bucket_span": "15m", "influencers": ["env"],
            "detectors": [{"function": "count", "by_field_name": "pair"}],
        }),
        json!({
            "query": {"bool": {"filter": [{"prefix": {"pair": "a|"}}, {"exists": {"field": "pair"}}]}},
            "runtime_mappings": {
                "pair": {"type": "keyword", "script": "if (doc['u.id'].size() != 0) { emit(doc['u.id'].value + '|' + doc['n'].value) }"},
                "env": {"type": "keyword", "script": {"source": "emit('prod')"}},
                "unused": {"type": "long"},
            },
        }),
    );
    let event = |id: Value, n: Value| json!({"@timestamp": at(1.0), "u": {"id": id}, "n": n});
    let closed = gather(
        &job,
        &[
            event(json!("a"), json!(1)),
            event(json!("a"), json!("1")),
            event(json!("b"), json!(1)),
            event(json!("a"), json!(null)),
        ],
    );
    assert_eq!(series(&closed[0]), ["a|1=2"]);
    assert_eq!(&*closed[0].series[0].shares[0].value, "prod");
}

#[test]
fn a_plain_aggregation_is_its_events() {
    let aggregated = json!({"aggregations": {"buckets": {
        "date_histogram": {"field": "@timestamp", "fixed_interval": "900000ms", "offset": 0, "order": {"_key": "asc"}, "keyed": false, "min_doc_count": 0},
        "aggregations": {
            "@timestamp": {"max": {"field": "@timestamp"}},
            "airline": {"terms": {"field": "airline.name", "size": 100}, "aggs": {"ms": {"avg": {"field": "responsetime"}}}},
        },
    }}});
    let job = job(
        json!({
            "bucket_span": "15m", "summary_count_field_name": "doc_count",
            "detectors": [{"function": "low_count"}, {"function": "mean", "field_name": "ms", "by_field_name": "airline"}],
        }),
        aggregated,
    );
    let event = |name: &str, ms: i64| json!({"@timestamp": at(1.0), "airline": {"name": name}, "responsetime": ms});
    let closed = gather(
        &job,
        &[event("AAL", 100), event("AAL", 300), event("KLM", 7)],
    );
    assert_eq!(closed[0].event_count, 3);
    assert_eq!(series(&closed[0]), ["=3", "AAL=200", "KLM=7"]);
}

#[test]
fn a_cardinality_as_summary_count_counts_distinct_values_in_each_interval() {
    let visitors = |interval: &str| {
        job(
            json!({
                "bucket_span": "15m", "summary_count_field_name": "dc_source_address",
                "detectors": [{"function": "non_zero_count"}],
            }),
            json!({"aggregations": {"buckets": {
                "date_histogram": {"field": "@timestamp", "fixed_interval": interval},
                "aggregations": {
                    "@timestamp": {"max": {"field": "@timestamp"}},
                    "dc_source_address": {"cardinality": {"field": "source.address"}},
                },
            }}}),
        )
    };
    let visit = |minutes, who: &str| json!({"@timestamp": at(minutes), "source": {"address": who}});
    let visits = [
        visit(1.0, "a"),
        visit(2.0, "a"),
        visit(6.0, "a"),
        visit(7.0, "b"),
    ];
    assert_eq!(series(&gather(&visitors("15m"), &visits)[0]), ["=2"]);
    assert_eq!(
        series(&gather(&visitors("5m"), &visits)[0]),
        ["=3"],
        "a in two intervals, b in one"
    );
}

/// As the module metrics_ui_hosts has it.
fn network_in() -> Arc<Job> {
    job(
        json!({
            "bucket_span": "15m", "summary_count_field_name": "doc_count", "influencers": ["host.name"],
            "detectors": [{"function": "max", "field_name": "bytes_in_derivative"}, {"function": "sum", "field_name": "positive_only", "partition_field_name": "host.name"}],
        }),
        json!({
            "query": {"bool": {"must": [{"exists": {"field": "system.network"}}]}},
            "chunking_config": {"mode": "manual", "time_span": "900s"},
            "aggregations": {"host.name": {
                "terms": {"field": "host.name", "size": 100},
                "aggregations": {"buckets": {
                    "date_histogram": {"field": "@timestamp", "fixed_interval": "5m"},
                    "aggregations": {
                        "@timestamp": {"max": {"field": "@timestamp"}},
                        "bytes_in_max": {"max": {"field": "system.network.in.bytes"}},
                        "bytes_in_derivative": {"derivative": {"buckets_path": "bytes_in_max"}},
                        "positive_only": {"bucket_script": {
                            "buckets_path": {"in_derivative": "bytes_in_derivative.value"},
                            "script": "params.in_derivative > 0.0 ? params.in_derivative : 0.0",
                        }},
                    },
                }},
            }},
        }),
    )
}

fn counters() -> Vec<Value> {
    let reading = |minutes, host: &str, bytes: i64| json!({"@timestamp": at(minutes), "host": {"name": host}, "system": {"network": {"in": {"bytes": bytes}}}});
    vec![
        reading(1.0, "a", 1000),
        reading(3.0, "a", 1200),
        reading(6.0, "a", 1500),
        reading(11.0, "a", 100), // started anew
        reading(12.0, "b", 50),
        reading(16.0, "a", 700),
        reading(22.0, "b", 90), // after a gap
        reading(28.0, "b", 95),
        json!({"@timestamp": at(28.0), "host": {"name": "a"}, "system": {"cpu": 1}}),
    ]
}

#[test]
fn counters_are_told_as_differences_of_intervals() {
    let closed = gather(&network_in(), &counters());
    assert_eq!(closed.len(), 2);
    // a: 1200, 1500, 100, then 700; b: 50, none, 90, 95.
    assert_eq!(series(&closed[0]), ["=300", "a=300", "b=none"]);
    assert_eq!(series(&closed[1]), ["=600", "a=600", "b=5"]);
    assert_eq!((closed[0].event_count, closed[1].event_count), (5, 3));
    assert_eq!(closed[0].counts.processed_record_count, 5);
}

#[test]
fn counters_do_not_mind_order_in_a_bucket_nor_a_restore_in_its_middle() {
    let (job, events) = (network_in(), counters());
    let expected = gather(&job, &events);
    let mut mixed = events.clone();
    mixed[..5].reverse();
    mixed[5..].rotate_left(2);
    assert_eq!(gather(&job, &mixed), expected);
    for cut in 0..events.len() {
        let mut gatherer = Gatherer::new(Arc::clone(&job));
        let mut closed = feed(&mut gatherer, &job, &events[..cut]);
        let snapshot = Snapshot::from_bytes(gatherer.snapshot().as_bytes().to_vec());
        let mut gatherer = Gatherer::restore(Arc::clone(&job), &snapshot).expect("restores");
        assert_eq!(gatherer.snapshot(), snapshot, "equal state, equal bytes");
        closed.extend(feed(&mut gatherer, &job, &events[cut..]));
        closed.extend(buckets(gatherer.handle(Input::Flush(Finality::Final))));
        assert_eq!(closed, expected, "cut at {cut}");
    }
}

#[test]
fn what_the_query_selects_is_part_of_what_a_job_computes() {
    let of = |query: Value| {
        let analysis = json!({"bucket_span": "15m", "detectors": [{"function": "count"}]});
        job(analysis, json!({"query": query})).fingerprint
    };
    let all = of(json!({"match_all": {}}));
    assert_eq!(
        all,
        of(json!({"bool": {"filter": []}})),
        "said otherwise, the same"
    );
    let (one, two) = (of(json!({"term": {"a": 1}})), of(json!({"term": {"a": 2}})));
    assert!(all != one && one != two);
}
