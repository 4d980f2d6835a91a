//! How rare a by value is among its partition's: the second half of `count by x` (functions.md 2.3.1).
//!
//! Dirichlet-multinomial over the by values of a partition, counts being the buckets in which each was present, prior weight one a value:
//! the probability of a value is that of all values no more common than it. Source: Gelman et al., Bayesian Data Analysis, 3.4;
//! modelling-notes.md 7. Silent until the partition has shown [`PRESENCES_MIN`] presences.

use super::SeriesShelves;
use super::partial::RecordDraft;
use super::series::{Finding, LN_RECORD};
use crate::engine::feature::Statistic;
use crate::engine::model::Shape;
use crate::engine::probability::Charge;
use crate::engine::wire::{SeriesBucket, SeriesKey, Share};
use std::collections::BTreeMap;
use std::f64::consts::LN_2;
use std::sync::Arc;

const PRESENCES_MIN: u64 = 20;
/// ln 24: from a chance a bucket to a chance a block of 24.
pub(super) const LN_BLOCK: f64 = 3.178_053_830_347_946;

/// As many values of an influencer at most are told to have come with a rare value.
const COMPANY_MAX: usize = 20;

/// Presence counts of the by values of one partition, sorted.
struct Partition {
    presences: Vec<u32>,
    total: u64,
}

/// Presence counts of every partition that has a rare value in this bucket.
pub(super) struct Rarity {
    partitions: BTreeMap<(u16, Option<Arc<str>>), Partition>,
}

/// A by value that is rare.
pub(super) struct Rare {
    ln_probability: f64,
    first: bool,
    relative: f64,
    count: f64,
    /// Who came with it: influencer values, each wholly to blame (functions.md 2.8, as for `rare`); the busiest first.
    company: Vec<(u16, Arc<str>, f64)>,
}

impl Rarity {
    /// Before the bucket is learnt.
    pub(super) fn of(
        present: &[SeriesBucket],
        series: &SeriesShelves,
        wanted: impl Fn(u16) -> bool,
    ) -> Rarity {
        let mut partitions = BTreeMap::new();
        for bucket in present.iter().filter(|bucket| wanted(bucket.group)) {
            let id = (bucket.group, bucket.key.partition.clone());
            if partitions.contains_key(&id) {
                continue;
            }
            let first = (
                bucket.group,
                SeriesKey {
                    over: None,
                    partition: bucket.key.partition.clone(),
                    by: None,
                },
            );
            let known = series
                .range_from(&first)
                .take_while(|((group, key), _)| *group == id.0 && key.partition == id.1);
            let mut presences: Vec<u32> = known
                .map(|(_, series)| series.present)
                .filter(|&present| present > 0)
                .collect();
            presences.sort_unstable();
            let total = presences.iter().map(|&present| u64::from(present)).sum();
            partitions.insert(id, Partition { presences, total });
        }
        Rarity { partitions }
    }

    /// The rarity of a series present in the bucket, and in `own` buckets before; `None` when it is not rare, or not looked at.
    pub(super) fn of_series(&self, bucket: &SeriesBucket, own: u32) -> Option<Rare> {
        if self.partitions.is_empty() {
            return None;
        }
        let id = (bucket.group, bucket.key.partition.clone());
        let partition = self.partitions.get(&id)?;
        if partition.total < PRESENCES_MIN {
            return None;
        }
        let first = own == 0;
        let rarer = &partition.presences[..partition
            .presences
            .partition_point(|&present| present <= own)];
        let values = partition.presences.len() as f64 + f64::from(u8::from(first));
        let weight: f64 = rarer
            .iter()
            .map(|&present| f64::from(present) + 1.0)
            .sum::<f64>()
            + f64::from(u8::from(first));
        let probability = weight / (partition.total as f64 + values);
        let median = f64::from(partition.presences[partition.presences.len() / 2]);
        let ln_probability = probability.min(1.0).ln();
        (ln_probability < LN_RECORD).then(|| Rare {
            ln_probability,
            first,
            relative: median / f64::from(own.max(1)),
            count: bucket
                .cells
                .first()
                .map_or(0.0, |cell| cell.measurements() as f64),
            company: company(bucket),
        })
    }
}

