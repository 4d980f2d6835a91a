//! From records to whom they point at: influencer values, their fields, and the bucket as a whole.

use super::documents::ScoredInfluencer;
use crate::engine::judge::RecordDraft;
use crate::engine::probability::{Aggregate, Charge, ln_extreme};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The charge against every influencer value, of its records each as far as it is to blame: ln p and evidence times influence. What series
/// show each for itself is aggregated; what those of one entity show together is one charge however many of them tell of it.
/// Sorted by (influencer, value).
pub(super) fn values(records: &[RecordDraft]) -> Vec<ScoredInfluencer> {
    let mut nodes: BTreeMap<(u16, Arc<str>), (Aggregate, Charge)> = BTreeMap::new();
    for record in records {
        for (field, value, influence) in &record.influencers {
            let (alone, together) = nodes.entry((*field, value.clone())).or_default();
            alone.add(record.alone.share(*influence));
            if let Some(joint) = &record.together {
                *together = together.or(joint.charge.share(*influence));
            }
        }
    }
    let scored = |((field, value), (alone, together)): (_, (Aggregate, Charge))| ScoredInfluencer {
        field,
        value,
        charge: alone.charge().or(together),
        normalised: 0.0,
    };
    nodes.into_iter().map(scored).collect()
}

/// A field as a whole: its strongest value among as many series as were looked at.
pub(super) fn fields(values: &[ScoredInfluencer], judged: u64) -> BTreeMap<u16, Charge> {
    let n = judged.max(1) as f64;
    let mut fields: BTreeMap<u16, Charge> = BTreeMap::new();
    for value in values {
        let field = fields.entry(value.field).or_default();
        field.ln_probability = field.ln_probability.min(value.charge.ln_probability);
        field.evidence = field.evidence.max(value.charge.evidence);
    }
    for field in fields.values_mut() {
        field.ln_probability = ln_extreme(field.ln_probability, n);
        field.evidence = -ln_extreme(-field.evidence, n);
    }
    fields
}
