//! Parts of a bucket become one.
//!
//! Shards speak of different series, but for a topic that is keyed in word only ([`keys`](crate::engine::keys)): there two of them may say something of one series.
//! A document stands for one series of one bucket, so one word is kept: of records the less usual; of equals, and of everything else, the one whose bytes are the
//! smaller, which says nothing but is the same whoever spoke first. Holds: associative and commutative. Checked: tests/engine/keys.rs, tests/simulation.rs.

use crate::engine::judge::{ChangeDraft, PartialBucket, PlotDraft, RecordDraft};
use serde::Serialize;
use std::cmp::Ordering;

/// Adds another shard's part of the bucket.
pub(super) fn merge(into: &mut PartialBucket, other: PartialBucket) {
    into.event_count += other.event_count;
    into.judged.merge(&other.judged);
    into.records.extend(other.records);
    say_records_once(&mut into.records);
    into.changes.extend(other.changes);
    let by_series = |a: &ChangeDraft, b: &ChangeDraft| {
        (a.detector, &a.key, a.statistic).cmp(&(b.detector, &b.key, b.statistic))
    };
    say_once(&mut into.changes, by_series, |_, _| Ordering::Equal);
    into.plots.extend(other.plots);
    say_plots_once(&mut into.plots);
}

/// Records in order, one a series.
pub(super) fn say_records_once(records: &mut Vec<RecordDraft>) {
    let ln_probability = |draft: &RecordDraft| draft.charge().ln_probability;
    say_once(
        records,
        |a, b| (a.detector, &a.key).cmp(&(b.detector, &b.key)),
        |a, b| ln_probability(a).total_cmp(&ln_probability(b)),
    );
}

/// Plots in order, one a series.
pub(super) fn say_plots_once(plots: &mut Vec<PlotDraft>) {
    let by_series = |a: &PlotDraft, b: &PlotDraft| {
        (a.detector, &a.key, a.statistic).cmp(&(b.detector, &b.key, b.statistic))
    };
    say_once(plots, by_series, |_, _| Ordering::Equal);
}

fn say_once<D: Serialize>(
    drafts: &mut Vec<D>,
    by_series: impl Fn(&D, &D) -> Ordering,
    by_rank: impl Fn(&D, &D) -> Ordering,
) {
    let bytes = |draft: &D| postcard::to_stdvec(draft).unwrap_or_default();
    let by_bytes = |a: &D, b: &D| bytes(a).cmp(&bytes(b));
    drafts.sort_by(|a, b| {
        let by_rank = || by_rank(a, b).then_with(|| by_bytes(a, b));
        by_series(a, b).then_with(by_rank)
    });
    drafts.dedup_by(|later, kept| by_series(kept, later).is_eq());
}
