//! What a job's results have shown so far: the levels that scores are normalised against.

use super::documents::Scored;
use crate::config::Job;
use crate::engine::judge::{RecordDraft, may_teach};
use crate::engine::score::Level;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one kind of result has shown over the job's life: the levels of normalisation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Levels {
    pub(super) records: Level,
    pub(super) bucket: Level,
    /// By influencer index: values, and the field as a whole.
    pub(super) influencers: BTreeMap<u16, (Level, Level)>,
}

impl Levels {
    /// What counts of the evidence against a value of this influencer.
    pub(super) fn of_influencer(&self, index: u16, evidence: f64) -> f64 {
        let level = self.influencers.get(&index);
        level.map_or(evidence, |(values, _)| values.normalise(evidence))
    }

    /// What counts of the evidence against this influencer's field as a whole; `strongest` is that against the most suspicious of its values. By
    /// their number alone one value's evidence among many would never be seen; by what any of them has shown before it is.
    pub(super) fn of_field(&self, index: u16, evidence: f64, strongest: f64) -> f64 {
        let level = self.influencers.get(&index);
        level.map_or(evidence, |(values, field)| {
            field.normalise(evidence).max(values.rank(strongest))
        })
    }

    /// The same of the bucket as a whole; `strongest` is the evidence of its strongest record.
    pub(super) fn of_bucket(&self, evidence: f64, strongest: f64) -> f64 {
        let bucket = self.bucket.normalise(evidence);
        bucket.max(self.records.rank(strongest))
    }

    /// Learns from what a bucket has shown, as far as it may teach; says whether any level has grown.
    pub(super) fn learn(&mut self, job: &Job, scored: &Scored) -> bool {
        let strongest = |evidence: &mut dyn Iterator<Item = f64>| evidence.fold(0.0, f64::max);
        let taught = |draft: &RecordDraft| may_teach(job, scored.start, draft);
        let records = scored.records.iter().map(|record| &record.draft);
        let evidence = records.clone().filter(|draft| taught(draft));
        let evidence = &mut evidence.map(|draft| draft.charge().evidence);
        let mut grown = self.records.learn(strongest(evidence));
        if !records.clone().all(taught) {
            return grown; // what all of them show together is no better a teacher
        }
        grown |= self.bucket.learn(scored.bucket_time.evidence);
        for index in 0..job.influencers.len() as u16 {
            let (values, field) = self.influencers.entry(index).or_default();
            let of_field = scored.influencers.iter().filter(|one| one.field == index);
            grown |= values.learn(strongest(&mut of_field.map(|one| one.charge.evidence)));
            grown |= field.learn(scored.fields.get(&index).map_or(0.0, |node| node.evidence));
        }
        grown
    }
}
