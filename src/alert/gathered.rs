//! The documents of one bucket, and the findings in them: a score, who is to blame, and what to say about it.
//!
//! Holds: findings do not depend on the order in which the documents came.

use super::incident::{Entity, Evidence, result_type};
use crate::config::{AlertSubject, MLCATEGORY};
use crate::engine::result::{Body, Document, Record};
use std::collections::BTreeMap;

/// Something in a bucket that may begin an incident or keep one going.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// Fields and values that it may be put down to, the most likely first.
    pub(super) blamed: Vec<(String, String)>,
    /// Those, and the values of its split.
    values: Vec<(String, String)>,
    pub(super) evidence: Evidence,
}

impl Finding {
    /// The values of `fields`, as far as it has them.
    pub(super) fn values_of(&self, fields: &[String]) -> Entity {
        let wanted = |field: &String| {
            let found = self.values.iter().find(|(name, _)| name == field)?;
            Some(found.clone())
        };
        fields.iter().filter_map(wanted).collect()
    }
}

/// What has come of one bucket so far.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// By document id: a later word replaces an earlier one.
    records: BTreeMap<String, Finding>,
    influencers: BTreeMap<(String, String), (String, f64, f64)>,
    bucket: Option<(String, f64)>,
}

impl Gathered {
    /// Records that score less than `record_score_min` are of no use.
    pub(super) fn take(&mut self, document: &Document, record_score_min: f64) {
        match &document.body {
            Body::Record(record) if record.record_score < record_score_min => {
                self.records.remove(&document.id);
            }
            Body::Record(record) => {
                let finding = of_record(document, record);
                self.records.insert(document.id.clone(), finding);
            }
            Body::Influencer(one) => {
                let who = (
                    one.influencer_field_name.clone(),
                    one.influencer_field_value.clone(),
                );
                let word = (document.id.clone(), one.influencer_score, one.probability);
                self.influencers.insert(who, word);
            }
            Body::Bucket(bucket) => self.bucket = Some((document.id.clone(), bucket.anomaly_score)),
            Body::BucketInfluencer(_)
            | Body::ModelPlot(_)
            | Body::Annotation(_)
            | Body::ModelSizeStats(_)
            | Body::DataCounts(_)
            | Body::Category(_)
            | Body::CategorizerStats(_)
            | Body::ModelForecast(_)
            | Body::ForecastStats(_) => {}
        }
    }

    /// What scores at least `score_min`, the highest first.
    pub(super) fn findings(
        mut self,
        subject: AlertSubject,
        score_min: f64,
        start_ms: i64,
    ) -> Vec<Finding> {
        let mut found: Vec<Finding> = match subject {
            AlertSubject::Record => std::mem::take(&mut self.records).into_values().collect(),
            AlertSubject::Influencer => self.of_influencers(start_ms),
            AlertSubject::Bucket => self.of_bucket(start_ms),
        };
        found.retain(|finding| finding.evidence.score >= score_min);
        found.sort_by(|a, b| {
            let (a, b) = (&a.evidence, &b.evidence);
            b.score
                .total_cmp(&a.score)
                .then_with(|| a.document_id.cmp(&b.document_id))
        });
        self.rank_blamed(&mut found);
        found
    }

    /// The value that accounts for the most comes first: by the scores of all findings that blame it, then by its own as an influencer. What many
    /// have in common is one incident.
    fn rank_blamed(&self, found: &mut [Finding]) {
        let mut weights: BTreeMap<(String, String), f64> = BTreeMap::new();
        for finding in found.iter() {
            for who in &finding.blamed {
                *weights.entry(who.clone()).or_default() += finding.evidence.score;
            }
        }
        let own = |who: &(String, String)| self.influencers.get(who).map_or(0.0, |one| one.1);
        for finding in found {
            // Stable: among equals the order of `of_record` stays.
            finding.blamed.sort_by(|a, b| {
                let heavier = weights[b].total_cmp(&weights[a]);
                heavier.then_with(|| own(b).total_cmp(&own(a)))
            });
        }
    }

    fn of_influencers(&self, start_ms: i64) -> Vec<Finding> {
        let finding =
            |(who, (id, score, probability)): (&(String, String), &(String, f64, f64))| {
                let strongest = self.strongest(|finding| finding.values.contains(who));
                let sentence = format!("{} {} stands out.", who.0, who.1);
                let mut evidence = explain(strongest, sentence);
                evidence.result_type = result_type(AlertSubject::Influencer).to_owned();
                evidence.document_id.clone_from(id);
                evidence.timestamp = start_ms;
                evidence.score = *score;
                evidence.probability = Some(*probability);
                Finding {
                    blamed: vec![who.clone()],
                    values: vec![who.clone()],
                    evidence,
                }
            };
        self.influencers.iter().map(finding).collect()
    }

    fn of_bucket(&self, start_ms: i64) -> Vec<Finding> {
        let finding = |(id, score): &(String, f64)| {
            let sentence = "The bucket as a whole is unusual.".to_owned();
            let mut evidence = explain(self.strongest(|_| true), sentence);
            evidence.result_type = result_type(AlertSubject::Bucket).to_owned();
            evidence.document_id.clone_from(id);
            evidence.timestamp = start_ms;
            evidence.score = *score;
            evidence.probability = None;
            Finding {
                blamed: Vec::new(),
                values: Vec::new(),
                evidence,
            }
        };
        self.bucket.iter().map(finding).collect()
    }

    /// The record of the highest score among those wanted; of equals the first by id.
    fn strongest(&self, is_wanted: impl Fn(&Finding) -> bool) -> Option<&Evidence> {
        let wanted = self.records.values().filter(|finding| is_wanted(finding));
        wanted
            .map(|finding| &finding.evidence)
            .reduce(|best, one| match one.score > best.score {
                true => one,
                false => best,
            })
    }
}

/// What the record says, or, without one, the sentence.
fn explain(record: Option<&Evidence>, sentence: String) -> Evidence {
    record.cloned().unwrap_or(Evidence {
        description: sentence,
        ..Evidence::default()
    })
}

/// Blamed are its strongest influencer values, one a field; without any, its partition and by value. Nobody is to blame for what a category of messages is called,
/// and what a restart writes is one incident.
fn of_record(document: &Document, record: &Record) -> Finding {
    let influencers = record.influencers.iter().filter_map(|one| {
        let value = one.influencer_field_values.first()?;
        Some((one.influencer_field_name.clone(), value.clone()))
    });
    let splits = record.splits();
    let splits = splits.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut values: Vec<(String, String)> = influencers.collect();
    let is_to_blame = |who: &&(String, String)| who.0 != MLCATEGORY;
    let mut blamed: Vec<_> = values.iter().filter(is_to_blame).cloned().collect();
    let splits: Vec<_> = splits.filter(|who| !values.contains(who)).collect();
    values.extend(splits);
    if blamed.is_empty() {
        blamed.extend(values.iter().filter(is_to_blame).cloned());
    }
    Finding {
        blamed,
        values,
        evidence: Evidence {
            result_type: result_type(AlertSubject::Record).to_owned(),
            document_id: document.id.clone(),
            timestamp: document.time.millis(),
            score: record.record_score,
            detector_index: Some(record.detector_index),
            function: Some(record.function.to_owned()),
            field_name: record.field_name.clone(),
            actual: record.told().0.to_vec(),
            typical: record.told().1.to_vec(),
            probability: Some(record.probability),
            description: record.description.clone(),
        },
    }
}
