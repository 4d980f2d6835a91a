//! Events from files and pipes, in order, with bounded memory.
//!
//! A [`Reader`] opens one source after another (`-` is standard input), undoes gzip and zstd, sees whether it holds JSON, CSV or a log's lines, and
//! hands on each event, or each rejection with its bytes and origin. What a pipe has delivered is decoded at once: nothing
//! waits for a full buffer, but a log for its first lines, and a message for the beginning of the next one. With more than one thread, JSON is decoded ahead of its turn, and what is handed over stays the same. Between files the times go on (the guard against wrong clocks is one for all), formats and headers do not.

mod messages;
mod tables;

use super::csv::{Header, Row, Rows, column_name};
use super::delimiter;
use super::directives::Directives;
use super::frame::Framer;
use super::guard::{Guard, Sink};
use super::source::{self, Bytes};
use super::text::{SAMPLE_LINES, Text};
use super::window::{Origin, Window};
use super::{Decoded, Decoder, Step, rejection, shown};
use crate::config::Job;
use crate::engine::event::{Event, Reason, Rejection};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The part of a rejected event that is handed over, bytes.
const RAW_BYTES_MAX: usize = 16 << 10;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON objects: a line each, one after another, or in an array.
    Json,
    /// Comma-separated values below a header.
    Csv,
    /// A log: lines of text that begin with a time, each with the lines after it that have none.
    Text,
}

/// How files are read.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What they hold; `None`: JSON if the first byte that is not blank is `{`, or a `[` with nothing but JSON behind it; text if the first line has a time
    /// as logs have it; else CSV.
    pub format: Option<Format>,
    /// What separates CSV's cells; `None`: what the header of each file tells.
    pub delimiter: Option<u8>,
    /// The longest event that is decoded, bytes.
    pub bytes_max: usize,
    /// What the clock says, milliseconds since the epoch: times without a year are of the twelve months before. Files know better, when they were last
    /// written to. `None`: where nothing is known such times are none.
    pub now_ms: Option<i64>,
    /// How many threads are at work: the caller's, and others that decode JSON ahead of it. What is handed over does not depend on it.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            format: None,
            delimiter: None,
            bytes_max: super::BYTES_MAX,
            now_ms: None,
            threads: 1,
        }
    }
}

/// What a reader hands over.
#[derive(Debug)]
pub enum Item<'a> {
    /// An event.
    Event {
        /// What it says.
        event: &'a Event<'a>,
        /// The bytes it was made from.
        raw: &'a [u8],
        /// Where they stood.
        origin: Origin<'a>,
    },
    /// Something that is none.
    Rejected {
        /// Why; the detail begins with file and line.
        rejection: Rejection,
        /// The bytes it was found in, a few KiB at most.
        raw: &'a [u8],
        /// Where they stood.
        origin: Origin<'a>,
    },
}

/// Reads the events of files, one after another.
pub struct Reader {
    decoder: Decoder,
    /// That of the threads that decode ahead, where there are any.
    ahead: Option<Arc<Decoder>>,
    guard: Guard,
    options: Options,
    waiting: VecDeque<(String, Waiting)>,
    too_long: Option<TooLong>,
    bytes_read: Arc<AtomicU64>,
    bytes_total: Option<u64>,
}

/// What is known of an event that is too long: told when its end has come, for all its bytes count.
struct TooLong {
    rejection: Rejection,
    raw: Vec<u8>,
    line: u64,
}

/// A source whose turn has not come.
enum Waiting {
    File(PathBuf),
    Bytes(Bytes),
}

impl Reader {
    /// A reader of `paths`, in order; `-`, or no path at all, is standard input. A file that cannot be looked at is an error here,
    /// before anything has been read.
    pub fn open<P: AsRef<Path>>(job: &Job, paths: &[P], options: Options) -> io::Result<Reader> {
        let mut reader = Reader::empty(job, options);
        let stdin = [Path::new("-")];
        let paths: Vec<&Path> = match paths {
            [] => stdin.to_vec(),
            paths => paths.iter().map(AsRef::as_ref).collect(),
        };
        reader.bytes_total = Some(0);
        for path in paths {
            let name = path.display().to_string();
            reader.bytes_total = match path.as_os_str() == "-" {
                true => None,
                false => {
                    let metadata =
                        std::fs::metadata(path).map_err(|error| at_file(&name, error))?;
                    if metadata.is_dir() {
                        return Err(at_file(&name, ErrorKind::IsADirectory.into()));
                    }
                    reader
                        .bytes_total
                        .filter(|_| metadata.is_file())
                        .map(|total| total + metadata.len())
                }
            };
            reader.waiting.push_back((name, Waiting::File(path.into())));
        }
        Ok(reader)
    }

