//! What was written lately, so that it can be scored anew as the job's history grows.
//!
//! Only buckets with something to say are kept, within the renormalisation window and up to [`BUCKETS_MAX`] of them (the oldest go first): the evidence, not the
//! documents. Holds: initial scores stay as they were; a document is said again only if its score changes much (results.md 3.12).

use super::documents::{Part, Scored};
use super::levels::Levels;
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
pub(super) struct Kept {
    pub(super) initial: Scored,
    pub(super) written: Scored,
}

/// The recent buckets that had something to say, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct History {
    kept: VecDeque<Kept>,
}

/// A bucket some of whose documents have to be said again.
pub(super) struct Rewritten<'h> {
    pub(super) initial: &'h Scored,
    /// Scores as last said, those of the changed documents anew.
    pub(super) now: &'h Scored,
    pub(super) changed: Changed,
}

/// Which documents of a bucket have changed; of influencers and records, in the order of [`Scored`].
#[derive(Default)]
pub(super) struct Changed {
    bucket: bool,
    influencers: Vec<bool>,
    records: Vec<bool>,
}

impl Changed {
    pub(super) fn holds(&self, part: Part) -> bool {
        match part {
            Part::Bucket => self.bucket,
            Part::Influencer(at) => self.influencers[at],
            Part::Record(at) => self.records[at],
        }
    }

    fn is_any(&self) -> bool {
        self.bucket || self.influencers.contains(&true) || self.records.contains(&true)
    }
}

/// Whether a bucket had enough to say, when it was closed, to be scored anew later.
fn is_worth(scored: &Scored, window_buckets: u32) -> bool {
    let records = scored.records.iter().map(|record| record.normalised);
    let strongest = records.fold(scored.evidence_most(), f64::max);
    window_buckets > 0 && of_evidence(strongest) >= SCORE_MIN
}

impl Kept {
    /// A bucket that was scored so when it was closed, and at each renormalisation since: by which bucket and levels.
    pub(super) fn since<'l>(
        scored: Scored,
        renormalisations: impl Iterator<Item = (BucketStart, &'l Levels)>,
        window_buckets: u32,
        span: BucketSpan,
    ) -> Kept {
        let mut kept = Kept {
            initial: scored.clone(),
            written: scored,
        };
        if is_worth(&kept.initial, window_buckets) {
            let start = kept.initial.start;
            let reaches =
                |at: BucketStart| span.buckets_between(start, at) <= i64::from(window_buckets);
            for (_, levels) in renormalisations.take_while(|(at, _)| reaches(*at)) {
                kept.renormalise(levels);
            }
        }
        kept
    }

    /// Scores everything by the levels of now, keeps what differs enough from what was last said, and says what that is.
    fn renormalise(&mut self, levels: &Levels) -> Changed {
        let differs = |old: f64, new: f64| is_big_change(of_evidence(old), of_evidence(new));
        let settle = |normalised: &mut f64, new: f64| {
            let changed = differs(*normalised, new);
            if changed {
                *normalised = new;
            }
            changed
        };
        let written = &mut self.written;
        let said = (
            written.evidence_most(),
            written.bucket_normalised,
            written.fields_normalised.clone(),
        );
        written.normalise_bucket(levels);
        let bucket = differs(said.0, written.evidence_most());
        if !bucket {
            (_, written.bucket_normalised, written.fields_normalised) = said;
        }
        let influencers = written.influencers.iter_mut().map(|one| {
            let new = levels.of_influencer(one.field, one.charge.evidence);
            settle(&mut one.normalised, new)
        });
        let records = written.records.iter_mut().map(|record| {
            let new = levels.records.normalise(record.draft.charge().evidence);
            settle(&mut record.normalised, new)
        });
        Changed {
            bucket,
            influencers: influencers.collect(),
            records: records.collect(),
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
        if is_worth(&scored, window_buckets) {
            if self.kept.len() == BUCKETS_MAX {
                self.kept.pop_front();
            }
            self.kept.push_back(Kept {
                initial: scored.clone(),
                written: scored,
            });
        }
    }

    /// A bucket was judged again: what is remembered of it is this.
    pub(super) fn replace(&mut self, kept: Kept, window_buckets: u32) {
        let start = kept.initial.start;
        self.kept.retain(|known| known.initial.start != start);
        if is_worth(&kept.initial, window_buckets) {
            let at = self
                .kept
                .partition_point(|known| known.initial.start < start);
            self.kept.insert(at, kept);
            if self.kept.len() > BUCKETS_MAX {
                self.kept.pop_front();
            }
        }
    }

    /// The first bucket that is remembered.
    pub(super) fn begins(&self) -> Option<BucketStart> {
        self.kept.front().map(|kept| kept.initial.start)
    }

    /// Scores everything but the newest bucket by the levels of now; returns what has to be said again.
    pub(super) fn renormalise(
        &mut self,
        newest: BucketStart,
        levels: &Levels,
    ) -> impl Iterator<Item = Rewritten<'_>> {
        self.kept.iter_mut().filter_map(move |kept| {
            if kept.written.start >= newest {
                return None;
            }
            let changed = kept.renormalise(levels);
            changed.is_any().then_some(Rewritten {
                initial: &kept.initial,
                now: &kept.written,
                changed,
            })
        })
    }
}
