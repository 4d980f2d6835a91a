//! A scored bucket, and the documents that say it.

use super::history::{Kept, Rewritten};
use super::influencers;
use super::levels::Levels;
use crate::config::{Family, Function, Job, Side};
use crate::engine::categorize::CategorizerStats;
use crate::engine::feature::Statistic;
use crate::engine::judge::{CauseDraft, Place, PlotDraft, RecordDraft, ShardSize};
use crate::engine::probability::{Aggregate, Charge};
use crate::engine::result::{
    Body, Bucket, BucketInfluencer, Cause, Document, DocumentKind, Explanation, GeoResults,
    Influencer, JobCounts, ModelPlot, ModelSizeStats, Record, RecordInfluencer, id, sentence,
};
use crate::engine::score::of_evidence;
use crate::engine::wire::SeriesKey;
use crate::time::{BucketStart, Finality};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// ln 0.05: impacts are told below it.
const LN_IMPACT: f64 = -2.995_732_273_553_991;
/// Influencers are written below this probability (results.md 3.12), or from this much evidence on.
const LN_INFLUENCER: f64 = -3.352_407_217_330_787;
const EVIDENCE_INFLUENCER: f64 = 2.0;

/// A record and its normalised evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ScoredRecord {
    pub(super) draft: RecordDraft,
    pub(super) normalised: f64,
}

/// An influencer value and its normalised evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ScoredInfluencer {
    pub(super) field: u16,
    pub(super) value: Arc<str>,
    pub(super) charge: Charge,
    pub(super) normalised: f64,
}

/// Everything that is said of a bucket, with normalised evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Scored {
    pub(super) start: BucketStart,
    pub(super) event_count: u64,
    pub(super) records: Vec<ScoredRecord>,
    pub(super) influencers: Vec<ScoredInfluencer>,
    pub(super) fields: BTreeMap<u16, Charge>,
    pub(super) fields_normalised: BTreeMap<u16, f64>,
    pub(super) bucket_time: Charge,
    pub(super) bucket_normalised: f64,
}

impl Scored {
    pub(super) fn new(
        start: BucketStart,
        event_count: u64,
        judged: &Aggregate,
        drafts: Vec<RecordDraft>,
        levels: &Levels,
    ) -> Scored {
        let values = influencers::values(&drafts);
        let fields = influencers::fields(&values, judged.members());
        let mut scored = Scored {
            start,
            event_count,
            records: drafts
                .into_iter()
                .map(|draft| ScoredRecord {
                    draft,
                    normalised: 0.0,
                })
                .collect(),
            influencers: values,
            fields,
            fields_normalised: BTreeMap::new(),
            bucket_time: judged.charge(),
            bucket_normalised: 0.0,
        };
        scored.normalise(levels);
        scored
    }

    /// Sets every normalised evidence by what the job has shown so far.
    fn normalise(&mut self, levels: &Levels) {
        for record in &mut self.records {
            record.normalised = levels.records.normalise(record.draft.charge().evidence);
        }
        for one in &mut self.influencers {
            one.normalised = levels.of_influencer(one.field, one.charge.evidence);
        }
        self.normalise_bucket(levels);
    }

    /// The same of the bucket and of its influencer fields alone.
    pub(super) fn normalise_bucket(&mut self, levels: &Levels) {
        let strongest = |index| {
            let values = self.influencers.iter().filter(|one| one.field == index);
            values.map(|one| one.charge.evidence).fold(0.0, f64::max)
        };
        let field = |(&index, node): (&u16, &Charge)| {
            let normalised = levels.of_field(index, node.evidence, strongest(index));
            (index, normalised)
        };
        self.fields_normalised = self.fields.iter().map(field).collect();
        let records = self.records.iter();
        let strongest = records.map(|record| record.draft.charge().evidence);
        self.bucket_normalised =
            levels.of_bucket(self.bucket_time.evidence, strongest.fold(0.0, f64::max));
    }

