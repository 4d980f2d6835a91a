//! Small worlds: jobs, events, and drivers for the doors apart and together.

use proptest::prelude::*;
use std::sync::Arc;
use tidewatch::config::Job;
use tidewatch::engine::event::{Event, Value};
use tidewatch::engine::gatherer::{self, Gatherer};
use tidewatch::engine::judge::{self, Judge};
use tidewatch::engine::pipeline::{Keyed, KeyedOutput, Output, Pipeline};
use tidewatch::engine::result::Document;
use tidewatch::engine::rollup::{self, Rollup};
use tidewatch::engine::wire::{InputId, StageMessage};
use tidewatch::time::{EventTime, Finality};

/// A message for a shard.
type Addressed = (u16, Vec<u8>);

/// An event of a small world: fields host, user, value, and the place that they make.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Happening {
    pub(crate) at_ms: i64,
    pub(crate) host: Option<u8>,
    pub(crate) user: u8,
    pub(crate) value: Option<f64>,
}

impl Happening {
    /// Hands the event to `take` with its values in the job's order.
    pub(crate) fn with_event<T>(&self, job: &Job, take: impl FnOnce(&Event<'_>) -> T) -> T {
        let host = self.host.map(|host| format!("host-{host}"));
        let user = format!("user-{}", self.user);
        let value_of = |field: &String| match field.as_str() {
            "host" => host
                .as_deref()
                .map_or(Value::Missing, |host| Value::Text(host.into())),
            "user" => Value::Text(user.as_str().into()),
            // Everywhere on the globe, and now and then nowhere on it.
            "place" => match self.value {
                Some(value) => {
                    let (latitude, longitude) = (value % 97.0, 20.0 * f64::from(self.user));
                    Value::Text(format!("{latitude},{longitude}").into())
                }
                None => Value::Missing,
            },
            "place.lat" => self
                .host
                .map_or(Value::Missing, |host| Value::Int(host.into())),
            "place.lon" => Value::Int(self.user.into()),
            "value" => self.value.map_or(Value::Missing, Value::Float),
            other => panic!("no field {other} in this world"),
        };
        let values: Vec<Value<'_>> = job.fields.iter().map(value_of).collect();
        take(&Event {
            time: EventTime(self.at_ms),
            values: &values,
            raw_bytes: 100,
            raw_fields: 3,
        })
    }
}

/// Jobs that between them use every built family, side, split and option.
pub(crate) const JOBS: [&str; 12] = [
    r#"{"analysis_config":{"bucket_span":"60s","detectors":[{"function":"count"}],"influencers":["host","user"]}}"#,
    r#"{"analysis_config":{"bucket_span":"60s","detectors":[{"function":"mean","field_name":"value","by_field_name":"host"},{"function":"high_sum","field_name":"value","by_field_name":"host"}],"influencers":["host","user"]}}"#,
    r#"{"analysis_config":{"bucket_span":"60s","detectors":[{"function":"count","by_field_name":"user","partition_field_name":"host"},{"function":"max","field_name":"value","partition_field_name":"host"}],"influencers":["host","user"]},"model_plot_config":{"enabled":true}}"#,
    r#"{"analysis_config":{"bucket_span":"60s","detectors":[{"function":"metric","field_name":"value","partition_field_name":"host"},{"function":"median","field_name":"value","partition_field_name":"host"},{"function":"varp","field_name":"value","partition_field_name":"host"}],"influencers":["user"]}}"#,
    r#"{"analysis_config":{"bucket_span":"60s","detectors":[{"function":"distinct_count","field_name":"user","partition_field_name":"host"},{"function":"low_count","partition_field_name":"host"},{"function":"non_null_sum","field_name":"value","by_field_name":"user","partition_field_name":"host"}],"influencers":["user"]}}"#,
    r#"{"analysis_config":{"bucket_span":"60s","latency":"2m","detectors":[{"function":"non_zero_count","by_field_name":"host","use_null":true,"exclude_frequent":"by"},{"function":"min","field_name":"value"}],"influencers":["host"]}}"#,
    r#"{"analysis_config":{"bucket_span":"60s","detectors":[{"function":"rare","by_field_name":"user","partition_field_name":"host"},{"function":"high_count","over_field_name":"user","partition_field_name":"host"},{"function":"sum","field_name":"value","by_field_name":"host","over_field_name":"user"},{"function":"count","by_field_name":"user"}],"influencers":["host","user"]}}"#,
    r#"{"analysis_config":{"bucket_span":"60s","detectors":[{"function":"rare","by_field_name":"host","over_field_name":"user","use_null":true},{"function":"freq_rare","by_field_name":"host","over_field_name":"user"},{"function":"metric","field_name":"value","over_field_name":"user","exclude_frequent":"all"},{"function":"rare","by_field_name":"user"}],"influencers":["host"]}}"#,
    r#"{"analysis_config":{"bucket_span":"60s","detectors":[{"function":"info_content","field_name":"value","partition_field_name":"host"},{"function":"low_info_content","field_name":"user"},{"function":"high_info_content","field_name":"value","over_field_name":"user"}],"influencers":["host","user"]}}"#,
    r#"{"analysis_config":{"bucket_span":"60s","detectors":[{"function":"time_of_day","by_field_name":"user","partition_field_name":"host"},{"function":"time_of_week"},{"function":"lat_long","field_name":"place","by_field_name":"user"},{"function":"lat_long","field_name":"place","over_field_name":"user","partition_field_name":"host"},{"function":"time_of_day","over_field_name":"user"}],"influencers":["host","user"]},"tidewatch":{"time_zone":"Asia/Kathmandu"}}"#,
    r#"{"analysis_config":{"bucket_span":"60s","multivariate_by_fields":true,"detectors":[{"function":"mean","field_name":"value","by_field_name":"user","partition_field_name":"host"},{"function":"count","by_field_name":"user"}],"influencers":["user"]}}"#,
    r#"{"analysis_config":{"bucket_span":"60s","detectors":[{"function":"time_of_day","by_field_name":"user","partition_field_name":"host","exclude_frequent":"by"},{"function":"lat_long","field_name":"place","partition_field_name":"host","custom_rules":[{"actions":["skip_result","skip_model_update"],"scope":{"host":{"filter_id":"known"}}}]},{"function":"lat_long","field_name":"place","by_field_name":"host","over_field_name":"user","exclude_frequent":"all"}],"influencers":["host"]},"tidewatch":{"filters":[{"filter_id":"known","items":["host-1"]}]}}"#,
];

/// Job `number` of [`JOBS`].
pub(crate) fn job(number: usize) -> Arc<Job> {
    job_with(number, |_| {})
}

/// The same, changed before it is read.
pub(crate) fn job_with(number: usize, change: impl FnOnce(&mut serde_json::Value)) -> Arc<Job> {
    let mut body: serde_json::Value = serde_json::from_str(JOBS[number]).unwrap();
    change(&mut body);
    body["job_id"] = serde_json::json!(format!("job-{number}"));
    body["data_description"] = serde_json::json!({"time_field": "time"});
    Arc::new(Job::from_value(&body).unwrap_or_else(|mistakes| panic!("{mistakes}")))
}

/// Events in time order over some dozens of minutes, with a burst by one user on one host.
pub(crate) fn events() -> impl Strategy<Value = Vec<Happening>> {
    let one = (
        0i64..60 * 60_000,
        prop::option::weighted(0.9, 0u8..4),
        0u8..6,
        prop::option::weighted(0.9, -50i32..1000),
    );
    (
        prop::collection::vec(one, 20..200),
        0i64..50,
        0u8..4,
        0usize..120,
    )
        .prop_map(|(plain, minute, host, burst)| {
            let mut events: Vec<Happening> = plain
                .into_iter()
                .map(|(at_ms, host, user, value)| Happening {
                    at_ms,
                    host,
                    user,
                    value: value.map(|v| f64::from(v) / 7.0),
                })
                .collect();
            let bursting = |i: usize| Happening {
                at_ms: minute * 60_000 + (i as i64 * 499) % 60_000,
                host: Some(host),
                user: 5,
                value: Some(1e4 + i as f64 / 3.0),
            };
            events.extend((0..burst).map(bursting));
            events.sort_by_key(|event| event.at_ms);
            events
        })
}

/// A document as it would be published: id and bytes.
pub(crate) fn line(document: &Document) -> String {
    format!(
        "{} {}",
        document.id,
        serde_json::to_string(document).unwrap()
    )
}

/// What a pipeline publishes of the events, in order.
pub(crate) fn fused(job: &Arc<Job>, events: &[Happening]) -> Vec<String> {
    let mut pipeline = Pipeline::new(job.clone());
    let mut lines = Vec::new();
    for event in events {
        lines.extend(results(event.with_event(job, |event| {
            pipeline.handle(gatherer::Input::Event(event))
        })));
    }
    lines.extend(results(
        pipeline.handle(gatherer::Input::Flush(Finality::Final)),
    ));
    lines
}

/// The published lines among a pipeline's outputs.
pub(crate) fn results(outputs: Vec<Output>) -> impl Iterator<Item = String> {
    outputs.into_iter().filter_map(|output| {
        if let Output::Result(document) = output {
            Some(line(&document))
        } else {
            None
        }
    })
}

fn rolled(outputs: Vec<rollup::Output>) -> impl Iterator<Item = String> {
    outputs.into_iter().filter_map(|output| {
        if let rollup::Output::Result(document) = output {
            Some(line(&document))
        } else {
            None
        }
    })
}

/// The same through gatherers, a judge a shard, and a rollup; everything between them as bytes. `spread` says which input an event goes to, `order` which
/// input's messages are delivered next.
pub(crate) fn staged(
    job: &Arc<Job>,
    events: &[Happening],
    inputs: usize,
    shards: u16,
    spread: impl Fn(usize, &Happening) -> usize,
    order: &[u8],
) -> Vec<String> {
    let ids: Vec<InputId> = (0..inputs).map(|i| InputId(format!("topic/{i}"))).collect();
    let shard_ids: Vec<InputId> = (0..shards).map(|i| InputId(format!("shard/{i}"))).collect();
    let mut queues: Vec<Vec<Vec<Addressed>>> = Vec::new();
    for input in 0..inputs {
        let mut gatherer = Gatherer::new(job.clone());
        let mut queue = Vec::new();
        let mut say = |outputs: Vec<gatherer::Output>| {
            for output in outputs {
                match output {
                    gatherer::Output::Closed(bucket) => {
                        queue.push(
                            bucket
                                .split(shards)
                                .into_iter()
                                .map(|(shard, part)| (shard, StageMessage::Closed(part).encode()))
                                .collect(),
                        );
                    }
                    gatherer::Output::Late(bucket) => {
                        let shares = bucket.split(shards).into_iter();
                        let told = shares.filter(|(_, share)| !share.is_counts_only());
                        let words = told.map(|(shard, share)| (shard, StageMessage::Late(share)));
                        queue.push(words.map(|(shard, word)| (shard, word.encode())).collect());
                    }
                    gatherer::Output::Watermark(until) => queue.push(
                        (0..shards)
                            .map(|shard| (shard, StageMessage::Watermark(until).encode()))
                            .collect(),
                    ),
                    gatherer::Output::Rejected(rejection) => {
                        panic!("nothing is late here: {rejection:?}")
                    }
                }
            }
        };
        for (at, event) in events
            .iter()
            .enumerate()
            .filter(|(at, event)| spread(*at, event) == input)
        {
            let _ = at;
            event.with_event(job, |event| {
                say(gatherer.handle(gatherer::Input::Event(event)))
            });
        }
        if let Some(last) = events.last() {
            say(gatherer.handle(gatherer::Input::Advance(EventTime(last.at_ms + 60_000))));
        }
        say(gatherer.handle(gatherer::Input::Flush(Finality::Final)));
        queue.reverse();
        queues.push(queue);
    }
    let mut judges: Vec<Judge> = (0..shards)
        .map(|shard| Judge::new(job.clone(), shard, ids.clone()).among(shards))
        .collect();
    let mut rollup = Rollup::new(job.clone(), shard_ids.clone());
    let mut lines = Vec::new();
    let mut judged = |shard: u16, outputs: Vec<judge::Output>, lines: &mut Vec<String>| {
        for output in outputs {
            let from = shard_ids[usize::from(shard)].clone();
            let message = match output {
                judge::Output::Partial(bucket) => StageMessage::Partial(bucket),
                judge::Output::Revised(bucket) => StageMessage::Revised(bucket),
                judge::Output::Watermark(until) => StageMessage::Watermark(until),
                judge::Output::Late { events } => panic!("{events} late"),
            };
            let input = match StageMessage::decode(&message.encode()).unwrap() {
                StageMessage::Partial(bucket) => rollup::Input::Partial { from, bucket },
                StageMessage::Revised(bucket) => rollup::Input::Revised { from, bucket },
                StageMessage::Watermark(until) => rollup::Input::Watermark { from, until },
                other => panic!("{other:?}"),
            };
            lines.extend(rolled(rollup.handle(input)));
        }
    };
    let mut turn = 0;
    while queues.iter().any(|queue| !queue.is_empty()) {
        let wanted = usize::from(order.get(turn % order.len().max(1)).copied().unwrap_or(0));
        turn += 1;
        let at = (0..inputs)
            .map(|i| (wanted + i) % inputs)
            .find(|&i| !queues[i].is_empty())
            .unwrap();
        for (shard, bytes) in queues[at].pop().unwrap() {
            let from = ids[at].clone();
            let input = match StageMessage::decode(&bytes).unwrap() {
                StageMessage::Closed(bucket) => judge::Input::Closed { from, bucket },
                StageMessage::Late(bucket) => judge::Input::Late { from, bucket },
                StageMessage::Watermark(until) => judge::Input::Watermark { from, until },
                other => panic!("{other:?}"),
            };
            let outputs = judges[usize::from(shard)].handle(input);
            judged(shard, outputs, &mut lines);
        }
    }
    for shard in 0..shards {
        let outputs = judges[usize::from(shard)].handle(judge::Input::Flush(Finality::Final));
        judged(shard, outputs, &mut lines);
    }
    lines.extend(rolled(rollup.handle(rollup::Input::Flush(Finality::Final))));
    lines
}

/// The same through keyed pairs, one an input, and a rollup; every host's events on one input.
pub(crate) fn keyed(job: &Arc<Job>, events: &[Happening], inputs: usize) -> Vec<String> {
    let ids: Vec<InputId> = (0..inputs).map(|i| InputId(format!("topic/{i}"))).collect();
    let mut rollup = Rollup::new(job.clone(), ids.clone());
    let mut lines = Vec::new();
    for (input, id) in ids.iter().enumerate() {
        let mut pair = Keyed::new(job.clone(), id.clone()).among(inputs as u16);
        let mut outputs = Vec::new();
        for event in events
            .iter()
            .filter(|event| usize::from(event.host.map_or(0, |host| host + 1)) % inputs == input)
        {
            outputs
                .extend(event.with_event(job, |event| pair.handle(gatherer::Input::Event(event))));
        }
        if let Some(last) = events.last() {
            outputs.extend(pair.handle(gatherer::Input::Advance(EventTime(last.at_ms + 60_000))));
        }
        outputs.extend(pair.handle(gatherer::Input::Flush(Finality::Final)));
        for output in outputs {
            lines.extend(rolled(rollup.handle(match output {
                KeyedOutput::Partial(bucket) => rollup::Input::Partial {
                    from: id.clone(),
                    bucket,
                },
                KeyedOutput::Revised(bucket) => rollup::Input::Revised {
                    from: id.clone(),
                    bucket,
                },
                KeyedOutput::Late { events } => panic!("{events} late"),
                KeyedOutput::Watermark(until) => rollup::Input::Watermark {
                    from: id.clone(),
                    until,
                },
                KeyedOutput::Rejected(rejection) => panic!("nothing is late here: {rejection:?}"),
            })));
        }
    }
    lines.extend(rolled(rollup.handle(rollup::Input::Flush(Finality::Final))));
    lines
}

/// The first line in which two runs differ, if any.
pub(crate) fn difference(left: &[String], right: &[String]) -> Option<String> {
    let at = (0..left.len().max(right.len())).find(|&at| left.get(at) != right.get(at))?;
    Some(format!(
        "line {at}:\n  {:?}\n  {:?}",
        left.get(at),
        right.get(at)
    ))
}
