//! How much memory a model may still take while it learns.
//!
//! A series starts small and grows when its data give it something to remember: each part asks before it takes memory, and does without where the
//! answer is no. It then knows less (no season, fewer peaks), but goes on learning. Holds: what was granted is never more than there was;
//! a model whose room is empty holds no more bytes after learning than before (tests/contract).

/// Bytes left, and whether something was refused.
#[derive(Clone, Debug)]
pub struct Room {
    left: u64,
    refused: bool,
}

impl Room {
    /// So many bytes.
    pub fn of(bytes: u64) -> Room {
        Room {
            left: bytes,
            refused: false,
        }
    }

    /// As much as anybody asks for.
    pub fn unlimited() -> Room {
        Room::of(u64::MAX)
    }

    /// Takes `bytes`, if there are so many.
    #[must_use]
    pub fn grant(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes as u64) {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                self.refused = true;
                false
            }
        }
    }

    /// Bytes left.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Whether any request was refused.
    pub fn has_refused(&self) -> bool {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_granted_is_never_more_than_there_was() {
        let mut room = Room::of(100);
        assert!(room.grant(60) && !room.has_refused());
        assert!(!room.grant(41) && room.has_refused());
        assert!(room.grant(40), "a refusal takes nothing");
    }
}
