//! Files and pipes: formats, compression, arrival byte by byte, origins, the guard against wrong clocks.

use crate::support::{Outcome, job, outcome, words};
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::sync::mpsc;
use tidewatch::config::{Job, TimeFormat};
use tidewatch::decode::{Format, Item, Options, Reader};

fn plain_job() -> Job {
    job("time", TimeFormat::Auto, &["host", "value"])
}

/// Hands out at most so many bytes a call.
struct Trickle {
    bytes: io::Cursor<Vec<u8>>,
    piece: usize,
}

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.piece);
        self.bytes.read(&mut buffer[..length])
    }
}

/// Everything in `bytes`, which arrive `piece` at a time; rejections' raw bytes beside them.
pub(crate) fn read_pieces(
    job: &Job,
    bytes: &[u8],
    piece: usize,
    options: Options,
) -> io::Result<(Vec<Outcome>, Vec<Vec<u8>>)> {
    let source = Trickle {
        bytes: io::Cursor::new(bytes.to_vec()),
        piece,
    };
    collect(Reader::from_bytes(job, "f", source, options))
}

fn collect(mut reader: Reader) -> io::Result<(Vec<Outcome>, Vec<Vec<u8>>)> {
    let (mut found, mut raws) = (Vec::new(), Vec::new());
    let _ = reader.run(&mut |item| {
        match item {
            Item::Event { event, .. } => found.push(outcome(Ok(event))),
            Item::Rejected { rejection, raw, .. } => {
                found.push(Err(rejection));
                raws.push(raw.to_vec());
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok((found, raws))
}

fn read(text: &str) -> Vec<String> {
    let (found, _) =
        read_pieces(&plain_job(), text.as_bytes(), 1 << 20, Options::default()).unwrap();
    words(&found)
}

const JSON: &str = "\n{\"time\":1,\"host\":\"a\"}\n{\"time\":2\n[{\"time\":3},\n {\"time\":4},5]\n{\n  \"time\": 6,\n  \"x\": {\n    \"y\": 1\n  }\n}\nrubbish\n{\"time\":8}";
const JSON_WORDS: [&str; 8] = [
    "1",
    "malformed",
    "3",
    "4",
    "wrong_type",
    "6",
    "malformed",
    "8",
];
const CSV: &str = "\u{feff}time,\"host\",value\r\n1,a,2\r\n\r\n2,\"b, \"\"c\"\"\nd\",\r\n3,x\r\nnever,x,y\r\n5,z,9";
const CSV_WORDS: [&str; 5] = ["1", "2", "malformed", "bad_time", "5"];

#[test]
fn what_arrives_byte_by_byte_is_read_like_what_arrives_at_once() {
    for (text, expected) in [(JSON, &JSON_WORDS[..]), (CSV, &CSV_WORDS)] {
        for piece in [1, 2, 3, 7, 64, 1 << 20] {
            let (found, _) =
                read_pieces(&plain_job(), text.as_bytes(), piece, Options::default()).unwrap();
            assert_eq!(words(&found), expected, "by {piece}");
        }
    }
}

#[test]
fn gzip_and_zstd_are_known_by_their_bytes_also_in_several_members() {
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    let (first, second) = JSON.as_bytes().split_at(30);
    for packed in [
        gzip(JSON.as_bytes()),
        [gzip(first), gzip(second)].concat(),
        [zstd(first), zstd(second)].concat(),
    ] {
        for piece in [1, 5, 1 << 20] {
            let (found, _) = read_pieces(&plain_job(), &packed, piece, Options::default()).unwrap();
            assert_eq!(words(&found), JSON_WORDS);
        }
    }
    let half = gzip(JSON.as_bytes());
    let reader = Reader::from_bytes(
        &plain_job(),
        "half.gz",
        io::Cursor::new(half[..half.len() / 2].to_vec()),
        Options::default(),
    );
    let error = collect(reader).unwrap_err();
    assert!(error.to_string().starts_with("half.gz: "), "{error}");
}

#[test]
fn zeros_after_a_gzip_member_are_passed_over_and_anything_else_is_an_error() {
    let member = |text: &str| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    };
    let read = |bytes: Vec<u8>| {
        let job = plain_job();
        let options = Options::default();
        collect(Reader::from_bytes(
            &job,
            "x",
            io::Cursor::new(bytes),
            options,
        ))
    };
    let (one, two) = (member("{\"time\":1}\n"), member("{\"time\":2}\n"));
    let padded = [&one[..], &[0; 700], &two, &[0; 512]].concat();
    assert_eq!(read(padded).unwrap().0.len(), 2);
    let error = read([&one[..], b"{}"].concat()).unwrap_err().to_string();
    assert_eq!(error, "x: the gzip data end, and what follows is not gzip");
}

#[test]
fn a_rejection_says_file_and_line_and_brings_its_bytes() {
    let (found, raws) = read_pieces(&plain_job(), JSON.as_bytes(), 16, Options::default()).unwrap();
    let details: Vec<String> = found
        .into_iter()
        .filter_map(Result::err)
        .map(|rejection| rejection.detail)
        .collect();
    for (detail, start) in details.iter().zip([
        "f:3: the object is cut off",
        "f:5: found \"5\"",
        "f:12: found \"rubbish\"",
    ]) {
        assert!(detail.starts_with(start), "{detail}");
    }
    assert_eq!(raws, [&b"{\"time\":2"[..], b"5", b"rubbish"]);
    let (found, raws) = read_pieces(&plain_job(), CSV.as_bytes(), 1, Options::default()).unwrap();
    let details: Vec<String> = found
        .into_iter()
        .filter_map(Result::err)
        .map(|rejection| rejection.detail)
        .collect();
    assert!(
        details[0].starts_with("f:6: 2 columns; expected 3"),
        "{details:?}"
    );
    assert!(
        details[1].starts_with("f:7: time field \"time\": \"never\" is neither"),
        "{details:?}"
    );
    assert_eq!(raws, [&b"3,x"[..], b"never,x,y"]);
}

#[test]
fn every_events_origin_is_its_line() {
    let text: String = (0..5000).map(|n| format!("{{\"time\":{n}}}\n")).collect();
    let source = Trickle {
        bytes: io::Cursor::new(text.into_bytes()),
        piece: 1000,
    };
    let mut reader = Reader::from_bytes(&plain_job(), "f", source, Options::default());
    let mut seen = 0;
    let _ = reader.run(&mut |item| {
        let Item::Event { event, raw, origin } = item else {
            panic!("{item:?}")
        };
        assert_eq!(raw, format!("{{\"time\":{}}}", event.time.0).as_bytes());
        // Asked now and then, and more than once.
        if seen % 7 == 0 {
            assert_eq!(
                (origin.line(), origin.to_string()),
                (seen + 1, format!("f:{}", seen + 1))
            );
        }
        seen += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(seen, 5000);
}

#[test]
fn a_pipe_that_stays_open_delivers_each_line_as_it_comes() {
    struct Pipe {
        lines: mpsc::Receiver<&'static str>,
        rest: &'static [u8],
    }
    impl Read for Pipe {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.rest.is_empty() {
                self.rest = self.lines.recv().unwrap_or_default().as_bytes();
            }
            self.rest.read(buffer)
        }
    }
    for lines in [
        ["{\"time\":1}\n", "{\"time\":2}\n", "{\"time\":3}"],
        ["time\n1\n", "2\n", "3\n"],
    ] {
        let (send, lines_sent) = mpsc::channel();
        let (seen, events) = mpsc::channel();
        let reading = std::thread::spawn(move || {
            let mut reader = Reader::from_bytes(
                &plain_job(),
                "-",
                Pipe {
                    lines: lines_sent,
                    rest: b"",
                },
                Options::default(),
            );
            let _ = reader.run(&mut |item| {
                let Item::Event { event, .. } = item else {
                    panic!("{item:?}")
                };
                seen.send(event.time.0).unwrap();
                ControlFlow::Continue(())
            });
        });
        for (line, time) in lines.into_iter().zip(1..) {
            send.send(line).unwrap();
            let found = events.recv_timeout(std::time::Duration::from_secs(20));
            assert_eq!(found, Ok(time), "before the next line is written");
        }
        drop(send);
        reading.join().unwrap();
    }
}

#[test]
fn several_files_are_read_in_order_each_with_its_own_format() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let paths = [
        write("a.csv", b"host,time\nx,1\n"),
        write("empty", b""),
        write("b.json", b"[{\"time\":2}]"),
        write("c.csv", b"time;value\n3;7\n"),
    ];
    let reader = Reader::open(&plain_job(), &paths[..3], Options::default()).unwrap();
    assert_eq!(reader.bytes_total(), Some(14 + 12));
    let counter = reader.bytes_read_counter();
    assert_eq!(words(&collect(reader).unwrap().0), ["1", "2"]);
    assert_eq!(counter.load(std::sync::atomic::Ordering::Relaxed), 26);

    let by = |delimiter| Options {
        delimiter,
        ..Options::default()
    };
    for delimiter in [None, Some(b';')] {
        let reader = Reader::open(&plain_job(), &paths[3..], by(delimiter)).unwrap();
        assert_eq!(words(&collect(reader).unwrap().0), ["3"]);
    }
    let reader = Reader::open(&plain_job(), &paths[3..], by(Some(b','))).unwrap();
    let error = collect(reader).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no column \"time\" for the time; it has: time;value (--delimiter ';' reads such columns)"),
        "{error}"
    );
    let missing = Reader::open(
        &plain_job(),
        &[folder.path().join("none.csv")],
        Options::default(),
    )
    .err()
    .unwrap();
    assert!(missing.to_string().contains("none.csv"), "{missing}");
    assert!(Reader::open(&plain_job(), &[folder.path()], Options::default()).is_err());
}

#[test]
fn a_told_format_is_not_guessed() {
    let options = Options {
        format: Some(Format::Csv),
        ..Options::default()
    };
    let (found, _) = read_pieces(&plain_job(), b"[host,time\nx,1\n", 100, options).unwrap();
    assert_eq!(words(&found), ["1"]);
}

#[test]
fn what_is_longer_than_the_limit_is_refused_once_and_passed_over() {
    let long = "x".repeat(5000);
    let options = Options {
        bytes_max: 100,
        ..Options::default()
    };
    for text in [
        format!("{{\"time\":1}}\n{{\"time\":9,\"x\":\"{long}\"}}\n{{\"time\":2}}\n"),
        format!("[{{\"time\":1}},{{\"time\":9,\"x\":{{\"y\":\"{long}\"}}}},{{\"time\":2}}]"),
        format!("{{\"time\":1}}\n{long}\n{{\"time\":2}}\n"),
        format!(
            "{{\"time\":1}}\n{{\"time\":9,\"x\":[{}\n{{\"time\":2}}\n",
            "1,\n ".repeat(500)
        ),
        format!("time,host\n1,a\n9,{long}\n2,b\n"),
        format!("time,host\n1,a\n9,\"{long}\n2,b\n"),
        format!("time,host\n1,a\n9,\"b\n2,c\n{}", "".repeat(500)),
    ] {
        for piece in [1, 3, 50, 10_000] {
            let (found, raws) = read_pieces(&plain_job(), text.as_bytes(), piece, options).unwrap();
            let found = words(&found);
            let shown = text.chars().take(60).collect::<String>();
            assert_eq!(
                (
                    found[0].as_str(),
                    found.last().unwrap().as_str(),
                    found.len()
                ),
                ("1", "2", 3),
                "{shown} by {piece}: {found:?}"
            );
            assert!(raws.iter().all(|raw| raw.len() <= 16 << 10));
        }
    }
}

#[test]
fn an_element_of_an_array_that_is_too_long_costs_itself_however_it_arrives() {
    let options = Options {
        bytes_max: 64,
        ..Options::default()
    };
    let long = format!("\"{}, \\\", x\"", "x".repeat(70));
    let text = format!("[{long},{{\"time\":1}}, {{\"time\":2}}]\n{{\"time\":3}}\n");
    for piece in [1, 7, 40, 1 << 20] {
        let (found, _) = read_pieces(&plain_job(), text.as_bytes(), piece, options).unwrap();
        assert_eq!(words(&found), ["too_long", "1", "2", "3"], "by {piece}");
    }
}

#[test]
fn all_bytes_of_what_is_too_long_are_counted_however_they_arrive() {
    let options = Options {
        bytes_max: 64,
        ..Options::default()
    };
    let x = "x".repeat(5_000);
    for (before, long, after) in [
        (
            "{\"time\":1}\n",
            format!("{{\"x\":\"{x}\"}}"),
            "\n{\"time\":2}\n",
        ),
        ("{\"time\":1}\n", format!("{{\"x\":\"{x}"), ""),
        ("{\"time\":1}\n", x.clone(), "\n{\"time\":2}\n"),
        ("[{\"time\":1},", format!("\"{x}\""), ",{\"time\":2}]"),
        ("time,host\n1,a\n", format!("2,{x}"), "\n2,b\n"),
        ("time,host\n1,a\n", format!("2,{x} {x}"), ""),
    ] {
        let text = format!("{before}{long}{after}");
        for piece in [1, 7, 40, 1_000, 1 << 20] {
            let shown = format!("{before}{} by {piece}", &long[..10]);
            let (found, raws) = read_pieces(&plain_job(), text.as_bytes(), piece, options).unwrap();
            let mut expected = vec!["1", "too_long", "2"];
            expected.truncate(if after.is_empty() { 2 } else { 3 });
            assert_eq!(words(&found), expected, "{shown}");
            let rejection = found[1].as_ref().unwrap_err();
            assert_eq!(rejection.raw_bytes as usize, long.len(), "{shown}");
            let line = before.lines().count() + usize::from(before.ends_with('\n'));
            assert!(
                rejection.detail.starts_with(&format!("f:{line}:")),
                "{rejection:?}"
            );
            assert!(long.as_bytes().starts_with(&raws[0]), "{shown}");
        }
    }
}

#[test]
fn one_wrong_clock_in_a_file_is_far_future_and_a_gap_in_the_data_is_not() {
    // Five-minute buckets: a jump is more than 1,000 of them, 3.5 days.
    let day = 86_400_000_i64;
    let days = |times: &[i64]| {
        read(
            &times
                .iter()
                .map(|t| format!("{{\"time\":{}}}\n", t * day))
                .collect::<String>(),
        )
    };
    let ms = |times: &[&str]| {
        times
            .iter()
            .map(|t| {
                t.parse()
                    .map_or(t.to_string(), |t: i64| (t * day).to_string())
            })
            .collect::<Vec<_>>()
    };
    for (times, expected, claim) in [
        (
            &[1, 2, 400, 3][..],
            &["1", "2", "far_future", "3"][..],
            "a spike of one",
        ),
        (&[1, 400, 401, 402], &["1", "400", "401", "402"], "a gap"),
        (&[1, 4, 7], &["1", "4", "7"], "less than a jump"),
        (&[400, 1, 2], &["400", "1", "2"], "the first is never held"),
        (
            &[1, 2, 400],
            &["1", "2", "far_future"],
            "the last has nobody to confirm it",
        ),
        (
            &[1, 400, 500, 2],
            &["1", "400", "500", "2"],
            "a gap, then less than a proven one",
        ),
        (
            &[1, 40_000, 400, 401],
            &["1", "far_future", "400", "401"],
            "a wrong clock in a gap",
        ),
        (&[1, 5, 9, 13], &["1", "5", "9", "13"], "sparse data"),
        (
            &[1, 400, 2, 401, 3],
            &["1", "far_future", "2", "far_future", "3"],
            "one bad host among good ones",
        ),
    ] {
        assert_eq!(days(times), ms(expected), "{claim}");
    }
}

#[test]
fn an_event_that_was_held_when_the_file_broke_is_told() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"{\"time\":\"2024-01-01\"}\n{\"time\":\"2031-01-01\"}\n")
        .unwrap();
    let bytes = [&gzip.finish().unwrap()[..], b"no gzip"].concat();
    let mut reader = Reader::from_bytes(
        &plain_job(),
        "x",
        io::Cursor::new(bytes),
        Options::default(),
    );
    let mut told = Vec::new();
    let broke = reader.run(&mut |item| {
        told.push(match item {
            Item::Event { .. } => "event",
            Item::Rejected { rejection, .. } => rejection.reason.label(),
        });
        ControlFlow::Continue(())
    });
    assert!(broke.is_err());
    assert_eq!(told, ["event", "far_future"]);
}