    /// The bucket's evidence: the most of its influencers', `bucket_time` among them.
    pub(super) fn evidence_most(&self) -> f64 {
        let time = if self.records.is_empty() {
            0.0
        } else {
            self.bucket_normalised
        };
        self.fields_normalised
            .values()
            .copied()
            .fold(time, f64::max)
    }
}

/// A part of a scored bucket that is said, or said again, by itself.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// The bucket and its bucket influencers.
    Bucket,
    /// The influencer at this place.
    Influencer(usize),
    /// The record at this place.
    Record(usize),
}

/// Writes documents of one job.
pub(super) struct Writer {
    pub(super) job: Arc<Job>,
    job_id: Arc<str>,
}

impl Writer {
    pub(super) fn new(job: Arc<Job>) -> Writer {
        Writer {
            job_id: Arc::from(job.id.as_str()),
            job,
        }
    }

    /// All documents of a scored bucket, as first written.
    pub(super) fn bucket(&self, scored: &Scored, finality: Finality) -> Vec<Document> {
        self.documents(scored, scored, finality, |_| true)
    }

    /// All documents of a bucket as they stand.
    pub(super) fn standing(&self, kept: &Kept) -> Vec<Document> {
        self.documents(&kept.written, &kept.initial, Finality::Final, |_| true)
    }

    /// The documents of a bucket whose scores have changed much.
    pub(super) fn rewritten(&self, one: &Rewritten<'_>) -> Vec<Document> {
        let wanted = |part| one.changed.holds(part);
        self.documents(one.now, one.initial, Finality::Final, wanted)
    }

    fn documents(
        &self,
        now: &Scored,
        initial: &Scored,
        finality: Finality,
        wanted: impl Fn(Part) -> bool,
    ) -> Vec<Document> {
        let mut documents = Vec::new();
        if wanted(Part::Bucket) {
            self.bucket_documents(now, initial, finality, &mut documents);
        }
        let influencers = now.influencers.iter().zip(&initial.influencers);
        for (at, (one, first)) in influencers.enumerate() {
            let is_told = one.charge.ln_probability < LN_INFLUENCER
                || one.charge.evidence >= EVIDENCE_INFLUENCER;
            if is_told && wanted(Part::Influencer(at)) {
                let name = self
                    .job
                    .field_name(self.job.influencers[usize::from(one.field)]);
                let id = id::influencer(
                    &self.job.id,
                    now.start,
                    self.job.bucket_span,
                    name,
                    &one.value,
                );
                documents.push(self.document(
                    DocumentKind::Influencer,
                    id,
                    now.start,
                    finality,
                    Body::Influencer(self.influencer(one, first)),
                ));
            }
        }
        for (at, (record, first)) in now.records.iter().zip(&initial.records).enumerate() {
            if wanted(Part::Record(at)) {
                documents.push(self.record_document(now.start, record, first, finality));
            }
        }
        documents
    }

