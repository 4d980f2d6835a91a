//! Logs as programs write them: what a line's fields are, which lines are one message, and that nothing else is taken for a log.

use crate::reader::read_pieces;
use crate::support::{Outcome, job, words};
use proptest::prelude::*;
use serde_json::{Value, json};
use tidewatch::config::{Job, TimeFormat};
use tidewatch::decode::{Fields, Format, Options, instant, survey};
use tidewatch::engine::event::Reason;

const FIELDS: [&str; 12] = [
    "message",
    "log.level",
    "host.name",
    "process.name",
    "process.pid",
    "source.address",
    "user.name",
    "http.request.method",
    "url.original",
    "http.response.status_code",
    "http.response.body.bytes",
    "user_agent.original",
];

fn log_job() -> Job {
    job("@timestamp", TimeFormat::Auto, &FIELDS)
}

fn now(text: &str) -> Options {
    Options {
        now_ms: Some(instant(text).unwrap().0),
        ..Options::default()
    }
}

fn read(text: &str) -> Vec<Outcome> {
    read_pieces(&log_job(), text.as_bytes(), 1 << 20, now("2026-11-30"))
        .unwrap()
        .0
}

/// The fields of each event that it has, as one object, and its time.
fn objects(outcomes: &[Outcome]) -> Vec<(i64, Value)> {
    let object = |outcome: &Outcome| {
        let (time, values) = outcome.as_ref().expect("an event");
        let named = FIELDS.iter().zip(values);
        let present = named.filter(|(_, value)| !value.is_null());
        (
            *time,
            present
                .map(|(name, value)| (name.to_string(), value.clone()))
                .collect(),
        )
    };
    outcomes.iter().map(object).collect()
}

fn ms(text: &str) -> i64 {
    instant(text).unwrap().0
}

#[test]
fn a_syslog_says_who_wrote_a_line() {
    let text = "Nov 29 18:45:01 web-01 sshd[4242]: Failed password for root from 10.0.0.9 port 4711 ssh2\n\
        Nov 29 18:45:02 web-01 kernel: [12.5] eth0: link down\n\
        Nov 29 18:45:03 web-01 CRON[7]: (root) CMD (x)\n";
    assert_eq!(
        objects(&read(text)),
        [
            (
                ms("2026-11-29T18:45:01Z"),
                json!({"message": "Failed password for root from 10.0.0.9 port 4711 ssh2", "host.name": "web-01", "process.name": "sshd", "process.pid": "4242"})
            ),
            (
                ms("2026-11-29T18:45:02Z"),
                json!({"message": "[12.5] eth0: link down", "host.name": "web-01", "process.name": "kernel"})
            ),
            (
                ms("2026-11-29T18:45:03Z"),
                json!({"message": "(root) CMD (x)", "host.name": "web-01", "process.name": "CRON", "process.pid": "7"})
            ),
        ]
    );
    let text = "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - 'su root' failed\n\
        <165>1 2003-10-11T22:14:16Z h evntslog 8 ID47 [a@32473 iut=\"3\"][b x=\"1\"] An event\n";
    assert_eq!(
        objects(&read(text)),
        [
            (
                ms("2003-10-11T22:14:15.003Z"),
                json!({"message": "'su root' failed", "host.name": "mymachine.example.com", "process.name": "su"})
            ),
            (
                ms("2003-10-11T22:14:16Z"),
                json!({"message": "An event", "host.name": "h", "process.name": "evntslog", "process.pid": "8"})
            ),
        ]
    );
}

