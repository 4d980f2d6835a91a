//! Scenarios: a bucket a line, what it says, and what is told of it.

use crate::results::{influencer, record, span, start, tell, tracker, whole};
use std::collections::BTreeSet;
use std::fmt::Write;
use tidewatch::alert::{Change, Notice, Tracker, entity_text};
use tidewatch::config::{AlertPolicy, AlertSubject, GroupBy, Silence};
use tidewatch::engine::result::LateWord;
use tidewatch::time::Finality;

fn describe(notice: &Notice) -> String {
    let incident = &notice.incident;
    let entity = match entity_text(&incident.entity) {
        text if text.is_empty() => "the job".to_owned(),
        text => text,
    };
    let mut text = format!(
        "{:?} {entity} {:?} {}",
        notice.change,
        notice.reason,
        incident.severity().label()
    );
    if incident.held_back > 0 {
        write!(text, " ({} held back)", incident.held_back).unwrap();
    }
    if !notice.is_for_receivers() {
        write!(text, " [{:?}]", incident.delivery).unwrap();
    }
    text
}

/// What is told of buckets that hold so many records `(host, service, score)`, a line each that has news.
fn story(policy: &AlertPolicy, buckets: &[&[(&str, Option<&str>, f64)]]) -> Vec<String> {
    let mut tracker = tracker(policy);
    let mut lines = Vec::new();
    for (bucket, records) in (100..).zip(buckets) {
        lines.extend(told(&mut tracker, bucket, Finality::Final, records));
    }
    lines
}

fn told(
    tracker: &mut Tracker,
    bucket: i64,
    finality: Finality,
    records: &[(&str, Option<&str>, f64)],
) -> Vec<String> {
    let mut documents = Vec::new();
    for (at, (host, service, score)) in (0..).zip(records) {
        documents.push(record(bucket, finality, at, host, *service, *score));
        if let Some(service) = service {
            documents.push(influencer(bucket, finality, "service", service, 90.0));
        }
    }
    let most = records.iter().map(|one| one.2).fold(0.0, f64::max);
    documents.push(whole(bucket, finality, most));
    let notices = tell(tracker, bucket, finality, &documents);
    notices
        .iter()
        .map(|notice| format!("{bucket}: {}", describe(notice)))
        .collect()
}

fn policy() -> AlertPolicy {
    AlertPolicy {
        repeat_interval_ms: 10 * span().millis(),
        ..AlertPolicy::default()
    }
}

const QUIET: &[(&str, Option<&str>, f64)] = &[];

#[test]
fn an_incident_goes_on_at_two_thirds_of_the_threshold_and_ends_after_two_quiet_buckets() {
    let told = story(
        &policy(),
        &[
            &[("a", None, 74.9)],
            &[("a", None, 80.0)],
            &[("a", None, 50.0)],
            &[("a", None, 49.9)],
            &[("a", None, 51.0)],
            QUIET,
            QUIET,
            QUIET,
        ],
    );
    assert_eq!(
        told,
        [
            "101: Opened host=a Threshold critical",
            "106: Resolved host=a Quiet critical"
        ]
    );
}

#[test]
fn a_higher_band_is_news_a_lower_one_is_not() {
    let low = AlertPolicy {
        threshold: 30.0,
        resolve_below: 20.0,
        ..policy()
    };
    let told = story(
        &low,
        &[
            &[("a", None, 35.0)],
            &[("a", None, 60.0)],
            &[("a", None, 40.0)],
            &[("a", None, 90.0)],
            &[("a", None, 99.0)],
        ],
    );
    assert_eq!(
        told,
        [
            "100: Opened host=a Threshold minor",
            "101: Updated host=a Severity major",
            "103: Updated host=a Severity critical"
        ]
    );
}

#[test]
fn what_lasts_is_told_again_every_repeat_interval() {
    let hot: &[(&str, Option<&str>, f64)] = &[("a", None, 80.0)];
    let told = story(&policy(), &vec![hot; 25]);
    assert_eq!(
        told,
        [
            "100: Opened host=a Threshold critical",
            "110: Updated host=a StillOn critical",
            "120: Updated host=a StillOn critical"
        ]
    );
}

