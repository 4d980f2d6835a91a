//! Calendars as files: when their events are, held against python-dateutil; iCalendar as it is met; what is hostile; the commands.
#![allow(missing_docs)]

use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tidewatch::config::{Coming, Job, Shared};
use tidewatch::time::EventTime;

const HOUR_MS: i64 = 3_600_000;

/// 2000 to 2099.
fn all(shared: &Shared) -> Vec<Coming> {
    shared.coming(EventTime(0), EventTime(4_102_444_800_000))
}

fn of_event(event: Value) -> Result<Vec<Coming>, String> {
    let document = json!({"calendar_id": "c", "events": [event]}).to_string();
    let mut shared = Shared::default();
    let read = shared.add_calendars(&document, "c.json", None);
    read.map(|()| all(&shared))
        .map_err(|errors| errors.to_string())
}

fn of_ics(events: &str, zone: Option<&str>) -> Result<Vec<Coming>, String> {
    let text = format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test\r\n{}END:VCALENDAR\r\n",
        events.replace('\n', "\r\n")
    );
    let mut shared = Shared::default();
    let zone = zone.map(|name| Shared::zone(name).unwrap());
    let read = shared.add_calendars(&text, "Holidays of 2026.ics", zone);
    read.map(|()| all(&shared))
        .map_err(|errors| errors.to_string())
}

/// An event of one VEVENT.
fn vevent(lines: &str) -> String {
    format!("BEGIN:VEVENT\nUID:1\nDTSTAMP:20260101T000000Z\n{lines}\nEND:VEVENT\n")
}

fn at(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text)
        .unwrap()
        .timestamp_millis()
}

fn begins(coming: &[Coming]) -> Vec<i64> {
    let mut begins: Vec<i64> = coming.iter().map(|one| one.from.millis()).collect();
    begins.dedup();
    begins
}

#[test]
fn recurring_events_begin_when_dateutil_says_across_every_change_of_clocks() {
    let text = std::fs::read_to_string("tests/reference/recurrence.json").unwrap();
    let reference: Value = serde_json::from_str(&text).unwrap();
    let cases = reference["cases"].as_array().unwrap();
    assert!(cases.len() > 60);
    for case in cases {
        let expected: Vec<i64> = serde_json::from_value(case["begins"].clone()).unwrap();
        let start = chrono::NaiveDateTime::parse_from_str(
            case["start"].as_str().unwrap(),
            "%Y-%m-%dT%H:%M:%S",
        )
        .unwrap();
        let end = start + chrono::Duration::minutes(10);
        let found = of_event(json!({
            "description": "x", "start_time": case["start"], "end_time": end.format("%Y-%m-%dT%H:%M:%S").to_string(),
            "time_zone": case["zone"], "recurrence": case["rule"],
        }));
        let found = found.unwrap_or_else(|mistakes| panic!("{case}: {mistakes}"));
        assert_eq!(
            begins(&found),
            expected,
            "{} {} {}",
            case["zone"],
            case["start"],
            case["rule"]
        );
        // The same as iCalendar.
        let compact = |time: chrono::NaiveDateTime| time.format("%Y%m%dT%H%M%S").to_string();
        let zone = case["zone"].as_str().unwrap();
        let rule = case["rule"].as_str().unwrap();
        let event = vevent(&format!(
            "SUMMARY:x\nDTSTART;TZID={zone}:{}\nDTEND;TZID={zone}:{}\nRRULE:{rule}",
            compact(start),
            compact(end)
        ));
        assert_eq!(
            begins(&of_ics(&event, None).unwrap()),
            expected,
            "{case} as iCalendar"
        );
    }
}

