//! Events of several inputs gathered in one place: the results are those of one pipeline that is told the same events in the same order.

use super::support::line;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidewatch::config::Job;
use tidewatch::engine::event::{Event, Value};
use tidewatch::engine::gatherer;
use tidewatch::engine::ordered::{self, Ordered};
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::engine::projector::{self, Projector};
use tidewatch::engine::result::{Document, DocumentKind};
use tidewatch::engine::wire::{EventBatch, InputId, StageMessage};
use tidewatch::time::{EventTime, Finality};

const MINUTE_MS: i64 = 60_000;
const INPUTS: usize = 3;

/// A line of a log.
#[derive(Clone, Debug)]
struct Line {
    at_ms: i64,
    service: u8,
    kind: u8,
    number: u16,
}

const KINDS: [&str; 5] = [
    "Accepted connection from 10.0.0.{}",
    "Request {} completed in time",
    "Disk {} is nearly full",
    "Session {} closed by peer without goodbye",
    "Cache of {} entries was emptied",
];

fn job(latency: &str) -> Arc<Job> {
    let text = format!(
        r#"{{"job_id": "logs", "analysis_config": {{"bucket_span": "1m", "latency": "{latency}", "categorization_field_name": "message",
        "detectors": [{{"function": "count", "by_field_name": "mlcategory"}}, {{"function": "rare", "by_field_name": "mlcategory", "partition_field_name": "service"}}],
        "influencers": ["service", "mlcategory"]}}, "datafeed_config": {{"indices": ["logs"], "query": {{"bool": {{"must_not": {{"term": {{"service": "service-3"}}}}}}}}}},
        "data_description": {{"time_field": "time"}}}}"#
    );
    Arc::new(Job::from_text(&text, "logs").unwrap_or_else(|mistakes| panic!("{mistakes}")))
}

impl Line {
    fn with_event<T>(&self, job: &Job, take: impl FnOnce(&Event<'_>) -> T) -> T {
        let message = KINDS[usize::from(self.kind)].replace("{}", &self.number.to_string());
        let service = format!("service-{}", self.service);
        let values: Vec<Value<'_>> = job
            .fields
            .iter()
            .map(|field| match field.as_str() {
                "message" => Value::Text(message.as_str().into()),
                "service" => Value::List(vec![Value::Text(service.as_str().into()), Value::Int(7)]),
                _ => Value::Missing,
            })
            .collect();
        take(&Event {
            time: EventTime(self.at_ms),
            values: &values,
            raw_bytes: 120,
            raw_fields: 3,
        })
    }
}

fn lines() -> impl Strategy<Value = Vec<(usize, Line)>> {
    let one = (
        0usize..INPUTS,
        0..30 * MINUTE_MS,
        0u8..4,
        0u8..5,
        any::<u16>(),
    );
    prop::collection::vec(one, 30..250).prop_map(|all| {
        let line = |(input, at_ms, service, kind, number)| {
            let line = Line {
                at_ms,
                service,
                kind,
                number,
            };
            (input, line)
        };
        let mut lines: Vec<(usize, Line)> = all.into_iter().map(line).collect();
        lines.sort_by_key(|(_, line)| line.at_ms);
        lines
    })
}

/// What is published: documents in the order of their first word, without those that depend on when something was said.
#[derive(Default)]
struct Said {
    lines: Vec<String>,
    categories: BTreeMap<String, serde_json::Value>,
    counts: Option<serde_json::Value>,
}

impl Said {
    fn hear(&mut self, document: &Document) {
        let read = || serde_json::to_value(document).unwrap();
        match document.kind {
            DocumentKind::Bucket | DocumentKind::Record | DocumentKind::Influencer => {
                self.lines.push(line(document));
            }
            DocumentKind::CategoryDefinition => {
                self.categories.insert(document.id.clone(), read());
            }
            DocumentKind::DataCounts => self.counts = Some(read()),
            _ => {}
        }
    }

    fn all(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Result(document) => self.hear(&document),
                Output::Rejected(_) | Output::Late { .. } => panic!("nothing is late here"),
                _ => {}
            }
        }
    }
}

