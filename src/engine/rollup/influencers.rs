//! From records to whom they point at: influencer values, their fields, and the bucket as a whole.

use super::documents::{Node, ScoredInfluencer};
use crate::engine::judge::RecordDraft;
use crate::engine::probability::{Aggregate, ln_extreme};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The aggregate of every influencer value's records, each as far as it is to blame: ln p and evidence times influence.
/// Sorted by (influencer, value).
pub(super) fn values(records: &[RecordDraft]) -> Vec<ScoredInfluencer> {
    let mut nodes: BTreeMap<(u16, Arc<str>), Aggregate> = BTreeMap::new();
    for record in records {
        for (field, value, influence) in &record.influencers {
            nodes.entry((*field, value.clone())).or_default().add(
                record.ln_probability * influence,
                record.evidence * influence,
            );
        }
    }
    let scored = |((field, value), node): ((u16, Arc<str>), Aggregate)| ScoredInfluencer {
        field,
        value,
        node: Node::of(&node),
        normalised: 0.0,
    };
    nodes.into_iter().map(scored).collect()
}

/// A field as a whole: its strongest value among as many series as were looked at.
pub(super) fn fields(values: &[ScoredInfluencer], judged: u64) -> BTreeMap<u16, Node> {
    let n = judged.max(1) as f64;
    let mut fields: BTreeMap<u16, Node> = BTreeMap::new();
    for value in values {
        let field = fields.entry(value.field).or_default();
        field.ln_probability = field.ln_probability.min(value.node.ln_probability);
        field.evidence = field.evidence.max(value.node.evidence);
    }
    for field in fields.values_mut() {
        field.ln_probability = ln_extreme(field.ln_probability, n);
        field.evidence = -ln_extreme(-field.evidence, n);
    }
    fields
}