#[test]
fn a_web_servers_log_says_what_was_asked_by_whom() {
    let text = "192.168.4.25 - - [22/Dec/2024:21:30:15 +0000] \"GET /a?b=c HTTP/1.1\" 200 1045 \"-\" \"Mozilla/5.0 (X11)\"\n\
        2001:db8::1 - frank [22/Dec/2024:21:30:16 +0100] \"POST /login HTTP/2\" 401 - \"https://x/\" \"curl/8\"\n\
        192.168.4.25 - - [22/Dec/2024:21:30:17 +0000] \"\\x16\\x03\" 400 226 \"-\" \"-\"\n";
    assert_eq!(
        objects(&read(text)),
        [
            (
                ms("2024-12-22T21:30:15Z"),
                json!({"source.address": "192.168.4.25", "http.request.method": "GET", "url.original": "/a?b=c", "http.response.status_code": "200", "http.response.body.bytes": "1045", "user_agent.original": "Mozilla/5.0 (X11)"})
            ),
            (
                ms("2024-12-22T20:30:16Z"),
                json!({"source.address": "2001:db8::1", "user.name": "frank", "http.request.method": "POST", "url.original": "/login", "http.response.status_code": "401", "user_agent.original": "curl/8"})
            ),
            // What is laid out differently is a message as it stands.
            (
                ms("2024-12-22T21:30:17Z"),
                json!({"message": "192.168.4.25 - - [22/Dec/2024:21:30:17 +0000] \"\\x16\\x03\" 400 226 \"-\" \"-\""})
            ),
        ]
    );
}

#[test]
fn a_stack_trace_is_one_message_and_what_stands_before_the_first_time_is_none() {
    let text = "Starting up\n\
        2015-10-18 18:01:47,978 INFO [main] org.x.Y: ready\n\
        2015-10-18 18:01:48,001 ERROR [main] org.x.Y: failed\n\
        java.lang.Exception: no\n\
        \tat org.x.Y.z(Y.java:7)\n\
        \n\
        2015-10-18 18:01:49,000 WARN [main] org.x.Y: again\n";
    let job = job("@timestamp", TimeFormat::Auto, &["message", "log.level"]);
    for piece in [1, 2, 3, 7, 64, 1 << 20] {
        let (found, raws) = read_pieces(&job, text.as_bytes(), piece, told()).unwrap();
        assert_eq!(raws, [b"Starting up"]);
        let refused = found[0].as_ref().unwrap_err();
        assert_eq!(refused.reason, Reason::MissingTime);
        assert!(refused.detail.starts_with("f:1: "), "{}", refused.detail);
        let said: Vec<&Vec<Value>> = found[1..]
            .iter()
            .map(|one| &one.as_ref().unwrap().1)
            .collect();
        assert_eq!(said.len(), 3, "by {piece}");
        assert_eq!(
            *said[0],
            [json!("INFO [main] org.x.Y: ready"), json!("info")]
        );
        assert_eq!(
            *said[1],
            [
                json!(
                    "ERROR [main] org.x.Y: failed\njava.lang.Exception: no\n\tat org.x.Y.z(Y.java:7)"
                ),
                json!("error")
            ]
        );
        assert_eq!(
            *said[2],
            [json!("WARN [main] org.x.Y: again"), json!("warn")]
        );
    }
}

fn told() -> Options {
    Options {
        format: Some(Format::Text),
        ..now("2026-11-30")
    }
}

#[test]
fn a_log_is_known_by_its_first_line_and_nothing_else_is_taken_for_one() {
    let plain = job("time", TimeFormat::Auto, &["value"]);
    let read = |text: &str| {
        read_pieces(&plain, text.as_bytes(), 5, now("2026-11-30"))
            .map(|(found, _)| words(&found))
            .map_err(|error| error.to_string())
    };
    let first = ms("2024-01-31T12:30:59Z").to_string();
    for log in [
        "2024-01-31 12:30:59 x\n",
        "[2024-01-31 12:30:59] x, y\n",
        "2024-01-31 12:30:59, Info  CBS  x\n2024-01-31 12:31:00, Info  CBS  x, y\n",
        "\n\n2024-01-31T12:30:59Z x",
    ] {
        assert_eq!(read(log).unwrap()[0], first, "{log}");
    }
    assert_eq!(
        read("time,value\n2024-01-31 12:30:59,5\n").unwrap(),
        [first.as_str()]
    );
    assert_eq!(
        read("note 2024-01-31 12:30:59,time\nx,2024-01-31T12:30:59Z\n").unwrap(),
        [first.as_str()]
    );
    assert_eq!(
        read("[{\"time\":\"2024-01-31T12:30:59Z\"}]").unwrap(),
        [first.as_str()]
    );
    assert_eq!(read("[ ]").unwrap(), [""; 0]);
    // CSV without its header is not a log of messages: the values would be lost in silence.
    let error = read("2024-01-31 12:30:59,5\n2024-01-31 12:31:59,7\n").unwrap_err();
    assert!(error.contains("CSV header has no column"), "{error}");
    let error = read_pieces(&plain, b"nothing\nof a time\n", 5, told()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("has a time in a form that is known"),
        "{error}"
    );
}

