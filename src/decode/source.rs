//! Files and pipes as plain bytes: opened, counted, decompressed.
//!
//! gzip (several members too) and zstd (several frames too) are known by their first bytes, not by the file's name. Nothing waits
//! for a full buffer: what a pipe has, it delivers.

use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// What others begin with, which is not read here, what it is, and what makes something of it that is.
const OTHERS: [(&[u8], &str); 7] = [
    (
        b"PK\x03\x04",
        "is a zip archive, which is not read here (unzip -p FILE | tidewatch ... -)",
    ),
    (
        b"\xfd7zXZ",
        "is compressed by xz, which is not read here (xz -dc FILE | tidewatch ... -)",
    ),
    (
        b"\x04\x22\x4d\x18",
        "is compressed by lz4, which is not read here (lz4 -dc FILE | tidewatch ... -)",
    ),
    (
        b"PAR1\x15",
        "is Parquet, which is not read here (duckdb -json -c \"FROM 'FILE'\" makes JSON of it)",
    ),
    (
        b"Obj\x01",
        "is Avro, which is not read here (avro-tools tojson FILE makes JSON of it)",
    ),
    (UTF_16[0], LIKE_UTF_16),
    (UTF_16[1], LIKE_UTF_16),
];
/// bzip2, which says in its fourth byte how large its blocks are, 1 to 9, and in its fifth that one follows, or that there is none.
const BZIP2: &[u8] = b"BZh";
const LIKE_BZIP2: &str =
    "is compressed by bzip2, which is not read here (bzip2 -dc FILE | tidewatch ... -)";
const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];
const LIKE_UTF_16: &str =
    "looks like UTF-16, which is not read here (iconv -f UTF-16 -t UTF-8 makes UTF-8 of it)";

/// Bytes that come when they come.
pub(super) type Bytes = Box<dyn Read + Send>;

/// The bytes of a file, or of standard input when `path` is `-`; `read` counts what is taken from it, before decompression.
pub(super) fn open(path: &Path, read: &Arc<AtomicU64>) -> io::Result<Bytes> {
    let inner: Bytes = match path.as_os_str() == "-" {
        true => Box::new(io::stdin()),
        false => Box::new(std::fs::File::open(path)?),
    };
    plain(Box::new(Counted {
        inner,
        read: read.clone(),
    }))
}

/// The bytes themselves, or what they are a compressed form of.
pub(super) fn plain(mut inner: Bytes) -> io::Result<Bytes> {
    let mut head = [0; 5];
    let mut length = 0;
    let known = || [GZIP, ZSTD].into_iter().chain(OTHERS.map(|other| other.0));
    let could_be =
        |head: &[u8]| could_be_bzip2(head) || known().any(|magic| magic.starts_with(head));
    while length < head.len() && could_be(&head[..length]) {
        match inner.read(&mut head[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let head = &head[..length];
    let other = OTHERS
        .into_iter()
        .find_map(|(magic, what)| head.starts_with(magic).then_some(what));
    let bzip2 = (head.len() == 5 && could_be_bzip2(head)).then_some(LIKE_BZIP2);
    if let Some(what) = other.or(bzip2) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let whole = Cursor::new(head.to_vec()).chain(inner);
    Ok(if head.starts_with(GZIP) {
        Box::new(Gzip::new(whole))
    } else if head.starts_with(ZSTD) {
        Box::new(zstd::stream::read::Decoder::new(whole)?)
    } else {
        Box::new(whole)
    })
}

/// Whether these are the first bytes of bzip2, as far as they go.
fn could_be_bzip2(head: &[u8]) -> bool {
    let fits = |(at, byte): (usize, &u8)| match at {
        0..3 => BZIP2[at] == *byte,
        3 => (b'1'..=b'9').contains(byte),
        4 => [b'1', 0x17].contains(byte),
        _ => true,
    };
    head.iter().enumerate().all(fits)
}

/// The members of a gzip file, one after another; zeros between and after them, with which tapes and block devices fill up, are
/// passed over, as `gzip` does.
struct Gzip<R> {
    /// `None` at the end.
    member: Option<GzDecoder<BufReader<R>>>,
}

impl<R: Read> Gzip<R> {
    fn new(whole: R) -> Gzip<R> {
        Gzip {
            member: Some(GzDecoder::new(BufReader::new(whole))),
        }
    }

    /// What follows the member that has ended.
    fn next_member(mut rest: BufReader<R>) -> io::Result<Option<GzDecoder<BufReader<R>>>> {
        loop {
            let bytes = match rest.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            let Some(&first) = bytes.first() else {
                return Ok(None);
            };
            match first {
                0 => {
                    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
                    rest.consume(zeros);
                }
                first if first == GZIP[0] => return Ok(Some(GzDecoder::new(rest))),
                _ => {
                    let why = "the gzip data end, and what follows is not gzip";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
            }
        }
    }
}

impl<R: Read> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let ended = self.member.take().expect("it has just been read");
            self.member = Gzip::next_member(ended.into_inner())?;
        }
        Ok(0)
    }
}

struct Counted {
    inner: Bytes,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.fetch_add(count as u64, Relaxed);
        Ok(count)
    }
}
