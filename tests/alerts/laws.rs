//! What holds for any results and any policy.

use crate::results::{JOB, influencer, record, span, start, tell, tracker, whole};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidewatch::alert::{Change, IncidentKind, Notice, Tracker};
use tidewatch::config::{AlertPolicy, AlertSubject, GroupBy, Silence};
use tidewatch::engine::result::Document;
use tidewatch::time::Finality;

/// A bucket: its number, whether it is done, and what was said of it.
#[derive(Clone, Debug)]
struct Told {
    bucket: i64,
    finality: Finality,
    documents: Vec<Document>,
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![3 => 0.0..40.0f64, 2 => 40.0..75.0f64, 2 => 75.0..100.0f64]
}

/// (detector, host, service, score)
type Said = (u16, u8, Option<u8>, f64);

fn documents(bucket: i64, finality: Finality, said: &[Said]) -> Vec<Document> {
    let mut documents: BTreeMap<String, Document> = BTreeMap::new();
    let mut add = |one: Document| drop(documents.insert(one.id.clone(), one));
    for (detector, host, service, score) in said {
        let service = service.map(|service| format!("s{service}"));
        let host = format!("h{host}");
        add(record(
            bucket,
            finality,
            *detector,
            &host,
            service.as_deref(),
            *score,
        ));
        add(influencer(bucket, finality, "host", &host, score * 0.9));
        if let Some(service) = service {
            add(influencer(
                bucket,
                finality,
                "service",
                &service,
                score * 0.8,
            ));
        }
    }
    let most = said.iter().map(|one| one.3).fold(0.0, f64::max);
    add(whole(bucket, finality, most));
    documents.into_values().collect()
}

/// Buckets in order, some of them skipped, some said while still open.
fn history() -> impl Strategy<Value = Vec<Told>> {
    let said = || {
        proptest::collection::vec(
            (0..3u16, 0..4u8, proptest::option::of(0..2u8), score()),
            0..5,
        )
    };
    let one = (1..3i64, said(), proptest::option::of(said()));
    proptest::collection::vec(one, 1..25).prop_map(|buckets| {
        let mut at = 1_000;
        let mut told = Vec::new();
        for (step, last, first) in buckets {
            at += step;
            for (finality, said) in [(Finality::Interim, first), (Finality::Final, Some(last))] {
                if let Some(said) = said {
                    let documents = documents(at, finality, &said);
                    told.push(Told {
                        bucket: at,
                        finality,
                        documents,
                    });
                }
            }
        }
        told
    })
}

fn policy() -> impl Strategy<Value = AlertPolicy> {
    let subject = prop_oneof![
        3 => Just(AlertSubject::Record),
        1 => Just(AlertSubject::Influencer),
        1 => Just(AlertSubject::Bucket)
    ];
    let group_by = prop_oneof![
        3 => Just(GroupBy::Entity),
        1 => Just(GroupBy::Job),
        1 => Just(GroupBy::Fields(vec!["service".to_owned()]))
    ];
    let silence = Silence {
        from_ms: Some(start(1_010).millis()),
        until_ms: Some(start(1_020).millis()),
        fields: BTreeMap::from([("host".to_owned(), "h1".to_owned())]),
        comment: "h1 moves".to_owned(),
    };
    let silences =
        proptest::option::of(Just(silence)).prop_map(|one| one.into_iter().collect::<Vec<_>>());
    (subject, group_by, silences, 0..3u32, any::<bool>(), 0..4i64).prop_map(
        |(subject, group_by, silences, rate_limit, include_interim, quiet)| AlertPolicy {
            subject,
            group_by,
            silences,
            rate_limit,
            include_interim,
            threshold: 60.0,
            resolve_below: 40.0,
            resolve_after_ms: Some(quiet * span().millis()),
            repeat_interval_ms: 5 * span().millis(),
            rate_window_ms: 8 * span().millis(),
        },
    )
}

