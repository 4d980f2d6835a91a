//! Bad input: each reason, what it says, and that the good events beside it are all there.

use crate::support::{decode, job, rejected, words};
use tidewatch::config::{Job, TimeFormat};
use tidewatch::decode::{BYTES_MAX, KAFKA_TIMESTAMP};
use tidewatch::engine::event::Reason;

fn plain_job() -> Job {
    job("time", TimeFormat::Auto, &["host", "value"])
}

#[test]
fn every_reason_has_its_label_and_says_what_would_have_been_right() {
    let deep = format!("{{\"time\":1,\"x\":{}{}}}", "[".repeat(64), "]".repeat(64));
    let long = format!("{{\"time\":1,\"x\":\"{}\"}}", "y".repeat(BYTES_MAX));
    for (payload, reason, detail) in [
        ("", Reason::Malformed, "expected a JSON object"),
        (" \n\t", Reason::Malformed, "expected a JSON object"),
        (
            "GET / HTTP/1.1",
            Reason::Malformed,
            "found \"GET / HTTP/1.1\"; expected a JSON object",
        ),
        (
            "{\"time\":1,\"host\":\"a",
            Reason::Malformed,
            "cut off; expected '}'",
        ),
        (
            "{\"time\":1,}",
            Reason::Malformed,
            "byte 10: found \"}\"; expected a key in double quotes",
        ),
        (
            "{\"time\":1 \"host\":2}",
            Reason::Malformed,
            "byte 10: found \"\\\"host\\\":2}\"; expected ',' or '}'",
        ),
        (
            "{'time':1}",
            Reason::Malformed,
            "expected a key in double quotes",
        ),
        ("{\"time\":01}", Reason::Malformed, "expected ',' or '}'"),
        ("{\"time\":NaN}", Reason::Malformed, "expected a value"),
        (
            "{\"time\":1,\"value\":1e999}",
            Reason::Malformed,
            "does not fit a 64-bit float",
        ),
        (
            "{\"time\":1,\"host\":\"\\x\"}",
            Reason::Malformed,
            "expected an escape",
        ),
        (
            "{\"time\":1,\"host\":\"tab\there\"}",
            Reason::Malformed,
            "control character",
        ),
        ("5", Reason::WrongType, "expected a JSON object"),
        ("\"text\"", Reason::WrongType, "expected a JSON object"),
        ("null", Reason::WrongType, "expected a JSON object"),
        (
            "{\"time\":true}",
            Reason::WrongType,
            "expected text or a number",
        ),
        ("{\"time\":[1]}", Reason::WrongType, "holds an array"),
        ("{\"time\":{\"a\":1}}", Reason::WrongType, "holds an object"),
        (
            "{}",
            Reason::MissingTime,
            "no value in the time field \"time\"",
        ),
        ("{\"time\":null}", Reason::MissingTime, "\"time\""),
        ("{\"Time\":1}", Reason::MissingTime, "\"time\""),
        (
            "{\"time\":\"yesterday\"}",
            Reason::BadTime,
            "\"yesterday\" is neither epoch milliseconds nor ISO 8601",
        ),
        (
            "{\"time\":\"2024-02-30\"}",
            Reason::BadTime,
            "has a day that its month lacks",
        ),
        ("{\"time\":1e18}", Reason::BadTime, "years 1 to 9999"),
        (&deep, Reason::TooDeep, "more than 64"),
        (&long, Reason::TooLong, "longer than the 1048576 bytes"),
    ] {
        let shown = &payload[..payload.len().min(60)];
        let (found_reason, found_detail) = rejected(decode(&plain_job(), payload.as_bytes(), None));
        assert_eq!(found_reason, reason, "{shown}: {found_detail}");
        assert!(found_detail.contains(detail), "{shown}: {found_detail}");
    }
    let (reason, detail) = rejected(decode(&plain_job(), b"{\"time\":1,\"x\":\"\xff\"}", None));
    assert_eq!(
        (reason, detail.as_str()),
        (Reason::Malformed, "byte 15: not UTF-8")
    );
}

#[test]
fn a_detail_shows_a_part_of_the_offender_only() {
    let payload = format!("{{\"time\":\"{}\"}}", "ü".repeat(5000));
    let (_, detail) = rejected(decode(&plain_job(), payload.as_bytes(), None));
    assert!(detail.chars().count() < 400, "{detail}");
}

#[test]
fn an_event_far_ahead_of_its_message_is_far_future_and_one_behind_is_not() {
    let day = 86_400_000;
    let at = |time: i64| {
        decode(
            &plain_job(),
            format!("{{\"time\":{time}}}").as_bytes(),
            Some(1_000),
        )
    };
    assert_eq!(words(&at(1_000 + day)), [(1_000 + day).to_string()]);
    assert_eq!(words(&at(1_001 + day)), ["far_future"]);
    assert_eq!(words(&at(-day * 365)), [(-day * 365).to_string()]);
}

