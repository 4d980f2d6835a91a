//! Opt-in series of what jobs say, under the names that people's dashboards know: the score, the value, and what was expected of it.
//!
//! Scores are 0..=100, values in the events' own unit. A detector without a split has one series; with `entities`, every split value that has a
//! model plot or a record gets one, its name in the label `entity`. Holds: never more than the limit of series a job, what is left out is counted; a
//! series that was not heard of for [`FORGOTTEN_AFTER`] buckets goes, and so do those of a job that goes. Checked by: the tests below.

use super::catalogue as metric;
use crate::config::service::Scores;
use crate::config::{Detector, Job};
use crate::engine::result::{Body, Document};
use prometheus::{GaugeVec, IntCounterVec, Registry};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use xxhash_rust::xxh3::xxh3_64;

/// Buckets.
const FORGOTTEN_AFTER: i64 = 12;

/// A value of a field may have a megabyte, and stores of series refuse labels of more than one or two thousand bytes.
const LABEL_BYTES_MAX: usize = 512;

/// The series of all jobs.
pub(super) struct ScoreSeries {
    settings: Scores,
    score: GaugeVec,
    y: GaugeVec,
    yhat: GaugeVec,
    lower: GaugeVec,
    upper: GaugeVec,
    left_out: IntCounterVec,
    /// By job.
    known: Mutex<BTreeMap<String, Known>>,
}

/// A job's series, by detector and entity.
type Known = BTreeMap<(u16, String), Heard>;

/// When something was heard of a series last, milliseconds since the epoch.
#[derive(Clone, Copy, Default)]
struct Heard {
    at_ms: i64,
    record_ms: Option<i64>,
}

/// What a document says of a series.
struct Said {
    detector: u16,
    entity: String,
    is_split: bool,
    score: Option<f64>,
    values: [Option<f64>; 4],
}

impl ScoreSeries {
    /// `None` when nobody wants them: then they are not even registered.
    pub(super) fn of(settings: Scores, to: &Registry) -> Option<ScoreSeries> {
        (settings != Scores::Off).then(|| ScoreSeries {
            settings,
            score: metric::ANOMALY_SCORE.gauge(to),
            y: metric::Y.gauge(to),
            yhat: metric::YHAT.gauge(to),
            lower: metric::YHAT_LOWER.gauge(to),
            upper: metric::YHAT_UPPER.gauge(to),
            left_out: metric::SCORES_LEFT_OUT.counter(to),
            known: Mutex::default(),
        })
    }

    pub(super) fn begin_at_zero(&self, job: &Job) {
        self.left_out.with_label_values(&[&job.id]);
    }

    /// A final document of a job.
    pub(super) fn hear(&self, job: &Job, document: &Document) {
        let Some(said) = Said::of(document) else {
            return;
        };
        let at_ms = document.time.millis();
        let (entity, limit) = match self.settings {
            Scores::Entities { limit } => (said.entity.as_str(), limit),
            // One series a detector: its strongest record, and the values where it has one series only.
            Scores::Detectors | Scores::Off => ("", usize::MAX),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let series = known.entry(job.id.clone()).or_default();
        let key = (said.detector, entity.to_owned());
        if !series.contains_key(&key) && series.len() >= limit {
            self.left_out.with_label_values(&[&job.id]).inc();
            return;
        }
        let heard = series.entry(key).or_default();
        if at_ms < heard.at_ms {
            return; // a score that was renormalised, of a bucket long gone by
        }
        let Some(detector) = job.detectors.get(usize::from(said.detector)) else {
            return;
        };
        let labels = [job.id.as_str(), label(detector), entity];
        if let Some(score) = said.score {
            let gauge = self.score.with_label_values(&labels);
            let same_bucket = heard.record_ms == Some(at_ms);
            gauge.set(if same_bucket {
                score.max(gauge.get())
            } else {
                score
            });
            heard.record_ms = Some(at_ms);
        }
        heard.at_ms = at_ms;
        if matches!(self.settings, Scores::Entities { .. }) || !said.is_split {
            let gauges = [&self.y, &self.yhat, &self.lower, &self.upper];
            for (gauge, value) in gauges.into_iter().zip(said.values) {
                if let Some(value) = value {
                    gauge.with_label_values(&labels).set(value);
                }
            }
        }
    }

    /// A final bucket of a job is over: what had no record in it is not unusual any more.
    pub(super) fn bucket(&self, job: &Job, start_ms: i64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let series = known.entry(job.id.clone()).or_default();
        for detector in &job.detectors {
            let is_unknown = !series.contains_key(&(detector.index, String::new()));
            if self.settings == Scores::Detectors && is_unknown {
                let labels = [job.id.as_str(), label(detector), ""];
                self.score.with_label_values(&labels).set(0.0);
            }
        }
        let oldest_ms = start_ms - FORGOTTEN_AFTER * job.bucket_span.millis();
        let keeps_all = self.settings == Scores::Detectors;
        series.retain(|(detector, entity), heard| {
            let detector = job.detectors.get(usize::from(*detector));
            let labels = [job.id.as_str(), detector.map_or("", label), entity.as_str()];
            if heard.at_ms < oldest_ms && !keeps_all {
                self.remove(&labels);
                return false;
            }
            if heard.record_ms.is_none_or(|record_ms| record_ms < start_ms) {
                self.score.with_label_values(&labels).set(0.0);
            }
            true
        });
    }

    /// A job is no more, or another from now on: its series go. What was counted stays.
    pub(super) fn forget(&self, job: &Job) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut series: Vec<(u16, String)> = match known.remove(&job.id) {
            Some(known) => known.into_keys().collect(),
            None => Vec::new(),
        };
        // A detector that nothing was heard of has a score, too: none.
        let unheard = job
            .detectors
            .iter()
            .map(|detector| (detector.index, String::new()));
        series.extend(unheard);
        for (detector, entity) in &series {
            if let Some(detector) = job.detectors.get(usize::from(*detector)) {
                self.remove(&[&job.id, label(detector), entity]);
            }
        }
    }

