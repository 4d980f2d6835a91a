//! What stands beside jobs, for all of them: filters that their rules speak of.
//!
//! Read once from files of their own; each job takes what concerns it into its own document, so that it is whole by itself wherever it goes from
//! there. Checked: `tests/config.rs`, `tests/rules.rs`.

use super::filters::{self, RawFilter};
use super::object::{Report, shown};
use super::{RawJob, text};
use crate::config::error::ConfigErrors;
use std::collections::BTreeMap;

/// What several jobs share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shared {
    filters: BTreeMap<String, RawFilter>,
    /// In which file each is.
    filter_files: BTreeMap<String, String>,
}

impl Shared {
    /// Takes in the filters of a JSON or YAML text; `name` is what the text is called: mistakes begin with it. All of them, or none.
    pub fn add_filters(&mut self, text: &str, name: &str) -> Result<(), ConfigErrors> {
        let report = Report::default();
        let found = text::parse(text, &report)
            .map(|value| filters::read_text(&value, &report))
            .unwrap_or_default();
        for id in found.keys() {
            if let Some(other) = self.filter_files.get(id) {
                let message = format!("{} is also in {other}", shown(id));
                report.wrong("filter_id", message);
            }
        }
        let mistakes = report.into_mistakes();
        if !mistakes.is_empty() {
            return Err(ConfigErrors::new(Some(name.to_owned()), mistakes));
        }
        let files = found.keys().map(|id| (id.clone(), name.to_owned()));
        self.filter_files.extend(files);
        self.filters.extend(found);
        Ok(())
    }

    /// Gives a job what concerns it; notes what it speaks of and nobody has.
    pub(super) fn join(&self, job: &mut RawJob, report: &Report) {
        let mut own = job.extensions.take();
        let mut known = own
            .as_mut()
            .map(|own| std::mem::take(&mut own.filters))
            .unwrap_or_default();
        let rules = job
            .analysis
            .detectors
            .iter()
            .flat_map(|detector| &detector.rules);
        filters::resolve(rules, &mut known, &self.filters, report);
        if own.is_some() || !known.is_empty() {
            own.get_or_insert_default().filters = known;
        }
        job.extensions = own;
    }
}
