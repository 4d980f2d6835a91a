//! The state of alerts at a committed position: found first of all, since it may have to be waited for.

use super::Past;
use crate::runtime::alerts::{Desk, DeskPlace, Found};
use crate::runtime::log::Log;
use crate::runtime::observer::Fact;
use crate::runtime::service::{Service, ServiceError};

/// How long a version of the state of alerts is waited for that is not there yet: a transaction that holds readers up ends within its timeout of 15 s.
const ALERTS_PATIENCE_MS: i64 = 20_000;

/// The state of alerts, as far as it has been found.
pub(in crate::runtime::service) struct Search {
    since_ms: i64,
    found: Found,
}

impl<L: Log> Service<L> {
    /// The state of alerts at the committed position, of whoever writes the results. `None`: it is there, but not to be read yet, because another job's
    /// transaction is open before it; ask again.
    pub(super) fn find_alerts(&mut self, past: &Past) -> Result<Option<Found>, ServiceError> {
        if self.settings.alerts.is_none() || !past.kind.writes_results() {
            return Ok(Some(Found::default()));
        }
        let now_ms = self.clock.steady_ms();
        let at = past.at.clone();
        let search = self.searches.entry(at).or_insert_with(|| Search {
            since_ms: now_ms,
            found: Found::default(),
        });
        let (names, job_id) = (&self.plan.names, &self.plan.job.id);
        search.found.look(&mut self.log, names, job_id)?;
        let waited_ms = now_ms - search.since_ms;
        if search.found.version() >= past.alerts || waited_ms > ALERTS_PATIENCE_MS {
            let search = self.searches.remove(&past.at);
            return Ok(search.map(|search| search.found));
        }
        if waited_ms == 0 {
            let (at, version) = (&past.at, past.alerts);
            self.tell(&Fact::AlertStateAwaited { at, version });
        }
        Ok(None)
    }

    /// The desk of whoever writes the results, as it stood at the committed position.
    pub(super) fn open_desk(&mut self, past: &Past, found: Found) -> Option<Desk> {
        let settings = self.settings.alerts.as_ref();
        let settings = settings.filter(|_| past.kind.writes_results())?;
        let published = past.mark.as_ref().and_then(|mark| mark.final_until_ms);
        let heard = published.max(past.published);
        let (job, names) = (&self.plan.job, &self.plan.names);
        let at = DeskPlace {
            version: past.alerts,
            heard_until_ms: heard,
        };
        let (desk, error) = Desk::open(job, settings, names, found, at);
        if let Some(error) = error {
            self.tell(&Fact::AlertStateUnusable { error });
        }
        Some(desk)
    }
}
