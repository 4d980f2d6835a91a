//! Result documents, read the way their consumers read them, and gathered into what a person wants to see.
//!
//! A [`Finding`] is a record, an [`Episode`] a run of records of one series in adjacent buckets, shown once at its peak, an [`Group`] the
//! episodes of one detector at one time (a release that slows every host is one thing, not twelve). Documents
//! may come again with another score (renormalisation): the later word counts. Kept in memory: records and influencers at
//! or above the least score asked for, some 400 bytes each. Scores 0 to 100; times are milliseconds.

use crate::config::MLCATEGORY;
use crate::engine::result::sentence::as_told;
use crate::simulate::Alarm;
use crate::time::EventTime;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Fields with their values: one copy for all records that share it.
pub(super) type Names = Arc<Vec<(String, String)>>;

/// One anomaly record.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Finding {
    pub(super) start_ms: i64,
    pub(super) span_ms: i64,
    pub(super) score: f64,
    /// The score when first said.
    pub(super) initial_score: f64,
    pub(super) detector: u64,
    /// `high_mean(latency_ms)`.
    pub(super) what: Arc<str>,
    /// By, over and partition fields with their values.
    pub(super) series: Names,
    /// Influencer fields with their values, strongest first; those of `series` left out.
    pub(super) influencers: Names,
    pub(super) actual: Option<f64>,
    pub(super) typical: Option<f64>,
    pub(super) sentence: Box<str>,
    /// `mean`: of a detector with several statistics, the one that the record tells of.
    pub(super) statistic: Arc<str>,
    pub(super) why: Why,
}

/// Why a record was written, beyond its sentence: `probability` and `anomaly_score_explanation`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Why {
    pub(super) probability: f64,
    /// The central 95 % of what was expected.
    pub(super) bounds: Option<(f64, f64)>,
    /// For how many buckets the value has been too high (above 0) or too low (below 0).
    pub(super) lasting: i64,
    /// -log10 of the probability of this bucket alone, and of the last dozen together.
    pub(super) single_impact: u64,
    pub(super) multi_impact: u64,
    /// Fewer measurements than usual.
    pub(super) incomplete: bool,
    /// Never seen before.
    pub(super) first_occurrence: bool,
}

impl Why {
    fn from_record(document: &Value) -> Why {
        let told = &document["anomaly_score_explanation"];
        // What is 0 is left out of documents: one bound alone means that the other is 0.
        let statistic = document["function_description"]
            .as_str()
            .unwrap_or_default();
        let bound = |key: &str| Some(as_told(statistic, told[key].as_f64()?));
        let bounds = match (
            bound("lower_confidence_bound"),
            bound("upper_confidence_bound"),
        ) {
            (None, None) => None,
            (low, high) => Some((low.unwrap_or(0.0), high.unwrap_or(0.0))),
        };
        let length = told["anomaly_length"].as_i64().unwrap_or(0);
        Why {
            probability: document["probability"].as_f64().unwrap_or(1.0),
            bounds,
            lasting: if told["anomaly_type"] == "dip" {
                -length
            } else {
                length
            },
            single_impact: told["single_bucket_impact"].as_u64().unwrap_or(0),
            multi_impact: told["multi_bucket_impact"].as_u64().unwrap_or(0),
            incomplete: told["incomplete_bucket_penalty"] == true,
            first_occurrence: told["by_field_first_occurrence"] == true,
        }
    }
}

impl Finding {
    /// What the messages of its category say, where its series is told apart by nothing else: ids mean nothing to a person.
    pub(super) fn message(&self) -> Option<&str> {
        let [(field, id)] = self.series.as_slice() else {
            return None;
        };
        if field != MLCATEGORY {
            return None;
        }
        let (_, message) = self
            .sentence
            .rsplit_once(&format!(" {MLCATEGORY} {id} is \""))?;
        message.strip_suffix("\".")
    }