    /// The names of the events that fall into a bucket, each once.
    fn scheduled(&self, start: BucketStart) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (_, event) in self.job.events_in(start) {
            if !names.contains(&event.description) {
                names.push(event.description.clone());
            }
        }
        names
    }

    /// The bucket and its bucket influencers.
    fn bucket_documents(
        &self,
        now: &Scored,
        initial: &Scored,
        finality: Finality,
        documents: &mut Vec<Document>,
    ) {
        let fields = self.bucket_influencers(now, initial);
        let bucket = Bucket {
            anomaly_score: of_evidence(now.evidence_most()),
            initial_anomaly_score: of_evidence(initial.evidence_most()),
            event_count: now.event_count,
            bucket_influencers: fields.clone(),
            scheduled_events: self.scheduled(now.start),
        };
        documents.push(self.document(
            DocumentKind::Bucket,
            id::bucket(&self.job.id, now.start, self.job.bucket_span),
            now.start,
            finality,
            Body::Bucket(bucket),
        ));
        for one in fields {
            let id = id::bucket_influencer(
                &self.job.id,
                now.start,
                self.job.bucket_span,
                &one.influencer_field_name,
            );
            documents.push(self.document(
                DocumentKind::BucketInfluencer,
                id,
                now.start,
                finality,
                Body::BucketInfluencer(one),
            ));
        }
    }

    pub(super) fn document(
        &self,
        kind: DocumentKind,
        id: String,
        time: BucketStart,
        finality: Finality,
        body: Body,
    ) -> Document {
        Document {
            kind,
            id,
            job_id: self.job_id.clone(),
            time,
            span: self.job.bucket_span,
            finality,
            late: None,
            body,
        }
    }

    fn bucket_influencers(&self, now: &Scored, initial: &Scored) -> Vec<BucketInfluencer> {
        if now.records.is_empty() {
            return Vec::new();
        }
        let one = |name: &str, node: &Charge, normalised: f64, first: f64| BucketInfluencer {
            influencer_field_name: name.to_owned(),
            anomaly_score: of_evidence(normalised),
            initial_anomaly_score: of_evidence(first),
            raw_anomaly_score: node.evidence,
            probability: probability(node.ln_probability),
        };
        let mut all = vec![one(
            "bucket_time",
            &now.bucket_time,
            now.bucket_normalised,
            initial.bucket_normalised,
        )];
        for (index, node) in &now.fields {
            let name = self
                .job
                .field_name(self.job.influencers[usize::from(*index)]);
            all.push(one(
                name,
                node,
                now.fields_normalised[index],
                initial.fields_normalised[index],
            ));
        }
        all.sort_by(|a, b| {
            b.anomaly_score
                .total_cmp(&a.anomaly_score)
                .then_with(|| a.influencer_field_name.cmp(&b.influencer_field_name))
        });
        all
    }

    fn influencer(&self, one: &ScoredInfluencer, first: &ScoredInfluencer) -> Influencer {
        Influencer {
            influencer_field_name: self
                .job
                .field_name(self.job.influencers[usize::from(one.field)])
                .to_owned(),
            influencer_field_value: one.value.to_string(),
            influencer_score: of_evidence(one.normalised),
            initial_influencer_score: of_evidence(first.normalised),
            probability: probability(one.charge.ln_probability),
        }
    }

    fn record_document(
        &self,
        start: BucketStart,
        record: &ScoredRecord,
        first: &ScoredRecord,
        finality: Finality,
    ) -> Document {
        let draft = &record.draft;
        let detector = &self.job.detectors[usize::from(draft.detector)];
        let id = id::record(
            &self.job.id,
            start,
            self.job.bucket_span,
            draft.detector,
            &series_hash(&draft.key),
        );
        let name = |field: Option<crate::config::FieldId>| {
            field.map(|field| self.job.field_name(field).to_owned())
        };
        let mut document = Record {
            detector_index: draft.detector,
            probability: probability(draft.charge().ln_probability),
            record_score: of_evidence(record.normalised),
            initial_record_score: of_evidence(first.normalised),
            multi_bucket_impact: multi_bucket_impact(draft.ln_single, draft.ln_multi),
            function: detector.function.name(),
            function_description: description(detector.function, draft.statistic),
            field_name: name(detector.field),
            by_field_name: name(detector.by),
            by_field_value: draft.key.by.as_ref().map(ToString::to_string),
            correlated_by_field_value: draft.correlated.as_ref().map(ToString::to_string),
            over_field_name: name(detector.over),
            over_field_value: draft.key.over.as_ref().map(ToString::to_string),
            partition_field_name: name(detector.partition),
            partition_field_value: draft.key.partition.as_ref().map(ToString::to_string),
            typical: values(
                told(draft.typical, draft),
                draft.place.map(|place| place.typical),
            ),
            actual: values(draft.actual, draft.place.map(|place| place.actual)),
            geo_results: draft
                .place
                .filter(|_| draft.causes.is_empty())
                .map(|place| geo(draft.typical, draft.actual, place)),
            causes: self.causes(draft),
            influencers: self.record_influencers(draft),
            explanation: explanation(draft),
            first_occurrence: draft.first_occurrence,
            history: draft.history,
            description: String::new(),
        };
        document.description = sentence::of_record(&document);
        self.document(
            DocumentKind::Record,
            id,
            start,
            finality,
            Body::Record(Box::new(document)),
        )
    }

    fn causes(&self, draft: &RecordDraft) -> Vec<Cause> {
        let detector = &self.job.detectors[usize::from(draft.detector)];
        let name = |field: Option<crate::config::FieldId>| {
            field.map(|field| self.job.field_name(field).to_owned())
        };
        let cause = |cause: &CauseDraft| Cause {
            probability: probability(cause.ln_probability),
            by_field_name: name(detector.by),
            by_field_value: cause.by.as_ref().map(ToString::to_string),
            over_field_name: name(detector.over),
            over_field_value: draft.key.over.as_ref().map(ToString::to_string),
            partition_field_name: name(detector.partition),
            partition_field_value: draft.key.partition.as_ref().map(ToString::to_string),
            function: detector.function.name(),
            function_description: description(detector.function, cause.statistic),
            field_name: name(detector.field),
            typical: values(cause.typical, cause.place.map(|place| place.typical)),
            actual: values(cause.actual, cause.place.map(|place| place.actual)),
            geo_results: cause
                .place
                .map(|place| geo(cause.typical, cause.actual, place)),
        };
        draft.causes.iter().map(cause).collect()
    }

    fn record_influencers(&self, draft: &RecordDraft) -> Vec<RecordInfluencer> {
        let by_field = draft.influencers.chunk_by(|a, b| a.0 == b.0);
        let told = |chunk: &[(u16, Arc<str>, f64)]| RecordInfluencer {
            influencer_field_name: self
                .job
                .field_name(self.job.influencers[usize::from(chunk[0].0)])
                .to_owned(),
            influencer_field_values: chunk
                .iter()
                .map(|(_, value, _)| value.to_string())
                .collect(),
        };
        by_field.map(told).collect()
    }

    pub(super) fn plots(&self, start: BucketStart, plots: &[PlotDraft]) -> Vec<Document> {
        let document = |plot: &PlotDraft| {
            let detector = &self.job.detectors[usize::from(plot.detector)];
            let name = |field: Option<crate::config::FieldId>| {
                field.map(|field| self.job.field_name(field).to_owned())
            };
            let mut id = id::model_plot(
                &self.job.id,
                start,
                self.job.bucket_span,
                plot.detector,
                &series_hash(&plot.key),
            );
            if detector.function.family == Family::Metric {
                // Three features of one series and detector: Elastic's id tells them not apart, ours has to.
                id.push_str(feature_suffix(plot.statistic));
            }
            let body = ModelPlot {
                detector_index: plot.detector,
                by_field_name: name(detector.by),
                by_field_value: plot.key.by.as_ref().map(ToString::to_string),
                partition_field_name: name(detector.partition),
                partition_field_value: plot.key.partition.as_ref().map(ToString::to_string),
                over_field_name: name(detector.over),
                over_field_value: plot.key.over.as_ref().map(ToString::to_string),
                model_feature: match detector.over {
                    Some(_) => model_feature_of_attribute(detector.function, plot.statistic),
                    None => model_feature(detector.function, plot.statistic),
                },
                model_lower: plot.bounds.0,
                model_upper: plot.bounds.1,
                model_median: plot.median,
                actual: plot.actual,
            };
            self.document(
                DocumentKind::ModelPlot,
                id,
                start,
                Finality::Final,
                Body::ModelPlot(body),
            )
        };
        plots.iter().map(document).collect()
    }

    pub(super) fn model_size(
        &self,
        at: BucketStart,
        size: &ShardSize,
        peak: u64,
        categories: CategorizerStats,
    ) -> Document {
        let limit = self.job.model_memory_limit_bytes;
        let stats = ModelSizeStats {
            model_bytes: size.model_bytes,
            peak_model_bytes: peak.max(size.model_bytes),
            model_bytes_exceeded: size.model_bytes.saturating_sub(limit),
            model_bytes_memory_limit: limit,
            total_by_field_count: size.by_values,
            total_over_field_count: size.over_values,
            total_partition_field_count: size.partitions,
            bucket_allocation_failures_count: size.allocation_failures,
            refused_series_count: size.refused_series,
            refused_growth_count: size.refused_growth,
            memory_status: size.status,
            categories,
        };
        self.document(
            DocumentKind::ModelSizeStats,
            id::model_size_stats(&self.job.id, at),
            at,
            Finality::Final,
            Body::ModelSizeStats(stats),
        )
    }

    pub(super) fn data_counts(&self, at: BucketStart, counts: JobCounts) -> Document {
        self.document(
            DocumentKind::DataCounts,
            id::data_counts(&self.job.id),
            at,
            Finality::Final,
            Body::DataCounts(counts),
        )
    }
}

