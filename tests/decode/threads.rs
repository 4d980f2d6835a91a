//! Threads that decode ahead: what is handed over, and in which order, does not depend on how many there are or on where blocks are cut.

use crate::support::{Outcome, job, outcome};
use proptest::prelude::*;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::time::Duration;
use tidewatch::config::{Job, TimeFormat};
use tidewatch::decode::{Format, Item, Options, Reader};
use tidewatch::engine::event::Reason;

/// The numbers of threads that must all give what one gives.
const THREADS: [usize; 4] = [1, 2, 3, 7];

/// Hands out so many bytes a call, sizes by turns.
struct Pieces {
    bytes: io::Cursor<Vec<u8>>,
    sizes: Vec<usize>,
    calls: usize,
    /// After the last byte comes an error instead of an end.
    fails: bool,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes[self.calls % self.sizes.len()];
        self.calls += 1;
        let length = buffer.len().min(size);
        match self.bytes.read(&mut buffer[..length])? {
            0 if self.fails => Err(io::Error::other("the disk is on fire")),
            read => Ok(read),
        }
    }
}

/// Everything a reader hands over: outcomes, raw bytes, origins and sizes; then how the reading ended.
type Told = (Vec<(Outcome, Vec<u8>, String)>, Result<(), String>);

fn plain_job() -> Job {
    job("time", TimeFormat::Auto, &["host", "value"])
}

fn told(mut reader: Reader) -> Told {
    let mut all = Vec::new();
    let ended = reader.run(&mut |item| {
        all.push(match item {
            Item::Event { event, raw, origin } => {
                let place = format!("{origin} {} {}", event.raw_bytes, event.raw_fields);
                (outcome(Ok(event)), raw.to_vec(), place)
            }
            Item::Rejected {
                rejection,
                raw,
                origin,
            } => {
                // How much of something too long is at hand depends on what arrived with it (with the usual limit, more than is shown).
                let raw = match rejection.reason {
                    Reason::TooLong => &raw[..raw.len().min(100)],
                    _ => raw,
                };
                (Err(rejection), raw.to_vec(), origin.to_string())
            }
        });
        ControlFlow::Continue(())
    });
    (all, ended.map(|_| ()).map_err(|error| error.to_string()))
}

/// What `threads` threads read of bytes that arrive in pieces of these sizes.
fn read(bytes: &[u8], sizes: &[usize], options: Options, fails: bool, threads: usize) -> Told {
    let source = Pieces {
        bytes: io::Cursor::new(bytes.to_vec()),
        sizes: sizes.to_vec(),
        calls: 0,
        fails,
    };
    let options = Options { threads, ..options };
    told(Reader::from_bytes(&plain_job(), "f", source, options))
}

/// Asserts that all numbers of threads read the same, however the bytes arrive; returns it.
fn same(bytes: &[u8], options: Options) -> Told {
    let expected = read(bytes, &[1 << 20], options, false, 1);
    for threads in THREADS {
        for sizes in [&[1 << 20][..], &[64], &[1000, 1, 7], &[40_000, 3]] {
            let found = read(bytes, sizes, options, false, threads);
            assert!(found == expected, "{threads} threads, pieces of {sizes:?}");
        }
    }
    expected
}

fn event(n: u64) -> String {
    format!(
        r#"{{"time": {}, "host": "h{}", "value": {n}.5}}"#,
        1_000 + n,
        n % 7
    )
}

