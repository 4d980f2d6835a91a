//! Models that go back: what a calendar says is not to be learnt, a log that no longer reaches back.

use super::*;

/// The job with a calendar that says: of minutes 35 to 40 nothing is to be learnt.
fn unlearning(categories: bool, keyed: bool) -> Arc<Job> {
    let event = format!(
        r#"{{"description":"flood","start_time":{},"end_time":{}}}"#,
        35 * MINUTE_MS,
        40 * MINUTE_MS
    );
    let own = format!(
        r#"{{"idle_timeout":"1d","keyed_by_partition_field":{keyed},"calendars":[{{"calendar_id":"c","events":[{event}]}}]}}"#
    );
    shown(&job("1m", &own), categories)
}

/// The results of buckets from a minute on, as told first; without scores if those are normalised by what else was published.
fn from_minute(
    said: Said,
    minute: i64,
    with_scores: bool,
) -> BTreeMap<(DocumentKind, String), String> {
    let is_after = |text: &str| minute_of(text) >= Some(minute);
    let kinds = [
        DocumentKind::Bucket,
        DocumentKind::Record,
        DocumentKind::Influencer,
        DocumentKind::ModelPlot,
    ];
    let mut told = BTreeMap::new();
    for (document, words) in said {
        let text = words.first().cloned().flatten().unwrap_or_default();
        if !kinds.contains(&document.0) || !is_after(&text) {
            continue;
        }
        let told_of = match with_scores {
            true => text,
            false => without_scores(&text),
        };
        told.insert(document, told_of);
    }
    told
}