/// Who came with a value: influencer values, each wholly to blame (functions.md 2.8, as for `rare`); the busiest first.
pub(super) fn company(bucket: &SeriesBucket) -> Vec<(u16, Arc<str>, f64)> {
    let events = |share: &Share| share.cells.first().map_or(0, |cell| cell.measurements());
    let by_influencer = bucket.shares.chunk_by(|a, b| a.influencer == b.influencer);
    by_influencer
        .flat_map(|shares| {
            let mut shares: Vec<&Share> = shares.iter().collect();
            shares.sort_by(|a, b| {
                events(b)
                    .cmp(&events(a))
                    .then_with(|| a.value.cmp(&b.value))
            });
            shares.truncate(COMPANY_MAX);
            shares
        })
        .map(|share| (share.influencer, share.value.clone(), 1.0))
        .collect()
}

impl Rare {
    /// ln p, and as evidence the chance that a block of buckets shows so rare a value.
    fn charge(&self) -> Charge {
        Charge {
            ln_probability: self.ln_probability,
            evidence: (-self.ln_probability - LN_BLOCK).max(0.0),
        }
    }

    /// Takes the rarity into a finding on the count: the less likely of the two, having looked twice.
    pub(super) fn join(&self, finding: &mut Finding) {
        let join = |alone: Charge| {
            let joined = self.charge().or(alone);
            Charge {
                ln_probability: (joined.ln_probability + LN_2).min(0.0),
                ..joined
            }
        };
        finding.alone = join(finding.alone);
        if let Some(draft) = &mut finding.draft {
            // What the record says for itself is discounted already, for the number of series looked at; the finding is not.
            draft.alone = join(draft.alone);
            draft.relative_rarity = Some(self.relative);
            draft.first_occurrence = self.first;
        }
    }

    /// A finding on a value of which nothing else is known.
    pub(super) fn alone(
        &self,
        detector: usize,
        key: &SeriesKey,
        mut influencers: Vec<(u16, Arc<str>, f64)>,
    ) -> Finding {
        influencers.extend(self.company.iter().cloned());
        influencers.sort_by_key(|one| one.0);
        let draft = RecordDraft {
            detector: detector as u16,
            key: key.clone(),
            statistic: Statistic::Count,
            actual: self.count,
            typical: 0.0,
            place: None,
            bounds: (0.0, 0.0),
            alone: self.charge(),
            together: None,
            ln_single: self.ln_probability,
            ln_multi: None,
            history: 0,
            incomplete: false,
            shape: Shape::default(),
            anomaly: (0, 0.0),
            ln_characteristics: 0.0,
            first_occurrence: self.first,
            relative_rarity: Some(self.relative),
            correlated: None,
            causes: Vec::new(),
            influencers,
        };
        Finding {
            detector,
            alone: self.charge(),
            draft: Some(Box::new(draft)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rare_value_is_no_louder_for_what_its_count_shows_before_the_discount_of_its_crowd() {
        let rare = Rare {
            ln_probability: -4.0,
            first: false,
            relative: 10.0,
            count: 1.0,
            company: Vec::new(),
        };
        let key = SeriesKey {
            partition: None,
            over: None,
            by: Some("value".into()),
        };
        let mut finding = rare.alone(0, &key, Vec::new());
        let loud = Charge {
            ln_probability: -20.0,
            evidence: 9.0,
        };
        finding.alone = loud;
        rare.join(&mut finding);
        let draft = finding.draft.expect("it is told");
        assert_eq!(draft.alone.evidence, rare.charge().evidence);
        assert_eq!(finding.alone.evidence, loud.evidence);
    }
}