/// The probability of a logarithm; never 0 (results.md 3.5).
fn probability(ln_p: f64) -> f64 {
    ln_p.exp().clamp(f64::MIN_POSITIVE, 1.0)
}

/// A number alone, or latitude and longitude.
fn values(first: f64, second: Option<f64>) -> Vec<f64> {
    std::iter::once(first).chain(second).collect()
}

fn geo(typical: f64, actual: f64, place: Place) -> GeoResults {
    GeoResults::of((typical, place.typical), (actual, place.actual))
}

pub(crate) fn series_hash(key: &SeriesKey) -> String {
    id::entity_hash([
        key.by.as_deref(),
        key.over.as_deref(),
        key.partition.as_deref(),
    ])
}

/// What tells the ids of one detector's features apart.
pub(crate) fn feature_suffix(statistic: Statistic) -> &'static str {
    match statistic {
        Statistic::Min => "_min",
        Statistic::Max => "_max",
        _ => "_mean",
    }
}

/// −5 (this bucket alone) to 5 (the last dozen), floored to two decimals (results.md 3.12).
fn multi_bucket_impact(ln_single: f64, ln_multi: Option<f64>) -> f64 {
    const MOST: f64 = 5.0;
    let Some(ln_multi) = ln_multi else {
        return -MOST;
    };
    let scale = MOST * ln_single.min(ln_multi) / ln_single.max(ln_multi).min(-0.001) / 1000f64.ln();
    let impact = (scale * (ln_single - ln_multi)).clamp(-MOST, MOST);
    (impact * 100.0).floor() / 100.0
}

