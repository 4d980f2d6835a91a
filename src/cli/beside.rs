//! What stands beside a job on the command line: the files of filters that its rules speak of.
//!
//! The service has the same under `filters` in its configuration.

use crate::config::Shared;
use crate::config::service::SharedSources;
use std::path::PathBuf;

/// Where it is.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Beside {
    /// Filters that rules speak of: a file, a directory, or a pattern. Can be said several times.
    #[arg(long, value_name = "PATH")]
    filters: Vec<PathBuf>,
}

impl Beside {
    /// What the files hold; every mistake in them at once.
    pub(super) fn read(&self) -> anyhow::Result<Shared> {
        let sources = SharedSources {
            filters: self.filters.clone(),
        };
        sources
            .read()
            .map_err(|mistakes| anyhow::anyhow!(mistakes.join("\n")))
    }

    /// The same for another call of this program.
    pub(super) fn as_arguments(&self) -> Vec<std::ffi::OsString> {
        let filters = self.filters.iter();
        filters
            .flat_map(|path| ["--filters".into(), path.into()])
            .collect()
    }
}