    /// A reader of bytes from anywhere, which errors and origins call `name`.
    pub fn from_bytes(
        job: &Job,
        name: &str,
        bytes: impl io::Read + Send + 'static,
        options: Options,
    ) -> Reader {
        let mut reader = Reader::empty(job, options);
        reader
            .waiting
            .push_back((name.into(), Waiting::Bytes(Box::new(bytes))));
        reader
    }

    fn empty(job: &Job, options: Options) -> Reader {
        let decoder = || Decoder::new(job).with_bytes_max(options.bytes_max);
        Reader {
            decoder: decoder(),
            ahead: (options.threads > 1).then(|| Arc::new(decoder())),
            guard: Guard::new(job),
            options,
            waiting: VecDeque::new(),
            too_long: None,
            bytes_read: Arc::default(),
            bytes_total: None,
        }
    }

    /// Bytes taken from the files so far, compressed ones as they are.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Relaxed)
    }

    /// The same number for another thread to watch.
    pub fn bytes_read_counter(&self) -> Arc<AtomicU64> {
        self.bytes_read.clone()
    }

    /// The size of all files together; `None` when one of them is a pipe.
    pub fn bytes_total(&self) -> Option<u64> {
        self.bytes_total
    }

    /// Reads everything, until the end or until `sink` breaks; after a break the reader is used up. An error names its file.
    pub fn run(
        &mut self,
        sink: &mut dyn FnMut(Item<'_>) -> ControlFlow<()>,
    ) -> io::Result<ControlFlow<()>> {
        while let Some((file, waiting)) = self.waiting.pop_front() {
            match self.file(&file, waiting, sink) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(stop) => return Ok(stop),
                Err(error) => {
                    let _ = self.tell_too_long(&file, sink);
                    let _ = self.guard.finish(sink); // an event that was held has been read all the same
                    return Err(at_file(&file, error));
                }
            }
        }
        Ok(self.guard.finish(sink))
    }

    fn file(
        &mut self,
        file: &str,
        waiting: Waiting,
        sink: &mut Sink<'_>,
    ) -> io::Result<ControlFlow<()>> {
        let (bytes, written_ms) = match waiting {
            Waiting::File(path) => (
                source::open(&path, &self.bytes_read)?,
                super::written_ms(&path).or(self.options.now_ms),
            ),
            Waiting::Bytes(bytes) => (source::plain(bytes)?, self.options.now_ms),
        };
        let mut window = Window::new(bytes);
        let Some(first) = window.first_byte()? else {
            return Ok(ControlFlow::Continue(()));
        };
        let format = match self.options.format {
            Some(format) => format,
            None => self.format_of(&mut window, first)?,
        };
        match format {
            Format::Csv if Directives::is_begun(window.lines(1)?) => {
                self.table(file, &mut window, sink)
            }
            Format::Csv => self.csv(file, &mut window, sink),
            Format::Text => self.text(file, &mut window, written_ms, sink),
            Format::Json => {
                if let Some(decoder) = &self.ahead {
                    window.read_ahead(decoder, self.options.threads - 1)?;
                }
                self.json(file, &mut window, sink)
            }
        }
    }

    /// What a source holds whose first byte that is not blank is `first`; looks at no more of it than that takes.
    fn format_of(&self, window: &mut Window, first: u8) -> io::Result<Format> {
        if first == b'{' || (first == b'[' && window.is_array()?) {
            return Ok(Format::Json);
        }
        let line = window.lines(1)?;
        let guessed = self.delimiter(line);
        let names_time = line
            .split(|byte| *byte == guessed)
            .any(|cell| cell.trim_ascii() == self.decoder.time_field.as_bytes());
        // What a header would tell is not asked of a log's words.
        let delimiter = self.options.delimiter.unwrap_or(b',');
        let is_table = names_time || Directives::is_begun(line);
        let may_be_text = !is_table && Text::has_time(line);
        Ok(
            match may_be_text && Text::is_likely(window.lines(SAMPLE_LINES)?, delimiter) {
                true => Format::Text,
                false if first == b'[' => Format::Json,
                false => Format::Csv,
            },
        )
    }

    /// What separates the columns of CSV that begins with this line.
    fn delimiter(&self, line: &[u8]) -> u8 {
        let told = || delimiter::of_header(line, &self.decoder.time_field);
        self.options.delimiter.unwrap_or_else(told)
    }

    fn json(
        &mut self,
        file: &str,
        window: &mut Window,
        sink: &mut Sink<'_>,
    ) -> io::Result<ControlFlow<()>> {
        let mut framer = Framer::new(self.options.bytes_max);
        loop {
            if framer.is_between()
                && let Some(run) = window.run_here()
            {
                if self.run_of_lines(file, window, run, sink).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                framer.begin_line();
            }
            let mut flow = ControlFlow::Continue(());
            let (guard, too_long) = (&mut self.guard, &mut self.too_long);
            let view = &*window;
            let step = self.decoder.step(
                &mut framer,
                view.unread(),
                view.at_end,
                None,
                &mut |decoded| {
                    flow = deliver(guard, too_long, decoded, file, view, sink);
                },
            );
            match step {
                _ if flow.is_break() => return Ok(flow),
                Step::Took(length) => window.take(length),
                Step::Discarded(length) => {
                    self.lengthen(length);
                    window.take(length);
                }
                Step::More(length) => {
                    self.lengthen(length);
                    window.take(length);
                    window.fill()?;
                }
                Step::End => return Ok(flow),
            }
            if !framer.is_discarding() && self.tell_too_long(file, sink).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }

    /// Hands over lines that were decoded ahead.
    fn run_of_lines(
        &mut self,
        file: &str,
        window: &mut Window,
        run: usize,
        sink: &mut Sink<'_>,
    ) -> ControlFlow<()> {
        let Some(ready) = window.ready.take() else {
            return ControlFlow::Continue(());
        };
        let lines = ready.block.lines();
        let run = &lines.runs[run];
        for (line, values) in lines.of(run) {
            let offset = ready.base + line.place.start - window.start;
            let raw = &window.unread()[offset..offset + line.place.len()];
            let event;
            let outcome = match &line.time {
                Ok(time) => {
                    event = Event {
                        time: *time,
                        values: &values[..self.decoder.field_count],
                        raw_bytes: raw.len().try_into().unwrap_or(u32::MAX),
                        raw_fields: line.fields,
                    };
                    Ok(&event)
                }
                Err((reason, detail)) => Err(rejection(*reason, detail.clone(), raw.len())),
            };
            let decoded = Decoded {
                outcome,
                raw,
                offset,
            };
            deliver(
                &mut self.guard,
                &mut self.too_long,
                decoded,
                file,
                window,
                sink,
            )?;
        }
        window.take(ready.base + run.place.end - window.start);
        window.ready = Some(ready);
        ControlFlow::Continue(())
    }

    fn csv(
        &mut self,
        file: &str,
        window: &mut Window,
        sink: &mut Sink<'_>,
    ) -> io::Result<ControlFlow<()>> {
        let delimiter = self.delimiter(window.lines(1)?);
        let mut rows = Rows::new(delimiter, self.options.bytes_max);
        let mut header = None;
        loop {
            let row = rows.next(window.unread(), window.at_end);
            let mut flow = ControlFlow::Continue(());
            let length = match row {
                Row::Whole(length) | Row::Broken(length) | Row::TooLong(length) => length,
                Row::Skip(length) => {
                    // The line's end is none of it.
                    self.lengthen(length - usize::from(!rows.is_skipping()));
                    window.take(length);
                    if !rows.is_skipping() && self.tell_too_long(file, sink).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    continue;
                }
                Row::More => {
                    window.fill()?;
                    continue;
                }
                Row::End => return Ok(self.tell_too_long(file, sink)),
            };
            let (guard, too_long) = (&mut self.guard, &mut self.too_long);
            let view = &*window;
            match &header {
                None => header = Some(self.decoder.header(&rows, row)?.between(delimiter)),
                Some(header) => self.decoder.row(
                    &rows,
                    row,
                    header,
                    &view.unread()[..length],
                    &mut |decoded| {
                        flow = deliver(guard, too_long, decoded, file, view, sink);
                    },
                ),
            }
            if flow.is_break() {
                return Ok(flow);
            }
            window.take(length);
            if !rows.is_skipping() && self.tell_too_long(file, sink).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }

    /// What is too long goes on for so many bytes.
    fn lengthen(&mut self, bytes: usize) {
        if let Some(long) = &mut self.too_long {
            let bytes = bytes.try_into().unwrap_or(u32::MAX);
            long.rejection.raw_bytes = long.rejection.raw_bytes.saturating_add(bytes);
        }
    }

    /// Hands over what was too long, now that it is over.
    fn tell_too_long(&mut self, file: &str, sink: &mut Sink<'_>) -> ControlFlow<()> {
        match self.too_long.take() {
            Some(long) => sink(Item::Rejected {
                rejection: long.rejection,
                raw: &long.raw,
                origin: Origin::new(file, long.line),
            }),
            None => ControlFlow::Continue(()),
        }
    }
}

/// Hands over what became of a frame; what is too long waits for its end.
fn deliver(
    guard: &mut Guard,
    too_long: &mut Option<TooLong>,
    decoded: Decoded<'_>,
    file: &str,
    window: &Window,
    sink: &mut Sink<'_>,
) -> ControlFlow<()> {
    let origin = window.origin(file, decoded.offset);
    let rejection = match decoded.outcome {
        Ok(event) => return guard.admit(event, decoded.raw, origin, sink),
        Err(rejection) => Rejection {
            detail: format!("{origin}: {}", rejection.detail),
            ..rejection
        },
    };
    let raw = &decoded.raw[..decoded.raw.len().min(RAW_BYTES_MAX)];
    if rejection.reason == Reason::TooLong {
        *too_long = Some(TooLong {
            rejection,
            raw: raw.to_vec(),
            line: origin.line(),
        });
        return ControlFlow::Continue(());
    }
    sink(Item::Rejected {
        rejection,
        raw,
        origin,
    })
}

impl Decoder {
    /// The columns that the header row names.
    fn header(&self, rows: &Rows, row: Row) -> io::Result<Header> {
        let cells = match row {
            Row::Whole(_) => rows.cells(),
            _ => None,
        };
        let invalid = |why: String| io::Error::new(ErrorKind::InvalidData, why);
        let cells =
            cells.ok_or_else(|| invalid("neither JSON nor a CSV header in UTF-8".into()))?;
        let header = Header::new(&cells, &self.paths);
        if header.has(self.time_slot) {
            return Ok(header);
        }
        let names = cells.iter().map(column_name).collect::<Vec<_>>().join(", ");
        let other = [';', '\t', '|'].into_iter().find(|c| names.contains(*c));
        let hint = match other.filter(|_| cells.len() == 1) {
            Some('\t') => "--delimiter '\\t' reads tabs".to_owned(),
            Some(other) => format!("--delimiter '{other}' reads such columns"),
            None => "data_description.time_field names the column".to_owned(),
        };
        Err(invalid(format!(
            "the CSV header has no column {:?} for the time; it has: {} ({hint})",
            self.time_field,
            shown(&names)
        )))
    }

    /// Decodes one row of CSV.
    fn row(
        &mut self,
        rows: &Rows,
        row: Row,
        header: &Header,
        bytes: &[u8],
        sink: &mut dyn FnMut(Decoded<'_>),
    ) {
        let offset = bytes.len() - bytes.trim_ascii_start().len();
        let raw = bytes.trim_ascii();
        let cells = match row {
            Row::Whole(_) => rows.cells().ok_or_else(|| "not UTF-8".to_string()),
            Row::TooLong(_) => {
                // As much as will be counted of it when its end comes later.
                let row = &bytes[offset..];
                let outcome = Err(self.too_long(row.strip_suffix(b"\n").unwrap_or(row).len()));
                return sink(Decoded { outcome, raw, offset });
            }
            _ => Err("a quote is not closed, or closed inside a cell; expected \"text\", with \"\" for a quote".into()),
        };
        let cells = cells.and_then(|cells| match cells.len() == header.width() {
            true => Ok(cells),
            false => Err(format!(
                "{} columns; expected {}, as in the header",
                cells.len(),
                header.width()
            )),
        });
        match cells {
            Ok(cells) => self.cells(&cells, header, raw, offset, sink),
            Err(detail) => {
                let outcome = Err(rejection(Reason::Malformed, detail, raw.len()));
                sink(Decoded {
                    outcome,
                    raw,
                    offset,
                });
            }
        }
    }
}

fn at_file(file: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{file}: {error}"))
}