#[test]
fn an_event_ends_by_the_wall_clock_as_it_begins() {
    let night = json!({"description": "x", "start_time": "2026-03-27T22:00", "end_time": "2026-03-28T06:00",
        "time_zone": "Europe/Berlin", "recurrence": "FREQ=DAILY;COUNT=3"});
    let hours = |coming: &[Coming]| {
        coming
            .iter()
            .map(|one| (one.to.millis() - one.from.millis()) / HOUR_MS)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        hours(&of_event(night.clone()).unwrap()),
        [8, 7, 8],
        "clocks go ahead in the second night"
    );
    let mut autumn = night;
    autumn["start_time"] = json!("2026-10-23T22:00");
    autumn["end_time"] = json!("2026-10-24T06:00");
    assert_eq!(hours(&of_event(autumn).unwrap()), [8, 9, 8]);
    // Wholly within the hour that never comes, it is as long as ever.
    let gap = of_event(
        json!({"description": "x", "start_time": "2026-03-29T02:10", "end_time": "2026-03-29T03:05", "time_zone": "Europe/Berlin"}),
    );
    let gap = gap.unwrap();
    assert_eq!(gap[0].from.millis(), at("2026-03-29T01:10:00Z"));
    assert_eq!(gap[0].to.millis() - gap[0].from.millis(), 55 * 60_000);
}

#[test]
fn icalendar_is_read_as_people_have_it() {
    let berlin = Some("Europe/Berlin");
    let days = vevent(
        "SUMMARY:New Year\\, at last\nDTSTART;VALUE=DATE:20260101\nDTEND;VALUE=DATE:20260102\nRRULE:FREQ=YEARLY;UNTIL=20280101",
    );
    let found = of_ics(&days, berlin).unwrap();
    assert_eq!(
        begins(&found),
        [
            at("2025-12-31T23:00:00Z"),
            at("2026-12-31T23:00:00Z"),
            at("2027-12-31T23:00:00Z")
        ]
    );
    assert_eq!(
        (found[0].calendar_id.as_str(), found[0].description.as_str()),
        ("holidays-of-2026", "New Year, at last")
    );
    assert_eq!(found[0].to.millis() - found[0].from.millis(), 24 * HOUR_MS);
    assert!(found[0].actions.skip_result && found[0].actions.skip_model_update);
    // The calendar's own zone, when nobody names one; UTC at last.
    let zoned = |head: &str| begins(&of_ics(&format!("{head}{days}"), None).unwrap())[0];
    assert_eq!(
        zoned("X-WR-TIMEZONE:America/New_York\n"),
        at("2026-01-01T05:00:00Z")
    );
    assert_eq!(zoned(""), at("2026-01-01T00:00:00Z"));
    // Lengths: DURATION, a day by itself, none at all.
    let length = |lines: &str| {
        let found = of_ics(&vevent(lines), None).unwrap();
        found[0].to.millis() - found[0].from.millis()
    };
    assert_eq!(
        length("DTSTART:20260101T100000Z\nDURATION:P1DT2H30M"),
        26 * HOUR_MS + HOUR_MS / 2
    );
    assert_eq!(length("DTSTART;VALUE=DATE:20260101"), 24 * HOUR_MS);
    assert_eq!(length("DTSTART:20260101T100000Z"), 1);
    // Names of zones: of Windows, behind a path, of the file's own.
    for (head, id) in [
        ("", "W. Europe Standard Time"),
        ("", "/freeassociation.sourceforge.net/Europe/Berlin"),
        (
            "BEGIN:VTIMEZONE\nTZID:Berlin time\nX-LIC-LOCATION:Europe/Berlin\nBEGIN:STANDARD\nDTSTART:19701025T030000\nTZOFFSETFROM:+0200\nTZOFFSETTO:+0100\nEND:STANDARD\nEND:VTIMEZONE\n",
            "Berlin time",
        ),
    ] {
        let event = vevent(&format!(
            "DTSTART;TZID={id}:20260701T100000\nDTEND;TZID={id}:20260701T110000"
        ));
        assert_eq!(
            begins(&of_ics(&format!("{head}{event}"), None).unwrap()),
            [at("2026-07-01T08:00:00Z")],
            "{id}"
        );
    }
}

