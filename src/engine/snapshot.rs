//! The state of a door as bytes: versioned, checksummed, and equal when the states are equal.
//!
//! Layout: magic `TWSN`, format version (u16 LE), door (u8), job fingerprint (u64 LE), body length (u64 LE), body, CRC-32 (u32 LE) of
//! all before it. The body is postcard: no maps in hash order, no padding, so equal states give equal bytes.

use serde::Serialize;
use serde::de::DeserializeOwned;

const MAGIC: &[u8; 4] = b"TWSN";
const HEADER_BYTES: usize = 4 + 2 + 1 + 8 + 8;
/// Raised whenever the body of any door changes shape.
const VERSION: u16 = 5;

/// Whose state a snapshot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Door {
    /// A gatherer.
    Gatherer = 1,
    /// A judge.
    Judge = 2,
    /// A rollup.
    Rollup = 3,
    /// The three fused.
    Pipeline = 4,
    /// Gatherer and judge fused.
    Keyed = 5,
}

/// A door's state as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(Vec<u8>);

/// Why a snapshot was not restored.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RestoreError {
    /// Cut off, overwritten, or never a snapshot.
    #[error("not a whole snapshot: {0}")]
    Damaged(&'static str),
    /// Written by another version of the format.
    #[error(
        "snapshot format {found}, this build reads {VERSION}; start the job from history, or use the build that wrote it"
    )]
    Version {
        /// The version found.
        found: u16,
    },
    /// Of another door.
    #[error("the snapshot is of another stage (kind {found}, expected {expected})")]
    Door {
        /// The kind found.
        found: u8,
        /// The kind expected.
        expected: u8,
    },
    /// Of another job, or of the same job before its analysis was changed.
    #[error(
        "the snapshot belongs to another configuration of the job; reset the job, or remove the state, to start anew"
    )]
    Job,
}

impl Snapshot {
    /// Bytes from a store; checked when restored.
    pub fn from_bytes(bytes: Vec<u8>) -> Snapshot {
        Snapshot(bytes)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn seal<T: Serialize>(door: Door, fingerprint: u64, body: &T) -> Snapshot {
        let body =
            postcard::to_stdvec(body).expect("states hold nothing that postcard cannot write");
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len() + 4);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.push(door as u8);
        bytes.extend_from_slice(&fingerprint.to_le_bytes());
        bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&body);
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        Snapshot(bytes)
    }

    pub(crate) fn open<T: DeserializeOwned>(
        &self,
        door: Door,
        fingerprint: u64,
    ) -> Result<T, RestoreError> {
        let bytes = &self.0;
        if bytes.len() < HEADER_BYTES + 4 || &bytes[..4] != MAGIC {
            return Err(RestoreError::Damaged("no header"));
        }
        let (content, checksum) = bytes.split_at(bytes.len() - 4);
        if checksum != crc32fast::hash(content).to_le_bytes() {
            return Err(RestoreError::Damaged("the checksum does not match"));
        }
        let version = u16::from_le_bytes([bytes[4], bytes[5]]);
        if version != VERSION {
            return Err(RestoreError::Version { found: version });
        }
        if bytes[6] != door as u8 {
            return Err(RestoreError::Door {
                found: bytes[6],
                expected: door as u8,
            });
        }
        if bytes[7..15] != fingerprint.to_le_bytes() {
            return Err(RestoreError::Job);
        }
        postcard::from_bytes(&content[HEADER_BYTES..])
            .map_err(|_| RestoreError::Damaged("the body does not read"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_and_nothing_else_does() {
        let sealed = Snapshot::seal(Door::Judge, 7, &(1u8, "state"));
        assert_eq!(
            sealed.open::<(u8, String)>(Door::Judge, 7).unwrap(),
            (1, "state".to_owned())
        );
        assert_eq!(
            sealed.open::<(u8, String)>(Door::Judge, 8),
            Err(RestoreError::Job)
        );
        assert!(matches!(
            sealed.open::<(u8, String)>(Door::Rollup, 7),
            Err(RestoreError::Door { .. })
        ));
        for at in 0..sealed.as_bytes().len() {
            let mut bytes = sealed.as_bytes().to_vec();
            bytes[at] ^= 1;
            assert!(
                Snapshot::from_bytes(bytes)
                    .open::<(u8, String)>(Door::Judge, 7)
                    .is_err(),
                "byte {at} flipped"
            );
            assert!(
                Snapshot::from_bytes(sealed.as_bytes()[..at].to_vec())
                    .open::<(u8, String)>(Door::Judge, 7)
                    .is_err()
            );
        }
    }
}
