//! Secrets: values that come from files, are read again when the files change, and are shown nowhere.
//!
//! Whoever mounts secrets (Kubernetes, an agent of a vault) rotates them by replacing the file, or the symbolic link that leads to it; so a
//! file is opened by its path each time, and never held. The end of line that editors leave is no part of a secret.
//! Holds: no `Debug` or `Display` of these types shows a value, and an error names the file only. Checked by: the tests of the parent module and
//! tests/kafka/security.rs, which searches everything that a service says.

use std::fmt;
use std::path::{Path, PathBuf};

/// A value that is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The value itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile(PathBuf);

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// There is nothing in it.
    #[error("{} is empty; a secret on one line would be right", path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
    },
}

impl SecretFile {
    /// The file at `path`; it need not be there yet.
    pub fn at(path: impl Into<PathBuf>) -> SecretFile {
        SecretFile(path.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What is in it now.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let path = || self.0.clone();
        let text = std::fs::read_to_string(&self.0).map_err(|error| SecretError::Unreadable {
            path: path(),
            error,
        })?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(SecretError::Empty { path: path() }),
            secret => Ok(Secret(secret.into())),
        }
    }
}
