//! `rare`: a by value against how often the by values of its partition are there (functions.md 2.3.2).
//!
//! One table of presences a partition value; a record for each value in the bucket that is rare. The evidence is the chance that a block of 24
//! buckets shows so rare a value, as everywhere. Holds: an interim bucket teaches nothing; the bytes of the tables are within the memory limit,
//! a value that there is no room for is judged, counted as refused, and not remembered.

use super::kept::{Kept, KeptId};
use super::memory::{map_bytes, text_bytes};
use super::partial::RecordDraft;
use super::rarity::{LN_BLOCK, company};
use super::series::{Context, Mode};
use super::{Judge, PartialBucket};
use crate::engine::event::symbols::hash_of;
use crate::engine::feature::{Group, Statistic};
use crate::engine::model::Shape;
use crate::engine::model::presence::{Look, Presence, Presences};
use crate::engine::probability::Charge;
use crate::engine::wire::SeriesBucket;
use crate::time::{BucketSpan, BucketStart, EventTime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The tables of all partitions of all groups that look for rare values.
pub(super) type Tables = BTreeMap<KeptId, Table>;

/// What is known of the by values of one partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Table {
    presences: Presences,
    /// The last bucket with an event.
    last_seen: BucketStart,
}

impl Table {
    /// How many values it holds.
    pub(super) fn values(&self) -> u64 {
        self.presences.len() as u64
    }
}

impl Kept for Table {
    fn count_bytes(&self, id: &KeptId) -> u64 {
        bytes_around(id) + self.values() * value_bytes()
    }

    fn last_seen(&self) -> BucketStart {
        self.last_seen
    }

    fn forget(&mut self, at: BucketStart, span: BucketSpan, patience: &dyn Fn(f64) -> f64) {
        self.presences.forget(at, span, patience);
    }
}

fn bytes_around(id: &KeptId) -> u64 {
    (map_bytes::<KeptId, Table>() + text_bytes(&id.1)) as u64
}

fn value_bytes() -> u64 {
    map_bytes::<u64, Presence>() as u64
}

impl Judge {
    /// Judges the by values of one partition that are in the bucket, then remembers them.
    pub(super) fn judge_rare(
        &mut self,
        present: &[SeriesBucket],
        start: BucketStart,
        mode: Mode,
        partial: &mut PartialBucket,
    ) {
        let Some(first) = present.first() else { return };
        let id = (first.group, first.key.partition.clone());
        let text = |series: &SeriesBucket| hash_of(series.key.by.as_deref().unwrap_or_default());
        let values: Vec<u64> = present.iter().map(text).collect();
        let span = self.job.bucket_span;
        let rulings = self.rulings_on_all(present);
        let mut most = Charge::default();
        if let Some(table) = self.state.rare.get(&id) {
            let looks = table.presences.judge(&values, start, span);
            let history = table.presences.buckets(start, span) as u32;
            let group = &self.layout.groups[usize::from(id.0)];
            for (at, look) in looks.into_iter().enumerate() {
                let Some(look) = look.filter(|_| rulings.is_heard(at, group)) else {
                    continue;
                };
                most = most.or(charge(&look));
                let hidden = |detector| rulings.hides(at, detector);
                self.tell_rare((group, &present[at]), &look, history, hidden, partial);
            }
        }
        partial.judged.add(most);
        if matches!(mode, Mode::Learn) {
            let taught = rulings.taught(&values, &self.layout.groups[usize::from(id.0)]);
            if !taught.is_empty() {
                self.learn_rare(id, &taught, start);
            }
        }
    }

    fn tell_rare(
        &self,
        (group, series): (&Group, &SeriesBucket),
        look: &Look,
        history: u32,
        hidden: impl Fn(u16) -> bool,
        partial: &mut PartialBucket,
    ) {
        let context = Context {
            job: &self.job,
            group,
            kinds: &[],
            middle: EventTime(0),
            tell_all: true,
        };
        let mut influencers = context.split_culprits(&series.key);
        influencers.extend(company(series));
        influencers.sort_by_key(|one| one.0);
        for spec in group.features.iter().filter(|spec| !hidden(spec.detector)) {
            partial.records.push(RecordDraft {
                detector: spec.detector,
                key: series.key.clone(),
                statistic: Statistic::Count,
                actual: 1.0,
                typical: look.ln_probability.exp(),
                place: None,
                bounds: (0.0, 0.0),
                alone: charge(look),
                together: None,
                ln_single: look.ln_probability,
                ln_multi: None,
                history,
                incomplete: false,
                shape: Shape::default(),
                anomaly: (0, 0.0),
                ln_characteristics: 0.0,
                first_occurrence: look.first,
                relative_rarity: Some(look.relative),
                correlated: None,
                causes: Vec::new(),
                influencers: influencers.clone(),
            });
        }
    }

    fn learn_rare(&mut self, id: KeptId, values: &[u64], start: BucketStart) {
        let (span, budget) = (self.job.bucket_span, self.budget);
        let size = &mut self.state.size;
        if !self.state.rare.contains_key(&id) {
            let bytes = bytes_around(&id);
            if !budget.admits(size, bytes) {
                size.refused_series += 1;
                return;
            }
            size.model_bytes += bytes;
        }
        let table = self.state.rare.entry(id).or_insert_with(|| Table {
            presences: Presences::new(start),
            last_seen: start,
        });
        table.last_seen = start;
        table.presences.learn(values, start, span, || {
            let admitted = budget.admits(size, value_bytes());
            match admitted {
                true => size.model_bytes += value_bytes(),
                false => size.refused_series += 1,
            }
            admitted
        });
    }
}

/// What is held against so rare a value.
fn charge(look: &Look) -> Charge {
    Charge {
        ln_probability: look.ln_probability,
        evidence: (-look.ln_probability - LN_BLOCK).max(0.0),
    }
}