/// What each input says, in order, as bytes; begun again from a snapshot every so many events.
fn words(
    job: &Arc<Job>,
    lines: &[(usize, Line)],
    input: usize,
    (batch, every): (usize, usize),
) -> Vec<Vec<u8>> {
    let mut projector = Projector::new(job.clone());
    let (mut words, mut open) = (Vec::new(), EventBatch::default());
    let own = lines.iter().filter(|(at, _)| *at == input);
    let mut hear = |outputs: Vec<projector::Output>, words: &mut Vec<StageMessage>| {
        for output in outputs {
            match output {
                projector::Output::Event(event) => open.events.push(event),
                projector::Output::Refused(counts) => open.refused.add(&counts),
                projector::Output::Rejected(rejection) => panic!("{rejection:?}"),
                projector::Output::Watermark(until) => {
                    words.push(StageMessage::Events(std::mem::take(&mut open)));
                    words.push(StageMessage::Watermark(until));
                }
            }
            if open.events.len() >= batch {
                words.push(StageMessage::Events(std::mem::take(&mut open)));
            }
        }
    };
    for (at, (_, line)) in own.enumerate() {
        let outputs = line.with_event(job, |event| projector.handle(gatherer::Input::Event(event)));
        hear(outputs, &mut words);
        if at % every == 0 {
            projector = Projector::restore(job.clone(), &projector.snapshot()).unwrap();
        }
    }
    let end = EventTime(31 * MINUTE_MS);
    hear(projector.handle(gatherer::Input::Advance(end)), &mut words);
    words.iter().map(StageMessage::encode).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn several_inputs_in_any_order_equal_one_pipeline_that_is_told_that_order(
        lines in lines(), order in prop::collection::vec(any::<u8>(), 1..40), latency in 0usize..2, batch in 1usize..40, every in 1usize..50,
    ) {
        let job = job(["0s", "90s"][latency]);
        let ids: Vec<InputId> = (0..INPUTS).map(|i| InputId(format!("logs/{i}"))).collect();
        let mut queues: Vec<_> = (0..INPUTS).map(|input| words(&job, &lines, input, (batch, every)).into_iter()).collect();
        let (mut ordered, mut apart) = (Ordered::new(job.clone(), ids.clone()), Said::default());
        // Waits for the latest line there can be, so that in whatever order they come none is late.
        let patient = self::job("31m");
        let (mut pipeline, mut together) = (Pipeline::new(patient), Said::default());
        for turn in 0.. {
            let wanted = usize::from(order[turn % order.len()]);
            let next = (0..INPUTS).find_map(|i| {
                let at = (wanted + i) % INPUTS;
                Some((at, queues[at].next()?))
            });
            let Some((at, bytes)) = next else { break };
            let from = ids[at].clone();
            let input = match StageMessage::decode(&bytes).unwrap() {
                StageMessage::Events(batch) => {
                    for event in &batch.events {
                        together.all(event.with_event(|event| pipeline.handle(gatherer::Input::Event(event))));
                    }
                    ordered::Input::Events { from, batch }
                }
                StageMessage::Watermark(until) => ordered::Input::Watermark { from, until },
                other => panic!("{other:?}"),
            };
            apart.all(ordered.handle(input));
            if turn % every == 0 {
                let snapshot = ordered.snapshot();
                ordered = Ordered::restore(job.clone(), &snapshot).unwrap();
                prop_assert_eq!(ordered.snapshot(), snapshot);
            }
        }
        apart.all(ordered.handle(ordered::Input::Flush(Finality::Final)));
        // As the inputs' watermarks had it, the last bucket with an event may be followed by empty ones.
        together.all(pipeline.handle(gatherer::Input::Advance(EventTime(31 * MINUTE_MS))));
        together.all(pipeline.handle(gatherer::Input::Flush(Finality::Final)));
        prop_assert_eq!(super::support::difference(&apart.lines, &together.lines), None);
        let matches = |said: &Said| -> Vec<_> { said.categories.values().map(|one| (one["terms"].clone(), one["num_matches"].clone())).collect() };
        prop_assert_eq!(matches(&apart), matches(&together));
        prop_assert_eq!(&apart.counts, &together.counts);
    }
}

#[test]
fn a_silent_input_is_not_waited_for_and_what_comes_of_it_later_is_counted_as_late() {
    let job = job("0s");
    let ids: Vec<InputId> = (0..2).map(|i| InputId(format!("logs/{i}"))).collect();
    let mut ordered = Ordered::new(job.clone(), ids.clone());
    let batch = |minutes: &[i64]| {
        let mut projector = Projector::new(job.clone());
        let mut batch = EventBatch::default();
        for minute in minutes {
            let line = Line {
                at_ms: minute * MINUTE_MS,
                service: 0,
                kind: 0,
                number: 1,
            };
            for output in line.with_event(&job, |event| {
                projector.handle(gatherer::Input::Event(event))
            }) {
                if let projector::Output::Event(event) = output {
                    batch.events.push(event);
                }
            }
        }
        batch
    };
    let events = |at: usize, minutes: &[i64]| ordered::Input::Events {
        from: ids[at].clone(),
        batch: batch(minutes),
    };
    let until = |at: usize, minute: i64| ordered::Input::Watermark {
        from: ids[at].clone(),
        until: job.bucket_span.bucket_of(EventTime(minute * MINUTE_MS)),
    };
    let closed = |outputs: &[Output]| {
        let is_closed = |output: &&Output| matches!(output, Output::Closed(_));
        outputs.iter().filter(is_closed).count()
    };
    assert_eq!(closed(&ordered.handle(events(0, &[0, 1, 2]))), 0);
    assert_eq!(
        closed(&ordered.handle(until(0, 2))),
        0,
        "the other has not spoken"
    );
    let idle = ordered::Input::Idle {
        from: ids[1].clone(),
    };
    assert_eq!(closed(&ordered.handle(idle)), 2);
    let late = ordered.handle(events(1, &[1, 2]));
    assert_eq!(late, [Output::Late { events: 1 }]);
    assert_eq!(closed(&ordered.handle(until(0, 5))), 0, "waited for again");
    assert_eq!(closed(&ordered.handle(until(1, 3))), 1);
}
