//! Messages in pieces: brokers refuse what is longer than their limit, and a bucket may hold a million series.
//!
//! A piece says which one it is and whether it is the last. Those of one message are committed together and follow each other in their partition, between
//! other speakers' words; so a receiver's state may be that of the middle of a message, and what has come of it is part of that state.
//! Holds: any way of cutting gives the same message; what is whole is never held up by what is not; what cannot become whole is said to be damaged, once.

use super::{InputId, StageMessage, WIRE_VERSION, WireError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::mem;

/// The forms of a piece: one that others follow, and the last.
const PIECE: u8 = 2;
const LAST_PIECE: u8 = 3;
/// Version, form, and the number of the piece.
const HEAD_BYTES: usize = 6;
/// What takes more than this is no message of ours.
const WHOLE_BYTES_MAX: usize = 1 << 30;

/// A message's bytes as messages of at most `bytes_max` (and room for one byte of content): itself, where it is no longer.
pub fn pieces(bytes: Vec<u8>, bytes_max: usize) -> Vec<Vec<u8>> {
    if bytes.len() <= bytes_max {
        return vec![bytes];
    }
    let chunks = bytes.chunks(bytes_max.saturating_sub(HEAD_BYTES).max(1));
    let last = chunks.len() - 1;
    let piece = |(number, chunk): (usize, &[u8])| {
        let form = if number == last { LAST_PIECE } else { PIECE };
        let number = u32::try_from(number).expect("a message of fewer than 2^32 bytes");
        let mut piece = Vec::with_capacity(HEAD_BYTES + chunk.len());
        piece.extend([WIRE_VERSION, form]);
        piece.extend(number.to_le_bytes());
        piece.extend(chunk);
        piece
    };
    chunks.enumerate().map(piece).collect()
}

/// What has come of messages that are not whole yet, by speaker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pieces(BTreeMap<InputId, Begun>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Begun {
    /// The number of the next piece.
    next: u32,
    bytes: Vec<u8>,
}

/// What follows from the bytes of one message of the log.
#[derive(Debug, PartialEq)]
pub struct Heard {
    /// The message that they are, or complete.
    pub message: Option<StageMessage>,
    /// Why they are none, or why what had come before them is none.
    pub error: Option<WireError>,
}

impl From<Result<StageMessage, WireError>> for Heard {
    fn from(outcome: Result<StageMessage, WireError>) -> Heard {
        let (message, error) = match outcome {
            Ok(message) => (Some(message), None),
            Err(error) => (None, Some(error)),
        };
        Heard { message, error }
    }
}

impl Pieces {
    /// Takes the next bytes that `from` has written. Of a later build's nothing is taken.
    pub fn take(&mut self, from: &InputId, bytes: &[u8]) -> Heard {
        let &[
            WIRE_VERSION,
            form @ (PIECE | LAST_PIECE),
            a,
            b,
            c,
            d,
            ref content @ ..,
        ] = bytes
        else {
            let heard = Heard::from(StageMessage::decode(bytes));
            return match heard.error {
                Some(WireError::Newer { .. }) => heard,
                _ => Heard {
                    error: heard.error.or(self.drop(from)),
                    ..heard
                },
            };
        };
        let number = u32::from_le_bytes([a, b, c, d]);
        // The first piece begins anew, whatever came before.
        let dropped = if number == 0 { self.drop(from) } else { None };
        let begun = self.0.entry(from.clone()).or_insert(Begun {
            next: 0,
            bytes: Vec::new(),
        });
        if number != begun.next || begun.bytes.len() + content.len() > WHOLE_BYTES_MAX {
            self.0.remove(from);
            return Heard::from(Err(torn(number)));
        }
        begun.next += 1;
        begun.bytes.extend_from_slice(content);
        if form == PIECE {
            return Heard {
                message: None,
                error: dropped,
            };
        }
        let whole = mem::take(&mut begun.bytes);
        self.0.remove(from);
        let heard = Heard::from(StageMessage::decode(&whole));
        Heard {
            error: heard.error.or(dropped),
            ..heard
        }
    }

    /// Gives up what has come of a message that was not whole.
    fn drop(&mut self, from: &InputId) -> Option<WireError> {
        self.0.remove(from).map(|begun| torn(begun.next))
    }
}