/// A number of a record as it is told: 0 where it is nothing beside what came and what might have, such as 1e-125 events where seven came.
fn told(x: f64, draft: &RecordDraft) -> f64 {
    const NOTHING: f64 = 1e-6;
    let (low, high) = draft.bounds;
    let scale = draft.actual.abs().max(low.abs()).max(high.abs());
    match draft.place.is_none() && scale.is_finite() && x.abs() < NOTHING * scale {
        true => 0.0,
        false => x,
    }
}

fn explanation(draft: &RecordDraft) -> Explanation {
    let impact = |ln_p: f64| {
        (ln_p < LN_IMPACT)
            .then(|| (-ln_p / std::f64::consts::LN_10).round() as u32)
            .filter(|&impact| impact > 0)
    };
    let (length, error) = draft.anomaly;
    let is_number = draft.place.is_none();
    let together = draft
        .together
        .filter(|together| together.series > 1)
        .filter(|together| together.charge.evidence > draft.alone.evidence);
    Explanation {
        anomaly_type: (length > 0).then_some(if error > 0.0 { "spike" } else { "dip" }),
        anomaly_length: (length > 0).then_some(length),
        single_bucket_impact: impact(draft.ln_single),
        multi_bucket_impact: draft.ln_multi.and_then(impact),
        anomaly_characteristics_impact: impact(draft.ln_characteristics),
        lower_confidence_bound: is_number.then(|| told(draft.bounds.0, draft)),
        typical_value: is_number.then(|| told(draft.typical, draft)),
        upper_confidence_bound: is_number.then(|| told(draft.bounds.1, draft)),
        high_variance_penalty: draft.shape.high_variance,
        incomplete_bucket_penalty: draft.incomplete,
        multimodal_distribution: draft.shape.multimodal,
        by_field_first_occurrence: draft.first_occurrence,
        by_field_relative_rarity: draft.relative_rarity,
        series_together: together.map(|together| together.series),
        series_together_share: together.map(|together| together.share),
    }
}

