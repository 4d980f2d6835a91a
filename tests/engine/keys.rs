//! A topic that is said to be keyed by the partition field: whether it is, told once for each value that is not where it should be.

use super::support::{Happening, difference, events, job_with, line};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidewatch::config::Job;
use tidewatch::engine::gatherer;
use tidewatch::engine::pipeline::{Keyed, KeyedOutput};
use tidewatch::engine::result::MisplacedKeys;
use tidewatch::engine::rollup::{self, Rollup};
use tidewatch::engine::wire::{InputId, StageMessage};
use tidewatch::time::{EventTime, Finality};

const MINUTE_MS: i64 = 60_000;
const INPUTS: usize = 3;

fn job(number: usize) -> Arc<Job> {
    job_with(number, |body| {
        body["tidewatch"] = serde_json::json!({"keyed_by_partition_field": true});
    })
}

/// Where an event belongs.
fn home(event: &Happening) -> usize {
    usize::from(event.host.map_or(0, |host| host + 1)) % INPUTS
}

/// What there was to say: annotations of misplaced keys, and what the buckets' summaries count.
#[derive(Debug, Default, PartialEq)]
struct Said {
    notes: Vec<Value>,
    counted: MisplacedKeys,
}

impl Said {
    fn hear(&mut self, outputs: Vec<rollup::Output>) {
        for output in outputs {
            match output {
                rollup::Output::Result(document) => {
                    let document = serde_json::to_value(&document).unwrap();
                    if document["event"] == "misplaced_key" {
                        self.notes.push(document);
                    }
                }
                rollup::Output::Closed(summary) => {
                    let one = summary.misplaced_keys;
                    assert_eq!(one.new > 0, one.sentence.is_some());
                    self.counted.new += one.new;
                    self.counted.total = one.total;
                }
                _ => {}
            }
        }
    }
}

/// What a keyed pair says of its events, as bytes; begun again from a snapshot every so many events.
fn pair(
    job: &Arc<Job>,
    id: &InputId,
    events: &[&Happening],
    end: EventTime,
    every: usize,
) -> Vec<Vec<u8>> {
    let mut pair = Keyed::new(job.clone(), id.clone()).among(INPUTS as u16);
    let mut outputs = Vec::new();
    for (at, event) in events.iter().enumerate() {
        outputs.extend(event.with_event(job, |event| pair.handle(gatherer::Input::Event(event))));
        if at % every == every - 1 {
            let snapshot = pair.snapshot();
            pair = Keyed::restore(job.clone(), &snapshot)
                .unwrap()
                .among(INPUTS as u16);
            assert_eq!(pair.snapshot(), snapshot);
            let open = pair.handle(gatherer::Input::Flush(Finality::Interim));
            let is_silent = |word: &KeyedOutput| match word {
                KeyedOutput::Partial(bucket) => bucket.keys.is_empty(),
                _ => true,
            };
            assert!(open.iter().all(is_silent), "interim words announce nothing");
        }
    }
    outputs.extend(pair.handle(gatherer::Input::Advance(end)));
    let words = outputs.into_iter().map(|output| match output {
        KeyedOutput::Partial(bucket) => StageMessage::Partial(bucket),
        KeyedOutput::Watermark(until) => StageMessage::Watermark(until),
        other => panic!("{other:?}"),
    });
    words.map(|word| word.encode()).collect()
}

