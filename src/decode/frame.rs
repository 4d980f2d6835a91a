//! Where one JSON document ends and the next begins, in bytes that may be cut, broken or still arriving.
//!
//! The rules, for messages and files alike:
//! * documents are objects; blanks, commas and array brackets between them only separate them. So one object, several one after
//!   another, a line each, and an array of any size are the same thing, and none needs to be held whole;
//! * an object ends with its closing brace. It was cut off if a line ends inside a string (JSON has no such strings), or if a
//!   line begins with a `{` that stands in the first column or where no value can: that is the next event, whatever the state of the last
//!   one. So a broken line costs no other line. (The price: an object that spreads over lines must indent its inner objects.)
//! * anything else is refused up to the end of its line, in an array up to the next comma.
//!
//! Positions are offsets into the bytes given to the call. Memory: the caller holds one document, at most `bytes_max`.

use memchr::{memchr, memchr3};

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// `at..end` is the rest of a line and begins with an object. If that reads well, the frame is what has been read; if not, ask
    /// [`Framer::object`].
    Line { at: usize, end: usize },
    /// `at..end` is one object by its braces.
    Object { at: usize, end: usize },
    /// `at..end` is an object without its end.
    Cut { at: usize, end: usize },
    /// `at..end` is no object.
    Other { at: usize, end: usize },
    /// `at..end` is the beginning of something longer than is decoded.
    TooLong { at: usize, end: usize },
    /// What was too long goes on to `at`.
    Discarded { at: usize },
    /// The bytes before `at` are done with; the rest needs what follows it.
    More { at: usize },
    /// That was all; `unclosed` says that an array's end is missing.
    End { unclosed: bool },
}

/// What the framer is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between documents.
    Between,
    /// In an object whose end has not come yet.
    Inside,
    /// In an object that is too long.
    Discarding,
    /// In a line that is too long and no object.
    DiscardingLine,
    /// In an array's element that is too long and no object.
    DiscardingElement(Element),
}

/// The state between calls.
#[derive(Debug)]
pub(super) struct Framer {
    bytes_max: usize,
    state: State,
    /// Brackets that are open around the documents.
    arrays: u32,
    /// No document has begun on this line.
    fresh_line: bool,
    braces: Braces,
}

impl Framer {
    pub(super) fn new(bytes_max: usize) -> Framer {
        Framer {
            bytes_max,
            state: State::Between,
            arrays: 0,
            fresh_line: true,
            braces: Braces::default(),
        }
    }

    /// What comes next in `bytes`, which begin where the last frame ended; `at_end` says that none follow.
    pub(super) fn next(&mut self, bytes: &[u8], at_end: bool) -> Frame {
        match self.state {
            State::Between => {}
            State::Inside => return self.inside(bytes, 0, at_end),
            _ => return self.discard(bytes, at_end),
        }
        let mut at = 0;
        loop {
            match bytes.get(at) {
                None if at_end => return self.end(),
                None => return Frame::More { at },
                Some(b'\n') => self.fresh_line = true,
                Some(b' ' | b'\t' | b'\r' | b',') => {}
                Some(b'[') => self.arrays = self.arrays.saturating_add(1),
                Some(b']') if self.arrays > 0 => self.arrays -= 1,
                Some(b'{') => return self.begin(bytes, at, at_end),
                Some(_) => return self.other(bytes, at, at_end),
            }
            at += 1;
        }
    }

    /// Whether more of what was too long is to come.
    pub(super) fn is_discarding(&self) -> bool {
        !matches!(self.state, State::Between | State::Inside)
    }

    /// Whether what follows is read as if nothing had been before it, but for brackets.
    pub(super) fn is_between(&self) -> bool {
        self.state == State::Between
    }

    /// Whole documents and the end of their line have been passed over.
    pub(super) fn begin_line(&mut self) {
        self.fresh_line = true;
    }

    /// The object at `at` by its braces, after the line that begins with it did not read well.
    pub(super) fn object(&mut self, bytes: &[u8], at: usize, at_end: bool) -> Frame {
        self.braces = Braces::default();
        self.inside(bytes, at, at_end)
    }