    fn remove(&self, labels: &[&str]) {
        for gauge in [&self.score, &self.y, &self.yhat, &self.lower, &self.upper] {
            let _ = gauge.remove_label_values(labels); // not all were ever set
        }
    }

    /// Documents that the tasks did not even hand over.
    pub(super) fn left_out(&self, job_id: &str, documents: u64) {
        if matches!(self.settings, Scores::Entities { .. }) {
            self.left_out.with_label_values(&[job_id]).inc_by(documents);
        }
    }
}

fn label(detector: &Detector) -> &str {
    &detector.description
}

impl Said {
    fn of(document: &Document) -> Option<Said> {
        match &document.body {
            Body::Record(record) => {
                let entity = entity(record.splits());
                let explanation = &record.explanation;
                Some(Said {
                    detector: record.detector_index,
                    is_split: !entity.is_empty(),
                    entity,
                    score: Some(record.record_score),
                    values: [
                        record.told().0.first().copied(),
                        record.told().1.first().copied(),
                        explanation.lower_confidence_bound,
                        explanation.upper_confidence_bound,
                    ],
                })
            }
            Body::ModelPlot(plot) => {
                let fields = [
                    (&plot.partition_field_name, &plot.partition_field_value),
                    (&plot.over_field_name, &plot.over_field_value),
                    (&plot.by_field_name, &plot.by_field_value),
                ];
                let splits = fields.into_iter();
                let entity = entity(
                    splits.filter_map(|(name, value)| Some((name.as_deref()?, value.as_deref()?))),
                );
                Some(Said {
                    detector: plot.detector_index,
                    is_split: !entity.is_empty(),
                    entity,
                    score: None,
                    values: [
                        plot.actual,
                        Some(plot.model_median),
                        Some(plot.model_lower),
                        Some(plot.model_upper),
                    ],
                })
            }
            _ => None,
        }
    }
}

