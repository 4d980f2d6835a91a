//! The part of a source that is in memory, and where in the source something in it stood.
//!
//! Holds: bytes are read once and in order, by this thread or by others ahead of it; what was taken is never looked at again.

use super::ahead::{Ahead, Block, separates};
use super::source::Bytes;
use super::{BOM, Decoder};
use std::cell::Cell;
use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;

/// How much is asked of a source at once, bytes.
const READ_BYTES: usize = 256 << 10;

/// No more than this is looked at to find out what a source holds, bytes.
const SAMPLE_BYTES_MAX: usize = 1 << 20;

/// Where something stood.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    file: &'a str,
    /// The bytes up to it, and a count of their lines that somebody has already made: `(bytes, lines)`. Most origins are never asked.
    before: &'a [u8],
    counted: Option<&'a Cell<(usize, u64)>>,
    line: u64,
}

impl<'a> Origin<'a> {
    pub(super) fn new(file: &'a str, line: u64) -> Origin<'a> {
        Origin {
            file,
            before: &[],
            counted: None,
            line,
        }
    }

    /// The file as it was named; `-` for standard input.
    pub fn file(&self) -> &'a str {
        self.file
    }

    /// The line it began on, from 1.
    pub fn line(&self) -> u64 {
        let Some(counted) = self.counted else {
            return self.line;
        };
        let (bytes, lines) = counted.get();
        let lines = lines + line_ends(&self.before[bytes.min(self.before.len())..]);
        counted.set((self.before.len().max(bytes), lines));
        lines + 1
    }
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line())
    }
}

/// Whether the bracket that `bytes` begin with, blanks apart, opens an array of JSON objects or an empty one; `None`: there is nothing behind it yet.
pub(super) fn opens_array(bytes: &[u8]) -> Option<bool> {
    let inside = bytes.trim_ascii_start().get(1..)?.trim_ascii_start();
    inside.first().map(|byte| b"{[]".contains(byte))
}

fn line_ends(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// The part of a source that is in memory.
pub(super) struct Window {
    pub(super) source: Source,
    /// The last block that was read ahead.
    pub(super) ready: Option<Ready>,
    pub(super) data: Vec<u8>,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) at_end: bool,
    /// How many bytes of `data` have had their line ends counted, and how many those and all before were.
    counted: Cell<(usize, u64)>,
}

/// Where a window's bytes come from.
pub(super) enum Source {
    Here(Bytes),
    Ahead(Ahead),
}

/// A block whose bytes are in the window.
pub(super) struct Ready {
    pub(super) block: Block,
    /// Where they begin there.
    pub(super) base: usize,
    /// The first run that has not been passed.
    pub(super) next: usize,
}

impl Window {
    pub(super) fn new(source: Bytes) -> Window {
        Window {
            source: Source::Here(source),
            ready: None,
            data: Vec::new(),
            start: 0,
            end: 0,
            at_end: false,
            counted: Cell::new((0, 0)),
        }
    }

    pub(super) fn unread(&self) -> &[u8] {
        &self.data[self.start..self.end]
    }

    pub(super) fn take(&mut self, length: usize) {
        self.start += length;
        debug_assert!(self.start <= self.end, "no more is taken than is there");
    }

    pub(super) fn origin<'a>(&'a self, file: &'a str, offset: usize) -> Origin<'a> {
        Origin {
            file,
            before: &self.data[..self.start + offset],
            counted: Some(&self.counted),
            line: 0,
        }
    }

    /// Reads on, once.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        let (bytes, lines) = self.counted.get();
        let counted = bytes.max(self.start);
        let lines = lines + line_ends(&self.data[bytes..counted]);
        self.data.copy_within(self.start..self.end, 0);
        self.counted.set((counted - self.start, lines));
        (self.start, self.end) = (0, self.end - self.start);
        if self.data.len() < self.end + READ_BYTES {
            self.data.resize(self.end + READ_BYTES, 0);
        }
        let read = match &mut self.source {
            Source::Here(source) => loop {
                match source.read(&mut self.data[self.end..]) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    other => break other?,
                }
            },
            Source::Ahead(ahead) => {
                if let Some(ready) = self.ready.take() {
                    ahead.recycle(ready.block);
                }
                let block = ahead.next()?;
                let bytes = block.bytes();
                let read = bytes.len();
                self.data[self.end..self.end + read].copy_from_slice(bytes);
                self.ready = Some(Ready {
                    block,
                    base: self.end,
                    next: 0,
                });
                read
            }
        };
        self.end += read;
        self.at_end = read == 0;
        Ok(())
    }

    /// From here on, `threads` threads read and decode ahead.
    pub(super) fn read_ahead(&mut self, decoder: &Arc<Decoder>, threads: usize) -> io::Result<()> {
        let nothing: Bytes = Box::new(io::empty());
        let fresh_line = self.data[..self.end]
            .last()
            .is_none_or(|&last| last == b'\n');
        if let Source::Here(source) = &mut self.source
            && !self.at_end
        {
            let source = std::mem::replace(source, nothing);
            self.source = Source::Ahead(Ahead::start(source, decoder, threads, fresh_line)?);
        }
        Ok(())
    }

    /// Which run of lines that were decoded ahead is next here, if one is.
    pub(super) fn run_here(&mut self) -> Option<usize> {
        let ready = self.ready.as_mut()?;
        let runs = &ready.block.lines().runs;
        loop {
            let start = ready.base + runs.get(ready.next)?.place.start;
            let between = match start.checked_sub(self.start) {
                Some(length) => &self.data[self.start..self.start + length],
                None => {
                    ready.next += 1;
                    continue;
                }
            };
            return between.iter().all(separates).then_some(ready.next);
        }
    }

    /// The next lines, so many at the most: fewer only at the source's end, or where they are very long.
    pub(super) fn lines(&mut self, most: usize) -> io::Result<&[u8]> {
        loop {
            let last = memchr::memchr_iter(b'\n', self.unread()).nth(most - 1);
            match last {
                Some(at) => return Ok(&self.unread()[..at]),
                None if self.at_end || self.unread().len() > SAMPLE_BYTES_MAX => {
                    return Ok(self.unread());
                }
                None => self.fill()?,
            }
        }
    }

    /// Whether the bracket that comes next opens an array of JSON objects, or one without elements.
    pub(super) fn is_array(&mut self) -> io::Result<bool> {
        loop {
            match opens_array(self.unread()) {
                Some(is_array) => return Ok(is_array),
                None if self.at_end => return Ok(true),
                None => self.fill()?,
            }
        }
    }

    /// The first byte that is not blank, a byte order mark left out; `None` if there is none.
    pub(super) fn first_byte(&mut self) -> io::Result<Option<u8>> {
        loop {
            if self.unread().starts_with(BOM) {
                self.take(BOM.len());
            }
            let unread = self.unread();
            let blank = unread.len() - unread.trim_ascii_start().len();
            // Blanks on the first line that has more than blanks may be empty cells.
            let lines = memchr::memrchr(b'\n', &unread[..blank]).map_or(0, |at| at + 1);
            self.take(lines);
            let is_partial_bom = BOM.starts_with(self.unread());
            match self.unread().trim_ascii_start().first() {
                Some(byte) if !is_partial_bom => return Ok(Some(*byte)),
                first if self.at_end => return Ok(first.copied()),
                _ => self.fill()?,
            }
        }
    }
}
