//! `rare` and `freq_rare` over a population: a member against how many members have what it has (functions.md 2.4.3).
//!
//! An attribute (by value) is remembered with the number of members that ever had it, and each member with what it had. The chance of an attribute is that
//! of all that no more members have; of one that comes `k` times among the `n` events of a member, `freq_rare` takes the chance of `k` or more
//! (binomial). That is what a cause says. Against a member counts, besides, how rare it is that any member shows what it showed as seldom before: what is
//! new to it, where hardly anybody shows anything new, much; what it always had, nothing. Of several attributes the most telling number `M` of the `n`
//! is taken, by the chance that `M` or more are as unlikely as the M-th (order statistics; David and Nagaraja).
//!
//! Holds: an interim bucket teaches nothing; the bytes of what is remembered are within the memory limit.

use super::bar::{Bar, CAUSES_MAX, LN_CAUSE, LN_TENTH_MORE};
use super::kept::{Kept, KeptId};
use super::memory::{map_bytes, text_bytes};
use super::partial::{CauseDraft, RecordDraft, TogetherCharge};
use super::rarity::company;
use super::series::{Context, Mode};
use super::{Judge, PartialBucket};
use crate::config::Family;
use crate::engine::event::symbols::hash_of;
use crate::engine::feature::{Accumulator, Statistic};
use crate::engine::model::Shape;
use crate::engine::model::presence::{Look, Presence, Presences};
use crate::engine::probability::{Charge, ln_extreme};
use crate::engine::wire::{SeriesBucket, SeriesKey};
use crate::numerics::special::beta;
use crate::time::{BucketSpan, BucketStart, EventTime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// As many attributes of a member at most are taken together.
const MOST_TELLING_MAX: usize = 5;

/// By group and partition value.
pub(super) type AllCustoms = BTreeMap<KeptId, Customs>;

/// What the members of a population have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Customs {
    /// By attribute: members that had it.
    attributes: Presences,
    /// By member and attribute: buckets in which it was so.
    pairs: Presences,
    /// By member: buckets in which it was there.
    members: Presences,
    last_seen: BucketStart,
}

/// One member in a bucket: what it has, and how unlikely that is.
struct Member<'b> {
    present: &'b [SeriesBucket],
    /// By attribute: how few members have it.
    looks: Vec<Option<Look>>,
    /// By attribute: how rare it is that a member shows what it showed as seldom before.
    pairs: Vec<Option<Look>>,
    /// Which of the series of the bucket its own begin with.
    from: usize,
}

impl Customs {
    fn new(at: BucketStart) -> Customs {
        Customs {
            attributes: Presences::new(at),
            pairs: Presences::new(at),
            members: Presences::new(at),
            last_seen: at,
        }
    }

    fn values(&self) -> usize {
        self.attributes.len() + self.pairs.len() + self.members.len()
    }

    /// How many members are known.
    pub(super) fn members(&self) -> u64 {
        self.members.len() as u64
    }

    /// How many attributes.
    pub(super) fn attributes(&self) -> u64 {
        self.attributes.len() as u64
    }
}

impl Kept for Customs {
    fn count_bytes(&self, id: &KeptId) -> u64 {
        bytes_around(id) + self.values() as u64 * value_bytes()
    }

    fn last_seen(&self) -> BucketStart {
        self.last_seen
    }

    fn forget(&mut self, at: BucketStart, span: BucketSpan, patience: &dyn Fn(f64) -> f64) {
        for table in [&mut self.attributes, &mut self.pairs, &mut self.members] {
            table.forget(at, span, patience);
        }
    }
}

fn bytes_around(id: &KeptId) -> u64 {
    (map_bytes::<KeptId, Customs>() + text_bytes(&id.1)) as u64
}

fn value_bytes() -> u64 {
    map_bytes::<u64, Presence>() as u64
}

fn attribute(series: &SeriesBucket) -> u64 {
    hash_of(series.key.by.as_deref().unwrap_or_default())
}

fn member(series: &SeriesBucket) -> u64 {
    hash_of(series.key.over.as_deref().unwrap_or_default())
}

/// A member that has an attribute, as one number.
fn pair(series: &SeriesBucket) -> u64 {
    let both = [
        member(series).to_le_bytes(),
        attribute(series).to_le_bytes(),
    ];
    xxhash_rust::xxh3::xxh3_64(both.as_flattened())
}