    /// From a record document; `None` when it is not one.
    pub(super) fn from_record(document: &Value) -> Option<Finding> {
        if document["result_type"] != "record" {
            return None;
        }
        let text = |key: &str| document[key].as_str().map(str::to_owned);
        let first = |key: &str| document[key].get(0).and_then(Value::as_f64);
        let mut series = Vec::new();
        for split in ["partition", "over", "by"] {
            let field = text(&format!("{split}_field_name"));
            let value = text(&format!("{split}_field_value"));
            series.extend(field.zip(value));
        }
        let mut influencers = Vec::new();
        for influencer in document["influencers"].as_array().into_iter().flatten() {
            let field = influencer["influencer_field_name"]
                .as_str()
                .unwrap_or_default();
            for value in influencer["influencer_field_values"]
                .as_array()
                .into_iter()
                .flatten()
            {
                let pair = (
                    field.to_owned(),
                    value.as_str().unwrap_or_default().to_owned(),
                );
                if !series.contains(&pair) {
                    influencers.push(pair);
                }
            }
        }
        let function = text("function").unwrap_or_default();
        let statistic = text("function_description").unwrap_or_default();
        let score = document["record_score"].as_f64()?;
        // Of times, places and what is rare the sentence tells; the figures say nothing.
        let is_number = ![
            "time_of_day",
            "time_of_week",
            "lat_long",
            "rare",
            "freq_rare",
        ]
        .contains(&function.as_str());
        Some(Finding {
            start_ms: document["timestamp"].as_i64()?,
            span_ms: document["bucket_span"].as_i64()?.saturating_mul(1000),
            score,
            initial_score: document["initial_record_score"].as_f64().unwrap_or(score),
            detector: document["detector_index"].as_u64().unwrap_or(0),
            what: match text("field_name") {
                Some(field) => format!("{function}({field})").into(),
                None => function.into(),
            },
            series: Arc::new(series),
            influencers: Arc::new(influencers),
            actual: first("actual").filter(|_| is_number),
            typical: first("typical")
                .filter(|_| is_number)
                .map(|typical| as_told(&statistic, typical)),
            sentence: text("description").unwrap_or_default().into(),
            statistic: statistic.into(),
            why: match Why::from_record(document) {
                why if is_number => why,
                why => Why {
                    bounds: None,
                    ..why
                },
            },
        })
    }

    /// The finding as the verdict wants it.
    pub(super) fn alarm(&self) -> Alarm {
        Alarm {
            start: EventTime(self.start_ms),
            end: EventTime(self.start_ms + self.span_ms),
            score: self.score,
            entities: self
                .series
                .iter()
                .chain(&*self.influencers)
                .cloned()
                .collect(),
        }
    }
}

/// Records of one series in adjacent buckets.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Episode {
    /// The strongest of them, the first of equals.
    pub(super) peak: Finding,
    /// Start of the first bucket.
    pub(super) start_ms: i64,
    /// End of the last one, exclusive.
    pub(super) end_ms: i64,
}

/// Episodes that are one thing to a person: of one detector, at the same time, in several series.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    /// The strongest.
    pub(super) lead: Episode,
    /// The others whose peak lies within it, the strongest first.
    pub(super) others: Vec<Episode>,
}

impl Group {
    fn includes(&self, episode: &Episode) -> bool {
        let lead = &self.lead;
        lead.peak.detector == episode.peak.detector
            && (lead.start_ms..lead.end_ms).contains(&episode.peak.start_ms)
    }
}

/// An influencer over the whole input.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Influencer {
    pub(super) field: String,
    pub(super) value: String,
    /// Its highest score.
    pub(super) score: f64,
    /// In how many buckets it stood out.
    pub(super) buckets: usize,
}

/// Gathers documents as they come.
#[derive(Default)]
pub(super) struct Findings {
    /// The least scores that are kept.
    record_score_min: f64,
    influencer_score_min: f64,
    records: BTreeMap<SeriesPoint, Finding>,
    influencers: BTreeMap<(String, String), BTreeMap<i64, f64>>,
    /// How many buckets all of them hold.
    influencer_buckets: usize,
    /// What records share.
    names: BTreeSet<Names>,
    whats: BTreeSet<Arc<str>>,
}