#[test]
fn records_that_share_a_culprit_are_one_incident_and_stay_one_while_the_blame_moves_on() {
    let told = story(
        &policy(),
        &[
            &[
                ("a", Some("shop"), 90.0),
                ("b", Some("shop"), 85.0),
                ("c", None, 80.0),
            ],
            // No longer put down to the shop, but still of a host that is: a new incident, of its own.
            &[("b", Some("shop"), 70.0), ("c", None, 60.0)],
            QUIET,
            QUIET,
        ],
    );
    assert_eq!(
        told,
        [
            "100: Opened service=shop Threshold critical",
            "100: Opened host=c Threshold critical",
            "103: Resolved service=shop Quiet critical",
            "103: Resolved host=c Quiet critical",
        ]
    );
}

#[test]
fn beyond_the_limit_incidents_are_told_together_and_released_when_there_is_room() {
    let limited = AlertPolicy {
        rate_limit: 1,
        rate_window_ms: 3 * span().millis(),
        ..policy()
    };
    let three: &[(&str, Option<&str>, f64)] =
        &[("a", None, 90.0), ("b", None, 85.0), ("c", None, 80.0)];
    let told = story(
        &limited,
        &[
            three,
            three,
            three,
            three,
            &[("b", None, 80.0)],
            QUIET,
            QUIET,
        ],
    );
    assert_eq!(
        told,
        [
            "100: Opened the job Threshold critical (2 held back)",
            "100: Opened host=a Threshold critical",
            "100: Opened host=b Threshold critical [RateLimited]",
            "100: Opened host=c Threshold critical [RateLimited]",
            "103: Updated host=b Released critical",
            "105: Resolved the job Quiet critical (2 held back)",
            "105: Resolved host=a Quiet critical",
            "105: Resolved host=c Quiet critical [RateLimited]",
            "106: Resolved host=b Quiet critical",
        ]
    );
}

#[test]
fn a_silenced_incident_is_tracked_and_announced_when_the_silence_ends_before_it() {
    let silence = Silence {
        until_ms: Some(102 * span().millis()),
        fields: [("host".to_owned(), "a*".to_owned())].into(),
        comment: "load test".to_owned(),
        ..Silence::default()
    };
    let silenced = AlertPolicy {
        silences: vec![silence],
        ..policy()
    };
    let both: &[(&str, Option<&str>, f64)] = &[("a1", None, 90.0), ("b", None, 80.0)];
    let told = story(&silenced, &[both, both, both]);
    assert_eq!(
        told,
        [
            "100: Opened host=b Threshold critical",
            "100: Opened host=a1 Threshold critical [Silenced]",
            "102: Updated host=a1 Released critical",
        ]
    );
}

#[test]
fn a_job_may_be_one_incident_and_influencers_or_buckets_may_be_the_subject() {
    let two: &[(&str, Option<&str>, f64)] = &[("a", Some("shop"), 90.0), ("b", None, 85.0)];
    let by = |subject, group_by| AlertPolicy {
        subject,
        group_by,
        ..policy()
    };
    let told = |policy: &AlertPolicy| story(policy, &[two]).join("; ");
    assert_eq!(
        told(&by(AlertSubject::Record, GroupBy::Job)),
        "100: Opened the job Threshold critical"
    );
    assert_eq!(
        told(&by(AlertSubject::Bucket, GroupBy::Entity)),
        "100: Opened the job Threshold critical"
    );
    assert_eq!(
        told(&by(AlertSubject::Influencer, GroupBy::Entity)),
        "100: Opened service=shop Threshold critical"
    );
    let fields = GroupBy::Fields(vec!["host".to_owned(), "service".to_owned()]);
    assert_eq!(
        told(&by(AlertSubject::Record, fields)),
        "100: Opened host=a, service=shop Threshold critical; 100: Opened host=b Threshold critical"
    );
}

