//! What a seed is about: a job, and events for it that are never late, however they are spread over partitions; or, of one partition, some that are
//! late and re-open results.

use super::draw::Draw;
use std::sync::Arc;
use tidewatch::config::Job;

/// The input topic.
pub(crate) const TOPIC: &str = "events";
/// 2026-01-05T00:00:00Z, a Monday.
const BEGIN_MS: i64 = 1_767_571_200_000;
const SPAN_MS: i64 = 60_000;
/// By so much, at the most, an event is later than the lateness allows, where that re-opens results: less than the window.
const LATE_MS: u64 = 240_000;
/// Longer than all of a seed's rage lasts.
pub(crate) const IDLE_TIMEOUT_MS: i64 = 120_000;

/// One message of the input topic.
pub(crate) struct Sent {
    pub(crate) partition: i32,
    pub(crate) payload: Vec<u8>,
    pub(crate) timestamp_ms: i64,
}

/// Jobs and their common input, in the order of sending.
pub(crate) struct Feed {
    pub(crate) jobs: Vec<Arc<Job>>,
    pub(crate) partitions: i32,
    pub(crate) sent: Vec<Sent>,
    /// How many of them are no events.
    pub(crate) bad: usize,
    /// One event for each partition that has any, late enough to close every bucket before.
    pub(crate) closing: Vec<Sent>,
}

/// Which partition an event goes to.
#[derive(Clone, Copy, PartialEq)]
enum Spread {
    ByHost,
    Random,
    /// Nothing ever comes to the last partition.
    LastEmpty,
}

const DETECTORS: [&str; 4] = [
    r#"[{"function":"count"}]"#,
    r#"[{"function":"mean","field_name":"value","partition_field_name":"host"}]"#,
    r#"[{"function":"high_count","partition_field_name":"host"},{"function":"sum","field_name":"value","by_field_name":"status","partition_field_name":"host"}]"#,
    r#"[{"function":"distinct_count","field_name":"status"},{"function":"max","field_name":"value","by_field_name":"host"}]"#,
];

const QUERIES: [&str; 4] = [
    r#"{"match_all":{}}"#,
    r#"{"match_all":{}}"#,
    r#"{"range":{"value":{"gt":95}}}"#,
    r#"{"exists":{"field":"status"}}"#,
];

impl Feed {
    pub(crate) fn new(draw: &mut Draw) -> Feed {
        let partitions = draw.range(1, 5) as i32;
        let spread = match draw.range(0, 4) {
            0 | 1 => Spread::ByHost,
            2 => Spread::Random,
            _ if partitions > 1 => Spread::LastEmpty,
            _ => Spread::Random,
        };
        let lateness_s = if draw.one_in(3) { 0 } else { 90 };
        // Of several partitions each has a watermark of its own, so that what is late there is not what is late in one.
        let is_revised = partitions == 1 && draw.one_in(2);
        let count = [1, 1, 2, 2, 3][draw.range(0, 5) as usize];
        let ids = ["sim", "sim-1", "sim-2"].into_iter().take(count);
        let jobs = ids
            .map(|id| job(id, spread, (lateness_s, is_revised), draw))
            .collect();
        let delay = is_revised.then_some(LATE_MS);
        let (sent, bad, end_ms) = events(draw, (partitions, spread), lateness_s * 1000, delay);
        Feed {
            jobs,
            partitions,
            sent,
            bad,
            closing: closing(partitions - i32::from(spread == Spread::LastEmpty), end_ms),
        }
    }
}