#[test]
fn a_held_event_loses_nothing_when_it_goes_on() {
    let text = "{\"time\":1}\n{\"time\":31536000000,\"host\":[\"a\\n\",1],\"value\":0.5}\n{\"time\":31536000001}\n";
    let (found, _) =
        read_pieces(&plain_job(), text.as_bytes(), 1 << 20, Options::default()).unwrap();
    assert_eq!(
        found[1],
        Ok((
            31_536_000_000,
            vec![serde_json::json!(["a\n", 1]), 0.5.into()]
        ))
    );
}

#[test]
fn a_sink_that_breaks_hears_no_more() {
    let mut reader =
        Reader::from_bytes(&plain_job(), "f", io::Cursor::new(JSON), Options::default());
    let mut heard = 0;
    let flow = reader.run(&mut |_| {
        heard += 1;
        ControlFlow::Break(())
    });
    assert!(flow.unwrap().is_break() && heard == 1);
}

#[test]
fn between_semicolons_a_comma_is_a_decimal_one() {
    let read = |text: &str| {
        let whole = read_pieces(&plain_job(), text.as_bytes(), 1 << 20, Options::default());
        let (found, _) = whole.unwrap();
        found[0].as_ref().unwrap().1[1].clone()
    };
    assert_eq!(read("host;value;time\nx;1.012,5;7\n"), "1012.5");
    assert_eq!(read("host;value;time\nx;12.5;7\n"), "12.5");
    assert_eq!(read("host,value,time\nx,\"12,5\",7\n"), "12,5");
}