#[test]
fn occurrences_are_left_out_added_moved_and_cancelled() {
    let series = "SUMMARY:backup\nDTSTART;TZID=Europe/Berlin:20260105T020000\nDTEND;TZID=Europe/Berlin:20260105T030000\nRRULE:FREQ=DAILY;COUNT=5\n\
        EXDATE;TZID=Europe/Berlin:20260106T020000\nRDATE;TZID=Europe/Berlin:20260120T020000";
    let moved = "SUMMARY:backup\\, later\nRECURRENCE-ID;TZID=Europe/Berlin:20260107T020000\nDTSTART;TZID=Europe/Berlin:20260107T050000\nDTEND;TZID=Europe/Berlin:20260107T060000";
    let cancelled = "SUMMARY:backup\nSTATUS:CANCELLED\nRECURRENCE-ID:20260108T010000Z\nDTSTART;TZID=Europe/Berlin:20260108T020000\nDTEND;TZID=Europe/Berlin:20260108T030000";
    let other = "BEGIN:VEVENT\nUID:2\nSUMMARY:gone\nSTATUS:CANCELLED\nDTSTART:20260101T000000Z\nDTEND:20260101T010000Z\nEND:VEVENT\nBEGIN:VTODO\nUID:3\nEND:VTODO\n";
    let text = [series, moved, cancelled].map(vevent).concat() + other;
    let found = of_ics(&text, None).unwrap();
    let expected = [
        "2026-01-05T01:00:00Z",
        "2026-01-07T04:00:00Z",
        "2026-01-09T01:00:00Z",
        "2026-01-20T01:00:00Z",
    ];
    assert_eq!(begins(&found), expected.map(at));
    assert_eq!(found[1].description, "backup, later");
}

#[test]
fn a_day_alone_leaves_out_the_occurrence_that_begins_on_it() {
    let expected = [
        "2026-01-05T01:00:00Z",
        "2026-01-07T01:00:00Z",
        "2026-01-09T04:00:00Z",
    ];
    let series = "SUMMARY:backup\nDTSTART;TZID=Europe/Berlin:20260105T020000\nDTEND;TZID=Europe/Berlin:20260105T030000\nRRULE:FREQ=DAILY;COUNT=5\n\
        EXDATE;VALUE=DATE:20260106,20260108";
    let moved = "SUMMARY:backup\nRECURRENCE-ID;VALUE=DATE:20260109\nDTSTART;TZID=Europe/Berlin:20260109T050000\nDTEND;TZID=Europe/Berlin:20260109T060000";
    let found = of_ics(&[series, moved].map(vevent).concat(), None).unwrap();
    assert_eq!(begins(&found), expected.map(at));
    let event = json!({"description": "backup", "start_time": "2026-01-05T02:00:00", "end_time": "2026-01-05T03:00:00", "time_zone": "Europe/Berlin",
        "recurrence": "FREQ=DAILY;COUNT=3", "except": ["2026-01-06"]});
    assert_eq!(
        begins(&of_event(event).unwrap()),
        [expected[0], expected[1]].map(at)
    );
}