/// What comes of events, each on the input that stands beside it; `order` says which input's words are heard next.
fn said(job: &Arc<Job>, placed: &[(usize, Happening)], order: &[u8], every: usize) -> Said {
    let ids: Vec<InputId> = (0..INPUTS).map(|i| InputId(format!("topic/{i}"))).collect();
    let end = placed
        .iter()
        .map(|(_, event)| event.at_ms)
        .max()
        .unwrap_or(0);
    let mut queues = ids.iter().enumerate().map(|(input, id)| {
        let own = placed.iter().filter(|(at, _)| *at == input);
        let own: Vec<&Happening> = own.map(|(_, event)| event).collect();
        pair(job, id, &own, EventTime(end + MINUTE_MS), every).into_iter()
    });
    let mut queues: [_; INPUTS] = std::array::from_fn(|_| queues.next().unwrap());
    let mut rollup = Rollup::new(job.clone(), ids.clone());
    let mut said = Said::default();
    for turn in 0.. {
        let wanted = usize::from(order[turn % order.len()]);
        let next = (0..INPUTS).find_map(|i| {
            let at = (wanted + i) % INPUTS;
            Some((at, queues[at].next()?))
        });
        let Some((at, bytes)) = next else { break };
        let from = ids[at].clone();
        said.hear(rollup.handle(match StageMessage::decode(&bytes).unwrap() {
            StageMessage::Partial(bucket) => rollup::Input::Partial { from, bucket },
            StageMessage::Watermark(until) => rollup::Input::Watermark { from, until },
            other => panic!("{other:?}"),
        }));
        if turn % every == 0 {
            rollup = Rollup::restore(job.clone(), &rollup.snapshot()).unwrap();
        }
    }
    said.hear(rollup.handle(rollup::Input::Flush(Finality::Final)));
    said
}

/// By value, the first bucket in which each input had it.
fn first_met(placed: &[(usize, Happening)]) -> BTreeMap<Option<u8>, BTreeMap<usize, i64>> {
    let mut met: BTreeMap<Option<u8>, BTreeMap<usize, i64>> = BTreeMap::new();
    for (input, event) in placed {
        let bucket = event.at_ms / MINUTE_MS;
        let first = met.entry(event.host).or_default().entry(*input);
        let first = first.or_insert(bucket);
        *first = bucket.min(*first);
    }
    met
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn of_a_topic_that_is_keyed_there_is_never_a_word(
        number in 2usize..5, events in events(), every in 1usize..30, order in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let placed: Vec<(usize, Happening)> = events.into_iter().map(|event| (home(&event), event)).collect();
        prop_assert_eq!(said(&job(number), &placed, &order, every), Said::default());
    }

    #[test]
    fn one_stray_value_is_told_once_with_its_names_in_any_order_and_through_restarts(
        number in 2usize..5, events in events(), stray in any::<prop::sample::Index>(), aside in 1..INPUTS, again in any::<bool>(),
        every in 1usize..30, order in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let mut placed: Vec<(usize, Happening)> = events.into_iter().map(|event| (home(&event), event)).collect();
        let at = stray.index(placed.len());
        let elsewhere = ((placed[at].0 + aside) % INPUTS, placed[at].1.clone());
        placed.insert(at, elsewhere.clone());
        if again {
            let later = placed.iter().position(|(_, event)| event.at_ms > elsewhere.1.at_ms + 5 * MINUTE_MS);
            placed.insert(later.unwrap_or(at), (elsewhere.0, Happening { at_ms: later.map_or(elsewhere.1.at_ms, |at| placed[at].1.at_ms), ..elsewhere.1.clone() }));
        }
        let host = elsewhere.1.host;
        let mut inputs: Vec<(i64, usize)> = first_met(&placed)[&host].iter().map(|(input, bucket)| (*bucket, *input)).collect();
        inputs.sort_unstable(); // the first home is that of the first bucket, and of two in one bucket the first by name

        let told = said(&job(number), &placed, &order, every);
        prop_assert_eq!(&told.counted, &MisplacedKeys { total: 1, new: 1, sentence: None });
        prop_assert_eq!(told.notes.len(), 1, "{:?}", &told.notes);
        let note = &told.notes[0];
        let value = host.map_or(String::new(), |host| format!("host-{host}"));
        let partitions: Vec<String> = inputs.iter().map(|(_, input)| format!("topic/{input}")).collect();
        prop_assert_eq!(&note["partition_field_name"], "host");
        prop_assert_eq!(&note["partition_field_value"], value.as_str());
        prop_assert_eq!(&note["topic_partitions"], &serde_json::json!(partitions));
        prop_assert_eq!(note["timestamp"].as_i64().unwrap() / MINUTE_MS, inputs[1].0);
        let sentence = note["annotation"].as_str().unwrap();
        let names = format!("from partitions {} and {}: the topic is not keyed by host", partitions[0], partitions[1]);
        prop_assert!(sentence.contains(&names) && sentence.contains(value.as_str()), "{}", sentence);

        prop_assert_eq!(said(&job(number), &placed, &[0], 1_000), told, "in another order, without a restart");
    }
}

