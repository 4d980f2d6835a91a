//! In what order the keys of an object come, so that the next one is compared rather than read and looked up.
//!
//! Whoever writes events writes the keys of an object in the same order every time, some of them not always. Of the object at each node of the
//! [`Paths`] the keys are listed that have come more than once, in that order, each with where it leads. Where a key should begin, the bytes there (`"key":`)
//! are compared with the two that are expected next. Any other key is read and looked up, and the list is gone on with behind it.
//!
//! Holds: where a key leads is a function of the key alone, so what is decoded never depends on what is listed (tests/decode/properties.rs).
//! Memory is bounded, [`KEYS_MAX`] keys a node. Where most keys are unexpected, because they are others or in another order every time, the node forgets its list
//! and rests for a while.

use super::paths::{NodeId, Paths};
use xxhash_rust::xxh3::xxh3_64;

/// Keys of an object that are remembered.
const KEYS_MAX: usize = 64;
/// Bytes of a longer key, with quotes and colon, are not.
const KEY_BYTES_MAX: usize = 96;
/// Bytes that are compared at once.
const HEAD_BYTES: usize = 16;
/// Places for hashes of keys that came once.
const PLACES: usize = KEYS_MAX;
/// So many objects one after another in which most keys are unexpected make a node rest...
const DOUBT_MAX: u32 = 16;
/// ...for so many.
const REST: u32 = 1024;

/// The lists of all nodes.
#[derive(Debug)]
pub(super) struct Orders(Box<[Order]>);

/// What is known of the object at a node.
#[derive(Debug, Default)]
struct Order {
    keys: Vec<Key>,
    /// By place, hashes of the two keys that came last and are not listed.
    once: Vec<[u64; 2]>,
    doubt: u32,
    rest: u32,
}

/// A key as it is written, with its quotes and its colon.
#[derive(Debug)]
struct Key {
    /// Its first bytes, and which bits of them count.
    head: [u64; 2],
    mask: [u64; 2],
    bytes: Box<[u8]>,
    lead: Lead,
}

/// Where a key leads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lead {
    /// To nothing that anybody names.
    Nowhere,
    /// To a value that is one slot's and nothing else, unless it is an object.
    Slot(u32, NodeId),
    /// To any other node.
    Node(NodeId),
}

/// What a key was found to be.
#[derive(Clone, Copy)]
pub(super) struct Found {
    /// Bytes up to and including the colon.
    pub(super) bytes: usize,
    pub(super) lead: Lead,
}

/// How far an object has been read.
#[derive(Clone, Copy)]
pub(super) struct Course {
    /// The place in the list that is next.
    next: usize,
    rests: bool,
    keys: u32,
    unexpected: u32,
}

impl Orders {
    /// Nothing met yet.
    pub(super) fn new(paths: &Paths) -> Orders {
        Orders((0..paths.len()).map(|_| Order::default()).collect())
    }

    /// Begins an object at `node`.
    #[inline(always)]
    pub(super) fn begin(&mut self, node: NodeId) -> Course {
        let order = &mut self.0[node.index()];
        let rests = order.rest > 0;
        order.rest = order.rest.saturating_sub(1);
        Course {
            next: 0,
            rests,
            keys: 0,
            unexpected: 0,
        }
    }

    /// What the key is that `rest` begins with, if it is one of the two expected next.
    #[inline(always)]
    pub(super) fn expected(&self, node: NodeId, course: &mut Course, rest: &[u8]) -> Option<Found> {
        course.keys += 1;
        if course.rests {
            return None;
        }
        let keys = &self.0[node.index()].keys;
        for (ahead, key) in keys.get(course.next..)?.iter().take(2).enumerate() {
            if key.begins(rest) {
                course.next += ahead + 1;
                return Some(Found {
                    bytes: key.bytes.len(),
                    lead: key.lead,
                });
            }
        }
        None
    }

    /// Takes note of a key that was not expected.
    pub(super) fn met(&mut self, node: NodeId, course: &mut Course, bytes: &[u8], lead: Lead) {
        course.unexpected += 1;
        if course.rests || bytes.len() > KEY_BYTES_MAX {
            return;
        }
        let order = &mut self.0[node.index()];
        if let Some(at) = order.place_of(bytes, lead, course.next) {
            course.next = at + 1;
        }
    }

    /// Ends an object.
    #[inline(always)]
    pub(super) fn end(&mut self, node: NodeId, course: Course) {
        if course.unexpected > 0 {
            self.doubt(node, course);
        }
    }

    fn doubt(&mut self, node: NodeId, course: Course) {
        let order = &mut self.0[node.index()];
        order.doubt = match 2 * course.unexpected > course.keys {
            _ if course.rests => 0,
            true => order.doubt + 1,
            false => 0,
        };
        if order.doubt > DOUBT_MAX {
            (order.doubt, order.rest) = (0, REST);
            order.keys.clear();
        }
    }
}

impl Order {
    /// Where a key is in the list. It is put there, at `next`, the second time that it comes, while there is room.
    fn place_of(&mut self, bytes: &[u8], lead: Lead, next: usize) -> Option<usize> {
        let new = Key::new(bytes, lead);
        let same = |key: &Key| key.head == new.head && *key.bytes == *bytes;
        if let Some(at) = self.keys.iter().position(same) {
            return Some(at);
        }
        if self.keys.len() == KEYS_MAX {
            return None;
        }
        let hash = xxh3_64(bytes);
        self.once.resize(PLACES, [0; 2]);
        let once = &mut self.once[hash as usize % PLACES];
        if !once.contains(&hash) {
            *once = [hash, once[0]];
            return None;
        }
        let at = next.min(self.keys.len());
        self.keys.insert(
            at,
            Key {
                bytes: bytes.into(),
                ..new
            },
        );
        Some(at)
    }
}

impl Key {
    /// The bytes are yet to be put in.
    fn new(bytes: &[u8], lead: Lead) -> Key {
        let (mut head, mut mask) = ([0; HEAD_BYTES], [0; HEAD_BYTES]);
        for (at, byte) in bytes.iter().take(HEAD_BYTES).enumerate() {
            (head[at], mask[at]) = (*byte, 0xff);
        }
        Key {
            head: words(&head),
            mask: words(&mask),
            bytes: Box::default(),
            lead,
        }
    }

    /// Whether `rest` begins with it.
    #[inline(always)]
    fn begins(&self, rest: &[u8]) -> bool {
        let Some(chunk) = rest.first_chunk() else {
            return rest.starts_with(&self.bytes);
        };
        let here = words(chunk);
        let [a, b] = [0, 1].map(|at| here[at] & self.mask[at] ^ self.head[at]);
        a | b == 0 && (self.bytes.len() <= HEAD_BYTES || rest.starts_with(&self.bytes))
    }
}

#[inline(always)]
fn words(bytes: &[u8; HEAD_BYTES]) -> [u64; 2] {
    let word = |at: usize| {
        let bytes = bytes[at..].first_chunk().expect("two words make a head");
        u64::from_le_bytes(*bytes)
    };
    [word(0), word(8)]
}