#[test]
fn what_would_be_read_wrongly_is_refused_by_name() {
    let start = "SUMMARY:talk\nDTSTART:20260101T000000Z\nDTEND:20260101T010000Z";
    for (lines, why) in [
        (
            format!("{start}\nRRULE:FREQ=SECONDLY"),
            "comes more than 50000 times before 2100",
        ),
        (format!("{start}\nRRULE:FREQ=HOURLY"), "say UNTIL or COUNT"),
        (
            format!("{start}\nRRULE:FREQ=MINUTELY;BYMONTH=3"),
            "say FREQ=DAILY with BYMONTH",
        ),
        (
            format!("{start}\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"),
            "never comes",
        ),
        (
            format!("{start}\nRRULE:FREQ=DAILY;BYEASTER=1"),
            "\"BYEASTER\" is not one of",
        ),
        (
            format!("{start}\nRRULE:FREQ=DAILY;COUNT=2;UNTIL=20270101"),
            "COUNT and UNTIL",
        ),
        (
            format!("{start}\nRRULE:FREQ=DAILY\nRRULE:FREQ=WEEKLY"),
            "more than one RRULE",
        ),
        (format!("{start}\nEXRULE:FREQ=DAILY"), "EXRULE is not read"),
        (
            format!("{start}\nRECURRENCE-ID;RANGE=THISANDFUTURE:20260101T000000Z"),
            "RANGE is not read",
        ),
        (
            "SUMMARY:talk\nDTSTART;TZID=Europe/Berln:20260101T000000".to_owned(),
            "did you mean \"Europe/Berlin\"?",
        ),
        (
            "SUMMARY:talk\nDTSTART:tomorrow".to_owned(),
            "\"tomorrow\" is not a time",
        ),
        ("SUMMARY:talk".to_owned(), "has no DTSTART"),
    ] {
        let mistakes = of_ics(&vevent(&lines), None).expect_err(&lines);
        assert!(
            mistakes.starts_with("Holidays of 2026.ics: VEVENT 1 (\"talk\"): "),
            "{mistakes}"
        );
        assert!(mistakes.contains(why), "{why:?} not in {mistakes}");
    }
    for (event, why) in [
        (
            json!({"start_time": 1, "end_time": 2}),
            "events[0].description: is missing",
        ),
        (
            json!({"description": "x", "end_time": 2}),
            "events[0].start_time: is missing; milliseconds",
        ),
        (
            json!({"description": "x", "start_time": 5, "end_time": 5}),
            "events[0].end_time: does not end after it begins",
        ),
        (
            json!({"description": "x", "start_time": 1767668400, "end_time": "1767672000"}),
            "events[0].start_time: is in January 1970, and would be a time of this century in seconds; write milliseconds",
        ),
        (
            json!({"description": "x", "start_time": "soon", "end_time": 2}),
            "events[0].start_time: is no time after 1970",
        ),
        (
            json!({"description": "x", "start_time": "2101-01-01", "end_time": "2101-01-02"}),
            "begins after the year 2099",
        ),
        (
            json!({"description": "x", "start_time": "2026-01-01", "end_time": "2066-01-01"}),
            "lasts for more than ten years",
        ),
        (
            json!({"description": "x", "start_time": 1, "end_time": 2, "time_zone": "Berlin"}),
            "events[0].time_zone: \"Berlin\" is no time zone",
        ),
        (
            json!({"description": "x", "start_time": 1, "end_time": 2, "recurence": "FREQ=DAILY"}),
            "did you mean \"recurrence\"?",
        ),
        (
            json!({"description": "x", "start_time": 1, "end_time": 2, "entities": {"host": [1]}}),
            "entities.host: must be one to",
        ),
        (
            json!({"description": "x", "start_time": 1, "end_time": 2, "force_time_shift": 1800}),
            "not a number of whole hours",
        ),
        (
            json!({"description": "x", "start_time": 1, "end_time": 2, "calendar_id": "d"}),
            "\"d\" is not this calendar's, \"c\"",
        ),
    ] {
        let mistakes = of_event(event.clone()).expect_err(&event.to_string());
        assert!(mistakes.contains(why), "{why:?} not in {mistakes}");
    }
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "how long it takes is the question"
)]
fn hostile_files_end_soon_and_say_why() {
    let begun = Instant::now();
    let deep = "BEGIN:A\n".repeat(200_000);
    assert!(of_ics(&deep, None).unwrap_err().contains("deep"));
    let large = vevent(&format!(
        "SUMMARY:{}\nDTSTART:20260101T000000Z",
        "x".repeat(9 << 20)
    ));
    assert!(of_ics(&large, None).unwrap_err().contains("bytes"));
    let dense = vevent(
        "DTSTART:19700101T000000Z\nDTEND:19700101T000001Z\nRRULE:FREQ=DAILY;BYHOUR=0,1,2,3,4,5;BYMINUTE=0,1,2,3,4,5,6,7;BYSECOND=0,1,2,3",
    );
    assert!(of_ics(&dense.repeat(20), None).is_err());
    let daily = vevent("DTSTART:20000101T000000Z\nDTEND:20000101T000001Z\nRRULE:FREQ=DAILY");
    assert!(
        of_ics(&daily.repeat(20), None)
            .unwrap_err()
            .contains("at most 500000 are allowed in a calendar")
    );
    for text in [
        "",
        "BEGIN:VCALENDAR",
        "no calendar",
        "BEGIN:",
        "BEGIN:VCALENDAR\r\nEND:VEVENT\r\n",
    ] {
        let mut shared = Shared::default();
        let read = shared.add_calendars(text, "x.ics", None);
        assert!(read.is_err() || all(&shared).is_empty(), "{text:?}");
    }
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "{:?}",
        begun.elapsed()
    );
}