fn run(policy: &AlertPolicy, history: &[Told]) -> (Vec<Notice>, Vec<u8>) {
    let mut tracker = tracker(policy);
    let notices = history
        .iter()
        .flat_map(|told| tell(&mut tracker, told.bucket, told.finality, &told.documents))
        .collect();
    (notices, tracker.snapshot())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn an_incident_is_opened_once_told_in_order_and_resolved_at_most_once(policy in policy(), history in history()) {
        let mut told: BTreeMap<String, Vec<Notice>> = BTreeMap::new();
        for notice in run(&policy, &history).0 {
            told.entry(notice.incident.id.clone()).or_default().push(notice);
        }
        for notices in told.values() {
            for (at, notice) in notices.iter().enumerate() {
                prop_assert_eq!(notice.change == Change::Opened, at == 0);
                prop_assert!(notice.change != Change::Resolved || at + 1 == notices.len());
                prop_assert_eq!(notice.incident.sequence as usize, at + 1);
                prop_assert_eq!(notice.previous_ms, at.checked_sub(1).map(|before| notices[before].at_ms));
                prop_assert!(notice.incident.severities.is_sorted());
                if let Some(ended) = notice.ended_ms {
                    prop_assert!(notice.incident.started_ms < ended && ended <= notice.at_ms);
                }
            }
        }
    }

    #[test]
    fn an_entity_has_one_incident_at_a_time(policy in policy(), history in history()) {
        let mut open = BTreeSet::new();
        for notice in run(&policy, &history).0 {
            let who = (notice.incident.kind, notice.incident.entity.clone());
            match notice.change {
                Change::Opened => prop_assert!(open.insert(who)),
                Change::Updated => prop_assert!(open.contains(&who)),
                Change::Resolved => prop_assert!(open.remove(&who)),
            }
        }
    }

    #[test]
    fn the_order_of_documents_in_a_bucket_does_not_show(policy in policy(), history in history(), turn in 0..7usize) {
        let mut turned = history.clone();
        for told in &mut turned {
            told.documents.reverse();
            let by = turn % told.documents.len();
            told.documents.rotate_left(by);
        }
        prop_assert_eq!(run(&policy, &history), run(&policy, &turned));
    }

    #[test]
    fn words_on_buckets_that_are_behind_change_nothing(policy in policy(), history in history()) {
        let mut tracker = tracker(&policy);
        let mut notices = Vec::new();
        let mut done: Vec<Document> = Vec::new();
        for told in &history {
            notices.extend(tell(&mut tracker, told.bucket, told.finality, &told.documents));
            if told.finality == Finality::Final {
                done.extend(told.documents.iter().cloned());
                // Renormalised, after the bucket, as the rollup says them; and said again whole, as a replay might.
                done.iter().for_each(|old| tracker.document(old));
                let last = done.first().expect("a bucket has a document").time;
                prop_assert_eq!(tracker.closed(last, Finality::Final), vec![]);
            }
        }
        prop_assert_eq!((notices, tracker.snapshot()), run(&policy, &history));
    }

    #[test]
    fn what_follows_a_restore_is_what_would_have_followed_without_one(policy in policy(), history in history()) {
        let mut tracker = tracker(&policy);
        let mut notices = Vec::new();
        for told in &history {
            let bytes = tracker.snapshot();
            tracker = Tracker::restore(JOB, span(), Arc::new(policy.clone()), &bytes).unwrap();
            prop_assert_eq!(tracker.snapshot(), bytes, "equal state, equal bytes");
            notices.extend(tell(&mut tracker, told.bucket, told.finality, &told.documents));
        }
        prop_assert_eq!((notices, tracker.snapshot()), run(&policy, &history));
    }

    #[test]
    fn no_more_is_announced_than_the_limit_and_what_is_held_back_is_summed_up(policy in policy(), history in history()) {
        let mut announced: BTreeMap<String, i64> = BTreeMap::new();
        let mut held: BTreeSet<String> = BTreeSet::new();
        let mut summaries = 0;
        for notice in run(&policy, &history).0 {
            let incident = &notice.incident;
            match incident.kind {
                IncidentKind::HeldBack => summaries += usize::from(notice.change == Change::Opened),
                IncidentKind::Anomaly if incident.announced => {
                    announced.entry(incident.id.clone()).or_insert(notice.at_ms);
                }
                IncidentKind::Anomaly if incident.silence.is_none() => drop(held.insert(incident.id.clone())),
                IncidentKind::Anomaly => {}
            }
        }
        prop_assert_eq!(summaries > 0, policy.rate_limit > 0 && !held.is_empty());
        // An open bucket may announce what belongs before a final word on an earlier one: time does not go back otherwise.
        if policy.rate_limit > 0 && !policy.include_interim {
            for &at in announced.values() {
                let within = announced.values().filter(|&&other| other <= at && at - other < policy.rate_window_ms);
                prop_assert!(within.count() <= policy.rate_limit as usize);
            }
        }
    }

    #[test]
    fn a_state_that_is_damaged_is_refused(history in history(), at in any::<prop::sample::Index>(), bit in 0..8) {
        let policy = Arc::new(AlertPolicy { threshold: 60.0, resolve_below: 40.0, ..AlertPolicy::default() });
        let (_, mut bytes) = run(&policy, &history);
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        prop_assert!(Tracker::restore(JOB, span(), Arc::clone(&policy), &bytes).is_err());
        prop_assert!(Tracker::restore(JOB, span(), policy, &bytes[..at]).is_err());
    }
}
