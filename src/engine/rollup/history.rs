//! What was written lately, so that it can be scored anew as the job's history grows.
//!
//! Only buckets with something to say are kept, within the renormalisation window and up to [`BUCKETS_MAX`] of them (the oldest go first): the evidence, not the
//! documents. Holds: initial scores stay as they were; a document is said again only if its score changes much (results.md 3.12).

use super::Levels;
use super::documents::Scored;
use crate::engine::result::DocumentKind;
use crate::engine::score::{is_big_change, of_evidence};
use crate::time::{BucketSpan, BucketStart};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Buckets kept at the most.
const BUCKETS_MAX: usize = 256;
/// Scores below this are not worth a second look.
const SCORE_MIN: f64 = 3.0;

/// One bucket as it was first scored, and as it is written now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    initial: Scored,
    written: Scored,
}

/// The recent buckets that had something to say, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct History {
    kept: VecDeque<Kept>,
}

/// A bucket whose documents have to be said again.
pub(super) struct Rewritten {
    pub(super) initial: Scored,
    pub(super) now: Scored,
    bucket: bool,
    influencers: bool,
    records: bool,
}

impl Rewritten {
    /// Whether documents of this kind have changed.
    pub(super) fn wanted(&self, kind: &DocumentKind) -> bool {
        match kind {
            DocumentKind::Bucket | DocumentKind::BucketInfluencer => self.bucket,
            DocumentKind::Influencer => self.influencers,
            DocumentKind::Record => self.records,
            DocumentKind::ModelPlot | DocumentKind::ModelSizeStats | DocumentKind::DataCounts => {
                false
            }
        }
    }
}

impl History {
    /// Remembers a bucket that was just written.
    pub(super) fn keep(&mut self, scored: Scored, window_buckets: u32, span: BucketSpan) {
        while self.kept.front().is_some_and(|kept| {
            span.buckets_between(kept.written.start, scored.start) > i64::from(window_buckets)
        }) {
            self.kept.pop_front();
        }
        let strongest = scored
            .records
            .iter()
            .map(|record| record.normalised)
            .fold(scored.evidence_most(), f64::max);
        if window_buckets > 0 && of_evidence(strongest) >= SCORE_MIN {
            if self.kept.len() == BUCKETS_MAX {
                self.kept.pop_front();
            }
            self.kept.push_back(Kept {
                initial: scored.clone(),
                written: scored,
            });
        }
    }

    /// Scores everything but the newest bucket by the levels of now; returns what has to be said again.
    pub(super) fn renormalise(&mut self, newest: BucketStart, levels: &Levels) -> Vec<Rewritten> {
        let mut changed = Vec::new();
        for kept in self
            .kept
            .iter_mut()
            .filter(|kept| kept.written.start < newest)
        {
            let mut now = kept.written.clone();
            now.normalise(levels);
            let big = |old: f64, new: f64| is_big_change(of_evidence(old), of_evidence(new));
            let bucket = big(kept.written.evidence_most(), now.evidence_most());
            let influencers = kept
                .written
                .influencers
                .iter()
                .zip(&now.influencers)
                .any(|(old, new)| big(old.normalised, new.normalised));
            let records = kept
                .written
                .records
                .iter()
                .zip(&now.records)
                .any(|(old, new)| big(old.normalised, new.normalised));
            if bucket || influencers || records {
                let rewritten = Rewritten {
                    initial: kept.initial.clone(),
                    now,
                    bucket,
                    influencers,
                    records,
                };
                if bucket {
                    kept.written.bucket_normalised = rewritten.now.bucket_normalised;
                    kept.written.fields_normalised = rewritten.now.fields_normalised.clone();
                }
                if influencers {
                    kept.written.influencers = rewritten.now.influencers.clone();
                }
                if records {
                    kept.written.records = rewritten.now.records.clone();
                }
                changed.push(rewritten);
            }
        }
        changed
    }
}