/// A record of a closed bucket that late events have brought to a score.
fn corrected(
    tracker: &mut Tracker,
    bucket: i64,
    (detector, host, score): (u16, &str, f64),
) -> Vec<Notice> {
    let mut document = record(bucket, Finality::Final, detector, host, None, score);
    document.late = Some(LateWord {
        event_count: 1,
        is_withdrawn: false,
        score_before: 10.0,
    });
    tracker.document(&document);
    tracker.revised(start(bucket))
}

#[test]
fn what_a_correction_begins_is_another_incident_than_what_its_bucket_had_begun_before() {
    let mut tracker = tracker(&policy());
    let mut ids = Vec::new();
    let mut opened = |notices: Vec<Notice>| {
        let opened = notices.iter().filter(|one| one.change == Change::Opened);
        ids.extend(opened.map(|one| one.incident.id.clone()));
    };
    let hot = [record(100, Finality::Final, 0, "a", None, 90.0)];
    opened(tell(&mut tracker, 100, Finality::Final, &hot));
    for bucket in 101..105 {
        opened(tell(&mut tracker, bucket, Finality::Final, &[]));
    }
    assert_eq!(tracker.open().count(), 0, "it is over");
    opened(corrected(&mut tracker, 100, (1, "a", 80.0)));
    opened(tell(&mut tracker, 105, Finality::Final, &[]));
    opened(corrected(&mut tracker, 100, (2, "a", 80.0)));
    let distinct: BTreeSet<&String> = ids.iter().collect();
    assert_eq!((ids.len(), distinct.len()), (3, 3), "{ids:?}");
}

#[test]
fn a_correction_in_a_silence_that_is_over_changes_nothing_for_an_incident_that_goes_on() {
    let silence = Silence {
        until_ms: Some(101 * span().millis()),
        comment: "deployment".to_owned(),
        ..Silence::default()
    };
    let silenced = AlertPolicy {
        silences: vec![silence],
        ..policy()
    };
    let mut tracker = tracker(&silenced);
    let hot: &[(&str, Option<&str>, f64)] = &[("a", None, 90.0)];
    told(&mut tracker, 100, Finality::Final, QUIET);
    told(&mut tracker, 101, Finality::Final, hot);
    let notices = corrected(&mut tracker, 100, (1, "a", 76.0));
    assert_eq!(
        notices.iter().map(describe).collect::<Vec<_>>(),
        Vec::<String>::new()
    );
    let scores: Vec<f64> = tracker.open().map(|one| one.score).collect();
    assert_eq!(scores, [90.0], "of the last bucket");
    assert_eq!(
        told(&mut tracker, 102, Finality::Final, hot),
        Vec::<String>::new()
    );
}

#[test]
fn what_an_open_bucket_begins_is_over_when_its_final_results_do_not_bear_it_out() {
    let early = AlertPolicy {
        include_interim: true,
        ..policy()
    };
    let mut tracker = tracker(&early);
    let hot: &[(&str, Option<&str>, f64)] = &[("a", None, 90.0)];
    assert_eq!(
        told(&mut tracker, 100, Finality::Interim, hot),
        ["100: Opened host=a Threshold critical"]
    );
    assert_eq!(
        told(&mut tracker, 100, Finality::Interim, hot),
        Vec::<String>::new()
    );
    // An earlier bucket that is quiet says nothing of it.
    assert_eq!(
        told(&mut tracker, 99, Finality::Final, QUIET),
        Vec::<String>::new()
    );
    assert_eq!(
        told(&mut tracker, 100, Finality::Final, QUIET),
        ["100: Resolved host=a NotConfirmed critical"]
    );
    assert_eq!(
        told(&mut tracker, 101, Finality::Interim, hot),
        ["101: Opened host=a Threshold critical"]
    );
    assert_eq!(
        told(&mut tracker, 101, Finality::Final, hot),
        Vec::<String>::new()
    );
}
