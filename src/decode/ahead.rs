//! Lines decoded ahead of their turn, on other threads.
//!
//! ```text
//! source ──blocks, in turn──► decoding threads ──in any order──► put in order ──► the reader
//!   ▲                                                                               │
//!   └───────────────────────────── emptied buffers ◄────────────────────────────────┘
//! ```
//!
//! A block is what one read gave, cut anywhere. What a thread decodes of it are lines that are one object each, for of those no more need
//! be known than that the reader stands at their beginning, between documents. All else (what is broken, cut by the block, spread over
//! lines) the reader decodes itself when its turn comes, as it does without threads. So what is read, and in which order, does
//! not depend on how many threads there are, nor on where blocks are cut; and a pipe's bytes are decoded when they come.
//!
//! Memory: so many blocks as there are buffers. Threads end when the source does, when the reader is dropped, or with the process (one that waits for a
//! silent pipe cannot be woken). Checked: tests/decode/threads.rs.

use super::Decoder;
use super::json::{self, Extracted};
use super::orders::Orders;
use super::source::Bytes;
use crate::engine::event::{Reason, Value};
use crate::time::EventTime;
use memchr::memchr;
use self_cell::self_cell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// How much is asked of a source at once, bytes.
const BLOCK_BYTES: usize = 256 << 10;

self_cell! {
    /// A block with what was decoded of it; empty at the source's end.
    pub(super) struct Block {
        owner: Buffer,
        #[covariant]
        dependent: Lines,
    }
}

/// The bytes that one read gave.
pub(super) struct Buffer {
    data: Vec<u8>,
    length: usize,
}

/// What was decoded of a block.
#[derive(Default)]
pub(super) struct Lines<'b> {
    /// In order, apart.
    pub(super) runs: Vec<Run>,
    items: Vec<Line>,
    /// So many an item as the decoder has slots.
    values: Vec<Value<'b>>,
}

/// Lines one after another, each decoded.
pub(super) struct Run {
    /// From the beginning of a line to the beginning of one.
    pub(super) place: Range<usize>,
    items: Range<usize>,
}

/// One line that is an object.
pub(super) struct Line {
    /// Where the object stands in the block.
    pub(super) place: Range<usize>,
    pub(super) time: Result<EventTime, (Reason, String)>,
    /// Fields but for the time.
    pub(super) fields: u32,
}

impl Block {
    /// The bytes that were read.
    pub(super) fn bytes(&self) -> &[u8] {
        let buffer = self.borrow_owner();
        &buffer.data[..buffer.length]
    }

    pub(super) fn lines(&self) -> &Lines<'_> {
        self.borrow_dependent()
    }
}

impl Lines<'_> {
    /// The lines of a run, each with its values by slot.
    pub(super) fn of(&self, run: &Run) -> impl Iterator<Item = (&Line, &[Value<'_>])> {
        let slots = self.values.len() / self.items.len().max(1);
        let values = self.values.chunks_exact(slots.max(1));
        let items = self.items.iter().zip(values);
        items.skip(run.items.start).take(run.items.len())
    }
}

/// Whether a byte between documents means nothing.
pub(super) fn separates(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',')
}

impl Decoder {
    /// Decodes the whole lines of `block` that begin at `start` or later and are one object each.
    fn lines<'b>(&self, block: &'b [u8], start: usize) -> Lines<'b> {
        let (mut lines, mut orders) = (Lines::default(), Orders::new(&self.paths));
        let (mut run, mut at) = (start, start);
        let mut first = 0;
        while let Some(length) = memchr(b'\n', &block[at..]) {
            let end = at + length;
            let known = self.line(block, at..end, &mut orders, &mut lines);
            if !known {
                lines.close(run..at, first);
                (run, first) = (end + 1, lines.items.len());
            }
            at = end + 1;
        }
        lines.close(run..at, first);
        lines
    }

    /// Decodes the line at `place`; `false` if it is anything but one object or blank.
    fn line<'b>(
        &self,
        block: &'b [u8],
        place: Range<usize>,
        orders: &mut Orders,
        lines: &mut Lines<'b>,
    ) -> bool {
        let line = &block[place.clone()];
        let Some(blank) = line.iter().position(|byte| !separates(byte)) else {
            return true;
        };
        let (at, line) = (place.start + blank, &line[blank..]);
        if line[0] != b'{' || line.len() > self.bytes_max {
            return false;
        }
        let Ok(text) = std::str::from_utf8(line) else {
            return false;
        };
        let before = lines.values.len();
        lines
            .values
            .resize(before + self.values.len(), Value::Missing);
        let values = &mut lines.values[before..];
        match json::extract(&self.paths, orders, self.time_slot, text, values) {
            Ok(extracted) if line[extracted.end..].iter().all(separates) => {
                lines
                    .items
                    .push(self.told(&lines.values[before..], &extracted, at));
                true
            }
            _ => {
                lines.values.truncate(before);
                false
            }
        }
    }

    fn told(&self, values: &[Value<'_>], extracted: &Extracted, at: usize) -> Line {
        Line {
            place: at..at + extracted.end,
            time: self.time_of(values, extracted, None),
            fields: self.fields_of(values, extracted),
        }
    }
}

