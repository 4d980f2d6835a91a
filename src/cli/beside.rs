//! What stands beside a job on the command line: the files of filters that its rules speak of, and of calendars.
//!
//! The service has the same under `filters`, `calendars` and `calendar_time_zone` in its configuration.

use crate::config::service::SharedSources;
use crate::config::{Job, Shared};
use chrono_tz::Tz;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where it is.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Beside {
    /// Filters that rules speak of: a file, a directory, or a pattern. Can be said several times.
    #[arg(long, value_name = "PATH")]
    filters: Vec<PathBuf>,
    /// Calendars of known events: iCalendar (.ics), YAML or JSON; a file, a directory, or a pattern. Can be said several times.
    #[arg(long, value_name = "PATH")]
    calendars: Vec<PathBuf>,
    /// The time zone of all-day events, and of times whose zone a calendar does not name [default: UTC].
    #[arg(long, value_name = "ZONE", value_parser = Shared::zone)]
    calendar_time_zone: Option<Tz>,
}

impl Beside {
    /// What the files hold; every mistake in them at once.
    pub(super) fn read(&self) -> anyhow::Result<Shared> {
        let sources = SharedSources {
            filters: self.filters.clone(),
            calendars: self.calendars.clone(),
            time_zone: self.calendar_time_zone,
        };
        sources
            .read()
            .map_err(|mistakes| anyhow::anyhow!(mistakes.join("\n")))
    }

    /// What the files hold, and the job that it stands beside. Says on stderr which calendars are not the job's: they were named for it, and do nothing.
    pub(super) fn job(&self, job: &Path, datafeed: Option<&Path>) -> anyhow::Result<Job> {
        let shared = self.read()?;
        let job = Job::from_files_beside(job, datafeed, &shared)?;
        for id in shared.calendars_of_others(&job.id, &job.groups) {
            eprintln!(
                "tidewatch: calendar \"{id}\" is for other jobs: its job_ids have neither \"{}\" nor one of its groups",
                job.id
            );
        }
        Ok(job)
    }

    /// The same for another call of this program.
    pub(super) fn as_arguments(&self) -> Vec<OsString> {
        let filters = self.filters.iter().map(|path| ("--filters", path.into()));
        let calendars = self.calendars.iter();
        let calendars = calendars.map(|path| ("--calendars", path.into()));
        let zone = self.calendar_time_zone.iter();
        let zone = zone.map(|zone| ("--calendar-time-zone", zone.name().into()));
        let all = filters.chain(calendars).chain(zone);
        all.flat_map(|(option, value): (&str, OsString)| [option.into(), value])
            .collect()
    }
}
