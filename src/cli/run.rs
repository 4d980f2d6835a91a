//! `tidewatch run`: the service.

use std::path::Path;
use std::process::ExitCode;

/// Runs the service that `config` describes until it is told to stop.
pub fn run(config: &Path) -> anyhow::Result<ExitCode> {
    anyhow::bail!(
        "{}: the service is not part of this build",
        config.display()
    )
}