/// Everything that is said of events, each on the input that stands beside it, by pairs which are heard in this order.
fn documents(job: &Arc<Job>, placed: &[(usize, Happening)], order: &[usize]) -> Vec<String> {
    let ids: Vec<InputId> = (0..INPUTS).map(|i| InputId(format!("topic/{i}"))).collect();
    let end = placed.iter().map(|(_, event)| event.at_ms).max();
    let end = EventTime(end.unwrap_or(0) + MINUTE_MS);
    let mut rollup = Rollup::new(job.clone(), ids.clone());
    let mut lines = Vec::new();
    for &input in order {
        let own = placed.iter().filter(|(at, _)| *at == input);
        let own: Vec<&Happening> = own.map(|(_, event)| event).collect();
        for bytes in pair(job, &ids[input], &own, end, 1_000) {
            let from = ids[input].clone();
            let outputs = rollup.handle(match StageMessage::decode(&bytes).unwrap() {
                StageMessage::Partial(bucket) => rollup::Input::Partial { from, bucket },
                StageMessage::Watermark(until) => rollup::Input::Watermark { from, until },
                other => panic!("{other:?}"),
            });
            lines.extend(outputs.into_iter().filter_map(|output| match output {
                rollup::Output::Result(document) => Some(line(&document)),
                _ => None,
            }));
        }
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn what_pairs_say_of_one_series_is_said_once_whoever_speaks_first(
        number in 2usize..5, events in events(), salt: u64,
    ) {
        let at = |at: usize| ((at as u64 ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) as usize % INPUTS;
        let placed: Vec<(usize, Happening)> = events.into_iter().enumerate().map(|(n, event)| (at(n), event)).collect();
        let job = job_with(number, |body| {
            body["tidewatch"] = serde_json::json!({"keyed_by_partition_field": true});
            body["model_plot_config"] = serde_json::json!({"enabled": true});
            body["renormalization_window_days"] = serde_json::json!(0);
        });
        let told = documents(&job, &placed, &[0, 1, 2]);
        for order in [[2, 1, 0], [1, 0, 2]] {
            prop_assert_eq!(difference(&documents(&job, &placed, &order), &told), None);
        }
        // Totals are said again and again; everything else of a bucket once.
        let mut ids: Vec<&str> = told.iter().filter_map(|line| line.split(' ').next()).filter(|id| !id.contains("data_counts")).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), count);
    }
}

#[test]
fn of_a_topic_that_is_not_keyed_ten_values_are_named_and_all_counted() {
    let host = |n: u8| (0..INPUTS).map(move |input| (input, n));
    let placed: Vec<(usize, Happening)> = (0..25u8)
        .flat_map(host)
        .map(|(input, n)| {
            let event = Happening {
                at_ms: i64::from(n) * 20_000,
                host: Some(n),
                user: 0,
                value: Some(1.0),
            };
            (input, event)
        })
        .collect();
    let said = said(&job(2), &placed, &[0, 1, 2], 7);
    assert_eq!(said.notes.len(), 10);
    assert_eq!((said.counted.total, said.counted.new), (25, 25));
    let ends = |note: &Value| {
        let sentence = note["annotation"].as_str().unwrap();
        sentence.ends_with("Further values are counted and not named")
    };
    let last: Vec<bool> = said.notes.iter().map(ends).collect();
    assert!(last[9] && !last[..9].contains(&true), "{last:?}");
}