impl Judge {
    /// Judges the members of one population that are in the bucket (sorted by member), then remembers what they have.
    pub(super) fn judge_customs(
        &mut self,
        present: &[SeriesBucket],
        start: BucketStart,
        mode: Mode,
        partial: &mut PartialBucket,
    ) {
        let Some(first) = present.first() else { return };
        let id = (first.group, first.key.partition.clone());
        let span = self.job.bucket_span;
        let rulings = self.rulings_on_all(present);
        if let Some(customs) = self.state.customs.get(&id) {
            let attributes: Vec<u64> = present.iter().map(attribute).collect();
            let pairs: Vec<u64> = present.iter().map(pair).collect();
            let judge = |table: &Presences, values: &[u64]| {
                table.judge_among(values, 1.0, start, span).into_iter()
            };
            let mut looks = judge(&customs.attributes, &attributes);
            let mut pairs = judge(&customs.pairs, &pairs);
            let mut from = 0;
            let members: Vec<Member<'_>> = present
                .chunk_by(|a, b| a.key.over == b.key.over)
                .map(|present| {
                    from += present.len();
                    Member {
                        present,
                        looks: looks.by_ref().take(present.len()).collect(),
                        pairs: pairs.by_ref().take(present.len()).collect(),
                        from: from - present.len(),
                    }
                })
                .collect();
            for spec in &self.layout.groups[usize::from(id.0)].features {
                let hidden = |at| rulings.hides(at, spec.detector);
                self.tell_customs(spec.detector, customs, (&members, &hidden), start, partial);
            }
        }
        if matches!(mode, Mode::Learn) {
            let group = &self.layout.groups[usize::from(id.0)];
            let taught: Vec<&SeriesBucket> =
                rulings.taught(&present.iter().collect::<Vec<_>>(), group);
            if !taught.is_empty() {
                self.learn_customs(id, &taught, start);
            }
        }
    }