    fn end(&mut self) -> Frame {
        Frame::End {
            unclosed: std::mem::take(&mut self.arrays) > 0,
        }
    }

    fn begin(&mut self, bytes: &[u8], at: usize, at_end: bool) -> Frame {
        if std::mem::take(&mut self.fresh_line) {
            let line = match memchr(b'\n', &bytes[at..]) {
                Some(length) => Some(at + length),
                None => at_end.then_some(bytes.len()),
            };
            if let Some(end) = line.filter(|end| end - at <= self.bytes_max) {
                return Frame::Line { at, end };
            }
        }
        self.object(bytes, at, at_end)
    }

    fn inside(&mut self, bytes: &[u8], at: usize, at_end: bool) -> Frame {
        let end = self.braces.advance(&bytes[at..]);
        self.state = State::Between;
        if end.length() > self.bytes_max {
            if let Bound::Unknown(length) = end {
                self.state = State::Discarding;
                self.braces.forget(length - 1);
                return Frame::TooLong {
                    at,
                    end: at + length - 1,
                };
            }
            return Frame::TooLong {
                at,
                end: at + end.length(),
            };
        }
        match end {
            Bound::Closed(length) => Frame::Object {
                at,
                end: at + length,
            },
            Bound::Cut(length) => Frame::Cut {
                at,
                end: at + length,
            },
            Bound::Unknown(_) if at_end => Frame::Cut {
                at,
                end: bytes.len(),
            },
            Bound::Unknown(_) => {
                self.state = State::Inside;
                Frame::More { at }
            }
        }
    }

    /// Where the thing that is too long ends, or how much of it these bytes are.
    fn discard(&mut self, bytes: &[u8], at_end: bool) -> Frame {
        let resume = match &mut self.state {
            State::DiscardingLine => memchr(b'\n', bytes),
            State::DiscardingElement(element) => element.end(bytes),
            _ => match self.braces.advance(bytes) {
                Bound::Closed(length) | Bound::Cut(length) => Some(length),
                Bound::Unknown(_) => None,
            },
        };
        if let Some(at) = resume.or(at_end.then_some(bytes.len())) {
            self.state = State::Between;
            return Frame::Discarded { at };
        }
        // One byte stays, so that a brace still sees the line end before it.
        let at = match self.state {
            State::DiscardingLine | State::DiscardingElement(_) => bytes.len(),
            _ => self.braces.at.saturating_sub(1),
        };
        self.braces.forget(at);
        Frame::More { at }
    }

    /// Something at `at` that is no object.
    fn other(&mut self, bytes: &[u8], at: usize, at_end: bool) -> Frame {
        let rest = &bytes[at..];
        let mut element = Element::default();
        let length = match self.arrays {
            0 => memchr(b'\n', rest),
            _ => element.end(rest),
        };
        match length {
            Some(length) => {
                // At least one byte, or a stray bracket would be met again and again.
                let end = at + length.max(1);
                match length > self.bytes_max {
                    true => Frame::TooLong { at, end },
                    false => Frame::Other { at, end },
                }
            }
            None if rest.len() > self.bytes_max => {
                self.state = match self.arrays {
                    0 => State::DiscardingLine,
                    _ => State::DiscardingElement(element),
                };
                Frame::TooLong {
                    at,
                    end: bytes.len(),
                }
            }
            None if at_end => Frame::Other {
                at,
                end: bytes.len(),
            },
            None => Frame::More { at },
        }
    }
}

/// Looks for the end of an array's element that is no object: a comma or bracket outside of text, or the line's end; can stop at any
/// byte and go on when there are more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Element {
    in_text: bool,
    /// The last byte was a backslash in text.
    escaped: bool,
}

impl Element {
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        bytes.iter().position(|&byte| {
            match byte {
                b'\n' => return true,
                _ if std::mem::take(&mut self.escaped) => {}
                b',' | b']' if !self.in_text => return true,
                b'"' => self.in_text = !self.in_text,
                b'\\' => self.escaped = self.in_text,
                _ => {}
            }
            false
        })
    }
}

