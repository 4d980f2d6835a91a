//! A door's state at one moment, not yet in bytes.
//!
//! Taken in a moment, for it shares with the door what is large and copied only when it changes; written whenever and wherever its holder likes,
//! block by block, so that the bytes need never be in memory all at once. Holds: however late it is written, the bytes are those of
//! the moment.

use super::{CHECKSUM_BYTES, Door, HEADER_BYTES, MAGIC, ORIGIN_BYTES, Snapshot, VERSION};
use postcard::ser_flavors::Flavor;
use serde::Serialize;
use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;

/// What is written piece by piece leaves in blocks of so many bytes.
const BLOCK_BYTES: usize = 64 << 10;
const WRITABLE: &str = "states hold nothing that postcard cannot write";

/// A door's state at one moment.
pub struct Frozen {
    door: Door,
    fingerprint: u64,
    body: Box<dyn Body>,
    /// Counting the body's bytes is half the work of writing them, and each door around this one asks for them too: counted once.
    body_bytes: OnceLock<u64>,
    origin: Option<u128>,
}

impl fmt::Debug for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frozen({:?})", self.door)
    }
}

impl Frozen {
    pub(crate) fn new<T>(door: Door, fingerprint: u64, state: T) -> Frozen
    where
        T: Serialize + Send + Sync + 'static,
    {
        Frozen::with_body(door, fingerprint, Box::new(Plain(state)))
    }

    /// Of a state that shares something with its door, until `unshare`d.
    pub(crate) fn sharing<T>(door: Door, fingerprint: u64, state: T, unshare: fn(&mut T)) -> Frozen
    where
        T: Serialize + Send + Sync + 'static,
    {
        Frozen::with_body(door, fingerprint, Box::new(Sharing(Plain(state), unshare)))
    }

    /// Of a fused door: what is its own, then its parts.
    pub(crate) fn of_parts<T, const N: usize>(
        door: Door,
        fingerprint: u64,
        own: T,
        parts: [Frozen; N],
    ) -> Frozen
    where
        T: Serialize + Send + Sync + 'static,
    {
        Frozen::with_body(door, fingerprint, Box::new(Fused(Plain(own), parts)))
    }

    fn with_body(door: Door, fingerprint: u64, body: Box<dyn Body>) -> Frozen {
        Frozen {
            door,
            fingerprint,
            body,
            body_bytes: OnceLock::new(),
            origin: None,
        }
    }

    /// Copies what the door still shares, from the end on: a door that goes on at full speed copies from the beginning on what it changes, and is held up
    /// by that. The two may work at the same time.
    pub fn unshare(&mut self) {
        self.body.unshare();
    }

    fn body_bytes(&self) -> u64 {
        *self.body_bytes.get_or_init(|| self.body.bytes())
    }

    /// The same, of a state that comes from there: see [`Snapshot::origin`].
    pub(crate) fn from(self, origin: Option<u128>) -> Frozen {
        Frozen { origin, ..self }
    }

    /// Bytes of the snapshot.
    pub fn bytes(&self) -> u64 {
        let origin = self.origin.map_or(0, |_| ORIGIN_BYTES);
        (HEADER_BYTES + origin + CHECKSUM_BYTES) as u64 + self.body_bytes()
    }

    /// The snapshot, all of it in memory.
    pub fn seal(&self) -> Snapshot {
        let mut bytes = Vec::with_capacity(self.bytes() as usize);
        self.write_to(&mut bytes)
            .expect("memory takes what is written");
        Snapshot::from_bytes(bytes)
    }

    /// Writes the snapshot.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut out = Summed {
            out,
            sum: crc32fast::Hasher::new(),
        };
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        out.write_all(&[self.door as u8])?;
        out.write_all(&self.fingerprint.to_le_bytes())?;
        out.write_all(&self.body_bytes().to_le_bytes())?;
        self.body.write(&mut out)?;
        if let Some(origin) = self.origin {
            out.write_all(&origin.to_le_bytes())?;
        }
        let checksum = out.sum.finalize();
        out.out.write_all(&checksum.to_le_bytes())
    }
}