#[test]
fn the_message_time_is_the_event_time_only_of_jobs_that_say_so() {
    let kafka = job(KAFKA_TIMESTAMP, TimeFormat::Auto, &["host"]);
    assert_eq!(words(&decode(&kafka, b"{\"host\":1}", Some(42))), ["42"]);
    assert_eq!(
        words(&decode(&kafka, b"{\"@kafka_timestamp\":7}", Some(42))),
        ["7"]
    );
    assert_eq!(
        words(&decode(&kafka, b"{\"host\":1}", None)),
        ["missing_time"]
    );
    assert_eq!(
        words(&decode(&plain_job(), b"{\"host\":1}", Some(42))),
        ["missing_time"]
    );
}

#[test]
fn a_payload_is_one_object_or_several_or_an_array_of_any_layout() {
    for payload in [
        "{\"time\":1}{\"time\":2} {\"time\":3}",
        "{\"time\":1}\n{\"time\":2}\r\n{\"time\":3}\n",
        "[{\"time\":1},{\"time\":2},{\"time\":3}]",
        "\u{feff} [\n  {\"time\":1},\n  {\"time\": 2},\n{\"time\":3}\n]\n",
        "[{\n\"time\":1},{\n  \"time\":\n2\n}]{\"time\":3}",
        "{\n  \"time\": 1,\n  \"x\": {\n    \"y\": [\n      {\"z\": 1}\n    ]\n  }\n}\n{\n  \"time\": 2\n}\n{\"time\":3}",
    ] {
        assert_eq!(
            words(&decode(&plain_job(), payload.as_bytes(), None)),
            ["1", "2", "3"],
            "{payload}"
        );
    }
    assert!(decode(&plain_job(), b"[]", None).is_empty());
}

#[test]
fn a_broken_line_costs_no_other_line() {
    for broken in [
        "{\"time\":9",
        "{\"time\":9,",
        "{\"time\":",
        "{\"time\":9,\"x\":{\"y\":1",
        "{\"time\":9,\"x\":[1,2",
        "{\"time\":9,\"x\":[",
        "{\"time\":9,\"host\":\"abc",
        "{\"time\":9,\"host\":\"abc\\",
        "{\"time\":9,\"host\":\"abc\\\"}",
        "{\"time\":9,\"ho",
        "{",
        "{\"time\":9]}",
        "{\"time\":nope}",
        "}",
        "nonsense, more nonsense",
        "\"{",
        "{{{{{{",
    ] {
        for (before, after) in [
            ("{\"time\":1}\n", "\n{\"time\":2}\n{\"time\":3}"),
            (
                "[\n  {\"time\":1},\n  ",
                "\n  {\"time\":2},\n  {\"time\":3}\n]",
            ),
        ] {
            if broken.ends_with([':', '[']) && before.starts_with('[') {
                // An indented object after a colon or bracket is a part of what is open: nothing says otherwise.
                continue;
            }
            let payload = format!("{before}{broken}{after}");
            let found = words(&decode(&plain_job(), payload.as_bytes(), None));
            let events: Vec<&String> = found.iter().filter(|word| *word != "malformed").collect();
            assert_eq!(events, ["1", "2", "3"], "{payload}: {found:?}");
            assert!(found.len() > 3, "{payload}: the broken line is told");
        }
    }
}

#[test]
fn of_a_bad_element_in_an_array_only_itself_is_lost() {
    for (payload, expected) in [
        (
            "[{\"time\":1},{\"time\":nope},{\"time\":2}]",
            vec!["1", "malformed", "2"],
        ),
        (
            "[{\"time\":1},7,\"a,b]\",{\"time\":2}]",
            vec!["1", "wrong_type", "wrong_type", "2"],
        ),
        ("[{\"time\":1},{\"time\":2}", vec!["1", "2", "malformed"]),
        ("{\"time\":1}]\n{\"time\":2}", vec!["1", "malformed", "2"]),
        (
            "{\"time\":1} trailing\n{\"time\":2}",
            vec!["1", "malformed", "2"],
        ),
    ] {
        assert_eq!(
            words(&decode(&plain_job(), payload.as_bytes(), None)),
            expected,
            "{payload}"
        );
    }
}

#[test]
fn fields_are_found_nested_dotted_and_mixed_and_nothing_else_is() {
    let job = job(
        "@timestamp",
        TimeFormat::Auto,
        &["host.os.name", "host", "v"],
    );
    for payload in [
        r#"{"@timestamp":1,"host":{"os":{"name":"x","age":3}},"v":[1,null,{"a":2},[3],"b"]}"#,
        r#"{"host.os":{"name":"x"},"v":[1,"b"],"@timestamp":"1970-01-01T00:00:00.001"}"#,
        r#"{"host":{"os.name":"x"},"v":[1,[],"b"],"@timestamp":1,"name":"y"}"#,
        r#"{"host.os.name":"w","host.\u006fs.name":"x","v":7,"v":[1,"b"],"\u0040timestamp":1}"#,
    ] {
        let found = decode(&job, payload.as_bytes(), None);
        let values = serde_json::json!(["x", null, [1, "b"]]);
        assert_eq!(
            found,
            [Ok((1, values.as_array().unwrap().clone()))],
            "{payload}"
        );
    }
}