#[test]
fn after_a_revert_the_models_are_those_of_a_job_that_has_never_learnt_what_its_calendar_keeps_out()
{
    for (partitions, categories, keyed) in [
        (1, false, false),
        (1, true, false),
        (3, false, false),
        (2, false, true),
    ] {
        for snapshot_every in [None, Some(40)] {
            let told =
                format!("{partitions} partitions, {categories}, {keyed}, {snapshot_every:?}");
            let house = House::new(partitions);
            let settings = Settings {
                snapshot_every_messages: snapshot_every,
                snapshots_kept: 100,
                ..Settings::default()
            };
            let extensions =
                format!(r#"{{"idle_timeout":"1d","keyed_by_partition_field":{keyed}}}"#);
            let own = shown(&job("1m", &extensions), categories);
            let mut service = house.start_with(Arc::clone(&own), settings.clone());
            let send = |from: i64, to: i64| {
                for minute in from..to {
                    // What is to be forgotten, and what is held against what is known.
                    let flood = if matches!(minute, 35..40 | 70) { 50 } else { 0 };
                    if keyed {
                        (0..flood + 3 + minute % 4).for_each(|n| house.send_at(0, minute, "a", n));
                        house.send_at(1, minute, "b", 0);
                        continue;
                    }
                    feed(&house, partitions, minute, minute + 1);
                    (0..flood as i32).for_each(|n| house.send_at(n % partitions, minute, "a", 0));
                }
            };
            for minute in (0..50).step_by(5) {
                send(minute, minute + 5);
                house.settle(&mut service);
            }
            let (mut log, as_it_was) = footprint(&house, &own);
            let mut store = house.store.clone();
            let to = EventTime(35 * MINUTE_MS + 7);
            let at_work = revert(&mut log, &mut store, &as_it_was, to).unwrap_err();
            assert!(matches!(at_work, JobsError::AtWork { .. }), "{told}");
            service.finish().unwrap();
            let before = said_of(&house, "j");

            // It would learn the same; and there is nothing yet that it could forget.
            let same = revert(&mut log, &mut store, &as_it_was, to).unwrap_err();
            assert!(matches!(same, JobsError::SameAgain { .. }), "{told}");
            let says = same.to_string();
            assert!(
                says.contains("\"start_time\": \"1970-01-01T00:35:00Z\""),
                "{says}"
            );
            let changed = unlearning(categories, keyed);
            let (_, trace) = footprint(&house, &changed);
            let later = EventTime(90 * MINUTE_MS);
            let nothing = revert(&mut log, &mut store, &trace, later).unwrap_err();
            assert!(matches!(nothing, JobsError::NothingSince { .. }), "{told}");

            let would = prospect(&mut log, &mut store, &trace, to).unwrap();
            let done = revert(&mut log, &mut store, &trace, to).unwrap();
            assert_eq!(would, done, "{told}");
            assert_eq!(done.from, EventTime(35 * MINUTE_MS), "{told}");
            assert_eq!(done.until, EventTime(49 * MINUTE_MS), "{told}");
            assert!(
                done.snapshots > 0 && done.messages > 100,
                "{told}: {done:?}"
            );
            // Cut off and done again, it does the rest, and no more.
            let again = revert(&mut log, &mut store, &trace, to).unwrap();
            assert_eq!(
                (again.snapshots, again.messages),
                (0, done.messages),
                "{told}"
            );

            let mut service = house.start_with(Arc::clone(&changed), settings.clone());
            house.settle(&mut service);
            assert_eq!(said_of(&house, "j"), before, "{told}: said again");
            send(50, 80);
            house.settle(&mut service);
            assert!(
                !house.diary.has("Gap") && !house.diary.has("Reconfigured"),
                "{told}"
            );

            // Those of one that has had the calendar from the beginning, and not those of one that has learnt it all.
            let is_one = partitions == 1;
            let found = from_minute(said_of(&house, "j"), 50, is_one);
            let wanted = from_minute(of_all(&house, &changed), 50, is_one);
            assert!(wanted.len() >= 50, "{told}: {}", wanted.len());
            let missing = wanted
                .iter()
                .find(|(document, text)| found.get(*document) != Some(*text));
            let shown = missing.map(|(document, text)| (document, text, found.get(document)));
            assert!(found == wanted, "{told}: {shown:#?}");
            let learnt = from_minute(of_all(&house, &own), 50, is_one);
            assert!(found != learnt, "{told}: nothing was forgotten");
        }
    }
}

#[test]
fn a_revert_names_what_it_would_have_to_read_where_the_log_no_longer_reaches_back() {
    for (partitions, keyed) in [(1, false), (2, true), (3, false)] {
        let told = format!("{partitions} partitions, {keyed}");
        let house = House::new(partitions);
        let settings = Settings {
            snapshot_every_messages: Some(40),
            snapshots_kept: 2,
            ..Settings::default()
        };
        let changed = unlearning(false, keyed);
        let mut service = house.start_with(Arc::clone(&changed), settings.clone());
        for minute in (0..60).step_by(5) {
            if keyed {
                (minute..minute + 5).for_each(|minute| {
                    (0..4).for_each(|n| house.send_at(0, minute, "a", n));
                    house.send_at(1, minute, "b", 0);
                });
            } else {
                feed(&house, partitions, minute, minute + 5);
            }
            house.settle(&mut service);
        }
        service.finish().unwrap();
        let (mut log, trace) = footprint(&house, &changed);
        let mut store = house.store.clone();
        let (early, late) = (EventTime(35 * MINUTE_MS), EventTime(58 * MINUTE_MS));
        // What the judges would read again: retention has taken its beginning.
        let trimmed = match (partitions, keyed) {
            (3, _) => TopicPartition::new(Arc::clone(&trace.plan.closed), 0),
            _ => TopicPartition::new("events", 0),
        };
        house.cluster.truncate(&trimmed, 3);
        let refused = revert(&mut log, &mut store, &trace, early).unwrap_err();
        let says = refused.to_string();
        let wanted =
            format!("{trimmed} would have to be read again from offset 0 on, and begins at 3");
        assert!(says.contains(&wanted), "{told}: {says}");
        let kept = store.list(&trace.plan.task_name(&trimmed)).unwrap();
        assert_eq!(kept.len(), 2, "{told}: refused, and deleted");
        // Nobody says that nothing of the calendar would be learnt since: it is over by then.
        let over = revert(&mut log, &mut store, &trace, late).unwrap_err();
        assert!(
            matches!(over, JobsError::SameAgain { .. }),
            "{told}: {over}"
        );
    }
}

/// What the engine says of all events of a house, in the order of their time.
fn of_all(house: &House, job: &Arc<Job>) -> Said {
    let (mut decoder, mut pipeline) = (Decoder::new(job), Pipeline::new(Arc::clone(job)));
    let mut events = house.cluster.committed("events");
    events.sort_by_key(|message| message.timestamp_ms);
    let mut said = Said::new();
    for message in events {
        let payload = message.payload.as_deref().unwrap_or_default();
        decoder.payload(payload, None, &mut |decoded| {
            for output in pipeline.handle(Input::Event(decoded.as_ref().unwrap())) {
                if let Output::Result(document) = output {
                    let json = serde_json::to_string(&document).unwrap();
                    let words = said.entry((document.kind, document.id)).or_default();
                    words.push(Some(json));
                }
            }
        });
    }
    said
}