/// Detector, series, bucket start: records sorted by it lie as episodes need them.
type SeriesPoint = (u64, Names, i64);

/// The copy of `one` that is kept.
fn shared<T: ?Sized + Ord>(kept: &mut BTreeSet<Arc<T>>, one: &Arc<T>) -> Arc<T> {
    match kept.get(one) {
        Some(known) => Arc::clone(known),
        None => {
            kept.insert(Arc::clone(one));
            Arc::clone(one)
        }
    }
}

/// The least score that is above that of the weaker half.
fn upper_half(mut scores: Vec<f64>) -> f64 {
    scores.sort_by(f64::total_cmp);
    scores[scores.len() / 2].next_up()
}

impl Findings {
    /// Keeps what scores at least `score_min`.
    pub(super) fn new(score_min: f64) -> Findings {
        Findings {
            record_score_min: score_min,
            influencer_score_min: score_min,
            ..Findings::default()
        }
    }

    /// Takes a document of any kind; a later one of the same bucket and series replaces an earlier one.
    pub(super) fn add(&mut self, document: &Value) {
        if let Some(mut finding) = Finding::from_record(document) {
            finding.what = shared(&mut self.whats, &finding.what);
            finding.statistic = shared(&mut self.whats, &finding.statistic);
            finding.series = shared(&mut self.names, &finding.series);
            finding.influencers = shared(&mut self.names, &finding.influencers);
            let key = (finding.detector, finding.series.clone(), finding.start_ms);
            match finding.score >= self.record_score_min {
                true => drop(self.records.insert(key, finding)),
                false => drop(self.records.remove(&key)),
            }
        } else if document["result_type"] == "influencer" {
            self.add_influencer(document);
        }
    }

    fn add_influencer(&mut self, document: &Value) {
        let text = |key: &str| document[key].as_str().unwrap_or_default().to_owned();
        let (Some(start_ms), Some(score)) = (
            document["timestamp"].as_i64(),
            document["influencer_score"].as_f64(),
        ) else {
            return;
        };
        let key = (
            text("influencer_field_name"),
            text("influencer_field_value"),
        );
        if score >= self.influencer_score_min {
            let buckets = self.influencers.entry(key).or_default();
            self.influencer_buckets += usize::from(buckets.insert(start_ms, score).is_none());
        } else if let Some(buckets) = self.influencers.get_mut(&key) {
            self.influencer_buckets -= usize::from(buckets.remove(&start_ms).is_some());
        }
    }

    /// Keeps at most so many records, and so many buckets of influencers: of more, the weaker half is forgotten, and all that is as weak from
    /// then on.
    pub(super) fn keep_at_most(&mut self, records_max: usize, influencer_buckets_max: usize) {
        if self.records.len() > records_max {
            let scores = self.records.values().map(|record| record.score);
            self.record_score_min = upper_half(scores.collect());
            let least = self.record_score_min;
            self.records.retain(|_, record| record.score >= least);
        }
        if self.influencer_buckets > influencer_buckets_max {
            let scores = self.influencers.values().flat_map(BTreeMap::values);
            self.influencer_score_min = upper_half(scores.copied().collect());
            let least = self.influencer_score_min;
            for buckets in self.influencers.values_mut() {
                buckets.retain(|_, score| *score >= least);
            }
            self.influencers.retain(|_, buckets| !buckets.is_empty());
            self.influencer_buckets = self.influencers.values().map(BTreeMap::len).sum();
        }
        // Names that nothing refers to any more. A record has two, so that half of them go at the least.
        if self.names.len() > 4 * records_max + 2 {
            self.names.retain(|names| Arc::strong_count(names) > 1);
        }
    }

    /// The least scores of records and of influencers that are kept.
    pub(super) fn score_min(&self) -> (f64, f64) {
        (self.record_score_min, self.influencer_score_min)
    }

