//! Which jobs there are to be: what the job files say, as far as it can be accepted.
//!
//! A file that is bad (not a job, or a job that cannot stand beside the others) is refused, and the job that it described before goes on as it
//! was. Holds: no two jobs have one id; no job's group is another's id; of two that claim one name the one that has it keeps it,
//! otherwise the first. A job leaves the roster only when no file describes it any more. Checked by the tests below.

use crate::config::service::{Look, SharedFile};
use crate::config::{Job, Shared};
use crate::runtime::task::Plan;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The jobs of a set of files.
#[derive(Debug, Default)]
pub struct Roster {
    /// By file, in no other order than the look's.
    accepted: BTreeMap<PathBuf, Arc<Job>>,
    refused: BTreeMap<PathBuf, String>,
    /// What stands beside the jobs, as it was last accepted.
    shared: BTreeMap<PathBuf, SharedFile>,
}

impl Roster {
    /// Takes over what a look has found. Returns the refusals that are new, each naming its file.
    pub fn review(&mut self, look: &Look) -> Vec<String> {
        let mut seating = Seating::default();
        let mut refused = BTreeMap::new();
        let shared = self.review_shared(look, &mut refused);
        let (mut changed, mut newcomers) = (Vec::new(), Vec::new());
        for (file, text) in &look.files {
            let had = self.accepted.get(file);
            match (read(file, text, &shared), had) {
                (Ok(job), Some(had)) if had.id == job.id => changed.push((file, job)),
                (Ok(job), _) => {
                    newcomers.push((file, job));
                    continue;
                }
                (Err(why), _) => drop(refused.insert(file.clone(), why)),
            }
            if let Some(had) = had {
                seating.keep(file, had);
            }
        }
        if !look.unlisted.is_empty() {
            // What a source held that cannot be listed is not known to be gone.
            let seen = |file: &PathBuf| look.files.iter().any(|(one, _)| one == file);
            let unseen = self.accepted.iter().filter(|(file, _)| !seen(file));
            unseen.for_each(|(file, job)| seating.keep(file, job));
        }
        for (file, job) in changed {
            let had = seating.by_file.remove(file);
            seating.by_id.remove(&job.id);
            if let Err(why) = seating.seat(file, job) {
                refused.insert(file.clone(), why);
                had.iter().for_each(|had| seating.keep(file, had));
            }
        }
        for (file, job) in newcomers {
            if let Err(why) = seating.seat(file, job) {
                refused.insert(file.clone(), why);
                if let Some(had) = self.accepted.get(file) {
                    seating.keep(file, had);
                }
            }
        }
        self.accepted = seating.by_file;
        let known = std::mem::replace(&mut self.refused, refused);
        let is_new = |(file, why): &(&PathBuf, &String)| known.get(*file) != Some(*why);
        let news = self.refused.iter().filter(is_new);
        news.map(|(_, why)| why.clone()).collect()
    }

    /// What stands beside the jobs: what the files say now, or, of a bad one, what it said before.
    fn review_shared(&mut self, look: &Look, refused: &mut BTreeMap<PathBuf, String>) -> Shared {
        let mut shared = Shared::default();
        let known = std::mem::take(&mut self.shared);
        let mut keep = |file: &SharedFile, kept: &mut BTreeMap<PathBuf, SharedFile>| {
            let joined = file.join(&mut shared);
            if joined.is_ok() {
                kept.insert(file.file.clone(), file.clone());
            }
            joined
        };
        for file in &look.shared {
            let Err(why) = keep(file, &mut self.shared) else {
                continue;
            };
            refused.insert(file.file.clone(), why);
            if let Some(known) = known.get(&file.file) {
                // What it said may have gone to another file in the meantime.
                let _ = keep(known, &mut self.shared);
            }
        }
        if !look.unlisted.is_empty() {
            let seen = |file: &PathBuf| look.shared.iter().any(|one| one.file == *file);
            for (_, known) in known.iter().filter(|(file, _)| !seen(file)) {
                let _ = keep(known, &mut self.shared);
            }
        }
        shared
    }

    /// The jobs, by id.
    pub fn jobs(&self) -> BTreeMap<String, Arc<Job>> {
        let jobs = self.accepted.values();
        jobs.map(|job| (job.id.clone(), Arc::clone(job))).collect()
    }

    /// How many files are refused as they are.
    pub fn refused(&self) -> usize {
        self.refused.len()
    }
}

/// A file's job, or every mistake in it.
fn read(file: &Path, text: &Result<String, String>, shared: &Shared) -> Result<Arc<Job>, String> {
    let text = text.as_ref().map_err(String::clone)?;
    let name = file.display().to_string();
    let job = Job::from_text_beside(text, &name, shared).map_err(|errors| errors.to_string())?;
    Plan::asked(&job).map_err(|error| format!("{name}: {error}"))?;
    Ok(Arc::new(job))
}

