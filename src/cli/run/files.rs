//! The job files of a running service: looked at in their rhythm, and told of.
//!
//! A bad file keeps its job from starting, not the others. Checked by: tests/kafka, tests/cli.rs.

use crate::config::service::Service as Configuration;
use crate::runtime::observer::{Fact, Observer};
use crate::runtime::supervisor::{Patience, Roster, Watch};
use crate::runtime::telemetry::Telemetry;
use std::time::{Duration, Instant};

/// The job files, and what they say that can be accepted.
pub(super) struct Files {
    watch: Watch,
    pub(super) roster: Roster,
    /// Not told yet.
    refusals: Vec<String>,
    interval: Duration,
    next_look: Instant,
}

#[allow(clippy::disallowed_methods, reason = "looks at files have a rhythm")]
impl Files {
    /// The first look. Every mistake in all files, when none of them is good.
    pub(super) fn open(configuration: &Configuration) -> anyhow::Result<Files> {
        let interval = configuration.timing.job_files_interval;
        let mut files = Files {
            watch: Watch::new(configuration.jobs.clone()),
            roster: Roster::default(),
            refusals: Vec::new(),
            interval,
            next_look: Instant::now(),
        };
        files.look(true);
        let any = !files.roster.jobs().is_empty();
        anyhow::ensure!(
            any || files.refusals.is_empty(),
            "{}",
            files.refusals.join("\n")
        );
        if !any {
            tracing::warn!("no job file yet");
        }
        Ok(files)
    }

    /// Looks, if it is time or somebody asks. Whether anything has changed.
    pub(super) fn look(&mut self, now: bool) -> bool {
        if !now && Instant::now() < self.next_look {
            return false;
        }
        self.next_look = Instant::now() + self.interval;
        let patience = match now {
            true => Patience::Urgent,
            false => Patience::Patient,
        };
        let Some(look) = self.watch.look(patience) else {
            return false;
        };
        for error in &look.unlisted {
            tracing::error!(error, "job files cannot be listed; their jobs go on");
        }
        let before = self.roster.jobs();
        self.refusals = self.roster.review(&look);
        for (id, job) in self.roster.jobs() {
            let is_new = before
                .get(&id)
                .is_none_or(|one| one.document != job.document);
            let warnings = job.warnings.iter().filter(|_| is_new);
            warnings.for_each(|warning| tracing::warn!(job_id = id, "{warning}"));
        }
        true
    }

    pub(super) fn tell(&mut self, telemetry: &Telemetry) {
        let refusals = std::mem::take(&mut self.refusals);
        let fact = Fact::JobFiles {
            refusals: &refusals,
            refused: self.roster.refused(),
        };
        telemetry.observe("", &fact);
    }
}
