//! What a seed is about: jobs, and events for them that are never late, however they are spread over partitions; or some that are late and re-open results.

use super::draw::Draw;
use super::jobs::{Common, job};
use std::sync::Arc;
use tidewatch::config::Job;

/// The input topic.
pub(crate) const TOPIC: &str = "events";
/// 2026-01-05T00:00:00Z, a Monday.
pub(crate) const BEGIN_MS: i64 = 1_767_571_200_000;
pub(crate) const SPAN_MS: i64 = 60_000;
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
    /// Whether late events re-open results.
    pub(crate) is_revised: bool,
    /// Whether a host's events are all in one partition.
    pub(crate) is_keyed: bool,
}

/// Which partition an event goes to.
#[derive(Clone, Copy, PartialEq)]
enum Spread {
    ByHost,
    Random,
    /// Nothing ever comes to the last partition.
    LastEmpty,
}

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
        let is_revised = draw.one_in(if partitions == 1 { 2 } else { 4 });
        // Series show that they go together, and hours what they are, in long lives only.
        let buckets = match draw.one_in(12) {
            true => draw.range(70, 160),
            false => draw.range(8, 30),
        };
        let common = Common {
            is_keyed: spread == Spread::ByHost,
            lateness_s,
            is_revised,
            buckets: buckets as i64,
        };
        let count = [1, 1, 2, 2, 3][draw.range(0, 5) as usize];
        let ids = ["sim", "sim-1", "sim-2"].into_iter().take(count);
        let jobs = ids.map(|id| job(id, &common, draw)).collect();
        let delay = is_revised.then_some(LATE_MS);
        let placed = (partitions, spread);
        let (sent, bad, end_ms) = events(draw, placed, (lateness_s * 1000, delay), buckets as i64);
        Feed {
            jobs,
            partitions,
            sent,
            bad,
            closing: closing(partitions - i32::from(spread == Spread::LastEmpty), end_ms),
            is_revised,
            is_keyed: spread == Spread::ByHost,
        }
    }
}

fn events(
    draw: &mut Draw,
    (partitions, spread): (i32, Spread),
    (lateness_ms, late_ms): (i64, Option<u64>),
    buckets: i64,
) -> (Vec<Sent>, usize, i64) {
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
            // Some say no host: they are no host's, and at home in the first partition.
            let host = match draw.one_in(40) {
                true => None,
                false if surge => Some(0),
                false => Some(draw.range(0, 4)),
            };
            let partition = match spread {
                Spread::ByHost => host.unwrap_or(0) as i32 % partitions,
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

/// What hosts say.
const MESSAGES: [&str; 6] = [
    "Accepted connection from 10.0.0.{}",
    "Request {} completed in time",
    "Disk {} is nearly full",
    "Session {} closed by peer without goodbye",
    "Cache of {} entries was emptied",
    "Nobody answered the telephone {} times",
];

/// Two users come and go together, two as they like.
fn event(time_ms: i64, host: Option<u64>, draw: &mut Draw) -> Vec<u8> {
    let (value, status) = (
        draw.range(90, 110),
        [200, 200, 200, 404][draw.range(0, 4) as usize],
    );
    let wave = (time_ms / SPAN_MS / 3 % 5) as u64;
    let user = match draw.range(0, 3 + wave) {
        one @ 0..3 => one,
        together => 3 + together % 2,
    };
    let kind = match draw.one_in(60) {
        true => 5,
        false => draw.range(0, 5) as usize,
    };
    let message = MESSAGES[kind].replace("{}", &draw.range(1, 9_000).to_string());
    let place = match draw.one_in(30) {
        true => "nowhere".to_owned(),
        false => format!("{}.5,{}.25", 10 * user, draw.range(0, 4)),
    };
    let host = host.map_or(String::new(), |host| format!(r#""host":"h{host}","#));
    format!(
        r#"{{"time":{time_ms},{host}"status":{status},"value":{value}.5,"user":"u{user}","place":"{place}","message":"{message}"}}"#
    )
    .into_bytes()
}
