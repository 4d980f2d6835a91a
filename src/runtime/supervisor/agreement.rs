//! Which of the jobs in the files are wanted, and in which life: files and agreement brought together.
//!
//! A job waits until it is agreed which life of it this is; meanwhile what runs of it goes on. Whoever changes a job (its file, here) claims a life for it; an instance whose file
//! has not changed yet does not answer back, but goes on in its own until it follows. Holds: a job whose life is the agreed one under its own
//! configuration is wanted in that one, on every instance.

use super::control::{Agreed, Life};
use crate::config::Job;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A job that is to be at work.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// As its file says.
    pub job: Arc<Job>,
    /// In which of its lives.
    pub life: u64,
}

impl Assignment {
    /// Whether somebody at work on the one need not be told of the other: a document tells everything that can be said of a job.
    pub(super) fn is_same(&self, other: &Assignment) -> bool {
        self.life == other.life && self.job.document == other.job.document
    }
}

/// The jobs that are to be at work, by id.
pub type Wanted = BTreeMap<String, Assignment>;

/// What is wanted, as far as it is known.
#[derive(Debug, Default)]
pub struct Agreement {
    wanted: Wanted,
    /// Lives that this instance has found or claimed for its configurations.
    own: BTreeMap<String, Life>,
    /// Jobs that have no life yet under their configuration: to be claimed.
    claims: BTreeMap<String, u64>,
}

impl Agreement {
    /// Brings what files say and what is agreed together.
    pub fn update(&mut self, jobs: &BTreeMap<String, Arc<Job>>, agreed: &Agreed) {
        self.own.retain(|id, _| jobs.contains_key(id));
        let mut wanted = Wanted::new();
        self.claims.clear();
        for (id, job) in jobs {
            if agreed.wishes.contains_key(id) {
                continue;
            }
            let fits = |life: &&Life| life.fingerprint == job.fingerprint;
            let current = agreed.lives.get(id).filter(fits);
            let Some(life) = current.or_else(|| self.own.get(id).filter(fits)).copied() else {
                self.claims.insert(id.clone(), job.fingerprint);
                if let Some(running) = self.wanted.get(id) {
                    wanted.insert(id.clone(), running.clone());
                }
                continue;
            };
            self.own.insert(id.clone(), life);
            let assignment = Assignment {
                job: Arc::clone(job),
                life: life.life,
            };
            wanted.insert(id.clone(), assignment);
        }
        self.wanted = wanted;
    }

    /// The jobs that are to be at work.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// What this instance has to claim, by job: a fingerprint.
    pub fn claims(&self) -> &BTreeMap<String, u64> {
        &self.claims
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::supervisor::control::{Want, Wish};

    fn files(span: &str) -> BTreeMap<String, Arc<Job>> {
        let text = format!(
            "job_id: web\nanalysis_config: {{bucket_span: {span}, detectors: [{{function: count}}]}}\ndata_description: {{}}\n"
        );
        let job = Job::from_text(&text, "test").unwrap();
        BTreeMap::from([("web".to_owned(), Arc::new(job))])
    }

    fn lives(of: &BTreeMap<String, Arc<Job>>, life: u64) -> Agreed {
        let fingerprint = of["web"].fingerprint;
        let mut agreed = Agreed::default();
        let current = Life { fingerprint, life };
        agreed.lives.insert("web".to_owned(), current);
        agreed
    }

    fn life(agreement: &Agreement) -> Option<(i64, u64)> {
        let web = agreement.wanted().get("web")?;
        Some((web.job.bucket_span.seconds(), web.life))
    }

    #[test]
    fn a_changed_job_claims_a_life_and_what_runs_goes_on_until_it_has_one() {
        let (one, two) = (files("1m"), files("2m"));
        let mut agreement = Agreement::default();
        agreement.update(&one, &Agreed::default());
        assert_eq!(life(&agreement), None);
        assert_eq!(agreement.claims()["web"], one["web"].fingerprint);
        agreement.update(&one, &lives(&one, 0));
        assert_eq!(life(&agreement), Some((60, 0)));
        assert!(agreement.claims().is_empty());
        agreement.update(&two, &lives(&one, 0));
        assert_eq!(life(&agreement), Some((60, 0)), "as it was");
        assert_eq!(agreement.claims()["web"], two["web"].fingerprint);
        agreement.update(&two, &lives(&two, 1));
        assert_eq!(life(&agreement), Some((120, 1)));
        agreement.update(&one, &lives(&two, 1));
        assert_eq!(life(&agreement), Some((120, 1)));
        agreement.update(&one, &lives(&one, 2));
        assert_eq!(
            life(&agreement),
            Some((60, 2)),
            "changed back, not gone back"
        );
    }

    #[test]
    fn an_instance_that_has_not_heard_of_a_change_does_not_answer_back() {
        let (old, new) = (files("1m"), files("2m"));
        let mut agreement = Agreement::default();
        agreement.update(&old, &lives(&old, 4));
        agreement.update(&old, &lives(&new, 5));
        assert_eq!(life(&agreement), Some((60, 4)));
        assert!(agreement.claims().is_empty());
        // Somebody claims its own configuration anew: all who have it follow.
        agreement.update(&old, &lives(&old, 6));
        assert_eq!(life(&agreement), Some((60, 6)));
    }

    #[test]
    fn a_job_that_is_to_stand_still_is_not_wanted() {
        let jobs = files("1m");
        let mut agreed = lives(&jobs, 0);
        let mut agreement = Agreement::default();
        agreement.update(&jobs, &agreed);
        let wish = Wish {
            wish: Want::Stopped,
            since: 0,
            by: String::new(),
        };
        agreed.wishes.insert("web".to_owned(), wish);
        agreement.update(&jobs, &agreed);
        assert_eq!(life(&agreement), None);
        assert!(agreement.claims().is_empty());
    }
}