/// Jobs that can stand beside each other.
#[derive(Default)]
struct Seating {
    by_file: BTreeMap<PathBuf, Arc<Job>>,
    by_id: BTreeMap<String, PathBuf>,
}

impl Seating {
    fn seat(&mut self, file: &Path, job: Arc<Job>) -> Result<(), String> {
        if let Some(other) = self.by_id.get(&job.id) {
            return Err(format!(
                "{}: job_id: \"{}\" is also the job of {}; each needs its own",
                file.display(),
                job.id,
                other.display()
            ));
        }
        if let Some(group) = job
            .groups
            .iter()
            .find(|group| self.by_id.contains_key(*group))
        {
            return Err(format!(
                "{}: groups: \"{group}\" is the id of a job; a group needs another name",
                file.display()
            ));
        }
        let has_group = |other: &&Arc<Job>| other.groups.contains(&job.id);
        if let Some(other) = self.by_file.values().find(has_group) {
            return Err(format!(
                "{}: job_id: \"{}\" is a group of the job \"{}\"; a job needs another name",
                file.display(),
                job.id,
                other.id
            ));
        }
        self.by_id.insert(job.id.clone(), file.to_owned());
        self.by_file.insert(file.to_owned(), job);
        Ok(())
    }

    /// Keeps what a file described before, unless its name has gone to another in the meantime.
    fn keep(&mut self, file: &Path, job: &Arc<Job>) {
        let _ = self.seat(file, Arc::clone(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::service::SharedKind;

    /// A job file's text: its head, then what every job needs.
    fn text(head: &str) -> String {
        format!(
            "{head}\nanalysis_config: {{detectors: [{{function: count}}]}}\ndata_description: {{}}\ndatafeed_config: {{indices: [x]}}\n"
        )
    }

    fn look(files: &[(&str, &str)]) -> Look {
        Look {
            files: files
                .iter()
                .map(|(name, text)| (PathBuf::from(name), Ok((*text).to_owned())))
                .collect(),
            ..Look::default()
        }
    }

    fn described(roster: &Roster) -> Vec<(String, String)> {
        let jobs = roster.jobs().into_iter();
        jobs.map(|(id, job)| (id, job.description.clone()))
            .collect()
    }

    fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    }

    #[test]
    fn jobs_and_groups_share_one_name_space() {
        let mut roster = Roster::default();
        let said = roster.review(&look(&[
            ("web.yaml", &text("groups: [shop]")),
            ("ops.yaml", &text("groups: [web, shop]")),
            ("again.yaml", &text("job_id: web")),
            ("shop.yaml", &text("")),
        ]));
        assert_eq!(
            said,
            [
                "again.yaml: job_id: \"web\" is also the job of web.yaml; each needs its own",
                "ops.yaml: groups: \"web\" is the id of a job; a group needs another name",
                "shop.yaml: job_id: \"shop\" is a group of the job \"web\"; a job needs another name",
            ]
        );
        assert_eq!(described(&roster), pairs(&[("web", "")]));
    }

    #[test]
    fn a_bad_file_is_refused_once_aloud_and_its_job_goes_on_until_the_file_is_right_or_gone() {
        let mut roster = Roster::default();
        let good = |what: &str| text(&format!("description: {what}"));
        assert!(
            roster
                .review(&look(&[("web.yaml", &good("one"))]))
                .is_empty()
        );
        let bad = look(&[("web.yaml", "analysis_config: {")]);
        let said = roster.review(&bad);
        assert!(said[0].starts_with("web.yaml: "), "{said:?}");
        assert_eq!(described(&roster), pairs(&[("web", "one")]));
        assert!(roster.review(&bad).is_empty(), "said already");
        assert_eq!(roster.refused(), 1);
        assert!(
            roster
                .review(&look(&[("web.yaml", &good("two"))]))
                .is_empty()
        );
        assert_eq!(described(&roster), pairs(&[("web", "two")]));
        assert_eq!(roster.refused(), 0);
        roster.review(&bad);
        roster.review(&look(&[]));
        assert_eq!(described(&roster), [], "removed, though it was bad");
    }

    #[test]
    fn whoever_has_a_name_keeps_it() {
        let mut roster = Roster::default();
        let own = text("description: own");
        roster.review(&look(&[("web.yaml", &own)]));
        let thief = text("job_id: web\ndescription: thief");
        let said = roster.review(&look(&[("a.yaml", &thief), ("web.yaml", &own)]));
        assert!(
            said[0].starts_with("a.yaml: job_id: \"web\" is also"),
            "{said:?}"
        );
        assert_eq!(described(&roster), pairs(&[("web", "own")]));
        // It leaves its name to the other, and takes a new one.
        let renamed = text("job_id: web2\ndescription: own");
        roster.review(&look(&[("a.yaml", &thief), ("web.yaml", &renamed)]));
        assert_eq!(
            described(&roster),
            pairs(&[("web", "thief"), ("web2", "own")])
        );
    }

    #[test]
    fn a_job_that_wants_anothers_id_for_a_group_does_not_push_it_out() {
        let mut roster = Roster::default();
        roster.review(&look(&[("a.yaml", &text("")), ("b.yaml", &text(""))]));
        let said = roster.review(&look(&[
            ("a.yaml", &text("groups: [b]\ndescription: new")),
            ("b.yaml", &text("description: new")),
        ]));
        assert_eq!(said.len(), 1, "{said:?}");
        assert_eq!(described(&roster), pairs(&[("a", ""), ("b", "new")]));
    }

    #[test]
    fn what_cannot_be_listed_is_not_taken_for_gone() {
        let mut roster = Roster::default();
        roster.review(&look(&[("web.yaml", &text(""))]));
        roster.review(&Look {
            files: Vec::new(),
            unlisted: vec!["jobs: Permission denied".to_owned()],
            ..Look::default()
        });
        assert_eq!(described(&roster), pairs(&[("web", "")]));
    }

    /// A job that speaks of the filter `safe`, beside these files.
    fn beside(shared: &[(SharedKind, &str, &str)]) -> Look {
        let job = "analysis_config: {detectors: [{function: count, by_field_name: host, custom_rules: [{scope: {host: {filter_id: safe}}}]}]}\n\
                   data_description: {}\ndatafeed_config: {indices: [x]}\n";
        let file = |(kind, name, text): &(SharedKind, &str, &str)| SharedFile {
            kind: *kind,
            file: PathBuf::from(name),
            text: Ok((*text).to_owned()),
        };
        Look {
            shared: shared.iter().map(file).collect(),
            ..look(&[("web.yaml", job)])
        }
    }

    #[test]
    fn what_stands_beside_a_job_is_followed_and_a_bad_file_says_what_it_said_before() {
        let (filters, calendars) = (SharedKind::Filters, SharedKind::Calendars(None));
        let safe = |items: &str| format!("filter_id: safe\nitems: [{items}]\n");
        let day = "calendar_id: days\nevents: [{description: x, start_time: 2026-01-01, end_time: 2026-01-02}]\n";
        let mut roster = Roster::default();
        let said = roster.review(&beside(&[]));
        assert!(said[0].contains("there is no filter \"safe\""), "{said:?}");
        assert!(roster.jobs().is_empty());
        let own =
            |roster: &Roster, key: &str| roster.jobs()["web"].document["tidewatch"][key].clone();
        assert!(
            roster
                .review(&beside(&[(filters, "f.yaml", &safe("a"))]))
                .is_empty()
        );
        assert_eq!(own(&roster, "filters")[0]["items"][0], "a");
        let both = beside(&[(filters, "f.yaml", &safe("b")), (calendars, "c.yaml", day)]);
        assert!(roster.review(&both).is_empty());
        assert_eq!(own(&roster, "filters")[0]["items"][0], "b");
        assert_eq!(own(&roster, "calendars")[0]["calendar_id"], "days");
        let before = roster.jobs()["web"].fingerprint;
        let said = roster.review(&beside(&[(filters, "f.yaml", "filter_id: [")]));
        assert!(
            said.len() == 1 && said[0].starts_with("f.yaml: "),
            "{said:?}"
        );
        assert_eq!(roster.refused(), 1);
        assert_eq!(own(&roster, "filters")[0]["items"][0], "b", "as it was");
        assert!(own(&roster, "calendars").is_null(), "gone with its file");
        assert_eq!(roster.jobs()["web"].fingerprint, before);
        // Without its filter the job is wrong, and goes on as it was.
        let said = roster.review(&beside(&[]));
        assert!(said[0].contains("there is no filter"), "{said:?}");
        assert_eq!(own(&roster, "filters")[0]["items"][0], "b");
    }

    #[test]
    fn a_job_that_names_no_topic_is_refused() {
        let mut roster = Roster::default();
        let said = roster.review(&look(&[(
            "web.yaml",
            "analysis_config: {detectors: [{function: count}]}\ndata_description: {}\n",
        )]));
        assert!(said[0].contains("names no topic"), "{said:?}");
        assert_eq!(described(&roster), []);
    }
}