fn torn(number: u32) -> WireError {
    WireError::Damaged(format!(
        "a message of several pieces breaks off at piece {number}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::BucketStart;
    use proptest::prelude::*;

    fn speaker(name: &str) -> InputId {
        InputId(name.to_owned())
    }

    fn word(start: i64) -> StageMessage {
        StageMessage::Watermark(BucketStart(start))
    }

    fn cut(message: &StageMessage) -> Vec<Vec<u8>> {
        pieces(message.encode(), HEAD_BYTES + 1)
    }

    fn nothing() -> Heard {
        Heard {
            message: None,
            error: None,
        }
    }

    #[test]
    fn what_breaks_off_is_damaged_once_and_holds_up_nothing() {
        let (a, b, words) = (speaker("a"), speaker("b"), cut(&word(1 << 40)));
        assert!(words.len() > 4, "{}", words.len());
        let mut held = Pieces::default();
        assert_eq!(held.take(&a, &words[0]), nothing());
        assert_eq!(held.take(&a, &words[1]), nothing());
        // Another speaker's word, whole, and another's first piece.
        assert_eq!(held.take(&b, &word(7).encode()), Heard::from(Ok(word(7))));
        assert_eq!(held.take(&b, &words[0]), nothing());
        // A word that is whole: it is heard, and what was begun is lost.
        let heard = held.take(&a, &word(8).encode());
        assert_eq!((heard.message, heard.error), (Some(word(8)), Some(torn(2))));
        // What follows of it belongs to nothing.
        assert_eq!(held.take(&a, &words[2]), Heard::from(Err(torn(2))));
        // A beginning anew; the other speaker's has stayed.
        assert_eq!(held.take(&a, &words[0]), nothing());
        assert_eq!(held.take(&a, &words[0]).error, Some(torn(1)));
        for piece in &words[1..words.len() - 1] {
            assert_eq!(held.take(&b, piece), nothing());
        }
        let last = &words[words.len() - 1];
        assert_eq!(held.take(&b, last), Heard::from(Ok(word(1 << 40))));
        assert_eq!(held.take(&a, &words[2]), Heard::from(Err(torn(2))));
        assert_eq!(held, Pieces::default());
    }

    #[test]
    fn of_a_later_build_nothing_is_taken() {
        let (a, words) = (speaker("a"), cut(&word(1 << 40)));
        let mut held = Pieces::default();
        assert_eq!(held.take(&a, &words[0]), nothing());
        let before = held.clone();
        let heard = held.take(&a, &[WIRE_VERSION + 1, 9, 9]);
        assert!(
            matches!(heard.error, Some(WireError::Newer { .. })),
            "{heard:?}"
        );
        assert_eq!(held, before);
    }

    proptest! {
        #[test]
        fn cutting_does_not_show(bytes_max in 0usize..40, starts in prop::collection::vec(any::<i64>(), 1..4), restarts in any::<bool>()) {
            let (from, mut held) = (speaker("a"), Pieces::default());
            for start in starts {
                let cut = pieces(word(start).encode(), bytes_max);
                prop_assert!(cut.iter().all(|piece| piece.len() <= bytes_max.max(HEAD_BYTES + 1)));
                for (at, piece) in cut.iter().enumerate() {
                    let heard = held.take(&from, piece);
                    prop_assert_eq!(heard.error, None);
                    prop_assert_eq!(heard.message, (at + 1 == cut.len()).then(|| word(start)));
                    if restarts {
                        let state = postcard::to_stdvec(&held).unwrap();
                        held = postcard::from_bytes(&state).unwrap();
                    }
                }
            }
        }

        #[test]
        fn any_bytes_leave_a_speaker_able_to_speak(all in prop::collection::vec((0u8..5, 0u32..3, prop::collection::vec(any::<u8>(), 0..9)), 0..20)) {
            let (from, mut held) = (speaker("a"), Pieces::default());
            for (form, number, content) in all {
                let head = [&[WIRE_VERSION, form], &number.to_le_bytes()[..]].concat();
                held.take(&from, &[&head[..], &content[..]].concat());
            }
            let heard = held.take(&from, &word(9).encode());
            prop_assert_eq!(heard.message, Some(word(9)));
        }
    }
}
