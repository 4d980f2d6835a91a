//! Snapshots in a directory: one file each, zstd-compressed, under a folder a task.
//!
//! Layout: `<root>/<task, / as %2F>/<lineage, 16 hex digits>-<offset>.snapshot`. A file is written under another name, synced and renamed, so
//! that it is whole or absent; the zstd frame carries a checksum, so that a damaged one is seen. Fit for a shared file system: equal
//! names mean equal bytes.

use super::{Content, SnapshotKey, SnapshotStore, StoreError, compress, decompress, newest_first};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SUFFIX: &str = ".snapshot";
const DRAFT: &str = ".draft-";
const DRAFT_AGE_MAX: Duration = Duration::from_secs(86_400);

/// A store in a directory.
#[derive(Clone, Debug)]
pub struct DirectoryStore {
    root: PathBuf,
}

impl DirectoryStore {
    /// The store in `root`, which is created when it does not exist.
    pub fn open(root: impl Into<PathBuf>) -> Result<DirectoryStore, StoreError> {
        let root = root.into();
        fs::create_dir_all(&root).map_err(|error| at(&root, &error))?;
        Ok(DirectoryStore { root })
    }

    fn folder(&self, task: &str) -> PathBuf {
        // Job ids and topic names hold letters, digits, '.', '_' and '-' only.
        self.root.join(task.replace('/', "%2F"))
    }

    fn path(&self, key: &SnapshotKey) -> PathBuf {
        self.folder(&key.task).join(file_name(key))
    }
}

/// A file to write `path` aside, which nobody else writes: two instances may write one name at a time, and in containers their processes have one number.
fn draft_of(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut number = 0u32;
    loop {
        let name = format!("{}{}-{number}", &DRAFT[1..], std::process::id());
        let draft = path.with_extension(name);
        match File::create_new(&draft) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            made => return Ok((draft, made?)),
        }
    }
}

/// Removes what processes that were killed had begun to write: nobody writes on one for a day.
fn clear_drafts(folder: &Path) {
    let is_left = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let age = entry.metadata().and_then(|metadata| metadata.modified());
        let age = age.map(|written| written.elapsed().unwrap_or_default());
        name.to_string_lossy().contains(DRAFT) && age.is_ok_and(|age| age > DRAFT_AGE_MAX)
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(is_left) {
        let _ = fs::remove_file(entry.path());
    }
}

fn at(path: &Path, error: &io::Error) -> StoreError {
    StoreError {
        place: path.display().to_string(),
        cause: error.to_string(),
    }
}

/// The name of a snapshot among those of its task.
pub(super) fn file_name(key: &SnapshotKey) -> String {
    format!("{:016x}-{}{SUFFIX}", key.lineage, key.offset)
}

/// The reverse of it.
pub(super) fn parse(task: &str, file_name: &str) -> Option<SnapshotKey> {
    let (lineage, offset) = file_name.strip_suffix(SUFFIX)?.split_once('-')?;
    Some(SnapshotKey {
        task: task.to_owned(),
        lineage: u64::from_str_radix(lineage, 16).ok()?,
        offset: offset.parse().ok()?,
    })
}

impl SnapshotStore for DirectoryStore {
    fn put(&mut self, key: &SnapshotKey, content: &dyn Content) -> Result<u64, StoreError> {
        let folder = self.folder(&key.task);
        fs::create_dir_all(&folder).map_err(|error| at(&folder, &error))?;
        let path = self.path(key);
        clear_drafts(&folder);
        let (draft, file) = draft_of(&path).map_err(|error| at(&path, &error))?;
        let write = || -> io::Result<u64> {
            let file = compress(content, file)?;
            file.sync_all()?;
            let size = file.metadata()?.len();
            fs::rename(&draft, &path)?;
            File::open(&folder)?.sync_all()?;
            Ok(size)
        };
        write().map_err(|error| {
            // On a full disk it would stand in the way of the next one.
            let _ = fs::remove_file(&draft);
            at(&path, &error)
        })
    }

    fn list(&mut self, task: &str) -> Result<Vec<SnapshotKey>, StoreError> {
        let folder = self.folder(task);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(at(&folder, &error)),
        };
        let mut keys = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| at(&folder, &error))?;
            keys.extend(
                entry
                    .file_name()
                    .to_str()
                    .and_then(|name| parse(task, name)),
            );
        }
        Ok(newest_first(keys))
    }

    fn get(&mut self, key: &SnapshotKey) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(key);
        match fs::read(&path) {
            Ok(bytes) => Ok(decompress(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&path, &error)),
        }
    }

    fn delete(&mut self, key: &SnapshotKey) -> Result<(), StoreError> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&path, &error)),
            _ => Ok(()),
        }
    }
}
