//! `tidewatch validate`: every mistake in job files at once.

use std::path::PathBuf;
use std::process::ExitCode;

/// Checks each file; 1 when any has a mistake.
pub fn run(jobs: &[PathBuf]) -> anyhow::Result<ExitCode> {
    anyhow::bail!(
        "cannot check {} job files: validation is not part of this build",
        jobs.len()
    )
}
