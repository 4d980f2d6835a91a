//! Late corrections: events late beyond the lateness, but within `late_revision_window`, re-open their bucket's result.
//!
//! Claims: the last word on every document does not depend on when within the window late events came, on the placement, or on a restore in
//! between; a bucket re-opened is judged as it would have been had they come in time; what is no longer so is withdrawn; nothing outside of the
//! window is touched; the memory limit holds.

use super::support::{
    Happening, JOBS, difference, events, fused, job_with, keyed, line, results, staged,
};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidewatch::alert::Tracker;
use tidewatch::config::{AlertPolicy, Job};
use tidewatch::engine::event::Reason;
use tidewatch::engine::gatherer::Input;
use tidewatch::engine::pipeline::{Output, Pipeline};
use tidewatch::engine::result::{Body, Document};
use tidewatch::time::Finality;

const SPAN_MS: i64 = 60_000;
const WINDOW_BUCKETS: i64 = 6;

/// Job `number` with a window of six buckets.
fn late_job(number: usize) -> Arc<Job> {
    job_with(number, |body| {
        body["tidewatch"]["late_revision_window"] = json!("6m");
    })
}

fn bucket_of(at_ms: i64) -> i64 {
    at_ms.div_euclid(SPAN_MS)
}

fn scatter(at: usize, salt: u64) -> usize {
    ((at as u64 ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 17) as usize
}

/// Events in order with some of them late: each comes behind one that has closed its bucket, while the window still reaches it. Which are late depends on
/// `which` alone; when each comes, and so also in which order, on `when`.
fn with_late_ones(job: &Job, events: &[Happening], which: u64, when: u64) -> Vec<Happening> {
    let is_late = |at: usize| scatter(at, which).is_multiple_of(7);
    let (mut in_time, mut late) = (Vec::new(), Vec::new());
    for (at, event) in events.iter().enumerate() {
        if at > 0 && is_late(at) {
            late.push(event)
        } else {
            in_time.push(event)
        }
    }
    let mut behind: Vec<Vec<&Happening>> = vec![Vec::new(); in_time.len()];
    for (at, event) in late.into_iter().enumerate() {
        let closed = |other: &&Happening| bucket_of(other.at_ms - job.lateness.millis());
        let own = bucket_of(event.at_ms);
        let from = in_time.partition_point(|other| closed(other) <= own);
        let to = in_time.partition_point(|other| closed(other) <= own + WINDOW_BUCKETS);
        if from < to {
            behind[from + scatter(at, when) % (to - from)].push(event);
        }
    }
    let after = in_time.iter().zip(behind);
    after
        .flat_map(|(event, late)| std::iter::once(*event).chain(late))
        .cloned()
        .collect()
}

/// The last word on each document, but for what was withdrawn, and for sizes, which are those of their moment.
fn last_words(lines: &[String]) -> BTreeMap<String, String> {
    let mut last = BTreeMap::new();
    for line in lines
        .iter()
        .filter(|line| !line.contains("\"result_type\":\"model_size_stats\""))
    {
        let (id, document) = line.split_once(' ').expect("an id and a document");
        last.insert(id.to_owned(), document.to_owned());
    }
    last.retain(|_, document| !document.contains("\"is_withdrawn\":true"));
    last
}

fn differing(left: &BTreeMap<String, String>, right: &BTreeMap<String, String>) -> Option<String> {
    let ids = left.keys().chain(right.keys());
    let mut differing = ids.filter(|id| left.get(*id) != right.get(*id));
    differing
        .next()
        .map(|id| format!("{id}:\n  {:?}\n  {:?}", left.get(id), right.get(id)))
}

/// A document as it would be without a mark of what came late.
fn unmarked(document: &str) -> String {
    let mut rest = document;
    let mut text = String::new();
    while let Some((before, behind)) = rest.split_once("\"late_event_count\":") {
        text.push_str(before);
        rest = behind
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .trim_start_matches(',');
    }
    text + rest
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn when_and_in_which_order_late_events_come_does_not_show_in_the_last_words(
        number in 0..JOBS.len(), events in events(), which: u64, when: u64, otherwise: u64,
    ) {
        let job = late_job(number);
        let said = |when| last_words(&fused(&job, &with_late_ones(&job, &events, which, when)));
        prop_assert_eq!(differing(&said(when), &said(otherwise)), None);
    }

    #[test]
    fn a_bucket_is_judged_again_as_it_would_have_been_had_all_come_in_time(
        number in 0..JOBS.len(), events in events(), which in 0usize..200, salt: u64, patience in 0i64..WINDOW_BUCKETS,
    ) {
        let job = job_with(number, |body| {
            body["tidewatch"]["late_revision_window"] = json!("6m");
            body["renormalization_window_days"] = json!(0);
        });
        let bucket = bucket_of(events[which % events.len()].at_ms);
        let is_late = |at: usize, event: &Happening| bucket_of(event.at_ms) == bucket && scatter(at, salt).is_multiple_of(2);
        let parted = events.iter().enumerate();
        let (late, rest): (Vec<_>, Vec<_>) = parted.partition(|(at, event)| is_late(*at, event));
        let late: Vec<Happening> = late.into_iter().map(|(_, event)| event.clone()).collect();
        let mut arriving: Vec<Happening> = rest.into_iter().map(|(_, event)| event.clone()).collect();
        prop_assume!(!late.is_empty() && arriving.first().is_some_and(|first| bucket_of(first.at_ms) <= bucket));
        let closed = |event: &Happening| bucket_of(event.at_ms - job.lateness.millis());
        let from = arriving.partition_point(|event| closed(event) <= bucket + patience);
        prop_assume!(arriving.get(from).is_some_and(|event| closed(event) <= bucket + WINDOW_BUCKETS));
        arriving.splice(from + 1..from + 1, late.iter().cloned());
        let of_bucket = |lines: &[String]| {
            let mut words = last_words(lines);
            let time = format!("\"timestamp\":{},\"bucket_span\"", bucket * SPAN_MS);
            words.retain(|_, document| document.contains(&time));
            words.values_mut().for_each(|document| *document = unmarked(document));
            words
        };
        let (revised, in_time) = (fused(&job, &arriving), fused(&job, &events));
        prop_assert!(revised.iter().any(|line| line.contains("\"late_event_count\"")));
        prop_assert_eq!(differing(&of_bucket(&revised), &of_bucket(&in_time)), None);
    }

    #[test]
    fn one_input_and_any_shards_say_what_the_pipeline_says(
        number in 0..JOBS.len(), events in events(), which: u64, when: u64, shards in 1u16..6,
    ) {
        let job = late_job(number);
        let events = with_late_ones(&job, &events, which, when);
        let apart = staged(&job, &events, 1, shards, |_, _| 0, &[0]);
        let whole = fused(&job, &events);
        prop_assert_eq!(difference(&apart, &whole), None);
        if (2..5).contains(&number) {
            prop_assert_eq!(difference(&keyed(&job, &events, 1), &fused(&job, &events)), None);
        }
    }

    #[test]
    fn several_inputs_come_to_the_same_last_words_however_their_messages_meet(
        number in 0..JOBS.len(), events in events(), which: u64, when: u64, inputs in 2usize..5, salt: u64,
        shards in (1u16..6, 1u16..6), orders in prop::array::uniform2(prop::collection::vec(any::<u8>(), 1..40)),
    ) {
        let job = late_job(number);
        let events = with_late_ones(&job, &events, which, when);
        let spread = |at: usize, _: &Happening| scatter(at, salt) % inputs;
        let [one, other] = orders;
        let one = staged(&job, &events, inputs, shards.0, spread, &one);
        let other = staged(&job, &events, inputs, shards.1, spread, &other);
        prop_assert_eq!(differing(&last_words(&one), &last_words(&other)), None);
    }

    #[test]
    fn a_restore_at_any_point_of_the_window_is_seamless(
        number in 0..JOBS.len(), events in events(), which: u64, when: u64, cuts in prop::collection::vec(0usize..200, 1..4),
    ) {
        let job = late_job(number);
        let events = with_late_ones(&job, &events, which, when);
        let mut pipeline = Pipeline::new(job.clone());
        let mut lines = Vec::new();
        for (at, event) in events.iter().enumerate() {
            if cuts.contains(&at) {
                let snapshot = pipeline.snapshot();
                pipeline = Pipeline::restore(job.clone(), &snapshot).unwrap();
                prop_assert_eq!(pipeline.snapshot(), snapshot);
            }
            lines.extend(results(event.with_event(&job, |event| pipeline.handle(Input::Event(event)))));
        }
        lines.extend(results(pipeline.handle(Input::Flush(Finality::Final))));
        prop_assert_eq!(difference(&lines, &fused(&job, &events)), None);
    }
}

/// Forty events a bucket from `from` to `to`, by four hosts.
fn steady(from: i64, to: i64) -> impl Iterator<Item = Happening> {
    (from..to).flat_map(|bucket| {
        let noise = scatter(bucket as usize, 7) % 9;
        (0..36 + noise).map(move |n| happening(bucket, n))
    })
}

fn happening(bucket: i64, n: usize) -> Happening {
    Happening {
        at_ms: bucket * SPAN_MS + (n as i64 * 997) % SPAN_MS,
        host: Some((n % 4) as u8),
        user: (n % 3) as u8,
        value: Some(1.0),
    }
}

fn in_order(events: impl Iterator<Item = Happening>) -> Vec<Happening> {
    let mut events: Vec<Happening> = events.collect();
    events.sort_by_key(|event| event.at_ms);
    events
}

fn outputs(job: &Arc<Job>, events: &[Happening]) -> Vec<Output> {
    let mut pipeline = Pipeline::new(job.clone());
    let mut outputs = Vec::new();
    for event in events {
        outputs.extend(event.with_event(job, |event| pipeline.handle(Input::Event(event))));
    }
    outputs.extend(pipeline.handle(Input::Flush(Finality::Final)));
    outputs
}

fn documents(outputs: &[Output]) -> impl Iterator<Item = &Document> {
    outputs.iter().filter_map(|output| match output {
        Output::Result(document) => Some(document),
        _ => None,
    })
}

/// The scores said of the bucket's record, in order, and whether each word withdraws it.
fn words_on_record(outputs: &[Output], bucket: i64) -> Vec<(f64, bool)> {
    let of_bucket = documents(outputs).filter(|one| one.time.millis() == bucket * SPAN_MS);
    let records = of_bucket.filter_map(|document| match &document.body {
        Body::Record(record) => {
            let late = document.late.as_ref();
            Some((
                record.record_score,
                late.is_some_and(|late| late.is_withdrawn),
            ))
        }
        _ => None,
    });
    records.collect()
}

/// Three hundred buckets, of the last but ten a tenth of the events; the rest of it comes when six more have passed.
fn outage(late: usize) -> Vec<Happening> {
    let mut events = in_order(
        steady(0, 290)
            .chain((0..4).map(|n| happening(290, n)))
            .chain(steady(291, 297)),
    );
    events.extend((4..4 + late).map(|n| happening(290, n)));
    events.extend(in_order(steady(297, 301)));
    events
}

#[test]
fn what_late_events_explain_is_withdrawn_and_says_so() {
    let said = outputs(&late_job(0), &outage(36));
    let words = words_on_record(&said, 290);
    let [(first, false), (0.0, true)] = words[..] else {
        panic!("a record, withdrawn later: {words:?}")
    };
    assert!(
        first > 50.0,
        "nine tenths of the events are missing: {first}"
    );
    let bucket = documents(&said).filter(|one| one.time.millis() == 290 * SPAN_MS);
    let last = bucket
        .filter(|one| matches!(one.body, Body::Bucket(_)))
        .last()
        .unwrap();
    let text = line(last);
    assert_eq!(last.score(), Some(0.0), "{text}");
    assert!(
        text.contains("\"event_count\":40") && text.contains("\"late_event_count\":36"),
        "{text}"
    );
    let revisions: Vec<u64> = said
        .iter()
        .filter_map(|one| match one {
            Output::Revised(revision) => Some(revision.events),
            _ => None,
        })
        .collect();
    assert_eq!(
        revisions,
        [36],
        "all of them at once, when the next bucket closes"
    );
    let counts = documents(&said)
        .filter(|one| matches!(one.body, Body::DataCounts(_)))
        .last()
        .unwrap();
    let text = line(counts);
    assert!(text.contains("\"late_revised_event_count\":36"), "{text}");
    assert!(
        text.contains("\"out_of_order_timestamp_count\":0"),
        "{text}"
    );
}

#[test]
fn what_late_events_bring_is_told_as_a_fresh_result_is_and_told_once() {
    let mut events = in_order(steady(0, 297));
    events.extend((0..900).map(|n| happening(291, n)));
    events.extend(in_order(steady(297, 298)));
    events.push(happening(291, 3));
    events.extend(in_order(steady(298, 301)));
    let job = late_job(0);
    let said = outputs(&job, &events);
    let words = words_on_record(&said, 291);
    assert!(
        words.len() >= 2 && words[0].0 > 75.0 && words.iter().all(|one| !one.1),
        "{words:?}"
    );
    let mut tracker = Tracker::new(&job.id, job.bucket_span, Arc::new(AlertPolicy::default()));
    let mut opened = Vec::new();
    for output in &said {
        let notices = match output {
            Output::Result(document) => {
                tracker.document(document);
                continue;
            }
            Output::Closed(summary) => tracker.closed(summary.start, summary.finality),
            Output::Revised(revision) => tracker.revised(revision.start),
            _ => continue,
        };
        let about = notices
            .iter()
            .filter(|one| one.incident.started_ms == 291 * SPAN_MS);
        opened.extend(about.map(|one| one.incident.sequence));
    }
    let once = opened.iter().filter(|&&sequence| sequence == 1).count();
    assert_eq!(once, 1, "{opened:?}");
}

#[test]
fn beyond_the_window_and_without_one_an_event_is_late_as_ever() {
    let mut events = in_order(steady(0, 20));
    events.push(happening(12, 0)); // buckets 13 to 18 are closed and within the window
    events.push(happening(13, 0));
    let rejected = |job: &Arc<Job>| {
        let said = outputs(job, &events);
        let late = said.iter().filter(
            |one| matches!(one, Output::Rejected(rejection) if rejection.reason == Reason::Late),
        );
        late.count()
    };
    assert_eq!(rejected(&late_job(0)), 1);
    assert_eq!(rejected(&job_with(0, |_| {})), 2);
    let never_begun = [
        happening(5, 0),
        happening(8, 0),
        happening(3, 0),
        happening(9, 0),
    ];
    let said = outputs(&late_job(0), &never_begun);
    assert!(
        said.contains(&Output::Late { events: 1 }),
        "there is no result of bucket 3: {said:?}"
    );
}

#[test]
fn the_memory_limit_holds_for_models_past_and_present_and_what_is_kept_between() {
    let body = json!({"job_id": "flood", "data_description": {"time_field": "time"}, "analysis_limits": {"model_memory_limit": "1mb"},
        "analysis_config": {"bucket_span": "60s", "influencers": ["user"], "detectors": [{"function": "mean", "field_name": "value", "by_field_name": "host", "partition_field_name": "user"}]},
        "tidewatch": {"late_revision_window": "6m"}});
    let job = Arc::new(Job::from_value(&body).unwrap_or_else(|mistakes| panic!("{mistakes}")));
    let mut events = Vec::new();
    for bucket in 0..40 {
        for n in 0..1500usize {
            let (host, user) = (
                Some((n % 200) as u8),
                (scatter(n, bucket as u64) % 200) as u8,
            );
            events.push(Happening {
                host,
                user,
                ..happening(bucket, n)
            });
        }
    }
    let (mut most, mut revised, mut lost) = (0, 0, 0);
    let mut arriving = in_order(events.into_iter());
    let late: Vec<Happening> = arriving
        .iter()
        .filter(|one| bucket_of(one.at_ms) == 30)
        .cloned()
        .collect();
    let behind = arriving.partition_point(|one| bucket_of(one.at_ms) <= 32);
    arriving.splice(behind + 1..behind + 1, late);
    for output in outputs(&job, &arriving) {
        match output {
            Output::Closed(summary) => most = most.max(summary.model_bytes),
            Output::Revised(revision) => revised += revision.events,
            Output::Late { events } => lost += events,
            _ => {}
        }
    }
    assert!((500_000..=1 << 20).contains(&most), "{most} bytes");
    assert_eq!(
        revised + lost,
        1500,
        "{revised} re-opened a result, {lost} could not"
    );
}