/// `function_description`: of `metric`, that of its most unusual statistic.
pub(super) fn description(function: Function, statistic: Statistic) -> &'static str {
    match (function.family, statistic) {
        (Family::Metric, Statistic::Min) => "min",
        (Family::Metric, Statistic::Max) => "max",
        _ => function.description(),
    }
}

/// `model_feature` (functions.md 2.7), its quotes included.
pub(crate) fn model_feature(function: Function, statistic: Statistic) -> &'static str {
    match (function.family, function.side, statistic) {
        (Family::Count, Side::Both, _) => "'count per bucket by person'",
        (Family::Count, Side::High, _) => "'high values of count per bucket by person'",
        (Family::Count, Side::Low, _) => "'low values of count per bucket by person'",
        (Family::NonZeroCount, Side::Both, _) => "'non-zero count per bucket by person'",
        (Family::NonZeroCount, Side::High, _) => "'high non-zero count per bucket by person'",
        (Family::NonZeroCount, Side::Low, _) => "'low non-zero count per bucket by person'",
        (Family::DistinctCount, Side::Both, _) => "'unique count per bucket by person'",
        (Family::DistinctCount, Side::High, _) => "'high unique count per bucket by person'",
        (Family::DistinctCount, Side::Low, _) => "'low unique count per bucket by person'",
        (Family::InfoContent, ..) => "'information content of value per bucket by person'",
        (Family::Mean, Side::High, _) => "'high mean value by person'",
        (Family::Mean, Side::Low, _) => "'low mean value by person'",
        (Family::Median, ..) => "'median value by person'",
        (Family::Min, ..) | (Family::Metric, _, Statistic::Min) => "'minimum value by person'",
        (Family::Max, ..) | (Family::Metric, _, Statistic::Max) => "'maximum value by person'",
        (Family::Sum, ..) => "'bucket sum by person'",
        (Family::NonNullSum, ..) => "'bucket non-null sum by person'",
        (Family::Varp, ..) => "'variance of values by person'",
        _ => "'arithmetic mean value by person'",
    }
}

/// The same of a population, whose members are persons and whose by values are attributes. A bucket in which a member does not show has no value, so counts are those of events that came.
fn model_feature_of_attribute(function: Function, statistic: Statistic) -> &'static str {
    match (function.family, function.side, statistic) {
        (Family::Count, Side::Both, _) => "'non-zero count per bucket by person and attribute'",
        (Family::Count, Side::High, _) => {
            "'high non-zero count per bucket by person and attribute'"
        }
        (Family::Count, Side::Low, _) => "'low non-zero count per bucket by person and attribute'",
        (Family::DistinctCount, Side::Both, _) => {
            "'unique count per bucket by person and attribute'"
        }
        (Family::DistinctCount, Side::High, _) => {
            "'high unique count per bucket by person and attribute'"
        }
        (Family::DistinctCount, Side::Low, _) => {
            "'low unique count per bucket by person and attribute'"
        }
        (Family::InfoContent, ..) => {
            "'information content of value per bucket by person and attribute'"
        }
        (Family::Mean, Side::High, _) => "'high mean value by person and attribute'",
        (Family::Mean, Side::Low, _) => "'low mean value by person and attribute'",
        (Family::Median, ..) => "'median value by person and attribute'",
        (Family::Min, ..) | (Family::Metric, _, Statistic::Min) => {
            "'minimum value by person and attribute'"
        }
        (Family::Max, ..) | (Family::Metric, _, Statistic::Max) => {
            "'maximum value by person and attribute'"
        }
        (Family::Sum, ..) => "'bucket sum by person and attribute'",
        (Family::Varp, ..) => "'variance of values by person and attribute'",
        _ => "'mean value by person and attribute'",
    }
}