/// Each looks at the events in its own way, and is laid out in its own way.
fn job(
    id: &str,
    spread: Spread,
    (lateness_s, is_revised): (i64, bool),
    draw: &mut Draw,
) -> Arc<Job> {
    let window = if is_revised { "5m" } else { "0s" };
    let kind = draw.range(0, DETECTORS.len() as u64) as usize;
    let is_keyed = spread == Spread::ByHost && (kind == 1 || kind == 2) && draw.one_in(2);
    let interim = if draw.one_in(2) { "0s" } else { "400ms" };
    let shards = draw.range(1, 4);
    let influencers = [r#""host","status""#, r#""status""#][usize::from(draw.one_in(3))];
    let query = QUERIES[draw.range(0, QUERIES.len() as u64) as usize];
    let text = format!(
        r#"{{"job_id":"{id}","analysis_config":{{"bucket_span":"60s","latency":"{lateness_s}s","detectors":{},
        "influencers":[{influencers}]}},"data_description":{{"time_field":"time","time_format":"epoch_ms"}},
        "datafeed_config":{{"indices":["{TOPIC}"],"query":{query}}},"tidewatch":{{"keyed_by_partition_field":{is_keyed},"shards":{shards},
        "idle_timeout":"{IDLE_TIMEOUT_MS}ms","interim_interval":"{interim}","late_revision_window":"{window}"}}}}"#,
        DETECTORS[kind]
    );
    Arc::new(Job::from_text(&text, "simulation").expect("the simulation's jobs are valid"))
}

fn events(
    draw: &mut Draw,
    (partitions, spread): (i32, Spread),
    lateness_ms: i64,
    late_ms: Option<u64>,
) -> (Vec<Sent>, usize, i64) {
    let buckets = draw.range(8, 30) as i64;
    let rate = draw.range(3, 12);
    let mut arriving: Vec<(i64, Sent)> = Vec::new();
    let mut bad = 0;
    for bucket in 0..buckets {
        let surge = draw.one_in(12);
        for _ in 0..draw.range(rate / 2, rate * 2) * if surge { 8 } else { 1 } {
            let time_ms = BEGIN_MS + bucket * SPAN_MS + draw.range(0, SPAN_MS as u64) as i64;
            // Strictly less late than is allowed, so that no placement can find it late.
            let mut arrival_ms = time_ms + draw.range(0, (lateness_ms as u64).max(1)) as i64;
            if let Some(late_ms) = late_ms.filter(|_| bucket > 2 && draw.one_in(10)) {
                arrival_ms += draw.range(SPAN_MS as u64, late_ms) as i64;
            }
            let host = if surge { 0 } else { draw.range(0, 4) };
            let partition = match spread {
                Spread::ByHost => host as i32 % partitions,
                Spread::Random => draw.range(0, partitions as u64) as i32,
                Spread::LastEmpty => draw.range(0, partitions as u64 - 1) as i32,
            };
            let payload = match draw.one_in(40) {
                true => {
                    bad += 1;
                    format!("{{\"time\": {bad}").into_bytes()
                }
                false => event(time_ms, host, draw),
            };
            let sent = Sent {
                partition,
                payload,
                timestamp_ms: arrival_ms,
            };
            arriving.push((arrival_ms, sent));
        }
    }
    arriving.sort_by_key(|&(arrival_ms, _)| arrival_ms);
    let sent = arriving.into_iter().map(|(_, sent)| sent).collect();
    let end_ms = BEGIN_MS + (buckets + 2) * SPAN_MS + lateness_ms;
    (sent, bad, end_ms)
}

fn closing(partitions: i32, timestamp_ms: i64) -> Vec<Sent> {
    let one = |partition: i32| Sent {
        partition,
        payload: format!(
            r#"{{"time":{timestamp_ms},"host":"h{partition}","status":200,"value":100}}"#
        )
        .into_bytes(),
        timestamp_ms,
    };
    (0..partitions).map(one).collect()
}

fn event(time_ms: i64, host: u64, draw: &mut Draw) -> Vec<u8> {
    let (value, status) = (
        draw.range(90, 110),
        [200, 200, 200, 404][draw.range(0, 4) as usize],
    );
    format!(r#"{{"time":{time_ms},"host":"h{host}","status":{status},"value":{value}.5}}"#)
        .into_bytes()
}