/// Lines of all kinds, good ones and others.
fn hostile(count: u64) -> String {
    let line = |n: u64| match n % 23 {
        3 => format!("{}\r", event(n)),
        5 => "not an event".into(),
        7 => format!("{}{}", event(n), event(n + 1)),
        9 => r#"{"time": 5, "host": "cut"#.into(),
        11 => format!("  ,{} , ", event(n)),
        13 => r#"{"host": "no time"}"#.into(),
        14 => r#"{"time": {"a": 1}}"#.into(),
        15 => format!("{{\n  \"time\": {n},\n  \"host\": {{\n    \"x\": 1\n  }}\n}}"),
        16 => r#"{"time": 99999999999999999, "host": "far"}"#.into(),
        17 => String::new(),
        18 => format!(r#"{{"time": {n}, "host": ["a", "\u00e9\ud83d\ude00"], "value": 1e999}}"#),
        19 => format!(r#"{{"time": {n}, "host": "{}"}}"#, "x".repeat(700)),
        20 => format!("[{},\n{}\n]", event(n), event(n)),
        21 => format!(r#"{{"time": {n}, "host": "\u00e9 \" {{", "value": null}}"#),
        _ => event(n),
    };
    (0..count).map(|n| line(n) + "\n").collect()
}

#[test]
fn hostile_lines_read_the_same_on_any_number_of_threads() {
    let options = Options {
        format: Some(Format::Json),
        bytes_max: 600,
        ..Options::default()
    };
    let mut text = hostile(2_000).into_bytes();
    text.splice(5_000..5_000, *b"{\"time\": 1, \"host\": \"\xff\"}");
    text.extend_from_slice(event(9).as_bytes()); // the last line has no end
    let (all, ended) = same(&text, options);
    let events = all.iter().filter(|(outcome, ..)| outcome.is_ok()).count();
    assert_eq!(ended, Ok(()));
    assert!(
        events > 1_000 && all.len() - events > 300,
        "{events} of {}",
        all.len()
    );
}

#[test]
fn many_blocks_of_good_lines_and_one_huge_line_read_the_same() {
    let lines = |from: u64| -> String { (from..from + 15_000).map(|n| event(n) + "\n").collect() };
    let huge = format!("{{\"time\": 1, \"host\": \"{}\"}}\n", "y".repeat(700_000));
    let text = lines(0) + &huge + &lines(15_000);
    for bytes_max in [1 << 20, 100_000] {
        let options = Options {
            bytes_max,
            ..Options::default()
        };
        let expected = read(text.as_bytes(), &[1 << 20], options, false, 1);
        assert_eq!(expected.0.len(), 30_001);
        for threads in THREADS {
            let found = read(text.as_bytes(), &[300_000, 70_001], options, false, threads);
            assert!(found == expected, "{threads} threads");
        }
    }
}

#[test]
fn arrays_concatenations_and_csv_read_the_same() {
    let array: Vec<String> = (0..3_000).map(event).collect();
    let csv: String = (0..3_000)
        .map(|n| format!("{},\"a\nb\"\"{n}\",{n}\r\n", 1_000 + n))
        .collect();
    for (text, count) in [
        (format!("[{}]", array.join(",\n")), 3_000),
        (array.concat(), 3_000),
        (format!("time,host,value\r\n{csv}"), 3_000),
        (format!("\u{feff}\n {}", array.join("\n")), 3_000),
        (String::new(), 0),
        (" \n\n".into(), 0),
    ] {
        assert_eq!(same(text.as_bytes(), Options::default()).0.len(), count);
    }
}

#[test]
fn what_was_read_before_an_error_is_handed_over_and_then_the_error() {
    let text: String = (0..5_000).map(|n| event(n) + "\n").collect();
    for threads in THREADS {
        let (all, ended) = read(text.as_bytes(), &[9_999], Options::default(), true, threads);
        assert_eq!(
            (all.len(), ended),
            (5_000, Err("f: the disk is on fire".into()))
        );
    }
}

#[test]
fn a_break_ends_the_reading_at_once() {
    let text: String = (0..50_000).map(|n| event(n) + "\n").collect();
    for threads in THREADS {
        let options = Options {
            threads,
            ..Options::default()
        };
        let source = io::Cursor::new(text.clone().into_bytes());
        let mut reader = Reader::from_bytes(&plain_job(), "f", source, options);
        let mut events = 0;
        let ended = reader.run(&mut |_| {
            events += 1;
            match events {
                20_000 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        });
        assert_eq!((ended.unwrap(), events), (ControlFlow::Break(()), 20_000));
    }
}

#[test]
fn an_idle_pipe_holds_back_no_whole_line() {
    for threads in THREADS {
        let (from, mut to) = io::pipe().unwrap();
        let (sender, seen) = mpsc::channel();
        let options = Options {
            threads,
            ..Options::default()
        };
        let reading = std::thread::spawn(move || {
            let mut reader = Reader::from_bytes(&plain_job(), "pipe", from, options);
            let _ = reader.run(&mut |item| {
                let is_event = matches!(item, Item::Event { .. });
                sender.send(is_event).expect("the test waits");
                ControlFlow::Continue(())
            });
        });
        for n in 0..20 {
            // Half a line hangs over each time.
            let line = event(n) + "\n";
            let (head, tail) = line.split_at(line.len() / 2);
            to.write_all(head.as_bytes()).unwrap();
            to.flush().unwrap();
            to.write_all(tail.as_bytes()).unwrap();
            let event = seen.recv_timeout(Duration::from_secs(20));
            assert_eq!(event, Ok(true), "{threads} threads, line {n}");
        }
        drop(to);
        reading.join().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn any_mixture_of_pieces_reads_the_same(
        parts in prop::collection::vec(prop_oneof![
            4 => (0u64..50).prop_map(|n| event(n) + "\n"),
            1 => (0u64..23).prop_map(|n| hostile(n + 1).lines().next_back().unwrap_or("").to_owned() + "\n"),
            1 => prop::sample::select(vec!["{", "}", "[", "]", "\"", "\n", ",", "{\"time\":1", "\r\n", "\\", "[1,2\n"]).prop_map(str::to_owned),
        ], 0..60),
        sizes in prop::collection::vec(1usize..400, 1..5),
        threads in 2usize..5,
    ) {
        let text = parts.concat();
        let options = Options { format: Some(Format::Json), bytes_max: 200, ..Options::default() };
        let expected = read(text.as_bytes(), &[1 << 20], options, false, 1);
        let found = read(text.as_bytes(), &sizes, options, false, threads);
        prop_assert!(found == expected, "{:?}\n{:?}", found, expected);
    }
}
