//! Messages that are rare or new and came together: a restart writes some tens of them at once, and that is one thing to tell, not tens.
//!
//! Of a bucket, and of each partition within it: the categories whose records say that they are rare or were never seen, the strongest first. Each of their
//! records says how many there were; the strongest begins with that, and quotes the first few. Rests on what was said when the bucket was closed, so that
//! renormalisation changes no sentence.

use super::categories::Terms;
use super::documents::{Scored, ScoredRecord};
use crate::config::{Family, Job, MLCATEGORY};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// Fewer have come by chance.
const TOGETHER_MIN: usize = 3;
/// So many are quoted.
const QUOTED: usize = 3;

/// What came together in one bucket.
#[derive(Default)]
pub(super) struct News {
    by_partition: BTreeMap<Option<Arc<str>>, Together>,
}

#[derive(Default)]
struct Together {
    /// Categories with the evidence of their strongest record, the strongest first.
    categories: Vec<(u32, f64)>,
}

impl News {
    /// Of a bucket as it was when it was closed.
    pub(super) fn of(job: &Job, bucket: &Scored) -> News {
        if job.categorization.is_none() {
            return News::default();
        }
        let mut strongest: BTreeMap<Option<Arc<str>>, BTreeMap<u32, f64>> = BTreeMap::new();
        for record in &bucket.records {
            if let Some(category) = rare_or_new(job, record) {
                let partition = strongest.entry(record.draft.key.partition.clone());
                let known = partition.or_default().entry(category).or_default();
                *known = known.max(record.normalised);
            }
        }
        let together = |(partition, categories): (_, BTreeMap<u32, f64>)| {
            let mut categories: Vec<(u32, f64)> = categories.into_iter().collect();
            // Stable: of equals the category that was seen first.
            categories.sort_by(|a, b| b.1.total_cmp(&a.1));
            (categories.len() >= TOGETHER_MIN).then_some((partition, Together { categories }))
        };
        News {
            by_partition: strongest.into_iter().filter_map(together).collect(),
        }
    }

    /// What a record of `category` says, its own `sentence` included.
    pub(super) fn told(
        &self,
        partition: Option<&str>,
        category: u32,
        terms: &Terms,
        sentence: &str,
    ) -> Option<String> {
        let together = self.by_partition.get(&partition.map(Arc::from))?;
        let known = together.categories.iter();
        let &(_, evidence) = known.clone().find(|one| one.0 == category)?;
        let count = together.categories.len();
        let is_strongest = known.clone().all(|one| one.1 <= evidence);
        if !is_strongest {
            return Some(format!(
                "{sentence} It is one of {count} messages that are rare or new in this bucket."
            ));
        }
        let mut text = format!("{count} messages that are rare or new came together: ");
        let quoted = known.filter_map(|one| terms.get(&one.0)).take(QUOTED);
        let mut told = 0;
        for terms in quoted {
            let separator = if told == 0 { "" } else { ", " };
            let _ = write!(text, "{separator}\"{terms}\"");
            told += 1;
        }
        match (told, count - told) {
            (_, 0) => {}
            (0, left) => drop(write!(text, "{left} kinds")),
            (_, left) => drop(write!(text, " and {left} more")),
        }
        Some(format!("{text}. {sentence}"))
    }
}

/// The category of a record that says that its messages are rare or new.
fn rare_or_new(job: &Job, record: &ScoredRecord) -> Option<u32> {
    let draft = &record.draft;
    let detector = &job.detectors[usize::from(draft.detector)];
    let is_category = job.field_name(detector.by?) == MLCATEGORY && detector.over.is_none();
    let is_rare = detector.function.family == Family::Rare
        || draft.first_occurrence
        || draft.relative_rarity.is_some();
    let id = draft.key.by.as_ref().filter(|_| is_category && is_rare)?;
    id.parse().ok()
}