/// Parts of recurrence rules, right and wrong.
fn any_rule() -> impl Strategy<Value = String> {
    let number = prop_oneof![-400i64..400, any::<i64>()];
    let numbers = prop::collection::vec(number, 1..4)
        .prop_map(|all| all.iter().map(i64::to_string).collect::<Vec<_>>().join(","));
    let part = prop_oneof![
        prop::sample::select(vec![
            "FREQ=DAILY",
            "FREQ=WEEKLY",
            "FREQ=MONTHLY",
            "FREQ=YEARLY",
            "FREQ=HOURLY",
            "FREQ=MINUTELY",
            "FREQ=SECONDLY",
            "BYDAY=MO,-1FR",
            "BYDAY=53SU",
            "WKST=SU"
        ])
        .prop_map(str::to_owned),
        (
            prop::sample::select(vec![
                "COUNT",
                "INTERVAL",
                "BYMONTH",
                "BYMONTHDAY",
                "BYYEARDAY",
                "BYWEEKNO",
                "BYSETPOS",
                "BYHOUR",
                "BYMINUTE",
                "BYSECOND",
                "UNTIL"
            ]),
            numbers
        )
            .prop_map(|(name, numbers)| format!("{name}={numbers}")),
        ".{0,6}".prop_map(|text| text),
    ];
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.join(";"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_rule_is_a_list_of_times_or_a_mistake(rule in any_rule(), start in prop::sample::select(vec!["1970-01-01", "2024-02-29T23:59:59", "2099-12-31T12:00"]), zone in prop::sample::select(vec!["UTC", "Pacific/Apia"])) {
        let found = of_event(json!({"description": "x", "start_time": start, "end_time": "2099-12-31T23:59:59", "time_zone": zone, "recurrence": rule}));
        if let Ok(found) = found {
            prop_assert!(found.len() <= 50_000);
            prop_assert!(found.iter().all(|one| one.from < one.to));
        }
    }

    #[test]
    fn any_text_is_a_calendar_or_a_mistake(lines in prop::collection::vec(prop::sample::select(vec![
        "BEGIN:VCALENDAR", "END:VCALENDAR", "BEGIN:VEVENT", "END:VEVENT", "DTSTART:20260101T000000Z", "DTSTART;VALUE=DATE:20260101", "DTEND:20251231", "RRULE:FREQ=DAILY;COUNT=2",
        "SUMMARY:a\\,b\\", "UID:1", "RECURRENCE-ID:20260102T000000Z", "DURATION:P", "DURATION:P9999999999999999W", "EXDATE:", "RDATE;VALUE=PERIOD:20260101T000000Z/PT1H", "X;Y", " folded", "STATUS:CANCELLED", ":", ";=:", "DTSTART;TZID=:x", "BEGIN:", "ü:ü",
    ]), 0..14)) {
        let mut shared = Shared::default();
        let _ = shared.add_calendars(&lines.join("\r\n"), "x.ics", None);
        let _ = all(&shared);
    }
}

fn job(own: Value) -> Job {
    let body = json!({"job_id": "web", "groups": ["shop"], "analysis_config": {"detectors": [{"function": "count", "by_field_name": "host"}]}, "data_description": {}, "tidewatch": own});
    Job::from_value(&body).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

#[test]
fn a_job_is_in_the_calendars_that_name_it_its_group_or_everybody_and_is_whole_by_itself() {
    let event = json!([{"description": "x", "start_time": "2026-03-29T01:00", "end_time": "2026-03-29T04:00", "time_zone": "Europe/Berlin",
        "recurrence": "FREQ=YEARLY;COUNT=3", "except": ["2027-03-29T01:00"], "also": "2026-05-01T01:00", "entities": {"host": "a*"}, "force_time_shift": 3600, "skip_result": false}]);
    let calendars = json!({"count": 5, "calendars": [
        {"calendar_id": "of-job", "job_ids": ["web", "other"], "events": event},
        {"calendar_id": "of-group", "job_ids": "shop", "description": "d", "events": event},
        {"calendar_id": "of-all", "job_ids": ["_all"], "events": event},
        {"calendar_id": "unsaid", "events": event},
        {"calendar_id": "of-none", "job_ids": [], "events": event},
        {"calendar_id": "of-other", "job_ids": ["web2"], "events": event},
    ]});
    let mut shared = Shared::default();
    shared
        .add_calendars(&calendars.to_string(), "all.json", None)
        .unwrap();
    let text = "job_id: web\ngroups: [shop]\nanalysis_config: {detectors: [{function: count, by_field_name: host}]}\ndata_description: {}\n";
    let job_in = Job::from_text_beside(text, "web.yaml", &shared).unwrap();
    let own = job_in.document["tidewatch"]["calendars"]
        .as_array()
        .unwrap();
    let ids: Vec<&str> = own
        .iter()
        .map(|one| one["calendar_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["of-all", "of-group", "of-job", "unsaid"]);
    assert_eq!(job_in.events.len(), 4);
    let again = Job::from_value(&job_in.document).unwrap();
    assert_eq!(again.document, job_in.document);
    assert_eq!(again.events, job_in.events);
    assert_eq!(again.fingerprint, job(json!({})).fingerprint);
    let begins: Vec<i64> = again.events[0]
        .occurrences
        .between(EventTime(0), EventTime(at("2030-01-01T00:00:00Z")))
        .map(|(from, _)| from.millis())
        .collect();
    assert_eq!(
        begins,
        [
            "2026-03-29T00:00:00Z",
            "2026-04-30T23:00:00Z",
            "2028-03-28T23:00:00Z"
        ]
        .map(at)
    );
    // A file that claims a name which another has is refused whole.
    let mut twice = shared.clone();
    let error = twice
        .add_calendars(r#"{"calendar_id": "of-all"}"#, "more.json", None)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "more.json: calendar_id: \"of-all\" is also in all.json"
    );
    assert_eq!(twice, shared);
}

fn tidewatch(arguments: &[&str]) -> (String, String, bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidewatch"))
        .args(arguments)
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (
        text(output.stdout),
        text(output.stderr),
        output.status.success(),
    )
}

#[test]
fn the_sample_calendar_is_listed_as_it_will_act() {
    let sample = "config/calendars/maintenance.yaml";
    let (out, err, ok) = tidewatch(&[
        "calendar",
        sample,
        "--from",
        "2026-03-28",
        "--to",
        "2026-03-30",
        "--timezone",
        "Europe/Berlin",
    ]);
    assert!(ok, "{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines, [
        "Sat 2026-03-28 01:30 +01:00  to  Sat 2026-03-28 03:00 +01:00  maintenance: nightly backup",
        "Sun 2026-03-29 01:30 +01:00  to  Sun 2026-03-29 03:00 +02:00  maintenance: nightly backup",
    ].to_vec());
    let (out, _, _) = tidewatch(&[
        "calendar",
        sample,
        "--from",
        "2026-11-28",
        "--to",
        "2026-11-29",
        "--format",
        "ndjson",
    ]);
    let found: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let sale = found
        .iter()
        .find(|one| one["description"] == "sale")
        .expect("it is on");
    assert_eq!(sale["skip_result"], false);
    assert_eq!(sale["start_time"], at("2026-11-26T23:00:00Z"));
    let (out, err, ok) = tidewatch(&["calendar", "config/jobs/clients.yaml"]);
    assert!(
        !ok && out.is_empty() && err.contains("calendar_id: is missing"),
        "{err}"
    );
}

/// One that was named on the command line and does nothing is a mistake that nobody would notice.
#[test]
fn detect_says_of_a_calendar_that_it_is_for_other_jobs() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let job = file(
        "web.yaml",
        "job_id: web\ngroups: [shop]\nanalysis_config: {detectors: [{function: count}]}\ndata_description: {time_field: t}\n",
    );
    let events = file("events.ndjson", "{\"t\":1767225600000}\n");
    let calendars = |ids: &str| {
        let text = format!(
            r#"{{"calendar_id":"sale","job_ids":{ids},"events":[{{"description":"x","start_time":1767225600000,"end_time":1767229200000}}]}}"#
        );
        let path = file("sale.json", &text);
        tidewatch(&["detect", &job, &events, "--calendars", &path]).1
    };
    let said = calendars(r#"["web2"]"#);
    let wanted = "calendar \"sale\" is for other jobs: its job_ids have neither \"web\" nor one of its groups";
    assert!(said.contains(wanted), "{said}");
    for ids in [r#"["web"]"#, r#"["shop"]"#, r#"["_all"]"#] {
        let said = calendars(ids);
        assert!(!said.contains("other jobs"), "{ids}: {said}");
    }
}

#[test]
fn detect_and_validate_take_calendars_and_filters_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let job = write(
        "web.yaml",
        "analysis_config: {bucket_span: 1m, detectors: [{function: count, by_field_name: host, custom_rules: [{scope: {host: {filter_id: scanners}}}]}]}\ndata_description: {}\n",
    );
    let events: String = (0..600)
        .map(|n| format!("{{\"time\": {}, \"host\": \"scan-01\"}}\n", n * 1000))
        .collect();
    let events = write("events.ndjson", &events);
    let calendar = write(
        "Work.ics",
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nSUMMARY:work\r\nDTSTART:19700101T000200Z\r\nDTEND:19700101T000300Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
    );
    let filters = "config/filters";
    let (out, err, ok) = tidewatch(&[
        "detect",
        &job,
        &events,
        "--filters",
        filters,
        "--calendars",
        &calendar,
        "--kinds",
        "bucket",
    ]);
    assert!(ok, "{err}");
    let named: Vec<i64> = out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|bucket| bucket["scheduled_events"] == json!(["work"]))
        .map(|bucket| bucket["timestamp"].as_i64().unwrap())
        .collect();
    assert_eq!(named, [120_000]);
    let (out, _, ok) = tidewatch(&["validate", &job]);
    assert!(
        !ok && out.contains("there is no filter \"scanners\"; no filter is known"),
        "{out}"
    );
    let (out, err, ok) = tidewatch(&["validate", &job, "--filters", filters]);
    assert!(ok, "{out} {err}");
    let (_, err, ok) = tidewatch(&["detect", &job, &events, "--filters", "nowhere.yaml"]);
    assert!(!ok && err.contains("nowhere.yaml: is not there"), "{err}");
    assert!(Path::new(filters).is_dir());
}
