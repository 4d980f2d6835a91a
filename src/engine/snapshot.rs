//! The state of a door as bytes: versioned, checksummed, and equal when the states are equal.
//!
//! Layout: magic `TWSN`, format version (u16 LE), door (u8), job fingerprint (u64 LE), body length (u64 LE), body, origin (u128 LE, or nothing: which
//! topic the state was read from is its holder's to say), CRC-32 (u32 LE) of all before it. The body is postcard: no maps in hash order, no padding, so equal states give equal bytes. A fused door's body is
//! what is its own, then the snapshots of its parts, each as a byte string.
//!
//! Versions: whatever a later format changes, it begins with the magic and its number and ends with the checksum over all before, so that every build
//! can tell a newer snapshot from a damaged one. An older one is read by what [`open`] knows of its version, or is [`RestoreError::Older`]: then the
//! task replays the log from where it began, to the same state. `tests/formats/` has a snapshot of every version that was ever written.
//!
//! A door that is to go on meanwhile is frozen first ([`Frozen`]), and written later.

mod frozen;

pub use frozen::Frozen;

use serde::Deserialize;

const MAGIC: &[u8; 4] = b"TWSN";
/// Bytes before the body.
pub(crate) const HEADER_BYTES: usize = 4 + 2 + 1 + 8 + 8;
const ORIGIN_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 4;
/// Raised whenever the body of any door changes shape.
const VERSION: u16 = 5;

/// The format that this build writes, and reads at the most.
pub(crate) const FORMAT: u16 = VERSION;

/// The format of a snapshot that begins with these bytes; `None` when it is no snapshot's beginning.
pub(crate) fn format_of(header: &[u8]) -> Option<u16> {
    let rest = header.strip_prefix(MAGIC)?;
    Some(u16::from_le_bytes([*rest.first()?, *rest.get(1)?]))
}

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
    /// What projects events.
    Projector = 6,
    /// The three fused, behind projectors.
    Ordered = 7,
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
    /// Written by a build whose format this one has given up.
    #[error(
        "snapshot format {found}, which this build reads no more (it reads {VERSION}); what it holds is learnt again from the log"
    )]
    Older {
        /// The version found.
        found: u16,
    },
    /// Written by a later build.
    #[error("snapshot format {found}, and this build reads {VERSION} at the most")]
    Newer {
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

    /// Where the state came from, as whoever froze it said; `None` of what this build does not read.
    pub fn origin(&self) -> Option<u128> {
        let (_, origin) = split(whole(&self.0).ok()?)?;
        Some(u128::from_le_bytes(origin.try_into().ok()?))
    }
}

/// The body, and what follows it.
fn split(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = content.get(HEADER_BYTES - 8..HEADER_BYTES)?;
    let length = u64::from_le_bytes(length.try_into().ok()?);
    let rest = &content[HEADER_BYTES..];
    rest.split_at_checked(usize::try_from(length).ok()?)
}

/// All of a whole snapshot but its checksum.
fn whole(bytes: &[u8]) -> Result<&[u8], RestoreError> {
    if bytes.len() < HEADER_BYTES + CHECKSUM_BYTES || &bytes[..4] != MAGIC {
        return Err(RestoreError::Damaged("no header"));
    }
    let (content, checksum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
    if checksum != crc32fast::hash(content).to_le_bytes() {
        return Err(RestoreError::Damaged("the checksum does not match"));
    }
    let version = u16::from_le_bytes([bytes[4], bytes[5]]);
    // A format whose body changes gets its reader here, beside the version that it reads.
    match version {
        VERSION => Ok(content),
        found if found > VERSION => Err(RestoreError::Newer { found }),
        found => Err(RestoreError::Older { found }),
    }
}

/// The body of a snapshot, where it is one of `door` and of the job with this fingerprint.
pub(super) fn open<'b, T: Deserialize<'b>>(
    bytes: &'b [u8],
    door: Door,
    fingerprint: u64,
) -> Result<T, RestoreError> {
    let content = whole(bytes)?;
    if bytes[6] != door as u8 {
        return Err(RestoreError::Door {
            found: bytes[6],
            expected: door as u8,
        });
    }
    if bytes[7..15] != fingerprint.to_le_bytes() {
        return Err(RestoreError::Job);
    }
    let Some((body, [])) = split(content).map(|(body, rest)| match rest.len() {
        ORIGIN_BYTES => (body, &[][..]),
        _ => (body, rest),
    }) else {
        return Err(RestoreError::Damaged("its length is not what it says"));
    };
    postcard::from_bytes(body).map_err(|_| RestoreError::Damaged("the body does not read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a build with another format would have sealed it.
    fn of_version(version: u16) -> Vec<u8> {
        let mut bytes = Frozen::new(Door::Judge, 7, (1u8, "state")).seal().0;
        bytes[4..6].copy_from_slice(&version.to_le_bytes());
        let end = bytes.len() - CHECKSUM_BYTES;
        let checksum = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    #[test]
    fn older_newer_and_damaged_are_told_apart() {
        let read = |bytes: &[u8]| open::<(u8, String)>(bytes, Door::Judge, 7);
        assert!(read(&of_version(VERSION)).is_ok());
        let found = VERSION + 1;
        assert_eq!(read(&of_version(found)), Err(RestoreError::Newer { found }));
        assert_eq!(read(&of_version(1)), Err(RestoreError::Older { found: 1 }));
        let mut damaged = of_version(VERSION);
        damaged[4] += 1;
        assert!(matches!(read(&damaged), Err(RestoreError::Damaged(_))));
    }

    #[test]
    fn a_snapshot_opens_whether_or_not_it_says_where_it_is_from() {
        let frozen = || Frozen::new(Door::Judge, 7, (1u8, "state"));
        let state = Ok((1u8, "state".to_owned()));
        let sealed = frozen().seal();
        assert_eq!(sealed.origin(), None);
        assert_eq!(open(sealed.as_bytes(), Door::Judge, 7), state);
        let origin = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;
        let frozen = frozen().from(Some(origin));
        let sealed = frozen.seal();
        assert_eq!(sealed.as_bytes().len() as u64, frozen.bytes());
        assert_eq!(sealed.origin(), Some(origin));
        assert_eq!(open(sealed.as_bytes(), Door::Judge, 7), state);
        for end in 0..sealed.as_bytes().len() {
            let cut = Snapshot::from_bytes(sealed.as_bytes()[..end].to_vec());
            assert_eq!(cut.origin(), None, "the first {end} bytes");
        }
    }

    #[test]
    fn what_was_sealed_opens_and_nothing_else_does() {
        let sealed = Frozen::new(Door::Judge, 7, (1u8, "state")).seal();
        assert_eq!(
            open::<(u8, String)>(sealed.as_bytes(), Door::Judge, 7).unwrap(),
            (1, "state".to_owned())
        );
        assert_eq!(
            open::<(u8, String)>(sealed.as_bytes(), Door::Judge, 8),
            Err(RestoreError::Job)
        );
        assert!(matches!(
            open::<(u8, String)>(sealed.as_bytes(), Door::Rollup, 7),
            Err(RestoreError::Door { .. })
        ));
        for at in 0..sealed.as_bytes().len() {
            let mut bytes = sealed.as_bytes().to_vec();
            bytes[at] ^= 1;
            assert!(
                open::<(u8, String)>(&bytes, Door::Judge, 7).is_err(),
                "byte {at} flipped"
            );
            assert!(open::<(u8, String)>(&sealed.as_bytes()[..at], Door::Judge, 7).is_err());
        }
    }
}