/// `host.name=web-1,user.name=ann`; one that is longer than a label may be ends in its hash instead, so that no two become one.
fn entity<'t>(splits: impl Iterator<Item = (&'t str, &'t str)>) -> String {
    let named: Vec<String> = splits
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let named = named.join(",");
    if named.len() <= LABEL_BYTES_MAX {
        return named;
    }
    // The same from build to build, as the name of a series has to be.
    let ending = format!("…{:016x}", xxh3_64(named.as_bytes()));
    let room = LABEL_BYTES_MAX - ending.len();
    let kept = (0..=room).rev().find(|at| named.is_char_boundary(*at));
    format!("{}{ending}", &named[..kept.unwrap_or(0)])
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::engine::result::{DocumentKind, ModelPlot};
    use crate::time::{BucketSpan, EventTime, Finality};
    use prometheus::TextEncoder;

    const SPAN_MS: i64 = 300_000;

    fn job() -> Job {
        let text = r#"{"job_id": "web", "analysis_config": {"bucket_span": "5m", "detectors": [{"function": "mean", "field_name": "ms", "partition_field_name": "host"}]}, "data_description": {"time_field": "t"}}"#;
        Job::from_text(text, "web.json").unwrap()
    }

    pub(in crate::runtime::telemetry) fn plot(bucket: i64, host: &str, actual: f64) -> Document {
        let span = BucketSpan::from_seconds(300).unwrap();
        Document {
            kind: DocumentKind::ModelPlot,
            id: String::new(),
            job_id: "web".into(),
            time: span.bucket_of(EventTime(bucket * SPAN_MS)),
            span,
            finality: Finality::Final,
            late: None,
            body: Body::ModelPlot(ModelPlot {
                detector_index: 0,
                by_field_name: None,
                by_field_value: None,
                partition_field_name: Some("host".into()),
                partition_field_value: Some(host.into()),
                over_field_name: None,
                over_field_value: None,
                model_feature: "'mean value by person'",
                model_lower: 1.0,
                model_upper: 3.0,
                model_median: 2.0,
                actual: Some(actual),
            }),
        }
    }

    fn lines(registry: &Registry) -> Vec<String> {
        let text = TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn an_entity_of_any_length_is_a_label_of_a_few_hundred_bytes_and_no_two_are_the_same() {
        let long = |tail: &str| format!("{}{tail}", "ü".repeat(100_000));
        let of = |value: &str| entity([("host", value)].into_iter());
        let (one, other) = (of(&long("a")), of(&long("b")));
        assert!((500..=LABEL_BYTES_MAX).contains(&one.len()), "{one}");
        assert!(one.starts_with("host=üü"), "{one}");
        assert_ne!(one, other);
        assert_eq!(of("web-1"), "host=web-1");
        assert_eq!(of(&"x".repeat(507)).len(), LABEL_BYTES_MAX);
        assert_eq!(of(&"x".repeat(508)).len(), LABEL_BYTES_MAX);
    }

    #[test]
    fn entities_have_their_series_up_to_the_limit_and_lose_them_when_they_are_gone() {
        let (job, registry) = (job(), Registry::new());
        let scores = ScoreSeries::of(Scores::Entities { limit: 2 }, &registry).unwrap();
        scores.begin_at_zero(&job);
        for (host, value) in [("a", 2.5), ("b", 7.0), ("c", 1.0)] {
            scores.hear(&job, &plot(0, host, value));
        }
        scores.bucket(&job, 0);
        let first = lines(&registry);
        let detector = &job.detectors[0].description;
        let series = |name: &str, host: &str, value: &str| {
            format!(
                "tidewatch_{name}{{detector=\"{detector}\",entity=\"host={host}\",job_id=\"web\"}} {value}"
            )
        };
        for line in [
            series("y", "a", "2.5"),
            series("y", "b", "7"),
            series("yhat", "a", "2"),
            series("yhat_lower", "b", "1"),
            series("yhat_upper", "b", "3"),
            series("anomaly_score", "a", "0"),
            "tidewatch_scores_left_out_total{job_id=\"web\"} 1".into(),
        ] {
            assert!(first.contains(&line), "{line}\nnot in {first:#?}");
        }
        scores.hear(&job, &plot(13, "b", 8.0));
        scores.bucket(&job, 13 * SPAN_MS);
        scores.hear(&job, &plot(14, "c", 9.0));
        let later = lines(&registry);
        assert!(
            !later.iter().any(|line| line.contains("host=a")),
            "{later:#?}"
        );
        assert!(later.contains(&series("y", "c", "9")), "{later:#?}");
    }

    #[test]
    fn without_entities_no_value_of_a_field_is_a_label_and_off_registers_nothing() {
        let (job, registry) = (job(), Registry::new());
        let scores = ScoreSeries::of(Scores::Detectors, &registry).unwrap();
        for host in ["a", "b"] {
            scores.hear(&job, &plot(0, host, 2.5));
        }
        scores.bucket(&job, 0);
        let lines = lines(&registry);
        let detector = &job.detectors[0].description;
        let score = format!(
            "tidewatch_anomaly_score{{detector=\"{detector}\",entity=\"\",job_id=\"web\"}} 0"
        );
        assert_eq!(lines, [score]);
        assert!(ScoreSeries::of(Scores::Off, &registry).is_none());
    }
}