/// How far an object reaches, counted from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Closed(usize),
    Cut(usize),
    /// Not within the bytes that there are.
    Unknown(usize),
}

impl Bound {
    fn length(self) -> usize {
        let (Bound::Closed(length) | Bound::Cut(length) | Bound::Unknown(length)) = self;
        length
    }
}

/// Counts braces; can stop at any byte and go on when there are more.
#[derive(Debug, Default)]
struct Braces {
    at: usize,
    open: u32,
    in_text: bool,
    /// The last byte outside of text that was not blank (`"` after a text), and whether a line has ended since.
    last: u8,
    fresh_line: bool,
    /// A bit a container, 1 for an object, innermost lowest; `level` says how many are meant. Given up beyond 64.
    containers: u64,
    level: u32,
}

impl Braces {
    /// Looks at what is new in `bytes`, which begin with the object.
    fn advance(&mut self, bytes: &[u8]) -> Bound {
        while self.at < bytes.len() {
            if self.in_text {
                match self.text(bytes) {
                    Some(bound) => return bound,
                    None => continue,
                }
            }
            let byte = bytes[self.at];
            match byte {
                b'"' => self.in_text = true,
                b'{' | b'[' if self.is_next_event(bytes) => return Bound::Cut(self.at),
                b'{' => self.push(1),
                b'[' => self.push(0),
                b']' => self.pop_array(),
                b'}' if self.open <= 1 => return Bound::Closed(self.at + 1),
                b'}' => self.pop_object(),
                _ => {}
            }
            match byte {
                b'\n' => self.fresh_line = true,
                b' ' | b'\t' | b'\r' => {}
                _ => (self.last, self.fresh_line) = (byte, false),
            }
            self.at += 1;
        }
        Bound::Unknown(self.at)
    }

    /// To the end of the text, or of the bytes. `None`: go on.
    fn text(&mut self, bytes: &[u8]) -> Option<Bound> {
        let Some(length) = memchr3(b'"', b'\\', b'\n', &bytes[self.at..]) else {
            self.at = bytes.len();
            return None;
        };
        self.at += length;
        match bytes[self.at] {
            b'"' => self.in_text = false,
            b'\n' => return Some(Bound::Cut(self.at)),
            // What is escaped comes with it.
            _ if self.at + 1 == bytes.len() => return Some(Bound::Unknown(self.at)),
            _ if bytes[self.at + 1] == b'\n' => return Some(Bound::Cut(self.at + 1)),
            _ => self.at += 1,
        }
        self.at += 1;
        None
    }

    /// Whether the `{` or `[` here cannot belong to the object that is open.
    fn is_next_event(&self, bytes: &[u8]) -> bool {
        if self.open == 0 || !self.fresh_line {
            return false;
        }
        if bytes[self.at] == b'{' && self.at > 0 && bytes[self.at - 1] == b'\n' {
            return true;
        }
        match (self.last, self.level) {
            (b':', _) => false,
            (b'[' | b',', 65..) => false,
            (b'[' | b',', _) => self.containers & 1 == 1,
            _ => true,
        }
    }

    fn push(&mut self, bit: u64) {
        self.open += bit as u32;
        self.level = self.level.saturating_add(1);
        self.containers = self.containers << 1 | bit;
    }

    fn pop_array(&mut self) {
        if self.level <= 64 && self.containers & 1 == 0 {
            self.pop();
        }
    }

    fn pop_object(&mut self) {
        self.open -= 1;
        if self.level <= 64 {
            // Arrays that were left open inside it go with it.
            self.level = self.level.saturating_sub(self.containers.trailing_zeros());
            self.containers = self
                .containers
                .checked_shr(self.containers.trailing_zeros())
                .unwrap_or(0);
            self.pop();
        }
    }

    fn pop(&mut self) {
        self.containers >>= 1;
        self.level = self.level.saturating_sub(1);
    }

    /// The first `count` bytes are gone.
    fn forget(&mut self, count: usize) {
        self.at = self.at.saturating_sub(count);
    }
}