#[test]
fn the_time_of_a_line_is_read_whatever_the_job_says_of_its_own() {
    for format in [TimeFormat::Epoch, TimeFormat::Pattern("yyyy".into())] {
        let job = job("when", format, &["message"]);
        let text = b"2024-01-31 12:30:59 x\n";
        let (found, _) = read_pieces(&job, text, 100, told()).unwrap();
        assert_eq!(words(&found), [ms("2024-01-31T12:30:59Z").to_string()]);
    }
}

#[test]
fn a_message_longer_than_the_limit_is_refused_once_with_all_its_lines() {
    let options = Options {
        bytes_max: 100,
        ..told()
    };
    let trace = "  at x\n".repeat(300);
    let text = format!(
        "2024-01-31 12:30:59 a\n2024-01-31 12:31:00 b\n{trace}2024-01-31 12:31:01 c\n2024-01-31 12:31:02 {}\n2024-01-31 12:31:03 e\n",
        "d".repeat(5000)
    );
    let times = |second: i64| (ms("2024-01-31T12:30:59Z") + second * 1000).to_string();
    for piece in [1, 50, 10_000] {
        let (found, raws) = read_pieces(&log_job(), text.as_bytes(), piece, options).unwrap();
        assert_eq!(
            words(&found),
            [
                times(0),
                "too_long".into(),
                times(2),
                "too_long".into(),
                times(4)
            ],
            "by {piece}"
        );
        assert!(raws.iter().all(|raw| raw.starts_with(b"2024-01-31")));
    }
}

#[test]
fn a_survey_of_a_log_tells_the_fields_that_its_lines_have() {
    let text =
        b"Nov 29 18:45:01 web-01 sshd[4242]: x\nNov 29 18:45:02 web-01 sshd[4242]: y\nNov 29";
    let mut events: Vec<Fields> = Vec::new();
    let surveyed = survey(text, now("2026-11-30"), &mut |fields| events.push(fields));
    assert_eq!(
        (surveyed.events, surveyed.unreadable, surveyed.is_csv),
        (1, 0, false)
    );
    let names: Vec<&str> = events[0].iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "@timestamp",
            "message",
            "host.name",
            "process.name",
            "process.pid"
        ]
    );
}

proptest! {
    /// Whatever stands between the lines of a log, each line that begins with a time is an event of that time, and nothing else is.
    #[test]
    fn lines_between_are_part_of_messages(
        rubbish in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 1..12),
        piece in 1usize..200,
    ) {
        let mut text = Vec::new();
        for (minute, bytes) in rubbish.iter().enumerate() {
            text.extend_from_slice(format!("2024-01-31 12:{minute:02}:00 said\n").as_bytes());
            // A digit or a bracket could begin a time.
            let line = bytes.iter().filter(|byte| !byte.is_ascii_alphanumeric() && **byte != b'\n');
            text.extend(line);
            text.push(b'\n');
        }
        let (found, _) = read_pieces(&log_job(), &text, piece, told()).unwrap();
        let expected: Vec<String> = (0..rubbish.len() as i64)
            .map(|minute| (ms("2024-01-31T12:00:00Z") + minute * 60_000).to_string())
            .collect();
        prop_assert_eq!(words(&found), expected);
    }

    /// Any bytes are read to their end.
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), piece in 1usize..100) {
        let mut text = b"2024-01-31 12:30:59 x\n".to_vec();
        text.extend(&bytes);
        for options in [told(), now("2026-11-30")] {
            let _ = read_pieces(&log_job(), &text, piece, options);
            let _ = read_pieces(&log_job(), &bytes, piece, options);
        }
        survey(&bytes, told(), &mut |_| {});
    }
}
