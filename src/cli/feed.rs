//! Events from files and pipes into a command: which files, how they are read, what was refused, how it ended.
//!
//! Shared by the commands that run a job over a given input. Shows progress, stops at Ctrl-C; what a file that cannot be read to its end means is the command's affair.

use super::interrupt::Interrupt;
use super::notes::Notes;
use super::output::grouped;
use super::progress::Progress;
use crate::config::Job;
use crate::decode::{self, Fields, Format, Item, Options, Reader};
use crate::engine::event::Reason;
use crate::runtime::clock::{Clock, SystemClock};
use clap::ValueEnum;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread;

/// Where events come from.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// Events: NDJSON, JSON, CSV, or a log as text; plain, gzip or zstd; `-` is stdin.
    #[arg(default_value = "-", value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// What the events are [default: found out from their beginning].
    #[arg(long, value_enum, display_order = 100)]
    input: Option<InputKind>,
    /// What stands between the columns of CSV; `\t` is a tab [default: found out from the header].
    #[arg(long, value_name = "CHAR", value_parser = delimiter, display_order = 100)]
    delimiter: Option<u8>,
    /// How many threads are at work: one judges, the others decode JSON ahead of it. Results are the same for any number [default: one
    /// a processor, 8 at most].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), display_order = 100)]
    threads: Option<u16>,
}

/// More threads than this are started only when asked for: one that judges cannot keep up with the others.
const THREADS_MAX: usize = 8;
/// How much of a file is looked at for an event that shows its fields.
const SAMPLE_BYTES: u64 = 1 << 18;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum InputKind {
    /// JSON objects: a line each, one after another, or in an array.
    Json,
    /// CSV with a header.
    Csv,
    /// A log: lines that begin with a time, each with those after it that have none.
    Text,
}

impl InputKind {
    pub(super) fn format(self) -> Format {
        match self {
            InputKind::Json => Format::Json,
            InputKind::Csv => Format::Csv,
            InputKind::Text => Format::Text,
        }
    }
}

/// How input is read.
pub(super) fn options(input: Option<InputKind>, delimiter: Option<u8>) -> Options {
    Options {
        format: input.map(InputKind::format),
        delimiter,
        now_ms: Some(SystemClock.now_ms()),
        ..Options::default()
    }
}

pub(super) fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => Ok(*byte),
        br"\t" => Ok(b'\t'),
        _ => Err("expected one ASCII character, such as ; or \\t".to_owned()),
    }
}

/// How the input ended.
pub(super) enum Ending {
    /// By itself.
    Whole,
    /// By Ctrl-C.
    Interrupted,
    /// In the middle of a file.
    Broken(io::Error),
}

impl Source {
    fn options(&self) -> Options {
        options(self.input, self.delimiter)
    }

