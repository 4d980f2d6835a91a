//! What a tracker has to know to go on, as bytes: versioned, checksummed, equal when the states are equal.
//!
//! Layout: magic `TWAL`, format version (u16 LE), body (postcard), CRC-32 (u32 LE) of all before it. It holds the incidents that go on, so it is small:
//! some hundred bytes each.

use super::incident::Incident;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a state begins with.
pub(crate) const MAGIC: &[u8; 4] = b"TWAL";
/// Raised whenever the body changes shape.
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 6;
const CHECKSUM_BYTES: usize = 4;

/// Why a state was not restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Cut off, overwritten, or never a state.
    #[error("not a whole state of alerts: {0}")]
    Damaged(&'static str),
    /// Written by another version of the format.
    #[error("format {found} of the state of alerts, this build reads {VERSION}")]
    Version {
        /// The version found.
        found: u16,
    },
}

/// Everything that a tracker knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// Start of the last final bucket heard, milliseconds since the epoch.
    pub(super) heard_ms: Option<i64>,
    /// What goes on, by id.
    pub(super) open: BTreeMap<String, Incident>,
    /// Starts of the buckets of recent announcements, oldest first: what the rate limit counts.
    pub(super) announced_ms: Vec<i64>,
}

impl State {
    pub(super) fn seal(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend(
            postcard::to_stdvec(self).expect("a state holds nothing that postcard cannot write"),
        );
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(super) fn open(bytes: &[u8]) -> Result<State, StateError> {
        if bytes.len() < HEADER_BYTES + CHECKSUM_BYTES || &bytes[..4] != MAGIC {
            return Err(StateError::Damaged("no header"));
        }
        let (content, checksum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
        if checksum != crc32fast::hash(content).to_le_bytes() {
            return Err(StateError::Damaged("the checksum does not match"));
        }
        let found = u16::from_le_bytes([bytes[4], bytes[5]]);
        if found != VERSION {
            return Err(StateError::Version { found });
        }
        postcard::from_bytes(&content[HEADER_BYTES..])
            .map_err(|_| StateError::Damaged("the body does not read"))
    }
}