impl Lines<'_> {
    fn close(&mut self, place: Range<usize>, first: usize) {
        if self.items.len() > first {
            let items = first..self.items.len();
            self.runs.push(Run { place, items });
        }
    }
}

/// A source that other threads read and decode.
pub(super) struct Ahead {
    blocks: Receiver<(u64, io::Result<Block>)>,
    buffers: Sender<Buffer>,
    /// Blocks whose turn has not come.
    early: BTreeMap<u64, io::Result<Block>>,
    next: u64,
}

/// What the decoding threads take turns at.
struct Source {
    bytes: Bytes,
    buffers: Receiver<Buffer>,
    next: u64,
    /// Whether the next block begins where a line does.
    fresh_line: bool,
    is_over: bool,
}

impl Ahead {
    /// Starts `threads` threads, at least one, on a source; `fresh_line` says whether its next byte begins a line.
    pub(super) fn start(
        bytes: Bytes,
        decoder: &Arc<Decoder>,
        threads: usize,
        fresh_line: bool,
    ) -> io::Result<Ahead> {
        let (buffers, emptied) = channel();
        let (sender, blocks) = channel();
        for _ in 0..2 * threads + 1 {
            let buffer = Buffer {
                data: Vec::new(),
                length: 0,
            };
            buffers.send(buffer).expect("its receiver is at hand");
        }
        let source = Arc::new(Mutex::new(Source {
            bytes,
            buffers: emptied,
            next: 0,
            fresh_line,
            is_over: false,
        }));
        for number in 0..threads.max(1) {
            let (source, decoder, sender) =
                (Arc::clone(&source), Arc::clone(decoder), sender.clone());
            let started = thread::Builder::new()
                .name(format!("decode-{number}"))
                .spawn(move || work(&source, &decoder, &sender));
            // One that has started is enough.
            if let Err(error) = started
                && number == 0
            {
                return Err(error);
            }
        }
        Ok(Ahead {
            blocks,
            buffers,
            early: BTreeMap::new(),
            next: 0,
        })
    }

    /// The next block, in the source's order.
    pub(super) fn next(&mut self) -> io::Result<Block> {
        loop {
            if let Some(block) = self.early.remove(&self.next) {
                self.next += 1;
                return block;
            }
            let (number, block) = self
                .blocks
                .recv()
                .map_err(|_| io::Error::other("the source had ended"))?;
            self.early.insert(number, block);
        }
    }

    /// Gives a block's memory back for another one.
    pub(super) fn recycle(&self, block: Block) {
        // Where nobody reads any more, nobody needs it.
        let _ = self.buffers.send(block.into_owner());
    }
}

/// A decoding thread's life.
fn work(source: &Mutex<Source>, decoder: &Decoder, blocks: &Sender<(u64, io::Result<Block>)>) {
    loop {
        let turn = source.lock().unwrap_or_else(PoisonError::into_inner).read();
        let Some((number, read)) = turn else { return };
        let block = read.and_then(|(buffer, fresh_line)| decoded(decoder, buffer, fresh_line));
        if blocks.send((number, block)).is_err() {
            return;
        }
    }
}

fn decoded(decoder: &Decoder, buffer: Buffer, fresh_line: bool) -> io::Result<Block> {
    let decode = || {
        Block::new(buffer, |buffer| {
            let bytes = &buffer.data[..buffer.length];
            let start = match fresh_line {
                true => 0,
                false => memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1),
            };
            decoder.lines(bytes, start)
        })
    };
    // A panic is a bug; the reader must hear of it and not wait for the block for ever.
    panic::catch_unwind(AssertUnwindSafe(decode))
        .map_err(|_| io::Error::other("a decoding thread panicked"))
}

impl Source {
    /// Reads the next block: its number, its bytes, and whether it begins a line. `None`: there are no more, or nobody wants them.
    fn read(&mut self) -> Option<(u64, io::Result<(Buffer, bool)>)> {
        if self.is_over {
            return None;
        }
        let mut buffer = self.buffers.recv().ok()?;
        buffer.data.resize(BLOCK_BYTES, 0);
        let read = loop {
            match self.bytes.read(&mut buffer.data) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let number = self.next;
        self.next += 1;
        let length = match read {
            Ok(length) => length,
            Err(error) => {
                self.is_over = true;
                return Some((number, Err(error)));
            }
        };
        self.is_over = length == 0;
        buffer.length = length;
        let fresh_line = self.fresh_line;
        if let Some(last) = buffer.data[..length].last() {
            self.fresh_line = *last == b'\n';
        }
        Some((number, Ok((buffer, fresh_line))))
    }
}