    /// A reader of the files, none of which has been read yet.
    pub(super) fn open(&self, job: &Job) -> io::Result<Reader> {
        let options = Options {
            threads: match self.threads {
                Some(threads) => threads.into(),
                None => thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX)),
            },
            ..self.options()
        };
        Reader::open(job, &self.files, options)
    }

    /// Whether one of the files is standard input.
    pub(super) fn has_stdin(&self) -> bool {
        self.files.iter().any(|file| file == Path::new("-"))
    }

    /// The options as another build of this program takes them.
    pub(super) fn as_arguments(&self) -> Vec<String> {
        let delimiter = self.delimiter.map(|byte| match byte {
            b'\t' => "--delimiter=\\t".to_owned(),
            byte => format!("--delimiter={}", char::from(byte)),
        });
        let mut arguments: Vec<String> = delimiter.into_iter().collect();
        let input = self.input.and_then(|input| input.to_possible_value());
        arguments.extend(input.map(|input| format!("--input={}", input.get_name())));
        arguments
    }

    /// Reads everything, hands each item to `take`, shows how far it is; at the end, what is odd about the input. An error is one of `take`.
    pub(super) fn read(
        &self,
        job: &Job,
        mut reader: Reader,
        interrupt: &Interrupt,
        progress: &Progress,
        take: &mut dyn FnMut(Item<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Ending> {
        let bytes_read = reader.bytes_read_counter();
        if self.has_stdin() && io::stdin().is_terminal() {
            eprintln!("tidewatch: reading events from the keyboard; Ctrl-D ends them");
        }
        let (mut events, mut failure) = (0, None);
        let mut notes = Notes::new(job);
        let read = reader.run(&mut |item| {
            notes.look(&item);
            events += u64::from(matches!(item, Item::Event { .. }));
            match take(item) {
                _ if interrupt.asked() => ControlFlow::Break(()),
                Ok(()) => {
                    progress.tick(events, || bytes_read.load(Ordering::Relaxed));
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        progress.finish();
        if failure.is_none() {
            tell(&notes, &self.files, self.options());
        }
        match (failure, read) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Ok(Ending::Broken(error)),
            (None, Ok(_)) if interrupt.asked() => Ok(Ending::Interrupted),
            (None, Ok(_)) => Ok(Ending::Whole),
        }
    }
}

/// Says on stderr what is odd about the input.
pub(super) fn tell(notes: &Notes, files: &[PathBuf], options: Options) {
    for note in notes.lines(|| first_event(files, options)) {
        eprintln!("tidewatch: {note}");
    }
}

/// The first event of the files with all its fields; none if it would have to be of a pipe, which is read once.
fn first_event(files: &[PathBuf], options: Options) -> Option<Fields> {
    let file = files.iter().find(|file| file.is_file())?;
    let mut bytes = Vec::new();
    // What cannot be read to its end may begin with an event all the same.
    let _ = decode::open_bytes(file)
        .ok()?
        .take(SAMPLE_BYTES)
        .read_to_end(&mut bytes);
    let mut first = None;
    decode::survey(&bytes, options, &mut |fields| {
        first.get_or_insert(fields);
    });
    first
}

/// What the summary says.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) events: u64,
    pub(super) buckets: u64,
    /// Events that the job's query did not select; they are none of the events above.
    pub(super) passed_over: u64,
    pub(super) rejected: BTreeMap<Reason, u64>,
    /// Late events that re-opened no result, though they were within the window.
    pub(super) without_result: u64,
}

/// `1 event`, `2,200 events`.
pub(super) fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(number))
}

/// With fewer buckets than this nothing can be called unusual with confidence.
const BUCKETS_FEW: u64 = 12;

impl Tally {
    /// What is said where nothing was found: whether that means anything.
    pub(super) fn nothing(&self, is_new: bool) -> String {
        match (self.events, self.buckets) {
            (0, _) => "No event was analysed.".to_owned(),
            (_, buckets) if is_new && buckets < BUCKETS_FEW => format!(
                "Nothing unusual, but of {} it cannot be known what is usual.",
                counted(buckets, "bucket")
            ),
            _ => "Nothing unusual.".to_owned(),
        }
    }

    /// Takes out of the events those that the job's query has passed over, so many in all.
    pub(super) fn pass_over(&mut self, events: u64) {
        self.passed_over = events;
        self.events = self.events.saturating_sub(events);
    }

    /// `2,200 events, 181 buckets, 3 rejected (late 1, malformed 2) in 0.1 s (22,000 events/s)`; behind the events, how many the query passed over.
    pub(super) fn summary(&self, progress: &Progress) -> String {
        let rejected: u64 = self.rejected.values().sum();
        let reasons: Vec<String> = self
            .rejected
            .iter()
            .map(|(reason, count)| format!("{} {}", reason.label(), grouped(*count)))
            .collect();
        let rejected = match rejected {
            0 => "none rejected".to_owned(),
            some => format!("{} rejected ({})", grouped(some), reasons.join(", ")),
        };
        let rate = progress.rate(self.events + self.passed_over);
        let (events, buckets) = (
            counted(self.events, "event"),
            counted(self.buckets, "bucket"),
        );
        let passed_over = match self.passed_over {
            0 => String::new(),
            some => format!(" ({} more not selected by the query)", grouped(some)),
        };
        let without_result = match self.without_result {
            0 => String::new(),
            some => format!(", {} late with no result to correct", grouped(some)),
        };
        format!(
            "{events}{passed_over}, {buckets}, {rejected}{without_result} in {:.1} s ({rate})",
            progress.seconds()
        )
    }
}