    /// What one detector says of the members; the population as a whole is one thing that was looked at.
    fn tell_customs(
        &self,
        detector: u16,
        customs: &Customs,
        (members, hidden): (&[Member<'_>], &dyn Fn(usize) -> bool),
        start: BucketStart,
        partial: &mut PartialBucket,
    ) {
        let span = self.job.bucket_span;
        let bar = Bar::of(&customs.members, start, span);
        let counts = self.job.detectors[usize::from(detector)].function.family == Family::FreqRare;
        let mut most = Charge::default();
        for member in members {
            let mut chances = member.chances(counts);
            for (at, chance) in chances.iter_mut().enumerate() {
                if hidden(member.from + at) {
                    *chance = 0.0;
                }
            }
            let charge = bar.charge(member.ln_together(&chances));
            if !bar.tells(charge) {
                continue;
            }
            most = most.or(charge);
            let record = self.customs_record(detector, member, &chances, charge, bar.history);
            partial.records.push(record);
        }
        partial.judged.add(Charge {
            ln_probability: ln_extreme(most.ln_probability, members.len() as f64),
            evidence: most.evidence,
        });
    }

    fn customs_record(
        &self,
        detector: u16,
        member: &Member<'_>,
        chances: &[f64],
        charge: Charge,
        history: u32,
    ) -> RecordDraft {
        let weights = member.weights(chances);
        let mut order: Vec<usize> = (0..chances.len()).collect();
        order.sort_by(|&a, &b| weights[a].total_cmp(&weights[b]).then(a.cmp(&b)));
        let least = chances[order[0]];
        let told = order.iter().copied().take(CAUSES_MAX);
        let told: Vec<usize> = told
            .filter(|&at| chances[at] <= (least + LN_TENTH_MORE).max(LN_CAUSE))
            .collect();
        let cause = |&at: &usize| CauseDraft {
            by: member.present[at].key.by.clone(),
            statistic: Statistic::Count,
            ln_probability: chances[at],
            actual: 1.0,
            typical: chances[at].exp(),
            place: None,
        };
        let worst = &member.present[order[0]];
        RecordDraft {
            detector,
            key: SeriesKey {
                by: None,
                ..worst.key.clone()
            },
            statistic: Statistic::Count,
            actual: 1.0,
            typical: least.exp(),
            place: None,
            bounds: (0.0, 0.0),
            alone: Charge::default(),
            together: Some(TogetherCharge {
                charge,
                share: 1.0,
                series: 1,
            }),
            ln_single: charge.ln_probability,
            ln_multi: None,
            history,
            incomplete: false,
            shape: Shape::default(),
            anomaly: (0, 0.0),
            ln_characteristics: 0.0,
            first_occurrence: member.looks[order[0]].is_some_and(|look| look.first),
            relative_rarity: None,
            correlated: None,
            causes: told.iter().map(cause).collect(),
            influencers: self.customs_culprits(member, &told),
        }
    }

    /// The member, what it has, and whoever came with that; each wholly to blame.
    fn customs_culprits(&self, member: &Member<'_>, told: &[usize]) -> Vec<(u16, Arc<str>, f64)> {
        let mut culprits = Vec::new();
        for series in told.iter().map(|&at| &member.present[at]) {
            let context = Context {
                job: &self.job,
                group: &self.layout.groups[usize::from(series.group)],
                kinds: &[],
                middle: EventTime(0),
                tell_all: true,
            };
            let company = company(series);
            for one in context
                .split_culprits(&series.key)
                .into_iter()
                .chain(company)
            {
                if !culprits.contains(&one) {
                    culprits.push(one);
                }
            }
        }
        culprits.sort_by_key(|one| one.0);
        culprits
    }

    fn learn_customs(&mut self, id: KeptId, present: &[&SeriesBucket], start: BucketStart) {
        let (span, budget) = (self.job.bucket_span, self.budget);
        let size = &mut self.state.size;
        if !self.state.customs.contains_key(&id) {
            if !budget.admits(size, bytes_around(&id)) {
                size.refused_series += 1;
                return;
            }
            size.model_bytes += bytes_around(&id);
        }
        let customs = self.state.customs.entry(id);
        let customs = customs.or_insert_with(|| Customs::new(start));
        customs.last_seen = start;
        let mut admit = || {
            let admitted = budget.admits(size, value_bytes());
            match admitted {
                true => size.model_bytes += value_bytes(),
                false => size.refused_series += 1,
            }
            admitted
        };
        let mut members: Vec<u64> = present.iter().map(|series| member(series)).collect();
        members.dedup();
        let is_new = |series: &&&SeriesBucket| !customs.pairs.knows(pair(series));
        let new = present.iter().filter(is_new);
        let new: Vec<u64> = new.map(|series| attribute(series)).collect();
        let pairs: Vec<u64> = present.iter().map(|series| pair(series)).collect();
        customs.members.learn(&members, start, span, &mut admit);
        customs.attributes.learn(&new, start, span, &mut admit);
        customs.pairs.learn(&pairs, start, span, &mut admit);
    }
}

impl Member<'_> {
    /// By attribute: ln of the chance that counts against the member, given the chance of the attribute.
    fn weights(&self, chances: &[f64]) -> Vec<f64> {
        let weight = |(&chance, pair): (&f64, &Option<Look>)| match pair {
            Some(pair) if chance < 0.0 => chance + pair.ln_probability,
            _ => 0.0,
        };
        chances.iter().zip(&self.pairs).map(weight).collect()
    }

    /// ln of the chance of all of them.
    fn ln_together(&self, chances: &[f64]) -> f64 {
        let mut weights = self.weights(chances);
        weights.sort_by(f64::total_cmp);
        let n = weights.len() as f64;
        let tried = MOST_TELLING_MAX.min(weights.len());
        let several = (1..).zip(&weights[..tried]);
        let least = several
            .map(|(m, &ln_p)| ln_at_least(f64::from(m), n, ln_p.exp()))
            .fold(0.0, f64::min);
        (least + (tried.max(1) as f64).ln()).min(0.0)
    }

    /// ln of the chance of each attribute; `counts` says whether it matters how often it came.
    fn chances(&self, counts: bool) -> Vec<f64> {
        let events = |series: &SeriesBucket| {
            series.cells.first().map_or(0, Accumulator::measurements) as f64
        };
        let n: f64 = self.present.iter().map(events).sum();
        let chance = |(series, look): (&SeriesBucket, &Option<Look>)| match look {
            None => 0.0,
            Some(look) if counts => ln_at_least(events(series), n, look.ln_probability.exp()),
            Some(look) => look.ln_probability,
        };
        self.present.iter().zip(&self.looks).map(chance).collect()
    }
}

/// ln of the chance of `k` or more successes of `n`, each with chance `p`: the incomplete beta function (DLMF 8.17.5).
fn ln_at_least(k: f64, n: f64, p: f64) -> f64 {
    match k {
        k if k < 1.0 => 0.0,
        k => beta::ln_cdf(p.clamp(f64::MIN_POSITIVE, 1.0), k, (n - k).max(0.0) + 1.0).min(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chance_of_some_of_many_is_the_binomial_tail() {
        // 1 - .9^10, and 1 - .9^10 - 10 · .1 · .9^9, by hand.
        let all_but_none: f64 = 1.0 - 0.9f64.powi(10);
        let two_or_more = all_but_none - 0.9f64.powi(9);
        assert!((ln_at_least(1.0, 10.0, 0.1) - all_but_none.ln()).abs() < 1e-12);
        assert!((ln_at_least(2.0, 10.0, 0.1) - two_or_more.ln()).abs() < 1e-12);
        assert!((ln_at_least(3.0, 3.0, 0.1) - 3.0 * 0.1f64.ln()).abs() < 1e-12);
        assert_eq!(ln_at_least(0.0, 5.0, 0.1), 0.0);
    }
}