    /// Every episode, the strongest first.
    pub(super) fn episodes(&self) -> Vec<Episode> {
        let mut episodes: Vec<Episode> = Vec::new();
        for record in self.records.values() {
            let end_ms = record.start_ms + record.span_ms;
            match episodes.last_mut() {
                Some(last)
                    if last.end_ms == record.start_ms
                        && last.peak.detector == record.detector
                        && last.peak.series == record.series =>
                {
                    last.end_ms = end_ms;
                    if record.score > last.peak.score {
                        last.peak = record.clone();
                    }
                }
                _ => episodes.push(Episode {
                    peak: record.clone(),
                    start_ms: record.start_ms,
                    end_ms,
                }),
            }
        }
        episodes.sort_by(|a, b| {
            b.peak
                .score
                .total_cmp(&a.peak.score)
                .then(a.start_ms.cmp(&b.start_ms))
        });
        episodes
    }

    /// Every episode, those that belong together in one, the strongest first.
    pub(super) fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for episode in self.episodes() {
            match groups.iter_mut().find(|group| group.includes(&episode)) {
                Some(group) => group.others.push(episode),
                None => groups.push(Group {
                    lead: episode,
                    others: Vec::new(),
                }),
            }
        }
        groups
    }

    /// Every influencer, the strongest first.
    pub(super) fn influencers(&self) -> Vec<Influencer> {
        let mut influencers: Vec<Influencer> = self
            .influencers
            .iter()
            .filter(|(_, buckets)| !buckets.is_empty())
            .map(|((field, value), buckets)| Influencer {
                field: field.clone(),
                value: value.clone(),
                score: buckets.values().copied().fold(0.0, f64::max),
                buckets: buckets.len(),
            })
            .collect();
        influencers.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.buckets.cmp(&a.buckets)));
        influencers
    }

    /// In which buckets an influencer stood out, and how much.
    pub(super) fn buckets_of(&self, one: &Influencer) -> impl Iterator<Item = (i64, f64)> {
        let key = (one.field.clone(), one.value.clone());
        let buckets = self.influencers.get(&key).into_iter().flatten();
        buckets.map(|(&start_ms, &score)| (start_ms, score))
    }

    /// Every record kept, in order of detector, series and time.
    pub(super) fn records(&self) -> impl Iterator<Item = &Finding> {
        self.records.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(minute: i64, host: &str, score: f64) -> Value {
        json!({"result_type": "record", "timestamp": minute * 60_000, "bucket_span": 60, "record_score": score,
            "detector_index": 0, "function": "high_mean", "field_name": "latency_ms",
            "by_field_name": "host.name", "by_field_value": host, "actual": [9.0], "typical": [3.0],
            "influencers": [{"influencer_field_name": "host.name", "influencer_field_values": [host]},
                            {"influencer_field_name": "user.name", "influencer_field_values": ["ada", "ben"]}]})
    }

    #[test]
    fn adjacent_records_of_a_series_are_one_episode_and_episodes_at_the_same_time_one_group() {
        let mut findings = Findings::new(10.0);
        for document in [
            record(1, "a", 40.0),
            record(2, "a", 90.0),
            record(3, "a", 60.0),
            record(2, "b", 95.0),
            record(5, "a", 50.0),
            record(6, "a", 5.0),
        ] {
            findings.add(&document);
        }
        let seen: Vec<(i64, i64, f64)> = findings
            .episodes()
            .iter()
            .map(|episode| {
                (
                    episode.start_ms / 60_000,
                    episode.end_ms / 60_000,
                    episode.peak.score,
                )
            })
            .collect();
        assert_eq!(seen, [(2, 3, 95.0), (1, 4, 90.0), (5, 6, 50.0)]);
        let led: Vec<(f64, usize)> = findings
            .groups()
            .iter()
            .map(|group| (group.lead.peak.score, group.others.len()))
            .collect();
        assert_eq!(led, [(95.0, 1), (50.0, 0)]);
    }

    #[test]
    fn records_of_a_series_share_its_names() {
        let mut findings = Findings::new(0.0);
        for minute in 1..4 {
            findings.add(&record(minute, "a", 40.0));
        }
        let kept: Vec<&Finding> = findings.records().collect();
        for other in &kept[1..] {
            assert!(Arc::ptr_eq(&kept[0].series, &other.series));
            assert!(Arc::ptr_eq(&kept[0].influencers, &other.influencers));
            assert!(Arc::ptr_eq(&kept[0].what, &other.what));
        }
    }

    #[test]
    fn the_later_word_on_a_record_counts() {
        let mut findings = Findings::new(10.0);
        findings.add(&record(1, "a", 90.0));
        findings.add(&record(1, "a", 30.0));
        assert_eq!(findings.episodes()[0].peak.score, 30.0);
        findings.add(&record(1, "a", 3.0));
        assert!(findings.episodes().is_empty());
    }

    #[test]
    fn of_too_many_the_stronger_half_is_kept_and_what_is_as_weak_as_the_rest_is_not_taken_again() {
        let mut findings = Findings::new(0.0);
        let influencer = |minute: i64, score: f64| {
            json!({"result_type": "influencer", "timestamp": minute * 60_000, "influencer_score": score,
                "influencer_field_name": "host.name", "influencer_field_value": "a"})
        };
        for minute in 0..11 {
            findings.add(&record(minute, "a", 10.0 * minute as f64));
            findings.add(&influencer(minute, 10.0 * minute as f64));
        }
        findings.keep_at_most(11, 11);
        assert_eq!(findings.records().count(), 11);
        findings.keep_at_most(10, 10);
        findings.add(&record(20, "a", 50.0));
        findings.add(&influencer(20, 50.0));
        let scores: Vec<f64> = findings.records().map(|record| record.score).collect();
        assert_eq!(scores, [60.0, 70.0, 80.0, 90.0, 100.0]);
        assert_eq!(findings.influencers()[0].buckets, 5);
        assert!(findings.score_min().0 > 50.0 && findings.score_min().1 > 50.0);
    }

    #[test]
    fn why_a_record_was_written_is_read_with_the_zeros_that_documents_leave_out() {
        let mut document = record(1, "a", 90.0);
        document["probability"] = json!(1e-9);
        document["anomaly_score_explanation"] = json!({"anomaly_type": "dip", "anomaly_length": 3,
            "single_bucket_impact": 4, "upper_confidence_bound": 8.0, "by_field_first_occurrence": true});
        let why = Finding::from_record(&document).unwrap().why;
        let expected = Why {
            probability: 1e-9,
            bounds: Some((0.0, 8.0)),
            lasting: -3,
            single_impact: 4,
            multi_impact: 0,
            incomplete: false,
            first_occurrence: true,
        };
        assert_eq!(why, expected);
    }

    #[test]
    fn a_category_is_called_by_what_its_messages_say() {
        let mut document = record(1, "a", 90.0);
        document["by_field_name"] = json!("mlcategory");
        document["by_field_value"] = json!("12");
        document["description"] =
            json!("The event count was 1. mlcategory 12 is \"startup succeeded\".");
        let message = |document: &Value| {
            let finding = Finding::from_record(document).unwrap();
            finding.message().map(str::to_owned)
        };
        assert_eq!(message(&document), Some("startup succeeded".to_owned()));
        document["partition_field_name"] = json!("host.name");
        document["partition_field_value"] = json!("a");
        assert_eq!(message(&document), None);
        assert_eq!(message(&record(1, "a", 90.0)), None);
    }

    #[test]
    fn a_finding_names_its_series_once_and_then_its_influencers() {
        let finding = Finding::from_record(&record(1, "a", 90.0)).unwrap();
        assert_eq!(&*finding.what, "high_mean(latency_ms)");
        let pair = |field: &str, value: &str| (field.to_owned(), value.to_owned());
        assert_eq!(*finding.series, [pair("host.name", "a")]);
        assert_eq!(
            *finding.influencers,
            [pair("user.name", "ada"), pair("user.name", "ben")]
        );
    }
}