/// What can be written as the body of a snapshot.
trait Body: Send + Sync {
    fn bytes(&self) -> u64;
    fn write(&self, out: &mut dyn Write) -> io::Result<()>;
    /// See [`Frozen::unshare`].
    fn unshare(&mut self) {}
}

struct Plain<T>(T);

impl<T: Serialize + Send + Sync> Body for Plain<T> {
    fn bytes(&self) -> u64 {
        postcard::experimental::serialized_size(&self.0).expect(WRITABLE) as u64
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut failed = None;
        let blocks = Blocks {
            out,
            block: Vec::with_capacity(BLOCK_BYTES),
            failed: &mut failed,
        };
        match (postcard::serialize_with_flavor(&self.0, blocks), failed) {
            (_, Some(error)) => Err(error),
            (written, None) => {
                written.expect(WRITABLE);
                Ok(())
            }
        }
    }
}

/// A state, and how it comes to share nothing.
struct Sharing<T>(Plain<T>, fn(&mut T));

impl<T: Serialize + Send + Sync> Body for Sharing<T> {
    fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.0.write(out)
    }

    fn unshare(&mut self) {
        (self.1)(&mut self.0.0);
    }
}

struct Fused<T, const N: usize>(Plain<T>, [Frozen; N]);

impl<T: Serialize + Send + Sync, const N: usize> Body for Fused<T, N> {
    fn bytes(&self) -> u64 {
        let parts = self.1.iter().map(Frozen::bytes);
        self.0.bytes() + parts.map(|bytes| Plain(bytes).bytes() + bytes).sum::<u64>()
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.0.write(out)?;
        for part in &self.1 {
            Plain(part.bytes()).write(out)?; // as postcard begins a byte string
            part.write_to(out)?;
        }
        Ok(())
    }

    fn unshare(&mut self) {
        self.1.iter_mut().for_each(Frozen::unshare);
    }
}

/// Passes on what is written, and sums it.
struct Summed<'o> {
    out: &'o mut dyn Write,
    sum: crc32fast::Hasher,
}

impl Write for Summed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.out.write(bytes)?;
        self.sum.update(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Where postcard's small pieces become blocks; keeps the error that postcard cannot pass on.
struct Blocks<'o> {
    out: &'o mut dyn Write,
    block: Vec<u8>,
    failed: &'o mut Option<io::Error>,
}

impl Blocks<'_> {
    fn pass_on(&mut self) -> postcard::Result<()> {
        let written = self.out.write_all(&self.block);
        self.block.clear();
        written.map_err(|error| {
            *self.failed = Some(error);
            postcard::Error::SerializeBufferFull
        })
    }
}

impl Flavor for Blocks<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if self.block.len() + bytes.len() > BLOCK_BYTES {
            self.pass_on()?;
        }
        self.block.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(mut self) -> postcard::Result<()> {
        self.pass_on()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// A disk of so many bytes.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            Ok(taken)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_disk_that_is_full_at_any_byte_is_told_as_it_told_it() {
        let text = |letter: &str| letter.repeat(100_000);
        let part = |letter| Frozen::new(Door::Judge, 7, text(letter));
        let frozen = Frozen::of_parts(Door::Keyed, 7, 3u8, [part("a"), part("b")]);
        assert_eq!(frozen.seal().as_bytes().len() as u64, frozen.bytes());
        for room in (0..frozen.bytes() as usize).step_by(5_003) {
            let error = frozen.write_to(&mut Full(room)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull, "room for {room}");
        }
    }

    #[test]
    fn a_part_of_a_fused_door_comes_to_share_nothing_and_keeps_its_bytes() {
        let held = Arc::new(vec![1u8, 2, 3]);
        let part = Frozen::sharing(Door::Judge, 7, Arc::clone(&held), |held| {
            Arc::make_mut(held);
        });
        let other = Frozen::new(Door::Gatherer, 7, 5u8);
        let mut frozen = Frozen::of_parts(Door::Keyed, 7, 3u8, [other, part]);
        let before = frozen.seal();
        assert_eq!(Arc::strong_count(&held), 2);
        frozen.unshare();
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(frozen.seal(), before);
    }
}
